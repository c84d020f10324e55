//! Asks `klink-reach` for an order and islands, one code section at a time, and turns the answers
//! into fates of relocations.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_arch::{Arch, Branch, ModuleStubs, Relocation, Values};
use klink_reach as reach;

use super::{Fate, ModuleLink, Outside, PlacedStub, StubTarget};
use crate::error::{LinkError, OutOfRange, Result};
use crate::id::{IdVec, OutputId, SectionId};
use crate::input::{RawRelocation, SymbolPlace};
use crate::layout::{Step, in_layout_order, lay_out_in_order, order_by_links};
use crate::options::ModuleOptions;
use crate::output::{Outputs, Piece, Placements, Traits};
use crate::relocate::{Target, bad_relocation};
use crate::resolve::Resolved;

/// Lays out all output sections and decides about their relocations.
///
/// # Errors
/// Branches that reach neither their targets nor a stub.
pub(crate) fn plan(
    resolved: &Resolved<'_>,
    outputs: &mut Outputs<'_>,
    placements: &mut Placements,
    arch: &'static Arch,
    options: &ModuleOptions,
    output_name: &str,
    step: &mut Step<'_>,
) -> Result<ModuleLink> {
    let mut link = ModuleLink {
        fates: IdVec::filled(None, resolved.section_count()),
        stubs: IdVec::filled(Vec::new(), outputs.sections.len()),
        islands: IdVec::filled(0, outputs.sections.len()),
        outside_template: arch.module.stubs.as_ref().map(|stubs| stubs.anywhere),
        stub_symbols: options.stub_symbols,
    };
    let mut errors = Vec::new();
    for output in in_layout_order(resolved, outputs) {
        order_by_links(resolved, outputs, placements, output)?;
        let section = &outputs.sections[output];
        let only_inputs = section
            .pieces
            .iter()
            .all(|piece| matches!(piece, Piece::Section(_)));
        match &arch.module.stubs {
            Some(stubs) if section.traits.contains(Traits::CODE) && only_inputs => {
                let question = Question::new(
                    resolved,
                    placements,
                    arch,
                    stubs,
                    output,
                    section.pieces.iter().filter_map(|piece| match piece {
                        Piece::Section(id) => Some(*id),
                        Piece::Statement(_) | Piece::Island(_) => None,
                    }),
                );
                match question.and_then(|question| {
                    question.solve(
                        resolved,
                        options,
                        output_name,
                        outputs,
                        placements,
                        &mut link,
                    )
                }) {
                    Ok(()) => {}
                    Err(LinkError::Several(more)) => errors.extend(more),
                    Err(error) => errors.push(error),
                }
            }
            _ => lay_out_in_order(resolved, outputs, placements, output, step)?,
        }
    }
    if !errors.is_empty() {
        return Err(LinkError::Several(errors));
    }
    for &output in &outputs.order {
        if outputs.sections[output].traits.contains(Traits::ALLOC) {
            resolve_rest(resolved, outputs, placements, arch, output, &mut link)?;
            check_loadable(resolved, outputs, arch, output, &link, &mut errors);
        }
    }
    if errors.is_empty() {
        Ok(link)
    } else {
        Err(LinkError::Several(errors))
    }
}

/// The addend of a relocation, read out of its field if it is not explicit.
fn addend_of(
    resolved: &Resolved<'_>,
    arch: &Arch,
    row: &Relocation,
    section: SectionId,
    relocation: &RawRelocation,
) -> Result<i64> {
    let input = resolved.section(section);
    if input.relocations.is_rela() {
        return Ok(relocation.addend);
    }
    let field = input
        .data
        .get(relocation.offset as usize..)
        .unwrap_or_default();
    row.implicit_addend(arch.endian, field).map_err(|error| {
        bad_relocation(
            resolved,
            section,
            relocation.offset,
            format!("{}: {error}", row.name),
        )
    })
}

/// What a relocation names, for a stub.
fn outside_of(resolved: &Resolved<'_>, section: SectionId, relocation: &RawRelocation) -> Outside {
    let (object, _) = resolved.section_place(section);
    if let Some(global) = resolved.global_of(object, relocation.symbol) {
        return Outside::Symbol(Target::Global(global));
    }
    let symbol = &resolved.objects[object].symbols[relocation.symbol as usize];
    match symbol.place {
        SymbolPlace::Section(index) if symbol.symbol_type == object::elf::STT_SECTION.0 => {
            Outside::Section(resolved.section_id(object, index))
        }
        _ => Outside::Symbol(Target::Local(object, relocation.symbol)),
    }
}

/// The row of a relocation.
fn row_of(
    resolved: &Resolved<'_>,
    arch: &'static Arch,
    section: SectionId,
    relocation: &RawRelocation,
) -> Result<&'static Relocation> {
    arch.relocation(relocation.number).ok_or_else(|| {
        let what = format!(
            "unknown relocation type {} of {}",
            relocation.number, arch.name
        );
        bad_relocation(resolved, section, relocation.offset, what)
    })
}

/// What a [`Question`] has numbers for already.
#[derive(Default)]
struct Known {
    forms: HashMap<(u32, bool), reach::FormId, RandomState>,
    externals: HashMap<(Outside, i64), reach::ExternalId, RandomState>,
}

/// One code section as `klink-reach` sees it, and the way back.
struct Question {
    arch: &'static Arch,
    stubs: &'static ModuleStubs,
    output: OutputId,
    inputs: Vec<SectionId>,
    sections: Vec<reach::Section>,
    branches: Vec<reach::Branch>,
    /// For each branch, the input section and relocation that it came from, with its row and addend.
    sites: Vec<Site>,
    forms: Vec<reach::Form>,
    /// What each [`reach::ExternalId`] is.
    externals: Vec<(Outside, i64)>,
}

#[derive(Clone, Copy)]
struct Site {
    section: SectionId,
    index: u32,
    relocation: RawRelocation,
    row: &'static Relocation,
    target_bias: i64,
}

impl Question {
    fn new(
        resolved: &Resolved<'_>,
        placements: &Placements,
        arch: &'static Arch,
        stubs: &'static ModuleStubs,
        output: OutputId,
        inputs: impl Iterator<Item = SectionId>,
    ) -> Result<Self> {
        let inputs: Vec<SectionId> = inputs.collect();
        let positions: HashMap<SectionId, u32, RandomState> = inputs
            .iter()
            .enumerate()
            .map(|(position, &id)| (id, position as u32))
            .collect();
        let mut question = Self {
            arch,
            stubs,
            output,
            sections: inputs
                .iter()
                .map(|&id| resolved.section(id))
                .map(|section| reach::Section::new(section.size, section.align))
                .collect(),
            branches: Vec::new(),
            sites: Vec::new(),
            forms: Vec::new(),
            externals: Vec::new(),
            inputs,
        };
        let mut known = Known::default();
        for position in 0..question.inputs.len() {
            let id = question.inputs[position];
            let relocations = resolved.section(id).relocations;
            for (index, relocation) in relocations.iter().enumerate() {
                let row = row_of(resolved, arch, id, &relocation)?;
                let Some(branch) = row.branch else { continue };
                let addend = addend_of(resolved, arch, row, id, &relocation)?
                    .wrapping_add(branch.target_bias);
                let target = match resolved.place_of_relocation(id, &relocation) {
                    // The error comes when all relocations are looked at.
                    Some((section, _)) if placements.output(section).is_none() => continue,
                    Some((section, value)) if positions.contains_key(&section) => {
                        reach::Target::Section {
                            section: reach::SectionId::new(positions[&section]),
                            offset: value.cast_signed().wrapping_add(addend),
                        }
                    }
                    _ => {
                        question.external(&mut known, outside_of(resolved, id, &relocation), addend)
                    }
                };
                let form = question.form(&mut known, resolved, row, branch, id, &relocation);
                question.branches.push(reach::Branch {
                    section: reach::SectionId::new(position as u32),
                    offset: relocation.offset,
                    target,
                    form,
                });
                question.sites.push(Site {
                    section: id,
                    index: index as u32,
                    relocation,
                    row,
                    target_bias: branch.target_bias,
                });
            }
        }
        Ok(question)
    }

    /// The form of a branch: how far its type reaches, and whether this instruction may use a stub.
    fn form(
        &mut self,
        known: &mut Known,
        resolved: &Resolved<'_>,
        row: &Relocation,
        branch: Branch,
        section: SectionId,
        relocation: &RawRelocation,
    ) -> reach::FormId {
        let data = resolved.section(section).data;
        let field = data.get(relocation.offset as usize..).unwrap_or_default();
        let stub = row.may_use_stub(self.arch.endian, field);
        *known.forms.entry((row.number, stub)).or_insert_with(|| {
            let Branch { min, max, .. } = branch;
            self.forms.push(reach::Form { min, max, stub });
            reach::FormId::new(self.forms.len() as u32 - 1)
        })
    }

    /// Something in another section or module.
    fn external(&mut self, known: &mut Known, outside: Outside, addend: i64) -> reach::Target {
        let id = known.externals.entry((outside, addend)).or_insert_with(|| {
            self.externals.push((outside, addend));
            reach::ExternalId::new(self.externals.len() as u32 - 1)
        });
        reach::Target::External(*id)
    }

    /// Solves it, and writes the answer into `outputs`, `placements` and `link`.
    fn solve(
        self,
        resolved: &Resolved<'_>,
        options: &ModuleOptions,
        output_name: &str,
        outputs: &mut Outputs<'_>,
        placements: &mut Placements,
        link: &mut ModuleLink,
    ) -> Result<()> {
        let anywhere = self.stubs.anywhere;
        let same_section = self.stubs.same_section;
        let stub_align = u64::from(anywhere.align.max(same_section.align));
        let problem = reach::Problem {
            sections: &self.sections,
            branches: &self.branches,
            forms: &self.forms,
            stubs: reach::StubSizes {
                external: anywhere.len() as u64,
                internal: same_section.len() as u64,
                align: stub_align,
            },
            reorder: if options.keep_order {
                reach::Reorder::Keep
            } else {
                reach::Reorder::Quick
            },
            ends: reach::Ends::default(),
        };
        let answer = match reach::solve(&problem) {
            Ok(answer) => answer,
            Err(reach::ReachError::OutOfReach(unreached)) => {
                let errors = unreached
                    .iter()
                    .map(|one| self.out_of_reach(resolved, outputs, output_name, one));
                return Err(LinkError::Several(errors.collect()));
            }
            Err(error) => return Err(self.in_section(outputs, error.to_string())),
        };
        for (position, &id) in self.inputs.iter().enumerate() {
            placements.set_offset(id, answer.offsets[position]);
        }
        let section = &mut outputs.sections[self.output];
        section.pieces = answer
            .order
            .iter()
            .map(|id| Piece::Section(self.inputs[id.index()]))
            .collect();
        section.size = answer.size;
        if !answer.islands.is_empty() {
            section.align = section.align.max(stub_align);
        }
        link.islands[self.output] = answer.islands.len() as u32;
        link.stubs[self.output] = answer
            .islands
            .iter()
            .flat_map(|island| &island.stubs)
            .map(|stub| self.place_stub(&answer, stub))
            .collect();
        self.decide(resolved, &answer, link);
        Ok(())
    }

    fn place_stub(&self, answer: &reach::Answer, stub: &reach::Stub) -> PlacedStub {
        let (size, goes_to) = match stub.target {
            reach::Target::External(external) => {
                let (target, addend) = self.externals[external.index()];
                (
                    self.stubs.anywhere.len(),
                    StubTarget::Outside {
                        outside: target,
                        addend,
                    },
                )
            }
            inside => (
                self.stubs.same_section.len(),
                StubTarget::Inside {
                    address: address_of(answer, inside),
                },
            ),
        };
        PlacedStub {
            offset: stub.offset,
            size: size as u64,
            goes_to,
        }
    }

    /// Every branch is resolved: to its target or to its stub.
    fn decide(&self, resolved: &Resolved<'_>, answer: &reach::Answer, link: &mut ModuleLink) {
        for ((site, branch), via) in self.sites.iter().zip(&self.branches).zip(&answer.via) {
            let address = match via {
                Some(stub) => answer.islands[stub.island.index()].stubs[stub.stub as usize].offset,
                None => address_of(answer, branch.target),
            };
            let fate = Fate::Resolve {
                symbol: address.wrapping_sub(site.target_bias.cast_unsigned()),
                addend: 0,
            };
            set_fate(resolved, link, site.section, site.index as usize, fate);
        }
    }

    fn out_of_reach(
        &self,
        resolved: &Resolved<'_>,
        outputs: &Outputs<'_>,
        output_name: &str,
        one: &reach::Unreached,
    ) -> LinkError {
        let site = &self.sites[one.branch.index()];
        let (object, _) = resolved.section_place(site.section);
        let symbol = &resolved.objects[object].symbols[site.relocation.symbol as usize];
        let name = String::from_utf8_lossy(symbol.name).into_owned();
        let distance = one.distance.unwrap_or(one.form.max.saturating_add(4));
        let values = Values {
            symbol: distance.wrapping_sub(site.target_bias).cast_unsigned(),
            ..Values::default()
        };
        let mut field = [0; 16];
        let (value, bits) = match site.row.apply(self.arch.endian, &mut field, &values) {
            Err(klink_arch::RelocError::OutOfRange { value, bits }) => (value, bits),
            _ => (distance.cast_unsigned(), u32::from(site.row.field.bits)),
        };
        LinkError::OutOfRange(Box::new(OutOfRange {
            file: output_name.to_owned(),
            symbol: name,
            value: value.cast_signed(),
            bits,
            section: format!(
                "{} ({}, {})",
                String::from_utf8_lossy(outputs.sections[self.output].name),
                String::from_utf8_lossy(resolved.section(site.section).name),
                resolved.objects[object].name
            ),
            offset: site.relocation.offset,
            nearest_island: one.nearest_island.map(i64::unsigned_abs),
            remedy: if one.form.stub {
                "split the section (compile with -ffunction-sections) or use long calls"
            } else {
                "this branch cannot go through a stub: put its target into the same section"
            },
        }))
    }

    fn in_section(&self, outputs: &Outputs<'_>, what: String) -> LinkError {
        LinkError::BadSection {
            file: "output".to_owned(),
            section: String::from_utf8_lossy(outputs.sections[self.output].name).into_owned(),
            what,
        }
    }
}

/// The offset of a target inside of the answer.
fn address_of(answer: &reach::Answer, target: reach::Target) -> u64 {
    match target {
        reach::Target::Section { section, offset } => {
            answer.offsets[section.index()].wrapping_add(offset.cast_unsigned())
        }
        reach::Target::Fixed(offset) => offset.cast_unsigned(),
        // Only stubs go there; `via` is set for such a branch.
        reach::Target::External(_) => 0,
    }
}

fn set_fate(
    resolved: &Resolved<'_>,
    link: &mut ModuleLink,
    section: SectionId,
    index: usize,
    fate: Fate,
) {
    let fates = link.fates[section].get_or_insert_with(|| {
        vec![Fate::Keep; resolved.section(section).relocations.len()].into()
    });
    fates[index] = fate;
}

/// Resolves what else depends on a distance inside of one output section only.
fn resolve_rest(
    resolved: &Resolved<'_>,
    outputs: &Outputs<'_>,
    placements: &Placements,
    arch: &'static Arch,
    output: OutputId,
    link: &mut ModuleLink,
) -> Result<()> {
    for section in outputs.sections[output].sections() {
        for (index, relocation) in resolved.section(section).relocations.iter().enumerate() {
            if !arch.module.resolves(relocation.number)
                || link
                    .fate(section, index)
                    .is_some_and(|fate| fate != Fate::Keep)
            {
                continue;
            }
            let Some(row) = arch.relocation(relocation.number) else {
                continue;
            };
            let Some((definition, value)) = resolved.place_of_relocation(section, &relocation)
            else {
                continue;
            };
            if placements.output(definition) != Some(output) {
                continue;
            }
            let addend = addend_of(resolved, arch, row, section, &relocation)?;
            let symbol = placements.offset(definition).wrapping_add(value);
            set_fate(
                resolved,
                link,
                section,
                index,
                Fate::Resolve { symbol, addend },
            );
        }
    }
    Ok(())
}

/// Refuses relocations that stay and that the kernel cannot follow: types that its loader does not
/// know, and branches that got no stub since the script puts more than inputs into their section.
fn check_loadable(
    resolved: &Resolved<'_>,
    outputs: &Outputs<'_>,
    arch: &'static Arch,
    output: OutputId,
    link: &ModuleLink,
    errors: &mut Vec<LinkError>,
) {
    let section = &outputs.sections[output];
    let has_statements = section.sections().count() < section.pieces.len();
    for input in section.sections() {
        for (index, relocation) in resolved.section(input).relocations.iter().enumerate() {
            if link
                .fate(input, index)
                .is_some_and(|fate| fate != Fate::Keep)
            {
                continue;
            }
            let row = arch.relocation(relocation.number);
            let name = row.map_or("?", |row| row.name);
            let needs_stub =
                arch.module.stubs.is_some() && row.is_some_and(|row| row.branch.is_some());
            let what = if !arch.module.loads(relocation.number) {
                format!(
                    "{name} ({}) stays, and the kernel's module loader does not know it",
                    relocation.number
                )
            } else if needs_stub && has_statements && section.traits.contains(Traits::CODE) {
                format!(
                    "{name} stays without a stub: the script puts statements into code section {}; take them out of it",
                    String::from_utf8_lossy(section.name)
                )
            } else {
                continue;
            };
            errors.push(bad_relocation(resolved, input, relocation.offset, what));
        }
    }
}
