//! What a kernel contains of its own symbols and addresses, made in the link: the kallsyms table,
//! and beside it `System.map`.

mod kallsyms;
mod names;
mod system_map;
mod version;

pub(crate) use kallsyms::KallsymsObject;
pub(super) use kallsyms::{KallsymsTable, TableRelocation};
pub(super) use system_map::text as system_map;
pub(super) use version::KernelVersion;
