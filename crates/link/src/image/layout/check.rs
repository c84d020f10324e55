//! What is refused of a finished layout.

use std::collections::BTreeMap;

use hashbrown::HashSet;

use super::*;
use crate::error::SectionRange;
use crate::id::Id;
use crate::output::OutputSection;

/// Which of a section's two addresses is meant.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Run,
    Load,
}

impl<'a> Layouter<'a, '_> {
    /// Refuses what does not fit.
    pub(super) fn check_places(&mut self) -> Result<()> {
        let mut errors = std::mem::take(&mut self.failures);
        let full = self.check_regions(&mut errors);
        if self.options.check_sections != Some(false) {
            self.check_overlaps(&mut errors);
            for (region, over) in full {
                let region = self.layout.regions.get(region).name.clone();
                errors.push(LinkError::RegionOverflow { region, over });
            }
        }
        if self.options.no_inhibit_exec {
            let texts = errors.iter().map(ToString::to_string);
            let warnings = texts.map(|text| match text.strip_prefix("error: ") {
                Some(rest) => rest.to_owned(),
                None => text,
            });
            self.layout.warnings.extend(warnings);
            return Ok(());
        }
        LinkError::all(errors)
    }

    /// Refuses sections that do not fit into their regions, or belong to none where the script
    /// declares regions (ld/ldlang.c, `lang_size_sections_1`, `os_region_check`). Gives the regions
    /// that are too full, and by how many bytes.
    fn check_regions(&mut self, errors: &mut Vec<LinkError>) -> BTreeMap<RegionId, u64> {
        let mut full = BTreeMap::<RegionId, u64>::new();
        if self.layout.regions.is_empty() {
            return full;
        }
        for index in 0..self.layout.items.len() {
            let LayoutItem::Section(id) = self.layout.items[index] else {
                continue;
            };
            let Some(output) = self.layout.statements[id].output else {
                continue;
            };
            let section = &self.layout.outputs.sections[output];
            if section.removed || !section.traits.contains(Traits::ALLOC) {
                continue;
            }
            let name = String::from_utf8_lossy(section.name).into_owned();
            let (region, has_address) = (self.region_of(id, output), self.has_address(id, output));
            if region == DEFAULT && !has_address && !section.is_tbss() {
                match self.options.check_sections {
                    Some(false) => self.layout.warnings.push(format!(
                        "no memory region specified for loadable section `{name}'"
                    )),
                    _ => errors.push(LinkError::NoRegion { section: name }),
                }
                continue;
            }
            let mut places = vec![(region, section.address, has_address)];
            if let Some(load_region) = self.placed_in[id].1.filter(|&load| load != region)
                && section.traits.contains(Traits::LOAD)
            {
                places.push((load_region, section.load_address, false));
            }
            for (region, start, has_address) in places {
                let end = start.wrapping_add(section.memory_size());
                let bounds = self.layout.regions.get(region);
                let over = end.wrapping_sub(bounds.origin.wrapping_add(bounds.length));
                if let Some(last) = full.get_mut(&region) {
                    // By how much it overflows is known behind its last section.
                    *last = over;
                } else if end >= bounds.origin && end - bounds.origin <= bounds.length {
                    // It fits.
                } else if has_address {
                    errors.push(LinkError::OutsideRegion {
                        section: name.clone(),
                        region: bounds.name.clone(),
                        address: end,
                    });
                } else {
                    full.insert(region, over);
                    errors.push(LinkError::SectionDoesNotFit {
                        section: name.clone(),
                        region: bounds.name.clone(),
                    });
                }
            }
        }
        full
    }

    /// Refuses sections that share addresses (ld/ldlang.c, `lang_check_section_addresses`): those
    /// that they are loaded at; and those that they run at, unless two begin at the same one, which
    /// is what overlays do.
    fn check_overlaps(&self, errors: &mut Vec<LinkError>) {
        let has_room = |id: &OutputId| {
            let section = &self.layout.outputs.sections[*id];
            section.traits.contains(Traits::ALLOC) && !section.is_tbss() && section.size != 0
        };
        let mut all: Vec<OutputId> = self
            .layout
            .outputs
            .order
            .iter()
            .copied()
            .filter(has_room)
            .collect();
        let section = |id: OutputId| &self.layout.outputs.sections[id];
        all.sort_by_key(|&id| section(id).load_address);
        let loaded = all.iter().copied();
        let loaded: Vec<OutputId> = loaded
            .filter(|&id| section(id).traits.contains(Traits::LOAD))
            .collect();
        let mut told = HashSet::new();
        for pair in loaded.windows(2) {
            if let Some(error) = self.overlap(pair[0], pair[1], Kind::Load) {
                told.insert(pair[1].index());
                errors.push(error);
            }
        }
        all.sort_by_key(|&id| section(id).address);
        let is_overlaid = |pair: &[OutputId]| section(pair[0]).address == section(pair[1]).address;
        if all.windows(2).any(is_overlaid) {
            return;
        }
        for pair in all.windows(2) {
            if !told.contains(&pair[1].index()) {
                errors.extend(self.overlap(pair[0], pair[1], Kind::Run));
            }
        }
    }

    /// What is wrong if `next`, which does not begin in front of `first`, begins inside it.
    fn overlap(&self, first: OutputId, next: OutputId, kind: Kind) -> Option<LinkError> {
        let range = |id: OutputId| {
            let section: &OutputSection<'_> = &self.layout.outputs.sections[id];
            let start = match kind {
                Kind::Run => section.address,
                Kind::Load => section.load_address,
            };
            SectionRange {
                section: String::from_utf8_lossy(section.name).into_owned(),
                start,
                last: start.wrapping_add(section.size).wrapping_sub(1),
                digits: usize::from(self.arch.class.address_bits()) / 4,
            }
        };
        let (first, next) = (range(first), range(next));
        let overlaps = next.start <= first.last || first.last < first.start;
        overlaps.then(|| LinkError::Overlap {
            kind: match kind {
                Kind::Run => "VMA",
                Kind::Load => "LMA",
            },
            sections: Box::new([next, first]),
        })
    }
}
