//! Rules that need no linker to check.

use klink_arch::{Addends, Class, Endian};
use klink_script::{Source, VersionScript, parse_version_script};

use super::encode::Form;
use super::hash::{Kind, bucket_count, gnu_hash, sysv_hash};
use super::relocations::{DynamicRelocation, Fate, Target, encode, fate, sort};
use super::strings::Strings;
use super::versions::{VersionError, Versions};
use super::walk::walk_order;

const LITTLE: Form = Form {
    class: Class::Elf64,
    endian: Endian::Little,
};

#[test]
fn hashes_are_those_of_the_specifications() {
    // gABI: the hash is of 28 bits; values from readelf of libraries that define the names.
    assert_eq!(sysv_hash(b""), 0);
    assert_eq!(sysv_hash(b"printf"), 0x0779_05a6);
    assert_eq!(sysv_hash(b"LINUX_2.6"), 0x03ae_75f6);
    assert_eq!(sysv_hash(&[0xff; 40]) >> 28, 0);
    assert_eq!(gnu_hash(b""), 5381);
    assert_eq!(gnu_hash(b"printf"), 0x156b_2bb8);
    assert_eq!(gnu_hash(b"exit"), 0x7c96_7e3f);
}

#[test]
fn bucket_counts_step_with_the_number_of_symbols() {
    let count = |symbols: usize, kind| bucket_count(&vec![7; symbols], kind, symbols + 1, false);
    let steps = [
        (0, 1),
        (2, 1),
        (3, 3),
        (16, 3),
        (17, 17),
        (36, 17),
        (37, 37),
        (32_770, 16_411),
        (32_771, 32_771),
        (100_000, 32_771),
    ];
    for (symbols, buckets) in steps {
        assert_eq!(count(symbols, Kind::Sysv), buckets, "{symbols}");
        assert_eq!(count(symbols, Kind::Gnu), buckets.max(2), "{symbols}");
    }
}

#[test]
fn strings_share_their_ends() {
    let mut strings = Strings::new();
    let names: [&[u8]; 7] = [b"bar", b"foobar", b"", b"r", b"foo", b"foobar", b"xbar"];
    let ids = names.map(|name| strings.add(name));
    let table = strings.lay_out();
    assert_eq!(table.bytes, b"\0foobar\0foo\0xbar\0");
    let read = |at: u32| {
        let rest = &table.bytes[at as usize..];
        rest.split(|&byte| byte == 0).next().unwrap().to_vec()
    };
    assert_eq!(
        ids.map(|id| read(table.offset(id))),
        names.map(<[u8]>::to_vec)
    );
}

#[test]
fn walking_visits_every_name_once() {
    let names: Vec<String> = (0..20_000).map(|at| format!("name{at}")).collect();
    for count in [0, 1, 3038, 3039, 20_000] {
        let mut order = walk_order(names[..count].iter().map(String::as_bytes));
        order.sort_unstable();
        assert!(order.into_iter().eq(0..count));
    }
}

fn script(text: &str) -> VersionScript {
    parse_version_script(&Source::new("test", text)).unwrap()
}

fn versions(text: &str) -> Result<Versions, VersionError> {
    Versions::new([&script(text)])
}

/// What becomes of a symbol: its version entry, and `local` or nothing.
fn assigned(versions: &mut Versions, name: &str) -> (u16, &'static str) {
    let assignment = versions.assign(name.as_bytes()).unwrap();
    (
        assignment.entry,
        if assignment.local { "local" } else { "" },
    )
}

#[test]
fn names_are_stronger_than_wildcards_and_those_than_a_star() {
    let mut all = versions(
        "V1 { global: *; exact; pre*; local: gone; bot*; };
         V2 { global: p*; both; local: pre_local; b*; };",
    )
    .unwrap();
    // An exact name ends the search, be it global or local.
    assert_eq!(assigned(&mut all, "exact"), (2, ""));
    assert_eq!(assigned(&mut all, "gone"), (2, "local"));
    assert_eq!(assigned(&mut all, "both"), (3, ""));
    // An exact local name takes away what wildcards before it gave.
    assert_eq!(assigned(&mut all, "pre_local"), (3, "local"));
    // Of wildcards the last node's wins, and a global one is stronger than a local one.
    assert_eq!(assigned(&mut all, "prefix"), (3, ""));
    assert_eq!(assigned(&mut all, "bottom"), (3, "local"));
    // `*` comes last.
    assert_eq!(assigned(&mut all, "other"), (2, ""));
    let mut all = versions("V1 { global: a*; local: *; }; V2 { local: ab*; };").unwrap();
    assert_eq!(assigned(&mut all, "abc"), (2, ""));
    assert_eq!(assigned(&mut all, "b"), (2, "local"));
}

#[test]
fn quoted_wildcards_are_names() {
    let mut all = versions("V1 { \"a*\"; b\\*; c\\*d*; local: *; };").unwrap();
    assert_eq!(assigned(&mut all, "a*"), (2, ""));
    assert_eq!(assigned(&mut all, "ab"), (2, "local"));
    assert_eq!(assigned(&mut all, "b*"), (2, ""));
    assert_eq!(assigned(&mut all, "bc"), (2, "local"));
    assert_eq!(assigned(&mut all, "c*de"), (2, ""));
}

#[test]
fn an_anonymous_version_is_that_of_the_object() {
    let mut all = versions("{ global: f*; local: *; };").unwrap();
    assert_eq!(assigned(&mut all, "foo"), (1, ""));
    assert_eq!(assigned(&mut all, "bar"), (1, "local"));
    assert_eq!(all.symbols().count(), 0);
    assert!(all.definitions(b"base", &mut Strings::new()).is_empty());
}

#[test]
fn symbols_may_have_a_version_in_their_names() {
    let mut all = versions("V1 { f; local: *; }; V2 { f; } V1;").unwrap();
    assert_eq!(assigned(&mut all, "f@V1"), (0x8002, ""));
    assert_eq!(assigned(&mut all, "f@@V2"), (3, ""));
    assert_eq!(assigned(&mut all, "g@V1"), (0x8002, "local"));
    assert_eq!(
        all.assign(b"f@V3"),
        Err(VersionError::UnknownVersion("f@V3".to_owned()))
    );
    // Beside f@V1 a plain f would be there twice.
    assert_eq!(assigned(&mut all, "f"), (2, ""));
    all.note_versioned(|name| name == b"f@V1");
    assert_eq!(assigned(&mut all, "f"), (2, "local"));
}

#[test]
fn nodes_that_contradict_each_other_are_refused() {
    let cases = [
        ("{ a; }; V1 { b; };", VersionError::AnonymousWithOthers),
        ("V1 { b; }; { a; };", VersionError::AnonymousWithOthers),
        (
            "V1 { a; }; V1 { b; };",
            VersionError::DuplicateTag("V1".to_owned()),
        ),
        (
            "V1 { a; }; V2 { local: a; };",
            VersionError::DuplicatePattern("a".to_owned()),
        ),
        (
            "V1 { local: a*; }; V2 { a*; };",
            VersionError::DuplicatePattern("a*".to_owned()),
        ),
        (
            "V1 { a; } V2; V2 { b; };",
            VersionError::UnknownDependency("V2".to_owned()),
        ),
    ];
    for (text, error) in cases {
        assert_eq!(versions(text).err(), Some(error), "{text}");
    }
    assert!(versions("V1 { a; }; V2 { a; };").is_ok());
}

#[test]
fn what_stays_for_the_loader_depends_on_type_and_symbol() {
    let bound = Target {
        is_bound: true,
        is_absolute: false,
        is_zero: false,
    };
    let free = Target {
        is_bound: false,
        ..bound
    };
    let constant = Target {
        is_absolute: true,
        ..bound
    };
    let zero = Target {
        is_zero: true,
        ..free
    };
    let x86 = klink_arch::x86_64::X86_64.dynamic.as_ref().unwrap();
    let hppa = klink_arch::hppa::HPPA32.dynamic.as_ref().unwrap();
    let cases = [
        (x86, 1, bound, Fate::Relative(8)),
        (x86, 1, free, Fate::Symbolic(1)),
        (x86, 1, constant, Fate::Applied),
        (x86, 1, zero, Fate::Applied),
        (x86, 2, bound, Fate::Applied),
        (x86, 2, free, Fate::Symbolic(2)),
        (x86, 2, zero, Fate::Applied),
        (x86, 10, bound, Fate::Refused),
        (hppa, 1, bound, Fate::SectionRelative(1)),
        (hppa, 2, free, Fate::Symbolic(2)),
        (hppa, 12, free, Fate::Applied),
        (hppa, 18, bound, Fate::Refused),
    ];
    for (dynamic, number, target, expected) in cases {
        assert_eq!(
            fate(dynamic, number, target),
            expected,
            "{number} {target:?}"
        );
    }
}

#[test]
fn relative_relocations_come_first_and_those_of_a_symbol_together() {
    let x86 = klink_arch::x86_64::X86_64.dynamic.as_ref().unwrap();
    let relocation = |place, symbol, number| DynamicRelocation {
        place,
        symbol,
        number,
        addend: -1,
    };
    let mut all = [
        relocation(0x50, 0, 8),
        relocation(0x30, 2, 1),
        relocation(0x10, 1, 1),
        relocation(0x40, 1, 1),
        relocation(0x20, 3, 7),
        relocation(0x08, 2, 1),
        relocation(0x00, 0, 8),
    ];
    assert_eq!(sort(x86, &mut all), 2);
    let places = all.map(|one| one.place);
    assert_eq!(places, [0x00, 0x50, 0x08, 0x30, 0x10, 0x40, 0x20]);
    let bytes = encode(LITTLE, Addends::Rela, &all[2..3]);
    assert_eq!(bytes[..8], 8_u64.to_le_bytes());
    assert_eq!(bytes[8..16], (2_u64 << 32 | 1).to_le_bytes());
    assert_eq!(bytes[16..], (-1_i64).to_le_bytes());
}
