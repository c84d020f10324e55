//! The forms of entries, apart from those that have a module of their own.

use crate::machine::{
    AARCH64, ARC, ARCV2, ARM, CSKY, I386, LOONGARCH, MIPS, PARISC, PPC, PPC64, RISCV, S390, SH,
    SPARC, SPARCV9, X86_64, XTENSA,
};
use crate::number::ByteOrder;
use crate::table::Encoding::{Address32, EntryWord, Place31, Place32, PlaceWord, Word};
use crate::table::{EntryForm, Field, FormRow};
use crate::{Numbers, WordSize};

/// An entry of one field.
macro_rules! single {
    ($name:ident, $size:literal, $encoding:expr) => {
        static $name: EntryForm = EntryForm::new($size, &[Field::new("address", 0, $encoding)]);
    };
}

single!(WORD_32, 4, Word);
single!(WORD_64, 8, Word);
single!(PLACE_32, 4, Place32);
single!(PLACE_WORD_64, 8, PlaceWord);

/// One address in a word: `__mcount_loc` and all arrays of pointers.
pub(super) static POINTERS: &[FormRow] = &[
    FormRow::new(&[], &WORD_32).with_word(WordSize::Four),
    FormRow::new(&[], &WORD_64).with_word(WordSize::Eight),
];

/// One distance of 32 bits: the sites that x86 and s390 patch.
pub(super) static SITES: &[FormRow] = &[FormRow::new(&[], &PLACE_32)];

/// One distance in a word (powerpc `FTR_ENTRY_OFFSET`).
pub(super) static FAR_SITES: &[FormRow] = &[
    FormRow::new(&[], &PLACE_32).with_word(WordSize::Four),
    FormRow::new(&[], &PLACE_WORD_64).with_word(WordSize::Eight),
];

/// `include/linux/tracepoint-defs.h`, `tracepoint_ptr_t`.
pub(super) static TRACEPOINTS: &[FormRow] = &[
    FormRow::new(PREL32, &PLACE_32),
    FormRow::new(&[], &WORD_32).with_word(WordSize::Four),
    FormRow::new(&[], &WORD_64).with_word(WordSize::Eight),
];

/// Machines with `CONFIG_HAVE_ARCH_PREL32_RELOCATIONS`.
pub(crate) const PREL32: &[u16] = &[AARCH64, I386, X86_64];

static UNWIND_PARISC: EntryForm = EntryForm::new(
    16,
    &[
        Field::new("region_start", 0, Address32),
        Field::new("region_end", 4, Address32),
    ],
);

/// `arch/parisc/include/asm/unwind.h`, `struct unwind_table_entry`, after the loader has made
/// `R_PARISC_SEGREL32` absolute. The end is the last instruction's address.
pub(super) static PARISC_UNWIND: &[FormRow] = &[FormRow::new(&[PARISC], &UNWIND_PARISC)];

static EXIDX: EntryForm = EntryForm::new(
    8,
    &[
        Field::new("addr_offset", 0, Place31),
        Field::new("insn", 4, Place31).or_none(),
    ],
);

/// `arch/arm/include/asm/unwind.h`, `struct unwind_idx`. The second word may hold unwind instructions or
/// 1, for "cannot be unwound".
pub(super) static ARM_EXIDX: &[FormRow] = &[FormRow::new(&[ARM], &EXIDX)];

pub(super) static DBE: &[FormRow] = &[
    FormRow::new(&[MIPS], &crate::exception::ABSOLUTE_32).with_word(WordSize::Four),
    FormRow::new(&[MIPS], &crate::exception::ABSOLUTE_64).with_word(WordSize::Eight),
];

static BUG_RELATIVE: EntryForm = EntryForm::new(
    12,
    &[
        Field::new("bug_addr_disp", 0, Place32),
        Field::new("file_disp", 4, Place32).or_none(),
    ],
);
static BUG_RELATIVE_SHORT: EntryForm =
    EntryForm::new(8, &[Field::new("bug_addr_disp", 0, Place32)]);
static BUG_RELATIVE_FORMAT: EntryForm = EntryForm::new(
    16,
    &[
        Field::new("bug_addr_disp", 0, Place32),
        Field::new("format_disp", 4, Place32).or_none(),
        Field::new("file_disp", 8, Place32).or_none(),
    ],
);
static BUG_32: EntryForm = EntryForm::new(
    12,
    &[Field::new("bug_addr", 0, Word), Field::new("file", 4, Word)],
);
static BUG_32_SHORT: EntryForm = EntryForm::new(8, &[Field::new("bug_addr", 0, Word)]);
static BUG_64: EntryForm = EntryForm::new(
    24,
    &[Field::new("bug_addr", 0, Word), Field::new("file", 8, Word)],
);

/// Machines of which all kernels, and those of which 64-bit kernels have distances in bug tables
/// (`CONFIG_GENERIC_BUG_RELATIVE_POINTERS`).
const BUG_DISTANCES: &[u16] = &[AARCH64, LOONGARCH, PPC, PPC64, S390, X86_64];
const BUG_DISTANCES_64: &[u16] = &[PARISC, RISCV];

/// `include/asm-generic/bug.h`, `struct bug_entry`: with file and line (`CONFIG_DEBUG_BUGVERBOSE`) if
/// the table can be divided so, else without; with a format string in front since 6.19 on x86-64.
pub(super) static BUGS: &[FormRow] = &[
    FormRow::new(&[X86_64], &BUG_RELATIVE_FORMAT).if_fits(has_formats),
    FormRow::new(BUG_DISTANCES, &BUG_RELATIVE).if_fits(divides::<12>),
    FormRow::new(BUG_DISTANCES, &BUG_RELATIVE_SHORT),
    FormRow::new(BUG_DISTANCES_64, &BUG_RELATIVE)
        .with_word(WordSize::Eight)
        .if_fits(divides::<12>),
    FormRow::new(BUG_DISTANCES_64, &BUG_RELATIVE_SHORT).with_word(WordSize::Eight),
    FormRow::new(&[], &BUG_32)
        .with_word(WordSize::Four)
        .if_fits(divides::<12>),
    FormRow::new(&[], &BUG_32_SHORT).with_word(WordSize::Four),
    FormRow::new(&[], &BUG_64).with_word(WordSize::Eight),
];

fn divides<const SIZE: usize>(_: Numbers, table: &[u8]) -> bool {
    table.len().is_multiple_of(SIZE)
}

/// Whether entries of 16 bytes have flags and a line where these are then, and nothing else has room.
fn has_formats(numbers: Numbers, table: &[u8]) -> bool {
    const SIZE: usize = 16;
    /// `BUGFLAG_*` in the low byte, the taint above (`include/asm-generic/bug.h`).
    const FLAGS: u16 = 0x1fff;
    !table.is_empty()
        && table.len().is_multiple_of(SIZE)
        && table.chunks_exact(SIZE).all(|entry| {
            let number = |at| numbers.endian.u16(entry, at);
            number(12).is_some_and(|line| line != 0)
                && number(14).is_some_and(|flags| flags & !FLAGS == 0)
        })
}

static JUMP_RELATIVE_32: EntryForm = EntryForm::new(
    12,
    &[
        Field::new("code", 0, Place32),
        Field::new("target", 4, Place32),
        Field::new("key", 8, PlaceWord).with_flags(2),
    ],
);
static JUMP_RELATIVE_64: EntryForm = EntryForm::new(
    16,
    &[
        Field::new("code", 0, Place32),
        Field::new("target", 4, Place32),
        Field::new("key", 8, PlaceWord).with_flags(2),
    ],
);
static JUMP_32: EntryForm = EntryForm::new(
    12,
    &[
        Field::new("code", 0, Address32),
        Field::new("target", 4, Address32),
        Field::new("key", 8, Address32).with_flags(2),
    ],
);
static JUMP_64: EntryForm = EntryForm::new(
    24,
    &[
        Field::new("code", 0, Word),
        Field::new("target", 8, Word),
        Field::new("key", 16, Word).with_flags(2),
    ],
);

/// Machines with `CONFIG_HAVE_ARCH_JUMP_LABEL_RELATIVE`; loongarch since 6.5.
const JUMP_DISTANCES: &[u16] = &[
    AARCH64, CSKY, I386, LOONGARCH, PARISC, PPC, PPC64, RISCV, S390, X86_64,
];

/// `include/linux/jump_label.h`, `struct jump_entry`. Of the key's flags one says what the branch does at
/// first, the other is set by the kernel for code of init.
pub(super) static JUMPS: &[FormRow] = &[
    FormRow::new(JUMP_DISTANCES, &JUMP_RELATIVE_32).with_word(WordSize::Four),
    FormRow::new(JUMP_DISTANCES, &JUMP_RELATIVE_64).with_word(WordSize::Eight),
    FormRow::new(&[ARC, ARCV2, ARM, SPARC, SPARCV9, XTENSA, SH], &JUMP_32),
    FormRow::new(&[MIPS], &JUMP_32).with_word(WordSize::Four),
    FormRow::new(&[MIPS], &JUMP_64).with_word(WordSize::Eight),
];

static STATIC_CALL: EntryForm = EntryForm::new(
    8,
    &[
        Field::new("addr", 0, Place32),
        Field::new("key", 4, Place32).with_flags(2),
    ],
);

/// `include/linux/static_call_types.h`, `struct static_call_site`: one flag of the key says tail call, the
/// other is set by the kernel for code of init.
pub(super) static STATIC_CALLS: &[FormRow] = &[FormRow::new(&[], &STATIC_CALL)];

/// Two distances, to the code and to what replaces it, and `SIZE` - 8 bytes of when and how much.
macro_rules! alternative {
    ($name:ident, $size:literal) => {
        static $name: EntryForm = EntryForm::new(
            $size,
            &[
                Field::new("instr_offset", 0, Place32),
                Field::new("repl_offset", 4, Place32).or_none(),
            ],
        );
    };
}

alternative!(ALTERNATIVE_11, 11);
alternative!(ALTERNATIVE_12, 12);
alternative!(ALTERNATIVE_14, 14);
alternative!(ALTERNATIVE_16, 16);

static ALTERNATIVE_PARISC: EntryForm = EntryForm::new(12, &[Field::new("orig_offset", 0, Place32)]);

/// `struct alt_instr` in `arch/*/include/asm/alternative.h`. x86 has 12 bytes up to 6.2 and 14 since;
/// s390 11 up to 6.9 and 12 since.
pub(super) static ALTERNATIVES: &[FormRow] = &[
    FormRow::new(&[I386, X86_64], &ALTERNATIVE_12).if_fits(has_lengths::<12>),
    FormRow::new(&[I386, X86_64], &ALTERNATIVE_14),
    FormRow::new(&[S390], &ALTERNATIVE_11).if_fits(divides::<11>),
    FormRow::new(&[AARCH64, LOONGARCH, S390], &ALTERNATIVE_12),
    FormRow::new(&[PARISC], &ALTERNATIVE_PARISC),
];

/// Whether the last two bytes of each entry are the length of code, and that of what replaces it, which is
/// not longer.
fn has_lengths<const SIZE: usize>(_: Numbers, table: &[u8]) -> bool {
    table.len().is_multiple_of(SIZE)
        && table.chunks_exact(SIZE).all(|entry| {
            let [.., length, replacement] = entry else {
                return false;
            };
            *length != 0 && replacement <= length
        })
}

static ALTERNATIVE_RISCV_64: EntryForm = EntryForm::new(
    36,
    &[
        Field::new("old_ptr", 0, Word),
        Field::new("alt_ptr", 8, Word),
    ],
);
static ALTERNATIVE_RISCV_32: EntryForm = EntryForm::new(
    20,
    &[
        Field::new("old_ptr", 0, Word),
        Field::new("alt_ptr", 4, Word),
    ],
);

/// `arch/riscv/include/asm/alternative.h`, `struct alt_entry`: distances since 6.3.
pub(super) static RISCV_ALTERNATIVES: &[FormRow] = &[
    FormRow::new(&[RISCV], &ALTERNATIVE_16).if_fits(is_of_patches),
    FormRow::new(&[RISCV], &ALTERNATIVE_RISCV_32).with_word(WordSize::Four),
    FormRow::new(&[RISCV], &ALTERNATIVE_RISCV_64).with_word(WordSize::Eight),
];

/// Whether the table can be only one of entries of 16 bytes, or each says something that can be the vendor,
/// a length or the number of a patch. (Before the table is relocated the length is not there.)
fn is_of_patches(numbers: Numbers, table: &[u8]) -> bool {
    const SIZE: usize = 16;
    /// More than any code that is replaced.
    const LONG: u16 = 0x400;
    let says_something = |entry: &[u8]| {
        let length = numbers.endian.u16(entry, 10);
        length.is_some_and(|length| length < LONG) && entry[8..].iter().any(|&byte| byte != 0)
    };
    table.len().is_multiple_of(SIZE)
        && (!table.len().is_multiple_of(ALTERNATIVE_RISCV_64.size())
            || table.chunks_exact(SIZE).all(says_something))
}

static PARAVIRT_64: EntryForm = EntryForm::new(16, &[Field::new("instr", 0, Word)]);
static PARAVIRT_32: EntryForm = EntryForm::new(8, &[Field::new("instr", 0, Word)]);

/// `arch/x86/include/asm/paravirt_types.h`, `struct paravirt_patch_site`; none since 6.8.
pub(super) static PARAVIRT: &[FormRow] = &[
    FormRow::new(&[X86_64], &PARAVIRT_64),
    FormRow::new(&[I386], &PARAVIRT_32),
];

static ERROR_INJECTION_64: EntryForm = EntryForm::new(16, &[Field::new("addr", 0, Word)]);
static ERROR_INJECTION_32: EntryForm = EntryForm::new(8, &[Field::new("addr", 0, Word)]);

/// `include/asm-generic/error-injection.h`, `struct error_injection_entry`.
pub(super) static ERROR_INJECTIONS: &[FormRow] = &[
    FormRow::new(&[], &ERROR_INJECTION_32).with_word(WordSize::Four),
    FormRow::new(&[], &ERROR_INJECTION_64).with_word(WordSize::Eight),
];

static RAW_TRACEPOINT_64: EntryForm = EntryForm::new(
    32,
    &[Field::new("tp", 0, Word), Field::new("bpf_func", 8, Word)],
);
static RAW_TRACEPOINT_32: EntryForm = EntryForm::new(
    32,
    &[Field::new("tp", 0, Word), Field::new("bpf_func", 4, Word)],
);

/// `include/linux/tracepoint-defs.h`, `struct bpf_raw_event_map`.
pub(super) static RAW_TRACEPOINTS: &[FormRow] = &[
    FormRow::new(&[], &RAW_TRACEPOINT_32).with_word(WordSize::Four),
    FormRow::new(&[], &RAW_TRACEPOINT_64).with_word(WordSize::Eight),
];

/// Four pointers to strings, and `SIZE` - 4 words of other things.
macro_rules! debug_print {
    ($name:ident, $size:literal, $word:literal) => {
        static $name: EntryForm = EntryForm::new(
            $size,
            &[
                Field::new("modname", 0, Word),
                Field::new("function", $word, Word),
                Field::new("filename", 2 * $word, Word),
                Field::new("format", 3 * $word, Word),
            ],
        );
    };
}

debug_print!(DEBUG_PRINT_64, 56, 8);
debug_print!(DEBUG_PRINT_64_SHORT, 40, 8);
debug_print!(DEBUG_PRINT_32, 32, 4);
debug_print!(DEBUG_PRINT_32_SHORT, 24, 4);

/// `include/linux/dynamic_debug.h`, `struct _ddebug`; shorter without `CONFIG_JUMP_LABEL`.
pub(super) static DEBUG_PRINTS: &[FormRow] = &[
    FormRow::new(&[], &DEBUG_PRINT_64)
        .with_word(WordSize::Eight)
        .if_fits(divides::<56>),
    FormRow::new(&[], &DEBUG_PRINT_64_SHORT).with_word(WordSize::Eight),
    FormRow::new(&[], &DEBUG_PRINT_32)
        .with_word(WordSize::Four)
        .if_fits(divides::<32>),
    FormRow::new(&[], &DEBUG_PRINT_32_SHORT).with_word(WordSize::Four),
];

/// A list, and three pointers.
macro_rules! debug_class {
    ($name:ident, $size:literal, $word:literal) => {
        static $name: EntryForm = EntryForm::new(
            $size,
            &[
                Field::new("mod", 2 * $word, Word),
                Field::new("mod_name", 3 * $word, Word),
                Field::new("class_names", 4 * $word, Word),
            ],
        );
    };
}

debug_class!(DEBUG_CLASS_64, 56, 8);
debug_class!(DEBUG_CLASS_32, 32, 4);

/// `include/linux/dynamic_debug.h`, `struct ddebug_class_map`.
pub(super) static DEBUG_CLASSES: &[FormRow] = &[
    FormRow::new(&[], &DEBUG_CLASS_32).with_word(WordSize::Four),
    FormRow::new(&[], &DEBUG_CLASS_64).with_word(WordSize::Eight),
];

/// Four distances from the entry itself, behind a mask and a value.
macro_rules! feature {
    ($name:ident, $size:literal, $word:literal) => {
        static $name: EntryForm = EntryForm::new(
            $size,
            &[
                Field::new("start_off", 2 * $word, EntryWord),
                Field::new("end_off", 3 * $word, EntryWord),
                Field::new("alt_start_off", 4 * $word, EntryWord),
                Field::new("alt_end_off", 5 * $word, EntryWord),
            ],
        );
    };
}

feature!(FEATURE_32, 24, 4);
feature!(FEATURE_64, 48, 8);

/// `arch/powerpc/lib/feature-fixups.c`, `struct fixup_entry`, `calc_addr`.
pub(super) static FEATURES: &[FormRow] = &[
    FormRow::new(&[PPC, PPC64], &FEATURE_32).with_word(WordSize::Four),
    FormRow::new(&[PPC, PPC64], &FEATURE_64).with_word(WordSize::Eight),
];

static ARM_SMP: EntryForm = EntryForm::new(8, &[Field::new("code", 0, Place32)]);

/// `arch/arm/include/asm/assembler.h`, `ALT_UP`: a distance and an instruction.
pub(super) static ARM_ALTERNATIVES: &[FormRow] = &[FormRow::new(&[ARM], &ARM_SMP)];

static SPARC_1: EntryForm = EntryForm::new(8, &[Field::new("addr", 0, Address32)]);
static SPARC_2: EntryForm = EntryForm::new(12, &[Field::new("addr", 0, Address32)]);

/// `arch/sparc/include/asm/spitfire.h` and `asm/trap_block.h`: an address and one instruction, or two
/// (`struct sun4v_1insn_patch_entry`, `struct sun4v_2insn_patch_entry`).
pub(super) static SPARC_ONE: &[FormRow] = &[FormRow::new(&[SPARCV9], &SPARC_1)];
pub(super) static SPARC_TWO: &[FormRow] = &[FormRow::new(&[SPARCV9], &SPARC_2)];
