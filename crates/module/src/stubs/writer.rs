//! Makes stubs while branches are relocated.

use alloc::vec;
use alloc::vec::Vec;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use klink_arch::{Arch, LoaderStub, LoaderStubs, PageErratum, StubSharing, Values};

use crate::error::Error;
use crate::id::BlockId;

/// A place for stubs at a known address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    /// The block that it is in.
    pub(crate) block: BlockId,
    /// Bytes from the start of the block.
    pub(crate) offset: u64,
    /// The run address.
    pub(crate) address: u64,
    /// Stubs that fit.
    pub(crate) room: u64,
}

/// The stubs of one area.
#[derive(Debug)]
struct Made {
    area: Area,
    count: u64,
    last: Option<(u64, u64)>,
    by_target: HashMap<u64, u64>,
}

impl Made {
    /// The stubs of the area with this key, which `area` gives at first use.
    fn of(
        areas: &mut HashMap<u32, Self>,
        key: u32,
        area: impl FnOnce() -> Result<Area, Error>,
    ) -> Result<&mut Self, Error> {
        Ok(match areas.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(Self {
                area: area()?,
                count: 0,
                last: None,
                by_target: HashMap::new(),
            }),
        })
    }

    /// Takes the next slot, or the one behind it if `erratum` hits what stands there.
    fn take(&mut self, form: &LoaderStubs, erratum: Option<&PageErratum>) -> Result<Area, Error> {
        let bytes = u64::from(form.slot_bytes);
        let address = |count: u64| self.area.address.wrapping_add(count.wrapping_mul(bytes));
        if erratum.is_some_and(|erratum| erratum.hits(address(self.count))) {
            self.count += 1;
        }
        if self.count >= self.area.room {
            return Err(Error::NoRoom("stubs"));
        }
        let skipped = self.count * bytes;
        self.count += 1;
        Ok(Area {
            offset: self.area.offset + skipped,
            address: self.area.address.wrapping_add(skipped),
            ..self.area
        })
    }
}

/// Makes stubs in areas and remembers them.
#[derive(Debug)]
pub(crate) struct StubWriter {
    arch: &'static Arch,
    form: &'static LoaderStubs,
    sharing: StubSharing,
    areas: HashMap<u32, Made>,
    /// Which of the stubs with a place of their own are made.
    planned: Vec<bool>,
    count: u64,
    skip_erratum: bool,
}

impl StubWriter {
    pub(crate) fn new(
        arch: &'static Arch,
        form: &'static LoaderStubs,
        sharing: StubSharing,
        planned: usize,
        skip_erratum: bool,
    ) -> Self {
        Self {
            arch,
            form,
            sharing,
            areas: HashMap::new(),
            planned: vec![false; planned],
            count: 0,
            skip_erratum,
        }
    }

    /// Number of stubs made.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// The run address of a stub of this kind in the area with this key, which `area` gives at first
    /// use. `values` are those of a relocation against the target; `images` are the bytes of all
    /// blocks.
    pub(crate) fn stub(
        &mut self,
        key: u32,
        area: impl FnOnce() -> Result<Area, Error>,
        kind: &LoaderStub,
        values: &Values,
        images: &mut [&mut [u8]],
    ) -> Result<u64, Error> {
        let erratum = self.erratum();
        let made = Made::of(&mut self.areas, key, area)?;
        let target = values.symbol.wrapping_add_signed(values.addend);
        let found = match self.sharing {
            StubSharing::Never => None,
            StubSharing::Last => made.last.filter(|last| last.0 == target).map(|last| last.1),
            StubSharing::Any => made.by_target.get(&target).copied(),
        };
        if let Some(address) = found {
            return Ok(address);
        }
        let area = made.take(self.form, erratum)?;
        made.last = Some((target, area.address));
        if self.sharing == StubSharing::Any {
            made.by_target.insert(target, area.address);
        }
        self.write(kind, values, area, images)?;
        Ok(area.address)
    }

    /// Room in the area with this key for code that is no stub of a branch.
    pub(crate) fn room(
        &mut self,
        key: u32,
        area: impl FnOnce() -> Result<Area, Error>,
    ) -> Result<Area, Error> {
        let erratum = self.erratum();
        let made = Made::of(&mut self.areas, key, area)?;
        let area = made.take(self.form, erratum)?;
        // the next branch has nothing to share with this
        made.last = None;
        self.count += 1;
        Ok(area)
    }

    /// What stubs have to avoid.
    fn erratum(&self) -> Option<&'static PageErratum> {
        let erratum = self.arch.load.page_erratum;
        erratum.filter(|_| self.skip_erratum)
    }

    /// The run address of the stub with this number, which has `area` for itself.
    pub(crate) fn planned(
        &mut self,
        number: usize,
        area: Area,
        kind: &LoaderStub,
        values: &Values,
        images: &mut [&mut [u8]],
    ) -> Result<u64, Error> {
        let made = self.planned.get_mut(number);
        let made = made.ok_or(Error::NoRoom("stubs"))?;
        if !core::mem::replace(made, true) {
            self.write(kind, values, area, images)?;
        }
        Ok(area.address)
    }

    fn write(
        &mut self,
        kind: &LoaderStub,
        values: &Values,
        area: Area,
        images: &mut [&mut [u8]],
    ) -> Result<(), Error> {
        let at = usize::try_from(area.offset).ok();
        let image = images.get_mut(area.block.index());
        let image = image.and_then(|image| image.get_mut(at?..));
        let out = image.ok_or(Error::NoRoom("stubs"))?;
        let values = Values {
            place: area.address,
            ..*values
        };
        let template = kind.template;
        template
            .resolve_with(self.arch, &values, out)
            .map_err(|error| Error::Stub {
                name: template.name,
                target: values.symbol.wrapping_add_signed(values.addend),
                error,
            })?;
        self.count += 1;
        Ok(())
    }
}
