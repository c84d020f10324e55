//! The table that `cargo xtask scripts` prints.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::{Outcome, Row};

/// One line for each script, then each construct with how many scripts use it, then what is not
/// executed and by whom it is used, then the sums.
pub(super) fn render(rows: &[Row]) -> String {
    let mut text = String::new();
    let width = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let machine = width(|row| row.machine.len());
    let script = width(|row| row.script.len());
    for row in rows {
        let _ = write!(
            text,
            "{:machine$}  {:script$}  {:>6} bytes  ",
            row.machine, row.script, row.bytes
        );
        match &row.outcome {
            Outcome::NotMade => text.push_str("NOT MADE\n"),
            Outcome::NotParsed(message) => {
                let _ = writeln!(text, "NOT PARSED\n{message}");
            }
            Outcome::Parsed { used, unexecuted } => {
                let _ = write!(text, "{:>2} constructs", used.len());
                if !unexecuted.is_empty() {
                    let _ = write!(text, "; not executed: {}", unexecuted.join(", "));
                }
                text.push('\n');
            }
        }
    }
    let parsed = || {
        rows.iter().filter_map(|row| match &row.outcome {
            Outcome::Parsed { used, unexecuted } => Some((row, used, unexecuted)),
            _ => None,
        })
    };

    text.push_str("\nConstruct: scripts and machines that use it\n");
    let mut uses: BTreeMap<&str, (usize, BTreeSet<&str>)> = BTreeMap::new();
    for (row, used, _) in parsed() {
        for name in used {
            let entry = uses.entry(name).or_default();
            entry.0 += 1;
            entry.1.insert(row.machine);
        }
    }
    for (name, (scripts, machines)) in &uses {
        let _ = write!(text, "  {name}: {scripts}, {}", machines.len());
        // Few are worth naming: they show what to read to see the construct at work.
        if machines.len() <= 3 {
            let machines: Vec<&str> = machines.iter().copied().collect();
            let _ = write!(text, " ({})", machines.join(", "));
        }
        text.push('\n');
    }

    text.push_str("\nNot executed\n");
    let mut missing: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (row, _, unexecuted) in parsed() {
        for name in unexecuted {
            let script = format!("{} {}", row.machine, row.script);
            missing.entry(name).or_default().push(script);
        }
    }
    if missing.is_empty() {
        text.push_str("  nothing\n");
    }
    for (name, scripts) in &missing {
        let _ = writeln!(text, "  {name}: {}", scripts.join("; "));
    }

    let machines: BTreeSet<&str> = rows.iter().map(|row| row.machine).collect();
    let made = rows
        .iter()
        .filter(|row| !matches!(row.outcome, Outcome::NotMade));
    let _ = writeln!(
        text,
        "\n{} kernels, {} scripts, {} made, {} bytes, {} parsed, {} constructs, {} of them not executed",
        machines.len(),
        rows.len(),
        made.count(),
        rows.iter().map(|row| row.bytes).sum::<usize>(),
        parsed().count(),
        uses.len(),
        missing.len()
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_executed_is_named_with_its_users() {
        let row = |script: &str, outcome| Row {
            machine: "toy",
            script: script.to_owned(),
            bytes: 10,
            outcome,
        };
        let rows = [
            row("a.lds", Outcome::NotMade),
            row(
                "b.lds",
                Outcome::Parsed {
                    used: vec!["SECTIONS", "OVERLAY"],
                    unexecuted: vec!["OVERLAY"],
                },
            ),
        ];
        let text = render(&rows);
        assert!(text.contains("  OVERLAY: toy b.lds\n"), "{text}");
        assert!(
            text.contains("1 kernels, 2 scripts, 1 made, 20 bytes, 1 parsed"),
            "{text}"
        );
    }
}
