//! PA-RISC branches and stubs, decoded from the architecture manual alone.
//!
//! `klink-arch` can decode branches too; a proof that used the linker's own
//! tables would repeat the linker's mistakes, so nothing here is shared with it.
//! Bit layouts: PA-RISC 2.0 Architecture, appendix C ("Instruction Formats"),
//! where bit 0 is the most significant; the shifts below count from the least.

/// `%r0`'s `or`, the no-op that GNU as pads code with.
pub(super) const NOP: u32 = 0x0800_0240;

/// Relocation types of the PA-RISC ELF supplement that are told apart here.
pub(super) const DIR21L: u32 = 2;
pub(super) const DIR14R: u32 = 6;
pub(super) const PCREL32: u32 = 9;
pub(super) const PCREL12F: u32 = 8;
pub(super) const PCREL17F: u32 = 12;
pub(super) const PCREL22F: u32 = 74;

/// The types that Linux's 32-bit loader relocates (`apply_relocate_add` in
/// `arch/parisc/kernel/module.c`); any other makes it refuse the module.
pub(super) const LOADABLE: &[u32] = &[
    DIR21L, DIR14R, PCREL32, PCREL17F, PCREL22F, 1,  // DIR32
    18, // DPREL21L
    22, // DPREL14R
    41, // SECREL32
    49, // SEGREL32
    65, // PLABEL32
];

/// Types whose value rounds the addend (selectors LR and RR): two references to
/// neighbouring places share one `addil` only while both addends round alike,
/// so symbol and addend cannot be traded against each other freely.
pub(super) fn rounds_addend(r_type: u32) -> bool {
    matches!(r_type, 2 | 3 | 6 | 10 | 14 | 18 | 19 | 22)
}

/// `addend` without its multiple of 8 KiB: what stays in the RR half
/// (`rnd` in `arch/parisc/kernel/module.c`).
pub(super) fn addend_remainder(addend: i64) -> i64 {
    addend - ((addend + 0x1000) & !0x1fff)
}

/// A pc-relative branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Branch {
    /// Target minus the branch's own address, in bytes.
    pub(super) distance: i64,
    /// The bits of the instruction that hold the displacement.
    pub(super) field: u32,
    /// Whether a stub may stand between: an unconditional `b,l`, whose link
    /// register holds the return address wherever control goes, and which
    /// leaves `%r1` free.
    pub(super) may_use_stub: bool,
}

fn sign_extend(value: u32, bits: u32) -> i64 {
    let unused = 32 - bits;
    (value.wrapping_shl(unused).cast_signed() >> unused).into()
}

/// `w1`, `w2` and `w` of a 17-bit displacement, in words.
fn displacement17(word: u32) -> i64 {
    let (w1, w2, w) = (word >> 16 & 0x1f, word >> 2 & 0x7ff, word & 1);
    sign_extend(w << 16 | w1 << 11 | (w2 & 1) << 10 | w2 >> 1, 17)
}

/// `w3`, `w1`, `w2` and `w` of a 22-bit displacement, in words.
fn displacement22(word: u32) -> i64 {
    let (w3, w1) = (word >> 21 & 0x1f, word >> 16 & 0x1f);
    let (w2, w) = (word >> 2 & 0x7ff, word & 1);
    sign_extend(w << 21 | w3 << 16 | w1 << 11 | (w2 & 1) << 10 | w2 >> 1, 22)
}

/// `w1` and `w` of a 12-bit displacement, in words.
fn displacement12(word: u32) -> i64 {
    let (w1, w) = (word >> 2 & 0x7ff, word & 1);
    sign_extend(w << 11 | (w1 & 1) << 10 | w1 >> 1, 12)
}

/// The 21-bit immediate of `ldil` and `addil`, in place: shifted left by 11.
fn immediate21(word: u32) -> i64 {
    let x = word & 0x1f_ffff;
    let top = (x & 1) << 20 | (x >> 1 & 0x7ff) << 9;
    let low = (x >> 14 & 3) << 7 | (x >> 16 & 0x1f) << 2 | (x >> 12 & 3);
    sign_extend((top | low) << 11, 32)
}

/// Decodes `word` as the branch that a relocation of this type belongs on.
pub(super) fn branch(word: u32, r_type: u32) -> Option<Branch> {
    let (opcode, extension) = (word >> 26, word >> 13 & 7);
    let (words, field, may_use_stub) = match (r_type, opcode, extension) {
        // b,l; b,gate must stay where it is, but may reach directly
        (PCREL17F, 0x3a, 0 | 1) => (displacement17(word), 0x001f_1ffd, extension == 0),
        // b,l and b,l,push with 22 bits
        (PCREL22F, 0x3a, 4 | 5) => (displacement22(word), 0x03ff_1ffd, extension == 5),
        // compare-, add-, move- and bit-test-and-branch
        (PCREL12F, 0x20..=0x23 | 0x27..=0x33 | 0x3b, _) => (displacement12(word), 0x1ffd, false),
        _ => return None,
    };
    Some(Branch {
        distance: 8 + 4 * words,
        field,
        may_use_stub,
    })
}

/// A stub, by where it says that it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stub {
    /// `ldil L%x,%r1; ldo R%x(%r1),%r1; bv,n %r0(%r1)`: the relocations at its
    /// first and second instruction (DIR21L, DIR14R) say where.
    Absolute,
    /// `b,l .+8,%r1; addil L%d,%r1; be,n R%d(%sr4,%r1)`: so many bytes from the
    /// stub's first instruction.
    Relative(i64),
}

/// Where the stub of a linked image goes: the address, and the stub's bytes.
/// `ldil L%x,%r1; be,n R%x(%sr4,%r1)`, or the pc-relative form.
pub(super) fn image_stub(words: [u32; 3], address: u32) -> Option<(u32, u32)> {
    const LDIL_R1: u32 = 0x2020_0000;
    const BE_N_SR4_R1: u32 = 0xe020_2002;
    const IM21: u32 = 0x001f_ffff;
    const IM17: u32 = 0x001f_1ffd;
    let [first, second, _] = words;
    if first & !IM21 == LDIL_R1 && second & !IM17 == BE_N_SR4_R1 {
        let target = immediate21(first) + 4 * displacement17(second);
        return Some(((target & 0xffff_ffff) as u32, 8));
    }
    match stub(words)? {
        Stub::Relative(distance) => {
            let target = i64::from(address) + distance;
            Some(((target & 0xffff_ffff) as u32, 12))
        }
        Stub::Absolute => None,
    }
}

/// Bytes of either stub.
pub(super) const STUB_SIZE: u64 = 12;

/// Decodes three instructions as a stub.
pub(super) fn stub(words: [u32; 3]) -> Option<Stub> {
    const LDIL_R1: u32 = 0x2020_0000;
    const LDO_R1_R1: u32 = 0x3421_0000;
    const BV_N_R1: u32 = 0xe820_c002;
    const BL_NEXT_R1: u32 = 0xe820_0000;
    const ADDIL_R1: u32 = 0x2820_0000;
    const BE_N_SR4_R1: u32 = 0xe020_2002;
    const IM21: u32 = 0x001f_ffff;
    const IM17: u32 = 0x001f_1ffd;
    let [first, second, third] = words;
    // The linker leaves fields with relocations as they are: zero.
    if words == [LDIL_R1, LDO_R1_R1, BV_N_R1] {
        return Some(Stub::Absolute);
    }
    if first == BL_NEXT_R1 && second & !IM21 == ADDIL_R1 && third & !IM17 == BE_N_SR4_R1 {
        // %r1 is the address after the delay slot: the stub's own plus 8.
        let distance = 8 + immediate21(second) + 4 * displacement17(third);
        return Some(Stub::Relative(distance));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words and their meaning as hppa-linux-gnu-as and objdump 2.40 have them.
    #[test]
    fn branches_decode_as_objdump_does() {
        let at = |word, r_type| branch(word, r_type).map(|b| b.distance);
        assert_eq!(at(0xe840_0000, PCREL17F), Some(8)); // b,l .+8,%rp
        assert_eq!(at(0xe85f_1ffd, PCREL17F), Some(4)); // b,l .+4,%rp
        assert_eq!(at(0xe840_0008, PCREL17F), Some(12)); // b,l .+0xc,%rp
        assert_eq!(at(0xe840_0004, PCREL17F), Some(8 + 4096)); // b,l .+0x1008,%rp
        assert_eq!(at(0xe840_0001, PCREL17F), Some(8 - 0x40000)); // furthest back
        assert_eq!(at(0xe85f_1ffc, PCREL17F), Some(8 + 0x3fffc)); // furthest forth
        assert_eq!(at(0xe800_a000, PCREL22F), Some(8));
        assert_eq!(branch(0xe840_c000, PCREL17F), None); // bv %r0(%rp)
    }

    #[test]
    fn gate_and_conditional_branches_never_use_stubs() {
        let may = |word, r_type| branch(word, r_type).map(|b| b.may_use_stub);
        assert_eq!(may(0xe840_0000, PCREL17F), Some(true));
        assert_eq!(may(0xe840_2000, PCREL17F), Some(false)); // b,gate
        assert_eq!(may(0x8000_2000, PCREL12F), Some(false)); // comb
    }

    #[test]
    fn remainder_follows_the_loaders_rounding() {
        assert_eq!(addend_remainder(4), 4);
        assert_eq!(addend_remainder(0xfff), 0xfff);
        assert_eq!(addend_remainder(0x1000), -0x1000);
        assert_eq!(addend_remainder(-4), -4);
    }
}
