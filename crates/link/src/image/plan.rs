//! What is decided between the script's assignment and the layout about the sections that the linker
//! makes: what they hold and how large they are, though not yet at which addresses.

use klink_arch::Arch;
use object::elf;

use super::binding::Bindings;
use super::contents::MadeContents;
use super::dynamic_link::{self, DynamicLink, FillInput, PlanInput};
use super::got::{Got, GotInput, Rules};
use super::kernel::KallsymsTable;
use super::made_sections::{MadePart, MadeSections, is_dynamic};
use super::relocate::Relocator;
use super::unwind::{Unwind, UnwindInputs, UnwindRequest};
use crate::assign::Assigned;
use crate::dynamic::encode::{Encoder, Form};
use crate::error::Result;
use crate::id::{OutputId, SectionId};
use crate::options::Options;
use crate::resolve::{Definition, Resolved};
use crate::script::Sources;

/// What is decided from.
pub(super) struct Input<'a, 'l, 'f> {
    pub resolved: &'l mut Resolved<'a>,
    pub assigned: &'l Assigned<'a>,
    pub sources: &'l Sources,
    pub options: &'l Options,
    pub arch: &'static Arch,
    pub made: MadeSections,
    pub unwind: &'f UnwindInputs,
}

/// The decisions.
pub(super) struct Plan {
    pub bindings: Bindings,
    pub got: Got,
    pub made: MadeSections,
    /// What a loader reads, if there is to be one.
    pub dynamic: Option<DynamicLink>,
}

impl Plan {
    /// Decides, and gives the linker's sections their sizes; those that are empty are marked to be
    /// left out.
    ///
    /// # Errors
    /// Version scripts that contradict themselves, and outputs that klink cannot make.
    pub(super) fn new<'f>(input: Input<'_, '_, 'f>) -> Result<(Self, Unwind<'f>)> {
        let Input {
            resolved,
            assigned,
            sources,
            options,
            arch,
            mut made,
            unwind: unwind_inputs,
        } = input;
        let (outputs, placements) = (&assigned.outputs, &assigned.placements);
        let header = made
            .part(MadePart::UnwindHeader)
            .filter(|&section| placements.output(section).is_some() && unwind_inputs.is_present());
        if header.is_some() {
            define_unwind_header(resolved, &mut made);
        }
        let mut versions = dynamic_link::versions(options, sources)?;
        let mut bindings = Bindings::new(resolved, options, &made.symbols, outputs, &mut versions)
            .map_err(dynamic_link::version_error)?;
        let unwind = Unwind::edit(
            unwind_inputs,
            &UnwindRequest {
                resolved,
                outputs,
                placements,
                position_independent: is_dynamic(options),
                is_bound: &|object, symbol| bindings.target(resolved, object, symbol).is_bound,
            },
        );
        let rules = Rules {
            resolved,
            options,
            arch,
            bindings: &bindings,
        };
        let (got, mut sizes) = Got::plan(rules, &made, placements, &unwind);
        let asked = got.asked_of_loader(rules);
        bindings.note_asked(resolved, asked);
        let mut dynamic = None;
        if is_dynamic(options) {
            let (link, more) = DynamicLink::plan(&PlanInput {
                resolved,
                options,
                arch,
                bindings: &bindings,
                versions: &versions,
                outputs,
                placements,
                made: &made,
                got: &got,
            })?;
            dynamic = Some(link);
            sizes.extend(more);
        }
        sizes.extend(header.map(|section| (section, unwind.header_size())));
        for (section, size) in sizes {
            resolved.made_section_mut(section).size = size;
        }
        // Empty, they must not move what follows them.
        if let (Some(stubs), Some(functions)) = (made.part(MadePart::IndirectStubs), arch.indirect)
            && got.indirect.is_used()
        {
            resolved.made_section_mut(stubs).align = functions.stub.align.into();
        }
        made.exclude_empty(resolved);
        bindings.hide_called(resolved, &got.called);
        forget_unused_table(resolved, &made);
        let plan = Self {
            bindings,
            got,
            made,
            dynamic,
        };
        Ok((plan, unwind))
    }

    /// The names of the versions that the output defines.
    pub(super) fn version_names(&self) -> &[Vec<u8>] {
        let dynamic = self.dynamic.as_ref();
        dynamic.map_or(&[], |dynamic| &dynamic.version_names)
    }

    /// What decisions about relocations depend on.
    pub(super) fn rules<'a, 'l>(
        &'l self,
        resolved: &'l Resolved<'a>,
        options: &'l Options,
        arch: &'static Arch,
    ) -> Rules<'a, 'l> {
        Rules {
            resolved,
            options,
            arch,
            bindings: &self.bindings,
        }
    }

    /// What the sections hold, now that all addresses are known.
    ///
    /// # Errors
    /// A tag for a loader that leads to what the script discarded.
    pub(super) fn contents(
        &self,
        relocator: &Relocator<'_, '_>,
        section_number: &dyn Fn(OutputId) -> u16,
        kallsyms: Option<&KallsymsTable>,
    ) -> Result<MadeContents> {
        let rules = relocator.rules;
        let is_there = |section: &SectionId| {
            let section = *section;
            rules.resolved.section(section).size > 0
                && relocator.layout.placements.output(section).is_some()
        };
        let part = |part| self.made.part(part).filter(is_there);
        let mut contents = MadeContents::default();
        if let Some(table) = kallsyms {
            table.fill(&mut contents);
        }
        contents.unwind_header = part(MadePart::UnwindHeader);
        if let Some(section) = part(MadePart::GotPlt) {
            let form = Form::of(rules.arch);
            let address_of = |section| relocator.values.in_section(section, 0).address();
            let mut bytes = Encoder::new(form, 0);
            bytes.address(part(MadePart::Dynamic).map_or(0, address_of));
            for _ in 1..rules.arch.got.map_or(1, |table| table.reserved) {
                bytes.address(0);
            }
            for first in self.got.plt.first_values(&rules, relocator.values) {
                bytes.address(first);
            }
            let mut bytes = bytes.into_bytes();
            bytes.resize(rules.resolved.section(section).size as usize, 0);
            contents.set(section, bytes);
        }
        let (got, layout) = (&self.got, relocator.layout);
        got.indirect
            .fill(&rules, got, layout, relocator.values, &mut contents)?;
        match &self.dynamic {
            Some(dynamic) => dynamic.fill(
                &FillInput {
                    rules,
                    layout: relocator.layout,
                    values: relocator.values,
                    made: &self.made,
                    got: &self.got,
                    section_number,
                    kallsyms,
                    thread: relocator.thread,
                },
                &mut contents,
            )?,
            None => {
                if let Some(section) = part(MadePart::Got) {
                    let (slots, _) = self.got.contents(&GotInput {
                        rules,
                        values: relocator.values,
                        thread: relocator.thread,
                        dynamic_table: 0,
                        index: &|_| 0,
                    });
                    contents.set(section, slots);
                }
            }
        }
        Ok(contents)
    }
}

/// A symbol for programs that do not see program headers (bfd/elf-eh-frame.c,
/// `_bfd_elf_maybe_strip_eh_frame_hdr`).
fn define_unwind_header(resolved: &mut Resolved<'_>, made: &mut MadeSections) {
    let name = b"__GNU_EH_FRAME_HDR";
    made.define_start(resolved, MadePart::UnwindHeader, name);
    if let Some(id) = resolved.global(name) {
        resolved.globals[id].symbol_type = elf::STT_NOTYPE.0;
    }
}

/// The symbol of a table that came out empty is not in the output
/// (bfd/elfxx-x86.c, `_bfd_x86_elf_size_dynamic_sections`).
fn forget_unused_table(resolved: &mut Resolved<'_>, made: &MadeSections) {
    let Some(table) = made.part(MadePart::GotPlt) else {
        return;
    };
    if resolved.section(table).size > 0 {
        return;
    }
    for &id in &made.symbols {
        let global = &mut resolved.globals[id];
        if matches!(global.definition, Definition::Made { section, .. } if section == table) {
            global.definition = Definition::Undefined { weak: true };
            global.script_only = true;
        }
    }
}
