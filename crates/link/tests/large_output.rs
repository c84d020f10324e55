//! Outputs that are made in their file, part by part, since they are large.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use klink_link::args::{self, Command};
use klink_link::{LinkError, Options, link, link_in_memory};

/// More than fits into what is made in memory first, with other bytes everywhere.
const BYTES: u32 = 5 << 20;

fn options(folder: &Path, more: &[&str]) -> Options {
    let content: Vec<u8> = (0..BYTES / 4).flat_map(u32::to_le_bytes).collect();
    fs::write(folder.join("content"), content).unwrap();
    let script = "SECTIONS { .data : { *(.data) QUAD(_start) } .bss : { . += 64; } }";
    fs::write(folder.join("script"), script).unwrap();
    let at = |name: &str| folder.join(name).into_os_string();
    let words = ["-m", "elf_x86_64", "--build-id", "-T"].map(OsString::from);
    let files = [at("script"), "-o".into(), at("output")];
    let input = ["-b".into(), "binary".into(), at("content")];
    let all = words.into_iter().chain(files).chain(input);
    let all = all.chain(more.iter().map(OsString::from));
    match args::parse(all).unwrap() {
        Command::Link(options) => *options,
        Command::Print(text) => panic!("{text}"),
    }
}

fn files(folder: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<OsString> = entries.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_file_has_the_bytes_that_the_link_makes_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let options = options(folder.path(), &["--defsym=_start=0x1234"]);
    link(&options).unwrap();
    let (_, bytes) = link_in_memory(&options).unwrap();
    assert!(bytes.len() > BYTES as usize);
    assert!(fs::read(folder.path().join("output")).unwrap() == *bytes);
    assert_eq!(files(folder.path()), ["content", "output", "script"]);
}

#[test]
fn a_link_that_fails_late_leaves_the_file_of_before() {
    let folder = tempfile::tempdir().unwrap();
    // Warnings are judged when all contents are made.
    let options = options(
        folder.path(),
        &["--fatal-warnings", "--defsym=_start=1", "-e", "none"],
    );
    fs::write(folder.path().join("output"), "before").unwrap();
    let error = link(&options).unwrap_err();
    assert!(matches!(error, LinkError::Warnings(_)), "{error}");
    assert_eq!(fs::read(folder.path().join("output")).unwrap(), b"before");
    assert_eq!(files(folder.path()), ["content", "output", "script"]);
}
