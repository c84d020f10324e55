//! An independent look at an answer: nothing here is shared with the solver.

use crate::problem::{
    Answer, BranchId, Island, IslandId, Problem, Reorder, SectionId, Stub, StubRef, Target,
};
use alloc::vec;
use alloc::vec::Vec;

/// What is wrong with an [`Answer`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// The order is not a permutation of the sections, or an index or a
    /// vector's length does not fit the problem.
    #[error("the answer's shape does not fit the problem: {0}")]
    Shape(&'static str),
    /// A section stands where it may not move to.
    #[error("section {} may not stand at place {place} of the order", section.index())]
    Moved {
        /// The section.
        section: SectionId,
        /// Its place in the order, counted from 0.
        place: usize,
    },
    /// A section is not aligned.
    #[error("section {} is not aligned at offset {offset}", section.index())]
    Align {
        /// The section.
        section: SectionId,
        /// Where it was put.
        offset: u64,
    },
    /// Two things overlap, or stand in another order than they say.
    #[error("what stands at offset {offset} overlaps what is in front of it, up to {end}")]
    Overlap {
        /// The offset of the second.
        offset: u64,
        /// The end of the first.
        end: u64,
    },
    /// An island stands where none may.
    #[error("island {} may not stand where it does", island.index())]
    IslandPlace {
        /// The island.
        island: IslandId,
    },
    /// An island is empty, or one of its stubs is misplaced, misaligned or double.
    #[error("island {}: stub {stub} is wrong", island.index())]
    Stub {
        /// The island.
        island: IslandId,
        /// Index of the stub.
        stub: usize,
    },
    /// A branch misses.
    #[error("branch {} misses by way of {via:?}: {distance:?} bytes", branch.index())]
    Branch {
        /// The branch.
        branch: BranchId,
        /// The stub it was to go through.
        via: Option<StubRef>,
        /// Bytes to its target or stub, if known.
        distance: Option<i64>,
    },
}

/// Verifies `answer` from scratch: the order is allowed, nothing overlaps,
/// everything is aligned, islands stand only where they may, and every branch
/// reaches its target or a stub that leads there.
///
/// Assumes that [`crate::solve`] would not refuse `problem` as malformed.
///
/// # Errors
/// The first [`Violation`] found.
pub fn check(problem: &Problem<'_>, answer: &Answer) -> Result<(), Violation> {
    check_order(problem, &answer.order)?;
    check_places(problem, answer)?;
    for (index, island) in answer.islands.iter().enumerate() {
        check_island(problem, IslandId::new(index as u32), island)?;
    }
    check_branches(problem, answer)
}

fn check_order(problem: &Problem<'_>, order: &[SectionId]) -> Result<(), Violation> {
    let count = problem.sections.len();
    let mut seen = vec![false; count];
    for id in order {
        match seen.get_mut(id.index()) {
            Some(seen) if !*seen => *seen = true,
            _ => {
                return Err(Violation::Shape(
                    "order names a section twice or one that is not",
                ));
            }
        }
    }
    if order.len() != count {
        return Err(Violation::Shape("order leaves out a section"));
    }
    // A chain is movable only as a whole.
    let mut movable: Vec<bool> = problem.sections.iter().map(|s| s.movable).collect();
    for at in 1..count {
        if problem.sections[at].glued {
            movable[at] &= movable[at - 1];
        }
    }
    for at in (1..count).rev() {
        if problem.sections[at].glued {
            movable[at - 1] &= movable[at];
        }
    }
    // Sections between the same two unmovable ones share a run number.
    let mut run = vec![0usize; count];
    for at in 1..count {
        run[at] = run[at - 1] + usize::from(!movable[at] || !movable[at - 1]);
    }
    for (place, &id) in order.iter().enumerate() {
        let (at, moved) = (id.index(), Violation::Moved { section: id, place });
        if problem.reorder == Reorder::Keep && at != place {
            return Err(moved);
        }
        if run[at] != run[place] {
            return Err(moved);
        }
        let glued = at > 0 && problem.sections[at].glued;
        if glued && (place == 0 || order[place - 1].index() != at - 1) {
            return Err(moved);
        }
    }
    Ok(())
}

fn check_places(problem: &Problem<'_>, answer: &Answer) -> Result<(), Violation> {
    if answer.offsets.len() != problem.sections.len() {
        return Err(Violation::Shape("one offset for each section"));
    }
    let mut islands = answer.islands.iter().enumerate().peekable();
    let mut end = 0u64;
    let mut reach = |offset: u64, size: u64| -> Result<(), Violation> {
        if offset < end {
            return Err(Violation::Overlap { offset, end });
        }
        end = offset.saturating_add(size);
        Ok(())
    };
    let places = answer.order.iter().map(|&id| Some(id)).chain([None]);
    for (place, section) in places.enumerate() {
        while let Some((index, island)) = islands.next_if(|(_, i)| i.before == section) {
            let allowed = match section {
                _ if place == 0 && section.is_some() => problem.ends.front,
                // With no section at all, the two ends are one place.
                None if place == 0 => problem.ends.front || problem.ends.behind,
                Some(id) => id.index() == 0 || !problem.sections[id.index()].glued,
                None => problem.ends.behind,
            };
            if !allowed {
                return Err(Violation::IslandPlace {
                    island: IslandId::new(index as u32),
                });
            }
            reach(island.offset, 0)?;
            for stub in &island.stubs {
                reach(stub.offset, stub_size(problem, stub))?;
            }
        }
        if let Some(id) = section {
            let (Section { size, align }, offset) =
                (Section::of(problem, id), answer.offsets[id.index()]);
            if offset & (align - 1) != 0 {
                return Err(Violation::Align {
                    section: id,
                    offset,
                });
            }
            reach(offset, size)?;
        }
    }
    if let Some((index, _)) = islands.next() {
        return Err(Violation::IslandPlace {
            island: IslandId::new(index as u32),
        });
    }
    reach(answer.size, 0)
}

struct Section {
    size: u64,
    align: u64,
}

impl Section {
    fn of(problem: &Problem<'_>, id: SectionId) -> Self {
        let section = problem.sections[id.index()];
        Self {
            size: section.size,
            align: section.align,
        }
    }
}

fn stub_size(problem: &Problem<'_>, stub: &Stub) -> u64 {
    match stub.target {
        Target::External(_) => problem.stubs.external,
        Target::Section { .. } | Target::Fixed(_) => problem.stubs.internal,
    }
}

fn check_island(problem: &Problem<'_>, id: IslandId, island: &Island) -> Result<(), Violation> {
    let wrong = |stub| Err(Violation::Stub { island: id, stub });
    let mut targets: Vec<Target> = island.stubs.iter().map(|stub| stub.target).collect();
    targets.sort_unstable();
    if let Some(twin) = targets.windows(2).find(|pair| pair[0] == pair[1]) {
        return wrong(
            island
                .stubs
                .iter()
                .rposition(|s| s.target == twin[0])
                .unwrap_or(0),
        );
    }
    if island
        .stubs
        .first()
        .is_none_or(|first| first.offset < island.offset)
    {
        return wrong(0);
    }
    let aligned = |stub: &Stub| stub.offset & (problem.stubs.align - 1) == 0;
    match island.stubs.iter().position(|stub| !aligned(stub)) {
        Some(stub) => wrong(stub),
        None => Ok(()),
    }
}

fn check_branches(problem: &Problem<'_>, answer: &Answer) -> Result<(), Violation> {
    if answer.via.len() != problem.branches.len() {
        return Err(Violation::Shape("one way for each branch"));
    }
    for (index, (branch, &via)) in problem.branches.iter().zip(&answer.via).enumerate() {
        let form = problem.forms[branch.form.index()];
        let site = answer.offsets[branch.section.index()].saturating_add(branch.offset) as i64;
        let (aim, allowed) = match via {
            None => (target_offset(answer, branch.target), true),
            Some(StubRef { island, stub }) => {
                let island = answer.islands.get(island.index());
                let stub = island.and_then(|island| island.stubs.get(stub as usize));
                let stub = stub.ok_or(Violation::Shape("a branch goes through no stub"))?;
                (
                    Some(stub.offset as i64),
                    form.stub && stub.target == branch.target,
                )
            }
        };
        let distance = aim.map(|aim| aim.saturating_sub(site));
        if !allowed || !distance.is_some_and(|distance| form.reaches(distance)) {
            return Err(Violation::Branch {
                branch: BranchId::new(index as u32),
                via,
                distance,
            });
        }
    }
    Ok(())
}

fn target_offset(answer: &Answer, target: Target) -> Option<i64> {
    match target {
        Target::Section { section, offset } => {
            Some((answer.offsets[section.index()] as i64).saturating_add(offset))
        }
        Target::Fixed(offset) => Some(offset),
        Target::External(_) => None,
    }
}
