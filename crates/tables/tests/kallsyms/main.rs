//! kallsyms: made, read back, found, damaged, and compared with Linux's own generator.

mod oracle;

use klink_tables::kallsyms::{
    AddressForm, Damage, Encoded, Endian, Filter, Format, Image, Layout, MappedSymbol, NotFound,
    Part, Plan, PlanError, Symbol, Table, Version, WordSize, in_system_map,
};
use proptest::prelude::*;

/// Where the table of these tests is in memory.
const PLACE: u64 = 0xffff_ffff_8200_0000;

/// A symbol of a small kernel.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    address: u64,
    kind: u8,
    name: String,
}

impl Line {
    fn mapped(&self) -> MappedSymbol<'_> {
        MappedSymbol {
            kind: self.kind,
            name: self.name.as_bytes(),
            address: self.address,
        }
    }
}

/// A kernel of some symbols, sorted as `nm -n` does: per-CPU symbols at 0, text, init text, data.
pub(crate) fn kernel(count: usize, text: u64) -> Vec<Line> {
    let line = |address, kind, name: &str| Line {
        address,
        kind,
        name: name.to_owned(),
    };
    let mut lines = vec![
        line(0, b'D', "__per_cpu_start"),
        line(0x40, b'd', "cpu_data_of_this"),
        line(0x1000, b'D', "__per_cpu_end"),
        line(text, b'T', "_text"),
        line(text, b'T', "_stext"),
        line(text, b't', "__start_of_text"),
        line(text, b'W', "weak_alias"),
        line(text, b'A', "an_absolute_symbol"),
        line(text + 8, b't', ".L17"),
        line(text + 8, b't', "aaaaaaaaaaaaaaaaaaaa"),
        line(text + 0x80_0000, b'T', "_etext"),
        line(text + 0x80_0000, b'd', "just_behind_text"),
        line(text + 0x90_0000, b'T', "_sinittext"),
        line(text + 0x98_0000, b'T', "_einittext"),
        line(text + 0xa0_0000, b'd', "__kstrtab_of_something"),
        line(text + 0xa0_0000, b'D', "kallsyms_names"),
        line(text + 0xa0_0008, b't', "some_long_branch_veneer"),
    ];
    let stems = [
        "read",
        "write",
        "__do_sys",
        "xfs_trans_alloc",
        "Rust::x<y>",
        "k.llvm.7",
    ];
    let places = ["page", "inode_lock", "of_node", "ext4_group", "é"];
    for index in 0..count {
        let stem = stems[index % stems.len()];
        let place = places[index / 7 % places.len()];
        let number = index.wrapping_mul(2_654_435_761) % 65_536;
        let mut name = format!("{stem}_{place}_{number:x}");
        if index % 50 == 0 {
            // few of its pairs are frequent: more than 127 codes
            name.extend((0..300).map(|at| char::from(b'a' + ((at * at + index + at) % 26) as u8)));
        }
        let kind = b"tTdDbBrRwWV"[index % 11];
        lines.push(line(text + (index as u64 / 3) * 24, kind, &name));
    }
    lines.sort_by(|a, b| (a.address, &a.name).cmp(&(b.address, &b.name)));
    lines
}

fn format(version: Version, word: WordSize, endian: Endian, form: AddressForm) -> Format {
    Format {
        version,
        word,
        endian,
        addresses: form,
        all_symbols: true,
        lto_clang: false,
    }
}

/// Every format that some kernel reads, but for what does not change the bytes.
fn formats() -> Vec<Format> {
    use AddressForm::{Absolute, BaseRelative, BaseRelativePercpu, Direct, PlaceRelative};
    let mut formats = Vec::new();
    for version in Version::ALL {
        for word in [WordSize::Four, WordSize::Eight] {
            for endian in [Endian::Little, Endian::Big] {
                let forms = [
                    Absolute,
                    BaseRelative,
                    BaseRelativePercpu,
                    PlaceRelative,
                    Direct,
                ];
                let forms = forms.into_iter().filter(|&form| version.allows(form, word));
                formats.extend(forms.map(|form| format(version, word, endian, form)));
            }
        }
    }
    formats
}

fn text_of(format: &Format) -> u64 {
    match format.word {
        WordSize::Four => 0x1000_0000,
        WordSize::Eight => 0xffff_ffff_8100_0000,
    }
}

/// The symbols that belong into the table: what [`Plan::new`] wants, and their addresses.
fn kept<'l>(format: &Format, lines: &'l [Line]) -> (Vec<Symbol<'l>>, Vec<u64>) {
    let percpu = format.addresses == AddressForm::BaseRelativePercpu;
    let filter = Filter::new(format, lines.iter().map(Line::mapped));
    let mapped = lines.iter().map(Line::mapped);
    let mapped = mapped.filter(|symbol| filter.keeps(symbol));
    let moving = |symbol: &MappedSymbol<'_>| {
        // without absolute per-CPU symbols, none may be so far from the others
        percpu || format.addresses == AddressForm::Absolute || !filter.is_percpu(symbol.address)
    };
    mapped
        .filter(moving)
        .map(|symbol| {
            let of_plan = Symbol {
                kind: symbol.kind,
                name: symbol.name,
                percpu: percpu && filter.is_percpu(symbol.address),
            };
            (of_plan, symbol.address)
        })
        .unzip()
}

fn make(format: Format, lines: &[Line]) -> (Layout, Encoded) {
    let (symbols, addresses) = kept(&format, lines);
    let plan = Plan::new(format, &symbols).expect("a plan");
    let encoded = plan.encode(&symbols, &addresses, PLACE).expect("a table");
    (plan.layout().clone(), encoded)
}

/// The image of a table that stands in the middle of other bytes.
fn image(format: &Format, layout: &Layout, encoded: &Encoded) -> (Vec<u8>, Image) {
    let mut bytes: Vec<u8> = (0..4096_u32).map(|at| ((at * at) >> 3) as u8).collect();
    let start = bytes.len();
    bytes.extend(&encoded.bytes);
    bytes.extend([0x5a; 1000]);
    // Bytes in front of the table are tried too.
    let address = |offset: usize| PLACE.wrapping_add((offset as u64).wrapping_sub(start as u64));
    let by_symbols = Image::from_symbols(
        &bytes,
        format.word,
        format.endian,
        |name| {
            let mut parts = layout.parts.iter();
            let part = parts.find(|part| part.0.symbol(format.addresses) == name)?;
            Some(start + part.1)
        },
        address,
    );
    let by_symbols = by_symbols.expect("all symbols");
    let found = Image::find(&bytes, Some(format.word), Some(format.endian), address);
    let mut found = found.expect("a table");
    if format.addresses == AddressForm::Direct {
        // these are the bytes of 6.4 to 6.8, too
        assert_eq!(found.form, AddressForm::Absolute);
        (found.form, found.version) = (by_symbols.form, by_symbols.version);
    }
    assert_eq!(found, by_symbols, "{format:?}");
    (bytes, by_symbols)
}

fn names_of(table: &Table<'_>) -> Vec<(u64, u8, String)> {
    let of = |entry: klink_tables::kallsyms::Entry<'_>| {
        let name = entry.name.bytes().collect();
        let name = String::from_utf8(name).expect("UTF-8");
        (entry.address, entry.kind, name)
    };
    table.iter().map(of).collect()
}

#[test]
fn every_form_is_found_and_read_back() {
    for format in formats() {
        for count in [3, 300, 1500] {
            let lines = kernel(count, text_of(&format));
            let (layout, encoded) = make(format, &lines);
            assert_eq!(encoded.bytes.len(), layout.size, "{format:?}");
            let (bytes, image) = image(&format, &layout, &encoded);
            assert_eq!(image.form, format.addresses);
            let table = image.table(&bytes).expect("a table");
            let (symbols, addresses) = kept(&format, &lines);
            let letter = |symbol: &Symbol<'_>| if symbol.percpu { b'A' } else { symbol.kind };
            let mut wanted: Vec<_> = symbols
                .iter()
                .zip(addresses)
                .map(|(symbol, address)| {
                    let name = String::from_utf8_lossy(symbol.name).into_owned();
                    (format.word.cut(address), letter(symbol), name)
                })
                .collect();
            let mut found = names_of(&table);
            assert_eq!(table.first_out_of_order(), None);
            assert_eq!(table.first_name_out_of_order(), None);
            wanted.sort();
            found.sort();
            assert_eq!(found, wanted, "{format:?}");
        }
    }
}

#[test]
fn addresses_and_names_are_looked_up() {
    for format in formats() {
        let lines = kernel(700, text_of(&format));
        let (layout, encoded) = make(format, &lines);
        let (bytes, image) = image(&format, &layout, &encoded);
        let table = image.table(&bytes).expect("a table");
        let all = names_of(&table);
        for (index, (address, kind, name)) in (0_u32..).zip(&all) {
            let entry = table.get(index).expect("a symbol");
            assert_eq!((entry.address, entry.kind), (*address, *kind));
            let same: Vec<_> = (0_u32..)
                .zip(&all)
                .filter(|(_, other)| other.2 == *name)
                .map(|(index, _)| index)
                .collect();
            let found: Vec<_> = table.find_name(name.as_bytes()).collect();
            assert_eq!(found, same, "{format:?} {name}");
            let found = table.find_address(address + 1).expect("an address");
            let first = all.iter().position(|other| other.0 == *address);
            assert_eq!(Some(found.index as usize), first, "{format:?} {name}");
            assert_eq!(found.offset, 1);
            let next = all.iter().find(|other| other.0 > *address);
            assert_eq!(found.size, next.map(|next| next.0 - address));
        }
        assert_eq!(table.find_name(b"no_such_symbol").next(), None);
        assert!(all[0].0 == 0 || table.find_address(all[0].0 - 1).is_none());
        assert!(table.get(table.len()).is_none());
    }
}

#[test]
fn addresses_that_move_with_the_kernel_are_told() {
    for format in formats() {
        let (layout, encoded) = make(format, &kernel(40, text_of(&format)));
        let offset = |part| layout.offset(part);
        match format.addresses {
            AddressForm::Absolute => {
                let count = encoded.address_words.len();
                let first = offset(Part::Addresses).expect("addresses");
                let at = |index| first + index * format.word.bytes();
                assert_eq!(
                    encoded.address_words,
                    (0..count).map(at).collect::<Vec<_>>()
                );
                assert!(count > 40);
            }
            AddressForm::BaseRelative | AddressForm::BaseRelativePercpu => {
                let base = offset(Part::RelativeBase).expect("a base");
                assert_eq!(encoded.address_words, [base]);
            }
            AddressForm::PlaceRelative | AddressForm::Direct => {
                assert_eq!(encoded.address_words, [0; 0]);
            }
        }
    }
}

#[test]
fn the_size_does_not_depend_on_addresses_or_order() {
    let format = format(
        Version::V6_2,
        WordSize::Eight,
        Endian::Little,
        AddressForm::BaseRelative,
    );
    let lines = kernel(600, text_of(&format));
    let (symbols, addresses) = kept(&format, &lines);
    let plan = Plan::new(format, &symbols).expect("a plan");
    let reversed: Vec<_> = symbols.iter().rev().copied().collect();
    let other = Plan::new(format, &reversed).expect("a plan");
    assert_eq!(plan.layout(), other.layout());
    let back: Vec<_> = addresses.iter().rev().copied().collect();
    assert_eq!(
        plan.encode(&symbols, &addresses, 0),
        other.encode(&reversed, &back, 0)
    );
    let moved: Vec<_> = addresses.iter().map(|address| address + 0x1000).collect();
    let moved = plan.encode(&symbols, &moved, 0).expect("a table");
    assert_eq!(moved.bytes.len(), plan.layout().size);
}

fn twice(name: &[u8]) -> [Symbol<'_>; 2] {
    let symbol = Symbol {
        kind: b't',
        name,
        percpu: false,
    };
    [symbol, symbol]
}

#[test]
fn what_cannot_be_written_is_refused() {
    let new = |name: &[u8], form| {
        let format = format(Version::V6_9, WordSize::Eight, Endian::Little, form);
        Plan::new(format, &twice(name))
    };
    let refused = |name: &[u8]| new(name, AddressForm::BaseRelative).err();
    let bad = |length| Some(PlanError::Name { index: 0, length });
    assert_eq!(refused(b""), bad(0));
    assert_eq!(refused(b"a\0b"), bad(3));
    assert_eq!(refused(&[b'a'; 512]), bad(512));
    assert_eq!(refused(&[b'a'; 511]), None);
    assert!(matches!(
        new(b"a", AddressForm::Absolute),
        Err(PlanError::Form { .. })
    ));
    let plan = new(b"a", AddressForm::BaseRelative).expect("a plan");
    assert!(matches!(
        plan.encode(&twice(b"a"), &[1], 0),
        Err(PlanError::Addresses { .. })
    ));
    let far = plan.encode(&twice(b"a"), &[1, 0x1_0000_0001], 0);
    assert!(matches!(far, Err(PlanError::Range { index: 1, .. })));
    assert!(plan.encode(&twice(b"a"), &[1, 0x1_0000_0000], 0).is_ok());
}

#[test]
fn an_empty_table_is_a_table() {
    for format in formats() {
        let plan = Plan::new(format, &[]).expect("a plan");
        let encoded = plan.encode(&[], &[], PLACE).expect("a table");
        assert_eq!(encoded.bytes.len(), plan.layout().size);
    }
}

#[test]
fn symbols_are_filtered_by_version() {
    let kept_by = |version, kind, name: &str| {
        let mut format = format(
            version,
            WordSize::Eight,
            Endian::Little,
            AddressForm::Absolute,
        );
        format.all_symbols = true;
        let symbol = MappedSymbol {
            kind,
            name: name.as_bytes(),
            address: 1,
        };
        Filter::new(&format, []).keeps(&symbol)
    };
    for version in Version::ALL {
        assert!(kept_by(version, b't', "ordinary"), "{version:?}");
        assert!(kept_by(version, b'A', "__gp"), "{version:?}");
        for (kind, name) in [
            (b'U', "undefined"),
            (b'A', "absolute"),
            (b'w', "weak_and_undefined"),
            (b't', ".L5"),
            (b'r', "__kstrtab_x"),
            (b't', "x_veneer"),
            (b't', "__ARMV7PILongThunk_x"),
        ] {
            assert!(!kept_by(version, kind, name), "{version:?} {name}");
        }
        let own = kept_by(version, b'D', "kallsyms_names");
        assert_eq!(own, version >= Version::V6_10, "{version:?}");
        let in_map = in_system_map(version, b'D', b"kallsyms_names");
        let hidden = [Version::V6_4, Version::V6_9].contains(&version);
        assert_eq!(in_map, !hidden, "{version:?}");
        let thunk = kept_by(version, b't', "__Thumb2PILongThunk_x");
        assert_eq!(thunk, version < Version::V6_4, "{version:?}");
    }
}

#[test]
fn text_alone_is_kept_without_all_symbols() {
    let mut format = format(
        Version::V6_2,
        WordSize::Eight,
        Endian::Little,
        AddressForm::BaseRelative,
    );
    format.all_symbols = false;
    let lines = kernel(0, 0x1_0000);
    let (symbols, _) = kept(&format, &lines);
    let names: Vec<_> = symbols
        .iter()
        .map(|symbol| String::from_utf8_lossy(symbol.name))
        .collect();
    assert_eq!(
        names,
        [
            "__start_of_text",
            "_stext",
            "_text",
            "weak_alias",
            "aaaaaaaaaaaaaaaaaaaa",
            "_etext",
            "_sinittext",
            "_einittext"
        ]
    );
}

#[test]
fn nothing_is_found_in_nothing() {
    let find = |bytes: &[u8]| Image::find(bytes, None, None, |offset| offset as u64);
    assert_eq!(find(&[]), Err(NotFound::Tokens));
    assert_eq!(find(&[0; 5000]), Err(NotFound::Tokens));
    let (layout, encoded) = make(formats()[0], &kernel(300, 0x1000_0000));
    let tokens = layout.offset(Part::TokenTable).expect("tokens");
    assert!(matches!(
        find(&encoded.bytes[tokens..]),
        Err(NotFound::Parts { at: 0 })
    ));
}

#[test]
fn damage_is_named() {
    let format = formats()[0];
    let (layout, encoded) = make(format, &kernel(300, text_of(&format)));
    let (bytes, image) = image(&format, &layout, &encoded);
    let damaged = |part, at: usize, byte| {
        let mut bytes = bytes.clone();
        let offset = image.offset(part).expect("the part");
        bytes[offset + at] = byte;
        image.table(&bytes).err()
    };
    let marker = damaged(Part::Markers, 4, 0xff);
    assert!(matches!(marker, Some(Damage::Marker { marker: 1, .. })));
    let name = damaged(Part::Names, 0, 0);
    assert_eq!(name, Some(Damage::Name { index: 0 }));
    let token = damaged(Part::TokenIndex, 21, 0xff);
    assert_eq!(token, Some(Damage::Token { code: 10 }));
    let count = damaged(Part::NumSyms, 3, 0x7f);
    assert!(matches!(count, Some(Damage::Short { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_byte_of_a_table_makes_it_panic(
        which in 0..formats().len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let format = formats()[which];
        let (layout, encoded) = make(format, &kernel(300, text_of(&format)));
        let (mut bytes, image) = image(&format, &layout, &encoded);
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(table) = image.table(&bytes) {
            let bytes: usize = table.iter().map(|entry| entry.name.bytes().count()).sum();
            prop_assert!(bytes > 0);
            let _ = table.find_name(b"read_page_0").count();
            let _ = table.find_address(text_of(&format) + 100);
            let _ = table.first_name_out_of_order();
        }
        let _ = Image::find(&bytes, None, None, |offset| offset as u64);
    }

    #[test]
    fn any_names_come_back(names in prop::collection::vec("[a-c]{1,9}|[!-~]{1,40}", 1..60)) {
        let format = format(Version::V6_2, WordSize::Four, Endian::Big, AddressForm::BaseRelative);
        let symbols: Vec<_> = names
            .iter()
            .map(|name| Symbol { kind: b't', name: name.as_bytes(), percpu: false })
            .collect();
        let addresses: Vec<_> = (0..names.len() as u64).collect();
        let plan = Plan::new(format, &symbols).expect("a plan");
        let encoded = plan.encode(&symbols, &addresses, 0).expect("a table");
        let (bytes, image) = image(&format, plan.layout(), &encoded);
        let table = image.table(&bytes).expect("a table");
        let found: Vec<_> = names_of(&table).into_iter().map(|symbol| symbol.2).collect();
        prop_assert_eq!(found, names);
    }
}
