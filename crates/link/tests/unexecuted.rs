//! What of the script language a link does not execute.

use klink_link::{Options, OutputKind, unexecuted_constructs};
use klink_script::{Source, parse};

/// Every construct that a linker script of Linux 6.1 uses on any architecture, as
/// `cargo xtask scripts` lists them, each once.
const LIKE_KERNELS: &str = r#"
OUTPUT_FORMAT("elf64-x86-64")
OUTPUT_ARCH(i386:x86-64)
ENTRY(start)
EXTERN(needed)
VERSION { LINUX_1 { global: f; local: *; }; }
PHDRS { text PT_LOAD FLAGS(5) FILEHDR PHDRS; note PT_NOTE; }
SECTIONS
{
    . = 0x10000 + SIZEOF_HEADERS;
    PROVIDE(first = .);
    .text . : AT(ADDR(.text) - 0x1000) ALIGN(16) {
        KEEP(*(.head.text))
        *crt.o(.start)
        *(EXCLUDE_FILE(*last.o) .text)
        . = ALIGN(MAX(8, 16));
    } :text :note =0xcccc
    .data : {
        *(SORT_BY_NAME(.data.*)) *(SORT_BY_ALIGNMENT(.small.*))
        BYTE(1) LONG(2) QUAD(3)
        CONSTRUCTORS
    }
    PROVIDE_HIDDEN(hidden = .);
    .scratch (NOLOAD) : { *(.scratch) }
    .comment 0 (INFO) : { *(.comment) }
    .bss : { *(.bss) *(COMMON) }
    OVERLAY 0xffff0000 : AT(LOADADDR(.bss)) { .vectors { *(.vectors) } .others { *(.others) } }
    /DISCARD/ : { *(.exit) }
    size = ABSOLUTE(SIZEOF(.text));
    ASSERT(size < 0x1000, "too large")
}
"#;

const USED_BY_KERNELS: &[&str] = &[
    "/DISCARD/",
    ":phdr",
    "=fill",
    "ABSOLUTE",
    "ADDR",
    "ALIGN",
    "ASSERT",
    "AT",
    "BYTE",
    "COMMON",
    "CONSTRUCTORS",
    "ENTRY",
    "EXCLUDE_FILE",
    "EXTERN",
    "INFO",
    "KEEP",
    "LOADADDR",
    "LONG",
    "MAX",
    "NOLOAD",
    "OUTPUT_ARCH",
    "OUTPUT_FORMAT",
    "OVERLAY",
    "PHDRS",
    "PROVIDE",
    "PROVIDE_HIDDEN",
    "QUAD",
    "SECTIONS",
    "SIZEOF",
    "SIZEOF_HEADERS",
    "SORT_BY_ALIGNMENT",
    "SORT_BY_NAME",
    "VERSION",
    "assignment",
    "assignment to .",
    "file pattern",
    "input section",
    "output section",
    "section ALIGN",
    "section address",
];

/// What of that is not executed yet. Who makes it work takes it off the list.
const NOT_EXECUTED: &[&str] = &[];

fn unexecuted(script: &str, output_kind: OutputKind) -> Result<Vec<&'static str>, String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("script.lds");
    std::fs::write(&path, script).expect("a file");
    let options = Options {
        scripts: vec![path.into()],
        output_kind,
        ..Options::default()
    };
    let constructs = unexecuted_constructs(&options).map_err(|error| error.to_string())?;
    Ok(constructs.iter().map(|construct| construct.name).collect())
}

#[test]
fn what_kernels_use_is_executed_but_for_a_list() {
    let script = parse(&Source::new("-", LIKE_KERNELS)).expect("a script");
    let mut used: Vec<&str> = script.constructs().iter().map(|used| used.name).collect();
    used.sort_unstable();
    assert_eq!(used, USED_BY_KERNELS);
    assert_eq!(
        unexecuted(LIKE_KERNELS, OutputKind::default()),
        Ok(NOT_EXECUTED.to_vec())
    );
}

#[test]
fn each_name_comes_once_in_the_order_of_first_use() {
    let script = "MEMORY { a : ORIGIN = 0, LENGTH = 1 }
        NOCROSSREFS(.text .data)
        SECTIONS { ASSERT(1, \"\") .text : { ASSERT(1, \"\"); } .data : AT(0) { } }
        ASSERT(1, \"\")";
    assert_eq!(
        unexecuted(script, OutputKind::Relocatable),
        Ok(vec!["MEMORY", "NOCROSSREFS", "ASSERT", "AT"])
    );
}

#[test]
fn other_errors_of_scripts_are_errors() {
    let script = "SECTIONS { /DISCARD/ : { x = 1; } }";
    let error = unexecuted(script, OutputKind::default()).expect_err("an error");
    assert!(
        error.contains("/DISCARD/ can only take input sections"),
        "{error}"
    );
}
