//! A module's life: committed, live, without init, unloaded. Each step is a type, so that steps out of
//! order do not compile.
//!
//! Source: Linux 6.1 `kernel/module/main.c` (load_module from post_relocation on, do_init_module,
//! delete_module, free_module).
//!
//! Init cannot be discarded twice:
//! ```compile_fail
//! # use klink_module::{Host, InitDiscarded, Live};
//! fn twice<H: Host>(live: Live<H::Memory, InitDiscarded>, host: &mut H) {
//!     live.discard_init(host);
//! }
//! ```
//! A module that is not linked cannot be committed:
//! ```compile_fail
//! # use klink_module::{Host, Modules, Plan};
//! fn early<H: Host>(plan: Plan<'_, '_>, host: &mut H, modules: &mut Modules) {
//!     plan.commit(host, modules, b"");
//! }
//! ```
//! Nor can one be linked without memory:
//! ```compile_fail
//! # use klink_module::{Plan, SymbolTable};
//! fn nowhere(plan: &Plan<'_, '_>, kernel: &SymbolTable) {
//!     plan.link(kernel);
//! }
//! ```
//! What is unloaded is gone:
//! ```compile_fail
//! # use klink_module::{Host, InitDiscarded, Live, Modules};
//! fn after<H: Host>(live: Live<H::Memory, InitDiscarded>, host: &mut H, modules: &mut Modules) {
//!     let _ = live.unload(host, modules);
//!     live.id();
//! }
//! ```

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Range;

use klink_tables::Numbers;

use crate::error::Error;
use crate::host::{Host, LoadError};
use crate::id::SymbolId;
use crate::link::Linked;
use crate::modules::{Modules, State};
use crate::params::{Image, Kind, Setter};
use crate::placement::Memory;
use crate::region::{Block, RegionKind};
use crate::show::{Parameter, Shower};
use crate::symbols::{Export, ModuleId};
use crate::tables::{self, LiveTable, Tables};

/// The module still has its init regions.
#[derive(Clone, Copy, Debug)]
pub enum WithInit {}

/// The init regions are gone.
#[derive(Clone, Copy, Debug)]
pub enum InitDiscarded {}

/// A section of a loaded module, as `/sys/module/NAME/sections` shows it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LiveSection<'l> {
    /// Its name; several may have the same.
    pub name: &'l [u8],
    /// Its run address.
    pub address: u64,
    /// Bytes.
    pub size: u64,
    /// The region that it is in.
    pub region: RegionKind,
}

/// The sections of a loaded module, and the file's table of section names.
#[derive(Debug)]
struct Sections {
    names: Box<[u8]>,
    all: Vec<PlacedSection>,
}

/// A [`LiveSection`] whose name is a part of [`Sections::names`].
#[derive(Debug)]
struct PlacedSection {
    name: Range<usize>,
    address: u64,
    size: u64,
    region: RegionKind,
}

impl Sections {
    fn iter(&self) -> impl Iterator<Item = LiveSection<'_>> {
        self.all.iter().map(|section| LiveSection {
            name: self.names.get(section.name.clone()).unwrap_or_default(),
            address: section.address,
            size: section.size,
            region: section.region,
        })
    }
}

/// A module whose init has returned.
#[must_use = "dropping it frees memory that the kernel still uses: unload it"]
pub struct Live<M, Stage = WithInit> {
    state: Box<Held<M>>,
    stage: PhantomData<Stage>,
}

/// What a loaded module is made of.
struct Held<M> {
    id: ModuleId,
    blocks: Vec<Block>,
    memory: Vec<Option<M>>,
    sections: Sections,
    numbers: Numbers,
    machine: u16,
    tables: Vec<LiveTable>,
    functions: Functions,
    unknown_parameters: Vec<String>,
    /// The addresses of the kernel's functions for parameters, and what they do.
    parameter_kinds: Vec<(u64, Kind)>,
    dropped_entries: u64,
    freed: u64,
}

impl<M> Held<M> {
    fn tables(&mut self) -> Tables<'_, M> {
        Tables {
            numbers: self.numbers,
            machine: self.machine,
            tables: &mut self.tables,
            blocks: &mut self.memory,
        }
    }
}

/// What [`Live::discard_init`] gives: in any case a module without init.
pub type Discarded<M, E> = Result<Live<M, InitDiscarded>, (Live<M, InitDiscarded>, E)>;

/// What the kernel calls. The init function's address means nothing once it is freed, but that there
/// was one counts.
#[derive(Clone, Copy, Debug, Default)]
struct Functions {
    init: Option<u64>,
    exit: Option<u64>,
}

impl<M: Memory> Linked<'_, '_, '_, M> {
    /// Makes the module part of the kernel: exports its symbols, protects its memory, registers its
    /// tables, sets its parameters ([`with_arguments`](Self::with_arguments)) and calls its init. If one of these fails, those before it are
    /// undone in the opposite order, and its memory is given back.
    ///
    /// # Errors
    /// [`Error::Exists`], [`Error::Busy`], [`Error::DuplicateExport`], [`Error::Init`] with what init
    /// returned, and what the host says.
    pub fn commit<H: Host<Memory = M>>(
        self,
        host: &mut H,
        modules: &mut Modules,
    ) -> Result<Live<M>, LoadError<H::Error>> {
        let file = self.plan().file();
        let name = String::from_utf8_lossy(file.name()).into_owned();
        let proprietary = !self.is_gpl_compatible();
        let id = modules.add(name.clone(), self.dependencies(), proprietary)?;
        if let Err(error) = self.export(modules, id) {
            modules.remove(id);
            return Err(error.into());
        }
        let functions = self.functions();
        let sections = self.live_sections();
        let blocks = self.plan().blocks().to_vec();
        let plan = self.plan();
        let (memory, arguments, kinds) = self.into_parts();
        let mut live = Live {
            state: Box::new(Held {
                id,
                blocks,
                memory: memory.into_iter().map(Some).collect(),
                sections,
                numbers: tables::numbers(file),
                machine: file.arch().machine,
                tables: Vec::new(),
                functions,
                unknown_parameters: Vec::new(),
                parameter_kinds: kinds,
                dropped_entries: 0,
                freed: 0,
            }),
            stage: PhantomData,
        };
        let init = live.init_ranges();
        let mut tables = live.state.tables();
        tables.find(plan);
        tables.prepare(&init);
        match live.start(host, &name, &arguments) {
            Ok(()) => {
                modules.set_state(id, State::Live);
                Ok(live)
            }
            Err(error) => {
                modules.remove(id);
                host.quiesce();
                Err(error)
            }
        }
    }

    fn export(&self, modules: &mut Modules, id: ModuleId) -> Result<(), Error> {
        for export in self.plan().file().exports() {
            let address = self.symbol_address(export.symbol).unwrap_or(0);
            let as_exported = Export {
                gpl_only: export.gpl_only,
                crc: export.crc,
                namespace: export.namespace,
                ..Export::at(address)
            };
            modules.export(id, export.name, as_exported)?;
        }
        Ok(())
    }

    /// The functions that `struct module` names. Its places for them depend on the kernel's
    /// configuration; the symbols that its relocations fill them with do not (Linux,
    /// `scripts/mod/modpost.c`, add_header).
    fn functions(&self) -> Functions {
        let mut functions = Functions::default();
        let file = self.plan().file();
        let Some(module) = file.this_module() else {
            return functions;
        };
        let sections = file.sections().iter();
        let of_module = sections.filter(|section| section.info == module.0);
        let relocations = of_module.filter_map(|section| Some(file.relocations(section)?.1));
        for relocation in relocations.flatten() {
            let symbol = SymbolId(relocation.symbol);
            let slot = match file.symbol_name(symbol) {
                b"init_module" => &mut functions.init,
                b"cleanup_module" => &mut functions.exit,
                _ => continue,
            };
            *slot = self.symbol_address(symbol);
        }
        functions
    }

    fn live_sections(&self) -> Sections {
        let plan = self.plan();
        let file = plan.file();
        let sections = plan.places().map(|(id, place)| PlacedSection {
            name: file
                .section(id)
                .map_or(0..0, |section| file.name_range(section)),
            address: self.section_address(id).unwrap_or(0),
            size: plan.size(id),
            region: place.region,
        });
        Sections {
            all: sections.collect(),
            names: file.section_names().into(),
        }
    }
}

impl<M: Memory> Live<M, WithInit> {
    fn start<H: Host<Memory = M>>(
        &mut self,
        host: &mut H,
        name: &str,
        arguments: &[u8],
    ) -> Result<(), LoadError<H::Error>> {
        self.protect(host, false).map_err(LoadError::Host)?;
        host.register(&self.state.tables).map_err(LoadError::Host)?;
        let result = self.initialize(host, name, arguments);
        if result.is_err() {
            host.unregister(&self.state.tables);
        }
        result.map_err(LoadError::Module)
    }

    /// Sets parameters and calls init.
    fn initialize<H: Host<Memory = M>>(
        &mut self,
        host: &mut H,
        name: &str,
        arguments: &[u8],
    ) -> Result<(), Error> {
        let state = &mut *self.state;
        let mut setter = Setter {
            table: param_table(&state.tables),
            image: Image {
                blocks: &mut state.memory,
                numbers: state.numbers,
            },
            host,
            kinds: &state.parameter_kinds,
        };
        state.unknown_parameters = setter.set_all(arguments)?;
        let init = state.functions.init;
        match init.map_or(0, |init| host.call_init(init)) {
            result if result < 0 => Err(Error::Init {
                name: name.into(),
                result,
            }),
            _ => Ok(()),
        }
    }

    /// Frees what only init needed, and drops every table entry that points there.
    ///
    /// Where core and init share one block, nothing is freed and nothing dropped.
    ///
    /// # Errors
    /// What the host says when it protects what was writable until now. Everything else is done then,
    /// and the module goes on living.
    pub fn discard_init<H: Host<Memory = M>>(mut self, host: &mut H) -> Discarded<M, H::Error> {
        let freed: Vec<Range<u64>> = self.init_ranges();
        let state = &mut *self.state;
        let gone = state.tables().trim(&freed);
        state.dropped_entries += gone;
        if gone > 0 {
            host.trimmed(&state.tables);
        }
        let protected = self.protect(host, true);
        host.quiesce();
        let state = &mut *self.state;
        for (block, memory) in state.blocks.iter().zip(&mut state.memory) {
            if block.is_init() {
                state.freed += block.size;
                *memory = None;
            }
        }
        let gone = |address| freed.iter().any(|range| range.contains(&address));
        state.sections.all.retain(|section| !gone(section.address));
        let live = Live {
            state: self.state,
            stage: PhantomData,
        };
        match protected {
            Ok(()) => Ok(live),
            Err(error) => Err((live, error)),
        }
    }

    /// The run addresses of the blocks that are freed.
    fn init_ranges(&self) -> Vec<Range<u64>> {
        let blocks = self.state.blocks.iter().zip(&self.state.memory);
        let ranges = blocks.filter_map(|(block, memory)| {
            let start = memory.as_ref()?.address();
            block
                .is_init()
                .then(|| start..start.saturating_add(block.size))
        });
        ranges.collect()
    }
}

impl<M: Memory, Stage> Live<M, Stage> {
    fn protect<H: Host<Memory = M>>(
        &mut self,
        host: &mut H,
        init_has_returned: bool,
    ) -> Result<(), H::Error> {
        for (block, memory) in self.state.blocks.iter().zip(&mut self.state.memory) {
            let freed = init_has_returned && block.is_init();
            if let (false, Some(memory)) = (freed, memory) {
                host.protect(memory, block, init_has_returned)?;
            }
        }
        Ok(())
    }

    /// Its identity in the list of modules.
    #[must_use]
    pub const fn id(&self) -> ModuleId {
        self.state.id
    }

    /// Its sections, by number.
    pub fn sections(&self) -> impl Iterator<Item = LiveSection<'_>> {
        self.state.sections.iter()
    }

    /// Its tables.
    #[must_use]
    pub fn tables(&self) -> &[LiveTable] {
        &self.state.tables
    }

    /// The names on its command line that are none of its parameters: they were ignored.
    #[must_use]
    pub fn unknown_parameters(&self) -> &[String] {
        &self.state.unknown_parameters
    }

    /// Its parameters and the values that they have now (`/sys/module/NAME/parameters`). `host` is the one
    /// that it was committed with.
    pub fn parameters<H: Host<Memory = M>>(&mut self, host: &H) -> Vec<Parameter> {
        let state = &mut *self.state;
        let table = param_table(&state.tables);
        let mut shower = Shower {
            image: Image {
                blocks: &mut state.memory,
                numbers: state.numbers,
            },
            host,
            kinds: &state.parameter_kinds,
        };
        shower.all(table)
    }

    /// Table entries that were dropped with init.
    #[must_use]
    pub const fn dropped_entries(&self) -> u64 {
        self.state.dropped_entries
    }

    /// Bytes that were freed with init.
    #[must_use]
    pub const fn freed(&self) -> u64 {
        self.state.freed
    }

    /// Its blocks and their memory; `None` where that is freed.
    pub fn blocks(&self) -> impl Iterator<Item = (&Block, Option<&M>)> {
        let memory = self.state.memory.iter().map(Option::as_ref);
        self.state.blocks.iter().zip(memory)
    }

    /// The same, to read or change the bytes.
    pub fn blocks_mut(&mut self) -> impl Iterator<Item = (&Block, Option<&mut M>)> {
        let state = &mut *self.state;
        let memory = state.memory.iter_mut().map(Option::as_mut);
        state.blocks.iter().zip(memory)
    }

    /// Calls its exit function and takes it out of the kernel. Its memory is given back.
    ///
    /// # Errors
    /// [`Error::InUse`] while something uses it, [`Error::NoExit`] if it has an init function but no
    /// exit function; it stays as it was then.
    pub fn unload<H: Host<Memory = M>>(
        self,
        host: &mut H,
        modules: &mut Modules,
    ) -> Result<(), (Self, Error)> {
        if let Err(error) = modules.check_unload(self.state.id) {
            return Err((self, error));
        }
        let Functions { init, exit } = self.state.functions;
        if exit.is_none() && init.is_some() {
            let name = modules
                .get(self.state.id)
                .map(|record| record.name().into());
            let name = name.unwrap_or_default();
            return Err((self, Error::NoExit { name }));
        }
        modules.set_state(self.state.id, State::Going);
        if let Some(exit) = exit {
            host.call_exit(exit);
        }
        host.unregister(&self.state.tables);
        modules.remove(self.state.id);
        host.quiesce();
        Ok(())
    }
}

/// Where `__param` is, and its size.
fn param_table(tables: &[LiveTable]) -> Option<(u64, u64)> {
    let table = tables.iter().find(|table| table.name == "__param")?;
    Some((table.address, table.size))
}

impl<M, Stage> fmt::Debug for Live<M, Stage> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("id", &self.state.id)
            .field("blocks", &self.state.blocks)
            .field("tables", &self.state.tables)
            .finish_non_exhaustive()
    }
}
