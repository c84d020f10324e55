//! kallsyms: the table of its own symbols that a kernel contains, made in the link
//! (`--kallsyms`).
//!
//! The table is in the image as if a last input object held it: an object with a section for each
//! part of the table, and in each the part's symbol, joins the link before sections are assigned. So
//! the script decides where the table is, and what refers to its symbols finds them.
//!
//! Its size depends on which symbols there are and on their names; these depend on addresses only by
//! way of the filter (without `all-symbols` it tests address ranges) and of stubs that have symbols.
//! So layout, stubs and size are settled in turns ([`KallsymsObject::settle`]).

use klink_arch::Arch;
use klink_script::{Command, SectionItem, Spanned};
use klink_tables::kallsyms::{AddressForm, Filter, Format, Part, Plan, PlanError, Symbol};
use object::elf;
use rayon::prelude::*;

use super::names::listed;
use super::version::KernelVersion;
use crate::error::{LinkError, Result};
use crate::id::{OutputId, SectionId};
use crate::image::contents::MadeContents;
use crate::image::layout::{ImageLayout, LateSizes, Layouter};
use crate::image::made_sections::is_dynamic;
use crate::input::{InputSection, InputSymbol, Object, RawRelocation, Relocations, SymbolPlace};
use crate::options::{KallsymsOptions, Options};
use crate::output::{Outputs, Traits};
use crate::resolve::Resolved;
use crate::script::Sources;
use crate::symtab::SymbolTable;
use crate::target;

/// What errors and maps call the object.
const NAME: &str = "<kallsyms>";

/// Where today's kernels keep the table (Linux, `scripts/kallsyms.c`, `write_src`).
const READ_ONLY_DATA: &[u8] = b".rodata";

/// An output section of this name is for the table alone.
const OWN_SECTION: &str = ".kallsyms";

/// Rounds in which parts of the table may also shrink.
const EXACT_ROUNDS: usize = 6;

/// Rounds after which a table that still changes is an error.
const MAX_ROUNDS: usize = 32;

/// The object that holds the table.
pub(crate) struct KallsymsObject {
    format: Format,
    /// Whether per-CPU symbols are absolute.
    absolute_percpu: bool,
    parts: Vec<(Part, SectionId)>,
}

impl KallsymsObject {
    /// Adds the object behind all others, if `--kallsyms` was given.
    ///
    /// # Errors
    /// The kernel's version cannot be found out.
    pub(crate) fn add(
        resolved: &mut Resolved<'_>,
        options: &Options,
        sources: &Sources,
        arch: &Arch,
    ) -> Result<Option<Self>> {
        let Some(wanted) = &options.kallsyms else {
            return Ok(None);
        };
        let version = KernelVersion::find(options, resolved)?;
        let format = format(wanted, version, arch);
        let section_name = match has_own_section(sources) {
            true => OWN_SECTION.as_bytes(),
            false => READ_ONLY_DATA,
        };
        if is_dynamic(options) && format.addresses == AddressForm::Absolute {
            return Err(LinkError::Kallsyms {
                symbol: String::new(),
                what: "a position-independent kernel cannot hold absolute addresses; \
                       add base-relative"
                    .to_owned(),
            });
        }
        let align = format.version.alignment(format.word) as u64;
        let parts: Vec<Part> = format.parts().collect();
        let names = parts.iter().map(|part| part.symbol(format.addresses));
        let object = resolved.add(Object {
            sections: sections(section_name, align, &parts, arch),
            symbols: symbols(&parts, names),
            first_global: FIRST_PART as usize,
            ..Object::empty(NAME.to_owned(), NAME.as_bytes(), target::ident(arch))
        });
        let sections = (1..).map(|index| resolved.section_id(object, index));
        Ok(Some(Self {
            format,
            absolute_percpu: wanted.absolute_percpu && keeps_percpu(format.addresses),
            parts: parts.iter().copied().zip(sections).collect(),
        }))
    }

    /// Sizes that are not zero, so that a section of the table alone stays in the output while the
    /// table's size is not known.
    pub(in crate::image) fn first_sizes(&self) -> LateSizes {
        self.late_sizes(|_, _| 1)
    }

    /// Lays out until the table has its size. `list` gives the image's symbols as they
    /// stand, from those of an earlier layout if it is given them.
    ///
    /// This ends: names are compressed again only if the kept symbols changed. After
    /// [`EXACT_ROUNDS`], parts only grow, and none beyond what a table of all symbols needs: as long
    /// as stubs do not change, one more round is then the last. Stubs are placed again only if the
    /// larger table pushed some branch out of reach. What contradicts itself all the same, by a
    /// script whose symbols come and go with addresses, ends after [`MAX_ROUNDS`].
    ///
    /// # Errors
    /// Those of the layout, and symbols that a table of this form cannot hold.
    pub(in crate::image) fn settle<'a>(
        &self,
        layouter: &mut Layouter<'a, '_>,
        list: impl Fn(&ImageLayout<'a>, Option<SymbolTable>) -> SymbolTable,
    ) -> Result<(KallsymsTable, SymbolTable)> {
        let mut before: Option<(Plan, Vec<u8>)> = None;
        let mut listed = None;
        for round in 0..MAX_ROUNDS {
            layouter.tie()?;
            let symbols = list(&layouter.layout, listed.take());
            let kept = self.keep(&symbols, &layouter.layout.outputs);
            let key = key(&kept);
            let named = || kept.iter().map(|&(symbol, _)| symbol);
            let (plan, key) = match before.take() {
                Some(known) if known.1 == key => known,
                _ => {
                    let plan = Plan::new(self.format, &named().collect::<Vec<_>>());
                    (plan.map_err(|error| refused(&error, named()))?, key)
                }
            };
            let was = &layouter.layout.late_sizes;
            let sizes = self.sizes(&plan, was, round >= EXACT_ROUNDS);
            if sizes == *was {
                let parts = self.parts.clone();
                let table = KallsymsTable::new(&plan, &kept, parts, &layouter.layout);
                let table = table.map_err(|error| refused(&error, named()))?;
                return Ok((table, symbols));
            }
            layouter.resize(sizes)?;
            before = Some((plan, key));
            listed = Some(symbols);
        }
        Err(LinkError::Unsettled {
            passes: MAX_ROUNDS as u32,
        })
    }

    /// The symbols that belong into the table, each with its address.
    fn keep<'s>(
        &self,
        symbols: &'s SymbolTable,
        outputs: &'s Outputs<'_>,
    ) -> Vec<(Symbol<'s>, u64)> {
        let bounds: Vec<_> = listed(symbols, outputs).filter(Filter::is_bound).collect();
        let filter = Filter::new(&self.format, bounds);
        let kept = listed(symbols, outputs).filter(|symbol| filter.keeps(symbol));
        let named = kept.map(|symbol| {
            let kept = Symbol {
                kind: symbol.kind,
                name: symbol.name,
                percpu: self.absolute_percpu && filter.is_percpu(symbol.address),
            };
            (kept, symbol.address)
        });
        named.collect()
    }

    fn sizes(&self, plan: &Plan, was: &LateSizes, only_grow: bool) -> LateSizes {
        self.late_sizes(|part, section| {
            let mut parts = plan.layout().parts.iter();
            let wanted = parts.find(|&&(other, ..)| other == part);
            let wanted = wanted.map_or(0, |&(_, _, size)| size as u64);
            let least = match only_grow {
                true => was.get(section).unwrap_or(0),
                false => 0,
            };
            wanted.max(least)
        })
    }

    fn late_sizes(&self, size: impl Fn(Part, SectionId) -> u64) -> LateSizes {
        let sizes = self
            .parts
            .iter()
            .map(|&(part, section)| size(part, section));
        match self.parts.first() {
            Some(&(_, first)) => LateSizes::new(first, sizes.collect()),
            None => LateSizes::default(),
        }
    }
}

/// What a plan depends on: two lists of symbols with the same key have the same plan.
fn key(kept: &[(Symbol<'_>, u64)]) -> Vec<u8> {
    let size = kept.iter().map(|(symbol, _)| symbol.name.len() + 3).sum();
    let mut key = Vec::with_capacity(size);
    for (symbol, _) in kept {
        key.extend([symbol.kind, u8::from(symbol.percpu)]);
        key.extend_from_slice(symbol.name);
        key.push(0);
    }
    key
}

fn format(wanted: &KallsymsOptions, version: KernelVersion, arch: &Arch) -> Format {
    let mut format = Format::new(
        version.form(),
        arch.class.into(),
        arch.endian,
        wanted.base_relative,
        wanted.absolute_percpu,
        wanted.all_symbols,
    );
    format.lto_clang = wanted.lto_clang;
    format
}

/// Whether the form can tell an absolute address from others.
fn keeps_percpu(form: AddressForm) -> bool {
    matches!(
        form,
        AddressForm::Absolute | AddressForm::BaseRelativePercpu
    )
}

/// Whether the script has an output section for the table alone.
fn has_own_section(sources: &Sources) -> bool {
    let is_own = |item: &Spanned<SectionItem>| match &item.value {
        SectionItem::Output(section) => section.name.value == OWN_SECTION,
        _ => false,
    };
    sources.commands().any(|command| match command.value {
        Command::Sections(items) => items.iter().any(is_own),
        _ => false,
    })
}

/// Symbols of the object in front of those of the parts: the null symbol and that of the section
/// that holds the base.
const FIRST_PART: u32 = 2;

/// The null section, and one for each part. The base of the addresses is a relocation, whose addend
/// is known last; a loader of a position-independent kernel reads it.
fn sections(
    name: &'static [u8],
    align: u64,
    parts: &[Part],
    arch: &Arch,
) -> Vec<InputSection<'static>> {
    let of_part = |&part: &Part| InputSection {
        align,
        relocations: match arch.word_relocation() {
            Some(word) if part == Part::RelativeBase => Relocations::Made(RawRelocation {
                offset: 0,
                symbol: FIRST_PART - 1,
                number: word.number,
                addend: 0,
            }),
            _ => Relocations::None,
        },
        ..InputSection::plain(name, elf::SHT_PROGBITS.0, elf::SHF_ALLOC.0, &[])
    };
    [InputSection::NULL]
        .into_iter()
        .chain(parts.iter().map(of_part))
        .collect()
}

/// The null symbol, that of the base's section, and one at the beginning of each section.
fn symbols(parts: &[Part], names: impl Iterator<Item = &'static str>) -> Vec<InputSymbol<'static>> {
    let symbol = |name: &'static str, place, binding| InputSymbol {
        name: name.as_bytes(),
        place,
        value: 0,
        size: 0,
        symbol_type: elf::STT_NOTYPE.0,
        binding,
        other: 0,
    };
    let base = (1..)
        .zip(parts)
        .find(|&(_, &part)| part == Part::RelativeBase);
    let base = base.map_or(SymbolPlace::Undefined, |(index, _)| {
        SymbolPlace::Section(index)
    });
    let base = InputSymbol {
        symbol_type: elf::STT_SECTION.0,
        ..symbol("", base, elf::STB_LOCAL.0)
    };
    let named = (1..)
        .zip(names)
        .map(|(index, name)| symbol(name, SymbolPlace::Section(index), elf::STB_GLOBAL.0));
    [InputSymbol::NULL, base].into_iter().chain(named).collect()
}

/// The error of a table that cannot be made.
fn refused<'s>(error: &PlanError, mut symbols: impl Iterator<Item = Symbol<'s>>) -> LinkError {
    let symbol = match *error {
        PlanError::Name { index, .. } | PlanError::Range { index, .. } => symbols.nth(index),
        _ => None,
    };
    let name = symbol.map(|symbol| String::from_utf8_lossy(symbol.name).into_owned());
    LinkError::Kallsyms {
        symbol: name.unwrap_or_default(),
        what: error.to_string(),
    }
}

/// A place in the table that holds an address: a relocation where the kernel is moved.
#[derive(Clone, Copy, Debug)]
pub(in crate::image) struct TableRelocation {
    /// Offset in its section, in bytes.
    pub offset: u64,
    /// The output section that the address is in.
    pub output: OutputId,
    /// The address, from the section's beginning.
    pub addend: i64,
    pub address: u64,
}

/// The finished table.
pub(in crate::image) struct KallsymsTable {
    /// The bytes of each part, its size known to the layout.
    parts: Vec<(SectionId, Vec<u8>)>,
    relocations: Vec<(SectionId, Vec<TableRelocation>)>,
}

impl KallsymsTable {
    fn new(
        plan: &Plan,
        kept: &[(Symbol<'_>, u64)],
        parts: Vec<(Part, SectionId)>,
        layout: &ImageLayout<'_>,
    ) -> Result<Self, PlanError> {
        let address_of = |section| {
            let output = layout.placements.output(section)?;
            let start = layout.outputs.sections[output].address;
            Some(start.wrapping_add(layout.placements.offset(section)))
        };
        let range_of = |part| {
            let mut all = plan.layout().parts.iter();
            let &(_, start, size) = all.find(|&&(other, ..)| other == part)?;
            Some(start..start + size)
        };
        // Only addresses depend on where they stand.
        let mut all = parts.iter();
        let place = all.find_map(|&(part, section)| {
            let start = range_of(part)?.start as u64;
            (part == Part::Addresses).then(|| Some(address_of(section)?.wrapping_sub(start)))?
        });
        let (symbols, addresses): (Vec<_>, Vec<_>) = kept.iter().copied().unzip();
        let encoded = plan.encode(&symbols, &addresses, place.unwrap_or(0))?;
        let mut table = Self {
            parts: Vec::new(),
            relocations: Vec::new(),
        };
        let mut words = encoded.address_words.iter().copied().peekable();
        let mut ordered = parts;
        ordered.sort_by_key(|&(part, _)| range_of(part).map(|range| range.start));
        for (part, section) in ordered {
            let Some(range) = range_of(part) else {
                continue;
            };
            let mut relocations = Vec::new();
            while let Some(word) = words.next_if(|&word| word < range.end) {
                let address = plan.format().word_at(&encoded.bytes, word);
                let place = address.and_then(|address| {
                    let (output, addend) = place_of(layout, address)?;
                    Some((output, addend, address))
                });
                if let Some((output, addend, address)) = place {
                    let relocation = TableRelocation {
                        offset: (word - range.start) as u64,
                        output,
                        addend,
                        address,
                    };
                    relocations.push(relocation);
                }
            }
            table.relocations.push((section, relocations));
            let mut bytes = encoded.bytes.get(range).unwrap_or_default().to_vec();
            bytes.resize(layout.late_sizes.get(section).unwrap_or(0) as usize, 0);
            table.parts.push((section, bytes));
        }
        Ok(table)
    }

    /// Gives the sections what they hold.
    pub(in crate::image) fn fill(&self, contents: &mut MadeContents) {
        for (section, bytes) in &self.parts {
            contents.set(*section, bytes.clone());
        }
    }

    /// The address that the table holds at an offset in one of its sections.
    pub(in crate::image) fn address_at(&self, section: SectionId, offset: u64) -> Option<u64> {
        let mut all = self.relocations(section)?.iter();
        all.find(|relocation| relocation.offset == offset)
            .map(|relocation| relocation.address)
    }

    /// The relocations of a section of the table; `None`: of another section.
    pub(in crate::image) fn relocations(&self, section: SectionId) -> Option<&[TableRelocation]> {
        let mut all = self.relocations.iter();
        all.find(|&&(other, _)| other == section)
            .map(|(_, relocations)| relocations.as_slice())
    }
}

/// The section of the image that an address is in, or ends, and how far in.
fn place_of(layout: &ImageLayout<'_>, address: u64) -> Option<(OutputId, i64)> {
    // Where one section ends another may begin: that is the one meant.
    let mut all = layout.outputs.order.iter().rev().copied();
    let contains = |&id: &OutputId| {
        let section = &layout.outputs.sections[id];
        let offset = address.wrapping_sub(section.address);
        section.traits.contains(Traits::ALLOC) && offset <= section.memory_size()
    };
    let output = all.find(contains)?;
    let offset = address.wrapping_sub(layout.outputs.sections[output].address);
    Some((output, offset.cast_signed()))
}
