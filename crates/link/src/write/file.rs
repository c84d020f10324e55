//! The file as it will be: its section headers, what fills each section, and where all of it stands.

use klink_arch::Arch;
use object::elf::{self, SectionType};

use super::{Encoder, Header, Sizes};
use crate::id::{IdVec, ObjectId, OutputId};
use crate::image::Segment;
use crate::layout::align_up;
use crate::output::{Outputs, Placements};
use crate::symtab::{OutputPlace, Strings, SymbolTable};

/// `SHN_LORESERVE`: section numbers from here on stand in a table of their own (ELF gABI chapter 4).
const FIRST_RESERVED: u32 = 0xff00;

/// What fills a section of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body {
    Nothing,
    /// A section group, by its object and its number there.
    Group(ObjectId, u32),
    Contents(OutputId),
    /// The relocations of an output section.
    Relocations(OutputId),
    Symbols,
    SymbolSections,
    SymbolNames,
    SectionNames,
}

/// The file as it will be.
pub(crate) struct FileLayout {
    pub headers: Vec<Header>,
    pub bodies: Vec<Body>,
    /// The names of sections.
    pub names: Strings,
    numbers: IdVec<OutputId, u32>,
    /// Where the section headers begin.
    header_table: u64,
    /// Size in bytes.
    pub size: u64,
}

/// The relocations of an output section that stay.
pub(crate) struct RelocationTable {
    pub count: usize,
    /// Whether they have addends of their own.
    pub explicit: bool,
}

/// What the ELF header says beyond what follows from the file's layout.
pub(crate) struct FileHeader {
    /// `EI_OSABI`.
    pub osabi: u8,
    /// `e_type`.
    pub file_type: u16,
    /// `e_entry`.
    pub entry: u64,
    /// `e_flags`.
    pub flags: u32,
}

impl FileLayout {
    /// A file without any section but the null section.
    pub(crate) fn new(outputs: &Outputs<'_>) -> Self {
        Self {
            headers: vec![Header::default()],
            bodies: vec![Body::Nothing],
            names: Strings::new(),
            numbers: IdVec::filled(0, outputs.sections.len()),
            header_table: 0,
            size: 0,
        }
    }

    /// The number of an output section.
    pub(crate) fn number(&self, output: OutputId) -> u32 {
        self.numbers[output]
    }

    /// The header of an output section.
    pub(crate) fn header_mut(&mut self, output: OutputId) -> &mut Header {
        &mut self.headers[self.numbers[output] as usize]
    }

    /// Where an output section's bytes begin in the file.
    pub(crate) fn offset_of(&self, output: OutputId) -> u64 {
        self.headers[self.numbers[output] as usize].offset
    }

    /// The sections that have bytes in the file, by number.
    pub(crate) fn with_bytes(&self) -> impl Iterator<Item = (&Header, Body)> {
        let sections = self.headers.iter().zip(self.bodies.iter().copied());
        sections.filter(|(header, body)| *body != Body::Nothing && header.has_bytes())
    }

    /// Adds a section of the file.
    pub(crate) fn add(&mut self, header: Header, body: Body) {
        self.headers.push(header);
        self.bodies.push(body);
    }

    /// Adds an output section, and the section of its relocations behind it.
    pub(crate) fn add_section(
        &mut self,
        id: OutputId,
        outputs: &Outputs<'_>,
        relocations: &RelocationTable,
        sizes: &Sizes,
    ) {
        let section = &outputs.sections[id];
        let number = self.headers.len() as u32;
        let RelocationTable { count, explicit } = *relocations;
        let (prefix, table_type) = match explicit {
            true => (&b".rela"[..], elf::SHT_RELA.0),
            false => (&b".rel"[..], elf::SHT_REL.0),
        };
        // It comes first, so that the section's name is its tail.
        let table_name = match count {
            0 => 0,
            _ => self.names.add_with_prefix(prefix, section.name),
        };
        self.numbers[id] = number;
        let header = Header {
            name: self.names.add(section.name),
            section_type: section.file_type(),
            flags: section.file_flags(),
            address: section.address,
            size: section.size,
            align: section.file_align(),
            entry_size: match SectionType(section.file_type()) {
                // Arrays of addresses (bfd/elf.c, elf_fake_sections).
                elf::SHT_INIT_ARRAY | elf::SHT_FINI_ARRAY | elf::SHT_PREINIT_ARRAY => sizes.word,
                _ => section.entry_size,
            },
            ..Header::default()
        };
        self.add(header, Body::Contents(id));
        if count > 0 {
            let group = section.group.map_or(0, |_| elf::SHF_GROUP.0);
            let header = Header {
                name: table_name,
                section_type: table_type,
                flags: elf::SHF_INFO_LINK.0 | group,
                size: count as u64 * sizes.relocation(explicit),
                info: number,
                align: sizes.word,
                entry_size: sizes.relocation(explicit),
                ..Header::default()
            };
            self.add(header, Body::Relocations(id));
        }
    }

    /// Adds the symbol table and its companions.
    pub(crate) fn add_symbols(&mut self, symbols: &SymbolTable, sizes: &Sizes) {
        let count = symbols.symbols.len() as u64;
        let header = Header {
            name: self.names.add(b".symtab"),
            section_type: elf::SHT_SYMTAB.0,
            size: count * sizes.symbol,
            info: symbols.first_global,
            align: sizes.word,
            entry_size: sizes.symbol,
            ..Header::default()
        };
        self.add(header, Body::Symbols);
        if self.headers.len() as u32 >= FIRST_RESERVED {
            let header = Header {
                name: self.names.add(b".symtab_shndx"),
                section_type: elf::SHT_SYMTAB_SHNDX.0,
                size: count * 4,
                align: 4,
                entry_size: 4,
                ..Header::default()
            };
            self.add(header, Body::SymbolSections);
        }
        let header = Header {
            name: self.names.add(b".strtab"),
            section_type: elf::SHT_STRTAB.0,
            size: symbols.strings.bytes().len() as u64,
            align: 1,
            ..Header::default()
        };
        self.add(header, Body::SymbolNames);
    }

    /// Adds the names of all sections, as the last section.
    pub(crate) fn add_section_names(&mut self) {
        let name = self.names.add(b".shstrtab");
        let header = Header {
            name,
            section_type: elf::SHT_STRTAB.0,
            size: self.names.bytes().len() as u64,
            align: 1,
            ..Header::default()
        };
        self.add(header, Body::SectionNames);
    }

    /// Fills in the `sh_link`s of the tables that are about symbols.
    pub(crate) fn link_tables(&mut self) {
        let number_of = |body| {
            let mut bodies = self.bodies.iter();
            bodies.position(|&other| other == body).unwrap_or(0) as u32
        };
        let (symbols, strings) = (number_of(Body::Symbols), number_of(Body::SymbolNames));
        for (header, body) in self.headers.iter_mut().zip(&self.bodies) {
            match body {
                Body::Group(..) | Body::Relocations(_) | Body::SymbolSections => {
                    header.link = symbols;
                }
                Body::Symbols => header.link = strings,
                Body::Nothing | Body::Contents(_) | Body::SymbolNames | Body::SectionNames => {}
            }
        }
    }

    /// Says that a section is about the symbol table.
    pub(crate) fn link_to_symbols(&mut self, id: OutputId) {
        let symbols = self.bodies.iter().position(|&body| body == Body::Symbols);
        self.header_mut(id).link = symbols.unwrap_or(0) as u32;
    }

    /// Says what a table in memory relocates, as far as its name tells (bfd/elf.c,
    /// `elf_get_reloc_section`).
    pub(crate) fn link_to_relocated(&mut self, id: OutputId, outputs: &Outputs<'_>) {
        let name = outputs.sections[id].name;
        let Some(name) = name.strip_prefix(b".rela").or(name.strip_prefix(b".rel")) else {
            return;
        };
        let about = match name {
            b".plt" => outputs.by_name(b".got.plt").or(outputs.by_name(b".got")),
            name => outputs.by_name(name),
        };
        let about = about.filter(|&about| !outputs.sections[about].removed);
        if let Some(about) = about {
            let number = self.number(about);
            let header = self.header_mut(id);
            header.info = number;
            header.flags |= elf::SHF_INFO_LINK.0;
        }
    }

    /// Fills in what an output section's header says of other sections.
    pub(crate) fn link_section(
        &mut self,
        id: OutputId,
        outputs: &Outputs<'_>,
        placements: &Placements,
        arch: &Arch,
    ) {
        let section = &outputs.sections[id];
        let linked = section
            .linked_to
            .and_then(|linked| placements.output(linked));
        if let Some(linked) = linked {
            self.header_mut(id).link = self.number(linked);
        }
        let Some(special) = arch.special_section(section.name) else {
            return;
        };
        let about = special
            .info_section
            .and_then(|about| outputs.by_name(about.as_bytes()))
            .map(|about| self.number(about));
        let header = self.header_mut(id);
        header.section_type = special.section_type;
        header.entry_size = special.entry_size;
        if let Some(about) = about {
            header.info = about;
            header.flags |= elf::SHF_INFO_LINK.0;
        }
    }

    /// Gives sections their places behind `start`: those that `is_first` says, then symbols, names,
    /// relocations, section names, and the headers. Others keep the places that they have.
    pub(crate) fn place(&mut self, start: u64, is_first: impl Fn(&Body) -> bool, sizes: &Sizes) {
        let mut at = start;
        let passes: [&dyn Fn(&Body) -> bool; 4] = [
            &is_first,
            &|body| {
                matches!(
                    body,
                    Body::Symbols | Body::SymbolSections | Body::SymbolNames
                )
            },
            &|body| matches!(body, Body::Relocations(_)),
            &|body| matches!(body, Body::SectionNames),
        ];
        for in_pass in passes {
            for (header, body) in self.headers.iter_mut().zip(&self.bodies) {
                if !in_pass(body) {
                    continue;
                }
                // What does not fit into 64 bits is refused behind this, as all absurd sizes are.
                header.offset = align_up(at, header.align.max(1)).unwrap_or(u64::MAX);
                if header.section_type != elf::SHT_NOBITS.0 {
                    at = header.offset.saturating_add(header.size);
                }
            }
        }
        self.header_table = align_up(at, sizes.word).unwrap_or(u64::MAX);
        let headers = self.headers.len() as u64 * sizes.section;
        self.size = self.header_table.saturating_add(headers);
    }

    /// The headers, each with its place in the file: the ELF header with the program headers behind it,
    /// and the section headers.
    pub(crate) fn headers(
        &self,
        header: &FileHeader,
        segments: &[Segment],
        arch: &Arch,
    ) -> [(u64, Vec<u8>); 2] {
        let sizes = Sizes::of(arch.class);
        let front_size = sizes.header + segments.len() as u64 * sizes.segment;
        let mut front = vec![0; front_size as usize];
        self.write_front(header, segments, Encoder::new(arch, &mut front), arch);
        let mut table = vec![0; self.headers.len() * sizes.section as usize];
        let mut out = Encoder::new(arch, &mut table);
        let count = self.headers.len() as u32;
        for (number, header) in self.headers.iter().enumerate() {
            let mut header = header.clone();
            // Numbers that do not fit stand in header 0 (ELF gABI chapter 4, e_shnum and e_shstrndx).
            if number == 0 && count >= FIRST_RESERVED {
                header.size = u64::from(count);
                header.link = count - 1;
            }
            out.section_header(&header);
        }
        [(0, front), (self.header_table, table)]
    }

    fn write_front(
        &self,
        header: &FileHeader,
        segments: &[Segment],
        mut out: Encoder<'_>,
        arch: &Arch,
    ) {
        let sizes = Sizes::of(arch.class);
        let (segments_at, segment_size) = match segments {
            [] => (0, 0),
            _ => (sizes.header, sizes.segment),
        };
        out.ident(arch, header.osabi);
        out.half(header.file_type);
        out.half(arch.machine);
        out.word32(u32::from(elf::EV_CURRENT.0));
        out.word(header.entry);
        out.word(segments_at);
        out.word(self.header_table);
        out.word32(header.flags);
        out.half(sizes.header as u16);
        out.half(segment_size as u16);
        out.half(segments.len() as u16);
        out.half(sizes.section as u16);
        let count = self.headers.len() as u32;
        let names = count - 1;
        let fits = |number| number < FIRST_RESERVED;
        out.half(if fits(count) { count as u16 } else { 0 });
        out.half(match fits(names) {
            true => names as u16,
            false => elf::SHN_XINDEX.0,
        });
        for segment in segments {
            out.segment(segment);
        }
    }

    /// Writes the symbol table.
    pub(crate) fn write_symbols(&self, symbols: &SymbolTable, mut out: Encoder<'_>) {
        for symbol in &symbols.symbols {
            let place = match (symbol.place, self.number_of_place(symbol.place)) {
                (_, Some(number)) if number >= FIRST_RESERVED => elf::SHN_XINDEX.0,
                (_, Some(number)) => number as u16,
                (OutputPlace::Absolute, None) => elf::SHN_ABS.0,
                (OutputPlace::Common, None) => elf::SHN_COMMON.0,
                (_, None) => elf::SHN_UNDEF.0,
            };
            out.symbol(symbol, place);
        }
    }

    /// Writes the numbers of sections that do not fit into the symbol table.
    pub(crate) fn write_symbol_sections(&self, symbols: &SymbolTable, mut out: Encoder<'_>) {
        for symbol in &symbols.symbols {
            let number = self.number_of_place(symbol.place).unwrap_or(0);
            out.word32(if number >= FIRST_RESERVED { number } else { 0 });
        }
    }

    /// The number of the section that a symbol is in.
    fn number_of_place(&self, place: OutputPlace) -> Option<u32> {
        match place {
            OutputPlace::Section(id) => Some(self.numbers[id]),
            OutputPlace::Group(number) => Some(number),
            OutputPlace::Undefined | OutputPlace::Absolute | OutputPlace::Common => None,
        }
    }
}
