//! How many stubs each target needs while units move between bins: the
//! arithmetic of the walk in `order`.

use crate::graph::{Graph, TargetId, UnitId};
use crate::lists::Lists;
use crate::order::{BINS, LEAST_SPAN};
use crate::problem::{Form, Target};
use alloc::vec;
use alloc::vec::Vec;

/// A set of bins.
type BinSet = u64;

/// What each bin counts that calls a target without reaching it, if no stub is allowed.
const HOPELESS: i32 = 1000;

/// From this many calling units on, a target keeps a count for each bin.
const MANY: usize = 9;

/// All targets, and who has to do with them.
pub(crate) struct Targets {
    states: Vec<State>,
    natures: Vec<Nature>,
    /// By unit: the targets that it calls (elsewhere) and that are in it.
    by_unit: Lists<(TargetId, Tie)>,
    /// By target: the units that call it.
    callers: Lists<UnitId>,
    /// By `State::row` and bin: how many units call from there.
    counts: Vec<u32>,
}

/// What a unit has to do with a target.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tie {
    /// It calls it.
    Calls,
    /// The target is in it.
    Holds,
}

/// One target: what every move reads, so it is kept small.
struct State {
    /// Bins that call it.
    mask: BinSet,
    /// Its bin, or the bin it would be in if there were one so far out;
    /// `None` if nobody knows where it is.
    home: Option<i16>,
    /// Bins below and above it from which branches reach it directly.
    below: i16,
    above: i16,
    /// Bins that one stub serves; 0 if no stub is allowed.
    window: u8,
}

/// One target: what does not change.
struct Nature {
    target: Target,
    /// The narrowest form of its callers.
    form: Form,
    /// Number of its row in the counts, if it has many callers.
    row: Option<u32>,
}

impl Targets {
    pub(crate) fn new(graph: &Graph<'_>) -> Self {
        let mut natures = Vec::with_capacity(graph.target_count());
        let (mut by_unit, mut callers, mut rows) = (Vec::new(), Vec::new(), 0);
        let mut units = Vec::new();
        for id in graph.target_ids() {
            let target = graph.target(id);
            let home = match target {
                Target::Section { section, .. } => Some(graph.unit_of(section)),
                Target::External(_) | Target::Fixed(_) => None,
            };
            let form = callers_elsewhere(graph, id, home, &mut units);
            callers.extend(units.iter().map(|&unit| (id.index() as u32, unit)));
            by_unit.extend(
                units
                    .iter()
                    .map(|unit| (unit.index() as u32, (id, Tie::Calls))),
            );
            if let (Some(home), false) = (home, units.is_empty()) {
                by_unit.push((home.index() as u32, (id, Tie::Holds)));
            }
            let row = (units.len() >= MANY).then_some(rows);
            rows += u32::from(row.is_some());
            natures.push(Nature { target, form, row });
        }
        by_unit.sort_unstable_by_key(|&(unit, (id, _))| (unit, id));
        Self {
            by_unit: Lists::new(graph.unit_count(), &by_unit),
            callers: Lists::new(natures.len(), &callers),
            states: Vec::new(),
            natures,
            counts: vec![0; rows as usize * BINS],
        }
    }

    /// Whether some target's callers span enough bins of `stretch` bytes.
    pub(crate) fn sees_reach(&self, stretch: i64) -> bool {
        let sees = |(index, nature): (usize, &Nature)| {
            let span = nature.form.max.saturating_sub(nature.form.min);
            !self.callers.of(index).is_empty() && span / stretch >= LEAST_SPAN
        };
        self.natures.iter().enumerate().any(sees)
    }

    /// The targets that a unit has to do with.
    pub(crate) fn of(&self, unit: UnitId) -> impl Iterator<Item = TargetId> + '_ {
        self.by_unit.of(unit.index()).iter().map(|&(id, _)| id)
    }

    /// Begins anew with bins of `stretch` bytes, each unit in the bin `bin_of` says.
    pub(crate) fn cut(
        &mut self,
        stretch: i64,
        units: impl Iterator<Item = UnitId>,
        bin_of: impl Fn(UnitId) -> u8,
    ) {
        self.counts.fill(0);
        self.states.clear();
        for (index, nature) in self.natures.iter().enumerate() {
            let mut state = nature.cut(stretch);
            for &unit in self.callers.of(index) {
                let bin = bin_of(unit);
                state.mask |= 1 << bin;
                if let Some(row) = nature.row {
                    self.counts[row as usize * BINS + usize::from(bin)] += 1;
                }
            }
            self.states.push(state);
        }
        for unit in units {
            for &(id, tie) in self.by_unit.of(unit.index()) {
                if tie == Tie::Holds {
                    self.states[id.index()].home = Some(i16::from(bin_of(unit)));
                }
            }
        }
    }

    /// By target: whether it has more stubs than it might need.
    pub(crate) fn wanting(&self) -> Vec<bool> {
        let wanting = |state: &State| state.stubs(state.mask, state.home) > state.least();
        self.states.iter().map(wanting).collect()
    }

    /// How many stubs more it takes to have `unit` in the bin `to`, not `from`.
    pub(crate) fn change(
        &self,
        unit: UnitId,
        from: u8,
        to: u8,
        bin_of: impl Fn(UnitId) -> u8,
    ) -> i32 {
        let mut change = 0;
        for &(id, tie) in self.by_unit.of(unit.index()) {
            let state = &self.states[id.index()];
            let (mask, home) = match tie {
                Tie::Holds => (state.mask, Some(i16::from(to))),
                Tie::Calls => {
                    let more = state.mask | 1 << to;
                    // Most targets are content with either; see that before
                    // looking at who else calls.
                    if state.stubs(more, state.home) <= state.least() {
                        continue;
                    }
                    let alone = self.calls_from(id, from, &bin_of) == 1;
                    (if alone { more & !(1 << from) } else { more }, state.home)
                }
            };
            change += state.stubs(mask, home) - state.stubs(state.mask, state.home);
        }
        change
    }

    /// Notes that `unit`, which was in the bin `from`, now is in `to`.
    pub(crate) fn shift(&mut self, unit: UnitId, from: u8, to: u8, bin_of: impl Fn(UnitId) -> u8) {
        for &(id, tie) in self.by_unit.of(unit.index()) {
            if tie == Tie::Holds {
                self.states[id.index()].home = Some(i16::from(to));
                continue;
            }
            if let Some(row) = self.natures[id.index()].row {
                let counts = &mut self.counts[row as usize * BINS..][..BINS];
                counts[usize::from(from)] -= 1;
                counts[usize::from(to)] += 1;
            }
            let none = self.calls_from(id, from, &bin_of) == 0;
            let mask = &mut self.states[id.index()].mask;
            *mask |= 1 << to;
            if none {
                *mask &= !(1 << from);
            }
        }
    }

    /// How many units in a bin call a target.
    fn calls_from(&self, id: TargetId, bin: u8, bin_of: &impl Fn(UnitId) -> u8) -> u32 {
        match self.natures[id.index()].row {
            Some(row) => self.counts[row as usize * BINS + usize::from(bin)],
            None => {
                let callers = self.callers.of(id.index());
                callers.iter().filter(|&&unit| bin_of(unit) == bin).count() as u32
            }
        }
    }
}

/// Puts into `units` those that call a target from another unit than its
/// own; returns what all their forms reach.
fn callers_elsewhere(
    graph: &Graph<'_>,
    id: TargetId,
    home: Option<UnitId>,
    units: &mut Vec<UnitId>,
) -> Form {
    units.clear();
    let mut form = Form {
        min: i64::MIN,
        max: i64::MAX,
        stub: true,
    };
    for call in graph.callers(id) {
        let unit = graph.unit_of(graph.call(call).section);
        if Some(unit) != home {
            units.push(unit);
            let own = graph.form(call);
            form.min = form.min.max(own.min);
            form.max = form.max.min(own.max);
            form.stub &= own.stub;
        }
    }
    units.sort_unstable();
    units.dedup();
    form
}

impl Nature {
    /// Measures the target in bins of `stretch` bytes.
    fn cut(&self, stretch: i64) -> State {
        let bins = |bytes: i64| bytes.clamp(0, stretch * BINS as i64) / stretch;
        // Half a bin less than the form spans, since an island stands in
        // some bin: less leaves stubs unused, more leads to orders
        // that need more stubs than they seem to (measured on xfs).
        let span = self
            .form
            .max
            .saturating_sub(self.form.min)
            .saturating_sub(stretch / 2);
        let home = match self.target {
            // Further out than twice the text, nothing reaches it anyway.
            Target::Fixed(offset) => {
                Some((offset / stretch).clamp(-2 * BINS as i64, 3 * BINS as i64) as i16)
            }
            Target::Section { .. } => Some(0),
            Target::External(_) => None,
        };
        State {
            mask: 0,
            home,
            // Two places whose bins are n apart can be n + 1 bins apart.
            below: bins(self.form.max.saturating_sub(stretch)) as i16,
            above: bins(self.form.min.saturating_add(stretch).saturating_neg()) as i16,
            window: if self.form.stub {
                bins(span).max(1) as u8
            } else {
                0
            },
        }
    }
}

impl State {
    /// Stubs it needs wherever its callers are, if it has any.
    fn least(&self) -> i32 {
        i32::from(self.home.is_none())
    }

    /// Stubs it takes for calls from all bins of `mask` if the target is at `home`.
    fn stubs(&self, mut mask: BinSet, home: Option<i16>) -> i32 {
        if let Some(home) = home {
            mask &= !span(home - self.below, home + self.above);
        }
        if self.window == 0 {
            return HOPELESS * mask.count_ones() as i32;
        }
        let mut stubs = 0;
        while mask != 0 {
            let first = mask.trailing_zeros() as i16;
            mask &= !span(first, first + i16::from(self.window) - 1);
            stubs += 1;
        }
        stubs
    }
}

/// The bins from `first` to `last`, both included, as far as they exist.
fn span(first: i16, last: i16) -> BinSet {
    let end = BINS as i16 - 1;
    if first > end || last < 0 || first > last {
        return 0;
    }
    (BinSet::MAX << first.max(0)) & (BinSet::MAX >> (end - last.min(end)))
}
