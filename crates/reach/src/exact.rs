//! Tiny problems, by trying everything.
//!
//! Where stubs are not small beside the reach, every stub pushes others out
//! of reach, and what `islands::place` takes for small disturbances decides.
//! That happens to a handful of sections at most, for which all orders, all
//! slots and all arrangements of an island can be tried.

use crate::graph::{CallId, Graph, TargetId, UnitId};
use crate::islands::{PlacedStub, Placement, Way};
use crate::layout::{Layout, SlotId};
use crate::problem::Reorder;
use alloc::vec;
use alloc::vec::Vec;

/// Problems that may be tried: with more, there is too much to try.
const MOST_UNITS: usize = 5;
const MOST_BRANCHES: usize = 8;

/// Decisions and layouts to try before giving up: some 50 milliseconds.
const MOST_STEPS: u32 = 200_000;

/// Improves on `best` if the problem is tiny and there is something better.
pub(crate) fn improve(graph: &Graph<'_>, best: &mut Placement) {
    let branches = graph.problem.branches.len();
    if crate::is_perfect(graph, best) || graph.unit_count() > MOST_UNITS || branches > MOST_BRANCHES
    {
        return;
    }
    let mut steps_left = MOST_STEPS;
    for order in orders(graph) {
        let mut search = Search {
            graph,
            order: &order,
            best,
            steps_left,
            ways: Vec::new(),
        };
        search.decide();
        steps_left = search.steps_left;
    }
}

/// All orders that the problem allows.
fn orders(graph: &Graph<'_>) -> Vec<Vec<UnitId>> {
    if graph.problem.reorder == Reorder::Keep {
        return vec![graph.unit_ids().collect()];
    }
    let mut orders = vec![Vec::new()];
    for run in &graph.runs {
        let start = run.start as usize;
        for unit in run.clone() {
            let insert = |order: Vec<UnitId>| {
                (start..=order.len()).map(move |at| {
                    let mut order = order.clone();
                    order.insert(at, UnitId::new(unit));
                    order
                })
            };
            orders = orders.into_iter().flat_map(insert).collect();
        }
    }
    orders
}

struct Search<'a> {
    graph: &'a Graph<'a>,
    order: &'a [UnitId],
    best: &'a mut Placement,
    steps_left: u32,
    /// By call, as far as decided: the slot of its stub, or directly.
    ways: Vec<Option<SlotId>>,
}

impl Search<'_> {
    /// Tries every way of the next call, and then of all behind it.
    fn decide(&mut self) {
        let stubs = self.stubs();
        let reached = self.best.unreached.is_empty();
        if self.steps_left == 0 || (reached && stubs.len() >= self.best.stubs.len()) {
            return;
        }
        self.steps_left -= 1;
        let call = CallId::new(self.ways.len() as u32);
        if call.index() == self.graph.problem.branches.len() {
            return self.arrange(stubs, 0);
        }
        let open = Layout::open_slots(self.graph).filter(|_| self.graph.form(call).stub);
        let slots = open.into_iter().flat_map(|(first, last)| first..=last);
        for way in core::iter::once(None).chain(slots.map(|slot| Some(SlotId::new(slot)))) {
            self.ways.push(way);
            self.decide();
            self.ways.pop();
        }
    }

    /// The stubs that the ways so far need, by slot.
    fn stubs(&self) -> Vec<(SlotId, TargetId)> {
        let mut stubs = Vec::new();
        for target in self.graph.target_ids() {
            let ways = self
                .graph
                .callers(target)
                .map(|call| self.ways.get(call.index()));
            stubs.extend(ways.filter_map(|way| Some(((*way?)?, target))));
        }
        stubs.sort_unstable();
        stubs.dedup();
        stubs
    }

    /// Tries every order of the stubs from `at` on in their islands.
    fn arrange(&mut self, stubs: Vec<(SlotId, TargetId)>, at: usize) {
        if at == stubs.len() {
            return self.measure(&stubs);
        }
        let slot = stubs[at].0;
        for other in at..stubs.len() {
            if stubs[other].0 == slot && self.steps_left > 0 {
                let mut stubs = stubs.clone();
                stubs.swap(at, other);
                self.arrange(stubs, at + 1);
            }
        }
    }

    fn measure(&mut self, stubs: &[(SlotId, TargetId)]) {
        self.steps_left -= 1;
        let mut rooms = vec![0; self.order.len() + 1];
        let mut places = Vec::new();
        for &(slot, target) in stubs {
            places.push(rooms[slot.index()]);
            rooms[slot.index()] += self.graph.stub_size(target);
        }
        let layout = Layout::new(self.graph, self.order, rooms);
        let place = |(&(slot, target), at): (&(SlotId, TargetId), &i64)| {
            PlacedStub::at(slot, target, layout.start(slot) + at)
        };
        let stubs: Vec<PlacedStub> = stubs.iter().zip(&places).map(place).collect();
        let Some(ways) = self.reach(&layout, &stubs) else {
            return;
        };
        let order = self.order.to_vec();
        let found = Placement {
            order,
            layout,
            stubs,
            ways,
            unreached: Vec::new(),
        };
        if found.cost() < self.best.cost() {
            *self.best = found;
        }
    }

    /// The calls through stubs, if all calls reach.
    fn reach(&self, layout: &Layout, stubs: &[PlacedStub]) -> Option<Vec<Way>> {
        let mut ways = Vec::new();
        for target in self.graph.target_ids() {
            for call in self.graph.callers(target) {
                let (low, high) = layout.window(self.graph, call);
                let aim = match self.ways[call.index()] {
                    None => layout.target(self.graph.target(target))?,
                    Some(slot) => {
                        let is_its = |s: &PlacedStub| s.slot == slot && s.target == target;
                        let stub = stubs.iter().position(is_its)?;
                        ways.push(Way {
                            call,
                            stub: stub as u32,
                        });
                        stubs[stub].offset
                    }
                };
                if aim < low || high < aim {
                    return None;
                }
            }
        }
        Some(ways)
    }
}
