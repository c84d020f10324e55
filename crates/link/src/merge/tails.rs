//! Finds strings that others end in ("suffix merging").
//!
//! GNU ld sorts strings by their bytes from the last to the first and goes through them downwards,
//! comparing each only with the last one that it kept (`merge_strings`). Which string holds another
//! depends on that order, so the order here is the same. What is faster: most comparisons are of
//! one integer, the last eight bytes.

use std::cmp::Ordering;

use rayon::prelude::*;

use super::MergeKind;
use super::unique::Entry;

/// A string in the order of tails.
#[derive(Clone, Copy)]
struct Tail {
    /// Its [`last_bytes`].
    last: u64,
    /// Compared before anything else, see [`ranks_by_length`].
    rank: u32,
    /// Index of the entry.
    entry: u32,
}

/// For each entry the index of the one that holds it: its own if it stays, else that of an entry
/// that stays and ends in it, so that both can have their alignment.
pub(super) fn find_holders(kind: &MergeKind, entries: &[Entry]) -> Vec<u32> {
    let mut holders: Vec<u32> = (0..).take(entries.len()).collect();
    let mut tails = sort(kind, entries).into_iter().rev();
    let Some(mut kept) = tails.next() else {
        return holders;
    };
    for tail in tails {
        let (Some(long), Some(short)) = (
            entries.get(kept.entry as usize),
            entries.get(tail.entry as usize),
        ) else {
            continue;
        };
        if holds(long, short) {
            if let Some(holder) = holders.get_mut(tail.entry as usize) {
                *holder = kept.entry;
            }
        } else {
            kept = tail;
        }
    }
    holders
}

/// Whether `short` can be in `long`: at its end, at an offset that `long`'s alignment keeps aligned.
fn holds(long: &Entry, short: &Entry) -> bool {
    let Some(ahead) = long.bytes.len().checked_sub(short.bytes.len()) else {
        return false;
    };
    long.align_log2 >= short.align_log2
        && (ahead as u64).is_multiple_of(1 << short.align_log2)
        && long.bytes.ends_with(short.bytes)
}

/// All entries in the order of `strrevcmp` or `strrevcmp_align`.
fn sort(kind: &MergeKind, entries: &[Entry]) -> Vec<Tail> {
    let ranks_by_length = ranks_by_length(kind, entries);
    let mut tails: Vec<Tail> = (0..)
        .zip(entries)
        .map(|(entry, Entry { bytes, .. })| Tail {
            last: last_bytes(bytes),
            rank: ranks_by_length.map_or(0, |mask| bytes.len() as u32 & mask),
            entry,
        })
        .collect();
    let bytes = |tail: &Tail| entries.get(tail.entry as usize).map(|entry| entry.bytes);
    // No two are equal, so that an unstable sort has one result.
    tails.par_sort_unstable_by(|a, b| {
        (a.rank, a.last).cmp(&(b.rank, b.last)).then_with(|| {
            let (Some(a), Some(b)) = (bytes(a), bytes(b)) else {
                return Ordering::Equal;
            };
            compare_from_end(a, b)
        })
    });
    tails
}

/// Where all strings have one alignment, larger than a character, only those can hold each other
/// whose lengths differ by a multiple of it. GNU ld then puts them together (`strrevcmp_align`);
/// the answer is the mask of the bits of the length that count.
fn ranks_by_length(kind: &MergeKind, entries: &[Entry]) -> Option<u32> {
    let log2 = entries.first()?.align_log2;
    let is_same = entries.iter().all(|entry| entry.align_log2 == log2);
    (is_same && 1 << log2 > kind.entry_size).then_some((1 << log2) - 1)
}

/// The last eight bytes, the last of all most significant; zeros where there are fewer.
fn last_bytes(bytes: &[u8]) -> u64 {
    if let Some(last) = bytes.last_chunk() {
        return u64::from_le_bytes(*last);
    }
    bytes
        .iter()
        .fold(0, |value, byte| value >> 8 | u64::from(*byte) << 56)
}

/// Compares byte by byte from the last; what is the end of the other is less.
fn compare_from_end(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while let (Some((rest_a, last_a)), Some((rest_b, last_b))) =
        (a.split_last_chunk::<8>(), b.split_last_chunk::<8>())
    {
        match u64::from_le_bytes(*last_a).cmp(&u64::from_le_bytes(*last_b)) {
            Ordering::Equal => (a, b) = (rest_a, rest_b),
            order => return order,
        }
    }
    a.iter().rev().cmp(b.iter().rev())
}
