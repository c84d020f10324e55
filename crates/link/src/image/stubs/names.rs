//! Symbols for stubs (`--stub-symbols`), so that a kernel's stack traces name them.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use object::elf;

use super::StubTarget;
use crate::id::{OutputId, SectionId};
use crate::image::layout::ImageLayout;
use crate::input::SymbolPlace;
use crate::resolve::Resolved;

/// What every name ends in, as in module links.
const SUFFIX: &[u8] = b".stub";

/// A stub and its name.
pub(in crate::image) struct NamedStub {
    /// That of what it goes to, and `.stub`. Where no symbol is: the section's and the offset in it.
    pub name: Vec<u8>,
    pub output: OutputId,
    pub address: u64,
    /// In bytes.
    pub size: u64,
}

/// All stubs, island by island. Names do not depend on addresses: the size of a table of them would
/// never settle.
pub(in crate::image) fn named(resolved: &Resolved<'_>, layout: &ImageLayout<'_>) -> Vec<NamedStub> {
    if layout.islands.islands.is_empty() {
        return Vec::new();
    }
    let names = names(resolved);
    let size = layout.islands.size_of_one();
    let mut found = Vec::new();
    for island in &layout.islands.islands {
        let start = layout.outputs.sections[island.output]
            .address
            .wrapping_add(island.offset);
        for (number, &target) in (0u64..).zip(&island.stubs) {
            let mut name = match target {
                StubTarget::Absolute(address) => format!("{address:#x}").into_bytes(),
                StubTarget::Section(section, offset) => match names.get(&(section, offset)) {
                    Some(&(_, name)) => name.to_vec(),
                    None => {
                        let name = String::from_utf8_lossy(resolved.section(section).name);
                        format!("{name}+{offset:#x}").into_bytes()
                    }
                },
            };
            name.extend_from_slice(SUFFIX);
            found.push(NamedStub {
                name,
                output: island.output,
                address: start.wrapping_add(number.wrapping_mul(size)),
                size,
            });
        }
    }
    found
}

/// The symbol at each place, a global one where there is one, else the first.
fn names<'a>(resolved: &Resolved<'a>) -> HashMap<(SectionId, u64), (bool, &'a [u8]), RandomState> {
    let mut names: HashMap<_, (bool, &[u8]), _> = HashMap::default();
    for (id, object) in resolved.objects.iter_ids() {
        for symbol in &object.symbols {
            let SymbolPlace::Section(section) = symbol.place else {
                continue;
            };
            if symbol.name.is_empty() {
                continue;
            }
            let place = (resolved.section_id(id, section), symbol.value);
            let is_local = symbol.binding == elf::STB_LOCAL.0;
            let name = names.entry(place).or_insert((is_local, symbol.name));
            if name.0 && !is_local {
                *name = (false, symbol.name);
            }
        }
    }
    names
}
