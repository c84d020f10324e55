//! 64-bit PowerPC: little-endian with the ELFv2 ABI (ppc64le), and big-endian with ELFv1. RELA.
//!
//! What is odd about the instruction set:
//!
//! - Immediates and displacements are the low 16 bits of a word, so relocations are of *half words*:
//!   in a little-endian object they begin where the instruction does, in a big-endian one two bytes
//!   later. `ld` and `std` (DS form) keep their two low bits for the opcode: offsets are multiples of 4.
//! - 16-bit immediates are signed, so the high part of an address is *adjusted* (`@ha`): 2¹⁵ is added
//!   first, and it comes out right when the low part is added as a negative number.
//! - Branches count in words from their own place. Reach: 24 bits (`b`, `bl`) ±32 MiB, 14 bits (`bc`)
//!   ±32 KiB.
//! - There is no address of the program counter before Power9 (`addpcis`) and Power10 (prefixed
//!   instructions, `R_PPC64_PCREL34`, which Linux 6.1 neither has in modules nor loads).
//!
//! What is odd about the psABIs and about kernels:
//!
//! - `r2` is the TOC pointer, `.TOC.`: 0x8000 beyond the start of a table of addresses and constants,
//!   so that 16 signed bits reach all of 64 KiB of it. TOC16 relocations count from there. The kernel
//!   has one and each module its own.
//! - So a call to another module or the kernel goes through a stub that saves `r2` at 24(r1) (40(r1) in
//!   ELFv1), and the `nop` behind the call becomes a load of it. A missing `nop` is an error.
//! - ELFv2: a function has two entry points. The global one finds `.TOC.` from its own address in
//!   `r12` (REL16_HA and REL16_LO, or in the large model a load and an add, marked by `R_PPC64_ENTRY`,
//!   which linker and loader make shorter where ±2 GiB do). The local one follows some instructions
//!   later, as `st_other` says, and is for callers with the same `r2`. ELFv1: a function's symbol is
//!   its descriptor in `.opd`.
//! - `R_PPC64_REL24` against a defined symbol means the local entry point, all other relocations mean
//!   the global one. `R_PPC64_REL24_NOTOC` is a call from code without a TOC pointer.
//! - GNU ld makes stubs for 14-bit branches as well. It also edits code that counts from `r2`, unless
//!   told not to (`--no-toc-optimize`), so that two links with the same addresses may differ.
//! - GNU ld tells by the opcode whether 16 bits are meant as signed (most), unsigned (`ori`, `andi.`) or
//!   either (`cmpli`). The rows take either where their name does not say what they are for: ADDR16 and
//!   the HI ones.
//! - Linux's loader does not check `R_PPC64_ADDR32` and `R_PPC64_TOC16_HA`; the rows do.
//! - Modules bring an empty section `.stubs`. Linux never frees the init sections of a module: they
//!   would need a `r2` of their own.
//! - A call of `_mcount` comes before `r2` is set up, so its stub counts from the *kernel's* TOC pointer,
//!   which is in the per-CPU area at `r13`.
//!
//! Sources: "64-Bit ELF V2 ABI Specification: Power Architecture", 3.5 "Relocation Types"; "64-bit
//! PowerPC ELF ABI Supplement" 1.9; BFD `elf64-ppc.c` (ppc64_elf_howto_raw,
//! ppc64_elf_relocate_section); Linux 6.1 `arch/powerpc/kernel/module_64.c`.

use crate::arch::index;
use crate::direct::directs;
use crate::rows::{
    self,
    elf64::{foreign, marker, row},
};
use crate::{
    Addends, AddressSpace, AfterCall, Arch, Class, CodeFill, Direct, Endian, Field, LoaderPointer,
    LoaderStub, LoaderStubs, LocalEntry, ModuleLink, ModuleLoad, Overflow, Pattern, Relocation,
    Rewrite, Run, Selector, Sequence, SequenceStep, StubCount, StubNames, StubPlace,
    StubRelocation, StubSharing, StubTarget, StubTemplate, StubUse, Value,
};

/// `EM_PPC64`.
const EM_PPC64: u16 = 21;

// --- fields ------------------------------------------------------------------------------------

/// A half word that holds 16 bits of a value from bit `shift` on.
const fn half(shift: u8) -> Field {
    const RUNS: &[Run] = &[Run::new(0, 0, 16)];
    Field::new("half word", 2, shift, 16, RUNS)
}

/// Displacement of `ld`, `std` and `lwa`, a multiple of 4: the half word without its two low bits.
pub const DS: Field = Field::new("DS displacement", 2, 2, 14, &[Run::new(0, 2, 14)]);
/// Displacement of `b` and `bl`, in instructions.
pub const BRANCH24: Field = Field::new("24-bit branch", 4, 2, 24, &[Run::new(0, 2, 24)]);
/// Displacement of `bc`, in instructions.
pub const BRANCH14: Field = Field::new("14-bit branch", 4, 2, 14, &[Run::new(0, 2, 14)]);
/// Immediate of `addpcis`: the 16 high bits of 32.
pub const DX: Field = Field::new(
    "DX displacement",
    4,
    16,
    16,
    &[Run::new(0, 0, 1), Run::new(1, 16, 5), Run::new(6, 6, 10)],
);

/// Immediate of an instruction, as bits of the whole word: its high part…
const HIGH_OF_WORD: Field = Field::new("high immediate", 4, 16, 16, &[Run::new(0, 0, 16)]);
/// … and its low part.
const LOW_OF_WORD: Field = Field::new("low immediate", 4, 0, 16, &[Run::new(0, 0, 16)]);

// --- relocations -------------------------------------------------------------------------------

/// A row whose value is adjusted for a signed low part.
const fn ha(mut row: Relocation) -> Relocation {
    row.selector = Selector::Adjusted;
    row
}

/// A row of a DS field.
const fn ds(number: u32, name: &'static str, value: Value, overflow: Overflow) -> Relocation {
    rows::exact(row(number, name, value, DS, overflow))
}

const fn branch(number: u32, name: &'static str, field: Field) -> Relocation {
    rows::branch(
        row(number, name, PCREL, field, Overflow::Signed),
        StubUse::Always,
    )
}

const PCREL: Value = Value::PcRelative { bias: 0 };

/// `addis r2,r12,(.TOC. - P)@ha`, P being the function's address, in `r12`.
static ENTRY_HIGH: Relocation = ha(row(
    252,
    "R_PPC64_REL16_HA",
    Value::GpPcRelative,
    HIGH_OF_WORD,
    Overflow::Signed,
));
/// `addi r2,r2,(.TOC. - P)@l`.
static ENTRY_LOW: Relocation = row(
    250,
    "R_PPC64_REL16_LO",
    Value::GpPcRelative,
    LOW_OF_WORD,
    Overflow::Ignore,
);

/// The large model's global entry, `ld r2,…(r12); add r2,r2,r12`, made the small model's.
static ENTRY: Sequence = Sequence {
    steps: &[
        SequenceStep {
            old: Pattern {
                mask: 0xffff_0003,
                bits: 0xe84c_0000,
            },
            new: 0x3c4c_0000,
            field: &ENTRY_HIGH,
        },
        SequenceStep {
            old: Pattern {
                mask: 0xffff_ffff,
                bits: 0x7c42_6214,
            },
            new: 0x3842_0000,
            field: &ENTRY_LOW,
        },
    ],
};

const ENTRY_FIELD: Field = Field::new("two instructions", 8, 0, 0, &[]);

static ROWS: [Relocation; 67] = {
    use Overflow::{Bitfield, Ignore, Signed};
    use Value::{Absolute as ABS, Gp, GpRelative as TOC, SlotGpRelative as GOT};
    const H0: Field = half(0);
    const H1: Field = half(16);
    const H2: Field = half(32);
    const H3: Field = half(48);
    const D16: Field = Field::DATA16;
    const D32: Field = Field::DATA32;
    const D64: Field = Field::DATA64;
    [
        marker(0, "R_PPC64_NONE"),
        row(1, "R_PPC64_ADDR32", ABS, D32, Bitfield),
        row(2, "R_PPC64_ADDR24", ABS, BRANCH24, Bitfield),
        row(3, "R_PPC64_ADDR16", ABS, D16, Bitfield),
        row(4, "R_PPC64_ADDR16_LO", ABS, H0, Ignore),
        row(5, "R_PPC64_ADDR16_HI", ABS, H1, Bitfield),
        ha(row(6, "R_PPC64_ADDR16_HA", ABS, H1, Signed)),
        row(7, "R_PPC64_ADDR14", ABS, BRANCH14, Signed),
        branch(10, "R_PPC64_REL24", BRANCH24),
        branch(11, "R_PPC64_REL14", BRANCH14),
        row(14, "R_PPC64_GOT16", GOT, H0, Signed),
        row(15, "R_PPC64_GOT16_LO", GOT, H0, Ignore),
        row(16, "R_PPC64_GOT16_HI", GOT, H1, Bitfield),
        ha(row(17, "R_PPC64_GOT16_HA", GOT, H1, Signed)),
        foreign(19, "R_PPC64_COPY", Field::NONE),
        foreign(20, "R_PPC64_GLOB_DAT", D64),
        foreign(21, "R_PPC64_JMP_SLOT", Field::NONE),
        foreign(22, "R_PPC64_RELATIVE", D64),
        row(24, "R_PPC64_UADDR32", ABS, D32, Bitfield),
        row(25, "R_PPC64_UADDR16", ABS, D16, Bitfield),
        row(26, "R_PPC64_REL32", PCREL, D32, Signed),
        row(38, "R_PPC64_ADDR64", ABS, D64, Ignore),
        row(39, "R_PPC64_ADDR16_HIGHER", ABS, H2, Ignore),
        ha(row(40, "R_PPC64_ADDR16_HIGHERA", ABS, H2, Ignore)),
        row(41, "R_PPC64_ADDR16_HIGHEST", ABS, H3, Ignore),
        ha(row(42, "R_PPC64_ADDR16_HIGHESTA", ABS, H3, Ignore)),
        row(43, "R_PPC64_UADDR64", ABS, D64, Ignore),
        row(44, "R_PPC64_REL64", PCREL, D64, Ignore),
        row(47, "R_PPC64_TOC16", TOC, H0, Signed),
        row(48, "R_PPC64_TOC16_LO", TOC, H0, Ignore),
        row(49, "R_PPC64_TOC16_HI", TOC, H1, Bitfield),
        ha(row(50, "R_PPC64_TOC16_HA", TOC, H1, Signed)),
        row(51, "R_PPC64_TOC", Gp, D64, Ignore),
        ds(56, "R_PPC64_ADDR16_DS", ABS, Signed),
        ds(57, "R_PPC64_ADDR16_LO_DS", ABS, Ignore),
        ds(58, "R_PPC64_GOT16_DS", GOT, Signed),
        ds(59, "R_PPC64_GOT16_LO_DS", GOT, Ignore),
        ds(63, "R_PPC64_TOC16_DS", TOC, Signed),
        ds(64, "R_PPC64_TOC16_LO_DS", TOC, Ignore),
        foreign(67, "R_PPC64_TLS", Field::NONE),
        foreign(68, "R_PPC64_DTPMOD64", D64),
        foreign(73, "R_PPC64_TPREL64", D64),
        foreign(78, "R_PPC64_DTPREL64", D64),
        foreign(107, "R_PPC64_TLSGD", Field::NONE),
        foreign(108, "R_PPC64_TLSLD", Field::NONE),
        marker(109, "R_PPC64_TOCSAVE"),
        row(110, "R_PPC64_ADDR16_HIGH", ABS, H1, Ignore),
        ha(row(111, "R_PPC64_ADDR16_HIGHA", ABS, H1, Ignore)),
        branch(116, "R_PPC64_REL24_NOTOC", BRANCH24),
        // the caller adds the distance of the local entry point
        row(117, "R_PPC64_ADDR64_LOCAL", ABS, D64, Ignore),
        row(
            118,
            "R_PPC64_ENTRY",
            Value::Sequence(&ENTRY),
            ENTRY_FIELD,
            Ignore,
        ),
        branch(124, "R_PPC64_REL24_P9NOTOC", BRANCH24),
        row(240, "R_PPC64_REL16_HIGH", PCREL, H1, Ignore),
        ha(row(241, "R_PPC64_REL16_HIGHA", PCREL, H1, Ignore)),
        row(242, "R_PPC64_REL16_HIGHER", PCREL, H2, Ignore),
        ha(row(243, "R_PPC64_REL16_HIGHERA", PCREL, H2, Ignore)),
        row(244, "R_PPC64_REL16_HIGHEST", PCREL, H3, Ignore),
        ha(row(245, "R_PPC64_REL16_HIGHESTA", PCREL, H3, Ignore)),
        ha(row(246, "R_PPC64_REL16DX_HA", PCREL, DX, Signed)),
        foreign(247, "R_PPC64_JMP_IREL", Field::NONE),
        foreign(248, "R_PPC64_IRELATIVE", D64),
        row(249, "R_PPC64_REL16", PCREL, H0, Signed),
        row(250, "R_PPC64_REL16_LO", PCREL, H0, Ignore),
        row(251, "R_PPC64_REL16_HI", PCREL, H1, Bitfield),
        ha(row(252, "R_PPC64_REL16_HA", PCREL, H1, Signed)),
        marker(253, "R_PPC64_GNU_VTINHERIT"),
        marker(254, "R_PPC64_GNU_VTENTRY"),
    ]
};

static INDEX: [u8; 255] = index(&ROWS);
static DIRECTS: [Option<Direct>; 67] = directs(&ROWS);

// --- stubs of the kernel's loader --------------------------------------------------------------

/// The bytes of little-endian words.
const fn little<const WORDS: usize, const BYTES: usize>(words: [u32; WORDS]) -> [u8; BYTES] {
    assert!(WORDS * 4 == BYTES, "words are 4 bytes");
    let mut bytes = [0; BYTES];
    let mut at = 0;
    while at < BYTES {
        bytes[at] = words[at / 4].to_le_bytes()[at % 4];
        at += 1;
    }
    bytes
}

/// What Linux finds its stubs by: "stub".
const STUB_MAGIC: u32 = 0x7374_7562;

/// `addis r11,r2,s@toc@ha; addi r11,r11,s@toc@l; std r2,24(r1); ld r12,32(r11); mtctr r12; bctr`, s
/// being the stub itself; then an unused word, a magic one, and the target's address
/// (`struct ppc64_stub_entry`).
static STUB: StubTemplate = StubTemplate {
    name: "call out of the module",
    code: &little::<10, 40>([
        0x3d62_0000,
        0x396b_0000,
        0xf841_0018,
        0xe98b_0020,
        0x7d89_03a6,
        0x4e80_0420,
        0,
        STUB_MAGIC,
        0,
        0,
    ]),
    align: 8,
    relocations: &[
        StubRelocation::stub(0, 50),
        StubRelocation::stub(4, 48),
        StubRelocation::target(32, 38),
    ],
};

/// `ld r12,16(r13); addis r12,r12,x@toc@ha; addi r12,r12,x@toc@l; mtctr r12; bctr`, counted from the
/// kernel's TOC pointer, which is at 16 of the per-CPU area (`struct paca_struct`, kernel_toc); then two
/// unused words, a magic one, and the target's address.
static FTRACE_STUB: StubTemplate = StubTemplate {
    name: "call of the function tracer",
    code: &little::<10, 40>([
        0xe98d_0010,
        0x3d8c_0000,
        0x398c_0000,
        0x7d89_03a6,
        0x4e80_0420,
        0,
        0,
        STUB_MAGIC,
        0,
        0,
    ]),
    align: 8,
    relocations: &[
        StubRelocation::target(4, 50),
        StubRelocation::target(8, 48),
        StubRelocation::target(32, 38),
    ],
};

/// The loader's stubs and habits with ELFv2.
const LOAD: ModuleLoad = ModuleLoad {
    // get_stubs_size: one stub more, which ends the list, and two for the function tracer
    stubs: Some(LoaderStubs {
        place: StubPlace::Sections {
            core: ".stubs",
            init: ".stubs",
            becomes_nobits: false,
        },
        slot_bytes: 40,
        align: 1,
        counted: &[10],
        count: StubCount::Distinct,
        spare: 3,
        sharing: StubSharing::Any,
        kinds: &[
            LoaderStub {
                target: StubTarget::Outside,
                only_far: false,
                names: StubNames::Only(&["_mcount", "ftrace_caller", "ftrace_regs_caller"]),
                template: &FTRACE_STUB,
                kernel_pointer: true,
                restores: false,
            },
            LoaderStub {
                target: StubTarget::Outside,
                only_far: false,
                names: StubNames::Any,
                template: &STUB,
                kernel_pointer: false,
                restores: true,
            },
        ],
    }),
    // my_r2, find_dot_toc
    global_pointer: LoaderPointer::Section {
        names: &[".toc", ".stubs"],
        align: 256,
        offset: 0x8000,
        symbol: ".TOC.",
    },
    // restore_r2: `nop` becomes `ld r2,24(r1)` behind `bl`
    after_call: Some(AfterCall {
        calls: Pattern {
            mask: 0xfc00_0003,
            bits: 0x4800_0001,
        },
        restore: Rewrite {
            pattern: Pattern {
                mask: 0xffff_ffff,
                bits: 0x6000_0000,
            },
            clear: 0xffff_ffff,
            set: 0xe841_0018,
        },
    }),
    init_sections: &[],
    section_align: &[(".toc", 8)],
    // dedotify
    symbol_prefix: Some('.'),
    // CONFIG_PPC_64K_PAGES, as on all servers
    page_size: 0x1_0000,
    ..ModuleLoad::plain(AddressSpace::PPC64)
};

// --- architectures -----------------------------------------------------------------------------

/// 64-bit PowerPC Linux, little-endian, ELFv2.
pub static PPC64LE: Arch = ELFV2;

const ELFV2: Arch = Arch {
    name: "ppc64le",
    machine: EM_PPC64,
    class: Class::Elf64,
    endian: Endian::Little,
    addends: Addends::Rela,
    osabi: 0,
    abi_version: 0,
    elf_flags: None,
    elf_flags_of_arch: &[],
    emulations: &["elf64lppc"],
    bfd_names: &["elf64-powerpcle"],
    bfd_arch: &["powerpc:common64"],
    relocations: &ROWS,
    index: &INDEX,
    directs: &DIRECTS,
    code_fill: CodeFill::Zeros,
    default_script_fill: &[],
    unique_sections: &[],
    has_stub_input: true,
    local_label_prefixes: &[],
    special_sections: &[],
    mapping_symbols: &[],
    max_page_size: 0x1_0000,
    common_page_size: 0x1000,
    no_page_alias: false,
    keeps_section_symbols: true,
    separate_code: false,
    relro: true,
    warns_of_rwx_segments: true,
    executable_stack: false,
    warns_of_executable_stack: true,
    stack_align: 16,
    global_pointer: Some(".TOC."),
    image_stub: None,
    got: None,
    properties: &[],
    relaxations: &[],
    indirect: None,
    thread: None,
    dynamic: None,
    // ELFv2, 3.4.1 "Symbol Values": 0 and 1 mean one entry point, 7 is reserved; Linux gives it 128
    // (PPC64_LOCAL_ENTRY_OFFSET)
    local_entry: Some(LocalEntry {
        shift: 5,
        offsets: &[0, 0, 4, 8, 16, 32, 64, 128],
    }),
    module: MODULE,
    load: LOAD,
};

/// 64-bit PowerPC Linux, big-endian, ELFv1.
///
/// Its loader's stubs hold a copy of the descriptor that the call goes to, which is in the kernel's
/// memory; they are not described here.
pub static PPC64: Arch = Arch {
    name: "ppc64",
    endian: Endian::Big,
    emulations: &["elf64ppc"],
    bfd_names: &["elf64-powerpc"],
    local_entry: None,
    load: ModuleLoad {
        stubs: None,
        after_call: None,
        ..LOAD
    },
    ..ELFV2
};

const MODULE: ModuleLink = ModuleLink {
    loadable: &[
        1, 10, 26, 38, 44, 47, 48, 50, 51, 63, 64, 109, 118, 250, 252,
    ],
    // no branches: what they go to depends on the symbol too, not on its value alone
    resolvable: &[26, 44, 249, 250, 251, 252],
    stubs: None,
    reserved_stub_bytes: 0,
    reserving: &[],
};
