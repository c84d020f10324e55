//! `__ksymtab` and `__ksymtab_gpl`: the symbols that a module or a kernel exports.
//!
//! An entry is a value, a name and a namespace, as three distances of 32 bits each from their own place
//! (arm64, x86) or three addresses. The CRCs are in `__kcrctab` and `__kcrctab_gpl`, 32 bits each, in the
//! same order. Linkers put the entries in the order of their names.
//!
//! Source: Linux 6.1.192, `include/linux/export.h`, `struct kernel_symbol`; `kernel/module/main.c`,
//! `find_exported_symbol_in_section`, `cmp_name`; `include/asm-generic/export.h`.

use crate::catalog::PREL32;
use crate::number::ByteOrder;
use crate::table::{Encoding, EntryForm, Field, FormRow, Table};
use crate::{Numbers, WordSize};

/// Three distances.
pub static RELATIVE: EntryForm = EntryForm::new(
    12,
    &[
        Field::new("value_offset", 0, Encoding::Place32),
        Field::new("name_offset", 4, Encoding::Place32),
        Field::new("namespace_offset", 8, Encoding::Place32).or_none(),
    ],
);

/// Three addresses of 32 bits.
pub static ABSOLUTE_32: EntryForm = EntryForm::new(
    12,
    &[
        Field::new("value", 0, Encoding::Word),
        Field::new("name", 4, Encoding::Word),
        Field::new("namespace", 8, Encoding::Word),
    ],
);

/// Three addresses of 64 bits.
pub static ABSOLUTE_64: EntryForm = EntryForm::new(
    24,
    &[
        Field::new("value", 0, Encoding::Word),
        Field::new("name", 8, Encoding::Word),
        Field::new("namespace", 16, Encoding::Word),
    ],
);

pub(crate) static ROWS: &[FormRow] = &[
    FormRow::new(PREL32, &RELATIVE),
    FormRow::new(&[], &ABSOLUTE_32).with_word(WordSize::Four),
    FormRow::new(&[], &ABSOLUTE_64).with_word(WordSize::Eight),
];

/// What kernels for this machine have.
#[must_use]
pub fn form(e_machine: u16, numbers: Numbers) -> Option<&'static EntryForm> {
    FormRow::choose(ROWS, e_machine, numbers, &[])
}

/// An exported symbol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Export<'a> {
    /// Its number in the table.
    pub index: usize,
    /// Its value.
    pub value: u64,
    /// Its name.
    pub name: &'a [u8],
    /// The namespace that a user has to import; empty: none.
    pub namespace: &'a [u8],
    /// Its version, where there are versions.
    pub crc: Option<u32>,
}

/// The symbols of an export table in memory.
///
/// `Memory` gives the bytes from an address on, as far as they are known: names lie in another section,
/// `__ksymtab_strings`.
#[derive(Clone, Copy, Debug)]
pub struct Exports<'t, Memory> {
    table: Table<'t>,
    numbers: Numbers,
    crcs: &'t [u8],
    memory: Memory,
}

impl<'t, 'a, Memory: Fn(u64) -> Option<&'a [u8]>> Exports<'t, Memory> {
    /// The symbols of `table`, with the CRCs in `crcs`, which may be empty.
    pub const fn new(table: Table<'t>, numbers: Numbers, crcs: &'t [u8], memory: Memory) -> Self {
        Self {
            table,
            numbers,
            crcs,
            memory,
        }
    }

    /// The symbols in order. One whose name is not known is passed over.
    pub fn iter(&self) -> impl Iterator<Item = Export<'a>> {
        (0..self.table.len()).filter_map(|index| self.get(index))
    }

    /// The symbol with this number; `None` if there is none, or its name is not known.
    pub fn get(&self, index: usize) -> Option<Export<'a>> {
        let entry = self.table.get(index)?;
        let namespace = entry.target(2).and_then(|address| self.string(address));
        Some(Export {
            index,
            value: entry.target(0).unwrap_or(0),
            name: self.string(entry.target(1)?)?,
            namespace: namespace.unwrap_or_default(),
            crc: self.numbers.endian.u32(self.crcs, index.checked_mul(4)?),
        })
    }

    /// The symbol with this name, in a table in the order of names.
    pub fn find(&self, name: &[u8]) -> Option<Export<'a>> {
        let (mut low, mut high) = (0, self.table.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.get(middle)?;
            match found.name.cmp(name) {
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Greater => high = middle,
                core::cmp::Ordering::Equal => return Some(found),
            }
        }
        None
    }

    fn string(&self, address: u64) -> Option<&'a [u8]> {
        let bytes = (self.memory)(address)?;
        let end = bytes.iter().position(|&byte| byte == 0)?;
        bytes.get(..end)
    }
}
