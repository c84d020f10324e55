//! `klink inspect`: what a module is made of, and how close its branches are to their reach.
//!
//! `files` finds the files, `examine` makes a [`report::Report`] of each (`elf` reads, `layout`
//! places, `branches` measures), `details` and `summary` show reports.

mod branches;
mod details;
pub(crate) mod elf;
pub(crate) mod error;
mod examine;
pub(crate) mod files;
mod layout;
mod report;
mod summary;
pub(crate) mod text;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use error::Error;
use report::{BadFile, Report};
use summary::Sort;

/// Show what modules are made of, and how close their branches are to their reach
///
/// For each file: what it says of itself (vermagic, depends, …), its sections, their size in memory
/// as Linux lays them out, its relocations by type, the stubs that the kernel's loader reserves
/// room for, and for each form of branch the furthest one and its headroom: how many bytes further
/// it could go before it breaks and the kernel refuses the module with "relocation … is out of
/// range".
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Options {
    /// Modules or objects, also compressed ones, or directories to walk for *.ko, *.ko.xz, *.ko.gz
    /// and *.ko.zst
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// Print one JSON object for each file, a line each
    #[arg(long, conflicts_with_all = ["summary", "details", "top"])]
    json: bool,

    /// Print a row for each file and their sum, as for more than one file
    #[arg(long)]
    summary: bool,

    /// Print a page for each file, as for one file
    #[arg(long, conflicts_with_all = ["summary", "top"])]
    details: bool,

    /// Sort files [default: headroom in a summary, else the order in which they are named]
    #[arg(long, value_enum, value_name = "BY", hide_possible_values = false)]
    sort: Option<Sort>,

    /// Print only the first N rows of a summary; the sum is still that of all files
    #[arg(long, value_name = "N")]
    top: Option<usize>,
}

const AFTER_HELP: &str = "\
How to read it:
  core stays in memory, init is discarded after the module's init function returns. Sizes have
  alignment and space for stubs in them, but no rounding to pages and no copy of the symbol table.
  A branch is direct if it reaches its target in the same one of core and init; else it goes to a
  stub of the kernel's loader in front of its section, if the architecture has such; else it
  leaves, and how far that is only the kernel knows. It is too far if nothing is in reach. Where
  a branch has two ways, its headroom is that of the safer one.

JSON, a line for each file:
  file, file_bytes, compression (none, xz, gzip, zstd), object_bytes, architecture, machine, bits,
  byte_order, relocation_data; module (null, or name, vermagic, depends, init, exit, signed);
  sections (headers, loaded, loaded_empty, by_kind); symbols (total, undefined);
  relocations (total, bytes, by_type: name, number, count, refused);
  layout (core and init: text, rodata, ro_after_init, data, bss, total; percpu), in bytes;
  stubs (null, or for_branches, spare, bytes_each, bytes);
  branches (null, or for each form: name, reach_back, reach_forth, count, direct, to_stub, leaving,
  out_of_reach, first_out_of_reach: section, offset, target, value, bits;
  furthest: section, offset, target, by_stub, distance, headroom);
  headroom (null, or bytes, percent: the least of all forms).
  A file that cannot be inspected has only file and error. Names stay; new ones may be added.

Exit codes:
  0  every file was read, and no kernel refuses one for what is shown here
  1  a file could not be read, or has a branch that is too far or a relocation that is refused
  2  the command line is wrong

Examples:
  klink inspect drivers/net/foo/foo.ko
  klink inspect --sort size --top 20 /lib/modules/$(uname -r)
  klink inspect --json *.ko | jq -r 'select(.headroom and .headroom.percent < 10) | .file'";

/// Inspects every file named in `options`.
///
/// Exit code 1 when some file could not be read or would be refused by a kernel.
pub(crate) fn run(options: &Options) -> ExitCode {
    let (files, mut failures) = files::collect(&options.files);
    let (mut reports, bad) = examine_all(files);
    failures.extend(bad);
    let as_summary = !options.json && !options.details && (options.summary || reports.len() > 1);
    match options.sort {
        Some(by) => summary::sort(&mut reports, by),
        None if as_summary => summary::sort(&mut reports, Sort::Headroom),
        None => {}
    }
    let printed = if options.json {
        print_json(&reports, &failures)
    } else {
        print_text(options, &reports, as_summary)
    };
    let fine = printed_or_closed(printed) && report_failures(&failures, reports.len());
    if fine && reports.iter().all(Report::is_fine) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Inspects the files in parallel, with a progress bar if there are many and a terminal shows it.
fn examine_all(files: Vec<PathBuf>) -> (Vec<Report>, Vec<(PathBuf, Error)>) {
    /// With fewer files, all is done before a bar could be read.
    const MANY: usize = 200;
    let bar = if files.len() >= MANY && io::stderr().is_terminal() {
        let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} files");
        ProgressBar::new(files.len() as u64)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
    } else {
        ProgressBar::hidden()
    };
    let results: Vec<_> = files
        .into_par_iter()
        .map(|path| {
            let result = examine::examine(&path);
            bar.inc(1);
            result.map_err(|error| (path, error))
        })
        .collect();
    bar.finish_and_clear();
    let (mut reports, mut failures) = (Vec::with_capacity(results.len()), Vec::new());
    for result in results {
        match result {
            Ok(report) => reports.push(report),
            Err(failure) => failures.push(failure),
        }
    }
    (reports, failures)
}

fn print_text(options: &Options, reports: &[Report], as_summary: bool) -> io::Result<()> {
    let stdout = io::stdout();
    let colour = stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let mut text = String::new();
    if as_summary {
        let rows = options.top.unwrap_or(usize::MAX);
        summary::write(reports, rows, &mut text, colour);
    } else {
        for (position, report) in reports.iter().enumerate() {
            if position > 0 {
                text.push('\n');
            }
            details::write(report, &mut text, colour);
        }
    }
    stdout.lock().write_all(text.as_bytes())
}

fn print_json(reports: &[Report], failures: &[(PathBuf, Error)]) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    for report in reports {
        serde_json::to_writer(&mut out, report)?;
        out.write_all(b"\n")?;
    }
    for (path, error) in failures {
        let bad = BadFile {
            file: &path.to_string_lossy(),
            error: error.to_string(),
        };
        serde_json::to_writer(&mut out, &bad)?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Whether all was printed, or the reader had seen enough (`| head`).
fn printed_or_closed(printed: io::Result<()>) -> bool {
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("klink inspect: standard output: {error}");
            false
        }
        _ => true,
    }
}

/// Names each file that could not be inspected; says whether there was none.
fn report_failures(failures: &[(PathBuf, Error)], good: usize) -> bool {
    for (path, error) in failures {
        eprintln!("klink inspect: {}: {error}", path.display());
    }
    if failures.len() + good > 1 && !failures.is_empty() {
        let all = failures.len() + good;
        eprintln!(
            "klink inspect: {} of {all} could not be inspected",
            failures.len()
        );
    }
    failures.is_empty()
}
