//! Which input sections are merged with each other, and where their entries went.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use object::elf;
use rayon::prelude::*;

use crate::id::{IdVec, OutputId, SectionId};
use crate::input::InputSection;
use crate::merge::{MergeInput, MergeKind, Merged, can_merge, merge};
use crate::output::Placements;
use crate::resolve::Resolved;

/// Where a section stands among merged ones.
#[derive(Clone, Copy, Debug)]
struct Member {
    group: u32,
    input: u32,
}

/// All merged sections of a link.
#[derive(Default)]
pub(crate) struct Merges<'a> {
    members: Option<IdVec<SectionId, Option<Member>>>,
    groups: Vec<(Merged<'a>, Vec<SectionId>)>,
}

/// What sections must have in common to be merged (bfd/merge.c, `_bfd_add_merge_section`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Key {
    output: OutputId,
    strings: bool,
    entry_size: u64,
    align: u64,
}

impl Key {
    /// That of a section, if it can be merged.
    fn of(section: &InputSection<'_>, output: OutputId) -> Option<Self> {
        if section.flags & elf::SHF_MERGE.0 == 0 || section.data.is_empty() {
            return None;
        }
        let kind = kind_of(section);
        let is_merged = section.relocations.is_empty() && can_merge(section.data, &kind);
        is_merged.then_some(Self {
            output,
            strings: kind.strings,
            entry_size: kind.entry_size,
            align: kind.align,
        })
    }
}

impl<'a> Merges<'a> {
    /// Merges what can be merged in the output sections.
    pub(super) fn new(resolved: &Resolved<'a>, placements: &Placements) -> Self {
        let mut groups: Vec<(Key, Vec<SectionId>)> = Vec::new();
        let mut numbers: HashMap<Key, usize, RandomState> = HashMap::default();
        // In input order, as ld goes through the files.
        let all: Vec<SectionId> = resolved.section_ids().collect();
        let keyed = all.par_iter().filter_map(|&id| {
            let output = placements.output(id)?;
            Some((id, Key::of(resolved.section(id), output)?))
        });
        let keyed: Vec<(SectionId, Key)> = keyed.collect();
        for (id, key) in keyed {
            let number = *numbers.entry(key).or_insert_with(|| {
                groups.push((key, Vec::new()));
                groups.len() - 1
            });
            groups[number].1.push(id);
        }
        if groups.is_empty() {
            return Self::default();
        }
        let mut members = IdVec::filled(None, resolved.section_count());
        for (group, (_, sections)) in groups.iter().enumerate() {
            for (input, &id) in sections.iter().enumerate() {
                members[id] = Some(Member {
                    group: group as u32,
                    input: input as u32,
                });
            }
        }
        let merge_group = |(key, sections): (Key, Vec<SectionId>)| {
            let inputs: Vec<MergeInput<'a>> = sections
                .iter()
                .map(|&id| MergeInput {
                    data: resolved.section(id).data,
                })
                .collect();
            let kind = MergeKind {
                entry_size: key.entry_size,
                align: key.align,
                strings: key.strings,
            };
            (merge(kind, &inputs), sections)
        };
        Self {
            members: Some(members),
            groups: groups.into_par_iter().map(merge_group).collect(),
        }
    }

    #[inline]
    fn member(&self, section: SectionId) -> Option<Member> {
        self.members.as_ref()?[section]
    }

    /// The size of a merged section's part in bytes; `None` if it is not merged.
    pub(super) fn size(&self, section: SectionId) -> Option<u64> {
        let member = self.member(section)?;
        let (merged, _) = &self.groups[member.group as usize];
        Some(merged.size(member.input as usize))
    }

    /// Whether nothing is left of the section: it then needs no alignment either.
    pub(super) fn is_gone(&self, section: SectionId) -> bool {
        self.size(section) == Some(0)
    }

    /// Where a place in an input section is now.
    #[inline]
    pub(super) fn place(&self, section: SectionId, offset: u64) -> (SectionId, u64) {
        match self.member(section) {
            None => (section, offset),
            Some(member) => {
                let (merged, sections) = &self.groups[member.group as usize];
                let (input, offset) = merged.place(member.input as usize, offset);
                (sections[input], offset)
            }
        }
    }

    /// Whether the section is merged.
    #[inline]
    pub(super) fn contains(&self, section: SectionId) -> bool {
        self.member(section).is_some()
    }

    /// Writes a merged section's part.
    pub(super) fn write(&self, section: SectionId, out: &mut [u8]) {
        if let Some(member) = self.member(section) {
            let (merged, _) = &self.groups[member.group as usize];
            merged.write(member.input as usize, out);
        }
    }
}

fn kind_of(section: &InputSection<'_>) -> MergeKind {
    MergeKind {
        entry_size: section.entry_size,
        align: section.align,
        strings: section.flags & elf::SHF_STRINGS.0 != 0,
    }
}
