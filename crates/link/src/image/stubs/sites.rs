//! The branches that stubs could help.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_arch::{Arch, Relocation};
use klink_reach as reach;
use rayon::prelude::*;

use super::{Forms, Layouter, StubTarget};
use crate::id::{GlobalId, IdVec, ObjectId, OutputId, SectionId};
use crate::input::RawRelocation;
use crate::output::{Placements, Traits};
use crate::resolve::{Definition, Resolved};

/// A branch that may need a stub.
pub(super) struct Site {
    pub section: SectionId,
    pub offset: u64,
    pub target: StubTarget,
    pub form: reach::FormId,
}

/// All branches that stubs could help, by output section.
pub(super) fn find(layouter: &Layouter<'_, '_>) -> IdVec<OutputId, Vec<Site>> {
    let finder = Finder {
        resolved: layouter.resolved,
        placements: &layouter.layout.placements,
        arch: layouter.arch,
        forms: Forms::new(layouter.arch, 0),
        script: layouter.script_addresses(),
    };
    let mut sites = IdVec::default();
    for (output, section) in layouter.layout.outputs.sections.iter_ids() {
        let mut inputs = Vec::new();
        if section.traits.contains(Traits::CODE) && layouter.layout.outputs.order.contains(&output)
        {
            inputs.extend(section.sections());
        }
        let inputs = inputs.into_par_iter();
        sites.push(inputs.flat_map_iter(|input| finder.sites(input)).collect());
    }
    sites
}

/// What branches are found by.
struct Finder<'a, 'l> {
    resolved: &'l Resolved<'a>,
    placements: &'l Placements,
    arch: &'static Arch,
    forms: Forms,
    /// The addresses of symbols that the script assigns.
    script: HashMap<GlobalId, u64, RandomState>,
}

impl Finder<'_, '_> {
    fn sites(&self, input: SectionId) -> impl Iterator<Item = Site> {
        let section = self.resolved.section(input);
        let (object, _) = self.resolved.section_place(input);
        section.relocations.iter().filter_map(move |relocation| {
            let &form = self.forms.by_number.get(&relocation.number)?;
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
        if let Some((section, offset)) = resolved.place_of_symbol(object, relocation.symbol) {
            self.placements.output(section)?;
            let offset = offset.wrapping_add_signed(addend);
            return Some(StubTarget::Section(section, offset));
        }
        let global = resolved.global_of(object, relocation.symbol)?;
        let symbol = match (
            self.script.get(&global),
            resolved.globals[global].definition,
        ) {
            (Some(&address), _) => address,
            (None, Definition::Object { object, symbol, .. }) => {
                resolved.objects[object].symbols[symbol as usize].value
            }
            (None, _) => return None,
        };
        Some(StubTarget::Absolute(symbol.wrapping_add_signed(addend)))
    }
}
