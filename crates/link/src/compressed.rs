//! Compressed debugging sections of inputs: they are unpacked before anything looks at them, as GNU ld
//! does (bfd/compress.c, `bfd_init_section_decompress_status`).
//!
//! A section is packed with a header in front (`SHF_COMPRESSED`, ELF gABI chapter 4), or the older
//! way: its name begins with `.zdebug_`, and its bytes with `ZLIB` and the size, 8 bytes, most
//! significant first.

use std::io::Read;

use flate2::read::ZlibDecoder;
use object::elf;
use rayon::prelude::*;

use crate::error::{LinkError, Result};
use crate::id::ObjectId;
use crate::input::{InputSection, SectionKind, Storage};
use crate::resolve::Resolved;

/// Larger sections are refused: the largest kernels have a tenth of this in all.
const MAX_SIZE: u64 = 1 << 32;

/// Bytes that zlib makes of one at most (zlib's technical details: 1032 to 1).
const ZLIB_RATIO: u64 = 1032;

/// What begins an old section.
const OLD_MAGIC: &[u8] = b"ZLIB";
const OLD_HEADER: usize = 12;
const OLD_PREFIX: &[u8] = b".zdebug_";

/// A packed section, and how to unpack it.
struct Packed<'a> {
    object: ObjectId,
    section: usize,
    method: Method,
    size: u64,
    align: u64,
    data: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Zlib,
    Zstd,
}

/// Unpacks the sections of all objects.
///
/// # Errors
/// [`LinkError::BadSection`] for what cannot be unpacked, or has relocations behind its end.
pub(crate) fn unpack<'a>(resolved: &mut Resolved<'a>, storage: &'a Storage) -> Result<()> {
    let mut all = Vec::new();
    let objects = resolved.objects.iter_ids();
    for (id, object) in objects.filter(|(_, object)| object.rarities.packed) {
        for (number, section) in object.sections.iter().enumerate() {
            if section.kind == SectionKind::Content && is_packed(section) {
                let packed = packed(section, object.ident.is_64, object.ident.big_endian);
                let (method, size, align, data) = packed.ok_or_else(|| {
                    bad(
                        resolved,
                        id,
                        number,
                        "its header says nothing that can be unpacked",
                    )
                })?;
                all.push(Packed {
                    object: id,
                    section: number,
                    method,
                    size,
                    align,
                    data,
                });
            }
        }
    }
    let unpacked: Vec<Option<Vec<u8>>> = all.par_iter().map(unpack_one).collect();
    for (packed, bytes) in all.into_iter().zip(unpacked) {
        let (object, number) = (packed.object, packed.section);
        let bytes = bytes
            .ok_or_else(|| bad(resolved, object, number, "its compressed bytes are damaged"))?;
        let section = &resolved.objects[object].sections[number];
        if let Some(wrong) = section
            .relocations
            .iter()
            .find(|relocation| relocation.offset > packed.size)
        {
            let what = format!("a relocation at {:#x} lies outside of it", wrong.offset);
            return Err(bad(resolved, object, number, &what));
        }
        let renamed = section.name.strip_prefix(OLD_PREFIX).map(|rest| {
            let name = [b".debug_", rest].concat();
            storage.names.alloc(name) as &[u8]
        });
        let section = &mut resolved.objects[object].sections[number];
        section.data = storage.names.alloc(bytes);
        section.size = packed.size;
        section.align = packed.align;
        section.flags &= !elf::SHF_COMPRESSED.0;
        section.name = renamed.unwrap_or(section.name);
    }
    Ok(())
}

/// Whether a section's bytes are not what they stand for.
pub(crate) fn is_packed(section: &InputSection<'_>) -> bool {
    section.flags & elf::SHF_COMPRESSED.0 != 0
        || section.name.starts_with(OLD_PREFIX) && section.data.starts_with(OLD_MAGIC)
}

/// How, to which size and alignment, and from which bytes a section is unpacked.
fn packed<'a>(
    section: &InputSection<'a>,
    is_64: bool,
    big_endian: bool,
) -> Option<(Method, u64, u64, &'a [u8])> {
    let data = section.data;
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = data.get(at..at + length)?;
        let join = |value, &byte: &u8| value << 8 | u64::from(byte);
        Some(match big_endian {
            true => bytes.iter().fold(0, join),
            false => bytes.iter().rev().fold(0, join),
        })
    };
    if section.flags & elf::SHF_COMPRESSED.0 == 0 {
        let size = data.get(OLD_MAGIC.len()..OLD_HEADER)?;
        let size = u64::from_be_bytes(size.try_into().ok()?);
        return Some((Method::Zlib, size, section.align, data.get(OLD_HEADER..)?));
    }
    // Elf32_Chdr: type, size, alignment; Elf64_Chdr: type, four bytes, size, alignment.
    let (size, align, header) = match is_64 {
        true => (number(8, 8)?, number(16, 8)?, 24),
        false => (number(4, 4)?, number(8, 4)?, 12),
    };
    let method = match number(0, 4)? as u32 {
        kind if kind == elf::ELFCOMPRESS_ZLIB.0 => Method::Zlib,
        kind if kind == elf::ELFCOMPRESS_ZSTD.0 => Method::Zstd,
        _ => return None,
    };
    let align = align.max(1);
    align
        .is_power_of_two()
        .then_some((method, size, align, data.get(header..)?))
}

/// The bytes, if they are as many as the header says.
fn unpack_one(packed: &Packed<'_>) -> Option<Vec<u8>> {
    let likely = (packed.data.len() as u64).saturating_mul(ZLIB_RATIO);
    if packed.size > MAX_SIZE || packed.method == Method::Zlib && packed.size > likely + ZLIB_RATIO
    {
        return None;
    }
    let mut bytes = Vec::with_capacity(packed.size.min(likely) as usize);
    let limit = packed.size + 1;
    match packed.method {
        Method::Zlib => {
            let decoder = ZlibDecoder::new(packed.data);
            decoder.take(limit).read_to_end(&mut bytes).ok()?;
        }
        Method::Zstd => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(packed.data).ok()?;
            decoder.take(limit).read_to_end(&mut bytes).ok()?;
        }
    }
    (bytes.len() as u64 == packed.size).then_some(bytes)
}

fn bad(resolved: &Resolved<'_>, object: ObjectId, section: usize, what: &str) -> LinkError {
    let file = &resolved.objects[object];
    LinkError::BadSection {
        file: file.name.clone(),
        section: String::from_utf8_lossy(file.sections[section].name).into_owned(),
        what: what.to_owned(),
    }
}
