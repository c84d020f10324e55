//! The test kernels' architectures, as data.

use clap::ValueEnum;

/// An architecture with a test kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Arch {
    /// PA-RISC, 32 bits: 17-bit branches that reach 256 KiB.
    #[value(name = "hppa32")]
    Hppa32,
    /// x86-64.
    #[value(name = "x86_64")]
    X86_64,
}

/// How to build, link and boot for one architecture.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// klink's name: the corpus archive's, the output folder's.
    pub(crate) name: &'static str,
    /// `ARCH=` of a kernel build.
    pub(crate) linux_arch: &'static str,
    /// `CROSS_COMPILE=`: the prefix of the compiler's and binutils' programs.
    pub(crate) cross: &'static str,
    /// The kernel's own configuration that `config` changes.
    pub(crate) defconfig: &'static str,
    /// What klink's tests need changed in it, in `.config` syntax.
    pub(crate) config: &'static str,
    /// About how many objects a build compiles; for the progress line only.
    pub(crate) objects: u32,
    /// Debian packages that a build needs, besides [`BUILD_PACKAGES`].
    pub(crate) build_packages: &'static [&'static str],
    /// Debian packages that bring the cross compiler (with a static libc) for
    /// the guest's init.
    pub(crate) init_packages: &'static [&'static str],
    /// The Debian package that brings `qemu`.
    pub(crate) qemu_package: &'static str,
    /// The QEMU system emulator's program.
    pub(crate) qemu: &'static str,
    /// Its machine options.
    pub(crate) machine: &'static [&'static str],
    /// The largest extent of a PC-relative call, in bytes, where modules are
    /// split into chunks to suit it (the `--chunk-script` rival).
    pub(crate) chunk: u64,
    /// What a kernel command line must say besides the console.
    pub(crate) append: &'static str,
    /// Modules that no guest comes back from whoever linked them, each with the
    /// reason; `boot --all` leaves them out and says so.
    pub(crate) hang: &'static [(&'static str, &'static str)],
}

/// Debian packages that every kernel build needs.
pub(crate) const BUILD_PACKAGES: &[&str] = &[
    "bc",
    "bison",
    "flex",
    "gcc",
    "libc6-dev",
    "linux-source-6.1",
    "make",
    "perl",
    "xz-utils",
];

static HPPA32: Recipe = Recipe {
    name: "hppa32",
    linux_arch: "parisc",
    cross: "hppa-linux-gnu-",
    defconfig: "generic-32bit_defconfig",
    config: include_str!("../../kernel/hppa32.config"),
    objects: 1570,
    build_packages: &["gcc-hppa-linux-gnu", "libc6-dev-hppa-cross"],
    init_packages: &["gcc-hppa-linux-gnu", "libc6-dev-hppa-cross"],
    qemu_package: "qemu-system-misc",
    qemu: "qemu-system-hppa",
    // With less memory this kernel ends in an out-of-memory panic at boot.
    machine: &["-m", "2047"],
    // 200,000 of the 262,144 that a 17-bit branch reaches: the rest is for
    // the stubs that the kernel puts in front.
    chunk: 200_000,
    append: "",
    hang: &[(
        "hp_sdc_mlc",
        "its init hangs where the HIL controller that QEMU lacks does not answer",
    )],
};

static X86_64: Recipe = Recipe {
    name: "x86_64",
    linux_arch: "x86_64",
    // Debian's native compiler answers to this prefix too.
    cross: "x86_64-linux-gnu-",
    defconfig: "x86_64_defconfig",
    config: include_str!("../../kernel/x86_64.config"),
    objects: 2200,
    build_packages: &["libelf-dev", "libssl-dev"],
    init_packages: &["gcc", "libc6-dev"],
    qemu_package: "qemu-system-x86",
    qemu: "qemu-system-x86_64",
    // A guest clock that counts instructions: times then repeat to six digits
    // however busy the host is, and the kernel's timer check does not fail.
    machine: &[
        "-accel",
        "tcg",
        "-cpu",
        "max",
        "-m",
        "1024",
        "-icount",
        "shift=0,sleep=off",
    ],
    // Any module fits: calls reach 2 GiB.
    chunk: 1 << 31,
    // Kernel addresses in console output then repeat from boot to boot.
    append: "nokaslr",
    hang: &[],
};

impl Arch {
    /// This architecture's row of data.
    pub(crate) fn recipe(self) -> &'static Recipe {
        match self {
            Self::Hppa32 => &HPPA32,
            Self::X86_64 => &X86_64,
        }
    }
}

impl Recipe {
    /// The cross program `tool` ("gcc", "ld" …).
    pub(crate) fn program(&self, tool: &str) -> String {
        format!("{}{tool}", self.cross)
    }
}
