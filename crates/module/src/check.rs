//! Whether a kernel takes a module at all, and what loading it says about the kernel.
//!
//! Source: Linux 6.1 `kernel/module/main.c` (check_modinfo, set_license,
//! check_module_license_and_versions), `kernel/module/version.c` (same_magic).

use alloc::string::String;
use core::fmt;

use klink_tables::modinfo;

use crate::error::Error;
use crate::file::ModuleFile;
use crate::known::Known;
use crate::license::is_gpl_compatible;

/// What a kernel wants of its modules.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rules<'k> {
    /// The kernel's own `vermagic`, which a module's must be equal to; `None`: any will do. Where the
    /// module has symbol versions, the kernel version in front of the first space does not count.
    pub vermagic: Option<&'k [u8]>,
    /// Whether a module must have the `struct module` of Linux.
    pub wants_this_module: bool,
}

impl Rules<'_> {
    /// Whether `file` is a module for this kernel, and how it taints it.
    ///
    /// # Errors
    /// [`Error::Vermagic`] and [`Error::NoThisModule`].
    pub fn check(&self, file: &ModuleFile<'_>) -> Result<Taints, Error> {
        if self.wants_this_module && file.this_module().is_none() {
            return Err(Error::NoThisModule);
        }
        if let Some(should) = self.vermagic {
            let magic = file.modinfo_value(b"vermagic").unwrap_or_default();
            let skips_version = file.known(Known::Versions).is_some();
            if !same_magic(magic, should, skips_version) {
                let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                return Err(Error::Vermagic {
                    found: text(magic),
                    should: text(should),
                });
            }
        }
        Ok(Taints::of(file))
    }
}

fn same_magic(magic: &[u8], should: &[u8], skips_version: bool) -> bool {
    let rest = |magic: &[u8]| -> usize {
        let space = magic.iter().position(|&byte| byte == b' ');
        space.unwrap_or(magic.len())
    };
    match skips_version {
        true => magic.get(rest(magic)..) == should.get(rest(should)..),
        false => magic == should,
    }
}

/// What a module says of itself that taints a kernel. As text, the kernel's letters.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Taints {
    /// `P`: its licence is not GPL-compatible.
    pub proprietary: bool,
    /// `C`: it is from the staging folder.
    pub staging: bool,
    /// `O`: it was not built in the kernel's tree.
    pub out_of_tree: bool,
    /// `K`: it is a live patch.
    pub live_patch: bool,
    /// `N`: it is a test.
    pub test: bool,
}

impl Taints {
    /// Reads `.modinfo`.
    #[must_use]
    pub fn of(file: &ModuleFile<'_>) -> Self {
        let mut taints = Self {
            proprietary: true,
            out_of_tree: true,
            ..Self::default()
        };
        let mut license = None;
        for entry in modinfo::entries(file.modinfo()) {
            match entry.key {
                b"license" => license = license.or(Some(entry.value)),
                b"intree" => taints.out_of_tree = false,
                b"staging" => taints.staging = true,
                b"livepatch" => taints.live_patch = true,
                b"test" => taints.test = true,
                _ => {}
            }
        }
        taints.proprietary = !is_gpl_compatible(license);
        taints
    }

    /// Whether it taints nothing.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

impl fmt::Display for Taints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [
            (self.proprietary, "P"),
            (self.staging, "C"),
            (self.out_of_tree, "O"),
            (self.live_patch, "K"),
            (self.test, "N"),
        ];
        for (_, letter) in letters.into_iter().filter(|(set, _)| *set) {
            f.write_str(letter)?;
        }
        Ok(())
    }
}
