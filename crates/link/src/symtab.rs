//! The symbol table of the output: which symbols it has, and their numbers.

use std::hash::BuildHasher;

use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashTable};
use klink_arch::Arch;
use object::elf;

use crate::groups::Groups;
use crate::id::{GlobalId, IdVec, ObjectId, OutputId};
use crate::input::{InputSymbol, SymbolPlace};
use crate::layout::Layout;
use crate::options::{DiscardLocals, Options, Strip};
use crate::relocate::{Rewrite, Target, rewrite};
use crate::resolve::{Definition, Resolved};

/// A symbol of the output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OutputSymbol {
    /// Offset of its name in [`SymbolTable::strings`].
    pub name: u32,
    pub value: u64,
    pub size: u64,
    pub info: u8,
    pub other: u8,
    pub place: OutputPlace,
}

/// Where an output symbol is defined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OutputPlace {
    Undefined,
    Absolute,
    Common,
    Section(OutputId),
    /// The section of a group, by its number in the output.
    Group(u32),
}

/// The symbol table of the output, and where each input's symbols went.
pub(crate) struct SymbolTable {
    /// The symbols; the first is the null symbol.
    pub symbols: Vec<OutputSymbol>,
    /// Number of the first symbol that is not local.
    pub first_global: u32,
    /// The names.
    pub strings: Strings,
    /// The section groups of the output.
    pub groups: Groups,
    sections: IdVec<OutputId, u32>,
    locals: IdVec<ObjectId, Vec<u32>>,
    globals: IdVec<GlobalId, u32>,
}

impl SymbolTable {
    /// The number of what a relocation names; 0 if it is not in the table.
    pub(crate) fn number(&self, target: Target) -> u32 {
        match target {
            Target::None => 0,
            Target::Section(output) => self.sections[output],
            Target::Local(object, index) => self.locals[object]
                .get(index as usize)
                .copied()
                .unwrap_or(0),
            Target::Global(global) => self.globals[global],
        }
    }

    /// The number of symbol `index` of `object`.
    pub(crate) fn number_of(&self, resolved: &Resolved<'_>, object: ObjectId, index: u32) -> u32 {
        match resolved.global_of(object, index) {
            Some(global) => self.number(Target::Global(global)),
            None => self.number(Target::Local(object, index)),
        }
    }
}

/// A string table. Equal strings are stored once.
pub(crate) struct Strings {
    bytes: Vec<u8>,
    /// Where each string begins, found by its bytes.
    offsets: HashTable<u32>,
    hasher: RandomState,
}

impl Strings {
    pub(crate) fn new() -> Self {
        Self {
            bytes: vec![0],
            offsets: HashTable::new(),
            hasher: RandomState::default(),
        }
    }

    /// The offset of `name`, added if it is new.
    pub(crate) fn add(&mut self, name: &[u8]) -> u32 {
        self.add_with_prefix(b"", name)
    }

    /// Adds `prefix` and `name` as one string, and `name` as its tail. Gives the offset of the whole.
    pub(crate) fn add_with_prefix(&mut self, prefix: &[u8], name: &[u8]) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let Self {
            bytes,
            offsets,
            hasher,
        } = self;
        if prefix.is_empty()
            && let Some(&offset) =
                offsets.find(hasher.hash_one(name), |&at| string_at(bytes, at) == name)
        {
            return offset;
        }
        let offset = bytes.len() as u32;
        bytes.extend_from_slice(prefix);
        bytes.extend_from_slice(name);
        bytes.push(0);
        let rehash = |&at: &u32| hasher.hash_one(string_at(bytes, at));
        offsets.insert_unique(hasher.hash_one(name), offset + prefix.len() as u32, rehash);
        offset
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

fn string_at(bytes: &[u8], at: u32) -> &[u8] {
    let string = &bytes[at as usize..];
    &string[..string
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(string.len())]
}

/// Which symbols remaining relocations name.
struct Needed {
    sections: IdVec<OutputId, bool>,
    locals: IdVec<ObjectId, Vec<bool>>,
}

/// Builds the table: section symbols, then each object's locals in order, then globals.
pub(crate) fn build(
    resolved: &Resolved<'_>,
    layout: &Layout<'_>,
    arch: &Arch,
    options: &Options,
) -> SymbolTable {
    let mut table = SymbolTable {
        symbols: vec![null_symbol()],
        first_global: 0,
        strings: Strings::new(),
        groups: Groups::new(resolved, layout),
        sections: IdVec::filled(0, layout.outputs.sections.len()),
        locals: resolved
            .objects
            .iter()
            .fold(IdVec::default(), |mut locals, _| {
                locals.push(Vec::new());
                locals
            }),
        globals: IdVec::filled(0, resolved.globals.len()),
    };
    let selective = layout.module.is_some()
        || matches!(
            options.discard,
            DiscardLocals::CompilerMade | DiscardLocals::All
        )
        || options.strip == Strip::All;
    let needed = selective.then(|| find_needed(resolved, layout));
    add_section_symbols(&mut table, layout, needed.as_ref());
    for object in resolved.objects.ids() {
        add_locals(
            &mut table,
            resolved,
            layout,
            arch,
            options,
            needed.as_ref(),
            object,
        );
    }
    if let Some(module) = &layout.module {
        add_stub_symbols(&mut table, resolved, module);
    }
    table.first_global = table.symbols.len() as u32;
    add_globals(&mut table, resolved, layout, options);
    table
}

pub(crate) fn null_symbol() -> OutputSymbol {
    OutputSymbol {
        name: 0,
        value: 0,
        size: 0,
        info: 0,
        other: 0,
        place: OutputPlace::Undefined,
    }
}

fn find_needed(resolved: &Resolved<'_>, layout: &Layout<'_>) -> Needed {
    let mut needed = Needed {
        sections: IdVec::filled(false, layout.outputs.sections.len()),
        locals: IdVec::default(),
    };
    for object in resolved.objects.iter() {
        needed.locals.push(vec![false; object.first_global]);
    }
    let mut mark = |target| match target {
        Target::Section(output) => needed.sections[output] = true,
        Target::Local(object, index) => {
            if let Some(mark) = needed.locals[object].get_mut(index as usize) {
                *mark = true;
            }
        }
        Target::None | Target::Global(_) => {}
    };
    for &output in &layout.outputs.order {
        for section in layout.outputs.sections[output].sections() {
            for (index, relocation) in resolved.section(section).relocations.iter().enumerate() {
                if let Rewrite::Keep { target, .. } =
                    rewrite(resolved, layout, section, index, &relocation)
                {
                    mark(target);
                }
            }
        }
        if let Some(module) = &layout.module {
            module
                .stub_relocations(&layout.placements, output)
                .for_each(|stub| mark(stub.target));
        }
    }
    for (object, file) in resolved.objects.iter_ids() {
        for group in &file.groups {
            mark(Target::Local(object, group.signature_symbol));
        }
    }
    needed
}

fn add_section_symbols(table: &mut SymbolTable, layout: &Layout<'_>, needed: Option<&Needed>) {
    let section_symbol = |place| OutputSymbol {
        info: info(elf::STB_LOCAL.0, elf::STT_SECTION.0),
        place,
        ..null_symbol()
    };
    if layout.module.is_none() {
        let groups = (1..).map(OutputPlace::Group).take(table.groups.kept.len());
        table.symbols.extend(groups.map(section_symbol));
    }
    for &output in &layout.outputs.order {
        // Outside of the module link, every section gets its symbol, as in ld's output.
        if layout.module.is_some() && needed.is_some_and(|needed| !needed.sections[output]) {
            continue;
        }
        table.sections[output] = table.symbols.len() as u32;
        table
            .symbols
            .push(section_symbol(OutputPlace::Section(output)));
    }
}

pub(crate) fn info(binding: u8, symbol_type: u8) -> u8 {
    binding << 4 | symbol_type & 0xf
}

fn add_locals(
    table: &mut SymbolTable,
    resolved: &Resolved<'_>,
    layout: &Layout<'_>,
    arch: &Arch,
    options: &Options,
    needed: Option<&Needed>,
    id: ObjectId,
) {
    let object = &resolved.objects[id];
    let mut numbers = vec![0; object.first_global];
    let mut has_file_symbol = false;
    for (index, symbol) in object.symbols[..object.first_global]
        .iter()
        .enumerate()
        .skip(1)
    {
        let place = match symbol.place {
            SymbolPlace::Undefined => continue,
            SymbolPlace::Absolute => OutputPlace::Absolute,
            SymbolPlace::Common => OutputPlace::Common,
            SymbolPlace::Section(section) => {
                let output = layout.placements.output(resolved.section_id(id, section));
                let group = || table.groups.number(id, section).map(OutputPlace::Group);
                match output.map(OutputPlace::Section).or_else(group) {
                    Some(place) => place,
                    None => continue,
                }
            }
        };
        if symbol.symbol_type == elf::STT_SECTION.0 {
            numbers[index] = match place {
                OutputPlace::Section(output) => table.sections[output],
                // Theirs come first: see `add_section_symbols`.
                OutputPlace::Group(number) if layout.module.is_none() => number,
                _ => 0,
            };
            continue;
        }
        let is_file = symbol.symbol_type == elf::STT_FILE.0;
        let is_needed = needed.is_some_and(|needed| needed.locals[id][index]);
        let keep = is_needed
            || match layout.module {
                Some(_) => stays_in_module(arch, options, symbol),
                None => stays(arch, options, symbol),
            };
        if !keep {
            continue;
        }
        // GNU ld puts a FILE symbol of its own making in front of an object's locals if it has
        // none, so that they do not look like the previous object's (bfd/elflink.c,
        // elf_link_input_bfd). Modules have no FILE symbols: kernels do not read them.
        if !is_file && !has_file_symbol && layout.module.is_none() {
            let name = table.strings.add(&object.base_name);
            table.symbols.push(OutputSymbol {
                name,
                info: info(elf::STB_LOCAL.0, elf::STT_FILE.0),
                place: OutputPlace::Absolute,
                ..null_symbol()
            });
            has_file_symbol = true;
        }
        has_file_symbol |= is_file;
        numbers[index] = table.symbols.len() as u32;
        let name = table.strings.add(symbol.name);
        table.symbols.push(OutputSymbol {
            name,
            value: match symbol.place {
                SymbolPlace::Section(section) => symbol
                    .value
                    .wrapping_add(layout.placements.offset(resolved.section_id(id, section))),
                _ => symbol.value,
            },
            size: symbol.size,
            info: info(symbol.binding, symbol.symbol_type),
            other: symbol.other,
            place,
        });
    }
    table.locals[id] = numbers;
}

/// Whether a local symbol that no relocation names stays in relocatable output.
fn stays(arch: &Arch, options: &Options, symbol: &InputSymbol<'_>) -> bool {
    options.strip != Strip::All
        && match options.discard {
            DiscardLocals::Default | DiscardLocals::None => true,
            DiscardLocals::CompilerMade => !is_compiler_made(arch, symbol.name),
            DiscardLocals::All => false,
        }
}

/// Whether a local symbol that no relocation names stays in a module: names that kallsyms shows do,
/// and mapping symbols.
fn stays_in_module(arch: &Arch, options: &Options, symbol: &InputSymbol<'_>) -> bool {
    let shown = symbol.symbol_type != elf::STT_FILE.0 && !is_compiler_made(arch, symbol.name);
    (shown && stays(arch, options, symbol)) || is_mapping_symbol(arch, symbol.name)
}

/// Names that compilers make up (bfd/elf.c, `_bfd_elf_is_local_label_name`).
pub(crate) fn is_compiler_made(arch: &Arch, name: &[u8]) -> bool {
    name.starts_with(b".L")
        || name.starts_with(b"..")
        || name.starts_with(b"_.L_")
        || arch
            .local_label_prefixes
            .iter()
            .any(|prefix| name.starts_with(prefix.as_bytes()))
}

fn is_mapping_symbol(arch: &Arch, name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| arch.is_mapping_symbol(name))
}

fn add_stub_symbols(
    table: &mut SymbolTable,
    resolved: &Resolved<'_>,
    module: &crate::module::ModuleLink,
) {
    for (output, stub) in module.named_stubs() {
        let name = [module.target_name(resolved, stub).as_slice(), b".stub"].concat();
        let name = table.strings.add(&name);
        table.symbols.push(OutputSymbol {
            name,
            value: stub.offset,
            size: stub.size,
            info: info(elf::STB_LOCAL.0, elf::STT_FUNC.0),
            other: 0,
            place: OutputPlace::Section(output),
        });
    }
}

fn add_globals(
    table: &mut SymbolTable,
    resolved: &Resolved<'_>,
    layout: &Layout<'_>,
    options: &Options,
) {
    let mut script_values: HashMap<GlobalId, (Option<OutputId>, u64), RandomState> =
        HashMap::default();
    for symbol in &layout.script.symbols {
        script_values.insert(symbol.global, (symbol.section, symbol.value));
    }
    for (id, global) in resolved.globals.iter_ids() {
        let strong = elf::STB_GLOBAL.0;
        let binding_of = |weak, binding| if weak { elf::STB_WEAK.0 } else { binding };
        let (binding, place, value) = match global.definition {
            _ if script_values.contains_key(&id) => {
                let (output, value) = script_values[&id];
                (
                    strong,
                    output.map_or(OutputPlace::Absolute, OutputPlace::Section),
                    value,
                )
            }
            Definition::Undefined { weak } => (binding_of(weak, strong), OutputPlace::Undefined, 0),
            Definition::Common { align, .. } => (strong, OutputPlace::Common, align),
            Definition::Script | Definition::Made { .. } => (strong, OutputPlace::Absolute, 0),
            Definition::Object {
                object,
                symbol,
                weak,
                binding,
            } => {
                let symbol = &resolved.objects[object].symbols[symbol as usize];
                let binding = binding_of(weak, binding);
                match symbol.place {
                    SymbolPlace::Section(index) => {
                        let section = resolved.section_id(object, index);
                        match layout.placements.output(section) {
                            Some(output) => (
                                binding,
                                OutputPlace::Section(output),
                                symbol.value.wrapping_add(layout.placements.offset(section)),
                            ),
                            // Its section is discarded, and so is it (bfd/elflink.c,
                            // elf_link_output_extsym).
                            None => continue,
                        }
                    }
                    SymbolPlace::Absolute => (binding, OutputPlace::Absolute, symbol.value),
                    SymbolPlace::Common | SymbolPlace::Undefined => {
                        (binding, OutputPlace::Undefined, 0)
                    }
                }
            }
        };
        if options.strip == Strip::All && !matches!(place, OutputPlace::Undefined) {
            continue;
        }
        table.globals[id] = table.symbols.len() as u32;
        let name = table.strings.add(global.name);
        table.symbols.push(OutputSymbol {
            name,
            value,
            size: global.size,
            info: info(binding, global.symbol_type),
            other: global.other,
            place,
        });
    }
}
