//! The keywords of `-z` (ld/emultempl/elf.em and elf-x86.em, `handle_option`).

use object::elf;

use super::Parser;
use super::table::{Outcome, Refusal, number};
use crate::options::TextRelocations;

/// What a keyword does.
type Set = fn(&mut Parser);

/// Keywords without a value.
const KEYWORDS: &[(&str, Set)] = &[
    ("muldefs", |parser| {
        parser.options.allow_multiple_definition = true
    }),
    ("defs", |parser| {
        parser.options.unresolved.report = Some(true)
    }),
    ("undefs", |parser| {
        parser.options.unresolved.report = Some(false)
    }),
    ("execstack", |parser| {
        parser.options.executable_stack = Some(true)
    }),
    ("noexecstack", |parser| {
        parser.options.executable_stack = Some(false)
    }),
    ("start-stop-gc", |parser| {
        parser.options.start_stop_gc = true
    }),
    ("nostart-stop-gc", |parser| {
        parser.options.start_stop_gc = false
    }),
    ("relro", |parser| parser.options.relro = Some(true)),
    ("norelro", |parser| parser.options.relro = Some(false)),
    ("separate-code", |parser| {
        parser.options.separate_code = Some(true)
    }),
    ("noseparate-code", |parser| {
        parser.options.separate_code = Some(false)
    }),
    ("text", |parser| {
        parser.options.text_relocations = TextRelocations::Error
    }),
    ("notext", |parser| {
        parser.options.text_relocations = TextRelocations::Allowed
    }),
    ("textoff", |parser| {
        parser.options.text_relocations = TextRelocations::Allowed
    }),
    ("combreloc", |parser| {
        parser.options.combine_relocations = Some(true)
    }),
    ("nocombreloc", |parser| {
        parser.options.combine_relocations = Some(false)
    }),
    ("pack-relative-relocs", |parser| {
        parser.options.pack_relative_relocations = true
    }),
    ("nopack-relative-relocs", |parser| {
        parser.options.pack_relative_relocations = false
    }),
    ("now", |parser| {
        parser.options.dynamic_flags |= elf::DF_BIND_NOW.0;
        parser.options.dynamic_flags_1 |= elf::DF_1_NOW.0;
    }),
    ("lazy", |parser| {
        parser.options.dynamic_flags &= !elf::DF_BIND_NOW.0;
        parser.options.dynamic_flags_1 &= !elf::DF_1_NOW.0;
    }),
    ("origin", |parser| {
        parser.options.dynamic_flags |= elf::DF_ORIGIN.0;
        parser.options.dynamic_flags_1 |= elf::DF_1_ORIGIN.0;
    }),
    ("global", |parser| {
        parser.options.dynamic_flags_1 |= elf::DF_1_GLOBAL.0
    }),
    ("globalaudit", |parser| {
        parser.options.dynamic_flags_1 |= elf::DF_1_GLOBAUDIT.0
    }),
    ("initfirst", |parser| {
        parser.options.dynamic_flags_1 |= elf::DF_1_INITFIRST.0
    }),
    ("interpose", |parser| {
        parser.options.dynamic_flags_1 |= elf::DF_1_INTERPOSE.0
    }),
    ("loadfltr", |parser| {
        parser.options.dynamic_flags_1 |= elf::DF_1_LOADFLTR.0
    }),
    ("nodefaultlib", |parser| {
        parser.options.dynamic_flags_1 |= elf::DF_1_NODEFLIB.0
    }),
    ("nodelete", |parser| {
        parser.options.dynamic_flags_1 |= elf::DF_1_NODELETE.0
    }),
    ("nodlopen", |parser| {
        parser.options.dynamic_flags_1 |= elf::DF_1_NOOPEN.0
    }),
    ("dynamic-undefined-weak", |parser| {
        parser.options.dynamic_undefined_weak = Some(true)
    }),
    ("nodynamic-undefined-weak", |parser| {
        parser.options.dynamic_undefined_weak = Some(false)
    }),
    ("nodump", |parser| {
        parser.options.dynamic_flags_1 |= elf::DF_1_NODUMP.0
    }),
];

/// Keywords that ask for what klink does anyway, or that are about shared objects as inputs.
const IGNORED: &[&str] = &[
    "nocommon",
    "nocopyreloc",
    "noextern-protected-data",
    "indirect-extern-access",
    "noindirect-extern-access",
    "nounique",
    "nounique-symbol",
    "nognustack",
    "noreloc-overflow",
    "cet-report=none",
    "cet-report=warning",
    "call-nop=prefix-nop",
    "call-nop=suffix-nop",
    "start-stop-visibility=protected",
];

/// Keywords that are not carried out yet in links other than `-r`.
const LATER: &[&str] = &[
    "common",
    "unique",
    "unique-symbol",
    "ibt",
    "ibtplt",
    "shstk",
    "bndplt",
    "force-bti",
    "pac-plt",
    "bti-plt",
    "report-relative-reloc",
    "cet-report=error",
];

/// Beginnings of such keywords.
const LATER_BEGINNINGS: &[&str] = &["start-stop-visibility=", "x86-64-", "call-nop=", "lam-"];

/// Sets what `-z VALUE` asks for.
pub(super) fn set_keyword(parser: &mut Parser, value: &str) -> Outcome {
    if let Some((_, set)) = KEYWORDS.iter().find(|(keyword, _)| *keyword == value) {
        set(parser);
        return Ok(());
    }
    if let Some((keyword, text)) = value.split_once('=')
        && ["max-page-size", "common-page-size", "stack-size"].contains(&keyword)
    {
        return set_number(parser, keyword, text);
    }
    if IGNORED.contains(&value) {
        return Ok(());
    }
    if LATER.contains(&value)
        || LATER_BEGINNINGS
            .iter()
            .any(|start| value.starts_with(start))
    {
        parser.later_in_final(format!("-z {value}"));
        return Ok(());
    }
    Err(Refusal::Value("a keyword of GNU ld, such as noexecstack"))
}

fn set_number(parser: &mut Parser, keyword: &str, text: &str) -> Outcome {
    let number = number(text).ok_or(Refusal::Value("KEYWORD=NUMBER"))?;
    let options = &mut parser.options;
    if keyword == "stack-size" {
        options.stack_size = Some(number);
        return Ok(());
    }
    if !number.is_power_of_two() {
        return Err(Refusal::Value("a page size that is a power of two"));
    }
    match keyword {
        "max-page-size" => options.max_page_size = Some(number),
        _ => options.common_page_size = Some(number),
    }
    Ok(())
}
