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

/// Symbols of a kernel, for one architecture.
#[derive(Debug, Default)]
pub(crate) struct Kernel {
    table: SymbolTable,
    /// Where the symbols are from, for people.
    pub(crate) sources: Vec<PathBuf>,
    /// How many symbols have made-up addresses, since no list told them.
    pub(crate) invented: usize,
    /// Whether lists that tell functions only are all there is.
    lacks_data: bool,
}

/// What lists say of a kernel, before it is known which architecture it is for.
#[derive(Debug, Default)]
pub(crate) struct KernelLists {
    lists: Lists,
    sources: Vec<PathBuf>,
}

impl KernelLists {
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
        Ok(Self { lists, sources })
    }

    /// Whether nothing tells what it exports.
    pub(crate) fn is_unknown(&self) -> bool {
        self.sources.is_empty()
    }

    /// The kernel for `arch`. Gets made-up addresses: what is exported but has none, and of what
    /// modules want that which no list tells, if there is no list or `may_invent`. Where nothing tells
    /// what is exported, everything counts as exported but what `modules` export themselves.
    pub(crate) fn settle(
        mut self,
        arch: &Arch,
        wanted: &Wanted,
        may_invent: bool,
        modules: impl Fn(&[u8]) -> bool,
    ) -> Kernel {
        let unknown = self.is_unknown();
        let lacks_data = self.lists.lack_data();
        let invented = self.lists.invent(arch);
        let mut kernel = Kernel {
            table: self.lists.into_table(arch, modules),
            sources: self.sources,
            invented,
            lacks_data,
        };
        if unknown || may_invent {
            kernel.invent(arch, wanted);
        }
        kernel
    }
}

impl Kernel {
    /// What to call it in a sentence.
    pub(crate) fn short_name(&self) -> String {
        match self.sources.first() {
            Some(path) => path.display().to_string(),
            None => "the kernel".into(),
        }
    }

    /// What it is and where that is from, for people.
    pub(crate) fn describe(&self) -> String {
        let sources = self.sources.iter().map(|path| path.display().to_string());
        let sources = match self.sources.is_empty() {
            true => ", as modules need them".to_owned(),
            false => format!(" of {}", sources.collect::<Vec<_>>().join(" and ")),
        };
        let invented = match self.invented {
            0 => String::new(),
            invented => format!(", {} at made-up addresses", number(invented as u64)),
        };
        let symbols = number(self.len() as u64);
        format!("kernel: {symbols} exported symbols{sources}{invented}")
    }

    /// Whether its list has functions only: it was made without `CONFIG_KALLSYMS_ALL`.
    pub(crate) const fn lacks_data(&self) -> bool {
        self.lacks_data
    }

    /// How many symbols it exports.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// Makes up addresses, in the image of a kernel for `arch`.
    fn invent(&mut self, arch: &Arch, wanted: &Wanted) {
        if wanted.is_empty() {
            return;
        }
        let pointer = arch.load.global_pointer.symbol();
        if let Some(pointer) = pointer.filter(|name| self.kernel_symbol(name.as_bytes()).is_none())
        {
            let address = invented::pointer(arch);
            self.table.insert_internal(pointer.as_bytes(), address);
        }
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
