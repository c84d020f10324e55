//! Procedure linkage tables: how code calls functions whose addresses only a loader knows.
//!
//! A call goes to an entry of the table, which jumps to where its slot points. At first that is behind the
//! jump, where the entry names its relocation to the head of the table, and the head calls the loader.
//!
//! Source: the psABIs of i386 and x86-64, "Procedure Linkage Table".

use crate::{Arch, Endian, RelocError, StubTemplate, Values};

/// A procedure linkage table of position-independent code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Plt {
    /// The first entry, which calls the loader; its target is the table of slots.
    pub head: StubTemplate,
    /// An entry of as many bytes; its target is its slot.
    pub entry: StubTemplate,
    /// Where in an entry the relocation's number is, a word of 32 bits.
    pub number_at: usize,
    /// What the number counts.
    pub numbers: Numbers,
    /// Where in an entry the jump to the head has its field, and of which type it is.
    pub back: (usize, u32),
    /// Where in an entry a slot points at first.
    pub first: u64,
    /// `sh_entsize` of the table's section.
    pub entry_size: u64,
}

/// How an entry names its relocation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Numbers {
    /// By its number.
    Relocations,
    /// By its offset in bytes, each relocation being so long.
    Bytes(u32),
}

/// The addresses that an entry depends on.
#[derive(Clone, Copy, Debug)]
pub struct PltPlace {
    /// Of the head.
    pub head: u64,
    /// Of the entry.
    pub entry: u64,
    /// Of its slot.
    pub slot: u64,
    /// What slots are counted from.
    pub got: u64,
}

impl Plt {
    /// Writes the head of a table at `place`, whose slots begin at `slots`.
    ///
    /// # Errors
    /// [`RelocError`] if it does not reach the slots.
    pub fn write_head(
        &self,
        arch: &Arch,
        place: u64,
        slots: u64,
        out: &mut [u8],
    ) -> Result<(), RelocError> {
        let values = Values {
            symbol: slots,
            place,
            got: slots,
            ..Values::default()
        };
        self.head.resolve_with(arch, &values, out)
    }

    /// Writes the entry whose relocation is the `number`th.
    ///
    /// # Errors
    /// [`RelocError`] if it does not reach its slot or the head.
    pub fn write_entry(
        &self,
        arch: &Arch,
        place: &PltPlace,
        number: u32,
        out: &mut [u8],
    ) -> Result<(), RelocError> {
        let values = Values {
            symbol: place.slot,
            place: place.entry,
            got: place.got,
            ..Values::default()
        };
        self.entry.resolve_with(arch, &values, out)?;
        let needed = self.entry.len();
        let available = out.len();
        let short = RelocError::OutOfBounds { needed, available };
        let number = match self.numbers {
            Numbers::Relocations => number,
            Numbers::Bytes(each) => number.wrapping_mul(each),
        };
        let number = match arch.endian {
            Endian::Little => number.to_le_bytes(),
            Endian::Big => number.to_be_bytes(),
        };
        let field = out.get_mut(self.number_at..self.number_at + 4);
        field.ok_or(short)?.copy_from_slice(&number);
        let (at, kind) = self.back;
        let row = arch.relocation(kind).ok_or(RelocError::Unsupported {
            name: self.entry.name,
        })?;
        let back = Values {
            symbol: place.head,
            place: place.entry.wrapping_add(at as u64),
            addend: -4,
            ..Values::default()
        };
        row.apply(arch.endian, out.get_mut(at..).ok_or(short)?, &back)
    }
}
