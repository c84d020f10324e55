//! `ld.klink`: a drop-in for `ld` in a kernel build.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use klink_link::args::{self, Command};

fn main() -> ExitCode {
    let arguments = std::env::args_os()
        .skip(1)
        .map(|argument| argument.to_string_lossy().into_owned());
    let result = match args::parse(arguments) {
        Ok(Command::Print(text)) => {
            print!("{text}");
            return ExitCode::SUCCESS;
        }
        Ok(Command::Link(options)) => klink_link::link(&options).map(|report| (report, options)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok((report, options)) => finish(&report, &options),
        Err(error) => {
            for line in error.to_string().lines() {
                eprintln!("ld.klink: {line}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Prints warnings and what was asked to be printed.
fn finish(report: &klink_link::Report, options: &klink_link::Options) -> ExitCode {
    for warning in &report.warnings {
        eprintln!("ld.klink: warning: {warning}");
    }
    if options.stats {
        eprint!("{}", report.stats());
    }
    if options.time {
        eprint!("{}", report.times());
    }
    ExitCode::SUCCESS
}
