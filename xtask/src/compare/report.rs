//! What a comparison found: differences by kind, for people and for programs.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde::Serialize;

use super::elf::{Elf, SectionId};
use super::sections::label;

/// So many differences of a kind in a section are shown before any more of it.
const PER_SECTION: usize = 3;

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
    /// A tag of the dynamic section, a dynamic symbol, relocation or version.
    Dynamic,
    /// A symbol table whose local symbols do not all come first, or a hash table
    /// that does not find every symbol.
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
    /// The address of that place, in a linked file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<u64>,
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
            address: None,
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

    /// The same, at this offset in a section of the first file.
    pub(crate) fn at(mut self, elf: &Elf<'_>, section: SectionId, offset: u64) -> Self {
        self.section = Some(label(elf, section));
        self.offset = Some(offset);
        self.at = elf.place(section, offset);
        if !elf.is_object() {
            self.address = Some(elf.base(section).wrapping_add(offset));
        }
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
    /// What differs and means nothing, such as places in the file.
    pub(crate) information: Vec<String>,
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
        self.render_sections(&mut out)?;
        let shown = self.first_of_each_section(limit);
        for difference in &shown {
            render_one(&mut out, difference)?;
        }
        let hidden = self.differences.len() - shown.len();
        if hidden > 0 {
            writeln!(out, "… and {hidden} more (see --limit)")?;
        }
        for line in &self.information {
            writeln!(out, "for information: {line}")?;
        }
        Ok(out)
    }

    /// How many differences each section has, and from where on.
    fn render_sections(&self, out: &mut String) -> std::fmt::Result {
        let mut sections: BTreeMap<&str, (usize, &Difference)> = BTreeMap::new();
        for difference in &self.differences {
            if let Some(section) = &difference.section {
                let (count, first) = sections.entry(section).or_insert((0, difference));
                *count += 1;
                let place = |d: &Difference| d.offset.unwrap_or(u64::MAX);
                if place(difference) < place(first) {
                    *first = difference;
                }
            }
        }
        for (section, (count, first)) in sections {
            write!(out, "{count:>8}  in {section}")?;
            if first.offset.is_some() {
                write!(out, ", the first at ")?;
                render_place(out, first)?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// At most `limit` differences, of which no section has many while another has none.
    fn first_of_each_section(&self, limit: usize) -> Vec<&Difference> {
        let mut ranked = Vec::with_capacity(self.differences.len());
        let mut seen: HashMap<(Kind, Option<&str>), usize> = HashMap::new();
        for (index, difference) in self.differences.iter().enumerate() {
            let key = (difference.kind, difference.section.as_deref());
            let before = seen.entry(key).or_default();
            ranked.push((*before / PER_SECTION, index));
            *before += 1;
        }
        ranked.sort_unstable();
        ranked.truncate(limit);
        ranked.sort_unstable_by_key(|&(_, index)| index);
        let shown = ranked.into_iter();
        shown.map(|(_, index)| &self.differences[index]).collect()
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
    if difference.section.is_some() {
        render_place(out, difference)?;
        write!(out, ": ")?;
    }
    writeln!(out, "{}", difference.what)?;
    writeln!(out, "    A: {}", difference.a)?;
    writeln!(out, "    B: {}", difference.b)
}

/// `.text+0x10 = 0xc0100010 (main+0x4)`
fn render_place(out: &mut String, difference: &Difference) -> std::fmt::Result {
    write!(out, "{}", difference.section.as_deref().unwrap_or_default())?;
    if let Some(offset) = difference.offset {
        write!(out, "+{offset:#x}")?;
    }
    if let Some(address) = difference.address {
        write!(out, " = {address:#x}")?;
    }
    match &difference.at {
        Some(at) => write!(out, " ({at})"),
        None => Ok(()),
    }
}
