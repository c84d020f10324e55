//! What an `expect:` line of a case can say of an output.
//!
//! ```text
//! sections .text .data .bss             all sections, in order, but for symbols, strings, relocations
//! section .text size 8 align 4 flags AX type NOBITS entsize 1 bytes 00 01 02
//! section .text relocations 3           so many relocations
//! section .text addr 0x1000 lma 0x400  where it runs, and where it is loaded (by its segment)
//! section .text count 2                 so many sections of that name
//! section .text link .data              `sh_link`
//! section .text#1 …                     the second of that name
//! no section .text
//! symbol f global func hidden in .text at 0x4 size 8
//! symbol f undefined | absolute | common
//! no symbol f
//! relocation .text+0x4 R_PARISC_DIR32 f+8
//! group sig .text.f .data.f             a section group, its members in order
//! groups 0                              so many groups
//! type EXEC                             `e_type`: REL, EXEC or DYN
//! entry 0x1000
//! segments LOAD NOTE                    all program headers, in order
//! segment 0 type LOAD flags R-X addr 0x1000 lma 0x400 filesz 8 memsz 12 align 0x1000
//! segment 0 holds .text .data           the sections in it
//! file size 4                           of the whole output, ELF or not; also `file bytes 00 01`
//! ```

use klink_arch::Arch;

use crate::image::{Image, Section, Segment, Symbol};

const SECTION_TYPES: [(u32, &str); 13] = [
    (1, "PROGBITS"),
    (2, "SYMTAB"),
    (3, "STRTAB"),
    (4, "RELA"),
    (5, "HASH"),
    (6, "DYNAMIC"),
    (7, "NOTE"),
    (8, "NOBITS"),
    (9, "REL"),
    (11, "DYNSYM"),
    (14, "INIT_ARRAY"),
    (15, "FINI_ARRAY"),
    (17, "GROUP"),
];
const SEGMENT_TYPES: [(u32, &str); 9] = [
    (1, "LOAD"),
    (2, "DYNAMIC"),
    (3, "INTERP"),
    (4, "NOTE"),
    (6, "PHDR"),
    (7, "TLS"),
    (0x6474_e550, "GNU_EH_FRAME"),
    (0x6474_e551, "GNU_STACK"),
    (0x6474_e552, "GNU_RELRO"),
];
/// `e_type` values.
const FILE_TYPES: [&str; 4] = ["NONE", "REL", "EXEC", "DYN"];
/// Letters of `readelf -S`.
const SECTION_FLAGS: [(u64, char); 10] = [
    (1, 'W'),
    (2, 'A'),
    (4, 'X'),
    (0x10, 'M'),
    (0x20, 'S'),
    (0x40, 'I'),
    (0x80, 'L'),
    (0x200, 'G'),
    (0x400, 'T'),
    (0x20_0000, 'R'),
];
pub(crate) const BINDINGS: [&str; 3] = ["local", "global", "weak"];
pub(crate) const SYMBOL_TYPES: [&str; 7] = [
    "notype",
    "object",
    "func",
    "section",
    "file",
    "common-type",
    "tls",
];
pub(crate) const VISIBILITIES: [&str; 4] = ["default", "internal", "hidden", "protected"];
const SPECIAL: [(usize, &str); 3] = [(0, "undefined"), (0xfff1, "absolute"), (0xfff2, "common")];

type Verdict = Result<(), String>;

/// Whether `expectation` is true of `image`; if not, what is the case.
pub(crate) fn check(image: &Image, arch: &Arch, expectation: &str) -> Verdict {
    let words: Vec<&str> = expectation.split_whitespace().collect();
    match words.as_slice() {
        ["sections", names @ ..] => same(&image.section_names(), &names.to_vec()),
        ["no", "section", name] => same(&sections(image, name).len(), &0),
        ["no", "symbol", name] => same(&symbols(image, name).len(), &0),
        ["groups", count] => same(&image.groups.len(), &(number(count) as usize)),
        ["group", signature, members @ ..] => check_group(image, signature, members),
        ["type", name] => same(&file_type(image), name),
        ["entry", value] => same_number(image.header.entry, value),
        ["segments", names @ ..] => {
            let found: Vec<&str> = image.segments.iter().map(segment_type).collect();
            same(&found, &names.to_vec())
        }
        ["segment", index, facts @ ..] => check_segment(image, number(index) as usize, facts),
        ["section", name, facts @ ..] => check_section(image, name, facts),
        ["symbol", name, facts @ ..] => check_symbol(image, name, facts),
        ["relocation", place, kind, target] => check_relocation(image, arch, place, kind, target),
        _ => panic!("cannot read the expectation"),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(found: &T, wanted: &T) -> Verdict {
    match found == wanted {
        true => Ok(()),
        false => Err(format!("it is {found:?}")),
    }
}

fn same_number(found: u64, wanted: &str) -> Verdict {
    match found == number(wanted) {
        true => Ok(()),
        false => Err(format!("it is {found:#x}")),
    }
}

/// Whether `expectation` is true of a whole file, if it begins with `file`.
pub(crate) fn check_file(bytes: &[u8], expectation: &str) -> Option<Verdict> {
    let mut words = expectation.strip_prefix("file ")?.split_whitespace();
    Some(match words.next() {
        Some("size") => same(&bytes.len(), &(number(words.next().unwrap_or("")) as usize)),
        Some("bytes") => same_bytes(bytes, words),
        _ => panic!("cannot read the expectation"),
    })
}

fn same_bytes<'a>(found: &[u8], wanted: impl Iterator<Item = &'a str>) -> Verdict {
    let wanted: Vec<u8> = wanted
        .map(|byte| number(&format!("0x{byte}")) as u8)
        .collect();
    match found == wanted {
        true => Ok(()),
        false => Err(format!("they are {found:02x?}")),
    }
}

/// A word of `e_type`.
pub(crate) fn file_type(image: &Image) -> &'static str {
    let name = FILE_TYPES.get(usize::from(image.header.kind));
    name.copied().unwrap_or("?")
}

/// A word of `p_type`.
pub(crate) fn segment_type(segment: &Segment) -> &'static str {
    let known = SEGMENT_TYPES.iter().find(|known| known.0 == segment.kind);
    known.map_or("?", |known| known.1)
}

/// A word of `sh_type`.
pub(crate) fn section_type(section: &Section) -> &'static str {
    let known = SECTION_TYPES.iter().find(|known| known.0 == section.kind);
    known.map_or("?", |known| known.1)
}

/// Segment flags as letters.
pub(crate) fn segment_letters(flags: u32) -> String {
    let set = [(4, 'R'), (2, 'W'), (1, 'X')];
    let set = set.iter().filter(|one| flags & one.0 != 0);
    set.map(|one| one.1).collect()
}

fn number(text: &str) -> u64 {
    let value = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    value.unwrap_or_else(|_| panic!("no number: {text}"))
}

fn sections<'a>(image: &'a Image, name: &str) -> Vec<(usize, &'a Section)> {
    let all = image.sections.iter().enumerate();
    all.filter(|(_, section)| section.name == name).collect()
}

fn symbols<'a>(image: &'a Image, name: &str) -> Vec<&'a Symbol> {
    image
        .symbols
        .iter()
        .filter(|symbol| symbol.name == name)
        .collect()
}

/// The section called `NAME` or `NAME#nth`, counted from 0.
fn one_section<'a>(image: &'a Image, name: &str) -> Result<(usize, &'a Section), String> {
    let (name, nth) = match name.split_once('#') {
        Some((name, nth)) => (name, number(nth) as usize),
        None => (name, 0),
    };
    let found = sections(image, name).get(nth).copied();
    found.ok_or_else(|| format!("there are {:?}", image.section_names()))
}

fn check_section(image: &Image, name: &str, facts: &[&str]) -> Verdict {
    let (index, section) = one_section(image, name)?;
    let mut facts = facts.iter();
    while let Some(&fact) = facts.next() {
        if fact == "bytes" {
            return same_bytes(&section.data, facts.copied());
        }
        let value = facts
            .next()
            .unwrap_or_else(|| panic!("{fact} needs a value"));
        match fact {
            "size" => same(&section.size, &number(value)),
            "addr" => same_number(section.address, value),
            "lma" => same_number(image.load_address(section), value),
            "align" => same(&section.align, &number(value)),
            "entsize" => same(&section.entsize, &number(value)),
            "count" => same(&sections(image, name).len(), &(number(value) as usize)),
            "relocations" => same(
                &image.relocations_of(index).len(),
                &(number(value) as usize),
            ),
            "flags" => same(&letters(section.flags), &value.replace('-', "")),
            "type" => same(&section_type(section), value),
            "link" => same(&image.sections[section.link as usize].name.as_str(), value),
            _ => panic!("unknown fact {fact}"),
        }
        .map_err(|why| format!("{fact}: {why}"))?;
    }
    Ok(())
}

fn check_segment(image: &Image, index: usize, facts: &[&str]) -> Verdict {
    let segment = image.segments.get(index);
    let segment = segment.ok_or_else(|| format!("there are {}", image.segments.len()))?;
    let mut facts = facts.iter();
    while let Some(&fact) = facts.next() {
        if fact == "holds" {
            return same(&image.sections_in(segment), &facts.copied().collect());
        }
        let value = facts
            .next()
            .unwrap_or_else(|| panic!("{fact} needs a value"));
        match fact {
            "type" => same(&segment_type(segment), value),
            "flags" => same(&segment_letters(segment.flags), &value.replace('-', "")),
            "addr" => same_number(segment.address, value),
            "lma" => same_number(segment.load_address, value),
            "filesz" => same_number(segment.file_size, value),
            "memsz" => same_number(segment.size, value),
            "align" => same_number(segment.align, value),
            "offset" => same_number(segment.offset, value),
            _ => panic!("unknown fact {fact}"),
        }
        .map_err(|why| format!("{fact}: {why}"))?;
    }
    Ok(())
}

/// Section flags as letters of `readelf -S`.
pub(crate) fn letters(flags: u64) -> String {
    let set = SECTION_FLAGS.iter().filter(|flag| flags & flag.0 != 0);
    set.map(|flag| flag.1).collect()
}

/// The name of the section that a symbol is in, or a word for what it is instead.
pub(crate) fn home<'a>(image: &'a Image, symbol: &Symbol) -> &'a str {
    let special = SPECIAL.iter().find(|one| one.0 == symbol.section);
    match special {
        Some(special) => special.1,
        None => image.sections[symbol.section].name.as_str(),
    }
}

fn check_symbol(image: &Image, name: &str, facts: &[&str]) -> Verdict {
    let found = symbols(image, name);
    let [symbol] = found.as_slice() else {
        return Err(format!("there are {} of that name", found.len()));
    };
    let home = home(image, symbol);
    let mut facts = facts.iter();
    while let Some(&fact) = facts.next() {
        let mut value = || {
            *facts
                .next()
                .unwrap_or_else(|| panic!("{fact} needs a value"))
        };
        if let Some(binding) = BINDINGS.iter().position(|&one| one == fact) {
            same(&usize::from(symbol.binding), &binding)
        } else if let Some(kind) = SYMBOL_TYPES.iter().position(|&one| one == fact) {
            same(&usize::from(symbol.kind), &kind)
        } else if let Some(visibility) = VISIBILITIES.iter().position(|&one| one == fact) {
            same(&usize::from(symbol.visibility), &visibility)
        } else if SPECIAL.iter().any(|one| one.1 == fact) {
            same(&home, &fact)
        } else {
            match fact {
                "in" => same(&home, &value()),
                "at" => same_number(symbol.value, value()),
                "size" => same(&symbol.size, &number(value())),
                _ => panic!("unknown fact {fact}"),
            }
        }
        .map_err(|why| format!("{fact}: {why}"))?;
    }
    Ok(())
}

fn check_group(image: &Image, signature: &str, members: &[&str]) -> Verdict {
    let found = image.groups.iter().find(|group| group.0 == signature);
    let (_, found) = found.ok_or_else(|| format!("there are {:?}", image.groups))?;
    let names: Vec<&str> = found
        .iter()
        .map(|&index| &image.sections[index])
        .filter(|section| !section.is_bookkeeping())
        .map(|section| section.name.as_str())
        .collect();
    same(&names, &members.to_vec())
}

fn check_relocation(image: &Image, arch: &Arch, place: &str, kind: &str, target: &str) -> Verdict {
    let (name, offset) = place.split_once('+').expect("SECTION+OFFSET");
    let (index, _) = one_section(image, name)?;
    let row = arch
        .relocation_by_name(kind)
        .unwrap_or_else(|| panic!("no {kind}"));
    let all = image.relocations_of(index);
    let shown: Vec<String> = all
        .iter()
        .filter(|relocation| relocation.offset == number(offset))
        .map(|relocation| {
            let name = image.symbol_name(relocation.symbol);
            let named = arch.relocation(relocation.kind).map_or("?", |row| row.name);
            match relocation.addend {
                0 => format!("{named} {name}"),
                addend => format!("{named} {name}{addend:+}"),
            }
        })
        .collect();
    match shown.contains(&format!("{} {target}", row.name)) {
        true => Ok(()),
        false => Err(format!("there are {shown:?}")),
    }
}
