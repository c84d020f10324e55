//! What kernels after 6.1 want of the calls of `mcount`. No such kernel's `sorttable` was at hand.

use klink_tables::sort::image;
use klink_tables::sort::mcount::WeakCalls;
use klink_tables::{Endian, WordSize};

use crate::kernel::{Kernel, SHF_ALLOC, SHF_EXECINSTR, SHT_RELA, Section};

/// A position-independent arm64 kernel: its calls are made by relocations.
fn arm64(calls: &[(u64, u64)]) -> (Kernel, u64) {
    let mut kernel = Kernel::new(183, WordSize::Eight, Endian::Little);
    kernel.section("__ex_table", Vec::new());
    kernel.flag();
    let section = kernel.section(".init.data", vec![0; 8 * calls.len()]);
    let start = Kernel::address(section);
    kernel.symbol("__start_mcount_loc", start, 0, 0, section);
    kernel.symbol(
        "__stop_mcount_loc",
        start + 8 * calls.len() as u64,
        0,
        0,
        section,
    );
    let records = calls.iter().flat_map(|&(slot, call)| {
        let record = [start + 8 * slot, 0x403, call].map(u64::to_le_bytes);
        record.concat()
    });
    kernel.sections.push(Section {
        name: ".rela.dyn",
        kind: SHT_RELA,
        flags: SHF_ALLOC,
        info: 0,
        bytes: records.collect(),
    });
    (kernel, start)
}

#[test]
fn addends_of_dynamic_relocations_are_sorted() {
    let (kernel, _) = arm64(&[(0, 0x3000), (2, 0x1000), (1, 0x2000)]);
    let mut file = kernel.file();
    let sorted = image(&mut file, WeakCalls::Keep).expect("a kernel");
    assert_eq!(sorted.calls, 3);
    let (mut expected, _) = arm64(&[(0, 0x1000), (2, 0x3000), (1, 0x2000)]);
    expected.sections[1].bytes[4..8].fill(0);
    assert_eq!(file, expected.file());
}

#[test]
fn calls_in_no_function_become_zero() {
    let (mut kernel, _) = arm64(&[(0, 0x8230_0ff8), (1, 0x8230_0500), (2, 0x8230_0008)]);
    let text = kernel.section(".text", vec![0; 0x2000]);
    kernel.sections[usize::from(text) - 1].flags = SHF_ALLOC | SHF_EXECINSTR;
    assert!(Kernel::address(text) < 0x8230_0000 || Kernel::address(text) > 0x8240_0000);
    kernel.symbol("first", 0x8230_0000, 0x100, 2, text);
    kernel.symbol("second", 0x8230_1000, 0x100, 2, text);
    let mut file = kernel.file();
    let sorted = image(&mut file, WeakCalls::Zero).expect("a kernel");
    assert_eq!((sorted.calls, sorted.weak_calls), (3, 1));
    let mut expected = kernel.clone();
    expected.sections[1].bytes[4..8].fill(0);
    let records = &mut expected.sections[3].bytes;
    for (index, call) in [0_u64, 0x8230_0008, 0x8230_0ff8].into_iter().enumerate() {
        records[index * 24 + 16..index * 24 + 24].copy_from_slice(&call.to_le_bytes());
    }
    assert_eq!(file, expected.file());
}
