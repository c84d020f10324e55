//! `klink kallsyms`, run as a program on small kernels: with symbols, without, compressed, and
//! with a symbol that was moved, lost or added.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use klink_tables::kallsyms::{Endian, Format, Part, Plan, Symbol, Version, WordSize};
use serde_json::Value;

const BASE: u64 = 0xffff_ffff_8100_0000;
/// Where the bytes of the kernel begin in its file.
const START: u64 = 0x1000;

/// A kernel's symbols: address, letter, name. All are in its text.
fn symbols() -> Vec<(u64, u8, String)> {
    let mut symbols = vec![
        (BASE, b'T', "_text".to_owned()),
        (BASE, b'T', "_stext".to_owned()),
        (BASE + 0x10_0000, b'T', "_etext".to_owned()),
    ];
    for index in 0..600_u64 {
        let kind = if index % 3 == 0 { b'T' } else { b't' };
        symbols.push((
            BASE + 0x100 + index * 0x20,
            kind,
            format!("function_{index}_of_{}", index * index),
        ));
    }
    symbols
}

/// An ELF file (x86-64) with the table at its begin and, unless it is stripped, a symbol table.
fn vmlinux(
    version: Version,
    symbols: &[(u64, u8, String)],
    in_symtab: &[(u64, u8, String)],
) -> Vec<u8> {
    let format = Format::new(version, WordSize::Eight, Endian::Little, true, false, false);
    let of_plan: Vec<_> = symbols
        .iter()
        .map(|(_, kind, name)| Symbol {
            kind: *kind,
            name: name.as_bytes(),
            percpu: false,
        })
        .collect();
    let addresses: Vec<_> = symbols.iter().map(|symbol| symbol.0).collect();
    let plan = Plan::new(format, &of_plan).expect("a plan");
    let place = BASE + 0x20_0000;
    let table = plan
        .encode(&of_plan, &addresses, place)
        .expect("a table")
        .bytes;

    let mut strings = vec![0];
    let mut symtab = vec![0; 24];
    let mut add = |name: &str, kind: u8, section: u16, address: u64| {
        symtab.extend((strings.len() as u32).to_le_bytes());
        symtab.extend([if kind.is_ascii_uppercase() { 0x10 } else { 0 }, 0]);
        symtab.extend(section.to_le_bytes());
        symtab.extend(address.to_le_bytes());
        symtab.extend(0_u64.to_le_bytes());
        strings.extend(name.as_bytes());
        strings.push(0);
    };
    for (address, kind, name) in in_symtab {
        add(name, *kind, 1, *address);
    }
    if !in_symtab.is_empty() {
        for &(part, offset, _) in &plan.layout().parts {
            let part: Part = part;
            add(
                part.symbol(format.addresses),
                b'D',
                2,
                place + offset as u64,
            );
        }
    }
    let names = b"\0.text\0.data\0.symtab\0.strtab\0.shstrtab\0";
    let at = |name: &str| {
        names
            .windows(name.len())
            .position(|part| part == name.as_bytes())
    };
    let at = |name: &str| at(name).expect("a name") as u32;

    let symtab_at = START as usize + table.len().next_multiple_of(8);
    let strings_at = symtab_at + symtab.len();
    let names_at = strings_at + strings.len();
    let headers_at = (names_at + names.len()).next_multiple_of(8);
    let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0".to_vec();
    for value in [BASE, 64, headers_at as u64] {
        file.extend(value.to_le_bytes());
    }
    for (value, size) in [
        (0_u64, 4),
        (64, 2),
        (56, 2),
        (1, 2),
        (64, 2),
        (6, 2),
        (5, 2),
    ] {
        file.extend(&value.to_le_bytes()[..size]);
    }
    file.extend([1, 0, 0, 0, 4, 0, 0, 0]);
    for value in [
        START,
        place,
        place,
        table.len() as u64,
        table.len() as u64,
        0x1000,
    ] {
        file.extend(value.to_le_bytes());
    }
    file.resize(START as usize, 0);
    file.extend(&table);
    file.resize(symtab_at, 0);
    file.extend(&symtab);
    file.extend(&strings);
    file.extend(names);
    file.resize(headers_at + 64, 0);
    let section = |name,
                   kind: u32,
                   flags: u64,
                   address,
                   offset: usize,
                   size: usize,
                   link: u32,
                   entry: u64| {
        let mut header = Vec::new();
        header.extend(at(name).to_le_bytes());
        header.extend(kind.to_le_bytes());
        for value in [flags, address, offset as u64, size as u64] {
            header.extend(value.to_le_bytes());
        }
        header.extend(link.to_le_bytes());
        header.extend(1_u32.to_le_bytes());
        header.extend(8_u64.to_le_bytes());
        header.extend(entry.to_le_bytes());
        header
    };
    let symtab_kind = if in_symtab.is_empty() { 1 } else { 2 };
    file.extend(section(".text", 8, 6, BASE, 0, 0x11_0000, 0, 0));
    file.extend(section(
        ".data",
        1,
        3,
        place,
        START as usize,
        table.len(),
        0,
        0,
    ));
    file.extend(section(
        ".symtab",
        symtab_kind,
        0,
        0,
        symtab_at,
        symtab.len(),
        4,
        24,
    ));
    file.extend(section(".strtab", 3, 0, 0, strings_at, strings.len(), 0, 0));
    file.extend(section(".shstrtab", 3, 0, 0, names_at, names.len(), 0, 0));
    file
}

struct Run(Output);

impl Run {
    fn of(arguments: &[&str], file: &[u8]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("kernel");
        std::fs::write(&path, file).expect("to write");
        let mut command = Command::new(env!("CARGO_BIN_EXE_klink"));
        let (options, wanted): (Vec<&str>, Vec<&str>) = arguments
            .iter()
            .partition(|argument| argument.starts_with("--"));
        command
            .arg("kallsyms")
            .args(options)
            .arg(&path)
            .args(wanted);
        Self(command.output().expect("klink runs"))
    }

    fn code(&self) -> Option<i32> {
        self.0.status.code()
    }

    fn text(&self) -> String {
        assert_eq!(String::from_utf8_lossy(&self.0.stderr), "");
        String::from_utf8(self.0.stdout.clone()).expect("UTF-8")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text()).expect("JSON")
    }
}

/// What the list should be: in the order of addresses, and of names at one address.
fn list(symbols: &[(u64, u8, String)]) -> String {
    let mut symbols = symbols.to_vec();
    symbols.sort_by(|a, b| (a.0, &a.2).cmp(&(b.0, &b.2)));
    let line = |(address, kind, name): &(u64, u8, String)| {
        format!("{address:016x} {} {name}\n", char::from(*kind))
    };
    symbols.iter().map(line).collect()
}

#[test]
fn every_version_is_listed_with_symbols_and_without() {
    let symbols = symbols();
    for version in Version::ALL {
        let whole = Run::of(&[], &vmlinux(version, &symbols, &symbols));
        assert_eq!(whole.text(), list(&symbols), "{version:?}");
        let stripped = Run::of(&[], &vmlinux(version, &symbols, &[]));
        assert_eq!(stripped.text(), list(&symbols), "{version:?}");
        assert_eq!(stripped.code(), Some(0));
    }
}

#[test]
fn a_table_with_every_symbol_right_is_fine() {
    let symbols = symbols();
    for version in Version::ALL {
        let run = Run::of(&["--check"], &vmlinux(version, &symbols, &symbols));
        assert_eq!(run.text(), "603 symbols: 0 wrong, 0 missing, 0 surplus\n");
        assert_eq!(run.code(), Some(0));
    }
}

#[test]
fn wrong_missing_and_surplus_symbols_are_named() {
    let right = symbols();
    let mut table = right.clone();
    table[10].0 += 4;
    table[20].1 = b'W';
    table[30].2 = "no_such_function".to_owned();
    let file = vmlinux(Version::V6_2, &table, &right);
    let run = Run::of(&["--check"], &file);
    assert_eq!(run.code(), Some(1));
    assert_eq!(
        run.text(),
        "wrong: function_17_of_289: ffffffff81000320 W, should be ffffffff81000320 t\n\
         wrong: function_7_of_49: ffffffff810001e4 t, should be ffffffff810001e0 t\n\
         missing: function_27_of_729: ffffffff81000460 T\n\
         surplus: no_such_function: ffffffff81000460 T\n\
         603 symbols: 2 wrong, 1 missing, 1 surplus\n"
    );
    let json = Run::of(&["--check", "--json"], &file).json();
    assert_eq!(json["expected"], 603);
    assert_eq!(json["wrong"][1]["expected_address"], "0xffffffff810001e0");
    assert_eq!(json["surplus"][0]["name"], "no_such_function");
}

#[test]
fn addresses_and_names_are_looked_up() {
    let symbols = symbols();
    let file = vmlinux(Version::V6_4, &symbols, &[]);
    let run = Run::of(
        &["0xffffffff81000104", "function_1_of_1", "ffffffff81100001"],
        &file,
    );
    assert_eq!(
        run.text(),
        "ffffffff81000100 T function_0_of_0+0x4/0x20\n\
         ffffffff81000120 t function_1_of_1\n\
         ffffffff81100000 T _etext+0x1\n"
    );
    let json = Run::of(&["--json", "0xffffffff81000104"], &file).json();
    assert_eq!(json["found"][0]["symbols"][0]["offset"], 4);
    assert_eq!(json["version"], "6.4");
    assert_eq!(json["addresses"], "base-relative");
    let none = Run::of(&["0x10", "no_such_function"], &file);
    assert_eq!(none.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&none.0.stderr),
        "klink kallsyms: 0x10 is not in the table\n\
         klink kallsyms: no_such_function is not in the table\n"
    );
}

#[test]
fn a_file_without_a_table_is_refused() {
    let symbols = symbols();
    let file = vmlinux(Version::V6_1, &symbols, &[]);
    for (arguments, file, message) in [
        (&[][..], &file[..2000], "tokens of kallsyms"),
        (&[], b"", "tokens of kallsyms"),
        (&["--check"], &file, "has no symbol table"),
    ] {
        let run = Run::of(arguments, file);
        assert_eq!(run.code(), Some(1));
        let said = String::from_utf8_lossy(&run.0.stderr).into_owned();
        assert!(said.contains(message) || said.contains("damaged"), "{said}");
    }
}

/// `bytes` as a program packs them; `None` if there is no such program.
fn packed(program: &str, arguments: &[&str], bytes: &[u8]) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("kernel");
    std::fs::write(&path, bytes).expect("to write");
    let mut command = Command::new(program);
    command.args(arguments).arg(Path::new(&path));
    let Ok(output) = command.output() else {
        eprintln!("skipped: there is no {program}");
        return None;
    };
    assert!(output.status.success(), "{program}");
    Some(output.stdout)
}

#[test]
fn compressed_kernels_are_unpacked() {
    let symbols = symbols();
    let mut file = vmlinux(Version::V6_2, &symbols, &[]);
    file.resize(300_000, 0);
    for (program, arguments) in [
        ("gzip", &["-c9"][..]),
        ("xz", &["-c", "--check=crc32", "--x86", "--lzma2=dict=1MiB"]),
        ("zstd", &["-cq19"]),
        ("lz4", &["-clq9"]),
        ("lzma", &["-c9"]),
    ] {
        let Some(packed) = packed(program, arguments, &file) else {
            continue;
        };
        // as in a bzImage: code in front, the unpacked size behind
        let mut image = Vec::new();
        image.write_all(&[0x90; 20_000]).expect("to write");
        image.extend(&packed);
        image.extend((file.len() as u32).to_le_bytes());
        image.extend([0xcc; 3000]);
        let run = Run::of(&[], &image);
        assert_eq!(run.text(), list(&symbols), "{program}");
    }
}
