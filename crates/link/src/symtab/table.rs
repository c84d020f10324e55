//! The table itself, and where each input's symbols went.

use klink_arch::Arch;
use object::elf;

use super::Strings;
use crate::id::{GlobalId, IdVec, ObjectId, OutputId};
use crate::output::Outputs;
use crate::relocate::Target;
use crate::resolve::Resolved;

/// A symbol of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

/// A symbol of which nothing is said yet; the first of every table.
pub(crate) const fn null_symbol() -> OutputSymbol {
    OutputSymbol {
        name: 0,
        value: 0,
        size: 0,
        info: 0,
        other: 0,
        place: OutputPlace::Undefined,
    }
}

/// `st_info` (ELF gABI chapter 4).
pub(crate) const fn info(binding: u8, symbol_type: u8) -> u8 {
    binding << 4 | symbol_type & 0xf
}

impl SymbolTable {
    /// `EI_OSABI` of a file with these symbols: the architecture's, unless there are symbols that only GNU's
    /// linkers and loaders know (bfd/elflink.c, `elf_link_output_symstrtab`).
    pub(crate) fn osabi(&self, arch: &Arch) -> u8 {
        let is_gnu = |symbol: &OutputSymbol| {
            symbol.info & 0xf == elf::STT_GNU_IFUNC.0 || symbol.info >> 4 == elf::STB_GNU_UNIQUE.0
        };
        match self.symbols.iter().any(is_gnu) {
            true => elf::ELFOSABI_GNU.0,
            false => arch.osabi,
        }
    }
}

/// The symbol table of the output, and where each input's symbols went.
pub(crate) struct SymbolTable {
    /// The symbols; the first is the null symbol.
    pub symbols: Vec<OutputSymbol>,
    /// Number of the first symbol that is not local.
    pub first_global: u32,
    /// The names.
    pub strings: Strings,
    pub(super) sections: IdVec<OutputId, u32>,
    pub(super) locals: IdVec<ObjectId, Vec<u32>>,
    pub(super) globals: IdVec<GlobalId, u32>,
}

impl SymbolTable {
    /// A table of the null symbol alone.
    pub(crate) fn new(resolved: &Resolved<'_>, outputs: &Outputs<'_>) -> Self {
        let locals = resolved.objects.iter().map(|object| object.first_global);
        let most = locals.sum::<usize>() + resolved.globals.len();
        let mut symbols = Vec::with_capacity(most);
        symbols.push(null_symbol());
        Self {
            symbols,
            first_global: 0,
            strings: Strings::with_room(most),
            sections: IdVec::filled(0, outputs.sections.len()),
            locals: IdVec::filled(Vec::new(), resolved.objects.len()),
            globals: IdVec::filled(0, resolved.globals.len()),
        }
    }

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

    /// The number of symbol `index` of `object`; 0 if it is not in the table.
    pub(crate) fn number_of(&self, resolved: &Resolved<'_>, object: ObjectId, index: u32) -> u32 {
        match resolved.global_of(object, index) {
            Some(global) => self.number(Target::Global(global)),
            None => self.number(Target::Local(object, index)),
        }
    }

    /// The number of an output section's symbol; 0 if it has none.
    pub(crate) fn section(&self, output: OutputId) -> u32 {
        self.sections[output]
    }

    /// Appends a symbol with this name, and gives its number.
    pub(crate) fn add(&mut self, name: &[u8], symbol: OutputSymbol) -> u32 {
        let number = self.symbols.len() as u32;
        let name = self.strings.add(name);
        self.symbols.push(OutputSymbol { name, ..symbol });
        number
    }

    /// Appends the symbol of a section at `address`.
    pub(crate) fn add_section(&mut self, place: OutputPlace, address: u64) {
        let number = self.add(
            b"",
            OutputSymbol {
                value: address,
                info: info(elf::STB_LOCAL.0, elf::STT_SECTION.0),
                place,
                ..null_symbol()
            },
        );
        if let OutputPlace::Section(output) = place {
            self.sections[output] = number;
        }
    }

    /// Appends a FILE symbol: the locals behind it are of this file.
    pub(crate) fn add_file(&mut self, name: &[u8]) {
        self.add(
            name,
            OutputSymbol {
                info: info(elf::STB_LOCAL.0, elf::STT_FILE.0),
                place: OutputPlace::Absolute,
                ..null_symbol()
            },
        );
    }

    /// Appends a global symbol of the link.
    pub(crate) fn add_global(&mut self, id: GlobalId, name: &[u8], symbol: OutputSymbol) {
        self.globals[id] = self.add(name, symbol);
    }

    /// Tells where the local symbols of an object went: a number for each, or 0.
    pub(crate) fn set_locals(&mut self, object: ObjectId, numbers: Vec<u32>) {
        self.locals[object] = numbers;
    }
}
