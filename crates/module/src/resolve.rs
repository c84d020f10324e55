//! Gives every symbol of a module its run address.
//!
//! Source: Linux 6.1 `kernel/module/main.c` (simplify_symbols, resolve_symbol),
//! `kernel/module/version.c`, `arch/powerpc/kernel/module_64.c` (dedotify).

use alloc::string::String;
use alloc::vec::Vec;

use hashbrown::{HashMap, HashSet};
use klink_arch::LoaderPointer;
use klink_tables::{modinfo, versions};

use crate::elf::{RawSymbol, SHN_ABS, SHN_COMMON, SHN_LIVEPATCH, SHN_UNDEF, STB_WEAK};
use crate::error::{Error, Unresolved, Why};
use crate::file::ModuleFile;
use crate::id::SymbolId;
use crate::known::Known;
use crate::license;
use crate::params::Kind;
use crate::symbols::{Export, ModuleId, Symbols};
use crate::tables;

/// An undefined symbol of the module and what it was resolved with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Use {
    /// The symbol.
    pub symbol: SymbolId,
    /// Its run address.
    pub address: u64,
    /// The module that exports it; `None`: the kernel.
    pub owner: Option<ModuleId>,
    /// Whether it is exported to GPL-compatible modules only.
    pub gpl_only: bool,
}

/// The run addresses of all symbols, and what was used.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) values: Vec<u64>,
    pub(crate) uses: Vec<Use>,
    /// The addresses of the kernel's functions that set parameters, and what they do.
    pub(crate) parameters: Vec<(u64, Kind)>,
    /// Whether the module's licence is compatible with the GPL.
    pub(crate) gpl_compatible: bool,
}

/// Resolves all symbols; `sections` are the run addresses of sections, 0 for those that are not loaded, `gp` is
/// what a symbol for the module's own global pointer means.
pub(crate) fn resolve<S: Symbols>(
    file: &ModuleFile<'_>,
    symbols: &S,
    sections: &[u64],
    gp: u64,
) -> Result<Resolved, Error> {
    let mut resolver = Resolver::new(file);
    let mut values = Vec::with_capacity(file.symbol_count());
    let mut uses = Vec::with_capacity(file.global_count());
    let mut failed = Vec::new();
    for (id, symbol) in file.raw_symbols() {
        values.push(match symbol.section {
            SHN_UNDEF if id.0 == 0 => 0,
            SHN_UNDEF => match resolver.undefined(symbols, id, symbol, gp)? {
                Found::Used(found) => {
                    uses.push(found);
                    found.address
                }
                Found::Value(value) => value,
                Found::Failed(unresolved) => {
                    failed.push(unresolved);
                    0
                }
            },
            SHN_ABS | SHN_LIVEPATCH => symbol.value,
            SHN_COMMON => match resolver.text(id) {
                name if name.starts_with("__gnu_lto") => 0,
                symbol => return Err(Error::CommonSymbol { symbol }),
            },
            section => match sections.get(usize::from(section)) {
                Some(address) => address.wrapping_add(symbol.value),
                None => {
                    return Err(Error::SymbolSection {
                        symbol: resolver.text(id),
                        section,
                    });
                }
            },
        });
    }
    if failed.is_empty() {
        Ok(Resolved {
            values,
            uses,
            parameters: resolver.parameters,
            gpl_compatible: resolver.gpl_compatible,
        })
    } else {
        Err(Error::Unresolved(failed))
    }
}

enum Found {
    Used(Use),
    Value(u64),
    Failed(Unresolved),
}

struct Resolver<'f, 'a> {
    file: &'f ModuleFile<'a>,
    gpl_compatible: bool,
    uses_gpl_only: bool,
    versions: Option<HashMap<&'a [u8], u32>>,
    /// The namespaces that the module imports.
    imported: Option<HashSet<&'a [u8]>>,
    has_parameters: bool,
    parameters: Vec<(u64, Kind)>,
}

impl<'f, 'a> Resolver<'f, 'a> {
    fn new(file: &'f ModuleFile<'a>) -> Self {
        Self {
            file,
            gpl_compatible: license::is_gpl_compatible(file.modinfo_value(b"license")),
            uses_gpl_only: false,
            versions: None,
            imported: None,
            has_parameters: file.known(Known::Param).is_some(),
            parameters: Vec::new(),
        }
    }

    fn text(&self, id: SymbolId) -> String {
        String::from_utf8_lossy(self.file.symbol_name(id)).into_owned()
    }

    fn undefined<S: Symbols>(
        &mut self,
        symbols: &S,
        id: SymbolId,
        symbol: RawSymbol,
        gp: u64,
    ) -> Result<Found, Error> {
        let name = self.file.raw_name(symbol);
        let mut name = name.ok_or(Error::SymbolName { symbol: id })?;
        let load = &self.file.arch().load;
        if let LoaderPointer::Section { symbol, .. } = load.global_pointer
            && symbol.as_bytes() == name
        {
            return Ok(Found::Value(gp));
        }
        if let Some(prefix) = load.symbol_prefix
            && let Some((&first, rest)) = name.split_first()
            && char::from(first) == prefix
        {
            name = rest;
        }
        let why = match symbols.export(name) {
            None => Why::Unknown,
            Some(export) => match self.refuses(name, &export) {
                Some(why) => why,
                None => {
                    self.uses_gpl_only |= export.gpl_only;
                    if self.has_parameters
                        && let Some(kind) = Kind::of_symbol(name, self.file.arch().class.into())
                    {
                        self.parameters.push((export.address, kind));
                    }
                    return Ok(Found::Used(Use {
                        symbol: id,
                        address: export.address,
                        owner: export.owner,
                        gpl_only: export.gpl_only,
                    }));
                }
            },
        };
        let missing = why.errno() == -crate::error::ENOENT;
        if missing && (symbol.bind() == STB_WEAK || self.is_ignored(name)) {
            return Ok(Found::Value(symbol.value));
        }
        Ok(Found::Failed(Unresolved {
            symbol: String::from_utf8_lossy(name).into_owned(),
            why,
        }))
    }

    /// Assemblers leave an undefined symbol for a global offset table that nothing refers to
    /// (Linux, `ignore_undef_symbol`).
    fn is_ignored(&self, name: &[u8]) -> bool {
        let got = self.file.arch().got.as_ref();
        got.is_some_and(|got| got.symbol.as_bytes() == name)
    }

    /// Why the module may not use an exported symbol.
    fn refuses(&mut self, name: &[u8], export: &Export<'_>) -> Option<Why> {
        if export.gpl_only && !self.gpl_compatible {
            return Some(Why::GplOnly);
        }
        if export.proprietary && (self.uses_gpl_only || export.gpl_only) {
            return Some(Why::Proprietary);
        }
        if let Some(found) = export.crc {
            match self.version(name) {
                Some(wanted) if wanted == found => {}
                Some(wanted) => return Some(Why::Version { wanted, found }),
                None if !self.has_versions() => {}
                None => return Some(Why::NoVersion),
            }
        }
        if !export.namespace.is_empty() && !self.imports(export.namespace) {
            let namespace = String::from_utf8_lossy(export.namespace);
            return Some(Why::Namespace(namespace.into_owned()));
        }
        None
    }

    fn imports(&mut self, namespace: &[u8]) -> bool {
        let modinfo = self.file.modinfo();
        let imported = self.imported.get_or_insert_with(|| {
            let imports = modinfo::entries(modinfo).filter(|entry| entry.key == b"import_ns");
            imports.map(|entry| entry.value).collect()
        });
        imported.contains(namespace)
    }

    fn has_versions(&self) -> bool {
        let known = [Known::Versions, Known::ExtendedCrcs];
        known
            .into_iter()
            .any(|known| self.file.known(known).is_some())
    }

    /// The CRC that the module was built with.
    fn version(&mut self, name: &[u8]) -> Option<u32> {
        let file = self.file;
        let versions = self.versions.get_or_insert_with(|| versions(file));
        versions.get(name).copied()
    }
}

/// What the module says about the symbols that it uses; of several the first counts.
fn versions<'a>(file: &ModuleFile<'a>) -> HashMap<&'a [u8], u32> {
    let numbers = tables::numbers(file);
    let plain = versions::versions(numbers, file.known_contents(Known::Versions));
    let crcs = file.known_contents(Known::ExtendedCrcs);
    let names = file.known_contents(Known::ExtendedNames);
    let mut found = HashMap::new();
    for version in versions::extended(numbers, crcs, names).chain(plain) {
        found.entry(version.name).or_insert(version.crc);
    }
    found
}
