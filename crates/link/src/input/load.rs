//! From the command line's names to resolved objects: objects are parsed in parallel where they are
//! many, and join in order.

use hashbrown::HashMap;
use object::elf;
use rayon::prelude::*;
use typed_arena::Arena;

use super::archive::{Archive, Index, all_bytes, base_name, is_archive};
use super::file::{FileData, Files};
use super::just_symbols;
use super::object_file::parse_object;
use super::object_view::{ElfIdent, Object, SymbolPlace};
use crate::error::{LinkError, Result};
use crate::options::{InputFormat, Options};
use crate::resolve::{Demand, GivenInput, Resolved};
use crate::script::{FirstPass, LoadedInput};

/// Bytes of input from which parsing on several threads pays for starting them (measured: a pool
/// of two takes about 0.1 ms to start, parsing takes about 1 ms for 4 MiB of objects).
const PARALLEL_FROM: usize = 4 << 20;

/// What maps name where no symbol made a member join (ld/ldlang.c, `load_symbols`).
const WHOLE_ARCHIVE: &[u8] = b"--whole-archive";

/// Something that joins the link at its place on the command line.
enum Item<'a> {
    Object(Source<'a>),
    Binary(&'a FileData),
    /// An archive of which only what is needed joins, and its group.
    Lazy(Archive<'a>, Option<u32>),
}

/// An object yet to be parsed.
struct Source<'a> {
    name: String,
    base_name: Vec<u8>,
    bytes: &'a [u8],
    /// Whether it joins as a member of a whole archive.
    is_member: bool,
    in_thin_archive: bool,
    /// Whether only its symbols count.
    just_symbols: bool,
}

/// Memory that inputs borrow from and that outlives the link.
#[derive(Default)]
pub struct Storage {
    /// The files.
    pub files: Files,
    /// Names that the linker made.
    pub names: Arena<Vec<u8>>,
}

/// Parses and resolves all inputs.
///
/// # Errors
/// Files that cannot be read or parsed, and symbols that are defined twice.
pub(crate) fn load_inputs<'a, 's>(
    options: &'s Options,
    inputs: &[LoadedInput<'a>],
    needed: impl Iterator<Item = &'s str>,
    mut first_pass: FirstPass<'_>,
    storage: &'a Storage,
    binary_ident: Option<ElfIdent>,
) -> Result<Resolved<'a>> {
    let (items, numbers) = collect_items(inputs, storage)?;
    let parsed = parse_items(&items)?;
    let mut resolved = Resolved::default();
    let hashes = resolved.expect(&parsed);
    let mut parsed = parsed.into_iter().zip(hashes);
    resolved.allow_multiple_definition = options.allow_multiple_definition;
    let named = options.undefined.iter().chain(&options.require_defined);
    for name in named.map(String::as_str).chain(needed) {
        resolved.need(storage.names.alloc(name.as_bytes().to_vec()));
    }
    resolved.wrapped = crate::wrap::wrapped_names(options, storage);
    resolved.inputs = inputs
        .iter()
        .map(|input| GivenInput {
            path: input.file.path().display().to_string(),
            group: input.group,
        })
        .collect();
    // For each archive by its place, which of its members joined already.
    let mut taken = HashMap::new();
    for position in 0..items.len() {
        first_pass.advance(numbers[position], storage, &mut resolved);
        match &items[position] {
            Item::Object(source) => {
                if let Some((object, hashes)) = parsed.next() {
                    let joined = resolved.add_hashed(object, &hashes);
                    if source.is_member {
                        resolved.archive_members.push((joined, WHOLE_ARCHIVE));
                    }
                }
            }
            Item::Binary(file) => {
                let ident =
                    binary_ident.or(resolved.objects.iter().next().map(|first| first.ident));
                let Some(ident) = ident else {
                    return Err(LinkError::UnknownFormat {
                        file: format!(
                            "{} (--format binary needs -m, --oformat or OUTPUT_FORMAT)",
                            file.path().display()
                        ),
                    });
                };
                resolved.add(super::binary::wrap(file, ident, &storage.names));
            }
            Item::Lazy(_, group) => {
                // The first time alone; at its group's end, in turns with the others of it.
                let of_group = |item: &&Item<'a>| matches!(item, Item::Lazy(_, other) if group.is_some() && other == group);
                let is_last = items[position + 1..].iter().all(|item| !of_group(&item));
                let archives: Vec<usize> = if group.is_some() && is_last {
                    (0..=position)
                        .filter(|&other| of_group(&&items[other]))
                        .collect()
                } else {
                    vec![position]
                };
                search_archives(&mut resolved, &items, &archives, &mut taken, storage)?;
            }
        }
    }
    match resolved.errors.len() {
        0 => Ok(resolved),
        1 => Err(resolved.errors.remove(0)),
        _ => Err(LinkError::Several(resolved.errors)),
    }
}

/// What joins, and for each the number of its input on the command line.
fn collect_items<'a>(
    inputs: &[LoadedInput<'a>],
    storage: &'a Storage,
) -> Result<(Vec<Item<'a>>, Vec<usize>)> {
    let mut items = Vec::new();
    let mut numbers = Vec::new();
    for input in inputs {
        let file = input.file;
        if input.format == InputFormat::Binary {
            items.push(Item::Binary(file));
        } else if is_archive(file.bytes()) && input.format == InputFormat::Default {
            let index = match input.whole_archive {
                true => Index::Unused,
                false => Index::Wanted,
            };
            let archive = Archive::parse(file, index)?;
            if input.whole_archive {
                let all = all_bytes(&archive.members, &storage.files)?;
                for (member, bytes) in archive.members.iter().zip(all) {
                    items.push(Item::Object(Source {
                        name: member.name.clone(),
                        base_name: member.base_name.clone(),
                        is_member: true,
                        in_thin_archive: member.is_outside(),
                        just_symbols: false,
                        bytes,
                    }));
                }
            } else {
                items.push(Item::Lazy(archive, input.group));
            }
        } else {
            let path = file.path();
            items.push(Item::Object(Source {
                name: path.display().to_string(),
                base_name: base_name(path.as_os_str().as_encoded_bytes()).to_vec(),
                is_member: false,
                in_thin_archive: false,
                just_symbols: input.format == InputFormat::JustSymbols,
                bytes: file.bytes(),
            }));
        }
        numbers.resize(items.len(), input.number);
    }
    Ok((items, numbers))
}

/// The bytes of an object, or of the first member of an archive.
pub(crate) fn first_object<'a>(file: &'a FileData, storage: &'a Storage) -> Option<&'a [u8]> {
    if !is_archive(file.bytes()) {
        return Some(file.bytes());
    }
    let archive = Archive::parse(file, Index::Unused).ok()?;
    archive.members.first()?.bytes(&storage.files).ok()
}

fn parse_items<'a>(items: &[Item<'a>]) -> Result<Vec<Object<'a>>> {
    let sources: Vec<&Source<'a>> = items
        .iter()
        .filter_map(|item| match item {
            Item::Object(source) => Some(source),
            _ => None,
        })
        .collect();
    let parse = |source: &&Source<'a>| {
        let parse = match source.just_symbols {
            true => just_symbols::parse,
            false => parse_object,
        };
        let mut object = parse(source.name.clone(), &source.base_name, source.bytes)?;
        object.in_thin_archive = source.in_thin_archive;
        Ok(object)
    };
    if sources
        .iter()
        .map(|source| source.bytes.len())
        .sum::<usize>()
        < PARALLEL_FROM
    {
        sources.iter().map(parse).collect()
    } else {
        sources.par_iter().map(parse).collect()
    }
}

/// Takes members that define what is undefined, from the archives at these places in turns, until nothing changes (the order is that of bfd/elflink.c, `elf_link_add_archive_symbols`).
fn search_archives<'a>(
    resolved: &mut Resolved<'a>,
    items: &[Item<'a>],
    archives: &[usize],
    taken: &mut HashMap<usize, Vec<bool>>,
    storage: &'a Storage,
) -> Result<()> {
    loop {
        let before = resolved.objects.len();
        for &position in archives {
            let Item::Lazy(archive, _) = &items[position] else {
                continue;
            };
            let taken = taken
                .entry(position)
                .or_insert_with(|| vec![false; archive.members.len()]);
            loop {
                let before = resolved.objects.len();
                for &(name, number) in &archive.index {
                    let demand = resolved.demand(name);
                    if taken[number] || demand == Demand::None {
                        continue;
                    }
                    let member = &archive.members[number];
                    let bytes = member.bytes(&storage.files)?;
                    let mut object = parse_object(member.name.clone(), &member.base_name, bytes)?;
                    object.in_thin_archive = member.is_outside();
                    if demand == Demand::Any || defines_data(&object, name) {
                        taken[number] = true;
                        let joined = resolved.add(object);
                        resolved.archive_members.push((joined, name));
                    }
                }
                if resolved.objects.len() == before {
                    break;
                }
            }
        }
        if resolved.objects.len() == before {
            return Ok(());
        }
    }
}

/// Whether an archive member gives a common symbol contents (bfd/elflink.c,
/// `is_global_data_symbol_definition`).
fn defines_data(object: &Object<'_>, name: &[u8]) -> bool {
    let globals = object
        .symbols
        .get(object.first_global..)
        .unwrap_or_default();
    globals.iter().any(|symbol| {
        let defined = matches!(
            symbol.place,
            SymbolPlace::Section(_) | SymbolPlace::Absolute
        );
        let function = [elf::STT_FUNC.0, elf::STT_GNU_IFUNC.0].contains(&symbol.symbol_type);
        symbol.name == name && symbol.binding != elf::STB_WEAK.0 && defined && !function
    })
}
