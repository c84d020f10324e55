//! AArch64, also called ARM64, little-endian. RELA.
//!
//! What is odd about the instruction set:
//!
//! - No instruction holds an address, and none a whole displacement of 32 bits. `adrp` gives the 4 KiB
//!   page of an address, ±4 GiB from the page it lies on *itself*; the 12 low bits come from the `add`,
//!   load or store that follows. So an `adrp` depends on more than the distance of site and target, and
//!   cannot be resolved while either may move by less than a page.
//! - The offset in a load or store counts in units of what is loaded, 1 to 16 bytes. The field is 12
//!   bits wide for each, though the offset in a page needs fewer for the larger ones.
//! - `adr` and `adrp` have their two low bits beside the opcode, and 19 bits elsewhere.
//! - `movz`, `movn`, `movk` set 16 bits of 64. For signed values the *opcode* depends on the sign: a
//!   negative one is a `movn` of the inverted bits.
//! - Branches count in instructions from their own place. Reach: 26 bits (`b`, `bl`) ±128 MiB, 19 bits
//!   (`b.cond`, `cbz`) ±1 MiB, 14 bits (`tbz`) ±32 KiB.
//! - Code is little-endian also where data is big-endian.
//! - Cortex-A53 erratum 843419: an `adrp` in the last two words of a page can give a wrong address. See
//!   [`ERRATUM_843419`].
//!
//! What is odd about the psABI and about kernels:
//!
//! - A call may change `x16` and `x17` (IP0, IP1), so a stub may use them: at `bl` and `b`, but not at
//!   the conditional branches, whose relocations therefore never get one.
//! - Relocation numbers go beyond 255. Those below belong to the 32-bit ABI, which Linux has not; 256 is
//!   a withdrawn number of `R_AARCH64_NONE`, which Linux takes too.
//! - The psABI lets absolute and relative words of 32 and 16 bits be meant as signed or unsigned. GNU ld
//!   and Linux both take the absolute ones as unsigned and the relative ones as signed.
//! - A load or store offset that is no multiple of its unit, GNU ld refuses, as the psABI wants; Linux's
//!   loader drops the low bits. The rows refuse.
//! - GNU ld does not check `R_AARCH64_ADR_GOT_PAGE`; the psABI and the row do.
//! - Mapping symbols `$x` and `$d` mark code and data.
//! - A module brings empty sections `.plt` and `.init.plt`, which Linux's loader makes as large as the
//!   stubs may need. The stubs are the linker's too: `adrp`, `add`, `br` through `x16`.
//!
//! Sources: "ELF for the Arm 64-bit Architecture" (aaelf64), "Relocation"; "Arm Architecture Reference
//! Manual", C6; BFD `elfnn-aarch64.c` (elfNN_aarch64_howto_table), `elfxx-aarch64.c`
//! (_bfd_aarch64_elf_resolve_relocation, _bfd_aarch64_elf_put_addend); Linux 6.1
//! `arch/arm64/kernel/module.c` (apply_relocate_add), `module-plts.c`.

use crate::arch::index;
use crate::direct::directs;
use crate::rows::{
    self,
    elf64::{foreign, marker, row},
    exact,
};
use crate::{
    Addends, AddressSpace, Arch, Class, CodeFill, Direct, Endian, Field, LoaderPointer, LoaderStub,
    LoaderStubs, ModuleLink, ModuleLoad, Overflow, PageErratum, Relocation, ReservedSection, Run,
    Selector, StubCount, StubNames, StubPlace, StubRelocation, StubSharing, StubTarget,
    StubTemplate, StubUse, Value,
};

/// `EM_AARCH64`.
const EM_AARCH64: u16 = 183;

// --- fields ------------------------------------------------------------------------------------

const fn word(name: &'static str, shift: u8, bits: u8, runs: &'static [Run]) -> Field {
    Field::new(name, 4, shift, bits, runs)
}

const ADR_RUNS: &[Run] = &[Run::new(0, 29, 2), Run::new(2, 5, 19)];
/// Displacement of `adr`, in bytes.
pub const ADR: Field = word("21-bit displacement", 0, 21, ADR_RUNS);
/// Displacement of `adrp`, in pages of 4 KiB.
pub const ADRP: Field = word("21-bit page displacement", 12, 21, ADR_RUNS);
/// Displacement of `tbz` and `tbnz`, in instructions.
pub const BRANCH14: Field = word("14-bit branch", 2, 14, &[Run::new(0, 5, 14)]);
/// Displacement of `b.cond`, `cbz`, `cbnz` and of loads relative to the program counter, in words.
pub const BRANCH19: Field = word("19-bit branch", 2, 19, &[Run::new(0, 5, 19)]);
/// Displacement of `b` and `bl`, in instructions.
pub const BRANCH26: Field = word("26-bit branch", 2, 26, &[Run::new(0, 0, 26)]);

/// Immediate of `add`, and offset of loads and stores in units of `1 << shift` bytes.
const fn imm12(shift: u8) -> Field {
    const RUNS: &[Run] = &[Run::new(0, 10, 12)];
    word("12-bit immediate", shift, 12, RUNS)
}

/// Immediate of `movz` or `movk`: the 16 bits of a value from bit `shift` on.
const fn mov(shift: u8) -> Field {
    const RUNS: &[Run] = &[Run::new(0, 5, 16)];
    word("16-bit immediate", shift, 16, RUNS)
}

/// The same, signed: `movz`, or for a negative value `movn` of the inverted bits. Bit 30 tells them
/// apart.
const fn mov_signed(shift: u8) -> Field {
    const RUNS: &[Run] = &[Run::xor_sign(0, 5, 16), Run::inverted(16, 30, 1)];
    word("signed 16-bit immediate", shift, 17, RUNS)
}

// --- relocations -------------------------------------------------------------------------------

/// A row of whose value the offset in a page counts.
const fn low(number: u32, name: &'static str, value: Value, shift: u8) -> Relocation {
    let mut row = row(number, name, value, imm12(shift), Overflow::Ignore);
    row.selector = Selector::PageOffset;
    row.exact = true;
    row
}

const fn branch(number: u32, name: &'static str, field: Field, stub: StubUse) -> Relocation {
    rows::branch(row(number, name, PCREL, field, Overflow::Signed), stub)
}

const PCREL: Value = Value::PcRelative { bias: 0 };
const D32: Field = Field::DATA32;
const D64: Field = Field::DATA64;

static ROWS: [Relocation; 124] = {
    use Overflow::{Ignore, Signed, Unsigned};
    use Value::{
        Absolute as ABS, GotRelative as GOTREL, PageRelative as PAGE, Slot, SlotGotPageRelative,
        SlotGotRelative, SlotPageRelative, SlotPcRelative,
    };
    const D16: Field = Field::DATA16;
    [
        marker(0, "R_AARCH64_NONE"),
        marker(256, "R_AARCH64_NULL"),
        row(257, "R_AARCH64_ABS64", ABS, D64, Ignore),
        row(258, "R_AARCH64_ABS32", ABS, D32, Unsigned),
        row(259, "R_AARCH64_ABS16", ABS, D16, Unsigned),
        row(260, "R_AARCH64_PREL64", PCREL, D64, Ignore),
        row(261, "R_AARCH64_PREL32", PCREL, D32, Signed),
        row(262, "R_AARCH64_PREL16", PCREL, D16, Signed),
        row(263, "R_AARCH64_MOVW_UABS_G0", ABS, mov(0), Unsigned),
        row(264, "R_AARCH64_MOVW_UABS_G0_NC", ABS, mov(0), Ignore),
        row(265, "R_AARCH64_MOVW_UABS_G1", ABS, mov(16), Unsigned),
        row(266, "R_AARCH64_MOVW_UABS_G1_NC", ABS, mov(16), Ignore),
        row(267, "R_AARCH64_MOVW_UABS_G2", ABS, mov(32), Unsigned),
        row(268, "R_AARCH64_MOVW_UABS_G2_NC", ABS, mov(32), Ignore),
        row(269, "R_AARCH64_MOVW_UABS_G3", ABS, mov(48), Ignore),
        row(270, "R_AARCH64_MOVW_SABS_G0", ABS, mov_signed(0), Signed),
        row(271, "R_AARCH64_MOVW_SABS_G1", ABS, mov_signed(16), Signed),
        row(272, "R_AARCH64_MOVW_SABS_G2", ABS, mov_signed(32), Signed),
        exact(row(273, "R_AARCH64_LD_PREL_LO19", PCREL, BRANCH19, Signed)),
        row(274, "R_AARCH64_ADR_PREL_LO21", PCREL, ADR, Signed),
        row(275, "R_AARCH64_ADR_PREL_PG_HI21", PAGE, ADRP, Signed),
        row(276, "R_AARCH64_ADR_PREL_PG_HI21_NC", PAGE, ADRP, Ignore),
        low(277, "R_AARCH64_ADD_ABS_LO12_NC", ABS, 0),
        low(278, "R_AARCH64_LDST8_ABS_LO12_NC", ABS, 0),
        branch(279, "R_AARCH64_TSTBR14", BRANCH14, StubUse::Never),
        branch(280, "R_AARCH64_CONDBR19", BRANCH19, StubUse::Never),
        branch(282, "R_AARCH64_JUMP26", BRANCH26, StubUse::Always),
        branch(283, "R_AARCH64_CALL26", BRANCH26, StubUse::Always),
        low(284, "R_AARCH64_LDST16_ABS_LO12_NC", ABS, 1),
        low(285, "R_AARCH64_LDST32_ABS_LO12_NC", ABS, 2),
        low(286, "R_AARCH64_LDST64_ABS_LO12_NC", ABS, 3),
        row(287, "R_AARCH64_MOVW_PREL_G0", PCREL, mov_signed(0), Signed),
        row(288, "R_AARCH64_MOVW_PREL_G0_NC", PCREL, mov(0), Ignore),
        row(289, "R_AARCH64_MOVW_PREL_G1", PCREL, mov_signed(16), Signed),
        row(290, "R_AARCH64_MOVW_PREL_G1_NC", PCREL, mov(16), Ignore),
        row(291, "R_AARCH64_MOVW_PREL_G2", PCREL, mov_signed(32), Signed),
        row(292, "R_AARCH64_MOVW_PREL_G2_NC", PCREL, mov(32), Ignore),
        row(293, "R_AARCH64_MOVW_PREL_G3", PCREL, mov_signed(48), Ignore),
        low(299, "R_AARCH64_LDST128_ABS_LO12_NC", ABS, 4),
        // offsets of slots in `mov`s: the large model of programs
        foreign(300, "R_AARCH64_MOVW_GOTOFF_G0", D32),
        foreign(301, "R_AARCH64_MOVW_GOTOFF_G0_NC", D32),
        foreign(302, "R_AARCH64_MOVW_GOTOFF_G1", D32),
        foreign(303, "R_AARCH64_MOVW_GOTOFF_G1_NC", D32),
        foreign(304, "R_AARCH64_MOVW_GOTOFF_G2", D32),
        foreign(305, "R_AARCH64_MOVW_GOTOFF_G2_NC", D32),
        foreign(306, "R_AARCH64_MOVW_GOTOFF_G3", D32),
        row(307, "R_AARCH64_GOTREL64", GOTREL, D64, Ignore),
        row(308, "R_AARCH64_GOTREL32", GOTREL, D32, Signed),
        exact(row(
            309,
            "R_AARCH64_GOT_LD_PREL19",
            SlotPcRelative,
            BRANCH19,
            Signed,
        )),
        exact(row(
            310,
            "R_AARCH64_LD64_GOTOFF_LO15",
            SlotGotRelative,
            imm12(3),
            Unsigned,
        )),
        row(
            311,
            "R_AARCH64_ADR_GOT_PAGE",
            SlotPageRelative,
            ADRP,
            Signed,
        ),
        low(312, "R_AARCH64_LD64_GOT_LO12_NC", Slot, 3),
        exact(row(
            313,
            "R_AARCH64_LD64_GOTPAGE_LO15",
            SlotGotPageRelative,
            imm12(3),
            Unsigned,
        )),
        foreign(512, "R_AARCH64_TLSGD_ADR_PREL21", D32),
        foreign(513, "R_AARCH64_TLSGD_ADR_PAGE21", D32),
        foreign(514, "R_AARCH64_TLSGD_ADD_LO12_NC", D32),
        foreign(515, "R_AARCH64_TLSGD_MOVW_G1", D32),
        foreign(516, "R_AARCH64_TLSGD_MOVW_G0_NC", D32),
        foreign(517, "R_AARCH64_TLSLD_ADR_PREL21", D32),
        foreign(518, "R_AARCH64_TLSLD_ADR_PAGE21", D32),
        foreign(519, "R_AARCH64_TLSLD_ADD_LO12_NC", D32),
        foreign(520, "R_AARCH64_TLSLD_MOVW_G1", D32),
        foreign(521, "R_AARCH64_TLSLD_MOVW_G0_NC", D32),
        foreign(522, "R_AARCH64_TLSLD_LD_PREL19", D32),
        foreign(523, "R_AARCH64_TLSLD_MOVW_DTPREL_G2", D32),
        foreign(524, "R_AARCH64_TLSLD_MOVW_DTPREL_G1", D32),
        foreign(525, "R_AARCH64_TLSLD_MOVW_DTPREL_G1_NC", D32),
        foreign(526, "R_AARCH64_TLSLD_MOVW_DTPREL_G0", D32),
        foreign(527, "R_AARCH64_TLSLD_MOVW_DTPREL_G0_NC", D32),
        foreign(528, "R_AARCH64_TLSLD_ADD_DTPREL_HI12", D32),
        foreign(529, "R_AARCH64_TLSLD_ADD_DTPREL_LO12", D32),
        foreign(530, "R_AARCH64_TLSLD_ADD_DTPREL_LO12_NC", D32),
        foreign(531, "R_AARCH64_TLSLD_LDST8_DTPREL_LO12", D32),
        foreign(532, "R_AARCH64_TLSLD_LDST8_DTPREL_LO12_NC", D32),
        foreign(533, "R_AARCH64_TLSLD_LDST16_DTPREL_LO12", D32),
        foreign(534, "R_AARCH64_TLSLD_LDST16_DTPREL_LO12_NC", D32),
        foreign(535, "R_AARCH64_TLSLD_LDST32_DTPREL_LO12", D32),
        foreign(536, "R_AARCH64_TLSLD_LDST32_DTPREL_LO12_NC", D32),
        foreign(537, "R_AARCH64_TLSLD_LDST64_DTPREL_LO12", D32),
        foreign(538, "R_AARCH64_TLSLD_LDST64_DTPREL_LO12_NC", D32),
        foreign(539, "R_AARCH64_TLSIE_MOVW_GOTTPREL_G1", D32),
        foreign(540, "R_AARCH64_TLSIE_MOVW_GOTTPREL_G0_NC", D32),
        foreign(541, "R_AARCH64_TLSIE_ADR_GOTTPREL_PAGE21", D32),
        foreign(542, "R_AARCH64_TLSIE_LD64_GOTTPREL_LO12_NC", D32),
        foreign(543, "R_AARCH64_TLSIE_LD_GOTTPREL_PREL19", D32),
        foreign(544, "R_AARCH64_TLSLE_MOVW_TPREL_G2", D32),
        foreign(545, "R_AARCH64_TLSLE_MOVW_TPREL_G1", D32),
        foreign(546, "R_AARCH64_TLSLE_MOVW_TPREL_G1_NC", D32),
        foreign(547, "R_AARCH64_TLSLE_MOVW_TPREL_G0", D32),
        foreign(548, "R_AARCH64_TLSLE_MOVW_TPREL_G0_NC", D32),
        foreign(549, "R_AARCH64_TLSLE_ADD_TPREL_HI12", D32),
        foreign(550, "R_AARCH64_TLSLE_ADD_TPREL_LO12", D32),
        foreign(551, "R_AARCH64_TLSLE_ADD_TPREL_LO12_NC", D32),
        foreign(552, "R_AARCH64_TLSLE_LDST8_TPREL_LO12", D32),
        foreign(553, "R_AARCH64_TLSLE_LDST8_TPREL_LO12_NC", D32),
        foreign(554, "R_AARCH64_TLSLE_LDST16_TPREL_LO12", D32),
        foreign(555, "R_AARCH64_TLSLE_LDST16_TPREL_LO12_NC", D32),
        foreign(556, "R_AARCH64_TLSLE_LDST32_TPREL_LO12", D32),
        foreign(557, "R_AARCH64_TLSLE_LDST32_TPREL_LO12_NC", D32),
        foreign(558, "R_AARCH64_TLSLE_LDST64_TPREL_LO12", D32),
        foreign(559, "R_AARCH64_TLSLE_LDST64_TPREL_LO12_NC", D32),
        foreign(560, "R_AARCH64_TLSDESC_LD_PREL19", D32),
        foreign(561, "R_AARCH64_TLSDESC_ADR_PREL21", D32),
        foreign(562, "R_AARCH64_TLSDESC_ADR_PAGE21", D32),
        foreign(563, "R_AARCH64_TLSDESC_LD64_LO12", D32),
        foreign(564, "R_AARCH64_TLSDESC_ADD_LO12", D32),
        foreign(565, "R_AARCH64_TLSDESC_OFF_G1", D32),
        foreign(566, "R_AARCH64_TLSDESC_OFF_G0_NC", D32),
        foreign(567, "R_AARCH64_TLSDESC_LDR", D32),
        foreign(568, "R_AARCH64_TLSDESC_ADD", D32),
        foreign(569, "R_AARCH64_TLSDESC_CALL", D32),
        foreign(570, "R_AARCH64_TLSLE_LDST128_TPREL_LO12", D32),
        foreign(571, "R_AARCH64_TLSLE_LDST128_TPREL_LO12_NC", D32),
        foreign(572, "R_AARCH64_TLSLD_LDST128_DTPREL_LO12", D32),
        foreign(573, "R_AARCH64_TLSLD_LDST128_DTPREL_LO12_NC", D32),
        foreign(1024, "R_AARCH64_COPY", D64),
        foreign(1025, "R_AARCH64_GLOB_DAT", D64),
        foreign(1026, "R_AARCH64_JUMP_SLOT", D64),
        foreign(1027, "R_AARCH64_RELATIVE", D64),
        foreign(1028, "R_AARCH64_TLS_DTPMOD64", D64),
        foreign(1029, "R_AARCH64_TLS_DTPREL64", D64),
        foreign(1030, "R_AARCH64_TLS_TPREL64", D64),
        foreign(1031, "R_AARCH64_TLSDESC", D64),
        foreign(1032, "R_AARCH64_IRELATIVE", D64),
    ]
};

static INDEX: [u8; 1033] = index(&ROWS);
static DIRECTS: [Option<Direct>; 124] = directs(&ROWS);

/// The relocations whose value depends only on the distance of site and target.
const PC_RELATIVE: &[u32] = &[
    260, 261, 262, 273, 274, 279, 280, 282, 283, 287, 288, 289, 290, 291, 292, 293,
];

// --- stubs -------------------------------------------------------------------------------------

/// `adrp x16,x; add x16,x16,:lo12:x; br x16`: ±4 GiB. GNU ld's short stub and the kernel loader's.
static PAGE_BRANCH: StubTemplate = StubTemplate {
    name: "page branch",
    code: &[
        0x10, 0x00, 0x00, 0x90, 0x10, 0x02, 0x00, 0x91, 0x00, 0x02, 0x1f, 0xd6,
    ],
    align: 4,
    relocations: &[
        StubRelocation::target(0, 275),
        StubRelocation::target(4, 277),
    ],
};

/// `ldr x16,1f; adr x17,.-4; add x16,x16,x17; br x16; 1: .xword x - (. - 12)`: anywhere, relative to
/// itself. GNU ld's long stub; nothing of a kernel is so far away.
pub static LONG_BRANCH: StubTemplate = StubTemplate {
    name: "long branch",
    code: &[
        0x90, 0x00, 0x00, 0x58, 0x11, 0x00, 0x00, 0x10, 0x10, 0x02, 0x11, 0x8b, 0x00, 0x02, 0x1f,
        0xd6, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    ],
    align: 8,
    relocations: &[StubRelocation::target(16, 260).plus(12)],
};

/// `adrp x0,x; add x0,x0,:lo12:x`, for the register that the original instruction names.
static PAGE_ADDRESS: StubTemplate = StubTemplate {
    name: "page address",
    code: &[0x00, 0x00, 0x00, 0x90, 0x00, 0x00, 0x00, 0x91],
    align: 4,
    relocations: &[
        StubRelocation::target(0, 275),
        StubRelocation::target(4, 277),
    ],
};

/// `R_AARCH64_ADR_PREL_LO21`, for the erratum.
static ADR_ROW: Relocation = row(274, "R_AARCH64_ADR_PREL_LO21", PCREL, ADR, Overflow::Signed);

/// Erratum 843419: an `adrp` at offset 0xff8 or 0xffc of a page. The page's address is within ±1 MiB
/// often enough for an `adr`, which is not hit; else a stub in the region's `.plt` gives it.
pub static ERRATUM_843419: PageErratum = PageErratum {
    types: &[275, 276],
    first_offset: 0xff8,
    near: &ADR_ROW,
    near_clear: 1 << 31,
    branch: 0x1400_0000,
    branch_type: 282,
    template: &PAGE_ADDRESS,
    register_mask: 0x1f,
    register_shifts: &[&[0], &[0, 5]],
};

// --- architecture ------------------------------------------------------------------------------

/// AArch64 Linux, little-endian.
pub static AARCH64: Arch = Arch {
    name: "aarch64",
    machine: EM_AARCH64,
    class: Class::Elf64,
    endian: Endian::Little,
    addends: Addends::Rela,
    osabi: 0,
    abi_version: 0,
    elf_flags: None,
    elf_flags_of_arch: &[],
    emulations: &["aarch64linux"],
    bfd_names: &["elf64-littleaarch64"],
    bfd_arch: &["aarch64"],
    relocations: &ROWS,
    index: &INDEX,
    directs: &DIRECTS,
    code_fill: CodeFill::Zeros,
    // ld/emulparams/aarch64linux.sh, NOP
    default_script_fill: &[0x1f, 0x20, 0x03, 0xd5],
    unique_sections: &[],
    has_stub_input: true,
    local_label_prefixes: &[],
    special_sections: &[],
    mapping_symbols: &["$x", "$d"],
    max_page_size: 0x1_0000,
    common_page_size: 0x1000,
    no_page_alias: false,
    keeps_section_symbols: false,
    separate_code: false,
    relro: true,
    warns_of_rwx_segments: true,
    executable_stack: false,
    warns_of_executable_stack: true,
    stack_align: 16,
    global_pointer: None,
    image_stub: Some(&PAGE_BRANCH),
    got: None,
    properties: &[],
    relaxations: &[],
    indirect: None,
    thread: None,
    dynamic: None,
    local_entry: None,
    module: ModuleLink {
        loadable: &[
            0, 256, 257, 258, 259, 260, 261, 262, 263, 264, 265, 266, 267, 268, 269, 270, 271, 272,
            273, 274, 275, 276, 277, 278, 279, 280, 282, 283, 284, 285, 286, 287, 288, 289, 290,
            291, 292, 293, 299,
        ],
        resolvable: PC_RELATIVE,
        stubs: None,
        reserved_stub_bytes: 0,
        reserving: &[],
    },
    load: ModuleLoad {
        // module_frob_arch_sections, module_emit_plt_entry
        stubs: Some(LoaderStubs {
            place: StubPlace::Sections {
                core: ".plt",
                init: ".init.plt",
                becomes_nobits: true,
            },
            slot_bytes: 12,
            // L1_CACHE_BYTES
            align: 64,
            counted: &[282, 283],
            count: StubCount::DistinctElsewhere,
            spare: 1,
            sharing: StubSharing::Last,
            kinds: &[LoaderStub {
                target: StubTarget::Any,
                only_far: true,
                names: StubNames::Any,
                template: &PAGE_BRANCH,
                kernel_pointer: false,
                restores: false,
            }],
        }),
        global_pointer: LoaderPointer::None,
        page_erratum: Some(&ERRATUM_843419),
        // room for two stubs of the function tracer (NR_FTRACE_PLTS)
        reserved_sections: &[ReservedSection {
            name: ".text.ftrace_trampoline",
            bytes: 24,
            align: 4,
        }],
        ..ModuleLoad::plain(AddressSpace::AARCH64)
    },
};
