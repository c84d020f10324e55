//! The output file: it is written next to its place and gets its name only when it is whole.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::buffer::Buffer;
use crate::error::{LinkError, Result};
use crate::input::pages_of;
use crate::made::BuildIdPlace;
use crate::options::Options;

/// Bytes from which an output is made in its file.
const IN_FILE_FROM: u64 = 4 << 20;

/// A file that is not whole yet. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct NewFile {
    file: File,
    /// What it is called meanwhile.
    temporary: PathBuf,
    path: PathBuf,
}

impl NewFile {
    fn create(path: &Path, options: &Options) -> io::Result<Self> {
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let mut new = fs::OpenOptions::new();
        new.read(true).write(true).create_new(true);
        // What may be run has the rights for it, as far as the umask leaves them.
        new.mode(if options.relocatable() { 0o666 } else { 0o777 });
        let file = new.open(&temporary).or_else(|error| match error.kind() {
            // A process of this number was killed.
            io::ErrorKind::AlreadyExists => {
                fs::remove_file(&temporary)?;
                new.open(&temporary)
            }
            _ => Err(error),
        })?;
        Ok(Self {
            file,
            temporary,
            path: path.to_path_buf(),
        })
    }

    /// Writes a part of the file, from `offset` in it.
    ///
    /// # Errors
    /// [`LinkError::Io`].
    pub(crate) fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let written = self.file.write_all_at(bytes, offset);
        written.map_err(|source| error(&self.path, source))
    }

    /// Gives the file its name.
    fn keep(self) -> Result<()> {
        // A rename over a file makes ext4 write the new one to the disk at once. An error here
        // is one of the rename too.
        let _ = fs::remove_file(&self.path);
        let renamed = fs::rename(&self.temporary, &self.path);
        renamed.map_err(|source| error(&self.path, source))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // It is not there any more if it was kept. Otherwise the error that matters is an earlier one.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn error(path: &Path, source: io::Error) -> LinkError {
    LinkError::Io {
        action: "write",
        path: path.to_path_buf(),
        source,
    }
}

/// Whether `path` is there, but is no regular file (`/dev/null`): it is written to directly.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
}

/// Room for an output of `size` bytes at `path`: in its file, if it is large and the file system can
/// do that.
pub(crate) fn room(path: &Path, size: u64, options: &Options) -> Buffer {
    let in_file = || {
        let new = NewFile::create(path, options).ok()?;
        new.file.set_len(size).ok()?;
        let pages = pages_of(&new.file).ok()?;
        Some(Buffer::in_file(new, pages))
    };
    let wanted = size >= IN_FILE_FROM && !is_special(path);
    let room = wanted.then(in_file).flatten();
    room.unwrap_or_else(|| Buffer::zeroed(size as usize))
}

/// Puts `bytes` under `path`, whole or not at all, and meanwhile computes the build-id, which then goes
/// to its place.
///
/// # Errors
/// [`LinkError::Io`]; the file that was there before is then unchanged.
pub(crate) fn put(
    path: &Path,
    bytes: Buffer,
    options: &Options,
    build_id: Option<BuildIdPlace>,
) -> Result<()> {
    let mut bytes = match bytes.into_file() {
        Ok(file) => return file.keep(),
        Err(bytes) => bytes,
    };
    if is_special(path) {
        if let Some(place) = build_id {
            place.fill(options, &mut bytes, blake3::hash);
        }
        return fs::write(path, &*bytes).map_err(|source| error(path, source));
    }
    let mut new = NewFile::create(path, options).map_err(|source| error(path, source))?;
    let mut write = || {
        new.file
            .write_all(&bytes)
            .map_err(|source| error(path, source))
    };
    match build_id {
        None => write()?,
        Some(place) => {
            let (written, id) = rayon::join(write, || place.compute(options, &bytes));
            written?;
            new.write_at(&id, place.start as u64)?;
        }
    }
    new.keep()
}
