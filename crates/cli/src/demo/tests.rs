//! The prover accepts links that are right and refuses each way of being wrong.
//!
//! The inputs are three functions, one section each: `caller` calls `near` and the kernel's
//! `_printk`, and `near` calls nobody. Instruction words are what GNU as makes of the text
//! beside them.

use object::elf::{
    R_PARISC_DIR14R, R_PARISC_DIR21L, R_PARISC_DIR32, R_PARISC_PCREL17F, RelocationType,
};

use super::elf::{Object, Place, Relocation, Section, SectionIndex, Symbol, Target};
use super::links::{Example, Kind, Linker};
use super::proof::{Proof, prove};

const CALL_0: u32 = 0xe840_0000; // b,l .+8,%rp
const CALL_FAR: u32 = 0xe85f_1ff4; // b,l .+8+0x3fff8,%rp
const RETURN: u32 = 0xe840_c000; // bv %r0(%rp)
const NOP: u32 = 0x0800_0240;
const LOAD_1: u32 = 0x341c_0002; // ldi 1,%r28
const LOAD_2: u32 = 0x341c_0004; // ldi 2,%r28

/// `b,l .+8,%r1; addil L'0x40000,%r1; be,n 16(%sr4,%r1)`: 0x40018 bytes on.
const STUB_BY_DISTANCE: [u32; 3] = [0xe820_0000, 0x2820_4000, 0xe020_2022];
/// `ldil L'x,%r1; ldo R'x(%r1),%r1; bv,n %r0(%r1)`, to be relocated.
const STUB_BY_ADDRESS: [u32; 3] = [0x2020_0000, 0x3421_0000, 0xe820_c002];

/// The functions and, behind them, room for an island and for something far away.
const NEAR: i64 = 0x18;
const ISLAND: i64 = 0x40000;
const FAR: i64 = 0x80018;

fn at(section: usize, offset: i64) -> Place {
    let section = SectionIndex(section);
    Place { section, offset }
}

fn external(name: &str) -> Target {
    let name = name.to_owned();
    Target::External { name, addend: 0 }
}

fn relocation(offset: u64, kind: RelocationType, target: Target) -> Relocation {
    Relocation {
        offset,
        kind,
        target,
    }
}

fn section(index: usize, words: &[u32], relocations: Vec<Relocation>) -> Section {
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
    Section {
        index: SectionIndex(index),
        name: format!(".text.{index}"),
        size: bytes.len() as u64,
        bytes,
        is_allocated: true,
        is_code: true,
        relocations,
    }
}

fn function(name: &str, place: Place, words: u64, is_global: bool) -> Symbol {
    Symbol {
        name: name.to_owned(),
        place,
        size: words * 4,
        is_function: true,
        is_global,
    }
}

const CALLER: [u32; 6] = [CALL_0, NOP, CALL_0, NOP, RETURN, NOP];

fn inputs() -> Vec<Object> {
    let calls = vec![
        relocation(0, R_PARISC_PCREL17F, external("near")),
        relocation(8, R_PARISC_PCREL17F, external("_printk")),
    ];
    let caller = Object::of(
        "caller.o",
        vec![section(1, &CALLER, calls)],
        vec![function("caller", at(1, 0), 6, true)],
    );
    let near = Object::of(
        "near.o",
        vec![section(1, &[RETURN, LOAD_1], Vec::new())],
        vec![function("near", at(1, 0), 2, true)],
    );
    vec![caller, near]
}

/// A merged section: `caller`, an island of two stubs 256 KiB on, and `near` 256 KiB behind it.
struct Merged {
    words: Vec<u32>,
    relocations: Vec<Relocation>,
    near: i64,
}

impl Merged {
    fn through_stubs() -> Self {
        let mut merged = Self {
            words: vec![0; usize::try_from(FAR / 4).unwrap()],
            relocations: vec![
                relocation(0x4000c, R_PARISC_DIR21L, external("_printk")),
                relocation(0x40010, R_PARISC_DIR14R, external("_printk")),
            ],
            near: FAR,
        };
        merged.put(0, &CALLER);
        merged.put(0, &[CALL_FAR]);
        merged.put(8, &[CALL_FAR + 8]); // two words further: the second stub, 12 bytes on
        merged.put(ISLAND, &STUB_BY_DISTANCE);
        merged.put(ISLAND + 12, &STUB_BY_ADDRESS);
        merged.words.extend([RETURN, LOAD_1]);
        merged
    }

    fn put(&mut self, offset: i64, words: &[u32]) {
        let first = usize::try_from(offset / 4).unwrap();
        self.words[first..first + words.len()].copy_from_slice(words);
    }

    fn prove(self) -> Proof {
        let symbols = vec![
            function("caller", at(1, 0), 6, true),
            function("near", at(1, self.near), 2, true),
        ];
        let text = section(1, &self.words, self.relocations);
        prove(&inputs(), &Object::of("out.ko", vec![text], symbols))
    }
}

#[track_caller]
fn assert_wrong(proof: &Proof, what: &str) {
    assert!(!proof.holds());
    let found = proof.wrong.iter().any(|wrong| wrong.contains(what));
    assert!(found, "{what:?} is not among {:?}", proof.wrong);
}

#[test]
fn branches_through_both_forms_of_stub_are_right() {
    let proof = Merged::through_stubs().prove();
    assert_eq!(proof.wrong, [""; 0]);
    assert!(proof.holds());
    assert_eq!((proof.branches, proof.by_stub), (2, 2));
    assert_eq!((proof.stubs.len(), proof.stub_bytes()), (2, 24));
    assert_eq!(proof.islands(), 1);
    assert_eq!(proof.furthest, 0x3fffc);
}

#[test]
fn a_direct_branch_is_right_and_one_word_further_is_wrong() {
    for (extra, is_right) in [(0, true), (8, false)] {
        let mut merged = Merged::through_stubs();
        merged.near = NEAR;
        merged.put(0, &[0xe840_0020 + extra]); // b,l .+8+0x10,%rp
        merged.put(NEAR, &[RETURN, LOAD_1]);
        let proof = merged.prove();
        assert_eq!(proof.holds(), is_right);
        if is_right {
            assert_eq!((proof.direct, proof.by_stub), (1, 1));
        } else {
            assert_wrong(&proof, "ends at near+0x4, should be near+0x0");
        }
    }
}

#[test]
fn a_stub_that_goes_a_word_too_far_is_wrong() {
    let mut merged = Merged::through_stubs();
    merged.put(ISLAND + 8, &[STUB_BY_DISTANCE[2] + 8]);
    assert_wrong(&merged.prove(), "ends at near+0x4, should be near+0x0");
}

#[test]
fn a_stub_for_another_symbol_is_wrong() {
    let mut merged = Merged::through_stubs();
    for relocation in &mut merged.relocations {
        relocation.target = external("kfree");
    }
    assert_wrong(&merged.prove(), "ends at kfree, should be _printk");
}

#[test]
fn halves_of_two_symbols_are_no_address() {
    let mut merged = Merged::through_stubs();
    merged.relocations[1].target = external("kfree");
    assert_wrong(&merged.prove(), "%r1 does not hold an address");
}

#[test]
fn a_stub_without_its_relocation_is_wrong() {
    let mut merged = Merged::through_stubs();
    merged.relocations.clear();
    assert_wrong(&merged.prove(), "%r1 does not hold an address");
}

#[test]
fn a_stub_that_changes_another_register_is_wrong() {
    let mut merged = Merged::through_stubs();
    merged.put(ISLAND + 12, &[0x2280_0000]); // ldil L'0,%r20
    assert_wrong(&merged.prove(), "changes %r20");
}

#[test]
fn a_branch_to_neither_stub_nor_target_is_wrong() {
    let mut merged = Merged::through_stubs();
    merged.put(0, &[CALL_FAR - 8]); // the words before the island are zero
    assert_wrong(&merged.prove(), "neither a stub nor the target");
}

#[test]
fn a_branch_out_of_the_section_is_wrong() {
    let mut merged = Merged::through_stubs();
    merged.put(0, &[0xe840_0001]); // b,l .+8-0x40000,%rp
    assert_wrong(&merged.prove(), "leads outside");
}

#[test]
fn a_stub_that_leads_to_itself_is_no_loop() {
    let mut merged = Merged::through_stubs();
    merged.put(ISLAND, &[0xe81f_1ff7]); // b,n .
    assert_wrong(&merged.prove(), "no end of the stub");
}

#[test]
fn changed_code_is_missed() {
    let mut merged = Merged::through_stubs();
    merged.put(4, &[LOAD_2]);
    assert_wrong(&merged.prove(), ".text.1 is not found");
}

#[test]
fn a_stub_inside_a_function_is_no_stub() {
    let mut merged = Merged::through_stubs();
    // `near` is said to be where the first stub is: then calling it is direct, and wrong code.
    merged.near = ISLAND;
    assert_wrong(&merged.prove(), ".text.1 is not found");
}

/// A branch that stays with its relocation: to `_printk` from `offset` of a large section.
fn left_to_the_kernel(offset: u64) -> (Object, Proof) {
    let words = vec![CALL_0; usize::try_from(offset / 4).unwrap() + 1];
    let calls = vec![relocation(offset, R_PARISC_PCREL17F, external("_printk"))];
    let object = |name| {
        Object::of(
            name,
            vec![section(1, &words, calls.clone())],
            vec![function("large", at(1, 0), 1, true)],
        )
    };
    let output = object("out.ko");
    let proof = prove(&[object("large.o")], &output);
    (output, proof)
}

#[test]
fn the_kernel_reaches_its_stubs_in_front_of_a_section() {
    // The branch is 8 bytes before what it counts from, and two stubs of 8 bytes are reserved.
    let last = 0x40000 - 8 - 16;
    let (_, proof) = left_to_the_kernel(last);
    assert!(proof.holds());
    assert_eq!((proof.left, proof.furthest), (1, 0x40000));
    let (_, proof) = left_to_the_kernel(last + 4);
    assert!(proof.wrong.is_empty() && !proof.holds());
    assert_eq!((proof.right(), proof.out_of_reach.len()), (0, 1));
}

#[test]
fn the_picture_shows_branches_out_of_reach_in_red() {
    for (offset, colour) in [(0x1000, "#2060a0"), (0x50000, "#d02020")] {
        let (output, proof) = left_to_the_kernel(offset);
        let kind = Kind::Merged;
        let svg = super::picture::draw(&[super::Outcome {
            kind,
            output,
            proof,
        }]);
        assert_eq!(svg.matches("<path ").count(), 1);
        assert!(svg.contains(&format!("stroke=\"{colour}\"")), "{svg}");
    }
}

/// Two files with a `check` of their own, which differ by nothing, each called at home.
#[test]
fn functions_of_one_name_are_told_apart_by_who_calls_them() {
    let input = |name: &str, caller: &str| {
        let call = vec![relocation(0, R_PARISC_PCREL17F, Target::Place(at(2, 0)))];
        Object::of(
            name,
            vec![
                section(1, &[CALL_0, NOP], call),
                section(2, &[RETURN, LOAD_1], Vec::new()),
            ],
            vec![
                function(caller, at(1, 0), 2, true),
                function("check", at(2, 0), 2, false),
            ],
        )
    };
    let inputs = [input("a.o", "a"), input("b.o", "b")];
    // a, b, b's check, a's check. Both calls lead 16 bytes on, so the order is turned around.
    let prove_calls = |from_a: u32, from_b: u32| {
        let words = [from_a, NOP, from_b, NOP, RETURN, LOAD_1, RETURN, LOAD_1];
        let symbols = vec![
            function("check", at(1, 16), 2, false),
            function("check", at(1, 24), 2, false),
            function("a", at(1, 0), 2, true),
            function("b", at(1, 8), 2, true),
        ];
        let text = section(1, &words, Vec::new());
        prove(&inputs, &Object::of("out.ko", vec![text], symbols))
    };
    let by = |words: u32| CALL_0 + words * 8;
    assert!(prove_calls(by(4), by(0)).holds());
    assert!(prove_calls(by(2), by(2)).holds());
    // Both call the same one.
    assert!(!prove_calls(by(4), by(2)).holds());
}

#[test]
fn a_pointer_to_code_that_is_gone_or_turned_elsewhere_is_missed() {
    let table = |target: Place| Section {
        is_code: false,
        ..section(
            3,
            &[0],
            vec![relocation(0, R_PARISC_DIR32, Target::Place(target))],
        )
    };
    let functions = || {
        let (first, second) = (&[RETURN, LOAD_1], &[RETURN, LOAD_2]);
        vec![
            section(1, first, Vec::new()),
            section(2, second, Vec::new()),
        ]
    };
    let object = |name, table| {
        let symbols = vec![
            function("first", at(1, 0), 2, true),
            function("second", at(2, 0), 2, true),
        ];
        Object::of(
            name,
            functions().into_iter().chain(table).collect(),
            symbols,
        )
    };
    let inputs = [object("a.o", Some(table(at(2, 4))))];
    let right = prove(&inputs, &object("out.ko", Some(table(at(2, 4)))));
    assert!(right.holds());
    assert_eq!(right.pointers, 1);
    assert_wrong(
        &prove(&inputs, &object("out.ko", Some(table(at(1, 4))))),
        "second+0x4 are missing",
    );
    assert_wrong(
        &prove(&inputs, &object("out.ko", None)),
        "second+0x4 are missing",
    );
}

#[test]
fn the_example_is_as_large_as_it_has_to_be() {
    let example = Example::unpack(None).unwrap();
    let code: u64 = (example.inputs.iter().flat_map(Object::code))
        .map(|s| s.size)
        .sum();
    assert!(code > 600 * 1024, "{code} bytes of code");
    assert!(example.inputs.len() >= 30);
    let functions = example.inputs.iter().flat_map(Object::code).count();
    assert!(functions >= 1500, "{functions} code sections");
}

#[test]
fn thousands_are_set_apart() {
    let texts = [0, 999, 1_000, 1_234_567].map(super::table::thousands);
    assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
}

/// The module link of the example is right, and each way of breaking its bytes is seen.
#[test]
fn the_module_link_is_right_and_a_flipped_bit_is_seen() {
    let example = Example::unpack(None).unwrap();
    let mut output = example.link(&Linker::Klink, Kind::Module).unwrap();
    let proof = prove(&example.inputs, &output);
    assert_eq!(proof.wrong, [""; 0]);
    assert!(proof.holds());
    assert!(proof.by_stub > 0 && proof.left == 0);

    // The first, the middle and the last instruction of a stub in the middle of all of them.
    let stub = *proof.stubs.iter().nth(proof.stubs.len() / 2).unwrap();
    // And a call: this word is in the output as often as a function calls the next stub.
    let text = output.code().max_by_key(|s| s.size).unwrap();
    let is_call = |offset: &i64| {
        text.word(*offset)
            .is_some_and(|w| w >> 21 == 0xe840_0000 >> 21)
    };
    let call = (0..text.size.cast_signed())
        .step_by(4)
        .find(is_call)
        .unwrap();
    let call = Place {
        section: text.index,
        offset: call,
    };
    let places = [stub.place, stub.place.plus(4), stub.place.plus(8), call];
    for place in places {
        output.flip(place, 0x0000_0010);
        let proof = prove(&example.inputs, &output);
        assert!(!proof.holds(), "bit flipped at {}", output.describe(place));
        output.flip(place, 0x0000_0010);
    }
}
