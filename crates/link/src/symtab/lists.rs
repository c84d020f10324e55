//! A symbol table from lists that threads made apart.

use rayon::prelude::*;

use super::table::{OutputPlace, OutputSymbol, SymbolTable, info, null_symbol};
use super::{Strings, strings};
use crate::id::{GlobalId, Id, IdVec, ObjectId, OutputId};
use crate::output::Outputs;
use crate::resolve::Resolved;
use object::elf;

/// What the symbols of a list are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// Nothing that anyone asks the number of.
    Nothing,
    /// Output sections.
    Sections,
    /// Local symbols of an object.
    Object(ObjectId),
    /// Global symbols of the link.
    Globals,
}

/// Some symbols of a table, in order.
pub(crate) struct SymbolList<'a> {
    of: Of,
    symbols: Vec<OutputSymbol>,
    names: Vec<&'a [u8]>,
    /// What each symbol was: an index of the kind that `of` says.
    sources: Vec<u32>,
    has_file: bool,
}

impl<'a> SymbolList<'a> {
    pub(crate) fn new(of: Of) -> Self {
        Self {
            of,
            symbols: Vec::new(),
            names: Vec::new(),
            sources: Vec::new(),
            has_file: false,
        }
    }

    /// Makes room for some more symbols.
    pub(crate) fn reserve(&mut self, count: usize) {
        self.names.reserve(count);
        self.symbols.reserve(count);
        self.sources.reserve(count);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// Whether a FILE symbol is among them.
    pub(crate) fn has_file(&self) -> bool {
        self.has_file
    }

    /// Appends a symbol; `source` is the index of what it was.
    pub(crate) fn add(&mut self, name: &'a [u8], symbol: OutputSymbol, source: usize) {
        self.has_file |= symbol.info == FILE;
        self.names.push(name);
        self.symbols.push(symbol);
        self.sources.push(source as u32);
    }

    /// Appends a FILE symbol: the locals behind it are of this file.
    pub(crate) fn add_file(&mut self, name: &'a [u8]) {
        let symbol = OutputSymbol {
            info: FILE,
            place: OutputPlace::Absolute,
            ..null_symbol()
        };
        self.add(name, symbol, 0);
    }
}

/// `st_info` of a FILE symbol.
const FILE: u8 = info(elf::STB_LOCAL.0, elf::STT_FILE.0);

impl SymbolTable {
    /// The table of these symbols, behind the null symbol.
    pub(crate) fn of_lists(
        resolved: &Resolved<'_>,
        outputs: &Outputs<'_>,
        locals: Vec<SymbolList<'_>>,
        globals: Vec<SymbolList<'_>>,
    ) -> Self {
        let first_global = 1 + locals.iter().map(|list| list.symbols.len()).sum::<usize>();
        let lists: Vec<SymbolList<'_>> = locals.into_iter().chain(globals).collect();
        let mut starts = Vec::with_capacity(lists.len());
        let mut next = 1;
        for list in &lists {
            starts.push(next);
            next += list.symbols.len() as u32;
        }
        let (mut symbols, mut names) = (Vec::new(), Vec::new());
        symbols.reserve(next as usize);
        names.reserve(next as usize);
        symbols.push(null_symbol());
        names.push(&b""[..]);
        for list in &lists {
            symbols.extend_from_slice(&list.symbols);
            names.extend_from_slice(&list.names);
        }
        let (bytes, offsets) = strings::join(&names);
        let named = symbols.par_iter_mut().zip(offsets);
        named.for_each(|(symbol, name)| symbol.name = name);

        let mut table = Self {
            symbols,
            first_global: first_global as u32,
            strings: Strings::of(bytes),
            sections: IdVec::filled(0, outputs.sections.len()),
            locals: IdVec::filled(Vec::new(), resolved.objects.len()),
            globals: IdVec::filled(0, resolved.globals.len()),
        };
        let numbers_of = |list: &SymbolList<'_>, start| match list.of {
            Of::Object(object) => {
                let mut numbers = vec![0; resolved.objects[object].first_global];
                for (&source, number) in list.sources.iter().zip(start..) {
                    numbers[source as usize] = number;
                }
                // The null symbol is no FILE symbol.
                if let Some(null) = numbers.first_mut() {
                    *null = 0;
                }
                numbers
            }
            Of::Nothing | Of::Sections | Of::Globals => Vec::new(),
        };
        let numbered = lists.par_iter().zip(&starts);
        let numbers: Vec<Vec<u32>> = numbered
            .map(|(list, &start)| numbers_of(list, start))
            .collect();
        for ((list, start), of_object) in lists.iter().zip(starts).zip(numbers) {
            let numbered = list.sources.iter().zip(start..);
            let numbered = numbered.map(|(&source, number)| (source as usize, number));
            match list.of {
                Of::Nothing => {}
                Of::Object(object) => table.set_locals(object, of_object),
                Of::Sections => numbered.for_each(|(source, number)| {
                    table.sections[OutputId::from_index(source)] = number;
                }),
                Of::Globals => numbered.for_each(|(source, number)| {
                    table.globals[GlobalId::from_index(source)] = number;
                }),
            }
        }
        table
    }
}
