//! The map of an image (`-Map`), in GNU ld's words and columns, for tools that read these.
//!
//! Source: ld/ldlang.c (lang_map and print_*), ld/ldmain.c (add_archive_element), ld/ldlang.c
//! (lang_one_common); widths are those of their format strings.

mod expression;
mod patterns;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_arch::{Arch, Class};
use klink_script::{AssignKind, RegionFlag};

use self::expression::{assertion, assignment};
use self::patterns::{part_of, pattern};
use super::layout::ImageLayout;
use super::values::{SymbolValue, Values};
use crate::assign::LayoutItem;
use crate::id::{OutputId, SectionId, StatementId};
use crate::input::{SectionKind, SymbolPlace};
use crate::options::Options;
use crate::output::Piece;
use crate::report::Report;
use crate::resolve::{Definition, Resolved};
use crate::rules::Part;
use crate::script::{Action, Item, Program};

/// Columns in front of addresses (ld/ldlang.c, `SECTION_NAME_MAP_LENGTH`).
const NAME_WIDTH: usize = 16;
/// Columns in front of expressions, behind those of the name.
const VALUE_WIDTH: usize = 34;
/// Columns of archive members, and of common symbols with their blank.
const MEMBER_WIDTH: usize = 30;
const COMMON_WIDTH: usize = 20;

/// What a map tells of.
pub(super) struct MapInput<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    pub program: &'l Program<'a>,
    pub options: &'l Options,
    pub layout: &'l ImageLayout<'a>,
    pub values: &'l Values<'a, 'l>,
    pub arch: &'static Arch,
}

impl MapInput<'_, '_> {
    /// Adds to the report what was asked for.
    pub(super) fn tell(&self, entry: u64, report: &mut Report) {
        let options = self.options;
        if let Some(destination) = &options.print_map {
            report.add_file(destination, text(self));
        }
        if let Some(destination) = &options.map_json {
            report.add_file(destination, super::map_json::text(self, entry));
        }
        if options.print_memory_usage {
            report.printed += &super::memory_usage::text(&self.layout.regions);
        }
    }
}

/// The map as text.
pub(super) fn text(input: &MapInput<'_, '_>) -> String {
    let mut map = Map {
        input,
        symbols: symbols_by_section(input),
        out: String::new(),
        dot: 0,
    };
    map.archive_members();
    map.commons();
    map.discarded();
    map.memory();
    map.out.push_str("\nLinker script and memory map\n\n");
    let first = map.inputs_before_script();
    map.loads(0, first);
    map.script();
    map.loads(first, usize::MAX);
    let output = input.options.output.as_deref();
    let output = output.map_or("a.out".into(), |path| path.display().to_string());
    let format = input.arch.bfd_names.first().unwrap_or(&"");
    map.out.push_str(&format!("OUTPUT({output} {format})\n"));
    map.out
}

/// The names of globals in each input section, by offset there.
fn symbols_by_section<'a>(
    input: &MapInput<'a, '_>,
) -> HashMap<SectionId, Vec<(u64, &'a [u8])>, RandomState> {
    let resolved = input.resolved;
    let mut found: HashMap<SectionId, Vec<(u64, &[u8])>, RandomState> = HashMap::default();
    for (id, global) in resolved.globals.iter_ids() {
        let section = match global.definition {
            Definition::Object { object, symbol, .. } => {
                let place = resolved.objects[object].symbols[symbol as usize].place;
                let SymbolPlace::Section(index) = place else {
                    continue;
                };
                resolved.section_id(object, index)
            }
            Definition::Made { section, .. } => section,
            _ => continue,
        };
        if let SymbolValue::Address { address, .. } = input.values.global(id) {
            found
                .entry(section)
                .or_default()
                .push((address, global.name));
        }
    }
    for symbols in found.values_mut() {
        symbols.sort_unstable();
    }
    found
}

/// A map that is written.
struct Map<'a, 'l> {
    input: &'l MapInput<'a, 'l>,
    symbols: HashMap<SectionId, Vec<(u64, &'a [u8])>, RandomState>,
    out: String,
    /// Where the section that was told last ends.
    dot: u64,
}

impl Map<'_, '_> {
    /// An address as wide as the architecture's, without `0x`.
    fn digits(&self, address: u64) -> String {
        match self.input.arch.class {
            Class::Elf32 => format!("{:08x}", address & u64::from(u32::MAX)),
            Class::Elf64 => format!("{address:016x}"),
        }
    }

    /// A name, then blanks up to a column; on a line of its own if it is too long.
    fn name(&mut self, name: &str, width: usize) {
        self.out.push_str(name);
        if name.len() >= width - 1 {
            self.out.push('\n');
            self.out.push_str(&" ".repeat(width));
        } else {
            self.out.push_str(&" ".repeat(width - name.len()));
        }
    }

    /// `ADDRESS SIZE`.
    fn extent(&mut self, address: u64, size: u64) {
        let text = format!("0x{} {:>10}", self.digits(address), format!("{size:#x}"));
        self.out.push_str(&text);
    }

    /// A value in the column of addresses, and what it is the value of.
    fn value(&mut self, value: &str, what: &str) {
        let line = format!("{:NAME_WIDTH$}{value:<VALUE_WIDTH$}{what}\n", "");
        self.out.push_str(&line);
    }

    /// Which members of archives joined, and for whose sake.
    fn archive_members(&mut self) {
        let resolved = self.input.resolved;
        for (number, (object, symbol)) in resolved.archive_members.iter().enumerate() {
            if number == 0 {
                self.out
                    .push_str("Archive member included to satisfy reference by file (symbol)\n\n");
            }
            self.name(&resolved.objects[*object].shown_name(), MEMBER_WIDTH);
            if let Some(from) = resolved.first_reference(symbol, *object) {
                self.out.push_str(&resolved.objects[from].shown_name());
                self.out.push(' ');
            }
            let symbol = String::from_utf8_lossy(symbol);
            self.out.push_str(&format!("({symbol})\n"));
        }
    }

    fn commons(&mut self) {
        let resolved = self.input.resolved;
        let mut has_header = false;
        for (_, global) in resolved.globals.iter_ids() {
            let Definition::Made { section, .. } = global.definition else {
                continue;
            };
            if resolved.section(section).name != crate::image::COMMON {
                continue;
            }
            if !has_header {
                self.out.push_str(
                    "\nAllocating common symbols\nCommon symbol       size              file\n\n",
                );
                has_header = true;
            }
            self.name(&String::from_utf8_lossy(global.name), COMMON_WIDTH);
            let (object, _) = resolved.section_place(section);
            let size = format!("{:#x}", global.size);
            let file = resolved.objects[object].shown_name();
            self.out.push_str(&format!("{size:<18}{file}\n"));
        }
    }

    /// Input sections that are not in the output. Those inside KEEP are not told.
    fn discarded(&mut self) {
        let resolved = self.input.resolved;
        if self.input.options.map_without_discarded {
            return;
        }
        let mut has_header = false;
        for id in discarded(self.input) {
            if !has_header {
                self.out.push_str("\nDiscarded input sections\n\n");
                has_header = true;
            }
            let section = resolved.section(id);
            self.input_line(id, 0, section.size);
        }
    }

    fn memory(&mut self) {
        self.out.push_str("\nMemory Configuration\n\n");
        let heads = ["Name", "Origin", "Length", "Attributes"];
        let [name, origin, length, attributes] = heads;
        let line = format!("{name:<16} {origin:<18} {length:<18} {attributes}\n");
        self.out.push_str(&line);
        let regions = &self.input.layout.regions;
        for region in regions.of_script().chain([regions.default_region()]) {
            let origin = self.digits(region.origin);
            let length = self.digits(region.length);
            let line = format!("{:<16} 0x{origin:<16} 0x", region.name);
            self.out.push_str(&line);
            let (with, without) = region.attributes();
            if with.is_empty() && without.is_empty() {
                self.out.push_str(&length);
            } else {
                self.out.push_str(&format!("{length:<17}"));
            }
            self.out.push_str(&letters(with));
            if !without.is_empty() {
                self.out.push('!');
                self.out.push_str(&letters(without));
            }
            self.out.push('\n');
        }
    }

    /// How many inputs stand on the command line before the first script.
    fn inputs_before_script(&self) -> usize {
        let scripts = &self.input.options.scripts;
        scripts
            .first()
            .map_or(usize::MAX, |script| script.inputs_before)
    }

    /// The files that were given, from one to before another.
    fn loads(&mut self, from: usize, to: usize) {
        let inputs = &self.input.resolved.inputs;
        let to = to.min(inputs.len());
        let mut open = None;
        for input in inputs.get(from..to).unwrap_or_default() {
            if open != input.group {
                if open.is_some() {
                    self.out.push_str("END GROUP\n");
                }
                if input.group.is_some() {
                    self.out.push_str("START GROUP\n");
                }
                open = input.group;
            }
            self.out.push_str(&format!("LOAD {}\n", input.path));
        }
        if open.is_some() {
            self.out.push_str("END GROUP\n");
        }
    }

    /// The script with what became of it.
    fn script(&mut self) {
        let program = self.input.program;
        let mut told = 0;
        for &item in &self.input.layout.items {
            let wanted = match item {
                LayoutItem::Statement(number) => Some(Item::Statement(number)),
                LayoutItem::Section(id) => self.input.layout.statements[id].rule.map(Item::Section),
            };
            // /DISCARD/ is no item of the layout.
            if let Some(wanted) = wanted
                && let Some(at) = program.items.iter().position(|&item| item == wanted)
            {
                self.discard_rules(told, at);
                told = told.max(at + 1);
            }
            match item {
                LayoutItem::Statement(number) => self.statement(number, None),
                LayoutItem::Section(id) => self.section(id),
            }
        }
        self.discard_rules(told, program.items.len());
    }

    fn discard_rules(&mut self, from: usize, to: usize) {
        let program = self.input.program;
        for item in program.items.get(from..to).unwrap_or_default() {
            let Item::Section(rule) = *item else { continue };
            let rule = &program.rules.outputs[rule as usize];
            if !rule.discard {
                continue;
            }
            self.out.push_str("\n/DISCARD/\n");
            for part in &rule.parts {
                if let Part::Inputs(inputs) = part {
                    self.out.push_str(&format!(" {}\n", pattern(inputs)));
                }
            }
        }
    }

    /// An output section statement.
    fn section(&mut self, id: StatementId) {
        let layout = self.input.layout;
        let statement = layout.statements[id];
        let rule = statement
            .rule
            .map(|rule| &self.input.program.rules.outputs[rule as usize]);
        let Some(output) = statement.output else {
            let name = rule.map_or(&b""[..], |rule| rule.name);
            let name = String::from_utf8_lossy(name).into_owned();
            self.out.push_str(&format!("\n{name}\n"));
            for part in rule.iter().flat_map(|rule| &rule.parts) {
                match part {
                    Part::Inputs(inputs) => {
                        self.out.push_str(&format!(" {}\n", pattern(inputs)));
                    }
                    Part::Statement { number, .. } => self.statement(*number, None),
                }
            }
            return;
        };
        let section = &layout.outputs.sections[output];
        self.out.push('\n');
        self.name(&String::from_utf8_lossy(section.name), NAME_WIDTH);
        self.extent(section.address, section.size);
        if section.load_address != section.address {
            let load = self.digits(section.load_address);
            self.out.push_str(&format!(" load address 0x{load}"));
        }
        self.out.push('\n');
        self.dot = section.address;
        self.pieces(output, rule.map_or(&[], |rule| &rule.parts));
    }

    /// What an output section is made of, under the patterns that took it.
    fn pieces(&mut self, output: OutputId, parts: &[Part]) {
        let layout = self.input.layout;
        let section = &layout.outputs.sections[output];
        let mut next = 0;
        for piece in &section.pieces {
            let part = match *piece {
                Piece::Section(input) => part_of(self.input.resolved, parts, input),
                Piece::Statement(number) => parts.iter().position(
                    |part| matches!(part, Part::Statement { number: other, .. } if *other == number),
                ),
                Piece::Island(_) => None,
            };
            if let Some(part) = part {
                self.patterns(&parts[next.min(part + 1)..=part]);
                next = next.max(part + 1);
            }
            match *piece {
                Piece::Section(input) => self.input_section(input, output),
                Piece::Statement(number) => self.statement(number, Some(output)),
                Piece::Island(number) => self.island(number, output),
            }
        }
        self.patterns(&parts[next..]);
    }

    fn patterns(&mut self, parts: &[Part]) {
        for part in parts {
            if let Part::Inputs(inputs) = part {
                self.out.push_str(&format!(" {}\n", pattern(inputs)));
            }
        }
    }

    /// Bytes between the end of what was told last and an address.
    fn fill(&mut self, output: OutputId, to: u64) {
        if to <= self.dot {
            return;
        }
        let layout = self.input.layout;
        let start = self.dot - layout.outputs.sections[output].address;
        let gap = layout
            .gaps
            .iter()
            .find(|gap| gap.output == output && gap.start == start);
        let fill: String = gap.map_or(String::new(), |gap| {
            let bytes = layout.fill(gap.fill).iter();
            bytes.map(|byte| format!("{byte:02x}")).collect()
        });
        self.name(" *fill*", NAME_WIDTH);
        self.extent(self.dot, to - self.dot);
        self.out.push_str(&format!(" {fill}\n"));
        self.dot = to;
    }

    fn input_section(&mut self, input: SectionId, output: OutputId) {
        let layout = self.input.layout;
        let section = self.input.resolved.section(input);
        let address = layout.outputs.sections[output]
            .address
            .wrapping_add(layout.placements.offset(input));
        let merged = layout.merges.size(input);
        let edited = merged
            .filter(|&size| size > 0)
            .or_else(|| layout.unwind.size(input));
        // What was merged into another section is told with the size that it had.
        let size = edited.unwrap_or(section.size);
        let is_gone = layout.merges.is_gone(input) || layout.unwind.is_gone(input);
        if !is_gone {
            self.fill(output, address);
        }
        self.input_line(input, address, size);
        if size != section.size {
            let blanks = " ".repeat(NAME_WIDTH + 3 + self.digits(address).len());
            let before = format!("{:#x}", section.size);
            let line = format!("{blanks}{before:>10} (size before relaxing)\n");
            self.out.push_str(&line);
        }
        for (address, name) in self.symbols.remove(&input).unwrap_or_default() {
            let address = self.digits(address);
            let name = String::from_utf8_lossy(name);
            let line = format!("{:NAME_WIDTH$}0x{address}                {name}\n", "");
            self.out.push_str(&line);
        }
        if !is_gone {
            self.dot = self.dot.max(address.wrapping_add(size));
        }
    }

    /// A section's name, place, size and file.
    fn input_line(&mut self, input: SectionId, address: u64, size: u64) {
        let resolved = self.input.resolved;
        let section = resolved.section(input);
        let (object, _) = resolved.section_place(input);
        let name = format!(" {}", String::from_utf8_lossy(section.name));
        self.name(&name, NAME_WIDTH);
        self.extent(address, size);
        let file = resolved.objects[object].shown_name();
        self.out.push_str(&format!(" {file}\n"));
    }

    fn island(&mut self, number: u32, output: OutputId) {
        let islands = &self.input.layout.islands;
        let address = self.input.layout.outputs.sections[output]
            .address
            .wrapping_add(islands.islands[number as usize].offset);
        let size = islands.size(number);
        self.fill(output, address);
        self.name(" .stub", NAME_WIDTH);
        self.extent(address, size);
        self.out.push_str(" linker stubs\n");
        self.dot = self.dot.max(address.wrapping_add(size));
    }

    /// A statement: outside of output sections, or inside one.
    fn statement(&mut self, number: u32, output: Option<OutputId>) {
        let layout = self.input.layout;
        let statement = &self.input.program.statements[number as usize];
        let value = layout.told[number as usize];
        match &statement.action {
            Action::Assign {
                assignment: given,
                global,
            } => {
                let is_dot = given.target.value == ".";
                let provides =
                    matches!(given.kind, AssignKind::Provide | AssignKind::ProvideHidden);
                let shown = match value {
                    Some(value) => format!("0x{}", self.digits(value)),
                    None if provides && global.is_none() => "[!provide]".to_owned(),
                    None => "*undef*".to_owned(),
                };
                self.value(&shown, &assignment(given));
                if let (Some(value), Some(output), true) = (value, output, is_dot) {
                    self.fill(output, value);
                }
            }
            Action::Assert(given) => {
                let shown = format!("0x{}", self.digits(value.unwrap_or(1)));
                self.value(&shown, &assertion(given));
            }
            Action::Fill(_) => {
                let bytes = layout.statement_fills.get(&number);
                let bytes = bytes.map_or(&[][..], |&fill| layout.fill(fill));
                let mask: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                self.out.push_str(&format!(" FILL mask 0x{mask}\n"));
            }
            Action::Data { size, value } => {
                let (Some(place), Some(output)) = (layout.data[number as usize], output) else {
                    return;
                };
                let address = layout.outputs.sections[output]
                    .address
                    .wrapping_add(place.offset);
                self.out.push_str(&" ".repeat(NAME_WIDTH));
                self.extent(address, size.bytes());
                let name = expression::data_name(*size);
                self.out.push_str(&format!(" {name} {:#x}", place.value));
                if let Some(text) = expression::not_a_number(value) {
                    self.out.push_str(&format!(" {text}"));
                }
                self.out.push('\n');
                self.dot = address.wrapping_add(size.bytes());
            }
        }
    }
}

/// Input sections that are not in the output and not inside KEEP, object by object.
pub(super) fn discarded<'l>(
    input: &'l MapInput<'_, '_>,
) -> impl Iterator<Item = SectionId> + use<'l> {
    let resolved = input.resolved;
    let placements = &input.layout.placements;
    let mut kept = crate::gc::KeepPatterns::new(&input.program.rules);
    let mut ids: Vec<SectionId> = resolved.section_ids().collect();
    ids.retain(|&id| {
        let section = resolved.section(id);
        let is_made = resolved.is_made(id) && section.name != crate::image::COMMON;
        section.kind != SectionKind::Meta
            && placements.output(id).is_none()
            && !is_made
            && !kept.matches(resolved, id)
    });
    ids.into_iter()
}

fn letters(flags: &[RegionFlag]) -> String {
    const ORDER: [(RegionFlag, char); 5] = [
        (RegionFlag::Alloc, 'a'),
        (RegionFlag::Executable, 'x'),
        (RegionFlag::ReadOnly, 'r'),
        (RegionFlag::ReadWrite, 'w'),
        (RegionFlag::Initialized, 'l'),
    ];
    let known = ORDER.iter().filter(|(flag, _)| flags.contains(flag));
    known.map(|&(_, letter)| letter).collect()
}
