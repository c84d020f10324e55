//! What kernels after 6.1 want of the calls of `mcount`.
//!
//! `KLINK_SORTTABLE` names a `sorttable` of Linux 6.15 or later, built with `-DMCOUNT_SORT_ENABLED`; without
//! it there is nothing to compare with. Linux 7.2.13's gave the same bytes.

use std::path::PathBuf;
use std::process::Command;

use klink_tables::sort::image;
use klink_tables::sort::mcount::WeakCalls;
use klink_tables::{Endian, WordSize};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

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

/// Kernels with calls, and functions that some of them are in, as `nm -S` lists these.
fn any_kernel() -> impl Strategy<Value = (Kernel, String)> {
    let machine = prop::sample::select(vec![
        (62_u16, WordSize::Eight, Endian::Little),
        (183, WordSize::Eight, Endian::Little),
        (243, WordSize::Eight, Endian::Little),
        (40, WordSize::Four, Endian::Little),
        (22, WordSize::Eight, Endian::Big),
    ]);
    let calls = prop::collection::vec(0_u64..400, 1..60);
    let functions = prop::collection::btree_map(0_u64..40, 1_u64..10, 0..30);
    (machine, calls, functions, any::<bool>()).prop_map(
        |((machine, word, endian), calls, functions, relocated)| {
            let mut kernel = Kernel::new(machine, word, endian);
            let text = kernel.section(".text", vec![0; 0x1000]);
            kernel.sections[0].flags = SHF_ALLOC | SHF_EXECINSTR;
            let start = Kernel::address(text);
            kernel.section("__ex_table", Vec::new());
            kernel.flag();
            let mut list = String::new();
            for (at, size) in functions {
                let (value, size) = (start + 10 * at, size);
                kernel.symbol("function", value, size, 2, text);
                list += &format!("{value:016x} {size:016x} t function\n");
            }
            let addresses = calls.iter().map(|call| start + call);
            // Only arm64's calls are made by relocations.
            let relocated = relocated && machine == 183;
            let bytes: Vec<u8> = match relocated {
                true => vec![0; 8 * calls.len()],
                false => addresses
                    .clone()
                    .flat_map(|call| kernel.word(call))
                    .collect(),
            };
            let size = bytes.len() as u64;
            let section = kernel.section(".init.data", bytes);
            let start = Kernel::address(section);
            kernel.symbol("__start_mcount_loc", start, 0, 0, section);
            kernel.symbol("__stop_mcount_loc", start + size, 0, 0, section);
            if relocated {
                let places = (start..).step_by(8);
                let records = places
                    .zip(addresses)
                    .flat_map(|(place, call)| [place, 0x403, call].map(u64::to_le_bytes).concat());
                kernel.sections.push(Section {
                    name: ".rela.dyn",
                    kind: SHT_RELA,
                    flags: SHF_ALLOC,
                    info: 0,
                    bytes: records.collect(),
                });
            }
            (kernel, list)
        },
    )
}

#[test]
fn bytes_are_those_of_newer_kernels() {
    let Some(program) = std::env::var_os("KLINK_SORTTABLE").map(PathBuf::from) else {
        eprintln!("skipped: KLINK_SORTTABLE is not set");
        return;
    };
    let config = Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&any_kernel(), |(kernel, list)| {
        let file = kernel.file();
        for weak in [WeakCalls::Keep, WeakCalls::Zero] {
            std::fs::write(folder.path().join("vmlinux"), &file)?;
            std::fs::write(folder.path().join("list"), &list)?;
            let mut command = Command::new(&program);
            if weak == WeakCalls::Zero {
                command.args(["-s", "list"]);
            }
            let output = command.arg("vmlinux").current_dir(folder.path()).output()?;
            let message = String::from_utf8_lossy(&output.stderr);
            prop_assert!(output.status.success(), "{}", message);
            let expected = std::fs::read(folder.path().join("vmlinux"))?;
            // Without a list of functions none is weak.
            let mut ours = file.clone();
            let weak = if list.is_empty() {
                WeakCalls::Keep
            } else {
                weak
            };
            image(&mut ours, weak).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert!(ours == expected, "{:?}", weak);
        }
        Ok(())
    });
    outcome.expect("the same bytes");
}
