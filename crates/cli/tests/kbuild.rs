//! `klink kbuild`, run as a program in a small folder that looks like a kernel's build: what is linked
//! how often, and what becomes of type information.
//!
//! pahole and resolve_btfids are scripts that leave traces, since what they do is not klink's.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use object::{Object, ObjectSection};

/// Code that refers to the table of symbols strongly, as Linux since 6.11 does, and a type.
const KERNEL: &str = r#"
        .section .head.text, "ax"
        .globl start_kernel
start_kernel:
        lea kallsyms_num_syms(%rip), %rax
        lea kallsyms_names(%rip), %rax
        ret
        .section .debug_info, "", @progbits
        .ascii "debug"
"#;

const SCRIPT: &str = "
SECTIONS {
    . = 0xffffffff81000000;
    _text = .;
    _stext = .;
    .text : { *(.head.text) *(.text) }
    _etext = .;
    .rodata : { *(.rodata .rodata.*) }
    .BTF : { __start_BTF = .; *(.BTF) __stop_BTF = .; }
    _end = .;
}
";

/// Gives the file a section with what it is called by, if it still has its debug information.
const PAHOLE: &str = r#"#!/bin/sh
for file; do :; done
readelf -SW $file | grep -q debug_info || exit 1
printf 'types by %s' "$*" > types
exec objcopy --add-section .BTF=types $file
"#;

const RESOLVE: &str = "#!/bin/sh\necho $1 > resolved\n";

/// A build folder with these lines in its configuration; `None`: there are no tools.
fn folder(config: &str) -> Option<tempfile::TempDir> {
    for program in ["as", "ar", "objcopy", "readelf"] {
        if Command::new(program).arg("--version").output().is_err() {
            let why = format!("{program} is not installed");
            let required = std::env::var("KLINK_REQUIRE_TOOLS").as_deref() == Ok("1");
            assert!(!required, "{why}");
            eprintln!("SKIPPED: {why}");
            return None;
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    write("include/config/auto.conf", config);
    write("include/config/kernel.release", "6.12.0\n");
    write("scripts/link-vmlinux.sh", "");
    write("kernel.lds", SCRIPT);
    write("kernel.s", KERNEL);
    write("init/version-timestamp.s", "");
    write("pahole", PAHOLE);
    write("resolve_btfids", RESOLVE);
    for (source, object) in [
        ("kernel.s", "kernel.o"),
        ("init/version-timestamp.s", "init/version-timestamp.o"),
    ] {
        run(folder.path(), "as", &["--64", source, "-o", object]);
    }
    run(folder.path(), "ar", &["rcs", "vmlinux.a", "kernel.o"]);
    Some(folder)
}

fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let status = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .status();
    assert!(status.unwrap().success(), "{program} {arguments:?}");
}

fn kbuild(folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_klink"))
        .args(["kbuild", env!("CARGO_BIN_EXE_ld-klink")])
        .args(["-m elf_x86_64", "--build-id=sha1"])
        .current_dir(folder)
        .env("srctree", ".")
        .env("objtree", ".")
        .env("SRCARCH", "x86")
        .env("KBUILD_LDS", "kernel.lds")
        .env("MAKE", "true")
        .env("PAHOLE", "./pahole")
        .env("PAHOLE_FLAGS", "--first --second")
        .env("OBJCOPY", "objcopy")
        .env("RESOLVE_BTFIDS", "./resolve_btfids")
        .env_remove("KBUILD_VMLINUX_LIBS")
        .env_remove("KBUILD_VERBOSE")
        .env_remove("quiet")
        .output()
        .unwrap()
}

/// The steps that it says it takes: "LD vmlinux".
fn steps(output: &Output) -> Vec<String> {
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
    assert_eq!(err, "", "nothing to complain of");
    let out = String::from_utf8_lossy(&output.stdout);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    out.lines().map(words).collect()
}

/// The bytes of a section of vmlinux.
fn section(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let bytes = fs::read(folder.join("vmlinux")).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let section = file.section_by_name(name)?;
    Some(section.data().unwrap().to_vec())
}

#[test]
fn a_kernel_is_linked_once() {
    let Some(folder) = folder("CONFIG_KALLSYMS=y\nCONFIG_KALLSYMS_ALL=y\n") else {
        return;
    };
    assert_eq!(steps(&kbuild(folder.path())), ["LD vmlinux"]);
    let map = fs::read_to_string(folder.path().join("System.map")).unwrap();
    assert!(map.contains(" T start_kernel\n"), "{map}");
    assert!(!folder.path().join("resolved").exists());
}

#[test]
fn types_come_from_a_link_before_with_a_table_of_symbols_too() {
    let config = "CONFIG_KALLSYMS=y\nCONFIG_DEBUG_INFO_BTF=y\nCONFIG_BPF=y\n";
    let Some(folder) = folder(config) else { return };
    assert_eq!(
        steps(&kbuild(folder.path())),
        [
            "LD .tmp_vmlinux.btf",
            "BTF .btf.vmlinux.bin.o",
            "LD vmlinux",
            "BTFIDS vmlinux"
        ]
    );
    let types = section(folder.path(), ".BTF").unwrap();
    let wanted = "types by -J --first --second .tmp_vmlinux.btf";
    assert_eq!(String::from_utf8_lossy(&types), wanted);
    let resolved = fs::read_to_string(folder.path().join("resolved")).unwrap();
    assert_eq!(resolved, "vmlinux\n");
}

#[test]
fn a_kernel_without_a_table_of_symbols_has_types_all_the_same() {
    let Some(folder) = folder("CONFIG_DEBUG_INFO_BTF=y\n") else {
        return;
    };
    // Its code may not ask for the table then.
    fs::write(
        folder.path().join("kernel.s"),
        ".globl x\nx: ret\n.section .debug_info\n.byte 1\n",
    )
    .unwrap();
    run(folder.path(), "as", &["--64", "kernel.s", "-o", "kernel.o"]);
    run(folder.path(), "ar", &["rcs", "vmlinux.a", "kernel.o"]);
    assert_eq!(steps(&kbuild(folder.path())).len(), 4);
    assert!(section(folder.path(), ".BTF").is_some());
}

#[test]
fn types_that_cannot_be_made_leave_no_kernel() {
    let Some(folder) = folder("CONFIG_KALLSYMS=y\nCONFIG_DEBUG_INFO_BTF=y\n") else {
        return;
    };
    fs::write(folder.path().join("vmlinux"), "of an earlier build").unwrap();
    fs::write(folder.path().join("pahole"), "#!/bin/sh\nexit 3\n").unwrap();
    let output = kbuild(folder.path());
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("./pahole failed (exit status: 3)"), "{err}");
    assert!(!folder.path().join("vmlinux").exists());
}
