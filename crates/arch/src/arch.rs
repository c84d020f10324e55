//! What an architecture is, apart from its relocations.

use core::fmt;

use crate::{
    Direct, Field, GotTable, IndirectFunctions, Merge, ModuleLink, ModuleLoad, Plt, PropertyRange,
    Relaxation, Relocation, StubTemplate, ThreadLocal, Value,
};

/// Width of addresses: `EI_CLASS` of the ELF header.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Class {
    /// `ELFCLASS32`: 32-bit addresses, arithmetic modulo 2³².
    Elf32,
    /// `ELFCLASS64`: 64-bit addresses, arithmetic modulo 2⁶⁴.
    Elf64,
}

impl Class {
    /// Bits of an address.
    #[must_use]
    pub const fn address_bits(self) -> u8 {
        match self {
            Self::Elf32 => 32,
            Self::Elf64 => 64,
        }
    }
}

/// Byte order: `EI_DATA` of the ELF header.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Endian {
    /// `ELFDATA2LSB`.
    Little,
    /// `ELFDATA2MSB`.
    Big,
}

/// Where the addends of relocations are.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Addends {
    /// In the relocated fields (`SHT_REL`).
    Rel,
    /// In the relocations (`SHT_RELA`).
    Rela,
}

/// An architecture, with the psABI that Linux uses on it.
///
/// There is one `static` of it for each, so that references to it can be compared by address.
pub struct Arch {
    /// klink's name for it: `hppa`, `hppa64`, `x86_64`, `i386`.
    pub name: &'static str,
    /// `e_machine`.
    pub machine: u16,
    /// `EI_CLASS`.
    pub class: Class,
    /// `EI_DATA`.
    pub endian: Endian,
    /// Which form of relocations its objects have.
    pub addends: Addends,
    /// `EI_OSABI` that GNU ld writes.
    pub osabi: u8,
    /// `EI_ABIVERSION` that GNU ld writes.
    pub abi_version: u8,
    /// `e_flags` that GNU ld writes whatever the inputs have; `None`: the first input's.
    pub elf_flags: Option<u32>,
    /// `e_flags` instead, where OUTPUT_ARCH names one of these. Source: BFD
    /// `elf_backend_final_write_processing` of the target.
    pub elf_flags_of_arch: &'static [(&'static str, u32)],
    /// Names that `ld -m` takes, the one that `ld -V` shows first. Source: GNU ld `emulparams/`.
    pub emulations: &'static [&'static str],
    /// Output formats that `OUTPUT_FORMAT` and `--oformat` take, the default one first. A name
    /// that would make GNU ld write another `EI_OSABI` (`elf32-hppa`: HP-UX) is not among them.
    pub bfd_names: &'static [&'static str],
    /// Names that `OUTPUT_ARCH` takes. Source: BFD `cpu-*.c`.
    pub bfd_arch: &'static [&'static str],
    /// The rows of the psABI, by rising number.
    pub relocations: &'static [Relocation],
    /// For each number up to the highest its row in [`relocations`](Self::relocations), or `u8::MAX`.
    pub(crate) index: &'static [u8],
    /// The short forms of the [`relocations`](Self::relocations).
    pub(crate) directs: &'static [Option<Direct>],
    /// What GNU ld puts between input sections of code where the script asks for nothing.
    pub code_fill: CodeFill,
    /// What GNU ld's own script for a final link fills code with (`=FILL`), as the bytes that
    /// repeat. Empty: nothing, [`code_fill`](Self::code_fill) applies.
    pub default_script_fill: &'static [u8],
    /// Names of output sections whose input sections GNU ld keeps apart under `-r`, one output
    /// section for each. Source: GNU ld `emultempl/`.
    pub unique_sections: &'static [&'static str],
    /// Whether GNU ld's emulation begins every link with an input of its own, which is to hold stubs:
    /// sections that the linker makes for the first input then come before all others. Source: GNU
    /// ld `emultempl/`.
    pub has_stub_input: bool,
    /// Prefixes of local symbol names that compilers make up, besides the `.L`, `..` and `_.L_` of
    /// every ELF target. Source: BFD `bfd_is_local_label_name` of the target.
    pub local_label_prefixes: &'static [&'static str],
    /// Sections whose headers GNU ld fills in specially. Source: BFD `elf_backend_fake_sections`.
    pub special_sections: &'static [SpecialSection],
    /// Prefixes of symbol names that mark code and data inside a section (`$x`, `$d`), where a
    /// disassembler and the kernel need them. A `.` or the end follows the prefix.
    pub mapping_symbols: &'static [&'static str],
    /// Bytes that segments are kept apart by (`CONSTANT(MAXPAGESIZE)`). Source: BFD
    /// `ELF_MAXPAGESIZE` of the target.
    pub max_page_size: u64,
    /// Bytes of the usual page (`CONSTANT(COMMONPAGESIZE)`). Source: BFD `ELF_COMMONPAGESIZE`.
    pub common_page_size: u64,
    /// Whether no page of the file may be mapped twice with different rights. Source: BFD
    /// `elf_backend_no_page_alias`.
    pub no_page_alias: bool,
    /// Whether images have a section symbol for each output section, though nothing needs it.
    /// Source: BFD `TARGET_KEEP_UNUSED_SECTION_SYMBOLS` of the target.
    pub keeps_section_symbols: bool,
    /// Whether code has segments of its own without `-z separate-code`. Source: GNU ld
    /// `configure.tgt`, `ac_default_ld_z_separate_code`.
    pub separate_code: bool,
    /// Whether what is read-only after relocation has a segment without `-z relro`. Source: GNU ld
    /// `configure.tgt`, `ac_default_ld_z_relro`.
    pub relro: bool,
    /// Whether a segment that may be written and executed is worth a warning by default. Source: GNU
    /// ld `configure.tgt`, `ac_default_ld_warn_rwx_segments`.
    pub warns_of_rwx_segments: bool,
    /// Whether an object without `.note.GNU-stack` wants an executable stack. Source: BFD
    /// `elf_backend_default_execstack`.
    pub executable_stack: bool,
    /// Whether GNU ld warns when inputs make the stack executable (ld/configure.tgt,
    /// `ac_default_ld_warn_execstack`).
    pub warns_of_executable_stack: bool,
    /// `p_align` of PT_GNU_STACK. Source: BFD `elf_backend_stack_align`.
    pub stack_align: u64,
    /// The symbol that the global pointer is at, for relocations that count from it.
    pub global_pointer: Option<&'static str>,
    /// A stub for links with final addresses: the shortest that reaches any address.
    pub image_stub: Option<&'static StubTemplate>,
    /// The global offset table. `None`: nothing of it is described here yet.
    pub got: Option<GotTable>,
    /// Program properties of this architecture, beside those that mean the same everywhere.
    pub properties: &'static [PropertyRange],
    /// How code does without slots of that table; the first that applies counts.
    pub relaxations: &'static [Relaxation],
    /// Functions whose addresses programs ask resolvers for when they start (`STT_GNU_IFUNC`). `None`: the
    /// psABI has none, or they are not described here yet.
    pub indirect: Option<&'static IndirectFunctions>,
    /// How programs find thread-local variables. `None`: not described here yet.
    pub thread: Option<&'static ThreadLocal>,
    /// What position-independent outputs (`-shared`, `-pie`) hold for a loader. `None`: GNU ld has
    /// such outputs, but nothing of them is described here yet.
    pub dynamic: Option<DynamicLinking>,
    /// Where functions have a second entry point for callers that share their global pointer:
    /// `None`, or how `st_other` says where. Branches go there; every other relocation means the
    /// symbol itself.
    pub local_entry: Option<LocalEntry>,
    /// What this architecture's Linux wants of a relinked module.
    pub module: ModuleLink,
    /// What this architecture's Linux makes of a module when it loads it.
    pub load: ModuleLoad,
}

impl fmt::Debug for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Arch").field(&self.name).finish()
    }
}

impl Arch {
    /// The relocation of a word that holds an address, S + A.
    #[must_use]
    pub fn word_relocation(&self) -> Option<&'static Relocation> {
        let word = match self.class {
            Class::Elf32 => Field::DATA32,
            Class::Elf64 => Field::DATA64,
        };
        let mut rows = self.relocations.iter();
        rows.find(|row| row.value == Value::Absolute && row.field == word && row.branch.is_none())
    }

    /// The row for relocation type `number`, `None` if the psABI has none. A table look-up, since
    /// it is made for every relocation of a kernel.
    #[inline]
    #[must_use]
    pub fn relocation(&self, number: u32) -> Option<&'static Relocation> {
        let row = *self.index.get(usize::try_from(number).ok()?)?;
        self.relocations.get(usize::from(row))
    }

    /// The short form of relocation type `number`, as Linux's module loader reads it; `None` if it has
    /// none.
    #[inline]
    #[must_use]
    pub fn direct(&self, number: u32) -> Option<&'static Direct> {
        let row = *self.index.get(usize::try_from(number).ok()?)?;
        self.directs.get(usize::from(row))?.as_ref()
    }

    /// How program properties of type `number` are merged; `None`: they are unknown, and are left out.
    #[must_use]
    pub fn property(&self, number: u32) -> Option<Merge> {
        crate::property::rule(self.properties, number)
    }

    /// What is special about the header of the section called `name`.
    #[must_use]
    pub fn special_section(&self, name: &[u8]) -> Option<&'static SpecialSection> {
        self.special_sections
            .iter()
            .find(|special| special.name.as_bytes() == name)
    }

    /// The row with this psABI name, such as `R_X86_64_PC32`.
    #[must_use]
    pub fn relocation_by_name(&self, name: &str) -> Option<&'static Relocation> {
        self.relocations.iter().find(|row| row.name == name)
    }

    /// Bytes from a symbol to the entry point for branches from code with the same global pointer,
    /// by the symbol's `st_other`. Zero where functions have one entry only.
    #[must_use]
    pub fn local_entry_offset(&self, st_other: u8) -> u64 {
        let Some(entry) = self.local_entry else {
            return 0;
        };
        let code = usize::from(st_other >> entry.shift);
        entry.offsets.get(code).copied().unwrap_or(0).into()
    }

    /// Whether a symbol of this name is a mapping symbol.
    #[must_use]
    pub fn is_mapping_symbol(&self, name: &str) -> bool {
        self.mapping_symbols.iter().any(|prefix| {
            name.strip_prefix(prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

/// How `st_other` gives the distance of a function's local entry point.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LocalEntry {
    /// The lowest of the bits of `st_other` that count; all above it do.
    pub shift: u8,
    /// For each value of these bits, bytes from the symbol to the local entry point.
    pub offsets: &'static [u8],
}

/// A section whose header GNU ld fills in specially.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SpecialSection {
    /// Its name.
    pub name: &'static str,
    /// `sh_type`.
    pub section_type: u32,
    /// `sh_entsize`.
    pub entry_size: u64,
    /// The section that `sh_info` names, if there is one of that name (`SHF_INFO_LINK`).
    pub info_section: Option<&'static str>,
    /// If a link with final addresses sorts its entries by their first word, an unsigned number of
    /// 32 bits: bytes of an entry. Source: BFD `elf_hppa_sort_unwind`.
    pub sorted_entry: Option<usize>,
}

/// Makes the look-up table of [`Arch::relocation`].
///
/// # Panics
/// When a static is computed: if a number is `N` or above, out of order or twice there.
pub(crate) const fn index<const N: usize>(rows: &[Relocation]) -> [u8; N] {
    let mut table = [u8::MAX; N];
    let mut row = 0;
    while row < rows.len() {
        assert!(
            row < u8::MAX as usize,
            "too many rows for an index of bytes"
        );
        assert!(
            row == 0 || rows[row - 1].number < rows[row].number,
            "rows out of order"
        );
        table[rows[row].number as usize] = row as u8;
        row += 1;
    }
    table
}

/// What fills the gaps that alignment leaves between input sections of code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CodeFill {
    /// Zero bytes.
    Zeros,
    /// No-operation instructions: element `n` is `n + 1` bytes long. As many of the longest as fit,
    /// then one of what is left.
    Nops(&'static [&'static [u8]]),
}

impl CodeFill {
    /// Fills `gap`.
    pub fn fill(&self, gap: &mut [u8]) {
        match self {
            Self::Zeros => gap.fill(0),
            Self::Nops(nops) => {
                for part in gap.chunks_mut(nops.len().max(1)) {
                    match nops.get(part.len() - 1) {
                        Some(nop) => part.copy_from_slice(nop),
                        None => part.fill(0),
                    }
                }
            }
        }
    }
}

/// The relocations that an output may leave to whoever loads it, and which relocations of the
/// inputs become one of them.
///
/// Static relocations that are in none of the lists (branches, accesses relative to the program
/// counter, offsets from the global offset table) are applied in the link where the symbol is
/// bound in the output.
#[derive(Debug)]
pub struct DynamicLinking {
    /// Whether the dynamic relocations have addends, or find them in the fields.
    pub addends: Addends,
    /// The dynamic linker of programs that name none. Source: BFD `ELF_DYNAMIC_INTERPRETER`.
    pub interpreter: &'static str,
    /// The static type whose field holds a whole address: it stays to be applied at load time,
    /// whatever the symbol. Also the dynamic type for an address with its symbol.
    pub pointer: u32,
    /// Load address + A, without a symbol: what becomes of [`pointer`](Self::pointer) where the
    /// symbol is bound in the output. `None`: it keeps its type and gets the section symbol of the
    /// output section that its symbol is in, the addend made relative to that section.
    pub relative: Option<u32>,
    /// Load address + A for a table entry (GOT), without a symbol.
    pub table_relative: u32,
    /// The dynamic type of a GOT entry whose symbol is bound elsewhere.
    pub glob_dat: u32,
    /// The dynamic type of a PLT entry.
    pub jump_slot: u32,
    /// Copies a shared object's data into an executable.
    pub copy: u32,
    /// An address that a resolver function computes (`STT_GNU_IFUNC`), if the psABI has it.
    pub irelative: Option<u32>,
    /// Further static types that compute an address, by rising number: in a position-independent
    /// output they stay with their type, with the symbol or, where it is bound in the output, as
    /// [`relative`](Self::relative) says for `None`.
    pub absolute: &'static [u32],
    /// Static types relative to the program counter, or for a symbol's size, by rising number: they stay
    /// with their type where the symbol is not bound in the output.
    pub pc_relative: &'static [u32],
    /// Static types that ask for a PLT entry, by rising number. (Where the symbol is bound in the output
    /// it gets none.)
    pub calls: &'static [u32],
    /// What calls of functions that are bound elsewhere go through, if klink can make it.
    pub plt: Option<Plt>,
    /// Static types relative to the program counter that GNU ld refuses in what is read only, by rising
    /// number, where a shared object's symbol is not bound in it ("recompile with -fPIC").
    pub refused_read_only: &'static [u32],
    /// Static types that GNU ld refuses in a position-independent output ("recompile with -fPIC"),
    /// by rising number: no loader could write an address into their fields.
    pub refused: &'static [u32],
    /// Whether `.dynamic` always has `DT_PLTGOT`, and not only with a PLT.
    pub always_pltgot: bool,
    /// Whether `_GLOBAL_OFFSET_TABLE_` is a dynamic symbol, absolute and met before those of the
    /// inputs.
    pub exports_got: bool,
}

impl DynamicLinking {
    /// Whether GNU ld refuses static type `number` in a position-independent output.
    #[must_use]
    pub fn refuses(&self, number: u32) -> bool {
        self.refused.binary_search(&number).is_ok()
    }

    /// Whether static type `number` computes an address, so that it stays in a position-independent
    /// output whatever its symbol.
    #[must_use]
    pub fn is_absolute(&self, number: u32) -> bool {
        number == self.pointer || self.absolute.binary_search(&number).is_ok()
    }

    /// Whether static type `number` stays in a position-independent output where its symbol is not
    /// bound in it.
    #[must_use]
    pub fn is_pc_relative(&self, number: u32) -> bool {
        self.pc_relative.binary_search(&number).is_ok()
    }
}
