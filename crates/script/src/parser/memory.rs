//! `MEMORY` and `PHDRS`.

use super::{Parser, Result, unknown_word};
use crate::ast::{
    MemoryItem, MemoryRegion, Phdr, RegionAttribute, RegionFlag, SEGMENT_TYPES, SegmentType,
};
use crate::diagnostic::{ErrorKind, ScriptError};
use crate::expr::{Expr, ExprKind};
use crate::keyword::Keyword;
use crate::lexer::{Mode, Punct, TokenKind};
use crate::source::{Name, Spanned};

impl Parser<'_> {
    /// The regions up to the closing brace or the end.
    pub(super) fn memory_items(&mut self) -> Result<Vec<Spanned<MemoryItem>>> {
        const MODE: Mode = Mode::Script;
        let mut items = Vec::new();
        loop {
            match self.peek(MODE)?.kind {
                TokenKind::Name { .. } | TokenKind::Keyword(Keyword::Include) => {
                    items.push(self.spanned(Parser::memory_item)?);
                    self.eat(MODE, Punct::Comma)?;
                }
                _ => return Ok(items),
            }
        }
    }

    fn memory_item(&mut self) -> Result<MemoryItem> {
        const MODE: Mode = Mode::Script;
        if self.eat_keyword(MODE, Keyword::Include)? {
            return Ok(MemoryItem::Include(self.name(MODE, "the file to include")?));
        }
        let name = self.name(MODE, "a memory region")?;
        let attributes = self.region_attributes()?;
        self.expect(MODE, Punct::Colon, "after the region's name")?;
        let origin = self.region_field(Keyword::Origin)?;
        self.eat(MODE, Punct::Comma)?;
        let length = self.region_field(Keyword::Length)?;
        Ok(MemoryItem::Region(MemoryRegion {
            name,
            attributes,
            origin,
            length,
        }))
    }

    /// `ORIGIN = value` or `LENGTH = value`.
    fn region_field(&mut self, keyword: Keyword) -> Result<Expr> {
        const MODE: Mode = Mode::Script;
        let word = keyword.text();
        if !self.eat_keyword(MODE, keyword)? {
            return Err(self.expected(MODE, &format!("`{word} = …`")));
        }
        self.expect(MODE, Punct::Assign, &format!("after `{word}`"))?;
        self.expr()
    }

    /// `(letters)`, where `!` turns the sense of the letters after it.
    fn region_attributes(&mut self) -> Result<Vec<RegionAttribute>> {
        const MODE: Mode = Mode::Script;
        let mut attributes = Vec::new();
        if !self.eat(MODE, Punct::ParenOpen)? {
            return Ok(attributes);
        }
        loop {
            let mut without = self.eat(MODE, Punct::Bang)?;
            let letters = self.name(MODE, "the attributes of the region")?;
            for letter in letters.value.chars() {
                if letter == '!' {
                    without = !without;
                    continue;
                }
                let flag = region_flag(letter).ok_or_else(|| bad_attribute(letter, &letters))?;
                attributes.push(RegionAttribute { flag, without });
            }
            if self.eat(MODE, Punct::ParenClose)? {
                return Ok(attributes);
            }
        }
    }

    /// `{ phdr … }`.
    pub(super) fn phdrs(&mut self) -> Result<Vec<Spanned<Phdr>>> {
        self.expect(Mode::Script, Punct::BraceOpen, "after `PHDRS`")?;
        let mut phdrs = Vec::new();
        while matches!(self.peek(Mode::Script)?.kind, TokenKind::Name { .. }) {
            phdrs.push(self.spanned(Parser::phdr)?);
        }
        self.expect(Mode::Script, Punct::BraceClose, "after the program headers")?;
        Ok(phdrs)
    }

    fn phdr(&mut self) -> Result<Phdr> {
        const MODE: Mode = Mode::Expression;
        let name = self.name(Mode::Script, "a program header")?;
        let segment_type = segment_type(self.expr()?)?;
        let mut phdr = Phdr {
            name,
            segment_type,
            file_header: false,
            program_headers: false,
            load_address: None,
            flags: None,
        };
        loop {
            if self.eat_keyword(MODE, Keyword::At)? {
                phdr.load_address = Some(self.paren_expr("after `AT`")?);
            } else if matches!(self.peek(MODE)?.kind, TokenKind::Name { .. }) {
                let word = self.name(MODE, "a qualifier")?;
                match word.value.as_str() {
                    "FILEHDR" => phdr.file_header = true,
                    "PHDRS" => phdr.program_headers = true,
                    "FLAGS" => phdr.flags = Some(self.paren_expr("after `FLAGS`")?),
                    _ => {
                        let words = ["FILEHDR", "PHDRS", "FLAGS", "AT"];
                        return Err(unknown_word("program header qualifier", &word, words));
                    }
                }
            } else {
                self.expect(MODE, Punct::Semicolon, "after a program header")?;
                return Ok(phdr);
            }
        }
    }

    /// `(expression)`.
    pub(super) fn paren_expr(&mut self, context: &str) -> Result<Expr> {
        const MODE: Mode = Mode::Expression;
        self.open(MODE, context)?;
        let expr = self.expr()?;
        self.close(MODE, "after the expression")?;
        Ok(expr)
    }
}

fn segment_type(expr: Expr) -> Result<SegmentType> {
    let ExprKind::Symbol(name) = &expr.kind else {
        return Ok(SegmentType::Value(expr));
    };
    match SEGMENT_TYPES.iter().find(|(known, _)| known == name) {
        Some(&(_, number)) => Ok(SegmentType::Named {
            number,
            span: expr.span,
        }),
        None => {
            let name = Name::new(name.clone(), expr.span);
            let known = SEGMENT_TYPES.iter().map(|&(known, _)| known);
            let error = unknown_word("segment type", &name, known);
            Err(match error.help {
                Some(_) => error,
                None => error.help("write the number of any other type"),
            })
        }
    }
}

fn region_flag(letter: char) -> Option<RegionFlag> {
    Some(match letter.to_ascii_lowercase() {
        'a' => RegionFlag::Alloc,
        'r' => RegionFlag::ReadOnly,
        'w' => RegionFlag::ReadWrite,
        'x' => RegionFlag::Executable,
        'i' | 'l' => RegionFlag::Initialized,
        _ => return None,
    })
}

fn bad_attribute(letter: char, letters: &Name) -> ScriptError {
    let kind = ErrorKind::UnknownWord {
        what: "attribute of a memory region",
        name: letter.to_string(),
    };
    ScriptError::new(kind, letters.span).help(
        "the attributes are r (read-only), w (data), x (code), a (allocated), \
         i and l (loaded), and ! before those that must be absent",
    )
}
