//! A kernel's build folder, as kbuild says what it is: by its environment and configuration.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use klink_tables::kallsyms;

use super::{Error, SCRIPT, file_error};

/// The configuration that make reads: `CONFIG_NAME=y` for what is enabled.
pub(super) struct Config {
    enabled: BTreeSet<String>,
}

impl Config {
    const FILE: &str = "include/config/auto.conf";

    fn read() -> Result<Self, Error> {
        let text = std::fs::read_to_string(Self::FILE)
            .map_err(|source| file_error("read", Self::FILE, source))?;
        Ok(Self::parse(&text))
    }

    pub(super) fn parse(text: &str) -> Self {
        let enabled = text.lines().filter_map(|line| line.strip_suffix("=y"));
        Self {
            enabled: enabled.map(str::to_owned).collect(),
        }
    }

    /// Whether an option is `y`.
    pub(super) fn is_enabled(&self, option: &str) -> bool {
        self.enabled.contains(option)
    }
}

/// The build folder.
pub(super) struct Tree {
    pub(super) config: Config,
    /// Major and minor number of the kernel's release.
    pub(super) release: (u32, u32),
    /// `$MAKE`.
    pub(super) make: String,
    /// The linker and its options, as the Makefile gives them.
    pub(super) linker: String,
    pub(super) flags: String,
    pub(super) vmlinux_flags: String,
    /// The linker script.
    pub(super) script: String,
    /// Archives whose members are linked if they are needed.
    pub(super) libraries: String,
    /// Whether the script that klink replaces tells `scripts/sorttable` which functions there are, which
    /// then zeroes calls of mcount outside of them.
    pub(super) zeroes_weak_calls: bool,
    source: PathBuf,
    is_verbose: bool,
    is_silent: bool,
}

impl Tree {
    const RELEASE: &str = "include/config/kernel.release";

    /// Reads what kbuild says of the current folder.
    pub(super) fn read(linker: &str, flags: &str, vmlinux_flags: &str) -> Result<Self, Error> {
        let need = |name| std::env::var(name).map_err(|_| Error::Environment(name));
        let source = PathBuf::from(need("srctree")?);
        let objects = need("objtree")?;
        if need("SRCARCH")? == "um" {
            return Err(Error::UserMode);
        }
        let release = std::fs::read_to_string(Self::RELEASE)
            .map_err(|source| file_error("read", Self::RELEASE, source))?;
        let script = source.join(SCRIPT);
        let steps = std::fs::read_to_string(&script)
            .map_err(|error| file_error("read", &script.to_string_lossy(), error))?;
        let verbose = std::env::var("KBUILD_VERBOSE").unwrap_or_default();
        Ok(Self {
            config: Config::read()?,
            release: kallsyms::release(release.as_bytes()).ok_or_else(|| {
                let what = std::io::Error::other("it does not begin with two numbers");
                file_error("use", Self::RELEASE, what)
            })?,
            make: std::env::var("MAKE").unwrap_or_else(|_| "make".to_owned()),
            linker: linker.to_owned(),
            flags: flags.to_owned(),
            vmlinux_flags: vmlinux_flags.to_owned(),
            script: format!("{objects}/{}", need("KBUILD_LDS")?),
            libraries: std::env::var("KBUILD_VMLINUX_LIBS").unwrap_or_default(),
            zeroes_weak_calls: steps.contains("sorttable -s"),
            source,
            is_verbose: verbose.contains('1'),
            is_silent: std::env::var("quiet").is_ok_and(|quiet| quiet == "silent_"),
        })
    }

    /// A file of the kernel's source.
    pub(super) fn source(&self, path: &str) -> PathBuf {
        self.source.join(path)
    }

    /// A variable of the environment; empty if it is not set.
    pub(super) fn variable(&self, name: &str) -> String {
        std::env::var(name).unwrap_or_default()
    }

    /// A program that the environment names.
    pub(super) fn program(&self, variable: &'static str) -> Result<String, Error> {
        let program = self.variable(variable);
        match program.is_empty() {
            true => Err(Error::Environment(variable)),
            false => Ok(program),
        }
    }

    /// A line as kbuild writes it for each command.
    pub(super) fn tell(&self, what: &str, target: &str) {
        if !self.is_silent {
            println!("  {what:<7} {target}");
        }
    }

    /// Runs a command; with `V=1` it is shown first.
    pub(super) fn run(&self, mut command: Command) -> Result<(), Error> {
        let program = self.show(&command);
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Error::Failed { program, status }),
            Err(source) => Err(Error::Run { program, source }),
        }
    }

    /// Runs a command whose warnings tell nothing: what it says is shown if it fails.
    pub(super) fn run_quietly(&self, mut command: Command) -> Result<(), Error> {
        let program = self.show(&command);
        match command.output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => {
                for text in [&output.stdout, &output.stderr] {
                    eprint!("{}", String::from_utf8_lossy(text));
                }
                let status = output.status;
                Err(Error::Failed { program, status })
            }
            Err(source) => Err(Error::Run { program, source }),
        }
    }

    /// With `V=1`, shows a command. Gives its program's name.
    fn show(&self, command: &Command) -> String {
        if self.is_verbose {
            eprintln!("+ {command:?}");
        }
        command.get_program().to_string_lossy().into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Config;

    #[test]
    fn only_what_is_y_is_enabled() {
        let config = Config::parse("CONFIG_A=y\nCONFIG_B=m\nCONFIG_C=12\nCONFIG_AB=y\n");
        let asked = ["CONFIG_A", "CONFIG_B", "CONFIG_C", "CONFIG_AB", "CONFIG"];
        assert_eq!(
            asked.map(|option| config.is_enabled(option)),
            [true, false, false, true, false]
        );
    }
}
