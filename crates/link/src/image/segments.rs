//! Program headers: which sections a segment holds, and where everything stands in the file.
//!
//! Segments come from PHDRS, or are made as bfd/elf.c makes them
//! (`_bfd_elf_map_sections_to_segments`); offsets are those of `assign_file_positions_for_load_sections`
//! there, since a section's place in the file and its address must agree in a page.

use klink_arch::{Arch, Class};
use klink_script::{Phdr, SegmentType};
use object::elf;

use super::layout::Layouter;
use crate::assign::LayoutItem;
use crate::error::{LinkError, Result};
use crate::id::{Id, OutputId};
use crate::options::{Magic, Options};
use crate::output::{OutputSection, Outputs, Traits};
use crate::script::Located;

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

/// Sizes of the two kinds of header.
fn header_sizes(arch: &Arch) -> (u64, u64) {
    match arch.class {
        Class::Elf32 => (52, 32),
        Class::Elf64 => (64, 56),
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
        let (file, each) = header_sizes(arch);
        if let Some(given) = &self.given {
            return file + each * given.len() as u64;
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
        file + each * (count + u64::from(has_tls))
    }

    /// The segments for the addresses that sections have now.
    pub(super) fn map(&self, input: FileInput<'_, '_>) -> Result<Segments> {
        let (file, each) = header_sizes(input.arch);
        let segments = match &self.given {
            Some(given) => with_present_sections(given, &input),
            None => make(&input, self.stack_flags)?,
        };
        Ok(Segments {
            header_size: file + each * segments.len() as u64,
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
        let section = &layouter.outputs.sections[output];
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

/// `p_flags` of PT_GNU_STACK, if there is to be one: from `-z`, or from the inputs' `.note.GNU-stack`
/// (bfd/elflink.c, `bfd_elf_size_dynamic_sections`).
fn stack_flags(layouter: &Layouter<'_, '_>) -> Option<u32> {
    let (read_write, execute) = (elf::PF_R.0 | elf::PF_W.0, elf::PF_X.0);
    match layouter.options.executable_stack {
        Some(true) => return Some(read_write | execute),
        Some(false) => return Some(read_write),
        None => {}
    }
    let mut noted = false;
    let mut executable = false;
    for object in layouter.resolved.objects.iter() {
        let mut sections = object.sections.iter();
        match sections.find(|section| section.name == b".note.GNU-stack") {
            Some(note) => {
                noted = true;
                executable |= note.flags & elf::SHF_EXECINSTR.0 != 0;
            }
            None => executable |= layouter.arch.executable_stack,
        }
    }
    let wanted = noted || layouter.options.stack_size.is_some_and(|size| size > 0);
    wanted.then_some(read_write | if executable { execute } else { 0 })
}

fn is_loaded_note(section: &OutputSection<'_>) -> bool {
    section.traits.contains(Traits::LOAD) && section.file_type() == elf::SHT_NOTE.0
}

/// Sections by load address, address, contents first, then size (bfd/elf.c, `elf_sort_sections`).
fn sort_sections(sections: &mut [OutputId], input: &FileInput<'_, '_>) {
    sections.sort_by_key(|&id| {
        let section = input.section(id);
        let loaded = section.traits.contains(Traits::LOAD);
        let at_end = !section
            .traits
            .intersects(Traits::LOAD | Traits::THREAD_LOCAL)
            && section.size != 0;
        let size = if loaded { section.size } else { 0 };
        (section.load_address, section.address, at_end, size)
    });
}

/// Makes the segments that a script without PHDRS gets.
fn make(input: &FileInput<'_, '_>, stack_flags: Option<u32>) -> Result<Vec<Segment>> {
    let order = &input.outputs.order;
    let mut sections: Vec<OutputId> = order
        .iter()
        .copied()
        .filter(|&id| input.section(id).traits.contains(Traits::ALLOC))
        .collect();
    sort_sections(&mut sections, input);
    let mut segments = Vec::new();
    let guess = {
        let (file, each) = header_sizes(input.arch);
        // What is behind the loaded segments comes to this many headers at least.
        file + each * estimate(input, stack_flags)
    };
    let mut headers = headers_fit(input, &sections, guess);
    if let Some(interp) = input.outputs.by_name(b".interp")
        && input.section(interp).traits.contains(Traits::LOAD)
        && input.section(interp).size != 0
    {
        headers = input.is_paged();
        segments.push(Segment {
            segment_type: elf::PT_PHDR.0,
            given_flags: Some(elf::PF_R.0),
            has_program_headers: true,
            ..Segment::default()
        });
        segments.push(of(elf::PT_INTERP.0, vec![interp]));
    }
    load_segments(input, &sections, headers, guess, &mut segments);
    let named = |name: &[u8]| {
        let id = input.outputs.by_name(name)?;
        let section = input.section(id);
        (section.traits.contains(Traits::LOAD) && section.size != 0).then_some(id)
    };
    if let Some(dynamic) = named(b".dynamic") {
        segments.push(of(elf::PT_DYNAMIC.0, vec![dynamic]));
    }
    note_segments(input, &mut segments);
    let thread_local = order
        .iter()
        .copied()
        .filter(|&id| input.section(id).traits.contains(Traits::THREAD_LOCAL));
    let thread_local: Vec<OutputId> = thread_local.collect();
    if !thread_local.is_empty() {
        let mut segment = of(elf::PT_TLS.0, thread_local);
        segment.given_flags = Some(elf::PF_R.0);
        segments.push(segment);
    }
    if let Some(property) = named(b".note.gnu.property") {
        let mut segment = of(elf::PT_GNU_PROPERTY.0, vec![property]);
        segment.flags = elf::PF_R.0;
        segments.push(segment);
    }
    if let Some(header) = named(b".eh_frame_hdr") {
        segments.push(of(elf::PT_GNU_EH_FRAME.0, vec![header]));
    }
    if let Some(flags) = stack_flags {
        segments.push(Segment {
            segment_type: elf::PT_GNU_STACK.0,
            given_flags: Some(flags),
            align: input.arch.stack_align,
            memory_size: input.options.stack_size.unwrap_or(0),
            ..Segment::default()
        });
    }
    if let Some((start, end)) = input.relro {
        let in_range = |id: &&OutputId| {
            let section = input.section(**id);
            section.address >= start && section.address < end && section.size > 0
        };
        if sections.iter().any(|id| in_range(&id)) {
            let mut segment = of(elf::PT_GNU_RELRO.0, Vec::new());
            segment.given_flags = Some(elf::PF_R.0);
            segments.push(segment);
        }
    }
    Ok(segments)
}

fn of(segment_type: u32, sections: Vec<OutputId>) -> Segment {
    Segment {
        segment_type,
        sections,
        ..Segment::default()
    }
}

/// How many headers there will be at least.
fn estimate(input: &FileInput<'_, '_>, stack_flags: Option<u32>) -> u64 {
    let phdrs = Phdrs {
        given: None,
        stack_flags,
    };
    let (file, each) = header_sizes(input.arch);
    (phdrs.first_guess(input.outputs, input.options, input.arch) - file) / each
}

/// Whether the headers are part of the first loaded segment: if the script made room for them, or
/// left some.
fn headers_fit(input: &FileInput<'_, '_>, sections: &[OutputId], size: u64) -> bool {
    let Some(&first) = sections.first() else {
        return false;
    };
    let first = input.section(first).load_address;
    let page = input.page();
    let room = first & (page - 1) >= size & (page - 1);
    if !input.is_paged() || !(input.headers_wanted || room) {
        return false;
    }
    let start = first.wrapping_sub(size) & page.wrapping_neg();
    first >= start && first >= size
}

/// Cuts sorted sections into loaded segments.
fn load_segments(
    input: &FileInput<'_, '_>,
    sections: &[OutputId],
    mut headers: bool,
    header_size: u64,
    segments: &mut Vec<Segment>,
) {
    let separate_code = input
        .options
        .separate_code
        .unwrap_or(input.arch.separate_code);
    if headers
        && separate_code
        && let Some(&first) = sections.first()
        && input.section(first).traits.contains(Traits::CODE)
    {
        let page = input.page();
        let first = input.section(first);
        let mut start = first.load_address.wrapping_sub(header_size) & page.wrapping_neg();
        let same_page = (start + header_size - 1) & page.wrapping_neg()
            == first.load_address & page.wrapping_neg();
        let apart = !same_page || start >= page;
        if same_page && apart {
            start -= page;
        }
        if apart {
            segments.push(Segment {
                has_file_header: true,
                has_program_headers: true,
                given_load_address: Some(start),
                address_offset: first.address.wrapping_sub(header_size) & page.wrapping_neg(),
                ..of(elf::PT_LOAD.0, Vec::new())
            });
            headers = false;
        }
    }
    let mut begin = 0;
    let mut state: Option<Run> = None;
    let push = |from: usize, to: usize, headers: bool, segments: &mut Vec<Segment>| {
        segments.push(Segment {
            has_file_header: headers,
            has_program_headers: headers,
            ..of(elf::PT_LOAD.0, sections[from..to].to_vec())
        });
    };
    for (at, &id) in sections.iter().enumerate() {
        let section = input.section(id);
        let new = state
            .as_ref()
            .is_some_and(|run| run.must_end(input, section, separate_code));
        if new {
            push(begin, at, headers, segments);
            headers = false;
            begin = at;
        }
        let fresh = new || state.is_none();
        let run = state.get_or_insert_with(Run::default);
        run.add(section, fresh);
    }
    if begin < sections.len() {
        let only = &sections[begin..];
        let is_tbss = only.len() == 1 && input.section(only[0]).is_tbss();
        if !is_tbss {
            push(begin, sections.len(), headers, segments);
        }
    }
}

/// The segment that is being filled: what matters of its last section, and of all.
#[derive(Default)]
struct Run {
    load_address: u64,
    address: u64,
    size: u64,
    loaded: bool,
    writable: bool,
    executable: bool,
}

impl Run {
    fn add(&mut self, section: &OutputSection<'_>, fresh: bool) {
        let writable = !section.traits.contains(Traits::READ_ONLY);
        let executable = section.traits.contains(Traits::CODE);
        self.writable = writable || self.writable && !fresh;
        self.executable = executable || self.executable && !fresh;
        self.load_address = section.load_address;
        self.address = section.address;
        self.size = section.memory_size();
        self.loaded = section
            .traits
            .intersects(Traits::LOAD | Traits::THREAD_LOCAL);
    }

    /// Whether `section` cannot be in the same segment.
    fn must_end(
        &self,
        input: &FileInput<'_, '_>,
        section: &OutputSection<'_>,
        separate_code: bool,
    ) -> bool {
        let page = input.page();
        let end = self.load_address.wrapping_add(self.size);
        let load = section.load_address;
        let other_distance =
            self.load_address.wrapping_sub(self.address) != load.wrapping_sub(section.address);
        if other_distance || load < end || end < self.load_address {
            return true;
        }
        let paged = input.is_paged();
        if paged && end.wrapping_sub(1) & page.wrapping_neg() == load & page.wrapping_neg() {
            return false;
        }
        let next_page = klink_script::eval::align_up(end, page).wrapping_add(page);
        if next_page > self.load_address && next_page <= load {
            return true;
        }
        if !self.loaded
            && section
                .traits
                .intersects(Traits::LOAD | Traits::THREAD_LOCAL)
        {
            return true;
        }
        if !paged {
            return false;
        }
        if separate_code && self.executable != section.traits.contains(Traits::CODE) {
            return true;
        }
        !self.writable && !section.traits.contains(Traits::READ_ONLY)
    }
}

/// One segment for each run of loaded notes with the same alignment.
fn note_segments(input: &FileInput<'_, '_>, segments: &mut Vec<Segment>) {
    let mut run: Vec<OutputId> = Vec::new();
    for &id in &input.outputs.order {
        let section = input.section(id);
        let joins = run.last().is_some_and(|&last| {
            let last = input.section(last);
            let next =
                klink_script::eval::align_up(last.load_address.wrapping_add(last.size), last.align);
            is_loaded_note(section) && section.align == last.align && next == section.load_address
        });
        if !joins && !run.is_empty() {
            segments.push(of(elf::PT_NOTE.0, std::mem::take(&mut run)));
        }
        if is_loaded_note(section) {
            run.push(id);
        }
    }
    if !run.is_empty() {
        segments.push(of(elf::PT_NOTE.0, run));
    }
}

impl Segments {
    /// Gives every allocated section its place in the file, and the headers their numbers. Sections
    /// outside of memory come behind, at [`Self::end`].
    pub(super) fn place_in_file(&mut self, input: FileInput<'_, '_>) -> Result<()> {
        let (file_header, each) = header_sizes(input.arch);
        let headers = each * self.segments.len() as u64;
        // Loaded segments in file order are sorted by address, the one with the headers first
        // (bfd/elf.c, `elf_sort_segments`).
        let mut order: Vec<usize> = (0..self.segments.len()).collect();
        order.sort_by_key(|&at| {
            let segment = &self.segments[at];
            let loaded = segment.segment_type == elf::PT_LOAD.0;
            let first = segment
                .sections
                .first()
                .map(|&id| input.section(id).load_address);
            let load = segment.given_load_address.or(first).unwrap_or(0);
            (
                !loaded,
                !segment.has_file_header,
                if loaded { load } else { 0 },
                at,
            )
        });
        let with_headers = order.iter().copied().find(|&at| {
            let segment = &self.segments[at];
            segment.segment_type == elf::PT_LOAD.0 && segment.has_program_headers
        });
        let mut off = file_header;
        if with_headers.is_none() {
            off += headers;
        }
        for (rank, &at) in order.iter().enumerate() {
            if self.segments[at].segment_type == elf::PT_LOAD.0 {
                let place = Place {
                    off: &mut off,
                    offsets: &mut self.offsets,
                    is_first: rank == 0,
                    holds_headers: with_headers == Some(at),
                    headers,
                    file_header,
                };
                self.segments[at].place(&input, place)?;
            }
        }
        self.end = off;
        self.place_outside(&input);
        for at in 0..self.segments.len() {
            if self.segments[at].segment_type != elf::PT_LOAD.0 {
                let header = with_headers.map(|at| self.segments[at].clone());
                let loads: Vec<Segment> = self.loads().cloned().collect();
                let parts = Parts {
                    header: header.as_ref(),
                    loads: &loads,
                    offsets: &self.offsets,
                    headers,
                    file_header,
                };
                self.segments[at].describe(&input, &parts);
            }
        }
        Ok(())
    }

    /// The address at which the loaded segment with this section begins.
    pub(super) fn base_of(&self, section: OutputId) -> Option<u64> {
        let mut loads = self.loads();
        let found = loads.find(|segment| segment.sections.contains(&section));
        found.map(|segment| segment.address)
    }

    fn loads(&self) -> impl Iterator<Item = &Segment> {
        let is_load = |segment: &&Segment| segment.segment_type == elf::PT_LOAD.0;
        self.segments.iter().filter(is_load)
    }

    /// Allocated sections of no loaded segment.
    fn place_outside(&mut self, input: &FileInput<'_, '_>) {
        let order = input.outputs.order.clone();
        for id in order {
            let section = input.section(id);
            let placed = self.loads().any(|segment| segment.sections.contains(&id));
            if placed || !section.traits.contains(Traits::ALLOC) {
                continue;
            }
            let align = if section.size != 0 && input.is_paged() {
                input.page()
            } else {
                section.align
            };
            self.end += bias(section.address, self.end, align);
            let offset = self.end;
            if section.has_contents() {
                self.end += section.size;
            }
            self.offsets[id.index()] = offset;
        }
    }
}

/// Bytes to skip in the file so that offset and address agree in a page.
fn bias(address: u64, offset: u64, page: u64) -> u64 {
    address.wrapping_sub(offset) & page.wrapping_sub(1)
}

/// What placing a loaded segment needs and changes.
struct Place<'p> {
    /// The next free offset in the file.
    off: &'p mut u64,
    offsets: &'p mut [u64],
    is_first: bool,
    holds_headers: bool,
    /// Bytes of the program headers.
    headers: u64,
    /// Bytes of the ELF header.
    file_header: u64,
}

/// What a header that is not loaded describes.
struct Parts<'p> {
    /// The loaded segment with the program headers.
    header: Option<&'p Segment>,
    loads: &'p [Segment],
    offsets: &'p [u64],
    headers: u64,
    file_header: u64,
}

impl Segment {
    fn place(&mut self, input: &FileInput<'_, '_>, place: Place<'_>) -> Result<()> {
        let Place {
            off,
            offsets,
            is_first,
            holds_headers,
            headers,
            file_header,
        } = place;
        let page = if input.is_paged() { input.page() } else { 1 };
        let first = self.sections.first().map(|&id| input.section(id));
        self.address = first
            .map_or(0, |first| first.address)
            .wrapping_add(self.address_offset);
        self.load_address = self.given_load_address.unwrap_or_else(|| {
            first
                .map_or(0, |first| first.load_address)
                .wrapping_add(self.address_offset)
        });
        self.flags = self.given_flags.unwrap_or(0);
        self.align = if input.is_paged() { page } else { 0 };
        let mut header_start = 0;
        if holds_headers {
            header_start = *off;
            *off += headers;
        }
        let aligns = self.sections.iter().map(|&id| input.section(id).align);
        let align = aligns.max().unwrap_or(1);
        let no_contents = self
            .sections
            .iter()
            .all(|&id| !input.section(id).has_contents());
        let mut skipped = 0;
        if !self.sections.is_empty() {
            skipped = bias(self.address, *off, align.max(page));
            let aliases = !is_first
                && input.is_paged()
                && input.arch.no_page_alias
                && *off & (page - 1) != 0
                && *off & page.wrapping_neg() == (*off + skipped) & page.wrapping_neg();
            if aliases {
                skipped += page;
            }
            *off += skipped;
            if !no_contents {
                skipped = 0;
            }
        }
        self.offset = *off;
        if self.has_file_header {
            self.offset = 0;
            self.file_size = file_header;
        } else if self.has_program_headers {
            self.offset = header_start;
        }
        if self.has_program_headers {
            self.file_size += headers;
        }
        if self.has_file_header || self.has_program_headers {
            if self.given_flags.is_none() {
                self.flags |= elf::PF_R.0;
            }
            if !self.sections.is_empty() {
                let back = *off - self.offset;
                if self.address < back
                    || self.given_load_address.is_none() && self.load_address < back
                {
                    return Err(LinkError::NoRoomForHeaders);
                }
                self.address -= back;
                if self.given_load_address.is_none() {
                    self.load_address -= back;
                }
                self.file_size = back;
            }
            self.memory_size = self.file_size;
        } else if no_contents {
            self.offset = *off % self.align.max(page);
        }
        self.place_sections(input, off, offsets, &mut skipped);
        *off -= skipped;
        if input.is_paged() && align >= page {
            self.align = align;
        }
        Ok(())
    }

    fn place_sections(
        &mut self,
        input: &FileInput<'_, '_>,
        off: &mut u64,
        offsets: &mut [u64],
        skipped: &mut u64,
    ) {
        let sections = std::mem::take(&mut self.sections);
        for (at, &id) in sections.iter().enumerate() {
            let section = input.section(id);
            let contents = section.has_contents();
            if !section.is_tbss() {
                let end = self.load_address.wrapping_add(self.memory_size);
                let mut gap = section.load_address.wrapping_sub(end);
                if section.load_address < end {
                    gap = 0;
                }
                self.memory_size += gap;
                if contents && self.file_size + gap < self.memory_size {
                    // Sections without contents stand in front of it: they get room in the file.
                    *skipped = 0;
                    gap = self.memory_size - self.file_size;
                }
                if contents || at == 0 {
                    *off += gap;
                    if !contents {
                        *skipped += gap;
                    }
                }
                if contents {
                    self.file_size += gap;
                }
            }
            offsets[id.index()] = *off;
            if contents {
                *off += section.size;
                self.file_size += section.size;
            }
            if !section.is_tbss() {
                self.memory_size += section.size;
            }
            if !input.is_paged() {
                self.align = self.align.max(section.align);
            }
            self.add_flags(section);
        }
        self.sections = sections;
    }

    fn add_flags(&mut self, section: &OutputSection<'_>) {
        if self.given_flags.is_some() {
            return;
        }
        self.flags |= elf::PF_R.0;
        if section.traits.contains(Traits::CODE) {
            self.flags |= elf::PF_X.0;
        }
        if !section.traits.contains(Traits::READ_ONLY) {
            self.flags |= elf::PF_W.0;
        }
    }

    /// Fills in a header that only describes what loaded segments hold.
    fn describe(&mut self, input: &FileInput<'_, '_>, parts: &Parts<'_>) {
        let &Parts {
            header,
            loads,
            offsets,
            headers,
            file_header,
        } = parts;
        self.flags = self.given_flags.unwrap_or(self.flags);
        if self.segment_type == elf::PT_GNU_STACK.0 {
            return;
        }
        if self.segment_type == elf::PT_GNU_RELRO.0 {
            self.describe_relro(input, loads, offsets);
            return;
        }
        if self.has_program_headers {
            let skipped = header.map_or(0, |header| {
                if header.has_file_header {
                    file_header
                } else {
                    0
                }
            });
            self.offset = header.map_or(file_header, |header| header.offset + skipped);
            self.address = header.map_or(0, |header| header.address + skipped);
            self.load_address = self
                .given_load_address
                .unwrap_or_else(|| header.map_or(0, |header| header.load_address + skipped));
            self.file_size = headers;
            self.memory_size = headers;
            self.align = if input.arch.class == Class::Elf64 {
                8
            } else {
                4
            };
            return;
        }
        let Some(&first_id) = self.sections.first() else {
            self.align = if input.arch.class == Class::Elf64 {
                8
            } else {
                4
            };
            return;
        };
        let first = input.section(first_id);
        self.offset = offsets[first_id.index()];
        self.address = first.address;
        self.load_address = self.given_load_address.unwrap_or(first.load_address);
        let sections = self.sections.clone();
        for id in sections {
            let section = input.section(id);
            let end = section
                .address
                .wrapping_add(section.size)
                .wrapping_sub(self.address);
            if section.has_contents() {
                self.file_size = (offsets[id.index()] + section.size).saturating_sub(self.offset);
            }
            if section.traits.contains(Traits::ALLOC) {
                self.memory_size = if self.segment_type == elf::PT_NOTE.0 {
                    self.file_size
                } else {
                    end
                };
            }
            self.align = self.align.max(section.align);
            self.add_flags(section);
        }
    }

    /// The range that is read-only after relocation, cut to what a loaded segment holds.
    fn describe_relro(&mut self, input: &FileInput<'_, '_>, loads: &[Segment], offsets: &[u64]) {
        let Some((start, end)) = input.relro else {
            return;
        };
        for load in loads {
            let inside = |&&id: &&OutputId| {
                let section = input.section(id);
                section.address >= start && section.address < end && section.size != 0
            };
            let Some(&first_id) = load.sections.iter().find(inside) else {
                continue;
            };
            let first = input.section(first_id);
            self.address = first.address;
            self.load_address = first.load_address;
            self.offset = offsets[first_id.index()];
            self.memory_size = end.wrapping_sub(first.address);
            let rest = (load.address + load.file_size).saturating_sub(first.address);
            self.file_size = self.memory_size.min(rest);
            self.align = 1;
            return;
        }
    }
}
