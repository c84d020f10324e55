//! What a link was asked to do, after the command line's syntax is gone.
//!
//! Each field names the option of GNU ld that sets it. `None` of an `Option<bool>` is the default of
//! the output's kind or architecture, which whoever reads the field knows.

use std::path::PathBuf;

use klink_tables::sort::mcount::WeakCalls;

/// What a link was asked to do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    // What goes in.
    /// Inputs in command-line order.
    pub inputs: Vec<Input>,
    /// `-L`: folders for `-l` and `-T`.
    pub library_paths: Vec<PathBuf>,
    /// `-nostdlib`: only the folders of `-L` count, not SEARCH_DIR of scripts.
    pub nostdlib: bool,
    /// `--sysroot`: what stands for `=` and `$SYSROOT` in front of paths.
    pub sysroot: Option<PathBuf>,
    /// `-u`: symbols that are undefined from the start, so that archives are searched for them.
    pub undefined: Vec<String>,
    /// `--require-defined`: as `undefined`, and an error if nothing defines them.
    pub require_defined: Vec<String>,

    // What comes out.
    /// `-r`, `-pie`, `-shared`.
    pub output_kind: OutputKind,
    /// `-o`; `a.out` if not given, or what OUTPUT in a script names.
    pub output: Option<PathBuf>,
    /// `-m`: the emulation; without it, the first object decides.
    pub emulation: Option<String>,
    /// `--oformat`.
    pub output_format: Option<OutputFormat>,
    /// `-EB`, `-EL`: which of OUTPUT_FORMAT's three names counts.
    pub byte_order: Option<ByteOrder>,
    /// `-e`: the entry symbol, or an address.
    pub entry: Option<String>,
    /// `-q`, `--emit-relocs`: relocations stay in the output.
    pub emit_relocations: bool,
    /// `--build-id`.
    pub build_id: BuildId,
    /// `--compress-debug-sections`.
    pub compress_debug: CompressDebug,
    /// `--noinhibit-exec`: errors that leave something to write do not stop the link.
    pub no_inhibit_exec: bool,

    // Scripts.
    /// `-T`: linker scripts, in order; none means the built-in one.
    pub scripts: Vec<ScriptFile>,
    /// `-dT`: the script that stands for the built-in one.
    pub default_script: Option<PathBuf>,
    /// `--defsym`, in order.
    pub definitions: Vec<Definition>,
    /// `--section-start`: addresses of output sections. `-Ttext`, `-Tdata`, `-Tbss` stand here for
    /// `.text`, `.data`, `.bss`, and in `segment_starts`; they move the section only if no
    /// `SEGMENT_START` asks for that segment (ld/lexsup.c, `set_segment_start`).
    pub section_starts: Vec<(String, u64)>,
    /// `-Ttext`, `-Tdata`, `-Tbss`, `-Ttext-segment`, `-Trodata-segment`, `-Tldata-segment`: what
    /// `SEGMENT_START` gives for `text-segment` and so on.
    pub segment_starts: Vec<(String, u64)>,
    /// `--orphan-handling`.
    pub orphans: OrphanHandling,
    /// `--unique`: input sections with these names each become an output section.
    pub unique: Unique,
    /// `--sort-section`: for patterns that have no SORT of their own.
    pub sort_section: Option<SortSection>,
    /// `--sort-common`: the order of common symbols; as found if not given.
    pub sort_common: Option<SortCommon>,
    /// `--no-check-sections` is `Some(false)`: sections may overlap. Checked by default.
    pub check_sections: Option<bool>,
    /// `--print-memory-usage`: how full the regions of MEMORY are.
    pub print_memory_usage: bool,

    // Symbols.
    /// `-s`, `-S`: what to strip.
    pub strip: Strip,
    /// `-x`, `-X`: which local symbols to drop.
    pub discard: DiscardLocals,
    /// `--wrap`: symbols whose references go to `__wrap_SYMBOL`.
    pub wrap: Vec<String>,
    /// `-z muldefs`, `--allow-multiple-definition`: the first definition of a symbol wins.
    pub allow_multiple_definition: bool,
    /// What to do about symbols that nothing defines.
    pub unresolved: UnresolvedPolicy,
    /// `-d`, `-dc`, `-dp`: `Some(true)`, common symbols get space even with `-r`.
    /// `--no-define-common`: `Some(false)`, they get none in a shared object.
    pub define_common: Option<bool>,
    /// `-init`: the symbol that DT_INIT names; `_init` by default.
    pub init: Option<String>,
    /// `-fini`: the symbol that DT_FINI names; `_fini` by default.
    pub fini: Option<String>,

    // What is kept.
    /// `--gc-sections`.
    pub gc_sections: bool,
    /// `--print-gc-sections`.
    pub print_gc_sections: bool,
    /// `--gc-keep-exported`.
    pub gc_keep_exported: bool,
    /// `-z start-stop-gc`: `__start_NAME` does not keep sections called `NAME`.
    pub start_stop_gc: bool,
    /// `--no-strip-discarded` is `Some(false)`: output sections that became empty stay.
    pub strip_discarded: Option<bool>,
    /// `--force-group-allocation`: section groups dissolve in relocatable output.
    pub dissolve_groups: bool,

    // Segments.
    /// `-N`, `-n`.
    pub magic: Magic,
    /// `-z max-page-size`: bytes, a power of two.
    pub max_page_size: Option<u64>,
    /// `-z common-page-size`: bytes, a power of two.
    pub common_page_size: Option<u64>,
    /// `-z separate-code`, `-z noseparate-code`.
    pub separate_code: Option<bool>,
    /// `-z relro`, `-z norelro`.
    pub relro: Option<bool>,
    /// `-z stack-size`: bytes that PT_GNU_STACK asks for.
    pub stack_size: Option<u64>,
    /// `-z execstack`, `-z noexecstack`.
    pub executable_stack: Option<bool>,
    /// `--warn-rwx-segments`, `--no-warn-rwx-segments`.
    pub warn_rwx_segments: Option<bool>,
    /// `--warn-execstack`, `--no-warn-execstack`.
    pub warn_execstack: Option<bool>,
    /// `--eh-frame-hdr`.
    pub eh_frame_hdr: bool,
    /// `--no-ld-generated-unwind-info`: the linker makes no `.eh_frame` of its own.
    pub no_generated_unwind_info: bool,

    // Code.
    /// `--relax`, `--no-relax`.
    pub relax: Option<bool>,
    /// `--stub-group-size`: bytes of code that share an island. Negative: the island stands only
    /// behind the branches that use it (ld/emultempl/hppaelf.em); 1 or -1: the linker chooses.
    pub stub_group_size: Option<i64>,
    /// `--kallsyms`: the kernel's table of its own symbols is made in the link.
    pub kallsyms: Option<KallsymsOptions>,
    /// `--kernel-version`: major and minor number of the Linux version whose tables are made; as the
    /// kernel's banner says if not given.
    pub kernel_version: Option<(u32, u32)>,
    /// `--sort-tables`: exception table, ORC and calls of mcount are sorted.
    pub sort_tables: bool,
    /// `--sort-tables=zero-weak-calls`: what becomes of calls of mcount in replaced functions; as the
    /// kernel's version has it if not given.
    pub weak_calls: Option<WeakCalls>,
    /// `--system-map`: where `System.map` goes.
    pub system_map: Option<Destination>,
    /// `--emit-stub-syms`, `--stub-symbols` and their opposites: stubs have symbols.
    pub stub_symbols: Option<bool>,
    /// `--reorder`: input sections may move where a script pattern leaves their order open.
    pub image_reorder: bool,

    // Dynamic linking.
    /// `-soname`.
    pub soname: Option<String>,
    /// `-dynamic-linker`, `--no-dynamic-linker`.
    pub dynamic_linker: DynamicLinker,
    /// `--hash-style`.
    pub hash_style: HashStyle,
    /// `-Bsymbolic`, `-Bsymbolic-functions`.
    pub symbolic: Symbolic,
    /// `-E`, `--export-dynamic`.
    pub export_dynamic: bool,
    /// `--version-script`.
    pub version_scripts: Vec<PathBuf>,
    /// `--no-undefined-version`: a version script may not name symbols that are not there.
    pub no_undefined_version: bool,
    /// `-z dynamic-undefined-weak`: whether a loader may define weak symbols that nothing defines.
    pub dynamic_undefined_weak: Option<bool>,
    /// `--dynamic-list`.
    pub dynamic_lists: Vec<PathBuf>,
    /// `-rpath`.
    pub rpath: Vec<String>,
    /// `--disable-new-dtags` is `Some(false)`: DT_RPATH, not DT_RUNPATH.
    pub new_dtags: Option<bool>,
    /// `--spare-dynamic-tags`: DT_NULL entries at the end of `.dynamic`; 5 by default.
    pub spare_dynamic_tags: Option<u64>,
    /// `-z now` and the like: DT_FLAGS.
    pub dynamic_flags: u64,
    /// `-z nodelete` and the like: DT_FLAGS_1.
    pub dynamic_flags_1: u64,
    /// `-z nocombreloc` is `Some(false)`: dynamic relocations stay in input order.
    pub combine_relocations: Option<bool>,
    /// `-z pack-relative-relocs`: relative relocations go to `.relr.dyn`.
    pub pack_relative_relocations: bool,
    /// `-z text`, `-z notext`, `--warn-textrel`: dynamic relocations in read-only sections.
    pub text_relocations: TextRelocations,
    /// `--apply-dynamic-relocs`, `--no-apply-dynamic-relocs` (arm64): whether the addends of
    /// RELA relocations are written to the places too.
    pub apply_dynamic_relocs: Option<bool>,

    // What is told.
    /// `-Map`, `-M`: where the map goes.
    pub print_map: Option<Destination>,
    /// `--no-print-map-discarded`: the map does not list discarded input sections.
    pub map_without_discarded: bool,
    /// `--map-json`: where the map as JSON goes.
    pub map_json: Option<Destination>,
    /// `--dependency-file`: a make rule that names all files that were read.
    pub dependency_file: Option<PathBuf>,
    /// `--error-limit`.
    pub error_limit: ErrorLimit,
    /// `--fatal-warnings`.
    pub fatal_warnings: bool,
    /// `-w`, `--no-warnings`.
    pub no_warnings: bool,
    /// `-t`, `--trace`: print each input's name.
    pub trace: bool,
    /// `-v` and `-V` beside inputs: print the version, then link.
    pub print_version: bool,
    /// `--verbose`: print the script that is followed.
    pub verbose: bool,
    /// `--stats`: print what the link did to standard error.
    pub stats: bool,
    /// `--time`: print how long each phase took.
    pub time: bool,

    /// `--threads`; 0 lets the machine decide.
    pub threads: usize,
    /// `--module`: the module link.
    pub module: Option<ModuleOptions>,
    /// What was asked for that this version does not carry out, by option name.
    pub not_yet: Vec<String>,
}

impl Options {
    /// Whether the output can be linked again (`-r`).
    pub fn relocatable(&self) -> bool {
        self.output_kind == OutputKind::Relocatable
    }

    /// Whether symbols that nothing defines are errors, warnings or nothing (bfd/linker.c and
    /// ld/lexsup.c, `unresolved_syms_in_objects`).
    pub fn unresolved(&self) -> Unresolved {
        let report = self.unresolved.report.unwrap_or(match self.output_kind {
            OutputKind::Executable | OutputKind::Pie => true,
            OutputKind::Relocatable | OutputKind::Shared => false,
        });
        match (report, self.unresolved.as_warnings) {
            (false, _) => Unresolved::Ignored,
            (true, true) => Unresolved::Warning,
            (true, false) => Unresolved::Error,
        }
    }

    /// The last address that the command line gives an output section.
    pub fn section_start(&self, section: &str) -> Option<u64> {
        last(&self.section_starts, section)
    }

    /// What the command line gives for `SEGMENT_START(segment, …)`.
    pub fn segment_start(&self, segment: &str) -> Option<u64> {
        last(&self.segment_starts, segment)
    }
}

fn last(starts: &[(String, u64)], wanted: &str) -> Option<u64> {
    let mut found = starts.iter().rev().filter(|(name, _)| name == wanted);
    found.next().map(|&(_, address)| address)
}

/// What the output is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputKind {
    /// `-r`: an object that can be linked again (ET_REL).
    Relocatable,
    /// A program or kernel at a fixed address (ET_EXEC).
    #[default]
    Executable,
    /// `-pie`: a program that runs at any address (ET_DYN).
    Pie,
    /// `-shared`: a shared object (ET_DYN).
    Shared,
}

/// `--oformat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputFormat {
    /// An ELF format by its BFD name.
    Elf(String),
    /// `binary`: the contents of allocated sections and no headers.
    Binary,
}

/// `-EB`, `-EL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The most significant byte first.
    Big,
    /// The least significant byte first.
    Little,
}

/// `-T`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptFile {
    /// The script.
    pub path: PathBuf,
    /// How many inputs stand before it on the command line: those that it names join there.
    pub inputs_before: usize,
}

impl From<PathBuf> for ScriptFile {
    /// A script in front of all inputs.
    fn from(path: PathBuf) -> Self {
        Self {
            path,
            inputs_before: 0,
        }
    }
}

/// `--defsym SYMBOL=EXPRESSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The symbol.
    pub symbol: String,
    /// Its value, in the script language.
    pub expression: String,
    /// How many of `-T`'s scripts stand before it on the command line.
    pub scripts_before: usize,
    /// How many inputs stand before it.
    pub inputs_before: usize,
}

/// `--compress-debug-sections`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CompressDebug {
    /// Debugging sections stay as they are.
    #[default]
    None,
    /// `zlib`, `zlib-gabi`: SHF_COMPRESSED with ELFCOMPRESS_ZLIB.
    Zlib,
    /// `zlib-gnu`: renamed to `.zdebug_…`.
    ZlibGnu,
    /// `zstd`: SHF_COMPRESSED with ELFCOMPRESS_ZSTD.
    Zstd,
}

/// `--sort-section`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortSection {
    /// By name.
    Name,
    /// By alignment, greatest first.
    Alignment,
}

/// `--sort-common`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortCommon {
    /// Least alignment first.
    Ascending,
    /// Greatest alignment first.
    Descending,
}

/// What to do about symbols that nothing defines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UnresolvedPolicy {
    /// `--no-undefined`, `-z defs`, `-z undefs`, `--unresolved-symbols`: whether they are reported.
    pub report: Option<bool>,
    /// `--warn-unresolved-symbols`: a report is a warning.
    pub as_warnings: bool,
}

/// What a symbol that nothing defines is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// The link fails.
    Error,
    /// It is 0, and there is a warning.
    Warning,
    /// It is 0, or left to the dynamic linker.
    Ignored,
}

/// How text is kept apart from data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Magic {
    /// Segments begin at page boundaries of the file, text is read-only.
    #[default]
    Paged,
    /// `-n`: text is read-only, but segments do not begin at page boundaries.
    Nmagic,
    /// `-N`: text and data share one writable segment.
    Omagic,
}

/// `-dynamic-linker`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DynamicLinker {
    /// What `.interp` of an input says.
    #[default]
    Default,
    /// `--no-dynamic-linker`: there is none.
    None,
    /// This one.
    Path(String),
}

/// `--hash-style`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashStyle {
    /// `.hash`.
    Sysv,
    /// `.gnu.hash`.
    Gnu,
    /// Both: the default for Linux but on MIPS (ld/configure.ac, `--enable-default-hash-style`).
    #[default]
    Both,
}

/// `-Bsymbolic`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Symbolic {
    /// References go through the dynamic linker.
    #[default]
    None,
    /// `-Bsymbolic-functions`: those to functions that the output defines do not.
    Functions,
    /// `-Bsymbolic`: those to anything that the output defines do not.
    All,
}

/// What dynamic relocations in read-only sections are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TextRelocations {
    /// `-z notext`, `-z textoff`: nothing special.
    #[default]
    Allowed,
    /// `--warn-textrel`: a warning.
    Warning,
    /// `-z text`: an error.
    Error,
}

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `-`: standard output.
    StandardOutput,
    /// A file; a folder stands for `OUTPUT.map` in it.
    Path(PathBuf),
}

/// How many errors are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorLimit(pub Option<usize>);

impl Default for ErrorLimit {
    /// As lld.
    fn default() -> Self {
        Self(Some(20))
    }
}

/// What `--kallsyms` asks for: the options of Linux's `scripts/kallsyms`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KallsymsOptions {
    /// `all-symbols`: those outside of code, too (`CONFIG_KALLSYMS_ALL`).
    pub all_symbols: bool,
    /// `base-relative`: addresses are offsets (`CONFIG_KALLSYMS_BASE_RELATIVE`, before Linux 6.9).
    pub base_relative: bool,
    /// `absolute-percpu`: those of per-CPU symbols are no addresses
    /// (`CONFIG_KALLSYMS_ABSOLUTE_PERCPU`, before Linux 6.15).
    pub absolute_percpu: bool,
    /// `lto-clang`: names are sorted without what clang's LTO adds to them (`CONFIG_LTO_CLANG`).
    pub lto_clang: bool,
}

/// What the module link was asked to do.
#[derive(Clone, Debug, Default)]
pub struct ModuleOptions {
    /// `--stub-symbols`: give each stub a local symbol, `NAME.stub`.
    pub stub_symbols: bool,
    /// `--no-reorder`: leave functions in input order.
    pub keep_order: bool,
}

/// An input of the command line, with the options that were in force where it stood.
#[derive(Clone, Debug)]
pub struct Input {
    /// The file or library.
    pub name: InputName,
    /// `--whole-archive`: every member joins.
    pub whole_archive: bool,
    /// What is taken from it.
    pub format: InputFormat,
    /// Number of the `--start-group` it stands in: archives of a group are searched in turns.
    pub group: Option<u32>,
}

impl Input {
    /// A file as a command line names it that has no options before it.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            name: InputName::File(path.into()),
            whole_archive: false,
            format: InputFormat::Default,
            group: None,
        }
    }
}

/// What is taken from an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InputFormat {
    /// Everything that an object or archive has to give; a script is followed.
    #[default]
    Default,
    /// `--format binary`: the file's bytes become a section.
    Binary,
    /// `--just-symbols`: the values of its symbols.
    JustSymbols,
}

/// How an input was named.
#[derive(Clone, Debug)]
pub enum InputName {
    /// By path.
    File(PathBuf),
    /// By `-l`.
    Library(String),
}

/// `--build-id`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum BuildId {
    /// None is made.
    #[default]
    None,
    /// 20 bytes of a digest of the output.
    Sha1,
    /// 16 bytes of a digest of the output.
    Md5,
    /// 16 bytes of a digest of the output, not random: builds repeat.
    Uuid,
    /// Given bytes.
    Hex(Vec<u8>),
}

impl BuildId {
    /// Whether it follows from the output's bytes.
    pub(crate) fn is_digest(&self) -> bool {
        matches!(self, Self::Sha1 | Self::Md5 | Self::Uuid)
    }
}

/// What to strip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strip {
    /// Nothing.
    #[default]
    None,
    /// `-S`: debugging sections.
    Debug,
    /// `-s`: symbols too.
    All,
}

/// Which local symbols to drop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DiscardLocals {
    /// As ld does without an option: none in relocatable output, in others compiler-made ones in
    /// merged sections.
    #[default]
    Default,
    /// `--discard-none`.
    None,
    /// `-X`: compiler-made ones, `.L…`.
    CompilerMade,
    /// `-x`: all that no relocation needs.
    All,
}

/// `--unique[=PATTERN]`.
#[derive(Clone, Debug, Default)]
pub enum Unique {
    /// Sections are merged by name.
    #[default]
    No,
    /// Every orphan stays apart.
    AllOrphans,
    /// Sections whose names match one of these stay apart.
    Matching(Vec<String>),
}

/// `--orphan-handling`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OrphanHandling {
    /// They get an output section of their name.
    #[default]
    Place,
    /// They are dropped.
    Discard,
    /// They get their section, and a warning each.
    Warn,
    /// The link fails.
    Error,
}
