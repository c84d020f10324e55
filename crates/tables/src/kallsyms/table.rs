//! The table of a kernel, read where it is.

use core::cmp::Ordering;
use core::ops::Range;

use thiserror::Error;

use super::{AddressForm, Endian, NAME_LIMIT, WordSize};
use crate::number::ByteOrder;

/// The bytes of each part, and how to read them. What follows a part in its slice is not read.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Bytes of an address.
    pub word: WordSize,
    /// Byte order.
    pub endian: Endian,
    /// How addresses are written.
    pub form: AddressForm,
    /// `kallsyms_num_syms`
    pub count: u32,
    /// `kallsyms_addresses` or `kallsyms_offsets`
    pub addresses: &'a [u8],
    /// The address at which `addresses` begins; for [`AddressForm::PlaceRelative`].
    pub place: u64,
    /// `kallsyms_relative_base`; for the forms that have one.
    pub base: u64,
    /// `kallsyms_names`
    pub names: &'a [u8],
    /// `kallsyms_markers`
    pub markers: &'a [u8],
    /// `kallsyms_token_table`
    pub token_table: &'a [u8],
    /// `kallsyms_token_index`
    pub token_index: &'a [u8],
    /// `kallsyms_seqs_of_names`, if the kernel has it.
    pub seqs: Option<&'a [u8]>,
}

/// What is wrong with a table.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Damage {
    /// A part is shorter than the number of symbols says.
    #[error("{part} ends before {needed} bytes")]
    Short {
        /// The kernel's symbol for it.
        part: &'static str,
        /// Bytes it should have.
        needed: usize,
    },
    /// A token begins or ends outside of the token table.
    #[error("token {code:#04x} is not in kallsyms_token_table")]
    Token {
        /// Its code.
        code: u8,
    },
    /// A name has no letter in front, or is longer than a kernel can show.
    #[error("the name of symbol {index} is empty or longer than {} bytes", NAME_LIMIT - 1)]
    Name {
        /// Number of the symbol.
        index: u32,
    },
    /// A marker is not the offset of its symbol's name.
    #[error("marker {marker} is {found:#x} where the name of its symbol begins at {begins:#x}")]
    Marker {
        /// Number of the marker.
        marker: u32,
        /// What it says.
        found: u32,
        /// What it should say.
        begins: usize,
    },
    /// `kallsyms_seqs_of_names` names a symbol that is not there.
    #[error("entry {entry} of kallsyms_seqs_of_names names symbol {seq}, and there is none")]
    Seq {
        /// Number of the entry.
        entry: u32,
        /// What it says.
        seq: u32,
    },
}

/// A symbol in the table.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its address.
    pub address: u64,
    /// The letter that `nm` prints for it.
    pub kind: u8,
    /// Its name.
    pub name: Name<'a>,
}

/// A symbol that an address belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Found {
    /// Number of the symbol: of several at its address, the first.
    pub index: u32,
    /// How far behind the symbol the address is, in bytes.
    pub offset: u64,
    /// How far it is from the symbol to the next one at another address; `None` for the last.
    pub size: Option<u64>,
}

/// The table of a kernel. It has been checked once, so that all else finds what it looks for.
///
/// Nothing is allocated, neither to check it nor to look something up.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    parts: Parts<'a>,
}

impl<'a> Table<'a> {
    /// Checks the parts: that each is as long as the number of symbols says, that tokens, markers
    /// and the order of names name what is there, and that no name is too long. Not whether
    /// addresses and names are in order: that [`Table::first_out_of_order`] and
    /// [`Table::first_name_out_of_order`] tell.
    ///
    /// # Errors
    /// [`Damage`]: the first thing that is wrong.
    pub fn new(parts: Parts<'a>) -> Result<Self, Damage> {
        let table = Self { parts };
        let count = parts.count as usize;
        let needed = |part, bytes: &[u8], each: usize, count: usize| {
            let needed = count.saturating_mul(each);
            if bytes.len() < needed {
                return Err(Damage::Short { part, needed });
            }
            Ok(())
        };
        let each = parts.form.entry_bytes(parts.word);
        needed("kallsyms_offsets", parts.addresses, each, count)?;
        needed("kallsyms_markers", parts.markers, 4, count.div_ceil(256))?;
        needed("kallsyms_token_index", parts.token_index, 2, 256)?;
        let lengths = table.token_lengths()?;
        table.check_names(&lengths)?;
        if let Some(seqs) = parts.seqs {
            needed("kallsyms_seqs_of_names", seqs, 3, count)?;
            for entry in 0..parts.count {
                let seq = table.seq(entry);
                if seq >= parts.count {
                    return Err(Damage::Seq { entry, seq });
                }
            }
        }
        Ok(table)
    }

    /// Bytes of each token, without the zero at its end.
    fn token_lengths(&self) -> Result<[usize; 256], Damage> {
        let mut lengths = [0; 256];
        for (code, length) in (0..=255_u8).zip(&mut lengths) {
            let start = self
                .parts
                .endian
                .u16(self.parts.token_index, usize::from(code) * 2);
            let tail = start.and_then(|start| self.parts.token_table.get(usize::from(start)..));
            let end = tail.and_then(|tail| tail.iter().position(|&byte| byte == 0));
            *length = end.ok_or(Damage::Token { code })?;
        }
        Ok(lengths)
    }

    fn check_names(&self, lengths: &[usize; 256]) -> Result<(), Damage> {
        let mut offset = 0;
        for index in 0..self.parts.count {
            if index % 256 == 0 {
                let marker = index / 256;
                let found = self.marker(index);
                if found as usize != offset {
                    return Err(Damage::Marker {
                        marker,
                        found,
                        begins: offset,
                    });
                }
            }
            let Some((codes, next)) = codes_at(self.parts.names, offset) else {
                return Err(Damage::Short {
                    part: "kallsyms_names",
                    needed: offset + 2,
                });
            };
            let length: usize = codes.iter().map(|&code| lengths[usize::from(code)]).sum();
            let has_letter = codes
                .first()
                .is_some_and(|&code| lengths[usize::from(code)] > 0);
            if !has_letter || length > NAME_LIMIT {
                return Err(Damage::Name { index });
            }
            offset = next;
        }
        Ok(())
    }

    /// The parts.
    #[must_use]
    pub fn parts(&self) -> &Parts<'a> {
        &self.parts
    }

    /// How many symbols.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.parts.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.parts.count == 0
    }

    /// All symbols, in the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let table = *self;
        let mut offset = 0;
        (0..self.parts.count).map_while(move |index| {
            let (codes, next) = codes_at(table.parts.names, offset)?;
            offset = next;
            Some(table.entry(index, codes))
        })
    }

    /// Symbol number `index`, if there are so many.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<Entry<'a>> {
        if index >= self.parts.count {
            return None;
        }
        let mut offset = self.marker(index) as usize;
        for _ in 0..index % 256 {
            offset = codes_at(self.parts.names, offset)?.1;
        }
        let (codes, _) = codes_at(self.parts.names, offset)?;
        Some(self.entry(index, codes))
    }

    /// The symbol that `address` belongs to: the last that is not behind it. `None` in front of
    /// the first symbol (`get_symbol_pos`, Linux `kernel/kallsyms.c`).
    #[must_use]
    pub fn find_address(&self, address: u64) -> Option<Found> {
        let after = partition_point(0..self.parts.count, |index| self.address(index) <= address);
        let start = self.address(after.checked_sub(1)?);
        let first = partition_point(0..after, |index| self.address(index) < start);
        let next = (after < self.parts.count).then(|| self.address(after));
        Some(Found {
            index: first,
            offset: address.wrapping_sub(start),
            size: next.map(|next| next.wrapping_sub(start)),
        })
    }

    /// The numbers of all symbols of this name: ascending, by `kallsyms_seqs_of_names` if there is
    /// one (`kallsyms_lookup_names`, Linux `kernel/kallsyms.c`), else by reading all names.
    ///
    /// With `CONFIG_LTO_CLANG`, tables before Linux 6.11 are sorted by names without what follows
    /// `.llvm.`, so that a name with it may be missed.
    pub fn find_name<'n>(&self, name: &'n [u8]) -> impl Iterator<Item = u32> + use<'a, 'n> {
        let table = *self;
        let order = |entry: u32| {
            let found = table.get(table.seq(entry));
            found.map_or(Ordering::Greater, |found| found.name.compare(name))
        };
        let sorted = match table.parts.seqs {
            Some(_) => {
                let all = 0..table.parts.count;
                let start = partition_point(all.clone(), |entry| order(entry).is_lt());
                start..partition_point(start..all.end, |entry| order(entry).is_le())
            }
            None => 0..0,
        };
        let unsorted = (0_u32..).zip(table.iter());
        let unsorted = unsorted.take(match table.parts.seqs {
            Some(_) => 0,
            None => usize::MAX,
        });
        let unsorted = unsorted.filter(move |(_, entry)| entry.name.compare(name).is_eq());
        sorted
            .map(move |entry| table.seq(entry))
            .chain(unsorted.map(|(index, _)| index))
    }

    /// The first symbol whose address is below that of the symbol before it: from there on,
    /// addresses are not found.
    #[must_use]
    pub fn first_out_of_order(&self) -> Option<u32> {
        (1..self.parts.count).find(|&index| self.address(index) < self.address(index - 1))
    }

    /// The first entry of `kallsyms_seqs_of_names` whose name sorts before that of the entry
    /// before it: from there on, names are not found.
    #[must_use]
    pub fn first_name_out_of_order(&self) -> Option<u32> {
        self.parts.seqs?;
        let mut before: Option<Name<'a>> = None;
        (0..self.parts.count).find(|&entry| {
            let name = self.get(self.seq(entry)).map(|entry| entry.name);
            let falls = match (before, name) {
                (Some(before), Some(name)) => before.bytes().gt(name.bytes()),
                _ => false,
            };
            before = name;
            falls
        })
    }

    fn entry(&self, index: u32, codes: &'a [u8]) -> Entry<'a> {
        let name = Name {
            codes,
            parts: self.parts,
        };
        Entry {
            address: self.address(index),
            kind: name.with_kind().next().unwrap_or(b'?'),
            name,
        }
    }

    /// The address of a symbol that exists; see [`AddressForm`].
    fn address(&self, index: u32) -> u64 {
        let Parts {
            word,
            endian,
            form,
            base,
            place,
            addresses,
            ..
        } = self.parts;
        let at = index as usize * form.entry_bytes(word);
        let entry = || endian.u32(addresses, at).unwrap_or_default();
        let signed = |entry: u32| i64::from(entry.cast_signed()).cast_unsigned();
        word.cut(match form {
            AddressForm::Absolute => endian.word(word, addresses, at).unwrap_or_default(),
            AddressForm::BaseRelative => base.wrapping_add(u64::from(entry())),
            AddressForm::BaseRelativePercpu => match entry() {
                absolute if absolute.cast_signed() >= 0 => u64::from(absolute),
                back => base.wrapping_sub(1).wrapping_sub(signed(back)),
            },
            AddressForm::PlaceRelative => {
                let here = place.wrapping_add(at as u64);
                here.wrapping_add(signed(entry()))
            }
            AddressForm::Direct => u64::from(entry()),
        })
    }

    fn marker(&self, index: u32) -> u32 {
        let at = (index / 256) as usize * 4;
        let marker = self.parts.endian.u32(self.parts.markers, at);
        marker.unwrap_or_default()
    }

    fn seq(&self, entry: u32) -> u32 {
        let at = entry as usize * 3;
        match self.parts.seqs.and_then(|seqs| seqs.get(at..at + 3)) {
            Some(&[high, middle, low]) => u32::from_be_bytes([0, high, middle, low]),
            _ => u32::MAX,
        }
    }
}

/// The codes of the name at `offset` of `kallsyms_names`, and where the next name begins.
pub(super) fn codes_at(names: &[u8], offset: usize) -> Option<(&[u8], usize)> {
    let low = *names.get(offset)?;
    let (start, length) = if low < 0x80 {
        (offset + 1, usize::from(low))
    } else {
        let high = *names.get(offset + 1)?;
        (offset + 2, usize::from(low & 0x7f) | usize::from(high) << 7)
    };
    Some((names.get(start..start + length)?, start + length))
}

/// The first of `range` for which `is_before` does not hold; it holds for none behind that.
fn partition_point(range: Range<u32>, is_before: impl Fn(u32) -> bool) -> u32 {
    let Range { mut start, mut end } = range;
    while start < end {
        let middle = start + (end - start) / 2;
        if is_before(middle) {
            start = middle + 1;
        } else {
            end = middle;
        }
    }
    start
}

/// A name in the table, still compressed.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a> {
    codes: &'a [u8],
    parts: Parts<'a>,
}

impl<'a> Name<'a> {
    /// Its bytes.
    pub fn bytes(&self) -> impl Iterator<Item = u8> + use<'a> {
        self.with_kind().skip(1)
    }

    /// Its order relative to another one, byte by byte.
    #[must_use]
    pub fn compare(&self, other: &[u8]) -> Ordering {
        self.bytes().cmp(other.iter().copied())
    }

    fn with_kind(&self) -> impl Iterator<Item = u8> + use<'a> {
        let parts = self.parts;
        let tokens = self.codes.iter().map(move |&code| {
            let start = parts.endian.u16(parts.token_index, usize::from(code) * 2);
            let start = start.map_or(usize::MAX, usize::from);
            parts.token_table.get(start..).unwrap_or_default()
        });
        tokens.flat_map(|token| token.iter().copied().take_while(|&byte| byte != 0))
    }
}
