//! GNU ld linker scripts: lexer, parser, expressions.
//!
//! [`parse`] turns a [`Source`] into a [`Script`], a syntax tree whose every
//! part knows where it stands, so that whoever executes it can point there
//! ([`Diagnostic`]). [`eval`] gives expressions their values.
//!
//! The language is that of binutils 2.40 (ld/ldgram.y, ld/ldlex.l), MRI
//! scripts excepted.
//!
//! ```
//! use klink_script::{Command, Source, parse};
//! let source = Source::new("module.lds", "SECTIONS { .text 0 : { *(.text .text.*) } }");
//! let script = parse(&source).map_err(|error| error.render(&source, false)).unwrap();
//! assert!(matches!(script.commands[0].value, Command::Sections(_)));
//!
//! let source = Source::new("bad.lds", "x = 1");
//! let error = parse(&source).unwrap_err();
//! assert!(error.to_string().contains("expected `;` after an assignment"));
//! ```
#![forbid(unsafe_code)]

mod ast;
mod constructs;
mod diagnostic;
pub mod eval;
mod expr;
mod keyword;
mod lexer;
mod parser;
mod pattern;
mod print;
mod sort;
mod source;
mod version;
mod walk;

pub use ast::*;
pub use constructs::Construct;
pub use diagnostic::{Diagnostic, ErrorKind, ScriptError};
pub use expr::*;
pub use parser::{
    MAX_HEIGHT, MAX_NESTING, parse, parse_assignment, parse_dynamic_list, parse_expression,
    parse_memory_items, parse_section_items, parse_statements, parse_version_script,
};
pub use pattern::Pattern;
pub use sort::{SortKey, order_sections};
pub use source::{Name, Source, Span, Spanned};
pub use version::{Language, VersionNode, VersionPattern, VersionScript};
