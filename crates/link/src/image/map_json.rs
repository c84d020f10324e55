//! The map of an image as JSON (`--map-json`).
//!
//! Addresses are strings in base 16 with `0x`, since readers of JSON may have floating-point numbers
//! only, which cannot hold a kernel's; sizes and offsets are numbers. Everything stands in the order
//! of the file. The structs here are the schema; [`VERSION`] counts changes that break readers.

use serde::Serialize;

use super::map::{MapInput, discarded};
use super::values::SymbolValue;
use crate::id::{OutputId, SectionId};
use crate::input::SymbolPlace;
use crate::output::Piece;
use crate::resolve::Definition;

/// The version of the schema.
const VERSION: u32 = 1;

/// The whole map.
#[derive(Serialize)]
struct ImageMap {
    version: u32,
    output: String,
    architecture: &'static str,
    entry: String,
    /// The regions of MEMORY.
    regions: Vec<RegionMap>,
    /// The program headers.
    segments: Vec<SegmentMap>,
    sections: Vec<OutputMap>,
    /// Input sections that are not in the output.
    discarded: Vec<DiscardedMap>,
    /// Symbols that scripts assign.
    script_symbols: Vec<SymbolMap>,
}

#[derive(Serialize)]
struct RegionMap {
    name: String,
    origin: String,
    length: u64,
    used: u64,
}

#[derive(Serialize)]
struct SegmentMap {
    /// `p_type`.
    #[serde(rename = "type")]
    kind: u32,
    /// Letters of R, W and X.
    flags: String,
    file_offset: u64,
    address: String,
    load_address: String,
    file_size: u64,
    memory_size: u64,
    align: u64,
}

#[derive(Serialize)]
struct OutputMap {
    name: String,
    address: String,
    load_address: String,
    size: u64,
    align: u64,
    /// `sh_type`.
    #[serde(rename = "type")]
    kind: u32,
    /// `sh_flags`.
    flags: u64,
    contents: Vec<ContentMap>,
}

/// What an output section is made of.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum ContentMap {
    /// An input section.
    Input {
        file: String,
        section: String,
        address: String,
        /// Size in the output: strings may be merged, unwind records dropped.
        size: u64,
        input_size: u64,
        align: u64,
        symbols: Vec<SymbolMap>,
    },
    /// A number of the script.
    Data { address: String, size: u64 },
    /// An island of stubs.
    Island {
        address: String,
        size: u64,
        stubs: usize,
        /// Where the stubs lead to, in order.
        targets: Vec<String>,
    },
}

#[derive(Serialize)]
struct SymbolMap {
    name: String,
    address: String,
    size: u64,
    /// Whether other files see it.
    global: bool,
}

#[derive(Serialize)]
struct DiscardedMap {
    file: String,
    section: String,
    size: u64,
}

/// The map as JSON. `entry` is the address that the image starts at.
pub(super) fn text(input: &MapInput<'_, '_>, entry: u64) -> String {
    let layout = input.layout;
    let output = input.options.output.as_deref();
    let map = ImageMap {
        version: VERSION,
        output: output.map_or("a.out".into(), |path| path.display().to_string()),
        architecture: input.arch.name,
        entry: hex(entry),
        regions: layout
            .regions
            .of_script()
            .map(|region| RegionMap {
                name: region.name.clone(),
                origin: hex(region.origin),
                length: region.length,
                used: region.current.wrapping_sub(region.origin),
            })
            .collect(),
        segments: segments(input),
        sections: layout
            .outputs
            .order
            .iter()
            .map(|&output| section(input, output))
            .collect(),
        discarded: discarded(input)
            .map(|id| {
                let section = input.resolved.section(id);
                DiscardedMap {
                    file: file(input, id),
                    section: lossy(section.name),
                    size: section.size,
                }
            })
            .collect(),
        script_symbols: script_symbols(input),
    };
    // Only maps with keys that are no strings cannot be written.
    serde_json::to_string_pretty(&map).unwrap_or_default() + "\n"
}

fn hex(address: u64) -> String {
    format!("{address:#x}")
}

fn lossy(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}

fn file(input: &MapInput<'_, '_>, id: SectionId) -> String {
    let (object, _) = input.resolved.section_place(id);
    input.resolved.objects[object].shown_name().into_owned()
}

fn segments(input: &MapInput<'_, '_>) -> Vec<SegmentMap> {
    // p_flags (ELF gABI chapter 5).
    const LETTERS: [(u32, char); 3] = [(4, 'R'), (2, 'W'), (1, 'X')];
    let segments = input.layout.segments.segments.iter();
    segments
        .map(|segment| {
            let flags = LETTERS.iter().filter(|(bit, _)| segment.flags & bit != 0);
            SegmentMap {
                kind: segment.segment_type,
                flags: flags.map(|&(_, letter)| letter).collect(),
                file_offset: segment.offset,
                address: hex(segment.address),
                load_address: hex(segment.load_address),
                file_size: segment.file_size,
                memory_size: segment.memory_size,
                align: segment.align,
            }
        })
        .collect()
}

fn section(input: &MapInput<'_, '_>, output: OutputId) -> OutputMap {
    let section = &input.layout.outputs.sections[output];
    OutputMap {
        name: lossy(section.name),
        address: hex(section.address),
        load_address: hex(section.load_address),
        size: section.size,
        align: section.align,
        kind: section.file_type(),
        flags: section.file_flags(),
        contents: section
            .pieces
            .iter()
            .filter_map(|piece| content(input, output, piece))
            .collect(),
    }
}

fn content(input: &MapInput<'_, '_>, output: OutputId, piece: &Piece) -> Option<ContentMap> {
    let layout = input.layout;
    let start = layout.outputs.sections[output].address;
    let at = |offset: u64| hex(start.wrapping_add(offset));
    Some(match *piece {
        Piece::Section(id) => {
            let section = input.resolved.section(id);
            let edited = layout.merges.size(id).or_else(|| layout.unwind.size(id));
            ContentMap::Input {
                file: file(input, id),
                section: lossy(section.name),
                address: at(layout.placements.offset(id)),
                size: edited.unwrap_or(section.size),
                input_size: section.size,
                align: section.align,
                symbols: symbols(input, id),
            }
        }
        Piece::Statement(number) => {
            let place = layout.data[number as usize]?;
            ContentMap::Data {
                address: at(place.offset),
                size: place.size.bytes(),
            }
        }
        Piece::Island(number) => {
            let island = &layout.islands.islands[number as usize];
            let targets = island.stubs.iter();
            let targets = targets.map(|&target| hex(input.values.stub_target(target)));
            ContentMap::Island {
                address: at(island.offset),
                size: layout.islands.size(number),
                stubs: island.stubs.len(),
                targets: targets.collect(),
            }
        }
    })
}

/// The symbols that an object has in a section of its own, by address.
fn symbols(input: &MapInput<'_, '_>, id: SectionId) -> Vec<SymbolMap> {
    let resolved = input.resolved;
    let (object, index) = resolved.section_place(id);
    let file = &resolved.objects[object];
    let all = file.symbols.iter().enumerate().skip(1);
    let own = all.filter(|(_, symbol)| {
        symbol.place == SymbolPlace::Section(index) && !symbol.name.is_empty()
    });
    let mut found: Vec<(u64, SymbolMap)> = own
        .filter_map(|(number, symbol)| {
            let global = resolved.global_of(object, number as u32);
            // Another object's definition may have won.
            if let Some(global) = global
                && !matches!(resolved.globals[global].definition,
                    Definition::Object { object: owner, .. } if owner == object)
            {
                return None;
            }
            let SymbolValue::Address { address, .. } = input.values.of(object, number as u32)
            else {
                return None;
            };
            let map = SymbolMap {
                name: lossy(symbol.name),
                address: hex(address),
                size: symbol.size,
                global: global.is_some(),
            };
            Some((address, map))
        })
        .collect();
    found.sort_by(|a, b| (a.0, &a.1.name).cmp(&(b.0, &b.1.name)));
    found.into_iter().map(|(_, map)| map).collect()
}

fn script_symbols(input: &MapInput<'_, '_>) -> Vec<SymbolMap> {
    let mut ids: Vec<_> = input.layout.symbols.keys().copied().collect();
    ids.sort_unstable();
    ids.into_iter()
        .map(|id| SymbolMap {
            name: lossy(input.resolved.globals[id].name),
            address: hex(input.values.global(id).address()),
            size: 0,
            global: true,
        })
        .collect()
}
