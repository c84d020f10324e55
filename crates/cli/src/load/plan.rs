//! What is to be loaded, into which kernel, in which order.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use klink_arch::{ARCHES, Arch};
use klink_module::ModuleFile;

use super::error::Error;
use super::kernel::{Kernel, KernelLists};
use super::name::ModuleName;
use super::parameters::Parameter;
use super::tree::{EntryId, Meaning, Step, Tree};
use crate::compressed::Contents;

/// Where kernels have their modules installed.
const INSTALLED: &str = "/lib/modules";
/// The version of the kernel that runs.
const RUNNING: &str = "/proc/sys/kernel/osrelease";

/// What the command line asks for.
pub(crate) struct Request<'o> {
    /// Names, aliases, files, and parameters behind them.
    pub(crate) modules: &'o [String],
    pub(crate) all: bool,
    pub(crate) folder: Option<&'o Path>,
    pub(crate) symbols: &'o [PathBuf],
    pub(crate) arch: Option<&'o str>,
    /// Whether only names and order are wanted.
    pub(crate) names_only: bool,
    /// Whether symbols that no list tells get made-up addresses.
    pub(crate) invent: bool,
}

/// What is to be done for it.
pub(crate) struct Plan {
    pub(crate) kernel: Kernel,
    pub(crate) tree: Tree,
    pub(crate) arch: &'static Arch,
    pub(crate) steps: Vec<Step>,
    /// Names that are part of the kernel.
    pub(crate) builtin: Vec<String>,
    parameters: HashMap<EntryId, Vec<Parameter>>,
}

/// A module as it was asked for.
struct Wanted<'o> {
    what: &'o str,
    parameters: Vec<Parameter>,
}

impl Wanted<'_> {
    /// Whether it is a file: it looks like one, or is one and no folder.
    fn is_file(&self) -> bool {
        let path = Path::new(self.what);
        path.is_file() || self.what.contains('/') || ModuleName::of_file(path).is_some()
    }
}

impl Plan {
    /// Reads what is there and decides what is loaded.
    ///
    /// # Errors
    /// Names that nothing has, files and lists that cannot be read.
    pub(crate) fn make(request: &Request<'_>) -> Result<Self, Error> {
        let wanted = split(request.modules);
        let files: Vec<PathBuf> = wanted
            .iter()
            .filter(|wanted| wanted.is_file())
            .map(|wanted| PathBuf::from(wanted.what))
            .collect();
        let folder = find_folder(request, &files, &wanted)?;
        let lists = KernelLists::read(request.symbols, folder.as_deref())?;
        let reads_modules = !request.names_only && (lists.is_unknown() || request.invent);
        let mut tree = match &folder {
            Some(folder) => Tree::read(folder, reads_modules)?,
            None => Tree::default(),
        };
        let mut file_ids = tree.add(&files).into_iter();
        let (mut roots, mut builtin) = (Vec::new(), Vec::new());
        let mut parameters = HashMap::new();
        for wanted in wanted {
            let ids = if wanted.is_file() {
                file_ids.next().into_iter().collect()
            } else {
                match tree.find(wanted.what) {
                    Some(Meaning::Modules(ids)) => ids,
                    Some(Meaning::Builtin) => {
                        builtin.push(wanted.what.to_owned());
                        continue;
                    }
                    None => {
                        return Err(Error::NotFound {
                            name: wanted.what.to_owned(),
                            folder: tree.folder,
                        });
                    }
                }
            };
            for id in ids {
                roots.push(id);
                parameters.insert(id, wanted.parameters.clone());
            }
        }
        let steps = match request.all {
            true => tree.order_of_all(),
            false => tree.order(&roots),
        };
        let arch = find_arch(request.arch, &tree, &steps)?;
        let of_modules = |name: &[u8]| tree.exports(name);
        let kernel = lists.settle(arch, &tree.wanted(), request.invent, of_modules);
        Ok(Self {
            kernel,
            tree,
            arch,
            steps,
            builtin,
            parameters,
        })
    }

    /// The parameters of a module.
    pub(crate) fn parameters(&self, id: EntryId) -> &[Parameter] {
        self.parameters.get(&id).map_or(&[], Vec::as_slice)
    }
}

/// Parameters belong to the module in front of them.
fn split(arguments: &[String]) -> Vec<Wanted<'_>> {
    let mut wanted: Vec<Wanted<'_>> = Vec::new();
    for argument in arguments {
        match (Parameter::parse(argument), wanted.last_mut()) {
            (Some(parameter), Some(last)) => last.parameters.push(parameter),
            _ => wanted.push(Wanted {
                what: argument,
                parameters: Vec::new(),
            }),
        }
    }
    wanted
}

/// The folder of modules; `None`: there are only files, and they belong to no folder.
fn find_folder(
    request: &Request<'_>,
    files: &[PathBuf],
    wanted: &[Wanted<'_>],
) -> Result<Option<PathBuf>, Error> {
    if let Some(given) = request.folder {
        let installed = Path::new(INSTALLED).join(given);
        let is_version = !given.is_dir() && installed.is_dir();
        return Ok(Some(if is_version {
            installed
        } else {
            given.to_owned()
        }));
    }
    if let Some(around) = files.iter().find_map(|file| Tree::around(file)) {
        return Ok(Some(around));
    }
    let named = wanted.iter().find(|wanted| !wanted.is_file());
    if named.is_none() && !request.all {
        return Ok(None);
    }
    let running = fs::read_to_string(RUNNING).unwrap_or_default();
    let folder = Path::new(INSTALLED).join(running.trim());
    match folder.is_dir() {
        true => Ok(Some(folder)),
        false => Err(Error::NoFolder {
            name: named.map_or("--all", |named| named.what).to_owned(),
            folder,
        }),
    }
}

/// The architecture that was asked for, or that of the first module that says one.
fn find_arch(given: Option<&str>, tree: &Tree, steps: &[Step]) -> Result<&'static Arch, Error> {
    if let Some(given) = given {
        let found = ARCHES.into_iter().find(|arch| arch.name == given);
        return found.ok_or_else(|| Error::Arch {
            given: given.to_owned(),
            known: ARCHES.map(|arch| arch.name).join(", "),
        });
    }
    // what needs nothing comes first, and any of them will do
    let files = steps.iter().rev().filter_map(|step| tree.entry(step.id));
    let mut arches = files.filter_map(|entry| {
        let contents = Contents::open(&entry.path).ok()?;
        Some(ModuleFile::parse(&contents).ok()?.arch())
    });
    // where no file is a module, loading them says why
    Ok(arches.next().unwrap_or(ARCHES[0]))
}
