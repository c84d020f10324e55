//! Wildcard patterns for file, section and symbol names.

use std::fmt;

/// A compiled wildcard pattern, matched as `fnmatch(3)` with no flags does in
/// the C locale: `*` and `?` match any byte, `/` and a leading `.` included;
/// `[a-z]`, `[!a-z]`, `[^a-z]` and `[[:alpha:]]` match one byte; a backslash
/// takes the next byte as it is. Collating symbols (`[[.a.]]`, `[[=a=]]`) are
/// not known.
///
/// As in GNU ld, text with none of `*?[` is no pattern at all: it matches
/// itself alone, backslashes included. Matching takes time proportional to
/// the name's length times the pattern's, at most.
///
/// ```
/// use klink_script::Pattern;
/// let pattern = Pattern::new(".text.[a-m]*");
/// assert!(pattern.matches(b".text.memcpy"));
/// assert!(!pattern.matches(b".text.strlen"));
/// ```
#[derive(Clone)]
pub struct Pattern {
    text: Box<str>,
    matcher: Matcher,
}

#[derive(Debug, Clone)]
enum Matcher {
    /// No wildcards: equality with the text.
    Literal,
    /// `*`
    Any,
    /// A literal and one `*` at its end: the length of the literal.
    Prefix(usize),
    /// `*` and a literal after it.
    Suffix,
    /// Everything else.
    Glob(Box<[Item]>),
    /// Nothing matches: a backslash ends the pattern.
    Never,
}

#[derive(Debug, Clone)]
enum Item {
    Byte(u8),
    AnyByte,
    Set(Box<ByteSet>),
    Star,
}

impl Pattern {
    /// Compiles a pattern. Every text is one: a `[` without its `]` stands
    /// for itself.
    pub fn new(text: &str) -> Pattern {
        Pattern {
            text: text.into(),
            matcher: compile(text.as_bytes()),
        }
    }

    /// A pattern that matches `text` alone, whatever it contains.
    pub fn literal(text: &str) -> Pattern {
        Pattern {
            text: text.into(),
            matcher: Matcher::Literal,
        }
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the pattern has no wildcards: it matches exactly
    /// [`as_str`](Pattern::as_str).
    pub fn is_literal(&self) -> bool {
        matches!(self.matcher, Matcher::Literal)
    }

    /// Whether the pattern is `*`.
    pub fn is_any(&self) -> bool {
        matches!(self.matcher, Matcher::Any)
    }

    /// The literal bytes that every match starts with.
    pub fn literal_prefix(&self) -> &[u8] {
        let bytes = self.text.as_bytes();
        match self.matcher {
            Matcher::Literal => bytes,
            // A `[` may be literal and a backslash is none of the name's.
            _ => {
                let length = bytes.iter().position(|byte| b"*?[\\".contains(byte));
                &bytes[..length.unwrap_or(bytes.len())]
            }
        }
    }

    /// Whether the pattern matches a whole name.
    pub fn matches(&self, name: &[u8]) -> bool {
        let text = self.text.as_bytes();
        match &self.matcher {
            Matcher::Literal => name == text,
            Matcher::Any => true,
            Matcher::Prefix(length) => name.starts_with(&text[..*length]),
            Matcher::Suffix => name.ends_with(&text[1..]),
            Matcher::Glob(items) => glob(items, name),
            Matcher::Never => false,
        }
    }
}

/// Patterns are the same when they are spelt the same and mean the same.
impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.text == other.text && self.is_literal() == other.is_literal()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, out)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

fn compile(text: &[u8]) -> Matcher {
    let special = |byte: &u8| b"*?[\\".contains(byte);
    if !text.iter().any(|byte| b"*?[".contains(byte)) {
        return Matcher::Literal;
    }
    match text {
        b"*" => return Matcher::Any,
        [prefix @ .., b'*'] if !prefix.iter().any(special) => {
            return Matcher::Prefix(prefix.len());
        }
        [b'*', suffix @ ..] if !suffix.iter().any(special) => return Matcher::Suffix,
        _ => {}
    }
    let mut items = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        items.push(match first {
            b'*' if matches!(items.last(), Some(Item::Star)) => continue,
            b'*' => Item::Star,
            b'?' => Item::AnyByte,
            b'\\' => match after.split_first() {
                Some((&escaped, after)) => {
                    rest = after;
                    Item::Byte(escaped)
                }
                None => return Matcher::Never,
            },
            b'[' => match parse_set(after) {
                Some((set, length)) => {
                    rest = &after[length..];
                    Item::Set(Box::new(set))
                }
                None => Item::Byte(b'['),
            },
            other => Item::Byte(other),
        });
    }
    Matcher::Glob(items.into())
}

/// Matches with a single point of return: when a mismatch follows a star, the
/// last star takes one byte more. An earlier star never needs another try.
fn glob(items: &[Item], name: &[u8]) -> bool {
    let (mut item, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let advanced = match (items.get(item), name.get(at)) {
            (Some(Item::Star), _) => {
                item += 1;
                retry = Some((item, at));
                continue;
            }
            (Some(Item::Byte(wanted)), Some(byte)) => wanted == byte,
            (Some(Item::AnyByte), Some(_)) => true,
            (Some(Item::Set(set)), Some(byte)) => set.contains(*byte),
            (None, None) => return true,
            (_, None) => return false,
            (None, Some(_)) => false,
        };
        if advanced {
            item += 1;
            at += 1;
        } else {
            let Some((after_star, from)) = retry else {
                return false;
            };
            retry = Some((after_star, from + 1));
            (item, at) = (after_star, from + 1);
        }
    }
}

/// A set of bytes.
#[derive(Debug, Clone, Default)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 != 0
    }

    fn invert(&mut self) {
        for word in &mut self.0 {
            *word = !*word;
        }
    }
}

/// Reads what follows a `[`: the set and the bytes it takes, its `]`
/// included. `None` when there is no `]`, or a class has no such name.
fn parse_set(text: &[u8]) -> Option<(ByteSet, usize)> {
    let mut set = ByteSet::default();
    let inverted = matches!(text.first(), Some(b'!' | b'^'));
    let mut at = usize::from(inverted);
    let first = at;
    loop {
        match text.get(at)? {
            b']' if at > first => break,
            b'[' if class_name(&text[at..]).is_some() => {
                let name = class_name(&text[at..])?;
                let class = byte_class(name)?;
                (0..=u8::MAX)
                    .filter(class)
                    .for_each(|byte| set.insert(byte));
                at += name.len() + 4;
            }
            _ => {
                let (low, after) = set_byte(text, at)?;
                at = after;
                let is_range = text.get(at) == Some(&b'-')
                    && text.get(at + 1).is_some_and(|&byte| byte != b']');
                if is_range {
                    let (high, after) = set_byte(text, at + 1)?;
                    at = after;
                    (low..=high).for_each(|byte| set.insert(byte));
                } else {
                    set.insert(low);
                }
            }
        }
    }
    if inverted {
        set.invert();
    }
    Some((set, at + 1))
}

/// The name in `[:name:]` at the front; other text is no class.
fn class_name(text: &[u8]) -> Option<&[u8]> {
    let name = text.strip_prefix(b"[:")?;
    let length = name.iter().position(|byte| !byte.is_ascii_lowercase())?;
    name[length..].starts_with(b":]").then(|| &name[..length])
}

/// One byte of a set, perhaps escaped, and the offset after it.
fn set_byte(text: &[u8], at: usize) -> Option<(u8, usize)> {
    match text.get(at)? {
        b'\\' => Some((*text.get(at + 1)?, at + 2)),
        &byte => Some((byte, at + 1)),
    }
}

/// The bytes of a POSIX character class in the C locale.
fn byte_class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alpha" => u8::is_ascii_alphabetic,
        b"digit" => u8::is_ascii_digit,
        b"alnum" => u8::is_ascii_alphanumeric,
        b"upper" => u8::is_ascii_uppercase,
        b"lower" => u8::is_ascii_lowercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        b"punct" => u8::is_ascii_punctuation,
        b"cntrl" => u8::is_ascii_control,
        b"graph" => u8::is_ascii_graphic,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_fnmatch_does() {
        for (pattern, yes, no) in [
            (".text", vec![".text"], vec![".text.a", ""]),
            ("*", vec!["", "a/b", ".x"], vec![]),
            (".text*", vec![".text", ".text.a"], vec![".tex"]),
            ("*.o", vec![".o", "a/b.o"], vec!["a.oo"]),
            ("a*b*c", vec!["abc", "axbxbxc"], vec!["ab", "abcd"]),
            ("[a-c]?", vec!["ax", "c/"], vec!["dx", "a"]),
            ("[!a-c]", vec!["d", "]"], vec!["a", ""]),
            ("[^a]", vec!["b", "^"], vec!["a"]),
            ("[]x]", vec!["]", "x"], vec!["y"]),
            ("[a-]", vec!["a", "-"], vec!["b"]),
            ("[[:digit:]_]*", vec!["1", "_x"], vec!["x"]),
            ("a[b", vec!["a[b"], vec!["ab"]),
            ("a\\*b*", vec!["a*b", "a*bc"], vec!["axb", "a\\*b"]),
            ("a\\b", vec!["a\\b"], vec!["ab"]),
            ("[\\]]*", vec!["]", "]a"], vec!["\\"]),
            ("*\\", vec![], vec!["a\\", "a"]),
            ("**a", vec!["a", "xa"], vec!["ab"]),
            (
                "___ksymtab+*",
                vec!["___ksymtab+x"],
                vec!["___ksymtab_gpl+x"],
            ),
        ] {
            let compiled = Pattern::new(pattern);
            for name in yes {
                assert!(compiled.matches(name.as_bytes()), "{pattern} on {name}");
            }
            for name in no {
                assert!(!compiled.matches(name.as_bytes()), "{pattern} on {name}");
            }
        }
    }

    #[test]
    fn many_stars_do_not_explode() {
        let pattern = Pattern::new(&"*a".repeat(200));
        assert!(!pattern.matches("a".repeat(5000).replace('a', "ab").as_bytes()));
    }
}
