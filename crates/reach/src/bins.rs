//! Sets of bins, as many as two words have bits.

/// Bins that a text of many reaches is cut into. With 64 they are too coarse for an image of 7 MB,
/// with 256 the large sections do not fit into them (measured on PA-RISC's vmlinux).
pub(crate) const BINS: usize = 128;

/// A set of bins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct BinSet(u128);

impl BinSet {
    pub(crate) fn insert(&mut self, bin: i32) {
        self.0 |= 1 << bin;
    }

    pub(crate) fn remove(&mut self, bin: i32) {
        self.0 &= !(1 << bin);
    }

    /// Takes out the bins from `first` to `last`, both included, as far as they exist.
    pub(crate) fn remove_span(&mut self, first: i32, last: i32) {
        let end = BINS as i32 - 1;
        if first <= end && last >= 0 && first <= last {
            let span = (u128::MAX << first.max(0)) & (u128::MAX >> (end - last.min(end)));
            self.0 &= !span;
        }
    }

    pub(crate) fn first(self) -> Option<i32> {
        (self.0 != 0).then(|| self.0.trailing_zeros() as i32)
    }

    pub(crate) fn last(self) -> Option<i32> {
        (self.0 != 0).then(|| BINS as i32 - 1 - self.0.leading_zeros() as i32)
    }
}

/// A number for each bin, to which the same is added for whole spans of bins: noted as changes
/// from one bin to the next, so that a span costs as much as a bin.
pub(crate) struct Levels {
    changes: [i32; BINS + 1],
}

impl Levels {
    pub(crate) fn new() -> Self {
        Self {
            changes: [0; BINS + 1],
        }
    }

    /// Adds `more` to the bins from `first` to `last`, both included, as far as they exist.
    pub(crate) fn add(&mut self, first: i32, last: i32, more: i32) {
        let end = BINS as i32;
        if first < end && last >= 0 && first <= last {
            self.changes[first.max(0) as usize] += more;
            self.changes[(last + 1).min(end) as usize] -= more;
        }
    }

    /// The number of each bin.
    pub(crate) fn values(&self) -> [i32; BINS] {
        let mut values = [0; BINS];
        let mut sum = 0;
        for (value, change) in values.iter_mut().zip(&self.changes) {
            sum += change;
            *value = sum;
        }
        values
    }
}
