//! Where segments stand in the file, and what their headers say (bfd/elf.c,
//! `assign_file_positions_for_load_sections`).

use super::*;

impl Segments {
    /// Gives every allocated section its place in the file, and the headers their numbers. Sections
    /// outside of memory come behind, at [`Self::end`].
    pub(in crate::image) fn place_in_file(&mut self, input: FileInput<'_, '_>) -> Result<()> {
        let sizes = Sizes::of(input.arch.class);
        let file_header = sizes.header;
        let headers = sizes.segment * self.segments.len() as u64;
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
    pub(in crate::image) fn base_of(&self, section: OutputId) -> Option<u64> {
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
        let mut placed = vec![false; input.outputs.sections.len()];
        for id in self.loads().flat_map(|segment| &segment.sections) {
            placed[id.index()] = true;
        }
        for id in order {
            let section = input.section(id);
            if placed[id.index()] || !section.traits.contains(Traits::ALLOC) {
                continue;
            }
            let align = if section.size != 0 && input.is_paged() {
                input.page()
            } else {
                section.align
            };
            let skipped = bias(section.address, self.end, align);
            advance(&mut self.end, skipped);
            let offset = self.end;
            if section.has_contents() {
                advance(&mut self.end, section.size);
            }
            self.offsets[id.index()] = offset;
        }
    }
}

/// Bytes to skip in the file so that offset and address agree in a page.
fn bias(address: u64, offset: u64, page: u64) -> u64 {
    address.wrapping_sub(offset) & page.wrapping_sub(1)
}

/// Moves on by `bytes`. What does not fit into 64 bits is refused once the whole file is laid out.
fn advance(place: &mut u64, bytes: u64) {
    *place = place.saturating_add(bytes);
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
            advance(off, headers);
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
                && *off & page.wrapping_neg() == off.saturating_add(skipped) & page.wrapping_neg();
            if aliases {
                skipped += page;
            }
            advance(off, skipped);
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
            advance(&mut self.file_size, headers);
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
                advance(&mut self.memory_size, gap);
                if contents && self.file_size.saturating_add(gap) < self.memory_size {
                    // Sections without contents stand in front of it: they get room in the file.
                    *skipped = 0;
                    gap = self.memory_size - self.file_size;
                }
                if contents || at == 0 {
                    advance(off, gap);
                    if !contents {
                        advance(skipped, gap);
                    }
                }
                if contents {
                    advance(&mut self.file_size, gap);
                }
            }
            offsets[id.index()] = *off;
            if contents {
                advance(off, section.size);
                advance(&mut self.file_size, section.size);
            }
            if !section.is_tbss() {
                advance(&mut self.memory_size, section.size);
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
        // A section's name alone may make it code (see `OutputSection::extra_flags`).
        let flags = section.file_flags();
        if flags & elf::SHF_EXECINSTR.0 != 0 {
            self.flags |= elf::PF_X.0;
        }
        if flags & elf::SHF_WRITE.0 != 0 {
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
        let word = Sizes::of(input.arch.class).word;
        if self.segment_type == elf::PT_GNU_STACK.0 {
            self.align = if self.align == 0 { word } else { self.align };
            return;
        }
        if self.has_program_headers && self.given_flags.is_none() {
            self.flags |= elf::PF_R.0;
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
            self.offset = header.map_or(file_header, |header| header.offset.wrapping_add(skipped));
            self.address = header.map_or(0, |header| header.address.wrapping_add(skipped));
            self.load_address = self.given_load_address.unwrap_or_else(|| {
                header.map_or(0, |header| header.load_address.wrapping_add(skipped))
            });
            self.file_size = headers;
            self.memory_size = headers;
            self.align = word;
            return;
        }
        let Some(&first_id) = self.sections.first() else {
            self.align = word;
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
                self.file_size = offsets[id.index()]
                    .saturating_add(section.size)
                    .saturating_sub(self.offset);
            }
            if section.traits.contains(Traits::ALLOC) {
                self.memory_size = match self.segment_type {
                    kind if kind == elf::PT_NOTE.0 => self.file_size,
                    // Sections without contents take no addresses, but room in each thread.
                    kind if kind == elf::PT_TLS.0 => {
                        let start = end.wrapping_sub(section.size);
                        self.memory_size.max(start).saturating_add(section.size)
                    }
                    _ => end,
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
            let rest = load
                .address
                .saturating_add(load.file_size)
                .saturating_sub(first.address);
            self.file_size = self.memory_size.min(rest);
            self.align = 1;
            return;
        }
    }
}
