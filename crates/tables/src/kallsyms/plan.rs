//! The table of a kernel, made: first its size, then its bytes.

use alloc::vec;
use alloc::vec::Vec;

use thiserror::Error;

use super::tokens::{Codes, Tokens, compress};
use super::{AddressForm, Format, NAME_LIMIT, Part, WordSize};
use crate::number::ByteOrder;

/// A symbol that belongs into the table; its address comes later.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Symbol<'a> {
    /// The letter that `nm` prints for it. That of a [per-CPU symbol](Symbol::percpu) is written
    /// as `A` (`make_percpus_absolute`).
    pub kind: u8,
    /// Its name: at least one byte, less than [`NAME_LIMIT`], none of them zero.
    pub name: &'a [u8],
    /// Whether it is a per-CPU symbol that stays where it is when the kernel is moved; see
    /// [`Filter::is_percpu`](super::Filter::is_percpu). For `CONFIG_KALLSYMS_ABSOLUTE_PERCPU`
    /// only; else false.
    pub percpu: bool,
}

impl Symbol<'_> {
    fn letter(&self) -> u8 {
        if self.percpu { b'A' } else { self.kind }
    }

    /// Among symbols at one address, the lower comes first (`compare_symbols`): weak ones and those
    /// that look as if a linker script had provided them come last.
    fn rank(&self) -> usize {
        let underscores = self.name.iter().take_while(|&&byte| byte == b'_').count();
        let weak = matches!(self.letter(), b'w' | b'W');
        let late = 2 * usize::from(weak) + usize::from(looks_provided(self.name));
        late * NAME_LIMIT + underscores
    }
}

/// One more than the highest [`Symbol::rank`].
const RANKS: usize = 4 * NAME_LIMIT;

/// `may_be_linker_script_provide_symbol`
fn looks_provided(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"__") else {
        return false;
    };
    let begins = [&b"start_"[..], b"stop_", b"end_"];
    name.len() >= 8
        && (begins.iter().any(|begin| rest.starts_with(begin))
            || name.ends_with(b"_start")
            || name.ends_with(b"_end"))
}

/// Why a table cannot be made.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum PlanError {
    /// Kernels of this version cannot read it.
    #[error("kernels since Linux {}.{} do not read addresses in the form {form:?}", .since.0, .since.1)]
    Form {
        /// The form of addresses.
        form: AddressForm,
        /// The version asked for.
        since: (u32, u32),
    },
    /// A name is empty, too long or has a zero byte in it.
    #[error("symbol {index} has a name of {length} bytes, empty, longer than {} or with a zero byte", NAME_LIMIT - 1)]
    Name {
        /// Which symbol of those given.
        index: usize,
        /// Bytes of its name.
        length: usize,
    },
    /// More symbols than fit in three bytes, or more than 4 GiB of names.
    #[error("{0} symbols are more than a table can hold")]
    TooMany(usize),
    /// Tokens need more than 64 KiB: only absurd names do that.
    #[error("the tokens have {0} bytes, more than 16 bits can tell")]
    Tokens(usize),
    /// [`Plan::encode`] was given another number of addresses.
    #[error("{given} addresses for {wanted} symbols")]
    Addresses {
        /// How many there are.
        given: usize,
        /// How many symbols there are.
        wanted: usize,
    },
    /// An address is further from the others than the form can tell.
    #[error("the address {address:#x} of symbol {index} is out of range of {base:#x}")]
    Range {
        /// Which symbol of those given.
        index: usize,
        /// Its address.
        address: u64,
        /// What the distance is counted from.
        base: u64,
    },
}

/// Where each part of a table is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Layout {
    /// Each part with its offset and its size, in bytes, in the order of offsets.
    pub parts: Vec<(Part, usize, usize)>,
    /// Bytes of the whole, from the first part to the end of the last.
    pub size: usize,
    /// Alignment of the whole, in bytes.
    pub alignment: usize,
}

impl Layout {
    /// The offset of a part, if there is such a part.
    #[must_use]
    pub fn offset(&self, part: Part) -> Option<usize> {
        let mut parts = self.parts.iter();
        parts.find(|entry| entry.0 == part).map(|entry| entry.1)
    }
}

/// A table whose names are known and compressed, and whose addresses are not.
#[derive(Clone, Debug)]
pub struct Plan {
    format: Format,
    layout: Layout,
    tokens: Tokens,
    codes: Codes,
    /// Of each symbol, its place among all if they were at one address, and whether it is per-CPU.
    ranks: Vec<u32>,
    percpu: Vec<bool>,
    /// What [`sort`] says (`compare_names`).
    by_name: Vec<(u32, bool)>,
}

/// A finished table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Encoded {
    /// The bytes, as [`Plan::layout`] lays them out.
    pub bytes: Vec<u8>,
    /// Offsets of the words in `bytes` that hold addresses: where the kernel is moved when it
    /// boots, each is a relocation. [`AddressForm::PlaceRelative`] has none: what it holds does
    /// not change when all moves together.
    pub address_words: Vec<usize>,
}

#[cfg(feature = "rayon")]
use rayon::join;

#[cfg(not(feature = "rayon"))]
fn join<A, B>(first: impl FnOnce() -> A, second: impl FnOnce() -> B) -> (A, B) {
    (first(), second())
}

impl Plan {
    /// Compresses the names, so that the size is known. The order of `symbols` does not matter.
    ///
    /// # Errors
    /// [`PlanError`]: a name that cannot be written, a form that the kernel does not read, too many
    /// symbols.
    pub fn new(format: Format, symbols: &[Symbol<'_>]) -> Result<Self, PlanError> {
        check(&format, symbols)?;
        let names = || symbols.iter().map(|symbol| symbol.name);
        let lettered = symbols.iter().map(|symbol| (symbol.letter(), symbol.name));
        let ((tokens, codes), (mut by_name, ranks)) = join(
            || compress(lettered),
            || {
                let by_name = sort(names());
                let ranks = rank(symbols, &by_name);
                (by_name, ranks)
            },
        );
        if tokens.table.len() > usize::from(u16::MAX) {
            return Err(PlanError::Tokens(tokens.table.len()));
        }
        let layout = lay_out(&format, &tokens, &codes, symbols.len());
        if format.lto_clang {
            by_name = sort(names().map(without_llvm_suffix));
        }
        Ok(Self {
            format,
            layout,
            tokens,
            codes,
            ranks,
            percpu: symbols.iter().map(|symbol| symbol.percpu).collect(),
            by_name,
        })
    }

    /// Where each part will be; it does not depend on addresses.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// The form.
    #[must_use]
    pub fn format(&self) -> &Format {
        &self.format
    }

    /// Writes the table: `addresses[i]` is that of `symbols[i]`, and `place` that of the table's
    /// first byte.
    ///
    /// # Errors
    /// [`PlanError::Addresses`] and [`PlanError::Range`].
    pub fn encode(&self, addresses: &[u64], place: u64) -> Result<Encoded, PlanError> {
        if addresses.len() != self.ranks.len() {
            return Err(PlanError::Addresses {
                given: addresses.len(),
                wanted: self.ranks.len(),
            });
        }
        let order = self.order(addresses);
        let mut encoded = Encoded {
            bytes: Vec::with_capacity(self.layout.size),
            address_words: Vec::new(),
        };
        for &(part, offset, _) in &self.layout.parts {
            encoded.bytes.resize(offset, 0);
            match part {
                Part::Addresses => self.write_addresses(&mut encoded, &order, place)?,
                Part::RelativeBase => {
                    encoded.address_words.push(offset);
                    self.write_word(&mut encoded.bytes, self.base(&order));
                }
                Part::NumSyms => {
                    let count = self.format.endian.of_u32(order.len() as u32);
                    encoded.bytes.extend(count);
                }
                Part::Names => self.write_names(&mut encoded.bytes, &order),
                Part::Markers => self.write_markers(&mut encoded.bytes, &order),
                Part::SeqsOfNames => self.write_seqs(&mut encoded.bytes, &order),
                Part::TokenTable => encoded.bytes.extend(&self.tokens.table),
                Part::TokenIndex => {
                    for &start in &self.tokens.index {
                        encoded
                            .bytes
                            .extend(self.format.endian.of_u16(start as u16));
                    }
                }
            }
        }
        Ok(encoded)
    }

    /// The symbols in the order of the table, each with its address.
    fn order(&self, addresses: &[u64]) -> Vec<(u64, u32)> {
        let ranked = addresses.iter().zip(&self.ranks);
        let mut order: Vec<(u64, u32, u32)> = (0_u32..)
            .zip(ranked)
            .map(|(index, (&address, &rank))| (address, rank, index))
            .collect();
        // A linker's symbols come in runs that are in order: a stable sort makes use of these.
        order.sort();
        let without_rank = order.iter().map(|&(address, _, index)| (address, index));
        without_rank.collect()
    }

    fn is_percpu(&self, index: u32) -> bool {
        self.percpu.get(index as usize).copied().unwrap_or_default()
    }

    /// `record_relative_base`: the lowest address that moves with the kernel.
    fn base(&self, order: &[(u64, u32)]) -> u64 {
        let mut moving = order.iter().filter(|&&(_, index)| !self.is_percpu(index));
        moving.next().map_or(0, |&(address, _)| address)
    }

    fn write_word(&self, bytes: &mut Vec<u8>, value: u64) {
        match self.format.word {
            WordSize::Four => bytes.extend(self.format.endian.of_u32(value as u32)),
            WordSize::Eight => bytes.extend(self.format.endian.of_u64(value)),
        }
    }

    fn write_addresses(
        &self,
        encoded: &mut Encoded,
        order: &[(u64, u32)],
        place: u64,
    ) -> Result<(), PlanError> {
        let base = self.base(order);
        for &(address, index) in order {
            let here = encoded.bytes.len();
            let from = match self.format.addresses {
                AddressForm::PlaceRelative => place.wrapping_add(here as u64),
                _ => base,
            };
            let percpu = self.is_percpu(index);
            let entry = match self.format.addresses {
                AddressForm::Absolute => {
                    if !percpu {
                        encoded.address_words.push(here);
                    }
                    self.write_word(&mut encoded.bytes, address);
                    continue;
                }
                AddressForm::BaseRelativePercpu if percpu => {
                    i32::try_from(address).ok().map(i32::cast_unsigned)
                }
                AddressForm::BaseRelativePercpu => {
                    let back = base.wrapping_sub(address).wrapping_sub(1).cast_signed();
                    let back = i32::try_from(back).ok().filter(|&back| back < 0);
                    back.map(i32::cast_unsigned)
                }
                AddressForm::BaseRelative => u32::try_from(address.wrapping_sub(base)).ok(),
                AddressForm::PlaceRelative => {
                    let distance = address.wrapping_sub(from).cast_signed();
                    match self.format.word {
                        WordSize::Four => Some(distance as u32),
                        WordSize::Eight => i32::try_from(distance).ok().map(i32::cast_unsigned),
                    }
                }
                AddressForm::Direct => u32::try_from(address).ok(),
            };
            let entry = entry.ok_or(PlanError::Range {
                index: index as usize,
                address,
                base: from,
            })?;
            encoded.bytes.extend(self.format.endian.of_u32(entry));
        }
        Ok(())
    }

    fn write_names(&self, bytes: &mut Vec<u8>, order: &[(u64, u32)]) {
        for &(_, index) in order {
            let codes = self.codes.get(index as usize);
            if codes.len() < 0x80 {
                bytes.push(codes.len() as u8);
            } else {
                bytes.extend([codes.len() as u8 | 0x80, (codes.len() >> 7) as u8]);
            }
            bytes.extend(codes);
        }
    }

    fn write_markers(&self, bytes: &mut Vec<u8>, order: &[(u64, u32)]) {
        let mut offset = 0_u32;
        for symbols in order.chunks(256) {
            bytes.extend(self.format.endian.of_u32(offset));
            let sizes = symbols
                .iter()
                .map(|&(_, index)| written_bytes(self.codes.get(index as usize)));
            offset += sizes.sum::<usize>() as u32;
        }
    }

    fn write_seqs(&self, bytes: &mut Vec<u8>, order: &[(u64, u32)]) {
        let mut seq_of = vec![0_u32; order.len()];
        for (seq, &(_, index)) in (0_u32..).zip(order) {
            if let Some(of) = seq_of.get_mut(index as usize) {
                *of = seq;
            }
        }
        let of = |index: u32| seq_of.get(index as usize).copied().unwrap_or_default();
        let mut seqs = Vec::new();
        for same_name in self.by_name.chunk_by(|_, &(_, is_first)| !is_first) {
            seqs.clear();
            seqs.extend(same_name.iter().map(|&(index, _)| of(index)));
            seqs.sort_unstable();
            for seq in &seqs {
                let [_, high, middle, low] = seq.to_be_bytes();
                bytes.extend([high, middle, low]);
            }
        }
    }
}

fn check(format: &Format, symbols: &[Symbol<'_>]) -> Result<(), PlanError> {
    if !format.version.allows(format.addresses, format.word) {
        return Err(PlanError::Form {
            form: format.addresses,
            since: format.version.first(),
        });
    }
    for (index, symbol) in symbols.iter().enumerate() {
        let length = symbol.name.len();
        if length == 0 || length >= NAME_LIMIT || symbol.kind == 0 || symbol.name.contains(&0) {
            return Err(PlanError::Name { index, length });
        }
    }
    let slots: usize = symbols.iter().map(|symbol| symbol.name.len() + 2).sum();
    if symbols.len() >= 1 << 24 || u32::try_from(slots).is_err() {
        return Err(PlanError::TooMany(symbols.len()));
    }
    Ok(())
}

/// Bytes of a name in `kallsyms_names`.
fn written_bytes(codes: &[u8]) -> usize {
    codes.len() + if codes.len() < 0x80 { 1 } else { 2 }
}

fn lay_out(format: &Format, tokens: &Tokens, codes: &Codes, count: usize) -> Layout {
    let mut parts = Vec::new();
    let mut end = 0;
    for part in format.parts() {
        let size = match part {
            Part::Addresses => count * format.addresses.entry_bytes(format.word),
            Part::RelativeBase => format.word.bytes(),
            Part::NumSyms => 4,
            Part::Names => codes.iter().map(written_bytes).sum(),
            Part::Markers => count.div_ceil(256) * 4,
            Part::SeqsOfNames => count * 3,
            Part::TokenTable => tokens.table.len(),
            Part::TokenIndex => 512,
        };
        let offset = format.align(end);
        parts.push((part, offset, size));
        end = offset + size;
    }
    Layout {
        parts,
        size: end,
        alignment: format.version.alignment(format.word),
    }
}

/// As many bytes of a name as fit, as a number that sorts as they do.
fn key(name: &[u8]) -> u64 {
    if let Some(first) = name.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(name) {
        *to = *from;
    }
    u64::from_be_bytes(first)
}

/// Bytes at the begin of names by which they are sorted into boxes before they are compared.
const BOXED: usize = 2;

/// In which box a name comes: as many as [`BOXED`] bytes have values, in their order.
fn box_of(name: &[u8]) -> usize {
    let byte = |at| name.get(at).copied().unwrap_or(0);
    usize::from(u16::from_be_bytes([byte(0), byte(1)]))
}

/// The symbols in the order of their names. Of those with equal names, the first is marked.
///
/// Names are sorted into boxes by their first two bytes, and then each box by the next ones as a
/// number, so that most comparisons need no more.
fn sort<'n>(names: impl Iterator<Item = &'n [u8]> + Clone) -> Vec<(u32, bool)> {
    let mut ends = vec![0_usize; 1 << (8 * BOXED)];
    for name in names.clone() {
        ends[box_of(name)] += 1;
    }
    let mut total = 0;
    for end in &mut ends {
        total += core::mem::replace(end, total);
    }
    let mut boxes: Vec<(u64, &[u8], u32)> = vec![(0, &[], 0); total];
    for (index, name) in (0_u32..).zip(names) {
        let end = &mut ends[box_of(name)];
        boxes[*end] = (key(name.get(BOXED..).unwrap_or_default()), name, index);
        *end += 1;
    }
    let mut start = 0;
    for end in ends {
        boxes[start..end].sort_unstable();
        start = end;
    }
    let mut before: Option<&[u8]> = None;
    let marked = boxes.iter().map(|&(_, name, index)| {
        let is_first = before != Some(name);
        before = Some(name);
        (index, is_first)
    });
    marked.collect()
}

fn without_llvm_suffix(name: &[u8]) -> &[u8] {
    let suffix = b".llvm.";
    let at = name.windows(suffix.len()).position(|part| part == suffix);
    &name[..at.unwrap_or(name.len())]
}

/// The order of symbols at one address. Linux's generator leaves those that are equal for
/// [`Symbol::rank`] in the order of its input, which `nm -n` sorts by name.
fn rank(symbols: &[Symbol<'_>], by_name: &[(u32, bool)]) -> Vec<u32> {
    let of = |index: u32| symbols.get(index as usize).map_or(0, Symbol::rank);
    let mut next = [0_u32; RANKS];
    let mut kinds = Vec::with_capacity(by_name.len());
    for &(index, _) in by_name {
        let kind = of(index).min(RANKS - 1);
        next[kind] += 1;
        kinds.push(kind);
    }
    let mut total = 0;
    for next in &mut next {
        total += core::mem::replace(next, total);
    }
    let mut ranks = vec![0; symbols.len()];
    for (&(index, _), kind) in by_name.iter().zip(kinds) {
        if let Some(rank) = ranks.get_mut(index as usize) {
            *rank = next[kind];
            next[kind] += 1;
        }
    }
    ranks
}
