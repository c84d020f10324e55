//! Writing: the file is laid out, and made in memory in place.

mod limits;

use klink_arch::{Arch, Class, Endian};
use object::elf::{self, SectionType};
use rayon::prelude::*;

use crate::buffer::Buffer;
use crate::error::{LinkError, Result};
use crate::groups::{self, Groups};
use crate::id::{IdVec, ObjectId, OutputId};
use crate::image::Segment;
use crate::layout::{Layout, align_up};
use crate::made::{BuildIdNote, BuildIdPlace, NOTE_HEADER};
use crate::output::{Piece, Traits};
use crate::relocate::{Rewrite, Target, change_bytes, rewrite};
use crate::resolve::Resolved;
use crate::symtab::{OutputPlace, OutputSymbol, Strings, SymbolTable};

/// Bytes of output from which copying on several threads pays.
const PARALLEL_FROM: u64 = 4 << 20;

/// `SHN_LORESERVE`: section numbers from here on stand in a table of their own (ELF gABI chapter 4).
pub(crate) const FIRST_RESERVED: u32 = 0xff00;

/// A section header of the output.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    pub name: u32,
    pub section_type: u32,
    pub flags: u64,
    pub address: u64,
    pub offset: u64,
    pub size: u64,
    pub link: u32,
    pub info: u32,
    pub align: u64,
    pub entry_size: u64,
}

/// What fills a section of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Nothing,
    Group(ObjectId, u32),
    Contents(OutputId),
    Relocations(OutputId),
    Symbols,
    SymbolSections,
    SymbolNames,
    SectionNames,
}

/// The file as it will be.
struct FileLayout {
    headers: Vec<Header>,
    bodies: Vec<Body>,
    numbers: IdVec<OutputId, u32>,
    /// The sections that have bytes in the file, in the order of their bytes.
    order: Vec<usize>,
    names: Strings,
    header_table: u64,
    size: u64,
}

/// Sizes of structures that depend on the class.
pub(crate) struct Sizes {
    pub header: u64,
    pub section: u64,
    pub symbol: u64,
    pub word: u64,
}

impl Sizes {
    pub(crate) fn of(class: Class) -> Self {
        match class {
            Class::Elf32 => Self {
                header: 52,
                section: 40,
                symbol: 16,
                word: 4,
            },
            Class::Elf64 => Self {
                header: 64,
                section: 64,
                symbol: 24,
                word: 8,
            },
        }
    }

    pub(crate) fn relocation(&self, explicit: bool) -> u64 {
        self.word * if explicit { 3 } else { 2 }
    }
}

/// Everything that is written.
pub(crate) struct Output<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    pub layout: &'l Layout<'a>,
    pub symbols: &'l SymbolTable,
    /// The section groups of the output.
    pub groups: &'l Groups,
    pub arch: &'static Arch,
    /// `e_flags`.
    pub flags: u32,
    /// `EI_OSABI`.
    pub os_abi: u8,
    /// Bytes of the script's statements: [`crate::script`]'s answer for each.
    pub statement_bytes: &'l [Vec<u8>],
    /// The build-id's note.
    pub build_id: Option<BuildIdNote>,
}

impl Output<'_, '_> {
    /// Makes the bytes of the whole file. The build-id, if any, is still zero; its place is given.
    pub(crate) fn make(&self) -> Result<(Buffer, Option<BuildIdPlace>)> {
        let file = self.lay_out_file();
        self.check_limits(&file, &Sizes::of(self.arch.class))?;
        let mut bytes = Buffer::zeroed(file.size as usize);
        self.write_headers(&file, &mut bytes);
        self.fill(&file, &mut bytes)?;
        let build_id = self.build_id.and_then(|BuildIdNote { section, size }| {
            let output = self.layout.placements.output(section)?;
            let header = &file.headers[file.numbers[output] as usize];
            let note = header.offset + self.layout.placements.offset(section);
            let start = note as usize + NOTE_HEADER;
            Some(BuildIdPlace { start, size })
        });
        Ok((bytes, build_id))
    }

    /// Numbers sections as GNU ld does: groups first, each section followed by its relocations,
    /// then the tables (bfd/elf.c, `assign_section_numbers`). Contents come first in the file.
    fn lay_out_file(&self) -> FileLayout {
        let sizes = Sizes::of(self.arch.class);
        let mut file = FileLayout {
            headers: vec![Header::default()],
            bodies: vec![Body::Nothing],
            numbers: IdVec::filled(0, self.layout.outputs.sections.len()),
            order: Vec::new(),
            names: Strings::new(),
            header_table: 0,
            size: 0,
        };
        self.add_groups(&mut file);
        self.add_sections(&mut file, &sizes);
        self.add_tables(&mut file, &sizes);
        self.link_sections(&mut file);
        place_in_file(&mut file, &sizes);
        file
    }

    fn add_groups(&self, file: &mut FileLayout) {
        for &(object, number) in &self.groups.kept {
            let input = &self.resolved.objects[object];
            let group = &input.groups[number as usize];
            let members = groups::members(self.resolved, self.layout, object, number);
            let with_relocations = members
                .iter()
                .filter(|&&member| self.relocation_count(member) > 0)
                .count();
            file.headers.push(Header {
                name: file.names.add(input.sections[group.section as usize].name),
                section_type: elf::SHT_GROUP.0,
                size: 4 * (1 + members.len() + with_relocations) as u64,
                info: self
                    .symbols
                    .number_of(self.resolved, object, group.signature_symbol),
                align: 4,
                entry_size: 4,
                ..Header::default()
            });
            file.bodies.push(Body::Group(object, number));
        }
    }

    fn add_sections(&self, file: &mut FileLayout, sizes: &Sizes) {
        for &id in &self.layout.outputs.order {
            let section = &self.layout.outputs.sections[id];
            let number = file.headers.len() as u32;
            let count = self.relocation_count(id);
            let explicit = self.has_explicit_addends(id);
            let prefix: &[u8] = if explicit { b".rela" } else { b".rel" };
            let table_name = if count > 0 {
                file.names.add_with_prefix(prefix, section.name)
            } else {
                0
            };
            file.numbers[id] = number;
            file.headers.push(Header {
                name: file.names.add(section.name),
                section_type: section.file_type(),
                flags: section.file_flags(),
                size: section.size,
                align: section.align,
                entry_size: match SectionType(section.file_type()) {
                    // Arrays of addresses (bfd/elf.c, elf_fake_sections).
                    elf::SHT_INIT_ARRAY | elf::SHT_FINI_ARRAY | elf::SHT_PREINIT_ARRAY => {
                        sizes.word
                    }
                    _ => section.entry_size,
                },
                ..Header::default()
            });
            file.bodies.push(Body::Contents(id));
            if count > 0 {
                let group = section.group.map_or(0, |_| elf::SHF_GROUP.0);
                file.headers.push(Header {
                    name: table_name,
                    section_type: if explicit {
                        elf::SHT_RELA.0
                    } else {
                        elf::SHT_REL.0
                    },
                    flags: elf::SHF_INFO_LINK.0 | group,
                    size: count as u64 * sizes.relocation(explicit),
                    info: number,
                    align: sizes.word,
                    entry_size: sizes.relocation(explicit),
                    ..Header::default()
                });
                file.bodies.push(Body::Relocations(id));
            }
        }
    }

    fn has_explicit_addends(&self, output: OutputId) -> bool {
        let sections = self.layout.outputs.sections[output].sections();
        let tables = sections.map(|section| &self.resolved.section(section).relocations);
        tables
            .filter(|table| !table.is_empty())
            .map(|table| table.is_rela())
            .next()
            .unwrap_or(matches!(self.arch.addends, klink_arch::Addends::Rela))
    }

    fn relocation_count(&self, output: OutputId) -> usize {
        let stubs = self.layout.module.as_ref().map_or(0, |module| {
            module
                .stub_relocations(&self.layout.placements, output)
                .count()
        });
        let all_stay = self.layout.module.is_none() && !self.layout.has_discards;
        let of_section = |section| {
            let relocations = &self.resolved.section(section).relocations;
            if all_stay {
                return relocations.len();
            }
            let stays = |(index, relocation)| {
                let change = rewrite(self.resolved, self.layout, section, index, &relocation);
                matches!(change, Rewrite::Keep { .. } | Rewrite::Void)
            };
            relocations
                .iter()
                .enumerate()
                .filter(|&one| stays(one))
                .count()
        };
        stubs
            + self.layout.outputs.sections[output]
                .sections()
                .map(of_section)
                .sum::<usize>()
    }

    fn add_tables(&self, file: &mut FileLayout, sizes: &Sizes) {
        let count = self.symbols.symbols.len() as u64;
        file.headers.push(Header {
            name: file.names.add(b".symtab"),
            section_type: elf::SHT_SYMTAB.0,
            size: count * sizes.symbol,
            info: self.symbols.first_global,
            align: sizes.word,
            entry_size: sizes.symbol,
            ..Header::default()
        });
        file.bodies.push(Body::Symbols);
        if file.headers.len() as u32 >= FIRST_RESERVED {
            file.headers.push(Header {
                name: file.names.add(b".symtab_shndx"),
                section_type: elf::SHT_SYMTAB_SHNDX.0,
                size: count * 4,
                align: 4,
                entry_size: 4,
                ..Header::default()
            });
            file.bodies.push(Body::SymbolSections);
        }
        file.headers.push(Header {
            name: file.names.add(b".strtab"),
            section_type: elf::SHT_STRTAB.0,
            size: self.symbols.strings.bytes().len() as u64,
            align: 1,
            ..Header::default()
        });
        file.bodies.push(Body::SymbolNames);
        let name = file.names.add(b".shstrtab");
        file.headers.push(Header {
            name,
            section_type: elf::SHT_STRTAB.0,
            size: file.names.bytes().len() as u64,
            align: 1,
            ..Header::default()
        });
        file.bodies.push(Body::SectionNames);
    }

    /// Fills in `sh_link` and the `sh_info`s that are section numbers.
    fn link_sections(&self, file: &mut FileLayout) {
        let number_of = |body| {
            file.bodies
                .iter()
                .position(|&other| other == body)
                .unwrap_or(0) as u32
        };
        let (symbols, strings) = (number_of(Body::Symbols), number_of(Body::SymbolNames));
        for (header, body) in file.headers.iter_mut().zip(&file.bodies) {
            match *body {
                Body::Group(..) | Body::Relocations(_) | Body::SymbolSections => {
                    header.link = symbols
                }
                Body::Symbols => header.link = strings,
                Body::Contents(id) => {
                    let section = &self.layout.outputs.sections[id];
                    let linked = section
                        .linked_to
                        .and_then(|linked| self.layout.placements.output(linked));
                    if let Some(linked) = linked {
                        header.link = file.numbers[linked];
                    }
                    if let Some(special) = self.arch.special_section(section.name) {
                        header.section_type = special.section_type;
                        header.entry_size = special.entry_size;
                        let about = special
                            .info_section
                            .and_then(|about| self.layout.outputs.by_name(about.as_bytes()));
                        if let Some(about) = about {
                            header.info = file.numbers[about];
                            header.flags |= elf::SHF_INFO_LINK.0;
                        }
                    }
                }
                Body::Nothing | Body::SymbolNames | Body::SectionNames => {}
            }
        }
    }

    fn write_headers(&self, file: &FileLayout, bytes: &mut [u8]) {
        let mut out = Encoder {
            class: self.arch.class,
            endian: self.arch.endian,
            bytes,
            at: 0,
        };
        let sizes = Sizes::of(self.arch.class);
        out.ident(self.arch, self.os_abi);
        out.half(elf::ET_REL.0);
        out.half(self.arch.machine);
        out.word32(u32::from(elf::EV_CURRENT.0));
        out.word(0);
        out.word(0);
        out.word(file.header_table);
        out.word32(self.flags);
        out.half(sizes.header as u16);
        out.half(0);
        out.half(0);
        out.half(sizes.section as u16);
        let count = file.headers.len() as u32;
        let names = count - 1;
        // Numbers that do not fit stand in header 0 (ELF gABI chapter 4, e_shnum and e_shstrndx).
        out.half(if count < FIRST_RESERVED {
            count as u16
        } else {
            0
        });
        out.half(if names < FIRST_RESERVED {
            names as u16
        } else {
            elf::SHN_XINDEX.0
        });
        out.at = file.header_table as usize;
        for (number, header) in file.headers.iter().enumerate() {
            let mut header = header.clone();
            if number == 0 && count >= FIRST_RESERVED {
                header.size = u64::from(count);
                header.link = names;
            }
            out.section_header(&header);
        }
    }

    fn fill(&self, file: &FileLayout, bytes: &mut [u8]) -> Result<()> {
        let mut parts: Vec<(Body, &mut [u8])> = Vec::with_capacity(file.headers.len());
        let mut rest = bytes;
        let mut at = 0;
        for &number in &file.order {
            let header = &file.headers[number];
            let skip = (header.offset - at) as usize;
            let (part, behind) = rest[skip..].split_at_mut(header.size as usize);
            parts.push((file.bodies[number], part));
            rest = behind;
            at = header.offset + header.size;
        }
        if file.size >= PARALLEL_FROM {
            parts
                .into_par_iter()
                .try_for_each(|(body, part)| self.fill_part(file, body, part))
        } else {
            parts
                .into_iter()
                .try_for_each(|(body, part)| self.fill_part(file, body, part))
        }
    }

    fn fill_part(&self, file: &FileLayout, body: Body, part: &mut [u8]) -> Result<()> {
        match body {
            Body::Nothing => {}
            Body::Contents(id) => self.fill_contents(id, part)?,
            Body::Relocations(id) => self.fill_relocations(id, part),
            Body::Group(object, number) => self.fill_group(file, object, number, part),
            Body::Symbols => self.fill_symbols(file, part),
            Body::SymbolSections => {
                let mut out = self.encoder(part);
                for symbol in &self.symbols.symbols {
                    let number = number_of_place(file, symbol.place).unwrap_or(0);
                    let extended = number >= FIRST_RESERVED;
                    out.word32(if extended { number } else { 0 });
                }
            }
            Body::SymbolNames => part.copy_from_slice(self.symbols.strings.bytes()),
            Body::SectionNames => part.copy_from_slice(file.names.bytes()),
        }
        Ok(())
    }

    fn encoder<'b>(&self, bytes: &'b mut [u8]) -> Encoder<'b> {
        Encoder {
            class: self.arch.class,
            endian: self.arch.endian,
            bytes,
            at: 0,
        }
    }

    fn fill_contents(&self, id: OutputId, part: &mut [u8]) -> Result<()> {
        let section = &self.layout.outputs.sections[id];
        let code = section.traits.contains(Traits::CODE);
        let mut end = 0;
        let fill_gap = |part: &mut [u8], from: usize, to: usize| {
            if code && from < to {
                self.arch.code_fill.fill(&mut part[from..to]);
            }
        };
        for piece in &section.pieces {
            let (start, data): (u64, &[u8]) = match *piece {
                Piece::Section(input) => (
                    self.layout.placements.offset(input),
                    self.resolved.section(input).data,
                ),
                // Relocatable output has none.
                Piece::Island(_) => continue,
                Piece::Statement(number) => {
                    let place = self.layout.script.places[number as usize];
                    (
                        place.map_or(0, |(_, offset)| offset),
                        &self.statement_bytes[number as usize],
                    )
                }
            };
            let start = start as usize;
            let target = &mut part[start..start + data.len()];
            target.copy_from_slice(data);
            let mut length = data.len();
            if let Piece::Section(input) = *piece {
                change_bytes(self.resolved, self.layout, self.arch, input, target)?;
                length = self.resolved.section(input).size as usize;
            }
            fill_gap(part, end, start);
            end = start + length;
        }
        if let Some(module) = &self.layout.module {
            module
                .write_stubs(self.arch, id, part)
                .map_err(|error| LinkError::BadSection {
                    file: "output".to_owned(),
                    section: String::from_utf8_lossy(section.name).into_owned(),
                    what: format!("a stub does not fit: {error}"),
                })?;
        }
        Ok(())
    }

    fn fill_relocations(&self, id: OutputId, part: &mut [u8]) {
        let explicit = self.has_explicit_addends(id);
        let mut out = self.encoder(part);
        let mut put = |offset: u64, target: Target, number: u32, addend: i64| {
            out.word(offset);
            out.relocation_info(self.symbols.number(target), number);
            if explicit {
                out.word(addend.cast_unsigned());
            }
        };
        let section = &self.layout.outputs.sections[id];
        for input in section.sections() {
            let base = self.layout.placements.offset(input);
            for (index, relocation) in self.resolved.section(input).relocations.iter().enumerate() {
                let offset = base.wrapping_add(relocation.offset);
                match rewrite(self.resolved, self.layout, input, index, &relocation) {
                    Rewrite::Keep {
                        target,
                        number,
                        addend,
                        ..
                    } => put(offset, target, number, addend),
                    Rewrite::Void => put(offset, Target::None, 0, 0),
                    Rewrite::Apply { .. } | Rewrite::Drop => {}
                }
            }
        }
        if let Some(module) = &self.layout.module {
            for stub in module.stub_relocations(&self.layout.placements, id) {
                put(stub.offset, stub.target, stub.number, stub.addend);
            }
        }
        sort_by_offset(
            part,
            Sizes::of(self.arch.class).relocation(explicit) as usize,
            self.arch.endian,
        );
    }

    fn fill_group(&self, file: &FileLayout, object: ObjectId, number: u32, part: &mut [u8]) {
        let mut out = self.encoder(part);
        out.word32(self.resolved.objects[object].groups[number as usize].flags);
        for member in groups::members(self.resolved, self.layout, object, number) {
            out.word32(file.numbers[member]);
            if self.relocation_count(member) > 0 {
                out.word32(file.numbers[member] + 1);
            }
        }
    }

    fn fill_symbols(&self, file: &FileLayout, part: &mut [u8]) {
        let mut out = self.encoder(part);
        for symbol in &self.symbols.symbols {
            let place = match (symbol.place, number_of_place(file, symbol.place)) {
                (_, Some(number)) if number >= FIRST_RESERVED => elf::SHN_XINDEX.0,
                (_, Some(number)) => number as u16,
                (OutputPlace::Absolute, None) => elf::SHN_ABS.0,
                (OutputPlace::Common, None) => elf::SHN_COMMON.0,
                (_, None) => elf::SHN_UNDEF.0,
            };
            out.symbol(symbol, place);
        }
    }
}

/// Sorts relocations of `size` bytes by offset, as GNU ld does (bfd/elflink.c,
/// `elf_link_adjust_relocs`); those at the same offset keep their order.
pub(crate) fn sort_by_offset(table: &mut [u8], size: usize, endian: Endian) {
    // An offset is a word of the class: a third of the entry if addends are explicit, else half.
    let word = if size.is_multiple_of(3) {
        size / 3
    } else {
        size / 2
    };
    let offset = |entry: &[u8]| {
        let mut bytes = [0; 8];
        match endian {
            Endian::Little => {
                bytes[..word].copy_from_slice(&entry[..word]);
                u64::from_le_bytes(bytes)
            }
            Endian::Big => {
                bytes[8 - word..].copy_from_slice(&entry[..word]);
                u64::from_be_bytes(bytes)
            }
        }
    };
    if table.chunks_exact(size).map(offset).is_sorted() {
        return;
    }
    let copy = table.to_vec();
    let mut entries: Vec<&[u8]> = copy.chunks_exact(size).collect();
    entries.sort_by_key(|entry| offset(entry));
    for (place, entry) in table.chunks_exact_mut(size).zip(entries) {
        place.copy_from_slice(entry);
    }
}

/// The number of the section that a symbol is in.
fn number_of_place(file: &FileLayout, place: OutputPlace) -> Option<u32> {
    match place {
        OutputPlace::Section(id) => Some(file.numbers[id]),
        OutputPlace::Group(number) => Some(number),
        OutputPlace::Undefined | OutputPlace::Absolute | OutputPlace::Common => None,
    }
}

/// Contents first, then symbols, names, relocations, section names, and the headers.
fn place_in_file(file: &mut FileLayout, sizes: &Sizes) {
    let mut at = sizes.header;
    let passes: [fn(&Body) -> bool; 4] = [
        |body| matches!(body, Body::Group(..) | Body::Contents(_)),
        |body| {
            matches!(
                body,
                Body::Symbols | Body::SymbolSections | Body::SymbolNames
            )
        },
        |body| matches!(body, Body::Relocations(_)),
        |body| matches!(body, Body::SectionNames),
    ];
    for in_pass in passes {
        for (number, (header, body)) in file.headers.iter_mut().zip(&file.bodies).enumerate() {
            if !in_pass(body) {
                continue;
            }
            let align = header.align.max(1);
            // What does not fit into 64 bits is refused behind this, as all absurd sizes are.
            header.offset = align_up(at, align).unwrap_or(u64::MAX);
            if header.section_type != elf::SHT_NOBITS.0 {
                at = header.offset.saturating_add(header.size);
                file.order.push(number);
            }
        }
    }
    file.header_table = align_up(at, sizes.word).unwrap_or(u64::MAX);
    let headers = file.headers.len() as u64 * sizes.section;
    file.size = file.header_table.saturating_add(headers);
}

/// Writes numbers in the output's class and byte order, one after another.
pub(crate) struct Encoder<'b> {
    class: Class,
    endian: Endian,
    bytes: &'b mut [u8],
    pub at: usize,
}

impl<'b> Encoder<'b> {
    /// Writes from the start of `bytes` on.
    pub(crate) fn new(arch: &Arch, bytes: &'b mut [u8]) -> Self {
        Self {
            class: arch.class,
            endian: arch.endian,
            bytes,
            at: 0,
        }
    }

    pub(crate) fn class(&self) -> Class {
        self.class
    }

    pub(crate) fn endian(&self) -> Endian {
        self.endian
    }

    /// `e_ident` (ELF gABI chapter 4).
    pub(crate) fn ident(&mut self, arch: &Arch, os_abi: u8) {
        let class = match arch.class {
            Class::Elf32 => elf::ELFCLASS32.0,
            Class::Elf64 => elf::ELFCLASS64.0,
        };
        let data = match arch.endian {
            Endian::Little => elf::ELFDATA2LSB.0,
            Endian::Big => elf::ELFDATA2MSB.0,
        };
        let version = elf::EV_CURRENT.0;
        self.raw(&[
            0x7f,
            b'E',
            b'L',
            b'F',
            class,
            data,
            version,
            os_abi,
            arch.abi_version,
        ]);
        self.raw(&[0; 7]);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    pub(crate) fn half(&mut self, value: u16) {
        match self.endian {
            Endian::Little => self.raw(&value.to_le_bytes()),
            Endian::Big => self.raw(&value.to_be_bytes()),
        }
    }

    pub(crate) fn word32(&mut self, value: u32) {
        match self.endian {
            Endian::Little => self.raw(&value.to_le_bytes()),
            Endian::Big => self.raw(&value.to_be_bytes()),
        }
    }

    /// A word of the class's width.
    pub(crate) fn word(&mut self, value: u64) {
        match (self.class, self.endian) {
            (Class::Elf32, _) => self.word32(value as u32),
            (Class::Elf64, Endian::Little) => self.raw(&value.to_le_bytes()),
            (Class::Elf64, Endian::Big) => self.raw(&value.to_be_bytes()),
        }
    }

    /// `r_info` (ELF gABI chapter 4): 24 and 8 bits, or 32 and 32.
    pub(crate) fn relocation_info(&mut self, symbol: u32, number: u32) {
        match self.class {
            Class::Elf32 => self.word32(symbol << 8 | number & 0xff),
            Class::Elf64 => self.word(u64::from(symbol) << 32 | u64::from(number)),
        }
    }

    /// A symbol in the section with number `place`.
    pub(crate) fn symbol(&mut self, symbol: &OutputSymbol, place: u16) {
        self.word32(symbol.name);
        match self.class {
            Class::Elf32 => {
                self.word(symbol.value);
                self.word(symbol.size);
                self.raw(&[symbol.info, symbol.other]);
                self.half(place);
            }
            Class::Elf64 => {
                self.raw(&[symbol.info, symbol.other]);
                self.half(place);
                self.word(symbol.value);
                self.word(symbol.size);
            }
        }
    }

    /// A program header (ELF gABI chapter 5).
    pub(crate) fn segment(&mut self, segment: &Segment) {
        self.word32(segment.segment_type);
        if self.class == Class::Elf64 {
            self.word32(segment.flags);
        }
        for word in [
            segment.offset,
            segment.address,
            segment.load_address,
            segment.file_size,
            segment.memory_size,
        ] {
            self.word(word);
        }
        if self.class == Class::Elf32 {
            self.word32(segment.flags);
        }
        self.word(segment.align);
    }

    pub(crate) fn section_header(&mut self, header: &Header) {
        self.word32(header.name);
        self.word32(header.section_type);
        self.word(header.flags);
        self.word(header.address);
        self.word(header.offset);
        self.word(header.size);
        self.word32(header.link);
        self.word32(header.info);
        self.word(header.align);
        self.word(header.entry_size);
    }
}
