//! Applies relocations with [`klink_arch::Relocation::apply`], the function that the static linker
//! uses, and fills slots. Branches are the next file's.

use alloc::string::String;

use klink_arch::{Arch, RelocError, Relocation, Value, Values};

use crate::branch::StubState;
use crate::elf::{Format, RawRelocation, SHF_RELA_LIVEPATCH, SHN_UNDEF};
use crate::error::Error;
use crate::file::{ModuleFile, Section};
use crate::id::{SectionId, SymbolId};
use crate::link::{Addresses, Pointers};
use crate::plan::Place;
use crate::region::RegionKind;
use crate::slots::Slots;
use crate::stubs::relocation_order;
use crate::words::Words;

/// A section that is relocated.
#[derive(Clone, Copy)]
pub(crate) struct Site {
    pub(crate) id: SectionId,
    pub(crate) place: Place,
    /// Its run address.
    address: u64,
    /// Its bytes in the image of its block.
    start: usize,
    end: usize,
}

/// A relocation in a section.
#[derive(Clone, Copy)]
pub(crate) struct At<'s> {
    pub(crate) site: &'s Site,
    pub(crate) raw: RawRelocation,
    pub(crate) row: &'static Relocation,
}

/// Relocates a module.
pub(crate) struct Relocator<'l, 'p, 'f, 'a, 'm> {
    pub(crate) addresses: &'l Addresses<'p, 'f, 'a>,
    pub(crate) file: &'f ModuleFile<'a>,
    pub(crate) arch: &'static Arch,
    pub(crate) format: Format,
    values: &'l [u64],
    pub(crate) pointers: Pointers,
    pub(crate) images: &'l mut [&'m mut [u8]],
    pub(crate) slots: Option<Slots>,
    pub(crate) stubs: Option<StubState<'p>>,
}

impl<'l, 'p, 'f, 'a, 'm> Relocator<'l, 'p, 'f, 'a, 'm> {
    pub(crate) fn new(
        addresses: &'l Addresses<'p, 'f, 'a>,
        values: &'l [u64],
        pointers: Pointers,
        images: &'l mut [&'m mut [u8]],
    ) -> Self {
        let plan = addresses.plan;
        let file = plan.file();
        let slots = plan.slots().zip(plan.layout().slots);
        let slots = slots.map(|(slots, place)| Slots::new(slots, place, addresses.of(place)));
        let stubs = StubState::new(plan);
        Self {
            addresses,
            file,
            arch: file.arch(),
            format: file.format(),
            values,
            pointers,
            images,
            slots,
            stubs,
        }
    }

    /// Number of stubs made.
    pub(crate) fn stub_count(&self) -> u64 {
        self.stubs.as_ref().map_or(0, |stubs| stubs.writer.count())
    }

    /// Applies every relocation of every loaded section, in the order of the file.
    pub(crate) fn relocate_all(&mut self) -> Result<(), Error> {
        let file = self.file;
        for section in file.sections() {
            if section.flags & SHF_RELA_LIVEPATCH == 0 {
                self.relocate_with(section)?;
            }
        }
        Ok(())
    }

    fn relocate_with(&mut self, section: &Section) -> Result<(), Error> {
        let id = SectionId(section.info);
        let file = self.file;
        let Some((with_addend, relocations)) = file.relocations(section) else {
            return Ok(());
        };
        let Some(place) = self.addresses.plan.place(id) else {
            return Ok(());
        };
        let policy = self.addresses.plan.policy();
        if place.region == RegionKind::PerCpu && !policy.relocates_per_cpu {
            return Ok(());
        }
        let shape = self.addresses.plan.shapes().get(id);
        let shape = shape.filter(|shape| shape.region.is_some());
        let range = shape.and_then(|shape| crate::layout::range(place, shape.size));
        let range = range.unwrap_or_default();
        let site = Site {
            id,
            place,
            address: self.addresses.of(place),
            start: range.start,
            end: range.end,
        };
        let order = self.stubs.as_ref().and_then(|stubs| {
            let code = place.region.is_code();
            let sorted = || relocation_order(file, stubs.form, id, relocations.clone());
            code.then(sorted).flatten()
        });
        match order {
            None => self.relocate_entries(&site, section, with_addend),
            Some(order) => order
                .into_iter()
                .try_for_each(|raw| self.relocate_one(&site, raw, with_addend)),
        }
    }

    /// Applies relocations in the order of the file, those of whole words without much ado.
    fn relocate_entries(
        &mut self,
        site: &Site,
        section: &Section,
        with_addend: bool,
    ) -> Result<(), Error> {
        let size = self.format.relocation_size(with_addend) as usize;
        let mut rest = self.file.contents(section);
        while rest.len() >= size {
            let words = Words {
                arch: self.arch,
                values: self.values,
                address: site.address,
                low: self.file.bytes().len() as u64,
            };
            let image = self.images.get_mut(site.place.block.index());
            let bytes = image.and_then(|image| image.get_mut(site.start..site.end));
            let done = words.apply(self.format, with_addend, rest, bytes.unwrap_or_default());
            rest = rest.get(done * size..).unwrap_or_default();
            if let Some(raw) = self.format.relocation(rest, with_addend) {
                self.relocate_one(site, raw, with_addend)?;
                rest = rest.get(size..).unwrap_or_default();
            }
        }
        Ok(())
    }

    fn relocate_one(
        &mut self,
        site: &Site,
        raw: RawRelocation,
        with_addend: bool,
    ) -> Result<(), Error> {
        let load = &self.arch.load;
        let plain = self.stubs.is_none() && self.slots.is_none();
        let hit = self.addresses.plan.policy().erratum && site.place.region.is_code();
        let erratum = load.page_erratum.filter(|_| hit);
        let Some(row) = self.arch.relocation(raw.number) else {
            return Err(Error::UnknownRelocation {
                section: self.file.describe(site.id),
                offset: raw.offset,
                number: raw.number,
            });
        };
        let at = At { site, raw, row };
        let Some(&symbol) = self.values.get(raw.symbol as usize) else {
            return Err(Error::NoSymbol {
                section: self.file.describe(site.id),
                offset: raw.offset,
                symbol: raw.symbol,
            });
        };
        // no kernel has its modules this low: such a value is an offset, or worth a second look
        if symbol < self.file.bytes().len() as u64 {
            self.check_low(&at, symbol)?;
        }
        if matches!(row.value, Value::Marker) {
            return Ok(());
        }
        if is_thread_local(row) {
            let error = RelocError::Unsupported { name: row.name };
            return Err(self.failed(&at, error));
        }
        let endian = self.arch.endian;
        let addend = match with_addend {
            true => raw.addend,
            false => row
                .implicit_addend(endian, self.field(site, raw.offset))
                .map_err(|error| self.failed(&at, error))?,
        };
        if with_addend && load.wants_zero_fields && self.is_nonzero(&at) {
            return Err(self.nonzero(&at));
        }
        let mut values = Values {
            symbol,
            addend,
            place: site.address.wrapping_add(raw.offset),
            gp: self.pointers.module,
            ..Values::default()
        };
        if !plain {
            values = self.redirect(&at, values)?;
        } else if needs_slot(row) {
            let error = RelocError::Unsupported { name: row.name };
            return Err(self.failed(&at, error));
        }
        if let Some(erratum) = erratum
            && self.avoid_erratum(erratum, &at, &values)?
        {
            return Ok(());
        }
        let read = match row.loader_value {
            Some(_) => &row.as_loader_reads(),
            None => row,
        };
        let bytes = self.field(site, raw.offset);
        read.apply(endian, bytes, &values)
            .map_err(|error| self.failed(&at, error))
    }

    /// The bytes from a place in a section to the section's end; none if it is outside.
    pub(crate) fn field(&mut self, site: &Site, offset: u64) -> &mut [u8] {
        let start = usize::try_from(offset).ok();
        let start = start.and_then(|offset| site.start.checked_add(offset));
        let image = self.images.get_mut(site.place.block.index());
        let bytes = image.and_then(|image| image.get_mut(start?..site.end));
        bytes.unwrap_or_default()
    }

    fn is_nonzero(&mut self, at: &At<'_>) -> bool {
        let endian = self.arch.endian;
        let bytes = self.field(at.site, at.raw.offset);
        at.row.field.read(endian, bytes).is_ok_and(|word| word != 0)
    }

    /// Refuses a symbol in a section that is not loaded, and zero where the architecture's Linux does.
    fn check_low(&self, at: &At<'_>, value: u64) -> Result<(), Error> {
        let Some(symbol) = self.file.raw_symbol(SymbolId(at.raw.symbol)) else {
            return Ok(());
        };
        if value == 0 && self.arch.load.refuses_zero_symbols {
            let symbol = self.name(at.raw.symbol);
            let why = crate::error::Why::Unknown;
            let unresolved = crate::error::Unresolved { symbol, why };
            return Err(Error::Unresolved(alloc::vec![unresolved]));
        }
        let section = SectionId(symbol.section.into());
        let loaded = symbol.section == SHN_UNDEF
            || self.file.section(section).is_none()
            || self.addresses.plan.place(section).is_some();
        if loaded {
            return Ok(());
        }
        Err(Error::NotLoaded {
            symbol: self.name(at.raw.symbol),
            section: self.file.describe(at.site.id),
            offset: at.raw.offset,
        })
    }

    /// Sends a branch that needs it through a stub, and finds slots and descriptors.
    fn redirect(&mut self, at: &At<'_>, mut values: Values) -> Result<Values, Error> {
        let target = values.symbol.wrapping_add_signed(values.addend);
        if let Some(slots) = &mut self.slots {
            let number = at.raw.number;
            let block = self.images.get_mut(slots.place().block.index());
            let block = block.ok_or(Error::NoRoom("slots"))?;
            if slots.is_descriptor_type(number) {
                let inside = self.addresses.contains(target);
                values.slot = match inside {
                    true => slots.descriptor(self.format, block, target)?,
                    false => target,
                };
            } else if slots.is_slot_type(number) && at.row.branch.is_none() {
                values.slot = slots.slot(self.format, block, target)?;
            }
            values.got = slots.base();
        }
        if at.row.branch.is_some() && self.stubs.is_some() {
            return self.branch(at, values);
        }
        Ok(values)
    }

    /// What to call a symbol: its section's name, if it has none of its own.
    pub(crate) fn name(&self, symbol: u32) -> String {
        let id = SymbolId(symbol);
        let mut name = self.file.symbol_name(id);
        if name.is_empty()
            && let Some(raw) = self.file.raw_symbol(id)
            && let Some(section) = self.file.section(SectionId(raw.section.into()))
        {
            name = self.file.section_name(section);
        }
        String::from_utf8_lossy(name).into_owned()
    }

    #[cold]
    pub(crate) fn failed(&self, at: &At<'_>, error: RelocError) -> Error {
        Error::Relocation {
            symbol: self.name(at.raw.symbol),
            section: self.file.describe(at.site.id),
            offset: at.raw.offset,
            kind: at.row.name,
            error,
            nearest_island: match (at.row.branch, error) {
                (Some(_), RelocError::OutOfRange { .. }) => self.island_distance(at),
                _ => None,
            },
        }
    }

    #[cold]
    fn nonzero(&self, at: &At<'_>) -> Error {
        Error::NonzeroField {
            symbol: self.name(at.raw.symbol),
            section: self.file.describe(at.site.id),
            offset: at.raw.offset,
            kind: at.row.name,
        }
    }
}

/// Whether a relocation is about a slot that the loader would have to make.
pub(crate) fn needs_slot(row: &Relocation) -> bool {
    matches!(
        row.value,
        Value::GotRelative
            | Value::GotPcRelative
            | Value::Slot
            | Value::SlotPageRelative
            | Value::SlotGotPageRelative
            | Value::SlotGpRelative
            | Value::SlotGpRelativeAddend
            | Value::SlotGotRelative
            | Value::SlotPcRelative
    )
}

/// Whether a relocation is about a thread-local variable: kernels have none, and know no such type.
fn is_thread_local(row: &Relocation) -> bool {
    matches!(
        row.value,
        Value::ThreadPointerRelative | Value::ThreadPointerDistance | Value::ThreadBlockRelative
    )
}
