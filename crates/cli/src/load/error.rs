//! What goes wrong, in modprobe's and the kernel's words, and what to do about it.

use std::io;
use std::path::PathBuf;

use klink_module::{Error as ModuleError, LoadError, Unresolved, Why};

use super::errno;
use super::kernel::Kernel;
use super::memory::NoMemory;
use super::name::ModuleName;
use crate::compressed;
use crate::inspect::error::Error as Listing;

/// Why nothing could be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A list of symbols is none.
    #[error("{}: {what}", path.display())]
    Symbols {
        /// The list.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A folder cannot be listed, or has no modules.
    #[error("{}: {source}", folder.display())]
    Tree {
        /// The folder.
        folder: PathBuf,
        /// What is wrong with it.
        source: Listing,
    },
    /// No module has the name.
    #[error("Module {name} not found in directory {}", folder.display())]
    NotFound {
        /// What was asked for.
        name: String,
        /// Where it was looked for.
        folder: PathBuf,
    },
    /// There is no folder of modules to look in.
    #[error(
        "Module {name} not found: there is no folder {}; name one with --modules-dir",
        folder.display()
    )]
    NoFolder {
        /// What was asked for.
        name: String,
        /// What was tried.
        folder: PathBuf,
    },
    /// An architecture that klink does not know.
    #[error("--arch {given}: klink knows {known}")]
    Arch {
        /// What was asked for.
        given: String,
        /// What there is.
        known: String,
    },
    /// Regions or the answer cannot be written.
    #[error("{what}: {source}")]
    Write {
        /// The file.
        what: String,
        /// Why.
        source: io::Error,
    },
}

/// Why one module was not loaded.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) name: ModuleName,
    pub(crate) path: PathBuf,
    pub(crate) reason: Box<Reason>,
}

/// Something about the file, the module or the memory.
#[derive(Debug)]
pub(crate) enum Reason {
    Read(compressed::Error),
    Load(LoadError<NoMemory>),
    /// It is of another architecture than those before.
    OtherArch {
        is: &'static str,
        wanted: &'static str,
    },
}

/// What to do about symbols that lists leave out.
const LEFT_OUT: &str =
    "System.map and kallsyms leave such symbols out: give vmlinux with --symbols";

/// Whether lists leave a symbol out because of its name (`scripts/mksysmap`).
fn is_left_out(symbol: &Unresolved) -> bool {
    symbol.symbol.starts_with('$')
}

impl From<ModuleError> for Reason {
    fn from(error: ModuleError) -> Self {
        Self::Load(LoadError::Module(error))
    }
}

impl From<LoadError<NoMemory>> for Reason {
    fn from(error: LoadError<NoMemory>) -> Self {
        Self::Load(error)
    }
}

impl Reason {
    /// What the kernel would return: negative.
    pub(crate) fn errno(&self) -> i32 {
        match self {
            Self::Read(_) | Self::OtherArch { .. } => -errno::ENOEXEC,
            Self::Load(LoadError::Module(error)) => error.errno(),
            Self::Load(LoadError::Host(_)) => -errno::ENOMEM,
        }
    }

    /// A few words that are the same for all modules that fail so.
    pub(crate) fn kind(&self) -> String {
        let symbols = |why: &Why| match why {
            Why::Unknown => "a symbol is exported by nothing",
            Why::GplOnly => "a symbol is for GPL-compatible modules only",
            Why::Proprietary => "a symbol is a proprietary module's",
            Why::Version { .. } | Why::NoVersion => "a symbol has another version",
            Why::Namespace(_) => "a symbol's namespace is not imported",
        };
        match self {
            Self::Read(_) => "the file cannot be read".into(),
            Self::OtherArch { .. } => "another architecture".into(),
            Self::Load(LoadError::Host(NoMemory::TooLarge(_))) => "absurdly large".into(),
            Self::Load(LoadError::Host(NoMemory::Full(_))) => "no memory left".into(),
            Self::Load(LoadError::Module(ModuleError::Unresolved(all))) => {
                let why = all.last().map(|last| symbols(&last.why));
                why.unwrap_or("a symbol is exported by nothing").into()
            }
            Self::Load(LoadError::Module(error)) => {
                let kind = match error {
                    ModuleError::Vermagic { .. } => "version magic",
                    ModuleError::Exists { .. } => "loaded already",
                    ModuleError::DuplicateExport { .. } => "exports what another module exports",
                    ModuleError::Relocation { .. } | ModuleError::Stub { .. } => {
                        "a relocation does not fit"
                    }
                    ModuleError::UnknownRelocation { .. } => "unknown relocation type",
                    ModuleError::Parameter { .. } => "a parameter cannot be set",
                    ModuleError::NoThisModule | ModuleError::NoSymbols => "not a module",
                    _ => "damaged or not a module",
                };
                kind.into()
            }
        }
    }

    /// All that is known of it, a line each.
    pub(crate) fn details(&self) -> String {
        match self {
            Self::Read(error) => error.to_string(),
            Self::Load(error) => error.to_string(),
            Self::OtherArch { is, wanted } => {
                format!("it is for {is}, and the kernel and the other modules are for {wanted}")
            }
        }
    }

    /// What to do about it; `None`: the details say it.
    pub(crate) fn help(&self, kernel: &Kernel) -> Option<String> {
        let Self::Load(LoadError::Module(error)) = self else {
            return match self {
                Self::Load(LoadError::Host(NoMemory::Full(_))) => {
                    Some("load fewer modules at once, or place them elsewhere with --base".into())
                }
                _ => None,
            };
        };
        Some(match error {
            ModuleError::Unresolved(all) => match &all.last()?.why {
                Why::Unknown if all.iter().all(is_left_out) => LEFT_OUT.into(),
                Why::Unknown if kernel.lacks_data() => format!(
                    "{} tells functions only: give vmlinux or System.map with --symbols, or have \
                     addresses made up with --invent",
                    kernel.short_name()
                ),
                Why::Unknown => format!(
                    "neither {} nor a loaded module exports it: name the folder of the module \
                     that does with --modules-dir, or the kernel that this module is for with --symbols",
                    kernel.short_name()
                ),
                Why::GplOnly | Why::Proprietary => {
                    "MODULE_LICENSE says what the module may use; ask its author".into()
                }
                Why::Version { .. } | Why::NoVersion => {
                    "build it for this kernel and configuration, or give that kernel's Module.symvers"
                        .into()
                }
                Why::Namespace(namespace) => {
                    format!("add MODULE_IMPORT_NS({namespace}) to its source")
                }
            },
            ModuleError::NoGlobalPointer { .. } => {
                LEFT_OUT.into()
            }
            ModuleError::Vermagic { .. } => {
                "modules of one kernel say the same; build it for this one".into()
            }
            ModuleError::Relocation { .. } | ModuleError::Stub { .. } => {
                "place it nearer to the kernel with --base, or try --layout shared".into()
            }
            ModuleError::Parameter { .. } => {
                "`modinfo -p` shows the module's parameters and their types".into()
            }
            ModuleError::NoThisModule => {
                "it is an object that modpost has not made a module of yet (.ko, not .o)".into()
            }
            _ => return None,
        })
    }
}
