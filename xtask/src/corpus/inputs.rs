//! The files that a link reads, as far as they can be told from its command.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use object::read::archive::{ArchiveFile, ArchiveMember};

use super::command::Link;
use crate::Failure;

/// Options of GNU ld whose next argument is no file that is read (`ld/lexsup.c`).
const WITH_VALUE: &[&str] = &[
    "-m",
    "-z",
    "-soname",
    "-h",
    "-e",
    "-u",
    "-y",
    "-L",
    "-l",
    "-A",
    "-b",
    "-Map",
    "-I",
    "-G",
    "-F",
    "-f",
    "-rpath",
    "-Ttext",
    "-Tdata",
    "-Tbss",
    "--defsym",
    "--soname",
    "--entry",
    "--undefined",
];
/// Options whose value is a file that is read.
const WITH_FILE: &[&str] = &["-T", "--script", "--version-script", "-R", "--just-symbols"];

/// The files that a link reads and the tree has not, members of thin archives too.
pub(crate) fn missing(link: &Link, tree: &Path) -> Vec<String> {
    let mut missing = BTreeSet::new();
    collect(&link.args, tree, &mut missing);
    missing.into_iter().collect()
}

fn collect(args: &[String], tree: &Path, missing: &mut BTreeSet<String>) {
    let mut args = args.iter().map(String::as_str);
    while let Some(arg) = args.next() {
        let joined = WITH_FILE.iter().find_map(|option| {
            let value = arg.strip_prefix(option)?;
            let value = value.strip_prefix('=').unwrap_or(value);
            (!value.is_empty() && (option.starts_with("--") || !arg.starts_with("--")))
                .then_some(value)
        });
        if WITH_VALUE.contains(&arg) {
            args.next();
        } else if WITH_FILE.contains(&arg) {
            if let Some(path) = args.next() {
                check(path, tree, missing);
            }
        } else if let Some(path) = arg.strip_prefix('@') {
            match std::fs::read_to_string(tree.join(path)) {
                Ok(text) => {
                    let words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
                    collect(&words, tree, missing);
                }
                Err(_) => {
                    missing.insert(path.to_owned());
                }
            }
        } else if arg.starts_with('-') {
            // -Ttext=… is no file.
            if let Some(path) =
                joined.filter(|_| !arg.starts_with("-Tt") && !arg.starts_with("-Td"))
            {
                check(path, tree, missing);
            }
        } else {
            check(arg, tree, missing);
        }
    }
}

fn check(path: &str, tree: &Path, missing: &mut BTreeSet<String>) {
    let full = tree.join(path);
    let Ok(data) = std::fs::read(&full) else {
        missing.insert(path.to_owned());
        return;
    };
    if !data.starts_with(b"!<thin>") {
        return;
    }
    let folder = full.parent().unwrap_or(tree);
    for member in thin_members(&data, folder) {
        if !member.is_file() {
            let shown = member.strip_prefix(tree).unwrap_or(&member);
            missing.insert(format!("{} (of {path})", shown.display()));
        }
    }
}

/// The files that a thin archive names, relative to its folder.
fn thin_members(data: &[u8], folder: &Path) -> Vec<PathBuf> {
    let Ok(archive) = ArchiveFile::parse(data) else {
        return Vec::new();
    };
    let members = archive.members().filter_map(Result::ok);
    members
        .map(|member| folder.join(String::from_utf8_lossy(member.name()).as_ref()))
        .collect()
}

/// The contents of input files by the names that a map has for them: `dir/file.o` or
/// `dir/lib.a(member.o)`.
///
/// # Errors
/// When a file cannot be read, or an archive lacks a member.
pub(crate) fn load(tree: &Path, names: &[String]) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut inputs = Vec::with_capacity(names.len());
    for name in names {
        let member = name
            .strip_suffix(')')
            .and_then(|rest| rest.rsplit_once('('));
        let path = tree.join(member.map_or(&**name, |(archive, _)| archive));
        let data = std::fs::read(&path).map_err(|error| Failure::io("read", &path, &error))?;
        let data = match member {
            None => data,
            Some((_, member)) => member_data(&data, member).ok_or_else(|| {
                Failure::new(format!("{} has no member {member}", path.display()))
            })?,
        };
        inputs.push((name.clone(), data));
    }
    Ok(inputs)
}

fn member_data(archive: &[u8], name: &str) -> Option<Vec<u8>> {
    let parsed = ArchiveFile::parse(archive).ok()?;
    let mut members = parsed.members().filter_map(Result::ok);
    let member: ArchiveMember<'_> = members.find(|member| member.name() == name.as_bytes())?;
    Some(member.data(archive).ok()?.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::command;

    #[test]
    fn what_is_not_there_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("a.o"), "").expect("written");
        std::fs::write(folder.path().join("list"), "a.o\nb.o\n").expect("written");
        let text = "ld -m elf_i386 -z noexecstack -soname x.so.1 -u sym -T s.lds --script=t.lds \
            -Ttext=0 --emit-relocs a.o @list @none c.o -o out";
        let links = command::parse(text).expect("one link");
        let found = missing(&links[0], folder.path());
        assert_eq!(found, ["b.o", "c.o", "none", "s.lds", "t.lds"]);
    }

    #[test]
    fn members_of_archives() {
        let header = |name: &str, size: usize| {
            format!("{name:16}{:12}{:6}{:6}{:8}{size:<10}`\n", 0, 0, 0, 644)
        };
        let names = "dir/x.o/\n";
        let archive = [
            "!<thin>\n",
            &header("//", 10),
            &format!("{names}\n"),
            &header("/0", 4),
        ];
        let archive = archive.concat();
        let members = thin_members(archive.as_bytes(), Path::new("lib"));
        assert_eq!(members, [Path::new("lib/dir/x.o")]);
        let archive = ["!<arch>\n", &header("m.o/", 4), "abcd"].concat();
        let archive = archive.as_bytes();
        assert_eq!(member_data(archive, "m.o").as_deref(), Some(&b"abcd"[..]));
        assert_eq!(member_data(archive, "n.o"), None);
    }
}
