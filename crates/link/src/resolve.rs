//! Symbol resolution: which definition each global name gets, and which sections of link-once
//! groups are kept. Objects join one after another in command-line order, since both depend on it.

use std::hash::BuildHasher as _;

use foldhash::fast::RandomState;
use hashbrown::hash_table::{Entry, HashTable};
use hashbrown::{HashMap, HashSet};
use object::elf;
use rayon::prelude::*;

use crate::error::LinkError;
use crate::gc::Garbage;
use crate::id::{GlobalId, Id, IdVec, ObjectId, SectionId};
use crate::input::{InputSymbol, Object, RawRelocation, SymbolPlace};

/// A global symbol of the link.
#[derive(Clone, Copy, Debug)]
pub struct Global<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its definition so far.
    pub definition: Definition,
    /// `st_info`'s type nibble.
    pub symbol_type: u8,
    /// `st_other`: visibility, the most constraining of all mentions, and the definition's other bits.
    pub other: u8,
    /// `st_size` in bytes.
    pub size: u64,
    /// Whether no section of the output mentions it, but at most an expression of the script.
    pub script_only: bool,
}

/// The definition of a global symbol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definition {
    /// None; weak if no object needs one.
    Undefined {
        /// Whether all mentions are weak.
        weak: bool,
    },
    /// An object's symbol.
    Object {
        /// The object.
        object: ObjectId,
        /// Index in its symbol table.
        symbol: u32,
        /// Whether it is weak.
        weak: bool,
        /// `STB_GLOBAL` or `STB_GNU_UNIQUE` for strong ones.
        binding: u8,
    },
    /// A common symbol: room is needed for it.
    Common {
        /// Alignment in bytes.
        align: u64,
        /// The object with the largest mention so far.
        object: ObjectId,
    },
    /// A symbol that the linker script assigns.
    Script,
    /// A place in a section that the linker made: room for a common symbol, a table's start.
    Made {
        /// The section.
        section: SectionId,
        /// Offset in it, in bytes.
        offset: u64,
    },
}

/// Where a section that the linker made comes among the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MadePlace {
    /// In front of all sections of the link.
    Front,
    /// Behind those of this object.
    Behind(ObjectId),
}

/// A file that the link was given: an object or an archive.
#[derive(Clone, Debug)]
pub(crate) struct GivenInput {
    /// Its path.
    pub path: String,
    /// The `--start-group` or GROUP that it stands in.
    pub group: Option<u32>,
}

/// Which member of an archive should join for a symbol's sake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// None: the symbol is defined, or nothing needs it.
    None,
    /// One that defines it.
    Any,
    /// One that defines it as data: so far it is common, and would be zeros.
    Data,
}

/// All inputs with their symbols resolved. Nothing later changes it.
#[derive(Default)]
pub struct Resolved<'a> {
    /// The objects, in the order in which they joined.
    pub objects: IdVec<ObjectId, Object<'a>>,
    /// Where each object's sections begin among all [`SectionId`]s.
    first_section: IdVec<ObjectId, u32>,
    /// For each section, its object and its ELF index there.
    section_places: IdVec<SectionId, (ObjectId, u32)>,
    /// For each section, whether a link-once rule or garbage collection dropped it.
    discarded: IdVec<SectionId, bool>,
    /// The global symbols, in the order of first mention.
    pub globals: IdVec<GlobalId, Global<'a>>,
    /// Their numbers, by the hashes of their names.
    by_name: HashTable<GlobalId>,
    hasher: RandomState,
    /// For each object, the global of each symbol from `first_global` on.
    global_ids: IdVec<ObjectId, Vec<GlobalId>>,
    link_once: HashMap<&'a [u8], ObjectId, RandomState>,
    /// Sections that the linker made.
    made: Vec<(SectionId, MadePlace)>,
    /// For names that references do not mean themselves: what they mean (`--wrap`).
    pub(crate) wrapped: HashMap<&'a [u8], &'a [u8], RandomState>,
    /// The members of archives that joined, and the symbols for whose sake they did.
    pub(crate) archive_members: Vec<(ObjectId, &'a [u8])>,
    /// The files that the link was given, in order.
    pub(crate) inputs: Vec<GivenInput>,
    /// Symbols that objects define and scripts would only provide, but hidden.
    pub(crate) hidden_by_script: Vec<GlobalId>,
    /// What objects say of symbols that the script assigns.
    overridden: HashMap<GlobalId, Definition, RandomState>,
    /// Symbols that scripts in front of the inputs to come assign: archives are not searched for them.
    pub(crate) assigned_early: HashSet<&'a [u8], RandomState>,
    /// Symbols defined more than once.
    pub errors: Vec<LinkError>,
    /// Whether a second definition of a symbol is ignored instead of an error.
    pub allow_multiple_definition: bool,
}

impl<'a> Resolved<'a> {
    /// The id of the section with ELF index `index` of `object`.
    #[inline]
    pub fn section_id(&self, object: ObjectId, index: u32) -> SectionId {
        let id = SectionId::from_index((self.first_section[object] + index) as usize);
        // Sections that the linker made have ids of their own, behind all others.
        debug_assert_eq!(self.section_places[id], (object, index));
        id
    }

    /// How many sections an object has of its own: those that the linker made stand behind them.
    fn read_sections(&self, object: ObjectId) -> u32 {
        let end = (self.section_places.len() - self.made.len()) as u32;
        let next = self.first_section.get(object.index() + 1);
        next.copied().unwrap_or(end) - self.first_section[object]
    }

    /// The object of a section and its ELF index there.
    #[inline]
    pub fn section_place(&self, section: SectionId) -> (ObjectId, u32) {
        self.section_places[section]
    }

    /// A section.
    #[inline]
    pub fn section(&self, section: SectionId) -> &crate::input::InputSection<'a> {
        let (object, index) = self.section_places[section];
        &self.objects[object].sections[index as usize]
    }

    /// Adds a section that the linker made; it belongs to the first object, or to the one that it
    /// stands behind.
    pub(crate) fn add_made(
        &mut self,
        section: crate::input::InputSection<'a>,
        place: MadePlace,
    ) -> SectionId {
        let object = match place {
            MadePlace::Front => ObjectId::from_index(0),
            MadePlace::Behind(object) => object,
        };
        let index = self.objects[object].sections.len() as u32;
        self.objects[object].sections.push(section);
        let id = self.section_places.push((object, index));
        self.discarded.push(false);
        self.made.push((id, place));
        id
    }

    /// A section that the linker made, to change it while its size is not settled.
    pub(crate) fn made_section_mut(
        &mut self,
        section: SectionId,
    ) -> &mut crate::input::InputSection<'a> {
        let (object, index) = self.section_places[section];
        &mut self.objects[object].sections[index as usize]
    }

    /// Whether the linker made the section.
    pub fn is_made(&self, section: SectionId) -> bool {
        // They have the highest ids.
        section.index() >= self.section_places.len() - self.made.len()
    }

    /// Drops sections that nothing needs, and symbols that only they mention.
    pub(crate) fn drop_garbage(&mut self, garbage: &Garbage) {
        for &section in &garbage.sections {
            self.discarded[section] = true;
        }
        for &symbol in &garbage.symbols {
            self.globals[symbol].script_only = true;
        }
    }

    /// Makes `name` a symbol that the script assigns, instead of what objects say of it.
    pub(crate) fn define_by_script(&mut self, name: &'a [u8], hidden: bool) -> GlobalId {
        let id = self.mention(name);
        let global = &mut self.globals[id];
        match global.definition {
            Definition::Script | Definition::Undefined { .. } => {}
            definition => _ = self.overridden.insert(id, definition),
        }
        global.definition = Definition::Script;
        if hidden {
            global.other = stricter(global.other & 3, elf::STV_HIDDEN.0);
        }
        id
    }

    /// What objects say of a symbol that the script assigns, if they define it: it counts until the
    /// script comes to its assignment.
    pub(crate) fn overridden(&self, id: GlobalId) -> Option<Definition> {
        self.overridden.get(&id).copied()
    }

    /// The section that a symbol of `object` is defined in, and its offset there. A global leads to
    /// its definition, wherever that is.
    pub fn place_of_symbol(&self, object: ObjectId, symbol: u32) -> Option<(SectionId, u64)> {
        match self.global_of(object, symbol) {
            None => self.place_in_object(object, symbol),
            Some(global) => self.place_of_definition(self.globals[global].definition),
        }
    }

    /// The section of a definition, and the offset there.
    pub(crate) fn place_of_definition(&self, definition: Definition) -> Option<(SectionId, u64)> {
        match definition {
            Definition::Object { object, symbol, .. } => self.place_in_object(object, symbol),
            Definition::Made { section, offset } => Some((section, offset)),
            _ => None,
        }
    }

    /// The section that `object` itself defines a symbol in, and its offset there.
    pub(crate) fn place_in_object(
        &self,
        object: ObjectId,
        symbol: u32,
    ) -> Option<(SectionId, u64)> {
        let symbol = self.objects[object].symbols.get(symbol as usize)?;
        let SymbolPlace::Section(index) = symbol.place else {
            return None;
        };
        Some((self.section_id(object, index), symbol.value))
    }

    /// The section that one with `SHF_LINK_ORDER` is about.
    pub(crate) fn linked_to(&self, section: SectionId) -> Option<SectionId> {
        let (object, _) = self.section_place(section);
        let section = self.section(section);
        let is_linked = section.flags & elf::SHF_LINK_ORDER.0 != 0 && section.link != 0;
        let exists = section.link < self.read_sections(object);
        (is_linked && exists).then(|| self.section_id(object, section.link))
    }

    /// Where S of a relocation in `section` is: an input section and the offset there.
    pub(crate) fn place_of_relocation(
        &self,
        section: SectionId,
        relocation: &RawRelocation,
    ) -> Option<(SectionId, u64)> {
        let (object, _) = self.section_place(section);
        self.place_of_symbol(object, relocation.symbol)
    }

    /// How many sections all objects have.
    pub fn section_count(&self) -> usize {
        self.section_places.len()
    }

    /// All section ids, object by object.
    pub fn section_ids(&self) -> impl Iterator<Item = SectionId> + '_ {
        // Sections that the linker made have the highest ids.
        let end = (self.section_places.len() - self.made.len()) as u32;
        let made = |wanted| {
            let there = self.made.iter().filter(move |&&(_, place)| place == wanted);
            there.map(|&(id, _)| id)
        };
        let of_object = move |(object, &first): (ObjectId, &u32)| {
            let next = self.first_section.get(object.index() + 1);
            let read = first..next.copied().unwrap_or(end);
            read.map(|id| SectionId::from_index(id as usize))
                .chain(made(MadePlace::Behind(object)))
        };
        made(MadePlace::Front).chain(self.first_section.iter_ids().flat_map(of_object))
    }

    /// Whether a link-once rule or garbage collection dropped the section.
    pub fn is_discarded(&self, section: SectionId) -> bool {
        self.discarded[section]
    }

    /// The global behind symbol `index` of `object`; `None` for locals.
    #[inline]
    pub fn global_of(&self, object: ObjectId, index: u32) -> Option<GlobalId> {
        let first = self.objects[object].first_global;
        let index = (index as usize).checked_sub(first)?;
        self.global_ids[object].get(index).copied()
    }

    /// The global called `name`, if any object or the command line mentions it.
    pub fn global(&self, name: &[u8]) -> Option<GlobalId> {
        let is_it = |&id: &GlobalId| self.globals[id].name == name;
        let hash = self.hasher.hash_one(name);
        self.by_name.find(hash, is_it).copied()
    }

    /// The global called `name`, made undefined if nothing mentioned it yet.
    pub fn mention(&mut self, name: &'a [u8]) -> GlobalId {
        self.mention_hashed(name, self.hasher.hash_one(name))
    }

    /// As [`Self::mention`], of a name whose hash is known.
    fn mention_hashed(&mut self, name: &'a [u8], hash: u64) -> GlobalId {
        let (globals, hasher) = (&mut self.globals, &self.hasher);
        let is_it = |&id: &GlobalId| globals[id].name == name;
        let hash_of = |&id: &GlobalId| hasher.hash_one(globals[id].name);
        let vacant = match self.by_name.entry(hash, is_it, hash_of) {
            Entry::Occupied(known) => return *known.get(),
            Entry::Vacant(vacant) => vacant,
        };
        let id = globals.push(Global {
            name,
            definition: Definition::Undefined { weak: true },
            symbol_type: elf::STT_NOTYPE.0,
            other: elf::STV_DEFAULT.0,
            size: 0,
            script_only: false,
        });
        vacant.insert(id);
        id
    }

    /// The first object in front of `end` that needs `name` from others.
    pub(crate) fn first_reference(&self, name: &[u8], end: ObjectId) -> Option<ObjectId> {
        let global = self.global(name)?;
        let needs = |id: ObjectId| {
            let object = &self.objects[id];
            let first = object.first_global;
            let globals = object.symbols.get(first..).unwrap_or_default();
            globals.iter().zip(first..).any(|(symbol, number)| {
                symbol.place == SymbolPlace::Undefined
                    && symbol.binding != elf::STB_WEAK.0
                    && self.global_of(id, number as u32) == Some(global)
            })
        };
        self.objects.ids().take(end.index()).find(|&id| needs(id))
    }

    /// Makes `name` undefined, as `-u` does.
    pub fn need(&mut self, name: &'a [u8]) -> GlobalId {
        let id = self.mention(name);
        if let Definition::Undefined { weak } = &mut self.globals[id].definition {
            *weak = false;
        }
        id
    }

    /// Which archive member that defines `name` should join.
    pub fn demand(&self, name: &[u8]) -> Demand {
        if self.assigned_early.contains(name) {
            return Demand::None;
        }
        match self.global(name).map(|id| self.globals[id].definition) {
            Some(Definition::Undefined { weak: false }) => Demand::Any,
            Some(Definition::Common { .. }) => Demand::Data,
            _ => Demand::None,
        }
    }

    /// Makes room for what these objects will bring. Gives the hashes of each one's names for
    /// [`Self::add_hashed`]: they can be made on several threads, but objects join on one.
    pub(crate) fn expect(&mut self, objects: &[Object<'a>]) -> Vec<Vec<u64>> {
        let hashes = objects.par_iter().map(|object| self.hashes_of(object));
        let hashes: Vec<Vec<u64>> = hashes.collect();
        // In a kernel, three objects name a symbol on average.
        let names = hashes.iter().map(Vec::len).sum::<usize>() / 3;
        let hash_of = |&id: &GlobalId| self.hasher.hash_one(self.globals[id].name);
        self.by_name.reserve(names, hash_of);
        hashes
    }

    /// The hashes of the names of an object's globals.
    fn hashes_of(&self, object: &Object<'_>) -> Vec<u64> {
        let names = globals_of(object).iter().map(|symbol| symbol.name);
        names.map(|name| self.hasher.hash_one(name)).collect()
    }

    /// Adds an object: decides about its link-once sections, then merges its global symbols.
    pub fn add(&mut self, object: Object<'a>) -> ObjectId {
        let hashes = self.hashes_of(&object);
        self.add_hashed(object, &hashes)
    }

    /// As [`Self::add`], of an object whose names' hashes are known.
    pub(crate) fn add_hashed(&mut self, object: Object<'a>, hashes: &[u64]) -> ObjectId {
        let first = self.section_places.len() as u32;
        let id = ObjectId::from_index(self.objects.len());
        for index in 0..object.sections.len() {
            self.section_places.push((id, index as u32));
            self.discarded.push(false);
        }
        self.first_section.push(first);
        self.discard_link_once(&object, id, first);
        let globals = globals_of(&object);
        let mut ids = Vec::with_capacity(globals.len());
        let offset = object.symbols.len() - globals.len();
        for ((symbol, &hash), index) in globals.iter().zip(hashes).zip(offset as u32..) {
            ids.push(self.merge(&object, id, first, index, (symbol, hash)));
        }
        self.global_ids.push(ids);
        let mut object = object;
        object.first_global = offset;
        self.objects.push(object)
    }

    /// The first group of a signature, and the first `.gnu.linkonce` section of a name, is kept; the
    /// others are dropped (ELF gABI chapter 4, `GRP_COMDAT`).
    fn discard_link_once(&mut self, object: &Object<'a>, id: ObjectId, first: u32) {
        for group in &object.groups {
            let comdat = group.flags & elf::GRP_COMDAT.0 != 0;
            if comdat && *self.link_once.entry(group.signature).or_insert(id) != id {
                for &section in group.members.iter().chain([&group.section]) {
                    self.discarded[SectionId::from_index((first + section) as usize)] = true;
                }
            }
        }
        if !object.rarities.link_once {
            return;
        }
        for (index, section) in object.sections.iter().enumerate() {
            if section.is_link_once() && *self.link_once.entry(section.name).or_insert(id) != id {
                self.discarded[SectionId::from_index(first as usize + index)] = true;
            }
        }
    }

    fn merge(
        &mut self,
        object: &Object<'a>,
        id: ObjectId,
        first: u32,
        index: u32,
        (symbol, hash): (&InputSymbol<'a>, u64),
    ) -> GlobalId {
        let wrapped = match symbol.place {
            SymbolPlace::Undefined => self.wrapped.get(symbol.name).copied(),
            _ => None,
        };
        let global_id = match wrapped {
            Some(name) => self.mention(name),
            None => self.mention_hashed(symbol.name, hash),
        };
        self.globals[global_id].script_only = false;
        let weak = symbol.binding == elf::STB_WEAK.0;
        let place = match symbol.place {
            SymbolPlace::Section(section)
                if self.discarded[SectionId::from_index((first + section) as usize)] =>
            {
                SymbolPlace::Undefined
            }
            place => place,
        };
        let global = &mut self.globals[global_id];
        let object_definition = Definition::Object {
            object: id,
            symbol: index,
            weak,
            binding: symbol.binding,
        };
        let takes_over = match (place, global.definition) {
            (SymbolPlace::Undefined, Definition::Undefined { weak: was_weak }) => {
                global.definition = Definition::Undefined {
                    weak: was_weak && weak,
                };
                false
            }
            (SymbolPlace::Undefined, _) | (_, Definition::Script | Definition::Made { .. }) => {
                false
            }
            (SymbolPlace::Common, Definition::Common { align, object }) => {
                global.definition = Definition::Common {
                    align: align.max(symbol.value),
                    object: if symbol.size > global.size {
                        id
                    } else {
                        object
                    },
                };
                global.size = global.size.max(symbol.size);
                false
            }
            (SymbolPlace::Common, Definition::Object { weak: false, .. }) => false,
            (SymbolPlace::Common, _) => {
                global.definition = Definition::Common {
                    align: symbol.value.max(1),
                    object: id,
                };
                true
            }
            (_, Definition::Undefined { .. }) => {
                global.definition = object_definition;
                true
            }
            (_, Definition::Object { weak: true, .. }) | (_, Definition::Common { .. })
                if !weak =>
            {
                global.definition = object_definition;
                true
            }
            (
                _,
                Definition::Object {
                    object: other,
                    weak: false,
                    ..
                },
            ) if !weak => {
                if !self.allow_multiple_definition {
                    self.errors.push(LinkError::MultipleDefinition {
                        symbol: String::from_utf8_lossy(symbol.name).into_owned(),
                        file: object.name.clone(),
                        // An object that defines it twice has not joined yet.
                        first: if other == id {
                            object.name.clone()
                        } else {
                            self.objects[other].name.clone()
                        },
                    });
                }
                false
            }
            _ => false,
        };
        let is_there = place != SymbolPlace::Undefined;
        merge_attributes(&mut self.globals[global_id], symbol, takes_over, is_there);
        global_id
    }
}

/// The symbols of an object that are not local.
fn globals_of<'l, 'a>(object: &'l Object<'a>) -> &'l [InputSymbol<'a>] {
    let globals = object.symbols.get(object.first_global.max(1)..);
    globals.unwrap_or_default()
}

/// Type, size and visibility: a definition's count, and a mention's where there is nothing better; a size
/// only of what `is_there`, in a section that is kept
/// (bfd/elflink.c, `elf_link_add_object_symbols` and `elf_merge_st_other`).
fn merge_attributes(
    global: &mut Global<'_>,
    symbol: &InputSymbol<'_>,
    takes_over: bool,
    is_there: bool,
) {
    if symbol.symbol_type != elf::STT_NOTYPE.0
        && (takes_over || global.symbol_type == elf::STT_NOTYPE.0)
    {
        global.symbol_type = symbol.symbol_type;
    }
    if symbol.size != 0 && is_there && (takes_over || global.size == 0) {
        global.size = symbol.size;
    }
    let rest = if takes_over {
        symbol.other
    } else {
        global.other
    } & !3;
    global.other = rest | stricter(global.other & 3, symbol.other & 3);
}

/// The more constraining of two visibilities. By number, `STV_DEFAULT` (0) yields to all others, and
/// of these the lowest is the strictest: internal 1, hidden 2, protected 3 (ELF gABI chapter 4).
fn stricter(a: u8, b: u8) -> u8 {
    match (a, b) {
        (0, other) | (other, 0) => other,
        _ => a.min(b),
    }
}
