//! Makes small object files, byte by byte and by no code of klink's, so that what they hold is
//! known. Every section begins at an odd offset: nothing in a file need be aligned.

pub(crate) const PROGBITS: u32 = 1;
pub(crate) const NOBITS: u32 = 8;
const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
const RELA: u32 = 4;
const REL: u32 = 9;

/// `SHF_ALLOC` with `SHF_EXECINSTR`, with nothing, with `SHF_WRITE`.
pub(crate) const CODE: u32 = 2 | 4;
pub(crate) const CONSTANT: u32 = 2;
pub(crate) const DATA: u32 = 2 | 1;

/// An architecture's ELF: `e_machine`, 64 bits, big-endian, RELA.
#[derive(Clone, Copy)]
pub(crate) struct Target(u16, bool, bool, bool);

pub(crate) const HPPA: Target = Target(15, false, true, true);
pub(crate) const I386: Target = Target(3, false, false, false);
pub(crate) const X86_64: Target = Target(62, true, false, true);
pub(crate) const RISCV64: Target = Target(243, true, false, true);

struct Section {
    name: String,
    kind: u32,
    flags: u32,
    data: Vec<u8>,
    size: usize,
    align: u32,
    link: u32,
    info: u32,
    entry: u32,
}

/// An object file while it is made.
pub(crate) struct Object {
    target: Target,
    kind: u16,
    sections: Vec<Section>,
    /// Name, section (0: undefined), value.
    symbols: Vec<(String, u32, u32)>,
    /// Relocated section, offset, type, symbol, addend.
    relocations: Vec<(u32, u32, u32, u32, i32)>,
    end: Vec<u8>,
}

impl Object {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            kind: 1,
            sections: Vec::new(),
            symbols: Vec::new(),
            relocations: Vec::new(),
            end: Vec::new(),
        }
    }

    /// Sets `e_type`.
    pub(crate) fn kind(mut self, kind: u16) -> Self {
        self.kind = kind;
        self
    }

    /// Adds a section of `data`; the first one has index 1.
    pub(crate) fn section(mut self, name: &str, flags: u32, align: u32, data: &[u8]) -> Self {
        self.push(name, PROGBITS, flags, align, data.to_vec(), data.len());
        self
    }

    /// Adds a section of `size` zero bytes.
    pub(crate) fn zeros(self, name: &str, flags: u32, align: u32, size: usize) -> Self {
        self.section(name, flags, align, &vec![0; size])
    }

    /// Adds a section of `size` bytes of which the file has none.
    pub(crate) fn nobits(mut self, name: &str, size: usize) -> Self {
        self.push(name, NOBITS, DATA, 4, Vec::new(), size);
        self
    }

    /// Makes a module of it.
    pub(crate) fn module(self, info: &[u8]) -> Self {
        self.section(".modinfo", CONSTANT, 1, info)
            .zeros(".gnu.linkonce.this_module", DATA, 4, 64)
    }

    /// Adds a global symbol; the first one has index 1. Section 0: undefined.
    pub(crate) fn symbol(mut self, name: &str, section: u32, value: u32) -> Self {
        self.symbols.push((name.to_owned(), section, value));
        self
    }

    pub(crate) fn relocation(
        mut self,
        section: u32,
        offset: u32,
        number: u32,
        symbol: u32,
        addend: i32,
    ) -> Self {
        self.relocations
            .push((section, offset, number, symbol, addend));
        self
    }

    /// Appends bytes to the finished file.
    pub(crate) fn end(mut self, bytes: &[u8]) -> Self {
        self.end = bytes.to_vec();
        self
    }

    fn push(&mut self, name: &str, kind: u32, flags: u32, align: u32, data: Vec<u8>, size: usize) {
        self.sections.push(Section {
            name: name.to_owned(),
            kind,
            flags,
            data,
            size,
            align,
            link: 0,
            info: 0,
            entry: 0,
        });
    }

    /// The bytes of the file.
    pub(crate) fn bytes(mut self) -> Vec<u8> {
        let target = self.target;
        let symtab = self.sections.len() as u32 + 1;
        self.add_symbols(symtab);
        self.add_relocations(symtab);
        let strings: Vec<u8> = {
            let names = self.sections.iter().map(|section| section.name.as_str());
            strings(names.chain([".shstrtab"]))
        };
        let size = strings.len();
        self.push(".shstrtab", STRTAB, 0, 1, strings.clone(), size);
        let header_size = if target.1 { 64 } else { 52 };
        let mut body = Vec::new();
        let mut headers = Writer::new(target);
        headers.section_header(0, &Section::null(), 0);
        for section in &self.sections {
            if (header_size + body.len()).is_multiple_of(2) {
                body.push(0xee);
            }
            let name = position(&strings, &section.name);
            headers.section_header(name, section, (header_size + body.len()) as u32);
            body.extend_from_slice(&section.data);
        }
        let count = self.sections.len() as u16 + 1;
        let mut file = Writer::new(target);
        file.file_header(self.kind, (header_size + body.len()) as u32, count);
        [file.bytes, body, headers.bytes, self.end].concat()
    }

    fn add_symbols(&mut self, symtab: u32) {
        let names = strings(self.symbols.iter().map(|symbol| symbol.0.as_str()));
        let mut table = Writer::new(self.target);
        table.symbol(0, 0, 0, 0);
        for (name, section, value) in &self.symbols {
            table.symbol(position(&names, name), 0x10, *section as u16, *value);
        }
        let size = table.bytes.len();
        self.push(".symtab", SYMTAB, 0, 4, table.bytes, size);
        let last = self.sections.last_mut().expect("just pushed");
        (last.link, last.info) = (symtab + 1, 1);
        last.entry = if self.target.1 { 24 } else { 16 };
        let size = names.len();
        self.push(".strtab", STRTAB, 0, 1, names, size);
    }

    fn add_relocations(&mut self, symtab: u32) {
        let mut relocated: Vec<_> = self.relocations.iter().map(|entry| entry.0).collect();
        relocated.dedup();
        for section in relocated {
            let mut table = Writer::new(self.target);
            for entry in self.relocations.iter().filter(|entry| entry.0 == section) {
                table.relocation(entry.1, entry.2, entry.3, entry.4);
            }
            let home = section as usize - 1;
            let name = self.sections.get(home).map_or("", |home| &home.name);
            let (kind, prefix) = if self.target.3 {
                (RELA, ".rela")
            } else {
                (REL, ".rel")
            };
            let size = table.bytes.len();
            self.push(&format!("{prefix}{name}"), kind, 0, 4, table.bytes, size);
            let last = self.sections.last_mut().expect("just pushed");
            (last.link, last.info) = (symtab, section);
            last.entry = match self.target {
                Target(_, true, _, true) => 24,
                Target(_, false, _, true) => 12,
                _ => 8,
            };
        }
    }
}

impl Section {
    fn null() -> Self {
        Self {
            name: String::new(),
            kind: 0,
            flags: 0,
            data: Vec::new(),
            size: 0,
            align: 0,
            link: 0,
            info: 0,
            entry: 0,
        }
    }
}

fn strings<'a>(names: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut bytes = vec![0];
    for name in names {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// Where `name` is in a string table.
fn position(table: &[u8], name: &str) -> u32 {
    let wanted = [&[0], name.as_bytes(), &[0]].concat();
    let found = table.windows(wanted.len()).position(|at| at == wanted);
    found.expect("every name is in the table") as u32 + 1
}

struct Writer {
    target: Target,
    bytes: Vec<u8>,
}

impl Writer {
    fn new(target: Target) -> Self {
        Self {
            target,
            bytes: Vec::new(),
        }
    }

    fn number(&mut self, value: u64, bytes: usize) {
        let mut little = value.to_le_bytes()[..bytes].to_vec();
        if self.target.2 {
            little.reverse();
        }
        self.bytes.extend(little);
    }

    fn half(&mut self, value: u16) {
        self.number(value.into(), 2);
    }

    fn word(&mut self, value: u32) {
        self.number(value.into(), 4);
    }

    /// As wide as an address.
    fn wide(&mut self, value: u64) {
        self.number(value, if self.target.1 { 8 } else { 4 });
    }

    fn file_header(&mut self, kind: u16, headers: u32, count: u16) {
        let Target(machine, is_64, big, _) = self.target;
        self.bytes.extend(b"\x7fELF");
        self.bytes
            .extend([1 + u8::from(is_64), 1 + u8::from(big), 1]);
        self.bytes.resize(16, 0);
        self.half(kind);
        self.half(machine);
        self.word(1);
        self.wide(0);
        self.wide(0);
        self.wide(headers.into());
        self.word(0);
        let (size, section) = if is_64 { (64, 64) } else { (52, 40) };
        for value in [size, 0, 0, section, count, count - 1] {
            self.half(value);
        }
    }

    fn section_header(&mut self, name: u32, section: &Section, offset: u32) {
        self.word(name);
        self.word(section.kind);
        self.wide(section.flags.into());
        self.wide(0);
        self.wide(offset.into());
        self.wide(section.size as u64);
        self.word(section.link);
        self.word(section.info);
        self.wide(section.align.into());
        self.wide(section.entry.into());
    }

    fn symbol(&mut self, name: u32, info: u8, section: u16, value: u32) {
        self.word(name);
        if self.target.1 {
            self.bytes.extend([info, 0]);
            self.half(section);
            self.wide(value.into());
            self.wide(0);
        } else {
            self.word(value);
            self.word(0);
            self.bytes.extend([info, 0]);
            self.half(section);
        }
    }

    fn relocation(&mut self, offset: u32, number: u32, symbol: u32, addend: i32) {
        self.wide(offset.into());
        if self.target.1 {
            self.wide(u64::from(symbol) << 32 | u64::from(number));
        } else {
            self.word(symbol << 8 | number);
        }
        if self.target.3 {
            self.wide(i64::from(addend) as u64);
        }
    }
}
