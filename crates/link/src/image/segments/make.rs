//! The segments that a script without PHDRS gets (bfd/elf.c, `_bfd_elf_map_sections_to_segments`).

use super::*;

/// `p_flags` of PT_GNU_STACK, if there is to be one: from `-z`, or from the inputs' `.note.GNU-stack`
/// (bfd/elflink.c, `bfd_elf_size_dynamic_sections`).
pub(super) fn stack_flags(layouter: &Layouter<'_, '_>) -> Option<u32> {
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

pub(super) fn is_loaded_note(section: &OutputSection<'_>) -> bool {
    section.traits.contains(Traits::LOAD) && section.file_type() == elf::SHT_NOTE.0
}

/// Sections by load address, address, contents first, then size (bfd/elf.c, `elf_sort_sections`).
pub(super) fn sort_sections(sections: &mut [OutputId], input: &FileInput<'_, '_>) {
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
pub(super) fn make(input: &FileInput<'_, '_>, stack_flags: Option<u32>) -> Result<Vec<Segment>> {
    let order = &input.outputs.order;
    let mut sections: Vec<OutputId> = order
        .iter()
        .copied()
        .filter(|&id| input.section(id).traits.contains(Traits::ALLOC))
        .collect();
    sort_sections(&mut sections, input);
    let mut segments = Vec::new();
    let interp = input.outputs.by_name(b".interp").filter(|&interp| {
        let section = input.section(interp);
        section.traits.contains(Traits::LOAD) && section.size != 0
    });
    let headers = headers_fit(input, &sections, interp.is_some());
    if let Some(interp) = interp {
        segments.push(Segment {
            segment_type: elf::PT_PHDR.0,
            given_flags: Some(elf::PF_R.0),
            has_program_headers: true,
            ..Segment::default()
        });
        segments.push(of(elf::PT_INTERP.0, vec![interp]));
    }
    load_segments(input, &sections, headers, &mut segments);
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

/// Whether the headers are part of the first loaded segment: if the script made room for them, or
/// left some, or the program needs them.
fn headers_fit(input: &FileInput<'_, '_>, sections: &[OutputId], needed: bool) -> bool {
    let Some(&first) = sections.first() else {
        return false;
    };
    let first = input.section(first).load_address;
    let (page, size) = (input.page(), input.header_size);
    let room = first & (page - 1) >= size & (page - 1);
    if !input.is_paged() || !(needed || input.headers_wanted || room) {
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
    segments: &mut Vec<Segment>,
) {
    let header_size = input.header_size;
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
        let same_page = start.wrapping_add(header_size - 1) & page.wrapping_neg()
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
        let new = state.as_ref().is_some_and(|run| {
            run.region != input.region(id) || run.must_end(input, section, separate_code)
        });
        if new {
            push(begin, at, headers, segments);
            headers = false;
            begin = at;
        }
        let fresh = new || state.is_none();
        let run = state.get_or_insert_with(Run::default);
        run.region = input.region(id);
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
    /// Sections of different regions have segments of their own (ld/ldlang.c,
    /// `ldlang_override_segment_assignment`).
    region: Option<RegionId>,
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
