//! What is known of regions, alignments and types before the first pass.

use super::*;

impl<'a> Layouter<'a, '_> {
    pub(super) fn add_regions(&mut self) -> Result<()> {
        let sources = self.sources;
        for located in sources.memory() {
            let (source, region) = (located.source, located.value);
            let origin = self.constant(&region.origin, source)?;
            let length = self.constant(&region.length, source)?;
            self.regions.add(region, origin, length);
        }
        for (source, alias, region) in sources.region_aliases() {
            if !self.regions.alias(&alias.value, &region.value) {
                return self.unknown_region(source, region);
            }
        }
        Ok(())
    }

    pub(super) fn unknown_region<T>(&self, source: usize, name: &klink_script::Name) -> Result<T> {
        let diagnostic = Diagnostic::new(
            format!("memory region `{}' is not declared", name.value),
            name.span,
        );
        self.error(source, diagnostic.help("MEMORY declares regions"))
    }

    pub(super) fn place_in_regions(&mut self) -> Result<()> {
        for id in self.statements.ids() {
            let Some(spec) = self.spec(id) else { continue };
            let mut find = [None; 2];
            let names = [&spec.placement.region, &spec.placement.load_region];
            for (found, name) in find.iter_mut().zip(names) {
                if let Some(name) = name {
                    *found = match self.regions.find(&name.value) {
                        Some(region) => Some(region),
                        None => return self.unknown_region(spec.source, name),
                    };
                }
            }
            self.placed_in[id] = (find[0], find[1]);
        }
        // An orphan goes where the section does that it follows.
        for id in self.statements.ids() {
            let mut from = id;
            while let (None, Some(after)) =
                (self.statements[from].rule, self.statements[from].after)
            {
                from = after;
            }
            self.placed_in[id] = self.placed_in[from];
        }
        Ok(())
    }

    /// `ALIGN(…)` of a section counts from the start (ld/ldlang.c, `init_os`).
    pub(super) fn raise_alignments(&mut self) -> Result<()> {
        for id in self.statements.ids() {
            let (Some(spec), Some(output)) = (self.spec(id), self.statements[id].output) else {
                continue;
            };
            if let Some(align) = self.alignment(spec.align.as_ref(), spec.source, 0)? {
                let section = &mut self.outputs.sections[output];
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
            }
            Some(SectionType::ReadOnly) => section.traits |= Traits::READ_ONLY,
            Some(SectionType::Typed { sh_type, read_only }) => {
                if *read_only {
                    section.traits |= Traits::READ_ONLY;
                }
                section.section_type = type_number(sh_type, spec.source, sources)?;
            }
        }
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
        .map_err(|error| LinkError::Script(error.render(sources.source(source), false)))?;
    Ok(value.value as u32)
}
