//! Stubs as each architecture's Linux reserves them.
//!
//! Source: Linux 6.1 `arch/parisc/kernel/module.c` (module_frob_arch_sections),
//! `arch/arm64/kernel/module-plts.c` (count_plts, module_frob_arch_sections),
//! `arch/powerpc/kernel/module_64.c` (get_stubs_size, count_relocs, relacmp).

use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Reverse;

use klink_arch::{LoaderStubs, StubCount, StubPlace, StubSharing};

use crate::elf::RawRelocation;
use crate::error::Error;
use crate::file::ModuleFile;
use crate::id::{SectionId, SymbolId};
use crate::policy::Policy;
use crate::region::RegionKind;
use crate::shape::{Shapes, is_init};

/// How room for stubs is counted, and when they are shared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counting {
    /// Which relocations get a slot.
    count: StubCount,
    /// Slots that are reserved beside.
    spare: u32,
    /// When a branch takes a stub that there is.
    pub(crate) sharing: StubSharing,
    /// What the first stub is aligned to.
    align: u64,
}

impl Counting {
    /// As Linux does it.
    pub(crate) const fn linux(form: &LoaderStubs) -> Self {
        Self {
            count: form.count,
            spare: form.spare,
            sharing: form.sharing,
            align: form.align,
        }
    }

    /// In front of sections like there, but one for each target.
    pub(crate) const fn shared(form: &LoaderStubs) -> Self {
        Self {
            count: StubCount::Distinct,
            spare: 0,
            sharing: StubSharing::Any,
            align: stub_align(form),
        }
    }
}

/// What the code of all kinds of stub has to be aligned to.
pub(crate) const fn stub_align(form: &LoaderStubs) -> u64 {
    let mut align = 1;
    let mut nth = 0;
    while nth < form.kinds.len() {
        let of = form.kinds[nth].template.align as u64;
        if of > align {
            align = of;
        }
        nth += 1;
    }
    align
}

/// Room for stubs.
#[derive(Debug)]
pub(crate) struct LinuxStubs {
    form: &'static LoaderStubs,
    counting: Counting,
    /// For each section the stubs that its branches may need.
    counts: Vec<u32>,
    /// The sections for stubs of core and init, where the module brings such.
    holders: Option<[SectionId; 2]>,
    /// Stubs that fit into each.
    room: [u64; 2],
    bytes: u64,
}

impl LinuxStubs {
    pub(crate) fn new(
        file: &ModuleFile<'_>,
        policy: &Policy,
        form: &'static LoaderStubs,
        counting: Counting,
        shapes: Shapes,
    ) -> Result<(Shapes, Self), Error> {
        let mut plan = Self {
            form,
            counting,
            counts: vec![0; file.sections().len()],
            holders: None,
            room: [0; 2],
            bytes: 0,
        };
        let mut shapes = shapes;
        plan.count(file, policy, &mut shapes);
        match form.place {
            StubPlace::BeforeSections => {
                plan.align_sections(&mut shapes);
                plan.total(&shapes);
            }
            StubPlace::Sections {
                core,
                init,
                becomes_nobits,
            } => plan.resize(file, policy, &mut shapes, [core, init], becomes_nobits)?,
        }
        Ok((shapes, plan))
    }

    pub(crate) const fn form(&self) -> &'static LoaderStubs {
        self.form
    }

    pub(crate) const fn counting(&self) -> &Counting {
        &self.counting
    }

    /// Bytes from the start of the block to the first stub in front of a section that is `offset`
    /// bytes from there. The spare one is there so that the first can be aligned.
    pub(crate) fn area_offset(&self, id: SectionId, offset: u64) -> Option<u64> {
        let start = offset.checked_sub(self.bytes_before(id))?;
        start.checked_next_multiple_of(self.counting.align.max(1))
    }

    /// The stubs that the branches of a section may need.
    pub(crate) fn count_of(&self, id: SectionId) -> u64 {
        self.counts.get(id.index()).copied().unwrap_or(0).into()
    }

    /// The section for stubs of the core or of init, which may be the same, and how many fit.
    pub(crate) fn holder(&self, init: bool) -> Option<(SectionId, u64)> {
        let [core, of_init] = self.holders?;
        match init && core != of_init {
            true => Some((of_init, self.room[1])),
            false => Some((core, self.room[0])),
        }
    }

    /// What stubs for branches of a section are kept under: where they are.
    pub(crate) fn area_key(&self, section: SectionId, init: bool) -> SectionId {
        self.holder(init).map_or(section, |(holder, _)| holder)
    }

    pub(crate) fn bytes_before(&self, id: SectionId) -> u64 {
        match self.form.place {
            StubPlace::BeforeSections => {
                let slots = self.count_of(id) + u64::from(self.counting.spare);
                slots * u64::from(self.form.slot_bytes)
            }
            StubPlace::Sections { .. } => 0,
        }
    }

    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Counts what each section's branches may need, and raises alignments for the erratum.
    fn count(&mut self, file: &ModuleFile<'_>, policy: &Policy, shapes: &mut Shapes) {
        for section in file.sections() {
            let target = SectionId(section.info);
            let Some((_, relocations)) = file.relocations(section) else {
                continue;
            };
            let count = match self.counting.count {
                StubCount::Each => relocations.filter(|r| self.counts_type(r.number)).count(),
                StubCount::Distinct => distinct(relocations.filter(|r| self.counts_type(r.number))),
                StubCount::DistinctElsewhere => {
                    if !file.section(target).is_some_and(|target| target.is_code()) {
                        continue;
                    }
                    let needs = |r: &RawRelocation| {
                        self.counts_type(r.number) && !is_in(file, r.symbol, target)
                    };
                    distinct_elsewhere(&branches_first(relocations.collect(), needs), needs)
                }
            };
            let count = match policy.erratum {
                true => {
                    let count = count + veneers(file, SectionId(section.info), section, shapes);
                    // slots that stand where the erratum hits stay empty
                    let per_page = klink_arch::PAGE_BYTES as usize / self.form.slot_bytes as usize;
                    count + count.div_ceil(per_page.max(1))
                }
                false => count,
            };
            if let Some(sum) = self.counts.get_mut(target.index()) {
                *sum = sum.saturating_add(count as u32);
            }
        }
    }

    fn counts_type(&self, number: u32) -> bool {
        self.form.counted.binary_search(&number).is_ok()
    }

    /// Without a spare slot for it, sections behind stubs have to be as aligned as these.
    fn align_sections(&self, shapes: &mut Shapes) {
        if self.counting.spare > 0 {
            return;
        }
        for (index, _) in (0..).zip(&self.counts).filter(|(_, count)| **count > 0) {
            if let Some(shape) = shapes.get_mut(SectionId(index)) {
                shape.align = shape.align.max(self.counting.align);
            }
        }
    }

    fn total(&mut self, shapes: &Shapes) {
        let regions = RegionKind::ALL.into_iter();
        let placed = regions.flat_map(|region| shapes.of_region(region));
        self.bytes = placed.map(|(id, _)| self.bytes_before(id)).sum();
    }

    /// Gives the sections that the module brings for stubs the size that they need.
    fn resize(
        &mut self,
        file: &ModuleFile<'_>,
        policy: &Policy,
        shapes: &mut Shapes,
        names: [&'static str; 2],
        becomes_nobits: bool,
    ) -> Result<(), Error> {
        let named = |name: &str| {
            let found = file
                .section_ids()
                .find(|(_, section)| file.section_name(section) == name.as_bytes());
            found.map(|(id, _)| id)
        };
        let [core, init] = names.map(named);
        let missing = |name| Error::NoStubSection { name };
        let core = core.ok_or(missing(names[0]))?;
        let init = init.ok_or(missing(names[1]))?;
        let mut counts = [0_u64; 2];
        for (id, section) in file.section_ids() {
            let in_init = core != init && is_init(file, policy, file.section_name(section));
            counts[usize::from(in_init)] += self.count_of(id);
        }
        for (nth, id) in [core, init].into_iter().enumerate() {
            if nth == 1 && core == init {
                break;
            }
            let slots = counts[nth] + u64::from(self.counting.spare);
            let size = slots * u64::from(self.form.slot_bytes);
            let region = match nth {
                0 => RegionKind::Text,
                _ => RegionKind::InitText,
            };
            if let Some(shape) = shapes.get_mut(id) {
                shape.size = size;
                if becomes_nobits {
                    shape.has_contents = false;
                    shape.region = Some(region);
                    shape.align = self.form.align.max(1);
                }
            }
            self.bytes += size;
        }
        self.room =
            counts.map(|count| count + u64::from(!becomes_nobits) * u64::from(self.counting.spare));
        self.holders = Some([core, init]);
        Ok(())
    }
}

fn is_in(file: &ModuleFile<'_>, symbol: u32, section: SectionId) -> bool {
    let symbol = file.raw_symbol(SymbolId(symbol));
    symbol.is_some_and(|symbol| u32::from(symbol.section) == section.0)
}

/// How many differ in symbol or addend.
fn distinct(relocations: impl Iterator<Item = RawRelocation>) -> usize {
    // Linux compares the low 32 bits of addends; its sort brings equal ones together
    let mut keys: Vec<(u32, i64)> = relocations.map(|r| (r.symbol, r.addend)).collect();
    keys.sort_unstable();
    let mut last = (0, 0);
    let mut count = 0;
    for (symbol, addend) in keys.into_iter().rev() {
        let key = (symbol, addend as u32);
        if key != last {
            count += 1;
            last = key;
        }
    }
    count
}

/// Moves relocations that may need a stub to the front and sorts them there, as arm64's Linux does
/// (partition_branch_plt_relas, module_frob_arch_sections).
///
/// Its search stops where both ends meet, without a look at the relocation there: that one stays
/// unsorted behind the others, even if it belongs to them.
fn branches_first(
    mut all: Vec<RawRelocation>,
    needs: impl Fn(&RawRelocation) -> bool,
) -> Vec<RawRelocation> {
    let at = |all: &[RawRelocation], nth: usize| all.get(nth).is_some_and(&needs);
    let (mut low, mut high) = (0, all.len().saturating_sub(1));
    while low < high {
        if at(&all, low) {
            low += 1;
        } else if at(&all, high) {
            all.swap(low, high);
        } else {
            high -= 1;
        }
    }
    if let Some(first) = all.get_mut(..low) {
        first.sort_by_key(key);
    }
    all
}

/// What arm64's Linux sorts relocations by (cmp_rela).
const fn key(relocation: &RawRelocation) -> (u32, u32, i64) {
    (relocation.number, relocation.symbol, relocation.addend)
}

/// How many need a stub, of those without addend one for each run of equal ones (count_plts).
fn distinct_elsewhere(all: &[RawRelocation], needs: impl Fn(&RawRelocation) -> bool) -> usize {
    let before = core::iter::once(None).chain(all.iter().map(Some));
    let pairs = all.iter().zip(before).filter(|(each, _)| needs(each));
    pairs
        .filter(|(each, before)| {
            let repeated = before.is_some_and(|before| key(before) == key(each));
            each.addend != 0 || !repeated
        })
        .count()
}

/// How many instructions of a section may need a veneer for the erratum even if its alignment is
/// raised; raises it.
fn veneers(
    file: &ModuleFile<'_>,
    target: SectionId,
    section: &crate::file::Section,
    shapes: &mut Shapes,
) -> usize {
    let Some(erratum) = file.arch().load.page_erratum else {
        return 0;
    };
    let Some((_, relocations)) = file.relocations(section) else {
        return 0;
    };
    let mut count = 0;
    for relocation in relocations {
        if erratum.types.binary_search(&relocation.number).is_err() {
            continue;
        }
        let align = erratum.safe_align(relocation.offset);
        if align > klink_arch::PAGE_BYTES {
            count += 1;
        } else if let Some(shape) = shapes.get_mut(target) {
            shape.align = shape.align.max(align);
        }
    }
    count
}

/// The relocations of a section in the order in which the architecture's Linux applies them, which is
/// the order in which it makes stubs. `None`: that of the file.
pub(crate) fn relocation_order(
    file: &ModuleFile<'_>,
    form: &LoaderStubs,
    target: SectionId,
    relocations: impl Iterator<Item = RawRelocation>,
) -> Option<Vec<RawRelocation>> {
    // the order of the architecture's Linux, whatever is counted here
    match form.count {
        StubCount::Each => None,
        StubCount::Distinct => {
            let mut all: Vec<RawRelocation> = relocations.collect();
            all.sort_by_key(|r| Reverse((r.symbol, r.number, r.addend)));
            Some(all)
        }
        StubCount::DistinctElsewhere => {
            let counted = |r: &RawRelocation| form.counted.binary_search(&r.number).is_ok();
            let needs = |r: &RawRelocation| counted(r) && !is_in(file, r.symbol, target);
            Some(branches_first(relocations.collect(), needs))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: u32 = 283;

    fn relocations(list: &[(u32, u32, i64)]) -> Vec<RawRelocation> {
        let list = list.iter().map(|&(number, symbol, addend)| RawRelocation {
            number,
            symbol,
            addend,
            ..RawRelocation::default()
        });
        list.collect()
    }

    fn is_call(relocation: &RawRelocation) -> bool {
        relocation.number == CALL
    }

    fn reordered(list: &[(u32, u32, i64)]) -> Vec<(u32, u32, i64)> {
        let all = branches_first(relocations(list), is_call);
        all.iter().map(key).collect()
    }

    #[test]
    fn branches_come_first_and_sorted_but_for_the_last_one_looked_at() {
        let others = [(CALL, 2, 0), (257, 9, 0), (CALL, 1, 0), (257, 8, 0)];
        let expected = [(CALL, 1, 0), (CALL, 2, 0), (257, 9, 0), (257, 8, 0)];
        assert_eq!(reordered(&others), expected);
        // nothing but branches: where both ends meet, nobody looks
        let all = [(CALL, 3, 0), (CALL, 2, 0), (CALL, 1, 0)];
        let expected = [(CALL, 2, 0), (CALL, 3, 0), (CALL, 1, 0)];
        assert_eq!(reordered(&all), expected);
        assert_eq!(reordered(&[]), []);
        assert_eq!(reordered(&[(CALL, 1, 0)]), [(CALL, 1, 0)]);
    }

    #[test]
    fn equal_branches_without_addend_count_once_in_a_run() {
        let count = |list: &[(u32, u32, i64)]| {
            distinct_elsewhere(&branches_first(relocations(list), is_call), is_call)
        };
        assert_eq!(count(&[(CALL, 1, 0), (CALL, 1, 0), (257, 1, 0)]), 1);
        assert_eq!(count(&[(CALL, 1, 4), (CALL, 1, 4), (257, 1, 0)]), 2);
        // the third is not sorted to its equal
        assert_eq!(count(&[(CALL, 1, 0), (CALL, 2, 0), (CALL, 1, 0)]), 3);
        assert_eq!(count(&[(257, 1, 0)]), 0);
    }
}
