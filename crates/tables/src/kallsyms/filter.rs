//! Which symbols of a kernel get into `System.map` and into the table.

use super::{Format, NAME_LIMIT, Version};

/// A symbol with its address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MappedSymbol<'a> {
    /// The letter that `nm` prints for it.
    pub kind: u8,
    /// Its name.
    pub name: &'a [u8],
    /// Its address.
    pub address: u64,
}

/// Whether `scripts/mksysmap` leaves a symbol in `System.map` and in what the generator of the
/// table reads. `kind` is the letter that `nm` prints.
///
/// Names that begin with `$` are dropped in each version. Since 6.10 the script's pattern for them
/// matches nothing any more, but `nm` does not print such mapping symbols in the first place.
///
/// The version that brought the patterns beginning with `__pi_` could not be checked; they are
/// taken to be as old as [`Version::V6_9`], the first that can use them.
///
/// ```
/// use klink_tables::kallsyms::{Version, in_system_map};
/// assert!(in_system_map(Version::V6_1, b'T', b"start_kernel"));
/// assert!(!in_system_map(Version::V6_1, b'a', b"init_size"));
/// assert!(!in_system_map(Version::V6_1, b't', b".L12"));
/// ```
#[must_use]
pub fn in_system_map(version: Version, kind: u8, name: &[u8]) -> bool {
    let drops = matches!(kind, b'a' | b'N' | b'U' | b'w')
        || begins(
            name,
            &[b"$", b".L", b"__crc_", b"__kstrtab_", b"__kstrtabns_"],
        )
        || name == b"L0"
        || version >= Version::V6_4 && is_made_by_tools(name, version)
        // 6.4 to 6.9: `nm` of the table's object says which
        || (Version::V6_4..Version::V6_10).contains(&version) && is_of_table(name);
    !drops
}

/// The symbols of compilers and linkers that may come and go between two links
/// (`is_ignored_symbol` in 6.1's `scripts/kallsyms.c`, later `scripts/mksysmap`).
fn is_made_by_tools(name: &[u8], version: Version) -> bool {
    // Nearly all names are none of these: what tells it soonest comes first.
    name.starts_with(b"__") && is_prefixed_by_tools(name, version)
        || ends(name, &[b"_from_arm", b"_from_thumb", b"_veneer"])
        || name.starts_with(b"_S") && [&b"_SDA_BASE_"[..], b"_SDA2_BASE_"].contains(&name)
        || name.contains(&b'.')
            && (contains(name, b".long_branch.") || contains(name, b".plt_branch."))
}

/// Those of them that begin with `__`.
fn is_prefixed_by_tools(name: &[u8], version: Version) -> bool {
    begins(
        name,
        &[
            b"__efistub_",
            b"__kvm_nvhe_$",
            b"__kvm_nvhe_.L",
            b"__kcfi_typeid_",
        ],
    ) || is_thunk(name, version)
        || version >= Version::V6_9
            && begins(
                name,
                &[
                    b"__pi_$",
                    b"__pi_.L",
                    b"__kvm_nvhe___kcfi_typeid_",
                    b"__pi___kcfi_typeid_",
                ],
            )
}

/// lld's names for stubs. Since 6.4 `__[[:alnum:]]*Thunk_` says which, before that a list.
fn is_thunk(name: &[u8], version: Version) -> bool {
    if version < Version::V6_4 {
        return begins(
            name,
            &[
                b"__AArch64ADRPThunk_",
                b"__ARMV5PILongThunk_",
                b"__ARMV7PILongThunk_",
                b"__ThumbV7PILongThunk_",
                b"__LA25Thunk_",
                b"__microLA25Thunk_",
            ],
        );
    }
    let Some(rest) = name.strip_prefix(b"__") else {
        return false;
    };
    let word = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric());
    let length = word.count();
    rest[..length].ends_with(b"Thunk") && rest.get(length) == Some(&b'_')
}

/// The symbols of the table's own parts.
fn is_of_table(name: &[u8]) -> bool {
    let Some(part) = name.strip_prefix(b"kallsyms_") else {
        return false;
    };
    let parts: [&[u8]; 9] = [
        b"addresses",
        b"offsets",
        b"relative_base",
        b"num_syms",
        b"names",
        b"markers",
        b"token_table",
        b"token_index",
        b"seqs_of_names",
    ];
    parts.contains(&part)
}

fn begins(name: &[u8], prefixes: &[&[u8]]) -> bool {
    // Most names fail by their first byte.
    let may_begin = |prefix: &&&[u8]| prefix.first() == name.first();
    let mut prefixes = prefixes.iter().filter(may_begin);
    prefixes.any(|prefix| name.starts_with(prefix))
}

fn ends(name: &[u8], suffixes: &[&[u8]]) -> bool {
    // As above, by their last byte.
    let may_end = |suffix: &&&[u8]| suffix.last() == name.last();
    let mut suffixes = suffixes.iter().filter(may_end);
    suffixes.any(|suffix| name.ends_with(suffix))
}

fn contains(name: &[u8], part: &[u8]) -> bool {
    name.windows(part.len()).any(|window| window == part)
}

/// Which symbols belong into the table.
///
/// ```
/// use klink_tables::kallsyms::*;
/// let format = Format::new(Version::V6_1, WordSize::Eight, Endian::Little, true, false, false);
/// let symbols = [
///     MappedSymbol { kind: b'T', name: b"_stext", address: 0x1000 },
///     MappedSymbol { kind: b't', name: b"helper", address: 0x1200 },
///     MappedSymbol { kind: b'T', name: b"_etext", address: 0x2000 },
///     MappedSymbol { kind: b'D', name: b"jiffies", address: 0x3000 },
/// ];
/// let filter = Filter::new(&format, symbols);
/// assert!(filter.keeps(&symbols[1]));
/// assert!(!filter.keeps(&symbols[3]));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    version: Version,
    all_symbols: bool,
    /// Addresses from `_stext` to `_etext`, both included.
    text: (u64, u64),
    /// Addresses from `_sinittext` to `_einittext`, both included.
    init_text: (u64, u64),
    /// Addresses from `__per_cpu_start` to `__per_cpu_end`, both included.
    percpu: (u64, u64),
}

impl Filter {
    /// Learns the address ranges from the kernel's symbols.
    ///
    /// A range whose symbols are missing begins and ends at 0, that of per-CPU symbols holds
    /// nothing, as in `scripts/kallsyms.c`.
    #[must_use]
    pub fn new<'a>(format: &Format, symbols: impl IntoIterator<Item = MappedSymbol<'a>>) -> Self {
        // Of per-CPU symbols, a range that holds nothing.
        let mut bounds = [0, 0, 0, 0, u64::MAX, 0];
        for symbol in symbols {
            if let Some(number) = bound(symbol.name)
                && may_be_kept(format.version, symbol.kind, symbol.name)
            {
                bounds[number] = symbol.address;
            }
        }
        let [text, text_end, init_text, init_text_end, percpu, percpu_end] = bounds;
        Self {
            version: format.version,
            all_symbols: format.all_symbols,
            text: (text, text_end),
            init_text: (init_text, init_text_end),
            percpu: (percpu, percpu_end),
        }
    }

    /// Whether a symbol says where a range begins or ends: [`new`](Self::new) needs no others.
    #[must_use]
    pub fn is_bound(symbol: &MappedSymbol<'_>) -> bool {
        bound(symbol.name).is_some()
    }

    /// Whether a symbol belongs into the table. One may be in `System.map` and not in the table.
    #[must_use]
    pub fn keeps(&self, symbol: &MappedSymbol<'_>) -> bool {
        let &MappedSymbol {
            kind,
            name,
            address,
        } = symbol;
        may_be_kept(self.version, kind, name) && (self.all_symbols || self.is_text(name, address))
    }

    /// Whether the address is in the kernel's text or init text, or where one of them ends.
    #[must_use]
    pub fn is_in_text(&self, address: u64) -> bool {
        is_in(self.text, address) || is_in(self.init_text, address)
    }

    /// Whether the address is one of a per-CPU symbol, which
    /// [`AddressForm::BaseRelativePercpu`](super::AddressForm) writes as it is
    /// (`make_percpus_absolute`).
    #[must_use]
    pub fn is_percpu(&self, address: u64) -> bool {
        is_in(self.percpu, address)
    }

    /// `symbol_valid`: also where a range ends only the symbol that ends it is kept, since others
    /// there may belong to what follows.
    fn is_text(&self, name: &[u8], address: u64) -> bool {
        self.is_in_text(address)
            && (address != self.text.1 || name == b"_etext")
            && (address != self.init_text.1 || name == b"_einittext")
    }
}

/// Where the ranges of a filter begin and end.
const BOUNDS: [&[u8]; 6] = [
    b"_stext",
    b"_etext",
    b"_sinittext",
    b"_einittext",
    b"__per_cpu_start",
    b"__per_cpu_end",
];

fn bound(name: &[u8]) -> Option<usize> {
    match name.first() {
        Some(b'_') => BOUNDS.iter().position(|bound| *bound == name),
        _ => None,
    }
}

fn is_in((first, last): (u64, u64), address: u64) -> bool {
    (first..=last).contains(&address)
}

/// Whether a symbol of this name and letter may be in the table, wherever it is: `mksysmap` and
/// `is_ignored_symbol` together.
fn may_be_kept(version: Version, kind: u8, name: &[u8]) -> bool {
    if !in_system_map(version, kind, name) || name.len() >= NAME_LIMIT {
        return false;
    }
    if version < Version::V6_4 && (is_made_by_tools(name, version) || is_of_table(name)) {
        return false;
    }
    match kind {
        b'U' | b'u' | b'N' | b'n' => false,
        b'A' | b'a' => [
            &b"__kernel_syscall_via_break"[..],
            b"__kernel_syscall_via_epc",
            b"__kernel_sigtramp",
            b"__gp",
        ]
        .contains(&name),
        _ => true,
    }
}
