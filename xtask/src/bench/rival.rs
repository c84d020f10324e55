//! The linkers that are compared, and how each is run.

use std::path::PathBuf;
use std::process::Command;

use serde::Serialize;

use super::Workload;
use super::measure::{self, Sample};
use crate::Failure;
use crate::corpus::command::Link;

/// lld's program for ELF: the newest that Debian 12 can have, or the one that is here.
const LLD: [&str; 2] = ["ld.lld-19", "ld.lld"];

/// The name of lld's program, if it is here.
pub(super) fn lld() -> Option<&'static str> {
    let here = |program: &&str| crate::tools::find_program(program).is_some();
    LLD.into_iter().find(here)
}

/// GNU ld's options in kernel builds that lld refuses; none changes the output.
const NOT_OF_LLD: &[&str] = &["--no-warn-rwx-segments", "--no-ld-generated-unwind-info"];

/// One of the linkers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Rival {
    /// GNU ld, as the build called it.
    Ld,
    /// LLVM's lld, where it can do the link.
    Lld,
    /// klink with the same options: the same output.
    Klink,
    /// klink's module link.
    Module,
}

impl Rival {
    /// Those that link modules; the one first that the others are compared with.
    pub(super) const MODULES: &[Self] = &[Self::Ld, Self::Klink, Self::Module];

    /// What to call it in a table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ld => "GNU ld -r",
            Self::Lld => "lld -r",
            Self::Klink => "klink -r",
            Self::Module => "klink -r --module",
        }
    }

    /// What to call it in a table of links that are not relocatable.
    pub(super) fn image_name(self) -> &'static str {
        match self {
            Self::Ld => "GNU ld",
            Self::Lld => "lld",
            Self::Klink => "klink",
            Self::Module => self.name(),
        }
    }

    /// Its folder for outputs.
    fn folder(self) -> &'static str {
        match self {
            Self::Ld => "ld",
            Self::Lld => "lld",
            Self::Klink => "klink",
            Self::Module => "module",
        }
    }
}

/// What all measurements share.
pub(super) struct Bench {
    /// klink's linker.
    pub(super) klink: PathBuf,
    /// Where outputs go.
    pub(super) out: PathBuf,
}

impl Bench {
    /// Does all links of a workload, one after another.
    ///
    /// # Errors
    /// When one fails; what the linker said.
    pub(super) fn link_all(&self, rival: Rival, workload: &Workload) -> Result<Sample, Failure> {
        let mut sum = Sample::default();
        for link in &workload.links {
            let mut command = self.command(rival, workload, link)?;
            sum.add(&measure::run(&mut command)?);
        }
        Ok(sum)
    }

    /// The command that does one link, with the place for its output made and
    /// empty: what a build from scratch has.
    ///
    /// # Errors
    /// When the place cannot be made or emptied.
    pub(super) fn command(
        &self,
        rival: Rival,
        workload: &Workload,
        link: &Link,
    ) -> Result<Command, Failure> {
        let output = self.output(rival, workload, link);
        if let Some(folder) = output.parent() {
            std::fs::create_dir_all(folder).map_err(|e| Failure::io("create", folder, &e))?;
        }
        match std::fs::remove_file(&output) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io("remove", &output, &error));
            }
            _ => {}
        }
        let mut command = match rival {
            Rival::Ld => Command::new(&link.program),
            Rival::Lld => Command::new(lld().unwrap_or(LLD[1])),
            Rival::Klink | Rival::Module => Command::new(&self.klink),
        };
        if rival == Rival::Module {
            command.arg("--module");
        }
        let knows = |arg: &&String| rival != Rival::Lld || !NOT_OF_LLD.contains(&arg.as_str());
        command.args(link.args.iter().filter(knows));
        command.arg("-o").arg(output);
        command.current_dir(&workload.tree);
        Ok(command)
    }

    /// Where a link's output goes; links of different workloads never share
    /// one.
    pub(super) fn output(&self, rival: Rival, workload: &Workload, link: &Link) -> PathBuf {
        let of_workload: String = workload
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        self.out
            .join(of_workload)
            .join(rival.folder())
            .join(link.output.replace('/', "-"))
    }
}
