//! Orphans: input sections that no pattern of the script matched. Each gets an output section of its
//! name, and this module decides where it stands, as GNU ld does (ld/ldelf.c, `ldelf_place_orphan`;
//! ld/ldlang.c, `lang_insert_orphan` and `lang_output_section_find_by_flags`).
//!
//! Two orders are kept apart, as in ld: the *statements* (script statements and those made for
//! orphans), which decide where the next orphan goes, and the *file order* of sections.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use object::elf;

use crate::id::{Id, IdVec, OutputId, StatementId};
use crate::input::{InputSection, SHF_MASK_OS_AND_PROCESSOR};
use crate::output::{OutputSection, Traits};

/// An output section statement: from the script, or made for an orphan.
pub(crate) struct Statement<'a> {
    pub name: &'a [u8],
    /// The output section, once anything was put into it.
    pub output: Option<OutputId>,
    /// Whether this statement may take orphans by its name: not if it has ONLY_IF_RO or ONLY_IF_RW,
    /// and not if it was made for a section that stays apart.
    pub takes_orphans: bool,
    /// Traits that the name of an unused statement implies (`.text`, `.data` …).
    implied: Traits,
}

/// Where a statement that was made for an orphan went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Insertion {
    pub statement: StatementId,
    /// The statement that it follows; `None`: it comes first.
    pub after: Option<StatementId>,
    /// Whether what the script says directly behind `after` stays between them, up to an
    /// assignment to the location counter (ld/ldlang.c, `insert_os_after`).
    pub behind_assignments: bool,
}

/// The kinds of place for orphans, in the order of [`PLACES`].
#[derive(Clone, Copy)]
enum Kind {
    Text,
    ReadOnlyData,
    ThreadData,
    Data,
    Bss,
    Relocations,
    Interpreter,
    NotLoaded,
}

/// Name and implied traits of each kind (ld/ldelf.c, `hold`).
const PLACES: [(Option<&[u8]>, Traits); 8] = {
    let loaded = Traits::CONTENTS.union(Traits::ALLOC).union(Traits::LOAD);
    let read_only = loaded.union(Traits::READ_ONLY);
    [
        (Some(b".text"), read_only.union(Traits::CODE)),
        (Some(b".rodata"), read_only),
        (Some(b".tdata"), loaded.union(Traits::THREAD_LOCAL)),
        (Some(b".data"), loaded),
        (Some(b".bss"), Traits::ALLOC),
        (None, read_only),
        (Some(b".interp"), read_only),
        (Some(b".comment"), Traits::CONTENTS),
    ]
};

/// What is remembered about one kind of place.
#[derive(Clone, Copy, Default)]
struct Place {
    /// The statement after which the first orphan went.
    anchor: Option<StatementId>,
    /// The last statement added for an orphan of this kind.
    last_statement: Option<StatementId>,
    /// The section after which the next orphan's section goes in the file; outer `None`: not decided.
    after_section: Option<Option<OutputId>>,
}

/// A list of ids that can be inserted into anywhere.
struct LinkedList<I> {
    next: Vec<Option<I>>,
    previous: Vec<Option<I>>,
    first: Option<I>,
    last: Option<I>,
}

impl<I: Id + PartialEq> LinkedList<I> {
    fn new() -> Self {
        Self {
            next: Vec::new(),
            previous: Vec::new(),
            first: None,
            last: None,
        }
    }

    fn reserve(&mut self, id: I) {
        let needed = id.index() + 1;
        if self.next.len() < needed {
            self.next.resize(needed, None);
            self.previous.resize(needed, None);
        }
    }

    /// Inserts `id` behind `after`, or in front of everything.
    fn insert_after(&mut self, after: Option<I>, id: I) {
        self.reserve(id);
        let next = match after {
            Some(after) => self.next[after.index()].replace(id),
            None => self.first.replace(id),
        };
        self.next[id.index()] = next;
        self.previous[id.index()] = after;
        match next {
            Some(next) => self.previous[next.index()] = Some(id),
            None => self.last = Some(id),
        }
    }

    fn next(&self, id: I) -> Option<I> {
        self.next[id.index()]
    }

    fn previous(&self, id: I) -> Option<I> {
        self.previous[id.index()]
    }

    fn iter(&self) -> impl Iterator<Item = I> + '_ {
        std::iter::successors(self.first, |&id| self.next(id))
    }

    fn iter_back_from(&self, id: Option<I>) -> impl Iterator<Item = I> + '_ {
        std::iter::successors(id, |&id| self.previous(id))
    }
}

/// What is known when all orphans have their places.
pub(crate) struct Placed<'a> {
    pub sections: IdVec<OutputId, OutputSection<'a>>,
    /// The sections' order in the file.
    pub order: Vec<OutputId>,
    pub statements: IdVec<StatementId, Statement<'a>>,
    pub insertions: Vec<Insertion>,
}

/// The statements and sections of a link while orphans are placed.
pub(crate) struct OrphanPlacer<'a> {
    pub statements: IdVec<StatementId, Statement<'a>>,
    pub sections: IdVec<OutputId, OutputSection<'a>>,
    statement_order: LinkedList<StatementId>,
    file_order: LinkedList<OutputId>,
    by_name: HashMap<&'a [u8], Vec<StatementId>, RandomState>,
    places: [Place; 8],
    names_looked_up: bool,
    /// Whether the last orphan that is a note was put to others: then nothing comes between them.
    has_notes: bool,
    /// The statements made for orphans, in the order in which they were put in.
    insertions: Vec<Insertion>,
    /// Whether sections are merged that GNU ld keeps apart.
    merges_all: bool,
}

impl<'a> OrphanPlacer<'a> {
    pub(crate) fn new(merges_all: bool) -> Self {
        Self {
            statements: IdVec::default(),
            sections: IdVec::default(),
            statement_order: LinkedList::new(),
            file_order: LinkedList::new(),
            by_name: HashMap::default(),
            places: [Place::default(); 8],
            names_looked_up: false,
            has_notes: false,
            insertions: Vec::new(),
            merges_all,
        }
    }

    /// Adds a statement of the script, behind those that are there.
    pub(crate) fn add_script_statement(
        &mut self,
        name: &'a [u8],
        constrained: bool,
    ) -> StatementId {
        self.add_statement(name, !constrained, self.statement_order.last)
    }

    fn add_statement(
        &mut self,
        name: &'a [u8],
        takes_orphans: bool,
        after: Option<StatementId>,
    ) -> StatementId {
        let id = self.statements.push(Statement {
            name,
            output: None,
            takes_orphans,
            implied: Traits::empty(),
        });
        self.statement_order.insert_after(after, id);
        self.by_name.entry(name).or_default().push(id);
        id
    }

    /// The output section of a statement, made and put at the end of the file's order if it is new.
    /// Statements of one name have a section each (ld/ldlang.c, `lang_enter_output_section_statement`).
    pub(crate) fn output_of(&mut self, statement: StatementId) -> OutputId {
        if let Some(output) = self.statements[statement].output {
            return output;
        }
        let name = self.statements[statement].name;
        let output = self.sections.push(OutputSection::new(name));
        self.file_order.insert_after(self.file_order.last, output);
        self.statements[statement].output = Some(output);
        output
    }

    /// What was made.
    pub(crate) fn finish(self) -> Placed<'a> {
        Placed {
            order: self.file_order.iter().collect(),
            sections: self.sections,
            statements: self.statements,
            insertions: self.insertions,
        }
    }

    /// The output section for an orphan. `apart` says that it must not share one, `made` that the
    /// linker made it: GNU ld knows no contents of its build-id yet when it places it, so that it
    /// belongs with no other section and comes first (ld/ldelf.c, `ldelf_setup_build_id`).
    pub(crate) fn place(
        &mut self,
        name: &'a [u8],
        section: &InputSection<'a>,
        apart: bool,
        made: bool,
    ) -> OutputId {
        if !apart && let Some(output) = self.compatible_by_name(name, section) {
            return output;
        }
        self.look_up_names();
        let kind = kind_of(section);
        let output = self.sections.push(OutputSection::new(name));
        let mut traits = Traits::of(section);
        if made && section.section_type == elf::SHT_NOTE.0 {
            traits -= Traits::CONTENTS;
        }
        let Some(kind) = kind else {
            // Debugging sections go to the end.
            let after = self.statement_order.last;
            let statement = self.add_statement(name, !apart, after);
            self.insertions.push(Insertion {
                statement,
                after,
                behind_assignments: true,
            });
            self.statements[statement].output = Some(output);
            self.file_order.insert_after(self.file_order.last, output);
            return output;
        };
        if self.places[kind as usize].anchor.is_none() {
            self.places[kind as usize].anchor = PLACES[kind as usize]
                .0
                .and_then(|place_name| self.find_statement(place_name));
        }
        let anchor = match self.places[kind as usize].anchor {
            Some(anchor) => Some(anchor),
            None => {
                let (found, exact) = self.find_by_traits(section, traits);
                if exact {
                    self.places[kind as usize].anchor = found;
                }
                found
            }
        };
        self.insert(kind, anchor, name, section, output, apart);
        output
    }

    /// An output section of that name which the orphan can join, or the section of an unused
    /// statement of that name.
    fn compatible_by_name(&mut self, name: &[u8], section: &InputSection<'_>) -> Option<OutputId> {
        let traits = Traits::of(section);
        let mut unused = None;
        for &id in self.by_name.get(name)? {
            let statement = &self.statements[id];
            if !statement.takes_orphans {
                continue;
            }
            let Some(output) = statement.output else {
                unused = Some(id);
                continue;
            };
            let other = &self.sections[output];
            let same_room =
                (traits ^ other.traits) & (Traits::LOAD | Traits::ALLOC) == Traits::empty();
            if other.traits.is_empty() || same_room && self.may_share(section, other) {
                return Some(output);
            }
        }
        unused.map(|statement| self.output_of(statement))
    }

    /// Type and special flags must agree, and a section whose `sh_info` means something has no equal
    /// (ld/ldelf.c, `elf_orphan_compatible`). The module link merges those too: on PA-RISC they are
    /// the unwind tables, of which the kernel wants one.
    fn may_share(&self, section: &InputSection<'_>, other: &OutputSection<'_>) -> bool {
        let special = (other.extra_flags ^ section.flags) & SHF_MASK_OS_AND_PROCESSOR != 0;
        let informed = section.info != 0 && !self.merges_all;
        let apart = other.group.is_some() || special || informed;
        !apart && other.section_type == section.section_type
    }

    /// Statements called `.text`, `.data` … imply traits even while they are empty.
    fn look_up_names(&mut self) {
        if std::mem::replace(&mut self.names_looked_up, true) {
            return;
        }
        for (kind, (name, implied)) in PLACES.into_iter().enumerate() {
            if let Some(statement) = name.and_then(|name| self.find_statement(name)) {
                self.places[kind].anchor = Some(statement);
                self.statements[statement].implied = implied;
            }
        }
    }

    /// The statement of that name, made behind all others if there is none.
    pub(crate) fn statement_at_end(&mut self, name: &'a [u8]) -> StatementId {
        self.find_statement(name).unwrap_or_else(|| {
            let after = self.statement_order.last;
            let statement = self.add_statement(name, true, after);
            self.insertions.push(Insertion {
                statement,
                after,
                behind_assignments: true,
            });
            statement
        })
    }

    /// The first statement of that name that takes orphans.
    pub(crate) fn find_statement(&self, name: &[u8]) -> Option<StatementId> {
        let named = self.by_name.get(name)?;
        named
            .iter()
            .copied()
            .find(|&id| self.statements[id].takes_orphans)
    }

    /// Where among the statements the orphan belongs by its traits, and whether that is an exact
    /// match. First sections of the same type are looked at, then all.
    fn find_by_traits(
        &self,
        section: &InputSection<'_>,
        traits: Traits,
    ) -> (Option<StatementId>, bool) {
        let place = Traits::CONTENTS | Traits::ALLOC | Traits::LOAD;
        let exact = place | Traits::READ_ONLY | Traits::CODE | Traits::THREAD_LOCAL;
        for same_type in [true, false] {
            let candidates = || {
                self.statement_order
                    .iter()
                    .filter_map(|id| self.traits_of(id, same_type.then_some(section)))
            };
            let last_agreeing = |mask: Traits| {
                candidates()
                    .filter(|&(_, look)| ((look ^ traits) & mask).is_empty())
                    .last()
                    .map(|(id, _)| id)
            };
            if let Some(found) = last_agreeing(exact) {
                return (Some(found), same_type);
            }
            let found = if !traits.contains(Traits::ALLOC) {
                return (
                    self.last_with(|look| !(look ^ traits).contains(Traits::DEBUGGING)),
                    false,
                );
            } else if traits.contains(Traits::CODE) {
                last_agreeing(place | Traits::CODE | Traits::THREAD_LOCAL)
            } else if traits.contains(Traits::READ_ONLY) {
                last_agreeing(place | Traits::READ_ONLY)
            } else if traits.contains(Traits::THREAD_LOCAL) {
                return (self.find_thread_local(traits), false);
            } else if traits.contains(Traits::CONTENTS) {
                last_agreeing(place | Traits::THREAD_LOCAL)
            } else {
                last_agreeing(Traits::ALLOC)
            };
            if found.is_some() {
                return (found, false);
            }
        }
        (None, false)
    }

    /// `.tdata` goes after `.data`, `.tbss` after `.tdata`; both stand together.
    fn find_thread_local(&self, traits: Traits) -> Option<StatementId> {
        let wanted = traits | Traits::LOAD | Traits::CONTENTS;
        let mut found = None;
        let mut seen = false;
        for id in self.statement_order.iter() {
            let Some((_, look)) = self.traits_of(id, None) else {
                continue;
            };
            let differ = look ^ wanted;
            if (differ & (Traits::THREAD_LOCAL | Traits::ALLOC)).is_empty() {
                if !look.contains(Traits::LOAD) && traits.contains(Traits::LOAD) {
                    break;
                }
                found = Some(id);
                seen = true;
            } else if seen {
                break;
            } else if (differ & (Traits::CONTENTS | Traits::ALLOC | Traits::LOAD)).is_empty() {
                found = Some(id);
            }
        }
        found
    }

    fn last_with(&self, matches: impl Fn(Traits) -> bool) -> Option<StatementId> {
        self.statement_order
            .iter()
            .filter(|&id| {
                self.traits_of(id, None)
                    .is_some_and(|(_, look)| matches(look))
            })
            .last()
    }

    /// The traits of a statement; `None` if its section is of another type than `same_type`.
    fn traits_of(
        &self,
        id: StatementId,
        same_type: Option<&InputSection<'_>>,
    ) -> Option<(StatementId, Traits)> {
        let statement = &self.statements[id];
        match statement.output {
            None => Some((id, statement.implied)),
            Some(output) => {
                let other = &self.sections[output];
                let differs =
                    same_type.is_some_and(|section| section.section_type != other.section_type);
                (!differs).then_some((id, other.traits))
            }
        }
    }

    /// Puts the orphan's statement and section into both orders.
    fn insert(
        &mut self,
        kind: Kind,
        anchor: Option<StatementId>,
        name: &'a [u8],
        section: &InputSection<'a>,
        output: OutputId,
        apart: bool,
    ) {
        let after_section = match self.places[kind as usize].after_section {
            Some(after) => after,
            // The closest statement before the anchor that has a section.
            None => self
                .statement_order
                .iter_back_from(anchor)
                .find_map(|id| self.statements[id].output),
        };
        let (after_section, note_anchor) = self.group_notes(section, after_section);
        self.file_order.insert_after(after_section, output);
        let place = &mut self.places[kind as usize];
        place.after_section = Some(Some(output));
        let first_here = place.last_statement.is_none();
        let after_statement = match (note_anchor, first_here) {
            (Some(statement), _) => Some(statement),
            (None, true) => anchor,
            (None, false) => place.last_statement,
        };
        let statement = self.add_statement(name, !apart, after_statement);
        self.insertions.push(Insertion {
            statement,
            after: after_statement,
            behind_assignments: note_anchor.is_some() || first_here,
        });
        self.statements[statement].output = Some(output);
        self.places[kind as usize].last_statement = Some(statement);
    }

    /// Loaded notes stand together, the most aligned first, and nothing else comes between them (ld/ldlang.c,
    /// `first_orphan_note`). Gives the section after which to insert, and the statement where that is not the usual one.
    fn group_notes(
        &mut self,
        section: &InputSection<'_>,
        after: Option<OutputId>,
    ) -> (Option<OutputId>, Option<StatementId>) {
        let is_note = |id: OutputId| {
            let other = &self.sections[id];
            other.section_type == elf::SHT_NOTE.0 && other.traits.contains(Traits::LOAD)
        };
        let new_is_note =
            section.section_type == elf::SHT_NOTE.0 && Traits::of(section).contains(Traits::LOAD);
        let next = match after {
            Some(after) => self.file_order.next(after),
            None => self.file_order.first,
        };
        let chosen = if new_is_note {
            let first = self.file_order.iter().find(|&id| is_note(id));
            self.has_notes = first.is_some();
            let Some(first) = first else {
                return (after, None);
            };
            let notes = std::iter::successors(Some(first), |&id| {
                self.file_order.next(id).filter(|&id| is_note(id))
            });
            match notes
                .filter(|&id| self.sections[id].align >= section.align)
                .last()
            {
                Some(last) => Some(last),
                None => self.file_order.previous(first),
            }
        } else if self.has_notes && next.is_some_and(is_note) {
            std::iter::successors(next, |&id| self.file_order.next(id))
                .filter(|&id| is_note(id))
                .last()
        } else {
            return (after, None);
        };
        let statement = chosen.and_then(|chosen| {
            self.statement_order
                .iter()
                .find(|&id| self.statements[id].output == Some(chosen))
        });
        (chosen, statement)
    }
}

/// Where a section belongs; `None` for debugging sections, which go last.
fn kind_of(section: &InputSection<'_>) -> Option<Kind> {
    let traits = Traits::of(section);
    let has = |wanted| traits.contains(wanted);
    Some(if !traits.intersects(Traits::ALLOC | Traits::DEBUGGING) {
        Kind::NotLoaded
    } else if !has(Traits::ALLOC) {
        return None;
    } else if has(Traits::LOAD) && section.section_type == elf::SHT_NOTE.0 {
        Kind::Interpreter
    } else if !traits.intersects(Traits::LOAD | Traits::CONTENTS | Traits::THREAD_LOCAL) {
        Kind::Bss
    } else if has(Traits::THREAD_LOCAL) {
        Kind::ThreadData
    } else if !has(Traits::READ_ONLY) {
        Kind::Data
    } else if has(Traits::LOAD) && [elf::SHT_REL.0, elf::SHT_RELA.0].contains(&section.section_type)
    {
        Kind::Relocations
    } else if !has(Traits::CODE) {
        Kind::ReadOnlyData
    } else {
        Kind::Text
    })
}
