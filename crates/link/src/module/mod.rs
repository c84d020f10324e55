//! The module link: `-r --module`. It makes of objects with one section per function a module with
//! the fewest sections whose branches all reach, for a kernel that knows nothing of it.
//!
//! What it decides is in [`ModuleLink`]: which relocations are resolved for good, and where the
//! islands are. [`crate::relocate`] and [`crate::write`] carry it out.

mod plan;
mod policy;

use klink_arch::{Arch, StubTemplate};

use crate::id::{IdVec, OutputId, SectionId};
use crate::output::Placements;
use crate::relocate::Target;
use crate::resolve::Resolved;

pub(crate) use plan::plan;
pub(crate) use policy::output_name;

/// What becomes of a relocation in a module link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays, for the kernel.
    Keep,
    /// It is resolved: S is this offset in its own output section, A this addend.
    Resolve { symbol: u64, addend: i64 },
}

/// A stub in an island.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlacedStub {
    /// Offset in the output section, in bytes.
    pub offset: u64,
    /// Size in bytes.
    pub size: u64,
    pub goes_to: StubTarget,
}

/// Where a stub goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StubTarget {
    /// To something in another section or module: the kernel will know.
    Outside { outside: Outside, addend: i64 },
    /// To an offset in the same output section.
    Inside { address: u64 },
}

/// Something that a stub outside of its own section goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outside {
    /// A symbol.
    Symbol(Target),
    /// The start of an input section, whose own output section may not be laid out yet.
    Section(SectionId),
}

/// A relocation inside a stub.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StubRelocation {
    /// Offset in the output section, in bytes.
    pub offset: u64,
    pub number: u32,
    pub target: Target,
    pub addend: i64,
}

/// What the module link decided.
pub(crate) struct ModuleLink {
    fates: IdVec<SectionId, Option<Box<[Fate]>>>,
    stubs: IdVec<OutputId, Vec<PlacedStub>>,
    islands: IdVec<OutputId, u32>,
    /// The template of stubs to the outside, where the architecture has stubs.
    outside_template: Option<&'static StubTemplate>,
    /// Whether stubs get symbols.
    stub_symbols: bool,
}

impl ModuleLink {
    /// What becomes of relocation `index` of `section`; `None` if the link decided nothing about it.
    #[inline]
    pub(crate) fn fate(&self, section: SectionId, index: usize) -> Option<Fate> {
        self.fates[section].as_ref()?.get(index).copied()
    }

    /// The stubs of an output section, by offset.
    pub(crate) fn stubs(&self, output: OutputId) -> &[PlacedStub] {
        &self.stubs[output]
    }

    /// How many islands an output section has.
    pub(crate) fn island_count(&self, output: OutputId) -> u32 {
        self.islands[output]
    }

    /// The relocations inside the stubs of an output section.
    pub(crate) fn stub_relocations<'s>(
        &'s self,
        placements: &'s Placements,
        output: OutputId,
    ) -> impl Iterator<Item = StubRelocation> + 's {
        self.stubs[output].iter().flat_map(move |stub| {
            let (target, addend, inside) = match stub.goes_to {
                StubTarget::Outside { outside, addend } => {
                    let (target, moved) = match outside {
                        Outside::Symbol(target) => (target, 0),
                        Outside::Section(section) => (
                            placements
                                .output(section)
                                .map_or(Target::None, Target::Section),
                            placements.offset(section).cast_signed(),
                        ),
                    };
                    let inside = self
                        .outside_template
                        .map_or(&[][..], |template| template.relocations);
                    (target, addend.wrapping_add(moved), inside)
                }
                StubTarget::Inside { .. } => (Target::None, 0, &[][..]),
            };
            inside.iter().map(move |relocation| StubRelocation {
                offset: stub.offset + u64::from(relocation.offset),
                number: relocation.number,
                target,
                addend: addend.wrapping_add(relocation.addend),
            })
        })
    }

    /// The stubs that get symbols, with their output sections.
    pub(crate) fn named_stubs(&self) -> impl Iterator<Item = (OutputId, &PlacedStub)> {
        let wanted = self.stub_symbols;
        self.stubs
            .iter_ids()
            .filter(move |_| wanted)
            .flat_map(|(output, stubs)| stubs.iter().map(move |stub| (output, stub)))
    }

    /// What a stub goes to, by name.
    pub(crate) fn target_name(&self, resolved: &Resolved<'_>, stub: &PlacedStub) -> Vec<u8> {
        match stub.goes_to {
            StubTarget::Outside {
                outside: Outside::Symbol(Target::Global(global)),
                ..
            } => resolved.globals[global].name.to_vec(),
            StubTarget::Outside {
                outside: Outside::Symbol(Target::Local(object, symbol)),
                ..
            } => resolved.objects[object].symbols[symbol as usize]
                .name
                .to_vec(),
            StubTarget::Outside {
                outside: Outside::Section(section),
                addend,
            } => [
                resolved.section(section).name,
                format!("+{addend:#x}").as_bytes(),
            ]
            .concat(),
            StubTarget::Outside {
                addend: address, ..
            } => format!("{address:#x}").into_bytes(),
            StubTarget::Inside { address } => format!("{address:#x}").into_bytes(),
        }
    }

    /// Writes the islands of an output section into its bytes.
    pub(crate) fn write_stubs(
        &self,
        arch: &Arch,
        output: OutputId,
        bytes: &mut [u8],
    ) -> Result<(), klink_arch::RelocError> {
        let Some(stubs) = &arch.module.stubs else {
            return Ok(());
        };
        for stub in &self.stubs[output] {
            let place = bytes.get_mut(stub.offset as usize..).unwrap_or_default();
            match stub.goes_to {
                StubTarget::Inside { address } => {
                    stubs.same_section.instantiate(
                        arch,
                        address.wrapping_sub(stub.offset).cast_signed(),
                        place,
                    )?;
                }
                StubTarget::Outside { .. } => {
                    let code = stubs.anywhere.code;
                    let needed = code.len();
                    let available = place.len();
                    place
                        .get_mut(..needed)
                        .ok_or(klink_arch::RelocError::OutOfBounds { needed, available })?
                        .copy_from_slice(code);
                }
            }
        }
        Ok(())
    }
}
