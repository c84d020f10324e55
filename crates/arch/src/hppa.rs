//! PA-RISC, 32 bits (PA 1.x and 2.0 narrow) and 64 bits (PA 2.0 wide). Big-endian, RELA.
//!
//! What is odd about the instruction set:
//!
//! - Immediates are scattered. The sign bit of every displacement is bit 0 of the instruction
//!   (the manual numbers it 31), so that hardware finds it at one place whatever the width; the
//!   rest fills whatever the opcode leaves. A 17-bit branch has its displacement in four pieces
//!   around a register number. Wide mode's 16-bit load displacement is a 14-bit one with two bits
//!   more, each XORed with the sign, so that the small ones look as they always did.
//! - Branches count in instructions, from the second one after the branch (the place + 8): there
//!   is a delay slot, which `,n` nullifies. In a *conditional* branch `,n` nullifies depending on
//!   the direction of the jump, so it cannot be sent to a stub on its other side.
//! - Reach: 12 bits (compare and branch) ±8 KiB, 17 bits (`b,l`) ±256 KiB, 22 bits (`b,l` of
//!   PA 2.0, with `%r2` implied) ±8 MiB. Big functions in one merged section pass the second.
//! - No instruction holds an address. `ldil` or `addil` gives the left 21 bits, the 14 or 17 bits
//!   of a load or external branch the right 11, so the psABI has *field selectors*: L and R split
//!   an address; LR and RR round the addend to 8 KiB first, so that neighbours in one object share
//!   an `ldil`. RR is up to 12 bits and a sign, which 14 bits hold.
//! - `%r1` is where `addil` leaves its result, and free at any call: stubs use it. A `gate` branch
//!   raises the privilege level by the page that it lies on: it must never be moved into a stub.
//! - `be` and `ble` name a space register: `%sr4` to `%sr7` follow the address' two top bits, and
//!   a kernel has 0 in all.
//!
//! What is odd about the psABI:
//!
//! - `%r27` (`%dp`) points to data. A static program's is `$global$`; DPREL relocations count from
//!   there. A module of Linux has no data pointer of its own: `%r27` stays the kernel's, so the
//!   loader relocates DPREL against the kernel's `$global$`. `%r19` is the linkage table pointer of
//!   32-bit PIC, which kernels are not; DLTIND counts from it. 64-bit code always goes through the
//!   table (DLT), and `%r27` points there.
//!   GNU ld takes `%dp` for 0 when a DPREL symbol is in code or undefined and weak, and changes
//!   `addil x,%dp` to `addil x,%r0`; where it makes no shared object, it changes DLTIND to DPREL of
//!   the table's entry. Linux's loader does neither.
//! - Function pointers: psABI PLABELs point to a descriptor {address, gp}. 32-bit Linux kernels use
//!   plain addresses; 64-bit ones use descriptors (FPTR64, `.opd`).
//! - SEGREL32 counts from the start of the text or data segment (unwind tables). Linux's loader
//!   makes it absolute (`arch/parisc/kernel/module.c`, "SEGREL32 handling"); so too SECREL32.
//! - Millicode (`$$divU`, …) is called with the return address in `%r31`; nothing but `%r1`,
//!   `%r29`, `%r31` and its arguments changes. A stub through `%r1` is still right.
//! - PCREL17C and PCREL22C are PCREL17F and 22F that "never report overflow".
//!
//! Where GNU ld and Linux agree, the rows say what both do. Where GNU ld drops bits silently (the
//! 14F, 16F and DIR17F rows, 32-bit words of 64-bit objects), the rows refuse, as the psABI wants.
//!
//! Sources: "Processor-Specific ELF for PA-RISC" 1.5; "The 32-bit PA-RISC Run-time Architecture";
//! "PA-RISC 2.0 Architecture"; BFD `include/elf/hppa.h`, `elf32-hppa.c` (final_link_relocate),
//! `elf64-hppa.c` (elf_hppa_final_link_relocate); Linux 6.1 `arch/parisc/kernel/module.c`.

mod module;

use crate::arch::index;
use crate::direct::directs;
use crate::{
    Addends, Arch, Branch, Class, CodeFill, Direct, DynamicLinking, Endian, Field, GotTable,
    ModuleLink, ModuleStubs, Overflow, Pattern, Relocation, Rewrite, Run, Selector, Slot,
    SpecialSection, StaticLink, StubRelocation, StubTemplate, StubUse, Value,
};

use Selector::{Full as F, Left as L, LeftRounded as LR, Right as R, RightRounded as RR};

/// `EM_PARISC`.
const EM_PARISC: u16 = 15;
/// `ELFOSABI_GNU`, also called `ELFOSABI_LINUX`.
const OSABI_GNU: u8 = 3;

// --- fields ------------------------------------------------------------------------------------

const fn word(name: &'static str, shift: u8, bits: u8, runs: &'static [Run]) -> Field {
    Field::new(name, 4, shift, bits, runs)
}

/// Long immediate of `ldil` and `addil`: the left 21 bits.
pub const IMM21: Field = word(
    "21-bit long immediate",
    0,
    21,
    &[
        Run::new(0, 12, 2),
        Run::new(2, 16, 5),
        Run::new(7, 14, 2),
        Run::new(9, 1, 11),
        Run::new(20, 0, 1),
    ],
);
/// Displacement of loads, stores and `ldo`, in bytes.
pub const DISP14: Field = word(
    "14-bit displacement",
    0,
    14,
    &[Run::new(0, 1, 13), Run::new(13, 0, 1)],
);
/// The same of single-word floating-point and modifying loads and stores: a multiple of 4.
pub const DISP14_WORD: Field = word(
    "14-bit word displacement",
    2,
    12,
    &[Run::new(0, 3, 11), Run::new(11, 0, 1)],
);
/// The same of `ldd` and `std`: a multiple of 8.
pub const DISP14_DOUBLE: Field = word(
    "14-bit double word displacement",
    3,
    11,
    &[Run::new(0, 4, 10), Run::new(10, 0, 1)],
);
/// Displacement of loads, stores and `ldo` in wide mode.
pub const DISP16: Field = word(
    "16-bit displacement",
    0,
    16,
    &[
        Run::new(0, 1, 13),
        Run::xor_sign(13, 14, 2),
        Run::new(15, 0, 1),
    ],
);
/// The same of single-word floating-point and modifying loads and stores: a multiple of 4.
pub const DISP16_WORD: Field = word(
    "16-bit word displacement",
    2,
    14,
    &[
        Run::new(0, 3, 11),
        Run::xor_sign(11, 14, 2),
        Run::new(13, 0, 1),
    ],
);
/// The same of `ldd` and `std`: a multiple of 8.
pub const DISP16_DOUBLE: Field = word(
    "16-bit double word displacement",
    3,
    13,
    &[
        Run::new(0, 4, 10),
        Run::xor_sign(10, 14, 2),
        Run::new(12, 0, 1),
    ],
);
/// Displacement of conditional branches, in instructions.
pub const BRANCH12: Field = word(
    "12-bit branch",
    2,
    12,
    &[Run::new(0, 3, 10), Run::new(10, 2, 1), Run::new(11, 0, 1)],
);
/// Displacement of `b,l`, `be` and `ble`, in instructions.
pub const BRANCH17: Field = word(
    "17-bit branch",
    2,
    17,
    &[
        Run::new(0, 3, 10),
        Run::new(10, 2, 1),
        Run::new(11, 16, 5),
        Run::new(16, 0, 1),
    ],
);
/// Displacement of PA 2.0's long `b,l`, in instructions; takes the place of the link register.
pub const BRANCH22: Field = word(
    "22-bit branch",
    2,
    22,
    &[
        Run::new(0, 3, 10),
        Run::new(10, 2, 1),
        Run::new(11, 16, 5),
        Run::new(16, 21, 5),
        Run::new(21, 0, 1),
    ],
);

// --- branches ----------------------------------------------------------------------------------

/// Bytes from a branch to the instruction that its displacement counts from.
const BRANCH_BIAS: i64 = 8;
/// Bytes of an instruction.
const INSTRUCTION: i64 = 4;

/// `b,l` and `b` with 17 or 22 bits: the unconditional branches that do not change the privilege
/// level (`b,gate`) or push on the branch target stack (`b,l,push`). With 17 bits they name the
/// register that the return address goes to; a stub would destroy it in `%r1`, so one of the other
/// bits of that number has to be set, or its lowest clear.
const PLAIN_BRANCHES: &[Pattern] = &[
    Pattern {
        mask: 0xfc20_e000,
        bits: 0xe800_0000,
    },
    Pattern {
        mask: 0xfc40_e000,
        bits: 0xe840_0000,
    },
    Pattern {
        mask: 0xfc80_e000,
        bits: 0xe880_0000,
    },
    Pattern {
        mask: 0xfd00_e000,
        bits: 0xe900_0000,
    },
    Pattern {
        mask: 0xfe00_e000,
        bits: 0xea00_0000,
    },
    Pattern {
        mask: 0xfc00_e000,
        bits: 0xe800_a000,
    },
];

const fn branch(bits: u8, stub: StubUse) -> Option<Branch> {
    let half = INSTRUCTION << (bits - 1);
    Some(Branch {
        min: BRANCH_BIAS - half,
        max: BRANCH_BIAS + half - INSTRUCTION,
        target_bias: 0,
        stub,
    })
}

// --- relocations -------------------------------------------------------------------------------

const PCREL: Value = Value::PcRelative { bias: BRANCH_BIAS };

/// `addil x,%dp` becomes `addil x,%r0`.
const ADDIL_DP_TO_R0: Rewrite = Rewrite {
    pattern: Pattern {
        mask: 0xffe0_0000,
        bits: 0x2b60_0000,
    },
    clear: 0x03e0_0000,
    set: 0,
};
/// `addil x,%r19`, or whatever register the compiler had it in, becomes `addil x,%dp`. An `ldil`
/// cannot be helped, since the addition is elsewhere.
const STATIC_21L: StaticLink = StaticLink {
    number: 18,
    rewrite: Some(Rewrite {
        pattern: Pattern {
            mask: 0xfc00_0000,
            bits: 0x2800_0000,
        },
        clear: 0x03e0_0000,
        set: 0x0360_0000,
    }),
};
/// The load that follows uses `%r1` and stays.
const STATIC_14R: StaticLink = StaticLink {
    number: 22,
    rewrite: None,
};
/// The base register of a load or store becomes `%dp`.
const STATIC_14F: StaticLink = StaticLink {
    number: 23,
    rewrite: Some(Rewrite {
        pattern: Pattern { mask: 0, bits: 0 },
        clear: 0x03e0_0000,
        set: 0x0360_0000,
    }),
};

/// Rows for one width of address; the numbers and names are the same for both.
struct Rows(Class);

impl Rows {
    const fn row(
        &self,
        number: u32,
        name: &'static str,
        value: Value,
        selector: Selector,
        field: Field,
    ) -> Relocation {
        let overflow = match (field.bytes, field.bits, value) {
            (0, ..) => Overflow::Ignore,
            (_, 64, _) => Overflow::Ignore,
            (_, 32, Value::PcRelative { .. }) => Overflow::Signed,
            (_, 32, _) => Overflow::Bitfield,
            _ => Overflow::Signed,
        };
        Relocation {
            number,
            name,
            class: self.0,
            value,
            loader_value: None,
            slot: Slot::Address,
            selector,
            field,
            overflow,
            exact: false,
            branch: None,
            far_from_gp: None,
            static_link: None,
        }
    }

    /// A DPREL row: 32-bit GNU ld has a rule for symbols far from `%dp`.
    const fn dp_relative(
        &self,
        number: u32,
        name: &'static str,
        selector: Selector,
        field: Field,
    ) -> Relocation {
        let mut row = self.row(number, name, Value::GpRelative, selector, field);
        if matches!(self.0, Class::Elf32) {
            row.far_from_gp = Some(ADDIL_DP_TO_R0);
        }
        row
    }

    /// A DLTIND row: 32-bit GNU ld counts from `%dp`, not `%r19`, when it makes no shared object.
    const fn table_offset(
        &self,
        number: u32,
        name: &'static str,
        selector: Selector,
        field: Field,
        dp_relative: StaticLink,
    ) -> Relocation {
        let mut row = self.row(number, name, Value::SlotGpRelative, selector, field);
        if matches!(self.0, Class::Elf32) {
            row.static_link = Some(dp_relative);
        }
        row
    }

    /// A row about a thread-local variable; nothing is known of them in 64-bit code.
    const fn thread(
        &self,
        number: u32,
        name: &'static str,
        value: Value,
        selector: Selector,
        field: Field,
    ) -> Relocation {
        match self.0 {
            Class::Elf32 => self.row(number, name, value, selector, field),
            Class::Elf64 => self.foreign(number, name, field),
        }
    }

    /// A row about a slot for a thread-local variable: of a pair, the 21 or the 14 bits.
    const fn thread_slot(
        &self,
        number: u32,
        name: &'static str,
        slot: Slot,
        field: Field,
    ) -> Relocation {
        let (selector, dp_relative) = match field.bits {
            21 => (LR, STATIC_21L),
            _ => (RR, STATIC_14R),
        };
        let mut row = self.thread(number, name, Value::SlotGpRelative, selector, field);
        if matches!(self.0, Class::Elf32) {
            row.slot = slot;
            row.static_link = Some(dp_relative);
        }
        row
    }

    const fn branch(
        &self,
        number: u32,
        name: &'static str,
        field: Field,
        stub: StubUse,
    ) -> Relocation {
        let mut row = self.row(number, name, PCREL, F, field);
        row.branch = branch(field.bits, stub);
        row
    }

    /// A row that Linux's module loader reads by another formula than the psABI's.
    const fn loader(
        &self,
        number: u32,
        name: &'static str,
        value: Value,
        loader_value: Value,
        field: Field,
    ) -> Relocation {
        let mut row = self.row(number, name, value, F, field);
        row.loader_value = Some(loader_value);
        row
    }

    const fn marker(&self, number: u32, name: &'static str) -> Relocation {
        self.row(number, name, Value::Marker, F, Field::NONE)
    }

    const fn foreign(&self, number: u32, name: &'static str, field: Field) -> Relocation {
        self.row(number, name, Value::Foreign, F, field)
    }
}

const ROWS: usize = 121;

const fn rows(class: Class) -> [Relocation; ROWS] {
    use Value::{
        Absolute as ABS, Foreign, GpRelative as GPREL, SectionRelative as SECREL,
        SegmentRelative as SEGREL, Slot as FPTR, SlotGpRelative as LTOFF,
        SlotGpRelativeAddend as PLTOFF, ThreadBlockRelative as DTPOFF,
        ThreadPointerRelative as TPOFF,
    };
    const STUB: StubUse = StubUse::Instructions(PLAIN_BRANCHES);
    const D32: Field = Field::DATA32;
    const D64: Field = Field::DATA64;
    const D14W: Field = DISP14_WORD;
    const D14D: Field = DISP14_DOUBLE;
    const D16W: Field = DISP16_WORD;
    const D16D: Field = DISP16_DOUBLE;
    let r = Rows(class);
    [
        r.marker(0, "R_PARISC_NONE"),
        r.row(1, "R_PARISC_DIR32", ABS, F, D32),
        r.row(2, "R_PARISC_DIR21L", ABS, LR, IMM21),
        r.row(3, "R_PARISC_DIR17R", ABS, RR, BRANCH17),
        r.row(4, "R_PARISC_DIR17F", ABS, F, BRANCH17),
        r.row(6, "R_PARISC_DIR14R", ABS, RR, DISP14),
        r.row(7, "R_PARISC_DIR14F", ABS, F, DISP14),
        r.branch(8, "R_PARISC_PCREL12F", BRANCH12, StubUse::Never),
        r.row(9, "R_PARISC_PCREL32", PCREL, F, D32),
        r.row(10, "R_PARISC_PCREL21L", PCREL, L, IMM21),
        r.row(11, "R_PARISC_PCREL17R", PCREL, R, BRANCH17),
        r.branch(12, "R_PARISC_PCREL17F", BRANCH17, STUB),
        r.branch(13, "R_PARISC_PCREL17C", BRANCH17, STUB),
        r.row(14, "R_PARISC_PCREL14R", PCREL, R, DISP14),
        r.row(15, "R_PARISC_PCREL14F", PCREL, F, DISP14),
        r.dp_relative(18, "R_PARISC_DPREL21L", LR, IMM21),
        r.row(19, "R_PARISC_DPREL14WR", GPREL, RR, D14W),
        r.row(20, "R_PARISC_DPREL14DR", GPREL, RR, D14D),
        r.dp_relative(22, "R_PARISC_DPREL14R", RR, DISP14),
        r.dp_relative(23, "R_PARISC_DPREL14F", F, DISP14),
        r.row(26, "R_PARISC_DLTREL21L", GPREL, LR, IMM21),
        r.row(30, "R_PARISC_DLTREL14R", GPREL, RR, DISP14),
        r.row(31, "R_PARISC_DLTREL14F", GPREL, F, DISP14),
        r.table_offset(34, "R_PARISC_DLTIND21L", L, IMM21, STATIC_21L),
        r.table_offset(38, "R_PARISC_DLTIND14R", R, DISP14, STATIC_14R),
        r.table_offset(39, "R_PARISC_DLTIND14F", F, DISP14, STATIC_14F),
        // the base that SETBASE sets for BASEREL was HP's; GNU as makes neither
        r.foreign(40, "R_PARISC_SETBASE", Field::NONE),
        r.loader(41, "R_PARISC_SECREL32", SECREL, ABS, D32),
        r.row(42, "R_PARISC_BASEREL21L", Foreign, LR, IMM21),
        r.row(43, "R_PARISC_BASEREL17R", Foreign, RR, BRANCH17),
        r.row(44, "R_PARISC_BASEREL17F", Foreign, F, BRANCH17),
        r.row(46, "R_PARISC_BASEREL14R", Foreign, RR, DISP14),
        r.row(47, "R_PARISC_BASEREL14F", Foreign, F, DISP14),
        r.foreign(48, "R_PARISC_SEGBASE", Field::NONE),
        r.loader(49, "R_PARISC_SEGREL32", SEGREL, ABS, D32),
        r.row(50, "R_PARISC_PLTOFF21L", PLTOFF, LR, IMM21),
        r.row(54, "R_PARISC_PLTOFF14R", PLTOFF, RR, DISP14),
        r.row(55, "R_PARISC_PLTOFF14F", PLTOFF, F, DISP14),
        r.row(57, "R_PARISC_LTOFF_FPTR32", LTOFF, F, D32),
        r.row(58, "R_PARISC_LTOFF_FPTR21L", LTOFF, L, IMM21),
        r.row(62, "R_PARISC_LTOFF_FPTR14R", LTOFF, R, DISP14),
        r.row(64, "R_PARISC_FPTR64", FPTR, F, D64),
        // psABI: a descriptor. GNU ld makes one only for dynamic linking; kernels use S itself
        r.row(65, "R_PARISC_PLABEL32", ABS, F, D32),
        r.row(66, "R_PARISC_PLABEL21L", ABS, L, IMM21),
        r.row(70, "R_PARISC_PLABEL14R", ABS, R, DISP14),
        r.row(72, "R_PARISC_PCREL64", PCREL, F, D64),
        r.branch(73, "R_PARISC_PCREL22C", BRANCH22, STUB),
        r.branch(74, "R_PARISC_PCREL22F", BRANCH22, STUB),
        r.row(75, "R_PARISC_PCREL14WR", PCREL, R, D14W),
        r.row(76, "R_PARISC_PCREL14DR", PCREL, R, D14D),
        r.row(77, "R_PARISC_PCREL16F", PCREL, F, DISP16),
        r.row(78, "R_PARISC_PCREL16WF", PCREL, F, D16W),
        r.row(79, "R_PARISC_PCREL16DF", PCREL, F, D16D),
        r.row(80, "R_PARISC_DIR64", ABS, F, D64),
        r.row(83, "R_PARISC_DIR14WR", ABS, RR, D14W),
        r.row(84, "R_PARISC_DIR14DR", ABS, RR, D14D),
        r.row(85, "R_PARISC_DIR16F", ABS, F, DISP16),
        r.row(86, "R_PARISC_DIR16WF", ABS, F, D16W),
        r.row(87, "R_PARISC_DIR16DF", ABS, F, D16D),
        r.row(88, "R_PARISC_GPREL64", GPREL, F, D64),
        r.row(91, "R_PARISC_DLTREL14WR", GPREL, RR, D14W),
        r.row(92, "R_PARISC_DLTREL14DR", GPREL, RR, D14D),
        r.row(93, "R_PARISC_GPREL16F", GPREL, F, DISP16),
        r.row(94, "R_PARISC_GPREL16WF", GPREL, F, D16W),
        r.row(95, "R_PARISC_GPREL16DF", GPREL, F, D16D),
        r.row(96, "R_PARISC_LTOFF64", PLTOFF, F, D64),
        r.row(99, "R_PARISC_DLTIND14WR", LTOFF, R, D14W),
        r.row(100, "R_PARISC_DLTIND14DR", LTOFF, R, D14D),
        r.row(101, "R_PARISC_LTOFF16F", LTOFF, F, DISP16),
        r.row(102, "R_PARISC_LTOFF16WF", LTOFF, F, D16W),
        r.row(103, "R_PARISC_LTOFF16DF", LTOFF, F, D16D),
        r.row(104, "R_PARISC_SECREL64", SECREL, F, D64),
        r.row(107, "R_PARISC_BASEREL14WR", Foreign, RR, D14W),
        r.row(108, "R_PARISC_BASEREL14DR", Foreign, RR, D14D),
        r.row(112, "R_PARISC_SEGREL64", SEGREL, F, D64),
        r.row(115, "R_PARISC_PLTOFF14WR", PLTOFF, RR, D14W),
        r.row(116, "R_PARISC_PLTOFF14DR", PLTOFF, RR, D14D),
        r.row(117, "R_PARISC_PLTOFF16F", PLTOFF, F, DISP16),
        r.row(118, "R_PARISC_PLTOFF16WF", PLTOFF, F, D16W),
        r.row(119, "R_PARISC_PLTOFF16DF", PLTOFF, F, D16D),
        r.row(120, "R_PARISC_LTOFF_FPTR64", LTOFF, F, D64),
        r.row(123, "R_PARISC_LTOFF_FPTR14WR", LTOFF, R, D14W),
        r.row(124, "R_PARISC_LTOFF_FPTR14DR", LTOFF, R, D14D),
        r.row(125, "R_PARISC_LTOFF_FPTR16F", LTOFF, F, DISP16),
        r.row(126, "R_PARISC_LTOFF_FPTR16WF", LTOFF, F, D16W),
        r.row(127, "R_PARISC_LTOFF_FPTR16DF", LTOFF, F, D16D),
        r.foreign(128, "R_PARISC_COPY", Field::NONE),
        r.foreign(129, "R_PARISC_IPLT", Field::NONE),
        r.foreign(130, "R_PARISC_EPLT", Field::NONE),
        r.foreign(153, "R_PARISC_TPREL32", D32),
        r.thread(154, "R_PARISC_TPREL21L", TPOFF, LR, IMM21),
        r.thread(158, "R_PARISC_TPREL14R", TPOFF, RR, DISP14),
        r.thread_slot(162, "R_PARISC_LTOFF_TP21L", Slot::ThreadOffset, IMM21),
        r.thread_slot(166, "R_PARISC_LTOFF_TP14R", Slot::ThreadOffset, DISP14),
        r.foreign(167, "R_PARISC_LTOFF_TP14F", DISP14),
        r.foreign(216, "R_PARISC_TPREL64", D64),
        r.foreign(219, "R_PARISC_TPREL14WR", D14W),
        r.foreign(220, "R_PARISC_TPREL14DR", D14D),
        r.foreign(221, "R_PARISC_TPREL16F", DISP16),
        r.foreign(222, "R_PARISC_TPREL16WF", D16W),
        r.foreign(223, "R_PARISC_TPREL16DF", D16D),
        r.foreign(224, "R_PARISC_LTOFF_TP64", D64),
        r.foreign(227, "R_PARISC_LTOFF_TP14WR", D14W),
        r.foreign(228, "R_PARISC_LTOFF_TP14DR", D14D),
        r.foreign(229, "R_PARISC_LTOFF_TP16F", DISP16),
        r.foreign(230, "R_PARISC_LTOFF_TP16WF", D16W),
        r.foreign(231, "R_PARISC_LTOFF_TP16DF", D16D),
        r.marker(232, "R_PARISC_GNU_VTENTRY"),
        r.marker(233, "R_PARISC_GNU_VTINHERIT"),
        r.thread_slot(234, "R_PARISC_TLS_GD21L", Slot::ThreadIndex, IMM21),
        r.thread_slot(235, "R_PARISC_TLS_GD14R", Slot::ThreadIndex, DISP14),
        r.foreign(236, "R_PARISC_TLS_GDCALL", Field::NONE),
        r.thread_slot(237, "R_PARISC_TLS_LDM21L", Slot::ThreadModule, IMM21),
        r.thread_slot(238, "R_PARISC_TLS_LDM14R", Slot::ThreadModule, DISP14),
        r.foreign(239, "R_PARISC_TLS_LDMCALL", Field::NONE),
        r.thread(240, "R_PARISC_TLS_LDO21L", DTPOFF, LR, IMM21),
        r.thread(241, "R_PARISC_TLS_LDO14R", DTPOFF, RR, DISP14),
        r.foreign(242, "R_PARISC_TLS_DTPMOD32", D32),
        r.foreign(243, "R_PARISC_TLS_DTPMOD64", D64),
        r.foreign(244, "R_PARISC_TLS_DTPOFF32", D32),
        r.foreign(245, "R_PARISC_TLS_DTPOFF64", D64),
    ]
}

static ROWS32: [Relocation; ROWS] = rows(Class::Elf32);
static ROWS64: [Relocation; ROWS] = rows(Class::Elf64);
static INDEX: [u8; 256] = index(&rows(Class::Elf32));
static DIRECTS32: [Option<Direct>; ROWS] = directs(&ROWS32);
static DIRECTS64: [Option<Direct>; ROWS] = directs(&ROWS64);

/// The relocations whose value depends only on the distance of site and target.
const PC_RELATIVE: &[u32] = &[8, 9, 10, 11, 12, 13, 14, 15, 72, 73, 74, 75, 76, 77, 78, 79];

// --- stubs -------------------------------------------------------------------------------------

/// `ldil L%x,%r1; be,n R%x(%sr4,%r1)`: GNU ld's and the kernel loader's stub. The loader cannot
/// relocate DIR17R, so a module cannot bring it.
static LONG_BRANCH: StubTemplate = StubTemplate {
    name: "long branch",
    code: &[0x20, 0x20, 0x00, 0x00, 0xe0, 0x20, 0x20, 0x02],
    align: 4,
    relocations: &[StubRelocation::target(0, 2), StubRelocation::target(4, 3)],
};

/// `ldil L%x,%r1; ldo R%x(%r1),%r1; bv,n %r0(%r1)`: both relocations are among those that the
/// loader knows, and with the same addend their LR and RR parts add up to the exact target.
static MODULE_ANYWHERE: StubTemplate = StubTemplate {
    name: "absolute branch",
    code: &[
        0x20, 0x20, 0x00, 0x00, 0x34, 0x21, 0x00, 0x00, 0xe8, 0x20, 0xc0, 0x02,
    ],
    align: 4,
    relocations: &[StubRelocation::target(0, 2), StubRelocation::target(4, 6)],
};

/// `b,l .+8,%r1; addil L%d,%r1; be,n R%d(%sr4,%r1)`, d counting from the `be`, which is where `b,l`
/// makes `%r1` point. The addends undo the distance of each field from there.
static MODULE_SAME_SECTION: StubTemplate = StubTemplate {
    name: "relative branch",
    code: &[
        0xe8, 0x20, 0x00, 0x00, 0x28, 0x20, 0x00, 0x00, 0xe0, 0x20, 0x20, 0x02,
    ],
    align: 4,
    relocations: &[
        StubRelocation::target(4, 10).plus(4),
        StubRelocation::target(8, 11).plus(8),
    ],
};

// --- architectures -----------------------------------------------------------------------------

/// 32-bit PA-RISC Linux.
pub static HPPA32: Arch = Arch {
    name: "hppa",
    machine: EM_PARISC,
    class: Class::Elf32,
    endian: Endian::Big,
    addends: Addends::Rela,
    osabi: OSABI_GNU,
    abi_version: 0,
    // PA-RISC 1.1: the emulation's default machine (ld/emulparams/hppalinux.sh, ARCH; bfd/elf-hppa.h,
    // elf_hppa_final_write_processing)
    elf_flags: Some(0x210),
    elf_flags_of_arch: &[
        ("hppa", 0x20b),
        ("hppa1.0", 0x20b),
        ("hppa:hppa1.0", 0x20b),
        ("hppa2.0", 0x214),
        ("hppa:hppa2.0", 0x214),
    ],
    emulations: &["hppalinux"],
    bfd_names: &["elf32-hppa-linux"],
    bfd_arch: &[
        "hppa",
        "hppa1.0",
        "hppa1.1",
        "hppa2.0",
        "hppa:hppa1.0",
        "hppa:hppa1.1",
        "hppa:hppa2.0",
    ],
    relocations: &ROWS32,
    index: &INDEX,
    directs: &DIRECTS32,
    code_fill: CodeFill::Zeros,
    // ld/emulparams/hppalinux.sh, NOP: or %r0,%r0,%r0
    default_script_fill: &[0x08, 0x00, 0x02, 0x40],
    // ld/emultempl/hppaelf.em, hppaelf_after_parse
    unique_sections: &[".text"],
    has_stub_input: true,
    local_label_prefixes: &["L$"],
    special_sections: &[SpecialSection {
        name: ".PARISC.unwind",
        section_type: 1, // PROGBITS
        entry_size: 4,
        info_section: Some(".text"),
        sorted_entry: Some(16),
    }],
    mapping_symbols: &[],
    max_page_size: 0x1000,
    common_page_size: 0x1000,
    no_page_alias: true,
    keeps_section_symbols: true,
    separate_code: false,
    relro: false,
    warns_of_rwx_segments: false,
    executable_stack: true,
    warns_of_executable_stack: false,
    stack_align: 16,
    global_pointer: Some("$global$"),
    image_stub: Some(&LONG_BRANCH),
    // bfd/elf32-hppa.c, elf_backend_got_header_size and elf32_hppa_create_dynamic_sections
    got: Some(GotTable {
        symbol: "_GLOBAL_OFFSET_TABLE_",
        reserved: 2,
        on_demand: true,
        baseless: None,
    }),
    properties: &[],
    relaxations: &[],
    indirect: None,
    thread: Some(&crate::thread::HPPA),
    dynamic: Some(DYNAMIC32),
    module: ModuleLink {
        loadable: &[1, 2, 6, 9, 12, 18, 22, 41, 49, 65, 74],
        resolvable: PC_RELATIVE,
        stubs: Some(ModuleStubs {
            anywhere: &MODULE_ANYWHERE,
            same_section: &MODULE_SAME_SECTION,
        }),
        reserved_stub_bytes: 8,
        reserving: &[12, 74],
    },
    local_entry: None,
    load: module::LOAD32,
};

/// Source: BFD `elf32-hppa.c` (elf32_hppa_check_relocs, elf32_hppa_relocate_section,
/// elf32_hppa_finish_dynamic_symbol). DIR32 serves for all addresses: there is no type for a load
/// address without a symbol, but one that has none is relative to it.
const DYNAMIC32: DynamicLinking = DynamicLinking {
    addends: Addends::Rela,
    interpreter: "/lib/ld.so.1",
    pointer: 1,
    relative: None,
    table_relative: 1,
    glob_dat: 1,
    jump_slot: 129,
    copy: 128,
    irelative: None,
    // DIR21L, DIR17R, DIR17F, DIR14R, DIR14F; PLABEL32, PLABEL21L, PLABEL14R
    absolute: &[2, 3, 4, 6, 7, 65, 66, 70],
    pc_relative: &[],
    calls: &[],
    plt: None,
    refused_read_only: &[],
    // DPREL21L, DPREL14R, DPREL14F
    refused: &[18, 22, 23],
    always_pltgot: true,
    // elf32_hppa_create_dynamic_sections: programs that start without ld.so look it up
    exports_got: true,
};

/// 64-bit PA-RISC Linux.
///
/// Its loader decides by what a call goes to: nothing where the target is in the module and 22 bits
/// reach, a stub of three instructions where they do not, and for any other symbol a stub that loads
/// target and `%r27` from a descriptor found through the module's GOT. A module cannot bring that
/// last one, since the GOT is the loader's; the first two it does not need below 8 MiB of text.
pub static HPPA64: Arch = Arch {
    name: "hppa64",
    machine: EM_PARISC,
    class: Class::Elf64,
    endian: Endian::Big,
    addends: Addends::Rela,
    osabi: OSABI_GNU,
    // bfd/elf64-hppa.c, elf64_hppa_init_file_header
    abi_version: 1,
    // PA-RISC 2.0, wide, nil pointers trap (bfd/elf-hppa.h, elf_hppa_final_write_processing)
    elf_flags: Some(0x9_0214),
    elf_flags_of_arch: &[],
    emulations: &["hppa64linux"],
    bfd_names: &["elf64-hppa-linux"],
    bfd_arch: &["hppa2.0w", "hppa:hppa2.0w"],
    relocations: &ROWS64,
    index: &INDEX,
    directs: &DIRECTS64,
    code_fill: CodeFill::Zeros,
    default_script_fill: &[],
    unique_sections: &[],
    has_stub_input: true,
    local_label_prefixes: &["L$"],
    special_sections: &[SpecialSection {
        name: ".PARISC.unwind",
        section_type: 0x7000_0001, // SHT_PARISC_UNWIND
        entry_size: 4,
        info_section: Some(".text"),
        sorted_entry: Some(16),
    }],
    mapping_symbols: &[],
    max_page_size: 0x1000,
    common_page_size: 0x1000,
    no_page_alias: false,
    keeps_section_symbols: true,
    separate_code: false,
    relro: false,
    warns_of_rwx_segments: false,
    executable_stack: true,
    warns_of_executable_stack: false,
    stack_align: 16,
    global_pointer: Some("__gp"),
    image_stub: None,
    got: None,
    properties: &[],
    relaxations: &[],
    indirect: None,
    thread: None,
    dynamic: None,
    module: ModuleLink {
        loadable: &[9, 34, 38, 41, 49, 64, 72, 74, 80],
        resolvable: PC_RELATIVE,
        stubs: None,
        reserved_stub_bytes: 16,
        reserving: &[74],
    },
    local_entry: None,
    load: module::LOAD64,
};
