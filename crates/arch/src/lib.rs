//! Processor supplements (psABIs) as data: relocations, instruction fields, branch reach, stubs.
//!
//! An architecture is one value of type [`Arch`], in one file that opens with what is odd about
//! its instruction set and psABI ([`hppa`], [`x86_64`], [`i386`], [`aarch64`], [`ppc64`]). A relocation is one row of its
//! table, a [`Relocation`]: number, psABI name, value formula, field selector, field, overflow
//! rule, and the reach where it is a branch. Linker and loader apply relocations with the one
//! function [`Relocation::apply`]. What an architecture can or cannot do is a value here, so that
//! no code outside this crate asks which architecture it is working for.
//!
//! ```
//! use klink_arch::{by_emulation, Values};
//!
//! let arch = by_emulation("hppalinux").unwrap();
//! let pcrel17f = arch.relocation(12).unwrap();
//! assert_eq!(pcrel17f.name, "R_PARISC_PCREL17F");
//!
//! // b,l .+0x1008,%r2 with its displacement still empty
//! let mut code = 0xe840_0000_u32.to_be_bytes();
//! let values = Values { symbol: 0x2008, place: 0x1000, ..Values::default() };
//! pcrel17f.apply(arch.endian, &mut code, &values).unwrap();
//! assert_eq!(u32::from_be_bytes(code), 0xe840_0004);
//! assert_eq!(pcrel17f.decode_branch(arch.endian, &code), Some(0x1008));
//! ```
#![no_std]
#![forbid(unsafe_code)]

pub mod aarch64;
mod arch;
mod direct;
mod error;
mod field;
pub mod hppa;
pub mod i386;
mod module;
mod plt;
pub mod ppc64;
mod property;
mod relaxation;
mod relocation;
mod rows;
mod sequence;
mod space;
mod stub;
mod thread;
pub mod x86_64;

pub use arch::{
    Addends, Arch, Class, CodeFill, DynamicLinking, Endian, LocalEntry, SpecialSection,
};
pub use direct::Direct;
pub use error::RelocError;
pub use field::{Field, Flip, Run};
pub use module::{
    AfterCall, LoaderPointer, LoaderSlots, LoaderStub, LoaderStubs, ModuleLink, ModuleLoad,
    ModuleStubs, PageErratum, ReservedSection, StubCount, StubNames, StubPlace, StubSharing,
    StubTarget,
};
pub use plt::{Numbers, Plt, PltPlace};
pub use property::{Merge, PropertyRange};
pub use relaxation::{Change, GotTable, Relaxation, Relaxed};
pub use relocation::{
    Branch, Overflow, PAGE_BYTES, Pattern, Relocation, Rewrite, Selector, Slot, StaticLink,
    StubUse, Value, Values,
};
pub use sequence::{Sequence, SequenceStep};
pub use space::AddressSpace;
pub use stub::{IndirectFunctions, StubRelocation, StubSymbol, StubTemplate};
pub use thread::{Move, ThreadLocal, ThreadPointer, ThreadRelaxation, ThreadRelaxed};

/// Every architecture that klink knows.
pub static ARCHES: [&Arch; 7] = [
    &hppa::HPPA32,
    &hppa::HPPA64,
    &x86_64::X86_64,
    &i386::I386,
    &aarch64::AARCH64,
    &ppc64::PPC64LE,
    &ppc64::PPC64,
];

/// Finds the architecture of an ELF file by its header's `e_machine`, `EI_CLASS` and `EI_DATA`.
#[must_use]
pub fn by_machine(machine: u16, class: Class, endian: Endian) -> Option<&'static Arch> {
    find(|arch| arch.machine == machine && arch.class == class && arch.endian == endian)
}

/// Finds the architecture by the name that `ld -m` takes, such as `elf_x86_64`.
#[must_use]
pub fn by_emulation(name: &str) -> Option<&'static Arch> {
    find(|arch| arch.emulations.contains(&name))
}

/// Finds the architecture by a BFD output format, as `OUTPUT_FORMAT` and `--oformat` take it,
/// such as `elf32-hppa-linux`.
#[must_use]
pub fn by_bfd_name(name: &str) -> Option<&'static Arch> {
    find(|arch| arch.bfd_names.contains(&name))
}

fn find(matches: impl Fn(&Arch) -> bool) -> Option<&'static Arch> {
    ARCHES.into_iter().find(|arch| matches(arch))
}
