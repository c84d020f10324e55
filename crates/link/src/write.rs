//! Writing relocatable output: the file is laid out, and made in memory in place. What images have in
//! common with it is here too.

mod encode;
mod file;
mod limits;

pub(crate) use encode::{Encoder, Header, Sizes, sort_by_offset, sort_table};
pub(crate) use file::{Body, FileHeader, FileLayout, RelocationTable};
pub(crate) use limits::Limits;

use klink_arch::Arch;
use object::elf;
use rayon::prelude::*;

use crate::buffer::{Buffer, FileRange, cut};
use crate::error::{LinkError, Result};
use crate::groups::{self, Groups};
use crate::id::{ObjectId, OutputId};
use crate::layout::Layout;
use crate::made::{BuildIdNote, BuildIdPlace};
use crate::output::{Piece, Traits};
use crate::relocate::{Rewrite, Target, change_bytes, rewrite};
use crate::resolve::Resolved;
use crate::symtab::SymbolTable;

/// Bytes of output from which copying on several threads pays.
const PARALLEL_FROM: u64 = 4 << 20;

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
    /// Bytes of the script's statements: [`crate::script`]'s answer for each.
    pub statement_bytes: &'l [Vec<u8>],
    /// The build-id's note.
    pub build_id: Option<BuildIdNote>,
}

impl Output<'_, '_> {
    /// Makes the bytes of the whole file. The build-id, if any, is still zero; its place is given.
    pub(crate) fn make(&self) -> Result<(Buffer, Option<BuildIdPlace>)> {
        let file = self.lay_out_file();
        file.check_limits(&Limits {
            resolved: self.resolved,
            outputs: &self.layout.outputs,
            symbols: self.symbols,
            arch: self.arch,
            given: &|id| self.given_bytes(id),
        })?;
        let mut bytes = Buffer::zeroed(file.size as usize);
        let retains = |section: &crate::output::OutputSection<'_>| {
            section.extra_flags & elf::SHF_GNU_RETAIN.0 != 0
        };
        let mut outputs = self.layout.outputs.sections.iter();
        let osabi = match outputs.any(retains) {
            true => elf::ELFOSABI_GNU.0,
            false => self.symbols.osabi(self.arch),
        };
        let header = FileHeader {
            osabi,
            file_type: elf::ET_REL.0,
            entry: 0,
            flags: self.flags,
        };
        for (offset, header) in file.headers(&header, &[], self.arch) {
            bytes.put(offset, &header)?;
        }
        self.fill(&file, &mut bytes)?;
        let (outputs, placements) = (&self.layout.outputs, &self.layout.placements);
        let build_id = self.build_id;
        let build_id = build_id.and_then(|note| note.place(&file, outputs, placements));
        Ok((bytes, build_id))
    }

    /// Numbers sections as GNU ld does: groups first, each section followed by its relocations,
    /// then the tables (bfd/elf.c, `assign_section_numbers`). Contents come first in the file.
    fn lay_out_file(&self) -> FileLayout {
        let sizes = Sizes::of(self.arch.class);
        let outputs = &self.layout.outputs;
        let mut file = FileLayout::new(outputs);
        self.add_groups(&mut file);
        for &id in &outputs.order {
            let relocations = RelocationTable {
                count: self.relocation_count(id),
                explicit: self.has_explicit_addends(id),
            };
            file.add_section(id, outputs, &relocations, &sizes);
        }
        file.add_symbols(self.symbols, &sizes);
        file.add_section_names();
        file.link_tables();
        for &id in &outputs.order {
            file.link_section(id, outputs, &self.layout.placements, self.arch);
        }
        let is_first = |body: &Body| matches!(body, Body::Group(..) | Body::Contents(_));
        file.place(sizes.header, is_first, &sizes);
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
            let name = file.names.add(input.sections[group.section as usize].name);
            let header = Header {
                name,
                section_type: elf::SHT_GROUP.0,
                size: 4 * (1 + members.len() + with_relocations) as u64,
                info: self
                    .symbols
                    .number_of(self.resolved, object, group.signature_symbol),
                align: 4,
                entry_size: 4,
                ..Header::default()
            };
            file.add(header, Body::Group(object, number));
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

    /// Bytes of an output section that inputs, statements and stubs give.
    fn given_bytes(&self, id: OutputId) -> u64 {
        let section = &self.layout.outputs.sections[id];
        let pieces = section.pieces.iter().map(|piece| match *piece {
            Piece::Section(input) => self.resolved.section(input).data.len() as u64,
            Piece::Island(_) => 0,
            Piece::Statement(number) => self.statement_bytes[number as usize].len() as u64,
        });
        let stubs = self.layout.module.as_ref().map_or(0, |module| {
            let stubs = module.stubs(id).iter();
            stubs.map(|stub| stub.size).sum()
        });
        pieces.sum::<u64>() + stubs
    }

    fn fill(&self, file: &FileLayout, bytes: &mut [u8]) -> Result<()> {
        let ranges = file.with_bytes().map(|(header, body)| FileRange {
            offset: header.offset,
            size: header.size,
            part: body,
        });
        let parts = cut(bytes, ranges.collect())?;
        if file.size >= PARALLEL_FROM {
            parts
                .into_par_iter()
                .try_for_each(|(range, part)| self.fill_part(file, range.part, part))
        } else {
            parts
                .into_iter()
                .try_for_each(|(range, part)| self.fill_part(file, range.part, part))
        }
    }

    fn fill_part(&self, file: &FileLayout, body: Body, part: &mut [u8]) -> Result<()> {
        match body {
            Body::Nothing => {}
            Body::Contents(id) => self.fill_contents(id, part)?,
            Body::Relocations(id) => self.fill_relocations(id, part),
            Body::Group(object, number) => self.fill_group(file, object, number, part),
            Body::Symbols => file.write_symbols(self.symbols, Encoder::new(self.arch, part)),
            Body::SymbolSections => {
                file.write_symbol_sections(self.symbols, Encoder::new(self.arch, part));
            }
            Body::SymbolNames => part.copy_from_slice(self.symbols.strings.bytes()),
            Body::SectionNames => part.copy_from_slice(file.names.bytes()),
        }
        Ok(())
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
        let mut out = Encoder::new(self.arch, part);
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
        sort_by_offset(part, explicit, self.arch);
    }

    fn fill_group(&self, file: &FileLayout, object: ObjectId, number: u32, part: &mut [u8]) {
        let mut out = Encoder::new(self.arch, part);
        out.word32(self.resolved.objects[object].groups[number as usize].flags);
        for member in groups::members(self.resolved, self.layout, object, number) {
            out.word32(file.number(member));
            if self.relocation_count(member) > 0 {
                out.word32(file.number(member) + 1);
            }
        }
    }
}
