//! An image as lines of text, each a fact; two images mean the same if they have the same lines.
//!
//! Left out is what may differ: offsets in the file, the order of global symbols, and the sections
//! that only describe the file. What a program can see is all there, byte by byte.

use std::collections::HashMap;

use crate::expect::{
    BINDINGS, SYMBOL_TYPES, VISIBILITIES, file_type, home, letters, section_type, segment_letters,
    segment_type,
};
use crate::image::{Image, LOAD, Section, Segment, Symbol};

/// Bytes of a section on one line.
const ROW: usize = 16;
/// Differences shown of one case.
const SHOWN: usize = 24;
/// `STT_FILE`; `STB_LOCAL` is 0.
const FILE: u8 = 4;

/// The lines that only one of both images has, `a`'s before `b`'s; empty if there are none.
pub(crate) fn differences(a: (&str, &Image), b: (&str, &Image)) -> String {
    let (lines_a, lines_b) = (lines(a.1), lines(b.1));
    let mut counts: HashMap<&str, i64> = HashMap::new();
    for (lines, step) in [(&lines_a, 1), (&lines_b, -1)] {
        for line in lines {
            *counts.entry(line).or_default() += step;
        }
    }
    let mut found = Vec::new();
    for (name, lines, step) in [(a.0, &lines_a, 1), (b.0, &lines_b, -1)] {
        for line in lines {
            let left = counts.entry(line).or_default();
            if *left * step > 0 {
                *left -= step;
                found.push(format!("  {name}: {line}"));
            }
        }
    }
    let more = found.len().saturating_sub(SHOWN);
    found.truncate(SHOWN);
    if more > 0 {
        found.push(format!("  and {more} more lines"));
    }
    found.join("\n")
}

fn lines(image: &Image) -> Vec<String> {
    let header = &image.header;
    let mut lines = vec![
        format!(
            "file type {} machine {} osabi {} flags {:#x} entry {:#x}",
            file_type(image),
            header.machine,
            header.os_abi,
            header.flags,
            header.entry
        ),
        format!("sections {}", image.section_names().join(" ")),
    ];
    let segments = image.segments.iter().enumerate();
    lines.extend(segments.map(|(index, segment)| segment_line(image, index, segment)));
    for section in image.sections.iter().filter(|one| !one.is_bookkeeping()) {
        lines.push(section_line(image, section));
        let rows = section.data.chunks(ROW).enumerate();
        lines.extend(rows.map(|(index, row)| {
            let row: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
            format!(
                "bytes {}+{:#x} {}",
                section.name,
                index * ROW,
                row.join(" ")
            )
        }));
    }
    let symbols = image.symbols.iter().skip(1);
    let locals = symbols.clone().filter(|symbol| symbol.binding == 0);
    let locals: Vec<&str> = locals.map(|symbol| symbol.name.as_str()).collect();
    lines.push(format!("local symbols {}", locals.join(" ")));
    lines.extend(symbols.map(|symbol| symbol_line(image, symbol)));
    for (section, table) in &image.relocations {
        let name = &image.sections[*section].name;
        lines.extend(table.iter().map(|one| {
            let symbol = image.symbol_name(one.symbol);
            format!(
                "relocation of {name} {:#x} type {} {symbol}{:+#x}",
                one.offset, one.kind, one.addend
            )
        }));
    }
    lines
}

fn segment_line(image: &Image, index: usize, segment: &Segment) -> String {
    format!(
        "segment {index} {} {:#x} flags {} addr {:#x} lma {:#x} filesz {:#x} memsz {:#x} align {:#x}: {}",
        segment_type(segment),
        segment.kind,
        segment_letters(segment.flags),
        segment.address,
        segment.load_address,
        segment.file_size,
        segment.size,
        segment.align,
        image.sections_in(segment).join(" ")
    )
}

fn section_line(image: &Image, section: &Section) -> String {
    let link = image.sections.get(section.link as usize);
    format!(
        "section {} {} {:#x} flags {} {:#x} addr {:#x} lma {:#x} size {:#x} align {} entsize {} link {}",
        section.name,
        section_type(section),
        section.kind,
        letters(section.flags),
        section.flags,
        section.address,
        image.load_address(section),
        section.size,
        section.align,
        section.entsize,
        link.map_or("?", |link| &link.name)
    )
}

fn symbol_line(image: &Image, symbol: &Symbol) -> String {
    let word = |words: &'static [&str], index: u8| words.get(usize::from(index)).unwrap_or(&"?");
    format!(
        "symbol {} {} {} {} {:#x} {} size {}",
        symbol.name,
        word(&BINDINGS, symbol.binding),
        word(&SYMBOL_TYPES, symbol.kind),
        word(&VISIBILITIES, symbol.visibility),
        symbol.value,
        if symbol.kind == FILE {
            ""
        } else {
            home(image, symbol)
        },
        symbol.size
    )
}

/// What a loader could not live with: bytes that it maps from elsewhere in the file.
pub(crate) fn problems(image: &Image) -> Vec<String> {
    let mut problems = Vec::new();
    for segment in image.segments.iter().filter(|one| one.kind == LOAD) {
        let apart = segment.address.wrapping_sub(segment.offset);
        let is_empty = segment.size == 0;
        if !is_empty && segment.align > 1 && apart % segment.align != 0 {
            problems.push(format!("offset and address of {segment:x?} are not alike"));
        }
        if segment.file_size > segment.size {
            problems.push(format!("more in the file than in memory: {segment:x?}"));
        }
    }
    problems
}
