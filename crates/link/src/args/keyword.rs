//! The keywords of `-z`.

use super::Parser;
use super::table::Refusal;

/// Keywords of `-z` that change nothing in relocatable output.
const KEYWORDS: &[&str] = &[
    "now",
    "lazy",
    "relro",
    "norelro",
    "separate-code",
    "noseparate-code",
    "defs",
    "undefs",
    "text",
    "notext",
    "textoff",
    "combreloc",
    "nocombreloc",
    "common",
    "nocommon",
    "pack-relative-relocs",
    "nopack-relative-relocs",
    "start-stop-gc",
    "nostart-stop-gc",
    "nodelete",
    "origin",
    "initfirst",
    "interpose",
    "nodlopen",
    "nodump",
    "nodefaultlib",
    "loadfltr",
    "global",
    "unique",
    "nounique",
    "ibt",
    "ibtplt",
    "shstk",
    "nognustack",
    "indirect-extern-access",
    "noindirect-extern-access",
    "force-bti",
    "pac-plt",
    "call-nop=prefix-nop",
    "globalaudit",
];

/// Sets what `-z VALUE` asks for.
pub(super) fn set_keyword(parser: &mut Parser, value: &str) -> Result<(), Refusal> {
    const WITH_NUMBER: [&str; 3] = ["max-page-size=", "common-page-size=", "stack-size="];
    if value == "muldefs" {
        parser.options.allow_multiple_definition = true;
        return Ok(());
    }
    if value == "noexecstack" || value == "execstack" {
        parser.options.executable_stack = Some(value == "execstack");
        return Ok(());
    }
    let number = WITH_NUMBER.iter().find_map(|name| value.strip_prefix(name));
    let known = match number {
        Some(number) => parse_number(number),
        None => {
            KEYWORDS.contains(&value)
                || value.starts_with("start-stop-visibility=")
                || value.starts_with("x86-64-")
                || value.starts_with("cet-report=")
        }
    };
    if known {
        Ok(())
    } else {
        Err(Refusal::Value("a keyword of GNU ld, such as noexecstack"))
    }
}

fn parse_number(text: &str) -> bool {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).is_ok(),
        None => text.parse::<u64>().is_ok(),
    }
}
