//! Sections: which exist, their headers, bytes, groups and order.

use std::collections::HashSet;

use super::elf::{
    Elf, Home, SHF_ALLOC, SHF_INFO_LINK, SHT_DYNAMIC, SHT_DYNSYM, SHT_GNU_HASH, SHT_GNU_VERDEF,
    SHT_GNU_VERNEED, SHT_GNU_VERSYM, SHT_GROUP, SHT_HASH, SHT_NOTE, SHT_STRTAB, SHT_SYMTAB,
    SHT_SYMTAB_SHNDX, Section, SectionId,
};
use super::pair::{Identities, Pairing};
use super::relocations::field_width;
use super::report::{Difference, Kind};

/// After so many runs of differing bytes in one section, the rest is one run.
const MAX_RUNS: usize = 100;
/// Equal bytes between two differing ones that do not yet end a run.
const RUN_GAP: usize = 7;
/// How many bytes of a run are shown.
const SHOWN_BYTES: usize = 16;

/// Compares everything about sections but their relocations.
pub(super) fn compare(a: &Elf<'_>, b: &Elf<'_>, pairing: &Pairing, found: &mut Vec<Difference>) {
    for (elf, ids, kind) in [
        (a, &pairing.only_a, Kind::SectionMissing),
        (b, &pairing.only_b, Kind::SectionExtra),
    ] {
        for section in ids.iter().filter_map(|&id| elf.section(id)) {
            let text = format!(
                "type {:#x}, flags {:#x}, {} bytes",
                section.sh_type, section.flags, section.size
            );
            let (a, b) = match kind {
                Kind::SectionMissing => (text, "no such section".to_owned()),
                _ => ("no such section".to_owned(), text),
            };
            let difference = Difference::new(kind, "section", a, b);
            found.push(difference.section(label(elf, section.id)));
        }
    }
    for &(id_a, id_b) in &pairing.pairs {
        if let (Some(in_a), Some(in_b)) = (a.section(id_a), b.section(id_b)) {
            compare_headers((a, in_a), (b, in_b), pairing, found);
            compare_contents((a, in_a), (b, in_b), found);
        }
    }
    compare_groups(a, b, pairing, found);
    compare_order(a, b, pairing, found);
}

/// A section's name for people; numbered where the name repeats.
pub(super) fn label(elf: &Elf<'_>, id: SectionId) -> String {
    let name = elf.section_name(id);
    let same = || elf.sections.iter().filter(|s| s.name == name);
    match same().nth(1) {
        Some(_) => {
            let number = same().take_while(|s| s.id != id).count();
            format!("{name}[{number}]")
        }
        None => name.to_owned(),
    }
}

/// Whether a section is only about how the file is written: its size and bytes
/// follow from the names, symbols and relocations that are compared as such.
fn is_bookkeeping(elf: &Elf<'_>, section: &Section<'_>) -> bool {
    let strings = elf.symtab.and_then(|id| elf.section(id)).map(|s| s.link);
    section.is_relocations()
        || matches!(section.sh_type, SHT_SYMTAB | SHT_SYMTAB_SHNDX | SHT_GROUP)
        || (section.sh_type == SHT_STRTAB
            && (strings == Some(section.id.0) || elf.section_names == section.id))
}

/// Whether a section's bytes are compared by [`super::dynamic`], which knows what they mean.
fn is_dynamic(elf: &Elf<'_>, section: &Section<'_>) -> bool {
    let dynsym = elf.dynsym.and_then(|id| elf.section(id));
    let strings = dynsym.map(|dynsym| dynsym.link);
    let tables = [
        SHT_DYNSYM,
        SHT_HASH,
        SHT_GNU_HASH,
        SHT_GNU_VERSYM,
        SHT_GNU_VERDEF,
        SHT_GNU_VERNEED,
        SHT_DYNAMIC,
    ];
    tables.contains(&section.sh_type)
        || section.is_dynamic_relocations()
        || (section.sh_type == SHT_STRTAB && strings == Some(section.id.0))
}

fn compare_headers(
    (a, in_a): (&Elf<'_>, &Section<'_>),
    (b, in_b): (&Elf<'_>, &Section<'_>),
    pairing: &Pairing,
    found: &mut Vec<Difference>,
) {
    let mut field = |kind: Kind, what: &str, of_a: String, of_b: String| {
        if of_a != of_b {
            let difference = Difference::new(kind, what, of_a, of_b);
            found.push(difference.section(label(a, in_a.id)));
        }
    };
    let hex = |n: u64| format!("{n:#x}");
    let header = Kind::SectionHeader;
    let name = |s: &Section<'_>| s.name.clone();
    field(header, "name", name(in_a), name(in_b));
    field(
        header,
        "type",
        hex(in_a.sh_type.into()),
        hex(in_b.sh_type.into()),
    );
    field(header, "flags", hex(in_a.flags), hex(in_b.flags));
    field(
        header,
        "alignment",
        in_a.align.to_string(),
        in_b.align.to_string(),
    );
    field(
        header,
        "entry size",
        in_a.entsize.to_string(),
        in_b.entsize.to_string(),
    );
    field(Kind::Address, "address", hex(in_a.addr), hex(in_b.addr));
    if pairing.a.section(SectionId(in_a.link)) != pairing.b.section(SectionId(in_b.link)) {
        let name = |elf: &Elf<'_>, s: &Section<'_>| label(elf, SectionId(s.link));
        // Differing sections may have equal names.
        let of_b = format!("{} (another one)", name(b, in_b));
        field(header, "sh_link", name(a, in_a), of_b);
    }
    field(
        header,
        "sh_info",
        info(a, in_a, &pairing.a),
        info(b, in_b, &pairing.b),
    );
    // What is loaded has its size in the image, whatever it means.
    if !is_bookkeeping(a, in_a) || in_a.has(SHF_ALLOC) {
        field(
            Kind::SectionSize,
            "size",
            in_a.size.to_string(),
            in_b.size.to_string(),
        );
    }
}

/// What `sh_info` refers to, as text that is comparable between files.
fn info(elf: &Elf<'_>, section: &Section<'_>, identities: &Identities) -> String {
    match section.sh_type {
        // Symbol tables: the boundary, checked on its own. Groups: the signature,
        // compared with the groups.
        SHT_SYMTAB | SHT_GROUP => String::new(),
        _ if section.is_relocations() || section.has(SHF_INFO_LINK) => {
            let id = SectionId(section.info);
            format!("{} {:?}", elf.section_name(id), identities.section(id))
        }
        _ => section.info.to_string(),
    }
}

fn compare_contents(
    (a, in_a): (&Elf<'_>, &Section<'_>),
    (b, in_b): (&Elf<'_>, &Section<'_>),
    found: &mut Vec<Difference>,
) {
    if is_bookkeeping(a, in_a) || is_dynamic(a, in_a) || in_a.data == in_b.data {
        return;
    }
    let ignored = match in_a.sh_type {
        SHT_NOTE => build_ids(a, in_a),
        _ => fields_with_addends(a, in_a.id)
            .intersection(&fields_with_addends(b, in_b.id))
            .copied()
            .collect(),
    };
    let mut runs = runs(in_a.data, in_b.data, &ignored);
    let hidden = runs.len().saturating_sub(MAX_RUNS);
    runs.truncate(MAX_RUNS);
    for (number, (start, end)) in runs.iter().copied().enumerate() {
        let mut what = format!("{} bytes from here differ", end - start);
        if number + 1 == MAX_RUNS && hidden > 0 {
            what.push_str(&format!(" (and in {hidden} more places)"));
        }
        let shown = |data: &[u8]| around(data, start, end);
        let difference = Difference::new(Kind::Bytes, what, shown(in_a.data), shown(in_b.data));
        found.push(difference.at(a, in_a.id, start as u64));
    }
}

/// The offsets of all bytes of a note section that are a build-id's identifier. The notes'
/// headers (sizes, type, `GNU`) count, identifiers do not: each linker has its own digest.
fn build_ids(elf: &Elf<'_>, section: &Section<'_>) -> HashSet<usize> {
    const NT_GNU_BUILD_ID: u32 = 3;
    /// Name size, descriptor size and type.
    const HEADER: u64 = 12;
    let data = section.data;
    let align = if section.align == 8 { 8 } else { 4 };
    let mut ids = HashSet::new();
    let mut at = 0u64;
    let note = |at: u64| {
        let word = |n: u64| elf.read_u32(data, at + 4 * n);
        Some((u64::from(word(0)?), u64::from(word(1)?), word(2)?))
    };
    while let Some((name_size, size, kind)) = note(at) {
        let name = at + HEADER;
        let start = (name + name_size).next_multiple_of(align);
        let named = |text: &[u8]| {
            data.get(name as usize..)
                .is_some_and(|d| d.starts_with(text))
        };
        if kind == NT_GNU_BUILD_ID && name_size == 4 && named(b"GNU\0") {
            let end = (start + size).min(data.len() as u64);
            ids.extend(start as usize..end as usize);
        }
        at = (start + size).next_multiple_of(align);
    }
    ids
}

/// The offsets of all bytes of `section` that hold an implicit addend, which is
/// compared with the relocation.
fn fields_with_addends(elf: &Elf<'_>, section: SectionId) -> HashSet<usize> {
    let mut fields = HashSet::new();
    if !elf.is_object() {
        return fields;
    }
    for relocation in elf.relocations_of(section) {
        if relocation.addend.is_none() {
            let start = usize::try_from(relocation.offset).unwrap_or(usize::MAX);
            let width = field_width(elf.header.machine, relocation.r_type);
            fields.extend(start..start.saturating_add(width));
        }
    }
    fields
}

/// The runs of differing bytes in what both have.
fn runs(a: &[u8], b: &[u8], ignored: &HashSet<usize>) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let differs = |&(i, (a, b)): &(usize, (&u8, &u8))| a != b && !ignored.contains(&i);
    for (index, _) in a.iter().zip(b).enumerate().filter(differs) {
        match runs.last_mut() {
            Some((_, end)) if index - *end <= RUN_GAP => *end = index + 1,
            _ => runs.push((index, index + 1)),
        }
    }
    runs
}

/// Some bytes from the last multiple of four before `start`.
fn around(data: &[u8], start: usize, end: usize) -> String {
    let from = start & !3;
    let to = end.next_multiple_of(4).min(data.len());
    let bytes = data.get(from..to).unwrap_or_default();
    let mut text = format!("{from:#x}:");
    for byte in bytes.iter().take(SHOWN_BYTES) {
        text.push_str(&format!(" {byte:02x}"));
    }
    if bytes.len() > SHOWN_BYTES {
        text.push_str(" …");
    }
    text
}

fn compare_groups(a: &Elf<'_>, b: &Elf<'_>, pairing: &Pairing, found: &mut Vec<Difference>) {
    for group_a in &a.groups {
        let id = pairing.a.section(group_a.section);
        let twin = b.groups.iter().find(|g| pairing.b.section(g.section) == id);
        let Some(group_b) = twin else {
            continue; // reported as a missing section
        };
        let mut field = |what: &str, of_a: String, of_b: String| {
            if of_a != of_b {
                let difference = Difference::new(Kind::Group, what, of_a, of_b);
                found.push(difference.section(label(a, group_a.section)));
            }
        };
        let signature = |elf: &Elf<'_>, group: &super::elf::Group| {
            let symbol = elf.symbol(group.signature);
            symbol.map_or_else(String::new, |s| match s.home {
                Home::Section(id) if s.is_section() => elf.section_name(id).to_owned(),
                _ => s.name.clone(),
            })
        };
        let flags = |flags: u32| format!("{flags:#x}");
        field(
            "group signature",
            signature(a, group_a),
            signature(b, group_b),
        );
        field("group flags", flags(group_a.flags), flags(group_b.flags));
        let mut ids_a: Vec<_> = group_a
            .members
            .iter()
            .map(|&m| pairing.a.section(m))
            .collect();
        let mut ids_b: Vec<_> = group_b
            .members
            .iter()
            .map(|&m| pairing.b.section(m))
            .collect();
        ids_a.sort_unstable();
        ids_b.sort_unstable();
        if ids_a != ids_b {
            let names = |elf: &Elf<'_>, ids: &[SectionId]| {
                let names: Vec<_> = ids.iter().map(|&id| label(elf, id)).collect();
                names.join(" ")
            };
            let (of_a, of_b) = (names(a, &group_a.members), names(b, &group_b.members));
            let difference = Difference::new(Kind::Group, "group members", of_a, of_b);
            found.push(difference.section(label(a, group_a.section)));
        }
    }
}

fn compare_order(a: &Elf<'_>, b: &Elf<'_>, pairing: &Pairing, found: &mut Vec<Difference>) {
    // Pairs are sorted by A's index, so B's indices must rise.
    let mut sorted: Vec<_> = pairing.pairs.iter().map(|&(_, in_b)| in_b).collect();
    sorted.sort_unstable();
    let moved = |(pair, in_b): &(&(SectionId, SectionId), &SectionId)| pair.1 != **in_b;
    let mut out_of_place = pairing.pairs.iter().zip(&sorted).filter(moved);
    if let Some((&(in_a, _), &in_b)) = out_of_place.next() {
        let what = format!("section order ({} more differ)", out_of_place.count());
        let difference = Difference::new(Kind::Order, what, label(a, in_a), label(b, in_b));
        found.push(difference.section(label(a, in_a)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_over_small_gaps_and_skip_ignored_bytes() {
        let a = [0u8; 32];
        let mut b = a;
        (b[1], b[5], b[20], b[31]) = (1, 1, 1, 1);
        let ignored = HashSet::from([20]);
        assert_eq!(runs(&a, &b, &ignored), vec![(1, 6), (31, 32)]);
    }
}
