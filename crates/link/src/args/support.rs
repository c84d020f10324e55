//! Which options links other than `-r` do not carry out yet.
//!
//! The rows of the table set fields of [`Options`]; whoever makes a phase read such a field takes its
//! line out of here. Until then the option is an error and not silently without effect.

use crate::options::Options;

/// The options of a final link that nothing reads yet, by name.
pub(super) fn missing(options: &Options) -> impl Iterator<Item = &'static str> {
    let options_given = [
        ("--dynamic-list", !options.dynamic_lists.is_empty()),
        ("--no-define-common", options.define_common == Some(false)),
        ("-z pack-relative-relocs", options.pack_relative_relocations),
        (
            "--apply-dynamic-relocs",
            options.apply_dynamic_relocs == Some(true),
        ),
    ];
    options_given
        .into_iter()
        .filter_map(|(name, given)| given.then_some(name))
}
