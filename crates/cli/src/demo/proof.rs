//! Proves that every branch of a link's output goes where its input said.
//!
//! Each branch relocation of the inputs names a target. The branch is found again in the output
//! and followed there: by the relocation that is left for the kernel, or by decoding it and every
//! stub on its way. Nothing of the linker is used for that, neither its tables nor its encoders.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use object::elf;

use super::decode::{Instruction, Reach, decode};
use super::elf::{Object, Place, Relocation, Section, Target};
use super::follow::{Stub, follow};
use super::kernel;
use super::placement::{self, InputSection, Placement};

/// What was proved of one output, and what it looks like.
#[derive(Debug, Default)]
pub(super) struct Proof {
    /// Branch relocations in the inputs.
    pub(super) branches: usize,
    /// Of them, those that reach their target by themselves.
    pub(super) direct: usize,
    /// Those that reach it through a stub of the output.
    pub(super) by_stub: usize,
    /// Those that the kernel has yet to relocate.
    pub(super) left: usize,
    /// The stubs that branches go through.
    pub(super) stubs: BTreeSet<Stub>,
    /// The longest displacement that a branch carries or will carry, in bytes.
    pub(super) furthest: i64,
    /// How far each branch reaches or will have to, from its address + 8, in bytes.
    pub(super) displacements: Vec<(Place, i64)>,
    /// Pointers to code, in tables and in code, and those of them that are right.
    pub(super) pointers: usize,
    pub(super) right_pointers: usize,
    /// Branches that do not get there, and code that is gone: a sentence each.
    pub(super) wrong: Vec<String>,
    /// Branches that name the right target but that the kernel cannot relocate.
    pub(super) out_of_reach: Vec<String>,
}

impl Proof {
    /// Branches that arrive, or will when the kernel has relocated them.
    pub(super) fn right(&self) -> usize {
        self.direct + self.by_stub + self.left - self.out_of_reach.len()
    }

    /// Whether nothing at all is wrong.
    pub(super) fn holds(&self) -> bool {
        self.wrong.is_empty()
            && self.right() == self.branches
            && self.pointers == self.right_pointers
    }

    /// Runs of stubs with nothing between them.
    pub(super) fn islands(&self) -> usize {
        let ends: BTreeSet<Place> = (self.stubs.iter())
            .map(|stub| stub.place.plus(stub.bytes))
            .collect();
        (self.stubs.iter())
            .filter(|stub| !ends.contains(&stub.place))
            .count()
    }

    /// Bytes of all stubs that branches go through.
    pub(super) fn stub_bytes(&self) -> i64 {
        self.stubs.iter().map(|stub| stub.bytes).sum()
    }
}

/// Proves `output`, which was linked from `inputs`.
pub(super) fn prove(inputs: &[Object], output: &Object) -> Proof {
    let definitions = Definitions::of(inputs);
    let mut proof = Proof::default();
    let found = placement::find(inputs, output, |placement, section, place| {
        let link = Link {
            inputs,
            output,
            definitions: &definitions,
            placement,
        };
        link.branches_agree(section, place)
    });
    let placement = match found {
        Ok(placement) => placement,
        Err(lost) => {
            proof.wrong = lost;
            return proof;
        }
    };
    let link = Link {
        inputs,
        output,
        definitions: &definitions,
        placement: &placement,
    };
    let carried = kernel::displacements(output);
    for (n, input) in inputs.iter().enumerate() {
        for section in input.code() {
            for relocation in section.relocations.iter().filter(|r| is_branch(r.kind)) {
                proof.branches += 1;
                let at = InputSection {
                    input: n,
                    section: section.index,
                };
                link.prove_branch(at, relocation, &carried, &mut proof);
            }
        }
    }
    link.prove_pointers(&mut proof);
    proof
}

/// Whether relocations of this type are under branches.
pub(super) fn is_branch(kind: elf::RelocationType) -> bool {
    branch_reach(kind).is_some()
}

/// The reach of the branches that relocations of this type are under.
pub(super) fn branch_reach(kind: elf::RelocationType) -> Option<Reach> {
    match kind {
        elf::R_PARISC_PCREL17F => Some(Reach::of_bits(17)),
        elf::R_PARISC_PCREL22F => Some(Reach::of_bits(22)),
        _ => None,
    }
}

/// The global symbols of all inputs.
struct Definitions<'a> {
    by_name: HashMap<&'a str, (InputSection, i64)>,
}

impl<'a> Definitions<'a> {
    fn of(inputs: &'a [Object]) -> Self {
        let mut by_name = HashMap::new();
        for (input, object) in inputs.iter().enumerate() {
            for symbol in object.symbols.iter().filter(|s| s.is_global) {
                let section = InputSection {
                    input,
                    section: symbol.place.section,
                };
                by_name
                    .entry(symbol.name.as_str())
                    .or_insert((section, symbol.place.offset));
            }
        }
        Self { by_name }
    }
}

/// How one branch gets to where it goes.
enum Way {
    Direct,
    Stubs(Vec<Stub>),
    Left,
}

struct Link<'a> {
    inputs: &'a [Object],
    output: &'a Object,
    definitions: &'a Definitions<'a>,
    placement: &'a Placement,
}

impl Link<'_> {
    /// What a target of an input is called in the output; `None` if it is in a section whose
    /// place is not known (data, or not yet found).
    fn in_output(&self, input: usize, target: &Target) -> Option<Target> {
        let (section, offset) = match target {
            Target::Place(place) => {
                let section = InputSection {
                    input,
                    section: place.section,
                };
                (section, place.offset)
            }
            Target::External { name, addend } => {
                match self.definitions.by_name.get(name.as_str()) {
                    Some((section, offset)) => (*section, offset.wrapping_add(*addend)),
                    None => return Some(target.clone()),
                }
            }
            Target::Number(_) => return Some(target.clone()),
        };
        Some(Target::Place(self.placement.of(section)?.plus(offset)))
    }

    /// Where the branch at `place` of the output ends, and its own displacement if it is final.
    ///
    /// It ends where code is known to be, or at `expected`.
    fn arrival(
        &self,
        place: Place,
        kind: elf::RelocationType,
        expected: &Target,
    ) -> Result<(Target, Way, Option<i64>), String> {
        if let Some(left) = self.output.relocation(place) {
            if left.kind != kind {
                return Err(format!("relocation {} instead of {}", left.kind.0, kind.0));
            }
            return Ok((left.target.clone(), Way::Left, None));
        }
        let word = self.output.word(place).map(decode);
        let Some(Instruction::Branch { displacement, .. }) = word else {
            return Err("not a branch".into());
        };
        let first = place.plus(8).plus(displacement);
        let arrival = follow(self.output, first, |at| {
            self.placement.is_code(at) || Target::Place(at) == *expected
        })?;
        let way = if arrival.stubs.is_empty() {
            Way::Direct
        } else {
            Way::Stubs(arrival.stubs)
        };
        Ok((arrival.target, way, Some(displacement)))
    }

    fn prove_branch(
        &self,
        at: InputSection,
        relocation: &Relocation,
        carried: &BTreeMap<Place, i64>,
        proof: &mut Proof,
    ) {
        let input = &self.inputs[at.input];
        let mut wrong = |what: String| {
            let from = Place {
                section: at.section,
                offset: relocation.offset.cast_signed(),
            };
            let name = input.describe_target(&relocation.target);
            proof.wrong.push(format!(
                "{}: {}: branch to {name}: {what}",
                input.name,
                input.describe(from)
            ));
        };
        let Some(start) = self.placement.of(at) else {
            return wrong("its code is not in the output".into());
        };
        let Some(expected) = self.in_output(at.input, &relocation.target) else {
            return wrong("its target is not in the output".into());
        };
        let place = start.plus(relocation.offset.cast_signed());
        match self.arrival(place, relocation.kind, &expected) {
            Err(what) => wrong(what),
            Ok((end, ..)) if end != expected => wrong(format!(
                "ends at {}, should be {}",
                self.output.describe_target(&end),
                self.output.describe_target(&expected)
            )),
            Ok((_, way, displacement)) => {
                let displacement = displacement.or_else(|| carried.get(&place).copied());
                // Every branch in code that is left to the kernel has one.
                let displacement = displacement.unwrap_or(0);
                proof.displacements.push((place, displacement));
                proof.furthest = proof.furthest.max(displacement.abs());
                let reach = branch_reach(relocation.kind);
                if !reach.is_some_and(|r| r.covers(displacement)) {
                    proof.out_of_reach.push(self.output.describe(place));
                }
                match way {
                    Way::Direct => proof.direct += 1,
                    Way::Left => proof.left += 1,
                    Way::Stubs(stubs) => {
                        proof.by_stub += 1;
                        proof.stubs.extend(stubs);
                    }
                }
            }
        }
    }

    /// Whether the branches that are known agree with `section` being at `place`: those in it,
    /// and those to it, which come from the same input, as only functions that are local to one
    /// are ever in doubt.
    fn branches_agree(&self, section: InputSection, place: Place) -> bool {
        let input = &self.inputs[section.input];
        let agree = |from: &Section| {
            let is_it = from.index == section.section;
            let id = InputSection {
                section: from.index,
                ..section
            };
            let Some(start) = self.placement.of(id).or(is_it.then_some(place)) else {
                return true;
            };
            (from.relocations.iter().filter(|r| is_branch(r.kind))).all(|r| {
                let expected = match &r.target {
                    Target::Place(to) if to.section == section.section => {
                        Some(Target::Place(place.plus(to.offset)))
                    }
                    _ if is_it => self.in_output(section.input, &r.target),
                    _ => None,
                };
                expected.is_none_or(|expected| {
                    let at = start.plus(r.offset.cast_signed());
                    matches!(self.arrival(at, r.kind, &expected), Ok((end, ..)) if end == expected)
                })
            })
        };
        input.code().all(agree)
    }

    /// Counts relocations that are no branches and name code: unwind, exception and bug tables,
    /// operations, branch tables. The output must have as many of each type for each target.
    fn prove_pointers(&self, proof: &mut Proof) {
        let mut expected: BTreeMap<(u32, Target), usize> = BTreeMap::new();
        for (n, input) in self.inputs.iter().enumerate() {
            for relocation in pointers(input) {
                let Some(target @ Target::Place(_)) = self.in_output(n, &relocation.target) else {
                    continue;
                };
                proof.pointers += 1;
                *expected.entry((relocation.kind.0, target)).or_default() += 1;
            }
        }
        for relocation in pointers(self.output) {
            let key = (relocation.kind.0, relocation.target.clone());
            if let Some(count) = expected.get_mut(&key)
                && *count > 0
            {
                *count -= 1;
                proof.right_pointers += 1;
            }
        }
        for ((kind, target), count) in expected {
            if count > 0 {
                let target = self.output.describe_target(&target);
                let what = format!("{count} relocations of type {kind} to {target} are missing");
                proof.wrong.push(what);
            }
        }
    }
}

/// Relocations of allocated sections that are under no branch.
fn pointers(object: &Object) -> impl Iterator<Item = &Relocation> {
    (object.sections.iter())
        .filter(|section: &&Section| section.is_allocated)
        .flat_map(|section| &section.relocations)
        .filter(|r| !is_branch(r.kind))
}
