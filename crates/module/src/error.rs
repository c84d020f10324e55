//! Everything that can go wrong with a module, with the facts, in the words that kernel people search
//! for, and with the number that Linux would return.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use klink_arch::RelocError;

use crate::id::SymbolId;

/// `ENOENT`.
pub(crate) const ENOENT: i32 = 2;
/// `ENOEXEC`.
pub(crate) const ENOEXEC: i32 = 8;
/// `ENOSPC`.
pub(crate) const ENOSPC: i32 = 28;
/// `EROFS`.
pub(crate) const EROFS: i32 = 30;
/// `ENOSYS`.
pub(crate) const ENOSYS: i32 = 38;
/// `ERANGE`.
pub(crate) const ERANGE: i32 = 34;
/// `EWOULDBLOCK`.
pub(crate) const EWOULDBLOCK: i32 = 11;
/// `EBUSY`.
pub(crate) const EBUSY: i32 = 16;
/// `EEXIST`.
pub(crate) const EEXIST: i32 = 17;
/// `ENOMEM`.
pub(crate) const ENOMEM: i32 = 12;
/// `EINVAL`.
pub(crate) const EINVAL: i32 = 22;

/// A section in a message: its name, and its number, since names are not unique.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SectionName {
    /// The index of its header.
    pub index: u32,
    /// Its name.
    pub name: Box<str>,
}

impl fmt::Display for SectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (section {})", self.name, self.index)
    }
}

/// Why a module could not be loaded.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// It does not begin as an ELF file does.
    #[error("Invalid ELF header magic: this is no ELF file")]
    NotElf,
    /// It is another kind of ELF file.
    #[error("Invalid ELF header type: {kind} != 1: a module is a relocatable file")]
    NotRelocatable {
        /// `e_type`.
        kind: u16,
    },
    /// klink does not know the architecture.
    #[error("Invalid architecture in ELF header: {machine}")]
    Machine {
        /// `e_machine`.
        machine: u16,
    },
    /// The headers contradict each other or the file's size.
    #[error("Invalid ELF file: {0}")]
    Header(
        /// What is wrong.
        &'static str,
    ),
    /// The header of a section contradicts others or the file's size.
    #[error("Invalid ELF section {section}: {problem}")]
    Section {
        /// The section.
        section: SectionName,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no symbol table.
    #[error("module has no symbols (stripped?)")]
    NoSymbols,
    /// It is not a module of Linux.
    #[error("No module found in object: it has no .gnu.linkonce.this_module")]
    NoThisModule,
    /// It was built for another kernel.
    #[error("version magic '{found}' should be '{should}'")]
    Vermagic {
        /// The module's.
        found: String,
        /// The kernel's.
        should: String,
    },
    /// A section is both writable and code.
    #[error("section {section} has invalid WRITE|EXEC flags")]
    WritableCode {
        /// The section.
        section: SectionName,
    },
    /// The module lacks the section that this architecture's loader makes its stubs in; it was not
    /// linked with the kernel's `module.lds`.
    #[error(
        "module PLT section(s) missing: doesn't contain {name}; was it linked with module.lds?"
    )]
    NoStubSection {
        /// The name of the section.
        name: &'static str,
    },
    /// The sizes of sections add up to more than an address can hold.
    #[error("the module's sections are larger than all memory")]
    TooLarge,
    /// Memory is not what the plan asked for.
    #[error("block {block} of the plan: {problem}")]
    Placement {
        /// The block's index.
        block: usize,
        /// What is wrong with its memory.
        problem: &'static str,
    },
    /// A symbol has a name outside the string table, or too long a one.
    #[error("symbol {} has no name that can be read", symbol.index())]
    SymbolName {
        /// The symbol.
        symbol: SymbolId,
    },
    /// A symbol names a section that does not exist.
    #[error("Symbol {symbol} has an invalid section index {section}")]
    SymbolSection {
        /// Its name.
        symbol: String,
        /// `st_shndx`.
        section: u16,
    },
    /// A symbol without a place.
    #[error("symbol {symbol} is common: please compile with -fno-common")]
    CommonSymbol {
        /// Its name.
        symbol: String,
    },
    /// Symbols that nothing exports, or not to this module. All of them.
    #[error("{}", Lines(.0))]
    Unresolved(
        /// Never empty.
        Vec<Unresolved>,
    ),
    /// A relocation names a symbol that does not exist.
    #[error("relocation at {section}+{offset:#x} names symbol {symbol}, which does not exist")]
    NoSymbol {
        /// The relocated section.
        section: SectionName,
        /// The place in it.
        offset: u64,
        /// The index of the symbol.
        symbol: u32,
    },
    /// A relocation type that the psABI does not have.
    #[error("Unknown relocation: {number} at {section}+{offset:#x}")]
    UnknownRelocation {
        /// The relocated section.
        section: SectionName,
        /// The place in it.
        offset: u64,
        /// The type.
        number: u32,
    },
    /// A relocation that cannot be applied.
    #[error(
        "relocation of symbol {symbol} is {error} at {section}+{offset:#x} ({kind}){}",
        Distance("; nearest island ", *.nearest_island)
    )]
    Relocation {
        /// The name of the symbol.
        symbol: String,
        /// The relocated section.
        section: SectionName,
        /// The place in it.
        offset: u64,
        /// The psABI's name of the relocation.
        kind: &'static str,
        /// Why.
        error: RelocError,
        /// If it is a branch out of reach: bytes from it to where the plan has stubs for it.
        nearest_island: Option<i64>,
    },
    /// A relocated field is not zero, though the addend is in the relocation.
    #[error(
        "Skipping invalid relocation target, existing value is nonzero for {kind} of symbol {symbol} at {section}+{offset:#x}"
    )]
    NonzeroField {
        /// The name of the symbol.
        symbol: String,
        /// The relocated section.
        section: SectionName,
        /// The place in it.
        offset: u64,
        /// The psABI's name of the relocation.
        kind: &'static str,
    },
    /// Something in memory refers to a section that is not loaded.
    #[error("{section}+{offset:#x} refers to symbol {symbol} in a section that is not loaded")]
    NotLoaded {
        /// The name of the symbol.
        symbol: String,
        /// The relocated section.
        section: SectionName,
        /// The place in it.
        offset: u64,
    },
    /// A call through a stub is not followed by the instruction that the loader replaces.
    #[error("Expected nop after call of {symbol} at {section}+{offset:#x}")]
    NoRestore {
        /// The name of the symbol.
        symbol: String,
        /// The relocated section.
        section: SectionName,
        /// The place of the call in it.
        offset: u64,
    },
    /// Branches reach neither their targets nor any place where an island may stand.
    #[error(
        "{count} branches are out of range; first at {section}+{offset:#x}{}{}",
        Distance(", target ", *.distance), Distance(", nearest island ", *.nearest_island)
    )]
    OutOfReach {
        /// How many.
        count: usize,
        /// The section of the first.
        section: SectionName,
        /// The place in it.
        offset: u64,
        /// Bytes from there to its target, if that is known.
        distance: Option<i64>,
        /// Bytes from there to the nearest place for an island, if there is one that it may use.
        nearest_island: Option<i64>,
    },
    /// The question of islands could not be asked.
    #[error("islands: {0}")]
    Islands(
        /// Why.
        String,
    ),
    /// A stub cannot be made.
    #[error("a stub ({name}) for {target:#x} is {error}")]
    Stub {
        /// What klink calls it.
        name: &'static str,
        /// Where it should go.
        target: u64,
        /// Why.
        error: RelocError,
    },
    /// More stubs, slots or descriptors are needed than the plan has counted.
    #[error("there is no room for more {0}")]
    NoRoom(
        /// Of what.
        &'static str,
    ),
    /// A module of that name is loaded.
    #[error("module {name} is loaded already: File exists")]
    Exists {
        /// The name.
        name: String,
    },
    /// A module is just being loaded or unloaded.
    #[error("module {name} is being loaded or unloaded: Device or resource busy")]
    Busy {
        /// Its name.
        name: String,
    },
    /// Something else exports a symbol of this name.
    #[error("exports duplicate symbol {symbol} (owned by {owner})")]
    DuplicateExport {
        /// The symbol.
        symbol: String,
        /// The module that exports it, or `kernel`.
        owner: String,
    },
    /// A parameter could not be set.
    #[error("`{value}' {} for parameter `{name}' (err {result})", match *.result {
        -28 => "too large",
        _ => "invalid",
    })]
    Parameter {
        /// Its name.
        name: String,
        /// What it was to be set to.
        value: String,
        /// A negative error number.
        result: i32,
    },
    /// The module's init function failed.
    #[error("init of module {name} returned {result}")]
    Init {
        /// The module.
        name: String,
        /// What it returned: a negative error number.
        result: i32,
    },
    /// Something uses the module.
    #[error("Module {name} is in use{}", Users(.holders, *.held))]
    InUse {
        /// The module.
        name: String,
        /// The modules that use its symbols.
        holders: Vec<String>,
        /// How often it is held otherwise.
        held: u32,
    },
    /// The module has an init function but none to undo what that did.
    #[error("Module {name} cannot be unloaded: it has no exit function")]
    NoExit {
        /// The module.
        name: String,
    },
    /// The kernel's symbol that the global pointer is at is not known.
    #[error("Unknown symbol {symbol}: the kernel's global pointer is needed")]
    NoGlobalPointer {
        /// Its name.
        symbol: &'static str,
    },
}

impl Error {
    /// What Linux's `init_module` or `delete_module` would return: negative.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Unresolved(all) => all.last().map_or(-ENOENT, |last| last.why.errno()),
            Self::NoGlobalPointer { .. } => -ENOENT,
            Self::TooLarge | Self::Placement { .. } => -ENOMEM,
            Self::Exists { .. } => -EEXIST,
            Self::Busy { .. } | Self::NoExit { .. } => -EBUSY,
            Self::InUse { .. } => -EWOULDBLOCK,
            Self::Init { result, .. } | Self::Parameter { result, .. } => *result,
            _ => -ENOEXEC,
        }
    }
}

/// A symbol that could not be resolved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unresolved {
    /// Its name.
    pub symbol: String,
    /// Why.
    pub why: Why,
}

/// Why a symbol could not be resolved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Why {
    /// Nothing exports it.
    Unknown,
    /// It is exported to modules with a GPL-compatible licence only.
    GplOnly,
    /// The module uses GPL-only symbols and this one is of a proprietary module.
    Proprietary,
    /// The module was built for one with another CRC.
    Version {
        /// The CRC that the module wants.
        wanted: u32,
        /// The CRC that there is.
        found: u32,
    },
    /// The module has no CRC for it, though the exporter has.
    NoVersion,
    /// It is in a namespace that the module does not import.
    Namespace(
        /// The namespace.
        String,
    ),
}

impl Why {
    /// What Linux prints as `err`.
    #[must_use]
    pub const fn errno(&self) -> i32 {
        match self {
            Self::Unknown | Self::GplOnly | Self::Proprietary => -ENOENT,
            Self::Version { .. } | Self::NoVersion | Self::Namespace(_) => -EINVAL,
        }
    }
}

impl fmt::Display for Unresolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let symbol = &self.symbol;
        match &self.why {
            Why::Unknown => {}
            Why::GplOnly => write!(
                f,
                "symbol {symbol} is exported to GPL-compatible modules only; "
            )?,
            Why::Proprietary => write!(
                f,
                "module using GPL-only symbols uses symbols {symbol} from a proprietary module; "
            )?,
            Why::Version { wanted, found } => write!(
                f,
                "disagrees about version of symbol {symbol} (built for {wanted:#010x}, there is {found:#010x}); "
            )?,
            Why::NoVersion => write!(f, "no symbol version for {symbol}; ")?,
            Why::Namespace(namespace) => write!(
                f,
                "module uses symbol ({symbol}) from namespace {namespace}, but does not import it; "
            )?,
        }
        write!(f, "Unknown symbol {symbol} (err {})", self.why.errno())
    }
}

/// One on each line.
struct Lines<'a>(&'a [Unresolved]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, unresolved) in self.0.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            unresolved.fmt(f)?;
        }
        Ok(())
    }
}

/// A distance, if there is one.
struct Distance(&'static str, Option<i64>);

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(bytes) => write!(f, "{}{} bytes away", self.0, bytes.unsigned_abs()),
            None => Ok(()),
        }
    }
}

/// Who uses a module.
struct Users<'a>(&'a [String], u32);

impl fmt::Display for Users<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(holders, held) = *self;
        for (nth, holder) in holders.iter().enumerate() {
            write!(f, "{} {holder}", if nth == 0 { " by:" } else { "" })?;
        }
        match held {
            0 => Ok(()),
            _ => write!(f, " ({held} times by others than modules)"),
        }
    }
}
