//! Which kernel it is: its tables' forms depend on that.

use klink_tables::kallsyms::Version;
use klink_tables::sort::mcount::WeakCalls;

use crate::error::{LinkError, Result};
use crate::input::SymbolPlace;
use crate::options::Options;
use crate::resolve::{Definition, Resolved};

/// The symbol of the text that a kernel greets with (Linux, `init/version-timestamp.c`).
const BANNER: &[u8] = b"linux_banner";

/// What the text begins with; the version follows.
const GREETING: &[u8] = b"Linux version ";

/// The part of the table that came with [`Version::V6_2`].
const SORTED_NAMES: &[u8] = b"kallsyms_seqs_of_names";

/// Longest version that is looked at, in bytes.
const LONGEST: usize = 16;

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
    parse(text.strip_prefix(GREETING)?)
}

/// The first two numbers of a version.
fn parse(text: &[u8]) -> Option<(u32, u32)> {
    let text = text.get(..LONGEST.min(text.len()))?;
    let mut numbers = text.split(|byte| !byte.is_ascii_digit()).map(|digits| {
        let digits = std::str::from_utf8(digits).ok()?;
        digits.parse().ok()
    });
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn versions_are_two_numbers_and_what_follows() {
        assert_eq!(parse(b"6.1.192 (klink@klink)"), Some((6, 1)));
        assert_eq!(parse(b"6.18-rc3"), Some((6, 18)));
        assert_eq!(parse(b"7"), None);
        assert_eq!(parse(b"x.y"), None);
    }
}
