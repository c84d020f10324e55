//! Sorts the tables of a kernel in place, as Linux's `scripts/sorttable` does:
//! `cargo run --release -p klink-tables --example sort_tables VMLINUX`.

use std::process::ExitCode;

use klink_tables::sort::{image, mcount::WeakCalls};

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: sort_tables VMLINUX");
        return ExitCode::FAILURE;
    };
    let sorted = std::fs::read(&path)
        .map_err(|error| error.to_string())
        .and_then(|mut file| {
            let sorted = image(&mut file, WeakCalls::Keep).map_err(|error| error.to_string())?;
            std::fs::write(&path, file).map_err(|error| error.to_string())?;
            Ok(sorted)
        });
    match sorted {
        Ok(sorted) => println!("{sorted:?}"),
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
