//! Exported symbols, versions and parameters, read from bytes as a compiler lays them out.

use klink_tables::ksymtab::{self, Exports};
use klink_tables::param::{Param, ParamArray, ParamString};
use klink_tables::table::Table;
use klink_tables::versions::{ENTRY_SIZE, versions};
use klink_tables::{Endian, Numbers, WordSize, param};

const TABLE: u64 = 0xffff_ffff_c000_1000;
const STRINGS: u64 = 0xffff_ffff_c000_2000;
const TEXT: &[u8] = b"\0abc\0def\0ghi\0NAMESPACE\0";

fn memory(address: u64) -> Option<&'static [u8]> {
    TEXT.get(usize::try_from(address.checked_sub(STRINGS)?).ok()?..)
}

fn check(
    numbers: Numbers,
    form: &'static klink_tables::table::EntryForm,
    bytes: &[u8],
    crcs: &[u8],
) {
    let table = Table::new(form, numbers, bytes, TABLE);
    let exports = Exports::new(table, numbers, crcs, memory);
    let names: Vec<_> = exports.iter().map(|export| export.name).collect();
    assert_eq!(names, [b"abc", b"def", b"ghi"]);
    let found = exports.find(b"def").expect("it is exported");
    assert_eq!((found.index, found.value), (1, 0xffff_ffff_c000_0020));
    assert_eq!((found.namespace, found.crc), (&b"NAMESPACE"[..], Some(2)));
    assert_eq!(exports.get(0).expect("the first").namespace, b"");
    assert_eq!(exports.find(b"de"), None);
}

/// Value, name and namespace of each, as offsets.
const SYMBOLS: [[u64; 3]; 3] = [
    [0xffff_ffff_c000_0010, STRINGS + 1, STRINGS],
    [0xffff_ffff_c000_0020, STRINGS + 5, STRINGS + 13],
    [0xffff_ffff_c000_0030, STRINGS + 9, STRINGS],
];

#[test]
fn exports_of_both_forms() {
    for endian in [Endian::Little, Endian::Big] {
        let numbers = Numbers {
            word: WordSize::Eight,
            endian,
        };
        let four = |value: u32| match endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        };
        let eight = |value: u64| match endian {
            Endian::Little => value.to_le_bytes(),
            Endian::Big => value.to_be_bytes(),
        };
        let crcs: Vec<u8> = (1..=3).flat_map(four).collect();
        let words = SYMBOLS.as_flattened();
        let absolute: Vec<u8> = words.iter().flat_map(|&value| eight(value)).collect();
        check(numbers, &ksymtab::ABSOLUTE_64, &absolute, &crcs);
        let places = (TABLE..).step_by(4);
        let relative = words
            .iter()
            .zip(places)
            .flat_map(|(&value, place)| four(value.wrapping_sub(place) as u32));
        check(
            numbers,
            &ksymtab::RELATIVE,
            &relative.collect::<Vec<_>>(),
            &crcs,
        );
    }
}

#[test]
fn a_namespace_may_be_nowhere() {
    let numbers = Numbers {
        word: WordSize::Eight,
        endian: Endian::Little,
    };
    let mut bytes = [0xffff_f000_u32, 0xffd, 0].map(u32::to_le_bytes).concat();
    let table = Table::new(&ksymtab::RELATIVE, numbers, &bytes, TABLE);
    let exports = Exports::new(table, numbers, &[], memory);
    let export = exports.get(0).expect("a symbol");
    assert_eq!(
        (export.name, export.namespace, export.crc),
        (&b"abc"[..], &b""[..], None)
    );
    // A name that is nowhere.
    bytes[7] = 0x7f;
    let table = Table::new(&ksymtab::RELATIVE, numbers, &bytes, TABLE);
    assert_eq!(Exports::new(table, numbers, &[], memory).get(0), None);
}

#[test]
fn versions_have_names_of_any_length_that_fits() {
    let numbers = Numbers {
        word: WordSize::Four,
        endian: Endian::Big,
    };
    let mut section = vec![b'x'; 2 * ENTRY_SIZE + 3];
    section[..4].copy_from_slice(&[1, 2, 3, 4]);
    section[64..72].copy_from_slice(&[0, 0, 0, 9, b'f', 0, b'x', b'x']);
    let found: Vec<_> = versions(numbers, &section).collect();
    assert_eq!((found[0].name.len(), found[0].crc), (60, 0x0102_0304));
    assert_eq!((found[1].name, found[1].crc), (&b"f"[..], 9));
    assert_eq!(found.len(), 2);
}

#[test]
fn parameters_of_both_words() {
    for word in [WordSize::Four, WordSize::Eight] {
        let numbers = Numbers {
            word,
            endian: Endian::Little,
        };
        let put = |value: u64| value.to_le_bytes()[..word.bytes()].to_vec();
        let rights = vec![0xa4, 1, 0xff, param::UNSAFE];
        let padding = vec![0; word.bytes() - 4];
        let bytes = [
            put(0x100),
            put(0x200),
            put(0x300),
            rights,
            padding,
            put(0x400),
        ]
        .concat();
        let form = param::form(word);
        assert_eq!(bytes.len(), form.size());
        let table = Table::new(form, numbers, &bytes, 0x5000);
        let expected = Param {
            name: 0x100,
            module: Some(0x200),
            ops: 0x300,
            permissions: 0o644,
            level: -1,
            flags: param::UNSAFE,
            argument: Some(0x400),
        };
        let entry = table.get(0).expect("an entry");
        assert_eq!(Param::read(numbers, entry), Some(expected));

        let padding = vec![0; word.bytes() - 4];
        let string = [vec![16, 0, 0, 0], padding, put(0x900)].concat();
        let expected = ParamString {
            size: 16,
            buffer: 0x900,
        };
        assert_eq!(ParamString::read(numbers, &string), Some(expected));
        let array = [
            vec![3, 0, 0, 0, 4, 0, 0, 0],
            put(0x10),
            put(0x20),
            put(0x30),
        ]
        .concat();
        let expected = ParamArray {
            room: 3,
            element_size: 4,
            count: 0x10,
            ops: 0x20,
            elements: 0x30,
        };
        assert_eq!(ParamArray::read(numbers, &array), Some(expected));
        assert_eq!(ParamArray::read(numbers, &array[..array.len() - 1]), None);
    }
}
