//! The bytes of a kernel, in which the table of its symbols is looked for, and then read and searched.
#![no_main]

use klink_fuzz::KALLSYMS_PARTS as SYMBOLS;
use klink_tables::kallsyms::{Endian, Image, NAME_LIMIT, Table, WordSize};
use libfuzzer_sys::{Corpus, fuzz_target};

/// How the input begins: one byte of flags, and two for each symbol, its offset.
const HEADER: usize = 1 + 2 * SYMBOLS.len();

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some((header, bytes)) = data.split_at_checked(HEADER) else {
        return Corpus::Reject;
    };
    let flags = header[0];
    let word = [WordSize::Four, WordSize::Eight][usize::from(flags & 1)];
    let endian = [Endian::Little, Endian::Big][usize::from(flags >> 1 & 1)];
    let is_known = flags & 4 != 0;
    let address = |offset: usize| 0x1000 + offset as u64;
    let (known_word, known_endian) = (is_known.then_some(word), is_known.then_some(endian));
    if let Ok(image) = Image::find(bytes, known_word, known_endian, address)
        && let Ok(table) = image.table(bytes)
    {
        read(&table);
    }
    let offset = |name: &str| {
        let index = SYMBOLS.iter().position(|symbol| *symbol == name)?;
        let at = usize::from(u16::from_le_bytes([
            header[1 + 2 * index],
            header[2 + 2 * index],
        ]));
        (at != 0xffff).then_some(at)
    };
    if let Ok(image) = Image::from_symbols(bytes, word, endian, offset, address)
        && let Ok(table) = image.table(bytes)
    {
        read(&table);
    }
    Corpus::Keep
});

/// Reads the table, and looks for what it has and what it has not.
fn read(table: &Table<'_>) {
    let mut name = Vec::new();
    for entry in table.iter().take(300) {
        name.clear();
        name.extend(entry.name.bytes());
        assert!(name.len() < NAME_LIMIT);
        let _ = table.find_address(entry.address);
        assert!(table.find_name(&name).take(300).count() <= table.len() as usize);
    }
    for address in [0, 1, u64::MAX] {
        if let Some(found) = table.find_address(address) {
            assert!(table.get(found.index).is_some());
        }
    }
    let _ = (
        table.get(u32::MAX),
        table.first_out_of_order(),
        table.first_name_out_of_order(),
    );
}
