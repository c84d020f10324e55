//! `System.map`: what `nm -n` prints of an image, without the symbols that no table is to have
//! (Linux, `scripts/mksysmap`).

use klink_arch::Class;
use klink_tables::kallsyms::{MappedSymbol, in_system_map};
use rayon::prelude::*;

use super::names::listed;
use super::version::KernelVersion;

use crate::output::Outputs;
use crate::symtab::SymbolTable;

const HEX_DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Bytes of a line, for the first guess at the size.
const LINE: usize = 48;

/// Lines that a thread writes at a time.
const SHARE: usize = 1 << 12;

/// The file's text: a line for each symbol, by address and then by name.
pub(in crate::image) fn text(
    symbols: &SymbolTable,
    outputs: &Outputs<'_>,
    class: Class,
    version: KernelVersion,
) -> String {
    let form = version.form();
    let is_kept = |symbol: &MappedSymbol<'_>| in_system_map(form, symbol.kind, symbol.name);
    let mut kept: Vec<_> = listed(symbols, outputs).filter(is_kept).collect();
    kept.par_sort_by(|a, b| (a.address, a.name).cmp(&(b.address, b.name)));
    let digits = match class {
        Class::Elf32 => 8,
        Class::Elf64 => 16,
    };
    let lines = |symbols: &[MappedSymbol<'_>]| {
        let mut text = Vec::with_capacity(symbols.len() * LINE);
        for symbol in symbols {
            let nibbles = (0..digits)
                .rev()
                .map(|place| symbol.address >> (4 * place) & 0xf);
            text.extend(nibbles.map(|nibble| HEX_DIGITS[nibble as usize]));
            text.extend([b' ', symbol.kind, b' ']);
            text.extend_from_slice(symbol.name);
            text.push(b'\n');
        }
        text
    };
    let parts: Vec<Vec<u8>> = kept.par_chunks(SHARE).map(lines).collect();
    String::from_utf8(parts.concat())
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
