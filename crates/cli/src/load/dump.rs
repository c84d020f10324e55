//! Writes the regions of linked modules to files.

use std::fs;
use std::io;
use std::path::Path;

use klink_module::{Linked, Memory};

use super::memory::Simulated;
use super::report::region_name;

/// Writes each region of a module, as it is when its init begins, to
/// `folder`/`name`/REGION-ADDRESS.bin.
///
/// # Errors
/// What the file system says.
pub(super) fn write(
    folder: &Path,
    name: &str,
    linked: &Linked<'_, '_, '_, Simulated>,
) -> io::Result<()> {
    let folder = folder.join(name);
    fs::create_dir_all(&folder)?;
    for (block, memory) in linked.blocks() {
        for region in &block.regions {
            let start = usize::try_from(region.offset).ok();
            let bytes = start.and_then(|start| memory.contents().get(start..));
            let size = usize::try_from(region.size).ok();
            let bytes = bytes.zip(size).and_then(|(bytes, size)| bytes.get(..size));
            let address = memory.address().wrapping_add(region.offset);
            let file = format!("{}-{address:x}.bin", region_name(region.kind));
            fs::write(folder.join(file), bytes.unwrap_or_default())?;
        }
    }
    Ok(())
}
