//! What klink makes of a module at the addresses that the kernel chose, against what the kernel made.
//!
//! klink is told where the kernel put the blocks of memory (what stays, what init needs, per-cpu data),
//! and which addresses it gave to undefined symbols. Every section's address and every byte must be
//! equal. Left out are what the kernel uses itself: the symbol table, and of `struct module` all but
//! what is relocated in it. In sections for stubs the kernel may leave a copy of the last stub in the
//! slot behind it, which no branch goes to (arm64 writes a stub before it looks whether it has it
//! already): slots that klink leaves empty do not count.

use std::collections::{BTreeMap, BTreeSet};

use klink_arch::{Arch, Class, Endian, StubPlace};
use klink_module::{Export, Memory, ModuleFile, Plan, Policy, RegionKind, SymbolTable};
use object::{Object, ObjectSection, ObjectSymbol};

use super::dump::{Dump, Section};
use crate::Failure;

/// The kernel's `struct module`.
const THIS_MODULE: &str = ".gnu.linkonce.this_module";

/// Sections that the kernel keeps for itself.
const OWN: &[&str] = &[".symtab", ".strtab"];

/// How a module compares.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// Sections whose address was compared.
    pub(super) sections: usize,
    /// Bytes that were compared.
    pub(super) bytes: u64,
    /// Stubs that klink made.
    pub(super) stubs: u64,
    /// Slots that klink leaves empty and the kernel does not.
    pub(super) left_over: u64,
    /// What differs, one line a section; empty if nothing does.
    pub(super) differences: Vec<String>,
}

/// Memory at one of the guest's addresses.
struct At {
    address: u64,
    bytes: Vec<u8>,
}

impl Memory for At {
    fn address(&self) -> u64 {
        self.address
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Compares one module. `kernel_symbols` are those that the kernel has and does not export.
///
/// # Errors
/// A file that is no module; what klink refuses to link is a difference.
pub(super) fn check(
    dump: &Dump,
    bytes: &[u8],
    policy: &Policy,
    kernel_symbols: &[(&str, u64)],
) -> Result<Verdict, Failure> {
    let failed = |what: &dyn std::fmt::Display| Failure::new(format!("{}: {what}", dump.module));
    let file = ModuleFile::parse(bytes).map_err(|error| failed(&error))?;
    let object = object::File::parse(bytes).map_err(|error| failed(&error))?;
    let values = Values::read(dump, file.arch());
    let mut table = values.exports(&object);
    for (name, address) in kernel_symbols {
        table.insert_internal(name.as_bytes(), *address);
    }
    let plan = file.plan(policy).map_err(|error| failed(&error))?;
    let per_cpu = values.per_cpu(&object);
    let placement = plan.allocate(|block| {
        let address = match block.is_per_cpu() {
            true => per_cpu.unwrap_or(0),
            false => base(dump, &plan, block.id).unwrap_or(0),
        };
        let size = usize::try_from(block.size).unwrap_or(0);
        Ok::<_, klink_module::Error>(At {
            address,
            bytes: vec![0; size],
        })
    });
    let linked = placement.and_then(|placement| plan.link(placement, &table));
    let mut verdict = Verdict::default();
    let mut linked = match linked {
        Ok(linked) => linked,
        Err(error) => {
            verdict.differences.push(format!("klink: {error}"));
            return Ok(verdict);
        }
    };
    verdict.stubs = linked.stub_count();
    let relocated = relocated(&object);
    for section in &dump.sections {
        let found = plan
            .places()
            .find(|(id, _)| id.index() == section.index)
            .filter(|(_, place)| place.region != RegionKind::PerCpu);
        let Some((id, place)) = found else {
            let difference = format!("{}: klink does not load it", section.name);
            verdict.differences.push(difference);
            continue;
        };
        if OWN.contains(&section.name.as_str()) {
            continue;
        }
        verdict.sections += 1;
        let address = linked.section_address(id).unwrap_or(0);
        if address != section.address {
            verdict.differences.push(format!(
                "{}: at {address:#x}, the kernel has it at {:#x}",
                section.name, section.address
            ));
            continue;
        }
        if plan.size(id) != section.size {
            verdict.differences.push(format!(
                "{}: {} bytes, the kernel has {}",
                section.name,
                plan.size(id),
                section.size
            ));
            continue;
        }
        let memory = linked.memory(place.block).map(Memory::bytes);
        let start = place.offset.checked_sub(section.lead);
        let ours = memory.zip(start).and_then(|(memory, start)| {
            let start = usize::try_from(start).ok()?;
            let len = usize::try_from(section.lead + section.size).ok()?;
            memory.get(start..start.checked_add(len)?)
        });
        let only = (section.name == THIS_MODULE).then_some(&relocated);
        let ours = ours.unwrap_or_default();
        let mut theirs = dump.bytes_of(section).to_vec();
        verdict.left_over += clear_left_over(file.arch(), section, ours, &mut theirs);
        compare(section, ours, &theirs, only, &mut verdict);
    }
    Ok(verdict)
}

/// Clears the slots of a section for stubs that are empty in `ours`; how many were not in `theirs`.
fn clear_left_over(arch: &Arch, section: &Section, ours: &[u8], theirs: &mut [u8]) -> u64 {
    let Some(stubs) = &arch.load.stubs else {
        return 0;
    };
    let StubPlace::Sections { core, init, .. } = stubs.place else {
        return 0;
    };
    if ![core, init].contains(&section.name.as_str()) {
        return 0;
    }
    let slot = usize::try_from(stubs.slot_bytes).unwrap_or(1);
    let mut count = 0;
    for (ours, theirs) in ours.chunks(slot).zip(theirs.chunks_mut(slot)) {
        if ours.iter().all(|byte| *byte == 0) && theirs.iter().any(|byte| *byte != 0) {
            theirs.fill(0);
            count += 1;
        }
    }
    count
}

/// Compares a section's bytes; of those at `only`, if that is given.
fn compare(
    section: &Section,
    ours: &[u8],
    theirs: &[u8],
    only: Option<&BTreeSet<usize>>,
    verdict: &mut Verdict,
) {
    if ours.len() != theirs.len() {
        verdict.differences.push(format!(
            "{}: {} bytes, the kernel has {}",
            section.name,
            ours.len(),
            theirs.len()
        ));
        return;
    }
    let lead = usize::try_from(section.lead).unwrap_or(usize::MAX);
    let counts = |at: &usize| match (only, at.checked_sub(lead)) {
        (None, _) => true,
        (Some(only), Some(at)) => only.contains(&at),
        (Some(_), None) => false,
    };
    verdict.bytes += (0..ours.len()).filter(counts).count() as u64;
    let mut differing = (0..ours.len())
        .filter(counts)
        .filter(|&at| ours[at] != theirs[at])
        .peekable();
    let Some(&first) = differing.peek() else {
        return;
    };
    let show = |bytes: &[u8]| -> String {
        let line = first & !3;
        let shown = bytes[line..].iter().take(16);
        shown.map(|byte| format!("{byte:02x}")).collect()
    };
    let at = (first & !3) as u64;
    let at = match at.checked_sub(section.lead) {
        Some(at) => format!("+{at:#x}"),
        None => format!("-{:#x}", section.lead - at),
    };
    verdict.differences.push(format!(
        "{}: {} bytes differ, first at {at}: {}, the kernel has {}",
        section.name,
        differing.count(),
        show(ours),
        show(theirs)
    ));
}

/// The address of a block, from the first section of it that the kernel has.
fn base(dump: &Dump, plan: &Plan<'_, '_>, block: klink_module::BlockId) -> Option<u64> {
    let places: BTreeMap<usize, u64> = plan
        .places()
        .filter(|(_, place)| place.block == block)
        .map(|(id, place)| (id.index(), place.offset))
        .collect();
    dump.sections
        .iter()
        .find_map(|section| Some(section.address.wrapping_sub(*places.get(&section.index)?)))
}

/// The bytes of `struct module` that are relocated.
fn relocated(object: &object::File<'_>) -> BTreeSet<usize> {
    let word = if object.is_64() { 8 } else { 4 };
    let section = object.section_by_name(THIS_MODULE);
    let relocations = section.iter().flat_map(ObjectSection::relocations);
    relocations
        .flat_map(|(at, _)| at..at + word)
        .filter_map(|at| usize::try_from(at).ok())
        .collect()
}

/// The values that the kernel gave to a module's symbols, by number.
struct Values(Vec<u64>);

impl Values {
    fn read(dump: &Dump, arch: &Arch) -> Self {
        let table = dump
            .sections
            .iter()
            .find(|section| section.name == ".symtab");
        let bytes = table.map_or(&[] as &[u8], |section| {
            let bytes = dump.bytes_of(section);
            // stubs in front of it count nothing
            &bytes[usize::try_from(section.lead).unwrap_or(0).min(bytes.len())..]
        });
        let (entry, value) = match arch.class {
            Class::Elf32 => (16, 4..8),
            Class::Elf64 => (24, 8..16),
        };
        let number = |bytes: &[u8]| {
            let add = |number, byte: &u8| number << 8 | u64::from(*byte);
            match arch.endian {
                Endian::Big => bytes.iter().fold(0, add),
                Endian::Little => bytes.iter().rev().fold(0, add),
            }
        };
        let entries = bytes.chunks_exact(entry);
        Self(entries.map(|entry| number(&entry[value.clone()])).collect())
    }

    fn of<'d>(&self, symbol: &impl ObjectSymbol<'d>) -> Option<u64> {
        self.0.get(symbol.index().0).copied()
    }

    /// What the module's undefined symbols were resolved with.
    fn exports(&self, object: &object::File<'_>) -> SymbolTable {
        let mut table = SymbolTable::new();
        for symbol in object.symbols().filter(|symbol| symbol.is_undefined()) {
            let (Ok(name), Some(value)) = (symbol.name_bytes(), self.of(&symbol)) else {
                continue;
            };
            // a weak symbol that nobody exports stays zero; some per-cpu symbols really are at zero
            if name.is_empty() || value == 0 && symbol.is_weak() {
                continue;
            }
            table.insert(name, Export::at(value));
            // a prefix that is not part of the exported name
            if let [b'.', rest @ ..] = name {
                table.insert(rest, Export::at(value));
            }
        }
        table
    }

    /// Where per-cpu symbols count from, if the module has any.
    fn per_cpu(&self, object: &object::File<'_>) -> Option<u64> {
        let section = object.section_by_name(".data..percpu")?.index();
        let mut symbols = object.symbols();
        let symbol = symbols.find(|symbol| symbol.section_index() == Some(section))?;
        Some(self.of(&symbol)?.wrapping_sub(symbol.address()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(lead: u64, size: u64) -> Section {
        let json = format!(
            r#"{{"index":1,"name":".text","address":4096,"size":{size},"lead":{lead},"offset":0}}"#
        );
        serde_json::from_str(&json).expect("a section")
    }

    fn differences(lead: u64, ours: &[u8], theirs: &[u8], only: Option<&[usize]>) -> Verdict {
        let only = only.map(|only| only.iter().copied().collect());
        let mut verdict = Verdict::default();
        let section = section(lead, theirs.len() as u64 - lead);
        compare(&section, ours, theirs, only.as_ref(), &mut verdict);
        verdict
    }

    #[test]
    fn a_byte_that_differs_is_shown_with_its_place() {
        let equal = differences(0, &[1, 2, 3, 4], &[1, 2, 3, 4], None);
        assert_eq!((equal.bytes, equal.differences.len()), (4, 0));
        let other = differences(
            0,
            &[0, 0, 0, 0, 1, 2, 3, 4],
            &[0, 0, 0, 0, 1, 2, 3, 5],
            None,
        );
        assert_eq!(
            other.differences,
            [".text: 1 bytes differ, first at +0x4: 01020304, the kernel has 01020305"]
        );
        // in front of the section are its stubs
        let stub = differences(8, &[9; 12], &[8; 12], None);
        assert!(stub.differences[0].contains("12 bytes differ, first at -0x8"));
    }

    #[test]
    fn slots_that_klink_leaves_empty_do_not_count_in_sections_for_stubs() {
        let arch = &klink_arch::aarch64::AARCH64;
        let mut plt = section(0, 36);
        let ours = [[1; 12], [0; 12], [0; 12]].concat();
        let made = [[2; 12], [1; 12], [0; 12]].concat();
        let mut theirs = made.clone();
        assert_eq!(clear_left_over(arch, &plt, &ours, &mut theirs), 0);
        assert_eq!(theirs, made, "this one is not for stubs");
        plt.name = ".init.plt".to_owned();
        assert_eq!(clear_left_over(arch, &plt, &ours, &mut theirs), 1);
        assert_eq!(theirs, [[2; 12], [0; 12], [0; 12]].concat());
    }

    #[test]
    fn bytes_of_another_number_are_a_difference() {
        let verdict = differences(0, &[1, 2], &[1, 2, 3], None);
        assert_eq!(verdict.differences, [".text: 2 bytes, the kernel has 3"]);
        assert_eq!(verdict.bytes, 0);
    }

    #[test]
    fn of_some_sections_only_some_bytes_count() {
        let verdict = differences(4, &[9, 9, 9, 9, 1, 2], &[8, 8, 8, 8, 1, 3], Some(&[0]));
        assert_eq!((verdict.bytes, verdict.differences.len()), (1, 0));
        let verdict = differences(4, &[9, 9, 9, 9, 1, 2], &[8, 8, 8, 8, 1, 3], Some(&[1]));
        assert_eq!((verdict.bytes, verdict.differences.len()), (1, 1));
    }
}
