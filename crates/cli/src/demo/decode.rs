//! A decoder for the PA-RISC instructions that stubs and calls are made of.
//!
//! Written from the PA-RISC 1.1 and 2.0 architecture manuals ("Branch instructions",
//! "Immediate instructions", appendix "Operation codes"), apart from `klink-arch`, so that the
//! two check each other. Immediates are scattered: the sign is the lowest bit of its field, and
//! the lowest bit of an 11-bit part is above the other ten.

/// A general register, 0 to 31. Register 0 reads as zero.
pub(super) type Register = u32;

/// The register that calls leave free for stubs.
pub(super) const R1: Register = 1;

/// One instruction, as far as the prover has to understand it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    /// `b,l`, `b`: to the instruction's address + 8 + `displacement`; `link` gets the return address.
    Branch {
        displacement: i64,
        link: Register,
        nullify: bool,
    },
    /// `be`, `ble`: to `base` + `displacement`; `link` (0 or 31) gets the return address.
    External {
        displacement: i64,
        base: Register,
        link: Register,
        nullify: bool,
    },
    /// `bv`, `bve` without an index: to `base`.
    Vectored { base: Register, nullify: bool },
    /// `ldil`: the upper 21 bits of `target`.
    LoadHigh { value: i64, target: Register },
    /// `addil`: `value` + `base` into register 1.
    AddHigh { value: i64, base: Register },
    /// `ldo`: `base` + `value` into `target`.
    LoadOffset {
        value: i64,
        base: Register,
        target: Register,
    },
    /// Anything else.
    Other,
}

/// What a branch form can carry, both limits in bytes from the branch's address + 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) back: i64,
    pub(super) forward: i64,
}

impl Reach {
    /// The reach of a displacement of `bits` bits, counted in words.
    pub(super) const fn of_bits(bits: u32) -> Self {
        Self {
            back: -(4 << (bits - 1)),
            forward: (4 << (bits - 1)) - 4,
        }
    }

    pub(super) fn covers(self, displacement: i64) -> bool {
        (self.back..=self.forward).contains(&displacement)
    }
}

/// Decodes one word.
pub(super) fn decode(word: u32) -> Instruction {
    let low_register = (word >> 16) & 31;
    let high_register = (word >> 21) & 31;
    let nullify = word & 2 != 0;
    match word >> 26 {
        0x08 => Instruction::LoadHigh {
            value: high_part(word),
            target: high_register,
        },
        0x0a => Instruction::AddHigh {
            value: high_part(word),
            base: high_register,
        },
        0x0d => Instruction::LoadOffset {
            value: signed_low(word, 14),
            base: high_register,
            target: low_register,
        },
        opcode @ (0x38 | 0x39) => Instruction::External {
            displacement: displacement_17(word),
            base: high_register,
            link: if opcode == 0x39 { 31 } else { 0 },
            nullify,
        },
        0x3a => match (word >> 13) & 7 {
            0 => Instruction::Branch {
                displacement: displacement_17(word),
                link: high_register,
                nullify,
            },
            5 => Instruction::Branch {
                displacement: displacement_22(word),
                link: 2,
                nullify,
            },
            // bv has an index register, which must be 0; bve (bit 12 set) has none.
            6 if word & 0x1000 != 0 || low_register == 0 => Instruction::Vectored {
                base: high_register,
                nullify,
            },
            _ => Instruction::Other,
        },
        _ => Instruction::Other,
    }
}

/// The bits of an instruction that a field of this width covers.
pub(super) const FIELD_17: u32 = 0x001f_1ffd;
pub(super) const FIELD_22: u32 = 0x03ff_1ffd;
pub(super) const FIELD_21: u32 = 0x001f_ffff;
pub(super) const FIELD_14: u32 = 0x0000_3fff;

/// `w1` (5 bits), `w2` (11) and `w` (1, the sign) of a branch: bytes.
fn displacement_17(word: u32) -> i64 {
    let upper = ((word & 1) << 16) | (((word >> 16) & 31) << 11);
    sign_extend(upper | eleven_bits(word), 17) * 4
}

/// The PA 2.0 form: five more bits, where the 17-bit form has its link register.
fn displacement_22(word: u32) -> i64 {
    let upper = ((word & 1) << 21) | (((word >> 21) & 31) << 16) | (((word >> 16) & 31) << 11);
    sign_extend(upper | eleven_bits(word), 22) * 4
}

/// `w2`: ten bits with the eleventh, the highest, below them.
fn eleven_bits(word: u32) -> u32 {
    let field = (word >> 2) & 0x7ff;
    ((field & 1) << 10) | (field >> 1)
}

/// The 21-bit immediate of `ldil` and `addil`, in its five parts, as the upper bits of a word.
fn high_part(word: u32) -> i64 {
    let field = word & FIELD_21;
    let value = ((field & 1) << 20)
        | (((field >> 1) & 0x7ff) << 9)
        | (((field >> 14) & 3) << 7)
        | (((field >> 16) & 31) << 2)
        | ((field >> 12) & 3);
    i64::from((value << 11).cast_signed())
}

/// An immediate of `bits` bits whose sign is the lowest.
fn signed_low(word: u32, bits: u32) -> i64 {
    let field = word & ((1 << bits) - 1);
    sign_extend(((field & 1) << (bits - 1)) | (field >> 1), bits)
}

fn sign_extend(value: u32, bits: u32) -> i64 {
    let shift = 32 - bits;
    i64::from((value << shift).cast_signed() >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Each word is what GNU as 2.40 makes of the text beside it.
    #[test]
    fn decodes_what_gnu_as_encodes() {
        let b = |displacement, link, nullify| Instruction::Branch {
            displacement,
            link,
            nullify,
        };
        let be = |displacement, base, link, nullify| Instruction::External {
            displacement,
            base,
            link,
            nullify,
        };
        let bv = |base, nullify| Instruction::Vectored { base, nullify };
        let ldil = |value, target| Instruction::LoadHigh { value, target };
        let addil = |value, base| Instruction::AddHigh { value, base };
        let ldo = |value, base, target| Instruction::LoadOffset {
            value,
            base,
            target,
        };
        let cases = [
            (0xe840_0000, "b,l .+8,%rp", b(0, 2, false)),
            (0xe820_0000, "b,l .+8,%r1", b(0, 1, false)),
            (0xe85f_1ffd, "b,l .+4,%rp", b(-4, 2, false)),
            (0xe800_0ff2, "b,n .+0x800", b(0x7f8, 0, true)),
            (0xe85f_1ffc, "b,l .+8+0x3fffc,%r2", b(0x3fffc, 2, false)),
            (0xe840_0001, "b,l .+8-0x40000,%r2", b(-0x40000, 2, false)),
            (0xebe0_0aac, "b,l .+8+0x1554,%r31", b(0x1554, 31, false)),
            (0xebff_bffc, "b,l .+8+0x7ffffc,%r2", b(0x7f_fffc, 2, false)),
            (0xe800_a001, "b,l .+8-0x800000,%r2", b(-0x80_0000, 2, false)),
            (0x2022_6246, "ldil L'0x12345678,%r1", ldil(0x1234_5000, 1)),
            (0x229f_ffff, "ldil L'-0x800,%r20", ldil(-0x800, 20)),
            (0x202d_fbd5, "ldil L'0xdeadb800,%r1", ldil(-0x2152_4800, 1)),
            (0x2820_4000, "addil L'0x40000,%r1", addil(0x40000, 1)),
            (0x2b60_cfff, "addil L'-0x40000,%r27", addil(-0x40000, 27)),
            (0x3421_3ffe, "ldo 8191(%r1),%r1", ldo(8191, 1, 1)),
            (0x3423_0001, "ldo -8192(%r1),%r3", ldo(-8192, 1, 3)),
            (0x3421_0aaa, "ldo 0x555(%r1),%r1", ldo(0x555, 1, 1)),
            (0xe020_2ffa, "be,n 0x7fc(%sr4,%r1)", be(0x7fc, 1, 0, true)),
            (0xe3ff_3ff5, "be -8(%sr4,%r31)", be(-8, 31, 0, false)),
            (
                0xe43f_3ffc,
                "ble 0x3fffc(%sr4,%r1)",
                be(0x3fffc, 1, 31, false),
            ),
            (0xe820_c002, "bv,n %r0(%r1)", bv(1, true)),
            (0xe840_c000, "bv %r0(%rp)", bv(2, false)),
            (0xe820_d002, "bve,n (%r1)", bv(1, true)),
            (0xe843_c000, "bv %r3(%rp)", Instruction::Other),
            (0xe820_2000, "b,gate .+8,%r1", Instruction::Other),
            (0x0c22_1288, "stw %r2,4(%r1)", Instruction::Other),
            (0x8460_3f25, "cmpib,= 0,%r3,x", Instruction::Other),
            (0x0800_0240, "nop", Instruction::Other),
        ];
        for (word, text, expected) in cases {
            assert_eq!(decode(word), expected, "{text}");
        }
    }
    #[test]
    fn reach_is_that_of_the_instruction() {
        let near = Reach::of_bits(17);
        assert!(near.covers(0x3fffc) && !near.covers(0x40000));
        assert!(near.covers(-0x40000) && !near.covers(-0x40004));
    }
}
