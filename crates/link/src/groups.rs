//! Section groups of relocatable output. Their sections come first in the file, so their numbers are
//! known before anything else is laid out.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::id::{ObjectId, OutputId};
use crate::layout::Layout;
use crate::resolve::Resolved;

/// The groups of the output.
#[derive(Default)]
pub(crate) struct Groups {
    /// Object and number in it; the first has section number 1, and so on.
    pub kept: Vec<(ObjectId, u32)>,
    /// Section numbers, by object and ELF index of the group's section there.
    numbers: HashMap<(ObjectId, u32), u32, RandomState>,
}

impl Groups {
    /// Finds the groups that are in the output: those that were not dropped and have members.
    pub(crate) fn new(resolved: &Resolved<'_>, layout: &Layout<'_>) -> Self {
        let mut groups = Self::default();
        if !layout.keep_groups {
            return groups;
        }
        for (object, input) in resolved.objects.iter_ids() {
            for (number, group) in (0..).zip(&input.groups) {
                let dropped = resolved.is_discarded(resolved.section_id(object, group.section));
                if !dropped && !members(resolved, layout, object, number).is_empty() {
                    groups.kept.push((object, number));
                    let section_number = groups.kept.len() as u32;
                    groups
                        .numbers
                        .insert((object, group.section), section_number);
                }
            }
        }
        groups
    }

    /// The number in the output of a group's section, given by object and ELF index.
    pub(crate) fn number(&self, object: ObjectId, section: u32) -> Option<u32> {
        self.numbers.get(&(object, section)).copied()
    }
}

/// The output sections that a group's members went to.
pub(crate) fn members(
    resolved: &Resolved<'_>,
    layout: &Layout<'_>,
    object: ObjectId,
    group: u32,
) -> Vec<OutputId> {
    let group = &resolved.objects[object].groups[group as usize];
    let mut outputs: Vec<OutputId> = group
        .members
        .iter()
        .map(|&member| resolved.section_id(object, member))
        .filter_map(|member| layout.placements.output(member))
        .collect();
    outputs.dedup();
    outputs
}
