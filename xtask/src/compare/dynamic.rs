//! What a program's loader reads: dynamic tags, symbols with their versions, relocations,
//! hash tables.
//!
//! Strings and symbols may be numbered in any way, so tags are compared by what they refer
//! to and symbols as a multiset. A hash table means that every symbol is found through it:
//! that is checked of each file alone, by looking each one up as a loader does.

use std::collections::BTreeMap;

use super::elf::{
    Elf, Home, SHT_DYNAMIC, SHT_GNU_HASH, SHT_GNU_VERDEF, SHT_GNU_VERNEED, SHT_GNU_VERSYM,
    SHT_HASH, Section, SectionId, Symbol,
};
use super::pair::{Identities, Pairing};
use super::report::{Difference, Kind};

/// Compares everything dynamic of two files.
pub(super) fn compare(a: &Elf<'_>, b: &Elf<'_>, pairing: &Pairing, found: &mut Vec<Difference>) {
    let lists: [fn(&Elf<'_>, &Identities) -> Vec<String>; 4] =
        [tags, symbols, relocations, versions];
    for list in lists {
        compare_lists(list(a, &pairing.a), list(b, &pairing.b), found);
    }
    for (elf, name) in [(a, "A"), (b, "B")] {
        for problem in hash_problems(elf) {
            let what = format!("hash table of {name}");
            found.push(Difference::new(Kind::Invalid, what, "", problem));
        }
    }
}

/// Reports what only one of two multisets has. The texts are made to be equal where the
/// meaning is.
fn compare_lists(a: Vec<String>, b: Vec<String>, found: &mut Vec<Difference>) {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    for text in a {
        *counts.entry(text).or_default() += 1;
    }
    for text in b {
        *counts.entry(text).or_default() -= 1;
    }
    for (text, count) in counts {
        let (of_a, of_b) = match count {
            0 => continue,
            1.. => ("there", "not there"),
            _ => ("not there", "there"),
        };
        found.push(Difference::new(Kind::Dynamic, text, of_a, of_b));
    }
}

fn section_of_type<'e, 'a>(elf: &'e Elf<'a>, sh_type: u32) -> Option<&'e Section<'a>> {
    elf.sections.iter().find(|s| s.sh_type == sh_type)
}

/// An address as a place in a section, so that it stays the same where the section moves.
fn address(elf: &Elf<'_>, identities: &Identities, value: u64) -> String {
    let holds = |s: &&Section<'_>| {
        s.has(super::elf::SHF_ALLOC) && s.addr <= value && value - s.addr < s.size.max(1)
    };
    match elf.sections.iter().find(holds) {
        Some(section) => {
            let identity = identities.section(section.id);
            format!("{}+{:#x} {identity:?}", section.name, value - section.addr)
        }
        None => format!("{value:#x}"),
    }
}

/// The tags up to the first `DT_NULL`, with what they refer to.
fn tags(elf: &Elf<'_>, identities: &Identities) -> Vec<String> {
    let Some(section) = section_of_type(elf, SHT_DYNAMIC) else {
        return Vec::new();
    };
    let word: u64 = if elf.header.is_64 { 8 } else { 4 };
    let entry = |n: u64| {
        let tag = elf.read_word(section.data, 2 * n * word)?;
        Some((tag, elf.read_word(section.data, (2 * n + 1) * word)?))
    };
    let entries = (0..).map_while(entry).take_while(|&(tag, _)| tag != 0);
    let meaning = |(tag, value): (u64, u64)| {
        let meaning = match tag {
            // NEEDED, SONAME, RPATH, RUNPATH, AUXILIARY, FILTER
            1 | 14 | 15 | 29 | 0x7fff_fffd | 0x7fff_ffff => elf
                .string(SectionId(section.link), value)
                .unwrap_or_else(|| format!("string {value:#x}")),
            // PLTGOT to RELA, INIT, FINI, REL, JMPREL, INIT_ARRAY, FINI_ARRAY, PREINIT_ARRAY,
            // and the range that is reserved for addresses (DT_ADDRRNGLO), VERSYM to VERNEED
            3..=7 | 12 | 13 | 17 | 23 | 25 | 26 | 32 => address(elf, identities, value),
            0x6fff_fe00..=0x6fff_feff | 0x6fff_fff0 | 0x6fff_fffc | 0x6fff_fffe => {
                address(elf, identities, value)
            }
            _ => format!("{value:#x}"),
        };
        format!("dynamic tag {tag:#x}: {meaning}")
    };
    entries.map(meaning).collect()
}

/// Dynamic symbols with their versions.
fn symbols(elf: &Elf<'_>, identities: &Identities) -> Vec<String> {
    let numbers = section_of_type(elf, SHT_GNU_VERSYM);
    let names = version_names(elf);
    let describe = |(index, symbol): (u64, &Symbol)| {
        let number = numbers.and_then(|s| elf.read_u16(s.data, 2 * index));
        let version = number.map_or_else(String::new, |number| {
            const HIDDEN: u16 = 0x8000;
            let (hidden, number) = (number & HIDDEN != 0, number & !HIDDEN);
            let name = names.get(&number).cloned();
            let name = name.unwrap_or_else(|| format!("version {number}"));
            format!("{}{name}", if hidden { "@" } else { "@@" })
        });
        let place = match symbol.home {
            Home::Section(id) => format!("{:?}", identities.section(id)),
            home => format!("{home:?}"),
        };
        let text = super::symbols::describe(elf, symbol);
        format!("dynamic symbol {}{version}: {text} {place}", symbol.name)
    };
    (0..)
        .zip(&elf.dynamic_symbols)
        .skip(1)
        .map(describe)
        .collect()
}

/// Dynamic relocations: addends of `SHT_REL` are in the fields and compared there.
fn relocations(elf: &Elf<'_>, identities: &Identities) -> Vec<String> {
    let tables = elf.relocations.iter().filter(|table| table.is_dynamic);
    let describe = |relocation: &super::elf::Relocation| {
        let symbol = elf.dynamic_symbols.get(relocation.symbol.0 as usize);
        let name = symbol.map_or("no such symbol", |symbol| &symbol.name);
        let place = address(elf, identities, relocation.offset);
        let (r_type, addend) = (relocation.r_type, relocation.addend);
        format!("dynamic relocation at {place}: type {r_type}, symbol {name:?}, addend {addend:x?}")
    };
    tables
        .flat_map(|table| &table.entries)
        .map(describe)
        .collect()
}

/// One `Elfxx_Verdef` or `Elfxx_Verneed` with its auxiliary entries. The layouts are the same
/// in both classes (Solaris' Linker and Libraries Guide, "Versioning Sections").
struct VersionEntry {
    flags: u16,
    /// The definition's own number, or 0 in a need.
    number: u16,
    /// The file that is needed, or nothing.
    file: String,
    /// Name, flags and number of each auxiliary entry; a definition's have only names.
    names: Vec<(String, u16, u16)>,
}

/// Entries of a section in a chain, read with these offsets of its members.
fn version_entries(elf: &Elf<'_>, sh_type: u32) -> Vec<VersionEntry> {
    let Some(section) = section_of_type(elf, sh_type) else {
        return Vec::new();
    };
    let is_definition = sh_type == SHT_GNU_VERDEF;
    let half = |at: u64| elf.read_u16(section.data, at);
    let long = |at: u64| elf.read_u32(section.data, at).map(u64::from);
    let string = |at: u64| elf.string(SectionId(section.link), at);
    let entry = |at: u64| {
        let (count, file, first, next) = match is_definition {
            true => (half(at + 6)?, String::new(), long(at + 12)?, long(at + 16)?),
            false => {
                let file = string(long(at + 4)?)?;
                (half(at + 2)?, file, long(at + 8)?, long(at + 12)?)
            }
        };
        let mut names = Vec::new();
        let mut auxiliary = at + first;
        for _ in 0..count {
            let (name, flags, number, next) = match is_definition {
                true => (long(auxiliary)?, 0, 0, long(auxiliary + 4)?),
                false => (
                    long(auxiliary + 8)?,
                    half(auxiliary + 4)?,
                    half(auxiliary + 6)?,
                    long(auxiliary + 12)?,
                ),
            };
            names.push((string(name)?, flags, number));
            auxiliary += next;
        }
        let (flags, number) = match is_definition {
            true => (half(at + 2)?, half(at + 4)?),
            false => (0, 0),
        };
        let entry = VersionEntry {
            flags,
            number,
            file,
            names,
        };
        Some((entry, next))
    };
    let mut entries = Vec::new();
    let mut at = 0;
    // `sh_info` counts the entries.
    for _ in 0..section.info {
        let Some((read, next)) = entry(at) else {
            break;
        };
        entries.push(read);
        if next == 0 {
            break;
        }
        at += next;
    }
    entries
}

/// Version definitions and needs, without their numbers, which only symbols refer to.
fn versions(elf: &Elf<'_>, _: &Identities) -> Vec<String> {
    let mut texts = Vec::new();
    for (what, sh_type) in [("defined", SHT_GNU_VERDEF), ("needed", SHT_GNU_VERNEED)] {
        for entry in version_entries(elf, sh_type) {
            let VersionEntry { flags, file, .. } = &entry;
            let names: Vec<_> = entry
                .names
                .iter()
                .map(|(name, flags, _)| (name, flags))
                .collect();
            texts.push(format!(
                "version {what}: flags {flags:#x}, {file:?} {names:?}"
            ));
        }
    }
    texts
}

/// The names of version numbers. A definition's first name is its own.
fn version_names(elf: &Elf<'_>) -> BTreeMap<u16, String> {
    let mut names = BTreeMap::new();
    for entry in version_entries(elf, SHT_GNU_VERDEF) {
        if let Some((name, ..)) = entry.names.into_iter().next() {
            names.insert(entry.number, name);
        }
    }
    for entry in version_entries(elf, SHT_GNU_VERNEED) {
        for (name, _, number) in entry.names {
            names.insert(number, format!("{name} of {}", entry.file));
        }
    }
    names
}

/// Whether a hash table's bytes lead to the symbol of this index and name.
type Lookup = fn(&Elf<'_>, &[u8], u32, &str) -> Option<bool>;

/// What is not found through the file's hash tables, of what must be.
fn hash_problems(elf: &Elf<'_>) -> Vec<String> {
    let mut problems = Vec::new();
    let named = (0..).zip(&elf.dynamic_symbols).skip(1);
    let symbols: Vec<(u32, &Symbol)> = named.filter(|(_, s)| !s.is_local()).collect();
    for section in &elf.sections {
        let (name, finds): (_, Lookup) = match section.sh_type {
            SHT_HASH => ("hash", sysv_finds),
            SHT_GNU_HASH => ("GNU hash", gnu_finds),
            _ => continue,
        };
        for &(index, symbol) in &symbols {
            // The GNU table has no undefined symbols.
            if section.sh_type == SHT_GNU_HASH && symbol.home == Home::Undefined {
                continue;
            }
            if finds(elf, section.data, index, &symbol.name) != Some(true) {
                problems.push(format!(
                    "{} is not found through the {name} table",
                    symbol.name
                ));
            }
        }
    }
    problems
}

/// Whether the chain of `name`'s bucket has the symbol (gABI, "Hash Table").
fn sysv_finds(elf: &Elf<'_>, data: &[u8], symbol: u32, name: &str) -> Option<bool> {
    let word = |n: u32| elf.read_u32(data, 4 * u64::from(n));
    let (buckets, chains) = (word(0)?, word(1)?);
    let hash = name.bytes().fold(0u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(byte.into());
        let top = hash & 0xf000_0000;
        (hash ^ top >> 24) & !top
    });
    let mut at = word(2 + hash.checked_rem(buckets)?)?;
    for _ in 0..chains {
        match at {
            0 => return Some(false),
            _ if at == symbol => return Some(true),
            _ => at = word(2u32.checked_add(buckets)?.checked_add(at)?)?,
        }
    }
    Some(false)
}

/// Whether filter, bucket and chain have the symbol (the GNU hash section as glibc's
/// `do_lookup_x` reads it).
fn gnu_finds(elf: &Elf<'_>, data: &[u8], symbol: u32, name: &str) -> Option<bool> {
    let word = |at: u64| elf.read_u32(data, at);
    let (buckets, first, filters, shift) = (word(0)?, word(4)?, word(8)?, word(12)?);
    let hash = name.bytes().fold(5381u32, |hash, byte| {
        hash.wrapping_mul(33).wrapping_add(byte.into())
    });
    let bytes: u32 = if elf.header.is_64 { 8 } else { 4 };
    let bits = 8 * bytes;
    let filter_at = 16 + u64::from((hash / bits).checked_rem(filters)?) * u64::from(bytes);
    let filter = elf.read_word(data, filter_at)?;
    let second = hash.checked_shr(shift)?;
    if filter >> (hash % bits) & 1 == 0 || filter >> (second % bits) & 1 == 0 {
        return Some(false);
    }
    let buckets_at = 16 + u64::from(filters) * u64::from(bytes);
    let chains_at = buckets_at + 4 * u64::from(buckets);
    let mut at = word(buckets_at + 4 * u64::from(hash.checked_rem(buckets)?))?;
    while at >= first && at != 0 {
        let entry = word(chains_at + 4 * u64::from(at - first))?;
        if at == symbol {
            return Some(entry | 1 == hash | 1);
        }
        if entry & 1 == 1 {
            break;
        }
        at += 1;
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::super::{Kind, Options, compare};

    const SOURCE: &str = "\t.text\n\t.globl one, two, three\n\t.type one,@function\n\
        one: ret\ntwo: ret\nthree: ret\n\t.weak other\n\t.data\n\t.quad other, one\n";
    const VERSIONS: &str = "V1 { global: one; two; local: *; };\nV2 { global: three; } V1;\n";

    fn run(folder: &Path, program: &str, args: &[&str]) -> bool {
        let done = Command::new(program)
            .args(args)
            .current_dir(folder)
            .status();
        done.is_ok_and(|status| {
            assert!(status.success(), "{program} {args:?}");
            true
        })
    }

    /// A shared object by GNU ld, with these options more.
    fn shared(folder: &Path, more: &[&str]) -> Vec<u8> {
        let fixed = [
            "-m",
            "elf_x86_64",
            "-shared",
            "--hash-style=both",
            "--version-script=v",
            "-o",
            "out.so",
            "a.o",
        ];
        assert!(run(folder, "ld", &[&fixed[..], more].concat()));
        std::fs::read(folder.join("out.so")).expect("a shared object")
    }

    fn kinds(a: &[u8], b: &[u8]) -> Vec<Kind> {
        let report = compare(a, b, &Options::default()).expect("readable");
        report.counts().into_keys().collect()
    }

    #[test]
    fn what_gnu_ld_makes_is_understood() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        std::fs::write(folder.join("a.s"), SOURCE).expect("written");
        std::fs::write(folder.join("v"), VERSIONS).expect("written");
        if !cfg!(target_arch = "x86_64") || !run(folder, "as", &["-o", "a.o", "a.s"]) {
            eprintln!("SKIPPED: no x86-64 assembler (cargo xtask tools binutils)");
            assert!(std::env::var_os("KLINK_REQUIRE_TOOLS").is_none());
            return;
        }
        let one = shared(folder, &["-soname", "lib.so.1"]);
        assert_eq!(kinds(&one, &one), []);
        // Hash tables and versions are found to be right, so a test can spoil them.
        assert_eq!(
            super::hash_problems(&super::Elf::parse(&one).expect("readable")),
            [""; 0]
        );
        let two = shared(folder, &["-soname", "lib.so.2"]);
        assert_eq!(kinds(&one, &two), [Kind::Dynamic]);
        std::fs::write(folder.join("v"), VERSIONS.replace("V1", "W1")).expect("written");
        let renamed = shared(folder, &["-soname", "lib.so.1"]);
        assert!(kinds(&one, &renamed).contains(&Kind::Dynamic));
        let elf = super::Elf::parse(&one).expect("readable");
        for sh_type in [super::SHT_HASH, super::SHT_GNU_HASH] {
            let section = super::section_of_type(&elf, sh_type).expect("a table");
            let mut spoiled = one.clone();
            // The last chain entry of either table.
            let last = (section.offset + section.size) as usize;
            for byte in &mut spoiled[last - 8..last] {
                *byte ^= 0x5a;
            }
            assert!(
                kinds(&one, &spoiled).contains(&Kind::Invalid),
                "{sh_type:#x}"
            );
        }
    }
}
