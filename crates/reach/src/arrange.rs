//! A first order for a text of many reaches, made from nothing but who calls whom.
//!
//! The text is cut in two with few targets on both sides, and the halves again, until there are
//! blocks of half of what a branch spans (see `bisect`). Then the blocks are put in a row, such that
//! those that have to do with each other are near. `sample` moves single units from there on: by
//! itself it does not find what is good for hundreds of them at once.

use crate::bisect::bisect;
use crate::graph::{Graph, UnitId};
use crate::hypergraph::{self, Hypergraph};
use crate::movers::Random;
use crate::work;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// Blocks that a text is cut into at most, or a few more.
const MOST_BLOCKS: i64 = 32;

/// Blocks that change places together at most (measured on PA-RISC's vmlinux: 4 are too few, since
/// halves of halves belong together).
const LONGEST_ROW: usize = 8;

/// How often all changes are tried: ends what would end by itself after a few times.
const MOST_SWEEPS: usize = 16;

/// An order for all units, one of several by chance; `None` if nothing is so large that the order of
/// its blocks matters.
pub(crate) fn arrange(graph: &Graph<'_>, sequence: u32) -> Option<Vec<UnitId>> {
    let span = usual_span(graph)?;
    let mut order: Vec<UnitId> = graph.unit_ids().collect();
    let mut is_any = false;
    for run in &graph.runs {
        let size: i64 = run
            .clone()
            .map(|unit| graph.size_of(UnitId::new(unit)))
            .sum();
        if size <= span {
            continue;
        }
        is_any = true;
        let largest = (span / 2).max(size / MOST_BLOCKS);
        let units = run.clone().collect();
        let blocks = blocks(&Hypergraph::of_run(graph, run), units, largest, sequence);
        let row = Row::new(graph, run, &blocks, span).best();
        let units = row.into_iter().flat_map(|block| &blocks[block]);
        let places = &mut order[run.start as usize..run.end as usize];
        for (place, &unit) in places.iter_mut().zip(units) {
            *place = UnitId::new(unit);
        }
    }
    is_any.then_some(order)
}

/// Bytes that most branches span; `None` if there are none.
fn usual_span(graph: &Graph<'_>) -> Option<i64> {
    let mut counts = vec![0; graph.problem.forms.len()];
    for branch in graph.problem.branches {
        counts[branch.form.index()] += 1;
    }
    let forms = graph.problem.forms.iter().zip(&counts);
    let (form, _) = forms
        .filter(|(form, _)| form.stub)
        .max_by_key(|(_, count)| **count)?;
    Some(form.max.saturating_sub(form.min)).filter(|&span| span > 0)
}

/// Cuts what has the vertices `units` into blocks of at most `largest` bytes, if it can be cut.
fn blocks(graph: &Hypergraph, units: Vec<u32>, largest: i64, sequence: u32) -> Vec<Vec<u32>> {
    if graph.size() <= largest || units.len() < 2 {
        return vec![units];
    }
    let sides = bisect(graph, &mut Random::new(sequence));
    let half = |second: bool| {
        let mut own = Vec::new();
        let mut number = |(&unit, &side): (&u32, &bool)| {
            (side == second).then(|| {
                own.push(unit);
                own.len() as u32 - 1
            })
        };
        let map: Vec<Option<u32>> = units.iter().zip(&sides).map(&mut number).collect();
        (map, own)
    };
    let ((first_map, first), (second_map, second)) = (half(false), half(true));
    if first.is_empty() || second.is_empty() {
        return vec![units];
    }
    let cut = |map: &[Option<u32>], own: Vec<u32>| {
        blocks(&graph.mapped(map, own.len()), own, largest, sequence)
    };
    let (mut all, mut rest) = work::join(|| cut(&first_map, first), || cut(&second_map, second));
    all.append(&mut rest);
    all
}

/// Blocks to be put in a row. The first and the last stand for what is in front of the run and
/// behind it, and stay there.
struct Row {
    /// By block: bytes.
    sizes: Vec<i64>,
    /// By block and block: how much it is worth to have them near.
    ties: Vec<f32>,
    /// Bytes between blocks from which it is worth nothing.
    span: i64,
}

impl Row {
    fn new(graph: &Graph<'_>, run: &Range<u32>, blocks: &[Vec<u32>], span: i64) -> Self {
        let last = blocks.len() + 1;
        let (mut sizes, mut block_of) = (vec![0; last + 1], vec![None; graph.unit_count()]);
        let mut put = |unit: u32, block: usize| {
            let size = graph.size_of(UnitId::new(unit));
            let has_room = sizes[block] + size <= span;
            sizes[block] += size;
            block_of[unit as usize] = Some(block);
            has_room
        };
        for (number, block) in blocks.iter().enumerate() {
            block.iter().for_each(|&unit| {
                put(unit, number + 1);
            });
        }
        // Of what is outside, only what is near.
        (0..run.start).rev().all(|unit| put(unit, 0));
        (run.end..graph.unit_count() as u32).all(|unit| put(unit, last));
        let mut row = Self {
            ties: vec![0.0; sizes.len() * sizes.len()],
            sizes,
            span,
        };
        row.tie(graph, &block_of);
        row
    }

    /// Ties the blocks that have to do with a target: any two of them, if they are near, save a stub.
    fn tie(&mut self, graph: &Graph<'_>, block_of: &[Option<usize>]) {
        let (count, mut units, mut there) = (self.sizes.len(), Vec::new(), Vec::new());
        for target in graph.target_ids() {
            hypergraph::units_with(graph, target, &mut units);
            there.clear();
            there.extend(units.iter().filter_map(|unit| block_of[unit.index()]));
            there.sort_unstable();
            there.dedup();
            for &one in &there {
                for &other in &there {
                    self.ties[one * count + other] += 1.0;
                }
            }
        }
    }

    /// The numbers of the blocks, from 0, in the best order that was found: one in which it is no
    /// gain to take some of them out and put them elsewhere, in the same order or in the reverse.
    fn best(&self) -> Vec<usize> {
        let count = self.sizes.len() - 2;
        let mut best: Vec<usize> = (0..count + 2).collect();
        let mut best_worth = self.worth(&best);
        let mut trial = Vec::new();
        for _ in 0..MOST_SWEEPS {
            let before = best_worth;
            for (from, length) in (0..count).flat_map(|from| {
                (1..=LONGEST_ROW.min(count - from)).map(move |length| (from, length))
            }) {
                for (to, turned) in (0..=count - length).flat_map(|to| [(to, false), (to, true)]) {
                    moved(&best, &mut trial, from + 1, length, to + 1, turned);
                    let worth = self.worth(&trial);
                    if worth > best_worth {
                        best_worth = worth;
                        core::mem::swap(&mut best, &mut trial);
                    }
                }
            }
            if best_worth <= before {
                break;
            }
        }
        best[1..=count].iter().map(|&block| block - 1).collect()
    }

    /// What an order is worth: for each two blocks what they have to do with each other, the less
    /// the further they are apart.
    fn worth(&self, order: &[usize]) -> f32 {
        let mut worth = 0.0;
        for (index, &one) in order.iter().enumerate() {
            // Bytes between the middles of the two.
            let mut distance = self.sizes[one] / 2;
            for &other in &order[index + 1..] {
                let middle = distance + self.sizes[other] / 2;
                if middle >= self.span {
                    break;
                }
                let part = 1.0 - middle as f32 / self.span as f32;
                worth += part * self.ties[one * self.sizes.len() + other];
                distance += self.sizes[other];
            }
        }
        worth
    }
}

/// Puts into `trial` the blocks of `order`, but `length` of them from `from` on at `to`.
fn moved(
    order: &[usize],
    trial: &mut Vec<usize>,
    from: usize,
    length: usize,
    to: usize,
    turned: bool,
) {
    trial.clear();
    trial.extend_from_slice(&order[..from]);
    trial.extend_from_slice(&order[from + length..]);
    let row = order[from..from + length].iter().copied();
    match turned {
        false => trial.splice(to..to, row).for_each(drop),
        true => trial.splice(to..to, row.rev()).for_each(drop),
    }
}
