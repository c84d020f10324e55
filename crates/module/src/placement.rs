//! Memory for a plan.

use alloc::vec::Vec;

use klink_arch::Class;

use crate::error::Error;
use crate::plan::Plan;

/// Memory that a host gives for one block. Dropping it gives it back.
///
/// The bytes are written at one address and run at another, which may be one that this machine does
/// not even have. They must be zero at first.
pub trait Memory {
    /// The address at which the code will run. For the template of per-cpu data: where per-cpu symbols
    /// count from.
    fn address(&self) -> u64;

    /// The bytes, to be written.
    fn bytes(&mut self) -> &mut [u8];
}

/// Memory for each block of a plan, checked: each block is large enough, aligned, and shares no run
/// address with another.
#[derive(Debug)]
pub struct Placement<M> {
    blocks: Vec<M>,
}

impl<M: Memory> Placement<M> {
    /// Takes memory for the blocks of `plan`, in their order.
    ///
    /// # Errors
    /// [`Error::Placement`] if the memory is not what the plan asks for. It is given back then.
    pub fn new(plan: &Plan<'_, '_>, mut blocks: Vec<M>) -> Result<Self, Error> {
        let wrong = |block, problem| Err(Error::Placement { block, problem });
        if blocks.len() != plan.blocks().len() {
            return wrong(blocks.len(), "one piece of memory is needed for each block");
        }
        let limit = match plan.file().arch().class {
            Class::Elf32 => u64::from(u32::MAX),
            Class::Elf64 => u64::MAX,
        };
        let mut ranges = Vec::with_capacity(blocks.len());
        for (nth, (block, memory)) in plan.blocks().iter().zip(&mut blocks).enumerate() {
            let address = memory.address();
            if memory.bytes().len() as u64 != block.size {
                return wrong(nth, "its memory has another size");
            }
            if !address.is_multiple_of(block.align) && !block.is_per_cpu() {
                return wrong(nth, "its address is not aligned");
            }
            if block.size == 0 {
                continue;
            }
            match address.checked_add(block.size - 1) {
                Some(last) if last <= limit => ranges.push((address, last, nth)),
                _ => return wrong(nth, "it goes past the end of the address space"),
            }
        }
        ranges.sort_unstable();
        for pair in ranges.windows(2) {
            if pair[0].1 >= pair[1].0 {
                return wrong(pair[1].2, "it overlaps another block");
            }
        }
        Ok(Self { blocks })
    }

    pub(crate) fn into_blocks(self) -> Vec<M> {
        self.blocks
    }
}

impl<'f, 'a> Plan<'f, 'a> {
    /// Gets memory for each block from `allocate`, in order. If one is refused, what was given for
    /// those before is given back.
    ///
    /// # Errors
    /// Whatever `allocate` says, and [`Error::Placement`].
    pub fn allocate<M: Memory, E: From<Error>>(
        &self,
        allocate: impl FnMut(&crate::Block) -> Result<M, E>,
    ) -> Result<Placement<M>, E> {
        let blocks: Result<Vec<M>, E> = self.blocks().iter().map(allocate).collect();
        Ok(Placement::new(self, blocks?)?)
    }
}
