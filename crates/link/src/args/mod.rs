//! GNU ld's option syntax. The options are rows of a table (`table`); this module only reads them:
//! long options with one dash or two, values joined or apart, response files.

mod keyword;
mod response;
mod table;

use std::path::PathBuf;

use crate::options::{DiscardLocals, Input, InputName, ModuleOptions, Options, Strip};
pub use response::expand;
use table::{OPTIONS, Row, Value};

/// The version that a kernel build is told. It asks for a line that looks like GNU ld's
/// (`scripts/ld-version.sh`) and offers in Kconfig what that version can do.
const COMPATIBLE_VERSION: &str = "2.40";

/// The first line of `--version`.
pub fn version_line() -> String {
    format!(
        "GNU ld (klink {}) {COMPATIBLE_VERSION}",
        env!("CARGO_PKG_VERSION")
    )
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// A link.
    Link(Box<Options>),
    /// `--version` and `-v` without inputs: the text to print.
    Print(String),
}

/// A command line that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UsageError {
    /// An option that is not in the table.
    #[error("unrecognized option '{option}'{}; use --help for a list", suggest(.nearest))]
    Unknown {
        /// As written.
        option: String,
        /// A known option with a similar name.
        nearest: Option<&'static str>,
    },
    /// An option that needs a value stands at the end.
    #[error("option '{option}' needs a value")]
    MissingValue {
        /// As written.
        option: String,
    },
    /// An option that takes no value has one.
    #[error("option '{option}' takes no value")]
    SurplusValue {
        /// As written.
        option: String,
    },
    /// A value that the option does not know.
    #[error("'{value}' is no value for '{option}'; it takes {expected}")]
    BadValue {
        /// The option.
        option: String,
        /// Its value.
        value: String,
        /// What it takes.
        expected: &'static str,
    },
    /// An option without the one that it belongs to.
    #[error("'{option}' {what}")]
    OutOfPlace {
        /// The option.
        option: String,
        /// What is wrong.
        what: &'static str,
    },
    /// A response file that cannot be read.
    #[error("cannot read response file {path}: {what}")]
    Response {
        /// The file.
        path: String,
        /// What the system said.
        what: String,
    },
    /// An option that this version parses but does not carry out.
    #[error("option '{option}' is not supported yet")]
    NotYet {
        /// As written.
        option: String,
    },
}

fn suggest(nearest: &Option<&'static str>) -> String {
    nearest.map_or(String::new(), |nearest| {
        format!(", did you mean '--{nearest}'?")
    })
}

/// What the options read so far have set, some of it only for the inputs that follow.
#[derive(Default)]
pub(crate) struct Parser {
    pub options: Options,
    pub whole_archive: bool,
    pub binary: bool,
    pub group: Option<u32>,
    groups: u32,
    pub print: Option<Print>,
    pub module: Option<ModuleOptions>,
    /// The first option that only a module link has.
    pub module_only: Option<&'static str>,
    /// The first option that was taken without being carried out.
    pub refused_by_probe: Option<&'static str>,
    /// State that `--push-state` keeps.
    pub saved: Vec<(bool, bool)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Print {
    Version,
    /// `-v`: the version, and a link if there are inputs.
    VersionThenLink,
    Help,
}

impl Parser {
    pub(crate) fn add_input(&mut self, name: InputName) {
        self.options.inputs.push(Input {
            name,
            whole_archive: self.whole_archive,
            binary: self.binary,
            group: self.group,
        });
    }

    pub(crate) fn start_group(&mut self) {
        self.groups += 1;
        self.group = Some(self.groups);
    }

    pub(crate) fn module(&mut self, option: &'static str) -> &mut ModuleOptions {
        self.module_only.get_or_insert(option);
        self.module.get_or_insert_with(ModuleOptions::default)
    }
}

/// Reads a command line (without the program's name).
///
/// # Errors
/// [`UsageError`], naming the option.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, UsageError> {
    let arguments = expand(arguments)?;
    let mut parser = Parser::default();
    let mut is_module = false;
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        if !argument.starts_with('-') || argument == "-" {
            parser.add_input(InputName::File(PathBuf::from(argument)));
            continue;
        }
        let (row, joined) = find(&argument)?;
        let value = match (row.value, joined) {
            (Value::None, Some(_)) => return Err(UsageError::SurplusValue { option: argument }),
            (Value::None, None) => String::new(),
            (Value::Optional(default), joined) => joined.unwrap_or(default).to_owned(),
            (Value::Needed, Some(joined)) => joined.to_owned(),
            (Value::Needed, None) => rest.next().ok_or_else(|| UsageError::MissingValue {
                option: argument.clone(),
            })?,
        };
        is_module |= row.names.contains(&"module");
        (row.set)(&mut parser, &value).map_err(|expected| match expected {
            table::Refusal::Value(expected) => UsageError::BadValue {
                option: argument.clone(),
                value,
                expected,
            },
            table::Refusal::Place(what) => UsageError::OutOfPlace {
                option: argument.clone(),
                what,
            },
            table::Refusal::NotYet => UsageError::NotYet {
                option: argument.clone(),
            },
        })?;
    }
    finish(parser, is_module)
}

fn finish(mut parser: Parser, is_module: bool) -> Result<Command, UsageError> {
    if let (Some(option), false) = (parser.module_only, is_module) {
        return Err(UsageError::OutOfPlace {
            option: format!("--{option}"),
            what: "belongs to the module link: add --module",
        });
    }
    if is_module && !parser.options.relocatable() {
        return Err(UsageError::OutOfPlace {
            option: "--module".into(),
            what: "makes relocatable output: add -r",
        });
    }
    parser.options.module = parser.module.take();
    // Whoever links the output needs its global symbols (ld/lexsup.c, parse_args).
    if parser.options.relocatable() && parser.options.strip == Strip::All {
        parser.options.strip = Strip::Debug;
        if parser.options.discard == DiscardLocals::Default {
            parser.options.discard = DiscardLocals::All;
        }
    }
    match parser.print {
        Some(Print::Help) => Ok(Command::Print(help())),
        Some(Print::Version) => Ok(Command::Print(long_version())),
        Some(Print::VersionThenLink) => {
            // A kernel build probes with `-v OPTION` and takes exit code 0 for "can be used".
            let later = parser.options.not_yet.first().cloned();
            match later.or(parser.refused_by_probe.map(str::to_owned)) {
                Some(option) => Err(UsageError::NotYet { option }),
                None => Ok(Command::Print(version_line() + "\n")),
            }
        }
        None => Ok(Command::Link(Box::new(parser.options))),
    }
}

/// Finds the row for `argument`, and the value that is joined to it.
fn find(argument: &str) -> Result<(&'static Row, Option<&str>), UsageError> {
    let unknown = || UsageError::Unknown {
        option: argument.to_owned(),
        nearest: nearest(argument),
    };
    let (double, body) = match argument.strip_prefix("--") {
        Some(body) => (true, body),
        None => (false, &argument[1..]),
    };
    let (name, value) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (body, None),
    };
    let long = || {
        OPTIONS
            .iter()
            .find(|row| row.names.contains(&name) && (double || name.len() > 1 || value.is_none()))
    };
    // With one dash, a long option may not begin with `o`: that is `-o FILE` (ld's manual).
    if (double || !body.starts_with('o') || body.len() == 1)
        && let Some(row) = long()
        && (double || name.chars().count() > 1 || row.short.contains(&name))
    {
        return Ok((row, value));
    }
    if double {
        return Err(unknown());
    }
    let Some(first) = body.chars().next() else {
        return Err(unknown());
    };
    let joined = &body[first.len_utf8()..];
    let mut letter = [0; 4];
    let letter = &*first.encode_utf8(&mut letter);
    let row = OPTIONS
        .iter()
        .find(|row| row.short.contains(&letter))
        .ok_or_else(unknown)?;
    match (joined.is_empty(), row.value) {
        (true, _) => Ok((row, None)),
        (false, Value::None) => Err(unknown()),
        (false, _) => Ok((row, Some(joined))),
    }
}

/// The option whose name is nearest to what was written, if it is near.
fn nearest(argument: &str) -> Option<&'static str> {
    let written = argument
        .trim_start_matches('-')
        .split('=')
        .next()
        .unwrap_or_default();
    let names = OPTIONS.iter().flat_map(|row| row.names.iter().copied());
    names
        .map(|name| (edit_distance(written, name), name))
        .filter(|&(distance, name)| distance <= name.len() / 4)
        .min()
        .map(|(_, name)| name)
}

/// How many insertions, deletions and replacements make `a` into `b`.
fn edit_distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

fn long_version() -> String {
    format!(
        "{}\nklink links kernels and their modules. It takes GNU ld's options and scripts.\n\
         License: MIT OR Apache-2.0\n",
        version_line()
    )
}

fn help() -> String {
    let mut text = String::from(
        "Usage: ld.klink -r [options] file...\n\n\
         Links objects and archives into one relocatable object, as GNU ld -r does; with --module,\n\
         into a kernel module whose branches all reach. Options:\n",
    );
    for row in OPTIONS {
        let Some(what) = row.help else { continue };
        let value = match row.value {
            Value::None => String::new(),
            Value::Needed => format!(" {}", row.value_name),
            Value::Optional(_) => format!("[={}]", row.value_name),
        };
        let short = row.short.iter().map(|short| format!("-{short}"));
        let long = row.names.iter().map(|name| format!("--{name}"));
        let names: Vec<String> = short.chain(long).collect();
        text.push_str(&format!("  {:<38} {what}\n", names.join(", ") + &value));
    }
    text.push_str(
        "\nA file name of the form @FILE stands for the words in that file.\n\
                   Exit code: 0 the output was written, 1 it was not.\n",
    );
    text
}

#[cfg(test)]
mod tests;
