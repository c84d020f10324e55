//! A better order of the sections: one that needs fewer stubs.
//!
//! The text is cut into [`BINS`] stretches of equal length. A target is then
//! a set of stretches that call it, one bit each, and the stubs it needs are
//! counted by a few operations on that set. So cheap is it to ask what a unit
//! would save elsewhere that a walk over random moves finds orders that keep
//! sections near what they call, callers of one external target within the
//! reach of one island, and what is called from everywhere in the middle. A
//! move is taken if it needs no more stubs than before, so the walk also
//! drifts along what costs the same, and out of corners.
//!
//! Stretches are an approximation, and moves blur it. So the walk is done in
//! a few epochs, each of which cuts the text anew, and its result is only a
//! candidate: `islands::place` has the last word.

use crate::graph::{Graph, UnitId};
use crate::layout::Layout;
use crate::movers::{Movers, Random};
use crate::targets::Targets;
use alloc::vec;
use alloc::vec::Vec;

/// Stretches of text: as many as a word has bits.
pub(crate) const BINS: usize = 64;

/// Units in the other bin that are tried in exchange for one that wants to go
/// there. With 1 the walk is half as good for the same time; more than 2
/// gains little (measured on xfs).
const PARTNERS: usize = 2;

/// Bins that a form has to span for a walk to be of use. With 16 it still
/// saves stubs, with 4 none (measured on made-up programs).
pub(crate) const LEAST_SPAN: i64 = 8;

/// The state of the walk.
pub(crate) struct Walk<'a> {
    graph: &'a Graph<'a>,
    targets: Targets,
    /// The order at the beginning of the epoch, and each unit's place in it.
    order: Vec<UnitId>,
    place: Vec<u32>,
    movers: Movers,
    bins: Bins,
    /// By run: its first and last bin.
    run_bins: Vec<(u8, u8)>,
    random: Random,
}

/// Which units are in which bin.
struct Bins {
    /// Bytes that a bin is to hold.
    stretch: i64,
    /// By bin: bytes that it does hold.
    fill: Vec<i64>,
    members: Vec<Vec<UnitId>>,
    /// By unit: its bin and its index in `members`.
    at: Vec<(u8, u32)>,
}

impl<'a> Walk<'a> {
    /// Prepares a walk; `None` if no section may move.
    pub(crate) fn new(graph: &'a Graph<'a>) -> Option<Self> {
        let count = graph.unit_count();
        let movers = Movers::new(graph)?;
        Some(Self {
            graph,
            targets: Targets::new(graph),
            order: Vec::new(),
            place: vec![0; count],
            movers,
            bins: Bins::new(count),
            run_bins: Vec::new(),
            random: Random::new(0),
        })
    }

    /// Whether bins are small beside the reach of some branches. In a text of
    /// many reaches they are not, and the walk would be blind.
    pub(crate) fn sees_reach(&self, layout: &Layout) -> bool {
        self.targets.sees_reach(layout.size / BINS as i64 + 1)
    }

    /// Walks `steps_per_unit` proposals for each movable unit, from `order`
    /// as `layout` has it; returns the order it comes to.
    pub(crate) fn epoch(
        &mut self,
        order: &[UnitId],
        layout: &Layout,
        steps_per_unit: u32,
    ) -> Vec<UnitId> {
        self.cut(order, layout);
        for _ in 0..steps_per_unit {
            let wanting = self.wanting();
            if wanting.is_empty() {
                break;
            }
            for _ in 0..self.movers.units.len() {
                self.step(&wanting);
            }
        }
        self.walked()
    }

    /// Cuts the text into bins, by where the middle of each unit is.
    fn cut(&mut self, order: &[UnitId], layout: &Layout) {
        self.order = order.to_vec();
        self.bins.clear(layout.size / BINS as i64 + 1);
        self.run_bins = vec![(u8::MAX, 0); self.graph.runs.len()];
        for (place, &unit) in order.iter().enumerate() {
            self.place[unit.index()] = place as u32;
            let start = self.graph.sections(unit).next();
            let start = start.map_or(0, |section| layout.offsets[section.index()]);
            let size = self.movers.sizes[unit.index()];
            let bin = ((start + size / 2) / self.bins.stretch).min(BINS as i64 - 1) as u8;
            self.bins.add(unit, bin, size);
            let bins = &mut self.run_bins[self.movers.run_of[unit.index()] as usize];
            *bins = (bins.0.min(bin), bins.1.max(bin));
        }
        let bins = &self.bins;
        self.targets
            .cut(bins.stretch, self.graph.unit_ids(), |unit| bins.of(unit));
    }

    /// The movable units that call, or hold, a target with more stubs than it
    /// might need. No move but of these can save one.
    fn wanting(&self) -> Vec<UnitId> {
        let wanting = self.targets.wanting();
        let wants = |unit: &&UnitId| {
            let mut targets = self.targets.of(**unit);
            targets.any(|id| wanting[id.index()])
        };
        self.movers.units.iter().filter(wants).copied().collect()
    }

    /// Proposes to move one unit to some bin of its run, or to exchange it
    /// with a unit there if that keeps the bins filled evenly.
    fn step(&mut self, wanting: &[UnitId]) {
        let unit = wanting[self.random.below(wanting.len() as u32) as usize];
        let (first, last) = self.run_bins[self.movers.run_of[unit.index()] as usize];
        let to = first + self.random.below(u32::from(last - first) + 1) as u8;
        let from = self.bins.of(unit);
        if to == from {
            return;
        }
        let change = self.change(unit, from, to);
        if change > 0 {
            return;
        }
        if self.bins.surplus(to) <= 0 && self.bins.surplus(from) >= 0 {
            return self.shift(unit, to);
        }
        for _ in 0..PARTNERS {
            let members = self.bins.members[to as usize].len() as u32;
            if members == 0 {
                return;
            }
            let pick = self.random.below(members) as usize;
            let partner = self.bins.members[to as usize][pick];
            if self.may_swap(unit, partner) && self.swap(unit, partner, change) {
                return;
            }
        }
    }

    fn may_swap(&self, unit: UnitId, partner: UnitId) -> bool {
        let more = self.movers.sizes[unit.index()] - self.movers.sizes[partner.index()];
        self.movers.run_of[unit.index()] == self.movers.run_of[partner.index()]
            && self.bins.stays_even(self.bins.of(partner), more)
            && self.bins.stays_even(self.bins.of(unit), -more)
    }

    /// Exchanges two units if that needs no more stubs, given what moving the first changes.
    fn swap(&mut self, unit: UnitId, partner: UnitId, change: i32) -> bool {
        let (from, to) = (self.bins.of(unit), self.bins.of(partner));
        self.shift(unit, to);
        let taken = change + self.change(partner, to, from) <= 0;
        if taken {
            self.shift(partner, from);
        } else {
            self.shift(unit, from);
        }
        taken
    }

    fn change(&self, unit: UnitId, from: u8, to: u8) -> i32 {
        self.targets
            .change(unit, from, to, |unit| self.bins.of(unit))
    }

    fn shift(&mut self, unit: UnitId, to: u8) {
        let from = self.bins.of(unit);
        self.bins.shift(unit, to, self.movers.sizes[unit.index()]);
        let bins = &self.bins;
        self.targets.shift(unit, from, to, |unit| bins.of(unit));
    }

    /// The order the walk has come to: within a bin as it was before.
    fn walked(&self) -> Vec<UnitId> {
        let mut order = self.order.clone();
        order.sort_unstable_by_key(|&unit| {
            (
                self.movers.run_of[unit.index()],
                self.bins.of(unit),
                self.place[unit.index()],
            )
        });
        order
    }
}

impl Bins {
    fn new(units: usize) -> Self {
        let (fill, members) = (vec![0; BINS], vec![Vec::new(); BINS]);
        Self {
            stretch: 1,
            fill,
            members,
            at: vec![(0, 0); units],
        }
    }

    fn clear(&mut self, stretch: i64) {
        self.stretch = stretch;
        self.fill.fill(0);
        self.members.iter_mut().for_each(Vec::clear);
    }

    fn of(&self, unit: UnitId) -> u8 {
        self.at[unit.index()].0
    }

    /// Bytes that a bin holds more than it should.
    fn surplus(&self, bin: u8) -> i64 {
        self.fill[bin as usize] - self.stretch
    }

    /// Whether a bin with `more` bytes is about as full as it should be, or
    /// nearer to it than now. If it were not kept so, distances would drift.
    fn stays_even(&self, bin: u8, more: i64) -> bool {
        let surplus = self.surplus(bin);
        (surplus + more).abs() <= surplus.abs().max(self.stretch / 16)
    }

    fn add(&mut self, unit: UnitId, bin: u8, size: i64) {
        let members = &mut self.members[bin as usize];
        self.at[unit.index()] = (bin, members.len() as u32);
        members.push(unit);
        self.fill[bin as usize] += size;
    }

    fn shift(&mut self, unit: UnitId, to: u8, size: i64) {
        let (from, index) = self.at[unit.index()];
        let members = &mut self.members[from as usize];
        members.swap_remove(index as usize);
        if let Some(last) = members.get(index as usize) {
            self.at[last.index()].1 = index;
        }
        self.fill[from as usize] -= size;
        self.add(unit, to, size);
    }
}
