//! In which order modules are loaded.

use std::collections::HashSet;

use super::{EntryId, Tree};

/// Why a module is loaded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Role {
    /// Somebody asked for it.
    Wanted,
    /// A module needs it.
    Needed,
    /// A module works better with it.
    Soft,
}

/// A module to be loaded.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) id: EntryId,
    pub(crate) role: Role,
}

impl Tree {
    /// `wanted` and all that they need, in an order in which each comes after what it needs. What two
    /// modules need of each other cannot be; the one that is met first then comes last.
    pub(crate) fn order(&self, wanted: &[EntryId]) -> Vec<Step> {
        let mut order = Order {
            tree: self,
            seen: HashSet::new(),
            steps: Vec::new(),
        };
        for &id in wanted {
            order.visit(id, Role::Wanted);
        }
        for step in &mut order.steps {
            if wanted.contains(&step.id) {
                step.role = Role::Wanted;
            }
        }
        order.steps
    }

    /// All modules, in such an order.
    pub(crate) fn order_of_all(&self) -> Vec<Step> {
        let mut order = Order {
            tree: self,
            seen: HashSet::new(),
            steps: Vec::new(),
        };
        for (id, _) in self.entries() {
            order.visit(id, Role::Wanted);
        }
        for step in &mut order.steps {
            step.role = Role::Wanted;
        }
        order.steps
    }
}

struct Order<'t> {
    tree: &'t Tree,
    seen: HashSet<EntryId>,
    steps: Vec<Step>,
}

/// What is left to be done for a module.
enum Task {
    Enter(EntryId, Role),
    Leave(EntryId, Role),
}

impl Order<'_> {
    fn visit(&mut self, id: EntryId, role: Role) {
        // chains of thousands of modules are no reason to overflow the stack
        let mut tasks = vec![Task::Enter(id, role)];
        while let Some(task) = tasks.pop() {
            match task {
                Task::Leave(id, role) => self.steps.push(Step { id, role }),
                Task::Enter(id, role) => {
                    if self.seen.insert(id) {
                        self.enter(id, role, &mut tasks);
                    }
                }
            }
        }
    }

    /// Puts down what comes before and after a module, the last first.
    fn enter(&self, id: EntryId, role: Role, tasks: &mut Vec<Task>) {
        let Some(entry) = self.tree.entry(id) else {
            return;
        };
        let soft = self.tree.soft.get(&entry.name);
        let known = |name| self.tree.by_name.get(name).copied();
        if let Some(soft) = soft {
            let after = soft.after.iter().rev().filter_map(known);
            tasks.extend(after.map(|id| Task::Enter(id, Role::Soft)));
        }
        tasks.push(Task::Leave(id, role));
        let needs = entry.needs.iter().rev();
        tasks.extend(needs.map(|&id| Task::Enter(id, Role::Needed)));
        if let Some(soft) = soft {
            let before = soft.before.iter().rev().filter_map(known);
            tasks.extend(before.map(|id| Task::Enter(id, Role::Soft)));
        }
    }
}
