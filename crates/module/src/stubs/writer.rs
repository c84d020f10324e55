//! Makes stubs while branches are relocated.

use hashbrown::HashMap;
use klink_arch::{Arch, LoaderStub, LoaderStubs, StubSharing, Values};

use crate::error::Error;
use crate::id::BlockId;

/// Room for stubs at a known address.
#[derive(Debug)]
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

/// Makes stubs in areas and remembers them.
#[derive(Debug)]
pub(crate) struct StubWriter {
    arch: &'static Arch,
    form: &'static LoaderStubs,
    areas: HashMap<u32, Made>,
    skip_erratum: bool,
}

impl StubWriter {
    pub(crate) fn new(arch: &'static Arch, form: &'static LoaderStubs, skip_erratum: bool) -> Self {
        Self {
            arch,
            form,
            areas: HashMap::new(),
            skip_erratum,
        }
    }

    /// Number of stubs made.
    pub(crate) fn count(&self) -> u64 {
        self.areas.values().map(|made| made.count).sum()
    }

    /// The run address of a stub of this kind in the area with this key, which `area` makes at first
    /// use. `values` are those of a relocation against the target; `image` gives a block's bytes.
    pub(crate) fn stub<'i>(
        &mut self,
        key: u32,
        area: impl FnOnce() -> Result<Area, Error>,
        kind: &LoaderStub,
        values: &Values,
        image: impl FnOnce(BlockId) -> Option<&'i mut [u8]>,
    ) -> Result<u64, Error> {
        let made = match self.areas.entry(key) {
            hashbrown::hash_map::Entry::Occupied(entry) => entry.into_mut(),
            hashbrown::hash_map::Entry::Vacant(entry) => entry.insert(Made {
                area: area()?,
                count: 0,
                last: None,
                by_target: HashMap::new(),
            }),
        };
        let target = values.symbol.wrapping_add_signed(values.addend);
        let found = match self.form.sharing {
            StubSharing::Never => None,
            StubSharing::Last => made.last.filter(|last| last.0 == target).map(|last| last.1),
            StubSharing::Any => made.by_target.get(&target).copied(),
        };
        if let Some(address) = found {
            return Ok(address);
        }
        let bytes = u64::from(self.form.slot_bytes);
        if self.skip_erratum
            && let Some(erratum) = self.arch.load.page_erratum
            && erratum.hits(made.area.address.wrapping_add(made.count * bytes))
        {
            made.count += 1;
        }
        if made.count >= made.area.room {
            return Err(Error::NoRoom("stubs"));
        }
        let offset = made.count * bytes;
        let address = made.area.address.wrapping_add(offset);
        let at = usize::try_from(made.area.offset + offset).ok();
        let image = image(made.area.block).and_then(|image| image.get_mut(at?..));
        let out = image.ok_or(Error::NoRoom("stubs"))?;
        let values = Values {
            place: address,
            ..*values
        };
        let template = kind.template;
        template
            .resolve_with(self.arch, &values, out)
            .map_err(|error| Error::Stub {
                name: template.name,
                target,
                error,
            })?;
        made.count += 1;
        made.last = Some((target, address));
        if self.form.sharing == StubSharing::Any {
            made.by_target.insert(target, address);
        }
        Ok(address)
    }
}
