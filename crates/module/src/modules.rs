//! The list of loaded modules: names, states, who uses whom, what they export.
//!
//! Source: Linux 6.1 `kernel/module/main.c` (add_unformed_module, ref_module, delete_module,
//! verify_exported_symbols, print_unload_info).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::HashMap;

use crate::error::Error;
use crate::symbols::{Export, ModuleId, SymbolTable, Symbols};

/// How far a module's life has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum State {
    /// Its init has not returned yet; its symbols can be used already.
    Coming,
    /// Its init has returned.
    Live,
    /// Its exit is running.
    Going,
}

/// What is known of a loaded module.
#[derive(Clone, Debug)]
pub struct Record {
    id: ModuleId,
    name: String,
    state: State,
    uses: Vec<ModuleId>,
    held: u32,
    proprietary: bool,
}

impl Record {
    /// Its identity.
    #[must_use]
    pub const fn id(&self) -> ModuleId {
        self.id
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far its life has come.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The modules whose symbols it uses.
    #[must_use]
    pub fn uses(&self) -> &[ModuleId] {
        &self.uses
    }
}

/// A name with underscores only: dashes count as such.
fn plain(name: &str) -> Box<[u8]> {
    let underscore = |byte| if byte == b'-' { b'_' } else { byte };
    name.bytes().map(underscore).collect()
}

/// The loaded modules.
#[derive(Clone, Debug, Default)]
pub struct Modules {
    /// By rising identity.
    records: Vec<Record>,
    /// Under their names with underscores only.
    by_name: HashMap<Box<[u8]>, ModuleId>,
    exports: SymbolTable,
    next: u32,
}

impl Modules {
    /// No modules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// All of them, in the order in which they were loaded.
    pub fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: ModuleId) -> Option<&Record> {
        let found = self.records.binary_search_by_key(&id, |record| record.id);
        self.records.get(found.ok()?)
    }

    /// The module of this name. Dashes count as underscores.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Record> {
        self.get(*self.by_name.get(&plain(name))?)
    }

    /// The modules that use symbols of `id` (`/sys/module/NAME/holders`).
    pub fn holders(&self, id: ModuleId) -> impl Iterator<Item = &Record> {
        self.records
            .iter()
            .filter(move |record| record.uses.contains(&id))
    }

    /// How often `id` is used: by modules, and by what [`hold`](Self::hold) was called for
    /// (`/sys/module/NAME/refcnt`).
    #[must_use]
    pub fn reference_count(&self, id: ModuleId) -> usize {
        let held = self.get(id).map_or(0, |record| record.held as usize);
        self.holders(id).count() + held
    }

    /// Keeps a live module from being unloaded; gives whether it did (Linux, `try_module_get`).
    pub fn hold(&mut self, id: ModuleId) -> bool {
        let record = self.get_mut(id);
        let record = record.filter(|record| record.state != State::Going);
        record.is_some_and(|record| {
            record.held = record.held.saturating_add(1);
            true
        })
    }

    /// Undoes one [`hold`](Self::hold).
    pub fn release(&mut self, id: ModuleId) {
        if let Some(record) = self.get_mut(id) {
            record.held = record.held.saturating_sub(1);
        }
    }

    /// The symbols of the kernel and of all modules.
    pub const fn with_kernel<K: Symbols>(&self, kernel: K) -> AllSymbols<'_, K> {
        AllSymbols {
            kernel,
            modules: self,
        }
    }

    /// What modules export.
    #[must_use]
    pub const fn exports(&self) -> &SymbolTable {
        &self.exports
    }

    pub(crate) fn get_mut(&mut self, id: ModuleId) -> Option<&mut Record> {
        let found = self.records.binary_search_by_key(&id, |record| record.id);
        self.records.get_mut(found.ok()?)
    }

    /// Adds a module that is coming.
    pub(crate) fn add(
        &mut self,
        name: String,
        uses: Vec<ModuleId>,
        proprietary: bool,
    ) -> Result<ModuleId, Error> {
        if let Some(old) = self.find(&name) {
            return Err(match old.state {
                State::Live => Error::Exists { name },
                State::Coming | State::Going => Error::Busy { name },
            });
        }
        if let Some(going) = uses
            .iter()
            .filter_map(|&id| self.get(id))
            .find(|used| used.state == State::Going)
        {
            return Err(Error::Busy {
                name: going.name.clone(),
            });
        }
        let id = ModuleId::new(self.next);
        // a number is never given twice
        self.next = self.next.checked_add(1).ok_or(Error::TooLarge)?;
        self.by_name.insert(plain(&name), id);
        self.records.push(Record {
            id,
            name,
            state: State::Coming,
            uses,
            held: 0,
            proprietary,
        });
        Ok(id)
    }

    /// Adds what a module exports.
    pub(crate) fn export(
        &mut self,
        id: ModuleId,
        name: &[u8],
        export: Export<'_>,
    ) -> Result<(), Error> {
        let proprietary = self.get(id).is_some_and(|record| record.proprietary);
        let export_as = Export {
            owner: Some(id),
            proprietary,
            ..export
        };
        if self.exports.insert(name, export_as) {
            return Ok(());
        }
        let owner = self.exports.export(name).and_then(|export| export.owner);
        let owner = owner.and_then(|owner| self.get(owner));
        Err(Error::DuplicateExport {
            symbol: String::from_utf8_lossy(name).into_owned(),
            owner: owner.map_or_else(|| "kernel".into(), |owner| owner.name.clone()),
        })
    }

    pub(crate) fn set_state(&mut self, id: ModuleId, state: State) {
        if let Some(record) = self.get_mut(id) {
            record.state = state;
        }
    }

    /// Takes a module and its exports away.
    pub(crate) fn remove(&mut self, id: ModuleId) {
        self.exports.remove_owner(id);
        if let Ok(nth) = self.records.binary_search_by_key(&id, |record| record.id) {
            let record = self.records.remove(nth);
            self.by_name.remove(&plain(&record.name));
        }
    }

    /// Why a module may not be unloaded.
    pub(crate) fn check_unload(&self, id: ModuleId) -> Result<(), Error> {
        let Some(record) = self.get(id) else {
            return Ok(());
        };
        let name = || record.name.clone();
        let holders: Vec<String> = self.holders(id).map(|holder| holder.name.clone()).collect();
        if !holders.is_empty() || record.held > 0 {
            return Err(Error::InUse {
                name: name(),
                holders,
                held: record.held,
            });
        }
        match record.state {
            State::Live => Ok(()),
            State::Coming | State::Going => Err(Error::Busy { name: name() }),
        }
    }
}

/// The symbols of a kernel and of the modules that it has loaded; see [`Modules::with_kernel`].
#[derive(Clone, Copy, Debug)]
pub struct AllSymbols<'m, K> {
    kernel: K,
    modules: &'m Modules,
}

impl<K: Symbols> Symbols for AllSymbols<'_, K> {
    fn export(&self, name: &[u8]) -> Option<Export<'_>> {
        let kernel = self.kernel.export(name);
        kernel.or_else(|| self.modules.exports.export(name))
    }

    fn kernel_symbol(&self, name: &[u8]) -> Option<u64> {
        self.kernel.kernel_symbol(name)
    }
}
