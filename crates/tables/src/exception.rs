//! `__ex_table`: which instruction may fault, and where the kernel goes on if it does.
//!
//! | form | entry | on |
//! |---|---|---|
//! | [`RELATIVE_WITH_DATA`] | two distances and 32 bits: type and data, or a sample instruction that names a register | arm64, riscv, s390, x86; loongarch since 6.2; parisc since 6.8 and in stable kernels (6.1.192) |
//! | [`RELATIVE`] | two distances | powerpc; ia64; parisc before |
//! | [`RELATIVE_KEY`] | a distance and 32 bits of what to do | alpha |
//! | [`ABSOLUTE_32`], [`ABSOLUTE_64`] | two addresses | arc, arm, m68k, microblaze, mips, sh, sparc, xtensa and others; loongarch before 6.2 |
//! | [`ABSOLUTE_HALF`] | two addresses of 32 bits in a 64-bit kernel | sparc64 |
//!
//! Which it is, is a fact of Linux and not of the psABI: it depends on the version, and it is needed
//! for machines that klink does not link for. So it stands here and not in `klink-arch`.
//!
//! Source: Linux 6.1.192, `struct exception_table_entry` in `arch/*/include/asm/extable.h` and
//! `include/asm-generic/extable.h`; `scripts/sorttable.c`, `do_file`, also of 6.15.

use crate::number::ByteOrder;
use crate::table::{Encoding, EntryForm, Field, FormRow};
use crate::{Numbers, WordSize, machine};

/// Two addresses of 32 bits.
pub static ABSOLUTE_32: EntryForm = EntryForm::new(
    8,
    &[
        Field::new("insn", 0, Encoding::Word),
        Field::new("fixup", 4, Encoding::Word),
    ],
);

/// Two addresses of 64 bits.
pub static ABSOLUTE_64: EntryForm = EntryForm::new(
    16,
    &[
        Field::new("insn", 0, Encoding::Word),
        Field::new("fixup", 8, Encoding::Word),
    ],
);

/// Two addresses of 32 bits in a 64-bit kernel.
pub static ABSOLUTE_HALF: EntryForm = EntryForm::new(
    8,
    &[
        Field::new("insn", 0, Encoding::Address32),
        Field::new("fixup", 4, Encoding::Address32),
    ],
);

/// Two distances.
pub static RELATIVE: EntryForm = EntryForm::new(
    8,
    &[
        Field::new("insn", 0, Encoding::Place32),
        Field::new("fixup", 4, Encoding::Place32),
    ],
);

/// Two distances, and 32 bits that are no address.
pub static RELATIVE_WITH_DATA: EntryForm = EntryForm::new(
    12,
    &[
        Field::new("insn", 0, Encoding::Place32),
        Field::new("fixup", 4, Encoding::Place32),
    ],
);

/// A distance, and 32 bits that are no address (`arch/alpha/include/asm/extable.h`).
pub static RELATIVE_KEY: EntryForm = EntryForm::new(8, &[Field::new("insn", 0, Encoding::Place32)]);

/// What a kernel for the ELF machine `e_machine` has in its exception tables; `None` if no such kernel
/// is known.
///
/// parisc and loongarch changed their form. There `table`, the bytes of one, tells which it is: parisc
/// by the sample instruction, which is `or %r0,%r0,%rN` in every new entry; loongarch by the
/// upper halves of its addresses, which are the same in an old one. A module's table tells only
/// parisc's before it is relocated.
///
/// ```
/// use klink_tables::{Endian, Numbers, WordSize, exception};
/// let x86_64 = Numbers { word: WordSize::Eight, endian: Endian::Little };
/// let form = exception::form(62, x86_64, &[]).unwrap();
/// assert_eq!(form.size(), 12);
/// ```
#[must_use]
pub fn form(e_machine: u16, numbers: Numbers, table: &[u8]) -> Option<&'static EntryForm> {
    FormRow::choose(ROWS, e_machine, numbers, table)
}

/// The forms by machine.
pub(crate) static ROWS: &[FormRow] = &[
    FormRow::new(
        &[machine::I386, machine::X86_64, machine::AARCH64],
        &RELATIVE_WITH_DATA,
    ),
    FormRow::new(&[machine::RISCV, machine::S390], &RELATIVE_WITH_DATA),
    FormRow::new(&[machine::PARISC], &RELATIVE_WITH_DATA).if_fits(has_sample_instructions),
    FormRow::new(
        &[machine::PARISC, machine::PPC, machine::PPC64, machine::IA64],
        &RELATIVE,
    ),
    FormRow::new(&[machine::LOONGARCH], &ABSOLUTE_64)
        .with_word(WordSize::Eight)
        .if_fits(has_addresses),
    FormRow::new(&[machine::LOONGARCH], &RELATIVE_WITH_DATA),
    FormRow::new(&[machine::ALPHA], &RELATIVE_KEY),
    FormRow::new(&[machine::SPARCV9], &ABSOLUTE_HALF),
    FormRow::new(ABSOLUTE, &ABSOLUTE_32).with_word(WordSize::Four),
    FormRow::new(ABSOLUTE, &ABSOLUTE_64).with_word(WordSize::Eight),
];

/// Machines with two addresses.
const ABSOLUTE: &[u16] = &[
    machine::SPARC,
    machine::SPARC32PLUS,
    machine::M68K,
    machine::MIPS,
    machine::ARM,
    machine::SH,
    machine::ARC,
    machine::XTENSA,
    machine::MICROBLAZE,
    machine::ARCV2,
    machine::CSKY,
];

/// Whether there are entries of 12 bytes, and each ends in `or %r0,%r0,%rN`
/// (`arch/parisc/include/asm/extable.h`, `ASM_EXCEPTIONTABLE_ENTRY`).
fn has_sample_instructions(numbers: Numbers, table: &[u8]) -> bool {
    const OR_R0_R0: u32 = 0x0800_0240;
    const TARGET: u32 = 0x1f;
    let mut entries = table.chunks_exact(RELATIVE_WITH_DATA.size());
    !table.is_empty()
        && entries.all(|entry| {
            numbers
                .endian
                .u32(entry, 8)
                .is_some_and(|code| code & !TARGET == OR_R0_R0)
        })
        && entries.remainder().is_empty()
}

/// Whether the table is of words that differ only in their lower halves, as kernel addresses do.
fn has_addresses(numbers: Numbers, table: &[u8]) -> bool {
    let size = numbers.word.bytes();
    let upper = |word: &[u8]| {
        numbers
            .endian
            .word(numbers.word, word, 0)
            .map(|word| word >> (size * 4))
    };
    let mut halves = table.chunks_exact(size).map(upper);
    let first = halves.next().flatten();
    table.len().is_multiple_of(2 * size)
        && first.is_some_and(|half| half != 0)
        && halves.all(|half| half == first)
}
