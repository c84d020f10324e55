//! The prover accepts what GNU ld links, and finds each way to get it wrong.

use std::path::Path;
use std::process::Command;

use super::super::super::elf::Elf;
use super::{ImageProof, files_of, prove_image};

/// Two objects: `start` calls `near` and, beyond 256 KiB, `far`; data refers to both, to a
/// string and to itself; `$global$` is there.
const MAIN: &str = r#"
	.level 1.1
	.text
	.globl start
start:	b,l near,%rp
	nop
	b,l far,%rp
	nop
	ldil LR'text0,%r20
	ldo RR'text0(%r20),%r20
	addil LR'data0-$global$,%dp
	ldw RR'data0-$global$(%r1),%r21
	.data
	.globl $global$
$global$:
	.align 4
	.globl data0
data0:	.word far
	.word data0+4
	.word 0x12345678
	.section .rodata.str1.4,"aMS",@progbits,1
	.align 4
text0:	.asciz "some text"
"#;
const FAR: &str = r#"
	.level 1.1
	.text
	.globl near
near:	bv %r0(%rp)
	nop
	.section .text.gap,"ax",@progbits
	.space 300000
	.section .text.last,"ax",@progbits
	.globl far
far:	bv %r0(%rp)
	nop
	.section .rodata.str1.4,"aMS",@progbits,1
	.align 4
	.asciz "some text"
"#;
const SCRIPT: &str = "SECTIONS { . = 0x10000000; \
    .text : { *(.text) *(.text.gap) *(.text.last) } \
    .rodata : { *(.rodata.str1.4) } .data : { *(.data) } /DISCARD/ : { *(*) } }";

/// A link of both objects.
struct Linked {
    map: String,
    inputs: Vec<(String, Vec<u8>)>,
    image: Vec<u8>,
}

impl Linked {
    /// `None` without the assembler and linker.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for (name, source) in [("main", MAIN), ("far", FAR)] {
            std::fs::write(at(name), source).expect("written");
            let object = format!("{name}.o");
            if !run(folder.path(), "hppa-linux-gnu-as", &["-o", &object, name]) {
                eprintln!("SKIPPED: no hppa-linux-gnu-as (cargo xtask tools installs it)");
                assert!(std::env::var_os("KLINK_REQUIRE_TOOLS").is_none());
                return None;
            }
        }
        std::fs::write(at("script"), SCRIPT).expect("written");
        let args = [
            "-T", "script", "-Map", "map", "-e", "start", "-o", "image", "main.o", "far.o",
        ];
        assert!(run(folder.path(), "hppa-linux-gnu-ld", &args));
        let map = std::fs::read_to_string(at("map")).expect("a map");
        let read = |name: &String| (name.clone(), std::fs::read(at(name)).expect("an object"));
        Some(Self {
            inputs: files_of(&map).iter().map(read).collect(),
            image: std::fs::read(at("image")).expect("an image"),
            map,
        })
    }

    fn proof(&self) -> ImageProof {
        prove_image(&self.map, &self.inputs, &self.image).expect("readable")
    }

    /// The problems after `change` of the word at a symbol and an offset.
    fn changed(&self, symbol: &str, offset: u64, change: impl Fn(u32) -> u32) -> String {
        let elf = Elf::parse(&self.image).expect("readable");
        let symbol = elf.symbols.iter().find(|s| s.name == symbol);
        let address = symbol.expect("in the image").value.wrapping_add(offset);
        let holds = |s: &&super::Section<'_>| s.addr <= address && address - s.addr < s.size;
        let section = elf.sections.iter().skip(1).find(holds).expect("a section");
        let at = (section.offset + address - section.addr) as usize;
        let mut image = self.image.clone();
        let word = u32::from_be_bytes(image[at..at + 4].try_into().expect("four"));
        image[at..at + 4].copy_from_slice(&change(word).to_be_bytes());
        let proof = prove_image(&self.map, &self.inputs, &image).expect("readable");
        proof.problems.join("\n")
    }
}

fn run(folder: &Path, program: &str, args: &[&str]) -> bool {
    let done = Command::new(program)
        .args(args)
        .current_dir(folder)
        .output();
    done.is_ok_and(|output| {
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        true
    })
}

#[test]
fn what_gnu_ld_links_is_proved() {
    let Some(linked) = Linked::new() else {
        return;
    };
    let proof = linked.proof();
    assert_eq!(proof.problems, Vec::<String>::new());
    assert_eq!((proof.direct, proof.through_stub), (1, 1));
    assert_eq!((proof.stubs, proof.stub_bytes, proof.islands), (1, 8, 1));
    assert_eq!(proof.unused_stubs, 0);
    // Two words of data and two pairs of halves.
    assert_eq!(proof.fields, 6);
    assert!(proof.left_out.is_empty());
}

#[test]
fn each_wrong_word_is_found() {
    let Some(linked) = Linked::new() else {
        return;
    };
    let same = linked.changed("start", 0, |word| word);
    assert_eq!(same, "");
    // A branch of four bytes more, another register in it, another instruction.
    let far = linked.changed("start", 0, |word| word + 8);
    assert!(far.contains("branch to") && far.contains("(near)"), "{far}");
    let register = linked.changed("start", 0, |word| word ^ 1 << 21);
    assert!(register.contains(".text of main.o+0x1 at"), "{register}");
    let through = linked.changed("start", 8, |word| word + 8);
    assert!(through.contains("(far)"), "{through}");
    let code = linked.changed("near", 4, |word| word ^ 1);
    assert!(code.contains(".text of far.o+0x7"), "{code}");
    // Halves of addresses, words of data, the string itself.
    for (symbol, offset) in [("start", 16), ("start", 20), ("start", 24), ("start", 28)] {
        assert_ne!(
            linked.changed(symbol, offset, |word| word ^ 2),
            "",
            "{symbol}+{offset}"
        );
    }
    for offset in [0, 4, 8] {
        let data = linked.changed("data0", offset, |word| word ^ 4);
        assert!(data.contains(".data of main.o"), "{data}");
    }
}

#[test]
fn a_wrong_stub_is_found() {
    let Some(linked) = Linked::new() else {
        return;
    };
    let elf = Elf::parse(&linked.image).expect("readable");
    let text = elf
        .sections
        .iter()
        .find(|s| s.name == ".text")
        .expect("text");
    let words = text.data.chunks_exact(4);
    let words = words.map(|word| u32::from_be_bytes(word.try_into().expect("four")));
    let ldil_r1 = |word: u32| word & 0xffe0_0000 == 0x2020_0000;
    let stub = words.clone().position(ldil_r1).expect("a stub");
    let start = elf
        .symbols
        .iter()
        .find(|s| s.name == "start")
        .expect("start");
    let offset = (text.addr + 4 * stub as u64).wrapping_sub(start.value);
    let target = linked.changed("start", offset.wrapping_add(4), |word| word ^ 8);
    assert!(target.contains("a stub to"), "{target}");
    let no_stub = linked.changed("start", offset, |_| 0x0800_0240);
    assert!(no_stub.contains("branch to"), "{no_stub}");
}

#[test]
fn damaged_images_are_no_panics() {
    let Some(linked) = Linked::new() else {
        return;
    };
    let headers = linked.image.len().saturating_sub(2000)..linked.image.len();
    for at in (0..128).chain(headers.step_by(11)) {
        let mut image = linked.image.clone();
        image[at] ^= 0x81;
        let _any = prove_image(&linked.map, &linked.inputs, &image);
    }
}
