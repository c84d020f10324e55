//! A string table as GNU ld makes `.dynstr` (and `.strtab`): each string once, in the order in
//! which they came, but a string that ends another is not written again.
//!
//! Source: bfd/elf-strtab.c (_bfd_elf_strtab_add, _bfd_elf_strtab_finalize).

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// A string of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StringId(u32);

/// Strings that are to be a table.
#[derive(Debug)]
pub(crate) struct Strings<'a> {
    /// By id; the first is the empty string.
    strings: Vec<&'a [u8]>,
    ids: HashMap<&'a [u8], StringId, RandomState>,
}

impl<'a> Strings<'a> {
    /// A table with the empty string alone.
    pub(crate) fn new() -> Self {
        Self {
            strings: vec![b""],
            ids: HashMap::default(),
        }
    }

    /// Adds a string, which ends before its first zero byte.
    pub(crate) fn add(&mut self, string: &'a [u8]) -> StringId {
        let string = string.split(|&byte| byte == 0).next().unwrap_or_default();
        if string.is_empty() {
            return StringId(0);
        }
        *self.ids.entry(string).or_insert_with(|| {
            self.strings.push(string);
            StringId(self.strings.len() as u32 - 1)
        })
    }

    /// Gives every string its place.
    pub(crate) fn lay_out(self) -> StringTable {
        let holders = self.holders();
        let mut offsets = vec![0; self.strings.len()];
        let mut bytes = vec![0];
        for (id, &string) in self.strings.iter().enumerate().skip(1) {
            if holders[id] == id {
                offsets[id] = bytes.len() as u32;
                bytes.extend_from_slice(string);
                bytes.push(0);
            }
        }
        for (id, &string) in self.strings.iter().enumerate().skip(1) {
            let holder = holders[id];
            let skipped = self.strings[holder].len() - string.len();
            offsets[id] = offsets[holder] + skipped as u32;
        }
        StringTable { bytes, offsets }
    }

    /// By id: the longest string that ends with the string, if need be itself.
    fn holders(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (1..self.strings.len()).collect();
        order.sort_unstable_by(|&a, &b| {
            let backwards = |id: usize| self.strings[id].iter().rev();
            backwards(a).cmp(backwards(b))
        });
        let mut holders: Vec<usize> = (0..self.strings.len()).collect();
        // What a string ends stands right behind it in this order.
        for pair in (1..order.len()).rev() {
            let (shorter, longer) = (order[pair - 1], order[pair]);
            if self.strings[longer].ends_with(self.strings[shorter]) {
                holders[shorter] = holders[longer];
            }
        }
        holders
    }
}

/// A finished string table.
#[derive(Debug, Default)]
pub(crate) struct StringTable {
    /// The section's contents.
    pub(crate) bytes: Vec<u8>,
    offsets: Vec<u32>,
}

impl StringTable {
    /// Where a string begins, in bytes from the table's beginning.
    pub(crate) fn offset(&self, string: StringId) -> u32 {
        self.offsets.get(string.0 as usize).copied().unwrap_or(0)
    }
}
