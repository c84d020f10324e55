//! What a dynamic linker reads.

use super::Kind::{Flag, Path, Text};
use super::Takes::{Nothing, Value};
use super::{Refusal, Row, later_in_final, row};
use crate::options::{DynamicLinker, HashStyle, Symbolic, TextRelocations};

pub(super) const ROWS: &[Row] = &[
    row(
        "-h -soname",
        "the name that the shared object has for others (DT_SONAME)",
        Text("NAME", |parser, value| {
            // An empty name does not replace one (ld/lexsup.c, `OPTION_SONAME`).
            if !value.is_empty() || parser.options.soname.is_none() {
                parser.options.soname = Some(value.to_owned());
            }
            Ok(())
        }),
    ),
    row(
        "-I -dynamic-linker",
        "the program that loads the output (PT_INTERP)",
        Text("PROGRAM", |parser, value| {
            parser.options.dynamic_linker = DynamicLinker::Path(value.to_owned());
            Ok(())
        }),
    ),
    row(
        "--no-dynamic-linker",
        "nothing loads the output",
        Flag(|parser| parser.options.dynamic_linker = DynamicLinker::None),
    ),
    row(
        "--hash-style",
        "sysv (.hash), gnu (.gnu.hash) or both (the default)",
        Text("STYLE", |parser, value| {
            parser.options.hash_style = match value {
                "sysv" => HashStyle::Sysv,
                "gnu" => HashStyle::Gnu,
                "both" => HashStyle::Both,
                _ => return Err(Refusal::Value("sysv, gnu or both")),
            };
            Ok(())
        }),
    ),
    row(
        "-Bsymbolic",
        "bind references to what the shared object defines itself",
        Flag(|parser| parser.options.symbolic = Symbolic::All),
    ),
    row(
        "-Bsymbolic-functions",
        "bind those to functions",
        Flag(|parser| parser.options.symbolic = Symbolic::Functions),
    ),
    row(
        "-Bno-symbolic",
        "bind none (the default)",
        Flag(|parser| parser.options.symbolic = Symbolic::None),
    ),
    row(
        "--version-script",
        "take versions and visibility of symbols from FILE",
        Path("FILE", |parser, path| {
            parser.options.version_scripts.push(path);
        }),
    ),
    row(
        "--no-undefined-version",
        "fail where a version script names a symbol that is not there",
        Flag(|parser| parser.options.no_undefined_version = true),
    ),
    row(
        "--undefined-version",
        "do not (the default)",
        Flag(|parser| parser.options.no_undefined_version = false),
    ),
    row(
        "-E --export-dynamic",
        "make all global symbols of a program dynamic",
        Flag(|parser| parser.options.export_dynamic = true),
    ),
    row(
        "--no-export-dynamic",
        "do not (the default)",
        Flag(|parser| parser.options.export_dynamic = false),
    ),
    row(
        "--dynamic-list",
        "make the symbols that FILE lists dynamic",
        Path("FILE", |parser, path| {
            parser.options.dynamic_lists.push(path)
        }),
    ),
    row(
        "-rpath",
        "where the dynamic linker looks for shared objects",
        Text("FOLDER", |parser, value| {
            let rpath = &mut parser.options.rpath;
            if !rpath.iter().any(|folder| folder == value) {
                rpath.push(value.to_owned());
            }
            Ok(())
        }),
    ),
    row(
        "--enable-new-dtags",
        "write -rpath as DT_RUNPATH",
        Flag(|parser| parser.options.new_dtags = Some(true)),
    ),
    row(
        "--disable-new-dtags",
        "write -rpath as DT_RPATH",
        Flag(|parser| parser.options.new_dtags = Some(false)),
    ),
    row(
        "--spare-dynamic-tags",
        "leave this many empty entries at the end of .dynamic (default: 5)",
        Text("N", |parser, value| {
            let tags = super::number(value).ok_or(Refusal::Value("a number"))?;
            parser.options.spare_dynamic_tags = Some(tags);
            Ok(())
        }),
    ),
    row(
        "-init",
        "the function that DT_INIT names (default: _init)",
        Text("SYMBOL", |parser, value| {
            parser.options.init = Some(value.to_owned());
            Ok(())
        }),
    ),
    row(
        "-fini",
        "the function that DT_FINI names (default: _fini)",
        Text("SYMBOL", |parser, value| {
            parser.options.fini = Some(value.to_owned());
            Ok(())
        }),
    ),
    row(
        "--warn-textrel",
        "warn of dynamic relocations in read-only sections",
        Flag(|parser| parser.options.text_relocations = TextRelocations::Warning),
    ),
    later_in_final("-f --auxiliary", Value),
    later_in_final("-F --filter", Value),
    later_in_final("--audit", Value),
    later_in_final("-P --depaudit", Value),
    later_in_final("-Bgroup", Nothing),
    later_in_final("--default-symver", Nothing),
    later_in_final("--default-imported-symver", Nothing),
    later_in_final("--dynamic-list-data", Nothing),
    later_in_final("--dynamic-list-cpp-new", Nothing),
    later_in_final("--dynamic-list-cpp-typeinfo", Nothing),
    later_in_final("--export-dynamic-symbol", Value),
    later_in_final("--export-dynamic-symbol-list", Value),
    later_in_final("--version-exports-section", Value),
];
