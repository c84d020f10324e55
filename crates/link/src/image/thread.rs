//! Where thread-local variables are, for relocations of code that finds them.

use klink_arch::Arch;

use super::layout::ImageLayout;
use crate::output::Traits;

/// The addresses that offsets of thread-local variables count from; 0 where there are none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ThreadAddresses {
    /// What stands for the thread pointer.
    pub pointer: u64,
    /// Where the first values of the variables begin.
    pub block: u64,
}

impl ThreadAddresses {
    /// The thread-local sections stand together: from the beginning of the first to the end of the last,
    /// aligned as the one that asks for most (bfd/elflink.c, `_bfd_elf_tls_setup` and
    /// `bfd_elf_final_link`).
    pub(super) fn new(layout: &ImageLayout<'_>, arch: &Arch) -> Self {
        let outputs = &layout.outputs;
        let sections = outputs.order.iter().map(|&id| &outputs.sections[id]);
        let is_local = |section: &&crate::output::OutputSection<'_>| {
            section
                .traits
                .contains(Traits::THREAD_LOCAL | Traits::ALLOC)
        };
        let mut all = sections.skip_while(|section| !is_local(section));
        let all: Vec<_> = all.by_ref().take_while(is_local).collect();
        let (Some(thread), Some(first), Some(last)) = (arch.thread, all.first(), all.last()) else {
            return Self::default();
        };
        let align = all.iter().map(|section| section.align).max().unwrap_or(1);
        let end = last.address.wrapping_add(last.size);
        Self {
            pointer: thread.pointer.address(first.address, end, align.max(1)),
            block: first.address,
        }
    }
}
