//! What a link was asked to do, after the command line's syntax is gone.

use std::path::PathBuf;

/// What a link was asked to do.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Inputs in command-line order.
    pub inputs: Vec<Input>,
    /// `-o`; `a.out` if not given.
    pub output: Option<PathBuf>,
    /// `-r`: make an object that can be linked again.
    pub relocatable: bool,
    /// `-m`: the emulation; without it, the first object decides.
    pub emulation: Option<String>,
    /// `--oformat`: a BFD name of the output's format.
    pub output_format: Option<String>,
    /// `-T`: linker scripts, in order; none means the built-in one.
    pub scripts: Vec<PathBuf>,
    /// `-L`: folders for `-l` and `-T`.
    pub library_paths: Vec<PathBuf>,
    /// `--build-id`.
    pub build_id: BuildId,
    /// `-s`, `-S`: what to strip.
    pub strip: Strip,
    /// `-x`, `-X`: which local symbols to drop.
    pub discard: DiscardLocals,
    /// `-u`: symbols that are undefined from the start, so that archives are searched for them.
    pub undefined: Vec<String>,
    /// `--unique`: input sections with these names each become an output section.
    pub unique: Unique,
    /// `-z execstack`, `-z noexecstack`.
    pub executable_stack: Option<bool>,
    /// `-z muldefs`, `--allow-multiple-definition`: the first definition of a symbol wins.
    pub allow_multiple_definition: bool,
    /// `--fatal-warnings`.
    pub fatal_warnings: bool,
    /// `--orphan-handling`.
    pub orphans: OrphanHandling,
    /// `--force-group-allocation`: section groups dissolve in relocatable output.
    pub dissolve_groups: bool,
    /// `--module`: the module link.
    pub module: Option<ModuleOptions>,
    /// `--threads`; 0 lets the machine decide.
    pub threads: usize,
    /// `--stats`: print what the link did to standard error.
    pub stats: bool,
    /// `--time`: print how long each phase took.
    pub time: bool,
    /// What was asked for that only links other than `-r` have, by option name.
    pub final_link_only: Vec<String>,
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
    /// `--format binary`: the file's bytes become a section.
    pub binary: bool,
    /// Number of the `--start-group` it stands in: archives of a group are searched in turns.
    pub group: Option<u32>,
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
    /// `--discard-none` and, for relocatable output, the default.
    #[default]
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
