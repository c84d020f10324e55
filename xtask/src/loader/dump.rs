//! What a kernel's loader made of a module, read from the guest and kept in a folder.
//!
//! For each module `NAME.json` and `NAME.bin`: the sections that are in memory, with their addresses, and
//! their bytes one after another. Section and symbol numbers are those of the module's file; the symbol
//! table is among the sections, with the values that the kernel gave to symbols.

use std::path::{Path, PathBuf};

use klink_arch::{Arch, Class, Endian, StubPlace};
use object::read::elf::{FileHeader, SectionHeader};
use object::{Endianness, elf};
use serde::{Deserialize, Serialize};

use super::gdb::Gdb;
use super::target::Paging;
use crate::Failure;

/// `SHF_ALLOC`.
const ALLOC: u64 = 2;

/// A module as the kernel's loader left it, before anything is patched.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Dump {
    /// The kernel's name for it.
    pub(super) module: String,
    /// Its file, relative to the folder of the modules.
    pub(super) file: PathBuf,
    /// Where `struct module` is.
    pub(super) address: u64,
    /// The sections in memory, by number.
    pub(super) sections: Vec<Section>,
    /// Their bytes.
    #[serde(skip)]
    bytes: Vec<u8>,
}

/// A section in memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Section {
    /// Its number in the file.
    pub(super) index: usize,
    pub(super) name: String,
    pub(super) address: u64,
    pub(super) size: u64,
    /// Bytes in front of it, for stubs, that were read too.
    pub(super) lead: u64,
    /// Where its bytes begin, those in front included, in `NAME.bin`.
    offset: usize,
}

impl Dump {
    /// The bytes of a section, and those in front of it.
    pub(super) fn bytes_of(&self, section: &Section) -> &[u8] {
        let len = usize::try_from(section.lead + section.size).unwrap_or(usize::MAX);
        let end = section.offset.saturating_add(len);
        self.bytes.get(section.offset..end).unwrap_or_default()
    }

    /// Writes it to `folder`.
    pub(super) fn write(&self, folder: &Path) -> Result<(), Failure> {
        let json = serde_json::to_vec_pretty(self)
            .map_err(|error| Failure::new(format!("cannot write JSON: {error}")))?;
        for (extension, bytes) in [("bin", &self.bytes), ("json", &json)] {
            let path = folder.join(format!("{}.{extension}", self.module));
            std::fs::write(&path, bytes).map_err(|error| Failure::io("write", &path, &error))?;
        }
        Ok(())
    }

    /// Reads one from `folder`.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::io("read", path, &error);
        let json = std::fs::read(path).map_err(failed)?;
        let mut dump: Self = serde_json::from_slice(&json)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        dump.bytes = std::fs::read(path.with_extension("bin")).map_err(failed)?;
        Ok(dump)
    }
}

/// Reads the memory of a guest that stands at `module_finalize`.
pub(super) struct Reader<'a> {
    pub(super) gdb: &'a mut Gdb,
    pub(super) arch: &'static Arch,
    /// Page tables to follow by hand: their description, and the physical address of the first.
    pub(super) paging: Option<(Paging, u64)>,
}

impl Reader<'_> {
    /// Has addresses mean physical ones, where page tables are followed by hand, or kernel ones again.
    pub(super) fn physical(&mut self, on: bool) -> Result<(), Failure> {
        match self.paging {
            Some(_) => self.gdb.physical(on),
            None => Ok(()),
        }
    }

    /// The name of the module whose `struct module` is at `address`.
    ///
    /// It follows the state (a word, padded to an address) and two links (include/linux/module.h).
    pub(super) fn module_name(&mut self, address: u64) -> Result<String, Failure> {
        let word = u64::from(self.arch.class.address_bits() / 8);
        let name = self.memory(address + 3 * word, 64 - word)?;
        let len = name.iter().position(|byte| *byte == 0).unwrap_or(0);
        Ok(String::from_utf8_lossy(&name[..len]).into_owned())
    }

    /// Reads every section of the module in `file` that is in memory. `headers` and `module` are the
    /// addresses of its section headers and of `struct module`.
    pub(super) fn dump(
        &mut self,
        module: String,
        path: PathBuf,
        file: &[u8],
        headers: u64,
        address: u64,
    ) -> Result<Dump, Failure> {
        let names = match self.arch.class {
            Class::Elf32 => sections_of::<elf::FileHeader32<Endianness>>(file, self.arch)?,
            Class::Elf64 => sections_of::<elf::FileHeader64<Endianness>>(file, self.arch)?,
        };
        let entry = match self.arch.class {
            Class::Elf32 => 40,
            Class::Elf64 => 64,
        };
        let table = self.memory(headers, entry * names.len() as u64)?;
        let mut dump = Dump {
            module,
            file: path,
            address,
            sections: Vec::new(),
            bytes: Vec::new(),
        };
        for ((index, (name, lead)), header) in (0..)
            .zip(names)
            .zip(table.chunks(usize::try_from(entry).unwrap_or(64)))
        {
            let (flags, address, size) = self.header(header);
            if flags & ALLOC == 0 {
                continue;
            }
            let offset = dump.bytes.len();
            let bytes = self.memory(address.wrapping_sub(lead), lead + size)?;
            dump.bytes.extend(bytes);
            dump.sections.push(Section {
                index,
                name,
                address,
                size,
                lead,
                offset,
            });
        }
        Ok(dump)
    }

    /// `sh_flags`, `sh_addr` and `sh_size`.
    fn header(&self, header: &[u8]) -> (u64, u64, u64) {
        match self.arch.class {
            Class::Elf32 => (
                self.number(&header[8..12]),
                self.number(&header[12..16]),
                self.number(&header[20..24]),
            ),
            Class::Elf64 => (
                self.number(&header[8..16]),
                self.number(&header[16..24]),
                self.number(&header[32..40]),
            ),
        }
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let add = |number, byte: &u8| number << 8 | u64::from(*byte);
        match self.arch.endian {
            Endian::Big => bytes.iter().fold(0, add),
            Endian::Little => bytes.iter().rev().fold(0, add),
        }
    }

    fn memory(&mut self, address: u64, size: u64) -> Result<Vec<u8>, Failure> {
        let Some((paging, root)) = self.paging else {
            return self.gdb.memory(address, length(size)?);
        };
        let mut bytes = Vec::new();
        let page = 1 << paging.page_bits;
        while (bytes.len() as u64) < size {
            let at = address + bytes.len() as u64;
            let part = (page - at % page).min(size - bytes.len() as u64);
            let physical = self.translate(paging, root, at)?;
            bytes.extend(self.gdb.memory(physical, length(part)?)?);
        }
        Ok(bytes)
    }

    /// The physical address of a kernel address.
    fn translate(&mut self, paging: Paging, root: u64, address: u64) -> Result<u64, Failure> {
        let word = 4;
        let unmapped = || Failure::new(format!("nothing is mapped at {address:#x}"));
        let mut entry = |at| self.gdb.memory(at, word);
        let first = entry(root + (address >> paging.first_shift) * word as u64)?;
        let first = u64::from(u32::from_be_bytes(
            first.try_into().map_err(|_| unmapped())?,
        ));
        if first & paging.first_flags == 0 {
            return Err(unmapped());
        }
        let table = (first & !paging.first_flags) << paging.first_scale;
        let nth =
            address >> paging.page_bits & ((1 << (paging.first_shift - paging.page_bits)) - 1);
        let second = entry(table + nth * word as u64)?;
        let second = u64::from(u32::from_be_bytes(
            second.try_into().map_err(|_| unmapped())?,
        ));
        if second == 0 {
            return Err(unmapped());
        }
        let frame = second >> paging.frame_shift;
        Ok(frame << paging.page_bits | address & ((1 << paging.page_bits) - 1))
    }
}

fn length(size: u64) -> Result<usize, Failure> {
    match usize::try_from(size) {
        Ok(size) if size <= 1 << 30 => Ok(size),
        _ => Err(Failure::new(format!(
            "{size} bytes are too many for a section"
        ))),
    }
}

/// For each section of a module its name, and the bytes that the kernel reserves in front of it.
fn sections_of<Elf: FileHeader<Endian = Endianness>>(
    file: &[u8],
    arch: &Arch,
) -> Result<Vec<(String, u64)>, Failure> {
    let failed = |error: object::Error| Failure::new(format!("a module: {error}"));
    let header = Elf::parse(file).map_err(failed)?;
    let endian = header.endian().map_err(failed)?;
    let sections = header.sections(endian, file).map_err(failed)?;
    let mut list = Vec::new();
    let stubs = arch.load.stubs.as_ref();
    let stubs = stubs.filter(|stubs| stubs.place == StubPlace::BeforeSections);
    for section in sections.iter() {
        let name = sections.section_name(endian, section).map_err(failed)?;
        let spare = stubs.map_or(0, |stubs| u64::from(stubs.spare * stubs.slot_bytes));
        list.push((String::from_utf8_lossy(name).into_owned(), spare));
    }
    let Some(stubs) = stubs else { return Ok(list) };
    for section in sections.iter() {
        let Some((relocations, _)) = section.rela(endian, file).map_err(failed)? else {
            continue;
        };
        let target: u32 = section.sh_info(endian);
        let Some((_, lead)) = list.get_mut(target as usize) else {
            continue;
        };
        for relocation in relocations {
            let number = object::read::elf::Rela::r_type(relocation, endian, false);
            if stubs.counted.contains(&number.0) {
                *lead += u64::from(stubs.slot_bytes);
            }
        }
    }
    Ok(list)
}
