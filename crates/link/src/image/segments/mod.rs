//! Program headers: which sections a segment holds, and where everything stands in the file.
//!
//! Segments come from PHDRS, or are made as bfd/elf.c makes them
//! (`_bfd_elf_map_sections_to_segments`); offsets are those of `assign_file_positions_for_load_sections`
//! there, since a section's place in the file and its address must agree in a page.

mod file;
mod make;

use klink_arch::Arch;
use klink_script::{Diagnostic, Phdr, SectionType, SegmentType};
use object::elf;

use self::make::{is_loaded_note, make, sort_sections, stack_flags};
use super::layout::Layouter;
use super::regions::RegionId;
use crate::assign::LayoutItem;
use crate::error::{LinkError, Result};
use crate::id::{Id, IdVec, OutputId};
use crate::options::{Magic, Options};
use crate::output::{OutputSection, Outputs, Traits};
use crate::script::{Located, script_error};
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
    /// Bytes of all headers as the addresses were given, the first time guessed.
    pub header_size: u64,
    /// The addresses that are read-only after relocation.
    pub relro: Option<(u64, u64)>,
    /// The memory regions of output sections, if the script declares any.
    pub regions: Option<IdVec<OutputId, RegionId>>,
}

impl Segment {
    /// The sections in it.
    pub(super) fn sections(&self) -> &[OutputId] {
        &self.sections
    }

    /// Whether it is loaded and has the ELF header and the program headers.
    pub(super) fn has_all_headers(&self) -> bool {
        let has_all = self.has_file_header && self.has_program_headers;
        self.segment_type == elf::PT_LOAD.0 && has_all
    }

    /// Whether it is loaded and the script gives it headers.
    fn is_loaded_with_headers(&self) -> bool {
        let has_headers = self.has_file_header || self.has_program_headers;
        self.segment_type == elf::PT_LOAD.0 && has_headers
    }

    /// Whether it is loaded and has none.
    fn is_loaded_without(&self) -> bool {
        self.segment_type == elf::PT_LOAD.0 && !self.is_loaded_with_headers()
    }
}

impl FileInput<'_, '_> {
    fn section(&self, id: OutputId) -> &OutputSection<'_> {
        &self.outputs.sections[id]
    }

    fn region(&self, id: OutputId) -> Option<RegionId> {
        self.regions.as_ref().map(|regions| regions[id])
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
            let segment = Segment {
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
            };
            if segment.is_loaded_with_headers() && segments.iter().any(Segment::is_loaded_without) {
                let what =
                    "PHDRS and FILEHDR are not supported when prior PT_LOAD headers lack them";
                let diagnostic = Diagnostic::new(what, located.span);
                return Err(script_error(layouter.sources(), source, diagnostic));
            }
            segments.push(segment);
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

/// A statement as PHDRS sees it.
struct Assigned<'s> {
    /// The segments that it names.
    names: &'s [klink_script::Name],
    source: usize,
    /// Its section, if that is in the output.
    output: Option<OutputId>,
    /// Whether it goes with the one before it if it names none.
    follows: bool,
}

/// Each allocated section goes to the segments that its statement names, or else to those of the one
/// before it; in front of the first that names any, to those of that one (ld/ldlang.c,
/// `lang_record_phdrs`).
fn fill_phdrs(
    layouter: &Layouter<'_, '_>,
    phdrs: &[Located<'_, Phdr>],
    segments: &mut [Segment],
) -> Result<()> {
    let statements: Vec<Assigned<'_>> = layouter
        .items()
        .iter()
        .filter_map(|item| assigned(layouter, item))
        .collect();
    check_names(layouter, phdrs, &statements)?;
    // GNU ld goes through the statements for each segment, and begins with what it came to.
    let mut last: Option<&[klink_script::Name]> = None;
    for (phdr, segment) in phdrs.iter().zip(segments) {
        for (at, statement) in statements.iter().enumerate() {
            let names = match statement.names {
                [] if !statement.follows || segment.segment_type == elf::PT_INTERP.0 => continue,
                [] => {
                    let mut ahead = statements[at..].iter().map(|next| next.names);
                    let next = last.or_else(|| ahead.find(|names| !names.is_empty()));
                    last = next;
                    next.ok_or(LinkError::NoPhdrs)?
                }
                names => {
                    last = Some(names);
                    names
                }
            };
            let is_named = names.iter().any(|name| name.value == phdr.value.name.value);
            segment
                .sections
                .extend(statement.output.filter(|_| is_named));
        }
    }
    Ok(())
}

fn assigned<'s>(layouter: &'s Layouter<'_, '_>, item: &LayoutItem) -> Option<Assigned<'s>> {
    let LayoutItem::Section(id) = *item else {
        return None;
    };
    let spec = layouter.spec(id);
    let made = layouter.statement(id).output;
    let section = made.map(|output| &layouter.layout.outputs.sections[output]);
    let is_noload = spec.is_some_and(|spec| spec.section_type == Some(SectionType::NoLoad));
    Some(Assigned {
        names: spec.map_or(&[], |spec| &spec.placement.phdrs),
        source: spec.map_or(0, |spec| spec.source),
        output: made.filter(|_| section.is_some_and(|section| !section.removed)),
        follows: !is_noload
            && section.is_some_and(|section| section.traits.contains(Traits::ALLOC)),
    })
}

/// Refuses segments that PHDRS does not have, where a section would go there.
fn check_names(
    layouter: &Layouter<'_, '_>,
    phdrs: &[Located<'_, Phdr>],
    statements: &[Assigned<'_>],
) -> Result<()> {
    let is_known = |name: &klink_script::Name| {
        let mut known = phdrs.iter().map(|phdr| &phdr.value.name.value);
        name.value == "NONE" || known.any(|known| *known == name.value)
    };
    for statement in statements {
        let unknown = statement.names.iter().find(|name| !is_known(name));
        if let Some(name) = unknown.filter(|_| statement.output.is_some()) {
            let what = format!("section assigned to non-existent phdr `{}'", name.value);
            let diagnostic = Diagnostic::new(what, name.span);
            return Err(script_error(
                layouter.sources(),
                statement.source,
                diagnostic,
            ));
        }
    }
    Ok(())
}
