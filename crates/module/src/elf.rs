//! ELF as far as modules need it: both classes, both byte orders, no copies.
//!
//! Source: gABI, chapters 4 and 5. All readers return `None` past the end of their bytes.

use klink_arch::{Class, Endian};

/// `ET_REL`.
pub(crate) const ET_REL: u16 = 1;
/// Sections without a header of their own, and undefined symbols.
pub(crate) const SHN_UNDEF: u16 = 0;
/// Symbols that a live patch resolves (Linux, `include/uapi/linux/elf.h`).
pub(crate) const SHN_LIVEPATCH: u16 = 0xff20;
/// Symbols that no section holds.
pub(crate) const SHN_ABS: u16 = 0xfff1;
/// Unallocated common symbols.
pub(crate) const SHN_COMMON: u16 = 0xfff2;
/// `SHT_NULL`.
pub(crate) const SHT_NULL: u32 = 0;
/// `SHT_SYMTAB`.
pub(crate) const SHT_SYMTAB: u32 = 2;
/// `SHT_RELA`.
pub(crate) const SHT_RELA: u32 = 4;
/// `SHT_NOBITS`.
pub(crate) const SHT_NOBITS: u32 = 8;
/// `SHT_REL`.
pub(crate) const SHT_REL: u32 = 9;
/// `SHF_WRITE`.
pub(crate) const SHF_WRITE: u64 = 1;
/// `SHF_ALLOC`.
pub(crate) const SHF_ALLOC: u64 = 2;
/// `SHF_EXECINSTR`.
pub(crate) const SHF_EXECINSTR: u64 = 4;
/// Linux: writable until init has returned (`include/uapi/linux/elf.h`).
pub(crate) const SHF_RO_AFTER_INIT: u64 = 0x20_0000;
/// Linux: relocations that a live patch applies.
pub(crate) const SHF_RELA_LIVEPATCH: u64 = 0x10_0000;
/// `STB_LOCAL`.
pub(crate) const STB_LOCAL: u8 = 0;
/// `STB_WEAK`.
pub(crate) const STB_WEAK: u8 = 2;
/// `STT_OBJECT`.
pub(crate) const STT_OBJECT: u8 = 1;

/// How the numbers of a file are written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Format {
    pub(crate) class: Class,
    pub(crate) endian: Endian,
}

impl Format {
    /// Bytes of a file header.
    pub(crate) const fn header_size(self) -> u64 {
        self.choose(52, 64)
    }

    /// Bytes of a section header.
    pub(crate) const fn section_size(self) -> u64 {
        self.choose(40, 64)
    }

    /// Bytes of a symbol.
    pub(crate) const fn symbol_size(self) -> u64 {
        self.choose(16, 24)
    }

    /// Bytes of a relocation.
    pub(crate) const fn relocation_size(self, with_addend: bool) -> u64 {
        match with_addend {
            true => self.choose(12, 24),
            false => self.choose(8, 16),
        }
    }

    /// Bytes of an address.
    pub(crate) const fn word_size(self) -> u64 {
        self.choose(4, 8)
    }

    const fn choose(self, elf32: u64, elf64: u64) -> u64 {
        match self.class {
            Class::Elf32 => elf32,
            Class::Elf64 => elf64,
        }
    }

    #[inline]
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self.endian {
            Endian::Little => u16::from_le_bytes(bytes),
            Endian::Big => u16::from_be_bytes(bytes),
        })
    }

    #[inline]
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self.endian {
            Endian::Little => u32::from_le_bytes(bytes),
            Endian::Big => u32::from_be_bytes(bytes),
        })
    }

    #[inline]
    pub(crate) fn u64(self, bytes: &[u8], at: usize) -> Option<u64> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        Some(match self.endian {
            Endian::Little => u64::from_le_bytes(bytes),
            Endian::Big => u64::from_be_bytes(bytes),
        })
    }

    /// An address or a size.
    #[inline]
    pub(crate) fn word(self, bytes: &[u8], at: usize) -> Option<u64> {
        match self.class {
            Class::Elf32 => self.u32(bytes, at).map(u64::from),
            Class::Elf64 => self.u64(bytes, at),
        }
    }

    /// Writes the low bytes of `value` as a number of `size` bytes (1, 2, 4 or 8) at `at`; `false`
    /// if there is no room.
    pub(crate) fn put(self, bytes: &mut [u8], at: usize, size: usize, value: u64) -> bool {
        let Some(out) = at.checked_add(size).and_then(|end| bytes.get_mut(at..end)) else {
            return false;
        };
        let (little, big) = (value.to_le_bytes(), value.to_be_bytes());
        let number = match self.endian {
            Endian::Little => little.get(..size),
            Endian::Big => big.get(8_usize.saturating_sub(size)..),
        };
        match number {
            Some(number) if number.len() == size => out.copy_from_slice(number),
            _ => return false,
        }
        true
    }

    /// Writes an address or a size at `at`.
    pub(crate) fn put_word(self, bytes: &mut [u8], at: usize, value: u64) -> bool {
        self.put(bytes, at, self.word_size() as usize, value)
    }

    /// The bytes of a symbol.
    #[inline]
    pub(crate) fn symbol(self, bytes: &[u8]) -> Option<RawSymbol> {
        Some(match self.class {
            Class::Elf32 => RawSymbol {
                name: self.u32(bytes, 0)?,
                value: self.u32(bytes, 4)?.into(),
                size: self.u32(bytes, 8)?.into(),
                info: *bytes.get(12)?,
                other: *bytes.get(13)?,
                section: self.u16(bytes, 14)?,
            },
            Class::Elf64 => RawSymbol {
                name: self.u32(bytes, 0)?,
                info: *bytes.get(4)?,
                other: *bytes.get(5)?,
                section: self.u16(bytes, 6)?,
                value: self.u64(bytes, 8)?,
                size: self.u64(bytes, 16)?,
            },
        })
    }

    /// The bytes of a relocation.
    #[inline]
    pub(crate) fn relocation(self, bytes: &[u8], with_addend: bool) -> Option<RawRelocation> {
        Some(match self.class {
            Class::Elf32 => {
                let info = self.u32(bytes, 4)?;
                RawRelocation {
                    offset: self.u32(bytes, 0)?.into(),
                    symbol: info >> 8,
                    number: info & 0xff,
                    addend: match with_addend {
                        true => self.u32(bytes, 8)?.cast_signed().into(),
                        false => 0,
                    },
                }
            }
            Class::Elf64 => {
                let info = self.u64(bytes, 8)?;
                RawRelocation {
                    offset: self.u64(bytes, 0)?,
                    symbol: (info >> 32) as u32,
                    number: info as u32,
                    addend: match with_addend {
                        true => self.u64(bytes, 16)?.cast_signed(),
                        false => 0,
                    },
                }
            }
        })
    }
}

/// A symbol as the file has it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct RawSymbol {
    pub(crate) name: u32,
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) info: u8,
    pub(crate) other: u8,
    pub(crate) section: u16,
}

impl RawSymbol {
    pub(crate) const fn bind(self) -> u8 {
        self.info >> 4
    }

    pub(crate) const fn kind(self) -> u8 {
        self.info & 15
    }
}

/// A relocation as the file has it; the addend is 0 where it is in the field.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct RawRelocation {
    pub(crate) offset: u64,
    pub(crate) symbol: u32,
    pub(crate) number: u32,
    pub(crate) addend: i64,
}

/// The bytes of a table up to its first zero byte; `None` if there is none within
/// [`MAX_NAME`] bytes.
pub(crate) fn c_string(table: &[u8], at: u32) -> Option<&[u8]> {
    let rest = table.get(usize::try_from(at).ok()?..)?;
    let rest = rest.get(..MAX_NAME).unwrap_or(rest);
    rest.get(..zero_at(rest)?)
}

/// Where the first zero byte is. Names are short: that eight bytes are looked at together is all that
/// pays.
fn zero_at(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let (eights, rest) = bytes.as_chunks::<8>();
    for (nth, eight) in eights.iter().enumerate() {
        let word = u64::from_le_bytes(*eight);
        // the lowest of these bits is in the first zero byte; above it others may be wrong
        let zeros = word.wrapping_sub(ONES) & !word & TOPS;
        if zeros != 0 {
            return Some(8 * nth + (zeros.trailing_zeros() / 8) as usize);
        }
    }
    let behind = rest.iter().position(|&byte| byte == 0)?;
    Some(8 * eights.len() + behind)
}

/// Bytes of the longest name that is taken. Linux ends symbols at 511 (`KSYM_NAME_LEN`); without
/// any limit, symbols that share one huge string would cost quadratic time.
pub(crate) const MAX_NAME: usize = 4096;

#[cfg(test)]
mod tests {
    use super::zero_at;

    #[test]
    fn the_first_zero_byte_is_found() {
        for length in 0..40 {
            for first in 0..=length {
                let mut bytes = [0x80; 40];
                bytes[..first].fill(1);
                bytes[first..].fill(0);
                let expected = (first < length).then_some(first);
                assert_eq!(zero_at(&bytes[..length]), expected);
                bytes[first..].fill(0x81);
                assert_eq!(zero_at(&bytes[..length]), None);
            }
        }
    }
}
