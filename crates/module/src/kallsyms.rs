//! The names that a loaded module keeps for the kernel's own lookups: a copy of its symbol table with
//! run addresses, first all of it in the init region, and of what stays in the core.
//!
//! Source: Linux 6.1 `kernel/module/kallsyms.c` (layout_symtab, add_kallsyms, is_core_symbol,
//! elf_type) and `include/linux/module.h` (struct mod_kallsyms).

use crate::elf::{RawSymbol, SHF_EXECINSTR, SHF_WRITE, SHN_ABS, SHN_UNDEF, STB_WEAK, STT_OBJECT};
use crate::error::Error;
use crate::file::ModuleFile;
use crate::id::SectionId;
use crate::layout::{Cursor, range};
use crate::plan::{Place, Plan};
use crate::policy::{Names, Policy};
use crate::region::RegionKind;
use crate::shape::Shapes;

/// The first of the section numbers that mean something else.
const SHN_LORESERVE: u16 = 0xff00;

/// Where the names are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct KallsymsPlan {
    /// The symbols that stay.
    pub symbols: Place,
    /// Number of symbols that stay, the null symbol included.
    pub count: u64,
    /// Their names.
    pub strings: Place,
    /// Bytes of their names.
    pub strings_size: u64,
    /// A letter for each of them, as `nm` shows it.
    pub types: Place,
    /// The kernel's `struct mod_kallsyms` for the time of init; zero, for the kernel to fill in.
    pub init_header: Option<Place>,
    /// A letter for each symbol of the file.
    pub init_types: Option<Place>,
}

impl KallsymsPlan {
    pub(crate) fn new(
        file: &ModuleFile<'_>,
        policy: &Policy,
        shapes: &Shapes,
        cursor: &mut Cursor,
    ) -> Result<Self, Error> {
        let (mut count, mut strings_size) = (0_u64, 0_u64);
        for (id, symbol) in file.raw_symbols() {
            if id.0 == 0 || stays(policy, shapes, symbol) {
                let name = file
                    .raw_name(symbol)
                    .ok_or(Error::SymbolName { symbol: id })?;
                count += 1;
                strings_size += name.len() as u64 + 1;
            }
        }
        let align = file
            .section(file.symbol_section())
            .map_or(1, |table| table.align);
        let size = count * file.format().symbol_size();
        Ok(Self {
            symbols: cursor.take(align, size)?,
            count,
            strings: cursor.take(1, strings_size)?,
            strings_size,
            types: cursor.take(1, count)?,
            init_header: None,
            init_types: None,
        })
    }

    /// Places the file's symbol and string table, what is set aside in front of them, and the types.
    /// Gives the places of the tables.
    pub(crate) fn place_init(
        &mut self,
        file: &ModuleFile<'_>,
        before: [u64; 2],
        cursor: &mut Cursor,
    ) -> Result<[Place; 2], Error> {
        let mut take = |id: SectionId, before: u64| {
            let (align, size) = file
                .section(id)
                .map_or((1, 0), |section| (section.align, section.size));
            cursor.take(1, before)?;
            cursor.take(align, size)
        };
        let symbols = take(file.symbol_section(), before[0])?;
        let strings = take(file.string_section(), before[1])?;
        let word = file.format().word_size();
        self.init_header = Some(cursor.take(word, 4 * word)?);
        self.init_types = Some(cursor.take(1, file.symbol_count() as u64)?);
        Ok([symbols, strings])
    }
}

/// Whether a symbol is kept when init is gone.
fn stays(policy: &Policy, shapes: &Shapes, symbol: RawSymbol) -> bool {
    if symbol.section == SHN_UNDEF || symbol.name == 0 {
        return false;
    }
    let all = policy.names == Names::All;
    match shapes.region(SectionId(symbol.section.into())) {
        None => false,
        Some(RegionKind::PerCpu) => all,
        Some(region) => !region.is_init() && (all || region.is_code()),
    }
}

/// The letter of a symbol.
fn letter(plan: &Plan<'_, '_>, symbol: RawSymbol) -> u8 {
    if symbol.bind() == STB_WEAK {
        return if symbol.kind() == STT_OBJECT {
            b'v'
        } else {
            b'w'
        };
    }
    let id = SectionId(symbol.section.into());
    let region = plan.shapes().region(id);
    match symbol.section {
        SHN_UNDEF => return b'U',
        SHN_ABS => return b'a',
        SHN_LORESERVE.. => return b'?',
        _ if region == Some(RegionKind::PerCpu) => return b'a',
        _ => {}
    }
    let (Some(section), Some(shape)) = (plan.file().section(id), plan.shapes().get(id)) else {
        return b'?';
    };
    if section.flags & SHF_EXECINSTR != 0 || region.is_some_and(RegionKind::is_code) {
        b't'
    } else if region.is_some() && shape.has_contents {
        if section.flags & SHF_WRITE == 0 {
            b'r'
        } else {
            b'd'
        }
    } else if !shape.has_contents {
        b'b'
    } else if plan.file().section_name(section).starts_with(b".debug") {
        b'n'
    } else {
        b'?'
    }
}

/// Writes the tables. `values` are the run addresses of all symbols.
pub(crate) fn fill(plan: &Plan<'_, '_>, values: &[u64], images: &mut [&mut [u8]]) -> Option<()> {
    let Some(kallsyms) = plan.kallsyms() else {
        return Some(());
    };
    let file = plan.file();
    let format = file.format();
    let size = format.symbol_size() as usize;
    let at = |place: Place| usize::try_from(place.offset).ok();
    // the value stands behind the name in 32 bits; in 64 behind name, info and section
    let at_value = format.word_size() as usize;
    let (mut symbol_at, mut string_at) = (at(kallsyms.symbols)?, at(kallsyms.strings)?);
    let (string_base, mut type_at) = (string_at, at(kallsyms.types)?);
    let init_symbols = plan.place(file.symbol_section());
    let raw_table = file.contents(file.section(file.symbol_section())?);
    for (((id, symbol), raw), &value) in file
        .raw_symbols()
        .zip(raw_table.chunks_exact(size))
        .zip(values)
    {
        let letter = letter(plan, symbol);
        if let (Some(place), Some(types)) = (init_symbols, kallsyms.init_types) {
            let block = images.get_mut(place.block.index())?;
            let symbol_at = at(place)? + id.index() * size;
            block
                .get_mut(symbol_at..symbol_at + size)?
                .copy_from_slice(raw);
            format.put_word(block, symbol_at + at_value, value);
            *block.get_mut(at(types)? + id.index())? = letter;
        }
        if id.0 != 0 && !stays(plan.policy(), plan.shapes(), symbol) {
            continue;
        }
        let name = file.raw_name(symbol)?;
        let block = images.get_mut(kallsyms.symbols.block.index())?;
        block
            .get_mut(symbol_at..symbol_at + size)?
            .copy_from_slice(raw);
        format.put(block, symbol_at, 4, (string_at - string_base) as u64);
        format.put_word(block, symbol_at + at_value, value);
        let string = block.get_mut(string_at..string_at + name.len() + 1)?;
        let (end, bytes) = string.split_last_mut()?;
        bytes.copy_from_slice(name);
        *end = 0;
        *block.get_mut(type_at)? = letter;
        symbol_at += size;
        string_at += name.len() + 1;
        type_at += 1;
    }
    if let Some(place) = plan.place(file.string_section()) {
        let strings = file.contents(file.section(file.string_section())?);
        let block = images.get_mut(place.block.index())?;
        block
            .get_mut(range(place, strings.len() as u64)?)?
            .copy_from_slice(strings);
    }
    Some(())
}
