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

    /// Drops the entries that point into one of the ranges of addresses `gone`; the others keep their
    /// order. Gives the number of entries that are left.
    pub fn trim(&mut self, gone: &[Range<u64>]) -> usize {
        let runs = self.as_table().runs_into(gone);
        self.remove(&runs)
    }

    /// Drops the entries with the numbers in `runs`, which rise and do not overlap, and corrects those
    /// that count from their own place. The bytes behind those that are left are zeroed. Gives the number
    /// of these.
    pub fn remove(&mut self, runs: &[Range<usize>]) -> usize {
        let (size, fields, numbers) = (self.form.size(), self.form.fields(), self.numbers);
        remove_with(self.bytes, size, runs, |moved, distance| {
            for entry in moved.chunks_exact_mut(size) {
                for field in fields {
                    field.moved(numbers, entry, distance);
                }
            }
        })
    }

    /// Puts the entries that point into one of the ranges `later` behind all others; apart from that
    /// they keep their order. Gives the number of the others. Both parts can then be given to a kernel
    /// as tables of their own, of which the second one ends when init does.
    pub fn split(&mut self, later: &[Range<u64>]) -> usize {
        let table = self.as_table();
        if table.position_into(later).is_none() {
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

/// The same as [`TableMut::remove`] for an array whose entries hold no addresses and go with those of
/// a table. An entry is `size` bytes.
pub fn remove(bytes: &mut [u8], size: usize, runs: &[Range<usize>]) -> usize {
    remove_with(bytes, size, runs, |_, _| {})
}

/// Drops entries; `moved` is told the bytes of those that moved together, and how far, in bytes.
fn remove_with(
    bytes: &mut [u8],
    size: usize,
    runs: &[Range<usize>],
    mut moved: impl FnMut(&mut [u8], i64),
) -> usize {
    let count = bytes.len() / size;
    let Some(first) = runs.first() else {
        return count;
    };
    let mut left = first.start.min(count);
    let behind = runs.iter().skip(1).map(|run| run.start).chain([count]);
    for (run, end) in runs.iter().zip(behind) {
        let start = run.end.clamp(left, count);
        let end = end.clamp(start, count);
        bytes.copy_within(start * size..end * size, left * size);
        let now = left * size..(left + end - start) * size;
        let distance = (start - left) as i64 * size as i64;
        moved(bytes.get_mut(now).unwrap_or_default(), -distance);
        left += end - start;
    }
    bytes
        .get_mut(left * size..count * size)
        .unwrap_or_default()
        .fill(0);
    left
}
