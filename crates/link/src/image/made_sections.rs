//! The sections that GNU ld makes in its first input for final links: the global offset table, and
//! for position-independent outputs everything that a loader reads. They are made before the script
//! places sections, since patterns and orphans may place them; those that come out empty are left
//! out then, but have had their say about flags and alignment of the output section.
//!
//! Source: bfd/elflink.c (_bfd_elf_link_create_dynamic_sections, _bfd_elf_create_dynamic_sections,
//! _bfd_elf_create_got_section, _bfd_elf_make_dynamic_reloc_section); bfd/elf-ifunc.c
//! (_bfd_elf_create_ifunc_sections); ld/ldelf.c (ldelf_after_open).

use klink_arch::{Addends, Arch, GotTable};
use object::elf;
use rayon::prelude::*;

use crate::dynamic::tags::tag_size;
use crate::id::{GlobalId, Id, ObjectId, SectionId};
use crate::input::{InputSection, Storage};
use crate::options::{DynamicLinker, HashStyle, Options, OutputKind};
use crate::resolve::{Definition, MadePlace, Resolved};
use crate::write::Sizes;

/// Which section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MadePart {
    Interpreter,
    VersionDefinitions,
    Versions,
    DynamicSymbols,
    DynamicStrings,
    Dynamic,
    Hash,
    GnuHash,
    GotRelocations,
    Got,
    GotPlt,
    /// For functions that are called and bound elsewhere.
    Plt,
    PltRelocations,
    UnwindHeader,
    /// For functions that a resolver chooses when the program starts.
    IndirectStubs,
    IndirectSlots,
    IndirectRelocations,
    /// Relocations that a loader applies to sections of one name.
    Relocations,
    /// One that is empty in every link that this linker can make, and has its say nevertheless.
    Unused,
}

/// The sections that were made.
#[derive(Default)]
pub(super) struct MadeSections {
    sections: Vec<(MadePart, SectionId)>,
    /// The symbols at their beginnings, which are local in the output.
    pub symbols: Vec<GlobalId>,
}

/// A section to make.
struct Row {
    part: MadePart,
    name: &'static str,
    section_type: elf::SectionType,
    flags: u64,
    align: u64,
}

const fn row(
    part: MadePart,
    name: &'static str,
    section_type: elf::SectionType,
    flags: u64,
    align: u64,
) -> Row {
    Row {
        part,
        name,
        section_type,
        flags,
        align,
    }
}

const READ: u64 = elf::SHF_ALLOC.0;
const WRITE: u64 = elf::SHF_ALLOC.0 | elf::SHF_WRITE.0;
const CODE: u64 = elf::SHF_ALLOC.0 | elf::SHF_EXECINSTR.0;

impl MadeSections {
    /// Makes the sections and the symbols at their beginnings.
    pub(super) fn add<'a>(
        resolved: &mut Resolved<'a>,
        options: &Options,
        arch: &Arch,
        storage: &'a Storage,
    ) -> Self {
        let mut made = Self::default();
        if resolved.objects.is_empty() {
            return made;
        }
        if is_dynamic(options) {
            made.add_dynamic(resolved, options, arch);
        }
        made.add_got(resolved, options, arch);
        if is_dynamic(options) {
            made.add_relocations(resolved, arch, storage);
        }
        if options.eh_frame_hdr {
            made.add_unwind_header(resolved);
        }
        made
    }

    /// The section of a part, if it was made.
    pub(super) fn part(&self, part: MadePart) -> Option<SectionId> {
        self.all(part).next()
    }

    /// All sections of a part.
    pub(super) fn all(&self, part: MadePart) -> impl Iterator<Item = SectionId> + '_ {
        let of_part = self
            .sections
            .iter()
            .filter(move |(other, _)| *other == part);
        of_part.map(|&(_, section)| section)
    }

    /// Leaves every section out of the output that has no size.
    pub(super) fn exclude_empty(&self, resolved: &mut Resolved<'_>) {
        for &(_, section) in &self.sections {
            let made = resolved.made_section_mut(section);
            if made.size == 0 {
                made.flags |= elf::SHF_EXCLUDE.0;
            }
        }
    }

    fn push<'a>(
        &mut self,
        resolved: &mut Resolved<'a>,
        (part, name): (MadePart, &'a [u8]),
        section_type: elf::SectionType,
        flags: u64,
        align: u64,
        object: ObjectId,
    ) -> SectionId {
        let section = InputSection {
            align,
            ..InputSection::plain(name, section_type.0, flags, &[])
        };
        let id = resolved.add_made(section, MadePlace::Behind(object));
        self.sections.push((part, id));
        id
    }

    fn push_rows(&mut self, resolved: &mut Resolved<'_>, rows: &[Row]) {
        let first = ObjectId::from_index(0);
        for row in rows {
            let name = (row.part, row.name.as_bytes());
            self.push(
                resolved,
                name,
                row.section_type,
                row.flags,
                row.align,
                first,
            );
        }
    }

    fn add_dynamic(&mut self, resolved: &mut Resolved<'_>, options: &Options, arch: &Arch) {
        let word = Sizes::of(arch.class).word;
        let is_program = options.output_kind == OutputKind::Pie;
        let rela = dynamic_addends(arch) == Addends::Rela;
        let (table, plt, bss, relro) = match rela {
            true => (elf::SHT_RELA, ".rela.plt", ".rela.bss", ".rela.data.rel.ro"),
            false => (elf::SHT_REL, ".rel.plt", ".rel.bss", ".rel.data.rel.ro"),
        };
        let (bits, nobits) = (elf::SHT_PROGBITS, elf::SHT_NOBITS);
        let mut rows = Vec::new();
        if is_program && options.dynamic_linker != DynamicLinker::None {
            rows.push(row(MadePart::Interpreter, ".interp", bits, READ, 1));
        }
        rows.extend([
            row(
                MadePart::VersionDefinitions,
                ".gnu.version_d",
                elf::SHT_GNU_VERDEF,
                READ,
                word,
            ),
            row(
                MadePart::Versions,
                ".gnu.version",
                elf::SHT_GNU_VERSYM,
                READ,
                2,
            ),
            row(
                MadePart::Unused,
                ".gnu.version_r",
                elf::SHT_GNU_VERNEED,
                READ,
                word,
            ),
            row(
                MadePart::DynamicSymbols,
                ".dynsym",
                elf::SHT_DYNSYM,
                READ,
                word,
            ),
            row(
                MadePart::DynamicStrings,
                ".dynstr",
                elf::SHT_STRTAB,
                READ,
                1,
            ),
            row(MadePart::Dynamic, ".dynamic", elf::SHT_DYNAMIC, WRITE, word),
        ]);
        if options.hash_style != HashStyle::Gnu {
            rows.push(row(MadePart::Hash, ".hash", elf::SHT_HASH, READ, word));
        }
        if options.hash_style != HashStyle::Sysv {
            let gnu_hash = elf::SHT_GNU_HASH;
            rows.push(row(MadePart::GnuHash, ".gnu.hash", gnu_hash, READ, word));
        }
        rows.push(row(MadePart::Plt, ".plt", bits, CODE, 16));
        rows.push(row(MadePart::PltRelocations, plt, table, READ, word));
        self.push_rows(resolved, &rows);
        self.define_start(resolved, MadePart::Dynamic, b"_DYNAMIC");
        // What copy relocations would need.
        let mut rows = vec![
            row(MadePart::Unused, ".dynbss", nobits, WRITE, 1),
            row(MadePart::Unused, ".data.rel.ro", bits, WRITE, 1),
        ];
        if is_program {
            rows.push(row(MadePart::Unused, bss, table, READ, word));
            rows.push(row(MadePart::Unused, relro, table, READ, word));
        }
        self.push_rows(resolved, &rows);
    }

    fn add_got(&mut self, resolved: &mut Resolved<'_>, options: &Options, arch: &Arch) {
        let Some(got) = arch.got else { return };
        if got.on_demand {
            if needs_slots(resolved, arch) {
                self.add_own_got(resolved, got, arch);
            }
            return;
        }
        let word = Sizes::of(arch.class).word;
        let (table, of_got, of_plt, of_resolvers) = match dynamic_addends(arch) {
            Addends::Rela => (elf::SHT_RELA, ".rela.got", ".rela.iplt", ".rela.ifunc"),
            Addends::Rel => (elf::SHT_REL, ".rel.got", ".rel.iplt", ".rel.ifunc"),
        };
        let bits = elf::SHT_PROGBITS;
        let mut rows = vec![
            row(MadePart::GotRelocations, of_got, table, READ, word),
            row(MadePart::Got, ".got", bits, WRITE, word),
            row(MadePart::GotPlt, ".got.plt", bits, WRITE, word),
        ];
        if is_dynamic(options) {
            rows.push(row(MadePart::Unused, of_resolvers, table, READ, word));
            if !options.no_generated_unwind_info {
                rows.push(row(MadePart::Unused, ".eh_frame", bits, READ, word));
            }
        }
        // GNU ld has a PLT for the purpose in a position-independent output, and no such sections.
        let has_indirect = || resolved.objects.iter().any(|it| it.rarities.indirect);
        if !is_dynamic(options) || has_indirect() {
            rows.push(row(MadePart::IndirectStubs, ".iplt", bits, CODE, 1));
            rows.push(row(
                MadePart::IndirectRelocations,
                of_plt,
                table,
                READ,
                word,
            ));
            rows.push(row(MadePart::IndirectSlots, ".igot.plt", bits, WRITE, word));
        }
        self.push_rows(resolved, &rows);
        self.define_start(resolved, MadePart::GotPlt, got.symbol.as_bytes());
    }

    /// A table that begins with what a dynamic linker fills in, for code that asks for it. Its symbol is
    /// for others too (bfd/elf32-hppa.c, `elf32_hppa_create_dynamic_sections`).
    fn add_own_got(&mut self, resolved: &mut Resolved<'_>, got: GotTable, arch: &Arch) {
        let word = Sizes::of(arch.class).word;
        let (bits, table) = (elf::SHT_PROGBITS, elf::SHT_RELA);
        let rows = [
            row(MadePart::GotRelocations, ".rela.got", table, READ, word),
            row(MadePart::Got, ".got", bits, WRITE, word),
        ];
        self.push_rows(resolved, &rows);
        let name = got.symbol.as_bytes();
        self.define_start(resolved, MadePart::Got, name);
        if let Some(id) = self
            .symbols
            .pop_if(|&mut id| resolved.globals[id].name == name)
        {
            resolved.globals[id].other = elf::STV_DEFAULT.0;
        }
    }

    /// A table of dynamic relocations for each name of sections that may need some.
    fn add_relocations<'a>(
        &mut self,
        resolved: &mut Resolved<'a>,
        arch: &Arch,
        storage: &'a Storage,
    ) {
        let Some(dynamic) = &arch.dynamic else { return };
        let mut names: Vec<&'a [u8]> = Vec::new();
        for object in resolved.objects.iter() {
            for section in &object.sections {
                if section.flags & elf::SHF_ALLOC.0 == 0 || names.contains(&section.name) {
                    continue;
                }
                let stays = |number| dynamic.is_absolute(number) || dynamic.is_pc_relative(number);
                if section.relocations.iter().any(|it| stays(it.number)) {
                    names.push(section.name);
                }
            }
        }
        let (prefix, table): (&[u8], _) = match dynamic.addends {
            Addends::Rela => (b".rela", elf::SHT_RELA),
            Addends::Rel => (b".rel", elf::SHT_REL),
        };
        let word = Sizes::of(arch.class).word;
        let first = ObjectId::from_index(0);
        for name in names {
            let name = storage.names.alloc([prefix, name].concat());
            let part = (MadePart::Relocations, name as &[u8]);
            self.push(resolved, part, table, READ, word, first);
        }
    }

    /// The search table belongs to the first object with unwind tables.
    fn add_unwind_header(&mut self, resolved: &mut Resolved<'_>) {
        let has_tables = |(_, object): &(ObjectId, &crate::input::Object<'_>)| {
            let mut sections = object.sections.iter();
            sections.any(|section| section.name == b".eh_frame" && section.size > 8)
        };
        let Some((object, _)) = resolved.objects.iter_ids().find(has_tables) else {
            return;
        };
        let name = (MadePart::UnwindHeader, &b".eh_frame_hdr"[..]);
        self.push(resolved, name, elf::SHT_PROGBITS, READ, 4, object);
    }

    /// Defines a hidden symbol at the beginning of a section (bfd/elflink.c,
    /// `_bfd_elf_define_linkage_sym`).
    pub(super) fn define_start<'a>(
        &mut self,
        resolved: &mut Resolved<'a>,
        part: MadePart,
        name: &'a [u8],
    ) {
        let Some(section) = self.part(part) else {
            return;
        };
        let id = resolved.mention(name);
        let global = &mut resolved.globals[id];
        if matches!(global.definition, Definition::Object { .. }) {
            return;
        }
        global.definition = Definition::Made { section, offset: 0 };
        global.symbol_type = elf::STT_OBJECT.0;
        global.size = 0;
        global.other = elf::STV_HIDDEN.0;
        self.symbols.push(id);
    }
}

/// Whether code asks for a slot of the global offset table.
fn needs_slots(resolved: &Resolved<'_>, arch: &Arch) -> bool {
    let objects: Vec<_> = resolved.objects.iter().collect();
    let needs_one = |relocation: crate::input::RawRelocation| {
        let row = arch.relocation(relocation.number);
        row.is_some_and(klink_arch::Relocation::names_slot)
    };
    objects.par_iter().any(|object| {
        let mut sections = object.sections.iter();
        sections.any(|section| {
            section.flags & elf::SHF_ALLOC.0 != 0 && section.relocations.iter().any(needs_one)
        })
    })
}

/// Whether the output has tables for a loader.
pub(super) fn is_dynamic(options: &Options) -> bool {
    matches!(options.output_kind, OutputKind::Pie | OutputKind::Shared)
}

fn dynamic_addends(arch: &Arch) -> Addends {
    arch.dynamic
        .as_ref()
        .map_or(arch.addends, |dynamic| dynamic.addends)
}

/// `sh_entsize` of a section of this type, if the type says; [`None`] leaves what it has.
pub(super) fn entry_size(section_type: u32, arch: &Arch) -> Option<u64> {
    let sizes = Sizes::of(arch.class);
    match elf::SectionType(section_type) {
        elf::SHT_DYNSYM => Some(sizes.symbol),
        elf::SHT_HASH => Some(4),
        // Its words are of two widths where addresses have 64 bits.
        elf::SHT_GNU_HASH => Some(if sizes.word == 4 { 4 } else { 0 }),
        elf::SHT_GNU_VERSYM => Some(2),
        elf::SHT_DYNAMIC => Some(tag_size(arch.class)),
        elf::SHT_RELA => Some(sizes.relocation(true)),
        elf::SHT_REL => Some(sizes.relocation(false)),
        _ => None,
    }
}
