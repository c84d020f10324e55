//! Options that GNU ld has not.

use super::Kind::{Flag, Path, Text};
use super::{Refusal, Row, row};
use crate::args::destination;

pub(super) const ROWS: &[Row] = &[
    row(
        "--module",
        "with -r: merge code, order functions, make every branch reach",
        Flag(|parser| parser.is_module = true),
    ),
    row(
        "--stub-symbols",
        "give each stub a local symbol, NAME.stub",
        Flag(|parser| parser.options.stub_symbols = Some(true)),
    ),
    row(
        "--no-stub-symbols",
        "give stubs no symbols",
        Flag(|parser| parser.options.stub_symbols = Some(false)),
    ),
    row(
        "--reorder",
        "let input sections move where a script leaves their order open",
        Flag(|parser| {
            parser.options.image_reorder = true;
            parser.keep_order = false;
        }),
    ),
    row(
        "--no-reorder",
        "leave functions in input order (without --module the default)",
        Flag(|parser| {
            parser.options.image_reorder = false;
            parser.keep_order = true;
        }),
    ),
    row(
        "--map-json",
        "write the map as JSON to FILE; - is standard output",
        Path("FILE", |parser, path| {
            parser.options.map_json = Some(destination(path));
        }),
    ),
    row(
        "--stats",
        "print what the link did to standard error",
        Flag(|parser| parser.options.stats = true),
    ),
    row(
        "--time",
        "print how long each phase took",
        Flag(|parser| parser.options.time = true),
    ),
    row(
        "--threads",
        "use N threads (default: one for each core)",
        Text("N", |parser, value| {
            parser.options.threads = value.parse().map_err(|_| Refusal::Value("a number"))?;
            Ok(())
        }),
    ),
];
