//! Program headers: which sections a segment holds, and where everything stands in the file.
//!
//! Segments come from PHDRS, or are made as bfd/elf.c makes them
//! (`_bfd_elf_map_sections_to_segments`); offsets are those of `assign_file_positions_for_load_sections`
//! there, since a section's place in the file and its address must agree in a page.

mod file;
mod make;

use klink_arch::Arch;
use klink_script::{Phdr, SegmentType};
use object::elf;

use self::make::{is_loaded_note, make, sort_sections, stack_flags};
use super::layout::Layouter;
use crate::assign::LayoutItem;
use crate::error::{LinkError, Result};
use crate::id::{Id, OutputId};
use crate::options::{Magic, Options};
use crate::output::{OutputSection, Outputs, Traits};
use crate::script::Located;
use crate::write::Sizes;

/// A segment: a program header and its sections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Segment {
    /// `p_type`.
    pub segment_type: u32,
    /// `p_flags`; what the sections need, unless the script says.
    pub flags: u32,
    pub offset: u64,
    pub address: u64,
    pub load_address: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub align: u64,
    sections: Vec<OutputId>,
    has_file_header: bool,
    has_program_headers: bool,
    given_flags: Option<u32>,
    given_load_address: Option<u64>,
    /// Bytes by which the headers' own segment begins before its (absent) sections.
    address_offset: u64,
}

/// All segments, in the order of their headers.
#[derive(Clone, Debug, Default)]
pub(super) struct Segments {
    pub segments: Vec<Segment>,
    /// Bytes of the ELF header and the program headers.
    pub header_size: u64,
    /// For each output section in memory, where its bytes begin in the file.
    pub offsets: Vec<u64>,
    /// The first byte of the file behind everything placed so far.
    pub end: u64,
}

/// What segments are made from.
pub(super) struct FileInput<'s, 'a> {
    pub outputs: &'s mut Outputs<'a>,
    pub options: &'s Options,
    pub arch: &'static Arch,
    pub max_page_size: u64,
    /// Whether the script asks for `SIZEOF_HEADERS`.
    pub headers_wanted: bool,
    /// The addresses that are read-only after relocation.
    pub relro: Option<(u64, u64)>,
}

impl FileInput<'_, '_> {
    fn section(&self, id: OutputId) -> &OutputSection<'_> {
        &self.outputs.sections[id]
    }

    fn is_paged(&self) -> bool {
        self.options.magic == Magic::Paged
    }

    /// Pages that segments are kept apart by.
    fn page(&self) -> u64 {
        self.max_page_size.max(1)
    }
}

/// The segments that a script asks for with PHDRS; `None`: the linker makes them.
#[derive(Default)]
pub(super) struct Phdrs {
    given: Option<Vec<Segment>>,
    stack_flags: Option<u32>,
}

impl Phdrs {
    /// Reads PHDRS and which sections go to which (ld/ldlang.c, `lang_record_phdrs`).
    pub(super) fn from_script(layouter: &Layouter<'_, '_>) -> Result<Self> {
        let stack_flags = stack_flags(layouter);
        let Some(phdrs) = layouter.sources().phdrs() else {
            return Ok(Self {
                given: None,
                stack_flags,
            });
        };
        let mut segments = Vec::new();
        for located in &phdrs {
            let (source, phdr) = (located.source, located.value);
            let constant = |expr| layouter.constant(expr, source);
            segments.push(Segment {
                segment_type: match &phdr.segment_type {
                    SegmentType::Named { number, .. } => *number,
                    SegmentType::Value(value) => constant(value)? as u32,
                },
                has_file_header: phdr.file_header,
                has_program_headers: phdr.program_headers,
                given_flags: phdr
                    .flags
                    .as_ref()
                    .map(constant)
                    .transpose()?
                    .map(|flags| flags as u32),
                given_load_address: phdr.load_address.as_ref().map(constant).transpose()?,
                ..Segment::default()
            });
        }
        fill_phdrs(layouter, &phdrs, &mut segments)?;
        Ok(Self {
            given: Some(segments),
            stack_flags,
        })
    }

    /// The size of all headers before any section has an address (bfd/elf.c,
    /// `get_program_header_size`).
    pub(super) fn first_guess(&self, outputs: &Outputs<'_>, options: &Options, arch: &Arch) -> u64 {
        let sizes = Sizes::of(arch.class);
        if let Some(given) = &self.given {
            return sizes.header + sizes.segment * given.len() as u64;
        }
        let mut count = 2;
        let has = |name: &[u8]| outputs.by_name(name).is_some();
        count += if has(b".interp") { 2 } else { 0 };
        count += u64::from(has(b".dynamic"));
        count += u64::from(options.relro.unwrap_or(arch.relro));
        count += u64::from(has(b".eh_frame_hdr"));
        count += u64::from(self.stack_flags.is_some());
        count += u64::from(has(b".note.gnu.property"));
        let sections = outputs.order.iter().map(|&id| &outputs.sections[id]);
        let mut last_note = None;
        let mut has_tls = false;
        for section in sections {
            let note = is_loaded_note(section).then_some(section.align);
            count += u64::from(note.is_some() && note != last_note);
            last_note = note;
            has_tls |= section.traits.contains(Traits::THREAD_LOCAL);
        }
        sizes.header + sizes.segment * (count + u64::from(has_tls))
    }

    /// The segments for the addresses that sections have now.
    pub(super) fn map(&self, input: FileInput<'_, '_>) -> Result<Segments> {
        let sizes = Sizes::of(input.arch.class);
        let segments = match &self.given {
            Some(given) => with_present_sections(given, &input),
            None => make(&input, self.stack_flags)?,
        };
        Ok(Segments {
            header_size: sizes.header + sizes.segment * segments.len() as u64,
            segments,
            offsets: vec![0; input.outputs.sections.len()],
            end: 0,
        })
    }
}

fn with_present_sections(given: &[Segment], input: &FileInput<'_, '_>) -> Vec<Segment> {
    let mut segments = given.to_vec();
    for segment in &mut segments {
        segment.sections.retain(|&id| !input.section(id).removed);
        sort_sections(&mut segment.sections, input);
    }
    segments
}

/// Each allocated section goes to the segments that its statement names, or else to those of the one
/// before it.
fn fill_phdrs(
    layouter: &Layouter<'_, '_>,
    phdrs: &[Located<'_, Phdr>],
    segments: &mut [Segment],
) -> Result<()> {
    let mut current: Vec<&klink_script::Name> = Vec::new();
    for item in layouter.items() {
        let LayoutItem::Section(id) = *item else {
            continue;
        };
        let statement = layouter.statement(id);
        let spec = layouter.spec(id);
        let own = spec.map_or(&[][..], |spec| &spec.placement.phdrs);
        let Some(output) = statement.output else {
            continue;
        };
        let section = &layouter.layout.outputs.sections[output];
        if section.removed {
            continue;
        }
        if !own.is_empty() {
            current = own.iter().collect();
        } else if !section.traits.contains(Traits::ALLOC) {
            continue;
        }
        for name in &current {
            if name.value == "NONE" {
                continue;
            }
            let Some(at) = phdrs
                .iter()
                .position(|phdr| phdr.value.name.value == name.value)
            else {
                let diagnostic = klink_script::Diagnostic::new(
                    format!("section assigned to non-existent phdr `{}'", name.value),
                    name.span,
                );
                let source = spec.map_or(0, |spec| spec.source);
                return Err(crate::script::script_error(
                    layouter.sources(),
                    source,
                    diagnostic,
                ));
            };
            segments[at].sections.push(output);
        }
    }
    Ok(())
}
