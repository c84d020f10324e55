//! Program properties: `.note.gnu.property` of all inputs becomes one note in the first of them that has
//! one.
//!
//! Source: bfd/elf-properties.c (`_bfd_elf_link_setup_gnu_properties`, `_bfd_elf_parse_gnu_properties`).

use std::collections::BTreeMap;

use klink_arch::{Arch, Class, Endian};
use object::elf;
use rayon::prelude::*;

use crate::id::ObjectId;
use crate::input::{InputSection, Object, Storage};
use crate::resolve::Resolved;

const NAME: &[u8] = b".note.gnu.property";
/// Bytes in front of the properties: sizes, type, and the name `GNU`.
const NOTE_HEADER: usize = 16;
/// Bytes in front of a property's value: its type and its size.
const PROPERTY_HEADER: usize = 8;

/// The properties of an object, by type: bytes of the value, and the value.
type Properties = BTreeMap<u32, (usize, u64)>;

/// Merges the notes. Gives warnings about those that cannot be read.
pub(crate) fn merge<'a>(
    resolved: &mut Resolved<'a>,
    arch: &Arch,
    storage: &'a Storage,
) -> Vec<String> {
    let ids: Vec<ObjectId> = resolved.objects.ids().collect();
    let notes: Vec<(ObjectId, usize)> = ids
        .par_iter()
        .filter_map(|&id| Some((id, note_of(&resolved.objects[id])?)))
        .collect();
    let Some(&(first, index)) = notes.first() else {
        return Vec::new();
    };
    let mut warnings = Vec::new();
    let mut of_objects: Vec<Properties> = Vec::new();
    for &(id, note) in &notes {
        let object = &resolved.objects[id];
        of_objects.push(read(&object.sections[note], arch).unwrap_or_else(|| {
            warnings.push(format!("{}: corrupt GNU_PROPERTY_TYPE", object.name));
            Properties::new()
        }));
    }
    // An object without a note counts too.
    if resolved.objects.len() > notes.len() {
        of_objects.push(Properties::new());
    }
    let merged = join(&of_objects, arch);
    for &(id, note) in &notes {
        resolved.objects[id].sections[note].flags |= elf::SHF_EXCLUDE.0;
    }
    if !merged.is_empty() {
        let section = &mut resolved.objects[first].sections[index];
        let bytes = write(&merged, arch);
        section.flags &= !elf::SHF_EXCLUDE.0;
        section.size = bytes.len() as u64;
        section.data = storage.names.alloc(bytes);
    }
    warnings
}

/// The number of an object's note.
fn note_of(object: &Object<'_>) -> Option<usize> {
    let mut sections = object.sections.iter();
    sections.position(|section| section.section_type == elf::SHT_NOTE.0 && section.name == NAME)
}

/// Bytes that properties are aligned to.
fn unit(arch: &Arch) -> usize {
    match arch.class {
        Class::Elf32 => 4,
        Class::Elf64 => 8,
    }
}

fn number(bytes: &[u8], arch: &Arch) -> u64 {
    let join = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
    match arch.endian {
        Endian::Big => bytes.iter().fold(0, join),
        Endian::Little => bytes.iter().rev().fold(0, join),
    }
}

/// The properties of a note; `None` if it is corrupt.
fn read(section: &InputSection<'_>, arch: &Arch) -> Option<Properties> {
    let mut properties = Properties::new();
    let mut notes = section.data;
    while !notes.is_empty() {
        let word = |at: usize| Some(number(notes.get(at..at + 4)?, arch) as usize);
        let (name, size, kind) = (word(0)?, word(4)?, word(8)?);
        let start = 12_usize.checked_add(name.checked_next_multiple_of(4)?)?;
        let end = start.checked_add(size)?;
        let rest = notes.get(start..end)?;
        let is_property = kind == elf::NT_GNU_PROPERTY_TYPE_0.0 as usize;
        if is_property && notes.get(12..start)? == b"GNU\0" {
            read_properties(rest, arch, &mut properties)?;
        }
        let next = end.checked_next_multiple_of(unit(arch))?;
        notes = notes.get(next..).unwrap_or_default();
    }
    Some(properties)
}

fn read_properties(mut rest: &[u8], arch: &Arch, properties: &mut Properties) -> Option<()> {
    while !rest.is_empty() {
        let kind = number(rest.get(..4)?, arch) as u32;
        let size = number(rest.get(4..PROPERTY_HEADER)?, arch) as usize;
        let end = PROPERTY_HEADER.checked_add(size)?;
        let value = rest.get(PROPERTY_HEADER..end)?;
        if arch.property(kind).is_some() && size <= 8 {
            let entry = properties.entry(kind).or_insert((size, 0));
            entry.1 |= number(value, arch);
        }
        let next = end.checked_next_multiple_of(unit(arch))?;
        rest = rest.get(next..).unwrap_or_default();
    }
    Some(())
}

fn join(of_objects: &[Properties], arch: &Arch) -> Properties {
    let mut all: BTreeMap<u32, usize> = BTreeMap::new();
    for properties in of_objects {
        all.extend(properties.iter().map(|(&kind, &(size, _))| (kind, size)));
    }
    let mut merged = Properties::new();
    for (kind, size) in all {
        let Some(rule) = arch.property(kind) else {
            continue;
        };
        let mut values = of_objects
            .iter()
            .map(|properties| properties.get(&kind).map(|&(_, value)| value));
        let first = values.next().flatten();
        let value = values.fold(first, |before, value| rule.merge(before, value));
        merged.extend(value.map(|value| (kind, (size, value))));
    }
    merged
}

fn write(properties: &Properties, arch: &Arch) -> Vec<u8> {
    let unit = unit(arch);
    let mut bytes = vec![0; NOTE_HEADER];
    let put = |bytes: &mut Vec<u8>, value: u64, size: usize| match arch.endian {
        Endian::Little => bytes.extend(&value.to_le_bytes()[..size]),
        Endian::Big => bytes.extend(&value.to_be_bytes()[8 - size..]),
    };
    for (&kind, &(size, value)) in properties {
        put(&mut bytes, kind.into(), 4);
        put(&mut bytes, size as u64, 4);
        put(&mut bytes, value, size);
        bytes.resize(bytes.len().next_multiple_of(unit), 0);
    }
    let mut header = Vec::new();
    put(&mut header, 4, 4);
    put(&mut header, (bytes.len() - NOTE_HEADER) as u64, 4);
    put(&mut header, elf::NT_GNU_PROPERTY_TYPE_0.0.into(), 4);
    header.extend(b"GNU\0");
    bytes[..NOTE_HEADER].copy_from_slice(&header);
    bytes
}
