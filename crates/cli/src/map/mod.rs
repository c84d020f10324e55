//! `klink map`: a picture of a module in memory.
//!
//! The module is loaded as by `klink load`; `picture` says what is where, `svg` writes shapes.

mod picture;
mod svg;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use crate::load::error::Error;
use crate::load::plan::Plan;
use crate::load::report::Report;
use crate::load::session::Extras;
use crate::load::tree::Role;
use crate::load::{KernelOptions, text};

/// Draw a module as it lies in memory: regions, sections, islands, what init frees, the longest branches
///
/// The module and what it needs are loaded as by klink load. The picture is one SVG file for a browser;
/// it needs nothing else.
#[derive(Args)]
pub(crate) struct Options {
    /// The module: a name, an alias or a file
    #[arg(value_name = "MODULE")]
    module: String,

    /// Where the picture goes; - is standard output
    #[arg(long, value_name = "FILE")]
    svg: PathBuf,

    /// How many of the longest branches are drawn
    #[arg(long, value_name = "N", default_value_t = 80)]
    arcs: usize,

    #[command(flatten)]
    kernel: KernelOptions,
}

/// Does what `options` say; exit code 1 if something is wrong.
pub(crate) fn run(options: &Options) -> ExitCode {
    let report = match load(options) {
        Ok(report) => report,
        Err(message) => {
            eprintln!("klink map: {message}");
            return ExitCode::FAILURE;
        }
    };
    let layout = options.kernel.layout.name();
    let picture = picture::draw(&report, layout, options.arcs);
    match write(&options.svg, &picture) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("klink map: {}: {error}", options.svg.display());
            ExitCode::FAILURE
        }
    }
}

/// Loads the module and what it needs; gives what is known of it, or what to say.
fn load(options: &Options) -> Result<Report, String> {
    let fatal = |error: Error| format!("FATAL: {error}");
    let modules = std::slice::from_ref(&options.module);
    let plan = Plan::make(&options.kernel.request(modules)).map_err(fatal)?;
    let extras = Extras {
        details: true,
        jumps: true,
        ..Extras::default()
    };
    let mut session = options.kernel.session(&plan, extras);
    let mut wanted = None;
    for step in &plan.steps {
        let Some(entry) = plan.tree.entry(step.id) else {
            continue;
        };
        match session.load(entry, step.role, &[]) {
            Ok(report) if step.role == Role::Wanted => wanted = Some(report),
            Ok(_) => {}
            Err(_) if step.role == Role::Soft => {}
            Err(failure) => {
                return Err(format!("ERROR: {}", text::failure(&failure, &plan.kernel)));
            }
        }
    }
    wanted.ok_or_else(|| format!("{} is part of the kernel: nothing to draw", options.module))
}

fn write(path: &Path, picture: &str) -> io::Result<()> {
    if path == Path::new("-") {
        return io::stdout().lock().write_all(picture.as_bytes());
    }
    fs::write(path, picture)
}
