//! Instructions that a linker or loader may replace by shorter or faster ones.

use crate::{Endian, Pattern, RelocError, Relocation, Values};

/// Bytes of an instruction of a sequence.
const INSTRUCTION_BYTES: usize = 4;

/// One instruction of a [`Sequence`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SequenceStep {
    /// What must stand there.
    pub old: Pattern,
    /// What stands there afterwards, its field empty.
    pub new: u32,
    /// What goes to its field, computed with the place of the *first* instruction.
    pub field: &'static Relocation,
}

/// Instructions of 4 bytes that are replaced if all are the expected ones and all new values fit, and
/// are left alone otherwise.
#[derive(Debug, Eq, PartialEq)]
pub struct Sequence {
    /// The instructions, one after another.
    pub steps: &'static [SequenceStep],
}

impl Sequence {
    /// Bytes of all instructions.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.steps.len() * INSTRUCTION_BYTES
    }

    /// Whether there are no instructions; no architecture has such a sequence.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Replaces the instructions at the start of `bytes`, if they are these and the values fit.
    pub(crate) fn apply(
        &self,
        endian: Endian,
        bytes: &mut [u8],
        values: &Values,
    ) -> Result<(), RelocError> {
        let (needed, available) = (self.len(), bytes.len());
        let bytes = bytes
            .get_mut(..needed)
            .ok_or(RelocError::OutOfBounds { needed, available })?;
        for (step, place) in self.pairs(bytes) {
            let instruction = step.field.field.read(endian, place)?;
            let mut probe = step.word(endian);
            let fits = step.field.apply(endian, &mut probe, values).is_ok();
            if !fits || !step.old.matches(instruction) {
                return Ok(());
            }
        }
        for (step, place) in self.pairs(bytes) {
            place.copy_from_slice(&step.word(endian));
            step.field.apply(endian, place, values)?;
        }
        Ok(())
    }

    fn pairs<'a>(
        &self,
        bytes: &'a mut [u8],
    ) -> impl Iterator<Item = (&'static SequenceStep, &'a mut [u8])> {
        self.steps
            .iter()
            .zip(bytes.chunks_exact_mut(INSTRUCTION_BYTES))
    }
}

impl SequenceStep {
    /// The new instruction in the byte order of the architecture.
    const fn word(&self, endian: Endian) -> [u8; INSTRUCTION_BYTES] {
        match endian {
            Endian::Little => self.new.to_le_bytes(),
            Endian::Big => self.new.to_be_bytes(),
        }
    }
}
