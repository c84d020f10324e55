//! The quick way through relocations of whole words, which nearly all are: read, add, write.

use klink_arch::{Arch, Class, Endian};

use crate::elf::{Format, RawRelocation};

/// What relocations of whole words in one section are made from.
#[derive(Clone, Copy)]
pub(crate) struct Words<'w> {
    pub(crate) arch: &'static Arch,
    /// The run addresses of all symbols.
    pub(crate) values: &'w [u64],
    /// The run address of the section.
    pub(crate) address: u64,
    /// Symbols below this are for a closer look.
    pub(crate) low: u64,
}

impl Words<'_> {
    /// Applies relocations from the start of `entries` to the section's `bytes`, up to the first that
    /// is of another kind or cannot be applied, and gives their number.
    pub(crate) fn apply(
        self,
        format: Format,
        with_addend: bool,
        entries: &[u8],
        bytes: &mut [u8],
    ) -> usize {
        // each of these is a loop of its own, in which nothing is left to decide
        match (format.class, format.endian, with_addend) {
            (Class::Elf32, Endian::Little, false) => self.run::<32, true, false>(entries, bytes),
            (Class::Elf32, Endian::Little, true) => self.run::<32, true, true>(entries, bytes),
            (Class::Elf32, Endian::Big, false) => self.run::<32, false, false>(entries, bytes),
            (Class::Elf32, Endian::Big, true) => self.run::<32, false, true>(entries, bytes),
            (Class::Elf64, Endian::Little, false) => self.run::<64, true, false>(entries, bytes),
            (Class::Elf64, Endian::Little, true) => self.run::<64, true, true>(entries, bytes),
            (Class::Elf64, Endian::Big, false) => self.run::<64, false, false>(entries, bytes),
            (Class::Elf64, Endian::Big, true) => self.run::<64, false, true>(entries, bytes),
        }
    }

    fn run<const BITS: u8, const LITTLE: bool, const ADDEND: bool>(
        self,
        entries: &[u8],
        bytes: &mut [u8],
    ) -> usize {
        let format = Format {
            class: if BITS == 32 {
                Class::Elf32
            } else {
                Class::Elf64
            },
            endian: if LITTLE { Endian::Little } else { Endian::Big },
        };
        let size = format.relocation_size(ADDEND) as usize;
        let mut all = entries.chunks_exact(size);
        let stopped = all.position(|entry| {
            let raw = format.relocation(entry, ADDEND);
            raw.and_then(|raw| self.one::<LITTLE, ADDEND>(raw, bytes))
                .is_none()
        });
        stopped.unwrap_or(entries.len() / size)
    }

    #[inline(always)]
    fn one<const LITTLE: bool, const ADDEND: bool>(
        &self,
        raw: RawRelocation,
        bytes: &mut [u8],
    ) -> Option<()> {
        let direct = self.arch.direct(raw.number)?;
        let symbol = *self.values.get(raw.symbol as usize)?;
        if symbol < self.low {
            return None;
        }
        let place = self.address.wrapping_add(raw.offset);
        let bytes = bytes.get_mut(usize::try_from(raw.offset).ok()?..)?;
        let addend = |old: i64| match ADDEND {
            false => Some(old),
            true if old != 0 && self.arch.load.wants_zero_fields => None,
            true => Some(raw.addend),
        };
        if direct.bytes() == 4 {
            let field: &mut [u8; 4] = bytes.first_chunk_mut()?;
            let old = match LITTLE {
                true => i32::from_le_bytes(*field),
                false => i32::from_be_bytes(*field),
            };
            let value = direct.value(symbol, addend(old.into())?, place)? as u32;
            *field = match LITTLE {
                true => value.to_le_bytes(),
                false => value.to_be_bytes(),
            };
        } else {
            let field: &mut [u8; 8] = bytes.first_chunk_mut()?;
            let old = match LITTLE {
                true => i64::from_le_bytes(*field),
                false => i64::from_be_bytes(*field),
            };
            let value = direct.value(symbol, addend(old)?, place)?;
            *field = match LITTLE {
                true => value.to_le_bytes(),
                false => value.to_be_bytes(),
            };
        }
        Some(())
    }
}
