use std::fs;
use std::path::PathBuf;

use klink_script::{Command, SectionItem};

use super::*;
use crate::options::{ByteOrder, Definition, Magic, OutputKind};

/// A folder with files, and options that name some of them.
struct Bench {
    folder: tempfile::TempDir,
    options: Options,
}

impl Bench {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("a file");
        }
        let options = Options {
            library_paths: vec![folder.path().to_path_buf()],
            emulation: Some("elf_x86_64".into()),
            ..Options::default()
        };
        Self { folder, options }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(mut self, name: &str) -> Self {
        let path = self.path(name);
        self.options.scripts.push(path.into());
        self
    }

    fn input(mut self, name: &str) -> Self {
        let path = self.path(name);
        self.options.inputs.push(Input::file(path));
        self
    }

    /// The names of sections and assigned symbols in order, and those of the inputs.
    fn load(&self) -> Result<(Vec<String>, Vec<String>)> {
        let storage = Storage::default();
        let (sources, inputs) = load(&self.options, &storage)?;
        let mut names = Vec::new();
        for command in sources.commands() {
            match command.value {
                Command::Assign(assignment) => names.push(assignment.target.value.clone()),
                Command::Sections(items) => {
                    names.extend(items.iter().map(|item| match &item.value {
                        SectionItem::Output(output) => {
                            let inside = sources.statements(command.source, &output.statements);
                            format!("{}[{}]", output.name.value, inside.len())
                        }
                        SectionItem::Assign(assignment) => assignment.target.value.clone(),
                        other => format!("{other:?}"),
                    }))
                }
                _ => {}
            }
        }
        let inputs = inputs.iter().map(|input| {
            let name = input.file.path().file_name().expect("a name");
            let group = input
                .group
                .map_or(String::new(), |group| format!("/{group}"));
            name.to_string_lossy().into_owned() + &group
        });
        Ok((names, inputs.collect()))
    }
}

#[test]
fn what_is_included_counts_where_it_is_included() {
    let bench = Bench::new(&[
        ("main.lds", "a = 1; INCLUDE more.lds b = 2; SECTIONS { .x : {} INCLUDE items.lds .y : { *(.y) INCLUDE in.lds *(.z) } }"),
        ("more.lds", "c = 3;"),
        ("items.lds", ".i : { *(.i) } d = 4;"),
        ("in.lds", "BYTE(1) BYTE(2)"),
    ])
    .script("main.lds");
    let (names, _) = bench.load().unwrap();
    assert_eq!(names, ["a", "c", "b", ".x[0]", ".i[1]", "d", ".y[4]"]);
}

#[test]
fn scripts_that_include_themselves_end() {
    for text in [
        "INCLUDE main.lds",
        "SECTIONS { INCLUDE main.lds }",
        "SECTIONS { .x : { INCLUDE in.lds } }",
        "MEMORY { INCLUDE main.lds }",
        "INPUT(main.lds)",
    ] {
        let bench = Bench::new(&[("main.lds", text), ("in.lds", "INCLUDE in.lds")]);
        let bench = bench.script("main.lds");
        assert!(bench.load().is_err(), "{text}");
    }
}

#[test]
fn scripts_name_inputs_which_may_be_scripts() {
    let object = "\x7fELF";
    let mut bench = Bench::new(&[
        (
            "main.lds",
            "STARTUP(first.o) INPUT(a.o AS_NEEDED(b.o)) GROUP(c.o -ld) SECTIONS {}",
        ),
        ("more.lds", "x = 1; INPUT(e.o)"),
        ("first.o", object),
        ("a.o", object),
        ("b.o", object),
        ("c.o", object),
        ("libd.a", "!<arch>\n"),
        ("e.o", object),
        ("f.o", object),
        ("g.o", object),
    ])
    .input("f.o")
    .script("main.lds")
    .input("more.lds")
    .input("g.o");
    bench.options.scripts[0].inputs_before = 1;
    let (names, inputs) = bench.load().unwrap();
    assert_eq!(names, ["x"]);
    let wanted = [
        "first.o", "f.o", "a.o", "b.o", "c.o/1", "libd.a/1", "e.o", "g.o",
    ];
    assert_eq!(inputs, wanted);
}

#[test]
fn definitions_stand_between_the_scripts() {
    let mut bench = Bench::new(&[("a.lds", "a = 1;"), ("b.lds", "b = 2;")])
        .script("a.lds")
        .script("b.lds");
    bench.options.definitions.push(Definition {
        symbol: "c".into(),
        expression: "a + 4".into(),
        scripts_before: 1,
        inputs_before: 0,
    });
    assert_eq!(bench.load().unwrap().0, ["a", "c", "b"]);
    bench.options.definitions[0].expression = "1 +".into();
    let error = bench.load().unwrap_err().to_string();
    assert!(error.contains("--defsym"), "{error}");
}

#[test]
fn insert_puts_sections_into_another_script() {
    let main = "SECTIONS { . = 8; .a : {} s = .; . = 16; .b : {} .c : {} }";
    for (text, wanted) in [
        // What `s` measures stays behind `.a`, the step of the location counter does not.
        (
            ".n : {} } INSERT AFTER .a;",
            ".,.a[0],s,.n[0],.,.b[0],.c[0]",
        ),
        (
            ".n : {} } INSERT BEFORE .c;",
            ".,.a[0],s,.,.b[0],.n[0],.c[0]",
        ),
        (
            ".n : {} } INSERT BEFORE .a;",
            ".,.n[0],.a[0],s,.,.b[0],.c[0]",
        ),
        (
            ".n : {} } INSERT AFTER .c;",
            ".,.a[0],s,.,.b[0],.c[0],.n[0]",
        ),
        (
            ".n : {} } INSERT AFTER .b; SECTIONS { .m : {} } INSERT AFTER .n;",
            ".,.a[0],s,.,.b[0],.n[0],.m[0],.c[0]",
        ),
    ] {
        let text = format!("SECTIONS {{ {text}");
        let bench = Bench::new(&[("insert.lds", &text), ("main.lds", main)])
            .script("insert.lds")
            .script("main.lds");
        assert_eq!(bench.load().unwrap().0.join(","), wanted, "{text}");
    }
    let bench = Bench::new(&[("insert.lds", "SECTIONS { .n : {} } INSERT AFTER .text;")]);
    let (names, _) = bench.script("insert.lds").load().unwrap();
    let text = names.iter().position(|name| name.starts_with(".text["));
    let text = text.expect("the built-in script has .text");
    assert!(
        names[text + 1..].iter().any(|name| name == ".n[0]"),
        "{names:?}"
    );
    let bench = Bench::new(&[("insert.lds", "SECTIONS { .n : {} } INSERT AFTER .none;")]);
    let error = bench.script("insert.lds").load().unwrap_err().to_string();
    assert!(error.contains("no such output section"), "{error}");
}

#[test]
fn the_last_entry_and_the_asked_byte_order_count() {
    let text =
        "ENTRY(a) SECTIONS { ENTRY(b) } OUTPUT_FORMAT(\"d\", \"b\", \"l\") OUTPUT(out) PHDRS { t PT_LOAD; }
        MEMORY { r : ORIGIN = 0, LENGTH = 1 INCLUDE regions.lds } REGION_ALIAS(\"q\", r)";
    let bench = Bench::new(&[
        ("a.lds", text),
        ("regions.lds", "s : ORIGIN = 1, LENGTH = 1"),
    ]);
    let bench = bench.script("a.lds");
    let storage = Storage::default();
    let (sources, _) = load(&bench.options, &storage).unwrap();
    assert_eq!(sources.entry().unwrap().value, "b");
    assert_eq!(sources.output().unwrap().value, "out");
    assert_eq!(sources.phdrs().unwrap().len(), 1);
    let regions = sources
        .memory()
        .map(|region| region.value.name.value.as_str());
    assert_eq!(regions.collect::<Vec<_>>(), ["r", "s"]);
    assert_eq!(sources.region_aliases().count(), 1);
    assert_eq!(sources.output_format(None), Some("d"));
    assert_eq!(sources.output_format(Some(ByteOrder::Big)), Some("b"));
    assert_eq!(sources.output_format(Some(ByteOrder::Little)), Some("l"));
}

#[test]
fn what_is_neither_object_nor_script_says_so() {
    let bench = Bench::new(&[("a.txt", "no script, but text")]).input("a.txt");
    let error = bench.load().unwrap_err().to_string();
    assert!(error.contains("treating as linker script"), "{error}");
    let bench = Bench::new(&[("a.lds", "INPUT(nowhere.o)")]).script("a.lds");
    let error = bench.load().unwrap_err().to_string();
    assert!(error.contains("cannot find nowhere.o"), "{error}");
}

#[test]
fn every_built_in_script_is_one() {
    for emulation in ["elf_x86_64", "elf_i386", "hppalinux", "hppa64linux"] {
        for output_kind in [
            OutputKind::Relocatable,
            OutputKind::Executable,
            OutputKind::Pie,
            OutputKind::Shared,
        ] {
            for magic in [Magic::Paged, Magic::Nmagic, Magic::Omagic] {
                for separate_code in [None, Some(false), Some(true)] {
                    let mut bench = Bench::new(&[]);
                    bench.options.emulation = Some(emulation.into());
                    bench.options.output_kind = output_kind;
                    bench.options.magic = magic;
                    bench.options.separate_code = separate_code;
                    let (names, _) = bench.load().unwrap();
                    assert!(names.contains(&".debug_info[1]".to_owned()), "{names:?}");
                }
            }
        }
    }
}

#[test]
fn built_in_scripts_have_the_sections_of_gnu_ld_in_order() {
    for (ld, emulation, flags) in [
        ("ld", "elf_x86_64", &[] as &[&str]),
        ("ld", "elf_x86_64", &["-pie"]),
        ("ld", "elf_x86_64", &["-shared"]),
        ("ld", "elf_x86_64", &["-N"]),
        ("ld", "elf_x86_64", &["-z", "now"]),
        ("ld", "elf_x86_64", &["-z", "noseparate-code"]),
        ("ld", "elf_i386", &[]),
        ("ld", "elf_i386", &["-shared"]),
        ("hppa-linux-gnu-ld", "hppalinux", &[]),
        ("hppa-linux-gnu-ld", "hppalinux", &["-N"]),
        ("hppa-linux-gnu-ld", "hppalinux", &["-pie"]),
    ] {
        let output = std::process::Command::new(ld)
            .args(["-m", emulation, "--verbose"])
            .args(flags)
            .output();
        let Some(output) = output.ok().filter(|output| output.status.success()) else {
            assert!(
                std::env::var_os("KLINK_REQUIRE_TOOLS").is_none(),
                "{ld} is needed"
            );
            eprintln!("SKIPPED: {ld} -m {emulation}; install binutils for it");
            continue;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let theirs = text.split("==================================================");
        let theirs = theirs.skip(1).step_by(2).collect::<String>();
        let ours = Bench::new(&[]);
        let mut arguments = vec!["-m".to_owned(), emulation.to_owned()];
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        let Ok(crate::args::Command::Link(options)) = crate::args::parse(arguments) else {
            panic!("{flags:?}");
        };
        let ours = Bench {
            options: *options,
            ..ours
        };
        let theirs = Bench::new(&[("theirs.lds", &theirs)]).script("theirs.lds");
        // Sections of relocations are named one by one with -N: objects have none with content.
        let without_relocations = |(names, _): (Vec<String>, _)| {
            let rel = |name: &String| !name.starts_with(".rel");
            names.into_iter().filter(rel).collect::<Vec<_>>()
        };
        let ours = without_relocations(ours.load().unwrap());
        let theirs = without_relocations(theirs.load().unwrap());
        let steps: Vec<&String> = theirs.iter().filter(|name| !ours.contains(name)).collect();
        assert_eq!(
            ours, theirs,
            "{ld} {emulation} {flags:?}: not in ours: {steps:?}"
        );
    }
}
