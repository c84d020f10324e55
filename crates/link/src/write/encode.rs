//! Structures of ELF in the output's class and byte order.

use klink_arch::{Arch, Class, Endian};
use object::elf;

use crate::image::Segment;
use crate::symtab::OutputSymbol;

/// A section header of the output.
#[derive(Clone, Debug, Default)]
pub(crate) struct Header {
    pub name: u32,
    pub section_type: u32,
    pub flags: u64,
    pub address: u64,
    pub offset: u64,
    pub size: u64,
    pub link: u32,
    pub info: u32,
    pub align: u64,
    pub entry_size: u64,
}

impl Header {
    /// Whether the section has bytes in the file.
    pub(crate) fn has_bytes(&self) -> bool {
        self.section_type != elf::SHT_NOBITS.0 && self.size > 0
    }
}

/// Sizes of structures that depend on the class, in bytes (ELF gABI chapters 4 and 5).
pub(crate) struct Sizes {
    /// The ELF header.
    pub header: u64,
    /// A program header.
    pub segment: u64,
    /// A section header.
    pub section: u64,
    pub symbol: u64,
    /// An address or an offset.
    pub word: u64,
}

impl Sizes {
    pub(crate) fn of(class: Class) -> Self {
        match class {
            Class::Elf32 => Self {
                header: 52,
                segment: 32,
                section: 40,
                symbol: 16,
                word: 4,
            },
            Class::Elf64 => Self {
                header: 64,
                segment: 56,
                section: 64,
                symbol: 24,
                word: 8,
            },
        }
    }

    pub(crate) fn relocation(&self, explicit: bool) -> u64 {
        self.word * if explicit { 3 } else { 2 }
    }
}

/// Writes numbers in the output's class and byte order, one after another.
pub(crate) struct Encoder<'b> {
    class: Class,
    endian: Endian,
    bytes: &'b mut [u8],
    pub at: usize,
}

impl<'b> Encoder<'b> {
    /// Writes from the start of `bytes` on.
    pub(crate) fn new(arch: &Arch, bytes: &'b mut [u8]) -> Self {
        Self {
            class: arch.class,
            endian: arch.endian,
            bytes,
            at: 0,
        }
    }

    pub(crate) fn class(&self) -> Class {
        self.class
    }

    pub(crate) fn endian(&self) -> Endian {
        self.endian
    }

    /// `e_ident` (ELF gABI chapter 4); `osabi` is its `EI_OSABI`.
    pub(crate) fn ident(&mut self, arch: &Arch, osabi: u8) {
        let class = match arch.class {
            Class::Elf32 => elf::ELFCLASS32.0,
            Class::Elf64 => elf::ELFCLASS64.0,
        };
        let data = match arch.endian {
            Endian::Little => elf::ELFDATA2LSB.0,
            Endian::Big => elf::ELFDATA2MSB.0,
        };
        let version = elf::EV_CURRENT.0;
        self.raw(&[
            0x7f,
            b'E',
            b'L',
            b'F',
            class,
            data,
            version,
            osabi,
            arch.abi_version,
        ]);
        self.raw(&[0; 7]);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes[self.at..self.at + bytes.len()].copy_from_slice(bytes);
        self.at += bytes.len();
    }

    pub(crate) fn half(&mut self, value: u16) {
        match self.endian {
            Endian::Little => self.raw(&value.to_le_bytes()),
            Endian::Big => self.raw(&value.to_be_bytes()),
        }
    }

    pub(crate) fn word32(&mut self, value: u32) {
        match self.endian {
            Endian::Little => self.raw(&value.to_le_bytes()),
            Endian::Big => self.raw(&value.to_be_bytes()),
        }
    }

    /// A word of the class's width.
    pub(crate) fn word(&mut self, value: u64) {
        match (self.class, self.endian) {
            (Class::Elf32, _) => self.word32(value as u32),
            (Class::Elf64, Endian::Little) => self.raw(&value.to_le_bytes()),
            (Class::Elf64, Endian::Big) => self.raw(&value.to_be_bytes()),
        }
    }

    /// `r_info` (ELF gABI chapter 4): 24 and 8 bits, or 32 and 32.
    pub(crate) fn relocation_info(&mut self, symbol: u32, number: u32) {
        match self.class {
            Class::Elf32 => self.word32(symbol << 8 | number & 0xff),
            Class::Elf64 => self.word(u64::from(symbol) << 32 | u64::from(number)),
        }
    }

    /// A symbol in the section with number `place`.
    pub(crate) fn symbol(&mut self, symbol: &OutputSymbol, place: u16) {
        self.word32(symbol.name);
        match self.class {
            Class::Elf32 => {
                self.word(symbol.value);
                self.word(symbol.size);
                self.raw(&[symbol.info, symbol.other]);
                self.half(place);
            }
            Class::Elf64 => {
                self.raw(&[symbol.info, symbol.other]);
                self.half(place);
                self.word(symbol.value);
                self.word(symbol.size);
            }
        }
    }

    /// A program header (ELF gABI chapter 5).
    pub(crate) fn segment(&mut self, segment: &Segment) {
        self.word32(segment.segment_type);
        if self.class == Class::Elf64 {
            self.word32(segment.flags);
        }
        for word in [
            segment.offset,
            segment.address,
            segment.load_address,
            segment.file_size,
            segment.memory_size,
        ] {
            self.word(word);
        }
        if self.class == Class::Elf32 {
            self.word32(segment.flags);
        }
        self.word(segment.align);
    }

    pub(crate) fn section_header(&mut self, header: &Header) {
        self.word32(header.name);
        self.word32(header.section_type);
        self.word(header.flags);
        self.word(header.address);
        self.word(header.offset);
        self.word(header.size);
        self.word32(header.link);
        self.word32(header.info);
        self.word(header.align);
        self.word(header.entry_size);
    }
}

/// Sorts the entries of a table, of `size` bytes each, by their first `key` bytes as a number; equal
/// ones keep their order.
pub(crate) fn sort_table(table: &mut [u8], size: usize, key: usize, endian: Endian) {
    let number = |entry: &[u8]| {
        let mut bytes = [0; 8];
        match endian {
            Endian::Little => {
                bytes[..key].copy_from_slice(&entry[..key]);
                u64::from_le_bytes(bytes)
            }
            Endian::Big => {
                bytes[8 - key..].copy_from_slice(&entry[..key]);
                u64::from_be_bytes(bytes)
            }
        }
    };
    if table.chunks_exact(size).map(number).is_sorted() {
        return;
    }
    let copy = table.to_vec();
    let entries = copy.chunks_exact(size);
    let mut entries: Vec<(u64, &[u8])> = entries.map(|entry| (number(entry), entry)).collect();
    entries.sort_by_key(|&(key, _)| key);
    for (place, (_, entry)) in table.chunks_exact_mut(size).zip(entries) {
        place.copy_from_slice(entry);
    }
}

/// Sorts relocations by offset, as GNU ld does (bfd/elflink.c, `elf_link_adjust_relocs`).
pub(crate) fn sort_by_offset(table: &mut [u8], explicit: bool, arch: &Arch) {
    let sizes = Sizes::of(arch.class);
    let (size, word) = (sizes.relocation(explicit) as usize, sizes.word as usize);
    sort_table(table, size, word, arch.endian);
}
