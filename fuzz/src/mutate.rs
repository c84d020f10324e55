//! Mutations that know where an ELF object's numbers stand. libFuzzer's own, which know nothing of
//! the format, seldom change a symbol's section or a relocation's offset and nothing else.

/// A generator of random numbers (xorshift; G. Marsaglia, "Xorshift RNGs", 2003).
pub struct Random(u64);

impl Random {
    /// Starts from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number below `limit`, or 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit.max(1)
    }
}

/// Offsets and widths of the fields of a table's entry.
type Fields = &'static [(usize, usize)];

/// ELF gABI chapter 4: `Elf32_Ehdr` and `Elf64_Ehdr` behind `e_ident`.
const HEADER: [Fields; 2] = [
    &[
        (16, 2),
        (18, 2),
        (20, 4),
        (28, 4),
        (32, 4),
        (36, 4),
        (40, 2),
        (46, 2),
        (48, 2),
        (50, 2),
    ],
    &[
        (16, 2),
        (18, 2),
        (20, 4),
        (32, 8),
        (40, 8),
        (48, 4),
        (52, 2),
        (58, 2),
        (60, 2),
        (62, 2),
    ],
];
const SECTION: [Fields; 2] = [
    &[
        (0, 4),
        (4, 4),
        (8, 4),
        (12, 4),
        (16, 4),
        (20, 4),
        (24, 4),
        (28, 4),
        (32, 4),
        (36, 4),
    ],
    &[
        (0, 4),
        (4, 4),
        (8, 8),
        (16, 8),
        (24, 8),
        (32, 8),
        (40, 4),
        (44, 4),
        (48, 8),
        (56, 8),
    ],
];
const SYMBOL: [Fields; 2] = [
    &[(0, 4), (4, 4), (8, 4), (12, 1), (13, 1), (14, 2)],
    &[(0, 4), (4, 1), (5, 1), (6, 2), (8, 8), (16, 8)],
];
const REL: [Fields; 2] = [
    &[(0, 4), (4, 1), (5, 3), (7, 1)],
    &[(0, 8), (8, 4), (12, 4)],
];
const RELA: [Fields; 2] = [
    &[(0, 4), (4, 1), (5, 3), (7, 1), (8, 4)],
    &[(0, 8), (8, 4), (12, 4), (16, 8)],
];
const WORD: [Fields; 2] = [&[(0, 4)], &[(0, 4)]];

struct Elf<'b> {
    bytes: &'b mut [u8],
    is_64: usize,
    big: bool,
}

impl Elf<'_> {
    fn get(&self, at: usize, width: usize) -> u64 {
        let Some(bytes) = at
            .checked_add(width)
            .and_then(|end| self.bytes.get(at..end))
        else {
            return 0;
        };
        let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        if self.big {
            bytes.iter().fold(0, fold)
        } else {
            bytes.iter().rev().fold(0, fold)
        }
    }

    fn set(&mut self, at: usize, width: usize, value: u64) {
        let Some(bytes) = at
            .checked_add(width)
            .and_then(|end| self.bytes.get_mut(at..end))
        else {
            return;
        };
        for (number, byte) in bytes.iter_mut().enumerate() {
            let shift = if self.big { width - 1 - number } else { number };
            *byte = (value >> (8 * shift)) as u8;
        }
    }
}

/// Changes one number of an object. Gives `false` if `bytes` are no object.
pub fn elf(bytes: &mut [u8], random: &mut Random) -> bool {
    let (is_64, big) = match bytes.get(..6) {
        Some([0x7f, b'E', b'L', b'F', class @ 1..=2, data @ 1..=2]) => {
            (usize::from(class - 1), *data == 2)
        }
        _ => return false,
    };
    let length = bytes.len() as u64;
    let mut elf = Elf { bytes, is_64, big };
    let headers = elf.get([32, 40][is_64], [4, 8][is_64]) as usize;
    let count = elf.get([48, 60][is_64], 2);
    let header_size = [40, 64][is_64];
    if random.below(16) == 0 {
        change(&mut elf, 0, HEADER, length, count, random);
        return true;
    }
    let chosen = headers.saturating_add(random.below(count as usize) * header_size);
    let [kind, offset, size] = match is_64 {
        0 => [(4, 4), (16, 4), (20, 4)],
        _ => [(4, 4), (24, 8), (32, 8)],
    }
    .map(|(at, width)| elf.get(chosen.saturating_add(at), width));
    // sh_type: SHT_SYMTAB, SHT_RELA, SHT_REL, SHT_GROUP, SHT_SYMTAB_SHNDX.
    let (entry, fields) = match kind {
        2 => ([16, 24][is_64], SYMBOL),
        4 => ([12, 24][is_64], RELA),
        9 => ([8, 16][is_64], REL),
        17 | 18 => (4, WORD),
        _ => (0, SECTION),
    };
    if entry == 0 || size < entry || random.below(3) == 0 {
        change(&mut elf, chosen, SECTION, length, count, random);
    } else {
        let number = random.below((size / entry) as usize);
        let at = (offset as usize).saturating_add(number * entry as usize);
        change(&mut elf, at, fields, length, count, random);
    }
    true
}

fn change(
    elf: &mut Elf<'_>,
    entry: usize,
    fields: [Fields; 2],
    length: u64,
    sections: u64,
    random: &mut Random,
) {
    let fields = fields[elf.is_64];
    let (at, width) = fields[random.below(fields.len())];
    let at = entry.saturating_add(at);
    let old = elf.get(at, width);
    let value = match random.below(12) {
        0 => 0,
        1 => u64::MAX,
        2 => old.wrapping_add(1),
        3 => old.wrapping_sub(1),
        4 => length,
        5 => sections,
        6 => random.below(32) as u64,
        7 => 1 << random.below(64),
        8 => (1 << random.below(64)) - 1,
        9 => old ^ 1 << random.below(8 * width),
        10 => random.next(),
        // SHN_LORESERVE and what stands behind it.
        _ => 0xff00 + random.below(256) as u64,
    };
    elf.set(at, width, value);
}
