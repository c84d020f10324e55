//! Which sections the module link merges. The rules are data, and each has its reason.

use crate::input::InputSection;
use crate::output::Traits;

/// Input sections whose names begin so join the output section.
struct Merge {
    into: &'static [u8],
    /// Prefix of the input's name behind [`Merge::into`].
    prefix: &'static [u8],
    /// What may follow the prefix.
    next: Next,
    /// Traits that the input must have and those it must not have.
    code: bool,
}

enum Next {
    Anything,
    /// A letter, a digit or `_`: names that compilers make from a function's or variable's. Names
    /// with a second dot (`.data..percpu`, `.data..ro_after_init`) mean something to the kernel.
    Identifier,
}

/// The rules. The kernel finds its tables by section name, so only names that compilers make are
/// merged: `-ffunction-sections` and `-fdata-sections` put each object into a section of its own, and
/// constants and strings into `.rodata.cst4`, `.rodata.str1.4` and the like. For data these are the
/// rules of the kernel's own `scripts/module.lds.S` for `CONFIG_LTO_CLANG`.
///
/// `.noinstr.text`, `.kprobes.text`, `.static_call.text`, `.klp.*` and all `.init*`, `.exit*` stay
/// apart: `find_module_sections` and `module_init_section` (Linux, `kernel/module/main.c`) know them
/// by name.
const MERGES: [Merge; 9] = [
    Merge {
        into: b".text",
        prefix: b".text.",
        next: Next::Anything,
        code: true,
    },
    Merge {
        into: b".init.text",
        prefix: b".init.text.",
        next: Next::Anything,
        code: true,
    },
    Merge {
        into: b".exit.text",
        prefix: b".exit.text.",
        next: Next::Anything,
        code: true,
    },
    Merge {
        into: b".rodata",
        prefix: b".rodata.",
        next: Next::Identifier,
        code: false,
    },
    Merge {
        into: b".rodata",
        prefix: b".rodata..L",
        next: Next::Anything,
        code: false,
    },
    Merge {
        into: b".data",
        prefix: b".data.",
        next: Next::Identifier,
        code: false,
    },
    Merge {
        into: b".data",
        prefix: b".data..L",
        next: Next::Anything,
        code: false,
    },
    Merge {
        into: b".bss",
        prefix: b".bss.",
        next: Next::Identifier,
        code: false,
    },
    Merge {
        into: b".bss",
        prefix: b".bss..L",
        next: Next::Anything,
        code: false,
    },
];

/// The name of the output section for an input section that the script did not place.
pub(crate) fn output_name<'a>(section: &InputSection<'a>) -> &'a [u8] {
    let traits = Traits::of(section);
    let mergeable = |merge: &&Merge| {
        let Some(rest) = section.name.strip_prefix(merge.prefix) else {
            return false;
        };
        let follows = match merge.next {
            Next::Anything => true,
            Next::Identifier => rest
                .first()
                .is_some_and(|&byte| byte.is_ascii_alphanumeric() || byte == b'_'),
        };
        let writable = merge.into == b".data" || merge.into == b".bss";
        let contents = merge.into != b".bss";
        follows
            && traits.contains(Traits::ALLOC)
            && traits.contains(Traits::CODE) == merge.code
            && traits.contains(Traits::READ_ONLY) != writable
            && traits.contains(Traits::CONTENTS) == contents
            && !traits.contains(Traits::THREAD_LOCAL)
            && section.section_type
                == if contents {
                    object::elf::SHT_PROGBITS.0
                } else {
                    object::elf::SHT_NOBITS.0
                }
    };
    MERGES
        .iter()
        .find(mergeable)
        .map_or(section.name, |merge| merge.into)
}
