//! `.dynamic`: the tags that lead a loader to everything else, in GNU ld's order.
//!
//! Source: bfd/elflink.c (bfd_elf_size_dynamic_sections, _bfd_elf_add_dynamic_tags,
//! bfd_elf_size_dynsym_hash_dynstr, bfd_elf_final_link); numbers: gABI, "Dynamic Section", and
//! include/elf/common.h for the GNU ones.

use klink_arch::{Addends, Class};

use super::encode::{Encoder, Form};
use super::relocations::relocation_size;
use super::strings::{StringId, StringTable};
use super::symbols::symbol_size;

/// Empty tags at the end that GNU ld leaves for others to fill (`--spare-dynamic-tags`), besides
/// the one that ends the table.
pub(crate) const SPARE_TAGS: u32 = 5;

/// `DF_SYMBOLIC`
pub(crate) const DF_SYMBOLIC: u32 = 2;
/// `DF_TEXTREL`
pub(crate) const DF_TEXTREL: u32 = 4;
/// `DF_BIND_NOW`
pub(crate) const DF_BIND_NOW: u32 = 8;
/// `DF_1_PIE`: GNU ld sets it in every `-pie` output.
pub(crate) const DF_1_PIE: u32 = 0x0800_0000;

const DT_NULL: u64 = 0;
const DT_PLTRELSZ: u64 = 2;
const DT_PLTGOT: u64 = 3;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_RELAENT: u64 = 9;
const DT_STRSZ: u64 = 10;
const DT_SYMENT: u64 = 11;
const DT_INIT: u64 = 12;
const DT_FINI: u64 = 13;
const DT_SONAME: u64 = 14;
const DT_RPATH: u64 = 15;
const DT_SYMBOLIC: u64 = 16;
const DT_REL: u64 = 17;
const DT_RELSZ: u64 = 18;
const DT_RELENT: u64 = 19;
const DT_PLTREL: u64 = 20;
const DT_DEBUG: u64 = 21;
const DT_TEXTREL: u64 = 22;
const DT_JMPREL: u64 = 23;
const DT_BIND_NOW: u64 = 24;
const DT_INIT_ARRAY: u64 = 25;
const DT_FINI_ARRAY: u64 = 26;
const DT_INIT_ARRAYSZ: u64 = 27;
const DT_FINI_ARRAYSZ: u64 = 28;
const DT_RUNPATH: u64 = 29;
const DT_FLAGS: u64 = 30;
const DT_PREINIT_ARRAY: u64 = 32;
const DT_PREINIT_ARRAYSZ: u64 = 33;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const DT_DEPAUDIT: u64 = 0x6fff_fefb;
const DT_AUDIT: u64 = 0x6fff_fefc;
const DT_VERSYM: u64 = 0x6fff_fff0;
const DT_RELACOUNT: u64 = 0x6fff_fff9;
const DT_RELCOUNT: u64 = 0x6fff_fffa;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DT_VERDEF: u64 = 0x6fff_fffc;
const DT_VERDEFNUM: u64 = 0x6fff_fffd;
const DT_AUXILIARY: u64 = 0x7fff_fffd;
const DT_FILTER: u64 = 0x7fff_ffff;

/// What decides which tags there are. All of it is known before layout.
#[derive(Debug, Clone, Default)]
pub(crate) struct TagRequest {
    /// Whether the output is an executable (`-pie`) and not a shared object.
    pub(crate) executable: bool,
    /// `-soname`
    pub(crate) soname: Option<StringId>,
    /// `-Bsymbolic`, of a shared object.
    pub(crate) symbolic: bool,
    /// `-rpath`
    pub(crate) run_path: Option<StringId>,
    /// `--filter`
    pub(crate) filter: Option<StringId>,
    /// `--auxiliary`
    pub(crate) auxiliary: Vec<StringId>,
    /// `--audit`
    pub(crate) audit: Option<StringId>,
    /// `--depaudit`
    pub(crate) depaudit: Option<StringId>,
    /// `--disable-new-dtags`: `DT_RPATH` instead of `DT_RUNPATH`, and no `DT_FLAGS`.
    pub(crate) old_tags: bool,
    /// Whether the inputs have the symbol that `-init` names (`_init`).
    pub(crate) init: bool,
    /// Whether the inputs have the symbol that `-fini` names (`_fini`).
    pub(crate) fini: bool,
    /// Whether the output section has inputs.
    pub(crate) preinit_array: bool,
    /// Whether the output section has inputs.
    pub(crate) init_array: bool,
    /// Whether the output section has inputs.
    pub(crate) fini_array: bool,
    /// Whether there is a `.hash`.
    pub(crate) hash: bool,
    /// Whether there is a `.gnu.hash`.
    pub(crate) gnu_hash: bool,
    /// Whether there is a PLT, or the architecture wants `DT_PLTGOT` always.
    pub(crate) plt_got: bool,
    /// The form of the PLT's relocations, if there are any.
    pub(crate) plt_relocations: Option<Addends>,
    /// The form of the other dynamic relocations, if there are any.
    pub(crate) relocations: Option<Addends>,
    /// Whether one of them changes a section that is not writable.
    pub(crate) text_relocations: bool,
    /// Versions in `.gnu.version_d`, the base version included; 0: no such section.
    pub(crate) version_definitions: u32,
    /// `DF_…` of options; what follows from the other members is added.
    pub(crate) flags: u32,
    /// `DF_1_…` of options; of an executable `DF_1_PIE` is added.
    pub(crate) flags_1: u32,
    /// Empty tags at the end: [`SPARE_TAGS`] by default.
    pub(crate) spare: u32,
}

/// Where an address or size in a tag comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Part {
    /// `.hash`
    Hash,
    /// `.gnu.hash`
    GnuHash,
    /// `.dynstr`
    Strings,
    /// `.dynsym`
    Symbols,
    /// `.gnu.version`
    Versions,
    /// `.gnu.version_d`
    VersionDefinitions,
    /// All dynamic relocations but the PLT's.
    Relocations,
    /// The PLT's relocations.
    PltRelocations,
    /// The table that the PLT uses.
    PltGot,
    /// `.preinit_array`
    PreinitArray,
    /// `.init_array`
    InitArray,
    /// `.fini_array`
    FiniArray,
    /// The function that `-init` names.
    Init,
    /// The function that `-fini` names.
    Fini,
}

/// Where a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Its address.
    pub(crate) address: u64,
    /// Its size, bytes.
    pub(crate) size: u64,
}

/// A tag leads to a part that the output has not, since the script discarded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("could not find section {0:?}")]
pub(crate) struct MissingPart(pub(crate) Part);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TagValue {
    Number(u64),
    String(StringId),
    Address(Part),
    Size(Part),
}

/// The tags of an output.
#[derive(Debug)]
pub(crate) struct Tags {
    tags: Vec<(u64, TagValue)>,
    /// Empty ones behind them, the one that ends the table included.
    empty: u32,
    /// The form of dynamic relocations, for the count of relative ones.
    addends: Option<Addends>,
}

impl Tags {
    /// Lists the tags.
    pub(crate) fn new(class: Class, request: &TagRequest) -> Self {
        let mut tags = List(Vec::new());
        tags.add_options(request);
        tags.add_functions(request);
        tags.add_symbols(class, request);
        tags.add_relocations(class, request);
        tags.add_versions_and_flags(request);
        Self {
            tags: tags.0,
            empty: 1 + request.spare,
            addends: request.relocations,
        }
    }

    /// Bytes of `.dynamic`.
    pub(crate) fn size(&self, class: Class) -> u64 {
        (self.tags.len() as u64 + u64::from(self.empty)) * tag_size(class)
    }

    /// Contents of `.dynamic`. `relative` is what [`sort`](super::relocations::sort) said, and 0
    /// where dynamic relocations are not sorted.
    ///
    /// # Errors
    /// The first part that `find` has not.
    pub(crate) fn bytes(
        &self,
        form: Form,
        strings: &StringTable,
        relative: u64,
        find: impl Fn(Part) -> Option<Extent>,
    ) -> Result<Vec<u8>, MissingPart> {
        let mut table = Encoder::new(form, self.size(form.class) as usize);
        let mut add = |tag: u64, value: u64| {
            table.address(tag);
            table.address(value);
        };
        for &(tag, value) in &self.tags {
            let find = |part| find(part).ok_or(MissingPart(part));
            let value = match value {
                TagValue::Number(number) => number,
                TagValue::String(string) => u64::from(strings.offset(string)),
                TagValue::Address(part) => find(part)?.address,
                TagValue::Size(part) => find(part)?.size,
            };
            add(tag, value);
        }
        let mut empty = self.empty;
        if let Some(addends) = self.addends
            && relative != 0
        {
            // It takes the place of the first empty tag: only now the number is known.
            add(by_form(addends, DT_RELCOUNT, DT_RELACOUNT), relative);
            empty -= 1;
        }
        for _ in 0..empty {
            add(DT_NULL, 0);
        }
        Ok(table.into_bytes())
    }
}

/// Bytes of a tag with its value; also `sh_entsize` of `.dynamic`.
pub(crate) fn tag_size(class: Class) -> u64 {
    u64::from(class.address_bits() / 4)
}

/// Tags that become more, in order.
struct List(Vec<(u64, TagValue)>);

impl List {
    fn number(&mut self, tag: u64, value: u64) {
        self.0.push((tag, TagValue::Number(value)));
    }

    fn string(&mut self, tag: u64, value: Option<StringId>) {
        self.0
            .extend(value.map(|value| (tag, TagValue::String(value))));
    }

    fn address(&mut self, tag: u64, part: Part) {
        self.0.push((tag, TagValue::Address(part)));
    }

    fn size(&mut self, tag: u64, part: Part) {
        self.0.push((tag, TagValue::Size(part)));
    }

    fn add_options(&mut self, request: &TagRequest) {
        let path_tag = match request.old_tags {
            true => DT_RPATH,
            false => DT_RUNPATH,
        };
        self.string(DT_SONAME, request.soname);
        if request.symbolic {
            self.number(DT_SYMBOLIC, 0);
        }
        self.string(path_tag, request.run_path);
        self.string(DT_FILTER, request.filter);
        for &name in &request.auxiliary {
            self.string(DT_AUXILIARY, Some(name));
        }
        self.string(DT_AUDIT, request.audit);
        self.string(DT_DEPAUDIT, request.depaudit);
    }

    fn add_functions(&mut self, request: &TagRequest) {
        if request.init {
            self.address(DT_INIT, Part::Init);
        }
        if request.fini {
            self.address(DT_FINI, Part::Fini);
        }
        if request.preinit_array {
            self.address(DT_PREINIT_ARRAY, Part::PreinitArray);
            self.size(DT_PREINIT_ARRAYSZ, Part::PreinitArray);
        }
        if request.init_array {
            self.address(DT_INIT_ARRAY, Part::InitArray);
            self.size(DT_INIT_ARRAYSZ, Part::InitArray);
        }
        if request.fini_array {
            self.address(DT_FINI_ARRAY, Part::FiniArray);
            self.size(DT_FINI_ARRAYSZ, Part::FiniArray);
        }
    }

    fn add_symbols(&mut self, class: Class, request: &TagRequest) {
        if request.hash {
            self.address(DT_HASH, Part::Hash);
        }
        if request.gnu_hash {
            self.address(DT_GNU_HASH, Part::GnuHash);
        }
        self.address(DT_STRTAB, Part::Strings);
        self.address(DT_SYMTAB, Part::Symbols);
        self.size(DT_STRSZ, Part::Strings);
        self.number(DT_SYMENT, symbol_size(class));
    }

    fn add_relocations(&mut self, class: Class, request: &TagRequest) {
        if request.executable {
            // A debugger finds the loaded objects here; the loader fills it in.
            self.number(DT_DEBUG, 0);
        }
        if request.plt_got {
            self.address(DT_PLTGOT, Part::PltGot);
        }
        if let Some(addends) = request.plt_relocations {
            self.size(DT_PLTRELSZ, Part::PltRelocations);
            self.number(DT_PLTREL, by_form(addends, DT_REL, DT_RELA));
            self.address(DT_JMPREL, Part::PltRelocations);
        }
        if let Some(addends) = request.relocations {
            self.address(by_form(addends, DT_REL, DT_RELA), Part::Relocations);
            self.size(by_form(addends, DT_RELSZ, DT_RELASZ), Part::Relocations);
            let size = relocation_size(class, addends);
            self.number(by_form(addends, DT_RELENT, DT_RELAENT), size);
            if request.text_relocations {
                self.number(DT_TEXTREL, 0);
            }
        }
    }

    fn add_versions_and_flags(&mut self, request: &TagRequest) {
        let has_text_relocations = request.relocations.is_some() && request.text_relocations;
        let flag = |wanted: bool, flag: u32| if wanted { flag } else { 0 };
        let flags = request.flags
            | flag(request.symbolic, DF_SYMBOLIC)
            | flag(has_text_relocations, DF_TEXTREL);
        let flags_1 = request.flags_1 | flag(request.executable, DF_1_PIE);
        if request.version_definitions != 0 {
            self.address(DT_VERDEF, Part::VersionDefinitions);
            self.number(DT_VERDEFNUM, u64::from(request.version_definitions));
        }
        if flags != 0 && !request.old_tags {
            self.number(DT_FLAGS, u64::from(flags));
        } else if flags & DF_BIND_NOW != 0 {
            self.number(DT_BIND_NOW, 0);
        }
        if flags_1 != 0 {
            self.number(DT_FLAGS_1, u64::from(flags_1));
        }
        if request.version_definitions != 0 {
            self.address(DT_VERSYM, Part::Versions);
        }
    }
}

fn by_form(addends: Addends, rel: u64, rela: u64) -> u64 {
    match addends {
        Addends::Rel => rel,
        Addends::Rela => rela,
    }
}
