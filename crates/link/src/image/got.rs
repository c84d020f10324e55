//! The global offset table, and the relocations that are left to a loader: what relocations of the
//! inputs need, before layout; the table's bytes, after it.
//!
//! Source: bfd/elf64-x86-64.c and bfd/elf32-i386.c (elf_*_scan_relocs, elf_*_relocate_section);
//! bfd/elfxx-x86.c (elf_x86_allocate_dynrelocs, _bfd_x86_elf_size_dynamic_sections).

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_arch::{Arch, Change, Overflow, Relaxation, Relaxed, Value};
use object::elf;
use rayon::prelude::*;

use super::binding::Bindings;
use super::made_sections::{MadePart, MadeSections, is_dynamic};
use super::unwind::Unwind;
use super::values::Values;
use crate::dynamic::encode::{Encoder, Form};
use crate::dynamic::relocations::{DynamicRelocation, Fate, fate};
use crate::dynamic::walk::walk_order;
use crate::eh_frame::FramePlace;
use crate::id::{GlobalId, Id, ObjectId, SectionId};
use crate::input::RawRelocation;
use crate::options::Options;
use crate::output::Placements;
use crate::resolve::{Definition, Resolved};

/// Whose address a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum SlotOwner {
    Local(ObjectId, u32),
    Global(GlobalId),
}

impl SlotOwner {
    /// Of symbol `index` of `object`.
    pub(super) fn of(resolved: &Resolved<'_>, object: ObjectId, index: u32) -> Self {
        match resolved.global_of(object, index) {
            Some(global) => Self::Global(global),
            None => Self::Local(object, index),
        }
    }
}

/// A place that a loader relocates.
#[derive(Clone, Copy, Debug)]
pub(super) struct DynamicSite {
    pub section: SectionId,
    pub relocation: RawRelocation,
    pub fate: Fate,
}

/// What relocations need.
#[derive(Default)]
struct Needs {
    slots: Vec<SlotOwner>,
    sites: Vec<DynamicSite>,
    /// Globals that are called as if through a PLT.
    called: Vec<GlobalId>,
    /// Whether one names the table itself.
    names_table: bool,
}

/// What the decisions about a relocation depend on.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    pub options: &'l Options,
    pub arch: &'static Arch,
    pub bindings: &'l Bindings,
}

impl Rules<'_, '_> {
    /// The instruction that needs no slot, in place of the one that a relocation is about. `section`
    /// are the bytes of the input section.
    pub(super) fn relax(
        &self,
        object: ObjectId,
        relocation: &RawRelocation,
        section: &[u8],
        addend: i64,
    ) -> Option<Relaxed> {
        let relaxations = self.arch.relaxations;
        let is_marked = |number| relaxations.iter().any(|row| row.numbers.contains(&number));
        if !is_marked(relocation.number) {
            return None;
        }
        let target = self
            .bindings
            .target(self.resolved, object, relocation.symbol);
        if !target.is_bound || relocation.symbol == 0 || self.is_dynamic_table(object, relocation) {
            return None;
        }
        let is_shared = is_dynamic(self.options);
        let fixed = !is_shared || target.is_absolute || target.is_zero;
        let applies = |row: &&Relaxation| {
            // The address 0 is near nothing, where it is not known how far the code is from it, and
            // no slot for it is worth having, even if none of the others are to be saved.
            let is_load = !matches!(row.change, Change::Branch { .. });
            let is_known = matches!(row.change, Change::Immediate { .. });
            let is_wanted =
                self.options.relax != Some(false) || !row.optional || target.is_zero && is_load;
            is_wanted && (is_known || !(target.is_zero && is_shared))
        };
        let offset = usize::try_from(relocation.offset).ok()?;
        let mut changed = relaxations
            .iter()
            .filter(applies)
            .filter_map(|row| row.relax(relocation.number, section, offset, addend, fixed));
        let changed = changed.next()?;
        (!target.is_absolute || self.fits(object, relocation.symbol, &changed)).then_some(changed)
    }

    /// The same, of a relocation of an input section as the object has it.
    pub(super) fn relax_input(
        &self,
        section: SectionId,
        relocation: &RawRelocation,
    ) -> Option<Relaxed> {
        let input = self.resolved.section(section);
        let (object, _) = self.resolved.section_place(section);
        let addend = match input.relocations.is_rela() {
            true => relocation.addend,
            false => {
                let field = input.data.get(relocation.offset as usize..)?;
                let row = self.arch.relocation(relocation.number)?;
                row.implicit_addend(self.arch.endian, field).ok()?
            }
        };
        self.relax(object, relocation, input.data, addend)
    }

    /// Whether an absolute symbol fits the field of a changed instruction.
    fn fits(&self, object: ObjectId, index: u32, changed: &Relaxed) -> bool {
        let (object, index) = match self.resolved.global_of(object, index) {
            Some(id) => match self.resolved.globals[id].definition {
                Definition::Object { object, symbol, .. } => (object, symbol),
                _ => return true,
            },
            None => (object, index),
        };
        let symbol = self.resolved.objects[object].symbols.get(index as usize);
        let value = symbol.map_or(0, |symbol| symbol.value);
        match self.arch.relocation(changed.number).map(|row| row.overflow) {
            Some(Overflow::Signed) => i32::try_from(value.cast_signed()).is_ok(),
            Some(Overflow::Unsigned) => u32::try_from(value).is_ok(),
            _ => true,
        }
    }

    /// Whether it is about `_DYNAMIC`, whose address at link time a dynamic linker takes from its
    /// slot.
    fn is_dynamic_table(&self, object: ObjectId, relocation: &RawRelocation) -> bool {
        let global = self.resolved.global_of(object, relocation.symbol);
        global.is_some_and(|id| self.resolved.globals[id].name == b"_DYNAMIC")
    }

    /// What becomes of a relocation in a section in memory.
    pub(super) fn fate(&self, object: ObjectId, relocation: &RawRelocation) -> Fate {
        match &self.arch.dynamic {
            Some(dynamic) if is_dynamic(self.options) => {
                let target = self
                    .bindings
                    .target(self.resolved, object, relocation.symbol);
                fate(dynamic, relocation.number, target)
            }
            _ => Fate::Applied,
        }
    }

    fn asks_for_plt(&self, number: u32) -> bool {
        let dynamic = self.arch.dynamic.as_ref();
        dynamic.is_some_and(|dynamic| dynamic.calls.contains(&number))
    }

    /// Collects what the relocations of a section need.
    fn scan(&self, section: SectionId, unwind: &Unwind<'_>, needs: &mut Needs) {
        let input = self.resolved.section(section);
        let (object, _) = self.resolved.section_place(section);
        let is_shared = is_dynamic(self.options);
        let table = self.arch.got.map(|got| got.symbol.as_bytes());
        for relocation in input.relocations.iter() {
            let Some(row) = self.arch.relocation(relocation.number) else {
                continue;
            };
            let is_about_table = matches!(
                row.value,
                Value::SlotGotRelative
                    | Value::SlotPcRelative
                    | Value::GotRelative
                    | Value::GotPcRelative
            );
            if is_about_table {
                let global = self.resolved.global_of(object, relocation.symbol);
                let name = global.map(|id| self.resolved.globals[id].name);
                needs.names_table |= name.is_some() && name == table;
            }
            if matches!(row.value, Value::SlotGotRelative | Value::SlotPcRelative) {
                if self.relax_input(section, &relocation).is_none() {
                    let owner = SlotOwner::of(self.resolved, object, relocation.symbol);
                    needs.slots.push(owner);
                }
            } else if is_shared {
                if self.asks_for_plt(relocation.number)
                    && let Some(id) = self.resolved.global_of(object, relocation.symbol)
                {
                    needs.called.push(id);
                }
                let fate = self.fate(object, &relocation);
                let place = unwind.field(section, relocation.offset);
                let is_settled = matches!(
                    place,
                    Some(FramePlace::Dropped | FramePlace::MadeRelative(_))
                );
                if !matches!(fate, Fate::Applied | Fate::Refused) && !is_settled {
                    needs.sites.push(DynamicSite {
                        section,
                        relocation,
                        fate,
                    });
                }
            }
        }
    }
}

/// The table, and the places that a loader relocates.
#[derive(Default)]
pub(super) struct Got {
    table: Option<SectionId>,
    reserved: Option<SectionId>,
    slots: Vec<SlotOwner>,
    offsets: HashMap<SlotOwner, u64, RandomState>,
    pub sites: Vec<DynamicSite>,
    /// Globals that are called as if through a PLT, some more than once.
    pub called: Vec<GlobalId>,
}

impl Got {
    /// Looks through the relocations of every section in memory, and gives the table's sections
    /// their sizes.
    pub(super) fn plan(
        rules: Rules<'_, '_>,
        made: &MadeSections,
        placements: &Placements,
        unwind: &Unwind<'_>,
    ) -> (Self, Vec<(SectionId, u64)>) {
        let resolved = rules.resolved;
        let sections: Vec<SectionId> = resolved
            .section_ids()
            .filter(|&section| {
                let input = resolved.section(section);
                input.flags & elf::SHF_ALLOC.0 != 0
                    && !input.relocations.is_empty()
                    && placements.output(section).is_some()
            })
            .collect();
        let needs: Vec<Needs> = sections
            .par_chunks(256)
            .map(|sections| {
                let mut needs = Needs::default();
                for &section in sections {
                    rules.scan(section, unwind, &mut needs);
                }
                needs
            })
            .collect();
        let mut got = Self {
            table: made.part(MadePart::Got),
            reserved: made.part(MadePart::GotPlt),
            ..Self::default()
        };
        let mut names_table = false;
        for needs in needs {
            names_table |= needs.names_table;
            got.slots.extend(needs.slots);
            got.sites.extend(needs.sites);
            got.called.extend(needs.called);
        }
        got.order_slots(resolved);
        let word = Form::of(rules.arch).address_size() as u64;
        for (slot, &owner) in got.slots.iter().enumerate() {
            got.offsets.insert(owner, slot as u64 * word);
        }
        let reserved = rules.arch.got.map_or(0, |table| table.reserved);
        let is_used = names_table || !got.slots.is_empty();
        let sizes = [
            (got.table, got.slots.len() as u64 * word),
            (got.reserved, if is_used { reserved * word } else { 0 }),
        ];
        let sizes = sizes
            .into_iter()
            .filter_map(|(section, size)| Some((section?, size)));
        (got, sizes.collect())
    }

    /// Locals by object and number, then globals as GNU ld walks them.
    fn order_slots(&mut self, resolved: &Resolved<'_>) {
        self.slots.sort_unstable();
        self.slots.dedup();
        let is_global = |slot: &SlotOwner| matches!(slot, SlotOwner::Global(_));
        if self.slots.iter().filter(|slot| is_global(slot)).count() < 2 {
            return;
        }
        let names = resolved.globals.iter().map(|global| global.name);
        let mut ranks = vec![0; resolved.globals.len()];
        for (rank, position) in walk_order(names).into_iter().enumerate() {
            ranks[position] = rank;
        }
        self.slots.sort_by_key(|slot| match slot {
            SlotOwner::Local(object, symbol) => (0, object.index(), *symbol as usize),
            SlotOwner::Global(id) => (1, ranks[id.index()], 0),
        });
    }

    /// The address that offsets into the table count from.
    pub(super) fn base(&self, values: &Values<'_, '_>) -> u64 {
        let section = self.reserved.or(self.table);
        section.map_or(0, |section| values.in_section(section, 0).address())
    }

    /// The address of a symbol's slot.
    pub(super) fn slot(&self, owner: SlotOwner, values: &Values<'_, '_>) -> Option<u64> {
        let offset = *self.offsets.get(&owner)?;
        Some(values.in_section(self.table?, offset).address())
    }

    /// The bytes of the slots, and the relocations that a loader applies to them. `index` gives a
    /// symbol's number in `.dynsym`.
    pub(super) fn contents(
        &self,
        rules: Rules<'_, '_>,
        values: &Values<'_, '_>,
        index: impl Fn(GlobalId) -> u32,
    ) -> (Vec<u8>, Vec<DynamicRelocation>) {
        let form = Form::of(rules.arch);
        let mut bytes = Encoder::new(form, self.slots.len() * form.address_size());
        let mut relocations = Vec::new();
        for &owner in &self.slots {
            let (value, target) = self.slot_value(owner, rules, values);
            let place = self.slot(owner, values).unwrap_or(0);
            let dynamic = rules.arch.dynamic.as_ref();
            let dynamic = dynamic.filter(|_| is_dynamic(rules.options));
            let mut stored = value;
            match (dynamic, owner) {
                (Some(dynamic), _) if target.is_bound && !target.is_absolute && !target.is_zero => {
                    relocations.push(DynamicRelocation {
                        place,
                        symbol: 0,
                        number: dynamic.table_relative,
                        addend: value.cast_signed(),
                    });
                }
                (Some(dynamic), SlotOwner::Global(id)) if !target.is_zero => {
                    stored = 0;
                    relocations.push(DynamicRelocation {
                        place,
                        symbol: index(id),
                        number: dynamic.glob_dat,
                        addend: 0,
                    });
                }
                _ => {}
            }
            bytes.address(stored);
        }
        (bytes.into_bytes(), relocations)
    }

    /// How many relocations the slots need.
    pub(super) fn relocation_count(&self, rules: Rules<'_, '_>) -> u64 {
        if !is_dynamic(rules.options) {
            return 0;
        }
        let needs_one = |owner: &&SlotOwner| {
            let target = slot_target(**owner, rules);
            !(target.is_zero || target.is_bound && target.is_absolute)
        };
        self.slots.iter().filter(needs_one).count() as u64
    }

    fn slot_value(
        &self,
        owner: SlotOwner,
        rules: Rules<'_, '_>,
        values: &Values<'_, '_>,
    ) -> (u64, crate::dynamic::relocations::Target) {
        let value = match owner {
            SlotOwner::Local(object, symbol) => values.of(object, symbol),
            SlotOwner::Global(id) => values.global(id),
        };
        (value.address(), slot_target(owner, rules))
    }
}

fn slot_target(owner: SlotOwner, rules: Rules<'_, '_>) -> crate::dynamic::relocations::Target {
    match owner {
        SlotOwner::Local(object, symbol) => rules.bindings.target(rules.resolved, object, symbol),
        SlotOwner::Global(id) => rules.bindings.target_of_global(rules.resolved, id),
    }
}
