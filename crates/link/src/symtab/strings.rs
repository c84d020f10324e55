//! String tables.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use rayon::prelude::*;

/// Bytes of the name of a symbol with its zero, about (20 in Linux on PA-RISC, 22 on x86-64).
const USUAL_LENGTH: usize = 24;

/// A string table. Equal strings are stored once.
pub(crate) struct Strings {
    bytes: Vec<u8>,
    /// Where each string begins, found by its bytes.
    offsets: HashTable<u32>,
    hasher: RandomState,
}

impl Strings {
    pub(crate) fn new() -> Self {
        Self::with_room(0)
    }

    /// A table that has room for this many strings from the beginning.
    pub(crate) fn with_room(count: usize) -> Self {
        let mut bytes = Vec::with_capacity(1 + count * USUAL_LENGTH);
        bytes.push(0);
        Self {
            bytes,
            offsets: HashTable::with_capacity(count),
            hasher: RandomState::default(),
        }
    }

    /// A table that is known already, and to which nothing is added.
    pub(super) fn of(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            offsets: HashTable::new(),
            hasher: RandomState::default(),
        }
    }

    /// The string at `offset`.
    pub(crate) fn at(&self, offset: u32) -> &[u8] {
        string_at(&self.bytes, offset)
    }

    /// The offset of `name`, added if it is new.
    pub(crate) fn add(&mut self, name: &[u8]) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let hash = self.hasher.hash_one(name);
        if let Some(offset) = self.find(hash, name) {
            return offset;
        }
        let offset = self.bytes.len() as u32;
        self.bytes.extend_from_slice(name);
        self.bytes.push(0);
        self.remember(hash, offset);
        offset
    }

    /// Adds `prefix` and `name` as one string, of which `name` is the tail. Gives the offset of the
    /// whole.
    pub(crate) fn add_with_prefix(&mut self, prefix: &[u8], name: &[u8]) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let offset = self.add(&[prefix, name].concat());
        let hash = self.hasher.hash_one(name);
        if self.find(hash, name).is_none() {
            self.remember(hash, offset + prefix.len() as u32);
        }
        offset
    }

    fn find(&self, hash: u64, name: &[u8]) -> Option<u32> {
        let is_name = |&at: &u32| {
            let rest = self.bytes.get(at as usize..).unwrap_or_default();
            rest.starts_with(name) && rest.get(name.len()) == Some(&0)
        };
        self.offsets.find(hash, is_name).copied()
    }

    /// Lets the string at `offset`, which is not known yet, be found.
    fn remember(&mut self, hash: u64, offset: u32) {
        let Self {
            bytes,
            offsets,
            hasher,
        } = self;
        let rehash = |&at: &u32| hasher.hash_one(string_at(bytes, at));
        offsets.insert_unique(hash, offset, rehash);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn string_at(bytes: &[u8], at: u32) -> &[u8] {
    let string = &bytes[at as usize..];
    &string[..memchr::memchr(0, string).unwrap_or(string.len())]
}

/// The parts that strings are divided into by their hashes, for threads to look for equal ones.
const PARTS: usize = 64;

/// Strings whose bytes are copied together.
const COPIED_TOGETHER: usize = 4096;

/// One table of all these strings, on all threads: its bytes, and the offset of each string. Equal strings
/// are stored once, in the order of their first; the table is what [`Strings::add`] makes of them.
pub(super) fn join(strings: &[&[u8]]) -> (Vec<u8>, Vec<u32>) {
    let firsts = first_equals(strings);
    let mut offsets: Vec<u32> = Vec::with_capacity(strings.len());
    let mut size: usize = 1;
    for (number, (string, &first)) in (0..).zip(strings.iter().zip(&firsts)) {
        let offset = match first == number {
            _ if string.is_empty() => 0,
            false => offsets[first as usize],
            true => {
                let offset = size as u32;
                size += string.len() + 1;
                offset
            }
        };
        offsets.push(offset);
    }
    let mut bytes = vec![0; size];
    if u32::try_from(size).is_err() {
        // Such a table is refused when the file is laid out (`write::limits`).
        return (bytes, offsets);
    }
    let mut rest = &mut bytes[..];
    let mut copies = Vec::with_capacity(strings.len() / COPIED_TOGETHER + 1);
    let mut start = 0;
    let numbers: Vec<u32> = (0..strings.len() as u32).collect();
    let is_first =
        |number: u32| firsts[number as usize] == number && !strings[number as usize].is_empty();
    for numbers in numbers.chunks(COPIED_TOGETHER) {
        let last = numbers.iter().rev().find(|&&number| is_first(number));
        let Some(&last) = last else { continue };
        let end = offsets[last as usize] as usize + strings[last as usize].len() + 1;
        let (own, behind) = rest.split_at_mut(end - start);
        copies.push((numbers, start, own));
        (rest, start) = (behind, end);
    }
    copies.into_par_iter().for_each(|(numbers, start, own)| {
        for &number in numbers.iter().filter(|&&number| is_first(number)) {
            let at = offsets[number as usize] as usize - start;
            let string = strings[number as usize];
            own[at..at + string.len()].copy_from_slice(string);
        }
    });
    (bytes, offsets)
}

/// For each string the number of the first that is equal.
fn first_equals(strings: &[&[u8]]) -> Vec<u32> {
    let hasher = RandomState::default();
    let hashes: Vec<u64> = strings
        .par_iter()
        .map(|string| hasher.hash_one(string))
        .collect();
    let room = strings.len() / PARTS * 2;
    let mut parts: [Vec<u32>; PARTS] = std::array::from_fn(|_| Vec::with_capacity(room));
    for (number, hash) in (0..).zip(&hashes) {
        // Tables look at the other bits.
        parts[(hash >> 32) as usize % PARTS].push(number);
    }
    let repeated = |part: &Vec<u32>| {
        let mut found = HashTable::with_capacity(part.len());
        let mut repeated = Vec::new();
        for &number in part {
            let string = strings[number as usize];
            let is_equal = |&other: &u32| strings[other as usize] == string;
            match found.find(hashes[number as usize], is_equal) {
                Some(&first) => repeated.push((number, first)),
                None => {
                    found.insert_unique(hashes[number as usize], number, |&other| {
                        hashes[other as usize]
                    });
                }
            }
        }
        repeated
    };
    let repeated: Vec<Vec<(u32, u32)>> = parts.par_iter().map(repeated).collect();
    let mut firsts: Vec<u32> = (0..strings.len() as u32).collect();
    for (number, first) in repeated.into_iter().flatten() {
        firsts[number as usize] = first;
    }
    firsts
}

#[cfg(test)]
mod tests {
    use super::{Strings, join};

    #[test]
    fn strings_joined_at_once_make_the_same_table() {
        let made: Vec<String> = (0..20_000)
            .map(|n: u32| format!("s{}", n * n % 7919))
            .collect();
        let mut names: Vec<&[u8]> = made.iter().map(String::as_bytes).collect();
        names.insert(0, b"");
        names.insert(9000, b"");
        let mut strings = Strings::new();
        let offsets: Vec<u32> = names.iter().map(|name| strings.add(name)).collect();
        assert_eq!(join(&names), (strings.bytes().to_vec(), offsets));
        assert_eq!(join(&[]), (vec![0], vec![]));
    }

    #[test]
    fn strings_are_stored_once() {
        let mut strings = Strings::new();
        let tables = [0; 8].map(|_| strings.add_with_prefix(b".rela", b".text"));
        assert_eq!(tables, [1; 8]);
        assert_eq!(strings.add(b".text"), 6, "the tail of the string before it");
        assert_eq!(strings.add(b".data"), 12);
        assert_eq!(strings.add_with_prefix(b".rela", b".data"), 18);
        assert_eq!(strings.add(b".data"), 12, "the first of two");
        assert_eq!(strings.add(b".rela.data"), 18);
        assert_eq!(strings.add(b""), 0);
        assert_eq!(strings.bytes(), b"\0.rela.text\0.data\0.rela.data\0");
    }
}
