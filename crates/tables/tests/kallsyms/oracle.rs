//! Linux's own generator, built from Debian's `linux-source-6.1`, on the same symbols: the bytes
//! must be the same. Where there is no such source or no compiler, there is nothing to compare.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use klink_tables::kallsyms::{AddressForm, Endian, Format, Plan, Version, WordSize, in_system_map};

use crate::{Line, kept, kernel};

const SOURCE: &str = "/usr/src/linux-source-6.1.tar.xz";
const MEMBER: &str = "linux-source-6.1/scripts/kallsyms.c";

/// The generator, or why there is none.
fn generator() -> Option<&'static Path> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BUILT.get_or_init(build) {
        Ok(path) => Some(path),
        Err(why) => {
            eprintln!("skipped: {why}; `cargo xtask tools` installs linux-source-6.1 and gcc");
            None
        }
    }
}

fn build() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kallsyms-6.1");
    let program = folder.join("kallsyms");
    if program.exists() {
        return Ok(program);
    }
    if !Path::new(SOURCE).exists() {
        return Err(format!("there is no {SOURCE}"));
    }
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let mut tar = Command::new("tar");
    tar.arg("-C")
        .arg(&folder)
        .args(["--occurrence=1", "-xf", SOURCE, MEMBER]);
    run(&mut tar)?;
    let unfinished = folder.join(format!("kallsyms.{}", std::process::id()));
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-o"])
        .arg(&unfinished)
        .arg(folder.join(MEMBER));
    run(&mut gcc)?;
    std::fs::rename(&unfinished, &program).map_err(|error| error.to_string())?;
    Ok(program)
}

fn run(command: &mut Command) -> Result<Vec<u8>, String> {
    let output = command.output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(output.stdout)
}

/// What the generator makes of the symbols, assembled.
fn theirs(generator: &Path, format: &Format, lines: &[Line]) -> Vec<u8> {
    let mut map = String::new();
    let in_map = |line: &&Line| in_system_map(format.version, line.kind, line.name.as_bytes());
    for line in lines.iter().filter(in_map) {
        let kind = char::from(line.kind);
        writeln!(map, "{:016x} {kind} {}", line.address, line.name).expect("a string");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), map).expect("to write");
    let mut command = Command::new(generator);
    if format.all_symbols {
        command.arg("--all-symbols");
    }
    match format.addresses {
        AddressForm::BaseRelative => drop(command.arg("--base-relative")),
        AddressForm::BaseRelativePercpu => {
            command.args(["--base-relative", "--absolute-percpu"]);
        }
        _ => {}
    }
    if format.lto_clang {
        command.arg("--lto-clang");
    }
    let text = run(command.arg(file.path())).expect("the generator runs");
    let bound = lines.iter().find(|line| line.name == "_text");
    assemble(
        // a token may be a part of a character
        &text.into_iter().map(char::from).collect::<String>(),
        format,
        bound.expect("_text").address,
    )
}

/// As much of an assembler as the generator's output needs.
fn assemble(text: &str, format: &Format, start: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let number = |text: &str| {
        let hex = text
            .strip_prefix("0x")
            .map(|digits| u64::from_str_radix(digits, 16));
        hex.unwrap_or_else(|| text.parse()).expect("a number")
    };
    let put = |bytes: &mut Vec<u8>, value: u64, size: usize| match format.endian {
        Endian::Little => bytes.extend(&value.to_le_bytes()[..size]),
        Endian::Big => bytes.extend(&value.to_be_bytes()[8 - size..]),
    };
    for line in text.lines().map(str::trim) {
        let (word, rest) = line.split_once('\t').unwrap_or((line, ""));
        match word.split(' ').next().unwrap_or_default() {
            "ALGN" => bytes.resize(bytes.len().next_multiple_of(format.word.bytes()), 0),
            ".long" => put(&mut bytes, number(rest), 4),
            ".short" => put(&mut bytes, number(rest), 2),
            ".byte" => {
                let list = word.strip_prefix(".byte ").expect("bytes");
                bytes.extend(list.split(", ").map(|byte| number(byte) as u8));
            }
            ".asciz" => {
                bytes.extend(rest.trim_matches('"').chars().map(|byte| byte as u8));
                bytes.push(0);
            }
            "PTR" => {
                let value = match rest.strip_prefix("_text ") {
                    None => number(rest),
                    Some(rest) => match rest.split_once(' ') {
                        Some(("+", more)) => start + number(more),
                        Some((_, less)) => start - number(less),
                        None => panic!("{line}"),
                    },
                };
                put(&mut bytes, value, format.word.bytes());
            }
            _ => {} // labels, conditions
        }
    }
    bytes
}

#[test]
fn bytes_are_those_of_linux() {
    let Some(generator) = generator() else {
        return;
    };
    use AddressForm::{Absolute, BaseRelative, BaseRelativePercpu};
    for (word, endian, form, all_symbols, lto_clang) in [
        (
            WordSize::Eight,
            Endian::Little,
            BaseRelativePercpu,
            true,
            false,
        ),
        (
            WordSize::Eight,
            Endian::Little,
            BaseRelativePercpu,
            false,
            false,
        ),
        (WordSize::Eight, Endian::Big, BaseRelative, false, true),
        (WordSize::Eight, Endian::Little, Absolute, true, true),
        (WordSize::Four, Endian::Big, BaseRelative, false, false),
        (WordSize::Four, Endian::Little, Absolute, true, false),
    ] {
        let format = Format {
            version: Version::V6_2,
            word,
            endian,
            addresses: form,
            all_symbols,
            lto_clang,
        };
        for count in [0, 1, 255, 2000] {
            let lines = kernel(count, 0x1000_0000);
            let theirs = theirs(generator, &format, &lines);
            let (symbols, addresses) = kept_as_given(&format, &lines);
            let plan = Plan::new(format, &symbols).expect("a plan");
            let ours = plan.encode(&symbols, &addresses, 0).expect("a table");
            assert!(ours.bytes == theirs, "{format:?}, {count}");
        }
    }
}

/// As [`kept`], with the per-CPU symbols that other tests leave out: here they are near enough.
fn kept_as_given<'l>(
    format: &Format,
    lines: &'l [Line],
) -> (Vec<klink_tables::kallsyms::Symbol<'l>>, Vec<u64>) {
    if format.addresses == AddressForm::BaseRelative {
        let absolute = Format {
            addresses: AddressForm::Absolute,
            ..*format
        };
        return kept(&absolute, lines);
    }
    kept(format, lines)
}
