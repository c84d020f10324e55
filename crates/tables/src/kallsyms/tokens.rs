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
pub(super) fn compress<'n>(names: impl Iterator<Item = (u8, &'n [u8])>) -> (Tokens, Codes) {
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
    /// Slots at which each pair may begin, ascending.
    places: Vec<Vec<u32>>,
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
    fn of<'n>(names: impl Iterator<Item = (u8, &'n [u8])>) -> Self {
        let mut slots = vec![Slot::new(GAP)];
        let mut is_character = [false; 256];
        let mut counts = vec![0_u32; 0x1_0000];
        for (kind, name) in names {
            let mut before = kind;
            is_character[usize::from(kind)] = true;
            slots.push(Slot::new(kind.into()));
            for &byte in name {
                counts[usize::from(pair(before, byte))] += 1;
                is_character[usize::from(byte)] = true;
                before = byte;
            }
            slots.extend(name.iter().map(|&byte| Slot::new(byte.into())));
            slots.push(Slot::new(GAP));
        }
        let with_room = |&count: &u32| Vec::with_capacity(count as usize);
        let mut places: Vec<Vec<u32>> = counts.iter().map(with_room).collect();
        for (place, slots) in (0_u32..).zip(slots.windows(2)) {
            if let (Ok(first), Ok(second)) =
                (u8::try_from(slots[0].code), u8::try_from(slots[1].code))
            {
                places[usize::from(pair(first, second))].push(place);
            }
        }
        Self {
            slots,
            counts,
            places,
            is_character,
        }
    }

    /// The most frequent pair, the lowest of several; `None` when no pair is left.
    fn most_frequent(&self) -> Option<Pair> {
        let most = self.counts.iter().copied().max().filter(|&most| most > 0)?;
        let at = self.counts.iter().position(|&count| count == most)?;
        Pair::try_from(at).ok()
    }

    /// Replaces every `old`, from the left to the right in each name, by `code`.
    ///
    /// What changes in the counts and what pairs come to be is gathered first: every such pair has
    /// `code` or a half of `old` in it, so that two small arrays hold all, where the table of all
    /// pairs would be in no cache.
    fn replace(&mut self, old: Pair, code: u8) {
        let [first, second] = old.to_le_bytes();
        let (in_front, behind) = (&mut Neighbours::new(), &mut Neighbours::new());
        let places = core::mem::take(&mut self.places[usize::from(old)]);
        let mut replaced = 0;
        for place in places {
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
            in_front.meet(self.slots[before].code, before);
            behind.meet(self.slots[after].code, start);
            let width = one.width + other.width;
            self.slots[next].code = COVERED;
            self.slots[after - 1].width = width;
            self.slots[start] = Slot {
                code: code.into(),
                width,
            };
            replaced += 1;
        }
        self.take(old, replaced);
        for (neighbour, count) in in_front.counts() {
            self.take(pair(neighbour, first), count);
            self.give(pair(neighbour, code), count);
        }
        for (neighbour, count) in behind.counts() {
            self.take(pair(second, neighbour), count);
            self.give(pair(code, neighbour), count);
        }
        for &(neighbour, place) in &in_front.met {
            self.places[usize::from(pair(neighbour, code))].push(place);
        }
        for &(neighbour, place) in &behind.met {
            self.places[usize::from(pair(code, neighbour))].push(place);
        }
        // `code` beside itself was met in front only: when the first was replaced, the second was
        // still `old`
    }

    /// So many of a pair are gone.
    fn take(&mut self, pair: Pair, count: u32) {
        let of = &mut self.counts[usize::from(pair)];
        *of = of.wrapping_sub(count);
    }

    /// So many of a pair have come to be.
    fn give(&mut self, pair: Pair, count: u32) {
        let of = &mut self.counts[usize::from(pair)];
        *of = of.wrapping_add(count);
        self.places[usize::from(pair)].reserve_exact(count as usize);
    }

    fn into_codes(self) -> Codes {
        let mut codes = Codes::default();
        let mut slots = self.slots.iter();
        slots.next(); // the gap in front of the first name
        for slot in slots {
            match u8::try_from(slot.code) {
                Ok(code) => codes.bytes.push(code),
                Err(_) if slot.code == GAP => codes.ends.push(codes.bytes.len() as u32),
                Err(_) => {}
            }
        }
        codes
    }
}

/// The codes that a token was met beside, on one side of it.
struct Neighbours {
    counts: [u32; 256],
    /// Each neighbour, and where the pair with it begins.
    met: Vec<(u8, u32)>,
}

impl Neighbours {
    fn new() -> Self {
        Self {
            counts: [0; 256],
            met: Vec::new(),
        }
    }

    /// Notes a neighbour, if it is a code: there is none at the end of a name.
    fn meet(&mut self, neighbour: u16, place: usize) {
        if let Ok(neighbour) = u8::try_from(neighbour) {
            self.counts[usize::from(neighbour)] += 1;
            self.met.push((neighbour, place as u32)); // it came from a u32, or is less
        }
    }

    fn counts(&self) -> impl Iterator<Item = (u8, u32)> {
        let counts = (0..=255).zip(self.counts);
        counts.filter(|&(_, count)| count > 0)
    }
}
