//! Islands for a given order: which branches need stubs, in which slots they
//! stand, and how that settles although islands push sections apart.

use crate::demands::{self, Demand, Demands, Freedom, Lean, OpenSlots, Span, sweep};
use crate::graph::{CallId, Graph, TargetId, UnitId};
use crate::layout::{Layout, SlotId};
use crate::lists::Lists;
use crate::problem::{Reorder, Unreached};
use crate::work::{self, Part};
use alloc::vec;
use alloc::vec::Vec;

/// How often the way of every branch is chosen anew.
struct Rounds {
    /// The first rounds, in which islands have no fixed place yet.
    free: u32,
    /// These, and those after them in which islands stay where they are. From then on, a branch keeps
    /// its stub while it reaches it: choices that are all made anew would go on changing a little in
    /// every round.
    choosing: u32,
}

impl Rounds {
    const FEW: Self = Self {
        free: 1,
        choosing: 2,
    };
    const MANY: Self = Self {
        free: 2,
        choosing: 4,
    };

    /// In a large text, what more rounds gain is lost in the average (measured on PA-RISC's vmlinux:
    /// 3 stubs of 6,886, for a third of the time).
    fn of(graph: &Graph<'_>) -> Self {
        let is_large = graph.problem.branches.len() >= LARGE;
        // To look for an order takes much longer than all rounds.
        match is_large && graph.problem.reorder == Reorder::Keep {
            true => Self::FEW,
            false => Self::MANY,
        }
    }
}

/// Branches from which a text is large: twice those of the largest modules.
const LARGE: usize = 20_000;

/// Rounds after which to come to an end matters more than the last stub.
const PATIENT_ROUNDS: u32 = 12;

/// The part of an island that is then added to it as room for more stubs.
const SLACK: i64 = 64;

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

impl PlacedStub {
    /// A stub whose branches are known to reach it.
    pub(crate) fn at(slot: SlotId, target: TargetId, offset: i64) -> Self {
        Self {
            slot,
            target,
            low: offset,
            high: offset,
            offset,
        }
    }
}

/// A branch and the index of its stub.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    pub(crate) call: CallId,
    pub(crate) stub: u32,
}

/// Places islands for `order` until they are large enough for their stubs.
///
/// This ends: after the patient rounds a slot's room never shrinks, a round
/// that is not the last makes at least one room larger by at least a byte,
/// and no room is asked to hold more than one stub for each target.
pub(crate) fn place(graph: &Graph<'_>, order: Vec<UnitId>, lean: Lean) -> Placement {
    let mut layout = Layout::new(graph, &order, vec![0; order.len() + 1]);
    let rounds = Rounds::of(graph);
    let (mut routes, mut round) = match lean {
        Lean::OneByOne => {
            let mut none = Routes::none(graph);
            let routes = none.repaired(graph, &layout, Trust::Offset);
            (routes, rounds.choosing)
        }
        _ => (Routes::new(graph, &layout, Freedom::Any, lean), 0),
    };
    loop {
        round = round.saturating_add(1);

        let wanted = routes.rooms(graph, layout.rooms().len());
        let fits = |(wanted, room): (&i64, &i64)| wanted <= room;
        if wanted.iter().zip(layout.rooms()).all(fits) {
            let missed = routes.fit(graph, &layout);
            if missed.is_empty() || round > PATIENT_ROUNDS {
                return settle(graph, order, layout, routes, wanted);
            }
        }
        let rooms = if round <= rounds.choosing {
            wanted
        } else {
            let grow = |(&room, wanted): (&i64, i64)| {
                if wanted > room {
                    wanted + wanted / SLACK
                } else {
                    room
                }
            };
            layout.rooms().iter().zip(wanted).map(grow).collect()
        };
        layout = Layout::new(graph, &order, rooms);
        routes = if round < rounds.free {
            Routes::new(graph, &layout, Freedom::Any, lean)
        } else if round < rounds.choosing {
            Routes::new(graph, &layout, Freedom::More, lean)
        } else if round < PATIENT_ROUNDS {
            routes.repaired(graph, &layout, Trust::Offset)
        } else {
            routes.repaired(graph, &layout, Trust::Island)
        };
    }
}

/// When a stub counts as reached while islands still grow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// When it is reached where it stands now, even if it may be pushed away.
    Offset,
    /// When every place in its island is reached.
    Island,
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
            return routes.done(graph, order, tight, Vec::new());
        }
    }
    let missed = routes.fit(graph, &layout);
    routes.done(graph, order, layout, missed)
}

/// One target in one layout.
#[derive(Clone, Copy)]
struct Scene<'a> {
    graph: &'a Graph<'a>,
    layout: &'a Layout,
    target: TargetId,
    /// Where its stubs begin in `PartRoutes::stubs`, which they are the last of.
    own: usize,
}

/// The stubs for one layout and the way of every branch through them, in parts that threads work on.
struct Routes {
    parts: Vec<PartRoutes>,
}

/// The routes to some targets.
#[derive(Default)]
struct PartRoutes {
    targets: Part,
    /// Those of one target together, targets in order.
    stubs: Vec<PlacedStub>,
    /// Targets in order.
    ways: Vec<Way>,
    unreached: Vec<CallId>,
}

impl Routes {
    /// No routes yet.
    fn none(graph: &Graph<'_>) -> Self {
        let parts = work::parts(graph).into_iter();
        Self {
            parts: parts.map(PartRoutes::new).collect(),
        }
    }

    fn new(graph: &Graph<'_>, layout: &Layout, freedom: Freedom, lean: Lean) -> Self {
        let parts = work::parts(graph);
        let demands = work::each(&parts, &|part: &Part| Demands::new(graph, layout, part));
        let slots = demands::choose_slots(&demands, layout, freedom, lean);
        let of_part = |demands: &Demands| {
            let mut routes = PartRoutes::new(demands.targets.clone());
            routes.ways.reserve(demands.len());
            for span in 0..demands.spans.len() {
                routes.serve(graph, layout, demands, span, &slots, lean);
            }
            routes.unreached.extend_from_slice(&demands.unreached);
            routes
        };
        Self {
            parts: work::each(&demands, &of_part),
        }
    }

    /// The same stubs for a layout that is a little different, and more
    /// where a branch does not reach its stub any more.
    fn repaired(&mut self, graph: &Graph<'_>, layout: &Layout, trust: Trust) -> Self {
        self.arrange(graph, layout);
        let repaired = |part: &PartRoutes| part.repaired(graph, layout, trust);
        Self {
            parts: work::each(&self.parts, &repaired),
        }
    }

    /// Bytes that each slot's stubs take up.
    fn rooms(&self, graph: &Graph<'_>, slots: usize) -> Vec<i64> {
        let mut rooms = vec![0; slots];
        for stub in self.parts.iter().flat_map(|part| &part.stubs) {
            rooms[stub.slot.index()] += graph.stub_size(stub.target);
        }
        rooms
    }

    /// Lays the stubs out in their slots; returns the branches that miss theirs.
    fn fit(&mut self, graph: &Graph<'_>, layout: &Layout) -> Vec<CallId> {
        self.arrange(graph, layout);
        let missed = |part: &PartRoutes| part.missed(graph, layout);
        work::each(&self.parts, &missed).concat()
    }

    /// Gives the stubs their offsets.
    fn arrange(&mut self, graph: &Graph<'_>, layout: &Layout) {
        let slots = layout.rooms().len();
        let stubs: Vec<&PlacedStub> = self.parts.iter().flat_map(|part| &part.stubs).collect();
        let numbered = stubs.iter().zip(0..);
        let of_slots: Lists<u32> = Lists::group(
            slots,
            numbered.map(|(stub, number)| (stub.slot.index(), number)),
        );
        // Within an island, first those whose branches are furthest in front
        // of it, last those whose branches do not even reach its start.
        let key = |stub: &PlacedStub| {
            let late = stub.low > layout.start(stub.slot);
            (late, if late { stub.low } else { stub.high }, stub.target)
        };
        let mut offsets = vec![0; stubs.len()];
        let mut island: Vec<(u32, &PlacedStub)> = Vec::new();
        for slot in 0..slots as u32 {
            island.clear();
            let numbers = of_slots.of(slot as usize).iter();
            island.extend(numbers.map(|&number| (number, stubs[number as usize])));
            island.sort_unstable_by_key(|(_, stub)| key(stub));
            let mut end = layout.start(SlotId::new(slot));
            for &(number, stub) in &island {
                offsets[number as usize] = end;
                end += graph.stub_size(stub.target);
            }
        }
        let stubs = self.parts.iter_mut().flat_map(|part| &mut part.stubs);
        for (stub, offset) in stubs.zip(offsets) {
            stub.offset = offset;
        }
    }

    /// Whether every branch without a stub (but for those given up) reaches its target.
    fn all_reach(&self, graph: &Graph<'_>, layout: &Layout) -> bool {
        let reach = |part: &PartRoutes| part.all_reach(graph, layout);
        work::each(&self.parts, &reach).iter().all(|&reach| reach)
    }

    /// The placement that these routes are, but for branches that miss their stubs.
    fn done(
        self,
        graph: &Graph<'_>,
        order: Vec<UnitId>,
        layout: Layout,
        missed: Vec<CallId>,
    ) -> Placement {
        let (mut stubs, mut ways, mut unreached) = (Vec::new(), Vec::new(), missed);
        for part in self.parts {
            let first = stubs.len() as u32;
            let shift = |way: Way| Way {
                stub: way.stub + first,
                ..way
            };
            stubs.extend(part.stubs);
            ways.extend(part.ways.into_iter().map(shift));
            unreached.extend(part.unreached);
        }
        unreached.retain(|&call| !layout.direct(graph, call));
        let mut sorted: Vec<u32> = (0..stubs.len() as u32).collect();
        sorted.sort_unstable_by_key(|&stub| {
            let stub: &PlacedStub = &stubs[stub as usize];
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

impl PartRoutes {
    fn new(targets: Part) -> Self {
        Self {
            targets,
            ..Self::default()
        }
    }

    /// Gives one target its stubs in open slots.
    fn serve(
        &mut self,
        graph: &Graph<'_>,
        layout: &Layout,
        demands: &Demands,
        span: usize,
        slots: &OpenSlots,
        lean: Lean,
    ) {
        let Span { target, .. } = demands.spans[span];
        let own = self.stubs.len();
        let range = |demand: &Demand| slots.within(demand);
        sweep(demands.of(span), range, |group, last| {
            let first = group.iter().map(|d| range(d).0).max().unwrap_or(last);
            let slot = SlotId::new(slots.list[lean.choose(first, last) as usize]);
            let stub = self.add(target, slot);
            for demand in group {
                self.join(stub, demand.call, layout.window(graph, demand.call));
            }
        });
        for &call in demands.tight_of(span) {
            self.squeeze(
                Scene {
                    graph,
                    layout,
                    target,
                    own,
                },
                call,
            );
        }
    }

    /// Serves a branch that reaches no slot whose whole island it reaches: it
    /// gets a place in the nearest island, and `fit` will see whether it is
    /// one it reaches.
    fn squeeze(&mut self, scene: Scene<'_>, call: CallId) {
        let Scene {
            graph,
            layout,
            target,
            ..
        } = scene;
        let (low, high) = layout.window(graph, call);
        let slot = layout.slot_before(high).filter(|&slot| {
            let end = layout.start(slot) + layout.room(slot).max(graph.stub_size(target));
            layout.start(slot) <= high && end > low
        });
        match slot {
            None => self.unreached.push(call),
            Some(slot) => {
                let stub = self.stub_in(scene, slot);
                self.join(stub, call, (low, high));
            }
        }
    }

    /// The target's stub in a slot, a new one if need be.
    fn stub_in(&mut self, scene: Scene<'_>, slot: SlotId) -> u32 {
        let twin = self.stubs[scene.own..]
            .iter()
            .position(|stub| stub.slot == slot);
        if let Some(twin) = twin {
            return (scene.own + twin) as u32;
        }
        let stub = self.add(scene.target, slot);
        // As far as one can tell before it has its place.
        self.stubs[stub as usize].offset = scene.layout.start(slot);
        stub
    }

    fn add(&mut self, target: TargetId, slot: SlotId) -> u32 {
        let (low, high, offset) = (i64::MIN, i64::MAX, 0);
        self.stubs.push(PlacedStub {
            slot,
            target,
            low,
            high,
            offset,
        });
        self.stubs.len() as u32 - 1
    }

    fn join(&mut self, stub: u32, call: CallId, (low, high): (i64, i64)) {
        let joined = &mut self.stubs[stub as usize];
        (joined.low, joined.high) = (joined.low.max(low), joined.high.min(high));
        self.ways.push(Way { call, stub });
    }

    /// See [`Routes::repaired`].
    fn repaired(&self, graph: &Graph<'_>, layout: &Layout, trust: Trust) -> Self {
        let calls = graph.calls_of(&self.targets);
        let mut old_ways = vec![None; calls.len()];
        for way in &self.ways {
            old_ways[way.call.index() - calls.start] = Some(way.stub);
        }
        let mut routes = Self::new(self.targets.clone());
        routes.stubs.reserve(self.stubs.len());
        routes.ways.reserve(self.ways.len());
        let mut old = 0;
        for target in work::targets(&self.targets) {
            let (own, old_own) = (routes.stubs.len(), old);
            while let Some(stub) = self.stubs.get(old).filter(|stub| stub.target == target) {
                let new = routes.add(target, stub.slot);
                routes.stubs[new as usize].offset = stub.offset;
                old += 1;
            }
            let scene = Scene {
                graph,
                layout,
                target,
                own,
            };
            let place = layout.target(graph.target(target));
            for call in graph.callers(target) {
                let (low, high) = layout.window(graph, call);
                if place.is_none_or(|place| place < low || high < place) {
                    let stub = old_ways[call.index() - calls.start];
                    let stub = stub.map(|stub| stub - old_own as u32 + own as u32);
                    routes.reroute(scene, call, stub, trust);
                }
            }
        }
        routes.drop_unused();
        routes
    }

    /// Keeps a branch at its stub, or finds it another.
    fn reroute(&mut self, scene: Scene<'_>, call: CallId, stub: Option<u32>, trust: Trust) {
        let Scene {
            graph,
            layout,
            target,
            own,
        } = scene;
        if !graph.form(call).stub {
            return self.unreached.push(call);
        }
        let ((low, high), size) = (layout.window(graph, call), graph.stub_size(target));
        let within = |stub: &PlacedStub| match trust {
            Trust::Offset => low <= stub.offset && stub.offset <= high,
            Trust::Island => layout.is_within(stub.slot, low, high, size),
        };
        if let Some(stub) = stub.filter(|&stub| within(&self.stubs[stub as usize])) {
            return self.join(stub, call, (low, high));
        }
        if let Some(other) = self.stubs[own..].iter().rposition(within) {
            return self.join((own + other) as u32, call, (low, high));
        }
        let Some((first, last)) = layout.slots_within(low, high, size) else {
            return self.squeeze(scene, call);
        };
        let used = |&slot: &u32| layout.room(SlotId::new(slot)) > 0;
        let slot = (first..=last)
            .rev()
            .find(used)
            .unwrap_or(Lean::Middle.choose(first, last));
        let stub = self.stub_in(scene, SlotId::new(slot));
        self.join(stub, call, (low, high));
    }

    /// Forgets stubs that no branch goes through any more.
    fn drop_unused(&mut self) {
        let mut used = vec![false; self.stubs.len()];
        for way in &self.ways {
            used[way.stub as usize] = true;
        }
        let mut kept = 0;
        let number = |&used: &bool| {
            kept += u32::from(used);
            kept - u32::from(used)
        };
        let numbers: Vec<u32> = used.iter().map(number).collect();
        let mut keep = used.iter();
        self.stubs.retain(|_| keep.next().is_some_and(|&used| used));
        for way in &mut self.ways {
            way.stub = numbers[way.stub as usize];
        }
    }

    /// The branches that miss their stubs.
    fn missed(&self, graph: &Graph<'_>, layout: &Layout) -> Vec<CallId> {
        let misses = |way: &&Way| {
            let (low, high) = layout.window(graph, way.call);
            let offset = self.stubs[way.stub as usize].offset;
            offset < low || offset > high
        };
        let missed = self.ways.iter().filter(misses);
        missed.map(|way| way.call).collect()
    }

    /// See [`Routes::all_reach`].
    fn all_reach(&self, graph: &Graph<'_>, layout: &Layout) -> bool {
        let calls = graph.calls_of(&self.targets);
        let mut settled = vec![false; calls.len()];
        let routed = self.ways.iter().map(|way| &way.call);
        for call in routed.chain(&self.unreached) {
            settled[call.index() - calls.start] = true;
        }
        work::targets(&self.targets).all(|id| {
            let place = layout.target(graph.target(id));
            let reaches = |call| {
                let (low, high) = layout.window(graph, call);
                place.is_some_and(|place| low <= place && place <= high)
            };
            graph
                .callers(id)
                .all(|call| settled[call.index() - calls.start] || reaches(call))
        })
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
