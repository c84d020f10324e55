//! NOCROSSREFS and NOCROSSREFS_TO: output sections that may not refer to each other, such as those
//! that are in memory at different times (ld/ldcref.c, `check_nocrossrefs`).

use super::layout::ImageLayout;
use super::values::Values;
use crate::error::{LinkError, Result};
use crate::id::SectionId;
use crate::input::RawRelocation;
use crate::resolve::Resolved;
use crate::script::Sources;

/// Output sections of one command.
struct Prohibited<'s> {
    names: Vec<&'s [u8]>,
    /// Only references to the first of them are prohibited.
    to_first: bool,
}

impl Prohibited<'_> {
    fn contains(&self, name: &[u8]) -> bool {
        self.names.contains(&name)
    }

    fn prohibits(&self, from: &[u8], to: &[u8]) -> bool {
        let is_target = match self.to_first {
            true => self.names.first() == Some(&to),
            false => self.contains(to),
        };
        from != to && is_target && self.contains(from)
    }
}

/// Refuses references that the scripts prohibit.
///
/// # Errors
/// [`LinkError::BadRelocation`] for each of them.
pub(super) fn check(
    sources: &Sources,
    resolved: &Resolved<'_>,
    layout: &ImageLayout<'_>,
    values: &Values<'_, '_>,
) -> Result<()> {
    let of = |names: &'_ Vec<klink_script::Name>| -> Vec<Vec<u8>> {
        names
            .iter()
            .map(|name| name.value.clone().into_bytes())
            .collect()
    };
    let each: Vec<(Vec<Vec<u8>>, bool)> = sources
        .no_cross_refs()
        .map(|located| (of(located.value), false))
        .chain(
            sources
                .no_cross_refs_to()
                .map(|located| (of(located.value), true)),
        )
        .collect();
    let lists: Vec<Prohibited<'_>> = each
        .iter()
        .map(|(names, to_first)| Prohibited {
            names: names.iter().map(Vec::as_slice).collect(),
            to_first: *to_first,
        })
        .collect();
    let mut errors = Vec::new();
    if lists.is_empty() {
        return Ok(());
    }
    for section in layout.outputs.sections.iter() {
        if !lists.iter().any(|list| list.contains(section.name)) {
            continue;
        }
        for input in section.sections() {
            let (object, _) = resolved.section_place(input);
            for relocation in resolved.section(input).relocations.iter() {
                let Some(output) = values.of(object, relocation.symbol).output() else {
                    continue;
                };
                let target = layout.outputs.sections[output].name;
                if lists
                    .iter()
                    .any(|list| list.prohibits(section.name, target))
                {
                    errors.push(refused(
                        resolved,
                        input,
                        &relocation,
                        (section.name, target),
                    ));
                }
            }
        }
    }
    LinkError::all(errors)
}

fn refused(
    resolved: &Resolved<'_>,
    input: SectionId,
    relocation: &RawRelocation,
    (from, to): (&[u8], &[u8]),
) -> LinkError {
    let (object, _) = resolved.section_place(input);
    let object = &resolved.objects[object];
    let symbol = &object.symbols[relocation.symbol as usize];
    let text = String::from_utf8_lossy;
    LinkError::BadRelocation {
        file: object.name.clone(),
        section: text(resolved.section(input).name).into_owned(),
        offset: relocation.offset,
        what: format!(
            "prohibited cross reference from {} to `{}' in {}",
            text(from),
            text(symbol.name),
            text(to)
        ),
    }
}
