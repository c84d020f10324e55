//! The policies that `--layout` names.

use clap::ValueEnum;
use klink_arch::Arch;
use klink_module::{Policy, Rounding, Stubs};

/// How modules are laid out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, ValueEnum)]
pub(crate) enum Layout {
    /// As the architecture's Linux does it
    #[default]
    Linux,
    /// With an island of stubs in front of each code section
    Islands,
    /// With few islands, whose stubs are shared; no names; init freed on every architecture
    Shared,
    /// The same, each region a block of its own, not rounded to pages
    Packed,
}

impl Layout {
    /// What `--layout` calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Linux => "linux",
            Self::Islands => "islands",
            Self::Shared => "shared",
            Self::Packed => "packed",
        }
    }

    /// The policy for an architecture.
    pub(crate) const fn policy(self, arch: &Arch) -> Policy {
        match self {
            Self::Linux => Policy::linux(arch),
            Self::Islands => Policy {
                stubs: Stubs::BeforeSections,
                ..Policy::shared_islands(arch)
            },
            Self::Shared => Policy::shared_islands(arch),
            Self::Packed => Policy::packed(arch),
        }
    }
}

/// Bytes that are left free behind each block: vmalloc has a guard page (`mm/vmalloc.c`,
/// `__get_vm_area_node`), and blocks that share pages have none.
pub(crate) const fn guard(policy: &Policy) -> u64 {
    match policy.rounding {
        Rounding::Pages => policy.page_size,
        Rounding::None => 0,
    }
}
