//! Stubs of an image: where branches do not reach, islands are put between input sections, and the
//! layout is made again, until every branch reaches its target or a stub that goes there.
//!
//! Each code section is a question of its own to `klink-reach` (see [`question`]); what is in other
//! sections counts as fixed. With `--reorder`, the first question is also in which order the input
//! sections need the fewest stubs, where the script leaves it open (see [`runs`]). Which stub a
//! branch takes is not decided here: when it is relocated, it takes the nearest one in reach that
//! goes to its target.

mod names;
mod question;
mod runs;
mod sites;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_arch::{Arch, StubTemplate};
use klink_reach as reach;
use rayon::prelude::*;

pub(super) use self::names::{NamedStub, named};
use self::question::Question;
use self::sites::{Site, Sites};
use super::layout::Layouter;
use crate::error::Result;
use crate::id::{IdVec, OutputId, SectionId};
use crate::output::{Outputs, Piece};

/// Rounds of questions and layouts. Each leaves more room than the one before, since islands move
/// what is behind them; the kernels of the corpora need two or three.
const MAX_ROUNDS: u64 = 8;

/// Bytes of reach that are given up in each round after the first.
const MARGIN: u64 = 2 << 10;

/// What is asked about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// In which order the sections need the fewest stubs.
    Order,
    /// The branches that are not near their targets: the islands between the others are hardly ever
    /// large enough to put them out of reach.
    Far,
    /// All branches.
    All,
}

/// Where a stub goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum StubTarget {
    /// An offset in an input section.
    Section(SectionId, u64),
    /// An address.
    Absolute(u64),
}

/// A run of stubs.
#[derive(Clone, Debug)]
pub(super) struct Island {
    pub stubs: Vec<StubTarget>,
    /// The output section, and the offset in it, once laid out.
    pub output: OutputId,
    pub offset: u64,
}

/// All islands of an image, by the numbers of their pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Islands {
    pub islands: Vec<Island>,
    pub template: Option<&'static StubTemplate>,
}

impl Islands {
    /// Bytes of an island.
    pub(super) fn size(&self, island: u32) -> u64 {
        let stubs = self.islands[island as usize].stubs.len() as u64;
        self.size_of_one() * stubs
    }

    /// Bytes of a stub.
    pub(super) fn size_of_one(&self) -> u64 {
        self.template.map_or(0, |template| template.len() as u64)
    }

    /// What islands must be aligned to, in bytes.
    pub(super) fn align(&self) -> u64 {
        self.template
            .map_or(1, |template| u64::from(template.align))
    }

    /// How many islands an output section has, and how many stubs.
    pub(super) fn count_in(&self, output: OutputId) -> (u32, usize) {
        let there = self.islands.iter().filter(|island| island.output == output);
        there.fold((0, 0), |(islands, stubs), island| {
            (islands + 1, stubs + island.stubs.len())
        })
    }
}

/// The addresses of all stubs, by the output section that they are in and what they go to. A branch
/// takes stubs of its own section only: a kernel frees some sections (`.init.text`, `.exit.text`) long
/// before it is done with the code near them.
#[derive(Debug, Default)]
pub(super) struct StubMap {
    by_target: HashMap<(OutputId, u64), Vec<u64>, RandomState>,
}

impl StubMap {
    pub(super) fn new(
        islands: &Islands,
        outputs: &Outputs<'_>,
        address_of: impl Fn(StubTarget) -> u64,
    ) -> Self {
        let mut map = Self::default();
        let size = islands.size_of_one();
        for island in &islands.islands {
            let start = outputs.sections[island.output]
                .address
                .wrapping_add(island.offset);
            for (number, &target) in (0u64..).zip(&island.stubs) {
                let stubs = map
                    .by_target
                    .entry((island.output, address_of(target)))
                    .or_default();
                stubs.push(start.wrapping_add(number.wrapping_mul(size)));
            }
        }
        map
    }

    /// The stub nearest to `place`, in `output`, that goes to `target` and that `reaches` says is in
    /// reach.
    pub(super) fn find(
        &self,
        output: OutputId,
        target: u64,
        place: u64,
        reaches: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        let stubs = self.by_target.get(&(output, target))?;
        let in_reach = stubs.iter().copied().filter(|&stub| reaches(stub));
        in_reach.min_by_key(|stub| stub.abs_diff(place))
    }
}

/// The branch forms of an architecture that stubs can help.
struct Forms {
    forms: Vec<reach::Form>,
    /// By relocation number.
    by_number: Vec<Option<reach::FormId>>,
}

impl Forms {
    fn new(arch: &'static Arch, margin: i64) -> Self {
        let mut forms = Self {
            forms: Vec::new(),
            by_number: Vec::new(),
        };
        for row in arch.relocations {
            let Some(branch) = row.branch else { continue };
            let id = reach::FormId::new(forms.forms.len() as u32);
            forms.forms.push(reach::Form {
                min: branch.min + margin,
                max: branch.max - margin,
                stub: true,
            });
            let number = row.number as usize;
            if forms.by_number.len() <= number {
                forms.by_number.resize(number + 1, None);
            }
            forms.by_number[number] = Some(id);
        }
        forms
    }

    /// The form of a branch with this relocation.
    #[inline]
    fn of(&self, relocation: u32) -> Option<reach::FormId> {
        *self.by_number.get(relocation as usize)?
    }
}

/// Puts islands where branches need them, and lays out again until every branch reaches.
pub(super) fn place(layouter: &mut Layouter<'_, '_>) -> Result<()> {
    let Some(template) = layouter.arch.image_stub else {
        return Ok(());
    };
    layouter.layout.islands.template = Some(template);
    let sites = sites::find(layouter);
    if layouter.options.image_reorder && !all_reach(layouter, &sites) {
        let forms = Forms::new(layouter.arch, 0);
        ask(layouter, &sites, &forms, Scope::Order);
        // Those islands know only where other sections were before.
        remove_islands(layouter);
        layouter.settle_again()?;
    }
    for round in 0..MAX_ROUNDS {
        if all_reach(layouter, &sites) {
            return Ok(());
        }
        let forms = Forms::new(layouter.arch, (round * MARGIN) as i64);
        let scope = match round {
            0 => Scope::Far,
            _ => Scope::All,
        };
        ask(layouter, &sites, &forms, scope);
        layouter.settle_again()?;
    }
    // What does not reach is told when it is relocated.
    Ok(())
}

/// Puts islands, and, if they may move, sections where they are best, in each output section.
fn ask(
    layouter: &mut Layouter<'_, '_>,
    sites: &IdVec<OutputId, Sites>,
    forms: &Forms,
    scope: Scope,
) {
    let asked = layouter.layout.outputs.order.iter().copied();
    let asked: Vec<OutputId> = asked.filter(|&output| !sites[output].is_empty()).collect();
    let question = |output: OutputId| Question::new(layouter, output, &sites[output], forms, scope);
    let questions: Vec<Question> = asked.into_iter().map(question).collect();
    remove_islands(layouter);
    let stubs = reach::StubSizes {
        external: layouter.layout.islands.size_of_one(),
        internal: layouter.layout.islands.size_of_one(),
        align: layouter.layout.islands.align(),
    };
    let answers: Vec<Option<reach::Answer>> = questions
        .par_iter()
        .map(|question| question.ask(&forms.forms, stubs))
        .collect();
    for (question, answer) in questions.iter().zip(answers) {
        // Where there is no answer, the branches that do not reach are told when they are relocated.
        if let Some(answer) = answer {
            question.carry_out(layouter, &answer);
        }
    }
}

/// Whether every branch reaches its target or a stub, as things stand now.
fn all_reach(layouter: &Layouter<'_, '_>, sites: &IdVec<OutputId, Sites>) -> bool {
    let forms = Forms::new(layouter.arch, 0);
    let addresses = layouter.addresses();
    let stubs = StubMap::new(
        &layouter.layout.islands,
        &layouter.layout.outputs,
        |target| addresses.of(target),
    );
    sites.iter_ids().all(|(output, sites)| {
        let arrives = |site: &Site| {
            let form = &forms.forms[site.form.index()];
            let place = addresses.of(StubTarget::Section(site.section, site.offset));
            let target = addresses.of(site.target);
            let reaches = |to: u64| form.reaches(to.wrapping_sub(place).cast_signed());
            reaches(target) || stubs.find(output, target, place, reaches).is_some()
        };
        sites.par_parts().all(|part| part.iter().all(arrives))
    })
}

fn remove_islands(layouter: &mut Layouter<'_, '_>) {
    layouter.layout.islands.islands.clear();
    let is_island = |piece: &Piece| matches!(piece, Piece::Island(_));
    for output in layouter.layout.outputs.sections.ids() {
        let section = &mut layouter.layout.outputs.sections[output];
        if section.pieces.iter().any(is_island) {
            let mut pieces = std::mem::take(&mut section.pieces);
            pieces.retain(|piece| !is_island(piece));
            layouter.set_pieces(output, pieces);
        }
    }
}
