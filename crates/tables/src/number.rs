//! Numbers in bytes.

use klink_arch::Class;
pub use klink_arch::Endian;

/// Bytes of an address.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum WordSize {
    /// A 32-bit kernel.
    Four,
    /// A 64-bit kernel.
    Eight,
}

impl WordSize {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
        }
    }

    /// The part of `address` that a word holds.
    #[must_use]
    pub const fn cut(self, address: u64) -> u64 {
        match self {
            Self::Four => address & 0xffff_ffff,
            Self::Eight => address,
        }
    }
}

impl From<Class> for WordSize {
    fn from(class: Class) -> Self {
        match class {
            Class::Elf32 => Self::Four,
            Class::Elf64 => Self::Eight,
        }
    }
}

/// How the numbers of a kernel are written: two facts that every table needs.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Numbers {
    /// Bytes of an address.
    pub word: WordSize,
    /// Byte order.
    pub endian: Endian,
}

/// `value` rounded up to a multiple of `alignment`, a power of two. Saturates.
pub(crate) const fn round_up(value: usize, alignment: usize) -> usize {
    match value.checked_add(alignment - 1) {
        Some(sum) => sum & !(alignment - 1),
        None => usize::MAX,
    }
}

/// `N` bytes at `offset`, if they are there.
pub(crate) fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    let end = offset.checked_add(N)?;
    bytes.get(offset..end)?.try_into().ok()
}

/// Puts `value` at `offset`; `None`, and nothing is changed, if there is no room.
pub(crate) fn put<const N: usize>(bytes: &mut [u8], offset: usize, value: [u8; N]) -> Option<()> {
    let end = offset.checked_add(N)?;
    bytes.get_mut(offset..end)?.copy_from_slice(&value);
    Some(())
}

/// Numbers of a byte order, read from and made into bytes.
pub(crate) trait ByteOrder: Copy {
    fn u16(self, bytes: &[u8], offset: usize) -> Option<u16>;
    fn u32(self, bytes: &[u8], offset: usize) -> Option<u32>;
    fn u64(self, bytes: &[u8], offset: usize) -> Option<u64>;
    fn word(self, word: WordSize, bytes: &[u8], offset: usize) -> Option<u64>;
    fn of_u16(self, value: u16) -> [u8; 2];
    fn of_u32(self, value: u32) -> [u8; 4];
    fn of_u64(self, value: u64) -> [u8; 8];
}

impl ByteOrder for Endian {
    fn u16(self, bytes: &[u8], offset: usize) -> Option<u16> {
        let read = array(bytes, offset)?;
        Some(match self {
            Self::Little => u16::from_le_bytes(read),
            Self::Big => u16::from_be_bytes(read),
        })
    }

    fn u32(self, bytes: &[u8], offset: usize) -> Option<u32> {
        let read = array(bytes, offset)?;
        Some(match self {
            Self::Little => u32::from_le_bytes(read),
            Self::Big => u32::from_be_bytes(read),
        })
    }

    fn u64(self, bytes: &[u8], offset: usize) -> Option<u64> {
        let read = array(bytes, offset)?;
        Some(match self {
            Self::Little => u64::from_le_bytes(read),
            Self::Big => u64::from_be_bytes(read),
        })
    }

    fn word(self, word: WordSize, bytes: &[u8], offset: usize) -> Option<u64> {
        match word {
            WordSize::Four => self.u32(bytes, offset).map(u64::from),
            WordSize::Eight => self.u64(bytes, offset),
        }
    }

    fn of_u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    fn of_u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    fn of_u64(self, value: u64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}
