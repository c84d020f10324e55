//! Parses each script given, and says which constructs it uses or what is
//! wrong with it. After `--version-script` or `--dynamic-list` the files are
//! of that kind.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use klink_script::{ScriptError, Source, parse, parse_dynamic_list, parse_version_script};

fn summary(kind: &str, source: &Source) -> Result<String, ScriptError> {
    let nodes = match kind {
        "--version-script" => parse_version_script(source)?.nodes.len(),
        "--dynamic-list" => parse_dynamic_list(source)?.nodes.len(),
        _ => {
            let constructs = parse(source)?.constructs();
            let names: Vec<&str> = constructs.iter().map(|used| used.name).collect();
            return Ok(names.join(", "));
        }
    };
    Ok(format!("{nodes} nodes"))
}

fn main() -> ExitCode {
    let mut failed = false;
    let mut kind = String::new();
    for argument in std::env::args().skip(1) {
        if argument.starts_with("--") {
            kind = argument;
            continue;
        }
        let text = match std::fs::read(&argument) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) => {
                eprintln!("{argument}: {error}");
                failed = true;
                continue;
            }
        };
        let source = Source::new(argument, text);
        match summary(&kind, &source) {
            Ok(summary) => println!("{}: {summary}", source.name),
            Err(error) => {
                eprintln!("{}", error.render(&source, false));
                failed = true;
            }
        }
    }
    ExitCode::from(u8::from(failed))
}
