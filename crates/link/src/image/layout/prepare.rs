//! What is known of regions, alignments and types before the first pass.

use super::*;
use crate::image::regions::BadAlias;
use crate::options::Magic;

impl<'a> Layouter<'a, '_> {
    /// Adds the regions. Their numbers may name symbols that the script gives a number
    /// (ld/ldlang.c, `lang_do_memory_regions`).
    pub(super) fn add_regions(&mut self) -> Result<()> {
        let sources = self.sources;
        for located in sources.memory() {
            let (source, region) = (located.source, located.value);
            let origin = self.constant(&region.origin, source)?;
            let length = self.constant(&region.length, source)?;
            self.layout.regions.add(region, origin, length);
        }
        for (source, alias, region) in sources.region_aliases() {
            if let Err(refusal) = self.layout.regions.alias(&alias.value, &region.value) {
                let (what, name) = match refusal {
                    BadAlias::Default => ("alias for default memory region".to_owned(), alias),
                    BadAlias::Redefined => {
                        let what = "redefinition of memory region alias";
                        (format!("{what} `{}'", alias.value), alias)
                    }
                    BadAlias::Unknown => {
                        let (region_name, alias) = (&region.value, &alias.value);
                        let what = "does not exist";
                        (
                            format!("memory region `{region_name}' for alias `{alias}' {what}"),
                            region,
                        )
                    }
                };
                return self.error(source, Diagnostic::new(what, name.span));
            }
        }
        Ok(())
    }

    /// Gives symbols the values that they have before anything is placed.
    pub(super) fn assign_first(&mut self) {
        let program = self.program;
        for statement in &program.statements {
            if let Action::Assign {
                assignment,
                global: Some(global),
            } = &statement.action
            {
                // What has no value yet may have one when sections are placed.
                let _ = self.define(statement, assignment, *global, (Place::Outside, 0));
            }
        }
    }

    pub(super) fn place_in_regions(&mut self) -> Result<()> {
        for id in self.layout.statements.ids() {
            let Some(spec) = self.spec(id) else { continue };
            let region = self.region_called(spec.placement.region.as_ref());
            let load_region = self.region_called(spec.placement.load_region.as_ref());
            // Without `>`, a section goes where it is loaded (ld/ldlang.c, `lang_get_regions`).
            let runs_there = region.is_none() && spec.address.is_none();
            self.placed_in[id] = (if runs_there { load_region } else { region }, load_region);
        }
        // An orphan goes where the section does that it follows, which has the lower number.
        for id in self.layout.statements.ids() {
            let statement = &self.layout.statements[id];
            if let (None, Some(after)) = (statement.rule, statement.after) {
                self.placed_in[id] = self.placed_in[after];
            }
        }
        self.inherit_load_regions();
        Ok(())
    }

    /// The region of that name; one that is not declared is all memory, with a warning.
    fn region_called(&mut self, name: Option<&klink_script::Name>) -> Option<RegionId> {
        let name = name?;
        self.layout.regions.find(&name.value).or_else(|| {
            self.layout
                .warnings
                .push(format!("memory region `{}' not declared", name.value));
            Some(self.layout.regions.add_undeclared(&name.value))
        })
    }

    /// A section that does not say where it is loaded follows the one before it in its region
    /// (ld/ldlang.c, `lang_propagate_lma_regions`).
    fn inherit_load_regions(&mut self) {
        let mut before = None;
        for index in 0..self.layout.items.len() {
            let LayoutItem::Section(id) = self.layout.items[index] else {
                continue;
            };
            let (region, load_region) = self.placed_in[id];
            let spec = self.spec(id);
            let says =
                spec.is_some_and(|spec| spec.load_address.is_some() || spec.address.is_some());
            if let Some((last_region, last_load_region)) = before
                && load_region.is_none()
                && !says
                && region == last_region
            {
                self.placed_in[id].1 = last_load_region;
            }
            before = Some(self.placed_in[id]);
        }
    }

    /// `ALIGN(…)` of a section counts from the start (ld/ldlang.c, `init_os`).
    pub(super) fn raise_alignments(&mut self) -> Result<()> {
        for id in self.layout.statements.ids() {
            let (Some(spec), Some(output)) = (self.spec(id), self.layout.statements[id].output)
            else {
                continue;
            };
            if let Some(align) = self.alignment(spec.align.as_ref(), spec.source, 0)? {
                let section = &mut self.layout.outputs.sections[output];
                section.align = section.align.max(align);
            }
        }
        Ok(())
    }
}

/// Applies the types in parentheses to the sections (ld/ldlang.c, `lang_add_section`).
pub(in crate::image) fn apply_section_types(
    program: &Program<'_>,
    assigned: &mut Assigned<'_>,
    sources: &Sources,
    options: &Options,
) -> Result<()> {
    for statement in assigned.statements.iter() {
        let (Some(rule), Some(output)) = (statement.rule, statement.output) else {
            continue;
        };
        let spec = &program.rules.outputs[rule as usize].spec;
        let section = &mut assigned.outputs.sections[output];
        match &spec.section_type {
            None => {}
            Some(SectionType::NoLoad) => {
                section.traits -= Traits::LOAD | Traits::CONTENTS;
                section.section_type = object::elf::SHT_NOBITS.0;
            }
            Some(
                SectionType::Dsect | SectionType::Copy | SectionType::Info | SectionType::Overlay,
            ) => {
                section.traits -= Traits::ALLOC;
                section.never_allocated = true;
                // Data statements alone do not load it either, and then it takes no addresses (ld/ldlang.c,
                // `map_input_to_output_sections`).
                if section.sections().next().is_none() {
                    section.traits -= Traits::LOAD;
                }
            }
            Some(SectionType::ReadOnly) => section.traits |= Traits::READ_ONLY,
            Some(SectionType::Typed { sh_type, read_only }) => {
                if *read_only {
                    section.traits |= Traits::READ_ONLY;
                }
                // A type counts only where a data statement makes the section (ld/ldlang.c,
                // `map_input_to_output_sections`).
                let parts = &program.rules.outputs[rule as usize].parts;
                let is_data = |part: &Part| {
                    matches!(
                        part,
                        Part::Statement {
                            emits_data: true,
                            ..
                        }
                    )
                };
                if section.section_type == object::elf::SHT_NULL.0 && parts.iter().any(is_data) {
                    section.section_type = type_number(sh_type, spec.source, sources)?;
                }
            }
        }
    }
    if let Some(code) = assigned.outputs.by_name(b".text") {
        // ld/ldlang.c, `lang_process`.
        let read_only = options.magic != Magic::Omagic;
        let traits = &mut assigned.outputs.sections[code].traits;
        traits.set(Traits::READ_ONLY, read_only);
    }
    Ok(())
}

fn type_number(expr: &Expr, source: usize, sources: &Sources) -> Result<u32> {
    if let ExprKind::Symbol(name) = &expr.kind
        && let Some(number) = klink_script::section_type_number(name)
    {
        return Ok(number);
    }
    let value = eval::evaluate(expr, &eval::Constants)
        .map_err(|error| script_error(sources, source, error.to_diagnostic()))?;
    Ok(value.value as u32)
}
