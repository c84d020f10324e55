//! A proof that a linked image holds what its inputs say, wherever the linker put it.
//!
//! Where branches need stubs, linkers that choose other stubs have other addresses, and no two
//! images can be compared byte by byte. So each is held against the *inputs*: GNU ld's map says
//! which input sections are in the image and in which order; where the image has them is found
//! from its own symbols ([`place`]). Then every byte is made again ([`verify`]): the input's
//! bytes with each relocation applied to where its symbol really is. A wrong guess of a place
//! can make a proof fail, never succeed. What is verified:
//!
//! - every input section lies whole in its output section, aligned, and no two overlap;
//! - every branch, decoded again, lands on its symbol, directly or through a stub that is
//!   decoded too;
//! - every other relocated field holds the psABI's value, every other byte is the input's;
//! - strings and constants that are merged are found with their contents where they are
//!   referred to;
//! - what no input covers is padding, a stub that some branch uses, or merged strings;
//! - every symbol of an input is where its section is.

mod map;
mod merged;
mod place;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::super::elf::{Elf, Home, RelocationTable, SHF_MERGE, Section, SectionId, SymbolId};
use super::ProveError;
use super::machine::Machine;

/// What was proved of an image, and what could not be.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ImageProof {
    /// Input sections that are in the image.
    pub(crate) sections: usize,
    /// Bytes of them.
    pub(crate) bytes: u64,
    /// Branches that reach their symbol.
    pub(crate) direct: usize,
    /// Branches that go to their symbol through a stub.
    pub(crate) through_stub: usize,
    /// Other relocated fields.
    pub(crate) fields: usize,
    /// Stubs that branches use.
    pub(crate) stubs: usize,
    /// Bytes of them.
    pub(crate) stub_bytes: u64,
    /// Stubs that no branch of the inputs uses.
    pub(crate) unused_stubs: usize,
    /// Runs of stubs.
    pub(crate) islands: usize,
    /// The furthest branch in bytes.
    pub(crate) furthest: u64,
    /// Symbols of inputs that are where they must be.
    pub(crate) symbols: usize,
    /// Bytes that the linker made or edited, which the proof leaves out, by section.
    pub(crate) left_out: BTreeMap<String, u64>,
    /// All that keeps this from being a proof; empty if it is one.
    pub(crate) problems: Vec<String>,
}

impl ImageProof {
    /// One line for people.
    pub(crate) fn summary(&self) -> String {
        let left_out = self.left_out.iter();
        let left_out: Vec<_> = left_out.map(|(s, n)| format!("{s} ({n} bytes)")).collect();
        let left_out = match left_out.is_empty() {
            true => "nothing".to_owned(),
            false => left_out.join(", "),
        };
        format!(
            "{} input sections, {} bytes; {} branches direct, {} through {} stubs ({} bytes in {} islands, {} unused), furthest {} bytes; {} other fields; {} symbols; not proved: {left_out}; {} problems",
            self.sections,
            self.bytes,
            self.direct,
            self.through_stub,
            self.stubs,
            self.stub_bytes,
            self.islands,
            self.unused_stubs,
            self.furthest,
            self.fields,
            self.symbols,
            self.problems.len(),
        )
    }
}

/// Which of a link's input files a map names, in its order, each once.
pub(crate) fn files_of(map: &str) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let files = map::parse(map).into_iter().map(|entry| entry.file);
    files.filter(|file| seen.insert(file.clone())).collect()
}

/// Proves that `image` holds what the inputs say. `map` is GNU ld's of the same link, `inputs`
/// the contents of all files of [`files_of`].
///
/// # Errors
/// When a file cannot be read or the machine has no decoder.
pub(crate) fn prove_image(
    map: &str,
    inputs: &[(String, Vec<u8>)],
    image: &[u8],
) -> Result<ImageProof, ProveError> {
    let read = |which, error| ProveError::Read { which, error };
    let image = Elf::parse(image).map_err(|error| read("the image", error))?;
    let machine = Machine::of(image.header.machine, image.header.is_64);
    let arch = arch(&image).filter(|_| machine == Some(Machine::Hppa32));
    let arch = arch.ok_or(ProveError::Machine {
        machine: image.header.machine,
    })?;
    let mut objects = Vec::new();
    for (name, bytes) in inputs {
        let elf = Elf::parse(bytes).map_err(|error| read("an input", error))?;
        objects.push(Object { name, elf });
    }
    let link = Link {
        arch,
        image: &image,
        objects: &objects,
        values: values_by_name(&image),
    };
    let (pieces, problems) = place::find(&link, &map::parse(map));
    let mut proof = verify::verify(&link, &pieces);
    proof.problems.splice(..0, problems);
    Ok(proof)
}

fn arch(elf: &Elf<'_>) -> Option<&'static klink_arch::Arch> {
    use klink_arch::{Class, Endian};
    let class = match elf.header.is_64 {
        true => Class::Elf64,
        false => Class::Elf32,
    };
    let endian = match elf.header.big_endian {
        true => Endian::Big,
        false => Endian::Little,
    };
    klink_arch::by_machine(elf.header.machine, class, endian)
}

/// One input file.
struct Object<'a> {
    /// As the map has it.
    name: &'a str,
    elf: Elf<'a>,
}

/// An index into [`Link::objects`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct ObjectId(usize);

/// An input section.
type InputId = (ObjectId, SectionId);

/// All that a proof reads.
struct Link<'a> {
    arch: &'static klink_arch::Arch,
    image: &'a Elf<'a>,
    objects: &'a [Object<'a>],
    /// The image's symbols by name, each with value and index, by rising value.
    values: HashMap<&'a str, Vec<(u64, SymbolId)>>,
}

impl<'a> Link<'a> {
    fn object(&self, id: ObjectId) -> &'a Object<'a> {
        &self.objects[id.0]
    }

    /// The image's bytes from this address to the end of its section.
    fn bytes_at(&self, address: u64) -> &'a [u8] {
        let allocated = |s: &&super::super::elf::Section<'_>| {
            s.has(super::super::elf::SHF_ALLOC)
                && address >= s.addr
                && address - s.addr < s.data.len() as u64
        };
        let section = self.image.sections.iter().find(allocated);
        let data = section.and_then(|s| s.data.get((address - s.addr) as usize..));
        data.unwrap_or_default()
    }

    /// `section of file.o`
    fn name(&self, (object, section): InputId) -> String {
        let object = self.object(object);
        format!("{} of {}", object.elf.section_name(section), object.name)
    }

    /// `0x1234 (symbol+0x4)`
    fn place(&self, address: u64) -> String {
        let inside = |s: &&super::super::elf::Section<'_>| {
            s.has(super::super::elf::SHF_ALLOC) && address >= s.addr && address - s.addr < s.size
        };
        let section = self.image.sections.iter().find(inside);
        let at = section.and_then(|s| self.image.place(s.id, address - s.addr));
        match at {
            Some(at) => format!("{address:#x} ({at})"),
            None => format!("{address:#x}"),
        }
    }
}

fn values_by_name<'a>(image: &'a Elf<'a>) -> HashMap<&'a str, Vec<(u64, SymbolId)>> {
    let mut values: HashMap<&str, Vec<_>> = HashMap::new();
    for (index, symbol) in (0..).zip(&image.symbols).skip(1) {
        let is_defined = matches!(symbol.home, Home::Section(_) | Home::Absolute);
        if is_defined && !symbol.is_section() && symbol.kind != super::super::elf::STT_FILE {
            let list = values.entry(&symbol.name).or_default();
            list.push((symbol.value, SymbolId(index)));
        }
    }
    for list in values.values_mut() {
        list.sort_unstable_by_key(|&(value, SymbolId(index))| (value, index));
    }
    values
}

/// Where the image has each input section that is not merged.
#[derive(Debug, Default)]
struct Pieces {
    /// Address, and the output section.
    at: HashMap<InputId, (u64, SectionId)>,
    /// Merged sections, with the output section that their contents are in.
    merged: BTreeMap<InputId, SectionId>,
    /// What is not an input's bytes but the linker's.
    made: Vec<Made>,
}

/// A part of the image that the linker made or edited.
#[derive(Debug)]
struct Made {
    output: SectionId,
    start: u64,
    end: u64,
    /// The input section's name in the map.
    section: String,
}

/// The section whose input GNU ld edits: equal entries are there once (BFD, `elf-eh-frame.c`).
const EDITED: &str = ".eh_frame";

/// Whether a linker merges the contents of a section: not where they are relocated (BFD,
/// `merge.c`, `_bfd_add_merge_section`).
fn is_merged(elf: &Elf<'_>, section: &Section<'_>) -> bool {
    let relocated = |table: &RelocationTable| {
        table.target == section.id && !table.is_dynamic && !table.entries.is_empty()
    };
    section.has(SHF_MERGE) && !elf.relocations.iter().any(relocated)
}
