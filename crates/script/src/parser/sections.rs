//! `SECTIONS`: output sections and overlays, all but their statements.

use super::commands::assign_op;
use super::{Parser, Result, constraint};
use crate::ast::{
    Assignment, OutputSection, Overlay, OverlaySection, Placement, SectionGroup, SectionItem,
    SectionType,
};
use crate::diagnostic::{ErrorKind, ScriptError, nearest};
use crate::expr::Expr;
use crate::keyword::Keyword;
use crate::lexer::{Mode, Punct, TokenKind};
use crate::source::{Name, Span, Spanned};

/// The words that a name before a `(` may have been meant to be.
const ITEM_WORDS: [&str; 7] = [
    "ENTRY",
    "ASSERT",
    "PROVIDE",
    "PROVIDE_HIDDEN",
    "HIDDEN",
    "OVERLAY",
    "INCLUDE",
];

impl Parser<'_> {
    /// The parts of `SECTIONS` up to the closing brace or the end.
    pub(super) fn section_items(&mut self) -> Result<Vec<Spanned<SectionItem>>> {
        let mut items = Vec::new();
        loop {
            let is_item = match self.peek(Mode::Script)?.kind {
                TokenKind::Name { .. } => true,
                TokenKind::Keyword(keyword) => starts_item(keyword),
                _ => false,
            };
            if !is_item {
                return Ok(items);
            }
            items.push(self.spanned(Parser::section_item)?);
        }
    }

    fn section_item(&mut self) -> Result<SectionItem> {
        const MODE: Mode = Mode::Script;
        let token = self.peek(MODE)?;
        let TokenKind::Keyword(keyword) = token.kind else {
            return self.section_or_assignment();
        };
        if matches!(
            keyword,
            Keyword::Provide | Keyword::ProvideHidden | Keyword::Hidden
        ) {
            let assignment = self.assignment(MODE)?;
            return self.finish_assignment(assignment);
        }
        self.next(MODE)?;
        Ok(match keyword {
            Keyword::Entry => SectionItem::Entry(self.paren_name(MODE, "the entry symbol")?),
            Keyword::Assert => SectionItem::Assert(self.assertion()?),
            Keyword::Include => SectionItem::Include(self.name(MODE, "the file to include")?),
            Keyword::Overlay => SectionItem::Overlay(Box::new(self.overlay()?)),
            _ => SectionItem::Group(self.nested(Parser::section_group)?),
        })
    }

    fn finish_assignment(&mut self, assignment: Assignment) -> Result<SectionItem> {
        self.separator(Mode::Script, "after an assignment")?;
        Ok(SectionItem::Assign(assignment))
    }

    fn section_or_assignment(&mut self) -> Result<SectionItem> {
        let name = self.name(Mode::Script, "a section or a symbol")?;
        // A colon or an address may follow that cannot start a token here.
        if let Ok(token) = self.peek(Mode::Script)
            && let TokenKind::Punct(punct) = token.kind
            && assign_op(punct).is_some()
        {
            let assignment = self.assignment_to(name, Mode::Script)?;
            return self.finish_assignment(assignment);
        }
        Ok(SectionItem::Output(Box::new(self.output_section(name)?)))
    }

    fn output_section(&mut self, name: Name) -> Result<OutputSection> {
        const MODE: Mode = Mode::Expression;
        let (address, section_type) = self.address_and_type(&name)?;
        let load_address = match self.eat_keyword(MODE, Keyword::At)? {
            true => Some(self.paren_expr("after `AT`")?),
            false => None,
        };
        let align = match self.eat_keyword(MODE, Keyword::Align)? {
            true => Some(self.paren_expr("after `ALIGN`")?),
            false => None,
        };
        let align_with_input = self.eat_keyword(MODE, Keyword::AlignWithInput)?;
        let subalign = match self.eat_keyword(MODE, Keyword::Subalign)? {
            true => Some(self.paren_expr("after `SUBALIGN`")?),
            false => None,
        };
        let constraint = self.section_constraint()?;
        let open = self.section_body_start()?;
        let statements = self.statement_block(open)?;
        let placement = self.placement()?;
        Ok(OutputSection {
            name,
            address,
            section_type,
            load_address,
            align,
            align_with_input,
            subalign,
            constraint,
            statements,
            placement,
            overlay: None,
        })
    }

    /// The `{` of an output section. The attributes before it have one order.
    fn section_body_start(&mut self) -> Result<Span> {
        const MODE: Mode = Mode::Expression;
        if self.eat(MODE, Punct::BraceOpen)? {
            return Ok(self.last);
        }
        let token = self.peek(MODE)?;
        let error = self.expected(MODE, "`{` and the statements of the section");
        Err(match token.kind {
            TokenKind::Keyword(
                Keyword::At
                | Keyword::Align
                | Keyword::AlignWithInput
                | Keyword::Subalign
                | Keyword::OnlyIfRo
                | Keyword::OnlyIfRw
                | Keyword::Special,
            ) => error.help(
                "the attributes of a section have one order: AT, ALIGN, \
                 ALIGN_WITH_INPUT, SUBALIGN, ONLY_IF_RO or ONLY_IF_RW",
            ),
            _ => error,
        })
    }

    fn section_constraint(&mut self) -> Result<Option<Spanned<crate::ast::Constraint>>> {
        let token = self.peek(Mode::Expression)?;
        let TokenKind::Keyword(keyword) = token.kind else {
            return Ok(None);
        };
        let Some(constraint) = constraint(keyword) else {
            return Ok(None);
        };
        self.next(Mode::Expression)?;
        Ok(Some(Spanned::new(constraint, token.span)))
    }

    /// `address (type) :`, of which only the colon must be there.
    fn address_and_type(
        &mut self,
        name: &Name,
    ) -> Result<(Option<Expr>, Option<Spanned<SectionType>>)> {
        const MODE: Mode = Mode::Expression;
        if self.eat_keyword(MODE, Keyword::Bind)? {
            let address = self.paren_expr("after `BIND`")?;
            if self.eat_keyword(MODE, Keyword::Block)? {
                self.paren_expr("after `BLOCK`")?;
            }
            let section_type = self.section_type()?;
            self.expect(MODE, Punct::Colon, "after the section's address")?;
            return Ok((Some(address), section_type));
        }
        let mut section_type = self.section_type()?;
        if section_type.is_some() || self.at(MODE, Punct::Colon)? {
            self.expect(MODE, Punct::Colon, "after the section's type")?;
            return Ok((None, section_type));
        }
        let is_call = self.at(MODE, Punct::ParenOpen)?;
        let address = match self.expr() {
            Ok(address) => address,
            Err(error) => return Err(misspelt_item(name, is_call).unwrap_or(error)),
        };
        section_type = self.section_type()?;
        if !self.eat(MODE, Punct::Colon)? {
            let error = self.expected(MODE, "`:` after the section's name and address");
            return Err(misspelt_item(name, is_call).unwrap_or(error));
        }
        Ok((Some(address), section_type))
    }

    /// `(type)`, when the parenthesis does not open an expression.
    fn section_type(&mut self) -> Result<Option<Spanned<SectionType>>> {
        const MODE: Mode = Mode::Expression;
        if !self.at(MODE, Punct::ParenOpen)? {
            return Ok(None);
        }
        let saved = (self.at, self.ahead, self.last);
        let open = self.next(MODE)?;
        let section_type = match self.peek(MODE)?.kind {
            TokenKind::Punct(Punct::ParenClose) => None,
            TokenKind::Keyword(keyword) => self.type_word(keyword)?,
            _ => None,
        };
        if section_type.is_none() && !self.at(MODE, Punct::ParenClose)? {
            (self.at, self.ahead, self.last) = saved;
            return Ok(None);
        }
        let close = self.expect(MODE, Punct::ParenClose, "after the section's type")?;
        Ok(section_type.map(|value| Spanned::new(value, open.span.to(close))))
    }

    /// The type that starts with a keyword; `None`, and nothing taken, when
    /// the keyword starts an expression.
    fn type_word(&mut self, keyword: Keyword) -> Result<Option<SectionType>> {
        const MODE: Mode = Mode::Expression;
        let section_type = match keyword {
            Keyword::NoLoad => SectionType::NoLoad,
            Keyword::Dsect => SectionType::Dsect,
            Keyword::Copy => SectionType::Copy,
            Keyword::Info => SectionType::Info,
            Keyword::Overlay => SectionType::Overlay,
            Keyword::Type => {
                let sh_type = self.type_value()?;
                let read_only = false;
                return Ok(Some(SectionType::Typed { sh_type, read_only }));
            }
            Keyword::ReadOnly => {
                self.next(MODE)?;
                if !self.eat(MODE, Punct::ParenOpen)? {
                    return Ok(Some(SectionType::ReadOnly));
                }
                let sh_type = self.type_value()?;
                self.close(MODE, "after the type")?;
                let read_only = true;
                return Ok(Some(SectionType::Typed { sh_type, read_only }));
            }
            _ => return Ok(None),
        };
        self.next(MODE)?;
        Ok(Some(section_type))
    }

    /// `TYPE = value`.
    fn type_value(&mut self) -> Result<Expr> {
        const MODE: Mode = Mode::Expression;
        if !self.eat_keyword(MODE, Keyword::Type)? {
            return Err(self.expected(MODE, "`TYPE = …`"));
        }
        self.expect(MODE, Punct::Assign, "after `TYPE`")?;
        self.expr()
    }

    /// `>region AT>region :phdr … =fill ,`, all of it optional.
    fn placement(&mut self) -> Result<Placement> {
        const MODE: Mode = Mode::Script;
        let mut placement = Placement::default();
        if self.eat(MODE, Punct::Greater)? {
            placement.region = Some(self.name(MODE, "a memory region")?);
        }
        if self.eat_keyword(MODE, Keyword::At)? {
            self.expect(MODE, Punct::Greater, "after `AT`")?;
            placement.load_region = Some(self.name(MODE, "a memory region")?);
        }
        (placement.phdrs, placement.fill) = self.phdrs_and_fill()?;
        Ok(placement)
    }

    fn phdrs_and_fill(&mut self) -> Result<(Vec<Name>, Option<Expr>)> {
        const MODE: Mode = Mode::Script;
        let mut phdrs = Vec::new();
        while self.eat(MODE, Punct::Colon)? {
            phdrs.push(self.name(MODE, "a program header")?);
        }
        let fill = match self.eat(MODE, Punct::Assign)? {
            true => Some(self.expr()?),
            false => None,
        };
        self.eat(MODE, Punct::Comma)?;
        Ok((phdrs, fill))
    }

    fn overlay(&mut self) -> Result<Overlay> {
        const MODE: Mode = Mode::Expression;
        let address = match self.at(MODE, Punct::Colon)? {
            true => None,
            false => Some(self.expr()?),
        };
        self.expect(MODE, Punct::Colon, "after the overlay's address")?;
        let no_cross_refs = self.eat_keyword(MODE, Keyword::NoCrossRefs)?;
        let load_address = match self.eat_keyword(MODE, Keyword::At)? {
            true => Some(self.paren_expr("after `AT`")?),
            false => None,
        };
        let subalign = match self.eat_keyword(MODE, Keyword::Subalign)? {
            true => Some(self.paren_expr("after `SUBALIGN`")?),
            false => None,
        };
        let open = self.expect(MODE, Punct::BraceOpen, "before the overlay's sections")?;
        let mut sections = Vec::new();
        while matches!(self.peek(Mode::Script)?.kind, TokenKind::Name { .. }) {
            sections.push(self.spanned(Parser::overlay_section)?);
        }
        self.expect_block_end(open, "a section of the overlay")?;
        Ok(Overlay {
            address,
            no_cross_refs,
            load_address,
            subalign,
            sections,
            placement: self.placement()?,
        })
    }

    fn overlay_section(&mut self) -> Result<OverlaySection> {
        let name = self.name(Mode::Script, "a section")?;
        let open = self.expect(Mode::Script, Punct::BraceOpen, "after the section's name")?;
        let statements = self.statement_block(open)?;
        let (phdrs, fill) = self.phdrs_and_fill()?;
        Ok(OverlaySection {
            name,
            statements,
            phdrs,
            fill,
        })
    }

    fn section_group(&mut self) -> Result<SectionGroup> {
        let name = Name::new("GROUP".to_owned(), self.last);
        let (address, section_type) = self.address_and_type(&name)?;
        let open = self.expect(
            Mode::Script,
            Punct::BraceOpen,
            "before the group's sections",
        )?;
        let items = self.section_items()?;
        self.expect_block_end(open, "a section")?;
        Ok(SectionGroup {
            address,
            section_type,
            items,
        })
    }
}

fn starts_item(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::Entry
            | Keyword::Assert
            | Keyword::Include
            | Keyword::Overlay
            | Keyword::Group
            | Keyword::Provide
            | Keyword::ProvideHidden
            | Keyword::Hidden
    )
}

/// `PROVDE(x = 1)` reads like a section with an address, which fails far from
/// the cause.
fn misspelt_item(name: &Name, is_call: bool) -> Option<ScriptError> {
    if !is_call {
        return None;
    }
    let word = nearest(&name.value, ITEM_WORDS)?;
    let kind = ErrorKind::UnknownCommand {
        name: name.value.clone(),
    };
    Some(ScriptError::new(kind, name.span).help(format!("did you mean `{word}`?")))
}
