//! `klink`: the tools around the linker and the loader.
//!
//! Each subcommand is a module with its `Options` (what clap parses) and a `run` that prints its
//! answer and says how it went. This file only dispatches.
#![deny(unsafe_code)]

mod compressed;
mod demo;
mod inspect;
mod kallsyms;
mod kbuild;
mod load;
mod map;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Links kernels and their modules, and tells why a module does not load.
#[derive(Parser)]
#[command(
    name = "klink",
    version,
    arg_required_else_help = true,
    propagate_version = true,
    after_help = "Exit codes: 0 all is well, 1 something is wrong with an input (each is named), \
                  2 the command line is wrong.\n\
                  The linker itself is a program of its own, a drop-in for ld: ld.klink."
)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Options),
    Inspect(inspect::Options),
    Kallsyms(kallsyms::Options),
    Kbuild(kbuild::Options),
    Load(load::Options),
    Map(map::Options),
}

fn main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Demo(options) => demo::run(&options),
        Command::Inspect(options) => inspect::run(&options),
        Command::Kallsyms(options) => kallsyms::run(&options),
        Command::Kbuild(options) => kbuild::run(&options),
        Command::Load(options) => load::run(&options),
        Command::Map(options) => map::run(&options),
    }
}
