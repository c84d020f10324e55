//! Loads kernel modules, for any kernel and for tools: `no_std`, no `unsafe`, no panics.
//!
//! Loading a module is linking under constraints: memory that a kernel hands out in pieces, branches
//! that must reach, tables that must not point at what is thrown away, input that may be hostile. Its
//! steps are types, so that steps out of order do not compile:
//!
//! | step | gives | what it knows |
//! |---|---|---|
//! | [`ModuleFile::parse`] | [`ModuleFile`] | validated headers, borrowed views; bad input ends here |
//! | [`ModuleFile::plan`] | [`Plan`] | which section goes where, islands, what memory to allocate |
//! | [`Plan::allocate`] | [`Placement`] | a run address for each block |
//! | [`Plan::link`] | [`Linked`] | finished bytes, and the symbols that were used |
//! | [`Linked::commit`] | [`Live`] | protected, tables registered, init called |
//! | [`Live::discard_init`] | [`Live`] without init | no table points at what is freed |
//! | [`Live::unload`] | nothing | exit called, everything given back |
//!
//! What is written where, and where it will run, are two things everywhere: a tool links modules for
//! any architecture, a kernel links them in place. A [`Policy`] says how a module is laid out;
//! [`Policy::linux`] gives every section the address that Linux gives it.
//!
//! # In a kernel
//! The crate and all it depends on use `core` and `alloc` only. `cargo xtask test --only bare` checks
//! a crate without the standard library (`tests/bare`), for this machine and for each bare target that
//! `rustup target list --installed` names.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod branch;
mod check;
mod elf;
mod erratum;
mod error;
mod exports;
mod file;
mod host;
mod id;
mod kallsyms;
mod known;
mod layout;
pub mod license;
mod link;
mod live;
mod modules;
mod params;
mod placement;
mod plan;
mod policy;
mod region;
mod relocate;
mod resolve;
mod shape;
mod show;
mod slots;
mod stubs;
mod symbols;
mod tables;
mod words;

pub use check::{Rules, Taints};
pub use error::{Error, SectionName, Unresolved, Why};
pub use exports::FileExport;
pub use file::{ModuleFile, Section};
pub use host::{Host, LoadError};
pub use id::{BlockId, SectionId, SymbolId};
pub use kallsyms::KallsymsPlan;
pub use link::{Linked, Pointers};
pub use live::{Discarded, InitDiscarded, Live, LiveSection, WithInit};
pub use modules::{AllSymbols, Modules, Record, State};
pub use placement::{Memory, Placement};
pub use plan::{Place, Plan};
pub use policy::{Blocks, Names, Policy, Rounding, Stubs};
pub use region::{Block, Region, RegionKind, Rights};
pub use resolve::Use;
pub use show::Parameter;
pub use symbols::{Export, ModuleId, SymbolTable, Symbols};
pub use tables::LiveTable;

/// A loaded module whose init regions are gone, or what was wrong.
pub type Loaded<H> =
    Result<Live<<H as Host>::Memory, InitDiscarded>, LoadError<<H as Host>::Error>>;

/// Loads a module from the first byte of its file to the end of its init: all steps in order.
///
/// `arguments` is its command line: `name=value`, separated by blanks. `kernel` are the kernel's own symbols; those of loaded modules are added to them.
///
/// # Errors
/// What is wrong with the module, or what the host could not do. Everything is undone then, except
/// where the host cannot protect what init has written and the module has no exit function.
pub fn load<H: Host>(
    bytes: &[u8],
    rules: &Rules<'_>,
    policy: &Policy,
    kernel: impl Symbols,
    arguments: &[u8],
    modules: &mut Modules,
    host: &mut H,
) -> Loaded<H> {
    // bad input ends here
    let file = ModuleFile::parse(bytes)?;
    rules.check(&file)?;
    // sizes and offsets, no addresses
    let plan = file.plan(policy)?;
    // addresses; from here on memory is held, and given back where a step fails
    let placement = plan.allocate(|block| host.allocate(block).map_err(LoadError::Host))?;
    // bytes; every symbol that is missing is reported at once
    let linked = plan.link(placement, &modules.with_kernel(kernel))?;
    // code runs for the first time
    let live = linked.with_arguments(arguments).commit(host, modules)?;
    // nothing points at init any more
    live.discard_init(host).map_err(|(live, error)| {
        if let Err((live, _)) = live.unload(host, modules) {
            // what cannot be unloaded keeps its memory
            core::mem::forget(live);
        }
        LoadError::Host(error)
    })
}
