//! Damaged inputs: no panic, no endless loop, no memory without bound, no output file after an
//! error, and an error that names the file. This is the quick version of the fuzz targets in
//! `fuzz/`; inputs that those found are in `bad_input/`.

// The fuzz targets' mutator, by path: `fuzz` is a workspace of its own.
#[allow(unreachable_pub)]
#[path = "../../../fuzz/src/mutate.rs"]
mod mutate;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

use klink_link::{BuildId, DiscardLocals, Input, ModuleOptions, Options, OutputKind};
use mutate::Random;

/// More than any damaged input of a few kilobytes may become: the padding that is allowed, and some.
const MAX_OUTPUT: usize = (256 << 20) + (1 << 20);

/// Far more than one of these links takes on a busy machine without optimization.
const MAX_TIME: Duration = Duration::from_secs(20);

fn data(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name);
    fs::read(path).unwrap()
}

/// A folder with the file under test in it.
struct Bench {
    folder: tempfile::TempDir,
    name: &'static str,
    others: Vec<Input>,
}

impl Bench {
    fn new(name: &'static str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            name,
            others: Vec::new(),
        }
    }

    /// With an object that needs what `lib.a` defines, and the file that `thin.a` names.
    fn with_needing_object(name: &'static str) -> Self {
        let mut bench = Self::new(name);
        for other in ["x86_64.o", "member.o", "more.o"] {
            fs::write(bench.folder.path().join(other), data(other)).unwrap();
        }
        bench
            .others
            .push(Input::file(bench.folder.path().join("x86_64.o")));
        bench
    }

    fn options(&self) -> Options {
        let mut inputs = self.others.clone();
        inputs.push(Input::file(self.folder.path().join(self.name)));
        // A script shorter than the built-in one, which would take most of the time to parse.
        let script = self.folder.path().join("short.lds");
        fs::write(&script, "SECTIONS { .text 0 : { *(.text) } }").unwrap();
        Options {
            inputs,
            scripts: vec![script.into()],
            output: Some(self.folder.path().join("out.ko")),
            output_kind: OutputKind::Relocatable,
            ..Options::default()
        }
    }

    /// Links `bytes` and checks what holds for every link. Gives the error.
    fn link(&self, bytes: &[u8], what: &str, options: &Options) -> Option<String> {
        fs::write(self.folder.path().join(self.name), bytes).unwrap();
        let before = fs::read_dir(self.folder.path()).unwrap().count();
        let start = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| klink_link::link(options)))
            .unwrap_or_else(|_| panic!("{} with {what}: panicked", self.name));
        let time = start.elapsed();
        assert!(time < MAX_TIME, "{} with {what}: took {time:?}", self.name);
        let output = options.output.as_deref().unwrap();
        match result {
            Ok(report) => {
                assert!(
                    report.bytes < MAX_OUTPUT,
                    "{} with {what}: {} bytes",
                    self.name,
                    report.bytes
                );
                fs::remove_file(output).unwrap();
                None
            }
            Err(error) => {
                let after = fs::read_dir(self.folder.path()).unwrap().count();
                assert_eq!(before, after, "{} with {what}: a file was left", self.name);
                let error = error.to_string();
                let names_it = [
                    self.name, "out.ko", "output:", ".lds:", "member.o", "more.o", "x86_64.o",
                ]
                .iter()
                .any(|name| error.contains(name));
                assert!(names_it, "{} with {what}: no file in `{error}`", self.name);
                Some(error)
            }
        }
    }
}

/// The ways to link that differ most.
fn ways(bench: &Bench) -> [Options; 3] {
    let plain = bench.options();
    let mut selective = bench.options();
    selective.discard = DiscardLocals::All;
    selective.strip = klink_link::Strip::Debug;
    selective.build_id = BuildId::Sha1;
    let mut module = bench.options();
    module.module = Some(ModuleOptions {
        stub_symbols: true,
        ..ModuleOptions::default()
    });
    module.dissolve_groups = true;
    [plain, selective, module]
}

const OBJECTS: [&str; 4] = ["hppa.o", "hppa64.o", "x86_64.o", "i386.o"];

#[test]
fn truncated_objects_are_refused() {
    for name in OBJECTS {
        let whole = data(name);
        let bench = Bench::new(name);
        let options = bench.options();
        assert_eq!(bench.link(&whole, "nothing", &options), None);
        // The section headers stand at the end: every part of an object is damaged.
        for length in 0..whole.len() {
            let what = format!("{length} bytes");
            let error = bench.link(&whole[..length], &what, &options);
            let error = error.unwrap_or_else(|| panic!("{name} with {what} was linked"));
            assert!(error.contains(name), "{error}");
        }
    }
}

#[test]
fn truncated_archives_are_refused_or_have_fewer_members() {
    for name in ["lib.a", "thin.a"] {
        let whole = data(name);
        let bench = Bench::with_needing_object(name);
        let mut options = bench.options();
        assert_eq!(bench.link(&whole, "nothing", &options), None);
        let mut refused = 0;
        for whole_archive in [false, true] {
            options.inputs.last_mut().unwrap().whole_archive = whole_archive;
            for length in 0..whole.len() {
                let what = format!("{length} bytes");
                refused += usize::from(bench.link(&whole[..length], &what, &options).is_some());
            }
        }
        assert!(refused > whole.len(), "{name}: only {refused} were refused");
    }
}

#[test]
fn flipped_bits_do_no_harm() {
    let mut refused = 0;
    for name in OBJECTS {
        let whole = data(name);
        let bench = Bench::new(name);
        let ways = ways(&bench);
        let mut random = Random::new(name.len() as u64);
        for round in 0..600 {
            let mut bytes = whole.clone();
            for _ in 0..=round % 3 {
                let bit = random.below(8 * bytes.len());
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let what = format!("flips of round {round}");
            refused += usize::from(bench.link(&bytes, &what, &ways[round % 3]).is_some());
        }
    }
    assert!(refused > 200, "only {refused} were refused");
}

#[test]
fn wrong_numbers_do_no_harm() {
    let mut refused = 0;
    for name in OBJECTS {
        let whole = data(name);
        let bench = Bench::new(name);
        let ways = ways(&bench);
        let mut random = Random::new(0x5eed);
        for round in 0..900 {
            let mut bytes = whole.clone();
            for _ in 0..=round % 3 {
                mutate::elf(&mut bytes, &mut random);
            }
            let what = format!("numbers of round {round}");
            refused += usize::from(bench.link(&bytes, &what, &ways[round % 3]).is_some());
        }
    }
    assert!(refused > 1000, "only {refused} were refused");
}

#[test]
fn flipped_bits_in_archives_do_no_harm() {
    for name in ["lib.a", "thin.a"] {
        let whole = data(name);
        let bench = Bench::with_needing_object(name);
        let mut options = bench.options();
        let mut random = Random::new(7);
        for round in 0..300 {
            options.inputs.last_mut().unwrap().whole_archive = round % 2 == 1;
            let mut bytes = whole.clone();
            let bit = random.below(8 * bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
            bench.link(&bytes, &format!("bit {bit}"), &options);
        }
    }
}

#[test]
fn damaged_scripts_do_no_harm() {
    let script = data("small.lds");
    let bench = Bench::new("hppa.o");
    let object = data("hppa.o");
    let path = bench.folder.path().join("small.lds");
    let mut options = bench.options();
    options.scripts = vec![path.clone().into()];
    let link = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        match catch_unwind(AssertUnwindSafe(|| klink_link::link_in_memory(&options))) {
            Ok(Ok((_, output))) => {
                assert!(output.len() < MAX_OUTPUT, "{what}: {} bytes", output.len());
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => panic!("a script with {what}: panicked"),
        }
    };
    fs::write(bench.folder.path().join("hppa.o"), object).unwrap();
    assert_eq!(link(&script, "nothing"), None);
    let mut refused = 0;
    for length in 0..script.len() {
        refused += usize::from(link(&script[..length], &format!("{length} bytes")).is_some());
    }
    assert!(refused > script.len() / 2, "only {refused} were refused");
    let mut random = Random::new(3);
    for round in 0..500 {
        let mut bytes = script.clone();
        let bit = random.below(8 * bytes.len());
        bytes[bit / 8] ^= 1 << (bit % 8);
        link(&bytes, &format!("bit flip {round}"));
    }
}

/// Scripts that are well-formed and ask for what cannot be.
#[test]
fn absurd_scripts_are_refused() {
    let bench = Bench::new("hppa.o");
    let path = bench.folder.path().join("absurd.lds");
    let mut options = bench.options();
    options.scripts = vec![path.clone().into()];
    for (script, expected) in [
        // The location counter of ELF32 has 32 bits; it is 64 bits wide while it is computed.
        (
            ".data 0 : { *(.data) . = 0xffffffffffffffff; BYTE(1) }",
            "no address is left",
        ),
        (".data 0 : { *(.data) . = 0xfffffffffffffff0; QUAD(1) }", ""),
        (".data 0 : { *(.data) . = 0x40000000; BYTE(1) }", "padding"),
        (
            ".data 0 : ALIGN(0x8000000000000000) { *(.data) }",
            "alignment",
        ),
        (".data 0 : ALIGN(0x80000000) { *(.data) }", "padding"),
        (
            ".bss.zero 0 : { *(.bss.zero) . += 0x100000000; }",
            "more than an ELF file",
        ),
        // Room without contents becomes contents.
        (
            ".text 0 : { *(.bss.zero) . += 0x20000000; *(.text.*) }",
            "padding",
        ),
    ] {
        fs::write(&path, format!("SECTIONS {{ {script} }}")).unwrap();
        let error = bench.link(&data("hppa.o"), script, &options);
        let error = error.unwrap_or_else(|| panic!("{script} was followed"));
        assert!(error.contains(expected), "{script}: {error}");
    }
}

/// Images whose sections are too far from each other for any file.
#[test]
fn absurd_images_are_refused() {
    let bench = Bench::new("x86_64.o");
    let path = bench.folder.path().join("absurd.lds");
    let mut options = bench.options();
    options.scripts = vec![path.clone().into()];
    options.output_kind = OutputKind::Executable;
    options.unresolved.report = Some(false);
    let phdrs = "PHDRS { all PT_LOAD; }";
    for (head, script, expected) in [
        // One segment for both: the file has as many bytes as there are between them.
        (
            phdrs,
            ".text 0x1000 : { *(.text*) } :all
             .data 0x1000000000000000 : { *(.data*) }",
            "padding",
        ),
        (
            phdrs,
            ".text 0 : { *(.text*) } :all
             .data 0xe000000000000000 : { *(.data*) }
             .more 0x5000000000000000 : { BYTE(1) } :all",
            "",
        ),
        (
            "",
            ".data : { *(.data) . = 0x1000000000000000; BYTE(1) }",
            "padding",
        ),
        (
            "",
            ".data : { BYTE(1) . += 0xfffffffffff00000; BYTE(1) }",
            "",
        ),
        (
            "",
            ".text 0 : { *(.bss*) . += 0x20000000; *(.text*) }",
            "padding",
        ),
        (
            "",
            ".text : ALIGN(0x4000000000000000) { *(.text*) } .data : { *(.data) }",
            "",
        ),
    ] {
        let rest = "/DISCARD/ : { *(*) }";
        fs::write(&path, format!("{head} SECTIONS {{ {script} {rest} }}")).unwrap();
        let error = bench.link(&data("x86_64.o"), script, &options);
        let error = error.unwrap_or_else(|| {
            assert!(expected.is_empty(), "{script} was followed");
            String::new()
        });
        assert!(error.contains(expected), "{script}: {error}");
    }
}

#[test]
fn scripts_and_response_files_that_name_each_other_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("hppa.o"), data("hppa.o")).unwrap();
    // Nine levels, each of which includes the next forty times.
    for level in 0..9 {
        let next = path(&format!("{}.lds", level + 1)).display().to_string();
        fs::write(
            path(&format!("{level}.lds")),
            format!("INCLUDE \"{next}\"\n").repeat(40),
        )
        .unwrap();
    }
    fs::write(path("9.lds"), "SECTIONS { }").unwrap();
    fs::write(
        path("self.lds"),
        format!("INCLUDE \"{}\"", path("self.lds").display()),
    )
    .unwrap();
    for (script, expected) in [("0.lds", "more scripts"), ("self.lds", "too deeply")] {
        let options = Options {
            inputs: vec![Input::file(path("hppa.o"))],
            scripts: vec![path(script).into()],
            output_kind: OutputKind::Relocatable,
            ..Options::default()
        };
        let error = klink_link::link_in_memory(&options)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expected) && error.contains(".lds"),
            "{error}"
        );
    }
    for level in 0..20 {
        let next = format!("@{} ", path(&format!("{}.rsp", level + 1)).display());
        fs::write(path(&format!("{level}.rsp")), next.repeat(2)).unwrap();
    }
    fs::write(path("20.rsp"), "").unwrap();
    let error = klink_link::args::expand([format!("@{}", path("0.rsp").display())]).unwrap_err();
    assert!(error.to_string().contains("response files"), "{error}");
}

#[test]
fn files_that_are_no_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for path in [
        Path::new("/dev/zero"),
        folder.path(),
        &folder.path().join("missing.o"),
    ] {
        let options = Options {
            inputs: vec![Input::file(path.to_path_buf())],
            output_kind: OutputKind::Relocatable,
            ..Options::default()
        };
        let error = klink_link::link_in_memory(&options)
            .unwrap_err()
            .to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
        let as_script = Options {
            scripts: vec![path.to_path_buf().into()],
            ..options
        };
        let error = klink_link::link_in_memory(&as_script)
            .unwrap_err()
            .to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
}

/// What the fuzz targets found, and objects made to be absurd: see `bad_input/README.md`.
#[test]
fn found_inputs_do_no_harm() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad_input");
    let mut seen = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let bytes = fs::read(&path).unwrap();
        let what = path.display().to_string();
        seen += 1;
        match extension {
            Some("o") => {
                let bench = Bench::new("found.o");
                for way in ways(&bench) {
                    bench.link(&bytes, &what, &way);
                }
            }
            Some("a") => {
                let bench = Bench::with_needing_object("found.a");
                let mut options = bench.options();
                bench.link(&bytes, &what, &options);
                options.inputs.last_mut().unwrap().whole_archive = true;
                bench.link(&bytes, &what, &options);
            }
            Some("lds") => {
                let bench = Bench::new("hppa.o");
                for mut way in ways(&bench) {
                    way.scripts = vec![path.clone().into()];
                    fs::write(bench.folder.path().join("hppa.o"), data("hppa.o")).unwrap();
                    let result =
                        catch_unwind(AssertUnwindSafe(|| klink_link::link_in_memory(&way)));
                    assert!(result.is_ok(), "{what}: panicked");
                }
            }
            _ => seen -= 1,
        }
    }
    assert!(seen > 0, "no file in bad_input");
}
