//! Finds equal pieces of all sections of a group.
//!
//! GNU ld goes through the pieces in order and records each as an entry unless it has an equal one
//! of at least its alignment; if it has one of less, the new piece takes the entry's place
//! (`sec_merge_hash_lookup`, `sec_merge_add`). Entries of different hash do not see each other, so
//! that they are divided by hash, and each thread goes through all pieces for its share of them.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry as Slot;
use rayon::prelude::*;

use super::pieces::Key;
use super::{MergeKind, Part};

/// Contents that at least one input has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    /// Without terminator.
    pub(super) bytes: &'a [u8],
    /// The largest alignment of an equal piece.
    pub(super) align_log2: u8,
    /// The part that has the entry: at first that of the first equal piece of this alignment.
    pub(super) part: u32,
    /// That piece.
    pub(super) piece: u32,
    /// Offset in the part; at first 0.
    pub(super) offset: u64,
}

/// The entries of a group.
pub(super) struct Unique<'a> {
    /// In no order that means anything.
    pub(super) entries: Vec<Entry<'a>>,
    /// For each part, its pieces' entries.
    pub(super) indices: Vec<Vec<u32>>,
    /// The last part with a piece that was recorded.
    pub(super) last_new: Option<u32>,
}

/// Below so many pieces a second thread costs more than it brings.
const PIECES_PER_SHARE: usize = 1 << 12;

/// Each share reads all hashes; more shares than these would mostly do that.
const MAX_SHARE_BITS: u32 = 4;

/// The entries of one range of hashes.
struct Share<'a> {
    entries: Vec<Entry<'a>>,
    /// Entries of this share's pieces, in order of the pieces.
    indices: Vec<u32>,
    last_new: Option<u32>,
}

/// An entry while they are collected.
struct Numbered<'a> {
    /// Of the contents.
    hash: u32,
    /// How many there were before.
    index: u32,
    entry: Entry<'a>,
}

/// Finds the entries of all parts.
pub(super) fn find<'a>(kind: &MergeKind, parts: &[Part<'a>]) -> Unique<'a> {
    let pieces: usize = parts.iter().map(|part| keys(part).len()).sum();
    let shares = (pieces / PIECES_PER_SHARE).clamp(1, rayon::current_num_threads());
    let share_bits = shares.ilog2().min(MAX_SHARE_BITS);

    let shares: Vec<Share> = (0..1_u32 << share_bits)
        .into_par_iter()
        .map(|share| find_share(kind, parts, share, share_bits))
        .collect();

    let mut entries = Vec::with_capacity(shares.iter().map(|share| share.entries.len()).sum());
    let last_new = shares.iter().filter_map(|share| share.last_new).max();
    let mut indices = Vec::new();
    for share in shares {
        // There are fewer entries than bytes in the group, which are less than 4 GiB.
        let first = u32::try_from(entries.len()).unwrap_or(u32::MAX);
        entries.extend(share.entries);
        indices.push((share.indices.into_iter(), first));
    }
    let mut index_of = |key: &Key| {
        let (share, first) = indices.get_mut(share_of(key, share_bits) as usize)?;
        Some(share.next()? + *first)
    };
    Unique {
        entries,
        indices: parts
            .iter()
            .map(|part| keys(part).iter().filter_map(&mut index_of).collect())
            .collect(),
        last_new,
    }
}

fn keys<'p>(part: &'p Part) -> &'p [Key] {
    part.pieces.as_ref().map_or(&[], |pieces| pieces.keys())
}

fn share_of(key: &Key, share_bits: u32) -> u32 {
    (u64::from(key.hash) >> (u32::BITS - share_bits)) as u32
}

fn find_share<'a>(kind: &MergeKind, parts: &[Part<'a>], share: u32, share_bits: u32) -> Share<'a> {
    let mut indices = Vec::new();
    let mut count = 0;
    let mut last_new = None;
    // Entries stand in the table: a place in memory less to wait for, and most of the time is that.
    let mut table: HashTable<Numbered> = HashTable::new();
    for (part_number, part) in (0..).zip(parts) {
        let Some(pieces) = &part.pieces else {
            continue;
        };
        for (piece, key) in pieces.keys().iter().enumerate() {
            if share_of(key, share_bits) != share {
                continue;
            }
            let start = pieces.start(kind, piece);
            let entry = Entry {
                bytes: contents(part.data, start, key.length),
                align_log2: align_log2(kind, start),
                part: part_number,
                piece: u32::try_from(piece).unwrap_or(u32::MAX),
                offset: 0,
            };
            let is_equal = |old: &Numbered| old.hash == key.hash && old.entry.bytes == entry.bytes;
            let slot = table.entry(spread(key.hash), is_equal, |old| spread(old.hash));
            let is_new = match &slot {
                Slot::Occupied(slot) => slot.get().entry.align_log2 < entry.align_log2,
                Slot::Vacant(_) => true,
            };
            if is_new {
                last_new = Some(part_number);
            }
            let index = match slot {
                Slot::Occupied(mut slot) => {
                    if is_new {
                        slot.get_mut().entry = entry;
                    }
                    slot.get().index
                }
                Slot::Vacant(slot) => {
                    let (hash, index) = (key.hash, count);
                    slot.insert(Numbered { hash, index, entry });
                    count += 1;
                    index
                }
            };
            indices.push(index);
        }
    }
    Share {
        entries: in_order(table),
        indices,
        last_new,
    }
}

/// The entries by their numbers.
fn in_order(table: HashTable<Numbered>) -> Vec<Entry> {
    let nothing = Entry {
        bytes: &[],
        align_log2: 0,
        part: 0,
        piece: 0,
        offset: 0,
    };
    let mut entries = vec![nothing; table.len()];
    for Numbered { index, entry, .. } in table {
        if let Some(place) = entries.get_mut(index as usize) {
            *place = entry;
        }
    }
    entries
}

fn contents(data: &[u8], start: u64, length: u32) -> &[u8] {
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let end = start.saturating_add(length as usize);
    data.get(start..end).unwrap_or(&[])
}

/// The alignment that a piece at this offset has and must keep: for strings as far as the
/// section's alignment goes, for other entries none (`record_section`).
fn align_log2(kind: &MergeKind, start: u64) -> u8 {
    let section = kind.align_log2().unwrap_or(0);
    match (kind.strings, start) {
        (false, _) => 0,
        (true, 0) => section,
        (true, _) => section.min(start.trailing_zeros() as u8),
    }
}

/// Brings the bits of a hash to where the table looks for them: the lowest and the highest seven.
fn spread(hash: u32) -> u64 {
    /// 2⁶⁴ divided by the golden ratio, made odd (Knuth, TAOCP 6.4: multiplicative hashing).
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    u64::from(hash).wrapping_mul(GOLDEN)
}
