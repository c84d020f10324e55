//! `cargo xtask kernel ARCH`: a kernel tree to link again and to boot.
//!
//! A *tree* is a finished kernel build: objects, `.mod` lists, `scripts/module.lds`,
//! `modules.order`, `vmlinux`, the `.ko` files as GNU ld linked them, and
//! `link-commands.txt` with every ld command in order. It comes from an archive
//! of such a build where `$KLINK_CORPUS` names a folder of them, and is else
//! built from Debian's linux-source-6.1. A stamp file says which, so that a
//! second call does nothing.

pub(crate) mod arch;
mod build;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Failure, tools};
pub(crate) use arch::{Arch, Recipe};
pub(crate) use build::source_folder;

/// The name of the file in a finished tree that says how it was made.
const STAMP: &str = ".klink-tree";

/// `cargo xtask kernel`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The architecture to make a kernel tree for.
    arch: Arch,
    /// Where the tree goes [default: target/kernels/ARCH].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Build from source even if $KLINK_CORPUS has a finished build.
    #[arg(long)]
    from_source: bool,
    /// A linux-6.1 source folder or tar file to build from [default: Debian's
    /// linux-source-6.1].
    #[arg(long, value_name = "PATH")]
    source: Option<PathBuf>,
    /// The linker of the build (`make LD=`), ld.klink for example; implies
    /// --from-source [default: GNU ld].
    #[arg(long, value_name = "PATH")]
    ld: Option<PathBuf>,
    /// Options for the modules' link (`make LDFLAGS_MODULE=`); implies
    /// --from-source.
    #[arg(long, value_name = "OPTIONS", allow_hyphen_values = true)]
    ldflags_module: Option<String>,
    /// Compile that many files at once [default: one for each processor].
    #[arg(long, short)]
    jobs: Option<usize>,
}

/// Makes the tree that `args` describe and says where it is.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let tree = make(args)?;
    println!("{}", tree.display());
    Ok(())
}

/// The finished tree of `arch`: `given`, or the default place, where it is made
/// first if it is not there.
///
/// # Errors
/// A `given` folder that is not a kernel tree; else what kept the tree from
/// being made.
pub(crate) fn tree(arch: Arch, given: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(tree) = given {
        for file in ["vmlinux", "modules.order", "link-commands.txt"] {
            if !tree.join(file).is_file() {
                return Err(Failure::new(format!(
                    "{} is no kernel tree: it has no {file}; make one with `cargo xtask kernel {}`",
                    tree.display(),
                    arch.recipe().name
                )));
            }
        }
        return Ok(tree.to_path_buf());
    }
    let args = Args {
        arch,
        out: None,
        from_source: false,
        source: None,
        ld: None,
        ldflags_module: None,
        jobs: None,
    };
    let default = default_out(arch.recipe());
    if default.join(STAMP).is_file() {
        return Ok(default);
    }
    make(&args)
}

/// The workspace's folder.
pub(crate) fn workspace() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_path_buf()
}

/// Where trees and the kernel source go.
fn kernels() -> PathBuf {
    workspace().join("target/kernels")
}

fn default_out(recipe: &Recipe) -> PathBuf {
    kernels().join(recipe.name)
}

fn make(args: &Args) -> Result<PathBuf, Failure> {
    let recipe = args.arch.recipe();
    let out = args.out.clone().unwrap_or_else(|| default_out(recipe));
    let from_source = args.from_source
        || args.source.is_some()
        || args.ld.is_some()
        || args.ldflags_module.is_some();
    let archive = if from_source {
        None
    } else {
        corpus_archive(recipe)?
    };
    let stamp = match &archive {
        Some(archive) => format!("unpacked from {}\n", archive.display()),
        None => build::describe(args),
    };
    if std::fs::read_to_string(out.join(STAMP)).is_ok_and(|was| was == stamp) {
        eprintln!("xtask: {} is up to date", out.display());
        return Ok(out);
    }
    match archive {
        Some(archive) => unpack_corpus(&archive, &out)?,
        None => {
            // An interrupted build goes on; a tree made otherwise is replaced.
            if !out.join(build::LOG).is_file() || out.join(STAMP).is_file() {
                clear(&out)?;
            }
            build::build(recipe, args, &out)?;
        }
    }
    let path = out.join(STAMP);
    std::fs::write(&path, stamp).map_err(|error| Failure::io("write", &path, &error))?;
    Ok(out)
}

/// The finished build in `$KLINK_CORPUS`, if that variable is set.
fn corpus_archive(recipe: &Recipe) -> Result<Option<PathBuf>, Failure> {
    let Some(folder) = std::env::var_os("KLINK_CORPUS") else {
        return Ok(None);
    };
    let archive = Path::new(&folder).join(format!("linux-6.1-{}.tar.zst", recipe.name));
    if archive.is_file() {
        return Ok(Some(archive));
    }
    Err(Failure::new(format!(
        "$KLINK_CORPUS has no {}; unset it (or pass --from-source) to build the kernel instead",
        archive.display()
    )))
}

/// Unpacks the one folder of `archive` as `out`.
fn unpack_corpus(archive: &Path, out: &Path) -> Result<(), Failure> {
    tools::ensure(&["zstd"])?;
    clear(out)?;
    eprintln!("xtask: unpacking {}", archive.display());
    unpack_whole(archive, out)
}

/// Removes `out` if it is a tree of ours, and makes it anew, empty.
///
/// A folder that holds anything but a stamped tree is left alone: `--out` may
/// have been mistyped.
fn clear(out: &Path) -> Result<(), Failure> {
    let occupied = std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some());
    if occupied && !out.join(STAMP).is_file() {
        return Err(Failure::new(format!(
            "{} is not empty and is no finished kernel tree; remove it or name another --out",
            out.display()
        )));
    }
    if occupied {
        std::fs::remove_dir_all(out).map_err(|error| Failure::io("remove", out, &error))?;
    }
    std::fs::create_dir_all(out).map_err(|error| Failure::io("create", out, &error))
}

/// [Unpacks](unpack) under another name first, so that a folder called `out` is
/// whole. `out` may be there, empty.
fn unpack_whole(archive: &Path, out: &Path) -> Result<(), Failure> {
    let mut partial = out.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    if partial.exists() {
        std::fs::remove_dir_all(&partial)
            .map_err(|error| Failure::io("remove", &partial, &error))?;
    }
    std::fs::create_dir_all(&partial).map_err(|error| Failure::io("create", &partial, &error))?;
    unpack(archive, &partial)?;
    std::fs::rename(&partial, out).map_err(|error| Failure::io("create", out, &error))
}

/// Unpacks a tar file (compressed in a way that tar recognises) into `out`,
/// without the one folder that everything in it is under.
fn unpack(archive: &Path, out: &Path) -> Result<(), Failure> {
    let mut tar = Command::new("tar");
    tar.arg("-xf").arg(archive).arg("-C").arg(out);
    tar.args(["--strip-components=1", "--no-same-owner"]);
    run_command(&mut tar)
}

/// `path` from the root folder, for programs that run in another folder.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// A program for a command that runs in another folder: a path is made
/// absolute, a bare name left to be found in `$PATH`.
pub(crate) fn program_path(program: &Path) -> PathBuf {
    if program.components().count() > 1 {
        absolute(program)
    } else {
        program.to_path_buf()
    }
}

/// Runs `command` to its end.
///
/// # Errors
/// The whole command line, and how it ended.
pub(crate) fn run_command(command: &mut Command) -> Result<(), Failure> {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("{command:?} failed: {status}"))),
        Err(error) => Err(Failure::new(format!("cannot run {command:?}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_finished_tree_or_an_empty_folder_is_cleared() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let out = folder.path();
        clear(out).expect("an empty folder may be used");
        std::fs::write(out.join("letter.txt"), "dear").expect("writable");
        assert!(clear(out).is_err());
        assert!(out.join("letter.txt").is_file());
        std::fs::write(out.join(STAMP), "").expect("writable");
        clear(out).expect("a stamped tree may be replaced");
        assert!(!out.join("letter.txt").exists());
    }
}
