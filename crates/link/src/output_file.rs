//! The output file: it is written next to its place and gets its name only when it is whole.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write as _};
use std::path::Path;

use crate::error::{LinkError, Result};
use crate::made::BuildIdPlace;
use crate::options::Options;

/// Puts `bytes` under `path`, whole or not at all, and meanwhile computes the build-id, which then goes
/// to its place. What is no regular file (`/dev/null`) is written to directly.
///
/// # Errors
/// [`LinkError::Io`]; the file that was there before is then unchanged.
pub(crate) fn put(
    path: &Path,
    bytes: &mut [u8],
    options: &Options,
    build_id: Option<&BuildIdPlace>,
) -> Result<()> {
    let error = |source| LinkError::Io {
        action: "write",
        path: path.to_path_buf(),
        source,
    };
    if fs::metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
        if let Some(place) = build_id {
            place.fill(options, bytes);
        }
        return fs::write(path, bytes).map_err(error);
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = write_beside(&temporary, bytes, options, build_id).and_then(|()| {
        // A rename over a file makes ext4 write the new one to the disk at once. An error here
        // is one of the rename too.
        let _ = fs::remove_file(path);
        fs::rename(&temporary, path)
    });
    written.map_err(|source| {
        // The error that matters is the first one.
        let _ = fs::remove_file(&temporary);
        error(source)
    })
}

fn write_beside(
    path: &Path,
    bytes: &[u8],
    options: &Options,
    build_id: Option<&BuildIdPlace>,
) -> std::io::Result<()> {
    let mut new = fs::OpenOptions::new();
    new.write(true).create(true).truncate(true);
    // What may be run has the rights for it, as far as the umask leaves them.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(
        &mut new,
        if options.relocatable() { 0o666 } else { 0o777 },
    );
    let mut file: File = new.open(path)?;
    let Some(place) = build_id else {
        return file.write_all(bytes);
    };
    let (written, id) = rayon::join(|| file.write_all(bytes), || place.compute(options, bytes));
    written?;
    file.seek(SeekFrom::Start(place.start as u64))?;
    file.write_all(&id)
}
