//! Which section of one file is which section of the other.
//!
//! Names are no keys: `ld -r` on PA-RISC makes 93 sections that are all called
//! `.text`. Sections of one name are paired in order; when one file has fewer
//! of them, those with the same contents are paired first, so that one missing
//! section does not make all the following ones look different. Relocation
//! sections are paired by the section that they relocate.

use std::collections::HashMap;

use super::elf::{Elf, Home, Section, SectionId};

/// A section's identity in both files: equal numbers mean the same section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Identity(u32);

/// Where a symbol is defined, comparable between the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    Undefined,
    Absolute,
    Common,
    Section(Identity),
    Reserved(u16),
}

/// The identities of one file's sections.
#[derive(Debug)]
pub(crate) struct Identities {
    of: Vec<Identity>,
}

impl Identities {
    /// This section's identity; all indices that do not exist share one.
    pub(crate) fn section(&self, id: SectionId) -> Identity {
        let known = self.of.get(id.0 as usize);
        known.copied().unwrap_or(Identity(u32::MAX))
    }

    /// Where `home` is.
    pub(crate) fn place(&self, home: Home) -> Place {
        match home {
            Home::Undefined => Place::Undefined,
            Home::Absolute => Place::Absolute,
            Home::Common => Place::Common,
            Home::Section(id) => Place::Section(self.section(id)),
            Home::Reserved(number) => Place::Reserved(number),
        }
    }
}

/// The pairs, and what is left over on either side.
#[derive(Debug)]
pub(crate) struct Pairing {
    pub(crate) pairs: Vec<(SectionId, SectionId)>,
    pub(crate) only_a: Vec<SectionId>,
    pub(crate) only_b: Vec<SectionId>,
    pub(crate) a: Identities,
    pub(crate) b: Identities,
}

/// Pairs the sections of two files.
pub(crate) fn pair(a: &Elf<'_>, b: &Elf<'_>) -> Pairing {
    let mut pairs = vec![(SectionId(0), SectionId(0))];
    pair_by_name(a, b, &mut pairs);
    pair_relocations(a, b, &mut pairs);
    pairs.sort_unstable();
    let unpaired = |elf: &Elf<'_>, paired: &dyn Fn(SectionId) -> bool| {
        let ids = elf.sections.iter().map(|s| s.id);
        ids.filter(|id| !paired(*id)).collect::<Vec<_>>()
    };
    let in_a: HashMap<_, _> = pairs.iter().copied().collect();
    let in_b: HashMap<_, _> = pairs.iter().map(|&(a, b)| (b, a)).collect();
    let only_a = unpaired(a, &|id| in_a.contains_key(&id));
    let only_b = unpaired(b, &|id| in_b.contains_key(&id));
    let (a, b) = identities(a, b, &pairs);
    pairs.remove(0);
    Pairing {
        pairs,
        only_a,
        only_b,
        a,
        b,
    }
}

fn identities(
    a: &Elf<'_>,
    b: &Elf<'_>,
    pairs: &[(SectionId, SectionId)],
) -> (Identities, Identities) {
    let (count_a, count_b) = (a.sections.len(), b.sections.len());
    // A's own index names a section; those that only B has get numbers beyond.
    let number = |n: usize| Identity(u32::try_from(n).unwrap_or(u32::MAX));
    let of_a = (0..count_a).map(number).collect();
    let mut of_b: Vec<_> = (count_a..count_a + count_b).map(number).collect();
    for &(in_a, in_b) in pairs {
        of_b[in_b.0 as usize] = Identity(in_a.0);
    }
    (Identities { of: of_a }, Identities { of: of_b })
}

fn pair_by_name(a: &Elf<'_>, b: &Elf<'_>, pairs: &mut Vec<(SectionId, SectionId)>) {
    let mut in_b: HashMap<&str, Vec<&Section<'_>>> = HashMap::new();
    let plain =
        |s: &&Section<'_>| s.id.0 != 0 && (!s.is_relocations() || s.is_dynamic_relocations());
    for section in b.sections.iter().filter(plain) {
        in_b.entry(&section.name).or_default().push(section);
    }
    let mut in_a: HashMap<&str, Vec<&Section<'_>>> = HashMap::new();
    for section in a.sections.iter().filter(plain) {
        in_a.entry(&section.name).or_default().push(section);
    }
    for (name, of_a) in in_a {
        if let Some(of_b) = in_b.get(name) {
            pairs.extend(align(&of_a, of_b));
        }
    }
}

/// Above this many candidate pairs, sections of one name are paired in order
/// even if their numbers differ: the table below would not fit.
const MAX_ALIGNMENT: usize = 4_000_000;

/// Pairs two lists of sections of one name.
fn align(a: &[&Section<'_>], b: &[&Section<'_>]) -> Vec<(SectionId, SectionId)> {
    let in_order = || a.iter().zip(b).map(|(a, b)| (a.id, b.id)).collect();
    let cells = a.len().saturating_mul(b.len());
    if a.len() == b.len() || cells > MAX_ALIGNMENT {
        return in_order();
    }
    if a.len() == 1 || b.len() == 1 {
        let same = a
            .iter()
            .flat_map(|a| b.iter().map(move |b| (a, b)))
            .find(|(a, b)| alike(a, b));
        return same.map_or_else(in_order, |(a, b)| vec![(a.id, b.id)]);
    }
    longest_common(a, b)
}

fn alike(a: &Section<'_>, b: &Section<'_>) -> bool {
    a.sh_type == b.sh_type && a.flags == b.flags && a.size == b.size && a.data == b.data
}

/// The classic longest common subsequence, by contents.
fn longest_common(a: &[&Section<'_>], b: &[&Section<'_>]) -> Vec<(SectionId, SectionId)> {
    let width = b.len() + 1;
    let mut best = vec![0u32; (a.len() + 1) * width];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            best[i * width + j] = if alike(a[i], b[j]) {
                best[(i + 1) * width + j + 1] + 1
            } else {
                best[(i + 1) * width + j].max(best[i * width + j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < a.len() && j < b.len() {
        if alike(a[i], b[j]) {
            pairs.push((a[i].id, b[j].id));
            (i, j) = (i + 1, j + 1);
        } else if best[(i + 1) * width + j] >= best[i * width + j + 1] {
            i += 1;
        } else {
            j += 1;
        }
    }
    pairs
}

fn pair_relocations(a: &Elf<'_>, b: &Elf<'_>, pairs: &mut Vec<(SectionId, SectionId)>) {
    let to_b: HashMap<_, _> = pairs.iter().copied().collect();
    let mut in_b: HashMap<(SectionId, u32), Vec<SectionId>> = HashMap::new();
    let is_table = |s: &&Section<'_>| s.is_relocations() && !s.is_dynamic_relocations();
    for section in b.sections.iter().filter(is_table) {
        let key = (SectionId(section.info), section.sh_type);
        in_b.entry(key).or_default().push(section.id);
    }
    for list in in_b.values_mut() {
        list.reverse();
    }
    for section in a.sections.iter().filter(is_table) {
        let Some(&target) = to_b.get(&SectionId(section.info)) else {
            continue;
        };
        let candidates = in_b.get_mut(&(target, section.sh_type));
        if let Some(id) = candidates.and_then(Vec::pop) {
            pairs.push((section.id, id));
        }
    }
}
