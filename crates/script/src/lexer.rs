//! Tokens. Which characters make a name changes with the context: `a+b` is
//! one file name in a list of inputs and three tokens in an expression. The
//! parser therefore asks for each token in a [`Mode`], and may ask again for
//! the same text in another.
//!
//! The contexts, character classes and the preference for the longest match
//! are those of ld/ldlex.l in binutils 2.40. Where GNU ld skips a stray
//! character with a warning, or reads the number 0 out of `add` (hexadecimal
//! digits and a `d`), this lexer reports an error.

use crate::diagnostic::{ErrorKind, ScriptError};
use crate::keyword::Keyword;
use crate::source::Span;

/// The context a token is read in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Commands and section names.
    Script,
    /// Expressions.
    Expression,
    /// Between the braces of an output section.
    Wild,
    /// The files of `INPUT` and `GROUP`.
    InputList,
    /// Between version nodes: their tags.
    VersionTags,
    /// Inside a version node: symbol patterns.
    VersionNode,
}

impl Mode {
    fn words(self) -> &'static str {
        match self {
            Mode::Script => "a script",
            Mode::Expression => "an expression",
            Mode::Wild => "an output section",
            Mode::InputList => "a list of input files",
            Mode::VersionTags | Mode::VersionNode => "a version script",
        }
    }
}

macro_rules! puncts {
    ($($variant:ident $text:literal;)*) => {
        /// An operator or a separator.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Punct { $($variant,)* }

        impl Punct {
            pub(crate) fn text(self) -> &'static str {
                match self { $(Punct::$variant => $text,)* }
            }
        }

        /// Longer ones first, so that the first that fits is the longest.
        const PUNCTS: &[(&str, Punct)] = &[$(($text, Punct::$variant),)*];
    };
}

puncts! {
    ShlAssign "<<="; ShrAssign ">>=";
    OrOr "||"; AndAnd "&&"; EqEq "=="; NotEq "!="; GreaterEq ">="; LessEq "<=";
    Shl "<<"; Shr ">>"; AddAssign "+="; SubAssign "-="; MulAssign "*="; DivAssign "/=";
    AndAssign "&="; OrAssign "|="; XorAssign "^=";
    Greater ">"; Less "<"; Comma ","; And "&"; Or "|"; Xor "^"; Tilde "~"; Bang "!";
    Question "?"; Star "*"; Plus "+"; Minus "-"; Slash "/"; Percent "%"; Assign "=";
    BraceOpen "{"; BraceClose "}"; ParenOpen "("; ParenClose ")"; Colon ":"; Semicolon ";";
    BracketOpen "["; BracketClose "]";
}

impl Punct {
    fn is_in(self, mode: Mode) -> bool {
        use Punct::*;
        match mode {
            Mode::Expression => !matches!(self, BracketOpen | BracketClose),
            Mode::Script => {
                self.is_assignment()
                    || matches!(
                        self,
                        Greater | Comma | Tilde | Bang | Plus | Minus | BraceOpen | BraceClose
                    )
                    || matches!(self, ParenOpen | ParenClose | Colon | Semicolon)
            }
            Mode::Wild => {
                self.is_assignment()
                    || matches!(self, And | BraceOpen | BraceClose | ParenOpen | ParenClose)
                    || matches!(self, Semicolon | BracketOpen | BracketClose)
            }
            Mode::InputList => matches!(self, Comma | ParenOpen | ParenClose),
            Mode::VersionTags | Mode::VersionNode => {
                matches!(self, Colon | Comma | Semicolon | BraceOpen | BraceClose)
            }
        }
    }

    fn is_assignment(self) -> bool {
        use Punct::*;
        matches!(
            self,
            Assign | AddAssign | SubAssign | MulAssign | DivAssign | ShlAssign | ShrAssign
        ) || matches!(self, AndAssign | OrAssign | XorAssign)
    }
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind<'a> {
    /// A name, quoted or not; without its quotes.
    Name {
        text: &'a str,
        quoted: bool,
    },
    /// `-lNAME` in a list of inputs, without the `-l`.
    Library(&'a str),
    /// A number: saturated to 64 bits, as GNU ld reads it.
    Int(u64),
    Keyword(Keyword),
    Punct(Punct),
    /// The end of the script.
    End,
}

/// A token and its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: TokenKind<'a>,
    pub(crate) span: Span,
}

impl Token<'_> {
    /// The token in words, for messages.
    pub(crate) fn describe(&self) -> String {
        const LONGEST: usize = 40;
        let shorten = |text: &str| match text.char_indices().nth(LONGEST) {
            Some((end, _)) => format!("{}…", &text[..end]),
            None => text.to_owned(),
        };
        match self.kind {
            TokenKind::Name { text, quoted: true } => format!("`\"{}\"`", shorten(text)),
            TokenKind::Name { text, .. } => format!("`{}`", shorten(text)),
            TokenKind::Library(text) => format!("`-l{}`", shorten(text)),
            TokenKind::Int(value) => format!("the number {value:#x}"),
            TokenKind::Keyword(keyword) => format!("`{}`", keyword.text()),
            TokenKind::Punct(punct) => format!("`{}`", punct.text()),
            TokenKind::End => "the end of the script".to_owned(),
        }
    }
}

/// Reads the token that starts at or after byte `at`.
///
/// The text must be shorter than 4 GiB.
pub(crate) fn token(text: &str, at: usize, mode: Mode) -> Result<Token<'_>, ScriptError> {
    let start = skip_blanks(text, at, mode)?;
    let rest = &text[start..];
    let make = |kind, length: usize| Token {
        kind,
        span: span(start, start + length),
    };
    let Some(first) = rest.chars().next() else {
        return Ok(make(TokenKind::End, 0));
    };
    if first == '"' && mode != Mode::VersionTags {
        return quoted(rest, start);
    }
    let number = match mode {
        Mode::Script | Mode::Expression => number_length(rest.as_bytes(), mode),
        _ => 0,
    };
    let name = name_length(rest.as_bytes(), mode);
    if number > 0 && number >= name {
        return Ok(make(
            TokenKind::Int(number_value(rest, number, start)?),
            number,
        ));
    }
    let punct = PUNCTS
        .iter()
        .find(|(text, punct)| punct.is_in(mode) && rest.starts_with(text));
    if let Some(&(text, punct)) = punct
        && text.len() >= name
    {
        return Ok(make(TokenKind::Punct(punct), text.len()));
    }
    if name == 0 {
        let end = start + first.len_utf8();
        let context = mode.words();
        return Err(ScriptError::new(
            ErrorKind::InvalidCharacter {
                character: first,
                context,
            },
            span(start, end),
        ));
    }
    let word = &rest[..name];
    let kind = match Keyword::find(word, mode) {
        Some(keyword) => TokenKind::Keyword(keyword),
        None => match word.strip_prefix("-l") {
            Some(library) if mode == Mode::InputList => TokenKind::Library(library),
            _ => TokenKind::Name {
                text: word,
                quoted: false,
            },
        },
    };
    Ok(make(kind, name))
}

fn span(start: usize, end: usize) -> Span {
    // The parser refuses texts that do not fit.
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span {
        start: offset(start),
        end: offset(end),
    }
}

/// The offset of the first byte at or after `at` that is neither blank nor
/// in a comment.
pub(crate) fn skip_blanks(text: &str, mut at: usize, mode: Mode) -> Result<usize, ScriptError> {
    let bytes = text.as_bytes();
    loop {
        match bytes.get(at) {
            Some(b' ' | b'\t' | b'\n' | b'\r') => at += 1,
            Some(b'#') if mode != Mode::InputList => {
                at += bytes[at..]
                    .iter()
                    .position(|&byte| byte == b'\n')
                    .unwrap_or(bytes.len() - at);
            }
            Some(b'/') if bytes.get(at + 1) == Some(&b'*') => match text[at + 2..].find("*/") {
                Some(length) => at += length + 4,
                None => {
                    let here = span(at, at + 2);
                    return Err(ScriptError::new(ErrorKind::UnterminatedComment, here)
                        .help("end it with `*/`; comments do not nest"));
                }
            },
            _ => return Ok(at),
        }
    }
}

fn quoted(rest: &str, start: usize) -> Result<Token<'_>, ScriptError> {
    match rest[1..].find('"') {
        Some(length) => Ok(Token {
            kind: TokenKind::Name {
                text: &rest[1..=length],
                quoted: true,
            },
            span: span(start, start + length + 2),
        }),
        None => Err(
            ScriptError::new(ErrorKind::UnterminatedString, span(start, start + 1))
                .help("end it with `\"`; there are no escapes inside quotes"),
        ),
    }
}

/// The length of the name at the front, 0 when there is none.
fn name_length(bytes: &[u8], mode: Mode) -> usize {
    let run = |from: usize, accept: fn(u8) -> bool| {
        let rest = bytes.get(from..).unwrap_or_default();
        from + rest
            .iter()
            .position(|&byte| !accept(byte))
            .unwrap_or(rest.len())
    };
    let Some(&first) = bytes.first() else {
        return 0;
    };
    match mode {
        Mode::Script if is_file_start(first) => run(1, is_file),
        Mode::InputList => {
            let second = bytes.get(1).copied().unwrap_or(0);
            match first {
                b'=' if is_file_start(second) => run(2, is_file),
                b'-' if second == b'l' && bytes.get(2).is_some_and(|&byte| is_file(byte)) => {
                    run(3, is_file)
                }
                _ if is_file_start(first) => run(1, is_file),
                _ => 0,
            }
        }
        // A fill expression may stand directly before this section.
        Mode::Expression if bytes.starts_with(b"/DISCARD/") => run(9, |_| false),
        Mode::Expression if is_symbol_start(first) => run(1, is_symbol),
        Mode::Wild => run(0, is_wild),
        Mode::VersionTags if matches!(first, b'.' | b'$' | b'_') || first.is_ascii_alphabetic() => {
            run(1, |byte| {
                matches!(byte, b'.' | b'_') || byte.is_ascii_alphanumeric()
            })
        }
        Mode::VersionNode if is_version_pattern(first) && !first.is_ascii_digit() => {
            let mut end = run(1, is_version_pattern);
            // `::` of C++ names is part of a pattern, a single `:` is not.
            while bytes.get(end..end + 2) == Some(b"::") {
                end = run(end + 2, is_version_pattern);
            }
            end
        }
        _ => 0,
    }
}

fn is_symbol_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'.' | b'\\' | b'$')
}

fn is_symbol(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'/' | b'.' | b'\\' | b'$' | b'~')
}

fn is_file_start(byte: u8) -> bool {
    is_symbol_start(byte) || matches!(byte, b'/' | b'~')
}

fn is_file(byte: u8) -> bool {
    is_symbol(byte) || matches!(byte, b'-' | b'+' | b':' | b'[' | b']' | b',' | b'=')
}

fn is_wild(byte: u8) -> bool {
    is_file(byte) || matches!(byte, b'?' | b'*' | b'^' | b'!')
}

fn is_version_pattern(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'*' | b'?' | b'.' | b'$' | b'_' | b'[' | b']' | b'-' | b'!' | b'^' | b'\\'
        )
}

/// The length of the number at the front, 0 when there is none: the longest
/// of `$HEX`, `0xHEX` and decimal digits with an optional K or M, and – in
/// expressions – hexadecimal digits that end in a letter for the base.
fn number_length(bytes: &[u8], mode: Mode) -> usize {
    let hex_run = |from: usize| {
        let rest = bytes.get(from..).unwrap_or_default();
        let digits = rest.iter().position(|byte| !byte.is_ascii_hexdigit());
        digits.unwrap_or(rest.len())
    };
    let prefix = match bytes {
        [b'$', ..] => 1,
        [b'0', b'x' | b'X', ..] => 2,
        _ => 0,
    };
    let plain = match (prefix, hex_run(prefix)) {
        (1.., digits @ 1..) => prefix + digits,
        _ => bytes
            .iter()
            .position(|byte| !byte.is_ascii_digit())
            .unwrap_or(bytes.len()),
    };
    let scaled = matches!(bytes.get(plain), Some(b'K' | b'M' | b'k' | b'm')) && plain > 0;
    let plain = plain + usize::from(scaled);
    if mode != Mode::Expression {
        return plain;
    }
    let digits = hex_run(0);
    let suffixed = match bytes.get(digits) {
        Some(b'H' | b'h' | b'X' | b'x' | b'O' | b'o') if digits > 0 => digits + 1,
        // B and D are digits too: the last one that has digits before it.
        _ => bytes[..digits]
            .iter()
            .rposition(|byte| matches!(byte, b'B' | b'b' | b'D' | b'd'))
            .map_or(0, |at| if at > 0 { at + 1 } else { 0 }),
    };
    plain.max(suffixed)
}

/// The value of the number that is the first `length` bytes of `rest`.
fn number_value(rest: &str, length: usize, start: usize) -> Result<u64, ScriptError> {
    let next = rest.as_bytes().get(length).copied().unwrap_or(b' ');
    let bad = |length: usize| {
        let text = &rest[..length];
        let kind = ErrorKind::BadNumber {
            text: text.to_owned(),
        };
        let help = match text.starts_with(|first: char| first.is_ascii_digit()) {
            true => "write it with 0x, or with the letter of its base at the end: \
                     12d, 17o, 101b, 1fh"
                .to_owned(),
            false => format!(
                "hexadecimal digits that end in b, d, h, o or x are a number in an \
                 expression; quote the symbol: \"{text}\""
            ),
        };
        ScriptError::new(kind, span(start, start + length)).help(help)
    };
    if next.is_ascii_alphanumeric() || next == b'_' {
        let tail = rest.as_bytes()[length..]
            .iter()
            .position(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_');
        return Err(bad(tail.map_or(rest.len(), |tail| length + tail)));
    }
    parse_number(&rest[..length]).ok_or_else(|| bad(length))
}

/// Reads a number as GNU ld does: values above 64 bits are the largest one.
fn parse_number(text: &str) -> Option<u64> {
    let (body, scale) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 1024),
        b'M' | b'm' => (&text[..text.len() - 1], 1024 * 1024),
        _ => (text, 1),
    };
    let without_suffix = &body[..body.len() - 1];
    let (digits, base) = if let Some(hex) = body.strip_prefix('$') {
        (hex, 16)
    } else if let Some(hex) = body.strip_prefix("0x").or(body.strip_prefix("0X"))
        && !hex.is_empty()
    {
        // `0x1d` is 29: the prefix wins over the suffix.
        (hex, 16)
    } else {
        match body.as_bytes().last()? {
            b'H' | b'h' | b'X' | b'x' => (without_suffix, 16),
            b'O' | b'o' => (without_suffix, 8),
            b'B' | b'b' => (without_suffix, 2),
            b'D' | b'd' => (without_suffix, 10),
            _ if body.len() > 1 && body.starts_with('0') => (body, 8),
            _ => (body, 10),
        }
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(base)) {
        return None;
    }
    let value = u64::from_str_radix(digits, base).unwrap_or(u64::MAX);
    Some(value.wrapping_mul(scale))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lex(text: &str, mode: Mode) -> Vec<String> {
        let (mut at, mut words) = (0, Vec::new());
        loop {
            match token(text, at, mode) {
                Ok(token) if token.kind == TokenKind::End => return words,
                Ok(token) => {
                    words.push(token.describe());
                    at = token.span.end as usize;
                }
                Err(error) => {
                    words.push(error.to_string());
                    return words;
                }
            }
        }
    }

    #[test]
    fn the_same_text_differs_by_mode() {
        assert_eq!(lex("a+b", Mode::Expression), ["`a`", "`+`", "`b`"]);
        assert_eq!(lex("a+b", Mode::Script), ["`a+b`"]);
        assert_eq!(lex("x=1", Mode::Wild), ["`x=1`"]);
        assert_eq!(lex("x =1;", Mode::Expression).len(), 4);
        assert_eq!(lex("*(.a /* c */ .b)", Mode::Wild).len(), 5);
        assert_eq!(lex("lib/*.o", Mode::Wild), ["`lib/*.o`"]);
        assert_eq!(
            lex("-lm AS_NEEDED", Mode::InputList),
            ["`-lm`", "`AS_NEEDED`"]
        );
        assert_eq!(lex("a::b:", Mode::VersionNode), ["`a::b`", "`:`"]);
        assert_eq!(lex("KEEP", Mode::Wild), lex("KEEP", Mode::Script));
        assert_eq!(lex(">>=", Mode::Script), ["`>>=`"]);
        assert_eq!(lex(">=", Mode::Script), ["`>`", "`=`"]);
        assert_eq!(lex(">=", Mode::Expression), ["`>=`"]);
    }

    #[test]
    fn numbers_have_many_forms() {
        let value = |text: &str| match token(text, 0, Mode::Expression) {
            Ok(Token {
                kind: TokenKind::Int(value),
                span,
            }) if span.end as usize == text.len() => Some(value),
            _ => None,
        };
        for (text, expected) in [
            ("0", 0),
            ("10", 10),
            ("010", 8),
            ("0x10", 16),
            ("0X1F", 31),
            ("$1f", 31),
            ("10K", 10240),
            ("0x2m", 2 << 20),
            ("$1K", 1024),
            ("1fh", 31),
            ("10x", 16),
            ("17o", 15),
            ("101b", 5),
            ("12d", 12),
            ("0x1d", 29),
            ("0b", 0),
            ("fh", 15),
            ("99999999999999999999999", u64::MAX),
        ] {
            assert_eq!(value(text), Some(expected), "{text}");
        }
        for text in ["add", "09", "12q", "0x1fz", "12d5", "fob", "1_0"] {
            assert_eq!(value(text), None, "{text}");
        }
        assert_eq!(lex("address", Mode::Expression), ["`address`"]);
        assert_eq!(lex("add", Mode::Script), ["`add`"]);
    }
}
