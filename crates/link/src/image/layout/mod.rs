//! Addresses: the script is executed from top to bottom, again and again until nothing moves.
//!
//! A pass does what `lang_size_sections_1` of ld/ldlang.c does, and the last one, which also checks
//! assertions and ties symbols to sections, what `lang_do_assignments_1` does.

mod check;
mod contents;
mod link_order;
mod load_address;
mod pass;
mod prepare;
mod relro;
mod runs;

pub(super) use prepare::apply_section_types;

use std::cell::Cell;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_arch::Arch;
use klink_script::eval::{self, Base, Place, Value};
use klink_script::{
    AssignKind, Assignment, BinaryOp, DataSize, Diagnostic, Expr, ExprKind, SectionType, Span,
};

use self::pass::after_end;
use self::runs::Run;
use super::data_segment::DataSegment;
use super::merged::Merges;
use super::regions::{DEFAULT, RegionId, Regions};
use super::scope::{ExprScope, Named, reference};
use super::segments::{self, Segments};
use super::stubs::{self, Islands, StubTarget};
use super::unwind::Unwind;
use crate::assign::{Assigned, LayoutItem, OutputStatement};
use crate::error::{LinkError, Result};
use crate::id::{GlobalId, Id, IdVec, OutputId, SectionId, StatementId};
use crate::input::InputSection;
use crate::options::Options;
use crate::output::{Outputs, Piece, Placements, Traits};
use crate::resolve::Resolved;
use crate::rules::{OutputSpec, Part};
use crate::script::{Action, Program, ScriptStatement, Sources, script_error};

/// Passes after which sections that still move are an error.
const MAX_PASSES: u32 = 50;

/// Passes after which room for program headers only grows.
const SHRINKING_PASSES: u32 = 10;

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// To find out which sections are empty and go.
    Mark,
    /// To give addresses.
    Allocate,
    /// To tie symbols to sections, once nothing moves.
    Tie,
    /// As [`Self::Tie`], and to check assertions: nothing will move again.
    Final,
}

impl Phase {
    /// Whether nothing moves: what is not known now will never be.
    pub(super) fn is_settled(self) -> bool {
        matches!(self, Self::Tie | Self::Final)
    }
}

/// A symbol that the script assigned.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScriptSymbol {
    pub value: Value,
    /// Whether its value is an address near `.`.
    pub follows_dot: bool,
    /// The section that the output ties it to, if its value is an address.
    pub near: Option<OutputId>,
    /// The pass that assigned it last.
    pub pass: u32,
    /// The symbol whose type it takes, if no other was asked for its value.
    pub copy_of: Option<GlobalId>,
    /// `HIDDEN` or `PROVIDE_HIDDEN`.
    pub hidden: bool,
}

/// Bytes of an output section that belong to no input.
#[derive(Clone, Debug)]
pub(super) struct Gap {
    pub output: OutputId,
    /// Offset in the section, in bytes.
    pub start: u64,
    pub end: u64,
    /// The statement or rule whose fill counts.
    pub fill: FillId,
}

/// The sizes of sections whose contents depend on the layout, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LateSizes {
    /// Index of the first section; the others follow it.
    first: usize,
    sizes: Vec<u64>,
}

impl LateSizes {
    /// The sizes of sections that follow each other.
    pub(super) fn new(first: SectionId, sizes: Vec<u64>) -> Self {
        let first = first.index();
        Self { first, sizes }
    }

    /// The size of a section, if it is one of these.
    #[inline]
    pub(super) fn get(&self, section: SectionId) -> Option<u64> {
        let at = section.index().checked_sub(self.first)?;
        self.sizes.get(at).copied()
    }
}

/// A fill: an index into [`ImageLayout::fills`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FillId(u32);

/// A laid out image. Nothing later changes it.
pub(crate) struct ImageLayout<'a> {
    pub(super) outputs: Outputs<'a>,
    pub(super) placements: Placements,
    pub(super) merges: Merges<'a>,
    pub(super) unwind: Unwind<'a>,
    pub(super) late_sizes: LateSizes,
    pub(super) islands: Islands,
    pub(super) symbols: HashMap<GlobalId, ScriptSymbol, RandomState>,
    /// For each statement of the script that puts a number into a section: where, and the number.
    pub(super) data: Vec<Option<DataPlace>>,
    pub(super) gaps: Vec<Gap>,
    pub(super) fills: Vec<Vec<u8>>,
    pub(super) segments: Segments,
    /// What was executed, and what became of it, for maps.
    pub(super) items: Vec<LayoutItem>,
    pub(super) statements: IdVec<StatementId, OutputStatement>,
    /// For each statement of the script, the value that it assigned or checked.
    pub(super) told: Vec<Option<u64>>,
    /// The fills of FILL statements, by number.
    pub(super) statement_fills: HashMap<u32, FillId>,
    pub(super) regions: Regions,
    pub(super) warnings: Vec<String>,
}

impl ImageLayout<'_> {
    /// The bytes of a fill.
    pub(super) fn fill(&self, id: FillId) -> &[u8] {
        &self.fills[id.0 as usize]
    }
}

/// A number that a script puts into a section.
#[derive(Clone, Copy, Debug)]
pub(super) struct DataPlace {
    pub offset: u64,
    pub value: u64,
    pub size: DataSize,
}

/// The addresses that things have in one pass.
#[derive(Clone, Copy)]
pub(super) struct Addresses<'l, 'a> {
    outputs: &'l Outputs<'a>,
    placements: &'l Placements,
    merges: &'l Merges<'a>,
}

impl Addresses<'_, '_> {
    /// The address of a stub's target.
    #[inline]
    pub(super) fn of(&self, target: StubTarget) -> u64 {
        match target {
            StubTarget::Absolute(address) => address,
            StubTarget::Section(section, offset) => {
                let (section, offset) = self.merges.place(section, offset);
                let output = self.placements.output(section);
                let start = output.map_or(0, |output| self.outputs.sections[output].address);
                start
                    .wrapping_add(self.placements.offset(section))
                    .wrapping_add(offset)
            }
        }
    }
}

/// The state of the passes.
pub(super) struct Layouter<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    program: &'l Program<'a>,
    sources: &'l Sources,
    pub options: &'l Options,
    pub arch: &'static Arch,
    /// The image as the last pass left it.
    pub layout: ImageLayout<'a>,
    /// The fill of each rule, evaluated once.
    rule_fills: HashMap<u32, FillId>,
    by_name: HashMap<&'a [u8], OutputId, RandomState>,
    /// The regions that each statement names.
    placed_in: IdVec<StatementId, (Option<RegionId>, Option<RegionId>)>,
    pub processed: IdVec<OutputId, bool>,
    /// Sections that an assignment in them ties to the location counter.
    update_dot: IdVec<OutputId, bool>,
    /// Removed sections whose statements do nothing.
    ignored: IdVec<OutputId, bool>,
    pub data_segment: DataSegment,
    pub header_size: u64,
    pub headers_wanted: Cell<bool>,
    pub max_page_size: u64,
    pub common_page_size: u64,
    pub sane_expr: bool,
    pub phase: Phase,
    pub pass: u32,
    /// For [`Self::section_for_dot`]: the last section that an address belongs to, and whether `.`
    /// was assigned since.
    current_section: Option<OutputId>,
    prefer_next: bool,
    /// For each item, whether the symbol `_end` is assigned before it.
    after_end: Vec<bool>,
    seen: IdVec<OutputId, u32>,
    /// The runs of each section as they were placed last, in order.
    runs: IdVec<OutputId, Vec<Run>>,
    phdrs: segments::Phdrs,
    /// Assertions that do not hold: they are all told.
    failures: Vec<LinkError>,
}

/// What a layout is made from.
pub(super) struct LayoutInput<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    pub program: &'l Program<'a>,
    pub sources: &'l Sources,
    pub options: &'l Options,
    pub arch: &'static Arch,
    pub assigned: Assigned<'a>,
    pub merges: Merges<'a>,
    pub unwind: Unwind<'a>,
    pub late_sizes: LateSizes,
}

impl<'a, 'l> Layouter<'a, 'l> {
    pub(super) fn new(input: LayoutInput<'a, 'l>) -> Result<Self> {
        let LayoutInput {
            resolved,
            program,
            sources,
            options,
            arch,
            assigned,
            merges,
            unwind,
            late_sizes,
        } = input;
        let count = assigned.outputs.sections.len();
        let mut by_name = HashMap::default();
        for &id in &assigned.outputs.order {
            by_name
                .entry(assigned.outputs.sections[id].name)
                .or_insert(id);
        }
        let relro = options.relro.unwrap_or(arch.relro)
            && relro::is_present(program, resolved, &assigned.placements);
        let max_page_size = options.max_page_size.unwrap_or(arch.max_page_size);
        let mut layouter = Self {
            resolved,
            program,
            sources,
            options,
            arch,
            after_end: after_end(program, &assigned.statements, &assigned.items),
            placed_in: IdVec::filled((None, None), assigned.statements.len()),
            rule_fills: HashMap::new(),
            by_name,
            processed: IdVec::filled(false, count),
            update_dot: IdVec::filled(false, count),
            ignored: IdVec::filled(false, count),
            data_segment: DataSegment::new(relro),
            header_size: 0,
            headers_wanted: Cell::new(false),
            max_page_size,
            common_page_size: options
                .common_page_size
                .unwrap_or(arch.common_page_size)
                .min(max_page_size),
            sane_expr: sources.sane_expressions(),
            phase: Phase::Mark,
            pass: 0,
            current_section: None,
            prefer_next: false,
            seen: IdVec::filled(0, count),
            runs: IdVec::filled(Vec::new(), count),
            phdrs: segments::Phdrs::default(),
            layout: ImageLayout {
                outputs: assigned.outputs,
                placements: assigned.placements,
                merges,
                unwind,
                late_sizes,
                islands: Islands::default(),
                symbols: HashMap::default(),
                data: vec![None; program.statements.len()],
                gaps: Vec::new(),
                fills: Vec::new(),
                segments: Segments::default(),
                items: assigned.items,
                statements: assigned.statements,
                told: vec![None; program.statements.len()],
                statement_fills: HashMap::new(),
                regions: Regions::new(),
                warnings: assigned.warnings,
            },
            failures: Vec::new(),
        };
        layouter.assign_first();
        layouter.add_regions()?;
        layouter.place_in_regions()?;
        layouter.raise_alignments()?;
        layouter.layout.symbols.clear();
        Ok(layouter)
    }

    /// Executes the script until nothing moves and every branch reaches.
    ///
    /// # Errors
    /// What the script asks for and cannot be had.
    pub(super) fn run(&mut self) -> Result<()> {
        self.execute(Phase::Mark)?;
        self.remove_empty_sections();
        self.align_thread_local();
        self.phdrs = segments::Phdrs::from_script(self)?;
        self.header_size = self
            .phdrs
            .first_guess(&self.layout.outputs, self.options, self.arch);
        self.settle_again()?;
        self.follow_links()?;
        stubs::place(self)
    }

    /// Executes the script again, since the linker's own sections changed their sizes.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(super) fn resize(&mut self, sizes: LateSizes) -> Result<()> {
        self.layout.late_sizes = sizes;
        self.settle_again()?;
        stubs::place(self)
    }

    /// Ties symbols to sections, so that their values can be asked for before all is settled.
    ///
    /// # Errors
    /// Expressions that cannot be evaluated.
    pub(super) fn tie(&mut self) -> Result<()> {
        self.execute(Phase::Tie)
    }

    /// Checks what can be checked only when nothing moves any more, and gives the image its file.
    ///
    /// # Errors
    /// Assertions that fail, sections in each other's place.
    pub(super) fn finish(mut self) -> Result<ImageLayout<'a>> {
        if let Err(error) = self.execute(Phase::Final) {
            return Err(match self.failures.is_empty() {
                true => error,
                false => LinkError::Several(self.failures.into_iter().chain([error]).collect()),
            });
        }
        let relro = self.data_segment.relro_range();
        let mut segments = std::mem::take(&mut self.layout.segments);
        segments.place_in_file(self.file_input(relro))?;
        self.layout.segments = segments;
        self.check_places()?;
        Ok(self.layout)
    }

    /// Allocates addresses until a pass changes nothing.
    pub(super) fn settle_again(&mut self) -> Result<()> {
        let mut before = Vec::new();
        for pass in 0..MAX_PASSES {
            self.execute(Phase::Allocate)?;
            self.data_segment.adjust(&self.layout.outputs);
            let relro = self.data_segment.relro_range();
            let phdrs = std::mem::take(&mut self.phdrs);
            let segments = phdrs.map(self.file_input(relro));
            self.phdrs = phdrs;
            let segments = segments?;
            let now = self.snapshot();
            // Headers that come and go by turns come to stay (ld/ldelfgen.c, `ldelf_map_segments`).
            let header_size = match pass < SHRINKING_PASSES {
                true => segments.header_size,
                false => segments.header_size.max(self.header_size),
            };
            self.layout.segments = segments;
            if self.header_size == header_size && before == now {
                return Ok(());
            }
            self.header_size = header_size;
            before = now;
        }
        Err(LinkError::Unsettled { passes: MAX_PASSES })
    }

    /// The addresses that things have now.
    pub(super) fn addresses(&self) -> Addresses<'_, 'a> {
        Addresses {
            outputs: &self.layout.outputs,
            placements: &self.layout.placements,
            merges: &self.layout.merges,
        }
    }

    /// The addresses that symbols of the script have now.
    pub(super) fn script_addresses(&self) -> HashMap<GlobalId, u64, RandomState> {
        let scope = self.scope(Place::Outside, 0);
        let symbols = self.layout.symbols.iter();
        symbols
            .map(|(&id, symbol)| (id, symbol.value.address(&scope)))
            .collect()
    }

    /// Size and alignment of an input section of code.
    pub(super) fn extent_of(&self, input: SectionId) -> (u64, u64) {
        self.extent(input, None)
    }

    /// The regions of the output sections, if the script declares any.
    fn regions_of_outputs(&self) -> Option<IdVec<OutputId, RegionId>> {
        self.layout.regions.of_script().next()?;
        let mut regions = IdVec::filled(DEFAULT, self.layout.outputs.sections.len());
        for id in self.layout.statements.ids().rev() {
            if let Some(output) = self.layout.statements[id].output {
                regions[output] = self.region_of(id, output);
            }
        }
        Some(regions)
    }

    fn file_input(&mut self, relro: Option<(u64, u64)>) -> segments::FileInput<'_, 'a> {
        segments::FileInput {
            regions: self.regions_of_outputs(),
            outputs: &mut self.layout.outputs,
            options: self.options,
            arch: self.arch,
            max_page_size: self.max_page_size,
            headers_wanted: self.headers_wanted.get(),
            header_size: self.header_size,
            relro,
        }
    }

    /// What must not change in the last pass.
    fn snapshot(&self) -> Vec<u64> {
        let mut all = Vec::new();
        for section in self.layout.outputs.sections.iter() {
            all.extend([section.address, section.load_address, section.size]);
        }
        let mut symbols: Vec<_> = self.layout.symbols.iter().collect();
        symbols.sort_unstable_by_key(|&(&id, _)| id);
        all.extend(symbols.iter().map(|(_, symbol)| symbol.value.value));
        all
    }

    fn execute(&mut self, phase: Phase) -> Result<()> {
        self.phase = phase;
        self.pass += 1;
        // The last passes move nothing: how full regions are stays for reports.
        if !phase.is_settled() {
            self.layout.regions.reset();
        }
        self.layout.gaps.clear();
        self.current_section = None;
        self.prefer_next = false;
        let mut dot = 0;
        for index in 0..self.layout.items.len() {
            match self.layout.items[index] {
                LayoutItem::Statement(number) => self.outer_statement(index, number, &mut dot)?,
                LayoutItem::Section(statement) => self.section(statement, &mut dot)?,
            }
        }
        Ok(())
    }

    // --- expressions ---------------------------------------------------------------------------

    fn scope(&self, place: Place, dot: u64) -> ExprScope<'_, 'a, 'l> {
        ExprScope {
            layouter: self,
            place,
            dot,
            assigned: None,
            uses_itself: Cell::new(false),
            named: Cell::new(Named::None),
        }
    }

    /// An expression's value; `None` if it is not known yet.
    fn value(&self, expr: &Expr, source: usize, place: Place, dot: u64) -> Result<Option<Value>> {
        self.known(source, eval::evaluate(expr, &self.scope(place, dot)))
    }

    fn known<T>(
        &self,
        source: usize,
        result: Result<T, klink_script::ScriptError>,
    ) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_not_known() && !self.phase.is_settled() => Ok(None),
            Err(error) => Err(script_error(self.sources, source, error.to_diagnostic())),
        }
    }

    /// The address that an expression outside of sections gives.
    fn address(&self, expr: &Expr, source: usize, dot: u64) -> Result<Option<u64>> {
        let value = self.value(expr, source, Place::Outside, dot)?;
        Ok(value.map(|value| value.address(&self.scope(Place::Outside, dot))))
    }

    fn error<T>(&self, source: usize, diagnostic: Diagnostic) -> Result<T> {
        Err(script_error(self.sources, source, diagnostic))
    }

    /// An alignment that the script gives, in bytes.
    fn alignment(&self, expr: Option<&Expr>, source: usize, dot: u64) -> Result<Option<u64>> {
        let Some(expr) = expr else { return Ok(None) };
        match self.address(expr, source, dot)? {
            None | Some(0) => Ok(None),
            Some(align) if align.is_power_of_two() => Ok(Some(align)),
            Some(_) => self.error(
                source,
                Diagnostic::new("an alignment must be a power of two", expr.span),
            ),
        }
    }

    pub(super) fn section_named(&self, name: &str) -> Option<OutputId> {
        self.by_name.get(name.as_bytes()).copied()
    }

    /// Whether the script has an output section of this name, used or not.
    pub(super) fn is_rule(&self, name: &str) -> bool {
        let mut rules = self.program.rules.outputs.iter();
        rules.any(|rule| rule.name == name.as_bytes())
    }

    pub(super) fn sources(&self) -> &'l Sources {
        self.sources
    }

    pub(super) fn items(&self) -> &[LayoutItem] {
        &self.layout.items
    }

    pub(super) fn statement(&self, id: StatementId) -> &OutputStatement {
        &self.layout.statements[id]
    }

    /// The statements of the script that make an output section.
    pub(super) fn rules_of(
        &self,
        output: OutputId,
    ) -> impl Iterator<Item = &'l crate::rules::OutputRule<'a>> {
        let statements = self.layout.statements.iter();
        let statements = statements.filter(move |statement| statement.output == Some(output));
        let rules = &self.program.rules.outputs;
        statements.filter_map(|statement| Some(&rules[statement.rule? as usize]))
    }

    /// What the script says of a statement's section.
    pub(super) fn spec(&self, id: StatementId) -> Option<&'l OutputSpec> {
        let rule = self.layout.statements[id].rule?;
        Some(&self.program.rules.outputs[rule as usize].spec)
    }

    /// The value of an expression that stands for itself, as in MEMORY and PHDRS.
    pub(super) fn constant(&self, expr: &Expr, source: usize) -> Result<u64> {
        let scope = self.scope(Place::Outside, 0);
        eval::evaluate_address(expr, &scope)
            .map_err(|error| script_error(self.sources, source, error.to_diagnostic()))
    }
}
