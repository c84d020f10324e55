//! `cargo xtask scripts`: the linker scripts of Linux on every architecture, and what klink makes of
//! them.
//!
//! Debian's kernel source is configured for each machine, and its own rules preprocess the scripts of
//! images, vDSOs, boot wrappers and modules. Each is parsed, and the linker is asked what of it a
//! link would not execute. The scripts are GPL text and stay in the build folders.

mod find;
mod machines;
mod make;
mod table;

use std::path::{Path, PathBuf};

use klink_link::{Options, OutputKind, unexecuted_constructs};
use klink_script::Source;

use crate::kernel::{absolute, arch::BUILD_PACKAGES, source_folder, workspace};
use crate::{Failure, tools};
use find::Script;
use machines::{MACHINES, Machine, RELOCATABLE};

/// `cargo xtask scripts`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only the kernels of these machines [default: all].
    #[arg(long = "arch", value_name = "ARCH", value_parser = names())]
    arches: Vec<String>,
    /// Where the build folders go [default: target/scripts].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// A linux-6.1 source folder or tar file [default: Debian's linux-source-6.1].
    #[arg(long, value_name = "PATH")]
    source: Option<PathBuf>,
}

fn names() -> clap::builder::PossibleValuesParser {
    let names = MACHINES.iter().map(|machine| machine.name);
    clap::builder::PossibleValuesParser::new(names)
}

/// What became of one script.
#[derive(Debug)]
struct Row {
    machine: &'static str,
    /// Its path, as in a kernel build.
    script: String,
    /// Size of what was parsed; 0 if it could not be made.
    bytes: usize,
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    /// The kernel's build did not make it.
    NotMade,
    /// klink does not understand it; the message.
    NotParsed(String),
    /// The names of the constructs that it uses, and of those that are not executed.
    Parsed {
        used: Vec<&'static str>,
        unexecuted: Vec<&'static str>,
    },
}

/// Makes the scripts and prints the table.
///
/// # Errors
/// When a script could not be made or parsed, after the table; what is not executed is no error.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let chosen: Vec<&Machine> = MACHINES
        .iter()
        .filter(|machine| args.arches.is_empty() || args.arches.iter().any(|a| a == machine.name))
        .collect();
    let mut packages = BUILD_PACKAGES.to_vec();
    if args.source.is_some() {
        packages.retain(|package| !package.starts_with("linux-source"));
    }
    packages.extend(chosen.iter().map(|machine| machine.package));
    packages.sort_unstable();
    packages.dedup();
    tools::ensure(&packages)?;

    let source = absolute(&source_folder(args.source.as_deref())?);
    let out = args
        .out
        .clone()
        .unwrap_or_else(|| workspace().join("target/scripts"));
    let mut rows = Vec::new();
    for machine in chosen {
        eprintln!("xtask: preprocessing the scripts of {}", machine.name);
        let folder = absolute(&out.join(machine.name));
        let scripts = find::scripts(&source, machine);
        make::preprocess(&source, machine, &scripts, &folder)?;
        for script in scripts {
            rows.push(examine(&source, &folder, machine, script));
        }
    }
    print!("{}", table::render(&rows));
    let failed = rows
        .iter()
        .filter(|row| !matches!(row.outcome, Outcome::Parsed { .. }))
        .count();
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{failed} scripts were not made or not parsed; what make said is in {}/ARCH/{}",
        out.display(),
        make::LOG
    )))
}

fn examine(source: &Path, folder: &Path, machine: &'static Machine, script: Script) -> Row {
    let place = if script.made_in.is_some() {
        folder
    } else {
        source
    };
    let path = place.join(&script.path);
    let relocatable = RELOCATABLE.contains(&script.path.as_str());
    let (bytes, outcome) = match std::fs::read_to_string(&path) {
        Ok(text) => (text.len(), judge(&path, text, relocatable)),
        Err(_) => (0, Outcome::NotMade),
    };
    Row {
        machine: machine.name,
        script: script.path,
        bytes,
        outcome,
    }
}

fn judge(path: &Path, text: String, relocatable: bool) -> Outcome {
    let source = Source::new(path.display().to_string(), text);
    let script = match klink_script::parse(&source) {
        Ok(script) => script,
        Err(error) => return Outcome::NotParsed(error.render(&source, false)),
    };
    let options = Options {
        scripts: vec![path.to_path_buf().into()],
        output_kind: if relocatable {
            OutputKind::Relocatable
        } else {
            OutputKind::default()
        },
        ..Options::default()
    };
    let names = |constructs: Vec<klink_script::Construct>| {
        constructs.iter().map(|construct| construct.name).collect()
    };
    match unexecuted_constructs(&options) {
        Ok(unexecuted) => Outcome::Parsed {
            used: names(script.constructs()),
            unexecuted: names(unexecuted),
        },
        Err(error) => Outcome::NotParsed(error.to_string()),
    }
}
