//! Writing an image: headers, contents with their relocations applied, and the tables behind them.

use std::sync::Mutex;

use klink_arch::{Arch, Class, Endian};
use object::elf;
use rayon::prelude::*;

use super::contents::MadeContents;
use super::layout::ImageLayout;
use super::made_sections::{self, MadePart};
use super::plan::Plan;
use super::relocate::{Problem, Relocator, has_explicit_addends};
use super::stubs::StubTarget;
use super::values::Values;
use crate::buffer::Buffer;
use crate::error::{LinkError, Result};
use crate::id::{Id, IdVec, OutputId, SectionId};
use crate::layout::align_up;
use crate::options::{Options, OutputKind};
use crate::output::{OutputSection, Piece, Traits};
use crate::report::Report;
use crate::resolve::Resolved;
use crate::symtab::{OutputPlace, Strings, SymbolTable};
use crate::write::{Encoder, FIRST_RESERVED, Header, Sizes};

/// Everything that is written.
pub(super) struct Image<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    pub layout: &'l ImageLayout<'a>,
    pub values: &'l Values<'a, 'l>,
    pub symbols: &'l SymbolTable,
    pub relocator: &'l Relocator<'a, 'l>,
    /// What was decided about the sections that the linker made.
    pub plan: &'l Plan,
    /// What these sections hold.
    pub contents: MadeContents,
    pub options: &'l Options,
    pub arch: &'static Arch,
    pub entry: u64,
    /// `e_flags`.
    pub flags: u32,
}

/// What fills a section of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Nothing,
    Contents(OutputId),
    Relocations(OutputId),
    Symbols,
    SymbolSections,
    SymbolNames,
    SectionNames,
}

/// The file as it will be.
pub(super) struct ImageFile {
    headers: Vec<Header>,
    bodies: Vec<Body>,
    numbers: IdVec<OutputId, u32>,
    names: Strings,
    header_table: u64,
    pub size: u64,
}

impl ImageFile {
    /// The number of an output section, as a dynamic symbol has it.
    pub(super) fn section_number(&self, output: OutputId) -> u16 {
        self.numbers[output] as u16
    }

    /// Where an output section's bytes begin in the file.
    pub(super) fn offset_of(&self, output: OutputId) -> u64 {
        self.headers[self.numbers[output] as usize].offset
    }
}

/// A part of the file to fill, apart from all others.
pub(super) enum Job<'j> {
    /// Pieces of an output section, from this offset in it.
    Pieces(OutputId, &'j [Piece], u64),
    /// Relocations of these input sections that stay.
    Relocations(Vec<SectionId>),
    Symbols,
    SymbolSections,
    Bytes(&'j [u8]),
}

/// Bytes of contents that one thread fills at a time.
pub(super) const CHUNK: u64 = 256 << 10;

impl Image<'_, '_> {
    /// Lays the file out.
    pub(super) fn lay_out_file(&self) -> ImageFile {
        let sizes = Sizes::of(self.arch.class);
        let mut file = ImageFile {
            headers: vec![Header::default()],
            bodies: vec![Body::Nothing],
            numbers: IdVec::filled(0, self.layout.outputs.sections.len()),
            names: Strings::new(),
            header_table: 0,
            size: 0,
        };
        self.add_sections(&mut file, &sizes);
        self.add_tables(&mut file, &sizes);
        self.place(&mut file, &sizes);
        file
    }

    fn add_sections(&self, file: &mut ImageFile, sizes: &Sizes) {
        for &id in &self.layout.outputs.order {
            let section = &self.layout.outputs.sections[id];
            let number = file.headers.len() as u32;
            let count = self.relocation_count(section);
            let explicit = has_explicit_addends(self.arch);
            let prefix: &[u8] = if explicit { b".rela" } else { b".rel" };
            let table_name = match count {
                0 => 0,
                _ => file.names.add_with_prefix(prefix, section.name),
            };
            file.numbers[id] = number;
            let is_array = [
                elf::SHT_INIT_ARRAY.0,
                elf::SHT_FINI_ARRAY.0,
                elf::SHT_PREINIT_ARRAY.0,
            ]
            .contains(&section.file_type());
            file.headers.push(Header {
                name: file.names.add(section.name),
                section_type: section.file_type(),
                flags: section.file_flags(),
                address: section.address,
                offset: self.layout.segments.offsets[id.index()],
                size: section.size,
                align: section.file_align(),
                entry_size: if is_array {
                    sizes.word
                } else {
                    section.entry_size
                },
                ..Header::default()
            });
            file.bodies.push(Body::Contents(id));
            if count > 0 {
                file.headers.push(Header {
                    name: table_name,
                    section_type: if explicit {
                        elf::SHT_RELA.0
                    } else {
                        elf::SHT_REL.0
                    },
                    flags: elf::SHF_INFO_LINK.0,
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

    /// How many relocations stay: with `--emit-relocs` all.
    fn relocation_count(&self, section: &OutputSection<'_>) -> usize {
        if !self.options.emit_relocations {
            return 0;
        }
        section
            .sections()
            .map(|input| self.resolved.section(input).relocations.len())
            .sum()
    }

    fn add_tables(&self, file: &mut ImageFile, sizes: &Sizes) {
        let count = self.symbols.symbols.len() as u64;
        if self.options.strip != crate::options::Strip::All {
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
        }
        let name = file.names.add(b".shstrtab");
        file.headers.push(Header {
            name,
            section_type: elf::SHT_STRTAB.0,
            size: file.names.bytes().len() as u64,
            align: 1,
            ..Header::default()
        });
        file.bodies.push(Body::SectionNames);
        let number_of = |body| {
            file.bodies
                .iter()
                .position(|&other| other == body)
                .unwrap_or(0) as u32
        };
        let (symbols, strings) = (number_of(Body::Symbols), number_of(Body::SymbolNames));
        for (header, body) in file.headers.iter_mut().zip(&file.bodies) {
            match body {
                Body::Relocations(_) | Body::SymbolSections => header.link = symbols,
                Body::Symbols => header.link = strings,
                _ => {}
            }
        }
        self.link_sections(file);
    }

    /// Fills in the `sh_link`s and `sh_info`s that are section numbers.
    fn link_sections(&self, file: &mut ImageFile) {
        for &id in &self.layout.outputs.order {
            let section = &self.layout.outputs.sections[id];
            let linked = section
                .linked_to
                .and_then(|linked| self.layout.placements.output(linked));
            let header = &mut file.headers[file.numbers[id] as usize];
            if let Some(linked) = linked {
                header.link = file.numbers[linked];
            }
            self.link_dynamic(id, file);
            let header = &mut file.headers[file.numbers[id] as usize];
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
    }

    /// Fills in what the headers of tables for a loader say of each other (bfd/elf.c,
    /// `assign_section_numbers`).
    fn link_dynamic(&self, id: OutputId, file: &mut ImageFile) {
        let made = &self.plan.made;
        let number_of = |part| {
            let section = made.part(part)?;
            let output = self.layout.placements.output(section)?;
            Some(file.numbers[output])
        };
        let (symbols, strings) = (MadePart::DynamicSymbols, MadePart::DynamicStrings);
        let (symbols, strings) = (number_of(symbols), number_of(strings));
        let has = |part| {
            made.part(part).is_some_and(|section| {
                self.layout.placements.output(section) == Some(id)
                    && self.resolved.section(section).size > 0
            })
        };
        let (has_slots, has_reserved) = (has(MadePart::Got), has(MadePart::GotPlt));
        let header = &mut file.headers[file.numbers[id] as usize];
        // GNU ld forgets it of slots in static links (bfd/elfxx-x86.c,
        // `_bfd_x86_elf_finish_dynamic_sections`).
        if has_reserved || has_slots && self.plan.dynamic.is_some() {
            header.entry_size = Sizes::of(self.arch.class).word;
        }
        let Some(dynamic) = &self.plan.dynamic else {
            return;
        };
        if let Some(size) = made_sections::entry_size(header.section_type, self.arch) {
            header.entry_size = size;
        }
        match elf::SectionType(header.section_type) {
            elf::SHT_DYNSYM => {
                header.link = strings.unwrap_or(0);
                header.info = dynamic.first_global();
            }
            elf::SHT_GNU_VERDEF => {
                header.link = strings.unwrap_or(0);
                header.info = dynamic.definition_count;
            }
            elf::SHT_DYNAMIC => header.link = strings.unwrap_or(0),
            elf::SHT_HASH
            | elf::SHT_GNU_HASH
            | elf::SHT_GNU_VERSYM
            | elf::SHT_RELA
            | elf::SHT_REL => header.link = symbols.unwrap_or(0),
            _ => {}
        }
    }

    /// Sections outside of memory, then symbols, names, relocations, section names, headers.
    fn place(&self, file: &mut ImageFile, sizes: &Sizes) {
        let mut at = self.layout.segments.end.max(sizes.header);
        let outside = |body: &Body| match body {
            Body::Contents(id) => !self.layout.outputs.sections[*id]
                .traits
                .contains(Traits::ALLOC),
            _ => false,
        };
        let passes: [&dyn Fn(&Body) -> bool; 4] = [
            &outside,
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
            for (header, body) in file.headers.iter_mut().zip(&file.bodies) {
                if !in_pass(body) {
                    continue;
                }
                header.offset = align_up(at, header.align.max(1)).unwrap_or(u64::MAX);
                if header.section_type != elf::SHT_NOBITS.0 {
                    at = header.offset.saturating_add(header.size);
                }
            }
        }
        file.header_table = align_up(at, sizes.word).unwrap_or(u64::MAX);
        file.size = file
            .header_table
            .saturating_add(file.headers.len() as u64 * sizes.section);
    }

    /// Makes the bytes of the whole file.
    ///
    /// # Errors
    /// Everything that is wrong with relocations, told at once; with `--noinhibit-exec` these are
    /// notes of `report` instead.
    pub(super) fn fill(&self, file: &ImageFile, report: &mut Report) -> Result<Buffer> {
        let mut bytes = Buffer::zeroed(file.size as usize);
        self.write_headers(file, &mut bytes);
        let problems = Mutex::new(Vec::new());
        let jobs = self.jobs(file, &mut bytes);
        jobs.into_par_iter().for_each(|(job, part)| {
            let mut own = Vec::new();
            self.run(file, job, part, &mut own);
            if !own.is_empty()
                && let Ok(mut problems) = problems.lock()
            {
                problems.append(&mut own);
            }
        });
        let problems = problems.into_inner().unwrap_or_default();
        match super::report::problems(self.relocator, self.options, problems) {
            Err(wrong) if self.options.no_inhibit_exec => {
                let lines = wrong.to_string();
                report.notes.extend(lines.lines().map(str::to_owned));
            }
            judged => report.warnings.extend(judged?),
        }
        self.sort_sections(file, &mut bytes);
        self.fill_unwind_header(file, &mut bytes)?;
        Ok(bytes)
    }

    /// Puts the table to search unwind tables by into its section, now that all of them are there.
    fn fill_unwind_header(&self, file: &ImageFile, bytes: &mut [u8]) -> Result<()> {
        let layout = self.layout;
        let Some(section) = self.contents.unwind_header else {
            return Ok(());
        };
        let Some(output) = layout.placements.output(section) else {
            return Ok(());
        };
        let offset = layout.placements.offset(section);
        let address = layout.outputs.sections[output].address.wrapping_add(offset);
        let entries = self.contents.take_search_entries();
        let table = layout
            .unwind
            .header(self.arch, &layout.outputs, address, entries)?;
        let start = (file.offset_of(output) + offset) as usize;
        if let Some(place) = bytes.get_mut(start..start + table.len()) {
            place.copy_from_slice(&table);
        }
        Ok(())
    }

    /// Sorts the sections whose entries the architecture wants sorted by address.
    fn sort_sections(&self, file: &ImageFile, bytes: &mut [u8]) {
        for special in self.arch.special_sections {
            let Some((entry, id)) = special
                .sorted_entry
                .zip(self.layout.outputs.by_name(special.name.as_bytes()))
            else {
                continue;
            };
            let start = file.offset_of(id) as usize;
            let end = start + self.layout.outputs.sections[id].size as usize;
            let Some(table) = bytes.get_mut(start..end) else {
                continue;
            };
            let key = |entry: &[u8]| match (self.arch.endian, entry) {
                (Endian::Big, &[a, b, c, d, ..]) => u32::from_be_bytes([a, b, c, d]),
                (Endian::Little, &[a, b, c, d, ..]) => u32::from_le_bytes([a, b, c, d]),
                _ => 0,
            };
            let copy = table.to_vec();
            let mut entries: Vec<&[u8]> = copy.chunks_exact(entry).collect();
            entries.sort_by_key(|entry| key(entry));
            for (place, entry) in table.chunks_exact_mut(entry).zip(entries) {
                place.copy_from_slice(entry);
            }
        }
    }

    /// Cuts the file into parts that are filled apart from each other.
    fn jobs<'j>(
        &'j self,
        file: &'j ImageFile,
        bytes: &'j mut [u8],
    ) -> Vec<(Job<'j>, &'j mut [u8])> {
        let mut ranges: Vec<(u64, u64, Job<'j>)> = Vec::new();
        for (header, body) in file.headers.iter().zip(&file.bodies) {
            if header.section_type == elf::SHT_NOBITS.0 || header.size == 0 {
                continue;
            }
            let whole = |job| (header.offset, header.size, job);
            match *body {
                Body::Nothing => {}
                Body::Contents(id) => self.content_jobs(id, header.offset, &mut ranges),
                Body::Relocations(id) => self.relocation_jobs(id, header.offset, &mut ranges),
                Body::Symbols => ranges.push(whole(Job::Symbols)),
                Body::SymbolSections => ranges.push(whole(Job::SymbolSections)),
                Body::SymbolNames => {
                    ranges.push(whole(Job::Bytes(self.symbols.strings.bytes())));
                }
                Body::SectionNames => ranges.push(whole(Job::Bytes(file.names.bytes()))),
            }
        }
        ranges.sort_by_key(|&(offset, ..)| offset);
        let mut jobs = Vec::with_capacity(ranges.len());
        let (mut rest, mut at) = (bytes, 0);
        for (offset, size, job) in ranges {
            let (part, behind) = rest[(offset - at) as usize..].split_at_mut(size as usize);
            jobs.push((job, part));
            rest = behind;
            at = offset + size;
        }
        // The largest first, so that no thread is left with one at the end.
        jobs.sort_by_key(|(_, part)| std::cmp::Reverse(part.len()));
        jobs
    }

    fn content_jobs<'j>(
        &'j self,
        id: OutputId,
        file_offset: u64,
        ranges: &mut Vec<(u64, u64, Job<'j>)>,
    ) {
        let section = &self.layout.outputs.sections[id];
        let mut begin = 0;
        let mut start = 0;
        let pieces = &section.pieces;
        for (at, piece) in pieces.iter().enumerate() {
            let offset = self.offset_of(piece).max(start);
            if offset - start >= CHUNK && at > begin {
                ranges.push((
                    file_offset + start,
                    offset - start,
                    Job::Pieces(id, &pieces[begin..at], start),
                ));
                (begin, start) = (at, offset);
            }
        }
        if section.size > start {
            ranges.push((
                file_offset + start,
                section.size - start,
                Job::Pieces(id, &pieces[begin..], start),
            ));
        }
    }

    /// Offset of a piece in its output section.
    fn offset_of(&self, piece: &Piece) -> u64 {
        match *piece {
            Piece::Section(input) => self.layout.placements.offset(input),
            Piece::Statement(number) => {
                self.layout.data[number as usize].map_or(0, |place| place.offset)
            }
            Piece::Island(number) => self.layout.islands.islands[number as usize].offset,
        }
    }

    fn run(&self, file: &ImageFile, job: Job<'_>, part: &mut [u8], problems: &mut Vec<Problem>) {
        match job {
            Job::Pieces(id, pieces, start) => self.fill_pieces(id, pieces, start, part, problems),
            Job::Relocations(inputs) => self.emit_relocations(inputs, part),
            Job::Symbols => self.fill_symbols(file, part),
            Job::SymbolSections => {
                let mut out = Encoder::new(self.arch, part);
                for symbol in &self.symbols.symbols {
                    let number = number_of_place(file, symbol.place).unwrap_or(0);
                    out.word32(if number >= FIRST_RESERVED { number } else { 0 });
                }
            }
            Job::Bytes(bytes) => part.copy_from_slice(bytes),
        }
    }

    fn fill_pieces(
        &self,
        id: OutputId,
        pieces: &[Piece],
        start: u64,
        part: &mut [u8],
        problems: &mut Vec<Problem>,
    ) {
        let section = &self.layout.outputs.sections[id];
        let code = section.traits.contains(Traits::CODE);
        let mut end = 0;
        for piece in pieces {
            let Some(at) = self.offset_of(piece).checked_sub(start) else {
                continue;
            };
            let at = at as usize;
            let length = match *piece {
                Piece::Section(input) => {
                    if self.layout.merges.is_gone(input) {
                        continue;
                    }
                    self.fill_input(input, &mut part[at..], problems)
                }
                Piece::Statement(number) => self.fill_statement(number, &mut part[at..]),
                Piece::Island(number) => self.fill_island(number, &mut part[at..], problems),
            };
            if code && end < at {
                self.arch.code_fill.fill(&mut part[end..at]);
            }
            end = end.max(at + length);
        }
        if code && end < part.len() {
            self.arch.code_fill.fill(&mut part[end..]);
        }
        self.fill_gaps(id, start, part);
    }

    fn fill_gaps(&self, id: OutputId, start: u64, part: &mut [u8]) {
        for gap in self.layout.gaps.iter().filter(|gap| gap.output == id) {
            let fill = self.layout.fill(gap.fill);
            let end = start + part.len() as u64;
            for offset in gap.start.max(start)..gap.end.min(end) {
                let at = (offset - gap.start) as usize % fill.len().max(1);
                part[(offset - start) as usize] = fill.get(at).copied().unwrap_or(0);
            }
        }
    }

    fn fill_input(&self, input: SectionId, part: &mut [u8], problems: &mut Vec<Problem>) -> usize {
        let section = self.resolved.section(input);
        if let Some(size) = self.layout.merges.size(input) {
            let size = size as usize;
            self.layout.merges.write(input, &mut part[..size]);
            return size;
        }
        if let Some(bytes) = self.contents.get(input) {
            part[..bytes.len()].copy_from_slice(bytes);
            return bytes.len();
        }
        let placements = &self.layout.placements;
        let unwind = &self.layout.unwind;
        if let Some(edited) = unwind.bytes(input, section.data, placements) {
            let target = &mut part[..edited.len()];
            target.copy_from_slice(&edited);
            self.relocator.apply(input, target, problems);
            // Not where a symbol at its beginning is: that may be in a record that stands for it.
            let start = placements.output(input).map_or(0, |output| {
                let start = self.layout.outputs.sections[output].address;
                start.wrapping_add(placements.offset(input))
            });
            unwind.finish(input, target, start, &self.contents.search_entries);
            return edited.len();
        }
        let target = &mut part[..section.data.len()];
        target.copy_from_slice(section.data);
        self.relocator.apply(input, target, problems);
        section.size as usize
    }

    fn fill_island(&self, number: u32, part: &mut [u8], problems: &mut Vec<Problem>) -> usize {
        let islands = &self.layout.islands;
        let Some(template) = islands.template else {
            return 0;
        };
        let island = &islands.islands[number as usize];
        let start = self.layout.outputs.sections[island.output]
            .address
            .wrapping_add(island.offset);
        for (stub, &target) in island.stubs.iter().enumerate() {
            let at = stub * template.len();
            let target = match target {
                StubTarget::Absolute(address) => address,
                StubTarget::Section(section, offset) => {
                    self.values.in_section(section, offset).address()
                }
            };
            let place = start.wrapping_add(at as u64);
            if let Err(error) = template.resolve(self.arch, place, target, &mut part[at..]) {
                problems.push(Problem::Error(LinkError::BadSection {
                    file: "output".to_owned(),
                    section: "stubs".to_owned(),
                    what: format!("a stub does not fit: {error}"),
                }));
            }
        }
        islands.size(number) as usize
    }

    fn fill_statement(&self, number: u32, part: &mut [u8]) -> usize {
        let Some(place) = self.layout.data[number as usize] else {
            return 0;
        };
        let bytes = crate::script::encode(place.value, place.size, self.arch.endian);
        part[..bytes.len()].copy_from_slice(&bytes);
        bytes.len()
    }

    fn fill_symbols(&self, file: &ImageFile, part: &mut [u8]) {
        let mut out = Encoder::new(self.arch, part);
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

    fn write_headers(&self, file: &ImageFile, bytes: &mut [u8]) {
        let sizes = Sizes::of(self.arch.class);
        let segments = &self.layout.segments.segments;
        let mut out = Encoder::new(self.arch, bytes);
        out.ident(self.arch, self.arch.osabi);
        out.half(match self.options.output_kind {
            OutputKind::Executable | OutputKind::Relocatable => elf::ET_EXEC.0,
            OutputKind::Pie | OutputKind::Shared => elf::ET_DYN.0,
        });
        out.half(self.arch.machine);
        out.word32(u32::from(elf::EV_CURRENT.0));
        out.word(self.entry);
        out.word(if segments.is_empty() { 0 } else { sizes.header });
        out.word(file.header_table);
        out.word32(self.flags);
        out.half(sizes.header as u16);
        let segment_size = match self.arch.class {
            Class::Elf32 => 32,
            Class::Elf64 => 56,
        };
        out.half(if segments.is_empty() { 0 } else { segment_size });
        out.half(segments.len() as u16);
        out.half(sizes.section as u16);
        let count = file.headers.len() as u32;
        let names = count - 1;
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
        for segment in segments {
            out.segment(segment);
        }
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
}

/// The number of the section that a symbol is in.
fn number_of_place(file: &ImageFile, place: OutputPlace) -> Option<u32> {
    match place {
        OutputPlace::Section(id) => Some(file.numbers[id]),
        _ => None,
    }
}
