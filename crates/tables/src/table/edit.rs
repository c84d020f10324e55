//! Changing a table in place.

use alloc::vec::Vec;
use core::ops::Range;

use super::{Entry, EntryForm, Table};
use crate::Numbers;

/// A table that may be changed. See [`Table`].
///
/// A distance that does not fit into its field any more when the entry moves wraps, as it does when
/// Linux sorts: that is of what lies further than 1 or 2 GiB away, less the size of the table.
#[derive(Debug)]
pub struct TableMut<'a> {
    form: &'static EntryForm,
    numbers: Numbers,
    bytes: &'a mut [u8],
    address: u64,
}

impl<'a> TableMut<'a> {
    /// The table that is `bytes` and runs at `address`; see [`Table::new`].
    pub const fn new(
        form: &'static EntryForm,
        numbers: Numbers,
        bytes: &'a mut [u8],
        address: u64,
    ) -> Self {
        Self {
            form,
            numbers,
            bytes,
            address,
        }
    }

    /// The same table, to read.
    #[must_use]
    pub const fn as_table(&self) -> Table<'_> {
        Table::new(self.form, self.numbers, self.bytes, self.address)
    }

    /// Sorts the entries by their key, the address in their first field. Entries with the same key
    /// keep their order.
    pub fn sort(&mut self) {
        self.sort_by_key(|entry| entry.key());
    }

    /// Sorts the entries by what `key` says of them. Those with the same key keep their order.
    pub fn sort_by_key<Key: Ord>(&mut self, key: impl Fn(Entry<'_>) -> Key) {
        let mut order: Vec<(Key, usize)> = self
            .as_table()
            .entries()
            .map(|entry| (key(entry), entry.index()))
            .collect();
        if order.is_sorted() {
            return;
        }
        order.sort_unstable();
        let order: Vec<usize> = order.into_iter().map(|(_, index)| index).collect();
        self.select(&order);
    }

    /// Keeps the entries for which `keep` says so, in their order, at the front of the table. The bytes
    /// behind them are zeroed. Gives the number of entries that are left.
    pub fn retain(&mut self, keep: impl Fn(Entry<'_>) -> bool) -> usize {
        let table = self.as_table();
        // most tables keep all
        let Some(first) = table.entries().position(|entry| !keep(entry)) else {
            return table.len();
        };
        let behind = table.entries().skip(first + 1);
        let behind = behind
            .filter(|entry| keep(*entry))
            .map(|entry| entry.index());
        let kept: Vec<usize> = (0..first).chain(behind).collect();
        self.select(&kept);
        kept.len()
    }

    /// Drops the entries that point into one of the ranges of addresses `gone`. Gives the number of
    /// entries that are left; see [`TableMut::retain`].
    pub fn trim(&mut self, gone: &[Range<u64>]) -> usize {
        self.retain(|entry| !entry.points_into(gone))
    }

    /// Puts the entries that point into one of the ranges `later` behind all others; apart from that
    /// they keep their order. Gives the number of the others. Both parts can then be given to a kernel
    /// as tables of their own, of which the second one ends when init does.
    pub fn split(&mut self, later: &[Range<u64>]) -> usize {
        let table = self.as_table();
        if !table.entries().any(|entry| entry.points_into(later)) {
            return table.len();
        }
        let (mut order, behind): (Vec<_>, Vec<_>) =
            table.entries().partition(|entry| !entry.points_into(later));
        let first = order.len();
        order.extend(behind);
        let order: Vec<usize> = order.iter().map(Entry::index).collect();
        if !order.is_sorted() {
            self.select(&order);
        }
        first
    }

    /// Makes a table of the entries with the numbers `order`, and corrects those that count from
    /// their own place. What is left of the bytes is zeroed. Numbers of no entry give zeroes.
    pub fn select(&mut self, order: &[usize]) {
        let (size, fields) = (self.form.size(), self.form.fields());
        select(self.bytes, size, order);
        let moved = self.bytes.chunks_exact_mut(size).zip(order).enumerate();
        for (new, (bytes, &old)) in moved.filter(|(new, (_, old))| new != *old) {
            let distance = (new as i64 - old as i64).wrapping_mul(size as i64);
            for field in fields {
                field.moved(self.numbers, bytes, distance);
            }
        }
    }
}

/// The same for an array whose entries hold no addresses and go with those of a [`TableMut`]: puts
/// entry `order[0]` of the array `bytes` first, and so on; what is left of its whole entries is
/// zeroed. An entry is `size` bytes. Numbers of no entry give zeroes.
pub fn select(bytes: &mut [u8], size: usize, order: &[usize]) {
    let old = bytes.to_vec();
    let mut order = order.iter();
    for new in bytes.chunks_exact_mut(size) {
        let from = order.next().and_then(|&index| {
            let start = index.checked_mul(size)?;
            old.get(start..start.checked_add(size)?)
        });
        match from {
            Some(from) => new.copy_from_slice(from),
            None => new.fill(0),
        }
    }
}
