//! Stubs: a few instructions that carry a branch further than its reach.

use crate::{Arch, RelocError, Values};

/// A relocation inside a stub.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StubRelocation {
    /// Bytes from the start of the stub.
    pub offset: u32,
    /// Relocation type.
    pub number: u32,
    /// What is to be added to the addend of the branch.
    pub addend: i64,
    /// What it is against.
    pub against: StubSymbol,
}

impl StubRelocation {
    /// A relocation against what the branch goes to, without an addend of its own.
    #[must_use]
    pub const fn target(offset: u32, number: u32) -> Self {
        Self {
            offset,
            number,
            addend: 0,
            against: StubSymbol::Target,
        }
    }

    /// A relocation against the start of the stub.
    #[must_use]
    pub const fn stub(offset: u32, number: u32) -> Self {
        Self {
            against: StubSymbol::Stub,
            ..Self::target(offset, number)
        }
    }

    /// The same with an addend.
    #[must_use]
    pub const fn plus(self, addend: i64) -> Self {
        Self { addend, ..self }
    }
}

/// What a relocation inside a stub is against.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum StubSymbol {
    /// What the branch goes to.
    Target,
    /// The stub itself: it finds its own data.
    Stub,
}

/// The bytes of a stub and the relocations inside it.
///
/// To leave a stub's relocations to a later link or to the kernel's loader, copy
/// [`code`](Self::code) and emit [`relocations`](Self::relocations) with the symbol of the branch
/// and the sum of both addends. To finish a stub now, use [`resolve`](Self::resolve), or
/// [`instantiate`](Self::instantiate) if only the distance to the target is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct StubTemplate {
    /// What klink calls it in messages.
    pub name: &'static str,
    /// The instructions, in the byte order of the architecture, their fields zero.
    pub code: &'static [u8],
    /// What its address must be a multiple of; a power of two.
    pub align: u32,
    /// By rising offset.
    pub relocations: &'static [StubRelocation],
}

/// Functions that a resolver chooses when the program starts: calls go through a stub, and that through a
/// slot, which the program's own start code fills by a relocation of type
/// [`irelative`](crate::DynamicLinking::irelative).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IndirectFunctions {
    /// The stub; its target is the slot.
    pub stub: StubTemplate,
    /// The same where the program may be loaded anywhere, for callers that know the global offset table.
    pub moved: StubTemplate,
    /// What the slot holds until then: the address so many bytes into the stub. `None`: the resolver's,
    /// since it is the relocation's addend.
    pub first: Option<u64>,
}

impl IndirectFunctions {
    /// The stub for a program that may be loaded anywhere, or may not.
    #[must_use]
    pub const fn stub(&self, may_move: bool) -> &StubTemplate {
        if may_move { &self.moved } else { &self.stub }
    }
}

impl StubTemplate {
    /// Bytes of a stub.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.code.len()
    }

    /// Whether it has no code; no architecture has such a stub.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.code.is_empty()
    }

    /// Whether the distance to the target is all that it depends on, so that
    /// [`instantiate`](Self::instantiate) can finish it before any address is known.
    #[must_use]
    pub fn is_position_independent(&self, arch: &Arch) -> bool {
        self.relocations.iter().all(|relocation| {
            relocation.against == StubSymbol::Target
                && arch
                    .relocation(relocation.number)
                    .is_some_and(|row| row.is_pc_relative())
        })
    }

    /// Writes the stub at run address `place` that goes to run address `target` to the start of
    /// `out`.
    ///
    /// # Errors
    /// [`RelocError::OutOfBounds`] if `out` is too short, [`RelocError::OutOfRange`] if even the
    /// stub does not reach.
    pub fn resolve(
        &self,
        arch: &Arch,
        place: u64,
        target: u64,
        out: &mut [u8],
    ) -> Result<(), RelocError> {
        let values = Values {
            symbol: target,
            place,
            ..Values::default()
        };
        self.resolve_with(arch, &values, out)
    }

    /// As [`resolve`](Self::resolve), for stubs that need more than addresses of stub and target:
    /// `values` are those of a relocation at the start of the stub, against the target.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve).
    pub fn resolve_with(
        &self,
        arch: &Arch,
        values: &Values,
        out: &mut [u8],
    ) -> Result<(), RelocError> {
        let (needed, available) = (self.code.len(), out.len());
        let out = out
            .get_mut(..needed)
            .ok_or(RelocError::OutOfBounds { needed, available })?;
        out.copy_from_slice(self.code);
        for relocation in self.relocations {
            let Some(row) = arch.relocation(relocation.number) else {
                return Err(RelocError::Unsupported { name: self.name });
            };
            let offset = relocation.offset as usize;
            let field = out.get_mut(offset..).ok_or(RelocError::OutOfBounds {
                needed: offset,
                available: needed,
            })?;
            let (symbol, addend) = match relocation.against {
                StubSymbol::Target => (values.symbol, values.addend),
                StubSymbol::Stub => (values.place, 0),
            };
            let values = Values {
                symbol,
                addend: addend.wrapping_add(relocation.addend),
                place: values.place.wrapping_add(u64::from(relocation.offset)),
                ..*values
            };
            row.apply(arch.endian, field, &values)?;
        }
        Ok(())
    }

    /// Writes the stub that goes `displacement` bytes from its own start to the start of `out`.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve), and [`RelocError::Unsupported`] if the stub holds an address
    /// ([`is_position_independent`](Self::is_position_independent) is false).
    pub fn instantiate(
        &self,
        arch: &Arch,
        displacement: i64,
        out: &mut [u8],
    ) -> Result<(), RelocError> {
        if !self.is_position_independent(arch) {
            return Err(RelocError::Unsupported { name: self.name });
        }
        self.resolve(arch, 0, displacement.cast_unsigned(), out)
    }
}
