//! What an entry looks like.

use crate::number::{ByteOrder, Numbers, WordSize, put};

/// How an address is written in a field.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Encoding {
    /// The address, in a word of the kernel's size. Zero is no address.
    Word,
    /// The address in 32 bits, whatever the kernel's word is. Zero is no address.
    Address32,
    /// The distance from the field's own place, 32 bits with a sign.
    Place32,
    /// The distance from the field's own place, a word with a sign.
    PlaceWord,
    /// The distance from the begin of the entry, a word with a sign.
    EntryWord,
    /// The distance from the field's own place in the low 31 bits, with a sign. An [optional](Field::optional)
    /// field holds something else if the top bit is set or the whole of it is 1 (ARM's `prel31`,
    /// "Exception Handling ABI for the Arm Architecture", section 6).
    Place31,
}

impl Encoding {
    /// Bytes of the field.
    #[must_use]
    pub const fn size(self, word: WordSize) -> usize {
        match self {
            Self::Word | Self::PlaceWord | Self::EntryWord => word.bytes(),
            Self::Address32 | Self::Place32 | Self::Place31 => 4,
        }
    }
}

/// A field of an entry that holds an address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Field {
    /// Its name in the kernel's struct.
    pub name: &'static str,
    /// Where it is in the entry, in bytes.
    pub offset: usize,
    /// How the address is written.
    pub encoding: Encoding,
    /// How many of the lowest bits are flags, and no part of the address or distance.
    pub flag_bits: u8,
    /// Whether a distance of zero is no address. (An address of zero never is.)
    pub optional: bool,
}

impl Field {
    /// A field without flags.
    #[must_use]
    pub const fn new(name: &'static str, offset: usize, encoding: Encoding) -> Self {
        Self {
            name,
            offset,
            encoding,
            flag_bits: 0,
            optional: false,
        }
    }

    /// The same field, which holds no address if it is zero.
    #[must_use]
    pub const fn or_none(self) -> Self {
        Self {
            optional: true,
            ..self
        }
    }

    /// The same field, with flags in the lowest `bits`.
    #[must_use]
    pub const fn with_flags(self, bits: u8) -> Self {
        Self {
            flag_bits: bits,
            ..self
        }
    }

    /// The same field, written so.
    pub(crate) const fn written(&self, encoding: Encoding) -> Self {
        Self { encoding, ..*self }
    }

    /// The address in the field of the entry `bytes`, which is at address `entry`, without flags.
    /// `None`: there is none in it, or the entry is too short.
    #[inline(always)]
    pub(crate) fn read(&self, numbers: Numbers, bytes: &[u8], entry: u64) -> Option<u64> {
        let place = entry.wrapping_add(self.offset as u64);
        let Numbers { word, endian } = numbers;
        let raw = match self.encoding.size(word) {
            4 => u64::from(endian.u32(bytes, self.offset)?),
            _ => endian.u64(bytes, self.offset)?,
        };
        if raw == 0 && self.optional {
            return None;
        }
        let raw = raw >> self.flag_bits << self.flag_bits;
        let short = || i64::from(raw as u32 as i32);
        let address = match self.encoding {
            Encoding::Word | Encoding::Address32 => Some(raw).filter(|&address| address != 0)?,
            Encoding::Place32 => place.wrapping_add_signed(short()),
            // Of 32 bits no more than 32 are kept in the end: no sign is needed.
            Encoding::PlaceWord => place.wrapping_add(raw),
            Encoding::EntryWord => entry.wrapping_add(raw),
            Encoding::Place31 if self.optional && (raw == 1 || raw >> 31 != 0) => return None,
            Encoding::Place31 => {
                let distance = i64::from(((raw as u32) << 1).cast_signed() >> 1);
                place.wrapping_add_signed(distance)
            }
        };
        Some(word.cut(address))
    }

    /// Corrects the field for a move of its entry by `distance` bytes towards higher addresses, which
    /// may be less than none. Does nothing where the entry is too short.
    pub(crate) fn moved(&self, numbers: Numbers, bytes: &mut [u8], distance: i64) {
        let Numbers { word, endian } = numbers;
        let wide = self.encoding.size(word) == 8;
        let old = if wide {
            endian.u64(bytes, self.offset)
        } else {
            endian.u32(bytes, self.offset).map(u64::from)
        };
        let Some(old) = old else { return };
        if old == 0 && self.optional {
            return;
        }
        let counted = old.wrapping_sub(distance.cast_unsigned());
        let new = match self.encoding {
            Encoding::Word | Encoding::Address32 => return,
            Encoding::Place31 if self.optional && (old == 1 || old >> 31 != 0) => return,
            Encoding::Place31 => (old & 1 << 31) | (counted & 0x7fff_ffff),
            Encoding::Place32 | Encoding::PlaceWord | Encoding::EntryWord => counted,
        };
        // There is room: the old value was read from the same bytes.
        let _ = if wide {
            put(bytes, self.offset, endian.of_u64(new))
        } else {
            put(bytes, self.offset, endian.of_u32(new as u32))
        };
    }
}

/// A form that entries may have, and when they do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FormRow {
    /// The machines (`e_machine`) that have it; empty: all.
    pub(crate) machines: &'static [u16],
    /// The kernels that have it, by their word; `None`: both.
    pub(crate) word: Option<WordSize>,
    /// The form.
    pub(crate) form: &'static EntryForm,
    /// Says of a table of one of these machines whether it has the form, where the machine is not enough
    /// to know it: kernels of different versions have different ones.
    pub(crate) fits: Option<fn(Numbers, &[u8]) -> bool>,
}

impl FormRow {
    pub(crate) const fn new(machines: &'static [u16], form: &'static EntryForm) -> Self {
        Self {
            machines,
            word: None,
            form,
            fits: None,
        }
    }

    /// The same, for kernels with this word only.
    pub(crate) const fn with_word(self, word: WordSize) -> Self {
        Self {
            word: Some(word),
            ..self
        }
    }

    /// The same, for tables only of which `fits` says so.
    pub(crate) const fn if_fits(self, fits: fn(Numbers, &[u8]) -> bool) -> Self {
        Self {
            fits: Some(fits),
            ..self
        }
    }

    /// The form in the first of `rows` that is for this machine, word and table.
    pub(crate) fn choose(
        rows: &'static [Self],
        machine: u16,
        numbers: Numbers,
        table: &[u8],
    ) -> Option<&'static EntryForm> {
        let suits = |row: &&Self| {
            (row.machines.is_empty() || row.machines.contains(&machine))
                && row.word.is_none_or(|word| word == numbers.word)
                && row.fits.is_none_or(|fits| fits(numbers, table))
        };
        rows.iter().find(suits).map(|row| row.form)
    }
}

/// What the entries of a table look like.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct EntryForm {
    size: usize,
    fields: &'static [Field],
}

impl EntryForm {
    /// Entries of `size` bytes with these fields that hold addresses. The first says what an entry is
    /// about: it is the key by which the table is sorted, if it is.
    ///
    /// # Panics
    /// If the size is zero: forms are constants, so the compiler says so.
    #[must_use]
    pub const fn new(size: usize, fields: &'static [Field]) -> Self {
        assert!(size > 0, "an entry has a size");
        Self { size, fields }
    }

    /// Bytes of an entry, at least 1.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.size
    }

    /// The fields that hold addresses, the key first.
    #[must_use]
    pub const fn fields(&self) -> &'static [Field] {
        self.fields
    }

    /// The number of the field with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| field.name == name)
    }
}
