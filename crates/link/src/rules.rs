//! What the linker executes of a script: output rules with their patterns, and statements.

use klink_script::{Expr, FilePattern, OverlayPart, Pattern, Placement, SectionType};

use crate::pattern_index::Match;

/// A compiled script.
#[derive(Default)]
pub(crate) struct Rules<'a> {
    /// The output section statements, in order.
    pub outputs: Vec<OutputRule<'a>>,
}

impl Rules<'_> {
    /// The input statement and the pattern at a place.
    pub(crate) fn find(&self, place: Match) -> Option<(&InputRule, &SectionRule)> {
        let output = self.outputs.get(place.rule as usize)?;
        let Part::Inputs(inputs) = output.parts.get(place.part as usize)? else {
            return None;
        };
        Some((inputs, inputs.sections.get(place.pattern as usize)?))
    }
}

/// An output section statement.
pub(crate) struct OutputRule<'a> {
    pub name: &'a [u8],
    /// `/DISCARD/`.
    pub discard: bool,
    /// `ALIGN(n)` behind the colon, in bytes.
    pub align: Option<u64>,
    pub constraint: Option<Constraint>,
    pub parts: Vec<Part>,
    /// What counts in links with addresses.
    pub spec: OutputSpec,
}

/// Where an output section statement puts its section: expressions that the layout evaluates.
pub(crate) struct OutputSpec {
    /// Number of the script that the statement stands in, for errors.
    pub source: usize,
    /// The address in front of the colon.
    pub address: Option<Expr>,
    /// The type in parentheses.
    pub section_type: Option<SectionType>,
    /// `AT(…)`.
    pub load_address: Option<Expr>,
    /// `ALIGN(…)`.
    pub align: Option<Expr>,
    /// `ALIGN_WITH_INPUT`.
    pub align_with_input: bool,
    /// `SUBALIGN(…)`.
    pub subalign: Option<Expr>,
    /// Regions, segments and fill.
    pub placement: Placement,
    /// What it is of an OVERLAY.
    pub overlay: Option<OverlayPart>,
}

/// ONLY_IF_RO and ONLY_IF_RW.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Constraint {
    OnlyIfReadOnly,
    OnlyIfWritable,
}

/// A part of an output section statement.
pub(crate) enum Part {
    /// `file(sections…)`.
    Inputs(InputRule),
    /// A statement to execute: its number in the script.
    Statement {
        number: u32,
        /// Whether it puts bytes into the section.
        emits_data: bool,
    },
}

/// `file(sections…)`.
pub(crate) struct InputRule {
    /// `KEEP`: garbage collection leaves these sections.
    pub keep: bool,
    pub file: FilePattern,
    /// `EXCLUDE_FILE` in front of the parenthesis.
    pub exclude: Vec<FilePattern>,
    /// `SORT` around the file pattern.
    pub sort_files: bool,
    /// `INPUT_SECTION_FLAGS`: what `sh_flags` must have.
    pub with_flags: u64,
    /// What `sh_flags` must not have.
    pub without_flags: u64,
    pub sections: Vec<SectionRule>,
}

impl InputRule {
    /// Whether it takes sections with these `sh_flags`.
    pub(crate) fn takes_flags(&self, flags: u64) -> bool {
        flags & self.with_flags == self.with_flags && flags & self.without_flags == 0
    }
}

/// A pattern for section names.
pub(crate) struct SectionRule {
    pub name: Pattern,
    /// `EXCLUDE_FILE` in front of the pattern.
    pub exclude: Vec<FilePattern>,
    /// By what sections are sorted, the first rule first.
    pub sort: &'static [Sort],
    /// `SORT_NONE`: they stay as they came, whatever the command line says.
    pub keeps_order: bool,
}

/// A rule of `SORT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sort {
    Name,
    Alignment,
    InitPriority,
}
