//! What is told of a module that was loaded.

use std::time::Duration;

use klink_module::{RegionKind, Rights};
use serde::{Serialize, Serializer};

use super::branches::Branches;
use super::tree::Role;

/// A module that was loaded.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) name: String,
    pub(crate) file: String,
    /// `wanted`, `needed` or `soft`.
    pub(crate) role: &'static str,
    pub(crate) architecture: &'static str,
    /// The letters by which the kernel shows that it is tainted; empty: not by this module.
    pub(crate) taints: String,
    pub(crate) file_bytes: u64,
    /// Bytes of all regions.
    pub(crate) memory_bytes: u64,
    pub(crate) regions: Vec<Region>,
    pub(crate) stubs: Stubs,
    /// Symbols of others that it uses.
    pub(crate) symbols_used: u64,
    /// Modules whose symbols it uses.
    pub(crate) uses: Vec<String>,
    pub(crate) init: Init,
    /// Null where nobody has asked.
    pub(crate) branches: Option<Branches>,
    /// Its parameters, as they are when init has returned.
    pub(crate) parameters: Vec<Parameter>,
    /// Parameters that were given and that it does not have.
    pub(crate) unknown_parameters: Vec<String>,
    #[serde(rename = "microseconds")]
    pub(crate) times: Times,
}

/// A region.
#[derive(Debug, Serialize)]
pub(crate) struct Region {
    #[serde(serialize_with = "as_region_name")]
    pub(crate) kind: RegionKind,
    #[serde(serialize_with = "as_hexadecimal")]
    pub(crate) address: u64,
    /// Bytes, rounding included.
    pub(crate) size: u64,
    /// Bytes of its sections.
    pub(crate) used: u64,
    #[serde(rename = "section_count")]
    pub(crate) section_count: u64,
    /// By address; empty where nobody has asked.
    pub(crate) sections: Vec<Section>,
}

/// A section.
#[derive(Debug, Serialize)]
pub(crate) struct Section {
    pub(crate) name: String,
    #[serde(serialize_with = "as_hexadecimal")]
    pub(crate) address: u64,
    pub(crate) size: u64,
}

/// Stubs.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Stubs {
    /// How many there are.
    pub(crate) made: u64,
    /// Bytes that are set aside for them.
    pub(crate) reserved_bytes: u64,
}

/// A parameter.
#[derive(Debug, Serialize)]
pub(crate) struct Parameter {
    pub(crate) name: String,
    /// As its file in sysfs shows it; null where only functions of the module or the kernel know it.
    pub(crate) value: Option<String>,
    /// Rights of its file in sysfs; 0: it has none there.
    #[serde(serialize_with = "as_octal")]
    pub(crate) permissions: u16,
}

/// What goes when init has returned.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Init {
    /// Bytes that are free again.
    pub(crate) freed: u64,
    /// Bytes of its code, rounding included.
    pub(crate) text: u64,
    /// Bytes of its constants and data.
    pub(crate) data: u64,
    /// Entries of tables that pointed there.
    pub(crate) dropped_entries: u64,
}

/// How long each step took.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(crate) struct Times {
    /// Opening the file and unpacking it; no part of the sum.
    #[serde(serialize_with = "as_microseconds")]
    pub(crate) read: Duration,
    #[serde(serialize_with = "as_microseconds")]
    pub(crate) parse: Duration,
    #[serde(serialize_with = "as_microseconds")]
    pub(crate) plan: Duration,
    #[serde(serialize_with = "as_microseconds")]
    pub(crate) allocate: Duration,
    #[serde(serialize_with = "as_microseconds")]
    pub(crate) link: Duration,
    #[serde(serialize_with = "as_microseconds")]
    pub(crate) commit: Duration,
    #[serde(serialize_with = "as_microseconds")]
    pub(crate) discard: Duration,
}

impl Times {
    /// All that the loader did.
    pub(crate) fn sum(&self) -> Duration {
        self.parse + self.plan + self.allocate + self.link + self.commit + self.discard
    }
}

impl std::ops::AddAssign for Times {
    fn add_assign(&mut self, other: Self) {
        self.read += other.read;
        self.parse += other.parse;
        self.plan += other.plan;
        self.allocate += other.allocate;
        self.link += other.link;
        self.commit += other.commit;
        self.discard += other.discard;
    }
}

impl Role {
    /// What reports call it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Wanted => "wanted",
            Self::Needed => "needed",
            Self::Soft => "soft",
        }
    }
}

/// What reports and files call a region.
pub(crate) const fn region_name(kind: RegionKind) -> &'static str {
    match kind {
        RegionKind::Text => "text",
        RegionKind::Rodata => "rodata",
        RegionKind::RoAfterInit => "ro-after-init",
        RegionKind::Data => "data",
        RegionKind::InitText => "init.text",
        RegionKind::InitRodata => "init.rodata",
        RegionKind::InitData => "init.data",
        RegionKind::PerCpu => "percpu",
    }
}

/// What may be done with a region's pages in the end, as `ls` shows it.
pub(crate) const fn rights(kind: RegionKind) -> &'static str {
    match kind.rights(true) {
        Rights::Read => "r--",
        Rights::ReadWrite => "rw-",
        Rights::ReadExecute => "r-x",
    }
}

fn as_region_name<S: Serializer>(kind: &RegionKind, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(region_name(*kind))
}

fn as_hexadecimal<S: Serializer>(address: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format!("{address:#x}"))
}

fn as_octal<S: Serializer>(rights: &u16, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&format!("{rights:04o}"))
}

fn as_microseconds<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(time.as_nanos() as f64 / 1000.0)
}
