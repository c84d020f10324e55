//! What holds for every text: no panic, bounded depth, printing and parsing
//! are inverse, and the evaluator and the patterns agree with naive ones.

use klink_script::eval::{self, Constants};
use klink_script::{
    ErrorKind, MAX_HEIGHT, MAX_NESTING, Pattern, ScriptError, Source, parse, parse_assignment,
    parse_dynamic_list, parse_expression, parse_memory_items, parse_section_items,
    parse_statements, parse_version_script,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

fn source(text: &str) -> Source {
    Source::new("test.lds", text)
}

/// Parses in every way there is and renders every error.
fn parse_all(text: &str) {
    let source = source(text);
    let results: [Result<(), ScriptError>; 8] = [
        parse(&source).map(drop),
        parse_section_items(&source).map(drop),
        parse_statements(&source).map(drop),
        parse_memory_items(&source).map(drop),
        parse_version_script(&source).map(drop),
        parse_dynamic_list(&source).map(drop),
        parse_assignment(&source).map(drop),
        parse_expression(&source).map(drop),
    ];
    for error in results.into_iter().filter_map(Result::err) {
        let rendered = error.render(&source, false);
        assert!(rendered.starts_with("error: "), "{rendered}");
        assert!(error.span.start <= error.span.end && error.span.end as usize <= text.len());
    }
}

/// The tree without its places.
fn shape(tree: &impl std::fmt::Debug) -> String {
    let text = format!("{tree:?}");
    let mut shape = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(at) = rest.find("Span { start: ") {
        shape.push_str(&rest[..at]);
        let end = rest[at..].find('}').unwrap();
        rest = &rest[at + end + 1..];
    }
    shape.push_str(rest);
    shape
}

const TOKENS: &[&str] = &[
    "SECTIONS",
    "MEMORY",
    "PHDRS",
    "VERSION",
    "OVERLAY",
    "GROUP",
    "INPUT",
    "AS_NEEDED",
    "KEEP",
    "SORT",
    "SORT_BY_ALIGNMENT",
    "EXCLUDE_FILE",
    "INPUT_SECTION_FLAGS",
    "BYTE",
    "FILL",
    "ASSERT",
    "PROVIDE",
    "HIDDEN",
    "ENTRY",
    "INCLUDE",
    "INSERT",
    "AFTER",
    "AT",
    "ALIGN",
    "SUBALIGN",
    "NOLOAD",
    "READONLY",
    "TYPE",
    "ORIGIN",
    "LENGTH",
    "ADDR",
    "SIZEOF",
    "DEFINED",
    "CONSTANT",
    "SEGMENT_START",
    "SIZEOF_HEADERS",
    "ABSOLUTE",
    "MAX",
    "NEXT",
    "CONSTRUCTORS",
    "ONLY_IF_RO",
    "EXTERN",
    "REGION_ALIAS",
    "OUTPUT_FORMAT",
    "global",
    "local",
    "extern",
    "/DISCARD/",
    ".",
    ".text",
    "*",
    "*.o",
    "x",
    "-lm",
    "\"q q\"",
    "\"",
    "0",
    "0x10",
    "$ff",
    "4K",
    "add",
    "09",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    ";",
    ":",
    ",",
    "=",
    "+=",
    "<<=",
    "?",
    "+",
    "-",
    "/",
    "%",
    "<<",
    ">",
    "==",
    "&&",
    "||",
    "&",
    "|",
    "!",
    "~",
    "^",
    "/*",
    "*/",
    "#",
    "\n",
    "é",
    "@",
    "\0",
];

/// Expressions as text, every kind of them.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<u64>().prop_map(|value| value.to_string()),
        "0x[0-9a-f]{1,20}",
        select(vec![
            ".",
            "x",
            "$global$",
            "\"MAX\"",
            "\"odd name\"",
            "a.b/c~d",
            "10K",
            "$1f",
            "1fh",
            "SIZEOF_HEADERS",
            "ADDR(.text)",
            "SIZEOF(\"a b\")",
            "DEFINED(x)",
            "LENGTH(rom)",
            "CONSTANT(MAXPAGESIZE)",
            "LOADADDR(.a-b)",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(6, 40, 3, |inner| {
        let op = select(vec![
            "+", "-", "*", "/", "%", "<<", ">>", "<", ">", "<=", ">=", "==", "!=", "&", "|", "^",
            "&&", "||",
        ]);
        prop_oneof![
            (inner.clone(), op, inner.clone()).prop_map(|(a, op, b)| format!("{a} {op} {b}")),
            (select(vec!["-", "!", "~", "+"]), inner.clone())
                .prop_map(|(op, a)| format!("{op} ({a})")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("{a} ? {b} : {c}")),
            (
                select(vec![
                    "ALIGN",
                    "ABSOLUTE",
                    "NEXT",
                    "LOG2CEIL",
                    "DATA_SEGMENT_END"
                ]),
                inner.clone()
            )
                .prop_map(|(name, a)| format!("{name}({a})")),
            (
                select(vec!["ALIGN", "MAX", "MIN", "DATA_SEGMENT_ALIGN"]),
                inner.clone(),
                inner.clone()
            )
                .prop_map(|(name, a, b)| format!("{name}({a}, {b})")),
            inner
                .clone()
                .prop_map(|a| format!("SEGMENT_START(\"text-segment\", {a})")),
            inner.prop_map(|a| format!("ASSERT({a}, \"message\")")),
        ]
    })
}

fn statement() -> impl Strategy<Value = String> {
    let pattern = select(vec![
        "*",
        ".text",
        ".text.*",
        "COMMON",
        "\"a b\"",
        "[ab]*",
        "EXCLUDE_FILE(a.o *b.o) .data",
        "SORT(.x*)",
        "SORT_BY_NAME(SORT_BY_ALIGNMENT(EXCLUDE_FILE(c) .y*))",
        "SORT_NONE(.z)",
        "SORT_BY_INIT_PRIORITY(.i)",
    ]);
    let file = select(vec![
        "*",
        "a.o",
        "lib.a:b.o",
        "lib.a:",
        ":c.o",
        "SORT_BY_NAME(*)",
        "EXCLUDE_FILE(d.o) *",
        "SORT_NONE(EXCLUDE_FILE(e.o) f*)",
        "INPUT_SECTION_FLAGS(A & !B) *",
    ]);
    let input = (file, vec(pattern, 1..4))
        .prop_map(|(file, patterns)| format!("{file}({})", patterns.join(" ")));
    prop_oneof![
        input.clone(),
        input.prop_map(|input| format!("KEEP({input})")),
        (
            select(vec!["BYTE", "SHORT", "LONG", "QUAD", "SQUAD", "FILL"]),
            expression()
        )
            .prop_map(|(word, value)| format!("{word}({value})")),
        (assignment(), select(vec![";", ";;"])).prop_map(|(text, end)| text + end),
        expression().prop_map(|value| format!("ASSERT({value}, \"message\");")),
        select(vec![
            "CONSTRUCTORS",
            "SORT(CONSTRUCTORS)",
            "CREATE_OBJECT_SYMBOLS",
            "INCLUDE f.lds",
            "g.o",
            "[ .a .b ]",
        ])
        .prop_map(str::to_owned),
    ]
}

fn assignment() -> impl Strategy<Value = String> {
    let op = select(vec!["=", "+=", "-=", "*=", "/=", "<<=", ">>=", "&=", "|="]);
    prop_oneof![
        (select(vec![".", "sym", "\"odd sym\""]), op, expression())
            .prop_map(|(target, op, value)| format!("{target} {op} {value}")),
        (
            select(vec!["PROVIDE", "HIDDEN", "PROVIDE_HIDDEN"]),
            expression()
        )
            .prop_map(|(word, value)| format!("{word}(sym = {value})")),
    ]
}

fn section() -> impl Strategy<Value = String> {
    let head = prop_oneof![
        Just(" :".to_owned()),
        expression().prop_map(|address| format!(" ({address}) :")),
        select(vec![
            " (NOLOAD) :",
            " 0 (COPY) :",
            " () :",
            " (TYPE = SHT_NOTE) :",
            " (READONLY) :",
            " (READONLY (TYPE = 7)) :",
            " : AT(ADDR(.a) - 1) ALIGN(8) SUBALIGN(4) ONLY_IF_RO",
            " : ALIGN_WITH_INPUT SPECIAL",
        ])
        .prop_map(str::to_owned),
    ];
    let tail = prop_oneof![
        select(vec![
            "",
            ",",
            ">rom",
            ">rom AT>ram :p :q",
            ":NONE =0x90",
            "=0x0000001,"
        ])
        .prop_map(str::to_owned),
        expression().prop_map(|fill| format!("=({fill}),")),
    ];
    let name = select(vec![
        ".text",
        "/DISCARD/",
        "\"odd section\"",
        "__ksymtab",
        ".a-b",
    ]);
    (name, head, vec(statement(), 0..4), tail).prop_map(|(name, head, statements, tail)| {
        format!("{name}{head} {{ {} }} {tail}", statements.join(" "))
    })
}

fn script() -> impl Strategy<Value = String> {
    let item = prop_oneof![
        4 => section(),
        1 => assignment().prop_map(|text| text + ";"),
        1 => vec(section(), 0..2).prop_map(|inner| format!("GROUP : {{ {} }}", inner.join(" "))),
        1 => vec(statement(), 0..2).prop_map(|inner| {
            format!("OVERLAY 1 : NOCROSSREFS {{ .o {{ {} }} :p =1, }} >rom", inner.join(" "))
        }),
    ];
    let command = prop_oneof![
        4 => vec(item, 0..4).prop_map(|items| format!("SECTIONS {{ {} }}", items.join("\n"))),
        2 => assignment().prop_map(|text| text + ";"),
        1 => (expression(), expression()).prop_map(|(origin, length)| {
            format!("MEMORY {{ rom (rx!w) : ORIGIN = {origin}, LENGTH = {length} }}")
        }),
        1 => expression().prop_map(|flags| format!("PHDRS {{ p PT_LOAD FLAGS({flags}); }}")),
        2 => select(vec![
            "ENTRY(start)", "INPUT(a.o -lm AS_NEEDED(b.o) =c.o)", "OUTPUT_FORMAT(\"a\", \"b\", \"c\")",
            "VERSION { V1 { global: f; g*; local: *; }; V2 { extern \"C++\" { a::*; }; } V1; }",
            "REGION_ALIAS(\"a\", b)", "INSERT AFTER .text", "EXTERN(a b)", "NOCROSSREFS(.a .b)",
        ])
        .prop_map(str::to_owned),
    ];
    vec(command, 0..4).prop_map(|commands| commands.join("\n"))
}

/// Binary operators with their precedences, from the manual's table.
const OPERATORS: &[(&str, u32)] = &[
    ("*", 10),
    ("/", 10),
    ("%", 10),
    ("+", 9),
    ("-", 9),
    ("<<", 8),
    (">>", 8),
    ("==", 6),
    ("!=", 6),
    ("<=", 7),
    (">=", 7),
    ("<", 7),
    (">", 7),
    ("&", 5),
    ("|", 3),
    ("&&", 2),
    ("||", 1),
];

/// The value of numbers with operators between them: splits at the last of
/// the loosest operators.
fn naive(numbers: &[u64], operators: &[(&'static str, u32)]) -> Option<u64> {
    let Some(loosest) = operators.iter().map(|&(_, power)| power).min() else {
        return numbers.first().copied();
    };
    let at = operators.iter().rposition(|&(_, power)| power == loosest)?;
    let a = naive(&numbers[..=at], &operators[..at])?;
    let b = naive(&numbers[at + 1..], &operators[at + 1..])?;
    let wide = |value: u64| i128::from(value as i64);
    Some(match operators[at].0 {
        "*" => (u128::from(a) * u128::from(b)) as u64,
        "/" | "%" if b == 0 => return None,
        "/" => (wide(a) / wide(b)) as u64,
        "%" => (wide(a) % wide(b)) as u64,
        "+" => (u128::from(a) + u128::from(b)) as u64,
        "-" => (wide(a) - wide(b)) as u64,
        "<<" => (0..b & 63).fold(a, |value, _| value.wrapping_add(value)),
        ">>" => (0..b & 63).fold(a, |value, _| value / 2),
        "==" => u64::from(a == b),
        "!=" => u64::from(a != b),
        "<=" => u64::from(a <= b),
        ">=" => u64::from(a >= b),
        "<" => u64::from(a < b),
        ">" => u64::from(a > b),
        "&" => (0..64)
            .filter(|bit| a >> bit & b >> bit & 1 == 1)
            .map(|bit| 1 << bit)
            .sum(),
        "|" => (0..64)
            .filter(|bit| (a >> bit | b >> bit) & 1 == 1)
            .map(|bit| 1 << bit)
            .sum(),
        "&&" => u64::from(a != 0 && b != 0),
        "||" => u64::from(a != 0 || b != 0),
        other => panic!("no operator {other}"),
    })
}

/// `*`, `?` and letters alone, the obvious way.
fn naive_match(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern.split_first(), name.split_first()) {
        (None, None) => true,
        (Some((b'*', rest)), _) => {
            naive_match(rest, name) || (!name.is_empty() && naive_match(pattern, &name[1..]))
        }
        (Some((b'?', rest)), Some((_, name))) => naive_match(rest, name),
        (Some((wanted, rest)), Some((byte, name))) => wanted == byte && naive_match(rest, name),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_text_parses_or_is_an_error(text in "(?s).{0,200}") {
        parse_all(&text);
    }

    #[test]
    fn any_tokens_parse_or_are_an_error(
        tokens in vec((select(TOKENS), any::<bool>()), 0..60),
    ) {
        let text: String = tokens
            .into_iter()
            .flat_map(|(token, blank)| [token, if blank { " " } else { "" }])
            .collect();
        parse_all(&text);
        parse_all(&format!("SECTIONS {{ .text : {{ {text}"));
    }

    #[test]
    fn a_damaged_script_parses_or_is_an_error(
        text in script(), at in any::<prop::sample::Index>(), token in select(TOKENS),
    ) {
        let boundaries: Vec<usize> =
            text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        let (head, tail) = text.split_at(boundaries[at.index(boundaries.len())]);
        parse_all(&format!("{head}{token}{tail}"));
        parse_all(head);
    }

    #[test]
    fn printing_and_parsing_are_inverse(text in script()) {
        let text = source(&text);
        let script = parse(&text).map_err(|error| {
            TestCaseError::fail(error.render(&text, false))
        })?;
        let printed = source(&script.to_string());
        let again = parse(&printed).map_err(|error| {
            TestCaseError::fail(error.render(&printed, false))
        })?;
        prop_assert_eq!(again.to_string(), printed.text);
        // Printing takes away signs and leading zeros of odd digits only.
        prop_assert_eq!(shape(&again), shape(&script));
    }

    #[test]
    fn operators_bind_as_the_manual_says(
        first in 0u64..100,
        rest in vec((select(OPERATORS), prop_oneof![0u64..100, any::<u64>()]), 0..12),
    ) {
        let mut text = first.to_string();
        let (mut numbers, mut operators) = (vec![first], Vec::new());
        for (operator, number) in rest {
            text += &format!(" {} {number}", operator.0);
            numbers.push(number);
            operators.push(operator);
        }
        let source = source(&text);
        let expr = parse_expression(&source).unwrap();
        let value = eval::evaluate(&expr, &Constants);
        match naive(&numbers, &operators) {
            Some(expected) => prop_assert_eq!(value.unwrap().value, expected),
            None => {
                let error = value.unwrap_err();
                prop_assert_eq!(&*error.kind, &ErrorKind::DivisionByZero);
                let span = error.span.start as usize..error.span.end as usize;
                prop_assert!(!source.text[span].is_empty());
            }
        }
    }

    #[test]
    fn patterns_match_as_the_obvious_algorithm_does(
        pattern in "[ab*?]{0,8}", name in "[ab]{0,10}",
    ) {
        let expected = naive_match(pattern.as_bytes(), name.as_bytes());
        prop_assert_eq!(Pattern::new(&pattern).matches(name.as_bytes()), expected);
    }

    #[test]
    fn any_pattern_compiles_and_matches_without_panic(
        pattern in r"[\[\]!^a\-\\*?:b]{0,12}", name in "(?s).{0,12}",
    ) {
        let compiled = Pattern::new(&pattern);
        let matches = compiled.matches(name.as_bytes());
        prop_assert!(!matches || name.as_bytes().starts_with(compiled.literal_prefix()));
        prop_assert!(!compiled.is_literal() || matches == (pattern == name));
    }
}

#[test]
fn depth_is_bounded() {
    const MANY: usize = 100_000;
    let too_deep = |text: String, parse: fn(&Source) -> Result<(), ScriptError>| {
        let error = parse(&source(&text)).unwrap_err();
        assert!(matches!(*error.kind, ErrorKind::TooDeep { .. }), "{error}");
    };
    let expr: fn(&Source) -> Result<(), ScriptError> = |text| parse_expression(text).map(drop);
    let script: fn(&Source) -> Result<(), ScriptError> = |text| parse(text).map(drop);
    for unit in [
        "(", "-", "+", "!", "~ ", "ALIGN(", "MAX(1, ", "1 ? ", "1 ? 1 : ", "ASSERT(",
    ] {
        too_deep(unit.repeat(MANY), expr);
    }
    for unit in ["1 + ", "1 | 2 && ", "1 || "] {
        too_deep(unit.repeat(MANY) + "1", expr);
    }
    too_deep("SECTIONS {".to_owned() + &"GROUP : {".repeat(MANY), script);
    too_deep("INPUT(".to_owned() + &"AS_NEEDED(".repeat(MANY), script);
    too_deep(
        "VERSION { V {".to_owned() + &"extern \"C\" {".repeat(MANY),
        script,
    );
}

/// A tree as high as may be, on the small stack of a test's thread.
#[test]
fn the_highest_trees_are_usable() {
    let chain = "1 + ".repeat(MAX_HEIGHT as usize - 1) + "1";
    let nested = "-".repeat(MAX_NESTING as usize - 1) + "1";
    let right = "1 + (".repeat(MAX_NESTING as usize / 2 - 1)
        + "1"
        + &")".repeat(MAX_NESTING as usize / 2 - 1);
    let behind = "1 + ".repeat(2) + "-".repeat(MAX_NESTING as usize - 1).as_str() + "1";
    for (text, value) in [
        (chain, u64::from(MAX_HEIGHT)),
        (behind, 1),
        (nested, 1u64.wrapping_neg()),
        (right, u64::from(MAX_NESTING) / 2),
    ] {
        let expr = parse_expression(&source(&text)).unwrap();
        assert_eq!(eval::evaluate(&expr, &Constants).unwrap().value, value);
        assert_eq!(expr.clone(), expr);
        let printed = expr.to_string();
        assert!(printed.len() >= MAX_NESTING as usize);
        let again = parse_expression(&source(&printed)).unwrap();
        assert_eq!(again.to_string(), printed);
        let script = parse(&source(&format!("x = {text};"))).unwrap();
        assert_eq!(script.constructs().len(), 1);
    }
}
