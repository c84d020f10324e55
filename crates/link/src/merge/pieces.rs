//! Cuts a section into pieces: the entries that GNU ld records (`record_section`).

use std::hash::BuildHasher;

use super::MergeKind;

/// The seed of the hash. It is random, so that no input can be made to be slow; nothing in the
/// result depends on it.
pub(super) type Seed = foldhash::fast::RandomState;

/// What is only needed to find equal pieces.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// The upper half of the hash of the contents.
    pub(super) hash: u32,
    /// Bytes of contents, without terminator.
    pub(super) length: u32,
}

/// The pieces of a section, in order.
pub(super) struct Pieces {
    /// Offsets at which strings begin, the first of them 0. Empty for entries of fixed size, which
    /// need none.
    starts: Vec<u32>,
    keys: Vec<Key>,
}

impl Pieces {
    /// Cuts `data`, of which [`can_merge`](super::can_merge) is true.
    pub(super) fn cut(kind: &MergeKind, data: &[u8], seed: &Seed) -> Self {
        let mut pieces = Self {
            starts: Vec::new(),
            keys: Vec::new(),
        };
        let Some(unit) = kind.unit() else {
            return pieces;
        };
        if kind.strings {
            pieces.cut_strings(kind, data, unit, seed);
        } else {
            let entries = data.chunks_exact(unit);
            pieces.keys = entries.map(|bytes| key(bytes, seed)).collect();
        }
        pieces
    }

    /// Strings, and of the padding between them the first aligned character as an empty string: so
    /// that what is recorded does not grow with the padding.
    fn cut_strings(&mut self, kind: &MergeKind, data: &[u8], unit: usize, seed: &Seed) {
        let aligned = |at: usize| (at as u64).is_multiple_of(kind.align.max(1));
        let mut padding_recorded = false;
        let mut at = 0;
        while let Some(rest) = data.get(at..).filter(|rest| !rest.is_empty()) {
            let string = before_zero(rest, unit);
            self.push(at, string, seed);
            // The last string may lack its terminator, and ends all the same.
            at += string.len() + unit;
            while data.get(at..at + unit).is_some_and(is_zero) {
                if !padding_recorded && aligned(at) {
                    padding_recorded = true;
                    self.push(at, &[], seed);
                }
                at += unit;
            }
        }
    }

    fn push(&mut self, start: usize, bytes: &[u8], seed: &Seed) {
        // Sections of 4 GiB do not come here.
        self.starts.push(u32::try_from(start).unwrap_or(u32::MAX));
        self.keys.push(key(bytes, seed));
    }

    /// The keys of all pieces, until they are [dropped](Self::drop_hashes).
    pub(super) fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Frees what only finding equal pieces needs.
    pub(super) fn drop_hashes(&mut self) {
        self.keys = Vec::new();
    }

    /// Where a piece begins.
    pub(super) fn start(&self, kind: &MergeKind, piece: usize) -> u64 {
        if kind.strings {
            self.starts.get(piece).map_or(0, |start| u64::from(*start))
        } else {
            piece as u64 * kind.entry_size
        }
    }

    /// The piece in which, or in the padding behind which, an offset is; and where it begins.
    pub(super) fn at(&self, kind: &MergeKind, offset: u32) -> (usize, u64) {
        let piece = if kind.strings {
            let behind = self.starts.partition_point(|start| *start <= offset);
            behind.saturating_sub(1)
        } else {
            let piece = u64::from(offset).checked_div(kind.entry_size);
            piece.map_or(0, |piece| piece as usize)
        };
        (piece, self.start(kind, piece))
    }
}

fn key(bytes: &[u8], seed: &Seed) -> Key {
    Key {
        hash: (seed.hash_one(bytes) >> 32) as u32,
        length: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
    }
}

/// `data` up to its first character of zeros, or all of it.
fn before_zero(data: &[u8], unit: usize) -> &[u8] {
    let length = match unit {
        1 => memchr::memchr(0, data),
        _ => (data.chunks_exact(unit))
            .position(is_zero)
            .map(|characters| characters * unit),
    };
    length.and_then(|length| data.get(..length)).unwrap_or(data)
}

fn is_zero(character: &[u8]) -> bool {
    character.iter().all(|byte| *byte == 0)
}
