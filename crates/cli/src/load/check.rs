//! Walks the tables of loaded modules: does an entry point into what is freed?

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ops::Range;

use klink_arch::Arch;
use klink_module::{InitDiscarded, Live, LiveSection, Memory, ModuleId, WithInit};
use klink_tables::Numbers;
use klink_tables::catalog;
use klink_tables::table::Table;
use serde::Serialize;

use super::memory::Simulated;

/// What every module has freed.
#[derive(Default)]
pub(super) struct Check {
    freed: HashMap<ModuleId, Vec<Range<u64>>>,
}

/// What was found in tables of one name.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Found {
    /// Tables.
    pub(crate) tables: u64,
    /// Their entries.
    pub(crate) entries: u64,
    /// Entries that point into what is freed.
    pub(crate) stale: u64,
}

/// What a walk has found, by the names of sections.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Walk {
    /// Entries of all tables.
    pub(crate) entries: u64,
    /// Those of them that point into what is freed.
    pub(crate) stale: u64,
    /// By section.
    pub(crate) tables: BTreeMap<String, Found>,
}

/// The run addresses of a module's init blocks.
pub(super) fn init_ranges(live: &Live<Simulated, WithInit>) -> Vec<Range<u64>> {
    let init = live.blocks().filter(|(block, _)| block.is_init());
    let ranges = init.filter_map(|(block, memory)| {
        let start = memory?.address();
        Some(start..start.saturating_add(block.size))
    });
    ranges.collect()
}

impl Check {
    /// Remembers what a module has freed.
    pub(super) fn note(&mut self, id: ModuleId, freed: Vec<Range<u64>>) {
        self.freed.insert(id, freed);
    }

    /// Walks the tables of `modules`.
    pub(super) fn walk(&self, arch: &Arch, modules: &[Live<Simulated, InitDiscarded>]) -> Walk {
        let numbers = Numbers {
            word: arch.class.into(),
            endian: arch.endian,
        };
        let mut walk = Walk::default();
        for module in modules {
            let freed = self.freed.get(&module.id()).map_or(&[][..], Vec::as_slice);
            for section in module.sections() {
                let Some(known) = catalog::find(section.name) else {
                    continue;
                };
                let bytes = contents(module, &section);
                let Some(form) = known.form(arch.machine, numbers, bytes) else {
                    continue;
                };
                let table = Table::new(form, numbers, bytes, section.address);
                let stale = table.entries().filter(|entry| entry.points_into(freed));
                walk.add(
                    &String::from_utf8_lossy(section.name),
                    table.len() as u64,
                    stale.count() as u64,
                );
            }
        }
        walk
    }
}

impl Walk {
    fn add(&mut self, name: &str, entries: u64, stale: u64) {
        self.entries += entries;
        self.stale += stale;
        let found = self.tables.entry(name.to_owned()).or_default();
        found.tables += 1;
        found.entries += entries;
        found.stale += stale;
    }
}

/// The bytes of a table that count: entries that were dropped are behind them.
fn contents<'l>(module: &'l Live<Simulated, InitDiscarded>, section: &LiveSection<'_>) -> &'l [u8] {
    let mut tables = module.tables().iter();
    let table = tables.find(|table| table.address == section.address);
    let size = table.map_or(section.size, |table| table.size);
    let found = module.blocks().find_map(|(_, memory)| {
        let memory = memory?;
        let start = section.address.checked_sub(memory.address())?;
        let start = usize::try_from(start).ok()?;
        let end = start.checked_add(usize::try_from(size).ok()?)?;
        memory.contents().get(start..end)
    });
    found.unwrap_or_default()
}
