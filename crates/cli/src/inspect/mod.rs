//! `klink inspect`: what a module is made of, and how close its branches are to their reach.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

/// Show what modules are made of, and how close their branches are to their reach
#[derive(Args)]
pub(crate) struct Options {
    /// Modules (.ko, .ko.xz, .ko.gz, .ko.zst), objects (.o), or directories to walk for them
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Inspects every file named in `options`.
///
/// Exit code 1 when some file could not be read.
pub(crate) fn run(options: &Options) -> ExitCode {
    eprintln!(
        "klink inspect: {} files: this build only parses the command line",
        options.files.len()
    );
    ExitCode::FAILURE
}
