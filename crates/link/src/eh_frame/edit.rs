//! Which records of a link's `.eh_frame` sections are kept, and where they go.
//!
//! Source: bfd/elf-eh-frame.c (find_merged_cie, _bfd_elf_discard_section_eh_frame, offset_adjust,
//! _bfd_elf_eh_frame_section_offset); bfd/elflink.c (bfd_elf_discard_info).

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::cursor::encoding;
use super::parse::{Cie, CieContent, Fde, Frames, Record, RecordKind};

/// An input section of an `.eh_frame`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameSection<'f> {
    /// Its records. `None`: they could not be read; it stays as it is.
    pub(crate) frames: Option<&'f Frames>,
    /// Its size in the input, bytes.
    pub(crate) size: u64,
}

/// What a personality's relocation refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Personality {
    /// The symbol: equal numbers for equal symbols of the whole link. (Addends do not count.)
    pub(crate) symbol: u64,
    /// Whether the reference is bound in the output.
    pub(crate) is_bound: bool,
}

/// What relocations of the sections refer to. Both take the section's position in the list, and the
/// relocation's among those of the section.
pub(crate) trait FrameTargets {
    /// Whether the target is in the output: not without a symbol, not in a section that is
    /// discarded, dropped as unused or of a group that another object's replaces; and if the symbol
    /// is global, its definition is this object's.
    fn is_kept(&self, section: usize, relocation: usize) -> bool;

    /// Which symbol it is.
    fn personality(&self, section: usize, relocation: usize) -> Personality;
}

/// Where a place of an input section goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FramePlace {
    /// To this offset from the section's beginning.
    Moved(u64),
    /// To this offset. The pointer there is an address that [`EditedFrames::finish`] makes relative
    /// to itself: a relocation is applied, and nothing is left to the loader.
    MadeRelative(u64),
    /// Nowhere: its record is dropped.
    Dropped,
}

impl FramePlace {
    /// The new offset from the section's beginning.
    pub(crate) fn offset(self) -> Option<u64> {
        match self {
            Self::Moved(offset) | Self::MadeRelative(offset) => Some(offset),
            Self::Dropped => None,
        }
    }
}

/// The records that are kept, and where.
#[derive(Debug)]
pub(crate) struct EditedFrames<'f> {
    pub(super) sections: Vec<EditedSection<'f>>,
    /// FDEs that are kept.
    fde_count: u32,
    /// Whether there can be a search table.
    is_searchable: bool,
    position_independent: bool,
}

#[derive(Debug)]
pub(super) struct EditedSection<'f> {
    pub(super) frames: Option<&'f Frames>,
    old_size: u64,
    pub(super) size: u64,
    /// By record.
    pub(super) states: Vec<State>,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct State {
    /// Its new offset from the section's beginning; `None` if it is dropped.
    pub(super) offset: Option<u32>,
    /// Of an FDE its CIE; of a CIE that was used the one that stands for it.
    pub(super) cie: Option<CieId>,
    /// Of a CIE: FDEs' addresses of language-specific data become relative.
    pub(super) makes_lsda_relative: bool,
    /// Of a CIE: the personality's address becomes relative.
    pub(super) makes_personality_relative: bool,
}

/// A CIE of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CieId {
    pub(super) section: usize,
    pub(super) record: usize,
}

/// How a CIE is changed, and so the FDEs that use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Conversion {
    /// Addresses of functions become relative.
    pub(super) makes_relative: bool,
    /// The augmentation gets an encoding for them.
    pub(super) adds_encoding: bool,
    /// The augmentation gets a size, in the CIE and in its FDEs.
    pub(super) adds_size: bool,
}

impl Conversion {
    /// What a CIE needs so that FDEs need no dynamic relocations. An encoding is not added in front
    /// of aligned data, which would then move by less than an alignment, nor to the form of before
    /// GCC 3, which has no place for it (GNU ld writes one that nothing can read).
    fn of(cie: &Cie, position_independent: bool) -> Self {
        let adds_encoding = position_independent
            && !cie.has_fde_encoding
            && !cie.content.augmentation.starts_with(b"eh")
            && cie.content.personality_encoding & encoding::BASE != encoding::ALIGNED;
        Self {
            makes_relative: adds_encoding
                || position_independent
                    && cie.has_fde_encoding
                    && encoding::is_absolute(cie.fde_encoding),
            adds_encoding,
            adds_size: adds_encoding && cie.content.augmentation.is_empty(),
        }
    }

    /// Bytes that are added to a CIE's augmentation string, and as many to its data.
    pub(super) fn added_to_cie(self) -> u32 {
        u32::from(self.adds_encoding) + u32::from(self.adds_size)
    }

    /// Bytes that are added behind an FDE's range.
    pub(super) fn added_to_fde(self) -> u32 {
        u32::from(self.adds_size)
    }
}

/// A record as the editor sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RecordView<'f> {
    pub(super) record: &'f Record,
    pub(super) state: State,
}

impl<'f> EditedFrames<'f> {
    /// Edits `sections`, all input sections of one output section in their order. `align` is the
    /// alignment of the output section, `position_independent` whether the output is loaded at any
    /// address.
    pub(crate) fn new(
        sections: &[FrameSection<'f>],
        targets: &impl FrameTargets,
        position_independent: bool,
        align: u64,
    ) -> Self {
        let sections = sections.iter().map(|section| EditedSection {
            frames: section.frames,
            old_size: section.size,
            size: section.size,
            states: vec![State::default(); section.frames.map_or(0, |it| it.records.len())],
        });
        let mut edited = Self {
            sections: sections.collect(),
            fde_count: 0,
            is_searchable: true,
            position_independent,
        };
        let mut cies = HashMap::default();
        for section in 0..edited.sections.len() {
            edited.keep(section, targets, &mut cies);
        }
        // Only now is it known of each CIE whether an FDE of any section uses it.
        for section in &mut edited.sections {
            section.lay_out(position_independent);
        }
        edited.pad(align);
        edited
    }

    /// Chooses the records of a section that are kept.
    fn keep(
        &mut self,
        section: usize,
        targets: &impl FrameTargets,
        cies: &mut HashMap<(CieContent, Option<u64>), CieId, RandomState>,
    ) {
        let Some(frames) = self.sections[section].frames else {
            self.is_searchable &= self.sections[section].size == 0;
            return;
        };
        let is_last = section + 1 == self.sections.len();
        for (at, record) in frames.records.iter().enumerate() {
            match &record.kind {
                RecordKind::Cie(_) => {}
                RecordKind::Terminator => {
                    // One that is not the last would end the table for all behind it.
                    self.sections[section].states[at].offset = is_last.then_some(0);
                }
                RecordKind::Fde(fde) => {
                    if fde.is_empty || !targets.is_kept(section, fde.relocation) {
                        continue;
                    }
                    let id = CieId {
                        section,
                        record: fde.cie,
                    };
                    let Some(cie) = frames.cie(fde.cie) else {
                        continue;
                    };
                    self.is_searchable &= self.is_searchable_with(cie);
                    let kept = self.use_cie(id, cie, targets, cies);
                    let state = &mut self.sections[section].states[at];
                    state.offset = Some(0);
                    state.cie = Some(kept);
                    self.fde_count += 1;
                }
            }
        }
    }

    /// A table of addresses cannot be made where the loader changes them.
    fn is_searchable_with(&self, cie: &Cie) -> bool {
        let conversion = Conversion::of(cie, self.position_independent);
        let stays_absolute = encoding::is_absolute(cie.fde_encoding) && !conversion.makes_relative;
        let is_aligned = cie.fde_encoding & encoding::BASE == encoding::ALIGNED;
        !(self.position_independent && (stays_absolute || is_aligned))
    }

    /// The CIE that stands for `id`: an equal one that is kept already, or itself.
    fn use_cie(
        &mut self,
        id: CieId,
        cie: &Cie,
        targets: &impl FrameTargets,
        cies: &mut HashMap<(CieContent, Option<u64>), CieId, RandomState>,
    ) -> CieId {
        if let Some(kept) = self.state(id).cie {
            return kept;
        }
        let personality = cie
            .personality
            .map(|field| targets.personality(id.section, field.relocation));
        let makes_lsda_relative = self.position_independent
            && cie.has_relocated_lsda
            && encoding::is_absolute(cie.content.lsda_encoding);
        let makes_personality_relative = self.position_independent
            && personality.is_some_and(|personality| personality.is_bound)
            && encoding::is_absolute(cie.content.personality_encoding);

        let is_unique = cie.content.augmentation.as_slice() == b"eh"
            || cie.content.instructions.len() > MAX_COMPARED_INSTRUCTIONS;
        let kept = match is_unique {
            true => id,
            false => {
                let key = (cie.content.clone(), personality.map(|it| it.symbol));
                *cies.entry(key).or_insert(id)
            }
        };
        self.state_mut(id).cie = Some(kept);
        let state = self.state_mut(kept);
        state.makes_lsda_relative |= makes_lsda_relative;
        if kept == id {
            state.offset = Some(0);
            state.makes_personality_relative = makes_personality_relative;
        }
        kept
    }

    /// Pads sections so that there is nothing between them: zeros would end the table. The last
    /// with records needs none.
    fn pad(&mut self, align: u64) {
        let last = self.sections.iter().rposition(|section| section.size > 4);
        for section in &mut self.sections[..last.unwrap_or(0)] {
            if section.size != 4 {
                section.size = section.size.next_multiple_of(align.max(1));
            }
        }
    }

    /// Bytes that a section has in the output. One of 0 is to be left out, or its alignment would
    /// be padded.
    pub(crate) fn size(&self, section: usize) -> u64 {
        self.sections[section].size
    }

    /// Bytes of `.eh_frame_hdr`. (There is none if no section is larger than 8 bytes; bfd's
    /// _bfd_elf_eh_frame_present.)
    pub(crate) fn header_size(&self) -> u64 {
        match self.is_searchable {
            true => 12 + 8 * u64::from(self.fde_count),
            false => 8,
        }
    }

    /// Whether `.eh_frame_hdr` has a search table.
    pub(crate) fn is_searchable(&self) -> bool {
        self.is_searchable
    }

    /// Where the place `offset` bytes into a section goes, if a relocation is there.
    pub(crate) fn place(&self, section: usize, offset: u64) -> FramePlace {
        let edited = &self.sections[section];
        let Some((view, inside)) = edited.find(offset) else {
            return FramePlace::Moved(edited.moved_end(offset));
        };
        let Some(new) = view.state.offset else {
            return FramePlace::Dropped;
        };
        let conversion = self.conversion(section, view);
        let (added, is_made_relative) = match &view.record.kind {
            RecordKind::Terminator => (0, false),
            RecordKind::Cie(cie) => {
                let is_personality = cie.personality.is_some_and(|field| field.offset == inside);
                (
                    added_before_cie_data(cie, inside, conversion),
                    is_personality && view.state.makes_personality_relative,
                )
            }
            RecordKind::Fde(fde) => (
                self.added_in_fde(section, fde, inside, conversion),
                self.is_made_relative(fde, view.state, inside, conversion),
            ),
        };
        let place = u64::from(new) + u64::from(inside) + u64::from(added);
        match is_made_relative {
            true => FramePlace::MadeRelative(place),
            false => FramePlace::Moved(place),
        }
    }

    /// Where a symbol `offset` bytes into a section goes: the new offset from the same section's
    /// beginning, which may be negative, since a symbol of a dropped CIE goes to the one that stands
    /// for it. `starts` are where the sections begin in the output section, by section.
    pub(crate) fn symbol_offset(&self, section: usize, offset: u64, starts: &[u64]) -> i64 {
        let edited = &self.sections[section];
        let Some((view, inside)) = edited.find(offset) else {
            return edited.moved_end(offset).cast_signed();
        };
        let start = |section: usize| starts.get(section).copied().unwrap_or(0);
        let (new, kept) = match (view.state.offset, view.state.cie) {
            (Some(new), _) => (u64::from(new), section),
            (None, Some(kept)) => {
                let new = self.state(kept).offset.unwrap_or(0);
                (u64::from(new), kept.section)
            }
            // To what follows the dropped record.
            (None, None) => return edited.next_kept(offset).cast_signed(),
        };
        let conversion = self.conversion(section, view);
        let added = match &view.record.kind {
            RecordKind::Terminator => 0,
            RecordKind::Cie(cie) => added_before_cie_data(cie, inside, conversion),
            RecordKind::Fde(fde) => self.added_in_fde(section, fde, inside, conversion),
        };
        let there = start(kept) + new + u64::from(inside) + u64::from(added);
        there.wrapping_sub(start(section)).cast_signed()
    }

    pub(super) fn state(&self, id: CieId) -> State {
        self.sections[id.section].states[id.record]
    }

    fn state_mut(&mut self, id: CieId) -> &mut State {
        &mut self.sections[id.section].states[id.record]
    }

    /// How the CIE of a record, or itself, is changed.
    pub(super) fn conversion(&self, section: usize, view: RecordView<'_>) -> Conversion {
        self.sections[section].conversion(view.record, self.position_independent)
    }

    pub(super) fn has_lsda_made_relative(&self, state: State) -> bool {
        state
            .cie
            .is_some_and(|cie| self.state(cie).makes_lsda_relative)
    }

    /// Bytes added in an FDE before the place `inside` bytes into it.
    pub(super) fn added_in_fde(
        &self,
        section: usize,
        fde: &Fde,
        inside: u32,
        conversion: Conversion,
    ) -> u32 {
        let width = self.sections[section].width(fde);
        match inside >= FDE_ADDRESS + 2 * width {
            true => conversion.added_to_fde(),
            false => 0,
        }
    }

    /// Whether the pointer `inside` bytes into an FDE becomes relative.
    fn is_made_relative(
        &self,
        fde: &Fde,
        state: State,
        inside: u32,
        conversion: Conversion,
    ) -> bool {
        let is_address = inside == FDE_ADDRESS || fde.set_locs.contains(&inside);
        conversion.makes_relative && is_address
            || fde.lsda_offset == Some(inside) && self.has_lsda_made_relative(state)
    }
}

/// Where an FDE has its function's address: behind length and CIE.
pub(super) const FDE_ADDRESS: u32 = 8;

/// Longer instructions of CIEs are not compared. Source: bfd/elf-eh-frame.c, struct cie.
const MAX_COMPARED_INSTRUCTIONS: usize = 50;

/// Bytes added in a CIE before the place `inside` bytes into it: first the letters of the
/// augmentation, then its data, in front of the data that is there.
fn added_before_cie_data(cie: &Cie, inside: u32, conversion: Conversion) -> u32 {
    // Behind length, id and version.
    let string_end = 9 + cie.content.augmentation.len() as u32;
    if inside <= string_end {
        return 0;
    }
    let is_data = cie.personality.is_some_and(|field| inside >= field.offset);
    match is_data || inside >= cie.instructions_at {
        true => 2 * conversion.added_to_cie(),
        false => conversion.added_to_cie(),
    }
}

impl Frames {
    pub(super) fn cie(&self, record: usize) -> Option<&Cie> {
        match &self.records.get(record)?.kind {
            RecordKind::Cie(cie) => Some(cie),
            _ => None,
        }
    }
}

impl<'f> EditedSection<'f> {
    /// The records with what becomes of them.
    pub(super) fn records(&self) -> impl Iterator<Item = RecordView<'f>> {
        let records = self.frames.map_or(&[][..], |frames| &frames.records);
        (records.iter().zip(&self.states)).map(|(record, &state)| RecordView { record, state })
    }

    pub(super) fn conversion(&self, record: &Record, position_independent: bool) -> Conversion {
        let cie = match &record.kind {
            RecordKind::Cie(cie) => Some(&**cie),
            RecordKind::Fde(fde) => self.frames.and_then(|frames| frames.cie(fde.cie)),
            RecordKind::Terminator => None,
        };
        match cie {
            Some(cie) => Conversion::of(cie, position_independent),
            None => Conversion {
                makes_relative: false,
                adds_encoding: false,
                adds_size: false,
            },
        }
    }

    /// Bytes of the pointers to functions in an FDE.
    pub(super) fn width(&self, fde: &Fde) -> u32 {
        let width = self.frames.and_then(|frames| {
            let cie = frames.cie(fde.cie)?;
            encoding::width(cie.fde_encoding, frames.form.address_size())
        });
        width.unwrap_or(4) as u32
    }

    /// Gives what is kept its place, aligned as pointers want it, and sets the size.
    fn lay_out(&mut self, position_independent: bool) {
        let Some(frames) = self.frames else {
            return;
        };
        let mut end = 0_u32;
        for (at, record) in frames.records.iter().enumerate() {
            if self.states[at].offset.is_none() {
                continue;
            }
            let conversion = self.conversion(record, position_independent);
            let (align, added) = match &record.kind {
                RecordKind::Terminator => (4, 0),
                RecordKind::Cie(cie) => {
                    let is_aligned =
                        cie.content.personality_encoding & encoding::BASE == encoding::ALIGNED;
                    let width = cie.personality.map_or(4, |field| field.width);
                    let align = if is_aligned && width == 8 { 8 } else { 4 };
                    (align, 2 * conversion.added_to_cie())
                }
                RecordKind::Fde(fde) => (self.width(fde).max(4), conversion.added_to_fde()),
            };
            let offset = end.next_multiple_of(align);
            self.states[at].offset = Some(offset);
            end = offset.saturating_add(record.size + added);
        }
        self.size = u64::from(end).next_multiple_of(4);
    }

    /// The record that holds `offset`, and how far in it that is. `None` behind the last.
    fn find(&self, offset: u64) -> Option<(RecordView<'f>, u32)> {
        let frames = self.frames?;
        if offset >= self.old_size {
            return None;
        }
        let behind = frames
            .records
            .partition_point(|record| u64::from(record.offset) <= offset);
        let at = behind.checked_sub(1)?;
        let record = frames.records.get(at)?;
        let inside = u32::try_from(offset - u64::from(record.offset)).ok()?;
        let state = *self.states.get(at)?;
        Some((RecordView { record, state }, inside))
    }

    /// Where the place behind all records goes that was at `offset`.
    fn moved_end(&self, offset: u64) -> u64 {
        match self.frames {
            Some(_) => offset.wrapping_sub(self.old_size).wrapping_add(self.size),
            None => offset,
        }
    }

    /// The new offset of the first kept record behind the old `offset`, or the end.
    fn next_kept(&self, offset: u64) -> u64 {
        self.records()
            .filter(|view| u64::from(view.record.offset) > offset)
            .find_map(|view| view.state.offset)
            .map_or(self.size, u64::from)
    }
}
