//! The tables that a kernel link makes of its own symbols: small kernels, linked once, then checked
//! with `nm` and with `klink kallsyms --check`, and against links in steps as kernel builds do them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::tools::{Tools, errors, klink, must_run};

/// A kernel for x86-64: code, init code, per-CPU data at address 0, and weak references to the
/// table. The macro makes symbols enough for names to be compressed.
const X86_64: &str = "
	.globl _start
	.text
_start:
	call init
	.altmacro
	.macro one number
function_number_\\number\\():
	.globl exported_function_\\number
exported_function_\\number\\():
	ret
	.endm
	.set i,0
	.rept 300
	one %i
	.set i,i+1
	.endr
	.section .init.text,\"ax\",@progbits
init:	ret
	.section .data..percpu,\"aw\",@progbits
	.globl cpu_number
cpu_number: .long 0
	.data
	.globl jiffies
jiffies: .quad 0
	.weak kallsyms_names
	.weak kallsyms_num_syms
	.quad kallsyms_names,kallsyms_num_syms
	.section .rodata
	.globl linux_banner
linux_banner: .asciz \"Linux version 6.1.0 (klink)\"
";

/// Where kernels keep the table: in `.rodata`, with more behind it.
const IN_RODATA: &str = "PHDRS { text PT_LOAD; percpu PT_LOAD; init PT_LOAD; }
SECTIONS {
	. = 0xffffffff81000000;
	.text : { _text = .; _stext = .; *(.text) _etext = .; } :text
	. = ALIGN(4096);
	.rodata : { *(.rodata) }
	.after : { LONG(1) after_rodata = .; }
	.data : { *(.data) }
	percpu = .;
	.data..percpu 0 : AT(percpu) { __per_cpu_start = .; *(.data..percpu) __per_cpu_end = .; } :percpu
	. = percpu + SIZEOF(.data..percpu);
	. = ALIGN(4096);
	.init.text : { _sinittext = .; *(.init.text) _einittext = .; } :init
	_end = .;
}";

/// A section of its own, at the end (the proposal of 2016).
const AT_END: &str = "SECTIONS {
	. = 0xffffffff81000000;
	.text : { _text = .; _stext = .; *(.text) _etext = .; }
	.rodata : { *(.rodata) }
	.data : { *(.data) }
	.data..percpu : { __per_cpu_start = .; *(.data..percpu) __per_cpu_end = .; }
	.init.text : { _sinittext = .; *(.init.text) _einittext = .; }
	.kallsyms : { *(.kallsyms) }
	_end = .;
}";

/// A folder with a kernel's object and its script.
fn kernel(tools: &Tools, source: &str, script: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.s"), source).unwrap();
    fs::write(folder.path().join("k.lds"), script).unwrap();
    tools.assemble(folder.path(), "a.s", "a.o");
    folder
}

fn must_link(folder: &Path, more: &[&str]) {
    let arguments = [&["-T", "k.lds", "-o", "vmlinux", "a.o"], more].concat();
    let output = klink(folder, &arguments);
    assert!(output.status.success(), "{more:?}: {}", errors(&output));
}

/// What `klink kallsyms` says of the kernel.
fn kallsyms(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klink"));
    command.current_dir(folder).args(["kallsyms", "vmlinux"]);
    let output = command.args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?}: {text}{}",
        errors(&output)
    );
    text
}

/// The lines of `nm -n` that mksysmap keeps.
fn system_map_by_nm(folder: &Path, drops_table: bool) -> String {
    let listed = must_run(folder, &["nm"], &["-n", "vmlinux"]);
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    // From 6.4 to 6.9, the table's own symbols are left out, too.
    let drops = |line: &&str| {
        let kinds = [" a ", " N ", " U ", " w "];
        let of_table = drops_table && line.contains(" R kallsyms_");
        of_table || kinds.iter().any(|kind| line.contains(kind))
    };
    let kept: Vec<&str> = listed.lines().filter(|line| !drops(line)).collect();
    kept.join("\n") + "\n"
}

/// What is asked for, and the versions in which it is a form of its own.
type Forms = [(&'static str, &'static [&'static str])];

const ALL: &[&str] = &["6.1", "6.2", "6.4", "6.9", "6.15"];
const ABSOLUTE: &[&str] = &["6.1", "6.2", "6.4"];
const WITH_PERCPU: &[&str] = &["6.1", "6.2", "6.4", "6.9"];

const FORMS: &Forms = &[
    ("--kallsyms", ABSOLUTE),
    ("--kallsyms=base-relative", ALL),
    ("--kallsyms=all-symbols", ABSOLUTE),
    ("--kallsyms=all-symbols,base-relative", ALL),
];

/// Offsets from the lowest address cannot tell both that of per-CPU symbols and that of code.
const FORMS_WITH_PERCPU_AT_ZERO: &Forms = &[
    ("--kallsyms", ABSOLUTE),
    ("--kallsyms=base-relative", ALL),
    ("--kallsyms=all-symbols", ABSOLUTE),
    (
        "--kallsyms=all-symbols,base-relative,absolute-percpu",
        WITH_PERCPU,
    ),
];

#[test]
fn every_symbol_is_right_wherever_the_table_stands_and_in_every_form() {
    let Some(tools) = Tools::find("x86_64") else {
        return;
    };
    for (script, forms) in [(IN_RODATA, FORMS_WITH_PERCPU_AT_ZERO), (AT_END, FORMS)] {
        let folder = kernel(tools, X86_64, script);
        let folder = folder.path();
        let versions_of = |&(form, versions): &(&'static str, &'static [&'static str])| {
            versions.iter().map(move |&version| (form, version))
        };
        for (form, version) in forms.iter().flat_map(versions_of) {
            must_link(
                folder,
                &[form, "--kernel-version", version, "--system-map=map"],
            );
            let checked = kallsyms(folder, &["--check"]);
            let right = checked.contains("0 wrong, 0 missing, 0 surplus");
            assert!(
                right && !checked.starts_with("0 symbols"),
                "{form} {version}: {checked}"
            );
            let map = fs::read_to_string(folder.join("map")).unwrap();
            let by_nm = system_map_by_nm(folder, ["6.4", "6.9"].contains(&version));
            assert!(map == by_nm, "{form} {version}:\n{map}\nnot\n{by_nm}");
        }
    }
}

/// An address that the form cannot tell is an error that names the symbol.
#[test]
fn what_the_form_cannot_hold_is_named() {
    let Some(tools) = Tools::find("x86_64") else {
        return;
    };
    let folder = kernel(tools, X86_64, IN_RODATA);
    let arguments = [
        "-T",
        "k.lds",
        "-o",
        "vmlinux",
        "a.o",
        "--kallsyms=all-symbols,base-relative",
    ];
    let output = klink(folder.path(), &arguments);
    let said = errors(&output);
    assert!(
        said.contains("kallsyms: symbol ") && said.contains("out of range of 0x0"),
        "{said}"
    );
    assert!(!folder.path().join("vmlinux").exists());
}

#[test]
fn the_banner_says_the_version_and_nothing_else_does() {
    let Some(tools) = Tools::find("x86_64") else {
        return;
    };
    let folder = kernel(tools, X86_64, IN_RODATA);
    must_link(folder.path(), &["--kallsyms=base-relative"]);
    let json = kallsyms(folder.path(), &["--json"]);
    assert!(
        json.contains("\"version\":\"6.1\"") || json.contains("\"version\": \"6.1\""),
        "{}",
        &json[..200]
    );
    let folder = kernel(tools, ".globl _start\n_start: ret\n", IN_RODATA);
    let arguments = ["-T", "k.lds", "-o", "vmlinux", "a.o", "--kallsyms"];
    let output = klink(folder.path(), &arguments);
    assert!(
        errors(&output).contains("--kernel-version"),
        "{}",
        errors(&output)
    );
    assert!(!folder.path().join("vmlinux").exists());
}

/// A kernel that is moved when it boots needs a relocation for each address in the table.
#[test]
fn addresses_in_the_table_are_emitted_relocations() {
    let Some(tools) = Tools::find("x86_64") else {
        return;
    };
    let folder = kernel(tools, X86_64, IN_RODATA);
    let folder = folder.path();
    for (form, part, wanted) in [
        (
            "--kallsyms=all-symbols,base-relative,absolute-percpu",
            "kallsyms_relative_base",
            1,
        ),
        ("--kallsyms=all-symbols", "kallsyms_addresses", 600),
    ] {
        must_link(folder, &[form, "--emit-relocs"]);
        let symbols = String::from_utf8(must_run(folder, &["nm"], &["vmlinux"]).stdout).unwrap();
        let address = |name: &str| {
            let line = symbols
                .lines()
                .find(|line| line.ends_with(&format!(" {name}")));
            u64::from_str_radix(&line.unwrap()[..16], 16).unwrap()
        };
        let (start, end) = (address(part), address("kallsyms_num_syms"));
        let relocations = must_run(folder, &["readelf"], &["-rW", "vmlinux"]).stdout;
        let relocations = String::from_utf8(relocations).unwrap();
        let inside = relocations.lines().filter(|line| {
            let place = line.split(' ').next().unwrap_or_default();
            let place = u64::from_str_radix(place, 16).unwrap_or(0);
            line.contains("R_X86_64_64") && (start..end).contains(&place)
        });
        let found = inside.count();
        assert!(
            found >= wanted,
            "{form}: {found} relocations\n{relocations}"
        );
    }
}

/// A position-independent kernel moves itself: its loader finds the base among its relocations.
#[test]
fn the_base_of_addresses_is_a_dynamic_relocation() {
    let Some(tools) = Tools::find("x86_64") else {
        return;
    };
    let folder = kernel(tools, X86_64, AT_END);
    let folder = folder.path();
    let table = "--kallsyms=all-symbols,base-relative";
    must_link(
        folder,
        &["-pie", "--no-dynamic-linker", table, "--system-map=map"],
    );
    let map = fs::read_to_string(folder.join("map")).unwrap();
    let address = |name: &str| {
        let line = map.lines().find(|line| line.ends_with(&format!(" {name}")));
        line.unwrap()[..16].to_owned()
    };
    let relocations = must_run(folder, &["readelf"], &["-rW", "vmlinux"]).stdout;
    let relocations = String::from_utf8(relocations).unwrap();
    let place = address("kallsyms_relative_base");
    let mut at_base = relocations.lines().filter(|line| line.starts_with(&place));
    let base = at_base
        .next()
        .unwrap_or_else(|| panic!("none at {place}:\n{relocations}"));
    // readelf shows an addend as a signed number.
    let text = u64::from_str_radix(&address("_text"), 16).unwrap();
    let addend = format!("-{:x}", text.wrapping_neg());
    assert!(
        base.contains("R_X86_64_RELATIVE") && base.ends_with(&addend),
        "{base}"
    );
    assert_eq!(at_base.next(), None);
    let arguments = ["-T", "k.lds", "-pie", "-o", "vmlinux", "a.o", "--kallsyms"];
    let said = errors(&klink(folder, &arguments));
    assert!(said.contains("add base-relative"), "{said}");
}

/// As kernel builds do it: link, make the table, link with it. With the same symbols, `System.map` of
/// one link is that of the third.
#[test]
fn one_link_gives_the_addresses_of_links_in_steps() {
    let Some(tools) = Tools::find("x86_64") else {
        return;
    };
    let folder = kernel(tools, X86_64, IN_RODATA);
    let folder = folder.path();
    must_link(
        folder,
        &[
            "--kallsyms=all-symbols,base-relative,absolute-percpu",
            "--system-map=one",
        ],
    );
    let image = fs::read(folder.join("vmlinux")).unwrap();
    let one = fs::read_to_string(folder.join("one")).unwrap();
    let address = |name: &str| {
        let line = one.lines().find(|line| line.ends_with(&format!(" {name}")));
        u64::from_str_radix(&line.unwrap()[..16], 16).unwrap()
    };
    // The table as an object, cut out of the kernel.
    let parts = [
        "kallsyms_offsets",
        "kallsyms_relative_base",
        "kallsyms_num_syms",
        "kallsyms_names",
        "kallsyms_markers",
        "kallsyms_token_table",
        "kallsyms_token_index",
    ];
    let start = address(parts[0]);
    let end = address("after_rodata") - 4;
    let sections = must_run(folder, &["readelf"], &["-SW", "vmlinux"]).stdout;
    let sections = String::from_utf8(sections).unwrap();
    let rodata = sections
        .lines()
        .find(|line| line.contains(" .rodata "))
        .unwrap();
    let fields: Vec<&str> = rodata
        .split_whitespace()
        .skip_while(|field| *field != "PROGBITS")
        .collect();
    let number = |at: usize| u64::from_str_radix(fields[at], 16).unwrap();
    let offset = (start - number(1) + number(2)) as usize;
    let table = &image[offset..offset + (end - start) as usize];
    fs::write(folder.join("table.bin"), table).unwrap();
    let mut source = String::from(".section .rodata\n.balign 8\n.Lstart: .incbin \"table.bin\"\n");
    for part in parts {
        source += &format!(
            ".globl {part}\n.set {part}, .Lstart+{}\n",
            address(part) - start
        );
    }
    fs::write(folder.join("t.s"), source).unwrap();
    tools.assemble(folder, "t.s", "t.o");
    must_link(folder, &["t.o", "--system-map=three"]);
    let three = fs::read_to_string(folder.join("three")).unwrap();
    assert_eq!(one, three);
    let again = fs::read(folder.join("vmlinux")).unwrap();
    assert_eq!(again[offset..offset + table.len()], *table);
}

/// A kernel for PA-RISC whose calls go over the table: without it they reach.
const HPPA: &str = "
	.text
	.globl _start
_start:
	b,l far,%r2
	nop
	b,l also_far,%r2
	nop
	.section .text.far,\"ax\",@progbits
	.globl far
far:	bv %r0(%r2)
	nop
	.globl also_far
also_far:
	bv %r0(%r2)
	nop
	b,l _start,%r2
	nop
	.section .rodata
	.globl linux_banner
linux_banner: .asciz \"Linux version 6.1.0 (klink)\"
";

const TABLE_BETWEEN_CODE: &str = "SECTIONS {
	. = 0x10000000;
	.text : { _text = .; _stext = .; *(.text) . = ALIGN(16); *(.rodata) *(.text.far) _etext = .; }
	.data : { LONG(1) data_begins = .; LONG(2) }
	_end = .;
}";

/// Stubs appear because of the table, have symbols, and these are in the table.
#[test]
fn stubs_that_the_table_makes_necessary_are_in_it() {
    let Some(tools) = Tools::find("hppa") else {
        return;
    };
    let mut source = HPPA.to_owned();
    for number in 0..30_000 {
        let mixed = number * 7919 % 65_521;
        source += &format!("\t.globl symbol_{mixed:x}_{number}\nsymbol_{mixed:x}_{number}:\n");
    }
    let folder = kernel(tools, &source, TABLE_BETWEEN_CODE);
    let folder = folder.path();
    must_link(
        folder,
        &[
            "--stub-symbols",
            "--system-map=without",
            "--kernel-version=6.1",
        ],
    );
    let without = fs::read_to_string(folder.join("without")).unwrap();
    assert!(!without.contains(".stub"), "calls reach without the table");
    let table = "--kallsyms=all-symbols,base-relative";
    must_link(folder, &["--stub-symbols", "--system-map=with", table]);
    let with = fs::read_to_string(folder.join("with")).unwrap();
    for name in ["far.stub", "also_far.stub", "_start.stub"] {
        assert!(
            with.lines()
                .any(|line| line.ends_with(&format!(" t {name}"))),
            "{name}"
        );
    }
    let checked = kallsyms(folder, &["--check"]);
    assert!(
        checked.contains("0 wrong, 0 missing, 0 surplus"),
        "{checked}"
    );
    let listed = kallsyms(folder, &["far.stub"]);
    assert!(listed.contains("far.stub"), "{listed}");
    // Stubs have symbols only if they are asked for.
    must_link(folder, &["--system-map=plain", table]);
    let plain = fs::read_to_string(folder.join("plain")).unwrap();
    assert!(!plain.contains(".stub"));
}

/// A kernel's exception table, and the variable that says that it is to be sorted.
const UNSORTED: &str = "
	.globl _start
	.text
_start:
	nop
second: nop
third:	nop
	.section __ex_table,\"a\"
	.macro entry at
	.long \\at - ., _start - ., 3
	.endm
	entry third
	entry _start
	entry second
	.data
	.globl main_extable_sort_needed
	.type main_extable_sort_needed,@object
	.size main_extable_sort_needed,4
main_extable_sort_needed: .long 1
	.section .rodata
	.globl linux_banner
linux_banner: .asciz \"Linux version 6.1.0 (klink)\"
";

#[test]
fn tables_are_sorted_before_the_build_id_is_made() {
    let Some(tools) = Tools::find("x86_64") else {
        return;
    };
    let script = "SECTIONS { . = 0x1000000; .text : { *(.text) } __ex_table : { *(__ex_table) } \
                  .rodata : { *(.rodata) } .notes : { *(.note.*) } .data : { *(.data) } }";
    let folder = kernel(tools, UNSORTED, script);
    let folder = folder.path();
    let mut seen = Vec::new();
    for options in [&["--build-id"][..], &["--build-id", "--sort-tables"]] {
        must_link(folder, options);
        let dump = |section: &str| {
            must_run(
                folder,
                &["objcopy"],
                &["-O", "binary", "-j", section, "vmlinux", "part"],
            );
            fs::read(folder.join("part")).unwrap()
        };
        let entries = dump("__ex_table");
        let targets: Vec<i64> = entries
            .chunks(12)
            .enumerate()
            .map(|(index, entry)| {
                let distance = i32::from_le_bytes(entry[..4].try_into().unwrap());
                i64::from(distance) + 12 * index as i64
            })
            .collect();
        seen.push((targets, dump(".data"), dump(".notes")));
    }
    let (unsorted, sorted) = (&seen[0], &seen[1]);
    assert!(!unsorted.0.is_sorted() && sorted.0.is_sorted(), "{seen:?}");
    assert_eq!(
        (&unsorted.1[..4], &sorted.1[..4]),
        (&[1, 0, 0, 0][..], &[0; 4][..])
    );
    assert_ne!(unsorted.2, sorted.2, "the build-id is of what was sorted");
    let folder = kernel(tools, X86_64, IN_RODATA);
    let arguments = ["-T", "k.lds", "-o", "vmlinux", "a.o", "--sort-tables"];
    let output = klink(folder.path(), &arguments);
    assert!(
        errors(&output).contains("__ex_table"),
        "{}",
        errors(&output)
    );
    assert!(!folder.path().join("vmlinux").exists());
}
