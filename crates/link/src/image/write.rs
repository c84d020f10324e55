//! Writing an image: headers, contents with their relocations applied, and the tables behind them.

use blake3::Hasher;
use klink_arch::Arch;
use object::elf;

use super::contents::MadeContents;
use super::kernel::KallsymsTable;
use super::layout::ImageLayout;
use super::made_sections::{self, MadePart};
use super::plan::Plan;
use super::relocate::{Problem, Relocator, has_explicit_addends};
use super::values::Values;
use crate::buffer::{Buffer, FileRange};
use crate::error::{LinkError, Result};
use crate::id::{Id, OutputId, SectionId};
use crate::options::{Options, OutputKind, Strip};
use crate::output::{OutputSection, Piece, Traits};
use crate::report::Report;
use crate::resolve::Resolved;
use crate::symtab::SymbolTable;
use crate::write::{
    Body, Encoder, FileHeader, FileLayout, Limits, RelocationTable, Sizes, sort_table,
};

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
    /// The kernel's table of its own symbols.
    pub kallsyms: Option<&'l KallsymsTable>,
    pub options: &'l Options,
    pub arch: &'static Arch,
    pub entry: u64,
    /// `e_flags`.
    pub flags: u32,
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
    ///
    /// # Errors
    /// A file that is larger than any can be, or mostly padding.
    pub(super) fn lay_out_file(&self) -> Result<FileLayout> {
        let sizes = Sizes::of(self.arch.class);
        let outputs = &self.layout.outputs;
        let mut file = FileLayout::new(outputs);
        for &id in &outputs.order {
            let relocations = RelocationTable {
                count: self.relocation_count(&outputs.sections[id]),
                explicit: has_explicit_addends(self.arch),
            };
            file.add_section(id, outputs, &relocations, &sizes);
            file.header_mut(id).offset = self.layout.segments.offsets[id.index()];
        }
        if self.options.strip != Strip::All {
            file.add_symbols(self.symbols, &sizes);
        }
        file.add_section_names();
        file.link_tables();
        for &id in &outputs.order {
            file.link_section(id, outputs, &self.layout.placements, self.arch);
            self.link_dynamic(id, &mut file);
        }
        // Segments have given places to what is in memory.
        let is_outside = |body: &Body| match body {
            Body::Contents(id) => !outputs.sections[*id].traits.contains(Traits::ALLOC),
            _ => false,
        };
        let start = self.layout.segments.end.max(sizes.header);
        file.place(start, is_outside, &sizes);
        file.check_limits(&Limits {
            resolved: self.resolved,
            outputs,
            symbols: self.symbols,
            arch: self.arch,
            given: &|id| self.given_bytes(id),
        })?;
        Ok(file)
    }

    /// Bytes of an output section that inputs, statements and stubs give.
    fn given_bytes(&self, id: OutputId) -> u64 {
        let pieces = self.layout.outputs.sections[id].pieces.iter();
        let bytes = pieces.map(|piece| match *piece {
            Piece::Section(input) => self.resolved.section(input).file_size(),
            Piece::Statement(number) => {
                self.layout.data[number as usize].map_or(0, |place| place.size.bytes())
            }
            Piece::Island(number) => self.layout.islands.size(number),
        });
        bytes.fold(0, u64::saturating_add)
    }

    /// How many relocations stay: with `--emit-relocs` all.
    fn relocation_count(&self, section: &OutputSection<'_>) -> usize {
        if !self.options.emit_relocations {
            return 0;
        }
        section
            .sections()
            .map(|input| self.relocations_in(input))
            .sum()
    }

    /// Fills in what the headers of tables for a loader say of each other (bfd/elf.c,
    /// `assign_section_numbers`).
    fn link_dynamic(&self, id: OutputId, file: &mut FileLayout) {
        let made = &self.plan.made;
        let number_of = |part| {
            let section = made.part(part)?;
            let output = self.layout.placements.output(section)?;
            Some(file.number(output))
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
        let has_plt = has(MadePart::Plt);
        let header = file.header_mut(id);
        if has_plt {
            let dynamic = self.arch.dynamic.as_ref();
            let plt = dynamic.and_then(|dynamic| dynamic.plt);
            header.entry_size = plt.map_or(0, |plt| plt.entry_size);
        }
        // GNU ld forgets it of slots in static links (bfd/elfxx-x86.c,
        // `_bfd_x86_elf_finish_dynamic_sections`).
        let is_own = self.arch.got.is_some_and(|got| got.on_demand);
        if has_reserved || has_slots && (self.plan.dynamic.is_some() || is_own) {
            header.entry_size = Sizes::of(self.arch.class).word;
        }
        let Some(dynamic) = &self.plan.dynamic else {
            if has(MadePart::IndirectRelocations) {
                file.link_to_symbols(id);
                let size = made_sections::entry_size(file.header_mut(id).section_type, self.arch);
                file.header_mut(id).entry_size = size.unwrap_or(0);
                file.link_to_relocated(id, &self.layout.outputs);
            }
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
            elf::SHT_HASH | elf::SHT_GNU_HASH | elf::SHT_GNU_VERSYM => {
                header.link = symbols.unwrap_or(0);
            }
            elf::SHT_RELA | elf::SHT_REL => {
                header.link = symbols.unwrap_or(0);
                file.link_to_relocated(id, &self.layout.outputs);
            }
            _ => {}
        }
    }

    /// Makes the bytes of the whole file in `bytes`. Gives a digest of what they follow from, if a build-id
    /// wants one.
    ///
    /// # Errors
    /// Everything that is wrong with relocations, told at once; with `--noinhibit-exec` these are
    /// notes of `report` instead.
    pub(super) fn fill(
        &self,
        file: &FileLayout,
        bytes: &mut Buffer,
        report: &mut Report,
    ) -> Result<Hasher> {
        let header = FileHeader {
            osabi: self.symbols.osabi(self.arch),
            file_type: match self.options.output_kind {
                OutputKind::Executable | OutputKind::Relocatable => elf::ET_EXEC.0,
                OutputKind::Pie | OutputKind::Shared => elf::ET_DYN.0,
            },
            entry: self.entry,
            flags: self.flags,
        };
        let segments = &self.layout.segments.segments;
        // A digest of digests, so that each is taken while its part is in the processor's cache.
        let is_wanted = self.options.build_id.is_digest();
        let mut digest = Hasher::new();
        for (offset, header) in file.headers(&header, segments, self.arch) {
            digest.update(&header);
            bytes.put(offset, &header)?;
        }
        let done = bytes.fill(self.jobs(file), |job, part| {
            let mut problems = Vec::new();
            self.run(file, job, part, &mut problems);
            (problems, is_wanted.then(|| blake3::hash(part)))
        })?;
        let (problems, digests): (Vec<_>, Vec<_>) = done.into_iter().unzip();
        for part in digests.into_iter().flatten() {
            digest.update(part.as_bytes());
        }
        let problems = problems.into_iter().flatten().collect();
        match super::report::problems(self.relocator, self.options, problems) {
            Err(wrong) if self.options.no_inhibit_exec => {
                let lines = wrong.to_string();
                report.notes.extend(lines.lines().map(str::to_owned));
            }
            judged => report.warnings.extend(judged?),
        }
        self.sort_sections(file, bytes);
        self.fill_unwind_header(file, bytes)?;
        Ok(digest)
    }

    /// Puts the table to search unwind tables by into its section, now that all of them are there.
    fn fill_unwind_header(&self, file: &FileLayout, bytes: &mut [u8]) -> Result<()> {
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
    fn sort_sections(&self, file: &FileLayout, bytes: &mut [u8]) {
        /// Bytes of the address that an entry begins with.
        const KEY: usize = 4;
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
            sort_table(table, entry, KEY, self.arch.endian);
        }
    }

    /// Cuts the file into parts that are filled apart from each other.
    fn jobs<'j>(&'j self, file: &'j FileLayout) -> Vec<FileRange<Job<'j>>> {
        let mut ranges: Vec<FileRange<Job<'j>>> = Vec::new();
        for (header, body) in file.with_bytes() {
            let job = match body {
                Body::Nothing | Body::Group(..) => continue,
                Body::Contents(id) => {
                    self.content_jobs(id, header.offset, &mut ranges);
                    continue;
                }
                Body::Relocations(id) => {
                    self.relocation_jobs(id, header.offset, &mut ranges);
                    continue;
                }
                Body::Symbols => Job::Symbols,
                Body::SymbolSections => Job::SymbolSections,
                Body::SymbolNames => Job::Bytes(self.symbols.strings.bytes()),
                Body::SectionNames => Job::Bytes(file.names.bytes()),
            };
            ranges.push(FileRange {
                offset: header.offset,
                size: header.size,
                part: job,
            });
        }
        ranges
    }

    fn content_jobs<'j>(
        &'j self,
        id: OutputId,
        file_offset: u64,
        ranges: &mut Vec<FileRange<Job<'j>>>,
    ) {
        let section = &self.layout.outputs.sections[id];
        let mut begin = 0;
        let mut start = 0;
        let pieces = &section.pieces;
        for (at, piece) in pieces.iter().enumerate() {
            let offset = self.offset_of(piece).max(start);
            if offset - start >= CHUNK && at > begin {
                ranges.push(FileRange {
                    offset: file_offset + start,
                    size: offset - start,
                    part: Job::Pieces(id, &pieces[begin..at], start),
                });
                (begin, start) = (at, offset);
            }
        }
        if section.size > start {
            ranges.push(FileRange {
                offset: file_offset + start,
                size: section.size - start,
                part: Job::Pieces(id, &pieces[begin..], start),
            });
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

    fn run(&self, file: &FileLayout, job: Job<'_>, part: &mut [u8], problems: &mut Vec<Problem>) {
        match job {
            Job::Pieces(id, pieces, start) => self.fill_pieces(id, pieces, start, part, problems),
            Job::Relocations(inputs) => self.emit_relocations(inputs, part),
            Job::Symbols => file.write_symbols(self.symbols, Encoder::new(self.arch, part)),
            Job::SymbolSections => {
                file.write_symbol_sections(self.symbols, Encoder::new(self.arch, part));
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
            let target = self.values.stub_target(target);
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
}
