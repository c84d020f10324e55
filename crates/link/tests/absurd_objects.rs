//! Objects whose numbers ask for what no object can mean: each is a good one with a few numbers
//! changed, and each error says what is wrong.

use std::fs;
use std::path::Path;

use klink_link::{Input, ModuleOptions, Options, OutputKind};

/// ELF gABI chapter 4: offsets and widths in `Elf64_Shdr`.
const TYPE: (usize, usize) = (4, 4);
const OFFSET: (usize, usize) = (24, 8);
const SIZE: (usize, usize) = (32, 8);
const FLAGS: (usize, usize) = (8, 8);
const LINK: (usize, usize) = (40, 4);
const INFO: (usize, usize) = (44, 4);
const ALIGN: (usize, usize) = (48, 8);

/// A little-endian ELF64 object whose numbers can be changed.
struct Object(Vec<u8>);

impl Object {
    fn x86_64() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/x86_64.o");
        Self(fs::read(path).unwrap())
    }

    fn get(&self, at: usize, width: usize) -> u64 {
        let bytes = self.0[at..at + width].iter().rev();
        bytes.fold(0, |value, &byte| value << 8 | u64::from(byte))
    }

    fn set(&mut self, at: usize, width: usize, value: u64) {
        self.0[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
    }

    /// Where the header of the section called `name` is.
    fn section(&self, name: &str) -> usize {
        let table = self.get(40, 8) as usize;
        let names = table + 64 * self.get(62, 2) as usize;
        let strings = self.get(names + OFFSET.0, 8) as usize;
        let wanted = [name.as_bytes(), b"\0"].concat();
        (0..self.get(60, 2) as usize)
            .map(|number| table + 64 * number)
            .find(|&header| {
                let start = strings + self.get(header, 4) as usize;
                self.0[start..].starts_with(&wanted)
            })
            .unwrap_or_else(|| panic!("no section {name}"))
    }

    fn with(mut self, section: &str, (at, width): (usize, usize), value: u64) -> Self {
        let header = self.section(section);
        self.set(header + at, width, value);
        self
    }

    /// Changes a field of the last symbol of the table.
    fn with_last_symbol(mut self, (at, width): (usize, usize), value: u64) -> Self {
        let header = self.section(".symtab");
        let end = self.get(header + OFFSET.0, 8) + self.get(header + SIZE.0, 8);
        self.set(end as usize - 24 + at, width, value);
        self
    }

    /// Moves the table called `section` to the end of the file, with new contents.
    fn with_table(mut self, section: &str, contents: &[u8]) -> Self {
        let end = self.0.len().next_multiple_of(8);
        self.0.resize(end, 0);
        self.0.extend(contents);
        self.with(section, OFFSET, end as u64)
            .with(section, SIZE, contents.len() as u64)
    }

    fn link(&self, module: bool) -> Result<usize, String> {
        self.link_with(Options {
            output_kind: OutputKind::Relocatable,
            module: module.then(ModuleOptions::default),
            dissolve_groups: module,
            ..Options::default()
        })
    }

    fn link_with(&self, options: Options) -> Result<usize, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("absurd.o");
        fs::write(&path, &self.0).unwrap();
        let output = folder.path().join("out.o");
        let mut inputs = vec![Input::file(path)];
        inputs.extend(options.inputs.iter().cloned());
        let options = Options {
            inputs,
            output: Some(output.clone()),
            ..options
        };
        let result = klink_link::link(&options);
        assert_eq!(output.exists(), result.is_ok());
        result
            .map(|report| report.bytes)
            .map_err(|error| error.to_string())
    }

    fn refused(&self, words: &str) {
        for module in [false, true] {
            let error = self.link(module).expect_err(words);
            assert!(error.contains("absurd.o"), "{error}");
            assert!(error.contains(words), "{error}");
        }
    }
}

#[test]
fn the_unchanged_object_is_linked() {
    assert!(Object::x86_64().link(false).is_ok());
    assert!(Object::x86_64().link(true).is_ok());
}

#[test]
fn alignments_are_bounded() {
    let aligned = |align| Object::x86_64().with(".text.b", ALIGN, align);
    aligned(1 << 32).refused("padding");
    aligned(1 << 33).refused("absurd");
    aligned(24).refused("power of two");
    assert!(aligned(1 << 20).link(false).unwrap() < 3 << 20);
}

#[test]
fn sizes_are_bounded() {
    Object::x86_64()
        .with(".text.b", SIZE, u64::MAX)
        .refused("absurd size");
    Object::x86_64()
        .with(".text.b", SIZE, 1 << 20)
        .refused("past the end");
    Object::x86_64()
        .with(".text.b", OFFSET, u64::MAX - 2)
        .refused("past the end");
    // Room without contents costs nothing as long as it stays so.
    let room = Object::x86_64().with(".bss.zero", SIZE, 1 << 38);
    assert!(room.link(false).unwrap() < 1 << 16);
    assert!(room.link(true).unwrap() < 1 << 16);
}

#[test]
fn sections_do_not_overlap() {
    let length = Object::x86_64().0.len() as u64;
    let mut object = Object::x86_64();
    for name in [".text.a", ".text.b", ".data"] {
        object = object.with(name, OFFSET, 0).with(name, SIZE, length);
    }
    object.refused("sections overlap");
}

#[test]
fn symbol_tables_hold_together() {
    Object::x86_64()
        .with(".symtab", INFO, 1 << 20)
        .refused("first global");
    Object::x86_64()
        .with(".symtab", INFO, 1)
        .refused("local but stands among the globals");
    Object::x86_64()
        .with_last_symbol((4, 1), 0)
        .refused("local but stands among the globals");
    Object::x86_64()
        .with_last_symbol((6, 2), 0xfe00)
        .refused("section 65024, which does not exist");
    Object::x86_64()
        .with(".symtab", SIZE, 0)
        .with(".symtab", INFO, 0)
        .refused("does not exist");
    Object::x86_64()
        .with(".strtab", TYPE, 2)
        .refused("more than one symbol table");
}

/// Each symbol's name is the rest of one long string.
#[test]
fn names_that_share_their_ends_are_bounded() {
    let count = 20_000;
    let mut symbols = vec![0; 24];
    for number in 1..count {
        symbols.extend(u32::to_le_bytes(number));
        symbols.extend([0x10; 1]);
        symbols.extend([0; 19]);
    }
    let mut strings = vec![b'x'; count as usize];
    strings[0] = 0;
    strings.push(0);
    Object::x86_64()
        .with_table(".symtab", &symbols)
        .with(".symtab", INFO, 1)
        .with_table(".strtab", &strings)
        .refused("names are more than");
}

#[test]
fn relocations_stay_inside_and_name_symbols() {
    let relocated = |at: usize, width: usize, value: u64| {
        let mut object = Object::x86_64();
        let header = object.section(".rela.text.a");
        let table = object.get(header + OFFSET.0, 8) as usize;
        object.set(table + at, width, value);
        object
    };
    relocated(0, 8, u64::MAX).refused("outside of the section");
    relocated(12, 4, 1 << 20).refused("symbol 1048576, which does not exist");
    // The field of a call begins at the section's end: fine where it is copied, not where the link
    // writes to it.
    let header = Object::x86_64().section(".text.a");
    let size = Object::x86_64().get(header + SIZE.0, 8);
    assert!(relocated(0, 8, size).link(false).is_ok());
    let wild = Object::x86_64().with(".rela.text.a", INFO, 1 << 20);
    wild.refused("which has no contents");
}

/// Found by the fuzz target `link`: the object that defined it first was looked for among those that
/// had joined.
#[test]
fn a_symbol_is_defined_once_in_an_object() {
    let object = Object::x86_64();
    let header = object.section(".strtab");
    let (start, size) = (
        object.get(header + OFFSET.0, 8) as usize,
        object.get(header + SIZE.0, 8) as usize,
    );
    let strings = &object.0[start..start + size];
    let name = strings
        .windows(3)
        .position(|name| name == b"\0a\0")
        .unwrap() as u64
        + 1;
    object
        .with_last_symbol((0, 4), name)
        .with_last_symbol((4, 1), 0x10)
        .with_last_symbol((6, 2), 1)
        .refused("multiple definition of `a'");
}

/// Found by the fuzz target `image`: behind an object's own sections stand those that the linker made.
#[test]
fn a_section_is_about_one_of_its_own_object() {
    const ALLOC_AND_LINK_ORDER: u64 = 0x82;
    let object = Object::x86_64();
    let count = object.get(60, 2);
    let other = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/x86_64.o");
    for link in [count, count + 1, u64::from(u32::MAX)] {
        let object = Object::x86_64()
            .with(".data", FLAGS, ALLOC_AND_LINK_ORDER)
            .with(".data", LINK, link);
        let _ = object.link_with(Options {
            inputs: vec![Input::file(other.clone())],
            allow_multiple_definition: true,
            no_inhibit_exec: true,
            ..Options::default()
        });
    }
}
