//! Small kernels as ELF files: only what is needed to sort tables in them.

use klink_tables::{Endian, Numbers, WordSize};

pub(crate) const SHT_PROGBITS: u32 = 1;
pub(crate) const SHT_RELA: u32 = 4;
pub(crate) const SHF_ALLOC: u64 = 2;
pub(crate) const SHF_EXECINSTR: u64 = 4;

/// Where sections run: the first at this address, each further one `STRIDE` above.
pub(crate) const BASE: u64 = 0x8100_0000;
pub(crate) const STRIDE: u64 = 0x10_0000;

#[derive(Clone, Debug)]
pub(crate) struct Section {
    pub(crate) name: &'static str,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) info: u32,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Symbol {
    pub(crate) name: &'static str,
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) kind: u8,
    /// From 1 on, as in the file.
    pub(crate) section: u16,
}

#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) machine: u16,
    pub(crate) numbers: Numbers,
    pub(crate) sections: Vec<Section>,
    pub(crate) symbols: Vec<Symbol>,
}

impl Kernel {
    pub(crate) fn new(machine: u16, word: WordSize, endian: Endian) -> Self {
        Self {
            machine,
            numbers: Numbers { word, endian },
            sections: Vec::new(),
            symbols: Vec::new(),
        }
    }

    /// Adds an allocated section; gives its number in the file.
    pub(crate) fn section(&mut self, name: &'static str, bytes: Vec<u8>) -> u16 {
        self.sections.push(Section {
            name,
            kind: SHT_PROGBITS,
            flags: SHF_ALLOC,
            info: 0,
            bytes,
        });
        self.sections.len() as u16
    }

    /// The address of the section with this number.
    pub(crate) fn address(section: u16) -> u64 {
        BASE + u64::from(section - 1) * STRIDE
    }

    /// Adds a section with the flag that says that the exception table is not sorted.
    pub(crate) fn flag(&mut self) {
        let section = self.section(".data", vec![0xaa; 16]);
        self.symbol(
            "main_extable_sort_needed",
            Self::address(section) + 4,
            4,
            1,
            section,
        );
    }

    pub(crate) fn symbol(
        &mut self,
        name: &'static str,
        value: u64,
        size: u64,
        kind: u8,
        section: u16,
    ) {
        self.symbols.push(Symbol {
            name,
            value,
            size,
            kind,
            section,
        });
    }

    fn half(&self, value: u16) -> Vec<u8> {
        match self.numbers.endian {
            Endian::Little => value.to_le_bytes().to_vec(),
            Endian::Big => value.to_be_bytes().to_vec(),
        }
    }

    pub(crate) fn four(&self, value: u32) -> Vec<u8> {
        match self.numbers.endian {
            Endian::Little => value.to_le_bytes().to_vec(),
            Endian::Big => value.to_be_bytes().to_vec(),
        }
    }

    pub(crate) fn word(&self, value: u64) -> Vec<u8> {
        match (self.numbers.word, self.numbers.endian) {
            (WordSize::Four, _) => self.four(value as u32),
            (WordSize::Eight, Endian::Little) => value.to_le_bytes().to_vec(),
            (WordSize::Eight, Endian::Big) => value.to_be_bytes().to_vec(),
        }
    }

    fn symbol_table(&self) -> (Vec<u8>, Vec<u8>) {
        let wide = self.numbers.word == WordSize::Eight;
        let mut bytes = vec![0; if wide { 24 } else { 16 }];
        let mut strings = vec![0];
        for symbol in &self.symbols {
            let (name, [value, size]) = (strings.len(), [symbol.value, symbol.size]);
            strings.extend(symbol.name.as_bytes());
            strings.push(0);
            let place = [vec![0x10 | symbol.kind, 0], self.half(symbol.section)].concat();
            let numbers = [self.word(value), self.word(size)].concat();
            let rest = if wide {
                [place, numbers]
            } else {
                [numbers, place]
            };
            bytes.extend([self.four(name as u32), rest.concat()].concat());
        }
        // The newest sorttable never looks at the last symbol.
        bytes.extend(vec![0; if wide { 24 } else { 16 }]);
        (bytes, strings)
    }

    /// The ELF file.
    pub(crate) fn file(&self) -> Vec<u8> {
        let mut sections = self.sections.clone();
        let (symbols, strings) = self.symbol_table();
        let mut add = |name, kind, bytes| {
            sections.push(Section {
                name,
                kind,
                flags: 0,
                info: 1,
                bytes,
            });
            sections.len()
        };
        add(".symtab", 2, symbols);
        let strings_at = add(".strtab", 3, strings) as u32;
        let names_at = add(".shstrtab", 3, Vec::new());
        let mut names = vec![0];
        let mut name_at = Vec::new();
        for section in &sections {
            name_at.push(names.len() as u32);
            names.extend(section.name.as_bytes());
            names.push(0);
        }
        sections[names_at - 1].bytes = names;

        let header_size = if self.numbers.word == WordSize::Eight {
            64
        } else {
            52
        };
        let mut body = Vec::new();
        let mut headers = vec![vec![0; 16 + 6 * self.numbers.word.bytes()]];
        for (index, (section, name)) in sections.iter().zip(name_at).enumerate() {
            body.resize(body.len().next_multiple_of(8), 0);
            let offset = header_size + 4 + body.len() as u64;
            body.extend(&section.bytes);
            let address = match section.flags & SHF_ALLOC {
                0 => 0,
                _ => Self::address(index as u16 + 1),
            };
            let size = section.bytes.len() as u64;
            headers.push(
                [
                    self.four(name),
                    self.four(section.kind),
                    self.word(section.flags),
                    self.word(address),
                    self.word(offset),
                    self.word(size),
                    self.four(if section.kind == 2 { strings_at } else { 0 }),
                    self.four(section.info),
                    self.word(8),
                    self.word(match (section.kind, self.numbers.word) {
                        (2, WordSize::Four) => 16,
                        (2 | SHT_RELA, WordSize::Eight) => 24,
                        _ => 0,
                    }),
                ]
                .concat(),
            );
        }
        body.resize(body.len().next_multiple_of(8), 0);
        let headers_at = header_size + 4 + body.len() as u64;
        let mut file = self.header(headers_at, headers.len() as u16, names_at as u16);
        file.extend([0; 4]);
        file.extend(body);
        file.extend(headers.concat());
        file
    }

    fn header(&self, headers_at: u64, sections: u16, names: u16) -> Vec<u8> {
        let wide = self.numbers.word == WordSize::Eight;
        let big = self.numbers.endian == Endian::Big;
        let ident = [
            0x7f,
            b'E',
            b'L',
            b'F',
            1 + u8::from(wide),
            1 + u8::from(big),
            1,
        ];
        [
            ident.to_vec(),
            vec![0; 9],
            self.half(2),
            self.half(self.machine),
            self.four(1),
            self.word(BASE),
            self.word(0),
            self.word(headers_at),
            self.four(0),
            self.half(if wide { 64 } else { 52 }),
            self.half(0),
            self.half(0),
            self.half(if wide { 64 } else { 40 }),
            self.half(sections),
            self.half(names),
        ]
        .concat()
    }
}
