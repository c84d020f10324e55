//! What the tests share: small modules, a kernel for them, and a host.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod calls;
pub(crate) mod host;
pub(crate) mod prove;

use host::{SimulatedHost, Space};
use klink_arch::Class;
use klink_module::{Export, Loaded, ModuleFile, Modules, Policy, Rules, SymbolTable};

/// A small module, made by `data/make.sh`, and where a kernel for it has its modules and symbols.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Small {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    /// Where modules are loaded.
    pub(crate) modules: u64,
    /// Where the kernel's symbols begin.
    pub(crate) kernel: u64,
}

macro_rules! small {
    ($name:literal, $modules:literal, $kernel:literal) => {
        Small {
            name: $name,
            bytes: include_bytes!(concat!("../data/small.", $name, ".ko")),
            modules: $modules,
            kernel: $kernel,
        }
    };
}

pub(crate) const ALL: [Small; 5] = [
    small!("x86_64", 0xffff_ffff_c000_0000, 0xffff_ffff_8100_0000),
    small!("i386", 0xf800_0000, 0xc100_0000),
    small!("hppa", 0x0400_0000, 0x1010_0000),
    small!("aarch64", 0xffff_8000_0000_0000, 0xffff_8000_0800_0000),
    small!("ppc64le", 0xc008_0000_0000_0000, 0xc000_0000_0000_0000),
];

pub(crate) const USER_X86_64: &[u8] = include_bytes!("../data/user.x86_64.ko");
pub(crate) const USER_HPPA: &[u8] = include_bytes!("../data/user.hppa.ko");

/// What the small modules want of a kernel.
pub(crate) const IMPORTS: [&str; 9] = [
    "kernel_function",
    "kernel_gpl",
    "far_function",
    "kernel_data",
    "param_ops_int",
    "param_array_ops",
    "param_ops_short",
    "param_ops_string",
    "param_ops_bool",
];

impl Small {
    pub(crate) fn file(&self) -> ModuleFile<'static> {
        ModuleFile::parse(self.bytes).expect("a module that is right")
    }

    /// The exports of a kernel.
    pub(crate) fn kernel(&self) -> SymbolTable {
        let mut symbols = SymbolTable::new();
        for (nth, name) in IMPORTS.iter().chain(&["param_ops_charp"]).enumerate() {
            let address = self.kernel + 0x100 * nth as u64;
            let export = match *name {
                "kernel_function" => Export {
                    crc: Some(0xabcd_ef01),
                    namespace: b"KERNEL",
                    ..Export::at(address)
                },
                "kernel_gpl" => Export {
                    crc: Some(2),
                    gpl_only: true,
                    ..Export::at(address)
                },
                _ => Export::at(address),
            };
            symbols.insert(name.as_bytes(), export);
        }
        if let Some(symbol) = self.file().arch().load.global_pointer.symbol() {
            symbols.insert_internal(symbol.as_bytes(), self.kernel + 0x8000);
        }
        symbols
    }

    pub(crate) fn space(&self) -> Space {
        // arm64 reaches per-cpu data as it does the kernel's own; others have small numbers
        let per_cpu = match self.name {
            "aarch64" => self.kernel + 0x10_0000,
            _ => 0x3_0000,
        };
        Space {
            next: self.modules,
            per_cpu,
        }
    }

    /// Loads it, with this command line.
    pub(crate) fn load(
        &self,
        policy: &Policy,
        arguments: &[u8],
        modules: &mut Modules,
        host: &mut SimulatedHost,
    ) -> Loaded<SimulatedHost> {
        let rules = Rules::default();
        klink_module::load(
            self.bytes,
            &rules,
            policy,
            self.kernel(),
            arguments,
            modules,
            host,
        )
    }

    pub(crate) fn host(&self) -> SimulatedHost {
        SimulatedHost::new(self.space())
    }

    pub(crate) fn numbers(&self) -> klink_tables::Numbers {
        let arch = self.file().arch();
        klink_tables::Numbers {
            word: arch.class.into(),
            endian: arch.endian,
        }
    }

    pub(crate) fn word(&self) -> usize {
        match self.file().arch().class {
            Class::Elf32 => 4,
            Class::Elf64 => 8,
        }
    }
}

/// Every policy that there is a name for, and some more.
pub(crate) fn policies(file: &ModuleFile<'_>) -> Vec<Policy> {
    use klink_module::{Blocks, Names, Stubs};
    let linux = Policy::linux(file.arch());
    let shared = Policy::shared_islands(file.arch());
    vec![
        linux,
        Policy {
            names: Names::Functions,
            unload: false,
            ..linux
        },
        Policy {
            blocks: Blocks::EachRegion,
            ..linux
        },
        shared,
        Policy {
            stubs: Stubs::BeforeSections,
            ..shared
        },
        Policy {
            blocks: Blocks::One,
            ..shared
        },
        Policy::packed(file.arch()),
        Policy {
            blocks: Blocks::One,
            ..Policy::packed(file.arch())
        },
    ]
}
