//! Makes the problems in `tests/data` from PA-RISC objects: the sizes and
//! branches of a module's core text as numbers, nothing else.
//!
//! ```text
//! cargo run -p klink-reach --example extract -- fs/xfs/xfs.o xfs.txt.gz
//! ```
//!
//! The input is what `ld -r` makes of a module's objects compiled with
//! `-ffunction-sections` (the corpus has `fs/xfs/xfs.o` and
//! `net/ipv6/ipv6.o`). Its sections `.text` and `.text.*` are the sections of
//! the problem, its `R_PARISC_PCREL17F` relocations the branches; a symbol
//! that is not in those sections is an external target. The output's lines,
//! compressed with gzip, are read by `tests/support`:
//!
//! ```text
//! s SIZE ALIGN             a section; what follows belongs to it
//! i OFFSET SECTION PLACE   a branch to PLACE in a section
//! e OFFSET NUMBER          a branch to an external target
//! ```

use flate2::{Compression, write::GzEncoder};
use object::elf::R_PARISC_PCREL17F;
use object::{Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget};
use std::collections::HashMap;
use std::error::Error;
use std::io::Write;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(input), Some(output), None) = (args.next(), args.next(), args.next()) else {
        return Err("usage: extract OBJECT OUTPUT".into());
    };
    let data = std::fs::read(input)?;
    let lines = extract(&object::File::parse(&*data)?)?;
    let mut encoder = GzEncoder::new(std::fs::File::create(output)?, Compression::best());
    encoder.write_all(lines.as_bytes())?;
    encoder.finish()?;
    Ok(())
}

fn extract(file: &object::File<'_>) -> Result<String, Box<dyn Error>> {
    let is_text = |name: &str| name == ".text" || name.starts_with(".text.");
    let text = file
        .sections()
        .filter(|section| section.name().is_ok_and(is_text));
    let text: Vec<_> = text.collect();
    let numbers: HashMap<_, _> = text
        .iter()
        .enumerate()
        .map(|(number, section)| (section.index(), number))
        .collect();
    let mut externals = HashMap::new();
    let mut lines = String::new();
    for section in &text {
        lines += &format!("s {} {}\n", section.size(), section.align());
        for (offset, relocation) in section.relocations() {
            let RelocationFlags::Elf {
                r_type: R_PARISC_PCREL17F,
            } = relocation.flags()
            else {
                continue;
            };
            let RelocationTarget::Symbol(index) = relocation.target() else {
                return Err(format!("a branch at {offset:#x} has no symbol").into());
            };
            let (symbol, addend) = (file.symbol_by_index(index)?, relocation.addend());
            let home = symbol.section_index().and_then(|home| numbers.get(&home));
            lines += &match home {
                Some(home) => {
                    format!("i {offset} {home} {}\n", symbol.address() as i64 + addend)
                }
                None => {
                    let next = externals.len();
                    let number = externals.entry((index, addend)).or_insert(next);
                    format!("e {offset} {number}\n")
                }
            };
        }
    }
    Ok(lines)
}
