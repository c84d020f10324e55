//! Warnings of executable stacks (`--warn-execstack`), in GNU ld's words.
//!
//! Source: bfd/elflink.c, bfd_elf_size_dynamic_sections.

use klink_arch::Arch;
use object::elf;

use crate::options::Options;
use crate::resolve::Resolved;

/// The section by which an object says what stack it needs.
const NOTE: &[u8] = b".note.GNU-stack";

/// What the user is told. GNU ld does not count these as warnings for `--fatal-warnings`.
pub(super) fn warnings(options: &Options, resolved: &Resolved<'_>, arch: &Arch) -> Vec<String> {
    let asked = options.warn_execstack;
    match options.executable_stack {
        Some(true) if asked == Some(true) => {
            return vec![
                "warning: enabling an executable stack because of -z execstack command line option"
                    .to_owned(),
            ];
        }
        Some(_) => return Vec::new(),
        None => {}
    }
    if options.no_warnings || !asked.unwrap_or(arch.warns_of_executable_stack) {
        return Vec::new();
    }
    let mut is_noted = false;
    let mut without = None;
    for object in resolved.objects.iter() {
        let mut sections = object.sections.iter();
        match sections.find(|section| section.name == NOTE) {
            Some(note) if note.flags & elf::SHF_EXECINSTR.0 != 0 => {
                return vec![format!(
                    "warning: {}: requires executable stack (because the .note.GNU-stack section is executable)",
                    object.name
                )];
            }
            Some(_) => is_noted = true,
            None => without = Some(&object.name),
        }
    }
    let has_header = is_noted || options.stack_size.is_some_and(|size| size > 0);
    match without.filter(|_| has_header && arch.executable_stack) {
        None => Vec::new(),
        Some(name) => vec![
            format!("warning: {name}: missing .note.GNU-stack section implies executable stack"),
            "NOTE: This behaviour is deprecated and will be removed in a future version of the linker"
                .to_owned(),
        ],
    }
}
