//! Reads relocatable ELF objects, and validates them.

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, SectionHeader as _, Sym as _};
use object::read::{SectionIndex, StringTable, SymbolIndex};

use super::object_view::{
    ElfIdent, Group, InputSection, InputSymbol, Object, Relocations, SectionKind, SymbolPlace,
};
use crate::error::{LinkError, Result};

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
        flags: header.e_flags(endian).0,
        os_abi: header.e_ident().os_abi.0,
        ..Object::empty(name, base_name, ElfIdent::of(header, endian))
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
