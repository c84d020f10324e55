//! Finds where each section of the original went, by guesses that support each
//! other: unique symbols first, then whatever relocations of sections already
//! found refer to, then order among equal names, then contents.

use std::collections::{HashMap, HashSet, VecDeque};

use super::super::elf::{Elf, Home, SHF_EXECINSTR, STT_FILE, Section, SectionId, Symbol};
use super::{Context, Spot, StubTarget, Target, is_content};

/// For each section of the original, where its first byte is in the result.
#[derive(Debug)]
pub(super) struct Map {
    to: Vec<Option<Spot>>,
}

impl Map {
    /// Where this section's first byte is.
    pub(super) fn section(&self, id: SectionId) -> Option<Spot> {
        self.to.get(id.0 as usize).copied().flatten()
    }

    /// Where this place is.
    pub(super) fn spot(&self, old: Spot) -> Option<Spot> {
        let start = self.section(old.section)?;
        Some(Spot {
            section: start.section,
            offset: start.offset.checked_add(old.offset)?,
        })
    }
}

/// The map under construction.
struct Finder<'a> {
    context: &'a Context<'a>,
    to: Vec<Option<Spot>>,
    /// Sections whose relocations have not been followed yet.
    queue: VecDeque<SectionId>,
}

/// Finds the map; sections that are nowhere to be found are left out of it.
pub(super) fn find(context: &Context<'_>) -> Map {
    let mut finder = Finder {
        context,
        to: vec![None; context.old.elf.sections.len()],
        queue: VecDeque::new(),
    };
    finder.by_unique_section();
    finder.by_unique_symbol();
    finder.follow();
    finder.by_order_of_symbols();
    finder.follow();
    finder.by_contents();
    Map { to: finder.to }
}

/// A symbol's name, type and size: what it keeps when sections are merged.
fn key(symbol: &Symbol) -> Option<(&str, u8, u64)> {
    let named = !symbol.name.is_empty() && !symbol.is_section() && symbol.kind != STT_FILE;
    let inside = matches!(symbol.home, Home::Section(_));
    (named && inside).then_some((symbol.name.as_str(), symbol.kind, symbol.size))
}

fn by_key<'a>(elf: &'a Elf<'_>) -> HashMap<(&'a str, u8, u64), Vec<&'a Symbol>> {
    let mut map: HashMap<_, Vec<_>> = HashMap::new();
    for symbol in &elf.symbols {
        if let Some(key) = key(symbol) {
            map.entry(key).or_default().push(symbol);
        }
    }
    map
}

impl<'a> Finder<'a> {
    fn propose(&mut self, old: SectionId, new: Spot) {
        let content = self.context.old.elf.section(old).is_some_and(is_content);
        let Some(slot) = self.to.get_mut(old.0 as usize) else {
            return;
        };
        if content && new.offset >= 0 && slot.is_none() {
            *slot = Some(new);
            self.queue.push_back(old);
        }
    }

    /// Sections of data that keep their name and size are where they were.
    fn by_unique_section(&mut self) {
        let unique = |elf: &'a Elf<'a>| {
            let mut by_name: HashMap<&str, Vec<&Section<'_>>> = HashMap::new();
            for section in elf.sections.iter().filter(|s| is_content(s) && s.size > 0) {
                by_name.entry(&section.name).or_default().push(section);
            }
            by_name
        };
        let of_new = unique(self.context.new.elf);
        for (name, sections) in unique(self.context.old.elf) {
            let ([old], Some([new])) = (sections.as_slice(), of_new.get(name).map(Vec::as_slice))
            else {
                continue;
            };
            if old.size == new.size && !old.has(SHF_EXECINSTR) && old.sh_type == new.sh_type {
                let start = Spot {
                    section: new.id,
                    offset: 0,
                };
                self.propose(old.id, start);
            }
        }
    }

    fn by_unique_symbol(&mut self) {
        let of_new = by_key(self.context.new.elf);
        for (key, symbols) in by_key(self.context.old.elf) {
            let ([old], Some([new])) = (symbols.as_slice(), of_new.get(&key).map(Vec::as_slice))
            else {
                continue;
            };
            self.propose_symbol(old, new);
        }
    }

    fn propose_symbol(&mut self, old: &Symbol, new: &Symbol) {
        if let (Home::Section(from), Home::Section(section)) = (old.home, new.home) {
            let offset = new.value.wrapping_sub(old.value).cast_signed();
            self.propose(from, Spot { section, offset });
        }
    }

    /// The n-th of several symbols that agree in all is the n-th in the result.
    fn by_order_of_symbols(&mut self) {
        let of_new = by_key(self.context.new.elf);
        let mut of_old: Vec<_> = by_key(self.context.old.elf).into_iter().collect();
        of_old.sort_unstable_by_key(|(key, _)| *key);
        for (key, symbols) in of_old {
            let twins = of_new.get(&key).map_or(&[][..], Vec::as_slice);
            if twins.len() == symbols.len() {
                for (old, new) in symbols.into_iter().zip(twins) {
                    self.propose_symbol(old, new);
                }
                self.follow();
            }
        }
    }

    /// Follows the relocations of all sections that were found.
    fn follow(&mut self) {
        while let Some(id) = self.queue.pop_front() {
            let Some(start) = self.to.get(id.0 as usize).copied().flatten() else {
                continue;
            };
            let context = self.context;
            let Some(of_section) = context.old.relocations.get(id.0 as usize) else {
                continue;
            };
            for old in of_section.values().flatten() {
                let Some(Target::Inside { symbol, addend }) = context.old.target(old) else {
                    continue;
                };
                let site = Spot {
                    section: start.section,
                    offset: start.offset.saturating_add_unsigned(old.offset),
                };
                if let Some(place) = reached(context, site, old.r_type) {
                    let offset = place
                        .offset
                        .wrapping_sub(symbol.offset)
                        .wrapping_sub(addend);
                    let start = Spot { offset, ..place };
                    self.propose(symbol.section, start);
                }
            }
        }
    }

    /// What is left has no symbol that tells it apart and nothing refers to it:
    /// look for its bytes in what is not yet taken.
    fn by_contents(&mut self) {
        let old_sections = &self.context.old.elf.sections;
        let mut taken: HashSet<Spot> = self.to.iter().flatten().copied().collect();
        for old in old_sections.iter().filter(|s| is_content(s) && s.size > 0) {
            if self.to[old.id.0 as usize].is_some() {
                continue;
            }
            if let Some(spot) = self.search(old, &taken) {
                taken.insert(spot);
                self.propose(old.id, spot);
            }
        }
    }

    fn search(&self, old: &Section<'_>, taken: &HashSet<Spot>) -> Option<Spot> {
        let step = usize::try_from(old.align.max(1)).ok()?;
        let size = usize::try_from(old.size).ok()?;
        let candidates = self.context.new.elf.sections.iter().filter(|new| {
            is_content(new) && new.sh_type == old.sh_type && new.flags & 7 == old.flags & 7
        });
        // The same name first.
        let mut candidates: Vec<_> = candidates.collect();
        candidates.sort_by_key(|new| new.name != old.name);
        candidates.into_iter().find_map(|new| {
            let end = usize::try_from(new.size).ok()?.checked_sub(size)?;
            (0..=end).step_by(step).find_map(|at| {
                let spot = Spot {
                    section: new.id,
                    offset: i64::try_from(at).ok()?,
                };
                let same = new.data.get(at..at + size).unwrap_or_default() == old.data;
                (same && !taken.contains(&spot)).then_some(spot)
            })
        })
    }
}

/// The place in the result that a relocation's site refers to, whether the
/// relocation is still there or resolved, directly or through a stub.
fn reached(context: &Context<'_>, site: Spot, r_type: u32) -> Option<Spot> {
    let inside = |target: Target| match target {
        Target::Inside { symbol, addend } => Some(Spot {
            offset: symbol.offset.checked_add(addend)?,
            ..symbol
        }),
        Target::Outside { .. } => None,
    };
    let here = context.new.relocations_at(site);
    if let Some(relocation) = here.iter().find(|r| r.r_type == r_type) {
        return inside(context.new.target(relocation)?);
    }
    let field = context
        .machine
        .resolved(r_type, context.new.bytes_from(site))?;
    let place = Spot {
        offset: site.offset.checked_add(field.distance)?,
        ..site
    };
    match context.new.stub_at(context.machine, place) {
        None => Some(place),
        Some(StubTarget::Place(place)) => Some(place),
        Some(StubTarget::Symbol(target)) => inside(target),
    }
}
