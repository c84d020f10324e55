//! A relocation as a row of data, and the one function that applies it.

use crate::field::{ones, sign_extend};
use crate::{Class, Endian, Field, RelocError, Sequence};

/// The formula of a relocation, before the field selector. The letters are the gABI's: S the
/// symbol, A the addend, P the relocated place; each is a member of [`Values`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Value {
    /// Nothing is computed and nothing written: the relocation only marks a place.
    Marker,
    /// S + A
    Absolute,
    /// S + A − P − bias. PA-RISC counts from two instructions on (bias 8); psABIs that count from
    /// elsewhere put it into the addend (bias 0).
    PcRelative {
        /// Bytes from the place to where the instruction counts from.
        bias: i64,
    },
    /// PAGE(S + A) − PAGE(P), PAGE being the address rounded down to a multiple of
    /// [`PAGE_BYTES`] (AArch64's `adrp`)
    PageRelative,
    /// GP + A
    Gp,
    /// GP + A − P
    GpPcRelative,
    /// S + A − GP
    GpRelative,
    /// S + A − the start of the segment that S is in
    SegmentRelative,
    /// S + A − the start of the output section that S is in
    SectionRelative,
    /// S + A − GOT
    GotRelative,
    /// GOT + A − P
    GotPcRelative,
    /// SLOT: the address of a descriptor or slot made for S + A
    Slot,
    /// PAGE(SLOT) − PAGE(P), of a slot made for S + A
    SlotPageRelative,
    /// SLOT − PAGE(GOT), of a slot made for S + A
    SlotGotPageRelative,
    /// SLOT − GP, of a slot made for S + A
    SlotGpRelative,
    /// SLOT + A − GP, of a slot made for S
    SlotGpRelativeAddend,
    /// SLOT + A − GOT
    SlotGotRelative,
    /// SLOT + A − P
    SlotPcRelative,
    /// size of the symbol + A
    Size,
    /// S + A − TP
    ThreadPointerRelative,
    /// TP − S + A
    ThreadPointerDistance,
    /// S + A − the beginning of the thread-local variables that S is one of
    ThreadBlockRelative,
    /// Instructions that may be replaced by others, with values of their own. Where they cannot be,
    /// nothing is written: it is no error.
    Sequence(&'static Sequence),
    /// A formula of dynamic linking, or of code for thread-local variables that has to be changed
    /// ([`ThreadRelaxation`](crate::ThreadRelaxation)). The row is there for its name; applying it is
    /// [`RelocError::Unsupported`].
    Foreign,
}

/// What the formulas compute from. A member that a formula does not name may be anything.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Values {
    /// S: the symbol's run address.
    pub symbol: u64,
    /// A: the addend.
    pub addend: i64,
    /// P: the run address of the relocated place.
    pub place: u64,
    /// GP: what the global pointer holds at run time (PA-RISC 32: `$global$`, in `%r27`; 64:
    /// `__gp`, in `%r27`; PowerPC 64: `.TOC.`, in `r2`).
    pub gp: u64,
    /// GOT: the address that offsets into the global offset table count from.
    pub got: u64,
    /// SLOT: the address of the table entry (GOT, DLT, PLT) or descriptor for the symbol.
    pub slot: u64,
    /// Run address of the segment that the symbol is in.
    pub segment_base: u64,
    /// Run address of the output section that the symbol is in.
    pub section_base: u64,
    /// The symbol's size.
    pub size: u64,
    /// TP: the address that stands for the thread pointer, seen from the first values of thread-local
    /// variables.
    pub thread_pointer: u64,
    /// Where these values begin.
    pub thread_block: u64,
}

/// What a slot of the global offset table holds.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Slot {
    /// The symbol's address.
    Address,
    /// For `__tls_get_addr`: the number of the module that has the symbol, and the offset in its
    /// thread-local variables.
    ThreadIndex,
    /// The distance of a thread-local variable from the thread pointer.
    ThreadOffset,
    /// For `__tls_get_addr`: the number of this module, and the offset 0.
    ThreadModule,
}

impl Slot {
    /// Words of the table that it takes.
    #[must_use]
    pub const fn words(self) -> u64 {
        match self {
            Self::Address | Self::ThreadOffset => 1,
            Self::ThreadIndex | Self::ThreadModule => 2,
        }
    }
}

/// What [`Value::PageRelative`] counts in, whatever the kernel's pages are: 4 KiB (psABI of AArch64,
/// "Page(expr)").
pub const PAGE_BYTES: u64 = 1 << PAGE_BITS;
const PAGE_BITS: u8 = 12;

/// The start of the [page](PAGE_BYTES) that `address` is in.
const fn page(address: u64) -> u64 {
    address & !(PAGE_BYTES - 1)
}

/// Which part of a value an instruction takes (the psABI of PA-RISC: "field selectors").
///
/// The selectors see the addend apart from the rest, since the rounding ones round only it: all
/// accesses to one object can then share one left part.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Selector {
    /// F: all of it.
    Full,
    /// L: the left 21 bits of 32, rounded down.
    Left,
    /// R: the right 11 bits, unsigned.
    Right,
    /// LR: L with the addend rounded to the nearest 8 KiB.
    LeftRounded,
    /// RR: what LR leaves, −4096 to 6142.
    RightRounded,
    /// The offset in a [page](PAGE_BYTES): the 12 low bits, unsigned (AArch64's `:lo12:`).
    PageOffset,
    /// 2¹⁵ more than all of it: the high parts of that and the *signed* 16 low bits of the value add
    /// up to it (PowerPC's `@ha`).
    Adjusted,
}

/// What PowerPC's `@ha` adds: half of what 16 bits hold.
const HALF: i64 = 0x8000;

/// Bits of the address that the right part holds.
const RIGHT_BITS: u8 = 11;
/// What LR and RR round the addend to, as bits.
const ROUND_BITS: u8 = 13;

impl Selector {
    /// Applies the selector to `base` + `addend` (for [`Left`](Self::Left) and
    /// [`LeftRounded`](Self::LeftRounded) the result is shifted down), wrapping at the width of
    /// an address.
    #[inline]
    #[must_use]
    pub const fn select(self, class: Class, base: i64, addend: i64) -> i64 {
        let low = sign_extend(addend.cast_unsigned(), ROUND_BITS);
        let rounded = addend.wrapping_sub(low);
        let sum = wrap(class, base.wrapping_add(addend));
        let right = ones(RIGHT_BITS).cast_signed();
        match self {
            Self::Full => sum,
            Self::Left => sum >> RIGHT_BITS,
            Self::Right => sum & right,
            Self::LeftRounded => wrap(class, base.wrapping_add(rounded)) >> RIGHT_BITS,
            Self::RightRounded => (base & right) + low,
            Self::PageOffset => sum & ones(PAGE_BITS).cast_signed(),
            Self::Adjusted => wrap(class, sum.wrapping_add(HALF)),
        }
    }

    /// Whether the whole value can be read back from what the selector gives.
    #[must_use]
    pub const fn keeps_all(self) -> bool {
        matches!(self, Self::Full)
    }
}

/// `value` cut to the width of an address, as a signed number.
const fn wrap(class: Class, value: i64) -> i64 {
    sign_extend(value.cast_unsigned(), class.address_bits())
}

/// When a value does not fit its field. A value is first cut to the width of an address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Overflow {
    /// Never: the bits that have no place are dropped.
    Ignore,
    /// Outside −2ⁿ⁻¹ to 2ⁿ⁻¹ − 1.
    Signed,
    /// Outside 0 to 2ⁿ − 1, as an unsigned number.
    Unsigned,
    /// Outside −2ⁿ to 2ⁿ − 1 (BFD's "bitfield": the reader may take it as signed or unsigned).
    Bitfield,
}

/// A pattern that an instruction word matches or does not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pattern {
    /// The bits that count.
    pub mask: u64,
    /// What these bits must be.
    pub bits: u64,
}

impl Pattern {
    /// Whether `instruction` is one of these.
    #[must_use]
    pub const fn matches(&self, instruction: u64) -> bool {
        instruction & self.mask == self.bits
    }
}

/// A change of an instruction, beside its field.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rewrite {
    /// The instructions that it changes.
    pub pattern: Pattern,
    /// The bits that it replaces.
    pub clear: u64,
    /// What it puts there.
    pub set: u64,
}

impl Rewrite {
    /// The instruction instead of `instruction`; `None` if it is not one that this changes.
    #[must_use]
    pub const fn rewrite(&self, instruction: u64) -> Option<u64> {
        if self.pattern.matches(instruction) {
            Some(instruction & !self.clear | self.set)
        } else {
            None
        }
    }
}

/// What a link with final addresses, that makes no shared object, puts in the place of a
/// relocation of position-independent code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StaticLink {
    /// The type that applies then, with the address of the symbol's table entry for S.
    pub number: u32,
    /// What is to be done to the instruction first. An instruction that must be changed and does
    /// not match is an error.
    pub rewrite: Option<Rewrite>,
}

/// Whether a branch that does not reach its target may go to a stub.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StubUse {
    /// Whatever the instruction is.
    Always,
    /// Never: out of reach is an error.
    Never,
    /// If the instruction matches one of the patterns.
    Instructions(&'static [Pattern]),
}

/// The reach of a branch.
///
/// Displacements are from the relocated place to the target that the branch really goes to, in
/// bytes: S + A − P + [`target_bias`](Self::target_bias).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Branch {
    /// The furthest displacement back, inclusive; zero or negative.
    pub min: i64,
    /// The furthest displacement of an aligned target forth, inclusive.
    pub max: i64,
    /// What is to be added to S + A to get the target: 0, or the bytes that the addend takes away
    /// because the instruction counts from its end (x86: 4).
    pub target_bias: i64,
    /// Whether it may go to a stub.
    pub stub: StubUse,
}

impl Branch {
    /// Whether a branch reaches a target so many bytes from the relocated place.
    #[must_use]
    pub const fn reaches(&self, displacement: i64) -> bool {
        self.min <= displacement && displacement <= self.max
    }
}

/// One row of a psABI's table of relocations.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Relocation {
    /// The type, as in `r_info`.
    pub number: u32,
    /// psABI name, as `readelf` shows it.
    pub name: &'static str,
    /// Width of the addresses that it computes with.
    pub class: Class,
    /// Value formula.
    pub value: Value,
    /// The formula by which Linux's module loader reads it, where that is another one.
    pub loader_value: Option<Value>,
    /// What the slot holds that the formula is about, if it is.
    pub slot: Slot,
    /// Which part of the value goes to the field.
    pub selector: Selector,
    /// Where it goes.
    pub field: Field,
    /// When it does not fit.
    pub overflow: Overflow,
    /// Whether low bits that have no place in the field must be zero. Where they need not, they are
    /// dropped, as GNU ld and Linux do with those of branches.
    pub exact: bool,
    /// The reach, if it is certain that the relocated instruction is a branch.
    pub branch: Option<Branch>,
    /// If a link with final addresses takes GP for 0 when the symbol is in code or not defined
    /// (GNU ld for PA-RISC: such data is not near the global pointer): how the instructions that
    /// add the global pointer change. Linux's module loader does not do this.
    pub far_from_gp: Option<Rewrite>,
    /// If it is replaced in a static link: by what.
    pub static_link: Option<StaticLink>,
}

impl Relocation {
    /// Bytes from `r_offset` on that the relocation reads and writes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.field.bytes as usize
    }

    /// Whether it reads and writes nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.field.bytes == 0
    }

    /// Whether the formula is about a slot of the global offset table.
    #[must_use]
    pub const fn names_slot(&self) -> bool {
        matches!(
            self.value,
            Value::SlotGotRelative | Value::SlotPcRelative | Value::SlotGpRelative
        )
    }

    /// Whether the value is the distance from the place to the symbol, so that it does not change
    /// when both move together.
    #[must_use]
    pub const fn is_pc_relative(&self) -> bool {
        matches!(self.value, Value::PcRelative { .. })
    }

    /// The row as Linux's module loader reads it.
    #[must_use]
    pub const fn as_loader_reads(&self) -> Self {
        let mut row = *self;
        if let Some(value) = self.loader_value {
            row.value = value;
        }
        row
    }

    /// The row for a symbol that is not near the global pointer ([`far_from_gp`]): with the address
    /// itself in place of the distance from GP. The same row if there is no such rule.
    ///
    /// [`far_from_gp`]: Self::far_from_gp
    #[must_use]
    pub const fn as_far_from_gp(&self) -> Self {
        let mut row = *self;
        if row.far_from_gp.is_some() {
            row.value = Value::Absolute;
        }
        row
    }

    /// The formula's result with the selector applied: what goes to the field, in bytes, before
    /// [`Field::shift`] is taken off. Zero where there is nothing to compute
    /// ([`Value::Marker`], [`Value::Foreign`], [`Value::Sequence`]).
    #[inline]
    #[must_use]
    pub fn compute(&self, v: &Values) -> i64 {
        let (base, addend) = self.base_and_addend(v);
        self.selector.select(self.class, base.cast_signed(), addend)
    }

    #[inline]
    fn base_and_addend(&self, v: &Values) -> (u64, i64) {
        match self.value {
            Value::Marker | Value::Foreign | Value::Sequence(_) => (0, 0),
            Value::Absolute => (v.symbol, v.addend),
            Value::PcRelative { bias } => {
                (v.symbol.wrapping_sub(v.place), v.addend.wrapping_sub(bias))
            }
            Value::PageRelative => {
                let target = v.symbol.wrapping_add_signed(v.addend);
                (page(target).wrapping_sub(page(v.place)), 0)
            }
            Value::Gp => (v.gp, v.addend),
            Value::GpPcRelative => (v.gp.wrapping_sub(v.place), v.addend),
            Value::GpRelative => (v.symbol.wrapping_sub(v.gp), v.addend),
            Value::SegmentRelative => (v.symbol.wrapping_sub(v.segment_base), v.addend),
            Value::SectionRelative => (v.symbol.wrapping_sub(v.section_base), v.addend),
            Value::GotRelative => (v.symbol.wrapping_sub(v.got), v.addend),
            Value::GotPcRelative => (v.got.wrapping_sub(v.place), v.addend),
            Value::Slot => (v.slot, 0),
            Value::SlotPageRelative => (page(v.slot).wrapping_sub(page(v.place)), 0),
            Value::SlotGotPageRelative => (v.slot.wrapping_sub(page(v.got)), 0),
            Value::SlotGpRelative => (v.slot.wrapping_sub(v.gp), 0),
            Value::SlotGpRelativeAddend => (v.slot.wrapping_sub(v.gp), v.addend),
            Value::SlotGotRelative => (v.slot.wrapping_sub(v.got), v.addend),
            Value::SlotPcRelative => (v.slot.wrapping_sub(v.place), v.addend),
            Value::Size => (v.size, v.addend),
            Value::ThreadPointerRelative => (v.symbol.wrapping_sub(v.thread_pointer), v.addend),
            Value::ThreadPointerDistance => (v.thread_pointer.wrapping_sub(v.symbol), v.addend),
            Value::ThreadBlockRelative => (v.symbol.wrapping_sub(v.thread_block), v.addend),
        }
    }

    /// Applies the relocation to `bytes`, which begin at `r_offset` and may go on to the end of
    /// the section. Bits outside the field stay.
    ///
    /// # Errors
    /// [`RelocError::OutOfRange`], [`RelocError::Misaligned`], [`RelocError::OutOfBounds`] and
    /// [`RelocError::Unsupported`]; `bytes` are unchanged then.
    #[inline]
    pub fn apply(&self, endian: Endian, bytes: &mut [u8], v: &Values) -> Result<(), RelocError> {
        match self.value {
            Value::Marker => return Ok(()),
            Value::Foreign => return Err(RelocError::Unsupported { name: self.name }),
            Value::Sequence(sequence) => return sequence.apply(endian, bytes, v),
            _ => {}
        }
        let value = self.compute(v);
        if self.field.is_whole() {
            if let Err(error) = self.check(value) {
                // That there is no such place counts first.
                self.field.read(endian, bytes)?;
                return Err(error);
            }
            return self.field.write(endian, bytes, value.cast_unsigned());
        }
        let instruction = self.field.read(endian, bytes)?;
        self.check(value)?;
        self.field
            .write(endian, bytes, self.field.encode(instruction, value))
    }

    /// Refuses a value that does not fit.
    #[inline]
    fn check(&self, value: i64) -> Result<(), RelocError> {
        let bits = u32::from(self.field.bits);
        let shift = self.field.shift;
        if self.exact && value.cast_unsigned() & ones(shift) != 0 {
            return Err(RelocError::Misaligned {
                value: value.cast_unsigned() & ones(self.class.address_bits()),
                unit: 1 << shift,
            });
        }
        // as the field's units, cut to an address: what Linux's loaders print
        let printed = (value.cast_unsigned() & ones(self.class.address_bits())) >> shift;
        let stored = value >> shift;
        let fits = match self.overflow {
            Overflow::Ignore => true,
            Overflow::Signed => sign_extend(stored.cast_unsigned(), self.field.bits) == stored,
            Overflow::Unsigned => printed & !ones(self.field.bits) == 0,
            Overflow::Bitfield => {
                let above = stored.checked_shr(bits).unwrap_or(stored >> 63);
                above == 0 || above == -1
            }
        };
        if fits {
            Ok(())
        } else {
            Err(RelocError::OutOfRange {
                value: printed,
                bits,
            })
        }
    }

    /// The addend that the field holds, where relocations have no addend of their own (`SHT_REL`).
    ///
    /// # Errors
    /// [`RelocError::OutOfBounds`], or [`RelocError::NoImplicitAddend`] where the field holds only
    /// a part of a value.
    #[inline]
    pub fn implicit_addend(&self, endian: Endian, bytes: &[u8]) -> Result<i64, RelocError> {
        self.keeps_addend()?;
        Ok(self.field.decode(self.field.read(endian, bytes)?))
    }

    /// Writes `addend` into the field, as `-r` does where relocations have no addend of their own.
    ///
    /// # Errors
    /// As [`implicit_addend`](Self::implicit_addend), and [`RelocError::OutOfRange`]; `bytes` are
    /// unchanged then. A relocation that writes nothing keeps no addend but zero.
    pub fn set_implicit_addend(
        &self,
        endian: Endian,
        bytes: &mut [u8],
        addend: i64,
    ) -> Result<(), RelocError> {
        self.keeps_addend()?;
        if self.is_empty() && addend != 0 {
            return Err(RelocError::NoImplicitAddend { name: self.name });
        }
        let instruction = self.field.read(endian, bytes)?;
        let addend = wrap(self.class, addend);
        self.check(addend)?;
        self.field
            .write(endian, bytes, self.field.encode(instruction, addend))
    }

    fn keeps_addend(&self) -> Result<(), RelocError> {
        if self.selector.keeps_all() {
            Ok(())
        } else {
            Err(RelocError::NoImplicitAddend { name: self.name })
        }
    }

    /// How far from the relocated place the branch at `bytes` goes, in bytes, once it is applied;
    /// `None` if this is no branch or `bytes` are too few.
    #[must_use]
    pub fn decode_branch(&self, endian: Endian, bytes: &[u8]) -> Option<i64> {
        let branch = self.branch?;
        let Value::PcRelative { bias } = self.value else {
            return None;
        };
        let stored = self.field.decode(self.field.read(endian, bytes).ok()?);
        Some(stored + bias + branch.target_bias)
    }

    /// Whether the branch at `bytes` may go to a stub when it does not reach its target; `false`
    /// if this is no branch or `bytes` are too few.
    #[must_use]
    pub fn may_use_stub(&self, endian: Endian, bytes: &[u8]) -> bool {
        let Some(branch) = self.branch else {
            return false;
        };
        let Ok(word) = self.field.read(endian, bytes) else {
            return false;
        };
        match branch.stub {
            StubUse::Never => false,
            StubUse::Always => true,
            StubUse::Instructions(patterns) => patterns.iter().any(|pattern| pattern.matches(word)),
        }
    }
}
