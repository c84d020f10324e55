//! Version scripts and dynamic lists.

use crate::pattern::Pattern;
use crate::source::{Name, Spanned};

/// The nodes of a version script, of a `VERSION` command, or – with only
/// `global` patterns and no tags – of a dynamic list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionScript {
    /// The nodes, in order.
    pub nodes: Vec<Spanned<VersionNode>>,
}

/// `TAG { global: …; local: …; } DEPENDENCY …;`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VersionNode {
    /// The version's name; `None` for the anonymous version.
    pub tag: Option<Name>,
    /// Symbols that get the version. Patterns before any label are here too.
    pub global: Vec<VersionPattern>,
    /// Symbols that become local.
    pub local: Vec<VersionPattern>,
    /// The versions this one depends on.
    pub dependencies: Vec<Name>,
}

/// A pattern for symbols in a version node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionPattern {
    /// The pattern. A quoted one is literal, wildcards included.
    pub pattern: Spanned<Pattern>,
    /// What the pattern is matched against.
    pub language: Language,
}

/// The language of the names that a version pattern is matched against.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Language {
    /// The symbol as the object file has it.
    C,
    /// The demangled C++ name (`extern "C++"`).
    Cxx,
    /// The demangled Java name (`extern "Java"`).
    Java,
    /// Another word after `extern`; GNU ld warns and takes it as C.
    Other(Name),
}
