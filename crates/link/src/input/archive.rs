//! Archives, thin ones too: members in order, and the index of what they define.

use std::path::{Path, PathBuf};

use hashbrown::HashMap;
use object::read::archive::ArchiveFile;

use super::file::{FileData, Files};
use crate::error::{LinkError, Result};

/// A path's greatest length in bytes (Linux, `PATH_MAX`). A thin archive's names are paths, and each
/// could be the rest of one long table of names.
const MAX_NAME: usize = 4096;

/// A member of an archive.
pub(crate) struct Member<'a> {
    /// What errors call it: `archive(member)`.
    pub name: String,
    /// The member's own file name.
    pub base_name: Vec<u8>,
    place: Place<'a>,
}

enum Place<'a> {
    Inside(&'a [u8]),
    /// A thin archive's member is a file of its own, relative to the archive's folder.
    Outside(OutsideFile),
}

/// A file that an archive names.
pub(super) struct OutsideFile {
    pub path: PathBuf,
    /// Its size in bytes when the archive was made.
    pub size: u64,
}

impl Member<'_> {
    /// Whether it is a file of its own.
    pub(crate) fn is_outside(&self) -> bool {
        matches!(self.place, Place::Outside(_))
    }
}

/// Whether an archive's index is read: where all members join, or one by its number, it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Index {
    Wanted,
    Unused,
}

/// A parsed archive.
pub(crate) struct Archive<'a> {
    /// Its members, in file order.
    pub members: Vec<Member<'a>>,
    /// The index: name and number of the member that defines it, in the archive's order.
    pub index: Vec<(&'a [u8], usize)>,
}

/// Whether `bytes` begin like an archive, `!<arch>` or `!<thin>` (System V `ar.h`, GNU extension).
pub(crate) fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"!<arch>\n") || bytes.starts_with(b"!<thin>\n")
}

impl<'a> Archive<'a> {
    /// Reads the headers of all members, and the index if it is wanted.
    pub(crate) fn parse(file: &'a FileData, index: Index) -> Result<Self> {
        let data = file.bytes();
        let path = file.path().display().to_string();
        let bad = |what: object::Error| LinkError::Malformed {
            file: path.clone(),
            what: format!("damaged archive: {what}"),
        };
        let archive = ArchiveFile::parse(data).map_err(bad)?;
        let folder = file.path().parent().unwrap_or(Path::new(""));
        let mut members = Vec::new();
        let mut by_offset = HashMap::new();
        for member in archive.members() {
            let member = member.map_err(bad)?;
            let name = member.name();
            if name.len() > MAX_NAME {
                return Err(LinkError::Malformed {
                    file: path,
                    what: format!("damaged archive: a member's name has {} bytes", name.len()),
                });
            }
            let place = if archive.is_thin() {
                Place::Outside(OutsideFile {
                    path: folder.join(path_from_bytes(name)),
                    size: member.size(),
                })
            } else {
                Place::Inside(member.data(data).map_err(bad)?)
            };
            if let Some(header) = member.header() {
                // The index names members by the offset of their headers, which borrow from `data`.
                let offset = std::ptr::from_ref(header).addr() - data.as_ptr().addr();
                by_offset.insert(offset as u64, members.len());
            }
            members.push(Member {
                name: format!("{path}({})", String::from_utf8_lossy(name)),
                base_name: base_name(name).to_vec(),
                place,
            });
        }
        let symbols = match index {
            Index::Wanted => archive.symbols().map_err(bad)?,
            Index::Unused => None,
        };
        let mut index = Vec::new();
        for symbol in symbols.into_iter().flatten() {
            let symbol = symbol.map_err(bad)?;
            let Some(&member) = by_offset.get(&symbol.offset().0) else {
                return Err(LinkError::Malformed {
                    file: path,
                    what: format!(
                        "the archive's index names a member at {:#x}, where none is",
                        symbol.offset().0
                    ),
                });
            };
            index.push((symbol.name(), member));
        }
        Ok(Self { members, index })
    }
}

/// The bytes of all members; those of a thin archive are read from their files, on several threads.
pub(crate) fn all_bytes<'a>(members: &[Member<'a>], files: &'a Files) -> Result<Vec<&'a [u8]>> {
    let outside: Vec<&OutsideFile> = members
        .iter()
        .filter_map(|member| match &member.place {
            Place::Inside(_) => None,
            Place::Outside(file) => Some(file),
        })
        .collect();
    let mut opened = files.open_all(&outside).into_iter();
    let bytes_of = |member: &Member<'a>| match &member.place {
        Place::Inside(bytes) => Ok(*bytes),
        Place::Outside(file) => {
            let opened = opened.next();
            member.named(opened.unwrap_or_else(|| files.open(&file.path)))
        }
    };
    members.iter().map(bytes_of).collect()
}

impl<'a> Member<'a> {
    /// The member's bytes; a thin archive's member is read from its file.
    pub(crate) fn bytes(&self, files: &'a Files) -> Result<&'a [u8]> {
        match &self.place {
            Place::Inside(bytes) => Ok(bytes),
            // The path alone would not tell which archive named it.
            Place::Outside(file) => self.named(files.open(&file.path)),
        }
    }

    fn named(&self, file: Result<&'a FileData>) -> Result<&'a [u8]> {
        match file {
            Ok(file) => Ok(file.bytes()),
            Err(error) => Err(LinkError::Malformed {
                file: self.name.clone(),
                what: error.to_string(),
            }),
        }
    }
}

/// The part of `name` behind the last slash.
pub(crate) fn base_name(name: &[u8]) -> &[u8] {
    name.rsplit(|&byte| byte == b'/').next().unwrap_or(name)
}

fn path_from_bytes(name: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    PathBuf::from(std::ffi::OsStr::from_bytes(name))
}
