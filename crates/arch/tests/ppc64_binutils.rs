//! The formulas, fields and overflow rules of 64-bit PowerPC, of both byte orders, against GNU as and
//! ld.

mod common;

use std::fs;

use common::ranges::{
    ANY, Rule, bitfield, compare_edges, compare_misaligned, compare_ranges, compare_ranges_with,
    rule, signed, units,
};
use common::{Binutils, PPC64, PPC64LE, TEXT, scatter, section_bytes};
use klink_arch::{Class, Endian, Relocation, StubTemplate, Value, Values};
use object::{Object, ObjectSymbol};
use tempfile::TempDir;

const BOTH: [Binutils; 2] = [PPC64LE, PPC64];

/// 32 signed bits whose high half is adjusted.
const ADJUSTED: (i64, i64) = (signed(32).0 - 0x8000, signed(32).1 - 0x8000);

/// Half words, two of which are an instruction whose 16 bits may be signed or unsigned.
const CMPLI: u64 = 0x2bff;

/// Half words, two of which are an instruction with a DS field.
const STD: u64 = 0xf800;

/// Values that may not be anything.
const CHECKED: &[Rule] = &[
    rule("R_PPC64_ADDR32", bitfield(32)),
    rule("R_PPC64_UADDR32", bitfield(32)),
    rule("R_PPC64_ADDR16", bitfield(16)).over(CMPLI),
    rule("R_PPC64_UADDR16", bitfield(16)).over(CMPLI),
    rule("R_PPC64_ADDR16_HI", bitfield(32)).over(CMPLI),
    rule("R_PPC64_ADDR16_HA", ADJUSTED),
    units("R_PPC64_ADDR24", 4, bitfield(26)),
    units("R_PPC64_ADDR14", 4, signed(16)),
    units("R_PPC64_ADDR16_DS", 4, signed(16)).over(STD),
    units("R_PPC64_REL24", 4, signed(26)),
    units("R_PPC64_REL14", 4, signed(16)),
    rule("R_PPC64_REL32", signed(32)),
    rule("R_PPC64_REL16", signed(16)),
    rule("R_PPC64_REL16_HI", bitfield(32)).over(CMPLI),
    rule("R_PPC64_REL16_HA", ADJUSTED),
    rule("R_PPC64_REL16DX_HA", ADJUSTED),
];

const UNCHECKED: &[Rule] = &[
    rule("R_PPC64_ADDR64", (i64::MIN, i64::MAX)),
    rule("R_PPC64_UADDR64", (i64::MIN, i64::MAX)),
    rule("R_PPC64_ADDR16_LO", ANY),
    rule("R_PPC64_ADDR16_HIGH", ANY),
    rule("R_PPC64_ADDR16_HIGHA", ANY),
    rule("R_PPC64_ADDR16_HIGHER", ANY),
    rule("R_PPC64_ADDR16_HIGHERA", ANY),
    rule("R_PPC64_ADDR16_HIGHEST", ANY),
    rule("R_PPC64_ADDR16_HIGHESTA", ANY),
    units("R_PPC64_ADDR16_LO_DS", 4, ANY).over(STD),
    rule("R_PPC64_REL64", ANY),
    rule("R_PPC64_REL16_LO", ANY),
    rule("R_PPC64_REL16_HIGH", ANY),
    rule("R_PPC64_REL16_HIGHA", ANY),
    rule("R_PPC64_REL16_HIGHER", ANY),
    rule("R_PPC64_REL16_HIGHERA", ANY),
    rule("R_PPC64_REL16_HIGHEST", ANY),
    rule("R_PPC64_REL16_HIGHESTA", ANY),
];

#[test]
fn values_are_refused_where_ld_refuses() {
    for tools in &BOTH {
        compare_edges(tools, CHECKED);
    }
}

#[test]
fn checked_fields_over_their_ranges() {
    for tools in &BOTH {
        compare_ranges(tools, CHECKED);
    }
}

#[test]
fn unchecked_fields_over_their_ranges() {
    for tools in &BOTH {
        compare_ranges(tools, UNCHECKED);
    }
}

#[test]
fn offsets_that_are_no_multiple_are_refused() {
    for tools in &BOTH {
        compare_misaligned(tools, &["R_PPC64_ADDR16_DS", "R_PPC64_ADDR16_LO_DS"]);
    }
}

/// Where ld has `.TOC.` in a link without a TOC.
const TOC: u64 = TEXT + 0x8000;

#[test]
fn offsets_from_the_toc_pointer() {
    let values = Values {
        gp: TOC,
        ..Values::default()
    };
    let rules = [
        rule("R_PPC64_TOC16", signed(16)),
        rule("R_PPC64_TOC16_LO", ANY),
        rule("R_PPC64_TOC16_HI", bitfield(32)).over(CMPLI),
        rule("R_PPC64_TOC16_HA", ADJUSTED),
        units("R_PPC64_TOC16_DS", 4, signed(16)).over(STD),
        units("R_PPC64_TOC16_LO_DS", 4, ANY).over(STD),
    ];
    for tools in &BOTH {
        compare_ranges_with(tools, &rules, &values);
    }
}

fn row(tools: &Binutils, name: &str) -> &'static Relocation {
    let name = format!("R_PPC64_{name}");
    tools.arch.relocation_by_name(&name).unwrap()
}

#[test]
fn the_toc_pointer_itself() {
    for tools in &BOTH {
        if !tools.available() {
            return;
        }
        let source = "_start:\n\t.8byte 0\n\t.reloc 0, R_PPC64_TOC, _start\n";
        let linked = tools.link(source, &[]).unwrap();
        let mut bytes = [0; 8];
        let values = Values {
            gp: TOC,
            symbol: 0x77,
            ..Values::default()
        };
        let row = row(tools, "TOC");
        row.apply(tools.arch.endian, &mut bytes, &values).unwrap();
        assert_eq!(bytes, *linked.after, "{}; ld right", tools.arch.name);
    }
}

/// Offsets of slots from the TOC pointer, with the slot that ld made.
#[test]
fn slots_of_the_got() {
    for tools in &BOTH {
        if !tools.available() {
            return;
        }
        let names = [
            "GOT16",
            "GOT16_LO",
            "GOT16_HI",
            "GOT16_HA",
            "GOT16_DS",
            "GOT16_LO_DS",
        ];
        let mut source = String::from("_start:\n");
        for (name, offset) in names.iter().zip((0..).step_by(2)) {
            source += &format!("\t.2byte 0\n\t.reloc {offset}, R_PPC64_{name}, here\n");
        }
        source += "\t.data\n\t.8byte 1, 2\n\t.globl here\nhere:\t.8byte 4\n";
        let linked = tools.link(&source, &[]).unwrap();
        let here = linked.section(".data").0 + 16;
        let (got, slots) = linked.section(".got");
        let here = match tools.arch.endian {
            Endian::Little => here.to_le_bytes(),
            Endian::Big => here.to_be_bytes(),
        };
        let nth = slots.chunks(8).position(|slot| slot == here);
        let values = Values {
            gp: got + 0x8000,
            slot: got + 8 * nth.expect("a slot for the symbol") as u64,
            ..Values::default()
        };
        for (name, offset) in names.iter().zip((0..).step_by(2)) {
            let mut bytes = [0; 2];
            row(tools, name)
                .apply(tools.arch.endian, &mut bytes, &values)
                .unwrap();
            assert_eq!(bytes, linked.after[offset..offset + 2], "{name}; ld right");
        }
    }
}

/// What the assembler makes of instructions is what relocating their empty form gives.
#[test]
fn instructions_are_what_the_assembler_writes() {
    for tools in &BOTH {
        if !tools.available() {
            return;
        }
        let low = match tools.arch.endian {
            Endian::Little => 0,
            Endian::Big => 2,
        };
        for (source, empty, name, at, value) in [
            ("b .+0x1fffffc", 0x4800_0000, "REL24", 0, 0x1ff_fffc),
            ("bl .-0x2000000", 0x4800_0001, "REL24", 0, -0x200_0000),
            ("bne .+0x7ffc", 0x4082_0000, "REL14", 0, 0x7ffc),
            ("addpcis 3, -2", 0x4c60_0004, "REL16DX_HA", 0, -0x2_0000),
            (
                "addpcis 3, 0x7abd",
                0x4c60_0004,
                "REL16DX_HA",
                0,
                0x7abd_1234,
            ),
            ("addi 3, 4, -0x8000", 0x3864_0000, "ADDR16_LO", low, 0x8000),
            ("addis 3, 4, 1", 0x3c64_0000, "ADDR16_HA", low, 0x8000),
            ("ld 3, -4(4)", 0xe864_0000, "ADDR16_DS", low, -4),
            ("stdu 3, 0x7ffc(4)", 0xf864_0001, "ADDR16_DS", low, 0x7ffc),
        ] {
            let row = row(tools, name);
            let mut code = match tools.arch.endian {
                Endian::Little => u32::to_le_bytes(empty),
                Endian::Big => u32::to_be_bytes(empty),
            };
            let values = Values {
                symbol: i64::cast_unsigned(value),
                ..Values::default()
            };
            row.apply(tools.arch.endian, &mut code[at..], &values)
                .unwrap();
            let expected = tools.assemble(&format!("\t.machine power9\n\t{source}\n"));
            assert_eq!(code, *expected, "{source}; as on the right");
            if let Some(displacement) = row.decode_branch(tools.arch.endian, &code) {
                assert_eq!(displacement, value, "{source}");
            }
        }
    }
}

/// The large model's entry becomes the small model's where ±2 GiB reach, and stays elsewhere or where
/// the instructions are others.
#[test]
fn function_entries_are_shortened_as_ld_does() {
    if !PPC64LE.available() {
        return;
    }
    const HIGH_TEXT: u64 = 0xc000_0000_1000_0000;
    let entry = "\tld 2,-8(12)\n\tadd 2,2,12\n";
    let other = "\tld 2,-8(12)\n\tadd 2,12,2\n";
    let random = scatter(30).map(|number| number.cast_signed() >> 32 & !3);
    for distance in [
        0x8000,
        0x8004,
        -0x8000,
        -0x8004,
        0x7fff_7ffc,
        0x7fff_8000,
        -0x8000_8000,
        -0x8000_8004,
    ]
    .into_iter()
    .chain(random)
    {
        for instructions in [entry, other] {
            // ld aligns the start of the TOC to 256 bytes; the rest of the distance is in front
            let pad = -distance & 0xff;
            let place = HIGH_TEXT.wrapping_add_signed(pad);
            let toc = place.wrapping_add_signed(distance);
            let source = format!(
                "_start:\n\t.zero {pad}\n\t.reloc {pad}, R_PPC64_ENTRY\n{instructions}\
                 \t.section .toc,\"aw\"\n\t.8byte 1\n"
            );
            let dir = TempDir::new().unwrap();
            let options = [
                &format!("-Ttext={HIGH_TEXT:#x}"),
                &format!("--section-start=.got={:#x}", toc - 0x8000),
                "--no-check-sections",
                "-znorelro",
            ];
            let program = PPC64LE.try_link_program(dir.path(), &source, &options);
            let file = fs::read(program.unwrap()).unwrap();
            let mut bytes = PPC64LE.assemble(instructions);
            let values = Values {
                gp: toc,
                place,
                ..Values::default()
            };
            let row = row(&PPC64LE, "ENTRY");
            assert!(matches!(row.value, Value::Sequence(_)));
            row.apply(PPC64LE.arch.endian, &mut bytes, &values).unwrap();
            let linked = &section_bytes(&file, ".text")[usize::try_from(pad).unwrap()..];
            assert_eq!(bytes, linked, "{distance:#x}; ld right");
        }
    }
}

/// Branches go to the entry point that `st_other` says.
#[test]
fn branches_go_to_local_entries() {
    if !PPC64LE.available() {
        return;
    }
    for (distance, words) in [(0, 0), (4, 1), (8, 2), (16, 4), (32, 8), (64, 16)] {
        let source = format!(
            "_start:\n\tbl function\n\tnop\n\t.globl function\n\t.type function,@function\n\
             function:\n\t.zero {}\n\t.localentry function,.-function\n\tblr\n",
            4 * words
        );
        let object = PPC64LE.link_relocatable(&[&source], &[]);
        let file = object::File::parse(&*object).unwrap();
        let function = file.symbol_by_name("function").unwrap();
        let object::SymbolFlags::Elf { st_other, .. } = function.flags() else {
            panic!("no ELF symbol");
        };
        let offset = PPC64LE.arch.local_entry_offset(st_other.0);
        assert_eq!(offset, distance, "st_other {:#x}", st_other.0);
        assert_eq!(PPC64.arch.local_entry_offset(st_other.0), 0);
        let linked = PPC64LE.link(&source, &[]).unwrap();
        let branch = row(&PPC64LE, "REL24");
        let to = branch.decode_branch(Endian::Little, &linked.after);
        assert_eq!(to, Some(8 + distance.cast_signed()), "where ld branches to");
    }
    // 1: one entry point, and r2 is not kept
    assert_eq!(PPC64LE.arch.local_entry_offset(1 << 5), 0);
}

/// The loader's stubs, from the assembler and with the fields that ld writes.
#[test]
fn loader_stubs_are_what_the_tools_write() {
    if !PPC64LE.available() {
        return;
    }
    let stubs = PPC64LE.arch.load.stubs.as_ref().unwrap();
    let code = |source: &str| PPC64LE.assemble(source);
    let tail = "\tmtctr 12\n\tbctr\n";
    let data = "\t.4byte 0x73747562\n\t.8byte target\n";
    let [tracer, plain] = stubs.kinds else {
        panic!("two kinds of stubs")
    };
    let sources = [
        format!(
            "\tld 12,16(13)\n\taddis 12,12,target@toc@ha\n\taddi 12,12,target@toc@l\n{tail}\
             \t.4byte 0, 0\n{data}"
        ),
        format!(
            "\taddis 11,2,_start@toc@ha\n\taddi 11,11,_start@toc@l\n\tstd 2,24(1)\n\
             \tld 12,32(11)\n{tail}\t.4byte 0\n{data}"
        ),
    ];
    for (kind, source) in [tracer, plain].into_iter().zip(sources) {
        let stub: &StubTemplate = kind.template;
        assert_eq!(stub.len(), stubs.slot_bytes as usize);
        assert_eq!(stub.code, code(&source), "{}; as right", stub.name);
        for target in [0x1_0000, 0xc000_0000_0123_4567, TOC + 0x7654_3210] {
            // a target that the low 32 bits reach, as the tracer's stub must
            let target = if kind.kernel_pointer {
                TOC + target % (1 << 30)
            } else {
                target
            };
            let linked = PPC64LE
                .link(&format!("_start:\n{source}"), &[("target", target)])
                .unwrap();
            let mut bytes = vec![0; stub.len()];
            let values = Values {
                symbol: target,
                place: TEXT,
                gp: TOC,
                ..Values::default()
            };
            stub.resolve_with(PPC64LE.arch, &values, &mut bytes)
                .unwrap();
            assert_eq!(
                bytes, linked.after,
                "{} to {target:#x}; ld right",
                stub.name
            );
        }
    }
    let restore = PPC64LE.arch.load.after_call.unwrap();
    let word = |source: &str| u32::from_le_bytes(code(source).try_into().unwrap()).into();
    assert_eq!(
        restore.restore.rewrite(word("\tnop\n")),
        Some(word("\tld 2,24(1)\n"))
    );
    assert_eq!(restore.restore.rewrite(word("\tblr\n")), None);
    assert!(restore.calls.matches(word("\tbl .\n")));
    for source in ["\tb .\n", "\tbla 16\n", "\tbctrl\n"] {
        assert!(!restore.calls.matches(word(source)), "{source}");
    }
}

#[test]
fn both_byte_orders_have_the_same_rows() {
    assert_eq!(PPC64.arch.relocations, PPC64LE.arch.relocations);
    assert_eq!(PPC64.arch.class, Class::Elf64);
}
