//! Version scripts, the `VERSION` command and dynamic lists.

use super::{Parser, Result};
use crate::keyword::Keyword;
use crate::lexer::{Mode, Punct, TokenKind};
use crate::pattern::Pattern;
use crate::source::{Name, Spanned};
use crate::version::{Language, VersionNode, VersionPattern, VersionScript};

impl Parser<'_> {
    /// `{ node … }` after the word `VERSION`.
    pub(super) fn version_command(&mut self) -> Result<VersionScript> {
        const MODE: Mode = Mode::VersionTags;
        self.expect(MODE, Punct::BraceOpen, "after `VERSION`")?;
        let script = self.version_nodes()?;
        self.expect(MODE, Punct::BraceClose, "after the version nodes")?;
        Ok(script)
    }

    /// Nodes up to a closing brace or the end; at least one.
    pub(super) fn version_nodes(&mut self) -> Result<VersionScript> {
        const MODE: Mode = Mode::VersionTags;
        let mut nodes = vec![self.spanned(Parser::version_node)?];
        while !self.at(MODE, Punct::BraceClose)? && !self.at_end(MODE)? {
            nodes.push(self.spanned(Parser::version_node)?);
        }
        Ok(VersionScript { nodes })
    }

    fn version_node(&mut self) -> Result<VersionNode> {
        const MODE: Mode = Mode::VersionTags;
        let mut node = VersionNode::default();
        if matches!(self.peek(MODE)?.kind, TokenKind::Name { .. }) {
            node.tag = Some(self.name(MODE, "a version")?);
        }
        self.expect(MODE, Punct::BraceOpen, "before the symbols of a version")?;
        let mut is_local = false;
        while !self.eat(Mode::VersionNode, Punct::BraceClose)? {
            if let Some(label) = self.version_label()? {
                is_local = label;
                continue;
            }
            let mut patterns = Vec::new();
            self.version_pattern(&Language::C, &mut patterns)?;
            self.expect(
                Mode::VersionNode,
                Punct::Semicolon,
                "after a symbol pattern",
            )?;
            match is_local {
                true => node.local.append(&mut patterns),
                false => node.global.append(&mut patterns),
            }
        }
        while node.tag.is_some() && !self.at(MODE, Punct::Semicolon)? {
            node.dependencies
                .push(self.name(MODE, "`;`, or a version that this one depends on")?);
        }
        self.expect(MODE, Punct::Semicolon, "after a version node")?;
        Ok(node)
    }

    /// `global:` (false) or `local:` (true). Both words are also patterns.
    fn version_label(&mut self) -> Result<Option<bool>> {
        const MODE: Mode = Mode::VersionNode;
        let is_local = match self.peek(MODE)?.kind {
            TokenKind::Keyword(Keyword::VersionGlobal) => false,
            TokenKind::Keyword(Keyword::VersionLocal) => true,
            _ => return Ok(None),
        };
        let saved = (self.at, self.ahead, self.last);
        self.next(MODE)?;
        if self.eat(MODE, Punct::Colon)? {
            return Ok(Some(is_local));
        }
        (self.at, self.ahead, self.last) = saved;
        Ok(None)
    }

    /// A pattern, or a block of them in another language.
    fn version_pattern(
        &mut self,
        language: &Language,
        into: &mut Vec<VersionPattern>,
    ) -> Result<()> {
        const MODE: Mode = Mode::VersionNode;
        let token = self.peek(MODE)?;
        let pattern = match token.kind {
            TokenKind::Name { text, quoted: true } => Pattern::literal(text),
            TokenKind::Name { text, .. } => Pattern::new(text),
            TokenKind::Keyword(keyword) => Pattern::new(keyword.text()),
            _ => return Err(self.expected(MODE, "a symbol pattern or `}`")),
        };
        self.next(MODE)?;
        let is_extern = token.kind == TokenKind::Keyword(Keyword::VersionExtern);
        if is_extern && matches!(self.peek(MODE)?.kind, TokenKind::Name { .. }) {
            let word = self.name(MODE, "a language in quotes")?;
            return self.nested(|parser| parser.extern_block(word, into));
        }
        into.push(VersionPattern {
            pattern: Spanned::new(pattern, token.span),
            language: language.clone(),
        });
        Ok(())
    }

    /// `{ pattern; … }` after `extern "language"`.
    fn extern_block(&mut self, word: Name, into: &mut Vec<VersionPattern>) -> Result<()> {
        const MODE: Mode = Mode::VersionNode;
        let language = match word.value.as_str() {
            "C" => Language::C,
            "C++" => Language::Cxx,
            "Java" => Language::Java,
            _ => Language::Other(word),
        };
        self.expect(MODE, Punct::BraceOpen, "after the language")?;
        loop {
            self.version_pattern(&language, into)?;
            if self.eat(MODE, Punct::BraceClose)? {
                return Ok(());
            }
            self.expect(MODE, Punct::Semicolon, "after a symbol pattern")?;
            if self.eat(MODE, Punct::BraceClose)? {
                return Ok(());
            }
        }
    }

    /// `{ pattern; … };` …, as in a dynamic list.
    pub(super) fn dynamic_list(&mut self) -> Result<VersionScript> {
        let mut nodes = Vec::new();
        while nodes.is_empty() || !self.at_end(Mode::VersionTags)? {
            nodes.push(self.spanned(|parser| {
                let mut node = VersionNode::default();
                parser.expect(Mode::VersionTags, Punct::BraceOpen, "before the symbols")?;
                loop {
                    parser.version_pattern(&Language::C, &mut node.global)?;
                    let mode = Mode::VersionNode;
                    parser.expect(mode, Punct::Semicolon, "after a symbol pattern")?;
                    if parser.eat(mode, Punct::BraceClose)? {
                        break;
                    }
                }
                parser.expect(Mode::VersionTags, Punct::Semicolon, "after the list")?;
                Ok(node)
            })?);
        }
        Ok(VersionScript { nodes })
    }
}
