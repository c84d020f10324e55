//! What is wrong with an image's relocations, told as users of linkers know it.

use std::collections::BTreeMap;
use std::path::Path;

use klink_arch::Arch;
use object::elf;

use super::layout::ImageLayout;
use super::relocate::{Problem, Reference, Relocator};
use super::segments::Segment;
use crate::error::{LinkError, Result, UndefinedReference};
use crate::id::{IdVec, SectionId};
use crate::input::SymbolPlace;
use crate::options::{Options, Unresolved};
use crate::output::Traits;

/// One error for all problems; none is success. Problems came from many threads: they are told in
/// the order of their sections.
pub(super) fn problems(
    relocator: &Relocator<'_, '_>,
    options: &Options,
    problems: Vec<Problem>,
) -> Result<Vec<String>> {
    let mut undefined: BTreeMap<String, Vec<Reference>> = BTreeMap::new();
    let mut errors = Vec::new();
    for problem in problems {
        match problem {
            Problem::Undefined(reference) => {
                let (object, _) = relocator.resolved.section_place(reference.section);
                let name = relocator.symbol_name(object, reference.symbol);
                undefined.entry(name).or_default().push(reference);
            }
            Problem::Error(error) => errors.push(error),
        }
    }
    let mut undefined: Vec<(String, Vec<Reference>)> = undefined.into_iter().collect();
    for (_, references) in &mut undefined {
        references.sort_by_key(|reference| (reference.section, reference.offset));
    }
    undefined.sort_by_key(|(_, references)| (references[0].section, references[0].offset));
    let must_be_here = |reference: &Reference| {
        let (object, _) = relocator.resolved.section_place(reference.section);
        relocator.must_be_here(object, reference.symbol)
    };
    let (mut all, mut warnings) = (Vec::new(), Vec::new());
    for (symbol, references) in undefined {
        let is_warning =
            options.unresolved() == Unresolved::Warning && !references.iter().any(must_be_here);
        let list = if is_warning { &mut warnings } else { &mut all };
        list.push(LinkError::Undefined {
            symbol,
            count: references.len(),
            references: references
                .iter()
                .take(crate::error::MAX_REFERENCES)
                .map(|reference| describe(relocator, reference))
                .collect(),
        });
    }
    // Their texts begin with file, section and offset.
    errors.sort_by_cached_key(ToString::to_string);
    all.append(&mut errors);
    LinkError::all(all)?;
    Ok(warnings.iter().map(ToString::to_string).collect())
}

/// Warnings about sections that no segment loads although they are part of memory (bfd/elf.c,
/// `assign_file_positions_for_non_load_sections`).
pub(super) fn outside_of_segments(layout: &ImageLayout<'_>, options: &Options) -> Vec<String> {
    let output = options.output.as_deref().unwrap_or(Path::new("a.out"));
    let mut is_held = IdVec::filled(false, layout.outputs.sections.len());
    for segment in &layout.segments.segments {
        for &id in segment.sections() {
            is_held[id] = true;
        }
    }
    let mut warnings = Vec::new();
    for &id in &layout.outputs.order {
        let section = &layout.outputs.sections[id];
        if section.traits.contains(Traits::ALLOC) && section.size != 0 && !is_held[id] {
            warnings.push(format!(
                "{}: allocated section `{}' not in segment",
                output.display(),
                String::from_utf8_lossy(section.name)
            ));
        }
    }
    warnings
}

/// Warnings about segments that may be written and executed (bfd/elf.c,
/// `assign_file_positions_except_relocs`).
pub(super) fn rights(layout: &ImageLayout<'_>, options: &Options, arch: &Arch) -> Vec<String> {
    let all = elf::PF_R.0 | elf::PF_W.0 | elf::PF_X.0;
    let output = options.output.as_deref().unwrap_or(Path::new("a.out"));
    let warning = |segment: &Segment| match segment.segment_type {
        kind if kind == elf::PT_TLS.0 && segment.flags & elf::PF_X.0 != 0 => Some(format!(
            "{} has a TLS segment with execute permission",
            output.display()
        )),
        kind if kind == elf::PT_LOAD.0 && segment.flags & all == all => Some(format!(
            "{} has a LOAD segment with RWX permissions",
            output.display()
        )),
        _ => None,
    };
    if !options
        .warn_rwx_segments
        .unwrap_or(arch.warns_of_rwx_segments)
    {
        return Vec::new();
    }
    let segments = layout.segments.segments.iter();
    let held = segments.filter(|segment| segment.memory_size != 0);
    held.filter_map(warning).collect()
}

fn describe(relocator: &Relocator<'_, '_>, reference: &Reference) -> UndefinedReference {
    let (object, _) = relocator.resolved.section_place(reference.section);
    let section = relocator.resolved.section(reference.section);
    UndefinedReference {
        file: relocator.resolved.objects[object].name.clone(),
        section: String::from_utf8_lossy(section.name).into_owned(),
        offset: reference.offset,
        function: function_at(relocator, reference.section, reference.offset),
    }
}

/// The function that holds an offset of a section.
fn function_at(relocator: &Relocator<'_, '_>, section: SectionId, offset: u64) -> Option<String> {
    let (object, index) = relocator.resolved.section_place(section);
    let symbols = relocator.resolved.objects[object].symbols.iter();
    let inside = symbols.filter(|symbol| {
        symbol.place == SymbolPlace::Section(index)
            && symbol.symbol_type == elf::STT_FUNC.0
            && symbol.value <= offset
            && (symbol.size == 0 || offset - symbol.value < symbol.size)
    });
    let function = inside.max_by_key(|symbol| symbol.value)?;
    Some(String::from_utf8_lossy(function.name).into_owned())
}
