//! Where in the image each input section is.
//!
//! The map gives the order; a symbol of a section gives its place where only one symbol has
//! that name. Sections without such a symbol come after the one before them, and if they are
//! not there (a stub stands between), where their bytes are found next.

use std::collections::HashMap;

use super::super::super::elf::{
    Elf, Home, SHF_MERGE, SHT_NOBITS, STT_FILE, Section, SectionId, Symbol,
};
use super::map::Entry;
use super::{EDITED, InputId, Link, Made, ObjectId, Pieces, is_merged};

/// How far behind its expected place a section is looked for: past any island of stubs.
const SEARCHED: u64 = 1 << 16;

/// Finds all sections that the map names. What is not found is told.
pub(super) fn find(link: &Link<'_>, map: &[Entry]) -> (Pieces, Vec<String>) {
    let mut problems = Vec::new();
    let inputs = inputs(link, map, &mut problems);
    let definers = definers(link, &inputs);
    let mut pieces = Pieces::default();
    let mut before: Option<Before> = None;
    for (input, output, entry) in inputs {
        let name = || format!("{} of {}", entry.section, entry.file);
        let elf = input.and_then(|(object, section)| {
            let elf = &link.object(object).elf;
            Some((elf, elf.section(section)?))
        });
        // Maps show merged contents where they are, at no section's alignment.
        let copied = elf.filter(|(elf, section)| !is_merged(elf, section));
        let align = copied.map_or(1, |(_, section)| section.align);
        let next = Next::new(
            link,
            before.filter(|b| b.output == output),
            output,
            entry,
            align,
        );
        let copied = input
            .zip(elf)
            .filter(|(_, (_, section))| section.name != EDITED);
        let address = match copied {
            None => {
                pieces.made.push(Made {
                    output,
                    start: next.likely,
                    end: next.likely.saturating_add(entry.size),
                    section: entry.section.clone(),
                });
                next.likely
            }
            Some((input, (elf, section))) if is_merged(elf, section) => {
                pieces.merged.insert(input, output);
                next.likely
            }
            Some((input, (_, section))) => {
                let found = anchor(link, input, section, &definers)
                    .or_else(|| search(link, input, section, output, next));
                let Some(address) = found else {
                    problems.push(format!("{} is not found in the image", name()));
                    continue;
                };
                pieces.at.insert(input, (address, output));
                address
            }
        };
        // An empty section has no place that matters; it may be on either side of a stub.
        if entry.size == 0 {
            continue;
        }
        before = Some(Before {
            output,
            end: address.wrapping_add(entry.size),
            end_in_map: entry.address.wrapping_add(entry.size),
        });
    }
    (pieces, problems)
}

/// The section before one.
#[derive(Clone, Copy)]
struct Before {
    output: SectionId,
    /// Where it ends in the image.
    end: u64,
    /// Where it ends by the map.
    end_in_map: u64,
}

/// Where a section is expected that no symbol tells of.
#[derive(Clone, Copy)]
struct Next {
    /// As far from the one before as by the map.
    likely: u64,
    /// As near to the one before as its alignment allows.
    nearest: u64,
}

impl Next {
    fn new(
        link: &Link<'_>,
        before: Option<Before>,
        output: SectionId,
        entry: &Entry,
        align: u64,
    ) -> Self {
        let start = link.image.base(output);
        let align = align.max(1);
        let aligned = |at: u64| at.checked_next_multiple_of(align).unwrap_or(at);
        let Some(before) = before else {
            let nearest = aligned(start);
            return Self {
                likely: nearest,
                nearest,
            };
        };
        let gap = entry.address.wrapping_sub(before.end_in_map);
        Self {
            likely: aligned(before.end.wrapping_add(gap)),
            nearest: aligned(before.end),
        }
    }
}

/// An input section (or what the linker made), its output section, and what the map says.
type Listed<'m> = (Option<InputId>, SectionId, &'m Entry);

/// The input sections of a map, each with its output section; without those that are not
/// loaded.
fn inputs<'m>(link: &Link<'_>, map: &'m [Entry], problems: &mut Vec<String>) -> Vec<Listed<'m>> {
    let by_name: HashMap<&str, ObjectId> = (0..)
        .zip(link.objects)
        .map(|(n, object)| (object.name, ObjectId(n)))
        .collect();
    let outputs: HashMap<&str, &Section<'_>> = link
        .image
        .sections
        .iter()
        .map(|section| (&*section.name, section))
        .collect();
    let mut used = std::collections::HashSet::new();
    let mut found = Vec::new();
    for entry in map {
        let Some(&object) = by_name.get(&*entry.file) else {
            continue;
        };
        let output = outputs.get(&*entry.output);
        let loaded = output.filter(|s| s.has(super::super::super::elf::SHF_ALLOC));
        let Some(output) = loaded else {
            if entry.size > 0 && output.is_none() {
                problems.push(format!("the image has no section {}", entry.output));
            }
            continue;
        };
        let sections = &link.object(object).elf.sections;
        let is_it = |s: &&Section<'_>| {
            s.name == entry.section
                && (s.size == entry.size || s.has(SHF_MERGE) || s.name == EDITED)
                && !used.contains(&(object, s.id))
        };
        match sections.iter().find(is_it) {
            Some(section) => {
                used.insert((object, section.id));
                found.push((Some((object, section.id)), output.id, entry));
            }
            None if entry.size == 0 => {}
            // Common symbols, a build-id: a map counts them to some file.
            None => found.push((None, output.id, entry)),
        }
    }
    found
}

/// How many of these sections define a symbol of each name.
fn definers<'a>(link: &Link<'a>, inputs: &[Listed<'_>]) -> HashMap<&'a str, usize> {
    let mut definers: HashMap<&str, usize> = HashMap::new();
    let placed: std::collections::HashSet<_> =
        inputs.iter().filter_map(|&(input, ..)| input).collect();
    for (number, object) in link.objects.iter().enumerate() {
        for symbol in object.elf.symbols.iter().skip(1) {
            if let Home::Section(section) = symbol.home
                && placed.contains(&(ObjectId(number), section))
            {
                *definers.entry(&symbol.name).or_default() += 1;
            }
        }
    }
    definers
}

/// The address of a section by a symbol of it whose name is the only one of its kind.
fn anchor(
    link: &Link<'_>,
    input: InputId,
    section: &Section<'_>,
    definers: &HashMap<&str, usize>,
) -> Option<u64> {
    let symbols = link.object(input.0).elf.symbols.iter().skip(1);
    let mut own = symbols
        .filter(|s| s.home == Home::Section(section.id) && !s.is_section() && s.kind != STT_FILE);
    own.find_map(|symbol| {
        let values = link.values.get(&*symbol.name)?;
        let one = definers.get(&*symbol.name) == Some(&1);
        match values.as_slice() {
            &[(value, _)] if one => value.checked_sub(symbol.value),
            _ => None,
        }
    })
}

/// The first place where the section's bytes are, but for relocated fields: as expected, where
/// a symbol of that name is, or further on.
fn search(
    link: &Link<'_>,
    input: InputId,
    section: &Section<'_>,
    output: SectionId,
    next: Next,
) -> Option<u64> {
    if section.sh_type == SHT_NOBITS || super::verify::is_sorted(link.image, output) {
        return Some(next.likely);
    }
    let elf = &link.object(input.0).elf;
    let pattern = Pattern::of(elf, section, link);
    // A function that another one shares its name with may have been moved anywhere.
    let own = |s: &&Symbol| s.home == Home::Section(section.id) && !s.is_section();
    let named = elf.symbols.iter().filter(own).flat_map(|symbol| {
        let values = link
            .values
            .get(&*symbol.name)
            .map_or(&[][..], Vec::as_slice);
        values
            .iter()
            .filter_map(|&(value, _)| value.checked_sub(symbol.value))
    });
    let align = usize::try_from(section.align.max(1)).ok()?;
    let further = (0..SEARCHED).step_by(align);
    let further = further.map(|step| next.nearest.wrapping_add(step));
    std::iter::once(next.likely)
        .chain(named)
        .chain(further)
        .find(|&address| pattern.matches(link.bytes_at(address)))
}

/// A section's bytes with holes for relocated fields.
struct Pattern<'a> {
    /// Offset and bytes of each run between fields.
    runs: Vec<(usize, &'a [u8])>,
    len: usize,
}

impl<'a> Pattern<'a> {
    fn of(elf: &Elf<'a>, section: &Section<'a>, link: &Link<'_>) -> Self {
        let mut relocations = elf.relocations_of(section.id);
        relocations.sort_by_key(|relocation| relocation.offset);
        let mut runs = Vec::new();
        let mut at = 0;
        for relocation in relocations {
            let row = link.arch.relocation(relocation.r_type);
            let width = row.map_or(4, klink_arch::Relocation::len);
            let start = usize::try_from(relocation.offset).unwrap_or(usize::MAX);
            if let Some(run) = section.data.get(at..start).filter(|run| !run.is_empty()) {
                runs.push((at, run));
            }
            at = at.max(start.saturating_add(width));
        }
        if let Some(run) = section.data.get(at..).filter(|run| !run.is_empty()) {
            runs.push((at, run));
        }
        let len = section.data.len();
        Self { runs, len }
    }

    fn matches(&self, bytes: &[u8]) -> bool {
        let same =
            |&(at, run): &(usize, &[u8])| bytes.get(at..).is_some_and(|rest| rest.starts_with(run));
        bytes.len() >= self.len && self.runs.iter().all(same)
    }
}
