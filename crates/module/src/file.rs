//! A module file: validated headers and borrowed views. Bad input ends here.
//!
//! What is checked is what Linux checks (`kernel/module/main.c`, `elf_validity_check`) and what it
//! trusts: alignments, entry sizes, the links between relocations, symbols and strings, and that
//! the contents of sections do not overlap, so that work in proportion to the sections' sizes is
//! work in proportion to the file's.

use alloc::string::String;
use alloc::vec::Vec;

use klink_arch::{Arch, Class, Endian, by_machine};
use klink_tables::modinfo;

use crate::elf::{
    ET_REL, Format, RawRelocation, RawSymbol, SHF_ALLOC, SHF_EXECINSTR, SHF_WRITE, SHN_UNDEF,
    SHT_NOBITS, SHT_NULL, SHT_REL, SHT_RELA, SHT_SYMTAB, c_string,
};
use crate::error::{Error, SectionName};
use crate::id::{SectionId, SymbolId};
use crate::known::{Known, KnownSections};

/// The header of a section.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Section {
    name: u32,
    /// Bytes of the name, where it is known; else 0.
    name_len: u16,
    /// `sh_type`.
    pub kind: u32,
    /// `sh_flags`.
    pub flags: u64,
    /// Bytes from the start of the file to its contents.
    pub offset: u64,
    /// Bytes of its contents, in memory if it has none in the file.
    pub size: u64,
    /// `sh_link`.
    pub link: u32,
    /// `sh_info`.
    pub info: u32,
    /// What its address must be a multiple of; a power of two, at least 1.
    pub align: u64,
    /// `sh_entsize`.
    pub entry_size: u64,
}

impl Section {
    /// Whether it is in memory at run time.
    #[must_use]
    pub const fn is_allocated(&self) -> bool {
        self.flags & SHF_ALLOC != 0
    }

    /// Whether it holds code.
    #[must_use]
    pub const fn is_code(&self) -> bool {
        self.flags & SHF_EXECINSTR != 0
    }

    /// Whether it may be written.
    #[must_use]
    pub const fn is_writable(&self) -> bool {
        self.flags & SHF_WRITE != 0
    }

    /// Whether it has contents in the file; else it is zero.
    #[must_use]
    pub const fn has_contents(&self) -> bool {
        self.kind != SHT_NOBITS && self.kind != SHT_NULL
    }
}

/// A parsed and validated module. It borrows the bytes of the file and copies only its section
/// headers.
///
/// ```
/// let bytes = b"no module";
/// assert!(klink_module::ModuleFile::parse(bytes).is_err());
/// ```
#[derive(Clone, Debug)]
pub struct ModuleFile<'a> {
    bytes: &'a [u8],
    arch: &'static Arch,
    format: Format,
    sections: Vec<Section>,
    names: &'a [u8],
    symbols: SectionId,
    symbol_bytes: &'a [u8],
    strings: &'a [u8],
    strings_section: SectionId,
    known: KnownSections,
}

impl<'a> ModuleFile<'a> {
    /// Reads and validates the headers of `bytes`.
    ///
    /// # Errors
    /// Whatever makes Linux answer `ENOEXEC`, and what it does not look at (see the module's
    /// documentation). Contents of relocations are checked when they are applied, before anything
    /// of the module is reachable.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let (arch, format) = identify(bytes)?;
        let (sections, names_section) = read_sections(bytes, format)?;
        let names = contents(bytes, &names_section)
            .filter(|names| names.last() == Some(&0))
            .ok_or(Error::Header(
                "the section name table does not end in a zero byte",
            ))?;
        let mut file = Self {
            bytes,
            arch,
            format,
            sections,
            names,
            symbols: SectionId(0),
            symbol_bytes: &[],
            strings: &[],
            strings_section: SectionId(0),
            known: KnownSections::default(),
        };
        file.check_sections()?;
        file.find_symbols()?;
        Ok(file)
    }

    /// The architecture that it was compiled for.
    #[must_use]
    pub const fn arch(&self) -> &'static Arch {
        self.arch
    }

    /// The whole file.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) const fn format(&self) -> Format {
        self.format
    }

    /// All section headers, by [`SectionId::index`]; the first is the null section.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// All sections with their identities.
    pub fn section_ids(&self) -> impl Iterator<Item = (SectionId, &Section)> {
        (0..).map(SectionId).zip(&self.sections)
    }

    /// The header of a section of this file; `None` if it is another file's identity.
    #[must_use]
    pub fn section(&self, id: SectionId) -> Option<&Section> {
        self.sections.get(id.index())
    }

    /// A section's name; empty if it is none that can be read.
    #[must_use]
    pub fn section_name(&self, section: &Section) -> &'a [u8] {
        if section.name_len == 0 {
            return c_string(self.names, section.name).unwrap_or_default();
        }
        let start = section.name as usize;
        let name = self.names.get(start..start + usize::from(section.name_len));
        name.unwrap_or_default()
    }

    /// The table of section names.
    pub(crate) const fn section_names(&self) -> &'a [u8] {
        self.names
    }

    /// Where a section's name is in [`section_names`](Self::section_names).
    pub(crate) fn name_range(&self, section: &Section) -> core::ops::Range<usize> {
        let start = section.name as usize;
        start..start.saturating_add(self.section_name(section).len())
    }

    /// Its name and number for messages.
    pub(crate) fn describe(&self, id: SectionId) -> SectionName {
        let name = self.section(id).map(|section| self.section_name(section));
        SectionName {
            index: id.0,
            name: String::from_utf8_lossy(name.unwrap_or_default()).into(),
        }
    }

    /// A section's contents; empty if it has none in the file.
    #[must_use]
    pub fn contents(&self, section: &Section) -> &'a [u8] {
        contents(self.bytes, section).unwrap_or_default()
    }

    /// The first allocated section with a name that klink knows.
    pub(crate) fn known(&self, known: Known) -> Option<SectionId> {
        self.known.get(known)
    }

    /// The contents of the first allocated section with that name; empty if there is none.
    pub(crate) fn known_contents(&self, known: Known) -> &'a [u8] {
        let section = self.known(known).and_then(|id| self.section(id));
        section.map_or(&[], |section| self.contents(section))
    }

    /// The first allocated section called `name` (Linux, `kernel/module/main.c`, `find_sec`).
    #[must_use]
    pub fn find_section(&self, name: &[u8]) -> Option<SectionId> {
        self.section_ids()
            .find(|(_, section)| section.is_allocated() && self.section_name(section) == name)
            .map(|(id, _)| id)
    }

    /// The section of the symbol table.
    #[must_use]
    pub const fn symbol_section(&self) -> SectionId {
        self.symbols
    }

    /// The section of the symbols' names.
    #[must_use]
    pub const fn string_section(&self) -> SectionId {
        self.strings_section
    }

    /// Number of symbols, the null symbol included.
    #[must_use]
    pub fn symbol_count(&self) -> usize {
        self.symbol_bytes.len() / self.format.symbol_size() as usize
    }

    /// Number of symbols that are not local, at most: what a table says of itself may be wrong.
    pub(crate) fn global_count(&self) -> usize {
        let local = self.section(self.symbols).map_or(0, |section| section.info);
        self.symbol_count().saturating_sub(local as usize)
    }

    pub(crate) fn raw_symbols(&self) -> impl Iterator<Item = (SymbolId, RawSymbol)> + use<'a> {
        let format = self.format;
        let size = format.symbol_size() as usize;
        let symbols = self.symbol_bytes.chunks_exact(size);
        (0..)
            .map(SymbolId)
            .zip(symbols.map(move |bytes| format.symbol(bytes).unwrap_or_default()))
    }

    pub(crate) fn raw_symbol(&self, id: SymbolId) -> Option<RawSymbol> {
        let size = self.format.symbol_size() as usize;
        let at = id.index().checked_mul(size)?;
        self.format.symbol(self.symbol_bytes.get(at..)?)
    }

    /// The name of a symbol; `None` if it is outside the string table or too long.
    pub(crate) fn raw_name(&self, symbol: RawSymbol) -> Option<&'a [u8]> {
        c_string(self.strings, symbol.name)
    }

    /// The name of a symbol, for messages.
    #[must_use]
    pub fn symbol_name(&self, id: SymbolId) -> &'a [u8] {
        let name = self.raw_symbol(id).and_then(|raw| self.raw_name(raw));
        name.unwrap_or_default()
    }

    /// The relocations in section `id`, and whether they have addends of their own; `None` if it
    /// holds none.
    pub(crate) fn relocations(
        &self,
        section: &Section,
    ) -> Option<(
        bool,
        impl ExactSizeIterator<Item = RawRelocation> + Clone + use<'a>,
    )> {
        let with_addend = match section.kind {
            SHT_RELA => true,
            SHT_REL => false,
            _ => return None,
        };
        let format = self.format;
        let size = format.relocation_size(with_addend) as usize;
        let entries = self.contents(section).chunks_exact(size);
        let read = move |entry| format.relocation(entry, with_addend).unwrap_or_default();
        Some((with_addend, entries.map(read)))
    }

    /// What the module says of itself: the contents of `.modinfo`
    /// (read it with [`klink_tables::modinfo`]).
    #[must_use]
    pub fn modinfo(&self) -> &'a [u8] {
        self.known_contents(Known::Modinfo)
    }

    /// The value of a key of `.modinfo`.
    #[must_use]
    pub fn modinfo_value(&self, key: &[u8]) -> Option<&'a [u8]> {
        modinfo::value(self.modinfo(), key)
    }

    /// The section of the kernel's `struct module`.
    #[must_use]
    pub fn this_module(&self) -> Option<SectionId> {
        self.known(Known::ThisModule)
    }

    /// The module's name: `name` of `.modinfo`, else that in its `struct module`
    /// (Linux, `setup_load_info`). Empty if it has neither.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        if let Some(name) = self.modinfo_value(b"name") {
            return name;
        }
        // struct module begins with its state, padded to a word, and two links of a list
        let offset = 3 * self.format.word_size();
        let module = self.known_contents(Known::ThisModule);
        c_string(module, offset as u32).unwrap_or_default()
    }

    fn check_sections(&mut self) -> Result<(), Error> {
        let mut total = 0_u64;
        for index in 0..self.sections.len() {
            let (id, section) = (SectionId(index as u32), self.sections[index]);
            if section.has_contents() {
                if contents(self.bytes, &section).is_none() {
                    return Err(self.bad_section(id, "its contents go past the end of the file"));
                }
                total = total.saturating_add(section.size);
            }
            if !section.align.is_power_of_two() {
                return Err(self.bad_section(id, "its alignment is not a power of two"));
            }
            if let Some(what) = self.wrong_in_links(&section) {
                return Err(self.bad_section(id, what));
            }
            if section.is_allocated() {
                let Some(name) = c_string(self.names, section.name) else {
                    return Err(self.bad_section(id, "it has no name"));
                };
                self.sections[index].name_len = name.len() as u16;
                if let Some(known) = Known::from_name(name) {
                    self.known.set(known, id);
                }
            }
        }
        if total > self.bytes.len() as u64 {
            return Err(Error::Header("the contents of sections overlap"));
        }
        Ok(())
    }

    /// What is wrong with the section's relations to others.
    fn wrong_in_links(&self, section: &Section) -> Option<&'static str> {
        let count = self.sections.len();
        let exists = |index: u32| index != 0 && (index as usize) < count;
        match section.kind {
            SHT_SYMTAB if !exists(section.link) => Some("it has no string table"),
            SHT_REL | SHT_RELA => {
                let size = self.format.relocation_size(section.kind == SHT_RELA);
                // not every section of this type is one that is applied: kernels look at the
                // target's flags only
                let target = self.sections.get(section.info as usize)?;
                if !target.is_allocated() {
                    None
                } else if section.entry_size != size || !section.size.is_multiple_of(size) {
                    Some("its entries have an unknown size")
                } else {
                    None
                }
            }
            _ => None,
        }
    }

    fn find_symbols(&mut self) -> Result<(), Error> {
        let found = self
            .section_ids()
            .find(|(_, section)| section.kind == SHT_SYMTAB);
        let Some((id, &section)) = found else {
            return Err(Error::NoSymbols);
        };
        let strings = SectionId(section.link);
        let table = self.section(strings).map(|strings| self.contents(strings));
        let table = table.filter(|table| table.is_empty() || table.last() == Some(&0));
        let Some(table) = table else {
            return Err(self.bad_section(strings, "the string table does not end in a zero byte"));
        };
        self.symbol_bytes = self.contents(&section);
        self.symbols = id;
        self.strings = table;
        self.strings_section = strings;
        Ok(())
    }

    fn bad_section(&self, id: SectionId, problem: &'static str) -> Error {
        Error::Section {
            section: self.describe(id),
            problem,
        }
    }
}

/// Finds the architecture and checks what every header says.
fn identify(bytes: &[u8]) -> Result<(&'static Arch, Format), Error> {
    let ident: &[u8; 16] = bytes.first_chunk().ok_or(Error::NotElf)?;
    if ident.get(..4) != Some(b"\x7fELF") {
        return Err(Error::NotElf);
    }
    let class = match ident[4] {
        1 => Class::Elf32,
        2 => Class::Elf64,
        _ => return Err(Error::Header("EI_CLASS is neither 1 nor 2")),
    };
    let endian = match ident[5] {
        1 => Endian::Little,
        2 => Endian::Big,
        _ => return Err(Error::Header("EI_DATA is neither 1 nor 2")),
    };
    let format = Format { class, endian };
    if (bytes.len() as u64) < format.header_size() {
        return Err(Error::Header("the file is shorter than its header"));
    }
    let short = |at| format.u16(bytes, at).unwrap_or_default();
    let kind = short(16);
    if kind != ET_REL {
        return Err(Error::NotRelocatable { kind });
    }
    let machine = short(18);
    let arch = by_machine(machine, class, endian).ok_or(Error::Machine { machine })?;
    Ok((arch, format))
}

/// Reads the section headers; also returns that of their names.
fn read_sections(bytes: &[u8], format: Format) -> Result<(Vec<Section>, Section), Error> {
    let wide = format.class == Class::Elf64;
    let (at_offset, at_sizes) = if wide { (40, 58) } else { (32, 46) };
    let short = |nth: usize| format.u16(bytes, at_sizes + 2 * nth).unwrap_or_default();
    let (entry_size, count, names) = (short(0), short(1), short(2));
    if u64::from(entry_size) != format.section_size() {
        return Err(Error::Header("section headers have an unknown size"));
    }
    let start = format.word(bytes, at_offset).unwrap_or_default();
    let size = u64::from(count) * u64::from(entry_size);
    let table = usize::try_from(start).ok().and_then(|start| {
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        bytes.get(start..end)
    });
    let table = table.ok_or(Error::Header("section headers go past the end of the file"))?;
    let headers = table.chunks_exact(usize::from(entry_size));
    let read = |header, format| read_section(header, format).unwrap_or(NO_SECTION);
    let sections: Vec<Section> = match format {
        // in a loop of its own, since nearly all are so
        COMMON => headers.map(|header| read(header, COMMON)).collect(),
        _ => headers.map(|header| read(header, format)).collect(),
    };
    let null = sections.first().copied().unwrap_or(NO_SECTION);
    if sections.is_empty() || null.kind != SHT_NULL || null.size != 0 {
        return Err(Error::Header("section 0 is not the null section"));
    }
    let names = match names {
        SHN_UNDEF => None,
        index => sections.get(usize::from(index)).copied(),
    };
    let names = names.ok_or(Error::Header("there is no section of section names"))?;
    Ok((sections, names))
}

/// What most files are written in.
const COMMON: Format = Format {
    class: Class::Elf64,
    endian: Endian::Little,
};

const NO_SECTION: Section = Section {
    name: 0,
    name_len: 0,
    kind: SHT_NULL,
    flags: 0,
    offset: 0,
    size: 0,
    link: 0,
    info: 0,
    align: 1,
    entry_size: 0,
};

#[inline(always)]
fn read_section(header: &[u8], format: Format) -> Option<Section> {
    let word = |nth: u64| {
        let at = 8 + nth * format.word_size();
        format.word(header, at as usize)
    };
    // two 32-bit numbers, four words, two 32-bit numbers, two words
    let at_link = 8 + 4 * format.word_size() as usize;
    let at_align = at_link + 8;
    Some(Section {
        name: format.u32(header, 0)?,
        name_len: 0,
        kind: format.u32(header, 4)?,
        flags: word(0)?,
        offset: word(2)?,
        size: word(3)?,
        link: format.u32(header, at_link)?,
        info: format.u32(header, at_link + 4)?,
        align: format.word(header, at_align)?.max(1),
        entry_size: format.word(header, at_align + format.word_size() as usize)?,
    })
}

/// A section's contents, `None` if they go past the end of the file.
fn contents<'a>(bytes: &'a [u8], section: &Section) -> Option<&'a [u8]> {
    if !section.has_contents() {
        return Some(&[]);
    }
    let start = usize::try_from(section.offset).ok()?;
    let size = usize::try_from(section.size).ok()?;
    bytes.get(start..start.checked_add(size)?)
}
