//! `cargo xtask compare --check FILE`: is one file well formed?
//!
//! These are the rules of the gABI that readers rely on without looking:
//! offsets inside the file, nothing overlapping, alignment, a symbol table
//! whose local symbols come first and whose `sh_info` says so, strings that
//! end, indices that exist.

use super::elf::{
    ET_REL, Elf, Home, SHF_GROUP, SHF_LINK_ORDER, SHT_NOBITS, SHT_RELA, SHT_STRTAB, SHT_SYMTAB,
    SHT_SYMTAB_SHNDX, STT_FILE, Section, SectionId,
};
use super::relocations::field_width;

/// Every problem of this file, as text for a person; empty if it is well formed.
pub(crate) fn check(bytes: &[u8]) -> Vec<String> {
    let elf = match Elf::parse(bytes) {
        Ok(elf) => elf,
        Err(error) => return vec![error.to_string()],
    };
    let mut problems = Vec::new();
    for section in elf.sections.iter().skip(1) {
        check_section(&elf, section, &mut problems);
    }
    check_null_section(&elf, &mut problems);
    check_overlaps(&elf, &mut problems);
    check_symbols(&elf, &mut problems);
    problems.extend(symbol_boundary(&elf));
    check_relocations(&elf, &mut problems);
    check_groups(&elf, &mut problems);
    problems
}

/// Section 0 is all zero, but for the numbers that did not fit into the ELF
/// header (gABI, "Section Header Table": `sh_size`, `sh_link`, `sh_info`).
fn check_null_section(elf: &Elf<'_>, problems: &mut Vec<String>) {
    let Some(null) = elf.sections.first() else {
        return;
    };
    let values = [null.flags, null.addr, null.offset, null.align, null.entsize];
    if null.sh_type != 0 || values.iter().any(|&value| value != 0) {
        problems.push("section 0 is not null".to_owned());
    }
}

fn check_section(elf: &Elf<'_>, section: &Section<'_>, problems: &mut Vec<String>) {
    let mut problem =
        |text: String| problems.push(format!("section {} {}: {text}", section.id.0, section.name));
    let align = section.align.max(1);
    if !align.is_power_of_two() {
        problem(format!("alignment {align} is no power of two"));
    } else if section.sh_type != SHT_NOBITS && !section.offset.is_multiple_of(align) {
        problem(format!(
            "offset {:#x} is not aligned to {align}",
            section.offset
        ));
    } else if !section.addr.is_multiple_of(align) {
        problem(format!(
            "address {:#x} is not aligned to {align}",
            section.addr
        ));
    }
    if elf.header.file_type == ET_REL && section.addr != 0 {
        problem(format!("address {:#x} in a relocatable file", section.addr));
    }
    if section.entsize > 1
        && !section.size.is_multiple_of(section.entsize)
        && section.sh_type != SHT_NOBITS
    {
        let (size, entsize) = (section.size, section.entsize);
        problem(format!(
            "size {size} is no multiple of the entry size {entsize}"
        ));
    }
    let word: u64 = if elf.header.is_64 { 8 } else { 4 };
    let expected = match section.sh_type {
        SHT_SYMTAB => Some(2 * word + 8),
        SHT_RELA => Some(3 * word),
        _ if section.is_relocations() => Some(2 * word),
        _ => None,
    };
    if expected.is_some_and(|expected| expected != section.entsize) {
        problem(format!("entry size {}", section.entsize));
    }
    if section.sh_type == SHT_STRTAB {
        let ends = [section.data.first(), section.data.last()];
        if ends.iter().any(|end| end.is_some_and(|&byte| byte != 0)) {
            problem("a string table begins and ends with a zero byte".to_owned());
        }
    }
    check_links(elf, section, &mut problem);
}

fn check_links(elf: &Elf<'_>, section: &Section<'_>, problem: &mut impl FnMut(String)) {
    let linked = elf.section(SectionId(section.link));
    let Some(linked) = linked else {
        problem(format!("sh_link {} is no section", section.link));
        return;
    };
    let wanted = match section.sh_type {
        SHT_SYMTAB => Some(SHT_STRTAB),
        SHT_SYMTAB_SHNDX => Some(SHT_SYMTAB),
        _ if section.is_relocations() && elf.header.file_type == ET_REL => Some(SHT_SYMTAB),
        _ => None,
    };
    if wanted.is_some_and(|wanted| wanted != linked.sh_type) {
        problem(format!(
            "sh_link {} is of type {}",
            section.link, linked.sh_type
        ));
    }
    if section.has(SHF_LINK_ORDER) && section.link == 0 {
        problem("SHF_LINK_ORDER without a section to be ordered after".to_owned());
    }
    if section.is_relocations() && elf.header.file_type == ET_REL {
        match elf.section(SectionId(section.info)) {
            Some(target) if section.info != 0 && !target.is_relocations() => {}
            _ => problem(format!("relocates section {}", section.info)),
        }
    }
}

fn check_overlaps(elf: &Elf<'_>, problems: &mut Vec<String>) {
    let header_size = if elf.header.is_64 { 64 } else { 52 };
    let entry_size = if elf.header.is_64 { 64 } else { 40 };
    let mut ranges = vec![(0, header_size, "the ELF header".to_owned())];
    let table = section_table_offset(elf);
    let table_end = table + entry_size * elf.sections.len() as u64;
    ranges.push((table, table_end, "the section headers".to_owned()));
    for section in elf.sections.iter().skip(1) {
        if section.sh_type != SHT_NOBITS && section.size > 0 {
            let end = section.offset.saturating_add(section.size);
            let name = format!("section {} {}", section.id.0, section.name);
            ranges.push((section.offset, end, name));
        }
    }
    ranges.sort();
    let file_end = elf.bytes.len() as u64;
    let (mut covered, mut by) = (0, "");
    for (start, end, name) in &ranges {
        if *start < covered {
            problems.push(format!("{name} at {start:#x} overlaps {by}"));
        }
        if *end > file_end {
            problems.push(format!("{name} ends at {end:#x}, after the file's end"));
        }
        if *end > covered {
            (covered, by) = (*end, name);
        }
    }
}

/// `e_shoff`, which the model does not keep: the ELF header's word at 0x20 (0x28
/// in ELF64).
fn section_table_offset(elf: &Elf<'_>) -> u64 {
    let half = |offset: u64| u64::from(elf.read_u32(elf.bytes, offset).unwrap_or(0));
    match (elf.header.is_64, elf.header.big_endian) {
        (false, _) => half(0x20),
        (true, true) => half(0x28) << 32 | half(0x2c),
        (true, false) => half(0x2c) << 32 | half(0x28),
    }
}

fn check_symbols(elf: &Elf<'_>, problems: &mut Vec<String>) {
    let Some(null) = elf.symbols.first() else {
        return;
    };
    if null.value != 0 || null.size != 0 || !null.name.is_empty() || null.home != Home::Undefined {
        problems.push("symbol 0 is not null".to_owned());
    }
    let mut globals = std::collections::HashSet::new();
    for (index, symbol) in elf.symbols.iter().enumerate().skip(1) {
        let mut problem =
            |text: String| problems.push(format!("symbol {index} {}: {text}", symbol.name));
        if !symbol.is_local() && !symbol.name.is_empty() && !globals.insert(&symbol.name) {
            problem("a second global symbol of this name".to_owned());
        }
        if symbol.kind == STT_FILE && symbol.home != Home::Absolute {
            problem("a file symbol that is not absolute".to_owned());
        }
        match symbol.home {
            Home::Section(id) => match elf.section(id) {
                None => problem(format!("is in section {}, which does not exist", id.0)),
                // One past the end is where end markers are.
                Some(section) if elf.header.file_type == ET_REL && symbol.value > section.size => {
                    problem(format!(
                        "value {:#x} is outside {} of {:#x} bytes",
                        symbol.value, section.name, section.size
                    ));
                }
                Some(_) => {}
            },
            Home::Reserved(number) => problem(format!("is in reserved section {number:#x}")),
            Home::Undefined if symbol.is_local() => problem("local and undefined".to_owned()),
            _ => {}
        }
    }
}

/// What is wrong with the border between local and global symbols, if anything
/// (gABI, "Symbol Table": `sh_info` is one greater than the last local's index).
pub(crate) fn symbol_boundary(elf: &Elf<'_>) -> Option<String> {
    let symtab = elf.section(elf.symtab?)?;
    let locals = elf.symbols.iter().take_while(|s| s.is_local()).count();
    if let Some(late) = elf.symbols.iter().skip(locals).find(|s| s.is_local()) {
        return Some(format!("local symbol {} after a global one", late.name));
    }
    let info = symtab.info as usize;
    (info != locals).then(|| format!(".symtab's sh_info is {info}, local symbols end at {locals}"))
}

fn check_relocations(elf: &Elf<'_>, problems: &mut Vec<String>) {
    if elf.header.file_type != ET_REL {
        return; // offsets are addresses there
    }
    for table in &elf.relocations {
        let Some(target) = elf.section(table.target) else {
            continue; // reported with the section's links
        };
        let name = elf.section_name(table.section);
        for relocation in &table.entries {
            let offset = relocation.offset;
            if elf.symbol(relocation.symbol).is_none() {
                let symbol = relocation.symbol.0;
                problems.push(format!(
                    "{name}: symbol {symbol} at {offset:#x} does not exist"
                ));
            }
            // Types that relocate nothing (NONE is 0 in every psABI) may lie at the end.
            let width = match relocation.r_type {
                0 => 0,
                r_type => field_width(elf.header.machine, r_type).min(1),
            };
            let end = offset.checked_add(width as u64);
            if end.is_none_or(|end| end > target.size) {
                let size = target.size;
                problems.push(format!(
                    "{name}: {offset:#x} is outside {} of {size:#x} bytes",
                    target.name
                ));
            }
        }
    }
}

fn check_groups(elf: &Elf<'_>, problems: &mut Vec<String>) {
    let mut grouped = std::collections::HashSet::new();
    for group in &elf.groups {
        let name = elf.section_name(group.section);
        if elf.symbol(group.signature).is_none() {
            problems.push(format!("group {name}: its signature does not exist"));
        }
        for &member in &group.members {
            match elf.section(member) {
                Some(section) if section.has(SHF_GROUP) => {}
                Some(section) => {
                    problems.push(format!("group {name}: {} has no SHF_GROUP", section.name));
                }
                None => problems.push(format!("group {name}: no section {}", member.0)),
            }
            if !grouped.insert(member) {
                problems.push(format!("group {name}: {} is in two groups", member.0));
            }
        }
    }
    for section in elf.sections.iter().filter(|s| s.has(SHF_GROUP)) {
        if !grouped.contains(&section.id) {
            problems.push(format!("section {} is in no group", section.name));
        }
    }
}
