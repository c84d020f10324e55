//! What kernel and modules export, and how a module's undefined symbols are resolved with it.
//!
//! Source: Linux 6.1 `kernel/module/main.c` (find_symbol, resolve_symbol, inherit_taint,
//! verify_namespace_is_imported, simplify_symbols), `kernel/module/version.c` (check_version).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::borrow::Borrow;
use core::fmt;
use core::hash::{Hash, Hasher};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// A loaded module, for whoever keeps the list of them.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct ModuleId(u32);

impl ModuleId {
    /// The module with this number. What numbers mean is up to the caller.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for ModuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An exported symbol.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Export<'s> {
    /// Its run address.
    pub address: u64,
    /// The module that exports it; `None`: the kernel.
    pub owner: Option<ModuleId>,
    /// Whether only modules with a GPL-compatible licence may use it (`EXPORT_SYMBOL_GPL`).
    pub gpl_only: bool,
    /// Whether its owner is a proprietary module.
    pub proprietary: bool,
    /// Its version; `None` if the exporter has none, and then any will do.
    pub crc: Option<u32>,
    /// The namespace that a user has to import; empty: none.
    pub namespace: &'s [u8],
}

impl Export<'_> {
    /// A symbol of the kernel without restrictions.
    #[must_use]
    pub const fn at(address: u64) -> Self {
        Self {
            address,
            owner: None,
            gpl_only: false,
            proprietary: false,
            crc: None,
            namespace: &[],
        }
    }
}

/// Finds symbols for a module that is linked.
pub trait Symbols {
    /// What `name` is exported as, by the kernel or a module.
    fn export(&self, name: &[u8]) -> Option<Export<'_>>;

    /// The address of a symbol of the kernel that need not be exported, such as where its global
    /// pointer points.
    fn kernel_symbol(&self, name: &[u8]) -> Option<u64> {
        self.export(name)
            .filter(|export| export.owner.is_none())
            .map(|export| export.address)
    }
}

impl<S: Symbols + ?Sized> Symbols for &S {
    fn export(&self, name: &[u8]) -> Option<Export<'_>> {
        (**self).export(name)
    }

    fn kernel_symbol(&self, name: &[u8]) -> Option<u64> {
        (**self).kernel_symbol(name)
    }
}

/// Exported symbols by name.
///
/// ```
/// use klink_module::{Export, SymbolTable, Symbols};
///
/// let mut kernel = SymbolTable::new();
/// kernel.insert(b"printk", Export::at(0xffff_ffff_8100_0000));
/// assert_eq!(kernel.export(b"printk").unwrap().address, 0xffff_ffff_8100_0000);
/// assert!(kernel.export(b"print").is_none());
/// ```
#[derive(Clone, Debug, Default)]
pub struct SymbolTable {
    exports: HashMap<Name, Stored>,
    internal: HashMap<Box<[u8]>, u64>,
    namespaces: Vec<Box<[u8]>>,
    /// Their numbers, from 1 on.
    namespace_numbers: HashMap<Box<[u8]>, u32>,
}

/// The name of an export. Most are short and stand in the table itself.
#[derive(Clone, Debug)]
enum Name {
    Short { len: u8, bytes: [u8; SHORT] },
    Long(Box<[u8]>),
}

/// Bytes of the longest name that takes no memory of its own: what makes an export 64 bytes.
const SHORT: usize = 30;

impl Name {
    fn new(name: &[u8]) -> Self {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..name.len()) {
            Some(start) => {
                start.copy_from_slice(name);
                let len = name.len() as u8;
                Self::Short { len, bytes }
            }
            None => Self::Long(name.into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { len, bytes } => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

impl Borrow<[u8]> for Name {
    fn borrow(&self) -> &[u8] {
        self.bytes()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

/// An [`Export`] with as few bytes as it needs: a lookup waits for memory, not for the processor.
#[derive(Clone, Debug)]
struct Stored {
    address: u64,
    crc: Option<u32>,
    owner: Option<ModuleId>,
    /// The number of its namespace, from 1 on; 0: none.
    namespace: u32,
    gpl_only: bool,
    proprietary: bool,
}

impl SymbolTable {
    /// An empty table.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a symbol, unless there is one of this name: the first exporter counts, as in Linux. Gives
    /// whether it was added.
    pub fn insert(&mut self, name: &[u8], export: Export<'_>) -> bool {
        let namespace = self.namespace(export.namespace);
        let Entry::Vacant(entry) = self.exports.entry(Name::new(name)) else {
            return false;
        };
        entry.insert(Stored {
            address: export.address,
            crc: export.crc,
            owner: export.owner,
            namespace,
            gpl_only: export.gpl_only,
            proprietary: export.proprietary,
        });
        true
    }

    /// The number of a namespace, which it may be given now.
    fn namespace(&mut self, name: &[u8]) -> u32 {
        if name.is_empty() {
            return 0;
        }
        if let Some(&number) = self.namespace_numbers.get(name) {
            return number;
        }
        self.namespaces.push(name.into());
        let number = self.namespaces.len() as u32;
        self.namespace_numbers.insert(name.into(), number);
        number
    }

    /// Adds a symbol of the kernel that is not exported.
    pub fn insert_internal(&mut self, name: &[u8], address: u64) {
        self.internal.insert(name.into(), address);
    }

    /// Takes away what a module exported.
    pub fn remove_owner(&mut self, owner: ModuleId) {
        self.exports.retain(|_, stored| stored.owner != Some(owner));
    }

    /// Number of exported symbols.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exports.len()
    }

    /// Whether nothing is exported.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.exports.is_empty()
    }
}

impl Symbols for SymbolTable {
    fn export(&self, name: &[u8]) -> Option<Export<'_>> {
        let stored = self.exports.get(name)?;
        let nth = (stored.namespace as usize).checked_sub(1);
        let namespace = nth.and_then(|nth| self.namespaces.get(nth));
        Some(Export {
            address: stored.address,
            owner: stored.owner,
            gpl_only: stored.gpl_only,
            proprietary: stored.proprietary,
            crc: stored.crc,
            namespace: namespace.map_or(&[], |namespace| namespace),
        })
    }

    fn kernel_symbol(&self, name: &[u8]) -> Option<u64> {
        let internal = self.internal.get(name).copied();
        internal.or_else(|| {
            let stored = self.exports.get(name)?;
            stored.owner.is_none().then_some(stored.address)
        })
    }
}
