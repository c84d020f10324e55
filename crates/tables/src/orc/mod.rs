//! ORC: what an unwinder needs to know at each address of code, in two arrays.
//!
//! `.orc_unwind_ip` holds addresses, as distances from their own place, in ascending order; the entry of
//! `.orc_unwind` with the same number holds what is true from there on. An entry that says nothing is
//! put where the code of an object ends, in case that objtool did not see what follows. Where such
//! an entry and another are about the same address, the other has to stand behind it: the kernel takes
//! the last.
//!
//! Source: Linux 6.1.192, `struct orc_entry` in `arch/x86/include/asm/orc_types.h`, `orc_sort_cmp` in
//! `arch/x86/kernel/unwind_orc.c` and in `scripts/sorttable.h`; loongarch's `orc_types.h` of 6.9.

mod sort;

use alloc::vec::Vec;
use core::ops::Range;

use thiserror::Error;

use crate::table::{Encoding, EntryForm, Field, FormRow, Table, TableMut, remove};
use crate::{Numbers, machine};

/// `.orc_unwind_ip`: the address of the first byte of code that the entry is about.
pub static IP: EntryForm = EntryForm::new(4, &[Field::new("ip", 0, Encoding::Place32)]);

pub(crate) static ROWS: &[FormRow] = &[FormRow::new(&[machine::X86_64, machine::LOONGARCH], &IP)];

/// What an entry of `.orc_unwind` looks like, as far as it matters for keeping it in order.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OrcForm {
    /// Bytes of an entry.
    pub size: usize,
    /// Bits of the bytes at the end of the entry that are all zero in one that says nothing: no register, no
    /// type, not the end of the stack.
    says_nothing: [u8; 2],
}

/// x86-64. In 6.1 an entry says nothing if it names no register for the stack pointer and is not the end of
/// the stack; since 6.4 if its type is zero. objtool leaves all of these zero in such an entry.
pub static X86: OrcForm = OrcForm {
    size: 6,
    says_nothing: [0x0f, 0xff],
};

/// loongarch, since 6.9.
pub static LOONGARCH: OrcForm = OrcForm {
    size: 8,
    says_nothing: [0x0f, 0xf0],
};

impl OrcForm {
    fn says_nothing(&self, entry: &[u8]) -> bool {
        let flags = entry.len().saturating_sub(self.says_nothing.len());
        let mut flags = entry.iter().skip(flags).zip(self.says_nothing);
        flags.all(|(byte, mask)| byte & mask == 0)
    }
}

/// The form on this machine; `None`: its kernels have no ORC.
#[must_use]
pub fn form(e_machine: u16) -> Option<&'static OrcForm> {
    match e_machine {
        machine::X86_64 => Some(&X86),
        machine::LOONGARCH => Some(&LOONGARCH),
        _ => None,
    }
}

/// The two arrays do not have the same number of whole entries.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("inconsistent ORC unwind tables: {ips} bytes of addresses, {entries} bytes of entries")]
pub struct Inconsistent {
    /// Bytes of `.orc_unwind_ip`.
    pub ips: usize,
    /// Bytes of `.orc_unwind`.
    pub entries: usize,
}

/// Says no unless arrays of these sizes in bytes belong together.
pub(crate) fn check(form: &OrcForm, ips: usize, entries: usize) -> Result<(), Inconsistent> {
    let whole = ips.is_multiple_of(IP.size());
    match whole && Some(entries) == (ips / IP.size()).checked_mul(form.size) {
        true => Ok(()),
        false => Err(Inconsistent { ips, entries }),
    }
}

/// The two arrays, to change them together.
#[derive(Debug)]
pub struct OrcMut<'a> {
    form: &'static OrcForm,
    numbers: Numbers,
    ips: &'a mut [u8],
    address: u64,
    entries: &'a mut [u8],
}

impl<'a> OrcMut<'a> {
    /// The arrays `ips`, which runs at `address`, and `entries`.
    ///
    /// # Errors
    /// If they do not belong together.
    pub fn new(
        form: &'static OrcForm,
        numbers: Numbers,
        ips: &'a mut [u8],
        address: u64,
        entries: &'a mut [u8],
    ) -> Result<Self, Inconsistent> {
        check(form, ips.len(), entries.len())?;
        Ok(Self {
            form,
            numbers,
            ips,
            address,
            entries,
        })
    }

    /// Drops the entries about addresses in the ranges `gone`, and those that say nothing about what is
    /// behind the end of one, from sorted arrays. Both keep their size; gives the number of entries that
    /// count.
    pub fn trim(&mut self, gone: &[Range<u64>]) -> usize {
        let table = Table::new(&IP, self.numbers, self.ips, self.address);
        let mut runs = Vec::with_capacity(gone.len());
        for range in gone.iter().filter(|range| !range.is_empty()) {
            let start = table.first_from(range.start);
            let mut end = table.first_from(range.end);
            let at_end = |number| table.get(number).and_then(|ip| ip.key()) == Some(range.end);
            while at_end(end) && self.says_nothing(end) {
                end += 1;
            }
            runs.push(start..end);
        }
        runs.retain(|run| !run.is_empty());
        runs.sort_unstable_by_key(|run| run.start);
        remove(self.entries, self.form.size, &runs);
        TableMut::new(&IP, self.numbers, self.ips, self.address).remove(&runs)
    }

    fn says_nothing(&self, number: usize) -> bool {
        let size = self.form.size;
        let entry = number
            .checked_mul(size)
            .and_then(|start| self.entries.get(start..start + size));
        entry.is_some_and(|entry| self.form.says_nothing(entry))
    }
}

/// What holds at `address`: the bytes of the entry in `entries`, whose addresses are `ips` and sorted
/// (`__orc_find`).
#[must_use]
pub fn find<'a>(
    form: &OrcForm,
    ips: &Table<'_>,
    entries: &'a [u8],
    address: u64,
) -> Option<&'a [u8]> {
    let index = ips.find_at_or_before(address)?.index();
    entries.chunks_exact(form.size).nth(index)
}
