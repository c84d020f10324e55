//! `.eh_frame_hdr`: where `.eh_frame` is, and a table to search it by binary search.
//!
//! Source: "LSB Core Generic", "The .eh_frame_hdr section"; bfd/elf-eh-frame.c
//! (write_dwarf_eh_frame_hdr).

use klink_arch::Class;

use super::cursor::encoding;
use crate::dynamic::encode::{Encoder, Form};

/// What the search table knows of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SearchEntry {
    /// Its address.
    pub(crate) function: u64,
    /// Its size, bytes.
    pub(crate) size: u64,
    /// The address of its FDE.
    pub(crate) fde: u64,
}

/// Why there can be no search table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    /// A function or an FDE is more than 2 GiB away.
    #[error(".eh_frame_hdr entry overflow: {0:#x} is not within 2 GiB of .eh_frame_hdr")]
    Overflow(u64),
    /// Two FDEs are about the same code.
    #[error(".eh_frame_hdr refers to overlapping FDEs: both have {0:#x}")]
    Overlap(u64),
}

/// The version of the format.
const VERSION: u8 = 1;

/// Contents of `.eh_frame_hdr`, which is at `address`; `.eh_frame` is at `frames`. `entries` are
/// those of all sections, in any order, or `None` where they are
/// [not searchable](super::EditedFrames::is_searchable).
///
/// # Errors
/// Functions that the table cannot tell apart or reach.
pub(crate) fn header(
    form: Form,
    address: u64,
    frames: u64,
    entries: Option<Vec<SearchEntry>>,
) -> Result<Vec<u8>, HeaderError> {
    let mut header = Encoder::new(form, 12);
    header.byte(VERSION);
    header.byte(encoding::PC_RELATIVE | encoding::SIGNED_4);
    match entries {
        Some(_) => {
            header.byte(encoding::UNSIGNED_4);
            header.byte(encoding::DATA_RELATIVE | encoding::SIGNED_4);
        }
        None => {
            header.byte(encoding::OMIT);
            header.byte(encoding::OMIT);
        }
    }
    // It counts from its own place.
    header.word(frames.wrapping_sub(address.wrapping_add(4)) as u32);
    let Some(mut entries) = entries else {
        return Ok(header.into_bytes());
    };
    entries.sort();
    header.word(entries.len() as u32);
    let mut end = 0;
    for (at, entry) in entries.iter().enumerate() {
        for target in [entry.function, entry.fde] {
            let distance = target.wrapping_sub(address);
            if form.class == Class::Elf64 && i32::try_from(distance.cast_signed()).is_err() {
                return Err(HeaderError::Overflow(target));
            }
            header.word(distance as u32);
        }
        if at != 0 && entry.function < end {
            return Err(HeaderError::Overlap(entry.function));
        }
        end = entry.function.saturating_add(entry.size);
    }
    Ok(header.into_bytes())
}
