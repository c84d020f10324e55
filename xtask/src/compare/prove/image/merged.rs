//! Merged strings and constants: found by their contents.
//!
//! A linker may put a string anywhere in its output section, also as the end of a longer one.
//! So a reference to it is right if the string is where the reference goes; and all references
//! to one place of an input must agree on one such place.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::super::super::elf::{SHF_STRINGS, SectionId};
use super::{InputId, Link};

/// The addresses of each content.
type Places<'a> = HashMap<&'a [u8], Vec<u64>>;

/// The contents that can be found in output sections, made when first asked for.
pub(super) struct Finder<'a> {
    /// The parts of each output section that no other input covers: addresses, the end exclusive.
    gaps: HashMap<SectionId, Vec<(u64, u64)>>,
    /// All strings of merged inputs.
    strings: HashSet<&'a [u8]>,
    /// For each output section and length of constants (0 for strings): where each is.
    known: HashMap<(SectionId, u64), Places<'a>>,
    /// The places that a place of an input may be at, after all references so far.
    left: HashMap<(InputId, u64), (u64, Vec<u64>)>,
    /// Where contents that are referred to were found, and their size; made at the end.
    found: Option<BTreeMap<u64, u64>>,
}

impl<'a> Finder<'a> {
    /// A finder that looks in these parts of output sections for contents of these inputs.
    pub(super) fn new(
        link: &Link<'a>,
        gaps: HashMap<SectionId, Vec<(u64, u64)>>,
        inputs: impl Iterator<Item = InputId>,
    ) -> Self {
        let sections = inputs.filter_map(|(object, id)| link.object(object).elf.section(id));
        let strings = sections.filter(|section| section.has(SHF_STRINGS));
        let strings = strings.flat_map(|s| s.data.split_inclusive(|&byte| byte == 0));
        Self {
            strings: strings.collect(),
            gaps,
            known: HashMap::new(),
            left: HashMap::new(),
            found: None,
        }
    }

    /// Whether all of `bytes`, which no input covers, is padding and what was found.
    pub(super) fn explains(&mut self, start: u64, bytes: &[u8]) -> bool {
        let left = &self.left;
        let found = self.found.get_or_insert_with(|| {
            let of_one = |(size, places): &(u64, Vec<u64>)| {
                let size = *size;
                places.clone().into_iter().map(move |place| (place, size))
            };
            let mut found = BTreeMap::new();
            for (place, size) in left.values().flat_map(of_one) {
                let known = found.entry(place).or_insert(size);
                *known = size.max(*known);
            }
            found
        });
        let mut explained = start;
        for (at, &byte) in (start..).zip(bytes) {
            if let Some(&size) = found.get(&at) {
                explained = explained.max(at.saturating_add(size));
            }
            if byte == 0 || at < explained {
                continue;
            }
            // Compilers leave strings that nothing refers to.
            let rest = bytes.get((at - start) as usize..).unwrap_or_default();
            let end = rest.iter().position(|&byte| byte == 0);
            let string = end.and_then(|end| rest.get(..=end));
            match string.filter(|string| self.strings.contains(string)) {
                Some(string) => explained = at.saturating_add(string.len() as u64),
                None => return false,
            }
        }
        true
    }

    /// Where the string or constant at `offset` of a merged input may be, for the references
    /// seen so far.
    pub(super) fn places(
        &mut self,
        link: &Link<'a>,
        input: InputId,
        output: SectionId,
        offset: u64,
    ) -> Vec<u64> {
        if let Some((_, places)) = self.left.get(&(input, offset)) {
            return places.clone();
        }
        let found = self.find(link, input, output, offset);
        let (size, places) = found.unwrap_or_default();
        self.left.insert((input, offset), (size, places.clone()));
        places
    }

    /// Says which places agree with a reference.
    pub(super) fn keep(&mut self, input: InputId, offset: u64, places: Vec<u64>) {
        if let Some((_, left)) = self.left.get_mut(&(input, offset)) {
            *left = places;
        }
    }

    fn find(
        &mut self,
        link: &Link<'a>,
        input: InputId,
        output: SectionId,
        offset: u64,
    ) -> Option<(u64, Vec<u64>)> {
        let section = link.object(input.0).elf.section(input.1)?;
        let rest = section.data.get(usize::try_from(offset).ok()?..)?;
        let strings = section.has(SHF_STRINGS);
        let size = match strings {
            true => rest.iter().position(|&byte| byte == 0)? + 1,
            false => usize::try_from(section.entsize).ok()?,
        };
        let wanted = rest.get(..size)?;
        let length = if strings { 0 } else { section.entsize };
        let known = self.known.entry((output, length));
        let known = known.or_insert_with(|| {
            let gaps = self.gaps.get(&output).map_or(&[][..], Vec::as_slice);
            index(link, gaps, length)
        });
        let places = known.get(wanted).cloned().unwrap_or_default();
        Some((size as u64, places))
    }
}

/// Every string in some parts of the image, and every end of one; or every aligned constant.
fn index<'a>(link: &Link<'a>, gaps: &[(u64, u64)], length: u64) -> Places<'a> {
    let mut places = Places::new();
    for &(start, end) in gaps {
        let bytes = link.bytes_at(start);
        let size = usize::try_from(end - start)
            .unwrap_or(usize::MAX)
            .min(bytes.len());
        let data = &bytes[..size];
        if length > 0 {
            let constants = (start.next_multiple_of(length)..end).step_by(length as usize);
            for address in constants {
                let at = (address - start) as usize;
                if let Some(constant) = data.get(at..at + length as usize) {
                    places.entry(constant).or_default().push(address);
                }
            }
            continue;
        }
        let mut at = start;
        for part in data.split_inclusive(|&byte| byte == 0) {
            for from in 0..part.len() {
                let address = at + from as u64;
                places.entry(&part[from..]).or_default().push(address);
            }
            at += part.len() as u64;
        }
    }
    places
}
