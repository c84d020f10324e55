//! What `klink inspect` finds in one file. As JSON, the names here are the names there: they are
//! stable, and new ones may be added.

use serde::Serialize;

use crate::compressed::Compression;

/// One file.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The path as it was found.
    pub(crate) file: String,
    /// Bytes of the file on disk.
    pub(crate) file_bytes: u64,
    /// How it is compressed.
    pub(crate) compression: Compression,
    /// Bytes of the object, unpacked, a signature included.
    pub(crate) object_bytes: u64,
    /// klink's name for the architecture, or `e_machine`'s name in lower case without `EM_`.
    pub(crate) architecture: String,
    /// `e_machine`.
    pub(crate) machine: u16,
    /// Width of addresses: 32 or 64.
    pub(crate) bits: u8,
    /// `"little"` or `"big"`.
    pub(crate) byte_order: &'static str,
    /// Whether klink knows this architecture's relocations. If not, `stubs` and `branches` are
    /// null.
    pub(crate) relocation_data: bool,
    /// What the module says of itself; null for an object that is not a module.
    pub(crate) module: Option<Module>,
    /// Sections.
    pub(crate) sections: Sections,
    /// Symbols.
    pub(crate) symbols: Symbols,
    /// Relocations.
    pub(crate) relocations: Relocations,
    /// Bytes in memory after Linux has laid the sections out.
    pub(crate) layout: Layout,
    /// Stubs that Linux's loader makes room for; null without relocation data.
    pub(crate) stubs: Option<Stubs>,
    /// Each form of branch that is left to the loader; null without relocation data.
    pub(crate) branches: Option<Vec<Form>>,
    /// The smallest headroom of all forms; null if no branch can be measured.
    pub(crate) headroom: Option<Headroom>,
}

impl Report {
    /// Branches that reach neither their target nor a stub.
    pub(crate) fn out_of_reach(&self) -> u64 {
        let forms = self.branches.iter().flatten();
        forms.map(|form| form.out_of_reach).sum()
    }

    /// Names of the relocation types that the kernel's loader cannot apply.
    pub(crate) fn refused(&self) -> Vec<&str> {
        let types = self.relocations.by_type.iter();
        types
            .filter(|row| row.refused)
            .map(|row| row.name.as_str())
            .collect()
    }

    /// Whether this is nothing that a kernel would refuse, as far as klink looked.
    pub(crate) fn is_fine(&self) -> bool {
        self.out_of_reach() == 0 && self.refused().is_empty()
    }
}

/// What a module says of itself (`.modinfo`) and what it has.
#[derive(Debug, Serialize)]
pub(crate) struct Module {
    /// `name=`; null if absent (kernels before 4.16).
    pub(crate) name: Option<String>,
    /// `vermagic=`: must equal the kernel's.
    pub(crate) vermagic: Option<String>,
    /// `depends=`: modules that must be loaded before.
    pub(crate) depends: Vec<String>,
    /// Whether it has an `init_module`.
    pub(crate) init: bool,
    /// Whether it has a `cleanup_module`. With an init and without this it cannot be unloaded.
    pub(crate) exit: bool,
    /// Whether a signature is appended.
    pub(crate) signed: bool,
}

/// Counts of sections.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Sections {
    /// Section headers, the null one included, as `readelf -h` counts them.
    pub(crate) headers: u64,
    /// Those that are loaded (`SHF_ALLOC`; without `.modinfo` and `__versions`, which Linux reads
    /// and drops).
    pub(crate) loaded: u64,
    /// Loaded sections without a byte.
    pub(crate) loaded_empty: u64,
    /// How many there are of each kind; the null one is not among them.
    pub(crate) by_kind: Kinds,
}

/// Counts of sections by what is in them.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Kinds {
    /// Code.
    pub(crate) text: u64,
    /// Loaded, neither code nor writable.
    pub(crate) rodata: u64,
    /// Loaded and writable.
    pub(crate) data: u64,
    /// Loaded, writable, zero at first.
    pub(crate) bss: u64,
    /// `SHT_REL` and `SHT_RELA`.
    pub(crate) relocations: u64,
    /// Symbol and string tables.
    pub(crate) symbols: u64,
    /// `.debug*`.
    pub(crate) debug: u64,
    /// Everything else.
    pub(crate) other: u64,
}

/// Counts of symbols.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Symbols {
    /// Entries, the null one included, as `readelf -s` counts them.
    pub(crate) total: u64,
    /// Those that the kernel or another module must have.
    pub(crate) undefined: u64,
}

/// Counts of relocations.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Relocations {
    /// All.
    pub(crate) total: u64,
    /// Bytes of their sections in the file.
    pub(crate) bytes: u64,
    /// By type, the most frequent first.
    pub(crate) by_type: Vec<TypeCount>,
}

/// One type of relocation.
#[derive(Debug, Serialize)]
pub(crate) struct TypeCount {
    /// psABI name; `type N` if it has none.
    pub(crate) name: String,
    /// `r_info`'s type.
    pub(crate) number: u32,
    /// How many.
    pub(crate) count: u64,
    /// Whether the kernel's loader refuses a module with it (only for modules, in loaded sections,
    /// of architectures with relocation data).
    pub(crate) refused: bool,
}

/// Bytes in memory after Linux has laid the sections out (`layout_sections`), alignment and space
/// for stubs included; without the rounding of regions to pages, the copy of the symbol table that
/// kallsyms keeps, and the parisc64 loader's GOT and descriptors.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Layout {
    /// What stays.
    pub(crate) core: Regions,
    /// What is discarded after the module's init returns.
    pub(crate) init: Regions,
    /// `.data..percpu`, which is allocated apart, once for each processor.
    pub(crate) percpu: u64,
}

/// Bytes of each region of core or init.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Regions {
    /// Code.
    pub(crate) text: u64,
    /// Data that is never written.
    pub(crate) rodata: u64,
    /// Data that init may write, and nobody after it.
    pub(crate) ro_after_init: u64,
    /// Writable data.
    pub(crate) data: u64,
    /// Writable data that is zero at first.
    pub(crate) bss: u64,
    /// All of these.
    pub(crate) total: u64,
}

/// Space that Linux's loader keeps for its own stubs.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Stubs {
    /// One for each branch of certain types in a loaded section.
    pub(crate) for_branches: u64,
    /// One more in front of each loaded section, whether it has a branch or not.
    pub(crate) spare: u64,
    /// Bytes of one.
    pub(crate) bytes_each: u64,
    /// Bytes of all.
    pub(crate) bytes: u64,
}

/// The branches of one relocation type in loaded sections.
#[derive(Debug, Serialize)]
pub(crate) struct Form {
    /// psABI name.
    pub(crate) name: &'static str,
    /// How far back it reaches, in bytes from the branch; negative.
    pub(crate) reach_back: i64,
    /// How far forth it reaches, in bytes from the branch.
    pub(crate) reach_forth: i64,
    /// How many there are.
    pub(crate) count: u64,
    /// Those that reach their target inside the module.
    pub(crate) direct: u64,
    /// Those that go to a stub of the loader's in front of their section.
    pub(crate) to_stub: u64,
    /// Those that leave for the kernel or for the other one of core and init, on architectures
    /// whose loader has no stubs: how far that is, only the kernel knows.
    pub(crate) leaving: u64,
    /// Those that reach neither target nor stub: the kernel refuses the module.
    pub(crate) out_of_reach: u64,
    /// The first of these, at which the kernel gives up; null if there is none.
    pub(crate) first_out_of_reach: Option<OutOfReach>,
    /// The branch with the least headroom; null if all leave.
    pub(crate) furthest: Option<Furthest>,
}

/// A branch that reaches neither its target nor a stub.
#[derive(Debug, Serialize)]
pub(crate) struct OutOfReach {
    /// Section of the branch.
    pub(crate) section: String,
    /// Offset of the branch in it.
    pub(crate) offset: u64,
    /// The symbol that it goes to, or the section if that has no name.
    pub(crate) target: String,
    /// What does not fit, in units of the field, as the kernel prints it.
    pub(crate) value: u64,
    /// Bits of the field.
    pub(crate) bits: u32,
}

/// The branch that is closest to breaking: the one whose safer way, to its target or to a stub, has
/// the least left.
#[derive(Debug, Serialize)]
pub(crate) struct Furthest {
    /// Section of the branch.
    pub(crate) section: String,
    /// Offset of the branch in it.
    pub(crate) offset: u64,
    /// The symbol that it goes to, or the section if that has no name.
    pub(crate) target: String,
    /// Whether the safer of its ways there is a stub in front of its section; the distance is to
    /// the stub then.
    pub(crate) by_stub: bool,
    /// Bytes from the branch to its target or stub; negative: back.
    pub(crate) distance: i64,
    /// What is left.
    pub(crate) headroom: Headroom,
}

/// How much further a branch could go before it breaks.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Headroom {
    /// Bytes; negative if it is broken.
    pub(crate) bytes: i64,
    /// The same in percent of the reach in that direction.
    pub(crate) percent: f64,
}

/// A file that could not be inspected, as JSON.
#[derive(Serialize)]
pub(crate) struct BadFile<'a> {
    /// The path as it was found.
    pub(crate) file: &'a str,
    /// Why.
    pub(crate) error: String,
}
