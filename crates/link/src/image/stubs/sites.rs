//! The branches that stubs could help.

use klink_arch::{Arch, Relocation};
use klink_reach as reach;
use rayon::prelude::*;

use super::{Forms, Layouter, StubTarget};
use crate::id::{GlobalId, IdVec, ObjectId, OutputId, SectionId};
use crate::input::RawRelocation;
use crate::output::{Placements, Traits};
use crate::resolve::{Definition, Global, Resolved};

/// A branch that may need a stub.
pub(super) struct Site {
    pub section: SectionId,
    pub offset: u64,
    pub target: StubTarget,
    pub form: reach::FormId,
}

/// The branches of an output section that stubs could help, in order, and in parts that threads can
/// work on apart.
#[derive(Default)]
pub(super) struct Sites {
    parts: Vec<Vec<Site>>,
}

/// Input sections whose branches are found at a time: in kernels each has some ten.
const INPUTS_OF_A_PART: usize = 256;

/// In code, hardly ever are more relocations branches than one of so many.
const RELOCATIONS_OF_A_BRANCH: usize = 2;

impl Sites {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.iter().all(Vec::is_empty)
    }

    pub(super) fn par_parts(&self) -> rayon::slice::Iter<'_, Vec<Site>> {
        self.parts.par_iter()
    }
}

/// All branches that stubs could help, by output section.
pub(super) fn find(layouter: &Layouter<'_, '_>) -> IdVec<OutputId, Sites> {
    let finder = Finder {
        resolved: layouter.resolved,
        placements: &layouter.layout.placements,
        arch: layouter.arch,
        forms: Forms::new(layouter.arch, 0),
        globals: global_places(layouter),
    };
    let mut sites = IdVec::default();
    for (output, section) in layouter.layout.outputs.sections.iter_ids() {
        let mut inputs = Vec::new();
        if section.traits.contains(Traits::CODE) && layouter.layout.outputs.order.contains(&output)
        {
            inputs.extend(section.sections());
        }
        let parts = inputs.par_chunks(INPUTS_OF_A_PART);
        let of_part = |part: &[SectionId]| {
            let relocations =
                |&input: &SectionId| layouter.resolved.section(input).relocations.len();
            let most = part.iter().map(relocations).sum::<usize>() / RELOCATIONS_OF_A_BRANCH;
            let mut sites = Vec::with_capacity(most);
            for &input in part {
                sites.extend(finder.sites(input));
            }
            sites
        };
        sites.push(Sites {
            parts: parts.map(of_part).collect(),
        });
    }
    sites
}

/// Where all global symbols are; `None`: nowhere. Most branches name one, and that all of them looked
/// into the objects that define them would take longer than all else.
fn global_places(layouter: &Layouter<'_, '_>) -> IdVec<GlobalId, Option<StubTarget>> {
    let resolved = layouter.resolved;
    let script = layouter.script_addresses();
    let place = |(id, global): (GlobalId, &Global<'_>)| {
        if let Some((section, offset)) = resolved.place_of_definition(global.definition) {
            return Some(StubTarget::Section(section, offset));
        }
        let address = match (script.get(&id), global.definition) {
            (Some(&address), _) => address,
            (None, Definition::Object { object, symbol, .. }) => {
                resolved.objects[object].symbols[symbol as usize].value
            }
            (None, _) => return None,
        };
        Some(StubTarget::Absolute(address))
    };
    resolved.globals.iter_ids().map(place).collect()
}

/// What branches are found by.
struct Finder<'a, 'l> {
    resolved: &'l Resolved<'a>,
    placements: &'l Placements,
    arch: &'static Arch,
    forms: Forms,
    globals: IdVec<GlobalId, Option<StubTarget>>,
}

impl Finder<'_, '_> {
    fn sites(&self, input: SectionId) -> impl Iterator<Item = Site> {
        let section = self.resolved.section(input);
        let (object, _) = self.resolved.section_place(input);
        section.relocations.iter().filter_map(move |relocation| {
            let form = self.forms.of(relocation.number)?;
            let row = self.arch.relocation(relocation.number)?;
            let bytes = section.data.get(relocation.offset as usize..);
            if !row.may_use_stub(self.arch.endian, bytes.unwrap_or_default()) {
                return None;
            }
            Some(Site {
                section: input,
                offset: relocation.offset,
                target: self.target(object, &relocation, row)?,
                form,
            })
        })
    }

    /// Where a branch goes; `None` if that is nowhere.
    fn target(
        &self,
        object: ObjectId,
        relocation: &RawRelocation,
        row: &Relocation,
    ) -> Option<StubTarget> {
        let bias = row.branch.map_or(0, |branch| branch.target_bias);
        let addend = relocation.addend.wrapping_add(bias);
        let resolved = self.resolved;
        let named = match resolved.global_of(object, relocation.symbol) {
            Some(global) => self.globals[global]?,
            None => {
                let (section, offset) = resolved.place_in_object(object, relocation.symbol)?;
                StubTarget::Section(section, offset)
            }
        };
        match named {
            StubTarget::Absolute(address) => {
                Some(StubTarget::Absolute(address.wrapping_add_signed(addend)))
            }
            StubTarget::Section(section, offset) => {
                self.placements.output(section)?;
                let offset = offset.wrapping_add_signed(addend);
                Some(StubTarget::Section(section, offset))
            }
        }
    }
}
