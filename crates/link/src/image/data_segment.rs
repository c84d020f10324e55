//! `DATA_SEGMENT_ALIGN`, `DATA_SEGMENT_RELRO_END`, `DATA_SEGMENT_END`: where the data segment begins,
//! so that it wastes no page, or so that what is read-only after relocation ends with a page
//! (ld/ldexp.c, `fold_segment_align`; ld/ldlang.c, `lang_size_segment`, `lang_size_relro_segment`).

use std::cell::Cell;

use klink_script::eval::align_up;

use crate::id::OutputId;
use crate::output::{Outputs, Traits};

/// What expressions said of the data segment in a pass, and what follows for the next.
#[derive(Debug, Default)]
pub(super) struct DataSegment {
    /// Whether there is to be a segment that is read-only after relocation.
    relro: bool,
    base: Cell<u64>,
    common_page: Cell<u64>,
    max_page: Cell<u64>,
    relro_offset: Cell<u64>,
    relro_end: Cell<Option<u64>>,
    end: Cell<Option<u64>>,
    /// The base that makes the read-only part end with a page.
    chosen: Cell<Option<u64>>,
    /// Whether beginning on a page of its own saves one.
    saves_page: Cell<bool>,
}

impl DataSegment {
    pub(super) fn new(relro: bool) -> Self {
        Self {
            relro,
            ..Self::default()
        }
    }

    /// `DATA_SEGMENT_ALIGN(max, common)` at `dot`.
    pub(super) fn align(&self, dot: u64, max: u64, common: u64) -> u64 {
        let page = align_up(dot, max);
        let base = match self.chosen.get() {
            Some(chosen) => chosen,
            None if self.saves_page.get() => {
                let inside = dot.wrapping_add(common).wrapping_sub(1) & max.wrapping_sub(common);
                page.wrapping_add(if common < max { inside } else { 0 })
            }
            None if self.relro => page,
            None => page.wrapping_add(dot & max.wrapping_sub(1)),
        };
        self.base.set(base);
        self.max_page.set(max.max(1));
        self.common_page.set(common.max(1));
        base
    }

    /// `DATA_SEGMENT_RELRO_END(offset, address)`.
    pub(super) fn relro_end(&self, offset: u64, address: u64) -> u64 {
        if !self.relro {
            return address;
        }
        self.relro_offset.set(offset);
        let end = address.wrapping_add(offset);
        if self.chosen.get().is_none() {
            self.relro_end.set(Some(end));
            return address;
        }
        let end = align_up(end, self.max_page.get());
        self.relro_end.set(Some(end));
        end.wrapping_sub(offset)
    }

    /// `DATA_SEGMENT_END(address)`.
    pub(super) fn end(&self, address: u64) {
        self.end.set(Some(address));
    }

    /// The range that is read-only after relocation.
    pub(super) fn relro_range(&self) -> Option<(u64, u64)> {
        let end = self.relro_end.get().filter(|_| self.relro)?;
        Some((self.base.get(), end))
    }

    /// Decides after a pass how the next one begins the segment.
    pub(super) fn adjust(&self, outputs: &Outputs<'_>) {
        if self.end.get().is_none() {
            return;
        }
        match self.relro_end.get().filter(|_| self.relro) {
            Some(end) => self.choose_base(end, outputs),
            None => {
                let page = self.common_page.get();
                let (base, end) = (self.base.get(), self.end.get().unwrap_or(0));
                let first = base.wrapping_neg() & (page - 1);
                let last = end & (page - 1);
                let saves = first != 0
                    && last != 0
                    && base & !(page - 1) != end & !(page - 1)
                    && first + last <= page;
                self.saves_page.set(self.saves_page.get() || saves);
            }
        }
    }

    /// Moves the sections of the read-only part up, the last one first, until it ends with a page.
    fn choose_base(&self, relro_end: u64, outputs: &Outputs<'_>) {
        if self.chosen.get().is_some() {
            return;
        }
        let offset = self.relro_offset.get();
        let mut desired = align_up(relro_end, self.max_page.get()).wrapping_sub(offset);
        let inside = |&&id: &&OutputId| {
            let section = &outputs.sections[id];
            section.traits.contains(Traits::ALLOC)
                && section.address >= self.base.get()
                && section.address < relro_end.wrapping_sub(offset)
        };
        let sections: Vec<&OutputId> = outputs.order.iter().filter(inside).collect();
        for &&id in sections.iter().rev() {
            let section = &outputs.sections[id];
            let start = desired.wrapping_sub(section.memory_size());
            desired = start & !(section.align - 1);
        }
        self.chosen.set(Some(desired));
    }
}
