//! Loads kernel modules, for any kernel and for tools: `no_std`, no `unsafe`, no panics.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod elf;
mod error;
mod exports;
mod file;
mod id;
mod kallsyms;
mod known;
mod layout;
pub mod license;
mod link;
mod placement;
mod plan;
mod policy;
mod region;
mod relocate;
mod resolve;
mod shape;
mod slots;
mod stubs;
mod symbols;

pub use error::{Error, SectionName, Unresolved, Why};
pub use exports::FileExport;
pub use file::{ModuleFile, Section};
pub use id::{BlockId, SectionId, SymbolId};
pub use kallsyms::KallsymsPlan;
pub use link::Linked;
pub use placement::{Memory, Placement};
pub use plan::{Place, Plan};
pub use policy::{Blocks, Names, Policy, Rounding, Stubs};
pub use region::{Block, Region, RegionKind, Rights};
pub use resolve::Use;
pub use symbols::{Export, ModuleId, SymbolTable, Symbols};
