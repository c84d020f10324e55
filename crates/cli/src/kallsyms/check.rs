//! The table of a kernel against its symbol table.

use std::collections::BTreeMap;

use klink_tables::kallsyms::{AddressForm, Filter, Format, Table, Version};
use serde_json::{Value, json};

use super::kernel::{Error, Kernel};

/// A symbol without its name.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Place {
    pub(super) address: u64,
    pub(super) kind: u8,
}

/// A symbol that is in both, with another address or letter.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) name: Vec<u8>,
    pub(super) found: Place,
    pub(super) expected: Place,
}

/// What differs.
#[derive(Debug, Default)]
pub(super) struct Differences {
    /// Symbols that the table should have.
    pub(super) expected: usize,
    pub(super) wrong: Vec<Wrong>,
    pub(super) missing: Vec<(Vec<u8>, Place)>,
    pub(super) surplus: Vec<(Vec<u8>, Place)>,
    /// The first symbol that is below the one before it.
    pub(super) out_of_order: Option<u32>,
    /// The first entry of `kallsyms_seqs_of_names` that sorts before the one before it.
    pub(super) names_out_of_order: Option<u32>,
}

impl Differences {
    pub(super) fn is_empty(&self) -> bool {
        self.wrong.is_empty()
            && self.missing.is_empty()
            && self.surplus.is_empty()
            && self.out_of_order.is_none()
            && self.names_out_of_order.is_none()
    }

    pub(super) fn json(&self) -> Value {
        let address = |place: &Place| format!("{:#x}", place.address);
        let kind = |place: &Place| char::from(place.kind);
        let wrong = self.wrong.iter().map(|wrong| {
            json!({
                "name": String::from_utf8_lossy(&wrong.name),
                "address": address(&wrong.found),
                "kind": kind(&wrong.found),
                "expected_address": address(&wrong.expected),
                "expected_kind": kind(&wrong.expected),
            })
        });
        let list = |symbols: &[(Vec<u8>, Place)]| {
            let one = |(name, place): &(Vec<u8>, Place)| {
                json!({
                    "name": String::from_utf8_lossy(name),
                    "address": address(place),
                    "kind": kind(place),
                })
            };
            symbols.iter().map(one).collect::<Vec<_>>()
        };
        json!({
            "expected": self.expected,
            "wrong": wrong.collect::<Vec<_>>(),
            "missing": list(&self.missing),
            "surplus": list(&self.surplus),
            "out_of_order": self.out_of_order,
            "names_out_of_order": self.names_out_of_order,
        })
    }
}

/// Compares the table with what the generator of this version would keep of the symbol table.
///
/// # Errors
/// [`Error::NoSymbols`] and [`Error::Elf`].
pub(super) fn check(kernel: &Kernel, table: &Table<'_>) -> Result<Differences, Error> {
    let symbols = kernel.symbols()?;
    if symbols.is_empty() {
        return Err(Error::NoSymbols);
    }
    let format = format(kernel, table);
    let mut filter = Filter::new(&format, symbols.iter().copied());
    // without CONFIG_KALLSYMS_ALL, there is nothing outside of text
    if table.iter().any(|entry| !filter.is_in_text(entry.address)) {
        let all = Format {
            all_symbols: true,
            ..format
        };
        filter = Filter::new(&all, symbols.iter().copied());
    }
    let keeps_percpu = format.addresses == AddressForm::BaseRelativePercpu;
    let mut by_name: BTreeMap<Vec<u8>, (Vec<Place>, Vec<Place>)> = BTreeMap::new();
    let mut differences = Differences {
        out_of_order: table.first_out_of_order(),
        names_out_of_order: table.first_name_out_of_order(),
        ..Differences::default()
    };
    for symbol in symbols.iter().filter(|symbol| filter.keeps(symbol)) {
        differences.expected += 1;
        let is_percpu = keeps_percpu && filter.is_percpu(symbol.address);
        let kind = if is_percpu { b'A' } else { symbol.kind };
        let address = symbol.address;
        let entry = by_name.entry(symbol.name.to_vec()).or_default();
        entry.0.push(Place { address, kind });
    }
    for entry in table.iter() {
        let place = Place {
            address: entry.address,
            kind: entry.kind,
        };
        let name = entry.name.bytes().collect();
        by_name.entry(name).or_default().1.push(place);
    }
    for (name, (expected, found)) in by_name {
        differences.compare(name, expected, found);
    }
    Ok(differences)
}

impl Differences {
    /// Compares all symbols of one name.
    fn compare(&mut self, name: Vec<u8>, mut expected: Vec<Place>, mut found: Vec<Place>) {
        expected.sort_unstable();
        found.sort_unstable();
        found.retain(
            |place| match expected.iter().position(|other| other == place) {
                Some(same) => {
                    expected.remove(same);
                    false
                }
                None => true,
            },
        );
        let both = expected.len().min(found.len());
        for (&expected, &found) in expected.iter().zip(&found) {
            let name = name.clone();
            self.wrong.push(Wrong {
                name,
                found,
                expected,
            });
        }
        let rest = |places: &[Place]| {
            let rest = places[both..].iter();
            rest.map(|&place| (name.clone(), place)).collect::<Vec<_>>()
        };
        self.missing.extend(rest(&expected));
        self.surplus.extend(rest(&found));
    }
}

/// The form as far as it says which symbols there should be. What the bytes leave open tell the
/// kernel's banner and, of the symbols of the table itself, the table.
fn format(kernel: &Kernel, table: &Table<'_>) -> Format {
    let parts = table.parts();
    let by_form = kernel.image().version;
    let by_banner = kernel.version();
    let by_banner = by_banner.and_then(|(major, minor)| Version::of(major, minor));
    let mut version = by_banner.map_or(by_form, |version| version.max(by_form));
    let has_itself = table.find_name(b"kallsyms_names").next().is_some();
    if has_itself && version >= Version::V6_4 {
        version = version.max(Version::V6_10);
    }
    Format {
        version,
        word: parts.word,
        endian: parts.endian,
        addresses: parts.form,
        all_symbols: false,
        lto_clang: false,
    }
}
