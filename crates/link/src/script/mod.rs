//! Linker scripts in the link: found, parsed, compiled to rules, and executed.

mod compile;
mod execute;
mod load;

use klink_script::{Assignment, DataSize, Diagnostic, Expr, Span};

use crate::error::{LinkError, Result};
use crate::id::GlobalId;
use crate::options::Options;
use crate::rules::Rules;

pub(crate) use compile::compile;
pub(crate) use execute::ScriptState;
pub(crate) use load::{LoadedInput, Sources, load};

/// A compiled script.
pub(crate) struct Program<'a> {
    /// Which input section goes where.
    pub rules: Rules<'a>,
    /// What is executed besides, by number.
    pub statements: Vec<ScriptStatement>,
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
}

/// Refuses what only links other than `-r` have.
///
/// # Errors
/// [`LinkError::NotYet`], naming the option.
pub(crate) fn refuse_final_links(options: &Options) -> Result<()> {
    if options.inputs.is_empty() && options.scripts.is_empty() {
        return Err(LinkError::NoInput);
    }
    let what = match options.not_yet.first() {
        Some(option) => option.clone(),
        None if options.relocatable() => return Ok(()),
        None => "a link without -r".to_owned(),
    };
    Err(LinkError::NotYet { what })
}

/// A diagnostic as an error of the link.
fn script_error(sources: &Sources, source: usize, diagnostic: Diagnostic) -> LinkError {
    LinkError::Script(diagnostic.render(sources.source(source), false))
}
