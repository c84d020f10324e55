//! A proof that klink's module link changed no meaning.
//!
//! The module as GNU ld linked it has one section for each function and all
//! relocations; klink's has them merged, reordered, with pc-relative
//! relocations resolved and islands of stubs between. The prover is told
//! nothing by klink. It finds where every old section went ([`map`]), and then
//! verifies that map against *all* of both files ([`verify`]): a wrong guess
//! can make a proof fail, never succeed. What is verified:
//!
//! - every old section lies whole somewhere, aligned, with its kind of memory,
//!   and no two overlap;
//! - every byte is equal but for displacement fields of relocations that are gone;
//! - every relocation that is gone was pc-relative; its field, decoded again,
//!   reaches the same place, directly or through a stub whose own instructions
//!   and relocations are decoded too;
//! - every other relocation is there, with its type, target and addend;
//! - what no old section covers is padding, or a stub that some branch uses;
//! - every symbol stands where it stood, and only `.L` locals, symbols of
//!   nothing and unused undefined ones are gone.

mod hppa;
pub(crate) mod image;
mod machine;
mod map;
#[cfg(test)]
mod tests;
mod verify;

use std::collections::BTreeMap;

use serde::Serialize;

use super::elf::{Elf, Home, ReadError, Relocation, SHT_GROUP, SHT_STRTAB};
use super::elf::{SHT_SYMTAB, SHT_SYMTAB_SHNDX, Section, SectionId};
use machine::Machine;

/// Why a proof cannot even begin.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProveError {
    /// One of the files cannot be read.
    #[error("{which}: {error}")]
    Read {
        /// Which one.
        which: &'static str,
        /// Why.
        error: ReadError,
    },
    /// No decoder for this machine.
    #[error("no prover for e_machine {machine} (PA-RISC 32-bit and x86-64 have one)")]
    Machine {
        /// `e_machine` of the original.
        machine: u16,
    },
}

/// A place in a file: an offset in a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Spot {
    section: SectionId,
    /// May lie outside the section, as `symbol - 4` does at a section's start.
    offset: i64,
}

/// What a relocation refers to, with its addend.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Target {
    /// Defined in this file; the symbol's own place and the addend.
    Inside { symbol: Spot, addend: i64 },
    /// Anything else: undefined, absolute or common, by name.
    Outside {
        name: String,
        home: Home,
        value: u64,
        addend: i64,
    },
}

/// What was proved, and what could not be.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Proof {
    /// Sections of the original that were found in the result.
    pub(crate) sections: usize,
    /// Bytes of them that are equal.
    pub(crate) bytes: u64,
    /// Relocations that are in both.
    pub(crate) kept: usize,
    /// Resolved branches that go to their target.
    pub(crate) direct: usize,
    /// Resolved branches that go to their target through a stub.
    pub(crate) through_stub: usize,
    /// Other resolved relocations.
    pub(crate) resolved: usize,
    /// Stubs in each section of the result.
    pub(crate) stubs: BTreeMap<String, usize>,
    /// The furthest resolved branch in bytes.
    pub(crate) furthest: u64,
    /// Symbols that are gone.
    pub(crate) symbols_dropped: usize,
    /// All that keeps this from being a proof; empty if it is one.
    pub(crate) problems: Vec<String>,
}

impl Proof {
    /// One line for people.
    pub(crate) fn summary(&self) -> String {
        let stubs: Vec<_> = self
            .stubs
            .iter()
            .map(|(s, n)| format!("{n} in {s}"))
            .collect();
        let stubs = match stubs.is_empty() {
            true => "none".to_owned(),
            false => stubs.join(", "),
        };
        format!(
            "{} sections, {} bytes; {} relocations kept, {} branches direct, {} through stubs, {} other resolved; stubs: {stubs}; furthest branch {} bytes; {} symbols dropped; {} problems",
            self.sections,
            self.bytes,
            self.kept,
            self.direct,
            self.through_stub,
            self.resolved,
            self.furthest,
            self.symbols_dropped,
            self.problems.len(),
        )
    }
}

/// Proves that `linked` does what `original` does.
///
/// # Errors
/// When a file cannot be read or its machine has no decoder. What is not proved
/// is no error but in [`Proof::problems`].
pub(crate) fn prove(original: &[u8], linked: &[u8]) -> Result<Proof, ProveError> {
    let old = Elf::parse(original).map_err(|error| ProveError::Read {
        which: "the original",
        error,
    })?;
    let new = Elf::parse(linked).map_err(|error| ProveError::Read {
        which: "the linked module",
        error,
    })?;
    let machine = Machine::of(old.header.machine, old.header.is_64);
    let machine = machine.ok_or(ProveError::Machine {
        machine: old.header.machine,
    })?;
    let mut problems = super::check::check(linked);
    if old.header != new.header {
        problems.push(format!(
            "ELF headers: {:?} and {:?}",
            old.header, new.header
        ));
    }
    let context = Context {
        old: Side::new(&old),
        new: Side::new(&new),
        machine,
    };
    let map = map::find(&context);
    let mut proof = verify::verify(&context, &map);
    problems.append(&mut proof.problems);
    proof.problems = problems;
    Ok(proof)
}

/// Both files and how to read their code.
struct Context<'a> {
    old: Side<'a>,
    new: Side<'a>,
    machine: Machine,
}

/// One file with its relocations by section and offset.
struct Side<'a> {
    elf: &'a Elf<'a>,
    relocations: Vec<BTreeMap<u64, Vec<Relocation>>>,
}

impl<'a> Side<'a> {
    fn new(elf: &'a Elf<'a>) -> Self {
        let mut relocations = vec![BTreeMap::new(); elf.sections.len()];
        for table in &elf.relocations {
            let Some(of_section) = relocations.get_mut(table.target.0 as usize) else {
                continue;
            };
            for relocation in &table.entries {
                let here: &mut Vec<_> = of_section.entry(relocation.offset).or_default();
                here.push(*relocation);
            }
        }
        Side { elf, relocations }
    }

    /// The relocations at one place, in the file's order.
    fn relocations_at(&self, spot: Spot) -> &[Relocation] {
        let of_section = self.relocations.get(spot.section.0 as usize);
        let offset = u64::try_from(spot.offset).ok();
        let here = of_section.zip(offset).and_then(|(map, at)| map.get(&at));
        here.map_or(&[], Vec::as_slice)
    }

    /// The bytes from one place to its section's end.
    fn bytes_from(&self, spot: Spot) -> &'a [u8] {
        let section = self.elf.section(spot.section);
        let start = usize::try_from(spot.offset).ok();
        let rest = section
            .zip(start)
            .and_then(|(s, start)| s.data.get(start..));
        rest.unwrap_or_default()
    }

    fn target(&self, relocation: &Relocation) -> Option<Target> {
        let symbol = self.elf.symbol(relocation.symbol)?;
        let addend = relocation.addend?;
        Some(match symbol.home {
            Home::Section(section) => Target::Inside {
                symbol: Spot {
                    section,
                    offset: symbol.value.cast_signed(),
                },
                addend,
            },
            home => Target::Outside {
                name: symbol.name.clone(),
                home,
                value: symbol.value,
                addend,
            },
        })
    }

    /// The stub at this place, if there is one.
    fn stub_at(&self, machine: Machine, spot: Spot) -> Option<StubTarget> {
        if machine != Machine::Hppa32 || spot.offset % 4 != 0 {
            return None;
        }
        let bytes = self.bytes_from(spot);
        let word = |n: usize| {
            Some(u32::from_be_bytes(
                bytes.get(4 * n..4 * n + 4)?.try_into().ok()?,
            ))
        };
        match hppa::stub([word(0)?, word(1)?, word(2)?])? {
            hppa::Stub::Relative(distance) => {
                let offset = spot.offset.checked_add(distance)?;
                Some(StubTarget::Place(Spot { offset, ..spot }))
            }
            hppa::Stub::Absolute => {
                let second = Spot {
                    offset: spot.offset + 4,
                    ..spot
                };
                let [left] = self.relocations_at(spot) else {
                    return None;
                };
                let [right] = self.relocations_at(second) else {
                    return None;
                };
                let types = (left.r_type, right.r_type) == (hppa::DIR21L, hppa::DIR14R);
                let (left, right) = (self.target(left)?, self.target(right)?);
                (types && left == right).then_some(StubTarget::Symbol(left))
            }
        }
    }
}

/// Where a stub goes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum StubTarget {
    Place(Spot),
    Symbol(Target),
}

/// Whether the prover follows this section; the others are bookkeeping.
fn is_content(section: &Section<'_>) -> bool {
    let bookkeeping = [SHT_SYMTAB, SHT_STRTAB, SHT_SYMTAB_SHNDX, SHT_GROUP];
    section.id.0 != 0 && !section.is_relocations() && !bookkeeping.contains(&section.sh_type)
}
