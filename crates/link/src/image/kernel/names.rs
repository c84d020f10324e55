//! The symbols of an image as `nm` lists them: each with its letter.

use klink_tables::kallsyms::{MappedSymbol, SectionClass, SymbolClass, SymbolPlace, letter};
use object::elf;
use rayon::prelude::*;

use crate::id::{IdVec, OutputId};
use crate::output::Outputs;
use crate::symtab::{OutputPlace, SymbolTable};

/// The symbols in the order of the symbol table, without those of sections and files.
pub(super) fn listed<'s>(
    symbols: &'s SymbolTable,
    outputs: &Outputs<'_>,
) -> impl ParallelIterator<Item = MappedSymbol<'s>> + use<'s> {
    let mut letters: IdVec<OutputId, u8> = IdVec::default();
    for section in outputs.sections.iter() {
        let flags = section.file_flags();
        let class = SectionClass {
            name: section.name,
            code: flags & elf::SHF_EXECINSTR.0 != 0,
            writable: flags & elf::SHF_WRITE.0 != 0,
            allocated: flags & elf::SHF_ALLOC.0 != 0,
            no_bits: section.file_type() == elf::SHT_NOBITS.0,
        };
        letters.push(class.letter());
    }
    symbols.symbols.par_iter().filter_map(move |symbol| {
        let (binding, kind) = (symbol.info >> 4, symbol.info & 0xf);
        if kind == elf::STT_SECTION.0 || kind == elf::STT_FILE.0 || symbol.name == 0 {
            return None;
        }
        let place = match symbol.place {
            OutputPlace::Section(output) => SymbolPlace::Section(letters[output]),
            OutputPlace::Absolute => SymbolPlace::Absolute,
            OutputPlace::Common => SymbolPlace::Common,
            OutputPlace::Undefined | OutputPlace::Group(_) => SymbolPlace::Undefined,
        };
        Some(MappedSymbol {
            kind: letter(&SymbolClass {
                place,
                weak: binding == elf::STB_WEAK.0,
                local: binding == elf::STB_LOCAL.0,
                unique: binding == elf::STB_GNU_UNIQUE.0,
                object: kind == elf::STT_OBJECT.0,
                indirect_function: kind == elf::STT_GNU_IFUNC.0,
            }),
            name: symbols.strings.at(symbol.name),
            address: symbol.value,
        })
    })
}
