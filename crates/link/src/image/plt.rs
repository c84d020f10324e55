//! Calls of functions that an output leaves to others, or lets others replace: each such function has
//! an entry in `.plt`, a slot behind the reserved words of `.got.plt`, and a relocation in `.rela.plt`.
//!
//! Source: bfd/elfxx-x86.c (elf_x86_allocate_dynrelocs, _bfd_x86_elf_adjust_dynamic_symbol);
//! bfd/elf64-x86-64.c and bfd/elf32-i386.c (elf_*_finish_dynamic_symbol).

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_arch::PltPlace;

use super::contents::MadeContents;
use super::got::{Rules, SlotOwner, order_owners};
use super::made_sections::{MadePart, MadeSections, is_dynamic};
use super::values::Values;
use crate::dynamic::encode::Form;
use crate::dynamic::relocations::{self, DynamicRelocation};
use crate::error::{LinkError, Result};
use crate::id::{GlobalId, SectionId};

/// The table.
#[derive(Default)]
pub(super) struct Plt {
    functions: Vec<GlobalId>,
    numbers: HashMap<GlobalId, u64, RandomState>,
    parts: Option<Parts>,
}

#[derive(Clone, Copy)]
struct Parts {
    code: SectionId,
    slots: SectionId,
    relocations: SectionId,
    /// Bytes in front of the slots.
    reserved: u64,
}

impl Plt {
    /// Decides which of the functions that relocations ask an entry for have one.
    pub(super) fn plan(rules: &Rules<'_, '_>, made: &MadeSections, called: &[GlobalId]) -> Self {
        let is_wanted = |&&id: &&GlobalId| {
            let target = rules.bindings.target_of_global(rules.resolved, id);
            !target.is_bound && !target.is_zero
        };
        let dynamic = rules.arch.dynamic.as_ref();
        let has_table = dynamic.is_some_and(|dynamic| dynamic.plt.is_some());
        if !has_table || !is_dynamic(rules.options) {
            return Self::default();
        }
        let wanted = called.iter().filter(is_wanted);
        let mut owners: Vec<SlotOwner> = wanted.map(|&id| SlotOwner::Global(id)).collect();
        order_owners(&mut owners, rules.resolved, |_| 0);
        let functions = owners.into_iter().filter_map(|owner| match owner {
            SlotOwner::Global(id) => Some(id),
            SlotOwner::Local(..) | SlotOwner::Module => None,
        });
        let functions: Vec<GlobalId> = functions.collect();
        let parts = || {
            let reserved = rules.arch.got.map_or(0, |table| table.reserved);
            Some(Parts {
                code: made.part(MadePart::Plt)?,
                slots: made.part(MadePart::GotPlt)?,
                relocations: made.part(MadePart::PltRelocations)?,
                reserved: reserved * Form::of(rules.arch).address_size() as u64,
            })
        };
        Self {
            numbers: functions.iter().copied().zip(0..).collect(),
            functions,
            parts: parts(),
        }
    }

    /// Whether there is an entry.
    pub(super) fn is_used(&self) -> bool {
        !self.functions.is_empty()
    }

    /// The functions, in order.
    pub(super) fn functions(&self) -> impl Iterator<Item = GlobalId> + '_ {
        self.functions.iter().copied()
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> u64 {
        self.functions.len() as u64
    }

    /// The sizes of the sections that are its own.
    pub(super) fn sizes(&self, rules: &Rules<'_, '_>) -> Vec<(SectionId, u64)> {
        let (Some(parts), Some(dynamic)) = (self.parts, &rules.arch.dynamic) else {
            return Vec::new();
        };
        if !self.is_used() {
            return Vec::new();
        }
        let each = relocations::relocation_size(Form::of(rules.arch).class, dynamic.addends);
        let entries = 1 + self.slots();
        vec![
            (parts.code, entries * entry_size(rules)),
            (parts.relocations, self.slots() * each),
        ]
    }

    /// The address of a function's entry.
    pub(super) fn entry(
        &self,
        id: GlobalId,
        rules: &Rules<'_, '_>,
        values: &Values<'_, '_>,
    ) -> Option<u64> {
        let offset = (1 + self.numbers.get(&id)?) * entry_size(rules);
        Some(values.in_section(self.parts?.code, offset).address())
    }

    /// What the slots hold at first: addresses of code that calls the loader.
    pub(super) fn first_values(&self, rules: &Rules<'_, '_>, values: &Values<'_, '_>) -> Vec<u64> {
        let plt = rules.arch.dynamic.as_ref().and_then(|it| it.plt);
        let first = plt.map_or(0, |plt| plt.first);
        let entries = self.functions.iter();
        let entries = entries.filter_map(|&id| self.entry(id, rules, values));
        entries.map(|entry| entry.wrapping_add(first)).collect()
    }

    /// Sets what the sections hold. `index` gives the number of a symbol in `.dynsym`.
    ///
    /// # Errors
    /// An entry that does not reach its slot.
    pub(super) fn fill(
        &self,
        rules: &Rules<'_, '_>,
        values: &Values<'_, '_>,
        index: impl Fn(GlobalId) -> u32,
        contents: &mut MadeContents,
    ) -> Result<()> {
        let (Some(parts), Some(dynamic)) = (self.parts, &rules.arch.dynamic) else {
            return Ok(());
        };
        let Some(plt) = dynamic.plt.filter(|_| self.is_used()) else {
            return Ok(());
        };
        for section in [parts.code, parts.slots, parts.relocations] {
            if values.layout().placements.output(section).is_none() {
                let name = rules.resolved.section(section).name;
                return Err(LinkError::BadSection {
                    file: "output".to_owned(),
                    section: String::from_utf8_lossy(name).into_owned(),
                    what: "functions are called through it, but the script discards it".to_owned(),
                });
            }
        }
        let each = entry_size(rules) as usize;
        let head = values.in_section(parts.code, 0).address();
        let slots = values.in_section(parts.slots, 0).address();
        let word = Form::of(rules.arch).address_size() as u64;
        let mut code = vec![0; each * (1 + self.functions.len())];
        let mut relocations = Vec::with_capacity(self.functions.len());
        let unreached = |error: klink_arch::RelocError| LinkError::BadSection {
            file: "output".to_owned(),
            section: ".plt".to_owned(),
            what: format!("an entry does not reach its slot: {error}"),
        };
        let (first, entries) = code.split_at_mut(each);
        plt.write_head(rules.arch, head, slots, first)
            .map_err(unreached)?;
        let entries = entries.chunks_mut(each.max(1));
        for ((number, code), &id) in (0..).zip(entries).zip(&self.functions) {
            let place = PltPlace {
                head,
                entry: head.wrapping_add((1 + u64::from(number)) * each as u64),
                slot: slots.wrapping_add(parts.reserved + u64::from(number) * word),
                got: slots,
            };
            plt.write_entry(rules.arch, &place, number, code)
                .map_err(unreached)?;
            relocations.push(DynamicRelocation {
                place: place.slot,
                symbol: index(id),
                number: dynamic.jump_slot,
                addend: 0,
            });
        }
        contents.set(parts.code, code);
        let table = relocations::encode(Form::of(rules.arch), dynamic.addends, &relocations);
        contents.set(parts.relocations, table);
        Ok(())
    }
}

/// Bytes of an entry.
fn entry_size(rules: &Rules<'_, '_>) -> u64 {
    let plt = rules.arch.dynamic.as_ref().and_then(|it| it.plt);
    plt.map_or(0, |plt| plt.entry.len() as u64)
}
