//! The prover accepts a correct module link and finds each way to get one wrong.

use super::super::testing::{SectionSpec, Spec, symbol};
use super::hppa::{DIR14R, DIR21L, PCREL12F, PCREL17F};
use super::{Proof, prove};

const DIR32: u32 = 1;
const GLOBAL: u8 = 1;
const NOTYPE: u8 = 0;
const FUNC: u8 = 2;
const NOP: u32 = super::hppa::NOP;
const BL: u32 = 0xe840_0000; // b,l .+8,%rp
const BLE: u32 = 0x8000_2000; // comb, some condition

/// The word `branch` with a 17-bit displacement field of `words` words.
fn far(branch: u32, words: i32) -> u32 {
    let v = words.cast_unsigned();
    let (w, w1) = (v >> 16 & 1, v >> 11 & 0x1f);
    let w2 = (v & 0x3ff) << 1 | (v >> 10 & 1);
    branch | w1 << 16 | w2 << 2 | w
}

/// The word `addil L%distance,%r1`.
fn addil(distance: i32) -> u32 {
    let v = distance.cast_unsigned() >> 11;
    let low = (v >> 7 & 3) << 14 | (v >> 2 & 0x1f) << 16 | (v & 3) << 12;
    0x2820_0000 | v >> 20 & 1 | (v >> 9 & 0x7ff) << 1 | low
}

fn spec(sections: Vec<SectionSpec>, symbols: Vec<super::super::testing::SymbolSpec>) -> Spec {
    Spec {
        is_64: false,
        big_endian: true,
        rela: true,
        machine: 15,
        flags: 0x20b,
        sections,
        symbols,
        segment: None,
        wrong_boundary: 0,
    }
}

/// One section a function: `f` calls `g`, `h` and `printk`; `h` is `static` in
/// two files, and `.data` points at one of them.
fn original() -> Spec {
    let mut f = SectionSpec::words(".text.f", 6, &[BL, NOP, BL, NOP, BL, NOP]);
    f.relocations = vec![
        (0, 5, PCREL17F, 0),
        (8, 1, PCREL17F, 0),
        (16, 6, PCREL17F, 0),
    ];
    let mut data = SectionSpec::words(".data", 3, &[0, 0x55]);
    data.relocations = vec![(0, 2, DIR32, 0)];
    let one_word = |name, word| SectionSpec::words(name, 6, &[word]);
    spec(
        vec![
            f,
            one_word(".text.g", 0x1111),
            one_word(".text.h", 0x2222),
            one_word(".text.h", 0x2222),
            data,
        ],
        vec![
            symbol("h", 0, FUNC, 3, 0),
            symbol("h", 0, FUNC, 4, 0),
            symbol(".L1", 0, NOTYPE, 1, 4),
            symbol("f", GLOBAL, FUNC, 1, 0),
            symbol("g", GLOBAL, FUNC, 2, 0),
            symbol("printk", GLOBAL, NOTYPE, 0, 0),
        ],
    )
}

/// The same after a module link: `.text` is h' (the second), f, a stub to
/// printk, a stub to h, g, h.
fn linked() -> Spec {
    let words = [
        0x2222,       // 0: the second h
        far(BL, 0xb), // 4: f calls g at 0x34 + 4
        NOP,
        far(BL, 0x5), // 12: calls the stub at 0x28
        NOP,
        far(BL, 0), // 20: calls the stub at 0x1c
        NOP,
        0x2020_0000, // 0x1c: ldil L%printk,%r1
        0x3421_0000, // ldo R%printk(%r1),%r1
        0xe820_c002, // bv,n %r0(%r1)
        0xe820_0000, // 0x28: b,l .+8,%r1
        addil(0x0c - 0x4),
        far(0xe020_2002, 2), // be,n 8(%sr4,%r1): 0x30 + 8
        NOP,                 // 0x34
        0x1111,              // 0x38
        0x2222,
    ];
    let mut words = words;
    // g is at 0x38: 4 + 8 + 4n
    words[1] = far(BL, 11);
    // h is at 0x3c: 0x28 + 8 + L + R
    words[12] = far(0xe020_2002, 3);
    let mut text = SectionSpec::words(".text", 6, &words);
    text.relocations = vec![(0x1c, 4, DIR21L, 0), (0x20, 4, DIR14R, 0)];
    let mut data = SectionSpec::words(".data", 3, &[0, 0x55]);
    data.relocations = vec![(0, 2, DIR32, 0)];
    spec(
        vec![data, text],
        vec![
            symbol("h", 0, FUNC, 2, 0x3c),
            symbol("h", 0, FUNC, 2, 0),
            symbol("f", GLOBAL, FUNC, 2, 4),
            symbol("printk", GLOBAL, NOTYPE, 0, 0),
            symbol("g", GLOBAL, FUNC, 2, 0x38),
        ],
    )
}

fn proof(old: &Spec, new: &Spec) -> Proof {
    prove(&old.write(), &new.write()).expect("readable")
}

fn set_word(spec: &mut Spec, section: usize, index: usize, word: u32) {
    spec.sections[section].data[4 * index..4 * index + 4].copy_from_slice(&word.to_be_bytes());
}

#[test]
fn a_correct_link_is_proved() {
    let proof = proof(&original(), &linked());
    assert_eq!(proof.problems, Vec::<String>::new());
    assert_eq!((proof.sections, proof.bytes), (5, 44));
    assert_eq!((proof.kept, proof.direct, proof.through_stub), (1, 1, 2));
    assert_eq!(proof.stubs.get(".text"), Some(&2));
    assert_eq!((proof.furthest, proof.symbols_dropped), (52, 1));
}

/// What the prover says of [`linked`] after `change`.
fn said(change: fn(&mut Spec)) -> String {
    let mut new = linked();
    change(&mut new);
    proof(&original(), &new).problems.join("\n")
}

#[test]
fn wrong_branches_and_stubs_are_found() {
    // One word short of g; f's own start; past a stub's first instruction.
    assert!(said(|s| set_word(s, 1, 1, far(BL, 10))).contains("instead of .text.g+0x0 + 0x0"));
    assert!(said(|s| set_word(s, 1, 3, far(BL, -4))).contains(".text.h"));
    assert!(said(|s| set_word(s, 1, 5, far(BL, 1))).contains("instead of printk + 0x0"));
    // The relative stub goes to g; the absolute one names f, or another addend.
    assert!(said(|s| set_word(s, 1, 12, far(0xe020_2002, 2))).contains(".text.h"));
    let other = said(|s| s.sections[1].relocations = vec![(0x1c, 3, 2, 0), (0x20, 3, 6, 0)]);
    assert!(other.contains("instead of printk"));
    let addend = said(|s| s.sections[1].relocations[1].3 = 4);
    assert!(addend.contains("(no stub) instead of printk"));
    let not_zero = said(|s| set_word(s, 1, 7, 0x2020_0001));
    assert!(not_zero.contains("(no stub) instead of printk"));
    // Both stubs exist, and the branch to printk uses the one to h.
    assert!(said(|s| set_word(s, 1, 5, far(BL, 3))).contains("a stub to .text+0x3c"));
}

#[test]
fn a_changed_opcode_is_found_under_a_right_displacement() {
    // b,l,n instead of b,l: the nullify bit is no part of the displacement.
    assert!(said(|s| set_word(s, 1, 1, far(BL | 2, 11))).contains(".text.f+0x3: differs"));
}

#[test]
fn changed_places_and_bytes_are_found() {
    assert!(said(|s| set_word(s, 1, 14, 0x1112)).contains(".text.g+0x3: differs"));
    assert!(said(|s| set_word(s, 0, 1, 0x56)).contains(".data+0x7: differs"));
    assert!(said(|s| s.sections[0].relocations[0].1 = 3).contains(".text.h"));
    assert!(said(|s| s.sections[0].relocations[0].3 = 4).contains(".text.h"));
    assert!(said(|s| s.sections[0].relocations.clear()).contains("of type 1 is gone"));
    assert!(said(|s| s.sections[0].relocations.push((4, 3, DIR32, 0))).contains("out of nothing"));
    assert!(said(|s| set_word(s, 1, 13, 0x1234)).contains("neither from the original"));
    assert!(said(|s| s.sections[1].flags = 7).contains("flags 0x6"));
    assert!(said(|s| s.sections[0].sh_type = 14).contains(".data: not found"));
    assert!(said(|s| s.sections[0].flags = 0x13).contains(".data: flags 0x3, now 0x13"));
    assert!(said(|s| s.sections[1].flags = 0x16).contains(".text.f: flags 0x16, now 0x6"));
    assert!(said(|s| s.sections[0].entsize = 4).contains(".data: entry size 0x0, now 0x4"));
    assert!(said(|s| s.sections[0].info = 1).contains(".data: sh_info 0x0, now 0x1"));
    assert!(said(|s| s.sections[0].name = ".dada").contains("whose name means something else"));
    assert!(said(|s| s.sections[1].align = 2).contains("not aligned to 4"));
    assert!(said(|s| s.sections[1].name = ".data").contains("a second allocated section"));
}

#[test]
fn lost_and_invented_symbols_are_found() {
    assert!(said(|s| s.symbols[2].name = "ff").contains("symbol f: "));
    // Whom to believe, the symbol or the branch? Either way it is no proof.
    assert!(said(|s| s.symbols[4].value = 0x3c).contains(".text.g"));
    assert!(said(|s| s.symbols[2].size = 24).contains("not in the original"));
    let stub = |value| {
        let mut new = linked();
        new.symbols
            .insert(2, symbol("printk_stub", 0, FUNC, 2, value));
        for relocation in &mut new.sections[1].relocations {
            relocation.1 += 1;
        }
        proof(&original(), &new).problems
    };
    assert_eq!(stub(0x1c), Vec::<String>::new());
    assert_eq!(stub(0x20).len(), 1);
}

#[test]
fn an_unused_stub_is_found() {
    let direct = said(|s| set_word(s, 1, 3, far(BL, 10)));
    assert!(
        direct.contains("+0x28..0x38: neither from the original"),
        "{direct}"
    );
}

#[test]
fn conditional_branches_may_not_use_stubs() {
    let mut old = original();
    let mut new = linked();
    set_word(&mut old, 0, 4, BLE);
    old.sections[0].relocations[2].2 = PCREL12F;
    set_word(&mut new, 1, 5, BLE); // displacement 0: the stub at 0x1c
    let problems = proof(&old, &new).problems.join("\n");
    assert!(
        problems.contains("which this instruction must not use"),
        "{problems}"
    );
}

#[test]
fn rounded_addends_cannot_move_into_the_symbol() {
    let with = |symbol, addend| {
        let mut spec = original();
        spec.sections[4].relocations[0] = (0, symbol, DIR21L, addend);
        spec
    };
    let old = with(5, 0x1800);
    assert_eq!(
        proof(&old, &old).problems,
        ["a second allocated section .text.h"]
    );
    // g + 0x1800 by another symbol 0x1000 before it: the same place, another L%.
    let mut new = with(7, 0x2800);
    new.symbols.push(symbol(
        "before",
        GLOBAL,
        NOTYPE,
        2,
        0x1000u64.wrapping_neg(),
    ));
    let problems = proof(&old, &new).problems.join("\n");
    assert!(
        problems.contains("type 2 refers to .text.g+0x0 + 0x1800"),
        "{problems}"
    );
}

/// Decoding agrees with GNU as over the whole range, edges included.
#[test]
fn decoding_agrees_with_the_assembler() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, object) = (folder.path().join("a.s"), folder.path().join("a.o"));
    let steps: Vec<i64> = (-0x10000..0x10000).step_by(97).chain([0xffff]).collect();
    let mut text = String::from("\t.level 1.1\n\t.text\n");
    for words in &steps {
        text.push_str(&format!("\tb,l .+{},%r2\n", 8 + 4 * words));
    }
    for words in &steps {
        let distance = words * 0x4004;
        text.push_str(&format!(
            "\tb,l .+8,%r1\n\taddil L%{distance},%r1\n\tbe,n R%{distance}(%sr4,%r1)\n"
        ));
    }
    std::fs::write(&source, text).expect("written");
    let mut assembler = std::process::Command::new("hppa-linux-gnu-as");
    let Ok(status) = assembler.arg("-o").arg(&object).arg(&source).status() else {
        eprintln!("skipped: no hppa-linux-gnu-as (cargo xtask tools installs it)");
        return;
    };
    assert!(status.success());
    let bytes = std::fs::read(&object).expect("an object");
    let elf = super::super::elf::Elf::parse(&bytes).expect("readable");
    let code = elf
        .sections
        .iter()
        .find(|s| s.name == ".text")
        .expect("text");
    let words: Vec<u32> = code
        .data
        .chunks_exact(4)
        .map(|w| u32::from_be_bytes(w.try_into().expect("four")))
        .collect();
    let (branches, stubs) = words.split_at(steps.len());
    for (&word, steps) in branches.iter().zip(&steps) {
        let branch = super::hppa::branch(word, PCREL17F).expect("a branch");
        assert_eq!(branch.distance, 8 + 4 * steps);
    }
    for (stub, steps) in stubs.chunks_exact(3).zip(&steps) {
        let distance = steps * 0x4004;
        let stub = super::hppa::stub([stub[0], stub[1], stub[2]]);
        assert_eq!(stub, Some(super::hppa::Stub::Relative(8 + distance)));
    }
}
