//! GNU ld's option syntax. The options are rows of a table (`table`); this module only reads them:
//! long options with one dash or two, values joined or apart, response files.

mod keyword;
mod response;
mod support;
mod table;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt as _};
use std::path::{Path, PathBuf};

use crate::options::{
    Destination, DiscardLocals, Input, InputFormat, InputName, ModuleOptions, Options, OutputKind,
    Strip,
};
pub use response::expand;
use table::{Kind, Outcome, Refusal, Row, Takes};

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
    pub format: InputFormat,
    pub group: Option<u32>,
    groups: u32,
    pub print: Option<Print>,
    pub is_module: bool,
    /// `--no-reorder`.
    pub keep_order: bool,
    /// Options that are not carried out in any link, as written.
    later: Vec<String>,
    /// Options that mean something in links other than `-r`, and are not carried out there.
    later_in_final: Vec<String>,
    /// State that `--push-state` keeps.
    pub saved: Vec<(bool, InputFormat)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Print {
    Version,
    /// `-v`: the version, and a link if there are inputs.
    VersionThenLink,
    Help,
    Sysroot,
}

impl Parser {
    pub(crate) fn add_input(&mut self, name: InputName) {
        self.options.inputs.push(Input {
            name,
            whole_archive: self.whole_archive,
            format: self.format,
            group: self.group,
        });
    }

    pub(crate) fn start_group(&mut self) {
        self.groups += 1;
        self.group = Some(self.groups);
    }

    /// Sets the kind of output. `-r` does not go together with another (ld/lexsup.c).
    pub(crate) fn set_kind(&mut self, kind: OutputKind) -> Outcome {
        use OutputKind::{Executable, Pie, Relocatable, Shared};
        match (self.options.output_kind, kind) {
            (Relocatable, Pie | Shared) | (Pie | Shared, Relocatable) => Err(Refusal::Place(
                "cannot be used together with -r, nor -r with it",
            )),
            (Relocatable, Executable) => Ok(()),
            _ => {
                self.options.output_kind = kind;
                Ok(())
            }
        }
    }

    /// Sets where a section or segment begins. A name without `-segment` is that of a section, too.
    pub(crate) fn start_of(&mut self, section: &str, value: &str) -> Outcome {
        let start = table::address(value)?;
        if !section.ends_with("-segment") {
            self.options
                .section_starts
                .push((section.to_owned(), start));
        }
        let segment = section.trim_start_matches('.').to_owned();
        self.options.segment_starts.push((segment, start));
        Ok(())
    }

    /// Notes an option that is not carried out in links other than `-r`.
    pub(crate) fn later_in_final(&mut self, option: String) {
        self.later_in_final.push(option);
    }
}

/// Where a report goes: `-` is standard output.
pub(crate) fn destination(path: PathBuf) -> Destination {
    if path.as_os_str() == "-" {
        Destination::StandardOutput
    } else {
        Destination::Path(path)
    }
}

/// Reads a command line (without the program's name).
///
/// # Errors
/// [`UsageError`], naming the option.
pub fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<Command, UsageError> {
    let arguments = expand(arguments)?;
    let mut parser = Parser::default();
    let mut rest = arguments.into_iter().peekable();
    while let Some(argument) = rest.next() {
        if !argument.as_bytes().starts_with(b"-") || argument == "-" {
            parser.add_input(InputName::File(PathBuf::from(argument)));
            continue;
        }
        // `-G` without a number is `-shared`, as on other systems (ld/lexsup.c, `parse_args`).
        if argument == "-G" && !rest.peek().is_some_and(starts_with_digit) {
            take(&mut parser, &argument, &SHARED, None)?;
            continue;
        }
        let (row, joined) = find(&argument)?;
        let written = || argument.to_string_lossy().into_owned();
        let value = match (row.kind.takes(), joined) {
            (Takes::Nothing, Some(_)) => {
                return Err(UsageError::SurplusValue { option: written() });
            }
            (Takes::Nothing | Takes::MaybeValue, None) => None,
            (Takes::Value | Takes::MaybeValue, Some(joined)) => Some(joined.to_owned()),
            (Takes::Value, None) => Some(
                rest.next()
                    .ok_or_else(|| UsageError::MissingValue { option: written() })?,
            ),
        };
        take(&mut parser, &argument, row, value)?;
    }
    finish(parser)
}

/// What `-G` stands for.
static SHARED: Row = Row {
    names: "-shared",
    help: "",
    kind: Kind::Try(|parser| parser.set_kind(OutputKind::Shared)),
};

fn starts_with_digit(argument: &OsString) -> bool {
    argument.as_bytes().first().is_some_and(u8::is_ascii_digit)
}

/// Does what an option says.
fn take(
    parser: &mut Parser,
    argument: &OsStr,
    row: &Row,
    value: Option<OsString>,
) -> Result<(), UsageError> {
    let written = argument.to_string_lossy().into_owned();
    let text = |value: &OsStr| value.to_str().map(str::to_owned);
    let given = value.as_deref().unwrap_or_default();
    let outcome = match &row.kind {
        Kind::Flag(set) => {
            set(parser);
            Ok(())
        }
        Kind::Try(set) => set(parser),
        Kind::Path(_, set) => {
            set(parser, PathBuf::from(given));
            Ok(())
        }
        Kind::Text(_, set) => text(given)
            .ok_or(Refusal::Value("text in UTF-8"))
            .and_then(|text| set(parser, &text)),
        Kind::Optional(_, default, set) => match value.as_deref().map(text) {
            None => set(parser, default),
            Some(Some(text)) => set(parser, &text),
            Some(None) => Err(Refusal::Value("text in UTF-8")),
        },
        Kind::Later(_) => {
            parser.later.push(written.clone());
            Ok(())
        }
        Kind::LaterInFinal(_) => {
            parser.later_in_final(written.clone());
            Ok(())
        }
        Kind::Ignored(_) => Ok(()),
    };
    outcome.map_err(|refusal| match refusal {
        Refusal::Value(expected) => UsageError::BadValue {
            option: written,
            value: given.to_string_lossy().into_owned(),
            expected,
        },
        Refusal::Place(what) => UsageError::OutOfPlace {
            option: written,
            what,
        },
    })
}

/// The name of the map: `%` in it stands for the output's name (ld/lexsup.c, `parse_args`).
fn map_name(path: &Path, output: &Path) -> Option<PathBuf> {
    let text = path.as_os_str().as_bytes();
    let at = text.iter().position(|&byte| byte == b'%')?;
    let (before, behind) = (&text[..at], &text[at + 1..]);
    let ending = if behind.is_empty() { b".map" } else { behind };
    let name = [before, output.as_os_str().as_bytes(), ending].concat();
    Some(PathBuf::from(OsString::from_vec(name)))
}

fn finish(mut parser: Parser) -> Result<Command, UsageError> {
    let out_of_place = |option: &str, what| UsageError::OutOfPlace {
        option: option.to_owned(),
        what,
    };
    let options = &mut parser.options;
    let is_probe = parser.print == Some(Print::VersionThenLink) && options.inputs.is_empty();
    if parser.is_module && !options.relocatable() {
        return Err(out_of_place("--module", "makes relocatable output: add -r"));
    }
    if options.relocatable() && !parser.is_module {
        let module_only = [
            ("--stub-symbols", options.stub_symbols == Some(true)),
            ("--reorder", options.image_reorder),
            ("--no-reorder", parser.keep_order),
        ];
        if let Some((option, _)) = module_only.iter().find(|(_, given)| *given) {
            let what = "with -r belongs to the module link: add --module";
            return Err(out_of_place(option, what));
        }
    }
    if options.define_common == Some(false)
        && options.output_kind != OutputKind::Shared
        && !is_probe
    {
        return Err(out_of_place("--no-define-common", "belongs to -shared"));
    }
    options.module = parser.is_module.then(|| ModuleOptions {
        stub_symbols: options.stub_symbols == Some(true),
        keep_order: parser.keep_order,
    });
    // Whoever links the output needs its global symbols (ld/lexsup.c, parse_args).
    if options.relocatable() && options.strip == Strip::All {
        options.strip = Strip::Debug;
        if options.discard == DiscardLocals::Default {
            options.discard = DiscardLocals::All;
        }
    }
    if is_probe || !options.relocatable() {
        parser.later.append(&mut parser.later_in_final);
        let missing = support::missing(options);
        parser.later.extend(missing.map(str::to_owned));
    }
    options.not_yet = parser.later;
    let output = options.output.as_deref().unwrap_or(Path::new("a.out"));
    if let Some(Destination::Path(path)) = &mut options.print_map
        && let Some(name) = map_name(path, output)
    {
        *path = name;
    }
    match parser.print {
        Some(Print::Help) => Ok(Command::Print(help())),
        Some(Print::Version) => Ok(Command::Print(long_version())),
        Some(Print::Sysroot) => {
            let folder = options.sysroot.as_deref().unwrap_or(Path::new(""));
            Ok(Command::Print(format!("{}\n", folder.display())))
        }
        // A kernel build probes with `-v OPTION` and takes exit code 0 for "can be used".
        Some(Print::VersionThenLink) if is_probe => match options.not_yet.first() {
            Some(option) => Err(UsageError::NotYet {
                option: option.clone(),
            }),
            None => Ok(Command::Print(version_line() + "\n")),
        },
        print => {
            options.print_version = print.is_some();
            Ok(Command::Link(Box::new(parser.options)))
        }
    }
}

/// Finds the row for `argument`, and the value that is joined to it.
fn find(argument: &OsStr) -> Result<(&'static Row, Option<&OsStr>), UsageError> {
    let bytes = argument.as_bytes();
    let unknown = || {
        let option = argument.to_string_lossy().into_owned();
        let nearest = nearest(&option);
        UsageError::Unknown { option, nearest }
    };
    let (double, body) = match bytes.strip_prefix(b"--") {
        Some(body) => (true, body),
        None => (false, &bytes[1..]),
    };
    let equals = body.iter().position(|&byte| byte == b'=');
    let (name, value) = match equals {
        Some(at) => (&body[..at], Some(OsStr::from_bytes(&body[at + 1..]))),
        None => (body, None),
    };
    // With one dash, a long option may not begin with `o`: that is `-o FILE` (ld's manual).
    if (double || !body.starts_with(b"o"))
        && let Some(row) =
            table::rows().find(|row| row.long_names().any(|known| known.as_bytes() == name))
    {
        return Ok((row, value));
    }
    let (letter, joined) = match body.split_first() {
        Some((letter, joined)) if !double => (*letter, joined),
        _ => return Err(unknown()),
    };
    let row = table::rows()
        .find(|row| row.letters().any(|known| known.as_bytes() == [letter]))
        .ok_or_else(unknown)?;
    match (joined.is_empty(), row.kind.takes()) {
        (true, _) => Ok((row, None)),
        (false, Takes::Nothing) => Err(unknown()),
        (false, _) => Ok((row, Some(OsStr::from_bytes(joined)))),
    }
}

/// The option whose name is nearest to what was written, if it is near.
fn nearest(argument: &str) -> Option<&'static str> {
    let written = argument
        .trim_start_matches('-')
        .split('=')
        .next()
        .unwrap_or_default();
    let names = table::rows().flat_map(Row::long_names);
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

/// Columns that names take in `--help` before what the option does.
const NAMES_WIDTH: usize = 34;

fn help() -> String {
    let mut text = String::from(
        "Usage: ld.klink [options] file...\n\n\
         Links objects and archives into programs, kernels and shared objects as GNU ld does, or with\n\
         -r into one relocatable object; with -r --module, into a kernel module whose branches all\n\
         reach.\n",
    );
    for group in table::GROUPS.iter().filter(|group| !group.title.is_empty()) {
        text.push_str(&format!("\n{}:\n", group.title));
        for row in group.rows.iter().filter(|row| !row.help.is_empty()) {
            let value = match &row.kind {
                Kind::Text(name, _) | Kind::Path(name, _) => format!(" {name}"),
                Kind::Optional(name, ..) => format!("[={name}]"),
                _ => String::new(),
            };
            let names = row.names.replace(' ', ", ") + &value;
            if names.len() >= NAMES_WIDTH {
                text.push_str(&format!("  {names}\n  {:NAMES_WIDTH$} {}\n", "", row.help));
            } else {
                text.push_str(&format!("  {names:NAMES_WIDTH$} {}\n", row.help));
            }
        }
    }
    let later =
        table::rows().filter(|row| matches!(row.kind, Kind::Later(_) | Kind::LaterInFinal(_)));
    let later: Vec<&str> = later.map(Row::name).collect();
    text.push_str("\nKnown, but not carried out yet:\n");
    let mut line = String::new();
    for name in later {
        if line.len() + name.len() > 96 {
            text.push_str(&format!(" {line}\n"));
            line.clear();
        }
        line.push(' ');
        line.push_str(name);
    }
    text.push_str(&format!(
        " {line}\n\nA file name of the form @FILE stands for the words in that file.\n\
         Exit code: 0 the output was written, 1 it was not.\n"
    ));
    text
}

#[cfg(test)]
mod tests;
