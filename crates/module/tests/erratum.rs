//! Cortex-A53 erratum 843419: no instruction that computes a page's address is left at the end of a page,
//! and each still computes it.

mod common;

use common::ALL;
use common::host::Simulated;
use klink_arch::{Arch, PAGE_BYTES};
use klink_module::{Error, Export, ModuleFile, Policy, SymbolTable};

const ADRP: &[u8] = include_bytes!("data/adrp.aarch64.ko");

/// What `adrp` or `adr` at an address puts into a register, and which register.
fn page_address(arch: &Arch, word: u32, place: u64) -> Option<(u32, u64)> {
    let row = arch.relocation_by_name(match word & 0x9f00_0000 {
        0x9000_0000 => "R_AARCH64_ADR_PREL_PG_HI21",
        0x1000_0000 => "R_AARCH64_ADR_PREL_LO21",
        _ => return None,
    })?;
    let from = match word >> 31 {
        1 => place & !(PAGE_BYTES - 1),
        _ => place,
    };
    let distance = row.field.decode(word.into());
    Some((word & 31, from.wrapping_add_signed(distance)))
}

#[test]
fn pages_are_computed_elsewhere_where_processors_err() {
    let file = ModuleFile::parse(ADRP).unwrap();
    let arch = file.arch();
    let far_away = ALL[3].kernel + 0x12_3456;
    let mut kernel = SymbolTable::new();
    kernel.insert(b"far_away", Export::at(far_away));
    for erratum in [false, true] {
        let policy = Policy {
            erratum,
            ..Policy::linux(arch)
        };
        let plan = file.plan(&policy).unwrap();
        let mut space = ALL[3].space();
        let placement = plan.allocate(|block| {
            Ok::<_, Error>(Simulated {
                address: space.place(block),
                bytes: vec![0; block.size as usize],
            })
        });
        let mut linked = plan.link(placement.unwrap(), &kernel).unwrap();
        let base = linked.memory(plan.blocks()[0].id).unwrap().address;
        let text = linked
            .section_address(file.find_section(b".text").unwrap())
            .unwrap();
        let near = linked
            .section_address(file.find_section(b".data").unwrap())
            .unwrap();
        let block = linked.memory(plan.blocks()[0].id).unwrap().bytes.clone();
        let word = |address: u64| {
            let at = (address - base) as usize;
            u32::from_le_bytes(block[at..at + 4].try_into().unwrap())
        };
        let jump = |address: u64| {
            let row = arch.relocation_by_name("R_AARCH64_JUMP26").unwrap();
            let goes = word(address) >> 26 == 0b000101;
            goes.then(|| address.wrapping_add_signed(row.field.decode(word(address).into())))
        };
        let mut veneers = 0;
        for (offset, register, target) in [
            (0xff8, 3, near),
            (0xffc, 17, far_away),
            (0x1ff8, 0, far_away),
            (0x1ffc, 30, near + 0x2000),
        ] {
            let place = text + offset;
            let page = target & !(PAGE_BYTES - 1);
            let mut at = place;
            if let Some(veneer) = jump(place) {
                veneers += 1;
                at = veneer;
                assert_eq!(jump(veneer + 8), Some(place + 4), "it comes back");
                // add xN, xN, #0: the page itself
                assert_eq!(word(veneer + 4), 0x9100_0000 | register << 5 | register);
            } else if erratum {
                assert_eq!(word(place) >> 31, 0, "adr needs no page");
            }
            assert!(!erratum || word(at) >> 31 == 0 || at & 0xfff < 0xff8);
            assert_eq!(page_address(arch, word(at), at), Some((register, page)));
        }
        assert_eq!(veneers, if erratum { 2 } else { 0 });
        assert_eq!(linked.stub_count(), veneers);
    }
}
