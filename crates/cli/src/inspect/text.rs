//! Text for people: numbers with units, aligned tables, colour where a terminal shows it.

use std::fmt::{self, Write as _};

/// How a piece of text looks on a terminal.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Look {
    /// As it is.
    #[default]
    Plain,
    /// A heading.
    Bold,
    /// Of less interest.
    Dim,
    /// Near its limit.
    Warning,
    /// Broken.
    Bad,
}

impl Look {
    /// The escape sequence that begins it (ECMA-48, SGR); empty: none.
    fn begin(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Bold => "\x1b[1m",
            Self::Dim => "\x1b[2m",
            Self::Warning => "\x1b[33m",
            Self::Bad => "\x1b[1;31m",
        }
    }
}

/// A text with its look.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cell {
    text: String,
    look: Look,
}

impl Cell {
    /// Text that looks like this.
    pub(crate) fn new(text: impl Into<String>, look: Look) -> Self {
        Self {
            text: text.into(),
            look,
        }
    }

    /// Writes the text, with escape sequences if `colour`.
    pub(crate) fn write(&self, out: &mut String, colour: bool) {
        let begin = self.look.begin();
        if colour && !begin.is_empty() && !self.text.is_empty() {
            out.push_str(begin);
            out.push_str(&self.text);
            out.push_str("\x1b[0m");
        } else {
            out.push_str(&self.text);
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Look::Plain)
    }
}

/// On which side the cells of a column are filled up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Align {
    /// Texts.
    Left,
    /// Numbers.
    Right,
}

/// Rows of cells under a heading.
pub(crate) struct Table {
    columns: Vec<Align>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these headings.
    pub(crate) fn new<const N: usize>(columns: [(&str, Align); N]) -> Self {
        let heading = |&(name, _): &(&str, Align)| Cell::new(name, Look::Bold);
        Self {
            rows: vec![columns.iter().map(heading).collect()],
            columns: columns.iter().map(|column| column.1).collect(),
        }
    }

    /// Appends a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Writes the table, two spaces between columns, each line behind `indent`.
    pub(crate) fn write(&self, out: &mut String, indent: &str, colour: bool) {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells
                .map(|cell| cell.text.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        for row in &self.rows {
            let mut line = String::from(indent);
            // spaces are written when something follows them: none at the end of a line
            let mut spaces = 0;
            for ((cell, &width), &align) in row.iter().zip(&widths).zip(&self.columns) {
                let fill = width - cell.text.chars().count();
                if align == Align::Right {
                    spaces += fill;
                }
                if !cell.text.is_empty() {
                    line.extend(std::iter::repeat_n(' ', spaces));
                    spaces = 0;
                    cell.write(&mut line, colour);
                } else {
                    spaces += cell.text.len();
                }
                if align == Align::Left {
                    spaces += fill;
                }
                spaces += 2;
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

/// A number with its digits in groups of three: `1,370,896`.
pub(crate) fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number, or `-` for none.
pub(crate) fn count(value: u64) -> String {
    if value == 0 {
        "-".to_owned()
    } else {
        number(value)
    }
}

/// Bytes in the unit that leaves one to four digits: `684 B`, `668.4 KiB`, `2.00 GiB`.
pub(crate) struct Size(pub(crate) i64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let sign = if self.0 < 0 { "-" } else { "" };
        let bytes = self.0.unsigned_abs();
        let mut text = format!("{sign}{bytes} B");
        let mut value = bytes as f64;
        for unit in UNITS {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            let decimals = if value < 10.0 { 2 } else { 1 };
            text.clear();
            write!(text, "{sign}{value:.decimals$} {unit}")?;
        }
        f.pad(&text)
    }
}

/// [`Size`] of something that is never negative.
pub(crate) fn size(bytes: u64) -> String {
    Size(i64::try_from(bytes).unwrap_or(i64::MAX)).to_string()
}

/// A part of a whole, in percent; empty if the whole is nothing.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return String::new();
    }
    format!("{:.1}%", part as f64 * 100.0 / whole as f64)
}
