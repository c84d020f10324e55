//! Which kernel it is: its tables' forms depend on that.

use klink_tables::kallsyms::{Version, release_in_banner};
use klink_tables::sort::mcount::WeakCalls;

use crate::error::{LinkError, Result};
use crate::input::SymbolPlace;
use crate::options::Options;
use crate::resolve::{Definition, Resolved};

/// The symbol of the text that a kernel greets with (Linux, `init/version-timestamp.c`).
const BANNER: &[u8] = b"linux_banner";

/// The part of the table that came with [`Version::V6_2`].
const SORTED_NAMES: &[u8] = b"kallsyms_seqs_of_names";

/// The major and minor number of a Linux version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KernelVersion(Version);

impl KernelVersion {
    /// What `--kernel-version` says, or else the kernel's own banner.
    ///
    /// # Errors
    /// Neither says one, or it is older than any whose tables klink knows.
    pub(crate) fn find(options: &Options, resolved: &Resolved<'_>) -> Result<Self> {
        let (major, minor) = options
            .kernel_version
            .or_else(|| from_banner(resolved))
            .ok_or(LinkError::KernelVersion)?;
        let version = Version::of(major, minor).ok_or(LinkError::OldKernel { major, minor })?;
        // Linux 6.1.192 searches names as 6.2 does: what the kernel refers to says so.
        let is_sorted = resolved.global(SORTED_NAMES).is_some();
        Ok(Self(version.max(if is_sorted {
            Version::V6_2
        } else {
            Version::V6_1
        })))
    }

    /// What the kernel can make of calls of mcount in functions that are gone.
    pub(in crate::image) fn weak_calls(self) -> WeakCalls {
        match self.0 >= Version::V6_15 {
            true => WeakCalls::Zero,
            false => WeakCalls::Keep,
        }
    }

    /// The form of tables.
    pub(crate) fn form(self) -> Version {
        self.0
    }
}

fn from_banner(resolved: &Resolved<'_>) -> Option<(u32, u32)> {
    let banner = resolved.global(BANNER)?;
    let Definition::Object { object, symbol, .. } = resolved.globals[banner].definition else {
        return None;
    };
    let symbol = resolved.objects[object].symbols.get(symbol as usize)?;
    let SymbolPlace::Section(section) = symbol.place else {
        return None;
    };
    let section = resolved.section(resolved.section_id(object, section));
    let text = section.data.get(usize::try_from(symbol.value).ok()?..)?;
    release_in_banner(text)
}
