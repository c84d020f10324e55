//! Compressed debugging sections of the output (`--compress-debug-sections`): once the image is whole,
//! its debugging sections are packed, and what stands behind them moves up.
//!
//! Source: bfd/compress.c (bfd_compress_section_contents), bfd/elf.c (elf_fake_sections,
//! _bfd_elf_assign_file_positions_for_non_load): sections whose names begin with `.debug_` and that
//! are not in memory, where it makes them smaller.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use klink_arch::{Arch, Class, Endian};
use object::elf;
use rayon::prelude::*;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::buffer::Buffer;
use crate::layout::align_up;
use crate::options::CompressDebug;

/// Where the fields of headers are: offset and size in bytes (ELF gABI chapter 4).
struct Fields {
    endian: Endian,
    word: usize,
    table: usize,
    entry_size: usize,
    count: usize,
    names: usize,
    flags: usize,
    offset: usize,
    size: usize,
    link: usize,
    align: usize,
}

impl Fields {
    fn of(arch: &Arch) -> Self {
        let endian = arch.endian;
        match arch.class {
            Class::Elf32 => Self {
                endian,
                word: 4,
                table: 32,
                entry_size: 46,
                count: 48,
                names: 50,
                flags: 8,
                offset: 16,
                size: 20,
                link: 24,
                align: 32,
            },
            Class::Elf64 => Self {
                endian,
                word: 8,
                table: 40,
                entry_size: 58,
                count: 60,
                names: 62,
                flags: 8,
                offset: 24,
                size: 32,
                link: 40,
                align: 48,
            },
        }
    }

    fn read(&self, bytes: &[u8], at: usize, length: usize) -> u64 {
        let bytes = bytes.get(at..at + length).unwrap_or_default();
        let join = |value, &byte: &u8| value << 8 | u64::from(byte);
        match self.endian {
            Endian::Big => bytes.iter().fold(0, join),
            Endian::Little => bytes.iter().rev().fold(0, join),
        }
    }

    fn write(&self, bytes: &mut [u8], at: usize, length: usize, value: u64) {
        let Some(place) = bytes.get_mut(at..at + length) else {
            return;
        };
        match self.endian {
            Endian::Big => place.copy_from_slice(&value.to_be_bytes()[8 - length..]),
            Endian::Little => place.copy_from_slice(&value.to_le_bytes()[..length]),
        }
    }
}

/// A section that is not in memory.
struct Section<'b> {
    /// Where its header is.
    header: usize,
    offset: u64,
    align: u64,
    name: &'b [u8],
    bytes: &'b [u8],
    packed: Option<Vec<u8>>,
}

/// Packs the debugging sections of an image. It is returned as it was if that makes none smaller.
pub(super) fn compress(image: Buffer, arch: &Arch, style: CompressDebug) -> Buffer {
    let fields = Fields::of(arch);
    let Some((mut sections, names)) = sections(&image, &fields) else {
        return image;
    };
    sections.par_iter_mut().for_each(|section| {
        if section.name.starts_with(b".debug_") && !section.bytes.is_empty() {
            let packed = pack(section, &fields, style);
            section.packed = packed.filter(|packed| packed.len() < section.bytes.len());
        }
    });
    if sections.iter().all(|section| section.packed.is_none()) {
        return image;
    }
    rebuild(&image, &fields, &sections, names, style).into()
}

/// The sections that are not in memory, by offset, and which of them has the names of all.
fn sections<'b>(image: &'b [u8], fields: &Fields) -> Option<(Vec<Section<'b>>, usize)> {
    let table = fields.read(image, fields.table, fields.word) as usize;
    let step = fields.read(image, fields.entry_size, 2) as usize;
    let read = |header: usize, field: usize| fields.read(image, header + field, fields.word);
    let count = match fields.read(image, fields.count, 2) {
        0 => read(table, fields.size) as usize,
        count => count as usize,
    };
    let names = match fields.read(image, fields.names, 2) as u16 {
        number if number == elf::SHN_XINDEX.0 => {
            fields.read(image, table + fields.link, 4) as usize
        }
        number => usize::from(number),
    };
    let names_header = table + names * step;
    let strings = image.get(read(names_header, fields.offset) as usize..)?;
    let mut sections = Vec::new();
    for header in (1..count).map(|number| table + number * step) {
        let is_in_memory = read(header, fields.flags) & elf::SHF_ALLOC.0 != 0;
        let has_bytes = fields.read(image, header + 4, 4) as u32 != elf::SHT_NOBITS.0;
        if is_in_memory || !has_bytes {
            continue;
        }
        let (offset, size) = (read(header, fields.offset), read(header, fields.size));
        let name = strings.get(fields.read(image, header, 4) as usize..)?;
        sections.push(Section {
            header,
            offset,
            align: read(header, fields.align).max(1),
            name: name.split(|&byte| byte == 0).next()?,
            bytes: image.get(offset as usize..(offset + size) as usize)?,
            packed: None,
        });
    }
    sections.sort_by_key(|section| section.offset);
    let names = sections
        .iter()
        .position(|section| section.header == names_header)?;
    Some((sections, names))
}

/// A section's bytes, packed, with the header that says so.
fn pack(section: &Section<'_>, fields: &Fields, style: CompressDebug) -> Option<Vec<u8>> {
    let size = section.bytes.len() as u64;
    let mut out = match style {
        CompressDebug::None => return None,
        CompressDebug::ZlibGnu => [&b"ZLIB"[..], &size.to_be_bytes()].concat(),
        CompressDebug::Zlib | CompressDebug::Zstd => {
            let kind = match style {
                CompressDebug::Zstd => elf::ELFCOMPRESS_ZSTD,
                _ => elf::ELFCOMPRESS_ZLIB,
            };
            // Elf32_Chdr and Elf64_Chdr; the latter has four bytes behind the type.
            let mut header = vec![0; 3 * fields.word];
            fields.write(&mut header, 0, 4, u64::from(kind.0));
            fields.write(&mut header, fields.word, fields.word, size);
            fields.write(&mut header, 2 * fields.word, fields.word, section.align);
            header
        }
    };
    match style {
        CompressDebug::Zstd => {
            out.extend(compress_to_vec(section.bytes, CompressionLevel::Fastest));
        }
        _ => {
            let mut encoder = ZlibEncoder::new(out, Compression::default());
            encoder.write_all(section.bytes).ok()?;
            out = encoder.finish().ok()?;
        }
    }
    Some(out)
}

/// The file with packed sections in the place of the others.
fn rebuild(
    image: &[u8],
    fields: &Fields,
    sections: &[Section<'_>],
    names: usize,
    style: CompressDebug,
) -> Vec<u8> {
    let table = fields.read(image, fields.table, fields.word) as usize;
    let first = sections.first().map_or(0, |section| section.offset);
    let mut out = image[..first as usize].to_vec();
    let mut headers = image[table..].to_vec();
    let mut strings = sections[names].bytes.to_vec();
    if style == CompressDebug::ZlibGnu {
        for section in sections.iter().filter(|section| section.packed.is_some()) {
            let name = strings.len() as u64;
            strings.extend_from_slice(b".z");
            strings.extend_from_slice(&section.name[1..]);
            strings.push(0);
            fields.write(&mut headers, section.header - table, 4, name);
        }
    }
    for (number, section) in sections.iter().enumerate() {
        let header = section.header - table;
        let mut set = |field: usize, value: u64| {
            fields.write(&mut headers, header + field, fields.word, value);
        };
        let mut align = section.align;
        let bytes = match &section.packed {
            _ if number == names => &strings,
            None => section.bytes,
            Some(packed) => {
                if style != CompressDebug::ZlibGnu {
                    align = fields.word as u64;
                    let flags = fields.read(image, section.header + fields.flags, fields.word);
                    set(fields.flags, flags | elf::SHF_COMPRESSED.0);
                    set(fields.align, align);
                }
                packed
            }
        };
        pad(&mut out, align);
        set(fields.offset, out.len() as u64);
        set(fields.size, bytes.len() as u64);
        out.extend_from_slice(bytes);
    }
    pad(&mut out, fields.word as u64);
    let at = out.len() as u64;
    fields.write(&mut out, fields.table, fields.word, at);
    out.extend(headers);
    out
}

fn pad(out: &mut Vec<u8>, align: u64) {
    let end = align_up(out.len() as u64, align).unwrap_or(0) as usize;
    out.resize(end.max(out.len()), 0);
}
