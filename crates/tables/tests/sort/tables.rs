//! Tables on their own, in all forms: sorted, searched, and with entries dropped.

use klink_tables::orc::{self, OrcForm, OrcMut};
use klink_tables::table::{EntryForm, Table, TableMut};
use klink_tables::{Endian, Numbers, WordSize, exception};
use proptest::prelude::*;

const FORMS: [&EntryForm; 6] = [
    &exception::ABSOLUTE_32,
    &exception::ABSOLUTE_64,
    &exception::ABSOLUTE_HALF,
    &exception::RELATIVE,
    &exception::RELATIVE_WITH_DATA,
    &exception::RELATIVE_KEY,
];

fn numbers() -> impl Strategy<Value = Numbers> {
    let endian = prop::sample::select(vec![Endian::Little, Endian::Big]);
    endian.prop_map(|endian| Numbers {
        word: WordSize::Eight,
        endian,
    })
}

/// What an entry says: its addresses and its other bytes.
fn meaning(table: &Table<'_>) -> Vec<(Vec<u64>, Vec<u8>)> {
    let fields = table.form().fields();
    let end = fields
        .iter()
        .map(|field| field.offset + 4)
        .max()
        .unwrap_or(0);
    let entries = table.entries();
    entries
        .map(|entry| (entry.targets().collect(), entry.bytes()[end..].to_vec()))
        .collect()
}

proptest! {
    /// A sorted table has the same entries in the order of their keys, and each is found.
    #[test]
    fn sorting_keeps_the_entries(
        form in prop::sample::select(FORMS.to_vec()),
        numbers in numbers(),
        mut bytes in prop::collection::vec(1_u8..=255, 0..200),
        address in 0x1_0000_0000_u64..0x2_0000_0000,
    ) {
        let numbers = Numbers { word: if form.size() == 8 { numbers.word } else { WordSize::Eight }, ..numbers };
        let form = FORMS[FORMS.iter().position(|known| *known == form).expect("one of them")];
        let mut before = meaning(&Table::new(form, numbers, &bytes, address));
        let tail = bytes.len() / form.size() * form.size();
        let rest = bytes[tail..].to_vec();
        TableMut::new(form, numbers, &mut bytes, address).sort();
        prop_assert_eq!(&bytes[tail..], &rest[..]);
        let table = Table::new(form, numbers, &bytes, address);
        prop_assert!(table.is_sorted());
        before.sort_by_key(|(targets, _)| targets.first().copied());
        prop_assert_eq!(meaning(&table), before);
        for entry in table.entries() {
            let key = entry.key().expect("nothing is zero");
            prop_assert_eq!(table.find(key).expect("it is there").key(), Some(key));
        }
    }

    /// Entries that point into what is gone are gone, the others are as they were.
    #[test]
    fn trimmed_tables_point_at_what_is_left(
        form in prop::sample::select(FORMS.to_vec()),
        numbers in numbers(),
        mut bytes in prop::collection::vec(1_u8..=255, 0..200),
        start in any::<u64>(),
    ) {
        let address = 0x1_0000_0000;
        let gone = [start..start.saturating_add(1 << 62), 0xffff..0x8000_0000];
        let inside = |target: &u64| gone.iter().any(|range| range.contains(target));
        let mut before = meaning(&Table::new(form, numbers, &bytes, address));
        before.retain(|(targets, _)| !targets.iter().any(inside));
        let left = TableMut::new(form, numbers, &mut bytes, address).trim(&gone);
        let kept = &bytes[..left * form.size()];
        prop_assert_eq!(meaning(&Table::new(form, numbers, kept, address)), before);
    }

    /// Any bytes can be looked through.
    #[test]
    fn any_bytes_can_be_read(
        form in prop::sample::select(FORMS.to_vec()),
        numbers in numbers(),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        address in any::<u64>(),
    ) {
        let table = Table::new(form, numbers, &bytes, address);
        prop_assert_eq!(table.entries().count(), table.len());
        let _ = (table.is_sorted(), table.find(address), table.find_at_or_before(address));
    }

    /// The arrays of ORC stay together.
    #[test]
    fn orc_arrays_move_together(
        form in prop::sample::select(vec![&orc::X86, &orc::LOONGARCH]),
        distances in prop::collection::vec(0_u32..2000, 0..60),
        gone in 0_u64..2000,
    ) {
        let numbers = Numbers { word: WordSize::Eight, endian: Endian::Little };
        let (mut ips, mut entries) = arrays(form, &distances);
        let both = |ips: &[u8], entries: &[u8]| -> Vec<(Option<u64>, Vec<u8>)> {
            let ips = Table::new(&orc::IP, numbers, ips, BASE);
            let entries = entries.chunks_exact(form.size).map(<[u8]>::to_vec);
            ips.entries().map(|ip| ip.key()).zip(entries).collect()
        };
        let mut before = both(&ips, &entries);
        before.sort();
        let mut orc = OrcMut::new(form, numbers, &mut ips, BASE, &mut entries).expect("both");
        orc.sort();
        let gone = BASE + gone..BASE + gone + 700;
        let left = orc.trim(std::slice::from_ref(&gone));
        let mut after = both(&ips[..left * 4], &entries[..left * form.size]);
        prop_assert!(after.is_sorted_by_key(|(address, _)| *address));
        after.sort();
        before.retain(|(address, _)| !gone.contains(&address.expect("an address")));
        prop_assert_eq!(after, before);
    }
}

const BASE: u64 = 0xffff_ffff_8100_0000;

fn arrays(form: &OrcForm, distances: &[u32]) -> (Vec<u8>, Vec<u8>) {
    let ips = distances.iter().flat_map(|distance| distance.to_le_bytes());
    let entry = |index: usize| vec![index as u8 + 1; form.size];
    (
        ips.collect(),
        (0..distances.len()).flat_map(entry).collect(),
    )
}

#[test]
fn orc_is_found_behind_a_terminator() {
    let numbers = Numbers {
        word: WordSize::Eight,
        endian: Endian::Little,
    };
    // Two entries about BASE + 0x100, the second of which says nothing.
    let mut ips = [0x100_u32, 0x100 - 4].map(u32::to_le_bytes).concat();
    let mut entries = vec![8, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0];
    let mut orc = OrcMut::new(&orc::X86, numbers, &mut ips, BASE, &mut entries).expect("both");
    orc.sort();
    let ips = Table::new(&orc::IP, numbers, &ips, BASE);
    let found = orc::find(&orc::X86, &ips, &entries, BASE + 0x123);
    assert_eq!(found, Some(&[8, 0, 0, 0, 5, 0][..]));
    assert_eq!(orc::find(&orc::X86, &ips, &entries, BASE), None);
}

#[test]
fn parisc_and_loongarch_tell_their_form() {
    let parisc = Numbers {
        word: WordSize::Four,
        endian: Endian::Big,
    };
    let new = [[0, 0, 1, 0], [0, 0, 2, 0], [8, 0, 2, 0x55]].concat();
    assert_eq!(
        exception::form(15, parisc, &new),
        Some(&exception::RELATIVE_WITH_DATA)
    );
    assert_eq!(
        exception::form(15, parisc, &new[..8]),
        Some(&exception::RELATIVE)
    );
    let loongarch = Numbers {
        word: WordSize::Eight,
        endian: Endian::Little,
    };
    let addresses = [0x9000_0000_0020_1234_u64, 0x9000_0000_0030_5678].map(u64::to_le_bytes);
    let form = exception::form(258, loongarch, &addresses.concat());
    assert_eq!(form, Some(&exception::ABSOLUTE_64));
    let distances = [0xfff0_0000_u32, 0xfff1_0000, 2].map(u32::to_le_bytes);
    let form = exception::form(258, loongarch, &distances.concat());
    assert_eq!(form, Some(&exception::RELATIVE_WITH_DATA));
}
