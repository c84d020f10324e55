//! Files that may be compressed, as kernels install modules: `.ko.xz`, `.ko.gz`, `.ko.zst`.
//!
//! What a file is, its first bytes say; its name is not asked.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;
use serde::Serialize;

/// Unpacked sizes above this are refused, in bytes: ten times the largest module with its debug
/// information that distributions ship, and small enough that a few at once fit in memory.
pub(crate) const UNPACKED_LIMIT: u64 = 1 << 30;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Compression {
    /// Not at all.
    None,
    /// `.xz`
    Xz,
    /// `.gz`
    Gzip,
    /// `.zst`
    Zstd,
}

impl Compression {
    /// Recognises the first bytes of a file.
    fn of(bytes: &[u8]) -> Self {
        const MAGIC: [(&[u8], Compression); 3] = [
            (b"\xfd7zXZ\0", Compression::Xz),
            (b"\x1f\x8b", Compression::Gzip),
            (b"\x28\xb5\x2f\xfd", Compression::Zstd),
        ];
        MAGIC
            .iter()
            .find(|(magic, _)| bytes.starts_with(magic))
            .map_or(Self::None, |&(_, compression)| compression)
    }

    /// The program that makes and tests such files.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Xz => "xz",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// Why a file's bytes could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The file system refuses.
    #[error("cannot be read: {0}")]
    Read(#[from] io::Error),
    /// The decompressor refuses.
    #[error(
        "its {program} data is broken: {source}; `{program} -t FILE` says more",
        program = .compression.program()
    )]
    Unpack {
        /// Which decompressor.
        compression: Compression,
        /// What it says.
        source: io::Error,
    },
    /// It would fill the memory.
    #[error("is more than {UNPACKED_LIMIT} bytes when unpacked; unpack it yourself if it is right")]
    TooBig,
}

/// A file's bytes: mapped, or unpacked in memory.
pub(crate) struct Contents {
    bytes: Bytes,
    /// How the file is compressed.
    pub(crate) compression: Compression,
    /// Bytes of the file as it lies on disk.
    pub(crate) file_bytes: u64,
}

enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Deref for Contents {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

impl Contents {
    /// Opens `path` and unpacks it if it is compressed.
    ///
    /// # Errors
    /// [`Error`], without the path.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(Error::Read(io::ErrorKind::IsADirectory.into()));
        }
        let bytes = if metadata.is_file() && metadata.len() > 0 {
            Bytes::Mapped(map(&file)?)
        } else {
            // a pipe has no length and cannot be mapped, nor can an empty file
            Bytes::Owned(limited(&mut file)?)
        };
        let mut contents = Self {
            bytes,
            compression: Compression::None,
            file_bytes: 0,
        };
        contents.file_bytes = contents.len() as u64;
        contents.compression = Compression::of(&contents);
        if contents.compression != Compression::None {
            contents.bytes = Bytes::Owned(unpack(contents.compression, &contents)?);
        }
        Ok(contents)
    }
}

/// Maps a file for reading.
#[allow(unsafe_code)]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the mapping is private and read-only, lives as long as the `Mmap`, and nothing in
    // this process writes to the file. Another process that writes to it while it is read can
    // change what is read, or end this process with SIGBUS by cutting the file short, as with
    // every program that maps its inputs; all that is read is plain bytes, every length and offset
    // among them is read once and checked against the slice, and no code depends on reading the
    // same bytes twice to stay inside it.
    unsafe { Mmap::map(file) }
}

fn unpack(compression: Compression, packed: &[u8]) -> Result<Vec<u8>, Error> {
    let unpacked = match compression {
        Compression::None => return Ok(packed.to_vec()),
        Compression::Xz => limited(&mut lzma_rust2::XzReader::new(packed, true)),
        Compression::Gzip => limited(&mut flate2::read::MultiGzDecoder::new(packed)),
        Compression::Zstd => ruzstd::decoding::StreamingDecoder::new(packed)
            .map_err(|error| Error::Read(io::Error::other(error)))
            .and_then(|mut decoder| limited(&mut decoder)),
    };
    unpacked.map_err(|error| match error {
        Error::Read(source) => Error::Unpack {
            compression,
            source,
        },
        other => other,
    })
}

/// Reads to the end, or to [`UNPACKED_LIMIT`].
fn limited(reader: &mut impl Read) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    reader.take(UNPACKED_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > UNPACKED_LIMIT {
        return Err(Error::TooBig);
    }
    Ok(bytes)
}
