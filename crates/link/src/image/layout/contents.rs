//! What stands in an output section: offsets of inputs, statements, fills.

use super::runs::RunStart;
use super::*;

impl<'a> Layouter<'a, '_> {
    /// Gives the section's inputs their offsets and executes its statements. Gives its size.
    pub(super) fn contents(
        &mut self,
        id: StatementId,
        output: OutputId,
        address: u64,
    ) -> Result<u64> {
        let spec = self.spec(id);
        let subalign = match spec {
            Some(spec) => self.alignment(spec.subalign.as_ref(), spec.source, address)?,
            None => None,
        };
        let mut fill = self.rule_fill(id)?;
        let mut end = address;
        let mut size = 0;
        let pieces = std::mem::take(&mut self.layout.outputs.sections[output].pieces);
        let mut at = 0;
        while let Some(piece) = pieces.get(at) {
            let before = end;
            let moved = match *piece {
                Piece::Statement(number) => {
                    self.inner_statement(number, output, address, &mut end, &mut fill)?;
                    at += 1;
                    end != before
                }
                Piece::Section(_) | Piece::Island(_) => {
                    let start = RunStart {
                        output,
                        address,
                        offset: end.wrapping_sub(address),
                        subalign,
                        fill,
                        ignored: self.ignored[output],
                    };
                    let placed = self.place_run(&pieces, at, start)?;
                    end = address.wrapping_add(placed.end);
                    at = placed.next;
                    placed.any
                }
            };
            if moved {
                size = end.wrapping_sub(address);
            }
        }
        self.layout.outputs.sections[output].pieces = pieces;
        Ok(size)
    }

    /// Whether nothing is left of an input section: it then needs no alignment either.
    pub(super) fn is_gone(&self, input: SectionId) -> bool {
        self.layout.merges.is_gone(input)
            || self.layout.unwind.is_gone(input)
            || self.resolved.section(input).flags & object::elf::SHF_EXCLUDE.0 != 0
    }

    /// Size and alignment of an input section in the output.
    pub(super) fn extent(&self, input: SectionId, subalign: Option<u64>) -> (u64, u64) {
        let section: &InputSection<'_> = self.resolved.section(input);
        let merged = self.layout.merges.size(input);
        let edited = merged
            .or_else(|| self.layout.unwind.size(input))
            .or_else(|| self.layout.late_sizes.get(input));
        let size = edited.unwrap_or(section.size);
        (size, subalign.unwrap_or(section.align))
    }

    pub(super) fn gap(
        &mut self,
        output: OutputId,
        address: u64,
        (from, to): (u64, u64),
        fill: Option<FillId>,
    ) {
        if let Some(fill) = fill
            && from < to
        {
            self.layout.gaps.push(Gap {
                output,
                start: from.wrapping_sub(address),
                end: to.wrapping_sub(address),
                fill,
            });
        }
    }

    pub(super) fn inner_statement(
        &mut self,
        number: u32,
        output: OutputId,
        address: u64,
        dot: &mut u64,
        fill: &mut Option<FillId>,
    ) -> Result<()> {
        let program = self.program;
        let statement = &program.statements[number as usize];
        let place = Place::Inside(reference(output));
        match &statement.action {
            Action::Data { size, value } => {
                let number_value = self.value(value, statement.source, Place::Outside, *dot)?;
                let value = number_value.map_or(0, |value| value.address(&self.scope(place, *dot)));
                self.layout.data[number as usize] = Some(DataPlace {
                    offset: dot.wrapping_sub(address),
                    value,
                    size: *size,
                });
                *dot = dot.wrapping_add(size.bytes());
                Ok(())
            }
            Action::Fill(expr) => {
                *fill = Some(self.statement_fill(number, expr, statement.source)?);
                Ok(())
            }
            Action::Assert(assertion) => self.check(statement, assertion, place, *dot),
            Action::Assign { assignment, global } if assignment.target.value != "." => {
                match *global {
                    Some(global) => {
                        self.update_dot[output] = true;
                        self.define(statement, assignment, global, (place, *dot))?;
                        self.tell_symbol(number, global);
                        Ok(())
                    }
                    None => Ok(()),
                }
            }
            Action::Assign { assignment, .. } => {
                let value = self.assigned(statement, assignment, place, *dot)?;
                if self.phase == Phase::Mark && !is_zero_move(assignment, value) {
                    self.layout.outputs.sections[output].keep = true;
                }
                let Some(value) = value else { return Ok(()) };
                if self.ignored[output] {
                    return Ok(());
                }
                let new = value.address(&self.scope(place, *dot));
                self.layout.told[number as usize] = Some(new);
                if new < *dot {
                    return self.backwards(statement.source, assignment.value.span, *dot, new);
                }
                if new != *dot {
                    self.gap(output, address, (*dot, new), *fill);
                    let section = &mut self.layout.outputs.sections[output];
                    if !section.never_allocated {
                        section.traits |= Traits::ALLOC;
                    }
                    *dot = new;
                }
                Ok(())
            }
        }
    }

    pub(super) fn backwards<T>(&self, source: usize, span: Span, from: u64, to: u64) -> Result<T> {
        let diagnostic = Diagnostic::new("cannot move the location counter backwards", span)
            .label(format!("from {from:#x} to {to:#x}"));
        self.error(source, diagnostic)
    }

    pub(super) fn rule_fill(&mut self, id: StatementId) -> Result<Option<FillId>> {
        let Some(rule) = self.layout.statements[id].rule else {
            return Ok(None);
        };
        let spec = &self.program.rules.outputs[rule as usize].spec;
        let Some(expr) = &spec.placement.fill else {
            return Ok(None);
        };
        if let Some(&known) = self.rule_fills.get(&rule) {
            return Ok(Some(known));
        }
        let fill = self.add_fill(expr, spec.source)?;
        self.rule_fills.insert(rule, fill);
        Ok(Some(fill))
    }

    pub(super) fn statement_fill(
        &mut self,
        number: u32,
        expr: &Expr,
        source: usize,
    ) -> Result<FillId> {
        if let Some(&known) = self.layout.statement_fills.get(&number) {
            return Ok(known);
        }
        let fill = self.add_fill(expr, source)?;
        self.layout.statement_fills.insert(number, fill);
        Ok(fill)
    }

    pub(super) fn add_fill(&mut self, expr: &Expr, source: usize) -> Result<FillId> {
        let scope = self.scope(Place::Outside, 0);
        let bytes = eval::fill(expr, &scope)
            .map_err(|error| script_error(self.sources, source, error.to_diagnostic()))?;
        self.layout.fills.push(bytes);
        Ok(FillId(self.layout.fills.len() as u32 - 1))
    }
}

/// Whether an assignment to `.` in an otherwise empty section does not keep it (ld/ldexp.c,
/// `exp_fold_tree_1`): `. = 0`, `. = . + 0` and `. = ALIGN(. != 0 ? x : 1)` while they move nothing.
fn is_zero_move(assignment: &Assignment, value: Option<Value>) -> bool {
    let is_int =
        |expr: &Expr, wanted: u64| matches!(&expr.kind, ExprKind::Int(int) if int.value == wanted);
    let is_dot = |expr: &Expr| matches!(expr.kind, ExprKind::Dot);
    let trivial = match &assignment.value.kind {
        ExprKind::Int(int) => int.value == 0,
        // A symbol whose value is zero.
        ExprKind::Symbol(_) => true,
        ExprKind::Binary(BinaryOp::Add, left, right) => is_dot(left) && is_int(right, 0),
        ExprKind::Call(klink_script::Function::Align, argument) => match &argument.kind {
            ExprKind::Conditional(parts) => {
                is_int(&parts.otherwise, 1)
                    && matches!(&parts.condition.kind, ExprKind::Binary(BinaryOp::Ne, left, right) if is_dot(left) && is_int(right, 0))
            }
            _ => false,
        },
        _ => false,
    };
    trivial && value.is_some_and(|value| value.value == 0)
}
