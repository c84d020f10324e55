//! Reading a table.

use alloc::vec::Vec;
use core::iter::FusedIterator;
use core::ops::Range;

use super::{Encoding, EntryForm, Field};
use crate::{Endian, Numbers};

/// A table in memory or in a file, with the address that it has when the kernel runs.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    form: &'static EntryForm,
    numbers: Numbers,
    bytes: &'a [u8],
    address: u64,
}

impl<'a> Table<'a> {
    /// The table that is `bytes` and runs at `address`. Bytes at the end that make no whole entry are
    /// passed over, as the kernel does (Linux `kernel/module/main.c`, `section_objs`).
    #[must_use]
    pub const fn new(
        form: &'static EntryForm,
        numbers: Numbers,
        bytes: &'a [u8],
        address: u64,
    ) -> Self {
        Self {
            form,
            numbers,
            bytes,
            address,
        }
    }

    /// How many entries there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len() / self.form.size()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the entries look like.
    #[must_use]
    pub const fn form(&self) -> &'static EntryForm {
        self.form
    }

    /// The entry with this number.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Entry<'a>> {
        let start = index.checked_mul(self.form.size())?;
        let bytes = self
            .bytes
            .get(start..start.checked_add(self.form.size())?)?;
        Some(Entry {
            form: self.form,
            numbers: self.numbers,
            bytes,
            address: self
                .numbers
                .word
                .cut(self.address.wrapping_add(start as u64)),
            index,
        })
    }

    /// The entries, in order.
    #[must_use]
    pub const fn entries(&self) -> Entries<'a> {
        Entries {
            table: *self,
            next: 0,
        }
    }

    /// The number of the first entry of which a field points into one of `ranges`.
    #[must_use]
    pub fn position_into(&self, ranges: &[Range<u64>]) -> Option<usize> {
        let hull = hull(ranges);
        let within = |address: u64| {
            hull.contains(&address) && ranges.iter().any(|range| range.contains(&address))
        };
        let fields = self.form.fields().iter();
        fields
            .filter_map(|field| self.position_of(field, within))
            .min()
    }

    /// The numbers of all such entries, as rising runs.
    #[must_use]
    pub fn runs_into(&self, ranges: &[Range<u64>]) -> Vec<Range<usize>> {
        // most tables have none, and that is quickly said
        let Some(first) = self.position_into(ranges) else {
            return Vec::new();
        };
        let entries = Entries {
            table: *self,
            next: first,
        };
        runs(
            entries
                .filter(|entry| entry.points_into(ranges))
                .map(|entry| entry.index()),
        )
    }

    /// The number of the first entry whose field holds an address of which `hit` says so.
    fn position_of(&self, field: &Field, hit: impl Fn(u64) -> bool) -> Option<usize> {
        // the most frequent ones in loops of their own, in which nothing is left to decide
        match (field.encoding, self.numbers.endian) {
            (Encoding::Place32, Endian::Little) => {
                let (numbers, field) = (little(self.numbers), field.written(Encoding::Place32));
                self.position(|entry, at| field.read(numbers, entry, at).is_some_and(&hit))
            }
            (Encoding::Word, Endian::Little) => {
                let (numbers, field) = (little(self.numbers), field.written(Encoding::Word));
                self.position(|entry, at| field.read(numbers, entry, at).is_some_and(&hit))
            }
            _ => self.position(|entry, at| field.read(self.numbers, entry, at).is_some_and(&hit)),
        }
    }

    /// The number of the first entry of which `hit` says so, given its bytes and its address.
    #[inline(always)]
    fn position(&self, hit: impl Fn(&[u8], u64) -> bool) -> Option<usize> {
        let size = self.form.size();
        let mut next = self.address;
        self.bytes.chunks_exact(size).position(|entry| {
            let at = next;
            next = next.wrapping_add(size as u64);
            hit(entry, at)
        })
    }

    /// Whether the keys rise, so that the table can be searched.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        self.entries().is_sorted_by_key(|entry| entry.key())
    }

    /// The entry whose key is `address`, in a sorted table; of several one of them (Linux
    /// `lib/extable.c`, `search_extable`).
    #[must_use]
    pub fn find(&self, address: u64) -> Option<Entry<'a>> {
        let found = self.find_at_or_before(address)?;
        (found.key() == Some(address)).then_some(found)
    }

    /// The entry that is about a range of addresses with `address` in it, in a sorted table: the first field
    /// is the first address of the range, and the second one the last.
    #[must_use]
    pub fn find_covering(&self, address: u64) -> Option<Entry<'a>> {
        let found = self.find_at_or_before(address)?;
        (found.target(1)? >= address).then_some(found)
    }

    /// The last entry whose key is not above `address`, in a sorted table: where entries say what
    /// holds from their key on, until the next.
    #[must_use]
    pub fn find_at_or_before(&self, address: u64) -> Option<Entry<'a>> {
        let behind = self.partition(|key| key <= address);
        self.get(behind.checked_sub(1)?)
    }

    /// The number of the first entry whose key is not below `address`, in a sorted table.
    pub(crate) fn first_from(&self, address: u64) -> usize {
        self.partition(|key| key < address)
    }

    /// The number of the first entry behind those of whose keys `before` says so.
    fn partition(&self, before: impl Fn(u64) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let key = self.get(middle).and_then(|entry| entry.key());
            match key.is_none_or(&before) {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }
}

/// The same in little-endian.
const fn little(numbers: Numbers) -> Numbers {
    Numbers {
        endian: Endian::Little,
        ..numbers
    }
}

/// Rising numbers as runs.
fn runs(numbers: impl Iterator<Item = usize>) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(last) if last.end == number => last.end += 1,
            _ => runs.push(number..number + 1),
        }
    }
    runs
}

/// The least range with all of `ranges` in it.
fn hull(ranges: &[Range<u64>]) -> Range<u64> {
    let start = ranges.iter().map(|range| range.start).min();
    let end = ranges.iter().map(|range| range.end).max();
    start.unwrap_or(0)..end.unwrap_or(0)
}

/// An entry of a [`Table`].
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    form: &'static EntryForm,
    numbers: Numbers,
    bytes: &'a [u8],
    address: u64,
    index: usize,
}

impl<'a> Entry<'a> {
    /// Its number in the table.
    #[must_use]
    pub const fn index(&self) -> usize {
        self.index
    }

    /// Where it is when the kernel runs.
    #[must_use]
    pub const fn address(&self) -> u64 {
        self.address
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What the field with this number points at; `None` if it holds no address.
    #[must_use]
    pub fn target(&self, field: usize) -> Option<u64> {
        let field = self.form.fields().get(field)?;
        field.read(self.numbers, self.bytes, self.address)
    }

    /// What the entry is about: the target of its first field.
    #[must_use]
    pub fn key(&self) -> Option<u64> {
        self.target(0)
    }

    /// Whether any of its fields points into one of the ranges of addresses.
    #[must_use]
    pub fn points_into(self, ranges: &[Range<u64>]) -> bool {
        let mut targets = self.targets();
        targets.any(|target| ranges.iter().any(|range| range.contains(&target)))
    }

    /// All that the entry points at, in the order of the fields; fields that hold no address are
    /// passed over.
    pub fn targets(self) -> impl Iterator<Item = u64> {
        let fields = self.form.fields().iter();
        fields.filter_map(move |field| field.read(self.numbers, self.bytes, self.address))
    }
}

/// Iterator of [`Table::entries`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    table: Table<'a>,
    next: usize,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        let entry = self.table.get(self.next)?;
        self.next += 1;
        Some(entry)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.table.len() - self.next;
        (left, Some(left))
    }
}

impl ExactSizeIterator for Entries<'_> {}
impl FusedIterator for Entries<'_> {}
