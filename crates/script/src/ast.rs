//! The syntax tree of a script.
//!
//! It says what the script says and no more: nothing is looked up, folded or
//! checked against a link. Names and numbers of GNU ld's grammar
//! (ld/ldgram.y of binutils 2.40) are given where they differ from the
//! manual's.

use crate::expr::Expr;
use crate::pattern::Pattern;
use crate::source::{Name, Span, Spanned};
use crate::version::VersionScript;

/// A whole linker script.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    /// Its commands, in order.
    pub commands: Vec<Spanned<Command>>,
}

/// A command at the outermost level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// `SECTIONS { … }`.
    Sections(Vec<Spanned<SectionItem>>),
    /// `MEMORY { … }`.
    Memory(Vec<Spanned<MemoryItem>>),
    /// `PHDRS { … }`.
    Phdrs(Vec<Spanned<Phdr>>),
    /// `ENTRY(symbol)`.
    Entry(Name),
    /// An assignment outside `SECTIONS`.
    Assign(Assignment),
    /// `ASSERT(condition, message)`.
    Assert(Assertion),
    /// `EXTERN(symbol …)`: symbols to be undefined, as with `-u`.
    Extern(Vec<Name>),
    /// `VERSION { … }`.
    Version(VersionScript),
    /// `INCLUDE file`, to be read with [`crate::parse`].
    Include(Name),
    /// `INPUT(file …)`.
    Input(Vec<InputItem>),
    /// `GROUP(file …)`: searched repeatedly until nothing new is found.
    Group(Vec<InputItem>),
    /// `STARTUP(file)`: the first file of the link.
    Startup(Name),
    /// `SEARCH_DIR(path)`, as `-L`.
    SearchDir(Name),
    /// `OUTPUT(file)`, as `-o`.
    Output(Name),
    /// `OUTPUT_FORMAT(default)` or `OUTPUT_FORMAT(default, big, little)`.
    OutputFormat {
        /// The BFD name used without `-EB` and `-EL`.
        default: Name,
        /// The names for `-EB` and for `-EL`.
        by_order: Option<(Name, Name)>,
    },
    /// `OUTPUT_ARCH(architecture)`.
    OutputArch(Name),
    /// `TARGET(format)`: the format of the input files that follow.
    Target(Name),
    /// `REGION_ALIAS(alias, region)`.
    RegionAlias {
        /// The new name.
        alias: Name,
        /// The region it stands for.
        region: Name,
    },
    /// `NOCROSSREFS(section …)`.
    NoCrossRefs(Vec<Name>),
    /// `NOCROSSREFS_TO(target section …)`: only references to the first
    /// section are errors.
    NoCrossRefsTo(Vec<Name>),
    /// `FORCE_COMMON_ALLOCATION`, as `-d`.
    ForceCommonAllocation,
    /// `INHIBIT_COMMON_ALLOCATION`.
    InhibitCommonAllocation,
    /// `FORCE_GROUP_ALLOCATION`: section groups are dissolved even with `-r`.
    ForceGroupAllocation,
    /// `INSERT AFTER section` or `INSERT BEFORE section`: the script so far
    /// adds to the default script.
    Insert {
        /// Before or after it.
        place: InsertPlace,
        /// The output section of the default script.
        section: Name,
    },
    /// `LD_FEATURE(name)`.
    LdFeature(Name),
    /// `MAP(file)`.
    Map(Name),
    /// `HLL(file …)`, of old high-level-library scripts.
    Hll(Vec<Name>),
    /// `SYSLIB(file …)`.
    Syslib(Vec<Name>),
    /// `FLOAT`.
    Float,
    /// `NOFLOAT`.
    NoFloat,
}

/// Where `INSERT` puts the sections of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertPlace {
    /// After the named section.
    After,
    /// Before the named section.
    Before,
}

/// A file of `INPUT` or `GROUP`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputItem {
    /// A file; a leading `=` asks for the sysroot.
    File(Name),
    /// `-lname`, without the `-l`.
    Library(Name),
    /// `AS_NEEDED(file …)`.
    AsNeeded(Vec<InputItem>),
}

/// A part of `SECTIONS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionItem {
    /// An output section.
    Output(Box<OutputSection>),
    /// `OVERLAY : { … }`.
    Overlay(Box<Overlay>),
    /// `GROUP address : { … }` inside `SECTIONS`: sections that lie together
    /// (svr3 scripts).
    Group(SectionGroup),
    /// An assignment, often to `.`.
    Assign(Assignment),
    /// `ASSERT(condition, message)`.
    Assert(Assertion),
    /// `ENTRY(symbol)`.
    Entry(Name),
    /// `INCLUDE file`, to be read with [`crate::parse_section_items`].
    Include(Name),
}

/// `name address (type) : AT(…) ALIGN(…) … { … } >region AT>region :phdr =fill`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSection {
    /// Its name; `/DISCARD/` is special.
    pub name: Name,
    /// The address before the colon.
    pub address: Option<Expr>,
    /// The type in parentheses.
    pub section_type: Option<Spanned<SectionType>>,
    /// `AT(address)`: the load address.
    pub load_address: Option<Expr>,
    /// `ALIGN(bytes)`.
    pub align: Option<Expr>,
    /// `ALIGN_WITH_INPUT`: load address and address keep their distance.
    pub align_with_input: bool,
    /// `SUBALIGN(bytes)`: the alignment of each input section.
    pub subalign: Option<Expr>,
    /// `ONLY_IF_RO`, `ONLY_IF_RW`, `SPECIAL`.
    pub constraint: Option<Spanned<Constraint>>,
    /// What is between the braces.
    pub statements: Vec<Spanned<Statement>>,
    /// What follows the closing brace.
    pub placement: Placement,
    /// What it is of an OVERLAY. The parser leaves that to who takes overlays apart.
    pub overlay: Option<OverlayPart>,
}

/// What makes a section of an OVERLAY different from others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OverlayPart {
    /// Whether it is the first, where the others are loaded behind.
    pub is_first: bool,
    /// For the last: where the location counter goes, the end of the largest.
    pub end: Option<Expr>,
}

impl OutputSection {
    /// Whether the section's name is `/DISCARD/`: what it takes is dropped.
    pub fn is_discard(&self) -> bool {
        self.name.value == "/DISCARD/"
    }
}

/// What follows the braces of an output section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// `>region`.
    pub region: Option<Name>,
    /// `AT>region`: the region of the load address.
    pub load_region: Option<Name>,
    /// `:phdr …`: the segments; `NONE` is special.
    pub phdrs: Vec<Name>,
    /// `=fill`; see [`crate::eval::fill`].
    pub fill: Option<Expr>,
}

/// The type of an output section, in parentheses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionType {
    /// `(NOLOAD)`.
    NoLoad,
    /// `(DSECT)`, not allocated.
    Dsect,
    /// `(COPY)`, not allocated.
    Copy,
    /// `(INFO)`, not allocated.
    Info,
    /// `(OVERLAY)`, not allocated.
    Overlay,
    /// `(READONLY)`.
    ReadOnly,
    /// `(TYPE = type)`, and `(READONLY (TYPE = type))`.
    Typed {
        /// An ELF section type; a name is one of [`section_type_number`].
        sh_type: Expr,
        /// With `READONLY`.
        read_only: bool,
    },
}

/// The number of an ELF section type that `TYPE =` may name: those of
/// `lang_output_section_statement` handling in ld/ldlang.c (gABI, chapter 4).
pub fn section_type_number(name: &str) -> Option<u32> {
    Some(match name {
        "SHT_PROGBITS" => 1,
        "SHT_STRTAB" => 3,
        "SHT_NOTE" => 7,
        "SHT_NOBITS" => 8,
        "SHT_INIT_ARRAY" => 14,
        "SHT_FINI_ARRAY" => 15,
        "SHT_PREINIT_ARRAY" => 16,
        _ => return None,
    })
}

/// When an output section's statements count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Constraint {
    /// Only if all its input sections are read-only.
    OnlyIfReadOnly,
    /// Only if one of them is writable.
    OnlyIfReadWrite,
    /// `SPECIAL`, left to the target.
    Special,
}

/// `OVERLAY address : NOCROSSREFS AT(…) SUBALIGN(…) { … } …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// The address that the sections share.
    pub address: Option<Expr>,
    /// `NOCROSSREFS`.
    pub no_cross_refs: bool,
    /// `AT(address)`: the load address of the first.
    pub load_address: Option<Expr>,
    /// `SUBALIGN(bytes)`.
    pub subalign: Option<Expr>,
    /// The sections.
    pub sections: Vec<Spanned<OverlaySection>>,
    /// What follows the closing brace.
    pub placement: Placement,
}

/// A section of an overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverlaySection {
    /// Its name.
    pub name: Name,
    /// What is between the braces.
    pub statements: Vec<Spanned<Statement>>,
    /// `:phdr …`.
    pub phdrs: Vec<Name>,
    /// `=fill`.
    pub fill: Option<Expr>,
}

/// `GROUP address (type) : { … }` inside `SECTIONS`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionGroup {
    /// The address, which GNU ld assigns to `.`.
    pub address: Option<Expr>,
    /// The type in parentheses.
    pub section_type: Option<Spanned<SectionType>>,
    /// The sections.
    pub items: Vec<Spanned<SectionItem>>,
}

/// A statement between the braces of an output section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// Input sections to take.
    Input(Box<InputSpec>),
    /// An assignment, often to `.`.
    Assign(Assignment),
    /// `ASSERT(condition, message)`.
    Assert(Assertion),
    /// `BYTE(value)` … `SQUAD(value)`.
    Data {
        /// How many bytes.
        size: DataSize,
        /// Their value.
        value: Expr,
    },
    /// `FILL(value)`; see [`crate::eval::fill`].
    Fill(Expr),
    /// `CONSTRUCTORS`, or `SORT(CONSTRUCTORS)`.
    Constructors {
        /// With `SORT`.
        sorted: bool,
    },
    /// `CREATE_OBJECT_SYMBOLS`.
    CreateObjectSymbols,
    /// `INCLUDE file`, to be read with [`crate::parse_statements`].
    Include(Name),
}

/// The size of a data statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataSize {
    /// `BYTE`: 1.
    Byte,
    /// `SHORT`: 2.
    Short,
    /// `LONG`: 4.
    Long,
    /// `QUAD`: 8.
    Quad,
    /// `SQUAD`: 8, sign-extended where addresses have 32 bits.
    Squad,
}

impl DataSize {
    /// Bytes of the datum.
    pub fn bytes(self) -> u64 {
        match self {
            DataSize::Byte => 1,
            DataSize::Short => 2,
            DataSize::Long => 4,
            DataSize::Quad | DataSize::Squad => 8,
        }
    }
}

/// `KEEP(INPUT_SECTION_FLAGS(…) file(section …))`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSpec {
    /// With `KEEP`: garbage collection leaves these sections.
    pub keep: bool,
    /// `INPUT_SECTION_FLAGS(…)`; empty without it.
    pub flags: Vec<SectionFlag>,
    /// Which files.
    pub file: FileSpec,
    /// Which of their sections; `None` stands for all that no other
    /// statement takes (`file` alone).
    pub sections: Option<Vec<SectionSpec>>,
}

/// A flag that `INPUT_SECTION_FLAGS` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionFlag {
    /// The name of the flag, as `SHF_ALLOC`.
    pub name: Name,
    /// `!name`: the flag must be absent.
    pub without: bool,
}

/// The files of an input statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    /// Which files.
    pub pattern: Spanned<FilePattern>,
    /// `EXCLUDE_FILE(…)` before the file pattern: not these.
    pub exclude: Vec<Spanned<FilePattern>>,
    /// `SORT` or `SORT_NONE` around the file pattern.
    pub sort: Option<FileSort>,
}

/// The order of the files of an input statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSort {
    /// `SORT_BY_NAME`, `SORT`.
    Name,
    /// `SORT_NONE`.
    None,
}

/// A file, or a member of an archive, with wildcards.
///
/// GNU ld splits at the first colon: `archive:member`, `archive:` for every
/// member, `:file` for a file that is in no archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FilePattern {
    /// No colon: the name of a file, or of a member without its archive's.
    File(Pattern),
    /// A colon: the archive (`None`: in no archive) and the member (`None`:
    /// any).
    Member {
        /// The pattern before the colon.
        archive: Option<Pattern>,
        /// The pattern after it.
        member: Option<Pattern>,
    },
}

impl FilePattern {
    /// Compiles a file pattern.
    pub fn new(text: &str) -> FilePattern {
        let part = |text: &str| (!text.is_empty()).then(|| Pattern::new(text));
        match text.split_once(':') {
            None => FilePattern::File(Pattern::new(text)),
            Some((archive, member)) => FilePattern::Member {
                archive: part(archive),
                member: part(member),
            },
        }
    }

    /// Whether the pattern takes every file.
    pub fn takes_all(&self) -> bool {
        matches!(self, FilePattern::File(pattern) if pattern.as_str() == "*")
    }

    /// Whether the pattern takes a file: a member (`archive` is its archive's
    /// name) or a file of its own (`None`). Names are compared as given: pass
    /// them as the command line and the archive spell them.
    pub fn matches(&self, archive: Option<&[u8]>, file: &[u8]) -> bool {
        match self {
            FilePattern::File(pattern) => pattern.matches(file),
            FilePattern::Member {
                archive: wanted,
                member,
            } => {
                member.as_ref().is_none_or(|member| member.matches(file))
                    && match (wanted, archive) {
                        (None, None) => true,
                        (Some(wanted), Some(archive)) => wanted.matches(archive),
                        _ => false,
                    }
            }
        }
    }

    /// Whether the pattern, inside `EXCLUDE_FILE`, excludes a file. There a
    /// pattern without a colon also stands for whole archives.
    pub fn excludes(&self, archive: Option<&[u8]>, file: &[u8]) -> bool {
        self.matches(archive, file)
            || match (self, archive) {
                (FilePattern::File(pattern), Some(archive)) => pattern.matches(archive),
                _ => false,
            }
    }

    /// Whether every file matches.
    pub fn is_any(&self) -> bool {
        matches!(self, FilePattern::File(pattern) if pattern.is_any())
    }

    /// The pattern as the script spells it.
    pub fn text(&self) -> String {
        let part = |pattern: &Option<Pattern>| {
            pattern
                .as_ref()
                .map_or("", |pattern| pattern.as_str())
                .to_owned()
        };
        match self {
            FilePattern::File(pattern) => pattern.as_str().to_owned(),
            FilePattern::Member { archive, member } => part(archive) + ":" + &part(member),
        }
    }
}

/// The sections that one pattern of an input statement takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionSpec {
    /// The name of the section; `COMMON` stands for common symbols.
    pub pattern: Spanned<Pattern>,
    /// `EXCLUDE_FILE(…)` before the section pattern: not from these files.
    pub exclude: Vec<Spanned<FilePattern>>,
    /// Their order.
    pub sort: SectionSort,
}

/// The order of the sections that one pattern takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SectionSort {
    /// As found (`--sort-section` may say otherwise).
    #[default]
    Unspecified,
    /// `SORT_NONE`: as found, whatever `--sort-section` says.
    None,
    /// `SORT_BY_NAME`, `SORT`.
    Name,
    /// `SORT_BY_ALIGNMENT`: greatest first.
    Alignment,
    /// `SORT_BY_NAME(SORT_BY_ALIGNMENT(…))`.
    NameThenAlignment,
    /// `SORT_BY_ALIGNMENT(SORT_BY_NAME(…))`.
    AlignmentThenName,
    /// `SORT_BY_INIT_PRIORITY`.
    InitPriority,
}

/// `symbol op= value`, `HIDDEN(…)`, `PROVIDE(…)`, `PROVIDE_HIDDEN(…)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The symbol; `.` is the location counter.
    pub target: Name,
    /// The operator.
    pub op: AssignOp,
    /// The right side.
    pub value: Expr,
    /// What surrounds the assignment.
    pub kind: AssignKind,
}

/// An assignment operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignOp {
    /// `=`
    Set,
    /// `+=`
    Add,
    /// `-=`
    Sub,
    /// `*=`
    Mul,
    /// `/=`
    Div,
    /// `<<=`
    Shl,
    /// `>>=`
    Shr,
    /// `&=`
    And,
    /// `|=`
    Or,
    /// `^=` (not in GNU ld 2.40; newer ones have it)
    Xor,
}

/// What surrounds an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssignKind {
    /// Nothing.
    Plain,
    /// `HIDDEN(…)`: the symbol is not exported.
    Hidden,
    /// `PROVIDE(…)`: only if it is referenced and nothing else defines it.
    Provide,
    /// `PROVIDE_HIDDEN(…)`: both.
    ProvideHidden,
}

/// `ASSERT(condition, message)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assertion {
    /// Must not be zero.
    pub condition: Expr,
    /// The words for when it is.
    pub message: Name,
}

/// A part of `MEMORY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemoryItem {
    /// A region.
    Region(MemoryRegion),
    /// `INCLUDE file`, to be read with [`crate::parse_memory_items`].
    Include(Name),
}

/// `name (attributes) : ORIGIN = address, LENGTH = bytes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryRegion {
    /// Its name.
    pub name: Name,
    /// Which sections without a region go here, in the order written.
    pub attributes: Vec<RegionAttribute>,
    /// The first address.
    pub origin: Expr,
    /// Bytes.
    pub length: Expr,
}

/// A letter of a region's attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegionAttribute {
    /// What the section is.
    pub flag: RegionFlag,
    /// After a `!`: what it is not.
    pub without: bool,
}

/// What a region's attribute says about sections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RegionFlag {
    /// `A`: allocated.
    Alloc,
    /// `R`: read-only.
    ReadOnly,
    /// `W`: data that is written.
    ReadWrite,
    /// `X`: code.
    Executable,
    /// `I` or `L`: loaded.
    Initialized,
}

/// `name type FILEHDR PHDRS AT(address) FLAGS(flags);`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phdr {
    /// Its name, for `:name`.
    pub name: Name,
    /// The segment's type.
    pub segment_type: SegmentType,
    /// `FILEHDR`: the segment starts with the ELF header.
    pub file_header: bool,
    /// `PHDRS`: the segment contains the program headers.
    pub program_headers: bool,
    /// `AT(address)`: `p_paddr`.
    pub load_address: Option<Expr>,
    /// `FLAGS(flags)`: `p_flags`.
    pub flags: Option<Expr>,
}

/// The type of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SegmentType {
    /// One of the `PT_` names.
    Named {
        /// `p_type`.
        number: u32,
        /// Where it is written.
        span: Span,
    },
    /// An expression.
    Value(Expr),
}

/// The segment types that `PHDRS` knows by name, with their numbers (gABI,
/// chapter 5; the GNU ones from include/elf/common.h).
pub const SEGMENT_TYPES: &[(&str, u32)] = &[
    ("PT_NULL", 0),
    ("PT_LOAD", 1),
    ("PT_DYNAMIC", 2),
    ("PT_INTERP", 3),
    ("PT_NOTE", 4),
    ("PT_SHLIB", 5),
    ("PT_PHDR", 6),
    ("PT_TLS", 7),
    ("PT_GNU_EH_FRAME", 0x6474_e550),
    ("PT_GNU_STACK", 0x6474_e551),
    ("PT_GNU_RELRO", 0x6474_e552),
    ("PT_GNU_PROPERTY", 0x6474_e553),
];
