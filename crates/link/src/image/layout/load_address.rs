//! Where sections are loaded.

use klink_script::OverlayPart;

use super::*;

impl<'a> Layouter<'a, '_> {
    /// Where the section is loaded: as the script says, or as far from its address as the one before
    /// it in its region.
    pub(super) fn load_address(
        &mut self,
        id: StatementId,
        output: OutputId,
        (region, load_region): (RegionId, Option<RegionId>),
        (moved, own_align, align): (u64, Option<u64>, u64),
    ) -> Result<()> {
        let spec = self.spec(id);
        let overlay = spec.and_then(|spec| spec.overlay.as_ref());
        let section = &self.layout.outputs.sections[output];
        let (address, size) = (section.address, section.size);
        let is_alloc = section.traits.contains(Traits::ALLOC);
        let mut load = address;
        if let Some(spec) = spec
            && let Some(expr) = &spec.load_address
        {
            // `.` is the section's own address here.
            if let Some(value) = self.address(expr, spec.source, address)? {
                load = value;
            }
        } else if let Some(load_region) = load_region {
            load = self.layout.regions.get(load_region).current;
            if spec.is_some_and(|spec| spec.align_with_input) {
                load = load.wrapping_add(moved);
            } else if load_region == region {
                load = eval::align_up(load, align);
            } else {
                load = eval::align_up(load, own_align.unwrap_or(1));
            }
        } else if let Some(last) = self.layout.regions.get(region).last
            && is_alloc
        {
            let last = &self.layout.outputs.sections[last];
            let moved_back =
                address < last.address && size != 0 && address.wrapping_add(size) <= last.address;
            if moved_back {
                if last.address != last.load_address {
                    let name = String::from_utf8_lossy(self.layout.outputs.sections[output].name);
                    let warning = format!("dot moved backwards before `{name}'");
                    if !self.layout.warnings.contains(&warning) {
                        self.layout.warnings.push(warning);
                    }
                }
            } else {
                load = match overlay {
                    Some(OverlayPart {
                        is_first: false, ..
                    }) => last.load_address.wrapping_add(last.size),
                    _ => address
                        .wrapping_add(last.load_address)
                        .wrapping_sub(last.address),
                };
                load = eval::align_up(load, align);
            }
        }
        self.layout.outputs.sections[output].load_address = load;
        let section = &self.layout.outputs.sections[output];
        let last = self
            .layout
            .regions
            .get(region)
            .last
            .map(|last| self.layout.outputs.sections[last].address);
        let has_room = !section.removed
            && is_alloc
            && (size != 0
                || match last {
                    None => address != load,
                    Some(last) => address >= last,
                });
        let counts = has_room || overlay.is_some_and(|part| part.is_first);
        if counts && load_region.is_none() {
            self.layout.regions.get_mut(region).last = Some(output);
        }
        Ok(())
    }
}
