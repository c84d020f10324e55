//! Scripts, and what becomes of sections.

use super::Kind::{Flag, Optional, Path, Text};
use super::Takes::Nothing;
use super::{Refusal, Row, later, row};
use crate::options::{Definition, OrphanHandling, ScriptFile, SortCommon, SortSection, Unique};

pub(super) const ROWS: &[Row] = &[
    row(
        "-T --script",
        "use FILE as linker script",
        Path("FILE", |parser, path| {
            let inputs_before = parser.options.inputs.len();
            parser.options.scripts.push(ScriptFile {
                path,
                inputs_before,
            });
        }),
    ),
    row(
        "-dT --default-script",
        "use FILE where no -T is given",
        Path("FILE", |parser, path| {
            parser.options.default_script = Some(path);
        }),
    ),
    row(
        "--defsym",
        "give SYMBOL the value of EXPRESSION, as in a script",
        Text("SYMBOL=EXPRESSION", |parser, value| {
            let (symbol, expression) = value
                .split_once('=')
                .filter(|(symbol, _)| !symbol.trim().is_empty())
                .ok_or(Refusal::Value("SYMBOL=EXPRESSION"))?;
            parser.options.definitions.push(Definition {
                symbol: symbol.trim().to_owned(),
                expression: expression.to_owned(),
                scripts_before: parser.options.scripts.len(),
                inputs_before: parser.options.inputs.len(),
            });
            Ok(())
        }),
    ),
    row(
        "--orphan-handling",
        "what to do with sections the script does not name: place, discard, warn, error",
        Text("MODE", |parser, value| {
            parser.options.orphans = match value.to_ascii_lowercase().as_str() {
                "place" => OrphanHandling::Place,
                "discard" => OrphanHandling::Discard,
                "warn" => OrphanHandling::Warn,
                "error" => OrphanHandling::Error,
                _ => return Err(Refusal::Value("place, discard, warn or error")),
            };
            Ok(())
        }),
    ),
    row(
        "--unique",
        "keep each section matching PATTERN apart; without, each orphan",
        Optional("PATTERN", "", |parser, value| {
            let unique = &mut parser.options.unique;
            match (value, &mut *unique) {
                ("", _) => *unique = Unique::AllOrphans,
                (_, Unique::Matching(patterns)) => patterns.push(value.to_owned()),
                _ => *unique = Unique::Matching(vec![value.to_owned()]),
            }
            Ok(())
        }),
    ),
    row(
        "--gc-sections",
        "drop sections that nothing needs",
        Flag(|parser| parser.options.gc_sections = true),
    ),
    row(
        "--no-gc-sections",
        "keep them (the default)",
        Flag(|parser| parser.options.gc_sections = false),
    ),
    row(
        "--gc-keep-exported",
        "with --gc-sections: keep what exported symbols need",
        Flag(|parser| parser.options.gc_keep_exported = true),
    ),
    row(
        "--print-gc-sections",
        "name the sections that --gc-sections drops",
        Flag(|parser| parser.options.print_gc_sections = true),
    ),
    row(
        "--no-print-gc-sections",
        "do not",
        Flag(|parser| parser.options.print_gc_sections = false),
    ),
    row(
        "--sort-section",
        "sort what a pattern takes by name or by alignment",
        Text("KEY", |parser, value| {
            parser.options.sort_section = Some(match value {
                "name" => SortSection::Name,
                "alignment" => SortSection::Alignment,
                _ => return Err(Refusal::Value("name or alignment")),
            });
            Ok(())
        }),
    ),
    row(
        "--sort-common",
        "sort common symbols by alignment: descending or ascending",
        Optional("ORDER", "descending", |parser, value| {
            parser.options.sort_common = Some(match value {
                "descending" => SortCommon::Descending,
                "ascending" => SortCommon::Ascending,
                _ => return Err(Refusal::Value("descending or ascending")),
            });
            Ok(())
        }),
    ),
    row(
        "--force-group-allocation",
        "dissolve section groups",
        Flag(|parser| parser.options.dissolve_groups = true),
    ),
    row(
        "--strip-discarded",
        "drop what only discarded sections define (the default)",
        Flag(|parser| parser.options.strip_discarded = Some(true)),
    ),
    row(
        "--no-strip-discarded",
        "keep it",
        Flag(|parser| parser.options.strip_discarded = Some(false)),
    ),
    row(
        "--check-sections",
        "fail where sections overlap (the default)",
        Flag(|parser| parser.options.check_sections = Some(true)),
    ),
    row(
        "--no-check-sections",
        "let them",
        Flag(|parser| parser.options.check_sections = Some(false)),
    ),
    later("--enable-non-contiguous-regions", Nothing),
    later("--enable-non-contiguous-regions-warnings", Nothing),
];
