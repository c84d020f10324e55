//! Kernels that unpack themselves: bzImage, zImage, vmlinuz.
//!
//! The compressed kernel lies somewhere in the file, behind code that unpacks it. As Linux's
//! `scripts/extract-vmlinux` does, every place that begins like compressed data is tried.

use std::io::Read;

use crate::compressed::UNPACKED_LIMIT;

/// Smaller results are no kernels, in bytes.
const LEAST: usize = 1 << 16;

/// Unpacks what data begin with.
type Unpack = fn(&[u8]) -> Vec<u8>;

/// What begins like compressed data, and how to unpack it.
const FORMATS: [(&[u8], Unpack); 5] = [
    (b"\x1f\x8b\x08", gzip),
    (b"\xfd7zXZ\0", xz),
    (b"\x28\xb5\x2f\xfd", zstd),
    (b"\x02\x21\x4c\x18", lz4),
    (b"\x5d\0\0", lzma),
];

/// Everything in `file` that can be unpacked and is large enough for a kernel, in order.
pub(super) fn payloads(file: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    (0..file.len()).filter_map(|at| {
        let packed = &file[at..];
        let (_, unpack) = FORMATS
            .iter()
            .find(|(magic, _)| packed.starts_with(magic))?;
        let unpacked = unpack(packed);
        (unpacked.len() >= LEAST).then_some(unpacked)
    })
}

/// Reads as far as it goes: behind the data there is more of the file, which some decompressors
/// take for broken data, and what they had read by then is whole.
fn read(reader: impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = reader.take(UNPACKED_LIMIT);
    let _ = reader.read_to_end(&mut bytes);
    bytes
}

fn gzip(packed: &[u8]) -> Vec<u8> {
    read(flate2::read::GzDecoder::new(packed))
}

fn xz(packed: &[u8]) -> Vec<u8> {
    read(lzma_rust2::XzReader::new(packed, false))
}

/// At most this much memory for a dictionary of LZMA, in KiB: that of `lzma -9`, which kernels are
/// packed with.
const LZMA_MEMORY: u32 = 256 << 10;

fn lzma(packed: &[u8]) -> Vec<u8> {
    let reader = lzma_rust2::LzmaReader::new_mem_limit(packed, LZMA_MEMORY, None);
    reader.map(read).unwrap_or_default()
}

fn zstd(packed: &[u8]) -> Vec<u8> {
    let decoder = ruzstd::decoding::StreamingDecoder::new(packed);
    decoder.map(read).unwrap_or_default()
}

/// LZ4's legacy frame, the one that kernels use: blocks, each behind its size in four bytes, until
/// something follows that is no size (lz4, `doc/lz4_Frame_format.md`, "Legacy frame").
fn lz4(packed: &[u8]) -> Vec<u8> {
    /// Bytes of a block when unpacked, at most.
    const BLOCK: usize = 8 << 20;
    let mut bytes = Vec::new();
    let mut rest = packed.get(4..).unwrap_or_default();
    while let Some((size, behind)) = rest.split_first_chunk() {
        let size = u32::from_le_bytes(*size) as usize;
        let Some((block, behind)) = behind.split_at_checked(size) else {
            break;
        };
        let start = bytes.len();
        if size == 0 || unpack_lz4_block(block, &mut bytes, start + BLOCK).is_none() {
            break;
        }
        rest = behind;
        if bytes.len() as u64 > UNPACKED_LIMIT {
            break;
        }
    }
    bytes
}

/// Unpacks one block to the end of `bytes`, which it fills up to `limit` at most; `None` if it is
/// broken (lz4, `doc/lz4_Block_format.md`).
fn unpack_lz4_block(mut block: &[u8], bytes: &mut Vec<u8>, limit: usize) -> Option<()> {
    let start = bytes.len();
    while let Some((&token, rest)) = block.split_first() {
        block = rest;
        let literals = lz4_length(usize::from(token >> 4), &mut block)?;
        let (copied, rest) = block.split_at_checked(literals)?;
        bytes.extend_from_slice(copied);
        block = rest;
        if block.is_empty() {
            break; // the last sequence has literals only
        }
        let (distance, rest) = block.split_first_chunk()?;
        block = rest;
        let distance = usize::from(u16::from_le_bytes(*distance));
        let length = lz4_length(usize::from(token & 15), &mut block)? + 4;
        let from = bytes.len().checked_sub(distance)?;
        if distance == 0 || from < start || bytes.len() + length > limit {
            return None;
        }
        for at in from..from + length {
            bytes.push(bytes[at]); // it may overlap what it makes
        }
    }
    Some(())
}

/// A length of four bits, which more bytes make longer.
fn lz4_length(low: usize, block: &mut &[u8]) -> Option<usize> {
    let mut length = low;
    if low == 15 {
        loop {
            let (&more, rest) = block.split_first()?;
            *block = rest;
            length += usize::from(more);
            if more != 255 {
                break;
            }
        }
    }
    Some(length)
}
