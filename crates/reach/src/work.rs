//! Work on many targets, on all threads if there are any.

use crate::graph::{Graph, TargetId};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// Branches from which a part of the work pays for handing it to another thread.
const LEAST_BRANCHES: usize = 4096;

/// Targets, a part of all.
pub(crate) type Part = Range<u32>;

/// Cuts the targets into parts with about as many branches each.
pub(crate) fn parts(graph: &Graph<'_>) -> Vec<Part> {
    let branches = graph.problem.branches.len();
    let count = (branches / LEAST_BRANCHES).max(1);
    let mut parts = Vec::with_capacity(count);
    let mut start = 0;
    for number in 1..=count {
        let end = match number == count {
            true => graph.target_count() as u32,
            false => graph.target_at(branches * number / count).index() as u32,
        };
        parts.push(start..end);
        start = end;
    }
    parts
}

/// The targets of a part.
pub(crate) fn targets(part: &Part) -> impl Iterator<Item = TargetId> + use<> {
    part.clone().map(TargetId::new)
}

/// Does the same for each item; gives the results in order.
pub(crate) fn each<I: Sync, T: Send>(items: &[I], work: &(impl Fn(&I) -> T + Sync)) -> Vec<T> {
    match items {
        [] => Vec::new(),
        [item] => vec![work(item)],
        _ => {
            let (first, second) = items.split_at(items.len() / 2);
            let (mut all, mut rest) = join(|| each(first, work), || each(second, work));
            all.append(&mut rest);
            all
        }
    }
}

/// Does two things.
#[cfg(feature = "rayon")]
pub(crate) use rayon::join;

#[cfg(not(feature = "rayon"))]
pub(crate) fn join<A, B>(first: impl FnOnce() -> A, second: impl FnOnce() -> B) -> (A, B) {
    (first(), second())
}
