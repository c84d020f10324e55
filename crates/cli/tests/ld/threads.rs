//! One thread makes the same bytes as many.

use std::fmt::Write as _;
use std::fs;

use crate::tools::{Tools, errors, klink};

/// Enough that every phase that works in parallel does.
const OBJECTS: usize = 300;

const SCRIPT: &str = "
SECTIONS {
  . = 0x1000;
  .text : { *(.text .text.*) }
  .rodata : { *(.rodata .rodata.*) }
  .data : { *(.data .data.*) }
  .bss : { *(.bss) *(COMMON) }
  .eh_frame : { KEEP(*(.eh_frame)) }
  .debug_info 0 : { *(.debug_info) }
  .debug_str 0 : { *(.debug_str) }
}
";

/// An object that refers to others, with strings that some of them have too.
fn source(number: usize) -> String {
    let mut text = String::new();
    let next = (number + 7) % OBJECTS;
    let shared = number % 13;
    let _ = write!(
        text,
        "
	.section .text.f{number},\"ax\"
	.globl f{number}
f{number}:
	.cfi_startproc
	.skip {skip}
	.8byte f{next}, common{shared}, .Lstring
	.cfi_endproc
	.section .rodata.str1.1,\"aMS\",%progbits,1
.Lstring: .string \"shared {shared}\"
	.string \"own {number}\"
	.section .data.x,\"aw\"
local:	.8byte f{next}, local
	.comm common{shared},{size},4
	.section .debug_str,\"MS\",%progbits,1
.Lname:	.string \"name of {shared}\"
	.section .debug_info,\"\",%progbits
	.8byte .Lname, f{number}
",
        skip = number * 64,
        size = 4 * (1 + number % 5),
    );
    text
}

#[test]
fn one_thread_makes_the_same_bytes_as_many() {
    let Some(tools) = Tools::find("x86_64") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    fs::write(path.join("s.lds"), SCRIPT).unwrap();
    let mut list = String::new();
    for number in 0..OBJECTS {
        fs::write(path.join("x.s"), source(number)).unwrap();
        let object = format!("{number}.o");
        tools.assemble(path, "x.s", &object);
        list += &format!("{object}\n");
    }
    fs::write(path.join("list"), list).unwrap();
    let link = |threads: &str, kind: &[&str]| {
        let arguments = ["@list", "--threads", threads, "-o", "out"];
        let output = klink(path, &[kind, &arguments].concat());
        assert!(output.status.success(), "{}", errors(&output));
        fs::read(path.join("out")).unwrap()
    };
    let kinds: [&[&str]; 4] = [
        &["-T", "s.lds", "--emit-relocs", "--build-id", "-Map", "map"],
        &["-T", "s.lds", "--gc-sections", "-u", "f3"],
        &["-shared", "-z", "notext"],
        &["-r"],
    ];
    for kind in kinds {
        let one = link("1", kind);
        assert!(one.len() > OBJECTS * 64, "{kind:?}");
        for threads in ["2", "7"] {
            assert!(
                one == link(threads, kind),
                "{kind:?} with {threads} threads"
            );
        }
    }
}
