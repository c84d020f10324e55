//! Addresses for symbols that no list tells.

use std::collections::BTreeSet;

use klink_arch::Arch;

/// Bytes of the image that addresses are made up in: what distributions' kernels have of code and
/// constants, within a factor of two.
const IMAGE: u64 = 16 << 20;
/// What the addresses are multiples of: functions are aligned so.
const ALIGN: u64 = 16;

/// Symbols that a kernel must have, since modules need them.
#[derive(Debug, Default)]
pub(crate) struct Wanted(BTreeSet<Vec<u8>>);

impl Wanted {
    /// These names.
    pub(crate) fn new(names: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self(names.into_iter().collect())
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Their addresses: spread over the image by name, so that they are the same in every run.
    pub(super) fn addresses(&self, arch: &Arch) -> impl Iterator<Item = (&[u8], u64)> {
        let count = self.0.len().max(1) as u64;
        let step = (IMAGE / count / ALIGN * ALIGN).max(ALIGN);
        let kernel = arch.load.space.kernel;
        let names = self.0.iter().map(Vec::as_slice);
        names.zip((0..).map(move |nth: u64| kernel + nth * step))
    }
}

/// Where the kernel's global pointer is: in the middle of what it is to reach.
pub(super) const fn pointer(arch: &Arch) -> u64 {
    arch.load.space.kernel + IMAGE / 2
}
