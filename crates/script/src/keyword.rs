//! The reserved words of the language, and the contexts each is reserved in.

use crate::lexer::Mode;

const SCRIPT: u8 = 1;
const EXPR: u8 = 2;
const WILD: u8 = 4;
const INPUTS: u8 = 8;
const VERSION: u8 = 16;

macro_rules! keywords {
    ($($variant:ident $text:literal $modes:expr;)*) => {
        /// A reserved word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Keyword { $($variant,)* }

        impl Keyword {
            /// Every word with the contexts it is reserved in.
            const ALL: &[(&str, Keyword, u8)] = &[$(($text, Keyword::$variant, $modes),)*];

            /// The word as a script writes it.
            pub(crate) fn text(self) -> &'static str {
                match self { $(Keyword::$variant => $text,)* }
            }
        }
    };
}

// ld/ldlex.l gives the contexts. A word is an ordinary name in the others.
keywords! {
    Memory "MEMORY" SCRIPT;
    RegionAlias "REGION_ALIAS" SCRIPT;
    LdFeature "LD_FEATURE" SCRIPT;
    Origin "ORIGIN" SCRIPT | EXPR;
    Version "VERSION" SCRIPT;
    Block "BLOCK" SCRIPT | EXPR;
    Bind "BIND" SCRIPT | EXPR;
    Length "LENGTH" SCRIPT | EXPR;
    Align "ALIGN" SCRIPT | EXPR;
    DataSegmentAlign "DATA_SEGMENT_ALIGN" SCRIPT | EXPR;
    DataSegmentRelroEnd "DATA_SEGMENT_RELRO_END" SCRIPT | EXPR;
    DataSegmentEnd "DATA_SEGMENT_END" SCRIPT | EXPR;
    Addr "ADDR" SCRIPT | EXPR;
    LoadAddr "LOADADDR" SCRIPT | EXPR;
    AlignOf "ALIGNOF" SCRIPT | EXPR;
    Absolute "ABSOLUTE" SCRIPT | EXPR;
    Max "MAX" SCRIPT | EXPR;
    Min "MIN" SCRIPT | EXPR;
    Log2Ceil "LOG2CEIL" SCRIPT | EXPR;
    Assert "ASSERT" SCRIPT | EXPR | WILD;
    Entry "ENTRY" SCRIPT;
    Extern "EXTERN" SCRIPT;
    Next "NEXT" SCRIPT | EXPR;
    SizeofHeaders "SIZEOF_HEADERS" SCRIPT | EXPR;
    SegmentStart "SEGMENT_START" SCRIPT | EXPR;
    Map "MAP" SCRIPT;
    Sizeof "SIZEOF" SCRIPT | EXPR;
    Target "TARGET" SCRIPT;
    SearchDir "SEARCH_DIR" SCRIPT;
    Output "OUTPUT" SCRIPT;
    Input "INPUT" SCRIPT;
    Group "GROUP" SCRIPT;
    AsNeeded "AS_NEEDED" INPUTS;
    Defined "DEFINED" SCRIPT | EXPR;
    CreateObjectSymbols "CREATE_OBJECT_SYMBOLS" WILD;
    Constructors "CONSTRUCTORS" WILD;
    ForceCommonAllocation "FORCE_COMMON_ALLOCATION" SCRIPT;
    ForceGroupAllocation "FORCE_GROUP_ALLOCATION" SCRIPT;
    InhibitCommonAllocation "INHIBIT_COMMON_ALLOCATION" SCRIPT;
    Sections "SECTIONS" SCRIPT;
    Insert "INSERT" SCRIPT;
    After "AFTER" SCRIPT;
    Before "BEFORE" SCRIPT;
    Fill "FILL" WILD;
    Startup "STARTUP" SCRIPT;
    OutputFormat "OUTPUT_FORMAT" SCRIPT;
    OutputArch "OUTPUT_ARCH" SCRIPT;
    Hll "HLL" SCRIPT;
    Syslib "SYSLIB" SCRIPT;
    Float "FLOAT" SCRIPT;
    NoFloat "NOFLOAT" SCRIPT;
    Quad "QUAD" WILD;
    Squad "SQUAD" WILD;
    Long "LONG" WILD;
    Short "SHORT" WILD;
    Byte "BYTE" WILD;
    NoCrossRefs "NOCROSSREFS" SCRIPT | EXPR;
    NoCrossRefsTo "NOCROSSREFS_TO" SCRIPT | EXPR;
    Overlay "OVERLAY" SCRIPT | EXPR;
    SortByName "SORT_BY_NAME" WILD;
    SortByAlignment "SORT_BY_ALIGNMENT" WILD;
    SortByInitPriority "SORT_BY_INIT_PRIORITY" WILD;
    SortNone "SORT_NONE" WILD;
    NoLoad "NOLOAD" EXPR;
    ReadOnly "READONLY" EXPR;
    Dsect "DSECT" EXPR;
    Copy "COPY" EXPR;
    Info "INFO" EXPR;
    Type "TYPE" EXPR;
    OnlyIfRo "ONLY_IF_RO" SCRIPT | EXPR;
    OnlyIfRw "ONLY_IF_RW" SCRIPT | EXPR;
    Special "SPECIAL" SCRIPT | EXPR;
    InputSectionFlags "INPUT_SECTION_FLAGS" WILD;
    Include "INCLUDE" SCRIPT | EXPR | WILD;
    Phdrs "PHDRS" SCRIPT;
    At "AT" SCRIPT | EXPR | WILD;
    AlignWithInput "ALIGN_WITH_INPUT" SCRIPT | EXPR;
    Subalign "SUBALIGN" SCRIPT | EXPR;
    Hidden "HIDDEN" SCRIPT | EXPR | WILD;
    Provide "PROVIDE" SCRIPT | EXPR | WILD;
    ProvideHidden "PROVIDE_HIDDEN" SCRIPT | EXPR | WILD;
    Keep "KEEP" WILD;
    ExcludeFile "EXCLUDE_FILE" WILD;
    Constant "CONSTANT" SCRIPT | EXPR;
    VersionGlobal "global" VERSION;
    VersionLocal "local" VERSION;
    VersionExtern "extern" VERSION;
}

/// Other spellings of some words.
const ALIASES: &[(&str, Keyword, u8)] = &[
    ("SORT", Keyword::SortByName, WILD),
    ("o", Keyword::Origin, SCRIPT),
    ("org", Keyword::Origin, SCRIPT),
    ("l", Keyword::Length, SCRIPT),
    ("len", Keyword::Length, SCRIPT),
];

fn bit(mode: Mode) -> u8 {
    match mode {
        Mode::Script => SCRIPT,
        Mode::Expression => EXPR,
        Mode::Wild => WILD,
        Mode::InputList => INPUTS,
        Mode::VersionNode => VERSION,
        Mode::VersionTags => 0,
    }
}

impl Keyword {
    /// The word that `text` is in a context, `None` when it is a plain name.
    pub(crate) fn find(text: &str, mode: Mode) -> Option<Keyword> {
        // No word is longer; most names of a script are shorter than none.
        if text.len() > 25 || !text.as_bytes().first()?.is_ascii_alphabetic() {
            return None;
        }
        let bit = bit(mode);
        Keyword::ALL
            .iter()
            .chain(ALIASES)
            .find(|&&(name, _, modes)| modes & bit != 0 && name == text)
            .map(|&(_, keyword, _)| keyword)
    }

    /// The words reserved in a context, to propose one for a misspelt name.
    pub(crate) fn names(mode: Mode) -> impl Iterator<Item = &'static str> {
        let bit = bit(mode);
        Keyword::ALL
            .iter()
            .filter(move |&&(_, _, modes)| modes & bit != 0)
            .map(|&(name, _, _)| name)
    }
}
