//! The order in which GNU ld walks its table of global names.
//!
//! The order of `.dynsym`, and that of global symbols in the `.symtab` of a final link, is that of
//! BFD's hash table: by bucket, in a bucket the newest first, rehashed as the table grows. Two
//! linkers' outputs can be compared byte for byte only where both have it.
//!
//! Source: bfd/hash.c (bfd_hash_hash, bfd_hash_insert, higher_prime_number, bfd_hash_traverse).

/// Buckets of a new table. Source: bfd/hash.c, DEFAULT_SIZE.
const FIRST_SIZE: usize = 4051;

/// The sizes that a table grows to. Source: bfd/hash.c, higher_prime_number.
const SIZES: [usize; 21] = [
    4093,
    8191,
    16381,
    32749,
    65521,
    131_071,
    262_139,
    524_287,
    1_048_573,
    2_097_143,
    4_194_301,
    8_388_593,
    16_777_213,
    33_554_393,
    67_108_859,
    134_217_689,
    268_435_399,
    536_870_909,
    1_073_741_789,
    2_147_483_647,
    4_294_967_291,
];

/// No entry: the end of a bucket's chain.
const END: u32 = u32::MAX;

/// In which order GNU ld visits `names`, as positions in it.
///
/// `names` are all global names that ld would know, each once, in the order in which it would meet
/// them: those of the inputs' symbol tables (references too; `name@version` whole), and then those
/// that the script and ld itself add. Up to 3038 names the order does not depend on that in which
/// they came, but for names that share a bucket.
pub(crate) fn walk_order<'a>(names: impl IntoIterator<Item = &'a [u8]>) -> Vec<usize> {
    let mut table = Table {
        buckets: vec![END; FIRST_SIZE],
        hashes: Vec::new(),
        next: Vec::new(),
    };
    for name in names {
        table.insert(name_hash(name));
    }
    table.order()
}

/// BFD's hash of a name, on a host with 64-bit `long`.
fn name_hash(name: &[u8]) -> u64 {
    let mix = |hash: u64, unit: u32| {
        let hash = hash.wrapping_add(u64::from(unit.wrapping_add(unit << 17)));
        hash ^ hash >> 2
    };
    let hash = (name.iter()).fold(0, |hash, &byte| mix(hash, u32::from(byte)));
    mix(hash, name.len() as u32)
}

struct Table {
    /// The newest entry of each bucket.
    buckets: Vec<u32>,
    /// By entry: its hash.
    hashes: Vec<u64>,
    /// By entry: the next older one of its bucket.
    next: Vec<u32>,
}

impl Table {
    fn insert(&mut self, hash: u64) {
        let bucket = bucket_of(hash, self.buckets.len());
        let entry = self.hashes.len() as u32;
        self.hashes.push(hash);
        self.next.push(self.buckets[bucket]);
        self.buckets[bucket] = entry;
        if self.hashes.len() > self.buckets.len() * 3 / 4
            && let Some(&size) = SIZES.iter().find(|&&size| size > self.buckets.len())
        {
            self.grow(size);
        }
    }

    /// Moves the entries, a run of equal hashes at a time, each to the front of its new bucket.
    fn grow(&mut self, size: usize) {
        let mut buckets = vec![END; size];
        for &old in &self.buckets {
            let mut first = old;
            while first != END {
                let hash = self.hashes[first as usize];
                let mut last = first;
                let after = loop {
                    let after = self.next[last as usize];
                    if after == END || self.hashes[after as usize] != hash {
                        break after;
                    }
                    last = after;
                };
                let bucket = bucket_of(hash, size);
                self.next[last as usize] = buckets[bucket];
                buckets[bucket] = first;
                first = after;
            }
        }
        self.buckets = buckets;
    }

    fn order(&self) -> Vec<usize> {
        let mut order = Vec::with_capacity(self.hashes.len());
        for &first in &self.buckets {
            let mut entry = first;
            while entry != END {
                order.push(entry as usize);
                entry = self.next[entry as usize];
            }
        }
        order
    }
}

fn bucket_of(hash: u64, buckets: usize) -> usize {
    (hash % buckets as u64) as usize
}
