//! The kernels whose loader is asked, as data.

use clap::ValueEnum;
use klink_arch::{Arch, aarch64, hppa, ppc64, x86_64};

/// A kernel whose loader is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// Debian's kernel for x86-64.
    Amd64,
    /// Debian's kernel for AArch64.
    Arm64,
    /// The same at random addresses, where modules need stubs, on a processor with erratum 843419.
    Arm64Kaslr,
    /// Debian's kernel for little-endian 64-bit PowerPC.
    Ppc64el,
    /// The PA-RISC test kernel (`cargo xtask kernel hppa32`).
    Hppa32,
}

/// Where a kernel and its modules come from.
#[derive(Debug)]
pub(super) enum Source {
    /// A Debian package `linux-image-<version>-<flavour>`.
    Debian {
        /// Debian's name of the architecture.
        arch: &'static str,
        /// The end of the package's name.
        flavour: &'static str,
        /// What the kernel's file in /boot is called, up to the version.
        image: &'static str,
    },
    /// A tree of `cargo xtask kernel`.
    Tree(crate::kernel::Arch),
}

/// How to boot a kernel and to read what its loader made.
#[derive(Debug)]
pub(super) struct Recipe {
    /// The name on the command line.
    pub(super) name: &'static str,
    pub(super) source: Source,
    /// The architecture of its modules.
    pub(super) arch: &'static Arch,
    /// The Debian package that brings `qemu`.
    pub(super) qemu_package: &'static str,
    /// The QEMU system emulator's program.
    pub(super) qemu: &'static str,
    /// Its machine options.
    pub(super) machine: &'static [&'static str],
    /// Whether the processor has the erratum that the architecture's loader works around.
    pub(super) erratum: bool,
    /// What a kernel command line must say besides.
    pub(super) append: &'static str,
    /// The kernel's console.
    pub(super) console: &'static str,
    /// Registers that hold the first three arguments of a function, by their numbers in QEMU's
    /// list: for `module_finalize` the ELF header, the section headers, and `struct module`.
    pub(super) arguments: [usize; 3],
    /// Bytes from the symbol of a function to where calls from the kernel enter it.
    pub(super) entry: u64,
    /// Page tables that the stub of QEMU cannot follow.
    pub(super) paging: Option<Paging>,
    /// Modules that are asked for when none is named.
    pub(super) modules: &'static [&'static str],
    /// How many modules are asked for when no number is given.
    pub(super) count: usize,
    /// Modules that keep the guest from going on, each with the reason.
    pub(super) hang: &'static [(&'static str, &'static str)],
}

/// Two levels of page tables, as an operating system without a hardware walker has them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Paging {
    /// The symbol of the table for the kernel's own addresses.
    pub(super) root: &'static str,
    /// What the kernel's linear addresses are above physical ones.
    pub(super) linear: u64,
    /// The lowest bit of an address that chooses an entry of the first table.
    pub(super) first_shift: u32,
    /// How far left an entry of the first table, without its flags, is to be shifted for an address.
    pub(super) first_scale: u32,
    /// Flags in an entry of the first table.
    pub(super) first_flags: u64,
    /// Bits of a page.
    pub(super) page_bits: u32,
    /// How far right an entry of the second table is to be shifted for a page's number.
    pub(super) frame_shift: u32,
}

/// Modules of file systems, networks, virtual machines and hardware, the largest and the oddest.
const USUAL: &[&str] = &[
    "xfs",
    "btrfs",
    "ext4",
    "test_user_copy",
    "nf_tables",
    "nfsd",
    "cifs",
    "ceph",
    "zram",
    "dm-crypt",
    "raid456",
    "sctp",
    "tipc",
    "wireguard",
    "openvswitch",
    "bonding",
    "mac80211",
    "bluetooth",
    "nouveau",
    "snd-soc-core",
];

static AMD64: Recipe = Recipe {
    name: "amd64",
    source: Source::Debian {
        arch: "amd64",
        flavour: "-amd64",
        image: "vmlinuz",
    },
    arch: &x86_64::X86_64,
    qemu_package: "qemu-system-x86",
    qemu: "qemu-system-x86_64",
    machine: &["-accel", "tcg", "-cpu", "max", "-m", "3072"],
    erratum: false,
    append: "nokaslr",
    console: "ttyS0",
    arguments: [5, 4, 3],
    entry: 0,
    paging: None,
    modules: &[
        "xfs",
        "btrfs",
        "ext4",
        "kvm",
        "kvm-intel",
        "amdgpu",
        "i915",
        "test_user_copy",
        "nf_tables",
        "nfsd",
        "cifs",
        "ceph",
        "zram",
        "dm-crypt",
        "raid456",
        "sctp",
        "tipc",
        "wireguard",
        "openvswitch",
        "mac80211",
        "bluetooth",
        "nouveau",
        "snd-soc-core",
        "aesni-intel",
        "sha512-ssse3",
        "camellia-aesni-avx2",
        "vmw_vsock_vmci_transport",
        "hv_vmbus",
        "mlx5_core",
        "xt_TPROXY",
    ],
    count: 200,
    hang: &[("test_bpf", "its tests take minutes in an emulator")],
};

static ARM64: Recipe = ARM64_NAMED;

const ARM64_NAMED: Recipe = Recipe {
    name: "arm64",
    source: Source::Debian {
        arch: "arm64",
        flavour: "-arm64",
        image: "vmlinuz",
    },
    arch: &aarch64::AARCH64,
    qemu_package: "qemu-system-arm",
    qemu: "qemu-system-aarch64",
    machine: &[
        "-accel",
        "tcg",
        "-M",
        "virt",
        "-cpu",
        "cortex-a57",
        "-m",
        "2048",
    ],
    erratum: false,
    append: "nokaslr",
    console: "ttyAMA0",
    arguments: [0, 1, 2],
    entry: 0,
    paging: None,
    modules: USUAL,
    count: 40,
    hang: &[],
};

static ARM64_KASLR: Recipe = Recipe {
    name: "arm64-kaslr",
    machine: &[
        "-accel",
        "tcg",
        "-M",
        "virt",
        "-cpu",
        "cortex-a53",
        "-m",
        "2048",
    ],
    erratum: true,
    append: "",
    ..ARM64_NAMED
};

static PPC64EL: Recipe = Recipe {
    name: "ppc64el",
    source: Source::Debian {
        arch: "ppc64el",
        flavour: "-powerpc64le",
        image: "vmlinux",
    },
    arch: &ppc64::PPC64LE,
    qemu_package: "qemu-system-ppc",
    qemu: "qemu-system-ppc64",
    machine: &[
        "-accel", "tcg", "-M", "pseries", "-cpu", "power9", "-m", "2048", "-vga", "none",
    ],
    erratum: false,
    append: "nokaslr",
    console: "hvc0",
    arguments: [3, 4, 5],
    // calls inside the kernel go to the local entry point, behind two instructions
    entry: 8,
    paging: None,
    modules: USUAL,
    count: 40,
    hang: &[],
};

static HPPA32: Recipe = Recipe {
    name: "hppa32",
    source: Source::Tree(crate::kernel::Arch::Hppa32),
    arch: &hppa::HPPA32,
    qemu_package: "qemu-system-misc",
    qemu: "qemu-system-hppa",
    machine: &["-m", "2047"],
    erratum: false,
    append: "nokaslr",
    console: "ttyS0",
    arguments: [26, 25, 24],
    entry: 0,
    // arch/parisc/include/asm/pgtable.h, page.h; arch/parisc/mm/init.c
    paging: Some(Paging {
        root: "swapper_pg_dir",
        linear: 0x1000_0000,
        first_shift: 22,
        first_scale: 8,
        first_flags: 0xf,
        page_bits: 12,
        frame_shift: 12,
    }),
    modules: &[],
    count: usize::MAX,
    hang: &[(
        "hp_sdc_mlc",
        "its init hangs where the HIL controller that QEMU lacks does not answer",
    )],
};

impl Target {
    /// This target's row of data.
    pub(super) fn recipe(self) -> &'static Recipe {
        match self {
            Self::Amd64 => &AMD64,
            Self::Arm64 => &ARM64,
            Self::Arm64Kaslr => &ARM64_KASLR,
            Self::Ppc64el => &PPC64EL,
            Self::Hppa32 => &HPPA32,
        }
    }
}
