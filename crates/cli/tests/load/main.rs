//! `klink load` and `klink map`, run as a program: cases as data in `cases`.
//!
//! A case is one text file. Lines that begin with `#` say what it is about; directives follow:
//!
//! ```text
//! arch: x86_64            the assembler for its modules: x86_64 or hppa
//! gzip: a.ko              compresses a module, to a.ko.gz
//! run: load a.ko          what klink is run with; what follows is about this run
//! exit: 1                 its exit code, if that is not 0
//! out: TEXT               standard output contains this
//! not: TEXT               and it does not contain this
//! err: TEXT               standard error contains this
//! file: d/a/text-1000.bin there is such a file now; with `= HEX` behind it, it begins so
//! svg: a.svg              the file is well-formed XML
//! json: /totals/loaded 2  standard output is JSON, and at this pointer is this value
//! ```
//!
//! Files follow, each after a line `-- NAME --`; those that end in `.s` are assembled to `.ko`, with the
//! macros of `module.inc`.

mod svg;

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// All cases, or the one that `KLINK_CASE` names.
#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/load/cases");
    let wanted = std::env::var("KLINK_CASE").ok();
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_stem().unwrap().to_string_lossy();
            wanted.as_deref().is_none_or(|wanted| wanted == name)
        })
        .collect();
    paths.sort();
    let mut problems = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy();
        let found = std::panic::catch_unwind(|| run(&text));
        // a panic has printed its message already
        let found = found.unwrap_or_else(|_| vec!["panicked, see above".to_owned()]);
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("{name}: {problem}")),
        );
    }
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// Every module of each tree that `KLINK_CORPUS` has loads, by every layout; all branches arrive, and no
/// table points at freed memory.
#[test]
fn corpus() {
    let Ok(corpus) = std::env::var("KLINK_CORPUS") else {
        eprintln!("SKIPPED: KLINK_CORPUS is not set");
        return;
    };
    for tree in ["x86_64", "hppa32"] {
        let tree = Path::new(&corpus).join(tree);
        if !tree.join("modules.order").is_file() {
            eprintln!("SKIPPED: {} is not there", tree.display());
            continue;
        }
        for layout in ["linux", "islands", "shared", "packed"] {
            let folder = tree.to_string_lossy();
            let arguments = [
                "load", "--all", "--prove", "--check", "--layout", layout, "-d", &folder,
            ];
            let output = klink(&tree, &arguments);
            let out = String::from_utf8_lossy(&output.stdout);
            let err = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{folder} {layout}:\n{out}\n{err}");
            assert!(out.contains(" 0 of them point into freed memory"), "{out}");
        }
    }
}

/// Runs one case; what is wrong.
fn run(text: &str) -> Vec<String> {
    let (head, files) = text.split_once("\n-- ").unwrap_or((text, ""));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let directives = head
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let directives = directives.map(|line| line.split_once(": ").unwrap_or((line, "")));
    let directives: Vec<(&str, &str)> = directives.collect();
    let arch = directives.iter().find(|one| one.0 == "arch");
    let arch = arch.map_or("x86_64", |one| one.1);
    if !write_files(folder, files, arch) {
        return Vec::new();
    }
    let mut problems = Vec::new();
    let mut last: Option<(Output, bool)> = None;
    for (key, value) in directives {
        match (key, &mut last) {
            ("arch", _) => {}
            ("gzip", _) => gzip(&folder.join(value)),
            ("run", _) => {
                check_exit(&last, &mut problems);
                let arguments: Vec<&str> = value.split(' ').collect();
                last = Some((klink(folder, &arguments), false));
            }
            ("exit", Some((output, said))) => {
                *said = true;
                if output.status.code() != value.parse().ok() {
                    problems.push(format!("exit {:?}, not {value}", output.status.code()));
                }
            }
            (_, Some((output, _))) => problems.extend(check(folder, output, key, value)),
            (key, None) => problems.push(format!("{key}: before any run")),
        }
    }
    check_exit(&last, &mut problems);
    problems
}

/// A run of which nothing else is said must succeed.
fn check_exit(last: &Option<(Output, bool)>, problems: &mut Vec<String>) {
    if let Some((output, false)) = last
        && !output.status.success()
    {
        let err = String::from_utf8_lossy(&output.stderr);
        problems.push(format!("exit {:?}: {err}", output.status.code()));
    }
}

fn check(folder: &Path, output: &Output, key: &str, value: &str) -> Option<String> {
    let out = String::from_utf8_lossy(&output.stdout);
    let err = String::from_utf8_lossy(&output.stderr);
    match key {
        "out" => (!out.contains(value)).then(|| format!("no {value:?} in\n{out}{err}")),
        "not" => out.contains(value).then(|| format!("{value:?} in\n{out}")),
        "err" => (!err.contains(value)).then(|| format!("no {value:?} in\n{err}{out}")),
        "file" => {
            let (name, begin) = value.split_once(" = ").unwrap_or((value, ""));
            let bytes = fs::read(folder.join(name)).ok();
            let text =
                bytes.map(|bytes| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>());
            let fits = text.as_ref().is_some_and(|text| text.starts_with(begin));
            (!fits).then(|| format!("{name}: {text:?}"))
        }
        "svg" => {
            let text = fs::read_to_string(folder.join(value)).unwrap_or_default();
            svg::problem(&text).map(|problem| format!("{value}: {problem}"))
        }
        "json" => {
            let (pointer, wanted) = value.split_once(' ').unwrap();
            let json: serde_json::Value = serde_json::from_str(&out).unwrap();
            let found = json.pointer(pointer).map(ToString::to_string);
            (found.as_deref() != Some(wanted)).then(|| format!("{pointer} is {found:?} in {out}"))
        }
        key => Some(format!("no directive {key}")),
    }
}

/// Writes and assembles the files; `false`: there is no assembler.
fn write_files(folder: &Path, files: &str, arch: &str) -> bool {
    let assembler: &[&str] = match arch {
        "hppa" => &["hppa-linux-gnu-as"],
        _ => &["as", "--64"],
    };
    if Command::new(assembler[0])
        .arg("--version")
        .output()
        .is_err()
    {
        let why = format!("{} is not installed", assembler[0]);
        let required = std::env::var("KLINK_REQUIRE_TOOLS").as_deref() == Ok("1");
        assert!(!required, "{why}");
        eprintln!("SKIPPED: {why}");
        return false;
    }
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/load/module.inc");
    let macros = fs::read_to_string(include).unwrap();
    for file in files.split("\n-- ").filter(|file| !file.is_empty()) {
        let (name, text) = file.split_once(" --\n").unwrap();
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let Some(stem) = name.strip_suffix(".s") else {
            fs::write(path, text).unwrap();
            continue;
        };
        fs::write(&path, format!("{macros}\n{text}\n")).unwrap();
        let mut command = Command::new(assembler[0]);
        command.args(&assembler[1..]).current_dir(folder);
        let output = command
            .args([name, "-o", &format!("{stem}.ko")])
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {err}");
        // only the module is to be found
        fs::remove_file(path).unwrap();
    }
    true
}

fn gzip(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let out = fs::File::create(format!("{}.gz", path.display())).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, &bytes).unwrap();
    encoder.finish().unwrap();
    fs::remove_file(path).unwrap();
}

fn klink(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klink"));
    command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}
