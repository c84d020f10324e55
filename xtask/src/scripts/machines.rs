//! The kernels whose scripts are read, as data: each architecture of Linux 6.1 that Debian 12 has a
//! compiler for, in each of its word sizes and byte orders. Those of `arch/` that are missing
//! (csky, hexagon, ia64, loongarch, microblaze, nios2, openrisc, xtensa) have no compiler there.

/// How to have the scripts of one kernel preprocessed.
#[derive(Debug)]
pub(super) struct Machine {
    /// klink's name for it, and the build folder's.
    pub name: &'static str,
    /// `ARCH=` of a kernel build.
    pub linux_arch: &'static str,
    /// `CROSS_COMPILE=`.
    pub cross: &'static str,
    /// The goal that configures the kernel.
    pub defconfig: &'static str,
    /// Debian's package of the compiler.
    pub package: &'static str,
    /// Folders of `arch/` that have its scripts, at any depth.
    pub folders: &'static [&'static str],
    /// Scripts that are not found by the name of their source there.
    pub more: &'static [&'static str],
}

/// What is asked of every machine, besides what its folders hold.
pub(super) const COMMON: &[&str] = &["scripts/module.lds"];

/// Scripts that a kernel build uses with `-r`; the others make images.
pub(super) const RELOCATABLE: &[&str] = &[
    "arch/arm64/kvm/hyp/nvhe/hyp.lds",
    "arch/powerpc/platforms/44x/ppc476_modules.lds",
    "arch/s390/purgatory/purgatory.lds",
    "scripts/module.lds",
];

/// A header that a build derives from a finished `vmlinux`: scripts need only its names, so numbers
/// of about the right size stand for those of a kernel that is not built here.
pub(super) struct StandIn {
    /// Where it is made in the build folder.
    pub path: &'static str,
    /// Its contents.
    pub text: &'static str,
}

/// Every such header.
pub(super) const STAND_INS: &[StandIn] = &[StandIn {
    path: "arch/parisc/boot/compressed/sizes.h",
    text: "#define SZ_end 0x2000000\n#define SZ__bss_start 0x1f00000\n\
           #define SZparisc_kernel_start 0x10000000\n",
}];

const MIPS64_VDSO: &[&str] = &["arch/mips/vdso/vdso-n32.lds", "arch/mips/vdso/vdso-o32.lds"];

/// Used by every architecture that can have the generic EFI boot wrapper.
const ZBOOT: &[&str] = &["drivers/firmware/efi/libstub/zboot.lds"];

const X86: &[&str] = &["x86/boot", "x86/entry", "x86/kernel", "x86/realmode"];

const NATIVE: &str = "x86_64-linux-gnu-";

/// The kernels, by name; one line each.
#[rustfmt::skip]
pub(super) const MACHINES: &[Machine] = &[
    Machine::new("alpha", "alpha", "alpha-linux-gnu-", "defconfig", "gcc-alpha-linux-gnu", &["alpha"]),
    Machine::new("arc", "arc", "arc-linux-gnu-", "defconfig", "gcc-arc-linux-gnu", &["arc"]),
    Machine::new("arm-v5", "arm", "arm-linux-gnueabi-", "multi_v5_defconfig", "gcc-arm-linux-gnueabi", &["arm"]),
    Machine::new("arm-v7", "arm", "arm-linux-gnueabihf-", "defconfig", "gcc-arm-linux-gnueabihf", &["arm"]),
    Machine::new("arm64", "arm64", "aarch64-linux-gnu-", "defconfig", "gcc-aarch64-linux-gnu", &["arm64"]).with(ZBOOT),
    Machine::new("hppa32", "parisc", "hppa-linux-gnu-", "generic-32bit_defconfig", "gcc-hppa-linux-gnu", &["parisc"]),
    Machine::new("hppa64", "parisc", "hppa64-linux-gnu-", "generic-64bit_defconfig", "gcc-hppa64-linux-gnu", &["parisc"]),
    Machine::new("i386", "i386", NATIVE, "defconfig", "gcc", X86),
    Machine::new("m68k", "m68k", "m68k-linux-gnu-", "defconfig", "gcc-m68k-linux-gnu", &["m68k"]),
    Machine::new("m68k-nommu", "m68k", "m68k-linux-gnu-", "m5208evb_defconfig", "gcc-m68k-linux-gnu", &["m68k"]),
    Machine::new("m68k-sun3", "m68k", "m68k-linux-gnu-", "sun3_defconfig", "gcc-m68k-linux-gnu", &["m68k"]),
    Machine::new("mips", "mips", "mips-linux-gnu-", "32r2_defconfig", "gcc-mips-linux-gnu", &["mips"]),
    Machine::new("mips64", "mips", "mips64-linux-gnuabi64-", "64r2_defconfig", "gcc-mips64-linux-gnuabi64", &["mips"]).with(MIPS64_VDSO),
    Machine::new("mips64el", "mips", "mips64el-linux-gnuabi64-", "64r2el_defconfig", "gcc-mips64el-linux-gnuabi64", &["mips"]).with(MIPS64_VDSO),
    Machine::new("mips64r6", "mips", "mipsisa64r6-linux-gnuabi64-", "64r6_defconfig", "gcc-mipsisa64r6-linux-gnuabi64", &["mips"]).with(MIPS64_VDSO),
    Machine::new("mips64r6el", "mips", "mipsisa64r6el-linux-gnuabi64-", "64r6el_defconfig", "gcc-mipsisa64r6el-linux-gnuabi64", &["mips"]).with(MIPS64_VDSO),
    Machine::new("mipsel", "mips", "mipsel-linux-gnu-", "32r2el_defconfig", "gcc-mipsel-linux-gnu", &["mips"]),
    Machine::new("mipsr6", "mips", "mipsisa32r6-linux-gnu-", "32r6_defconfig", "gcc-mipsisa32r6-linux-gnu", &["mips"]),
    Machine::new("mipsr6el", "mips", "mipsisa32r6el-linux-gnu-", "32r6el_defconfig", "gcc-mipsisa32r6el-linux-gnu", &["mips"]),
    Machine::new("powerpc", "powerpc", "powerpc-linux-gnu-", "pmac32_defconfig", "gcc-powerpc-linux-gnu", &["powerpc"]),
    Machine::new("powerpc64", "powerpc", "powerpc64-linux-gnu-", "ppc64_defconfig", "gcc-powerpc64-linux-gnu", &["powerpc"]),
    Machine::new("powerpc64le", "powerpc", "powerpc64le-linux-gnu-", "ppc64le_defconfig", "gcc-powerpc64le-linux-gnu", &["powerpc"]),
    Machine::new("riscv32", "riscv", "riscv64-linux-gnu-", "rv32_defconfig", "gcc-riscv64-linux-gnu", &["riscv"]).with(ZBOOT),
    Machine::new("riscv64", "riscv", "riscv64-linux-gnu-", "defconfig", "gcc-riscv64-linux-gnu", &["riscv"]).with(ZBOOT),
    Machine::new("s390x", "s390", "s390x-linux-gnu-", "defconfig", "gcc-s390x-linux-gnu", &["s390"]),
    Machine::new("sh4", "sh", "sh4-linux-gnu-", "defconfig", "gcc-sh4-linux-gnu", &["sh"]),
    Machine::new("sparc32", "sparc", "sparc64-linux-gnu-", "sparc32_defconfig", "gcc-sparc64-linux-gnu", &["sparc"]),
    Machine::new("sparc64", "sparc", "sparc64-linux-gnu-", "sparc64_defconfig", "gcc-sparc64-linux-gnu", &["sparc"]),
    Machine::new("um", "um", NATIVE, "x86_64_defconfig", "gcc", &["um", "x86/um"]),
    Machine::new("x86_64", "x86_64", NATIVE, "defconfig", "gcc", X86),
];

impl Machine {
    const fn new(
        name: &'static str,
        linux_arch: &'static str,
        cross: &'static str,
        defconfig: &'static str,
        package: &'static str,
        folders: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            linux_arch,
            cross,
            defconfig,
            package,
            folders,
            more: &[],
        }
    }

    const fn with(mut self, more: &'static [&'static str]) -> Self {
        self.more = more;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_sorted_by_name_and_named_once() {
        assert!(MACHINES.windows(2).all(|pair| pair[0].name < pair[1].name));
    }
}
