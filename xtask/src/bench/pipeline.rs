//! From objects to `vmlinux` and `System.map`: the kernel's own `scripts/link-vmlinux.sh` with GNU ld
//! and with lld against `klink kbuild`, which links once.
//!
//! Each runs in a folder of links to a finished build, with the environment that kbuild gives. The
//! generators of the script (`kallsyms`, `sorttable`) are compiled before; what all three would do
//! alike, the compile of `init/version-timestamp.o`, is left out.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::measure::{self, Sample};
use super::rival::lld;
use super::{Args, find_tree, images};
use crate::Failure;
use crate::kernel::{self, Arch, Recipe, run_command};

/// One way from objects to a kernel.
struct Way {
    name: String,
    /// The program, and what it links with.
    program: PathBuf,
    linker: String,
}

/// A build, ready to be linked again and again.
struct Setup {
    recipe: &'static Recipe,
    folder: PathBuf,
    source: PathBuf,
    /// `$(KBUILD_LDFLAGS) $(LDFLAGS_vmlinux)`, of GNU ld.
    flags: Vec<String>,
    script: String,
    libraries: Vec<String>,
}

/// Measures and gives a table in Markdown.
///
/// # Errors
/// A missing build, kernel source or program; a way that fails.
pub(super) fn run(args: &Args, klink: &Path, out: &Path) -> Result<String, Failure> {
    let mut text =
        String::from("| objects to vmlinux and System.map | median | ratio |\n|---|--:|--:|\n");
    for (arch, given) in [
        (Arch::X86_64, args.tree_x86_64.as_deref()),
        (Arch::Hppa32, args.tree.as_deref()),
    ] {
        let tree = match find_tree(arch, given) {
            Ok(tree) => tree,
            Err(error) if given.is_none() => {
                eprintln!("xtask: {} is left out: {error}", arch.recipe().name);
                continue;
            }
            Err(error) => return Err(error),
        };
        let setup = Setup::new(arch, &tree, out)?;
        let ways = ways(&setup, klink)?;
        let mut samples: Vec<Vec<Sample>> = vec![Vec::new(); ways.len()];
        for _ in 0..args.runs {
            for (way, samples) in ways.iter().zip(&mut samples) {
                samples.push(measure::run(&mut setup.command(way))?);
            }
        }
        let medians: Vec<f64> = samples.iter().map(|samples| median(samples)).collect();
        let klinked = medians.last().copied().unwrap_or_default();
        for (way, time) in ways.iter().zip(&medians) {
            let (name, kernel) = (&way.name, setup.recipe.name);
            let ratio = time / klinked;
            let _ = writeln!(text, "| {kernel}, {name} | {time:.0} ms | {ratio:.1}× |");
        }
    }
    Ok(text)
}

/// GNU ld, lld where it knows the architecture and is here, klink.
fn ways(setup: &Setup, klink: &Path) -> Result<Vec<Way>, Failure> {
    let script = setup.source.join("scripts/link-vmlinux.sh");
    let mut ways = vec![Way {
        name: "link-vmlinux.sh, GNU ld".to_owned(),
        program: script.clone(),
        linker: setup.recipe.program("ld"),
    }];
    if setup.recipe.name == Arch::X86_64.recipe().name
        && let Some(linker) = lld()
    {
        ways.push(Way {
            name: "link-vmlinux.sh, lld".to_owned(),
            program: script,
            linker: linker.to_owned(),
        });
    }
    let program = klink.with_file_name("klink");
    if !program.is_file() {
        return Err(Failure::new(format!("{} is not here", program.display())));
    }
    ways.push(Way {
        name: "klink kbuild".to_owned(),
        program,
        linker: klink.display().to_string(),
    });
    Ok(ways)
}

impl Setup {
    fn new(arch: Arch, tree: &Path, out: &Path) -> Result<Self, Failure> {
        let recipe = arch.recipe();
        let source = kernel::source_folder(None)?;
        let folder = out.join(format!("pipeline-{}", recipe.name));
        if folder.exists() {
            fs::remove_dir_all(&folder).map_err(|error| Failure::io("remove", &folder, &error))?;
        }
        run_command(
            Command::new("cp")
                .arg("-as")
                .arg(kernel::absolute(tree))
                .arg(&folder),
        )?;
        // These are written: they must not be links to the build's own.
        for made in ["vmlinux", "System.map"] {
            let _ = fs::remove_file(folder.join(made));
        }
        let release = folder.join("include/config/kernel.release");
        if !release.exists() {
            fs::write(&release, "6.1\n").map_err(|error| Failure::io("write", &release, &error))?;
        }
        let link = images::vmlinux(tree)?;
        let words: Vec<&str> = link.args.iter().map(String::as_str).collect();
        let at = |word: &str| words.iter().position(|other| *other == word);
        let output = at("-o").unwrap_or(0);
        let is_script = |word: &&&str| word.starts_with("--script=");
        let script = words.iter().find(is_script).copied().unwrap_or_default();
        let flags = words[..output].iter().filter(|word| !is_script(word));
        let libraries = match (at("--start-group"), at("--end-group")) {
            (Some(start), Some(end)) => words[start + 1..end].to_vec(),
            _ => Vec::new(),
        };
        let setup = Self {
            recipe,
            source,
            flags: flags.map(|&word| word.to_owned()).collect(),
            script: script
                .trim_start_matches("--script=")
                .trim_start_matches("./")
                .to_owned(),
            libraries: libraries.into_iter().map(str::to_owned).collect(),
            folder,
        };
        setup.compile_generators()?;
        Ok(setup)
    }

    /// Compiles what the script makes tables with, as the kernel's build does (Linux 6.1,
    /// `scripts/Makefile`).
    fn compile_generators(&self) -> Result<(), Failure> {
        let config = self.folder.join("include/config/auto.conf");
        let config =
            fs::read_to_string(&config).map_err(|error| Failure::io("read", &config, &error))?;
        let enabled = |option: &str| config.lines().any(|line| line == format!("{option}=y"));
        let mut options = Vec::new();
        if enabled("CONFIG_UNWINDER_ORC") {
            let headers = self.source.join("tools/arch/x86/include");
            options.push("-DUNWINDER_ORC_ENABLED".to_owned());
            options.push(format!("-I{}", headers.display()));
        }
        if enabled("CONFIG_BUILDTIME_MCOUNT_SORT") {
            options.push("-DMCOUNT_SORT_ENABLED".to_owned());
        }
        for program in ["kallsyms", "sorttable"] {
            let made = self.folder.join("scripts").join(program);
            compile_generator(&self.source, program, &options, &made)?;
        }
        Ok(())
    }

    /// What kbuild runs.
    fn command(&self, way: &Way) -> Command {
        let source_arch = match self.recipe.linux_arch {
            "x86_64" => "x86",
            other => other,
        };
        let source = |path: &str| self.source.join(path).display().to_string();
        let include = [
            format!("arch/{source_arch}/include"),
            format!("arch/{source_arch}/include/uapi"),
            "include".to_owned(),
            "include/uapi".to_owned(),
        ];
        let include: Vec<String> = include
            .iter()
            .map(|path| format!("-I{}", source(path)))
            .collect();
        let bits = match self.recipe.name {
            "x86_64" => "-D__KERNEL__ -DCONFIG_64BIT=1",
            _ => "-D__KERNEL__",
        };
        let is_lld = way.linker.contains("lld");
        // lld warns of nothing that this option is about, and does not know it.
        let flags = self.flags.iter().map(String::as_str);
        let flags: Vec<&str> = flags
            .filter(|flag| !is_lld || *flag != "--no-warn-rwx-segments")
            .collect();
        let mut command = Command::new(&way.program);
        if way.program.ends_with("klink") {
            command.arg("kbuild");
        }
        command.args([way.linker.as_str(), &flags.join(" "), ""]);
        command.current_dir(&self.folder);
        command
            // version-timestamp.o is there.
            .env("MAKE", "true")
            .env("CONFIG_SHELL", "sh")
            .env("srctree", &self.source)
            .env("objtree", ".")
            .env("SRCARCH", source_arch)
            .env("KBUILD_LDS", &self.script)
            .env("KBUILD_VMLINUX_LIBS", self.libraries.join(" "))
            .env("CC", self.recipe.program("gcc"))
            .env("NM", self.recipe.program("nm"))
            .env("LINUXINCLUDE", include.join(" "))
            .env("KBUILD_CPPFLAGS", bits)
            .env("KBUILD_AFLAGS", "-D__ASSEMBLY__")
            .env("LC_ALL", "C");
        command
    }
}

/// Compiles one of the kernel's own programs that make tables.
///
/// # Errors
/// A missing compiler or source.
pub(super) fn compile_generator(
    source: &Path,
    program: &str,
    options: &[String],
    made: &Path,
) -> Result<(), Failure> {
    let mut compile = Command::new("gcc");
    compile.args(["-O2", "-fomit-frame-pointer", "-std=gnu11", "-w", "-o"]);
    compile.arg(made).args(options);
    compile.arg("-I").arg(source.join("tools/include"));
    compile.arg(source.join(format!("scripts/{program}.c")));
    run_command(compile.arg("-lpthread"))
}

/// In milliseconds.
pub(super) fn median(samples: &[Sample]) -> f64 {
    let mut times: Vec<_> = samples.iter().map(Sample::wall).collect();
    times.sort_unstable();
    let middle = times.get(times.len() / 2);
    middle.map_or(0.0, |time| time.as_secs_f64() * 1e3)
}
