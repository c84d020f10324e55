//! Merging as simple as can be, and slow: one list of records, searched from its start. It follows
//! GNU ld's steps one by one, where the real one only has the same result.

use std::cmp::Ordering;

use proptest::prelude::*;

use super::{MergeKind, can_merge};

struct Record {
    /// With terminator.
    contents: Vec<u8>,
    align: u64,
    input: usize,
    offset: u64,
    /// The record that this one is in.
    holder: Option<usize>,
    /// A later record with more alignment has taken its place.
    is_replaced: bool,
}

pub(super) struct Reference {
    kind: MergeKind,
    inputs: Vec<Vec<u8>>,
    records: Vec<Record>,
    sizes: Vec<u64>,
    /// The last input that made a record.
    last_new: Option<usize>,
}

impl Reference {
    pub(super) fn merge(kind: MergeKind, inputs: &[Vec<u8>]) -> Self {
        let mut this = Self {
            kind,
            inputs: inputs.to_vec(),
            records: Vec::new(),
            sizes: inputs.iter().map(|data| data.len() as u64).collect(),
            last_new: None,
        };
        for input in 0..inputs.len() {
            this.record_input(input);
        }
        this.hold();
        this.assign();
        this
    }

    pub(super) fn size(&self, input: usize) -> u64 {
        self.sizes[input]
    }

    pub(super) fn bytes(&self, input: usize) -> Vec<u8> {
        if !can_merge(&self.inputs[input], &self.kind) {
            return self.inputs[input].clone();
        }
        let mut bytes = vec![0; self.sizes[input] as usize];
        for record in self.kept().filter(|record| record.input == input) {
            let range = record.offset as usize..record.offset as usize + record.contents.len();
            bytes[range].copy_from_slice(&record.contents);
        }
        bytes
    }

    pub(super) fn place(&self, input: usize, offset: u64) -> (usize, u64) {
        let data = &self.inputs[input];
        if !can_merge(data, &self.kind) {
            return (input, offset);
        }
        if offset >= data.len() as u64 {
            return (input, self.sizes[input]);
        }
        let unit = self.kind.entry_size as usize;
        let mut start = offset as usize / unit * unit;
        while self.kind.strings && start > 0 && data[start - unit..start].iter().any(|b| *b != 0) {
            start -= unit;
        }
        let live = self.find(&self.contents(input, start));
        if let Some(record) = live.map(|index| &self.records[index]) {
            return (record.input, record.offset + offset - start as u64);
        }
        let first = self.kept().next().unwrap();
        let at = first.contents.len() as u64 - unit as u64 + offset % unit as u64;
        (first.input, first.offset + at)
    }

    fn kept(&self) -> impl Iterator<Item = &Record> {
        let is_kept = |record: &&Record| !record.is_replaced && record.holder.is_none();
        self.records.iter().filter(is_kept)
    }

    fn contents(&self, input: usize, start: usize) -> Vec<u8> {
        let unit = self.kind.entry_size as usize;
        let rest = &self.inputs[input][start..];
        if !self.kind.strings {
            return rest[..unit].to_vec();
        }
        let string = rest.chunks(unit).take_while(|c| c.iter().any(|b| *b != 0));
        let mut contents: Vec<u8> = string.flatten().copied().collect();
        contents.resize(contents.len() + unit, 0);
        contents
    }

    fn record_input(&mut self, input: usize) {
        let data = self.inputs[input].clone();
        if !can_merge(&data, &self.kind) {
            return;
        }
        let unit = self.kind.entry_size as usize;
        let align = self.kind.align as usize;
        let mut had_padding = false;
        let mut at = 0;
        while at < data.len() {
            let contents = self.contents(input, at);
            let length = contents.len();
            let own_align = if !self.kind.strings {
                1
            } else if at == 0 {
                align
            } else {
                align.min(1 << at.trailing_zeros())
            };
            self.record(contents, own_align, input);
            at += length;
            while self.kind.strings
                && at < data.len()
                && data[at..at + unit].iter().all(|b| *b == 0)
            {
                if !had_padding && at.is_multiple_of(align) {
                    had_padding = true;
                    self.record(vec![0; unit], align, input);
                }
                at += unit;
            }
        }
    }

    fn find(&self, contents: &[u8]) -> Option<usize> {
        let is_live = |r: &Record| !r.is_replaced && r.contents == contents;
        self.records.iter().position(is_live)
    }

    fn record(&mut self, contents: Vec<u8>, align: usize, input: usize) {
        let align = align as u64;
        if let Some(old) = self.find(&contents) {
            if self.records[old].align >= align {
                return;
            }
            self.records[old].is_replaced = true;
        }
        self.records.push(Record {
            contents,
            align,
            input,
            offset: 0,
            holder: None,
            is_replaced: false,
        });
        self.last_new = Some(input);
    }

    fn hold(&mut self) {
        if !self.kind.strings {
            return;
        }
        let records = &mut self.records;
        let live = |index: &usize| !records[*index].is_replaced;
        let mut order: Vec<usize> = (0..records.len()).filter(live).collect();
        let mut aligns: Vec<u64> = order.iter().map(|index| records[*index].align).collect();
        aligns.dedup();
        let by_length = aligns.len() == 1 && aligns[0] > self.kind.entry_size;
        let unit = self.kind.entry_size as usize;
        let compare = |a: &usize, b: &usize| -> Ordering {
            let text = |index: usize| {
                let contents = &records[index].contents;
                &contents[..contents.len() - unit]
            };
            let (a, b) = (text(*a), text(*b));
            let rank = |text: &[u8]| {
                if by_length {
                    text.len() as u64 % aligns[0]
                } else {
                    0
                }
            };
            (rank(a).cmp(&rank(b))).then_with(|| a.iter().rev().cmp(b.iter().rev()))
        };
        order.sort_by(compare);
        let mut kept: Option<usize> = None;
        for index in order.into_iter().rev() {
            if let Some(long) = kept {
                let (long_record, short) = (&records[long], &records[index]);
                let longer: i64 = long_record.contents.len() as i64 - short.contents.len() as i64;
                if long_record.align >= short.align
                    && longer > 0
                    && longer % short.align as i64 == 0
                    && long_record.contents.ends_with(&short.contents)
                {
                    records[index].holder = Some(long);
                    continue;
                }
            }
            kept = Some(index);
        }
    }

    fn assign(&mut self) {
        for (size, data) in self.sizes.iter_mut().zip(&self.inputs) {
            if can_merge(data, &self.kind) {
                *size = 0;
            }
        }
        for record in &mut self.records {
            if !record.is_replaced && record.holder.is_none() {
                let size = &mut self.sizes[record.input];
                record.offset = size.next_multiple_of(record.align);
                *size = record.offset + record.contents.len() as u64;
            }
        }
        for index in 0..self.records.len() {
            if let Some(holder) = self.records[index].holder {
                let long = &self.records[holder];
                let ahead = long.contents.len() - self.records[index].contents.len();
                let place = (long.input, long.offset + ahead as u64);
                (self.records[index].input, self.records[index].offset) = place;
            }
        }
        let align = self.kind.align;
        let mut merged = self
            .inputs
            .iter()
            .filter(|data| can_merge(data, &self.kind));
        if merged.all(|data| (data.len() as u64).is_multiple_of(align))
            && let Some(last) = self.last_new
        {
            let size = &mut self.sizes[last];
            *size = size.next_multiple_of(align);
        }
    }
}

/// Kinds of sections, of the ordinary and the odd ones that may be merged.
pub(super) const KINDS: [MergeKind; 17] = {
    const fn kind(entry_size: u64, align: u64, strings: bool) -> MergeKind {
        MergeKind {
            entry_size,
            align,
            strings,
        }
    }
    [
        kind(1, 1, true),
        kind(1, 1, true),
        kind(1, 2, true),
        kind(1, 4, true),
        kind(1, 8, true),
        kind(1, 16, true),
        kind(2, 2, true),
        kind(2, 8, true),
        kind(3, 1, true),
        kind(4, 1, true),
        kind(4, 4, true),
        kind(4, 8, true),
        kind(1, 1, false),
        kind(3, 1, false),
        kind(4, 4, false),
        kind(8, 4, false),
        kind(16, 16, false),
    ]
};

/// A kind and the contents of a few sections, small and with few different bytes, so that entries
/// are often equal or end in each other.
pub(super) fn group() -> impl Strategy<Value = (MergeKind, Vec<Vec<u8>>)> {
    let byte = prop_oneof![3 => Just(0), 3 => Just(b'a'), 2 => Just(b'b'), 1 => Just(0xff)];
    let characters = prop::collection::vec(prop::collection::vec(byte, 1..6), 0..16);
    let padded = prop_oneof![Just(true), Just(false)];
    let inputs = prop::collection::vec((characters, any::<bool>()), 1..6);
    let kinds = prop::sample::select(KINDS.as_slice());
    (kinds, inputs, padded).prop_map(|(kind, inputs, all_padded)| {
        let fill = |(runs, padded): (Vec<Vec<u8>>, bool)| {
            // Characters of one repeated byte are equal often; a few are not, nor are whole.
            let unit = kind.entry_size as usize;
            let widen = |run: Vec<u8>| -> Vec<u8> {
                let whole = run.iter().flat_map(|byte| std::iter::repeat_n(*byte, unit));
                whole.collect()
            };
            let mut data: Vec<u8> = runs.into_iter().flat_map(widen).collect();
            if padded && unit > 1 && !data.is_empty() {
                let middle = data.len() / 2;
                data[middle] = b'c';
            }
            if all_padded {
                data.resize(data.len().next_multiple_of(kind.align as usize), 0);
            }
            data
        };
        (kind, inputs.into_iter().map(fill).collect())
    })
}
