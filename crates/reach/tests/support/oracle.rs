//! The fewest stubs by trying everything: every allowed order, every way of
//! every branch, every order of stubs in an island. Only for tiny problems.

use super::Owned;
use klink_reach::*;

/// The fewest stubs with which all branches reach; `None` if they cannot.
pub fn fewest_stubs(owned: &Owned) -> Option<usize> {
    let count = owned.sections.len();
    let mut best = None;
    for order in permutations(count) {
        let place = |at: usize| {
            order
                .iter()
                .position(|&section| section == at)
                .unwrap_or(at)
        };
        if !allowed(owned, &order, place) {
            continue;
        }
        let slots: Vec<usize> = (0..=count)
            .filter(|&slot| match (slot, order.get(slot)) {
                (0, _) => owned.ends.front,
                (_, None) => owned.ends.behind,
                (_, Some(&next)) => next == 0 || !owned.sections[next].glued,
            })
            .collect();
        let mut search = Search {
            owned,
            order: &order,
            slots: &slots,
            best,
            ways: Vec::new(),
        };
        search.branch();
        best = search.best;
    }
    best
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..count {
        let insert = |order: Vec<usize>| {
            (0..=order.len()).map(move |at| {
                let mut order = order.clone();
                order.insert(at, next);
                order
            })
        };
        all = all.into_iter().flat_map(insert).collect();
    }
    all
}

/// Whether only movable chains passed each other, and chains are whole.
fn allowed(owned: &Owned, order: &[usize], place: impl Fn(usize) -> usize) -> bool {
    let sections = &owned.sections;
    let chain = |at: usize| {
        (0..=at)
            .rev()
            .find(|&i| i == 0 || !sections[i].glued)
            .unwrap_or(0)
    };
    let movable = |at: usize| {
        (0..order.len())
            .filter(|&i| chain(i) == chain(at))
            .all(|i| sections[i].movable)
    };
    for (a, section) in sections.iter().enumerate() {
        if a > 0 && section.glued && place(a) != place(a - 1) + 1 {
            return false;
        }
        for b in a + 1..order.len() {
            // They may swap only if both, and all between them, may move.
            if place(a) > place(b) && (owned.reorder == Reorder::Keep || !(a..=b).all(&movable)) {
                return false;
            }
        }
    }
    true
}

struct Search<'a> {
    owned: &'a Owned,
    order: &'a [usize],
    slots: &'a [usize],
    best: Option<usize>,
    /// Of the branches decided on: the slot, or directly.
    ways: Vec<Option<usize>>,
}

impl Search<'_> {
    /// Decides on the next branch.
    fn branch(&mut self) {
        let stubs = self.stubs();
        if self.best.is_some_and(|best| stubs.len() >= best) {
            return;
        }
        let Some(branch) = self.owned.branches.get(self.ways.len()) else {
            if stub_orders(&stubs).iter().any(|stubs| self.reaches(stubs)) {
                self.best = Some(stubs.len());
            }
            return;
        };
        let mut ways = vec![None];
        if self.owned.forms[branch.form.index()].stub {
            ways.extend(self.slots.iter().map(|&slot| Some(slot)));
        }
        for way in ways {
            self.ways.push(way);
            self.branch();
            self.ways.pop();
        }
    }

    /// The stubs that the ways so far need, by slot.
    fn stubs(&self) -> Vec<(usize, Target)> {
        let ways = self.ways.iter().zip(&self.owned.branches);
        let mut stubs: Vec<_> = ways
            .filter_map(|(way, branch)| Some(((*way)?, branch.target)))
            .collect();
        stubs.sort_unstable();
        stubs.dedup();
        stubs
    }

    fn reaches(&self, stubs: &[(usize, Target)]) -> bool {
        let owned = self.owned;
        let mut offsets = vec![0; owned.sections.len()];
        let mut places = Vec::new();
        let mut end = 0u64;
        for slot in 0..=self.order.len() {
            for stub in stubs.iter().filter(|stub| stub.0 == slot) {
                end = end.next_multiple_of(owned.stubs.align);
                places.push((*stub, end as i64));
                let size = match stub.1 {
                    Target::External(_) => owned.stubs.external,
                    Target::Section { .. } | Target::Fixed(_) => owned.stubs.internal,
                };
                end += size.next_multiple_of(owned.stubs.align);
            }
            if let Some(&section) = self.order.get(slot) {
                end = end.next_multiple_of(owned.sections[section].align);
                offsets[section] = end as i64;
                end += owned.sections[section].size;
            }
        }
        self.ways.iter().zip(&owned.branches).all(|(way, branch)| {
            let aim = match (way, branch.target) {
                (Some(slot), target) => places
                    .iter()
                    .find(|place| place.0 == (*slot, target))
                    .map(|place| place.1),
                (None, Target::Section { section, offset }) => {
                    Some(offsets[section.index()] + offset)
                }
                (None, Target::Fixed(offset)) => Some(offset),
                (None, Target::External(_)) => None,
            };
            let site = offsets[branch.section.index()] + branch.offset as i64;
            aim.is_some_and(|aim| owned.forms[branch.form.index()].reaches(aim - site))
        })
    }
}

/// All orders of the stubs within their slots.
fn stub_orders(stubs: &[(usize, Target)]) -> Vec<Vec<(usize, Target)>> {
    let orders = permutations(stubs.len()).into_iter();
    let orders = orders.map(|order| order.into_iter().map(|index| stubs[index]).collect());
    orders
        .filter(|order: &Vec<(usize, Target)>| order.is_sorted_by_key(|stub| stub.0))
        .collect()
}
