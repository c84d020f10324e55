//! The bytes of edited sections.
//!
//! Source: bfd/elf-eh-frame.c (_bfd_elf_write_section_eh_frame).

use super::cursor::encoding;
use super::edit::{Conversion, EditedFrames, EditedSection, FDE_ADDRESS, State};
use super::header::SearchEntry;
use super::parse::{Cie, Fde, Record, RecordKind};
use crate::dynamic::encode::Form;

impl EditedFrames<'_> {
    /// The bytes of a section before relocation: what is kept of `contents`, the input's bytes, in
    /// its new place, with FDEs pointing to their CIEs. `starts` are where the sections begin in the
    /// output section, in bytes, by section.
    pub(crate) fn bytes(&self, section: usize, contents: &[u8], starts: &[u64]) -> Vec<u8> {
        let edited = &self.sections[section];
        let mut bytes = vec![0; edited.size as usize];
        let Some(frames) = edited.frames else {
            let length = bytes.len().min(contents.len());
            bytes[..length].copy_from_slice(&contents[..length]);
            return bytes;
        };
        let form = frames.form;
        let kept = || edited.records().filter(|view| view.state.offset.is_some());
        let ends = kept()
            .skip(1)
            .filter_map(|view| view.state.offset)
            .map(|offset| offset as usize)
            .chain([bytes.len()])
            .collect::<Vec<_>>();
        for (view, end) in kept().zip(ends) {
            let start = view.state.offset.unwrap_or(0) as usize;
            let record = old_bytes(view.record, contents);
            let conversion = self.conversion(section, view);
            let new = match &view.record.kind {
                RecordKind::Terminator => continue,
                RecordKind::Cie(cie) => convert_cie(form, cie, record, conversion, view.state),
                RecordKind::Fde(fde) => {
                    let mut new = convert_fde(edited, fde, record, conversion);
                    self.point_to_cie(form, &mut new, section, view.state, starts);
                    new
                }
            };
            // Padding is zeros: instructions that do nothing.
            let Some(place) = bytes.get_mut(start..end) else {
                continue;
            };
            let length = new.len().min(place.len());
            place[..length].copy_from_slice(&new[..length]);
            if place.len() >= 4 {
                let size = place.len() as u64 - 4;
                form.put(&mut place[..4], size);
            }
        }
        bytes
    }

    /// Writes into an FDE how far in front of the field its CIE begins.
    fn point_to_cie(
        &self,
        form: Form,
        fde: &mut [u8],
        section: usize,
        state: State,
        starts: &[u64],
    ) {
        let start = |section: usize| starts.get(section).copied().unwrap_or(0);
        let (Some(offset), Some(cie), Some(field)) = (state.offset, state.cie, fde.get_mut(4..8))
        else {
            return;
        };
        let field_at = start(section) + u64::from(offset) + 4;
        let cie_at = start(cie.section) + u64::from(self.state(cie).offset.unwrap_or(0));
        form.put(field, field_at.wrapping_sub(cie_at));
    }

    /// Makes pointers relative in the relocated `bytes` of a section, which begins at `address`,
    /// and gives an entry of the search table for each FDE.
    pub(crate) fn finish(
        &self,
        section: usize,
        bytes: &mut [u8],
        address: u64,
    ) -> Vec<SearchEntry> {
        let edited = &self.sections[section];
        let Some(frames) = edited.frames else {
            return Vec::new();
        };
        let mut pointers = Pointers {
            form: frames.form,
            bytes,
            address,
        };
        let mut entries = Vec::new();
        for view in edited.records() {
            let Some(start) = view.state.offset else {
                continue;
            };
            let conversion = self.conversion(section, view);
            match &view.record.kind {
                RecordKind::Terminator => {}
                RecordKind::Cie(cie) => {
                    if let Some(field) = cie.personality
                        && view.state.makes_personality_relative
                    {
                        let at = start + field.offset + 2 * conversion.added_to_cie();
                        pointers.make_relative(at, cie.content.personality_encoding);
                    }
                }
                RecordKind::Fde(fde) => {
                    let Some(cie) = frames.cie(fde.cie) else {
                        continue;
                    };
                    entries.extend(pointers.search_entry(start, cie.fde_encoding));
                    let place = |inside: u32| {
                        start + inside + self.added_in_fde(section, fde, inside, conversion)
                    };
                    if conversion.makes_relative {
                        pointers.make_relative(place(FDE_ADDRESS), cie.fde_encoding);
                        for &inside in &fde.set_locs {
                            pointers.make_relative(place(inside), cie.fde_encoding);
                        }
                    }
                    if let Some(inside) = fde.lsda_offset
                        && self.has_lsda_made_relative(view.state)
                    {
                        pointers.make_relative(place(inside), cie.content.lsda_encoding);
                    }
                }
            }
        }
        entries
    }
}

fn old_bytes<'c>(record: &Record, contents: &'c [u8]) -> &'c [u8] {
    let start = record.offset as usize;
    contents
        .get(start..start + record.size as usize)
        .unwrap_or_default()
}

/// A CIE's bytes with the augmentation and the encodings that it is to have.
fn convert_cie(form: Form, cie: &Cie, old: &[u8], conversion: Conversion, state: State) -> Vec<u8> {
    let address_size = form.address_size();
    let string_end = 9 + cie.content.augmentation.len();
    let relative = |encoding: u8| encoding::made_relative(encoding, address_size);
    let Some(data_at) = data_offset(cie, old) else {
        return old.to_vec();
    };
    let mut new = old[..9].to_vec();
    let mut letters = cie.content.augmentation.as_slice();
    let mut data = old[data_at..].to_vec();
    let fixed = &old[string_end..data_at];
    let has_size = letters.first() == Some(&b'z');

    // The size, which is one byte for all augmentations there are.
    let mut head = Vec::new();
    if has_size {
        letters = &letters[1..];
        new.push(b'z');
        head.push(data.remove(0).wrapping_add(conversion.added_to_cie() as u8));
    } else if conversion.adds_size {
        new.push(b'z');
        head.push(1);
    }
    if conversion.adds_encoding {
        new.push(b'R');
        head.push(relative(encoding::ABSOLUTE));
    }
    new.extend_from_slice(letters);
    new.extend_from_slice(fixed);

    // Encodings in the data that is there already.
    let mut at = 0;
    for letter in letters {
        let width = match letter {
            b'P' => cie.personality.map_or(0, |field| {
                // From the encoding to the end of the pointer, with the gap of an aligned one.
                let end = field.offset as usize + field.width;
                end.saturating_sub(data_at + usize::from(has_size) + at)
            }),
            b'L' | b'R' => 1,
            _ => 0,
        };
        let changes = match letter {
            b'P' => state.makes_personality_relative,
            b'L' => state.makes_lsda_relative,
            _ => conversion.makes_relative,
        };
        if width != 0
            && changes
            && let Some(encoding) = data.get_mut(at)
        {
            *encoding = relative(*encoding);
        }
        at += width;
    }
    new.append(&mut head);
    new.append(&mut data);
    new
}

/// Where a CIE's augmentation data begins, its size included: bytes from the record's beginning.
fn data_offset(cie: &Cie, old: &[u8]) -> Option<usize> {
    let mut at = 9 + cie.content.augmentation.len() + 1;
    if cie.content.augmentation.starts_with(b"eh") {
        return None;
    }
    if cie.content.version >= 4 {
        // Sizes of addresses and of segment selectors.
        at += 2;
    }
    let mut skip_leb128 = |old: &[u8]| -> Option<()> {
        at += 1 + old.get(at..)?.iter().position(|byte| byte & 0x80 == 0)?;
        Some(())
    };
    skip_leb128(old)?;
    skip_leb128(old)?;
    match cie.content.version {
        1 => at += 1,
        _ => skip_leb128(old)?,
    }
    (at < old.len()).then_some(at)
}

/// An FDE's bytes, with room for the augmentation's size if its CIE gets one.
fn convert_fde(
    edited: &EditedSection<'_>,
    fde: &Fde,
    old: &[u8],
    conversion: Conversion,
) -> Vec<u8> {
    let mut new = old.to_vec();
    if conversion.adds_size {
        let behind_range = (FDE_ADDRESS + 2 * edited.width(fde)) as usize;
        new.insert(behind_range.min(new.len()), 0);
    }
    new
}

/// The pointers of a section in the output.
struct Pointers<'b> {
    form: Form,
    bytes: &'b mut [u8],
    /// Where the section begins.
    address: u64,
}

impl Pointers<'_> {
    fn field(&mut self, at: u32, encoding: u8) -> Option<&mut [u8]> {
        let width = encoding::width(encoding, self.form.address_size())?;
        let at = at as usize;
        self.bytes.get_mut(at..at + width)
    }

    fn get(&mut self, at: u32, encoding: u8) -> Option<u64> {
        let form = self.form;
        let field = self.field(at, encoding)?;
        let bits = 8 * field.len() as u32;
        let value = form.get(field);
        match encoding::is_signed(encoding) {
            true => Some(((value << (64 - bits)).cast_signed() >> (64 - bits)).cast_unsigned()),
            false => Some(value),
        }
    }

    /// Makes the address at `at` count from there. One of 0 means that there is none, and stays.
    fn make_relative(&mut self, at: u32, encoding: u8) {
        let form = self.form;
        let place = self.address.wrapping_add(u64::from(at));
        if let Some(field) = self.field(at, encoding) {
            let value = form.get(field);
            if value != 0 {
                form.put(field, value.wrapping_sub(place));
            }
        }
    }

    /// The entry for the FDE at `start`. The function's address is not made relative yet.
    fn search_entry(&mut self, start: u32, encoding: u8) -> Option<SearchEntry> {
        let at = start + FDE_ADDRESS;
        let mut function = self.get(at, encoding)?;
        let width = encoding::width(encoding, self.form.address_size())? as u32;
        if function != 0 && encoding & encoding::BASE == encoding::PC_RELATIVE {
            function = function.wrapping_add(self.address.wrapping_add(u64::from(at)));
        }
        if self.form.address_size() == 4 {
            function &= 0xffff_ffff;
        }
        let form = self.form;
        let size = form.get(self.field(at + width, encoding)?);
        Some(SearchEntry {
            function,
            size,
            fde: self.address.wrapping_add(u64::from(start)),
        })
    }
}
