//! Relocations of relocatable output: each is rewritten for its new place, resolved for good, or
//! dropped. The same function answers both passes over them, the one that marks which symbols are
//! needed and the one that writes, so the two cannot disagree.

use klink_arch::{Arch, RelocError};

use crate::error::{LinkError, Result};
use crate::id::{GlobalId, ObjectId, OutputId, SectionId};
use crate::input::RawRelocation;
use crate::layout::Layout;
use crate::module::Fate;
use crate::output::Traits;
use crate::resolve::Resolved;

/// What a relocation in the output names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    /// Nothing: symbol 0.
    None,
    /// An output section.
    Section(OutputId),
    /// A local symbol of an input object.
    Local(ObjectId, u32),
    /// A global symbol.
    Global(GlobalId),
}

/// What becomes of a relocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rewrite {
    /// It is written with this target, number and addend; `moved` bytes were added to the addend
    /// (for REL, to the field).
    Keep {
        target: Target,
        number: u32,
        addend: i64,
        moved: i64,
    },
    /// Its value is known: S is this offset in the output section that it is in itself, A this.
    Apply { symbol: u64, addend: i64 },
    /// It names something that is not in the output: its field is zeroed, and its type.
    Void,
    /// It is not in the output.
    Drop,
}

/// What becomes of relocation `index` of `section`.
pub(crate) fn rewrite(
    resolved: &Resolved<'_>,
    layout: &Layout<'_>,
    section: SectionId,
    index: usize,
    relocation: &RawRelocation,
) -> Rewrite {
    if let Some(fate) = layout
        .module
        .as_ref()
        .and_then(|module| module.fate(section, index))
    {
        match fate {
            Fate::Keep => {}
            Fate::Resolve { symbol, addend } => return Rewrite::Apply { symbol, addend },
        }
    }
    let (object, _) = resolved.section_place(section);
    let keep = |target, moved: i64| Rewrite::Keep {
        target,
        number: relocation.number,
        addend: relocation.addend.wrapping_add(moved),
        moved,
    };
    if relocation.symbol == 0 {
        return keep(Target::None, 0);
    }
    let global = resolved.global_of(object, relocation.symbol);
    let by_name = || match global {
        Some(global) => keep(Target::Global(global), 0),
        None => keep(Target::Local(object, relocation.symbol), 0),
    };
    let Some((definition, _)) = resolved.place_of_symbol(object, relocation.symbol) else {
        return by_name();
    };
    let Some(output) = layout.placements.output(definition) else {
        let debugging = Traits::of(resolved.section(section)).contains(Traits::DEBUGGING);
        return if debugging {
            Rewrite::Drop
        } else {
            Rewrite::Void
        };
    };
    let symbol = &resolved.objects[object].symbols[relocation.symbol as usize];
    if global.is_none() && symbol.symbol_type == object::elf::STT_SECTION.0 {
        keep(
            Target::Section(output),
            layout.placements.offset(definition).cast_signed(),
        )
    } else {
        by_name()
    }
}

/// Refuses relocations against symbols in sections that are not in the output, as GNU ld does
/// (bfd/elflink.c, `elf_link_input_bfd`; `_bfd_elf_default_action_discarded` makes exceptions for
/// debugging and unwind sections).
pub(crate) fn check_discarded(resolved: &Resolved<'_>, layout: &Layout<'_>) -> Result<()> {
    if !layout.has_discards {
        return Ok(());
    }
    let mut errors = Vec::new();
    for &output in &layout.outputs.order {
        for section in layout.outputs.sections[output].sections() {
            let input = resolved.section(section);
            let excused = Traits::of(input).contains(Traits::DEBUGGING)
                || [&b".eh_frame"[..], b".gcc_except_table", b".sframe"].contains(&input.name)
                || input.name.starts_with(b".stab");
            if excused {
                continue;
            }
            for (index, relocation) in input.relocations.iter().enumerate() {
                if rewrite(resolved, layout, section, index, &relocation) == Rewrite::Void {
                    errors.push(discarded_error(resolved, section, &relocation));
                }
            }
        }
    }
    match errors.len() {
        0 => Ok(()),
        1 => Err(errors.remove(0)),
        _ => Err(LinkError::Several(errors)),
    }
}

pub(crate) fn discarded_error(
    resolved: &Resolved<'_>,
    section: SectionId,
    relocation: &RawRelocation,
) -> LinkError {
    let (object, _) = resolved.section_place(section);
    let file = &resolved.objects[object];
    let text = |name| String::from_utf8_lossy(name).into_owned();
    let symbol = file.symbols.get(relocation.symbol as usize);
    let place = resolved.place_of_symbol(object, relocation.symbol);
    let (gone, owner) = place.map_or_else(Default::default, |(gone, _)| {
        let (owner, _) = resolved.section_place(gone);
        let owner = resolved.objects[owner].name.clone();
        (text(resolved.section(gone).name), owner)
    });
    let symbol = match symbol.map(|symbol| symbol.name) {
        None | Some(b"") => gone.clone(),
        Some(name) => text(name),
    };
    let from = text(resolved.section(section).name);
    let what = format!(
        "`{symbol}' referenced in section `{from}' of {}: \
         defined in discarded section `{gone}' of {owner}",
        file.name
    );
    bad_relocation(resolved, section, relocation.offset, what)
}

/// An error at a place in an input section.
pub(crate) fn bad_relocation(
    resolved: &Resolved<'_>,
    section: SectionId,
    offset: u64,
    what: String,
) -> LinkError {
    let (object, _) = resolved.section_place(section);
    LinkError::BadRelocation {
        file: resolved.objects[object].name.clone(),
        section: String::from_utf8_lossy(resolved.section(section).name).into_owned(),
        offset,
        what,
    }
}

/// Changes the bytes of `section` (in `bytes`, as they go to the output) where its relocations ask
/// for it: implicit addends that moved, values that are known now, fields that lost their symbol.
///
/// # Errors
/// Fields that reach past the section, values that do not fit, unknown relocation types.
pub(crate) fn change_bytes(
    resolved: &Resolved<'_>,
    layout: &Layout<'_>,
    arch: &Arch,
    section: SectionId,
    bytes: &mut [u8],
) -> Result<()> {
    let input = resolved.section(section);
    let explicit = input.relocations.is_rela();
    if explicit && layout.module.is_none() && !layout.has_discards {
        return Ok(());
    }
    for (index, relocation) in input.relocations.iter().enumerate() {
        let change = rewrite(resolved, layout, section, index, &relocation);
        if matches!(change, Rewrite::Keep { moved, .. } if explicit || moved == 0) {
            continue;
        }
        let bad = |what| bad_relocation(resolved, section, relocation.offset, what);
        let Some(row) = arch.relocation(relocation.number) else {
            return Err(bad(format!(
                "unknown relocation type {} of {}",
                relocation.number, arch.name
            )));
        };
        let field = bytes
            .get_mut(relocation.offset as usize..)
            .unwrap_or_default();
        let result = match change {
            Rewrite::Keep { moved, .. } => {
                row.implicit_addend(arch.endian, field).and_then(|addend| {
                    row.set_implicit_addend(arch.endian, field, addend.wrapping_add(moved))
                })
            }
            Rewrite::Apply { symbol, addend } => {
                let place = layout
                    .placements
                    .offset(section)
                    .wrapping_add(relocation.offset);
                let values = klink_arch::Values {
                    symbol,
                    addend,
                    place,
                    ..Default::default()
                };
                row.apply(arch.endian, field, &values)
            }
            Rewrite::Void | Rewrite::Drop => {
                let end = row.len().min(field.len());
                field[..end].fill(0);
                Ok(())
            }
        };
        result.map_err(|error: RelocError| bad(format!("{}: {error}", row.name)))?;
    }
    Ok(())
}
