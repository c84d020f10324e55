//! `System.map`: what `nm -n` prints of an image, without the symbols that no table is to have
//! (Linux, `scripts/mksysmap`).

use std::io::Write;

use klink_arch::Class;
use klink_tables::kallsyms::{MappedSymbol, in_system_map};

use super::names::listed;
use super::version::KernelVersion;

use crate::output::Outputs;
use crate::symtab::SymbolTable;

/// Bytes of a line, for the first guess at the size.
const LINE: usize = 48;

/// The file's text: a line for each symbol, by address and then by name.
pub(in crate::image) fn text(
    symbols: &SymbolTable,
    outputs: &Outputs<'_>,
    class: Class,
    version: KernelVersion,
) -> String {
    let form = version.form();
    let all = listed(symbols, outputs);
    let mut kept: Vec<MappedSymbol<'_>> = all
        .filter(|symbol| in_system_map(form, symbol.kind, symbol.name))
        .collect();
    kept.sort_by(|a, b| (a.address, a.name).cmp(&(b.address, b.name)));
    let digits = match class {
        Class::Elf32 => 8,
        Class::Elf64 => 16,
    };
    let mut text = Vec::with_capacity(kept.len() * LINE);
    for symbol in kept {
        // Writing to a vector does not fail.
        let _ = write!(
            text,
            "{:0digits$x} {} ",
            symbol.address,
            char::from(symbol.kind)
        );
        text.extend_from_slice(symbol.name);
        text.push(b'\n');
    }
    String::from_utf8(text)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
