//! The orders of symbols: that of the table, and that of names.

use alloc::vec;
use alloc::vec::Vec;

use super::NAME_LIMIT;
use super::plan::Symbol;

/// The symbols in the order of the table, each with its address: `addresses[i]` is that of
/// `symbols[i]`.
pub(super) fn by_address(symbols: &[Symbol<'_>], addresses: &[u64]) -> Vec<(u64, u32)> {
    let mut order: Vec<(u64, u32)> = addresses.iter().copied().zip(0..).collect();
    sort(&mut order);
    for same in order.chunk_by_mut(|one, other| one.0 == other.0) {
        if same.len() > 1 {
            let key = |index: u32| {
                let symbol = symbols.get(index as usize);
                symbol.map(|symbol| (rank(symbol), symbol.name))
            };
            same.sort_by(|one, other| key(one.1).cmp(&key(other.1)));
        }
    }
    order
}

/// Sorts. A linker's symbols come in runs that are in order, of which a stable sort makes use.
fn sort(order: &mut [(u64, u32)]) {
    #[cfg(feature = "rayon")]
    rayon::slice::ParallelSliceMut::par_sort(order);
    #[cfg(not(feature = "rayon"))]
    order.sort();
}

/// Among symbols at one address, the lower comes first (`compare_symbols`): weak ones and those that
/// look as if a linker script had provided them come last. Linux's generator leaves those that are
/// equal in this in the order of its input, which `nm -n` sorts by name.
fn rank(symbol: &Symbol<'_>) -> usize {
    let underscores = symbol.name.iter().take_while(|&&byte| byte == b'_').count();
    let weak = matches!(symbol.letter(), b'w' | b'W');
    let late = 2 * usize::from(weak) + usize::from(looks_provided(symbol.name));
    late * NAME_LIMIT + underscores
}

/// `may_be_linker_script_provide_symbol`
fn looks_provided(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"__") else {
        return false;
    };
    let begins = [&b"start_"[..], b"stop_", b"end_"];
    name.len() >= 8
        && (begins.iter().any(|begin| rest.starts_with(begin))
            || name.ends_with(b"_start")
            || name.ends_with(b"_end"))
}

/// As many bytes of a name as fit, as a number that sorts as they do.
fn key(name: &[u8]) -> u64 {
    if let Some(first) = name.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(name) {
        *to = *from;
    }
    u64::from_be_bytes(first)
}

/// Bytes at the begin of names by which they are sorted into boxes before they are compared.
const BOXED: usize = 2;

/// In which box a name comes: as many as [`BOXED`] bytes have values, in their order.
fn box_of(name: &[u8]) -> usize {
    let byte = |at| name.get(at).copied().unwrap_or(0);
    usize::from(u16::from_be_bytes([byte(0), byte(1)]))
}

/// The symbols in the order of their names; of those with equal names, the first is marked
/// (`compare_names`).
///
/// Names are sorted into boxes by their first two bytes, and then each box by the next ones as a
/// number, so that most comparisons need no more.
pub(super) fn by_name(names: &[&[u8]]) -> Vec<(u32, bool)> {
    let mut ends = vec![0_usize; 1 << (8 * BOXED)];
    for name in names {
        ends[box_of(name)] += 1;
    }
    let mut total = 0;
    for end in &mut ends {
        total += core::mem::replace(end, total);
    }
    let mut boxes = vec![(0_u64, 0_u32); total];
    for (index, name) in (0..).zip(names) {
        let end = &mut ends[box_of(name)];
        boxes[*end] = (key(name.get(BOXED..).unwrap_or_default()), index);
        *end += 1;
    }
    let of = |index: u32| names.get(index as usize).copied().unwrap_or_default();
    let mut start = 0;
    for end in ends {
        boxes[start..end].sort_unstable_by(|one, other| {
            let by_key = one.0.cmp(&other.0);
            by_key
                .then_with(|| of(one.1).cmp(of(other.1)))
                .then(one.1.cmp(&other.1))
        });
        start = end;
    }
    let mut before = None;
    let marked = boxes.iter().map(|&(_, index)| {
        let name = of(index);
        (index, before.replace(name) != Some(name))
    });
    marked.collect()
}

pub(super) fn without_llvm_suffix(name: &[u8]) -> &[u8] {
    let suffix = b".llvm.";
    let at = name.windows(suffix.len()).position(|part| part == suffix);
    &name[..at.unwrap_or(name.len())]
}
