//! Why a file could not be inspected.

use crate::compressed;

/// What is wrong with one file. The message goes after the file's name, and says what to do where
/// that is not plain.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// It cannot be read or unpacked.
    #[error(transparent)]
    Contents(#[from] compressed::Error),
    /// A directory cannot be listed.
    #[error("cannot be listed: {0}")]
    List(std::io::Error),
    /// A directory has nothing to inspect in it.
    #[error(
        "has no file called *.ko, *.ko.xz, *.ko.gz or *.ko.zst in it; name files of other names \
         yourself"
    )]
    NoModules,
    /// It is something else than ELF.
    #[error("is not an ELF file: {found}")]
    NotElf {
        /// What it seems to be.
        found: &'static str,
    },
    /// It is ELF, but already linked.
    #[error("is {kind}; inspect reads modules and objects, which are not linked yet (ET_REL)")]
    NotRelocatable {
        /// What `e_type` says it is.
        kind: String,
    },
    /// Its ELF structures are broken.
    #[error("{place}: {what}; the file is cut short or damaged, make or fetch it again")]
    Malformed {
        /// Which header, section, relocation or symbol.
        place: String,
        /// What is wrong with it.
        what: String,
    },
}

impl Error {
    /// [`Error::Malformed`] of the section with this index and name.
    pub(crate) fn section(index: usize, name: &[u8], what: impl ToString) -> Self {
        Self::Malformed {
            place: format!("section {index} ({})", String::from_utf8_lossy(name)),
            what: what.to_string(),
        }
    }

    /// [`Error::Malformed`] of something else.
    pub(crate) fn malformed(place: impl ToString, what: impl ToString) -> Self {
        Self::Malformed {
            place: place.to_string(),
            what: what.to_string(),
        }
    }
}
