//! The symbol table of the output: which symbols it has, and their numbers.

mod lists;
mod strings;
mod table;

pub(crate) use lists::{Of, SymbolList};
pub(crate) use strings::Strings;
pub(crate) use table::{OutputPlace, OutputSymbol, SymbolTable, info, null_symbol};

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_arch::Arch;
use object::elf;

use crate::groups::Groups;
use crate::id::{GlobalId, IdVec, ObjectId, OutputId};
use crate::input::{InputSymbol, SymbolPlace};
use crate::layout::Layout;
use crate::options::{DiscardLocals, Options, Strip};
use crate::relocate::{Rewrite, Target, rewrite};
use crate::resolve::{Definition, Resolved};

/// Which symbols remaining relocations name.
struct Needed {
    sections: IdVec<OutputId, bool>,
    locals: IdVec<ObjectId, Vec<bool>>,
}

/// Builds the table of relocatable output: section symbols, then each object's locals in order, then
/// globals.
pub(crate) fn build(
    resolved: &Resolved<'_>,
    layout: &Layout<'_>,
    groups: &Groups,
    arch: &Arch,
    options: &Options,
) -> SymbolTable {
    let mut table = SymbolTable::new(resolved, &layout.outputs);
    let selective = layout.module.is_some()
        || matches!(
            options.discard,
            DiscardLocals::CompilerMade | DiscardLocals::All
        )
        || options.strip == Strip::All;
    let needed = selective.then(|| find_needed(resolved, layout));
    add_section_symbols(&mut table, layout, groups, needed.as_ref());
    let input = TableInput {
        resolved,
        layout,
        groups,
        arch,
        options,
        needed: needed.as_ref(),
    };
    for object in resolved.objects.ids() {
        add_locals(&mut table, &input, object);
    }
    if let Some(module) = &layout.module {
        add_stub_symbols(&mut table, resolved, module);
    }
    table.first_global = table.symbols.len() as u32;
    add_globals(&mut table, resolved, layout, options);
    table
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

fn add_section_symbols(
    table: &mut SymbolTable,
    layout: &Layout<'_>,
    groups: &Groups,
    needed: Option<&Needed>,
) {
    if layout.module.is_none() {
        for number in (1..).take(groups.kept.len()) {
            table.add_section(OutputPlace::Group(number), 0);
        }
    }
    for &output in &layout.outputs.order {
        // Outside of the module link, every section gets its symbol, as in ld's output.
        if layout.module.is_some() && needed.is_some_and(|needed| !needed.sections[output]) {
            continue;
        }
        table.add_section(OutputPlace::Section(output), 0);
    }
}

/// What a table of relocatable output is built from.
struct TableInput<'a, 'l> {
    resolved: &'l Resolved<'a>,
    layout: &'l Layout<'a>,
    groups: &'l Groups,
    arch: &'l Arch,
    options: &'l Options,
    needed: Option<&'l Needed>,
}

fn add_locals(table: &mut SymbolTable, input: &TableInput<'_, '_>, id: ObjectId) {
    let TableInput {
        resolved,
        layout,
        groups,
        arch,
        options,
        needed,
    } = *input;
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
                let group = || groups.number(id, section).map(OutputPlace::Group);
                match output.map(OutputPlace::Section).or_else(group) {
                    Some(place) => place,
                    None => continue,
                }
            }
        };
        if symbol.symbol_type == elf::STT_SECTION.0 {
            numbers[index] = match place {
                OutputPlace::Section(output) => table.section(output),
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
            table.add_file(&object.base_name);
            has_file_symbol = true;
        }
        has_file_symbol |= is_file;
        let offset = match symbol.place {
            SymbolPlace::Section(section) => {
                layout.placements.offset(resolved.section_id(id, section))
            }
            _ => 0,
        };
        let output = OutputSymbol {
            value: symbol.value.wrapping_add(offset),
            size: symbol.size,
            info: info(symbol.binding, symbol.symbol_type),
            other: symbol.other,
            place,
            ..null_symbol()
        };
        numbers[index] = table.add(symbol.name, output);
    }
    table.set_locals(id, numbers);
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
        let symbol = OutputSymbol {
            value: stub.offset,
            size: stub.size,
            info: info(elf::STB_LOCAL.0, elf::STT_FUNC.0),
            place: OutputPlace::Section(output),
            ..null_symbol()
        };
        table.add(&name, symbol);
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
        let symbol = OutputSymbol {
            value,
            size: global.size,
            info: info(binding, global.symbol_type),
            other: global.other,
            place,
            ..null_symbol()
        };
        table.add_global(id, global.name, symbol);
    }
}
