//! What a kernel build asks a linker before it links: its version, and which options it knows.

use std::path::Path;
use std::process::Output;

use crate::tools::{errors, klink};

fn ask(arguments: &[&str]) -> Output {
    klink(Path::new("."), arguments)
}

/// What `scripts/ld-version.sh` of Linux makes of the first line of `--version`: the linker, and
/// version numbers as one, major * 10000 + minor * 100 + patch.
fn kernel_version(line: &str) -> Option<(&'static str, u32)> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, version) = match words.as_slice() {
        ["GNU", "ld", rest @ ..] => ("BFD", *rest.last()?),
        ["GNU", "gold", rest @ ..] => ("gold", *rest.last()?),
        words => {
            let at = words.iter().position(|&word| word == "LLD")?;
            ("LLD", *words.get(at + 1)?)
        }
    };
    let mut numbers = version
        .split(['-', '.'])
        .map(|part| part.parse::<u32>().ok());
    let mut next = || numbers.next().flatten().unwrap_or(0);
    Some((name, next() * 10_000 + next() * 100 + next()))
}

#[test]
fn the_kernel_reads_a_version_that_it_takes() {
    let output = ask(&["--version"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let first = text.lines().next().unwrap();
    // Linux 6.1 needs binutils 2.23 (scripts/min-tool-version.sh); klink answers as 2.40.
    assert_eq!(kernel_version(first), Some(("BFD", 24_000)), "{first}");
    assert!(text.contains("klink"), "{text}");
}

#[test]
fn probing_for_an_option_succeeds_only_if_it_can_be_used() {
    // `ld-option` of scripts/Makefile.compiler and scripts/Kconfig.include: `LD -v OPTION`.
    for known in [
        "--build-id=sha1",
        "--no-warn-rwx-segments",
        "-znoexecstack",
        "--whole-archive",
        "--module",
    ] {
        let output = ask(&["-r", "-v", known]);
        assert!(output.status.success(), "{known}: {}", errors(&output));
    }
    for later in ["--cref", "--multi-subspace", "-zibt", "--be8"] {
        let output = ask(&["-v", later]);
        assert_eq!(output.status.code(), Some(1), "{later}");
        assert!(
            errors(&output).contains("not supported yet"),
            "{}",
            errors(&output)
        );
    }
    for unknown in ["--no-such-option", "--orphan-handling=sometimes", "-Zx"] {
        let output = ask(&["-v", unknown]);
        assert_eq!(output.status.code(), Some(1), "{unknown}");
        let name = unknown.split('=').next().unwrap_or_default();
        assert!(errors(&output).contains(name), "{}", errors(&output));
    }
}

#[test]
fn nothing_to_link_is_an_error() {
    let output = ask(&["-r"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        errors(&output).contains("no input files"),
        "{}",
        errors(&output)
    );
}

#[test]
fn a_failed_link_leaves_the_output_that_was_there() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("out"), "before").unwrap();
    std::fs::write(folder.path().join("bad.o"), "\x7fELF and no more").unwrap();
    let output = klink(folder.path(), &["-r", "bad.o", "-o", "out"]);
    assert_eq!(output.status.code(), Some(1));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert_eq!(std::fs::read(folder.path().join("out")).unwrap(), b"before");
}

#[test]
fn help_names_the_options() {
    let output = ask(&["--help"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for option in [
        "--module",
        "--stub-symbols",
        "--whole-archive",
        "-T",
        "--gc-sections",
        "-shared",
    ] {
        assert!(text.contains(option), "{option} is not in\n{text}");
    }
}
