//! Stubs that run: functions too far apart for PA-RISC branches, put together by the module link,
//! then linked by GNU ld to a program that an emulator runs. Its exit code says which calls arrived.

use std::fs;
use std::process::Command;

use crate::image::Image;
use crate::tools::{Tools, errors, is_installed, klink, must_run};

/// `_start` calls far ahead, which calls back and out; each function adds its bit to %r28.
const FIRST: &str = "
	.section .text.first,\"ax\",@progbits
	.globl _start
_start:
	copy %r0,%r28
	b,l last,%r2
	nop
	b,l last_but_one,%r2
	nop
	b,l outside,%r2
	nop
	copy %r28,%r26
	ldi 1,%r20
	be,l 0x100(%sr2,%r0),%sr0,%r31
	nop
	.globl back
back:
	bv %r0(%r2)
	ldo 1(%r28),%r28
	.fill 50000,4,0x08000240
";

const MIDDLE: &str = "
	.section .text.middle,\"ax\",@progbits
	.globl middle
middle:
	.fill 50000,4,0x08000240
";

const LAST: &str = "
	.section .text.last,\"ax\",@progbits
	.globl last
last:
	copy %r2,%r4
	b,l back,%r2
	nop
	b,l outside,%r2
	nop
	copy %r4,%r2
	bv %r0(%r2)
	ldo 2(%r28),%r28
	.globl last_but_one
last_but_one:
	bv %r0(%r2)
	ldo 4(%r28),%r28
";

/// Another module, as it were: it is linked behind the module link.
const OUTSIDE: &str = "
	.text
	.globl outside
outside:
	bv %r0(%r2)
	ldo 16(%r28),%r28
";

#[test]
fn far_calls_arrive_in_an_emulator() {
    let (Some(tools), true) = (Tools::find("hppa"), is_installed("qemu-hppa")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (name, text) in [
        ("a", FIRST),
        ("b", MIDDLE),
        ("c", LAST),
        ("outside", OUTSIDE),
    ] {
        fs::write(folder.join(format!("{name}.s")), text).unwrap();
        tools.assemble(folder, &format!("{name}.s"), &format!("{name}.o"));
    }
    for order in [&["--no-reorder"][..], &[]] {
        let inputs = ["-r", "--module", "a.o", "b.o", "c.o", "-o", "module.o"];
        let output = klink(folder, &[&inputs[..], order].concat());
        assert!(output.status.success(), "{}", errors(&output));
        let image = Image::read(&fs::read(folder.join("module.o")).unwrap());
        let text = image
            .sections
            .iter()
            .position(|section| section.name == ".text");
        let text = text.expect(".text");
        // DIR21L and DIR14R of the one stub that leaves: GNU ld gets no branch to help with.
        assert!(
            image
                .relocations_of(text)
                .iter()
                .all(|one| [2, 6].contains(&one.kind))
        );
        assert!(image.sections[text].size > 400_000);
        // The program's own code stands far from the module's.
        let link = ["module.o", "outside.o", "-o", "program"];
        must_run(folder, &["hppa-linux-gnu-ld"], &link);
        let program = Command::new("qemu-hppa")
            .arg(folder.join("program"))
            .output()
            .unwrap();
        // back 1 + last 2 + last_but_one 4 + outside 16 twice
        assert_eq!(program.status.code(), Some(39), "{order:?}: {program:?}");
    }
}
