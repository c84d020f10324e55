//! Sorting the tables of a finished kernel, compared with Linux's own `scripts/sorttable`.

mod corpus;
mod kernel;
mod newer;
mod oracle;
mod tables;

use kernel::Kernel;
use klink_tables::sort::mcount::WeakCalls;
use klink_tables::sort::{SortError, image};
use klink_tables::{Endian, WordSize};
use proptest::prelude::*;

/// Says loudly that a test does nothing, or fails it.
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var("KLINK_REQUIRE_TOOLS").as_deref() != Ok("1"),
        "{why}"
    );
    eprintln!("SKIPPED: {why}");
}

/// A kernel with an exception table of addresses in one order, and in the other.
fn arm(instructions: &[u32]) -> Kernel {
    let mut kernel = Kernel::new(40, WordSize::Four, Endian::Little);
    let entry = |&address: &u32| [kernel.four(address), kernel.four(address + 0x1000)].concat();
    let bytes = instructions.iter().flat_map(entry).collect();
    kernel.section("__ex_table", bytes);
    kernel.flag();
    kernel
}

#[test]
fn the_flag_is_cleared() {
    let mut file = arm(&[0x3000, 0x1000, 0x2000]).file();
    let sorted = image(&mut file, WeakCalls::Keep).expect("a kernel");
    assert_eq!(sorted.exceptions, 3);
    let mut expected = arm(&[0x1000, 0x2000, 0x3000]);
    expected.sections[1].bytes[4..8].fill(0);
    assert_eq!(file, expected.file());
}

#[test]
fn what_is_missing_is_named_and_nothing_is_changed() {
    let refused = |kernel: &Kernel| {
        let before = kernel.file();
        let mut file = before.clone();
        let error = image(&mut file, WeakCalls::Keep).expect_err("no kernel");
        assert_eq!(file, before);
        error
    };
    let mut kernel = arm(&[2, 1]);
    kernel.symbols.clear();
    let flag = SortError::NoSymbol("main_extable_sort_needed");
    assert_eq!(refused(&kernel), flag);

    let mut kernel = arm(&[2, 1]);
    kernel.sections[0].name = "__ex";
    assert_eq!(refused(&kernel), SortError::NoSection("__ex_table"));

    let mut kernel = arm(&[2, 1]);
    kernel.machine = 0x1234;
    assert_eq!(refused(&kernel), SortError::UnknownMachine(0x1234));

    let mut kernel = arm(&[2, 1]);
    kernel.machine = 62;
    kernel.section(".orc_unwind_ip", vec![0; 8]);
    assert_eq!(refused(&kernel), SortError::NoSection(".orc_unwind"));
    kernel.section(".orc_unwind", vec![0; 6]);
    assert!(matches!(refused(&kernel), SortError::Orc(_)));
}

proptest! {
    /// A damaged file is an error or is sorted, but never a panic.
    #[test]
    fn damage_is_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        machine in prop::sample::select(vec![40_u16, 62, 183, 15]),
    ) {
        let mut kernel = arm(&[0x3000, 0x1000, 0x2000]);
        kernel.machine = machine;
        kernel.section(".orc_unwind_ip", vec![7; 8]);
        kernel.section(".orc_unwind", vec![9; 12]);
        let section = kernel.section(".init.data", vec![5; 32]);
        let start = Kernel::address(section);
        kernel.symbol("__start_mcount_loc", start, 0, 0, section);
        kernel.symbol("__stop_mcount_loc", start + 32, 0, 0, section);
        let mut file = kernel.file();
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        file.truncate(file.len() - cut.index(40));
        let length = file.len();
        let _ = image(&mut file, WeakCalls::Zero);
        prop_assert_eq!(file.len(), length);
    }
}
