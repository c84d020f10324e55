//! Relocations of whole words, in a short form. Nearly all of a kernel's relocations are of this kind,
//! and a loader or linker that applies millions of them does little else.

use crate::field::ones;
use crate::{Class, Endian, Overflow, Relocation, Selector, StubUse, Value};

/// A row whose value is S + A, or S + A − P less a constant, and whose field is all of 4 or 8 bytes.
///
/// It says the same as the row, in the formula of Linux's module loader
/// ([`Relocation::as_loader_reads`]), but not why a value does not fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Direct {
    bytes: u8,
    /// Whether a link computes the same as Linux's module loader.
    for_links: bool,
    /// The bits of P that count: all or none.
    place: u64,
    /// What is added beside.
    bias: u64,
    /// What makes a value that fits positive…
    middle: u64,
    /// … so that these bits are zero.
    above: u64,
}

impl Direct {
    /// The short form of `row`; `None` if it has none. A branch that may need a stub has none.
    const fn of(given: &Relocation) -> Option<Self> {
        let row = given.as_loader_reads();
        let (place, bias) = match row.value {
            Value::Absolute => (0, 0),
            Value::PcRelative { bias } => (u64::MAX, bias.wrapping_neg().cast_unsigned()),
            _ => return None,
        };
        let whole = row.field.is_whole() && matches!(row.field.bytes, 4 | 8);
        let stubs = match &row.branch {
            Some(branch) => !matches!(branch.stub, StubUse::Never),
            None => false,
        };
        if stubs || row.exact || !whole || !matches!(row.selector, Selector::Full) {
            return None;
        }
        let (middle, above) = match (row.class, row.field.bytes, row.overflow) {
            (Class::Elf32, 8, _) => return None,
            // what an address has no more bits than always fits
            (Class::Elf32, ..) | (_, 8, _) | (.., Overflow::Ignore) => (0, 0),
            (.., Overflow::Signed) => (1 << 31, !ones(32)),
            (.., Overflow::Unsigned) => (0, !ones(32)),
            (.., Overflow::Bitfield) => (1 << 32, !ones(33)),
        };
        Some(Self {
            bytes: row.field.bytes,
            for_links: given.loader_value.is_none(),
            place,
            bias,
            middle,
            above,
        })
    }

    /// Bytes of the field, 4 or 8.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes as usize
    }

    /// Whether a link computes the same as Linux's module loader.
    #[must_use]
    pub const fn is_for_links(&self) -> bool {
        self.for_links
    }

    /// Applies a relocation in a link to `bytes`, which begin at its offset. `None`, and nothing is
    /// changed: the value does not fit, or there are too few bytes.
    #[inline]
    pub fn apply(
        &self,
        endian: Endian,
        bytes: &mut [u8],
        (symbol, addend, place): (u64, i64, u64),
    ) -> Option<()> {
        let value = self.value(symbol, addend, place)?;
        match self.bytes {
            4 => {
                let value = value as u32;
                *bytes.first_chunk_mut()? = match endian {
                    Endian::Little => value.to_le_bytes(),
                    Endian::Big => value.to_be_bytes(),
                };
            }
            _ => {
                *bytes.first_chunk_mut()? = match endian {
                    Endian::Little => value.to_le_bytes(),
                    Endian::Big => value.to_be_bytes(),
                };
            }
        }
        Some(())
    }

    /// What goes to the field, in its low [`bytes`](Self::bytes) bytes; `None` if it does not fit.
    #[inline]
    #[must_use]
    pub const fn value(&self, symbol: u64, addend: i64, place: u64) -> Option<u64> {
        let value = symbol
            .wrapping_add_signed(addend)
            .wrapping_sub(place & self.place)
            .wrapping_add(self.bias);
        if value.wrapping_add(self.middle) & self.above == 0 {
            Some(value)
        } else {
            None
        }
    }
}

/// The short forms of `rows`, in their order.
pub(crate) const fn directs<const N: usize>(rows: &[Relocation; N]) -> [Option<Direct>; N] {
    let mut all = [None; N];
    let mut row = 0;
    while row < N {
        all[row] = Direct::of(&rows[row]);
        row += 1;
    }
    all
}
