//! The formulas and overflow rules of x86-64 and i386 against GNU ld.

mod common;

use common::ranges::{ANY, bitfield, compare_edges, compare_ranges, rule, signed, site, unsigned};
use common::{Binutils, I386, Site, TEXT, X86_64, scatter, section_bytes};
use klink_arch::Values;

#[test]
fn x86_64_values_are_refused_where_ld_refuses() {
    compare_edges(
        &X86_64,
        &[
            rule("R_X86_64_32", unsigned(32)),
            rule("R_X86_64_32S", signed(32)),
            rule("R_X86_64_PC32", signed(32)),
            rule("R_X86_64_PLT32", signed(32)),
            rule("R_X86_64_16", bitfield(16)),
            rule("R_X86_64_PC16", bitfield(16)),
            rule("R_X86_64_8", bitfield(8)),
            rule("R_X86_64_PC8", signed(8)),
        ],
    );
}

#[test]
fn i386_values_are_refused_where_ld_refuses() {
    compare_edges(
        &I386,
        &[
            rule("R_386_16", bitfield(16)),
            rule("R_386_PC16", bitfield(16)),
            rule("R_386_8", bitfield(8)),
            rule("R_386_PC8", signed(8)),
        ],
    );
}

#[test]
fn x86_64_fields_over_their_ranges() {
    compare_ranges(
        &X86_64,
        &[
            rule("R_X86_64_64", (i64::MIN, i64::MAX)),
            rule("R_X86_64_PC64", ANY),
            rule("R_X86_64_32", unsigned(32)),
            rule("R_X86_64_32S", signed(32)),
            rule("R_X86_64_PC32", signed(32)),
            rule("R_X86_64_PLT32", signed(32)),
            rule("R_X86_64_16", bitfield(16)),
            rule("R_X86_64_PC16", bitfield(16)),
            rule("R_X86_64_8", bitfield(8)),
            rule("R_X86_64_PC8", signed(8)),
        ],
    );
}

#[test]
fn i386_fields_over_their_ranges() {
    compare_ranges(
        &I386,
        &[
            rule("R_386_32", signed(32)),
            rule("R_386_PC32", signed(32)),
            rule("R_386_PLT32", signed(32)),
            rule("R_386_16", bitfield(16)),
            rule("R_386_PC16", bitfield(16)),
            rule("R_386_8", bitfield(8)),
            rule("R_386_PC8", signed(8)),
        ],
    );
}

/// Addends in fields: of every size and sign, and the sum decides what fits.
#[test]
fn i386_addends_are_in_the_fields() {
    if !I386.available() {
        return;
    }
    for (name, bits) in [
        ("R_386_32", 32),
        ("R_386_PC32", 32),
        ("R_386_16", 16),
        ("R_386_PC16", 16),
        ("R_386_8", 8),
        ("R_386_PC8", 8),
    ] {
        let (min, max) = signed(bits);
        let len = I386.site_len(name) as u64;
        let row = I386.arch.relocation_by_name(name).unwrap();
        let sites: Vec<Site> = [min, min + 1, -1, 0, 1, max - 1, max]
            .into_iter()
            .chain(scatter(500).map(|n| n.cast_signed() >> (64 - bits)))
            .zip(0..)
            .map(|(addend, nth)| {
                // the value: the addend less 1, or plus 1 for the smallest
                let value = if addend == min {
                    addend + 1
                } else {
                    addend - 1
                };
                let values = Values::default();
                let mut site = site(&I386, name, value - addend, nth * len, &values);
                let mut bytes = [0; 8];
                row.set_implicit_addend(I386.arch.endian, &mut bytes, addend)
                    .unwrap();
                assert_eq!(row.implicit_addend(I386.arch.endian, &bytes), Ok(addend));
                site.word = row.field.read(I386.arch.endian, &bytes).unwrap();
                site
            })
            .collect();
        I386.compare(&sites, &[], &Values::default());
    }
}

#[test]
fn x86_64_offsets_of_and_to_the_got() {
    if !X86_64.available() {
        return;
    }
    let names = [
        "R_X86_64_GOT32",
        "R_X86_64_GOTPCREL",
        "R_X86_64_GOT64",
        "R_X86_64_GOTPCREL64",
        "R_X86_64_GOTPC32",
        "R_X86_64_GOTOFF64",
        "R_X86_64_GOTPC64",
        "R_X86_64_PLTOFF64",
    ];
    // in .data, since ld takes no GOTOFF64 of an absolute symbol
    compare_got(&X86_64, &names, 8);
}

#[test]
fn i386_offsets_of_and_to_the_got() {
    if !I386.available() {
        return;
    }
    compare_got(&I386, &["R_386_GOT32", "R_386_GOTOFF", "R_386_GOTPC"], 4);
}

fn compare_got(tools: &Binutils, names: &[&str], slot_len: usize) {
    let mut source = String::from("_start:\n");
    let mut offset = 0;
    for name in names {
        let symbol = if name.contains("GOTPC") && !name.contains("PCREL") {
            "_GLOBAL_OFFSET_TABLE_"
        } else {
            "here"
        };
        let row = tools.arch.relocation_by_name(name).unwrap();
        source += &format!(
            "\t.zero {}\n\t.reloc {offset}, {name}, {symbol}\n",
            row.len()
        );
        offset += row.len();
    }
    source += "\t.data\n\t.long 1, 2, 3\n\t.globl here\nhere:\t.long 4\n";
    let linked = tools.link(&source, &[]).unwrap();
    let (data, _) = linked.section(".data");
    let here = data + 12;
    let (got_start, slots) = linked.section(".got");
    let nth = slots
        .chunks(slot_len)
        .position(|slot| slot == &here.to_le_bytes()[..slot_len])
        .expect("a slot for the symbol");
    let (got, _) = linked.section(".got.plt");
    let mut offset = 0;
    for name in names {
        let row = tools.arch.relocation_by_name(name).unwrap();
        let values = Values {
            symbol: here,
            place: TEXT + offset as u64,
            got,
            slot: got_start + (nth * slot_len) as u64,
            ..Values::default()
        };
        let mut bytes = linked.before[offset..offset + row.len()].to_vec();
        row.apply(tools.arch.endian, &mut bytes, &values).unwrap();
        assert_eq!(
            bytes,
            linked.after[offset..offset + row.len()],
            "{name}; ld on the right"
        );
        offset += row.len();
    }
}

#[test]
fn sizes_of_symbols() {
    for (tools, names) in [
        (X86_64, ["R_X86_64_SIZE32", "R_X86_64_SIZE64"]),
        (I386, ["R_386_SIZE32", "R_386_SIZE32"]),
    ] {
        if !tools.available() {
            return;
        }
        for name in names {
            let row = tools.arch.relocation_by_name(name).unwrap();
            let source = format!(
                "_start:\n\t.zero 8\n\t.reloc 0, {name}, here\n\
                 \t.data\n\t.globl here\nhere:\t.zero 0x123\n\t.size here, 0x123\n"
            );
            let linked = tools.link(&source, &[]).unwrap();
            let mut bytes = linked.before.clone();
            let values = Values {
                size: 0x123,
                ..Values::default()
            };
            row.apply(tools.arch.endian, &mut bytes, &values).unwrap();
            assert_eq!(bytes, linked.after, "{name}; ld on the right");
        }
    }
}

/// What an assembler makes of real branches is what [`Branch`](klink_arch::Branch) says of them.
#[test]
fn branches_go_where_they_are_decoded_to() {
    for (tools, name) in [(X86_64, "R_X86_64_PLT32"), (I386, "R_386_PLT32")] {
        if !tools.available() {
            return;
        }
        let row = tools.arch.relocation_by_name(name).unwrap();
        for (source, field, end) in [
            ("call .+0x1005", 1, 5),
            ("jmp .+0x1005", 1, 5),
            ("je .+0x1006", 2, 6),
        ] {
            let code = tools.assemble(&format!("\t{source}\n"));
            assert_eq!(code.len(), end, "{source}");
            let displacement = row
                .decode_branch(tools.arch.endian, &code[field..])
                .unwrap();
            assert_eq!(displacement + field as i64, 0x1000 + end as i64, "{source}");
        }
    }
}

/// ld pads code under `-r` as [`CodeFill`](klink_arch::CodeFill) says.
#[test]
fn gaps_in_code_are_filled_as_ld_fills_them() {
    for tools in [X86_64, I386] {
        if !tools.available() {
            return;
        }
        for gap in 1..32 {
            // the second object's .text is aligned; ld fills in front of it
            let first = format!("_start:\n\t.fill {}, 1, 0xf4\n", 32 - gap);
            let second = "\t.text\n\t.balign 32\n\t.byte 0xf4\n";
            let file = tools.link_relocatable(&[&first, second], &[]);
            let text = section_bytes(&file, ".text");
            let mut expected = vec![0; gap];
            tools.arch.code_fill.fill(&mut expected);
            assert_eq!(
                text[32 - gap..32],
                expected,
                "{} {gap}; ld first",
                tools.arch.name
            );
        }
    }
}
