//! Every dynamic section of small outputs, byte for byte as GNU ld made it.

use object::read::elf::{FileHeader, Sym};
use object::{Object, ObjectSection, ObjectSymbol, SymbolFlags};

use klink_script::{Source, parse_version_script};

use super::definitions;
use super::encode::Form;
use super::relocations::{self, DynamicRelocation};
use super::strings::{StringTable, Strings};
use super::symbols::{self, DynamicName, DynamicSymbol, HashTables};
use super::tags::{self, Extent, Part, TagRequest, Tags};
use super::test_tools::{Tools, address, contents};
use super::versions::Versions;
use super::walk::walk_order;

/// A link to compare.
struct Case {
    source: String,
    script: &'static str,
    options: &'static [&'static str],
    soname: &'static str,
    tables: HashTables,
    request: TagRequest,
}

const BOTH: HashTables = HashTables {
    sysv: true,
    gnu: true,
    optimize: false,
};

fn shared() -> TagRequest {
    TagRequest {
        spare: tags::SPARE_TAGS,
        hash: true,
        gnu_hash: true,
        ..TagRequest::default()
    }
}

/// Global data symbols, named so that some share ends, hashes and buckets.
fn globals(names: impl IntoIterator<Item = String>) -> String {
    let mut source = String::from(" .data\n");
    for name in names {
        source +=
            &format!(" .globl {name}\n .type {name},@object\n .size {name},4\n{name}:\n .long 1\n");
    }
    source
}

const SOME: [&str; 8] = [
    "f",
    "of",
    "gof",
    "api_one",
    "api_two",
    "inner_one",
    "time",
    "__vdso_time",
];

#[test]
fn a_shared_object_with_versions() {
    let source = globals(SOME.map(str::to_owned))
        + " .globl unseen\n .hidden unseen\nunseen:\n .long 2\n .weak maybe\n .pointer maybe, other\n";
    compare(&Case {
        source,
        script: "V_1 { global: f; api_*; local: *; }; V_2 { of; *time; } V_1; V_3 { none; } V_1 V_2;",
        options: &["-Bsymbolic", "-znotext"],
        soname: "libtest.so.1",
        tables: BOTH,
        request: TagRequest {
            symbolic: true,
            ..shared()
        },
    });
}

#[test]
fn a_shared_object_with_versions_in_names() {
    let source = globals(["one", "two", "three"].map(str::to_owned))
        + " .symver one,api@V_1\n .symver two,api@@V_2\n .symver three,gone@V_1\n";
    compare(&Case {
        source,
        script: "V_1 { global: api; local: *; }; V_2 { api; three; };",
        options: &[],
        soname: "libtest.so.1",
        tables: BOTH,
        request: shared(),
    });
}

#[test]
fn a_shared_object_without_versions() {
    compare(&Case {
        source: globals(SOME.map(str::to_owned)),
        script: "",
        options: &["-znow", "--spare-dynamic-tags=2"],
        soname: "",
        tables: BOTH,
        request: TagRequest {
            flags: tags::DF_BIND_NOW,
            flags_1: 1, // DF_1_NOW
            spare: 2,
            ..shared()
        },
    });
}

#[test]
fn a_shared_object_without_symbols() {
    compare(&Case {
        source: String::new(),
        script: "{ local: *; };",
        options: &[],
        soname: "empty",
        tables: BOTH,
        request: shared(),
    });
}

/// More names than the first size of ld's table of names, and than fit few buckets.
#[test]
fn a_shared_object_with_thousands_of_symbols() {
    let names = (0..5000).map(|at| format!("symbol_{}", at * 7919 % 100_003));
    compare(&Case {
        source: globals(names),
        script: "",
        options: &[],
        soname: "many",
        tables: BOTH,
        request: shared(),
    });
}

#[test]
fn hash_tables_of_the_best_size() {
    let names = (0..300).map(|at| format!("s{}", at * 7919 % 100_003));
    compare(&Case {
        source: globals(names),
        script: "",
        options: &["-O1"],
        soname: "many",
        tables: HashTables {
            optimize: true,
            ..BOTH
        },
        request: shared(),
    });
}

#[test]
fn an_executable_for_any_address() {
    compare(&Case {
        source: globals(["_start", "data"].map(str::to_owned))
            + " .pointer local, data\nlocal:\n .long 1\n",
        script: "",
        options: &["-pie", "--no-dynamic-linker", "-znotext"],
        soname: "",
        tables: BOTH,
        request: TagRequest {
            executable: true,
            ..shared()
        },
    });
}

/// Compares a section of ld's with ours.
fn same(tools: &Tools, linked: &object::File<'_>, name: &str, ours: Option<Vec<u8>>) {
    let arch = tools.arch.name;
    let theirs = contents(linked, name);
    assert_eq!(ours.is_some(), theirs.is_some(), "{name} of {arch}");
    let (ours, theirs) = (ours.unwrap_or_default(), theirs.unwrap_or_default());
    if ours != theirs {
        let at = (ours.iter().zip(&theirs))
            .take_while(|(a, b)| a == b)
            .count();
        let near = |bytes: &[u8]| {
            format!(
                "{:02x?}",
                &bytes[at.min(bytes.len())..][..16.min(bytes.len() - at)]
            )
        };
        panic!(
            "{name} of {arch} at {at}: ours {} of {}, ld's {} of {}",
            near(&ours),
            ours.len(),
            near(&theirs),
            theirs.len()
        );
    }
}

/// Reads dynamic relocations back.
fn dynamic_relocations(tools: &Tools, file: &object::File<'_>) -> Vec<DynamicRelocation> {
    let dynamic = tools.arch.dynamic.as_ref().unwrap();
    let name = match dynamic.addends {
        klink_arch::Addends::Rel => ".rel.dyn",
        klink_arch::Addends::Rela => ".rela.dyn",
    };
    let Some(bytes) = contents(file, name) else {
        return Vec::new();
    };
    let form = tools.form();
    let width = form.address_size();
    let size = relocations::relocation_size(form.class, dynamic.addends) as usize;
    let read = |entry: &[u8]| {
        let numbers: Vec<u64> = entry.chunks(width).map(|field| form.get(field)).collect();
        let shift = if width == 8 { 32 } else { 8 };
        DynamicRelocation {
            place: numbers[0],
            symbol: (numbers[1] >> shift) as u32,
            number: (numbers[1] & ((1 << shift) - 1)) as u32,
            addend: numbers.get(2).map_or(0, |addend| addend.cast_signed()),
        }
    };
    let mut all: Vec<_> = bytes.chunks(size).map(read).collect();
    let sorted = all.clone();
    all.reverse();
    let relative = relocations::sort(dynamic, &mut all);
    assert_eq!(all, sorted);
    assert_eq!(relocations::encode(form, dynamic.addends, &all), bytes);
    if let Some(number) = dynamic.relative {
        let is_relative = |one: &&DynamicRelocation| one.number == number;
        assert_eq!(all.iter().filter(is_relative).count() as u64, relative);
    }
    all
}

fn compare(case: &Case) {
    for tools in Tools::installed() {
        let folder = tempfile::tempdir().unwrap();
        let directive = match tools.form().address_size() {
            8 => ".quad",
            _ => ".long",
        };
        let source = case.source.replace(".pointer", directive);
        let object = tools.assemble(folder.path(), "in", &source);
        let mut arguments = vec!["--hash-style=both", "in.o"];
        if !case.options.contains(&"-pie") {
            arguments.push("-shared");
        }
        arguments.extend(case.options);
        if !case.script.is_empty() {
            std::fs::write(folder.path().join("version"), case.script).unwrap();
            arguments.extend(["--version-script=version"]);
        }
        if !case.soname.is_empty() {
            arguments.extend(["-soname", case.soname]);
        }
        let linked = tools.link(folder.path(), &arguments);
        let object = object::File::parse(&*object).unwrap();
        let linked = object::File::parse(&*linked).unwrap();
        compare_sections(case, tools, &object, &linked);
    }
}

fn compare_sections(
    case: &Case,
    tools: &Tools,
    object: &object::File<'_>,
    linked: &object::File<'_>,
) {
    let form = tools.form();
    let source = Source::new("version", case.script);
    let scripts = match case.script {
        "" => None,
        _ => Some(parse_version_script(&source).unwrap()),
    };
    let mut versions = Versions::new(&scripts).unwrap();

    // The names that ld knows, in the order in which it met them.
    let is_global = |symbol: &object::Symbol<'_, '_>| !symbol.is_local();
    let inputs: Vec<_> = object.symbols().filter(is_global).collect();
    let names: Vec<&[u8]> = inputs.iter().map(|it| it.name_bytes().unwrap()).collect();
    versions.note_versioned(|name| names.contains(&name));
    let is_visible = |symbol: &object::Symbol<'_, '_>| match symbol.flags() {
        SymbolFlags::Elf { st_other, .. } => st_other.0 & 3 == 0,
        _ => true,
    };
    // Executables export nothing that no shared object asks for.
    let exports = !case.request.executable;
    let mut dynamic: Vec<Option<DynamicName<'_>>> = Vec::new();
    let mut all: Vec<&[u8]> = Vec::new();
    let rules = tools.arch.dynamic.as_ref().unwrap();
    if rules.exports_got {
        let name = b"_GLOBAL_OFFSET_TABLE_";
        all.push(name);
        let got = versions.assign(name).unwrap();
        dynamic.push((!got.local).then_some(DynamicName {
            name,
            local: false,
            defined: true,
            version: got.entry,
        }));
    }
    for (symbol, &name) in inputs.iter().zip(&names) {
        let defined = symbol.is_definition();
        let assigned = defined.then(|| versions.assign(name).unwrap());
        let is_local = assigned.is_some_and(|assigned| assigned.local);
        dynamic.push(
            (is_visible(symbol) && exports && !is_local).then(|| DynamicName {
                name: name.split(|&byte| byte == b'@').next().unwrap(),
                local: false,
                defined,
                version: assigned.map_or(1, |assigned| assigned.entry),
            }),
        );
    }

    // Strings: dynamic symbols as they came, soname, versions.
    let mut strings = Strings::new();
    let mut request = case.request.clone();
    for name in dynamic.iter().flatten() {
        strings.add(name.name);
    }
    let base: &[u8] = match case.soname {
        "" => b"out",
        soname => {
            request.soname = Some(strings.add(soname.as_bytes()));
            soname.as_bytes()
        }
    };
    let definitions = versions.definitions(base, &mut strings);
    request.version_definitions = definitions.len() as u32;
    let strings = strings.lay_out();
    same(tools, linked, ".dynstr", Some(strings.bytes.clone()));

    // ld's own symbols, and those of the versions, are met last.
    all.extend(&names);
    for (name, version) in versions.symbols() {
        all.push(name.as_bytes());
        dynamic.push(Some(DynamicName {
            name: name.as_bytes(),
            local: false,
            defined: true,
            version,
        }));
    }
    let order = walk_order(all.iter().copied());
    let ordered: Vec<DynamicName<'_>> = order.iter().filter_map(|&at| dynamic[at]).collect();
    let from_sections = linked
        .dynamic_symbols()
        .filter(|symbol| symbol.kind() == object::SymbolKind::Section)
        .count() as u32;
    let numbering = symbols::number(form, &ordered, from_sections, case.tables);
    same(tools, linked, ".hash", numbering.sysv_hash.clone());
    same(tools, linked, ".gnu.hash", numbering.gnu_hash.clone());
    let has_versions = !definitions.is_empty();
    same(
        tools,
        linked,
        ".gnu.version",
        has_versions.then(|| numbering.versions(form, &ordered)),
    );
    same(
        tools,
        linked,
        ".gnu.version_d",
        has_versions.then(|| definitions::table(form, &definitions, &strings)),
    );
    compare_symbols(tools, linked, &ordered, &numbering.indices, &strings);
    compare_tags(tools, linked, request, &strings);
}

/// `.dynsym` holds the names at the numbers given, and is encoded as ld does.
fn compare_symbols(
    tools: &Tools,
    linked: &object::File<'_>,
    names: &[DynamicName<'_>],
    indices: &[u32],
    strings: &StringTable,
) {
    let table = contents(linked, ".dynsym").unwrap();
    let mut read: Vec<DynamicSymbol> = match linked {
        object::File::Elf32(file) => read_symbols(file),
        object::File::Elf64(file) => read_symbols(file),
        _ => unreachable!(),
    };
    assert_eq!(symbols::symbol_table(tools.form(), read.drain(1..)), table);
    for (name, &index) in names.iter().zip(indices) {
        let symbol = linked
            .dynamic_symbols()
            .find(|symbol| symbol.index().0 == index as usize);
        assert_eq!(symbol.unwrap().name_bytes(), Ok(name.name));
    }
    let entries = table.len() as u64 / symbols::symbol_size(tools.form().class);
    let sections = entries - 1 - names.len() as u64;
    assert!(indices.iter().all(|&index| u64::from(index) > sections));
    assert!(!strings.bytes.is_empty());
}

fn read_symbols<E: FileHeader>(file: &object::read::elf::ElfFile<'_, E>) -> Vec<DynamicSymbol> {
    let endian = file.endian();
    let table = file.elf_dynamic_symbol_table();
    let symbols = table.symbols().iter();
    symbols
        .map(|symbol| DynamicSymbol {
            name: symbol.st_name(endian),
            value: symbol.st_value(endian).into(),
            size: symbol.st_size(endian).into(),
            info: symbol.st_info().0,
            other: symbol.st_other().0,
            section: symbol.st_shndx(endian).0,
        })
        .collect()
}

fn compare_tags(
    tools: &Tools,
    linked: &object::File<'_>,
    mut request: TagRequest,
    strings: &StringTable,
) {
    let form: Form = tools.form();
    let dynamic = tools.arch.dynamic.as_ref().unwrap();
    let all = dynamic_relocations(tools, linked);
    if !all.is_empty() {
        request.relocations = Some(dynamic.addends);
    }
    request.plt_got = dynamic.always_pltgot;
    let relative = {
        let mut all = all.clone();
        relocations::sort(dynamic, &mut all)
    };
    let tags = Tags::new(form.class, &request);
    let expected = contents(linked, ".dynamic").unwrap();
    assert_eq!(
        tags.size(form.class),
        expected.len() as u64,
        "{}",
        tools.arch.name
    );
    let find = |part| {
        let names: &[&str] = match part {
            Part::Hash => &[".hash"],
            Part::GnuHash => &[".gnu.hash"],
            Part::Strings => &[".dynstr"],
            Part::Symbols => &[".dynsym"],
            Part::Versions => &[".gnu.version"],
            Part::VersionDefinitions => &[".gnu.version_d"],
            Part::Relocations => &[".rela.dyn", ".rel.dyn"],
            // What PA-RISC takes for its linkage table pointer is not this test's business.
            Part::PltGot => return Some(pltgot(form, &expected)),
            _ => return None,
        };
        names.iter().find_map(|name| {
            Some(Extent {
                address: address(linked, name)?,
                size: linked.section_by_name(name)?.size(),
            })
        })
    };
    let bytes = tags.bytes(form, strings, relative, find).unwrap();
    same(tools, linked, ".dynamic", Some(bytes));
}

/// The value of `DT_PLTGOT` in a `.dynamic`.
fn pltgot(form: Form, table: &[u8]) -> Extent {
    const DT_PLTGOT: u64 = 3;
    let width = form.address_size();
    let mut entries = table.chunks(2 * width);
    let entry = entries.find(|entry| form.get(&entry[..width]) == DT_PLTGOT);
    Extent {
        address: form.get(&entry.unwrap()[width..]),
        size: 0,
    }
}
