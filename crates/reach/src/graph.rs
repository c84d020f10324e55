//! The problem, prepared: what moves as one, and who calls whom.

use crate::problem::{BranchId, Form, FormId, Problem, SectionId, Target, id};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use hashbrown::HashMap;

id! {
    /// A unit: a section and those glued to it. The smallest thing that moves.
    pub(crate) UnitId
}
id! {
    /// One of the distinct targets of all branches.
    pub(crate) TargetId
}

id! {
    /// A branch, numbered with those to the same target together.
    pub(crate) CallId
}

/// A branch without its target.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) branch: BranchId,
    pub(crate) section: SectionId,
    pub(crate) form: FormId,
    pub(crate) offset: i64,
}

/// The problem with its indices: everything here is linear in the input.
pub(crate) struct Graph<'a> {
    pub(crate) problem: &'a Problem<'a>,
    /// For each unit its sections, as a range of indices in input order.
    units: Vec<Range<u32>>,
    unit_of_section: Vec<UnitId>,
    /// Runs of units that may change places with each other, as ranges of
    /// unit indices; an unmovable unit is a run of its own.
    pub(crate) runs: Vec<Range<u32>>,
    targets: Vec<Target>,
    /// The branches, those of one target together: the order in which they
    /// are looked at, so that memory is read from front to back.
    calls: Vec<Call>,
    /// Where each target's branches begin in `calls`, and one end.
    starts: Vec<u32>,
}

impl<'a> Graph<'a> {
    /// Prepares a validated problem.
    pub(crate) fn new(problem: &'a Problem<'a>) -> Self {
        let (units, unit_of_section) = units(problem);
        let runs = runs(problem, &units);
        let (targets, target_of) = targets(problem);
        let (calls, starts) = group(problem, &target_of, targets.len());
        Self {
            problem,
            units,
            unit_of_section,
            runs,
            targets,
            calls,
            starts,
        }
    }

    pub(crate) fn unit_count(&self) -> usize {
        self.units.len()
    }

    pub(crate) fn unit_ids(&self) -> impl Iterator<Item = UnitId> + use<> {
        (0..self.units.len() as u32).map(UnitId::new)
    }

    /// The sections of a unit, in the order in which they stay.
    pub(crate) fn sections(&self, unit: UnitId) -> impl Iterator<Item = SectionId> + use<> {
        self.units[unit.index()].clone().map(SectionId::new)
    }

    /// Bytes of a unit's sections.
    pub(crate) fn size_of(&self, unit: UnitId) -> i64 {
        let sections = self.sections(unit);
        sections
            .map(|id| self.problem.sections[id.index()].size as i64)
            .sum()
    }

    pub(crate) fn unit_of(&self, section: SectionId) -> UnitId {
        self.unit_of_section[section.index()]
    }

    pub(crate) fn target_ids(&self) -> impl Iterator<Item = TargetId> + use<> {
        (0..self.targets.len() as u32).map(TargetId::new)
    }

    pub(crate) fn target(&self, id: TargetId) -> Target {
        self.targets[id.index()]
    }

    pub(crate) fn target_count(&self) -> usize {
        self.targets.len()
    }

    /// The target of the branch at `index` among those that are grouped by target.
    pub(crate) fn target_at(&self, index: usize) -> TargetId {
        let starts = &self.starts[..self.targets.len()];
        let after = starts.partition_point(|&start| start as usize <= index);
        TargetId::new(after.saturating_sub(1) as u32)
    }

    /// The branches that go to a target.
    pub(crate) fn callers(&self, id: TargetId) -> impl Iterator<Item = CallId> + use<> {
        (self.starts[id.index()]..self.starts[id.index() + 1]).map(CallId::new)
    }

    /// The branches that go to some targets: indices of [`CallId`]s.
    pub(crate) fn calls_of(&self, targets: &Range<u32>) -> Range<usize> {
        let start = |target: u32| self.starts[target as usize] as usize;
        start(targets.start)..start(targets.end)
    }

    pub(crate) fn call(&self, id: CallId) -> &Call {
        &self.calls[id.index()]
    }

    pub(crate) fn form(&self, id: CallId) -> Form {
        self.problem.forms[self.call(id).form.index()]
    }

    /// Bytes that a stub for this target takes up in an island, padding included.
    pub(crate) fn stub_size(&self, id: TargetId) -> i64 {
        let stubs = &self.problem.stubs;
        let size = match self.target(id) {
            Target::External(_) => stubs.external,
            Target::Section { .. } | Target::Fixed(_) => stubs.internal,
        };
        size.next_multiple_of(stubs.align) as i64
    }

    /// Fewest stubs any answer has: each external target needs one.
    pub(crate) fn least_stubs(&self) -> usize {
        self.targets
            .iter()
            .filter(|target| matches!(target, Target::External(_)))
            .count()
    }
}

/// Chains of glued sections.
fn units(problem: &Problem<'_>) -> (Vec<Range<u32>>, Vec<UnitId>) {
    let mut units: Vec<Range<u32>> = Vec::new();
    let mut unit_of = Vec::with_capacity(problem.sections.len());
    for (index, section) in problem.sections.iter().enumerate() {
        let next = index as u32 + 1;
        match units.last_mut() {
            Some(unit) if section.glued => unit.end = next,
            _ => units.push(index as u32..next),
        }
        unit_of.push(UnitId::new(units.len() as u32 - 1));
    }
    (units, unit_of)
}

fn runs(problem: &Problem<'_>, units: &[Range<u32>]) -> Vec<Range<u32>> {
    let mut runs: Vec<Range<u32>> = Vec::new();
    let mut open = false;
    for (index, unit) in units.iter().enumerate() {
        let sections = &problem.sections[unit.start as usize..unit.end as usize];
        let movable = sections.iter().all(|section| section.movable);
        let next = index as u32 + 1;
        match runs.last_mut() {
            Some(run) if open && movable => run.end = next,
            _ => runs.push(index as u32..next),
        }
        open = movable;
    }
    runs
}

/// How many branches a target has at least on average, in large texts.
const BRANCHES_TO_ONE: usize = 4;

/// Numbers the distinct targets in the order of their first branch.
fn targets(problem: &Problem<'_>) -> (Vec<Target>, Vec<TargetId>) {
    let mut numbers = HashMap::with_capacity(problem.branches.len() / BRANCHES_TO_ONE);
    let mut targets = Vec::new();
    let number = |branch: &crate::problem::Branch| {
        *numbers.entry(branch.target).or_insert_with(|| {
            targets.push(branch.target);
            TargetId::new(targets.len() as u32 - 1)
        })
    };
    let target_of = problem.branches.iter().map(number).collect();
    (targets, target_of)
}

/// Groups branches by target: a counting sort, stable.
fn group(problem: &Problem<'_>, target_of: &[TargetId], targets: usize) -> (Vec<Call>, Vec<u32>) {
    let mut starts = vec![0u32; targets + 1];
    for target in target_of {
        starts[target.index() + 1] += 1;
    }
    for index in 0..targets {
        starts[index + 1] += starts[index];
    }
    let mut next = starts.clone();
    let (section, form) = (SectionId::new(0), FormId::new(0));
    let none = Call {
        branch: BranchId::new(0),
        section,
        form,
        offset: 0,
    };
    let mut calls = vec![none; target_of.len()];
    for (index, (branch, target)) in problem.branches.iter().zip(target_of).enumerate() {
        let place = &mut next[target.index()];
        calls[*place as usize] = Call {
            branch: BranchId::new(index as u32),
            section: branch.section,
            form: branch.form,
            offset: branch.offset as i64,
        };
        *place += 1;
    }
    (calls, starts)
}
