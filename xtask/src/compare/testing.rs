//! A small ELF writer for tests: says plainly what a file has, of either class
//! and byte order, and does not mind writing wrong ones.

use super::elf::{SHT_NOBITS, SHT_REL, SHT_RELA, SHT_STRTAB, SHT_SYMTAB};

/// A relocation of a [`SectionSpec`]: offset, symbol (1 is the first of
/// [`Spec::symbols`]), type, addend (not written with REL).
pub(crate) type RelocationSpec = (u64, u32, u32, i64);

#[derive(Debug, Clone, Default)]
pub(crate) struct SectionSpec {
    pub(crate) name: &'static str,
    pub(crate) sh_type: u32,
    pub(crate) flags: u64,
    pub(crate) align: u64,
    pub(crate) entsize: u64,
    pub(crate) addr: u64,
    pub(crate) link: u32,
    pub(crate) info: u32,
    pub(crate) data: Vec<u8>,
    /// Size where there are no bytes.
    pub(crate) nobits: u64,
    pub(crate) relocations: Vec<RelocationSpec>,
}

impl SectionSpec {
    /// A PROGBITS section of these words, big-endian.
    pub(crate) fn words(name: &'static str, flags: u64, words: &[u32]) -> Self {
        SectionSpec {
            name,
            sh_type: super::elf::SHT_PROGBITS,
            flags,
            align: 4,
            data: words.iter().flat_map(|word| word.to_be_bytes()).collect(),
            ..SectionSpec::default()
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct SymbolSpec {
    pub(crate) name: &'static str,
    pub(crate) bind: u8,
    pub(crate) kind: u8,
    pub(crate) other: u8,
    /// 1 is the first of [`Spec::sections`]; or a reserved number.
    pub(crate) section: u16,
    pub(crate) value: u64,
    pub(crate) size: u64,
}

/// A symbol: name, binding, type, section, value.
pub(crate) fn symbol(
    name: &'static str,
    bind: u8,
    kind: u8,
    section: u16,
    value: u64,
) -> SymbolSpec {
    SymbolSpec {
        name,
        bind,
        kind,
        other: 0,
        section,
        value,
        size: 0,
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(crate) is_64: bool,
    pub(crate) big_endian: bool,
    pub(crate) rela: bool,
    pub(crate) machine: u16,
    pub(crate) flags: u32,
    /// Section `n` of the file is `sections[n - 1]`.
    pub(crate) sections: Vec<SectionSpec>,
    pub(crate) symbols: Vec<SymbolSpec>,
    /// A program header of this type.
    pub(crate) segment: Option<u32>,
    /// Added to `.symtab`'s `sh_info`.
    pub(crate) wrong_boundary: u32,
}

struct Out {
    bytes: Vec<u8>,
    is_64: bool,
    big_endian: bool,
}

impl Out {
    fn number(&mut self, value: u64, width: usize) {
        match self.big_endian {
            true => self.bytes.extend(&value.to_be_bytes()[8 - width..]),
            false => self.bytes.extend(&value.to_le_bytes()[..width]),
        }
    }

    fn word(&mut self, value: u64) {
        self.number(value, if self.is_64 { 8 } else { 4 });
    }

    fn align(&mut self, align: u64) {
        while !(self.bytes.len() as u64).is_multiple_of(align.max(1)) {
            self.bytes.push(0);
        }
    }
}

fn string(table: &mut Vec<u8>, name: &str) -> u64 {
    if name.is_empty() {
        return 0;
    }
    let at = table.len() as u64;
    table.extend(name.bytes());
    table.push(0);
    at
}

impl Spec {
    fn out(&self) -> Out {
        Out {
            bytes: Vec::new(),
            is_64: self.is_64,
            big_endian: self.big_endian,
        }
    }

    /// The file.
    pub(crate) fn write(&self) -> Vec<u8> {
        let sections = self.all_sections();
        let mut names = vec![0];
        let name_offsets: Vec<u64> = sections
            .iter()
            .map(|s| string(&mut names, s.name))
            .collect();
        let mut body = self.out();
        let header_size = if self.is_64 { 64 + 56 } else { 52 + 32 };
        body.bytes.resize(header_size, 0);
        let mut headers = self.out();
        headers.bytes.resize(if self.is_64 { 64 } else { 40 }, 0);
        for (section, name) in sections.iter().zip(name_offsets) {
            let is_names = section.name == ".shstrtab";
            let data = if is_names { &names } else { &section.data };
            body.align(section.align);
            let offset = body.bytes.len() as u64;
            let size = match section.sh_type {
                SHT_NOBITS => section.nobits,
                _ => data.len() as u64,
            };
            body.bytes.extend(data);
            headers.number(name, 4);
            headers.number(section.sh_type.into(), 4);
            for value in [section.flags, section.addr, offset, size] {
                headers.word(value);
            }
            headers.number(section.link.into(), 4);
            headers.number(section.info.into(), 4);
            headers.word(section.align);
            headers.word(section.entsize);
        }
        body.align(8);
        let mut header = self.header(body.bytes.len() as u64, sections.len() as u64 + 1);
        header.resize(header_size, 0);
        body.bytes[..header_size].copy_from_slice(&header);
        body.bytes.extend(headers.bytes);
        body.bytes
    }

    fn header(&self, section_headers: u64, count: u64) -> Vec<u8> {
        let mut out = self.out();
        let class = if self.is_64 { 2 } else { 1 };
        let order = if self.big_endian { 2 } else { 1 };
        out.bytes.extend([0x7f, b'E', b'L', b'F', class, order, 1]);
        out.bytes.resize(16, 0);
        out.number(1, 2); // ET_REL
        out.number(self.machine.into(), 2);
        out.number(1, 4);
        out.word(0); // e_entry
        let (size, phentsize, shentsize) = if self.is_64 {
            (64, 56, 64)
        } else {
            (52, 32, 40)
        };
        out.word(if self.segment.is_some() { size } else { 0 });
        out.word(section_headers);
        out.number(self.flags.into(), 4);
        out.number(size, 2);
        out.number(phentsize, 2);
        out.number(self.segment.is_some().into(), 2);
        out.number(shentsize, 2);
        out.number(count, 2);
        out.number(count - 1, 2); // .shstrtab is last
        if let Some(p_type) = self.segment {
            out.number(p_type.into(), 4);
        }
        out.bytes
    }

    /// What the file's sections are: the given ones, their relocations, the
    /// symbol table and both string tables.
    fn all_sections(&self) -> Vec<SectionSpec> {
        let mut all = self.sections.clone();
        let relocated = self
            .sections
            .iter()
            .filter(|s| !s.relocations.is_empty())
            .count();
        let symtab = u32::try_from(self.sections.len() + relocated + 1).expect("few sections");
        let word: u64 = if self.is_64 { 8 } else { 4 };
        for (index, section) in (1..).zip(&self.sections) {
            if section.relocations.is_empty() {
                continue;
            }
            all.push(SectionSpec {
                name: ".rel",
                sh_type: if self.rela { SHT_RELA } else { SHT_REL },
                flags: 0x40,
                align: word,
                entsize: if self.rela { 3 * word } else { 2 * word },
                link: symtab,
                info: index,
                data: self.relocations(section),
                ..SectionSpec::default()
            });
        }
        let (symbols, strings) = self.symbol_table();
        let locals = self.symbols.iter().take_while(|s| s.bind == 0).count();
        all.push(SectionSpec {
            name: ".symtab",
            sh_type: SHT_SYMTAB,
            align: word,
            entsize: 2 * word + 8,
            link: symtab + 1,
            info: u32::try_from(locals + 1).expect("few symbols") + self.wrong_boundary,
            data: symbols,
            ..SectionSpec::default()
        });
        for (name, data) in [(".strtab", strings), (".shstrtab", Vec::new())] {
            all.push(SectionSpec {
                name,
                sh_type: SHT_STRTAB,
                align: 1,
                data,
                ..SectionSpec::default()
            });
        }
        all
    }

    fn relocations(&self, section: &SectionSpec) -> Vec<u8> {
        let mut out = self.out();
        for &(offset, symbol, r_type, addend) in &section.relocations {
            out.word(offset);
            let shift = if self.is_64 { 32 } else { 8 };
            out.word(u64::from(symbol) << shift | u64::from(r_type));
            if self.rela {
                let mask = if self.is_64 { u64::MAX } else { 0xffff_ffff };
                out.word(addend.cast_unsigned() & mask);
            }
        }
        out.bytes
    }

    fn symbol_table(&self) -> (Vec<u8>, Vec<u8>) {
        let mut strings = vec![0];
        let mut out = self.out();
        out.bytes.resize(if self.is_64 { 24 } else { 16 }, 0);
        for symbol in &self.symbols {
            let info = symbol.bind << 4 | symbol.kind;
            out.number(string(&mut strings, symbol.name), 4);
            if !self.is_64 {
                out.word(symbol.value);
                out.word(symbol.size);
            }
            out.number(info.into(), 1);
            out.number(symbol.other.into(), 1);
            out.number(symbol.section.into(), 2);
            if self.is_64 {
                out.word(symbol.value);
                out.word(symbol.size);
            }
        }
        (out.bytes, strings)
    }
}
