//! Typed indices.

use core::fmt;

/// A section of a module: its index in the file's table of section headers.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SectionId(pub(crate) u32);

impl SectionId {
    /// The section with this index.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The index in the table of section headers.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for SectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A symbol of a module: its index in the file's symbol table.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SymbolId(pub(crate) u32);

impl SymbolId {
    /// The symbol with this index.
    #[must_use]
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The index in the symbol table.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A block of memory that a plan asks for: its index in [`Plan::blocks`](crate::Plan::blocks).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct BlockId(pub(crate) u8);

impl BlockId {
    /// The index in [`Plan::blocks`](crate::Plan::blocks).
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
