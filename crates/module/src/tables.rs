//! The tables of a module that point at its code: which there are, and what happens to them.
//!
//! They are found by the names of their sections, as in Linux (`kernel/module/main.c`,
//! find_module_sections, and each architecture's `module_finalize`); what their entries look like and
//! what becomes of them is in [`klink_tables::catalog`]. Before a kernel sees them they are sorted, or
//! split into what stays and what is about init; after init has returned, no entry is left that points
//! at what is freed.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use klink_tables::catalog::{self, AfterInit};
use klink_tables::orc::{self, OrcMut};
use klink_tables::table::{Entry, EntryForm, TableMut, select};
use klink_tables::{Numbers, eh_frame};

use crate::file::ModuleFile;
use crate::layout::range;
use crate::placement::Memory;
use crate::plan::{Place, Plan};

/// A table of a loaded module.
#[derive(Clone, Debug)]
pub struct LiveTable {
    /// The name of its section.
    pub name: String,
    /// What klink knows about it.
    pub known: &'static catalog::Known,
    /// What the entries that hold addresses look like; `None`: they hold none.
    pub form: Option<&'static EntryForm>,
    /// Its run address.
    pub address: u64,
    /// Bytes of the entries that count.
    pub size: u64,
    /// How many of its entries, the last ones, are about init and go with it
    /// ([`AfterInit::Split`]).
    pub late: u64,
    place: Place,
}

impl LiveTable {
    /// Number of entries that count; 0 if they hold no addresses.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.form.map_or(0, |form| self.size / form.size() as u64)
    }

    /// Whether no entry counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    fn bytes<'i>(&self, image: &'i mut [u8]) -> &'i mut [u8] {
        let range = range(self.place, self.size);
        let bytes = range.and_then(|range| image.get_mut(range));
        bytes.unwrap_or_default()
    }

    fn is(&self, section: &str) -> bool {
        self.name == section
    }
}

/// How numbers are written in the kernel that a module is for.
pub(crate) fn numbers(file: &ModuleFile<'_>) -> Numbers {
    let arch = file.arch();
    Numbers {
        word: arch.class.into(),
        endian: arch.endian,
    }
}

/// Sorts the exception table, which Linux does as soon as it is relocated (`kernel/module/main.c`,
/// post_relocation).
pub(crate) fn sort_exceptions(
    plan: &Plan<'_, '_>,
    address: impl Fn(Place) -> u64,
    images: &mut [&mut [u8]],
) {
    let file = plan.file();
    let found = file.known(crate::known::Known::ExTable).and_then(|id| {
        let place = plan.place(id)?;
        let image = images.get_mut(place.block.index())?;
        let bytes = image.get_mut(range(place, plan.size(id))?)?;
        Some((place, bytes))
    });
    if let Some((place, bytes)) = found
        && let Some(known) = catalog::find(b"__ex_table")
        && let Some(form) = known.form(file.arch().machine, numbers(file), bytes)
    {
        TableMut::new(form, numbers(file), bytes, address(place)).sort();
    }
}

/// The tables of a module with the memory that they are in.
pub(crate) struct Tables<'t, M> {
    pub(crate) numbers: Numbers,
    pub(crate) machine: u16,
    pub(crate) tables: &'t mut Vec<LiveTable>,
    pub(crate) blocks: &'t mut [Option<M>],
}

impl<M: Memory> Tables<'_, M> {
    /// Finds the tables that outlive init.
    pub(crate) fn find(&mut self, plan: &Plan<'_, '_>) {
        let (file, numbers) = (plan.file(), self.numbers);
        for (id, place) in plan.places() {
            let Some(section) = file.section(id) else {
                continue;
            };
            let name = file.section_name(section);
            let Some(known) = catalog::find(name).filter(|_| !place.region.is_init()) else {
                continue;
            };
            let Some(block) = self.block(place) else {
                continue;
            };
            let (base, size) = (block.address(), plan.size(id));
            let bytes = range(place, size).and_then(|range| block.bytes().get(range));
            let bytes = bytes.unwrap_or_default();
            let form = known.form(file.arch().machine, numbers, bytes);
            self.tables.push(LiveTable {
                name: String::from_utf8_lossy(name).into_owned(),
                known,
                form,
                address: base.wrapping_add(place.offset),
                size,
                late: 0,
                place,
            });
        }
    }

    fn block(&mut self, place: Place) -> Option<&mut M> {
        self.blocks.get_mut(place.block.index())?.as_mut()
    }

    /// Sorts the tables that are searched, and splits those that the kernel points into: entries
    /// about `init` come last.
    pub(crate) fn prepare(&mut self, init: &[Range<u64>]) {
        for nth in 0..self.tables.len() {
            let Some(table) = self.tables.get(nth).cloned() else {
                break;
            };
            if table.is(".orc_unwind_ip") {
                self.sort_orc(&table);
                continue;
            }
            let (sorted, split) = (
                table.known.sorted,
                table.known.after_init == AfterInit::Split,
            );
            let late = self.edit(&table, |entries| {
                if sorted {
                    entries.sort();
                }
                match split {
                    true => entries.as_table().len() - entries.split(init),
                    false => 0,
                }
            });
            if let Some(slot) = self.tables.get_mut(nth) {
                slot.late = late.unwrap_or(0) as u64;
            }
        }
    }

    /// Drops entries that point into one of the ranges of addresses `gone`, and gives the number of
    /// dropped ones.
    pub(crate) fn trim(&mut self, gone: &[Range<u64>]) -> u64 {
        let mut dropped = 0;
        for nth in 0..self.tables.len() {
            let Some(table) = self.tables.get(nth).cloned() else {
                break;
            };
            let left = match table.known.after_init {
                AfterInit::Drop | AfterInit::Split => {
                    self.edit(&table, |entries| entries.trim(gone) as u64)
                }
                AfterInit::DropWith(others) => self.trim_with(&table, others, gone),
                AfterInit::Own => {
                    dropped += self.trim_frames(&table, gone);
                    None
                }
                AfterInit::GoWith(_) | AfterInit::Nothing => None,
            };
            if let (Some(left), Some(form)) = (left, table.form)
                && let Some(slot) = self.tables.get_mut(nth)
            {
                dropped += table.len() - left;
                slot.size = left * form.size() as u64;
                slot.late = 0;
            }
        }
        dropped
    }

    /// Changes a table; `None` if its entries hold no addresses.
    fn edit<T>(
        &mut self,
        table: &LiveTable,
        change: impl FnOnce(&mut TableMut<'_>) -> T,
    ) -> Option<T> {
        let (form, numbers) = (table.form?, self.numbers);
        let bytes = table.bytes(self.block(table.place)?.bytes());
        let mut entries = TableMut::new(form, numbers, bytes, table.address);
        Some(change(&mut entries))
    }

    /// Drops entries of a table and those of the same numbers in `others`, as far as there are these.
    fn trim_with(
        &mut self,
        table: &LiveTable,
        others: &[&str],
        gone: &[Range<u64>],
    ) -> Option<u64> {
        let stays = |entry: &Entry<'_>| !points_into(*entry, gone);
        let order = self.edit(table, |entries| {
            if entries.as_table().entries().all(|entry| stays(&entry)) {
                return None;
            }
            let kept = entries.as_table().entries().filter(stays);
            let order: Vec<usize> = kept.map(|entry| entry.index()).collect();
            entries.select(&order);
            Some(order)
        })?;
        let Some(order) = order else {
            return Some(table.len());
        };
        for other in others {
            self.select_partner(other, table.len(), &order);
        }
        Some(order.len() as u64)
    }

    /// Keeps the entries with the numbers `order` of a table that had `count` of them, if there is one of
    /// this name: symbols without CRCs have no table of these.
    fn select_partner(&mut self, name: &str, count: u64, order: &[usize]) -> Option<()> {
        let nth = self.tables.iter().position(|table| table.is(name))?;
        let partner = self.tables.get(nth)?.clone();
        let size = partner.size.checked_div(count).filter(|&size| size > 0)?;
        let bytes = partner.bytes(self.block(partner.place)?.bytes());
        select(bytes, usize::try_from(size).ok()?, order);
        self.tables.get_mut(nth)?.size = order.len() as u64 * size;
        Some(())
    }

    fn trim_frames(&mut self, table: &LiveTable, gone: &[Range<u64>]) -> u64 {
        let numbers = self.numbers;
        let Some(block) = self.block(table.place) else {
            return 0;
        };
        let bytes = table.bytes(block.bytes());
        eh_frame::trim(numbers, bytes, table.address, gone) as u64
    }

    /// Sorts the two halves of x86's unwind table together.
    fn sort_orc(&mut self, ips: &LiveTable) -> Option<()> {
        let form = orc::form(self.machine)?;
        let entries = self.tables.iter().find(|table| table.is(".orc_unwind"))?;
        if entries.place.block != ips.place.block {
            return None;
        }
        let ranges = [
            range(ips.place, ips.size)?,
            range(entries.place, entries.size)?,
        ];
        let numbers = self.numbers;
        let block = self.block(ips.place)?;
        let [ip_bytes, entry_bytes] = block.bytes().get_disjoint_mut(ranges).ok()?;
        let mut orc = OrcMut::new(form, numbers, ip_bytes, ips.address, entry_bytes).ok()?;
        orc.sort();
        Some(())
    }
}

fn points_into(entry: Entry<'_>, ranges: &[Range<u64>]) -> bool {
    entry
        .targets()
        .any(|target| ranges.iter().any(|range| range.contains(&target)))
}
