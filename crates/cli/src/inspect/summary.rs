//! Many files, a row for each.

use std::cmp::Ordering;

use super::details::headroom_cell;
use super::report::Report;
use super::text::{Align, Cell, Look, Table, count, number, size};

/// What the rows are sorted by.
#[derive(Clone, Copy, Debug, Eq, PartialEq, clap::ValueEnum)]
pub(crate) enum Sort {
    /// The least percentage of headroom first
    Headroom,
    /// The most bytes in memory first
    Size,
    /// The most relocations first
    Relocations,
    /// By path
    Name,
}

/// Sorts reports; equal ones by path.
pub(crate) fn sort(reports: &mut [Report], by: Sort) {
    reports.sort_by(|a, b| compare(a, b, by).then_with(|| a.file.cmp(&b.file)));
}

fn compare(a: &Report, b: &Report, by: Sort) -> Ordering {
    match by {
        Sort::Headroom => {
            let (a, b) = (headroom(a), headroom(b));
            a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
        }
        Sort::Size => loaded(b).cmp(&loaded(a)),
        Sort::Relocations => b.relocations.total.cmp(&a.relocations.total),
        Sort::Name => Ordering::Equal,
    }
}

/// Percent and bytes; files without a measured branch come last.
fn headroom(report: &Report) -> (f64, i64) {
    report
        .headroom
        .map_or((f64::INFINITY, i64::MAX), |left| (left.percent, left.bytes))
}

fn loaded(report: &Report) -> u64 {
    let layout = &report.layout;
    // both are below 2⁶³ each
    layout.core.total + layout.init.total
}

/// Writes the first `rows` of `reports` and the sum of all.
pub(crate) fn write(reports: &[Report], rows: usize, out: &mut String, colour: bool) {
    let mut table = Table::new([
        ("file", Align::Left),
        ("sections", Align::Right),
        ("relocations", Align::Right),
        ("core", Align::Right),
        ("init", Align::Right),
        ("stub space", Align::Right),
        ("too far", Align::Right),
        ("headroom", Align::Right),
        ("", Align::Left),
    ]);
    let shared = shared_folder(reports.iter().map(|report| report.file.as_str()));
    for report in reports.iter().take(rows) {
        table.row(row(report, shared));
    }
    if rows < reports.len() {
        let left = format!("… {} more", number((reports.len() - rows) as u64));
        table.row([Cell::new(left, Look::Dim)]);
    }
    if reports.len() > 1 {
        table.row(sum(reports));
    }
    if shared > 0
        && let Some(report) = reports.first()
    {
        let folder = report.file.get(..shared).unwrap_or_default();
        Cell::new(format!("in {folder}\n"), Look::Dim).write(out, colour);
    }
    table.write(out, "", colour);
    if reports.iter().any(|report| !report.relocation_data) {
        out.push_str("? no relocation data for this architecture yet\n");
    }
}

/// Bytes of the longest folder, its `/` included, that all paths begin with.
fn shared_folder<'a>(mut paths: impl Iterator<Item = &'a str>) -> usize {
    let Some(first) = paths.next() else { return 0 };
    let folder = |path: &str| path.rfind('/').map_or(0, |slash| slash + 1);
    let mut shared = folder(first);
    for path in paths {
        while !path.starts_with(&first[..shared]) {
            shared = folder(first[..shared].trim_end_matches('/'));
        }
    }
    shared
}

fn row(report: &Report, shared: usize) -> Vec<Cell> {
    let too_far = report.out_of_reach();
    let (stubs, headroom) = match &report.stubs {
        Some(stubs) => (
            count(stubs.bytes),
            report.headroom.as_ref().map_or("-".into(), headroom_cell),
        ),
        None => ("?".to_owned(), "?".into()),
    };
    let look = if report.is_fine() {
        Look::Plain
    } else {
        Look::Bad
    };
    let refused = report.refused();
    let note = if refused.is_empty() {
        Cell::default()
    } else {
        Cell::new(format!("refused: {}", refused.join(", ")), Look::Bad)
    };
    vec![
        Cell::new(report.file.get(shared..).unwrap_or(&report.file), look),
        number(report.sections.headers).into(),
        number(report.relocations.total).into(),
        size(report.layout.core.total).into(),
        size(report.layout.init.total).into(),
        stubs.into(),
        Cell::new(count(too_far), look),
        headroom,
        note,
    ]
}

fn sum(reports: &[Report]) -> Vec<Cell> {
    let total = |value: fn(&Report) -> u64| {
        let values = reports.iter().map(value);
        values.fold(0u64, u64::saturating_add)
    };
    let stubs = total(|report| report.stubs.as_ref().map_or(0, |stubs| stubs.bytes));
    let narrowest = reports
        .iter()
        .filter_map(|report| report.headroom)
        .min_by(|a, b| a.percent.total_cmp(&b.percent));
    vec![
        Cell::new(
            format!("{} files", number(reports.len() as u64)),
            Look::Bold,
        ),
        number(total(|report| report.sections.headers)).into(),
        number(total(|report| report.relocations.total)).into(),
        size(total(|report| report.layout.core.total)).into(),
        size(total(|report| report.layout.init.total)).into(),
        count(stubs).into(),
        count(total(Report::out_of_reach)).into(),
        narrowest.as_ref().map_or("-".into(), headroom_cell),
    ]
}
