//! `.gnu.version_d`: the versions that a shared object defines.
//!
//! Source: bfd/elflink.c (bfd_elf_size_dynamic_sections); "LSB Core Generic", "Symbol Versioning".

use super::encode::{Encoder, Form};
use super::hash::sysv_hash;
use super::strings::{StringId, StringTable};

/// Bytes of a definition (`Elfxx_Verdef`), and of a name of it (`Elfxx_Verdaux`).
const DEFINITION_SIZE: u32 = 20;
const NAME_SIZE: u32 = 8;

/// `VER_DEF_CURRENT`
const VERSION: u16 = 1;
/// `VER_FLG_BASE`: the version stands for the object itself.
pub(crate) const FLAG_BASE: u16 = 1;
/// `VER_FLG_WEAK`: no symbol has the version.
pub(crate) const FLAG_WEAK: u16 = 2;

/// The index of the version that stands for the object itself (`VER_NDX_GLOBAL`).
pub(crate) const BASE_INDEX: u16 = 1;

/// A version that the output defines.
#[derive(Debug, Clone)]
pub(crate) struct Definition<'a> {
    /// Its name: for the base version the soname, or the output file's name without folders.
    pub(crate) name: &'a [u8],
    /// Its name in `.dynstr`.
    pub(crate) string: StringId,
    /// `VER_FLG_…`
    pub(crate) flags: u16,
    /// Its index, as entries of `.gnu.version` have it.
    pub(crate) index: u16,
    /// The names of the versions that it depends on, in `.dynstr`.
    pub(crate) dependencies: Vec<StringId>,
}

/// Bytes of `.gnu.version_d`, and where its string offsets come from, for these definitions.
pub(crate) fn table(form: Form, definitions: &[Definition<'_>], strings: &StringTable) -> Vec<u8> {
    let mut table = Encoder::new(form, 0);
    for (at, definition) in definitions.iter().enumerate() {
        let names = 1 + definition.dependencies.len();
        let is_last = at + 1 == definitions.len();
        table.half(VERSION);
        table.half(definition.flags);
        table.half(definition.index);
        table.half(names as u16);
        table.word(sysv_hash(definition.name));
        table.word(DEFINITION_SIZE);
        let size = DEFINITION_SIZE + names as u32 * NAME_SIZE;
        table.word(if is_last { 0 } else { size });
        let all = std::iter::once(&definition.string).chain(&definition.dependencies);
        for (at, &name) in all.enumerate() {
            table.word(strings.offset(name));
            table.word(if at + 1 == names { 0 } else { NAME_SIZE });
        }
    }
    table.into_bytes()
}
