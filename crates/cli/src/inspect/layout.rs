//! Where Linux puts the sections of a module.
//!
//! Source: Linux 6.1, `kernel/module/main.c`: `layout_sections`, `module_get_offset`,
//! `rewrite_section_headers`, `layout_and_allocate`; `arch_mod_section_prepend` of the
//! architectures that have stubs. With `CONFIG_MODULE_UNLOAD`, as every distribution has it:
//! without it, `.exit*` sections go to init.
//!
//! Core and init are two allocations, anywhere in the module area. In each, sections follow by
//! what they are (code; never written; written by init only; written), and among these by index.
//! In front of each section lies the space for its stubs.

use object::elf;

use super::elf::Section;
use super::error::Error;
use super::report::{Layout, Regions};

/// One of the two allocations of a module.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Block {
    /// What stays.
    Core,
    /// What is discarded after init.
    Init,
}

/// Where a section is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// In which allocation.
    pub(crate) block: Block,
    /// Bytes from its start to the section.
    pub(crate) offset: u64,
    /// Bytes from its start to the first stub in front of the section.
    pub(crate) stubs: u64,
}

/// Space for stubs in front of sections.
pub(crate) struct Reserve {
    /// Bytes of a stub; 0: the architecture has none.
    pub(crate) stub_bytes: u64,
    /// For each section how many of its branches get one. Each section gets one more.
    pub(crate) branches: Vec<u64>,
}

impl Reserve {
    /// Bytes in front of a section.
    fn bytes(&self, section: usize) -> Option<u64> {
        let branches = self.branches.get(section).copied().unwrap_or(0);
        branches.checked_add(1)?.checked_mul(self.stub_bytes)
    }
}

/// The prefixes of the names of sections that Linux discards after init, where they are not only
/// `.init` (`module_init_section` of the architecture).
const INIT_PREFIXES: [(elf::Machine, &[&[u8]]); 2] = [
    (
        elf::EM_ARM,
        &[b".init", b".ARM.extab.init", b".ARM.exidx.init"],
    ),
    // nothing is ever discarded
    (elf::EM_PPC64, &[]),
];

fn init_prefixes(machine: elf::Machine) -> &'static [&'static [u8]] {
    INIT_PREFIXES
        .iter()
        .find(|row| row.0 == machine)
        .map_or(&[b".init"], |row| row.1)
}

/// The kinds of section that Linux lays out one after the other.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Group {
    Text,
    Rodata,
    RoAfterInit,
    Data,
}

const GROUPS: [Group; 4] = [Group::Text, Group::Rodata, Group::RoAfterInit, Group::Data];

/// The section of this name that Linux looks at: the first that is allocated (`find_sec`).
pub(crate) fn find(sections: &[Section<'_>], name: &[u8]) -> Option<usize> {
    let mut allocated = sections.iter().enumerate();
    let found = allocated.find(|(_, section)| section.is_allocated() && section.name == name);
    found.map(|(index, _)| index)
}

/// The sections that Linux treats by name.
struct ByName {
    /// Read while loading, not kept.
    dropped: [Option<usize>; 2],
    percpu: Option<usize>,
    ro_after_init: [Option<usize>; 2],
}

impl ByName {
    fn of(sections: &[Section<'_>]) -> Self {
        let find = |name: &[u8]| find(sections, name);
        Self {
            dropped: [find(b".modinfo"), find(b"__versions")],
            percpu: find(b".data..percpu"),
            ro_after_init: [find(b".data..ro_after_init"), find(b"__jump_table")],
        }
    }

    /// Which group the section belongs to; `None`: it is not laid out.
    fn group(&self, index: usize, section: &Section<'_>) -> Option<Group> {
        let here = Some(index);
        if !section.is_allocated() || self.dropped.contains(&here) || self.percpu == here {
            return None;
        }
        Some(if section.flags.contains(elf::SHF_EXECINSTR) {
            Group::Text
        } else if !section.flags.contains(elf::SHF_WRITE) {
            Group::Rodata
        } else if self.ro_after_init.contains(&here) {
            Group::RoAfterInit
        } else {
            Group::Data
        })
    }
}

/// Lays the sections out: for each its place, `None` where it is not loaded, and the sizes.
///
/// # Errors
/// [`Error::Malformed`] if sizes do not add up to a number of 64 bits.
pub(crate) fn lay_out(
    sections: &[Section<'_>],
    machine: elf::Machine,
    reserve: &Reserve,
) -> Result<(Vec<Option<Place>>, Layout), Error> {
    let by_name = ByName::of(sections);
    let prefixes = init_prefixes(machine);
    let mut places = vec![None; sections.len()];
    let mut layout = Layout {
        percpu: by_name.percpu.map_or(0, |index| sections[index].size),
        ..Layout::default()
    };
    let groups: Vec<_> = sections
        .iter()
        .enumerate()
        .filter_map(|(index, section)| {
            let is_init = prefixes
                .iter()
                .any(|prefix| section.name.starts_with(prefix));
            let block = if is_init { Block::Init } else { Block::Core };
            Some((index, section, by_name.group(index, section)?, block))
        })
        .collect();
    for group in GROUPS {
        for &(index, section, _, block) in groups.iter().filter(|entry| entry.2 == group) {
            let regions = match block {
                Block::Core => &mut layout.core,
                Block::Init => &mut layout.init,
            };
            let place = append(regions, group, section, block, reserve, index)
                .ok_or_else(|| Error::section(index, section.name, "its size is absurd"))?;
            places[index] = Some(place);
        }
    }
    Ok((places, layout))
}

/// Appends a section to core or init; `None` if that overflows.
fn append(
    regions: &mut Regions,
    group: Group,
    section: &Section<'_>,
    block: Block,
    reserve: &Reserve,
    index: usize,
) -> Option<Place> {
    let start = regions.total;
    let reserved = reserve.bytes(index)?;
    let offset = start
        .checked_add(reserved)?
        .checked_next_multiple_of(section.align)?;
    let end = offset.checked_add(section.size)?;
    // distances between places are signed
    i64::try_from(end).ok()?;
    regions.total = end;
    let size = match group {
        Group::Text => &mut regions.text,
        Group::Rodata => &mut regions.rodata,
        Group::RoAfterInit => &mut regions.ro_after_init,
        Group::Data if section.kind == elf::SHT_NOBITS => &mut regions.bss,
        Group::Data => &mut regions.data,
    };
    *size += end - start;
    // get_stub aligns the start of the stubs to their size
    let stubs = (offset - reserved).checked_next_multiple_of(reserve.stub_bytes.max(1))?;
    Some(Place {
        block,
        offset,
        stubs,
    })
}
