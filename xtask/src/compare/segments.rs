//! Program headers, and where in the file things are, which means nothing.

use super::elf::{Elf, SHT_NOBITS, Segment};
use super::pair::Pairing;
use super::report::{Difference, Kind};

/// Compares all program headers, in order, but for their places in the file.
pub(super) fn compare(a: &Elf<'_>, b: &Elf<'_>, found: &mut Vec<Difference>) {
    let count = a.segments.len().max(b.segments.len());
    for number in 0..count {
        match (a.segments.get(number), b.segments.get(number)) {
            (Some(of_a), Some(of_b)) => compare_one(number, of_a, of_b, found),
            (of_a, of_b) => {
                let show = |segment: Option<&Segment>| {
                    segment.map_or_else(|| "none".to_owned(), |s| format!("{s:x?}"))
                };
                let what = format!("program header {number}");
                let difference = Difference::new(Kind::Segment, what, show(of_a), show(of_b));
                found.push(difference);
            }
        }
    }
}

fn compare_one(number: usize, a: &Segment, b: &Segment, found: &mut Vec<Difference>) {
    let fields = [
        ("type", u64::from(a.p_type), u64::from(b.p_type)),
        ("flags", a.flags.into(), b.flags.into()),
        ("virtual address", a.vaddr, b.vaddr),
        ("physical address", a.paddr, b.paddr),
        ("size in the file", a.filesz, b.filesz),
        ("size in memory", a.memsz, b.memsz),
        ("alignment", a.align, b.align),
    ];
    for (name, of_a, of_b) in fields {
        if of_a != of_b {
            let what = format!("{name} of program header {number} (type {:#x})", a.p_type);
            let (of_a, of_b) = (format!("{of_a:#x}"), format!("{of_b:#x}"));
            found.push(Difference::new(Kind::Segment, what, of_a, of_b));
        }
    }
}

/// In words, how much lies elsewhere in the file; for information only.
pub(super) fn places_in_file(a: &Elf<'_>, b: &Elf<'_>, pairing: &Pairing) -> Vec<String> {
    if a.is_object() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    let sections = pairing.pairs.iter().filter_map(|&(in_a, in_b)| {
        let (in_a, in_b) = (a.section(in_a)?, b.section(in_b)?);
        let moved = in_a.offset != in_b.offset && in_a.sh_type != SHT_NOBITS;
        moved.then_some((in_a, in_b))
    });
    let mut sections = sections.peekable();
    if let Some(&(first_a, first_b)) = sections.peek() {
        lines.push(format!(
            "{} sections are at other offsets in the file, the first is {} ({:#x}, {:#x})",
            sections.count(),
            first_a.name,
            first_a.offset,
            first_b.offset
        ));
    }
    let segments = a.segments.iter().zip(&b.segments);
    let moved = segments.filter(|(of_a, of_b)| of_a.offset != of_b.offset);
    match moved.count() {
        0 => {}
        count => lines.push(format!("{count} segments are at other offsets in the file")),
    }
    lines
}
