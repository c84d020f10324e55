//! The tables that klink knows: their forms compared with real modules, and what is done to them.

mod eh_frame;
mod exports;
mod forms;
mod trimmed;

use std::path::{Path, PathBuf};
use std::process::Command;

use klink_tables::catalog::{self, SectionName};

/// Says loudly that a test does nothing, or fails it.
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var("KLINK_REQUIRE_TOOLS").as_deref() != Ok("1"),
        "{why}"
    );
    eprintln!("SKIPPED: {why}");
}

/// The list in the documentation has every table, by its name.
#[test]
fn the_documentation_names_every_table() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/catalog/mod.rs");
    let source = std::fs::read_to_string(source).expect("the source");
    let rows = source
        .lines()
        .filter_map(|line| line.strip_prefix("//! | "));
    let names = rows.filter_map(|row| row.split(" | ").next());
    let documented: Vec<&str> = names
        .flat_map(|names| names.split(", "))
        .filter_map(|name| name.strip_prefix('`')?.strip_suffix('`'))
        .collect();
    let mut known: Vec<String> = catalog::ALL
        .iter()
        .map(|known| match known.section {
            SectionName::Is(name) => name.to_owned(),
            SectionName::StartsWith(name) => format!("{name}*"),
        })
        .collect();
    known.sort();
    let mut documented: Vec<String> = documented.into_iter().map(str::to_owned).collect();
    documented.sort();
    assert_eq!(documented, known);
}

/// In the modules of four kernels every relocation of a table is at a field, and every field that has no
/// contents has a relocation.
#[test]
fn forms_are_those_of_real_modules() {
    let Some(corpus) = std::env::var_os("KLINK_CORPUS").map(PathBuf::from) else {
        eprintln!("skipped: KLINK_CORPUS is not set");
        return;
    };
    for arch in ["hppa32", "x86_64", "arm64", "ppc64le"] {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = corpus.join(format!("linux-6.1-{arch}.tar.zst"));
        let mut tar = Command::new("tar");
        tar.args(["--zstd", "--wildcards", "-xf"]).arg(archive);
        let status = tar.arg("-C").arg(folder.path()).arg("*.ko").status();
        assert!(status.expect("tar runs").success(), "{arch}");
        let mut report = forms::Report::default();
        walk(folder.path(), &mut report);
        assert!(report.wrong.is_empty(), "{arch}: {:#?}", report.wrong);
        assert!(report.seen.len() > 5, "{arch}: {:?}", report.seen);
    }
}

fn walk(folder: &Path, report: &mut forms::Report) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, report);
        } else {
            let bytes = std::fs::read(&path).expect("a module");
            forms::check(&path.display().to_string(), &bytes, report);
        }
    }
}
