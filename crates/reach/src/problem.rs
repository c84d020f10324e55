//! What a caller tells us, what it gets back, and every way to be refused.

use alloc::vec::Vec;

macro_rules! id {
    ($(#[$doc:meta])* $vis:vis $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        $vis struct $name(u32);

        impl $name {
            /// The id of the `index`th item, counted from 0.
            $vis const fn new(index: u32) -> Self {
                Self(index)
            }

            /// The position in the slice that this id points into.
            $vis const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

pub(crate) use id;

id! {
    /// A section: an index into [`Problem::sections`].
    pub SectionId
}
id! {
    /// A branch: an index into [`Problem::branches`] and [`Answer::via`].
    pub BranchId
}
id! {
    /// A branch form: an index into [`Problem::forms`].
    pub FormId
}
id! {
    /// Something outside of the problem whose distance is unknown.
    ///
    /// The number means nothing to this crate but equality: two branches with
    /// equal ids may share a stub. A caller gives the same symbol with two
    /// addends two ids.
    pub ExternalId
}
id! {
    /// An island: an index into [`Answer::islands`].
    pub IslandId
}

/// One block of code or data that is placed whole.
///
/// A fixed gap (the data between two output sections of a kernel image, say)
/// is a section of the gap's size without branches, usually not movable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Size in bytes; may be 0.
    pub size: u64,
    /// Alignment in bytes, a power of two. Offset 0 of the answer counts as
    /// aligned to every section's alignment.
    pub align: u64,
    /// Whether the section may change places. It does so only with its movable
    /// neighbours: a section that is not movable keeps its place in the
    /// order, and none passes it.
    pub movable: bool,
    /// Whether the section has to follow the one before it in the input
    /// directly, with neither an island nor another section between them.
    /// Such a chain moves as one if all of it is movable. Without meaning on the first
    /// section.
    pub glued: bool,
}

impl Section {
    /// A movable section of `size` bytes, aligned to `align` (a power of two).
    pub const fn new(size: u64, align: u64) -> Self {
        Self {
            size,
            align,
            movable: true,
            glued: false,
        }
    }

    /// The same section, but it keeps its place in the order.
    pub const fn unmovable(self) -> Self {
        Self {
            movable: false,
            ..self
        }
    }

    /// The same section, but it directly follows the one before it.
    pub const fn glued(self) -> Self {
        Self {
            glued: true,
            ..self
        }
    }
}

/// How far one kind of branch instruction jumps.
///
/// The displacement is `target - site`, both as offsets in bytes; what the
/// instruction itself adds (8 on PA-RISC) is already in `min` and `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// Smallest displacement in bytes, inclusive.
    pub min: i64,
    /// Largest displacement in bytes, inclusive.
    pub max: i64,
    /// Whether the branch may go through a stub (`false` where a stub would
    /// clobber a live register, as with PA-RISC's conditional branches).
    pub stub: bool,
}

impl Form {
    /// Whether a branch of this form spans `displacement` bytes.
    pub const fn reaches(&self, displacement: i64) -> bool {
        self.min <= displacement && displacement <= self.max
    }
}

/// Where a branch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// Into a section of the problem.
    Section {
        /// The section.
        section: SectionId,
        /// Offset in bytes from its start; may lie outside of it.
        offset: i64,
    },
    /// To an address that is not known yet: always through a stub.
    External(ExternalId),
    /// To a place that does not move: this many bytes from offset 0 of the
    /// answer.
    Fixed(i64),
}

/// One branch instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The section that holds it.
    pub section: SectionId,
    /// Its offset in bytes from the section's start, at most the section's size.
    pub offset: u64,
    /// Where it goes.
    pub target: Target,
    /// How far it jumps.
    pub form: FormId,
}

/// What a stub costs. Sizes count as rounded up to the alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StubSizes {
    /// Bytes of a stub to a [`Target::External`]; not 0.
    pub external: u64,
    /// Bytes of a stub to a [`Target::Section`] or [`Target::Fixed`]; not 0.
    pub internal: u64,
    /// Alignment of every stub in bytes, a power of two.
    pub align: u64,
}

/// How much to look for a better order of the movable sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Reorder {
    /// Keep the input's order.
    #[default]
    Keep,
    /// Look as long as a link can afford: milliseconds for some thousand sections of a text of a
    /// few reaches, some tenths of a second for an image of 30.
    Quick,
    /// Look about a hundred times as long.
    Thorough,
}

/// Where islands may stand besides between two sections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// In front of the first section.
    pub front: bool,
    /// Behind the last section.
    pub behind: bool,
}

impl Default for Ends {
    fn default() -> Self {
        Self {
            front: true,
            behind: true,
        }
    }
}

/// The whole question.
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// The sections in input order.
    pub sections: &'a [Section],
    /// The branches, in any order.
    pub branches: &'a [Branch],
    /// The branch forms.
    pub forms: &'a [Form],
    /// What a stub costs.
    pub stubs: StubSizes,
    /// Whether sections may change places.
    pub reorder: Reorder,
    /// Whether islands may stand at the two ends.
    pub ends: Ends,
}

/// One stub of an [`Island`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stub {
    /// Offset in bytes from the start of the answer (not of the island).
    pub offset: u64,
    /// Where it goes; [`Target::External`] stubs have [`StubSizes::external`]
    /// bytes, all others [`StubSizes::internal`].
    pub target: Target,
}

/// A run of stubs at one place, no two of them with the same target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Island {
    /// Offset in bytes from the start of the answer.
    pub offset: u64,
    /// The section that it stands in front of; `None` behind the last.
    pub before: Option<SectionId>,
    /// Its stubs, by offset; never empty.
    pub stubs: Vec<Stub>,
}

/// Which stub a branch goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StubRef {
    /// The island.
    pub island: IslandId,
    /// The index in [`Island::stubs`].
    pub stub: u32,
}

/// An order, islands, and a way for every branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// All sections, in the order they are placed.
    pub order: Vec<SectionId>,
    /// Offset in bytes of each section, indexed by [`SectionId`].
    pub offsets: Vec<u64>,
    /// The islands, by offset.
    pub islands: Vec<Island>,
    /// For each branch the stub it goes through; `None` if it reaches its
    /// target directly. Indexed by [`BranchId`].
    pub via: Vec<Option<StubRef>>,
    /// Bytes from offset 0 to the end of the last section or island.
    pub size: u64,
}

impl Answer {
    /// How many stubs all islands hold.
    pub fn stub_count(&self) -> usize {
        self.islands.iter().map(|island| island.stubs.len()).sum()
    }
}

/// A branch that cannot be made to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// The branch.
    pub branch: BranchId,
    /// Its form's reach.
    pub form: Form,
    /// Bytes from the branch to its target in the best layout found; `None`
    /// if the target's address is unknown.
    pub distance: Option<i64>,
    /// Bytes from the branch to the nearest place where an island may stand
    /// in that layout; `None` if the form allows no stub or there is no such place.
    pub nearest_island: Option<i64>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReachError {
    /// Branches reach neither their target nor an island in any layout tried.
    #[error("{} out of reach; first: branch {} {}", Count(.0.len()), .0[0].branch.index(), Facts(&.0[0]))]
    OutOfReach(
        /// All of them, by branch; never empty.
        Vec<Unreached>,
    ),
    /// A section's alignment is not a power of two.
    #[error("section {}: alignment {align} is not a power of two", section.index())]
    SectionAlign {
        /// The section.
        section: SectionId,
        /// Its alignment.
        align: u64,
    },
    /// The stubs' alignment is not a power of two.
    #[error("stub alignment {align} is not a power of two")]
    StubAlign {
        /// The alignment.
        align: u64,
    },
    /// Stubs of no bytes.
    #[error("a stub has 0 bytes")]
    EmptyStub,
    /// A branch names a section that does not exist.
    #[error("branch {}: no section {}", branch.index(), section.index())]
    NoSection {
        /// The branch.
        branch: BranchId,
        /// What it names, as its own section or its target's.
        section: SectionId,
    },
    /// A branch names a form that does not exist.
    #[error("branch {}: no form {}", branch.index(), form.index())]
    NoForm {
        /// The branch.
        branch: BranchId,
        /// What it names.
        form: FormId,
    },
    /// A branch lies behind the end of its section.
    #[error("branch {}: at {offset} in a section of {size} bytes", branch.index())]
    OutsideSection {
        /// The branch.
        branch: BranchId,
        /// Its offset.
        offset: u64,
        /// The size of its section.
        size: u64,
    },
    /// Sizes, offsets or displacements beyond ±2^61 bytes, or more than
    /// 2^32 - 2 items of a kind.
    #[error("sections, branches or stubs are too large to lay out")]
    TooLarge,
}

struct Count(usize);

impl core::fmt::Display for Count {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "{} branch{}",
            self.0,
            if self.0 == 1 { "" } else { "es" }
        )
    }
}

struct Facts<'a>(&'a Unreached);

impl core::fmt::Display for Facts<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Unreached {
            form,
            distance,
            nearest_island,
            ..
        } = self.0;
        match distance {
            Some(distance) => write!(f, "is {distance} bytes from its target")?,
            None => f.write_str("goes to an unknown address")?,
        }
        write!(f, " and spans {} to {} bytes; ", form.min, form.max)?;
        match nearest_island {
            Some(distance) => write!(f, "nearest place for an island {distance} bytes away"),
            None if form.stub => f.write_str("no island may stand anywhere"),
            None => f.write_str("its form allows no stub"),
        }
    }
}

/// Sizes, offsets and displacements stay below this, so that no sum of two
/// overflows an `i64`.
const LIMIT: u64 = 1 << 61;

/// Refuses what cannot be laid out, so that nothing after this needs to check.
pub(crate) fn validate(problem: &Problem<'_>) -> Result<(), ReachError> {
    let most = u32::MAX as usize - 1;
    if problem.sections.len() > most || problem.branches.len() > most {
        return Err(ReachError::TooLarge);
    }
    let StubSizes {
        external,
        internal,
        align,
    } = problem.stubs;
    if !align.is_power_of_two() {
        return Err(ReachError::StubAlign { align });
    }
    if external == 0 || internal == 0 {
        return Err(ReachError::EmptyStub);
    }
    let mut total = 0u64;
    let mut add = |bytes: u64| -> Result<(), ReachError> {
        total = total
            .checked_add(bytes)
            .filter(|&sum| sum < LIMIT)
            .ok_or(ReachError::TooLarge)?;
        Ok(())
    };
    for (index, section) in problem.sections.iter().enumerate() {
        if !section.align.is_power_of_two() {
            let section_id = SectionId::new(index as u32);
            return Err(ReachError::SectionAlign {
                section: section_id,
                align: section.align,
            });
        }
        add(section.size)?;
        add(section.align)?;
        // An island in front of it may need padding too.
        add(align)?;
    }
    // No branch needs more than one stub; twice that leaves room for growth.
    let stub = external
        .max(internal)
        .checked_next_multiple_of(align)
        .ok_or(ReachError::TooLarge)?;
    let stubs = stub.checked_mul(2 * problem.branches.len() as u64 + 2);
    add(stubs.ok_or(ReachError::TooLarge)?)?;
    for form in problem.forms {
        add_magnitude(form.min)?;
        add_magnitude(form.max)?;
    }
    for (index, branch) in problem.branches.iter().enumerate() {
        validate_branch(problem, BranchId::new(index as u32), branch)?;
    }
    Ok(())
}

fn add_magnitude(value: i64) -> Result<(), ReachError> {
    if value.unsigned_abs() < LIMIT {
        Ok(())
    } else {
        Err(ReachError::TooLarge)
    }
}

fn validate_branch(problem: &Problem<'_>, id: BranchId, branch: &Branch) -> Result<(), ReachError> {
    let no_section = |section| ReachError::NoSection {
        branch: id,
        section,
    };
    let own = problem.sections.get(branch.section.index());
    let own = own.ok_or(no_section(branch.section))?;
    if branch.offset > own.size {
        return Err(ReachError::OutsideSection {
            branch: id,
            offset: branch.offset,
            size: own.size,
        });
    }
    if branch.form.index() >= problem.forms.len() {
        return Err(ReachError::NoForm {
            branch: id,
            form: branch.form,
        });
    }
    match branch.target {
        Target::Section { section, offset } => {
            add_magnitude(offset)?;
            problem
                .sections
                .get(section.index())
                .map(|_| ())
                .ok_or(no_section(section))
        }
        Target::Fixed(offset) => add_magnitude(offset),
        Target::External(_) => Ok(()),
    }
}
