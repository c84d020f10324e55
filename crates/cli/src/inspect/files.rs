//! Which files to inspect.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::Error;

/// Names of modules in a directory end so.
const ENDINGS: [&str; 4] = [".ko", ".ko.xz", ".ko.gz", ".ko.zst"];

/// Every file that `arguments` name, those in directories included, sorted by path inside each
/// directory; and what could not be listed.
pub(crate) fn collect(arguments: &[PathBuf]) -> (Vec<PathBuf>, Vec<(PathBuf, Error)>) {
    let mut files = Vec::new();
    let mut failures = Vec::new();
    for argument in arguments {
        if !argument.is_dir() {
            files.push(argument.clone());
            continue;
        }
        let (before, failed) = (files.len(), failures.len());
        walk(argument, &mut files, &mut failures);
        if files.len() == before && failures.len() == failed {
            failures.push((argument.clone(), Error::NoModules));
        }
    }
    (files, failures)
}

/// Appends the modules in and below `directory`. Links to directories are not followed: an
/// installed kernel has some to its sources, and they may form a ring.
fn walk(directory: &Path, files: &mut Vec<PathBuf>, failures: &mut Vec<(PathBuf, Error)>) {
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        match list(&directory) {
            Ok((mut modules, mut directories)) => {
                modules.sort();
                files.append(&mut modules);
                // the last one pushed is the next one popped
                directories.sort_by(|a, b| b.cmp(a));
                pending.append(&mut directories);
            }
            Err(error) => failures.push((directory, Error::List(error))),
        }
    }
}

/// The modules and the directories in `directory`.
fn list(directory: &Path) -> std::io::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut modules, mut directories) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            directories.push(entry.path());
        } else if ENDINGS.iter().any(|ending| name.ends_with(ending)) {
            modules.push(entry.path());
        }
    }
    Ok((modules, directories))
}
