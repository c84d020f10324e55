//! Where everything stands, given an order and how much room islands take.

use crate::graph::{Call, CallId, Graph, UnitId};
use crate::problem::{Target, id};
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
    /// For each stretch of 2^`bucket_bits` bytes, how many slots begin before it;
    /// at the end, all. There are about as many stretches as slots.
    buckets: Vec<u32>,
    bucket_bits: u32,
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
            // Without an island there is no padding either: it would put the
            // slot behind the start of the section that it is in front of.
            starts.push(if room > 0 { start } else { end });
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
        let (buckets, bucket_bits) = buckets(&starts);
        let open = Self::open_slots(graph);
        Self {
            offsets,
            starts,
            rooms,
            buckets,
            bucket_bits,
            open,
            size: end,
        }
    }

    /// The first and last slot that may hold an island, if any. Between them
    /// all may, since glued sections are inside of units.
    pub(crate) fn open_slots(graph: &Graph<'_>) -> Option<(u32, u32)> {
        let (ends, last) = (graph.problem.ends, graph.unit_count() as u32);
        if last == 0 {
            return (ends.front || ends.behind).then_some((0, 0));
        }
        let first = u32::from(!ends.front);
        let last = last - u32::from(!ends.behind);
        (first <= last).then_some((first, last))
    }

    pub(crate) fn site(&self, call: &Call) -> i64 {
        self.offsets[call.section.index()] + call.offset
    }

    pub(crate) fn target(&self, target: Target) -> Option<i64> {
        match target {
            Target::Section { section, offset } => Some(self.offsets[section.index()] + offset),
            Target::Fixed(offset) => Some(offset),
            Target::External(_) => None,
        }
    }

    /// Offsets that a branch reaches, first and last.
    pub(crate) fn window(&self, graph: &Graph<'_>, id: CallId) -> (i64, i64) {
        let (form, site) = (graph.form(id), self.site(graph.call(id)));
        (site + form.min, site + form.max)
    }

    /// Whether a branch reaches its target without a stub.
    pub(crate) fn direct(&self, graph: &Graph<'_>, id: CallId) -> bool {
        let (low, high) = self.window(graph, id);
        let target = graph.problem.branches[graph.call(id).branch.index()].target;
        self.target(target)
            .is_some_and(|place| low <= place && place <= high)
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
    /// `low` and `high` (inclusive) wherever it is in its island.
    pub(crate) fn slots_within(&self, low: i64, high: i64, size: i64) -> Option<(u32, u32)> {
        let (first, last) = self.open?;
        let begin = self.slots_before(low).max(first);
        // An island ends before the next begins, so only the last one
        // that begins in reach may end out of it.
        let mut end = self.slots_before(high + 1).min(last + 1);
        let slot = SlotId::new(end.checked_sub(1)?);
        if self.start(slot) + (self.room(slot) - size).max(0) > high {
            end -= 1;
        }
        (begin < end).then(|| (begin, end - 1))
    }

    /// Whether a stub of `size` bytes stands between `low` and `high`
    /// wherever it is in the island of this slot.
    pub(crate) fn is_within(&self, slot: SlotId, low: i64, high: i64, size: i64) -> bool {
        let start = self.start(slot);
        low <= start && start + (self.room(slot) - size).max(0) <= high
    }

    /// The last slot whose island begins at or before `offset`, or the first slot of all.
    pub(crate) fn slot_before(&self, offset: i64) -> Option<SlotId> {
        let (first, last) = self.open?;
        let past = self.slots_before(offset + 1);
        Some(SlotId::new(past.saturating_sub(1).clamp(first, last)))
    }

    /// How many slots (open or not) begin before `offset`.
    fn slots_before(&self, offset: i64) -> u32 {
        let bucket = (offset >> self.bucket_bits).clamp(0, self.buckets.len() as i64 - 2) as usize;
        let (from, to) = (self.buckets[bucket], self.buckets[bucket + 1]);
        let near = &self.starts[from as usize..to as usize];
        from + near.partition_point(|&start| start < offset) as u32
    }

    /// Bytes from `site` to the nearest slot.
    pub(crate) fn nearest_slot(&self, site: i64) -> Option<i64> {
        let before = self.slot_before(site)?;
        let after = SlotId::new((before.index() as u32 + 1).min(self.open?.1));
        let distance = |slot| self.start(slot) - site;
        [distance(before), distance(after)]
            .into_iter()
            .min_by_key(|d| d.abs())
    }
}

fn buckets(starts: &[i64]) -> (Vec<u32>, u32) {
    let last = starts.last().copied().unwrap_or(0);
    let bits = (last / starts.len().max(1) as i64 + 1).ilog2();
    let mut buckets = Vec::with_capacity((last >> bits) as usize + 2);
    for (slot, &start) in starts.iter().enumerate() {
        while (buckets.len() as i64) <= start >> bits {
            buckets.push(slot as u32);
        }
    }
    buckets.push(starts.len() as u32);
    (buckets, bits)
}

fn align_up(offset: i64, align: i64) -> i64 {
    // Alignments are powers of two.
    (offset + align - 1) & !(align - 1)
}
