//! Parses each script given, and says which constructs it uses or what is
//! wrong with it.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use klink_script::{Source, parse};

fn main() -> ExitCode {
    let mut failed = false;
    for path in std::env::args().skip(1) {
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                eprintln!("{path}: {error}");
                failed = true;
                continue;
            }
        };
        let source = Source::new(path, text);
        match parse(&source) {
            Ok(script) => println!("{}: {} commands", source.name, script.commands.len()),
            Err(error) => {
                eprintln!("{}", error.render(&source, false));
                failed = true;
            }
        }
    }
    ExitCode::from(u8::from(failed))
}
