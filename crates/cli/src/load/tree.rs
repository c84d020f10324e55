//! A tree of modules: what there is, by name and alias, and who needs whom.

mod indexes;
mod modules;
mod order;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::error::Error;
use super::kernel::Wanted;
use super::name::ModuleName;
use super::pattern;
pub(crate) use order::{Role, Step};

/// Files that a folder of modules has at its top: the first is depmod's, the second the kernel build's.
const TOPS: [&str; 2] = ["modules.dep", "modules.order"];

/// A module of a tree: its index in [`Tree::entries`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct EntryId(usize);

/// A module of a tree.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: ModuleName,
    pub(crate) path: PathBuf,
    /// Modules that must be loaded before, in this order.
    pub(crate) needs: Vec<EntryId>,
}

/// Modules that work better with others, though they load without (`softdep` of modprobe.d).
#[derive(Clone, Debug, Default)]
struct Soft {
    before: Vec<ModuleName>,
    after: Vec<ModuleName>,
}

/// A tree of modules.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) folder: PathBuf,
    entries: Vec<Entry>,
    by_name: HashMap<ModuleName, EntryId>,
    aliases: Vec<(String, ModuleName)>,
    soft: HashMap<ModuleName, Soft>,
    builtin: HashSet<ModuleName>,
    /// Who exports a symbol, of the modules that were read.
    exports: HashMap<Vec<u8>, EntryId>,
    /// What these need.
    imports: HashSet<Vec<u8>>,
}

/// What a name stands for.
pub(crate) enum Meaning {
    /// These modules: one, or all that have an alias.
    Modules(Vec<EntryId>),
    /// Nothing to load: it is part of the kernel.
    Builtin,
}

impl Tree {
    /// Reads the tree in `folder`: what depmod has written, or if there is none of that, or what modules
    /// export and need is wanted (`reads_modules`), the modules themselves.
    ///
    /// # Errors
    /// A folder that cannot be listed, or without modules.
    pub(crate) fn read(folder: &Path, reads_modules: bool) -> Result<Self, Error> {
        let mut tree = Self {
            folder: folder.to_owned(),
            ..Self::default()
        };
        tree.read_builtin();
        if reads_modules || !tree.read_indexes() {
            tree.read_modules()?;
        }
        Ok(tree)
    }

    /// The folder of the tree that `file` is part of.
    pub(crate) fn around(file: &Path) -> Option<PathBuf> {
        let file = file.canonicalize().ok()?;
        let mut folders = file.ancestors().skip(1);
        let top = folders.find(|folder| TOPS.iter().any(|top| folder.join(top).is_file()));
        top.map(Path::to_owned)
    }

    /// Its modules.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (EntryId, &Entry)> {
        (0..).map(EntryId).zip(&self.entries)
    }

    /// One of its modules.
    pub(crate) fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.entries.get(id.0)
    }

    /// What `name` stands for; `None`: nothing. A module's own name goes before aliases, as in modprobe.
    pub(crate) fn find(&self, name: &str) -> Option<Meaning> {
        let module = ModuleName::new(name);
        if let Some(&id) = self.by_name.get(&module) {
            return Some(Meaning::Modules(vec![id]));
        }
        if self.builtin.contains(&module) {
            return Some(Meaning::Builtin);
        }
        let fitting = self.aliases.iter();
        let fitting = fitting.filter(|(pattern, _)| pattern::matches(pattern, name));
        let mut found = Vec::new();
        for id in fitting.filter_map(|(_, module)| self.by_name.get(module)) {
            if !found.contains(id) {
                found.push(*id);
            }
        }
        (!found.is_empty()).then_some(Meaning::Modules(found))
    }

    /// Puts files that are not part of the tree beside its modules, in front of those of the same name.
    pub(crate) fn add(&mut self, paths: &[PathBuf]) -> Vec<EntryId> {
        let mut ids = Vec::with_capacity(paths.len());
        let mut added = Vec::new();
        for path in paths {
            let same = |entry: &Entry| same_file(&entry.path, path);
            if let Some((id, _)) = self.entries().find(|(_, entry)| same(entry)) {
                ids.push(id);
                continue;
            }
            let read = modules::read(path);
            let name = match &read {
                Some(read) => read.name.clone(),
                None => modules::name_of(path),
            };
            let id = self.insert(name.clone(), path.clone());
            self.by_name.insert(name, id);
            ids.push(id);
            if let Some(read) = read {
                self.note(id, &read);
                added.push((id, read));
            }
        }
        for (id, read) in &added {
            self.connect(*id, read);
        }
        ids
    }

    /// Whether a module exports this symbol, of those that were read.
    pub(crate) fn exports(&self, name: &[u8]) -> bool {
        self.exports.contains_key(name)
    }

    /// What modules need and none of them exports; where the tree's modules were not read, of the added
    /// files only.
    pub(crate) fn wanted(&self) -> Wanted {
        let imports = self.imports.iter();
        Wanted::new(
            imports
                .filter(|name| !self.exports.contains_key(*name))
                .cloned(),
        )
    }

    fn insert(&mut self, name: ModuleName, path: PathBuf) -> EntryId {
        let id = EntryId(self.entries.len());
        self.by_name.entry(name.clone()).or_insert(id);
        self.entries.push(Entry {
            name,
            path,
            needs: Vec::new(),
        });
        id
    }
}

fn same_file(a: &Path, b: &Path) -> bool {
    if a == b {
        return true;
    }
    // names differ for most, and asking the file system takes its time
    a.file_name() == b.file_name()
        && match (a.canonicalize(), b.canonicalize()) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        }
}
