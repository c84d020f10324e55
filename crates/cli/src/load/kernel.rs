//! The kernel that modules are loaded into: which symbols it exports, and where they are.

mod invented;
mod lists;

use std::path::{Path, PathBuf};

use klink_arch::Arch;
use klink_module::{Export, SymbolTable, Symbols};

use super::error::Error;
use crate::inspect::text::number;
pub(crate) use invented::Wanted;
use lists::{Lists, read_into};

/// Files beside modules that tell symbols, the best first; `build` is a link to the kernel's own folder.
const BESIDE: [&str; 4] = ["vmlinux", "System.map", "build/vmlinux", "build/System.map"];
/// Files that tell what is exported, with CRCs.
const VERSIONS: [&str; 2] = ["Module.symvers", "build/Module.symvers"];

/// Symbols of a kernel.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    table: SymbolTable,
    /// Exported symbols whose addresses no list tells.
    unplaced: Wanted,
    /// Where the symbols are from, for people.
    pub(crate) sources: Vec<PathBuf>,
    /// How many symbols have made-up addresses, since no list told them.
    pub(crate) invented: usize,
}

impl Kernel {
    /// Reads the lists in `paths`, or if there are none those beside the modules in `folder`.
    ///
    /// # Errors
    /// A file that cannot be read or is no list of symbols.
    pub(crate) fn read(paths: &[PathBuf], folder: Option<&Path>) -> Result<Self, Error> {
        let mut found = paths.to_vec();
        if let (true, Some(folder)) = (paths.is_empty(), folder) {
            let first = |names: &[&str]| {
                let mut paths = names.iter().map(|name| folder.join(name));
                paths.find(|path| path.is_file())
            };
            found.extend(first(&BESIDE));
            found.extend(first(&VERSIONS));
        }
        let mut lists = Lists::default();
        let mut sources = Vec::new();
        for path in found {
            match read_into(&mut lists, &path) {
                Ok(()) => sources.push(path),
                // nobody has asked for this one
                Err(_) if paths.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        let unplaced = lists.without_addresses();
        Ok(Self {
            table: lists.into_table(),
            unplaced,
            sources,
            invented: 0,
        })
    }

    /// Whether nothing tells what it exports.
    pub(crate) fn is_unknown(&self) -> bool {
        self.sources.is_empty()
    }

    /// What to call it in a sentence.
    pub(crate) fn short_name(&self) -> String {
        match self.sources.first() {
            Some(path) => path.display().to_string(),
            None => "the kernel".into(),
        }
    }

    /// What it is and where that is from, for people.
    pub(crate) fn describe(&self) -> String {
        let invented = match (self.invented, self.is_unknown()) {
            (0, _) => String::new(),
            (_, true) => {
                ", at made-up addresses: what modules need and none of them exports".into()
            }
            (_, false) => ", at made-up addresses".into(),
        };
        let sources = self.sources.iter().map(|path| path.display().to_string());
        let sources = match self.is_unknown() {
            true => String::new(),
            false => format!(" of {}", sources.collect::<Vec<_>>().join(" and ")),
        };
        format!(
            "kernel: {} exported symbols{sources}{invented}",
            number(self.len() as u64)
        )
    }

    /// How many symbols it exports.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Makes up addresses, in the image of a kernel for `arch`, for exported symbols that have none, and
    /// for those that modules want where nothing tells what is exported.
    pub(crate) fn invent(&mut self, arch: &Arch, wanted: &Wanted) {
        let wanted = if self.is_unknown() {
            wanted
        } else {
            &self.unplaced
        };
        for (name, address) in wanted.addresses(arch) {
            if self.table.insert(name, Export::at(address)) {
                self.invented += 1;
            }
        }
    }
}

impl Symbols for Kernel {
    fn export(&self, name: &[u8]) -> Option<Export<'_>> {
        self.table.export(name)
    }

    fn kernel_symbol(&self, name: &[u8]) -> Option<u64> {
        self.table.kernel_symbol(name)
    }
}
