//! Options about symbols.

use super::Kind::{Flag, Text};
use super::Takes::{Nothing, Value};
use super::{Refusal, Row, later, later_in_final, row};
use crate::options::{DiscardLocals, Strip};

pub(super) const ROWS: &[Row] = &[
    row(
        "-s --strip-all",
        "drop symbols and debugging sections",
        Flag(|parser| parser.options.strip = Strip::All),
    ),
    row(
        "-S --strip-debug",
        "drop debugging sections",
        Flag(|parser| parser.options.strip = Strip::Debug),
    ),
    row(
        "-x --discard-all",
        "drop local symbols that no relocation needs",
        Flag(|parser| parser.options.discard = DiscardLocals::All),
    ),
    row(
        "-X --discard-locals",
        "drop compiler-made local symbols (.L...)",
        Flag(|parser| parser.options.discard = DiscardLocals::CompilerMade),
    ),
    row(
        "--discard-none",
        "keep all local symbols (the default with -r)",
        Flag(|parser| parser.options.discard = DiscardLocals::None),
    ),
    row(
        "--wrap",
        "let references to SYMBOL go to __wrap_SYMBOL",
        Text("SYMBOL", |parser, value| {
            parser.options.wrap.push(value.to_owned());
            Ok(())
        }),
    ),
    row(
        "--allow-multiple-definition",
        "let the first definition of a symbol win",
        Flag(|parser| parser.options.allow_multiple_definition = true),
    ),
    row(
        "--no-undefined",
        "fail where nothing defines a symbol, with -shared too",
        Flag(|parser| parser.options.unresolved.report = Some(true)),
    ),
    row(
        "--unresolved-symbols",
        "ignore-all, report-all, ignore-in-object-files or ignore-in-shared-libs",
        Text("MODE", |parser, value| {
            parser.options.unresolved.report = Some(match value {
                "report-all" | "ignore-in-shared-libs" => true,
                "ignore-all" | "ignore-in-object-files" => false,
                _ => {
                    return Err(Refusal::Value(
                        "ignore-all, report-all, ignore-in-object-files or ignore-in-shared-libs",
                    ));
                }
            });
            Ok(())
        }),
    ),
    row(
        "--warn-unresolved-symbols",
        "warn of undefined symbols and go on",
        Flag(|parser| parser.options.unresolved.as_warnings = true),
    ),
    row(
        "--error-unresolved-symbols",
        "fail (the default)",
        Flag(|parser| parser.options.unresolved.as_warnings = false),
    ),
    row(
        "-d -dc -dp",
        "give common symbols space, with -r too",
        Flag(|parser| parser.options.define_common = Some(true)),
    ),
    row(
        "--no-define-common",
        "with -shared: give common symbols no space",
        Flag(|parser| parser.options.define_common = Some(false)),
    ),
    later("--retain-symbols-file", Value),
    later_in_final("--ignore-unresolved-symbol", Value),
    later("-y --trace-symbol", Value),
    later("--disable-multiple-abs-defs", Nothing),
];
