//! Script text and positions in it.

/// One script as it was read: a name for messages and the text itself.
///
/// Spans are byte offsets into `text`, so a script is limited to 4 GiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// What messages call the script: usually its path.
    pub name: String,
    /// The whole text.
    pub text: String,
}

impl Source {
    /// Makes a source of a name for messages and a text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        Source {
            name: name.into(),
            text: text.into(),
        }
    }

    /// The line and the column of a byte offset, both counted from 1; the
    /// column counts characters. An offset past the end is the end.
    pub fn line_column(&self, offset: u32) -> (usize, usize) {
        let before = self
            .text
            .get(..offset as usize)
            .unwrap_or(self.text.as_str());
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }
}

/// A half-open range of bytes of a [`Source`]'s text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset one past the last byte; never below `start`.
    pub end: u32,
}

impl Span {
    /// The smallest span that covers both.
    pub fn to(self, other: Span) -> Span {
        Span {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}

/// A value and where it stands in the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// Joins a value and its place.
    pub fn new(value: T, span: Span) -> Spanned<T> {
        Spanned { value, span }
    }
}

/// A name as written: a symbol, a section, a file, a memory region.
pub type Name = Spanned<String>;
