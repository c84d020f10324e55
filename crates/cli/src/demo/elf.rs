//! What the prover needs of an ELF object: code, symbols, relocations.
//!
//! Read with the `object` crate alone, so that nothing the linker computed is taken on trust.

use std::collections::HashMap;

use object::elf::{R_PARISC_NONE, RelocationType, SHF_ALLOC, SHF_EXECINSTR};
use object::{
    Object as _, ObjectSection as _, ObjectSymbol as _, RelocationFlags, RelocationTarget,
    SectionFlags, SymbolKind, SymbolSection,
};

/// Index of a section in its object, as in the section header table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct SectionIndex(pub(super) usize);

/// A byte of a section: where a branch is, or where it goes.
///
/// The offset is signed, since a wrong branch may lead out of its section at either end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) section: SectionIndex,
    pub(super) offset: i64,
}

impl Place {
    /// The place `bytes` further on.
    pub(super) fn plus(self, bytes: i64) -> Self {
        Self {
            offset: self.offset.wrapping_add(bytes),
            ..self
        }
    }
}

/// What a relocation names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Target {
    /// A byte of this object.
    Place(Place),
    /// A symbol that another file defines, and an addend in bytes.
    External { name: String, addend: i64 },
    /// A number: an absolute symbol, or no symbol at all.
    Number(i64),
}

/// One relocation.
#[derive(Clone, Debug)]
pub(super) struct Relocation {
    /// Offset of the field's word in its section.
    pub(super) offset: u64,
    /// The psABI's number.
    pub(super) kind: RelocationType,
    pub(super) target: Target,
}

/// A section; relocation sections are not among them, their rows are with what they apply to.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) index: SectionIndex,
    pub(super) name: String,
    pub(super) size: u64,
    /// Empty for a section without bytes in the file.
    pub(super) bytes: Vec<u8>,
    pub(super) is_allocated: bool,
    pub(super) is_code: bool,
    pub(super) relocations: Vec<Relocation>,
}

impl Section {
    /// The big-endian word at `offset`, if it is inside the section.
    pub(super) fn word(&self, offset: i64) -> Option<u32> {
        let start = usize::try_from(offset).ok()?;
        let bytes = self.bytes.get(start..start.checked_add(4)?)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    }
}

/// A symbol that is defined in a section and has a name.
#[derive(Debug)]
pub(super) struct Symbol {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) size: u64,
    pub(super) is_function: bool,
    pub(super) is_global: bool,
}

/// One object file, input or output of the link.
#[derive(Debug)]
pub(super) struct Object {
    /// For messages.
    pub(super) name: String,
    pub(super) file_bytes: usize,
    /// Section headers in the file, those of relocation sections included.
    pub(super) section_headers: usize,
    pub(super) sections: Vec<Section>,
    /// In the order of the symbol table.
    pub(super) symbols: Vec<Symbol>,
    by_index: HashMap<SectionIndex, usize>,
    relocation_at: HashMap<Place, usize>,
}

impl Object {
    /// Reads an ELF object.
    ///
    /// # Errors
    /// When `object` cannot parse it; the message names the file.
    pub(super) fn parse(name: &str, data: &[u8]) -> Result<Self, String> {
        let bad = |error: object::Error| format!("{name}: {error}");
        let file = object::File::parse(data).map_err(bad)?;
        let mut sections = Vec::new();
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags, .. } = section.flags() else {
                return Err(format!("{name}: not an ELF file"));
            };
            let relocations = section
                .relocations()
                .map(|(offset, relocation)| read_relocation(&file, offset, &relocation))
                .collect::<Result<_, _>>()
                .map_err(bad)?;
            sections.push(Section {
                index: SectionIndex(section.index().0),
                name: section.name().map_err(bad)?.to_owned(),
                size: section.size(),
                bytes: section.data().map_err(bad)?.to_vec(),
                is_allocated: sh_flags.contains(SHF_ALLOC),
                is_code: sh_flags.contains(SHF_EXECINSTR),
                relocations,
            });
        }
        let symbols = file
            .symbols()
            .filter_map(|symbol| {
                let SymbolSection::Section(section) = symbol.section() else {
                    return None;
                };
                let name = symbol.name().ok().filter(|name| !name.is_empty())?;
                (symbol.kind() != SymbolKind::Section).then(|| Symbol {
                    name: name.to_owned(),
                    place: place(section, symbol.address()),
                    size: symbol.size(),
                    is_function: symbol.kind() == SymbolKind::Text,
                    is_global: symbol.is_global(),
                })
            })
            .collect();
        Ok(Self {
            file_bytes: data.len(),
            section_headers: section_headers(data),
            ..Self::of(name, sections, symbols)
        })
    }

    /// An object of these sections and symbols, without a file.
    pub(super) fn of(name: &str, sections: Vec<Section>, symbols: Vec<Symbol>) -> Self {
        let by_index = (sections.iter().enumerate())
            .map(|(n, section): (usize, &Section)| (section.index, n))
            .collect();
        let relocation_at = (sections.iter())
            .flat_map(|section| {
                let place = |offset| place(object::SectionIndex(section.index.0), offset);
                (section.relocations.iter().enumerate()).map(move |(n, r)| (place(r.offset), n))
            })
            .collect();
        Self {
            name: name.to_owned(),
            file_bytes: 0,
            section_headers: sections.len(),
            sections,
            symbols,
            by_index,
            relocation_at,
        }
    }

    pub(super) fn section(&self, index: SectionIndex) -> Option<&Section> {
        self.sections.get(*self.by_index.get(&index)?)
    }

    /// The instruction at `place`.
    pub(super) fn word(&self, place: Place) -> Option<u32> {
        self.section(place.section)?.word(place.offset)
    }

    /// The relocation whose field is at `place`.
    pub(super) fn relocation(&self, place: Place) -> Option<&Relocation> {
        let n = *self.relocation_at.get(&place)?;
        self.section(place.section)?.relocations.get(n)
    }

    /// Turns bits of a word over.
    #[cfg(test)]
    pub(super) fn flip(&mut self, place: Place, bits: u32) {
        let section = &mut self.sections[self.by_index[&place.section]];
        let start = usize::try_from(place.offset).expect("an offset in the section");
        for (byte, flipped) in section.bytes[start..].iter_mut().zip(bits.to_be_bytes()) {
            *byte ^= flipped;
        }
    }

    /// Allocated sections that hold instructions and are not empty.
    pub(super) fn code(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter().filter(|s| s.is_code && s.size > 0)
    }

    /// All relocations of the file.
    pub(super) fn relocations(&self) -> impl Iterator<Item = &Relocation> {
        self.sections.iter().flat_map(|s| &s.relocations)
    }

    /// `place` in words: the function it is in, or its section.
    pub(super) fn describe(&self, place: Place) -> String {
        let function = self.symbols.iter().find(|s| {
            let inside = place.offset.wrapping_sub(s.place.offset);
            s.is_function
                && s.place.section == place.section
                && u64::try_from(inside).is_ok_and(|inside| inside < s.size)
        });
        if let Some(function) = function {
            let inside = place.offset - function.place.offset;
            return format!("{}+{inside:#x}", function.name);
        }
        match self.section(place.section) {
            Some(section) => format!("{}+{:#x}", section.name, place.offset),
            None => format!("section {}+{:#x}", place.section.0, place.offset),
        }
    }

    /// `target` in words.
    pub(super) fn describe_target(&self, target: &Target) -> String {
        match target {
            Target::Place(place) => self.describe(*place),
            Target::External { name, addend: 0 } => name.clone(),
            Target::External { name, addend } => format!("{name}+{addend:#x}"),
            Target::Number(number) => format!("{number:#x}"),
        }
    }
}

fn place(section: object::SectionIndex, offset: u64) -> Place {
    // ELF32 offsets and addresses have 32 bits, so none is lost.
    Place {
        section: SectionIndex(section.0),
        offset: offset.cast_signed(),
    }
}

fn read_relocation(
    file: &object::File<'_>,
    offset: u64,
    relocation: &object::Relocation,
) -> Result<Relocation, object::Error> {
    let kind = match relocation.flags() {
        RelocationFlags::Elf { r_type } => r_type,
        _ => R_PARISC_NONE,
    };
    let addend = relocation.addend();
    let target = match relocation.target() {
        RelocationTarget::Symbol(index) => {
            let symbol = file.symbol_by_index(index)?;
            let value = symbol.address().cast_signed().wrapping_add(addend);
            match symbol.section() {
                SymbolSection::Section(section) => {
                    Target::Place(place(section, value.cast_unsigned()))
                }
                SymbolSection::Absolute => Target::Number(value),
                _ => Target::External {
                    name: symbol.name()?.to_owned(),
                    addend,
                },
            }
        }
        _ => Target::Number(addend),
    };
    Ok(Relocation {
        offset,
        kind,
        target,
    })
}

/// `e_shnum` of an ELF32 header, or section 0's size where there are too many for it (gABI,
/// "ELF Header").
fn section_headers(data: &[u8]) -> usize {
    let half = |at: usize| Some(u16::from_be_bytes(data.get(at..at + 2)?.try_into().ok()?));
    let word = |at: usize| Some(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?));
    let count = match half(0x30) {
        Some(0) => word(0x20).and_then(|table| word(usize::try_from(table).ok()? + 0x14)),
        count => count.map(u32::from),
    };
    count.unwrap_or(0) as usize
}
