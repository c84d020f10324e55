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

    /// Their addresses: spread over the image by name, so that they are the same in every run.
    pub(super) fn addresses(&self, arch: &Arch) -> impl Iterator<Item = (&[u8], u64)> {
        let count = self.0.len().max(1) as u64;
        let step = (IMAGE / count / ALIGN * ALIGN).max(ALIGN);
        let kernel = arch.load.space.kernel;
        // where nothing is made up, not even this is
        let pointer = arch.load.global_pointer.symbol();
        let pointer = pointer.filter(|_| !self.0.is_empty());
        let own = pointer.map(|name| (name.as_bytes(), kernel + IMAGE / 2));
        let names = self.0.iter().map(Vec::as_slice);
        let spread = (0..).map(move |nth: u64| kernel + nth * step);
        own.into_iter().chain(names.zip(spread))
    }
}
