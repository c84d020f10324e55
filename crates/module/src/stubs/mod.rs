//! Stubs: room for them in the plan, and the stubs themselves when addresses are known.

mod islands;
mod linux;
mod writer;

use klink_arch::{LoaderStubs, StubPlace, StubSharing};

use crate::error::Error;
use crate::file::ModuleFile;
use crate::id::SectionId;
use crate::policy::{Policy, Stubs};
use crate::region::RegionKind;
use crate::shape::Shapes;

pub(crate) use islands::Islands;
use linux::Counting;
pub(crate) use linux::{LinuxStubs, relocation_order};
pub(crate) use writer::{Area, StubWriter};

/// Where there is room for stubs.
#[derive(Debug)]
pub(crate) enum StubPlan {
    /// Every branch reaches.
    None,
    /// In front of each section, or in sections that the module brings for it.
    Linux(LinuxStubs),
    /// Between sections, where reach asks for it.
    Islands(Islands),
}

impl StubPlan {
    /// Decides where stubs go; may resize sections that the module brings for them.
    ///
    /// Where the architecture's modules bring sections for stubs, their code is compiled for one
    /// place that all of it reaches; every policy uses that.
    pub(crate) fn new(
        file: &ModuleFile<'_>,
        policy: &Policy,
        shapes: Shapes,
    ) -> Result<(Shapes, Self), Error> {
        let Some(form) = file.arch().load.stubs.as_ref() else {
            return Ok((shapes, Self::None));
        };
        let counting = match (form.place, policy.stubs) {
            (StubPlace::Sections { .. }, _) | (_, Stubs::AsLinux) => Counting::linux(form),
            (StubPlace::BeforeSections, Stubs::BeforeSections) => Counting::shared(form),
            (StubPlace::BeforeSections, Stubs::Shared) => {
                let islands = Islands::new(file, form, &shapes)?;
                return Ok((shapes, Self::Islands(islands)));
            }
        };
        let (shapes, stubs) = LinuxStubs::new(file, policy, form, counting, shapes)?;
        Ok((shapes, Self::Linux(stubs)))
    }

    /// What stubs look like, and when branches share one.
    pub(crate) fn form(&self) -> Option<(&'static LoaderStubs, StubSharing)> {
        match self {
            Self::None => None,
            Self::Linux(stubs) => Some((stubs.form(), stubs.counting().sharing)),
            Self::Islands(islands) => Some((islands.form(), StubSharing::Any)),
        }
    }

    /// Bytes to leave free in front of a section.
    pub(crate) fn bytes_before(&self, id: SectionId) -> u64 {
        match self {
            Self::Linux(stubs) => stubs.bytes_before(id),
            Self::None | Self::Islands(_) => 0,
        }
    }

    /// Bytes from the start of its region to a section, where the plan fixes that.
    pub(crate) fn planned_offset(&self, id: SectionId) -> Option<u64> {
        match self {
            Self::Islands(islands) => islands.offset(id),
            Self::None | Self::Linux(_) => None,
        }
    }

    /// Bytes of a region and what its start is aligned to, where the plan fixes that.
    pub(crate) fn planned_region(&self, region: RegionKind) -> Option<(u64, u64)> {
        match self {
            Self::Islands(islands) if region.is_code() => {
                Some((islands.size(region), islands.align()))
            }
            _ => None,
        }
    }

    /// Bytes for all stubs.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Linux(stubs) => stubs.bytes(),
            Self::Islands(islands) => islands.bytes(),
        }
    }
}
