//! What a link did, for `--stats`, `--time`, the demo and benchmarks.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{LinkError, Result};
use crate::layout::Layout;
use crate::options::Destination;
use crate::output::Outputs;
use crate::resolve::Resolved;
use crate::symtab::SymbolTable;

/// What a link did.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Each phase and how long it took.
    pub phases: Vec<(&'static str, Duration)>,
    /// Number of input objects.
    pub objects: usize,
    /// Number of symbols in the output, the null symbol not counted.
    pub symbols: usize,
    /// Size of the output file in bytes.
    pub bytes: usize,
    /// The output sections.
    pub sections: Vec<SectionReport>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
    /// What the user asked to be told, for standard error.
    pub notes: Vec<String>,
    /// What the user asked to be told, for standard output.
    pub printed: String,
    /// Files beside the output that the user asked for: each path, and what it holds.
    pub files: Vec<(PathBuf, String)>,
}

/// What a link did with one output section.
#[derive(Clone, Debug)]
pub struct SectionReport {
    /// Its name.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Number of input sections in it.
    pub inputs: usize,
    /// Number of islands in it.
    pub islands: u32,
    /// Number of stubs in its islands.
    pub stubs: usize,
}

impl Report {
    /// Adds text for standard output, or for a file of its own.
    pub(crate) fn add_file(&mut self, destination: &Destination, text: String) {
        match destination {
            Destination::StandardOutput => self.printed += &text,
            Destination::Path(path) => self.files.push((path.clone(), text)),
        }
    }

    /// Writes the files beside the output. A folder stands for `OUTPUT.map` in it.
    pub(crate) fn write_files(&self, output: &Path) -> Result<()> {
        for (path, text) in &self.files {
            let mut path = path.clone();
            if path.is_dir() {
                let mut name = output.file_name().unwrap_or_default().to_os_string();
                name.push(".map");
                path.push(name);
            }
            std::fs::write(&path, text).map_err(|source| LinkError::Io {
                action: "write",
                path,
                source,
            })?;
        }
        Ok(())
    }

    /// What the link did, as text for people.
    pub fn stats(&self) -> String {
        let mut text = format!(
            "{} objects, {} symbols, {} bytes\n",
            self.objects, self.symbols, self.bytes
        );
        for section in self.sections.iter().filter(|section| section.islands > 0) {
            let SectionReport {
                name,
                size,
                inputs,
                islands,
                stubs,
            } = section;
            text += &format!(
                "{name}: {size} bytes of {inputs} sections, {islands} islands, {stubs} stubs\n"
            );
        }
        text
    }

    /// How long each phase took, as text for people.
    pub fn times(&self) -> String {
        let total: Duration = self.phases.iter().map(|&(_, time)| time).sum();
        let line =
            |name: &str, time: Duration| format!("{:>9.3} ms  {name}\n", time.as_secs_f64() * 1e3);
        let phases = self.phases.iter().map(|&(name, time)| line(name, time));
        phases.chain([line("in all", total)]).collect()
    }
}

/// Measures phases.
pub(crate) struct Clock {
    report: Report,
    last: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            report: Report::default(),
            last: Instant::now(),
        }
    }

    /// Goes on with the report of phases that are over.
    pub(crate) fn resume(report: Report) -> Self {
        Self {
            report,
            last: Instant::now(),
        }
    }

    /// What the link tells beside the time it takes.
    pub(crate) fn report(&mut self) -> &mut Report {
        &mut self.report
    }

    /// Ends the phase called `name`.
    pub(crate) fn lap(&mut self, name: &'static str) {
        let now = Instant::now();
        self.report.phases.push((name, now - self.last));
        self.last = now;
    }

    /// Ends the last phase.
    pub(crate) fn finish(&mut self, name: &'static str) -> Report {
        self.lap(name);
        std::mem::take(&mut self.report)
    }
}

/// Completes the report.
pub(crate) fn summarize(
    mut clock: Clock,
    resolved: &Resolved<'_>,
    layout: &Layout<'_>,
    symbols: &SymbolTable,
    bytes: usize,
) -> Report {
    let section = |&id: &crate::id::OutputId| {
        let section = &layout.outputs.sections[id];
        SectionReport {
            name: String::from_utf8_lossy(section.name).into_owned(),
            size: section.size,
            inputs: section.sections().count(),
            islands: layout
                .module
                .as_ref()
                .map_or(0, |module| module.island_count(id)),
            stubs: layout
                .module
                .as_ref()
                .map_or(0, |module| module.stubs(id).len()),
        }
    };
    let mut warnings = layout.warnings.clone();
    warnings.append(&mut clock.report.warnings);
    Report {
        objects: resolved.objects.len(),
        symbols: symbols.symbols.len() - 1,
        bytes,
        sections: layout.outputs.order.iter().map(section).collect(),
        warnings,
        ..clock.report
    }
}

/// Completes the report of an image without headers.
pub(crate) fn of_binary(clock: Clock, objects: usize, bytes: usize) -> Report {
    Report {
        objects,
        bytes,
        ..clock.report
    }
}

/// Completes the report of an image.
pub(crate) fn of_image(
    clock: Clock,
    outputs: &Outputs<'_>,
    objects: usize,
    symbols: usize,
    warnings: Vec<String>,
    bytes: usize,
    stubs_of: impl Fn(crate::id::OutputId) -> (u32, usize),
) -> Report {
    let section = |&id: &crate::id::OutputId| {
        let section = &outputs.sections[id];
        let (islands, stubs) = stubs_of(id);
        SectionReport {
            name: String::from_utf8_lossy(section.name).into_owned(),
            size: section.size,
            inputs: section.sections().count(),
            islands,
            stubs,
        }
    };
    Report {
        objects,
        symbols,
        bytes,
        sections: outputs.order.iter().map(section).collect(),
        warnings,
        ..clock.report
    }
}
