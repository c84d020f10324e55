//! Unwind data of this very program, as GNU readelf lists them.

use std::process::Command;

use klink_tables::eh_frame::{functions, trim};
use klink_tables::{Endian, Numbers, WordSize};
use object::Endianness;
use object::elf::FileHeader64;
use object::read::elf::{FileHeader, SectionHeader};
use proptest::prelude::*;

use crate::skip;

const NUMBERS: Numbers = Numbers {
    word: WordSize::Eight,
    endian: if cfg!(target_endian = "big") {
        Endian::Big
    } else {
        Endian::Little
    },
};

/// The section of this program, and its address.
fn own() -> (Vec<u8>, u64) {
    let program = std::env::current_exe().expect("a program");
    let bytes = std::fs::read(program).expect("to read it");
    let header = FileHeader64::<Endianness>::parse(&bytes[..]).expect("an ELF file");
    let endian = header.endian().expect("a byte order");
    let sections = header.sections(endian, &bytes[..]).expect("sections");
    let (_, section) = sections
        .section_by_name(endian, b".eh_frame")
        .expect("unwind data");
    let contents = section.data(endian, &bytes[..]).expect("contents");
    (contents.to_vec(), section.sh_addr(endian))
}

#[test]
fn functions_are_those_of_readelf() {
    let mut readelf = Command::new("readelf");
    readelf
        .arg("--debug-dump=frames")
        .arg(std::env::current_exe().expect("a program"));
    let Ok(output) = readelf.env("LC_ALL", "C").output() else {
        return skip("readelf is not installed");
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let expected: Vec<(u64, u64)> = text
        .lines()
        .filter_map(|line| {
            let (start, end) = line.split_once(" pc=")?.1.split_once("..")?;
            let number = |digits: &str| u64::from_str_radix(digits.trim(), 16).ok();
            Some((number(start)?, number(end)?))
        })
        .collect();
    let (bytes, address) = own();
    let found: Vec<_> = functions(NUMBERS, &bytes, address)
        .map(|function| (function.addresses.start, function.addresses.end))
        .collect();
    assert!(found.len() > 100);
    assert_eq!(found, expected);
}

#[test]
fn what_is_gone_is_about_nothing() {
    let (mut bytes, address) = own();
    let before: Vec<_> = functions(NUMBERS, &bytes, address).collect();
    let middle = before[before.len() / 2].addresses.start;
    let gone = middle..u64::MAX;
    let count = trim(NUMBERS, &mut bytes, address, std::slice::from_ref(&gone));
    assert!(count > 0);
    let after: Vec<_> = functions(NUMBERS, &bytes, address).collect();
    assert_eq!(after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        if before.addresses.start >= middle {
            assert!(after.addresses.is_empty());
        } else {
            assert_eq!(after, before);
        }
    }
}

proptest! {
    /// Damaged data end, and nothing else.
    #[test]
    fn damage_is_survived(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        address in any::<u64>(),
    ) {
        let (bytes, _) = own();
        let mut bytes = bytes[..bytes.len().min(2000)].to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        prop_assert!(functions(NUMBERS, &bytes, address).count() <= bytes.len() / 4);
        trim(NUMBERS, &mut bytes, address, std::slice::from_ref(&(0..u64::MAX)));
    }
}
