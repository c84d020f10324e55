//! The sections that loaders know by name.

use crate::id::SectionId;

macro_rules! known {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A section that a loader treats specially, found by its name. Where a module has several
        /// of one name, the first allocated one counts (Linux, `kernel/module/main.c`, `find_sec`).
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        pub(crate) enum Known {
            $($(#[$doc])* $variant,)*
        }

        const COUNT: usize = [$(Known::$variant),*].len();

        impl Known {
            pub(crate) fn from_name(name: &[u8]) -> Option<Self> {
                // nearly all names of big modules are functions'
                if name.starts_with(b".text") {
                    return None;
                }
                $(if name == $name { return Some(Self::$variant); })*
                None
            }
        }
    };
}

known! {
    /// Strings about the module; not loaded.
    Modinfo = b".modinfo",
    /// CRCs of the symbols that it uses; not loaded.
    Versions = b"__versions",
    /// The same since 6.14: CRCs; not loaded.
    ExtendedCrcs = b"__version_ext_crcs",
    /// The names for them; not loaded.
    ExtendedNames = b"__version_ext_names",
    /// The kernel's `struct module`.
    ThisModule = b".gnu.linkonce.this_module",
    /// One copy for each processor.
    PerCpu = b".data..percpu",
    /// Read-only once init has returned.
    RoAfterInit = b".data..ro_after_init",
    /// Jump labels; read-only once init has returned.
    JumpTable = b"__jump_table",
    /// Exported symbols.
    Ksymtab = b"__ksymtab",
    /// Symbols exported to modules with a GPL-compatible licence.
    KsymtabGpl = b"__ksymtab_gpl",
    /// The names of exported symbols and of their namespaces.
    KsymtabStrings = b"__ksymtab_strings",
    /// CRCs of the exported symbols.
    Kcrctab = b"__kcrctab",
    /// The same of `__ksymtab_gpl`.
    KcrctabGpl = b"__kcrctab_gpl",
    /// Parameters.
    Param = b"__param",
    /// Exception table.
    ExTable = b"__ex_table",
}

/// Where they are.
#[derive(Clone, Debug, Default)]
pub(crate) struct KnownSections([Option<SectionId>; COUNT]);

impl KnownSections {
    pub(crate) fn get(&self, known: Known) -> Option<SectionId> {
        self.0.get(known as usize).copied().flatten()
    }

    /// Remembers a section, unless there is one of that name already.
    pub(crate) fn set(&mut self, known: Known, id: SectionId) {
        if let Some(slot) = self.0.get_mut(known as usize) {
            slot.get_or_insert(id);
        }
    }
}
