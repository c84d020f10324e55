//! Symbols: the same multiset, whatever their order.

use std::collections::HashMap;

use super::elf::{Elf, Home, STT_FILE, Symbol};
use super::pair::{Identities, Pairing, Place};
use super::report::{Difference, Kind};

/// Everything that a symbol says, with its section made comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key<'a> {
    name: &'a str,
    place: Place,
    value: u64,
    size: u64,
    bind: u8,
    kind: u8,
    other: u8,
}

impl<'a> Key<'a> {
    fn of(symbol: &'a Symbol, identities: &Identities) -> Self {
        Key {
            name: &symbol.name,
            place: identities.place(symbol.home),
            value: symbol.value,
            size: symbol.size,
            bind: symbol.bind,
            kind: symbol.kind,
            other: symbol.other,
        }
    }
}

/// A symbol of one file that the other lacks.
type Left<'a> = (Key<'a>, &'a Symbol);

/// Compares all symbols but the null one.
pub(super) fn compare(a: &Elf<'_>, b: &Elf<'_>, pairing: &Pairing, found: &mut Vec<Difference>) {
    let mut counts: HashMap<Key<'_>, usize> = HashMap::new();
    for symbol in b.symbols.iter().skip(1) {
        *counts.entry(Key::of(symbol, &pairing.b)).or_insert(0) += 1;
    }
    let mut left_a: Vec<Left<'_>> = Vec::new();
    for symbol in a.symbols.iter().skip(1) {
        let key = Key::of(symbol, &pairing.a);
        match counts.get_mut(&key) {
            Some(count) if *count > 0 => *count -= 1,
            _ => left_a.push((key, symbol)),
        }
    }
    let mut left_b: Vec<Left<'_>> = Vec::new();
    for symbol in b.symbols.iter().skip(1) {
        let key = Key::of(symbol, &pairing.b);
        if let Some(count) = counts.get_mut(&key).filter(|count| **count > 0) {
            *count -= 1;
            left_b.push((key, symbol));
        }
    }
    left_a.sort_unstable_by_key(|(key, _)| *key);
    left_b.sort_unstable_by_key(|(key, _)| *key);
    // Of those left, first pair the ones that agree in name and section, then
    // the ones that agree in name; each pair is one difference and not two.
    report_pairs((a, &mut left_a), (b, &mut left_b), found, |key| {
        (key.name, Some(key.place))
    });
    report_pairs((a, &mut left_a), (b, &mut left_b), found, |key| {
        (key.name, None)
    });
    report_rest(a, left_a, Kind::SymbolMissing, found);
    report_rest(b, left_b, Kind::SymbolExtra, found);
}

fn report_pairs<'a>(
    (a, left_a): (&Elf<'_>, &mut Vec<Left<'a>>),
    (b, left_b): (&Elf<'_>, &mut Vec<Left<'a>>),
    found: &mut Vec<Difference>,
    by: impl Fn(&Key<'a>) -> (&'a str, Option<Place>),
) {
    let mut candidates: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, (key, _)) in left_b.iter().enumerate().rev() {
        if !key.name.is_empty() {
            candidates.entry(by(key)).or_default().push(index);
        }
    }
    let mut used = vec![false; left_b.len()];
    left_a.retain(|(key, symbol)| {
        let Some(index) = candidates.get_mut(&by(key)).and_then(Vec::pop) else {
            return true;
        };
        used[index] = true;
        let what = format!("symbol {}", key.name);
        let (of_a, of_b) = (describe(a, symbol), describe(b, left_b[index].1));
        let difference = Difference::new(Kind::Symbol, what, of_a, of_b);
        found.push(match symbol.home {
            Home::Section(id) => {
                let offset = symbol.value.wrapping_sub(a.base(id));
                difference.at(a, id, offset)
            }
            _ => difference,
        });
        false
    });
    let mut used = used.into_iter();
    left_b.retain(|_| used.next() != Some(true));
}

fn report_rest(elf: &Elf<'_>, left: Vec<Left<'_>>, kind: Kind, found: &mut Vec<Difference>) {
    for (_, symbol) in left {
        let text = describe(elf, symbol);
        let none = "no such symbol".to_owned();
        let (a, b) = match kind {
            Kind::SymbolMissing => (text, none),
            _ => (none, text),
        };
        let (kind, what) = match (symbol.is_section(), symbol.kind) {
            (true, _) => (Kind::SectionSymbol, "section symbol".to_owned()),
            (_, STT_FILE) => (Kind::FileSymbol, format!("file symbol {}", symbol.name)),
            _ => (kind, format!("symbol {}", symbol.name)),
        };
        found.push(Difference::new(kind, what, a, b));
    }
}

/// A symbol's attributes for people.
pub(super) fn describe(elf: &Elf<'_>, symbol: &Symbol) -> String {
    let home = match symbol.home {
        Home::Undefined => "undefined".to_owned(),
        Home::Absolute => "absolute".to_owned(),
        Home::Common => "common".to_owned(),
        Home::Section(id) => format!("in {}", super::sections::label(elf, id)),
        Home::Reserved(number) => format!("in reserved section {number:#x}"),
    };
    let bind = match symbol.bind {
        0 => "local".to_owned(),
        1 => "global".to_owned(),
        2 => "weak".to_owned(),
        other => format!("binding {other}"),
    };
    let kind = match symbol.kind {
        0 => "notype".to_owned(),
        1 => "object".to_owned(),
        2 => "function".to_owned(),
        3 => "section".to_owned(),
        4 => "file".to_owned(),
        5 => "common".to_owned(),
        6 => "tls".to_owned(),
        other => format!("type {other}"),
    };
    format!(
        "{bind} {kind} {home}, value {:#x}, size {}, other {:#x}",
        symbol.value, symbol.size, symbol.other
    )
}
