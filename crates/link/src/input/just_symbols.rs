//! `--just-symbols`: of a linked image, or an object, the values of its global symbols and nothing else
//! (ld/ldlang.c, `ldlang_add_file`; bfd/elflink.c, `_bfd_elf_link_just_syms`).

use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{Endianness, elf};

use super::object_view::{ElfIdent, InputSection, InputSymbol, Object, SymbolPlace};
use crate::error::{LinkError, Result};

/// Reads the global symbols of a file, as absolute ones.
///
/// # Errors
/// What is no ELF file, or a broken one.
pub(super) fn parse<'a>(name: String, base_name: &[u8], data: &'a [u8]) -> Result<Object<'a>> {
    // e_ident[EI_CLASS] (ELF gABI chapter 4).
    match data.get(..5) {
        Some([0x7f, b'E', b'L', b'F', 1]) => {
            read::<elf::FileHeader32<Endianness>>(name, base_name, data)
        }
        Some([0x7f, b'E', b'L', b'F', 2]) => {
            read::<elf::FileHeader64<Endianness>>(name, base_name, data)
        }
        _ => Err(LinkError::UnknownFormat { file: name }),
    }
}

fn read<'a, E: FileHeader<Endian = Endianness>>(
    name: String,
    base_name: &[u8],
    data: &'a [u8],
) -> Result<Object<'a>> {
    let bad = |what: object::Error| LinkError::Malformed {
        file: name.clone(),
        what: what.to_string(),
    };
    let header = E::parse(data).map_err(bad)?;
    let endian = header.endian().map_err(bad)?;
    let sections = header.sections(endian, data).map_err(bad)?;
    let table = sections
        .symbols(endian, data, elf::SHT_SYMTAB)
        .map_err(bad)?;
    let is_relocatable = header.e_type(endian) == elf::ET_REL;
    let mut symbols = vec![InputSymbol::NULL];
    for (index, symbol) in table.enumerate() {
        let is_global = symbol.st_bind() != elf::STB_LOCAL;
        if !is_global || symbol.is_undefined(endian) || symbol.is_common(endian) {
            continue;
        }
        // An object's symbols count from their sections.
        let section = table.symbol_section(endian, symbol, index).map_err(bad)?;
        let section = section.filter(|_| is_relocatable);
        let base = section.map(|index| sections.section(index)).transpose();
        let base = base.map_err(bad)?;
        let base: u64 = base.map_or(0, |section| section.sh_addr(endian).into());
        let value: u64 = symbol.st_value(endian).into();
        symbols.push(InputSymbol {
            name: symbol.name(endian, table.strings()).map_err(bad)?,
            place: SymbolPlace::Absolute,
            value: value.wrapping_add(base),
            size: symbol.st_size(endian).into(),
            symbol_type: symbol.st_type().0,
            binding: symbol.st_bind().0,
            other: symbol.st_other().0,
        });
    }
    Ok(Object {
        flags: header.e_flags(endian).0,
        os_abi: header.e_ident().os_abi.0,
        sections: vec![InputSection::NULL],
        symbols,
        first_global: 1,
        ..Object::empty(name, base_name, ElfIdent::of(header, endian))
    })
}
