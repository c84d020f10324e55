//! The tables of a finished kernel, sorted in the file, so that the kernel need not do it when it
//! starts: what `scripts/sorttable` does after the link.
//!
//! | table | found by | sorted |
//! |---|---|---|
//! | exception table | section `__ex_table` | by address; its form is [`crate::exception::form`]'s |
//! | ORC | sections `.orc_unwind_ip`, `.orc_unwind` | together, see [`crate::orc`] |
//! | calls of `mcount` | symbols `__start_mcount_loc`, `__stop_mcount_loc` | by address, see [`mcount`] |
//!
//! Then the variable `main_extable_sort_needed` is cleared. Where the file has relocations of
//! `__ex_table` (`--emit-relocs`), they are zeroed, since they belong to the entries in their old order; those
//! of other tables are left alone. `sorttable` did both until 6.13.
//!
//! parisc's kernels sort their exception table when they start, since `sorttable` does not know the
//! form that they have; here it is sorted like any other.
//!
//! Source: Linux 6.1.192 and 6.15, `scripts/sorttable.c`, `scripts/sorttable.h`.

pub mod mcount;

use alloc::vec::Vec;
use core::ops::Range;

use thiserror::Error;

use crate::elf::{Elf, SHT_REL, SHT_RELA, STT_OBJECT};
use crate::orc::{self, Inconsistent, OrcForm, OrcMut};
use crate::table::{EntryForm, TableMut};
use crate::{Numbers, exception};
use mcount::{Calls, WeakCalls};

/// `e_type` of what can be loaded: `ET_EXEC`, `ET_DYN`.
const LOADABLE: Range<u16> = 2..4;

/// Why the tables cannot be sorted. The file is as it was.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SortError {
    /// No ELF file that can be loaded, or damaged headers.
    #[error("this is no ELF file that is an executable or shared object, or it is damaged")]
    NoImage,
    /// No kernel for this machine has a known form of exception table.
    #[error("the form of exception tables is not known for machine {0}")]
    UnknownMachine(u16),
    /// A section is missing, or its bytes are not in the file.
    #[error("there is no {0} in the file")]
    NoSection(&'static str),
    /// A symbol is missing, or what it stands for is not in the file.
    #[error("there is no variable {0} in the file")]
    NoSymbol(&'static str),
    /// The two arrays of ORC do not belong together.
    #[error(transparent)]
    Orc(#[from] Inconsistent),
    /// Two tables share bytes of the file.
    #[error("tables overlap in the file")]
    Overlap,
    /// A dynamic relocation of the calls of `mcount` is not like the others.
    #[error("relocations of __mcount_loc are not one of one kind for each entry")]
    CallRelocations,
}

/// How many entries each table has that was sorted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sorted {
    /// Of the exception table.
    pub exceptions: usize,
    /// Of ORC, if there is any.
    pub orc: usize,
    /// Calls of `mcount`, if there are any.
    pub calls: usize,
    /// Of these, the zeroed ones: see [`WeakCalls::Zero`].
    pub weak_calls: usize,
}

/// Sorts the tables of the kernel `file`.
///
/// # Errors
/// If it is no kernel; then nothing is changed.
pub fn image(file: &mut [u8], weak_calls: WeakCalls) -> Result<Sorted, SortError> {
    let plan = Plan::new(file, weak_calls)?;
    Ok(plan.carry_out(file))
}

/// A table of entries in the file.
struct Place {
    range: Range<usize>,
    address: u64,
}

struct Orc {
    form: &'static OrcForm,
    ips: Place,
    entries: Range<usize>,
}

/// All that will be changed. It is complete before anything is.
struct Plan {
    numbers: Numbers,
    exceptions: Place,
    exception_form: &'static EntryForm,
    exception_relocations: Option<Range<usize>>,
    flag: Range<usize>,
    orc: Option<Orc>,
    calls: Option<Calls>,
}

impl Plan {
    fn new(file: &[u8], weak_calls: WeakCalls) -> Result<Self, SortError> {
        let elf = Elf::parse(file).ok_or(SortError::NoImage)?;
        if !LOADABLE.contains(&elf.file_type) {
            return Err(SortError::NoImage);
        }
        let place = |name: &'static str| {
            let section = &elf.sections[elf.find(file, name.as_bytes())?];
            Some(Place {
                range: section.range(file)?,
                address: section.address,
            })
        };
        let exceptions = place("__ex_table").ok_or(SortError::NoSection("__ex_table"))?;
        let bytes = &file[exceptions.range.clone()];
        let exception_form = exception::form(elf.machine, elf.numbers, bytes)
            .ok_or(SortError::UnknownMachine(elf.machine))?;
        let orc = match orc::form(elf.machine) {
            None => None,
            Some(form) => match (place(".orc_unwind_ip"), place(".orc_unwind")) {
                (None, None) => None,
                (ips, entries) => {
                    let entries = entries.ok_or(SortError::NoSection(".orc_unwind"))?;
                    Some(Orc {
                        form,
                        ips: ips.ok_or(SortError::NoSection(".orc_unwind_ip"))?,
                        entries: entries.range,
                    })
                }
            },
        };
        let plan = Self {
            numbers: elf.numbers,
            exceptions,
            exception_form,
            exception_relocations: relocations_of(&elf, file, "__ex_table"),
            flag: flag(&elf, file)?,
            orc,
            calls: Calls::find(&elf, file, weak_calls)?,
        };
        plan.check(file)?;
        Ok(plan)
    }

    /// Says no if two parts of the plan would change the same bytes, or ORC is inconsistent.
    fn check(&self, file: &[u8]) -> Result<(), SortError> {
        let mut parts: Vec<&Range<usize>> = Vec::new();
        parts.extend([&self.exceptions.range, &self.flag]);
        parts.extend(&self.exception_relocations);
        if let Some(orc) = &self.orc {
            parts.extend([&orc.ips.range, &orc.entries]);
            orc::check(orc.form, orc.ips.range.len(), orc.entries.len())?;
        }
        parts.extend(self.calls.as_ref().map(Calls::range));
        parts.retain(|part| !part.is_empty());
        parts.sort_unstable_by_key(|part| part.start);
        let overlap = parts.windows(2).any(|pair| pair[1].start < pair[0].end);
        match overlap || parts.iter().any(|part| part.end > file.len()) {
            true => Err(SortError::Overlap),
            false => Ok(()),
        }
    }

    fn carry_out(self, file: &mut [u8]) -> Sorted {
        let mut sorted = Sorted::default();
        let Place { range, address } = self.exceptions;
        let bytes = &mut file[range];
        let mut table = TableMut::new(self.exception_form, self.numbers, bytes, address);
        table.sort();
        sorted.exceptions = table.as_table().len();
        if let Some(relocations) = self.exception_relocations {
            file[relocations].fill(0);
        }
        file[self.flag].fill(0);
        if let Some(orc) = self.orc {
            sorted.orc = sort_orc(self.numbers, file, orc);
        }
        if let Some(calls) = self.calls {
            (sorted.calls, sorted.weak_calls) = calls.sort(file);
        }
        sorted
    }
}

/// Sorts both arrays; gives the number of their entries. They do not overlap.
fn sort_orc(numbers: Numbers, file: &mut [u8], orc: Orc) -> usize {
    let Place { range, address } = orc.ips;
    let count = range.len() / orc::IP.size();
    let ips_first = range.start < orc.entries.start;
    let (ips, entries) = if ips_first {
        let (front, back) = file.split_at_mut(orc.entries.start);
        (&mut front[range], &mut back[..orc.entries.len()])
    } else {
        let (front, back) = file.split_at_mut(range.start);
        (&mut back[..range.len()], &mut front[orc.entries])
    };
    if let Ok(mut both) = OrcMut::new(orc.form, numbers, ips, address, entries) {
        both.sort();
    }
    count
}

/// Where the relocations of the section with this name are in the file, if there are any.
fn relocations_of(elf: &Elf, file: &[u8], name: &str) -> Option<Range<usize>> {
    let target = elf.find(file, name.as_bytes())?;
    let of_target = elf.sections.iter().rfind(|section| {
        matches!(section.kind, SHT_REL | SHT_RELA) && usize::try_from(section.info) == Ok(target)
    });
    of_target?.range(file)
}

/// Where `main_extable_sort_needed` is in the file: an `int`, or, for a kernel compiled with another
/// type, as much as 32 bits of it.
fn flag(elf: &Elf, file: &[u8]) -> Result<Range<usize>, SortError> {
    const NAME: &str = "main_extable_sort_needed";
    const SIZE: u64 = 4;
    let mut symbols = elf.symbols(file);
    let found = symbols
        .find(|symbol| symbol.kind == STT_OBJECT && symbol.name == NAME.as_bytes())
        .and_then(|symbol| {
            let section = elf.sections.get(symbol.section?)?;
            section.place(file, symbol.value, SIZE)
        });
    found.ok_or(SortError::NoSymbol(NAME))
}
