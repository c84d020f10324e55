//! Follows a branch of the output, instruction by instruction, to where it really goes.
//!
//! A branch reaches its target directly or through stubs. What a stub does is not recognised by
//! its form but executed, on values that are known only as "this byte of that section" or "that
//! symbol": so any stub is accepted that ends at the target and changes no register but `%r1`.

use super::decode::{Instruction, R1, Register, decode};
use super::elf::{Object, Place, Target};
use object::elf;

/// More steps than any chain of stubs has; a longer one is a loop.
const MAX_STEPS: usize = 16;

/// What a register holds.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Unknown,
    Number(i64),
    /// The run address of a byte of the output, with the privilege level in its lowest two bits.
    Place(Place),
    /// The upper 21 bits of a target's run address; the loader fills them in.
    High(Target),
    /// The whole of it.
    Whole(Target),
}

/// Where a branch ended and how it got there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) target: Target,
    /// The stubs that were run, each from its first instruction.
    pub(super) stubs: Vec<Stub>,
}

/// A stub that a branch went through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Stub {
    pub(super) place: Place,
    pub(super) bytes: i64,
}

/// Runs from `start`, the place a call branches to, until a branch arrives where `is_code` says
/// that compiled code is, or until control leaves for another file's symbol.
///
/// # Errors
/// A sentence that says what is there instead of a stub.
pub(super) fn follow(
    output: &Object,
    start: Place,
    is_code: impl Fn(Place) -> bool,
) -> Result<Arrival, String> {
    let mut machine = Machine {
        output,
        r1: Value::Unknown,
    };
    let mut stubs = Vec::new();
    let mut entry = start;
    let mut at = start;
    for _ in 0..MAX_STEPS {
        if is_code(at) {
            let target = Target::Place(at);
            return Ok(Arrival { target, stubs });
        }
        let Some(branch) = machine.step(at)? else {
            at = at.plus(4);
            continue;
        };
        if branch.target == Target::Place(at.plus(8)) {
            // `b,l .+8,%r1` asks where it is; the stub goes on behind it.
            at = at.plus(8);
            continue;
        }
        stubs.push(Stub {
            place: entry,
            bytes: branch.end.offset - entry.offset,
        });
        match branch.target {
            Target::Place(place) => (entry, at) = (place, place),
            target => return Ok(Arrival { target, stubs }),
        }
    }
    Err(format!(
        "no end of the stub at {} after {MAX_STEPS} instructions",
        output.describe(start)
    ))
}

/// A branch that was run.
struct Taken {
    target: Target,
    /// Behind the branch, or behind its delay slot where that was run.
    end: Place,
}

struct Machine<'a> {
    output: &'a Object,
    /// The one register that a stub may change.
    r1: Value,
}

impl Machine<'_> {
    /// Runs the instruction at `at`, and its delay slot if it is a branch.
    fn step(&mut self, at: Place) -> Result<Option<Taken>, String> {
        let (target, nullify) = match self.fetch(at)? {
            Instruction::Branch {
                displacement,
                link,
                nullify,
            } => {
                self.no_relocation(at)?;
                self.link(at, link)?;
                (Target::Place(at.plus(8).plus(displacement)), nullify)
            }
            Instruction::External {
                displacement,
                base,
                link,
                nullify,
            } => {
                self.no_relocation(at)?;
                let target = self.sum(at, base, displacement)?;
                self.link(at, link)?;
                (target, nullify)
            }
            Instruction::Vectored { base, nullify } => (self.sum(at, base, 0)?, nullify),
            plain => {
                self.run(at, plain)?;
                return Ok(None);
            }
        };
        let slot = at.plus(4);
        if nullify {
            return Ok(Some(Taken { target, end: slot }));
        }
        let instruction = self.fetch(slot)?;
        self.run(slot, instruction)?;
        Ok(Some(Taken {
            target,
            end: slot.plus(4),
        }))
    }

    fn fetch(&self, at: Place) -> Result<Instruction, String> {
        let word = self.output.word(at);
        word.map(decode)
            .ok_or_else(|| format!("leads outside, to {}", self.output.describe(at)))
    }

    /// Runs an instruction that is no branch.
    fn run(&mut self, at: Place, instruction: Instruction) -> Result<(), String> {
        let relocation = self.output.relocation(at);
        let named = |kind, what: &str| match relocation {
            Some(r) if r.kind == kind => Ok(Some(r.target.clone())),
            Some(r) => Err(self.complain(at, &format!("relocation {} under {what}", r.kind.0))),
            None => Ok(None),
        };
        let (target, value) = match instruction {
            Instruction::LoadHigh { value, target } => {
                let value = match named(elf::R_PARISC_DIR21L, "ldil")? {
                    Some(name) => Value::High(name),
                    None => Value::Number(value),
                };
                (target, value)
            }
            Instruction::AddHigh { value, base } if base == R1 => {
                self.no_relocation(at)?;
                let value = match &self.r1 {
                    Value::Place(place) => Value::Place(place.plus(value)),
                    Value::Number(number) => Value::Number(number + value),
                    _ => Value::Unknown,
                };
                (R1, value)
            }
            Instruction::LoadOffset {
                value,
                base,
                target,
            } if base == R1 => {
                let value = match (named(elf::R_PARISC_DIR14R, "ldo")?, &self.r1) {
                    (Some(low), Value::High(high)) if low == *high => Value::Whole(low),
                    (None, Value::Place(place)) => Value::Place(place.plus(value)),
                    (None, Value::Number(number)) => Value::Number(number + value),
                    _ => Value::Unknown,
                };
                (target, value)
            }
            _ => return Err(self.complain(at, "neither a stub nor the target")),
        };
        if target != R1 {
            return Err(self.complain(at, &format!("changes %r{target}, which is the caller's")));
        }
        self.r1 = value;
        Ok(())
    }

    /// Where a branch to `base` + `displacement` goes.
    fn sum(&self, at: Place, base: Register, displacement: i64) -> Result<Target, String> {
        match &self.r1 {
            _ if base == 0 => Ok(Target::Number(displacement)),
            Value::Place(place) if base == R1 => Ok(Target::Place(place.plus(displacement))),
            Value::Whole(target) if base == R1 && displacement == 0 => Ok(target.clone()),
            _ => Err(self.complain(at, &format!("%r{base} does not hold an address"))),
        }
    }

    fn link(&mut self, at: Place, link: Register) -> Result<(), String> {
        match link {
            0 => Ok(()),
            R1 => {
                self.r1 = Value::Place(at.plus(8));
                Ok(())
            }
            _ => Err(self.complain(at, &format!("changes %r{link}, which is the caller's"))),
        }
    }

    /// Fields of stubs must be final, save for the two relocations that the kernel's loader
    /// puts together exactly (DIR21L and DIR14R).
    fn no_relocation(&self, at: Place) -> Result<(), String> {
        match self.output.relocation(at) {
            None => Ok(()),
            Some(r) => Err(self.complain(at, &format!("relocation {} in a stub", r.kind.0))),
        }
    }

    fn complain(&self, at: Place, what: &str) -> String {
        format!("{what} at {}", self.output.describe(at))
    }
}
