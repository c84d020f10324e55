//! Islands for a given order: which branches need stubs, in which slots they
//! stand, and how that settles although islands push sections apart.

use crate::demands::{Demands, Freedom, OpenSlots, Span, sweep};
use crate::graph::{CallId, Graph, TargetId, UnitId};
use crate::layout::{Layout, SlotId};
use crate::problem::Unreached;
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
    pub(crate) unreached: Vec<CallId>,
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
    pub(crate) call: CallId,
    pub(crate) stub: u32,
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
    unreached: Vec<CallId>,
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
                    let (from, to) = layout.window(graph, demand.call);
                    (low, high) = (low.max(from), high.min(to));
                    self.ways.push(Way {
                        call: demand.call,
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
        for &call in demands.tight_of(span) {
            self.squeeze(graph, layout, target, call, own);
        }
    }

    /// Serves a branch that reaches no slot whose whole island it reaches: it
    /// gets a place in the nearest island, and `fit` will see whether it is one it reaches.
    fn squeeze(
        &mut self,
        graph: &Graph<'_>,
        layout: &Layout,
        target: TargetId,
        call: CallId,
        own: usize,
    ) {
        let (low, high) = layout.window(graph, call);
        let slot = layout.slot_before(high).filter(|&slot| {
            let end = layout.start(slot) + layout.room(slot).max(graph.stub_size(target));
            layout.start(slot) <= high && end > low
        });
        let Some(slot) = slot else {
            return self.unreached.push(call);
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
            call,
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
    fn fit(&mut self, graph: &Graph<'_>, layout: &Layout) -> Vec<CallId> {
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
            let (low, high) = layout.window(graph, way.call);
            let offset = self.stubs[way.stub as usize].offset;
            offset < low || offset > high
        };
        self.ways
            .iter()
            .filter(misses)
            .map(|way| way.call)
            .collect()
    }

    /// Whether every branch without a stub (but for those given up) reaches its target.
    fn all_reach(&self, graph: &Graph<'_>, layout: &Layout) -> bool {
        let mut settled = vec![false; graph.problem.branches.len()];
        let routed = self.ways.iter().map(|way| &way.call);
        for call in routed.chain(&self.unreached) {
            settled[call.index()] = true;
        }
        graph.target_ids().all(|id| {
            let place = layout.target(graph.target(id));
            let reaches = |call| {
                let (low, high) = layout.window(graph, call);
                place.is_some_and(|place| low <= place && place <= high)
            };
            graph
                .callers(id)
                .all(|call| settled[call.index()] || reaches(call))
        })
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

/// The facts about a branch that misses.
pub(crate) fn unreached(graph: &Graph<'_>, layout: &Layout, id: CallId) -> Unreached {
    let (call, form) = (graph.call(id), graph.form(id));
    let site = layout.site(call);
    let target = graph.problem.branches[call.branch.index()].target;
    Unreached {
        branch: call.branch,
        form,
        distance: layout.target(target).map(|place| place - site),
        nearest_island: if form.stub {
            layout.nearest_slot(site)
        } else {
            None
        },
    }
}
