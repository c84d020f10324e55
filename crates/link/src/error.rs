//! Everything that can go wrong in a link, with the facts a user needs to mend it.

use std::path::PathBuf;

use crate::options::ErrorLimit;

/// Why a link failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// An option of the command line that this linker does not know or cannot follow.
    #[error("{0}")]
    Usage(#[from] crate::args::UsageError),
    /// Nothing says which version of Linux it is, whose tables have forms of their own.
    #[error(
        "the kernel's version is not known: no input defines linux_banner; \
         say it with --kernel-version=MAJOR.MINOR"
    )]
    KernelVersion,
    /// A version of Linux whose tables klink does not know.
    #[error("Linux {major}.{minor} is older than 6.1, the first whose tables this linker makes")]
    OldKernel {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// The kernel's tables cannot be sorted.
    #[error("--sort-tables: {0}")]
    SortTables(#[from] klink_tables::sort::SortError),
    /// The kernel's table of its symbols cannot be made.
    #[error("kallsyms: {}{what}", symbol_prefix(symbol))]
    Kallsyms {
        /// The symbol that cannot be in it; empty if it is not about one.
        symbol: String,
        /// What is wrong.
        what: String,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// `open`, `read`, `write` …
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is neither an object nor an archive nor, without `-r`, anything else this linker reads.
    #[error("{file}: file format not recognized (not an ELF object, not an archive)")]
    UnknownFormat {
        /// The file.
        file: String,
    },
    /// A library named with `-l` is in none of the `-L` folders.
    #[error("cannot find -l{name}: looked in {} folder(s) given with -L", searched)]
    LibraryNotFound {
        /// The library's name.
        name: String,
        /// How many folders were looked at.
        searched: usize,
    },
    /// An input file is damaged.
    #[error("{file}: {what}")]
    Malformed {
        /// The file, with the member in parentheses for archives.
        file: String,
        /// What is wrong, with section names and offsets.
        what: String,
    },
    /// An object is of another architecture than the output.
    #[error("{file}: architecture {found} is incompatible with the output's, {expected}")]
    WrongArchitecture {
        /// The object.
        file: String,
        /// The object's architecture.
        found: String,
        /// The output's.
        expected: String,
    },
    /// A section of an input cannot be part of a link.
    #[error("{file}: section {section}: {what}")]
    BadSection {
        /// The object.
        file: String,
        /// The section's name.
        section: String,
        /// What is wrong.
        what: String,
    },
    /// Two objects define the same global symbol.
    #[error("{file}: multiple definition of `{symbol}'; {first}: first defined here")]
    MultipleDefinition {
        /// The symbol.
        symbol: String,
        /// Where it is defined again.
        file: String,
        /// Where it was defined first.
        first: String,
    },
    /// A relocation's value does not fit its field.
    #[error("{}", OutOfRangeMessage(.0))]
    OutOfRange(Box<OutOfRange>),
    /// A relocation cannot be followed at all.
    #[error("{file}: {section}+{offset:#x}: {what}")]
    BadRelocation {
        /// The object.
        file: String,
        /// The section that is relocated.
        section: String,
        /// Offset in that section, in bytes.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// `-z text`: a loader would have to write to what is read only.
    #[error("{}", text_relocations(places, *count))]
    TextRelocations {
        /// The first places, at most 20.
        places: Vec<String>,
        /// How many places there are.
        count: usize,
    },
    /// A linker script has an error, or a construct that is not executed yet; the text is rendered
    /// with the place in the script.
    #[error("{0}")]
    Script(String),
    /// No input file was given.
    #[error("no input files")]
    NoInput,
    /// Something was asked for that this version does not do.
    #[error("{what} is not supported yet")]
    NotYet {
        /// What was asked for.
        what: String,
    },
    /// Nothing defines a symbol that the output needs.
    #[error("{}", UndefinedMessage { symbol, references, count: *count })]
    Undefined {
        /// The symbol.
        symbol: String,
        /// The first places that need it, at most 20.
        references: Vec<UndefinedReference>,
        /// How many places need it.
        count: usize,
    },
    /// Addresses depend on each other without end.
    #[error(
        "the linker script's addresses still change after {passes} passes: they depend on each other"
    )]
    Unsettled {
        /// How often the script was executed.
        passes: u32,
    },
    /// A section does not fit into its region of memory.
    #[error("section `{section}' will not fit in region `{region}'")]
    SectionDoesNotFit {
        /// The first section that does not.
        section: String,
        /// The region.
        region: String,
    },
    /// The sections of a memory region are larger together than the region.
    #[error("region `{region}' overflowed by {over} byte{}", if *.over == 1 { "" } else { "s" })]
    RegionOverflow {
        /// The region.
        region: String,
        /// Bytes that are too many.
        over: u64,
    },
    /// PHDRS without a section that names one of them.
    #[error("no sections assigned to phdrs")]
    NoPhdrs,
    /// Nothing defines a symbol that `--require-defined` names.
    #[error("required symbol `{symbol}' not defined")]
    RequiredUndefined {
        /// The symbol.
        symbol: String,
    },
    /// `-r --gc-sections` without a symbol to begin with.
    #[error("--gc-sections requires a defined symbol root specified by -e or -u")]
    NoGcRoot,
    /// A section that the script puts at an address which is not in its region.
    #[error("address {address:#x} of section `{section}' is not within region `{region}'")]
    OutsideRegion {
        /// The section.
        section: String,
        /// The region.
        region: String,
        /// The address behind the section.
        address: u64,
    },
    /// A section in no region, where the script declares regions.
    #[error("no memory region specified for loadable section `{section}'")]
    NoRegion {
        /// The section.
        section: String,
    },
    /// Two sections at the same addresses.
    #[error("section {} overlaps section {}", .sections[0].with(kind), .sections[1].with(kind))]
    Overlap {
        /// `VMA` for the addresses that they run at, `LMA` for those that they are loaded at.
        kind: &'static str,
        /// Both, the one with the greater address first.
        sections: Box<[SectionRange; 2]>,
    },
    /// The first segment begins before the headers would end.
    #[error("not enough room for program headers; leave room with SIZEOF_HEADERS, or link with -N")]
    NoRoomForHeaders,
    /// Warnings, under `--fatal-warnings`.
    #[error("{}", .0.iter().map(|warning| format!("error (--fatal-warnings): {warning}")).collect::<Vec<_>>().join("\n"))]
    Warnings(Vec<String>),
    /// More errors than `--error-limit` shows.
    #[error("too many errors: {more} more are not shown (use --error-limit=0 to see all)")]
    TooMany {
        /// How many are not shown.
        more: usize,
    },
    /// Several errors, each worth its line.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<LinkError>),
}

impl LinkError {
    /// The same with no more errors than are to be shown, and how many more there are.
    pub(crate) fn limited(self, limit: ErrorLimit) -> Self {
        match (self, limit.0) {
            (Self::Several(mut errors), Some(most)) if errors.len() > most => {
                let more = errors.len() - most;
                errors.truncate(most);
                errors.push(Self::TooMany { more });
                Self::Several(errors)
            }
            (error, _) => error,
        }
    }

    /// One error for all of them; none is success.
    pub(crate) fn all(mut errors: Vec<Self>) -> Result<()> {
        match errors.len() {
            0 => Ok(()),
            1 => Err(errors.remove(0)),
            _ => Err(Self::Several(errors)),
        }
    }
}

/// The addresses of a section.
#[derive(Debug)]
pub struct SectionRange {
    /// The section's name.
    pub section: String,
    /// Its first address.
    pub start: u64,
    /// Its last address.
    pub last: u64,
    /// Hexadecimal digits of an address.
    pub digits: usize,
}

impl SectionRange {
    fn with(&self, kind: &str) -> String {
        let Self {
            section,
            start,
            last,
            digits,
        } = self;
        format!("{section} {kind} [{start:0digits$x},{last:0digits$x}]")
    }
}

/// How many references to an undefined symbol are told.
pub(crate) const MAX_REFERENCES: usize = 20;

/// A place that needs a symbol which nothing defines.
#[derive(Debug)]
pub struct UndefinedReference {
    /// The object.
    pub file: String,
    /// The section.
    pub section: String,
    /// Offset in the section, in bytes.
    pub offset: u64,
    /// The function that the place is in.
    pub function: Option<String>,
}

fn text_relocations(places: &[String], count: usize) -> String {
    let mut text = "read-only segment has dynamic relocations".to_owned();
    for place in places {
        text = format!("{text}\n{place}");
    }
    match count.saturating_sub(places.len()) {
        0 => text,
        more => format!("{text}\n{more} more places"),
    }
}

/// One line for each reference, in GNU ld's words.
struct UndefinedMessage<'a> {
    symbol: &'a str,
    references: &'a [UndefinedReference],
    count: usize,
}

impl std::fmt::Display for UndefinedMessage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (number, reference) in self.references.iter().enumerate() {
            let UndefinedReference {
                file,
                section,
                offset,
                function,
            } = reference;
            if number > 0 {
                writeln!(f)?;
            }
            write!(
                f,
                "{file}:({section}+{offset:#x}): undefined reference to `{}'",
                self.symbol
            )?;
            if let Some(function) = function {
                write!(f, " in function `{function}'")?;
            }
        }
        match self.count - self.references.len() {
            0 => Ok(()),
            more => write!(f, "\n{more} more references to `{}'", self.symbol),
        }
    }
}

/// The facts of a relocation whose value does not fit.
#[derive(Debug)]
pub struct OutOfRange {
    /// The output file.
    pub file: String,
    /// The symbol that the relocation names.
    pub symbol: String,
    /// The value that did not fit, as the kernel prints it.
    pub value: i64,
    /// Width of the field in bits.
    pub bits: u32,
    /// The section that is relocated.
    pub section: String,
    /// Offset in that section of the output, in bytes.
    pub offset: u64,
    /// Distance to the nearest island in bytes, where there is one.
    pub nearest_island: Option<u64>,
    /// What the user can do.
    pub remedy: &'static str,
}

/// The words that kernel people grep for, and what to do.
struct OutOfRangeMessage<'a>(&'a OutOfRange);

impl std::fmt::Display for OutOfRangeMessage<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let OutOfRange {
            file,
            symbol,
            value,
            bits,
            section,
            offset,
            nearest_island,
            remedy,
        } = self.0;
        write!(
            f,
            "{file}: relocation of symbol {symbol} is out of range ({value:#x} in {bits} bits) \
             at {section}+{offset:#x}"
        )?;
        if let Some(distance) = nearest_island {
            write!(f, "; nearest island {distance} bytes away")?;
        }
        write!(f, "; {remedy}")
    }
}

/// What a fallible step of the link returns.
pub type Result<T, E = LinkError> = std::result::Result<T, E>;
/// What stands in front of an error about a symbol.
fn symbol_prefix(symbol: &str) -> String {
    match symbol {
        "" => String::new(),
        _ => format!("symbol {symbol}: "),
    }
}
