//! What depmod has written about a tree: modules.dep, modules.alias, modules.softdep, and the kernel
//! build's modules.builtin (kmod, `man/modules.dep.5.xml`; `tools/depmod.c`, output_deps and others).

use std::fs;
use std::path::Path;

use super::{Soft, Tree};
use crate::load::name::ModuleName;

impl Tree {
    /// The modules that are part of the kernel.
    pub(super) fn read_builtin(&mut self) {
        let list = read(&self.folder.join("modules.builtin"));
        let names = list.lines().map(Path::new).filter_map(ModuleName::of_file);
        self.builtin.extend(names);
    }

    /// Reads modules.dep and its companions; gives whether there is one with modules in it.
    pub(super) fn read_indexes(&mut self) -> bool {
        let list = read(&self.folder.join("modules.dep"));
        let lines: Vec<(&str, &str)> = list.lines().filter_map(|l| l.split_once(':')).collect();
        for (path, _) in &lines {
            if let Some(name) = ModuleName::of_file(Path::new(path)) {
                // join takes a path that begins at the root as it is
                self.insert(name, self.folder.join(path));
            }
        }
        for (path, needs) in lines {
            let id = ModuleName::of_file(Path::new(path)).and_then(|name| self.by_name.get(&name));
            let Some(&id) = id else { continue };
            let needs = needs.split_ascii_whitespace().map(Path::new);
            let needs = needs.filter_map(ModuleName::of_file);
            // depmod lists the last that is needed first
            let needs: Vec<_> = needs
                .filter_map(|n| self.by_name.get(&n).copied())
                .collect();
            if let Some(entry) = self.entries.get_mut(id.0) {
                entry.needs = needs.into_iter().rev().collect();
            }
        }
        if self.entries.is_empty() {
            return false;
        }
        for line in read(&self.folder.join("modules.alias")).lines() {
            let mut words = line.split_ascii_whitespace();
            if let (Some("alias"), Some(pattern), Some(module)) =
                (words.next(), words.next(), words.next())
            {
                let module = ModuleName::new(module);
                self.aliases.push((pattern.to_owned(), module));
            }
        }
        for line in read(&self.folder.join("modules.softdep")).lines() {
            let line = line.strip_prefix("softdep ").map(str::trim_start);
            if let Some((name, list)) = line.and_then(|line| line.split_once(' ')) {
                let soft = self.soft.entry(ModuleName::new(name)).or_default();
                soft.read(list);
            }
        }
        true
    }
}

impl Soft {
    /// Adds what a list says: `pre: a b post: c` (`modprobe.d`(5), softdep).
    pub(super) fn read(&mut self, list: &str) {
        let mut to: Option<&mut Vec<ModuleName>> = None;
        for word in list.split_ascii_whitespace() {
            match word {
                "pre:" => to = Some(&mut self.before),
                "post:" => to = Some(&mut self.after),
                name => {
                    if let Some(to) = &mut to {
                        to.push(ModuleName::new(name));
                    }
                }
            }
        }
    }
}

/// The text of a file; empty if there is none.
fn read(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
