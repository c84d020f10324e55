//! Merging of `SHF_MERGE` sections for final links: equal entries are kept once, and of strings
//! also those that another one ends in.
//!
//! What is kept, where it lands and how large each input's part becomes is what GNU ld 2.40 does
//! (`bfd/merge.c`), since the value of every symbol behind a merged section depends on it. In
//! short: an entry stays in the input that first has it *with the largest alignment that any input
//! has it with*; the entries that stay keep their order; an input that keeps none has no size, and
//! GNU ld then drops it (`SEC_EXCLUDE`), so that it does not align the location counter either.
//!
//! The work is a pure function of bytes and knows nothing of ELF. Its phases: [`pieces`] cuts inputs
//! into entries, [`unique`] finds those that are equal, [`tails`] the strings that end in others,
//! and [`merge`] gives the rest their places. All but the last run in parallel; the result does not
//! depend on threads nor on the seed of the hash.

mod pieces;
mod tails;
mod unique;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod tests;

use rayon::prelude::*;

use pieces::Pieces;
use unique::Entry;

/// A section that takes part. One with relocations never does: `_bfd_add_merge_section` leaves
/// sections with `SEC_RELOC` alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MergeInput<'a> {
    /// Its bytes, decompressed.
    pub(crate) data: &'a [u8],
}

/// What all sections of a group share.
///
/// A group is (`_bfd_add_merge_section`) all sections of one output section with the same
/// `SHF_STRINGS`, entry size and alignment, whatever their names and other flags are. Its order is
/// that of the input files and, in a file, of the section headers (`_bfd_elf_merge_sections`), *not*
/// that of the script's patterns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MergeKind {
    /// `sh_entsize`: bytes in an entry; with `strings`, in a character.
    pub(crate) entry_size: u64,
    /// `sh_addralign`: a power of two, in bytes; 0 is 1.
    pub(crate) align: u64,
    /// `SHF_STRINGS`: entries are strings that end with a character of zero bytes.
    pub(crate) strings: bool,
}

impl MergeKind {
    /// The alignment as a power of two, if it is one that GNU ld merges: below 32
    /// (`_bfd_add_merge_section`: an `unsigned int` has to hold it).
    fn align_log2(&self) -> Option<u8> {
        let align = u32::try_from(self.align.max(1)).ok()?;
        let log2 = u8::try_from(align.trailing_zeros()).ok()?;
        align.is_power_of_two().then_some(log2)
    }

    /// Bytes of zero behind each entry's contents.
    fn terminator(&self) -> u64 {
        if self.strings { self.entry_size } else { 0 }
    }

    /// The entry size, if the alignment fits it (`_bfd_add_merge_section`): characters may be
    /// smaller than their section's alignment if they are a power of two; anything else has to be
    /// a multiple of it.
    fn unit(&self) -> Option<usize> {
        self.align_log2()?;
        let (size, align) = (self.entry_size, self.align.max(1));
        let fits = if size < align {
            self.strings && size.is_power_of_two()
        } else {
            size % align == 0
        };
        usize::try_from(size).ok().filter(|unit| fits && *unit != 0)
    }
}

/// Whether GNU ld merges a section with these contents at all (`_bfd_add_merge_section`). If not,
/// it is copied as it is.
///
/// Not GNU ld's is the limit of 4 GiB for a section, and for a group, which [`merge`] enforces: it
/// keeps offsets in 32 bits. What is beyond it is copied as it is.
pub(crate) fn can_merge(data: &[u8], kind: &MergeKind) -> bool {
    let whole = |unit| data.len().is_multiple_of(unit);
    !data.is_empty() && u32::try_from(data.len()).is_ok() && kind.unit().is_some_and(whole)
}

/// An input's part of the merged section.
struct Part<'a> {
    data: &'a [u8],
    /// `None` where the input is copied as it is.
    pieces: Option<Pieces>,
    /// For each piece, the entry that it is equal to: indices of [`Merged::entries`].
    entries: Vec<u32>,
    /// The entries that are in this part, in order.
    kept: Vec<u32>,
    /// Bytes, with padding at the end.
    size: u64,
}

/// What became of a group of sections.
pub(crate) struct Merged<'a> {
    kind: MergeKind,
    parts: Vec<Part<'a>>,
    entries: Vec<Entry<'a>>,
    /// An entry that ends in an empty string, for offsets between strings: that of the empty string
    /// or, where none was recorded, the first of all that were kept.
    empty: Option<u32>,
}

/// Merges a group; `inputs` are in the order that [`MergeKind`] tells. Those that
/// [cannot be merged](can_merge) are copied as they are.
pub(crate) fn merge<'a>(kind: MergeKind, inputs: &[MergeInput<'a>]) -> Merged<'a> {
    let mut parts = cut(&kind, inputs);
    let unique::Unique {
        mut entries,
        indices,
        last_new,
    } = unique::find(&kind, &parts);
    for (part, indices) in parts.iter_mut().zip(indices) {
        part.entries = indices;
    }
    let holders = if kind.strings {
        tails::find_holders(&kind, &entries)
    } else {
        Vec::new()
    };
    keep(&mut parts, &entries, &holders);
    place_entries(&kind, &mut parts, &mut entries, &holders);
    pad_last(&kind, &mut parts, last_new);

    let is_empty = |entry: &Entry| entry.bytes.is_empty();
    let empty = entries.iter().position(is_empty);
    let first_kept = || parts.iter().find_map(|part| part.kept.first().copied());
    let empty = empty.and_then(|index| u32::try_from(index).ok());
    let empty = empty.or_else(first_kept);
    Merged {
        kind,
        parts,
        entries,
        empty,
    }
}

/// Cuts the inputs that take part into pieces.
fn cut<'a>(kind: &MergeKind, inputs: &[MergeInput<'a>]) -> Vec<Part<'a>> {
    // The limit of a group, see `can_merge`: as many inputs as fit, from the first.
    let mut room = u64::from(u32::MAX);
    let takes_part: Vec<bool> = inputs
        .iter()
        .map(|input| {
            let left = room.checked_sub(input.data.len() as u64);
            let part = left.is_some() && can_merge(input.data, kind);
            room = left.filter(|_| part).unwrap_or(room);
            part
        })
        .collect();
    let seed = pieces::Seed::default();
    inputs
        .par_iter()
        .zip(takes_part)
        .map(|(input, takes_part)| Part {
            data: input.data,
            pieces: takes_part.then(|| Pieces::cut(kind, input.data, &seed)),
            entries: Vec::new(),
            kept: Vec::new(),
            size: if takes_part {
                0
            } else {
                input.data.len() as u64
            },
        })
        .collect()
}

/// Lists in each part the entries that stay there: those at home there that no other one holds.
fn keep(parts: &mut [Part], entries: &[Entry], holders: &[u32]) {
    let stays = |home: (usize, usize), index: u32| {
        let at_home = entries
            .get(index as usize)
            .is_some_and(|entry| (entry.part as usize, entry.piece as usize) == home);
        at_home
            && holders
                .get(index as usize)
                .is_none_or(|holder| *holder == index)
    };
    parts.par_iter_mut().enumerate().for_each(|(number, part)| {
        part.kept = (part.entries.iter().enumerate())
            .filter(|(piece, index)| stays((number, *piece), **index))
            .map(|(_, index)| *index)
            .collect();
        // Hashes were for finding equal pieces, and most of the memory.
        if let Some(pieces) = &mut part.pieces {
            pieces.drop_hashes();
        }
    });
}

/// Gives entries their offsets and parts their sizes, each part from 0 (`merge_strings` and
/// `_bfd_merge_sections`, "assign positions").
fn place_entries(kind: &MergeKind, parts: &mut [Part], entries: &mut [Entry], holders: &[u32]) {
    for part in parts.iter_mut().filter(|part| part.pieces.is_some()) {
        for index in &part.kept {
            if let Some(entry) = entries.get_mut(*index as usize) {
                entry.offset = part.size.next_multiple_of(1 << entry.align_log2);
                part.size = entry.offset + entry.bytes.len() as u64 + kind.terminator();
            }
        }
    }
    for (index, holder) in holders.iter().enumerate() {
        if *holder as usize != index
            && let Some(&holder) = entries.get(*holder as usize)
            && let Some(entry) = entries.get_mut(index)
        {
            entry.part = holder.part;
            entry.offset = holder.offset + (holder.bytes.len() - entry.bytes.len()) as u64;
        }
    }
}

/// Pads the last part if every input's size was a multiple of the alignment
/// (`_bfd_merge_sections`).
///
/// The last part is the last one that had something new, even if it lost all of it again: to a
/// later copy with more alignment, or to a longer string. Then no part is padded.
fn pad_last(kind: &MergeKind, parts: &mut [Part], last_new: Option<u32>) {
    let align = kind.align.max(1);
    let mut merged = parts.iter().filter(|part| part.pieces.is_some());
    let padded = merged.all(|part| (part.data.len() as u64).is_multiple_of(align));
    let last = last_new.and_then(|last| parts.get_mut(last as usize));
    if let Some(last) = last.filter(|_| padded) {
        last.size = last.size.next_multiple_of(align);
    }
}

impl Merged<'_> {
    /// The size of an input's part, in bytes. Where it is 0 but the input was not empty,
    /// GNU ld leaves the input out: its place is the location counter, not aligned
    /// (`size_input_section` in `ld/ldlang.c`).
    pub(crate) fn size(&self, input: usize) -> u64 {
        self.parts.get(input).map_or(0, |part| part.size)
    }

    /// Where an offset in an input is now: which input's part, and the offset in that part.
    ///
    /// As `_bfd_merged_section_offset` has it: inside an entry it moves along with the entry; at
    /// the input's end or beyond it is the end of the input's own part; and between strings, where
    /// there are only zeros, it is an empty string, wherever there is one.
    pub(crate) fn place(&self, input: usize, offset: u64) -> (usize, u64) {
        let unmoved = (input, offset);
        let Some(part) = self.parts.get(input) else {
            return unmoved;
        };
        let Some(pieces) = &part.pieces else {
            return unmoved;
        };
        let at = u32::try_from(offset).ok();
        let Some(at) = at.filter(|at| (*at as usize) < part.data.len()) else {
            return (input, part.size);
        };
        let (piece, start) = pieces.at(&self.kind, at);
        let Some(entry) = part.entries.get(piece).and_then(|index| self.entry(*index)) else {
            return unmoved;
        };
        let within = offset - start;
        if within < self.length(entry) {
            return (entry.part as usize, entry.offset + within);
        }
        // In the padding behind a string.
        let Some(entry) = self.empty.and_then(|index| self.entry(index)) else {
            return unmoved;
        };
        let last_character = self.length(entry) - self.kind.entry_size;
        let within = last_character + offset % self.kind.entry_size;
        (entry.part as usize, entry.offset + within)
    }

    /// Writes an input's part. `out` is [as large](Self::size) as the part.
    pub(crate) fn write(&self, input: usize, out: &mut [u8]) {
        let Some(part) = self.parts.get(input) else {
            return;
        };
        if part.pieces.is_none() {
            if out.len() == part.data.len() {
                out.copy_from_slice(part.data);
            }
            return;
        }
        let mut rest = out;
        let mut at = 0;
        for entry in part.kept.iter().filter_map(|index| self.entry(*index)) {
            // Padding and the end of the string before.
            let gap = usize::try_from(entry.offset - at).unwrap_or(usize::MAX);
            let Some((zeros, behind)) = rest.split_at_mut_checked(gap) else {
                return;
            };
            zeros.fill(0);
            let Some((bytes, behind)) = behind.split_at_mut_checked(entry.bytes.len()) else {
                return;
            };
            bytes.copy_from_slice(entry.bytes);
            rest = behind;
            at = entry.offset + entry.bytes.len() as u64;
        }
        rest.fill(0);
    }

    fn entry(&self, index: u32) -> Option<&Entry<'_>> {
        self.entries.get(index as usize)
    }

    /// Bytes of an entry, with its terminator.
    fn length(&self, entry: &Entry) -> u64 {
        entry.bytes.len() as u64 + self.kind.terminator()
    }
}
