//! Code that needs no slot of the global offset table after all.
//!
//! Compilers reach symbols of which they do not know where they are defined through a table of
//! addresses. Where the link finds that the address is known, or near, an instruction without the
//! table does the same; types such as `R_X86_64_GOTPCRELX` mark instructions that may be changed.

use crate::Pattern;

/// The global offset table of an architecture.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct GotTable {
    /// The symbol at the place that offsets into the table count from.
    pub symbol: &'static str,
    /// Entries there, in front of all others, that a dynamic linker fills in. The first holds the
    /// address of `.dynamic`.
    pub reserved: u64,
    /// Whether only links whose code needs slots have the table: its reserved entries are then at its own
    /// beginning, not in `.got.plt`, and others see its symbol.
    pub on_demand: bool,
    /// ModRM bytes of operands without a base register: an offset into the table is no use to them, so
    /// that a field with one holds the slot's address.
    pub baseless: Option<Pattern>,
}

/// A change of an instruction so that it does without a slot. (All instructions so far are x86's: a
/// field of 4 bytes behind an opcode and a ModRM byte.)
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Relaxation {
    /// The static types that it applies to.
    pub numbers: &'static [u32],
    /// The addend that the relocation must have.
    pub addend: i64,
    /// The opcodes that it changes.
    pub opcode: Pattern,
    /// The ModRM bytes that it changes.
    pub modrm: Pattern,
    /// Whether `--no-relax` switches it off.
    pub optional: bool,
    /// Whether the symbol's address must be known, and not only its distance.
    pub fixed: bool,
    /// What it makes of them.
    pub change: Change,
    /// The type that applies then, with the symbol itself.
    pub number: u32,
}

/// What a relaxation makes of an instruction.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Change {
    /// Another opcode.
    Opcode(u8),
    /// A direct branch: these bytes in front of its field and behind it. It keeps its length.
    Branch {
        /// In front of the field: 1 or 2 bytes.
        before: &'static [u8],
        /// Behind the field.
        after: &'static [u8],
        /// The addend of the branch.
        addend: i64,
    },
    /// An immediate operand instead of the one in memory. The register moves from the `reg` field of
    /// ModRM to `rm`, and from REX.R to REX.B.
    Immediate {
        /// The opcode.
        opcode: u8,
        /// Bits of the old opcode that go to ModRM, since they say which operation it is.
        operation: u8,
        /// The types whose instructions have a REX prefix in front of the opcode.
        prefixed: &'static [u32],
        /// The type where that prefix asks for 64 bits (REX.W): the immediate is sign-extended.
        wide: u32,
    },
}

/// An instruction that was changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Relaxed {
    /// The type that applies, with the symbol itself.
    pub number: u32,
    /// Where its field is: bytes from the beginning of the section.
    pub offset: usize,
    /// Its addend, which is not in the field.
    pub addend: i64,
    start: usize,
    bytes: [u8; MAX_EDIT],
    len: usize,
}

/// Bytes from a prefix to the end of a field: the most that changes.
const MAX_EDIT: usize = 7;
/// Bytes of a field.
const FIELD: usize = 4;
const REX_W: u8 = 0x08;
const REX_R: u8 = 0x04;

impl Relaxed {
    fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.bytes[self.len] = byte;
            self.len += 1;
        }
    }

    /// Changes the bytes of the section.
    pub fn write(&self, section: &mut [u8]) {
        if let Some(place) = section.get_mut(self.start..self.start + self.len) {
            place.copy_from_slice(&self.bytes[..self.len]);
        }
    }
}

impl Relaxation {
    /// Changes the instruction whose field is at `offset` of `section`, if it is one of these. `fixed`
    /// says that the symbol's address is known.
    #[must_use]
    pub fn relax(
        &self,
        number: u32,
        section: &[u8],
        offset: usize,
        addend: i64,
        fixed: bool,
    ) -> Option<Relaxed> {
        let opcode = *section.get(offset.checked_sub(2)?)?;
        let modrm = *section.get(offset - 1)?;
        section.get(offset..offset + FIELD)?;
        let applies = self.numbers.contains(&number)
            && addend == self.addend
            && self.opcode.matches(u64::from(opcode))
            && self.modrm.matches(u64::from(modrm))
            && (fixed || !self.fixed);
        if !applies {
            return None;
        }
        let mut relaxed = Relaxed {
            number: self.number,
            offset,
            addend,
            start: offset - 2,
            bytes: [0; MAX_EDIT],
            len: 0,
        };
        match self.change {
            Change::Opcode(opcode) => relaxed.push(&[opcode]),
            Change::Branch {
                before,
                after,
                addend,
            } => {
                relaxed.push(before);
                if !after.is_empty() {
                    relaxed.push(&[0; FIELD]);
                    relaxed.push(after);
                }
                relaxed.offset = relaxed.start + before.len();
                relaxed.addend = addend;
            }
            Change::Immediate {
                opcode: new,
                operation,
                prefixed,
                wide,
            } => {
                if prefixed.contains(&number) {
                    relaxed.start = offset.checked_sub(3)?;
                    let rex = *section.get(relaxed.start)?;
                    relaxed.push(&[rex & !REX_R | (rex & REX_R) >> 2]);
                    if rex & REX_W != 0 {
                        relaxed.number = wide;
                    }
                }
                relaxed.push(&[new, 0xc0 | (modrm & 0x38) >> 3 | opcode & operation]);
                relaxed.addend = 0;
            }
        }
        Some(relaxed)
    }
}

impl GotTable {
    /// Whether the field at `offset` of `section` is of an operand without a base register.
    #[must_use]
    pub fn is_baseless(&self, section: &[u8], offset: usize) -> bool {
        let before = |distance| section.get(offset.checked_sub(distance)?).copied();
        let (Some(pattern), Some(opcode), Some(modrm)) = (self.baseless, before(2), before(1))
        else {
            return false;
        };
        pattern.matches(u64::from(modrm)) && opcode != LOAD_ADDRESS
    }
}

const fn byte(bits: u8) -> Pattern {
    Pattern {
        mask: 0xff,
        bits: bits as u64,
    }
}

const ANY: Pattern = Pattern { mask: 0, bits: 0 };
/// `call` and `jmp` through memory; ModRM says which.
const INDIRECT: Pattern = byte(0xff);
const LOAD: Pattern = byte(0x8b);
const LOAD_ADDRESS: u8 = 0x8d;
const TEST: Pattern = byte(0x85);
/// `add`, `or`, `adc`, `sbb`, `and`, `sub`, `xor`, `cmp` of a register with memory.
const ARITHMETIC: Pattern = Pattern {
    mask: 0xc7,
    bits: 0x03,
};
/// A direct call in the room of an indirect one: a prefix without effect fills it.
const CALL: &[u8] = &[0x67, 0xe8];
const JUMP: &[u8] = &[0xe9];
const NOP: &[u8] = &[0x90];

/// Source: BFD `elf64-x86-64.c`, elf_x86_64_convert_load_reloc.
pub(crate) static X86_64: [Relaxation; 6] = {
    const MARKED: &[u32] = &[41, 42];
    const PC32: u32 = 2;
    const ABS32: u32 = 10;
    const ROW: Relaxation = Relaxation {
        numbers: MARKED,
        addend: -4,
        optional: true,
        opcode: INDIRECT,
        modrm: ANY,
        fixed: false,
        change: Change::Opcode(0),
        number: PC32,
    };
    const fn immediate(opcode: Pattern, new: u8, operation: u8) -> Relaxation {
        Relaxation {
            opcode,
            fixed: true,
            change: Change::Immediate {
                opcode: new,
                operation,
                prefixed: &[42],
                wide: 11,
            },
            number: ABS32,
            ..ROW
        }
    }
    [
        Relaxation {
            modrm: byte(0x25),
            change: Change::Branch {
                before: JUMP,
                after: NOP,
                addend: -4,
            },
            ..ROW
        },
        Relaxation {
            change: Change::Branch {
                before: CALL,
                after: &[],
                addend: -4,
            },
            ..ROW
        },
        immediate(LOAD, 0xc7, 0),
        Relaxation {
            numbers: &[9, 41, 42],
            opcode: LOAD,
            change: Change::Opcode(LOAD_ADDRESS),
            ..ROW
        },
        immediate(TEST, 0xf7, 0),
        immediate(ARITHMETIC, 0x81, 0x3c),
    ]
};

/// Source: BFD `elf32-i386.c`, elf_i386_convert_load_reloc.
pub(crate) static I386: [Relaxation; 7] = {
    const PC32: u32 = 2;
    const ABS32: u32 = 1;
    const GOTOFF: u32 = 9;
    const ROW: Relaxation = Relaxation {
        numbers: &[43],
        addend: 0,
        optional: false,
        opcode: INDIRECT,
        modrm: ANY,
        fixed: false,
        change: Change::Opcode(0),
        number: PC32,
    };
    const fn call(modrm: Pattern) -> Relaxation {
        Relaxation {
            modrm,
            change: Change::Branch {
                before: CALL,
                after: &[],
                addend: -4,
            },
            ..ROW
        }
    }
    const fn immediate(opcode: Pattern, new: u8, operation: u8) -> Relaxation {
        Relaxation {
            opcode,
            fixed: true,
            change: Change::Immediate {
                opcode: new,
                operation,
                prefixed: &[],
                wide: ABS32,
            },
            number: ABS32,
            ..ROW
        }
    }
    [
        call(byte(0x15)),
        call(Pattern {
            mask: 0xf8,
            bits: 0x90,
        }),
        Relaxation {
            change: Change::Branch {
                before: JUMP,
                after: NOP,
                addend: -4,
            },
            ..ROW
        },
        immediate(LOAD, 0xc7, 0),
        Relaxation {
            opcode: LOAD,
            change: Change::Opcode(LOAD_ADDRESS),
            number: GOTOFF,
            ..ROW
        },
        immediate(TEST, 0xf7, 0),
        immediate(ARITHMETIC, 0x81, 0x3c),
    ]
};
