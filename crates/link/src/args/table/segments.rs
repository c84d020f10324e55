//! Addresses, segments and pages.

use super::Kind::{Flag, Text};
use super::{Refusal, Row, address, row};
use crate::args::keyword::set_keyword;
use crate::options::Magic;

pub(super) const ROWS: &[Row] = &[
    row(
        "-z",
        "keywords of GNU ld: noexecstack, max-page-size=N, relro, now, defs ...",
        Text("KEYWORD", set_keyword),
    ),
    row(
        "-Ttext",
        "put .text at ADDRESS (hexadecimal)",
        Text("ADDRESS", |parser, value| parser.start_of(".text", value)),
    ),
    row(
        "-Tdata",
        "put .data there",
        Text("ADDRESS", |parser, value| parser.start_of(".data", value)),
    ),
    row(
        "-Tbss",
        "put .bss there",
        Text("ADDRESS", |parser, value| parser.start_of(".bss", value)),
    ),
    row(
        "-Ttext-segment",
        "put the first segment there",
        Text("ADDRESS", |parser, value| {
            parser.start_of(".text-segment", value)
        }),
    ),
    row(
        "-Trodata-segment",
        "put the segment of .rodata there",
        Text("ADDRESS", |parser, value| {
            parser.start_of(".rodata-segment", value)
        }),
    ),
    row(
        "-Tldata-segment",
        "put the segment of large data there",
        Text("ADDRESS", |parser, value| {
            parser.start_of(".ldata-segment", value)
        }),
    ),
    row(
        "--section-start",
        "put an output section there",
        Text("SECTION=ADDRESS", |parser, value| {
            let (section, start) = value
                .split_once('=')
                .filter(|(section, start)| !section.is_empty() && !start.is_empty())
                .ok_or(Refusal::Value("SECTION=ADDRESS"))?;
            let start = address(start)?;
            let starts = &mut parser.options.section_starts;
            starts.push((section.to_owned(), start));
            Ok(())
        }),
    ),
    row(
        "-n --nmagic",
        "do not begin segments at pages of the file",
        Flag(|parser| parser.options.magic = Magic::Nmagic),
    ),
    row(
        "-N --omagic",
        "put text and data into one writable segment",
        Flag(|parser| parser.options.magic = Magic::Omagic),
    ),
    row(
        "--no-omagic",
        "neither (the default)",
        Flag(|parser| parser.options.magic = Magic::Paged),
    ),
    row(
        "--warn-rwx-segments",
        "warn of segments that are writable and executable (the default)",
        Flag(|parser| parser.options.warn_rwx_segments = Some(true)),
    ),
    row(
        "--no-warn-rwx-segments",
        "do not",
        Flag(|parser| parser.options.warn_rwx_segments = Some(false)),
    ),
    row(
        "--warn-execstack",
        "warn where the stack is executable",
        Flag(|parser| parser.options.warn_execstack = Some(true)),
    ),
    row(
        "--no-warn-execstack",
        "do not",
        Flag(|parser| parser.options.warn_execstack = Some(false)),
    ),
    row(
        "--eh-frame-hdr",
        "make .eh_frame_hdr, a table for .eh_frame",
        Flag(|parser| parser.options.eh_frame_hdr = true),
    ),
    row(
        "--no-eh-frame-hdr",
        "do not (the default)",
        Flag(|parser| parser.options.eh_frame_hdr = false),
    ),
    row(
        "--ld-generated-unwind-info",
        "have .eh_frame in what a loader relocates (the default)",
        Flag(|parser| parser.options.no_generated_unwind_info = false),
    ),
    row(
        "--no-ld-generated-unwind-info",
        "do not, where inputs have none",
        Flag(|parser| parser.options.no_generated_unwind_info = true),
    ),
];
