//! What modules say of themselves: exports and imports, aliases, soft dependencies. Read where depmod has
//! written nothing.

use std::path::Path;

use klink_module::ModuleFile;
use klink_tables::modinfo;
use rayon::prelude::*;

use super::{EntryId, Soft, Tree};
use crate::compressed::Contents;
use crate::inspect::files;
use crate::load::error::Error;
use crate::load::name::ModuleName;

/// What one module says.
pub(super) struct Read {
    pub(super) name: ModuleName,
    exports: Vec<Vec<u8>>,
    /// Names, and whether it does without.
    imports: Vec<(Vec<u8>, bool)>,
    aliases: Vec<String>,
    depends: Vec<ModuleName>,
    pub(super) soft: Soft,
}

/// Reads a module; `None` if it cannot be read or is none. Loading it says why.
pub(super) fn read(path: &Path) -> Option<Read> {
    let contents = Contents::open(path).ok()?;
    let file = ModuleFile::parse(&contents).ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let name = match ModuleName::of_file(path) {
        Some(name) => name,
        None => ModuleName::new(&text(file.name())),
    };
    let mut read = Read {
        name,
        exports: file.exports().iter().map(|of| of.name.to_vec()).collect(),
        imports: file.imports().map(|(n, weak)| (n.to_vec(), weak)).collect(),
        aliases: Vec::new(),
        depends: Vec::new(),
        soft: Soft::default(),
    };
    for entry in modinfo::entries(file.modinfo()) {
        let value = text(entry.value);
        match entry.key {
            b"alias" => read.aliases.push(value),
            b"softdep" => read.soft.read(&value),
            b"depends" => {
                let names = value.split(',').filter(|name| !name.is_empty());
                read.depends.extend(names.map(ModuleName::new));
            }
            _ => {}
        }
    }
    Some(read)
}

/// What to call a file that says no name itself.
pub(super) fn name_of(path: &Path) -> ModuleName {
    let file = path.file_name().unwrap_or(path.as_os_str());
    ModuleName::of_file(path).unwrap_or_else(|| ModuleName::new(&file.to_string_lossy()))
}

impl Tree {
    /// Reads all modules in and below the folder.
    ///
    /// # Errors
    /// A folder that cannot be listed, or without modules. Files that are no modules are passed over;
    /// loading them will say what is wrong.
    pub(super) fn read_modules(&mut self) -> Result<(), Error> {
        let (paths, failures) = files::collect(std::slice::from_ref(&self.folder));
        if let Some((folder, source)) = failures.into_iter().next() {
            return Err(Error::Tree { folder, source });
        }
        let all: Vec<Option<Read>> = paths.par_iter().map(|path| read(path)).collect();
        for (path, read) in paths.into_iter().zip(&all) {
            let name = match read {
                Some(read) => read.name.clone(),
                None => name_of(&path),
            };
            let id = self.insert(name, path);
            if let Some(read) = read {
                self.note(id, read);
            }
        }
        for (nth, read) in all.iter().enumerate() {
            if let Some(read) = read {
                self.connect(EntryId(nth), read);
            }
        }
        Ok(())
    }

    /// Notes what a module offers, before it is known who needs it.
    pub(super) fn note(&mut self, id: EntryId, read: &Read) {
        for export in &read.exports {
            self.exports.entry(export.clone()).or_insert(id);
        }
        let aliases = read.aliases.iter();
        let aliases = aliases.map(|alias| (alias.clone(), read.name.clone()));
        self.aliases.extend(aliases);
        self.soft
            .entry(read.name.clone())
            .or_insert_with(|| read.soft.clone());
    }

    /// Finds what a module needs: who exports its symbols, and whom it names itself.
    pub(super) fn connect(&mut self, id: EntryId, read: &Read) {
        let mut needs = Vec::new();
        for (import, weak) in &read.imports {
            match self.exports.get(import) {
                Some(other) if !needs.contains(other) && *other != id => needs.push(*other),
                None if !weak => {
                    self.imports.insert(import.clone());
                }
                _ => {}
            }
        }
        let named = read
            .depends
            .iter()
            .filter_map(|name| self.by_name.get(name));
        for other in named {
            if !needs.contains(other) && *other != id {
                needs.push(*other);
            }
        }
        if let Some(entry) = self.entries.get_mut(id.0) {
            entry.needs = needs;
        }
    }
}
