//! Maps: `-Map` says the same as GNU ld's, and `--map-json` is JSON with what a reader looks for.

use std::fs;
use std::path::Path;

use crate::tools::{Tools, errors, klink};

const SCRIPT: &str = r#"
ENTRY(_start)
MEMORY {
  rom (rx) : ORIGIN = 0x1000, LENGTH = 0x1000
  ram (w!x) : ORIGIN = 0x4000, LENGTH = 0x1000
}
PROVIDE(unneeded = 5);
sum = 0x10 + 4;
choice = DEFINED(sum) ? MAX(sum, 3) : -1;
SECTIONS {
  . = 0x1000;
  .text : {
    _text = .;
    *(.text) *(.text.*)
    FILL(0x90) . = ALIGN(32);
    LONG(0x12345678)
    _etext = .;
  } >rom =0x90909090
  .rodata : { *(.rodata .rodata.*) KEEP(*(SORT_BY_NAME(.foo*))) } >rom
  PROVIDE(func = 3);
  .a_rather_long_name : { *(.nothing) }
  .data : AT(0x1800) {
    *(EXCLUDE_FILE(x.o) .data) *x.o(.data)
    LONG(data + 1)
    HIDDEN(hidden = . - ADDR(.data));
    . += 4;
  } >ram
  . = ALIGN(0x10);
  .bss : { *(.bss) *(COMMON) } >ram
  ASSERT(. < 0x10000, "too big")
  /DISCARD/ : { *(.gone) }
}
end = .;
"#;

const A: &str = r#"
	.text
	.globl _start, func
_start:	.4byte ext
	.p2align 4
func:	.4byte 2
	.section .text.a_long_section_name,"ax"
	.globl long
long:	.4byte 1
	.data
	.globl data
data:	.4byte 5
	.section .rodata.str1.1,"aMS",%progbits,1
	.string "abc"
	.string "def"
	.comm a_rather_long_common_name,16,8
	.section .orphan,"a"
	.4byte 1
	.section .gone,"a"
	.4byte 1
"#;

const B: &str = r#"
	.text
	.globl ext
ext:	.4byte 3
	.section .rodata.str1.1,"aMS",%progbits,1
	.string "abc"
	.bss
	.globl zeros
zeros:	.skip 24
"#;

/// Assembles the sources and links them with both.
/// Links with both linkers; klink gets `own` too.
fn link(tools: &Tools, folder: &Path, both: &[&str], own: &[&str]) {
    for (name, text) in [("s.lds", SCRIPT), ("a.s", A), ("b.s", B)] {
        fs::write(folder.join(name), text).unwrap();
    }
    for name in ["a", "b"] {
        tools.assemble(folder, &format!("{name}.s"), &format!("{name}.o"));
    }
    tools.archive(folder, "rcs", &["b.a", "b.o"]);
    let common = [&["-T", "s.lds", "a.o", "b.a"], both].concat();
    let own = [&common[..], &["-o", "out", "-Map", "klink.map"], own].concat();
    let output = klink(folder, &own);
    assert!(output.status.success(), "{}", errors(&output));
    let output = tools.link(
        folder,
        &[&common[..], &["-o", "out", "-Map", "gnu.map"]].concat(),
    );
    assert!(output.status.success(), "{}", errors(&output));
}

/// The paragraphs of a map, without those of empty sections that a linker makes for itself.
fn paragraphs(folder: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join(name)).unwrap();
    let all = text.split("\n\n").map(str::to_owned);
    all.filter(|paragraph| {
        let head = paragraph.lines().next().unwrap_or_default();
        !(head.starts_with('.') && head.split_whitespace().nth(2) == Some("0x0"))
    })
    .collect()
}

#[test]
fn map_says_what_gnu_ld_says() {
    for name in ["x86_64", "i386", "hppa"] {
        let Some(tools) = Tools::find(name) else {
            continue;
        };
        for both in [&[][..], &["--no-print-map-discarded"]] {
            let folder = tempfile::tempdir().unwrap();
            link(tools, folder.path(), both, &[]);
            let [ours, gnu] =
                ["klink.map", "gnu.map"].map(|map| paragraphs(folder.path(), map).join("\n\n"));
            // PA-RISC's ld has a file of its own for stubs.
            let gnu: Vec<&str> = gnu
                .lines()
                .filter(|line| *line != "LOAD linker stubs")
                .collect();
            let ours: Vec<&str> = ours.lines().collect();
            assert_eq!(ours, gnu, "{name} {both:?}");
        }
    }
}

#[test]
fn json_map_tells_where_inputs_are() {
    let Some(tools) = Tools::find("x86_64") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    link(tools, folder.path(), &[], &["--map-json", "map.json"]);
    let text = fs::read_to_string(folder.path().join("map.json")).unwrap();
    let map: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(map["entry"], "0x1000");
    let text = &map["sections"][0];
    assert_eq!(text["name"], ".text");
    assert_eq!(text["contents"][0]["file"], "a.o");
    assert_eq!(text["contents"][0]["symbols"][1]["name"], "func");
    assert_eq!(text["contents"][0]["symbols"][1]["address"], "0x1010");
    assert_eq!(map["discarded"][0]["section"], ".gone");
    assert_eq!(map["regions"][0]["name"], "rom");
}

/// The tables and lists that stand on standard output.
#[test]
fn what_is_printed_is_what_gnu_ld_prints() {
    let Some(tools) = Tools::find("x86_64") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    link(tools, folder.path(), &[], &[]);
    let arguments = [
        "-T",
        "s.lds",
        "a.o",
        "b.a",
        "--print-memory-usage",
        "--trace",
        "--dependency-file=out.d",
        "-o",
        "out",
    ];
    let path = folder.path();
    let gnu = tools.link(path, &arguments);
    let rule = fs::read_to_string(path.join("out.d")).unwrap();
    let klinked = klink(path, &arguments);
    assert_eq!(fs::read_to_string(path.join("out.d")).unwrap(), rule);
    let lines = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(lines(&klinked.stdout), lines(&gnu.stdout));
}
