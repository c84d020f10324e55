//! `--format binary`: a file's bytes as a `.data` section with symbols at both ends.

use object::elf;

use super::file::FileData;
use super::object_view::{ElfIdent, InputSection, InputSymbol, Object, SymbolPlace};

/// Wraps `file` into an object: one section `.data`, writable, aligned to one byte, and the symbols
/// `_binary_NAME_start`, `_end` and `_size`, NAME being the path with everything that is no letter
/// or digit replaced by `_` (bfd/binary.c, `mangle_name`).
pub(crate) fn wrap<'a>(
    file: &'a FileData,
    ident: ElfIdent,
    names: &'a typed_arena::Arena<Vec<u8>>,
) -> Object<'a> {
    let path = file.path().as_os_str().as_encoded_bytes();
    let mangled: Vec<u8> = path
        .iter()
        .map(|&byte| {
            if byte.is_ascii_alphanumeric() {
                byte
            } else {
                b'_'
            }
        })
        .collect();
    let data = file.bytes();
    let size = data.len() as u64;
    let symbol = |end: &str, place, value| {
        let name = names.alloc([b"_binary_", mangled.as_slice(), b"_", end.as_bytes()].concat());
        InputSymbol {
            name,
            place,
            value,
            size: 0,
            symbol_type: elf::STT_NOTYPE.0,
            binding: elf::STB_GLOBAL.0,
            other: 0,
        }
    };
    Object {
        sections: vec![
            InputSection::NULL,
            InputSection::plain(
                b".data",
                elf::SHT_PROGBITS.0,
                elf::SHF_ALLOC.0 | elf::SHF_WRITE.0,
                data,
            ),
        ],
        symbols: vec![
            InputSymbol::NULL,
            symbol("start", SymbolPlace::Section(1), 0),
            symbol("end", SymbolPlace::Section(1), size),
            symbol("size", SymbolPlace::Absolute, size),
        ],
        first_global: 1,
        ..Object::empty(
            file.path().display().to_string(),
            super::archive::base_name(path),
            ident,
        )
    }
}
