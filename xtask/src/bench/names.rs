//! The table of a kernel's symbols alone: Linux's `scripts/kallsyms` against `klink-tables`, each a
//! process that reads the same list, as `nm -n` prints it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::measure::{self, Sample};
use super::pipeline::{compile_generator, median};
use super::{Args, find_tree};
use crate::Failure;
use crate::dist::{cargo, target_folder};
use crate::kernel::{self, Arch};

/// How many names are encoded.
const NAMES: usize = 200_000;

/// Files that `nm` is given at a time.
const FILES: usize = 500;

/// Where the first symbol is, and how far the next: so all of them fit in the 32 bits that a table
/// has for each.
const FIRST: u64 = 0xffff_ffff_8100_0000;
const STEP: u64 = 64;

/// Measures and gives a table in Markdown.
///
/// # Errors
/// A missing build, kernel source or program.
pub(super) fn run(args: &Args, out: &Path) -> Result<String, Failure> {
    let trees = [
        find_tree(Arch::X86_64, args.tree_x86_64.as_deref())?,
        find_tree(Arch::Hppa32, args.tree.as_deref())?,
    ];
    let list = out.join("names");
    let count = write_list(&trees, &list)?;
    let generator = out.join("kallsyms");
    compile_generator(&kernel::source_folder(None)?, "kallsyms", &[], &generator)?;
    let build = "build --release --package klink-tables --features rayon --example kallsyms";
    let build: Vec<&str> = build.split(' ').collect();
    kernel::run_command(&mut cargo(&build))?;

    let mut theirs = Command::new(&generator);
    theirs.args(["--all-symbols", "--absolute-percpu", "--base-relative"]);
    let ours = Command::new(target_folder()?.join("release/examples/kallsyms"));
    let mut samples: [Vec<Sample>; 2] = Default::default();
    let mut both = [theirs, ours];
    both.iter_mut().for_each(|command| {
        command.arg(&list);
    });
    for _ in 0..args.runs {
        for (command, samples) in both.iter_mut().zip(&mut samples) {
            samples.push(measure::run(command)?);
        }
    }
    let [theirs, ours] = samples.map(|samples| median(&samples));
    let mut text = format!("| {count} names to a table | median | ratio |\n|---|--:|--:|\n");
    let ratio = theirs / ours;
    let _ = writeln!(text, "| scripts/kallsyms | {theirs:.0} ms | {ratio:.1}× |");
    let _ = writeln!(text, "| klink-tables | {ours:.0} ms | 1.0× |");
    Ok(text)
}

/// Writes a list of names that two kernel builds have: of the kernels first, then of their modules and
/// other objects. Gives how many there are.
fn write_list(trees: &[PathBuf], list: &Path) -> Result<usize, Failure> {
    let mut files: Vec<PathBuf> = trees.iter().map(|tree| tree.join("vmlinux")).collect();
    for extension in ["ko", "o"] {
        for tree in trees {
            find(tree, extension, &mut files)?;
        }
    }
    let mut text = String::new();
    let mut count = 0;
    for files in files.chunks(FILES) {
        let mut nm = Command::new("nm");
        let output = nm.arg("-P").args(files).stderr(Stdio::null()).output();
        let output = output.map_err(|error| Failure::io("run", Path::new("nm"), &error))?;
        let names = String::from_utf8_lossy(&output.stdout);
        for line in names.lines() {
            let mut words = line.split(' ');
            let (Some(name), Some(kind)) = (words.next(), words.next()) else {
                continue;
            };
            // Without those that no table has.
            if count < NAMES && !matches!(kind, "U" | "a" | "w") {
                let address = FIRST + STEP * count as u64;
                let _ = writeln!(text, "{address:016x} {kind} {name}");
                count += 1;
            }
        }
        if count == NAMES {
            break;
        }
    }
    fs::write(list, text).map_err(|error| Failure::io("write", list, &error))?;
    Ok(count)
}

/// Adds the files below a folder that have this extension, by name.
fn find(folder: &Path, extension: &str, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::io("read", folder, &error))?;
    let paths: BTreeSet<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    for path in paths {
        if path.is_dir() && !path.is_symlink() {
            find(&path, extension, files)?;
        } else if path.extension().is_some_and(|of_file| of_file == extension) {
            files.push(path);
        }
    }
    Ok(())
}
