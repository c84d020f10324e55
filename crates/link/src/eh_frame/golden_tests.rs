//! `.eh_frame` and `.eh_frame_hdr` of small outputs, byte for byte as GNU ld made them.

use std::path::Path;

use object::{Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget};

use super::{
    EditedFrames, FrameRelocation, FrameSection, FrameTargets, Frames, Personality, header,
};
use crate::dynamic::test_tools::{Tools, address, contents, value};

/// An object's `.eh_frame`.
struct Input<'o> {
    file: &'o object::File<'o>,
    bytes: Vec<u8>,
    relocations: Vec<Relocation>,
}

struct Relocation {
    offset: u64,
    number: u32,
    symbol: object::SymbolIndex,
    addend: i64,
}

/// What the relocations of all inputs refer to.
struct Targets<'t> {
    inputs: &'t [Input<'t>],
    /// Name prefix of functions that are not in the output.
    dropped: &'static str,
}

impl Input<'_> {
    fn target(&self, relocation: usize) -> object::Symbol<'_, '_> {
        let symbol = self.relocations[relocation].symbol;
        self.file.symbol_by_index(symbol).unwrap()
    }

    /// The value in `linked` of what a relocation refers to, without its addend.
    fn value(&self, linked: &object::File<'_>, relocation: usize) -> u64 {
        let (name, distance) = self.name(relocation);
        value(linked, &name) - distance
    }

    /// The symbol that a relocation refers to, or for that of a section a global one in the
    /// section, and how far behind the former that is.
    fn name(&self, relocation: usize) -> (String, u64) {
        let symbol = self.target(relocation);
        let name = |symbol: &object::Symbol<'_, '_>| symbol.name().unwrap().to_owned();
        if symbol.kind() != object::SymbolKind::Section {
            return (name(&symbol), 0);
        }
        let mut symbols = self.file.symbols();
        let other = symbols.find(|other| other.section() == symbol.section() && other.is_global());
        let other = other.unwrap();
        (name(&other), other.address())
    }
}

impl FrameTargets for Targets<'_> {
    fn is_kept(&self, section: usize, relocation: usize) -> bool {
        !self.inputs[section]
            .name(relocation)
            .0
            .starts_with(self.dropped)
    }

    fn personality(&self, section: usize, relocation: usize) -> Personality {
        let input = &self.inputs[section];
        // Personalities of these tests are global, and hidden where they are bound.
        let (name, _) = input.name(relocation);
        Personality {
            symbol: name.bytes().fold(0, |sum, byte| sum << 5 ^ u64::from(byte)),
            is_bound: name.contains("hidden"),
        }
    }
}

fn read<'o>(tools: &Tools, file: &'o object::File<'o>) -> Input<'o> {
    let section = file.section_by_name(".eh_frame").unwrap();
    let bytes = section.data().unwrap().to_vec();
    let relocations = section.relocations().map(|(offset, relocation)| {
        let RelocationFlags::Elf { r_type } = relocation.flags() else {
            unreachable!();
        };
        let RelocationTarget::Symbol(symbol) = relocation.target() else {
            unreachable!();
        };
        let row = tools.arch.relocation(r_type.0).unwrap();
        let addend = match relocation.has_implicit_addend() {
            true => row
                .implicit_addend(tools.arch.endian, &bytes[offset as usize..])
                .unwrap(),
            false => relocation.addend(),
        };
        Relocation {
            offset,
            number: r_type.0,
            symbol,
            addend,
        }
    });
    let relocations = relocations.collect();
    Input {
        file,
        bytes,
        relocations,
    }
}

/// Links `sources`, does the same with the editor, and compares.
fn compare(sources: &[String], options: &[&str], dropped: &'static str) {
    for tools in Tools::installed() {
        let folder = tempfile::tempdir().unwrap();
        let objects: Vec<Vec<u8>> = sources
            .iter()
            .enumerate()
            .map(|(at, source)| assemble(tools, folder.path(), at, source))
            .collect();
        let names: Vec<String> = (0..sources.len()).map(|at| format!("in{at}.o")).collect();
        let names = names.iter().map(String::as_str);
        let base = ["--eh-frame-hdr", "-znotext", "-u", "keep_me"];
        let arguments: Vec<&str> = base
            .into_iter()
            .chain(options.iter().copied())
            .chain(names)
            .collect();
        let linked = tools.link(folder.path(), &arguments);
        let linked = object::File::parse(&*linked).unwrap();
        let files: Vec<object::File<'_>> = objects
            .iter()
            .map(|bytes| object::File::parse(&**bytes).unwrap())
            .collect();
        let inputs: Vec<Input<'_>> = files
            .iter()
            .filter(|file| file.section_by_name(".eh_frame").is_some())
            .map(|file| read(tools, file))
            .collect();
        let position_independent = options.contains(&"-shared") || options.contains(&"-pie");
        check(tools, &linked, &inputs, position_independent, dropped);
    }
}

fn assemble(tools: &Tools, folder: &Path, at: usize, source: &str) -> Vec<u8> {
    let directive = match tools.form().address_size() {
        8 => ".quad",
        _ => ".long",
    };
    let source = source.replace(".pointer", directive);
    tools.assemble(folder, &format!("in{at}"), &source)
}

fn check(
    tools: &Tools,
    linked: &object::File<'_>,
    inputs: &[Input<'_>],
    position_independent: bool,
    dropped: &'static str,
) {
    let arch = tools.arch.name;
    let form = tools.form();
    let parsed: Vec<Frames> = inputs
        .iter()
        .map(|input| {
            let relocations: Vec<FrameRelocation> = input
                .relocations
                .iter()
                .map(|relocation| FrameRelocation {
                    offset: relocation.offset,
                    is_none: relocation.number == 0,
                })
                .collect();
            Frames::parse(form, &input.bytes, &relocations).unwrap()
        })
        .collect();
    let sections: Vec<FrameSection<'_>> = (inputs.iter().zip(&parsed))
        .map(|(input, frames)| FrameSection {
            frames: Some(frames),
            size: input.bytes.len() as u64,
        })
        .collect();
    let align = linked.section_by_name(".eh_frame").unwrap().align();
    let targets = Targets { inputs, dropped };
    let edited = EditedFrames::new(&sections, &targets, position_independent, align);

    let start = address(linked, ".eh_frame").unwrap();
    let mut ours = Vec::new();
    let mut entries = Vec::new();
    let starts: Vec<u64> = (0..inputs.len())
        .scan(0, |end, section| {
            let at = *end;
            *end += edited.size(section);
            Some(at)
        })
        .collect();
    for (section, input) in inputs.iter().enumerate() {
        let mut bytes = edited.bytes(section, &input.bytes, &starts);
        assert_eq!(bytes.len() as u64, edited.size(section));
        for (at, relocation) in input.relocations.iter().enumerate() {
            let Some(offset) = edited.place(section, relocation.offset).offset() else {
                continue;
            };
            let row = tools.arch.relocation(relocation.number).unwrap();
            let values = klink_arch::Values {
                symbol: input.value(linked, at),
                addend: relocation.addend,
                place: start + starts[section] + offset,
                ..klink_arch::Values::default()
            };
            row.apply(tools.arch.endian, &mut bytes[offset as usize..], &values)
                .unwrap();
        }
        entries.extend(edited.finish(section, &mut bytes, start + starts[section]));
        ours.extend(bytes);
    }
    let theirs = contents(linked, ".eh_frame").unwrap();
    assert_same(&ours, &theirs, &format!(".eh_frame of {arch}"));
    if let Some(theirs) = contents(linked, ".eh_frame_hdr") {
        let at = address(linked, ".eh_frame_hdr").unwrap();
        let entries = edited.is_searchable().then_some(entries);
        let ours = header(form, at, start, entries).unwrap();
        assert_eq!(edited.header_size(), ours.len() as u64);
        assert_same(&ours, &theirs, &format!(".eh_frame_hdr of {arch}"));
    }
}

fn assert_same(ours: &[u8], theirs: &[u8], what: &str) {
    let at = (ours.iter().zip(theirs))
        .take_while(|(a, b)| a == b)
        .count();
    let near = |bytes: &[u8]| {
        let rest = bytes.get(at & !3..).unwrap_or_default();
        format!(
            "{:02x?} ({} in all)",
            &rest[..rest.len().min(24)],
            bytes.len()
        )
    };
    assert!(
        ours == theirs,
        "{what} at {at}: ours {}, ld's {}",
        near(ours),
        near(theirs)
    );
}

/// Functions with unwind data as assemblers write it, each in a section of its own.
fn functions(names: &[&str], directives: &str) -> String {
    let mut source = String::new();
    for name in names {
        source += &format!(
            " .section .text.{name},\"ax\",@progbits\n .globl {name}\n{name}:\n .cfi_startproc\n\
             {directives}\n .long 0\n .cfi_def_cfa_offset 16\n .long 0, 0\n .cfi_endproc\n"
        );
    }
    source
}

const PERSONALITY: &str = " .section .text.hidden_handler,\"ax\",@progbits\n \
    .globl hidden_handler\n .hidden hidden_handler\nhidden_handler:\n .long 0\n";

#[test]
fn equal_cies_are_merged_and_records_are_padded() {
    for kind in ["-shared", "-static"] {
        compare(
            &[
                functions(&["a", "keep_me"], ""),
                functions(&["b"], ""),
                functions(&["c"], " .cfi_signal_frame"),
                functions(
                    &["d"],
                    " .cfi_signal_frame\n .cfi_remember_state\n .cfi_restore_state",
                ),
            ],
            &[kind],
            "no function",
        );
    }
}

#[test]
fn records_of_dropped_functions_go() {
    compare(
        &[
            functions(&["gone_a"], " .cfi_signal_frame"),
            functions(&["keep_me", "gone_b"], ""),
            functions(&["gone_c"], ""),
        ],
        &["--gc-sections", "-static", "-e", "keep_me"],
        "gone",
    );
}

#[test]
fn personalities_and_language_data() {
    let with = |handler: &str, encoding: u8| {
        format!(" .cfi_personality {encoding}, {handler}\n .cfi_lsda {encoding}, data")
    };
    let data = " .section .data,\"aw\",@progbits\n .globl data\n .hidden data\ndata:\n .long 1\n";
    for (kind, encoding) in [
        ("-static", 0),
        ("-static", 0x1b),
        ("-shared", 0),
        ("-shared", 0x1b),
    ] {
        compare(
            &[
                functions(&["a", "keep_me"], &with("hidden_handler", encoding))
                    + PERSONALITY
                    + data,
                functions(&["b"], &with("hidden_handler", encoding)),
                functions(&["c"], ""),
            ],
            &[kind],
            "no function",
        );
    }
}

/// Unwind data with absolute addresses, with and without an augmentation.
fn absolute(name: &str, augmentation: &str, data: &str, fde_data: &str) -> String {
    format!(
        " .section .text.{name},\"ax\",@progbits\n .globl {name}\n{name}:\n .long 0, 0\n\
         .section .eh_frame,\"a\",@progbits\n\
         .Lcie_{name}:\n .long .Lcie_{name}_end - .Lcie_{name}_id\n\
         .Lcie_{name}_id:\n .long 0\n .byte 1\n .asciz \"{augmentation}\"\n\
         .byte 1, 0x7c, 8\n {data}\n .byte 0x0c, 4, 4, 0x88, 1, 0, 0\n\
         .Lcie_{name}_end:\n .long .Lfde_{name}_end - .Lfde_{name}_id\n\
         .Lfde_{name}_id:\n .long .Lfde_{name}_id - .Lcie_{name}\n\
         .pointer {name}\n .pointer 8\n {fde_data}\n .byte 0x0e, 8, 0, 0, 0, 0\n\
         .Lfde_{name}_end:\n"
    )
}

#[test]
fn absolute_addresses_become_relative_where_the_output_may_be_anywhere() {
    let sources = |with_personality: bool| {
        let mut sources = vec![
            absolute("keep_me", "", "", ""),
            absolute("b", "", "", ""),
            absolute("c", "z", ".byte 0", ".byte 0"),
            absolute("d", "zR", ".byte 1, 0", ".byte 0"),
            absolute("e", "zS", ".byte 0", ".byte 0"),
        ];
        if with_personality {
            sources.push(
                absolute(
                    "f",
                    "zP",
                    ".byte 1 + 2 * 2\n .byte 3\n .long hidden_handler",
                    ".byte 0",
                ) + PERSONALITY,
            );
        }
        // An FDE may hold an address among its instructions.
        sources.push(absolute(
            "g",
            "zR",
            ".byte 1, 0",
            ".byte 0, 1\n .pointer g + 4",
        ));
        sources.push(" .section .eh_frame,\"a\",@progbits\n .long 0\n".to_owned());
        sources
    };
    compare(&sources(true), &["-static"], "no function");
    compare(&sources(false), &["-shared"], "no function");
    compare(
        &sources(false),
        &["-pie", "--no-dynamic-linker"],
        "no function",
    );
}

#[test]
fn terminators_are_kept_at_the_end_only() {
    let end = " .section .eh_frame,\"a\",@progbits\n .long 0\n";
    compare(
        &[
            functions(&["keep_me"], ""),
            end.to_owned(),
            functions(&["b"], " .cfi_remember_state\n .cfi_restore_state"),
            end.to_owned(),
        ],
        &["-shared"],
        "no function",
    );
}
