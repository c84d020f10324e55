//! Unwind tables of final links: `.eh_frame`, and `.eh_frame_hdr` to search it by.
//!
//! An `.eh_frame` section is a list of records: a *CIE* says what is common to functions, an *FDE*
//! how one function is unwound, and a record of length 0 ends the table. Compilers write a CIE into
//! every object, so that a link can drop most; FDEs of functions that are not in the output go with
//! them. What is kept moves, so relocations do too.
//!
//! The steps, in the order of a link:
//! 1. [`Frames::parse`] reads an input section. One that it cannot read stays as it is, and there is
//!    no search table then.
//! 2. [`EditedFrames::new`] decides what is kept: the sizes are known then ([`EditedFrames::size`],
//!    [`EditedFrames::header_size`]), and where each relocation goes ([`EditedFrames::place`]).
//! 3. After layout, [`EditedFrames::bytes`] moves and rewrites a section's records. The link then
//!    applies the relocations at their new places.
//! 4. [`EditedFrames::finish`] makes addresses relative where a position-independent output wants
//!    them so, and gives the entries of the search table, which [`header`] writes.
//!
//! Source: "LSB Core Generic", "Exception Frames"; DWARF 5, 6.4; bfd/elf-eh-frame.c and
//! bfd/elflink.c (bfd_elf_discard_info).

mod cursor;
mod edit;
mod header;
mod parse;
mod write;

pub(crate) use edit::{EditedFrames, FramePlace, FrameSection, FrameTargets, Personality};
pub(crate) use header::{SearchEntry, header};
pub(crate) use parse::{FrameError, FrameRelocation, Frames};

#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod tests;
