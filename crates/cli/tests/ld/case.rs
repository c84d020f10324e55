//! A test case: one text file that says what is linked and what must come out.
//!
//! The header comes first: lines that begin with `#` say what the case is about, all others are
//! directives.
//!
//! ```text
//! # What this shows.
//! arch: hppa x86_64            run for each of these
//! archive: lib.a x.o y.o       make an archive; `thin-archive:` makes a thin one
//! link: -r a.o lib.a           what klink and GNU ld get, with `-o out`
//! ld: -r a.o                   what GNU ld gets instead
//! ignore: order, for a reason  leaves a kind of difference out of the comparison
//! ld-differs: why              GNU ld's result is not looked at
//! fails: TEXT                  both linkers fail, leave no output, and klink says TEXT
//! warns: TEXT                  klink says TEXT on standard error and succeeds
//! expect: …                    something about klink's output, see `expect`
//! expect hppa: …               the same, for one architecture
//! ```
//!
//! Files follow, each after a line `-- NAME --` (or `-- NAME hppa --`, for one architecture); those
//! that end in `.s` are assembled to `.o`.
//!
//! What klink writes must always mean the same as what GNU ld writes; with `--module`, it is proved
//! to do the same. For final links see `final_link`, which has directives of its own.

use std::fs;
use std::path::Path;

use crate::expect::check;
use crate::image::Image;
use crate::tools::{Tools, errors, klink};

/// Options that only klink knows.
const OWN_OPTIONS: [&str; 3] = ["--module", "--stub-symbols", "--no-reorder"];

/// A case as it is written.
pub(crate) struct Case<'a> {
    directives: Vec<(&'a str, &'a str)>,
    /// Name, architecture if only for one, and text.
    files: Vec<(&'a str, Option<&'a str>, String)>,
}

/// Does a case's links for one architecture, in a folder with its files; what is wrong.
pub(crate) type Judge = fn(&Case<'_>, &Tools, &Path) -> Vec<String>;

/// Runs all cases of a folder beside the tests, or the one that `KLINK_CASE` names.
pub(crate) fn run_folder(folder: &str) {
    run_folder_with(folder, relocatable);
}

/// The same for a kind of links that `judge` knows.
pub(crate) fn run_folder_with(folder: &str, judge: Judge) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/ld")
        .join(folder);
    let wanted = std::env::var("KLINK_CASE").ok();
    let mut paths: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "test"))
        .filter(|path| {
            wanted
                .as_deref()
                .is_none_or(|name| path.file_stem().unwrap() == name)
        })
        .collect();
    paths.sort();
    assert!(
        wanted.is_some() || !paths.is_empty(),
        "no cases in {}",
        folder.display()
    );
    let mut failed = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(path).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy();
        let problems = std::panic::catch_unwind(|| run(&parse(&text), judge));
        // A panic has printed its message already; it must not hide the other cases.
        let problems = problems.unwrap_or_else(|_| vec!["panicked, see above".to_owned()]);
        failed.extend(problems.iter().map(|problem| format!("{name}: {problem}")));
    }
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

fn parse(text: &str) -> Case<'_> {
    let mut case = Case {
        directives: Vec::new(),
        files: Vec::new(),
    };
    for line in text.lines() {
        let marker = line
            .strip_prefix("-- ")
            .and_then(|rest| rest.strip_suffix(" --"));
        match (marker, case.files.last_mut()) {
            (Some(marker), _) => {
                let mut words = marker.split(' ');
                let name = words.next().unwrap_or_default();
                case.files.push((name, words.next(), String::new()));
            }
            (None, Some((_, _, file))) => {
                file.push_str(line);
                file.push('\n');
            }
            (None, None) if line.is_empty() || line.starts_with('#') => {}
            (None, None) => {
                let directive = line.split_once(": ");
                let directive = directive.unwrap_or_else(|| panic!("no directive: {line}"));
                case.directives.push(directive);
            }
        }
    }
    case
}

impl<'a> Case<'a> {
    pub(crate) fn all(&self, key: &str) -> impl Iterator<Item = &'a str> {
        let of_key = self.directives.iter().filter(move |one| one.0 == key);
        of_key.map(|one| one.1)
    }

    pub(crate) fn words(&self, key: &str) -> Option<Vec<&'a str>> {
        Some(self.all(key).next()?.split_whitespace().collect())
    }

    /// What must be true of the output for this architecture.
    pub(crate) fn expectations(&self, arch: &str) -> impl Iterator<Item = &'a str> {
        let own = format!("expect {arch}");
        let wanted = move |one: &&(&str, &str)| one.0 == "expect" || one.0 == own;
        self.directives.iter().filter(wanted).map(|one| one.1)
    }

    /// A misspelt directive would never be looked at.
    fn check_directives(&self) {
        const KNOWN: &[&str] = &[
            "arch",
            "archive",
            "thin-archive",
            "link",
            "ld",
            "ignore",
            "ld-differs",
            "fails",
            "refuses",
            "warns",
            "ld-says",
            "first",
            "run",
            "pending",
            "expect",
            "expect hppa",
            "expect hppa64",
            "expect x86_64",
            "expect i386",
        ];
        for (key, _) in &self.directives {
            assert!(KNOWN.contains(key), "unknown directive {key}");
        }
        for key in ["arch", "link"] {
            assert!(self.all(key).count() == 1, "{key}: must stand once");
        }
    }
}

fn run(case: &Case<'_>, judge: Judge) -> Vec<String> {
    case.check_directives();
    let mut problems = Vec::new();
    for name in case.words("arch").unwrap_or_default() {
        let Some(tools) = Tools::find(name) else {
            continue;
        };
        let folder = tempfile::tempdir().unwrap();
        prepare(case, tools, folder.path());
        let found = judge(case, tools, folder.path());
        problems.extend(
            found
                .into_iter()
                .map(|problem| format!("{name}: {problem}")),
        );
    }
    problems
}

/// Writes files, assembles sources and makes archives.
fn prepare(case: &Case<'_>, tools: &Tools, folder: &Path) {
    for (name, arch, text) in &case.files {
        if arch.is_some_and(|arch| arch != tools.name) {
            continue;
        }
        fs::write(folder.join(name), text).unwrap();
        if let Some(stem) = name.strip_suffix(".s") {
            tools.assemble(folder, name, &format!("{stem}.o"));
        }
    }
    for (key, kind) in [("archive", "rcs"), ("thin-archive", "rcsT")] {
        for files in case.all(key) {
            let files: Vec<&str> = files.split_whitespace().collect();
            tools.archive(folder, kind, &files);
        }
    }
}

/// Links as `-r` does, or as `--module`.
fn relocatable(case: &Case<'_>, tools: &Tools, folder: &Path) -> Vec<String> {
    let arguments = case.words("link").unwrap_or_default();
    let for_gnu = case.words("ld").unwrap_or_else(|| {
        let both = arguments.iter().filter(|word| !OWN_OPTIONS.contains(word));
        both.copied().collect()
    });
    let klinked = klink(folder, &[&arguments[..], &["-o", "out"]].concat());
    let said = errors(&klinked);
    let gnu = match case.all("ld-differs").next() {
        Some(_) => None,
        None => Some(tools.link(folder, &[&for_gnu[..], &["-o", "gnu"]].concat())),
    };
    let mut problems = Vec::new();
    for text in case.all("fails").chain(case.all("warns")) {
        if !said.contains(text) {
            problems.push(format!("klink does not say `{text}` but:\n{said}"));
        }
    }
    if case.all("fails").next().is_some() {
        if klinked.status.success() || folder.join("out").exists() {
            problems.push("klink succeeds or leaves an output file".to_owned());
        }
        if gnu.is_some_and(|gnu| gnu.status.success()) {
            problems.push("GNU ld succeeds".to_owned());
        }
        return problems;
    }
    if !klinked.status.success() {
        problems.push(format!("klink fails: {said}"));
        return problems;
    }
    if !said.is_empty() && case.all("warns").next().is_none() {
        problems.push(format!("klink says: {said}"));
    }
    let bytes = fs::read(folder.join("out")).unwrap();
    problems.extend(xtask::oracle::check(&bytes));
    let image = Image::read(&bytes);
    for expectation in case.expectations(tools.name) {
        if let Err(why) = check(&image, tools.arch, expectation) {
            problems.push(format!("{expectation}: {why}"));
        }
    }
    if let Some(gnu) = gnu {
        if gnu.status.success() {
            let gnu = fs::read(folder.join("gnu")).unwrap();
            problems.extend(compare(case, &gnu, &bytes, arguments.contains(&"--module")));
        } else {
            problems.push(format!("GNU ld fails: {}", errors(&gnu)));
        }
    }
    problems
}

/// What keeps klink's output from meaning what GNU ld's means.
fn compare(case: &Case<'_>, gnu: &[u8], klinked: &[u8], is_module: bool) -> Option<String> {
    if is_module {
        let problems = xtask::oracle::prove(gnu, klinked).unwrap();
        return (!problems.is_empty()).then(|| format!("not proved: {}", problems.join("\n")));
    }
    let ignored: Vec<&str> = case
        .all("ignore")
        .map(|text| text.split_once(", ").expect("`ignore: KIND, reason`").0)
        .collect();
    let differences = xtask::oracle::differences(gnu, klinked, &ignored).unwrap();
    (!differences.is_empty()).then(|| format!("A is GNU ld's, B klink's:\n{differences}"))
}
