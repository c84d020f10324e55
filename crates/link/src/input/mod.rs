//! Inputs: from names on the command line to parsed objects that borrow their bytes.

mod archive;
mod binary;
mod file;
mod just_symbols;
mod load;
mod object_file;
mod object_view;

pub use file::{FileData, Files};
pub(crate) use file::{pages_of, read_path};
pub use load::Storage;
pub(crate) use load::{first_object, load_inputs};
pub(crate) use object_view::{ElfIdent, SHF_MASK_OS_AND_PROCESSOR};
pub use object_view::{
    Group, InputSection, InputSymbol, Object, RawRelocation, Relocations, SectionKind, SymbolPlace,
};
