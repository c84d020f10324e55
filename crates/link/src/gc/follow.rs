//! What is kept because something else of its object is: sections about others (`SHF_LINK_ORDER`),
//! debugging sections, and those that describe the object, such as `.comment`.
//!
//! Source: bfd/elflink.c, `_bfd_elf_gc_mark_extra_sections`. Objects are gone through once, in order;
//! so the result depends on it, as GNU ld's does.

use object::elf;

use super::mark::{Follow, Marker};
use crate::id::SectionId;
use crate::input::SectionKind;
use crate::output::Traits;
use crate::resolve::Resolved;

/// Links from section to section that are followed: more form a circle.
const MAX_LINKS: usize = 100;

/// Marks followers. `sections` stand together object by object.
pub(super) fn mark_followers(
    resolved: &Resolved<'_>,
    sections: &[SectionId],
    marker: &mut Marker<'_, '_>,
) {
    let of_one_object =
        |a: &SectionId, b: &SectionId| resolved.section_place(*a).0 == resolved.section_place(*b).0;
    let refer_to_others = resolved.globals.ids().any(|global| {
        let section = marker.section_of_global(global);
        section.is_some_and(|section| is_debugging(resolved, section))
    });
    for own in sections.chunk_by(of_one_object) {
        if !mark_linked(resolved, own, marker) {
            continue;
        }
        let has_debugging = mark_descriptions(resolved, own, marker);
        drop_fragments(resolved, own, marker);
        let debugging = || own.iter().filter(|&&id| is_debugging(resolved, id));
        // Most objects' debugging sections refer to nothing that is not kept with them.
        let refer_to_own = || debugging().any(|&id| !marker.is_kept(id));
        if has_debugging && (refer_to_others || refer_to_own()) {
            for &id in debugging() {
                if marker.is_kept(id) {
                    marker.mark(id, Follow::Debugging);
                }
            }
        }
    }
    mark_groups(resolved, sections, marker);
}

/// A group's own section goes with the first of its members (bfd/elflink.c, `elf_gc_sweep`).
fn mark_groups(resolved: &Resolved<'_>, sections: &[SectionId], marker: &mut Marker<'_, '_>) {
    for &id in sections {
        let SectionKind::Group(group) = resolved.section(id).kind else {
            continue;
        };
        let (object, _) = resolved.section_place(id);
        let members = &resolved.objects[object].groups[group as usize].members;
        if let Some(&first) = members.first() {
            marker.set_kept(id, marker.is_kept(resolved.section_id(object, first)));
        }
    }
}

fn is_debugging(resolved: &Resolved<'_>, id: SectionId) -> bool {
    Traits::of(resolved.section(id)).contains(Traits::DEBUGGING)
}

/// Marks sections that are about kept ones, and those that the linker made. Gives whether anything
/// of the object is kept that is in memory and no note.
fn mark_linked(resolved: &Resolved<'_>, own: &[SectionId], marker: &mut Marker<'_, '_>) -> bool {
    let mut any_kept = false;
    for &id in own {
        let section = resolved.section(id);
        if resolved.is_made(id) && section.name != crate::image::COMMON {
            marker.set_kept(id, true);
        } else if marker.is_kept(id)
            && Traits::of(section).contains(Traits::ALLOC)
            && section.section_type != elf::SHT_NOTE.0
        {
            any_kept = true;
        } else {
            let mut linked = resolved.linked_to(id);
            for _ in 0..MAX_LINKS {
                let Some(about) = linked else { break };
                if marker.is_kept(about) {
                    marker.mark(id, Follow::All);
                    break;
                }
                linked = resolved.linked_to(about);
            }
        }
    }
    any_kept
}

/// Marks debugging sections and those that describe the object: not in memory, without relocations.
/// Groups of such alone count as well. Gives whether a debugging section is kept.
fn mark_descriptions(
    resolved: &Resolved<'_>,
    own: &[SectionId],
    marker: &mut Marker<'_, '_>,
) -> bool {
    let is_special = |id: SectionId| {
        let section = resolved.section(id);
        !Traits::of(section).contains(Traits::ALLOC) && section.relocations.is_empty()
    };
    let mut has_debugging = false;
    for &id in own {
        let section = resolved.section(id);
        if let SectionKind::Group(group) = section.kind {
            let (object, _) = resolved.section_place(id);
            let members = &resolved.objects[object].groups[group as usize].members;
            let members: Vec<SectionId> = members
                .iter()
                .map(|&member| resolved.section_id(object, member))
                .collect();
            if members.iter().all(|&member| is_debugging(resolved, member))
                || members.iter().all(|&member| is_special(member))
            {
                for member in members {
                    marker.set_kept(member, true);
                }
            }
        } else if (is_debugging(resolved, id) || is_special(id))
            && section.group.is_none()
            && resolved.linked_to(id).is_none()
        {
            marker.set_kept(id, true);
        }
        has_debugging |= marker.is_kept(id) && is_debugging(resolved, id);
    }
    has_debugging
}

/// Drops the debugging sections of code that goes, where each has its own: `.debug_line.text.f` is
/// about `.text.f`.
fn drop_fragments(resolved: &Resolved<'_>, own: &[SectionId], marker: &mut Marker<'_, '_>) {
    let is_fragmented = own.iter().any(|&id| {
        is_debugging(resolved, id) && resolved.section(id).name.starts_with(b".debug_line.")
    });
    if !is_fragmented {
        return;
    }
    for &code in own {
        let section = resolved.section(code);
        if marker.is_kept(code) || !Traits::of(section).contains(Traits::CODE) {
            continue;
        }
        for &id in own {
            let name = resolved.section(id).name;
            if is_debugging(resolved, id)
                && name.len() > section.name.len()
                && name.ends_with(section.name)
            {
                marker.set_kept(id, false);
            }
        }
    }
}
