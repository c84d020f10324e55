//! `.eh_frame`: how to unwind functions, as DWARF call frame information. Kernels for arc and sh unwind with
//! it; others that have the section do not read it.
//!
//! It is a list of records: common ones (CIE) and one for each function (FDE), which names its CIE and the
//! range of addresses that it is about. Records are not moved: what is about addresses that are gone is emptied
//! in place, so that it is about none.
//!
//! Source: Linux Standard Base Core 5.0, "Exception Frames"; Linux 6.1.192, `arch/arc/kernel/unwind.c`,
//! `init_unwind_hdr`, `fde_pointer_type`.

use core::iter::FusedIterator;
use core::ops::Range;

use crate::Numbers;
use crate::number::ByteOrder;

/// `DW_EH_PE_*`: how an address is written in the low four bits, what it counts from above these.
const FORMAT: u8 = 0x0f;
const BASE: u8 = 0x70;
const PC_RELATIVE: u8 = 0x10;

/// An FDE: what is known about one function.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Function {
    /// The addresses that it is about.
    pub addresses: Range<u64>,
    /// Where in the section its record begins, in bytes.
    pub record: usize,
    /// Where the first address is, and how it is written.
    first: usize,
    encoding: u8,
}

/// The functions in the section `bytes`, which runs at `address`. What cannot be read ends the list.
#[must_use]
pub const fn functions(numbers: Numbers, bytes: &[u8], address: u64) -> Functions<'_> {
    Functions {
        numbers,
        bytes,
        address,
        next: 0,
    }
}

/// Makes what is about functions that begin in one of the ranges `gone` be about nothing. Gives the number of
/// these functions.
pub fn trim(numbers: Numbers, bytes: &mut [u8], address: u64, gone: &[Range<u64>]) -> usize {
    let mut next = 0;
    let mut count = 0;
    loop {
        let mut functions = Functions {
            numbers,
            bytes,
            address,
            next,
        };
        let Some(function) = functions.next() else {
            return count;
        };
        next = functions.next;
        let start = function.addresses.start;
        if !function.addresses.is_empty() && gone.iter().any(|range| range.contains(&start)) {
            count += 1;
            let size = encoded_size(numbers, function.encoding).unwrap_or(0);
            // As a distance, zero is the field's own place.
            let end = function.first.saturating_add(2 * size);
            if let Some(fields) = bytes.get_mut(function.first..end) {
                fields.fill(0);
            }
        }
    }
}

/// Iterator of [`functions`].
#[derive(Clone, Debug)]
pub struct Functions<'a> {
    numbers: Numbers,
    bytes: &'a [u8],
    address: u64,
    next: usize,
}

impl Functions<'_> {
    /// The record at `at`: where its contents begin and end. `None` at the end of the list.
    fn record(&self, at: usize) -> Option<Range<usize>> {
        let length = self.numbers.endian.u32(self.bytes, at)?;
        let start = at.checked_add(4)?;
        // 0 ends the list; 0xffff_ffff would begin a 64-bit record, which no compiler makes.
        if length == 0 || length == u32::MAX {
            return None;
        }
        let end = start.checked_add(usize::try_from(length).ok()?)?;
        (end <= self.bytes.len()).then_some(start..end)
    }

    /// How the CIE at `at` says that addresses are written.
    fn encoding(&self, at: usize) -> Option<u8> {
        let contents = self.bytes.get(self.record(at)?)?;
        let version = *contents.get(4)?;
        let mut rest = contents.get(5..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        let augmentation = &rest[..end];
        rest = rest.get(end + 1..)?;
        let Some(letters) = augmentation.strip_prefix(b"z") else {
            return augmentation.is_empty().then_some(0);
        };
        rest = skip_leb128(skip_leb128(rest)?)?;
        rest = match version {
            1 => rest.get(1..)?,
            _ => skip_leb128(rest)?,
        };
        rest = skip_leb128(rest)?;
        for letter in letters {
            match letter {
                b'R' => return rest.first().copied(),
                b'L' => rest = rest.get(1..)?,
                b'P' => {
                    let size = encoded_size(self.numbers, *rest.first()?)?;
                    rest = rest.get(1 + size..)?;
                }
                b'S' | b'B' => {}
                _ => return None,
            }
        }
        Some(0)
    }

    /// The FDE whose contents are at `contents`, with its CIE at `cie`.
    fn function(&self, record: usize, contents: Range<usize>, cie: usize) -> Option<Function> {
        let encoding = self.encoding(cie)?;
        let size = encoded_size(self.numbers, encoding)?;
        let first = contents.start.checked_add(4)?;
        if first.checked_add(2 * size)? > contents.end {
            return None;
        }
        let base = match encoding & BASE {
            0 => 0,
            PC_RELATIVE => self.address.wrapping_add(first as u64),
            _ => return None,
        };
        let word = self.numbers.word;
        let start = read(self.numbers, self.bytes, first, encoding)?;
        // A length has no sign and no base.
        let length = read(self.numbers, self.bytes, first + size, encoding & 0x07)?;
        let start = word.cut(start.wrapping_add(base));
        Some(Function {
            addresses: start..start.saturating_add(word.cut(length)),
            record,
            first,
            encoding,
        })
    }
}

impl Iterator for Functions<'_> {
    type Item = Function;

    fn next(&mut self) -> Option<Function> {
        loop {
            let record = self.next;
            let contents = self.record(record)?;
            self.next = contents.end;
            let back = self.numbers.endian.u32(self.bytes, contents.start)?;
            if back != 0 {
                let cie = contents.start.checked_sub(usize::try_from(back).ok()?)?;
                return self.function(record, contents, cie);
            }
        }
    }
}

impl FusedIterator for Functions<'_> {}

/// Bytes of an address that is written so; `None` if that depends on its value or is not known.
fn encoded_size(numbers: Numbers, encoding: u8) -> Option<usize> {
    match encoding & FORMAT {
        0x0 => Some(numbers.word.bytes()),
        0x2 | 0xa => Some(2),
        0x3 | 0xb => Some(4),
        0x4 | 0xc => Some(8),
        _ => None,
    }
}

/// The number at `at`, with its sign if it is written so.
fn read(numbers: Numbers, bytes: &[u8], at: usize, encoding: u8) -> Option<u64> {
    let Numbers { word, endian } = numbers;
    Some(match encoding & FORMAT {
        0x0 => endian.word(word, bytes, at)?,
        0x2 => endian.u16(bytes, at)?.into(),
        0xa => i64::from(endian.u16(bytes, at)?.cast_signed()).cast_unsigned(),
        0x3 => endian.u32(bytes, at)?.into(),
        0xb => i64::from(endian.u32(bytes, at)?.cast_signed()).cast_unsigned(),
        0x4 | 0xc => endian.u64(bytes, at)?,
        _ => return None,
    })
}

/// What follows a number whose bytes have their top bit set but for the last.
fn skip_leb128(bytes: &[u8]) -> Option<&[u8]> {
    let last = bytes.iter().position(|byte| byte & 0x80 == 0)?;
    bytes.get(last + 1..)
}
