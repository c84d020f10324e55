//! The tables, as Markdown that is also good to read as it is.

use super::outputs::Output;
use super::rival::Rival;
use super::{Report, Row};
use crate::Failure;

/// Renders all tables, after the line on what they were measured on.
///
/// # Errors
/// When rows of a workload lack the linker that they are compared with.
pub(super) fn render(report: &Report) -> Result<String, Failure> {
    if report.rows.iter().any(|row| row.copies > 1) {
        return Ok(format!("{}\n\n{}", report.machine, growth(&report.rows)));
    }
    let mut text = format!("{}\n\n{}", report.machine, times(&report.rows)?);
    if !report.outputs.is_empty() {
        text += &format!("\n{}", contents(&report.outputs));
    }
    Ok(text)
}

/// A row for each workload and linker.
fn times(rows: &[Row]) -> Result<String, Failure> {
    let counted = rows.iter().any(|row| row.instructions.is_some());
    let mut head = vec![
        "link",
        "linker",
        "ms, median (fastest)",
        "CPU ms, median (fastest)",
        "times as fast as ld",
        "by CPU time",
        "peak MiB",
    ];
    if counted {
        head.push("million instructions");
    }
    let mut cells = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    let mut last = "";
    for row in rows {
        let ld = rows
            .iter()
            .find(|ld| ld.workload == row.workload && ld.rival == Rival::Ld);
        let ld = ld.ok_or_else(|| Failure::new(format!("{}: ld was not run", row.workload)))?;
        let (own, lds) = (&row.figures, &ld.figures);
        let mut line = vec![
            match row.workload == last {
                true => String::new(),
                false => row.workload.clone(),
            },
            match row.copies {
                0 => row.rival.name().to_owned(),
                _ => row.rival.image_name().to_owned(),
            },
            both(own.wall.median_ns, own.wall.least_ns),
            both(own.cpu.median_ns, own.cpu.least_ns),
            speed(lds.wall.median_ns, own.wall.median_ns),
            speed(lds.cpu.median_ns, own.cpu.median_ns),
            format!("{:.1}", own.peak_bytes as f64 / f64::from(1 << 20)),
        ];
        if counted {
            let count = row.instructions;
            line.push(count.map_or_else(String::new, |n| format!("{:.1}", n as f64 / 1e6)));
        }
        cells.push(line);
        last = &row.workload;
    }
    Ok(markdown(&cells, 2))
}

/// How a linker's time grows: a row for each linker and number of copies.
fn growth(rows: &[Row]) -> String {
    let head = [
        "linker",
        "copies",
        "ms for each",
        "to one copy's",
        "MiB for each",
    ];
    let mut cells = vec![head.map(str::to_owned).to_vec()];
    let mut rows: Vec<&Row> = rows.iter().collect();
    rows.sort_by_key(|row| (row.rival.image_name(), row.copies));
    for row in &rows {
        let each = |row: &Row| row.figures.wall.median_ns / row.copies.max(1) as u64;
        let one = rows
            .iter()
            .find(|one| one.copies == 1 && one.rival == row.rival);
        let ratio = one.map_or_else(String::new, |one| speed(each(row), each(one)));
        let peak = row.figures.peak_bytes as f64 / f64::from(1 << 20);
        cells.push(vec![
            row.rival.image_name().to_owned(),
            row.copies.to_string(),
            millis(each(row)),
            ratio,
            format!("{:.1}", peak / row.copies.max(1) as f64),
        ]);
    }
    markdown(&cells, 1)
}

/// A row for each property, a column for each module and linker.
fn contents(outputs: &[Output]) -> String {
    let row = |name: &str, value: &dyn Fn(&Output) -> usize| {
        let values = outputs.iter().map(|output| thousands(value(output) as u64));
        std::iter::once(name.to_owned()).chain(values).collect()
    };
    let heads = outputs.iter().map(|output| {
        let name = output.module.rsplit('/').next().unwrap_or_default();
        format!("{name}, {}", output.rival.name())
    });
    let cells = [
        std::iter::once(String::new()).chain(heads).collect(),
        row("section headers", &|output| output.section_headers),
        row("sections of code", &|output| output.text_sections),
        row("relocations", &|output| output.relocations),
        row("17-bit branches left", &|output| output.calls_left),
        row("stubs in .text", &|output| output.stubs_in(".text")),
        row("stubs in .init.text", &|output| {
            output.stubs_in(".init.text")
        }),
        row("stubs in .exit.text", &|output| {
            output.stubs_in(".exit.text")
        }),
        row("bytes the kernel reserves for stubs", &|output| {
            output.reserved_bytes as usize
        }),
        row("file bytes", &|output| output.file_bytes),
    ];
    markdown(&cells, 1)
}

/// A Markdown table: the first row is the head, the first `words` columns are
/// words and the others numbers. Padded, so that it reads as plain text too.
fn markdown(rows: &[Vec<String>], words: usize) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            // `--:` is the least that a column's rule needs.
            cells
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
                .max(3)
        })
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            text += &match column < words {
                true => format!("| {cell:<width$} "),
                false => format!("| {cell:>width$} "),
            };
        }
        text += "|\n";
        if number == 0 {
            for (column, width) in widths.iter().enumerate() {
                text += &match column < words {
                    true => format!("|{}", "-".repeat(width + 2)),
                    false => format!("|{}:", "-".repeat(width + 1)),
                };
            }
            text += "|\n";
        }
    }
    text
}

/// A median and the fastest, in milliseconds.
fn both(median: u64, least: u64) -> String {
    format!("{} ({})", millis(median), millis(least))
}

fn millis(nanos: u64) -> String {
    format!("{:.1}", nanos as f64 / 1e6)
}

/// How many times as fast as ld something is that took `own`.
fn speed(ld: u64, own: u64) -> String {
    match own {
        0 => "–".to_owned(),
        _ => format!("{:.2}", ld as f64 / own as f64),
    }
}

/// A number with a comma between groups of three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::measure::{Figures, Spread};

    fn row(rival: Rival, millis: u64, instructions: Option<u64>) -> Row {
        let spread = |micros: u64| Spread {
            median_ns: micros * 1000,
            least_ns: micros * 900,
        };
        Row {
            workload: "hppa32, xfs.ko".to_owned(),
            rival,
            copies: 0,
            figures: Figures {
                wall: spread(millis * 1000),
                cpu: spread(millis * 500),
                peak_bytes: millis << 20,
            },
            instructions,
        }
    }

    #[test]
    fn times_are_compared_with_lds() {
        let rows = [
            row(Rival::Ld, 24, Some(99_950_000)),
            row(Rival::Klink, 10, None),
        ];
        let expected = "\
| link           | linker    | ms, median (fastest) | CPU ms, median (fastest) | times as fast as ld | by CPU time | peak MiB | million instructions |
|----------------|-----------|---------------------:|-------------------------:|--------------------:|------------:|---------:|---------------------:|
| hppa32, xfs.ko | GNU ld -r |          24.0 (21.6) |              12.0 (10.8) |                1.00 |        1.00 |     24.0 |                100.0 |
|                | klink -r  |           10.0 (9.0) |                5.0 (4.5) |                2.40 |        2.40 |     10.0 |                      |
";
        assert_eq!(times(&rows).expect("ld is there"), expected);
        assert!(times(&rows[1..]).is_err());
        let plain = times(&[row(Rival::Ld, 1, None)]).expect("ld is there");
        assert!(!plain.contains("instructions"));
    }

    #[test]
    fn growth_is_told_for_each_copy() {
        let of = |copies, millis| Row {
            copies,
            ..row(Rival::Klink, millis, None)
        };
        let expected = "\
| linker | copies | ms for each | to one copy's | MiB for each |
|--------|-------:|------------:|--------------:|-------------:|
| klink  |      1 |        10.0 |          1.00 |         10.0 |
| klink  |      2 |        15.0 |          1.50 |         15.0 |
";
        assert_eq!(growth(&[of(2, 30), of(1, 10)]), expected);
    }

    #[test]
    fn contents_have_a_column_for_each_output() {
        let output = Output {
            module: "fs/xfs/xfs.ko".to_owned(),
            rival: Rival::Module,
            section_headers: 42,
            text_sections: 3,
            relocations: 13_000,
            calls_left: 0,
            stubs: [(".text".to_owned(), 628)].into(),
            reserved_bytes: 168,
            file_bytes: 1_051_234,
        };
        let text = contents(&[output]);
        for line in [
            "|                                     | xfs.ko, klink -r --module |",
            "| relocations                         |                    13,000 |",
            "| stubs in .text                      |                       628 |",
            "| stubs in .exit.text                 |                         0 |",
            "| file bytes                          |                 1,051,234 |",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn digits_are_grouped() {
        let shown = [0, 999, 1000, 12_345_678].map(thousands);
        assert_eq!(shown, ["0", "999", "1,000", "12,345,678"]);
        assert_eq!(speed(10, 0), "–");
    }
}
