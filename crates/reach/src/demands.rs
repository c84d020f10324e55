//! Which branches need stubs, and the few slots that serve them all.
//!
//! With everything at rest, the fewest stubs for one target are found by
//! stabbing intervals: each branch that does not reach accepts a range of
//! slots, and sweeping over the ranges by their ends, a stub at the end of the
//! first range that has none yet is never wrong. Ranges of different targets
//! do not influence each other's number of stubs, only the number of islands;
//! so the same sweep over what each target leaves open gathers stubs of many
//! targets in few islands.

use crate::graph::{CallId, Graph, TargetId};
use crate::layout::Layout;
use crate::work::{self, Part};
use alloc::vec::Vec;

/// A branch that needs a stub, and the slots that would do.
#[derive(Clone, Copy)]
pub(crate) struct Demand {
    first: u32,
    last: u32,
    pub(crate) call: CallId,
}

/// Which slots may be used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Freedom {
    /// Any: the islands there are only tell how long everything will be.
    Any,
    /// Those that have islands, and more where that saves a stub.
    More,
}

/// Which of the slots that would do is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lean {
    /// The middle one: what is possible there stays possible when islands grow.
    Middle,
    First,
    Last,
    /// None is chosen for many at once: branch by branch, an island there
    /// already is, else the middle one.
    OneByOne,
}

impl Lean {
    pub(crate) const ALL: [Self; 4] = [Self::Middle, Self::First, Self::Last, Self::OneByOne];

    pub(crate) fn choose(self, first: u32, last: u32) -> u32 {
        match self {
            Self::Middle | Self::OneByOne => first + (last - first) / 2,
            Self::First => first,
            Self::Last => last,
        }
    }
}

/// The branches to some targets that need stubs.
pub(crate) struct Demands {
    pub(crate) targets: Part,
    /// Those of one target together, by their last slot.
    list: Vec<Demand>,
    /// Branches without a slot whose whole island is in reach, by target.
    tight: Vec<CallId>,
    pub(crate) spans: Vec<Span>,
    pub(crate) unreached: Vec<CallId>,
}

/// The demands of one target.
pub(crate) struct Span {
    pub(crate) target: TargetId,
    /// Where they begin in the two lists; they end where the next span begins.
    start: u32,
    tight_start: u32,
    /// Fewest stubs that serve them.
    stubs: u32,
}

impl Demands {
    pub(crate) fn new(graph: &Graph<'_>, layout: &Layout, part: &Part) -> Self {
        let list = Vec::with_capacity(graph.calls_of(part).len());
        let mut demands = Self {
            targets: part.clone(),
            list,
            tight: Vec::new(),
            spans: Vec::new(),
            unreached: Vec::new(),
        };
        for target in work::targets(part) {
            demands.add_target(graph, layout, target);
        }
        demands
    }

    fn add_target(&mut self, graph: &Graph<'_>, layout: &Layout, target: TargetId) {
        let (start, tight_start) = (self.list.len(), self.tight.len());
        let size = graph.stub_size(target);
        let place = layout.target(graph.target(target));
        for call in graph.callers(target) {
            let (low, high) = layout.window(graph, call);
            if place.is_some_and(|place| low <= place && place <= high) {
                continue;
            }
            if !graph.form(call).stub {
                self.unreached.push(call);
                continue;
            }
            match layout.slots_within(low, high, size) {
                Some((first, last)) => self.list.push(Demand { first, last, call }),
                None => self.tight.push(call),
            }
        }
        if self.list.len() > start || self.tight.len() > tight_start {
            self.list[start..].sort_unstable_by_key(|demand| (demand.last, demand.call));
            let mut stubs = 0;
            sweep(
                &self.list[start..],
                |d| (d.first, d.last),
                |_, _| stubs += 1,
            );
            let (start, tight_start) = (start as u32, tight_start as u32);
            self.spans.push(Span {
                target,
                start,
                tight_start,
                stubs,
            });
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    pub(crate) fn of(&self, span: usize) -> &[Demand] {
        let end = self
            .spans
            .get(span + 1)
            .map_or(self.list.len(), |next| next.start as usize);
        &self.list[self.spans[span].start as usize..end]
    }

    pub(crate) fn tight_of(&self, span: usize) -> &[CallId] {
        let next = self.spans.get(span + 1);
        let end = next.map_or(self.tight.len(), |next| next.tight_start as usize);
        &self.tight[self.spans[span].tight_start as usize..end]
    }

    /// The ranges of slots of which each needs one that is open.
    fn free_ranges(&self) -> Vec<(u32, u32)> {
        let (mut ranges, mut mirrored) = (Vec::new(), Vec::new());
        for span in 0..self.spans.len() {
            self.push_free_ranges(span, &mut ranges, &mut mirrored);
        }
        ranges
    }

    /// Where a target has several stubs, their ranges are not independent of each other: those of the
    /// very slots of its own sweep, if it needs more stubs with these slots.
    fn missing_ranges(&self, slots: &OpenSlots) -> Vec<(u32, u32)> {
        let mut ranges = Vec::new();
        for (index, span) in self.spans.iter().enumerate() {
            if !slots.serve(self.of(index), span.stubs) {
                self.push_cores(index, &mut ranges);
            }
        }
        ranges
    }

    /// For each stub of a target the slots between its place in a sweep from
    /// the left and in one from the right: the `i`th stub of any smallest set
    /// is there.
    fn push_free_ranges(
        &self,
        span: usize,
        ranges: &mut Vec<(u32, u32)>,
        mirrored: &mut Vec<Demand>,
    ) {
        let before = ranges.len();
        sweep(
            self.of(span),
            |d| (d.first, d.last),
            |_, last| ranges.push((0, last)),
        );
        if ranges.len() == before + 1 {
            // One stub: exactly what all its demands have in common.
            ranges[before].0 = self.of(span).iter().map(|d| d.first).max().unwrap_or(0);
            return;
        }
        mirrored.clear();
        mirrored.extend(self.of(span).iter().rev());
        // Where all branches have one form, that is their order already.
        if !mirrored.is_sorted_by_key(|d| core::cmp::Reverse(d.first)) {
            mirrored.sort_unstable_by_key(|d| core::cmp::Reverse(d.first));
        }
        let flip = |d: &Demand| (u32::MAX - d.last, u32::MAX - d.first);
        let mut place = ranges.len();
        sweep(mirrored, flip, |_, first| {
            place -= 1;
            ranges[place].0 = u32::MAX - first;
        });
    }

    /// The slots that each group of a target's sweep has in common.
    fn push_cores(&self, span: usize, ranges: &mut Vec<(u32, u32)>) {
        sweep(
            self.of(span),
            |d| (d.first, d.last),
            |group, last| {
                let first = group.iter().map(|d| d.first).max().unwrap_or(last);
                ranges.push((first, last));
            },
        );
    }
}

/// Few slots, such that no target needs more stubs than it does with all slots.
pub(crate) fn choose_slots(
    demands: &[Demands],
    layout: &Layout,
    freedom: Freedom,
    lean: Lean,
) -> OpenSlots {
    let used = |&room: &i64| room > 0 && freedom == Freedom::More;
    let mut open: Vec<bool> = layout.rooms().iter().map(used).collect();
    let mut ranges = work::each(demands, &Demands::free_ranges).concat();
    stab(&mut ranges, &mut open, lean);
    let slots = OpenSlots::new(&open);
    let mut ranges =
        work::each(demands, &|demands: &Demands| demands.missing_ranges(&slots)).concat();
    if ranges.is_empty() {
        return slots;
    }
    stab(&mut ranges, &mut open, lean);
    OpenSlots::new(&open)
}

/// Sweeps over ranges sorted by their ends; calls `found` for each group that
/// one point serves, with the point: the end of the group's first range. No
/// other way of grouping needs fewer points.
pub(crate) fn sweep<T>(
    sorted: &[T],
    range: impl Fn(&T) -> (u32, u32),
    mut found: impl FnMut(&[T], u32),
) {
    let mut start = 0;
    while start < sorted.len() {
        let point = range(&sorted[start]).1;
        // Ranges that begin behind the point may be followed by one that does
        // not; it is served by a later point too, since it ends behind all before it.
        let more = sorted[start..]
            .iter()
            .position(|item| range(item).0 > point);
        let end = more.map_or(sorted.len(), |more| start + more);
        found(&sorted[start..end], point);
        start = end;
    }
}

/// Opens slots so that each range has one, as few as possible.
fn stab(ranges: &mut Vec<(u32, u32)>, open: &mut [bool], lean: Lean) {
    let slots = OpenSlots::new(open);
    ranges.retain(|&(first, last)| slots.count_within(first, last) == 0);
    ranges.sort_unstable_by_key(|&(first, last)| (last, first));
    sweep(
        ranges,
        |&range| range,
        |group, last| {
            let first = group.iter().map(|range| range.0).max().unwrap_or(last);
            open[lean.choose(first, last) as usize] = true;
        },
    );
}

/// The slots that may be used.
pub(crate) struct OpenSlots {
    pub(crate) list: Vec<u32>,
    /// By slot, and one more: how many open slots are in front of it.
    ranks: Vec<u32>,
}

impl OpenSlots {
    fn new(open: &[bool]) -> Self {
        let (mut list, mut ranks) = (Vec::new(), Vec::with_capacity(open.len() + 1));
        for (slot, &open) in open.iter().enumerate() {
            ranks.push(list.len() as u32);
            if open {
                list.push(slot as u32);
            }
        }
        ranks.push(list.len() as u32);
        Self { list, ranks }
    }

    fn count_within(&self, first: u32, last: u32) -> u32 {
        self.ranks[last as usize + 1] - self.ranks[first as usize]
    }

    /// The open slots of a demand, as a range of indices into `list`. Only
    /// for demands that have one.
    pub(crate) fn within(&self, demand: &Demand) -> (u32, u32) {
        (
            self.ranks[demand.first as usize],
            self.ranks[demand.last as usize + 1] - 1,
        )
    }

    /// Whether these slots serve all demands with no more than `stubs` stubs.
    fn serve(&self, demands: &[Demand], stubs: u32) -> bool {
        if demands
            .iter()
            .any(|d| self.count_within(d.first, d.last) == 0)
        {
            return false;
        }
        let mut count = 0;
        sweep(demands, |d| self.within(d), |_, _| count += 1);
        count <= stubs
    }
}
