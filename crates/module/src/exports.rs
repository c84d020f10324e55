//! What a module file exports, before it is loaded: what depmod reads.
//!
//! For each exported symbol the compiler leaves `__ksymtab_NAME` (in `__ksymtab` or `__ksymtab_gpl`),
//! `__kstrtabns_NAME` (a string) and, with versions, `__crc_NAME` (Linux, `include/linux/export.h`;
//! the CRC is an absolute symbol's value up to 5.18, then a number in `__kcrctab`).

use alloc::vec::Vec;

use hashbrown::HashMap;
use klink_arch::LoaderPointer;

use crate::elf::{RawSymbol, SHN_ABS, SHN_UNDEF, STB_LOCAL, STB_WEAK, c_string};
use crate::file::ModuleFile;
use crate::id::{SectionId, SymbolId};
use crate::known::Known;

/// A symbol that a module file exports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FileExport<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The symbol itself.
    pub symbol: SymbolId,
    /// Whether only modules with a GPL-compatible licence may use it.
    pub gpl_only: bool,
    /// The namespace that a user has to import; empty: none.
    pub namespace: &'a [u8],
    /// Its version.
    pub crc: Option<u32>,
}

const KSYMTAB: &[u8] = b"__ksymtab_";
const NAMESPACE: &[u8] = b"__kstrtabns_";
const CRC: &[u8] = b"__crc_";

#[derive(Default)]
struct Partial<'a> {
    gpl_only: bool,
    exported: bool,
    namespace: &'a [u8],
    crc: Option<u32>,
}

impl<'a> ModuleFile<'a> {
    /// The symbols that it exports, in the order of its symbol table.
    #[must_use]
    pub fn exports(&self) -> Vec<FileExport<'a>> {
        let gpl = self.known(Known::KsymtabGpl);
        if gpl.is_none() && self.known(Known::Ksymtab).is_none() {
            return Vec::new();
        }
        let known = [
            Known::Ksymtab,
            Known::KsymtabGpl,
            Known::KsymtabStrings,
            Known::Kcrctab,
            Known::KcrctabGpl,
        ];
        let tables = known.map(|known| self.known(known));
        let in_table = |symbol: &RawSymbol| {
            let section = Some(SectionId(symbol.section.into()));
            symbol.section == SHN_ABS || tables.contains(&section)
        };
        let mut partial: HashMap<&[u8], Partial<'a>> = HashMap::new();
        for (_, symbol) in self.raw_symbols().filter(|(_, symbol)| in_table(symbol)) {
            let Some(name) = self.raw_name(symbol) else {
                continue;
            };
            if let Some(name) = name.strip_prefix(KSYMTAB) {
                let export = partial.entry(name).or_default();
                export.exported = true;
                export.gpl_only = gpl == Some(SectionId(symbol.section.into()));
            } else if let Some(name) = name.strip_prefix(NAMESPACE) {
                let namespace = self.bytes_at(symbol);
                partial.entry(name).or_default().namespace =
                    c_string(namespace, 0).unwrap_or_default();
            } else if let Some(name) = name.strip_prefix(CRC) {
                partial.entry(name).or_default().crc = match symbol.section {
                    SHN_ABS => Some(symbol.value as u32),
                    _ => self.format().u32(self.bytes_at(symbol), 0),
                };
            }
        }
        // a static symbol may have the name of an exported one
        let global = self
            .raw_symbols()
            .filter(|(_, symbol)| symbol.section != SHN_UNDEF && symbol.bind() != STB_LOCAL);
        let found = global.filter_map(|(id, symbol)| {
            let name = self.raw_name(symbol)?;
            let export = partial.remove(name).filter(|export| export.exported)?;
            Some(FileExport {
                name,
                symbol: id,
                gpl_only: export.gpl_only,
                namespace: export.namespace,
                crc: export.crc,
            })
        });
        found.collect()
    }

    /// The names of the symbols that others must export, as [`Symbols`](crate::Symbols) is asked for
    /// them, and whether the module does without (weak symbols).
    pub fn imports(&self) -> impl Iterator<Item = (&'a [u8], bool)> {
        let load = &self.arch().load;
        let got = self.arch().got.as_ref().map(|got| got.symbol.as_bytes());
        let own = match load.global_pointer {
            LoaderPointer::Section { symbol, .. } => Some(symbol.as_bytes()),
            _ => None,
        };
        let undefined = self.raw_symbols().skip(1);
        let undefined = undefined.filter(|(_, symbol)| symbol.section == SHN_UNDEF);
        undefined.filter_map(move |(_, symbol)| {
            let name = self.raw_name(symbol)?;
            if Some(name) == own || Some(name) == got {
                return None;
            }
            let stripped = load.symbol_prefix.and_then(|prefix| {
                let (&first, rest) = name.split_first()?;
                (char::from(first) == prefix).then_some(rest)
            });
            Some((stripped.unwrap_or(name), symbol.bind() == STB_WEAK))
        })
    }

    /// The file's bytes from a symbol's place on.
    fn bytes_at(&self, symbol: RawSymbol) -> &'a [u8] {
        let section = self.section(SectionId(symbol.section.into()));
        let contents = section.map_or(&[][..], |section| self.contents(section));
        let start = usize::try_from(symbol.value).ok();
        start
            .and_then(|start| contents.get(start..))
            .unwrap_or_default()
    }
}
