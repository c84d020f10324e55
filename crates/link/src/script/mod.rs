//! Linker scripts in the link: found, parsed, compiled to rules, and executed.

mod compile;
mod execute;
mod load;
mod needs;

use klink_script::{
    Assertion, Assignment, Construct, DataSize, Diagnostic, Expr, ScriptError, Source, Span,
};

use crate::error::{LinkError, Result};
use crate::id::GlobalId;
use crate::input::Storage;
use crate::options::Options;
use crate::resolve::Resolved;
use crate::rules::Rules;

pub(crate) use compile::compile;
pub(crate) use execute::{ScriptState, encode};
pub(crate) use load::{LoadedInput, Located, Sources, load};
pub(crate) use needs::{FirstPass, assigned_names};

/// A compiled script.
pub(crate) struct Program<'a> {
    /// Which input section goes where.
    pub rules: Rules<'a>,
    /// What is executed besides, by number.
    pub statements: Vec<ScriptStatement>,
    /// The outermost level, in order.
    pub items: Vec<Item>,
    /// Of relocatable output, the assignments that wait for the layout.
    pub outside: Vec<u32>,
}

/// What stands at the outermost level, or directly inside SECTIONS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// An output section statement: its number among the rules.
    Section(u32),
    /// Any other statement that is executed, by number.
    Statement(u32),
}

/// A statement to execute.
pub(crate) struct ScriptStatement {
    /// Number of the source that it stands in.
    pub source: usize,
    pub span: Span,
    pub action: Action,
}

/// What a statement does.
pub(crate) enum Action {
    /// Assigns a symbol or the location counter.
    Assign {
        assignment: Assignment,
        /// The symbol; `None` for the location counter, and for PROVIDE of a symbol that nothing
        /// needs.
        global: Option<GlobalId>,
    },
    /// Puts a number into the section.
    Data { size: DataSize, value: Expr },
    /// What gaps behind it are filled with.
    Fill(Expr),
    /// `ASSERT`.
    Assert(Assertion),
}

impl Action {
    /// The expression that it evaluates.
    pub(crate) fn expr(&self) -> Option<&Expr> {
        match self {
            Self::Assign { assignment, .. } => Some(&assignment.value),
            Self::Data { value, .. } => Some(value),
            Self::Assert(assertion) => Some(&assertion.condition),
            Self::Fill(_) => None,
        }
    }
}

/// Refuses what only links other than `-r` have.
///
/// # Errors
/// [`LinkError::NotYet`], naming the option.
pub(crate) fn refuse_final_links(options: &Options) -> Result<()> {
    if options.inputs.is_empty() && options.scripts.is_empty() {
        return Err(LinkError::NoInput);
    }
    match options.not_yet.first() {
        Some(option) => Err(LinkError::NotYet {
            what: option.clone(),
        }),
        None => Ok(()),
    }
}

/// What the scripts of `options` use and [`link`](crate::link) does not execute: constructs that it
/// refuses, and commands that it passes over. Each name comes once, in the order of first use. No
/// object is read, and no architecture need be known.
///
/// # Errors
/// Scripts that cannot be read or parsed, files that they name and that cannot be found, and
/// whatever else of the scripts is an error without looking at objects.
pub fn unexecuted_constructs(options: &Options) -> Result<Vec<Construct>> {
    let storage = Storage::default();
    let (sources, _) = load(options, &storage)?;
    let mut resolved = Resolved::default();
    compile::unexecuted(&sources, &storage, &mut resolved, options.relocatable())
}

/// A diagnostic as an error of the link. In front of it stands the place as GNU ld writes it
/// (ld/ldmisc.c, `%PS`).
pub(crate) fn script_error(sources: &Sources, source: usize, diagnostic: Diagnostic) -> LinkError {
    let source = sources.source(source);
    let place = place_in(source, &diagnostic);
    let text = diagnostic.render(source, false);
    LinkError::Script(format!("{place}: {text}"))
}

/// A text that is no script. The first line is what GNU ld says of it.
fn syntax_error(source: &Source, error: &ScriptError) -> LinkError {
    let diagnostic = error.to_diagnostic();
    let place = place_in(source, &diagnostic);
    let text = diagnostic.render(source, false);
    LinkError::Script(format!("{place}: syntax error\n{text}"))
}

/// `FILE:LINE`.
fn place_in(source: &Source, diagnostic: &Diagnostic) -> String {
    let (line, _) = source.line_column(diagnostic.span.start);
    format!("{}:{line}", source.name)
}
