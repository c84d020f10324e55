//! The records of an input section.

use std::ops::Range;

use super::cursor::{Cursor, NOP, SET_LOC, encoding};
use crate::dynamic::encode::Form;

/// A relocation of an `.eh_frame` section.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameRelocation {
    /// Its place: bytes from the beginning of the section.
    pub(crate) offset: u64,
    /// Whether it is of type 0 or without a symbol, as `ld -r` leaves those of discarded functions.
    pub(crate) is_none: bool,
}

/// Why a section stays as it is: what could not be read, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} in the record at {offset:#x}; no .eh_frame_hdr table will be created")]
pub(crate) struct FrameError {
    /// Bytes from the beginning of the section to the record.
    pub(crate) offset: usize,
    /// What is wrong.
    pub(crate) what: &'static str,
}

/// The records of an `.eh_frame` section.
#[derive(Debug)]
pub(crate) struct Frames {
    pub(super) form: Form,
    pub(super) records: Vec<Record>,
}

/// A record.
#[derive(Debug)]
pub(super) struct Record {
    /// Bytes from the beginning of the section.
    pub(super) offset: u32,
    /// Bytes, with the length field, without padding instructions at the end.
    pub(super) size: u32,
    /// The relocations in it.
    pub(super) relocations: Range<usize>,
    pub(super) kind: RecordKind,
}

#[derive(Debug)]
pub(super) enum RecordKind {
    /// The end of the table.
    Terminator,
    Cie(Box<Cie>),
    Fde(Fde),
}

/// What functions have in common.
#[derive(Debug)]
pub(super) struct Cie {
    /// What decides whether two are equal, but for the personality's symbol.
    pub(super) content: CieContent,
    /// Encoding of addresses of functions; without one in the augmentation, that of an address.
    pub(super) fde_encoding: u8,
    /// Whether the augmentation has that encoding.
    pub(super) has_fde_encoding: bool,
    /// The function that handles exceptions.
    pub(super) personality: Option<PersonalityField>,
    /// Where call frame instructions begin: bytes from the record's beginning.
    pub(super) instructions_at: u32,
    /// Whether an FDE has a relocation where its language-specific data's address is.
    pub(super) has_relocated_lsda: bool,
}

/// Everything that equal CIEs have in common.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CieContent {
    /// Without the length field and padding.
    pub(super) length: u32,
    pub(super) version: u8,
    pub(super) augmentation: Vec<u8>,
    pub(super) code_align: u64,
    pub(super) data_align: i64,
    pub(super) return_register: u64,
    pub(super) augmentation_size: u64,
    pub(super) personality_encoding: u8,
    pub(super) lsda_encoding: u8,
    pub(super) fde_encoding: u8,
    pub(super) instructions: Vec<u8>,
}

/// Where a CIE names the function that handles exceptions.
#[derive(Debug, Clone, Copy)]
pub(super) struct PersonalityField {
    /// Bytes from the record's beginning.
    pub(super) offset: u32,
    /// Its relocation, as position in the section's list.
    pub(super) relocation: usize,
    /// Bytes of the pointer.
    pub(super) width: usize,
}

/// How one function is unwound.
#[derive(Debug)]
pub(super) struct Fde {
    /// Position of its CIE among the records.
    pub(super) cie: usize,
    /// The relocation of the function's address.
    pub(super) relocation: usize,
    /// Where the address of its language-specific data is: bytes from the record's beginning.
    pub(super) lsda_offset: Option<u32>,
    /// Where operands of `DW_CFA_set_loc` are: bytes from the record's beginning.
    pub(super) set_locs: Vec<u32>,
    /// Whether its function has no bytes at all, so that it is never kept.
    pub(super) is_empty: bool,
}

/// Longest augmentation string that GNU ld takes. Source: bfd/elf-eh-frame.c, struct cie.
const MAX_AUGMENTATION: usize = 19;

/// Larger sections are not read, so that offsets fit 32 bits even where records grow.
const MAX_SIZE: usize = i32::MAX as usize;

/// An FDE with the relocations that matter when unused sections are dropped.
#[derive(Debug, Clone)]
pub(crate) struct FdeRelocations {
    /// The one of the function's address: if its target is used, so are those of the others.
    pub(crate) function: usize,
    /// All in the FDE.
    pub(crate) all: Range<usize>,
    /// All in its CIE.
    pub(crate) cie: Range<usize>,
}

impl Frames {
    /// Reads the records of a section. `relocations` are its relocations by
    /// rising offset.
    ///
    /// # Errors
    /// What cannot be read, or could not be moved: unknown versions, augmentations, encodings and
    /// instructions, relocations where none belong, and damage.
    pub(crate) fn parse(
        form: Form,
        bytes: &[u8],
        relocations: &[FrameRelocation],
    ) -> Result<Self, FrameError> {
        let mut parser = Parser {
            form,
            relocations: Relocations {
                all: relocations,
                at: 0,
            },
            records: Vec::new(),
            cies: Vec::new(),
        };
        let mut cursor = Cursor::new(bytes, form);
        if bytes.len() > MAX_SIZE {
            return Err(FrameError {
                offset: 0,
                what: "more than 2 GiB",
            });
        }
        while cursor.left() != 0 {
            let offset = cursor.at();
            parser
                .record(&mut cursor)
                .map_err(|what| FrameError { offset, what })?;
        }
        Ok(Self {
            form,
            records: parser.records,
        })
    }

    /// The relocations of each FDE, for garbage collection: an `.eh_frame` section itself keeps
    /// nothing, but an FDE whose function is kept keeps what it and its CIE refer to. Source:
    /// bfd/elf-eh-frame.c, _bfd_elf_gc_mark_fdes.
    pub(crate) fn fdes(&self) -> impl Iterator<Item = FdeRelocations> + '_ {
        self.records.iter().filter_map(|record| match &record.kind {
            RecordKind::Fde(fde) => Some(FdeRelocations {
                function: fde.relocation,
                all: record.relocations.clone(),
                cie: self.records.get(fde.cie)?.relocations.clone(),
            }),
            _ => None,
        })
    }
}

type Step<T = ()> = Result<T, &'static str>;

const CUT: &str = "the end of the data";
const STRAY_RELOCATION: &str = "a relocation where none belongs";

struct Parser<'a> {
    form: Form,
    relocations: Relocations<'a>,
    records: Vec<Record>,
    /// The CIEs: offset in the section, and position among the records.
    cies: Vec<(usize, usize)>,
}

/// The relocations, and the first that the parser has not passed.
struct Relocations<'a> {
    all: &'a [FrameRelocation],
    at: usize,
}

impl Relocations<'_> {
    /// Passes those before `offset`.
    fn skip_before(&mut self, offset: usize) {
        while self.next_is(|next| next < offset as u64) {
            self.at += 1;
        }
    }

    /// Passes those before `offset`, which have to mean nothing.
    fn refuse_before(&mut self, offset: usize) -> Step {
        while self.next_is(|next| next < offset as u64) {
            if !self.all[self.at].is_none {
                return Err(STRAY_RELOCATION);
            }
            self.at += 1;
        }
        Ok(())
    }

    /// The next one, if it is at `offset`.
    fn find(&self, offset: usize) -> Option<usize> {
        self.next_is(|next| next == offset as u64)
            .then_some(self.at)
    }

    fn next_is(&self, test: impl Fn(u64) -> bool) -> bool {
        self.all.get(self.at).is_some_and(|next| test(next.offset))
    }
}

impl Parser<'_> {
    fn record(&mut self, cursor: &mut Cursor<'_>) -> Step {
        let offset = cursor.at();
        let first_relocation = self.relocations.at;
        let length = cursor.word().ok_or(CUT)?;
        if length == 0 {
            self.terminator(cursor)?;
            let relocations = first_relocation..self.relocations.at;
            return self.push(offset, 4, relocations, RecordKind::Terminator);
        }
        let mut record = cursor
            .split(length as usize)
            .ok_or("a length beyond the section")?;
        let id_at = record.at();
        let id = record.word().ok_or(CUT)?;
        let (kind, padding) = if id == 0 {
            self.cies.push((offset, self.records.len()));
            self.cie(offset, length, &mut record)?
        } else {
            let cie = id_at.checked_sub(id as usize);
            self.fde(offset, cie, &mut record)?
        };
        let relocations = first_relocation..self.relocations.at;
        let size = 4 + length as usize - padding;
        self.push(offset, size, relocations, kind)
    }

    fn push(
        &mut self,
        offset: usize,
        size: usize,
        relocations: Range<usize>,
        kind: RecordKind,
    ) -> Step {
        let narrow = |number| u32::try_from(number).map_err(|_| "an offset beyond 4 GiB");
        self.records.push(Record {
            offset: narrow(offset)?,
            size: narrow(size)?,
            relocations,
            kind,
        });
        Ok(())
    }

    /// Nothing but further terminators may stand behind one.
    fn terminator(&mut self, cursor: &mut Cursor<'_>) -> Step {
        let rest = cursor.rest();
        if rest.iter().any(|&byte| byte != 0) || !rest.len().is_multiple_of(4) {
            return Err("data behind the terminator");
        }
        self.relocations.refuse_before(cursor.at())
    }

    /// Reads what follows the id of a CIE. Gives its padding, too, in bytes.
    fn cie(
        &mut self,
        start: usize,
        length: u32,
        record: &mut Cursor<'_>,
    ) -> Step<(RecordKind, usize)> {
        let address_size = self.form.address_size();
        let version = record.byte().ok_or(CUT)?;
        if ![1, 3, 4].contains(&version) {
            return Err("an unknown version");
        }
        let augmentation = record.string().ok_or(CUT)?;
        if augmentation.len() > MAX_AUGMENTATION {
            return Err("an unknown augmentation");
        }
        self.relocations.refuse_before(record.at())?;
        if augmentation.starts_with(b"eh") {
            record.skip(address_size).ok_or(CUT)?;
            self.relocations.skip_before(record.at());
        }
        if version >= 4 {
            let sizes = (record.byte().ok_or(CUT)?, record.byte().ok_or(CUT)?);
            if sizes != (address_size as u8, 0) {
                return Err("an unknown size of addresses or segments");
            }
        }
        let code_align = record.uleb128().ok_or(CUT)?;
        let data_align = record.sleb128().ok_or(CUT)?;
        let return_register = match version {
            1 => record.byte().map(u64::from),
            _ => record.uleb128(),
        };
        let return_register = return_register.ok_or(CUT)?;
        self.relocations.refuse_before(record.at())?;
        let data = self.augmentation(start, augmentation, record)?;

        let instructions_at = record.at();
        let fde_encoding = data.fde_encoding.unwrap_or(encoding::ABSOLUTE);
        let width = encoding::width(fde_encoding, address_size).unwrap_or(address_size);
        let instructions = self.instructions(record.clone(), width)?;
        if !instructions.set_locs.is_empty() {
            return Err("DW_CFA_set_loc among the instructions of a CIE");
        }
        let padding = instructions.padding;
        let bytes = record.rest();
        self.relocations.refuse_before(record.at())?;
        let cie = Cie {
            content: CieContent {
                length: length - padding as u32,
                version,
                augmentation: augmentation.to_vec(),
                code_align,
                data_align,
                return_register,
                augmentation_size: data.size,
                personality_encoding: data.personality_encoding,
                lsda_encoding: data.lsda_encoding,
                fde_encoding,
                instructions: bytes[..bytes.len() - padding].to_vec(),
            },
            fde_encoding,
            has_fde_encoding: data.fde_encoding.is_some(),
            personality: data.personality,
            instructions_at: (instructions_at - start) as u32,
            has_relocated_lsda: false,
        };
        Ok((RecordKind::Cie(Box::new(cie)), padding))
    }

    /// Reads the augmentation's data, as its string says.
    fn augmentation(
        &mut self,
        start: usize,
        augmentation: &[u8],
        record: &mut Cursor<'_>,
    ) -> Step<Augmentation> {
        let address_size = self.form.address_size();
        let mut data = Augmentation {
            size: 0,
            personality: None,
            personality_encoding: encoding::OMIT,
            lsda_encoding: encoding::OMIT,
            fde_encoding: None,
        };
        if augmentation.starts_with(b"eh") {
            return Ok(data);
        }
        for (at, letter) in augmentation.iter().enumerate() {
            match letter {
                b'z' if at == 0 => {
                    data.size = record.uleb128().ok_or(CUT)?;
                    self.relocations.refuse_before(record.at())?;
                }
                b'L' => data.lsda_encoding = self.encoding(record)?,
                b'R' => data.fde_encoding = Some(self.encoding(record)?),
                b'P' => {
                    data.personality_encoding = record.byte().ok_or(CUT)?;
                    let width = encoding::width(data.personality_encoding, address_size)
                        .ok_or("an unknown encoding of pointers")?;
                    if data.personality_encoding & encoding::BASE == encoding::ALIGNED {
                        let gap = record.at().next_multiple_of(width) - record.at();
                        record.skip(gap).ok_or(CUT)?;
                    }
                    self.relocations.refuse_before(record.at())?;
                    let relocation = self.relocations.find(record.at());
                    let offset = (record.at() - start) as u32;
                    data.personality = Some(PersonalityField {
                        offset,
                        relocation: relocation.ok_or("a personality without a relocation")?,
                        width,
                    });
                    // Some psABIs have several relocations at one place.
                    while self.relocations.find(record.at()).is_some() {
                        self.relocations.at += 1;
                    }
                    record.skip(width).ok_or(CUT)?;
                }
                // Frames of signal handlers; pointers signed with key B (AArch64).
                b'S' | b'B' => {}
                _ => return Err("an unknown augmentation"),
            }
        }
        Ok(data)
    }

    /// An encoding of pointers, which has to be one of fixed width.
    fn encoding(&mut self, record: &mut Cursor<'_>) -> Step<u8> {
        let encoding = record.byte().ok_or(CUT)?;
        self.relocations.refuse_before(record.at())?;
        match encoding::width(encoding, self.form.address_size()) {
            Some(_) => Ok(encoding),
            None => Err("an unknown encoding of pointers"),
        }
    }

    /// Reads what follows the id of an FDE. Gives its padding, too, in bytes.
    fn fde(
        &mut self,
        start: usize,
        cie_offset: Option<usize>,
        record: &mut Cursor<'_>,
    ) -> Step<(RecordKind, usize)> {
        let address_size = self.form.address_size();
        let found = cie_offset.and_then(|offset| {
            let at = self.cies.binary_search_by_key(&offset, |cie| cie.0).ok()?;
            self.cies.get(at)
        });
        let (position, cie) = found
            .and_then(|&(_, at)| match &mut self.records.get_mut(at)?.kind {
                RecordKind::Cie(cie) => Some((at, cie)),
                _ => None,
            })
            .ok_or("an FDE without a CIE in front of it")?;
        let width = encoding::width(cie.fde_encoding, address_size).unwrap_or(address_size);

        self.relocations.refuse_before(record.at())?;
        let relocation = self.relocations.find(record.at());
        let relocation = relocation.ok_or("an address of a function without a relocation")?;
        record.skip(width).ok_or(CUT)?;
        self.relocations.skip_before(record.at());
        let is_constant = self.relocations.find(record.at()).is_none();
        let is_empty = record.number(width).ok_or(CUT)? == 0 && is_constant;

        let has_size = cie.content.augmentation.starts_with(b"z");
        let data_size = match has_size {
            true => record.uleb128().ok_or(CUT)?,
            false => 0,
        };
        let mut data_size = usize::try_from(data_size).map_err(|_| CUT)?;
        let mut lsda_offset = None;
        if cie.content.lsda_encoding != encoding::OMIT {
            self.relocations.skip_before(record.at());
            if self.relocations.find(record.at()).is_some() {
                cie.has_relocated_lsda = true;
            }
            lsda_offset = Some((record.at() - start) as u32);
            if !has_size {
                // Where the instructions begin is not known then: take them for data.
                data_size = record.left();
            }
        }
        record.skip(data_size).ok_or(CUT)?;
        let mut instructions = self.instructions(record.clone(), width)?;
        for offset in &mut instructions.set_locs {
            *offset -= start as u32;
        }
        record.rest();
        self.relocations.skip_before(record.at());
        let fde = Fde {
            cie: position,
            relocation,
            lsda_offset,
            set_locs: instructions.set_locs,
            is_empty,
        };
        Ok((RecordKind::Fde(fde), instructions.padding))
    }

    /// Reads call frame instructions to the end of the record.
    fn instructions(&self, mut record: Cursor<'_>, width: usize) -> Step<Instructions> {
        let mut set_locs = Vec::new();
        let mut end = record.at();
        while let Some(op) = record.peek() {
            let at = record.at();
            record
                .skip_instruction(width)
                .ok_or("an unknown call frame instruction")?;
            if op == SET_LOC {
                set_locs.push(u32::try_from(at + 1).map_err(|_| CUT)?);
            }
            if op != NOP {
                end = record.at();
            }
        }
        Ok(Instructions {
            padding: record.at() - end,
            set_locs,
        })
    }
}

/// What a CIE's augmentation holds.
struct Augmentation {
    size: u64,
    personality: Option<PersonalityField>,
    personality_encoding: u8,
    lsda_encoding: u8,
    fde_encoding: Option<u8>,
}

struct Instructions {
    /// Bytes at the end that do nothing.
    padding: usize,
    /// Where operands of `DW_CFA_set_loc` are, from the section's beginning.
    set_locs: Vec<u32>,
}
