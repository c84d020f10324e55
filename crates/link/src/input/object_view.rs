//! An object as the linker sees it: borrowed views, the same for both classes and byte orders.

use object::Endianness;
use object::elf;
use object::read::elf::FileHeader;

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

impl ElfIdent {
    pub(super) fn of<E: FileHeader<Endian = Endianness>>(header: &E, endian: Endianness) -> Self {
        Self {
            machine: header.e_machine(endian).0,
            is_64: header.is_type_64(),
            big_endian: header.is_big_endian(),
        }
    }
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
    /// An object without sections and symbols.
    pub(crate) fn empty(name: String, base_name: &[u8], ident: ElfIdent) -> Self {
        Self {
            name,
            base_name: base_name.to_vec(),
            in_thin_archive: false,
            ident,
            flags: 0,
            os_abi: 0,
            sections: Vec::new(),
            symbols: Vec::new(),
            first_global: 0,
            groups: Vec::new(),
            rarities: Rarities::default(),
        }
    }

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

    /// The first section of every object.
    pub(crate) const NULL: Self = Self {
        kind: SectionKind::Meta,
        ..Self::plain(b"", elf::SHT_NULL.0, 0, &[])
    };

    /// A section that stands in no file: contents aligned to one byte, without relocations.
    pub(crate) const fn plain(
        name: &'a [u8],
        section_type: u32,
        flags: u64,
        data: &'a [u8],
    ) -> Self {
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

impl InputSymbol<'_> {
    /// The first symbol of every table.
    pub(crate) const NULL: Self = Self {
        name: b"",
        place: SymbolPlace::Undefined,
        value: 0,
        size: 0,
        symbol_type: 0,
        binding: 0,
        other: 0,
    };
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
