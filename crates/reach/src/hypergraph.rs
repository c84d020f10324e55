//! Which units have to do with each other: a hypergraph. Its vertices are units, or clusters of
//! them, and its nets are targets: whoever calls one, and the unit that holds it.

use crate::graph::{Graph, TargetId, UnitId};
use crate::lists::Lists;
use crate::problem::Target;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

/// A vertex: an index into a [`Hypergraph`]'s sizes.
pub(crate) type Vertex = u32;

/// Vertices with sizes, and nets over them.
pub(crate) struct Hypergraph {
    /// By vertex: bytes.
    pub(crate) sizes: Vec<i64>,
    /// By net: its vertices, two or more, in order. No two nets have the same.
    pub(crate) nets: Lists<Vertex>,
    /// By net: how many targets it stands for.
    pub(crate) weights: Vec<i32>,
    /// By vertex: the nets that it is in.
    pub(crate) nets_of: Lists<u32>,
}

impl Hypergraph {
    /// The units of a run as vertices.
    pub(crate) fn of_run(graph: &Graph<'_>, run: &Range<u32>) -> Self {
        let units = run.clone().map(UnitId::new);
        let vertex = |unit: UnitId| {
            let unit = unit.index() as u32;
            run.contains(&unit).then(|| unit - run.start)
        };
        let (mut nets, mut units_of) = (Lists::default(), Vec::new());
        for target in graph.target_ids() {
            units_with(graph, target, &mut units_of);
            nets.push(units_of.iter().filter_map(|&unit| vertex(unit)));
        }
        let ones = core::iter::repeat_n(1, nets.len());
        Self::new(
            units.map(|unit| graph.size_of(unit)).collect(),
            &nets,
            ones.collect(),
        )
    }

    /// The hypergraph whose `count` vertices are those of this one that `map` gives the same number;
    /// those that it gives none are left out.
    pub(crate) fn mapped(&self, map: &[Option<Vertex>], count: usize) -> Self {
        let mut sizes = vec![0; count];
        for (&size, &vertex) in self.sizes.iter().zip(map) {
            if let Some(vertex) = vertex {
                sizes[vertex as usize] += size;
            }
        }
        let (mut nets, mut vertices) = (Lists::default(), Vec::new());
        for net in 0..self.nets.len() {
            vertices.clear();
            let there = self.nets.of(net).iter();
            vertices.extend(there.filter_map(|&vertex| map[vertex as usize]));
            vertices.sort_unstable();
            vertices.dedup();
            nets.push(vertices.iter().copied());
        }
        Self::new(sizes, &nets, self.weights.clone())
    }

    /// Leaves out nets of fewer than two vertices, and makes one of those that are the same.
    pub(crate) fn new(sizes: Vec<i64>, all: &Lists<Vertex>, all_weights: Vec<i32>) -> Self {
        let mut numbers: Vec<usize> = (0..all.len()).collect();
        numbers.retain(|&net| all.of(net).len() > 1);
        numbers.sort_unstable_by(|&a, &b| all.of(a).cmp(all.of(b)));
        let (mut nets, mut weights) = (Lists::default(), Vec::new());
        for same in numbers.chunk_by(|&a, &b| all.of(a) == all.of(b)) {
            nets.push(all.of(same[0]).iter().copied());
            weights.push(same.iter().map(|&net| all_weights[net]).sum());
        }
        let vertices = |net: usize| nets.of(net).iter().map(move |&v| (v as usize, net as u32));
        let nets_of = Lists::group(sizes.len(), (0..nets.len()).flat_map(vertices));
        Self {
            sizes,
            nets,
            weights,
            nets_of,
        }
    }

    /// Bytes of all vertices.
    pub(crate) fn size(&self) -> i64 {
        self.sizes.iter().sum()
    }

    /// The nets of a vertex, with their weights.
    pub(crate) fn of(&self, vertex: usize) -> impl Iterator<Item = (usize, i32)> + '_ {
        let nets = self.nets_of.of(vertex).iter();
        nets.map(|&net| (net as usize, self.weights[net as usize]))
    }
}

/// Puts into `units` those that call a target and the one that holds it, in order.
pub(crate) fn units_with(graph: &Graph<'_>, target: TargetId, units: &mut Vec<UnitId>) {
    units.clear();
    let callers = graph.callers(target);
    units.extend(callers.map(|call| graph.unit_of(graph.call(call).section)));
    if let Target::Section { section, .. } = graph.target(target) {
        units.push(graph.unit_of(section));
    }
    // Branches are mostly in their units' order.
    units.dedup();
    units.sort_unstable();
    units.dedup();
}
