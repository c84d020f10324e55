//! Lists of a kernel's symbols: System.map, /proc/kallsyms, vmlinux, Module.symvers.

use std::collections::HashMap;
use std::path::Path;

use klink_arch::Arch;
use klink_module::{Export, SymbolTable};

use super::Wanted;
use crate::compressed::Contents;
use crate::kallsyms::kernel as image;
use crate::load::error::Error;

/// What begins the name of the symbol that an export leaves (`include/linux/export.h`).
const KSYMTAB: &[u8] = b"__ksymtab_";
/// The ends of the array of what is exported to GPL-compatible modules
/// (`include/asm-generic/vmlinux.lds.h`).
const GPL_ENDS: [&[u8]; 2] = [b"__start___ksymtab_gpl", b"__stop___ksymtab_gpl"];
/// Where a kernel's image or its code begins (`arch/*/kernel/vmlinux.lds.S`).
const IMAGE_BEGINS: [&[u8]; 2] = [b"_text", b"_stext"];
/// No kernel with modules runs in the first MiB of its address space.
const FIRST_MIB: u64 = 1 << 20;
/// What Module.symvers calls the kernel itself.
const VMLINUX: &str = "vmlinux";

/// What the lists that were read say.
#[derive(Debug, Default)]
pub(super) struct Lists {
    addresses: HashMap<Vec<u8>, u64>,
    versions: HashMap<Vec<u8>, Terms>,
    /// Whether there is a symbol that is no function.
    has_data: bool,
}

/// On which terms a symbol may be used.
#[derive(Debug, Default)]
struct Terms {
    gpl_only: bool,
    crc: Option<u32>,
    namespace: Vec<u8>,
}

/// Reads one list, whatever kind it is of.
///
/// # Errors
/// A file that cannot be read, or has no symbols.
pub(super) fn read_into(lists: &mut Lists, path: &Path) -> Result<(), Error> {
    let failed = |what: String| Error::Symbols {
        path: path.to_owned(),
        what,
    };
    let contents = Contents::open(path).map_err(|error| failed(error.to_string()))?;
    let text = std::str::from_utf8(&contents).ok();
    let text = text.filter(|text| !text.contains('\0'));
    let Some(text) = text else {
        return read_image(lists, path, &contents).map_err(failed);
    };
    let before = lists.addresses.len() + lists.versions.len();
    for line in text.lines() {
        if line.starts_with("0x") {
            lists.version(line);
        } else {
            lists.symbol(line);
        }
    }
    if lists.addresses.len() + lists.versions.len() == before {
        return Err(failed("has no symbols in it".into()));
    }
    if !lists.addresses.is_empty() && lists.addresses.values().all(|&address| address == 0) {
        let hidden = "hides addresses: read it as root with kernel.kptr_restrict=0";
        return Err(failed(hidden.into()));
    }
    Ok(())
}

/// Reads the symbols of a vmlinux, or those that a kernel has of itself.
fn read_image(lists: &mut Lists, path: &Path, bytes: &[u8]) -> Result<(), String> {
    let symbols = image::elf_symbols(bytes).unwrap_or_default();
    for symbol in &symbols {
        lists.add(symbol.name, char::from(symbol.kind), symbol.address);
    }
    if !symbols.is_empty() {
        return Ok(());
    }
    let kernel = image::Kernel::open(path).map_err(|error| error.to_string())?;
    let table = kernel.table().map_err(|error| error.to_string())?;
    for entry in table.iter() {
        let name: Vec<u8> = entry.name.bytes().collect();
        lists.add(&name, char::from(entry.kind), entry.address);
    }
    Ok(())
}

impl Lists {
    /// A line of System.map or /proc/kallsyms: address, kind, name, and a module in brackets.
    fn symbol(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let parts = (words.next(), words.next(), words.next(), words.next());
        // what modules have is theirs to export
        if let (Some(address), Some(kind), Some(name), None) = parts
            && let Ok(address) = u64::from_str_radix(address, 16)
            && let &[kind] = kind.as_bytes()
        {
            self.add(name.as_bytes(), char::from(kind), address);
        }
    }

    fn add(&mut self, name: &[u8], kind: char, address: u64) {
        let undefined = matches!(kind, 'U' | 'w' | 'v') && address == 0;
        if !undefined {
            self.has_data |= matches!(kind, 'd' | 'D' | 'b' | 'B' | 'r' | 'R');
            self.addresses.entry(name.into()).or_insert(address);
        }
    }

    /// A line of Module.symvers: CRC, name, module, kind of export, namespace; between them tabs
    /// (`scripts/mod/modpost.c`, write_dump).
    fn version(&mut self, line: &str) {
        let mut fields = line.split('\t');
        let parts = (fields.next(), fields.next(), fields.next(), fields.next());
        let (Some(crc), Some(name), Some(VMLINUX), Some(kind)) = parts else {
            return;
        };
        let crc = crc.strip_prefix("0x");
        let crc = crc.and_then(|crc| u32::from_str_radix(crc, 16).ok());
        let terms = Terms {
            gpl_only: kind.ends_with("_GPL"),
            // a kernel without versions writes zeroes
            crc: crc.filter(|&crc| crc != 0),
            namespace: fields.next().unwrap_or_default().into(),
        };
        self.versions.insert(name.into(), terms);
    }

    /// Whether functions are all that is told.
    pub(super) fn lack_data(&self) -> bool {
        !self.addresses.is_empty() && !self.has_data
    }

    /// All that is exported. Where nothing tells what is, that is everything but the names that
    /// `others` export: functions of the kernel's own may have the same.
    pub(super) fn into_table(mut self, arch: &Arch, others: impl Fn(&[u8]) -> bool) -> SymbolTable {
        self.place(arch);
        if self.versions.is_empty() {
            self.versions = self.exported();
        }
        let mut table = SymbolTable::new();
        if let Some(name) = arch.load.global_pointer.symbol()
            && let Some(&address) = self.addresses.get(name.as_bytes())
        {
            table.insert_internal(name.as_bytes(), address);
        }
        if self.versions.is_empty() {
            for (name, &address) in self.addresses.iter().filter(|(name, _)| !others(name)) {
                table.insert(name, Export::at(address));
            }
        }
        for (name, terms) in &self.versions {
            let Some(&address) = self.addresses.get(name) else {
                continue;
            };
            let export = Export {
                gpl_only: terms.gpl_only,
                crc: terms.crc,
                namespace: &terms.namespace,
                ..Export::at(address)
            };
            table.insert(name, export);
        }
        table
    }

    /// Makes up addresses for what is exported, where no list tells any; gives for how many.
    pub(super) fn invent(&mut self, arch: &Arch) -> usize {
        if !self.addresses.is_empty() || self.versions.is_empty() {
            return 0;
        }
        let wanted = Wanted::new(self.versions.keys().cloned());
        let addresses = wanted.addresses(arch);
        self.addresses = addresses
            .map(|(name, address)| (name.to_vec(), address))
            .collect();
        let invented = self.addresses.len();
        if let Some(pointer) = arch.load.global_pointer.symbol() {
            let address = super::invented::pointer(arch);
            self.addresses.entry(pointer.into()).or_insert(address);
        }
        invented
    }

    /// A raw image counts addresses from its begin. Puts it where kernels for `arch` are.
    fn place(&mut self, arch: &Arch) {
        let begin = IMAGE_BEGINS
            .iter()
            .find_map(|name| self.addresses.get(*name));
        if begin.is_some_and(|&begin| begin < FIRST_MIB) {
            for address in self.addresses.values_mut() {
                *address = address.wrapping_add(arch.load.space.kernel);
            }
        }
    }

    /// The symbols that have a `__ksymtab_…`; none if the list leaves those out.
    fn exported(&self) -> HashMap<Vec<u8>, Terms> {
        let [start, stop] = GPL_ENDS.map(|end| self.addresses.get(end).copied());
        let gpl = start.zip(stop).map_or(0..0, |(start, stop)| start..stop);
        let entries = self.addresses.iter().filter_map(|(name, address)| {
            let name = name.strip_prefix(KSYMTAB)?;
            let terms = Terms {
                gpl_only: gpl.contains(address),
                ..Terms::default()
            };
            Some((name.to_vec(), terms))
        });
        entries.collect()
    }
}
