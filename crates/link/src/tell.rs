//! What the user asked to be told of a link's inputs: their names (`--trace`), the scripts
//! (`--verbose`), and a make rule (`--dependency-file`).

use std::path::Path;

use crate::options::{Destination, Options};
use crate::report::Report;
use crate::resolve::Resolved;
use crate::script::Sources;

/// Adds what was asked for to the report.
pub(crate) fn tell_inputs(
    options: &Options,
    sources: &Sources,
    resolved: &Resolved<'_>,
    report: &mut Report,
) {
    if options.verbose {
        report.printed += &scripts(sources);
    }
    if options.trace {
        for input in &resolved.inputs {
            report.printed += &format!("{}\n", input.path);
        }
    }
    if let Some(path) = &options.dependency_file {
        let text = rule(options, sources, resolved);
        report.add_file(&Destination::Path(path.clone()), text);
    }
}

/// The scripts between lines, as GNU ld shows them (ld/ldmain.c, `main`).
fn scripts(sources: &Sources) -> String {
    let line = "=".repeat(50);
    let mut text = String::new();
    for (number, _) in sources.scripts() {
        let source = sources.source(number);
        text += &format!(
            "using linker script {}:\n{line}\n{}\n{line}\n",
            source.name, source.text
        );
    }
    text
}

/// A rule that says what the output depends on, and an empty one for each file, so that make does
/// not mind if it is gone (ld/ldmain.c, `write_dependency_file`).
fn rule(options: &Options, sources: &Sources, resolved: &Resolved<'_>) -> String {
    let output = options.output.as_deref().unwrap_or(Path::new("a.out"));
    let inputs = resolved.inputs.iter().map(|input| input.path.as_str());
    let files: Vec<&str> = sources.names().chain(inputs).collect();
    let mut text = format!("{}:", output.display());
    for file in &files {
        text += &format!(" \\\n  {file}");
    }
    text.push('\n');
    for file in &files {
        text += &format!("\n{file}:\n");
    }
    text
}
