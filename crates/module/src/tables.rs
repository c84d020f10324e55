//! The tables of a module that point at its code: which there are, and what happens to them.
//!
//! They are found by the names of their sections, as in Linux (`kernel/module/main.c`,
//! find_module_sections, and each architecture's `module_finalize`). After init has returned, entries
//! that point into what is freed are dropped.

use alloc::vec::Vec;
use core::ops::Range;

use klink_tables::orc::{self, OrcForm, OrcMut};
use klink_tables::table::{EntryForm, TableMut};
use klink_tables::{Numbers, exception};

use crate::file::ModuleFile;
use crate::known::Known;
use crate::layout::range;
use crate::placement::Memory;
use crate::plan::Place;

/// What a table is for.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum TableKind {
    /// `__ex_table`: where to go on after a fault. Sorted.
    Exceptions,
    /// `.orc_unwind_ip`: x86's unwind table, addresses. Sorted, with [`OrcEntries`](Self::OrcEntries).
    OrcAddresses,
    /// `.orc_unwind`: x86's unwind table, entries.
    OrcEntries,
}

/// A table of a loaded module.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LiveTable {
    /// What it is for.
    pub kind: TableKind,
    /// Its run address.
    pub address: u64,
    /// Bytes of the entries that count.
    pub size: u64,
    /// Bytes of an entry.
    pub entry_size: u64,
    pub(crate) place: Place,
}

impl LiveTable {
    /// Number of entries that count.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.size / self.entry_size
    }

    /// Whether no entry counts.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn bytes<'i>(&self, image: &'i mut [u8]) -> &'i mut [u8] {
        let range = range(self.place, self.size);
        range
            .and_then(|range| image.get_mut(range))
            .unwrap_or_default()
    }
}

/// How the tables of a module's architecture look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forms {
    numbers: Numbers,
    exceptions: Option<&'static EntryForm>,
    orc: Option<&'static OrcForm>,
}

impl Forms {
    pub(crate) fn new(file: &ModuleFile<'_>) -> Self {
        let arch = file.arch();
        let numbers = Numbers {
            word: arch.class.into(),
            endian: arch.endian,
        };
        let table = file.known_contents(Known::ExTable);
        Self {
            numbers,
            exceptions: exception::form(arch.machine, numbers, table),
            orc: orc::form(arch.machine),
        }
    }

    /// Bytes of an entry of the table in a section; `None` if it is no table that klink knows.
    fn of(&self, known: Known) -> Option<(TableKind, u64)> {
        let (kind, size) = match known {
            Known::ExTable => (TableKind::Exceptions, self.exceptions?.size()),
            Known::OrcIp => (TableKind::OrcAddresses, self.orc.map(|_| orc::IP.size())?),
            Known::Orc => (TableKind::OrcEntries, self.orc?.size),
            _ => return None,
        };
        Some((kind, size as u64))
    }

    /// The tables of a module. `place` gives a section's place, address and size.
    pub(crate) fn find(
        &self,
        file: &ModuleFile<'_>,
        place: impl Fn(crate::SectionId) -> Option<(Place, u64, u64)>,
    ) -> Vec<LiveTable> {
        let known = [Known::ExTable, Known::OrcIp, Known::Orc];
        let found = known.into_iter().filter_map(|known| {
            let (kind, entry_size) = self.of(known)?;
            let (place, address, size) = place(file.known(known)?)?;
            Some(LiveTable {
                kind,
                address,
                size: size - size % entry_size,
                entry_size,
                place,
            })
        });
        found.collect()
    }

    /// Sorts what kernels search.
    pub(crate) fn sort(&self, table: &LiveTable, image: &mut [u8]) {
        if let (TableKind::Exceptions, Some(form)) = (table.kind, self.exceptions) {
            let bytes = table.bytes(image);
            TableMut::new(form, self.numbers, bytes, table.address).sort();
        }
    }

    /// Drops entries that point into one of the ranges of addresses `gone`, and gives the number of
    /// dropped ones. `blocks` are the memory of all blocks.
    pub(crate) fn trim<M: Memory>(
        &self,
        tables: &mut [LiveTable],
        gone: &[Range<u64>],
        blocks: &mut [Option<M>],
    ) -> u64 {
        let mut dropped = 0;
        for nth in 0..tables.len() {
            let [table, rest @ ..] = &mut tables[nth..] else {
                break;
            };
            let left = match table.kind {
                TableKind::Exceptions => self.trim_exceptions(table, gone, blocks),
                TableKind::OrcAddresses => {
                    let entries = rest.iter_mut().find(|of| of.kind == TableKind::OrcEntries);
                    entries.and_then(|entries| {
                        let left = self.trim_orc(table, entries, gone, blocks)?;
                        entries.size = left * entries.entry_size;
                        Some(left)
                    })
                }
                TableKind::OrcEntries => None,
            };
            if let Some(left) = left {
                dropped += table.len() - left;
                table.size = left * table.entry_size;
            }
        }
        dropped
    }

    fn trim_exceptions<M: Memory>(
        &self,
        table: &LiveTable,
        gone: &[Range<u64>],
        blocks: &mut [Option<M>],
    ) -> Option<u64> {
        let block = blocks.get_mut(table.place.block.index())?.as_mut()?;
        let bytes = table.bytes(block.bytes());
        let mut table = TableMut::new(self.exceptions?, self.numbers, bytes, table.address);
        Some(table.trim(gone) as u64)
    }

    fn trim_orc<M: Memory>(
        &self,
        ips: &LiveTable,
        entries: &LiveTable,
        gone: &[Range<u64>],
        blocks: &mut [Option<M>],
    ) -> Option<u64> {
        let ranges = [ips, entries].map(|table| range(table.place, table.size));
        let ranges = [ranges[0].clone()?, ranges[1].clone()?];
        // both are constants, and so in one block
        let block = blocks.get_mut(ips.place.block.index())?.as_mut()?;
        if ips.place.block != entries.place.block {
            return None;
        }
        let [ip_bytes, entry_bytes] = block.bytes().get_disjoint_mut(ranges).ok()?;
        let orc = OrcMut::new(self.orc?, self.numbers, ip_bytes, ips.address, entry_bytes);
        Some(orc.ok()?.trim(gone) as u64)
    }
}
