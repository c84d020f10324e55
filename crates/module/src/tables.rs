//! The tables of a module that point at its code: which there are, and what happens to them.
//!
//! They are found by the names of their sections, as in Linux (`kernel/module/main.c`,
//! find_module_sections, and each architecture's `module_finalize`); what their entries look like and
//! what becomes of them is in [`klink_tables::catalog`]. Before a kernel sees them they are sorted, or
//! split into what stays and what is about init; after init has returned, no entry is left that points
//! at what is freed.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use klink_tables::catalog::{self, AfterInit};
use klink_tables::orc::{self, OrcMut};
use klink_tables::table::{EntryForm, TableMut, remove};
use klink_tables::{Numbers, eh_frame};

use crate::file::ModuleFile;
use crate::layout::range;
use crate::placement::Memory;
use crate::plan::{Place, Plan};

/// A table of a loaded module.
#[derive(Clone, Debug)]
pub struct LiveTable {
    /// The name of its section.
    pub name: Cow<'static, str>,
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

    /// Only the first `left` entries count now; gives how many do not any more.
    fn shorten(&mut self, left: u64) -> u64 {
        let before = self.len();
        let entry = self.form.map_or(0, |form| form.size() as u64);
        self.size = left * entry;
        self.late = 0;
        before.saturating_sub(left)
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
            let Some(section) = file.section(id).filter(|_| !place.region.is_init()) else {
                continue;
            };
            let name = file.section_name(section);
            let Some(known) = catalog::find(name) else {
                continue;
            };
            let Some(block) = block(self.blocks, place) else {
                continue;
            };
            let (base, size) = (block.address(), plan.size(id));
            let bytes = range(place, size).and_then(|range| block.bytes().get(range));
            let bytes = bytes.unwrap_or_default();
            let form = known.form(file.arch().machine, numbers, bytes);
            self.tables.push(LiveTable {
                name: match known.section {
                    catalog::SectionName::Is(name) => Cow::Borrowed(name),
                    catalog::SectionName::StartsWith(_) => {
                        String::from_utf8_lossy(name).into_owned().into()
                    }
                },
                known,
                form,
                address: base.wrapping_add(place.offset),
                size,
                late: 0,
                place,
            });
        }
    }

    /// Sorts the tables that are searched, and splits those that the kernel points into: entries
    /// about `init` come last.
    pub(crate) fn prepare(&mut self, init: &[Range<u64>]) {
        self.change_orc(|orc| orc.sort());
        for table in self.tables.iter_mut() {
            let split = table.known.after_init == AfterInit::Split;
            if !split && !table.known.sorted || table.is(ORC_IP) {
                continue;
            }
            let late = edit(self.blocks, self.numbers, table, |entries| {
                if !split {
                    entries.sort();
                    return 0;
                }
                entries.as_table().len() - entries.split(init)
            });
            table.late = late.unwrap_or(0) as u64;
        }
    }

    /// Drops entries that point into one of the ranges of addresses `gone`, and gives the number of
    /// dropped ones.
    pub(crate) fn trim(&mut self, gone: &[Range<u64>]) -> u64 {
        let mut dropped = 0;
        for nth in 0..self.tables.len() {
            let Some(table) = self.tables.get_mut(nth) else {
                break;
            };
            match table.known.after_init {
                AfterInit::DropWith(others) => dropped += self.trim_with(nth, others, gone),
                AfterInit::Own => {
                    if let Some(block) = block(self.blocks, table.place) {
                        let bytes = table.bytes(block.bytes());
                        let emptied = eh_frame::trim(self.numbers, bytes, table.address, gone);
                        dropped += emptied as u64;
                    }
                }
                AfterInit::Drop | AfterInit::Split => {
                    let left = edit(self.blocks, self.numbers, table, |entries| {
                        entries.trim(gone) as u64
                    });
                    dropped += left.map_or(0, |left| table.shorten(left));
                }
                AfterInit::GoWith(_) | AfterInit::Nothing => {}
            }
        }
        dropped
    }

    /// Drops entries of a table and those of the same numbers in `others`, as far as there are these: symbols
    /// without CRCs have no table of these. Gives the number of dropped ones.
    fn trim_with(&mut self, nth: usize, others: &[&str], gone: &[Range<u64>]) -> u64 {
        let Some(table) = self.tables.get_mut(nth) else {
            return 0;
        };
        let count = table.len();
        let of_orc = table.is(ORC_IP);
        if of_orc && let Some(left) = self.change_orc(|orc| orc.trim(gone) as u64) {
            return self.shorten(nth, others, count, left);
        }
        let Some(table) = self.tables.get_mut(nth) else {
            return 0;
        };
        let runs = edit(self.blocks, self.numbers, table, |entries| {
            let runs = entries.as_table().runs_into(gone);
            entries.remove(&runs);
            runs
        });
        let runs = runs.unwrap_or_default();
        for partner in self
            .tables
            .iter()
            .filter(|table| others.contains(&&*table.name))
        {
            let size = partner.size.checked_div(count).filter(|&size| size > 0);
            let block = block(self.blocks, partner.place);
            if let Some((size, block)) = size.zip(block) {
                remove(partner.bytes(block.bytes()), size as usize, &runs);
            }
        }
        let dropped: usize = runs.iter().map(ExactSizeIterator::len).sum();
        self.shorten(nth, others, count, count - dropped as u64)
    }

    /// Of the `count` entries of a table, and of those that go with them in `others`, only `left` count
    /// now. Gives how many do not any more.
    fn shorten(&mut self, nth: usize, others: &[&str], count: u64, left: u64) -> u64 {
        if count == left {
            return 0;
        }
        for partner in self
            .tables
            .iter_mut()
            .filter(|table| others.contains(&&*table.name))
        {
            partner.size = partner.size.checked_div(count).unwrap_or(0) * left;
        }
        self.tables
            .get_mut(nth)
            .map_or(0, |table| table.shorten(left))
    }

    /// Changes the two halves of x86's unwind table together.
    fn change_orc<T>(&mut self, change: impl FnOnce(&mut OrcMut<'_>) -> T) -> Option<T> {
        let form = orc::form(self.machine)?;
        let find = |name| self.tables.iter().find(|table| table.is(name));
        let (ips, entries) = (find(ORC_IP)?, find(".orc_unwind")?);
        let (ip_range, range) = (
            range(ips.place, ips.size)?,
            range(entries.place, entries.size)?,
        );
        if entries.place.block != ips.place.block {
            return None;
        }
        let block = block(self.blocks, ips.place)?;
        let [ip_bytes, bytes] = block.bytes().get_disjoint_mut([ip_range, range]).ok()?;
        let mut orc = OrcMut::new(form, self.numbers, ip_bytes, ips.address, bytes).ok()?;
        Some(change(&mut orc))
    }
}

const ORC_IP: &str = ".orc_unwind_ip";

fn block<M>(blocks: &mut [Option<M>], place: Place) -> Option<&mut M> {
    blocks.get_mut(place.block.index())?.as_mut()
}

/// Changes a table; `None` if its entries hold no addresses.
fn edit<M: Memory, T>(
    blocks: &mut [Option<M>],
    numbers: Numbers,
    table: &LiveTable,
    change: impl FnOnce(&mut TableMut<'_>) -> T,
) -> Option<T> {
    let form = table.form?;
    let bytes = table.bytes(block(blocks, table.place)?.bytes());
    let mut entries = TableMut::new(form, numbers, bytes, table.address);
    Some(change(&mut entries))
}
