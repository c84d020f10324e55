//! What becomes of each section: whether it is loaded, into which region, how large and aligned.
//!
//! Source: Linux 6.1 `kernel/module/main.c` (rewrite_section_headers, layout_and_allocate,
//! layout_sections, module_enforce_rwx_sections).

use alloc::vec::Vec;

use crate::elf::SHF_RO_AFTER_INIT;
use crate::error::Error;
use crate::file::{ModuleFile, Section};
use crate::id::SectionId;
use crate::known::Known;
use crate::policy::Policy;
use crate::region::RegionKind;

/// What becomes of one section.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Shape {
    /// Where it goes; `None`: it is not loaded.
    pub(crate) region: Option<RegionKind>,
    /// Whether its contents are those of the file; else it is zero at first.
    pub(crate) has_contents: bool,
    /// Bytes in memory.
    pub(crate) size: u64,
    /// A power of two.
    pub(crate) align: u64,
}

/// What becomes of all sections, by [`SectionId::index`].
#[derive(Clone, Debug)]
pub(crate) struct Shapes(Vec<Shape>);

impl Shapes {
    pub(crate) fn new(file: &ModuleFile<'_>, policy: &Policy) -> Result<Self, Error> {
        let shapes = file.section_ids().map(|(id, section)| {
            if section.is_writable() && section.is_code() && section.is_allocated() {
                return Err(Error::WritableCode {
                    section: file.describe(id),
                });
            }
            let region = region_of(file, policy, id, section);
            let name = file.section_name(section);
            let reserved = file.arch().load.reserved_sections.iter();
            let reserved = reserved.copied().find(|of| of.name.as_bytes() == name);
            Ok(match reserved {
                Some(reserved) => Shape {
                    region: Some(RegionKind::Text),
                    has_contents: false,
                    size: reserved.bytes,
                    align: reserved.align,
                },
                None => Shape {
                    region,
                    has_contents: section.has_contents(),
                    size: section.size,
                    align: align_of(file, section),
                },
            })
        });
        Ok(Self(shapes.collect::<Result<_, Error>>()?))
    }

    pub(crate) fn get(&self, id: SectionId) -> Option<Shape> {
        self.0.get(id.index()).copied()
    }

    pub(crate) fn get_mut(&mut self, id: SectionId) -> Option<&mut Shape> {
        self.0.get_mut(id.index())
    }

    pub(crate) fn region(&self, id: SectionId) -> Option<RegionKind> {
        self.get(id).and_then(|shape| shape.region)
    }

    pub(crate) fn size(&self, id: SectionId) -> u64 {
        self.get(id).map_or(0, |shape| shape.size)
    }

    /// The sections of one region, by number.
    pub(crate) fn of_region(&self, region: RegionKind) -> impl Iterator<Item = (SectionId, Shape)> {
        let shapes = (0..).map(SectionId).zip(&self.0);
        shapes
            .filter(move |(_, shape)| shape.region == Some(region))
            .map(|(id, shape)| (id, *shape))
    }
}

/// Whether a section goes away after init.
pub(crate) fn is_init(file: &ModuleFile<'_>, policy: &Policy, name: &[u8]) -> bool {
    let with_init = match policy.always_split_init {
        true => name.starts_with(b".init"),
        false => file.arch().load.is_init(name),
    };
    with_init || !policy.unload && name.starts_with(b".exit")
}

fn region_of(
    file: &ModuleFile<'_>,
    policy: &Policy,
    id: SectionId,
    section: &Section,
) -> Option<RegionKind> {
    let is = |known| file.known(known) == Some(id);
    let not_loaded = [
        Known::Modinfo,
        Known::Versions,
        Known::ExtendedCrcs,
        Known::ExtendedNames,
    ];
    if !section.is_allocated() || not_loaded.into_iter().any(is) {
        return None;
    }
    if is(Known::PerCpu) {
        return Some(RegionKind::PerCpu);
    }
    let init = is_init(file, policy, file.section_name(section));
    let late = section.flags & SHF_RO_AFTER_INIT != 0;
    Some(if section.is_code() {
        if init {
            RegionKind::InitText
        } else {
            RegionKind::Text
        }
    } else if !section.is_writable() {
        if init {
            RegionKind::InitRodata
        } else {
            RegionKind::Rodata
        }
    } else if init {
        RegionKind::InitData
    } else if late || is(Known::RoAfterInit) || is(Known::JumpTable) {
        RegionKind::RoAfterInit
    } else {
        RegionKind::Data
    })
}

fn align_of(file: &ModuleFile<'_>, section: &Section) -> u64 {
    let table = file.arch().load.section_align;
    if table.is_empty() {
        return section.align;
    }
    let name = file.section_name(section);
    let least = table.iter().find(|(of, _)| of.as_bytes() == name);
    least.map_or(section.align, |&(_, align)| align.max(section.align))
}
