//! `cargo xtask`: chores around klink that need more than cargo.
//!
//! Each chore is a module with an `Args` (its command line) and a `run`; this
//! file only dispatches. A chore fails with a message that says what is
//! missing and what to do, and the process then exits with status 1.
//!
//! It is a library so that tests of other crates can ask [`oracle`].
#![forbid(unsafe_code)]

mod bench;
mod boot;
mod compare;
mod corpus;
mod dist;
mod failure;
mod kernel;
mod loader;
pub mod oracle;
mod scripts;
mod test;
mod tidy;
mod tools;

pub(crate) use failure::Failure;

use clap::{Parser, Subcommand};

/// Chores: make the test kernels, boot them, compare with oracles, benchmark.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    chore: Chore,
}

/// One variant for each chore, in alphabetical order; add yours here and in
/// [`main`].
#[derive(Debug, Subcommand)]
enum Chore {
    /// Measure link times of GNU ld and klink, and show what is in the modules.
    Bench(bench::Args),
    /// Load modules in QEMU as GNU ld and as klink linked them, and compare.
    Boot(boot::Args),
    /// Boot a kernel and check its own table of symbols, and its stack traces.
    Kallsyms(boot::kallsyms::Args),
    /// Compare two ELF files by meaning, or check one.
    Compare(compare::Args),
    /// Link a whole kernel build again with GNU ld and klink, and compare.
    Corpus(corpus::Args),
    /// Build the programs and put them into target/dist under the names they are used by.
    Dist(dist::Args),
    /// Make a test kernel's tree: unpacked from $KLINK_CORPUS, or built.
    Kernel(kernel::Args),
    /// Compare what klink makes of modules with what Linux makes of them in QEMU.
    Oracle(loader::Args),
    /// Parse the linker scripts of every architecture of Linux, and list what is not executed.
    Scripts(scripts::Args),
    /// Run everything that has to pass, and say what was skipped and why.
    Test(test::Args),
    /// Install the Debian packages that the chores and tests need.
    Tools(tools::Args),
}

/// Reads the command line and does that chore.
pub fn main() -> std::process::ExitCode {
    let done = match Cli::parse().chore {
        Chore::Bench(args) => bench::run(&args),
        Chore::Boot(args) => boot::run(&args),
        Chore::Kallsyms(args) => boot::kallsyms::run(&args),
        Chore::Compare(args) => compare::run(&args),
        Chore::Corpus(args) => corpus::run(&args),
        Chore::Dist(args) => dist::run(&args),
        Chore::Kernel(args) => kernel::run(&args),
        Chore::Oracle(args) => loader::run(&args),
        Chore::Scripts(args) => scripts::run(&args),
        Chore::Test(args) => test::run(&args),
        Chore::Tools(args) => tools::run(&args),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
