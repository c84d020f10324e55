//! Output sections: what their inputs make of them.

use bitflags::bitflags;
use object::elf;

use crate::id::{IdVec, ObjectId, OutputId, SectionId};
use crate::input::{InputSection, SHF_MASK_OS_AND_PROCESSOR};

bitflags! {
    /// What the linker's rules ask about a section. The same questions as BFD's section flags answer
    /// (bfd/section.c), since GNU ld's rules for merging and placing are stated in them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Traits: u16 {
        /// It has room in memory.
        const ALLOC = 1 << 0;
        /// It has room in memory and bytes in the file.
        const LOAD = 1 << 1;
        /// It is not written to.
        const READ_ONLY = 1 << 2;
        /// It is code.
        const CODE = 1 << 3;
        /// It has bytes in the file.
        const CONTENTS = 1 << 4;
        /// Equal entries may be merged.
        const MERGE = 1 << 5;
        /// Its entries are strings.
        const STRINGS = 1 << 6;
        /// It is thread-local.
        const THREAD_LOCAL = 1 << 7;
        /// It is not wanted in a final link.
        const EXCLUDE = 1 << 8;
        /// It is for debuggers.
        const DEBUGGING = 1 << 9;
        /// It has bytes in memory that are not code.
        const DATA = 1 << 10;
    }
}

impl Traits {
    /// The traits of an input section (bfd/elf.c, `_bfd_elf_make_section_from_shdr`).
    pub fn of(section: &InputSection<'_>) -> Self {
        let has = |flag: elf::SectionFlags| section.flags & flag.0 != 0;
        let contents = section.section_type != elf::SHT_NOBITS.0;
        let alloc = has(elf::SHF_ALLOC);
        let mut traits = Self::empty();
        traits.set(Self::CONTENTS, contents);
        traits.set(Self::ALLOC, alloc);
        traits.set(Self::LOAD, alloc && contents);
        traits.set(Self::DATA, alloc && contents && !has(elf::SHF_EXECINSTR));
        traits.set(Self::READ_ONLY, !has(elf::SHF_WRITE));
        traits.set(Self::CODE, has(elf::SHF_EXECINSTR));
        traits.set(Self::MERGE, has(elf::SHF_MERGE));
        traits.set(Self::STRINGS, has(elf::SHF_STRINGS));
        traits.set(Self::THREAD_LOCAL, has(elf::SHF_TLS));
        traits.set(Self::EXCLUDE, has(elf::SHF_EXCLUDE));
        traits.set(Self::DEBUGGING, !alloc && is_debug_name(section.name));
        traits
    }

    /// `sh_flags` for them.
    pub fn section_flags(self) -> u64 {
        let pairs = [
            (Self::ALLOC, elf::SHF_ALLOC),
            (Self::CODE, elf::SHF_EXECINSTR),
            (Self::MERGE, elf::SHF_MERGE),
            (Self::STRINGS, elf::SHF_STRINGS),
            (Self::THREAD_LOCAL, elf::SHF_TLS),
            (Self::EXCLUDE, elf::SHF_EXCLUDE),
        ];
        let write = if self.contains(Self::READ_ONLY) {
            0
        } else {
            elf::SHF_WRITE.0
        };
        pairs
            .into_iter()
            .filter(|&(flag, _)| self.contains(flag))
            .fold(write, |flags, (_, bit)| flags | bit.0)
    }
}

/// Debugging sections are known by name only (bfd/elf.c, `_bfd_elf_make_section_from_shdr`).
fn is_debug_name(name: &[u8]) -> bool {
    const PREFIXES: [&[u8]; 6] = [
        b".debug",
        b".gnu.debuglto_.debug_",
        b".gnu.linkonce.wi.",
        b".zdebug",
        b".line",
        b".stab",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || name == b".gdb_index"
}

/// An output section.
#[derive(Clone, Debug)]
pub struct OutputSection<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// What its inputs make of it.
    pub traits: Traits,
    /// `sh_type`; `SHT_NULL` until an input or data gives one.
    pub section_type: u32,
    /// Flags that are neither traits nor made anew: those of the OS and processor ranges,
    /// `SHF_LINK_ORDER`, `SHF_COMPRESSED`.
    pub extra_flags: u64,
    /// Alignment in bytes.
    pub align: u64,
    /// `sh_entsize`.
    pub entry_size: u64,
    /// For `SHF_LINK_ORDER`: the input section whose output section `sh_link` names.
    pub linked_to: Option<SectionId>,
    /// For members of a section group in relocatable output: object and group number.
    pub group: Option<(ObjectId, u32)>,
    /// What it is made of, in order.
    pub pieces: Vec<Piece>,
    /// Where in `pieces` what another pattern took begins, or what was an orphan, before islands
    /// join.
    pub part_starts: Vec<usize>,
    /// Size in bytes, once laid out.
    pub size: u64,
    /// Address; 0 in relocatable output.
    pub address: u64,
    /// Where it is loaded: `p_paddr` of its segment counts from there.
    pub load_address: u64,
    /// Whether it stays though it is empty.
    pub keep: bool,
    /// Whether it is not in the output, since it came out empty; symbols may still be in it.
    pub removed: bool,
    /// For a removed section: how many sections of the output stand before its place.
    pub kept_before: usize,
    /// Whether its type in the script says that it is read-only, whatever its inputs are.
    pub read_only: bool,
    /// Whether its type in the script says that it takes no room in memory.
    pub never_allocated: bool,
    has_input: bool,
}

/// A part of an output section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// An input section; its offset is in [`Placements`].
    Section(SectionId),
    /// A statement of the script's output section: the index among the statements to execute.
    Statement(u32),
    /// An island of an image, by number.
    Island(u32),
}

impl<'a> OutputSection<'a> {
    /// A section that nothing was added to yet.
    pub fn new(name: &'a [u8]) -> Self {
        Self {
            name,
            traits: Traits::empty(),
            section_type: elf::SHT_NULL.0,
            extra_flags: 0,
            align: 1,
            entry_size: 0,
            linked_to: None,
            group: None,
            pieces: Vec::new(),
            part_starts: Vec::new(),
            size: 0,
            address: 0,
            load_address: 0,
            keep: false,
            removed: false,
            kept_before: 0,
            read_only: false,
            never_allocated: false,
            has_input: false,
        }
    }

    /// Appends an input section and merges its attributes (ld/ldlang.c, `lang_add_section`;
    /// bfd/elf.c, `_bfd_elf_init_private_section_data`). `linked_to` is the section behind its
    /// `SHF_LINK_ORDER` link.
    pub fn add(
        &mut self,
        id: SectionId,
        section: &InputSection<'a>,
        linked_to: Option<SectionId>,
        group: Option<(ObjectId, u32)>,
    ) {
        let own = Traits::of(section);
        let mut traits = own;
        traits.set(
            Traits::READ_ONLY,
            own.contains(Traits::READ_ONLY) || self.read_only,
        );
        if self.has_input {
            let same_merge = (self.traits ^ traits) & (Traits::MERGE | Traits::STRINGS)
                == Traits::empty()
                && (!traits.contains(Traits::MERGE) || self.entry_size == section.entry_size);
            let mut added = traits - Traits::READ_ONLY;
            if !same_merge {
                self.traits -= Traits::MERGE | Traits::STRINGS;
                added -= Traits::MERGE | Traits::STRINGS;
                self.entry_size = 0;
            }
            if !traits.contains(Traits::READ_ONLY) {
                self.traits -= Traits::READ_ONLY;
            }
            self.traits |= added;
        } else {
            self.has_input = true;
            let was_empty = self.traits.is_empty();
            self.traits |= traits - Traits::READ_ONLY;
            if self.pieces.is_empty() || traits.contains(Traits::READ_ONLY) {
                self.traits |= traits & Traits::READ_ONLY;
            } else {
                self.traits -= Traits::READ_ONLY;
            }
            // Data statements that came first leave a section of plain bytes.
            if was_empty || self.traits == own && self.section_type == elf::SHT_NULL.0 {
                self.section_type = section.section_type;
            }
            let copied = SHF_MASK_OS_AND_PROCESSOR | elf::SHF_LINK_ORDER.0 | elf::SHF_COMPRESSED.0;
            self.extra_flags |= section.flags & copied;
            if traits.contains(Traits::MERGE) {
                self.entry_size = section.entry_size;
            }
            self.linked_to = linked_to;
            self.group = group;
        }
        // NOBITS in front of contents becomes contents (bfd/elf.c, elf_fake_sections).
        if self.section_type == elf::SHT_NOBITS.0 && self.traits.contains(Traits::CONTENTS) {
            self.section_type = elf::SHT_PROGBITS.0;
        }
        self.align = self.align.max(section.align);
        self.pieces.push(Piece::Section(id));
    }

    /// Appends a statement of the script; `data` says that it emits bytes.
    pub fn add_statement(&mut self, statement: u32, data: bool) {
        if data {
            if self.traits.is_empty() {
                // An assignment in front has made it a section that is written.
                if self.pieces.is_empty() {
                    self.traits = Traits::READ_ONLY;
                }
                (self.section_type, self.extra_flags) = implied_by_name(self.name);
            }
            self.traits |= Traits::ALLOC | Traits::LOAD | Traits::CONTENTS;
            if self.section_type == elf::SHT_NOBITS.0 {
                self.section_type = elf::SHT_PROGBITS.0;
            }
        }
        self.pieces.push(Piece::Statement(statement));
    }

    /// Notes that what another pattern took follows.
    pub(crate) fn begin_part(&mut self) {
        self.part_starts.push(self.pieces.len());
    }

    /// Takes an input section out again.
    pub(crate) fn remove(&mut self, section: SectionId) {
        let is_it = |piece: &Piece| *piece == Piece::Section(section);
        let Some(at) = self.pieces.iter().position(is_it) else {
            return;
        };
        self.pieces.remove(at);
        for start in self.part_starts.iter_mut().filter(|start| **start > at) {
            *start -= 1;
        }
    }

    /// The input sections in it, in order.
    pub fn sections(&self) -> impl Iterator<Item = SectionId> + '_ {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Section(id) => Some(*id),
            Piece::Statement(_) | Piece::Island(_) => None,
        })
    }

    /// `sh_type` for the file.
    pub fn file_type(&self) -> u32 {
        match self.section_type {
            0 if self.traits.contains(Traits::ALLOC) && !self.traits.contains(Traits::CONTENTS) => {
                elf::SHT_NOBITS.0
            }
            0 => match self.implied() {
                Some((implied, _)) if implied != elf::SHT_NULL.0 => implied,
                _ => elf::SHT_PROGBITS.0,
            },
            known => known,
        }
    }

    /// `sh_flags` for the file.
    pub fn file_flags(&self) -> u64 {
        let group = if self.group.is_some() {
            elf::SHF_GROUP.0
        } else {
            0
        };
        let implied = self.implied().map_or(0, |(_, flags)| flags);
        self.traits.section_flags() | self.extra_flags | group | implied
    }

    /// Type and flags of a section that only symbols keep (bfd/elf.c, `_bfd_elf_new_section_hook`).
    fn implied(&self) -> Option<(u32, u64)> {
        self.traits.is_empty().then(|| {
            let (section_type, flags) = implied_by_name(self.name);
            let is_outside = [elf::SHT_NULL.0, elf::SHT_NOTE.0].contains(&section_type)
                || self.name == b".interp";
            let flags = if is_outside {
                flags
            } else {
                flags | elf::SHF_ALLOC.0
            };
            (section_type, flags)
        })
    }

    /// `sh_addralign` for the file: no more than its address has (bfd/elf.c, `elf_fake_sections`).
    pub fn file_align(&self) -> u64 {
        let both = self.align | self.address;
        both & both.wrapping_neg()
    }

    /// Whether it is thread-local and zero: threads have room for it, the image has not.
    pub fn is_tbss(&self) -> bool {
        self.traits.contains(Traits::THREAD_LOCAL) && !self.traits.contains(Traits::LOAD)
    }

    /// How far it moves what follows in memory, in bytes.
    pub fn memory_size(&self) -> u64 {
        if self.is_tbss() { 0 } else { self.size }
    }

    /// Whether it has bytes in the file.
    pub fn has_contents(&self) -> bool {
        self.file_type() != elf::SHT_NOBITS.0
    }
}

/// Type and flags, but for that of memory, that a name alone gives to a section which begins with a data
/// statement (bfd/elf.c, `special_sections_*`); others are read-only bytes without a type yet (ld/ldlang.c,
/// `map_input_to_output_sections`). Kernels make room for their loaders' `.plt` and `.got` so.
fn implied_by_name(name: &[u8]) -> (u32, u64) {
    let (write, code) = (elf::SHF_WRITE.0, elf::SHF_EXECINSTR.0);
    let thread = write | elf::SHF_TLS.0;
    let bytes = elf::SHT_PROGBITS.0;
    // Names that stand for themselves …
    let exact: [(&[u8], u32, u64); 7] = [
        (b".data1", bytes, write),
        (b".fini", bytes, code),
        (b".got", bytes, write),
        (b".init", bytes, code),
        (b".plt", bytes, code),
        (b".rodata1", bytes, 0),
        (b".interp", bytes, 0),
    ];
    // … and those that may have an ending behind a dot.
    let begins: [(&[u8], u32, u64); 13] = [
        (b".bss", elf::SHT_NOBITS.0, write),
        (b".noinit", elf::SHT_NOBITS.0, write),
        (b".persistent", bytes, write),
        (b".ctors", bytes, write),
        (b".dtors", bytes, write),
        (b".data", bytes, write),
        (b".rodata", bytes, 0),
        (b".text", bytes, code),
        (b".tbss", elf::SHT_NOBITS.0, thread),
        (b".tdata", bytes, thread),
        (b".init_array", elf::SHT_INIT_ARRAY.0, write),
        (b".fini_array", elf::SHT_FINI_ARRAY.0, write),
        (b".preinit_array", elf::SHT_PREINIT_ARRAY.0, write),
    ];
    let has_ending = |with: &[u8]| {
        let rest = name.strip_prefix(with);
        rest.is_some_and(|rest| rest.first().is_none_or(|&byte| byte == b'.'))
    };
    let found = exact.iter().find(|row| row.0 == name);
    let found = found.or_else(|| begins.iter().find(|row| has_ending(row.0)));
    match found {
        Some(&(_, section_type, flags)) => (section_type, flags),
        None if name.starts_with(b".note") => (elf::SHT_NOTE.0, 0),
        None => (elf::SHT_NULL.0, 0),
    }
}

/// Where each input section went.
#[derive(Clone, Debug)]
pub struct Placements {
    places: IdVec<SectionId, Option<OutputId>>,
    offsets: IdVec<SectionId, u64>,
}

impl Placements {
    /// Nothing is placed yet.
    pub fn new(sections: usize) -> Self {
        Self {
            places: IdVec::filled(None, sections),
            offsets: IdVec::filled(0, sections),
        }
    }

    /// The output section of an input section; `None` if it is not in the output.
    #[inline]
    pub fn output(&self, section: SectionId) -> Option<OutputId> {
        self.places[section]
    }

    /// Offset of an input section in its output section, in bytes.
    #[inline]
    pub fn offset(&self, section: SectionId) -> u64 {
        self.offsets[section]
    }

    /// Puts an input section into an output section.
    pub fn place(&mut self, section: SectionId, output: OutputId) {
        self.places[section] = Some(output);
    }

    /// Says that an input section is in no output section after all.
    pub(crate) fn remove(&mut self, section: SectionId) {
        self.places[section] = None;
    }

    /// Sets the offset of an input section.
    pub fn set_offset(&mut self, section: SectionId, offset: u64) {
        self.offsets[section] = offset;
    }
}

/// All output sections of a link.
#[derive(Clone, Debug, Default)]
pub struct Outputs<'a> {
    /// The sections, in order of creation.
    pub sections: IdVec<OutputId, OutputSection<'a>>,
    /// Their order in the file.
    pub order: Vec<OutputId>,
}

impl Outputs<'_> {
    /// How many sections of the file stand before `id`, or, if it was removed, before its place.
    pub fn position_near(&self, id: OutputId) -> usize {
        match self.order.iter().position(|&other| other == id) {
            Some(at) => at + 1,
            None => self.sections[id].kept_before,
        }
    }

    /// The section of the file that stands for a removed one (bfd/linker.c, `_bfd_nearby_section`):
    /// the one before or behind it, whichever is in the same segment rather.
    pub fn nearby(&self, removed: OutputId, address: u64) -> Option<OutputId> {
        let at = self.position_near(removed);
        let previous = at.checked_sub(1).map(|at| self.order[at]);
        let next = self.order.get(at).copied();
        let (Some(previous), Some(next)) = (previous, next) else {
            return previous.or(next);
        };
        let [own, before, behind] = [removed, previous, next].map(|id| self.sections[id].traits);
        let room = Traits::ALLOC | Traits::THREAD_LOCAL;
        let takes_previous = if (before ^ behind).intersects(room | Traits::LOAD) {
            (behind ^ own).intersects(room)
                || before.contains(Traits::LOAD) && !behind.contains(Traits::LOAD)
        } else if (before ^ behind).contains(Traits::READ_ONLY) {
            (behind ^ own).contains(Traits::READ_ONLY)
        } else if (before ^ behind).contains(Traits::CODE) {
            (behind ^ own).contains(Traits::CODE)
        } else {
            address < self.sections[next].address
        };
        Some(if takes_previous { previous } else { next })
    }

    /// The first section called `name`, in file order.
    pub fn by_name(&self, name: &[u8]) -> Option<OutputId> {
        self.order
            .iter()
            .copied()
            .find(|&id| self.sections[id].name == name)
    }
}
