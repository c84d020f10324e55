//! Stubs: room for them in the plan, and the stubs themselves when addresses are known.

mod linux;
mod writer;

use crate::error::Error;
use crate::file::ModuleFile;
use crate::id::SectionId;
use crate::policy::{Policy, Stubs};
use crate::region::RegionKind;
use crate::shape::Shapes;

pub(crate) use linux::{LinuxStubs, relocation_order};
pub(crate) use writer::{Area, StubWriter};

/// Where there is room for stubs.
#[derive(Debug)]
pub(crate) enum StubPlan {
    /// Every branch reaches.
    None,
    /// As the architecture's Linux does it.
    Linux(LinuxStubs),
}

impl StubPlan {
    /// Decides where stubs go; may resize sections that the module brings for them.
    pub(crate) fn new(
        file: &ModuleFile<'_>,
        policy: &Policy,
        shapes: Shapes,
    ) -> Result<(Shapes, Self), Error> {
        let Some(form) = file.arch().load.stubs.as_ref() else {
            return Ok((shapes, Self::None));
        };
        match policy.stubs {
            Stubs::AsLinux | Stubs::BeforeSections | Stubs::Shared => {
                let (shapes, stubs) = LinuxStubs::new(file, policy, form, shapes)?;
                Ok((shapes, Self::Linux(stubs)))
            }
        }
    }

    /// Bytes to leave free in front of a section.
    pub(crate) fn bytes_before(&self, id: SectionId) -> u64 {
        match self {
            Self::None => 0,
            Self::Linux(stubs) => stubs.bytes_before(id),
        }
    }

    /// Bytes from the start of its region to a section, where the plan fixes that.
    pub(crate) fn planned_offset(&self, _id: SectionId) -> Option<u64> {
        None
    }

    /// Bytes of a region, where the plan fixes that.
    pub(crate) fn planned_size(&self, _region: RegionKind) -> u64 {
        0
    }

    /// Bytes for all stubs.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::None => 0,
            Self::Linux(stubs) => stubs.bytes(),
        }
    }
}
