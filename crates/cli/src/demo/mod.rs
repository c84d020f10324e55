//! `klink demo`: links a PA-RISC module that ships with klink, and proves the result.
//!
//! The module's objects (see `examples/parisc-module`) hold more code than a 17-bit branch
//! reaches. They are linked three times: as kernels do it today, with one section for every
//! function; with the code merged and nothing else done, which is what breaks; and as a module.
//! Of each result the table shows what it costs, and every branch is followed to its end.

mod decode;
mod elf;
mod follow;
mod kernel;
mod links;
mod picture;
mod placement;
mod proof;
mod table;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use self::elf::Object;
use self::links::{Example, Kind, Linker};
use self::proof::Proof;

/// How many wrong branches are listed.
const LISTED: usize = 20;

/// Link a module that ships with klink, and prove that every branch reaches its target
#[derive(Args)]
pub(crate) struct Options {
    /// Keep the objects and the linked modules in this directory
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
    /// Draw where the branches of the merged code go, as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Link with this program instead, which takes GNU ld's options (leaves out the module link)
    #[arg(long, value_name = "PROGRAM")]
    ld: Option<PathBuf>,
}

/// One way of linking the example, with what came out.
struct Outcome {
    kind: Kind,
    output: Object,
    proof: Proof,
}

/// Runs the demo.
///
/// Exit code 1 when a link fails, or when a branch or a pointer to code is wrong. Branches out
/// of reach in the merged link are what the demo shows, and count only in the others.
pub(crate) fn run(options: &Options) -> ExitCode {
    match demo(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("klink demo: {error}");
            ExitCode::FAILURE
        }
    }
}

fn demo(options: &Options) -> Result<bool, String> {
    let linker = match &options.ld {
        Some(program) => Linker::Program(program.clone()),
        None => Linker::Klink,
    };
    let example = Example::unpack(options.keep.as_deref())?;
    let code: u64 = (example.inputs.iter().flat_map(Object::code))
        .map(|s| s.size)
        .sum();
    println!(
        "atlas, a 32-bit PA-RISC module: {} objects, {} code sections, {} bytes of code\n",
        example.inputs.len(),
        example.inputs.iter().flat_map(Object::code).count(),
        table::thousands(code)
    );
    let mut outcomes = Vec::new();
    for kind in linker.kinds() {
        let output = example.link(&linker, *kind)?;
        let proof = proof::prove(&example.inputs, &output);
        outcomes.push(Outcome {
            kind: *kind,
            output,
            proof,
        });
    }
    table::print(&outcomes);
    if let Some(path) = &options.svg {
        let error = |error| format!("{}: {error}", path.display());
        std::fs::write(path, picture::draw(&outcomes)).map_err(error)?;
    }
    Ok(report(&outcomes))
}

/// Says of each outcome whether every branch arrives; true if all that should, do.
fn report(outcomes: &[Outcome]) -> bool {
    println!("\nEvery branch followed from the object's relocation to where it ends:");
    let mut good = true;
    for Outcome { kind, proof, .. } in outcomes {
        println!(
            "  {:<22} {} of {} branches right, {} of {} other references to code right",
            kind.title(),
            table::thousands(proof.right() as u64),
            table::thousands(proof.branches as u64),
            table::thousands(proof.right_pointers as u64),
            table::thousands(proof.pointers as u64),
        );
        for wrong in proof.wrong.iter().take(LISTED) {
            println!("    wrong: {wrong}");
        }
        if proof.wrong.len() > LISTED {
            println!("    and {} more", proof.wrong.len() - LISTED);
        }
        if let Some(first) = proof.out_of_reach.first() {
            let count = table::thousands(proof.out_of_reach.len() as u64);
            println!("    out of reach: {count} branches, the first at {first}");
        }
        good &= if kind.must_reach() {
            proof.holds()
        } else {
            proof.wrong.is_empty()
        };
    }
    if let [
        ..,
        Outcome {
            kind: Kind::Module,
            proof,
            ..
        },
    ] = outcomes
    {
        let verdict = if proof.holds() { "right" } else { "WRONG" };
        println!(
            "\n{} of {} branches {verdict} in the module link",
            table::thousands(proof.right() as u64),
            table::thousands(proof.branches as u64),
        );
    }
    good
}
