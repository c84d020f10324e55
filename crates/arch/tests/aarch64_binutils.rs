//! The formulas, fields and overflow rules of AArch64 against GNU as and ld.

mod common;

use std::fs;

use common::ranges::{
    ANY, Rule, compare_edges, compare_misaligned, compare_ranges, rule, signed, units, unsigned,
};
use common::{AARCH64, TEXT, scatter, sections_of};
use klink_arch::{PAGE_BYTES, RelocError, Relocation, Values, aarch64};
use tempfile::TempDir;

/// Values that may not be anything: from the sign and width of the field.
const CHECKED: &[Rule] = &[
    rule("R_AARCH64_ABS32", unsigned(32)),
    rule("R_AARCH64_ABS16", unsigned(16)),
    rule("R_AARCH64_PREL32", signed(32)),
    rule("R_AARCH64_PREL16", signed(16)),
    rule("R_AARCH64_MOVW_UABS_G0", unsigned(16)),
    rule("R_AARCH64_MOVW_UABS_G1", unsigned(32)),
    rule("R_AARCH64_MOVW_UABS_G2", unsigned(48)),
    rule("R_AARCH64_MOVW_SABS_G0", signed(17)),
    rule("R_AARCH64_MOVW_SABS_G1", signed(33)),
    rule("R_AARCH64_MOVW_SABS_G2", signed(49)),
    rule("R_AARCH64_MOVW_PREL_G0", signed(17)),
    rule("R_AARCH64_MOVW_PREL_G1", signed(33)),
    rule("R_AARCH64_MOVW_PREL_G2", signed(49)),
    units("R_AARCH64_LD_PREL_LO19", 4, signed(21)),
    rule("R_AARCH64_ADR_PREL_LO21", signed(21)),
    units("R_AARCH64_ADR_PREL_PG_HI21", 0x1000, signed(33)),
    units("R_AARCH64_TSTBR14", 4, signed(16)),
    units("R_AARCH64_CONDBR19", 4, signed(21)),
    units("R_AARCH64_JUMP26", 4, signed(28)),
    units("R_AARCH64_CALL26", 4, signed(28)),
];

const UNCHECKED: &[Rule] = &[
    rule("R_AARCH64_ABS64", (i64::MIN, i64::MAX)),
    rule("R_AARCH64_PREL64", ANY),
    rule("R_AARCH64_MOVW_UABS_G0_NC", ANY),
    rule("R_AARCH64_MOVW_UABS_G1_NC", ANY),
    rule("R_AARCH64_MOVW_UABS_G2_NC", ANY),
    rule("R_AARCH64_MOVW_UABS_G3", (i64::MIN, i64::MAX)),
    rule("R_AARCH64_MOVW_PREL_G0_NC", ANY),
    rule("R_AARCH64_MOVW_PREL_G1_NC", ANY),
    rule("R_AARCH64_MOVW_PREL_G2_NC", ANY),
    rule("R_AARCH64_MOVW_PREL_G3", ANY),
    units("R_AARCH64_ADR_PREL_PG_HI21_NC", 0x1000, ANY),
    rule("R_AARCH64_ADD_ABS_LO12_NC", ANY),
    rule("R_AARCH64_LDST8_ABS_LO12_NC", ANY),
    units("R_AARCH64_LDST16_ABS_LO12_NC", 2, ANY),
    units("R_AARCH64_LDST32_ABS_LO12_NC", 4, ANY),
    units("R_AARCH64_LDST64_ABS_LO12_NC", 8, ANY),
    units("R_AARCH64_LDST128_ABS_LO12_NC", 16, ANY),
];

#[test]
fn values_are_refused_where_ld_refuses() {
    compare_edges(&AARCH64, CHECKED);
}

#[test]
fn checked_fields_over_their_ranges() {
    compare_ranges(&AARCH64, CHECKED);
}

#[test]
fn unchecked_fields_over_their_ranges() {
    compare_ranges(&AARCH64, UNCHECKED);
}

/// Every offset in a page, for each size of access.
#[test]
fn offsets_in_pages() {
    let whole = |name, unit| units(name, unit, (0x7_f000, 0x8_1fff));
    compare_ranges(
        &AARCH64,
        &[
            whole("R_AARCH64_ADD_ABS_LO12_NC", 1),
            whole("R_AARCH64_LDST8_ABS_LO12_NC", 1),
            whole("R_AARCH64_LDST16_ABS_LO12_NC", 2),
            whole("R_AARCH64_LDST32_ABS_LO12_NC", 4),
            whole("R_AARCH64_LDST64_ABS_LO12_NC", 8),
            whole("R_AARCH64_LDST128_ABS_LO12_NC", 16),
        ],
    );
}

#[test]
fn offsets_that_are_no_multiple_are_refused() {
    compare_misaligned(
        &AARCH64,
        &[
            "R_AARCH64_LDST16_ABS_LO12_NC",
            "R_AARCH64_LDST32_ABS_LO12_NC",
            "R_AARCH64_LDST64_ABS_LO12_NC",
            "R_AARCH64_LDST128_ABS_LO12_NC",
            "R_AARCH64_LD_PREL_LO19",
        ],
    );
}

/// What the assembler makes of instructions is what relocating their empty form gives.
#[test]
fn instructions_are_what_the_assembler_writes() {
    if !AARCH64.available() {
        return;
    }
    for (source, empty, name, value) in [
        ("adr x3, .+0xffffd", 0x1000_0003, "ADR_PREL_LO21", 0xf_fffd),
        (
            "adr x3, .-0x100000",
            0x1000_0003,
            "ADR_PREL_LO21",
            -0x10_0000,
        ),
        ("b .+0x7fffffc", 0x1400_0000, "JUMP26", 0x7ff_fffc),
        ("bl .-0x8000000", 0x9400_0000, "CALL26", -0x800_0000),
        ("b.ne .-0x100000", 0x5400_0001, "CONDBR19", -0x10_0000),
        ("cbz x9, .+0xffffc", 0xb400_0009, "CONDBR19", 0xf_fffc),
        ("tbnz w1, #3, .+0x7ffc", 0x3718_0001, "TSTBR14", 0x7ffc),
        ("ldr x8, .-4", 0x5800_0008, "LD_PREL_LO19", -4),
        ("add x1, x2, #0xfff", 0x9100_0041, "ADD_ABS_LO12_NC", 0xfff),
        (
            "ldrb w1, [x2, #0xfff]",
            0x3940_0041,
            "LDST8_ABS_LO12_NC",
            0xfff,
        ),
        (
            "ldrh w1, [x2, #0xffe]",
            0x7940_0041,
            "LDST16_ABS_LO12_NC",
            0xffe,
        ),
        (
            "str w1, [x2, #0xffc]",
            0xb900_0041,
            "LDST32_ABS_LO12_NC",
            0xffc,
        ),
        (
            "ldr x1, [x2, #0xff8]",
            0xf940_0041,
            "LDST64_ABS_LO12_NC",
            0xff8,
        ),
        (
            "ldr q1, [x2, #0xff0]",
            0x3dc0_0041,
            "LDST128_ABS_LO12_NC",
            0xff0,
        ),
        (
            "movz x1, #0xabcd, lsl #16",
            0xd2a0_0001,
            "MOVW_UABS_G1",
            0xabcd_1234,
        ),
        (
            "movk x1, #0xabcd, lsl #32",
            0xf2c0_0001,
            "MOVW_UABS_G2_NC",
            0xabcd_0000_0000,
        ),
        // movz becomes movn, and back
        ("movn x1, #0x1234", 0xd280_0001, "MOVW_SABS_G0", -0x1235),
        ("movz x1, #0x1234", 0x9280_0001, "MOVW_SABS_G0", 0x1234),
    ] {
        let row = row(name);
        let mut code = u32::to_le_bytes(empty);
        let values = Values {
            symbol: i64::cast_unsigned(value),
            ..Values::default()
        };
        row.apply(AARCH64.arch.endian, &mut code, &values).unwrap();
        let expected = AARCH64.assemble(&format!("\t{source}\n"));
        assert_eq!(code, *expected, "{source}; as on the right");
        if let Some(displacement) = row.decode_branch(AARCH64.arch.endian, &code) {
            assert_eq!(displacement, value, "{source}");
        }
    }
}

fn row(name: &str) -> &'static Relocation {
    let name = format!("R_AARCH64_{name}");
    AARCH64.arch.relocation_by_name(&name).unwrap()
}

/// Accesses through the global offset table, with the slot that ld made.
#[test]
fn slots_of_the_got() {
    if !AARCH64.available() {
        return;
    }
    let names = [
        "GOT_LD_PREL19",
        "LD64_GOTOFF_LO15",
        "ADR_GOT_PAGE",
        "LD64_GOT_LO12_NC",
        "LD64_GOTPAGE_LO15",
    ];
    let mut source = String::from("_start:\n");
    for (name, offset) in names.iter().zip((0..).step_by(4)) {
        source += &format!("\t.4byte 0\n\t.reloc {offset}, R_AARCH64_{name}, here\n");
    }
    source += "\t.data\n\t.8byte 1, 2\n\t.globl here\nhere:\t.8byte 4\n";
    let linked = AARCH64.link(&source, &[]).unwrap();
    let here = linked.section(".data").0 + 16;
    let (got, slots) = linked.section(".got");
    let nth = slots
        .chunks(8)
        .position(|slot| slot == here.to_le_bytes())
        .expect("a slot for the symbol");
    for (name, offset) in names.iter().zip((0..).step_by(4)) {
        let values = Values {
            symbol: here,
            place: TEXT + offset as u64,
            got,
            slot: got + 8 * nth as u64,
            ..Values::default()
        };
        let mut bytes = [0; 4];
        row(name)
            .apply(AARCH64.arch.endian, &mut bytes, &values)
            .unwrap();
        assert_eq!(bytes, linked.after[offset..offset + 4], "{name}; ld right");
    }
}

/// ld's stubs for far branches are the templates, and lead where they should.
#[test]
fn far_branches_get_the_stubs_of_the_templates() {
    if !AARCH64.available() {
        return;
    }
    let near = AARCH64.arch.image_stub.unwrap();
    let far = &aarch64::LONG_BRANCH;
    for (stub, target) in [
        (near, TEXT + 0x800_1000),
        (near, TEXT + 0xffff_f000),
        (far, TEXT + 0x2_0000_0008),
        (far, 0xffff_8000_1234_5678),
    ] {
        let linked = AARCH64
            .link("_start:\n\tbl target\n\tret\n", &[("target", target)])
            .unwrap();
        let row = row("CALL26");
        let to = row
            .decode_branch(AARCH64.arch.endian, &linked.after)
            .unwrap();
        let start = usize::try_from(to).unwrap();
        let mut expected = vec![0; stub.len()];
        stub.resolve(AARCH64.arch, TEXT + start as u64, target, &mut expected)
            .unwrap();
        assert_eq!(
            &linked.after[start..start + stub.len()],
            expected,
            "{} to {target:#x}; ld left",
            stub.name
        );
    }
}

/// The least alignment that keeps an `adrp` off the end of a page, against trying all of them.
#[test]
fn sections_are_aligned_against_the_erratum() {
    let erratum = &aarch64::ERRATUM_843419;
    for offset in (0..2 * PAGE_BYTES).step_by(4) {
        let helps = |align: &u64| {
            let mut starts = (0..PAGE_BYTES).step_by(usize::try_from(*align).unwrap());
            starts.all(|start| !erratum.hits(start + offset))
        };
        let all = (2..).map(|power| 1_u64 << power);
        let least = all.take_while(|&align| align <= PAGE_BYTES).find(helps);
        let claimed = Some(erratum.safe_align(offset)).filter(|&align| align <= PAGE_BYTES);
        assert_eq!(claimed, least, "{offset:#x}");
    }
}

/// ld, told to mend what erratum 843419 hits, makes an `adr` of the same `adrp`.
#[test]
fn ld_changes_the_adrp_that_the_erratum_hits() {
    if !AARCH64.available() {
        return;
    }
    let erratum = &aarch64::ERRATUM_843419;
    for start in [0xff0_u64, 0xff4, 0xff8, 0xffc] {
        // a load and a store of certain forms behind it: ld changes nothing else
        let source = format!(
            "_start:\n\t.zero {start}\n\tadrp x1, here\n\tldr x2, [x3]\n\
             \tstr x2, [x1, :lo12:here]\n\tret\n\t.data\n\t.balign 8\n\t.8byte 1\nhere:\t.8byte 2\n"
        );
        let dir = TempDir::new().unwrap();
        let options = ["-Ttext=0x100000", "--fix-cortex-a53-843419=adr"];
        let program = AARCH64.try_link_program(dir.path(), &source, &options);
        let sections = sections_of(&fs::read(program.unwrap()).unwrap());
        let section = |name| sections.iter().find(|section| section.0 == name).unwrap();
        let page = (section(".data").1 + 8) & !(PAGE_BYTES - 1);
        let place = TEXT + start;
        let mut expected = AARCH64.assemble("\tadrp x1, .\n");
        let values = Values {
            symbol: page,
            place,
            ..Values::default()
        };
        let row = if erratum.hits(place) {
            expected[3] &= !u8::try_from(erratum.near_clear >> 24).unwrap();
            erratum.near
        } else {
            row("ADR_PREL_PG_HI21")
        };
        row.apply(AARCH64.arch.endian, &mut expected, &values)
            .unwrap();
        let start = usize::try_from(start).unwrap();
        let linked = &section(".text").2[start..start + 4];
        assert_eq!(linked, expected, "at {start:#x}; ld left");
    }
}

#[test]
fn a_value_that_is_too_far_is_printed_in_units() {
    let values = Values {
        symbol: 0x800_0000,
        ..Values::default()
    };
    let error = row("CALL26").apply(AARCH64.arch.endian, &mut [0; 4], &values);
    assert_eq!(
        error,
        Err(RelocError::OutOfRange {
            value: 0x200_0000,
            bits: 26
        })
    );
    for number in scatter(100) {
        let values = Values {
            symbol: number,
            ..Values::default()
        };
        let misaligned = row("LDST64_ABS_LO12_NC")
            .apply(AARCH64.arch.endian, &mut [0; 4], &values)
            .is_err();
        assert_eq!(misaligned, number % 8 != 0);
    }
}
