//! Numbers in bytes.

use super::format::{Endian, WordSize};

/// `value` rounded up to a multiple of `alignment`, a power of two. Saturates.
pub(super) const fn round_up(value: usize, alignment: usize) -> usize {
    match value.checked_add(alignment - 1) {
        Some(sum) => sum & !(alignment - 1),
        None => usize::MAX,
    }
}

/// `N` bytes at `offset`, if they are there.
pub(super) fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    let end = offset.checked_add(N)?;
    bytes.get(offset..end)?.try_into().ok()
}

impl Endian {
    pub(super) fn u16(self, bytes: &[u8], offset: usize) -> Option<u16> {
        let read = array(bytes, offset)?;
        Some(match self {
            Self::Little => u16::from_le_bytes(read),
            Self::Big => u16::from_be_bytes(read),
        })
    }

    pub(super) fn u32(self, bytes: &[u8], offset: usize) -> Option<u32> {
        let read = array(bytes, offset)?;
        Some(match self {
            Self::Little => u32::from_le_bytes(read),
            Self::Big => u32::from_be_bytes(read),
        })
    }

    pub(super) fn word(self, word: WordSize, bytes: &[u8], offset: usize) -> Option<u64> {
        match word {
            WordSize::Four => self.u32(bytes, offset).map(u64::from),
            WordSize::Eight => {
                let read = array(bytes, offset)?;
                Some(match self {
                    Self::Little => u64::from_le_bytes(read),
                    Self::Big => u64::from_be_bytes(read),
                })
            }
        }
    }

    pub(super) fn of_u16(self, value: u16) -> [u8; 2] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(super) fn of_u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }

    pub(super) fn of_u64(self, value: u64) -> [u8; 8] {
        match self {
            Self::Little => value.to_le_bytes(),
            Self::Big => value.to_be_bytes(),
        }
    }
}
