//! A kernel and the table in it.

use std::io;
use std::path::Path;

use klink_tables::kallsyms::{
    BANNER, Damage, Endian, Image, MappedSymbol, NotFound, SectionClass, SymbolClass, SymbolPlace,
    Table, WordSize, letter, release_in_banner,
};
use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};

use super::payload;
use crate::compressed::{self, Contents};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It cannot be read or unpacked.
    #[error(transparent)]
    Contents(#[from] compressed::Error),
    /// Its ELF structures are broken.
    #[error("its ELF headers are damaged: {0}")]
    Elf(#[from] object::read::Error),
    /// It has no table that klink can read.
    #[error("{0}; kernels have one with CONFIG_KALLSYMS")]
    NotFound(#[from] NotFound),
    /// The table is broken.
    #[error("its kallsyms table is broken: {0}")]
    Damage(#[from] Damage),
    /// Nothing to compare with.
    #[error("has no symbol table to check against; --check needs an unstripped vmlinux")]
    NoSymbols,
    /// The answer cannot be printed.
    #[error("the answer cannot be printed: {0}")]
    Print(#[from] io::Error),
}

/// A kernel, unpacked, and where its table is.
pub(crate) struct Kernel {
    bytes: Bytes,
    image: Image,
}

/// The file itself, or the kernel that was compressed in it.
enum Bytes {
    File(Contents),
    Payload(Vec<u8>),
}

impl Kernel {
    /// Opens a kernel and finds its table.
    ///
    /// # Errors
    /// A file that cannot be read, or has no table.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let contents = Contents::open(path)?;
        let not_found = match find(&contents) {
            Ok(image) => {
                let bytes = Bytes::File(contents);
                return Ok(Self { bytes, image });
            }
            Err(error) => error,
        };
        for payload in payload::payloads(&contents) {
            if let Ok(image) = find(&payload) {
                let bytes = Bytes::Payload(payload);
                return Ok(Self { bytes, image });
            }
        }
        Err(not_found)
    }

    fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::File(contents) => contents,
            Bytes::Payload(payload) => payload,
        }
    }

    pub(crate) fn image(&self) -> &Image {
        &self.image
    }

    /// The table.
    ///
    /// # Errors
    /// [`Error::Damage`]
    pub(crate) fn table(&self) -> Result<Table<'_>, Error> {
        Ok(self.image.table(self.bytes())?)
    }

    /// The symbols as `nm` lists them, in the order of the symbol table; none in a kernel that is
    /// stripped or no ELF file.
    ///
    /// # Errors
    /// [`Error::Elf`]
    pub(crate) fn symbols(&self) -> Result<Vec<MappedSymbol<'_>>, Error> {
        elf_symbols(self.bytes())
    }

    /// The version in the kernel's banner, "Linux version 6.1.…".
    pub(crate) fn version(&self) -> Option<(u32, u32)> {
        let bytes = self.bytes();
        let mut banners = memchr_all(bytes, BANNER);
        banners.find_map(|at| release_in_banner(&bytes[at..]))
    }
}

/// The symbols of an ELF file as `nm` lists them, in the order of the symbol table; none of a file that
/// is stripped or no ELF file.
///
/// # Errors
/// [`Error::Elf`]
pub(crate) fn elf_symbols(bytes: &[u8]) -> Result<Vec<MappedSymbol<'_>>, Error> {
    match class(bytes) {
        Some(WordSize::Four) => symbols::<elf::FileHeader32<Endianness>>(bytes),
        Some(WordSize::Eight) => symbols::<elf::FileHeader64<Endianness>>(bytes),
        None => Ok(Vec::new()),
    }
}

/// Offsets of `pattern` in `bytes`.
fn memchr_all<'b>(bytes: &'b [u8], pattern: &'b [u8]) -> impl Iterator<Item = usize> + 'b {
    let windows = bytes.windows(pattern.len()).enumerate();
    windows
        .filter(move |(_, window)| *window == pattern)
        .map(|(at, _)| at)
}

/// The class of an ELF file; `None` for anything else.
fn class(bytes: &[u8]) -> Option<WordSize> {
    if !bytes.starts_with(&elf::ELFMAG) {
        return None;
    }
    match bytes.get(4).map(|&class| elf::FileClass(class)) {
        Some(elf::ELFCLASS32) => Some(WordSize::Four),
        Some(elf::ELFCLASS64) => Some(WordSize::Eight),
        _ => None,
    }
}

fn find(bytes: &[u8]) -> Result<Image, Error> {
    match class(bytes) {
        Some(WordSize::Four) => find_in_elf::<elf::FileHeader32<Endianness>>(bytes, WordSize::Four),
        Some(WordSize::Eight) => {
            find_in_elf::<elf::FileHeader64<Endianness>>(bytes, WordSize::Eight)
        }
        None => Ok(Image::find(bytes, None, None, |offset| offset as u64)?),
    }
}

/// A segment: address, offset in the file, bytes in the file.
type Segment = (u64, u64, u64);

fn find_in_elf<Elf: FileHeader<Endian = Endianness>>(
    bytes: &[u8],
    word: WordSize,
) -> Result<Image, Error> {
    let header = Elf::parse(bytes)?;
    let endianness = header.endian()?;
    let endian = match endianness {
        Endianness::Little => Endian::Little,
        Endianness::Big => Endian::Big,
    };
    let headers = header.program_headers(endianness, bytes)?;
    let segments: Vec<Segment> = headers
        .iter()
        .filter(|segment| segment.p_type(endianness) == elf::PT_LOAD)
        .map(|segment| {
            let address: u64 = segment.p_vaddr(endianness).into();
            let offset: u64 = segment.p_offset(endianness).into();
            (address, offset, segment.p_filesz(endianness).into())
        })
        .collect();
    let address = |offset: usize| {
        let offset = offset as u64;
        let mut at = segments
            .iter()
            .filter(|&&(_, start, size)| offset.wrapping_sub(start) < size);
        at.next().map_or(offset, |&(address, start, _)| {
            address.wrapping_add(offset - start)
        })
    };
    let known = symbols::<Elf>(bytes)?;
    let offset = |name: &str| {
        let symbol = known.iter().find(|symbol| symbol.name == name.as_bytes())?;
        let mut at = segments
            .iter()
            .filter(|&&(address, _, size)| symbol.address.wrapping_sub(address) < size);
        at.next()
            .and_then(|&(address, start, _)| usize::try_from(symbol.address - address + start).ok())
    };
    match Image::from_symbols(bytes, word, endian, offset, address) {
        Ok(image) => Ok(image),
        Err(_) => Ok(Image::find(bytes, Some(word), Some(endian), address)?),
    }
}

fn symbols<Elf: FileHeader<Endian = Endianness>>(
    bytes: &[u8],
) -> Result<Vec<MappedSymbol<'_>>, Error> {
    let header = Elf::parse(bytes)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, bytes)?;
    let table = sections.symbols(endian, bytes, elf::SHT_SYMTAB)?;
    let mut symbols = Vec::with_capacity(table.len());
    for (index, symbol) in table.enumerate() {
        if matches!(symbol.st_type(), elf::STT_SECTION | elf::STT_FILE) {
            continue;
        }
        let name = symbol.name(endian, table.strings())?;
        if name.is_empty() {
            continue;
        }
        let place = match symbol.st_shndx(endian) {
            elf::SHN_UNDEF => SymbolPlace::Undefined,
            elf::SHN_COMMON => SymbolPlace::Common,
            elf::SHN_ABS => SymbolPlace::Absolute,
            _ => match table.symbol_section(endian, symbol, index)? {
                Some(section) => {
                    let section = sections.section(section)?;
                    let flags = section.sh_flags(endian);
                    let has = |flag: elf::SectionFlags| flags.0 & flag.0 != 0;
                    let class = SectionClass {
                        name: sections.section_name(endian, section)?,
                        code: has(elf::SHF_EXECINSTR),
                        writable: has(elf::SHF_WRITE),
                        allocated: has(elf::SHF_ALLOC),
                        no_bits: section.sh_type(endian) == elf::SHT_NOBITS,
                    };
                    SymbolPlace::Section(class.letter())
                }
                None => SymbolPlace::Absolute,
            },
        };
        let class = SymbolClass {
            place,
            weak: symbol.st_bind() == elf::STB_WEAK,
            local: symbol.st_bind() == elf::STB_LOCAL,
            unique: symbol.st_bind() == elf::STB_GNU_UNIQUE,
            object: symbol.st_type() == elf::STT_OBJECT,
            indirect_function: symbol.st_type() == elf::STT_GNU_IFUNC,
        };
        symbols.push(MappedSymbol {
            kind: letter(&class),
            name,
            address: symbol.st_value(endian).into(),
        });
    }
    Ok(symbols)
}
