//! Files in memory. They live in an arena, so that objects can borrow from them while archives
//! still bring in more.
#![allow(unsafe_code)] // the one host boundary of this crate: mapping a file

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::{Mmap, MmapMut};
use rayon::prelude::*;
use typed_arena::Arena;

use super::archive::OutsideFile;
use crate::buffer::Buffer;
use crate::error::{LinkError, Result};

/// Files below this size are read, not mapped. Reading 64 KiB costs about as much as the page
/// faults of a fresh mapping of that size; most objects of a kernel build are smaller.
const MAP_FROM: u64 = 64 << 10;

/// The bytes of one file.
pub struct FileData {
    path: PathBuf,
    bytes: Bytes,
}

enum Bytes {
    Read(Vec<u8>),
    Mapped(Mmap),
    /// Some of many files' bytes.
    Shared(Arc<Buffer>, Range<usize>),
}

impl FileData {
    /// The file's path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's contents.
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Read(bytes) => bytes,
            Bytes::Mapped(map) => map,
            Bytes::Shared(block, range) => block.get(range.clone()).unwrap_or_default(),
        }
    }
}

/// The pages of a new file, which nobody else has open.
///
/// # Errors
/// What the system says; not every file system can do it.
pub(crate) fn pages_of(file: &File) -> io::Result<MmapMut> {
    // SAFETY: the linker has just made the file. Whoever truncates it all the same makes us die of
    // SIGBUS; its bytes are no headers that we trust.
    unsafe { MmapMut::map_mut(file) }
}

/// Reads all of a file that is not too large to be in memory twice.
///
/// # Errors
/// What the system says; folders, and devices that give bytes, some of which never end.
pub(crate) fn read_whole(mut file: File, metadata: &Metadata) -> io::Result<Vec<u8>> {
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let kind = metadata.file_type();
    let mut bytes = Vec::with_capacity(metadata.len() as usize + 1);
    if kind.is_char_device() || kind.is_block_device() {
        // `/dev/null` is an empty file.
        file.take(1).read_to_end(&mut bytes)?;
        if !bytes.is_empty() {
            return Err(io::Error::other("it is a device, not a file"));
        }
    } else {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Reads the text at `path`, a script's or response file's; see [`read_whole`].
///
/// # Errors
/// As [`read_whole`].
pub(crate) fn read_path(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    read_whole(file, &metadata)
}

/// Reads all of a file for which there is this room. `false`: it is not a file of this size.
fn fill(path: &Path, room: &mut [u8]) -> Result<bool> {
    let error = |action| {
        move |source| LinkError::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    };
    let mut file = File::open(path).map_err(error("open"))?;
    let metadata = file.metadata().map_err(error("read"))?;
    let fits = metadata.is_file() && metadata.len() == room.len() as u64;
    if fits {
        file.read_exact(room).map_err(error("read"))?;
    }
    Ok(fits)
}

/// All files of a link.
#[derive(Default)]
pub struct Files {
    arena: Arena<FileData>,
}

impl Files {
    /// Reads or maps the file at `path`.
    ///
    /// # Errors
    /// [`LinkError::Io`] if the file cannot be opened or read.
    pub fn open(&self, path: &Path) -> Result<&FileData> {
        Ok(self.arena.alloc(Self::read(path)?))
    }

    /// Reads or maps many files, on several threads. Gives a result for each, in order.
    ///
    /// Small files share one block of memory: memory for each would cost more faults and calls of the
    /// system than the files have pages.
    pub(super) fn open_all(&self, files: &[&OutsideFile]) -> Vec<Result<&FileData>> {
        // The archive knows how large they were, which hardly ever changes: to ask the system takes as
        // long as to read them.
        let small = |file: &&OutsideFile| if file.size < MAP_FROM { file.size } else { 0 };
        let sizes: Vec<usize> = files.iter().map(|file| small(file) as usize).collect();
        let mut block = Buffer::zeroed(sizes.iter().sum());
        let mut jobs = Vec::with_capacity(files.len());
        let mut rest: &mut [u8] = &mut block;
        for (file, &size) in files.iter().zip(&sizes) {
            let (own, behind) = rest.split_at_mut(size);
            jobs.push((file.path.as_path(), own));
            rest = behind;
        }
        let read: Vec<Result<Option<FileData>>> = jobs
            .into_par_iter()
            .map(|(path, own)| match !own.is_empty() && fill(path, own)? {
                true => Ok(None),
                false => Self::read(path).map(Some),
            })
            .collect();
        let block = Arc::new(block);
        let mut at = 0;
        let mut opened = Vec::with_capacity(files.len());
        for ((file, size), data) in files.iter().zip(sizes).zip(read) {
            let range = at..at + size;
            at = range.end;
            opened.push(data.map(|data| {
                let shared = || FileData {
                    path: file.path.clone(),
                    bytes: Bytes::Shared(Arc::clone(&block), range),
                };
                &*self.arena.alloc(data.unwrap_or_else(shared))
            }));
        }
        opened
    }

    fn read(path: &Path) -> Result<FileData> {
        let error = |action| {
            move |source| LinkError::Io {
                action,
                path: path.to_path_buf(),
                source,
            }
        };
        let file = File::open(path).map_err(error("open"))?;
        let metadata = file.metadata().map_err(error("read"))?;
        let bytes = if metadata.len() < MAP_FROM {
            Bytes::Read(read_whole(file, &metadata).map_err(error("read"))?)
        } else {
            // SAFETY: the mapping is private and read-only. Another process that truncates the
            // file meanwhile makes us die of SIGBUS, as it does GNU ld and lld; one that writes to
            // it changes bytes under parsed headers, and every access through those headers is
            // checked against the mapping's length again, so no access leaves the mapping.
            Bytes::Mapped(unsafe { Mmap::map(&file) }.map_err(error("map"))?)
        };
        Ok(FileData {
            path: path.to_path_buf(),
            bytes,
        })
    }

    /// Adds bytes that are in memory already, as if read from `path`.
    pub fn add(&self, path: PathBuf, bytes: Vec<u8>) -> &FileData {
        self.arena.alloc(FileData {
            path,
            bytes: Bytes::Read(bytes),
        })
    }
}
