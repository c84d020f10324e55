//! Executing statements of output sections: they are stepped through while their section is laid
//! out, and numbers are put into the section when all symbols are known.

use klink_arch::{Arch, Endian};
use klink_script::eval::{self, Lookup, Place, Scope, SectionRef, Value};
use klink_script::{DataSize, Diagnostic};

use super::{Action, Program, Sources, script_error};
use crate::error::Result;
use crate::id::{GlobalId, Id, OutputId};
use crate::layout::Layout;
use crate::output::Placements;
use crate::resolve::{Definition, Resolved};

/// A symbol that the script assigned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScriptSymbol {
    pub global: GlobalId,
    /// `None`: absolute.
    pub section: Option<OutputId>,
    pub value: u64,
}

impl ScriptSymbol {
    fn new(global: GlobalId, value: Value) -> Self {
        let section = value.section();
        Self {
            global,
            section: section.map(|section| OutputId::from_index(section.0 as usize)),
            value: value.value,
        }
    }
}

/// What was found out by executing statements.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScriptState {
    /// The symbols, in the order of assignment.
    pub symbols: Vec<ScriptSymbol>,
    /// For each statement that was executed, its output section and offset there.
    pub places: Vec<Option<(OutputId, u64)>>,
}

/// What an expression of a statement sees.
struct StatementScope<'s, 'a> {
    resolved: &'s Resolved<'a>,
    symbols: &'s [ScriptSymbol],
    /// Where input sections are, once the layout is done.
    placements: Option<&'s Placements>,
    place: Place,
    dot: u64,
}

impl Scope for StatementScope<'_, '_> {
    fn place(&self) -> Place {
        self.place
    }

    fn dot(&self) -> Option<u64> {
        Some(self.dot)
    }

    fn symbol(&self, name: &str) -> Lookup<Value> {
        let Some(global) = self.resolved.global(name.as_bytes()) else {
            return Lookup::Missing;
        };
        if let Some(symbol) = self
            .symbols
            .iter()
            .rev()
            .find(|symbol| symbol.global == global)
        {
            return Lookup::Known(match symbol.section {
                Some(section) => Value::in_section(symbol.value, reference(section)),
                None => Value::absolute(symbol.value),
            });
        }
        match (self.resolved.globals[global].definition, self.placements) {
            (Definition::Object { object, symbol, .. }, Some(placements)) => {
                match self.resolved.place_of_symbol(object, symbol) {
                    Some((section, value)) => match placements.output(section) {
                        Some(output) => Lookup::Known(Value::in_section(
                            placements.offset(section).wrapping_add(value),
                            reference(output),
                        )),
                        None => Lookup::Missing,
                    },
                    None => Lookup::Known(Value::absolute(
                        self.resolved.objects[object].symbols[symbol as usize].value,
                    )),
                }
            }
            (Definition::Object { .. } | Definition::Made { .. } | Definition::Script, _) => {
                Lookup::NotYet
            }
            (Definition::Undefined { .. } | Definition::Common { .. }, _) => Lookup::Missing,
        }
    }

    fn is_defined(&self, name: &str) -> bool {
        let defined = |global: GlobalId| {
            !matches!(
                self.resolved.globals[global].definition,
                Definition::Undefined { .. }
            )
        };
        self.resolved.global(name.as_bytes()).is_some_and(defined)
    }
}

fn reference(section: OutputId) -> SectionRef {
    SectionRef(section.index() as u32)
}

impl Program<'_> {
    /// Executes statement `number` at `dot` of `section`, and gives the new `dot`.
    ///
    /// # Errors
    /// Expressions without a value, and moving backwards.
    pub(crate) fn step(
        &self,
        sources: &Sources,
        resolved: &Resolved<'_>,
        state: &mut ScriptState,
        number: u32,
        section: OutputId,
        dot: u64,
    ) -> Result<u64> {
        state.places.resize(self.statements.len(), None);
        state.places[number as usize] = Some((section, dot));
        let statement = &self.statements[number as usize];
        let assignment = match &statement.action {
            Action::Data { size, .. } => {
                return dot.checked_add(size.bytes()).ok_or_else(|| {
                    let diagnostic = Diagnostic::new(
                        "no address is left behind the location counter",
                        statement.span,
                    )
                    .label(format!("it is {dot:#x}"));
                    script_error(sources, statement.source, diagnostic)
                });
            }
            Action::Assign { assignment, .. } => assignment,
            // The compiler refuses them for relocatable output.
            Action::Fill(_) | Action::Assert(_) => return Ok(dot),
        };
        let scope = StatementScope {
            resolved,
            symbols: &state.symbols,
            placements: None,
            place: Place::Inside(reference(section)),
            dot,
        };
        let value = eval::evaluate_assignment(assignment, &scope)
            .map_err(|error| self.expression_error(sources, statement.source, error))?;
        match &statement.action {
            Action::Assign {
                global: Some(global),
                ..
            } => {
                state.symbols.push(ScriptSymbol::new(*global, value));
                Ok(dot)
            }
            _ if assignment.target.value != "." => Ok(dot),
            _ if value.value >= dot => Ok(value.value),
            _ => {
                let diagnostic =
                    Diagnostic::new("the location counter cannot move backwards", statement.span)
                        .label(format!("from {dot:#x} to {:#x}", value.value));
                Err(script_error(sources, statement.source, diagnostic))
            }
        }
    }

    /// Executes the assignments of relocatable output that stand outside of its sections, where these
    /// are laid out.
    ///
    /// # Errors
    /// Expressions without a value.
    pub(crate) fn assign_outside(
        &self,
        sources: &Sources,
        resolved: &Resolved<'_>,
        placements: &Placements,
        state: &mut ScriptState,
    ) -> Result<()> {
        for &number in &self.outside {
            let statement = &self.statements[number as usize];
            let Action::Assign {
                assignment,
                global: Some(global),
            } = &statement.action
            else {
                continue;
            };
            let scope = StatementScope {
                resolved,
                symbols: &state.symbols,
                placements: Some(placements),
                place: Place::Outside,
                dot: 0,
            };
            let value = eval::evaluate_assignment(assignment, &scope)
                .map_err(|error| self.expression_error(sources, statement.source, error))?;
            state.symbols.push(ScriptSymbol::new(*global, value));
        }
        Ok(())
    }

    fn expression_error(
        &self,
        sources: &Sources,
        source: usize,
        error: klink_script::ScriptError,
    ) -> crate::error::LinkError {
        super::script_error(sources, source, error.to_diagnostic())
    }

    /// The bytes of every statement that puts a number into a section, by number.
    ///
    /// # Errors
    /// Expressions without a value.
    pub(crate) fn statement_bytes(
        &self,
        sources: &Sources,
        resolved: &Resolved<'_>,
        layout: &Layout<'_>,
        arch: &Arch,
    ) -> Result<Vec<Vec<u8>>> {
        let bytes_of = |(number, place): (usize, &Option<(OutputId, u64)>)| {
            let statement = &self.statements[number];
            let (Action::Data { size, value }, &Some((section, dot))) = (&statement.action, place)
            else {
                return Ok(Vec::new());
            };
            let scope = StatementScope {
                resolved,
                symbols: &layout.script.symbols,
                placements: Some(&layout.placements),
                place: Place::Inside(reference(section)),
                dot,
            };
            let value = eval::evaluate_address(value, &scope)
                .map_err(|error| self.expression_error(sources, statement.source, error))?;
            Ok(encode(value, *size, arch.endian))
        };
        layout
            .script
            .places
            .iter()
            .enumerate()
            .map(bytes_of)
            .collect()
    }
}

/// The low bytes of `value` in the output's byte order.
pub(crate) fn encode(value: u64, size: DataSize, endian: Endian) -> Vec<u8> {
    let size = size.bytes() as usize;
    match endian {
        Endian::Little => value.to_le_bytes()[..size].to_vec(),
        Endian::Big => value.to_be_bytes()[8 - size..].to_vec(),
    }
}
