//! Options that GNU ld has not.

use klink_tables::sort::mcount::WeakCalls;

use super::Kind::{Flag, Optional, Path, Text};
use super::{Refusal, Row, row};
use crate::args::destination;
use crate::options::KallsymsOptions;

pub(super) const ROWS: &[Row] = &[
    row(
        "--module",
        "with -r: merge code, order functions, make every branch reach",
        Flag(|parser| parser.is_module = true),
    ),
    row(
        "--kallsyms",
        "make its table of symbols: all-symbols,base-relative,absolute-percpu,lto-clang",
        Optional("LIST", "", |parser, value| {
            parser.options.kallsyms = Some(kallsyms(value)?);
            Ok(())
        }),
    ),
    row(
        "--kernel-version",
        "the Linux version whose tables to make (default: as its banner says)",
        Text("MAJOR.MINOR", |parser, value| {
            parser.options.kernel_version = Some(kernel_version(value)?);
            Ok(())
        }),
    ),
    row(
        "--sort-tables",
        "sort exception table, ORC, mcount locations; keep-weak-calls, zero-weak-calls",
        Optional("HOW", "", |parser, value| {
            parser.options.sort_tables = true;
            parser.options.weak_calls = weak_calls(value)?;
            Ok(())
        }),
    ),
    row(
        "--system-map",
        "write the list of the kernel's symbols, System.map, to FILE",
        Path("FILE", |parser, path| {
            parser.options.system_map = Some(destination(path));
        }),
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

/// What `--kallsyms=` lists; the names are those of the options of Linux's `scripts/kallsyms`.
fn kallsyms(list: &str) -> Result<KallsymsOptions, Refusal> {
    let mut options = KallsymsOptions::default();
    for word in list.split(',').filter(|word| !word.is_empty()) {
        let option = match word {
            "all-symbols" => &mut options.all_symbols,
            "base-relative" => &mut options.base_relative,
            "absolute-percpu" => &mut options.absolute_percpu,
            "lto-clang" => &mut options.lto_clang,
            _ => {
                return Err(Refusal::Value(
                    "all-symbols, base-relative, absolute-percpu, lto-clang",
                ));
            }
        };
        *option = true;
    }
    Ok(options)
}

/// What `--sort-tables=` says of calls of mcount in replaced functions.
fn weak_calls(how: &str) -> Result<Option<WeakCalls>, Refusal> {
    match how {
        "" => Ok(None),
        "zero-weak-calls" => Ok(Some(WeakCalls::Zero)),
        "keep-weak-calls" => Ok(Some(WeakCalls::Keep)),
        _ => Err(Refusal::Value("zero-weak-calls, keep-weak-calls")),
    }
}

/// The first two numbers of a version; what follows them does not matter.
fn kernel_version(text: &str) -> Result<(u32, u32), Refusal> {
    let version = klink_tables::kallsyms::release(text.as_bytes());
    version.ok_or(Refusal::Value("a version such as 6.1"))
}
