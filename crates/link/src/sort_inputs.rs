//! The order of the input sections that one `*(…)` takes: as they came, or sorted as the pattern asks.

use std::cmp::Ordering;

use rayon::prelude::*;

use crate::id::SectionId;
use crate::options::SortSection;
use crate::resolve::Resolved;
use crate::rules::{InputRule, SectionRule, Sort};

/// The sections of a pattern list, in order. `bucket` has them as they came, with the number of the
/// pattern that each matched; `default` is for patterns without SORT (`--sort-section`).
pub(crate) fn sorted(
    resolved: &Resolved<'_>,
    inputs: &InputRule,
    bucket: &[(SectionId, u32)],
    default: Option<SortSection>,
) -> Vec<SectionId> {
    let mut ids: Vec<(SectionId, u32)> = bucket.to_vec();
    if inputs.sort_files {
        ids.sort_by_key(|&(id, _)| &resolved.objects[resolved.section_place(id).0].name);
    } else {
        let sorts: Vec<&'static [Sort]> = inputs
            .sections
            .iter()
            .map(|rule| sort_of(rule, default))
            .collect();
        let sort_at = |pattern: u32| sorts[pattern as usize];
        let first = bucket
            .first()
            .map_or(&[][..], |&(_, pattern)| sort_at(pattern));
        if bucket.iter().any(|&(_, pattern)| sort_at(pattern) != first) {
            return sorted_by_turns(resolved, bucket, &sort_at);
        }
        if !first.is_empty() {
            ids.par_sort_by(|&(a, _), &(b, _)| compare(resolved, first, a, b));
        }
    }
    ids.into_iter().map(|(id, _)| id).collect()
}

/// By what a pattern sorts (ld/ldlang.c, `update_wild_statements`).
fn sort_of(rule: &SectionRule, default: Option<SortSection>) -> &'static [Sort] {
    let is_fixed = rule.keeps_order || [".init", ".fini"].contains(&rule.name.as_str());
    match (rule.sort, default.filter(|_| !is_fixed)) {
        ([], Some(SortSection::Name)) => &[Sort::Name],
        ([], Some(SortSection::Alignment)) => &[Sort::Alignment],
        ([Sort::Name], Some(SortSection::Alignment)) => &[Sort::Name, Sort::Alignment],
        ([Sort::Alignment], Some(SortSection::Name)) => &[Sort::Alignment, Sort::Name],
        (own, _) => own,
    }
}

/// A node of the tree that GNU ld inserts sections into: the nodes on both sides.
#[derive(Default)]
struct Node {
    left: Option<usize>,
    right: Option<usize>,
}

/// The order where patterns sort in different ways. Each section is inserted into one tree, compared
/// with those that are there in the way that its own pattern asks for; one that is not sorted comes
/// behind all that are there (ld/ldlang.c, `wild_sort`).
fn sorted_by_turns(
    resolved: &Resolved<'_>,
    bucket: &[(SectionId, u32)],
    sort_at: &dyn Fn(u32) -> &'static [Sort],
) -> Vec<SectionId> {
    let mut nodes: Vec<Node> = Vec::with_capacity(bucket.len());
    let mut rightmost = 0;
    for (new, &(id, pattern)) in bucket.iter().enumerate() {
        nodes.push(Node::default());
        if new == 0 {
            continue;
        }
        let sort = sort_at(pattern);
        let mut at = if sort.is_empty() { rightmost } else { 0 };
        loop {
            let goes_left = !sort.is_empty() && compare(resolved, sort, id, bucket[at].0).is_lt();
            let side = match goes_left {
                true => &mut nodes[at].left,
                false => &mut nodes[at].right,
            };
            match side {
                Some(next) => at = *next,
                None => {
                    *side = Some(new);
                    if !goes_left && at == rightmost {
                        rightmost = new;
                    }
                    break;
                }
            }
        }
    }
    let mut ids = Vec::with_capacity(bucket.len());
    let mut waiting = Vec::new();
    let mut next = (!nodes.is_empty()).then_some(0);
    loop {
        while let Some(node) = next {
            waiting.push(node);
            next = nodes[node].left;
        }
        let Some(node) = waiting.pop() else {
            return ids;
        };
        ids.push(bucket[node].0);
        next = nodes[node].right;
    }
}

fn compare(resolved: &Resolved<'_>, sort: &[Sort], a: SectionId, b: SectionId) -> Ordering {
    let (a, b) = (resolved.section(a), resolved.section(b));
    let by = |sort: &Sort| match sort {
        Sort::Name => a.name.cmp(b.name),
        Sort::Alignment => b.align.cmp(&a.align),
        Sort::InitPriority => match (init_priority(a.name), init_priority(b.name)) {
            (Some(x), Some(y)) => x.cmp(&y).then(a.name.cmp(b.name)),
            _ => a.name.cmp(b.name),
        },
    };
    sort.iter()
        .map(by)
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// The priority in `.init_array.N` or `.ctors.N`; in the latter it counts backwards from 65535
/// (ld/ldlang.c, `get_init_priority`).
fn init_priority(name: &[u8]) -> Option<u32> {
    let name = std::str::from_utf8(name).ok()?;
    let (head, digits) = name.rsplit_once('.')?;
    let number: u32 = digits.parse().ok()?;
    let backwards = head.ends_with(".ctors") || head.ends_with(".dtors");
    if backwards {
        65535u32.checked_sub(number)
    } else {
        Some(number)
    }
}
