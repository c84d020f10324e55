//! Makes the table of kernel symbols from the output of `nm -n`, and says how long it took.
//!
//! `cargo run --release -p klink-tables --example kallsyms -- System.map [OUT]` does what Linux
//! 6.2's `scripts/kallsyms --all-symbols --absolute-percpu --base-relative` does, and assembles it.

use std::time::Instant;

use klink_tables::kallsyms::{
    Endian, Filter, Format, MappedSymbol, Plan, Symbol, Version, WordSize,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let map = std::fs::read(arguments.next().ok_or("which System.map?")?)?;
    let format = Format::new(
        Version::V6_2,
        WordSize::Eight,
        Endian::Little,
        true,
        true,
        true,
    );
    let lines = map.split(|&byte| byte == b'\n');
    let mut all: Vec<MappedSymbol<'_>> = lines.filter_map(symbol).collect();

    let start = Instant::now();
    let filter = Filter::new(&format, all.iter().copied());
    let count = all.len();
    all.retain(|symbol| filter.keeps(symbol));
    let symbols: Vec<_> = all
        .iter()
        .map(|symbol| Symbol {
            kind: symbol.kind,
            name: symbol.name,
            percpu: filter.is_percpu(symbol.address),
        })
        .collect();
    let filtered = start.elapsed();
    let plan = Plan::new(format, &symbols)?;
    let planned = start.elapsed();
    let addresses: Vec<_> = all.iter().map(|symbol| symbol.address).collect();
    let encoded = plan.encode(&symbols, &addresses, 0)?;
    let done = start.elapsed();

    println!("{} of {} symbols", symbols.len(), count);
    for (part, offset, size) in &plan.layout().parts {
        println!("{offset:9x} {size:8} {part:?}");
    }
    println!("{} bytes", encoded.bytes.len());
    println!(
        "filter {:?}, plan {:?}, encode {:?}",
        filtered,
        planned - filtered,
        done - planned
    );
    if let Some(out) = arguments.next() {
        std::fs::write(out, encoded.bytes)?;
    }
    Ok(())
}

/// A line of `nm -n`: address, letter, name.
fn symbol(line: &[u8]) -> Option<MappedSymbol<'_>> {
    let mut words = line.splitn(3, |&byte| byte == b' ');
    let digits = words.next()?;
    let address = digits.iter().try_fold(0_u64, |address, &digit| {
        Some(address << 4 | u64::from(char::from(digit).to_digit(16)?))
    })?;
    let &[kind] = words.next()? else {
        return None;
    };
    Some(MappedSymbol {
        kind,
        name: words.next()?,
        address,
    })
}
