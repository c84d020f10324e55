//! Commands of the outermost level, and assignments.

use super::{Parser, Result, glued};
use crate::ast::{Assertion, AssignKind, AssignOp, Assignment, Command, InputItem, InsertPlace};
use crate::diagnostic::{ErrorKind, ScriptError, nearest};
use crate::keyword::Keyword;
use crate::lexer::{Mode, Punct, TokenKind};
use crate::source::{Name, Span};

impl Parser<'_> {
    pub(super) fn command(&mut self) -> Result<Command> {
        const MODE: Mode = Mode::Script;
        let keyword = match self.peek(MODE)?.kind {
            TokenKind::Keyword(keyword) => keyword,
            TokenKind::Name { .. } => return self.command_assignment(),
            _ => return Err(self.expected(MODE, "a command or an assignment")),
        };
        match keyword {
            Keyword::Provide | Keyword::ProvideHidden | Keyword::Hidden => {
                return self.command_assignment();
            }
            _ => self.next(MODE)?,
        };
        Ok(match keyword {
            Keyword::Sections => {
                let open = self.expect(MODE, Punct::BraceOpen, "after `SECTIONS`")?;
                let items = self.section_items()?;
                self.expect_block_end(open, "a section, an assignment or a command")?;
                Command::Sections(items)
            }
            Keyword::Memory => {
                let open = self.expect(MODE, Punct::BraceOpen, "after `MEMORY`")?;
                let items = self.memory_items()?;
                self.expect_block_end(open, "a memory region")?;
                Command::Memory(items)
            }
            Keyword::Phdrs => Command::Phdrs(self.phdrs()?),
            Keyword::Version => Command::Version(self.version_command()?),
            Keyword::Entry => Command::Entry(self.paren_name(MODE, "the entry symbol")?),
            Keyword::Assert => Command::Assert(self.assertion()?),
            Keyword::Extern => Command::Extern(self.extern_symbols()?),
            Keyword::Include => Command::Include(self.name(MODE, "the file to include")?),
            Keyword::Input => Command::Input(self.input_files()?),
            Keyword::Group => Command::Group(self.input_files()?),
            Keyword::Insert => self.insert()?,
            Keyword::OutputFormat => self.output_format()?,
            Keyword::RegionAlias => self.region_alias()?,
            other => return self.simple_command(other),
        })
    }

    /// Commands that are a word alone, or a word and names.
    fn simple_command(&mut self, keyword: Keyword) -> Result<Command> {
        const MODE: Mode = Mode::Script;
        Ok(match keyword {
            Keyword::Startup => Command::Startup(self.paren_name(MODE, "a file")?),
            Keyword::SearchDir => Command::SearchDir(self.paren_name(MODE, "a directory")?),
            Keyword::Output => Command::Output(self.paren_name(MODE, "a file")?),
            Keyword::OutputArch => Command::OutputArch(self.paren_name(MODE, "an architecture")?),
            Keyword::Target => Command::Target(self.paren_name(MODE, "a format")?),
            Keyword::LdFeature => Command::LdFeature(self.paren_name(MODE, "a feature")?),
            Keyword::Map => Command::Map(self.paren_name(MODE, "a file")?),
            Keyword::NoCrossRefs => {
                Command::NoCrossRefs(self.paren_names(MODE, "an output section")?)
            }
            Keyword::NoCrossRefsTo => {
                Command::NoCrossRefsTo(self.paren_names(MODE, "an output section")?)
            }
            Keyword::Hll => Command::Hll(self.paren_names(MODE, "a file")?),
            Keyword::Syslib => Command::Syslib(self.paren_names(MODE, "a file")?),
            Keyword::ForceCommonAllocation => Command::ForceCommonAllocation,
            Keyword::InhibitCommonAllocation => Command::InhibitCommonAllocation,
            Keyword::ForceGroupAllocation => Command::ForceGroupAllocation,
            Keyword::Float => Command::Float,
            Keyword::NoFloat => Command::NoFloat,
            other => {
                let text = other.text();
                let kind = ErrorKind::Misplaced {
                    message: format!("`{text}` is not a command"),
                };
                return Err(ScriptError::new(kind, self.last).help(format!(
                    "`{text}` has a meaning inside expressions or output sections only; \
                     a symbol of that name is quoted: \"{text}\""
                )));
            }
        })
    }

    fn command_assignment(&mut self) -> Result<Command> {
        self.check_word_is_assigned()?;
        let assignment = self.assignment(Mode::Script)?;
        self.separator(Mode::Script, "after an assignment")?;
        Ok(Command::Assign(assignment))
    }

    /// A name that no assignment follows is most likely a misspelt command.
    fn check_word_is_assigned(&mut self) -> Result<()> {
        let token = self.peek(Mode::Script)?;
        let TokenKind::Name {
            text,
            quoted: false,
        } = token.kind
        else {
            return Ok(());
        };
        let saved = (self.at, self.ahead, self.last);
        self.next(Mode::Script)?;
        let follows = self.peek(Mode::Script).map(|token| token.kind);
        (self.at, self.ahead, self.last) = saved;
        if let Ok(TokenKind::Punct(punct)) = follows
            && assign_op(punct).is_some()
        {
            return Ok(());
        }
        let kind = ErrorKind::UnknownCommand {
            name: text.to_owned(),
        };
        let error = ScriptError::new(kind, token.span);
        Err(
            match (nearest(text, Keyword::names(Mode::Script)), glued(text)) {
                (Some(name), _) => error.help(format!("did you mean `{name}`?")),
                (None, Some(help)) => error.help(help),
                (None, None) => error.help(format!("an assignment is written `{text} = value;`")),
            },
        )
    }

    /// The `}` of a block of `SECTIONS` or `MEMORY` that `open` opened.
    pub(super) fn expect_block_end(&mut self, open: Span, expected: &str) -> Result<()> {
        if self.at(Mode::Script, Punct::Semicolon)? {
            let error = self.expected(Mode::Script, &format!("{expected}, or `}}`"));
            return Err(error.help("remove the `;`: GNU ld allows none here"));
        }
        self.close_block(Mode::Script, open, expected)
    }

    /// An assignment, without its separator. Its first token is read in
    /// `mode`.
    pub(super) fn assignment(&mut self, mode: Mode) -> Result<Assignment> {
        let kind = match self.peek(mode)?.kind {
            TokenKind::Keyword(Keyword::Hidden) => AssignKind::Hidden,
            TokenKind::Keyword(Keyword::Provide) => AssignKind::Provide,
            TokenKind::Keyword(Keyword::ProvideHidden) => AssignKind::ProvideHidden,
            _ => AssignKind::Plain,
        };
        if kind == AssignKind::Plain {
            let target = self.name(mode, "a symbol")?;
            return self.assignment_to(target, mode);
        }
        self.next(mode)?;
        self.open(mode, "before the symbol")?;
        let target = self.name(mode, "a symbol")?;
        if target.value == "." && kind != AssignKind::Hidden {
            let kind = ErrorKind::Misplaced {
                message: "the location counter cannot be provided".to_owned(),
            };
            return Err(ScriptError::new(kind, target.span).help("assign to a symbol"));
        }
        self.expect(mode, Punct::Assign, "after the symbol")?;
        let value = self.expr()?;
        self.close(Mode::Expression, "after the value")?;
        Ok(Assignment {
            target,
            op: AssignOp::Set,
            value,
            kind,
        })
    }

    /// The operator and the value of an assignment.
    pub(super) fn assignment_to(&mut self, target: Name, mode: Mode) -> Result<Assignment> {
        let op = match self.peek(mode)?.kind {
            TokenKind::Punct(punct) => assign_op(punct),
            _ => None,
        };
        let Some(op) = op else {
            return Err(self.expected(mode, "an assignment operator"));
        };
        self.next(mode)?;
        Ok(Assignment {
            target,
            op,
            value: self.expr()?,
            kind: AssignKind::Plain,
        })
    }

    /// `(condition, message)`.
    pub(super) fn assertion(&mut self) -> Result<Assertion> {
        const MODE: Mode = Mode::Expression;
        self.open(MODE, "after `ASSERT`")?;
        let condition = self.expr()?;
        self.expect(MODE, Punct::Comma, "after the condition")?;
        let message = self.name(MODE, "a message in quotes")?;
        self.close(MODE, "after the message")?;
        Ok(Assertion { condition, message })
    }

    fn extern_symbols(&mut self) -> Result<Vec<Name>> {
        let symbols = self.paren_names(Mode::Expression, "a symbol")?;
        if symbols.is_empty() {
            return Err(ScriptError::new(
                ErrorKind::Expected {
                    expected: "a symbol".to_owned(),
                    found: "`)`".to_owned(),
                },
                self.last,
            ));
        }
        Ok(symbols)
    }

    fn insert(&mut self) -> Result<Command> {
        let place = if self.eat_keyword(Mode::Script, Keyword::After)? {
            InsertPlace::After
        } else if self.eat_keyword(Mode::Script, Keyword::Before)? {
            InsertPlace::Before
        } else {
            return Err(self.expected(Mode::Script, "`AFTER` or `BEFORE`"));
        };
        let section = self.name(Mode::Script, "an output section")?;
        Ok(Command::Insert { place, section })
    }

    fn output_format(&mut self) -> Result<Command> {
        const MODE: Mode = Mode::Script;
        self.open(MODE, "after `OUTPUT_FORMAT`")?;
        let default = self.name(MODE, "a format")?;
        let mut by_order = None;
        if self.eat(MODE, Punct::Comma)? {
            let big = self.name(MODE, "the format for -EB")?;
            self.expect(MODE, Punct::Comma, "after the format for -EB")?;
            by_order = Some((big, self.name(MODE, "the format for -EL")?));
        }
        self.close(MODE, "after the format")?;
        Ok(Command::OutputFormat { default, by_order })
    }

    fn region_alias(&mut self) -> Result<Command> {
        const MODE: Mode = Mode::Script;
        self.open(MODE, "after `REGION_ALIAS`")?;
        let alias = self.name(MODE, "the alias")?;
        self.expect(MODE, Punct::Comma, "after the alias")?;
        let region = self.name(MODE, "a region")?;
        self.close(MODE, "after the region")?;
        Ok(Command::RegionAlias { alias, region })
    }

    /// `(file …)`, with at least one file.
    fn input_files(&mut self) -> Result<Vec<InputItem>> {
        const MODE: Mode = Mode::InputList;
        self.nested(|parser| {
            parser.open(MODE, "before the files")?;
            let mut items = Vec::new();
            loop {
                let token = parser.peek(MODE)?;
                items.push(match token.kind {
                    TokenKind::Name { text, .. } => {
                        parser.next(MODE)?;
                        InputItem::File(Name::new(text.to_owned(), token.span))
                    }
                    TokenKind::Library(text) => {
                        parser.next(MODE)?;
                        InputItem::Library(Name::new(text.to_owned(), token.span))
                    }
                    TokenKind::Keyword(Keyword::AsNeeded) => {
                        parser.next(MODE)?;
                        InputItem::AsNeeded(parser.input_files()?)
                    }
                    _ => return Err(parser.expected(MODE, "a file or `-l` and a library")),
                });
                if parser.eat(MODE, Punct::ParenClose)? {
                    return Ok(items);
                }
                parser.eat(MODE, Punct::Comma)?;
            }
        })
    }
}

pub(super) fn assign_op(punct: Punct) -> Option<AssignOp> {
    Some(match punct {
        Punct::Assign => AssignOp::Set,
        Punct::AddAssign => AssignOp::Add,
        Punct::SubAssign => AssignOp::Sub,
        Punct::MulAssign => AssignOp::Mul,
        Punct::DivAssign => AssignOp::Div,
        Punct::ShlAssign => AssignOp::Shl,
        Punct::ShrAssign => AssignOp::Shr,
        Punct::AndAssign => AssignOp::And,
        Punct::OrAssign => AssignOp::Or,
        Punct::XorAssign => AssignOp::Xor,
        _ => return None,
    })
}
