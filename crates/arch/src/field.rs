//! Fields: which bits of the bytes at a relocated place hold the value.

use crate::{Endian, RelocError};

/// The widest container of a field, in bytes.
const MAX_BYTES: usize = 8;

/// How the bits of a run are changed on their way from a value into an instruction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flip {
    /// They are stored as they are.
    Never,
    /// Each is XORed with the value's sign (PA-RISC's wide displacements, AArch64's `movn`).
    WithSign,
    /// Each is inverted (the bit of AArch64 that makes a `movz` of a `movn`).
    Always,
}

impl Flip {
    /// What the bits are XORed with.
    const fn mask(self, negative: bool) -> u64 {
        match self {
            Self::Never => 0,
            Self::WithSign if negative => u64::MAX,
            Self::WithSign => 0,
            Self::Always => u64::MAX,
        }
    }
}

/// A run of bits that keep their order on the way from a value into an instruction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Run {
    /// The lowest bit of the run in the value, 0 being the least significant one.
    pub from: u8,
    /// The lowest bit of the run in the instruction, 0 being the least significant one.
    pub to: u8,
    /// Bits in the run.
    pub width: u8,
    /// How its bits are changed. The run with the value's sign is not stored XORed with it.
    pub flip: Flip,
}

impl Run {
    /// A run stored as it is.
    #[must_use]
    pub const fn new(from: u8, to: u8, width: u8) -> Self {
        Self {
            from,
            to,
            width,
            flip: Flip::Never,
        }
    }

    /// A run whose bits are stored XORed with the value's sign.
    #[must_use]
    pub const fn xor_sign(from: u8, to: u8, width: u8) -> Self {
        Self {
            from,
            to,
            width,
            flip: Flip::WithSign,
        }
    }

    /// A run whose bits are stored inverted.
    #[must_use]
    pub const fn inverted(from: u8, to: u8, width: u8) -> Self {
        Self {
            from,
            to,
            width,
            flip: Flip::Always,
        }
    }
}

/// The bits that a relocation may write, and how a value is scattered over them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Field {
    /// What the architecture's manual calls it.
    pub name: &'static str,
    /// Bytes of the instruction or datum that holds the field: 0 (nothing is written), 1, 2, 4 or
    /// 8, in the byte order of the architecture.
    pub bytes: u8,
    /// Low bits of the value that are not stored, being zero in anything aligned (2 for a branch
    /// of PA-RISC), or going to another field (16 for a high half). They are dropped without a check,
    /// unless [`Relocation::exact`](crate::Relocation::exact) says otherwise.
    pub shift: u8,
    /// Bits stored, the sign included; the value is shifted right by [`shift`](Self::shift) first.
    pub bits: u8,
    /// Where these bits go. Together they are [`bits`](Self::bits) wide and do not overlap.
    pub runs: &'static [Run],
    /// The bits of the instruction that the runs cover.
    mask: u64,
    /// Whether the field is all of its bytes, and what goes there is the value as it is.
    whole: bool,
}

impl Field {
    /// A field for relocations that write nothing.
    pub const NONE: Self = Self::new("none", 0, 0, 0, &[]);
    /// A whole byte.
    pub const DATA8: Self = Self::new("byte", 1, 0, 8, &[Run::new(0, 0, 8)]);
    /// Two whole bytes.
    pub const DATA16: Self = Self::new("half word", 2, 0, 16, &[Run::new(0, 0, 16)]);
    /// Four whole bytes.
    pub const DATA32: Self = Self::new("word", 4, 0, 32, &[Run::new(0, 0, 32)]);
    /// Eight whole bytes.
    pub const DATA64: Self = Self::new("double word", 8, 0, 64, &[Run::new(0, 0, 64)]);

    /// A field; see its members for what the arguments are.
    ///
    /// # Panics
    /// If `bytes` is none of 0, 1, 2, 4 and 8, or the runs are not `bits` wide together; in a
    /// constant, that does not compile.
    #[must_use]
    pub const fn new(
        name: &'static str,
        bytes: u8,
        shift: u8,
        bits: u8,
        runs: &'static [Run],
    ) -> Self {
        assert!(matches!(bytes, 0 | 1 | 2 | 4 | 8), "no such container");
        let mut mask = 0;
        let mut width = 0;
        let mut nth = 0;
        while nth < runs.len() {
            mask |= ones(runs[nth].width) << runs[nth].to;
            width += runs[nth].width;
            nth += 1;
        }
        assert!(width == bits, "runs that are not the field");
        let is_plain = matches!(
            runs,
            [Run {
                from: 0,
                to: 0,
                flip: Flip::Never,
                ..
            }]
        );
        Self {
            name,
            bytes,
            shift,
            bits,
            runs,
            mask,
            whole: is_plain && shift == 0 && bits == 8 * bytes,
        }
    }

    /// Whether the field is all of its bytes, and what goes there is the value as it is.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        self.whole
    }

    /// The bits of the instruction that belong to the field.
    #[must_use]
    pub const fn mask(&self) -> u64 {
        self.mask
    }

    /// `instruction` with the field set to `value`, of which bits that have no place are dropped.
    #[inline]
    #[must_use]
    pub fn encode(&self, instruction: u64, value: i64) -> u64 {
        let stored = (value >> self.shift).cast_unsigned();
        let negative = self.sign_of(stored);
        self.runs
            .iter()
            .fold(instruction & !self.mask, |word, run| {
                let part = stored >> run.from ^ run.flip.mask(negative);
                word | (part & ones(run.width)) << run.to
            })
    }

    /// The value in the field of `instruction`, sign-extended, its unstored low bits zero.
    #[inline]
    #[must_use]
    pub fn decode(&self, instruction: u64) -> i64 {
        let negative = self.sign_of(self.gather(instruction, false));
        let stored = self.gather(instruction, negative);
        sign_extend(stored, self.bits) << self.shift
    }

    /// Reads the bytes that hold the field.
    ///
    /// # Errors
    /// [`RelocError::OutOfBounds`] if `bytes` is shorter than the field.
    #[inline]
    pub fn read(&self, endian: Endian, bytes: &[u8]) -> Result<u64, RelocError> {
        let word = match (self.bytes, endian) {
            (0, _) => Some(0),
            (1, _) => bytes.first().map(|&byte| byte.into()),
            (2, Endian::Big) => bytes.first_chunk().map(|&b| u16::from_be_bytes(b).into()),
            (2, Endian::Little) => bytes.first_chunk().map(|&b| u16::from_le_bytes(b).into()),
            (4, Endian::Big) => bytes.first_chunk().map(|&b| u32::from_be_bytes(b).into()),
            (4, Endian::Little) => bytes.first_chunk().map(|&b| u32::from_le_bytes(b).into()),
            (_, Endian::Big) => bytes.first_chunk().map(|&b| u64::from_be_bytes(b)),
            (_, Endian::Little) => bytes.first_chunk().map(|&b| u64::from_le_bytes(b)),
        };
        word.ok_or(self.out_of_bounds(bytes.len()))
    }

    /// Writes `word`, an instruction or datum of [`bytes`](Self::bytes) bytes.
    ///
    /// # Errors
    /// [`RelocError::OutOfBounds`] if `bytes` is shorter than the field; nothing is written then.
    #[inline]
    pub fn write(&self, endian: Endian, bytes: &mut [u8], word: u64) -> Result<(), RelocError> {
        let available = bytes.len();
        let len = usize::from(self.bytes);
        let Some(bytes) = bytes.get_mut(..len) else {
            return Err(self.out_of_bounds(available));
        };
        let unused = MAX_BYTES - len;
        // copies of a length known here are single stores, others a call
        match (len, endian) {
            (4, Endian::Big) => bytes.copy_from_slice(&(word as u32).to_be_bytes()),
            (4, Endian::Little) => bytes.copy_from_slice(&(word as u32).to_le_bytes()),
            (_, Endian::Big) => bytes.copy_from_slice(&word.to_be_bytes()[unused..]),
            (_, Endian::Little) => bytes.copy_from_slice(&word.to_le_bytes()[..len]),
        }
        Ok(())
    }

    fn out_of_bounds(&self, available: usize) -> RelocError {
        RelocError::OutOfBounds {
            needed: usize::from(self.bytes),
            available,
        }
    }

    fn sign_of(&self, stored: u64) -> bool {
        self.bits > 0 && stored >> (self.bits - 1) & 1 == 1
    }

    fn gather(&self, instruction: u64, negative: bool) -> u64 {
        self.runs.iter().fold(0, |value, run| {
            let part = instruction >> run.to ^ run.flip.mask(negative);
            value | (part & ones(run.width)) << run.from
        })
    }
}

/// A number whose `width` low bits are set; `width` is at most 64.
pub(crate) const fn ones(width: u8) -> u64 {
    if width == 0 {
        0
    } else {
        u64::MAX >> (64 - width)
    }
}

/// The `bits` low bits of `value` as a signed number; `bits` is at most 64.
pub(crate) const fn sign_extend(value: u64, bits: u8) -> i64 {
    if bits == 0 {
        return 0;
    }
    let unused = 64 - bits;
    (value << unused).cast_signed() >> unused
}
