//! Programs that come from Debian packages: find them, or install them.
//!
//! A chore names the *packages* it needs; the table below knows a file each
//! package brings, which is how its presence is checked without asking dpkg
//! (so that a machine with the program from elsewhere is fine too).

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Once;

use crate::Failure;

/// How a package's presence shows.
#[derive(Debug, Clone, Copy)]
enum Sign {
    /// A program in `$PATH`.
    Program(&'static str),
    /// A file at a fixed path.
    File(&'static str),
}

/// Every Debian package that some chore or test uses, and how it is noticed.
const PACKAGES: &[(&str, Sign)] = &[
    ("bc", Sign::Program("bc")),
    ("binutils", Sign::Program("ld")),
    (
        "binutils-aarch64-linux-gnu",
        Sign::Program("aarch64-linux-gnu-ld"),
    ),
    (
        "binutils-hppa-linux-gnu",
        Sign::Program("hppa-linux-gnu-ld"),
    ),
    (
        "binutils-hppa64-linux-gnu",
        Sign::Program("hppa64-linux-gnu-ld"),
    ),
    (
        "binutils-powerpc64le-linux-gnu",
        Sign::Program("powerpc64le-linux-gnu-ld"),
    ),
    ("bison", Sign::Program("bison")),
    ("bzip2", Sign::Program("bzip2")),
    ("flex", Sign::Program("flex")),
    ("gcc", Sign::Program("gcc")),
    ("gcc-hppa-linux-gnu", Sign::Program("hppa-linux-gnu-gcc")),
    ("hyperfine", Sign::Program("hyperfine")),
    ("kmod", Sign::File("/sbin/depmod")),
    ("libc6-dev", Sign::File("/usr/include/stdlib.h")),
    (
        "libc6-dev-hppa-cross",
        Sign::File("/usr/hppa-linux-gnu/include/stdlib.h"),
    ),
    ("libelf-dev", Sign::File("/usr/include/gelf.h")),
    ("libssl-dev", Sign::File("/usr/include/openssl/ssl.h")),
    (
        "linux-source-6.1",
        Sign::File("/usr/src/linux-source-6.1.tar.xz"),
    ),
    ("lld", Sign::Program("ld.lld")),
    ("make", Sign::Program("make")),
    ("perl", Sign::Program("perl")),
    ("qemu-system-arm", Sign::Program("qemu-system-aarch64")),
    ("qemu-system-misc", Sign::Program("qemu-system-hppa")),
    ("qemu-system-ppc", Sign::Program("qemu-system-ppc64")),
    ("qemu-system-x86", Sign::Program("qemu-system-x86_64")),
    ("qemu-user", Sign::Program("qemu-hppa")),
    ("rsync", Sign::Program("rsync")),
    ("valgrind", Sign::Program("valgrind")),
    ("xfsprogs", Sign::File("/sbin/mkfs.xfs")),
    ("xz-utils", Sign::Program("xz")),
    ("zstd", Sign::Program("zstd")),
];

/// `cargo xtask tools`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Packages to check and install; all that klink's chores use when none is
    /// named.
    packages: Vec<String>,
}

/// Installs what is missing of the named packages (or of all).
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let all: Vec<&str> = if args.packages.is_empty() {
        PACKAGES.iter().map(|(package, _)| *package).collect()
    } else {
        args.packages.iter().map(String::as_str).collect()
    };
    ensure(&all)?;
    println!("all {} packages are here", all.len());
    Ok(())
}

/// Makes sure that every named Debian package is present.
///
/// Missing ones are installed with apt-get when this process runs as root.
///
/// # Errors
/// Names each package that is missing and could not be installed, with the
/// command that would install them.
pub(crate) fn ensure(packages: &[&str]) -> Result<(), Failure> {
    let missing = missing_of(packages);
    if missing.is_empty() {
        return Ok(());
    }
    if is_root() && find_program("apt-get").is_some() {
        update_lists();
        for package in &missing {
            install(package);
        }
    }
    let still = missing_of(packages);
    if still.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "missing Debian packages: {}\n  install them as root, one command each where the resolver \
         refuses them together:\n  apt-get update && for p in {}; do apt-get install -y \
         --no-install-recommends $p; done",
        still.join(", "),
        still.join(" ")
    )))
}

/// The path of `program` in `$PATH`, or in the sbin folders that an ordinary
/// user's `$PATH` lacks.
pub(crate) fn find_program(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

fn missing_of<'a>(packages: &[&'a str]) -> Vec<&'a str> {
    packages
        .iter()
        .copied()
        .filter(|package| !is_present(package))
        .collect()
}

/// Whether a package is installed, or what it brings is here from elsewhere.
pub(crate) fn is_present(package: &str) -> bool {
    match PACKAGES.iter().find(|(name, _)| *name == package) {
        Some((_, Sign::Program(program))) => find_program(program).is_some(),
        Some((_, Sign::File(file))) => Path::new(file).exists(),
        // A package without a row is looked up in dpkg's own list.
        None => Command::new("dpkg-query")
            .args(["-W", "-f", "${Status}", package])
            .output()
            .is_ok_and(|out| out.stdout.ends_with(b"install ok installed")),
    }
}

/// Whether this process has root's user id, as Linux shows it in `/proc`.
fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status.lines().find(|line| line.starts_with("Uid:"))?;
            line.split_whitespace().nth(2).map(|euid| euid == "0")
        })
        .unwrap_or(false)
}

/// Refreshes apt's lists, once for each run of this program.
fn update_lists() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| apt_get(&["update", "-q"]));
}

/// Installs one package. One at a time: Debian's resolver refuses some of
/// these in one command (the cross compilers' and QEMU's alternatives), and
/// one package that cannot be had should not keep the others away.
fn install(package: &str) {
    eprintln!("xtask: installing {package}");
    apt_get(&["install", "-y", "-q", "--no-install-recommends", package]);
}

/// Runs apt-get; a failure shows afterwards, as the package is still missing.
fn apt_get(args: &[&str]) {
    let done = Command::new("apt-get")
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status();
    match done {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("xtask: apt-get {}: {status}", args.join(" ")),
        Err(error) => eprintln!("xtask: apt-get {}: {error}", args.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_package_is_named_with_the_command_that_installs_it() {
        let missing = missing_of(&["libc6-dev", "no-such-package-for-klink"]);
        assert!(missing.contains(&"no-such-package-for-klink"));
    }

    #[test]
    fn programs_are_found_in_path_and_others_are_not() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-for-klink").is_none());
    }

    #[test]
    fn the_table_is_sorted_and_names_each_package_once() {
        assert!(PACKAGES.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
