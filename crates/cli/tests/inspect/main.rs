//! `klink inspect`, run as a program on small objects whose every byte is known.

mod corpus;
mod elf;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use elf::{CODE, CONSTANT, DATA, HPPA, I386, Object, RISCV64, X86_64};
use serde_json::{Value, json};

const PCREL17F: u32 = 12;

/// A folder that goes away with the test.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("to make a folder");
        std::fs::write(&path, bytes).expect("to write a file");
        path
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

fn klink(arguments: &[&str], files: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_klink"));
    command.arg("inspect").args(arguments).args(files);
    command.output().expect("klink runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

/// What `--json` says of each file.
fn lines(output: &Output) -> Vec<Value> {
    let text = stdout(output);
    let values = text.lines().map(serde_json::from_str);
    values.collect::<Result<_, _>>().expect("JSON")
}

/// The exit code and what `--json` says of one object.
fn inspect(object: Object) -> (i32, Value) {
    let folder = Folder::new();
    let path = folder.put("it.ko", object.bytes());
    let output = klink(&["--json"], &[&path]);
    assert_eq!(stderr(&output), "");
    let [report] = lines(&output).try_into().expect("one line");
    (output.status.code().expect("an exit code"), report)
}

/// A call from one place of a section to another.
fn call(from: u32, to: u32) -> Value {
    let object = Object::new(HPPA)
        .zeros(".text", CODE, 4, 0x40000)
        .symbol("target", 1, to);
    let (code, report) = inspect(object.relocation(1, from, PCREL17F, 1, 0));
    assert_eq!(code, 0);
    report
}

#[test]
fn a_near_call_is_direct_and_its_headroom_is_what_is_left_of_256_kib() {
    let report = call(0x800, 0x900);
    let form = &report["branches"][0];
    assert_eq!(form["name"], "R_PARISC_PCREL17F");
    assert_eq!((&form["direct"], &form["to_stub"]), (&json!(1), &json!(0)));
    assert_eq!(form["furthest"]["distance"], 0x100);
    // counted from the second instruction on, to the last whole instruction
    assert_eq!(form["reach_forth"], (256 << 10) + 8 - 4);
    assert_eq!(report["headroom"]["bytes"], (256 << 10) + 8 - 4 - 0x100);
}

#[test]
fn a_direct_call_at_the_edge_of_its_reach_is_safe_while_its_stub_is_near() {
    let report = call(0, 0x3f000);
    let form = &report["branches"][0];
    assert_eq!((&form["direct"], &form["to_stub"]), (&json!(1), &json!(0)));
    assert_eq!(form["furthest"]["by_stub"], true);
    assert_eq!(form["furthest"]["distance"], -16);
}

/// 600 KB of code that calls the kernel from near its end.
fn outgrown() -> Object {
    Object::new(HPPA)
        .zeros(".text", CODE, 4, 600_000)
        .symbol("printk", 0, 0)
        .relocation(1, 599_000, PCREL17F, 1, 0)
}

#[test]
fn a_call_too_far_from_the_stub_in_front_of_its_section_is_refused() {
    let (code, report) = inspect(outgrown());
    let form = &report["branches"][0];
    assert_eq!(code, 1);
    assert_eq!(form["out_of_reach"], 1);
    // the section follows a stub for the call and a spare one, 8 bytes each
    assert_eq!(form["furthest"]["distance"], -599_016);
    // 256 KiB back, from the second instruction on
    assert_eq!(report["headroom"]["bytes"], (256 << 10) - 8 - 599_016);
}

#[test]
fn the_page_of_a_refused_module_quotes_the_kernel() {
    let folder = Folder::new();
    let output = klink(&[], &[&folder.put("big.ko", outgrown().bytes())]);
    let words = "relocation of symbol printk is out of range (0x3ffdb704 in 17 bits)";
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains(words), "{}", stdout(&output));
}

#[test]
fn the_same_calls_reach_when_each_function_is_a_section() {
    let (code, report) = inspect(
        Object::new(HPPA)
            .zeros(".text.one", CODE, 4, 599_000)
            .zeros(".text.two", CODE, 4, 1_000)
            .symbol("printk", 0, 0)
            .relocation(2, 0, PCREL17F, 1, 0),
    );
    assert_eq!(code, 0);
    assert_eq!(report["branches"][0]["to_stub"], 1);
    assert_eq!(report["branches"][0]["furthest"]["distance"], -16);
}

#[test]
fn every_far_call_has_a_stub_of_its_own_and_every_section_a_spare_one() {
    let (_, report) = inspect(
        Object::new(HPPA)
            .zeros(".text", CODE, 4, 64)
            .zeros(".data", DATA, 4, 64)
            .zeros(".comment", 0, 1, 8)
            .symbol("printk", 0, 0)
            .relocation(1, 0, PCREL17F, 1, 0)
            .relocation(1, 4, PCREL17F, 1, 0),
    );
    let expected = json!({"for_branches": 2, "spare": 2, "bytes_each": 8, "bytes": 32});
    assert_eq!(report["stubs"], expected);
    // the second call goes to the second stub: 24 bytes before .text lies the first
    assert_eq!(report["branches"][0]["furthest"]["distance"], -24);
    assert_eq!(report["layout"]["core"]["text"], 24 + 64);
    assert_eq!(report["layout"]["core"]["data"], 8 + 64);
}

#[test]
fn init_code_does_not_reach_core_directly() {
    let (_, report) = inspect(
        Object::new(HPPA)
            .zeros(".text", CODE, 4, 64)
            .zeros(".init.text", CODE, 4, 64)
            .symbol("core", 1, 0)
            .relocation(2, 0, PCREL17F, 1, 0),
    );
    assert_eq!(report["branches"][0]["to_stub"], 1);
    assert_eq!(report["layout"]["init"]["text"], 16 + 64);
}

#[test]
fn sections_are_laid_out_as_linux_does() {
    let (_, report) = inspect(
        Object::new(X86_64)
            .module(b"name=it\0")
            .nobits(".bss", 100)
            .zeros(".data", DATA, 16, 10)
            .zeros(".data..ro_after_init", DATA, 8, 24)
            .zeros(".rodata", CONSTANT, 32, 5)
            .zeros(".text", CODE, 16, 33)
            .zeros(".exit.text", CODE, 1, 7)
            .zeros(".init.text", CODE, 16, 9)
            .zeros(".init.data", DATA, 4, 4)
            .zeros(".data..percpu", DATA, 64, 128)
            .zeros("__versions", CONSTANT, 32, 64)
            .zeros(".debug_info", 0, 1, 1000),
    );
    // each with the gap in front of it: text 0–40, rodata 64–69, ro-after-init 72–96, then by
    // index: this_module 96–160, bss 160–260, data 272–282
    let core = json!({
        "text": 40, "rodata": 29, "ro_after_init": 27, "data": 64 + 22, "bss": 100, "total": 282,
    });
    let init = json!({
        "text": 9, "rodata": 0, "ro_after_init": 0, "data": 7, "bss": 0, "total": 16,
    });
    assert_eq!(report["layout"]["core"], core);
    assert_eq!(report["layout"]["init"], init);
    assert_eq!(report["layout"]["percpu"], 128);
    assert_eq!(report["sections"]["loaded"], 10);
    let kinds = json!({
        "text": 3, "rodata": 3, "data": 5, "bss": 1, "relocations": 0, "symbols": 3, "debug": 1,
        "other": 0,
    });
    assert_eq!(report["sections"]["by_kind"], kinds);
}

#[test]
fn a_module_says_what_it_is() {
    let (_, report) = inspect(
        Object::new(X86_64)
            .module(b"license=GPL\0depends=crc32c,libfoo\0name=it\0vermagic=6.1.0 SMP \0")
            .zeros(".init.text", CODE, 4, 4)
            .symbol("init_module", 3, 0)
            .symbol("printk", 0, 0)
            .end(b"signature~Module signature appended~\n"),
    );
    let module = json!({
        "name": "it", "vermagic": "6.1.0 SMP ", "depends": ["crc32c", "libfoo"],
        "init": true, "exit": false, "signed": true,
    });
    assert_eq!(report["module"], module);
    assert_eq!(report["symbols"], json!({"total": 3, "undefined": 1}));
}

#[test]
fn an_object_that_modpost_has_not_seen_is_no_module() {
    let (_, report) = inspect(Object::new(X86_64).section(".modinfo", CONSTANT, 1, b"name=it\0"));
    assert_eq!(report["module"], Value::Null);
}

#[test]
fn x86_64_has_no_stubs_and_calls_that_leave_are_counted_apart() {
    let (code, report) = inspect(
        Object::new(X86_64)
            .zeros(".text", CODE, 16, 64)
            .symbol("printk", 0, 0)
            .symbol("near", 1, 32)
            .relocation(1, 1, 4, 1, -4)
            .relocation(1, 8, 4, 2, -4),
    );
    let form = &report["branches"][0];
    assert_eq!(code, 0);
    assert_eq!(form["name"], "R_X86_64_PLT32");
    assert_eq!((&form["direct"], &form["leaving"]), (&json!(1), &json!(1)));
    assert_eq!(form["furthest"]["distance"], 32 - 8);
    assert_eq!(report["stubs"]["bytes"], 0);
}

#[test]
fn a_relocation_that_the_kernel_cannot_apply_is_refused_in_a_module_only() {
    const GOTPCREL: u32 = 9;
    let object = || {
        Object::new(X86_64)
            .zeros(".text", CODE, 16, 64)
            .symbol("printk", 0, 0)
            .relocation(1, 3, GOTPCREL, 1, -4)
    };
    let (code, report) = inspect(object().module(b"name=it\0"));
    assert_eq!(code, 1);
    assert_eq!(report["relocations"]["by_type"][0]["refused"], true);
    assert_eq!(inspect(object()).0, 0);
}

#[test]
fn rel_objects_have_their_addends_in_the_code() {
    const PLT32: u32 = 4;
    let (_, report) = inspect(
        Object::new(I386)
            .section(
                ".text",
                CODE,
                4,
                b"\xe8\xfc\xff\xff\xff\x90\x90\x90\x90\x90\x90\x90",
            )
            .symbol("near", 1, 8)
            .relocation(1, 1, PLT32, 1, 0),
    );
    assert_eq!(report["architecture"], "i386");
    assert_eq!(report["branches"][0]["furthest"]["distance"], 8 - 1);
}

#[test]
fn an_architecture_without_data_still_has_sections_sizes_and_names() {
    let object = || {
        Object::new(RISCV64)
            .zeros(".text", CODE, 4, 64)
            .symbol("printk", 0, 0)
            .relocation(1, 0, 18, 1, 0)
    };
    let (code, report) = inspect(object());
    assert_eq!(code, 0);
    assert_eq!(report["architecture"], "riscv");
    assert_eq!(report["relocations"]["by_type"][0]["name"], "R_RISCV_CALL");
    assert_eq!(report["layout"]["core"]["text"], 64);
    assert_eq!(
        (&report["branches"], &report["stubs"]),
        (&Value::Null, &Value::Null)
    );

    let folder = Folder::new();
    let page = klink(&[], &[&folder.put("it.o", object().bytes())]);
    assert!(stdout(&page).contains("no relocation data for this architecture yet"));
}

#[test]
fn compressed_files_are_known_by_their_first_bytes() {
    use std::io::Write as _;
    let plain = outgrown().bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).expect("to compress");
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).expect("an xz encoder");
    xz.write_all(&plain).expect("to compress");
    let zstd = ruzstd::encoding::compress_to_vec(
        plain.as_slice(),
        ruzstd::encoding::CompressionLevel::Fastest,
    );
    let folder = Folder::new();
    // the names lie
    let files = [
        ("none", folder.put("a.ko.xz", &plain)),
        (
            "gzip",
            folder.put("b.ko", gzip.finish().expect("to compress")),
        ),
        (
            "xz",
            folder.put("c.ko.zst", xz.finish().expect("to compress")),
        ),
        ("zstd", folder.put("d.ko.gz", zstd)),
    ];
    for (compression, path) in files {
        let [report] = lines(&klink(&["--json"], &[&path]))
            .try_into()
            .expect("one line");
        let report: Value = report;
        assert_eq!(report["compression"], compression);
        assert_eq!(report["object_bytes"], plain.len());
        assert_eq!(report["branches"][0]["out_of_reach"], 1, "{compression}");
    }
}

#[test]
fn bad_files_are_named_with_a_reason_and_good_ones_still_shown() {
    let good = Object::new(HPPA).zeros(".text", CODE, 4, 64).bytes();
    let call = |section, offset, symbol| {
        let object = Object::new(HPPA).zeros(".text", CODE, 4, 64);
        object
            .relocation(section, offset, PCREL17F, symbol, 0)
            .bytes()
    };
    let bad: [(&str, Vec<u8>, &str); 11] = [
        ("empty", vec![], "it is empty"),
        ("text", b"int main".to_vec(), "is not an ELF file"),
        ("archive", b"!<arch>\n".to_vec(), "unpack it with `ar x`"),
        (
            "ident",
            b"\x7fELF\x07".to_vec(),
            "its class is neither 32 nor 64 bits",
        ),
        (
            "program",
            Object::new(HPPA).kind(2).bytes(),
            "is an executable (ET_EXEC)",
        ),
        ("cut", good[..good.len() - 1].to_vec(), "section headers: "),
        (
            "gzip",
            b"\x1f\x8b\x08broken".to_vec(),
            "its gzip data is broken",
        ),
        (
            "align",
            Object::new(HPPA).zeros("a", CODE, 3, 4).bytes(),
            "section 1 (a): its alignment 3",
        ),
        (
            "offset",
            call(1, 65, 0),
            "a relocation is at 0x41, after the end of .text at 0x40",
        ),
        ("symbol", call(1, 0, 9), "symbol 9: "),
        (
            "home",
            call(77, 0, 0),
            "relocates section 77, and there are 6",
        ),
    ];
    let folder = Folder::new();
    let good = folder.put("good.ko", good);
    for (name, bytes, reason) in bad {
        let path = folder.put(name, bytes);
        let output = klink(&[], &[&path, &good]);
        let errors = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{name}");
        let begin = format!("klink inspect: {}: ", path.display());
        assert!(
            errors.starts_with(&begin) && errors.contains(reason),
            "{name}: {errors}"
        );
        assert!(
            errors.ends_with("1 of 2 could not be inspected\n"),
            "{errors}"
        );
        assert!(stdout(&output).contains("good.ko"), "{name}");
    }
}

#[test]
fn a_bad_file_is_a_json_object_too() {
    let folder = Folder::new();
    let path = folder.put("missing.ko", b"");
    std::fs::remove_file(&path).expect("to remove it");
    let [line] = lines(&klink(&["--json"], &[&path]))
        .try_into()
        .expect("one line");
    let line: Value = line;
    assert_eq!(line["file"], path.to_str().expect("UTF-8"));
    assert!(
        line["error"]
            .as_str()
            .expect("text")
            .starts_with("cannot be read")
    );
}

#[test]
fn damaged_files_are_all_accounted_for() {
    let whole = Object::new(HPPA)
        .module(b"name=it\0depends=\0")
        .zeros(".text", CODE, 4, 32)
        .nobits(".bss", 16)
        .symbol("near", 3, 16)
        .symbol("printk", 0, 0)
        .relocation(3, 0, PCREL17F, 1, 0)
        .relocation(3, 4, PCREL17F, 2, 0)
        .bytes();
    let folder = Folder::new();
    let mut files = 0;
    for length in 0..whole.len() {
        folder.put(&format!("cut/{length}.ko"), &whole[..length]);
        files += 1;
    }
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        folder.put(&format!("bits/{bit}.ko"), flipped);
        files += 1;
    }
    let output = klink(&["--json"], &[folder.path()]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(lines(&output).len(), files);
}

#[test]
fn a_folder_is_walked_and_summed_up_the_narrowest_first() {
    let folder = Folder::new();
    let text = |size| Object::new(HPPA).zeros(".text", CODE, 4, size);
    let call = |size: usize| {
        let object = text(size + 4).symbol("printk", 0, 0);
        object.relocation(1, size as u32, PCREL17F, 1, 0).bytes()
    };
    folder.put("kernel/wide.ko", call(100));
    folder.put("kernel/fs/narrow.ko", call(250_000));
    folder.put("kernel/fs/broken.ko", call(300_000));
    folder.put("kernel/none.ko.xz", text(8).bytes());
    folder.put("kernel/readme.txt", "not a module");
    let names = |arguments: &[&str]| {
        let output = klink(arguments, &[folder.path()]);
        assert_eq!(output.status.code(), Some(1));
        let words = |line: &str| line.split_whitespace().next().map(str::to_owned);
        stdout(&output)
            .lines()
            .filter_map(words)
            .collect::<Vec<_>>()
    };
    let rows = [
        "in",
        "file",
        "fs/broken.ko",
        "fs/narrow.ko",
        "wide.ko",
        "none.ko.xz",
        "4",
    ];
    assert_eq!(names(&[]), rows);
    let rows = ["in", "file", "fs/broken.ko", "…", "4"];
    assert_eq!(names(&["--sort", "size", "--top", "1"]), rows);
    let rows = [
        "in",
        "file",
        "fs/broken.ko",
        "fs/narrow.ko",
        "none.ko.xz",
        "wide.ko",
        "4",
    ];
    assert_eq!(names(&["--sort", "name"]), rows);
}

#[test]
fn a_folder_without_modules_is_a_mistake_worth_telling() {
    let folder = Folder::new();
    let output = klink(&[], &[folder.path()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("has no file called *.ko"));
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    for arguments in [
        &["--sort", "beauty", "x.ko"][..],
        &["--nonsense", "x.ko"],
        &[],
    ] {
        assert_eq!(
            klink(arguments, &[]).status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}

#[test]
fn output_to_a_file_has_no_colour() {
    let folder = Folder::new();
    let path = folder.put("it.ko", outgrown().bytes());
    for arguments in [&[][..], &["--summary"]] {
        assert!(!stdout(&klink(arguments, &[&path])).contains('\x1b'));
    }
}
