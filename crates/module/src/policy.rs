//! How a module is laid out. A policy is data: what Linux does is one of them.

use klink_arch::Arch;

/// How a module is laid out, and where its stubs go.
///
/// ```
/// use klink_module::{Blocks, Policy};
///
/// let arch = klink_arch::by_emulation("elf_x86_64").unwrap();
/// let together = Policy { blocks: Blocks::One, ..Policy::linux(arch) };
/// assert_eq!(together.page_size, 4096);
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Policy {
    /// Bytes of a page: what can be protected alone. A power of two.
    pub page_size: u64,
    /// What the ends of regions are aligned to.
    pub rounding: Rounding,
    /// Which regions share a block of memory.
    pub blocks: Blocks,
    /// Where stubs go.
    pub stubs: Stubs,
    /// Which names the loaded module keeps for the kernel's kallsyms.
    pub names: Names,
    /// Whether the module can be unloaded. If not, `.exit…` is freed with init (Linux,
    /// `module_init_layout_section` without `CONFIG_MODULE_UNLOAD`).
    pub unload: bool,
    /// Whether what only init needs is a region of its own, even where the architecture's Linux
    /// keeps it.
    pub always_split_init: bool,
    /// Whether relocations in the template of per-cpu data are applied. Linux leaves them out without a word: it
    /// takes `SHF_ALLOC` from the section before it relocates (`kernel/module/main.c`,
    /// layout_and_allocate, apply_relocations) and copies the template out of the file.
    pub relocates_per_cpu: bool,
    /// Whether processors need the work around the erratum that the architecture describes
    /// ([`PageErratum`](klink_arch::ModuleLoad)).
    pub erratum: bool,
}

/// What the ends of regions are aligned to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Rounding {
    /// Pages: each region can be protected alone (Linux, `CONFIG_STRICT_MODULE_RWX`).
    Pages,
    /// Nothing: a host that gives all regions of a kind out of common pages protects those.
    None,
}

/// Which regions share a block of memory.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Blocks {
    /// One for what stays, one for init (Linux up to 6.3).
    CoreAndInit,
    /// One for each region (Linux from 6.4 on). Branches between them may need stubs.
    EachRegion,
    /// One for everything; init stays until the module goes. For hosts whose memory for init is
    /// further from the rest than branches reach.
    One,
}

/// Where stubs go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stubs {
    /// Where Linux puts them, and as many as it makes and reserves room for.
    AsLinux,
    /// An island in front of each code section, with one stub for each target that may be out of
    /// reach.
    BeforeSections,
    /// As few islands between code sections as reach allows, with one stub for each target in each.
    Shared,
}

/// Which names a loaded module keeps.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Names {
    /// None: they stay with the tools.
    None,
    /// Those of functions (Linux without `CONFIG_KALLSYMS_ALL`).
    Functions,
    /// All (`CONFIG_KALLSYMS_ALL`).
    All,
}

impl Policy {
    /// What Linux 6.1 does with `CONFIG_STRICT_MODULE_RWX`, `CONFIG_KALLSYMS_ALL` and
    /// `CONFIG_MODULE_UNLOAD`, as Debian's kernels are.
    #[must_use]
    pub const fn linux(arch: &Arch) -> Self {
        Self {
            page_size: arch.load.page_size,
            rounding: Rounding::Pages,
            blocks: Blocks::CoreAndInit,
            stubs: Stubs::AsLinux,
            names: Names::All,
            unload: true,
            always_split_init: false,
            relocates_per_cpu: false,
            erratum: false,
        }
    }

    /// klink's own: shared islands, no names, init freed on every architecture.
    #[must_use]
    pub const fn shared_islands(arch: &Arch) -> Self {
        Self {
            stubs: Stubs::Shared,
            names: Names::None,
            always_split_init: true,
            relocates_per_cpu: true,
            ..Self::linux(arch)
        }
    }

    /// The same with a block for each region and no rounding to pages, for hosts that pack the
    /// regions of many modules into pages that they share.
    #[must_use]
    pub const fn packed(arch: &Arch) -> Self {
        Self {
            rounding: Rounding::None,
            blocks: Blocks::EachRegion,
            ..Self::shared_islands(arch)
        }
    }
}
