//! What a position-independent image holds for a loader: planned before layout, written after it.
//!
//! [`crate::dynamic`] makes the tables and knows nothing of links; here the link's symbols, sections
//! and options become its inputs, and its tables the contents of sections.

use hashbrown::HashMap;
use klink_arch::{Addends, Arch, DynamicLinking};
use object::elf;

use super::binding::{Bindings, is_defined};
use super::contents::MadeContents;
use super::got::{Got, GotInput, Rules};
use super::kernel::KallsymsTable;
use super::layout::ImageLayout;
use super::made_sections::{MadePart, MadeSections, is_dynamic};
use super::thread::ThreadAddresses;
use super::values::{SymbolValue, Values};
use crate::dynamic::definitions;
use crate::dynamic::encode::Form;
use crate::dynamic::relocations::{self, DynamicRelocation, Fate};
use crate::dynamic::strings::{StringId, StringTable, Strings};
use crate::dynamic::symbols::{self, DynamicName, DynamicSymbol, HashTables, Numbering};
use crate::dynamic::tags::{self, Extent, Part, TagRequest, Tags};
use crate::dynamic::versions::Versions;
use crate::dynamic::walk::walk_order;
use crate::error::{LinkError, MAX_REFERENCES, Result};
use crate::id::{GlobalId, IdVec, OutputId, SectionId};
use crate::options::{DynamicLinker, HashStyle, Options, OutputKind, Symbolic, TextRelocations};
use crate::output::{Outputs, Placements, Traits};
use crate::resolve::Resolved;
use crate::script::Sources;

/// A symbol of `.dynsym`.
#[derive(Clone, Copy, Debug)]
struct Named {
    /// `None`: a version.
    global: Option<GlobalId>,
    string: StringId,
    index: u32,
}

/// The plan of what a loader reads. Sizes are known; addresses are not.
pub(super) struct DynamicLink {
    strings: StringTable,
    symbols: Vec<Named>,
    indices: IdVec<GlobalId, u32>,
    numbering: Numbering,
    versions: Vec<u8>,
    definitions: Vec<u8>,
    tags: Tags,
    addends: Addends,
    /// The names of versions, which are symbols too.
    pub version_names: Vec<Vec<u8>>,
    /// `sh_info` of `.gnu.version_d`.
    pub definition_count: u32,
}

/// What a plan is made from.
pub(super) struct PlanInput<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    pub options: &'l Options,
    pub arch: &'static Arch,
    pub bindings: &'l Bindings,
    pub versions: &'l Versions,
    pub outputs: &'l Outputs<'a>,
    pub placements: &'l Placements,
    pub made: &'l MadeSections,
    pub got: &'l Got,
}

/// Reads the version scripts of a link.
///
/// # Errors
/// What contradicts itself in them.
pub(super) fn versions(options: &Options, sources: &Sources) -> Result<Versions> {
    let scripts = sources.version_scripts().map(|(_, script)| script);
    let scripts = scripts.filter(|_| is_dynamic(options));
    Versions::new(scripts).map_err(version_error)
}

/// An error of version scripts as one of the link.
pub(super) fn version_error(error: crate::dynamic::versions::VersionError) -> LinkError {
    LinkError::Script(error.to_string())
}

impl DynamicLink {
    /// Plans the tables, and gives the sizes of their sections.
    ///
    /// # Errors
    /// [`LinkError::NotYet`] for architectures that nothing is known of, and for what shared objects cannot
    /// have yet.
    pub(super) fn plan(input: &PlanInput<'_, '_>) -> Result<(Self, Vec<(SectionId, u64)>)> {
        let Some(dynamic) = &input.arch.dynamic else {
            let what = format!("a position-independent output for {}", input.arch.name);
            return Err(LinkError::NotYet { what });
        };
        if input.got.has_thread_slots() && input.options.output_kind == OutputKind::Shared {
            let what = "thread-local variables in a shared object".to_owned();
            return Err(LinkError::NotYet { what });
        }
        if input.got.indirect.is_replaceable(&input.rules()) {
            let what = "an indirect function that others may replace".to_owned();
            return Err(LinkError::NotYet { what });
        }
        let form = Form::of(input.arch);
        let (options, made) = (input.options, input.made);
        let base = base_name(options);
        let run_path = options.rpath.join(":");
        let mut strings = Strings::new();
        let mut wanted: Vec<Option<(Named, DynamicName<'_>)>> = Vec::new();
        let mut all_names = Vec::new();
        for (id, global) in input.resolved.globals.iter_ids() {
            all_names.push(global.name);
            let is_wanted = input.bindings.is_dynamic(id, global);
            wanted.push(is_wanted.then(|| {
                let plain = global.name.split(|&byte| byte == b'@').next();
                let plain = plain.unwrap_or_default();
                let named = Named {
                    global: Some(id),
                    string: strings.add(plain),
                    index: 0,
                };
                let defined = is_defined(global) || input.bindings.is_section_bound(id);
                let name = DynamicName {
                    name: plain,
                    local: false,
                    defined,
                    version: if defined {
                        input.bindings.entries[id]
                    } else {
                        1
                    },
                };
                (named, name)
            }));
        }
        let mut request = input.tag_request(dynamic.addends);
        if request.text_relocations && options.text_relocations == TextRelocations::Error {
            return Err(input.text_relocations());
        }
        request.soname = options
            .soname
            .as_deref()
            .map(|name| strings.add(name.as_bytes()));
        let definitions = input.versions.definitions(&base, &mut strings);
        for (name, version) in input.versions.symbols() {
            let name = name.as_bytes();
            all_names.push(name);
            let named = Named {
                global: None,
                string: strings.add(name),
                index: 0,
            };
            let name = DynamicName {
                name,
                local: false,
                defined: true,
                version,
            };
            wanted.push(Some((named, name)));
        }
        if !run_path.is_empty() {
            request.run_path = Some(strings.add(run_path.as_bytes()));
        }
        request.version_definitions = definitions.len() as u32;

        let order = walk_order(all_names);
        let (mut named, names): (Vec<Named>, Vec<DynamicName<'_>>) =
            order.into_iter().filter_map(|at| wanted[at]).unzip();
        let hash_tables = HashTables {
            sysv: options.hash_style != HashStyle::Gnu,
            gnu: options.hash_style != HashStyle::Sysv,
            optimize: false,
        };
        let numbering = symbols::number(form, &names, 0, hash_tables);
        let mut indices = IdVec::filled(0, input.resolved.globals.len());
        for (named, &index) in named.iter_mut().zip(&numbering.indices) {
            named.index = index;
            if let Some(global) = named.global {
                indices[global] = index;
            }
        }
        named.sort_by_key(|named| named.index);

        let strings = strings.lay_out();
        let plan = Self {
            versions: match definitions.is_empty() {
                true => Vec::new(),
                false => numbering.versions(form, &names),
            },
            definitions: match definitions.is_empty() {
                true => Vec::new(),
                false => definitions::table(form, &definitions, &strings),
            },
            version_names: input
                .versions
                .symbols()
                .map(|(name, _)| name.as_bytes().to_vec())
                .collect(),
            definition_count: definitions.len() as u32,
            tags: Tags::new(form.class, &request),
            strings,
            symbols: named,
            indices,
            numbering,
            addends: dynamic.addends,
        };
        let table = |table: &Option<Vec<u8>>| table.as_ref().map_or(0, Vec::len) as u64;
        let parts = [
            (MadePart::VersionDefinitions, plan.definitions.len() as u64),
            (MadePart::Versions, plan.versions.len() as u64),
            (
                MadePart::DynamicSymbols,
                u64::from(plan.numbering.count) * symbols::symbol_size(form.class),
            ),
            (MadePart::DynamicStrings, plan.strings.bytes.len() as u64),
            (MadePart::Dynamic, plan.tags.size(form.class)),
            (MadePart::Hash, table(&plan.numbering.sysv_hash)),
            (MadePart::GnuHash, table(&plan.numbering.gnu_hash)),
            (
                MadePart::Interpreter,
                interpreter(options, dynamic).len() as u64,
            ),
        ];
        let mut sizes: Vec<(SectionId, u64)> = parts
            .into_iter()
            .filter_map(|(part, size)| Some((made.part(part)?, size)))
            .collect();
        sizes.extend(input.relocation_sizes(dynamic.addends));
        Ok((plan, sizes))
    }

    /// The number of a global in `.dynsym`; 0 if it is not there.
    pub(super) fn index(&self, global: GlobalId) -> u32 {
        self.indices[global]
    }

    /// `sh_info` of `.dynsym`.
    pub(super) fn first_global(&self) -> u32 {
        self.numbering.first_global
    }

    /// Sets what the sections hold.
    ///
    /// # Errors
    /// A tag that leads to what the script discarded.
    pub(super) fn fill(
        &self,
        input: &FillInput<'_, '_>,
        contents: &mut MadeContents,
    ) -> Result<()> {
        let rules = input.rules;
        let form = Form::of(rules.arch);
        let part = |part| input.made.part(part);
        let mut set = |section: Option<SectionId>, bytes: Vec<u8>| {
            if let Some(section) = section.filter(|&section| input.is_placed(section)) {
                contents.set(section, bytes);
            }
        };
        if let Some(dynamic) = &rules.arch.dynamic {
            let path = interpreter(rules.options, dynamic);
            set(part(MadePart::Interpreter), path);
        }
        set(part(MadePart::VersionDefinitions), self.definitions.clone());
        set(part(MadePart::Versions), self.versions.clone());
        set(part(MadePart::DynamicStrings), self.strings.bytes.clone());
        let table = |table: &Option<Vec<u8>>| table.clone().unwrap_or_default();
        set(part(MadePart::Hash), table(&self.numbering.sysv_hash));
        set(part(MadePart::GnuHash), table(&self.numbering.gnu_hash));
        let symbols = self.symbols.iter().map(|named| self.symbol(named, input));
        set(
            part(MadePart::DynamicSymbols),
            symbols::symbol_table(form, symbols),
        );
        let dynamic_table = part(MadePart::Dynamic).filter(|&it| input.is_placed(it));
        let (slots, of_slots) = input.got.contents(&GotInput {
            rules,
            values: input.values,
            thread: input.thread,
            dynamic_table: dynamic_table.map_or(0, |it| input.values.in_section(it, 0).address()),
            index: &|id| self.index(id),
        });
        set(part(MadePart::Got), slots);
        let relative = self.fill_relocations(input, of_slots, &mut set);
        if let Some(section) = part(MadePart::Dynamic).filter(|&it| input.is_placed(it)) {
            let bytes = self
                .tags
                .bytes(form, &self.strings, relative, |part| input.extent(part));
            let bytes = bytes.map_err(|missing| LinkError::BadSection {
                file: "output".to_owned(),
                section: ".dynamic".to_owned(),
                what: missing.to_string(),
            })?;
            set(Some(section), bytes);
        }
        let index = |id| self.index(id);
        input.got.plt.fill(&rules, input.values, index, contents)
    }

    fn symbol(&self, named: &Named, input: &FillInput<'_, '_>) -> DynamicSymbol {
        let name = self.strings.offset(named.string);
        let absolute = elf::SHN_ABS.0;
        let Some(id) = named.global else {
            return DynamicSymbol {
                name,
                info: elf::STB_GLOBAL.0 << 4 | elf::STT_OBJECT.0,
                section: absolute,
                ..DynamicSymbol::default()
            };
        };
        let global = &input.rules.resolved.globals[id];
        let value = input.values.global(id);
        let is_weak = matches!(
            global.definition,
            crate::resolve::Definition::Object { weak: true, .. }
                | crate::resolve::Definition::Undefined { weak: true }
        );
        let binding = if is_weak {
            elf::STB_WEAK
        } else {
            elf::STB_GLOBAL
        };
        DynamicSymbol {
            name,
            value: value.address(),
            size: global.size,
            info: binding.0 << 4 | global.symbol_type & 0xf,
            other: match input.rules.bindings.is_section_bound(id) && global.other & 3 == 0 {
                true => global.other | elf::STV_PROTECTED.0,
                false => global.other,
            },
            section: match value {
                SymbolValue::Address { output, .. } => (input.section_number)(output),
                SymbolValue::Absolute(_) => absolute,
                SymbolValue::Undefined { .. } | SymbolValue::Discarded => elf::SHN_UNDEF.0,
            },
        }
    }

    /// Sets the contents of the tables of dynamic relocations, each output section sorted as a
    /// whole. Gives how many are relative.
    fn fill_relocations(
        &self,
        input: &FillInput<'_, '_>,
        of_slots: Vec<DynamicRelocation>,
        set: &mut impl FnMut(Option<SectionId>, Vec<u8>),
    ) -> u64 {
        let rules = input.rules;
        let Some(dynamic) = &rules.arch.dynamic else {
            return 0;
        };
        let form = Form::of(rules.arch);
        let layout = input.layout;
        let mut tables: HashMap<OutputId, Vec<DynamicRelocation>> = HashMap::new();
        let mut add = |section: Option<SectionId>, relocation| {
            let output = section.and_then(|section| layout.placements.output(section));
            if let Some(output) = output {
                tables.entry(output).or_default().push(relocation);
            }
        };
        for relocation in of_slots {
            add(input.made.part(MadePart::GotRelocations), relocation);
        }
        for site in &input.got.sites {
            let table = table_of(rules.resolved, input.made, site.section);
            add(table, self.at_site(input, site));
        }
        let mut relative = 0;
        let size = relocations::relocation_size(form.class, self.addends);
        for (output, mut entries) in tables {
            if rules.options.combine_relocations != Some(false) {
                relative += relocations::sort(dynamic, &mut entries);
            }
            let mut rest = entries.as_slice();
            for section in layout.outputs.sections[output].sections() {
                let count = rules.resolved.section(section).size / size;
                if input.is_relocation_table(section) {
                    let (own, behind) = rest.split_at((count as usize).min(rest.len()));
                    set(Some(section), relocations::encode(form, self.addends, own));
                    rest = behind;
                }
            }
        }
        relative
    }

    fn at_site(
        &self,
        input: &FillInput<'_, '_>,
        site: &super::got::DynamicSite,
    ) -> DynamicRelocation {
        let rules = input.rules;
        let (object, _) = rules.resolved.section_place(site.section);
        let offset = input
            .layout
            .unwind
            .field(site.section, site.relocation.offset)
            .and_then(|place| place.offset())
            .unwrap_or(site.relocation.offset);
        let start = input.layout.placements.output(site.section);
        let start = start.map_or(0, |id| input.layout.outputs.sections[id].address);
        let place = start
            .wrapping_add(input.layout.placements.offset(site.section))
            .wrapping_add(offset);
        let value = input.values.of(object, site.relocation.symbol).address();
        let addend = site.relocation.addend;
        let global = rules.resolved.global_of(object, site.relocation.symbol);
        let (symbol, number, addend) = match site.fate {
            Fate::Symbolic(number) => (global.map_or(0, |id| self.index(id)), number, addend),
            Fate::Relative(number) | Fate::SectionRelative(number) => {
                let late = input
                    .kallsyms
                    .and_then(|table| table.address_at(site.section, offset));
                let address = late.unwrap_or(value.wrapping_add_signed(addend));
                (0, number, address.cast_signed())
            }
            Fate::Applied | Fate::Refused => (0, 0, 0),
        };
        DynamicRelocation {
            place,
            symbol,
            number,
            addend,
        }
    }
}

/// What the tables are written with.
pub(super) struct FillInput<'a, 'l> {
    pub rules: Rules<'a, 'l>,
    pub layout: &'l ImageLayout<'a>,
    pub values: &'l Values<'a, 'l>,
    pub made: &'l MadeSections,
    pub got: &'l Got,
    /// The number of an output section in the file.
    pub section_number: &'l dyn Fn(OutputId) -> u16,
    pub kallsyms: Option<&'l KallsymsTable>,
    pub thread: ThreadAddresses,
}

impl FillInput<'_, '_> {
    fn is_placed(&self, section: SectionId) -> bool {
        self.layout.placements.output(section).is_some()
    }

    fn is_relocation_table(&self, section: SectionId) -> bool {
        let mut tables = self
            .made
            .all(MadePart::Relocations)
            .chain(self.made.all(MadePart::GotRelocations));
        tables.any(|table| table == section)
    }

    /// Where a part of the output is.
    fn extent(&self, part: Part) -> Option<Extent> {
        let made = |part| {
            let section = self.made.part(part)?;
            self.layout.placements.output(section)
        };
        let named = |name: &[u8]| self.layout.outputs.by_name(name);
        let function = |name: Option<&str>, default: &str| {
            let name = name.unwrap_or(default);
            let id = self.rules.resolved.global(name.as_bytes())?;
            Some(Extent {
                address: self.values.global(id).address(),
                size: 0,
            })
        };
        let options = self.rules.options;
        let output = match part {
            Part::Hash => made(MadePart::Hash),
            Part::GnuHash => made(MadePart::GnuHash),
            Part::Strings => made(MadePart::DynamicStrings),
            Part::Symbols => made(MadePart::DynamicSymbols),
            Part::Versions => made(MadePart::Versions),
            Part::VersionDefinitions => made(MadePart::VersionDefinitions),
            Part::Relocations => self
                .made
                .all(MadePart::GotRelocations)
                .chain(self.made.all(MadePart::Relocations))
                .filter(|&section| self.rules.resolved.section(section).size > 0)
                .find_map(|section| self.layout.placements.output(section)),
            Part::PltRelocations => [MadePart::PltRelocations, MadePart::IndirectRelocations]
                .into_iter()
                .filter_map(|part| self.made.part(part))
                .filter(|&section| self.rules.resolved.section(section).size > 0)
                .find_map(|section| self.layout.placements.output(section)),
            Part::PltGot => made(MadePart::GotPlt),
            Part::PreinitArray => named(b".preinit_array"),
            Part::InitArray => named(b".init_array"),
            Part::FiniArray => named(b".fini_array"),
            Part::Init => return function(options.init.as_deref(), "_init"),
            Part::Fini => return function(options.fini.as_deref(), "_fini"),
        };
        let section = &self.layout.outputs.sections[output?];
        Some(Extent {
            address: section.address,
            size: section.size,
        })
    }
}

impl PlanInput<'_, '_> {
    fn tag_request(&self, addends: Addends) -> TagRequest {
        let options = self.options;
        let has_input = |name: &[u8]| {
            let output = self.outputs.by_name(name);
            output.is_some_and(|id| self.outputs.sections[id].sections().next().is_some())
        };
        let has_symbol = |name: &Option<String>, default: &str| {
            let name = name.as_deref().unwrap_or(default);
            let id = self.resolved.global(name.as_bytes());
            id.is_some_and(|id| is_defined(&self.resolved.globals[id]))
        };
        let has_relocations = self
            .relocation_sizes(addends)
            .iter()
            .any(|&(_, size)| size > 0);
        TagRequest {
            executable: options.output_kind == OutputKind::Pie,
            symbolic: options.output_kind == OutputKind::Shared
                && options.symbolic == Symbolic::All,
            old_tags: options.new_dtags == Some(false),
            init: has_symbol(&options.init, "_init"),
            fini: has_symbol(&options.fini, "_fini"),
            preinit_array: has_input(b".preinit_array"),
            init_array: has_input(b".init_array"),
            fini_array: has_input(b".fini_array"),
            hash: options.hash_style != HashStyle::Gnu,
            gnu_hash: options.hash_style != HashStyle::Sysv,
            plt_got: self.got.indirect.is_used() || self.got.plt.is_used(),
            plt_relocations: (self.got.indirect.has_relocations() || self.got.plt.is_used())
                .then_some(addends),
            relocations: has_relocations.then_some(addends),
            text_relocations: self
                .got
                .sites
                .iter()
                .any(|site| self.is_read_only(site.section)),
            flags: options.dynamic_flags as u32,
            flags_1: options.dynamic_flags_1 as u32,
            spare: options
                .spare_dynamic_tags
                .map_or(tags::SPARE_TAGS, |spare| spare as u32),
            ..TagRequest::default()
        }
    }

    fn rules(&self) -> Rules<'_, '_> {
        Rules {
            resolved: self.resolved,
            options: self.options,
            arch: self.arch,
            bindings: self.bindings,
        }
    }

    fn is_read_only(&self, section: SectionId) -> bool {
        let output = self.placements.output(section);
        output.is_some_and(|id| {
            let section = &self.outputs.sections[id];
            section.traits.contains(Traits::READ_ONLY)
        })
    }

    /// The places in what is read only that a loader would write to, as an error.
    fn text_relocations(&self) -> LinkError {
        let sites = self.got.sites.iter();
        let sites = sites.filter(|site| self.is_read_only(site.section));
        let count = sites.clone().count();
        let place = |site: &super::got::DynamicSite| {
            let (object, _) = self.resolved.section_place(site.section);
            let file = &self.resolved.objects[object].name;
            let section = String::from_utf8_lossy(self.resolved.section(site.section).name);
            format!("{file}:({section}+{:#x})", site.relocation.offset)
        };
        let places = sites.take(MAX_REFERENCES).map(place).collect();
        LinkError::TextRelocations { places, count }
    }

    /// The sizes of the tables of dynamic relocations.
    fn relocation_sizes(&self, addends: Addends) -> Vec<(SectionId, u64)> {
        let each = relocations::relocation_size(Form::of(self.arch).class, addends);
        let mut sizes = Vec::new();
        if let Some(table) = self.made.part(MadePart::GotRelocations) {
            sizes.push((table, self.got.relocation_count(self.rules()) * each));
        }
        for table in self.made.all(MadePart::Relocations) {
            let own = |section| table_of(self.resolved, self.made, section) == Some(table);
            let count = self.got.sites.iter().filter(|site| own(site.section));
            sizes.push((table, count.count() as u64 * each));
        }
        sizes
    }
}

/// The table that has the dynamic relocations of an input section: that of the section's name.
fn table_of(resolved: &Resolved<'_>, made: &MadeSections, section: SectionId) -> Option<SectionId> {
    let name = resolved.section(section).name;
    made.all(MadePart::Relocations).find(|&table| {
        let prefix = resolved.section(table).name.strip_suffix(name);
        prefix == Some(b".rela") || prefix == Some(b".rel")
    })
}

/// What stands for the object itself among its versions.
fn base_name(options: &Options) -> Vec<u8> {
    let file = options.output.as_deref().and_then(|path| path.file_name());
    let file = file.map(|name| name.to_string_lossy().into_owned());
    let name = options.soname.clone().or(file);
    name.unwrap_or_else(|| "a.out".to_owned()).into_bytes()
}

/// Path of the dynamic linker.
fn interpreter(options: &Options, dynamic: &DynamicLinking) -> Vec<u8> {
    let path = match &options.dynamic_linker {
        DynamicLinker::Path(path) => path,
        DynamicLinker::Default | DynamicLinker::None => dynamic.interpreter,
    };
    [path.as_bytes(), b"\0"].concat()
}
