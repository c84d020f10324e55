//! Reading records: numbers, encoded pointers, call frame instructions.

use crate::dynamic::encode::Form;

/// Pointer encodings (`DW_EH_PE_…`). Source: "LSB Core Generic", "DWARF Exception Header Encoding".
pub(super) mod encoding {
    /// Bits that say how wide the pointer is, and whether it is signed.
    const WIDTH: u8 = 0x07;
    /// The pointer is signed.
    const SIGNED: u8 = 0x08;
    /// Bits that say what the pointer counts from.
    pub(crate) const BASE: u8 = 0x70;
    /// It counts from nothing: an address.
    pub(crate) const ABSOLUTE: u8 = 0x00;
    /// It counts from itself.
    pub(crate) const PC_RELATIVE: u8 = 0x10;
    /// It counts from the section that it is in.
    pub(crate) const DATA_RELATIVE: u8 = 0x30;
    /// An address, in the next aligned place.
    pub(crate) const ALIGNED: u8 = 0x50;
    /// As wide as an address.
    const ADDRESS: u8 = 0x00;
    const UNSIGNED_2: u8 = 0x02;
    pub(crate) const UNSIGNED_4: u8 = 0x03;
    const UNSIGNED_8: u8 = 0x04;
    pub(crate) const SIGNED_4: u8 = 0x0b;
    const SIGNED_8: u8 = 0x0c;
    /// There is no pointer.
    pub(crate) const OMIT: u8 = 0xff;

    /// Bytes of a pointer, `None` if they vary or the encoding is not known.
    pub(crate) fn width(encoding: u8, address_size: usize) -> Option<usize> {
        if encoding & 0x60 == 0x60 {
            return None;
        }
        match encoding & WIDTH {
            ADDRESS => Some(address_size),
            UNSIGNED_2 => Some(2),
            UNSIGNED_4 => Some(4),
            UNSIGNED_8 => Some(8),
            _ => None,
        }
    }

    /// Whether a pointer is an address that a link could make relative.
    pub(crate) fn is_absolute(encoding: u8) -> bool {
        encoding & BASE == ABSOLUTE
    }

    pub(crate) fn is_signed(encoding: u8) -> bool {
        encoding & SIGNED != 0
    }

    /// The encoding of the same pointer, counted from itself.
    pub(crate) fn made_relative(encoding: u8, address_size: usize) -> u8 {
        let width = match (encoding & 0x7f, address_size) {
            (ADDRESS, 4) => SIGNED_4,
            (ADDRESS, 8) => SIGNED_8,
            _ => 0,
        };
        encoding | width | PC_RELATIVE
    }
}

/// A place in the bytes of a section. Every step says whether it was possible.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    /// Bytes from the section's beginning.
    at: usize,
    /// Where the record ends: nothing behind it is read.
    end: usize,
    form: Form,
}

impl<'a> Cursor<'a> {
    /// The beginning of a whole section.
    pub(super) fn new(bytes: &'a [u8], form: Form) -> Self {
        Self {
            bytes,
            at: 0,
            end: bytes.len(),
            form,
        }
    }

    /// Offset in the section.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Bytes to the end.
    pub(super) fn left(&self) -> usize {
        self.end - self.at
    }

    /// A cursor over the next `length` bytes; this one goes behind them.
    pub(super) fn split(&mut self, length: usize) -> Option<Self> {
        let mut part = self.clone();
        self.skip(length)?;
        part.end = self.at;
        Some(part)
    }

    pub(super) fn skip(&mut self, length: usize) -> Option<()> {
        if length > self.left() {
            return None;
        }
        self.at += length;
        Some(())
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let start = self.at;
        self.skip(length)?;
        self.bytes.get(start..self.at)
    }

    /// Everything to the end.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        self.take(self.left()).unwrap_or_default()
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.clone().byte()
    }

    pub(super) fn word(&mut self) -> Option<u32> {
        self.take(4).map(|word| self.form.get(word) as u32)
    }

    /// An unsigned number of `width` bytes.
    pub(super) fn number(&mut self, width: usize) -> Option<u64> {
        self.take(width).map(|number| self.form.get(number))
    }

    /// A string; the cursor goes behind the zero byte.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..self.end)?;
        let length = rest.iter().position(|&byte| byte == 0)?;
        let string = self.take(length)?;
        self.skip(1)?;
        Some(string)
    }

    /// The bytes of an LEB128.
    fn leb128(&mut self) -> Option<&'a [u8]> {
        let rest = self.bytes.get(self.at..self.end)?;
        let last = rest.iter().position(|&byte| byte & 0x80 == 0)?;
        self.take(last + 1)
    }

    /// An unsigned LEB128, its bits above 64 lost.
    pub(super) fn uleb128(&mut self) -> Option<u64> {
        let bytes = self.leb128()?.iter().rev();
        Some(bytes.fold(0, |value, &byte| value << 7 | u64::from(byte & 0x7f)))
    }

    /// A signed LEB128, its bits above 64 lost.
    pub(super) fn sleb128(&mut self) -> Option<i64> {
        let bytes = self.leb128()?;
        let negative = bytes.last().is_some_and(|last| last & 0x40 != 0);
        let sign = if negative { -1 } else { 0 };
        let digits = bytes.iter().rev();
        Some(digits.fold(sign, |value, &byte| value << 7 | i64::from(byte & 0x7f)))
    }

    /// Goes over one call frame instruction; pointers in it are `width` bytes. `None` also for
    /// instructions that are not known, since their operands are not either.
    pub(super) fn skip_instruction(&mut self, width: usize) -> Option<()> {
        let op = self.byte()?;
        let primary = op & 0xc0;
        match if primary == 0 { op } else { primary } {
            // nop, remember_state, restore_state, GNU_window_save; advance_loc, restore
            0x00 | 0x0a | 0x0b | 0x2d | 0x40 | 0xc0 => Some(()),
            // restore_extended, undefined, same_value, def_cfa_register, def_cfa_offset,
            // def_cfa_offset_sf, GNU_args_size; offset
            0x06..=0x08 | 0x0d | 0x0e | 0x13 | 0x2e | 0x80 => self.leb128().map(drop),
            // offset_extended, register, def_cfa, offset_extended_sf, def_cfa_sf, val_offset,
            // val_offset_sf, GNU_negative_offset_extended
            0x05 | 0x09 | 0x0c | 0x11 | 0x12 | 0x14 | 0x15 | 0x2f => {
                self.leb128()?;
                self.leb128().map(drop)
            }
            // def_cfa_expression
            0x0f => self.skip_block(),
            // expression, val_expression
            0x10 | 0x16 => {
                self.leb128()?;
                self.skip_block()
            }
            SET_LOC => self.skip(width),
            // advance_loc1, 2, 4, MIPS_advance_loc8
            0x02 => self.skip(1),
            0x03 => self.skip(2),
            0x04 => self.skip(4),
            0x1d => self.skip(8),
            _ => None,
        }
    }

    fn skip_block(&mut self) -> Option<()> {
        let length = self.uleb128()?;
        self.skip(usize::try_from(length).ok()?)
    }
}

/// `DW_CFA_set_loc`: the one instruction that holds an address.
pub(super) const SET_LOC: u8 = 0x01;
/// `DW_CFA_nop`, which pads records.
pub(super) const NOP: u8 = 0x00;
