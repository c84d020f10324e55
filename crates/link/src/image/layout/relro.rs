//! Whether a link has anything that is read-only after relocation. If not, the data segment begins as if
//! nobody had asked for that (ld/ldlang.c, `lang_find_relro_sections`).

use klink_script::{ExprKind, Function2};
use object::elf;

use crate::assign::matches_pattern;
use crate::id::SectionId;
use crate::output::Placements;
use crate::resolve::Resolved;
use crate::rules::{InputRule, Part};
use crate::script::{Item, Program};

/// Whether a pattern between `DATA_SEGMENT_ALIGN` and `DATA_SEGMENT_RELRO_END` matches a section that is in
/// the output, wherever it is there.
pub(super) fn is_present(
    program: &Program<'_>,
    resolved: &Resolved<'_>,
    placements: &Placements,
) -> bool {
    let calls = |statement: u32, wanted: Function2| {
        let expr = program.statements[statement as usize].action.expr();
        let mut found = false;
        if let Some(expr) = expr {
            expr.walk(&mut |part| {
                found |= matches!(&part.kind, ExprKind::Call2(called, ..) if *called == wanted);
            });
        }
        found
    };
    let mut begun = false;
    for &item in &program.items {
        match item {
            Item::Statement(number) if calls(number, Function2::DataSegmentRelroEnd) => {
                return false;
            }
            Item::Statement(number) => begun |= calls(number, Function2::DataSegmentAlign),
            Item::Section(rule) if begun => {
                let parts = &program.rules.outputs[rule as usize].parts;
                let mut inputs = parts.iter().filter_map(|part| match part {
                    Part::Inputs(inputs) => Some(inputs),
                    Part::Statement { .. } => None,
                });
                if inputs.any(|inputs| matches_any(inputs, resolved, placements)) {
                    return true;
                }
            }
            Item::Section(_) => {}
        }
    }
    false
}

fn matches_any(inputs: &InputRule, resolved: &Resolved<'_>, placements: &Placements) -> bool {
    let takes = |id: SectionId| {
        let section = resolved.section(id);
        let is_tbss =
            section.flags & elf::SHF_TLS.0 != 0 && section.section_type == elf::SHT_NOBITS.0;
        let has_room = section.flags & elf::SHF_ALLOC.0 != 0 && section.size > 0 && !is_tbss;
        let mut patterns = inputs.sections.iter();
        has_room
            && placements.output(id).is_some()
            && inputs.takes_flags(section.flags)
            && patterns.any(|pattern| {
                pattern.name.matches(section.name) && matches_pattern(resolved, inputs, pattern, id)
            })
    };
    resolved.section_ids().any(takes)
}
