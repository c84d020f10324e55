//! The closure: a kept section keeps its group and all that its relocations refer to.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::bounded_name;
use super::frames::FrameTables;
use crate::id::{GlobalId, IdVec, ObjectId, SectionId};
use crate::input::{SectionKind, SymbolPlace};
use crate::output::Traits;
use crate::resolve::{Definition, Resolved};

/// Which references are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// All of them.
    All,
    /// Those to debugging sections.
    Debugging,
}

/// Symbols of scripts in a row, each another's alias, that are followed: more form a circle.
const MAX_ALIASES: usize = 100;

/// The sections that are kept so far.
pub(super) struct Marker<'a, 'l> {
    resolved: &'l Resolved<'a>,
    kept: IdVec<SectionId, bool>,
    mentioned: IdVec<GlobalId, bool>,
    frames: FrameTables,
    aliases: HashMap<GlobalId, GlobalId, RandomState>,
    bounded: HashMap<&'a [u8], Vec<SectionId>, RandomState>,
    /// `-z start-stop-gc`.
    start_stop_gc: bool,
    work: Vec<SectionId>,
}

impl<'a, 'l> Marker<'a, 'l> {
    pub(super) fn new(
        resolved: &'l Resolved<'a>,
        frames: FrameTables,
        aliases: HashMap<GlobalId, GlobalId, RandomState>,
        bounded: HashMap<&'a [u8], Vec<SectionId>, RandomState>,
        start_stop_gc: bool,
    ) -> Self {
        Self {
            resolved,
            kept: IdVec::filled(false, resolved.section_count()),
            mentioned: IdVec::filled(false, resolved.globals.len()),
            frames,
            aliases,
            bounded,
            start_stop_gc,
            work: Vec::new(),
        }
    }

    pub(super) fn is_kept(&self, section: SectionId) -> bool {
        self.kept[section]
    }

    /// Keeps or drops a section alone, whatever it refers to.
    pub(super) fn set_kept(&mut self, section: SectionId, kept: bool) {
        self.kept[section] = kept;
    }

    pub(super) fn is_mentioned(&self, global: GlobalId) -> bool {
        self.mentioned[global]
    }

    pub(super) fn mention(&mut self, global: GlobalId) {
        self.mentioned[global] = true;
    }

    /// Keeps a section and what it needs. One that is kept already is gone through again.
    pub(super) fn mark(&mut self, section: SectionId, follow: Follow) {
        self.kept[section] = true;
        self.work.push(section);
        while let Some(section) = self.work.pop() {
            self.visit(section, follow);
        }
    }

    fn keep(&mut self, section: SectionId) {
        if !self.kept[section] {
            self.kept[section] = true;
            self.work.push(section);
        }
    }

    /// Source: bfd/elflink.c, `_bfd_elf_gc_mark`.
    fn visit(&mut self, id: SectionId, follow: Follow) {
        let resolved = self.resolved;
        let section = resolved.section(id);
        let (object, _) = resolved.section_place(id);
        if let Some(group) = section.group {
            for &member in &resolved.objects[object].groups[group as usize].members {
                self.keep(resolved.section_id(object, member));
            }
        }
        // Unwind tables keep nothing for themselves, but what they say of a kept function counts.
        if !self.frames.is_table(id) {
            for relocation in section.relocations.iter() {
                self.refer(object, relocation.symbol, follow);
            }
        }
        for symbol in self.frames.symbols_about(id) {
            self.refer(object, symbol, follow);
        }
    }

    /// Source: bfd/elflink.c, `_bfd_elf_gc_mark_reloc`.
    fn refer(&mut self, object: ObjectId, symbol: u32, follow: Follow) {
        if symbol == 0 {
            return;
        }
        let Some(global) = self.resolved.global_of(object, symbol) else {
            let section = local_section(self.resolved, object, symbol);
            self.keep_target(section, follow);
            return;
        };
        let was_mentioned = std::mem::replace(&mut self.mentioned[global], true);
        if was_mentioned && !self.start_stop_gc && follow == Follow::All {
            return;
        }
        if !was_mentioned && let Some(sections) = self.between(global).map(<[_]>::to_vec) {
            if !self.start_stop_gc {
                for section in sections {
                    self.keep(section);
                }
            }
            return;
        }
        let section = self.section_of_global(global);
        self.keep_target(section, follow);
    }

    fn keep_target(&mut self, section: Option<SectionId>, follow: Follow) {
        let Some(section) = section else { return };
        let input = self.resolved.section(section);
        let is_debugging = || Traits::of(input).contains(Traits::DEBUGGING);
        if input.kind == SectionKind::Content && (follow == Follow::All || is_debugging()) {
            self.keep(section);
        }
    }

    /// The sections between `__start_NAME` and `__stop_NAME`, if that is what the symbol stands for.
    fn between(&self, global: GlobalId) -> Option<&[SectionId]> {
        let global = &self.resolved.globals[global];
        let Definition::Undefined { .. } = global.definition else {
            return None;
        };
        let sections = self.bounded.get(bounded_name(global.name)?)?;
        (!sections.is_empty()).then_some(sections)
    }

    /// The section that a global is in: of `__start_NAME` and `__stop_NAME`, the first of that name.
    pub(super) fn section_of_global(&self, global: GlobalId) -> Option<SectionId> {
        let mut global = global;
        for _ in 0..MAX_ALIASES {
            match self.resolved.globals[global].definition {
                Definition::Object { object, symbol, .. } => {
                    return local_section(self.resolved, object, symbol);
                }
                Definition::Made { section, .. } => return Some(section),
                Definition::Script => global = *self.aliases.get(&global)?,
                Definition::Undefined { .. } => {
                    return self.between(global)?.first().copied();
                }
                Definition::Common { .. } => return None,
            }
        }
        None
    }
}

/// The section that an object's symbol is in, whatever else is known of its name.
fn local_section(resolved: &Resolved<'_>, object: ObjectId, symbol: u32) -> Option<SectionId> {
    let symbol = resolved.objects[object].symbols.get(symbol as usize)?;
    match symbol.place {
        SymbolPlace::Section(section) => Some(resolved.section_id(object, section)),
        _ => None,
    }
}
