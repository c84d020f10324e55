//! Common symbols get room: each in a section `COMMON` of the object that has the winning mention,
//! which scripts place with `*(COMMON)`.

use hashbrown::HashSet;
use object::elf;

use crate::dynamic::walk::walk_order;
use crate::id::{GlobalId, IdVec, ObjectId};
use crate::input::InputSection;
use crate::layout::align_up;
use crate::options::SortCommon;
use crate::resolve::{Definition, MadePlace, Resolved};
use crate::script::{Sources, assigned_names};

/// What patterns of scripts call the sections of common symbols.
pub(crate) const NAME: &[u8] = b"COMMON";

/// Alignments, as powers of two, from which on `--sort-common` makes no difference (ld/ldlang.c,
/// `lang_common`).
const MAX_SORTED_POWER: [u32; 2] = [4, 5];

/// Gives every common symbol its place, except those that a script assigns (ld/ldlang.c,
/// `lang_process`, where assignments come first). They stand in the order in which GNU ld walks its table of
/// names (`lang_common`).
pub(super) fn allocate(resolved: &mut Resolved<'_>, sources: &Sources, sort: Option<SortCommon>) {
    let assigned: HashSet<GlobalId> = assigned_names(sources)
        .filter_map(|name| resolved.global(name.as_bytes()))
        .collect();
    let mut per_object: IdVec<ObjectId, Vec<GlobalId>> =
        IdVec::filled(Vec::new(), resolved.objects.len());
    let object_of = |id: &GlobalId| match resolved.globals[*id].definition {
        Definition::Common { object, .. } if !assigned.contains(id) => Some(object),
        _ => None,
    };
    if !resolved.globals.ids().any(|id| object_of(&id).is_some()) {
        return;
    }
    let ids: Vec<GlobalId> = resolved.globals.ids().collect();
    let names = resolved.globals.iter().map(|global| global.name);
    for position in walk_order(names) {
        let id = ids[position];
        if let Some(object) = object_of(&id) {
            per_object[object].push(id);
        }
    }
    for object in per_object.ids() {
        let mut globals = std::mem::take(&mut per_object[object]);
        if globals.is_empty() {
            continue;
        }
        let power = |id: &GlobalId, most: u32| match resolved.globals[*id].definition {
            Definition::Common { align, .. } => align.trailing_zeros().min(most),
            _ => 0,
        };
        let [most_falling, most_rising] = MAX_SORTED_POWER;
        match sort {
            None => {}
            Some(SortCommon::Descending) => {
                globals.sort_by_key(|id| std::cmp::Reverse(power(id, most_falling)));
            }
            Some(SortCommon::Ascending) => globals.sort_by_key(|id| power(id, most_rising)),
        }
        let flags = elf::SHF_ALLOC.0 | elf::SHF_WRITE.0;
        let section = resolved.add_made(
            InputSection::plain(NAME, elf::SHT_NOBITS.0, flags, &[]),
            MadePlace::Behind(object),
        );
        let (mut size, mut largest) = (0, 1);
        for id in globals {
            let global = &mut resolved.globals[id];
            let Definition::Common { align, .. } = global.definition else {
                continue;
            };
            let align = if align.is_power_of_two() { align } else { 1 };
            let offset = align_up(size, align).unwrap_or(u64::MAX / 2);
            global.definition = Definition::Made { section, offset };
            if global.symbol_type == elf::STT_NOTYPE.0 || global.symbol_type == elf::STT_COMMON.0 {
                global.symbol_type = elf::STT_OBJECT.0;
            }
            size = offset.saturating_add(global.size);
            largest = largest.max(align);
        }
        let made = resolved.made_section_mut(section);
        made.size = size;
        made.align = largest;
    }
}
