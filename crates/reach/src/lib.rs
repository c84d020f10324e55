//! Section order and islands: does every branch reach its target, and if not,
//! where does the stub go?
//!
//! A branch instruction spans a limited distance, its *reach*. A *stub* is a
//! few instructions that carry a branch further; an *island* is a run of
//! stubs between two sections. [`solve`] is told [`Section`]s, [`Branch`]es
//! and what stubs cost, and answers with an order of the sections, islands
//! with as few stubs as it can find, and a way for each branch. [`check()`]
//! verifies such an answer from scratch. It is a pure function of numbers: it
//! knows no object format and no architecture, and the same problem always has the same answer.
//!
//! ```
//! use klink_reach::*;
//!
//! // Two functions of 200 KiB; the first calls the end of the second, and
//! // both call something outside.
//! let sections = [Section::new(200 << 10, 4); 2];
//! let forms = [Form { min: -(256 << 10) + 8, max: (256 << 10) + 4, stub: true }];
//! let (section, form) = (SectionId::new, FormId::new(0));
//! let outside = Target::External(ExternalId::new(0));
//! let far = Target::Section { section: section(1), offset: 190 << 10 };
//! let branches = [
//!     Branch { section: section(0), offset: 64, target: far, form },
//!     Branch { section: section(0), offset: 128, target: outside, form },
//!     Branch { section: section(1), offset: 64, target: outside, form },
//! ];
//! let problem = Problem {
//!     sections: &sections,
//!     branches: &branches,
//!     forms: &forms,
//!     stubs: StubSizes { external: 12, internal: 12, align: 4 },
//!     reorder: Reorder::Keep,
//!     ends: Ends::default(),
//! };
//! let answer = solve(&problem)?;
//! assert_eq!(answer.stub_count(), 2); // the call to the outside shares one
//! assert_eq!(check(&problem, &answer), Ok(()));
//! # Ok::<(), ReachError>(())
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod arrange;
mod bins;
mod bisect;
mod check;
mod demands;
mod exact;
mod graph;
mod hypergraph;
mod islands;
mod layout;
mod lists;
mod movers;
mod order;
mod problem;
mod sample;
mod targets;
mod work;

pub use check::{Violation, check};
pub use problem::{
    Answer, Branch, BranchId, Ends, ExternalId, Form, FormId, Island, IslandId, Problem,
    ReachError, Reorder, Section, SectionId, Stub, StubRef, StubSizes, Target, Unreached,
};

use alloc::vec;
use alloc::vec::Vec;
use demands::Lean;
use graph::Graph;
use islands::Placement;
use layout::{Layout, SlotId};
use order::Walk;
use sample::Sampler;

/// Finds an order and islands for which every branch reaches.
///
/// The answer never has more stubs than the best one found for the input's
/// order. Time and memory are close to linear in sections and branches.
///
/// # Errors
/// [`ReachError::OutOfReach`] with every branch that misses if no layout was
/// found in which all reach; the other variants if the problem is malformed.
pub fn solve(problem: &Problem<'_>) -> Result<Answer, ReachError> {
    problem::validate(problem)?;
    let graph = Graph::new(problem);
    let mut best = islands::place(&graph, graph.unit_ids().collect(), Lean::Middle);
    if let Some(effort) = Effort::of(problem.reorder)
        && let Some(mut walk) = Walk::new(&graph)
    {
        if walk.sees_reach(&best.layout) {
            improve(&graph, &mut walk, &effort, &mut best);
        } else if let Some(mut sampler) = Sampler::new(&graph)
            && sampler.sees_reach(&best.layout)
        {
            arrange(&graph, &effort, &mut best);
            sample(&graph, &mut sampler, &effort, &mut best);
        }
    }
    lean(&graph, &mut best);
    exact::improve(&graph, &mut best);
    finish(&graph, &best)
}

/// Branches up to which it is tried whether islands stand better elsewhere.
/// With more, their effects on each other average out.
const FEW_BRANCHES: usize = 1000;

/// Tries other places for the islands in the best order and in the input's:
/// an island between a branch and its target may be what puts it out of reach.
fn lean(graph: &Graph<'_>, best: &mut Placement) {
    if graph.problem.branches.len() > FEW_BRANCHES {
        return;
    }
    for order in [best.order.clone(), graph.unit_ids().collect()] {
        for lean in Lean::ALL {
            if is_perfect(graph, best) {
                return;
            }
            let found = islands::place(graph, order.clone(), lean);
            if found.cost() < best.cost() {
                *best = found;
            }
        }
    }
}

/// Whether no other placement could have fewer stubs.
fn is_perfect(graph: &Graph<'_>, placement: &Placement) -> bool {
    placement.unreached.is_empty() && placement.stubs.len() <= graph.least_stubs()
}

/// How long to look for a better order.
struct Effort {
    /// Epochs after which the order is only cut anew.
    warm: u32,
    /// Epochs after which islands are placed, to see what the order is worth.
    measured: u32,
    /// Moves proposed for each section and epoch.
    steps_per_unit: u32,
    /// In a text of many reaches: how many orders are made anew; how often the best is cut anew, and
    /// passes for each time.
    arranged: u32,
    cuts: u32,
    passes_per_cut: u32,
}

impl Effort {
    fn of(reorder: Reorder) -> Option<Self> {
        match reorder {
            Reorder::Keep => None,
            Reorder::Quick => Some(Self {
                warm: 3,
                measured: 1,
                steps_per_unit: 1,
                arranged: 2,
                cuts: 8,
                passes_per_cut: 3,
            }),
            Reorder::Thorough => Some(Self {
                warm: 6,
                measured: 6,
                steps_per_unit: 32,
                arranged: 16,
                cuts: 40,
                passes_per_cut: 30,
            }),
        }
    }
}

/// Looks for orders that are better than the best so far.
fn improve(graph: &Graph<'_>, walk: &mut Walk<'_>, effort: &Effort, best: &mut Placement) {
    let (mut order, mut layout) = (best.order.clone(), best.layout.clone());
    let total = effort.warm + effort.measured;
    for epoch in 0..total {
        if is_perfect(graph, best) {
            return;
        }
        order = walk.epoch(&order, &layout, effort.steps_per_unit);
        if epoch < effort.warm {
            layout = Layout::new(graph, &order, layout.rooms().to_vec());
        } else {
            let found = islands::place(graph, order.clone(), Lean::Middle);
            layout = found.layout.clone();
            if found.cost() < best.cost() {
                *best = found;
            }
        }
    }
}

/// Makes orders of a text of many reaches anew, since what is good for hundreds of sections at once
/// is not found by moving them one by one.
fn arrange(graph: &Graph<'_>, effort: &Effort, best: &mut Placement) {
    let sequences: Vec<u32> = (0..effort.arranged).collect();
    let arranged = |&sequence: &u32| {
        let order = arrange::arrange(graph, sequence)?;
        Some(islands::place(graph, order, Lean::Middle))
    };
    let found = work::each(&sequences, &arranged).into_iter().flatten();
    for found in found {
        if found.cost() < best.cost() {
            *best = found;
        }
    }
}

/// Looks for a better order of a text of many reaches.
fn sample(graph: &Graph<'_>, sampler: &mut Sampler<'_>, effort: &Effort, best: &mut Placement) {
    let (mut order, mut layout) = (best.order.clone(), best.layout.clone());
    for cut in 0..effort.cuts {
        let done = |cut: u32| cut as f32 / effort.cuts as f32;
        let progress = (done(cut), done(cut + 1));
        order = sampler.epoch(&order, &layout, effort.passes_per_cut, progress);
        layout = Layout::new(graph, &order, layout.rooms().to_vec());
    }
    let found = islands::place(graph, order, Lean::Middle);
    if found.cost() < best.cost() {
        *best = found;
    }
}

/// Turns a placement into the caller's terms.
fn finish(graph: &Graph<'_>, placement: &Placement) -> Result<Answer, ReachError> {
    let layout = &placement.layout;
    if !placement.unreached.is_empty() {
        let facts = |&call| islands::unreached(graph, layout, call);
        let mut all: Vec<Unreached> = placement.unreached.iter().map(facts).collect();
        all.sort_unstable_by_key(|unreached| unreached.branch);
        return Err(ReachError::OutOfReach(all));
    }
    let mut islands: Vec<Island> = Vec::new();
    let mut refs = Vec::with_capacity(placement.stubs.len());
    let mut last: Option<SlotId> = None;
    for stub in &placement.stubs {
        if last != Some(stub.slot) {
            last = Some(stub.slot);
            let unit = placement.order.get(stub.slot.index());
            let before = unit.and_then(|&unit| graph.sections(unit).next());
            islands.push(Island {
                offset: stub.offset as u64,
                before,
                stubs: Vec::new(),
            });
        }
        let island = IslandId::new(islands.len() as u32 - 1);
        let stubs = &mut islands[island.index()].stubs;
        refs.push(StubRef {
            island,
            stub: stubs.len() as u32,
        });
        stubs.push(Stub {
            offset: stub.offset as u64,
            target: graph.target(stub.target),
        });
    }
    let mut via = vec![None; graph.problem.branches.len()];
    for way in &placement.ways {
        via[graph.call(way.call).branch.index()] = Some(refs[way.stub as usize]);
    }
    Ok(Answer {
        order: placement
            .order
            .iter()
            .flat_map(|&unit| graph.sections(unit))
            .collect(),
        offsets: layout.offsets.iter().map(|&offset| offset as u64).collect(),
        islands,
        via,
        size: layout.size as u64,
    })
}
