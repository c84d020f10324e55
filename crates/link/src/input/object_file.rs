//! One relocatable ELF object: validated headers and borrowed views, the same for both classes and
//! byte orders.

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, SectionHeader as _, Sym as _};
use object::read::{SectionIndex, StringTable, SymbolIndex};

use crate::error::{LinkError, Result};

/// `SHF_GNU_RETAIN` and friends stand in these bits; GNU ld carries them over (`SHF_MASKOS`,
/// `SHF_MASKPROC`, ELF gABI chapter 4).
pub(crate) const SHF_MASK_OS_AND_PROCESSOR: u64 = 0xfff0_0000;

/// Machine, class and byte order of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ElfIdent {
    pub machine: u16,
    pub is_64: bool,
    pub big_endian: bool,
}

/// An input object.
#[derive(Debug)]
pub struct Object<'a> {
    /// What errors call it: the path, with the member in parentheses for archives.
    pub name: String,
    /// File name without folders, for the FILE symbol that GNU ld gives to objects without one.
    pub base_name: Vec<u8>,
    /// Whether it is a member of a thin archive: a file of its own.
    pub(crate) in_thin_archive: bool,
    pub(crate) ident: ElfIdent,
    /// `e_flags`.
    pub flags: u32,
    /// `EI_OSABI`.
    pub os_abi: u8,
    /// All sections, by ELF index; index 0 is the null section.
    pub sections: Vec<InputSection<'a>>,
    /// All symbols, by ELF index; index 0 is the null symbol.
    pub symbols: Vec<InputSymbol<'a>>,
    /// Index of the first symbol that is not local.
    pub first_global: usize,
    /// Section groups.
    pub groups: Vec<Group<'a>>,
    /// Which rare things are in it, so that most objects need not be searched for them.
    pub(crate) rarities: Rarities,
}

/// What few objects have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rarities {
    /// A section that has to be unpacked.
    pub packed: bool,
    /// A `.gnu.linkonce` section outside of groups.
    pub link_once: bool,
    /// A function that a resolver chooses (`STT_GNU_IFUNC`).
    pub indirect: bool,
}

impl Object<'_> {
    /// Notes which rare things are among its sections.
    pub(crate) fn find_rarities(&mut self) {
        for section in &self.sections {
            let rarities = &mut self.rarities;
            rarities.packed |= crate::compressed::is_packed(section);
            rarities.link_once |= section.is_link_once();
        }
    }

    /// What maps call it: a thin archive's member by its own path (bfd/bfd.c, `%pB`).
    pub(crate) fn shown_name(&self) -> std::borrow::Cow<'_, str> {
        match self.in_thin_archive {
            true => String::from_utf8_lossy(self.archive_and_file().1),
            false => self.name.as_str().into(),
        }
    }

    /// The archive's path, if it is a member, and the object's path or member name, as scripts see
    /// them.
    pub fn archive_and_file(&self) -> (Option<&[u8]>, &[u8]) {
        let name = self.name.as_bytes();
        let member = name.strip_suffix(b")").and_then(|inner| {
            let open = inner.iter().rposition(|&byte| byte == b'(')?;
            Some((Some(&inner[..open]), &inner[open + 1..]))
        });
        member.unwrap_or((None, name))
    }
}

/// What an input section is to the linker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionKind {
    /// Contents for the output.
    Content,
    /// A `SHT_GROUP` section: index into [`Object::groups`].
    Group(u32),
    /// Tables that the linker has read and will make anew: symbols, strings, relocations.
    Meta,
}

/// An input section.
#[derive(Clone, Debug)]
pub struct InputSection<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// What it is to the linker.
    pub kind: SectionKind,
    /// `sh_type`.
    pub section_type: u32,
    /// `sh_flags`.
    pub flags: u64,
    /// Size in memory, in bytes.
    pub size: u64,
    /// Alignment in bytes, a power of two.
    pub align: u64,
    /// `sh_entsize`.
    pub entry_size: u64,
    /// `sh_link`.
    pub link: u32,
    /// `sh_info`.
    pub info: u32,
    /// Bytes in the file; empty for `SHT_NOBITS`.
    pub data: &'a [u8],
    /// Its relocations.
    pub relocations: Relocations<'a>,
    /// The group that it is a member of: index into [`Object::groups`].
    pub group: Option<u32>,
}

impl<'a> InputSection<'a> {
    /// Whether the first section of this name is kept alone (the way of GNU tools before groups).
    pub(crate) fn is_link_once(&self) -> bool {
        self.group.is_none()
            && self.kind == SectionKind::Content
            && self.name.starts_with(b".gnu.linkonce")
    }

    /// Bytes that it gives to a file.
    pub(crate) fn file_size(&self) -> u64 {
        match elf::SectionType(self.section_type) {
            elf::SHT_NOBITS => 0,
            _ => self.size,
        }
    }

    /// A section that stands in no file: contents aligned to one byte, without relocations.
    pub(crate) fn plain(name: &'a [u8], section_type: u32, flags: u64, data: &'a [u8]) -> Self {
        Self {
            name,
            kind: SectionKind::Content,
            section_type,
            flags,
            size: data.len() as u64,
            align: 1,
            entry_size: 0,
            link: 0,
            info: 0,
            data,
            relocations: Relocations::None,
            group: None,
        }
    }
}

/// Where a symbol is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolPlace {
    /// Nowhere in this object.
    Undefined,
    /// `SHN_ABS`.
    Absolute,
    /// `SHN_COMMON`: the value is the alignment.
    Common,
    /// In the section with this ELF index.
    Section(u32),
}

/// A symbol of an input object.
#[derive(Clone, Copy, Debug)]
pub struct InputSymbol<'a> {
    /// Its name; empty for section symbols.
    pub name: &'a [u8],
    /// Where it is defined.
    pub place: SymbolPlace,
    /// `st_value`.
    pub value: u64,
    /// `st_size`.
    pub size: u64,
    /// `st_info`'s type nibble.
    pub symbol_type: u8,
    /// `st_info`'s binding nibble.
    pub binding: u8,
    /// `st_other`.
    pub other: u8,
}

/// A section group.
#[derive(Clone, Debug)]
pub struct Group<'a> {
    /// ELF index of the `SHT_GROUP` section.
    pub section: u32,
    /// The flag word: `GRP_COMDAT` or 0.
    pub flags: u32,
    /// ELF index of the signature symbol.
    pub signature_symbol: u32,
    /// The signature: that symbol's name, or its section's for a section symbol.
    pub signature: &'a [u8],
    /// ELF indices of the members.
    pub members: Vec<u32>,
}

/// One relocation, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawRelocation {
    /// Offset in the section, in bytes.
    pub offset: u64,
    /// Symbol index in the object.
    pub symbol: u32,
    /// Type number of the psABI.
    pub number: u32,
    /// The addend; 0 for REL, whose addend is in the field.
    pub addend: i64,
}

/// The relocations of one section, undecoded.
#[derive(Clone, Copy, Debug)]
pub enum Relocations<'a> {
    /// There are none.
    None,
    /// One that the linker made, with its addend.
    Made(RawRelocation),
    /// `SHT_REL`, 32 bits.
    Rel32(&'a [elf::Rel32<Endianness>], Endianness),
    /// `SHT_RELA`, 32 bits.
    Rela32(&'a [elf::Rela32<Endianness>], Endianness),
    /// `SHT_REL`, 64 bits.
    Rel64(&'a [elf::Rel64<Endianness>], Endianness),
    /// `SHT_RELA`, 64 bits.
    Rela64(&'a [elf::Rela64<Endianness>], Endianness),
}

impl Relocations<'_> {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::None => 0,
            Self::Made(_) => 1,
            Self::Rel32(table, _) => table.len(),
            Self::Rela32(table, _) => table.len(),
            Self::Rel64(table, _) => table.len(),
            Self::Rela64(table, _) => table.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether addends are explicit.
    pub fn is_rela(&self) -> bool {
        matches!(self, Self::Made(_) | Self::Rela32(..) | Self::Rela64(..))
    }

    /// The relocation at `index`, which is below [`Self::len`].
    #[inline]
    pub fn get(&self, index: usize) -> RawRelocation {
        match *self {
            Self::None => RawRelocation {
                offset: 0,
                symbol: 0,
                number: 0,
                addend: 0,
            },
            Self::Made(relocation) => relocation,
            Self::Rel32(table, endian) => decode_rel(&table[index], endian),
            Self::Rel64(table, endian) => decode_rel(&table[index], endian),
            Self::Rela32(table, endian) => decode_rela(&table[index], endian),
            Self::Rela64(table, endian) => decode_rela(&table[index], endian),
        }
    }

    /// All of them, in file order.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = RawRelocation> + '_ {
        (0..self.len()).map(|index| self.get(index))
    }
}

fn decode_rel<R: object::read::elf::Rel<Endian = Endianness>>(
    rel: &R,
    endian: Endianness,
) -> RawRelocation {
    RawRelocation {
        offset: rel.r_offset(endian).into(),
        symbol: rel.r_sym(endian),
        number: rel.r_type(endian).0,
        addend: 0,
    }
}

fn decode_rela<R: object::read::elf::Rela<Endian = Endianness>>(
    rela: &R,
    endian: Endianness,
) -> RawRelocation {
    RawRelocation {
        offset: rela.r_offset(endian).into(),
        symbol: rela.r_sym(endian, false),
        number: rela.r_type(endian, false).0,
        addend: rela.r_addend(endian).into(),
    }
}

/// Wraps a file class's relocation tables into [`Relocations`].
trait RelocationTables: FileHeader<Endian = Endianness> {
    fn rel(table: &[Self::Rel], endian: Endianness) -> Relocations<'_>;
    fn rela(table: &[Self::Rela], endian: Endianness) -> Relocations<'_>;
}

impl RelocationTables for elf::FileHeader32<Endianness> {
    fn rel(table: &[Self::Rel], endian: Endianness) -> Relocations<'_> {
        Relocations::Rel32(table, endian)
    }
    fn rela(table: &[Self::Rela], endian: Endianness) -> Relocations<'_> {
        Relocations::Rela32(table, endian)
    }
}

impl RelocationTables for elf::FileHeader64<Endianness> {
    fn rel(table: &[Self::Rel], endian: Endianness) -> Relocations<'_> {
        Relocations::Rel64(table, endian)
    }
    fn rela(table: &[Self::Rela], endian: Endianness) -> Relocations<'_> {
        Relocations::Rela64(table, endian)
    }
}

/// Parses `data` as a relocatable object called `name` in errors.
///
/// # Errors
/// [`LinkError::UnknownFormat`] if it is no ELF file, [`LinkError::Malformed`] if it is damaged or
/// is not relocatable.
pub(crate) fn parse_object<'a>(
    name: String,
    base_name: &[u8],
    data: &'a [u8],
) -> Result<Object<'a>> {
    // e_ident[EI_CLASS]: 1 is 32 bits, 2 is 64 (ELF gABI chapter 4).
    match data.get(..5) {
        Some([0x7f, b'E', b'L', b'F', 1]) => {
            parse::<elf::FileHeader32<Endianness>>(name, base_name, data)
        }
        Some([0x7f, b'E', b'L', b'F', 2]) => {
            parse::<elf::FileHeader64<Endianness>>(name, base_name, data)
        }
        Some([0x7f, b'E', b'L', b'F', class]) => {
            Err(malformed(&name, format!("unknown ELF class {class}")))
        }
        _ => Err(LinkError::UnknownFormat { file: name }),
    }
}

fn malformed(file: &str, what: impl Into<String>) -> LinkError {
    LinkError::Malformed {
        file: file.to_owned(),
        what: what.into(),
    }
}

fn parse<'a, E: RelocationTables>(
    name: String,
    base_name: &[u8],
    data: &'a [u8],
) -> Result<Object<'a>> {
    let bad = |what: object::Error| malformed(&name, what.to_string());
    let header = E::parse(data).map_err(bad)?;
    let endian = header.endian().map_err(bad)?;
    if header.e_type(endian) != elf::ET_REL {
        return Err(malformed(
            &name,
            format!(
                "ELF type {} where a relocatable object (ET_REL, 1) is needed",
                header.e_type(endian).0
            ),
        ));
    }
    let mut object = Object {
        in_thin_archive: false,
        base_name: base_name.to_vec(),
        ident: ElfIdent {
            machine: header.e_machine(endian).0,
            is_64: header.is_type_64(),
            big_endian: header.is_big_endian(),
        },
        flags: header.e_flags(endian).0,
        os_abi: header.e_ident().os_abi.0,
        sections: Vec::new(),
        symbols: Vec::new(),
        first_global: 0,
        groups: Vec::new(),
        rarities: Rarities::default(),
        name,
    };
    read_sections::<E>(&mut object, header, endian, data)?;
    object.find_rarities();
    Ok(object)
}

/// How many bytes of names a file may have. Names may share their ends in the string table, so that a
/// small file can have names without end: each symbol's could be the rest of one long string.
struct NameBudget {
    left: usize,
}

impl NameBudget {
    /// Enough for every symbol to have a name of 512 bytes, the kernel's longest (Linux,
    /// `KSYM_NAME_LEN`), in a table whose entries have 16 (ELF32).
    const BYTES_FOR_EACH: usize = 512 / 16;

    fn new(file: &[u8]) -> Self {
        Self {
            left: file.len().saturating_mul(Self::BYTES_FOR_EACH),
        }
    }

    fn spend(&mut self, name: &[u8], file: &str) -> Result<()> {
        let left = self.left.checked_sub(name.len());
        self.left = left.ok_or_else(|| {
            malformed(
                file,
                format!(
                    "names are more than {} times as long together as the file",
                    Self::BYTES_FOR_EACH
                ),
            )
        })?;
        Ok(())
    }
}

fn read_sections<'a, E: RelocationTables>(
    object: &mut Object<'a>,
    header: &E,
    endian: Endianness,
    data: &'a [u8],
) -> Result<()> {
    let file = object.name.clone();
    let bad = |what: object::Error| malformed(&file, what.to_string());
    let table = header.sections(endian, data).map_err(bad)?;
    let mut symbol_table = None;
    object.sections.reserve(table.len());
    let mut names = NameBudget::new(data);
    let mut contents = 0;
    for (index, section) in table.enumerate() {
        let name = table.section_name(endian, section).map_err(bad)?;
        names.spend(name, &file)?;
        let section_type = section.sh_type(endian).0;
        if section_type == elf::SHT_SYMTAB.0 && symbol_table.replace(index).is_some() {
            return Err(malformed(&file, "more than one symbol table"));
        }
        let section = read_section::<E>(&file, section, name, endian, data)?;
        contents += section.data.len();
        object.sections.push(section);
    }
    // Each section could be the whole file, and a small file an output without end.
    if contents > data.len() {
        return Err(malformed(
            &file,
            format!(
                "sections overlap: they have {contents} bytes together, the file {}",
                data.len()
            ),
        ));
    }
    if let Some(index) = symbol_table {
        read_symbols::<E>(object, &table, index, endian, data)?;
    }
    read_relocations::<E>(object, &table, symbol_table, endian, data)?;
    read_groups(object, endian)
}

fn read_section<'a, E: RelocationTables>(
    file: &str,
    section: &E::SectionHeader,
    name: &'a [u8],
    endian: Endianness,
    data: &'a [u8],
) -> Result<InputSection<'a>> {
    let section_type = section.sh_type(endian);
    let in_section = |what: String| LinkError::BadSection {
        file: file.to_owned(),
        section: String::from_utf8_lossy(name).into_owned(),
        what,
    };
    let kind = match section_type {
        elf::SHT_NULL
        | elf::SHT_SYMTAB
        | elf::SHT_STRTAB
        | elf::SHT_REL
        | elf::SHT_RELA
        | elf::SHT_SYMTAB_SHNDX
        | elf::SHT_GROUP => SectionKind::Meta,
        _ => SectionKind::Content,
    };
    let align = section.sh_addralign(endian).into().max(1);
    if !align.is_power_of_two() {
        return Err(in_section(format!(
            "alignment {align} is not a power of two"
        )));
    }
    let size: u64 = section.sh_size(endian).into();
    // A NOBITS size is bounded by nothing in the file. Offsets in the output are computed from it,
    // so it must leave room for sums.
    if size > u64::from(u32::MAX) << 8 || align > 1 << 32 {
        return Err(in_section(format!(
            "absurd size {size:#x} or alignment {align:#x}"
        )));
    }
    let bytes = section.data(endian, data).map_err(|_| {
        in_section(format!(
            "its {size:#x} bytes reach past the end of the file"
        ))
    })?;
    Ok(InputSection {
        name,
        kind,
        section_type: section_type.0,
        flags: section.sh_flags(endian).0,
        size,
        align,
        entry_size: section.sh_entsize(endian).into(),
        link: section.sh_link(endian),
        info: section.sh_info(endian),
        data: bytes,
        relocations: Relocations::None,
        group: None,
    })
}

fn read_symbols<'a, E: RelocationTables>(
    object: &mut Object<'a>,
    table: &object::read::elf::SectionTable<'a, E>,
    index: SectionIndex,
    endian: Endianness,
    data: &'a [u8],
) -> Result<()> {
    let file = object.name.clone();
    let bad = |what: object::Error| malformed(&file, what.to_string());
    let symbols = table
        .symbol_table_by_index(endian, data, index)
        .map_err(bad)?;
    let strings: StringTable<'a> = symbols.strings();
    let count = symbols.len();
    object.first_global = table.section(index).map_err(bad)?.sh_info(endian) as usize;
    if object.first_global > count.max(1) {
        return Err(malformed(
            &file,
            format!(
                "first global symbol is number {} of {count}",
                object.first_global
            ),
        ));
    }
    object.symbols.reserve(count);
    let mut names = NameBudget::new(data);
    for (number, symbol) in symbols.iter().enumerate() {
        let place = if symbol.is_undefined(endian) {
            SymbolPlace::Undefined
        } else if symbol.is_absolute(endian) {
            SymbolPlace::Absolute
        } else if symbol.is_common(endian) {
            SymbolPlace::Common
        } else {
            match symbols
                .symbol_section(endian, symbol, SymbolIndex(number))
                .map_err(bad)?
            {
                Some(section) if section.0 < object.sections.len() => {
                    SymbolPlace::Section(section.0 as u32)
                }
                // Reserved indices other than ABS and COMMON: GNU ld treats them as undefined
                // (bfd/elflink.c, elf_link_input_bfd), and an undefined local is never output.
                None if symbol.st_bind() == elf::STB_LOCAL => SymbolPlace::Undefined,
                None => {
                    let index = symbol.st_shndx(endian).0;
                    return Err(malformed(
                        &file,
                        format!(
                            "symbol {number} has the reserved section index {index:#x}, whose meaning klink does not know"
                        ),
                    ));
                }
                Some(section) => {
                    return Err(malformed(
                        &file,
                        format!(
                            "symbol {number} is in section {}, which does not exist",
                            section.0
                        ),
                    ));
                }
            }
        };
        let name = symbol.name(endian, strings).map_err(bad)?;
        names.spend(name, &file)?;
        object.rarities.indirect |= symbol.st_type() == elf::STT_GNU_IFUNC;
        object.symbols.push(InputSymbol {
            name,
            place,
            value: symbol.st_value(endian).into(),
            size: symbol.st_size(endian).into(),
            symbol_type: symbol.st_type().0,
            binding: symbol.st_bind().0,
            other: symbol.st_other().0,
        });
    }
    let locals = &object.symbols[..object.first_global.min(count)];
    if let Some(wrong) = locals
        .iter()
        .position(|symbol| symbol.binding != elf::STB_LOCAL.0)
    {
        return Err(malformed(
            &file,
            format!("symbol {wrong} is global but stands among the locals"),
        ));
    }
    let globals = &object.symbols[object.first_global.clamp(1.min(count), count)..];
    if let Some(wrong) = globals
        .iter()
        .position(|symbol| symbol.binding == elf::STB_LOCAL.0)
    {
        let number = count - globals.len() + wrong;
        return Err(malformed(
            &file,
            format!("symbol {number} is local but stands among the globals"),
        ));
    }
    Ok(())
}

fn read_relocations<'a, E: RelocationTables>(
    object: &mut Object<'a>,
    table: &object::read::elf::SectionTable<'a, E>,
    symbol_table: Option<SectionIndex>,
    endian: Endianness,
    data: &'a [u8],
) -> Result<()> {
    let file = object.name.clone();
    let bad = |what: object::Error| malformed(&file, what.to_string());
    for (index, section) in table.enumerate() {
        let (relocations, link) =
            if let Some((rela, link)) = section.rela(endian, data).map_err(bad)? {
                (E::rela(rela, endian), link)
            } else if let Some((rel, link)) = section.rel(endian, data).map_err(bad)? {
                (E::rel(rel, endian), link)
            } else {
                continue;
            };
        if relocations.is_empty() {
            continue;
        }
        let target = section.sh_info(endian) as usize;
        let place = format!("relocation section {}", index.0);
        if Some(link) != symbol_table {
            return Err(malformed(
                &file,
                format!("{place} does not use the symbol table"),
            ));
        }
        let Some(target) = object
            .sections
            .get_mut(target)
            .filter(|target| target.kind == SectionKind::Content)
        else {
            return Err(malformed(
                &file,
                format!("{place} relocates section {target}, which has no contents"),
            ));
        };
        if !target.relocations.is_empty() {
            return Err(malformed(
                &file,
                format!("{place} relocates a section that has relocations already"),
            ));
        }
        target.relocations = relocations;
    }
    check_relocations(object)
}

/// No later phase looks again whether a relocation is inside its section or names a symbol.
fn check_relocations(object: &Object<'_>) -> Result<()> {
    for section in &object.sections {
        // All at once first: there are millions of them, and hardly ever is one wrong.
        let (mut symbol, mut offset) = (0, 0);
        for relocation in section.relocations.iter() {
            symbol = relocation.symbol.max(symbol);
            offset = relocation.offset.max(offset);
        }
        let has_symbols = symbol == 0 || (symbol as usize) < object.symbols.len();
        if !has_symbols || offset > section.size {
            check_each_relocation(object, section)?;
        }
    }
    Ok(())
}

fn check_each_relocation(object: &Object<'_>, section: &InputSection<'_>) -> Result<()> {
    // Those of packed sections are looked at when they are unpacked.
    let is_packed = crate::compressed::is_packed(section);
    for relocation in section.relocations.iter() {
        let what = if relocation.symbol != 0 && relocation.symbol as usize >= object.symbols.len() {
            format!(
                "relocation names symbol {}, which does not exist",
                relocation.symbol
            )
        } else if relocation.offset > section.size && !is_packed {
            "relocation lies outside of the section".to_owned()
        } else {
            continue;
        };
        return Err(LinkError::BadRelocation {
            file: object.name.clone(),
            section: String::from_utf8_lossy(section.name).into_owned(),
            offset: relocation.offset,
            what,
        });
    }
    Ok(())
}

fn read_groups(object: &mut Object<'_>, endian: Endianness) -> Result<()> {
    for index in 0..object.sections.len() {
        let section = &object.sections[index];
        if section.section_type != elf::SHT_GROUP.0 {
            continue;
        }
        let words = || {
            section.data.chunks_exact(4).map(|word| {
                let word = [word[0], word[1], word[2], word[3]];
                match endian {
                    Endianness::Little => u32::from_le_bytes(word),
                    Endianness::Big => u32::from_be_bytes(word),
                }
            })
        };
        let Some(flags) = words().next() else {
            return Err(malformed(
                &object.name,
                format!("section group {index} is empty"),
            ));
        };
        let members: Vec<u32> = words().skip(1).collect();
        let signature_symbol = section.info;
        let Some(symbol) = object.symbols.get(signature_symbol as usize) else {
            return Err(malformed(
                &object.name,
                format!("section group {index} has no signature symbol"),
            ));
        };
        let signature = match symbol.place {
            SymbolPlace::Section(section) if symbol.symbol_type == elf::STT_SECTION.0 => {
                object.sections[section as usize].name
            }
            _ => symbol.name,
        };
        let number = object.groups.len() as u32;
        for &member in &members {
            let what = match object.sections.get_mut(member as usize) {
                None => "which does not exist",
                Some(member) if member.group.is_some() => "which is in another group already",
                Some(member) => {
                    member.group = Some(number);
                    continue;
                }
            };
            return Err(malformed(
                &object.name,
                format!("section group {index} names section {member}, {what}"),
            ));
        }
        object.groups.push(Group {
            section: index as u32,
            flags,
            signature_symbol,
            signature,
            members,
        });
        object.sections[index].kind = SectionKind::Group(number);
    }
    Ok(())
}
