//! Stubs: their code against GNU as, their fields against GNU ld, and that they go where they should
//! in qemu-hppa.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use common::{Binutils, HPPA32, HPPA64, TEXT, scatter, skip};
use klink_arch::{ARCHES, RelocError, StubRelocation, StubTemplate, Values};
use object::{Object, ObjectSection, ObjectSymbol};
use proptest::prelude::*;

fn image() -> &'static StubTemplate {
    HPPA32.arch.image_stub.unwrap()
}

fn anywhere() -> &'static StubTemplate {
    HPPA32.arch.module.stubs.as_ref().unwrap().anywhere
}

fn same_section() -> &'static StubTemplate {
    HPPA32.arch.module.stubs.as_ref().unwrap().same_section
}

#[test]
fn their_code_is_what_their_comments_say() {
    if !HPPA32.available() {
        return;
    }
    for (stub, source) in [
        (image(), "\tldil 0,%r1\n\tbe,n 0(%sr4,%r1)\n"),
        (
            anywhere(),
            "\tldil 0,%r1\n\tldo 0(%r1),%r1\n\tbv,n %r0(%r1)\n",
        ),
        (
            same_section(),
            "\tb,l .+8,%r1\n\taddil 0,%r1\n\tbe,n 0(%sr4,%r1)\n",
        ),
    ] {
        assert_eq!(
            stub.code,
            HPPA32.assemble(source),
            "{}; as on the right",
            stub.name
        );
    }
}

#[test]
fn every_template_is_whole() {
    for arch in ARCHES {
        let module = arch.module.stubs.as_ref();
        let stubs = module.map(|stubs| [stubs.anywhere, stubs.same_section]);
        let loader = arch.load.stubs.iter().flat_map(|stubs| stubs.kinds);
        let loader = loader.map(|kind| kind.template);
        for stub in stubs
            .into_iter()
            .flatten()
            .chain(arch.image_stub)
            .chain(loader)
        {
            assert!(
                !stub.is_empty() && stub.len() % stub.align as usize == 0,
                "{}",
                stub.name
            );
            assert!(
                stub.relocations
                    .is_sorted_by_key(|relocation| relocation.offset)
            );
            for relocation in stub.relocations {
                let row = arch.relocation(relocation.number).unwrap();
                assert!(
                    relocation.offset as usize + row.len() <= stub.len(),
                    "{}",
                    stub.name
                );
            }
        }
        let Some(stubs) = module else { continue };
        assert!(stubs.same_section.is_position_independent(arch));
        assert!(!stubs.anywhere.is_position_independent(arch));
        // what is left to the loader, the loader must know
        let left = stubs.anywhere.relocations;
        assert!(
            left.iter()
                .all(|relocation| arch.module.loads(relocation.number))
        );
        // and both halves get the same addend, or LR and RR would not add up
        assert!(
            left.iter()
                .all(|relocation| relocation.addend == left[0].addend)
        );
    }
}

#[test]
fn loader_stubs_of_pa_risc_are_what_their_comments_say() {
    if !HPPA32.available() || !HPPA64.available() {
        return;
    }
    let kinds = |tools: &Binutils| tools.arch.load.stubs.as_ref().unwrap().kinds;
    let direct = "\tldil 0,%r1\n\tldo 0(%r1),%r1\n\tbve,n (%r1)\n";
    let millicode = "\tldil 0,%r1\n\tldo 0(%r1),%r1\n\tldd 16(%r1),%r1\n\tbve,n (%r1)\n";
    let descriptor = "\tldd 0(%r27),%r27\n\tldd 16(%r27),%r1\n\tbve (%r1)\n\tldd 24(%r27),%r27\n";
    for (tools, sources) in [
        (HPPA32, &["\tldil 0,%r1\n\tbe,n 0(%sr4,%r1)\n"] as &[&str]),
        (HPPA64, &[direct, millicode, descriptor]),
    ] {
        assert_eq!(kinds(&tools).len(), sources.len());
        for (kind, source) in kinds(&tools).iter().zip(sources) {
            let stub = kind.template;
            // the assembler takes `ldd` with 5 bits of displacement for 0
            let mut code = tools.assemble(source);
            if stub.relocations.iter().any(|r| r.number == 103) {
                code[..4].copy_from_slice(&[0x53, 0x7b, 0, 0]);
            }
            assert_eq!(stub.code, code, "{}; as on the right", stub.name);
        }
    }
}

/// What GNU ld makes of the stubs' relocations is what klink makes of them.
#[test]
fn their_fields_are_what_ld_writes() {
    if !HPPA32.available() {
        return;
    }
    let targets: Vec<u64> = [
        0,
        4,
        0x7fc,
        0x800,
        0x804,
        0x1000,
        0x2000,
        TEXT,
        TEXT + 8,
        0x3fff_fffc,
    ]
    .into_iter()
    .chain(scatter(1000).map(|number| number & 0x3fff_fffc))
    .collect();
    let names: Vec<String> = targets
        .iter()
        .map(|target| format!("target{target:x}"))
        .collect();
    let symbols: Vec<(&str, u64)> = names
        .iter()
        .map(String::as_str)
        .zip(targets.iter().copied())
        .collect();
    for stub in [image(), anywhere(), same_section()] {
        let mut source = String::from("_start:\n");
        for (target, start) in targets.iter().zip((0..).step_by(stub.len())) {
            for word in stub.code.chunks(4) {
                source += &format!("\t.word 0x{}\n", hex(word));
            }
            for StubRelocation {
                offset,
                number,
                addend,
                ..
            } in stub.relocations
            {
                let name = HPPA32.arch.relocation(*number).unwrap().name;
                let offset = start + offset;
                source += &format!("\t.reloc {offset}, {name}, target{target:x}{addend:+}\n");
            }
        }
        let linked = HPPA32.link(&source, &symbols).unwrap();
        for (&target, start) in targets.iter().zip((0..).step_by(stub.len())) {
            let mut out = vec![0xee; stub.len() + 1];
            stub.resolve(HPPA32.arch, TEXT + start as u64, target, &mut out)
                .unwrap();
            let expected = &linked.after[start..start + stub.len()];
            assert_eq!(
                &out[..stub.len()],
                expected,
                "{} {target:#x}; ld right",
                stub.name
            );
            assert_eq!(out[stub.len()], 0xee, "wrote past its end");
        }
    }
}

fn hex(word: &[u8]) -> String {
    word.iter().map(|byte| format!("{byte:02x}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The two fields of the relative stub, read back, add up to the displacement from its end.
    #[test]
    fn the_relative_stub_adds_up(displacement: i32) {
        let displacement = i64::from(displacement & !3);
        let mut out = [0; 12];
        same_section().instantiate(HPPA32.arch, displacement, &mut out).unwrap();
        let field = |number: u32, offset: usize| {
            let field = HPPA32.arch.relocation(number).unwrap().field;
            field.decode(field.read(HPPA32.arch.endian, &out[offset..]).unwrap())
        };
        let sum = (field(10, 4) << 11) + field(11, 8) + 8;
        prop_assert_eq!(sum as i32, displacement as i32);
        prop_assert_eq!(out[..4].to_vec(), same_section().code[..4].to_vec());
    }
}

#[test]
fn an_absolute_stub_is_not_finished_by_a_distance() {
    for stub in [image(), anywhere()] {
        let result = stub.instantiate(HPPA32.arch, 0x1000, &mut [0; 12]);
        assert_eq!(result, Err(RelocError::Unsupported { name: stub.name }));
    }
    let result = same_section().instantiate(HPPA32.arch, 0x1000, &mut [0; 11]);
    assert_eq!(
        result,
        Err(RelocError::OutOfBounds {
            needed: 12,
            available: 11
        })
    );
}

/// Which instructions may go to a stub: the plain calls and jumps, whatever register they link to.
#[test]
fn only_plain_branches_may_use_a_stub() {
    if !HPPA32.available() {
        return;
    }
    let row = |name| HPPA32.arch.relocation_by_name(name).unwrap();
    for (source, name, may) in [
        ("b,l .+8,%r2", "R_PARISC_PCREL22F", true),
        ("b,l,n .+8,%r2", "R_PARISC_PCREL22F", true),
        ("b,l .+8,%r31", "R_PARISC_PCREL17F", true),
        ("b,l,n .+8,%r0", "R_PARISC_PCREL17F", true),
        ("b .+8", "R_PARISC_PCREL17F", true),
        ("b,gate .+8,%r31", "R_PARISC_PCREL17F", false),
        ("b,l,push .+8,%r2", "R_PARISC_PCREL22F", false),
        ("cmpb,= %r1,%r2,.+8", "R_PARISC_PCREL12F", false),
        ("cmpib,<>,n 3,%r2,.+8", "R_PARISC_PCREL12F", false),
        ("addib,> -1,%r2,.+8", "R_PARISC_PCREL12F", false),
        ("bb,<,n %r2,3,.+8", "R_PARISC_PCREL12F", false),
        // not branches to where the relocation says at all
        ("blr %r1,%r2", "R_PARISC_PCREL17F", false),
        ("be,n 0(%sr4,%r1)", "R_PARISC_PCREL17F", false),
        ("be 0(%sr4,%r1)", "R_PARISC_DIR17F", false),
        ("ldo 4(%r1),%r1", "R_PARISC_DIR14R", false),
    ] {
        let code = HPPA32.assemble(&format!("\t{source}\n"));
        assert_eq!(
            row(name).may_use_stub(HPPA32.arch.endian, &code),
            may,
            "{source}"
        );
    }
}

/// The error has the numbers that Linux 6.1 printed when it refused an xfs.ko of merged sections.
#[test]
fn out_of_range_is_told_in_the_kernels_words() {
    let row = HPPA32.arch.relocation_by_name("R_PARISC_PCREL17F").unwrap();
    let place = 0x1000_0000_u64;
    // 0x3ffefffa instructions, as 32-bit addresses wrap: 65,542 back
    let symbol = place + 8 - 65_542 * 4;
    let values = Values {
        symbol,
        place,
        ..Values::default()
    };
    let mut call = [0xe8, 0x40, 0, 0];
    let error = row
        .apply(HPPA32.arch.endian, &mut call, &values)
        .unwrap_err();
    assert_eq!(
        error,
        RelocError::OutOfRange {
            value: 0x3ffe_fffa,
            bits: 17
        }
    );
    assert_eq!(error.to_string(), "out of range (0x3ffefffa in 17 bits)");
    assert_eq!(call, [0xe8, 0x40, 0, 0]);
}

/// A program that calls, through each stub, a function far ahead and one far behind; each adds 7
/// to the exit status.
const CALLS: &str = "
_start:
	ldi 0,%r26
	b,l stub0,%r2
	nop
	b,l stub1,%r2
	nop
	b,l stub2,%r2
	nop
	b,l stub3,%r2
	nop
	b,l stub4,%r2
	nop
	b,l stub5,%r2
	nop
	ble 0x100(%sr2,%r0)
	ldi 1,%r20
	.globl stub0,stub1,stub2,stub3,stub4,stub5,ahead,behind
stub0:	.word 0,0,0
stub1:	.word 0,0,0
stub2:	.word 0,0,0
stub3:	.word 0,0,0
stub4:	.word 0,0,0
stub5:	.word 0,0,0
	.section .ahead,\"ax\",@progbits
	.word 0,0,0
ahead:	bv %r0(%r2)
	addi 7,%r26,%r26
	.section .behind,\"ax\",@progbits
	.word 0,0,0,0,0
behind:	bv %r0(%r2)
	addi 7,%r26,%r26
";

#[test]
fn a_processor_goes_where_the_stubs_should() {
    const QEMU: &str = "qemu-hppa";
    if !HPPA32.available() {
        return;
    }
    if Command::new(QEMU).arg("--version").output().is_err() {
        skip(&format!("{QEMU} is missing: install qemu-user"));
        return;
    }
    let dir = tempfile::TempDir::new().unwrap();
    let program = HPPA32
        .try_link_program(
            dir.path(),
            CALLS,
            &[
                "-Ttext=0x800000",
                "--section-start=.ahead=0xf00000",
                "--section-start=.behind=0x100000",
            ],
        )
        .unwrap();
    let mut bytes = fs::read(&program).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let address = |name: &str| {
        file.symbols()
            .find(|symbol| symbol.name() == Ok(name))
            .expect("the symbol")
            .address()
    };
    let text = file.section_by_name(".text").unwrap();
    let (text_address, text_offset) = (text.address(), text.file_range().unwrap().0);
    let mut stubs = Vec::new();
    for (nth, template) in [image(), anywhere(), same_section()]
        .into_iter()
        .enumerate()
    {
        for (name, target) in [(2 * nth, "ahead"), (2 * nth + 1, "behind")] {
            let place = address(&format!("stub{name}"));
            let mut code = [0; 12];
            template
                .resolve(HPPA32.arch, place, address(target), &mut code)
                .unwrap();
            stubs.push(((text_offset + place - text_address) as usize, code));
        }
    }
    for (offset, code) in stubs {
        bytes[offset..offset + 12].copy_from_slice(&code);
    }
    fs::write(&program, bytes).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let status = Command::new(QEMU).arg(&program).status().unwrap();
    assert_eq!(status.code(), Some(6 * 7), "each of 6 calls adds 7");
}
