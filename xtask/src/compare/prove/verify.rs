//! Verifies a map of sections against everything in both files.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::super::elf::{
    Home, Relocation, SHF_ALLOC, SHF_EXECINSTR, SHF_GROUP, SHF_INFO_LINK, SHF_LINK_ORDER,
    SHF_MERGE, SHF_STRINGS, SHF_WRITE, SHT_NOBITS, STT_FILE, Section, SectionId, Symbol, SymbolId,
};
use super::machine::Resolved;
use super::map::Map;
use super::{Context, Proof, Spot, StubTarget, Target, hppa, is_content};

/// The flags that say what kind of memory a section becomes.
const MEMORY: u64 = SHF_WRITE | SHF_ALLOC | SHF_EXECINSTR;

/// Verifies `map`, and says what was proved and what was not.
pub(super) fn verify(context: &Context<'_>, map: &Map) -> Proof {
    let mut verifier = Verifier {
        context,
        map,
        proof: Proof::default(),
        stubs: BTreeSet::new(),
        seen: HashSet::new(),
    };
    let old = context.old.elf;
    for section in old.sections.iter().filter(|s| is_content(s)) {
        verifier.section(section);
    }
    verifier.uncovered();
    verifier.strays();
    verifier.symbols();
    verifier.loader();
    verifier.proof
}

struct Verifier<'a> {
    context: &'a Context<'a>,
    map: &'a Map,
    proof: Proof,
    /// Every stub that a branch was followed through.
    stubs: BTreeSet<Spot>,
    /// Relocations of the result that are accounted for: where, and which one
    /// of those at that place.
    seen: HashSet<(Spot, usize)>,
}

impl Verifier<'_> {
    fn problem(&mut self, text: String) {
        self.proof.problems.push(text);
    }

    fn name_old(&self, spot: Spot) -> String {
        let name = self.context.old.elf.section_name(spot.section);
        format!("{name}+{:#x}", spot.offset)
    }

    fn name_new(&self, spot: Spot) -> String {
        let elf = self.context.new.elf;
        let offset = u64::try_from(spot.offset).ok();
        let at = offset.and_then(|offset| elf.place(spot.section, offset));
        let name = elf.section_name(spot.section);
        match at {
            Some(at) => format!("{name}+{:#x} ({at})", spot.offset),
            None => format!("{name}+{:#x}", spot.offset),
        }
    }

    /// One section of the original: where it lies, its bytes and relocations.
    fn section(&mut self, old: &Section<'_>) {
        let Some(start) = self.map.section(old.id) else {
            if old.size > 0 {
                self.problem(format!("{}: not found in the result", old.name));
            }
            return;
        };
        let Some(new) = self.context.new.elf.section(start.section) else {
            return;
        };
        if old.size == 0 {
            return;
        }
        self.proof.sections += 1;
        if !self.fits(old, new, start) {
            return;
        }
        let mut allowed = HashMap::new();
        if let Some(of_section) = self.context.old.relocations.get(old.id.0 as usize) {
            for list in of_section.values() {
                self.relocations(old, list, start, &mut allowed);
            }
        }
        self.bytes(old, start, &allowed);
    }

    /// Whether the section lies whole inside `new`, in its kind of memory and
    /// aligned.
    fn fits(&mut self, old: &Section<'_>, new: &Section<'_>, start: Spot) -> bool {
        let end = u64::try_from(start.offset)
            .ok()
            .and_then(|s| s.checked_add(old.size));
        let place = self.name_new(start);
        if end.is_none_or(|end| end > new.size) {
            self.problem(format!("{}: {place} has no room for it", old.name));
            return false;
        }
        if old.flags & MEMORY != new.flags & MEMORY {
            let (from, to) = (old.flags & MEMORY, new.flags & MEMORY);
            self.problem(format!("{}: flags {from:#x}, at {place} {to:#x}", old.name));
        }
        if !may_become(&old.name, &new.name) {
            let (from, to) = (&old.name, &new.name);
            self.problem(format!(
                "{from}: is in {to}, whose name means something else"
            ));
        }
        self.header(old, new);
        // A common symbol's or bss' zeros may have become bytes, never the reverse.
        if new.sh_type != old.sh_type && old.sh_type != SHT_NOBITS {
            let (from, to) = (old.sh_type, new.sh_type);
            self.problem(format!("{}: type {from:#x}, at {place} {to:#x}", old.name));
            return false;
        }
        let align = old.align.max(1);
        let misplaced =
            !start.offset.unsigned_abs().is_multiple_of(align) || !new.align.is_multiple_of(align);
        if misplaced {
            self.problem(format!("{}: not aligned to {align} at {place}", old.name));
        }
        true
    }

    /// What else the header of the section's new home says.
    fn header(&mut self, old: &Section<'_>, new: &Section<'_>) {
        let mut field = |what: &str, of_old: u64, of_new: u64| {
            if of_old != of_new {
                let text = format!("{}: {what} {of_old:#x}, now {of_new:#x}", old.name);
                self.proof.problems.push(text);
            }
        };
        if old.name == new.name {
            // Whether it is in a group says how it was chosen, not what it is.
            field("flags", old.flags & !SHF_GROUP, new.flags & !SHF_GROUP);
            field("entry size", old.entsize, new.entsize);
        }
        // Merging equal strings or constants later is right only if all are such.
        for flag in [SHF_MERGE, SHF_STRINGS] {
            if new.has(flag) {
                field("entry size", old.entsize, new.entsize);
                field("flags", old.flags | flag, old.flags);
            }
        }
        let moved = |id: u32| match self.map.section(SectionId(id)) {
            Some(spot) => u64::from(spot.section.0),
            None => 0,
        };
        // An empty section that others refer to is nowhere: then any will do.
        if old.has(SHF_LINK_ORDER) && moved(old.link) != 0 {
            field("ordered after", moved(old.link), new.link.into());
        }
        match old.has(SHF_INFO_LINK) {
            true if moved(old.info) != 0 => field("about", moved(old.info), new.info.into()),
            true => {}
            false => field("sh_info", old.info.into(), new.info.into()),
        }
    }

    /// All relocations at one offset of an old section.
    fn relocations(
        &mut self,
        old: &Section<'_>,
        list: &[Relocation],
        start: Spot,
        allowed: &mut HashMap<u64, Resolved>,
    ) {
        let Some(offset) = list.first().map(|r| r.offset) else {
            return;
        };
        let site = Spot {
            section: start.section,
            offset: start.offset.saturating_add_unsigned(offset),
        };
        let here = self.context.new.relocations_at(site);
        let mut next = 0;
        for relocation in list {
            match here.get(next) {
                Some(new) if new.r_type == relocation.r_type => {
                    self.seen.insert((site, next));
                    next += 1;
                    self.kept(old, relocation, new);
                }
                _ => {
                    if let Some(field) = self.resolved(old, relocation, site) {
                        allowed.insert(offset, field);
                    }
                }
            }
        }
    }

    /// A relocation that is in both: the same target?
    fn kept(&mut self, section: &Section<'_>, old: &Relocation, new: &Relocation) {
        self.proof.kept += 1;
        let targets = (self.context.old.target(old), self.context.new.target(new));
        let same = match &targets {
            (Some(old_target), Some(new_target)) => {
                self.same_target(old.r_type, old_target, new_target)
            }
            _ => false,
        };
        if !same {
            let place = Spot {
                section: section.id,
                offset: old.offset.cast_signed(),
            };
            let place = self.name_old(place);
            let r_type = old.r_type;
            let (old, new) = targets;
            self.problem(format!(
                "{place}: relocation of type {r_type} refers to {}, now to {}",
                self.show_old(old.as_ref()),
                self.show_new(new.as_ref()),
            ));
        }
    }

    fn same_target(&self, r_type: u32, old: &Target, new: &Target) -> bool {
        match (old, new) {
            (
                Target::Inside { symbol, addend },
                Target::Inside {
                    symbol: new_symbol,
                    addend: new_addend,
                },
            ) => {
                let fixed = |addend| self.context.machine.fixed_addend(r_type, addend);
                let Some(moved) = self.map.spot(*symbol) else {
                    return false;
                };
                moved.section == new_symbol.section
                    && moved.offset.checked_add(*addend)
                        == new_symbol.offset.checked_add(*new_addend)
                    && fixed(*addend) == fixed(*new_addend)
            }
            _ => old == new,
        }
    }

    /// A relocation that is gone: does its field reach the same place? Returns
    /// the field, whose bits may differ from the original's.
    fn resolved(
        &mut self,
        section: &Section<'_>,
        old: &Relocation,
        site: Spot,
    ) -> Option<Resolved> {
        let here = Spot {
            section: section.id,
            offset: old.offset.cast_signed(),
        };
        let bytes = self.context.new.bytes_from(site);
        let Some(field) = self.context.machine.resolved(old.r_type, bytes) else {
            let place = self.name_old(here);
            let r_type = old.r_type;
            self.problem(format!("{place}: relocation of type {r_type} is gone"));
            return None;
        };
        let target = self.context.old.target(old);
        let reached = Spot {
            section: site.section,
            offset: site.offset.wrapping_add(field.distance),
        };
        if field.is_branch {
            let distance = field.distance.unsigned_abs();
            self.proof.furthest = self.proof.furthest.max(distance);
        }
        if target.as_ref().and_then(|t| self.moved(t)) == Some(reached) {
            match field.is_branch {
                true => self.proof.direct += 1,
                false => self.proof.resolved += 1,
            }
            return Some(field);
        }
        let stub = self.context.new.stub_at(self.context.machine, reached);
        let through = stub.as_ref().is_some_and(|stub| match (stub, &target) {
            (StubTarget::Place(place), Some(target)) => self.moved(target) == Some(*place),
            // A branch's addend and a stub's are one sum: no rounding is shared.
            (StubTarget::Symbol(new), Some(target)) => self.same_target(old.r_type, target, new),
            _ => false,
        });
        if through && field.may_use_stub {
            self.proof.through_stub += 1;
            self.stub(reached);
            return Some(field);
        }
        let (place, wanted) = (self.name_old(here), self.show_old(target.as_ref()));
        let why = match (&stub, through) {
            (Some(_), true) => "a stub, which this instruction must not use".to_owned(),
            (Some(StubTarget::Place(place)), _) => format!("a stub to {}", self.name_new(*place)),
            (Some(StubTarget::Symbol(t)), _) => format!("a stub to {}", self.show_new(Some(t))),
            (None, _) => "no stub".to_owned(),
        };
        let reached = self.name_new(reached);
        self.problem(format!(
            "{place}: reaches {reached} ({why}) instead of {wanted}"
        ));
        Some(field)
    }

    /// Where a target inside the file is in the result.
    fn moved(&self, target: &Target) -> Option<Spot> {
        match target {
            Target::Inside { symbol, addend } => {
                let moved = self.map.spot(*symbol)?;
                Some(Spot {
                    offset: moved.offset.checked_add(*addend)?,
                    ..moved
                })
            }
            Target::Outside { .. } => None,
        }
    }

    /// Notes that a stub is used, with its relocations.
    fn stub(&mut self, spot: Spot) {
        if !self.stubs.insert(spot) {
            return;
        }
        let name = self.context.new.elf.section_name(spot.section).to_owned();
        *self.proof.stubs.entry(name).or_insert(0) += 1;
        for offset in (0..hppa::STUB_SIZE.cast_signed()).step_by(4) {
            let place = Spot {
                offset: spot.offset + offset,
                ..spot
            };
            let count = self.context.new.relocations_at(place).len();
            self.seen.extend((0..count).map(|index| (place, index)));
        }
    }

    /// The bytes of a section, but for the fields of resolved relocations.
    fn bytes(&mut self, old: &Section<'_>, start: Spot, allowed: &HashMap<u64, Resolved>) {
        let new = self.context.new.bytes_from(start);
        let is_build_id = old.name == ".note.gnu.build-id";
        let mut masks = vec![0u8; old.data.len()];
        for (&offset, field) in allowed {
            let at = usize::try_from(offset).unwrap_or(usize::MAX);
            let here = masks.get_mut(at..).unwrap_or_default();
            for (mask, bits) in here.iter_mut().zip(&field.mask[..field.width]) {
                *mask |= bits;
            }
        }
        let differs = |&(index, mask): &(usize, &u8)| {
            // The note's header counts, the identifier does not.
            let compared = !is_build_id || index < 16;
            let of_new = new.get(index).copied().unwrap_or(0);
            compared && (old.data[index] ^ of_new) & !mask != 0
        };
        let mut differing = masks.iter().enumerate().filter(differs).map(|(i, _)| i);
        let first = differing.next();
        let more = differing.count();
        match first {
            None => self.proof.bytes += old.data.len() as u64,
            Some(index) => {
                let place = self.name_new(start);
                self.problem(format!(
                    "{}+{index:#x}: differs from its copy at {place} ({more} more bytes)",
                    old.name
                ));
            }
        }
    }

    /// What no section of the original covers: padding and stubs, nothing else.
    fn uncovered(&mut self) {
        let mut covered: BTreeMap<SectionId, Vec<(u64, u64, String)>> = BTreeMap::new();
        for old in self.context.old.elf.sections.iter().filter(|s| s.size > 0) {
            if let Some(spot) = self.map.section(old.id) {
                let start = spot.offset.unsigned_abs();
                let range = (start, start.saturating_add(old.size), old.name.clone());
                covered.entry(spot.section).or_default().push(range);
            }
        }
        for spot in &self.stubs {
            let start = spot.offset.unsigned_abs();
            let range = (start, start + hppa::STUB_SIZE, "a stub".to_owned());
            covered.entry(spot.section).or_default().push(range);
        }
        let sections: Vec<_> = self.context.new.elf.sections.iter().collect();
        for section in sections.into_iter().filter(|s| is_content(s)) {
            let mut ranges = covered.remove(&section.id).unwrap_or_default();
            ranges.sort();
            ranges.push((section.size, section.size, "its end".to_owned()));
            let (mut end, mut by) = (0, "its start".to_owned());
            for (start, next_end, name) in ranges {
                if start < end {
                    let section = &section.name;
                    self.problem(format!("{section}+{start:#x}: {name} overlaps {by}"));
                } else {
                    self.gap(section, end, start);
                }
                if next_end >= end {
                    (end, by) = (next_end, name);
                }
            }
        }
    }

    fn gap(&mut self, section: &Section<'_>, start: u64, end: u64) {
        let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        let bytes = range.and_then(|(start, end)| section.data.get(start..end));
        let is_padding = bytes.is_none_or(|bytes| match section.has(SHF_EXECINSTR) {
            true => self.context.machine.is_padding(bytes),
            false => bytes.iter().all(|&byte| byte == 0),
        });
        // Alignment never needs more; anything longer was lost or invented.
        let is_short = end - start < section.align.max(16);
        if start < end && !(is_padding && is_short) {
            let name = &section.name;
            self.problem(format!(
                "{name}+{start:#x}..{end:#x}: neither from the original nor padding nor a used stub"
            ));
        }
    }

    /// Relocations of the result that stand for nothing in the original.
    fn strays(&mut self) {
        let elf = self.context.new.elf;
        for (index, of_section) in (0..).zip(&self.context.new.relocations) {
            for (&offset, list) in of_section {
                let spot = Spot {
                    section: SectionId(index),
                    offset: offset.cast_signed(),
                };
                let stray = (0..list.len()).filter(|&n| !self.seen.contains(&(spot, n)));
                for number in stray.collect::<Vec<_>>() {
                    let r_type = list[number].r_type;
                    let place = self.name_new(spot);
                    let problem = format!("{place}: a relocation of type {r_type} out of nothing");
                    self.problem(problem);
                }
            }
        }
        if elf
            .relocations
            .iter()
            .any(|t| t.target.0 as usize >= elf.sections.len())
        {
            self.problem("relocations of a section that does not exist".to_owned());
        }
    }

    /// Each symbol of the result stands for one of the original, or for a stub.
    fn symbols(&mut self) {
        let (old, new) = (self.context.old.elf, self.context.new.elf);
        let mut waiting: HashMap<Stand<'_>, Vec<&Symbol>> = HashMap::new();
        let named = |s: &&Symbol| !s.name.is_empty() && !s.is_section();
        for symbol in old.symbols.iter().filter(named) {
            let home = self.moved_home(symbol);
            waiting
                .entry(Stand::of(symbol, home))
                .or_default()
                .push(symbol);
        }
        for symbol in new.symbols.iter().filter(named) {
            let home = match symbol.home {
                Home::Section(section) => Moved::Spot(Spot {
                    section,
                    offset: symbol.value.cast_signed(),
                }),
                other => Moved::Other(other, symbol.value),
            };
            let twin = waiting.get_mut(&Stand::of(symbol, home)).and_then(Vec::pop);
            let is_stub = matches!(home, Moved::Spot(spot) if self.stubs.contains(&spot));
            if twin.is_none() && !is_stub {
                let described = super::super::symbols::describe(new, symbol);
                self.problem(format!(
                    "symbol {}: {described}: not in the original",
                    symbol.name
                ));
            }
        }
        let used: HashSet<_> = used_symbols(&old.relocations)
            .filter_map(|id| old.symbol(id))
            .map(|symbol| symbol.name.as_str())
            .collect();
        let mut gone: Vec<_> = waiting.into_values().flatten().collect();
        gone.sort_by_key(|symbol| (&symbol.name, symbol.value));
        self.proof.symbols_dropped = gone.len();
        for symbol in gone {
            let unused = || !used.contains(symbol.name.as_str());
            let needless = symbol.kind == STT_FILE
                || (symbol.is_local() && symbol.name.starts_with(".L"))
                // A branch to it that became a stub's relocation is compared there.
                || (symbol.home == Home::Undefined && unused());
            if !needless {
                let described = super::super::symbols::describe(old, symbol);
                self.problem(format!("symbol {}: {described}: lost", symbol.name));
            }
        }
    }

    fn moved_home(&self, symbol: &Symbol) -> Moved {
        match symbol.home {
            Home::Section(section) => {
                let spot = Spot {
                    section,
                    offset: symbol.value.cast_signed(),
                };
                self.map.spot(spot).map_or(Moved::Lost, Moved::Spot)
            }
            other => Moved::Other(other, symbol.value),
        }
    }

    /// What the kernel's loader asks besides.
    fn loader(&mut self) {
        let elf = self.context.new.elf;
        let mut types = BTreeSet::new();
        for table in &elf.relocations {
            let allocated = elf.section(table.target).is_some_and(|s| s.has(SHF_ALLOC));
            if allocated {
                types.extend(table.entries.iter().map(|r| r.r_type));
            }
        }
        for r_type in types {
            if !self.context.machine.is_loadable(r_type) {
                self.problem(format!(
                    "the kernel's loader has no relocation type {r_type}"
                ));
            }
        }
        let mut names = HashSet::new();
        // sysfs makes a file of each that is not empty (`add_sect_attrs`).
        let shown = |s: &&Section<'_>| s.has(SHF_ALLOC) && s.size > 0;
        for section in elf.sections.iter().filter(shown) {
            if !names.insert(&section.name) {
                self.problem(format!("a second allocated section {}", section.name));
            }
        }
    }

    fn show_old(&self, target: Option<&Target>) -> String {
        match target {
            Some(Target::Inside { symbol, addend }) => {
                format!("{} + {addend:#x}", self.name_old(*symbol))
            }
            other => show_outside(other),
        }
    }

    fn show_new(&self, target: Option<&Target>) -> String {
        match target {
            Some(Target::Inside { symbol, addend }) => {
                format!("{} + {addend:#x}", self.name_new(*symbol))
            }
            other => show_outside(other),
        }
    }
}

fn show_outside(target: Option<&Target>) -> String {
    match target {
        Some(Target::Outside { name, addend, .. }) => format!("{name} + {addend:#x}"),
        _ => "nothing that can be read".to_owned(),
    }
}

/// Whether a section of this name may be merged into one of that name: the
/// kernel finds tables, init code and protected data by section name. The names
/// with two dots (`.data..percpu`, `.data..ro_after_init`) are such, the others
/// are the compiler's one-section-for-each names.
fn may_become(old: &str, new: &str) -> bool {
    let suffix = old.strip_prefix(new);
    old == new || suffix.is_some_and(|rest| rest.starts_with('.') && !old.contains(".."))
}

/// A symbol's place in the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Moved {
    Spot(Spot),
    Other(Home, u64),
    /// In a section that is not in the result.
    Lost,
}

/// All that a symbol says, in terms of the result.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Stand<'a> {
    name: &'a str,
    size: u64,
    bind: u8,
    kind: u8,
    other: u8,
    moved: Moved,
}

impl<'a> Stand<'a> {
    fn of(symbol: &'a Symbol, moved: Moved) -> Self {
        Stand {
            name: &symbol.name,
            size: symbol.size,
            bind: symbol.bind,
            kind: symbol.kind,
            other: symbol.other,
            moved,
        }
    }
}

fn used_symbols(
    tables: &[super::super::elf::RelocationTable],
) -> impl Iterator<Item = SymbolId> + '_ {
    let entries = tables.iter().flat_map(|table| &table.entries);
    entries.map(|relocation| relocation.symbol)
}
