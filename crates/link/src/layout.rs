//! Layout of relocatable output: each input section's offset in its output section.

use klink_arch::Arch;

use crate::assign::Assigned;
use crate::error::{LinkError, Result};
use crate::id::{IdVec, OutputId, SectionId};
use crate::module::{self, ModuleLink};
use crate::options::Options;
use crate::output::{Outputs, Piece, Placements};
use crate::resolve::{Definition, Resolved};
use crate::script::{Program, ScriptState, Sources};

/// The layout of a link. Nothing later changes it.
pub(crate) struct Layout<'a> {
    pub outputs: Outputs<'a>,
    pub placements: Placements,
    /// What the module link decided, if this is one.
    pub module: Option<ModuleLink>,
    /// Whether any input section was discarded, so that relocations may name what is not there.
    pub has_discards: bool,
    /// Whether section groups stay groups.
    pub keep_groups: bool,
    /// The script's symbols, and where its statements stand.
    pub script: ScriptState,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

impl<'a> Layout<'a> {
    /// Lays out what was assigned.
    ///
    /// # Errors
    /// Sections too large to tell; in a module link, branches that cannot reach.
    pub(crate) fn new(
        resolved: &Resolved<'a>,
        assigned: Assigned<'a>,
        sources: &Sources,
        program: &Program<'a>,
        options: &Options,
        arch: &'static Arch,
    ) -> Result<Self> {
        let Assigned {
            mut outputs,
            mut placements,
            has_discards,
            keep_groups,
            warnings,
            ..
        } = assigned;
        let mut script = ScriptState::default();
        let mut step = |number, section, dot| {
            program.step(sources, resolved, &mut script, number, section, dot)
        };
        let module = match &options.module {
            Some(module_options) => {
                let name = options
                    .output
                    .as_deref()
                    .map_or("a.out".into(), |path| path.to_string_lossy());
                Some(module::plan(
                    resolved,
                    &mut outputs,
                    &mut placements,
                    arch,
                    module_options,
                    &name,
                    &mut step,
                )?)
            }
            None => {
                for output in in_layout_order(resolved, &outputs) {
                    order_by_links(resolved, &mut outputs, &placements, output)?;
                    lay_out_in_order(resolved, &mut outputs, &mut placements, output, &mut step)?;
                }
                None
            }
        };
        program.assign_outside(sources, resolved, &placements, &mut script)?;
        let mut layout = Self {
            outputs,
            placements,
            module,
            has_discards,
            keep_groups,
            script,
            warnings,
        };
        if layout.module.is_some() {
            layout.drop_empty_sections(resolved);
        }
        Ok(layout)
    }

    /// Removes empty output sections that no symbol is defined in. Relocations name sections only
    /// through symbols of theirs; a section symbol of an empty section is needed only if a
    /// relocation names it.
    fn drop_empty_sections(&mut self, resolved: &Resolved<'_>) {
        let mut needed = IdVec::filled(false, self.outputs.sections.len());
        for section in self
            .script
            .symbols
            .iter()
            .filter_map(|symbol| symbol.section)
        {
            needed[section] = true;
        }
        let mut need = |object, place| {
            if let crate::input::SymbolPlace::Section(index) = place
                && let Some(output) = self.placements.output(resolved.section_id(object, index))
            {
                needed[output] = true;
            }
        };
        for (id, object) in resolved.objects.iter_ids() {
            let locals = object.symbols.iter().take(object.first_global);
            locals
                .filter(|symbol| symbol.symbol_type != object::elf::STT_SECTION.0)
                .for_each(|symbol| need(id, symbol.place));
            for section in &object.sections {
                for relocation in section.relocations.iter() {
                    if let Some(symbol) = object.symbols.get(relocation.symbol as usize) {
                        need(id, symbol.place);
                    }
                }
            }
        }
        for global in resolved.globals.iter() {
            if let Definition::Object { object, symbol, .. } = global.definition {
                need(
                    object,
                    resolved.objects[object].symbols[symbol as usize].place,
                );
            }
        }
        for &id in &self.outputs.order {
            let linked = self.outputs.sections[id].linked_to;
            if let Some(linked) = linked.and_then(|linked| self.placements.output(linked)) {
                needed[linked] = true;
            }
        }
        let sections = &self.outputs.sections;
        self.outputs
            .order
            .retain(|&id| sections[id].size > 0 || needed[id]);
    }
}

/// Executes a statement of the script at `dot` of an output section, and gives the new `dot`.
pub(crate) type Step<'s> = dyn FnMut(u32, OutputId, u64) -> Result<u64> + 's;

/// Rounds `offset` up to a multiple of `align`, a power of two.
pub(crate) fn align_up(offset: u64, align: u64) -> Option<u64> {
    Some(offset.checked_add(align - 1)? & !(align - 1))
}

/// The output sections in the order in which they can be laid out: those with `SHF_LINK_ORDER`
/// follow the sections that they are about.
pub(crate) fn in_layout_order(resolved: &Resolved<'_>, outputs: &Outputs<'_>) -> Vec<OutputId> {
    let linked = |&id: &OutputId| {
        let mut inputs = outputs.sections[id].sections();
        inputs.any(|input| has_link_order(resolved, input))
    };
    let (last, first): (Vec<OutputId>, Vec<OutputId>) =
        outputs.order.iter().partition(|id| linked(id));
    first.into_iter().chain(last).collect()
}

fn has_link_order(resolved: &Resolved<'_>, input: SectionId) -> bool {
    resolved.section(input).flags & object::elf::SHF_LINK_ORDER.0 != 0
}

/// Sorts the inputs of a section with `SHF_LINK_ORDER` by the places of the sections that they are
/// about (bfd/elflink.c, `elf_fixup_link_order`, which counts every output section of relocatable
/// output from address 0).
///
/// # Errors
/// Inputs with and without the flag in one section.
pub(crate) fn order_by_links(
    resolved: &Resolved<'_>,
    outputs: &mut Outputs<'_>,
    placements: &Placements,
    output: OutputId,
) -> Result<()> {
    let section = &mut outputs.sections[output];
    let ordered = section
        .sections()
        .filter(|&input| has_link_order(resolved, input))
        .count();
    if ordered == 0 {
        return Ok(());
    }
    if ordered < section.pieces.len() {
        return Err(LinkError::BadSection {
            file: "output".to_owned(),
            section: String::from_utf8_lossy(section.name).into_owned(),
            what: "some of its inputs follow the order of other sections (SHF_LINK_ORDER), some do not".to_owned(),
        });
    }
    section.pieces.sort_by_key(|piece| match *piece {
        Piece::Section(input) => {
            let (object, _) = resolved.section_place(input);
            let link = resolved.section(input).link;
            let exists = (link as usize) < resolved.objects[object].sections.len();
            exists.then(|| placements.offset(resolved.section_id(object, link)))
        }
        Piece::Statement(_) | Piece::Island(_) => None,
    });
    Ok(())
}

/// Gives each input section of `output` its offset, in order, and the output section its size.
pub(crate) fn lay_out_in_order(
    resolved: &Resolved<'_>,
    outputs: &mut Outputs<'_>,
    placements: &mut Placements,
    output: OutputId,
    step: &mut Step<'_>,
) -> Result<()> {
    let mut offset = 0u64;
    let section = &mut outputs.sections[output];
    for piece in &section.pieces {
        let (start, size) = match *piece {
            Piece::Section(id) => {
                let input = resolved.section(id);
                let start = align_up(offset, input.align);
                if let Some(start) = start {
                    placements.set_offset(id, start);
                }
                (start, input.size)
            }
            // Relocatable output has none.
            Piece::Island(_) => continue,
            Piece::Statement(statement) => {
                offset = step(statement, output, offset)?;
                continue;
            }
        };
        offset = start
            .and_then(|start| start.checked_add(size))
            .ok_or_else(|| LinkError::BadSection {
                file: "output".to_owned(),
                section: String::from_utf8_lossy(section.name).into_owned(),
                what: "its inputs are larger together than an address can tell".to_owned(),
            })?;
    }
    section.size = offset;
    Ok(())
}
