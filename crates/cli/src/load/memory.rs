//! Simulated memory: bytes here, run addresses where a kernel would have its modules.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use klink_arch::AddressSpace;
use klink_module::{Block, Host, Memory};
use klink_tables::param::Param;

/// A block larger than this is refused, in bytes: many times what the largest module takes, so that a
/// damaged one is not given all memory of this machine.
const LARGEST_BLOCK: u64 = 1 << 30;

/// Bytes for per-cpu data of all modules: more than kernels have (`PERCPU_MODULE_RESERVE` is 8 KiB, and
/// a chunk of `mm/percpu.c` 32 KiB or more), since here all modules of a tree are loaded at once.
const PER_CPU_BYTES: u64 = 1 << 24;

/// What copies of strings are aligned to, in bytes: the least of `kmalloc` (`ARCH_KMALLOC_MINALIGN`).
const STRING_ALIGN: u64 = 8;

/// An area of run addresses and what is free of it, by address.
#[derive(Debug)]
struct Area {
    bounds: Range<u64>,
    free: Vec<Range<u64>>,
}

impl Area {
    fn new(bounds: Range<u64>) -> Self {
        Self {
            free: vec![bounds.clone()],
            bounds,
        }
    }

    /// The lowest free address with room for `size` bytes.
    fn take(&mut self, size: u64, align: u64) -> Option<Range<u64>> {
        let (nth, taken) = self.free.iter().enumerate().find_map(|(nth, free)| {
            let start = free.start.checked_next_multiple_of(align)?;
            let end = start.checked_add(size)?;
            (end <= free.end).then_some((nth, start..end))
        })?;
        let free = self.free[nth].clone();
        let rest = [free.start..taken.start, taken.end..free.end];
        let rest = rest.into_iter().filter(|range| !range.is_empty());
        self.free.splice(nth..=nth, rest);
        Some(taken)
    }

    fn give_back(&mut self, taken: Range<u64>) {
        let at = self.free.partition_point(|free| free.start < taken.start);
        self.free.insert(at, taken);
        self.free.dedup_by(|next, free| {
            let touches = free.end == next.start;
            if touches {
                free.end = next.end;
            }
            touches
        });
    }
}

/// The run addresses of a kernel that are left for modules.
#[derive(Debug)]
struct Addresses {
    modules: Vec<Area>,
    per_cpu: Area,
    /// Bytes that are left free behind a block.
    guard: u64,
}

impl Addresses {
    fn take(&mut self, block: &Block) -> Option<Range<u64>> {
        if block.is_per_cpu() {
            return self.per_cpu.take(block.size, block.align);
        }
        let size = block.size.checked_add(self.guard)?;
        let mut areas = self.modules.iter_mut();
        areas.find_map(|area| area.take(size, block.align))
    }

    fn give_back(&mut self, taken: Range<u64>) {
        let areas = self.modules.iter_mut().chain([&mut self.per_cpu]);
        let mut areas = areas.filter(|area| area.bounds.contains(&taken.start));
        if let Some(area) = areas.next()
            && !taken.is_empty()
        {
            area.give_back(taken);
        }
    }
}

/// Memory of a block. Its addresses are free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Simulated {
    addresses: Range<u64>,
    bytes: Vec<u8>,
    owner: Rc<RefCell<Addresses>>,
}

impl Simulated {
    /// The bytes as they are.
    pub(crate) fn contents(&self) -> &[u8] {
        &self.bytes
    }
}

impl Memory for Simulated {
    fn address(&self) -> u64 {
        self.addresses.start
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        if let Ok(mut owner) = self.owner.try_borrow_mut() {
            owner.give_back(self.addresses.clone());
        }
    }
}

/// Why there is no memory for a block.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum NoMemory {
    /// It is absurdly large.
    #[error("a block of {0} bytes is more than klink simulates ({LARGEST_BLOCK})")]
    TooLarge(u64),
    /// No area has so much in one piece.
    #[error("no {0} bytes in one piece are left in the kernel's area for modules")]
    Full(u64),
}

/// Plays the kernel: memory without rights, and functions that do nothing and succeed.
#[derive(Debug)]
pub(crate) struct Machine {
    addresses: Rc<RefCell<Addresses>>,
    /// Copies of strings that parameters were set to, by address.
    strings: BTreeMap<u64, Vec<u8>>,
}

impl Machine {
    /// The machine of a kernel that has its modules where `space` says, or from `base` on, and leaves
    /// `guard` bytes free behind each block.
    pub(crate) fn new(space: &AddressSpace, base: Option<u64>, guard: u64) -> Self {
        let modules = match base {
            Some(base) => vec![Area::new(base..u64::MAX)],
            None => {
                let areas = [&space.modules].into_iter().chain(&space.more);
                areas.cloned().map(Area::new).collect()
            }
        };
        let per_cpu = Area::new(space.per_cpu..space.per_cpu.saturating_add(PER_CPU_BYTES));
        Self {
            addresses: Rc::new(RefCell::new(Addresses {
                modules,
                per_cpu,
                guard,
            })),
            strings: BTreeMap::new(),
        }
    }
}

impl Host for Machine {
    type Memory = Simulated;
    type Error = NoMemory;

    fn allocate(&mut self, block: &Block) -> Result<Simulated, NoMemory> {
        let size = usize::try_from(block.size).ok();
        let size = size.filter(|_| block.size <= LARGEST_BLOCK);
        let size = size.ok_or(NoMemory::TooLarge(block.size))?;
        let addresses = self.addresses.borrow_mut().take(block);
        Ok(Simulated {
            addresses: addresses.ok_or(NoMemory::Full(block.size))?,
            bytes: vec![0; size],
            owner: Rc::clone(&self.addresses),
        })
    }

    fn protect(&mut self, _: &mut Simulated, _: &Block, _: bool) -> Result<(), NoMemory> {
        Ok(())
    }

    /// Takes any value: the functions that would look at it are not run.
    fn set_parameter(&mut self, _: &Param, _: Option<&[u8]>) -> Result<(), i32> {
        Ok(())
    }

    fn keep_string(&mut self, text: &[u8]) -> Option<u64> {
        let size = text.len() as u64 + 1;
        let mut addresses = self.addresses.borrow_mut();
        let mut areas = addresses.modules.iter_mut();
        let taken = areas.find_map(|area| area.take(size, STRING_ALIGN))?;
        self.strings.insert(taken.start, text.to_vec());
        Some(taken.start)
    }

    fn kept_string(&self, address: u64) -> Option<&[u8]> {
        self.strings.get(&address).map(Vec::as_slice)
    }

    fn call_init(&mut self, _: u64) -> i32 {
        0
    }

    fn call_exit(&mut self, _: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_back_is_given_again() {
        let mut area = Area::new(0x1000..0x5000);
        let first = area.take(0x800, 0x1000);
        let second = area.take(0x1000, 0x1000);
        assert_eq!(first, Some(0x1000..0x1800));
        assert_eq!(second, Some(0x2000..0x3000));
        assert_eq!(area.take(0x3000, 1), None);
        area.give_back(0x1000..0x1800);
        assert_eq!(area.take(0x1000, 1), Some(0x1000..0x2000));
        area.give_back(0x2000..0x3000);
        area.give_back(0x1000..0x2000);
        assert_eq!(area.free.len(), 1);
        assert_eq!(area.free.first(), Some(&(0x1000..0x5000)));
    }
}
