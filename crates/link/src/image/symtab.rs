//! The symbol table of an image.

use klink_arch::Arch;
use object::elf;
use rayon::prelude::*;

use super::binding::Bindings;
use super::layout::ImageLayout;
use super::stubs;
use super::values::{HEADER_START, SymbolValue, Values};
use crate::id::{GlobalId, Id, IdVec, ObjectId};
use crate::input::{InputSymbol, SymbolPlace};
use crate::options::{DiscardLocals, Options, Strip};
use crate::output::Traits;
use crate::relocate::Target;
use crate::resolve::{Definition, Global, Resolved};
use crate::symtab::{
    Of, OutputPlace, OutputSymbol, SymbolList, SymbolTable, info, is_compiler_made, null_symbol,
};

/// Globals that are looked at together: enough for the work to be worth handing to a thread.
const GLOBALS_OF_A_LIST: usize = 2048;

/// What a table is built from.
pub(super) struct TableInput<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    pub layout: &'l ImageLayout<'a>,
    pub values: &'l Values<'a, 'l>,
    pub arch: &'static Arch,
    pub options: &'l Options,
    pub bindings: &'l Bindings,
    /// The names of versions, which are symbols too.
    pub versions: &'l [Vec<u8>],
    /// Where the first values of thread-local variables begin; their symbols count from there.
    pub thread_block: u64,
    /// Symbols that stay though nothing defines them.
    pub needed: &'l [GlobalId],
}

/// Builds the table: section symbols where relocations stay or the target has them anyway, each object's locals in order, globals
/// that are hidden, and the other globals.
pub(super) fn build(input: &TableInput<'_, '_>) -> SymbolTable {
    let (resolved, outputs) = (input.resolved, &input.layout.outputs);
    let sections = sections(input);
    if input.options.strip == Strip::All {
        return SymbolTable::of_lists(resolved, outputs, vec![sections], Vec::new());
    }
    let is_in_output = objects_in_output(input);
    let objects: Vec<ObjectId> = resolved.objects.ids().collect();
    let objects = objects.into_par_iter().filter(|&id| is_in_output[id]);
    let mut locals: Vec<SymbolList<'_>> = objects.map(|id| locals(input, id)).collect();
    locals.insert(0, sections);

    let ids: Vec<GlobalId> = resolved.globals.ids().collect();
    let parts = ids.par_chunks(GLOBALS_OF_A_LIST);
    let parts: Vec<_> = parts.map(|part| globals(input, part)).collect();
    let (hidden, mut globals): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    // What is local in the output and global in the inputs is of no file: a FILE symbol without a name
    // says so, where others precede it (bfd/elflink.c, `elf_link_output_extsym`).
    let is_behind_files = locals.iter().any(SymbolList::has_file);
    let no_file = || {
        let mut list = SymbolList::new(Of::Nothing);
        if is_behind_files {
            list.add_file(b"");
        }
        list
    };
    if hidden.iter().any(|list| !list.is_empty()) {
        locals.push(no_file());
        locals.extend(hidden);
    }
    let stubs = match input.options.stub_symbols {
        Some(true) => stubs::named(resolved, input.layout),
        _ => Vec::new(),
    };
    if !stubs.is_empty() {
        locals.push(no_file());
        locals.push(stub_symbols(&stubs));
    }
    globals.push(versions(input));
    SymbolTable::of_lists(resolved, outputs, locals, globals)
}

/// Builds the table again, since addresses have changed; `earlier` is that of the addresses before.
///
/// Which symbols there are, and what they are called, depends on addresses only if stubs have some.
pub(super) fn rebuild(mut earlier: SymbolTable, input: &TableInput<'_, '_>) -> SymbolTable {
    let has_stubs = input.options.stub_symbols == Some(true);
    if has_stubs || move_symbols(&mut earlier, input).is_none() {
        return build(input);
    }
    debug_assert_eq!(earlier.symbols, build(input).symbols);
    earlier
}

/// Moves the symbols of the table to where they are now; `None` if other symbols belong into it.
fn move_symbols(table: &mut SymbolTable, input: &TableInput<'_, '_>) -> Option<()> {
    let place = |table: &mut SymbolTable, number: u32, (place, value): (OutputPlace, u64)| {
        let symbol = table.symbols.get_mut(number as usize)?;
        symbol.place = place;
        symbol.value = in_thread_block(input.thread_block, symbol.info & 0xf, value);
        Some(())
    };
    for &output in &input.layout.outputs.order {
        let number = table.section(output);
        if number != 0 {
            let address = input.layout.outputs.sections[output].address;
            place(table, number, (OutputPlace::Section(output), address))?;
        }
    }
    for (id, object) in input.resolved.objects.iter_ids() {
        for (index, symbol) in (0..).zip(&object.symbols[..object.first_global]) {
            let number = table.number(Target::Local(id, index));
            if number != 0 && symbol.symbol_type != elf::STT_SECTION.0 {
                place(table, number, place_of(input.values.of(id, index))?)?;
            }
        }
    }
    for id in input.resolved.globals.ids() {
        let number = table.number(Target::Global(id));
        match place_of(input.values.global(id)) {
            None | Some((OutputPlace::Undefined, _)) if number == 0 => {}
            Some(now) if number != 0 => place(table, number, now)?,
            _ => return None,
        }
    }
    Some(())
}

/// Where a symbol is, and its value there; `None` if its section is discarded.
fn place_of(value: SymbolValue) -> Option<(OutputPlace, u64)> {
    match value {
        SymbolValue::Address { address, output } => Some((OutputPlace::Section(output), address)),
        SymbolValue::Absolute(value) => Some((OutputPlace::Absolute, value)),
        SymbolValue::Undefined { .. } => Some((OutputPlace::Undefined, 0)),
        SymbolValue::Discarded => None,
    }
}

/// The symbols of output sections, where there are any.
fn sections(input: &TableInput<'_, '_>) -> SymbolList<'static> {
    let mut list = SymbolList::new(Of::Sections);
    let all_sections = input.arch.keeps_section_symbols && input.options.strip != Strip::All;
    if all_sections || input.options.emit_relocations {
        for &output in &input.layout.outputs.order {
            let symbol = OutputSymbol {
                value: input.layout.outputs.sections[output].address,
                info: info(elf::STB_LOCAL.0, elf::STT_SECTION.0),
                place: OutputPlace::Section(output),
                ..null_symbol()
            };
            list.add(b"", symbol, output.index());
        }
    }
    list
}

/// The objects of which any section is in the output: others have no local symbols there, nor a FILE
/// symbol (bfd/elflink.c, `elf_link_input_bfd`, which only sees objects with sections).
fn objects_in_output(input: &TableInput<'_, '_>) -> IdVec<ObjectId, bool> {
    let resolved = input.resolved;
    let mut found = IdVec::filled(false, resolved.objects.len());
    for section in resolved.section_ids() {
        if input.layout.placements.output(section).is_some() {
            found[resolved.section_place(section).0] = true;
        }
    }
    found
}

/// The local symbols of an object.
fn locals<'l>(input: &TableInput<'_, 'l>, id: ObjectId) -> SymbolList<'l> {
    let object = &input.resolved.objects[id];
    // Only relocations and moved tables ask for their numbers.
    let is_numbered = input.options.emit_relocations || input.options.kallsyms.is_some();
    let mut list = SymbolList::new(match is_numbered {
        true => Of::Object(id),
        false => Of::Nothing,
    });
    let mut has_file_symbol = false;
    let locals = &object.symbols[..object.first_global];
    list.reserve(locals.len());
    for (index, symbol) in locals.iter().enumerate().skip(1) {
        let (place, value) = match symbol.place {
            SymbolPlace::Undefined | SymbolPlace::Common => continue,
            SymbolPlace::Absolute => (OutputPlace::Absolute, symbol.value),
            SymbolPlace::Section(_) => match input.values.of(id, index as u32) {
                SymbolValue::Address { address, output } => (OutputPlace::Section(output), address),
                _ => continue,
            },
        };
        // Sections have symbols already.
        if symbol.symbol_type == elf::STT_SECTION.0 || !stays(input, id, symbol) {
            continue;
        }
        // As in relocatable output, every object's locals follow a FILE symbol.
        let is_file = symbol.symbol_type == elf::STT_FILE.0;
        if !is_file && !has_file_symbol {
            list.add_file(&object.base_name);
        }
        has_file_symbol = true;
        let output = OutputSymbol {
            value: in_thread_block(input.thread_block, symbol.symbol_type, value),
            size: symbol.size,
            info: info(symbol.binding, symbol.symbol_type),
            other: symbol.other,
            place,
            ..null_symbol()
        };
        list.add(symbol.name, output, index);
    }
    list
}

/// Whether a local symbol is in the table (bfd/elflink.c, `elf_link_input_bfd`): by default those
/// that a compiler made up go where they are in merged sections.
fn stays(input: &TableInput<'_, '_>, object: ObjectId, symbol: &InputSymbol<'_>) -> bool {
    let made_up = || is_compiler_made(input.arch, symbol.name);
    match input.options.discard {
        DiscardLocals::All => false,
        DiscardLocals::CompilerMade => !made_up(),
        DiscardLocals::None => true,
        DiscardLocals::Default => {
            let SymbolPlace::Section(section) = symbol.place else {
                return true;
            };
            let section = &input.resolved.objects[object].sections[section as usize];
            !Traits::of(section).contains(Traits::MERGE) || !made_up()
        }
    }
}

/// Of these globals those that are local in the image, and those that are not.
fn globals<'l>(input: &TableInput<'_, 'l>, ids: &[GlobalId]) -> (SymbolList<'l>, SymbolList<'l>) {
    let (mut hidden, mut others) = (SymbolList::new(Of::Globals), SymbolList::new(Of::Globals));
    others.reserve(ids.len());
    for &id in ids {
        let global = &input.resolved.globals[id];
        if let Some((symbol, is_hidden)) = output_global(input, id, global) {
            let list = if is_hidden { &mut hidden } else { &mut others };
            list.add(global.name, symbol, id.index());
        }
    }
    (hidden, others)
}

/// A global as the table has it, if it has it, and whether it is local in the image.
fn output_global(
    input: &TableInput<'_, '_>,
    id: GlobalId,
    global: &Global<'_>,
) -> Option<(OutputSymbol, bool)> {
    let (place, value) = place_of(input.values.global(id))?;
    let defined = place != OutputPlace::Undefined;
    if !defined && !stays_undefined(input, id) {
        return None;
    }
    // A symbol of the script stays global for all that objects say of its visibility, and every
    // symbol where nothing is linked at run time.
    let by_script = input.layout.symbols.get(&id);
    let of_section = defined && matches!(global.definition, Definition::Undefined { .. });
    let hidden = defined
        && match by_script {
            Some(symbol) => symbol.hidden || input.bindings.is_local(id, global.other),
            None if of_section => global.name.starts_with(b".") || global.name == HEADER_START,
            None => input.bindings.is_local(id, global.other),
        };
    let (weak, strong) = match global.definition {
        Definition::Object { weak, binding, .. } => (weak, binding),
        Definition::Undefined { weak } => (weak, elf::STB_GLOBAL.0),
        _ => (false, elf::STB_GLOBAL.0),
    };
    let is_weak = weak && !of_section && by_script.is_none();
    let binding = match (hidden, is_weak) {
        (true, _) => elf::STB_LOCAL.0,
        (false, true) => elf::STB_WEAK.0,
        (false, false) => strong,
    };
    // One to which the script gives another symbol's value takes its type (bfd's
    // `bfd_copy_link_hash_symbol_type`).
    let typed = by_script.and_then(|symbol| symbol.copy_of).unwrap_or(id);
    let symbol_type = input.resolved.globals[typed].symbol_type;
    let symbol = OutputSymbol {
        value: in_thread_block(input.thread_block, symbol_type, value),
        size: global.size,
        info: info(binding, symbol_type),
        // Visibility is for what other files can see (bfd/elflink.c, `elf_link_output_extsym`).
        other: match (hidden, of_section) {
            (true, _) => global.other & !3,
            // What a section's name defines (bfd/elflink.c, `bfd_elf_define_start_stop`).
            (false, true) if global.other & 3 == 0 => global.other | elf::STV_PROTECTED.0,
            (false, _) => global.other,
        },
        place,
        ..null_symbol()
    };
    Some((symbol, hidden))
}

/// The symbols of stubs.
fn stub_symbols(stubs: &[stubs::NamedStub]) -> SymbolList<'_> {
    let mut list = SymbolList::new(Of::Nothing);
    for stub in stubs {
        let symbol = OutputSymbol {
            value: stub.address,
            size: stub.size,
            info: info(elf::STB_LOCAL.0, elf::STT_FUNC.0),
            place: OutputPlace::Section(stub.output),
            ..null_symbol()
        };
        list.add(&stub.name, symbol, 0);
    }
    list
}

/// The names of versions.
fn versions<'l>(input: &TableInput<'_, 'l>) -> SymbolList<'l> {
    let mut list = SymbolList::new(Of::Nothing);
    for name in input.versions {
        let symbol = OutputSymbol {
            info: info(elf::STB_GLOBAL.0, elf::STT_OBJECT.0),
            place: OutputPlace::Absolute,
            ..null_symbol()
        };
        list.add(name, symbol, 0);
    }
    list
}

/// Whether a symbol is in the table that nothing defines (bfd/elflink.c, `elf_link_output_extsym`):
/// if a relocation of the output names it, a loader is to find it, or the link was told that it is needed.
fn stays_undefined(input: &TableInput<'_, '_>, id: GlobalId) -> bool {
    let global = &input.resolved.globals[id];
    let is_weak = matches!(global.definition, Definition::Undefined { weak: true });
    !global.script_only && input.options.emit_relocations
        || !is_weak && input.needed.contains(&id)
        || global.definition != Definition::Script && input.bindings.is_dynamic(id, global)
}

/// The value of a symbol: of a thread-local variable, its offset (ELF gABI, `STT_TLS`).
fn in_thread_block(block: u64, symbol_type: u8, address: u64) -> u64 {
    match symbol_type == elf::STT_TLS.0 {
        true => address.wrapping_sub(block),
        false => address,
    }
}
