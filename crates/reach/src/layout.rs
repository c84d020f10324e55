//! Where everything stands, given an order and how much room islands take.

use crate::graph::{Graph, UnitId};
use crate::problem::{Branch, BranchId, Target, id};
use alloc::vec;
use alloc::vec::Vec;

id! {
    /// A slot: a place where an island may stand. Slot `i` is in front of the
    /// `i`th unit of the order, the last one is behind the last unit.
    pub(crate) SlotId
}

/// Offsets of sections and slots.
#[derive(Clone)]
pub(crate) struct Layout {
    /// By section.
    pub(crate) offsets: Vec<i64>,
    /// By slot: where its first stub stands, or would.
    starts: Vec<i64>,
    /// By slot: bytes set aside for its island.
    rooms: Vec<i64>,
    /// First and last slot where an island may stand, if any.
    open: Option<(u32, u32)>,
    pub(crate) size: i64,
}

impl Layout {
    /// Lays out `order` with `rooms[slot]` bytes for each island.
    pub(crate) fn new(graph: &Graph<'_>, order: &[UnitId], rooms: Vec<i64>) -> Self {
        let stub_align = graph.problem.stubs.align as i64;
        let mut offsets = vec![0; graph.problem.sections.len()];
        let mut starts = Vec::with_capacity(rooms.len());
        let mut end = 0i64;
        for (slot, &room) in rooms.iter().enumerate() {
            let start = align_up(end, stub_align);
            starts.push(start);
            if room > 0 {
                end = start + room;
            }
            let Some(&unit) = order.get(slot) else { break };
            for id in graph.sections(unit) {
                let section = &graph.problem.sections[id.index()];
                let offset = align_up(end, section.align as i64);
                offsets[id.index()] = offset;
                end = offset + section.size as i64;
            }
        }
        Self {
            offsets,
            starts,
            rooms,
            open: open_slots(graph),
            size: end,
        }
    }

    pub(crate) fn site(&self, branch: &Branch) -> i64 {
        self.offsets[branch.section.index()] + branch.offset as i64
    }

    pub(crate) fn target(&self, target: Target) -> Option<i64> {
        match target {
            Target::Section { section, offset } => Some(self.offsets[section.index()] + offset),
            Target::Fixed(offset) => Some(offset),
            Target::External(_) => None,
        }
    }

    /// Whether a branch reaches its target without a stub.
    pub(crate) fn direct(&self, graph: &Graph<'_>, id: BranchId) -> bool {
        let branch = &graph.problem.branches[id.index()];
        let target = self.target(branch.target);
        target.is_some_and(|target| graph.form(id).reaches(target - self.site(branch)))
    }

    pub(crate) fn start(&self, slot: SlotId) -> i64 {
        self.starts[slot.index()]
    }

    pub(crate) fn room(&self, slot: SlotId) -> i64 {
        self.rooms[slot.index()]
    }

    pub(crate) fn rooms(&self) -> &[i64] {
        &self.rooms
    }

    /// First and last slot in which a stub of `size` bytes stands between
    /// `low` and `high` (inclusive) wherever it is in its island. The first
    /// may be greater than the last: then there is none.
    pub(crate) fn slots_within(&self, low: i64, high: i64, size: i64) -> Option<(u32, u32)> {
        let (first, last) = self.open?;
        let (from, to) = (first as usize, last as usize + 1);
        // Both sequences rise with the slot: starts do, and so do the ends of
        // rooms, since the next start is not in front of them.
        let begin = from + self.starts[from..to].partition_point(|&start| start < low);
        let mut end = begin.max(from);
        let mut stop = to;
        while end < stop {
            let middle = end + (stop - end) / 2;
            if self.starts[middle] + (self.rooms[middle] - size).max(0) <= high {
                end = middle + 1;
            } else {
                stop = middle;
            }
        }
        if end > begin {
            Some((begin as u32, end as u32 - 1))
        } else {
            None
        }
    }

    /// The last slot whose island begins at or before `offset`, or the first slot of all.
    pub(crate) fn slot_before(&self, offset: i64) -> Option<SlotId> {
        let (first, last) = self.open?;
        let starts = &self.starts[first as usize..=last as usize];
        let past = starts.partition_point(|&start| start <= offset) as u32;
        Some(SlotId::new(first + past.saturating_sub(1)))
    }

    /// Bytes from `site` to the nearest slot.
    pub(crate) fn nearest_slot(&self, site: i64) -> Option<i64> {
        let before = self.slot_before(site)?;
        let after = SlotId::new((before.index() as u32 + 1).min(self.open?.1));
        let distance = |slot| self.start(slot) - site;
        Some(
            [distance(before), distance(after)]
                .into_iter()
                .min_by_key(|d| d.abs())?,
        )
    }
}

/// The first and last slot that may hold an island, if any. Between them all may,
/// since glued sections are inside of units.
fn open_slots(graph: &Graph<'_>) -> Option<(u32, u32)> {
    let (ends, last) = (graph.problem.ends, graph.unit_count() as u32);
    if last == 0 {
        return (ends.front || ends.behind).then_some((0, 0));
    }
    let first = u32::from(!ends.front);
    let last = last - u32::from(!ends.behind);
    (first <= last).then_some((first, last))
}

fn align_up(offset: i64, align: i64) -> i64 {
    // Alignments are powers of two.
    (offset + align - 1) & !(align - 1)
}
