//! Names, numbers and habits of an architecture, against what its GNU as and ld say and write.

mod common;

use std::fs;
use std::process::Command;

use common::{AARCH64, Binutils, HPPA32, HPPA64, I386, PPC64, PPC64LE, X86_64, sections_of};
use klink_arch::{Class, Endian};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Object, ObjectSection, ObjectSymbol, elf};
use tempfile::TempDir;

const ALL: [Binutils; 7] = [HPPA32, HPPA64, X86_64, I386, AARCH64, PPC64LE, PPC64];

/// Links a small program with these options; the file, or what ld says.
fn link(tools: &Binutils, options: &[&str], script: Option<&str>) -> Result<Vec<u8>, String> {
    let dir = TempDir::new().unwrap();
    let mut all = vec!["-e", "_start"];
    all.extend(options);
    if let Some(script) = script {
        fs::write(dir.path().join("script"), script).unwrap();
        all.extend(["-T", "script"]);
    }
    let program = tools.try_link_program(dir.path(), "_start:\n\t.4byte 0\n", &all)?;
    Ok(fs::read(program).unwrap())
}

#[test]
fn headers_are_what_ld_writes() {
    for tools in ALL.iter().filter(|tools| tools.available()) {
        let file = link(tools, &[], None).unwrap();
        let arch = tools.arch;
        let class = if arch.class == Class::Elf32 { 1 } else { 2 };
        let data = if arch.endian == Endian::Little { 1 } else { 2 };
        assert_eq!(
            file[4..6],
            [class, data],
            "{}: EI_CLASS, EI_DATA",
            arch.name
        );
        assert_eq!(file[7], arch.osabi, "{}: EI_OSABI", arch.name);
        let machine = [file[18], file[19]];
        let machine = match arch.endian {
            Endian::Big => u16::from_be_bytes(machine),
            Endian::Little => u16::from_le_bytes(machine),
        };
        assert_eq!(machine, arch.machine, "{}", arch.name);
    }
}

#[test]
fn ld_takes_every_name() {
    for tools in ALL.iter().filter(|tools| tools.available()) {
        let arch = tools.arch;
        for name in arch.emulations {
            link(tools, &["-m", name], None).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        for name in arch.bfd_names {
            link(tools, &["--oformat", name], None).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        for name in arch.bfd_arch {
            let script = format!("OUTPUT_ARCH({name}) SECTIONS {{ .text : {{ *(.text) }} }}");
            link(tools, &[], Some(&script)).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let unknown = link(tools, &["-m", "elf_pdp11"], None);
        assert!(unknown.unwrap_err().contains("unrecognised emulation"));
    }
}

/// Under `-r`, ld keeps the input sections apart that [`unique_sections`] names, and no others.
///
/// [`unique_sections`]: klink_arch::Arch::unique_sections
#[test]
fn ld_keeps_the_same_sections_apart() {
    for tools in ALL.iter().filter(|tools| tools.available()) {
        for name in [".text", ".data", ".rodata", ".text.foo"] {
            let flags = if name.contains("text") { "ax" } else { "a" };
            let source = format!("\t.section {name},\"{flags}\",@progbits\n\t.4byte 1\n");
            let sections = sections_of(&tools.link_relocatable(&[&source, &source], &[]));
            let count = sections
                .iter()
                .filter(|section| section.0 == name && !section.2.is_empty());
            let apart = count.count() == 2;
            let expected = tools.arch.unique_sections.contains(&name);
            assert_eq!(apart, expected, "{} {name}; ld left", tools.arch.name);
        }
    }
}

/// Symbols whose names have such a prefix are the assembler's own: ld drops them with `-X`, and
/// keeps others.
#[test]
fn ld_drops_local_labels_with_these_prefixes() {
    for tools in ALL.iter().filter(|tools| tools.available()) {
        for prefix in ["L$", ".L", ".X", "$", "l$", "x"] {
            // defined as a number, or the assembler would drop it already
            let source = format!("\t.4byte 1\n\t.set {prefix}abc, 5\n\t.4byte {prefix}abc\n");
            let file = tools.link_relocatable(&[&source], &["-X"]);
            let file = object::File::parse(&*file).unwrap();
            let name = format!("{prefix}abc");
            let kept = file.symbols().any(|symbol| symbol.name() == Ok(&name));
            let local = prefix == ".L" || tools.arch.local_label_prefixes.contains(&prefix);
            assert_eq!(!kept, local, "{} {name}; ld left", tools.arch.name);
        }
    }
}

#[test]
fn special_sections_have_the_headers_that_ld_writes() {
    for tools in ALL.iter().filter(|tools| tools.available()) {
        for special in tools.arch.special_sections {
            let source = format!(
                "\t.4byte 1\n\t.section {},\"a\",@progbits\n\t.4byte 1,2,3,4\n",
                special.name
            );
            let file = tools.link_relocatable(&[&source], &[]);
            let (section_type, entry_size, info) = match tools.arch.class {
                Class::Elf32 => {
                    header::<elf::FileHeader32<object::Endianness>>(&file, special.name)
                }
                Class::Elf64 => {
                    header::<elf::FileHeader64<object::Endianness>>(&file, special.name)
                }
            };
            assert_eq!(section_type, special.section_type, "{}", special.name);
            assert_eq!(entry_size, special.entry_size, "{}", special.name);
            let parsed = object::File::parse(&*file).unwrap();
            let named = parsed
                .section_by_index(object::SectionIndex(info as usize))
                .ok();
            let named = named.as_ref().and_then(|section| section.name().ok());
            assert_eq!(named, special.info_section, "{}", special.name);
        }
    }
}

/// `sh_type`, `sh_entsize` and `sh_info` of a section.
fn header<Elf: FileHeader<Endian = object::Endianness>>(
    file: &[u8],
    name: &str,
) -> (u32, u64, u32) {
    let header = Elf::parse(file).unwrap();
    let endian = header.endian().unwrap();
    let sections = header.sections(endian, file).unwrap();
    let (_, section) = sections.section_by_name(endian, name.as_bytes()).unwrap();
    (
        section.sh_type(endian).0,
        section.sh_entsize(endian).into(),
        section.sh_info(endian),
    )
}

/// What a test does without its tools: nothing, loudly, or it fails if it was told to.
#[test]
fn missing_tools_are_not_missed() {
    if std::env::var_os("KLINK_TEST_WITHOUT_TOOLS").is_some() {
        assert!(!HPPA32.available());
        return;
    }
    let run = |require: &str| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "missing_tools_are_not_missed", "--nocapture"])
            .env("KLINK_TEST_WITHOUT_TOOLS", "1")
            .env("KLINK_REQUIRE_TOOLS", require)
            .env("PATH", "/nonexistent")
            .output()
            .unwrap()
    };
    let skipped = run("0");
    let message = String::from_utf8_lossy(&skipped.stderr).into_owned();
    assert!(skipped.status.success(), "{message}");
    assert!(
        message.contains("SKIPPED: hppa-linux-gnu-as is missing: install"),
        "{message}"
    );
    assert!(!run("1").status.success());
}
