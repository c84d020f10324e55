//! What the Linux kernel of an architecture wants of a module, and what it makes of one.

use crate::{AddressSpace, Pattern, Relocation, Rewrite, StubTemplate};

/// What the Linux kernel of an architecture wants of a module that is linked again.
#[derive(Debug)]
pub struct ModuleLink {
    /// Relocation types that the kernel's module loader can apply, by rising number. Any other
    /// makes it refuse the module. Source: `apply_relocate_add` or `apply_relocate` in the
    /// architecture's `kernel/module.c`.
    pub loadable: &'static [u32],
    /// Relocation types that a link may apply when site and target are in one section, by rising
    /// number: their value depends on the distance alone.
    pub resolvable: &'static [u32],
    /// Stubs that this architecture's branches may need inside a module. `None`: every branch
    /// reaches as far as a module can be.
    pub stubs: Option<ModuleStubs>,
    /// Bytes that the kernel reserves in front of an `SHF_ALLOC` section for each branch that may
    /// need a stub of the kernel's; the same once more for each section.
    pub reserved_stub_bytes: u32,
    /// The relocation types that it counts for this, by rising number.
    pub reserving: &'static [u32],
}

impl ModuleLink {
    /// Whether the kernel's loader can apply relocation type `number`.
    #[must_use]
    pub fn loads(&self, number: u32) -> bool {
        self.loadable.binary_search(&number).is_ok()
    }

    /// Whether a link may apply relocation type `number` when site and target are in one section.
    #[must_use]
    pub fn resolves(&self, number: u32) -> bool {
        self.resolvable.binary_search(&number).is_ok()
    }
}

/// The two kinds of stub that a module may hold.
#[derive(Debug)]
pub struct ModuleStubs {
    /// Goes anywhere; its relocations are left to the kernel.
    pub anywhere: &'static StubTemplate,
    /// Goes to the same section, and needs no relocation.
    pub same_section: &'static StubTemplate,
}

/// What the Linux kernel's own loader makes of a module, besides applying its relocations.
///
/// All of it is the kernel's habit, not the psABI's: two loaders that differ here both work. A loader
/// that is to be compared with Linux byte for byte follows it.
#[derive(Debug)]
pub struct ModuleLoad {
    /// Stubs that the loader makes. `None`: every branch reaches.
    pub stubs: Option<LoaderStubs>,
    /// What the global pointer holds in the module's code.
    pub global_pointer: LoaderPointer,
    /// Slots and descriptors that the loader makes behind the core region's sections.
    pub slots: Option<LoaderSlots>,
    /// What becomes of the instruction behind a call through a stub.
    pub after_call: Option<AfterCall>,
    /// An erratum of processors that the loader works around where the host asks for it.
    pub page_erratum: Option<&'static PageErratum>,
    /// Prefixes of the names of sections that are freed after the module's init has run. Empty: the
    /// kernel keeps them. Source: `module_init_section`.
    pub init_sections: &'static [&'static str],
    /// Sections that are aligned at least so. Source: `module_frob_arch_sections`.
    pub section_align: &'static [(&'static str, u64)],
    /// Sections of which the kernel makes executable NOBITS ones for its own use.
    pub reserved_sections: &'static [ReservedSection],
    /// Characters in front of undefined symbols that are not part of the name under which the kernel
    /// exports it, besides the special ones in [`global_pointer`](Self::global_pointer).
    pub symbol_prefix: Option<char>,
    /// Bytes of a page of the kernels that distributions ship.
    pub page_size: u64,
    /// Where kernels have their modules.
    pub space: AddressSpace,
    /// Whether a module is refused where a field with a RELA relocation is not zero.
    pub wants_zero_fields: bool,
    /// Whether a module is refused where a relocation's symbol has the value zero (also an undefined
    /// weak one).
    pub refuses_zero_symbols: bool,
}

impl ModuleLoad {
    /// A loader that only applies relocations, and frees what is called `.init…`.
    pub(crate) const fn plain(space: AddressSpace) -> Self {
        Self {
            stubs: None,
            global_pointer: LoaderPointer::None,
            slots: None,
            after_call: None,
            page_erratum: None,
            init_sections: &[".init"],
            section_align: &[],
            reserved_sections: &[],
            symbol_prefix: None,
            page_size: 0x1000,
            space,
            wants_zero_fields: false,
            refuses_zero_symbols: false,
        }
    }

    /// Whether the section called `name` is freed after init.
    #[must_use]
    pub fn is_init(&self, name: &[u8]) -> bool {
        self.init_sections
            .iter()
            .any(|prefix| name.starts_with(prefix.as_bytes()))
    }
}

/// A section that a module brings for the kernel's own use.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ReservedSection {
    /// Its name.
    pub name: &'static str,
    /// Bytes in memory, whatever the file says.
    pub bytes: u64,
    /// What its address is a multiple of, whatever the file says; a power of two.
    pub align: u64,
}

/// What the global pointer holds in a module's code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LoaderPointer {
    /// There is none.
    None,
    /// The kernel's own, which it has a symbol for (PA-RISC 32).
    Kernel(&'static str),
    /// The first of the slots that the loader makes (PA-RISC 64).
    Slots,
    /// A place in one of the module's sections: its address rounded down to `align`, plus `offset`
    /// (PowerPC 64, `my_r2`).
    Section {
        /// The sections, the first that there is counts.
        names: &'static [&'static str],
        /// A power of two.
        align: u64,
        /// Bytes.
        offset: u64,
        /// The undefined symbol that means this place.
        symbol: &'static str,
    },
}

impl LoaderPointer {
    /// The symbol that the global pointer is at, in the kernel or in the module.
    #[must_use]
    pub const fn symbol(self) -> Option<&'static str> {
        match self {
            Self::None | Self::Slots => None,
            Self::Kernel(symbol) | Self::Section { symbol, .. } => Some(symbol),
        }
    }
}

/// The stubs that a loader makes.
#[derive(Debug)]
pub struct LoaderStubs {
    /// Where they are.
    pub place: StubPlace,
    /// Bytes from one stub to the next.
    pub slot_bytes: u32,
    /// What the first one's address is a multiple of.
    pub align: u64,
    /// Relocation types that may need a stub, by rising number.
    pub counted: &'static [u32],
    /// Which of their relocations get a slot.
    pub count: StubCount,
    /// Slots that are reserved beside: for each section in front of which stubs are, or for each
    /// section that holds them.
    pub spare: u32,
    /// When a branch takes one that there is.
    pub sharing: StubSharing,
    /// The stubs, the first that fits a branch counts. A branch that none fits goes to its target.
    pub kinds: &'static [LoaderStub],
}

/// Where a loader puts its stubs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StubPlace {
    /// In front of each allocated section, those of its own branches (PA-RISC,
    /// `arch_mod_section_prepend`). The first is aligned *up* to
    /// [`align`](LoaderStubs::align) from `slots × bytes` in front of the section.
    BeforeSections,
    /// In a section that the module brings for it, which is resized and becomes NOBITS where
    /// `becomes_nobits`; the address of the section is aligned to [`align`](LoaderStubs::align).
    Sections {
        /// For branches of the core region.
        core: &'static str,
        /// For those of the init region; the same one where the kernel does not tell them apart.
        init: &'static str,
        /// Whether the section becomes executable NOBITS.
        becomes_nobits: bool,
    },
}

/// Which relocations get a slot for a stub.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StubCount {
    /// Each, for the section that it relocates.
    Each,
    /// Those of executable sections whose symbol is not in that section; of those with the same type,
    /// symbol and no addend one for each section. The loader first moves them to the front of the
    /// section's relocations and sorts them by rising type, symbol and addend, and applies them in that
    /// order (arm64 `partition_branch_plt_relas`, `cmp_rela`).
    DistinctElsewhere,
    /// Those that differ from the one before in symbol or addend, in each section. The loader first
    /// sorts all relocations of the section by *falling* `r_info`, then addend, and applies them in
    /// that order (ppc64 `relacmp`).
    Distinct,
}

/// When a branch takes a stub that is there already.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StubSharing {
    /// Never.
    Never,
    /// When the last stub made goes to the same target (arm64 `plt_entries_equal`).
    Last,
    /// When any stub goes to the same target (ppc64 `stub_for_addr`).
    Any,
}

/// One kind of stub that a loader makes, and for which branches.
#[derive(Debug)]
pub struct LoaderStub {
    /// Where the target must be.
    pub target: StubTarget,
    /// Whether only branches that do not reach it get one.
    pub only_far: bool,
    /// What the symbol must be called.
    pub names: StubNames,
    /// Its code. It may be shorter than [`slot_bytes`](LoaderStubs::slot_bytes).
    pub template: &'static StubTemplate,
    /// Whether the global pointer for its relocations is the kernel's, not the module's.
    pub kernel_pointer: bool,
    /// Whether [`ModuleLoad::after_call`] applies behind such a branch.
    pub restores: bool,
}

/// Where the target of a branch is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StubTarget {
    /// Anywhere.
    Any,
    /// In the module.
    Inside,
    /// Not in the module: its symbol is undefined.
    Outside,
}

/// Symbol names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StubNames {
    /// Any.
    Any,
    /// One of these.
    Only(&'static [&'static str]),
    /// One that begins so.
    Prefix(&'static str),
}

impl StubNames {
    /// Whether `name` is one of these.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::Only(names) => names.iter().any(|only| only.as_bytes() == name),
            Self::Prefix(prefix) => name.starts_with(prefix.as_bytes()),
        }
    }
}

/// Slots with addresses, and function descriptors, that a loader makes at the end of the core region.
///
/// The size of the core region's sections is aligned to [`align`](Self::align), the slots follow, then
/// aligned again the descriptors.
#[derive(Debug)]
pub struct LoaderSlots {
    /// Relocation types that a slot is reserved for, each time, by rising number. Those that ask for
    /// the same S + A share one.
    pub slot_types: &'static [u32],
    /// Bytes of a slot.
    pub slot_bytes: u64,
    /// Relocation types that a descriptor is reserved for, each time, by rising number. One is made
    /// where S + A is in the module; elsewhere S + A *is* a descriptor's address.
    pub descriptor_types: &'static [u32],
    /// Bytes of a descriptor.
    pub descriptor_bytes: u64,
    /// Bytes from the start of a descriptor to the function's address.
    pub function_offset: u64,
    /// Bytes from the start of a descriptor to the global pointer.
    pub pointer_offset: u64,
    /// What both tables are aligned to.
    pub align: u64,
}

/// What becomes of the instruction behind a call that goes through a stub.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AfterCall {
    /// The branches that return, so that there is something to restore.
    pub calls: Pattern,
    /// How the next instruction changes. One that does not match is an error.
    pub restore: Rewrite,
}

/// Cortex-A53 erratum 843419: an `adrp` in the last two words of a page may give a wrong address.
///
/// Source: Linux `arch/arm64/kernel/module.c` (reloc_insn_adrp), `module-plts.c`
/// (module_emit_veneer_for_adrp, count_plts).
#[derive(Debug)]
pub struct PageErratum {
    /// The relocation types of the instruction, by rising number.
    pub types: &'static [u32],
    /// The first offset in a page that it must not be at.
    pub first_offset: u64,
    /// The relocation that applies to the page's address, if that is near, after
    /// [`near_clear`](Self::near_clear).
    pub near: &'static Relocation,
    /// The bits to clear so that the instruction takes it.
    pub near_clear: u64,
    /// What the instruction becomes where it is not near: a branch to a stub that does the same and
    /// branches back behind it. This is the opcode of both branches.
    pub branch: u32,
    /// The type of the relocation of [`branch`](Self::branch).
    pub branch_type: u32,
    /// What is in the stub in front of the branch back, its relocations against the page's address.
    pub template: &'static StubTemplate,
    /// The bits of the original instruction that name its register.
    pub register_mask: u32,
    /// For each instruction of [`template`](Self::template), how far left that number goes, as many
    /// times as the instruction names it.
    pub register_shifts: &'static [&'static [u8]],
}

impl PageErratum {
    /// Whether an instruction at this address may be hit.
    #[must_use]
    pub const fn hits(&self, address: u64) -> bool {
        address & (crate::PAGE_BYTES - 1) >= self.first_offset
    }

    /// The least alignment of a section that keeps an instruction at `offset` of it from being hit;
    /// more than a page if none does.
    ///
    /// Offsets in a page that are hit have all bits above the lowest three set. An alignment to twice
    /// the lowest clear one of these fixes that bit.
    #[must_use]
    pub const fn safe_align(&self, offset: u64) -> u64 {
        let below = (1 << self.first_offset.trailing_zeros()) - 1;
        let lowest_clear = (offset | below).trailing_ones();
        if lowest_clear >= 63 {
            u64::MAX
        } else {
            2 << lowest_clear
        }
    }
}
