//! What the kernel's loader has to do for a module's branches.
//!
//! Facts: Linux, arch/parisc/kernel/module.c. In front of each allocated section the loader
//! reserves one stub for each branch relocation of it and one to spare
//! (`arch_mod_section_prepend`); a branch that does not reach takes the next of them (`get_stub`).

use std::collections::BTreeMap;

use super::elf::{Object, Place, Section, Target};
use super::proof::{branch_reach, is_branch};

/// `struct stub_entry` of a 32-bit kernel: two instructions.
const STUB_BYTES: usize = 8;

/// Stubs that the kernel must reserve for `output`, those to spare included.
pub(super) fn reserved_stubs(output: &Object) -> usize {
    let allocated = output.sections.iter().filter(|s| s.is_allocated);
    allocated.map(stubs_in_front).sum()
}

/// The same in bytes.
pub(super) fn reserved_bytes(output: &Object) -> usize {
    reserved_stubs(output) * STUB_BYTES
}

fn stubs_in_front(section: &Section) -> usize {
    (section.relocations.iter())
        .filter(|r| is_branch(r.kind))
        .count()
        + 1
}

/// The displacement that each branch left to the kernel will carry, in bytes: to its target if
/// that is in the same section and near enough, else to its stub in front of the section.
///
/// Where other sections will be is the kernel's choice, so a branch to one is counted as one
/// that takes a stub.
pub(super) fn displacements(output: &Object) -> BTreeMap<Place, i64> {
    let mut found = BTreeMap::new();
    for section in output.code() {
        let reserved = (stubs_in_front(section) * STUB_BYTES).cast_signed() as i64;
        let mut next_stub = -reserved;
        for relocation in &section.relocations {
            let Some(reach) = branch_reach(relocation.kind) else {
                continue;
            };
            let at = Place {
                section: section.index,
                offset: relocation.offset.cast_signed(),
            };
            let from = at.offset + 8;
            let direct = match relocation.target {
                Target::Place(place) if place.section == section.index => {
                    Some(place.offset - from).filter(|d| reach.covers(*d))
                }
                _ => None,
            };
            let displacement = direct.unwrap_or_else(|| {
                next_stub += STUB_BYTES as i64;
                next_stub - STUB_BYTES as i64 - from
            });
            found.insert(at, displacement);
        }
    }
    found
}
