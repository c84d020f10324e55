//! Where kernels have themselves and their modules.

#![allow(
    clippy::single_range_in_vec_init,
    reason = "most kernels have one range for modules"
)]

use core::ops::Range;

/// Where the Linux kernel of an architecture has itself, its modules and per-cpu data when addresses
/// are not randomized.
///
/// A kernel knows its own addresses; a tool that only plays one uses these, so that what it reports is
/// near what the kernel would do: the distance from modules to the kernel decides which branches need
/// stubs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AddressSpace {
    /// Where the kernel's image begins.
    pub kernel: u64,
    /// Where modules go.
    pub modules: Range<u64>,
    /// Where they go when that is full.
    pub more: Option<Range<u64>>,
    /// What per-cpu symbols of modules count from, behind the kernel's own.
    pub per_cpu: u64,
}

impl AddressSpace {
    /// x86-64 (Linux 6.1 `arch/x86/include/asm/pgtable_64_types.h`, MODULES_VADDR and MODULES_END with
    /// `CONFIG_RANDOMIZE_BASE`). Per-cpu symbols of the kernel are offsets that begin at zero.
    pub(crate) const X86_64: Self = Self {
        kernel: 0xffff_ffff_8100_0000,
        modules: 0xffff_ffff_c000_0000..0xffff_ffff_ff00_0000,
        more: None,
        per_cpu: 0x3_0000,
    };

    /// i386 (`arch/x86/include/asm/pgtable_32_areas.h`): modules are in the vmalloc area, which
    /// begins 8 MiB above the memory that is always mapped; here as if that were 248 MiB.
    pub(crate) const I386: Self = Self {
        kernel: 0xc100_0000,
        modules: 0xd000_0000..0xff00_0000,
        more: None,
        per_cpu: 0xc700_0000,
    };

    /// PA-RISC 32 (`arch/parisc/mm/init.c`, parisc_vmalloc_start; `asm/page.h`): modules are in the
    /// vmalloc area, below the kernel.
    pub(crate) const HPPA32: Self = Self {
        kernel: 0x1010_0000,
        modules: 0x0200_0000..0x0f00_0000,
        more: None,
        per_cpu: 0x1300_0000,
    };

    /// PA-RISC 64, the same with a kernel at 1 GiB.
    pub(crate) const HPPA64: Self = Self {
        kernel: 0x4010_0000,
        modules: 0x0200_0000..0x3f00_0000,
        more: None,
        per_cpu: 0x4700_0000,
    };

    /// arm64 with 48 bits of address (`arch/arm64/include/asm/memory.h`, MODULES_VADDR;
    /// `kernel/module.c`, module_alloc): the 128 MiB below the kernel, and when these are full
    /// whatever is within 2 GiB. Code reaches per-cpu data as it does the kernel's own.
    pub(crate) const AARCH64: Self = Self {
        kernel: 0xffff_8000_0800_0000,
        modules: 0xffff_8000_0000_0000..0xffff_8000_0800_0000,
        more: Some(0xffff_8000_1000_0000..0xffff_8000_8000_0000),
        per_cpu: 0xffff_8000_0f00_0000,
    };

    /// PowerPC 64 with pages of 64 KiB or a radix table
    /// (`arch/powerpc/include/asm/book3s/64/{hash-64k,radix}.h`): modules are in the vmalloc area.
    pub(crate) const PPC64: Self = Self {
        kernel: 0xc000_0000_0000_0000,
        modules: 0xc008_0000_0000_0000..0xc008_1000_0000_0000,
        more: None,
        per_cpu: 0xc000_0000_0700_0000,
    };
}
