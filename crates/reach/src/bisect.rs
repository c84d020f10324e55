//! Two halves of a hypergraph with few nets in both.
//!
//! Vertices that share nets are made one, again and again, until few are left; those are halved in
//! some ways at random, and of the best the vertices are taken apart again, step by step
//! (multilevel bisection, Karypis and others, 1999). At every step vertices change sides while that
//! leaves fewer nets in both (Fiduccia and Mattheyses, 1982): what small moves would never find
//! among single units is a small move among clusters.

use crate::hypergraph::{Hypergraph, Vertex};
use crate::movers::Random;
use alloc::vec;
use alloc::vec::Vec;

/// Vertices that are few enough to be halved at random, and how often that is tried.
const FEW: usize = 60;
const TRIES: usize = 8;

/// Of how many vertices a net may be that says that they belong together.
const LARGEST_TELLING_NET: usize = 50;

/// The part of all bytes by which one half may be larger than the other. With a tenth, as with nets
/// of many vertices or more patience, orders are no better (measured on PA-RISC's vmlinux).
const SLACK: i64 = 5;

/// Passes over all vertices, and how many moves a pass goes on without a gain.
const PASSES: usize = 4;
const PATIENCE: usize = 30;

/// For each vertex, whether it is in the second half.
pub(crate) fn bisect(graph: &Hypergraph, random: &mut Random) -> Vec<bool> {
    let count = graph.sizes.len();
    if count > FEW {
        let (map, coarse_count) = cluster(graph, random);
        // Less than that leads nowhere.
        if coarse_count * 20 < count * 19 {
            let coarse = bisect(&graph.mapped(&map, coarse_count), random);
            let side = |vertex: &Option<Vertex>| vertex.is_some_and(|v| coarse[v as usize]);
            return refined(graph, map.iter().map(side).collect());
        }
    }
    // A large graph that has no clusters has no good halves either.
    let tries = if count > FEW { 1 } else { TRIES };
    let tries = (0..tries).map(|_| refined(graph, halves_at_random(graph, random)));
    tries
        .min_by_key(|sides| cut(graph, sides))
        .unwrap_or_default()
}

/// Makes pairs of vertices that have much to do with each other; gives each vertex its cluster's
/// number, and how many clusters there are.
fn cluster(graph: &Hypergraph, random: &mut Random) -> (Vec<Option<Vertex>>, usize) {
    let count = graph.sizes.len();
    // No cluster so large that it could not change sides.
    let largest = graph.size() / FEW as i64 * 3 / 2;
    let mut map = vec![None; count];
    let mut ties = Ties {
        weights: vec![0.0; count],
        tied: Vec::new(),
    };
    let mut clusters = 0;
    for vertex in shuffled(count, random) {
        if map[vertex].is_some() {
            continue;
        }
        map[vertex] = Some(clusters);
        ties.add(graph, vertex, |other| map[other].is_none());
        let mut best = (0.0, None);
        for (other, tie) in ties.drain() {
            // Small ones first, lest all gathers around the largest.
            let strength = tie * tie / graph.sizes[other].max(LEAST_SIZE) as f32;
            if strength > best.0 && graph.sizes[other] + graph.sizes[vertex] <= largest {
                best = (strength, Some(other));
            }
        }
        if let Some(other) = best.1 {
            map[other] = Some(clusters);
        }
        clusters += 1;
    }
    (map, clusters as usize)
}

/// What one vertex has to do with others.
struct Ties {
    /// By vertex.
    weights: Vec<f32>,
    /// Those that have a weight.
    tied: Vec<usize>,
}

impl Ties {
    fn add(&mut self, graph: &Hypergraph, vertex: usize, is_open: impl Fn(usize) -> bool) {
        for (net, weight) in graph.of(vertex) {
            let vertices = graph.nets.of(net);
            if vertices.len() > LARGEST_TELLING_NET {
                continue;
            }
            let share = weight as f32 / (vertices.len() - 1) as f32;
            let others = vertices.iter().map(|&other| other as usize);
            for other in others.filter(|&other| is_open(other)) {
                if self.weights[other] == 0.0 {
                    self.tied.push(other);
                }
                self.weights[other] += share;
            }
        }
    }

    /// All of them, which are then forgotten.
    fn drain(&mut self) -> impl Iterator<Item = (usize, f32)> + '_ {
        let weights = &mut self.weights;
        let tied = self.tied.drain(..);
        tied.map(|other| (other, core::mem::take(&mut weights[other])))
    }
}

/// Bytes below which one vertex is as good as another to make a pair with.
const LEAST_SIZE: i64 = 1000;

/// All numbers below `count`, in any order.
fn shuffled(count: usize, random: &mut Random) -> Vec<usize> {
    let mut all: Vec<usize> = (0..count).collect();
    for index in (1..count).rev() {
        all.swap(index, random.below(index as u32 + 1) as usize);
    }
    all
}

fn halves_at_random(graph: &Hypergraph, random: &mut Random) -> Vec<bool> {
    let count = graph.sizes.len();
    let mut sides = vec![false; count];
    let mut rest = graph.size();
    let half = rest / 2;
    for vertex in shuffled(count, random) {
        if rest > half {
            sides[vertex] = true;
            rest -= graph.sizes[vertex];
        }
    }
    sides
}

/// The targets of all nets that have vertices on both sides.
fn cut(graph: &Hypergraph, sides: &[bool]) -> i64 {
    let is_cut = |net: usize| {
        let vertices = graph.nets.of(net);
        let is_second = |&vertex: &Vertex| sides[vertex as usize];
        vertices.iter().any(is_second) && !vertices.iter().all(is_second)
    };
    let cut = (0..graph.nets.len()).filter(|&net| is_cut(net));
    cut.map(|net| i64::from(graph.weights[net])).sum()
}

/// Moves vertices to the other side until no pass gains anything.
fn refined(graph: &Hypergraph, sides: Vec<bool>) -> Vec<bool> {
    let mut state = State::new(graph, sides);
    for _ in 0..PASSES {
        if !state.pass() {
            break;
        }
    }
    state.sides
}

/// Two halves while vertices move.
struct State<'a> {
    graph: &'a Hypergraph,
    sides: Vec<bool>,
    /// By net: how many of its vertices are on each side.
    counts: Vec<[u32; 2]>,
    /// By vertex: how many nets fewer would be cut if it changed sides.
    gains: Vec<i32>,
    /// Bytes that the second half has more than the first.
    surplus: i64,
    slack: i64,
}

impl<'a> State<'a> {
    fn new(graph: &'a Hypergraph, sides: Vec<bool>) -> Self {
        let counts = |net: usize| {
            let vertices = graph.nets.of(net);
            let second = vertices.iter().filter(|&&v| sides[v as usize]).count();
            [(vertices.len() - second) as u32, second as u32]
        };
        let signed = |(&size, &second): (&i64, &bool)| if second { size } else { -size };
        Self {
            graph,
            counts: (0..graph.nets.len()).map(counts).collect(),
            gains: Vec::new(),
            surplus: graph.sizes.iter().zip(&sides).map(signed).sum(),
            slack: graph.size() / SLACK,
            sides,
        }
    }

    /// Moves each vertex at most once, always the one that gains most, even if that is less than
    /// nothing; then takes back all after the best moment. Returns whether that gained anything.
    fn pass(&mut self) -> bool {
        let count = self.sides.len();
        self.gains = (0..count).map(|vertex| self.gain(vertex)).collect();
        let mut is_open = vec![true; count];
        let mut moves = Vec::new();
        let (mut gained, mut best, mut best_moves) = (0, 0, 0);
        while moves.len() - best_moves <= PATIENCE {
            let open = (0..count).filter(|&vertex| is_open[vertex] && self.may_move(vertex));
            let Some(vertex) = open.max_by_key(|&vertex| self.gains[vertex]) else {
                break;
            };
            is_open[vertex] = false;
            gained += self.gains[vertex];
            self.shift(vertex);
            moves.push(vertex);
            if gained > best {
                (best, best_moves) = (gained, moves.len());
            }
        }
        for &vertex in &moves[best_moves..] {
            self.shift(vertex);
        }
        best > 0
    }

    fn gain(&self, vertex: usize) -> i32 {
        let (own, other) = self.own_and_other(vertex);
        let gain = |(net, weight): (usize, i32)| match self.counts[net] {
            counts if counts[own] == 1 => weight,
            counts if counts[other] == 0 => -weight,
            _ => 0,
        };
        self.graph.of(vertex).map(gain).sum()
    }

    fn own_and_other(&self, vertex: usize) -> (usize, usize) {
        let own = usize::from(self.sides[vertex]);
        (own, 1 - own)
    }

    /// Whether the halves stay even without a vertex on its side, or become more so.
    fn may_move(&self, vertex: usize) -> bool {
        let more = 2 * self.graph.sizes[vertex];
        let surplus = match self.sides[vertex] {
            true => self.surplus - more,
            false => self.surplus + more,
        };
        surplus.abs() <= self.slack.max(self.surplus.abs() - 1)
    }

    /// Moves a vertex to the other side. Its own gain is then that of a pass to come.
    fn shift(&mut self, vertex: usize) {
        let (own, other) = self.own_and_other(vertex);
        self.sides[vertex] = other == 1;
        let more = 2 * self.graph.sizes[vertex];
        self.surplus += if other == 1 { more } else { -more };
        for (net, weight) in self.graph.of(vertex) {
            // Only where a side has one vertex of a net or none, somebody's gain changes.
            match self.counts[net][other] {
                0 => self.add_gain(net, own, weight),
                1 => self.add_gain(net, other, -weight),
                _ => {}
            }
            self.counts[net][own] -= 1;
            self.counts[net][other] += 1;
            match self.counts[net][own] {
                0 => self.add_gain(net, other, -weight),
                1 => self.add_gain(net, own, weight),
                _ => {}
            }
        }
    }

    /// Adds to the gains of a net's vertices on one side.
    fn add_gain(&mut self, net: usize, side: usize, more: i32) {
        for &vertex in self.graph.nets.of(net) {
            if usize::from(self.sides[vertex as usize]) == side {
                self.gains[vertex as usize] += more;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::Lists;

    /// Two rings, whose vertices alternate, and `between` nets from one to the other.
    fn rings(length: u32, between: u32) -> Hypergraph {
        let mut nets = Lists::default();
        for vertex in 0..2 * length {
            for step in [2, 6, 10] {
                nets.push([vertex, (vertex + step) % (2 * length)].into_iter());
            }
        }
        for vertex in 0..between {
            nets.push([2 * vertex, 2 * vertex + 1].into_iter());
        }
        let sorted = (0..nets.len()).map(|net| {
            let mut vertices = nets.of(net).to_vec();
            vertices.sort_unstable();
            vertices
        });
        let mut all = Lists::default();
        sorted.for_each(|vertices| all.push(vertices.into_iter()));
        let sizes = vec![1000; 2 * length as usize];
        let weights = vec![1; all.len()];
        Hypergraph::new(sizes, &all, weights)
    }

    #[test]
    fn halves_are_what_belongs_together() {
        // One that is halved at once, and some that are made of fewer vertices first.
        for length in [20, 100, 400] {
            let graph = rings(length, 3);
            let sides = bisect(&graph, &mut Random::new(0));
            let even = sides.iter().step_by(2);
            assert!(even.clone().all(|&side| side == sides[0]), "{length}");
            assert_eq!(cut(&graph, &sides), 3, "{length}");
        }
    }

    #[test]
    fn gains_are_kept_while_vertices_move() {
        let graph = rings(20, 7);
        let mut random = Random::new(0);
        let mut state = State::new(&graph, halves_at_random(&graph, &mut random));
        for _ in 0..50 {
            let count = state.sides.len();
            state.gains = (0..count).map(|vertex| state.gain(vertex)).collect();
            let vertex = random.below(count as u32) as usize;
            let (before, gain) = (cut(&graph, &state.sides), state.gains[vertex]);
            state.shift(vertex);
            assert_eq!(cut(&graph, &state.sides), before - i64::from(gain));
            for other in (0..count).filter(|&other| other != vertex) {
                assert_eq!(state.gains[other], state.gain(other));
            }
        }
    }
}
