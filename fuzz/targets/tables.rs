//! A finished kernel whose tables are sorted, and the same bytes as each table that klink knows in a
//! module: read, searched, split and trimmed.
#![no_main]

use klink_tables::catalog;
use klink_tables::ksymtab::Exports;
use klink_tables::param::Param;
use klink_tables::sort::{image, mcount::WeakCalls};
use klink_tables::table::{Table, TableMut};
use klink_tables::{Endian, Numbers, WordSize, eh_frame, versions};
use libfuzzer_sys::{Corpus, fuzz_target};

/// Machines with forms of their own.
const MACHINES: [u16; 16] = [
    2, 3, 8, 15, 20, 21, 22, 40, 43, 62, 93, 183, 243, 258, 0x9026, 1,
];

fuzz_target!(|data: &[u8]| -> Corpus {
    let [flags, machine, table, gone, bytes @ ..] = data else {
        return Corpus::Reject;
    };
    let mut kernel = bytes.to_vec();
    let before = kernel.clone();
    if image(&mut kernel, WeakCalls::Zero).is_err() {
        assert!(kernel == before, "an error changed the file");
    }
    let numbers = Numbers {
        word: [WordSize::Four, WordSize::Eight][usize::from(flags & 1)],
        endian: [Endian::Little, Endian::Big][usize::from(flags >> 1 & 1)],
    };
    let machine = MACHINES[usize::from(*machine) % MACHINES.len()];
    let known = &catalog::ALL[usize::from(*table) % catalog::ALL.len()];
    let address = 0x10_0000;
    let start = u64::from(*gone) << 12;
    let gone = [start..start + 0x1000, 0..1];
    let mut frames = bytes.to_vec();
    eh_frame::trim(numbers, &mut frames, address, &gone);
    let left = eh_frame::functions(numbers, &frames, address)
        .filter(|function| !function.addresses.is_empty())
        .any(|function| gone[0].contains(&function.addresses.start));
    assert!(!left, "unwind data of what is gone");
    let _ = versions::versions(numbers, bytes).count();
    let _ = versions::extended(numbers, bytes, bytes).count();
    if let Some(form) = known.form(machine, numbers, bytes) {
        let mut bytes = bytes.to_vec();
        let mut entries = TableMut::new(form, numbers, &mut bytes, address);
        let first = entries.split(&gone);
        assert_eq!(entries.trim(&gone), first);
        // Distances that just fit may not any more when their entry moves; then they wrap.
        let near = |target: u64| target.abs_diff(address) < 1 << 29;
        let all_fit = entries
            .as_table()
            .entries()
            .all(|entry| entry.targets().all(near));
        entries.sort();
        let table = Table::new(form, numbers, &bytes, address);
        assert!(table.is_sorted() || !all_fit);
        for entry in table.entries() {
            let _ = Param::read(numbers, entry);
            if let Some(key) = entry.key().filter(|_| all_fit) {
                assert!(table.find(key).is_some());
            }
        }
        let memory =
            |address: u64| data.get(usize::try_from(address.wrapping_sub(0x10_0000)).ok()?..);
        let exports = Exports::new(table, numbers, data, memory);
        let _ = (exports.iter().count(), exports.find(b"printk"));
    }
    Corpus::Keep
});
