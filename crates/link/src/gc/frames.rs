//! Unwind tables do not keep functions, but what a kept function's records refer to is kept with it:
//! its language-specific data and its personality routine.

use klink_arch::Arch;

use crate::id::{IdVec, ObjectId, SectionId};
use crate::image::read_frames;
use crate::input::SymbolPlace;
use crate::resolve::{Definition, Resolved};

/// The unwind records of all functions (bfd/elf-eh-frame.c, `_bfd_elf_gc_mark_fdes`).
#[derive(Default)]
pub(super) struct FrameTables {
    /// Function's section, and a symbol of its object that a record about it refers to; sorted.
    symbols: Vec<(SectionId, u32)>,
    /// The tables that were read, one for each object that has any.
    tables: IdVec<ObjectId, Option<SectionId>>,
    /// The same, to look them up by section.
    sorted_tables: Vec<SectionId>,
}

impl FrameTables {
    /// Reads the `.eh_frame` of every object. One that cannot be read is a section like others.
    pub(super) fn read(resolved: &Resolved<'_>, sections: &[SectionId], arch: &Arch) -> Self {
        let mut tables = Self {
            tables: IdVec::filled(None, resolved.objects.len()),
            ..Self::default()
        };
        for &id in sections {
            let section = resolved.section(id);
            if section.name == b".eh_frame" && !section.data.is_empty() {
                tables.add(resolved, id, arch);
            }
        }
        tables.symbols.sort_unstable();
        tables.symbols.dedup();
        tables.sorted_tables = tables.tables.iter().flatten().copied().collect();
        tables.sorted_tables.sort_unstable();
        tables
    }

    fn add(&mut self, resolved: &Resolved<'_>, id: SectionId, arch: &Arch) -> Option<()> {
        let section = resolved.section(id);
        let (object, _) = resolved.section_place(id);
        let (relocations, frames) = read_frames(section, arch);
        let frames = frames.ok()?;
        let mut found = Vec::new();
        for fde in frames.fdes() {
            let Some(relocation) = relocations.get(fde.function) else {
                continue;
            };
            let Some(function) = section_of(resolved, object, relocation.symbol) else {
                continue;
            };
            if resolved.section_place(function).0 != object {
                return None;
            }
            for range in [fde.all, fde.cie] {
                let all = relocations.get(range).unwrap_or_default();
                found.extend(all.iter().map(|relocation| (function, relocation.symbol)));
            }
        }
        self.symbols.append(&mut found);
        self.tables[object] = Some(id);
        Some(())
    }

    /// Whether a section is a table that was read.
    pub(super) fn is_table(&self, section: SectionId) -> bool {
        self.sorted_tables.binary_search(&section).is_ok()
    }

    /// The symbols that records about functions in a section refer to.
    pub(super) fn symbols_about(&self, section: SectionId) -> Vec<u32> {
        let from = self.symbols.partition_point(|&(other, _)| other < section);
        let of_section = self.symbols[from..].iter();
        of_section
            .take_while(|&&(other, _)| other == section)
            .map(|&(_, symbol)| symbol)
            .collect()
    }
}

/// The section that a symbol is in, if any object defines it.
fn section_of(resolved: &Resolved<'_>, object: ObjectId, symbol: u32) -> Option<SectionId> {
    let (object, symbol) = match resolved.global_of(object, symbol) {
        None => (object, symbol),
        Some(global) => match resolved.globals[global].definition {
            Definition::Object { object, symbol, .. } => (object, symbol),
            Definition::Made { section, .. } => return Some(section),
            _ => return None,
        },
    };
    let symbol = resolved.objects[object].symbols.get(symbol as usize)?;
    match symbol.place {
        SymbolPlace::Section(section) => Some(resolved.section_id(object, section)),
        _ => None,
    }
}
