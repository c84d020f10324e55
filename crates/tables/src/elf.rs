//! The little that is needed of an ELF file to find tables in it: section headers and symbols, of
//! either class and byte order. What lies outside the file is not there.

use alloc::vec::Vec;
use core::ops::Range;

use crate::number::ByteOrder;
use crate::{Endian, Numbers, WordSize};

/// `sh_type` of symbols, relocations and bytes that are not in the file (gABI, "Sections").
const SHT_SYMTAB: u32 = 2;
pub(crate) const SHT_RELA: u32 = 4;
const SHT_NOBITS: u32 = 8;
pub(crate) const SHT_REL: u32 = 9;
const SHT_SYMTAB_SHNDX: u32 = 18;
/// `SHF_ALLOC` and `SHF_EXECINSTR`.
pub(crate) const SHF_ALLOC: u64 = 2;
pub(crate) const SHF_EXECINSTR: u64 = 4;
/// `st_shndx`: the index is in `SHT_SYMTAB_SHNDX`; and `e_shstrndx`: it is in section 0.
const SHN_XINDEX: u16 = 0xffff;
/// `st_shndx` from which on there are no sections.
const SHN_LORESERVE: u16 = 0xff00;
/// `st_info & 0xf` of data and of code.
pub(crate) const STT_OBJECT: u8 = 1;
pub(crate) const STT_FUNC: u8 = 2;

/// A section header.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Section {
    name: usize,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    offset: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
    pub(crate) info: u32,
}

impl Section {
    /// Where its bytes are in the file, if they are.
    pub(crate) fn range(&self, file: &[u8]) -> Option<Range<usize>> {
        if self.kind == SHT_NOBITS {
            return None;
        }
        let start = usize::try_from(self.offset).ok()?;
        let end = start.checked_add(usize::try_from(self.size).ok()?)?;
        (end <= file.len()).then_some(start..end)
    }

    /// Where in the file the `size` bytes at `address` are, if the section has them.
    pub(crate) fn place(&self, file: &[u8], address: u64, size: u64) -> Option<Range<usize>> {
        let range = self.range(file)?;
        let from = address.checked_sub(self.address)?;
        let end = from.checked_add(size).filter(|end| *end <= self.size)?;
        Some(range.start + usize::try_from(from).ok()?..range.start + usize::try_from(end).ok()?)
    }
}

/// A symbol.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Symbol<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) kind: u8,
    /// The section it is defined in; `None` if in none.
    pub(crate) section: Option<usize>,
}

/// The headers of a file. They are copied, so that the file can be changed.
pub(crate) struct Elf {
    pub(crate) numbers: Numbers,
    pub(crate) file_type: u16,
    pub(crate) machine: u16,
    pub(crate) sections: Vec<Section>,
}

impl Elf {
    /// Reads the headers; `None` if that is no ELF file, or they are not in it.
    pub(crate) fn parse(file: &[u8]) -> Option<Self> {
        if file.get(..4)? != b"\x7fELF" {
            return None;
        }
        let word = match file.get(4)? {
            1 => WordSize::Four,
            2 => WordSize::Eight,
            _ => return None,
        };
        let endian = match file.get(5)? {
            1 => Endian::Little,
            2 => Endian::Big,
            _ => return None,
        };
        let mut elf = Self {
            numbers: Numbers { word, endian },
            file_type: endian.u16(file, 16)?,
            machine: endian.u16(file, 18)?,
            sections: Vec::new(),
        };
        elf.read_sections(file)?;
        Some(elf)
    }

    fn read_sections(&mut self, file: &[u8]) -> Option<()> {
        let Numbers { word, endian } = self.numbers;
        let (offset_at, halves_at) = match word {
            WordSize::Four => (32, 46),
            WordSize::Eight => (40, 58),
        };
        let start = usize::try_from(endian.word(word, file, offset_at)?).ok()?;
        let entry_size = usize::from(endian.u16(file, halves_at)?);
        let first = self.section(file, start)?;
        let count = match endian.u16(file, halves_at + 2)? {
            0 => usize::try_from(first.size).ok()?,
            count => usize::from(count),
        };
        let names = match endian.u16(file, halves_at + 4)? {
            SHN_XINDEX => usize::try_from(first.link).ok()?,
            index => usize::from(index),
        };
        // Checked before the room is made: a damaged count is not to cost memory.
        let end = start.checked_add(count.checked_mul(entry_size)?)?;
        if end > file.len() || count > file.len() {
            return None;
        }
        let headers = (0..count).map(|index| self.section(file, start + index * entry_size));
        let mut sections = headers.collect::<Option<Vec<Section>>>()?;
        let strings = sections.get(names)?.range(file)?.start;
        for section in &mut sections {
            section.name = section.name.checked_add(strings)?;
        }
        self.sections = sections;
        Some(())
    }

    /// The header at `at`.
    fn section(&self, file: &[u8], at: usize) -> Option<Section> {
        let Numbers { word, endian } = self.numbers;
        let header = file.get(at..)?;
        let (size, half) = (word.bytes(), |at| endian.u32(header, at));
        let number = |index: usize| endian.word(word, header, 8 + index * size);
        Some(Section {
            name: usize::try_from(half(0)?).ok()?,
            kind: half(4)?,
            flags: number(0)?,
            address: number(1)?,
            offset: number(2)?,
            size: number(3)?,
            link: half(8 + 4 * size)?,
            info: half(12 + 4 * size)?,
        })
    }

    /// The number of the last section with this name.
    pub(crate) fn find(&self, file: &[u8], name: &[u8]) -> Option<usize> {
        let named = |section: &Section| string(file, section.name) == name;
        self.sections.iter().rposition(named)
    }

    /// The symbols in `.symtab`, in order; none if there is no such table, or it is damaged.
    pub(crate) fn symbols<'a>(&self, file: &'a [u8]) -> impl Iterator<Item = Symbol<'a>> {
        let tables = self.sections.iter().enumerate();
        let table = tables
            .filter(|(_, section)| section.kind == SHT_SYMTAB)
            .find_map(|(index, section)| self.symbol_table(file, index, section));
        table.into_iter().flatten()
    }

    fn symbol_table<'a>(
        &self,
        file: &'a [u8],
        index: usize,
        table: &Section,
    ) -> Option<impl Iterator<Item = Symbol<'a>>> {
        let bytes = file.get(table.range(file)?)?;
        let strings = self.sections.get(usize::try_from(table.link).ok()?)?;
        let strings = file.get(strings.range(file)?)?;
        let is_extended = |section: &&Section| {
            section.kind == SHT_SYMTAB_SHNDX && usize::try_from(section.link) == Ok(index)
        };
        let extended = self.sections.iter().find(is_extended);
        let extended = extended.and_then(|section| file.get(section.range(file)?));
        let numbers = self.numbers;
        let size = match numbers.word {
            WordSize::Four => 16,
            WordSize::Eight => 24,
        };
        let symbols = bytes.chunks_exact(size).enumerate();
        Some(symbols.filter_map(move |(index, bytes)| {
            symbol(numbers, bytes, strings, || {
                numbers.endian.u32(extended?, index.checked_mul(4)?)
            })
        }))
    }
}

/// The symbol in `bytes`, whose section `extended` knows if it does not fit.
fn symbol<'a>(
    numbers: Numbers,
    bytes: &[u8],
    strings: &'a [u8],
    extended: impl Fn() -> Option<u32>,
) -> Option<Symbol<'a>> {
    let Numbers { word, endian } = numbers;
    let (info, section, value, size) = match word {
        WordSize::Four => (12, 14, 4, 8),
        WordSize::Eight => (4, 6, 8, 16),
    };
    let section = match endian.u16(bytes, section)? {
        0 => None,
        SHN_XINDEX => extended().and_then(|index| usize::try_from(index).ok()),
        index if index >= SHN_LORESERVE => None,
        index => Some(usize::from(index)),
    };
    Some(Symbol {
        name: string(strings, usize::try_from(endian.u32(bytes, 0)?).ok()?),
        value: endian.word(word, bytes, value)?,
        size: endian.word(word, bytes, size)?,
        kind: bytes.get(info)? & 0xf,
        section,
    })
}

/// The string at `at`, without the zero byte that ends it; empty if it is outside.
fn string(strings: &[u8], at: usize) -> &[u8] {
    let rest = strings.get(at..).unwrap_or_default();
    let end = rest.iter().position(|&byte| byte == 0);
    &rest[..end.unwrap_or(rest.len())]
}
