//! Recursive descent over the tokens of [`crate::lexer`].
//!
//! Each function reads one construct and names the lexical context of each
//! token it asks for. A token that was looked at in one context is read again
//! when it is asked for in another.

mod commands;
mod expr;
mod memory;
mod output;
mod sections;
mod version;

use crate::ast::{Assignment, Constraint, MemoryItem, Script, SectionItem, Statement};
use crate::diagnostic::{ErrorKind, ScriptError, nearest};
use crate::expr::Expr;
use crate::keyword::Keyword;
use crate::lexer::{Mode, Punct, Token, TokenKind, skip_blanks, token};
use crate::source::{Name, Source, Span, Spanned};
use crate::version::VersionScript;

type Result<T, E = ScriptError> = std::result::Result<T, E>;

/// The greatest depth of blocks and parentheses. Deeper scripts are an error
/// and not a stack overflow; real ones stay below 20.
pub const MAX_NESTING: u32 = 100;

/// The greatest height of an expression's tree, which a chain such as
/// `a + b + …` raises by one for each operator.
pub const MAX_HEIGHT: u32 = 500;

/// Parses a linker script.
///
/// # Errors
/// The first place where the text is not GNU ld's language.
pub fn parse(source: &Source) -> Result<Script> {
    let mut parser = Parser::new(source)?;
    let mut commands = Vec::new();
    while !parser.at_end(Mode::Script)? {
        if !parser.eat(Mode::Script, Punct::Semicolon)? {
            commands.push(parser.spanned(Parser::command)?);
        }
    }
    Ok(Script { commands })
}

/// Parses a file that `INCLUDE` names inside `SECTIONS`.
///
/// # Errors
/// As [`parse`].
pub fn parse_section_items(source: &Source) -> Result<Vec<Spanned<SectionItem>>> {
    let mut parser = Parser::new(source)?;
    let items = parser.section_items()?;
    parser.finish(Mode::Script, "a section, an assignment or a command")?;
    Ok(items)
}

/// Parses a file that `INCLUDE` names inside an output section.
///
/// # Errors
/// As [`parse`].
pub fn parse_statements(source: &Source) -> Result<Vec<Spanned<Statement>>> {
    let mut parser = Parser::new(source)?;
    let statements = parser.statements()?;
    parser.finish(Mode::Wild, "a statement")?;
    Ok(statements)
}

/// Parses a file that `INCLUDE` names inside `MEMORY`.
///
/// # Errors
/// As [`parse`].
pub fn parse_memory_items(source: &Source) -> Result<Vec<Spanned<MemoryItem>>> {
    let mut parser = Parser::new(source)?;
    let items = parser.memory_items()?;
    parser.finish(Mode::Script, "a memory region")?;
    Ok(items)
}

/// Parses a version script, as `--version-script` takes it.
///
/// # Errors
/// As [`parse`].
pub fn parse_version_script(source: &Source) -> Result<VersionScript> {
    let mut parser = Parser::new(source)?;
    let script = parser.version_nodes()?;
    parser.finish(Mode::VersionTags, "a version node")?;
    Ok(script)
}

/// Parses a dynamic list, as `--dynamic-list` takes it: nodes without tags
/// whose patterns are all global.
///
/// # Errors
/// As [`parse`].
pub fn parse_dynamic_list(source: &Source) -> Result<VersionScript> {
    let mut parser = Parser::new(source)?;
    let script = parser.dynamic_list()?;
    parser.finish(Mode::VersionTags, "`{`")?;
    Ok(script)
}

/// Parses an assignment without a separator, as `--defsym` takes it.
///
/// # Errors
/// As [`parse`].
pub fn parse_assignment(source: &Source) -> Result<Assignment> {
    let mut parser = Parser::new(source)?;
    let assignment = parser.assignment(Mode::Expression)?;
    parser.finish(Mode::Expression, "an operator or the end")?;
    Ok(assignment)
}

/// Parses an expression alone.
///
/// # Errors
/// As [`parse`].
pub fn parse_expression(source: &Source) -> Result<Expr> {
    let mut parser = Parser::new(source)?;
    let expr = parser.expr()?;
    parser.finish(Mode::Expression, "an operator or the end")?;
    Ok(expr)
}

struct Parser<'a> {
    text: &'a str,
    /// Where the next token starts, blanks before it included.
    at: usize,
    /// The token there, once it has been looked at, and in which mode.
    ahead: Option<(Mode, Token<'a>)>,
    /// The last token taken.
    last: Span,
    /// Blocks and parentheses that are open.
    depth: u32,
}

impl<'a> Parser<'a> {
    fn new(source: &'a Source) -> Result<Parser<'a>> {
        let text = source.text.as_str();
        if u32::try_from(text.len()).is_err() {
            let length = text.len();
            return Err(ScriptError::new(
                ErrorKind::TooLong { length },
                Span::default(),
            ));
        }
        Ok(Parser {
            text,
            at: 0,
            ahead: None,
            last: Span::default(),
            depth: 0,
        })
    }

    /// The next token, which stays where it is.
    fn peek(&mut self, mode: Mode) -> Result<Token<'a>> {
        match self.ahead {
            Some((seen, token)) if seen == mode => Ok(token),
            _ => {
                let token = token(self.text, self.at, mode)?;
                self.ahead = Some((mode, token));
                Ok(token)
            }
        }
    }

    fn next(&mut self, mode: Mode) -> Result<Token<'a>> {
        let token = self.peek(mode)?;
        self.ahead = None;
        self.at = token.span.end as usize;
        self.last = token.span;
        Ok(token)
    }

    /// What the script says at a place.
    fn text_of(&self, span: Span) -> &'a str {
        &self.text[span.start as usize..span.end as usize]
    }

    fn at_end(&mut self, mode: Mode) -> Result<bool> {
        Ok(self.peek(mode)?.kind == TokenKind::End)
    }

    fn finish(&mut self, mode: Mode, expected: &str) -> Result<()> {
        if self.at_end(mode)? {
            return Ok(());
        }
        Err(self.expected(mode, expected))
    }

    fn at(&mut self, mode: Mode, punct: Punct) -> Result<bool> {
        Ok(self.peek(mode)?.kind == TokenKind::Punct(punct))
    }

    fn at_keyword(&mut self, mode: Mode, keyword: Keyword) -> Result<bool> {
        Ok(self.peek(mode)?.kind == TokenKind::Keyword(keyword))
    }

    /// Takes the token if it is this one.
    fn eat(&mut self, mode: Mode, punct: Punct) -> Result<bool> {
        let found = self.at(mode, punct)?;
        if found {
            self.next(mode)?;
        }
        Ok(found)
    }

    fn eat_keyword(&mut self, mode: Mode, keyword: Keyword) -> Result<bool> {
        let found = self.at_keyword(mode, keyword)?;
        if found {
            self.next(mode)?;
        }
        Ok(found)
    }

    /// Takes this token; `context` says what it belongs to, as "after …".
    fn expect(&mut self, mode: Mode, punct: Punct, context: &str) -> Result<Span> {
        let token = match self.peek(mode) {
            Ok(token) => token,
            // A stray character is where the token should have been.
            Err(error) if matches!(*error.kind, ErrorKind::InvalidCharacter { .. }) => {
                return Err(error.help(format!("expected `{}` {context}", punct.text())));
            }
            Err(error) => return Err(error),
        };
        if token.kind == TokenKind::Punct(punct) {
            return Ok(self.next(mode)?.span);
        }
        let last = self.text_of(self.last);
        let mut error = self.expected(mode, &format!("`{}` {context}", punct.text()));
        if last.ends_with(punct.text())
            && !last.starts_with('"')
            && let Some(help) = glued(last)
        {
            error = error.help(help);
        }
        // What is missing belongs behind the last token, not before the next.
        if matches!(punct, Punct::Semicolon) {
            let end = self.last.end;
            error.span = Span { start: end, end };
        }
        Err(error)
    }

    fn open(&mut self, mode: Mode, context: &str) -> Result<()> {
        self.expect(mode, Punct::ParenOpen, context).map(drop)
    }

    fn close(&mut self, mode: Mode, context: &str) -> Result<()> {
        self.expect(mode, Punct::ParenClose, context).map(drop)
    }

    /// The `}` of the block that `open` opened, where `expected` is what else
    /// may stand.
    fn close_block(&mut self, mode: Mode, open: Span, expected: &str) -> Result<()> {
        if self.eat(mode, Punct::BraceClose)? {
            return Ok(());
        }
        let error = self.expected(mode, &format!("{expected}, or `}}`"));
        if !self.at_end(mode)? {
            return Err(error);
        }
        let before = &self.text[..open.start as usize];
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        Err(error.help(format!("the `{{` in line {line} has no `}}`")))
    }

    /// An error: the next token is not what is expected.
    fn expected(&mut self, mode: Mode, expected: &str) -> ScriptError {
        let token = match self.peek(mode) {
            Ok(token) => token,
            Err(error) => return error,
        };
        let kind = ErrorKind::Expected {
            expected: expected.to_owned(),
            found: token.describe(),
        };
        let error = ScriptError::new(kind, token.span);
        match token.kind {
            TokenKind::Name {
                text,
                quoted: false,
            } if mode != Mode::Expression => match glued(text) {
                Some(help) => error.help(help),
                None => error,
            },
            TokenKind::Keyword(keyword) => error.help(format!(
                "`{0}` is a reserved word here; a name that looks like it is quoted: \"{0}\"",
                keyword.text()
            )),
            _ => error,
        }
    }

    fn name(&mut self, mode: Mode, what: &str) -> Result<Name> {
        let token = self.peek(mode)?;
        match token.kind {
            TokenKind::Name { text, .. } => {
                self.next(mode)?;
                Ok(Name::new(text.to_owned(), token.span))
            }
            _ => Err(self.expected(mode, what)),
        }
    }

    /// `(name)`.
    fn paren_name(&mut self, mode: Mode, what: &str) -> Result<Name> {
        self.open(mode, &format!("before {what}"))?;
        let name = self.name(mode, what)?;
        self.close(mode, &format!("after {what}"))?;
        Ok(name)
    }

    /// `(name …)`, separated by blanks or commas; may be empty.
    fn paren_names(&mut self, mode: Mode, what: &str) -> Result<Vec<Name>> {
        self.open(mode, &format!("before {what}"))?;
        let mut names = Vec::new();
        while !self.eat(mode, Punct::ParenClose)? {
            names.push(self.name(mode, what)?);
            self.eat(mode, Punct::Comma)?;
        }
        Ok(names)
    }

    /// Runs `read` and joins what it read with its place.
    fn spanned<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<Spanned<T>> {
        // Blanks and comments before the first token are not part of it.
        let start = skip_blanks(self.text, self.at, Mode::Script)?;
        let start = u32::try_from(start).unwrap_or(u32::MAX);
        let value = read(self)?;
        let end = self.last.end.max(start);
        Ok(Spanned::new(value, Span { start, end }))
    }

    /// Runs `read` one level deeper.
    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_NESTING {
            let kind = ErrorKind::TooDeep { limit: MAX_NESTING };
            return Err(ScriptError::new(kind, self.last));
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// The separator that every assignment needs.
    fn separator(&mut self, mode: Mode, context: &str) -> Result<()> {
        if self.eat(mode, Punct::Comma)? {
            return Ok(());
        }
        self.expect(mode, Punct::Semicolon, context).map(drop)
    }
}

/// An error: no word of `candidates` is `name`.
fn unknown_word<'a>(
    what: &'static str,
    name: &Name,
    candidates: impl IntoIterator<Item = &'a str>,
) -> ScriptError {
    let kind = ErrorKind::UnknownWord {
        what,
        name: name.value.clone(),
    };
    let error = ScriptError::new(kind, name.span);
    match nearest(&name.value, candidates) {
        Some(candidate) => error.help(format!("did you mean `{candidate}`?")),
        None => error,
    }
}

/// What to do about a name that has an operator stuck to it.
fn glued(text: &str) -> Option<String> {
    for (character, word) in [('=', "`=`"), (',', "`,`"), (':', "`:`")] {
        if text.len() > 1 && text.contains(character) {
            return Some(format!(
                "{word} is part of the unquoted name `{text}` here, as in GNU ld: \
                 put blanks around it, or quote the name"
            ));
        }
    }
    None
}

/// The constraint that a keyword stands for.
fn constraint(keyword: Keyword) -> Option<Constraint> {
    Some(match keyword {
        Keyword::OnlyIfRo => Constraint::OnlyIfReadOnly,
        Keyword::OnlyIfRw => Constraint::OnlyIfReadWrite,
        Keyword::Special => Constraint::Special,
        _ => return None,
    })
}
