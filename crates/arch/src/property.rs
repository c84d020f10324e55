//! Program properties (`.note.gnu.property`): what an object says of its code, and what that makes of a
//! program.

/// How a link makes one value of those that its inputs give for a property.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Merge {
    /// The largest.
    Max,
    /// That there is one.
    Any,
    /// Bits that all inputs have: an input without the property has none. Without bits it is left out.
    And,
    /// Bits that any input has. Without bits it is left out.
    Or,
    /// Bits that any input has; left out if an input has no such property.
    OrOfAll,
}

/// Properties with one rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PropertyRange {
    /// The first type.
    pub first: u32,
    /// The last type.
    pub last: u32,
    /// The rule.
    pub merge: Merge,
}

/// Those that mean the same everywhere. Source: "Linux gABI extensions", program properties; BFD
/// `elf-properties.c`, elf_merge_gnu_properties.
static COMMON: [PropertyRange; 4] = [
    range(1, 1, Merge::Max),
    range(2, 2, Merge::Any),
    range(0xb000_0000, 0xb000_7fff, Merge::And),
    range(0xb000_8000, 0xb000_ffff, Merge::Or),
];

/// Source: psABI of x86-64, "Program Property"; BFD `elfxx-x86.c`, _bfd_x86_elf_merge_gnu_properties.
pub(crate) static X86: [PropertyRange; 5] = [
    range(0xc000_0000, 0xc000_0000, Merge::OrOfAll),
    range(0xc000_0001, 0xc000_0001, Merge::Or),
    range(0xc000_0002, 0xc000_7fff, Merge::And),
    range(0xc000_8000, 0xc000_ffff, Merge::Or),
    range(0xc001_0000, 0xc001_7fff, Merge::OrOfAll),
];

const fn range(first: u32, last: u32, merge: Merge) -> PropertyRange {
    PropertyRange { first, last, merge }
}

/// The rule for properties of type `number`, `own` being the architecture's. `None`: unknown, to be left
/// out.
pub(crate) fn rule(own: &[PropertyRange], number: u32) -> Option<Merge> {
    let mut ranges = COMMON.iter().chain(own);
    let of_type = ranges.find(|range| (range.first..=range.last).contains(&number));
    of_type.map(|range| range.merge)
}

impl Merge {
    /// The value of one input and that of all before it; `None` for an input without the property.
    #[must_use]
    pub fn merge(self, before: Option<u64>, value: Option<u64>) -> Option<u64> {
        let both = |join: fn(u64, u64) -> u64| match (before, value) {
            (Some(before), Some(value)) => Some(join(before, value)),
            (one, other) => one.or(other),
        };
        let all = |join: fn(u64, u64) -> u64| Some(join(before?, value?));
        let some_bits = |value: &u64| *value != 0;
        match self {
            Self::Max | Self::Any => both(u64::max),
            Self::Or => both(|a, b| a | b).filter(some_bits),
            Self::And => all(|a, b| a & b).filter(some_bits),
            Self::OrOfAll => all(|a, b| a | b),
        }
    }
}
