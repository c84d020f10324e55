//! `cargo xtask compare A B`: do two ELF files mean the same?
//!
//! Two linkers never write the same bytes: string tables are laid out in
//! another way, symbols have other indices. Equal in meaning is: the same
//! sections with the same attributes and bytes, the same symbols, and for each
//! section the same relocations, whose targets are compared by what they *are*
//! and not by their index. `--check FILE` asks instead whether one file is well
//! formed.

pub(crate) mod check;
mod dynamic;
pub(crate) mod elf;
mod pair;
pub(crate) mod prove;
mod relocations;
pub(crate) mod report;
mod sections;
mod segments;
pub(crate) mod symbols;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::Failure;
use elf::{Elf, ReadError};
pub(crate) use report::{Difference, Kind, Report};

/// `cargo xtask compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Two ELF files to compare; with --check, any number to check.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Check that each file is well formed, instead of comparing two.
    #[arg(long)]
    check: bool,
    /// Prove that B does what A does, where A is a module as GNU ld linked it
    /// and B the same module after klink's module link.
    #[arg(long, conflicts_with = "check")]
    prove: bool,
    /// Kinds of differences to leave out.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    ignore: Vec<Kind>,
    /// The same as --ignore order.
    #[arg(long)]
    ignore_order: bool,
    /// How many differences to show.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    /// Print everything that was found as JSON.
    #[arg(long)]
    json: bool,
}

/// What a comparison leaves out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// Kinds of differences that are not reported.
    pub(crate) ignore: BTreeSet<Kind>,
}

/// Compares two ELF files by meaning.
///
/// # Errors
/// When either file cannot be read; `Err` names neither, the caller knows.
pub(crate) fn compare(a: &[u8], b: &[u8], options: &Options) -> Result<Report, ReadError> {
    let (a, b) = (Elf::parse(a)?, Elf::parse(b)?);
    Ok(compare_parsed(&a, &b, options))
}

/// Compares two files that are already read.
pub(crate) fn compare_parsed(a: &Elf<'_>, b: &Elf<'_>, options: &Options) -> Report {
    let pairing = pair::pair(a, b);
    let mut report = Report::default();
    let found = &mut report.differences;
    compare_headers(a, b, found);
    segments::compare(a, b, found);
    sections::compare(a, b, &pairing, found);
    symbols::compare(a, b, &pairing, found);
    dynamic::compare(a, b, &pairing, found);
    relocations::compare(a, b, &pairing, found);
    for (elf, name) in [(a, "A"), (b, "B")] {
        if let Some(problem) = check::symbol_boundary(elf) {
            let what = format!("symbol table of {name}");
            found.push(Difference::new(Kind::Invalid, what, "", problem));
        }
    }
    found.retain(|difference| !options.ignore.contains(&difference.kind));
    report.information = segments::places_in_file(a, b, &pairing);
    let bytes = pairing.pairs.iter().filter_map(|&(id, _)| a.section(id));
    report.compared = report::Compared {
        sections: pairing.pairs.len(),
        bytes: bytes.map(|section| section.data.len() as u64).sum(),
        symbols: a.symbols.len().saturating_sub(1),
        relocations: a.relocations.iter().map(|table| table.entries.len()).sum(),
    };
    report
}

fn compare_headers(a: &Elf<'_>, b: &Elf<'_>, found: &mut Vec<Difference>) {
    let (h, i) = (&a.header, &b.header);
    let mut field = |what: &str, a: u64, b: u64| {
        if a != b {
            let (a, b) = (format!("{a:#x}"), format!("{b:#x}"));
            found.push(Difference::new(Kind::Header, what, a, b));
        }
    };
    field("64-bit class", h.is_64.into(), i.is_64.into());
    field("big-endian", h.big_endian.into(), i.big_endian.into());
    field("OS ABI", h.os_abi.into(), i.os_abi.into());
    field("ABI version", h.abi_version.into(), i.abi_version.into());
    field("e_type", h.file_type.into(), i.file_type.into());
    field("e_machine", h.machine.into(), i.machine.into());
    field("e_flags", h.flags.into(), i.flags.into());
    field("e_entry", h.entry, i.entry);
}

/// Compares, checks or proves, and fails where anything is wrong.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.check {
        return run_check(args);
    }
    let [a, b] = args.files.as_slice() else {
        return Err(Failure::new(
            "compare takes two files; --check takes any number",
        ));
    };
    let (bytes_a, bytes_b) = (read(a)?, read(b)?);
    if args.prove {
        return run_prove(args, &bytes_a, &bytes_b);
    }
    let mut options = Options {
        ignore: args.ignore.iter().copied().collect(),
    };
    if args.ignore_order {
        options.ignore.insert(Kind::Order);
    }
    let parse =
        |path: &Path, error: ReadError| Failure::new(format!("{}: {error}", path.display()));
    let elf_a = Elf::parse(&bytes_a).map_err(|error| parse(a, error))?;
    let elf_b = Elf::parse(&bytes_b).map_err(|error| parse(b, error))?;
    let report = compare_parsed(&elf_a, &elf_b, &options);
    if args.json {
        print_json(&report)?;
    } else {
        print!("{}", report.render(args.limit)?);
    }
    match report.differences.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} differences"))),
    }
}

fn run_check(args: &Args) -> Result<(), Failure> {
    let mut total = 0;
    for path in &args.files {
        let problems = check::check(&read(path)?);
        total += problems.len();
        if args.json {
            print_json(&problems)?;
            continue;
        }
        for problem in problems.iter().take(args.limit) {
            println!("{}: {problem}", path.display());
        }
        if problems.is_empty() {
            println!("{}: well formed", path.display());
        }
    }
    match total {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} problems"))),
    }
}

fn run_prove(args: &Args, a: &[u8], b: &[u8]) -> Result<(), Failure> {
    let proof = prove::prove(a, b).map_err(|error| Failure::new(error.to_string()))?;
    if args.json {
        print_json(&proof)?;
    } else {
        println!("{}", proof.summary());
        for problem in proof.problems.iter().take(args.limit) {
            println!("{problem}");
        }
    }
    match proof.problems.len() {
        0 => Ok(()),
        count => Err(Failure::new(format!("{count} problems"))),
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(value).map_err(|e| Failure::new(e.to_string()))?;
    println!("{json}");
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::io("read", path, &error))
}
