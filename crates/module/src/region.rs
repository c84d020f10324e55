//! Regions and blocks: what a plan asks memory for.

use alloc::vec::Vec;

use crate::id::BlockId;

/// A part of a module whose pages have the same rights.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum RegionKind {
    /// Code that stays.
    Text,
    /// Constants that stay.
    Rodata,
    /// Data that is only written until init has returned.
    RoAfterInit,
    /// Data.
    Data,
    /// Code that is freed after init.
    InitText,
    /// Constants that are freed after init.
    InitRodata,
    /// Data that is freed after init.
    InitData,
    /// Data with a copy for each processor: the block holds the template, and its address is where
    /// per-cpu symbols count from.
    PerCpu,
}

impl RegionKind {
    /// All of them, in the order in which they lie in memory.
    pub const ALL: [Self; 8] = [
        Self::Text,
        Self::Rodata,
        Self::RoAfterInit,
        Self::Data,
        Self::InitText,
        Self::InitRodata,
        Self::InitData,
        Self::PerCpu,
    ];

    /// Whether it is freed after init.
    #[must_use]
    pub const fn is_init(self) -> bool {
        matches!(self, Self::InitText | Self::InitRodata | Self::InitData)
    }

    /// Whether it holds code.
    #[must_use]
    pub const fn is_code(self) -> bool {
        matches!(self, Self::Text | Self::InitText)
    }

    /// The rights of its pages while init runs, or after it has returned. Never both writable and
    /// executable.
    #[must_use]
    pub const fn rights(self, init_has_returned: bool) -> Rights {
        match self {
            Self::Text | Self::InitText => Rights::ReadExecute,
            Self::Rodata | Self::InitRodata => Rights::Read,
            Self::RoAfterInit if init_has_returned => Rights::Read,
            Self::RoAfterInit | Self::Data | Self::InitData | Self::PerCpu => Rights::ReadWrite,
        }
    }
}

/// What may be done with a page.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Rights {
    /// Read only.
    Read,
    /// Read and write.
    ReadWrite,
    /// Read and execute.
    ReadExecute,
}

/// A region of a block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Region {
    /// What it holds.
    pub kind: RegionKind,
    /// Bytes from the start of the block; a multiple of a page where the policy rounds to pages.
    pub offset: u64,
    /// Bytes, rounding included.
    pub size: u64,
}

/// Memory that a plan asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Block {
    /// Its identity.
    pub id: BlockId,
    /// Bytes. May be 0 for the block that holds what stays.
    pub size: u64,
    /// What its address must be a multiple of; a power of two.
    pub align: u64,
    /// Its regions, by offset; together they are all of it.
    pub regions: Vec<Region>,
}

impl Block {
    /// Whether all of it is freed after init.
    #[must_use]
    pub fn is_init(&self) -> bool {
        self.regions.iter().all(|region| region.kind.is_init())
    }

    /// Whether it is the template of per-cpu data.
    #[must_use]
    pub fn is_per_cpu(&self) -> bool {
        let mut regions = self.regions.iter();
        regions.any(|region| region.kind == RegionKind::PerCpu)
    }
}
