//! The order of sorted sections against GNU ld's: the same sections, made
//! with the assembler, linked with the same statement and read back with nm.

use std::path::Path;
use std::process::Command;

use klink_script::{
    Command as ScriptCommand, InputSpec, SectionItem, SortKey, Source, Statement, order_sections,
    parse,
};

/// What the assembler puts in front of every object, empty.
const IMPLICIT: &[&str] = &[".text", ".data", ".bss"];

/// Section names and alignments, in the object's order.
const SECTIONS: &[(&str, u64)] = &[
    (".a.m", 4),
    (".b.2", 1),
    (".a.c", 16),
    (".c.x", 8),
    (".a.z", 1),
    (".b.1", 2),
    (".c.y", 32),
    (".a.b", 4),
    (".d.9", 1),
    (".c.w", 1),
    (".ctors.65500", 8),
    (".init_array.40", 8),
    (".ctors.00010", 8),
    (".init_array.00030", 8),
    (".init_array", 8),
    (".b.0", 16),
    (".a.a", 64),
    (".init_array.100", 8),
    (".c.v", 8),
    (".b.2.x", 2),
];

const STATEMENTS: &[&str] = &[
    "*(.*)",
    "*(SORT(.*))",
    "*(SORT_NONE(.*))",
    "*(SORT_BY_ALIGNMENT(.*))",
    "*(SORT_BY_INIT_PRIORITY(.*))",
    "*(SORT_BY_INIT_PRIORITY(.init_array.*) SORT_BY_INIT_PRIORITY(.ctors.*) .init_array)",
    "*(SORT_BY_ALIGNMENT(SORT_BY_NAME(.*)))",
    "*(SORT_BY_NAME(SORT_BY_ALIGNMENT(.*)))",
    "*(SORT(.a.*) SORT(.b.*))",
    "*(SORT(.b.*) .a.*)",
    "*(.a.* SORT(.b.*) .c.*)",
    "*(SORT_BY_ALIGNMENT(.a.*) SORT_BY_NAME(.b.*) .c.* SORT_NONE(.d*))",
    "*(SORT(.c.*) SORT_BY_ALIGNMENT(.b.*) SORT_BY_ALIGNMENT(SORT(.a.*)))",
];

fn input_statement(text: &str) -> InputSpec {
    let source = Source::new("statement", format!("SECTIONS {{ .out : {{ {text} }} }}"));
    let script = parse(&source).unwrap();
    let ScriptCommand::Sections(items) = &script.commands[0].value else {
        panic!("{script}");
    };
    let SectionItem::Output(section) = &items[0].value else {
        panic!("{script}");
    };
    match &section.statements[0].value {
        Statement::Input(input) => (**input).clone(),
        other => panic!("{other:?}"),
    }
}

/// The names in klink's order.
fn ours(statement: &str) -> Vec<&'static str> {
    let input = input_statement(statement);
    let implicit = IMPLICIT.iter().map(|&name| (name, 1));
    let taken = implicit
        .chain(SECTIONS.iter().copied())
        .filter_map(|section| {
            let mut specs = input.sections.iter().flatten();
            let spec = specs.find(|spec| spec.pattern.value.matches(section.0.as_bytes()))?;
            Some((spec.sort, section))
        })
        .collect();
    let key = |&(name, alignment): &(&'static str, u64)| SortKey {
        name: name.as_bytes(),
        alignment,
        archive: None,
        file: b"input.o",
    };
    order_sections(taken, input.file.sort, key)
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| !IMPLICIT.contains(name))
        .collect()
}

fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn sections_are_sorted_as_gnu_ld_sorts_them() {
    let works = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !["as", "ld", "nm"].into_iter().all(works) {
        eprintln!(
            "SKIPPED sections_are_sorted_as_gnu_ld_sorts_them: needs as, ld and nm \
             (apt-get install binutils)"
        );
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source: String = SECTIONS
        .iter()
        .map(|(name, align)| {
            format!(".section {name},\"aw\",%progbits\n.balign {align}\n\"at{name}\": .byte 1\n")
        })
        .collect();
    std::fs::write(folder.path().join("input.s"), source).unwrap();
    run(folder.path(), "as", &["input.s", "-o", "input.o"]);
    for statement in STATEMENTS {
        let script = format!("SECTIONS {{ .out : {{ {statement} }} /DISCARD/ : {{ *(*) }} }}\n");
        std::fs::write(folder.path().join("script.lds"), script).unwrap();
        run(
            folder.path(),
            "ld",
            &["-T", "script.lds", "input.o", "-o", "output"],
        );
        let symbols = run(folder.path(), "nm", &["-n", "output"]);
        let theirs: Vec<&str> = symbols
            .lines()
            .filter_map(|line| line.split_once(" at").map(|(_, name)| name))
            .collect();
        assert!(theirs.len() > 3, "{statement}: {symbols}");
        assert_eq!(ours(statement), theirs, "{statement}");
    }
}
