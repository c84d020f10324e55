//! `ld.klink` on bad input, as a build sees it: exit code 1, an error on standard error that names
//! the file, nothing on standard output, and no output file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn data(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../link/tests/data");
    fs::read(folder.join(name)).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn ld(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ld-klink"))
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap()
    }

    /// Runs a link that fails, and gives its message.
    fn refused(&self, arguments: &[&str]) -> String {
        let mut files = self.files();
        let output = self.ld(arguments);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {message}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!message.is_empty(), "{arguments:?}");
        for line in message.lines() {
            assert!(line.starts_with("ld.klink: "), "{line}");
        }
        assert!(!message.contains("panicked"), "{message}");
        files.sort();
        let mut after = self.files();
        after.sort();
        assert_eq!(files, after, "{arguments:?} left a file");
        message
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

#[test]
fn truncated_and_foreign_files() {
    let folder = Folder::new();
    let object = data("x86_64.o");
    folder.put("good.o", &object);
    folder.put("half.o", &object[..object.len() / 2]);
    folder.put("empty.o", b"");
    folder.put("text.o", b"not an object");
    folder.put("half.a", &data("lib.a")[..200]);
    folder.put("hppa.o", &data("hppa.o"));
    for name in [
        "half.o",
        "empty.o",
        "text.o",
        "half.a",
        "hppa.o",
        "missing.o",
    ] {
        let message = folder.refused(&["-r", "-o", "out.o", "good.o", name]);
        assert!(message.contains(name), "{message}");
    }
    // The same links again, with the output of an earlier one in place: it stays as it is.
    let earlier = folder.put("out.o", b"earlier");
    folder.refused(&["-r", "-o", "out.o", "good.o", "half.o"]);
    assert_eq!(fs::read(&earlier).unwrap(), b"earlier");
    let linked = folder.ld(&["-r", "-o", "out.o", "good.o"]);
    assert!(linked.status.success());
    assert!(fs::read(&earlier).unwrap().starts_with(b"\x7fELF"));
}

#[test]
fn members_that_are_not_there() {
    let folder = Folder::new();
    folder.put("thin.a", &data("thin.a"));
    let message = folder.refused(&["-r", "-o", "out.o", "--whole-archive", "thin.a"]);
    assert!(message.contains("thin.a(member.o)"), "{message}");
}

#[test]
fn scripts_with_errors_point_into_the_script() {
    let folder = Folder::new();
    folder.put("good.o", &data("x86_64.o"));
    for (text, place) in [
        ("SECTIONS { .text : { *(.text }", "bad.lds:1:"),
        ("SECTIONS {\n  .text 0 : { . = nowhere; } }", "bad.lds:2:"),
        ("SECTIONS {\n\n  .text : AT(5) { } }", "bad.lds:3:"),
        ("\u{0}\u{1}", "bad.lds:1:"),
    ] {
        folder.put("bad.lds", text.as_bytes());
        let message = folder.refused(&["-r", "-T", "bad.lds", "-o", "out.o", "good.o"]);
        assert!(message.contains(place), "{message}");
    }
    let message = folder.refused(&["-r", "-T", "missing.lds", "-o", "out.o", "good.o"]);
    assert!(message.contains("missing.lds"), "{message}");
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = Folder::new();
    folder.put("good.o", &data("x86_64.o"));
    let message = folder.refused(&["-r", "-o", "missing/out.o", "good.o"]);
    assert!(message.contains("missing/out.o"), "{message}");
    fs::create_dir(folder.0.path().join("folder")).unwrap();
    let message = folder.refused(&["-r", "-o", "folder", "good.o"]);
    assert!(message.contains("folder"), "{message}");
}

#[test]
fn command_lines_without_end_or_sense() {
    let folder = Folder::new();
    folder.put("good.o", &data("x86_64.o"));
    folder.put("self.rsp", b"@self.rsp");
    for (arguments, expected) in [
        (&["@self.rsp"][..], "self.rsp"),
        (&["-r"], "no input files"),
        (&["-r", "--no-such-option", "good.o"], "--no-such-option"),
        (&["-r", "-o"], "-o"),
        (&["-r", "--build-id=0x123", "good.o"], "--build-id"),
        (&["-r", "--threads=many", "good.o"], "--threads"),
        (&["-r", "-m", "elf_vax", "good.o"], "elf_vax"),
        (&["-r", "-lnothing", "good.o"], "-lnothing"),
        (&["good.o"], "undefined reference to `outside'"),
    ] {
        let message = folder.refused(arguments);
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    // Absurd, but no error: as many threads as make sense, and a long identifier.
    let long = format!("--build-id=0x{}", "ab".repeat(20_000));
    let linked = folder.ld(&["-r", "--threads=4000000000", &long, "-o", "out.o", "good.o"]);
    let message = String::from_utf8_lossy(&linked.stderr);
    assert!(linked.status.success(), "{message}");
}

#[test]
fn output_that_nobody_takes() {
    let full = || {
        fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap()
    };
    let help = Command::new(env!("CARGO_BIN_EXE_ld-klink"))
        .arg("--help")
        .stdout(full())
        .status()
        .unwrap();
    assert_eq!(help.code(), Some(1));
    let error = Command::new(env!("CARGO_BIN_EXE_ld-klink"))
        .args(["-r", "missing.o"])
        .stderr(full())
        .status()
        .unwrap();
    assert_eq!(error.code(), Some(1));
}
