//! The options of `ld.klink`, a row each, in groups.
//!
//! Spelling, arguments and defaults are those of GNU ld: ld/lexsup.c (`ld_options`, `parse_args`),
//! ld/emultempl/elf.em and, for options that one architecture has, ld/emultempl/*.em.

mod architecture;
mod dynamic;
mod extra;
mod ignored;
mod input;
mod output;
mod report;
mod script;
mod segments;
mod symbols;

use std::path::PathBuf;

use super::Parser;
use Kind::{Flag, Later, LaterInFinal, Optional, Path, Text, Try};

/// Why an option is refused.
pub(crate) enum Refusal {
    /// The option takes something else.
    Value(&'static str),
    /// The option has no place here.
    Place(&'static str),
}

/// What became of an option.
pub(crate) type Outcome = Result<(), Refusal>;

/// What an option takes, and what it does.
pub(crate) enum Kind {
    /// It takes no value.
    Flag(fn(&mut Parser)),
    /// It takes no value, and may have no place where it stands.
    Try(fn(&mut Parser) -> Outcome),
    /// It needs a value of this name, joined or as the next argument.
    Text(&'static str, fn(&mut Parser, &str) -> Outcome),
    /// It may have a value of this name, joined with `=`; else it has the second.
    Optional(&'static str, &'static str, fn(&mut Parser, &str) -> Outcome),
    /// It needs a path, joined or as the next argument.
    Path(&'static str, fn(&mut Parser, PathBuf)),
    /// It is not carried out yet, and takes a value or none.
    Later(Takes),
    /// It means nothing with `-r`, and is not carried out yet in other links.
    LaterInFinal(Takes),
    /// It changes nothing.
    Ignored(Takes),
}

/// Whether an option that is not carried out takes a value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    Nothing,
    Value,
    MaybeValue,
}

impl Kind {
    /// Whether the option takes a value.
    pub(crate) fn takes(&self) -> Takes {
        match self {
            Flag(_) | Try(_) => Takes::Nothing,
            Text(..) | Path(..) => Takes::Value,
            Optional(..) => Takes::MaybeValue,
            Later(takes) | LaterInFinal(takes) | Kind::Ignored(takes) => *takes,
        }
    }
}

/// An option.
pub(crate) struct Row {
    /// Its names as `--help` shows them, with blanks between: `-x` for one letter. Names of more
    /// letters are understood with one dash and with two.
    pub names: &'static str,
    pub kind: Kind,
    /// For `--help`; an option without it is understood but not shown.
    pub help: &'static str,
}

impl Row {
    /// The one-letter names, without their dashes.
    pub(crate) fn letters(&self) -> impl Iterator<Item = &'static str> {
        self.bare_names().filter(|name| name.len() == 1)
    }

    /// The long names, without their dashes.
    pub(crate) fn long_names(&self) -> impl Iterator<Item = &'static str> {
        self.bare_names().filter(|name| name.len() > 1)
    }

    fn bare_names(&self) -> impl Iterator<Item = &'static str> {
        let names = self.names.split(' ');
        names.map(|name| name.trim_start_matches('-'))
    }

    /// The name that messages use where none was written.
    pub(crate) fn name(&self) -> &'static str {
        self.names.split(' ').next_back().unwrap_or(self.names)
    }
}

const fn row(names: &'static str, help: &'static str, kind: Kind) -> Row {
    Row { names, kind, help }
}

/// An option that changes nothing.
const fn ignored(names: &'static str, takes: Takes) -> Row {
    row(names, "", Kind::Ignored(takes))
}

/// An option that is not carried out yet.
const fn later(names: &'static str, takes: Takes) -> Row {
    row(names, "", Later(takes))
}

/// An option that means nothing with `-r`, and is not carried out yet in other links.
const fn later_in_final(names: &'static str, takes: Takes) -> Row {
    row(names, "", LaterInFinal(takes))
}

/// Options that belong together.
pub(crate) struct Group {
    /// What `--help` writes over them.
    pub title: &'static str,
    pub rows: &'static [Row],
}

/// All options.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        title: "Inputs",
        rows: input::ROWS,
    },
    Group {
        title: "Output",
        rows: output::ROWS,
    },
    Group {
        title: "Scripts and sections",
        rows: script::ROWS,
    },
    Group {
        title: "Symbols",
        rows: symbols::ROWS,
    },
    Group {
        title: "Segments and addresses",
        rows: segments::ROWS,
    },
    Group {
        title: "Position-independent outputs",
        rows: dynamic::ROWS,
    },
    Group {
        title: "Architectures",
        rows: architecture::ROWS,
    },
    Group {
        title: "Messages and reports",
        rows: report::ROWS,
    },
    Group {
        title: "Options of klink's own",
        rows: extra::ROWS,
    },
    Group {
        title: "",
        rows: ignored::ROWS,
    },
];

/// Every row.
pub(crate) fn rows() -> impl Iterator<Item = &'static Row> {
    GROUPS.iter().flat_map(|group| group.rows)
}

/// A number as C writes it: decimal, `0x…` or `0…` (strtoul with base 0).
pub(super) fn number(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x").or(text.strip_prefix("0X")) {
        return u64::from_str_radix(digits, 16).ok();
    }
    match text.strip_prefix('0') {
        Some(digits) if !digits.is_empty() => u64::from_str_radix(digits, 8).ok(),
        _ => text.parse().ok(),
    }
}

/// An address, in hexadecimal digits with or without `0x` (ld/lexsup.c, `set_segment_start`).
pub(super) fn address(text: &str) -> Result<u64, Refusal> {
    let digits = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    u64::from_str_radix(digits.unwrap_or(text), 16)
        .map_err(|_| Refusal::Value("an address in hexadecimal digits"))
}
