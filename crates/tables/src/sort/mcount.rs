//! `__mcount_loc`: the addresses of calls that tracing may replace, between two symbols.
//!
//! Kernels with `CONFIG_BUILDTIME_MCOUNT_SORT` take it for sorted: arm and x86 from 5.17 on, arm64
//! since 6.15, s390 and riscv since 6.16. Others sort it when they start, and lose nothing if it is sorted.
//!
//! In a position-independent kernel the table is made by dynamic relocations when it starts, one for
//! each entry. Then it is their addends that are sorted ("arm64: scripts/sorttable: Implement sorting
//! mcount_loc at boot for arm64", 6.15).

use alloc::vec::Vec;
use core::ops::Range;

use super::SortError;
use crate::elf::{Elf, SHF_ALLOC, SHF_EXECINSTR, SHT_RELA, STT_FUNC, Section};
use crate::number::{ByteOrder, put};
use crate::{Numbers, WordSize, machine};

/// What becomes of calls that are in no function: in weak functions that another one replaced, of which
/// only the code is left.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WeakCalls {
    /// They stay. Right for every kernel.
    #[default]
    Keep,
    /// They become zero, and so come first. Linux does so since 6.15 ("scripts/sorttable: Zero out weak
    /// functions in mcount_loc table"); kernels before do not know that entries can be zero.
    Zero,
}

/// Where patched code may begin in front of its function, by `e_machine`, in bytes: compilers put
/// the room for it there (`before_func` in `scripts/sorttable.c`; riscv since 7.1).
const IN_FRONT: [(u16, u64); 2] = [(machine::AARCH64, 8), (machine::RISCV, 8)];

/// The table in a file.
pub(super) struct Calls {
    numbers: Numbers,
    /// Where the entries are, or the relocations that make them.
    places: Vec<usize>,
    range: Range<usize>,
    /// Addresses of functions, if others are to be zeroed.
    functions: Option<Vec<Range<u64>>>,
}

impl Calls {
    /// Finds the table by its symbols; none if there are no such symbols, or nothing is between them.
    pub(super) fn find(elf: &Elf, file: &[u8], weak: WeakCalls) -> Result<Option<Self>, SortError> {
        let (mut start, mut stop) = (None, None);
        for symbol in elf.symbols(file).filter(|symbol| symbol.section.is_some()) {
            match symbol.name {
                b"__start_mcount_loc" => start = start.or(Some(symbol.value)),
                b"__stop_mcount_loc" => stop = stop.or(Some(symbol.value)),
                _ => {}
            }
        }
        let (Some(start), Some(stop)) = (start, stop) else {
            return Ok(None);
        };
        let size = stop.saturating_sub(start);
        if size == 0 {
            return Ok(None);
        }
        let step = elf.numbers.word.bytes();
        let allocated = elf
            .sections
            .iter()
            .filter(|section| section.flags & SHF_ALLOC != 0);
        let mut places = allocated.filter_map(|section| section.place(file, start, size));
        let range = places
            .next()
            .ok_or(SortError::NoSymbol("__start_mcount_loc"))?;
        let relocations = relocations(elf, file, start..stop)?;
        let (places, range) = match relocations {
            Some(made) => (made.addends, made.range),
            None => (
                range
                    .clone()
                    .step_by(step)
                    .take(range.len() / step)
                    .collect(),
                range,
            ),
        };
        Ok(Some(Self {
            numbers: elf.numbers,
            places,
            range,
            functions: (weak == WeakCalls::Zero).then(|| functions(elf, file)),
        }))
    }

    /// The bytes of the file that may change.
    pub(super) const fn range(&self) -> &Range<usize> {
        &self.range
    }

    /// Sorts the table; gives the number of entries, and of those that were zeroed.
    pub(super) fn sort(self, file: &mut [u8]) -> (usize, usize) {
        let Numbers { word, endian } = self.numbers;
        let read = |&place: &usize| endian.word(word, file, place);
        let mut values: Vec<u64> = self.places.iter().filter_map(read).collect();
        let mut zeroed = 0;
        if let Some(functions) = &self.functions {
            for value in values
                .iter_mut()
                .filter(|value| !within(functions, **value))
            {
                *value = 0;
                zeroed += 1;
            }
        }
        values.sort_unstable();
        for (&place, &value) in self.places.iter().zip(&values) {
            // There is room: a value was read from the same bytes.
            let _ = match word {
                WordSize::Four => put(file, place, endian.of_u32(value as u32)),
                WordSize::Eight => put(file, place, endian.of_u64(value)),
            };
        }
        (values.len(), zeroed)
    }
}

/// Dynamic relocations that make the table.
struct Made {
    /// Where in the file the addend of each entry is, in the order of the entries.
    addends: Vec<usize>,
    /// The bytes of the file that the addends lie in.
    range: Range<usize>,
}

/// Finds the dynamic relocations that make the table at `addresses`. `None`: it is not made so.
fn relocations(elf: &Elf, file: &[u8], addresses: Range<u64>) -> Result<Option<Made>, SortError> {
    let Numbers { word, endian } = elf.numbers;
    let size = word.bytes();
    let mut places = Vec::new();
    let mut kind = None;
    let dynamic = |section: &&Section| section.kind == SHT_RELA && section.flags & SHF_ALLOC != 0;
    for section in elf.sections.iter().filter(dynamic) {
        let Some(range) = section.range(file) else {
            continue;
        };
        for record in range.clone().step_by(3 * size) {
            let number = |index: usize| endian.word(word, file, record + index * size);
            let (Some(at), Some(info)) = (number(0), number(1)) else {
                continue;
            };
            if record + 3 * size > range.end || !addresses.contains(&at) {
                continue;
            }
            if *kind.get_or_insert(info) != info {
                return Err(SortError::CallRelocations);
            }
            places.push((at, record + 2 * size));
        }
    }
    places.sort_unstable();
    let places: Vec<usize> = places.into_iter().map(|(_, addend)| addend).collect();
    let (Some(&first), Some(&last)) = (places.iter().min(), places.iter().max()) else {
        return Ok(None);
    };
    if places.len() as u64 != (addresses.end - addresses.start) / size as u64 {
        return Err(SortError::CallRelocations);
    }
    Ok(Some(Made {
        addends: places,
        range: first..last + size,
    }))
}

/// The addresses that functions take up, in ascending order of their starts.
fn functions(elf: &Elf, file: &[u8]) -> Vec<Range<u64>> {
    let in_front = IN_FRONT.iter().find(|(machine, _)| *machine == elf.machine);
    let in_front = in_front.map_or(0, |(_, bytes)| *bytes);
    let is_code = |index: usize| {
        let section = elf.sections.get(index);
        section.is_some_and(|section| section.flags & SHF_EXECINSTR != 0)
    };
    let symbols = elf.symbols(file).filter(|symbol| {
        symbol.size > 0
            && matches!(symbol.kind, 0 | STT_FUNC)
            && symbol.section.is_some_and(is_code)
    });
    let range = |value: u64, size: u64| value.saturating_sub(in_front)..value.saturating_add(size);
    let mut ranges: Vec<Range<u64>> = symbols
        .map(|symbol| range(symbol.value, symbol.size))
        .collect();
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    merge(&mut ranges);
    ranges
}

/// Makes one range of those that touch, so that an address is in at most one.
fn merge(ranges: &mut Vec<Range<u64>>) {
    ranges.dedup_by(|next, last| {
        let touch = next.start <= last.end;
        if touch {
            last.end = last.end.max(next.end);
        }
        touch
    });
}

fn within(ranges: &[Range<u64>], address: u64) -> bool {
    let behind = ranges.partition_point(|range| range.start <= address);
    behind
        .checked_sub(1)
        .and_then(|index| ranges.get(index))
        .is_some_and(|range| range.contains(&address))
}
