//! x86-64, also called AMD64. Little-endian, RELA.
//!
//! What is odd about the instruction set:
//!
//! - Instructions are 1 to 15 bytes long and fields are whole bytes at any address: no scattering,
//!   no selectors, and no way to find the instruction from its field.
//! - `call`, `jmp` and conditional jumps have 32-bit displacements, ±2 GiB, which no module or
//!   kernel exceeds: there are no stubs. Displacements count from the end of the instruction,
//!   which the assembler puts into the addend (−4; less where an immediate follows).
//!
//! What is odd about the psABI and about kernels:
//!
//! - Kernels are linked for the top 2 GiB (`-mcmodel=kernel`), so that 32-bit *sign-extended*
//!   addresses do: 32S. `R_X86_64_32` is zero-extended and so is almost never right there.
//! - PC32 is on branches and on data accesses alike; since binutils 2.31 branches to symbols that
//!   may be elsewhere have PLT32 instead, which without a PLT means the same. So PLT32 is the one
//!   that is certain to be a branch.
//! - A linker ignores what is in a field with a RELA relocation and overwrites it. Linux's module
//!   loader refuses a module where such a field is not zero
//!   (`arch/x86/kernel/module.c`, `__apply_relocate_add`; from v6.2 on it clears it when a live
//!   patch is undone).
//! - Linux does not check that PC32 and PLT32 fit; the rows do.
//! - An 8- or 16-bit field may be meant as signed or unsigned: only what fits neither is refused.
//!
//! Sources: "System V ABI, AMD64 supplement", "Relocation"; BFD `elf64-x86-64.c`
//! (x86_64_elf_howto_table); Linux 6.1 `arch/x86/kernel/module.c`.

use crate::arch::index;
use crate::direct::directs;
use crate::rows::elf64::{foreign, marker, row};
use crate::{
    Addends, AddressSpace, Arch, Branch, Class, CodeFill, Direct, DynamicLinking, Endian, Field,
    GotTable, IndirectFunctions, ModuleLink, ModuleLoad, Numbers, Overflow, Plt, Relocation,
    StubRelocation, StubTemplate, StubUse, Value,
};

/// `EM_X86_64`.
const EM_X86_64: u16 = 62;

/// No operation in 1 to 10 bytes. Source: the forms that the Intel SDM recommends, vol. 2, NOP;
/// BFD `cpu-i386.c` pads with the same.
const NOPS: &[&[u8]] = &[
    &[0x90],
    &[0x66, 0x90],
    &[0x0f, 0x1f, 0x00],
    &[0x0f, 0x1f, 0x40, 0x00],
    &[0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00],
    &[0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00],
    &[0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    &[0x66, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
    &[0x66, 0x2e, 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00],
];

/// Bytes from a branch's 32-bit field to the end of the instruction, where it counts from.
const FIELD_TO_END: i64 = 4;

const BRANCH32: Branch = Branch {
    min: i32::MIN as i64 + FIELD_TO_END,
    max: i32::MAX as i64 + FIELD_TO_END,
    target_bias: FIELD_TO_END,
    stub: StubUse::Never,
};

const PCREL: Value = Value::PcRelative { bias: 0 };

const fn branch(mut row: Relocation) -> Relocation {
    row.branch = Some(BRANCH32);
    row
}

static ROWS: [Relocation; 45] = {
    use Overflow::{Bitfield, Ignore, Signed, Unsigned};
    use Value::{
        Absolute as ABS, GotPcRelative as GOTPC, GotRelative as GOTOFF, Size,
        SlotGotRelative as GOT, SlotPcRelative as GOTPCREL, ThreadBlockRelative as DTPOFF,
        ThreadPointerRelative as TPOFF,
    };
    const D8: Field = Field::DATA8;
    const D16: Field = Field::DATA16;
    const D32: Field = Field::DATA32;
    const D64: Field = Field::DATA64;
    [
        marker(0, "R_X86_64_NONE"),
        row(1, "R_X86_64_64", ABS, D64, Ignore),
        row(2, "R_X86_64_PC32", PCREL, D32, Signed),
        row(3, "R_X86_64_GOT32", GOT, D32, Signed),
        branch(row(4, "R_X86_64_PLT32", PCREL, D32, Signed)),
        foreign(5, "R_X86_64_COPY", Field::NONE),
        foreign(6, "R_X86_64_GLOB_DAT", D64),
        foreign(7, "R_X86_64_JUMP_SLOT", D64),
        foreign(8, "R_X86_64_RELATIVE", D64),
        row(9, "R_X86_64_GOTPCREL", GOTPCREL, D32, Signed),
        row(10, "R_X86_64_32", ABS, D32, Unsigned),
        row(11, "R_X86_64_32S", ABS, D32, Signed),
        row(12, "R_X86_64_16", ABS, D16, Bitfield),
        row(13, "R_X86_64_PC16", PCREL, D16, Bitfield),
        row(14, "R_X86_64_8", ABS, D8, Bitfield),
        row(15, "R_X86_64_PC8", PCREL, D8, Signed),
        foreign(16, "R_X86_64_DTPMOD64", D64),
        row(17, "R_X86_64_DTPOFF64", DTPOFF, D64, Ignore),
        row(18, "R_X86_64_TPOFF64", TPOFF, D64, Ignore),
        foreign(19, "R_X86_64_TLSGD", D32),
        foreign(20, "R_X86_64_TLSLD", D32),
        row(21, "R_X86_64_DTPOFF32", DTPOFF, D32, Signed),
        foreign(22, "R_X86_64_GOTTPOFF", D32),
        row(23, "R_X86_64_TPOFF32", TPOFF, D32, Signed),
        row(24, "R_X86_64_PC64", PCREL, D64, Ignore),
        row(25, "R_X86_64_GOTOFF64", GOTOFF, D64, Ignore),
        row(26, "R_X86_64_GOTPC32", GOTPC, D32, Signed),
        row(27, "R_X86_64_GOT64", GOT, D64, Ignore),
        row(28, "R_X86_64_GOTPCREL64", GOTPCREL, D64, Ignore),
        row(29, "R_X86_64_GOTPC64", GOTPC, D64, Ignore),
        row(30, "R_X86_64_GOTPLT64", GOT, D64, Ignore),
        // without a PLT, which kernels do not have, the function itself
        row(31, "R_X86_64_PLTOFF64", GOTOFF, D64, Ignore),
        row(32, "R_X86_64_SIZE32", Size, D32, Unsigned),
        row(33, "R_X86_64_SIZE64", Size, D64, Ignore),
        foreign(34, "R_X86_64_GOTPC32_TLSDESC", D32),
        foreign(35, "R_X86_64_TLSDESC_CALL", Field::NONE),
        foreign(36, "R_X86_64_TLSDESC", D64),
        foreign(37, "R_X86_64_IRELATIVE", D64),
        foreign(38, "R_X86_64_RELATIVE64", D64),
        row(39, "R_X86_64_PC32_BND", PCREL, D32, Signed),
        branch(row(40, "R_X86_64_PLT32_BND", PCREL, D32, Signed)),
        row(41, "R_X86_64_GOTPCRELX", GOTPCREL, D32, Signed),
        row(42, "R_X86_64_REX_GOTPCRELX", GOTPCREL, D32, Signed),
        marker(250, "R_X86_64_GNU_VTINHERIT"),
        marker(251, "R_X86_64_GNU_VTENTRY"),
    ]
};

static INDEX: [u8; 256] = index(&ROWS);
static DIRECTS: [Option<Direct>; 45] = directs(&ROWS);

/// Source: BFD `elf64-x86-64.c` (elf_x86_64_scan_relocs, elf_x86_64_relocate_section) and
/// `elfxx-x86.h` (X86_64_PCREL_TYPE_P). A 32-bit address in an output that may be loaded above
/// 4 GiB is refused; GNU ld asks so of sections with SHF_ALLOC only.
const DYNAMIC: DynamicLinking = DynamicLinking {
    addends: Addends::Rela,
    interpreter: "/lib/ld64.so.1",
    pointer: 1,
    relative: Some(8),
    table_relative: 8,
    glob_dat: 6,
    jump_slot: 7,
    copy: 5,
    irelative: Some(37),
    absolute: &[],
    pc_relative: &[2, 13, 15, 24, 32, 33],
    calls: &[4, 31],
    plt: Some(PLT),
    refused_read_only: &[2, 13, 15],
    refused: &[10, 11, 12, 14],
    always_pltgot: false,
    exports_got: false,
};

/// `pushq 8+slots(%rip); jmp *16+slots(%rip)`, and for each function `jmp *slot(%rip); pushq number; jmp
/// head`. Source: psABI x86-64, figure "Procedure Linkage Table (small and medium models)"; the bytes behind
/// the head's jump are those of BFD `elf64-x86-64.c`, elf_x86_64_lazy_plt0_entry.
const PLT: Plt = Plt {
    head: StubTemplate {
        name: "head of the procedure linkage table",
        code: &[
            0xff, 0x35, 0, 0, 0, 0, 0xff, 0x25, 0, 0, 0, 0, 0x0f, 0x1f, 0x40, 0,
        ],
        align: 16,
        relocations: &[
            StubRelocation::target(2, 2).plus(8 - FIELD_TO_END),
            StubRelocation::target(8, 2).plus(16 - FIELD_TO_END),
        ],
    },
    entry: StubTemplate {
        name: "entry of the procedure linkage table",
        code: &[0xff, 0x25, 0, 0, 0, 0, 0x68, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0],
        align: 16,
        relocations: &[StubRelocation::target(2, 2).plus(-FIELD_TO_END)],
    },
    number_at: 7,
    numbers: Numbers::Relocations,
    back: (12, 2),
    first: 6,
    entry_size: 16,
};

/// `jmp *slot(%rip); xchg %ax,%ax`. Source: BFD `elf64-x86-64.c`, elf_x86_64_non_lazy_plt_entry and
/// elf_x86_64_finish_dynamic_symbol.
static INDIRECT: IndirectFunctions = {
    const STUB: StubTemplate = StubTemplate {
        name: "indirect function",
        code: &[0xff, 0x25, 0, 0, 0, 0, 0x66, 0x90],
        align: 8,
        relocations: &[StubRelocation::target(2, 2).plus(-FIELD_TO_END)],
    };
    IndirectFunctions {
        stub: STUB,
        moved: STUB,
        first: Some(6),
    }
};

/// x86-64 Linux.
pub static X86_64: Arch = Arch {
    name: "x86_64",
    machine: EM_X86_64,
    class: Class::Elf64,
    endian: Endian::Little,
    addends: Addends::Rela,
    osabi: 0,
    abi_version: 0,
    elf_flags: None,
    elf_flags_of_arch: &[],
    emulations: &["elf_x86_64"],
    bfd_names: &["elf64-x86-64"],
    bfd_arch: &["i386:x86-64"],
    relocations: &ROWS,
    index: &INDEX,
    directs: &DIRECTS,
    code_fill: CodeFill::Nops(NOPS),
    default_script_fill: &[],
    unique_sections: &[],
    has_stub_input: false,
    local_label_prefixes: &[],
    special_sections: &[],
    mapping_symbols: &[],
    max_page_size: 0x1000,
    common_page_size: 0x1000,
    no_page_alias: false,
    keeps_section_symbols: false,
    separate_code: true,
    relro: true,
    warns_of_rwx_segments: true,
    executable_stack: true,
    warns_of_executable_stack: true,
    stack_align: 16,
    global_pointer: None,
    image_stub: None,
    got: Some(GotTable {
        symbol: "_GLOBAL_OFFSET_TABLE_",
        reserved: 3,
        on_demand: false,
        baseless: None,
    }),
    properties: &crate::property::X86,
    relaxations: &crate::relaxation::X86_64,
    indirect: Some(&INDIRECT),
    thread: Some(&crate::thread::X86_64),
    dynamic: Some(DYNAMIC),
    module: ModuleLink {
        loadable: &[0, 1, 2, 4, 10, 11, 24],
        resolvable: &[2, 4, 13, 15, 24],
        stubs: None,
        reserved_stub_bytes: 0,
        reserving: &[],
    },
    local_entry: None,
    // arch/x86/kernel/module.c, __apply_relocate_add
    load: ModuleLoad {
        wants_zero_fields: true,
        ..ModuleLoad::plain(AddressSpace::X86_64)
    },
};
