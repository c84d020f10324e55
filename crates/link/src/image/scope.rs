//! What expressions of a script see while an image is laid out.

use std::cell::Cell;

use klink_script::eval::{Base, Lookup, PageSize, Place, Region, Scope, SectionRef, Value};

use super::layout::{Layouter, Phase};
use crate::id::{GlobalId, Id, OutputId};
use crate::resolve::{Definition, Global};

/// An expression's view: the layouter, and where the expression stands.
pub(super) struct ExprScope<'s, 'a, 'l> {
    pub layouter: &'s Layouter<'a, 'l>,
    pub place: Place,
    pub dot: u64,
    /// The symbol that gets the value.
    pub assigned: Option<GlobalId>,
    /// Whether the expression used that symbol's own value, and this pass has not given it a number
    /// yet (ld/ldexp.c, `fold_name`).
    pub uses_itself: Cell<bool>,
    /// The symbols whose values were asked for.
    pub named: Cell<Named>,
}

/// How many symbols an expression used: one alone gives its type to the symbol that is assigned
/// (ld/ldexp.c, `assign_src`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    None,
    One(GlobalId),
    Many,
}

impl Named {
    /// The symbol that was used alone.
    pub(super) fn only(self) -> Option<GlobalId> {
        match self {
            Self::One(symbol) => Some(symbol),
            Self::None | Self::Many => None,
        }
    }
}

/// The number by which expressions know a section.
pub(super) fn reference(section: OutputId) -> SectionRef {
    SectionRef(section.index() as u32)
}

/// The section behind such a number.
pub(super) fn section_of(reference: SectionRef) -> OutputId {
    OutputId::from_index(reference.0 as usize)
}

impl ExprScope<'_, '_, '_> {
    /// What is not known is an error in the last pass only; before, its time may come.
    fn missing<T>(&self) -> Lookup<T> {
        match self.layouter.phase {
            Phase::Tie | Phase::Final => Lookup::Missing,
            Phase::Mark | Phase::Allocate => Lookup::NotYet,
        }
    }

    /// Whether this pass has given a symbol a number that is no place.
    fn is_number_now(&self, id: GlobalId) -> bool {
        let symbol = self.layouter.layout.symbols.get(&id);
        symbol.is_some_and(|symbol| {
            symbol.pass == self.layouter.pass && symbol.value.base == Base::Absolute
        })
    }

    fn of_global(&self, id: GlobalId, global: &Global<'_>) -> Lookup<Value> {
        let resolved = self.layouter.resolved;
        if let Some(symbol) = self.layouter.layout.symbols.get(&id) {
            return Lookup::Known(symbol.value);
        }
        let definition = match global.definition {
            Definition::Script => resolved.overridden(id).unwrap_or(Definition::Script),
            definition => definition,
        };
        let place = match definition {
            Definition::Object { object, symbol, .. } => {
                match resolved.place_in_object(object, symbol) {
                    Some(place) => place,
                    None => {
                        let symbol = &resolved.objects[object].symbols[symbol as usize];
                        return Lookup::Known(Value::absolute(symbol.value));
                    }
                }
            }
            Definition::Made { section, offset } => (section, offset),
            Definition::Script | Definition::Undefined { .. } | Definition::Common { .. } => {
                return self.missing();
            }
        };
        let (section, offset) = self.layouter.layout.merges.place(place.0, place.1);
        match self.layouter.layout.placements.output(section) {
            Some(output) => Lookup::Known(Value::in_section(
                self.layouter
                    .layout
                    .placements
                    .offset(section)
                    .wrapping_add(offset),
                reference(output),
            )),
            // What is discarded keeps its offset (bfd/elflink.c puts it into the absolute section).
            None => Lookup::Known(Value::absolute(offset)),
        }
    }
}

impl Scope for ExprScope<'_, '_, '_> {
    fn place(&self) -> Place {
        self.place
    }

    fn dot(&self) -> Option<u64> {
        Some(self.dot)
    }

    fn symbol(&self, name: &str) -> Lookup<Value> {
        let id = self.layouter.resolved.global(name.as_bytes());
        if id.is_some() && id == self.assigned && !id.is_some_and(|id| self.is_number_now(id)) {
            self.uses_itself.set(true);
        }
        self.named.set(match (self.named.get(), id) {
            (Named::None, Some(id)) => Named::One(id),
            _ => Named::Many,
        });
        match id {
            Some(id) => self.of_global(id, &self.layouter.resolved.globals[id]),
            None => self.missing(),
        }
    }

    fn is_defined(&self, name: &str) -> bool {
        let resolved = self.layouter.resolved;
        let Some(id) = resolved.global(name.as_bytes()) else {
            return false;
        };
        match resolved.globals[id].definition {
            Definition::Undefined { .. } => false,
            Definition::Object { .. } | Definition::Made { .. } | Definition::Common { .. } => true,
            // One that an object defines too is defined from the start (ld/ldexp.c,
            // `update_definedness`).
            Definition::Script => {
                let symbol = self.layouter.layout.symbols.get(&id);
                resolved.overridden(id).is_some()
                    || symbol.is_some_and(|symbol| symbol.pass == self.layouter.pass)
            }
        }
    }

    fn section_address(&self, section: SectionRef) -> u64 {
        self.layouter.layout.outputs.sections[section_of(section)].address
    }

    fn section(&self, name: &str) -> Lookup<SectionRef> {
        match self.layouter.section_named(name) {
            Some(section) if self.layouter.processed[section] => Lookup::Known(reference(section)),
            Some(_) => Lookup::NotYet,
            None => self.missing(),
        }
    }

    fn load_address(&self, name: &str) -> Lookup<u64> {
        match self.layouter.section_named(name) {
            Some(section) if self.layouter.processed[section] => {
                Lookup::Known(self.layouter.layout.outputs.sections[section].load_address)
            }
            Some(_) => Lookup::NotYet,
            None => self.missing(),
        }
    }

    fn size_of(&self, name: &str) -> Lookup<u64> {
        match self.layouter.section_named(name) {
            Some(section) => Lookup::Known(self.layouter.layout.outputs.sections[section].size),
            None if self.layouter.is_rule(name) => Lookup::Known(0),
            None if self.layouter.phase.is_settled() => Lookup::Missing,
            None => Lookup::Known(0),
        }
    }

    fn align_of(&self, name: &str) -> Lookup<u64> {
        match self.layouter.section_named(name) {
            Some(section) => Lookup::Known(self.layouter.layout.outputs.sections[section].align),
            None if self.layouter.is_rule(name) => Lookup::Known(0),
            None if self.layouter.phase.is_settled() => Lookup::Missing,
            None => Lookup::Known(0),
        }
    }

    fn region(&self, name: &str) -> Lookup<Region> {
        match self.layouter.layout.regions.named(name) {
            Some(region) => Lookup::Known(Region {
                origin: region.origin,
                length: region.length,
            }),
            None => Lookup::Missing,
        }
    }

    fn page_size(&self, which: PageSize) -> Option<u64> {
        Some(match which {
            PageSize::Max => self.layouter.max_page_size,
            PageSize::Common => self.layouter.common_page_size,
        })
    }

    fn sizeof_headers(&self) -> Option<u64> {
        self.layouter.headers_wanted.set(true);
        Some(match self.layouter.phase {
            Phase::Mark => 0,
            Phase::Allocate | Phase::Tie | Phase::Final => self.layouter.header_size,
        })
    }

    fn segment_start(&self, segment: &str) -> Option<u64> {
        self.layouter.options.segment_start(segment)
    }

    fn data_segment_align(&self, max_page: u64, common_page: u64) -> Option<u64> {
        Some(
            self.layouter
                .data_segment
                .align(self.dot, max_page, common_page),
        )
    }

    fn data_segment_relro_end(&self, offset: u64, address: u64) -> Option<u64> {
        Some(self.layouter.data_segment.relro_end(offset, address))
    }

    fn data_segment_end(&self, address: u64) {
        self.layouter.data_segment.end(address);
    }

    fn checks_assertions(&self) -> bool {
        self.layouter.phase == Phase::Final
    }

    fn sane_expr(&self) -> bool {
        self.layouter.sane_expr
    }
}
