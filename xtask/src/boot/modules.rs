//! A tree's modules: which there are, what each needs loaded first, and
//! whether it can be unloaded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use object::{Object, ObjectSection, ObjectSymbol};

use crate::Failure;

/// One module of a kernel tree.
#[derive(Debug, Clone, Default)]
pub(crate) struct Module {
    /// The name it has in the kernel: `-` is `_`.
    pub(crate) name: String,
    /// Its file, relative to the tree.
    pub(crate) path: PathBuf,
    /// Modules that must be loaded before: `depends=` of .modinfo, and the
    /// `softdep=pre:` ones.
    before: Vec<String>,
    aliases: Vec<String>,
    /// Whether it has an exit function; one without cannot be unloaded.
    pub(crate) has_exit: bool,
}

/// Index of a module in [`Modules`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ModuleId(usize);

/// All modules of a tree, in the order of `modules.order`.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    all: Vec<Module>,
    by_name: BTreeMap<String, ModuleId>,
}

impl Modules {
    /// Reads `modules.order` and each module that it names.
    ///
    /// # Errors
    /// A file that cannot be read or is no ELF object.
    pub(crate) fn read(tree: &Path) -> Result<Self, Failure> {
        let list = tree.join("modules.order");
        let list =
            std::fs::read_to_string(&list).map_err(|error| Failure::io("read", &list, &error))?;
        let mut modules = Self::default();
        for line in list.lines().filter(|line| !line.is_empty()) {
            // Kernels since 6.4 list the .o files here.
            let path = PathBuf::from(line).with_extension("ko");
            modules.push(read_module(tree, path)?);
        }
        Ok(modules)
    }

    fn push(&mut self, module: Module) {
        let id = ModuleId(self.all.len());
        self.by_name.insert(module.name.clone(), id);
        self.all.push(module);
    }

    /// Every module, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ModuleId> {
        (0..self.all.len()).map(ModuleId)
    }

    /// The module of this index.
    pub(crate) fn get(&self, id: ModuleId) -> &Module {
        &self.all[id.0]
    }

    /// The module called `what`: a name with or without `.ko`, or a path.
    ///
    /// # Errors
    /// There is none; the message lists those with a similar name.
    pub(crate) fn find(&self, what: &str) -> Result<ModuleId, Failure> {
        let name = module_name(Path::new(what));
        if let Some(id) = self.by_name.get(&name) {
            return Ok(*id);
        }
        let similar: Vec<&str> = self
            .all
            .iter()
            .map(|module| module.name.as_str())
            .filter(|other| other.contains(&name) || name.contains(other))
            .collect();
        Err(Failure::new(format!(
            "this kernel has no module {name}{}",
            if similar.is_empty() {
                "; its modules.order lists those it has".to_owned()
            } else {
                format!("; it has {}", similar.join(", "))
            }
        )))
    }

    /// What must be loaded for `id` to load, in order; `id` itself last.
    ///
    /// A name that no module has is built into the kernel and left out.
    ///
    /// # Errors
    /// Modules that need each other.
    pub(crate) fn load_order(&self, id: ModuleId) -> Result<Vec<ModuleId>, Failure> {
        let mut order = Vec::new();
        self.visit(id, &mut Vec::new(), &mut order)?;
        Ok(order)
    }

    /// Whether `id` and everything it needs can be unloaded again.
    ///
    /// # Errors
    /// Modules that need each other.
    pub(crate) fn can_unload(&self, id: ModuleId) -> Result<bool, Failure> {
        let order = self.load_order(id)?;
        Ok(order.iter().all(|id| self.get(*id).has_exit))
    }

    fn visit(
        &self,
        id: ModuleId,
        above: &mut Vec<ModuleId>,
        order: &mut Vec<ModuleId>,
    ) -> Result<(), Failure> {
        if order.contains(&id) {
            return Ok(());
        }
        if above.contains(&id) {
            let names: Vec<&str> = above.iter().map(|id| self.get(*id).name.as_str()).collect();
            return Err(Failure::new(format!(
                "modules that need each other cannot be loaded: {} → {}",
                names.join(" → "),
                self.get(id).name
            )));
        }
        above.push(id);
        for name in &self.get(id).before {
            if let Some(needed) = self.providing(name) {
                self.visit(needed, above, order)?;
            }
        }
        above.pop();
        order.push(id);
        Ok(())
    }

    fn providing(&self, name: &str) -> Option<ModuleId> {
        let by_alias = || {
            let has = |module: &Module| module.aliases.iter().any(|alias| alias == name);
            self.all.iter().position(has).map(ModuleId)
        };
        self.by_name
            .get(&module_name(Path::new(name)))
            .copied()
            .or_else(by_alias)
    }
}

/// The kernel's name for the module in `path`.
pub(crate) fn module_name(path: &Path) -> String {
    let stem = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = stem.strip_suffix(".ko").unwrap_or(&stem);
    stem.replace('-', "_")
}

fn read_module(tree: &Path, path: PathBuf) -> Result<Module, Failure> {
    let file = tree.join(&path);
    let bytes = std::fs::read(&file).map_err(|error| Failure::io("read", &file, &error))?;
    let failed = |error: object::Error| Failure::new(format!("{}: {error}", file.display()));
    let object = object::File::parse(&*bytes).map_err(failed)?;
    let info = match object.section_by_name(".modinfo") {
        Some(section) => section.data().map_err(failed)?,
        None => &[],
    };
    let mut module = Module {
        name: module_name(&path),
        path,
        has_exit: object
            .symbols()
            .any(|symbol| symbol.is_definition() && symbol.name() == Ok("cleanup_module")),
        ..Module::default()
    };
    read_modinfo(info, &mut module);
    // A module without init needs no exit to be unloaded (kernel/module/main.c,
    // delete_module).
    module.has_exit |= !object
        .symbols()
        .any(|symbol| symbol.is_definition() && symbol.name() == Ok("init_module"));
    Ok(module)
}

/// Takes what concerns the order of loading from .modinfo's `key=value` strings.
fn read_modinfo(info: &[u8], module: &mut Module) {
    for entry in info.split(|byte| *byte == 0) {
        let entry = String::from_utf8_lossy(entry);
        match entry.split_once('=') {
            Some(("depends", names)) => {
                let names = names.split(',').filter(|name| !name.is_empty());
                module.before.extend(names.map(str::to_owned));
            }
            Some(("softdep", text)) => {
                // "pre: a b post: c"
                let pre = text.split("post:").next().unwrap_or("");
                let names = pre.trim().strip_prefix("pre:").unwrap_or("");
                module
                    .before
                    .extend(names.split_whitespace().map(str::to_owned));
            }
            Some(("alias", alias)) => module.aliases.push(alias.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
impl Modules {
    /// Modules of these file names, .modinfo contents, and with an exit
    /// function or not.
    pub(crate) fn for_tests(list: &[(&str, &str, bool)]) -> Self {
        let mut modules = Self::default();
        for (name, info, has_exit) in list {
            let mut module = Module {
                name: module_name(Path::new(name)),
                has_exit: *has_exit,
                ..Module::default()
            };
            read_modinfo(info.as_bytes(), &mut module);
            modules.push(module);
        }
        modules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(list: &[(&str, &str)]) -> Modules {
        let list: Vec<_> = list
            .iter()
            .map(|(name, info)| (*name, *info, true))
            .collect();
        Modules::for_tests(&list)
    }

    fn order(modules: &Modules, name: &str) -> Vec<String> {
        let id = modules.find(name).expect("the module is there");
        let order = modules.load_order(id).expect("no cycle");
        order
            .into_iter()
            .map(|id| modules.get(id).name.clone())
            .collect()
    }

    #[test]
    fn what_is_needed_comes_first_and_once() {
        let modules = modules(&[
            ("nfs.ko", "license=GPL\0depends=lockd,sunrpc\0"),
            ("lockd.ko", "depends=sunrpc,grace\0"),
            ("sunrpc.ko", "depends=\0"),
            ("grace.ko", ""),
        ]);
        assert_eq!(order(&modules, "nfs"), ["sunrpc", "grace", "lockd", "nfs"]);
    }

    #[test]
    fn softdeps_are_followed_by_name_and_alias_and_built_in_ones_left_out() {
        let modules = modules(&[
            ("libcrc32c.ko", "softdep=pre: crc32c built-in post: late\0"),
            ("crc32c-generic.ko", "alias=crc32c\0"),
            ("late.ko", ""),
        ]);
        assert_eq!(
            order(&modules, "libcrc32c.ko"),
            ["crc32c_generic", "libcrc32c"]
        );
    }

    #[test]
    fn dashes_are_underscores_in_names_and_dependencies() {
        let modules = modules(&[("a-b.ko", "depends=c-d\0"), ("c_d.ko", "")]);
        assert_eq!(order(&modules, "fs/a-b.ko"), ["c_d", "a_b"]);
    }

    #[test]
    fn a_cycle_is_an_error_that_names_it() {
        let modules = modules(&[("a.ko", "depends=b\0"), ("b.ko", "depends=a\0")]);
        let id = modules.find("a").expect("the module is there");
        let error = modules.load_order(id).expect_err("a cycle").to_string();
        assert!(error.contains("a → b → a"), "{error}");
    }

    #[test]
    fn a_module_above_one_without_exit_cannot_be_unloaded() {
        let modules =
            Modules::for_tests(&[("sit.ko", "depends=ipv6\0", true), ("ipv6.ko", "", false)]);
        let sit = modules.find("sit").expect("the module is there");
        assert!(!modules.can_unload(sit).expect("no cycle"));
    }

    #[test]
    fn an_unknown_module_is_answered_with_similar_ones() {
        let modules = modules(&[("xfs.ko", "")]);
        let error = modules.find("xfs2").expect_err("no such module");
        assert!(error.to_string().contains("it has xfs"));
    }
}
