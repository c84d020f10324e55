//! Final values of symbols.

use klink_script::eval::Base;
use object::elf;
use rayon::prelude::*;

use super::layout::ImageLayout;
use super::scope::section_of;
use super::stubs::StubTarget;
use crate::id::{GlobalId, IdVec, ObjectId, OutputId, SectionId};
use crate::input::SymbolPlace;
use crate::resolve::{Definition, Resolved};

/// What a symbol stands for in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SymbolValue {
    /// An address in an output section.
    Address { address: u64, output: OutputId },
    /// A number that is no place.
    Absolute(u64),
    /// Nothing defines it; weak if nothing needs it either.
    Undefined { weak: bool },
    /// It is in a section that is not in the output.
    Discarded,
}

impl SymbolValue {
    /// S of a relocation: what is not there is 0.
    #[inline]
    pub(super) fn address(self) -> u64 {
        match self {
            Self::Address { address, .. } | Self::Absolute(address) => address,
            Self::Undefined { .. } | Self::Discarded => 0,
        }
    }

    pub(super) fn output(self) -> Option<OutputId> {
        match self {
            Self::Address { output, .. } => Some(output),
            _ => None,
        }
    }
}

/// The symbol at the ELF header, for programs that look at their own program headers.
pub(super) const HEADER_START: &[u8] = b"__ehdr_start";

/// The values of all symbols.
pub(super) struct Values<'a, 'l> {
    resolved: &'l Resolved<'a>,
    layout: &'l ImageLayout<'a>,
    globals: IdVec<GlobalId, SymbolValue>,
    /// All symbols of each object, by index.
    symbols: IdVec<ObjectId, Vec<SymbolValue>>,
}

impl<'a, 'l> Values<'a, 'l> {
    pub(super) fn new(resolved: &'l Resolved<'a>, layout: &'l ImageLayout<'a>) -> Self {
        let mut values = Self {
            resolved,
            layout,
            globals: IdVec::default(),
            symbols: IdVec::default(),
        };
        let globals: Vec<GlobalId> = resolved.globals.ids().collect();
        let globals = globals.into_par_iter();
        let globals: Vec<SymbolValue> = globals.map(|id| values.compute_global(id)).collect();
        values.globals = globals.into_iter().collect();
        let objects: Vec<ObjectId> = resolved.objects.ids().collect();
        let of_object = |object: ObjectId| {
            let count = resolved.objects[object].symbols.len() as u32;
            let value = |index| match resolved.global_of(object, index) {
                Some(global) => values.globals[global],
                None => values.compute_local(object, index),
            };
            (0..count).map(value).collect()
        };
        let symbols: Vec<Vec<SymbolValue>> = objects.into_par_iter().map(of_object).collect();
        for of_object in symbols {
            values.symbols.push(of_object);
        }
        values
    }

    /// What the values are of.
    pub(super) fn layout(&self) -> &'l ImageLayout<'a> {
        self.layout
    }

    /// The value of a global.
    #[inline]
    pub(super) fn global(&self, id: GlobalId) -> SymbolValue {
        self.globals[id]
    }

    /// The value of symbol `index` of `object`.
    #[inline]
    pub(super) fn of(&self, object: ObjectId, index: u32) -> SymbolValue {
        let known = self.symbols[object].get(index as usize);
        known
            .copied()
            .unwrap_or(SymbolValue::Undefined { weak: true })
    }

    fn compute_local(&self, object: ObjectId, index: u32) -> SymbolValue {
        let Some(symbol) = self.resolved.objects[object].symbols.get(index as usize) else {
            return SymbolValue::Undefined { weak: true };
        };
        match symbol.place {
            SymbolPlace::Section(section) => {
                self.in_section(self.resolved.section_id(object, section), symbol.value)
            }
            SymbolPlace::Absolute => SymbolValue::Absolute(symbol.value),
            SymbolPlace::Undefined | SymbolPlace::Common => {
                SymbolValue::Undefined { weak: index == 0 }
            }
        }
    }

    /// The address of an offset in an input section.
    #[inline]
    pub(super) fn in_section(&self, section: SectionId, offset: u64) -> SymbolValue {
        let placements = &self.layout.placements;
        let (section, offset) = self.layout.merges.place(section, offset);
        let offset = self.layout.unwind.moved(section, offset, placements);
        match placements.output(section) {
            None => SymbolValue::Discarded,
            Some(output) => self.in_output(output, placements.offset(section).wrapping_add(offset)),
        }
    }

    /// The address that a stub goes to.
    pub(super) fn stub_target(&self, target: StubTarget) -> u64 {
        match target {
            StubTarget::Absolute(address) => address,
            StubTarget::Section(section, offset) => self.in_section(section, offset).address(),
        }
    }

    fn compute_global(&self, id: GlobalId) -> SymbolValue {
        let global = &self.resolved.globals[id];
        if let Some(symbol) = self.layout.symbols.get(&id) {
            let value = symbol.value;
            return match (value.base, symbol.near) {
                (Base::Section(section), _) => self.in_output(section_of(section), value.value),
                (_, Some(near)) => SymbolValue::Address {
                    address: value.value,
                    output: near,
                },
                (_, None) => SymbolValue::Absolute(value.value),
            };
        }
        match global.definition {
            Definition::Object { object, symbol, .. } => self.local_definition(object, symbol),
            Definition::Made { section, offset } => self.in_section(section, offset),
            Definition::Script => SymbolValue::Undefined { weak: false },
            Definition::Common { .. } => SymbolValue::Undefined { weak: false },
            Definition::Undefined { weak } => self
                .of_section_name(global.name)
                .unwrap_or(SymbolValue::Undefined { weak }),
        }
    }

    fn local_definition(&self, object: ObjectId, index: u32) -> SymbolValue {
        let symbol = &self.resolved.objects[object].symbols[index as usize];
        match symbol.place {
            SymbolPlace::Section(section) => {
                self.in_section(self.resolved.section_id(object, section), symbol.value)
            }
            SymbolPlace::Absolute => SymbolValue::Absolute(symbol.value),
            SymbolPlace::Undefined | SymbolPlace::Common => SymbolValue::Undefined {
                weak: symbol.binding == elf::STB_WEAK.0,
            },
        }
    }

    /// An offset in an output section; one that was removed lends its place to a neighbour (bfd's
    /// `_bfd_nearby_section`).
    #[inline]
    fn in_output(&self, output: OutputId, offset: u64) -> SymbolValue {
        let outputs = &self.layout.outputs;
        let section = &outputs.sections[output];
        let address = section.address.wrapping_add(offset);
        if !section.removed {
            return SymbolValue::Address { address, output };
        }
        match outputs.nearby(output, address) {
            Some(output) => SymbolValue::Address { address, output },
            None => SymbolValue::Absolute(address),
        }
    }

    /// A symbol that a section's name defines.
    fn of_section_name(&self, name: &[u8]) -> Option<SymbolValue> {
        match name {
            HEADER_START => self.header_start(),
            [b'.', ..] => self.start_or_size(name),
            _ => self.start_or_stop(name),
        }
    }

    /// Where the ELF header is in memory, if a segment has it and the program headers (bfd/elf.c,
    /// `assign_file_positions_for_load_sections`).
    fn header_start(&self) -> Option<SymbolValue> {
        let segments = || self.layout.segments.segments.iter();
        let segment = segments().find(|segment| segment.has_all_headers())?;
        let address = segment.address;
        let loaded = segments().filter(|other| other.segment_type == elf::PT_LOAD.0);
        let mut sections = std::iter::once(segment)
            .chain(loaded)
            .flat_map(super::segments::Segment::sections);
        Some(match sections.next() {
            Some(&output) => SymbolValue::Address { address, output },
            None => SymbolValue::Absolute(address),
        })
    }

    /// `.startof.NAME` and `.sizeof.NAME` of any section (ld/ldlang.c, `lang_init_startof_sizeof`).
    fn start_or_size(&self, name: &[u8]) -> Option<SymbolValue> {
        let named = |section| {
            let output = self.layout.outputs.by_name(section)?;
            Some((output, &self.layout.outputs.sections[output]))
        };
        if let Some(section) = name.strip_prefix(b".sizeof.") {
            return Some(SymbolValue::Absolute(named(section)?.1.size));
        }
        let (output, section) = named(name.strip_prefix(b".startof.")?)?;
        let address = section.address;
        Some(SymbolValue::Address { address, output })
    }

    /// `__start_NAME` and `__stop_NAME` of sections whose names could be C's.
    fn start_or_stop(&self, name: &[u8]) -> Option<SymbolValue> {
        let (section, at_end) = match name.strip_prefix(b"__start_") {
            Some(section) => (section, false),
            None => (name.strip_prefix(b"__stop_")?, true),
        };
        let output = self.layout.outputs.by_name(section)?;
        let found = &self.layout.outputs.sections[output];
        // An input section must have given it its name (ld/ldlang.c, `undef_start_stop`).
        let mut inputs = found.sections();
        if !inputs.any(|input| self.resolved.section(input).name == section) {
            return None;
        }
        let offset = if at_end { found.size } else { 0 };
        Some(SymbolValue::Address {
            address: found.address.wrapping_add(offset),
            output,
        })
    }
}
