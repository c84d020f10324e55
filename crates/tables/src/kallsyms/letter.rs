//! The letter of a symbol.

/// What an ELF file says of a section, as far as the letter of symbols in it depends on it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SectionClass<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Whether it has `SHF_EXECINSTR`.
    pub code: bool,
    /// Whether it has `SHF_WRITE`.
    pub writable: bool,
    /// Whether it has `SHF_ALLOC`.
    pub allocated: bool,
    /// Whether it takes no space in the file: `SHT_NOBITS`.
    pub no_bits: bool,
}

impl SectionClass<'_> {
    /// The letter of local symbols in the section (`bfd_decode_symclass` and
    /// `decode_section_type`, binutils 2.40 `bfd/syms.c`), but for small data (`g`, `s`), which some
    /// architectures have.
    #[must_use]
    pub fn letter(&self) -> u8 {
        match of_special_section(self.name) {
            Some(letter) => letter,
            None if self.code => b't',
            None if self.no_bits => b'b',
            None if self.allocated && self.writable => b'd',
            None if self.allocated => b'r',
            None if is_debugging(self.name) => b'N',
            None if !self.writable => b'n',
            None => b'?',
        }
    }
}

/// What an ELF symbol table says of a symbol, as far as its letter depends on it. Section symbols
/// and file names have none: `nm` does not list them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SymbolClass {
    /// Where it is.
    pub place: SymbolPlace,
    /// `STB_WEAK`
    pub weak: bool,
    /// `STB_LOCAL`
    pub local: bool,
    /// `STB_GNU_UNIQUE`
    pub unique: bool,
    /// `STT_OBJECT`
    pub object: bool,
    /// `STT_GNU_IFUNC`
    pub indirect_function: bool,
}

/// Where a symbol is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SymbolPlace {
    /// `SHN_UNDEF`
    Undefined,
    /// `SHN_COMMON`
    Common,
    /// `SHN_ABS`
    Absolute,
    /// In a section with this [letter](SectionClass::letter).
    Section(u8),
}

/// The letter that `nm` prints for a symbol (`bfd_decode_symclass`).
///
/// ```
/// use klink_tables::kallsyms::{SectionClass, SymbolClass, SymbolPlace, letter};
/// let text = SectionClass {
///     name: b".text", code: true, writable: false, allocated: true, no_bits: false,
/// };
/// let symbol = SymbolClass {
///     place: SymbolPlace::Section(text.letter()), weak: false, local: false, unique: false,
///     object: false, indirect_function: false,
/// };
/// assert_eq!(letter(&symbol), b'T');
/// assert_eq!(letter(&SymbolClass { local: true, ..symbol }), b't');
/// ```
#[must_use]
pub fn letter(symbol: &SymbolClass) -> u8 {
    let lower = match symbol.place {
        SymbolPlace::Common => return b'C',
        SymbolPlace::Undefined if !symbol.weak => return b'U',
        SymbolPlace::Undefined if symbol.object => return b'v',
        SymbolPlace::Undefined => return b'w',
        _ if symbol.indirect_function => return b'i',
        _ if symbol.weak && symbol.object => return b'V',
        _ if symbol.weak => return b'W',
        _ if symbol.unique => return b'u',
        SymbolPlace::Absolute => b'a',
        SymbolPlace::Section(letter) => letter,
    };
    if symbol.local {
        lower
    } else {
        lower.to_ascii_uppercase()
    }
}

/// `coff_section_type`: sections that are something else in COFF, in whatever format.
fn of_special_section(name: &[u8]) -> Option<u8> {
    let special: [(&[u8], u8); 4] = [
        (b".drectve", b'i'),
        (b".edata", b'e'),
        (b".idata", b'i'),
        (b".pdata", b'p'),
    ];
    let is = |begin: &[u8]| {
        let rest = name.strip_prefix(begin);
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'.' | b'$' | b'0'..=b'9')))
    };
    let found = special.into_iter().find(|(begin, _)| is(begin));
    found.map(|(_, letter)| letter)
}

/// `_bfd_elf_make_section_from_shdr`, binutils 2.40 `bfd/elf.c`: of sections that are not loaded.
fn is_debugging(name: &[u8]) -> bool {
    let begins: [&[u8]; 8] = [
        b".debug",
        b".gnu.debuglto_.debug_",
        b".gnu.linkonce.wi.",
        b".zdebug",
        b".line",
        b".stab",
        b".gdb_index",
        b".note.gnu",
    ];
    begins.iter().any(|begin| name.starts_with(begin))
}
