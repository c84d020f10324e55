//! Reports for people.

use std::fmt::Write as _;
use std::time::Duration;

use super::branches::{Branches, Form};
use super::check::Walk;
use super::errno;
use super::error::{Failure, Reason};
use super::kernel::Kernel;
use super::report::{Report, region_name, rights};
use super::totals::Totals;
use crate::inspect::text::{Align, Cell, Look, Size, Table, count, number, size};

/// Writes texts, with colour or without.
pub(super) struct Printer {
    out: String,
    colour: bool,
}

impl Printer {
    pub(super) const fn new(colour: bool) -> Self {
        Self {
            out: String::new(),
            colour,
        }
    }

    /// All that was written.
    pub(super) fn into_text(self) -> String {
        self.out
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// A line about a module that was only needed.
    pub(super) fn brief(&mut self, report: &Report) {
        let what = match report.role {
            "soft" => "wanted beside",
            _ => "needed",
        };
        let line = format!(
            "{} ({what}): {} at {:#x}, {}",
            report.name,
            size(report.memory_bytes),
            report.regions.first().map_or(0, |region| region.address),
            time(report.times.sum()),
        );
        self.line(&line);
    }

    /// All about a module.
    pub(super) fn module(&mut self, report: &Report, sections: bool) {
        Cell::new(&report.name, Look::Bold).write(&mut self.out, self.colour);
        let taints = match report.taints.as_str() {
            "" => String::new(),
            letters => format!(", taints the kernel: {letters}"),
        };
        let uses = match report.uses.as_slice() {
            [] => String::new(),
            uses => format!(", uses {}", uses.join(", ")),
        };
        let symbols = number(report.symbols_used);
        let _ = writeln!(
            self.out,
            " ({}, {}): {symbols} symbols of others{uses}{taints}",
            report.file, report.architecture
        );
        self.regions(report, sections);
        self.stubs(report);
        if let Some(branches) = &report.branches {
            self.branches(branches);
        }
        self.init(report);
        self.parameters(report);
        self.times(report);
    }

    fn regions(&mut self, report: &Report, sections: bool) {
        let mut table = Table::new([
            ("  region", Align::Left),
            ("address", Align::Left),
            ("bytes", Align::Right),
            ("used", Align::Right),
            ("rights", Align::Left),
            ("sections", Align::Right),
        ]);
        for region in &report.regions {
            table.row([
                Cell::from(format!("  {}", region_name(region.kind))),
                format!("{:#x}", region.address).into(),
                number(region.size).into(),
                number(region.used).into(),
                rights(region.kind).into(),
                number(region.section_count).into(),
            ]);
            let sections = region.sections.iter().filter(|_| sections);
            for section in sections {
                table.row([
                    Cell::new(format!("    {}", section.name), Look::Dim),
                    Cell::new(format!("{:#x}", section.address), Look::Dim),
                    Cell::new(number(section.size), Look::Dim),
                ]);
            }
        }
        table.write(&mut self.out, "", self.colour);
    }

    fn stubs(&mut self, report: &Report) {
        let stubs = &report.stubs;
        if stubs.reserved_bytes > 0 {
            let line = format!(
                "  stubs: {} made, {} bytes set aside",
                number(stubs.made),
                number(stubs.reserved_bytes)
            );
            self.line(&line);
        }
    }

    fn branches(&mut self, branches: &Branches) {
        for form in &branches.forms {
            self.form(form);
        }
        if branches.lost > 0 {
            let line = format!("  {} branches go astray:", number(branches.lost));
            self.line(&line);
            for description in &branches.descriptions {
                self.line(&format!("    {description}"));
            }
        }
    }

    fn form(&mut self, form: &Form) {
        let by_stub = match form.by_stub {
            0 => String::new(),
            stubs => format!(" ({} through stubs)", number(stubs)),
        };
        let mut line = format!("  {}: {} branches{by_stub}", form.name, number(form.count));
        if let Some(tightest) = &form.tightest {
            let _ = write!(
                line,
                ", headroom {}: {}+{:#x} goes {} to {}{}",
                Size(tightest.headroom),
                tightest.section,
                tightest.offset,
                Size(tightest.distance),
                if tightest.by_stub { "a stub for " } else { "" },
                tightest.target,
            );
        }
        self.line(&line);
    }

    fn init(&mut self, report: &Report) {
        let init = &report.init;
        let line = match init.freed {
            0 => "  init frees nothing".to_owned(),
            freed => format!(
                "  init frees {} bytes (text {}, data {}) and {} table entries",
                number(freed),
                number(init.text),
                number(init.data),
                number(init.dropped_entries),
            ),
        };
        self.line(&line);
    }

    fn parameters(&mut self, report: &Report) {
        for parameter in &report.parameters {
            // A module's bytes must not steer a terminal.
            let value = match &parameter.value {
                Some(value) => format!("={}", value.escape_debug()),
                None => ": only its own functions know its value".to_owned(),
            };
            let rights = match parameter.permissions {
                0 => "not in sysfs".to_owned(),
                rights => format!("{rights:04o}"),
            };
            let name = parameter.name.escape_debug();
            let line = format!("  parameter {name}{value} ({rights})");
            self.line(&line);
        }
        for name in &report.unknown_parameters {
            let line = format!("  {}: unknown parameter '{name}' ignored", report.name);
            self.line(&line);
        }
    }

    fn times(&mut self, report: &Report) {
        let times = &report.times;
        let line = format!(
            "  {}: parse {}, plan {}, allocate {}, link {}, commit {}, discard init {}",
            time(times.sum()),
            time(times.parse),
            time(times.plan),
            time(times.allocate),
            time(times.link),
            time(times.commit),
            time(times.discard),
        );
        self.line(&line);
    }

    /// Sums over modules.
    pub(super) fn totals(&mut self, totals: &Totals) {
        let failed = match totals.failed {
            0 => String::new(),
            failed => format!(", {} failed", number(failed)),
        };
        let loaded = totals.loaded;
        self.line(&format!("{} modules loaded{failed}", number(loaded)));
        for (reason, times) in &totals.reasons {
            self.line(&format!("  {} failed: {reason}", number(*times)));
        }
        self.line(&format!(
            "  memory: {} of files are {} while init runs, {} afterwards",
            size(totals.file_bytes),
            size(totals.memory_bytes),
            size(totals.core_bytes),
        ));
        let regions = totals.regions.iter();
        let regions = regions.map(|(name, bytes)| format!("{name} {}", size(*bytes)));
        self.line(&format!(
            "  regions: {}",
            regions.collect::<Vec<_>>().join(", ")
        ));
        self.line(&format!(
            "  init frees {} (text {}, data {}), and {} table entries that pointed there",
            size(totals.freed_bytes),
            size(totals.init_text_bytes),
            size(totals.init_data_bytes),
            number(totals.dropped_entries),
        ));
        self.line(&format!(
            "  stubs: {} made, {} set aside for them",
            number(totals.stubs),
            size(totals.reserved_stub_bytes),
        ));
        if totals.branches_arrived + totals.branches_lost > 0 {
            self.line(&format!(
                "  branches: {} followed to their targets, {} go astray",
                number(totals.branches_arrived),
                number(totals.branches_lost),
            ));
        }
        let times = &totals.times;
        self.line(&format!(
            "  time: {} (parse {}, plan {}, allocate {}, link {}, commit {}, discard init {}); \
             reading files {}",
            time(times.sum()),
            time(times.parse),
            time(times.plan),
            time(times.allocate),
            time(times.link),
            time(times.commit),
            time(times.discard),
            time(times.read),
        ));
        let slowest = totals.slowest.iter();
        let slowest = slowest.map(|(taken, name)| format!("{name} {}", time(*taken)));
        let slowest: Vec<_> = slowest.collect();
        if loaded > 1 {
            self.line(&format!("  slowest: {}", slowest.join(", ")));
        }
    }

    /// What a walk over tables has found.
    pub(super) fn walk(&mut self, walk: &Walk) {
        self.line(&format!(
            "  tables: {} entries, {} of them point into freed memory",
            number(walk.entries),
            number(walk.stale),
        ));
        let mut table = Table::new([
            ("  table", Align::Left),
            ("tables", Align::Right),
            ("entries", Align::Right),
            ("into freed memory", Align::Right),
        ]);
        for (name, found) in &walk.tables {
            let look = match found.stale {
                0 => Look::Plain,
                _ => Look::Bad,
            };
            table.row([
                Cell::from(format!("  {name}")),
                number(found.tables).into(),
                number(found.entries).into(),
                Cell::new(count(found.stale), look),
            ]);
        }
        table.write(&mut self.out, "  ", self.colour);
    }

    /// Which kernel it is.
    pub(super) fn kernel(&mut self, kernel: &Kernel) {
        self.line(&kernel.describe());
    }
}

/// What modprobe says, what the kernel says, and what to do.
pub(crate) fn failure(failure: &Failure, kernel: &Kernel) -> String {
    let reason = &failure.reason;
    if let Reason::Read(error) = &**reason {
        return format!("could not load module {}: {error}", failure.path.display());
    }
    let number = reason.errno();
    let mut text = format!(
        "could not insert '{}': {} ({})",
        failure.name,
        errno::words(number),
        errno::name(number),
    );
    for line in reason.details().lines() {
        let _ = write!(text, "\n  {}: {line}", failure.name);
    }
    if let Some(help) = reason.help(kernel) {
        let _ = write!(text, "\n  help: {help}");
    }
    let _ = write!(text, "\n  file: {}", failure.path.display());
    text
}

/// A time with three digits: `123 µs`, `1.23 ms`.
pub(super) fn time(time: Duration) -> String {
    let micros = time.as_nanos() as f64 / 1e3;
    let (value, unit) = match micros {
        ..1e3 => (micros, "µs"),
        ..1e6 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    let decimals = match value {
        ..10.0 => 2,
        ..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}
