//! `cargo xtask bench`: link times of GNU ld and klink, and what they make.
//!
//! Each link is a process of its own, as in a kernel build. The linkers take
//! turns run by run, so that whatever else the machine does hits all alike;
//! the figures to trust are the ratios. Nothing is asserted: a table is
//! printed, and it is Markdown, for the README.

mod copies;
mod images;
mod instructions;
mod machine;
mod measure;
mod names;
mod outputs;
mod pipeline;
mod rival;
mod table;

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::corpus::command::{self, Link};
use crate::dist::{cargo, target_folder};
use crate::kernel::{self, Arch};
use crate::{Failure, tools};
use measure::{Figures, Sample};
use outputs::Output;
use rival::{Bench, Rival};

/// The module whose link is measured alone.
const LARGE: &str = "fs/xfs/xfs.ko";

/// The PA-RISC modules whose contents are compared: the two that do not load
/// when `ld -r` merges their code.
const SHOWN: [&str; 2] = [LARGE, "net/ipv6/ipv6.ko"];

/// So much is shown of what a linker says that cannot do a link.
const SHOWN_LINES: usize = 5;

/// `cargo xtask bench`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A finished PA-RISC kernel build [default: what `cargo xtask kernel
    /// hppa32` makes]
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// A finished x86-64 kernel build [default: what `cargo xtask kernel
    /// x86_64` makes; left out where there is none]
    #[arg(long, value_name = "DIR")]
    tree_x86_64: Option<PathBuf>,
    /// klink's linker [default: ld-klink of a release build, built first]
    #[arg(long, value_name = "PATH")]
    ld: Option<PathBuf>,
    /// How often each linker does each link
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Count instructions in user mode with valgrind too: they repeat exactly
    /// on a busy machine. Takes minutes.
    #[arg(long)]
    instructions: bool,
    /// Measure the links of whole kernels instead of modules
    #[arg(long, conflicts_with = "growth")]
    images: bool,
    /// Measure the way from objects to vmlinux and System.map: the kernel's
    /// link-vmlinux.sh with GNU ld and lld, and klink kbuild
    #[arg(long, conflicts_with_all = ["growth", "images", "instructions", "json"])]
    pipeline: bool,
    /// Measure how long a table of 200,000 names takes: the kernel's scripts/kallsyms, and klink-tables
    #[arg(long, conflicts_with_all = ["growth", "images", "pipeline", "instructions", "json"])]
    names: bool,
    /// Measure how the time of a kernel's link grows with its input: 1, 2, 4
    /// and 8 copies of x86-64's objects, with other symbols
    #[arg(long)]
    growth: bool,
    /// Print JSON for programs instead of the tables
    #[arg(long)]
    json: bool,
}

/// Links that are measured together, one after another.
struct Workload {
    name: String,
    tree: PathBuf,
    links: Vec<Link>,
    /// Who does them; the first is the one that the others are compared with.
    rivals: &'static [Rival],
    /// How many copies of a kernel's objects; 0 for modules.
    copies: usize,
}

/// What one linker needed for one workload.
#[derive(Debug, Serialize)]
struct Row {
    workload: String,
    rival: Rival,
    /// How many copies of a kernel's objects are linked; 0 for modules.
    copies: usize,
    #[serde(flatten)]
    figures: Figures,
    /// Instructions in user mode, all links together.
    instructions: Option<u64>,
}

/// Everything that is printed.
#[derive(Debug, Serialize)]
struct Report {
    machine: String,
    rows: Vec<Row>,
    outputs: Vec<Output>,
}

/// Measures, and prints the tables.
///
/// # Errors
/// When a kernel build or program is missing, or a link fails.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let mut packages = vec!["binutils", "binutils-hppa-linux-gnu"];
    if args.instructions {
        packages.push("valgrind");
    }
    tools::ensure(&packages)?;
    if args.names {
        return print(&names::run(args, &out_folder()?)?);
    }
    let bench = Bench {
        klink: klink(args)?,
        out: out_folder()?,
    };
    if args.pipeline {
        return print(&pipeline::run(args, &bench.klink, &bench.out)?);
    }
    let workloads = match (args.images, args.growth) {
        (true, _) => images::workloads(args)?,
        (_, true) => copies::workloads(args, &bench.out)?,
        _ => workloads(args)?,
    };
    let mut report = Report {
        machine: machine::describe(&bench.klink, args.runs, args.images || args.growth)?,
        rows: Vec::new(),
        outputs: Vec::new(),
    };
    // The outputs are looked at last: a child's peak memory is never reported
    // as less than what this process has had in memory until it started it.
    for workload in &workloads {
        report.rows.extend(measure_all(&bench, workload, args)?);
    }
    warn_of_bounds(&report.rows);
    if !args.images && !args.growth {
        report.outputs = outputs(&bench, &workloads)?;
    }
    let mut text = match args.json {
        true => serde_json::to_string_pretty(&report)
            .map_err(|error| Failure::new(error.to_string()))?,
        false => table::render(&report)?,
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    print(&text)
}

/// Writes to standard output; who reads it may have read enough.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::io("write", Path::new("standard output"), &error))
        }
        _ => Ok(()),
    }
}

/// Says so where a peak of memory may be this process's own: Linux reports a
/// child's as no less than its parent's when it was started.
fn warn_of_bounds(rows: &[Row]) {
    let least = rows.iter().map(|row| row.figures.peak_bytes).min();
    if let Some((least, own)) = least
        .zip(machine::own_peak())
        .filter(|(least, own)| least <= own)
    {
        eprintln!("xtask: peaks of memory of {least} to {own} bytes are upper bounds");
    }
}

/// What is measured: one large module and all modules on PA-RISC, one large
/// module on x86-64.
fn workloads(args: &Args) -> Result<Vec<Workload>, Failure> {
    let tree = find_tree(Arch::Hppa32, args.tree.as_deref())?;
    let all = module_links(&tree)?;
    let mut workloads = vec![
        one(Arch::Hppa32, &tree, &all)?,
        Workload {
            name: format!("hppa32, all {} modules", all.len()),
            tree,
            links: all,
            rivals: Rival::MODULES,
            copies: 0,
        },
    ];
    match find_tree(Arch::X86_64, args.tree_x86_64.as_deref()) {
        Ok(tree) => {
            let all = module_links(&tree)?;
            workloads.push(one(Arch::X86_64, &tree, &all)?);
        }
        Err(error) if args.tree_x86_64.is_none() => eprintln!("xtask: x86-64 is left out: {error}"),
        Err(error) => return Err(error),
    }
    Ok(workloads)
}

/// A finished kernel build; unlike other chores this one does not make it, as
/// compiling a kernel for a benchmark is more than anybody expects.
fn find_tree(arch: Arch, given: Option<&Path>) -> Result<PathBuf, Failure> {
    let name = arch.recipe().name;
    let made = kernel::workspace().join("target/kernels").join(name);
    if given.is_none() && !made.is_dir() && std::env::var_os("KLINK_CORPUS").is_none() {
        return Err(Failure::new(format!(
            "no {name} kernel build to link again: make one with `cargo xtask kernel {name}`, set \
             KLINK_CORPUS to the folder that holds linux-6.1-{name}.tar.zst, or name one"
        )));
    }
    let tree = kernel::tree(arch, given)?;
    tree.canonicalize()
        .map_err(|error| Failure::io("find", &tree, &error))
}

/// The links that made a build's `.ko` files, in the build's order.
fn module_links(tree: &Path) -> Result<Vec<Link>, Failure> {
    Ok(last_of_each(all_links(tree)?))
}

/// The links of a build, in the build's order.
fn all_links(tree: &Path) -> Result<Vec<Link>, Failure> {
    let list = tree.join("link-commands.txt");
    let text =
        std::fs::read_to_string(&list).map_err(|error| Failure::io("read", &list, &error))?;
    let links = command::parse(&text);
    links.map_err(|why| Failure::new(format!("{}: {why}", list.display())))
}

/// The module links, without those whose output a later one makes again.
fn last_of_each(links: Vec<Link>) -> Vec<Link> {
    let mut modules: Vec<Link> = links.into_iter().filter(Link::is_module).collect();
    let mut seen = std::collections::HashSet::new();
    modules.reverse();
    modules.retain(|link| seen.insert(link.output.clone()));
    modules.reverse();
    modules
}

fn one(arch: Arch, tree: &Path, all: &[Link]) -> Result<Workload, Failure> {
    let link = all.iter().find(|link| link.output == LARGE);
    let link =
        link.ok_or_else(|| Failure::new(format!("{} has no link of {LARGE}", tree.display())))?;
    Ok(Workload {
        name: format!("{}, xfs.ko", arch.recipe().name),
        tree: tree.to_path_buf(),
        links: vec![link.clone()],
        rivals: Rival::MODULES,
        copies: 0,
    })
}

/// klink's linker, of a release build of what the sources are now.
fn klink(args: &Args) -> Result<PathBuf, Failure> {
    let path = match &args.ld {
        Some(path) => path.clone(),
        None => {
            let mut build = cargo(&["build", "--release", "--package", "klink", "--bins"]);
            kernel::run_command(&mut build)?;
            target_folder()?.join("release/ld-klink")
        }
    };
    path.canonicalize()
        .map_err(|error| Failure::io("find", &path, &error))
}

fn out_folder() -> Result<PathBuf, Failure> {
    let out = target_folder()?.join("bench");
    std::fs::create_dir_all(&out).map_err(|error| Failure::io("create", &out, &error))?;
    out.canonicalize()
        .map_err(|error| Failure::io("find", &out, &error))
}

/// Runs one workload with all linkers in turn.
fn measure_all(bench: &Bench, workload: &Workload, args: &Args) -> Result<Vec<Row>, Failure> {
    let rivals = able(bench, workload)?;
    let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); rivals.len()];
    for round in 1..=args.runs {
        progress(&format!(
            "{}: round {round} of {}",
            workload.name, args.runs
        ));
        for turn in 0..samples.len() {
            // Whoever begins is not always the same.
            let turn = (turn + round as usize) % samples.len();
            samples[turn].push(bench.link_all(rivals[turn], workload)?);
        }
    }
    progress("");
    let mut rows = Vec::new();
    for (rival, samples) in rivals.into_iter().zip(samples) {
        let figures = Figures::of(&samples)
            .ok_or_else(|| Failure::new("no run, so there is nothing to report"))?;
        rows.push(Row {
            workload: workload.name.clone(),
            rival,
            copies: workload.copies,
            figures,
            instructions: match args.instructions {
                true => Some(instructions::count(bench, rival, workload)?),
                false => None,
            },
        });
    }
    Ok(rows)
}

/// The linkers that can do a workload; this also brings inputs and programs into the page cache. Of a kernel's link the first has to, and what another one
/// says is told.
fn able(bench: &Bench, workload: &Workload) -> Result<Vec<Rival>, Failure> {
    let mut able = Vec::new();
    for &rival in workload.rivals {
        match bench.link_all(rival, workload) {
            Ok(_) => able.push(rival),
            Err(error) if able.is_empty() || workload.copies == 0 => return Err(error),
            Err(error) => {
                let (name, rival) = (&workload.name, rival.image_name());
                eprintln!("xtask: {name}: LEFT OUT: {rival}, which says (the last of it):");
                let said = error.to_string();
                let lines: Vec<&str> = said.lines().collect();
                let last = lines.len().saturating_sub(SHOWN_LINES);
                for line in &lines[last..] {
                    eprintln!("    {line}");
                }
            }
        }
    }
    Ok(able)
}

/// Shows how far the work is, on one line of a terminal; the empty text wipes
/// it.
fn progress(text: &str) {
    let stderr = std::io::stderr();
    if stderr.is_terminal() {
        // Wiping first: the last text may have been longer. A terminal that
        // does not take it loses nothing that matters.
        let _ignored = write!(stderr.lock(), "\r\x1b[K{text}");
    }
}

/// What is in the PA-RISC modules that are worth a look.
fn outputs(bench: &Bench, workloads: &[Workload]) -> Result<Vec<Output>, Failure> {
    let all = workloads.iter().max_by_key(|workload| workload.links.len());
    let links = |workload| {
        let Workload { links, .. }: &Workload = workload;
        links.iter().map(move |link| (workload, link))
    };
    let shown = SHOWN.iter().filter_map(|shown| {
        all.into_iter()
            .flat_map(links)
            .find(|(_, link)| link.output == *shown)
    });
    let mut outputs = Vec::new();
    for (workload, link) in shown {
        let path = |rival| bench.output(rival, workload, link);
        let read = |rival| {
            let path: PathBuf = path(rival);
            std::fs::read(&path).map_err(|error| Failure::io("read", &path, &error))
        };
        let original = read(Rival::Ld)?;
        for &rival in Rival::MODULES {
            outputs.push(Output::of(&link.output, rival, &original, &read(rival)?)?);
        }
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_is_linked_twice_counts_once() {
        let text = "ld -r -T scripts/module.lds -o a.ko a.o ; true\n\
            ld -r -T scripts/module.lds -o b.ko b.o\n\
            ld -r -o a.o @a.mod\n\
            ld -r -T scripts/module.lds -o a.ko a.o\n";
        let links = command::parse(text).expect("four links");
        let links = last_of_each(links);
        let outputs: Vec<_> = links
            .iter()
            .map(|link| (&*link.output, link.line))
            .collect();
        assert_eq!(outputs, [("b.ko", 2), ("a.ko", 4)]);
    }
}
