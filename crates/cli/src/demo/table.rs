//! The table of what each link costs.

use super::Outcome;
use super::decode::Reach;
use super::kernel;

/// A row: its label, and what it says of one outcome.
type Row = (&'static str, fn(&Outcome) -> String);

const ROWS: &[Row] = &[
    ("section headers", |o| count(o.output.section_headers)),
    ("code sections", |o| count(o.output.code().count())),
    ("bytes of code", |o| {
        thousands(o.output.code().map(|s| s.size).sum())
    }),
    ("bytes of the file", |o| count(o.output.file_bytes)),
    ("relocations", |o| count(o.output.relocations().count())),
    ("branches", |o| count(o.proof.branches)),
    ("  that reach as they are", |o| count(o.proof.direct)),
    ("  through a stub", |o| count(o.proof.by_stub)),
    ("  left to the kernel", |o| count(o.proof.left)),
    ("stubs in the code", |o| {
        with_bytes(o.proof.stubs.len(), o.proof.stub_bytes())
    }),
    ("  islands they are in", |o| count(o.proof.islands())),
    ("stubs the kernel reserves", |o| {
        let bytes = kernel::reserved_bytes(&o.output);
        with_bytes(
            kernel::reserved_stubs(&o.output),
            bytes.cast_signed() as i64,
        )
    }),
    ("furthest branch, bytes", |o| {
        thousands(o.proof.furthest.unsigned_abs())
    }),
    ("  out of reach", |o| count(o.proof.out_of_reach.len())),
    ("the kernel", |o| verdict(o).to_owned()),
];

/// Width of a column, a blank at its left included.
const COLUMN: usize = 22;

/// Prints one column for each outcome.
pub(super) fn print(outcomes: &[Outcome]) {
    let line = |label: &str, cells: &mut dyn Iterator<Item = String>| {
        let cells: String = cells.map(|cell| format!("{cell:>COLUMN$}")).collect();
        println!("{label:<28}{cells}");
    };
    line("", &mut outcomes.iter().map(|o| o.kind.title().to_owned()));
    for (label, cell) in ROWS {
        line(label, &mut outcomes.iter().map(cell));
    }
    let reach = Reach::of_bits(17);
    println!(
        "A 17-bit branch reaches {} bytes forward and {} back.",
        thousands(reach.forward.unsigned_abs()),
        thousands(reach.back.unsigned_abs())
    );
}

fn verdict(outcome: &Outcome) -> &'static str {
    if !outcome.proof.wrong.is_empty() {
        "gets wrong code"
    } else if !outcome.proof.out_of_reach.is_empty() {
        "refuses it"
    } else {
        "can relocate all"
    }
}

fn with_bytes(items: usize, bytes: i64) -> String {
    format!("{} ({} B)", count(items), thousands(bytes.unsigned_abs()))
}

fn count(number: usize) -> String {
    thousands(number as u64)
}

/// `number` with a comma at every third digit.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
