//! What a comparison found: differences by kind, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

/// What sort of difference; each can be ignored by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Class, byte order, OS ABI, type, machine, flags or entry point.
    Header,
    /// Program headers.
    Segment,
    /// A section that only the first file has.
    SectionMissing,
    /// A section that only the second file has.
    SectionExtra,
    /// Type, flags, alignment, entry size, link or info of a section.
    SectionHeader,
    /// The address of a section. In an object it means nothing; GNU ld counts
    /// addresses there all the same where a script does not say 0.
    Address,
    /// The size of a section.
    SectionSize,
    /// The bytes of a section.
    Bytes,
    /// Signature, flags or members of a section group.
    Group,
    /// A symbol that only the first file has.
    SymbolMissing,
    /// A symbol that only the second file has.
    SymbolExtra,
    /// Value, size, binding, type, visibility or section of a symbol.
    Symbol,
    /// A section symbol that only one file has. A section symbol says nothing
    /// that its section does not say; whether one exists matters only to what
    /// refers to it, and that is compared with the relocations.
    SectionSymbol,
    /// A `STT_FILE` symbol that only one file has: a note for debuggers.
    FileSymbol,
    /// A relocation that only the first file has.
    RelocationMissing,
    /// A relocation that only the second file has.
    RelocationExtra,
    /// The type of a relocation.
    RelocationType,
    /// The symbol of a relocation.
    RelocationTarget,
    /// The addend of a relocation, explicit or in the field.
    RelocationAddend,
    /// The same target named in another way: by section symbol and addend, or
    /// by a local symbol at the same place.
    Form,
    /// The same sections, or relocations of a section, in another order.
    Order,
    /// A symbol table whose local symbols do not all come first.
    Invalid,
}

/// One difference. `a` and `b` say what the first and the second file have.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Difference {
    /// What sort of difference.
    pub(crate) kind: Kind,
    /// The section's name and, where names repeat, its number among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) section: Option<String>,
    /// The offset in that section, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<u64>,
    /// The symbol at that place, with the distance to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
    /// What is compared: a field, a symbol's name.
    pub(crate) what: String,
    /// The first file's.
    pub(crate) a: String,
    /// The second file's.
    pub(crate) b: String,
}

impl Difference {
    /// A difference without a place.
    pub(crate) fn new(
        kind: Kind,
        what: impl Into<String>,
        a: impl Into<String>,
        b: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            section: None,
            offset: None,
            at: None,
            what: what.into(),
            a: a.into(),
            b: b.into(),
        }
    }

    /// The same, in this section.
    pub(crate) fn section(mut self, section: impl Into<String>) -> Self {
        self.section = Some(section.into());
        self
    }

    /// The same, at this offset, where this symbol is.
    pub(crate) fn offset(mut self, offset: u64, at: Option<String>) -> Self {
        self.offset = Some(offset);
        self.at = at;
        self
    }
}

/// How much was compared; a report of "no difference" means little without.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Compared {
    /// Sections found in both files.
    pub(crate) sections: usize,
    /// Bytes in them.
    pub(crate) bytes: u64,
    /// Symbols of the first file.
    pub(crate) symbols: usize,
    /// Relocations of the first file.
    pub(crate) relocations: usize,
}

/// The result of a comparison.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Report {
    /// All differences that were not ignored, grouped by what was compared.
    pub(crate) differences: Vec<Difference>,
    /// How much was compared.
    pub(crate) compared: Compared,
}

impl Report {
    /// Whether the files mean the same.
    pub(crate) fn is_equal(&self) -> bool {
        self.differences.is_empty()
    }

    /// The number of differences of each kind that occurs.
    pub(crate) fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for difference in &self.differences {
            *counts.entry(difference.kind).or_insert(0) += 1;
        }
        counts
    }

    /// The table of kinds and the first `limit` differences.
    pub(crate) fn render(&self, limit: usize) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        let Compared {
            sections,
            bytes,
            symbols,
            relocations,
        } = self.compared;
        writeln!(
            out,
            "compared {sections} sections ({bytes} bytes), {symbols} symbols, {relocations} relocations"
        )?;
        for (kind, count) in self.counts() {
            writeln!(out, "{count:>8}  {}", name(kind))?;
        }
        for difference in self.differences.iter().take(limit) {
            render_one(&mut out, difference)?;
        }
        let hidden = self.differences.len().saturating_sub(limit);
        if hidden > 0 {
            writeln!(out, "… and {hidden} more (see --limit)")?;
        }
        Ok(out)
    }
}

/// The name by which `--ignore` and `--json` know a kind.
pub(crate) fn name(kind: Kind) -> String {
    use clap::ValueEnum as _;
    match kind.to_possible_value() {
        Some(value) => value.get_name().to_owned(),
        None => format!("{kind:?}"),
    }
}

fn render_one(out: &mut String, difference: &Difference) -> std::fmt::Result {
    write!(out, "{}: ", name(difference.kind))?;
    if let Some(section) = &difference.section {
        write!(out, "{section}")?;
        if let Some(offset) = difference.offset {
            write!(out, "+{offset:#x}")?;
        }
        if let Some(at) = &difference.at {
            write!(out, " ({at})")?;
        }
        write!(out, ": ")?;
    }
    writeln!(out, "{}", difference.what)?;
    writeln!(out, "    A: {}", difference.a)?;
    writeln!(out, "    B: {}", difference.b)
}
