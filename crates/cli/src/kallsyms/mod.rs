//! `klink kallsyms`: the table of its own symbols that a linked kernel contains.
//!
//! `kernel` opens the file and finds the table, in `payload` if the kernel is compressed; `check`
//! compares it with the symbol table of the ELF file; this file prints.

mod check;
pub(crate) mod kernel;
mod payload;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use klink_tables::kallsyms::{AddressForm, Endian, Entry, Table, WordSize};
use serde_json::{Value, json};

use check::Differences;
use kernel::{Error, Kernel};

/// Show the table of symbols that a linked kernel contains (kallsyms)
///
/// Lists it like /proc/kallsyms, looks up addresses and names in it as the kernel does, or checks
/// it against the symbol table of an unstripped vmlinux. The kernel may be a vmlinux, with symbols
/// or without, or an image with a compressed kernel in it (bzImage, Image.gz, vmlinuz…).
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The kernel: vmlinux, Image, Image.gz, bzImage…
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Addresses (0x…, or at least eight hexadecimal digits) and names to look up [default: all
    /// symbols]
    #[arg(value_name = "ADDRESS|NAME", conflicts_with = "check")]
    wanted: Vec<String>,

    /// Compare the table with the symbol table of the file, which must be an unstripped vmlinux
    #[arg(long)]
    check: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
How to read it:
  A line is an address, the letter that nm prints for the symbol, and its name, as in
  /proc/kallsyms. Behind an address that was looked up stand the distance to the symbol and the
  symbol's size: up to the next one at another address. In a kernel that was moved when it booted
  (KASLR), take the distance off its addresses first. In a raw image, whose address nothing tells,
  addresses of Linux 7.0 and later count from the begin of the image.

JSON:
  file, version (the oldest Linux version with this form of table), bits, byte_order, addresses
  (absolute, base-relative, base-relative-percpu, place-relative or direct), total (symbols);
  with --check: expected (symbols), wrong (name, address, kind, expected_address, expected_kind),
  missing and surplus (name, address, kind), out_of_order (what binary search would miss: null, or
  the number of the first symbol; names_out_of_order likewise);
  with ADDRESS or NAME: found (wanted, and symbols: address, kind, name, and for an address offset
  and size, null for the last symbol);
  else symbols (address, kind, name). Names stay; new ones may be added.

Exit codes:
  0  the table was read, all that was looked up is in it, and --check found nothing
  1  the file has no table, it is broken, something is not in it, or --check found something
  2  the command line is wrong

Examples:
  klink kallsyms /boot/vmlinuz-$(uname -r) | grep ' T xfs_'
  klink kallsyms vmlinux 0xffffffff81001234 start_kernel
  klink kallsyms --check vmlinux";

/// A symbol, and for an address its distance and size.
type Found<'t> = (Entry<'t>, Option<(u64, Option<u64>)>);

/// What was looked up, and the symbols found: each with its distance and size, for an address.
struct Answer<'w, 't> {
    wanted: &'w str,
    symbols: Vec<Found<'t>>,
}

/// Does what `options` say; exit code 1 if something is wrong.
pub(crate) fn run(options: &Options) -> ExitCode {
    match try_run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // whoever reads the list may stop early, as `head` does
        Err(Error::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("klink kallsyms: {}: {error}", options.file.display());
            ExitCode::FAILURE
        }
    }
}

fn try_run(options: &Options) -> Result<bool, Error> {
    let kernel = Kernel::open(&options.file)?;
    let table = kernel.table()?;
    let mut out = BufWriter::new(io::stdout().lock());
    let fine = if options.check {
        let differences = check::check(&kernel, &table)?;
        if options.json {
            writeln!(
                out,
                "{}",
                with_facts(options, &kernel, &table, differences.json())
            )?;
        } else {
            print_differences(&mut out, &differences)?;
        }
        differences.is_empty()
    } else if options.wanted.is_empty() {
        if options.json {
            let symbols: Vec<_> = table.iter().map(|entry| as_json(&entry)).collect();
            let symbols = json!({ "symbols": symbols });
            writeln!(out, "{}", with_facts(options, &kernel, &table, symbols))?;
        } else {
            for entry in table.iter() {
                print_entry(&mut out, &table, &entry)?;
                writeln!(out)?;
            }
        }
        true
    } else {
        let answers: Vec<_> = options
            .wanted
            .iter()
            .map(|wanted| look_up(&table, wanted))
            .collect();
        if options.json {
            let found: Vec<_> = answers.iter().map(answer_json).collect();
            let found = json!({ "found": found });
            writeln!(out, "{}", with_facts(options, &kernel, &table, found))?;
        } else {
            for answer in &answers {
                print_answer(&mut out, &table, answer)?;
            }
        }
        out.flush()?;
        for answer in answers.iter().filter(|answer| answer.symbols.is_empty()) {
            eprintln!("klink kallsyms: {} is not in the table", answer.wanted);
        }
        answers.iter().all(|answer| !answer.symbols.is_empty())
    };
    out.flush()?;
    Ok(fine)
}

/// An address is `0x` and hexadecimal digits, or at least eight of them.
fn as_address(wanted: &str) -> Option<u64> {
    let digits = wanted.strip_prefix("0x");
    let digits = digits.or_else(|| (wanted.len() >= 8).then_some(wanted))?;
    u64::from_str_radix(digits, 16).ok()
}

fn look_up<'w, 't>(table: &Table<'t>, wanted: &'w str) -> Answer<'w, 't> {
    let named = table.find_name(wanted.as_bytes());
    let mut symbols: Vec<_> = named
        .filter_map(|index| Some((table.get(index)?, None)))
        .collect();
    if symbols.is_empty()
        && let Some(found) = as_address(wanted).and_then(|address| table.find_address(address))
        && let Some(entry) = table.get(found.index)
    {
        symbols.push((entry, Some((found.offset, found.size))));
    }
    Answer { wanted, symbols }
}

fn name_of(entry: &Entry<'_>) -> String {
    let bytes: Vec<u8> = entry.name.bytes().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digits(table: &Table<'_>) -> usize {
    table.parts().word.bytes() * 2
}

fn print_entry(out: &mut impl Write, table: &Table<'_>, entry: &Entry<'_>) -> io::Result<()> {
    let kind = char::from(entry.kind);
    write!(
        out,
        "{:0width$x} {kind} ",
        entry.address,
        width = digits(table)
    )?;
    for byte in entry.name.bytes() {
        out.write_all(&[byte])?;
    }
    Ok(())
}

fn print_answer(
    out: &mut impl Write,
    table: &Table<'_>,
    answer: &Answer<'_, '_>,
) -> io::Result<()> {
    for (entry, distance) in &answer.symbols {
        print_entry(out, table, entry)?;
        match distance {
            Some((offset, Some(size))) => writeln!(out, "+{offset:#x}/{size:#x}")?,
            Some((offset, None)) => writeln!(out, "+{offset:#x}")?,
            None => writeln!(out)?,
        }
    }
    Ok(())
}

fn print_differences(out: &mut impl Write, found: &Differences) -> io::Result<()> {
    for wrong in &found.wrong {
        let (is, should) = (&wrong.found, &wrong.expected);
        let name = String::from_utf8_lossy(&wrong.name);
        writeln!(
            out,
            "wrong: {name}: {:x} {}, should be {:x} {}",
            is.address,
            char::from(is.kind),
            should.address,
            char::from(should.kind)
        )?;
    }
    for (what, symbols) in [("missing", &found.missing), ("surplus", &found.surplus)] {
        for (name, symbol) in symbols {
            let name = String::from_utf8_lossy(name);
            writeln!(
                out,
                "{what}: {name}: {:x} {}",
                symbol.address,
                char::from(symbol.kind)
            )?;
        }
    }
    if let Some(index) = found.out_of_order {
        writeln!(
            out,
            "wrong: symbol {index} is below the one before it, so addresses are not found"
        )?;
    }
    if let Some(index) = found.names_out_of_order {
        writeln!(
            out,
            "wrong: entry {index} of kallsyms_seqs_of_names sorts before the one before it, so \
             names are not found"
        )?;
    }
    writeln!(
        out,
        "{} symbols: {} wrong, {} missing, {} surplus",
        found.expected,
        found.wrong.len(),
        found.missing.len(),
        found.surplus.len()
    )
}

fn as_json(entry: &Entry<'_>) -> Value {
    json!({
        "address": format!("{:#x}", entry.address),
        "kind": char::from(entry.kind),
        "name": name_of(entry),
    })
}

fn answer_json(answer: &Answer<'_, '_>) -> Value {
    let symbols = answer.symbols.iter().map(|(entry, distance)| {
        let mut value = as_json(entry);
        if let Some((offset, size)) = distance {
            value["offset"] = json!(offset);
            value["size"] = json!(size);
        }
        value
    });
    json!({ "wanted": answer.wanted, "symbols": symbols.collect::<Vec<_>>() })
}

/// `value` with what is known of the table as a whole.
fn with_facts(options: &Options, kernel: &Kernel, table: &Table<'_>, mut value: Value) -> Value {
    let parts = table.parts();
    let (major, minor) = kernel.image().version.first();
    value["file"] = json!(options.file.to_string_lossy());
    value["version"] = json!(format!("{major}.{minor}"));
    value["bits"] = json!(match parts.word {
        WordSize::Four => 32,
        WordSize::Eight => 64,
    });
    value["byte_order"] = json!(match parts.endian {
        Endian::Little => "little",
        Endian::Big => "big",
    });
    value["addresses"] = json!(match parts.form {
        AddressForm::Absolute => "absolute",
        AddressForm::BaseRelative => "base-relative",
        AddressForm::BaseRelativePercpu => "base-relative-percpu",
        AddressForm::PlaceRelative => "place-relative",
        AddressForm::Direct => "direct",
    });
    value["total"] = json!(table.len());
    value
}
