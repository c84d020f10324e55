//! Functions that a resolver chooses when the program starts (`STT_GNU_IFUNC`). Calls go through a stub in
//! `.iplt`, and that through a slot in `.igot.plt`; the program's start code fills the slots, as
//! relocations in `.rela.iplt` say. A pointer in data is such a slot itself where nothing asks for a stub.
//!
//! Source: bfd/elf-ifunc.c (`_bfd_elf_allocate_ifunc_dyn_relocs`); bfd/elf64-x86-64.c and
//! bfd/elf32-i386.c (elf_*_scan_relocs, elf_*_relocate_section, elf_*_finish_dynamic_symbol).

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use klink_arch::{Addends, IndirectFunctions, Relocation, StubTemplate, Values as Addresses};
use object::elf;

use super::contents::MadeContents;
use super::got::{Got, Rules, SlotKey, SlotOwner, order_owners};
use super::layout::ImageLayout;
use super::made_sections::{MadePart, MadeSections, is_dynamic};
use super::values::Values;
use crate::dynamic::encode::{Encoder, Form};
use crate::dynamic::relocations::{self, DynamicRelocation};
use crate::error::{LinkError, Result};
use crate::id::SectionId;
use crate::input::{InputSection, RawRelocation};

/// A relocation against such a function.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndirectUse {
    owner: SlotOwner,
    section: SectionId,
    relocation: RawRelocation,
    kind: UseKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UseKind {
    /// It calls the function.
    Call,
    /// It takes an address that must be the same wherever it is taken.
    Address,
    /// The same, in data that is written: the start code could fill it in.
    Pointer,
    /// It names a slot.
    Slot,
}

impl IndirectUse {
    /// How the relocation `row` in `input` uses `owner`.
    pub(super) fn new(
        rules: &Rules<'_, '_>,
        owner: SlotOwner,
        (section, input): (SectionId, &InputSection<'_>),
        row: &Relocation,
        relocation: RawRelocation,
    ) -> Self {
        let is_pointer = |number| {
            let dynamic = rules.arch.dynamic.as_ref();
            dynamic.is_some_and(|dynamic| dynamic.pointer == number)
        };
        let is_written = input.flags & elf::SHF_WRITE.0 != 0;
        let is_code = input.flags & elf::SHF_EXECINSTR.0 != 0;
        let kind = if row.names_slot() {
            UseKind::Slot
        } else if row.branch.is_some() || row.is_pc_relative() && is_code {
            UseKind::Call
        } else if is_pointer(row.number) && (is_written && !is_code || is_dynamic(rules.options)) {
            UseKind::Pointer
        } else {
            UseKind::Address
        };
        Self {
            owner,
            section,
            relocation,
            kind,
        }
    }
}

/// The stubs, their slots, and the pointers that are filled in with them.
#[derive(Default)]
pub(super) struct Indirect {
    stubs: Vec<SlotOwner>,
    numbers: HashMap<SlotOwner, u64, RandomState>,
    /// Slots of the global offset table that are filled in, since there is no stub.
    filled: Vec<SlotOwner>,
    filled_owners: HashSet<SlotOwner, RandomState>,
    pointers: Vec<IndirectUse>,
    parts: Option<Parts>,
}

#[derive(Clone, Copy)]
struct Parts {
    stubs: SectionId,
    slots: SectionId,
    relocations: SectionId,
}

impl Indirect {
    /// Decides which functions get stubs. Gives also what they need of the global offset table.
    pub(super) fn plan(
        rules: &Rules<'_, '_>,
        made: &MadeSections,
        uses: &[IndirectUse],
    ) -> (Self, Vec<SlotKey>) {
        let parts = || {
            Some(Parts {
                stubs: made.part(MadePart::IndirectStubs)?,
                slots: made.part(MadePart::IndirectSlots)?,
                relocations: made.part(MadePart::IndirectRelocations)?,
            })
        };
        let mut indirect = Self {
            parts: parts(),
            ..Self::default()
        };
        let of_kind = |kinds: &[UseKind]| {
            let wanted = uses.iter().filter(|one| kinds.contains(&one.kind));
            let mut owners: Vec<SlotOwner> = wanted.map(|one| one.owner).collect();
            order_owners(&mut owners, rules.resolved, |owner| match owner {
                SlotOwner::Global(_) => 0,
                SlotOwner::Module | SlotOwner::Local(..) => 1,
            });
            owners
        };
        indirect.stubs = of_kind(&[UseKind::Call, UseKind::Address]);
        for (number, &owner) in indirect.stubs.iter().enumerate() {
            indirect.numbers.insert(owner, number as u64);
        }
        let taken = of_kind(&[UseKind::Address, UseKind::Pointer]);
        let taken: HashSet<SlotOwner, RandomState> = taken.into_iter().collect();
        // Where the stub's address stands for the function, the slot must give that too; else the stub's
        // own slot does.
        let (same, others): (Vec<_>, Vec<_>) = of_kind(&[UseKind::Slot])
            .into_iter()
            .partition(|owner| indirect.has_stub(*owner));
        // A program that may be loaded anywhere has pointers filled in, and its slots are the stubs' own.
        let may_move = is_dynamic(rules.options);
        let same = same
            .into_iter()
            .filter(|owner| !may_move && taken.contains(owner));
        let slots = same.chain(others.iter().copied()).map(SlotKey::address);
        let slots = slots.collect();
        indirect.filled_owners = others.iter().copied().collect();
        indirect.filled = others;
        let pointers = uses.iter().filter(|one| one.kind == UseKind::Pointer);
        let pointers = pointers.filter(|one| may_move || !indirect.has_stub(one.owner));
        indirect.pointers = pointers.copied().collect();
        (indirect, slots)
    }

    /// Whether the relocation of type `number` is left to the start code.
    pub(super) fn is_filled(&self, owner: SlotOwner, number: u32, rules: &Rules<'_, '_>) -> bool {
        let dynamic = rules.arch.dynamic.as_ref();
        let is_pointer = dynamic.is_some_and(|dynamic| dynamic.pointer == number);
        !self.has_stub(owner) || is_dynamic(rules.options) && is_pointer
    }

    /// Whether there is anything to fill in when the program starts.
    pub(super) fn has_relocations(&self) -> bool {
        !self.stubs.is_empty() || !self.filled.is_empty() || !self.pointers.is_empty()
    }

    /// Whether a slot of the global offset table is of such a function.
    pub(super) fn has_slot(&self, owner: SlotOwner) -> bool {
        self.has_stub(owner) || self.filled_owners.contains(&owner)
    }

    /// Whether others may put another function in the place of one: then a loader would have to find it by
    /// its name, as nothing here asks it to.
    pub(super) fn is_replaceable(&self, rules: &Rules<'_, '_>) -> bool {
        let pointers = self.pointers.iter().map(|one| &one.owner);
        let mut owners = self.stubs.iter().chain(&self.filled).chain(pointers);
        owners.any(|owner| match *owner {
            SlotOwner::Global(id) => !rules.bindings.target_of_global(rules.resolved, id).is_bound,
            SlotOwner::Local(..) | SlotOwner::Module => false,
        })
    }

    /// Whether there is a stub.
    pub(super) fn is_used(&self) -> bool {
        !self.stubs.is_empty()
    }

    fn has_stub(&self, owner: SlotOwner) -> bool {
        self.numbers.contains_key(&owner)
    }

    /// What a slot of the global offset table holds in the file; `None`: it is of no such function.
    pub(super) fn in_table(
        &self,
        owner: SlotOwner,
        rules: &Rules<'_, '_>,
        values: &Values<'_, '_>,
    ) -> Option<u64> {
        match self.filled_owners.contains(&owner) {
            true if rules.arch.addends == Addends::Rel => Some(owner_value(owner, values)),
            true => Some(0),
            false => self.stub(owner, rules, values),
        }
    }

    /// The sizes of the sections.
    pub(super) fn sizes(&self, rules: &Rules<'_, '_>) -> Vec<(SectionId, u64)> {
        let (Some(parts), Some(functions)) = (self.parts, rules.arch.indirect) else {
            return Vec::new();
        };
        let form = Form::of(rules.arch);
        let stubs = self.stubs.len() as u64;
        let relocations = stubs + (self.filled.len() + self.pointers.len()) as u64;
        let each = relocations::relocation_size(form.class, rules.arch.addends);
        vec![
            (parts.stubs, stubs * template(rules, functions).len() as u64),
            (parts.slots, stubs * form.address_size() as u64),
            (parts.relocations, relocations * each),
        ]
    }

    /// The address of a function's stub.
    pub(super) fn stub(
        &self,
        owner: SlotOwner,
        rules: &Rules<'_, '_>,
        values: &Values<'_, '_>,
    ) -> Option<u64> {
        let each = template(rules, rules.arch.indirect?).len() as u64;
        let offset = self.numbers.get(&owner)? * each;
        Some(values.in_section(self.parts?.stubs, offset).address())
    }

    /// The address of the slot that a function's stub goes through.
    pub(super) fn slot(
        &self,
        owner: SlotOwner,
        rules: &Rules<'_, '_>,
        values: &Values<'_, '_>,
    ) -> Option<u64> {
        let each = Form::of(rules.arch).address_size() as u64;
        let offset = self.numbers.get(&owner)? * each;
        Some(values.in_section(self.parts?.slots, offset).address())
    }

    /// Sets what the sections hold.
    ///
    /// # Errors
    /// A stub that does not reach its slot; a function that nothing was planned for.
    pub(super) fn fill(
        &self,
        rules: &Rules<'_, '_>,
        got: &Got,
        layout: &ImageLayout<'_>,
        values: &Values<'_, '_>,
        contents: &mut MadeContents,
    ) -> Result<()> {
        let (Some(parts), Some(functions)) = (self.parts, rules.arch.indirect) else {
            return Ok(());
        };
        let form = Form::of(rules.arch);
        let template = template(rules, functions);
        let each = template.len();
        let mut code = vec![0; self.stubs.len() * each];
        let mut slots = Encoder::new(form, self.stubs.len() * form.address_size());
        let number = rules.arch.dynamic.as_ref().and_then(|it| it.irelative);
        let relocation = |place, owner| DynamicRelocation {
            place,
            symbol: 0,
            number: number.unwrap_or(0),
            addend: owner_value(owner, values).cast_signed(),
        };
        let mut relocations: Vec<DynamicRelocation> = Vec::new();
        for one in &self.pointers {
            let offset = layout.placements.offset(one.section);
            let start = layout.placements.output(one.section);
            let start = start.map_or(0, |id| layout.outputs.sections[id].address);
            let place = start.wrapping_add(offset);
            let place = place.wrapping_add(one.relocation.offset);
            relocations.push(relocation(place, one.owner));
        }
        for &owner in &self.filled {
            let place = got.slot(SlotKey::address(owner), values);
            let place = place.ok_or_else(|| unplanned(rules, owner))?;
            relocations.push(relocation(place, owner));
        }
        // GNU ld fills in those of stubs from the end, of locals first.
        let is_global = |owner: &&SlotOwner| matches!(owner, SlotOwner::Global(_));
        let globals = self.stubs.iter().rev().filter(is_global);
        let locals = self.stubs.iter().rev().filter(|owner| !is_global(owner));
        for &owner in globals.chain(locals) {
            let place = self.slot(owner, rules, values);
            let place = place.ok_or_else(|| unplanned(rules, owner))?;
            relocations.push(relocation(place, owner));
        }
        for (&owner, code) in self.stubs.iter().zip(code.chunks_mut(each.max(1))) {
            let stub = self.stub(owner, rules, values);
            let stub = stub.ok_or_else(|| unplanned(rules, owner))?;
            let slot = self.slot(owner, rules, values);
            let slot = slot.ok_or_else(|| unplanned(rules, owner))?;
            let addresses = Addresses {
                symbol: slot,
                place: stub,
                got: got.base(values),
                ..Addresses::default()
            };
            let made = template.resolve_with(rules.arch, &addresses, code);
            made.map_err(|error| LinkError::BadSection {
                file: "output".to_owned(),
                section: ".iplt".to_owned(),
                what: format!("a stub does not reach its slot: {error}"),
            })?;
            slots.address(match functions.first {
                Some(offset) => stub.wrapping_add(offset),
                None => owner_value(owner, values),
            });
        }
        contents.set(parts.stubs, code);
        contents.set(parts.slots, slots.into_bytes());
        let table = relocations::encode(form, rules.arch.addends, &relocations);
        contents.set(parts.relocations, table);
        Ok(())
    }
}

fn template(rules: &Rules<'_, '_>, functions: &'static IndirectFunctions) -> &'static StubTemplate {
    functions.stub(is_dynamic(rules.options))
}

/// What was to be planned for a function and was not.
fn unplanned(rules: &Rules<'_, '_>, owner: SlotOwner) -> LinkError {
    let name = match owner {
        SlotOwner::Local(object, symbol) => {
            let symbols = &rules.resolved.objects[object].symbols;
            symbols.get(symbol as usize).map_or(&b""[..], |it| it.name)
        }
        SlotOwner::Global(id) => rules.resolved.globals[id].name,
        SlotOwner::Module => b"",
    };
    LinkError::BadSection {
        file: "output".to_owned(),
        section: ".iplt".to_owned(),
        what: format!(
            "internal error: there is no stub or slot for `{}'",
            String::from_utf8_lossy(name)
        ),
    }
}

/// The address of a resolver.
fn owner_value(owner: SlotOwner, values: &Values<'_, '_>) -> u64 {
    match owner {
        SlotOwner::Local(object, symbol) => values.of(object, symbol).address(),
        SlotOwner::Global(id) => values.global(id).address(),
        SlotOwner::Module => 0,
    }
}
