//! How far the branches of a module go, and how much of their reach is left.
//!
//! The loader takes a branch to its target where that is in the same allocation and within reach;
//! else, on architectures that have stubs, to the next free stub in front of the branch's section.
//! A branch breaks when neither reaches. Its headroom is that of the better of the two ways: a
//! branch at the edge of its reach is no danger while its stub is near.

use klink_arch::{Arch, Branch, RelocError, Values};
use object::Endianness;
use object::read::elf::FileHeader;

use super::elf::{Definition, Object, Relocation};
use super::error::Error;
use super::layout::Place;
use super::report::{Form, Furthest, Headroom, OutOfReach};

/// How the loader can take a branch somewhere.
#[derive(Clone, Copy)]
struct Way {
    /// Bytes from the branch.
    distance: i64,
    by_stub: bool,
    headroom: i64,
}

impl Way {
    fn new(branch: &Branch, distance: i64, by_stub: bool) -> Self {
        let headroom = if distance < 0 {
            distance.saturating_sub(branch.min)
        } else {
            branch.max.saturating_sub(distance)
        };
        Self {
            distance,
            by_stub,
            headroom,
        }
    }

    fn reaches(self) -> bool {
        self.headroom >= 0
    }
}

/// A branch that is worth showing.
struct Sample {
    section: usize,
    relocation: Relocation,
    way: Way,
}

/// Counts of one form while they are taken.
struct Tally {
    number: u32,
    form: Form,
    branch: Branch,
    worst: Option<Sample>,
    /// The first that does not reach.
    first: Option<Sample>,
}

impl Tally {
    fn new(name: &'static str, number: u32, branch: Branch) -> Self {
        Self {
            number,
            form: Form {
                name,
                reach_back: branch.min,
                reach_forth: branch.max,
                count: 0,
                direct: 0,
                to_stub: 0,
                leaving: 0,
                out_of_reach: 0,
                first_out_of_reach: None,
                furthest: None,
            },
            branch,
            worst: None,
            first: None,
        }
    }

    /// Counts a branch; says whether it takes a stub.
    fn count(&mut self, section: usize, relocation: Relocation, ways: &Ways) -> bool {
        let form = &mut self.form;
        form.count += 1;
        let direct = ways.direct.map(|d| Way::new(&self.branch, d, false));
        let stub = ways.stub.map(|d| Way::new(&self.branch, d, true));
        let takes_stub = stub.is_some() && !direct.is_some_and(Way::reaches);
        let best = match (direct, stub) {
            (None, None) => {
                form.leaving += 1;
                return false;
            }
            (Some(way), None) | (None, Some(way)) => way,
            (Some(direct), Some(stub)) if direct.headroom >= stub.headroom => direct,
            (Some(_), Some(stub)) => stub,
        };
        let sample = |way| Sample {
            section,
            relocation,
            way,
        };
        if !best.reaches() {
            form.out_of_reach += 1;
            // the loader has tried the stub last
            let tried = stub.unwrap_or(best);
            self.first.get_or_insert_with(|| sample(tried));
        } else if takes_stub {
            form.to_stub += 1;
        } else {
            form.direct += 1;
        }
        if self
            .worst
            .as_ref()
            .is_none_or(|worst| best.headroom < worst.way.headroom)
        {
            self.worst = Some(sample(best));
        }
        takes_stub
    }

    fn finish<Elf: FileHeader<Endian = Endianness>>(
        self,
        object: &Object<'_, Elf>,
        arch: &Arch,
    ) -> Form {
        let Self {
            mut form,
            branch,
            worst,
            first,
            ..
        } = self;
        form.furthest = worst.map(|worst| Furthest {
            section: object.sections[worst.section].shown_name(),
            offset: worst.relocation.offset,
            target: object.target_name(&worst.relocation),
            by_stub: worst.way.by_stub,
            distance: worst.way.distance,
            headroom: headroom(&branch, worst.way),
        });
        form.first_out_of_reach = first.and_then(|first| {
            let (value, bits) = refusal(arch, &branch, &first)?;
            Some(OutOfReach {
                section: object.sections[first.section].shown_name(),
                offset: first.relocation.offset,
                target: object.target_name(&first.relocation),
                value,
                bits,
            })
        });
        form
    }
}

/// The value and the bits that Linux's loader prints when it refuses a branch.
fn refusal(arch: &Arch, branch: &Branch, sample: &Sample) -> Option<(u64, u32)> {
    let row = arch.relocation(sample.relocation.number)?;
    let values = Values {
        symbol: sample.way.distance.cast_unsigned(),
        addend: branch.target_bias.checked_neg()?,
        ..Values::default()
    };
    // no field is longer, and the one here is thrown away
    let mut field = [0; 8];
    match row.apply(arch.endian, &mut field, &values) {
        Err(RelocError::OutOfRange { value, bits }) => Some((value, bits)),
        _ => None,
    }
}

fn headroom(branch: &Branch, way: Way) -> Headroom {
    let reach = if way.distance < 0 {
        branch.min.unsigned_abs()
    } else {
        branch.max.unsigned_abs()
    };
    let percent = way.headroom as f64 * 100.0 / reach.max(1) as f64;
    Headroom {
        bytes: way.headroom,
        // a tenth of a percent is all that anybody compares
        percent: (percent * 10.0).round() / 10.0,
    }
}

/// The distances of a branch to its target and to its stub, where there are such.
struct Ways {
    direct: Option<i64>,
    stub: Option<i64>,
}

/// Follows the branches of an object section by section, in the order in which Linux applies
/// relocations: its stubs are given out in that order.
pub(crate) struct Follower<'a, 'data, Elf: FileHeader> {
    object: &'a Object<'data, Elf>,
    arch: &'static Arch,
    places: &'a [Option<Place>],
    /// Stubs of each section given out so far.
    used: Vec<u64>,
    tallies: Vec<Tally>,
}

impl<'a, 'data, Elf: FileHeader<Endian = Endianness>> Follower<'a, 'data, Elf> {
    /// Prepares to follow the branches of `object`, its sections laid out at `places`.
    pub(crate) fn new(
        object: &'a Object<'data, Elf>,
        arch: &'static Arch,
        places: &'a [Option<Place>],
    ) -> Self {
        let forms = arch.relocations.iter();
        Self {
            object,
            arch,
            places,
            used: vec![0; places.len()],
            tallies: forms
                .filter_map(|row| Some(Tally::new(row.name, row.number, row.branch?)))
                .collect(),
        }
    }

    /// Follows one branch. Relocations that are no branches, or in sections that are not loaded,
    /// are none of its business.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the relocation or its symbol is broken.
    pub(crate) fn follow(&mut self, section: usize, relocation: Relocation) -> Result<(), Error> {
        let is_form = |tally: &Tally| tally.number == relocation.number;
        let Some(position) = self.tallies.iter().position(is_form) else {
            return Ok(());
        };
        let Some(Some(place)) = self.places.get(section).copied() else {
            return Ok(());
        };
        let bias = self.tallies[position].branch.target_bias;
        let here = place.offset.wrapping_add(relocation.offset);
        let distance = |to: u64| to.wrapping_sub(here).cast_signed();
        let ways = Ways {
            direct: self
                .target(section, place, &relocation)?
                .map(|target| distance(target.wrapping_add_signed(bias))),
            stub: self
                .next_stub(section, place, relocation.number)
                .map(distance),
        };
        if self.tallies[position].count(section, relocation, &ways) {
            self.used[section] += 1;
        }
        Ok(())
    }

    /// Where in the allocation of the branch its target is; `None`: it is not in it.
    fn target(
        &self,
        section: usize,
        from: Place,
        relocation: &Relocation,
    ) -> Result<Option<u64>, Error> {
        let Definition::Section(defining, value) = self.object.definition(relocation.symbol)?
        else {
            return Ok(None);
        };
        let Some(place) = self.places[defining].filter(|place| place.block == from.block) else {
            return Ok(None);
        };
        let addend = match relocation.addend {
            Some(addend) => addend,
            None => self.implicit_addend(section, relocation)?,
        };
        let target = place.offset.wrapping_add(value).wrapping_add_signed(addend);
        Ok(Some(target))
    }

    fn implicit_addend(&self, section: usize, relocation: &Relocation) -> Result<i64, Error> {
        let Some(row) = self.arch.relocation(relocation.number) else {
            return Ok(0);
        };
        let home = &self.object.sections[section];
        let field = usize::try_from(relocation.offset)
            .ok()
            .and_then(|offset| home.data.get(offset..))
            .unwrap_or(&[]);
        row.implicit_addend(self.arch.endian, field)
            .map_err(|error| {
                let what = format!("relocation at {:#x}: {error}", relocation.offset);
                Error::section(section, home.name, what)
            })
    }

    /// Where the next free stub of a section is; `None`: this branch gets none.
    fn next_stub(&self, section: usize, place: Place, number: u32) -> Option<u64> {
        let module = &self.arch.module;
        module.reserving.binary_search(&number).ok()?;
        let given_out = self.used[section].checked_mul(module.reserved_stub_bytes.into())?;
        place.stubs.checked_add(given_out)
    }

    /// The forms that occur, by number.
    pub(crate) fn finish(self) -> Vec<Form> {
        let (object, arch) = (self.object, self.arch);
        self.tallies
            .into_iter()
            .filter(|tally| tally.form.count > 0)
            .map(|tally| tally.finish(object, arch))
            .collect()
    }
}
