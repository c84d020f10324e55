//! Relocations that stay in an image (`--emit-relocs`), for those who move it later.

use klink_arch::Class;
use object::elf;

use super::kernel::TableRelocation;
use super::relocate::has_explicit_addends;
use super::values::SymbolValue;
use super::write::{CHUNK, Image, Job};
use crate::buffer::FileRange;
use crate::id::{ObjectId, OutputId, SectionId};
use crate::input::RawRelocation;
use crate::write::{Encoder, Sizes, sort_by_offset};

impl Image<'_, '_> {
    /// Cuts the relocations of an output section into parts that are written apart from each other.
    pub(super) fn relocation_jobs<'j>(
        &self,
        id: OutputId,
        mut file_offset: u64,
        ranges: &mut Vec<FileRange<Job<'j>>>,
    ) {
        let explicit = has_explicit_addends(self.arch);
        let each = Sizes::of(self.arch.class).relocation(explicit);
        let mut inputs = Vec::new();
        let mut size = 0;
        for input in self.layout.outputs.sections[id].sections() {
            let count = self.relocations_in(input) as u64;
            if count == 0 {
                continue;
            }
            inputs.push(input);
            size += count * each;
            if size >= CHUNK {
                let inputs = std::mem::take(&mut inputs);
                ranges.push(FileRange {
                    offset: file_offset,
                    size,
                    part: Job::Relocations(inputs),
                });
                file_offset += size;
                size = 0;
            }
        }
        if size > 0 {
            ranges.push(FileRange {
                offset: file_offset,
                size,
                part: Job::Relocations(inputs),
            });
        }
    }

    /// Writes the relocations of `inputs`. Input sections lie in rising order, so that all are sorted
    /// if those of each are.
    pub(super) fn emit_relocations(&self, inputs: Vec<SectionId>, part: &mut [u8]) {
        let explicit = has_explicit_addends(self.arch);
        let each = Sizes::of(self.arch.class).relocation(explicit) as usize;
        let mut rest = part;
        for input in inputs {
            let relocations = &self.resolved.section(input).relocations;
            let (own, behind) = rest.split_at_mut(self.relocations_in(input) * each);
            rest = behind;
            let Some(output) = self.layout.placements.output(input) else {
                continue;
            };
            let base = self.layout.outputs.sections[output]
                .address
                .wrapping_add(self.layout.placements.offset(input));
            let (object, _) = self.resolved.section_place(input);
            let mut out = Encoder::new(self.arch, own);
            if let Some(table) = self.late_relocations(input) {
                self.emit_late(table, base, &mut out);
                continue;
            }
            let mut last = 0;
            let mut sorted = true;
            let is_edited = self.layout.unwind.contains(input);
            for relocation in relocations.iter() {
                let applied = match is_edited || self.is_about_slot(relocation.number) {
                    true => self.as_applied(input, relocation),
                    false => Some(relocation),
                };
                let (symbol, number, addend) = match &applied {
                    Some(relocation) => self.emitted(object, relocation),
                    None => (0, 0, 0),
                };
                let offset = applied.map_or(last, |relocation| relocation.offset);
                sorted &= last <= offset;
                last = offset;
                let addend = explicit.then_some(addend);
                out.relocation(base.wrapping_add(offset), symbol, number, addend);
            }
            if !sorted {
                sort_by_offset(own, explicit, self.arch);
            }
        }
    }

    /// How many relocations of an input section stay.
    pub(super) fn relocations_in(&self, input: SectionId) -> usize {
        match self.late_relocations(input) {
            Some(late) => late.len(),
            None => self.resolved.section(input).relocations.len(),
        }
    }

    /// The relocations of a section of the kernel's table, which are known late.
    fn late_relocations(&self, input: SectionId) -> Option<&[TableRelocation]> {
        self.kallsyms.and_then(|table| table.relocations(input))
    }

    fn emit_late(&self, relocations: &[TableRelocation], base: u64, out: &mut Encoder<'_>) {
        let explicit = has_explicit_addends(self.arch);
        let number = self.arch.word_relocation().map_or(0, |row| row.number);
        for relocation in relocations {
            let place = base.wrapping_add(relocation.offset);
            let symbol = self.symbols.section(relocation.output);
            out.relocation(place, symbol, number, explicit.then_some(relocation.addend));
        }
    }

    fn is_about_slot(&self, number: u32) -> bool {
        let row = self.arch.relocation(number);
        row.is_some_and(klink_arch::Relocation::names_slot)
    }

    /// A relocation as it was applied: not of an instruction that needs no slot any more, nor where
    /// an unwind record was before it moved. `None`: its record is gone; it has type 0 then, and
    /// the place of the one before (bfd/elflink.c, `elf_link_input_bfd`).
    fn as_applied(&self, input: SectionId, relocation: RawRelocation) -> Option<RawRelocation> {
        if let Some(place) = self.layout.unwind.field(input, relocation.offset) {
            return place.offset().map(|offset| RawRelocation {
                offset,
                ..relocation
            });
        }
        let relaxed = self.relocator.rules.relax_input(input, &relocation);
        Some(relaxed.map_or(relocation, |relaxed| RawRelocation {
            offset: relaxed.offset as u64,
            number: relaxed.number,
            addend: relaxed.addend,
            ..relocation
        }))
    }

    /// Symbol, type and addend of a relocation that stays.
    fn emitted(&self, object: ObjectId, relocation: &RawRelocation) -> (u32, u32, i64) {
        let RawRelocation {
            symbol,
            number,
            addend,
            ..
        } = *relocation;
        let plain = || {
            (
                self.symbols.number_of(self.resolved, object, symbol),
                number,
                addend,
            )
        };
        let input = &self.resolved.objects[object];
        if symbol == 0 {
            return (0, number, addend);
        }
        if symbol as usize >= input.first_global {
            return match self.values.of(object, symbol) {
                SymbolValue::Discarded => (0, 0, 0),
                _ => plain(),
            };
        }
        let is_section = input.symbols[symbol as usize].symbol_type == elf::STT_SECTION.0;
        match self.values.of(object, symbol) {
            SymbolValue::Address { output, address } if is_section => {
                let start = self.layout.outputs.sections[output].address;
                let moved = address.wrapping_sub(start).cast_signed();
                let merged = self.relocator.merged_addend(object, relocation);
                let addend = merged.unwrap_or(addend.wrapping_add(moved));
                (self.symbols.section(output), number, addend)
            }
            SymbolValue::Address { .. } | SymbolValue::Absolute(_) => plain(),
            SymbolValue::Undefined { .. } | SymbolValue::Discarded => (0, 0, 0),
        }
    }
}

impl Encoder<'_> {
    /// A relocation (ELF gABI chapter 4), with an addend of its own or without.
    fn relocation(&mut self, offset: u64, symbol: u32, number: u32, addend: Option<i64>) {
        // The common form goes out at once.
        if let (Class::Elf64, klink_arch::Endian::Little, Some(addend)) =
            (self.class(), self.endian(), addend)
        {
            let mut bytes = [0; 24];
            bytes[..8].copy_from_slice(&offset.to_le_bytes());
            let info = u64::from(symbol) << 32 | u64::from(number);
            bytes[8..16].copy_from_slice(&info.to_le_bytes());
            bytes[16..].copy_from_slice(&addend.to_le_bytes());
            self.raw(&bytes);
            return;
        }
        self.word(offset);
        self.relocation_info(symbol, number);
        if let Some(addend) = addend {
            self.word(addend.cast_unsigned());
        }
    }
}
