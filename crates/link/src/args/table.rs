//! The options of `ld.klink`, a row each.

use std::path::PathBuf;

use super::keyword::set_keyword;
use super::{Parser, Print};
use crate::options::{
    BuildId, DiscardLocals, InputName, OrphanHandling, OutputFormat, OutputKind, ScriptFile, Strip,
    Unique,
};

/// Whether an option takes a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Value {
    /// It takes none.
    None,
    /// It needs one, joined or as the next argument.
    Needed,
    /// It may have one, joined with `=`; else this.
    Optional(&'static str),
}

/// Why an option's value is refused.
pub(crate) enum Refusal {
    /// The option takes something else.
    Value(&'static str),
    /// The option has no place here.
    Place(&'static str),
    /// The option is for later.
    NotYet,
}

type Set = fn(&mut Parser, &str) -> Result<(), Refusal>;

/// An option.
pub(crate) struct Row {
    /// One-letter names, written `-X`.
    pub short: &'static [&'static str],
    /// Long names, written `--NAME` or `-NAME`.
    pub names: &'static [&'static str],
    pub value: Value,
    pub value_name: &'static str,
    /// For `--help`; options without are accepted but not shown.
    pub help: Option<&'static str>,
    pub set: Set,
}

const fn row(
    short: &'static [&'static str],
    names: &'static [&'static str],
    value: Value,
    value_name: &'static str,
    help: &'static str,
    set: Set,
) -> Row {
    Row {
        short,
        names,
        value,
        value_name,
        help: Some(help),
        set,
    }
}

/// An option that changes nothing in relocatable output, as in GNU ld.
const fn ignored(
    short: &'static [&'static str],
    names: &'static [&'static str],
    value: Value,
) -> Row {
    Row {
        short,
        names,
        value,
        value_name: "",
        help: None,
        set: |_, _| Ok(()),
    }
}

/// An option of links other than `-r`. `name` is what the error calls it.
const fn not_yet(
    short: &'static [&'static str],
    names: &'static [&'static str],
    value: Value,
    set: Set,
) -> Row {
    Row {
        short,
        names,
        value,
        value_name: "",
        help: None,
        set,
    }
}

/// An option that changes nothing in relocatable output, but would in a final link, which klink does
/// not make yet: a build that probes for it (`-v`) is told so.
const fn tolerated(names: &'static [&'static str], value: Value, set: Set) -> Row {
    Row {
        short: &[],
        names,
        value,
        value_name: "",
        help: None,
        set,
    }
}

macro_rules! probe {
    ($name:literal) => {
        |parser, _| {
            parser.refused_by_probe.get_or_insert($name);
            Ok(())
        }
    };
}

macro_rules! later {
    ($name:literal) => {
        |parser, _| {
            parser.options.not_yet.push($name.to_owned());
            Ok(())
        }
    };
}

use Value::{Needed, None as NoValue, Optional};

/// All options.
pub(crate) const OPTIONS: &[Row] = &[
    row(
        &["r", "i"],
        &["relocatable"],
        NoValue,
        "",
        "make an object that can be linked again",
        |parser, _| {
            parser.options.output_kind = OutputKind::Relocatable;
            Ok(())
        },
    ),
    row(
        &[],
        &["module"],
        NoValue,
        "",
        "with -r: merge code, order functions, make every branch reach",
        |parser, _| {
            parser.module("module");
            Ok(())
        },
    ),
    row(
        &[],
        &["stub-symbols"],
        NoValue,
        "",
        "with --module: give each stub a local symbol, NAME.stub",
        |parser, _| {
            parser.module("stub-symbols").stub_symbols = true;
            Ok(())
        },
    ),
    row(
        &[],
        &["no-reorder"],
        NoValue,
        "",
        "with --module: leave functions in input order",
        |parser, _| {
            parser.module("no-reorder").keep_order = true;
            Ok(())
        },
    ),
    row(
        &[],
        &["stats"],
        NoValue,
        "",
        "print what the link did to standard error",
        |parser, _| {
            parser.options.stats = true;
            Ok(())
        },
    ),
    row(
        &["o"],
        &["output"],
        Needed,
        "FILE",
        "write the output to FILE (default: a.out)",
        |parser, value| {
            parser.options.output = Some(PathBuf::from(value));
            Ok(())
        },
    ),
    row(
        &["T"],
        &["script"],
        Needed,
        "FILE",
        "use FILE as linker script",
        |parser, value| {
            parser.options.scripts.push(ScriptFile {
                path: PathBuf::from(value),
                inputs_before: parser.options.inputs.len(),
            });
            Ok(())
        },
    ),
    row(
        &["m"],
        &[],
        Needed,
        "EMULATION",
        "link for this machine, such as elf_x86_64 or hppalinux",
        |parser, value| {
            parser.options.emulation = Some(value.to_owned());
            Ok(())
        },
    ),
    row(
        &["b"],
        &["format"],
        Needed,
        "FORMAT",
        "read the inputs that follow as FORMAT: binary or default",
        |parser, value| {
            parser.binary = value == "binary";
            if parser.binary || value == "default" || value.starts_with("elf") {
                Ok(())
            } else {
                Err(Refusal::Value("binary, default or an ELF format"))
            }
        },
    ),
    row(
        &[],
        &["oformat"],
        Needed,
        "FORMAT",
        "write the output as FORMAT, such as elf32-hppa-linux",
        |parser, value| {
            parser.options.output_format = Some(match value {
                "binary" => OutputFormat::Binary,
                _ => OutputFormat::Elf(value.to_owned()),
            });
            Ok(())
        },
    ),
    row(
        &["L"],
        &["library-path"],
        Needed,
        "FOLDER",
        "look in FOLDER for -l and -T",
        |parser, value| {
            parser.options.library_paths.push(PathBuf::from(value));
            Ok(())
        },
    ),
    row(
        &["l"],
        &["library"],
        Needed,
        "NAME",
        "link with libNAME.a",
        |parser, value| {
            parser.add_input(InputName::Library(value.to_owned()));
            Ok(())
        },
    ),
    row(
        &[],
        &["whole-archive"],
        NoValue,
        "",
        "take all members of the archives that follow",
        |parser, _| {
            parser.whole_archive = true;
            Ok(())
        },
    ),
    row(
        &[],
        &["no-whole-archive"],
        NoValue,
        "",
        "take only members that are needed",
        |parser, _| {
            parser.whole_archive = false;
            Ok(())
        },
    ),
    row(
        &["("],
        &["start-group"],
        NoValue,
        "",
        "search the archives up to --end-group in turns",
        |parser, _| {
            if parser.group.is_some() {
                return Err(Refusal::Place("stands inside of another group"));
            }
            parser.start_group();
            Ok(())
        },
    ),
    row(
        &[")"],
        &["end-group"],
        NoValue,
        "",
        "end the group",
        |parser, _| {
            if parser.group.take().is_none() {
                return Err(Refusal::Place("ends a group that was not started"));
            }
            Ok(())
        },
    ),
    row(
        &[],
        &["push-state"],
        NoValue,
        "",
        "keep --whole-archive and --format for --pop-state",
        |parser, _| {
            parser.saved.push((parser.whole_archive, parser.binary));
            Ok(())
        },
    ),
    row(
        &[],
        &["pop-state"],
        NoValue,
        "",
        "go back to what --push-state kept",
        |parser, _| {
            let Some((whole_archive, binary)) = parser.saved.pop() else {
                return Err(Refusal::Place("has no --push-state before it"));
            };
            parser.whole_archive = whole_archive;
            parser.binary = binary;
            Ok(())
        },
    ),
    row(
        &[],
        &["build-id"],
        Optional("sha1"),
        "STYLE",
        "add a build-id note: sha1, md5, uuid, 0xHEX or none",
        |parser, value| {
            parser.options.build_id = match value {
                "none" => BuildId::None,
                "sha1" | "tree" => BuildId::Sha1,
                "md5" => BuildId::Md5,
                "uuid" => BuildId::Uuid,
                _ => BuildId::Hex(
                    hex(value).ok_or(Refusal::Value("sha1, md5, uuid, 0xHEX or none"))?,
                ),
            };
            Ok(())
        },
    ),
    row(
        &["s"],
        &["strip-all"],
        NoValue,
        "",
        "drop symbols and debugging sections",
        |parser, _| {
            parser.options.strip = Strip::All;
            Ok(())
        },
    ),
    row(
        &["S"],
        &["strip-debug"],
        NoValue,
        "",
        "drop debugging sections",
        |parser, _| {
            parser.options.strip = Strip::Debug;
            Ok(())
        },
    ),
    row(
        &["x"],
        &["discard-all"],
        NoValue,
        "",
        "drop local symbols that no relocation needs",
        |parser, _| {
            parser.options.discard = DiscardLocals::All;
            Ok(())
        },
    ),
    row(
        &["X"],
        &["discard-locals"],
        NoValue,
        "",
        "drop compiler-made local symbols (.L...)",
        |parser, _| {
            parser.options.discard = DiscardLocals::CompilerMade;
            Ok(())
        },
    ),
    row(
        &[],
        &["discard-none"],
        NoValue,
        "",
        "keep all local symbols (the default with -r)",
        |parser, _| {
            parser.options.discard = DiscardLocals::None;
            Ok(())
        },
    ),
    row(
        &["u"],
        &["undefined"],
        Needed,
        "SYMBOL",
        "search archives for SYMBOL",
        |parser, value| {
            parser.options.undefined.push(value.to_owned());
            Ok(())
        },
    ),
    row(
        &[],
        &["unique"],
        Optional(""),
        "PATTERN",
        "keep each section matching PATTERN apart; without, each orphan",
        |parser, value| {
            let unique = &mut parser.options.unique;
            match (value, &mut *unique) {
                ("", _) => *unique = Unique::AllOrphans,
                (_, Unique::Matching(patterns)) => patterns.push(value.to_owned()),
                _ => *unique = Unique::Matching(vec![value.to_owned()]),
            }
            Ok(())
        },
    ),
    row(
        &[],
        &["allow-multiple-definition"],
        NoValue,
        "",
        "let the first definition of a symbol win",
        |parser, _| {
            parser.options.allow_multiple_definition = true;
            Ok(())
        },
    ),
    row(
        &[],
        &["force-group-allocation"],
        NoValue,
        "",
        "dissolve section groups",
        |parser, _| {
            parser.options.dissolve_groups = true;
            Ok(())
        },
    ),
    row(
        &[],
        &["orphan-handling"],
        Needed,
        "MODE",
        "what to do with sections the script does not name: place, discard, warn, error",
        |parser, value| {
            parser.options.orphans = match value {
                "place" => OrphanHandling::Place,
                "discard" => OrphanHandling::Discard,
                "warn" => OrphanHandling::Warn,
                "error" => OrphanHandling::Error,
                _ => return Err(Refusal::Value("place, discard, warn or error")),
            };
            Ok(())
        },
    ),
    row(
        &[],
        &["fatal-warnings"],
        NoValue,
        "",
        "treat warnings as errors",
        |parser, _| {
            parser.options.fatal_warnings = true;
            Ok(())
        },
    ),
    row(
        &[],
        &["no-fatal-warnings"],
        NoValue,
        "",
        "do not",
        |parser, _| {
            parser.options.fatal_warnings = false;
            Ok(())
        },
    ),
    row(
        &["z"],
        &[],
        Needed,
        "KEYWORD",
        "keywords of GNU ld: noexecstack, muldefs, max-page-size=N ...",
        set_keyword,
    ),
    row(
        &[],
        &["threads"],
        Needed,
        "N",
        "use N threads (default: one for each core)",
        |parser, value| {
            parser.options.threads = value.parse().map_err(|_| Refusal::Value("a number"))?;
            Ok(())
        },
    ),
    row(
        &[],
        &["time"],
        NoValue,
        "",
        "print how long each phase took",
        |parser, _| {
            parser.options.time = true;
            Ok(())
        },
    ),
    row(
        &["v"],
        &[],
        NoValue,
        "",
        "print the version; exit 0 if the options beside it are supported",
        |parser, _| {
            parser.print = Some(Print::VersionThenLink);
            Ok(())
        },
    ),
    row(
        &["V"],
        &["version"],
        NoValue,
        "",
        "print the version",
        |parser, _| {
            parser.print = Some(Print::Version);
            Ok(())
        },
    ),
    row(&[], &["help"], NoValue, "", "print this", |parser, _| {
        parser.print = Some(Print::Help);
        Ok(())
    }),
    // What follows changes nothing in relocatable output.
    ignored(
        &["E"],
        &["export-dynamic", "no-export-dynamic", "EB", "EL"],
        NoValue,
    ),
    ignored(
        &["n", "N", "p", "t", "g"],
        &[
            "nmagic",
            "omagic",
            "no-omagic",
            "trace",
            "call_shared",
            "non_shared",
            "static",
            "dn",
            "dy",
            "no-pie",
        ],
        NoValue,
    ),
    ignored(
        &[],
        &[
            "warn-rwx-segments",
            "no-warn-rwx-segments",
            "warn-execstack",
            "no-warn-execstack",
        ],
        NoValue,
    ),
    ignored(
        &[],
        &[
            "warn-common",
            "warn-mismatch",
            "no-warn-mismatch",
            "warn-once",
            "warn-multiple-gp",
            "no-warn-search-mismatch",
            "no-warnings",
            "no-keep-memory",
            "reduce-memory-overheads",
            "no-demangle",
            "check-sections",
            "no-check-sections",
        ],
        NoValue,
    ),
    ignored(
        &[],
        &[
            "Bsymbolic",
            "Bsymbolic-functions",
            "Bstatic",
            "Bdynamic",
            "as-needed",
            "no-as-needed",
            "add-needed",
            "no-add-needed",
            "copy-dt-needed-entries",
            "no-copy-dt-needed-entries",
            "no-dynamic-linker",
            "eh-frame-hdr",
            "no-eh-frame-hdr",
            "ld-generated-unwind-info",
            "no-ld-generated-unwind-info",
            "no-undefined",
            "no-allow-shlib-undefined",
            "allow-shlib-undefined",
            "nostdlib",
            "no-gc-sections",
            "no-print-gc-sections",
            "accept-unknown-input-arch",
            "no-accept-unknown-input-arch",
        ],
        NoValue,
    ),
    ignored(&[], &["relax", "no-relax", "no-fix-cortex-a8"], NoValue),
    tolerated(&["be8"], NoValue, probe!("--be8")),
    tolerated(&["pic-veneer"], NoValue, probe!("--pic-veneer")),
    tolerated(
        &["no-apply-dynamic-relocs"],
        NoValue,
        probe!("--no-apply-dynamic-relocs"),
    ),
    tolerated(&["fix-cortex-a8"], NoValue, probe!("--fix-cortex-a8")),
    tolerated(
        &["fix-cortex-a53-835769"],
        NoValue,
        probe!("--fix-cortex-a53-835769"),
    ),
    tolerated(
        &["fix-cortex-a53-843419"],
        Optional(""),
        probe!("--fix-cortex-a53-843419"),
    ),
    tolerated(&["multi-subspace"], NoValue, probe!("--multi-subspace")),
    tolerated(&["plugin"], Needed, probe!("--plugin")),
    tolerated(&["plugin-opt"], Needed, probe!("--plugin-opt")),
    ignored(&["e"], &["entry"], Needed),
    ignored(
        &["O"],
        &[
            "hash-style",
            "soname",
            "dynamic-linker",
            "rpath",
            "rpath-link",
            "sysroot",
            "unresolved-symbols",
            "stub-group-size",
        ],
        Needed,
    ),
    ignored(
        &["h", "I", "Y", "y", "G", "A"],
        &["dynamic-list", "version-script"],
        Needed,
    ),
    ignored(&[], &["sort-common"], Optional("")),
    ignored(&[], &["color-diagnostics"], Optional("auto")),
    // What follows belongs to links other than -r, or is not done yet.
    not_yet(&["d"], &["dc", "dp"], NoValue, later!("-d")),
    not_yet(&[], &["shared", "Bshareable"], NoValue, later!("-shared")),
    not_yet(&[], &["pie", "pic-executable"], NoValue, later!("-pie")),
    not_yet(&["q"], &["emit-relocs"], NoValue, later!("--emit-relocs")),
    not_yet(&[], &["gc-sections"], NoValue, later!("--gc-sections")),
    not_yet(
        &[],
        &["print-gc-sections"],
        NoValue,
        later!("--print-gc-sections"),
    ),
    not_yet(&["M"], &["print-map"], NoValue, later!("--print-map")),
    not_yet(&[], &["Map"], Needed, later!("-Map")),
    not_yet(&["R"], &["just-symbols"], Needed, later!("-R")),
    not_yet(&[], &["defsym"], Needed, later!("--defsym")),
    not_yet(&[], &["wrap"], Needed, later!("--wrap")),
    not_yet(
        &[],
        &[
            "Ttext",
            "Tdata",
            "Tbss",
            "Ttext-segment",
            "section-start",
            "image-base",
        ],
        Needed,
        later!("-Ttext and the like"),
    ),
    not_yet(
        &[],
        &["compress-debug-sections"],
        Needed,
        |parser, value| {
            if value != "none" {
                parser
                    .options
                    .not_yet
                    .push(format!("--compress-debug-sections={value}"));
            }
            Ok(())
        },
    ),
    not_yet(
        &[],
        &["dependency-file"],
        Needed,
        later!("--dependency-file"),
    ),
    not_yet(
        &[],
        &["retain-symbols-file"],
        Needed,
        later!("--retain-symbols-file"),
    ),
    not_yet(&["c"], &["mri-script"], Needed, |_, _| Err(Refusal::NotYet)),
];

fn hex(value: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = value
        .strip_prefix("0x")
        .or(value.strip_prefix("0X"))?
        .bytes()
        .filter(|byte| !b"-:".contains(byte))
        .collect();
    let pair = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    if digits.is_empty() || !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks_exact(2).map(pair).collect()
}
