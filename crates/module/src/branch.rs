//! Branches: each goes to its target, or to a stub that goes there.

use alloc::vec;
use alloc::vec::Vec;

use klink_arch::{AfterCall, Class, Field, LoaderStub, LoaderStubs, StubTarget, Values};

use crate::elf::{RawSymbol, SHN_LIVEPATCH, SHN_UNDEF};
use crate::error::Error;
use crate::id::SymbolId;
use crate::link::Addresses;
use crate::plan::{Place, Plan};
use crate::relocate::{At, Relocator, Site, needs_slot};
use crate::stubs::{Area, LinuxStubs, StubPlan, StubWriter};

/// The stubs while they are made.
pub(crate) struct StubState<'p> {
    pub(crate) plan: &'p StubPlan,
    pub(crate) form: &'static LoaderStubs,
    pub(crate) writer: StubWriter,
    /// For each section how many of its relocations that may need a stub were met.
    met: Vec<u32>,
}

impl<'p> StubState<'p> {
    /// No stub is made yet; `None` if none ever will.
    pub(crate) fn new(plan: &'p Plan<'_, '_>) -> Option<Self> {
        let (form, sharing) = plan.stubs().form()?;
        let (planned, sections) = match plan.stubs() {
            StubPlan::Islands(islands) => (islands.stub_count(), plan.file().sections().len()),
            StubPlan::None | StubPlan::Linux(_) => (0, 0),
        };
        let (arch, erratum) = (plan.file().arch(), plan.policy().erratum);
        Some(Self {
            plan: plan.stubs(),
            form,
            writer: StubWriter::new(arch, form, sharing, planned, erratum),
            met: vec![0; sections],
        })
    }
}

impl Relocator<'_, '_, '_, '_, '_> {
    /// Where a branch goes: to its target, or to a stub that goes there.
    pub(crate) fn branch(&mut self, at: &At<'_>, values: Values) -> Result<Values, Error> {
        let planned = self.planned_stub(at);
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
            Class::Elf32 => i64::from(distance as u32 as i32),
            Class::Elf64 => distance as i64,
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
        let stub = self.stub(at, kind, planned, &values)?;
        if kind.restores {
            self.restore(at)?;
        }
        Ok(Values {
            symbol: stub,
            addend: branch.target_bias.wrapping_neg(),
            ..values
        })
    }

    /// The stub that the plan has for a relocation, if it counted it: its number and the bytes from the
    /// start of its region. To be asked for once for each relocation, in their order.
    fn planned_stub(&mut self, at: &At<'_>) -> Option<(usize, u64)> {
        let stubs = self.stubs.as_mut()?;
        let StubPlan::Islands(islands) = stubs.plan else {
            return None;
        };
        stubs.form.counted.binary_search(&at.raw.number).ok()?;
        let met = stubs.met.get_mut(at.site.id.index())?;
        let nth = *met;
        *met += 1;
        islands.stub(at.site.id, nth)
    }

    /// The kind of stub that a branch needs, if it needs one.
    fn stub_kind(
        &self,
        at: &At<'_>,
        symbol: RawSymbol,
        outside: bool,
        reaches: bool,
    ) -> Option<&'static LoaderStub> {
        let form = self.stubs.as_ref()?.form;
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

    /// The run address of the stub for a branch, made if there is none.
    fn stub(
        &mut self,
        at: &At<'_>,
        kind: &LoaderStub,
        planned: Option<(usize, u64)>,
        values: &Values,
    ) -> Result<u64, Error> {
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
        let Some(stubs) = &mut self.stubs else {
            return Err(Error::NoRoom("stubs"));
        };
        let (addresses, site) = (self.addresses, at.site);
        let images = &mut *self.images;
        match (stubs.plan, planned) {
            (StubPlan::Linux(linux), _) => {
                let in_init = site.place.region.is_init();
                let key = linux.area_key(site.id, in_init).0;
                let area = || area(addresses, linux, site, in_init);
                stubs.writer.stub(key, area, kind, &values, images)
            }
            (StubPlan::Islands(islands), Some((number, offset))) => {
                let own = islands.offset(site.id).unwrap_or(0);
                let start = site.place.offset.checked_sub(own);
                let offset = start.and_then(|start| start.checked_add(offset));
                let offset = offset.ok_or(Error::NoRoom("stubs"))?;
                let area = area_at(addresses, site, offset, 1);
                stubs.writer.planned(number, area, kind, &values, images)
            }
            (StubPlan::None, _) | (StubPlan::Islands(_), None) => Err(Error::NoRoom("stubs")),
        }
    }

    /// Bytes from a branch to where its stubs are, if that is one place.
    #[cold]
    pub(crate) fn island_distance(&self, at: &At<'_>) -> Option<i64> {
        let StubPlan::Linux(linux) = self.stubs.as_ref()?.plan else {
            return None;
        };
        let site = at.site;
        let area = area(self.addresses, linux, site, site.place.region.is_init()).ok()?;
        let place = self.addresses.of(site.place).wrapping_add(at.raw.offset);
        Some(area.address.wrapping_sub(place).cast_signed())
    }

    /// Changes the instruction behind a call, which is to give the caller its global pointer back.
    fn restore(&mut self, at: &At<'_>) -> Result<(), Error> {
        let Some(AfterCall { calls, restore }) = self.arch.load.after_call else {
            return Ok(());
        };
        let endian = self.arch.endian;
        let field = Field::DATA32;
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
}

/// Where the stubs for branches of a section are.
pub(crate) fn area(
    addresses: &Addresses<'_, '_, '_>,
    stubs: &LinuxStubs,
    site: &Site,
    in_init: bool,
) -> Result<Area, Error> {
    if let Some((section, room)) = stubs.holder(in_init) {
        let place = addresses.plan.place(section);
        let place = place.ok_or(Error::NoRoom("stubs"))?;
        return Ok(Area {
            block: place.block,
            offset: place.offset,
            address: addresses.of(place),
            room,
        });
    }
    let offset = stubs.area_offset(site.id, site.place.offset);
    let offset = offset.ok_or(Error::NoRoom("stubs"))?;
    Ok(area_at(addresses, site, offset, stubs.count_of(site.id)))
}

/// A place in the block of a section.
fn area_at(addresses: &Addresses<'_, '_, '_>, site: &Site, offset: u64, room: u64) -> Area {
    let place = Place {
        offset,
        ..site.place
    };
    Area {
        block: place.block,
        offset,
        address: addresses.of(place),
        room,
    }
}
