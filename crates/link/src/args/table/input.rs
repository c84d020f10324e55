//! Options that say what goes in.

use super::Kind::{Flag, Path, Text, Try};
use super::Takes::{Nothing, Value};
use super::{Refusal, Row, later, row};
use crate::options::{ByteOrder, InputFormat, InputName};

pub(super) const ROWS: &[Row] = &[
    row(
        "-l --library",
        "link with libNAME.a; with a colon, :FILE, with FILE",
        Text("NAME", |parser, value| {
            parser.add_input(InputName::Library(value.to_owned()));
            Ok(())
        }),
    ),
    row(
        "-L --library-path",
        "look in FOLDER for -l, -T and what scripts name",
        Path("FOLDER", |parser, path| {
            parser.options.library_paths.push(path);
        }),
    ),
    row(
        "-nostdlib",
        "look in no other folders, whatever SEARCH_DIR says",
        Flag(|parser| parser.options.nostdlib = true),
    ),
    row(
        "--sysroot",
        "FOLDER stands for = and $SYSROOT in front of a path",
        Path("FOLDER", |parser, path| parser.options.sysroot = Some(path)),
    ),
    row(
        "-b --format",
        "read the inputs that follow as FORMAT: binary or default",
        Text("FORMAT", |parser, value| {
            parser.format = match value {
                "binary" => InputFormat::Binary,
                "default" => InputFormat::Default,
                _ if value.starts_with("elf") => InputFormat::Default,
                _ => return Err(Refusal::Value("binary, default or an ELF format")),
            };
            Ok(())
        }),
    ),
    row(
        "--whole-archive",
        "take all members of the archives that follow",
        Flag(|parser| parser.whole_archive = true),
    ),
    row(
        "--no-whole-archive",
        "take only members that are needed",
        Flag(|parser| parser.whole_archive = false),
    ),
    row(
        "-( --start-group",
        "search the archives up to --end-group in turns",
        Try(|parser| {
            if parser.group.is_some() {
                return Err(Refusal::Place("stands inside of another group"));
            }
            parser.start_group();
            Ok(())
        }),
    ),
    row(
        "-) --end-group",
        "end the group",
        Try(|parser| match parser.group.take() {
            Some(_) => Ok(()),
            None => Err(Refusal::Place("ends a group that was not started")),
        }),
    ),
    row(
        "--push-state",
        "keep --whole-archive and --format for --pop-state",
        Flag(|parser| parser.saved.push((parser.whole_archive, parser.format))),
    ),
    row(
        "--pop-state",
        "go back to what --push-state kept",
        Try(|parser| {
            let Some((whole_archive, format)) = parser.saved.pop() else {
                return Err(Refusal::Place("has no --push-state before it"));
            };
            parser.whole_archive = whole_archive;
            parser.format = format;
            Ok(())
        }),
    ),
    row(
        "-R --just-symbols",
        "take the values of FILE's symbols and nothing else; a folder is as with -rpath",
        Path("FILE", |parser, path| match path.is_dir() {
            true => parser.options.rpath.push(path.display().to_string()),
            false => {
                let format = std::mem::replace(&mut parser.format, InputFormat::JustSymbols);
                parser.add_input(InputName::File(path));
                parser.format = format;
            }
        }),
    ),
    row(
        "-u --undefined",
        "search archives for SYMBOL",
        Text("SYMBOL", |parser, value| {
            parser.options.undefined.push(value.to_owned());
            Ok(())
        }),
    ),
    row(
        "--require-defined",
        "search archives for SYMBOL, and fail if nothing defines it",
        Text("SYMBOL", |parser, value| {
            parser.options.undefined.push(value.to_owned());
            parser.options.require_defined.push(value.to_owned());
            Ok(())
        }),
    ),
    row(
        "-EB",
        "use the big-endian one of OUTPUT_FORMAT's formats",
        Flag(|parser| parser.options.byte_order = Some(ByteOrder::Big)),
    ),
    row(
        "-EL",
        "use the little-endian one of OUTPUT_FORMAT's formats",
        Flag(|parser| parser.options.byte_order = Some(ByteOrder::Little)),
    ),
    later("-c --mri-script", Value),
    later("--exclude-libs", Value),
    later("--embedded-relocs", Nothing),
];
