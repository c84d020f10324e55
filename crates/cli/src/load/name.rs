//! Names of modules. Dashes and underscores are one character in them, since a file's name may have
//! either and the kernel's has underscores only (`scripts/Makefile.lib`, name-fix).

use std::path::Path;

/// What files of modules end in, after their name.
pub(crate) const ENDINGS: [&str; 4] = [".ko", ".ko.xz", ".ko.gz", ".ko.zst"];

/// A module's name with underscores only.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct ModuleName(String);

impl ModuleName {
    /// The name that a person wrote.
    pub(crate) fn new(written: &str) -> Self {
        Self(written.replace('-', "_"))
    }

    /// The name of the module in a file, by the file's name; `None` if that does not end as modules do.
    pub(crate) fn of_file(path: &Path) -> Option<Self> {
        let file = path.file_name()?.to_string_lossy();
        let endings = ENDINGS.iter();
        let stem = endings
            .filter_map(|ending| file.strip_suffix(ending))
            .next();
        stem.map(Self::new)
    }

    /// The name.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ModuleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_are_underscores() {
        assert_eq!(
            ModuleName::new("snd-hda-intel"),
            ModuleName::new("snd_hda-intel")
        );
    }

    #[test]
    fn endings_are_not_part_of_the_name() {
        for file in ["a/b-c.ko", "b_c.ko.xz", "/x/b-c.ko.zst", "b_c.ko.gz"] {
            let name = ModuleName::of_file(Path::new(file));
            assert_eq!(name, Some(ModuleName::new("b_c")), "{file}");
        }
        assert_eq!(ModuleName::of_file(Path::new("b_c.o")), None);
    }
}
