//! Merging against GNU ld itself: random sections, assembled and linked, with a reference to each
//! offset of each.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use object::{Object, ObjectSection};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use super::reference::group;
use super::{MergeInput, MergeKind, Merged, merge};

/// Groups in a link; each is merged into an output section of its own.
const GROUPS: usize = 400;

/// The most inputs that a group has; each is in an object of its own.
const OBJECTS: usize = 5;

type Group = (MergeKind, Vec<Vec<u8>>);

#[test]
fn gnu_ld_merges_alike() {
    if ["as", "ld"].iter().any(|program| !is_installed(program)) {
        return;
    }
    let mut runner = TestRunner::deterministic();
    let groups: Vec<Group> = (0..GROUPS)
        .map(|_| group().new_tree(&mut runner).unwrap().current())
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let linked = link(folder.path(), &groups);
    let linked = object::File::parse(&*linked).unwrap();

    let mut references = (0..OBJECTS).map(|object| {
        let section = linked.section_by_name(&format!(".refs{object}")).unwrap();
        section.data().unwrap().chunks_exact(8)
    });
    let mut references: [_; OBJECTS] = std::array::from_fn(|_| references.next().unwrap());
    let mut mistakes = Vec::new();
    for (number, (kind, inputs)) in groups.iter().enumerate() {
        let slices: Vec<MergeInput> = inputs.iter().map(|data| MergeInput { data }).collect();
        let merged = merge(*kind, &slices);
        let (offsets, bytes) = lay_out(*kind, inputs, &merged);

        let section = linked.section_by_name(&format!(".group{number}"));
        let found = section
            .as_ref()
            .map_or(&[][..], |section| section.data().unwrap());
        if found != bytes {
            mistakes.push(format!("{kind:?} {inputs:?}: {found:?}, not {bytes:?}"));
        }
        let address = section.as_ref().map_or(0, ObjectSection::address);
        for (input, data) in inputs.iter().enumerate() {
            for offset in 0..=data.len() as u64 {
                let reference = references[input].next().unwrap();
                let found = u64::from_le_bytes(reference.try_into().unwrap());
                let (part, within) = merged.place(input, offset);
                let expected = address + offsets[part] + within;
                if section.is_some() && found != expected {
                    mistakes.push(format!(
                        "{kind:?} {inputs:?}: offset {offset} of input {input} is at {found:#x}, \
                         not {expected:#x}"
                    ));
                }
            }
        }
    }
    assert!(
        mistakes.is_empty(),
        "{:#?}",
        &mistakes[..mistakes.len().min(5)]
    );
}

/// The parts, one behind the other: where each begins, and the bytes.
fn lay_out(kind: MergeKind, inputs: &[Vec<u8>], merged: &Merged) -> (Vec<u64>, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut offsets = Vec::new();
    for (input, data) in inputs.iter().enumerate() {
        let size = usize::try_from(merged.size(input)).unwrap();
        // What is left out does not align; what was empty from the start does.
        let is_left_out = size == 0 && !data.is_empty();
        if !is_left_out {
            let align = usize::try_from(kind.align).unwrap();
            bytes.resize(bytes.len().next_multiple_of(align), 0);
        }
        let start = bytes.len();
        offsets.push(start as u64);
        bytes.resize(start + size, 0xee);
        merged.write(input, &mut bytes[start..]);
    }
    (offsets, bytes)
}

/// Links the groups with GNU ld: input `i` of each in object `i`, with a table of references to
/// all of its offsets.
fn link(folder: &Path, groups: &[Group]) -> Vec<u8> {
    let mut script = "SECTIONS {\n".to_owned();
    for number in 0..groups.len() {
        // An address for each: no group's size moves another.
        let address = (number + 1) << 12;
        writeln!(script, ".group{number} {address:#x} : {{ *(.in{number}) }}").unwrap();
    }
    let mut arguments = vec!["-melf_x86_64", "-T", "script", "-e0", "-o", "linked"];
    let names: Vec<String> = (0..OBJECTS).map(|object| format!("{object}.o")).collect();
    for (object, name) in names.iter().enumerate() {
        let address = 0x1000_0000 * (object + 1);
        writeln!(
            script,
            ".refs{object} {address:#x} : {{ *(.refs{object}) }}"
        )
        .unwrap();
        let source = format!("{object}.s");
        fs::write(folder.join(&source), assembly(object, groups)).unwrap();
        must_run(folder, "as", &["--64", &source, "-o", name]);
        arguments.push(name);
    }
    script.push_str("}\n");
    fs::write(folder.join("script"), script).unwrap();
    must_run(folder, "ld", &arguments);
    fs::read(folder.join("linked")).unwrap()
}

fn assembly(object: usize, groups: &[Group]) -> String {
    let mut text = String::new();
    let mut references = format!(".section .refs{object}, \"a\"\n");
    for (number, (kind, inputs)) in groups.iter().enumerate() {
        let Some(data) = inputs.get(object) else {
            continue;
        };
        let flags = if kind.strings { "aMS" } else { "aM" };
        let (size, align) = (kind.entry_size, kind.align);
        writeln!(text, ".section .in{number}, \"{flags}\", @progbits, {size}").unwrap();
        writeln!(text, ".balign {align}").unwrap();
        for byte in data {
            writeln!(text, ".byte {byte}").unwrap();
        }
        for offset in 0..=data.len() {
            writeln!(references, ".quad .in{number} + {offset}").unwrap();
        }
    }
    text + &references
}

/// Whether a program can be run; if not, says loudly that the test does nothing, or fails.
fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        let required = std::env::var("KLINK_REQUIRE_TOOLS").as_deref() == Ok("1");
        assert!(!required, "{program} is not installed");
        eprintln!("SKIPPED: {program} is not installed (binutils)");
    }
    found
}

fn must_run(folder: &Path, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let output = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {errors}");
}
