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
//! replacement; that shows when it is looked at. Places of pairs too rare to be chosen are not noted;
//! should such a pair be chosen all the same, all names are searched for it.
//!
//! Names are shared out among threads, which replace the same pair at the same time. The choice depends
//! on the sums of their counts alone, so the result does not depend on how many there are.

use alloc::vec;
use alloc::vec::Vec;
use core::array;

use super::plan::Symbol;
use super::rounds::{self, each, in_rounds};
use super::text::{Neighbours, PAIRS, Pair, Text, Wanted, add, codes_of, pair};

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
    pub(super) bytes: Vec<u8>,
    /// Where each name ends in `bytes`.
    pub(super) ends: Vec<u32>,
}

impl Codes {
    /// How many names there are.
    pub(super) fn count(&self) -> usize {
        self.ends.len()
    }

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

/// Chooses the tokens for the names of symbols, with their letters, and writes each name in them. No
/// name may contain a zero byte or be longer than kernels allow; all together have less than 4 GiB.
pub(super) fn compress(symbols: &[Symbol<'_>]) -> (Tokens, Codes) {
    let bytes: usize = symbols.iter().map(|symbol| symbol.name.len()).sum();
    let count = rounds::shares().min(bytes / SHARE).max(1);
    let shares: Vec<_> = symbols
        .chunks(symbols.len().div_ceil(count).max(1))
        .collect();
    let (_, read) = each(shares, |share| {
        Text::of(share.iter().map(|symbol| (symbol.letter(), symbol.name)))
    });
    let mut counts = Counts::sum(read.iter().map(|(_, counts)| counts.as_slice()));
    let is_character = counts.characters();
    let mut free: Vec<u8> = (0..=255)
        .filter(|&code| !is_character[usize::from(code)])
        .collect();
    counts.look_ahead(free.len());
    let (texts, _) = each(read, |(text, own)| {
        text.note_places(own, |pair| counts.may_be_chosen(pair));
    });

    let mut meaning: [Option<[u8; 2]>; 256] = [None; 256];
    let texts = texts.into_iter().map(|(text, _)| text).collect();
    let (texts, ()) = in_rounds(texts, Step::take, |round| {
        let mut last = None;
        while let Some(code) = free.pop() {
            let Some(old) = counts.most_frequent() else {
                break;
            };
            meaning[usize::from(code)] = Some(old.to_le_bytes());
            let between = Neighbours::sum(&round(Step { last, old, code }));
            counts.replaced(old, code, &between);
            if free.len().is_multiple_of(ROUNDS) {
                counts.look_ahead(free.len());
            }
            last = Some((code, counts.wanted(code)));
        }
    });
    let mut codes = Codes::default();
    texts.iter().for_each(|text| text.add_to(&mut codes));
    (tokens(&meaning, &is_character), codes)
}

/// Bytes of names that are worth a share.
const SHARE: usize = 1 << 18;

/// What is done to a share of the names at a time.
struct Step {
    /// The code that was put in before, and which pairs with it may be chosen.
    last: Option<(u8, Wanted)>,
    old: Pair,
    code: u8,
}

impl Step {
    fn take(text: &mut Text, step: &Self) -> Neighbours {
        if let Some((code, wanted)) = &step.last {
            text.note_new_places(*code, wanted);
        }
        text.replace(step.old, step.code)
    }
}

/// Rounds after which it is looked again how frequent a pair must be to be chosen.
const ROUNDS: usize = 8;

/// How often each pair occurs now, overlapping ones (the two in `aaa`) included.
struct Counts {
    of: Vec<u32>,
    /// The highest count of the pairs with each second code, unless counts have changed since.
    highest: [u32; 256],
    stale: [bool; 256],
    /// What is rarer is taken not to be chosen any more.
    least: u32,
}

impl Counts {
    fn sum<'c>(all: impl Iterator<Item = &'c [u32]>) -> Self {
        let mut of = vec![0; PAIRS];
        all.for_each(|counts| add(&mut of, counts));
        Self {
            of,
            highest: [0; 256],
            stale: [true; 256],
            least: 0,
        }
    }

    /// The codes that names are made of.
    fn characters(&self) -> [bool; 256] {
        let mut is_character = [false; 256];
        let occurring = (0..=Pair::MAX)
            .zip(&self.of)
            .filter(|&(_, &count)| count > 0);
        for code in occurring.flat_map(|(pair, _)| pair.to_le_bytes()) {
            is_character[usize::from(code)] = true;
        }
        is_character
    }

    /// The most frequent pair, the lowest of several; `None` when no pair is left.
    fn most_frequent(&mut self) -> Option<Pair> {
        let rows = self.of.chunks_exact(256).zip(&mut self.highest);
        for ((row, highest), stale) in rows.zip(&mut self.stale) {
            if core::mem::take(stale) {
                *highest = row.iter().copied().max().unwrap_or(0);
            }
        }
        let most = self.highest.iter().copied().max();
        let most = most.filter(|&most| most > 0)?;
        let second = self.highest.iter().position(|&highest| highest == most)?;
        let row = self.of.get(256 * second..256 * (second + 1))?;
        let first = row.iter().position(|&count| count == most)?;
        Pair::try_from(256 * second + first).ok()
    }

    /// Finds out how frequent a pair must be that `left` more choices may come to. Counts only fall,
    /// but new pairs come to be: this is a guess, with room for as many again.
    fn look_ahead(&mut self, left: usize) {
        let mut counts: Vec<u32> = self.of.iter().copied().filter(|&count| count > 0).collect();
        let rank = 2 * left;
        self.least = match counts.len() > rank {
            true => *counts.select_nth_unstable_by(rank, |a, b| b.cmp(a)).1,
            false => 0,
        };
    }

    fn may_be_chosen(&self, pair: Pair) -> bool {
        self.of[usize::from(pair)] >= self.least
    }

    /// The pairs with a code just put in that may be chosen. Beside itself it was met in front only:
    /// when the first was put in, the second was still the old pair.
    fn wanted(&self, code: u8) -> Wanted {
        let all: [u8; 256] = array::from_fn(|neighbour| neighbour as u8);
        let behind = |neighbour| neighbour != code && self.may_be_chosen(pair(code, neighbour));
        Wanted {
            in_front: all.map(|neighbour| self.may_be_chosen(pair(neighbour, code))),
            behind: all.map(behind),
        }
    }

    /// `old` was replaced by `code` between these neighbours.
    fn replaced(&mut self, old: Pair, code: u8, between: &Neighbours) {
        let [first, second] = old.to_le_bytes();
        self.take(old, between.in_front.iter().sum());
        for (neighbour, count) in codes_of(&between.in_front) {
            self.take(pair(neighbour, first), count);
            self.give(pair(neighbour, code), count);
        }
        for (neighbour, count) in codes_of(&between.behind) {
            self.take(pair(second, neighbour), count);
            self.give(pair(code, neighbour), count);
        }
    }

    /// So many of a pair are gone.
    fn take(&mut self, pair: Pair, count: u32) {
        let of = &mut self.of[usize::from(pair)];
        *of = of.wrapping_sub(count);
        self.stale[usize::from(pair >> 8)] = true;
    }

    /// So many of a pair have come to be.
    fn give(&mut self, pair: Pair, count: u32) {
        let of = &mut self.of[usize::from(pair)];
        *of = of.wrapping_add(count);
        self.stale[usize::from(pair >> 8)] = true;
    }
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
