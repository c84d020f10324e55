//! A share of the names while pairs in them are replaced.

use alloc::vec;
use alloc::vec::Vec;

use super::tokens::Codes;

/// Two codes, as `first + 256 * second`.
pub(super) type Pair = u16;

pub(super) fn pair(first: u8, second: u8) -> Pair {
    Pair::from_le_bytes([first, second])
}

/// How many pairs there can be.
pub(super) const PAIRS: usize = 1 << 16;

/// A slot between names.
const GAP: u16 = 0x100;

/// A slot that belongs to a code before it. The first and the last of these say how many slots the
/// code has, in what they are more than this.
const COVERED: u16 = 0x400;

/// More than codes and [`GAP`]; a power of two.
const NEIGHBOURS: usize = 0x200;

/// How often each code, or [`GAP`], was met.
pub(super) type Met = [u32; NEIGHBOURS];

/// What was beside a pair where it was replaced.
#[derive(Clone, Copy)]
pub(super) struct Neighbours {
    pub(super) in_front: Met,
    pub(super) behind: Met,
}

impl Neighbours {
    fn none() -> Self {
        let nothing = [0; NEIGHBOURS];
        Self {
            in_front: nothing,
            behind: nothing,
        }
    }

    pub(super) fn sum(all: &[Self]) -> Self {
        all.iter().fold(Self::none(), |mut sum, one| {
            add(&mut sum.in_front, &one.in_front);
            add(&mut sum.behind, &one.behind);
            sum
        })
    }
}

/// Adds counts to counts of the same things.
pub(super) fn add(to: &mut [u32], from: &[u32]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

/// The codes that were met, and how often.
pub(super) fn codes_of(met: &Met) -> impl Iterator<Item = (u8, u32)> {
    let counts = (0..=255).zip(met).map(|(code, &count)| (code, count));
    counts.filter(|&(_, count)| count > 0)
}

/// Names in one row of slots with a gap between any two.
///
/// A code that has replaced others stays in the slot of the first of them. Its neighbours are found
/// from both sides, since its second and its last slot know how many slots it has.
pub(super) struct Text {
    slots: Vec<u16>,
    /// Slots at which pairs may begin: those of each pair in one row, ascending. The first is of no
    /// pair.
    places: Vec<u32>,
    /// Where in `places` the row of each pair is. A pair gets its row once: when the younger of its
    /// codes comes to be.
    rows: Vec<Row>,
    /// The pairs that were replaced last, and what was beside them.
    replaced: Vec<Replaced>,
    neighbours: Neighbours,
    /// Where in `places` the row of that pair was: no one reads it any more.
    free: Row,
}

/// Where the places of a pair begin and end.
#[derive(Clone, Copy)]
struct Row {
    start: u32,
    /// Zero: the places are not noted.
    end: u32,
}

/// A pair that was replaced.
#[derive(Clone, Copy)]
struct Replaced {
    /// Where the code in front begins.
    before: u32,
    /// Where the pair began.
    start: u32,
    /// The code in front, or [`GAP`].
    in_front: u16,
    /// The code behind, or [`GAP`].
    behind: u16,
}

/// How many slots the code has whose second, or last, slot this is; if it is not one of that code,
/// that has none but its first.
fn width(slot: u16) -> u16 {
    slot.checked_sub(COVERED).unwrap_or(1)
}

impl Text {
    /// Names with their letters in front, and how often each pair occurs in them.
    pub(super) fn of<'n>(names: impl Iterator<Item = (u8, &'n [u8])> + Clone) -> (Self, Vec<u32>) {
        let size: usize = names.clone().map(|(_, name)| name.len() + 2).sum();
        let mut slots = Vec::with_capacity(size + 1);
        let mut counts = vec![0; PAIRS];
        slots.push(GAP);
        for (kind, name) in names {
            slots.push(u16::from(kind));
            slots.extend(name.iter().map(|&byte| u16::from(byte)));
            slots.push(GAP);
            count_pairs(&mut counts, kind, name);
        }
        let text = Self {
            slots,
            places: Vec::new(),
            rows: Vec::new(),
            replaced: Vec::new(),
            neighbours: Neighbours::none(),
            free: Row { start: 0, end: 0 },
        };
        (text, counts)
    }

    /// Notes the places of the pairs that are `wanted`; `counts` says how many each has.
    pub(super) fn note_places(&mut self, counts: &[u32], wanted: impl Fn(Pair) -> bool) {
        let mut end = 1;
        let row = |(pair, &count)| {
            let start = end;
            match wanted(pair) {
                true => end += count,
                false => return Row { start: 0, end: 0 },
            }
            Row { start, end }
        };
        self.rows = (0..=Pair::MAX).zip(counts).map(row).collect();
        // What is not wanted goes to the place that is of no pair, and stays there.
        let next = |row: &Row| (row.start, u32::from(row.end > 0));
        let mut next: Vec<(u32, u32)> = self.rows.iter().map(next).collect();
        self.places = vec![0; end as usize];
        let beside = self.slots.iter().zip(self.slots.iter().skip(1));
        for (place, (&first, &second)) in (0..).zip(beside) {
            if let (Ok(first), Ok(second)) = (u8::try_from(first), u8::try_from(second)) {
                let (next, step) = &mut next[usize::from(pair(first, second))];
                self.places[*next as usize] = place;
                *next += *step;
            }
        }
    }

    /// Replaces every `old`, from the left to the right in each name, by `code`. Says what was in
    /// front of them and behind.
    pub(super) fn replace(&mut self, old: Pair, code: u8) -> Neighbours {
        let [first, second] = old.to_le_bytes().map(u16::from);
        let mut neighbours = Neighbours::none();
        self.replaced.clear();
        let row = self.row_of(old);
        for &place in &self.places[row.start as usize..row.end as usize] {
            let start = place as usize;
            if self.slots[start] != first {
                continue; // overtaken
            }
            let one = width(self.slots[start + 1]);
            let next = start + usize::from(one);
            if self.slots[next] != second {
                continue; // overtaken
            }
            let other = width(self.slots[next + 1]);
            let after = next + usize::from(other);
            let before = start - usize::from(width(self.slots[start - 1]));
            let (in_front, behind) = (self.slots[before], self.slots[after]);
            neighbours.in_front[usize::from(in_front) % NEIGHBOURS] += 1;
            neighbours.behind[usize::from(behind) % NEIGHBOURS] += 1;
            self.replaced.push(Replaced {
                before: before as u32, // it came from a u32, or is less
                start: place,
                in_front,
                behind,
            });
            self.slots[start] = u16::from(code);
            self.slots[next] = COVERED;
            self.slots[start + 1] = COVERED + one + other;
            self.slots[after - 1] = COVERED + one + other;
        }
        self.free = row;
        self.neighbours = neighbours;
        neighbours
    }

    /// The row of a pair, made by looking at every slot if its places were not noted.
    fn row_of(&mut self, pair: Pair) -> Row {
        let row = self.rows[usize::from(pair)];
        if row.end > 0 {
            return row;
        }
        let [first, second] = pair.to_le_bytes().map(u16::from);
        let start = self.places.len() as u32;
        for (place, beside) in (0..).zip(self.slots.windows(2)) {
            let next = place as usize + usize::from(width(beside[1]));
            if beside[0] == first && self.slots[next] == second {
                self.places.push(place);
            }
        }
        let end = self.places.len() as u32;
        Row { start, end }
    }

    /// Notes the places of the pairs that came to be when `code` was put in last: of those with the
    /// codes that are `wanted` in front of it or behind.
    pub(super) fn note_new_places(&mut self, code: u8, wanted: &Wanted) {
        let met = self.neighbours;
        let front = |neighbour| pair(neighbour, code);
        let mut next = self.new_rows(&met.in_front, &wanted.in_front, front);
        for replaced in &self.replaced {
            let (next, step) = &mut next[usize::from(replaced.in_front) % NEIGHBOURS];
            self.places[*next as usize] = replaced.before;
            *next += *step;
        }
        let behind = |neighbour| pair(code, neighbour);
        let mut next = self.new_rows(&met.behind, &wanted.behind, behind);
        for replaced in &self.replaced {
            let (next, step) = &mut next[usize::from(replaced.behind) % NEIGHBOURS];
            self.places[*next as usize] = replaced.start;
            *next += *step;
        }
    }

    /// Makes room for the rows of pairs with the codes that are wanted, where the row of the replaced
    /// pair was if there is enough. Gives where the places with
    /// each neighbour go, and how much further the next one.
    fn new_rows(
        &mut self,
        met: &Met,
        wanted: &[bool; 256],
        pair: impl Fn(u8) -> Pair,
    ) -> [(u32, u32); NEIGHBOURS] {
        let wanted = || {
            (0..=255)
                .zip(met)
                .filter(|&(code, _)| wanted[usize::from(code)])
        };
        let room: u32 = wanted().map(|(_, &count)| count).sum();
        let is_free = room <= self.free.end - self.free.start;
        let mut end = match is_free {
            true => self.free.start,
            false => {
                let end = self.places.len();
                self.places.resize(end + room as usize, 0);
                end as u32
            }
        };
        let mut next = [(0, 0); NEIGHBOURS];
        for (code, &count) in wanted() {
            let start = end;
            end += count;
            self.rows[usize::from(pair(code))] = Row { start, end };
            next[usize::from(code)] = (start, 1);
        }
        if is_free {
            self.free.start = end;
        }
        next
    }

    /// The names as they are now, behind those already in `codes`.
    pub(super) fn add_to(&self, codes: &mut Codes) {
        for &slot in self.slots.iter().skip(1) {
            match u8::try_from(slot) {
                Ok(code) => codes.bytes.push(code),
                Err(_) if slot == GAP => codes.ends.push(codes.bytes.len() as u32),
                Err(_) => {}
            }
        }
    }
}

/// Of which codes in front of a new one, and behind it, the pair may be replaced in its turn.
pub(super) struct Wanted {
    pub(super) in_front: [bool; 256],
    pub(super) behind: [bool; 256],
}

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
