//! Lists by index, in one block of memory.

use alloc::vec;
use alloc::vec::Vec;

/// Lists of items, one for each index.
pub(crate) struct Lists<T> {
    starts: Vec<u32>,
    items: Vec<T>,
}

/// No lists.
impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self {
            starts: vec![0],
            items: Vec::new(),
        }
    }
}

impl<T: Copy> Lists<T> {
    /// From pairs of index and item, sorted by index.
    pub(crate) fn new(count: usize, pairs: &[(u32, T)]) -> Self {
        Self {
            starts: starts(count, pairs.iter().map(|pair| pair.0 as usize)),
            items: pairs.iter().map(|pair| pair.1).collect(),
        }
    }

    /// From pairs of index and item; those of one index stay in order.
    pub(crate) fn group(count: usize, pairs: impl Iterator<Item = (usize, T)> + Clone) -> Self
    where
        T: Default,
    {
        let starts = starts(count, pairs.clone().map(|pair| pair.0));
        let mut next = starts.clone();
        let mut items = vec![T::default(); starts[count] as usize];
        for (index, item) in pairs {
            items[next[index] as usize] = item;
            next[index] += 1;
        }
        Self { starts, items }
    }

    /// How many lists there are.
    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }

    /// Adds a list behind the others.
    pub(crate) fn push(&mut self, items: impl Iterator<Item = T>) {
        self.items.extend(items);
        self.starts.push(self.items.len() as u32);
    }

    pub(crate) fn of(&self, index: usize) -> &[T] {
        &self.items[self.starts[index] as usize..self.starts[index + 1] as usize]
    }
}

/// Where the items of each index begin, and one end.
fn starts(count: usize, indices: impl Iterator<Item = usize>) -> Vec<u32> {
    let mut starts = vec![0u32; count + 1];
    for index in indices {
        starts[index + 1] += 1;
    }
    for index in 0..count {
        starts[index + 1] += starts[index];
    }
    starts
}
