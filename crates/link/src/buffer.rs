//! Memory for an output file.

use std::cmp::Reverse;
use std::ops::{Deref, DerefMut};

use memmap2::MmapMut;
use rayon::prelude::*;

use crate::error::{LinkError, Result};
use crate::output_file::NewFile;

/// Bytes from which memory comes from the system as pages of its own. Not as huge pages: these are as
/// good as never free and clean, and to clear them costs more than the faults of small ones.
const PAGES_FROM: usize = 4 << 20;

/// The bytes of an output file, zero at first.
#[derive(Debug)]
pub struct Buffer(Memory);

#[derive(Debug)]
enum Memory {
    Small(Vec<u8>),
    Large(MmapMut),
    /// The pages of a file.
    File(NewFile, MmapMut),
}

/// A part of a file that is filled apart from all others.
pub(crate) struct FileRange<T> {
    /// Where it begins in the file, and its size, in bytes.
    pub offset: u64,
    pub size: u64,
    pub part: T,
}

impl Buffer {
    /// A buffer of `size` bytes.
    pub(crate) fn zeroed(size: usize) -> Self {
        if size >= PAGES_FROM
            && let Ok(map) = MmapMut::map_anon(size)
        {
            return Self(Memory::Large(map));
        }
        Self(Memory::Small(vec![0; size]))
    }

    /// The pages of a new file, which has them as its own.
    pub(crate) fn in_file(file: NewFile, pages: MmapMut) -> Self {
        Self(Memory::File(file, pages))
    }

    /// The file whose pages these are.
    ///
    /// # Errors
    /// Memory of no file, as it was.
    pub(crate) fn into_file(self) -> std::result::Result<NewFile, Self> {
        match self.0 {
            Memory::File(file, _) => Ok(file),
            memory => Err(Self(memory)),
        }
    }

    /// Writes `bytes` to a place. A file can only say that the disk is full if it is written this way, and
    /// not through its pages.
    ///
    /// # Errors
    /// [`LinkError::Io`].
    pub(crate) fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        if let Memory::File(file, _) = &self.0 {
            return file.write_at(bytes, offset);
        }
        let start = offset as usize;
        self[start..start + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    /// Calls `work` with each part, which is zero before, on several threads. Gives what it gave, in the
    /// order of the parts in the file.
    ///
    /// A file gets its parts one by one, from memory that is used again and again: fresh memory for
    /// all of a kernel would first have to be cleared by the system.
    ///
    /// # Errors
    /// Parts that overlap; [`LinkError::Io`] where the file cannot be written.
    pub(crate) fn fill<P: Send, O: Send>(
        &mut self,
        mut ranges: Vec<FileRange<P>>,
        work: impl Fn(P, &mut [u8]) -> O + Sync,
    ) -> Result<Vec<O>> {
        // The largest first, so that no thread is left with one at the end.
        let mut given: Vec<(u64, O)> = match &self.0 {
            Memory::File(file, pages) => {
                order(&mut ranges, pages.len())?;
                ranges.sort_by_key(|range| Reverse(range.size));
                let parts = ranges.into_par_iter().map_init(Vec::new, |room, range| {
                    room.clear();
                    room.resize(range.size as usize, 0);
                    let given = work(range.part, room);
                    file.write_at(room, range.offset)?;
                    Ok((range.offset, given))
                });
                parts.collect::<Result<_>>()?
            }
            Memory::Small(_) | Memory::Large(_) => {
                let mut parts = cut(self, ranges)?;
                parts.sort_by_key(|(range, _)| Reverse(range.size));
                let parts = parts.into_par_iter();
                let parts = parts.map(|(range, room)| (range.offset, work(range.part, room)));
                parts.collect()
            }
        };
        given.sort_by_key(|&(offset, _)| offset);
        Ok(given.into_iter().map(|(_, given)| given).collect())
    }
}

/// Puts the parts of a file of `size` bytes in order.
///
/// # Errors
/// Parts that overlap, or leave the file.
fn order<T>(ranges: &mut [FileRange<T>], size: usize) -> Result<()> {
    ranges.sort_by_key(|range| range.offset);
    let mut at = 0;
    for range in &*ranges {
        let end = range.offset.checked_add(range.size);
        match end.filter(|&end| range.offset >= at && end <= size as u64) {
            Some(end) => at = end,
            None => {
                return Err(LinkError::BadSection {
                    file: "output".to_owned(),
                    section: "sections".to_owned(),
                    what: format!(
                        "two of them have the same place in the file, at {:#x}",
                        range.offset
                    ),
                });
            }
        }
    }
    Ok(())
}

/// Cuts a file into parts, in the order in which they stand in it.
///
/// # Errors
/// Parts that overlap.
pub(crate) fn cut<T>(
    bytes: &mut [u8],
    mut ranges: Vec<FileRange<T>>,
) -> Result<Vec<(FileRange<T>, &mut [u8])>> {
    order(&mut ranges, bytes.len())?;
    let (mut rest, mut at) = (bytes, 0);
    let parts = ranges.into_iter().map(|range| {
        let (_, behind) = std::mem::take(&mut rest).split_at_mut((range.offset - at) as usize);
        let (own, behind) = behind.split_at_mut(range.size as usize);
        at = range.offset + range.size;
        rest = behind;
        (range, own)
    });
    Ok(parts.collect())
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Memory::Small(bytes) => bytes,
            Memory::Large(pages) | Memory::File(_, pages) => pages,
        }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Memory::Small(bytes) => bytes,
            Memory::Large(pages) | Memory::File(_, pages) => pages,
        }
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Memory::Small(bytes))
    }
}
