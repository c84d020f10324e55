//! A better order for a text of many reaches, such as a kernel's, in some tenths of a second: the
//! input's, or one that `arrange` makes, with single units moved.
//!
//! Random moves, which `order` proposes, are mostly bad ones there: a section has one or two bins
//! of a hundred where it saves stubs. So this asks for all bins at once. A stub that is needed
//! anyway serves callers in some span of bins more for nothing, and in all others a caller costs
//! one stub: what a section would cost in each bin is thus a sum of a few spans for each of its
//! targets. One bin is then chosen at random, the likelier the less it costs (Gibbs sampling), at
//! first rather freely and later among the best only (annealing).
//!
//! Bins may be filled too much, at a price, since sections are of many sizes and most moves would
//! otherwise need a partner. The text is cut anew from time to time, which makes good for that.

use crate::bins::{BINS, BinSet, Levels};
use crate::graph::{Graph, TargetId, UnitId};
use crate::layout::Layout;
use crate::movers::{Movers, Random};
use crate::problem::Target;
use alloc::vec;
use alloc::vec::Vec;

/// Bins that a stub has to serve for a walk to be of use.
const LEAST_SPAN: i64 = 6;

/// What it costs, in stubs, to fill a bin to twice what it should hold; it grows with the square.
const OVERFILL: f32 = 40.0;

/// What a stub more makes half as likely, in stubs: at the beginning, and how often that halves
/// until the end. If it began hotter, a walk would forget what is good in the order that it starts
/// from; in the end almost nothing moves any more (measured on PA-RISC's vmlinux).
const HOT: f32 = 0.2;
const HALVES_TO_COLD: f32 = 4.0;

/// Steps in which a weight falls to the half.
const STEPS_PER_HALF: usize = 16;
/// 2^(-1/16).
const STEP: f32 = 0.957_603_3;
/// Weights that are told from zero: down to 2^-16.
const WEIGHTS: usize = 16 * STEPS_PER_HALF;

/// Groups of callers of one target, a stub each: the first and the last bin that it has to serve.
type Groups = Vec<(i32, i32)>;

/// One target that is called from other units than its own.
struct Aim {
    /// Where it is.
    home: Home,
    /// Bins that call it.
    callers: BinSet,
    /// Bins on both sides of it from which branches reach it directly.
    below: i32,
    above: i32,
    /// Bins that one stub serves.
    window: i32,
    /// Bytes: the narrowest form of its callers.
    min: i64,
    max: i64,
}

/// Where a target is.
#[derive(Clone, Copy)]
enum Home {
    Unit(UnitId),
    /// At an offset that does not change, and so in a bin that may be none of the text's.
    Fixed {
        offset: i64,
        bin: i32,
    },
    Unknown,
}

/// The state of the walk.
pub(crate) struct Sampler<'a> {
    graph: &'a Graph<'a>,
    aims: Vec<Aim>,
    /// By aim and bin: how many units call from there.
    counts: Vec<u16>,
    /// By unit: the aims that it calls, and those in it.
    calls: Vec<Vec<u32>>,
    holds: Vec<Vec<u32>>,
    /// By unit: its bin, and its place in the order.
    bin_of: Vec<i32>,
    place: Vec<u32>,
    movers: Movers,
    /// By run: its first and last bin.
    run_bins: Vec<(i32, i32)>,
    /// Bytes of a bin, and by bin: what it should hold of units that move, and what it holds.
    stretch: i64,
    wanted: [i64; BINS],
    fill: [i64; BINS],
    weights: [f32; WEIGHTS],
    random: Random,
    /// Memory for the groups of one target at a time.
    groups: Groups,
}

impl<'a> Sampler<'a> {
    /// Prepares a walk; `None` if no section may move.
    pub(crate) fn new(graph: &'a Graph<'a>) -> Option<Self> {
        let units = graph.unit_count();
        let movers = Movers::new(graph)?;
        let mut weights = [1.0; WEIGHTS];
        for index in 1..WEIGHTS {
            weights[index] = weights[index - 1] * STEP;
        }
        let mut sampler = Self {
            graph,
            aims: Vec::new(),
            counts: Vec::new(),
            calls: vec![Vec::new(); units],
            holds: vec![Vec::new(); units],
            bin_of: vec![0; units],
            place: vec![0; units],
            movers,
            run_bins: Vec::new(),
            stretch: 1,
            wanted: [0; BINS],
            fill: [0; BINS],
            weights,
            random: Random::new(0),
            groups: Vec::new(),
        };
        for target in graph.target_ids() {
            sampler.add_aim(target);
        }
        sampler.counts = vec![0; sampler.aims.len() * BINS];
        Some(sampler)
    }

    fn add_aim(&mut self, target: TargetId) {
        let graph = self.graph;
        let home = match graph.target(target) {
            Target::Section { section, .. } => Home::Unit(graph.unit_of(section)),
            Target::Fixed(offset) => Home::Fixed { offset, bin: 0 },
            Target::External(_) => Home::Unknown,
        };
        let number = self.aims.len() as u32;
        let (mut min, mut max) = (i64::MIN, i64::MAX);
        let mut is_called = false;
        for call in graph.callers(target) {
            let (unit, form) = (graph.unit_of(graph.call(call).section), graph.form(call));
            if matches!(home, Home::Unit(home) if home == unit) || !form.stub {
                continue;
            }
            is_called = true;
            (min, max) = (min.max(form.min), max.min(form.max));
            let calls = &mut self.calls[unit.index()];
            if calls.last() != Some(&number) {
                calls.push(number);
            }
        }
        if !is_called {
            return;
        }
        if let Home::Unit(home) = home {
            self.holds[home.index()].push(number);
        }
        self.aims.push(Aim {
            home,
            callers: BinSet::default(),
            below: 0,
            above: 0,
            window: 1,
            min,
            max,
        });
    }

    /// Whether bins are small beside the reach of some branches.
    pub(crate) fn sees_reach(&self, layout: &Layout) -> bool {
        let (start, end) = self.extent(layout);
        let stretch = (end - start) / BINS as i64 + 1;
        let spans = |aim: &Aim| aim.max.saturating_sub(aim.min) / stretch >= LEAST_SPAN;
        self.aims.iter().any(spans)
    }

    /// From where to where there are sections that may move.
    fn extent(&self, layout: &Layout) -> (i64, i64) {
        let sections = self.movers.units.iter().flat_map(|&unit| {
            let sections = self.graph.sections(unit);
            sections.map(|section| section.index())
        });
        sections.fold((i64::MAX, 0), |(start, end), section| {
            let offset = layout.offsets[section];
            let size = self.graph.problem.sections[section].size as i64;
            (start.min(offset), end.max(offset + size))
        })
    }

    /// Cuts the text of `order` as `layout` has it into bins, and walks for `passes` passes, in
    /// each of which every section that may move is looked at about once. `progress` says how
    /// much of the walk is behind it at the beginning and at the end, from 0 to 1. Returns the
    /// order that it comes to.
    pub(crate) fn epoch(
        &mut self,
        order: &[UnitId],
        layout: &Layout,
        passes: u32,
        progress: (f32, f32),
    ) -> Vec<UnitId> {
        self.cut(order, layout);
        for pass in 0..passes {
            let done = progress.0 + (progress.1 - progress.0) * pass as f32 / passes as f32;
            let heat = HOT * self.weight(done * HALVES_TO_COLD);
            for _ in 0..self.movers.units.len() {
                let pick = self.random.below(self.movers.units.len() as u32);
                self.step(self.movers.units[pick as usize], heat);
            }
        }
        let mut order = order.to_vec();
        order.sort_unstable_by_key(|unit| {
            let unit = unit.index();
            (
                self.movers.run_of[unit],
                self.bin_of[unit],
                self.place[unit],
            )
        });
        order
    }

    /// Puts every unit into the bin where its middle is.
    fn cut(&mut self, order: &[UnitId], layout: &Layout) {
        let (start, end) = self.extent(layout);
        let stretch = (end - start) / (BINS as i64 - 1) + 1;
        // Not always at the same places, lest bounds of bins become bounds in the text.
        let shift = i64::from(self.random.below(stretch.min(i64::from(u32::MAX)) as u32)) - start;
        let bin_at = |offset: i64| {
            let bin = (offset + shift).div_euclid(stretch);
            bin.clamp(-2 * BINS as i64, 3 * BINS as i64) as i32
        };
        self.stretch = stretch;
        (self.wanted, self.fill) = ([0; BINS], [0; BINS]);
        self.run_bins = vec![(i32::MAX, 0); self.graph.runs.len()];
        for (place, &unit) in order.iter().enumerate() {
            let (index, size) = (unit.index(), self.movers.sizes[unit.index()]);
            let first = self.graph.sections(unit).next();
            let start = first.map_or(0, |section| layout.offsets[section.index()]);
            let bin = bin_at(start + size / 2);
            self.place[index] = place as u32;
            self.bin_of[index] = bin;
            let run = self.movers.run_of[index] as usize;
            let (low, high) = self.run_bins[run];
            self.run_bins[run] = (low.min(bin), high.max(bin));
            if self.graph.runs[run].len() > 1 {
                self.fill[bin as usize] += size;
                self.want(start + shift, size);
            }
        }
        self.cut_aims(bin_at);
    }

    /// Notes that each bin should hold what of a unit lies in it.
    fn want(&mut self, mut start: i64, size: i64) {
        let end = start + size;
        while start < end {
            let bin = start.div_euclid(self.stretch);
            let next = end.min((bin + 1) * self.stretch);
            self.wanted[bin.clamp(0, BINS as i64 - 1) as usize] += next - start;
            start = next;
        }
    }

    fn cut_aims(&mut self, bin_at: impl Fn(i64) -> i32) {
        let stretch = self.stretch;
        let bins = |bytes: i64| (bytes.clamp(0, stretch * BINS as i64) + stretch / 2) / stretch;
        for aim in &mut self.aims {
            aim.callers = BinSet::default();
            // Two places whose bins are n apart can be up to n + 1 bins apart, but rarely are.
            aim.below = bins(aim.max.saturating_sub(stretch * 2 / 3)) as i32;
            aim.above = bins(aim.min.saturating_add(stretch * 2 / 3).saturating_neg()) as i32;
            let span = aim.max.saturating_sub(aim.min).saturating_sub(stretch / 2);
            aim.window = bins(span).max(1) as i32;
            if let Home::Fixed { offset, bin } = &mut aim.home {
                *bin = bin_at(*offset);
            }
        }
        self.counts.fill(0);
        for (unit, calls) in self.calls.iter().enumerate() {
            let bin = self.bin_of[unit];
            // What stands elsewhere is not counted: its stubs change little.
            if !(0..BINS as i32).contains(&bin) {
                continue;
            }
            for &aim in calls {
                self.counts[aim as usize * BINS + bin as usize] += 1;
                self.aims[aim as usize].callers.insert(bin);
            }
        }
    }

    /// Takes one unit out and puts it into a bin of its run.
    fn step(&mut self, unit: UnitId, heat: f32) {
        let index = unit.index();
        let from = self.bin_of[index];
        let (first, last) = self.run_bins[self.movers.run_of[index] as usize];
        if first == last {
            return;
        }
        let mut groups = core::mem::take(&mut self.groups);
        let mut costs = Levels::new();
        for &aim in &self.calls[index] {
            self.add_call(&mut costs, aim, from, &mut groups);
        }
        for &aim in &self.holds[index] {
            self.aims[aim as usize].add_held(&mut costs, &mut groups);
        }
        self.groups = groups;
        let to = self.choose(unit, &costs.values(), (first, last), heat);
        if to == from {
            return;
        }
        self.fill[from as usize] -= self.movers.sizes[index];
        self.fill[to as usize] += self.movers.sizes[index];
        self.bin_of[index] = to;
        for &aim in &self.calls[index] {
            let counts = &mut self.counts[aim as usize * BINS..][..BINS];
            counts[from as usize] -= 1;
            counts[to as usize] += 1;
            let callers = &mut self.aims[aim as usize].callers;
            if counts[from as usize] == 0 {
                callers.remove(from);
            }
            callers.insert(to);
        }
    }

    /// Adds what a call of `aim` costs in each bin, if that from `from` did not exist.
    fn add_call(&self, costs: &mut Levels, aim: u32, from: i32, groups: &mut Groups) {
        let count = self.counts[aim as usize * BINS + from as usize];
        let aim = &self.aims[aim as usize];
        let mut callers = aim.callers;
        if count == 1 {
            callers.remove(from);
        }
        let home = match aim.home {
            Home::Unit(home) => Some(self.bin_of[home.index()]),
            Home::Fixed { bin, .. } => Some(bin),
            Home::Unknown => None,
        };
        // A stub, but where the target or a stub that there is anyway is in reach.
        costs.add(0, BINS as i32 - 1, 1);
        let mut reached = -1;
        let mut free = |first: i32, last: i32| {
            costs.add(first.max(reached + 1), last, -1);
            reached = reached.max(last);
        };
        let mut direct = home.map(|home| (home - aim.below, home + aim.above));
        if let Some((first, last)) = direct {
            callers.remove_span(first, last);
        }
        aim.group(callers, groups);
        for &(first, last) in groups.iter() {
            let span = (last - aim.window + 1, first + aim.window - 1);
            if let Some((first, last)) = direct.take_if(|direct| direct.0 <= span.0) {
                free(first, last);
            }
            free(span.0, span.1);
        }
        if let Some((first, last)) = direct {
            free(first, last);
        }
    }

    /// A bin for a unit that costs what `costs` says in each.
    fn choose(&mut self, unit: UnitId, costs: &[i32; BINS], range: (i32, i32), heat: f32) -> i32 {
        let (index, from) = (unit.index(), self.bin_of[unit.index()]);
        let (first, last) = (range.0 as usize, range.1 as usize);
        let size = self.movers.sizes[index];
        let mut prices = [f32::MAX; BINS];
        let mut least = f32::MAX;
        for bin in first..=last {
            if self.wanted[bin] == 0 {
                continue;
            }
            let own = if bin as i32 == from { size } else { 0 };
            let over = (self.fill[bin] - own - self.wanted[bin]) as f32 / self.stretch as f32;
            let (before, after) = (over, over + size as f32 / self.stretch as f32);
            let square = |over: f32| over.max(0.0) * over.max(0.0);
            prices[bin] = costs[bin] as f32 + OVERFILL * (square(after) - square(before));
            least = least.min(prices[bin]);
        }
        let mut sums = [0.0; BINS];
        let mut sum = 0.0;
        for bin in first..=last {
            sum += self.weight((prices[bin] - least) / heat);
            sums[bin] = sum;
        }
        let pick = self.random.below(1 << 24) as f32 / (1 << 24) as f32 * sum;
        let found = (first..=last).find(|&bin| sums[bin] > pick);
        found.map_or(from, |bin| bin as i32)
    }

    /// 2 to the power of `-halves`, for 0 or more halves.
    fn weight(&self, halves: f32) -> f32 {
        let index = (halves * STEPS_PER_HALF as f32) as usize;
        self.weights.get(index).copied().unwrap_or(0.0)
    }
}

impl Aim {
    /// Puts into `groups`, for each stub that `callers` need, the first bin that it may have to
    /// serve, which is that of a sweep from the left, and the last, which is that of one from the
    /// right.
    fn group(&self, mut callers: BinSet, groups: &mut Groups) {
        groups.clear();
        let mut rest = callers;
        while let Some(first) = rest.first() {
            groups.push((first, first));
            rest.remove_span(first, first + self.window - 1);
        }
        for group in groups.iter_mut().rev() {
            let Some(last) = callers.last() else { break };
            group.1 = last;
            callers.remove_span(last - self.window + 1, last);
        }
    }

    /// Adds what it costs to have the target in each bin: the stubs of a sweep from the left up to
    /// where it is reached directly, and those of one from the right.
    fn add_held(&self, costs: &mut Levels, groups: &mut Groups) {
        self.group(self.callers, groups);
        for &(first, last) in groups.iter() {
            costs.add(first + self.below + 1, BINS as i32 - 1, 1);
            costs.add(0, last - self.above - 1, 1);
        }
    }
}
