//! `cargo xtask dist`: the programs under the names they are used by.
//!
//! Cargo allows no dot in a program's name, and a kernel build that is told `LD=ld.klink` wants
//! just that one.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;
use crate::kernel::workspace;

/// Programs as cargo builds them, and as they are used.
const PROGRAMS: &[(&str, &str)] = &[("klink", "klink"), ("ld-klink", "ld.klink")];

/// `cargo xtask dist`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Put the programs here instead of target/dist
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Builds klink and copies its programs to one folder.
///
/// # Errors
/// When the build fails or a file cannot be written.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let built = cargo(&["build", "--release", "--package", "klink", "--bins"])
        .status()
        .map_err(|error| Failure::io("run", Path::new("cargo"), &error))?;
    if !built.success() {
        return Err(Failure::new("the build failed"));
    }
    let target = target_folder()?;
    let folder = args.to.clone().unwrap_or_else(|| target.join("dist"));
    fs::create_dir_all(&folder).map_err(|error| Failure::io("create", &folder, &error))?;
    for (built, used) in PROGRAMS {
        let from = target.join("release").join(built);
        let to = folder.join(used);
        // A running program cannot be written to, but its file can be replaced.
        let fresh = folder.join(format!(".{used}.new"));
        fs::copy(&from, &fresh).map_err(|error| Failure::io("copy", &from, &error))?;
        fs::rename(&fresh, &to).map_err(|error| Failure::io("create", &to, &error))?;
        println!("{}", to.display());
    }
    Ok(())
}

/// The cargo that runs this, with `args`, in the workspace's folder.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(args).current_dir(workspace());
    command
}

/// Where cargo puts what it builds: `$CARGO_TARGET_DIR` and the configuration have a say.
///
/// # Errors
/// When cargo does not say.
pub(crate) fn target_folder() -> Result<PathBuf, Failure> {
    let asked = cargo(&["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .map_err(|error| Failure::io("run", Path::new("cargo"), &error))?;
    let answer: serde_json::Value = serde_json::from_slice(&asked.stdout)
        .map_err(|error| Failure::new(format!("cargo metadata: {error}")))?;
    let folder = answer["target_directory"].as_str();
    folder
        .map(PathBuf::from)
        .ok_or_else(|| Failure::new("cargo metadata names no target folder"))
}
