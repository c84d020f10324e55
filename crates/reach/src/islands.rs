//! Islands for a given order: which branches need stubs, in which slots they
//! stand, and how that settles although islands push sections apart.
//!
//! With everything at rest, the fewest stubs for one target are found by
//! stabbing intervals: each branch that does not reach accepts a range of
//! slots, and sweeping over the ranges by their ends, a stub at the end of the
//! first range that has none yet is never wrong. Ranges of different targets
//! do not influence each other's number of stubs, only the number of islands;
//! so the same sweep over what each target leaves open gathers stubs of many
//! targets in few islands.

use crate::graph::{Graph, TargetId, UnitId};
use crate::layout::{Layout, SlotId};
use crate::problem::{BranchId, Unreached};
use alloc::vec;
use alloc::vec::Vec;

/// The first rounds, in which islands have no fixed place yet.
const FREE_ROUNDS: usize = 2;

/// Rounds after which to come to an end matters more than the last stub.
const PATIENT_ROUNDS: usize = 4;

/// An order with its islands.
pub(crate) struct Placement {
    pub(crate) order: Vec<UnitId>,
    pub(crate) layout: Layout,
    /// By slot, then by offset.
    pub(crate) stubs: Vec<PlacedStub>,
    /// The branches that go through stubs.
    pub(crate) ways: Vec<Way>,
    /// By branch.
    pub(crate) unreached: Vec<BranchId>,
}

impl Placement {
    /// What makes one placement better than another; less is better.
    pub(crate) fn cost(&self) -> impl Ord + use<> {
        let islands = self.stubs.chunk_by(|a, b| a.slot == b.slot).count();
        (
            self.unreached.len(),
            self.stubs.len(),
            islands,
            self.layout.size,
        )
    }
}

/// One stub of a placement.
#[derive(Clone, Copy)]
pub(crate) struct PlacedStub {
    pub(crate) slot: SlotId,
    pub(crate) target: TargetId,
    /// Offsets between which all its branches reach it.
    low: i64,
    high: i64,
    /// Its offset.
    pub(crate) offset: i64,
}

/// A branch and the index of its stub.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) branch: BranchId,
    pub(crate) stub: u32,
}

/// A branch that needs a stub, and the slots that would do.
#[derive(Clone, Copy)]
struct Demand {
    first: u32,
    last: u32,
    branch: BranchId,
}

/// Places islands for `order` until they are large enough for their stubs.
///
/// This ends: a slot's room never shrinks, a round that is not the last makes at
/// least one room larger by at least one byte, and no room needs to hold more than one
/// stub for each target.
pub(crate) fn place(graph: &Graph<'_>, order: Vec<UnitId>) -> Placement {
    let mut rooms = vec![0; order.len() + 1];
    let mut round = 0;
    loop {
        let layout = Layout::new(graph, &order, rooms);
        let freedom = match round {
            0..FREE_ROUNDS => Freedom::All,
            _ if round < PATIENT_ROUNDS => Freedom::Add,
            _ => Freedom::Keep,
        };
        let mut routes = Routes::new(graph, &layout, freedom);
        let wanted = routes.rooms(graph, layout.rooms().len());
        if wanted
            .iter()
            .zip(layout.rooms())
            .all(|(wanted, room)| wanted <= room)
        {
            return settle(graph, order, layout, routes, wanted);
        }
        round += 1;
        let grow = |(&room, wanted): (&i64, i64)| match wanted - room {
            _ if round <= FREE_ROUNDS => wanted,
            missing if missing <= 0 => room,
            missing if round > PATIENT_ROUNDS => wanted + missing,
            _ => wanted,
        };
        rooms = layout.rooms().iter().zip(wanted).map(grow).collect();
    }
}

/// Which slots a round may open.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Freedom {
    /// Any: islands of earlier rounds only tell how long everything will be.
    All,
    /// More than there are, where that saves a stub.
    Add,
    /// More than there are, where a branch reaches none of them.
    Keep,
}

/// Gives the stubs their offsets, without the room that earlier rounds asked
/// for in vain if everything still reaches then.
fn settle(
    graph: &Graph<'_>,
    order: Vec<UnitId>,
    layout: Layout,
    mut routes: Routes,
    wanted: Vec<i64>,
) -> Placement {
    if wanted != layout.rooms() {
        let tight = Layout::new(graph, &order, wanted);
        if routes.fit(graph, &tight).is_empty() && routes.all_reach(graph, &tight) {
            return routes.done(order, tight);
        }
    }
    let missed = routes.fit(graph, &layout);
    routes.unreached.extend(missed);
    routes.unreached.sort_unstable();
    routes.done(order, layout)
}

/// The stubs for one layout and the way of every branch through them.
struct Routes {
    stubs: Vec<PlacedStub>,
    ways: Vec<Way>,
    unreached: Vec<BranchId>,
}

impl Routes {
    fn new(graph: &Graph<'_>, layout: &Layout, freedom: Freedom) -> Self {
        let mut demands = Demands::new(graph, layout);
        let slots = demands.choose_slots(layout, freedom);
        let mut routes = Self {
            stubs: Vec::new(),
            ways: Vec::new(),
            unreached: Vec::new(),
        };
        for span in 0..demands.spans.len() {
            routes.serve(graph, layout, &demands, span, &slots);
        }
        routes.unreached.append(&mut demands.unreached);
        routes
    }

    /// Gives one target its stubs in open slots.
    fn serve(
        &mut self,
        graph: &Graph<'_>,
        layout: &Layout,
        demands: &Demands,
        span: usize,
        slots: &OpenSlots,
    ) {
        let Span { target, .. } = demands.spans[span];
        let own = self.stubs.len();
        sweep(
            demands.of(span),
            |demand| slots.within(demand),
            |group, slot| {
                let stub = self.stubs.len() as u32;
                let slot = SlotId::new(slots.list[slot as usize]);
                let (mut low, mut high) = (i64::MIN, i64::MAX);
                for demand in group {
                    let (from, to) = window(graph, layout, demand.branch);
                    (low, high) = (low.max(from), high.min(to));
                    self.ways.push(Way {
                        branch: demand.branch,
                        stub,
                    });
                }
                self.stubs.push(PlacedStub {
                    slot,
                    target,
                    low,
                    high,
                    offset: 0,
                });
            },
        );
        for &branch in demands.tight_of(span) {
            self.squeeze(graph, layout, target, branch, own);
        }
    }

    /// Serves a branch that reaches no slot whose whole island it reaches: it
    /// gets a place in the nearest island, and `fit` will see whether it is one it reaches.
    fn squeeze(
        &mut self,
        graph: &Graph<'_>,
        layout: &Layout,
        target: TargetId,
        branch: BranchId,
        own: usize,
    ) {
        let (low, high) = window(graph, layout, branch);
        let slot = layout.slot_before(high).filter(|&slot| {
            let end = layout.start(slot) + layout.room(slot).max(graph.stub_size(target));
            layout.start(slot) <= high && end > low
        });
        let Some(slot) = slot else {
            return self.unreached.push(branch);
        };
        let twin = self.stubs[own..].iter().position(|stub| stub.slot == slot);
        let stub = match twin {
            Some(twin) => own + twin,
            None => {
                self.stubs.push(PlacedStub {
                    slot,
                    target,
                    low,
                    high,
                    offset: 0,
                });
                self.stubs.len() - 1
            }
        };
        let joined = &mut self.stubs[stub];
        (joined.low, joined.high) = (joined.low.max(low), joined.high.min(high));
        self.ways.push(Way {
            branch,
            stub: stub as u32,
        });
    }

    /// Bytes that each slot's stubs take up.
    fn rooms(&mut self, graph: &Graph<'_>, slots: usize) -> Vec<i64> {
        let mut rooms = vec![0; slots];
        for stub in &self.stubs {
            rooms[stub.slot.index()] += graph.stub_size(stub.target);
        }
        rooms
    }

    /// Lays the stubs out in their slots; returns the branches that miss theirs.
    fn fit(&mut self, graph: &Graph<'_>, layout: &Layout) -> Vec<BranchId> {
        // Within an island, first those whose branches are furthest in front
        // of it, last those whose branches do not even reach its start.
        let key = |stub: &PlacedStub| {
            let late = stub.low > layout.start(stub.slot);
            (
                stub.slot,
                late,
                if late { stub.low } else { stub.high },
                stub.target,
            )
        };
        let mut sorted: Vec<u32> = (0..self.stubs.len() as u32).collect();
        sorted.sort_unstable_by_key(|&stub| key(&self.stubs[stub as usize]));
        let (mut slot, mut end) = (None, 0);
        for &index in &sorted {
            let stub = &mut self.stubs[index as usize];
            if slot != Some(stub.slot) {
                (slot, end) = (Some(stub.slot), layout.start(stub.slot));
            }
            stub.offset = end;
            end += graph.stub_size(stub.target);
        }
        let misses = |way: &&Way| {
            let (low, high) = window(graph, layout, way.branch);
            let offset = self.stubs[way.stub as usize].offset;
            offset < low || offset > high
        };
        self.ways
            .iter()
            .filter(misses)
            .map(|way| way.branch)
            .collect()
    }

    /// Whether every branch without a stub (but for those given up) reaches its target.
    fn all_reach(&self, graph: &Graph<'_>, layout: &Layout) -> bool {
        let mut settled = vec![false; graph.problem.branches.len()];
        let given = self
            .ways
            .iter()
            .map(|way| way.branch)
            .chain(self.unreached.iter().copied());
        for branch in given {
            settled[branch.index()] = true;
        }
        let mut branches = settled.iter().zip(0..);
        branches.all(|(&settled, index)| settled || layout.direct(graph, BranchId::new(index)))
    }

    fn done(self, order: Vec<UnitId>, layout: Layout) -> Placement {
        let Self {
            stubs,
            mut ways,
            unreached,
        } = self;
        let mut sorted: Vec<u32> = (0..stubs.len() as u32).collect();
        sorted.sort_unstable_by_key(|&stub| {
            let stub = &stubs[stub as usize];
            // Stubs of no bytes share an offset.
            (stub.slot, stub.offset, stub.target)
        });
        let mut place = vec![0u32; stubs.len()];
        for (new, &old) in sorted.iter().enumerate() {
            place[old as usize] = new as u32;
        }
        for way in &mut ways {
            way.stub = place[way.stub as usize];
        }
        let stubs = sorted.iter().map(|&stub| stubs[stub as usize]).collect();
        Placement {
            order,
            layout,
            stubs,
            ways,
            unreached,
        }
    }
}

/// Offsets between which a stub for this branch may begin.
fn window(graph: &Graph<'_>, layout: &Layout, id: BranchId) -> (i64, i64) {
    let (form, site) = (
        graph.form(id),
        layout.site(&graph.problem.branches[id.index()]),
    );
    (site + form.min, site + form.max)
}

/// All branches that need stubs.
struct Demands {
    /// Those of one target together, by their last slot.
    list: Vec<Demand>,
    /// Branches without a slot whose whole island is in reach, by target.
    tight: Vec<BranchId>,
    spans: Vec<Span>,
    unreached: Vec<BranchId>,
}

/// The demands of one target.
struct Span {
    target: TargetId,
    /// Where they begin in the two lists; they end where the next span begins.
    start: u32,
    tight_start: u32,
    /// Fewest stubs that serve them.
    stubs: u32,
}

impl Demands {
    fn new(graph: &Graph<'_>, layout: &Layout) -> Self {
        let (list, tight) = (Vec::new(), Vec::new());
        let mut demands = Self {
            list,
            tight,
            spans: Vec::new(),
            unreached: Vec::new(),
        };
        for target in graph.target_ids() {
            demands.add_target(graph, layout, target);
        }
        demands
    }

    fn add_target(&mut self, graph: &Graph<'_>, layout: &Layout, target: TargetId) {
        let (start, tight_start) = (self.list.len(), self.tight.len());
        let size = graph.stub_size(target);
        for &branch in graph.callers(target) {
            if layout.direct(graph, branch) {
                continue;
            }
            if !graph.form(branch).stub {
                self.unreached.push(branch);
                continue;
            }
            let (low, high) = window(graph, layout, branch);
            match layout.slots_within(low, high, size) {
                Some((first, last)) => self.list.push(Demand {
                    first,
                    last,
                    branch,
                }),
                None => self.tight.push(branch),
            }
        }
        if self.list.len() > start || self.tight.len() > tight_start {
            self.list[start..].sort_unstable_by_key(|demand| (demand.last, demand.branch));
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

    fn of(&self, span: usize) -> &[Demand] {
        let end = self
            .spans
            .get(span + 1)
            .map_or(self.list.len(), |next| next.start as usize);
        &self.list[self.spans[span].start as usize..end]
    }

    fn tight_of(&self, span: usize) -> &[BranchId] {
        let next = self.spans.get(span + 1);
        let end = next.map_or(self.tight.len(), |next| next.tight_start as usize);
        &self.tight[self.spans[span].tight_start as usize..end]
    }

    /// Few slots, such that no target needs more stubs than it does with all
    /// slots, or (if we have to keep what there is) such that all are served.
    fn choose_slots(&self, layout: &Layout, freedom: Freedom) -> OpenSlots {
        let used = |&room: &i64| room > 0 && freedom != Freedom::All;
        let mut open: Vec<bool> = layout.rooms().iter().map(used).collect();
        let mut ranges = Vec::new();
        if freedom != Freedom::Keep {
            for span in 0..self.spans.len() {
                self.push_free_ranges(span, &mut ranges);
            }
            stab(&mut ranges, &mut open);
        }
        let slots = OpenSlots::new(&open);
        // Where a target has several stubs, their ranges are not independent
        // of each other: ask for the very slots of its own sweep.
        ranges.clear();
        for (index, span) in self.spans.iter().enumerate() {
            let enough = if freedom == Freedom::Keep {
                u32::MAX
            } else {
                span.stubs
            };
            if !slots.serve(self.of(index), enough) {
                self.push_cores(index, &mut ranges);
            }
        }
        if ranges.is_empty() {
            return slots;
        }
        stab(&mut ranges, &mut open);
        OpenSlots::new(&open)
    }

    /// For each stub of a target the slots between its place in a sweep from
    /// the left and in one from the right: the `i`th stub of any smallest set
    /// is there.
    fn push_free_ranges(&self, span: usize, ranges: &mut Vec<(u32, u32)>) {
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
        let mut mirrored: Vec<Demand> = self.of(span).to_vec();
        mirrored.sort_unstable_by_key(|d| core::cmp::Reverse(d.first));
        let flip = |d: &Demand| (u32::MAX - d.last, u32::MAX - d.first);
        let mut place = ranges.len();
        sweep(&mirrored, flip, |_, first| {
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

/// Sweeps over ranges sorted by their ends; calls `found` for each group that
/// one point serves, with the point: the end of the group's first range. No
/// other way of grouping needs fewer points.
fn sweep<T>(sorted: &[T], range: impl Fn(&T) -> (u32, u32), mut found: impl FnMut(&[T], u32)) {
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
fn stab(ranges: &mut Vec<(u32, u32)>, open: &mut [bool]) {
    let slots = OpenSlots::new(open);
    ranges.retain(|&(first, last)| slots.count_within(first, last) == 0);
    ranges.sort_unstable_by_key(|&(first, last)| (last, first));
    sweep(
        ranges,
        |&range| range,
        |group, last| {
            let first = group.iter().map(|range| range.0).max().unwrap_or(last);
            // The middle of what is possible stays possible when islands grow.
            open[(first + (last - first) / 2) as usize] = true;
        },
    );
}

/// The slots that may be used.
struct OpenSlots {
    list: Vec<u32>,
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
    fn within(&self, demand: &Demand) -> (u32, u32) {
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

/// The facts about a branch that misses.
pub(crate) fn unreached(graph: &Graph<'_>, layout: &Layout, id: BranchId) -> Unreached {
    let (branch, form) = (&graph.problem.branches[id.index()], graph.form(id));
    let site = layout.site(branch);
    let distance = layout.target(branch.target).map(|target| target - site);
    let nearest_island = if form.stub {
        layout.nearest_slot(site)
    } else {
        None
    };
    Unreached {
        branch: id,
        form,
        distance,
        nearest_island,
    }
}
