//! Thread-local variables: where they are for a program's code, and code that finds them more cheaply
//! where the link knows that.
//!
//! A program's own variables lie at a fixed distance from the thread pointer ("local exec"). Code
//! compiled for shared objects calls `__tls_get_addr` ("general dynamic", "local dynamic", or through a
//! descriptor), or loads the distance from the global offset table ("initial exec"). In a program a link
//! changes such code into local-exec code of the same length.
//!
//! Source: Drepper, "ELF Handling For Thread-Local Storage", 3 (the two variants), 4 (models) and 5
//! (relaxations).

use crate::Pattern;

/// How code finds a thread's variables.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ThreadLocal {
    /// Where the thread pointer points.
    pub pointer: ThreadPointer,
    /// The function that code of shared objects calls.
    pub function: &'static str,
    /// How code is changed in programs; the first that applies counts.
    pub relaxations: &'static [ThreadRelaxation],
}

/// Where the thread pointer points, seen from a program's own variables.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ThreadPointer {
    /// At so many bytes for the thread library, behind which the variables begin, aligned as they need
    /// ("variant I").
    Header(u64),
    /// At the end of the variables, which is aligned as they need ("variant II").
    End,
}

impl ThreadPointer {
    /// The address that stands for the thread pointer where the variables' first values are at `start`
    /// to `end`, aligned to `align`, a power of two.
    #[must_use]
    pub const fn address(self, start: u64, end: u64, align: u64) -> u64 {
        match self {
            Self::Header(bytes) => start.wrapping_sub(up_to(bytes, align)),
            Self::End => start.wrapping_add(up_to(end.wrapping_sub(start), align)),
        }
    }
}

/// `value` rounded up to a multiple of `align`, a power of two.
const fn up_to(value: u64, align: u64) -> u64 {
    let below = align.wrapping_sub(1);
    value.wrapping_add(below) & !below
}

/// A change of code that finds a thread-local variable into local-exec code.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ThreadRelaxation {
    /// The static type that it applies to.
    pub number: u32,
    /// Bytes from the beginning of the code to the relocated place.
    pub before: usize,
    /// What the code must be. Empty: the code stays, and another type applies.
    pub old: &'static [Pattern],
    /// What it becomes, of the same length.
    pub new: &'static [u8],
    /// Bits of the old code that go on in the new.
    pub moves: &'static [Move],
    /// The type that applies then, and where in the new code. `None`: none.
    pub then: Option<(u32, usize)>,
    /// If the code calls `__tls_get_addr`: the types that the next relocation, which is the call's, may
    /// have. It has no effect any more.
    pub call: &'static [u32],
}

/// Bits of a byte that go to other bits of the same byte.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Move {
    /// Which byte of the code.
    pub byte: usize,
    /// The bits, before they move.
    pub mask: u8,
    /// How far they move to the right.
    pub shift: u8,
}

/// Code that was changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ThreadRelaxed {
    /// The type that applies, and where its field is: bytes from the beginning of the section.
    pub then: Option<(u32, usize)>,
    /// Whether the addend only said where the old instruction counts from.
    pub drops_addend: bool,
    /// Whether the next relocation, of the call of `__tls_get_addr`, has no effect any more.
    pub drops_call: bool,
    relaxation: &'static ThreadRelaxation,
    start: usize,
}

impl ThreadLocal {
    /// Changes the code at `offset` of `section` that has a relocation of type `number`, if it is known;
    /// `next` are place and type of the relocation that follows, if it names [`function`](Self::function).
    #[must_use]
    pub fn relax(
        &self,
        number: u32,
        section: &[u8],
        offset: usize,
        next: Option<(usize, u32)>,
    ) -> Option<ThreadRelaxed> {
        let mut all = self.relaxations.iter();
        all.find_map(|one| one.relax(number, section, offset, next))
    }

    /// Whether relocations of type `number` are only there to be changed.
    #[must_use]
    pub fn relaxes(&self, number: u32) -> bool {
        self.relaxations.iter().any(|one| one.number == number)
    }
}

impl ThreadRelaxation {
    fn relax(
        &'static self,
        number: u32,
        section: &[u8],
        offset: usize,
        next: Option<(usize, u32)>,
    ) -> Option<ThreadRelaxed> {
        if number != self.number {
            return None;
        }
        let start = offset.checked_sub(self.before)?;
        let code = section.get(start..start.checked_add(self.old.len())?)?;
        let mut bytes = code.iter().zip(self.old);
        let is_known = bytes.all(|(&byte, pattern)| pattern.matches(u64::from(byte)));
        let behind = offset + 1..start + self.old.len();
        let is_called = next
            .is_some_and(|(place, number)| behind.contains(&place) && self.call.contains(&number));
        (is_known && (is_called || self.call.is_empty())).then_some(ThreadRelaxed {
            then: self.then.map(|(number, at)| (number, start + at)),
            drops_addend: !self.old.is_empty(),
            drops_call: is_called,
            relaxation: self,
            start,
        })
    }
}

impl ThreadRelaxed {
    /// Changes the bytes of the section.
    pub fn write(&self, section: &mut [u8]) {
        let ThreadRelaxation { new, moves, .. } = *self.relaxation;
        let Some(code) = section.get_mut(self.start..self.start + new.len()) else {
            return;
        };
        let mut changed = new.iter();
        for (at, byte) in code.iter_mut().enumerate() {
            let kept = moves.iter().filter(|one| one.byte == at);
            let kept = kept.fold(0, |bits, one| bits | (*byte & one.mask) >> one.shift);
            *byte = changed.next().copied().unwrap_or(0) | kept;
        }
    }
}

/// Reads code: two hexadecimal digits a byte, `/` and a mask behind those of which not all bits count, and
/// `..` for any byte.
const fn code<const N: usize>(text: &str) -> [Pattern; N] {
    let text = text.as_bytes();
    let mut patterns = [Pattern { mask: 0, bits: 0 }; N];
    let (mut at, mut byte) = (0, 0);
    while byte < N {
        let has_mask = at + 2 < text.len() && text[at + 2] == b'/';
        if text[at] != b'.' {
            patterns[byte] = Pattern {
                mask: if has_mask { number(text, at + 3) } else { 0xff },
                bits: number(text, at),
            };
        }
        at += if has_mask { 6 } else { 3 };
        byte += 1;
    }
    assert!(at == text.len() + 1, "bytes left, or too few");
    patterns
}

/// Two hexadecimal digits.
const fn number(text: &[u8], at: usize) -> u64 {
    match (
        (text[at] as char).to_digit(16),
        (text[at + 1] as char).to_digit(16),
    ) {
        (Some(high), Some(low)) => (high * 16 + low) as u64,
        _ => panic!("no digits"),
    }
}

/// REX.R, which belongs to the register of ModRM, and becomes REX.B.
const REX_R: u8 = 0x04;
/// The register of ModRM that is not in memory, and becomes the other one.
const REG: u8 = 0x38;

/// A register's bits move to those of the operand that could be in memory.
const fn to_operand(byte: usize, mask: u8) -> Move {
    let shift = if mask == REX_R { 2 } else { 3 };
    Move { byte, mask, shift }
}

/// They stay where they are.
const fn stays(byte: usize, mask: u8) -> Move {
    Move {
        byte,
        mask,
        shift: 0,
    }
}

/// A row for code that calls nothing.
const PLAIN: ThreadRelaxation = ThreadRelaxation {
    number: 0,
    before: 0,
    old: &[],
    new: &[],
    moves: &[],
    then: None,
    call: &[],
};

/// A row for code that stays: what counted from the variables' beginning, which `__tls_get_addr` gave,
/// counts from the thread pointer.
const fn in_code(number: u32, then: u32) -> ThreadRelaxation {
    ThreadRelaxation {
        number,
        then: Some((then, 0)),
        ..PLAIN
    }
}

/// `call` through a descriptor becomes `xchg %ax,%ax`.
const fn descriptor_call(number: u32, old: &'static [Pattern]) -> ThreadRelaxation {
    ThreadRelaxation {
        number,
        old,
        new: &[0x66, 0x90],
        ..PLAIN
    }
}

/// Source: BFD `elf64-x86-64.c`, elf_x86_64_check_tls_transition and elf_x86_64_relocate_section.
pub(crate) static X86_64: ThreadLocal = {
    const TPOFF32: u32 = 23;
    const DIRECT: &[u32] = &[2, 4];
    const INDIRECT: &[u32] = &[41];
    /// `mov %fs:0,%rax; lea x@tpoff(%rax),%rax`
    const VARIABLE: &[u8] = &[
        0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0, 0x48, 0x8d, 0x80, 0, 0, 0, 0,
    ];
    const fn general(call: &'static [u32], old: &'static [Pattern]) -> ThreadRelaxation {
        ThreadRelaxation {
            number: 19,
            before: 4,
            old,
            new: VARIABLE,
            then: Some((TPOFF32, 12)),
            call,
            ..PLAIN
        }
    }
    /// `mov %fs:0,%rax`, with prefixes that fill the room of the call.
    const BLOCK: &[u8] = &[
        0x66, 0x66, 0x66, 0x66, 0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0,
    ];
    const fn local(call: &'static [u32], old: &'static [Pattern]) -> ThreadRelaxation {
        ThreadRelaxation {
            number: 20,
            before: 3,
            old,
            new: BLOCK.split_at(BLOCK.len() - old.len()).1,
            call,
            ..PLAIN
        }
    }
    const MOVES: &[Move] = &[to_operand(0, REX_R), to_operand(2, REG)];
    const fn load(
        number: u32,
        old: &'static [Pattern],
        new: &'static [u8],
        moves: &'static [Move],
    ) -> ThreadRelaxation {
        ThreadRelaxation {
            number,
            before: 3,
            old,
            new,
            moves,
            then: Some((TPOFF32, 3)),
            ..PLAIN
        }
    }
    const MOV: &[u8] = &[0x48, 0xc7, 0xc0];
    const ADD: &[u8] = &[0x48, 0x81, 0xc0];
    const LEA: &[u8] = &[0x48, 0x8d, 0x80];
    ThreadLocal {
        pointer: ThreadPointer::End,
        function: "__tls_get_addr",
        relaxations: &[
            general(
                DIRECT,
                &code::<16>("66 48 8d 3d .. .. .. .. 66 66 48 e8 .. .. .. .."),
            ),
            general(
                INDIRECT,
                &code::<16>("66 48 8d 3d .. .. .. .. 66 48 ff 15 .. .. .. .."),
            ),
            general(
                DIRECT,
                &code::<16>("66 48 8d 3d .. .. .. .. 66 48 67 e8 .. .. .. .."),
            ),
            local(DIRECT, &code::<12>("48 8d 3d .. .. .. .. e8 .. .. .. ..")),
            local(
                INDIRECT,
                &code::<13>("48 8d 3d .. .. .. .. ff 15 .. .. .. .."),
            ),
            local(
                DIRECT,
                &code::<13>("48 8d 3d .. .. .. .. 67 e8 .. .. .. .."),
            ),
            // mov x@gottpoff(%rip),%reg
            load(22, &code::<3>("48/fb 8b 05/c7"), MOV, MOVES),
            // add x@gottpoff(%rip),%reg: as a base, %rsp and %r12 would take a byte more
            load(22, &code::<3>("48/fb 03 25"), ADD, MOVES),
            load(
                22,
                &code::<3>("48/fb 03 05/c7"),
                LEA,
                &[
                    stays(0, REX_R),
                    to_operand(0, REX_R),
                    stays(2, REG),
                    to_operand(2, REG),
                ],
            ),
            // lea x@tlsdesc(%rip),%reg
            load(34, &code::<3>("48/fb 8d 05/c7"), MOV, MOVES),
            descriptor_call(35, &code::<2>("ff 10")),
            in_code(21, TPOFF32),
            in_code(17, 18),
        ],
    }
};

/// Source: BFD `elf32-i386.c`, elf_i386_check_tls_transition and elf_i386_relocate_section.
pub(crate) static I386: ThreadLocal = {
    const LE: u32 = 17;
    /// Counts from the variable to the thread pointer.
    const LE_32: u32 = 34;
    const DIRECT: &[u32] = &[2, 4];
    const INDIRECT: &[u32] = &[43];
    /// `mov %gs:0,%eax; sub $x@tpoff,%eax`
    const VARIABLE: &[u8] = &[0x65, 0xa1, 0, 0, 0, 0, 0x81, 0xe8, 0, 0, 0, 0];
    const fn general(
        before: usize,
        call: &'static [u32],
        old: &'static [Pattern],
    ) -> ThreadRelaxation {
        ThreadRelaxation {
            number: 18,
            before,
            old,
            new: VARIABLE,
            then: Some((LE_32, 8)),
            call,
            ..PLAIN
        }
    }
    const fn local(
        call: &'static [u32],
        old: &'static [Pattern],
        new: &'static [u8],
    ) -> ThreadRelaxation {
        ThreadRelaxation {
            number: 19,
            before: 2,
            old,
            new,
            call,
            ..PLAIN
        }
    }
    /// `mov %gs:0,%eax`, and `nop; lea 0(%esi,1),%esi` or `lea 0(%esi),%esi`
    const BLOCK: &[u8] = &[0x65, 0xa1, 0, 0, 0, 0, 0x90, 0x8d, 0x74, 0x26, 0];
    const BLOCK_LONG: &[u8] = &[0x65, 0xa1, 0, 0, 0, 0, 0x8d, 0xb6, 0, 0, 0, 0];
    const MOVES: &[Move] = &[to_operand(1, REG)];
    const fn load(
        number: u32,
        then: u32,
        old: &'static [Pattern],
        new: &'static [u8],
    ) -> ThreadRelaxation {
        ThreadRelaxation {
            number,
            before: 2,
            old,
            new,
            moves: MOVES,
            then: Some((then, 2)),
            ..PLAIN
        }
    }
    const MOV: &[u8] = &[0xc7, 0xc0];
    const ADD: &[u8] = &[0x81, 0xc0];
    const SUB: &[u8] = &[0x81, 0xe8];
    ThreadLocal {
        pointer: ThreadPointer::End,
        function: "___tls_get_addr",
        relaxations: &[
            general(
                3,
                DIRECT,
                &code::<12>("8d 04 1d .. .. .. .. e8 .. .. .. .."),
            ),
            general(
                2,
                DIRECT,
                &code::<12>("8d 83 .. .. .. .. e8 .. .. .. .. 90"),
            ),
            general(
                2,
                DIRECT,
                &code::<12>("8d 80/f8 .. .. .. .. 67 e8 .. .. .. .."),
            ),
            general(
                2,
                INDIRECT,
                &code::<12>("8d 80/f8 .. .. .. .. ff 90/f8 .. .. .. .."),
            ),
            local(
                DIRECT,
                &code::<11>("8d 83 .. .. .. .. e8 .. .. .. .."),
                BLOCK,
            ),
            local(
                DIRECT,
                &code::<12>("8d 80/f8 .. .. .. .. 67 e8 .. .. .. .."),
                BLOCK_LONG,
            ),
            local(
                INDIRECT,
                &code::<12>("8d 80/f8 .. .. .. .. ff 90/f8 .. .. .. .."),
                BLOCK_LONG,
            ),
            // mov x@indntpoff,%eax
            ThreadRelaxation {
                number: 15,
                before: 1,
                old: &code::<1>("a1"),
                new: &[0xb8],
                then: Some((LE, 1)),
                ..PLAIN
            },
            load(15, LE, &code::<2>("8b 05/c7"), MOV),
            load(15, LE, &code::<2>("03 05/c7"), ADD),
            // x@gotntpoff(%reg) and x@gottpoff(%reg)
            load(16, LE, &code::<2>("8b 80/c0"), MOV),
            load(16, LE, &code::<2>("2b 80/c0"), SUB),
            load(16, LE, &code::<2>("03 80/c0"), ADD),
            load(33, LE_32, &code::<2>("8b 80/c0"), MOV),
            load(33, LE_32, &code::<2>("2b 80/c0"), SUB),
            load(33, LE_32, &code::<2>("03 80/c0"), ADD),
            // lea x@tlsdesc(%ebx),%reg: lea x@ntpoff,%reg
            ThreadRelaxation {
                moves: &[stays(1, REG)],
                ..load(39, LE, &code::<2>("8d 83/c7"), &[0x8d, 0x05])
            },
            descriptor_call(40, &code::<2>("ff 10")),
            in_code(32, LE),
        ],
    }
};

/// Source: BFD `elf32-hppa.c`, tpoff; elf32_hppa_optimized_tls_reloc changes nothing.
pub(crate) static HPPA: ThreadLocal = ThreadLocal {
    pointer: ThreadPointer::Header(8),
    function: "__tls_get_addr",
    relaxations: &[],
};
