//! What differs between kernels.

use super::{Endian, WordSize};
use crate::number::{ByteOrder, round_up};

/// Forms of the table, named by the first Linux version that has them. Ordered by age.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Version {
    /// The form of 6.1 as released: names may be longer than 127 codes, and up to 511 bytes.
    ///
    /// Tables of Linux 4.20 to 6.0 with names below 128 codes look the same.
    V6_1,
    /// `kallsyms_seqs_of_names` after the markers (60443c88f3a8, with three bytes an entry
    /// 19bd8981dc2e). Also in stable kernels: 6.1.192 has it.
    V6_2,
    /// All that does not depend on addresses stands in front (404bad70fcf7), and `mksysmap` drops
    /// the symbols that the generator dropped before.
    V6_4,
    /// No [`AddressForm::Absolute`] any more ("kallsyms: get rid of code for absolute kallsyms").
    V6_9,
    /// The symbols of the table itself are in `System.map` and in the table (951bcae6c5a0,
    /// 04b8cb0945).
    V6_10,
    /// No [`AddressForm::BaseRelativePercpu`] any more ("kallsyms: Remove
    /// KALLSYMS_ABSOLUTE_PERCPU"): x86-64 was the last to need it.
    V6_15,
    /// No `kallsyms_relative_base`: [`AddressForm::PlaceRelative`] and [`AddressForm::Direct`];
    /// parts are aligned to four bytes (a081b5789255).
    V7_0,
}

/// What the text begins with that a kernel greets with; its release follows.
pub const BANNER: &[u8] = b"Linux version ";

/// Longest release that is looked at in a banner, in bytes.
const LONGEST: usize = 16;

/// The first two numbers of a release such as `6.1.192-rt`.
///
/// ```
/// use klink_tables::kallsyms::release;
/// assert_eq!(release(b"6.1.192-rt"), Some((6, 1)));
/// assert_eq!(release(b"6.18-rc3"), Some((6, 18)));
/// assert_eq!(release(b"7"), None);
/// assert_eq!(release(b"next"), None);
/// ```
#[must_use]
pub fn release(text: &[u8]) -> Option<(u32, u32)> {
    let mut numbers = text.split(|byte| !byte.is_ascii_digit()).map(|digits| {
        let digits = core::str::from_utf8(digits).ok()?;
        digits.parse().ok()
    });
    Some((numbers.next()??, numbers.next()??))
}

/// The first two numbers of the release in a text that begins as [`BANNER`].
#[must_use]
pub fn release_in_banner(text: &[u8]) -> Option<(u32, u32)> {
    let rest = text.strip_prefix(BANNER)?;
    release(&rest[..LONGEST.min(rest.len())])
}

impl Version {
    /// All forms, the oldest first.
    pub const ALL: [Self; 7] = [
        Self::V6_1,
        Self::V6_2,
        Self::V6_4,
        Self::V6_9,
        Self::V6_10,
        Self::V6_15,
        Self::V7_0,
    ];

    /// The form of Linux `major.minor`, as released by Torvalds; `None` before 6.1.
    ///
    /// ```
    /// use klink_tables::kallsyms::Version;
    /// assert_eq!(Version::of(6, 3), Some(Version::V6_2));
    /// assert_eq!(Version::of(5, 10), None);
    /// ```
    #[must_use]
    pub fn of(major: u32, minor: u32) -> Option<Self> {
        let newest_first = Self::ALL.into_iter().rev();
        newest_first
            .into_iter()
            .find(|version| version.first() <= (major, minor))
    }

    /// The first Linux version, major and minor, that has the form.
    #[must_use]
    pub const fn first(self) -> (u32, u32) {
        match self {
            Self::V6_1 => (6, 1),
            Self::V6_2 => (6, 2),
            Self::V6_4 => (6, 4),
            Self::V6_9 => (6, 9),
            Self::V6_10 => (6, 10),
            Self::V6_15 => (6, 15),
            Self::V7_0 => (7, 0),
        }
    }

    /// The parts in the order in which they stand. [`AddressForm`] may leave out
    /// [`Part::RelativeBase`].
    #[must_use]
    pub const fn parts(self) -> &'static [Part] {
        use Part::{
            Addresses, Markers, Names, NumSyms, RelativeBase, SeqsOfNames, TokenIndex, TokenTable,
        };
        match self {
            Self::V6_1 => &[
                Addresses,
                RelativeBase,
                NumSyms,
                Names,
                Markers,
                TokenTable,
                TokenIndex,
            ],
            Self::V6_2 => &[
                Addresses,
                RelativeBase,
                NumSyms,
                Names,
                Markers,
                SeqsOfNames,
                TokenTable,
                TokenIndex,
            ],
            Self::V6_4 | Self::V6_9 | Self::V6_10 | Self::V6_15 => &[
                NumSyms,
                Names,
                Markers,
                TokenTable,
                TokenIndex,
                Addresses,
                RelativeBase,
                SeqsOfNames,
            ],
            Self::V7_0 => &[
                NumSyms,
                Names,
                Markers,
                TokenTable,
                TokenIndex,
                Addresses,
                SeqsOfNames,
            ],
        }
    }

    /// Alignment of each part, in bytes (`output_label` in `scripts/kallsyms.c`).
    #[must_use]
    pub fn alignment(self, word: WordSize) -> usize {
        if self < Self::V7_0 { word.bytes() } else { 4 }
    }

    /// Whether names are looked up by `kallsyms_seqs_of_names`.
    #[must_use]
    pub fn has_seqs(self) -> bool {
        self >= Self::V6_2
    }

    /// Whether kernels of this version can read the form of addresses.
    #[must_use]
    pub fn allows(self, form: AddressForm, word: WordSize) -> bool {
        match form {
            AddressForm::Absolute => self < Self::V6_9,
            AddressForm::BaseRelative => self < Self::V7_0,
            AddressForm::BaseRelativePercpu => self < Self::V6_15 && word == WordSize::Eight,
            AddressForm::PlaceRelative => self >= Self::V7_0,
            AddressForm::Direct => self >= Self::V7_0 && word == WordSize::Four,
        }
    }
}

/// How the address of a symbol is written (`kallsyms_sym_address` in `kernel/kallsyms.c`).
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum AddressForm {
    /// `kallsyms_addresses`: words. Each is a relocation where the kernel is moved at boot, except
    /// that of a per-CPU symbol that the generator was told to keep absolute.
    ///
    /// Before 6.9, without `CONFIG_KALLSYMS_BASE_RELATIVE`.
    Absolute,
    /// `kallsyms_offsets`: 32 bits, unsigned, above `kallsyms_relative_base`, which is the lowest
    /// address in the table.
    ///
    /// Before 7.0, with `CONFIG_KALLSYMS_BASE_RELATIVE`, of which there is no choice since 6.9.
    BaseRelative,
    /// `kallsyms_offsets`: 32 bits, signed. What is not negative is the address itself, of a
    /// per-CPU symbol; a negative one counts down from `kallsyms_relative_base` − 1, which is the
    /// lowest address of the others.
    ///
    /// Before 6.15, with `CONFIG_KALLSYMS_ABSOLUTE_PERCPU` (x86-64 with SMP, ia64).
    BaseRelativePercpu,
    /// `kallsyms_offsets`: 32 bits, signed: the distance from the entry itself to the symbol.
    ///
    /// Since 7.0, in 64-bit kernels and in those with `CONFIG_RELOCATABLE`.
    PlaceRelative,
    /// `kallsyms_offsets`: the address itself, 32 bits.
    ///
    /// Since 7.0, in 32-bit kernels without `CONFIG_RELOCATABLE`.
    Direct,
}

impl AddressForm {
    /// Bytes of an entry.
    #[must_use]
    pub const fn entry_bytes(self, word: WordSize) -> usize {
        match self {
            Self::Absolute => word.bytes(),
            Self::BaseRelative | Self::BaseRelativePercpu | Self::PlaceRelative | Self::Direct => 4,
        }
    }

    /// Whether there is a `kallsyms_relative_base`.
    #[must_use]
    pub const fn has_base(self) -> bool {
        matches!(self, Self::BaseRelative | Self::BaseRelativePercpu)
    }
}

/// A part of the table.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Part {
    /// `kallsyms_addresses` or `kallsyms_offsets`
    Addresses,
    /// `kallsyms_relative_base`
    RelativeBase,
    /// `kallsyms_num_syms`
    NumSyms,
    /// `kallsyms_names`
    Names,
    /// `kallsyms_markers`
    Markers,
    /// `kallsyms_seqs_of_names`
    SeqsOfNames,
    /// `kallsyms_token_table`
    TokenTable,
    /// `kallsyms_token_index`
    TokenIndex,
}

impl Part {
    /// The kernel's symbol for the part.
    #[must_use]
    pub const fn symbol(self, form: AddressForm) -> &'static str {
        match self {
            Self::Addresses if matches!(form, AddressForm::Absolute) => "kallsyms_addresses",
            Self::Addresses => "kallsyms_offsets",
            Self::RelativeBase => "kallsyms_relative_base",
            Self::NumSyms => "kallsyms_num_syms",
            Self::Names => "kallsyms_names",
            Self::Markers => "kallsyms_markers",
            Self::SeqsOfNames => "kallsyms_seqs_of_names",
            Self::TokenTable => "kallsyms_token_table",
            Self::TokenIndex => "kallsyms_token_index",
        }
    }
}

/// The form of one kernel's table.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Format {
    /// Whose kernel reads it.
    pub version: Version,
    /// Bytes of an address.
    pub word: WordSize,
    /// Byte order.
    pub endian: Endian,
    /// How addresses are written. [`Version::allows`] says which forms a kernel reads.
    pub addresses: AddressForm,
    /// Whether symbols outside of text belong into it, too (`CONFIG_KALLSYMS_ALL`). It is no matter
    /// of bytes: [`Filter`](super::Filter) asks it.
    pub all_symbols: bool,
    /// Whether a name is sorted as if it ended before its first `.llvm.` (`CONFIG_LTO_CLANG`, in
    /// 6.1.192's `cleanup_symbol_name`). Linux 6.2 to 6.4 as released cut at the first dot
    /// already, and since 6.11 nothing is cut: there, leave it off.
    pub lto_clang: bool,
}

impl Format {
    /// The form that the kernel's configuration asks for.
    ///
    /// `base_relative` is `CONFIG_KALLSYMS_BASE_RELATIVE` (before 6.9), and since 7.0
    /// `CONFIG_64BIT` or `CONFIG_RELOCATABLE`; between, it is not asked. `absolute_percpu` is
    /// `CONFIG_KALLSYMS_ABSOLUTE_PERCPU`, and is not asked since 6.15.
    #[must_use]
    pub fn new(
        version: Version,
        word: WordSize,
        endian: Endian,
        base_relative: bool,
        absolute_percpu: bool,
        all_symbols: bool,
    ) -> Self {
        let addresses = if version >= Version::V7_0 {
            if base_relative || word == WordSize::Eight {
                AddressForm::PlaceRelative
            } else {
                AddressForm::Direct
            }
        } else if version < Version::V6_9 && !base_relative {
            AddressForm::Absolute
        } else if absolute_percpu && version < Version::V6_15 {
            AddressForm::BaseRelativePercpu
        } else {
            AddressForm::BaseRelative
        };
        Self {
            version,
            word,
            endian,
            addresses,
            all_symbols,
            lto_clang: false,
        }
    }

    /// The parts of such a table, in order.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        let has_base = self.addresses.has_base();
        let parts = self.version.parts().iter().copied();
        parts.filter(move |&part| part != Part::RelativeBase || has_base)
    }

    /// The word that stands at `offset` in `bytes`, in the kernel's byte order; `None` beyond their
    /// end.
    #[must_use]
    pub fn word_at(&self, bytes: &[u8], offset: usize) -> Option<u64> {
        self.endian.word(self.word, bytes, offset)
    }

    /// The next offset at which a part may begin.
    #[must_use]
    pub fn align(&self, offset: usize) -> usize {
        round_up(offset, self.version.alignment(self.word))
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::{release, release_in_banner};

    #[test]
    fn releases_are_two_numbers_and_what_follows() {
        for (text, wanted) in [
            ("6.1.192 (klink@klink)", Some((6, 1))),
            ("6.1.192\n", Some((6, 1))),
            ("6.18-rc3", Some((6, 18))),
            ("6.12-rc1-klink", Some((6, 12))),
            ("7", None),
            ("x.y", None),
            ("next", None),
        ] {
            assert_eq!(release(text.as_bytes()), wanted, "{text}");
            let banner = format!("Linux version {text}");
            assert_eq!(release_in_banner(banner.as_bytes()), wanted, "{banner}");
            assert_eq!(release_in_banner(text.as_bytes()), None, "{text}");
        }
    }
}
