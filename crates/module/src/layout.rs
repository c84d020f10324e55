//! Puts sections into regions and regions into blocks.
//!
//! In each region sections keep the order of the file; a block's regions follow each other. With the
//! policy [`Policy::linux`] this gives every section the offset that Linux gives it. Source: Linux 6.1
//! `kernel/module/main.c` (layout_sections, module_get_offset), `kernel/module/kallsyms.c`
//! (layout_symtab); parisc's stubs in front of sections: `arch_mod_section_prepend`; its slots in front
//! of everything: `module_frob_arch_sections`.

use alloc::vec;
use alloc::vec::Vec;

use crate::error::Error;
use crate::file::ModuleFile;
use crate::id::BlockId;
use crate::kallsyms::KallsymsPlan;
use crate::plan::Place;
use crate::policy::{Blocks, Names, Policy, Rounding};
use crate::region::{Block, Region, RegionKind};
use crate::shape::Shapes;
use crate::slots::SlotPlan;
use crate::stubs::StubPlan;

/// Where everything goes.
#[derive(Debug)]
pub(crate) struct Layout {
    /// By [`BlockId::index`].
    pub(crate) blocks: Vec<Block>,
    /// By [`SectionId::index`]; `None`: not loaded.
    pub(crate) places: Vec<Option<Place>>,
    /// Where the slots are.
    pub(crate) slots: Option<Place>,
    /// Where the names are.
    pub(crate) kallsyms: Option<KallsymsPlan>,
}

pub(crate) fn lay_out(
    file: &ModuleFile<'_>,
    policy: &Policy,
    shapes: &Shapes,
    stubs: &StubPlan,
    slots: Option<&SlotPlan>,
) -> Result<Layout, Error> {
    let mut layout = Layout {
        blocks: Vec::new(),
        places: vec![None; file.sections().len()],
        slots: None,
        kallsyms: None,
    };
    for kind in RegionKind::ALL {
        let mut cursor = Cursor::open(&layout.blocks, policy, kind);
        let start = cursor.size;
        if kind == RegionKind::Text
            && let Some(slots) = slots
        {
            layout.slots = Some(cursor.take(slots.align, slots.bytes)?);
        }
        let planned = stubs.planned_region(kind);
        if let Some((_, align)) = planned {
            cursor.take(align, 0)?;
        }
        let base = cursor.size;
        for (id, shape) in shapes.of_region(kind) {
            let place = match stubs.planned_offset(id) {
                Some(offset) => cursor.take_at(base, offset, shape.size, shape.align)?,
                None => {
                    // per-cpu data is not in the module's memory: no stubs are in front of it
                    if kind != RegionKind::PerCpu {
                        cursor.skip(stubs.bytes_before(id))?;
                    }
                    cursor.take(shape.align, shape.size)?
                }
            };
            if let Some(slot) = layout.places.get_mut(id.index()) {
                *slot = Some(place);
            }
        }
        if let Some((size, _)) = planned {
            cursor.skip_to(base, size)?;
        }
        cursor.round(policy)?;
        if policy.names != Names::None {
            match kind {
                RegionKind::Data => {
                    let plan = KallsymsPlan::new(file, policy, shapes, &mut cursor)?;
                    layout.kallsyms = Some(plan);
                    cursor.round(policy)?;
                }
                RegionKind::InitData => {
                    let [symbols, strings] = [file.symbol_section(), file.string_section()];
                    let before = [symbols, strings].map(|id| stubs.bytes_before(id));
                    if let Some(plan) = &mut layout.kallsyms {
                        let places = plan.place_init(file, before, &mut cursor)?;
                        for (id, place) in [symbols, strings].into_iter().zip(places) {
                            if let Some(slot) = layout.places.get_mut(id.index()) {
                                *slot = Some(place);
                            }
                        }
                    }
                    cursor.round(policy)?;
                }
                _ => {}
            }
        }
        cursor.close(&mut layout.blocks, policy, start);
    }
    Ok(layout)
}

/// The end of the block that a region is laid out in.
pub(crate) struct Cursor {
    block: BlockId,
    kind: RegionKind,
    size: u64,
    align: u64,
}

impl Cursor {
    /// Goes to the end of the block that `kind` belongs to, or of a new one.
    fn open(blocks: &[Block], policy: &Policy, kind: RegionKind) -> Self {
        let shares = |block: &&Block| {
            let first = block.regions.first().map(|region| region.kind);
            first.is_some_and(|first| match policy.blocks {
                _ if first == RegionKind::PerCpu || kind == RegionKind::PerCpu => false,
                Blocks::CoreAndInit => first.is_init() == kind.is_init(),
                Blocks::EachRegion => false,
                Blocks::One => true,
            })
        };
        match blocks.iter().find(shares) {
            Some(block) => Self {
                block: block.id,
                kind,
                size: block.size,
                align: block.align,
            },
            None => Self {
                block: BlockId(blocks.len() as u8),
                kind,
                size: 0,
                align: 1,
            },
        }
    }

    /// Leaves `bytes` free.
    fn skip(&mut self, bytes: u64) -> Result<(), Error> {
        self.size = self.size.checked_add(bytes).ok_or(Error::TooLarge)?;
        Ok(())
    }

    /// Goes to `bytes` from `start`, if it is not past that.
    fn skip_to(&mut self, start: u64, bytes: u64) -> Result<(), Error> {
        let end = start.checked_add(bytes).ok_or(Error::TooLarge)?;
        self.size = self.size.max(end);
        Ok(())
    }

    /// Takes `size` bytes at the next multiple of `align`.
    pub(crate) fn take(&mut self, align: u64, size: u64) -> Result<Place, Error> {
        let offset = self.size.checked_next_multiple_of(align);
        let offset = offset.ok_or(Error::TooLarge)?;
        self.take_at(0, offset, size, align)
    }

    /// Takes `size` bytes at `offset` from `start`.
    fn take_at(&mut self, start: u64, offset: u64, size: u64, align: u64) -> Result<Place, Error> {
        let offset = start.checked_add(offset).ok_or(Error::TooLarge)?;
        self.size = offset.checked_add(size).ok_or(Error::TooLarge)?;
        self.align = self.align.max(align);
        Ok(Place {
            block: self.block,
            region: self.kind,
            offset,
        })
    }

    fn round(&mut self, policy: &Policy) -> Result<(), Error> {
        if policy.rounding == Rounding::Pages {
            let end = self.size.checked_next_multiple_of(policy.page_size.max(1));
            self.size = end.ok_or(Error::TooLarge)?;
        }
        Ok(())
    }

    /// Writes the region that begins at `start` and the block's new size down. The block that holds
    /// what stays is there even if it is empty.
    fn close(self, blocks: &mut Vec<Block>, policy: &Policy, start: u64) {
        let size = self.size - start;
        if blocks.len() == self.block.index() {
            if size == 0 && self.block.0 != 0 {
                return;
            }
            blocks.push(Block {
                id: self.block,
                size: 0,
                align: match policy.rounding {
                    Rounding::Pages => policy.page_size.max(1),
                    Rounding::None => 1,
                },
                regions: Vec::new(),
            });
        }
        if let Some(block) = blocks.get_mut(self.block.index()) {
            block.size = self.size;
            block.align = block.align.max(self.align);
            if size > 0 || block.regions.is_empty() {
                block.regions.push(Region {
                    kind: self.kind,
                    offset: start,
                    size,
                });
            }
        }
    }
}

/// The bytes of a section in its block.
pub(crate) fn range(place: Place, size: u64) -> Option<core::ops::Range<usize>> {
    let start = usize::try_from(place.offset).ok()?;
    let end = start.checked_add(usize::try_from(size).ok()?)?;
    Some(start..end)
}
