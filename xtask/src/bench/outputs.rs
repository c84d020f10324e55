//! What is in a linked module: the figures that klink is about.

use std::collections::BTreeMap;

use klink_arch::{Arch, Class, Endian};
use serde::Serialize;

use super::rival::Rival;
use crate::Failure;
use crate::compare::elf::{Elf, SHF_ALLOC, SHF_EXECINSTR};
use crate::compare::prove::prove;

/// The only branch of PA-RISC 1.1 code that leaves a function.
const CALL: &str = "R_PARISC_PCREL17F";

/// One module as one linker made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Output {
    pub(super) module: String,
    pub(super) rival: Rival,
    /// Section headers, the null one too.
    pub(super) section_headers: usize,
    /// Sections of code, empty ones too.
    pub(super) text_sections: usize,
    pub(super) relocations: usize,
    /// 17-bit branches that are left to the kernel's loader.
    pub(super) calls_left: usize,
    /// Stubs in each section that has any.
    pub(super) stubs: BTreeMap<String, usize>,
    /// Bytes that the kernel reserves for stubs of its own, core and init.
    pub(super) reserved_bytes: u64,
    pub(super) file_bytes: usize,
}

impl Output {
    /// Looks at `bytes`; `original` is the module as GNU ld linked it.
    ///
    /// # Errors
    /// When a file cannot be read or is of no architecture that klink knows,
    /// or when klink's module is not proved to do what the original does: its
    /// figures would mean nothing.
    pub(super) fn of(
        module: &str,
        rival: Rival,
        original: &[u8],
        bytes: &[u8],
    ) -> Result<Self, Failure> {
        let fail = |what: &dyn std::fmt::Display| {
            Failure::new(format!("{module} of {}: {what}", rival.name()))
        };
        let elf = Elf::parse(bytes).map_err(|error| fail(&error))?;
        let arch = arch(&elf).ok_or_else(|| fail(&"an unknown architecture"))?;
        let stubs = match rival {
            Rival::Ld | Rival::Lld | Rival::Klink => BTreeMap::new(),
            Rival::Module => {
                let proof = prove(original, bytes).map_err(|error| fail(&error))?;
                if let Some(problem) = proof.problems.first() {
                    return Err(fail(problem));
                }
                proof.stubs
            }
        };
        let call = arch.relocation_by_name(CALL).map(|row| row.number);
        let relocations = || elf.relocations.iter().flat_map(|table| &table.entries);
        Ok(Self {
            module: module.to_owned(),
            rival,
            section_headers: elf.sections.len(),
            text_sections: elf
                .sections
                .iter()
                .filter(|section| section.has(SHF_ALLOC | SHF_EXECINSTR))
                .count(),
            relocations: relocations().count(),
            calls_left: relocations()
                .filter(|relocation| Some(relocation.r_type) == call)
                .count(),
            stubs,
            reserved_bytes: reserved(&elf, arch),
            file_bytes: bytes.len(),
        })
    }

    /// Stubs in `section`.
    pub(super) fn stubs_in(&self, section: &str) -> usize {
        self.stubs.get(section).copied().unwrap_or(0)
    }
}

fn arch(elf: &Elf<'_>) -> Option<&'static Arch> {
    let header = &elf.header;
    let class = match header.is_64 {
        true => Class::Elf64,
        false => Class::Elf32,
    };
    let endian = match header.big_endian {
        true => Endian::Big,
        false => Endian::Little,
    };
    klink_arch::by_machine(header.machine, class, endian)
}

/// What the kernel's loader reserves in front of sections: a stub for each
/// branch and one more for each allocated section. Source: Linux 6.1,
/// `arch/parisc/kernel/module.c`, `arch_mod_section_prepend`.
fn reserved(elf: &Elf<'_>, arch: &Arch) -> u64 {
    let sections = elf.sections.iter();
    let sections = sections.filter(|section| section.has(SHF_ALLOC)).count();
    let tables = elf.relocations.iter().filter(|table| {
        let target = elf.section(table.target);
        target.is_some_and(|section| section.has(SHF_ALLOC))
    });
    let branches = tables
        .flat_map(|table| &table.entries)
        .filter(|relocation| {
            let reserving = arch.module.reserving;
            reserving.binary_search(&relocation.r_type).is_ok()
        })
        .count();
    (sections + branches) as u64 * u64::from(arch.module.reserved_stub_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::testing::{SectionSpec, Spec, symbol};

    #[test]
    fn an_output_is_counted() {
        let words = SectionSpec::words;
        // Three calls and another relocation of code; a call in a section that
        // is not loaded; an empty section, which the kernel gives a spare stub.
        let mut text = words(".text", 6, &[0; 4]);
        text.relocations = vec![(0, 1, 12, 0), (4, 1, 12, 0), (8, 1, 74, 0), (12, 1, 1, 0)];
        let mut debug = words(".debug", 0, &[0]);
        debug.relocations = vec![(0, 1, 12, 0)];
        let bytes = Spec {
            is_64: false,
            big_endian: true,
            rela: true,
            machine: 15,
            flags: 0x210,
            sections: vec![text, words(".text.b", 6, &[]), debug],
            symbols: vec![symbol("printk", 1, 0, 0, 0)],
            segment: None,
            wrong_boundary: 0,
        }
        .write();
        let output = Output::of("a.ko", Rival::Klink, &[], &bytes).expect("an ELF file");
        assert_eq!(output.text_sections, 2);
        assert_eq!(output.relocations, 5);
        assert_eq!(output.calls_left, 3);
        assert_eq!(output.reserved_bytes, (3 + 2) * 8);
        assert_eq!(output.file_bytes, bytes.len());
        let listed = Elf::parse(&bytes).expect("an ELF file").sections.len();
        assert_eq!(output.section_headers, listed);

        // What is not proved is not shown.
        let error = Output::of("a.ko", Rival::Module, b"no ELF file", &bytes);
        assert!(error.is_err_and(|error| error.to_string().contains("the original")));
    }
}
