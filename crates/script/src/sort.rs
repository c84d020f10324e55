//! The order that `SORT…` gives the sections one input statement takes
//! (`wild_sort` and `compare_section` in ld/ldlang.c of binutils 2.40).

use std::cmp::Ordering;

use crate::ast::{FileSort, SectionSort};

/// What an input section is sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SortKey<'a> {
    /// The section's name.
    pub name: &'a [u8],
    /// Its alignment in bytes, or as a power of two: only the order counts.
    pub alignment: u64,
    /// The archive, if the file is a member of one.
    pub archive: Option<&'a [u8]>,
    /// The file or the member.
    pub file: &'a [u8],
}

impl SectionSort {
    /// Compares two sections. Those that no order is asked for are equal, and
    /// so stay as found.
    pub fn compare(self, a: &SortKey<'_>, b: &SortKey<'_>) -> Ordering {
        let by_name = a.name.cmp(b.name);
        // The greatest alignment comes first.
        let by_alignment = b.alignment.cmp(&a.alignment);
        match self {
            SectionSort::Unspecified | SectionSort::None => Ordering::Equal,
            SectionSort::Name => by_name,
            SectionSort::Alignment => by_alignment,
            SectionSort::NameThenAlignment => by_name.then(by_alignment),
            SectionSort::AlignmentThenName => by_alignment.then(by_name),
            SectionSort::InitPriority => match (init_priority(a.name), init_priority(b.name)) {
                (Some(a), Some(b)) => a.cmp(&b).then(by_name),
                _ => by_name,
            },
        }
    }

    fn is_sorted(self) -> bool {
        !matches!(self, SectionSort::Unspecified | SectionSort::None)
    }
}

/// Puts the sections that one input statement takes in their order.
///
/// `sections` are in the order found – file by file, in each file section by
/// section, and for each section pattern by pattern – each with the order
/// that its pattern asks for. `files` is the statement's
/// [`FileSpec::sort`](crate::FileSpec::sort).
///
/// Patterns of one statement share one order: in `*(SORT(.a*) SORT(.b*))` all
/// sections are sorted together, and what an unsorted pattern takes goes to
/// the end of what is there so far.
pub fn order_sections<'a, T>(
    sections: Vec<(SectionSort, T)>,
    files: Option<FileSort>,
    key: impl Fn(&T) -> SortKey<'a>,
) -> Vec<T> {
    let by_file = files == Some(FileSort::Name);
    let Some(&(first, _)) = sections.first() else {
        return Vec::new();
    };
    let uniform = sections.iter().all(|&(sort, _)| sort == first);
    // Names with and without a priority have no total order.
    if !uniform || first == SectionSort::InitPriority {
        return order_by_tree(sections, by_file, key);
    }
    let mut sections: Vec<T> = sections.into_iter().map(|(_, section)| section).collect();
    if by_file || first.is_sorted() {
        sections.sort_by(|a, b| compare(first, by_file, &key(a), &key(b)));
    }
    sections
}

fn compare(sort: SectionSort, by_file: bool, a: &SortKey<'_>, b: &SortKey<'_>) -> Ordering {
    // By the archive's name first, then by the member's.
    let by_file = match by_file {
        true => {
            let (outer_a, outer_b) = (a.archive.unwrap_or(a.file), b.archive.unwrap_or(b.file));
            outer_a.cmp(outer_b).then_with(|| a.file.cmp(b.file))
        }
        false => Ordering::Equal,
    };
    by_file.then_with(|| sort.compare(a, b))
}

/// Where there is no one total order the result depends on the way to each
/// place: every section is compared, by the rule of its own pattern, with
/// those on a path down a tree, as GNU ld does. The tree is not balanced, so
/// sections that are in order already take quadratic time.
fn order_by_tree<'a, T>(
    sections: Vec<(SectionSort, T)>,
    by_file: bool,
    key: impl Fn(&T) -> SortKey<'a>,
) -> Vec<T> {
    let mut children: Vec<[Option<usize>; 2]> = Vec::with_capacity(sections.len());
    let mut rightmost: Option<usize> = None;
    for (index, (sort, section)) in sections.iter().enumerate() {
        children.push([None, None]);
        let mut parent: Option<(usize, usize)> = None;
        if by_file || sort.is_sorted() {
            let mut next = (index > 0).then_some(0);
            while let Some(at) = next {
                let order = compare(*sort, by_file, &key(section), &key(&sections[at].1));
                let side = usize::from(order != Ordering::Less);
                parent = Some((at, side));
                next = children[at][side];
            }
        } else {
            parent = rightmost.map(|last| (last, 1));
        }
        if let Some((at, side)) = parent {
            children[at][side] = Some(index);
        }
        if parent.is_none() || parent == rightmost.map(|last| (last, 1)) {
            rightmost = Some(index);
        }
    }
    in_order(sections, &children)
}

/// The tree's sections from left to right, without recursion: the tree may be
/// as deep as it has sections.
fn in_order<T>(sections: Vec<(SectionSort, T)>, children: &[[Option<usize>; 2]]) -> Vec<T> {
    let mut left: Vec<Option<T>> = sections
        .into_iter()
        .map(|(_, section)| Some(section))
        .collect();
    let mut ordered = Vec::with_capacity(left.len());
    let mut open = Vec::new();
    let mut next = (!left.is_empty()).then_some(0);
    loop {
        while let Some(at) = next {
            open.push(at);
            next = children[at][0];
        }
        let Some(at) = open.pop() else {
            return ordered;
        };
        ordered.extend(left[at].take());
        next = children[at][1];
    }
}

/// The priority that GCC puts at the end of a section's name: `.NNNNN`, which
/// in `.ctors` and `.dtors` counts from 65535 down.
fn init_priority(name: &[u8]) -> Option<u32> {
    let dot = name.iter().rposition(|&byte| byte == b'.')?;
    let digits = &name[dot + 1..];
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let is_reversed = matches!(&name[..dot], b".ctors" | b".dtors");
    let priority = match is_reversed {
        true => 65535u64.wrapping_sub(number),
        false => number,
    };
    // A C int, as GCC's attribute.
    u32::try_from(priority)
        .ok()
        .filter(|&priority| priority <= i32::MAX as u32)
}
