//! The modules of real kernel builds, counted by klink and by GNU readelf.
//!
//! `KLINK_CORPUS` names a folder of `linux-6.1-ARCH.tar.zst`; without it there is nothing to do.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::{Folder, klink, lines};

/// Counts that both give of a file.
#[derive(Debug, Default, Eq, PartialEq)]
struct Counts {
    sections: u64,
    symbols: u64,
    undefined: u64,
    relocations: BTreeMap<u64, u64>,
}

#[test]
fn counts_are_those_of_readelf() {
    let Some(corpus) = std::env::var_os("KLINK_CORPUS").map(PathBuf::from) else {
        eprintln!("skipped: KLINK_CORPUS is not set");
        return;
    };
    for arch in ["hppa32", "x86_64", "arm64", "ppc64le"] {
        let folder = Folder::new();
        let archive = corpus.join(format!("linux-6.1-{arch}.tar.zst"));
        unpack_modules(&archive, folder.path());
        let reports = lines(&klink(&["--json"], &[folder.path()]));
        assert!(!reports.is_empty(), "{arch}");
        for report in reports {
            let file = report["file"].as_str().expect("a path");
            assert_eq!(ours(&report), readelf(Path::new(file)), "{file}");
        }
    }
}

fn unpack_modules(archive: &Path, folder: &Path) {
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "--wildcards", "-xf"]).arg(archive);
    let status = tar.arg("-C").arg(folder).arg("*.ko").status();
    assert!(status.expect("tar runs").success(), "{}", archive.display());
}

fn ours(report: &Value) -> Counts {
    let number = |value: &Value| value.as_u64().expect("a number");
    let types = report["relocations"]["by_type"].as_array().expect("a list");
    Counts {
        sections: number(&report["sections"]["headers"]),
        symbols: number(&report["symbols"]["total"]),
        undefined: number(&report["symbols"]["undefined"]),
        relocations: types
            .iter()
            .map(|row| (number(&row["number"]), number(&row["count"])))
            .collect(),
    }
}

fn readelf(file: &Path) -> Counts {
    let output = Command::new("readelf")
        .args(["-W", "-h", "-s", "-r"])
        .arg(file)
        .output();
    let output = output.expect("readelf runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut counts = Counts::default();
    let mut is_64 = false;
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["Class:", class] => is_64 = *class == "ELF64",
            ["Number", "of", "section", "headers:", many] => {
                counts.sections = many.parse().expect("a number");
            }
            // Num: Value Size Type Bind Vis Ndx Name
            [index, _, _, _, _, _, section, ..] if is_index(index) => {
                counts.symbols += 1;
                counts.undefined += u64::from(*section == "UND" && *index != "0:");
            }
            // Offset Info Type …
            [offset, info, name, ..] if is_hex(offset) && is_hex(info) && name.contains("R_") => {
                let info = u64::from_str_radix(info, 16).expect("hexadecimal");
                let number = if is_64 {
                    info & 0xffff_ffff
                } else {
                    info & 0xff
                };
                *counts.relocations.entry(number).or_default() += 1;
            }
            _ => {}
        }
    }
    counts
}

fn is_index(word: &str) -> bool {
    word.strip_suffix(':')
        .is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_hex(word: &str) -> bool {
    word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}
