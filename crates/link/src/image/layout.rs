//! Addresses: the script is executed from top to bottom, again and again until nothing moves.
//!
//! A pass does what `lang_size_sections_1` of ld/ldlang.c does, and the last one, which also checks
//! assertions and ties symbols to sections, what `lang_do_assignments_1` does.

use std::cell::Cell;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_arch::Arch;
use klink_script::eval::{self, Base, Place, Value};
use klink_script::{
    AssignKind, AssignOp, Assignment, BinaryOp, DataSize, Diagnostic, Expr, ExprKind, SectionType,
    Span,
};

use super::data_segment::DataSegment;
use super::merged::Merges;
use super::regions::{DEFAULT, RegionId, Regions};
use super::scope::{ExprScope, reference};
use super::segments::{self, Segments};
use super::stubs::{self, Islands, StubTarget};
use super::unwind::Unwind;
use crate::assign::{Assigned, LayoutItem, OutputStatement};
use crate::error::{LinkError, Result};
use crate::id::{GlobalId, IdVec, ObjectId, OutputId, SectionId, StatementId};
use crate::input::InputSection;
use crate::options::Options;
use crate::output::{Outputs, Piece, Placements, Traits};
use crate::resolve::{Definition, Resolved};
use crate::rules::OutputSpec;
use crate::script::{Action, Program, ScriptStatement, Sources, script_error};

/// Passes after which sections that still move are an error.
const MAX_PASSES: u32 = 50;

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// To find out which sections are empty and go.
    Mark,
    /// To give addresses.
    Allocate,
    /// To report errors and check assertions, once nothing moves any more.
    Final,
}

/// A symbol that the script assigned.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScriptSymbol {
    pub value: Value,
    /// The section that the output ties it to, if its value is an address.
    pub near: Option<OutputId>,
    /// The pass that assigned it last.
    pub pass: u32,
    /// The symbol whose type it takes, if its value is that symbol's.
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

/// A fill: an index into [`ImageLayout::fills`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FillId(u32);

/// A laid out image. Nothing later changes it.
pub(crate) struct ImageLayout<'a> {
    pub(super) outputs: Outputs<'a>,
    pub(super) placements: Placements,
    pub(super) merges: Merges<'a>,
    pub(super) unwind: Unwind<'a>,
    pub(super) islands: Islands,
    pub(super) symbols: HashMap<GlobalId, ScriptSymbol, RandomState>,
    /// For each statement of the script that puts a number into a section: where, and the number.
    pub(super) data: Vec<Option<DataPlace>>,
    pub(super) gaps: Vec<Gap>,
    pub(super) fills: Vec<Vec<u8>>,
    pub(super) segments: Segments,
    pub(super) has_discards: bool,
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

/// The state of the passes.
pub(super) struct Layouter<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    program: &'l Program<'a>,
    sources: &'l Sources,
    pub options: &'l Options,
    pub arch: &'static Arch,
    items: Vec<LayoutItem>,
    statements: IdVec<StatementId, OutputStatement>,
    pub outputs: Outputs<'a>,
    pub placements: Placements,
    pub merges: Merges<'a>,
    unwind: Unwind<'a>,
    pub symbols: HashMap<GlobalId, ScriptSymbol, RandomState>,
    data: Vec<Option<DataPlace>>,
    gaps: Vec<Gap>,
    fills: Vec<Vec<u8>>,
    /// The fill of each rule and FILL statement, evaluated once.
    rule_fills: HashMap<u32, FillId>,
    statement_fills: HashMap<u32, FillId>,
    by_name: HashMap<&'a [u8], OutputId, RandomState>,
    pub regions: Regions,
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
    pub islands: Islands,
    phdrs: segments::Phdrs,
    warnings: Vec<String>,
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
        } = input;
        let count = assigned.outputs.sections.len();
        let mut by_name = HashMap::default();
        for &id in &assigned.outputs.order {
            by_name
                .entry(assigned.outputs.sections[id].name)
                .or_insert(id);
        }
        let max_page_size = options.max_page_size.unwrap_or(arch.max_page_size);
        let mut layouter = Self {
            resolved,
            program,
            sources,
            options,
            arch,
            after_end: after_end(program, &assigned.items),
            items: assigned.items,
            placed_in: IdVec::filled((None, None), assigned.statements.len()),
            statements: assigned.statements,
            outputs: assigned.outputs,
            placements: assigned.placements,
            merges,
            unwind,
            symbols: HashMap::default(),
            data: vec![None; program.statements.len()],
            gaps: Vec::new(),
            fills: Vec::new(),
            rule_fills: HashMap::new(),
            statement_fills: HashMap::new(),
            by_name,
            regions: Regions::new(),
            processed: IdVec::filled(false, count),
            update_dot: IdVec::filled(false, count),
            ignored: IdVec::filled(false, count),
            data_segment: DataSegment::new(options.relro.unwrap_or(arch.relro)),
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
            islands: Islands::default(),
            phdrs: segments::Phdrs::default(),
            warnings: assigned.warnings,
        };
        layouter.add_regions()?;
        layouter.place_in_regions()?;
        layouter.raise_alignments()?;
        Ok(layouter)
    }

    /// Executes the script until nothing moves.
    pub(super) fn run(mut self, has_discards: bool) -> Result<ImageLayout<'a>> {
        self.execute(Phase::Mark)?;
        self.remove_empty_sections();
        self.phdrs = segments::Phdrs::from_script(&self)?;
        self.header_size = self
            .phdrs
            .first_guess(&self.outputs, self.options, self.arch);
        self.settle_again()?;
        stubs::place(&mut self)?;
        let mut segments = self.settle()?;
        self.execute(Phase::Final)?;
        let relro = self.data_segment.relro_range();
        segments.place_in_file(self.file_input(relro))?;
        self.check_regions()?;
        Ok(ImageLayout {
            outputs: self.outputs,
            placements: self.placements,
            merges: self.merges,
            unwind: self.unwind,
            islands: self.islands,
            symbols: self.symbols,
            data: self.data,
            gaps: self.gaps,
            fills: self.fills,
            segments,
            has_discards,
            warnings: self.warnings,
        })
    }

    /// Allocates addresses until a pass changes nothing.
    fn settle(&mut self) -> Result<Segments> {
        let mut before = Vec::new();
        for _ in 0..MAX_PASSES {
            self.execute(Phase::Allocate)?;
            self.data_segment.adjust(&self.outputs);
            let relro = self.data_segment.relro_range();
            let phdrs = std::mem::take(&mut self.phdrs);
            let segments = phdrs.map(self.file_input(relro));
            self.phdrs = phdrs;
            let segments = segments?;
            let now = self.snapshot();
            if self.header_size == segments.header_size && before == now {
                return Ok(segments);
            }
            self.header_size = segments.header_size;
            before = now;
        }
        Err(LinkError::Unsettled { passes: MAX_PASSES })
    }

    /// Lays out again, since islands came or went.
    pub(super) fn settle_again(&mut self) -> Result<()> {
        self.settle().map(|_| ())
    }

    /// The address that a stub's target has now.
    pub(super) fn address_of(&self, target: StubTarget) -> u64 {
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

    /// The address of a symbol that the script or no section defines.
    pub(super) fn script_address(&self, object: ObjectId, symbol: u32) -> Option<u64> {
        let global = self.resolved.global_of(object, symbol)?;
        if let Some(symbol) = self.symbols.get(&global) {
            return Some(symbol.value.address(&self.scope(Place::Outside, 0)));
        }
        match self.resolved.globals[global].definition {
            Definition::Object { object, symbol, .. } => {
                Some(self.resolved.objects[object].symbols[symbol as usize].value)
            }
            _ => None,
        }
    }

    /// Size and alignment of an input section of code.
    pub(super) fn extent_of(&self, input: SectionId) -> (u64, u64) {
        self.extent(input, None)
    }

    fn file_input(&mut self, relro: Option<(u64, u64)>) -> segments::FileInput<'_, 'a> {
        segments::FileInput {
            outputs: &mut self.outputs,
            options: self.options,
            arch: self.arch,
            max_page_size: self.max_page_size,
            headers_wanted: self.headers_wanted.get(),
            relro,
        }
    }

    /// What must not change in the last pass.
    fn snapshot(&self) -> Vec<u64> {
        let mut all = Vec::new();
        for section in self.outputs.sections.iter() {
            all.extend([section.address, section.load_address, section.size]);
        }
        let mut symbols: Vec<_> = self.symbols.iter().collect();
        symbols.sort_unstable_by_key(|&(&id, _)| id);
        all.extend(symbols.iter().map(|(_, symbol)| symbol.value.value));
        all
    }

    fn execute(&mut self, phase: Phase) -> Result<()> {
        self.phase = phase;
        self.pass += 1;
        self.regions.reset();
        self.gaps.clear();
        self.current_section = None;
        self.prefer_next = false;
        let mut dot = 0;
        for index in 0..self.items.len() {
            match self.items[index] {
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
            Err(error) if error.is_not_known() && self.phase != Phase::Final => Ok(None),
            Err(error) => Err(LinkError::Script(
                error.render(self.sources.source(source), false),
            )),
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
        &self.items
    }

    pub(super) fn statement(&self, id: StatementId) -> &OutputStatement {
        &self.statements[id]
    }

    /// What the script says of a statement's section.
    pub(super) fn spec(&self, id: StatementId) -> Option<&'l OutputSpec> {
        let rule = self.statements[id].rule?;
        Some(&self.program.rules.outputs[rule as usize].spec)
    }

    /// The value of an expression that stands for itself, as in MEMORY and PHDRS.
    pub(super) fn constant(&self, expr: &Expr, source: usize) -> Result<u64> {
        let scope = self.scope(Place::Outside, 0);
        eval::evaluate_address(expr, &scope)
            .map_err(|error| LinkError::Script(error.render(self.sources.source(source), false)))
    }

    // --- before the first pass -----------------------------------------------------------------

    fn add_regions(&mut self) -> Result<()> {
        let sources = self.sources;
        for located in sources.memory() {
            let (source, region) = (located.source, located.value);
            let origin = self.constant(&region.origin, source)?;
            let length = self.constant(&region.length, source)?;
            self.regions.add(region, origin, length);
        }
        for (source, alias, region) in sources.region_aliases() {
            if !self.regions.alias(&alias.value, &region.value) {
                return self.unknown_region(source, region);
            }
        }
        Ok(())
    }

    fn unknown_region<T>(&self, source: usize, name: &klink_script::Name) -> Result<T> {
        let diagnostic = Diagnostic::new(
            format!("memory region `{}' is not declared", name.value),
            name.span,
        );
        self.error(source, diagnostic.help("MEMORY declares regions"))
    }

    fn place_in_regions(&mut self) -> Result<()> {
        for id in self.statements.ids() {
            let Some(spec) = self.spec(id) else { continue };
            let mut find = [None; 2];
            let names = [&spec.placement.region, &spec.placement.load_region];
            for (found, name) in find.iter_mut().zip(names) {
                if let Some(name) = name {
                    *found = match self.regions.find(&name.value) {
                        Some(region) => Some(region),
                        None => return self.unknown_region(spec.source, name),
                    };
                }
            }
            self.placed_in[id] = (find[0], find[1]);
        }
        // An orphan goes where the section does that it follows.
        for id in self.statements.ids() {
            let mut from = id;
            while let (None, Some(after)) =
                (self.statements[from].rule, self.statements[from].after)
            {
                from = after;
            }
            self.placed_in[id] = self.placed_in[from];
        }
        Ok(())
    }

    /// `ALIGN(…)` of a section counts from the start (ld/ldlang.c, `init_os`).
    fn raise_alignments(&mut self) -> Result<()> {
        for id in self.statements.ids() {
            let (Some(spec), Some(output)) = (self.spec(id), self.statements[id].output) else {
                continue;
            };
            if let Some(align) = self.alignment(spec.align.as_ref(), spec.source, 0)? {
                let section = &mut self.outputs.sections[output];
                section.align = section.align.max(align);
            }
        }
        Ok(())
    }

    /// Sections that came out empty are not in the output (ld/ldlang.c,
    /// `strip_excluded_output_sections`).
    fn remove_empty_sections(&mut self) {
        let keeps_inputs = self.options.emit_relocations;
        let mut removed = IdVec::filled(false, self.outputs.sections.len());
        for (id, section) in self.outputs.sections.iter_ids() {
            let has_input = section
                .sections()
                .any(|input| keeps_inputs && !self.is_gone(input));
            if section.size == 0 && !section.keep && !has_input {
                removed[id] = true;
                self.ignored[id] = !self.update_dot[id];
            }
        }
        let mut kept = Vec::with_capacity(self.outputs.order.len());
        for &id in &self.outputs.order {
            let section = &mut self.outputs.sections[id];
            section.removed = removed[id];
            section.kept_before = kept.len();
            if !section.removed {
                kept.push(id);
            }
        }
        self.outputs.order = kept;
    }

    // --- a pass --------------------------------------------------------------------------------

    fn outer_statement(&mut self, index: usize, number: u32, dot: &mut u64) -> Result<()> {
        let program = self.program;
        let statement = &program.statements[number as usize];
        match &statement.action {
            Action::Assign { assignment, global } => {
                if assignment.target.value == "." {
                    self.prefer_next = true;
                    let value = self.assigned(statement, assignment, Place::Outside, *dot)?;
                    if let Some(value) = value {
                        *dot = value.address(&self.scope(Place::Outside, *dot));
                        self.regions.get_mut(DEFAULT).current = *dot;
                    }
                } else if let Some(global) = *global {
                    let near = match self.phase {
                        Phase::Final if assignment.value.depends_on_place() => {
                            self.section_for_dot(index)
                        }
                        _ => None,
                    };
                    self.define(statement, assignment, global, Place::Outside, *dot, near)?;
                }
                Ok(())
            }
            Action::Assert(assertion) => self.check(statement, assertion, Place::Outside, *dot),
            Action::Data { .. } | Action::Fill(_) => Ok(()),
        }
    }

    fn assigned(
        &self,
        statement: &ScriptStatement,
        assignment: &Assignment,
        place: Place,
        dot: u64,
    ) -> Result<Option<Value>> {
        let scope = self.scope(place, dot);
        self.known(
            statement.source,
            eval::evaluate_assignment(assignment, &scope),
        )
    }

    fn define(
        &mut self,
        statement: &ScriptStatement,
        assignment: &Assignment,
        global: GlobalId,
        place: Place,
        dot: u64,
        near: Option<OutputId>,
    ) -> Result<()> {
        let Some(value) = self.assigned(statement, assignment, place, dot)? else {
            return Ok(());
        };
        let copy_of = match (&assignment.value.kind, assignment.op) {
            (ExprKind::Symbol(name), AssignOp::Set) => self.resolved.global(name.as_bytes()),
            _ => None,
        };
        let near = near.filter(|_| value.base == Base::Absolute);
        let pass = self.pass;
        self.symbols.insert(
            global,
            ScriptSymbol {
                value,
                near,
                pass,
                copy_of,
                hidden: matches!(
                    assignment.kind,
                    AssignKind::Hidden | AssignKind::ProvideHidden
                ),
            },
        );
        Ok(())
    }

    fn check(
        &mut self,
        statement: &ScriptStatement,
        assertion: &klink_script::Assertion,
        place: Place,
        dot: u64,
    ) -> Result<()> {
        let value = self.value(&assertion.condition, statement.source, place, dot)?;
        let fails = value.is_some_and(|value| value.value == 0);
        if fails && self.phase == Phase::Final {
            let diagnostic = Diagnostic::new(
                format!("assertion failed: {}", assertion.message.value),
                assertion.condition.span,
            );
            return self.error(statement.source, diagnostic);
        }
        Ok(())
    }

    /// The section that a symbol belongs to which is assigned an address outside of sections
    /// (ld/ldlang.c, `section_for_dot`): the one before, or, where `.` was assigned since, the next.
    fn section_for_dot(&self, index: usize) -> Option<OutputId> {
        let fits = |id: &OutputId| {
            let traits = self.outputs.sections[*id].traits;
            traits.contains(Traits::ALLOC) && !traits.contains(Traits::THREAD_LOCAL)
        };
        let order = &self.outputs.order;
        let back_from = |id: OutputId| {
            let at = order.iter().position(|&other| other == id)?;
            order[..=at].iter().rev().copied().find(fits)
        };
        if self.current_section.is_none() || self.prefer_next {
            let mut next =
                self.items[index..]
                    .iter()
                    .enumerate()
                    .filter_map(|(at, item)| match item {
                        LayoutItem::Section(id) => Some((index + at, self.statements[*id].output)),
                        LayoutItem::Statement(_) => None,
                    });
            let next = next.find(|&(at, output)| {
                self.after_end[at]
                    || output.is_some_and(|output| !self.outputs.sections[output].removed)
            });
            let is_after_end = next.is_some_and(|(at, _)| self.after_end[at]);
            if self.current_section.is_none() || !is_after_end {
                return match next.and_then(|(_, output)| output) {
                    Some(output) => back_from(output),
                    None => order.iter().rev().copied().find(fits),
                };
            }
        }
        let current = self.current_section?;
        let before = self.outputs.position_near(current);
        order[..before]
            .iter()
            .rev()
            .copied()
            .find(fits)
            .or_else(|| order.iter().copied().find(fits))
    }

    fn section(&mut self, id: StatementId, dot: &mut u64) -> Result<()> {
        let statement = self.statements[id];
        let spec = self.spec(id);
        let mut has_address = false;
        if let Some(spec) = spec
            && let Some(address) = &spec.address
        {
            has_address = true;
            match self.address(address, spec.source, *dot)? {
                Some(address) => *dot = address,
                None if self.phase == Phase::Mark => {}
                None => {
                    // A later pass knows it, or the last one tells why not.
                }
            }
        }
        let Some(output) = statement.output else {
            return Ok(());
        };
        if !has_address
            && let Some(address) = self
                .options
                .section_start(&String::from_utf8_lossy(self.outputs.sections[output].name))
        {
            has_address = true;
            *dot = address;
        }
        if spec.is_none()
            && !self.outputs.sections[output]
                .traits
                .intersects(Traits::ALLOC | Traits::LOAD)
        {
            // Orphans without room in memory have address 0 (ld/ldlang.c, `lang_insert_orphan`).
            has_address = true;
            *dot = 0;
        }
        // A second statement for the same section has nothing to add.
        if std::mem::replace(&mut self.seen[output], self.pass) == self.pass {
            return Ok(());
        }
        if self.phase == Phase::Final
            && !self.ignored[output]
            && self.outputs.sections[output].traits.contains(Traits::ALLOC)
        {
            self.current_section = Some(output);
            self.prefer_next = false;
        }
        let (region, load_region) = self.placed_in[id];
        let traits = self.outputs.sections[output].traits;
        let region = region.unwrap_or_else(|| match has_address {
            true => DEFAULT,
            false => self.regions.default_for(traits),
        });
        let own_align = match spec {
            Some(spec) => self.alignment(spec.align.as_ref(), spec.source, *dot)?,
            None => None,
        };
        let (start, align) = match has_address {
            true => (*dot, own_align.unwrap_or(1)),
            false => (
                self.regions.get(region).current,
                self.outputs.sections[output].align,
            ),
        };
        let address = eval::align_up(start, align);
        let moved = address.wrapping_sub(start);
        self.outputs.sections[output].address = address;
        let size = self.contents(id, output, address)?;
        self.processed[output] = true;
        if !self.ignored[output] {
            *dot = address;
            self.outputs.sections[output].size = size;
        }
        self.load_address(id, output, (region, load_region), (moved, own_align, align))?;
        if self.ignored[output] {
            return Ok(());
        }
        let section = &self.outputs.sections[output];
        *dot = dot.wrapping_add(section.memory_size());
        if section.traits.intersects(Traits::ALLOC | Traits::LOAD) {
            self.regions.get_mut(region).current = *dot;
            if let Some(load_region) = load_region
                && load_region != region
                && (section.traits.contains(Traits::LOAD)
                    || spec.is_some_and(|spec| spec.align_with_input))
            {
                self.regions.get_mut(load_region).current =
                    section.load_address.wrapping_add(section.memory_size());
            }
        }
        Ok(())
    }

    /// Where the section is loaded: as the script says, or as far from its address as the one before
    /// it in its region.
    fn load_address(
        &mut self,
        id: StatementId,
        output: OutputId,
        (region, load_region): (RegionId, Option<RegionId>),
        (moved, own_align, align): (u64, Option<u64>, u64),
    ) -> Result<()> {
        let spec = self.spec(id);
        let section = &self.outputs.sections[output];
        let (address, size) = (section.address, section.size);
        let is_alloc = section.traits.contains(Traits::ALLOC);
        let mut load = address;
        if let Some(spec) = spec
            && let Some(expr) = &spec.load_address
        {
            // `.` is the section's own address here.
            if let Some(value) = self.address(expr, spec.source, address)? {
                load = value;
            }
        } else if let Some(load_region) = load_region {
            load = self.regions.get(load_region).current;
            if spec.is_some_and(|spec| spec.align_with_input) {
                load = load.wrapping_add(moved);
            } else if load_region == region {
                load = eval::align_up(load, align);
            } else {
                load = eval::align_up(load, own_align.unwrap_or(1));
            }
        } else if let Some(last) = self.regions.get(region).last
            && is_alloc
        {
            let last = &self.outputs.sections[last];
            let moved_back =
                address < last.address && size != 0 && address.wrapping_add(size) <= last.address;
            if !moved_back {
                load = address
                    .wrapping_add(last.load_address)
                    .wrapping_sub(last.address);
                load = eval::align_up(load, align);
            }
        }
        self.outputs.sections[output].load_address = load;
        let section = &self.outputs.sections[output];
        let last = self
            .regions
            .get(region)
            .last
            .map(|last| self.outputs.sections[last].address);
        let counts = !section.removed
            && is_alloc
            && (size != 0
                || match last {
                    None => address != load,
                    Some(last) => address >= last,
                });
        if counts && load_region.is_none() {
            self.regions.get_mut(region).last = Some(output);
        }
        Ok(())
    }

    /// Gives the section's inputs their offsets and executes its statements. Gives its size.
    fn contents(&mut self, id: StatementId, output: OutputId, address: u64) -> Result<u64> {
        let spec = self.spec(id);
        let subalign = match spec {
            Some(spec) => self.alignment(spec.subalign.as_ref(), spec.source, address)?,
            None => None,
        };
        let mut fill = self.rule_fill(id)?;
        let mut end = address;
        let mut size = 0;
        let pieces = std::mem::take(&mut self.outputs.sections[output].pieces);
        for piece in &pieces {
            match *piece {
                Piece::Section(input) => {
                    if self.ignored[output] || self.is_gone(input) {
                        self.placements.set_offset(input, end.wrapping_sub(address));
                        continue;
                    }
                    let (input_size, align) = self.extent(input, subalign);
                    let section = &mut self.outputs.sections[output];
                    section.align = section.align.max(align);
                    let start = eval::align_up(end, align);
                    self.gap(output, address, (end, start), fill);
                    self.placements
                        .set_offset(input, start.wrapping_sub(address));
                    end = start
                        .checked_add(input_size)
                        .ok_or_else(|| too_large(&self.outputs.sections[output]))?;
                    size = end.wrapping_sub(address);
                }
                Piece::Island(number) => {
                    let start = eval::align_up(end, self.islands.align());
                    self.gap(output, address, (end, start), fill);
                    self.islands.islands[number as usize].offset = start.wrapping_sub(address);
                    end = start.wrapping_add(self.islands.size(number));
                    size = end.wrapping_sub(address);
                }
                Piece::Statement(number) => {
                    let before = end;
                    self.inner_statement(number, output, address, &mut end, &mut fill)?;
                    if end != before {
                        size = end.wrapping_sub(address);
                    }
                }
            }
        }
        self.outputs.sections[output].pieces = pieces;
        Ok(size)
    }

    /// Whether nothing is left of an input section: it then needs no alignment either.
    fn is_gone(&self, input: SectionId) -> bool {
        self.merges.is_gone(input)
            || self.unwind.is_gone(input)
            || self.resolved.section(input).flags & object::elf::SHF_EXCLUDE.0 != 0
    }

    /// Size and alignment of an input section in the output.
    fn extent(&self, input: SectionId, subalign: Option<u64>) -> (u64, u64) {
        let section: &InputSection<'_> = self.resolved.section(input);
        let merged = self.merges.size(input);
        let edited = merged.or_else(|| self.unwind.size(input));
        let size = edited.unwrap_or(section.size);
        (size, subalign.unwrap_or(section.align))
    }

    fn gap(
        &mut self,
        output: OutputId,
        address: u64,
        (from, to): (u64, u64),
        fill: Option<FillId>,
    ) {
        if let Some(fill) = fill
            && from < to
        {
            self.gaps.push(Gap {
                output,
                start: from.wrapping_sub(address),
                end: to.wrapping_sub(address),
                fill,
            });
        }
    }

    fn inner_statement(
        &mut self,
        number: u32,
        output: OutputId,
        address: u64,
        dot: &mut u64,
        fill: &mut Option<FillId>,
    ) -> Result<()> {
        let program = self.program;
        let statement = &program.statements[number as usize];
        let place = Place::Inside(reference(output));
        match &statement.action {
            Action::Data { size, value } => {
                let number_value = self.value(value, statement.source, Place::Outside, *dot)?;
                let value = number_value.map_or(0, |value| value.address(&self.scope(place, *dot)));
                self.data[number as usize] = Some(DataPlace {
                    offset: dot.wrapping_sub(address),
                    value,
                    size: *size,
                });
                *dot = dot.wrapping_add(size.bytes());
                Ok(())
            }
            Action::Fill(expr) => {
                *fill = Some(self.statement_fill(number, expr, statement.source)?);
                Ok(())
            }
            Action::Assert(assertion) => self.check(statement, assertion, place, *dot),
            Action::Assign { assignment, global } if assignment.target.value != "." => {
                self.update_dot[output] = true;
                match *global {
                    Some(global) => self.define(statement, assignment, global, place, *dot, None),
                    None => Ok(()),
                }
            }
            Action::Assign { assignment, .. } => {
                let value = self.assigned(statement, assignment, place, *dot)?;
                if self.phase == Phase::Mark && !is_zero_move(assignment, value) {
                    self.outputs.sections[output].keep = true;
                }
                let Some(value) = value else { return Ok(()) };
                if self.ignored[output] {
                    return Ok(());
                }
                let new = value.address(&self.scope(place, *dot));
                if new < *dot {
                    return self.backwards(statement.source, assignment.value.span, *dot, new);
                }
                if new != *dot {
                    self.gap(output, address, (*dot, new), *fill);
                    let section = &mut self.outputs.sections[output];
                    if !section.never_allocated {
                        section.traits |= Traits::ALLOC;
                    }
                    *dot = new;
                }
                Ok(())
            }
        }
    }

    fn backwards<T>(&self, source: usize, span: Span, from: u64, to: u64) -> Result<T> {
        let diagnostic = Diagnostic::new("cannot move the location counter backwards", span)
            .label(format!("from {from:#x} to {to:#x}"));
        self.error(source, diagnostic)
    }

    fn rule_fill(&mut self, id: StatementId) -> Result<Option<FillId>> {
        let Some(rule) = self.statements[id].rule else {
            return Ok(None);
        };
        let spec = &self.program.rules.outputs[rule as usize].spec;
        let Some(expr) = &spec.placement.fill else {
            return Ok(None);
        };
        if let Some(&known) = self.rule_fills.get(&rule) {
            return Ok(Some(known));
        }
        let fill = self.add_fill(expr, spec.source)?;
        self.rule_fills.insert(rule, fill);
        Ok(Some(fill))
    }

    fn statement_fill(&mut self, number: u32, expr: &Expr, source: usize) -> Result<FillId> {
        if let Some(&known) = self.statement_fills.get(&number) {
            return Ok(known);
        }
        let fill = self.add_fill(expr, source)?;
        self.statement_fills.insert(number, fill);
        Ok(fill)
    }

    fn add_fill(&mut self, expr: &Expr, source: usize) -> Result<FillId> {
        let scope = self.scope(Place::Outside, 0);
        let bytes = eval::fill(expr, &scope)
            .map_err(|error| LinkError::Script(error.render(self.sources.source(source), false)))?;
        self.fills.push(bytes);
        Ok(FillId(self.fills.len() as u32 - 1))
    }

    /// Refuses sections that do not fit into their regions, or belong to none where the script
    /// declares regions.
    fn check_regions(&self) -> Result<()> {
        if self.regions.is_empty() {
            return Ok(());
        }
        let mut errors = Vec::new();
        for item in &self.items {
            let LayoutItem::Section(id) = *item else {
                continue;
            };
            let Some(output) = self.statements[id].output else {
                continue;
            };
            let section = &self.outputs.sections[output];
            if section.removed || !section.traits.contains(Traits::ALLOC) {
                continue;
            }
            let named = self.placed_in[id].0;
            let region = named.unwrap_or_else(|| self.regions.default_for(section.traits));
            let region = self.regions.get(region);
            let last = section.address.wrapping_add(section.size);
            let over = last
                .saturating_sub(region.origin)
                .saturating_sub(region.length);
            if over > 0 || section.address < region.origin {
                errors.push(LinkError::RegionOverflow {
                    section: String::from_utf8_lossy(section.name).into_owned(),
                    region: region.name.clone(),
                    over,
                });
            }
        }
        LinkError::all(errors)
    }
}

/// For each item, whether a symbol called `end` but for leading underscores is assigned before it:
/// behind it, symbols belong to the section in front.
fn after_end(program: &Program<'_>, items: &[LayoutItem]) -> Vec<bool> {
    let mut found = false;
    let mut after = Vec::with_capacity(items.len());
    for item in items {
        after.push(found);
        if let LayoutItem::Statement(number) = item
            && let Action::Assign { assignment, .. } = &program.statements[*number as usize].action
        {
            found |= assignment.target.value.trim_start_matches('_') == "end";
        }
    }
    after
}

/// Whether an assignment to `.` in an otherwise empty section does not keep it (ld/ldexp.c,
/// `exp_fold_tree_1`): `. = 0`, `. = . + 0` and `. = ALIGN(. != 0 ? x : 1)` while they move nothing.
fn is_zero_move(assignment: &Assignment, value: Option<Value>) -> bool {
    let is_int =
        |expr: &Expr, wanted: u64| matches!(&expr.kind, ExprKind::Int(int) if int.value == wanted);
    let is_dot = |expr: &Expr| matches!(expr.kind, ExprKind::Dot);
    let trivial = match &assignment.value.kind {
        ExprKind::Int(int) => int.value == 0,
        // A symbol whose value is zero.
        ExprKind::Symbol(_) => true,
        ExprKind::Binary(BinaryOp::Add, left, right) => is_dot(left) && is_int(right, 0),
        ExprKind::Call(klink_script::Function::Align, argument) => match &argument.kind {
            ExprKind::Conditional(parts) => {
                is_int(&parts.otherwise, 1)
                    && matches!(&parts.condition.kind, ExprKind::Binary(BinaryOp::Ne, left, right) if is_dot(left) && is_int(right, 0))
            }
            _ => false,
        },
        _ => false,
    };
    trivial && value.is_some_and(|value| value.value == 0)
}

fn too_large(section: &crate::output::OutputSection<'_>) -> LinkError {
    LinkError::BadSection {
        file: "output".to_owned(),
        section: String::from_utf8_lossy(section.name).into_owned(),
        what: "its inputs are larger together than an address can tell".to_owned(),
    }
}

/// Applies the types in parentheses to the sections (ld/ldlang.c, `lang_add_section`).
pub(super) fn apply_section_types(
    program: &Program<'_>,
    assigned: &mut Assigned<'_>,
    sources: &Sources,
) -> Result<()> {
    for statement in assigned.statements.iter() {
        let (Some(rule), Some(output)) = (statement.rule, statement.output) else {
            continue;
        };
        let spec = &program.rules.outputs[rule as usize].spec;
        let section = &mut assigned.outputs.sections[output];
        match &spec.section_type {
            None => {}
            Some(SectionType::NoLoad) => {
                section.traits -= Traits::LOAD | Traits::CONTENTS;
                section.section_type = object::elf::SHT_NOBITS.0;
            }
            Some(
                SectionType::Dsect | SectionType::Copy | SectionType::Info | SectionType::Overlay,
            ) => {
                section.traits -= Traits::ALLOC;
                section.never_allocated = true;
            }
            Some(SectionType::ReadOnly) => section.traits |= Traits::READ_ONLY,
            Some(SectionType::Typed { sh_type, read_only }) => {
                if *read_only {
                    section.traits |= Traits::READ_ONLY;
                }
                section.section_type = type_number(sh_type, spec.source, sources)?;
            }
        }
    }
    Ok(())
}

fn type_number(expr: &Expr, source: usize, sources: &Sources) -> Result<u32> {
    if let ExprKind::Symbol(name) = &expr.kind
        && let Some(number) = klink_script::section_type_number(name)
    {
        return Ok(number);
    }
    let value = eval::evaluate(expr, &eval::Constants)
        .map_err(|error| LinkError::Script(error.render(sources.source(source), false)))?;
    Ok(value.value as u32)
}
