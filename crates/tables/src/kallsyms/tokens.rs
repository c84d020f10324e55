//! The choice of tokens.
//!
//! As long as there is a code that no name uses as a character, the pair of codes that occurs most
//! often gets it, in all names (`optimize_result` in Linux's `scripts/kallsyms.c`). Of equally
//! frequent pairs the one with the lowest `first + 256 * second` is taken, and free codes are given
//! away from 255 down: kernels do not ask that, but the bytes are then those of Linux's generator.
//!
//! Linux's generator searches all names for each of the some 180 tokens. Here, each pair knows its
//! places, and a replacement changes the counts of the pairs around it only, so the work is
//! proportional to the number of replacements (the idea of Re-Pair: Larsson and Moffat, "Off-line
//! dictionary-based compression", 2000). A place once noted may have been overtaken by another
//! replacement; that shows when it is looked at.

use alloc::vec;
use alloc::vec::Vec;

/// Two codes, as `first + 256 * second`.
type Pair = u16;

fn pair(first: u8, second: u8) -> Pair {
    Pair::from_le_bytes([first, second])
}

/// What each code stands for.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    /// All tokens, each with a zero byte at its end: `kallsyms_token_table`.
    pub(super) table: Vec<u8>,
    /// Where each begins in `table`: `kallsyms_token_index`, but not cut to 16 bits.
    pub(super) index: [usize; 256],
}

/// Names as codes, one behind the other: less than 4 GiB.
#[derive(Clone, Debug, Default)]
pub(super) struct Codes {
    bytes: Vec<u8>,
    /// Where each name ends in `bytes`.
    ends: Vec<u32>,
}

impl Codes {
    /// The codes of name number `index`, none if there is no such name.
    pub(super) fn get(&self, index: usize) -> &[u8] {
        let before = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before));
        let start = before.map_or(0, |&end| end as usize);
        let end = self.ends.get(index).map_or(start, |&end| end as usize);
        self.bytes.get(start..end).unwrap_or_default()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.ends.len()).map(|index| self.get(index))
    }
}

/// Chooses the tokens for `names` and writes each name in them. No name may contain a zero byte,
/// and all together have less than 4 GiB.
pub(super) fn compress<'n>(names: impl Iterator<Item = (u8, &'n [u8])> + Clone) -> (Tokens, Codes) {
    let mut text = Text::of(names);
    let mut meaning: [Option<[u8; 2]>; 256] = [None; 256];
    for code in (0..=255_u8).rev() {
        if text.is_character[usize::from(code)] {
            continue;
        }
        let Some(best) = text.most_frequent() else {
            break;
        };
        meaning[usize::from(code)] = Some(best.to_le_bytes());
        text.replace(best, code);
    }
    let tokens = tokens(&meaning, &text.is_character);
    (tokens, text.into_codes())
}

fn tokens(meaning: &[Option<[u8; 2]>; 256], is_character: &[bool; 256]) -> Tokens {
    let mut table = Vec::new();
    let mut index = [0; 256];
    let mut pending = Vec::new();
    for code in 0..=255_u8 {
        index[usize::from(code)] = table.len();
        pending.push(code);
        while let Some(code) = pending.pop() {
            match meaning[usize::from(code)] {
                Some([first, second]) => pending.extend([second, first]),
                None if is_character[usize::from(code)] => table.push(code),
                None => {}
            }
        }
        table.push(0);
    }
    Tokens { table, index }
}

/// The names during the replacement, in one row with a slot between any two.
///
/// A code that has replaced others stays at the slot of the first of them; its first and its last
/// slot know how many slots it has. So its neighbours are found from both sides.
struct Text {
    slots: Vec<Slot>,
    /// How often each pair occurs now, overlapping ones (the two in `aaa`) included.
    counts: Vec<u32>,
    /// The highest count of the pairs with each second code, unless counts have changed since.
    highest: [u32; 256],
    stale: [bool; 256],
    /// Slots at which pairs may begin: those of each pair in one row, ascending.
    places: Vec<u32>,
    /// Where in `places` the row of each pair begins and ends. A pair gets its row once: when the
    /// younger of its codes comes to be.
    rows: Vec<(u32, u32)>,
    is_character: [bool; 256],
}

#[derive(Clone, Copy)]
struct Slot {
    /// A code, [`COVERED`] or [`GAP`].
    code: u16,
    /// Slots of the code that begins or ends here.
    width: u16,
}

/// A slot between names.
const GAP: u16 = 0x100;
/// A slot that belongs to the code before it.
const COVERED: u16 = 0x101;

impl Slot {
    fn new(code: u16) -> Self {
        Self { code, width: 1 }
    }
}

impl Text {
    fn of<'n>(names: impl Iterator<Item = (u8, &'n [u8])> + Clone) -> Self {
        // behind each name and its letter there is a gap
        let size: usize = names.clone().map(|(_, name)| name.len() + 2).sum();
        let mut slots = Vec::with_capacity(size + 1);
        slots.push(Slot::new(GAP));
        let mut counts = vec![0_u32; PAIRS];
        for (kind, name) in names.clone() {
            slots.push(Slot::new(kind.into()));
            slots.extend(name.iter().map(|&byte| Slot::new(byte.into())));
            slots.push(Slot::new(GAP));
            count_pairs(&mut counts, kind, name);
        }
        let mut is_character = [false; 256];
        let occurring = (0..=Pair::MAX)
            .zip(&counts)
            .filter(|&(_, &count)| count > 0);
        for code in occurring.flat_map(|(pair, _)| pair.to_le_bytes()) {
            is_character[usize::from(code)] = true;
        }
        let (rows, places) = places(&counts, names);
        Self {
            slots,
            counts,
            highest: [0; 256],
            stale: [true; 256],
            places,
            rows,
            is_character,
        }
    }

    /// The most frequent pair, the lowest of several; `None` when no pair is left.
    fn most_frequent(&mut self) -> Option<Pair> {
        let rows = self.counts.chunks_exact(256).zip(&mut self.highest);
        for ((row, highest), stale) in rows.zip(&mut self.stale) {
            if core::mem::take(stale) {
                *highest = row.iter().copied().max().unwrap_or(0);
            }
        }
        let most = self
            .highest
            .iter()
            .copied()
            .max()
            .filter(|&most| most > 0)?;
        let second = self.highest.iter().position(|&highest| highest == most)?;
        let row = self.counts.get(256 * second..256 * (second + 1))?;
        let first = row.iter().position(|&count| count == most)?;
        Pair::try_from(256 * second + first).ok()
    }

    /// Replaces every `old`, from the left to the right in each name, by `code`.
    ///
    /// What changes in the counts and what pairs come to be is gathered first: every such pair has
    /// `code` or a half of `old` in it, so that two small arrays hold all, where the table of all
    /// pairs would be in no cache.
    fn replace(&mut self, old: Pair, code: u8) {
        let [first, second] = old.to_le_bytes();
        let (row, end) = self.rows[usize::from(old)];
        let (mut in_front, mut behind) = ([0_u32; NEIGHBOURS], [0_u32; NEIGHBOURS]);
        let mut met = Vec::with_capacity(self.counts[usize::from(old)] as usize);
        for &place in &self.places[row as usize..end as usize] {
            let start = place as usize;
            let one = self.slots[start];
            if one.code != u16::from(first) {
                continue; // overtaken
            }
            let next = start + usize::from(one.width);
            let other = self.slots[next];
            if other.code != u16::from(second) {
                continue; // overtaken
            }
            let after = next + usize::from(other.width);
            let before = start - usize::from(self.slots[start - 1].width);
            let codes = (self.slots[before].code, self.slots[after].code);
            in_front[usize::from(codes.0) % NEIGHBOURS] += 1;
            behind[usize::from(codes.1) % NEIGHBOURS] += 1;
            met.push(Met {
                before: before as u32, // it came from a u32, or is less
                start: place,
                codes,
            });
            let width = one.width + other.width;
            self.slots[next].code = COVERED;
            self.slots[after - 1].width = width;
            self.slots[start] = Slot {
                code: code.into(),
                width,
            };
        }
        self.take(old, met.len() as u32);
        for (neighbour, count) in codes_of(&in_front) {
            self.take(pair(neighbour, first), count);
            self.give(pair(neighbour, code), count);
        }
        for (neighbour, count) in codes_of(&behind) {
            self.take(pair(second, neighbour), count);
            self.give(pair(code, neighbour), count);
        }
        let in_front_met = met.iter().map(|met| (met.codes.0, met.before));
        self.add_rows(&in_front, in_front_met, |neighbour| pair(neighbour, code));
        let behind_met = met.iter().map(|met| (met.codes.1, met.start));
        self.add_rows(&behind, behind_met, |neighbour| pair(code, neighbour));
        // `code` beside itself was met in front only: when the first was replaced, the second was
        // still `old`
    }

    /// So many of a pair are gone.
    fn take(&mut self, pair: Pair, count: u32) {
        let of = &mut self.counts[usize::from(pair)];
        *of = of.wrapping_sub(count);
        self.stale[usize::from(pair >> 8)] = true;
    }

    /// So many of a pair have come to be.
    fn give(&mut self, pair: Pair, count: u32) {
        let of = &mut self.counts[usize::from(pair)];
        *of = of.wrapping_add(count);
        self.stale[usize::from(pair >> 8)] = true;
    }

    /// Makes rows of the places of new pairs: of each neighbour that was `met` the place where the pair
    /// with it begins, and how often each was.
    fn add_rows(
        &mut self,
        counts: &[u32; NEIGHBOURS],
        met: impl Iterator<Item = (u16, u32)>,
        pair: impl Fn(u8) -> Pair,
    ) {
        let mut next = [0_u32; NEIGHBOURS];
        let start = self.places.len() as u32;
        let mut end = start;
        for (neighbour, count) in codes_of(counts) {
            next[usize::from(neighbour)] = end;
            self.rows[usize::from(pair(neighbour))] = (end, end + count);
            end += count;
        }
        // what is no neighbour comes behind all, and is cut off again
        let all: u32 = counts.iter().sum();
        next[usize::from(GAP)] = end;
        self.places.resize((start + all) as usize, 0);
        for (neighbour, place) in met {
            let next = &mut next[usize::from(neighbour) % NEIGHBOURS];
            self.places[*next as usize] = place;
            *next += 1;
        }
        self.places.truncate(end as usize);
    }

    fn into_codes(self) -> Codes {
        let mut codes = Codes::default();
        codes.bytes.reserve(self.slots.len() / 2);
        let mut at = 1; // behind the gap in front of the first name
        while let Some(slot) = self.slots.get(at) {
            match u8::try_from(slot.code) {
                Ok(code) => codes.bytes.push(code),
                Err(_) => codes.ends.push(codes.bytes.len() as u32),
            }
            at += usize::from(slot.width.max(1)); // never zero
        }
        codes
    }
}

/// A pair that was replaced, and what is beside it.
struct Met {
    /// Where the code in front begins.
    before: u32,
    /// Where the pair began.
    start: u32,
    /// The codes in front and behind, or [`GAP`].
    codes: (u16, u16),
}

/// More than codes and [`GAP`]; a power of two.
const NEIGHBOURS: usize = 0x200;

/// The codes that were met, and how often.
fn codes_of(counts: &[u32; NEIGHBOURS]) -> impl Iterator<Item = (u8, u32)> {
    let counts = (0..=255).zip(counts).map(|(code, &count)| (code, count));
    counts.filter(|&(_, count)| count > 0)
}

/// How many pairs there can be.
const PAIRS: usize = 1 << 16;

/// Counts the pairs in a name with its letter in front.
fn count_pairs(counts: &mut [u32], kind: u8, name: &[u8]) {
    let Some(counts) = counts.first_chunk_mut::<PAIRS>() else {
        return;
    };
    let mut before = kind;
    for &byte in name {
        counts[usize::from(pair(before, byte))] += 1;
        before = byte;
    }
}

/// The row of each pair, and the places of all pairs.
fn places<'n>(
    counts: &[u32],
    names: impl Iterator<Item = (u8, &'n [u8])>,
) -> (Vec<(u32, u32)>, Vec<u32>) {
    let mut end = 0;
    let row = |&count: &u32| {
        let start = end;
        end += count;
        (start, start)
    };
    // until all places are noted a row's end is where the next one comes
    let mut rows: Vec<(u32, u32)> = counts.iter().map(row).collect();
    let mut places = vec![0; end as usize];
    let mut place = 1; // behind the first gap
    if let Some(rows) = rows.first_chunk_mut::<PAIRS>() {
        for (kind, name) in names {
            let mut before = kind;
            for &byte in name {
                let (_, next) = &mut rows[usize::from(pair(before, byte))];
                if let Some(at) = places.get_mut(*next as usize) {
                    *at = place;
                }
                *next += 1;
                place += 1;
                before = byte;
            }
            place += 2;
        }
    }
    (rows, places)
}
