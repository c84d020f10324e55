//! GNU as and ld as oracles: assemble, link, and compare with [`Relocation::apply`].

// each test binary uses its own part of this
#![allow(dead_code)]

pub(crate) mod ranges;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use klink_arch::{Arch, Endian, RelocError, Values, aarch64, hppa, i386, ppc64, x86_64};
use object::{Object, ObjectSection};
use tempfile::TempDir;

/// The binutils of one architecture.
pub(crate) struct Binutils {
    pub(crate) arch: &'static Arch,
    package: &'static str,
    assembler: &'static [&'static str],
    linker: &'static [&'static str],
    /// What an assembly file begins with.
    prologue: &'static str,
    /// Whether ld looks at the whole instruction that a relocated half word is in.
    halves_of_words: bool,
}

pub(crate) const HPPA32: Binutils = Binutils {
    arch: &hppa::HPPA32,
    package: "binutils-hppa-linux-gnu",
    assembler: &["hppa-linux-gnu-as"],
    linker: &["hppa-linux-gnu-ld"],
    prologue: "\t.level 2.0\n",
    halves_of_words: false,
};

pub(crate) const HPPA64: Binutils = Binutils {
    arch: &hppa::HPPA64,
    package: "binutils-hppa64-linux-gnu",
    assembler: &["hppa64-linux-gnu-as"],
    linker: &["hppa64-linux-gnu-ld", "-e", "_start"],
    prologue: "\t.level 2.0w\n",
    halves_of_words: false,
};

pub(crate) const X86_64: Binutils = Binutils {
    arch: &x86_64::X86_64,
    package: "binutils-x86-64-linux-gnu",
    assembler: &["x86_64-linux-gnu-as", "--64"],
    linker: &[
        "x86_64-linux-gnu-ld",
        "-m",
        "elf_x86_64",
        "-z",
        "noexecstack",
    ],
    prologue: "",
    halves_of_words: false,
};

pub(crate) const I386: Binutils = Binutils {
    arch: &i386::I386,
    package: "binutils-x86-64-linux-gnu",
    assembler: &["x86_64-linux-gnu-as", "--32"],
    linker: &["x86_64-linux-gnu-ld", "-m", "elf_i386", "-z", "noexecstack"],
    prologue: "",
    halves_of_words: false,
};

pub(crate) const AARCH64: Binutils = Binutils {
    arch: &aarch64::AARCH64,
    package: "binutils-aarch64-linux-gnu",
    assembler: &["aarch64-linux-gnu-as"],
    linker: &["aarch64-linux-gnu-ld"],
    prologue: "",
    halves_of_words: false,
};

/// ld edits code that counts from `r2` unless told not to.
pub(crate) const PPC64LE: Binutils = Binutils {
    arch: &ppc64::PPC64LE,
    package: "binutils-powerpc64le-linux-gnu",
    assembler: &["powerpc64le-linux-gnu-as", "-mlittle"],
    linker: &[
        "powerpc64le-linux-gnu-ld",
        "-m",
        "elf64lppc",
        "--no-toc-optimize",
    ],
    prologue: "\t.abiversion 2\n",
    halves_of_words: true,
};

/// The little-endian tools speak big-endian too.
pub(crate) const PPC64: Binutils = Binutils {
    arch: &ppc64::PPC64,
    package: "binutils-powerpc64le-linux-gnu",
    assembler: &["powerpc64le-linux-gnu-as", "-mbig"],
    linker: &[
        "powerpc64le-linux-gnu-ld",
        "-m",
        "elf64ppc",
        "--no-toc-optimize",
    ],
    prologue: "\t.abiversion 1\n",
    halves_of_words: true,
};

/// Where the tests link code to: far enough from 0 that a 17-bit branch goes either way.
pub(crate) const TEXT: u64 = 0x10_0000;

/// A relocation for the assembler's `.reloc`: at `offset` of `.text`, against `symbol`.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) name: &'static str,
    /// The bytes at the relocated place, before.
    pub(crate) word: u64,
    pub(crate) symbol: u64,
    pub(crate) addend: i64,
}

/// `.text` of an object, before and after GNU ld.
pub(crate) struct Linked {
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
    /// Of the linked file: name, address, bytes.
    pub(crate) sections: Vec<(String, u64, Vec<u8>)>,
}

impl Linked {
    pub(crate) fn section(&self, name: &str) -> (u64, &[u8]) {
        let found = self.sections.iter().find(|section| section.0 == name);
        let (_, address, bytes) = found.unwrap_or_else(|| panic!("no section {name}"));
        (*address, bytes)
    }
}

impl Binutils {
    /// Whether the tools are there. If not, says so; panics if `KLINK_REQUIRE_TOOLS=1`.
    pub(crate) fn available(&self) -> bool {
        let missing = [self.assembler[0], self.linker[0]]
            .into_iter()
            .find(|tool| Command::new(tool).arg("--version").output().is_err());
        let Some(tool) = missing else { return true };
        skip(&format!("{tool} is missing: install {}", self.package));
        false
    }

    /// Assembles `source` and gives the bytes of `.text`.
    pub(crate) fn assemble(&self, source: &str) -> Vec<u8> {
        let dir = TempDir::new().unwrap();
        self.assemble_to(dir.path(), "a", source);
        section_of(&dir.path().join("a.o"), ".text")
    }

    fn assemble_to(&self, dir: &Path, stem: &str, source: &str) {
        let source = format!("{}{source}", self.prologue);
        fs::write(dir.join(format!("{stem}.s")), source).unwrap();
        let object = format!("{stem}.o");
        let output = Command::new(self.assembler[0])
            .args(&self.assembler[1..])
            .args([&format!("{stem}.s"), "-o", &object])
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}: {}",
            self.assembler[0],
            text(&output)
        );
    }

    /// Assembles `source`, defines `symbols` as absolute ones, and links with `.text` at
    /// [`TEXT`]. The error is what ld says.
    pub(crate) fn link(&self, source: &str, symbols: &[(&str, u64)]) -> Result<Linked, String> {
        self.link_at(source, symbols, TEXT)
    }

    /// As [`link`](Self::link), with `.text` at `text_address`.
    pub(crate) fn link_at(
        &self,
        source: &str,
        symbols: &[(&str, u64)],
        text_address: u64,
    ) -> Result<Linked, String> {
        let dir = TempDir::new().unwrap();
        self.assemble_to(
            dir.path(),
            "a",
            &format!("\t.globl _start\n\t.text\n{source}"),
        );
        let mut definitions = String::new();
        for (name, value) in symbols {
            // GNU as for PA-RISC takes no number above the signed 64-bit ones
            let value = value.cast_signed();
            writeln!(definitions, "\t.globl {name}\n\t.set {name}, {value}").unwrap();
        }
        self.assemble_to(dir.path(), "symbols", &definitions);
        let address = format!("{text_address:#x}");
        let arguments = ["-Ttext", &address, "a.o", "symbols.o", "-o", "linked"];
        self.run_linker(dir.path(), arguments.into_iter())?;
        Ok(Linked {
            before: section_of(&dir.path().join("a.o"), ".text"),
            after: section_of(&dir.path().join("linked"), ".text"),
            sections: sections_of(&fs::read(dir.path().join("linked")).unwrap()),
        })
    }

    /// Links `source` with these options to a program in `dir`. The error is what ld says.
    pub(crate) fn try_link_program(
        &self,
        dir: &Path,
        source: &str,
        options: &[&str],
    ) -> Result<PathBuf, String> {
        self.assemble_to(dir, "a", &format!("\t.globl _start\n\t.text\n{source}"));
        let arguments = options.iter().copied().chain(["a.o", "-o", "program"]);
        self.run_linker(dir, arguments)?;
        Ok(dir.join("program"))
    }

    /// Links `sources` with `-r` and `options`, and gives the file.
    pub(crate) fn link_relocatable(&self, sources: &[&str], options: &[&str]) -> Vec<u8> {
        let dir = TempDir::new().unwrap();
        let objects: Vec<String> = (0..sources.len()).map(|nth| format!("o{nth}.o")).collect();
        for (object, source) in objects.iter().zip(sources) {
            let stem = object.strip_suffix(".o").unwrap();
            self.assemble_to(dir.path(), stem, &format!("\t.text\n{source}"));
        }
        let options = options.iter().copied().chain(["-r", "-o", "linked.o"]);
        let arguments = options.chain(objects.iter().map(String::as_str));
        self.run_linker(dir.path(), arguments)
            .unwrap_or_else(|error| panic!("{error}"));
        fs::read(dir.path().join("linked.o")).unwrap()
    }

    fn run_linker<'a>(
        &self,
        dir: &Path,
        arguments: impl Iterator<Item = &'a str>,
    ) -> Result<(), String> {
        let output = Command::new(self.linker[0])
            .args(&self.linker[1..])
            .args(arguments)
            .current_dir(dir)
            .output()
            .unwrap();
        if output.status.success() {
            Ok(())
        } else {
            Err(text(&output))
        }
    }

    /// The bytes that one site spans.
    pub(crate) fn site_len(&self, name: &str) -> usize {
        self.arch
            .relocation_by_name(name)
            .unwrap_or_else(|| panic!("no row {name}"))
            .len()
    }

    /// The bytes from one site to the next: those of the site, and the rest of its instruction if ld
    /// looks there.
    pub(crate) fn stride(&self, name: &str) -> usize {
        match self.site_len(name) {
            2 if self.halves_of_words => 4,
            len => len,
        }
    }

    /// The bytes of the instruction in front of a site, which is its last part in memory.
    pub(crate) fn lead(&self, name: &str) -> usize {
        match self.arch.endian {
            Endian::Big => self.stride(name) - self.site_len(name),
            Endian::Little => 0,
        }
    }

    /// Links one file with all of these sites one after another.
    pub(crate) fn link_sites(
        &self,
        sites: &[Site],
        symbols: &[(&str, u64)],
    ) -> Result<Linked, String> {
        let mut names: Vec<u64> = sites.iter().map(|site| site.symbol).collect();
        names.sort_unstable();
        names.dedup();
        let mut source = String::from("_start:\n");
        let mut relocs = String::new();
        let mut offset = 0;
        for site in sites {
            let directive = match self.site_len(site.name) {
                1 => ".byte",
                2 => ".2byte",
                4 => ".4byte",
                8 => ".8byte",
                len => panic!("{} has {len} bytes", site.name),
            };
            let word = if site.word == u64::MAX {
                -1
            } else {
                site.word.cast_signed()
            };
            for _ in 0..self.stride(site.name) / self.site_len(site.name) {
                writeln!(source, "\t{directive} {word}").unwrap();
            }
            let Site {
                name,
                symbol,
                addend,
                ..
            } = site;
            let place = offset + self.lead(name);
            writeln!(relocs, "\t.reloc {place}, {name}, s{symbol:x}{addend:+}").unwrap();
            offset += self.stride(name);
        }
        let symbol_names: Vec<String> = names.iter().map(|value| format!("s{value:x}")).collect();
        let mut all: Vec<(&str, u64)> = symbols.to_vec();
        all.extend(symbol_names.iter().map(String::as_str).zip(names));
        self.link(&format!("{source}{relocs}"), &all)
    }

    /// Links all sites at once and compares every byte with what [`Relocation::apply`] writes,
    /// `values` filling in what it needs besides S, A and P.
    pub(crate) fn compare(&self, sites: &[Site], symbols: &[(&str, u64)], values: &Values) {
        let linked = self
            .link_sites(sites, symbols)
            .unwrap_or_else(|error| panic!("{error}"));
        let mut offset = 0;
        for site in sites {
            let place = offset + self.lead(site.name);
            let end = place + self.site_len(site.name);
            let before = &linked.before[place..end];
            let got = self.apply(site, place as u64, before, values);
            assert_eq!(
                got.as_deref(),
                Ok(&linked.after[place..end]),
                "{} S {:#x} A {:#x} at {:#x}, before {before:02x?}; ld on the right",
                site.name,
                site.symbol,
                site.addend,
                TEXT + place as u64,
            );
            offset += self.stride(site.name);
        }
        assert_eq!(linked.before.len(), offset, "the assembler added something");
        assert_eq!(linked.after.len(), offset, "ld added something");
    }

    /// What klink makes of the bytes at a site.
    pub(crate) fn apply(
        &self,
        site: &Site,
        offset: u64,
        before: &[u8],
        values: &Values,
    ) -> Result<Vec<u8>, RelocError> {
        let row = self.arch.relocation_by_name(site.name).unwrap();
        let addend = match self.arch.addends {
            klink_arch::Addends::Rela => site.addend,
            klink_arch::Addends::Rel => row.implicit_addend(self.arch.endian, before).unwrap(),
        };
        let values = Values {
            symbol: site.symbol,
            addend,
            place: TEXT + offset,
            ..*values
        };
        let mut bytes = before.to_vec();
        row.apply(self.arch.endian, &mut bytes, &values)?;
        Ok(bytes)
    }

    /// Links one site alone, and asserts that ld and klink agree whether it fits and, if so, on
    /// the bytes.
    pub(crate) fn compare_edge(&self, site: &Site, fits: bool) {
        let len = self.site_len(site.name);
        let what = format!("{} S {:#x} A {:#x}", site.name, site.symbol, site.addend);
        let word = site.word.to_be_bytes();
        let lead = self.lead(site.name);
        let result = self.link_sites(std::slice::from_ref(site), &[]);
        match &result {
            Ok(linked) => {
                let before = &linked.before[lead..lead + len];
                let got = self.apply(site, lead as u64, before, &Values::default());
                // a longer .text: ld made a stub
                let direct = linked.after.len() == linked.before.len();
                assert_eq!(direct, fits, "{what}: what ld did");
                assert_eq!(got.is_ok(), fits, "{what}: {got:?}");
                if fits {
                    assert_eq!(
                        got.unwrap(),
                        linked.after[lead..lead + len],
                        "{what}: ld on the right"
                    );
                }
            }
            Err(message) => {
                assert!(!fits, "{what}: {message}");
                assert!(
                    ["cannot reach", "truncated to fit", "not a multiple of"]
                        .iter()
                        .any(|words| message.contains(words)),
                    "{what}: {message}"
                );
                let word = match self.arch.endian {
                    klink_arch::Endian::Big => word[8 - len..].to_vec(),
                    klink_arch::Endian::Little => word.iter().rev().take(len).copied().collect(),
                };
                let got = self.apply_rela(site, lead as u64, &word);
                assert!(
                    matches!(
                        got,
                        Err(RelocError::OutOfRange { .. } | RelocError::Misaligned { .. })
                    ),
                    "{what}: ld refuses, klink: {got:?}"
                );
            }
        }
    }

    /// As [`apply`](Self::apply), with the addend of the site in any case.
    fn apply_rela(&self, site: &Site, offset: u64, before: &[u8]) -> Result<(), RelocError> {
        let row = self.arch.relocation_by_name(site.name).unwrap();
        let Site { symbol, addend, .. } = *site;
        let values = Values {
            symbol,
            addend,
            place: TEXT + offset,
            ..Values::default()
        };
        row.apply(self.arch.endian, &mut before.to_vec(), &values)
    }
}

/// Says loudly that a test does nothing, or fails it.
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var("KLINK_REQUIRE_TOOLS").as_deref() != Ok("1"),
        "{why}"
    );
    eprintln!("SKIPPED: {why}");
}

/// Numbers that look random and are the same in every run.
pub(crate) fn scatter(count: usize) -> impl Iterator<Item = u64> {
    let mut state: u64 = 0x9e37_79b9_7f4a_7c15;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    })
    .take(count)
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn section_of(file: &Path, name: &str) -> Vec<u8> {
    section_bytes(&fs::read(file).unwrap(), name)
}

/// The bytes of the first section of this name in an ELF file.
pub(crate) fn section_bytes(file: &[u8], name: &str) -> Vec<u8> {
    let sections = sections_of(file);
    let found = sections.into_iter().find(|section| section.0 == name);
    found.unwrap_or_else(|| panic!("no section {name}")).2
}

/// Name, address and bytes of every section of an ELF file.
pub(crate) fn sections_of(file: &[u8]) -> Vec<(String, u64, Vec<u8>)> {
    let file = object::File::parse(file).unwrap();
    file.sections()
        .map(|section| {
            let name = section.name().unwrap().to_owned();
            (name, section.address(), section.data().unwrap().to_vec())
        })
        .collect()
}
