//! Hash tables of dynamic symbols: `.hash` of the gABI, and `.gnu.hash`.
//!
//! Source for sizes and layout: bfd/elflink.c (bfd_elf_size_dynsym_hash_dynstr,
//! compute_bucket_count); for the functions: gABI, "Hash Table"; bfd/elf.c (bfd_elf_gnu_hash).

use klink_arch::Class;

use super::encode::{Encoder, Form};

/// The gABI's hash of a symbol's name. Also the hash of a version's name.
pub(crate) fn sysv_hash(name: &[u8]) -> u32 {
    name.iter().fold(0_u32, |hash, &byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ high >> 24) & !high
    })
}

/// The hash of `.gnu.hash`.
pub(crate) fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381_u32, |hash, &byte| {
        hash.wrapping_mul(33).wrapping_add(u32::from(byte))
    })
}

/// The two kinds of table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `.hash`
    Sysv,
    /// `.gnu.hash`
    Gnu,
}

/// Bytes of an entry of `.hash`. (8 on Alpha and s390x; no architecture here.)
const SYSV_ENTRY: u64 = 4;

/// Table sizes for few symbols, few collisions. Source: bfd/elflink.c, elf_buckets.
const BUCKETS: [u32; 16] = [
    1, 3, 17, 37, 67, 97, 131, 197, 263, 521, 1031, 2053, 4099, 8209, 16411, 32771,
];

/// How many buckets a table of these hashes has.
///
/// `symbols` is the number of entries of `.dynsym`, the first one included; it counts only where
/// `optimize` (`ld -O`) asks for the size with the shortest chains. That size is 0 for no hashes
/// and a `.hash`; else it is 1 or more.
pub(crate) fn bucket_count(hashes: &[u32], kind: Kind, symbols: usize, optimize: bool) -> u32 {
    if optimize {
        return optimal_bucket_count(hashes, kind, symbols);
    }
    let fits = |&&next: &&u32| hashes.len() < next as usize;
    let count = match BUCKETS.iter().skip(1).position(|next| fits(&next)) {
        Some(at) => BUCKETS[at],
        None => BUCKETS[BUCKETS.len() - 1],
    };
    match kind {
        Kind::Sysv => count,
        Kind::Gnu => count.max(2),
    }
}

/// The number of buckets, between a quarter and twice the number of symbols, with the least sum of
/// squared chain lengths, tables beyond a page being punished for their size.
fn optimal_bucket_count(hashes: &[u32], kind: Kind, symbols: usize) -> u32 {
    /// Bytes. Source: bfd/elflink.c, BFD_TARGET_PAGESIZE.
    const PAGE: u64 = 4096;
    /// Sizes in a row without improvement after which the search ends (binutils PR 11843).
    const PATIENCE: u32 = 100;

    let gnu = kind == Kind::Gnu;
    let least = (hashes.len() / 4).max(if gnu { 2 } else { 1 });
    let end = hashes.len() * 2;
    // A multiple of 32 would be no use: the filter's words have that many bits.
    let mut best = if gnu && end.is_multiple_of(32) {
        end + 1
    } else {
        end
    };
    let mut best_cost = u64::MAX;
    let mut futile = 0;
    let mut lengths = vec![0_u64; end];
    for count in least..end {
        if gnu && count.is_multiple_of(32) {
            continue;
        }
        let lengths = &mut lengths[..count];
        lengths.fill(0);
        for &hash in hashes {
            lengths[hash as usize % count] += 1;
        }
        let squares: u64 = lengths.iter().map(|length| length * length).sum();
        let size = 1 + count as u64 / (PAGE / SYSV_ENTRY);
        let cost = ((2 + symbols as u64) * SYSV_ENTRY + squares) * size * size;
        if cost < best_cost {
            (best_cost, best, futile) = (cost, count, 0);
        } else {
            futile += 1;
            if futile == PATIENCE {
                break;
            }
        }
    }
    best as u32
}

/// Makes `.hash`. `chained` are the named symbols as (hash, `.dynsym` index), in the order in which
/// GNU ld writes them; `symbols` is the number of entries of `.dynsym`.
pub(crate) fn sysv_table(
    form: Form,
    chained: &[(u32, u32)],
    symbols: usize,
    optimize: bool,
) -> Vec<u8> {
    let hashes: Vec<u32> = chained.iter().map(|&(hash, _)| hash).collect();
    let count = bucket_count(&hashes, Kind::Sysv, symbols, optimize) as usize;
    let mut buckets = vec![0_u32; count];
    let mut chains = vec![0_u32; symbols];
    for &(hash, index) in chained {
        let bucket = &mut buckets[hash as usize % count];
        chains[index as usize] = *bucket;
        *bucket = index;
    }
    let mut table = Encoder::new(form, (2 + count + symbols) * SYSV_ENTRY as usize);
    table.word(count as u32);
    table.word(symbols as u32);
    for index in buckets.into_iter().chain(chains) {
        table.word(index);
    }
    table.into_bytes()
}

/// Shape of the filter in front of `.gnu.hash`'s buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Filter {
    /// Words of the width of an address.
    words: u32,
    /// Which bits of a hash choose the second bit to set.
    shift: u32,
}

impl Filter {
    /// The filter for that many symbols: about 8 to 16 bits for each.
    fn for_symbols(count: usize, class: Class) -> Self {
        let word_shift = class.address_bits().ilog2();
        let width = count.max(1).ilog2() + 1;
        let mut bits = match width {
            ..3 => 5,
            _ if count & (1 << (width - 2)) != 0 => width + 3,
            _ => width + 2,
        };
        if class == Class::Elf64 && bits == 5 {
            bits = 6;
        }
        Self {
            words: 1 << (bits - word_shift),
            shift: bits,
        }
    }
}

/// Makes `.gnu.hash`. `hashes` are those of the symbols in it by `.dynsym` index, beginning with
/// `first`: [`bucket_order`] is their order.
pub(crate) fn gnu_table(form: Form, hashes: &[u32], first: u32, buckets: u32) -> Vec<u8> {
    let address_bits = u32::from(form.class.address_bits());
    let filter = Filter::for_symbols(hashes.len(), form.class);
    let mut words = vec![0_u64; filter.words as usize];
    for &hash in hashes {
        let word = &mut words[(hash / address_bits % filter.words) as usize];
        *word |= 1 << (hash % address_bits);
        *word |= 1 << ((hash >> filter.shift) % address_bits);
    }
    let mut starts = vec![0_u32; buckets as usize];
    for (at, &hash) in hashes.iter().enumerate().rev() {
        starts[(hash % buckets) as usize] = first + at as u32;
    }
    let mut table = Encoder::new(
        form,
        16 + words.len() * 8 + 4 * (starts.len() + hashes.len()),
    );
    table.word(buckets);
    table.word(first);
    table.word(filter.words);
    table.word(filter.shift);
    words.into_iter().for_each(|word| table.address(word));
    starts.into_iter().for_each(|index| table.word(index));
    for (at, &hash) in hashes.iter().enumerate() {
        let next = hashes.get(at + 1);
        let ends = next.is_none_or(|next| next % buckets != hash % buckets);
        table.word(hash & !1 | u32::from(ends));
    }
    table.into_bytes()
}

/// A `.gnu.hash` without symbols: one bucket, one word of filter, both empty.
pub(crate) fn empty_gnu_table(form: Form) -> Vec<u8> {
    let mut table = Encoder::new(form, 28);
    for word in [1, 1, 1, 0] {
        table.word(word);
    }
    table.address(0);
    table.word(0);
    table.into_bytes()
}

/// The order in which `.dynsym` has the symbols of a `.gnu.hash`: by bucket, else as they were.
pub(crate) fn bucket_order(hashes: &[u32], buckets: u32) -> Vec<usize> {
    let mut order: Vec<usize> = (0..hashes.len()).collect();
    order.sort_by_key(|&at| hashes[at] % buckets);
    order
}
