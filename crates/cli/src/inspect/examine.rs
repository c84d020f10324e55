//! One file, from its path to its report.

use std::collections::BTreeMap;
use std::path::Path;

use klink_arch::Arch;
use klink_tables::modinfo;
use object::Endianness;
use object::elf;
use object::read::elf::FileHeader;

use super::branches::Follower;
use super::elf::{AnyObject, Object, Section};
use super::error::Error;
use super::layout::{self, Place, Reserve};
use super::report::{
    Form, Headroom, Kinds, Module, Relocations, Report, Sections, Stubs, Symbols, TypeCount,
};
use crate::compressed::Contents;

/// What ends a signed module's file. Source: Linux `include/linux/module_signature.h`.
const SIGNATURE_END: &[u8] = b"~Module signature appended~\n";

/// Inspects the file at `path`.
///
/// # Errors
/// [`Error`], without the path.
pub(crate) fn examine(path: &Path) -> Result<Report, Error> {
    let contents = Contents::open(path)?;
    match AnyObject::parse(&contents)? {
        AnyObject::Elf32(object) => report(path, &contents, &object),
        AnyObject::Elf64(object) => report(path, &contents, &object),
    }
}

fn report<Elf: FileHeader<Endian = Endianness>>(
    path: &Path,
    contents: &Contents,
    object: &Object<'_, Elf>,
) -> Result<Report, Error> {
    let (machine, class, endian) = (object.machine(), object.class(), object.endian());
    let arch = klink_arch::by_machine(machine.0, class, endian);
    let sections = &object.sections;
    let module = module(object, contents.ends_with(SIGNATURE_END));
    let counts = Counts::take(object, arch)?;
    let reserve = Reserve {
        stub_bytes: arch.map_or(0, |arch| arch.module.reserved_stub_bytes.into()),
        branches: counts.reserving,
    };
    let (places, layout) = layout::lay_out(sections, machine, &reserve)?;
    check_places(sections, &places, &counts.types)?;
    let types = TypeNames {
        machine,
        arch,
        is_module: module.is_some(),
    };
    let branches = arch.map(|arch| follow(object, arch, &places)).transpose()?;
    Ok(Report {
        file: path.display().to_string(),
        file_bytes: contents.file_bytes,
        compression: contents.compression,
        object_bytes: contents.len() as u64,
        architecture: types.architecture(),
        machine: machine.0,
        bits: class.address_bits(),
        byte_order: match endian {
            klink_arch::Endian::Little => "little",
            klink_arch::Endian::Big => "big",
        },
        relocation_data: arch.is_some(),
        module,
        sections: count_sections(sections),
        symbols: Symbols {
            total: object.symbol_count() as u64,
            undefined: object.undefined_count(),
        },
        relocations: types.relocations(&counts.types, sections, &places),
        layout,
        stubs: arch.map(|_| stubs(&reserve, &places)),
        headroom: least(branches.as_deref().unwrap_or_default()),
        branches,
    })
}

fn count_sections(sections: &[Section<'_>]) -> Sections {
    let mut counts = Sections {
        headers: sections.len() as u64,
        ..Sections::default()
    };
    let dropped = [b".modinfo".as_slice(), b"__versions"].map(|name| layout::find(sections, name));
    for (index, section) in sections.iter().enumerate().skip(1) {
        if section.is_allocated() && !dropped.contains(&Some(index)) {
            counts.loaded += 1;
            counts.loaded_empty += u64::from(section.size == 0);
        }
        *kind(&mut counts.by_kind, section) += 1;
    }
    counts
}

/// The counter of the kind that a section is of.
fn kind<'a>(kinds: &'a mut Kinds, section: &Section<'_>) -> &'a mut u64 {
    if section.is_allocated() {
        if section.flags.contains(elf::SHF_EXECINSTR) {
            &mut kinds.text
        } else if !section.flags.contains(elf::SHF_WRITE) {
            &mut kinds.rodata
        } else if section.kind == elf::SHT_NOBITS {
            &mut kinds.bss
        } else {
            &mut kinds.data
        }
    } else if section.is_relocations() {
        &mut kinds.relocations
    } else if matches!(
        section.kind,
        elf::SHT_SYMTAB | elf::SHT_STRTAB | elf::SHT_SYMTAB_SHNDX
    ) {
        &mut kinds.symbols
    } else if section.name.starts_with(b".debug") {
        &mut kinds.debug
    } else {
        &mut kinds.other
    }
}

/// What a module says of itself; `None` if this is no module (modpost has not made its
/// `struct module` yet).
fn module<Elf: FileHeader<Endian = Endianness>>(
    object: &Object<'_, Elf>,
    signed: bool,
) -> Option<Module> {
    layout::find(&object.sections, b".gnu.linkonce.this_module")?;
    let info = layout::find(&object.sections, b".modinfo")
        .map_or(&[][..], |index| object.sections[index].data);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let [init, exit] = object.defines([b"init_module", b"cleanup_module"]);
    Some(Module {
        name: modinfo::value(info, b"name").map(text),
        vermagic: modinfo::value(info, b"vermagic").map(text),
        depends: modinfo::depends(info).map(text).collect(),
        init,
        exit,
        signed,
    })
}

/// How often each type of relocation occurs in each relocated section.
type TypeCounts = BTreeMap<(usize, u32), u64>;

struct Counts {
    types: TypeCounts,
    /// For each section the branches that get a stub.
    reserving: Vec<u64>,
}

impl Counts {
    fn take<Elf: FileHeader<Endian = Endianness>>(
        object: &Object<'_, Elf>,
        arch: Option<&Arch>,
    ) -> Result<Self, Error> {
        let mut types = TypeCounts::new();
        let mut reserving = vec![0; object.sections.len()];
        let reserving_types = arch.map_or(&[][..], |arch| arch.module.reserving);
        for (index, section) in object.sections.iter().enumerate() {
            if !section.is_relocations() {
                continue;
            }
            let relocated = section.info as usize;
            let Some(home) = object.sections.get(relocated) else {
                let what = format!(
                    "relocates section {relocated}, and there are {}",
                    object.sections.len()
                );
                return Err(Error::section(index, section.name, what));
            };
            let mut numbers = ByNumber::default();
            object.each_relocation(index, |relocation| {
                if home.is_allocated() && relocation.offset > home.size {
                    let what = format!(
                        "a relocation is at {:#x}, after the end of {} at {:#x}",
                        relocation.offset,
                        home.shown_name(),
                        home.size
                    );
                    return Err(Error::section(index, section.name, what));
                }
                numbers.count(relocation.number);
                Ok(())
            })?;
            for (number, count) in numbers.counts() {
                *types.entry((relocated, number)).or_default() += count;
                if reserving_types.binary_search(&number).is_ok() {
                    reserving[relocated] += count;
                }
            }
        }
        Ok(Self { types, reserving })
    }
}

/// Counts of numbers that are nearly always small.
#[derive(Default)]
struct ByNumber {
    small: Vec<u64>,
    large: BTreeMap<u32, u64>,
}

impl ByNumber {
    /// Numbers below this are counted in an array: those of all psABIs (arm64's are up to 1032),
    /// apart from the combinations that MIPS packs into one.
    const SMALL: usize = 2048;

    fn count(&mut self, number: u32) {
        let position = number as usize;
        if position >= Self::SMALL {
            *self.large.entry(number).or_default() += 1;
            return;
        }
        if position >= self.small.len() {
            self.small.resize(position + 1, 0);
        }
        self.small[position] += 1;
    }

    fn counts(&self) -> impl Iterator<Item = (u32, u64)> {
        let small = (0u32..).zip(self.small.iter().copied());
        let large = self.large.iter().map(|(&number, &count)| (number, count));
        small.filter(|entry| entry.1 > 0).chain(large)
    }
}

/// What relocation types of an object are called and whether they can be loaded.
struct TypeNames {
    machine: elf::Machine,
    arch: Option<&'static Arch>,
    is_module: bool,
}

impl TypeNames {
    fn architecture(&self) -> String {
        match (self.arch, self.machine.name()) {
            (Some(arch), _) => arch.name.to_owned(),
            (None, Some(name)) => name.trim_start_matches("EM_").to_lowercase(),
            (None, None) => format!("machine {}", self.machine.0),
        }
    }

    fn name(&self, number: u32) -> String {
        let ours = self.arch.and_then(|arch| arch.relocation(number));
        let psabi = || {
            elf::machine_names(self.machine)
                .r
                .name(elf::RelocationType(number))
        };
        match ours.map(|row| row.name).or_else(psabi) {
            Some(name) => name.to_owned(),
            None => format!("type {number}"),
        }
    }

    fn refuses(&self, number: u32) -> bool {
        self.is_module && self.arch.is_some_and(|arch| !arch.module.loads(number))
    }

    fn relocations(
        &self,
        types: &TypeCounts,
        sections: &[Section<'_>],
        places: &[Option<Place>],
    ) -> Relocations {
        let mut sums: BTreeMap<u32, (u64, bool)> = BTreeMap::new();
        for (&(relocated, number), &count) in types {
            let sum = sums.entry(number).or_default();
            sum.0 += count;
            sum.1 |= places[relocated].is_some() && self.refuses(number);
        }
        let mut by_type: Vec<_> = sums
            .into_iter()
            .map(|(number, (count, refused))| TypeCount {
                name: self.name(number),
                number,
                count,
                refused,
            })
            .collect();
        by_type.sort_by_key(|row| std::cmp::Reverse(row.count));
        let tables = sections.iter().filter(|section| section.is_relocations());
        Relocations {
            total: by_type.iter().map(|row| row.count).sum(),
            bytes: tables.map(|section| section.data.len() as u64).sum(),
            by_type,
        }
    }
}

/// Refuses relocations of a loaded section that has no bytes in the file.
fn check_places(
    sections: &[Section<'_>],
    places: &[Option<Place>],
    types: &TypeCounts,
) -> Result<(), Error> {
    for &(relocated, _) in types.keys() {
        let home = &sections[relocated];
        if places[relocated].is_some() && home.kind == elf::SHT_NOBITS {
            let what = "has relocations, but no bytes in the file (SHT_NOBITS)";
            return Err(Error::section(relocated, home.name, what));
        }
    }
    Ok(())
}

fn stubs(reserve: &Reserve, places: &[Option<Place>]) -> Stubs {
    if reserve.stub_bytes == 0 {
        return Stubs::default();
    }
    let placed = || {
        places
            .iter()
            .zip(&reserve.branches)
            .filter(|pair| pair.0.is_some())
    };
    let for_branches: u64 = placed().map(|pair| pair.1).sum();
    let spare = placed().count() as u64;
    Stubs {
        for_branches,
        spare,
        bytes_each: reserve.stub_bytes,
        // each has fitted into 64 bits when it was laid out
        bytes: (for_branches + spare).saturating_mul(reserve.stub_bytes),
    }
}

fn follow<Elf: FileHeader<Endian = Endianness>>(
    object: &Object<'_, Elf>,
    arch: &'static Arch,
    places: &[Option<Place>],
) -> Result<Vec<Form>, Error> {
    let mut follower = Follower::new(object, arch, places);
    for (index, section) in object.sections.iter().enumerate() {
        let relocated = section.info as usize;
        if section.is_relocations() && places[relocated].is_some() {
            object.each_relocation(index, |relocation| follower.follow(relocated, relocation))?;
        }
    }
    Ok(follower.finish())
}

/// The headroom of the form that is closest to breaking.
fn least(forms: &[Form]) -> Option<Headroom> {
    forms
        .iter()
        .filter_map(|form| Some(form.furthest.as_ref()?.headroom))
        .min_by(|a, b| a.percent.total_cmp(&b.percent))
}
