//! What sections hold that the linker made, once all addresses are known.

use std::sync::Mutex;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::eh_frame::SearchEntry;
use crate::id::SectionId;

/// The contents of sections that the linker made. (Some, as the build-id's note, hold their bytes
/// from the beginning.)
#[derive(Default)]
pub(super) struct MadeContents {
    bytes: HashMap<SectionId, Vec<u8>, RandomState>,
    /// The section of the table to search unwind tables by, which is made when these are written.
    pub unwind_header: Option<SectionId>,
    /// The functions that were found while unwind tables were written, in any order.
    pub search_entries: Mutex<Vec<SearchEntry>>,
}

impl MadeContents {
    /// Sets what a section holds.
    pub(super) fn set(&mut self, section: SectionId, bytes: Vec<u8>) {
        self.bytes.insert(section, bytes);
    }

    /// What a section holds; `None`: not a section of these.
    #[inline]
    pub(super) fn get(&self, section: SectionId) -> Option<&[u8]> {
        if self.bytes.is_empty() {
            return None;
        }
        self.bytes.get(&section).map(Vec::as_slice)
    }

    /// The functions that were found.
    pub(super) fn take_search_entries(&self) -> Vec<SearchEntry> {
        match self.search_entries.lock() {
            Ok(mut entries) => std::mem::take(&mut entries),
            Err(_) => Vec::new(),
        }
    }
}
