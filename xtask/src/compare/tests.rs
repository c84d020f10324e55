//! Every kind of difference is found, and nothing is found where meaning is equal.

use clap::ValueEnum as _;

use super::check::check;
use super::elf::{SHT_DYNAMIC, SHT_GROUP, SHT_NOTE, STT_FILE, STT_SECTION};
use super::testing::{SectionSpec, Spec, symbol};
use super::{Kind, Options, compare};

const GLOBAL: u8 = 1;
const FUNC: u8 = 2;
const SHN_ABS: u16 = 0xfff1;
/// Indices of [`base`]'s symbols.
const LOCAL: usize = 1;
const SECTION_OF_TEXT: usize = 2;
const MAIN: usize = 3;

fn group(signature: u32, members: &[u32]) -> SectionSpec {
    let words: Vec<_> = [1].iter().chain(members).copied().collect();
    SectionSpec {
        sh_type: SHT_GROUP,
        entsize: 4,
        info: signature,
        ..SectionSpec::words(".group", 0, &words)
    }
}

/// Two sections of one name, a group, relocations in both forms, a build-id.
fn base() -> Spec {
    let mut text = SectionSpec::words(".text", 0x206, &[0xe840_0000, 0, 0, 0]);
    text.relocations = vec![(0, 4, 12, 0), (4, 3, 1, 8), (8, 2, 1, 4)];
    let note = [4, 20, 3, 0x474e_5500, 1, 2, 3, 4, 5];
    Spec {
        is_64: false,
        big_endian: true,
        rela: true,
        machine: 15,
        flags: 0x210,
        sections: vec![
            group(4, &[2]),
            text,
            SectionSpec::words(".text", 6, &[7, 8, 9]),
            SectionSpec::words(".data", 3, &[1, 2, 3, 4]),
            SectionSpec {
                sh_type: SHT_NOTE,
                ..SectionSpec::words(".note.gnu.build-id", 2, &note)
            },
            SectionSpec {
                sh_type: SHT_DYNAMIC,
                ..SectionSpec::words(".dynamic", 3, &[30, 2, 0, 0])
            },
        ],
        symbols: vec![
            symbol("file.c", 0, STT_FILE, SHN_ABS, 0),
            symbol("local", 0, FUNC, 2, 4),
            symbol("", 0, STT_SECTION, 2, 0),
            symbol("main", GLOBAL, FUNC, 2, 0),
            symbol("printk", GLOBAL, 0, 0, 0),
        ],
        segment: None,
        wrong_boundary: 0,
    }
}

/// The kinds found between [`base`] and what `change` makes of it.
fn kinds(change: impl Fn(&mut Spec)) -> Vec<Kind> {
    let mut changed = base();
    change(&mut changed);
    kinds_between(&base(), &changed)
}

fn kinds_between(a: &Spec, b: &Spec) -> Vec<Kind> {
    let report = compare(&a.write(), &b.write(), &Options::default()).expect("readable");
    let counts = report.counts();
    let expected: usize = counts.values().sum();
    assert_eq!(expected, report.differences.len());
    counts.into_keys().collect()
}

#[test]
fn equal_files_of_every_class_order_and_form() {
    for (is_64, big_endian, rela) in [
        (false, true, true),
        (false, false, false),
        (true, false, true),
        (true, true, false),
    ] {
        let spec = Spec {
            is_64,
            big_endian,
            rela,
            ..base()
        };
        assert_eq!(kinds_between(&spec, &spec), []);
        let mut other = spec.clone();
        other.sections[3].data[5] ^= 1;
        assert_eq!(kinds_between(&spec, &other), [Kind::Bytes]);
        let report = compare(&spec.write(), &spec.write(), &Options::default());
        let compared = report.expect("readable").compared;
        assert_eq!((compared.symbols, compared.relocations), (5, 3));
    }
}

/// One change for each kind, and all kinds that it shows as.
type Change = (&'static [Kind], fn(&mut Spec));

const CHANGES: &[Change] = &[
    (&[Kind::Header], |s| s.flags = 0x20b),
    (&[Kind::Segment], |s| s.segment = Some(1)),
    (&[Kind::SectionMissing], |s| {
        s.sections.remove(4);
    }),
    (&[Kind::SectionExtra], |s| {
        s.sections.push(SectionSpec::words(".new", 2, &[1]));
    }),
    (&[Kind::SectionHeader], |s| s.sections[3].align = 8),
    (&[Kind::SectionHeader], |s| s.sections[3].flags = 2),
    (&[Kind::SectionHeader], |s| s.sections[3].sh_type = 14),
    (&[Kind::SectionHeader], |s| s.sections[3].entsize = 4),
    (&[Kind::Address], |s| s.sections[3].addr = 8),
    (&[Kind::SectionHeader], |s| s.sections[3].link = 2),
    (&[Kind::SectionHeader], |s| s.sections[3].info = 2),
    (&[Kind::SectionSize], |s| s.sections[3].data.extend([0; 4])),
    (&[Kind::Bytes], |s| s.sections[2].data[0] = 1),
    (&[Kind::Bytes], |s| s.sections[4].data[15] = 1),
    (&[Kind::Group], |s| s.sections[0].info = 5),
    (&[Kind::Group], |s| s.sections[0].data[3] = 0),
    (&[Kind::Group], |s| s.sections[0].data[7] = 3),
    (&[Kind::SymbolMissing, Kind::RelocationTarget], |s| {
        s.symbols.pop();
        s.symbols.push(symbol("main", GLOBAL, FUNC, 2, 0));
        s.symbols[4] = s.symbols[3].clone();
        s.sections[1].relocations[0].1 = 4;
        s.symbols.pop();
        s.sections[1].relocations[0].1 = 3;
    }),
    (&[Kind::SymbolExtra], |s| {
        s.symbols.push(symbol("more", GLOBAL, FUNC, 2, 0));
    }),
    (&[Kind::Symbol, Kind::RelocationTarget], |s| {
        s.symbols[MAIN].value = 8;
    }),
    (&[Kind::Symbol], |s| s.symbols[LOCAL].size = 8),
    (&[Kind::Symbol], |s| s.symbols[LOCAL].other = 2),
    (&[Kind::Symbol], |s| s.symbols[LOCAL].kind = 1),
    (&[Kind::Symbol, Kind::RelocationTarget], |s| {
        s.symbols[MAIN].section = 3;
    }),
    (&[Kind::SectionSymbol], |s| {
        s.symbols.insert(3, symbol("", 0, STT_SECTION, 4, 0));
        s.sections[0].info += 1;
        for relocation in &mut s.sections[1].relocations[..1] {
            relocation.1 += 1;
        }
        s.sections[1].relocations[1].1 = 3;
    }),
    (&[Kind::FileSymbol], |s| s.symbols[0].name = "other.c"),
    (&[Kind::RelocationMissing], |s| {
        s.sections[1].relocations.pop();
    }),
    (&[Kind::RelocationExtra], |s| {
        s.sections[1].relocations.push((12, 4, 1, 0));
    }),
    (&[Kind::RelocationMissing, Kind::RelocationExtra], |s| {
        s.sections[1].relocations[2].0 = 12;
    }),
    (&[Kind::RelocationType], |s| {
        s.sections[1].relocations[0].2 = 74
    }),
    (&[Kind::RelocationTarget], |s| {
        s.sections[1].relocations[0].1 = 5
    }),
    (&[Kind::RelocationAddend], |s| {
        s.sections[1].relocations[0].3 = 4
    }),
    // The section symbol and 8 is where `local` and 4 is.
    (&[Kind::Form], |s| {
        s.sections[1].relocations[1] = (4, 2, 1, 4)
    }),
    (&[Kind::Order], |s| s.sections[1].relocations.swap(0, 2)),
    (&[Kind::Invalid], |s| s.wrong_boundary = 1),
    // DT_FLAGS: DF_SYMBOLIC
    (&[Kind::Dynamic], |s| s.sections[5].data[7] ^= 2),
];

#[test]
fn each_kind_of_difference_is_found() {
    for (number, (expected, change)) in CHANGES.iter().enumerate() {
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(kinds(change), expected, "change {number}");
    }
    let covered = |kind: &Kind| CHANGES.iter().any(|(kinds, _)| kinds.contains(kind));
    assert!(Kind::value_variants().iter().all(covered));
}

#[test]
fn a_build_id_may_differ_but_not_in_length() {
    assert_eq!(kinds(|s| s.sections[4].data[20] ^= 1), []);
    let longer = kinds(|s| s.sections[4].data.extend([0; 4]));
    assert_eq!(longer, [Kind::SectionSize]);
}

#[test]
fn sections_in_another_order_are_only_that() {
    let mut changed = base();
    changed.sections.swap(3, 4);
    assert_eq!(kinds_between(&base(), &changed), [Kind::Order]);
    let options = Options {
        ignore: [Kind::Order].into(),
    };
    let report = compare(&base().write(), &changed.write(), &options);
    assert!(report.expect("readable").is_equal());
}

#[test]
fn symbol_order_means_nothing() {
    let mut changed = base();
    changed.symbols.swap(1, 2);
    changed.symbols.swap(3, 4);
    changed.sections[0].info = 5;
    for (relocation, symbol) in changed.sections[1].relocations.iter_mut().zip([5, 2, 3]) {
        relocation.1 = symbol;
    }
    assert_eq!(kinds_between(&base(), &changed), []);
}

#[test]
fn one_missing_section_of_many_alike_is_one_difference() {
    let many = |skip: u32| {
        let mut spec = base();
        let numbers = (0..9).filter(|&n| n != skip);
        let sections = numbers.map(|n| SectionSpec::words(".many", 2, &[n]));
        spec.sections.extend(sections);
        spec
    };
    let report = compare(&many(99).write(), &many(3).write(), &Options::default());
    let report = report.expect("readable");
    assert_eq!(report.differences.len(), 1);
    assert_eq!(report.differences[0].section.as_deref(), Some(".many[3]"));
}

#[test]
fn implicit_addends_are_compared_as_addends() {
    let rel = |field: u32| {
        let mut spec = base();
        (spec.rela, spec.machine, spec.big_endian) = (false, 3, false);
        spec.sections[1].relocations = vec![(4, 3, 1, 0)];
        spec.sections[1].data[4..8].copy_from_slice(&field.to_le_bytes());
        spec
    };
    assert_eq!(kinds_between(&rel(8), &rel(12)), [Kind::RelocationAddend]);
    let mut by_symbol = rel(4);
    by_symbol.sections[1].relocations[0].1 = 2;
    assert_eq!(kinds_between(&rel(8), &by_symbol), [Kind::Form]);
}

#[test]
fn differences_name_their_place() {
    let mut changed = base();
    changed.sections[1].data[13] = 0xff;
    let report = compare(&base().write(), &changed.write(), &Options::default());
    let report = report.expect("readable");
    let difference = &report.differences[0];
    assert_eq!(difference.section.as_deref(), Some(".text[0]"));
    assert_eq!(
        (difference.offset, difference.at.as_deref()),
        (Some(13), Some("local+0x9"))
    );
    let text = report.render(10).expect("text");
    assert!(text.contains("bytes: .text[0]+0xd (local+0x9): 1 bytes from here differ"));
    assert!(text.contains("B: 0xc: 00 ff 00 00"));
}

#[test]
fn a_sound_file_passes_the_check() {
    assert_eq!(check(&base().write()), Vec::<String>::new());
}

#[test]
fn the_check_finds_what_is_malformed() {
    let found = |change: fn(&mut Spec)| {
        let mut spec = base();
        change(&mut spec);
        check(&spec.write()).join("\n")
    };
    assert!(found(|s| s.wrong_boundary = 1).contains("sh_info is 5, local symbols end at 4"));
    assert!(found(|s| s.symbols.swap(2, 3)).contains("local symbol  after a global one"));
    assert!(found(|s| s.sections[3].align = 3).contains("no power of two"));
    assert!(found(|s| s.sections[3].link = 99).contains("sh_link 99 is no section"));
    assert!(found(|s| s.sections[3].flags |= 0x80).contains("SHF_LINK_ORDER without"));
    assert!(found(|s| s.sections[3].flags |= 0x200).contains("in no group"));
    assert!(found(|s| s.sections[0].data[7] = 3).contains("has no SHF_GROUP"));
    assert!(found(|s| s.sections[1].relocations[0].1 = 99).contains("symbol 99 at 0x0 does not"));
    assert!(found(|s| s.sections[1].relocations[0].0 = 16).contains("is outside .text"));
    assert!(found(|s| s.symbols[LOCAL].value = 17).contains("value 0x11 is outside .text"));
    assert!(found(|s| s.symbols[LOCAL].section = 99).contains("section 99, which does not"));
    assert!(found(|s| s.symbols[LOCAL].section = 0).contains("local and undefined"));
    assert!(found(|s| s.symbols[0].section = 2).contains("a file symbol that is not"));
    assert!(found(|s| s.symbols[4].name = "main").contains("a second global symbol"));
    assert!(found(|s| s.symbols[SECTION_OF_TEXT].section = 0xff20).contains("reserved"));
    assert!(found(|s| s.sections[3].addr = 8).contains("address 0x8 in a relocatable file"));
    assert!(found(|s| s.sections[3].entsize = 3).contains("no multiple of the entry size"));
}

#[test]
fn the_check_finds_overlap_and_misalignment() {
    let mut bytes = base().write();
    let table = u32::from_be_bytes(bytes[0x20..0x24].try_into().expect("four")) as usize;
    // sh_offset of section 4 becomes that of section 3, then an odd one.
    let header = |n: usize| table + 40 * n + 16;
    let other: [u8; 4] = bytes[header(3)..header(3) + 4].try_into().expect("four");
    bytes[header(4)..header(4) + 4].copy_from_slice(&other);
    assert!(check(&bytes).join("\n").contains("overlaps"));
    bytes[header(4) + 3] += 1;
    assert!(check(&bytes).join("\n").contains("is not aligned to 4"));
}

#[test]
fn damaged_files_are_errors_and_no_panics() {
    let good = base().write();
    assert!(compare(&good, &good[..good.len() - 1], &Options::default()).is_err());
    assert!(compare(b"", &good, &Options::default()).is_err());
    for at in 0..good.len() {
        for bit in [1, 0x80] {
            let mut bad = good.clone();
            bad[at] ^= bit;
            let _any = compare(&good, &bad, &Options::default()).map(|r| r.render(3));
            let _any = check(&bad);
            let _any = super::prove::prove(&good, &bad);
            let _any = super::prove::prove(&bad, &good);
        }
    }
}
