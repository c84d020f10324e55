//! What an `expect:` line of a case can say of an output.
//!
//! ```text
//! sections .text .data .bss             all sections, in order, but for symbols, strings, relocations
//! section .text size 8 align 4 flags AX type NOBITS entsize 1 bytes 00 01 02
//! section .text relocations 3           so many relocations
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
//! ```

use klink_arch::Arch;

use crate::image::{Image, Section, Symbol};

const SECTION_TYPES: [(u32, &str); 5] = [
    (1, "PROGBITS"),
    (7, "NOTE"),
    (8, "NOBITS"),
    (14, "INIT_ARRAY"),
    (17, "GROUP"),
];
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
const BINDINGS: [&str; 3] = ["local", "global", "weak"];
const SYMBOL_TYPES: [&str; 7] = [
    "notype",
    "object",
    "func",
    "section",
    "file",
    "common-type",
    "tls",
];
const VISIBILITIES: [&str; 4] = ["default", "internal", "hidden", "protected"];
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
            let wanted: Vec<u8> = facts
                .by_ref()
                .map(|byte| number(&format!("0x{byte}")) as u8)
                .collect();
            return match section.data == wanted {
                true => Ok(()),
                false => Err(format!("they are {:02x?}", section.data)),
            };
        }
        let value = facts
            .next()
            .unwrap_or_else(|| panic!("{fact} needs a value"));
        match fact {
            "size" => same(&section.size, &number(value)),
            "align" => same(&section.align, &number(value)),
            "entsize" => same(&section.entsize, &number(value)),
            "count" => same(&sections(image, name).len(), &(number(value) as usize)),
            "relocations" => same(
                &image.relocations_of(index).len(),
                &(number(value) as usize),
            ),
            "flags" => same(&letters(section.flags), &value.replace('-', "")),
            "type" => {
                let known = SECTION_TYPES.iter().find(|known| known.0 == section.kind);
                same(&known.map_or("?", |known| known.1), value)
            }
            "link" => same(&image.sections[section.link as usize].name.as_str(), value),
            _ => panic!("unknown fact {fact}"),
        }
        .map_err(|why| format!("{fact}: {why}"))?;
    }
    Ok(())
}

fn letters(flags: u64) -> String {
    let set = SECTION_FLAGS.iter().filter(|flag| flags & flag.0 != 0);
    set.map(|flag| flag.1).collect()
}

fn check_symbol(image: &Image, name: &str, facts: &[&str]) -> Verdict {
    let found = symbols(image, name);
    let [symbol] = found.as_slice() else {
        return Err(format!("there are {} of that name", found.len()));
    };
    let special = SPECIAL.iter().find(|one| one.0 == symbol.section);
    let home = match special {
        Some(special) => special.1,
        None => image.sections[symbol.section].name.as_str(),
    };
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
                "at" => same(&symbol.value, &number(value())),
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
