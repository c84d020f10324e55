//! What the prover must know of an architecture: how to read a resolved field.

use super::hppa;

/// An architecture whose modules can be proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Machine {
    Hppa32,
    X86_64,
}

/// A pc-relative field that the linker has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Symbol plus addend, minus the relocation's own place, in bytes.
    pub(super) distance: i64,
    /// The bytes of the field, and which of their bits belong to it.
    pub(super) mask: [u8; 8],
    /// How many bytes of `mask` count.
    pub(super) width: usize,
    /// Whether this is a branch that may go through a stub.
    pub(super) may_use_stub: bool,
    /// Whether this is a branch at all.
    pub(super) is_branch: bool,
}

const EM_PARISC: u16 = 15;
const EM_X86_64: u16 = 62;

impl Machine {
    /// The machine of this `e_machine` and class, if it can be proved.
    pub(super) fn of(e_machine: u16, is_64: bool) -> Option<Self> {
        match (e_machine, is_64) {
            (EM_PARISC, false) => Some(Self::Hppa32),
            (EM_X86_64, true) => Some(Self::X86_64),
            _ => None,
        }
    }

    /// Reads the field that had a relocation of this type at the start of
    /// `field`; `None` if such a relocation cannot be finished by a linker that
    /// does not know addresses, or if the bytes are no such field.
    pub(super) fn resolved(self, r_type: u32, field: &[u8]) -> Option<Resolved> {
        match self {
            Self::Hppa32 => resolved_hppa(r_type, field),
            Self::X86_64 => resolved_x86_64(r_type, field),
        }
    }

    /// Whether the kernel's loader accepts this type in a module.
    pub(super) fn is_loadable(self, r_type: u32) -> bool {
        match self {
            Self::Hppa32 => hppa::LOADABLE.contains(&r_type),
            // arch/x86/kernel/module.c: NONE, 64, PC32, PLT32, 32, 32S, PC64
            Self::X86_64 => matches!(r_type, 0 | 1 | 2 | 4 | 10 | 11 | 24),
        }
    }

    /// Whether code bytes that no input section covers are harmless padding.
    pub(super) fn is_padding(self, bytes: &[u8]) -> bool {
        let nop = match self {
            Self::Hppa32 => hppa::NOP.to_be_bytes(),
            Self::X86_64 => [0x90; 4],
        };
        bytes.iter().all(|&byte| byte == 0)
            || bytes.chunks(4).all(|chunk| nop.starts_with(chunk))
            || (self == Self::X86_64 && bytes.iter().all(|&byte| byte == 0xcc))
    }

    /// What part of an addend may not be moved into the symbol's place for this
    /// type; 0 where only the sum matters.
    pub(super) fn fixed_addend(self, r_type: u32, addend: i64) -> i64 {
        match self {
            Self::Hppa32 if hppa::rounds_addend(r_type) => hppa::addend_remainder(addend),
            _ => 0,
        }
    }
}

fn resolved_hppa(r_type: u32, field: &[u8]) -> Option<Resolved> {
    let bytes: [u8; 4] = field.get(..4)?.try_into().ok()?;
    let word = u32::from_be_bytes(bytes);
    let mut mask = [0; 8];
    if r_type == hppa::PCREL32 {
        // The loader's reading: `val - dot - 8 + addend`.
        mask[..4].fill(0xff);
        return Some(Resolved {
            distance: i64::from(word.cast_signed()) + 8,
            mask,
            width: 4,
            may_use_stub: false,
            is_branch: false,
        });
    }
    let branch = hppa::branch(word, r_type)?;
    mask[..4].copy_from_slice(&branch.field.to_be_bytes());
    Some(Resolved {
        distance: branch.distance,
        mask,
        width: 4,
        may_use_stub: branch.may_use_stub,
        is_branch: true,
    })
}

/// x86-64 psABI, table 4.9: PC32 2, PLT32 4, PC16 13, PC8 15, PC64 24.
fn resolved_x86_64(r_type: u32, field: &[u8]) -> Option<Resolved> {
    let width = match r_type {
        2 | 4 => 4,
        13 => 2,
        15 => 1,
        24 => 8,
        _ => return None,
    };
    let bytes = field.get(..width)?;
    let value = bytes
        .iter()
        .rev()
        .fold(0u64, |n, &byte| n << 8 | u64::from(byte));
    let unused = 64 - 8 * width;
    let mut mask = [0; 8];
    mask[..width].fill(0xff);
    Some(Resolved {
        distance: (value << unused).cast_signed() >> unused,
        mask,
        width,
        may_use_stub: false,
        is_branch: matches!(r_type, 2 | 4),
    })
}
