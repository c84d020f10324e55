//! Versions of the symbols that a module uses: a CRC of each, as it was when the module was compiled.
//!
//! `__versions` has 64 bytes for each: the CRC in a word, and the name, which ends in a zero byte. Longer
//! names do not fit. Since Linux 6.14 a module may have the CRCs, 32 bits each, in `__version_ext_crcs`, and
//! the names, each of which ends in a zero byte, in `__version_ext_names`; then these count.
//!
//! Source: Linux 6.1.192, `include/linux/module.h`, `struct modversion_info`, `kernel/module/version.c`,
//! `check_version`; `scripts/mod/modpost.c`, `add_extended_versions`, of 6.14.

use core::iter::FusedIterator;

use crate::Numbers;
use crate::number::ByteOrder;

/// Bytes of an entry of `__versions`: a word, and `MODULE_NAME_LEN`, which is what is left of 64 bytes
/// (`include/linux/moduleparam.h`, `MAX_PARAM_PREFIX_LEN`).
pub const ENTRY_SIZE: usize = 64;

/// The version of a symbol that a module uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Version<'a> {
    /// The symbol's name.
    pub name: &'a [u8],
    /// What it was compiled against.
    pub crc: u32,
}

/// The versions in `__versions`, in order. Entries without a name are passed over.
///
/// ```
/// use klink_tables::{Endian, Numbers, WordSize, versions};
/// let mut section = vec![0; 64];
/// section[..4].copy_from_slice(&0x1234_5678_u32.to_le_bytes());
/// section[8..14].copy_from_slice(b"printk");
/// let numbers = Numbers { word: WordSize::Eight, endian: Endian::Little };
/// let found = versions::versions(numbers, &section).next().unwrap();
/// assert_eq!((found.name, found.crc), (&b"printk"[..], 0x1234_5678));
/// ```
pub fn versions(numbers: Numbers, section: &[u8]) -> impl Iterator<Item = Version<'_>> {
    let word = numbers.word.bytes();
    section.chunks_exact(ENTRY_SIZE).filter_map(move |entry| {
        let (crc, name) = entry.split_at(word);
        let end = name.iter().position(|&byte| byte == 0);
        let name = &name[..end.unwrap_or(name.len())];
        let crc = numbers.endian.word(numbers.word, crc, 0)? as u32;
        (!name.is_empty()).then_some(Version { name, crc })
    })
}

/// The versions in `__version_ext_crcs` and `__version_ext_names`, in order, as many as both have.
///
/// ```
/// use klink_tables::{Endian, Numbers, WordSize, versions};
/// let numbers = Numbers { word: WordSize::Eight, endian: Endian::Big };
/// let mut found = versions::extended(numbers, &[0, 0, 0, 7, 0, 0, 0, 9], b"one\0two\0");
/// assert_eq!(found.next().map(|version| (version.name, version.crc)), Some((&b"one"[..], 7)));
/// assert_eq!(found.next().map(|version| (version.name, version.crc)), Some((&b"two"[..], 9)));
/// assert_eq!(found.next(), None);
/// ```
#[must_use]
pub const fn extended<'a>(numbers: Numbers, crcs: &'a [u8], names: &'a [u8]) -> Extended<'a> {
    Extended {
        numbers,
        crcs,
        names,
    }
}

/// Iterator of [`extended`].
#[derive(Clone, Debug)]
pub struct Extended<'a> {
    numbers: Numbers,
    crcs: &'a [u8],
    names: &'a [u8],
}

impl<'a> Iterator for Extended<'a> {
    type Item = Version<'a>;

    fn next(&mut self) -> Option<Version<'a>> {
        let crc = self.numbers.endian.u32(self.crcs, 0)?;
        let end = self.names.iter().position(|&byte| byte == 0)?;
        let name = &self.names[..end];
        self.crcs = self.crcs.get(4..)?;
        self.names = self.names.get(end + 1..)?;
        Some(Version { name, crc })
    }
}

impl FusedIterator for Extended<'_> {}
