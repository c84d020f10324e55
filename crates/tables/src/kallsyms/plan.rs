//! The table of a kernel before addresses are known: what it needs, and its size.

use alloc::vec::Vec;

use thiserror::Error;

use super::encode::{Encoded, Writer};
use super::order::{by_name, without_llvm_suffix};
use super::tokens::{Codes, Tokens, compress};
use super::{AddressForm, Format, NAME_LIMIT, Part};

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
    pub(super) fn letter(&self) -> u8 {
        if self.percpu { b'A' } else { self.kind }
    }
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
    pub(super) tokens: Tokens,
    pub(super) codes: Codes,
    /// The symbols in the order of their names, if the form has it; of those with equal names, the
    /// first is marked.
    pub(super) by_name: Vec<(u32, bool)>,
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
        let ((tokens, codes), by_name) = join(
            || compress(symbols),
            || match format.parts().any(|part| part == Part::SeqsOfNames) {
                false => Vec::new(),
                true => by_name(&compared_names(&format, symbols)),
            },
        );
        if tokens.table.len() > usize::from(u16::MAX) {
            return Err(PlanError::Tokens(tokens.table.len()));
        }
        let layout = lay_out(&format, &tokens, &codes);
        Ok(Self {
            format,
            layout,
            tokens,
            codes,
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

    /// Writes the table: of the symbols that it was planned for, in the same order, where
    /// `addresses[i]` is the address of `symbols[i]` and `place` that of the table's first byte.
    ///
    /// # Errors
    /// [`PlanError::Addresses`] and [`PlanError::Range`].
    pub fn encode(
        &self,
        symbols: &[Symbol<'_>],
        addresses: &[u64],
        place: u64,
    ) -> Result<Encoded, PlanError> {
        for given in [symbols.len(), addresses.len()] {
            let wanted = self.codes.count();
            if given != wanted {
                return Err(PlanError::Addresses { given, wanted });
            }
        }
        Writer::new(self, symbols, addresses, place).write()
    }
}

/// The names as `compare_names` sees them.
fn compared_names<'s>(format: &Format, symbols: &[Symbol<'s>]) -> Vec<&'s [u8]> {
    let names = symbols.iter().map(|symbol| symbol.name);
    match format.lto_clang {
        true => names.map(without_llvm_suffix).collect(),
        false => names.collect(),
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
pub(super) fn written_bytes(codes: &[u8]) -> usize {
    codes.len() + if codes.len() < 0x80 { 1 } else { 2 }
}

fn lay_out(format: &Format, tokens: &Tokens, codes: &Codes) -> Layout {
    let count = codes.count();
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
