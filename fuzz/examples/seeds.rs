//! Writes first inputs for all targets, from the objects of `crates/link/tests/data` and the scripts
//! named on the command line, into `corpus/`.

use std::fs;
use std::path::Path;

// By path: so the example does not link with the fuzzer.
#[allow(dead_code)] // it only puts cases together
#[path = "../src/case.rs"]
mod case;
use case::Case;
use klink_fuzz::KALLSYMS_PARTS;
use klink_tables::kallsyms::{Endian, Format, Plan, Symbol, Version, WordSize};

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = root.join("../crates/link/tests/data");
    let bad = root.join("../crates/link/tests/bad_input");
    let read = |name: &str| fs::read(data.join(name));
    let put = |target: &str, name: &str, bytes: &[u8]| {
        let folder = root.join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(name), bytes)
    };
    let objects = [
        "hppa.o", "hppa64.o", "x86_64.o", "i386.o", "member.o", "more.o",
    ];
    for name in objects {
        put("object", name, &read(name)?)?;
    }
    let modules = root.join("../crates/module/tests/data");
    for entry in fs::read_dir(modules)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".ko") {
            for choice in [0b1010_1000, 0b0110_0110, 0] {
                let mut bytes = fs::read(entry.path())?;
                bytes.push(choice);
                put("module", &format!("{name}.{choice}"), &bytes)?;
            }
        }
    }
    for name in ["lib.a", "thin.a"] {
        put("archive", name, &read(name)?)?;
    }
    let built_in = root.join("../crates/link/scripts/relocatable.lds");
    let mut scripts = vec![fs::read(data.join("small.lds"))?, fs::read(built_in)?];
    for path in std::env::args_os().skip(1) {
        scripts.push(fs::read(path)?);
    }
    for (number, script) in scripts.iter().enumerate() {
        put("script", &format!("{number}.lds"), script)?;
    }
    for entry in fs::read_dir(bad)?.flatten() {
        let bytes = fs::read(entry.path())?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let target = match name.rsplit('.').next() {
            Some("o") => "object",
            Some("a") => "archive",
            Some("lds") => "script",
            _ => continue,
        };
        put(target, &name, &bytes)?;
    }
    for (name, bytes) in kallsyms() {
        put("kallsyms", &name, &bytes)?;
        put("tables", &name, &bytes)?;
    }
    put(
        "tables",
        "object",
        &[&[1, 9, 0, 0][..], &read("x86_64.o")?].concat(),
    )?;
    let small = &scripts[0];
    for (number, names) in [
        &["hppa.o"][..],
        &["x86_64.o", "lib.a"],
        &["x86_64.o", "member.o", "more.o"],
        &["i386.o", "i386.o"],
        &["hppa64.o"],
        &["hppa.o", "hppa.o"],
    ]
    .iter()
    .enumerate()
    {
        let files = names
            .iter()
            .map(|name| read(name))
            .collect::<Result<Vec<_>, _>>()?;
        for flags in [
            0u16,
            1 << 3 | 1 << 6,
            1 << 3 | 1 << 4 | 1 << 6 | 1 << 11 | 1 << 15,
            1 << 8 | 2 << 9 | 1 << 15,
        ] {
            for script in [&[][..], small] {
                let case = Case {
                    flags,
                    script,
                    files: files.iter().map(Vec::as_slice).collect(),
                };
                let name = format!("{number}-{flags:04x}-{}", script.len());
                put("link", &name, &case.encode())?;
                put("image", &name, &case.encode())?;
            }
        }
    }
    Ok(())
}

/// Small tables of kernel symbols in all forms, behind what the target wants in front.
fn kallsyms() -> Vec<(String, Vec<u8>)> {
    let names = [
        "_text",
        "start_kernel",
        "start_thread",
        "kernel_init",
        "init_task",
        "_etext",
    ];
    let symbols = names.map(|name| Symbol {
        kind: b'T',
        name: name.as_bytes(),
        percpu: false,
    });
    let mut tables = Vec::new();
    for version in Version::ALL {
        for (flags, word, endian) in [
            (5, WordSize::Eight, Endian::Little),
            (6, WordSize::Four, Endian::Big),
        ] {
            let format = Format::new(version, word, endian, true, false, false);
            let Ok(plan) = Plan::new(format, &symbols) else {
                continue;
            };
            let addresses: Vec<u64> = (1..=6).map(|index| index * 0x1010).collect();
            let Ok(encoded) = plan.encode(&symbols, &addresses, 0x1000) else {
                continue;
            };
            let mut bytes = vec![flags];
            for name in KALLSYMS_PARTS {
                let mut parts = plan.layout().parts.iter();
                let part = parts.find(|(part, ..)| part.symbol(format.addresses) == name);
                let offset = part.map_or(0xffff, |&(_, offset, _)| offset as u16);
                bytes.extend(offset.to_le_bytes());
            }
            bytes.extend(encoded.bytes);
            tables.push((format!("{version:?}-{flags}"), bytes));
        }
    }
    tables
}
