//! Applies relocations with [`klink_arch::Relocation::apply`], the function that the static linker
//! uses, sends branches that do not reach through stubs, and fills slots.

use alloc::string::String;

use klink_arch::{
    AfterCall, Arch, LoaderStub, RelocError, Relocation, StubPlace, StubTarget, Value, Values,
};

use crate::elf::{Format, RawRelocation, RawSymbol, SHF_RELA_LIVEPATCH, SHN_LIVEPATCH, SHN_UNDEF};
use crate::error::Error;
use crate::file::{ModuleFile, Section};
use crate::id::{BlockId, SectionId, SymbolId};
use crate::link::{Addresses, Pointers};
use crate::plan::Place;
use crate::slots::Slots;
use crate::stubs::{Area, LinuxStubs, StubPlan, StubWriter, relocation_order};

/// A section that is relocated.
#[derive(Clone, Copy)]
struct Site {
    id: SectionId,
    place: Place,
    /// Its run address.
    address: u64,
    /// Its bytes in the image of its block.
    start: usize,
    end: usize,
}

/// A relocation in a section.
#[derive(Clone, Copy)]
struct At<'s> {
    site: &'s Site,
    raw: RawRelocation,
    row: &'static Relocation,
}

pub(crate) struct Relocator<'l, 'p, 'f, 'a, 'm> {
    addresses: &'l Addresses<'p, 'f, 'a>,
    file: &'f ModuleFile<'a>,
    arch: &'static Arch,
    format: Format,
    values: &'l [u64],
    pointers: Pointers,
    images: &'l mut [&'m mut [u8]],
    slots: Option<Slots>,
    stubs: Option<(&'p LinuxStubs, StubWriter)>,
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
        let stubs = match plan.stubs() {
            StubPlan::None => None,
            StubPlan::Linux(stubs) => {
                let erratum = plan.policy().erratum;
                Some((stubs, StubWriter::new(file.arch(), stubs.form(), erratum)))
            }
        };
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
        self.stubs.as_ref().map_or(0, |(_, writer)| writer.count())
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
        let order = self.stubs.as_ref().and_then(|(stubs, _)| {
            let code = place.region.is_code();
            let sorted = || relocation_order(file, stubs.form(), id, relocations.clone());
            code.then(sorted).flatten()
        });
        match order {
            None => self.relocate(&site, relocations, with_addend),
            Some(order) => self.relocate(&site, order.into_iter(), with_addend),
        }
    }

    fn relocate(
        &mut self,
        site: &Site,
        relocations: impl Iterator<Item = RawRelocation>,
        with_addend: bool,
    ) -> Result<(), Error> {
        let load = &self.arch.load;
        let plain = self.stubs.is_none() && self.slots.is_none();
        for raw in relocations {
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
                continue;
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
            let read = match row.loader_value {
                Some(_) => &row.as_loader_reads(),
                None => row,
            };
            let bytes = self.field(site, raw.offset);
            read.apply(endian, bytes, &values)
                .map_err(|error| self.failed(&at, error))?;
        }
        Ok(())
    }

    /// The bytes from a place in a section to the section's end; none if it is outside.
    fn field(&mut self, site: &Site, offset: u64) -> &mut [u8] {
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

    /// Where a branch goes: to its target, or to a stub that goes there.
    fn branch(&mut self, at: &At<'_>, values: Values) -> Result<Values, Error> {
        let Some((branch, symbol)) = at
            .row
            .branch
            .zip(self.file.raw_symbol(SymbolId(at.raw.symbol)))
        else {
            return Ok(values);
        };
        let outside = matches!(symbol.section, SHN_UNDEF | SHN_LIVEPATCH);
        let entry = match outside {
            true => 0,
            false => self.arch.local_entry_offset(symbol.other),
        };
        let direct = Values {
            symbol: values.symbol.wrapping_add(entry),
            ..values
        };
        let distance = direct
            .symbol
            .wrapping_add_signed(direct.addend)
            .wrapping_sub(direct.place)
            .wrapping_add_signed(branch.target_bias);
        let distance = match self.arch.class {
            klink_arch::Class::Elf32 => i64::from(distance as u32 as i32),
            klink_arch::Class::Elf64 => distance as i64,
        };
        let reaches = branch.reaches(distance);
        let Some(kind) = self.stub_kind(at, symbol, outside, reaches) else {
            return Ok(direct);
        };
        let endian = self.arch.endian;
        let bytes = self.field(at.site, at.raw.offset);
        if !at.row.may_use_stub(endian, bytes) {
            return Ok(direct);
        }
        let stub = self.stub(at, kind, &values)?;
        if kind.restores {
            self.restore(at)?;
        }
        Ok(Values {
            symbol: stub,
            addend: branch.target_bias.wrapping_neg(),
            ..values
        })
    }

    /// The kind of stub that a branch needs, if it needs one.
    fn stub_kind(
        &self,
        at: &At<'_>,
        symbol: RawSymbol,
        outside: bool,
        reaches: bool,
    ) -> Option<&'static LoaderStub> {
        let (stubs, _) = self.stubs.as_ref()?;
        let form = stubs.form();
        form.counted.binary_search(&at.raw.number).ok()?;
        form.kinds.iter().find(|kind| {
            let target = match kind.target {
                StubTarget::Any => true,
                StubTarget::Inside => !outside,
                StubTarget::Outside => outside,
            };
            let needed = !(kind.only_far && reaches);
            target && needed && {
                let name = self.file.raw_name(symbol).unwrap_or_default();
                kind.names.matches(name)
            }
        })
    }

    fn stub(&mut self, at: &At<'_>, kind: &LoaderStub, values: &Values) -> Result<u64, Error> {
        let mut values = *values;
        if kind.kernel_pointer {
            let symbol = self.arch.load.global_pointer.symbol().unwrap_or_default();
            let pointer = self.pointers.kernel;
            values.gp = pointer.ok_or(Error::NoGlobalPointer { symbol })?;
        }
        let with_slot = kind.template.relocations.iter().any(|relocation| {
            let row = self.arch.relocation(relocation.number);
            row.is_some_and(needs_slot)
        });
        if with_slot && let Some(slots) = &mut self.slots {
            let block = self.images.get_mut(slots.place().block.index());
            let block = block.ok_or(Error::NoRoom("slots"))?;
            let target = values.symbol.wrapping_add_signed(values.addend);
            values.slot = slots.slot(self.format, block, target)?;
        }
        let Some((stubs, writer)) = &mut self.stubs else {
            return Err(Error::NoRoom("stubs"));
        };
        let in_init = at.site.place.region.is_init();
        let key = match stubs.form().place {
            StubPlace::BeforeSections => at.site.id.0,
            StubPlace::Sections { .. } => u32::from(in_init),
        };
        let (addresses, site) = (self.addresses, at.site);
        let images = &mut *self.images;
        writer.stub(
            key,
            || area(addresses, stubs, site, in_init),
            kind,
            &values,
            |block: BlockId| images.get_mut(block.index()).map(|image| &mut **image),
        )
    }

    /// Changes the instruction behind a call, which is to give the caller its global pointer back.
    fn restore(&mut self, at: &At<'_>) -> Result<(), Error> {
        let Some(AfterCall { calls, restore }) = self.arch.load.after_call else {
            return Ok(());
        };
        let endian = self.arch.endian;
        let field = klink_arch::Field::DATA32;
        let call = self.field(at.site, at.raw.offset);
        let returns = field
            .read(endian, call)
            .is_ok_and(|word| calls.matches(word));
        if !returns {
            return Ok(());
        }
        let next = call.get_mut(4..).unwrap_or_default();
        let word = field
            .read(endian, next)
            .ok()
            .and_then(|word| restore.rewrite(word));
        if let Some(word) = word
            && field.write(endian, next, word).is_ok()
        {
            return Ok(());
        }
        Err(Error::NoRestore {
            symbol: self.name(at.raw.symbol),
            section: self.file.describe(at.site.id),
            offset: at.raw.offset,
        })
    }

    /// What to call a symbol: its section's name, if it has none of its own.
    fn name(&self, symbol: u32) -> String {
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
    fn failed(&self, at: &At<'_>, error: RelocError) -> Error {
        Error::Relocation {
            symbol: self.name(at.raw.symbol),
            section: self.file.describe(at.site.id),
            offset: at.raw.offset,
            kind: at.row.name,
            error,
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
fn needs_slot(row: &Relocation) -> bool {
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

/// Where the stubs for branches of a section are.
fn area(
    addresses: &Addresses<'_, '_, '_>,
    stubs: &LinuxStubs,
    site: &Site,
    in_init: bool,
) -> Result<Area, Error> {
    let form = stubs.form();
    if let Some((section, room)) = stubs.holder(in_init) {
        let place = addresses
            .plan
            .place(section)
            .ok_or(Error::NoRoom("stubs"))?;
        return Ok(Area {
            block: place.block,
            offset: place.offset,
            address: addresses.of(place),
            room,
        });
    }
    // the spare one in front of a section is there so that the first can be aligned
    let reserved = stubs.bytes_before(site.id);
    let offset = site.place.offset.checked_sub(reserved);
    let offset = offset.and_then(|start| start.checked_next_multiple_of(form.align.max(1)));
    let offset = offset.ok_or(Error::NoRoom("stubs"))?;
    Ok(Area {
        block: site.place.block,
        offset,
        address: addresses.of(Place {
            offset,
            ..site.place
        }),
        room: stubs.count_of(site.id),
    })
}
