//! Going through expressions and assignments wherever they stand.

use crate::ast::{Assignment, Command, OutputSection, Script, SectionItem, Statement};
use crate::expr::{Expr, ExprKind, NameFunction};
use crate::source::Spanned;

impl Expr {
    /// Calls `visit` for the expression and for every part of it, whatever a condition says.
    pub fn walk<'e>(&'e self, visit: &mut dyn FnMut(&'e Expr)) {
        // A chain of operators may be long, so that recursion would go deep.
        let mut pending = vec![self];
        while let Some(expr) = pending.pop() {
            visit(expr);
            match &expr.kind {
                ExprKind::Unary(_, operand)
                | ExprKind::Call(_, operand)
                | ExprKind::SegmentStart(_, operand)
                | ExprKind::Assert(operand, _) => pending.push(operand),
                ExprKind::Binary(_, first, second) | ExprKind::Call2(_, first, second) => {
                    pending.extend([&**second, &**first]);
                }
                ExprKind::Conditional(parts) => {
                    pending.extend([&parts.otherwise, &parts.then, &parts.condition]);
                }
                ExprKind::Int(_)
                | ExprKind::Dot
                | ExprKind::Symbol(_)
                | ExprKind::NameCall(..)
                | ExprKind::SizeofHeaders => {}
            }
        }
    }

    /// The symbols that it names, except inside `DEFINED`.
    pub fn symbols(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.walk(&mut |expr| {
            if let ExprKind::Symbol(name) = &expr.kind {
                names.push(name.as_str());
            }
        });
        names
    }

    /// The output sections that it asks for addresses of, by `ADDR` and `LOADADDR`.
    pub fn placed_sections(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.walk(&mut |expr| {
            if let ExprKind::NameCall(NameFunction::Addr | NameFunction::LoadAddr, name) =
                &expr.kind
            {
                names.push(name.value.as_str());
            }
        });
        names
    }
}

impl Script {
    /// Every assignment of the script, in order.
    pub fn assignments(&self) -> Vec<&Assignment> {
        let mut found = Vec::new();
        for command in &self.commands {
            match &command.value {
                Command::Assign(assignment) => found.push(assignment),
                Command::Sections(items) => in_items(items, &mut found),
                _ => {}
            }
        }
        found
    }
}

fn in_items<'s>(items: &'s [Spanned<SectionItem>], found: &mut Vec<&'s Assignment>) {
    for item in items {
        match &item.value {
            SectionItem::Assign(assignment) => found.push(assignment),
            SectionItem::Output(output) => in_output(output, found),
            SectionItem::Overlay(overlay) => {
                for section in &overlay.sections {
                    in_statements(&section.value.statements, found);
                }
            }
            SectionItem::Group(group) => in_items(&group.items, found),
            SectionItem::Assert(_) | SectionItem::Entry(_) | SectionItem::Include(_) => {}
        }
    }
}

fn in_output<'s>(output: &'s OutputSection, found: &mut Vec<&'s Assignment>) {
    in_statements(&output.statements, found);
}

fn in_statements<'s>(statements: &'s [Spanned<Statement>], found: &mut Vec<&'s Assignment>) {
    for statement in statements {
        if let Statement::Assign(assignment) = &statement.value {
            found.push(assignment);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Source, parse, parse_expression};

    #[test]
    fn symbols_are_found_in_every_part() {
        let expr = parse_expression(&Source::new("-", "a ? b + DEFINED(c) : MAX(d, -e)"));
        assert_eq!(expr.expect("it parses").symbols(), ["a", "b", "d", "e"]);
    }

    #[test]
    fn assignments_are_found_at_every_level() {
        let text = "a = 1; SECTIONS { b = 2; .text : { c = 3; } }";
        let script = parse(&Source::new("-", text)).expect("it parses");
        let names: Vec<&str> = script
            .assignments()
            .iter()
            .map(|assignment| assignment.target.value.as_str())
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
    }
}
