//! Errors that point into a script.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::source::{Source, Span};

/// A message about one place in a script: what is wrong, where, and what to
/// do about it. Users of the crate make their own for what they find wrong
/// in a parsed script.
///
/// ```
/// use klink_script::{Diagnostic, Source, Span};
/// let source = Source::new("module.lds", "OVERLAY");
/// let diagnostic = Diagnostic::new("overlays are not executed yet", Span { start: 0, end: 7 })
///     .label("this overlay")
///     .help("place the sections one after another");
/// assert!(diagnostic.render(&source, false).contains("--> module.lds:1:1"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, in one line.
    pub message: String,
    /// Where.
    pub span: Span,
    /// What stands there, written beside the underlined text.
    pub label: Option<String>,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A diagnostic without label and help.
    pub fn new(message: impl Into<String>, span: Span) -> Diagnostic {
        Diagnostic {
            message: message.into(),
            span,
            label: None,
            help: None,
        }
    }

    /// Adds the words beside the underlined text.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = Some(label.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Lays the message out like a compiler's, with the script's line and the
    /// place underlined. `color` adds terminal colours. The result has no
    /// newline at its end.
    pub fn render(&self, source: &Source, color: bool) -> String {
        let annotation = AnnotationKind::Primary
            .span(clamp(&source.text, self.span))
            .label(self.label.as_deref());
        let snippet = Snippet::source(source.text.as_str())
            .path(source.name.as_str())
            .annotation(annotation);
        let title = Level::ERROR.primary_title(self.message.as_str());
        let mut group = Group::with_title(title).element(snippet);
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.decor_style(DecorStyle::Ascii).render(&[group])
    }
}

/// A span as the renderer can take it: inside the text, on character
/// boundaries. Spans of another source must not make it panic.
fn clamp(text: &str, span: Span) -> Range<usize> {
    let boundary = |offset: u32| {
        let mut at = (offset as usize).min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = boundary(span.start);
    start..boundary(span.end).max(start)
}

/// What is wrong with a script or with an expression in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The grammar wants something else here.
    #[error("expected {expected}, found {found}")]
    Expected {
        /// What the grammar allows here.
        expected: String,
        /// What stands here.
        found: String,
    },
    /// A name stands where only a command may, and no command has this name.
    #[error("unknown command `{name}`")]
    UnknownCommand {
        /// The name as written.
        name: String,
    },
    /// A character that no token of this context starts with.
    #[error("unexpected character `{}` in {context}", character.escape_debug())]
    InvalidCharacter {
        /// The character.
        character: char,
        /// The lexical context, in words.
        context: &'static str,
    },
    /// `/*` without `*/`.
    #[error("this comment has no end")]
    UnterminatedComment,
    /// `"` without a second `"`.
    #[error("this quoted name has no end")]
    UnterminatedString,
    /// Text that starts like a number and is none.
    #[error("`{text}` is not a number")]
    BadNumber {
        /// The text as written.
        text: String,
    },
    /// Blocks, parentheses or operators nested deeper than [`crate::MAX_NESTING`]
    /// or operator chains longer than [`crate::MAX_HEIGHT`].
    #[error("nested too deeply: more than {limit} levels")]
    TooDeep {
        /// The limit that was passed.
        limit: u32,
    },
    /// The script is too long for its spans.
    #[error("the script is {length} bytes long, more than 4 GiB")]
    TooLong {
        /// Bytes.
        length: usize,
    },
    /// A word that is none of those allowed here.
    #[error("unknown {what} `{name}`")]
    UnknownWord {
        /// What the word should have named.
        what: &'static str,
        /// The word as written.
        name: String,
    },
    /// A construct that is allowed elsewhere or in another form.
    #[error("{message}")]
    Misplaced {
        /// What is wrong.
        message: String,
    },
    /// `/` or `%` by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// An expression names a symbol that nothing defines.
    #[error("undefined symbol `{name}` referenced in expression")]
    UndefinedSymbol {
        /// The symbol.
        name: String,
    },
    /// An expression names an output section that does not exist.
    #[error("undefined section `{name}` referenced in expression")]
    UndefinedSection {
        /// The output section.
        name: String,
    },
    /// An expression names a memory region that `MEMORY` does not define.
    #[error("undefined MEMORY region `{name}` referenced in expression")]
    UndefinedRegion {
        /// The region.
        name: String,
    },
    /// The value cannot be known yet in this pass over the layout.
    #[error("the value of `{what}` is not known here")]
    NotKnown {
        /// What has no value yet.
        what: String,
    },
    /// An `ASSERT` does not hold.
    #[error("assertion failed: {message}")]
    AssertionFailed {
        /// The script's words.
        message: String,
    },
}

/// An error in a script, and where it is.
///
/// [`Display`](std::fmt::Display) gives the message alone;
/// [`ScriptError::render`] shows the place too.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind}")]
pub struct ScriptError {
    /// What is wrong.
    pub kind: Box<ErrorKind>,
    /// Where.
    pub span: Span,
    /// What to do about it, where that is known.
    pub help: Option<Box<str>>,
}

impl ScriptError {
    /// An error without help.
    pub fn new(kind: ErrorKind, span: Span) -> ScriptError {
        ScriptError {
            kind: Box::new(kind),
            span,
            help: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> ScriptError {
        self.help = Some(help.into().into_boxed_str());
        self
    }

    /// Whether a later pass over the layout may give the value that is
    /// missing now.
    pub fn is_not_known(&self) -> bool {
        matches!(*self.kind, ErrorKind::NotKnown { .. })
    }

    /// The same as a [`Diagnostic`].
    pub fn to_diagnostic(&self) -> Diagnostic {
        Diagnostic {
            message: self.kind.to_string(),
            span: self.span,
            label: match &*self.kind {
                ErrorKind::Expected { expected, .. } => Some(format!("expected {expected}")),
                ErrorKind::DivisionByZero => Some("this is zero".to_owned()),
                _ => None,
            },
            help: self.help.as_deref().map(str::to_owned),
        }
    }

    /// Lays the error out like a compiler's; see [`Diagnostic::render`].
    pub fn render(&self, source: &Source, color: bool) -> String {
        self.to_diagnostic().render(source, color)
    }
}

/// The candidate nearest to a misspelt word, when it is near enough to be
/// worth proposing: at most a third of the word's letters differ.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (word.len() / 3).clamp(1, 4);
    // Every candidate is a keyword: a long word is near none of them.
    if word.len() > 40 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .filter(|&(distance, _)| distance <= limit)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in bytes, letters' case ignored.
fn edit_distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.bytes().enumerate() {
            let substitute = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}
