//! The evaluator against GNU ld itself: the same expressions in one script,
//! outside and inside an output section, read back with nm.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use klink_script::eval::{
    Lookup, PageSize, Place, Region, Scope, SectionRef, Value, evaluate, evaluate_address,
};
use klink_script::{ErrorKind, Expr, Source, parse_expression};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

const FIRST: SectionRef = SectionRef(1);
const SECOND: SectionRef = SectionRef(2);
const COUNT: usize = 600;

/// What [`script`] lays out, as the evaluator is to see it.
struct Layout {
    place: Place,
}

impl Scope for Layout {
    fn place(&self) -> Place {
        self.place
    }

    fn dot(&self) -> Option<u64> {
        Some(match self.place {
            Place::Outside => 0x30011,
            Place::Inside(_) => 0x20048,
        })
    }

    fn symbol(&self, name: &str) -> Lookup<Value> {
        Lookup::Known(match name {
            "number" => Value::absolute(0x1234),
            "seven" => Value::absolute(7),
            "in_first" => Value::in_section(0x20, FIRST),
            "here_first" => Value::in_section(1, FIRST),
            "in_second" => Value::in_section(3, SECOND),
            _ => return Lookup::Missing,
        })
    }

    fn is_defined(&self, name: &str) -> bool {
        matches!(self.symbol(name), Lookup::Known(_))
    }

    fn section_address(&self, section: SectionRef) -> u64 {
        if section == FIRST { 0x10000 } else { 0x20040 }
    }

    fn section(&self, name: &str) -> Lookup<SectionRef> {
        match name {
            ".first" => Lookup::Known(FIRST),
            ".second" => Lookup::Known(SECOND),
            _ => Lookup::Missing,
        }
    }

    fn load_address(&self, name: &str) -> Lookup<u64> {
        match name {
            ".first" => Lookup::Known(0x9000),
            _ => Lookup::Missing,
        }
    }

    fn size_of(&self, name: &str) -> Lookup<u64> {
        match name {
            ".first" => Lookup::Known(0x41),
            _ => Lookup::Missing,
        }
    }

    fn align_of(&self, name: &str) -> Lookup<u64> {
        match name {
            ".first" => Lookup::Known(16),
            _ => Lookup::Missing,
        }
    }

    fn region(&self, name: &str) -> Lookup<Region> {
        match name {
            "rom" => Lookup::Known(Region {
                origin: 0x1000,
                length: 0x50_0000,
            }),
            _ => Lookup::Missing,
        }
    }

    fn page_size(&self, which: PageSize) -> Option<u64> {
        Some(match which {
            PageSize::Max => 0x4000,
            PageSize::Common => 0x1000,
        })
    }
}

/// A script that gives `outside_N` and `inside_N` the values of the
/// expressions.
fn script(outside: &[String], inside: &[String]) -> String {
    let assign = |prefix: &str, texts: &[String]| -> String {
        let lines = texts.iter().enumerate();
        lines
            .map(|(index, text)| format!("  {prefix}_{index} = {text};\n"))
            .collect()
    };
    format!(
        "number = 0x1234;\nseven = 7;\n\
         MEMORY {{ rom : ORIGIN = 0x1000, LENGTH = 0x500000 }}\n\
         SECTIONS {{\n/DISCARD/ : {{ *(*) }}\n\
         .first 0x10000 : AT(0x9000) ALIGN(16) {{\n\
         BYTE(1) in_first = 0x20; here_first = .; . += 0x40; }}\n\
         .second 0x20040 : {{ QUAD(0) in_second = 3;\n{}. += 0x100; }}\n\
         . = 0x30011;\n{}}}\n",
        assign("inside", inside),
        assign("outside", outside)
    )
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        (0u64..100).prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| format!("{value:#x}")),
        select(vec![
            ".",
            "number",
            "seven",
            "in_first",
            "here_first",
            "in_second",
            "ADDR(.first)",
            "ADDR(.second)",
            "LOADADDR(.first)",
            "SIZEOF(.first)",
            "ALIGNOF(.first)",
            "DEFINED(number)",
            "DEFINED(nothing)",
            "ORIGIN(rom)",
            "LENGTH(rom)",
            "4K",
            "$1f",
            "CONSTANT(MAXPAGESIZE)",
            "CONSTANT(COMMONPAGESIZE)",
            "1fh",
            "101b",
            "017",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        let op = select(vec![
            "+", "-", "*", "<", ">", "<=", ">=", "==", "!=", "&", "|", "&&", "||",
        ]);
        // A count of 64 or more is undefined in ld's C; a divisor that the
        // first of its passes sees as zero is an error there.
        let by_number = (select(vec!["<<", ">>", "/", "%"]), 1u64..64);
        prop_oneof![
            4 => (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            2 => (inner.clone(), by_number).prop_map(|(a, (op, n))| format!("{a} {op} {n}")),
            1 => (inner.clone(), 1u64..64).prop_map(|(a, n)| format!("({a}) / - {n}")),
            2 => (select(vec!["-", "!", "~", "+", ""]), inner.clone())
                .prop_map(|(op, a)| format!("{op} ({a})")),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            2 => (select(vec!["ALIGN", "ABSOLUTE", "NEXT", "LOG2CEIL", "BLOCK"]), inner.clone())
                .prop_map(|(name, a)| format!("{name}({a})")),
            2 => (select(vec!["ALIGN", "MAX", "MIN"]), inner.clone(), inner.clone())
                .prop_map(|(name, a, b)| format!("{name}({a}, {b})")),
            1 => inner.prop_map(|a| format!("SEGMENT_START(\"rodata-segment\", {a})")),
        ]
    })
}

fn parsed(text: &str) -> Expr {
    let source = Source::new("expression", text);
    parse_expression(&source).unwrap_or_else(|error| panic!("{}", error.render(&source, false)))
}

/// Links the script and returns every symbol, or what ld said against it.
fn link(folder: &Path, script: &str) -> Result<HashMap<String, (u64, char)>, String> {
    let path = |name: &str| folder.join(name);
    std::fs::write(path("script.lds"), script).unwrap();
    std::fs::write(path("input.bin"), b"x").unwrap();
    let output = Command::new("ld")
        .args([
            "-z",
            "max-page-size=0x4000",
            "-z",
            "common-page-size=0x1000",
        ])
        .arg("-T")
        .arg(path("script.lds"))
        .args(["--oformat", "elf64-x86-64", "--format=binary"])
        .arg(path("input.bin"))
        .arg("-o")
        .arg(path("output"))
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let output = Command::new("nm").arg(path("output")).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let symbol = |line: &str| {
        let (value, rest) = line.split_once(' ')?;
        let (letter, name) = rest.split_once(' ')?;
        let value = u64::from_str_radix(value, 16).ok()?;
        Some((name.to_owned(), (value, letter.chars().next()?)))
    };
    Ok(text.lines().filter_map(symbol).collect())
}

/// GNU ld for a 64-bit host, or a loud word why not.
fn has_ld(test: &str) -> bool {
    let works = |program: &str| {
        let output = Command::new(program).arg("--version").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("GNU"))
    };
    let has = works("ld") && works("nm") && cfg!(target_arch = "x86_64");
    if !has {
        eprintln!("SKIPPED {test}: needs GNU ld and nm of x86-64 (apt-get install binutils)");
    }
    has
}

#[test]
fn expressions_have_the_values_gnu_ld_gives_them() {
    if !has_ld("expressions_have_the_values_gnu_ld_gives_them") {
        return;
    }
    let mut runner = TestRunner::deterministic();
    let strategy = expression();
    let mut sample = || -> Vec<String> {
        (0..COUNT)
            .map(|_| strategy.new_tree(&mut runner).unwrap().current())
            .collect()
    };
    let (outside, inside) = (sample(), sample());
    let folder = tempfile::tempdir().unwrap();
    let symbols = link(folder.path(), &script(&outside, &inside)).unwrap();
    let mut compared = 0;
    for (prefix, texts, place) in [
        ("outside", outside, Place::Outside),
        ("inside", inside, Place::Inside(SECOND)),
    ] {
        let scope = Layout { place };
        for (index, text) in texts.iter().enumerate() {
            let value = evaluate(&parsed(text), &scope).unwrap().settled(place);
            let (expected, letter) = symbols[&format!("{prefix}_{index}")];
            let address = value.address(&scope);
            assert_eq!(
                format!("{address:#x}"),
                format!("{expected:#x}"),
                "{prefix}: {text}"
            );
            if value.section().is_some() {
                assert_ne!(letter, 'A', "{prefix}: {text} is relative to a section");
            }
            compared += 1;
        }
    }
    assert_eq!(compared, 2 * COUNT);
}

#[test]
fn division_by_zero_is_an_error_where_gnu_ld_says_so() {
    if !has_ld("division_by_zero_is_an_error_where_gnu_ld_says_so") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let scope = Layout {
        place: Place::Outside,
    };
    for text in [
        "1 / 0",
        "seven % (2 - 2)",
        "0 && 1 / 0",
        "1 || 1 % 0",
        "0 ? 1 : 5 / 0",
    ] {
        let error = evaluate_address(&parsed(text), &scope).unwrap_err();
        assert_eq!(*error.kind, ErrorKind::DivisionByZero, "{text}");
        let ld = link(folder.path(), &script(&[text.to_owned()], &[])).unwrap_err();
        assert!(ld.contains("by zero"), "{text}: {ld}");
    }
    for text in ["seven ? 1 : . / 0", "! seven ? seven / 0 : 2"] {
        let value = evaluate_address(&parsed(text), &scope).unwrap();
        let ld = link(folder.path(), &script(&[text.to_owned()], &[])).unwrap();
        assert_eq!(ld["outside_0"].0, value, "{text}");
    }
}
