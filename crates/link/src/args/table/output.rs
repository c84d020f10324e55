//! Options that say what comes out.

use super::Kind::{Flag, Optional, Path, Text, Try};
use super::Takes::{MaybeValue, Nothing, Value};
use super::{Refusal, Row, later, later_in_final, row};
use crate::options::{BuildId, CompressDebug, OutputFormat, OutputKind};

pub(super) const ROWS: &[Row] = &[
    row(
        "-o --output",
        "write the output to FILE (default: a.out)",
        Path("FILE", |parser, path| parser.options.output = Some(path)),
    ),
    row(
        "-r -i --relocatable",
        "make an object that can be linked again",
        Try(|parser| parser.set_kind(OutputKind::Relocatable)),
    ),
    row(
        "-pie --pic-executable",
        "make a program that runs at any address",
        Try(|parser| parser.set_kind(OutputKind::Pie)),
    ),
    row(
        "-no-pie",
        "make a program for a fixed address (the default)",
        Try(|parser| parser.set_kind(OutputKind::Executable)),
    ),
    row(
        "-shared -Bshareable",
        "make a shared object",
        Try(|parser| parser.set_kind(OutputKind::Shared)),
    ),
    row(
        "-m",
        "link for this machine, such as elf_x86_64 or hppalinux",
        Text("EMULATION", |parser, value| {
            parser.options.emulation = Some(value.to_owned());
            Ok(())
        }),
    ),
    row(
        "--oformat",
        "write the output as FORMAT, such as elf32-hppa-linux or binary",
        Text("FORMAT", |parser, value| {
            parser.options.output_format = Some(match value {
                "binary" => OutputFormat::Binary,
                _ => OutputFormat::Elf(value.to_owned()),
            });
            Ok(())
        }),
    ),
    row(
        "-e --entry",
        "begin execution at this symbol or address",
        Text("ADDRESS", |parser, value| {
            parser.options.entry = Some(value.to_owned());
            Ok(())
        }),
    ),
    row(
        "-q --emit-relocs",
        "keep relocations in the output",
        Flag(|parser| parser.options.emit_relocations = true),
    ),
    row(
        "--build-id",
        "add a build-id note: sha1, md5, uuid, 0xHEX or none",
        Optional("STYLE", "sha1", |parser, value| {
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
        }),
    ),
    row(
        "--compress-debug-sections",
        "compress debugging sections: none, zlib, zlib-gnu, zlib-gabi, zstd",
        Text("STYLE", |parser, value| {
            let style = match value {
                "none" => CompressDebug::None,
                "zlib" | "zlib-gabi" => CompressDebug::Zlib,
                "zlib-gnu" => CompressDebug::ZlibGnu,
                "zstd" => CompressDebug::Zstd,
                _ => {
                    let styles = "none, zlib, zlib-gnu, zlib-gabi or zstd";
                    return Err(Refusal::Value(styles));
                }
            };
            parser.options.compress_debug = style;
            Ok(())
        }),
    ),
    row(
        "--noinhibit-exec",
        "write the output in spite of errors where there is something to write",
        Flag(|parser| parser.options.no_inhibit_exec = true),
    ),
    later_in_final("--package-metadata", MaybeValue),
    later_in_final("--out-implib", Value),
    later_in_final("--split-by-file", MaybeValue),
    later_in_final("--split-by-reloc", MaybeValue),
    later_in_final("--image-base", Value),
    later("--task-link", Value),
    later("-Ur", Nothing),
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
