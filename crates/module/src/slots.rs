//! Slots with addresses and function descriptors that the loader makes for code that takes addresses
//! from a table (PA-RISC 64). They lie in front of all sections of the core, so that offsets into them
//! are small and positive.
//!
//! Source: Linux `arch/parisc/kernel/module.c` (module_frob_arch_sections, get_got, get_fdesc), which
//! runs before any section is laid out.

use hashbrown::HashMap;
use klink_arch::LoaderSlots;

use crate::elf::Format;
use crate::error::Error;
use crate::file::ModuleFile;
use crate::plan::Place;

/// Room for slots and descriptors.
#[derive(Debug)]
pub(crate) struct SlotPlan {
    /// What both tables are aligned to.
    pub(crate) align: u64,
    /// Bytes of both.
    pub(crate) bytes: u64,
    form: &'static LoaderSlots,
    slots: u64,
    descriptors: u64,
}

impl SlotPlan {
    /// Counts what may be needed: one for each relocation, though those for one address will share.
    pub(crate) fn new(file: &ModuleFile<'_>) -> Option<Self> {
        let form = file.arch().load.slots.as_ref()?;
        let (mut slots, mut descriptors) = (0_u64, 0_u64);
        for section in file.sections() {
            let Some((_, relocations)) = file.relocations(section) else {
                continue;
            };
            for relocation in relocations {
                let of = |types: &[u32]| types.binary_search(&relocation.number).is_ok();
                slots += u64::from(of(form.slot_types));
                descriptors += u64::from(of(form.descriptor_types));
            }
        }
        let align = form.align.max(1);
        // counts are below the file's size, so nothing here overflows
        let bytes =
            (slots * form.slot_bytes).next_multiple_of(align) + descriptors * form.descriptor_bytes;
        Some(Self {
            align,
            bytes,
            form,
            slots,
            descriptors,
        })
    }
}

/// The slots while they are filled.
#[derive(Debug)]
pub(crate) struct Slots {
    form: &'static LoaderSlots,
    place: Place,
    base: u64,
    slots: Table,
    descriptors: Table,
}

/// One of the two tables.
#[derive(Debug)]
struct Table {
    offset: u64,
    entry: u64,
    room: u64,
    made: HashMap<u64, u64>,
}

impl Table {
    fn new(offset: u64, entry: u64, room: u64) -> Self {
        Self {
            offset,
            entry,
            room,
            made: HashMap::new(),
        }
    }

    /// The offset of the entry for `value`, and whether it is new.
    fn find(&mut self, value: u64) -> Option<(u64, bool)> {
        if let Some(&offset) = self.made.get(&value) {
            return Some((offset, false));
        }
        let nth = self.made.len() as u64;
        if nth >= self.room {
            return None;
        }
        let offset = self.offset + nth * self.entry;
        self.made.insert(value, offset);
        Some((offset, true))
    }
}

impl Slots {
    /// Empty tables at `place`, which runs at `base`.
    pub(crate) fn new(plan: &SlotPlan, place: Place, base: u64) -> Self {
        let form = plan.form;
        let behind = (plan.slots * form.slot_bytes).next_multiple_of(plan.align);
        Self {
            form,
            place,
            base,
            slots: Table::new(0, form.slot_bytes, plan.slots),
            descriptors: Table::new(behind, form.descriptor_bytes, plan.descriptors),
        }
    }

    /// The run address of the first slot: what the global pointer holds.
    pub(crate) const fn base(&self) -> u64 {
        self.base
    }

    pub(crate) const fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn is_slot_type(&self, number: u32) -> bool {
        self.form.slot_types.binary_search(&number).is_ok()
    }

    pub(crate) fn is_descriptor_type(&self, number: u32) -> bool {
        self.form.descriptor_types.binary_search(&number).is_ok()
    }

    /// The run address of the slot that holds `value`, made if there is none. `block` are the bytes of
    /// the block that the slots are in.
    pub(crate) fn slot(
        &mut self,
        format: Format,
        block: &mut [u8],
        value: u64,
    ) -> Result<u64, Error> {
        let (offset, new) = self.slots.find(value).ok_or(Error::NoRoom("slots"))?;
        if new {
            self.write(format, block, offset, value)?;
        }
        Ok(self.base.wrapping_add(offset))
    }

    /// The run address of the descriptor of the function at `value`, made if there is none.
    pub(crate) fn descriptor(
        &mut self,
        format: Format,
        block: &mut [u8],
        value: u64,
    ) -> Result<u64, Error> {
        let found = self.descriptors.find(value);
        let (offset, new) = found.ok_or(Error::NoRoom("descriptors"))?;
        if new {
            self.write(format, block, offset + self.form.function_offset, value)?;
            let pointer = offset + self.form.pointer_offset;
            self.write(format, block, pointer, self.base)?;
        }
        Ok(self.base.wrapping_add(offset))
    }

    fn write(
        &self,
        format: Format,
        block: &mut [u8],
        offset: u64,
        value: u64,
    ) -> Result<(), Error> {
        let at = usize::try_from(self.place.offset + offset).ok();
        match at.is_some_and(|at| format.put_word(block, at, value)) {
            true => Ok(()),
            false => Err(Error::NoRoom("slots")),
        }
    }
}
