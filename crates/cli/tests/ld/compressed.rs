//! Compressed debugging sections, read and written. Two compressors' bytes differ, so what binutils
//! unpacks of them is compared.

use std::fs;
use std::path::Path;

use crate::image::Image;
use crate::tools::{Tools, errors, is_installed, klink, must_run};

const SCRIPT: &str = "
SECTIONS {
  .text 0x1000 : { *(.text) }
  .debug_info 0 : { *(.debug_info) }
  .debug_str 0 : { *(.debug_str) }
  .comment 0 : { *(.comment) }
}
";

/// Debugging sections that are worth packing, with relocations all over.
const SOURCE: &str = r#"
	.text
	.globl f
f:	.4byte 1
	.section .debug_info,"",%progbits
	.rept 500
	.4byte f, .Lname, 0, 7
	.endr
	.section .debug_str,"MS",%progbits,1
	.string "first"
.Lname:	.string "a name that comes again and again"
	.section .debug_tiny,"",%progbits
	.byte 1
	.section .comment,"",%progbits
	.ascii "comment"
"#;

/// The names, flags and bytes of a file's sections.
fn contents(path: &Path) -> Vec<(String, u64, Vec<u8>)> {
    let image = Image::read(&fs::read(path).unwrap());
    let shown = image
        .sections
        .into_iter()
        .filter(|section| !section.is_bookkeeping());
    shown
        .map(|section| (section.name, section.flags, section.data))
        .collect()
}

fn link(folder: &Path, object: &str, options: &[&str], to: &str) {
    let arguments = ["-T", "s.lds", object, "-o", to];
    let output = klink(folder, &[&arguments, options].concat());
    assert!(output.status.success(), "{}", errors(&output));
}

#[test]
fn compressed_sections_are_read_and_written() {
    // `SHF_COMPRESSED`.
    const COMPRESSED: u64 = 1 << 11;
    if !is_installed("objcopy") {
        return;
    }
    for name in ["x86_64", "i386", "hppa"] {
        let Some(tools) = Tools::find(name) else {
            continue;
        };
        let objcopy = match name {
            "hppa" => "hppa-linux-gnu-objcopy",
            _ => "objcopy",
        };
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::write(folder.join("s.lds"), SCRIPT).unwrap();
        fs::write(folder.join("a.s"), SOURCE).unwrap();
        tools.assemble(folder, "a.s", "a.o");
        link(folder, "a.o", &[], "plain");
        let plain = contents(&folder.join("plain"));
        let output = tools.link(folder, &["-T", "s.lds", "a.o", "-o", "gnu"]);
        assert!(output.status.success(), "{}", errors(&output));
        assert_eq!(contents(&folder.join("gnu")), plain, "{name}");
        for style in ["zlib-gabi", "zlib-gnu", "zstd"] {
            let option = format!("--compress-debug-sections={style}");
            must_run(folder, &[objcopy], &[&option, "a.o", "packed.o"]);
            assert_ne!(
                fs::read(folder.join("packed.o")).unwrap(),
                fs::read(folder.join("a.o")).unwrap(),
                "{style}"
            );
            link(folder, "packed.o", &[], "out");
            assert_eq!(contents(&folder.join("out")), plain, "{name}: {style} read");
            link(folder, "a.o", &[&option], "small");
            let small = contents(&folder.join("small"));
            let packed = small.iter().filter(|(name, flags, _)| match style {
                "zlib-gnu" => name == ".zdebug_info",
                _ => name == ".debug_info" && flags & COMPRESSED != 0,
            });
            assert_eq!(packed.count(), 1, "{name}: {style}");
            must_run(
                folder,
                &[objcopy],
                &["--decompress-debug-sections", "small", "again"],
            );
            assert_eq!(
                contents(&folder.join("again")),
                plain,
                "{name}: {style} written"
            );
        }
    }
}

/// Damaged sections are an error and nothing else.
#[test]
fn damaged_compressed_sections_are_refused() {
    let Some(tools) = Tools::find("x86_64") else {
        return;
    };
    if !is_installed("objcopy") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::write(folder.join("s.lds"), SCRIPT).unwrap();
    fs::write(folder.join("a.s"), SOURCE).unwrap();
    tools.assemble(folder, "a.s", "a.o");
    must_run(
        folder,
        &["objcopy"],
        &["--compress-debug-sections", "a.o", "packed.o"],
    );
    let whole = fs::read(folder.join("packed.o")).unwrap();
    let section = Image::read(&whole);
    let section = section
        .sections
        .iter()
        .find(|section| section.name == ".debug_info")
        .unwrap();
    for (at, value) in [(0, 9), (8, 0xff), (15, 0xff), (16, 3), (40, 0xff)] {
        let mut damaged = whole.clone();
        damaged[section.offset as usize + at] = value;
        fs::write(folder.join("bad.o"), damaged).unwrap();
        let output = klink(folder, &["-T", "s.lds", "bad.o", "-o", "bad"]);
        assert!(!output.status.success(), "byte {at}");
        assert!(
            errors(&output).contains(".debug_info"),
            "{}",
            errors(&output)
        );
        assert!(!folder.join("bad").exists());
    }
}
