//! A pass: statements outside of output sections, and where each section begins.

use super::*;

impl<'a> Layouter<'a, '_> {
    pub(super) fn outer_statement(
        &mut self,
        index: usize,
        number: u32,
        dot: &mut u64,
    ) -> Result<()> {
        let program = self.program;
        let statement = &program.statements[number as usize];
        match &statement.action {
            Action::Assign { assignment, global } => {
                if assignment.target.value == "." {
                    self.prefer_next = true;
                    let value = self.assigned(statement, assignment, Place::Outside, *dot)?;
                    if let Some(value) = value {
                        *dot = value.address(&self.scope(Place::Outside, *dot));
                        self.told[number as usize] = Some(*dot);
                        self.regions.get_mut(DEFAULT).current = *dot;
                    }
                } else if let Some(global) = *global {
                    let near = match self.phase {
                        Phase::Final if assignment.value.depends_on_place() => {
                            self.section_for_dot(index)
                        }
                        _ => None,
                    };
                    self.define(statement, assignment, global, Place::Outside, *dot, near)?;
                    self.tell_symbol(number, global);
                }
                Ok(())
            }
            Action::Assert(assertion) => self.check(statement, assertion, Place::Outside, *dot),
            Action::Data { .. } | Action::Fill(_) => Ok(()),
        }
    }

    /// Notes what a statement gave a symbol.
    pub(super) fn tell_symbol(&mut self, number: u32, global: GlobalId) {
        let symbol = self.symbols.get(&global);
        let value = symbol.map(|symbol| symbol.value.address(&self.scope(Place::Outside, 0)));
        self.told[number as usize] = value;
    }

    pub(super) fn assigned(
        &self,
        statement: &ScriptStatement,
        assignment: &Assignment,
        place: Place,
        dot: u64,
    ) -> Result<Option<Value>> {
        let scope = self.scope(place, dot);
        self.known(
            statement.source,
            eval::evaluate_assignment(assignment, &scope),
        )
    }

    pub(super) fn define(
        &mut self,
        statement: &ScriptStatement,
        assignment: &Assignment,
        global: GlobalId,
        place: Place,
        dot: u64,
        near: Option<OutputId>,
    ) -> Result<()> {
        let Some(value) = self.assigned(statement, assignment, place, dot)? else {
            return Ok(());
        };
        let copy_of = match (&assignment.value.kind, assignment.op) {
            (ExprKind::Symbol(name), AssignOp::Set) => self.resolved.global(name.as_bytes()),
            _ => None,
        };
        let near = near.filter(|_| value.base == Base::Absolute);
        let pass = self.pass;
        self.symbols.insert(
            global,
            ScriptSymbol {
                value,
                near,
                pass,
                copy_of,
                hidden: matches!(
                    assignment.kind,
                    AssignKind::Hidden | AssignKind::ProvideHidden
                ),
            },
        );
        Ok(())
    }

    pub(super) fn check(
        &mut self,
        statement: &ScriptStatement,
        assertion: &klink_script::Assertion,
        place: Place,
        dot: u64,
    ) -> Result<()> {
        let value = self.value(&assertion.condition, statement.source, place, dot)?;
        let fails = value.is_some_and(|value| value.value == 0);
        if fails && self.phase == Phase::Final {
            let diagnostic = Diagnostic::new(
                format!("assertion failed: {}", assertion.message.value),
                assertion.condition.span,
            );
            return self.error(statement.source, diagnostic);
        }
        Ok(())
    }

    /// The section that a symbol belongs to which is assigned an address outside of sections
    /// (ld/ldlang.c, `section_for_dot`): the one before, or, where `.` was assigned since, the next.
    pub(super) fn section_for_dot(&self, index: usize) -> Option<OutputId> {
        let fits = |id: &OutputId| {
            let traits = self.outputs.sections[*id].traits;
            traits.contains(Traits::ALLOC) && !traits.contains(Traits::THREAD_LOCAL)
        };
        let order = &self.outputs.order;
        let back_from = |id: OutputId| {
            let at = order.iter().position(|&other| other == id)?;
            order[..=at].iter().rev().copied().find(fits)
        };
        if self.current_section.is_none() || self.prefer_next {
            let mut next =
                self.items[index..]
                    .iter()
                    .enumerate()
                    .filter_map(|(at, item)| match item {
                        LayoutItem::Section(id) => Some((index + at, self.statements[*id].output)),
                        LayoutItem::Statement(_) => None,
                    });
            let next = next.find(|&(at, output)| {
                self.after_end[at]
                    || output.is_some_and(|output| !self.outputs.sections[output].removed)
            });
            let is_after_end = next.is_some_and(|(at, _)| self.after_end[at]);
            if self.current_section.is_none() || !is_after_end {
                return match next.and_then(|(_, output)| output) {
                    Some(output) => back_from(output),
                    None => order.iter().rev().copied().find(fits),
                };
            }
        }
        let current = self.current_section?;
        let before = self.outputs.position_near(current);
        order[..before]
            .iter()
            .rev()
            .copied()
            .find(fits)
            .or_else(|| order.iter().copied().find(fits))
    }

    pub(super) fn section(&mut self, id: StatementId, dot: &mut u64) -> Result<()> {
        let statement = self.statements[id];
        let spec = self.spec(id);
        let mut has_address = false;
        // The last pass goes on behind what is there only (ld/ldlang.c, `lang_do_assignments_1`).
        let is_there = statement.output.is_some_and(|output| !self.ignored[output]);
        if let Some(spec) = spec
            && let Some(address) = &spec.address
            && (is_there || self.phase != Phase::Final)
        {
            has_address = true;
            match self.address(address, spec.source, *dot)? {
                Some(address) => *dot = address,
                None if self.phase == Phase::Mark => {}
                None => {
                    // A later pass knows it, or the last one tells why not.
                }
            }
        }
        let Some(output) = statement.output else {
            return Ok(());
        };
        if !has_address
            && let Some(address) = self
                .options
                .section_start(&String::from_utf8_lossy(self.outputs.sections[output].name))
        {
            has_address = true;
            *dot = address;
        }
        if spec.is_none()
            && !self.outputs.sections[output]
                .traits
                .intersects(Traits::ALLOC | Traits::LOAD)
        {
            // Orphans without room in memory have address 0 (ld/ldlang.c, `lang_insert_orphan`).
            has_address = true;
            *dot = 0;
        }
        // A second statement for the same section has nothing to add.
        if std::mem::replace(&mut self.seen[output], self.pass) == self.pass {
            return Ok(());
        }
        if self.phase == Phase::Final
            && !self.ignored[output]
            && self.outputs.sections[output].traits.contains(Traits::ALLOC)
        {
            self.current_section = Some(output);
            self.prefer_next = false;
        }
        let (region, load_region) = self.placed_in[id];
        let traits = self.outputs.sections[output].traits;
        let region = region.unwrap_or_else(|| match has_address {
            true => DEFAULT,
            false => self.regions.default_for(traits),
        });
        let own_align = match spec {
            Some(spec) => self.alignment(spec.align.as_ref(), spec.source, *dot)?,
            None => None,
        };
        let (start, align) = match has_address {
            true => (*dot, own_align.unwrap_or(1)),
            false => (
                self.regions.get(region).current,
                self.outputs.sections[output].align,
            ),
        };
        let address = eval::align_up(start, align);
        let moved = address.wrapping_sub(start);
        self.outputs.sections[output].address = address;
        let size = self.contents(id, output, address)?;
        self.processed[output] = true;
        if !self.ignored[output] {
            *dot = address;
            self.outputs.sections[output].size = size;
        }
        self.load_address(id, output, (region, load_region), (moved, own_align, align))?;
        if self.ignored[output] {
            return Ok(());
        }
        let section = &self.outputs.sections[output];
        *dot = dot.wrapping_add(section.memory_size());
        if section.traits.intersects(Traits::ALLOC | Traits::LOAD) {
            self.regions.get_mut(region).current = *dot;
            if let Some(load_region) = load_region
                && load_region != region
                && (section.traits.contains(Traits::LOAD)
                    || spec.is_some_and(|spec| spec.align_with_input))
            {
                self.regions.get_mut(load_region).current =
                    section.load_address.wrapping_add(section.memory_size());
            }
        }
        Ok(())
    }

    /// Sections that came out empty are not in the output (ld/ldlang.c,
    /// `strip_excluded_output_sections`).
    pub(super) fn remove_empty_sections(&mut self) {
        let keeps_inputs = self.options.emit_relocations;
        let mut removed = IdVec::filled(false, self.outputs.sections.len());
        for (id, section) in self.outputs.sections.iter_ids() {
            let has_input = section
                .sections()
                .any(|input| keeps_inputs && !self.is_gone(input));
            if section.size == 0 && !section.keep && !has_input {
                removed[id] = true;
                self.ignored[id] = !self.update_dot[id];
            }
        }
        let mut kept = Vec::with_capacity(self.outputs.order.len());
        for &id in &self.outputs.order {
            let section = &mut self.outputs.sections[id];
            section.removed = removed[id];
            section.kept_before = kept.len();
            if !section.removed {
                kept.push(id);
            }
        }
        self.outputs.order = kept;
    }
}

/// For each item, whether a symbol called `end` but for leading underscores is assigned before it:
/// behind it, symbols belong to the section in front.
pub(super) fn after_end(program: &Program<'_>, items: &[LayoutItem]) -> Vec<bool> {
    let mut found = false;
    let mut after = Vec::with_capacity(items.len());
    for item in items {
        after.push(found);
        if let LayoutItem::Statement(number) = item
            && let Action::Assign { assignment, .. } = &program.statements[*number as usize].action
        {
            found |= assignment.target.value.trim_start_matches('_') == "end";
        }
    }
    after
}
