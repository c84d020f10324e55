//! Which input sections of an output section may change places: those that one entry of a pattern's
//! list takes, as `.text` in `*(.text .text.fixup)`, where nothing of the script stands between and
//! nothing says in which order they are.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_script::Pattern;

use super::Layouter;
use crate::id::OutputId;
use crate::rules::{OutputRule, Part};

/// An entry of a pattern's list in an output section statement: which part, and which of its
/// entries.
pub(super) type Entry = (usize, usize);

/// Functions in pieces: C's startup files each have some instructions of one, which run from one
/// into the next (System V ABI, "Special Sections").
const IN_PIECES: [&[u8]; 2] = [b".init", b".fini"];

/// The entries of one output section that leave an order open.
pub(super) struct Entries<'l> {
    /// `None` if no single statement of the script makes the section.
    rule: Option<&'l OutputRule<'l>>,
    by_name: HashMap<Vec<u8>, Option<Entry>, RandomState>,
}

impl<'l> Entries<'l> {
    pub(super) fn new(layouter: &Layouter<'_, 'l>, output: OutputId) -> Self {
        let mut rules = layouter.rules_of(output);
        Self {
            rule: rules.next().filter(|_| rules.next().is_none()),
            by_name: HashMap::default(),
        }
    }

    /// The entry that takes input sections of this name; `None` if they are to stay in order, or if
    /// their names do not tell which entry it is.
    pub(super) fn find(&mut self, name: &[u8]) -> Option<Entry> {
        if let Some(&known) = self.by_name.get(name) {
            return known;
        }
        let found = self.rule.and_then(|rule| only_entry(rule, name));
        let found = found.filter(|_| !IN_PIECES.contains(&name));
        self.by_name.insert(name.to_vec(), found);
        found
    }
}

/// The entry of a rule that matches a name, if no other does and it leaves the order open. Sections
/// that are kept for their own sake, as tables and entry points are, are not moved.
fn only_entry(rule: &OutputRule<'_>, name: &[u8]) -> Option<Entry> {
    let matches = |pattern: &Pattern| pattern.matches(name);
    let entries = rule.parts.iter().enumerate().flat_map(|(number, part)| {
        let inputs = match part {
            Part::Inputs(inputs) => Some(inputs),
            Part::Statement { .. } => None,
        };
        let entries = inputs.map(|inputs| inputs.sections.iter().enumerate());
        let matching = entries.into_iter().flatten();
        let matching = matching.filter(|(_, section)| matches(&section.name));
        matching.map(move |(index, section)| (number, index, section, inputs))
    });
    let mut entries = entries;
    let (part, index, section, inputs) = entries.next()?;
    let open =
        section.sort.is_empty() && inputs.is_some_and(|inputs| !inputs.keep && !inputs.sort_files);
    (entries.next().is_none() && open).then_some((part, index))
}
