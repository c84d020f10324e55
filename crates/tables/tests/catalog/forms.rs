//! Whether the forms of entries are those of a module: a linker or loader will put an address exactly where a
//! relocation says, so relocations tell where the fields are, in a file that a compiler and an assembler
//! made of the kernel's own sources.

use std::collections::{BTreeMap, BTreeSet};

use klink_tables::catalog::{self, AfterInit};
use klink_tables::table::{Encoding, EntryForm};
use klink_tables::{Endian, Numbers, WordSize};
use object::Endianness;
use object::elf::{FileHeader32, FileHeader64, SHT_REL, SHT_RELA};
use object::read::elf::{FileHeader, Rel, Rela, SectionHeader};

/// `EM_RISCV`, and `R_RISCV_ADD16` and `R_RISCV_SUB16`, with which even the length of code is made there.
const RISCV: u16 = 243;
const RISCV_LENGTHS: [u32; 2] = [34, 38];

/// How many tables, by section, and what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Tables and entries seen, by section.
    pub(crate) seen: BTreeMap<String, (usize, usize)>,
    /// What does not fit, with the file.
    pub(crate) wrong: Vec<String>,
    /// Allocated sections with relocations that are no table that klink knows.
    pub(crate) unknown: BTreeMap<String, usize>,
}

/// Looks at all tables of the module `bytes`.
pub(crate) fn check(name: &str, bytes: &[u8], report: &mut Report) {
    let checked = match bytes.get(4) {
        Some(1) => check_class::<FileHeader32<Endianness>>(name, bytes, report),
        _ => check_class::<FileHeader64<Endianness>>(name, bytes, report),
    };
    if let Err(error) = checked {
        report.wrong.push(format!("{name}: {error}"));
    }
}

fn check_class<Elf: FileHeader<Endian = Endianness>>(
    name: &str,
    bytes: &[u8],
    report: &mut Report,
) -> object::Result<()> {
    let header = Elf::parse(bytes)?;
    let endian = header.endian()?;
    let numbers = Numbers {
        word: if header.is_class_64() {
            WordSize::Eight
        } else {
            WordSize::Four
        },
        endian: if endian == Endianness::Big {
            Endian::Big
        } else {
            Endian::Little
        },
    };
    let machine = header.e_machine(endian).0;
    let sections = header.sections(endian, bytes)?;
    let mut relocated: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
    for section in sections.iter() {
        let target = section.sh_info(endian) as usize;
        match section.sh_type(endian) {
            SHT_RELA => {
                let Some((list, _)) = section.rela(endian, bytes)? else {
                    continue;
                };
                let addresses = list.iter().filter(|rela| {
                    machine != RISCV || !RISCV_LENGTHS.contains(&rela.r_type(endian, false).0)
                });
                let places = addresses.map(|rela| rela.r_offset(endian).into());
                relocated.entry(target).or_default().extend(places);
            }
            SHT_REL => {
                let Some((list, _)) = section.rel(endian, bytes)? else {
                    continue;
                };
                let places = list.iter().map(|rel| rel.r_offset(endian).into());
                relocated.entry(target).or_default().extend(places);
            }
            _ => {}
        }
    }
    for (index, section) in sections.iter().enumerate() {
        let section_name = sections.section_name(endian, section)?;
        let text = String::from_utf8_lossy(section_name).into_owned();
        let empty = BTreeSet::new();
        let places = relocated.get(&index).unwrap_or(&empty);
        let Some(known) = catalog::find(section_name) else {
            if !places.is_empty() && section.sh_flags(endian).0 & 2 != 0 {
                *report.unknown.entry(text).or_default() += 1;
            }
            continue;
        };
        let contents = section.data(endian, bytes)?;
        let form = known.form(machine, numbers, contents);
        let seen = report.seen.entry(text.clone()).or_default();
        seen.0 += 1;
        match form {
            Some(form) => {
                seen.1 += contents.len() / form.size();
                if let Some(fault) = fault(form, numbers, contents, places) {
                    report.wrong.push(format!("{name}: {text}: {fault}"));
                }
            }
            None if known.after_init == AfterInit::Own => {}
            None if !places.is_empty() => {
                report
                    .wrong
                    .push(format!("{name}: {text}: has addresses, but no form"));
            }
            None => {}
        }
    }
    Ok(())
}

/// Where relocations and form disagree.
fn fault(
    form: &EntryForm,
    numbers: Numbers,
    contents: &[u8],
    places: &BTreeSet<u64>,
) -> Option<String> {
    if !contents.len().is_multiple_of(form.size()) {
        return Some(format!(
            "{} bytes in entries of {}",
            contents.len(),
            form.size()
        ));
    }
    let mut fields = BTreeSet::new();
    let mut needed = BTreeSet::new();
    for start in (0..contents.len()).step_by(form.size()) {
        for field in form.fields() {
            let place = start + field.offset;
            fields.insert(place as u64);
            let size = field.encoding.size(numbers.word);
            let is_zero = contents[place..place + size].iter().all(|&byte| byte == 0);
            // Distances within a section need no relocation, and what is not there has none.
            let may_lack = field.optional
                || matches!(field.encoding, Encoding::Place31 | Encoding::EntryWord)
                || !is_zero
                || field.name == "namespace"
                || field.name == "arg";
            if !may_lack {
                needed.insert(place as u64);
            }
        }
    }
    let extra = places.difference(&fields).next();
    let missing = needed.difference(places).next();
    match (extra, missing) {
        (Some(place), _) => Some(format!("a relocation at {place:#x}, where no field is")),
        (None, Some(place)) => Some(format!("no relocation at {place:#x}, where a field is")),
        (None, None) => None,
    }
}
