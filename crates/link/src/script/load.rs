//! Finding and parsing scripts.

use std::path::{Path, PathBuf};

use klink_script::{Command, Diagnostic, Name, Script, Source};

use super::script_error;
use crate::error::{LinkError, Result};
use crate::options::Options;

/// The script that `-r` follows when none is given.
const RELOCATABLE: &str = include_str!("../../scripts/relocatable.lds");

/// How deep scripts may include each other; GNU ld's limit (ld/ldlex.l, `MAX_INCLUDE_DEPTH`).
const MAX_INCLUDE_DEPTH: usize = 10;

/// How many scripts a link may have. Ten levels that each include the next a hundred times would
/// never end.
const MAX_SCRIPTS: usize = 1000;

/// The parsed scripts of a link, in the order in which they count.
pub(crate) struct Sources {
    scripts: Vec<(Source, Script)>,
}

impl Sources {
    /// Each script with its number.
    pub(crate) fn scripts(&self) -> impl Iterator<Item = (usize, &Script)> {
        self.scripts
            .iter()
            .enumerate()
            .map(|(number, (_, script))| (number, script))
    }

    /// The text of a script.
    pub(crate) fn source(&self, number: usize) -> &Source {
        &self.scripts[number].0
    }

    /// The format that OUTPUT_FORMAT names.
    pub(crate) fn output_format(&self) -> Option<&str> {
        self.commands().find_map(|command| match command {
            Command::OutputFormat { default, .. } => Some(default.value.as_str()),
            _ => None,
        })
    }

    /// The symbols that EXTERN names.
    pub(crate) fn externs(&self) -> impl Iterator<Item = &str> {
        self.commands()
            .filter_map(|command| match command {
                Command::Extern(names) => Some(names),
                _ => None,
            })
            .flatten()
            .map(|name| name.value.as_str())
    }

    /// Whether FORCE_GROUP_ALLOCATION stands in a script.
    pub(crate) fn dissolves_groups(&self) -> bool {
        self.commands()
            .any(|command| matches!(command, Command::ForceGroupAllocation))
    }

    fn commands(&self) -> impl Iterator<Item = &Command> {
        self.scripts
            .iter()
            .flat_map(|(_, script)| &script.commands)
            .map(|command| &command.value)
    }
}

/// Reads the scripts that `options` names, or the built-in one.
///
/// # Errors
/// Files that cannot be read, and syntax errors, with their places.
pub(crate) fn load(options: &Options) -> Result<Sources> {
    let mut sources = Sources {
        scripts: Vec::new(),
    };
    if options.scripts.is_empty() {
        add(&mut sources, Source::new("built-in script", RELOCATABLE))?;
    }
    for path in &options.scripts {
        load_file(&mut sources, &find(path, options), options, 0)?;
    }
    Ok(sources)
}

/// A script that is not where it is named is looked for in the `-L` folders, as in GNU ld.
fn find(path: &Path, options: &Options) -> PathBuf {
    if path.exists() {
        return path.to_path_buf();
    }
    let elsewhere = options
        .library_paths
        .iter()
        .map(|folder| folder.join(path))
        .find(|path| path.exists());
    elsewhere.unwrap_or_else(|| path.to_path_buf())
}

fn load_file(sources: &mut Sources, path: &Path, options: &Options, depth: usize) -> Result<()> {
    let bytes = crate::input::read_path(path).map_err(|source| LinkError::Io {
        action: "open linker script",
        path: path.to_path_buf(),
        source,
    })?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let number = add(sources, Source::new(path.display().to_string(), text))?;
    let included: Vec<Name> = sources.scripts[number]
        .1
        .commands
        .iter()
        .filter_map(|command| match &command.value {
            Command::Include(name) => Some(name.clone()),
            _ => None,
        })
        .collect();
    for name in included {
        let what = if depth == MAX_INCLUDE_DEPTH {
            Some("scripts include each other too deeply")
        } else if sources.scripts.len() >= MAX_SCRIPTS {
            Some("more scripts are included than a link may have")
        } else {
            None
        };
        if let Some(what) = what {
            let diagnostic = Diagnostic::new(what, name.span);
            return Err(script_error(sources, number, diagnostic));
        }
        load_file(
            sources,
            &find(Path::new(&name.value), options),
            options,
            depth + 1,
        )?;
    }
    Ok(())
}

fn add(sources: &mut Sources, source: Source) -> Result<usize> {
    let script = klink_script::parse(&source)
        .map_err(|error| LinkError::Script(error.render(&source, false)))?;
    sources.scripts.push((source, script));
    Ok(sources.scripts.len() - 1)
}
