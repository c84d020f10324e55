//! `ld.klink`: a drop-in for `ld` in a kernel build.
#![forbid(unsafe_code)]

use std::io::{self, Write as _};
use std::process::{self, ExitCode};

use klink_link::args::{self, Command};

fn main() -> ExitCode {
    let result = match args::parse(std::env::args_os().skip(1)) {
        Ok(Command::Print(text)) => {
            let mut out = io::stdout();
            let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            return written.map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
        }
        Ok(Command::Link(options)) => {
            if options.print_version {
                // A link does not depend on whether anyone reads this.
                let _ = writeln!(io::stdout(), "{}", args::version_line());
            }
            // To give back what the link took would only keep the caller waiting.
            klink_link::link_then(&options, |report| {
                finish(&report, &options);
                process::exit(0)
            })
        }
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            let lines = error.to_string();
            say(lines.lines().map(|line| format!("ld.klink: {line}\n")));
            ExitCode::FAILURE
        }
    }
}

/// Prints warnings and what was asked to be printed.
fn finish(report: &klink_link::Report, options: &klink_link::Options) {
    // As with warnings: a link does not depend on whether anyone reads this.
    let _ = io::stdout().write_all(report.printed.as_bytes());
    say(report
        .notes
        .iter()
        .map(|note| format!("ld.klink: {note}\n")));
    let warnings = report.warnings.iter();
    say(warnings.map(|warning| format!("ld.klink: warning: {warning}\n")));
    say(options.stats.then(|| report.stats().to_string()));
    say(options.time.then(|| report.times().to_string()));
}

/// Prints to standard error. If that cannot be written to, there is nowhere to say so, and the exit
/// code still tells.
fn say(texts: impl IntoIterator<Item = String>) {
    let mut out = io::stderr().lock();
    for text in texts {
        let _ = out.write_all(text.as_bytes());
    }
}
