//! The guest's file system: a cpio archive in the kernel's "newc" format.
//!
//! Format: Linux's Documentation/driver-api/early-userspace/buffer-format.rst.
//! Each member is a header of 110 ASCII characters (a magic and 13 fields of 8
//! hex digits), its name with a NUL, and its bytes; name and bytes are padded
//! to 4. The archive stays uncompressed: unpacking it is guest time.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::kernel::{Recipe, run_command, workspace};
use crate::{Failure, tools};

const FOLDER: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;

/// The unit in which holes of an image are looked for, in bytes.
const IMAGE_BLOCK: usize = 4096;

/// The size of the XFS image, in bytes: mkfs.xfs makes none under 300 MiB.
const XFS_IMAGE: u64 = 300 << 20;

/// A newc archive being written.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    folders: BTreeSet<String>,
    members: u32,
}

impl Archive {
    /// Adds a file, executable by all, and the folders above it.
    ///
    /// `name` is a path without a leading slash.
    ///
    /// # Errors
    /// Contents of 4 GiB or more do not fit the format.
    pub(crate) fn add(&mut self, name: &str, contents: &[u8]) -> Result<(), Failure> {
        for (end, _) in name.match_indices('/') {
            if self.folders.insert(name[..end].to_owned()) {
                self.member(&name[..end], FOLDER, &[])?;
            }
        }
        self.member(name, PROGRAM, contents)
    }

    /// The finished archive.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, Failure> {
        self.member("TRAILER!!!", 0, &[])?;
        Ok(self.bytes)
    }

    fn member(&mut self, name: &str, mode: u32, contents: &[u8]) -> Result<(), Failure> {
        let size = u32::try_from(contents.len())
            .map_err(|_| Failure::new(format!("{name} is too large for an initramfs")))?;
        let name_size = u32::try_from(name.len() + 1)
            .map_err(|_| Failure::new("a file name is too long for an initramfs"))?;
        self.members += 1;
        let links = if mode == FOLDER { 2 } else { 1 };
        // inode, mode, uid, gid, links, mtime, size, device ×2, special device
        // ×2, name's size, check (0 in this variant of the format)
        let fields = [
            self.members,
            mode,
            0,
            0,
            links,
            0,
            size,
            0,
            0,
            0,
            0,
            name_size,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes
                .extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(contents);
        self.pad();
        Ok(())
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Compiles the guest's init for `recipe`, statically, and returns the program.
pub(crate) fn compile_init(recipe: &Recipe, scratch: &Path) -> Result<Vec<u8>, Failure> {
    tools::ensure(recipe.init_packages)?;
    let program = scratch.join("init");
    run_command(
        Command::new(recipe.program("gcc"))
            .args(["-O2", "-Wall", "-static", "-o"])
            .arg(&program)
            .arg(workspace().join("xtask/init/init.c")),
    )?;
    std::fs::read(&program).map_err(|error| Failure::io("read", &program, &error))
}

/// A small XFS file system, as the description that init's `image` reads.
pub(super) fn xfs_image(scratch: &Path) -> Result<Vec<u8>, Failure> {
    tools::ensure(&["xfsprogs"])?;
    let mkfs = tools::find_program("mkfs.xfs").unwrap_or_else(|| PathBuf::from("mkfs.xfs"));
    let path = scratch.join("xfs.img");
    let file = File::create(&path).map_err(|error| Failure::io("create", &path, &error))?;
    file.set_len(XFS_IMAGE)
        .map_err(|error| Failure::io("write", &path, &error))?;
    drop(file);
    let mut command = Command::new(mkfs);
    command.args(["-q", "-m", "uuid=6b6c696e-6b00-4000-8000-000000000001"]);
    run_command(command.arg(&path))?;
    describe_image(&path)
}

/// Writes `path`'s size and its blocks that are not all zero: u64 size, then
/// for each run u64 offset, u64 length, the bytes; all big-endian.
fn describe_image(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::io("read", path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let mut out = size.to_be_bytes().to_vec();
    let mut block = vec![0; IMAGE_BLOCK];
    let mut offset = 0u64;
    while offset < size {
        let length = (size - offset).min(IMAGE_BLOCK as u64);
        #[expect(clippy::cast_possible_truncation, reason = "at most IMAGE_BLOCK")]
        let bytes = &mut block[..length as usize];
        file.read_exact(bytes).map_err(failed)?;
        if bytes.iter().any(|byte| *byte != 0) {
            out.extend_from_slice(&offset.to_be_bytes());
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(bytes);
        }
        offset += length;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_have_headers_names_and_padding_as_newc_says() {
        let mut archive = Archive::default();
        archive.add("m/a", b"hello").expect("small");
        let bytes = archive.finish().expect("small");
        // The folder: 110 + "m\0" = 112, a multiple of 4.
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[14..22], b"000041ed");
        assert_eq!(&bytes[110..112], b"m\0");
        // The file: 110 + "m/a\0" = 114, padded to 116; 5 bytes, padded to 8.
        let file = &bytes[112..];
        assert_eq!(&file[6..14], b"00000002");
        assert_eq!(&file[14..22], b"000081ed");
        assert_eq!(&file[54..62], b"00000005");
        assert_eq!(&file[94..102], b"00000004");
        assert_eq!(&file[110..124], b"m/a\0\0\0hello\0\0\0");
        let trailer = &file[124..];
        assert_eq!(&trailer[110..121], b"TRAILER!!!\0");
        assert_eq!(bytes.len() % 4, 0);
    }

    #[test]
    fn a_folder_is_written_once() {
        let mut archive = Archive::default();
        archive.add("m/a", b"").expect("small");
        archive.add("m/b", b"").expect("small");
        assert_eq!(archive.members, 3);
    }

    #[test]
    fn an_image_is_described_by_its_blocks_that_are_not_zero() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("image");
        let mut image = vec![0; IMAGE_BLOCK * 3 + 10];
        image[IMAGE_BLOCK + 1] = 7;
        image[IMAGE_BLOCK * 3 + 9] = 9;
        std::fs::write(&path, &image).expect("writable");
        let description = describe_image(&path).expect("readable");
        let number = |at: usize| {
            u64::from_be_bytes(description[at..at + 8].try_into().expect("eight bytes"))
        };
        assert_eq!(number(0), image.len() as u64);
        assert_eq!((number(8), number(16)), (4096, 4096));
        assert_eq!((number(24 + 4096), number(32 + 4096)), (3 * 4096, 10));
        assert_eq!(description.len(), 8 + 16 + 4096 + 16 + 10);
    }
}
