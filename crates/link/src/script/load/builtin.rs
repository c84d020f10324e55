//! The scripts that are followed where the command line names none.

use klink_arch::{Addends, Arch, Class, Endian};

use super::LoadedInput;
use crate::error::Result;
use crate::input::{Storage, first_object};
use crate::options::{InputFormat, Magic, Options, OutputKind};
use crate::target;

/// The script of `-r`.
const RELOCATABLE: &str = include_str!("../../../scripts/relocatable.lds");

/// The script of other links, with gaps to fill.
const IMAGE: &str = include_str!("../../../scripts/image.lds");

/// What an architecture's programs look like where no script says otherwise.
struct Platform {
    /// The architecture's name.
    arch: &'static str,
    /// Where the first segment of a program begins.
    start: u64,
    /// Bytes at the start of `.got.plt` that the dynamic linker writes only once, so that they may
    /// be protected with what stands before them. `None`: the GOT stands behind `.data`.
    got_header: Option<u64>,
    /// Sections beside `.rodata`, beside `.data`, and in front of `.bss`.
    rodata_sections: &'static str,
    data_sections: &'static str,
    bss_sections: &'static str,
    /// Symbols at the start of `.data`.
    data_symbols: &'static str,
    /// Whether data and code may be too far from each other for 32 bits, in sections of their own.
    large_sections: bool,
}

const SMALL_DATA2: &str = ".sdata2 : { *(.sdata2 .sdata2.* .gnu.linkonce.s2.*) } \
     .sbss2 : { *(.sbss2 .sbss2.* .gnu.linkonce.sb2.*) } \
     .PARISC.unwind : { *(.PARISC.unwind) }";

const HPPA_DATA: &str = ".plt : { *(.plt) } .iplt : { *(.iplt) } \
     .got : { *(.got.plt) *(.igot.plt) *(.got) *(.igot) } \
     .sdata : { *(.sdata .sdata.* .gnu.linkonce.s.*) }";

const HPPA_BSS: &str = ".sbss : { *(.dynsbss) *(.sbss .sbss.* .gnu.linkonce.sb.*) *(.scommon) }";

/// Sources: ld/emulparams/{elf_x86_64,elf_i386,hppalinux}.sh (TEXT_START_ADDR,
/// OTHER_READONLY_SECTIONS, DATA_START_SYMBOLS, SEPARATE_GOTPLT).
const PLATFORMS: &[Platform] = &[
    Platform {
        arch: "x86_64",
        start: 0x40_0000,
        got_header: Some(24),
        rodata_sections: "",
        data_sections: "",
        bss_sections: "",
        data_symbols: "",
        large_sections: true,
    },
    Platform {
        arch: "i386",
        start: 0x0804_8000,
        got_header: Some(12),
        rodata_sections: "",
        data_sections: "",
        bss_sections: "",
        data_symbols: "",
        large_sections: false,
    },
    Platform {
        arch: "hppa",
        start: 0x1_0000,
        got_header: None,
        rodata_sections: SMALL_DATA2,
        data_sections: HPPA_DATA,
        bss_sections: HPPA_BSS,
        data_symbols: "PROVIDE ($global$ = .);",
        large_sections: false,
    },
];

/// Architectures without a row: programs begin at 4 MiB, the GOT stands behind `.data`.
const OTHERS: Platform = Platform {
    arch: "",
    start: 0x40_0000,
    got_header: None,
    rodata_sections: "",
    data_sections: HPPA_DATA,
    bss_sections: HPPA_BSS,
    data_symbols: "",
    large_sections: false,
};

/// The built-in script for `options`. `format` is what other scripts named with OUTPUT_FORMAT; where
/// nothing names an architecture, the first object decides.
///
/// # Errors
/// A name of an architecture that is not known.
pub(super) fn script<'a>(
    options: &Options,
    format: Option<&str>,
    inputs: &[LoadedInput<'a>],
    storage: &'a Storage,
) -> Result<String> {
    if options.relocatable() {
        return Ok(RELOCATABLE.to_owned());
    }
    let wanted = target::from_options(options, format)?;
    let arch = wanted.or_else(|| inputs.iter().find_map(|input| arch_of(input, storage)));
    // Without one there is nothing to lay out, and reading the inputs tells why.
    Ok(arch.map_or_else(|| RELOCATABLE.to_owned(), |arch| image(options, arch)))
}

/// The architecture of an object, or of the first object in an archive.
fn arch_of<'a>(input: &LoadedInput<'a>, storage: &'a Storage) -> Option<&'static Arch> {
    if input.format == InputFormat::Binary {
        return None;
    }
    let header = first_object(input.file, storage)?;
    if !header.starts_with(b"\x7fELF") {
        return None;
    }
    let class = match header.get(4)? {
        1 => Class::Elf32,
        _ => Class::Elf64,
    };
    let machine = [*header.get(18)?, *header.get(19)?];
    let (endian, machine) = match header.get(5)? {
        1 => (Endian::Little, u16::from_le_bytes(machine)),
        _ => (Endian::Big, u16::from_be_bytes(machine)),
    };
    klink_arch::by_machine(machine, class, endian)
}

fn image(options: &Options, arch: &Arch) -> String {
    let platform = PLATFORMS.iter().find(|platform| platform.arch == arch.name);
    let platform = platform.unwrap_or(&OTHERS);
    let is_program = options.output_kind != OutputKind::Shared;
    let program = |text: &str| {
        if is_program {
            text.to_owned()
        } else {
            String::new()
        }
    };
    // Marks of tables that only a program's own start code walks.
    let mark = |name: &str| program(&format!("PROVIDE_HIDDEN ({name} = .);"));
    let symbol = |name: &str| match is_program {
        true => format!("{name} = .;"),
        false => format!("PROVIDE ({name} = .);"),
    };
    let start = match options.output_kind {
        OutputKind::Executable | OutputKind::Relocatable => platform.start,
        OutputKind::Pie | OutputKind::Shared => 0,
    };
    let rel = match arch.addends {
        Addends::Rel => "rel",
        Addends::Rela => "rela",
    };
    let ifunc = |end: &str| match options.output_kind {
        OutputKind::Executable => mark(&format!("__{rel}_iplt_{end}")),
        _ => String::new(),
    };
    let fill: String = arch
        .default_script_fill
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let segments = Segments::of(options, arch, platform);
    let gaps = [
        (
            "EXECUTABLE_START",
            program(&format!(
                "PROVIDE (__executable_start = SEGMENT_START (\"text-segment\", {start:#x}));"
            )),
        ),
        ("INTERP", program(".interp : { *(.interp) }")),
        ("START", format!("{start:#x}")),
        ("REL", rel.to_owned()),
        ("IPLT_START", ifunc("start")),
        ("IPLT_END", ifunc("end")),
        ("TO_CODE", segments.to_code.to_owned()),
        (
            "FILL",
            if fill.is_empty() {
                fill
            } else {
                format!("=0x{fill}")
            },
        ),
        (
            "PLT_IN_CODE",
            match platform.got_header {
                Some(_) => ".plt : { *(.plt) *(.iplt) } .plt.got : { *(.plt.got) } \
                        .plt.sec : { *(.plt.sec) }"
                    .to_owned(),
                None => String::new(),
            },
        ),
        ("TO_RODATA", segments.to_rodata.to_owned()),
        ("RODATA_SECTIONS", platform.rodata_sections.to_owned()),
        ("TO_DATA", segments.to_data),
        ("TDATA_START", mark("__tdata_start")),
        ("PREINIT_START", mark("__preinit_array_start")),
        ("PREINIT_END", mark("__preinit_array_end")),
        ("INIT_START", mark("__init_array_start")),
        ("INIT_END", mark("__init_array_end")),
        ("FINI_START", mark("__fini_array_start")),
        ("FINI_END", mark("__fini_array_end")),
        ("GOT_AND_RELRO_END", segments.got),
        ("DATA_SYMBOLS", platform.data_symbols.to_owned()),
        ("SECTIONS_AFTER_DATA", platform.data_sections.to_owned()),
        ("EDATA", symbol("_edata") + " PROVIDE (edata = .);"),
        ("BSS_START", symbol("__bss_start")),
        ("SECTIONS_BEFORE_BSS", platform.bss_sections.to_owned()),
        ("WORD", (arch.class.address_bits() / 8).to_string()),
        ("LARGE_BSS", large(platform, LARGE_BSS)),
        ("LARGE_DATA", large(platform, LARGE_DATA)),
        ("END", symbol("_end") + " PROVIDE (end = .);"),
        ("DATA_END", segments.data_end.to_owned()),
    ];
    fill_gaps(IMAGE, &gaps)
}

const LARGE_BSS: &str =
    ".lbss : { *(.dynlbss) *(.lbss .lbss.* .gnu.linkonce.lb.*) *(LARGE_COMMON) }";

const LARGE_DATA: &str = ".lrodata ALIGN (CONSTANT (MAXPAGESIZE)) + (. & (CONSTANT (MAXPAGESIZE) - 1)) : \
     { *(.lrodata .lrodata.* .gnu.linkonce.lr.*) } \
     .ldata ALIGN (CONSTANT (MAXPAGESIZE)) + (. & (CONSTANT (MAXPAGESIZE) - 1)) : \
     { *(.ldata .ldata.* .gnu.linkonce.l.*) . = ALIGN (. != 0 ? 8 : 1); }";

fn large(platform: &Platform, text: &str) -> String {
    if platform.large_sections {
        text.to_owned()
    } else {
        String::new()
    }
}

/// What stands between the segments.
struct Segments {
    to_code: &'static str,
    to_rodata: &'static str,
    to_data: String,
    got: String,
    data_end: &'static str,
}

impl Segments {
    fn of(options: &Options, arch: &Arch, platform: &Platform) -> Self {
        let separate =
            options.separate_code.unwrap_or(arch.separate_code) && options.magic == Magic::Paged;
        let one_segment = options.magic == Magic::Omagic;
        let to_data = match (one_segment, platform.got_header) {
            (true, _) => ". = .;",
            (false, Some(_)) => {
                ". = DATA_SEGMENT_ALIGN (CONSTANT (MAXPAGESIZE), CONSTANT (COMMONPAGESIZE));"
            }
            (false, None) => {
                ". = ALIGN (CONSTANT (MAXPAGESIZE)); \
                 . = DATA_SEGMENT_ALIGN (CONSTANT (MAXPAGESIZE), CONSTANT (COMMONPAGESIZE));"
            }
        };
        let relro_end = |bytes: &str| match one_segment {
            true => String::new(),
            false => format!(". = DATA_SEGMENT_RELRO_END ({bytes}, .);"),
        };
        let binds_now = options.dynamic_flags & object::elf::DF_BIND_NOW.0 != 0;
        let got = match platform.got_header {
            None => relro_end("0"),
            // With nothing left to bind later, all of the GOT is written only once.
            Some(_) if binds_now => {
                let got = ".got : { *(.got.plt) *(.igot.plt) *(.got) *(.igot) } ".to_owned();
                got + &relro_end("0")
            }
            Some(header) => format!(
                ".got : {{ *(.got) *(.igot) }} {} .got.plt : {{ *(.got.plt) *(.igot.plt) }}",
                relro_end(&format!("SIZEOF (.got.plt) >= {header} ? {header} : 0"))
            ),
        };
        Segments {
            to_code: if separate {
                ". = ALIGN (CONSTANT (MAXPAGESIZE));"
            } else {
                ""
            },
            to_rodata: if separate {
                ". = ALIGN (CONSTANT (MAXPAGESIZE)); \
                 . = SEGMENT_START (\"rodata-segment\", ALIGN (CONSTANT (MAXPAGESIZE)) \
                 + (. & (CONSTANT (MAXPAGESIZE) - 1)));"
            } else {
                ""
            },
            to_data: to_data.to_owned(),
            got,
            data_end: if one_segment {
                ""
            } else {
                ". = DATA_SEGMENT_END (.);"
            },
        }
    }
}

/// Replaces `@NAME@`.
fn fill_gaps(template: &str, gaps: &[(&str, String)]) -> String {
    let mut text = String::with_capacity(2 * template.len());
    for (number, part) in template.split('@').enumerate() {
        // Names stand at odd numbers; one that is not in the list leaves its name for the parser to
        // complain about.
        let gap = gaps
            .iter()
            .find(|(name, _)| number % 2 == 1 && *name == part);
        text.push_str(gap.map_or(part, |(_, filled)| filled));
    }
    text
}
