//! An ELF file in plain vectors, read without any library: names, headers, symbols and relocations
//! as a test wants to see them. Panics on bad files.

/// `sh_type` values.
pub(crate) const SYMTAB: u32 = 2;
const STRTAB: u32 = 3;
const RELA: u32 = 4;
const NOBITS: u32 = 8;
const REL: u32 = 9;
const GROUP: u32 = 17;
/// `SHF_ALLOC`, in `sh_flags`.
pub(crate) const ALLOC: u64 = 2;
/// `PT_LOAD`, in `p_type`.
pub(crate) const LOAD: u32 = 1;
pub(crate) const SYMTAB_SHNDX: u32 = 18;
/// `st_shndx` value that stands for a number in `SHT_SYMTAB_SHNDX`.
const XINDEX: u16 = 0xffff;

#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) kind: u32,
    pub(crate) flags: u64,
    pub(crate) address: u64,
    pub(crate) offset: u64,
    pub(crate) align: u64,
    pub(crate) entsize: u64,
    pub(crate) size: u64,
    pub(crate) link: u32,
    pub(crate) info: u32,
    pub(crate) data: Vec<u8>,
}

impl Section {
    /// Whether it only describes the file: relocations, symbols, strings.
    pub(crate) fn is_bookkeeping(&self) -> bool {
        let describes = [0, SYMTAB, STRTAB, RELA, REL, SYMTAB_SHNDX].contains(&self.kind);
        describes && !self.is_allocated()
    }

    pub(crate) fn is_allocated(&self) -> bool {
        self.flags & ALLOC != 0
    }

    /// How many bytes it takes in the file.
    fn file_size(&self) -> u64 {
        if self.kind == NOBITS { 0 } else { self.size }
    }
}

/// A program header.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) load_address: u64,
    pub(crate) file_size: u64,
    pub(crate) size: u64,
    pub(crate) align: u64,
}

impl Segment {
    /// Whether an allocated section lies in it, in memory and in the file.
    pub(crate) fn holds(&self, section: &Section) -> bool {
        let from = section.address.wrapping_sub(self.address);
        let in_file = section.offset.wrapping_sub(self.offset);
        let fits = |from: u64, len: u64, size: u64| {
            from.checked_add(len).is_some_and(|end| end <= size) && (from < size || len > 0)
        };
        let has_bytes = section.file_size() > 0;
        section.is_allocated()
            && fits(from, section.size, self.size)
            && (!has_bytes || from == in_file && fits(from, section.size, self.file_size))
    }
}

/// What the file says of itself.
#[derive(Debug)]
pub(crate) struct Header {
    /// `e_type`.
    pub(crate) kind: u16,
    pub(crate) machine: u16,
    pub(crate) os_abi: u8,
    pub(crate) flags: u32,
    pub(crate) entry: u64,
}

#[derive(Debug)]
pub(crate) struct Symbol {
    pub(crate) name: String,
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) binding: u8,
    pub(crate) kind: u8,
    pub(crate) visibility: u8,
    /// A section's number, or one of `SHN_UNDEF`, `SHN_ABS`, `SHN_COMMON` and the processor's.
    pub(crate) section: usize,
}

#[derive(Debug)]
pub(crate) struct Relocation {
    pub(crate) offset: u64,
    pub(crate) kind: u32,
    pub(crate) symbol: usize,
    /// 0 for REL.
    pub(crate) addend: i64,
}

#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) header: Header,
    pub(crate) segments: Vec<Segment>,
    pub(crate) sections: Vec<Section>,
    pub(crate) symbols: Vec<Symbol>,
    /// The relocated section of each table, and the table.
    pub(crate) relocations: Vec<(usize, Vec<Relocation>)>,
    /// Signature and members of each group.
    pub(crate) groups: Vec<(String, Vec<usize>)>,
}

/// Reads numbers of a class and byte order.
struct Reader<'a> {
    bytes: &'a [u8],
    wide: bool,
    big: bool,
}

impl Reader<'_> {
    fn number(&self, at: usize, len: usize) -> u64 {
        let bytes = &self.bytes[at..at + len];
        let join = |value, &byte: &u8| value << 8 | u64::from(byte);
        match self.big {
            true => bytes.iter().fold(0, join),
            false => bytes.iter().rev().fold(0, join),
        }
    }

    fn half(&self, at: usize) -> u16 {
        self.number(at, 2) as u16
    }

    fn word(&self, at: usize) -> u32 {
        self.number(at, 4) as u32
    }

    /// A number as wide as an address, at `narrow` bytes behind `base` in ELF32 and `wide` in ELF64.
    fn address(&self, base: usize, narrow: usize, wide: usize) -> u64 {
        match self.wide {
            true => self.number(base + wide, 8),
            false => self.number(base + narrow, 4),
        }
    }

    /// The smaller number for ELF32, the larger for ELF64.
    fn pick(&self, narrow: usize, wide: usize) -> usize {
        if self.wide { wide } else { narrow }
    }

    fn section(&self, at: usize) -> Section {
        let kind = self.word(at + 4);
        let size = self.address(at, 20, 32);
        let offset = self.address(at, 16, 24) as usize;
        // What is not in the file may have an offset behind its end.
        let data = if kind == NOBITS || kind == 0 {
            Vec::new()
        } else {
            self.bytes[offset..offset + size as usize].to_vec()
        };
        Section {
            name: String::new(),
            kind,
            flags: self.address(at, 8, 8),
            address: self.address(at, 12, 16),
            offset: offset as u64,
            align: self.address(at, 32, 48),
            entsize: self.address(at, 36, 56),
            size,
            link: self.word(at + self.pick(24, 40)),
            info: self.word(at + self.pick(28, 44)),
            data,
        }
    }

    fn segment(&self, at: usize) -> Segment {
        Segment {
            kind: self.word(at),
            flags: self.word(at + self.pick(24, 4)),
            offset: self.address(at, 4, 8),
            address: self.address(at, 8, 16),
            load_address: self.address(at, 12, 24),
            file_size: self.address(at, 16, 32),
            size: self.address(at, 20, 40),
            align: self.address(at, 28, 48),
        }
    }

    fn header(&self) -> Header {
        Header {
            kind: self.half(16),
            machine: self.half(18),
            os_abi: self.bytes[7],
            flags: self.word(self.pick(36, 48)),
            entry: self.address(0, 24, 24),
        }
    }

    fn symbol(&self, at: usize, names: &[u8], index: Option<usize>) -> Symbol {
        let info = self.bytes[at + self.pick(12, 4)];
        let section = self.half(at + self.pick(14, 6));
        Symbol {
            name: string(names, self.word(at) as usize),
            value: self.address(at, 4, 8),
            size: self.address(at, 8, 16),
            binding: info >> 4,
            kind: info & 15,
            visibility: self.bytes[at + self.pick(13, 5)] & 3,
            section: match (section, index) {
                (XINDEX, Some(index)) => index,
                _ => section.into(),
            },
        }
    }

    fn relocation(&self, at: usize, explicit: bool) -> Relocation {
        let info = self.address(at, 4, 8);
        let addend = match explicit {
            true => self.address(at, 8, 16).cast_signed(),
            false => 0,
        };
        Relocation {
            offset: self.address(at, 0, 0),
            kind: if self.wide {
                info as u32
            } else {
                info as u32 & 0xff
            },
            symbol: (info >> self.pick(8, 32)) as usize,
            addend: if self.wide {
                addend
            } else {
                i64::from(addend as i32)
            },
        }
    }
}

fn string(names: &[u8], at: usize) -> String {
    let bytes = names[at..]
        .split(|&byte| byte == 0)
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(bytes).into_owned()
}

impl Image {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        assert!(bytes.starts_with(b"\x7fELF"), "no ELF file");
        let reader = Reader {
            bytes,
            wide: bytes[4] == 2,
            big: bytes[5] == 2,
        };
        let mut sections = read_sections(&reader);
        let symbols = read_symbols(&reader, &sections);
        for section in &mut sections {
            // A section symbol's name is its section's; nothing else needs the null section's.
            assert!(section.align.count_ones() <= 1, "{section:?}");
        }
        let mut image = Self {
            header: reader.header(),
            segments: read_segments(&reader),
            relocations: Vec::new(),
            groups: Vec::new(),
            symbols,
            sections,
        };
        image.read_tables(&reader);
        image
    }

    fn read_tables(&mut self, reader: &Reader<'_>) {
        for section in &self.sections {
            // Relocation and group tables are read where they lie in `data`, not in the file.
            let inner = Reader {
                bytes: &section.data,
                ..*reader
            };
            match section.kind {
                // Dynamic relocations are what a section holds, and name dynamic symbols.
                REL | RELA if !section.is_allocated() => {
                    let step = section.entsize as usize;
                    let all = (0..section.data.len()).step_by(step);
                    let read = all.map(|at| inner.relocation(at, section.kind == RELA));
                    self.relocations
                        .push((section.info as usize, read.collect()));
                }
                GROUP => {
                    let all = (4..section.data.len()).step_by(4);
                    let members = all.map(|at| inner.word(at) as usize).collect();
                    let signature = self.symbol_name(section.info as usize);
                    self.groups.push((signature, members));
                }
                _ => {}
            }
        }
    }

    /// A symbol's name; for a section symbol, the section's.
    pub(crate) fn symbol_name(&self, index: usize) -> String {
        let symbol = &self.symbols[index];
        if symbol.kind == 3 && symbol.name.is_empty() {
            return self.sections[symbol.section].name.clone();
        }
        symbol.name.clone()
    }

    /// The names of all sections but those that only describe the file, in order.
    pub(crate) fn section_names(&self) -> Vec<&str> {
        let shown = self
            .sections
            .iter()
            .filter(|section| !section.is_bookkeeping());
        shown.map(|section| section.name.as_str()).collect()
    }

    /// Where a section is loaded: its address, or what its `PT_LOAD` makes of that.
    pub(crate) fn load_address(&self, section: &Section) -> u64 {
        let loads = self.segments.iter().filter(|segment| segment.kind == LOAD);
        let mut loads = loads.filter(|segment| segment.holds(section));
        loads.next().map_or(section.address, |segment| {
            (section.address - segment.address).wrapping_add(segment.load_address)
        })
    }

    /// The sections that lie in a segment.
    pub(crate) fn sections_in(&self, segment: &Segment) -> Vec<&str> {
        let held = self.sections.iter().filter(|one| segment.holds(one));
        held.map(|section| section.name.as_str()).collect()
    }

    /// The relocations of a section.
    pub(crate) fn relocations_of(&self, section: usize) -> Vec<&Relocation> {
        let tables = self.relocations.iter().filter(|table| table.0 == section);
        tables.flat_map(|table| &table.1).collect()
    }
}

fn read_segments(reader: &Reader<'_>) -> Vec<Segment> {
    let start = reader.address(0, 28, 32) as usize;
    let step = usize::from(reader.half(reader.pick(42, 54)));
    let count = usize::from(reader.half(reader.pick(44, 56)));
    (0..count)
        .map(|index| reader.segment(start + index * step))
        .collect()
}

fn read_sections(reader: &Reader<'_>) -> Vec<Section> {
    let start = reader.address(0, 32, 40) as usize;
    let step = usize::from(reader.half(reader.pick(46, 58)));
    let null = reader.section(start);
    // Numbers that do not fit the header stand in the null section's.
    let count = match reader.half(reader.pick(48, 60)) {
        0 => null.size as usize,
        count => count.into(),
    };
    let names = match reader.half(reader.pick(50, 62)) {
        XINDEX => null.link as usize,
        index => index.into(),
    };
    let mut sections: Vec<Section> = (0..count)
        .map(|index| reader.section(start + index * step))
        .collect();
    let strings = sections[names].data.clone();
    for (index, section) in sections.iter_mut().enumerate() {
        section.name = string(&strings, reader.word(start + index * step) as usize);
    }
    sections
}

fn read_symbols(reader: &Reader<'_>, sections: &[Section]) -> Vec<Symbol> {
    let Some(table) = sections.iter().find(|section| section.kind == SYMTAB) else {
        return Vec::new();
    };
    let names = &sections[table.link as usize].data;
    let extended = sections.iter().find(|section| section.kind == SYMTAB_SHNDX);
    let inner = Reader {
        bytes: &table.data,
        ..*reader
    };
    let step = reader.pick(16, 24);
    let symbol = |index: usize| {
        let extended = extended.map(|section| {
            let words = Reader {
                bytes: &section.data,
                ..*reader
            };
            words.word(index * 4) as usize
        });
        inner.symbol(index * step, names, extended)
    };
    (0..table.data.len() / step).map(symbol).collect()
}
