//! What is refused of a finished layout.

use super::*;

impl<'a> Layouter<'a, '_> {
    /// Refuses sections that do not fit into their regions, or belong to none where the script
    /// declares regions.
    pub(super) fn check_regions(&self) -> Result<()> {
        if self.regions.is_empty() {
            return Ok(());
        }
        let mut errors = Vec::new();
        for item in &self.items {
            let LayoutItem::Section(id) = *item else {
                continue;
            };
            let Some(output) = self.statements[id].output else {
                continue;
            };
            let section = &self.outputs.sections[output];
            if section.removed || !section.traits.contains(Traits::ALLOC) {
                continue;
            }
            let named = self.placed_in[id].0;
            let region = named.unwrap_or_else(|| self.regions.default_for(section.traits));
            let region = self.regions.get(region);
            let last = section.address.wrapping_add(section.size);
            let over = last
                .saturating_sub(region.origin)
                .saturating_sub(region.length);
            if over > 0 || section.address < region.origin {
                errors.push(LinkError::RegionOverflow {
                    section: String::from_utf8_lossy(section.name).into_owned(),
                    region: region.name.clone(),
                    over,
                });
            }
        }
        LinkError::all(errors)
    }
}
