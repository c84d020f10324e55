//! PA-RISC's fields and formulas against GNU as and ld.
//!
//! GNU as, given numbers, is the oracle for a field alone, over all of its values; GNU ld, given
//! relocations, for selector, formula, field and the edges of the reach together.
//! `KLINK_EXHAUSTIVE=1` walks every value of the 22-bit field, too (12 s); else every 13th.

mod common;

use std::fmt::Write as _;

use common::{Binutils, HPPA32, HPPA64, Site, TEXT, scatter};
use klink_arch::{Field, Values, hppa};

/// Assembles one instruction for each of `values` with `write`, in batches, and compares the bits
/// with the field's encoding of the value (less `bias` for branches).
fn compare_with_as(
    tools: &Binutils,
    field: &Field,
    values: impl Iterator<Item = i64>,
    bias: i64,
    write: impl Fn(&mut String, i64),
) {
    if !tools.available() {
        return;
    }
    let values: Vec<i64> = values.collect();
    for batch in values.chunks(1 << 19) {
        let mut source = String::from("\t.text\n_start:\n");
        for &value in batch {
            write(&mut source, value);
            source.push('\n');
        }
        let code = tools.assemble(&source);
        assert_eq!(code.len(), batch.len() * 4);
        let opcode = u32::from_be_bytes(code[..4].try_into().unwrap()) & !field.mask() as u32;
        for (&value, word) in batch.iter().zip(code.chunks_exact(4)) {
            let word = u32::from_be_bytes(word.try_into().unwrap());
            let got = field.encode(u64::from(opcode), value - bias);
            assert_eq!(
                got,
                u64::from(word),
                "{} {value:#x}; as on the right",
                field.name
            );
            assert_eq!(field.decode(word.into()), value - bias, "{}", field.name);
        }
    }
}

/// All but those for which GNU as takes the short form of a load (5 bits); the tests
/// with GNU ld have these.
fn not_short(values: impl Iterator<Item = i64>) -> impl Iterator<Item = i64> {
    values.filter(|value| !(-16..16).contains(value))
}

/// All values of `bits` bits with the sign, times `step`.
fn signed(bits: u32, step: i64) -> impl Iterator<Item = i64> {
    let half = 1_i64 << (bits - 1);
    (-half..half).map(move |value| value * step)
}

#[test]
fn every_21_bit_immediate() {
    compare_with_as(&HPPA32, &hppa::IMM21, signed(21, 1), 0, |source, value| {
        write!(source, "\tldil {value},%r1").unwrap();
    });
}

#[test]
fn every_14_bit_displacement() {
    compare_with_as(&HPPA32, &hppa::DISP14, signed(14, 1), 0, |source, value| {
        write!(source, "\tldo {value}(%r1),%r2").unwrap();
    });
}

#[test]
fn every_word_and_double_word_displacement_of_14_bits() {
    compare_with_as(
        &HPPA64,
        &hppa::DISP14_WORD,
        not_short(signed(12, 4)),
        0,
        |source, value| {
            write!(source, "\tfldw {value}(%r1),%fr4").unwrap();
        },
    );
    compare_with_as(
        &HPPA64,
        &hppa::DISP14_DOUBLE,
        not_short(signed(11, 8)),
        0,
        |source, value| {
            write!(source, "\tldd {value}(%r1),%r2").unwrap();
        },
    );
}

#[test]
fn every_16_bit_displacement() {
    compare_with_as(&HPPA64, &hppa::DISP16, signed(16, 1), 0, |source, value| {
        write!(source, "\tldo {value}(%r1),%r2").unwrap();
    });
    compare_with_as(
        &HPPA64,
        &hppa::DISP16_WORD,
        not_short(signed(14, 4)),
        0,
        |source, value| {
            write!(source, "\tfldw {value}(%r1),%fr4").unwrap();
        },
    );
    compare_with_as(
        &HPPA64,
        &hppa::DISP16_DOUBLE,
        not_short(signed(13, 8)),
        0,
        |source, value| {
            write!(source, "\tldd {value}(%r1),%r2").unwrap();
        },
    );
}

#[test]
fn every_12_bit_branch() {
    compare_with_as(
        &HPPA32,
        &hppa::BRANCH12,
        signed(12, 4),
        0,
        |source, value| {
            write!(source, "\tcmpb,= %r1,%r2,.{:+}", value + 8).unwrap();
        },
    );
}

#[test]
fn every_17_bit_branch() {
    compare_with_as(
        &HPPA32,
        &hppa::BRANCH17,
        signed(17, 4),
        0,
        |source, value| {
            write!(source, "\tbe {value}(%sr4,%r1)").unwrap();
        },
    );
    compare_with_as(
        &HPPA32,
        &hppa::BRANCH17,
        signed(17, 4),
        0,
        |source, value| {
            write!(source, "\tb,l .{:+},%r3", value + 8).unwrap();
        },
    );
}

#[test]
fn a_22_bit_branch() {
    let step = if std::env::var("KLINK_EXHAUSTIVE").as_deref() == Ok("1") {
        1
    } else {
        13
    };
    let edge = 1 << 23;
    let values = signed(22, 4)
        .step_by(step)
        .chain((-edge..-edge + 0x1000).step_by(4))
        .chain((edge - 0x1000..edge).step_by(4))
        .chain((-0x1000..0x1000).step_by(4));
    compare_with_as(&HPPA32, &hppa::BRANCH22, values, 0, |source, value| {
        write!(source, "\tb,l .{:+},%r2", value + 8).unwrap();
    });
}

/// Sites in one link; more would only take more memory.
const BATCH: usize = 1 << 15;

/// Sites that walk the value of a relocation over `values` by the addend, over alternating
/// contents before it.
fn sweep(
    name: &'static str,
    symbol: u64,
    values: impl Iterator<Item = i64>,
    pc_relative: bool,
) -> Vec<Site> {
    let mut sites = Vec::new();
    for (nth, value) in values.enumerate() {
        let place = if pc_relative {
            TEXT + 4 * (nth % BATCH) as u64 + 8
        } else {
            0
        };
        let addend = value + place.wrapping_sub(symbol).cast_signed();
        // all ones show that the field is cleared, all zeros that the rest is not set
        let word = if nth % 2 == 0 { 0 } else { 0xffff_ffff };
        sites.push(Site {
            name,
            word,
            symbol,
            addend,
        });
    }
    sites
}

fn compare_sweeps(tools: &Binutils, sweeps: impl IntoIterator<Item = Vec<Site>>, values: &Values) {
    if !tools.available() {
        return;
    }
    for sites in sweeps {
        for batch in sites.chunks(BATCH) {
            tools.compare(
                batch,
                &[("$global$", values.gp), ("__gp", values.gp)],
                values,
            );
        }
    }
}

/// Every branch displacement that a relocation of `bits` bits can have, sites at one place.
///
/// The sites are 4 bytes apart and the targets follow, so one symbol and the addend make any.
#[test]
fn every_linked_12_bit_branch() {
    for tools in [HPPA32, HPPA64] {
        let sites = sweep("R_PARISC_PCREL12F", TEXT, signed(12, 4), true);
        compare_sweeps(&tools, [sites], &Values::default());
    }
}

#[test]
fn every_linked_17_bit_branch() {
    for (tools, step) in [(HPPA32, 1), (HPPA64, 7)] {
        let sites = sweep("R_PARISC_PCREL17F", TEXT, signed(17, 4).step_by(step), true);
        compare_sweeps(&tools, [sites], &Values::default());
    }
}

#[test]
fn linked_22_bit_branches() {
    let edge = 1_i64 << 23;
    for tools in [HPPA32, HPPA64] {
        let values = signed(22, 4)
            .step_by(97)
            .chain((-edge..-edge + 0x400).step_by(4))
            .chain((edge - 0x400..edge).step_by(4));
        let sites = sweep("R_PARISC_PCREL22F", TEXT, values, true);
        compare_sweeps(&tools, [sites], &Values::default());
    }
}

#[test]
fn branches_are_refused_where_ld_does_not_go_directly() {
    for tools in [HPPA32, HPPA64] {
        if !tools.available() {
            return;
        }
        for (name, bits) in [
            ("R_PARISC_PCREL12F", 12),
            ("R_PARISC_PCREL17F", 17),
            ("R_PARISC_PCREL22F", 22),
        ] {
            let half = 4_i64 << (bits - 1);
            let origin = (TEXT + 8).cast_signed();
            for (value, fits) in [
                (-half, true),
                (-half - 4, false),
                (-half - 8, false),
                (-2 * half, false),
                (half - 4, true),
                (half, false),
                (half + 4, false),
                (2 * half, false),
            ] {
                // below address 0 for the widest ones: ld would compare 64-bit numbers there
                let symbol = 0x4000_0000;
                let addend = value + origin - symbol as i64;
                let site = Site {
                    name,
                    word: 0xe840_0000,
                    symbol,
                    addend,
                };
                tools.compare_edge(&site, fits);
            }
        }
    }
}

#[test]
fn full_displacements_of_14_and_16_bits() {
    for (tools, name, values) in [
        (&HPPA32, "R_PARISC_DIR14F", signed(14, 1)),
        (&HPPA64, "R_PARISC_DIR14F", signed(14, 1)),
        (&HPPA64, "R_PARISC_DIR16F", signed(16, 1)),
    ] {
        compare_sweeps(
            tools,
            [sweep(name, 0x1234_5678, values, false)],
            &Values::default(),
        );
    }
    let values = Values {
        gp: 0x2_0000,
        ..Values::default()
    };
    for (tools, name, bits) in [
        (&HPPA32, "R_PARISC_DPREL14F", 14),
        (&HPPA64, "R_PARISC_DPREL14F", 14),
        (&HPPA64, "R_PARISC_DLTREL14F", 14),
        (&HPPA64, "R_PARISC_GPREL16F", 16),
    ] {
        let offsets = signed(bits, 1).step_by(3).map(|offset| offset + 0x2_0000);
        compare_sweeps(tools, [sweep(name, 0x1234_5678, offsets, false)], &values);
    }
    for (tools, name, bits) in [
        (&HPPA32, "R_PARISC_PCREL14F", 14),
        (&HPPA64, "R_PARISC_PCREL14F", 14),
        (&HPPA64, "R_PARISC_PCREL16F", 16),
    ] {
        let sites = sweep(name, 0x1234_5678, signed(bits, 1).step_by(3), true);
        compare_sweeps(tools, [sites], &Values::default());
    }
}

/// GNU ld writes only 14 bits where the field has 16, so this goes no further; that klink's
/// further bits are right, GNU as says above.
#[test]
fn full_word_and_double_word_displacements() {
    let zero_before = |mut sites: Vec<Site>| {
        for site in &mut sites {
            site.word = 0;
        }
        sites
    };
    let gp = 0x2_0000;
    for (name, step, base) in [
        ("R_PARISC_DIR16WF", 4, 0),
        ("R_PARISC_DIR16DF", 8, 0),
        ("R_PARISC_GPREL16WF", 4, gp),
        ("R_PARISC_GPREL16DF", 8, gp),
    ] {
        let values = (-8192..8192).step_by(step).map(|value| value + base);
        let sites = zero_before(sweep(name, 0x1234_5678, values, false));
        compare_sweeps(
            &HPPA64,
            [sites],
            &Values {
                gp: gp as u64,
                ..Values::default()
            },
        );
    }
    for (name, step) in [("R_PARISC_PCREL16WF", 4), ("R_PARISC_PCREL16DF", 8)] {
        let values = (-8192..8192).step_by(step);
        let sites = zero_before(sweep(name, 0x1234_5678, values, true));
        compare_sweeps(&HPPA64, [sites], &Values::default());
    }
}

/// Symbols and addends around everything that a selector rounds or cuts.
fn selector_inputs() -> Vec<(u64, i64)> {
    let near = |at: u64| [-2, -1, 0, 1, 2].map(|d: i64| at.wrapping_add(d.cast_unsigned()));
    let symbols: Vec<u64> = [
        0x10,
        0x400,
        0x7fc,
        0x800,
        0x1000,
        0x2000,
        0x1234_5678,
        0x4000_0000,
    ]
    .into_iter()
    .flat_map(near)
    .collect();
    let addends: Vec<i64> = [
        0, 0x400, 0x7ff, 0x800, 0xfff, 0x1000, 0x1fff, 0x2000, 0x12345,
    ]
    .into_iter()
    .flat_map(near)
    .map(u64::cast_signed)
    .flat_map(|addend| [addend, -addend])
    .collect();
    let mut inputs = Vec::new();
    for &symbol in &symbols {
        inputs.extend(addends.iter().map(|&addend| (symbol, addend)));
    }
    // 400 symbols with 8 addends each, whole 31-bit range
    for (nth, number) in scatter(3200).enumerate() {
        let symbol = (nth as u64 / 8 * 0x51_2345 + 0x777) & 0x3fff_ffff;
        inputs.push((symbol, (number as i32 >> 4).into()));
    }
    inputs
}

fn compare_selected(tools: &Binutils, names: &[&'static str], values: &Values) {
    let sweeps = names.iter().map(|name| {
        let site = |(nth, &(symbol, addend)): (usize, &(u64, i64))| Site {
            name,
            word: if nth % 2 == 0 { 0 } else { 0xffff_ffff },
            symbol,
            addend,
        };
        selector_inputs().iter().enumerate().map(site).collect()
    });
    compare_sweeps(tools, sweeps, values);
}

#[test]
fn left_and_right_parts_of_addresses() {
    let values = Values {
        gp: 0x2_0000,
        ..Values::default()
    };
    compare_selected(
        &HPPA32,
        &[
            "R_PARISC_DIR21L",
            "R_PARISC_DIR17R",
            "R_PARISC_DIR14R",
            "R_PARISC_DPREL21L",
            "R_PARISC_DPREL14R",
            "R_PARISC_PCREL21L",
            "R_PARISC_PCREL17R",
            "R_PARISC_PCREL14R",
        ],
        &values,
    );
    compare_selected(
        &HPPA64,
        &[
            "R_PARISC_DIR21L",
            "R_PARISC_DIR17R",
            "R_PARISC_DIR14R",
            "R_PARISC_DIR14WR",
            "R_PARISC_DIR14DR",
            "R_PARISC_DPREL21L",
            "R_PARISC_DPREL14R",
            "R_PARISC_DPREL14WR",
            "R_PARISC_DPREL14DR",
            "R_PARISC_DLTREL21L",
            "R_PARISC_DLTREL14R",
            "R_PARISC_DLTREL14WR",
            "R_PARISC_DLTREL14DR",
            "R_PARISC_PCREL21L",
            "R_PARISC_PCREL17R",
            "R_PARISC_PCREL14R",
            "R_PARISC_PCREL14WR",
            "R_PARISC_PCREL14DR",
        ],
        &values,
    );
}

/// GNU ld takes no PLABEL with an addend (it aborts), so these vary the symbol alone.
#[test]
fn function_pointers() {
    let names = [
        "R_PARISC_PLABEL32",
        "R_PARISC_PLABEL21L",
        "R_PARISC_PLABEL14R",
    ];
    let sweeps = names.map(|name| {
        let site = |(symbol, _)| Site {
            name,
            word: 0,
            symbol,
            addend: 0,
        };
        selector_inputs().into_iter().map(site).collect()
    });
    compare_sweeps(&HPPA32, sweeps, &Values::default());
}

/// Every left part: 21 bits, from four symbols (LR rounds the addend to 8 KiB, so that the two low
/// bits are the symbol's) and every 31st addend.
#[test]
fn left_parts_over_the_whole_range() {
    let sweeps = [0_u64, 0x800, 0x1000, 0x1800].into_iter().map(|symbol| {
        let site = |addend| Site {
            name: "R_PARISC_DIR21L",
            word: 0,
            symbol,
            addend,
        };
        (-(1_i64 << 31)..1 << 31)
            .step_by(0x2000 * 31)
            .map(site)
            .collect()
    });
    compare_sweeps(&HPPA32, sweeps, &Values::default());
}

#[test]
fn whole_words() {
    let values = Values {
        gp: 0x2_0000,
        ..Values::default()
    };
    compare_selected(&HPPA32, &["R_PARISC_DIR32", "R_PARISC_PCREL32"], &values);
    compare_selected(&HPPA64, &["R_PARISC_DIR32", "R_PARISC_PCREL32"], &values);
    let sites = ["R_PARISC_DIR64", "R_PARISC_PCREL64", "R_PARISC_GPREL64"].map(|name| {
        let site = |(symbol, addend)| Site {
            name,
            word: u64::MAX,
            symbol,
            addend,
        };
        selector_inputs().into_iter().map(site).collect()
    });
    compare_sweeps(&HPPA64, sites, &values);
}

#[test]
fn section_relative_words() {
    if !HPPA64.available() {
        return;
    }
    let source = "_start:\n\t.word 0,0\n\t.reloc 0,R_PARISC_SECREL32,here+0x10\n\
                  \t.data\n\t.word 1,2,3\n\t.globl here\nhere:\n";
    let linked = HPPA64.link(source, &[]).unwrap();
    let (data, _) = linked.section(".data");
    let here = data + 16 + 12; // the script leaves 16 bytes in front
    let values = Values {
        symbol: here,
        addend: 0x10,
        section_base: data,
        ..Values::default()
    };
    let row = HPPA64.arch.relocation_by_name("R_PARISC_SECREL32").unwrap();
    let mut bytes = linked.before.clone();
    row.apply(HPPA64.arch.endian, &mut bytes, &values).unwrap();
    assert_eq!(bytes[..4], linked.after[..4]);
    // Linux's loader makes it absolute
    let value = row.as_loader_reads().compute(&values);
    assert_eq!(value.cast_unsigned(), here + 0x10);
}

#[test]
fn segment_relative_words() {
    for (tools, name) in [
        (HPPA32, "R_PARISC_SEGREL32"),
        (HPPA64, "R_PARISC_SEGREL32"),
        (HPPA64, "R_PARISC_SEGREL64"),
    ] {
        if !tools.available() {
            return;
        }
        let source = format!(
            "_start:\n\t.word 0,0\n\t.globl here\nhere:\n\t.data\n\t.word 0,0,0,0,0,0\n\
             \t.reloc 0,{name},here+0x10\n\t.reloc 8,{name},there+0x20\n\
             \t.globl there\nthere:\n\t.word 5\n"
        );
        let linked = tools.link(&source, &[]).unwrap();
        let (text, _) = linked.section(".text");
        let (data, bytes) = linked.section(".data");
        let row = tools.arch.relocation_by_name(name).unwrap();
        let start = if bytes.len() > 28 { 16 } else { 0 };
        // each segment begins at the page of its first section; the headers are in the first
        for (offset, symbol, addend) in [(0, text + 8, 0x10), (8, data + start as u64 + 24, 0x20)] {
            let expected = row
                .field
                .read(tools.arch.endian, &bytes[start + offset..])
                .unwrap();
            let segment_base = (symbol + addend) - expected;
            assert_eq!(
                segment_base % 0x1000,
                0,
                "{name}: {segment_base:#x} begins a segment"
            );
            let addend = addend.cast_signed();
            let values = Values {
                symbol,
                addend,
                segment_base,
                ..Values::default()
            };
            let mut got = [0; 8];
            row.apply(tools.arch.endian, &mut got, &values).unwrap();
            assert_eq!(got[..row.len()], bytes[start + offset..][..row.len()]);
            // Linux's loader makes the one that it knows absolute
            if tools.arch.module.loads(row.number) {
                let loaded = row.as_loader_reads().compute(&values);
                assert_eq!(loaded.cast_unsigned(), symbol + addend.cast_unsigned());
            }
        }
    }
}

#[test]
fn offsets_of_linkage_table_slots() {
    if !HPPA64.available() {
        return;
    }
    let names = [
        "R_PARISC_DLTIND21L",
        "R_PARISC_DLTIND14R",
        "R_PARISC_DLTIND14F",
        "R_PARISC_DLTIND14WR",
        "R_PARISC_DLTIND14DR",
        "R_PARISC_LTOFF16F",
        "R_PARISC_LTOFF16WF",
        "R_PARISC_LTOFF16DF",
        "R_PARISC_LTOFF64",
    ];
    let symbol = 0x1234_5670;
    let site = |&name: &&'static str| Site {
        name,
        word: 0,
        symbol,
        addend: 0,
    };
    let sites: Vec<Site> = names.iter().map(site).collect();
    let probe = HPPA64.link_sites(&sites, &[]).unwrap();
    let (table, slots) = probe.section(".dlt");
    let nth = slots
        .chunks(8)
        .position(|slot| slot == symbol.to_be_bytes())
        .unwrap();
    let slot = table + 8 * nth as u64;
    // near, and far enough that left parts are not 0
    for gp in [slot - 0x10, slot + 0x1230, slot - 0x1ff8] {
        let values = Values {
            slot,
            gp,
            ..Values::default()
        };
        HPPA64.compare(&sites, &[("__gp", gp)], &values);
    }
}

/// Data that is not near `%dp`, because it is in code or nowhere: ld takes `%dp` for 0.
#[test]
fn dp_relative_references_to_code() {
    if !HPPA32.available() {
        return;
    }
    let source = "_start:\n\taddil LR%there-$global$+4,%dp\n\tldo RR%there-$global$+4(%r1),%r1\n\
                  \tldw there-$global$(%dp),%r1\n\taddil LR%there-$global$+4,%r3\n\
                  \t.globl there\nthere:\tnop\n";
    // near 0, or the 14F would not fit
    let linked = HPPA32
        .link_at(source, &[("$global$", 0x30_0000)], 0x1000)
        .unwrap();
    let there = 0x1000 + 16;
    for (offset, name, addend) in [
        (0, "R_PARISC_DPREL21L", 4),
        (4, "R_PARISC_DPREL14R", 4),
        (8, "R_PARISC_DPREL14F", 0),
        (12, "R_PARISC_DPREL21L", 4),
    ] {
        let row = HPPA32.arch.relocation_by_name(name).unwrap();
        let endian = HPPA32.arch.endian;
        let mut bytes = linked.before[offset..offset + 4].to_vec();
        let instruction = row.field.read(endian, &bytes).unwrap();
        if let Some(instruction) = row.far_from_gp.unwrap().rewrite(instruction) {
            row.field.write(endian, &mut bytes, instruction).unwrap();
        }
        let values = Values {
            symbol: there,
            addend,
            gp: 0x30_0000,
            ..Values::default()
        };
        row.as_far_from_gp()
            .apply(endian, &mut bytes, &values)
            .unwrap();
        assert_eq!(
            bytes,
            linked.after[offset..offset + 4],
            "{name} at {offset}; ld right"
        );
    }
}

/// Position-independent code in a program: ld makes it count from `%dp`.
#[test]
fn linkage_table_references_of_a_program() {
    if !HPPA32.available() {
        return;
    }
    let source = "_start:\n\taddil LT%there,%r19\n\tldw RT%there(%r1),%r1\n\
                  \tldw T%there(%r19),%r1\n\taddil LT%there,%r4\n";
    let symbol = 0x1234_5670;
    let link = |gp| {
        HPPA32
            .link(source, &[("$global$", gp), ("there", symbol)])
            .unwrap()
    };
    let probe = link(0x30_0000);
    let (table, slots) = probe.section(".got");
    let nth = slots
        .chunks(4)
        .position(|slot| slot == &symbol.to_be_bytes()[4..])
        .unwrap();
    let slot = table + 4 * nth as u64;
    for gp in [slot - 0x10, slot + 0x1230, slot - 0x1ff8] {
        let linked = link(gp);
        for (offset, name) in [
            (0, "R_PARISC_DLTIND21L"),
            (4, "R_PARISC_DLTIND14R"),
            (8, "R_PARISC_DLTIND14F"),
            (12, "R_PARISC_DLTIND21L"),
        ] {
            let row = HPPA32.arch.relocation_by_name(name).unwrap();
            let endian = HPPA32.arch.endian;
            let mut bytes = linked.before[offset..offset + 4].to_vec();
            let static_link = row.static_link.unwrap();
            if let Some(rewrite) = static_link.rewrite {
                let instruction = row.field.read(endian, &bytes).unwrap();
                let instruction = rewrite
                    .rewrite(instruction)
                    .expect("one that can be helped");
                row.field.write(endian, &mut bytes, instruction).unwrap();
            }
            let values = Values {
                symbol: slot,
                gp,
                ..Values::default()
            };
            let row = HPPA32.arch.relocation(static_link.number).unwrap();
            row.apply(endian, &mut bytes, &values).unwrap();
            let mut expected = linked.after[offset..offset + 4].to_vec();
            if name == "R_PARISC_DLTIND14F" {
                // GNU ld 2.40 means to clear the base register and clears half of the opcode
                // (final_link_relocate: a mask of seven digits); its displacement is right
                let word = row.field.read(endian, &expected).unwrap();
                let load = u32::from_be_bytes(
                    HPPA32
                        .assemble("\tldw 0x100(%dp),%r1\n")
                        .try_into()
                        .unwrap(),
                );
                let word = row.field.encode(load.into(), row.field.decode(word));
                row.field.write(endian, &mut expected, word).unwrap();
            }
            assert_eq!(bytes, expected, "{name} gp {gp:#x}; ld right");
        }
    }
}
