//! Why a relocation could not be applied.

use thiserror::Error;

/// Why a relocation could not be applied or read.
///
/// The caller knows the rest of the message: file, section, offset and symbol.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum RelocError {
    /// The value does not fit the field.
    #[error("out of range (0x{value:x} in {bits} bits)")]
    OutOfRange {
        /// The value as Linux's loaders print it: in the units of the field (instructions for a
        /// branch of PA-RISC) and cut to the width of an address, so a negative one is huge.
        value: u64,
        /// Bits that the field has for it.
        bits: u32,
    },
    /// The value is no multiple of what the field counts in.
    #[error("0x{value:x} is not a multiple of {unit}")]
    Misaligned {
        /// The value, in bytes.
        value: u64,
        /// Bytes that the field counts in.
        unit: u64,
    },
    /// The relocated bytes go past the end of the section.
    #[error("{needed} bytes to relocate, {available} left in the section")]
    OutOfBounds {
        /// Bytes that the field spans.
        needed: usize,
        /// Bytes that were given.
        available: usize,
    },
    /// A relocation of dynamic or thread-local linking, which kernels and modules do not have.
    #[error("{name} is not a relocation that a kernel or module can have")]
    Unsupported {
        /// Its psABI name.
        name: &'static str,
    },
    /// The field holds only a part of a value, so it cannot hold an addend.
    #[error("{name} cannot keep its addend in the relocated field")]
    NoImplicitAddend {
        /// Its psABI name.
        name: &'static str,
    },
}
