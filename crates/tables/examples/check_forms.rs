//! Compares the forms of entries that klink knows with the relocations of modules:
//! `cargo run --release -p klink-tables --example check_forms FOLDER…`. Finds `*.ko` below the folders.

use std::path::Path;
use std::process::ExitCode;

#[path = "../tests/catalog/forms.rs"]
mod forms;

fn main() -> ExitCode {
    let mut report = forms::Report::default();
    for folder in std::env::args_os().skip(1) {
        if let Err(error) = walk(Path::new(&folder), &mut report) {
            eprintln!("{}: {error}", folder.display());
            return ExitCode::FAILURE;
        }
    }
    for (section, (tables, entries)) in &report.seen {
        println!("{section:32} {tables:6} tables {entries:9} entries");
    }
    for (section, files) in report.unknown.iter().filter(|(_, files)| **files > 2) {
        println!("not a table: {section} in {files}");
    }
    for wrong in report.wrong.iter().take(40) {
        println!("{wrong}");
    }
    println!("{} wrong", report.wrong.len());
    ExitCode::from(u8::from(!report.wrong.is_empty()))
}

fn walk(folder: &Path, report: &mut forms::Report) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            walk(&path, report)?;
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            forms::check(&path.display().to_string(), &std::fs::read(&path)?, report);
        }
    }
    Ok(())
}
