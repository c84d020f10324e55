//! Islands between code sections, each with one stub for each target: `klink-reach` says where.
//!
//! A target in the same region is at a known distance, and gets a stub only if that is out of reach.
//! Anything else (the kernel, other modules, code on the other side of init) gets one stub in each
//! island that branches to it need, since its address is not known yet. When it is, a branch that
//! reaches goes directly.

use alloc::vec;
use alloc::vec::Vec;

use hashbrown::HashMap;
use klink_arch::{LoaderStubs, Relocation};
use klink_reach::{
    Answer, Branch, Ends, ExternalId, Form, FormId, Problem, ReachError, Reorder, Section,
    StubSizes, Target,
};

use super::linux::stub_align;
use crate::elf::RawRelocation;
use crate::error::Error;
use crate::file::ModuleFile;
use crate::id::{SectionId, SymbolId};
use crate::region::RegionKind;
use crate::shape::Shapes;

/// No stub, or no branch.
const NONE: u32 = u32::MAX;

/// The islands of all code regions.
#[derive(Debug)]
pub(crate) struct Islands {
    form: &'static LoaderStubs,
    /// Bytes from the start of its region to each code section.
    offsets: Vec<Option<u64>>,
    /// For each code section the index of its first branch in `via`.
    first: Vec<u32>,
    /// For each branch the stub that it takes if it does not reach.
    via: Vec<u32>,
    /// Bytes from the start of its region to each stub.
    stubs: Vec<u64>,
    /// Bytes of the code regions.
    sizes: [u64; RegionKind::ALL.len()],
    align: u64,
}

impl Islands {
    pub(crate) fn new(
        file: &ModuleFile<'_>,
        form: &'static LoaderStubs,
        shapes: &Shapes,
    ) -> Result<Self, Error> {
        let count = file.sections().len();
        let mut islands = Self {
            form,
            offsets: vec![None; count],
            first: vec![NONE; count],
            via: Vec::new(),
            stubs: Vec::new(),
            sizes: [0; RegionKind::ALL.len()],
            align: stub_align(form),
        };
        let relocating = relocating_sections(file);
        for region in RegionKind::ALL
            .into_iter()
            .filter(|region| region.is_code())
        {
            let question = Question::new(file, form, shapes, region, &relocating);
            if !question.sections.is_empty() {
                let answer = question.solve(file)?;
                islands.add(region, &question, &answer);
            }
        }
        Ok(islands)
    }

    pub(crate) const fn form(&self) -> &'static LoaderStubs {
        self.form
    }

    /// Bytes from the start of its region to a code section.
    pub(crate) fn offset(&self, id: SectionId) -> Option<u64> {
        self.offsets.get(id.index()).copied().flatten()
    }

    /// Bytes of a code region.
    pub(crate) fn size(&self, region: RegionKind) -> u64 {
        self.sizes.get(region as usize).copied().unwrap_or(0)
    }

    /// What the start of a code region has to be aligned to.
    pub(crate) const fn align(&self) -> u64 {
        self.align
    }

    /// Bytes of all stubs.
    pub(crate) fn bytes(&self) -> u64 {
        self.stubs.len() as u64 * u64::from(self.form.slot_bytes)
    }

    /// Number of stubs.
    pub(crate) const fn stub_count(&self) -> usize {
        self.stubs.len()
    }

    /// The stub for the branch that is the `nth` counted relocation of a section, and the bytes from
    /// the start of its region to it.
    pub(crate) fn stub(&self, id: SectionId, nth: u32) -> Option<(usize, u64)> {
        let first = *self.first.get(id.index())?;
        let branch = first.checked_add(nth)? as usize;
        let stub = *self.via.get(branch)? as usize;
        Some((stub, *self.stubs.get(stub)?))
    }

    /// Takes over an answer.
    fn add(&mut self, region: RegionKind, question: &Question<'_>, answer: &Answer) {
        if let Some(size) = self.sizes.get_mut(region as usize) {
            *size = answer.size;
        }
        for (nth, &id) in question.ids.iter().enumerate() {
            if let Some(offset) = self.offsets.get_mut(id.index()) {
                *offset = answer.offsets.get(nth).copied();
            }
            if let Some(section) = question.sections.get(nth) {
                self.align = self.align.max(section.align);
            }
        }
        let branches = self.via.len() as u32;
        for (&id, &first) in question.ids.iter().zip(&question.first) {
            if let Some(slot) = self.first.get_mut(id.index()) {
                *slot = branches + first;
            }
        }
        let mut firsts = Vec::with_capacity(answer.islands.len());
        for island in &answer.islands {
            firsts.push(self.stubs.len() as u32);
            self.stubs
                .extend(island.stubs.iter().map(|stub| stub.offset));
        }
        self.via.extend(answer.via.iter().map(|via| {
            let via = via.and_then(|via| Some(firsts.get(via.island.index())? + via.stub));
            via.unwrap_or(NONE)
        }));
    }
}

/// For each section the sections with its relocations, as pairs (relocated, relocating), sorted.
fn relocating_sections(file: &ModuleFile<'_>) -> Vec<(SectionId, SectionId)> {
    let mut pairs: Vec<(SectionId, SectionId)> = file
        .section_ids()
        .filter(|(_, section)| file.relocations(section).is_some())
        .map(|(id, section)| (SectionId(section.info), id))
        .collect();
    pairs.sort_unstable();
    pairs
}

/// One code region as a question to `klink-reach`.
struct Question<'f> {
    ids: Vec<SectionId>,
    sections: Vec<Section>,
    first: Vec<u32>,
    branches: Vec<Branch>,
    rows: Vec<(&'f Relocation, bool)>,
    stub_bytes: u64,
    align: u64,
}

impl<'f> Question<'f> {
    fn new(
        file: &'f ModuleFile<'_>,
        form: &LoaderStubs,
        shapes: &Shapes,
        region: RegionKind,
        relocating: &[(SectionId, SectionId)],
    ) -> Self {
        let mut question = Self {
            ids: Vec::new(),
            sections: Vec::new(),
            first: Vec::new(),
            branches: Vec::new(),
            rows: Vec::new(),
            stub_bytes: u64::from(form.slot_bytes),
            align: stub_align(form),
        };
        for (id, shape) in shapes.of_region(region) {
            question.ids.push(id);
            question
                .sections
                .push(Section::new(shape.size, shape.align));
        }
        let mut externals = HashMap::new();
        for nth in 0..question.ids.len() {
            question.first.push(question.branches.len() as u32);
            let id = question.ids[nth];
            let from = relocating.partition_point(|pair| pair.0 < id);
            let own = relocating.iter().skip(from).take_while(|pair| pair.0 == id);
            for relocation in own.flat_map(|&(_, with)| counted(file, form, with)) {
                question.add(file, nth, relocation, &mut externals);
            }
        }
        question
    }

    fn add(
        &mut self,
        file: &'f ModuleFile<'_>,
        nth: usize,
        relocation: RawRelocation,
        externals: &mut HashMap<(u32, i64), u32>,
    ) {
        let (arch, id) = (file.arch(), self.ids[nth]);
        let row = arch.relocation(relocation.number);
        let contents = file.section(id).map(|section| file.contents(section));
        let contents = contents.unwrap_or_default();
        let start = usize::try_from(relocation.offset).unwrap_or(usize::MAX);
        let bytes = contents.get(start..).unwrap_or_default();
        // a relocation outside of its section is refused when it is applied
        let offset = relocation.offset.min(self.sections[nth].size);
        let may = row.is_some_and(|row| row.may_use_stub(arch.endian, bytes));
        let target = self.target(file, row, relocation, externals);
        let form = self.form(row, may);
        self.branches.push(Branch {
            section: klink_reach::SectionId::new(nth as u32),
            offset,
            target,
            form,
        });
    }

    /// Where a branch goes.
    fn target(
        &self,
        file: &ModuleFile<'_>,
        row: Option<&Relocation>,
        relocation: RawRelocation,
        externals: &mut HashMap<(u32, i64), u32>,
    ) -> Target {
        let symbol = file.raw_symbol(SymbolId(relocation.symbol));
        let bias = row.and_then(|row| row.branch).map_or(0, |b| b.target_bias);
        let inside = symbol.and_then(|symbol| {
            let id = SectionId(symbol.section.into());
            let nth = self.ids.binary_search(&id).ok()?;
            let offset = i64::try_from(symbol.value).ok()?;
            Some((
                nth,
                offset.checked_add(relocation.addend)?.checked_add(bias)?,
            ))
        });
        match inside {
            Some((nth, offset)) => Target::Section {
                section: klink_reach::SectionId::new(nth as u32),
                offset,
            },
            None => {
                let next = externals.len() as u32;
                let key = (relocation.symbol, relocation.addend);
                Target::External(ExternalId::new(*externals.entry(key).or_insert(next)))
            }
        }
    }

    /// The form of a branch with this row; there are few.
    fn form(&mut self, row: Option<&'f Relocation>, may_use_stub: bool) -> FormId {
        let Some(row) = row else {
            return FormId::new(0);
        };
        let same =
            |(known, may): &(&Relocation, bool)| known.number == row.number && *may == may_use_stub;
        let nth = self.rows.iter().position(same).unwrap_or_else(|| {
            self.rows.push((row, may_use_stub));
            self.rows.len() - 1
        });
        FormId::new(nth as u32)
    }

    fn solve(&self, file: &ModuleFile<'_>) -> Result<Answer, Error> {
        let forms: Vec<Form> = self
            .rows
            .iter()
            .map(|(row, stub)| Form {
                min: row.branch.map_or(i64::MIN, |branch| branch.min),
                max: row.branch.map_or(i64::MAX, |branch| branch.max),
                stub: *stub,
            })
            .collect();
        let problem = Problem {
            sections: &self.sections,
            branches: &self.branches,
            forms: &forms,
            stubs: StubSizes {
                external: self.stub_bytes,
                internal: self.stub_bytes,
                align: self.align,
            },
            reorder: Reorder::Keep,
            ends: Ends::default(),
        };
        klink_reach::solve(&problem).map_err(|error| self.explain(file, &error))
    }

    fn explain(&self, file: &ModuleFile<'_>, error: &ReachError) -> Error {
        let ReachError::OutOfReach(all) = error else {
            return Error::Islands(alloc::format!("{error}"));
        };
        let first = all.first().and_then(|first| {
            let branch = self.branches.get(first.branch.index())?;
            let id = *self.ids.get(branch.section.index())?;
            Some((first, branch, id))
        });
        match first {
            Some((first, branch, id)) => Error::OutOfReach {
                count: all.len(),
                section: file.describe(id),
                offset: branch.offset,
                distance: first.distance,
                nearest_island: first.nearest_island,
            },
            None => Error::Islands(alloc::format!("{error}")),
        }
    }
}

/// The relocations that may need a stub.
fn counted<'a>(
    file: &'a ModuleFile<'_>,
    form: &'a LoaderStubs,
    section: SectionId,
) -> impl Iterator<Item = RawRelocation> + 'a {
    let section = file.section(section);
    let relocations = section.and_then(|section| file.relocations(section));
    let relocations = relocations
        .into_iter()
        .flat_map(|(_, relocations)| relocations);
    relocations.filter(|relocation| form.counted.binary_search(&relocation.number).is_ok())
}
