//! The bytes that GNU ld gives the same sections at the same addresses.

mod common;

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use common::host::Simulated;
use common::{ALL, Small, policies};
use klink_module::{Error, SectionId};
use object::{Object, ObjectSection};

/// How far from the modules the kernel is here: near enough that no branch needs a stub.
const NEAR: u64 = 0x2_0000;

#[test]
fn small_modules_are_linked_as_gnu_ld_links_them() {
    let linkers = [
        ("x86_64", "x86_64-linux-gnu-ld", "elf_x86_64"),
        ("i386", "x86_64-linux-gnu-ld", "elf_i386"),
        ("hppa", "hppa-linux-gnu-ld", "hppalinux"),
        ("aarch64", "aarch64-linux-gnu-ld", "aarch64linux"),
    ];
    for (name, linker, emulation) in linkers {
        if Command::new(linker).arg("--version").output().is_err() {
            let why = format!("{linker} is missing: install binutils for {name}");
            assert!(std::env::var_os("KLINK_REQUIRE_TOOLS").is_none(), "{why}");
            eprintln!("SKIPPED: {why}");
            continue;
        }
        let small = ALL.into_iter().find(|small| small.name == name);
        let small = small.expect("an architecture with a module");
        let near = Small {
            kernel: small.modules + NEAR,
            ..small
        };
        compare(&near, linker, emulation);
    }
}

fn compare(small: &Small, linker: &str, emulation: &str) {
    let file = small.file();
    let kernel = small.kernel();
    let folder = tempfile::tempdir().expect("a folder");
    for policy in policies(&file) {
        let mut space = small.space();
        if small.file().arch().class == klink_arch::Class::Elf32 {
            // 17 bits of PA-RISC reach a quarter of a megabyte
            space.per_cpu = small.modules + 4 * NEAR;
        }
        let plan = file.plan(&policy).unwrap();
        let placement = plan.allocate(|block| {
            Ok::<_, Error>(Simulated {
                address: space.place(block),
                bytes: vec![0; block.size as usize],
            })
        });
        let mut linked = plan.link(placement.unwrap(), &kernel).unwrap();
        assert_eq!(linked.stub_count(), 0, "{}: near enough", small.name);
        let sections: Vec<(SectionId, String, u64)> = file
            .section_ids()
            .filter_map(|(id, section)| {
                let name = String::from_utf8_lossy(file.section_name(section)).into_owned();
                Some((id, name, linked.section_address(id)?))
            })
            .filter(|(id, ..)| {
                file.section(*id)
                    .is_some_and(|s| s.is_allocated() && s.size > 0)
            })
            .collect();
        let linked_by_ld = link(small, linker, emulation, folder.path(), &sections);
        let output = object::File::parse(&*linked_by_ld).expect("an output of ld");
        let mut compared = 0;
        for (id, name, address) in &sections {
            let section = file.section(*id).expect("a section");
            // sorted by the loader, or sized by it
            if name == "__ex_table" || name.contains("plt") || name.contains("trampoline") {
                continue;
            }
            if !section.has_contents() {
                continue;
            }
            let theirs = output.section_by_name(name).expect("a section of ld");
            assert_eq!(theirs.address(), *address, "{} {name}", small.name);
            let ours = linked.section_bytes(*id);
            assert_eq!(ours, theirs.data().unwrap(), "{} {name}", small.name);
            compared += ours.len();
        }
        assert!(compared > 500, "{compared} bytes compared");
    }
}

fn link(
    small: &Small,
    linker: &str,
    emulation: &str,
    folder: &Path,
    sections: &[(SectionId, String, u64)],
) -> Vec<u8> {
    let mut script = String::from("SECTIONS {\n");
    for (_, name, address) in sections {
        writeln!(script, "{name} {address:#x} : {{ *({name}) }}").unwrap();
    }
    script.push_str("/DISCARD/ : { *(*) }\n}\n");
    use klink_module::Symbols;
    let kernel = small.kernel();
    for name in common::IMPORTS.iter().chain(&["param_ops_charp"]) {
        let address = kernel.export(name.as_bytes()).unwrap().address;
        writeln!(script, "{name} = {address:#x};").unwrap();
    }
    let (input, output) = (folder.join("small.ko"), folder.join("out"));
    std::fs::write(&input, small.bytes).unwrap();
    std::fs::write(folder.join("script"), script).unwrap();
    let ran = Command::new(linker)
        .args(["-m", emulation, "--no-check-sections", "-e", "0", "-o"])
        .arg(&output)
        .arg("-T")
        .arg(folder.join("script"))
        .arg(&input)
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{}: {words}", small.name);
    std::fs::read(output).unwrap()
}
