//! Tables after init: nothing in them points at what was freed.

use klink_tables::catalog::{self, AfterInit};
use klink_tables::table::{Table, TableMut, select};
use klink_tables::{Endian, Numbers, WordSize};
use proptest::prelude::*;

const X86_64: u16 = 62;
const NUMBERS: Numbers = Numbers {
    word: WordSize::Eight,
    endian: Endian::Little,
};
/// Where tables, code that stays and code that is freed are.
const TABLE: u64 = 0xffff_ffff_c010_0000;
const CORE: u64 = 0xffff_ffff_c000_0000;
const INIT: core::ops::Range<u64> = 0xffff_ffff_c020_0000..0xffff_ffff_c020_1000;

/// The form of a table on x86-64 whose bytes may be anything.
fn form(section: &str, bytes: &[u8]) -> &'static klink_tables::table::EntryForm {
    let known = catalog::find(section.as_bytes()).expect("it is known");
    known.form(X86_64, NUMBERS, bytes).expect("x86-64 has it")
}

#[test]
fn a_bug_table_loses_entries_about_init() {
    // bug_addr_disp, file_disp, line, flags
    let entry = |index: u64, code: u64| {
        let place = TABLE + 12 * index;
        let distances = [
            code.wrapping_sub(place) as u32,
            CORE.wrapping_sub(place + 4) as u32,
        ];
        let mut bytes = distances.map(u32::to_le_bytes).concat();
        bytes.extend([7, 0, 1, 9]);
        bytes
    };
    let codes = [CORE + 1, INIT.start, CORE + 2, INIT.end - 1, INIT.end];
    let mut bytes: Vec<u8> = (0..)
        .zip(codes)
        .flat_map(|(index, code)| entry(index, code))
        .collect();
    let form = form("__bug_table", &bytes);
    let mut table = TableMut::new(form, NUMBERS, &mut bytes, TABLE);
    assert_eq!(table.trim(&[INIT]), 3);
    let table = Table::new(form, NUMBERS, &bytes[..36], TABLE);
    let left: Vec<_> = table
        .entries()
        .map(|bug| (bug.target(0), bug.target(1)))
        .collect();
    let expected = [CORE + 1, CORE + 2, INIT.end].map(|code| (Some(code), Some(CORE)));
    assert_eq!(left, expected);
    assert!(bytes[36..].iter().all(|&byte| byte == 0));
}

#[test]
fn jump_labels_are_split_and_keep_their_flags() {
    let entry = |index: u64, code: u64| {
        let place = TABLE + 16 * index;
        let code_and_target = [code.wrapping_sub(place), code.wrapping_sub(place + 4) + 9];
        let mut bytes = code_and_target
            .map(|distance| (distance as u32).to_le_bytes())
            .concat();
        bytes.extend((CORE.wrapping_sub(place + 8) | 1).to_le_bytes());
        bytes
    };
    let codes = [INIT.start, CORE + 16, INIT.start + 32, CORE + 48];
    let mut bytes: Vec<u8> = (0..)
        .zip(codes)
        .flat_map(|(index, code)| entry(index, code))
        .collect();
    let known = catalog::find(b"__jump_table").expect("it is known");
    assert_eq!(known.after_init, AfterInit::Split);
    let form = form("__jump_table", &bytes);
    assert_eq!(
        TableMut::new(form, NUMBERS, &mut bytes, TABLE).split(&[INIT]),
        2
    );
    let table = Table::new(form, NUMBERS, &bytes, TABLE);
    let all: Vec<_> = table
        .entries()
        .map(|jump| jump.targets().collect::<Vec<_>>())
        .collect();
    let expected = [codes[1], codes[3], codes[0], codes[2]].map(|code| vec![code, code + 9, CORE]);
    assert_eq!(all, expected);
    assert!(table.entries().all(|jump| jump.bytes()[8] & 3 == 1));
}

#[test]
fn companions_go_along() {
    let mut crcs: Vec<u8> = (1_u32..=5).flat_map(u32::to_le_bytes).collect();
    select(&mut crcs, 4, &[4, 0, 2]);
    let expected: Vec<u8> = [5_u32, 1, 3, 0, 0]
        .into_iter()
        .flat_map(u32::to_le_bytes)
        .collect();
    assert_eq!(crcs, expected);
}

#[test]
fn arm_unwind_data_that_are_no_address_stay() {
    let arm = Numbers {
        word: WordSize::Four,
        endian: Endian::Little,
    };
    let known = catalog::find(b".ARM.exidx.text.f").expect("it is known");
    let form = known.form(40, arm, &[]).expect("arm has it");
    // A function that cannot be unwound, one with instructions, one with a table.
    let words = [
        0x7fff_f000_u32,
        1,
        0x7fff_e000,
        0x80a8_b0b0,
        0x7fff_d000,
        0x100,
    ];
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    let mut table = TableMut::new(form, arm, &mut bytes, 0xbf00_8000);
    table.sort();
    let table = table.as_table();
    let all: Vec<_> = table
        .entries()
        .map(|entry| (entry.target(0), entry.target(1)))
        .collect();
    let expected = [
        (Some(0xbf00_5010), Some(0xbf00_8114)),
        (Some(0xbf00_6008), None),
        (Some(0xbf00_7000), None),
    ];
    assert_eq!(all, expected);
    assert_eq!(
        table
            .find_at_or_before(0xbf00_6fff)
            .map(|found| found.index()),
        Some(1)
    );
}

/// Found by fuzzing: only the second word can be something else than an address.
#[test]
fn an_arm_function_may_be_at_any_distance() {
    let arm = Numbers {
        word: WordSize::Four,
        endian: Endian::Little,
    };
    let known = catalog::find(b".ARM.exidx").expect("it is known");
    let form = known.form(40, arm, &[]).expect("arm has it");
    // When they change places the first distance becomes 1.
    let words = [9_u32, 1, 0x7fff_fff0, 1];
    let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_le_bytes).collect();
    TableMut::new(form, arm, &mut bytes, 0x1000).sort();
    let table = Table::new(form, arm, &bytes, 0x1000);
    let keys: Vec<_> = table.entries().map(|entry| entry.key()).collect();
    assert_eq!(keys, [Some(0xff8), Some(0x1009)]);
}

#[test]
fn parisc_unwind_data_are_about_ranges() {
    let parisc = Numbers {
        word: WordSize::Four,
        endian: Endian::Big,
    };
    let known = catalog::find(b".PARISC.unwind").expect("it is known");
    let form = known.form(15, parisc, &[]).expect("parisc has it");
    let words = [0x1000_u32, 0x10fc, 5, 6, 0x1200, 0x12fc, 7, 8];
    let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_be_bytes).collect();
    let table = Table::new(form, parisc, &bytes, 0x5000);
    let find = |address| table.find_covering(address).map(|entry| entry.index());
    assert_eq!(
        [0xfff, 0x1000, 0x10fc, 0x1100, 0x1200].map(find),
        [None, Some(0), Some(0), None, Some(1)]
    );
}

proptest! {
    /// Whatever is in a table on whatever machine: after it was trimmed, nothing points at what is gone.
    #[test]
    fn nothing_points_at_what_is_gone(
        index in any::<prop::sample::Index>(),
        machine in prop::sample::select(vec![3_u16, 8, 15, 20, 21, 22, 40, 43, 62, 183, 243, 258]),
        wide in any::<bool>(),
        big in any::<bool>(),
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        address in any::<u32>(),
        gone in any::<(u64, u32)>(),
    ) {
        let known = &catalog::ALL[index.index(catalog::ALL.len())];
        let numbers = Numbers {
            word: if wide { WordSize::Eight } else { WordSize::Four },
            endian: if big { Endian::Big } else { Endian::Little },
        };
        let start = numbers.word.cut(gone.0);
        let gone = [start..start.saturating_add(gone.1.into()), 0x1000_0000..0x9000_0000];
        if let Some(form) = known.form(machine, numbers, &bytes) {
            let address = u64::from(address);
            let mut bytes = bytes;
            let mut table = TableMut::new(form, numbers, &mut bytes, address);
            let first = table.split(&gone);
            let left = table.trim(&gone);
            prop_assert_eq!(first, left);
            let left = Table::new(form, numbers, &bytes[..left * form.size()], address);
            prop_assert!(left.entries().all(|entry| !entry.points_into(&gone)));
        }
    }
}
