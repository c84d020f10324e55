//! An object's ELF structures, checked and borrowed.

use object::elf::{self, FileHeader32, FileHeader64, SectionFlags, SectionType};
use object::read::elf::{FileHeader, Rel, Rela, SectionHeader, Sym, SymbolTable};
use object::{Endianness, Pod, SectionIndex, SymbolIndex};

use super::error::Error;

/// A section, with its header in plain numbers.
pub(crate) struct Section<'data> {
    /// Its name.
    pub(crate) name: &'data [u8],
    /// `sh_type`.
    pub(crate) kind: SectionType,
    /// `sh_flags`.
    pub(crate) flags: SectionFlags,
    /// `sh_size`: bytes in memory.
    pub(crate) size: u64,
    /// `sh_addralign`; a power of two.
    pub(crate) align: u64,
    /// `sh_info`: what relocations are for.
    pub(crate) info: u32,
    /// Its bytes in the file.
    pub(crate) data: &'data [u8],
}

impl Section<'_> {
    /// Whether the psABI asks for it in memory (`SHF_ALLOC`).
    pub(crate) fn is_allocated(&self) -> bool {
        self.flags.contains(elf::SHF_ALLOC)
    }

    /// Whether it is `SHT_REL` or `SHT_RELA`.
    pub(crate) fn is_relocations(&self) -> bool {
        self.kind == elf::SHT_REL || self.kind == elf::SHT_RELA
    }

    /// Its name, for people.
    pub(crate) fn shown_name(&self) -> String {
        String::from_utf8_lossy(self.name).into_owned()
    }
}

/// A relocation in plain numbers.
#[derive(Clone, Copy)]
pub(crate) struct Relocation {
    /// Bytes from the start of the relocated section.
    pub(crate) offset: u64,
    /// Type.
    pub(crate) number: u32,
    /// Index of the symbol; 0: none.
    pub(crate) symbol: u32,
    /// The addend; `None`: it is in the relocated field.
    pub(crate) addend: Option<i64>,
}

/// Where a symbol is defined.
pub(crate) enum Definition {
    /// Elsewhere: in the kernel, in another module, or at an absolute address.
    Elsewhere,
    /// So many bytes into the section of this index.
    Section(usize, u64),
}

/// An object, its sections checked to lie inside the file.
pub(crate) struct Object<'data, Elf: FileHeader> {
    header: &'data Elf,
    endian: Elf::Endian,
    /// By index, the null section first.
    pub(crate) sections: Vec<Section<'data>>,
    symbols: SymbolTable<'data, Elf, &'data [u8]>,
}

/// An object of either class.
pub(crate) enum AnyObject<'data> {
    /// `ELFCLASS32`
    Elf32(Object<'data, FileHeader32<Endianness>>),
    /// `ELFCLASS64`
    Elf64(Object<'data, FileHeader64<Endianness>>),
}

impl<'data> AnyObject<'data> {
    /// Reads and checks the headers of an object file.
    ///
    /// # Errors
    /// [`Error::NotElf`], [`Error::NotRelocatable`], [`Error::Malformed`].
    pub(crate) fn parse(data: &'data [u8]) -> Result<Self, Error> {
        if !data.starts_with(&elf::ELFMAG) {
            return Err(Error::NotElf {
                found: what_it_is(data),
            });
        }
        match data.get(4).map(|&class| elf::FileClass(class)) {
            Some(elf::ELFCLASS32) => Ok(Self::Elf32(Object::parse(data)?)),
            Some(elf::ELFCLASS64) => Ok(Self::Elf64(Object::parse(data)?)),
            _ => Err(Error::malformed(
                "ELF header",
                "its class is neither 32 nor 64 bits",
            )),
        }
    }
}

/// What people hand over instead of an object.
fn what_it_is(data: &[u8]) -> &'static str {
    const KNOWN: [(&[u8], &str); 5] = [
        (
            b"!<arch>\n",
            "it is an archive; unpack it with `ar x` and inspect the members",
        ),
        (
            b"!<thin>\n",
            "it is a thin archive; `ar t` lists the objects to inspect",
        ),
        (b"BZh", "it is compressed with bzip2; unpack it first"),
        (
            b"\x02\x21\x4c\x18",
            "it is compressed with lz4; unpack it first",
        ),
        (
            b"\x04\x22\x4d\x18",
            "it is compressed with lz4; unpack it first",
        ),
    ];
    if data.is_empty() {
        return "it is empty";
    }
    KNOWN
        .iter()
        .find(|(magic, _)| data.starts_with(magic))
        .map_or("its first bytes are of no kind that klink knows", |known| {
            known.1
        })
}

impl<'data, Elf: FileHeader<Endian = Endianness>> Object<'data, Elf> {
    fn parse(data: &'data [u8]) -> Result<Self, Error> {
        let in_header = |error: object::read::Error| Error::malformed("ELF header", error);
        let header = Elf::parse(data).map_err(in_header)?;
        let endian = header.endian().map_err(in_header)?;
        check_kind(header.e_type(endian))?;
        let table = header
            .sections(endian, data)
            .map_err(|error| Error::malformed("section headers", error))?;
        if table.is_empty() {
            return Err(Error::malformed("section headers", "there are none"));
        }
        let mut sections = Vec::with_capacity(table.len());
        for (index, section) in table.enumerate() {
            let name = table
                .section_name(endian, section)
                .map_err(|error| Error::section(index.0, b"?", error))?;
            sections.push(read_section::<Elf>(endian, data, index.0, name, section)?);
        }
        let symbols = table
            .symbols(endian, data, elf::SHT_SYMTAB)
            .map_err(|error| Error::malformed("symbol table", error))?;
        Ok(Self {
            header,
            endian,
            sections,
            symbols,
        })
    }

    /// `e_machine`.
    pub(crate) fn machine(&self) -> elf::Machine {
        self.header.e_machine(self.endian)
    }

    /// `EI_CLASS`.
    pub(crate) fn class(&self) -> klink_arch::Class {
        if self.header.is_class_64() {
            klink_arch::Class::Elf64
        } else {
            klink_arch::Class::Elf32
        }
    }

    /// `EI_DATA`.
    pub(crate) fn endian(&self) -> klink_arch::Endian {
        if self.header.is_big_endian() {
            klink_arch::Endian::Big
        } else {
            klink_arch::Endian::Little
        }
    }

    /// Entries of the symbol table, the null one included.
    pub(crate) fn symbol_count(&self) -> usize {
        self.symbols.len()
    }

    /// How many symbols others must define.
    pub(crate) fn undefined_count(&self) -> u64 {
        let others = self.symbols.iter().skip(1);
        others
            .filter(|symbol| symbol.is_undefined(self.endian))
            .count() as u64
    }

    /// Whether each of `names` is a global symbol that this object defines.
    pub(crate) fn defines<const N: usize>(&self, names: [&[u8]; N]) -> [bool; N] {
        let mut found = [false; N];
        for symbol in self.symbols.iter() {
            if symbol.is_local() || symbol.is_undefined(self.endian) {
                continue;
            }
            if let Ok(name) = self.symbols.symbol_name(self.endian, symbol)
                && let Some(position) = names.iter().position(|wanted| *wanted == name)
            {
                found[position] = true;
            }
        }
        found
    }

    /// Where the symbol of this index is defined.
    ///
    /// # Errors
    /// [`Error::Malformed`] if there is no such symbol, or it names a section that is not there.
    pub(crate) fn definition(&self, index: u32) -> Result<Definition, Error> {
        if index == 0 {
            return Ok(Definition::Elsewhere);
        }
        let malformed = |what: String| Error::malformed(format!("symbol {index}"), what);
        let position = SymbolIndex(index as usize);
        let symbol = self
            .symbols
            .symbol(position)
            .map_err(|error| malformed(error.to_string()))?;
        let section = self
            .symbols
            .symbol_section(self.endian, symbol, position)
            .map_err(|error| malformed(error.to_string()))?;
        match section {
            None => Ok(Definition::Elsewhere),
            Some(SectionIndex(section)) if section < self.sections.len() => Ok(
                Definition::Section(section, symbol.st_value(self.endian).into()),
            ),
            Some(SectionIndex(section)) => Err(malformed(format!(
                "is in section {section}, and there are {}",
                self.sections.len()
            ))),
        }
    }

    /// `st_other` of the symbol of this index; 0 if there is none.
    pub(crate) fn symbol_other(&self, index: u32) -> u8 {
        let symbol = self.symbols.symbol(SymbolIndex(index as usize));
        symbol.map_or(0, |symbol| symbol.st_other().0)
    }

    /// What to call the target of a relocation: the symbol, or the section that it stands for.
    pub(crate) fn target_name(&self, relocation: &Relocation) -> String {
        let addend = relocation.addend.unwrap_or(0);
        let symbol = self.symbols.symbol(SymbolIndex(relocation.symbol as usize));
        let name = symbol.and_then(|symbol| self.symbols.symbol_name(self.endian, symbol));
        match (name, self.definition(relocation.symbol)) {
            (Ok(name), _) if !name.is_empty() => String::from_utf8_lossy(name).into_owned(),
            (_, Ok(Definition::Section(section, value))) => format!(
                "{}+{:#x}",
                self.sections[section].shown_name(),
                value.wrapping_add_signed(addend)
            ),
            _ => format!("address {addend:#x}"),
        }
    }

    /// Calls `visit` with every relocation of the section of this index, which is `SHT_REL` or
    /// `SHT_RELA`; of any other section with none.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the section does not hold whole relocations, and those of `visit`.
    pub(crate) fn each_relocation(
        &self,
        index: usize,
        mut visit: impl FnMut(Relocation) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let endian = self.endian;
        let section = &self.sections[index];
        if section.kind == elf::SHT_RELA {
            let mips64el = self.header.is_mips64el(endian);
            for entry in entries::<Elf::Rela>(index, section)? {
                visit(Relocation {
                    offset: entry.r_offset(endian).into(),
                    number: entry.r_type(endian, mips64el).0,
                    symbol: entry.r_sym(endian, mips64el),
                    addend: Some(entry.r_addend(endian).into()),
                })?;
            }
        } else if section.kind == elf::SHT_REL {
            for entry in entries::<Elf::Rel>(index, section)? {
                visit(Relocation {
                    offset: entry.r_offset(endian).into(),
                    number: entry.r_type(endian).0,
                    symbol: entry.r_sym(endian),
                    addend: None,
                })?;
            }
        }
        Ok(())
    }
}

/// The bytes of a section as a table of `T`.
fn entries<'data, T: Pod>(index: usize, section: &Section<'data>) -> Result<&'data [T], Error> {
    let whole = section.data.len().is_multiple_of(size_of::<T>());
    let entries = object::pod::slice_from_all_bytes(section.data);
    entries.ok().filter(|_| whole).ok_or_else(|| {
        let what = format!(
            "its {:#x} bytes are not a whole number of entries of {}",
            section.data.len(),
            size_of::<T>()
        );
        Error::section(index, section.name, what)
    })
}

fn check_kind(kind: elf::FileType) -> Result<(), Error> {
    let kind = match kind {
        elf::ET_REL => return Ok(()),
        elf::ET_EXEC => "an executable (ET_EXEC)".to_owned(),
        elf::ET_DYN => "a shared object or position-independent executable (ET_DYN)".to_owned(),
        elf::ET_CORE => "a core dump (ET_CORE)".to_owned(),
        other => format!("of type {other}"),
    };
    Err(Error::NotRelocatable { kind })
}

fn read_section<'data, Elf: FileHeader<Endian = Endianness>>(
    endian: Endianness,
    data: &'data [u8],
    index: usize,
    name: &'data [u8],
    header: &Elf::SectionHeader,
) -> Result<Section<'data>, Error> {
    let kind = header.sh_type(endian);
    let size: u64 = header.sh_size(endian).into();
    let align: u64 = header.sh_addralign(endian).into();
    let align = align.max(1);
    if !align.is_power_of_two() {
        let what = format!("its alignment {align} is not a power of two");
        return Err(Error::section(index, name, what));
    }
    // section 0 holds counts too large for the ELF header, and no bytes
    let contents = if kind == elf::SHT_NULL {
        &[]
    } else {
        header.data(endian, data).map_err(|_| {
            let what = format!(
                "its {size:#x} bytes at {:#x} are not inside the file's {:#x}",
                header.sh_offset(endian).into(),
                data.len()
            );
            Error::section(index, name, what)
        })?
    };
    Ok(Section {
        name,
        kind,
        flags: header.sh_flags(endian),
        size,
        align,
        info: header.sh_info(endian),
        data: contents,
    })
}
