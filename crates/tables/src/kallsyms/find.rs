//! The table, found in the bytes of a kernel.
//!
//! Without symbols, the token index is what can be recognised: 256 ascending numbers, which are
//! the offsets of 256 strings right in front of it. The other parts stand around it in an order
//! that depends on the version, so the first that agree with each other tell the version, too.

use core::ops::Range;

use thiserror::Error;

use super::table::codes_at;
use super::{AddressForm, Damage, Endian, NAME_LIMIT, Part, Parts, Table, Version, WordSize};
use crate::number::{ByteOrder, round_up};

/// No table was found, or it is broken.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum NotFound {
    /// A part's symbol is missing.
    #[error("there is no symbol {0}")]
    Symbol(&'static str),
    /// Nothing looks like a token index with its token table.
    #[error("there is nothing that looks like the tokens of kallsyms")]
    Tokens,
    /// There are tokens, but around them are not the other parts of any form from Linux 6.1 on.
    #[error(
        "there are the tokens of kallsyms at {at:#x}, but not the parts that Linux 6.1 and later have around them"
    )]
    Parts {
        /// Offset of the token table.
        at: usize,
    },
    /// A part lies outside of the image, or is broken.
    #[error(transparent)]
    Damage(#[from] Damage),
}

/// Where the parts of a table are in the bytes of a kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Image {
    /// The oldest version that has this form; others may share it.
    pub version: Version,
    /// Bytes of an address.
    pub word: WordSize,
    /// Byte order.
    pub endian: Endian,
    /// How addresses are written.
    pub form: AddressForm,
    /// Address of the first entry of the addresses.
    pub place: u64,
    addresses: usize,
    base: Option<usize>,
    num_syms: usize,
    names: usize,
    markers: usize,
    seqs: Option<usize>,
    token_table: usize,
    token_index: usize,
}

impl Image {
    /// Finds the parts by their symbols: `offset` tells where in `bytes` a symbol of the kernel
    /// is, `address` the address of an offset in `bytes`.
    ///
    /// # Errors
    /// [`NotFound::Symbol`]: one that is always there is not.
    pub fn from_symbols(
        bytes: &[u8],
        word: WordSize,
        endian: Endian,
        offset: impl Fn(&str) -> Option<usize>,
        address: impl Fn(usize) -> u64,
    ) -> Result<Self, NotFound> {
        let form = AddressForm::BaseRelative;
        let optional = |part: Part| offset(part.symbol(form));
        let at = |part: Part| optional(part).ok_or(NotFound::Symbol(part.symbol(form)));
        let absolute = offset(Part::Addresses.symbol(AddressForm::Absolute));
        let addresses = absolute.map_or_else(|| at(Part::Addresses), Ok)?;
        let base = optional(Part::RelativeBase).filter(|_| absolute.is_none());
        let mut image = Self {
            version: Version::V6_1,
            word,
            endian,
            form,
            place: address(addresses),
            addresses,
            base,
            num_syms: at(Part::NumSyms)?,
            names: at(Part::Names)?,
            markers: at(Part::Markers)?,
            seqs: optional(Part::SeqsOfNames),
            token_table: at(Part::TokenTable)?,
            token_index: at(Part::TokenIndex)?,
        };
        let forms: &[AddressForm] = if absolute.is_some() {
            &[AddressForm::Absolute]
        } else if base.is_some() {
            &[AddressForm::BaseRelative, AddressForm::BaseRelativePercpu]
        } else if word == WordSize::Eight {
            &[AddressForm::PlaceRelative]
        } else {
            &[AddressForm::Direct, AddressForm::PlaceRelative]
        };
        image.form = forms[0];
        let fitting = forms.iter().map(|&form| Self { form, ..image });
        let fitting = fitting.filter(|image| image.is_ascending(bytes));
        image.form = fitting.map(|image| image.form).next().unwrap_or(image.form);
        image.version = if image.base.is_none() && absolute.is_none() {
            Version::V7_0
        } else if image.addresses > image.num_syms {
            Version::V6_4
        } else if image.seqs.is_some() {
            Version::V6_2
        } else {
            Version::V6_1
        };
        Ok(image)
    }

    /// Finds the parts without symbols. `word` and `endian`, where known, restrict the search;
    /// `address` tells the address of an offset in `bytes`, and is asked only for tables whose
    /// addresses are relative to their place.
    ///
    /// # Errors
    /// [`NotFound::Tokens`] and [`NotFound::Parts`].
    pub fn find(
        bytes: &[u8],
        word: Option<WordSize>,
        endian: Option<Endian>,
        address: impl Fn(usize) -> u64,
    ) -> Result<Self, NotFound> {
        let mut not_found = NotFound::Tokens;
        let endians = [Endian::Little, Endian::Big].into_iter();
        let endians = endians.filter(|&one| endian.is_none_or(|known| known == one));
        for endian in endians {
            for index in (0..bytes.len().saturating_sub(511)).step_by(4) {
                let Some(table) = token_table(bytes, index, endian) else {
                    continue;
                };
                let search = Search {
                    bytes,
                    endian,
                    word,
                    token_table: table,
                    token_index: index,
                    address: &address,
                };
                match search.around_tokens() {
                    Some(image) => return Ok(image),
                    None => not_found = NotFound::Parts { at: table },
                }
            }
        }
        Err(not_found)
    }

    /// The table in `bytes`, which must be those it was found in.
    ///
    /// # Errors
    /// [`Damage`], if it is broken.
    pub fn table<'a>(&self, bytes: &'a [u8]) -> Result<Table<'a>, Damage> {
        let from = |offset: usize| bytes.get(offset..).unwrap_or_default();
        let number = |part: Part, value: Option<u64>, needed| {
            let part = part.symbol(self.form);
            value.ok_or(Damage::Short { part, needed })
        };
        let count = self.endian.u32(bytes, self.num_syms).map(u64::from);
        let base = match self.base {
            Some(base) => self.endian.word(self.word, bytes, base),
            None => Some(0),
        };
        Table::new(Parts {
            word: self.word,
            endian: self.endian,
            form: self.form,
            count: number(Part::NumSyms, count, 4)? as u32,
            addresses: from(self.addresses),
            place: self.place,
            base: number(Part::RelativeBase, base, self.word.bytes())?,
            names: from(self.names),
            markers: from(self.markers),
            token_table: from(self.token_table),
            token_index: from(self.token_index),
            seqs: self.seqs.map(from),
        })
    }

    /// The offset of a part, if there is such a part.
    #[must_use]
    pub fn offset(&self, part: Part) -> Option<usize> {
        match part {
            Part::Addresses => Some(self.addresses),
            Part::RelativeBase => self.base,
            Part::NumSyms => Some(self.num_syms),
            Part::Names => Some(self.names),
            Part::Markers => Some(self.markers),
            Part::SeqsOfNames => self.seqs,
            Part::TokenTable => Some(self.token_table),
            Part::TokenIndex => Some(self.token_index),
        }
    }

    /// Whether the addresses ascend, which they hardly do when they are read in a wrong form.
    fn is_ascending(&self, bytes: &[u8]) -> bool {
        let table = self.table(bytes);
        table.is_ok_and(|table| table.first_out_of_order().is_none())
    }

    fn fits(&self, bytes: &[u8]) -> bool {
        let table = self.table(bytes);
        table.is_ok_and(|table| table.first_out_of_order().is_none() && has_all_seqs(&table))
    }
}

/// Whether `kallsyms_seqs_of_names`, if there is one, names as many symbols as there are, each
/// once: by their sum.
fn has_all_seqs(table: &Table<'_>) -> bool {
    let Some(seqs) = table.parts().seqs else {
        return true;
    };
    let seqs = seqs.chunks_exact(3).take(table.len() as usize);
    let sum: u64 = seqs
        .map(|seq| seq.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)))
        .sum();
    let count = u64::from(table.len());
    sum == count * count.saturating_sub(1) / 2
}

/// Where the token table begins to which `index` may be the token index.
fn token_table(bytes: &[u8], index: usize, endian: Endian) -> Option<usize> {
    let start = |code: usize| endian.u16(bytes, index + code * 2).map(usize::from);
    // the first test, and for nearly all places the last
    if start(0)? != 0 || start(1)? == 0 || start(2)? <= start(1)? {
        return None;
    }
    let mut last = 0;
    for code in 1..256 {
        let this = start(code)?;
        if !(last + 1..=last + NAME_LIMIT + 1).contains(&this) {
            return None;
        }
        last = this;
    }
    let ends_in_zero = |table: usize| {
        let mut ends = (1..256).map(|code| start(code).unwrap_or_default() + table - 1);
        ends.all(|end| bytes.get(end) == Some(&0))
    };
    let nearest = index.checked_sub(last + 1)? & !3;
    let furthest = nearest.saturating_sub(NAME_LIMIT + 8);
    let mut tables = (furthest..=nearest).rev().filter(|table| table % 4 == 0);
    tables.find(|&table| ends_in_zero(table) && ends_once(bytes, table + last, index))
}

/// Whether from `token` on there is one string and then nothing but zeros until `end`, at most
/// eight.
fn ends_once(bytes: &[u8], token: usize, end: usize) -> bool {
    let rest = bytes.get(token..end).unwrap_or_default();
    let zero = rest.iter().position(|&byte| byte == 0);
    zero.is_some_and(|zero| rest.len() - zero <= 8 && rest[zero..].iter().all(|&byte| byte == 0))
}

/// Tokens that were found, and what is known for the search of the rest.
struct Search<'s, F> {
    bytes: &'s [u8],
    endian: Endian,
    word: Option<WordSize>,
    token_table: usize,
    token_index: usize,
    address: &'s F,
}

/// The parts that hold names.
#[derive(Clone, Copy)]
struct Names {
    num_syms: usize,
    names: usize,
    markers: usize,
    count: u32,
    /// What the parts are aligned to, in bytes.
    alignment: usize,
}

impl Names {
    fn after_markers(&self) -> usize {
        let markers = self.count.div_ceil(256) as usize * 4;
        round_up(self.markers + markers, self.alignment)
    }

    /// Bytes of `kallsyms_seqs_of_names`.
    fn seqs_bytes(&self) -> usize {
        self.count as usize * 3
    }
}

/// Bytes of 256 names: at least a length and a code each.
const BYTES_OF_256: Range<usize> = 512..256 * (NAME_LIMIT + 2);

impl<F: Fn(usize) -> u64> Search<'_, F> {
    fn around_tokens(&self) -> Option<Image> {
        // as far in front as the sequence of all symbols that three bytes can tell
        let furthest = self.token_table.saturating_sub(3 << 24);
        let places = (furthest..self.token_table).rev();
        let markers = places.filter(|place| place % 4 == self.token_table % 4);
        let markers = markers.filter(|&place| self.endian.u32(self.bytes, place) == Some(0));
        markers
            .flat_map(|markers| [4, 8].map(|alignment| (markers, alignment)))
            .filter_map(|(markers, alignment)| self.names_before(markers, alignment))
            .find_map(|names| self.addresses_around(&names))
    }

    /// How many of the numbers from `markers` on can be markers.
    fn run_of_markers(&self, markers: usize) -> usize {
        let mut count = 1;
        let mut before = 0;
        for place in (markers + 4..self.token_table).step_by(4) {
            let marker = self.endian.u32(self.bytes, place).unwrap_or_default() as usize;
            if !BYTES_OF_256.contains(&marker.wrapping_sub(before)) {
                break;
            }
            before = marker;
            count += 1;
        }
        count
    }

    /// The names that end where the markers at `markers` begin.
    fn names_before(&self, markers: usize, alignment: usize) -> Option<Names> {
        let run = self.run_of_markers(markers);
        let near = self.token_table - markers < 2048;
        if run == 1 && !near {
            return None; // a zero as there are many
        }
        let furthest = markers.saturating_sub(run * BYTES_OF_256.end);
        let mut places = (furthest..markers.checked_sub(alignment)?)
            .rev()
            .filter(|place| place % 4 == markers % 4);
        places.find_map(|num_syms| {
            let count = self.endian.u32(self.bytes, num_syms)?;
            let names = Names {
                num_syms,
                names: num_syms + alignment,
                markers,
                count,
                alignment,
            };
            (count > 0 && count.div_ceil(256) as usize <= run && self.names_agree(&names))
                .then_some(names)
        })
    }

    /// Whether the names begin where the markers say, and end where the markers begin.
    fn names_agree(&self, names: &Names) -> bool {
        let marker = |number: usize| {
            let marker = self.endian.u32(self.bytes, names.markers + number * 4);
            marker.unwrap_or_default() as usize
        };
        let Some(space) = names.markers.checked_sub(names.names) else {
            return false;
        };
        let last = marker((names.count as usize - 1) / 256);
        if last >= space || space - last > BYTES_OF_256.end + 8 {
            return false;
        }
        let bytes = &self.bytes[names.names..names.markers];
        let mut offset = 0;
        for index in 0..names.count as usize {
            if index % 256 == 0 && marker(index / 256) != offset {
                return false;
            }
            match codes_at(bytes, offset) {
                Some((codes, next)) if !codes.is_empty() => offset = next,
                _ => return false,
            }
        }
        round_up(names.names + offset, names.alignment) == names.markers
    }

    /// The whole table, if addresses are where they should be beside these names.
    fn addresses_around(&self, names: &Names) -> Option<Image> {
        let after = names.after_markers();
        let words = [WordSize::Eight, WordSize::Four].into_iter();
        let mut words = words.filter(|&word| self.word.is_none_or(|known| known == word));
        if after == self.token_table {
            words.find_map(|word| {
                self.behind(names, word)
                    .or_else(|| self.before(names, word, None))
            })
        } else if round_up(after + names.seqs_bytes(), names.alignment) == self.token_table {
            words.find_map(|word| self.before(names, word, Some(after)))
        } else {
            None
        }
    }

    /// The forms before 6.4: addresses in front of the names.
    fn before(&self, names: &Names, word: WordSize, seqs: Option<usize>) -> Option<Image> {
        if word.bytes() != names.alignment {
            return None;
        }
        let count = names.count as usize;
        let version = if seqs.is_some() {
            Version::V6_2
        } else {
            Version::V6_1
        };
        let base = names.num_syms.checked_sub(word.bytes())?;
        let offsets = base.checked_sub(round_up(count * 4, word.bytes()));
        let absolute = names.num_syms.checked_sub(count * word.bytes());
        let candidates = [
            (AddressForm::BaseRelative, offsets, Some(base)),
            (AddressForm::BaseRelativePercpu, offsets, Some(base)),
            (AddressForm::Absolute, absolute, None),
        ];
        let mut images = candidates
            .into_iter()
            .filter_map(|(form, addresses, base)| {
                self.image(names, version, word, form, addresses?, base, seqs)
            });
        images.find(|image| image.fits(self.bytes))
    }

    /// The forms since 6.4: addresses and order of names behind the tokens.
    fn behind(&self, names: &Names, word: WordSize) -> Option<Image> {
        let count = names.count as usize;
        let addresses = round_up(self.token_index + 512, names.alignment);
        let end = addresses + count * 4;
        let base = round_up(end, word.bytes());
        let absolute_end = round_up(addresses + count * word.bytes(), names.alignment);
        let old = [
            (AddressForm::BaseRelative, Some(base), base + word.bytes()),
            (
                AddressForm::BaseRelativePercpu,
                Some(base),
                base + word.bytes(),
            ),
            (AddressForm::Absolute, None, absolute_end),
        ];
        let new = [
            (AddressForm::Direct, None, end),
            (AddressForm::PlaceRelative, None, end),
        ];
        let old = old
            .into_iter()
            .map(|(form, base, seqs)| (Version::V6_4, form, base, seqs));
        let new = new
            .into_iter()
            .map(|(form, base, seqs)| (Version::V7_0, form, base, seqs));
        let mut images = old.chain(new).filter_map(|(version, form, base, seqs)| {
            let fits = version.alignment(word) == names.alignment && version.allows(form, word);
            let image = self.image(names, version, word, form, addresses, base, Some(seqs));
            image.filter(|_| fits)
        });
        images.find(|image| image.fits(self.bytes))
    }

    #[expect(clippy::too_many_arguments, reason = "each is a field of its own")]
    fn image(
        &self,
        names: &Names,
        version: Version,
        word: WordSize,
        form: AddressForm,
        addresses: usize,
        base: Option<usize>,
        seqs: Option<usize>,
    ) -> Option<Image> {
        Some(Image {
            version,
            word,
            endian: self.endian,
            form,
            place: (self.address)(addresses),
            addresses,
            base,
            num_syms: names.num_syms,
            names: names.names,
            markers: names.markers,
            seqs,
            token_table: self.token_table,
            token_index: self.token_index,
        })
    }
}
