//! Script assignment: every input section gets its output section, by the first pattern of the
//! script that matches it, or as an orphan.

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use rayon::prelude::*;

use crate::error::{LinkError, Result};
use crate::id::{IdVec, OutputId, SectionId, StatementId};
use crate::image::COMMON;
use crate::input::{InputSection, SectionKind};
use crate::module;
use crate::options::{Options, OrphanHandling, SortSection, Strip, Unique};
use crate::orphans::{OrphanPlacer, Placed};
use crate::output::{OutputSection, Outputs, Placements, Traits};
use crate::pattern_index::{Match, PatternIndex};
use crate::resolve::Resolved;
use crate::rules::{Constraint, InputRule, OutputRule, Part, Rules, SectionRule};
use crate::script::{Action, Item, Program};
use crate::sort_inputs::sorted;
use klink_script::{Expr, Pattern, SectionType};

/// What assignment gives: the output sections with their inputs, and where each input went.
pub(crate) struct Assigned<'a> {
    pub outputs: Outputs<'a>,
    pub placements: Placements,
    /// Whether an input section is in no output section.
    pub has_discards: bool,
    /// Whether section groups stay groups.
    pub keep_groups: bool,
    /// The output section statements, those made for orphans included.
    pub statements: IdVec<StatementId, OutputStatement>,
    /// What the layout executes, in order.
    pub items: Vec<LayoutItem>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// An output section statement of the script, or one made for an orphan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputStatement {
    /// Its section, if anything made one.
    pub output: Option<OutputId>,
    /// Its rule in the script; `None` if it was made for an orphan.
    pub rule: Option<u32>,
    /// For an orphan's: the statement whose regions and segments it shares.
    pub after: Option<StatementId>,
}

/// What stands at the outermost level of a link's script, orphans included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayoutItem {
    Section(StatementId),
    /// A statement of the script, by number.
    Statement(u32),
}

/// What an orphan's output section is called: relocations that a loader carries out are kept together
/// (ld/ldelf.c, `ldelf_place_orphan`).
fn orphan_name<'a>(section: &crate::input::InputSection<'a>, options: &Options) -> &'a [u8] {
    let is_loaded = section.flags & object::elf::SHF_ALLOC.0 != 0;
    if options.relocatable() || !is_loaded {
        return section.name;
    }
    match section.section_type {
        kind if kind == object::elf::SHT_RELA.0 => b".rela.dyn",
        kind if kind == object::elf::SHT_REL.0 => b".rel.dyn",
        _ => section.name,
    }
}

/// Assigns every section of every object.
///
/// # Errors
/// [`LinkError::BadSection`] for orphans under `--orphan-handling=error`.
pub(crate) fn assign<'a>(
    resolved: &Resolved<'a>,
    program: &Program<'a>,
    options: &Options,
    keep_groups: bool,
    arch: &'static klink_arch::Arch,
) -> Result<Assigned<'a>> {
    let rules = &program.rules;
    let apart = Apart::new(options, keep_groups, arch);
    let all: Vec<SectionId> = resolved.section_ids().collect();
    let candidates: Vec<SectionId> = all
        .par_iter()
        .copied()
        .filter(|&id| is_candidate(resolved, options, id))
        .collect();
    let (matches, dead) = match_sections(resolved, rules, &candidates, &apart);
    let mut assignment = Assignment {
        resolved,
        placer: OrphanPlacer::new(options.module.is_some()),
        placements: Placements::new(resolved.section_count()),
        keep_groups,
        sort_section: options.sort_section,
        about_discarded: HashSet::default(),
        with_orphans: HashSet::default(),
    };
    let (script_placed, rule_statements) = assignment.place_by_script(program, &matches, &dead);
    assignment.drop_what_is_about_discarded(&candidates, &script_placed);
    let mut common_output = None;
    let mut warnings = Vec::new();
    let mut errors = Vec::new();
    let contents = all.par_iter();
    let contents = contents.filter(|&&id| resolved.section(id).kind == SectionKind::Content);
    let mut has_discards = candidates.len() < contents.count();
    for &id in &candidates {
        if script_placed[id] {
            has_discards |= assignment.placements.output(id).is_none();
            continue;
        }
        let section = resolved.section(id);
        let (object, _) = resolved.section_place(id);
        let name = if options.module.is_some() {
            module::output_name(section)
        } else {
            orphan_name(section, options)
        };
        // Room for common symbols goes where other such room went (ld/ldlang.c, `lang_place_orphans`).
        if resolved.is_made(id) && section.name == COMMON {
            let output = *common_output
                .get_or_insert_with(|| assignment.common_output(rules, &rule_statements, &dead));
            assignment.add(id, output);
            continue;
        }
        match options.orphans {
            OrphanHandling::Place => {}
            OrphanHandling::Discard => {
                has_discards = true;
                continue;
            }
            OrphanHandling::Warn => warnings.push(format!(
                "orphan section `{}' from `{}' being placed in section `{}'",
                String::from_utf8_lossy(section.name),
                resolved.objects[object].name,
                String::from_utf8_lossy(name)
            )),
            OrphanHandling::Error => {
                errors.push(LinkError::BadSection {
                    file: resolved.objects[object].name.clone(),
                    section: String::from_utf8_lossy(section.name).into_owned(),
                    what: "no pattern of the linker script places it (--orphan-handling=error)"
                        .to_owned(),
                });
                continue;
            }
        }
        if assignment.is_about_discarded(id) {
            has_discards = true;
            continue;
        }
        let output = assignment.placer.place(
            name,
            section,
            apart.is_apart(section, true),
            resolved.is_made(id),
        );
        if assignment.with_orphans.insert(output) {
            assignment.placer.sections[output].begin_part();
        }
        assignment.add(id, output);
    }
    LinkError::all(errors)?;
    let placed = assignment.placer.finish();
    let items = order_items(program, &rule_statements, &placed);
    let statements = output_statements(&rule_statements, &placed);
    Ok(Assigned {
        outputs: Outputs {
            sections: placed.sections,
            order: placed.order,
        },
        placements: assignment.placements,
        has_discards,
        keep_groups,
        statements,
        items,
        warnings,
    })
}

fn output_statements(
    rule_statements: &[Option<StatementId>],
    placed: &Placed<'_>,
) -> IdVec<StatementId, OutputStatement> {
    let mut statements = IdVec::default();
    for statement in placed.statements.iter() {
        statements.push(OutputStatement {
            output: statement.output,
            rule: None,
            after: None,
        });
    }
    for (rule, statement) in rule_statements.iter().enumerate() {
        if let &Some(statement) = statement {
            statements[statement].rule = Some(rule as u32);
        }
    }
    for insertion in &placed.insertions {
        statements[insertion.statement].after = insertion.after;
    }
    statements
}

/// The script's outermost level with the orphans' statements put in (ld/ldlang.c,
/// `insert_os_after`).
fn order_items(
    program: &Program<'_>,
    rule_statements: &[Option<StatementId>],
    placed: &Placed<'_>,
) -> Vec<LayoutItem> {
    let script = program.items.iter().filter_map(|item| match *item {
        Item::Section(rule) => rule_statements[rule as usize].map(LayoutItem::Section),
        Item::Statement(number) => Some(LayoutItem::Statement(number)),
    });
    let mut items = ItemList::new(script, placed.statements.len());
    for insertion in &placed.insertions {
        let after = match insertion.after {
            None => Spot::Front,
            Some(after) => items.behind(after),
        };
        let at = match insertion.behind_assignments {
            true => behind_assignments(program, placed, &items, after),
            false => after,
        };
        items.insert(at, insertion.statement);
    }
    items.into_vec()
}

/// A place between items of an [`ItemList`].
#[derive(Clone, Copy)]
enum Spot {
    Front,
    /// Behind the item of that number.
    Behind(usize),
}

/// Items that others can be inserted between at no cost: there may be an orphan for each function.
struct ItemList {
    items: Vec<LayoutItem>,
    /// For each item, the number of the next one.
    next: Vec<Option<usize>>,
    first: Option<usize>,
    last: Option<usize>,
    /// The numbers of output section statements.
    numbers: IdVec<StatementId, Option<usize>>,
}

impl ItemList {
    fn new(items: impl Iterator<Item = LayoutItem>, statements: usize) -> Self {
        let mut list = Self {
            items: Vec::new(),
            next: Vec::new(),
            first: None,
            last: None,
            numbers: IdVec::filled(None, statements),
        };
        for item in items {
            let end = list.end();
            list.add(end, item);
        }
        list
    }

    fn end(&self) -> Spot {
        self.last.map_or(Spot::Front, Spot::Behind)
    }

    /// Behind a statement; at the end, if it is none of the items.
    fn behind(&self, statement: StatementId) -> Spot {
        self.numbers[statement].map_or_else(|| self.end(), Spot::Behind)
    }

    fn insert(&mut self, at: Spot, statement: StatementId) {
        self.add(at, LayoutItem::Section(statement));
    }

    fn add(&mut self, at: Spot, item: LayoutItem) {
        let number = self.items.len();
        self.items.push(item);
        let next = match at {
            Spot::Front => self.first.replace(number),
            Spot::Behind(before) => self.next[before].replace(number),
        };
        self.next.push(next);
        if next.is_none() {
            self.last = Some(number);
        }
        if let LayoutItem::Section(statement) = item {
            self.numbers[statement].get_or_insert(number);
        }
    }

    /// The numbers of the items from there on.
    fn from(&self, at: Spot) -> impl Iterator<Item = usize> + '_ {
        let first = match at {
            Spot::Front => self.first,
            Spot::Behind(before) => self.next[before],
        };
        std::iter::successors(first, |&number| self.next[number])
    }

    fn into_vec(self) -> Vec<LayoutItem> {
        let order = self.from(Spot::Front);
        order.map(|number| self.items[number]).collect()
    }
}

/// Where to put an orphan that is to follow the item before `at`: behind the statements there, but in
/// front of an assignment to the location counter that is for the next section. At the front one such
/// assignment stays before it: it sets the first address (ld/ldlang.c, `insert_os_after`).
fn behind_assignments(
    program: &Program<'_>,
    placed: &Placed<'_>,
    items: &ItemList,
    at: Spot,
) -> Spot {
    let mut ignore_first = matches!(at, Spot::Front);
    let mut assigned = None;
    let mut before = at;
    for number in items.from(at) {
        match items.items[number] {
            LayoutItem::Statement(statement) => {
                let sets_dot = matches!(
                    &program.statements[statement as usize].action,
                    Action::Assign { assignment, .. } if assignment.target.value == "."
                );
                if sets_dot && assigned.is_none() {
                    if !ignore_first {
                        assigned = Some(before);
                    }
                    ignore_first = false;
                }
            }
            LayoutItem::Section(next) => {
                let section = placed.statements[next]
                    .output
                    .map(|output| &placed.sections[output]);
                let counts = section.is_none_or(|section| {
                    section.sections().next().is_none() || section.traits.contains(Traits::ALLOC)
                });
                return assigned.filter(|_| counts).unwrap_or(before);
            }
        }
        before = Spot::Behind(number);
    }
    before
}

fn is_candidate(resolved: &Resolved<'_>, options: &Options, id: SectionId) -> bool {
    let section = resolved.section(id);
    // Most that are none have no contents: to look at their names would take longer than this.
    if section.kind != SectionKind::Content || resolved.is_discarded(id) {
        return false;
    }
    let traits = Traits::of(section);
    // SHF_EXCLUDE counts in relocatable output for debugging sections only (ld/ldlang.c,
    // lang_gc_sections).
    let excluding = if options.relocatable() {
        Traits::DEBUGGING | Traits::EXCLUDE
    } else {
        Traits::EXCLUDE
    };
    let stripped = options.strip != Strip::None && traits.contains(Traits::DEBUGGING);
    !stripped && !traits.contains(excluding)
}

/// Which input sections never share an output section.
struct Apart {
    all_orphans: bool,
    patterns: Vec<Pattern>,
    groups: bool,
}

impl Apart {
    fn new(options: &Options, keep_groups: bool, arch: &klink_arch::Arch) -> Self {
        let mut patterns: Vec<Pattern> = match &options.unique {
            Unique::Matching(patterns) => patterns
                .iter()
                .map(|pattern| Pattern::new(pattern))
                .collect(),
            _ => Vec::new(),
        };
        // The module link makes one section of them; that is what it is for.
        if options.module.is_none() && options.relocatable() {
            patterns.extend(arch.unique_sections.iter().map(|name| Pattern::new(name)));
        }
        Self {
            all_orphans: matches!(options.unique, Unique::AllOrphans),
            patterns,
            groups: keep_groups,
        }
    }

    fn is_apart(&self, section: &InputSection<'_>, orphan: bool) -> bool {
        self.groups && section.group.is_some()
            || orphan && self.all_orphans
            || self
                .patterns
                .iter()
                .any(|pattern| pattern.matches(section.name))
    }
}

/// For each output rule and part, the sections that matched, with the number of the pattern.
type Buckets = HashMap<(u32, u32), Vec<(SectionId, u32)>, RandomState>;

/// Sections that one thread finds rules for at a time: most have names that it has seen by then.
const MATCHED_AT_ONCE: usize = 4096;

/// Finds the first live rule for each section. A rule with ONLY_IF_RO or ONLY_IF_RW whose sections
/// do not agree is dead, and its sections go to later rules.
fn match_sections(
    resolved: &Resolved<'_>,
    rules: &Rules<'_>,
    candidates: &[SectionId],
    apart: &Apart,
) -> (Buckets, Vec<bool>) {
    let index = PatternIndex::new(rules);
    let mut dead = vec![false; rules.outputs.len()];
    loop {
        let find = |ids: &[SectionId]| {
            let mut by_name: HashMap<&[u8], Vec<Match>, RandomState> = HashMap::default();
            let mut found = Vec::with_capacity(ids.len());
            for &id in ids {
                let section = resolved.section(id);
                let is_apart = apart.is_apart(section, false);
                let named = by_name
                    .entry(section.name)
                    .or_insert_with(|| index.matches(section.name));
                found.push(named.iter().copied().find(|&found| {
                    !dead[found.rule as usize]
                        && (!is_apart || rules.outputs[found.rule as usize].discard)
                        && matches_file(resolved, rules, found, id)
                }));
            }
            found
        };
        let found: Vec<Vec<Option<Match>>> =
            candidates.par_chunks(MATCHED_AT_ONCE).map(find).collect();
        let mut buckets = Buckets::default();
        for (&id, found) in candidates.iter().zip(found.iter().flatten()) {
            if let Some(found) = found {
                let bucket = buckets.entry((found.rule, found.part)).or_default();
                bucket.push((id, found.pattern));
            }
        }
        match first_broken(resolved, rules, &buckets, &dead) {
            Some(broken) => dead[broken] = true,
            None => return (buckets, dead),
        }
    }
}

fn matches_file(resolved: &Resolved<'_>, rules: &Rules<'_>, found: Match, id: SectionId) -> bool {
    let rule = rules.find(found);
    rule.is_some_and(|(inputs, section)| {
        matches_pattern(resolved, inputs, section, id)
            && inputs.takes_flags(resolved.section(id).flags)
    })
}

/// Whether a section whose name matches a pattern is in a file that the pattern takes.
pub(crate) fn matches_pattern(
    resolved: &Resolved<'_>,
    inputs: &InputRule,
    section: &SectionRule,
    id: SectionId,
) -> bool {
    if inputs.file.takes_all() && inputs.exclude.is_empty() && section.exclude.is_empty() {
        return true;
    }
    let (object, _) = resolved.section_place(id);
    let (archive, file) = resolved.objects[object].archive_and_file();
    inputs.file.matches(archive, file)
        && !inputs
            .exclude
            .iter()
            .chain(&section.exclude)
            .any(|exclude| exclude.excludes(archive, file))
}

/// The first rule whose constraint its sections break.
fn first_broken(
    resolved: &Resolved<'_>,
    rules: &Rules<'_>,
    buckets: &Buckets,
    dead: &[bool],
) -> Option<usize> {
    rules.outputs.iter().enumerate().position(|(number, rule)| {
        let Some(constraint) = rule.constraint.filter(|_| !dead[number]) else {
            return false;
        };
        let mut sections = (0..rule.parts.len())
            .filter_map(|part| buckets.get(&(number as u32, part as u32)))
            .flatten();
        let all_read_only =
            sections.all(|&(id, _)| Traits::of(resolved.section(id)).contains(Traits::READ_ONLY));
        all_read_only != (constraint == Constraint::OnlyIfReadOnly)
    })
}

/// The section that one is about, the one which that is about, and so on.
fn links_of(resolved: &Resolved<'_>, id: SectionId) -> impl Iterator<Item = SectionId> {
    let first = resolved.linked_to(id);
    let count = resolved.section_count();
    std::iter::successors(first, |&id| resolved.linked_to(id)).take(count)
}

struct Assignment<'a, 'r> {
    resolved: &'r Resolved<'a>,
    placer: OrphanPlacer<'a>,
    placements: Placements,
    keep_groups: bool,
    /// `--sort-section`.
    sort_section: Option<SortSection>,
    /// What is about sections that the script discards.
    about_discarded: HashSet<SectionId, RandomState>,
    /// The sections that took orphans.
    with_orphans: HashSet<OutputId, RandomState>,
}

impl<'a> Assignment<'a, '_> {
    /// Puts matched sections where the script says. Gives for each section whether it was matched,
    /// and for each rule its statement.
    fn place_by_script(
        &mut self,
        program: &Program<'a>,
        buckets: &Buckets,
        dead: &[bool],
    ) -> (IdVec<SectionId, bool>, Vec<Option<StatementId>>) {
        let mut placed = IdVec::filled(false, self.resolved.section_count());
        let rules = &program.rules.outputs;
        let mut statements: Vec<Option<StatementId>> = vec![None; rules.len()];
        for item in &program.items {
            if let Item::Section(number) = *item
                && let rule = &rules[number as usize]
                && !rule.discard
            {
                let is_constrained = rule.constraint.is_some();
                let statement = self.placer.add_script_statement(rule.name, is_constrained);
                statements[number as usize] = Some(statement);
            }
        }
        for item in &program.items {
            match *item {
                Item::Statement(number) => {
                    self.make_mentioned(program.statements[number as usize].action.expr());
                }
                Item::Section(number) if !dead[number as usize] => {
                    let statement = statements[number as usize];
                    self.fill_statement(program, number, statement, (buckets, &mut placed));
                }
                Item::Section(_) => {}
            }
        }
        (placed, statements)
    }

    /// Puts what an output section statement takes into its section.
    fn fill_statement(
        &mut self,
        program: &Program<'a>,
        rule_number: u32,
        statement: Option<StatementId>,
        (buckets, placed): (&Buckets, &mut IdVec<SectionId, bool>),
    ) {
        let rule = &program.rules.outputs[rule_number as usize];
        for (part_number, part) in rule.parts.iter().enumerate() {
            match (part, statement) {
                (Part::Inputs(inputs), statement) => {
                    let Some(bucket) = buckets.get(&(rule_number, part_number as u32)) else {
                        continue;
                    };
                    let mut begun = None;
                    for id in sorted(self.resolved, inputs, bucket, self.sort_section) {
                        placed[id] = true;
                        if let Some(statement) = statement {
                            let output = self.output_of(rule, statement);
                            if begun.replace(output).is_none() {
                                self.placer.sections[output].begin_part();
                            }
                            self.add(id, output);
                            self.raise_align(rule, output);
                            self.placer.sections[output].keep |= inputs.keep;
                        }
                    }
                }
                (Part::Statement { number, emits_data }, Some(statement)) => {
                    let expr = program.statements[*number as usize].action.expr();
                    if *emits_data {
                        self.make_mentioned(expr);
                    }
                    let output = self.output_of(rule, statement);
                    self.raise_align(rule, output);
                    self.placer.sections[output].add_statement(*number, *emits_data);
                    if !*emits_data {
                        self.make_mentioned(expr);
                    }
                }
                (Part::Statement { .. }, None) => {}
            }
        }
    }

    /// The section of a statement. Those that its address mentions are made behind it.
    fn output_of(&mut self, rule: &OutputRule<'a>, statement: StatementId) -> OutputId {
        if let Some(output) = self.placer.statements[statement].output {
            return output;
        }
        let output = self.placer.output_of(statement);
        let section = &mut self.placer.sections[output];
        section.read_only = matches!(
            rule.spec.section_type,
            Some(
                SectionType::ReadOnly
                    | SectionType::Typed {
                        read_only: true,
                        ..
                    }
            )
        );
        for expr in [&rule.spec.address, &rule.spec.load_address] {
            self.make_mentioned(expr.as_ref());
        }
        output
    }

    /// Makes the sections whose addresses an expression asks for (ld/ldlang.c, `exp_init_os`): they
    /// come before others that the script makes later.
    fn make_mentioned(&mut self, expr: Option<&Expr>) {
        for name in expr.map(Expr::placed_sections).unwrap_or_default() {
            if let Some(statement) = self.placer.find_statement(name.as_bytes()) {
                self.placer.output_of(statement);
            }
        }
    }

    /// Where common symbols go that no pattern takes: where the first pattern for them is, or to
    /// `.bss`.
    fn common_output(
        &mut self,
        rules: &Rules<'a>,
        statements: &[Option<StatementId>],
        dead: &[bool],
    ) -> OutputId {
        let is_common = |rule: &SectionRule| rule.name.as_str().as_bytes() == COMMON;
        let takes = |part: &Part| match part {
            Part::Inputs(inputs) => inputs.sections.iter().any(is_common),
            Part::Statement { .. } => false,
        };
        let mut live = rules.outputs.iter().zip(statements).zip(dead);
        let found = live.find_map(|((rule, statement), dead)| {
            let statement = (*statement).filter(|_| !dead)?;
            rule.parts.iter().any(takes).then_some(statement)
        });
        let statement = found.unwrap_or_else(|| self.placer.statement_at_end(b".bss"));
        self.placer.output_of(statement)
    }

    fn raise_align(&mut self, rule: &OutputRule<'a>, output: OutputId) {
        let section: &mut OutputSection<'a> = &mut self.placer.sections[output];
        section.align = section.align.max(rule.align.unwrap_or(1));
    }

    /// Drops what is about sections that the script discards (ld/ldelf.c,
    /// `ldelf_before_place_orphans`).
    fn drop_what_is_about_discarded(
        &mut self,
        candidates: &[SectionId],
        script_placed: &IdVec<SectionId, bool>,
    ) {
        let (resolved, placements) = (self.resolved, &self.placements);
        let is_dropped = |id: SectionId| {
            script_placed[id] && placements.output(id).is_none() || resolved.is_discarded(id)
        };
        let candidates = candidates.par_iter().copied();
        let about_dropped: Vec<SectionId> = candidates
            .filter(|&id| links_of(resolved, id).any(is_dropped))
            .collect();
        for id in about_dropped {
            if let Some(output) = self.placements.output(id) {
                self.placer.sections[output].remove(id);
                self.placements.remove(id);
            }
            self.about_discarded.insert(id);
        }
    }

    fn is_about_discarded(&self, id: SectionId) -> bool {
        self.about_discarded.contains(&id)
    }

    fn add(&mut self, id: SectionId, output: OutputId) {
        let section = self.resolved.section(id);
        let (object, _) = self.resolved.section_place(id);
        let linked_to = self.resolved.linked_to(id);
        let group = section
            .group
            .filter(|_| self.keep_groups)
            .map(|group| (object, group));
        self.placer.sections[output].add(id, section, linked_to, group);
        self.placements.place(id, output);
    }
}
