//! The module linker scripts of every architecture of Linux 6.1, made of `scripts/module.lds.S` and
//! `arch/*/include/asm/module.lds.h` as a kernel build makes them. They are GPL text and read from
//! Debian's source package, if it is here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{Tools, errors, is_installed, klink, must_run, skip};

/// Options that give `module.lds.h` files their most contents.
const OPTIONS: [&str; 6] = [
    "CONFIG_ARM_MODULE_PLTS",
    "CONFIG_ARM64_MODULE_PLTS",
    "CONFIG_KASAN_SW_TAGS",
    "CONFIG_MODULE_SECTIONS",
    "CONFIG_LTO_CLANG",
    "CONFIG_CFI_CLANG",
];

/// An object with a section for most of what the scripts mention.
const OBJECT: &str = "
	.section .discard.x,\"a\",@progbits
	.4byte 1
	.section ___ksymtab+two,\"a\",@progbits
	.4byte 2
	.section ___ksymtab+one,\"a\",@progbits
	.4byte 1
	.section ___kcrctab_gpl+one,\"a\",@progbits
	.4byte 1
	.section .ctors,\"aw\",@progbits
	.4byte 3
	.section .init_array,\"aw\",@init_array
	.4byte 0,0
	.section .altinstructions,\"a\",@progbits
	.4byte 4
	.section __bug_table,\"aw\",@progbits
	.4byte 5
	.section __jump_table,\"aw\",@progbits
	.4byte 6
	.section __patchable_function_entries,\"aw\",@progbits
	.4byte 7
	.section .text.hot,\"ax\",@progbits
	.4byte 8
	.section .got,\"aw\",@progbits
	.4byte 9
	.section .m68k_fixup,\"a\",@progbits
	.4byte 10
	.section .data.mine,\"aw\",@progbits
	.4byte 11
";

/// Where Debian's package puts the kernel's source.
const PACKED: &str = "/usr/src/linux-source-6.1.tar.xz";

/// What is needed of it.
const MEMBERS: [&str; 3] = [
    "*/scripts/module.lds.S",
    "*/arch/*/include/asm/module.lds.h",
    "*/include/asm-generic/module.lds.h",
];

/// The kernel's source: `KLINK_LINUX`, or what is needed of Debian's, unpacked once.
fn kernel_source() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("KLINK_LINUX") {
        return Some(PathBuf::from(given));
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("module-scripts");
    if !folder.join(MEMBERS[0].trim_start_matches("*/")).exists() {
        if !Path::new(PACKED).exists() {
            return None;
        }
        fs::create_dir_all(&folder).unwrap();
        let mut arguments = vec!["--strip-components=1", "--wildcards", "-xf", PACKED];
        arguments.extend(MEMBERS);
        must_run(&folder, &["tar"], &arguments);
    }
    Some(folder)
}

/// Runs the preprocessor as a kernel build does (`scripts/Makefile.build`, `cmd_cpp_lds_S`).
fn preprocess(source: &Path, arch: &Path, with: &[&str]) -> String {
    let mut cpp = Command::new("cpp");
    cpp.args(["-P", "-undef", "-D__ASSEMBLY__", "-DLINKER_SCRIPT"]);
    cpp.args(with.iter().map(|option| format!("-D{option}=1")));
    // An architecture without a module.lds.h of its own gets the empty generic one.
    let folders = [arch.join("include"), source.join("include/asm-generic/..")];
    cpp.args(
        folders
            .iter()
            .map(|folder| format!("-I{}", folder.display())),
    );
    let output = cpp
        .arg(source.join("scripts/module.lds.S"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_architectures_module_script_links_as_with_gnu_ld() {
    let Some(source) = kernel_source() else {
        return skip(
            "no kernel source: install linux-source-6.1, or set KLINK_LINUX to a folder of it",
        );
    };
    let (Some(tools), true) = (Tools::find("x86_64"), is_installed("cpp")) else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("a.s"), OBJECT).unwrap();
    tools.assemble(folder, "a.s", "a.o");
    let arches = fs::read_dir(source.join("arch")).unwrap();
    let arches = arches.map(|entry| entry.unwrap().path());
    let mut seen = 0;
    for arch in arches.filter(|arch| arch.join("include/asm/module.lds.h").exists()) {
        for with in [&[][..], &OPTIONS] {
            fs::write(folder.join("module.lds"), preprocess(&source, &arch, with)).unwrap();
            let arguments = |output| ["-r", "-T", "module.lds", "a.o", "-o", output];
            let gnu = tools.link(folder, &arguments("gnu"));
            assert!(gnu.status.success(), "{}", errors(&gnu));
            let klinked = klink(folder, &arguments("out"));
            assert!(
                klinked.status.success(),
                "{}: {}",
                arch.display(),
                errors(&klinked)
            );
            // GNU ld counts addresses where the script says none; in an object they mean nothing.
            let read = |name| fs::read(folder.join(name)).unwrap();
            let differences =
                xtask::oracle::differences(&read("gnu"), &read("out"), &["address"]).unwrap();
            assert_eq!(
                differences,
                "",
                "{} with {with:?}; A is GNU ld's",
                arch.display()
            );
            seen += 1;
        }
    }
    assert!(
        seen >= 14,
        "Linux 6.1 has 7 architectures with a module.lds.h; found {seen} / 2"
    );
}
