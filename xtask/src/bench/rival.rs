//! The linkers that are compared, and how each is run.

use std::path::PathBuf;
use std::process::Command;

use serde::Serialize;

use super::Workload;
use super::measure::{self, Sample};
use crate::Failure;
use crate::corpus::command::Link;

/// One of the linkers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Rival {
    /// GNU ld, as the build called it.
    Ld,
    /// klink with the same options: the same output.
    Klink,
    /// klink's module link.
    Module,
}

impl Rival {
    /// All, the one first that the others are compared with.
    pub(super) const ALL: [Self; 3] = [Self::Ld, Self::Klink, Self::Module];

    /// What to call it in a table.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ld => "GNU ld -r",
            Self::Klink => "klink -r",
            Self::Module => "klink -r --module",
        }
    }

    /// Its folder for outputs.
    fn folder(self) -> &'static str {
        match self {
            Self::Ld => "ld",
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
            Rival::Klink | Rival::Module => Command::new(&self.klink),
        };
        if rival == Rival::Module {
            command.arg("--module");
        }
        command.args(&link.args).arg("-o").arg(output);
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
