//! What the sources promise and no other tool checks.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Failure;

/// A file that needs more lines than this has more than one idea in it.
const MOST_LINES: usize = 800;

/// Folders with files of ours.
const FOLDERS: &[&str] = &["crates", "xtask", "examples", "fuzz", ".ci"];

/// Paths that exist on one machine only; in two halves, so that this file has none.
const PRIVATE_PATHS: &[[&str; 2]] = &[
    ["work/", "main"],
    ["work/", "shared"],
    ["/tmp/", "target-"],
    ["../", "shared"],
];

/// The one file that may name the folder beside the repository.
const MAY_NAME_PATHS: &str = ".ci/run";

/// Looks at every source file below `root`; one sentence for each thing that is not as it should.
///
/// # Errors
/// When a folder or file cannot be read.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, Failure> {
    let mut complaints = Vec::new();
    for path in files(root)? {
        let bytes = fs::read(&path).map_err(|error| Failure::io("read", &path, &error))?;
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        let name = path
            .strip_prefix(root)
            .unwrap_or(&path)
            .display()
            .to_string();
        complaints.extend(complaints_about(&name, &text).map(|what| format!("{name}: {what}")));
    }
    Ok(complaints)
}

fn complaints_about(name: &str, text: &str) -> impl Iterator<Item = String> {
    let lines = text.lines().count();
    let is_rust = Path::new(name)
        .extension()
        .is_some_and(|extension| extension == "rs");
    let is_module = is_rust && name.contains("/src/") && !name.contains("/test");
    let checks = [
        (is_rust && lines > MOST_LINES).then(|| format!("{lines} lines; {MOST_LINES} is the most")),
        (is_root(name) && !forbids_unsafe(text)).then(|| {
            "no #![forbid(unsafe_code)]; where unsafe code is needed, #![deny(unsafe_code)], \
             and each #[allow(unsafe_code)] with a reason"
                .to_owned()
        }),
        (is_module && !text.starts_with("//!"))
            .then(|| "does not open with a comment that says what it is".to_owned()),
    ];
    let private = PRIVATE_PATHS
        .iter()
        .map(|halves| halves.concat())
        .filter(|path| name != MAY_NAME_PATHS && text.contains(path.as_str()))
        .map(|path| format!("names {path}, which is on one machine only"));
    checks
        .into_iter()
        .flatten()
        .chain(private.collect::<Vec<_>>())
}

/// Whether a file is the root of a crate, where its lints are set.
fn is_root(name: &str) -> bool {
    let ends = ["src/lib.rs", "src/main.rs", "src/ld.rs"];
    ends.iter().any(|end| name.ends_with(end))
}

fn forbids_unsafe(text: &str) -> bool {
    let allowed = text.matches("allow(unsafe_code").count();
    let with_reason = text.matches("allow(unsafe_code, reason").count();
    text.contains("#![forbid(unsafe_code)]")
        || (text.contains("#![deny(unsafe_code)]") && allowed == with_reason)
}

/// All files of [`FOLDERS`], and those of `root` itself.
fn files(root: &Path) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = FOLDERS.iter().map(|folder| root.join(folder)).collect();
    for path in entries(root)? {
        if path.is_file() {
            found.push(path);
        }
    }
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() || folder.ends_with("target") {
            continue;
        }
        for path in entries(&folder)? {
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let bad = |error| Failure::io("list", folder, &error);
    let entries = fs::read_dir(folder).map_err(bad)?;
    entries
        .map(|entry| entry.map(|entry| entry.path()).map_err(bad))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(name: &str, text: &str) -> Vec<String> {
        complaints_about(name, text).collect()
    }

    #[test]
    fn good_files_pass_and_each_rule_is_kept() {
        let good = "//! What it is.\n#![forbid(unsafe_code)]\n";
        assert!(complaints("crates/a/src/lib.rs", good).is_empty());
        assert!(complaints("crates/a/src/lib.rs", "//! What it is.\n")[0].contains("unsafe_code"));
        assert!(complaints("crates/a/src/b.rs", "fn b() {}\n")[0].contains("open with"));
        let long = format!("//! Long.\n{}", "\n".repeat(MOST_LINES));
        assert!(complaints("crates/a/src/b.rs", &long)[0].contains("801 lines"));
        let private = format!("see {}/notes", ["work/", "main"].concat());
        assert!(complaints("README.md", &private)[0].contains("one machine"));
        assert!(complaints(".ci/run", &["../", "shared"].concat()).is_empty());
    }

    #[test]
    fn unsafe_code_needs_a_reason() {
        let root = |attribute: &str| {
            format!("//! It.\n#![deny(unsafe_code)]\n#[{attribute}]\nfn f() {{}}\n")
        };
        let with = root("allow(unsafe_code, reason = \"mmap\")");
        assert!(complaints("crates/a/src/main.rs", &with).is_empty());
        assert_eq!(
            complaints("crates/a/src/main.rs", &root("allow(unsafe_code)")).len(),
            1
        );
    }
}
