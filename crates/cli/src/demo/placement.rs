//! Where each input section of code went in the output.
//!
//! The linker is not asked. A function's section is found by its function's name and size, and
//! its bytes, relocated fields apart, must be there unchanged. Where several functions share
//! name, size and bytes, which of them is which is settled by the caller, which sees where their
//! branches lead; any assignment under which every branch is right proves the output right.

use std::collections::{BTreeMap, HashMap};

use object::elf;

use super::decode::{FIELD_14, FIELD_17, FIELD_21, FIELD_22};
use super::elf::{Object, Place, Section, SectionIndex, Symbol};

/// A section of one of the inputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct InputSection {
    pub(super) input: usize,
    pub(super) section: SectionIndex,
}

/// Where input sections went.
#[derive(Debug, Default)]
pub(super) struct Placement {
    places: HashMap<InputSection, Place>,
    /// The same ranges by where they begin, with their ends.
    ranges: BTreeMap<Place, i64>,
}

impl Placement {
    /// Where the input section begins in the output.
    pub(super) fn of(&self, section: InputSection) -> Option<Place> {
        self.places.get(&section).copied()
    }

    /// Whether compiled code is at `place`, rather than a stub or padding.
    pub(super) fn is_code(&self, place: Place) -> bool {
        let before = self.ranges.range(..=place).next_back();
        before.is_some_and(|(start, end)| start.section == place.section && place.offset < *end)
    }

    /// Notes that `section`, `size` bytes long, went to `place`, unless something else is there.
    fn claim(&mut self, section: InputSection, place: Place, size: i64) -> bool {
        let end = place.offset + size;
        let next = self.ranges.range(place..).next();
        let is_free = !self.is_code(place)
            && next.is_none_or(|(next, _)| next.section != place.section || next.offset >= end);
        if is_free {
            self.places.insert(section, place);
            self.ranges.insert(place, end);
        }
        is_free
    }
}

/// An input section that could be at several places.
struct Undecided {
    section: InputSection,
    size: i64,
    candidates: Vec<Place>,
}

/// Finds every input section of code in `output`.
///
/// `agrees(placement, section, place)` says whether the branches of `section`, were it at
/// `place`, lead where they should, as far as `placement` is known.
///
/// # Errors
/// One sentence for each section that is nowhere.
pub(super) fn find(
    inputs: &[Object],
    output: &Object,
    agrees: impl Fn(&Placement, InputSection, Place) -> bool,
) -> Result<Placement, Vec<String>> {
    let mut by_name: HashMap<&str, Vec<&Symbol>> = HashMap::new();
    for symbol in &output.symbols {
        by_name.entry(&symbol.name).or_default().push(symbol);
    }
    let mut placement = Placement::default();
    let mut undecided = Vec::new();
    let mut lost = Vec::new();
    for (n, input) in inputs.iter().enumerate() {
        for section in input.code() {
            let id = InputSection {
                input: n,
                section: section.index,
            };
            let candidates = candidates(input, section, output, &by_name);
            let size = section.size.cast_signed();
            match candidates[..] {
                [] => lost.push(format!("{}: {} is not found", input.name, section.name)),
                [only] if placement.claim(id, only, size) => {}
                [only] => lost.push(format!(
                    "{}: {} overlaps other code at {}",
                    input.name,
                    section.name,
                    output.describe(only)
                )),
                _ => undecided.push(Undecided {
                    section: id,
                    size,
                    candidates,
                }),
            }
        }
    }
    for one in undecided {
        let fits = (one.candidates.iter())
            .filter(|place| agrees(&placement, one.section, **place))
            .copied()
            .collect::<Vec<_>>();
        if !(fits.iter()).any(|place| placement.claim(one.section, *place, one.size)) {
            let input = &inputs[one.section.input];
            let name = input.section(one.section.section).map_or("", |s| &s.name);
            lost.push(format!(
                "{}: {name} fits none of {} places",
                input.name,
                one.candidates.len()
            ));
        }
    }
    if lost.is_empty() {
        Ok(placement)
    } else {
        Err(lost)
    }
}

/// The places of the output that hold `section`'s code under its function's name.
fn candidates(
    input: &Object,
    section: &Section,
    output: &Object,
    by_name: &HashMap<&str, Vec<&Symbol>>,
) -> Vec<Place> {
    let anchor = (input.symbols.iter())
        .filter(|s| s.place.section == section.index && s.is_function)
        .max_by_key(|s| s.is_global);
    let Some(anchor) = anchor else {
        return Vec::new();
    };
    let mut places: Vec<Place> = (by_name.get(anchor.name.as_str()).into_iter().flatten())
        .filter(|s| s.size == anchor.size && s.is_global == anchor.is_global)
        .map(|s| s.place.plus(-anchor.place.offset))
        .filter(|place| same_code(section, output, *place))
        .collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// Whether `section`'s bytes are at `place`, apart from the fields of its relocations.
fn same_code(section: &Section, output: &Object, place: Place) -> bool {
    let mut masks: HashMap<i64, u32> = HashMap::new();
    for relocation in &section.relocations {
        *masks.entry(relocation.offset.cast_signed()).or_default() |= field(relocation.kind);
    }
    let size = section.bytes.len().cast_signed() as i64;
    let words_agree = (0..size / 4).map(|n| n * 4).all(|offset| {
        let mask = !masks.get(&offset).copied().unwrap_or(0);
        match (section.word(offset), output.word(place.plus(offset))) {
            (Some(before), Some(after)) => before & mask == after & mask,
            _ => false,
        }
    });
    // PA-RISC code is made of words.
    words_agree && size % 4 == 0
}

/// The bits that a relocation of this type may change.
fn field(kind: elf::RelocationType) -> u32 {
    match kind {
        elf::R_PARISC_NONE => 0,
        elf::R_PARISC_PCREL17F | elf::R_PARISC_DIR17F | elf::R_PARISC_DIR17R => FIELD_17,
        elf::R_PARISC_PCREL22F => FIELD_22,
        elf::R_PARISC_DIR21L | elf::R_PARISC_DPREL21L => FIELD_21,
        elf::R_PARISC_DIR14R | elf::R_PARISC_DPREL14R => FIELD_14,
        _ => u32::MAX,
    }
}
