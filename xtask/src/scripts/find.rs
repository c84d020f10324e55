//! Which linker scripts a kernel's folders of the source have.

use std::path::{Path, PathBuf};

use super::machines::{COMMON, Machine};

/// A script, preprocessed by a build or used as it stands in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// Its path: in the build folder if it is preprocessed, else in the source.
    pub path: String,
    /// For one that is preprocessed, the folder whose Makefile says how.
    pub made_in: Option<String>,
}

/// The scripts of `machine`, by path.
///
/// A file that no Makefile names is a piece that others include.
pub(super) fn scripts(source: &Path, machine: &Machine) -> Vec<Script> {
    let mut found = Vec::new();
    for folder in machine.folders {
        let folder = Path::new("arch").join(folder);
        search(source, &folder, &mut found);
    }
    for path in machine.more.iter().chain(COMMON) {
        let plain = source.join(path).is_file();
        found.push(Script {
            path: (*path).to_owned(),
            made_in: (!plain).then(|| nearest_makefile(source, Path::new(path))),
        });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn search(source: &Path, folder: &Path, found: &mut Vec<Script>) {
    let Ok(entries) = std::fs::read_dir(source.join(folder)) else {
        return;
    };
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let path = folder.join(&name);
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            search(source, &path, found);
            continue;
        }
        let made = name.strip_suffix(".S").unwrap_or(&name);
        let is_script = made.ends_with(".lds") || made.ends_with(".ld") || made == "ld.script";
        if !is_script || !is_named(source, folder, made) {
            continue;
        }
        let path = folder.join(made);
        found.push(Script {
            made_in: (made != name).then(|| nearest_makefile(source, &path)),
            path: path.display().to_string(),
        });
    }
}

/// Whether a Makefile of `folder` or of one above it, in `arch/`, names the script.
fn is_named(source: &Path, folder: &Path, script: &str) -> bool {
    let folders = folder
        .ancestors()
        .take_while(|above| *above != Path::new("arch"));
    folders
        .map(|folder| std::fs::read_to_string(source.join(folder).join("Makefile")))
        .any(|makefile| makefile.is_ok_and(|text| names(&text, script)))
}

/// Whether `makefile` has the word `script`, as a file's name or at the end of a path.
fn names(makefile: &str, script: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    makefile.match_indices(script).any(|(at, _)| {
        let before = makefile[..at].chars().next_back();
        let behind = makefile[at + script.len()..].chars().next();
        !before.is_some_and(is_part) && !behind.is_some_and(is_part)
    })
}

fn nearest_makefile(source: &Path, script: &Path) -> String {
    let mut folders = script.ancestors().skip(1);
    let folder = folders.find(|folder| source.join(folder).join("Makefile").is_file());
    folder
        .map_or_else(PathBuf::new, Path::to_path_buf)
        .display()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_words_of_makefiles() {
        assert!(names("extra-y += vmlinux.lds\n", "vmlinux.lds"));
        assert!(names("$(obj)/vdso.lds: x", "vdso.lds"));
        assert!(names("CPPFLAGS_vdso.lds += -P", "vdso.lds"));
        assert!(!names("compat-vdso.lds", "vdso.lds"));
        assert!(!names("vdso.lds.S", "vdso.lds"));
    }

    #[test]
    fn pieces_that_others_include_are_no_scripts() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path();
        let kernel = source.join("arch/toy/kernel");
        std::fs::create_dir_all(kernel.join("vdso")).expect("folders");
        for (name, text) in [
            ("Makefile", "extra-y := vmlinux.lds vdso/v.lds"),
            ("vmlinux.lds.S", ""),
            ("vmlinux-xip.lds.S", ""),
            ("vdso/v.lds.S", ""),
            ("boot.ld", ""),
        ] {
            std::fs::write(kernel.join(name), text).expect("a file");
        }
        let mut found = Vec::new();
        search(source, Path::new("arch/toy"), &mut found);
        found.sort_by(|a, b| a.path.cmp(&b.path));
        let made = |path: &str| Script {
            path: path.to_owned(),
            made_in: Some("arch/toy/kernel".to_owned()),
        };
        assert_eq!(
            found,
            [
                made("arch/toy/kernel/vdso/v.lds"),
                made("arch/toy/kernel/vmlinux.lds")
            ]
        );
    }
}
