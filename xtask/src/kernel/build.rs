//! A kernel tree built from Debian's kernel source.
//!
//! The source is unpacked once beside the trees; each tree is a build folder
//! of its own (`make O=`), so the source stays as it is. `make V=1` prints
//! every command; the linker's are kept in `link-commands.txt`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::arch::BUILD_PACKAGES;
use super::{Args, Recipe, absolute, kernels, program_path, run_command, unpack_whole};
use crate::{Failure, tools};

/// Where Debian's package puts the source.
const DEBIAN_SOURCE: &str = "/usr/src/linux-source-6.1.tar.xz";

/// The file in the tree that make's output goes to; it is there from a build's
/// beginning, so it also marks a folder as one of ours.
pub(super) const LOG: &str = "build.log";

/// How many lines of a failed build's log are shown.
const TAIL: usize = 25;

/// How often progress is shown.
const EVERY: Duration = Duration::from_secs(10);

/// What decides a build's result, as the stamp file's text.
pub(super) fn describe(args: &Args) -> String {
    let path = |path: &Option<PathBuf>, default: &str| {
        path.as_ref()
            .map_or_else(|| default.to_owned(), |path| path.display().to_string())
    };
    format!(
        "built from {}\nLD={}\nLDFLAGS_MODULE={}\n{}",
        path(&args.source, DEBIAN_SOURCE),
        path(&args.ld, "GNU ld"),
        args.ldflags_module.as_deref().unwrap_or(""),
        args.arch.recipe().config
    )
}

/// Builds `recipe`'s kernel and modules in `out`.
///
/// A build that was interrupted goes on where it stopped.
pub(super) fn build(recipe: &Recipe, args: &Args, out: &Path) -> Result<(), Failure> {
    let mut packages = BUILD_PACKAGES.to_vec();
    if args.source.is_some() {
        packages.retain(|package| !package.starts_with("linux-source"));
    }
    packages.extend(recipe.build_packages);
    tools::ensure(&packages)?;
    if tools::find_program(&recipe.program("gcc")).is_none() {
        return Err(Failure::new(format!(
            "{} is not here: on this machine install Debian's cross compiler for {}",
            recipe.program("gcc"),
            recipe.name
        )));
    }

    let source = source_folder(args.source.as_deref())?;
    std::fs::create_dir_all(out).map_err(|error| Failure::io("create", out, &error))?;
    let make = |goals: &[&str]| -> Command { make_command(recipe, args, &source, out, goals) };
    let log = out.join(LOG);
    File::create(&log).map_err(|error| Failure::io("create", &log, &error))?;
    configure(recipe, out, &make)?;

    let jobs = args.jobs.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        |jobs| jobs.max(1),
    );
    let jobs = format!("-j{jobs}");
    eprintln!(
        "xtask: building {} (make {jobs}; its output goes to {})",
        recipe.name,
        log.display()
    );
    compile(
        make(&[&jobs, "V=1", "vmlinux", "modules"]),
        &log,
        recipe.objects,
    )?;
    let linker = args
        .ld
        .as_ref()
        .map_or_else(|| recipe.program("ld"), |ld| ld.display().to_string());
    write_link_commands(&log, &linker, out)
}

fn make_command(
    recipe: &Recipe,
    args: &Args,
    source: &Path,
    out: &Path,
    goals: &[&str],
) -> Command {
    let mut command = Command::new("make");
    command.arg("-C").arg(source).args(goals);
    command.arg(format!("O={}", absolute(out).display()));
    command.arg(format!("ARCH={}", recipe.linux_arch));
    command.arg(format!("CROSS_COMPILE={}", recipe.cross));
    if let Some(ld) = &args.ld {
        let ld = program_path(ld);
        command.arg(format!("LD={}", ld.display()));
    }
    if let Some(flags) = &args.ldflags_module {
        command.arg(format!("LDFLAGS_MODULE={flags}"));
    }
    // The same objects whoever builds them, whenever.
    command
        .env("KBUILD_BUILD_USER", "klink")
        .env("KBUILD_BUILD_HOST", "klink")
        .env("KBUILD_BUILD_TIMESTAMP", "2025-01-01 00:00:00 UTC");
    command
}

/// The kernel source, `given` or Debian's, as a folder; a tar file is unpacked
/// beside the default trees, under its own name, once.
pub(crate) fn source_folder(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let source = given.unwrap_or(Path::new(DEBIAN_SOURCE)).to_path_buf();
    if source.is_dir() {
        return Ok(source);
    }
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let name = name.split(".tar").next().unwrap_or(&name);
    let folder = kernels().join(name);
    if !folder.join("Makefile").is_file() {
        eprintln!("xtask: unpacking {}", source.display());
        unpack_whole(&source, &folder)?;
    }
    Ok(folder)
}

/// Writes `.config`: the kernel's defconfig with klink's changes.
fn configure(
    recipe: &Recipe,
    out: &Path,
    make: &dyn Fn(&[&str]) -> Command,
) -> Result<(), Failure> {
    let quiet = |goal: &str| run_command(make(&["-s", goal]).stderr(Stdio::null()));
    quiet(recipe.defconfig)?;
    let path = out.join(".config");
    let mut config =
        std::fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))?;
    config.push_str(recipe.config);
    std::fs::write(&path, config).map_err(|error| Failure::io("write", &path, &error))?;
    quiet("olddefconfig")?;
    let result =
        std::fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))?;
    let refused: Vec<&str> = recipe
        .config
        .lines()
        .filter(|line| line.starts_with("CONFIG_") || line.starts_with("# CONFIG_"))
        .filter(|wanted| !is_configured(&result, wanted))
        .collect();
    if refused.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "this kernel source does not take: {}",
        refused.join(", ")
    )))
}

/// Whether `.config` text says `wanted`; an option that is absent is not set.
fn is_configured(config: &str, wanted: &str) -> bool {
    if config.lines().any(|line| line == wanted) {
        return true;
    }
    let Some(name) = wanted
        .strip_prefix("# ")
        .and_then(|rest| rest.strip_suffix(" is not set"))
    else {
        return false;
    };
    !config.lines().any(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('='))
    })
}

/// Runs make, keeps its output in `log`, and shows how far it is.
fn compile(mut make: Command, log: &Path, objects: u32) -> Result<(), Failure> {
    let mut file = File::create(log).map_err(|error| Failure::io("create", log, &error))?;
    let errors = file
        .try_clone()
        .map_err(|error| Failure::io("write", log, &error))?;
    let mut child = make
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(|error| Failure::new(format!("cannot run {make:?}: {error}")))?;
    let Some(output) = child.stdout.take() else {
        return Err(Failure::new("make's output is not connected"));
    };
    let start = Instant::now();
    let mut shown = start;
    let mut built = 0u32;
    for line in BufReader::new(output).split(b'\n') {
        let mut line = line.map_err(|error| Failure::new(format!("make: {error}")))?;
        if let Some(object) = compiled_object(&line) {
            built += 1;
            if shown.elapsed() >= EVERY {
                shown = Instant::now();
                eprintln!(
                    "  {:>4} s: {built} of about {objects} objects, at {object}",
                    start.elapsed().as_secs()
                );
            }
        }
        line.push(b'\n');
        file.write_all(&line)
            .map_err(|error| Failure::io("write", log, &error))?;
    }
    let status = child
        .wait()
        .map_err(|error| Failure::new(format!("make: {error}")))?;
    if status.success() {
        eprintln!("xtask: built in {} s", start.elapsed().as_secs());
        return Ok(());
    }
    Err(Failure::new(format!(
        "the kernel build failed ({status}); the end of {}:\n{}",
        log.display(),
        tail(log)
    )))
}

/// The object that a line of `make V=1` compiles, if it compiles one.
fn compiled_object(line: &[u8]) -> Option<String> {
    let line = String::from_utf8_lossy(line);
    if !line.contains(" -c ") {
        return None;
    }
    let (_, rest) = line.split_once(" -o ")?;
    let object = rest.split_whitespace().next()?;
    object.ends_with(".o").then(|| object.to_owned())
}

fn tail(log: &Path) -> String {
    let mut last: VecDeque<String> = VecDeque::with_capacity(TAIL + 1);
    if let Ok(file) = File::open(log) {
        for line in BufReader::new(file).split(b'\n').map_while(Result::ok) {
            if last.len() == TAIL {
                last.pop_front();
            }
            last.push_back(String::from_utf8_lossy(&line).into_owned());
        }
    }
    Vec::from(last).join("\n")
}

/// Collects the linker's commands of a build log, in order.
fn write_link_commands(log: &Path, linker: &str, out: &Path) -> Result<(), Failure> {
    let text = std::fs::read(log).map_err(|error| Failure::io("read", log, &error))?;
    let text = String::from_utf8_lossy(&text);
    let mut commands =
        String::from("# every ld command of the kernel build, in order; run them in this folder\n");
    for command in text.lines().flat_map(|line| link_commands(line, linker)) {
        commands.push_str(command);
        commands.push('\n');
    }
    let path = out.join("link-commands.txt");
    std::fs::write(&path, commands).map_err(|error| Failure::io("write", &path, &error))
}

/// The linker commands in one line of `make V=1`.
///
/// Kbuild prints a rule as one line whose commands `;` or `&&` part, and
/// `link-vmlinux.sh` prints with the shell's `+ `.
fn link_commands<'a>(line: &'a str, linker: &'a str) -> impl Iterator<Item = &'a str> {
    line.split("&&")
        .flat_map(|part| part.split(';'))
        .map(|part| part.trim().trim_start_matches("+ ").trim())
        .filter(move |command| {
            command
                .strip_prefix(linker)
                .is_some_and(|rest| rest.starts_with(' ') && rest.contains(" -o "))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_commands_are_found_among_other_commands() {
        let line = "  x-ld -r -m elf_x86_64  -o a.ko a.o a.mod.o;  true";
        let found: Vec<_> = link_commands(line, "x-ld").collect();
        assert_eq!(found, ["x-ld -r -m elf_x86_64  -o a.ko a.o a.mod.o"]);
        let line = "+ x-ld --script=v.lds -o vmlinux vmlinux.a";
        assert_eq!(link_commands(line, "x-ld").count(), 1);
        let line = "x-ld --version && x-ldd -o a b; echo x-ld -o a";
        assert_eq!(link_commands(line, "x-ld").count(), 0);
    }

    #[test]
    fn an_absent_option_counts_as_not_set() {
        let config = "CONFIG_A=y\nCONFIG_AB=y\n# CONFIG_B is not set\n";
        assert!(is_configured(config, "CONFIG_A=y"));
        assert!(is_configured(config, "# CONFIG_B is not set"));
        assert!(is_configured(config, "# CONFIG_C is not set"));
        assert!(!is_configured(config, "# CONFIG_A is not set"));
        assert!(!is_configured(config, "CONFIG_C=m"));
    }

    #[test]
    fn compile_lines_name_their_object() {
        assert_eq!(
            compiled_object(b"  gcc -Wp,-MMD,x.d -c -o fs/a.o fs/a.c").as_deref(),
            Some("fs/a.o")
        );
        assert_eq!(compiled_object(b"  ld -r -o fs/b.o fs/a.o"), None);
    }
}
