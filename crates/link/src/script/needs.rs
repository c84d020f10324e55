//! Which symbols scripts need: what their expressions name must have a value, so that PROVIDE gives
//! it and archives are searched for it.

use klink_script::{
    AssignKind, Assignment, Command, Expr, OutputSection, SectionItem, Spanned, Statement,
};

use super::Sources;
use crate::input::Storage;
use crate::resolve::{Definition, Resolved};

/// Something that is evaluated.
enum Evaluated<'s> {
    Expr(&'s Expr),
    Assignment(&'s Assignment),
}

/// Whether it only defines what is needed and nothing else defines.
pub(super) fn is_provide(assignment: &Assignment) -> bool {
    matches!(
        assignment.kind,
        AssignKind::Provide | AssignKind::ProvideHidden
    )
}

/// The symbols that the scripts assign whatever objects say.
pub(crate) fn assigned_names(sources: &Sources) -> impl Iterator<Item = &str> {
    let assignments = evaluated(sources).filter_map(|what| match what {
        Evaluated::Assignment(assignment) if !is_provide(assignment) => Some(assignment),
        _ => None,
    });
    let names = assignments.map(|assignment| assignment.target.value.as_str());
    names.filter(|&name| name != ".")
}

/// Makes every symbol that the scripts' expressions name one that the link needs, so that PROVIDE
/// gives it (ld/ldexp.c, `fold_name`, which adds such names to the undefined symbols). The expression
/// of a PROVIDE counts only if its symbol is needed in turn (`exp_fold_tree_1`).
pub(super) fn mention_symbols<'a>(
    sources: &Sources,
    storage: &'a Storage,
    resolved: &mut Resolved<'a>,
) {
    let mut provides = Vec::new();
    for what in evaluated(sources) {
        match what {
            Evaluated::Expr(expr) => mention(expr, storage, resolved),
            Evaluated::Assignment(assignment) if is_provide(assignment) => {
                provides.push(assignment);
            }
            Evaluated::Assignment(assignment) => mention(&assignment.value, storage, resolved),
        }
    }
    loop {
        let left = provides.len();
        provides.retain(|assignment| {
            let is_wanted = is_wanted(assignment, resolved);
            if is_wanted {
                mention(&assignment.value, storage, resolved);
            }
            !is_wanted
        });
        if provides.len() == left {
            return;
        }
    }
}

/// The assignments of scripts as archives see them: what the scripts in front of an archive assign,
/// it need not define, and what their expressions name, it should (ld/ldlang.c, `open_input_bfds`,
/// which evaluates them among the inputs).
pub(crate) struct FirstPass<'s> {
    /// What is left, the last first, with how many inputs of the command line stand in front of it.
    left: Vec<(usize, Evaluated<'s>)>,
}

impl<'s> FirstPass<'s> {
    /// Of all scripts that options name.
    pub(crate) fn new(sources: &'s Sources) -> Self {
        let mut left: Vec<_> = evaluated_at(sources)
            .into_iter()
            .filter_map(|(source, what)| Some((sources.position(source)?, what)))
            .filter(|(_, what)| matches!(what, Evaluated::Assignment(_)))
            .collect();
        left.reverse();
        Self { left }
    }

    /// Goes through what stands in front of input `number` of the command line.
    pub(crate) fn advance<'a>(
        &mut self,
        number: usize,
        storage: &'a Storage,
        resolved: &mut Resolved<'a>,
    ) {
        while let Some((position, what)) = self.left.pop() {
            if position > number {
                self.left.push((position, what));
                return;
            }
            let Evaluated::Assignment(assignment) = what else {
                continue;
            };
            let name = assignment.target.value.as_bytes();
            if is_provide(assignment) && !is_wanted(assignment, resolved) {
                continue;
            }
            mention(&assignment.value, storage, resolved);
            if name != b"." {
                let name = storage.names.alloc(name.to_vec());
                resolved.assigned_early.insert(name);
            }
        }
    }
}

/// Whether something needs the symbol and no object defines it.
fn is_wanted(assignment: &Assignment, resolved: &Resolved<'_>) -> bool {
    let global = resolved.global(assignment.target.value.as_bytes());
    global.is_some_and(|id| {
        let definition = resolved.globals[id].definition;
        matches!(definition, Definition::Undefined { .. })
    })
}

fn mention<'a>(expr: &Expr, storage: &'a Storage, resolved: &mut Resolved<'a>) {
    for name in expr.symbols() {
        let name = name.as_bytes();
        if resolved.global(name).is_none() && !resolved.assigned_early.contains(name) {
            let id = resolved.need(storage.names.alloc(name.to_vec()));
            resolved.globals[id].script_only = true;
        }
    }
}

/// All that is evaluated, in the order in which it stands.
fn evaluated(sources: &Sources) -> impl Iterator<Item = Evaluated<'_>> {
    evaluated_at(sources).into_iter().map(|(_, what)| what)
}

/// All that is evaluated, with the number of its script.
fn evaluated_at(sources: &Sources) -> Vec<(usize, Evaluated<'_>)> {
    let mut found = Vec::new();
    for region in sources.memory() {
        let numbers = [&region.value.origin, &region.value.length];
        found.extend(numbers.map(|expr| (region.source, Evaluated::Expr(expr))));
    }
    for command in sources.commands() {
        let mut of_command = Vec::new();
        match command.value {
            Command::Assign(assignment) => of_command.push(Evaluated::Assignment(assignment)),
            Command::Assert(assertion) => of_command.push(Evaluated::Expr(&assertion.condition)),
            Command::Sections(items) => {
                for item in items {
                    add_item(sources, command.source, item, &mut of_command);
                }
            }
            _ => {}
        }
        found.extend(of_command.into_iter().map(|what| (command.source, what)));
    }
    found
}

fn add_item<'s>(
    sources: &'s Sources,
    source: usize,
    item: &'s Spanned<SectionItem>,
    found: &mut Vec<Evaluated<'s>>,
) {
    match &item.value {
        SectionItem::Assign(assignment) => found.push(Evaluated::Assignment(assignment)),
        SectionItem::Assert(assertion) => found.push(Evaluated::Expr(&assertion.condition)),
        SectionItem::Output(output) => add_output(sources, source, output, found),
        // The loader has taken them apart.
        SectionItem::Overlay(_) | SectionItem::Group(_) => {}
        SectionItem::Entry(_) | SectionItem::Include(_) => {}
    }
}

fn add_output<'s>(
    sources: &'s Sources,
    source: usize,
    output: &'s OutputSection,
    found: &mut Vec<Evaluated<'s>>,
) {
    let about = [
        &output.address,
        &output.load_address,
        &output.align,
        &output.subalign,
    ];
    found.extend(about.into_iter().flatten().map(Evaluated::Expr));
    for (_, statement) in sources.statements(source, &output.statements) {
        match &statement.value {
            Statement::Assign(assignment) => found.push(Evaluated::Assignment(assignment)),
            Statement::Assert(assertion) => found.push(Evaluated::Expr(&assertion.condition)),
            Statement::Data { value, .. } => found.push(Evaluated::Expr(value)),
            _ => {}
        }
    }
}
