//! One neutral view of an ELF file, whatever its class and byte order.
//!
//! The comparison wants to ask "what does this relocation refer to?" without
//! caring whether the file is 32-bit big-endian with RELA or 64-bit
//! little-endian with REL, so everything is widened to 64 bits here, once.
//! Only what is needed to *read* a file is validated; whether it is well formed
//! beyond that is [`super::check`]'s question.

use std::collections::HashMap;
use std::sync::OnceLock;

use object::read::elf::{FileHeader, ProgramHeader, Rel, Rela, SectionHeader, Sym};
use object::{Endian, elf};

/// An index into a file's section header table; 0 is the null section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SectionId(pub(crate) u32);

/// An index into a file's symbol table; 0 is the null symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SymbolId(pub(crate) u32);

impl SectionId {
    fn slot(self) -> usize {
        self.0 as usize
    }
}

impl SymbolId {
    fn slot(self) -> usize {
        self.0 as usize
    }
}

/// Why a file cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The bytes do not begin with an ELF header of a known class.
    #[error("not an ELF file: {0}")]
    NotElf(object::Error),
    /// A table that everything else depends on is not readable.
    #[error("cannot read {what}: {error}")]
    Table {
        /// Which table, with its section's index where it has one.
        what: String,
        /// What the reader says.
        error: object::Error,
    },
}

/// What the ELF header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) is_64: bool,
    pub(crate) big_endian: bool,
    pub(crate) os_abi: u8,
    pub(crate) abi_version: u8,
    pub(crate) file_type: u16,
    pub(crate) machine: u16,
    pub(crate) flags: u32,
    pub(crate) entry: u64,
}

/// One section header, its name and its bytes.
#[derive(Debug, Clone)]
pub(crate) struct Section<'a> {
    pub(crate) id: SectionId,
    pub(crate) name: String,
    pub(crate) sh_type: u32,
    pub(crate) flags: u64,
    pub(crate) addr: u64,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
    pub(crate) info: u32,
    pub(crate) align: u64,
    pub(crate) entsize: u64,
    /// The bytes in the file; empty for `SHT_NOBITS`.
    pub(crate) data: &'a [u8],
}

impl Section<'_> {
    /// Whether this is `SHT_REL` or `SHT_RELA`.
    pub(crate) fn is_relocations(&self) -> bool {
        matches!(self.sh_type, SHT_REL | SHT_RELA)
    }

    /// Whether this is a relocation table that the program's loader reads, and
    /// whose symbols are those of `.dynsym`.
    pub(crate) fn is_dynamic_relocations(&self) -> bool {
        self.is_relocations() && self.has(SHF_ALLOC)
    }

    /// Whether the section has all of these `SHF_*` bits.
    pub(crate) fn has(&self, flag: u64) -> bool {
        self.flags & flag == flag
    }
}

/// Where a symbol is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Home {
    Undefined,
    Absolute,
    Common,
    /// `value` is an offset in this section (an address in an image).
    Section(SectionId),
    /// Another number of the reserved range, as it stands in `st_shndx`.
    Reserved(u16),
}

/// One symbol table entry.
#[derive(Debug, Clone)]
pub(crate) struct Symbol {
    pub(crate) name: String,
    pub(crate) value: u64,
    pub(crate) size: u64,
    /// `STB_*`
    pub(crate) bind: u8,
    /// `STT_*`
    pub(crate) kind: u8,
    /// All of `st_other`: visibility and the processor's bits.
    pub(crate) other: u8,
    pub(crate) home: Home,
}

impl Symbol {
    /// Whether this stands for a section (`STT_SECTION`).
    pub(crate) fn is_section(&self) -> bool {
        self.kind == STT_SECTION
    }

    /// Whether no other file can see it.
    pub(crate) fn is_local(&self) -> bool {
        self.bind == STB_LOCAL
    }
}

/// One relocation; `addend` is `None` in a `SHT_REL` section, where it lies in
/// the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Relocation {
    pub(crate) offset: u64,
    pub(crate) symbol: SymbolId,
    pub(crate) r_type: u32,
    pub(crate) addend: Option<i64>,
}

/// A `SHT_REL` or `SHT_RELA` section, decoded.
#[derive(Debug, Clone)]
pub(crate) struct RelocationTable {
    /// The relocation section itself.
    pub(crate) section: SectionId,
    /// The section whose bytes are relocated (`sh_info`); mostly 0 in dynamic tables.
    pub(crate) target: SectionId,
    /// Whether the symbols are those of `.dynsym`, and not of `.symtab`.
    pub(crate) is_dynamic: bool,
    pub(crate) entries: Vec<Relocation>,
}

/// A `SHT_GROUP` section, decoded.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) section: SectionId,
    pub(crate) flags: u32,
    pub(crate) signature: SymbolId,
    pub(crate) members: Vec<SectionId>,
}

/// One program header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) p_type: u32,
    pub(crate) flags: u32,
    pub(crate) vaddr: u64,
    pub(crate) paddr: u64,
    pub(crate) offset: u64,
    pub(crate) filesz: u64,
    pub(crate) memsz: u64,
    pub(crate) align: u64,
}

/// Value, size and index of each section's named symbols, sorted.
type Named = HashMap<SectionId, Vec<(u64, u64, SymbolId)>>;

/// A whole file.
#[derive(Debug)]
pub(crate) struct Elf<'a> {
    pub(crate) header: Header,
    /// All section headers, the null one first.
    pub(crate) sections: Vec<Section<'a>>,
    /// All symbols of `.symtab`, the null one first; empty without one.
    pub(crate) symbols: Vec<Symbol>,
    /// The section that is `.symtab`.
    pub(crate) symtab: Option<SectionId>,
    /// All symbols of `.dynsym`, the null one first; empty without one.
    pub(crate) dynamic_symbols: Vec<Symbol>,
    /// The section that is `.dynsym`.
    pub(crate) dynsym: Option<SectionId>,
    /// The section that names sections (`e_shstrndx`).
    pub(crate) section_names: SectionId,
    pub(crate) relocations: Vec<RelocationTable>,
    pub(crate) groups: Vec<Group>,
    pub(crate) segments: Vec<Segment>,
    /// The file itself.
    pub(crate) bytes: &'a [u8],
    /// Each section's named symbols by value, made when first asked for.
    named: OnceLock<Named>,
}

#[cfg(test)]
pub(crate) const SHT_PROGBITS: u32 = elf::SHT_PROGBITS.0;
pub(crate) const SHT_SYMTAB: u32 = elf::SHT_SYMTAB.0;
pub(crate) const SHT_STRTAB: u32 = elf::SHT_STRTAB.0;
pub(crate) const SHT_RELA: u32 = elf::SHT_RELA.0;
pub(crate) const SHT_HASH: u32 = elf::SHT_HASH.0;
pub(crate) const SHT_DYNAMIC: u32 = elf::SHT_DYNAMIC.0;
pub(crate) const SHT_NOTE: u32 = elf::SHT_NOTE.0;
pub(crate) const SHT_NOBITS: u32 = elf::SHT_NOBITS.0;
pub(crate) const SHT_REL: u32 = elf::SHT_REL.0;
pub(crate) const SHT_DYNSYM: u32 = elf::SHT_DYNSYM.0;
pub(crate) const SHT_GROUP: u32 = elf::SHT_GROUP.0;
pub(crate) const SHT_SYMTAB_SHNDX: u32 = elf::SHT_SYMTAB_SHNDX.0;
pub(crate) const SHT_GNU_HASH: u32 = elf::SHT_GNU_HASH.0;
pub(crate) const SHT_GNU_VERDEF: u32 = elf::SHT_GNU_VERDEF.0;
pub(crate) const SHT_GNU_VERNEED: u32 = elf::SHT_GNU_VERNEED.0;
pub(crate) const SHT_GNU_VERSYM: u32 = elf::SHT_GNU_VERSYM.0;
pub(crate) const SHF_WRITE: u64 = 1;
pub(crate) const SHF_ALLOC: u64 = 2;
pub(crate) const SHF_EXECINSTR: u64 = 4;
pub(crate) const SHF_MERGE: u64 = 0x10;
pub(crate) const SHF_STRINGS: u64 = 0x20;
pub(crate) const SHF_INFO_LINK: u64 = 0x40;
pub(crate) const SHF_LINK_ORDER: u64 = 0x80;
pub(crate) const SHF_GROUP: u64 = 0x200;
pub(crate) const STB_LOCAL: u8 = elf::STB_LOCAL.0;
pub(crate) const STT_SECTION: u8 = elf::STT_SECTION.0;
pub(crate) const STT_FILE: u8 = elf::STT_FILE.0;
pub(crate) const ET_REL: u16 = elf::ET_REL.0;

impl<'a> Elf<'a> {
    /// Reads a file of either class and byte order.
    ///
    /// # Errors
    /// When the header, the section headers, a name, a symbol table, a
    /// relocation table or a group cannot be read.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ReadError> {
        match bytes.get(4) {
            Some(1) => read::<elf::FileHeader32<object::Endianness>>(bytes),
            _ => read::<elf::FileHeader64<object::Endianness>>(bytes),
        }
    }

    /// The section of this index, if the file has one.
    pub(crate) fn section(&self, id: SectionId) -> Option<&Section<'a>> {
        self.sections.get(id.slot())
    }

    /// The symbol of this index, if the file has one.
    pub(crate) fn symbol(&self, id: SymbolId) -> Option<&Symbol> {
        self.symbols.get(id.slot())
    }

    /// A section's name for messages; never fails.
    pub(crate) fn section_name(&self, id: SectionId) -> &str {
        self.section(id).map_or("<no such section>", |s| &s.name)
    }

    /// Whether this is an object (`ET_REL`): values and offsets count from sections'
    /// starts, and a `SHT_REL` relocation's addend is in its field.
    pub(crate) fn is_object(&self) -> bool {
        self.header.file_type == ET_REL
    }

    /// What symbols' values and relocations' offsets in a section count from: nothing in
    /// an object, the section's address in a linked file.
    pub(crate) fn base(&self, id: SectionId) -> u64 {
        match self.is_object() {
            true => 0,
            false => self.section(id).map_or(0, |section| section.addr),
        }
    }

    /// The relocations of one section, from all tables that name it, in order.
    pub(crate) fn relocations_of(&self, id: SectionId) -> Vec<Relocation> {
        let of_section = |table: &&RelocationTable| table.target == id && !table.is_dynamic;
        let tables = self.relocations.iter().filter(of_section);
        tables
            .flat_map(|table| table.entries.iter().copied())
            .collect()
    }

    /// `NAME+0x12` for the nearest named symbol at or before `offset`, to tell a
    /// person where in a section something is.
    pub(crate) fn place(&self, section: SectionId, offset: u64) -> Option<String> {
        let value = self.base(section).checked_add(offset)?;
        let named = self.named.get_or_init(|| self.named_symbols());
        let named = named.get(&section)?;
        let before = named.partition_point(|&(start, ..)| start <= value);
        let &(start, _, id) = named.get(before.checked_sub(1)?)?;
        let name = &self.symbol(id)?.name;
        Some(match value - start {
            0 => name.clone(),
            distance => format!("{name}+{distance:#x}"),
        })
    }

    /// Value, size and index of each section's named symbols, sorted.
    fn named_symbols(&self) -> Named {
        let mut named = Named::new();
        for (index, symbol) in (0..).zip(&self.symbols) {
            if let Home::Section(id) = symbol.home
                && !symbol.is_section()
                && !symbol.name.is_empty()
            {
                let key = (symbol.value, symbol.size, SymbolId(index));
                named.entry(id).or_default().push(key);
            }
        }
        for list in named.values_mut() {
            list.sort_unstable();
        }
        named
    }

    /// The string at this offset of a string table.
    pub(crate) fn string(&self, table: SectionId, offset: u64) -> Option<String> {
        let data = self.section(table)?.data;
        let rest = data.get(usize::try_from(offset).ok()?..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        Some(String::from_utf8_lossy(rest.get(..end)?).into_owned())
    }

    /// Reads 16 bits in the file's byte order.
    pub(crate) fn read_u16(&self, data: &[u8], offset: u64) -> Option<u16> {
        let start = usize::try_from(offset).ok()?;
        let bytes = data.get(start..start.checked_add(2)?)?.try_into().ok()?;
        Some(match self.header.big_endian {
            true => u16::from_be_bytes(bytes),
            false => u16::from_le_bytes(bytes),
        })
    }

    /// Reads an address-sized number in the file's byte order.
    pub(crate) fn read_word(&self, data: &[u8], offset: u64) -> Option<u64> {
        if !self.header.is_64 {
            return self.read_u32(data, offset).map(u64::from);
        }
        let start = usize::try_from(offset).ok()?;
        let bytes = data.get(start..start.checked_add(8)?)?.try_into().ok()?;
        Some(match self.header.big_endian {
            true => u64::from_be_bytes(bytes),
            false => u64::from_le_bytes(bytes),
        })
    }

    /// Reads 32 bits in the file's byte order.
    pub(crate) fn read_u32(&self, data: &[u8], offset: u64) -> Option<u32> {
        let start = usize::try_from(offset).ok()?;
        let bytes = data.get(start..start.checked_add(4)?)?.try_into().ok()?;
        Some(match self.header.big_endian {
            true => u32::from_be_bytes(bytes),
            false => u32::from_le_bytes(bytes),
        })
    }
}

fn table(what: impl Into<String>) -> impl FnOnce(object::Error) -> ReadError {
    let what = what.into();
    move |error| ReadError::Table { what, error }
}

fn read<H: FileHeader<Endian = object::Endianness>>(bytes: &[u8]) -> Result<Elf<'_>, ReadError> {
    let header = H::parse(bytes).map_err(ReadError::NotElf)?;
    let endian = header.endian().map_err(ReadError::NotElf)?;
    let sections = read_sections(header, endian, bytes)?;
    let (symtab, symbols) = read_symbols(header, endian, bytes, elf::SHT_SYMTAB)?;
    let (dynsym, dynamic_symbols) = read_symbols(header, endian, bytes, elf::SHT_DYNSYM)?;
    let relocations = read_relocations(header, endian, bytes, &sections)?;
    let groups = read_groups::<H>(endian, &sections)?;
    let section_names = header
        .shstrndx(endian, bytes)
        .map_err(table("e_shstrndx"))?;
    Ok(Elf {
        header: Header {
            is_64: header.is_type_64(),
            big_endian: endian.is_big_endian(),
            os_abi: header.e_ident().os_abi.0,
            abi_version: header.e_ident().abi_version,
            file_type: header.e_type(endian).0,
            machine: header.e_machine(endian).0,
            flags: header.e_flags(endian).0,
            entry: header.e_entry(endian).into(),
        },
        sections,
        symbols,
        symtab,
        dynamic_symbols,
        dynsym,
        section_names: SectionId(section_names),
        relocations,
        groups,
        segments: read_segments(header, endian, bytes)?,
        bytes,
        named: OnceLock::new(),
    })
}

fn read_sections<'a, H: FileHeader<Endian = object::Endianness>>(
    header: &H,
    endian: H::Endian,
    bytes: &'a [u8],
) -> Result<Vec<Section<'a>>, ReadError> {
    let headers = header
        .section_headers(endian, bytes)
        .map_err(table("the section headers"))?;
    let names = header
        .section_strings(endian, bytes, headers)
        .map_err(table("the section names"))?;
    let mut sections = Vec::with_capacity(headers.len());
    for (index, shdr) in (0..).zip(headers) {
        let what = format!("section {index}");
        let name = match index {
            0 => &[][..],
            _ => shdr.name(endian, names).map_err(table(what.clone()))?,
        };
        let data = match index {
            0 => &[][..],
            _ => shdr.data(endian, bytes).map_err(table(what))?,
        };
        sections.push(Section {
            id: SectionId(index),
            name: String::from_utf8_lossy(name).into_owned(),
            sh_type: shdr.sh_type(endian).0,
            flags: shdr.sh_flags(endian).0,
            addr: shdr.sh_addr(endian).into(),
            offset: shdr.sh_offset(endian).into(),
            size: shdr.sh_size(endian).into(),
            link: shdr.sh_link(endian),
            info: shdr.sh_info(endian),
            align: shdr.sh_addralign(endian).into(),
            entsize: shdr.sh_entsize(endian).into(),
            data,
        });
    }
    Ok(sections)
}

fn read_symbols<H: FileHeader<Endian = object::Endianness>>(
    header: &H,
    endian: H::Endian,
    bytes: &[u8],
    which: elf::SectionType,
) -> Result<(Option<SectionId>, Vec<Symbol>), ReadError> {
    let sections = header
        .sections(endian, bytes)
        .map_err(table("the section headers"))?;
    let symbols = sections
        .symbols(endian, bytes, which)
        .map_err(table("a symbol table"))?;
    let symtab = symbols.section();
    if symtab.0 == 0 {
        return Ok((None, Vec::new()));
    }
    let mut read = Vec::with_capacity(symbols.len());
    for (index, symbol) in symbols.enumerate() {
        let name = symbol
            .name(endian, symbols.strings())
            .map_err(table(format!("the name of symbol {}", index.0)))?;
        let home = match symbol.st_shndx(endian) {
            elf::SHN_UNDEF => Home::Undefined,
            elf::SHN_ABS => Home::Absolute,
            elf::SHN_COMMON => Home::Common,
            elf::SHN_XINDEX => match symbols.shndx(endian, index) {
                Some(section) => Home::Section(SectionId(section)),
                None => Home::Reserved(elf::SHN_XINDEX.0),
            },
            other if other.is_reserved() => Home::Reserved(other.0),
            other => Home::Section(SectionId(other.0.into())),
        };
        read.push(Symbol {
            name: String::from_utf8_lossy(name).into_owned(),
            value: symbol.st_value(endian).into(),
            size: symbol.st_size(endian).into(),
            bind: symbol.st_bind().0,
            kind: symbol.st_type().0,
            other: symbol.st_other().0,
            home,
        });
    }
    let symtab = u32::try_from(symtab.0).unwrap_or(u32::MAX);
    Ok((Some(SectionId(symtab)), read))
}

fn read_relocations<H: FileHeader<Endian = object::Endianness>>(
    header: &H,
    endian: H::Endian,
    bytes: &[u8],
    sections: &[Section<'_>],
) -> Result<Vec<RelocationTable>, ReadError> {
    let headers = header
        .section_headers(endian, bytes)
        .map_err(table("the section headers"))?;
    let mips64el = header.is_mips64el(endian);
    let mut tables = Vec::new();
    for (section, shdr) in sections.iter().zip(headers) {
        if !section.is_relocations() {
            continue;
        }
        let what = || {
            table(format!(
                "relocation section {} {}",
                section.id.0, section.name
            ))
        };
        let mut entries = Vec::new();
        if let Some((rels, _)) = shdr.rel(endian, bytes).map_err(what())? {
            entries.extend(rels.iter().map(|rel| Relocation {
                offset: rel.r_offset(endian).into(),
                symbol: SymbolId(rel.r_sym(endian)),
                r_type: rel.r_type(endian).0,
                addend: None,
            }));
        }
        if let Some((relas, _)) = shdr.rela(endian, bytes).map_err(what())? {
            entries.extend(relas.iter().map(|rela| Relocation {
                offset: rela.r_offset(endian).into(),
                symbol: SymbolId(rela.r_sym(endian, mips64el)),
                r_type: rela.r_type(endian, mips64el).0,
                addend: Some(rela.r_addend(endian).into()),
            }));
        }
        tables.push(RelocationTable {
            section: section.id,
            target: SectionId(section.info),
            is_dynamic: section.is_dynamic_relocations(),
            entries,
        });
    }
    Ok(tables)
}

fn read_groups<H: FileHeader<Endian = object::Endianness>>(
    endian: H::Endian,
    sections: &[Section<'_>],
) -> Result<Vec<Group>, ReadError> {
    let mut groups = Vec::new();
    for section in sections.iter().filter(|s| s.sh_type == SHT_GROUP) {
        let mut words = section.data.chunks_exact(4).map(|word| {
            let bytes = [word[0], word[1], word[2], word[3]];
            endian.read_u32(bytes)
        });
        groups.push(Group {
            section: section.id,
            flags: words.next().unwrap_or(0),
            signature: SymbolId(section.info),
            members: words.map(SectionId).collect(),
        });
    }
    Ok(groups)
}

fn read_segments<H: FileHeader<Endian = object::Endianness>>(
    header: &H,
    endian: H::Endian,
    bytes: &[u8],
) -> Result<Vec<Segment>, ReadError> {
    let headers = header
        .program_headers(endian, bytes)
        .map_err(table("the program headers"))?;
    let segments = headers.iter().map(|phdr| Segment {
        p_type: phdr.p_type(endian).0,
        flags: phdr.p_flags(endian).0,
        vaddr: phdr.p_vaddr(endian).into(),
        paddr: phdr.p_paddr(endian).into(),
        offset: phdr.p_offset(endian).into(),
        filesz: phdr.p_filesz(endian).into(),
        memsz: phdr.p_memsz(endian).into(),
        align: phdr.p_align(endian).into(),
    });
    Ok(segments.collect())
}
