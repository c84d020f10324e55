//! What is told, and how much of it.

use super::Kind::{Flag, Optional, Path, Text};
use super::Takes::{Nothing, Value};
use super::{Refusal, Row, later, row};
use crate::args::{Print, destination};
use crate::options::{Destination, ErrorLimit};

pub(super) const ROWS: &[Row] = &[
    row(
        "-Map",
        "write a map of the link to FILE; - is standard output",
        Path("FILE", |parser, path| {
            parser.options.print_map = Some(destination(path));
        }),
    ),
    row(
        "-M --print-map",
        "write it to standard output",
        Flag(|parser| parser.options.print_map = Some(Destination::StandardOutput)),
    ),
    row(
        "--no-print-map-discarded",
        "leave discarded sections out of the map",
        Flag(|parser| parser.options.map_without_discarded = true),
    ),
    row(
        "--print-map-discarded",
        "list them (the default)",
        Flag(|parser| parser.options.map_without_discarded = false),
    ),
    row(
        "--dependency-file",
        "write a make rule that names all files that were read",
        Path("FILE", |parser, path| {
            parser.options.dependency_file = Some(path);
        }),
    ),
    row(
        "--print-memory-usage",
        "print how full the regions of MEMORY are",
        Flag(|parser| parser.options.print_memory_usage = true),
    ),
    row(
        "-t --trace",
        "print the name of each input",
        Flag(|parser| parser.options.trace = true),
    ),
    row(
        "--verbose",
        "print the version and the script",
        Optional("N", "1", |parser, value| {
            super::number(value).ok_or(Refusal::Value("a number"))?;
            parser.options.verbose = true;
            parser.print.get_or_insert(Print::VersionThenLink);
            Ok(())
        }),
    ),
    row(
        "--fatal-warnings",
        "treat warnings as errors",
        Flag(|parser| parser.options.fatal_warnings = true),
    ),
    row(
        "--no-fatal-warnings",
        "do not (the default)",
        Flag(|parser| parser.options.fatal_warnings = false),
    ),
    row(
        "-w --no-warnings",
        "do not warn",
        Flag(|parser| {
            parser.options.no_warnings = true;
            parser.options.fatal_warnings = false;
        }),
    ),
    row(
        "--error-limit",
        "show N errors and count the rest (default: 20; 0: show all)",
        Text("N", |parser, value| {
            let limit: usize = value.parse().map_err(|_| Refusal::Value("a number"))?;
            parser.options.error_limit = ErrorLimit((limit > 0).then_some(limit));
            Ok(())
        }),
    ),
    row(
        "-v",
        "print the version; exit 0 if the options beside it are supported",
        Flag(|parser| {
            parser.print.get_or_insert(Print::VersionThenLink);
        }),
    ),
    row(
        "-V",
        "print the version, and link",
        Flag(|parser| {
            parser.print.get_or_insert(Print::VersionThenLink);
        }),
    ),
    row(
        "--version",
        "print the version",
        Flag(|parser| parser.print = Some(Print::Version)),
    ),
    row(
        "--help",
        "print this text",
        Flag(|parser| parser.print = Some(Print::Help)),
    ),
    row(
        "--print-sysroot",
        "print the folder of --sysroot",
        Flag(|parser| parser.print = Some(Print::Sysroot)),
    ),
    later("--cref", Nothing),
    later("--print-output-format", Nothing),
    later("--error-handling-script", Value),
];
