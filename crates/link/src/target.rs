//! The output's architecture: from `-m`, `--oformat` or OUTPUT_FORMAT, or from the first object.

use klink_arch::{Arch, Class, Endian};

use crate::args::UsageError;
use crate::error::{LinkError, Result};
use crate::input::ElfIdent;
use crate::options::{Options, OutputFormat};
use crate::resolve::Resolved;

/// The architecture that the command line or the script names.
///
/// # Errors
/// A name that is not known.
pub(crate) fn from_options(
    options: &Options,
    script_format: Option<&str>,
) -> Result<Option<&'static Arch>> {
    let format = match &options.output_format {
        Some(OutputFormat::Elf(name)) => Some(name.as_str()),
        Some(OutputFormat::Binary) | None => script_format,
    };
    // A file without headers is of any architecture.
    if let Some(format) = format.filter(|&format| format != "binary") {
        return klink_arch::by_bfd_name(format).map(Some).ok_or_else(|| {
            bad_value(
                "--oformat",
                format,
                "the name of an ELF format, such as elf64-x86-64 or elf32-hppa-linux",
            )
        });
    }
    let Some(emulation) = &options.emulation else {
        return Ok(None);
    };
    klink_arch::by_emulation(emulation)
        .map(Some)
        .ok_or_else(|| {
            bad_value(
                "-m",
                emulation,
                "elf_x86_64, elf_i386, hppalinux or hppa64linux",
            )
        })
}

fn bad_value(option: &str, value: &str, expected: &'static str) -> LinkError {
    LinkError::Usage(UsageError::BadValue {
        option: option.to_owned(),
        value: value.to_owned(),
        expected,
    })
}

/// Machine, class and byte order of an architecture.
pub(crate) fn ident(arch: &Arch) -> ElfIdent {
    ElfIdent {
        machine: arch.machine,
        is_64: arch.class == Class::Elf64,
        big_endian: arch.endian == Endian::Big,
    }
}

/// The output's architecture; every object must be of it.
pub(crate) fn choose(
    wanted: Option<&'static Arch>,
    resolved: &Resolved<'_>,
) -> Result<&'static Arch> {
    let Some(first) = resolved.objects.iter().next() else {
        return Err(LinkError::NoInput);
    };
    let of = |ident: ElfIdent| {
        let class = if ident.is_64 {
            Class::Elf64
        } else {
            Class::Elf32
        };
        let endian = if ident.big_endian {
            Endian::Big
        } else {
            Endian::Little
        };
        klink_arch::by_machine(ident.machine, class, endian)
    };
    let arch = match wanted.or_else(|| of(first.ident)) {
        Some(arch) => arch,
        None => {
            return Err(LinkError::WrongArchitecture {
                file: first.name.clone(),
                found: describe(first.ident),
                expected: "one that klink knows (hppa, hppa64, x86_64, i386)".to_owned(),
            });
        }
    };
    for object in resolved.objects.iter() {
        if object.ident != ident(arch) {
            return Err(LinkError::WrongArchitecture {
                file: object.name.clone(),
                found: of(object.ident)
                    .map_or_else(|| describe(object.ident), |arch| arch.name.to_owned()),
                expected: arch.name.to_owned(),
            });
        }
    }
    Ok(arch)
}

fn describe(ident: ElfIdent) -> String {
    format!(
        "ELF machine {}, {} bits, {} endian",
        ident.machine,
        if ident.is_64 { 64 } else { 32 },
        if ident.big_endian { "big" } else { "little" }
    )
}

/// `e_flags` of the output: those of the OUTPUT_ARCH, or what the architecture always has, or else
/// the first object's.
pub(crate) fn flags(resolved: &Resolved<'_>, arch: &Arch, output_arch: Option<&str>) -> u32 {
    let mut named = arch.elf_flags_of_arch.iter();
    if let Some(&(_, flags)) = named.find(|row| Some(row.0) == output_arch) {
        return flags;
    }
    let inputs = resolved.objects.iter().map(|object| object.flags);
    arch.elf_flags
        .or_else(|| inputs.into_iter().find(|&flags| flags != 0))
        .unwrap_or(0)
}
