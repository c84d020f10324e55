//! One output section as a question to `klink-reach`, and what is made of the answer.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_reach as reach;
use rayon::prelude::*;

use super::runs::Entries;
use super::{Forms, Island, Layouter, Scope, Site, Sites, StubTarget};
use crate::id::{IdVec, OutputId, SectionId};
use crate::output::Piece;

/// The part of what a form spans by which a branch that is near stays below its reach. Islands are some
/// hundredths of a kernel's code; with less, a second round would be needed now and then, which would
/// cost more than the branches that this lets in.
const NEAR: i64 = 16;

/// The islands that an output section needs, and, if its sections may move, their order.
pub(super) struct Question {
    output: OutputId,
    /// What `klink-reach` sees: input sections, and between them the room that the script makes.
    sections: Vec<reach::Section>,
    /// For each of `sections` the input section that it stands for.
    inputs: Vec<Option<SectionId>>,
    branches: Vec<reach::Branch>,
    /// What the offsets stand for that branches to other sections go to.
    outside: HashMap<i64, StubTarget, RandomState>,
    reorder: reach::Reorder,
}

impl Question {
    /// Puts the question about `output` as it is laid out now, but for islands.
    pub(super) fn new(
        layouter: &Layouter<'_, '_>,
        output: OutputId,
        sites: &Sites,
        forms: &Forms,
        scope: Scope,
    ) -> Self {
        let reorder = match scope {
            Scope::Order => reach::Reorder::Quick,
            Scope::Far | Scope::All => reach::Reorder::Keep,
        };
        let mut question = Self {
            output,
            sections: Vec::new(),
            inputs: Vec::new(),
            branches: Vec::new(),
            outside: HashMap::default(),
            reorder,
        };
        let may_move = reorder != reach::Reorder::Keep;
        question.add_sections(layouter, may_move.then(|| Entries::new(layouter, output)));
        question.add_branches(layouter, sites, |site, distance| {
            scope != Scope::Far || !is_near(&forms.forms[site.form.index()], distance)
        });
        question
    }

    fn add_sections(&mut self, layouter: &Layouter<'_, '_>, mut entries: Option<Entries<'_>>) {
        // Where the next section would begin, were there nothing but sections; and by what entry
        // of the script the one before came, if nothing stands between.
        let (mut end, mut islands) = (0, 0);
        let mut before = None;
        for piece in &layouter.layout.outputs.sections[self.output].pieces {
            match *piece {
                Piece::Section(input) => {
                    let (size, align) = layouter.extent_of(input);
                    let offset = layouter.layout.placements.offset(input);
                    let entry = entries
                        .as_mut()
                        .and_then(|entries| entries.find(layouter.resolved.section(input).name));
                    let packed = klink_script::eval::align_up(end + islands, align);
                    let room = offset.saturating_sub(packed);
                    let mut section = reach::Section::new(size, align);
                    if entry.is_none() {
                        section = section.unmovable();
                    }
                    if room > 0 || entry != before && !self.sections.is_empty() {
                        // Islands stand in front of such room, directly behind a section, so that
                        // what the script says of the next one stays with it.
                        self.push(reach::Section::new(room, 1).unmovable(), None);
                        section = section.glued();
                    }
                    self.push(section, Some(input));
                    (end, islands, before) = (offset + size, 0, entry);
                }
                Piece::Island(number) => {
                    let start = klink_script::eval::align_up(end, layouter.layout.islands.align());
                    islands = start - end + layouter.layout.islands.size(number);
                }
                Piece::Statement(_) => before = None,
            }
        }
    }

    fn push(&mut self, section: reach::Section, input: Option<SectionId>) {
        self.sections.push(section);
        self.inputs.push(input);
    }

    /// Adds the branches that `is_asked_about` says, which is told how far they go.
    fn add_branches(
        &mut self,
        layouter: &Layouter<'_, '_>,
        sites: &Sites,
        is_asked_about: impl Fn(&Site, i64) -> bool + Sync,
    ) {
        let start = layouter.layout.outputs.sections[self.output].address;
        let addresses = layouter.addresses();
        let mut numbers: IdVec<SectionId, Option<reach::SectionId>> =
            IdVec::filled(None, layouter.resolved.section_count());
        for (&input, number) in self.inputs.iter().zip(0..) {
            if let Some(input) = input {
                numbers[input] = Some(reach::SectionId::new(number));
            }
        }
        let branch = |site: &Site| {
            let section = numbers[site.section]?;
            let place = addresses.of(StubTarget::Section(site.section, site.offset));
            let target = addresses.of(site.target);
            if !is_asked_about(site, target.wrapping_sub(place).cast_signed()) {
                return None;
            }
            let inside = match site.target {
                StubTarget::Section(section, offset) => {
                    numbers[section].map(|section| reach::Target::Section {
                        section,
                        offset: offset.cast_signed(),
                    })
                }
                StubTarget::Absolute(_) => None,
            };
            let outside = || reach::Target::Fixed(target.wrapping_sub(start).cast_signed());
            let branch = reach::Branch {
                section,
                offset: site.offset,
                target: inside.unwrap_or_else(outside),
                form: site.form,
            };
            Some((branch, site.target))
        };
        let of_part = |part: &Vec<Site>| {
            let (mut branches, mut outside) = (Vec::with_capacity(part.len()), Vec::new());
            for (branch, target) in part.iter().filter_map(branch) {
                branches.push(branch);
                if let reach::Target::Fixed(offset) = branch.target {
                    outside.push((offset, target));
                }
            }
            (branches, outside)
        };
        let found: Vec<(Vec<_>, Vec<_>)> = sites.par_parts().map(of_part).collect();
        let count = found.iter().map(|(branches, _)| branches.len()).sum();
        self.branches.reserve(count);
        for (branches, outside) in found {
            self.branches.extend(branches);
            self.outside.extend(outside);
        }
    }

    /// Asks; `None`: there is no way in which all branches reach.
    pub(super) fn ask(
        &self,
        forms: &[reach::Form],
        stubs: reach::StubSizes,
    ) -> Option<reach::Answer> {
        let problem = reach::Problem {
            sections: &self.sections,
            branches: &self.branches,
            forms,
            stubs,
            reorder: self.reorder,
            ends: reach::Ends {
                front: false,
                behind: true,
            },
        };
        reach::solve(&problem).ok()
    }

    /// What a stub of the answer goes to.
    fn target(&self, target: reach::Target) -> Option<StubTarget> {
        match target {
            reach::Target::Section { section, offset } => {
                let input = (*self.inputs.get(section.index())?)?;
                Some(StubTarget::Section(input, offset.cast_unsigned()))
            }
            reach::Target::Fixed(offset) => self.outside.get(&offset).copied(),
            reach::Target::External(_) => None,
        }
    }

    /// Puts the section's inputs into the answer's order, and its islands behind them.
    pub(super) fn carry_out(&self, layouter: &mut Layouter<'_, '_>, answer: &reach::Answer) {
        let mut islands = answer.islands.iter().peekable();
        // By place among the inputs: the input, and the island behind it.
        let mut order: Vec<(SectionId, Option<u32>)> = Vec::with_capacity(self.inputs.len());
        let next = answer.order.iter().skip(1).map(|&next| Some(next));
        for (&section, next) in answer.order.iter().zip(next.chain([None])) {
            let island = islands
                .next_if(|island| island.before == next)
                .map(|island| self.add_island(layouter, island));
            match self.inputs[section.index()] {
                Some(input) => order.push((input, island)),
                // None stands between such room and the section that it is glued to.
                None => debug_assert!(island.is_none()),
            }
        }
        let mut order = order.into_iter();
        let pieces = std::mem::take(&mut layouter.layout.outputs.sections[self.output].pieces);
        let mut placed = Vec::with_capacity(pieces.len() + answer.islands.len());
        for piece in pieces {
            match piece {
                Piece::Section(_) => {
                    let Some((input, island)) = order.next() else {
                        continue;
                    };
                    placed.push(Piece::Section(input));
                    placed.extend(island.map(Piece::Island));
                }
                other => placed.push(other),
            }
        }
        layouter.set_pieces(self.output, placed);
    }

    /// Makes an island, and gives its number.
    fn add_island(&self, layouter: &mut Layouter<'_, '_>, island: &reach::Island) -> u32 {
        let stubs = island.stubs.iter();
        let stubs = stubs.filter_map(|stub| self.target(stub.target));
        let islands = &mut layouter.layout.islands.islands;
        islands.push(Island {
            stubs: stubs.collect(),
            output: self.output,
            offset: 0,
        });
        islands.len() as u32 - 1
    }
}

/// Whether a branch is so near its target that islands between them do not matter.
fn is_near(form: &reach::Form, distance: i64) -> bool {
    let margin = (form.max - form.min) / NEAR;
    form.min + margin <= distance && distance <= form.max - margin
}
