//! Final links: cases as in `case`, where GNU ld's result must show what the case is about, and
//! klink's must be the same in all that a program or a kernel build can see.
//!
//! Beyond the directives of `case`:
//!
//! ```text
//! first: -r a.o -o b.o         a link by GNU ld, before, that makes an input
//! expect: …                    true of GNU ld's output, so that a case shows what its name says
//! fails: TEXT                  both linkers fail, leave no output, and say TEXT
//! warns: TEXT                  both linkers succeed and say TEXT
//! ld-says: TEXT                GNU ld says this instead
//! run: 3                       the program, in an emulator, exits with 3
//! ld-differs: why              klink's file is right in another way: only what is expected counts
//! pending: why                 klink cannot do it yet; the case fails when klink can
//! refuses: TEXT                GNU ld links it; klink cannot yet, says TEXT and leaves no output
//! ```

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::case::Case;
use crate::expect::{check, check_file};
use crate::image::Image;
use crate::listing;
use crate::tools::{Tools, errors, is_installed, klink};

/// Links as a program or a kernel is linked.
pub(crate) fn final_link(case: &Case<'_>, tools: &Tools, folder: &Path) -> Vec<String> {
    for arguments in case.all("first") {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        let output = tools.link(folder, &arguments);
        assert!(output.status.success(), "first link: {}", errors(&output));
    }
    let arguments = case.words("link").unwrap_or_default();
    let gnu = tools.link(folder, &[&arguments[..], &["-o", "gnu"]].concat());
    let mut problems = named("GNU ld", check_gnu(case, tools, folder, &gnu));
    let klinked = klink(folder, &[&arguments[..], &["-o", "out"]].concat());
    if let Some(text) = case.all("refuses").next() {
        problems.extend(unsaid(&[text], &errors(&klinked)));
        if klinked.status.success() || folder.join("out").exists() {
            problems.push("klink succeeds or leaves an output file".to_owned());
        }
        return problems;
    }
    let found = check_klink(case, tools, folder, (&gnu, &klinked));
    match (case.all("pending").next(), found.is_empty()) {
        (None, _) => problems.extend(named("klink", found)),
        (Some(why), true) => problems.push(format!("no longer pending: {why}")),
        (Some(_), false) => {}
    }
    problems
}

fn named(who: &str, problems: Vec<String>) -> Vec<String> {
    let all = problems.iter();
    all.map(|problem| format!("{who}: {problem}")).collect()
}

/// That GNU ld's link shows what the case says, and that the case says something.
fn check_gnu(case: &Case<'_>, tools: &Tools, folder: &Path, gnu: &Output) -> Vec<String> {
    let messages: Vec<&str> = case.all("fails").chain(case.all("warns")).collect();
    let own: Vec<&str> = case.all("ld-says").collect();
    let texts = if own.is_empty() { &messages } else { &own };
    let mut problems = unsaid(texts, &errors(gnu));
    let says_something = case.expectations(tools.name).next().is_some()
        || case.all("run").next().is_some()
        || !messages.is_empty();
    if !says_something {
        problems.push("the case expects nothing".to_owned());
    }
    problems.extend(check_output(case, tools, folder, gnu, "gnu"));
    problems
}

/// That klink's link shows the same, and that its output is the same.
fn check_klink(
    case: &Case<'_>,
    tools: &Tools,
    folder: &Path,
    (gnu, klinked): (&Output, &Output),
) -> Vec<String> {
    let messages: Vec<&str> = case.all("fails").chain(case.all("warns")).collect();
    let said = errors(klinked);
    let mut problems = unsaid(&messages, &said);
    if messages.is_empty() && errors(gnu).is_empty() && !said.is_empty() {
        problems.push(format!("says: {said}"));
    }
    problems.extend(check_output(case, tools, folder, klinked, "out"));
    if case.all("ld-differs").next().is_some() {
        return problems;
    }
    let read = |name| fs::read(folder.join(name));
    let (Ok(gnu), Ok(klinked)) = (read("gnu"), read("out")) else {
        return problems;
    };
    if !is_elf(&gnu) || !is_elf(&klinked) {
        if gnu != klinked {
            problems.push("not the same file as GNU ld's".to_owned());
        }
        return problems;
    }
    // GNU ld gets the form of odd scripts wrong too; the same from klink is what was asked for.
    let accepted = xtask::oracle::check(&gnu);
    let malformed = xtask::oracle::check(&klinked).into_iter();
    problems.extend(malformed.filter(|problem| !accepted.contains(problem)));
    let (gnu, klinked) = (Image::read(&gnu), Image::read(&klinked));
    problems.extend(listing::problems(&klinked));
    let differences = listing::differences(("ld   ", &gnu), ("klink", &klinked));
    if !differences.is_empty() {
        problems.push(format!("differs:\n{differences}"));
    }
    problems
}

fn unsaid(texts: &[&str], said: &str) -> Vec<String> {
    let missing = texts.iter().filter(|text| !said.contains(**text));
    missing
        .map(|text| format!("does not say `{text}` but:\n{said}"))
        .collect()
}

/// What is true of either linker: its success, and what it wrote to `name`.
fn check_output(
    case: &Case<'_>,
    tools: &Tools,
    folder: &Path,
    output: &Output,
    name: &str,
) -> Vec<String> {
    let file = folder.join(name);
    if case.all("fails").next().is_some() {
        let failed = !output.status.success() && !file.exists();
        let problem = (!failed).then(|| "succeeds or leaves an output file".to_owned());
        return problem.into_iter().collect();
    }
    if !output.status.success() {
        return vec![format!("fails: {}", errors(output))];
    }
    let bytes = fs::read(&file).unwrap();
    let image = is_elf(&bytes).then(|| Image::read(&bytes));
    let mut problems = Vec::new();
    for expectation in case.expectations(tools.name) {
        let verdict = check_file(&bytes, expectation).unwrap_or_else(|| {
            let image = image.as_ref().ok_or("the output is no ELF file")?;
            check(image, tools.arch, expectation)
        });
        if let Err(why) = verdict {
            problems.push(format!("{expectation}: {why}"));
        }
    }
    if let Some(wanted) = case.all("run").next() {
        let found = exit_code(tools, &file);
        if found.as_deref().is_some_and(|found| found != wanted) {
            problems.push(format!("run: {wanted}: it is {found:?}"));
        }
    }
    problems
}

fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// What a program exits with, or its end by a signal; `None` where the emulator is missing.
fn exit_code(tools: &Tools, program: &Path) -> Option<String> {
    let emulator = format!("qemu-{}", tools.name);
    if !is_installed(&emulator) {
        return None;
    }
    let output = Command::new(emulator).arg(program).output().unwrap();
    Some(match output.status.code() {
        Some(code) => code.to_string(),
        None => format!("{output:?}"),
    })
}
