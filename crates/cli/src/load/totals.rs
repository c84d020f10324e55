//! Sums over many modules.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::error::Failure;
use super::report::{Report, Times, region_name};

/// How many of the slowest modules are named.
const SLOWEST: usize = 3;

/// Sums over all modules of a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Totals {
    pub(crate) loaded: u64,
    pub(crate) failed: u64,
    /// How many failed for which reason.
    pub(crate) reasons: BTreeMap<String, u64>,
    pub(crate) file_bytes: u64,
    /// Bytes of regions while init ran.
    pub(crate) memory_bytes: u64,
    /// Bytes that stay.
    pub(crate) core_bytes: u64,
    /// Bytes by kind of region.
    pub(crate) regions: BTreeMap<&'static str, u64>,
    pub(crate) stubs: u64,
    pub(crate) reserved_stub_bytes: u64,
    /// Bytes that were freed with init.
    pub(crate) freed_bytes: u64,
    pub(crate) init_text_bytes: u64,
    pub(crate) init_data_bytes: u64,
    pub(crate) dropped_entries: u64,
    /// Branches that were followed to their targets.
    pub(crate) branches_arrived: u64,
    /// Branches that go elsewhere.
    pub(crate) branches_lost: u64,
    #[serde(rename = "microseconds")]
    pub(crate) times: Times,
    #[serde(skip)]
    pub(crate) slowest: Vec<(Duration, String)>,
}

impl Totals {
    /// Adds a module that was loaded.
    pub(crate) fn add(&mut self, report: &Report) {
        self.loaded += 1;
        self.file_bytes += report.file_bytes;
        self.memory_bytes += report.memory_bytes;
        self.core_bytes += report.memory_bytes - report.init.freed.min(report.memory_bytes);
        for region in &report.regions {
            *self.regions.entry(region_name(region.kind)).or_default() += region.size;
        }
        self.stubs += report.stubs.made;
        self.reserved_stub_bytes += report.stubs.reserved_bytes;
        self.freed_bytes += report.init.freed;
        self.init_text_bytes += report.init.text;
        self.init_data_bytes += report.init.data;
        self.dropped_entries += report.init.dropped_entries;
        if let Some(branches) = &report.branches {
            self.branches_arrived += branches.arrived;
            self.branches_lost += branches.lost;
        }
        self.times += report.times;
        let time = report.times.sum();
        let at = self.slowest.partition_point(|(slower, _)| *slower > time);
        if at < SLOWEST {
            self.slowest.insert(at, (time, report.name.clone()));
            self.slowest.truncate(SLOWEST);
        }
    }

    /// Adds one that was not.
    pub(crate) fn add_failure(&mut self, failure: &Failure) {
        self.failed += 1;
        *self.reasons.entry(failure.reason.kind()).or_default() += 1;
    }
}
