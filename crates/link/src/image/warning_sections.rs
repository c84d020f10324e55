//! Sections with warnings: `.gnu.warning.SYMBOL` for whoever uses a symbol, `.gnu.warning` for everyone.
//! They are told, and are not in a program.
//!
//! Source: bfd/elflink.c (`elf_link_add_object_symbols`); ld/ldelf.c (`ldelf_before_allocation`);
//! ld/ldmain.c (`warning_callback`).

use object::elf;
use rayon::prelude::*;

use crate::id::{Id, ObjectId};
use crate::input::{InputSection, SymbolPlace};
use crate::options::{Options, OutputKind};
use crate::resolve::Resolved;

const WARNING: &[u8] = b".gnu.warning";

/// Takes the sections out of the link, and gives what they say.
pub(super) fn take(resolved: &mut Resolved<'_>, options: &Options) -> Vec<String> {
    let ids: Vec<ObjectId> = resolved.objects.ids().collect();
    let is_one = |section: &InputSection<'_>| section.name.starts_with(WARNING);
    let found: Vec<(ObjectId, usize)> = ids
        .into_par_iter()
        .flat_map_iter(|id| {
            let sections = resolved.objects[id].sections.iter().enumerate();
            sections
                .filter(|(_, section)| is_one(section))
                .map(move |(index, _)| (id, index))
        })
        .collect();
    let mut told = Vec::new();
    for (id, index) in found {
        let file = &resolved.objects[id];
        let section = &file.sections[index];
        let end = section.data.iter().position(|&byte| byte == 0);
        let text = String::from_utf8_lossy(&section.data[..end.unwrap_or(section.data.len())]);
        match section.name.strip_prefix(WARNING) {
            Some(b"") => told.push(format!("{}: {text}", file.name)),
            Some([b'.', symbol @ ..]) => {
                let place = first_use(resolved, symbol);
                told.extend(place.map(|place| format!("{place}: {text}")));
            }
            _ => continue,
        }
        if options.output_kind != OutputKind::Shared {
            let section = &mut resolved.objects[id].sections[index];
            section.flags |= elf::SHF_EXCLUDE.0;
        }
    }
    told
}

/// The first place that uses a symbol of another object.
fn first_use(resolved: &Resolved<'_>, name: &[u8]) -> Option<String> {
    let global = resolved.global(name)?;
    let number = |id: ObjectId| {
        let object = &resolved.objects[id];
        let mut numbers = object.first_global..object.symbols.len();
        numbers.find(|&number| {
            object.symbols[number].place == SymbolPlace::Undefined
                && resolved.global_of(id, number as u32) == Some(global)
        })
    };
    let mut ids = (0..resolved.objects.len()).map(ObjectId::from_index);
    let (id, number) = ids.find_map(|id| Some((id, number(id)?)))?;
    let object = &resolved.objects[id];
    let places = object.sections.iter().flat_map(|section| {
        let relocations = section.relocations.iter();
        relocations.map(move |relocation| (section, relocation))
    });
    let mut uses = places.filter(|(_, relocation)| relocation.symbol as usize == number);
    Some(match uses.next() {
        None => object.name.clone(),
        Some((section, relocation)) => {
            let section = String::from_utf8_lossy(section.name);
            format!("{}:({section}+{:#x})", object.name, relocation.offset)
        }
    })
}
