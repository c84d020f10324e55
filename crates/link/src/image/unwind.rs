//! Unwind tables of an image: which records of `.eh_frame` are kept, and the table to search them by.
//!
//! [`crate::eh_frame`] edits the tables and knows nothing of links; here its questions are answered,
//! and its answers are put to use.

use std::sync::Mutex;

use klink_arch::Arch;

use crate::dynamic::encode::Form;
use crate::eh_frame::{
    EditedFrames, FrameError, FramePlace, FrameRelocation, FrameSection, FrameTargets, Frames,
    Personality, SearchEntry, header,
};
use crate::error::{LinkError, Result};
use crate::id::{Id, IdVec, ObjectId, OutputId, SectionId};
use crate::input::{InputSection, RawRelocation, SymbolPlace};
use crate::output::{Outputs, Placements};
use crate::resolve::{Definition, Resolved};

/// The output section that holds unwind tables (bfd/elflink.c, `bfd_elf_discard_info`).
const NAME: &[u8] = b".eh_frame";

/// An input section with unwind records.
struct Table {
    section: SectionId,
    size: u64,
    /// Its relocations by rising offset.
    relocations: Vec<RawRelocation>,
    /// `None`: they cannot be read; the section stays as it is.
    frames: Option<Frames>,
}

/// The unwind tables of the inputs, read.
#[derive(Default)]
pub(super) struct UnwindInputs {
    tables: Vec<Table>,
    output: Option<OutputId>,
    /// What could not be read.
    pub warnings: Vec<String>,
}

impl UnwindInputs {
    /// Reads the sections that go to `.eh_frame`.
    pub(super) fn read(resolved: &Resolved<'_>, outputs: &Outputs<'_>, arch: &Arch) -> Self {
        let mut inputs = Self {
            output: outputs.by_name(NAME),
            ..Self::default()
        };
        let Some(output) = inputs.output else {
            return inputs;
        };
        for section in outputs.sections[output].sections() {
            let input = resolved.section(section);
            if input.data.is_empty() {
                continue;
            }
            let (relocations, frames) = read_frames(input, arch);
            let frames = match frames {
                Ok(frames) => Some(frames),
                Err(error) => {
                    let (object, _) = resolved.section_place(section);
                    let name = String::from_utf8_lossy(input.name);
                    let file = &resolved.objects[object].name;
                    inputs
                        .warnings
                        .push(format!("error in {file}({name}): {error}"));
                    None
                }
            };
            inputs.tables.push(Table {
                section,
                size: input.data.len() as u64,
                relocations,
                frames,
            });
        }
        inputs
    }

    /// Whether there is anything to unwind by (bfd/elf-eh-frame.c, `_bfd_elf_eh_frame_present`): no
    /// record is 8 bytes or less.
    pub(super) fn is_present(&self) -> bool {
        self.tables.iter().any(|table| table.size > 8)
    }
}

/// Reads the records of a section, and its relocations by rising offset, which they point into.
pub(crate) fn read_frames(
    section: &InputSection<'_>,
    arch: &Arch,
) -> (Vec<RawRelocation>, Result<Frames, FrameError>) {
    let mut relocations: Vec<RawRelocation> = section.relocations.iter().collect();
    relocations.sort_by_key(|relocation| relocation.offset);
    let places: Vec<FrameRelocation> = relocations
        .iter()
        .map(|relocation| FrameRelocation {
            offset: relocation.offset,
            is_none: relocation.symbol == 0 || relocation.number == 0,
        })
        .collect();
    let frames = Frames::parse(Form::of(arch), section.data, &places);
    (relocations, frames)
}

/// What relocations of the tables refer to.
struct Targets<'a, 'l> {
    tables: &'l [Table],
    resolved: &'l Resolved<'a>,
    placements: &'l Placements,
    is_bound: &'l dyn Fn(ObjectId, u32) -> bool,
}

impl Targets<'_, '_> {
    fn relocation(&self, table: usize, relocation: usize) -> (ObjectId, u32) {
        let table = &self.tables[table];
        let (object, _) = self.resolved.section_place(table.section);
        let symbol = table.relocations.get(relocation);
        (object, symbol.map_or(0, |relocation| relocation.symbol))
    }
}

impl FrameTargets for Targets<'_, '_> {
    /// Source: bfd/elflink.c, `bfd_elf_reloc_symbol_deleted_p`.
    fn is_kept(&self, table: usize, relocation: usize) -> bool {
        let (object, symbol) = self.relocation(table, relocation);
        if symbol == 0 {
            return false;
        }
        let is_placed = |section| self.placements.output(section).is_some();
        if let Some(global) = self.resolved.global_of(object, symbol) {
            return match self.resolved.globals[global].definition {
                Definition::Object { object: owner, .. } => {
                    owner == object
                        && self
                            .resolved
                            .place_of_symbol(object, symbol)
                            .is_some_and(|(section, _)| is_placed(section))
                }
                Definition::Made { section, .. } => {
                    self.resolved.section_place(section).0 == object && is_placed(section)
                }
                Definition::Script => false,
                Definition::Undefined { .. } | Definition::Common { .. } => true,
            };
        }
        let local = self.resolved.objects[object].symbols.get(symbol as usize);
        match local.map(|local| local.place) {
            Some(SymbolPlace::Section(section)) => {
                is_placed(self.resolved.section_id(object, section))
            }
            _ => true,
        }
    }

    fn personality(&self, table: usize, relocation: usize) -> Personality {
        let (object, symbol) = self.relocation(table, relocation);
        let number = match self.resolved.global_of(object, symbol) {
            Some(global) => global.index() as u64,
            None => (object.index() as u64 + 1) << 32 | u64::from(symbol),
        };
        Personality {
            symbol: number,
            is_bound: (self.is_bound)(object, symbol),
        }
    }
}

/// The unwind tables of the output.
#[derive(Default)]
pub(crate) struct Unwind<'f> {
    edited: Option<EditedFrames<'f>>,
    /// By position among the edited sections.
    sections: Vec<SectionId>,
    positions: Option<IdVec<SectionId, u32>>,
    output: Option<OutputId>,
}

/// What the tables are edited for.
pub(super) struct UnwindRequest<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    pub outputs: &'l Outputs<'a>,
    pub placements: &'l Placements,
    /// Whether the output is loaded at any address.
    pub position_independent: bool,
    /// Whether references to a symbol of an object stay in the output.
    pub is_bound: &'l dyn Fn(ObjectId, u32) -> bool,
}

const NOT_EDITED: u32 = u32::MAX;

impl<'f> Unwind<'f> {
    /// Decides what is kept.
    pub(super) fn edit(inputs: &'f UnwindInputs, request: &UnwindRequest<'_, '_>) -> Self {
        let Some(output) = inputs.output.filter(|_| !inputs.tables.is_empty()) else {
            return Self::default();
        };
        let sections: Vec<FrameSection<'f>> = inputs
            .tables
            .iter()
            .map(|table| FrameSection {
                frames: table.frames.as_ref(),
                size: table.size,
            })
            .collect();
        let targets = Targets {
            tables: &inputs.tables,
            resolved: request.resolved,
            placements: request.placements,
            is_bound: request.is_bound,
        };
        let edited = EditedFrames::new(
            &sections,
            &targets,
            request.position_independent,
            request.outputs.sections[output].align,
        );
        let mut positions = IdVec::filled(NOT_EDITED, request.resolved.section_count());
        for (position, table) in inputs.tables.iter().enumerate() {
            positions[table.section] = position as u32;
        }
        Self {
            edited: Some(edited),
            sections: inputs.tables.iter().map(|table| table.section).collect(),
            positions: Some(positions),
            output: Some(output),
        }
    }

    /// The table and a section's position in it.
    #[inline]
    fn find(&self, section: SectionId) -> Option<(&EditedFrames<'f>, usize)> {
        let position = self.positions.as_ref()?[section];
        (position != NOT_EDITED).then_some(())?;
        Some((self.edited.as_ref()?, position as usize))
    }

    /// The size that a section has in the output, in bytes; `None` if it is none of these.
    pub(super) fn size(&self, section: SectionId) -> Option<u64> {
        let (edited, position) = self.find(section)?;
        Some(edited.size(position))
    }

    /// Whether a section is one of these.
    pub(super) fn contains(&self, section: SectionId) -> bool {
        self.find(section).is_some()
    }

    /// Whether nothing is left of a section: it then needs no alignment either.
    pub(super) fn is_gone(&self, section: SectionId) -> bool {
        self.size(section) == Some(0)
    }

    /// Bytes of the search table with its header.
    pub(super) fn header_size(&self) -> u64 {
        self.edited.as_ref().map_or(0, EditedFrames::header_size)
    }

    /// Where the field of a relocation goes; `None` if the section is none of these.
    #[inline]
    pub(super) fn field(&self, section: SectionId, offset: u64) -> Option<FramePlace> {
        let (edited, position) = self.find(section)?;
        Some(edited.place(position, offset))
    }

    /// Where a symbol goes.
    #[inline]
    pub(super) fn moved(&self, section: SectionId, offset: u64, placements: &Placements) -> u64 {
        match self.find(section) {
            None => offset,
            Some((edited, position)) => edited
                .symbol_offset(position, offset, &self.starts(placements))
                .cast_unsigned(),
        }
    }

    fn starts(&self, placements: &Placements) -> Vec<u64> {
        let offset = |&section: &SectionId| placements.offset(section);
        self.sections.iter().map(offset).collect()
    }

    /// The bytes of a section before relocation.
    pub(super) fn bytes(
        &self,
        section: SectionId,
        data: &[u8],
        placements: &Placements,
    ) -> Option<Vec<u8>> {
        let (edited, position) = self.find(section)?;
        Some(edited.bytes(position, data, &self.starts(placements)))
    }

    /// Finishes the relocated bytes of a section that begins at `address`, and adds its functions
    /// to `search`.
    pub(super) fn finish(
        &self,
        section: SectionId,
        bytes: &mut [u8],
        address: u64,
        search: &Mutex<Vec<SearchEntry>>,
    ) {
        let Some((edited, position)) = self.find(section) else {
            return;
        };
        let entries = edited.finish(position, bytes, address);
        if let Ok(mut search) = search.lock() {
            search.extend(entries);
        }
    }

    /// The contents of `.eh_frame_hdr` at `address`.
    ///
    /// # Errors
    /// Functions that the table cannot tell apart or reach.
    pub(super) fn header(
        &self,
        arch: &Arch,
        outputs: &Outputs<'_>,
        address: u64,
        search: Vec<SearchEntry>,
    ) -> Result<Vec<u8>> {
        let (Some(edited), Some(output)) = (&self.edited, self.output) else {
            return Ok(Vec::new());
        };
        let entries = edited.is_searchable().then_some(search);
        let frames = outputs.sections[output].address;
        header(Form::of(arch), address, frames, entries).map_err(|error| LinkError::BadSection {
            file: "output".to_owned(),
            section: ".eh_frame_hdr".to_owned(),
            what: error.to_string(),
        })
    }
}
