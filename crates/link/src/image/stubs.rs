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

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_arch::{Arch, Relocation, StubTemplate};
use klink_reach as reach;

pub(super) use self::names::named;
use self::question::Question;
use super::layout::Layouter;
use crate::error::Result;
use crate::id::{IdVec, ObjectId, OutputId, SectionId};
use crate::input::RawRelocation;
use crate::output::{Outputs, Piece, Traits};

/// Rounds of questions and layouts. Each leaves more room than the one before, since islands move
/// what is behind them; the kernels of the corpora need two or three.
const MAX_ROUNDS: u64 = 8;

/// Bytes of reach that are given up in each round after the first.
const MARGIN: u64 = 2 << 10;

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

/// A branch that may need a stub.
struct Site {
    section: SectionId,
    offset: u64,
    target: StubTarget,
    form: reach::FormId,
}

/// The branch forms of an architecture that stubs can help.
struct Forms {
    forms: Vec<reach::Form>,
    by_number: HashMap<u32, reach::FormId>,
}

impl Forms {
    fn new(arch: &'static Arch, margin: i64) -> Self {
        let mut forms = Self {
            forms: Vec::new(),
            by_number: HashMap::new(),
        };
        for row in arch.relocations {
            let Some(branch) = row.branch else { continue };
            let id = reach::FormId::new(forms.forms.len() as u32);
            forms.forms.push(reach::Form {
                min: branch.min + margin,
                max: branch.max - margin,
                stub: true,
            });
            forms.by_number.insert(row.number, id);
        }
        forms
    }
}

/// Puts islands where branches need them, and lays out again until every branch reaches.
pub(super) fn place(layouter: &mut Layouter<'_, '_>) -> Result<()> {
    let Some(template) = layouter.arch.image_stub else {
        return Ok(());
    };
    layouter.layout.islands.template = Some(template);
    let sites = find_sites(layouter);
    if layouter.options.image_reorder && !all_reach(layouter, &sites) {
        let forms = Forms::new(layouter.arch, 0);
        ask(layouter, &sites, &forms, reach::Reorder::Quick);
        // Those islands know only where other sections were before.
        remove_islands(layouter);
        layouter.settle_again()?;
    }
    for round in 0..MAX_ROUNDS {
        if all_reach(layouter, &sites) {
            return Ok(());
        }
        let forms = Forms::new(layouter.arch, (round * MARGIN) as i64);
        ask(layouter, &sites, &forms, reach::Reorder::Keep);
        layouter.settle_again()?;
    }
    // What does not reach is told when it is relocated.
    Ok(())
}

/// Puts islands, and, if they may move, sections where they are best, in each output section.
fn ask(
    layouter: &mut Layouter<'_, '_>,
    sites: &IdVec<OutputId, Vec<Site>>,
    forms: &Forms,
    reorder: reach::Reorder,
) {
    let asked = layouter.layout.outputs.order.iter().copied();
    let asked = asked.filter(|&output| !sites[output].is_empty());
    let questions: Vec<Question> = asked
        .map(|output| Question::new(layouter, output, &sites[output], reorder))
        .collect();
    remove_islands(layouter);
    for question in &questions {
        question.ask(layouter, forms);
    }
}

/// All branches that stubs could help, by output section.
fn find_sites(layouter: &Layouter<'_, '_>) -> IdVec<OutputId, Vec<Site>> {
    let forms = Forms::new(layouter.arch, 0);
    let mut sites = IdVec::default();
    for (output, section) in layouter.layout.outputs.sections.iter_ids() {
        let mut found = Vec::new();
        if section.traits.contains(Traits::CODE) && layouter.layout.outputs.order.contains(&output)
        {
            for input in section.sections() {
                add_sites(layouter, input, &forms, &mut found);
            }
        }
        sites.push(found);
    }
    sites
}

fn add_sites(layouter: &Layouter<'_, '_>, input: SectionId, forms: &Forms, sites: &mut Vec<Site>) {
    let resolved = layouter.resolved;
    let section = resolved.section(input);
    let (object, _) = resolved.section_place(input);
    for relocation in section.relocations.iter() {
        let Some(&form) = forms.by_number.get(&relocation.number) else {
            continue;
        };
        let Some(row) = layouter.arch.relocation(relocation.number) else {
            continue;
        };
        let bytes = section
            .data
            .get(relocation.offset as usize..)
            .unwrap_or_default();
        if !row.may_use_stub(layouter.arch.endian, bytes) {
            continue;
        }
        if let Some(target) = target_of(layouter, object, &relocation, row) {
            sites.push(Site {
                section: input,
                offset: relocation.offset,
                target,
                form,
            });
        }
    }
}

/// Where a branch goes; `None` if that is nowhere.
fn target_of(
    layouter: &Layouter<'_, '_>,
    object: ObjectId,
    relocation: &RawRelocation,
    row: &Relocation,
) -> Option<StubTarget> {
    let bias = row.branch.map_or(0, |branch| branch.target_bias);
    let addend = relocation.addend.wrapping_add(bias);
    let resolved = layouter.resolved;
    if let Some((section, offset)) = resolved.place_of_symbol(object, relocation.symbol) {
        layouter.layout.placements.output(section)?;
        return Some(StubTarget::Section(
            section,
            offset.wrapping_add_signed(addend),
        ));
    }
    let symbol = layouter.script_address(object, relocation.symbol)?;
    Some(StubTarget::Absolute(symbol.wrapping_add_signed(addend)))
}

/// Whether every branch reaches its target or a stub, as things stand now.
fn all_reach(layouter: &Layouter<'_, '_>, sites: &IdVec<OutputId, Vec<Site>>) -> bool {
    let forms = Forms::new(layouter.arch, 0);
    let stubs = StubMap::new(
        &layouter.layout.islands,
        &layouter.layout.outputs,
        |target| layouter.address_of(target),
    );
    let all = sites
        .iter_ids()
        .flat_map(|(output, sites)| sites.iter().map(move |site| (output, site)));
    all.into_iter().all(|(output, site)| {
        let form = &forms.forms[site.form.index()];
        let place = layouter.address_of(StubTarget::Section(site.section, site.offset));
        let target = layouter.address_of(site.target);
        let reaches = |to: u64| form.reaches(to.wrapping_sub(place).cast_signed());
        reaches(target) || stubs.find(output, target, place, reaches).is_some()
    })
}

fn remove_islands(layouter: &mut Layouter<'_, '_>) {
    layouter.layout.islands.islands.clear();
    for section in layouter.layout.outputs.sections.iter_mut() {
        section
            .pieces
            .retain(|piece| !matches!(piece, Piece::Island(_)));
    }
}
