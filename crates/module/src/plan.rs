//! The plan: which section goes where, and what memory that takes. No address is known yet.

use crate::error::Error;
use crate::file::ModuleFile;
use crate::id::{BlockId, SectionId, SymbolId};
use crate::kallsyms::KallsymsPlan;
use crate::layout::{self, Layout};
use crate::policy::Policy;
use crate::region::{Block, RegionKind};
use crate::shape::Shapes;
use crate::slots::SlotPlan;
use crate::stubs::StubPlan;

/// Where a section, or anything else, is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// The block.
    pub block: BlockId,
    /// The region of the block.
    pub region: RegionKind,
    /// Bytes from the start of the block.
    pub offset: u64,
}

/// Where everything goes, relative to blocks of memory that are to be allocated.
///
/// A plan that asks for too much memory is a host's to refuse: `NOBITS` sections can be of any size.
#[derive(Debug)]
pub struct Plan<'f, 'a> {
    file: &'f ModuleFile<'a>,
    policy: Policy,
    shapes: Shapes,
    stubs: StubPlan,
    slots: Option<SlotPlan>,
    layout: Layout,
}

impl<'a> ModuleFile<'a> {
    /// Decides where everything goes.
    ///
    /// # Errors
    /// If a section would be writable and executable, sizes add up to more than an address can
    /// hold, or no order of islands lets every branch reach.
    pub fn plan(&self, policy: &Policy) -> Result<Plan<'_, 'a>, Error> {
        let shapes = Shapes::new(self, policy)?;
        let (shapes, stubs) = StubPlan::new(self, policy, shapes)?;
        let slots = SlotPlan::new(self);
        let layout = layout::lay_out(self, policy, &shapes, &stubs, slots.as_ref())?;
        Ok(Plan {
            file: self,
            policy: *policy,
            shapes,
            stubs,
            slots,
            layout,
        })
    }
}

impl<'f, 'a> Plan<'f, 'a> {
    /// The module.
    #[must_use]
    pub const fn file(&self) -> &'f ModuleFile<'a> {
        self.file
    }

    /// The policy that it was planned by.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The blocks of memory that it asks for, by [`BlockId::index`].
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.layout.blocks
    }

    /// Where a section goes; `None` if it is not loaded.
    #[must_use]
    pub fn place(&self, section: SectionId) -> Option<Place> {
        self.layout.places.get(section.index()).copied().flatten()
    }

    /// Bytes of a section in memory.
    #[must_use]
    pub fn size(&self, section: SectionId) -> u64 {
        self.shapes.size(section)
    }

    /// The sections that are loaded, by number, and where.
    pub fn places(&self) -> impl Iterator<Item = (SectionId, Place)> {
        let places = (0..).map(SectionId).zip(&self.layout.places);
        places.filter_map(|(id, place)| Some((id, (*place)?)))
    }

    /// The run address of a symbol of a loaded section, if the blocks had these addresses.
    #[must_use]
    pub fn symbol_address(&self, blocks: &[u64], symbol: SymbolId) -> Option<u64> {
        let symbol = self.file.raw_symbol(symbol)?;
        let place = self.place(SectionId(symbol.section.into()))?;
        let base = *blocks.get(place.block.index())?;
        Some(base.wrapping_add(place.offset).wrapping_add(symbol.value))
    }

    /// Bytes of all blocks.
    #[must_use]
    pub fn total_size(&self) -> u64 {
        let sizes = self.blocks().iter().map(|block| block.size);
        sizes.fold(0, u64::saturating_add)
    }

    /// Bytes that are free again after init has returned, and how many of them are code.
    #[must_use]
    pub fn init_sizes(&self) -> (u64, u64) {
        let blocks = self.blocks().iter().filter(|block| block.is_init());
        let regions = blocks.flat_map(|block| &block.regions);
        regions.fold((0, 0), |(all, code), region| {
            let in_code = if region.kind.is_code() {
                region.size
            } else {
                0
            };
            (all + region.size, code + in_code)
        })
    }

    /// Bytes that are set aside for stubs.
    #[must_use]
    pub fn stub_bytes(&self) -> u64 {
        self.stubs.bytes()
    }

    pub(crate) const fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    pub(crate) const fn stubs(&self) -> &StubPlan {
        &self.stubs
    }

    pub(crate) const fn slots(&self) -> Option<&SlotPlan> {
        self.slots.as_ref()
    }

    pub(crate) const fn layout(&self) -> &Layout {
        &self.layout
    }

    pub(crate) const fn kallsyms(&self) -> Option<&KallsymsPlan> {
        self.layout.kallsyms.as_ref()
    }
}
