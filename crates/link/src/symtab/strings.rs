//! String tables.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::HashTable;

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

#[cfg(test)]
mod tests {
    use super::Strings;

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
