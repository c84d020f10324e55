//! The global offset table, and the relocations that are left to a loader: what relocations of the
//! inputs need, before layout; the table's bytes, after it.
//!
//! Source: bfd/elf64-x86-64.c and bfd/elf32-i386.c (elf_*_scan_relocs, elf_*_relocate_section);
//! bfd/elfxx-x86.c (elf_x86_allocate_dynrelocs, _bfd_x86_elf_size_dynamic_sections).

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_arch::{Arch, Change, Overflow, Relaxation, Relaxed, Slot, ThreadRelaxed, Value};
use object::elf;
use rayon::prelude::*;

use super::binding::Bindings;
use super::indirect::{Indirect, IndirectUse};
use super::made_sections::{MadePart, MadeSections, is_dynamic};
use super::plt::Plt;
use super::thread::ThreadAddresses;
use super::unwind::Unwind;
use super::values::Values;
use crate::dynamic::encode::{Encoder, Form};
use crate::dynamic::relocations::{DynamicRelocation, Fate, Target, fate};
use crate::dynamic::walk::walk_order;
use crate::eh_frame::FramePlace;
use crate::id::{GlobalId, Id, ObjectId, SectionId};
use crate::input::RawRelocation;
use crate::options::{Options, OutputKind};
use crate::output::Placements;
use crate::resolve::{Definition, Resolved};

/// Whose address a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum SlotOwner {
    Local(ObjectId, u32),
    /// This module as a whole, for its thread-local variables.
    Module,
    Global(GlobalId),
}

/// A slot: whose, and what it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct SlotKey {
    pub owner: SlotOwner,
    pub kind: Slot,
}

impl SlotKey {
    /// The slot with the owner's address.
    pub(super) fn address(owner: SlotOwner) -> Self {
        let kind = Slot::Address;
        Self { owner, kind }
    }
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
    slots: Vec<SlotKey>,
    indirect: Vec<IndirectUse>,
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
    /// Whose function it is, if a resolver chooses it when the program starts.
    pub(super) fn indirect(&self, object: ObjectId, symbol: u32) -> Option<SlotOwner> {
        if !self.bindings.has_indirect() {
            return None;
        }
        let is_function = |symbol_type: u8| symbol_type == elf::STT_GNU_IFUNC.0;
        let is_indirect = match self.resolved.global_of(object, symbol) {
            Some(id) => {
                let global = &self.resolved.globals[id];
                let is_here = matches!(global.definition, Definition::Object { .. });
                is_here && is_function(global.symbol_type)
            }
            None => {
                let symbols = &self.resolved.objects[object].symbols;
                let symbol = symbols.get(symbol as usize);
                symbol.is_some_and(|symbol| is_function(symbol.symbol_type))
            }
        };
        is_indirect.then(|| SlotOwner::of(self.resolved, object, symbol))
    }

    /// The slot that a relocation is about.
    pub(super) fn slot_key(&self, object: ObjectId, symbol: u32, kind: Slot) -> SlotKey {
        let owner = match kind {
            Slot::ThreadModule => SlotOwner::Module,
            _ => SlotOwner::of(self.resolved, object, symbol),
        };
        SlotKey { owner, kind }
    }

    /// What a program's code that finds a thread-local variable becomes: that with relocation `index` of
    /// `section`.
    pub(super) fn relax_thread(&self, section: SectionId, index: usize) -> Option<ThreadRelaxed> {
        let thread = self.arch.thread?;
        let input = self.resolved.section(section);
        let is_code = input.flags & elf::SHF_EXECINSTR.0 != 0;
        if !is_code || self.options.output_kind == OutputKind::Shared {
            return None;
        }
        let all = &input.relocations;
        let relocation = all.get(index);
        let (object, _) = self.resolved.section_place(section);
        let next = (index + 1 < all.len()).then(|| all.get(index + 1));
        let next = next.and_then(|next| {
            let called = self.resolved.global_of(object, next.symbol)?;
            let is_function = self.resolved.globals[called].name == thread.function.as_bytes();
            let place = usize::try_from(next.offset).ok()?;
            is_function.then_some((place, next.number))
        });
        let offset = usize::try_from(relocation.offset).ok()?;
        thread.relax(relocation.number, input.data, offset, next)
    }

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
        if !is_marked(relocation.number) || self.indirect(object, relocation.symbol).is_some() {
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

    pub(super) fn asks_for_plt(&self, number: u32) -> bool {
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
            if let Some(owner) = self.indirect(object, relocation.symbol) {
                let place = (section, input);
                let used = IndirectUse::new(self, owner, place, row, relocation);
                needs.indirect.push(used);
                continue;
            }
            let is_about_table =
                row.names_slot() || matches!(row.value, Value::GotRelative | Value::GotPcRelative);
            if is_about_table {
                let global = self.resolved.global_of(object, relocation.symbol);
                let name = global.map(|id| self.resolved.globals[id].name);
                needs.names_table |= name.is_some() && name == table;
            }
            if row.names_slot() {
                if self.relax_input(section, &relocation).is_none() {
                    let key = self.slot_key(object, relocation.symbol, row.slot);
                    needs.slots.push(key);
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
    /// Words in front of the slots.
    header: u64,
    slots: Vec<SlotKey>,
    offsets: HashMap<SlotKey, u64, RandomState>,
    /// Functions that a resolver chooses.
    pub indirect: Indirect,
    /// Functions that are called and bound elsewhere.
    pub plt: Plt,
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
        let is_scanned = |section| {
            let input = resolved.section(section);
            input.flags & elf::SHF_ALLOC.0 != 0
                && !input.relocations.is_empty()
                && placements.output(section).is_some()
        };
        let sections: Vec<SectionId> = resolved.section_ids().collect();
        let needs: Vec<Needs> = sections
            .par_chunks(1024)
            .map(|sections| {
                let mut needs = Needs::default();
                for &section in sections.iter().filter(|&&section| is_scanned(section)) {
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
        let mut uses = Vec::new();
        for needs in needs {
            names_table |= needs.names_table;
            uses.extend(needs.indirect);
            got.slots.extend(needs.slots);
            got.sites.extend(needs.sites);
            got.called.extend(needs.called);
        }
        let (indirect, slots) = Indirect::plan(&rules, made, &uses);
        got.indirect = indirect;
        got.slots.extend(slots);
        got.plt = Plt::plan(&rules, made, &got.called);
        let has_stubs = got.indirect.is_used() || got.plt.is_used();
        let is_used = names_table || !got.slots.is_empty() || has_stubs;
        let reserved = rules.arch.got.filter(|_| is_used);
        let reserved = reserved.map_or(0, |table| table.reserved);
        let word = Form::of(rules.arch).address_size() as u64;
        if got.reserved.is_none() {
            got.header = reserved;
        }
        let words = got.place_slots(resolved, word);
        let slots = reserved + got.plt.slots();
        let sizes = [(got.table, words * word), (got.reserved, slots * word)];
        let sizes = sizes
            .into_iter()
            .filter_map(|(section, size)| Some((section?, size)));
        let sizes = sizes.chain(got.indirect.sizes(&rules));
        let sizes = sizes.chain(got.plt.sizes(&rules)).collect();
        (got, sizes)
    }

    /// Gives each slot its place: locals by object and number, then globals as GNU ld walks them. Gives the
    /// words of the table.
    fn place_slots(&mut self, resolved: &Resolved<'_>, word: u64) -> u64 {
        let mut owners = self.slots.iter().map(|slot| slot.owner).collect();
        order_owners(&mut owners, resolved, |owner| match owner {
            SlotOwner::Local(..) => 0,
            SlotOwner::Module => 1,
            SlotOwner::Global(_) => 2,
        });
        let places = owners.iter().enumerate();
        let places: HashMap<SlotOwner, usize, RandomState> =
            places.map(|(place, &owner)| (owner, place)).collect();
        let place = |owner| places.get(&owner).copied();
        self.slots
            .sort_by_key(|slot| (place(slot.owner), slot.kind));
        self.slots.dedup();
        let mut words = self.header;
        for &slot in &self.slots {
            self.offsets.insert(slot, words * word);
            words += slot.kind.words();
        }
        words
    }

    /// The address that offsets into the table count from.
    pub(super) fn base(&self, values: &Values<'_, '_>) -> u64 {
        let section = self.reserved.or(self.table);
        section.map_or(0, |section| values.in_section(section, 0).address())
    }

    /// The address of a slot.
    pub(super) fn slot(&self, key: SlotKey, values: &Values<'_, '_>) -> Option<u64> {
        let offset = *self.offsets.get(&key)?;
        Some(values.in_section(self.table?, offset).address())
    }

    /// The bytes of the table, and the relocations that a loader applies to it.
    pub(super) fn contents(&self, input: &GotInput<'_, '_>) -> (Vec<u8>, Vec<DynamicRelocation>) {
        let rules = input.rules;
        let form = Form::of(rules.arch);
        let mut bytes = Encoder::new(form, self.slots.len() * form.address_size());
        let mut relocations = Vec::new();
        for word in 0..self.header {
            bytes.address(if word == 0 { input.dynamic_table } else { 0 });
        }
        let dynamic = rules.arch.dynamic.as_ref();
        let dynamic = dynamic.filter(|_| is_dynamic(rules.options));
        for &key in &self.slots {
            let value = match key.owner {
                SlotOwner::Local(object, symbol) => input.values.of(object, symbol).address(),
                SlotOwner::Global(id) => input.values.global(id).address(),
                SlotOwner::Module => input.thread.block,
            };
            let offset = value.wrapping_sub(input.thread.block);
            match key.kind {
                Slot::Address => {}
                Slot::ThreadOffset => {
                    bytes.address(value.wrapping_sub(input.thread.pointer));
                    continue;
                }
                Slot::ThreadIndex | Slot::ThreadModule => {
                    bytes.address(PROGRAM_MODULE);
                    bytes.address(offset);
                    continue;
                }
            }
            if let Some(first) = self.indirect.in_table(key.owner, &rules, input.values) {
                bytes.address(first);
                continue;
            }
            let target = slot_target(key.owner, rules);
            let place = self.slot(key, input.values).unwrap_or(0);
            let mut stored = value;
            match (dynamic, key.owner) {
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
                        symbol: (input.index)(id),
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
        let needs_one = |key: &&SlotKey| {
            let target = slot_target(key.owner, rules);
            key.kind == Slot::Address
                && !(target.is_zero || target.is_bound && target.is_absolute)
                && !self.indirect.has_slot(key.owner)
        };
        self.slots.iter().filter(needs_one).count() as u64
    }

    /// The globals that a loader is asked for by name; some more than once.
    pub(super) fn asked_of_loader(&self, rules: Rules<'_, '_>) -> Vec<GlobalId> {
        let sites = self.sites.iter().filter_map(|site| {
            let (object, _) = rules.resolved.section_place(site.section);
            let is_named = matches!(site.fate, Fate::Symbolic(_));
            let global = rules.resolved.global_of(object, site.relocation.symbol);
            global.filter(|_| is_named)
        });
        let slots = self.slots.iter().filter_map(|key| match key.owner {
            SlotOwner::Global(id) => Some(id).filter(|_| !slot_target(key.owner, rules).is_bound),
            SlotOwner::Local(..) | SlotOwner::Module => None,
        });
        sites.chain(slots).chain(self.plt.functions()).collect()
    }

    /// Whether there are slots about thread-local variables.
    pub(super) fn has_thread_slots(&self) -> bool {
        self.slots.iter().any(|key| key.kind != Slot::Address)
    }
}

/// What the table's contents are computed from.
pub(super) struct GotInput<'a, 'l> {
    pub rules: Rules<'a, 'l>,
    pub values: &'l Values<'a, 'l>,
    pub thread: ThreadAddresses,
    /// The address of `.dynamic`, or 0.
    pub dynamic_table: u64,
    /// The number of a symbol in `.dynsym`.
    pub index: &'l dyn Fn(GlobalId) -> u32,
}

/// The number that thread libraries give to the program itself (Drepper, 2).
const PROGRAM_MODULE: u64 = 1;

/// Orders owners, each once: by the number that `class` gives, locals by object and number, globals as GNU
/// ld walks them.
pub(super) fn order_owners(
    owners: &mut Vec<SlotOwner>,
    resolved: &Resolved<'_>,
    class: impl Fn(SlotOwner) -> u8,
) {
    owners.sort_unstable();
    owners.dedup();
    let is_global = |owner: &&SlotOwner| matches!(owner, SlotOwner::Global(_));
    let mut ranks = Vec::new();
    if owners.iter().filter(is_global).count() > 1 {
        let names = resolved.globals.iter().map(|global| global.name);
        ranks.resize(resolved.globals.len(), 0);
        for (rank, position) in walk_order(names).into_iter().enumerate() {
            ranks[position] = rank;
        }
    }
    owners.sort_by_key(|&owner| match owner {
        SlotOwner::Local(object, symbol) => (class(owner), object.index(), symbol as usize),
        SlotOwner::Module => (class(owner), 0, 0),
        SlotOwner::Global(id) => (class(owner), ranks.get(id.index()).copied().unwrap_or(0), 0),
    });
}

fn slot_target(owner: SlotOwner, rules: Rules<'_, '_>) -> Target {
    match owner {
        SlotOwner::Local(object, symbol) => rules.bindings.target(rules.resolved, object, symbol),
        SlotOwner::Global(id) => rules.bindings.target_of_global(rules.resolved, id),
        SlotOwner::Module => Target {
            is_bound: true,
            is_absolute: true,
            is_zero: false,
        },
    }
}
