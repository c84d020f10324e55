//! i386, 32-bit x86. Little-endian, REL.
//!
//! What is odd about the instruction set is what is odd about x86-64 ([`crate::x86_64`]), and:
//!
//! - Addresses are 32 bits and wrap, so 32-bit fields reach everything: nothing overflows.
//! - There is no addressing relative to the program counter but in branches.
//!
//! What is odd about the psABI and about kernels:
//!
//! - Relocations are REL: the addend is in the relocated field, so whoever applies one reads the
//!   field first ([`Relocation::implicit_addend`]), and `-r` rewrites fields when it moves what a
//!   section symbol stands for.
//! - PC32 is on branches and on data alike, PLT32 on branches only. Older compilers and assembly
//!   call with PC32.
//! - 16-bit code (the kernel's boot and real-mode code) has 8- and 16-bit relocations, a GNU
//!   extension, which may be meant as signed or unsigned: only what fits neither is refused.
//!
//! Sources: "System V ABI, Intel386 supplement", "Relocation"; BFD `elf32-i386.c`
//! (elf_howto_table); Linux 6.1 `arch/x86/kernel/module.c`.

use crate::arch::index;
use crate::direct::directs;
use crate::rows::elf32::{foreign, marker, row};
use crate::{
    Addends, AddressSpace, Arch, Branch, Class, CodeFill, Direct, DynamicLinking, Endian, Field,
    GotTable, IndirectFunctions, ModuleLink, ModuleLoad, Numbers, Overflow, Pattern, Plt,
    Relocation, StubRelocation, StubTemplate, StubUse, Value,
};

/// `EM_386`.
const EM_386: u16 = 3;

/// No operation in 1 and 2 bytes: the first processors of this architecture have no longer ones.
const NOPS: &[&[u8]] = &[&[0x90], &[0x66, 0x90]];

/// Bytes from a branch's 32-bit field to the end of the instruction, where it counts from.
const FIELD_TO_END: i64 = 4;

/// Addresses wrap at 4 GiB: the reach is all there is.
const BRANCH32: Branch = Branch {
    min: -(1 << 32),
    max: 1 << 32,
    target_bias: FIELD_TO_END,
    stub: StubUse::Never,
};

const PCREL: Value = Value::PcRelative { bias: 0 };

const fn branch(mut row: Relocation) -> Relocation {
    row.branch = Some(BRANCH32);
    row
}

static ROWS: [Relocation; 44] = {
    use Overflow::{Bitfield, Ignore, Signed};
    use Value::{
        Absolute as ABS, GotPcRelative as GOTPC, GotRelative as GOTOFF, Size,
        SlotGotRelative as GOT, ThreadBlockRelative as DTPOFF, ThreadPointerDistance as TPOFF_32,
        ThreadPointerRelative as TPOFF,
    };
    const D8: Field = Field::DATA8;
    const D16: Field = Field::DATA16;
    const D32: Field = Field::DATA32;
    [
        marker(0, "R_386_NONE"),
        row(1, "R_386_32", ABS, D32, Ignore),
        row(2, "R_386_PC32", PCREL, D32, Ignore),
        row(3, "R_386_GOT32", GOT, D32, Ignore),
        branch(row(4, "R_386_PLT32", PCREL, D32, Ignore)),
        foreign(5, "R_386_COPY", Field::NONE),
        foreign(6, "R_386_GLOB_DAT", D32),
        foreign(7, "R_386_JUMP_SLOT", D32),
        foreign(8, "R_386_RELATIVE", D32),
        row(9, "R_386_GOTOFF", GOTOFF, D32, Ignore),
        row(10, "R_386_GOTPC", GOTPC, D32, Ignore),
        foreign(11, "R_386_32PLT", D32),
        foreign(14, "R_386_TLS_TPOFF", D32),
        foreign(15, "R_386_TLS_IE", D32),
        foreign(16, "R_386_TLS_GOTIE", D32),
        row(17, "R_386_TLS_LE", TPOFF, D32, Ignore),
        foreign(18, "R_386_TLS_GD", D32),
        foreign(19, "R_386_TLS_LDM", D32),
        row(20, "R_386_16", ABS, D16, Bitfield),
        row(21, "R_386_PC16", PCREL, D16, Bitfield),
        row(22, "R_386_8", ABS, D8, Bitfield),
        row(23, "R_386_PC8", PCREL, D8, Signed),
        foreign(24, "R_386_TLS_GD_32", D32),
        foreign(25, "R_386_TLS_GD_PUSH", Field::NONE),
        foreign(26, "R_386_TLS_GD_CALL", D32),
        foreign(27, "R_386_TLS_GD_POP", Field::NONE),
        foreign(28, "R_386_TLS_LDM_32", D32),
        foreign(29, "R_386_TLS_LDM_PUSH", Field::NONE),
        foreign(30, "R_386_TLS_LDM_CALL", D32),
        foreign(31, "R_386_TLS_LDM_POP", Field::NONE),
        row(32, "R_386_TLS_LDO_32", DTPOFF, D32, Ignore),
        foreign(33, "R_386_TLS_IE_32", D32),
        row(34, "R_386_TLS_LE_32", TPOFF_32, D32, Ignore),
        foreign(35, "R_386_TLS_DTPMOD32", D32),
        foreign(36, "R_386_TLS_DTPOFF32", D32),
        foreign(37, "R_386_TLS_TPOFF32", D32),
        row(38, "R_386_SIZE32", Size, D32, Ignore),
        foreign(39, "R_386_TLS_GOTDESC", D32),
        foreign(40, "R_386_TLS_DESC_CALL", Field::NONE),
        foreign(41, "R_386_TLS_DESC", D32),
        foreign(42, "R_386_IRELATIVE", D32),
        row(43, "R_386_GOT32X", GOT, D32, Ignore),
        marker(250, "R_386_GNU_VTINHERIT"),
        marker(251, "R_386_GNU_VTENTRY"),
    ]
};

static INDEX: [u8; 256] = index(&ROWS);
static DIRECTS: [Option<Direct>; 44] = directs(&ROWS);

/// Source: BFD `elf32-i386.c` (elf_i386_scan_relocs, elf_i386_relocate_section) and `elfxx-x86.h`
/// (I386_PCREL_TYPE_P). 8- and 16-bit addresses are applied in the link even where that cannot be
/// right: GNU ld refuses none.
const DYNAMIC: DynamicLinking = DynamicLinking {
    addends: Addends::Rel,
    interpreter: "/usr/lib/libc.so.1",
    pointer: 1,
    relative: Some(8),
    table_relative: 8,
    glob_dat: 6,
    jump_slot: 7,
    copy: 5,
    irelative: Some(42),
    absolute: &[],
    pc_relative: &[2, 38],
    calls: &[4],
    plt: Some(PLT),
    refused_read_only: &[],
    refused: &[],
    always_pltgot: false,
    exports_got: false,
};

/// `pushl 4(%ebx); jmp *8(%ebx)`, and for each function `jmp *slot@GOTOFF(%ebx); pushl offset; jmp head`.
/// Source: psABI i386, figure "Position-Independent Procedure Linkage Table"; the size of entries that the
/// section header has is that of BFD `elf32-i386.c`, elf_i386_finish_dynamic_sections.
const PLT: Plt = Plt {
    head: StubTemplate {
        name: "head of the procedure linkage table",
        code: &[0xff, 0xb3, 4, 0, 0, 0, 0xff, 0xa3, 8, 0, 0, 0, 0, 0, 0, 0],
        align: 16,
        relocations: &[],
    },
    entry: StubTemplate {
        name: "entry of the procedure linkage table",
        code: &[0xff, 0xa3, 0, 0, 0, 0, 0x68, 0, 0, 0, 0, 0xe9, 0, 0, 0, 0],
        align: 16,
        relocations: &[StubRelocation::target(2, 9)],
    },
    number_at: 7,
    numbers: Numbers::Bytes(8),
    back: (12, 2),
    first: 6,
    entry_size: 4,
};

/// `jmp *slot; xchg %ax,%ax`, and the same through `%ebx`. Source: BFD `elf32-i386.c`,
/// elf_i386_non_lazy_plt_entry, elf_i386_pic_non_lazy_plt_entry and elf_i386_finish_dynamic_symbol.
static INDIRECT: IndirectFunctions = IndirectFunctions {
    stub: StubTemplate {
        name: "indirect function",
        code: &[0xff, 0x25, 0, 0, 0, 0, 0x66, 0x90],
        align: 8,
        relocations: &[StubRelocation::target(2, 1)],
    },
    moved: StubTemplate {
        name: "indirect function of position-independent code",
        code: &[0xff, 0xa3, 0, 0, 0, 0, 0x66, 0x90],
        align: 8,
        relocations: &[StubRelocation::target(2, 9)],
    },
    first: None,
};

/// 32-bit x86 Linux.
pub static I386: Arch = Arch {
    name: "i386",
    machine: EM_386,
    class: Class::Elf32,
    endian: Endian::Little,
    addends: Addends::Rel,
    osabi: 0,
    abi_version: 0,
    elf_flags: None,
    elf_flags_of_arch: &[],
    emulations: &["elf_i386"],
    bfd_names: &["elf32-i386"],
    bfd_arch: &["i386"],
    relocations: &ROWS,
    index: &INDEX,
    directs: &DIRECTS,
    code_fill: CodeFill::Nops(NOPS),
    default_script_fill: &[],
    unique_sections: &[],
    has_stub_input: false,
    local_label_prefixes: &[".X"],
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
        baseless: Some(Pattern {
            mask: 0xc7,
            bits: 0x05,
        }),
    }),
    properties: &crate::property::X86,
    relaxations: &crate::relaxation::I386,
    indirect: Some(&INDIRECT),
    thread: Some(&crate::thread::I386),
    dynamic: Some(DYNAMIC),
    module: ModuleLink {
        loadable: &[1, 2, 4],
        resolvable: &[2, 4, 21, 23],
        stubs: None,
        reserved_stub_bytes: 0,
        reserving: &[],
    },
    local_entry: None,
    load: ModuleLoad::plain(AddressSpace::I386),
};
