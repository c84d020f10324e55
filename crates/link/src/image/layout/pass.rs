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
                        self.layout.told[number as usize] = Some(*dot);
                        self.layout.regions.get_mut(DEFAULT).current = *dot;
                    }
                } else if let Some(global) = *global {
                    self.define(statement, assignment, global, (Place::Outside, *dot))?;
                    self.tie_to_section(global, index);
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
        let symbol = self.layout.symbols.get(&global);
        let value = symbol.map(|symbol| symbol.value.address(&self.scope(Place::Outside, 0)));
        self.layout.told[number as usize] = value;
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
        (place, dot): (Place, u64),
    ) -> Result<()> {
        let mut scope = self.scope(place, dot);
        scope.assigned = Some(global);
        let value = eval::define(assignment, &scope);
        let copy_of = scope.named.get().only();
        // The other passes would count its value again and again.
        let is_too_early = scope.uses_itself.get() && self.phase != Phase::Final;
        let Some(definition) = self.known(statement.source, value)? else {
            return Ok(());
        };
        if is_too_early {
            return Ok(());
        }
        let pass = self.pass;
        self.layout.symbols.insert(
            global,
            ScriptSymbol {
                value: definition.value,
                follows_dot: definition.follows_dot,
                near: None,
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

    /// Ties a symbol to the section near which the last pass assigned it.
    fn tie_to_section(&mut self, global: GlobalId, index: usize) {
        let symbols = &self.layout.symbols;
        let follows_dot = symbols.get(&global).is_some_and(|symbol| {
            let is_new = symbol.pass == self.pass;
            is_new && symbol.follows_dot && symbol.value.base == Base::Absolute
        });
        if self.phase.is_settled() && follows_dot {
            let near = self.section_for_dot(index);
            if let Some(symbol) = self.layout.symbols.get_mut(&global) {
                symbol.near = near;
            }
        }
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
            let failure = script_error(self.sources, statement.source, diagnostic);
            self.failures.push(failure);
        }
        Ok(())
    }

    /// The section that a symbol belongs to which is assigned an address outside of sections
    /// (ld/ldlang.c, `section_for_dot`): the one before, or, where `.` was assigned since, the next.
    pub(super) fn section_for_dot(&self, index: usize) -> Option<OutputId> {
        let fits = |id: &OutputId| {
            let traits = self.layout.outputs.sections[*id].traits;
            traits.contains(Traits::ALLOC) && !traits.contains(Traits::THREAD_LOCAL)
        };
        let order = &self.layout.outputs.order;
        let back_from = |id: OutputId| {
            let at = order.iter().position(|&other| other == id)?;
            order[..=at].iter().rev().copied().find(fits)
        };
        if self.current_section.is_none() || self.prefer_next {
            let mut next =
                self.layout.items[index..]
                    .iter()
                    .enumerate()
                    .filter_map(|(at, item)| match item {
                        LayoutItem::Section(id) => {
                            Some((index + at, self.layout.statements[*id].output))
                        }
                        LayoutItem::Statement(_) => None,
                    });
            let next = next.find(|&(at, output)| {
                self.after_end[at]
                    || output.is_some_and(|output| !self.layout.outputs.sections[output].removed)
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
        let before = self.layout.outputs.position_near(current);
        order[..before]
            .iter()
            .rev()
            .copied()
            .find(fits)
            .or_else(|| order.iter().copied().find(fits))
    }

    pub(super) fn section(&mut self, id: StatementId, dot: &mut u64) -> Result<()> {
        let given = self.given_address(id, *dot)?;
        if self.phase.is_settled() {
            return self.settled_section(id, dot);
        }
        *dot = given.unwrap_or(*dot);
        let Some(output) = self.layout.statements[id].output else {
            return Ok(());
        };
        let spec = self.spec(id);
        // A second statement for the same section has nothing to add.
        if std::mem::replace(&mut self.seen[output], self.pass) == self.pass {
            return Ok(());
        }
        let (region, load_region) = (self.region_of(id, output), self.placed_in[id].1);
        let own_align = match spec {
            Some(spec) => self.alignment(spec.align.as_ref(), spec.source, *dot)?,
            None => None,
        };
        let (start, align) = match self.has_address(id, output) {
            true => (*dot, own_align.unwrap_or(1)),
            false => (
                self.layout.regions.get(region).current,
                self.layout.outputs.sections[output].align,
            ),
        };
        let address = eval::align_up(start, align);
        let moved = address.wrapping_sub(start);
        self.layout.outputs.sections[output].address = address;
        let size = self.contents(id, output, address)?;
        self.processed[output] = true;
        if !self.ignored[output] {
            *dot = address;
            self.layout.outputs.sections[output].size = size;
        }
        self.load_address(id, output, (region, load_region), (moved, own_align, align))?;
        if self.ignored[output] {
            return Ok(());
        }
        *dot = dot.wrapping_add(self.layout.outputs.sections[output].memory_size());
        self.leave_overlay(id, dot)?;
        let section = &self.layout.outputs.sections[output];
        if section.traits.intersects(Traits::ALLOC | Traits::LOAD) {
            self.layout.regions.get_mut(region).current = *dot;
            if let Some(load_region) = load_region
                && load_region != region
                && (section.traits.contains(Traits::LOAD)
                    || spec.is_some_and(|spec| spec.align_with_input))
            {
                self.layout.regions.get_mut(load_region).current =
                    section.load_address.wrapping_add(section.memory_size());
            }
        }
        Ok(())
    }

    /// The last pass over a section, which stays where it is. What is not in the output does not
    /// move the location counter (ld/ldlang.c, `lang_do_assignments_1`).
    fn settled_section(&mut self, id: StatementId, dot: &mut u64) -> Result<()> {
        let Some(output) = self.layout.statements[id].output else {
            return Ok(());
        };
        if std::mem::replace(&mut self.seen[output], self.pass) == self.pass {
            return Ok(());
        }
        let section = &self.layout.outputs.sections[output];
        let (address, end) = (
            section.address,
            section.address.wrapping_add(section.memory_size()),
        );
        if !self.ignored[output] && section.traits.contains(Traits::ALLOC) {
            self.current_section = Some(output);
            self.prefer_next = false;
        }
        if let Some(spec) = self.spec(id)
            && let Some(expr) = &spec.load_address
        {
            // Only an error is of interest.
            self.address(expr, spec.source, address)?;
        }
        self.contents(id, output, address)?;
        if !self.ignored[output] {
            *dot = end;
            self.leave_overlay(id, dot)?;
        }
        Ok(())
    }

    /// Behind the last section of an overlay `.` is behind the largest, for its region too
    /// (ld/ldlang.c, `lang_leave_overlay`).
    fn leave_overlay(&self, id: StatementId, dot: &mut u64) -> Result<()> {
        if let Some(spec) = self.spec(id)
            && let Some(end) = spec.overlay.as_ref().and_then(|part| part.end.as_ref())
            && let Some(end) = self.address(end, spec.source, *dot)?
        {
            *dot = end;
        }
        Ok(())
    }

    /// The address that the command line, the script or its kind gives a section.
    fn given_address(&self, id: StatementId, dot: u64) -> Result<Option<u64>> {
        let statement = &self.layout.statements[id];
        if let Some(output) = statement.output {
            if let Some(address) = self.option_address(output) {
                return Ok(Some(address));
            }
            if self.is_unplaced_orphan(id, output) {
                return Ok(Some(0));
            }
        }
        match self.spec(id) {
            Some(OutputSpec {
                address: Some(address),
                source,
                ..
            }) => self.address(address, *source, dot),
            _ => Ok(None),
        }
    }

    fn option_address(&self, output: OutputId) -> Option<u64> {
        let name = String::from_utf8_lossy(self.layout.outputs.sections[output].name);
        self.options.section_start(&name)
    }

    /// Orphans without room in memory have address 0 (ld/ldlang.c, `lang_insert_orphan`).
    fn is_unplaced_orphan(&self, id: StatementId, output: OutputId) -> bool {
        let traits = self.layout.outputs.sections[output].traits;
        self.spec(id).is_none() && !traits.intersects(Traits::ALLOC | Traits::LOAD)
    }

    /// Whether a section has an address of its own, and not the next of its region.
    pub(super) fn has_address(&self, id: StatementId, output: OutputId) -> bool {
        self.spec(id).is_some_and(|spec| spec.address.is_some())
            || self.option_address(output).is_some()
            || self.is_unplaced_orphan(id, output)
    }

    /// The region that a section is in.
    pub(super) fn region_of(&self, id: StatementId, output: OutputId) -> RegionId {
        let traits = self.layout.outputs.sections[output].traits;
        self.placed_in[id]
            .0
            .unwrap_or_else(|| match self.has_address(id, output) {
                true => DEFAULT,
                false => self.layout.regions.default_for(traits),
            })
    }

    /// The first thread-local section is aligned as the one that is aligned most (bfd/elflink.c,
    /// `_bfd_elf_tls_setup`), so that their segment begins so.
    pub(super) fn align_thread_local(&mut self) {
        let sections = &mut self.layout.outputs.sections;
        let is_thread_local = |id: &&OutputId| sections[**id].traits.contains(Traits::THREAD_LOCAL);
        let all: Vec<OutputId> = self
            .layout
            .outputs
            .order
            .iter()
            .filter(is_thread_local)
            .copied()
            .collect();
        let most = all.iter().map(|&id| sections[id].align).max();
        if let (Some(&first), Some(most)) = (all.first(), most) {
            sections[first].align = most;
        }
    }

    /// Sections that came out empty are not in the output (ld/ldlang.c,
    /// `strip_excluded_output_sections`).
    pub(super) fn remove_empty_sections(&mut self) {
        let keeps_inputs = self.options.emit_relocations;
        let mut removed = IdVec::filled(false, self.layout.outputs.sections.len());
        let mut ends_overlay = IdVec::filled(false, self.layout.outputs.sections.len());
        for id in self.layout.statements.ids() {
            let part = self.spec(id).and_then(|spec| spec.overlay.as_ref());
            let ends = part.is_some_and(|part| part.end.is_some());
            if let Some(output) = self.layout.statements[id].output.filter(|_| ends) {
                ends_overlay[output] = true;
            }
        }
        for (id, section) in self.layout.outputs.sections.iter_ids() {
            let has_input = section
                .sections()
                .any(|input| keeps_inputs && !self.is_gone(input));
            if section.size == 0 && !section.keep && !has_input {
                removed[id] = true;
                self.ignored[id] = !self.update_dot[id] && !ends_overlay[id];
            }
        }
        let mut kept = Vec::with_capacity(self.layout.outputs.order.len());
        for &id in &self.layout.outputs.order {
            let section = &mut self.layout.outputs.sections[id];
            section.removed = removed[id];
            section.kept_before = kept.len();
            if !section.removed {
                kept.push(id);
            }
        }
        self.layout.outputs.order = kept;
    }
}

/// For each item, whether a symbol called `end` but for leading underscores is assigned before it:
/// behind it, symbols belong to the section in front.
pub(super) fn after_end(
    program: &Program<'_>,
    statements: &IdVec<StatementId, OutputStatement>,
    items: &[LayoutItem],
) -> Vec<bool> {
    let is_end = |number: u32| match &program.statements[number as usize].action {
        Action::Assign { assignment, .. } => {
            assignment.target.value.trim_start_matches('_') == "end"
        }
        _ => false,
    };
    let mut found = false;
    let mut after = Vec::with_capacity(items.len());
    for item in items {
        after.push(found);
        match *item {
            LayoutItem::Statement(number) => found |= is_end(number),
            LayoutItem::Section(id) => {
                let rule = statements[id].rule;
                let parts =
                    rule.map_or(&[][..], |rule| &program.rules.outputs[rule as usize].parts);
                found |= parts
                    .iter()
                    .any(|part| matches!(part, Part::Statement { number, .. } if is_end(*number)));
            }
        }
    }
    after
}
