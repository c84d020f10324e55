//! The strategies of others, as far as they decide how many stubs there are:
//! in input order, with the room that stubs take up counted.

use super::Owned;
use klink_reach::Target;
use std::collections::HashMap;

/// What a strategy comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Stubs that branches go through.
    pub stubs: usize,
    /// Bytes set aside for stubs.
    pub bytes: u64,
    /// Places where there are any.
    pub islands: usize,
    /// Branches that reach neither their target nor a stub.
    pub unreached: usize,
}

/// GNU ld: `--stub-group-size` for PA-RISC as soon as there is a 17-bit
/// branch (binutils 2.40, bfd/elf32-hppa.c, `elf32_hppa_size_stubs`).
pub const LD_GROUP: i64 = 240_000;

/// lld places thunk sections closer by this than a branch spans (LLVM,
/// lld/ELF/Arch/ARM.cpp, `getThunkSectionSpacing`).
const LLD_MARGIN: i64 = 0x7500;

/// Linux before 2008: one array in front of everything, in which each call
/// that does not reach has a stub of its own.
pub fn front_array(owned: &Owned) -> Outcome {
    own_stubs(owned, |_| 0)
}

/// Linux since 2008 (arch/parisc/kernel/module.c): an array in front of each
/// section, in which each of its calls that does not reach has a stub of its own.
pub fn front_of_each(owned: &Owned) -> Outcome {
    own_stubs(owned, |section| section)
}

/// Arrays with room for every branch, since they are made before it is known
/// who reaches what.
fn own_stubs(owned: &Owned, slot_of: impl Fn(usize) -> usize) -> Outcome {
    let mut text = Text::new(owned);
    for branch in &owned.branches {
        text.rooms[slot_of(branch.section.index())] += owned.stubs.external as i64;
    }
    let layout = text.layout();
    let mut used: HashMap<usize, i64> = HashMap::new();
    let mut unreached = 0;
    for branch in &owned.branches {
        if layout.direct(owned, branch) {
            continue;
        }
        let slot = slot_of(branch.section.index());
        let number = used.entry(slot).or_default();
        let stub = layout.slots[slot] + *number * owned.stubs.external as i64;
        *number += 1;
        unreached += usize::from(!layout.reaches(owned, branch, stub));
    }
    let (stubs, islands) = (used.values().sum::<i64>() as usize, used.len());
    Outcome {
        stubs,
        bytes: text.rooms.iter().sum::<i64>() as u64,
        islands,
        unreached,
    }
}

/// GNU ld: sections are gathered in groups of at most `size` bytes; each has
/// one island, shared with as many bytes of sections behind it.
pub fn groups(owned: &Owned, size: i64) -> Outcome {
    let mut text = Text::new(owned);
    let layout = text.layout();
    let count = owned.sections.len();
    let mut island_of = vec![count; count];
    let mut at = 0;
    while at < count {
        // The group in front of the island, then those behind it.
        let mut end = at;
        for _ in 0..2 {
            let start = layout.sections.get(end).copied().unwrap_or(0);
            let first = end;
            while end < count
                && (end == first
                    || layout.sections[end] + owned.sections[end].size as i64 - start < size)
            {
                end += 1;
            }
            if first == at {
                island_of[at..].fill(end);
            }
        }
        at = end;
    }
    text.add_shared(owned, |_, branch| vec![island_of[branch.section.index()]])
}

/// lld: thunk sections at regular distances, thunks shared by all that reach
/// them; where none is in reach, a new one directly at the caller.
pub fn spaced(owned: &Owned) -> Outcome {
    let mut text = Text::new(owned);
    let layout = text.layout();
    let span = owned
        .forms
        .iter()
        .map(|form| form.max.min(-form.min))
        .min()
        .unwrap_or(0);
    let spacing = (span - LLD_MARGIN).max(span / 2).max(1);
    let mut regular = Vec::new();
    let mut limit = spacing;
    for (slot, &start) in layout.slots.iter().enumerate().skip(1) {
        let next = layout.slots.get(slot + 1).copied().unwrap_or(i64::MAX);
        if next > limit {
            regular.push(slot);
            limit = start + spacing;
        }
    }
    text.add_shared(owned, |layout, branch| {
        let site = layout.site(branch);
        let mut slots = regular.clone();
        slots.sort_by_key(|&slot| (layout.slots[slot] - site).abs());
        slots.truncate(2);
        slots.extend([branch.section.index() + 1, branch.section.index()]);
        slots
    })
}

/// Sections in input order with room for stubs between them.
struct Text<'a> {
    owned: &'a Owned,
    rooms: Vec<i64>,
}

struct Layout {
    sections: Vec<i64>,
    slots: Vec<i64>,
}

impl<'a> Text<'a> {
    fn new(owned: &'a Owned) -> Self {
        Self {
            owned,
            rooms: vec![0; owned.sections.len() + 1],
        }
    }

    fn layout(&self) -> Layout {
        let up = |at: i64, align: u64| (at as u64).next_multiple_of(align) as i64;
        let (mut sections, mut slots, mut end) = (Vec::new(), Vec::new(), 0i64);
        for (section, room) in self.owned.sections.iter().zip(&self.rooms) {
            let start = up(end, self.owned.stubs.align);
            slots.push(start);
            end = if *room > 0 { start + room } else { end };
            sections.push(up(end, section.align));
            end = sections[sections.len() - 1] + section.size as i64;
        }
        slots.push(up(end, self.owned.stubs.align));
        Layout { sections, slots }
    }

    /// Adds stubs, one for each target and slot, until all branches that can
    /// reach one of the slots they are offered do. Stubs are never taken away.
    fn add_shared(
        &mut self,
        owned: &Owned,
        offer: impl Fn(&Layout, &klink_reach::Branch) -> Vec<usize>,
    ) -> Outcome {
        let mut stubs: HashMap<Target, Vec<(usize, i64)>> = HashMap::new();
        loop {
            let layout = self.layout();
            let (mut added, mut unreached) = (false, 0);
            for branch in &owned.branches {
                let known = stubs.entry(branch.target).or_default();
                let served = |&(slot, at): &(usize, i64)| {
                    layout.reaches(owned, branch, layout.slots[slot] + at)
                };
                if layout.direct(owned, branch) || known.iter().any(served) {
                    continue;
                }
                let slot = offer(&layout, branch).into_iter().find(|&slot| {
                    let stub = layout.slots[slot] + self.rooms[slot];
                    !known.iter().any(|known| known.0 == slot)
                        && layout.reaches(owned, branch, stub)
                });
                let Some(slot) = slot else {
                    unreached += 1;
                    continue;
                };
                known.push((slot, self.rooms[slot]));
                let size = match branch.target {
                    Target::External(_) => owned.stubs.external,
                    _ => owned.stubs.internal,
                };
                self.rooms[slot] += size.next_multiple_of(owned.stubs.align) as i64;
                added = true;
            }
            if !added {
                return Outcome {
                    stubs: stubs.values().map(Vec::len).sum(),
                    bytes: self.rooms.iter().sum::<i64>() as u64,
                    islands: self.rooms.iter().filter(|&&room| room > 0).count(),
                    unreached,
                };
            }
        }
    }
}

impl Layout {
    fn site(&self, branch: &klink_reach::Branch) -> i64 {
        self.sections[branch.section.index()] + branch.offset as i64
    }

    fn direct(&self, owned: &Owned, branch: &klink_reach::Branch) -> bool {
        let target = match branch.target {
            Target::Section { section, offset } => self.sections[section.index()] + offset,
            Target::Fixed(offset) => offset,
            Target::External(_) => return false,
        };
        owned.forms[branch.form.index()].reaches(target - self.site(branch))
    }

    fn reaches(&self, owned: &Owned, branch: &klink_reach::Branch, stub: i64) -> bool {
        let form = owned.forms[branch.form.index()];
        form.stub && form.reaches(stub - self.site(branch))
    }
}
