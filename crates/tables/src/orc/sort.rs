//! Puts ORC into order. A module's comes as runs, one for each section of code of each object, so that
//! hardly any entry has to move for itself.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Range;

use super::{IP, OrcMut};
use crate::number::{ByteOrder, Endian};

/// What entries are sorted by: the address, then a rank. Ranks are unique: of entries that say nothing it is
/// their number, of the others the last has the lowest.
type Key = (u64, u32);

impl OrcMut<'_> {
    /// Sorts both by address. Of entries about the same one those that say nothing come first, in their
    /// order, and then the others, the last first: so does `sorttable`.
    pub fn sort(&mut self) {
        let runs = self.runs();
        if runs.len() > 1 {
            let pieces = self.merge(runs);
            self.put_behind_each_other(&pieces);
        }
    }

    #[inline]
    fn address_of(&self, number: usize) -> u64 {
        let start = number * IP.size();
        let distance = self.numbers.endian.u32(self.ips, start).unwrap_or_default();
        let place = self.address.wrapping_add(start as u64);
        place.wrapping_add_signed(distance.cast_signed().into())
    }

    fn key_of(&self, number: usize) -> Key {
        // no table has more entries than half of the numbers: its own distances do not reach so far
        let rank = match self.says_nothing(number) {
            true => number as u32,
            false => u32::MAX - number as u32,
        };
        (self.address_of(number), rank)
    }

    /// The entries as runs that are in order, as long as possible.
    fn runs(&self) -> Vec<Range<usize>> {
        let place = |number: usize| self.address.wrapping_add((number * IP.size()) as u64);
        let address = |number, distance: i32| place(number).wrapping_add_signed(distance.into());
        let ips = self.ips.chunks_exact(IP.size());
        // two loops, in which nothing is left to decide
        match self.numbers.endian {
            Endian::Little => self.runs_of(ips.enumerate().map(|(number, ip)| {
                address(
                    number,
                    Endian::Little.u32(ip, 0).unwrap_or_default().cast_signed(),
                )
            })),
            Endian::Big => self.runs_of(ips.enumerate().map(|(number, ip)| {
                address(
                    number,
                    Endian::Big.u32(ip, 0).unwrap_or_default().cast_signed(),
                )
            })),
        }
    }

    #[inline(always)]
    fn runs_of(&self, addresses: impl ExactSizeIterator<Item = u64>) -> Vec<Range<usize>> {
        let count = addresses.len();
        let mut runs = Vec::new();
        let (mut start, mut last) = (0, 0);
        for (number, address) in addresses.enumerate() {
            let rises =
                last < address || last == address && self.says_nothing(number.wrapping_sub(1));
            if !rises && number > 0 {
                runs.push(start..number);
                start = number;
            }
            last = address;
        }
        runs.push(start..count);
        runs
    }

    /// The runs as pieces that are in order behind each other.
    fn merge(&self, runs: Vec<Range<usize>>) -> Vec<Range<usize>> {
        let next = |run: Range<usize>| Reverse((self.key_of(run.start), run.start, run.end));
        let mut pieces = Vec::with_capacity(2 * runs.len());
        let mut waiting: BinaryHeap<_> = runs.into_iter().map(next).collect();
        while let Some(Reverse((_, start, end))) = waiting.pop() {
            let cut = match waiting.peek() {
                Some(Reverse((key, ..))) => self.behind(start..end, *key),
                None => end,
            };
            pieces.push(start..cut);
            if cut < end {
                waiting.push(next(cut..end));
            }
        }
        pieces
    }

    /// The first entry of a run that belongs behind `key`.
    fn behind(&self, run: Range<usize>, key: Key) -> usize {
        let (mut low, mut high) = (run.start, run.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key_of(middle) < key {
                true => low = middle + 1,
                false => high = middle,
            }
        }
        low
    }

    fn put_behind_each_other(&mut self, pieces: &[Range<usize>]) {
        let (ips, entries) = (self.ips.to_vec(), self.entries.to_vec());
        let (ip_size, size, endian) = (IP.size(), self.form.size, self.numbers.endian);
        let mut to = 0;
        for piece in pieces {
            let (start, end, next) = (piece.start, piece.end, to + piece.len());
            let moved = (to as i64 - start as i64).wrapping_mul(ip_size as i64) as u32;
            let new = self.ips.get_mut(to * ip_size..next * ip_size);
            let old = ips.get(start * ip_size..end * ip_size);
            let (new, old) = (new.unwrap_or_default(), old.unwrap_or_default());
            for (new, old) in new.chunks_exact_mut(ip_size).zip(old.chunks_exact(ip_size)) {
                let distance = endian.u32(old, 0).unwrap_or_default();
                new.copy_from_slice(&endian.of_u32(distance.wrapping_sub(moved)));
            }
            let new = self.entries.get_mut(to * size..next * size);
            if let (Some(new), Some(old)) = (new, entries.get(start * size..end * size)) {
                new.copy_from_slice(old);
            }
            to = next;
        }
    }
}
