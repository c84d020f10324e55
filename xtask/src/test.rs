//! `cargo xtask test`: everything that has to pass, in one command.
//!
//! Each step is a row of [`STEPS`]. A step that cannot run here is skipped, and the closing table
//! says why; nothing is skipped silently. What the tests need from Debian is installed first
//! where that is allowed.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::dist::{cargo, target_folder};
use crate::kernel::workspace;
use crate::{Failure, tidy, tools};

/// Debian packages whose programs the tests run: the assemblers and linkers that klink is
/// checked against, emulators for linked code, and what unpacks the corpus.
const PACKAGES: &[&str] = &[
    "binutils",
    "binutils-aarch64-linux-gnu",
    "binutils-hppa-linux-gnu",
    "binutils-hppa64-linux-gnu",
    "binutils-powerpc64le-linux-gnu",
    "gcc-hppa-linux-gnu",
    "qemu-user",
    "xz-utils",
    "zstd",
];

/// `cargo xtask test`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Run only these steps (comma-separated; `--list` shows them)
    #[arg(long, value_name = "STEP", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave out the steps that take long: the corpus
    #[arg(long)]
    quick: bool,
    /// Show the steps and what each does
    #[arg(long)]
    list: bool,
}

/// One thing that has to pass.
struct Step {
    name: &'static str,
    what: &'static str,
    is_slow: bool,
    run: fn(&mut Context) -> Outcome,
}

const STEPS: &[Step] = &[
    Step {
        name: "tools",
        what: "the Debian packages that tests use; installed if this is root",
        is_slow: false,
        run: tools,
    },
    Step {
        name: "fmt",
        what: "cargo fmt --check",
        is_slow: false,
        run: fmt,
    },
    Step {
        name: "tidy",
        what: "what the sources promise: file lengths, no unsafe code, no paths of one machine",
        is_slow: false,
        run: tidy,
    },
    Step {
        name: "clippy",
        what: "cargo clippy, warnings are errors",
        is_slow: false,
        run: clippy,
    },
    Step {
        name: "doc",
        what: "cargo doc, warnings are errors",
        is_slow: false,
        run: doc,
    },
    Step {
        name: "test",
        what: "cargo nextest run, or cargo test where nextest is not installed",
        is_slow: false,
        run: test,
    },
    Step {
        name: "doctest",
        what: "the examples in the documentation",
        is_slow: false,
        run: doctest,
    },
    Step {
        name: "bare",
        what: "the loader in a crate without the standard library, also for the bare targets installed",
        is_slow: false,
        run: bare,
    },
    Step {
        name: "demo",
        what: "klink demo: every branch of the example reaches its target",
        is_slow: false,
        run: demo,
    },
    Step {
        name: "corpus-hppa32",
        what: "the -r links of a PA-RISC kernel build, compared with GNU ld's ($KLINK_CORPUS)",
        is_slow: true,
        run: |context| corpus(context, &["hppa32"]),
    },
    Step {
        name: "corpus-x86_64",
        what: "the -r links of an x86-64 kernel build, compared with GNU ld's ($KLINK_CORPUS)",
        is_slow: true,
        run: |context| corpus(context, &["x86_64"]),
    },
    Step {
        name: "modules-hppa32",
        what: "the module links of a PA-RISC kernel build, each proved ($KLINK_CORPUS)",
        is_slow: true,
        run: |context| corpus(context, &["hppa32", "--module"]),
    },
    Step {
        name: "modules-x86_64",
        what: "the module links of an x86-64 kernel build, each proved ($KLINK_CORPUS)",
        is_slow: true,
        run: |context| corpus(context, &["x86_64", "--module"]),
    },
    Step {
        name: "images-hppa32",
        what: "the kernel of a PA-RISC build, every branch and field of it proved ($KLINK_CORPUS)",
        is_slow: true,
        run: |context| corpus(context, &["hppa32", "--images", "--prove"]),
    },
    Step {
        name: "images-x86_64",
        what: "the kernel, vDSOs and boot code of an x86-64 build, equal to GNU ld's ($KLINK_CORPUS)",
        is_slow: true,
        run: |context| corpus(context, &["x86_64", "--images"]),
    },
    Step {
        name: "boot-hppa32",
        what: "xfs and ipv6 in QEMU, as GNU ld and as klink linked them ($KLINK_CORPUS)",
        is_slow: true,
        run: |context| boot(context, "hppa32", &["xfs", "ipv6"]),
    },
    Step {
        name: "boot-x86_64",
        what: "KUnit and test modules in QEMU, as GNU ld and as klink linked them ($KLINK_CORPUS)",
        is_slow: true,
        run: |context| boot(context, "x86_64", TEST_MODULES),
    },
    Step {
        name: "oracle-hppa32",
        what: "klink-module against the PA-RISC kernel's own loader in QEMU ($KLINK_CORPUS)",
        is_slow: true,
        run: |context| oracle(context, "hppa32", &["xfs", "ipv6", "nfsd"]),
    },
];

/// Modules of the x86-64 build that report on the console what they tested.
const TEST_MODULES: &[&str] = &[
    "list-test",
    "kunit-example-test",
    "test_user_copy",
    "test_sort",
    "test_static_keys",
    "xfs",
];

/// How a step ended.
#[derive(Debug)]
enum Outcome {
    /// It passed; a word about it, if there is one.
    Passed(String),
    /// It failed; why.
    Failed(String),
    /// It did not run, or not all of it; why.
    Skipped(String),
}

impl Outcome {
    fn word(&self) -> &'static str {
        match self {
            Self::Passed(_) => "passed",
            Self::Failed(_) => "FAILED",
            Self::Skipped(_) => "skipped",
        }
    }

    fn note(&self) -> &str {
        let (Self::Passed(note) | Self::Failed(note) | Self::Skipped(note)) = self;
        note
    }
}

/// What steps know of each other.
struct Context {
    /// The workspace's folder.
    root: PathBuf,
    /// Packages that are not here.
    missing: Vec<&'static str>,
}

/// A step that has run.
struct Done {
    name: &'static str,
    outcome: Outcome,
    time: Duration,
}

/// Runs the steps and prints the closing table. Ends the process with status 1 if a step failed.
///
/// # Errors
/// When `--only` names a step that does not exist.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if args.list {
        for step in STEPS {
            println!("{:<16}{}", step.name, step.what);
        }
        return Ok(());
    }
    let steps = choose(args)?;
    let mut context = Context {
        root: workspace(),
        missing: missing_packages(),
    };
    let mut all = Vec::new();
    for step in steps {
        println!("\n== {}: {}", step.name, step.what);
        let start = Instant::now();
        let outcome = (step.run)(&mut context);
        all.push(Done {
            name: step.name,
            outcome,
            time: start.elapsed(),
        });
    }
    print!("{}", summary(&all));
    if all
        .iter()
        .any(|done| matches!(done.outcome, Outcome::Failed(_)))
    {
        // Not an error of this program, and the count is to be the last line.
        std::process::exit(1);
    }
    Ok(())
}

/// The steps that `args` asks for, in the order of the table.
fn choose(args: &Args) -> Result<Vec<&'static Step>, Failure> {
    let unknown = |name: &&String| STEPS.iter().all(|step| step.name != name.as_str());
    if let Some(name) = args.only.iter().find(unknown) {
        let names: Vec<&str> = STEPS.iter().map(|step| step.name).collect();
        return Err(Failure::new(format!(
            "no step is called {name}; there are {}",
            names.join(", ")
        )));
    }
    let wanted = |step: &&Step| {
        let is_named = args.only.iter().any(|name| name == step.name);
        is_named || (args.only.is_empty() && !(args.quick && step.is_slow))
    };
    Ok(STEPS.iter().filter(wanted).collect())
}

/// The closing table, and one line that counts its rows.
fn summary(all: &[Done]) -> String {
    let mut text = format!("\n{:<16}{:<9}{:>8}\n", "step", "result", "seconds");
    for done in all {
        let seconds = done.time.as_secs_f64();
        let row = format!(
            "{:<16}{:<9}{seconds:>8.1}  {}",
            done.name,
            done.outcome.word(),
            done.outcome.note()
        );
        text.push_str(row.trim_end());
        text.push('\n');
    }
    let count = |word| all.iter().filter(|d| d.outcome.word() == word).count();
    text.push_str(&format!(
        "{} passed, {} failed, {} skipped\n",
        count("passed"),
        count("FAILED"),
        count("skipped")
    ));
    text
}

fn tools(context: &mut Context) -> Outcome {
    // One by one, so that one that cannot be had does not keep the others away.
    for package in &context.missing {
        if let Err(error) = tools::ensure(&[package]) {
            println!("{error}");
        }
    }
    context.missing = missing_packages();
    if context.missing.is_empty() {
        return Outcome::Passed(format!("{} packages are here", PACKAGES.len()));
    }
    Outcome::Skipped(format!("missing: {}", context.missing.join(", ")))
}

fn missing_packages() -> Vec<&'static str> {
    let is_missing = |package: &&&'static str| !tools::is_present(package);
    PACKAGES.iter().filter(is_missing).copied().collect()
}

fn fmt(context: &mut Context) -> Outcome {
    if !runs("cargo", &["fmt", "--version"]) {
        return Outcome::Skipped("rustup component add rustfmt".into());
    }
    let mut example = Command::new("rustfmt");
    example.args([
        "--edition",
        "2024",
        "--check",
        "examples/parisc-module/generate.rs",
    ]);
    let all = cargo(&["fmt", "--all", "--check"]);
    both(context.stream(all), || context.stream(example))
}

fn tidy(context: &mut Context) -> Outcome {
    match tidy::check(&context.root) {
        Ok(complaints) if complaints.is_empty() => Outcome::Passed(String::new()),
        Ok(complaints) => {
            for complaint in &complaints {
                println!("{complaint}");
            }
            Outcome::Failed(format!("{} complaints", complaints.len()))
        }
        Err(error) => Outcome::Failed(error.to_string()),
    }
}

fn clippy(context: &mut Context) -> Outcome {
    if !runs("cargo", &["clippy", "--version"]) {
        return Outcome::Skipped("rustup component add clippy".into());
    }
    let mut command = cargo(&["clippy", "--workspace", "--all-targets"]);
    command.args(["--", "-D", "warnings"]);
    context.stream(command).into()
}

fn doc(context: &mut Context) -> Outcome {
    let mut command = cargo(&["doc", "--workspace", "--no-deps"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    context.stream(command).into()
}

fn test(context: &mut Context) -> Outcome {
    let has_nextest = runs("cargo", &["nextest", "--version"]);
    let mut command = if has_nextest {
        cargo(&["nextest", "run", "--workspace", "--no-fail-fast"])
    } else {
        cargo(&["test", "--workspace", "--all-targets", "--no-fail-fast"])
    };
    if context.missing.is_empty() {
        // Then a test that finds its tool missing is an error.
        command.env("KLINK_REQUIRE_TOOLS", "1");
    } else if has_nextest {
        // Tests that do nothing for want of a tool say so; their words are wanted here.
        command.args(["--success-output", "immediate"]);
    } else {
        command.args(["--", "--nocapture"]);
    }
    let ran = context.stream(command);
    let skipped = ran.skipped();
    if !ran.is_good || skipped.is_empty() {
        return ran.into();
    }
    println!("\ntests that did nothing:");
    for why in &skipped {
        println!("  {why}");
    }
    Outcome::Skipped(format!("in part, for {}", context.missing.join(", ")))
}

fn doctest(context: &mut Context) -> Outcome {
    context
        .stream(cargo(&["test", "--workspace", "--doc", "--quiet"]))
        .into()
}

/// Checks a crate that has a panic handler of its own: the standard library would bring a second one.
fn bare(context: &mut Context) -> Outcome {
    const MANIFEST: &str = "crates/module/tests/bare/Cargo.toml";
    let installed = Command::new("rustup")
        .args(["target", "list", "--installed"])
        .output();
    let installed = installed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let installed = installed.unwrap_or_default();
    let targets = installed.lines().filter(|target| target.contains("-none"));
    for target in [None].into_iter().chain(targets.map(Some)) {
        let mut args = vec!["check", "--quiet", "--manifest-path", MANIFEST];
        args.extend(["--target-dir", "target/bare"]);
        if let Some(target) = target {
            args.extend(["--target", target]);
        }
        let outcome = Outcome::from(context.stream(cargo(&args)));
        if !matches!(outcome, Outcome::Passed(_)) {
            return outcome;
        }
    }
    Outcome::Passed("no standard library".into())
}

fn demo(context: &mut Context) -> Outcome {
    let ran = context.stream(cargo(&[
        "run",
        "--release",
        "--package",
        "klink",
        "--",
        "demo",
    ]));
    let last = ran
        .lines
        .iter()
        .rfind(|line| line.contains("branches"))
        .cloned();
    match Outcome::from(ran) {
        Outcome::Passed(_) => Outcome::Passed(last.unwrap_or_default()),
        other => other,
    }
}

/// `cargo xtask corpus` with these arguments, of which the first is the architecture.
fn corpus(context: &mut Context, args: &[&str]) -> Outcome {
    with_build(context, args[0], "corpus", "--ld", args)
}

/// Boots a finished build's kernel and loads `modules` as each linker made them.
fn boot(context: &mut Context, arch: &str, modules: &[&str]) -> Outcome {
    let args: Vec<&str> = [arch]
        .iter()
        .chain(modules)
        .chain(&["--repeat", "1", "--compare-console"])
        .copied()
        .collect();
    with_build(context, arch, "boot", "--klink", &args)
}

/// Compares `modules` with what the loader of a finished build's kernel makes of them.
fn oracle(context: &mut Context, kernel: &str, modules: &[&str]) -> Outcome {
    if let Some(missing) = missing_build(kernel) {
        return missing;
    }
    let mut command = cargo(&[
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--",
        "oracle",
        kernel,
    ]);
    command.args(modules);
    context.stream(command).into()
}

/// Why a step without the finished build for `arch` is skipped; `None` if it is there.
fn missing_build(arch: &str) -> Option<Outcome> {
    let Some(folder) = env::var_os("KLINK_CORPUS") else {
        let why = "KLINK_CORPUS is not set (a folder of finished builds)";
        return Some(Outcome::Skipped(why.into()));
    };
    let archive = Path::new(&folder).join(format!("linux-6.1-{arch}.tar.zst"));
    if archive.is_file() {
        return None;
    }
    Some(Outcome::Skipped(format!("no {}", archive.display())))
}

/// Runs a chore that needs the finished build for `arch`, with a release build of the linker as the
/// value of `option`.
fn with_build(
    context: &mut Context,
    arch: &str,
    chore: &str,
    option: &str,
    args: &[&str],
) -> Outcome {
    if let Some(missing) = missing_build(arch) {
        return missing;
    }
    let linker = cargo(&["build", "--release", "--package", "klink", "--bins"]);
    let mut command = cargo(&["run", "--quiet", "--package", "xtask", "--", chore]);
    command.args(args);
    match target_folder() {
        Ok(target) => command.arg(option).arg(target.join("release/ld-klink")),
        Err(error) => return Outcome::Failed(error.to_string()),
    };
    both(context.stream(linker), || context.stream(command))
}

/// What a program said, and whether it succeeded.
struct Ran {
    is_good: bool,
    /// Standard output and error, as they came.
    lines: Vec<String>,
    /// Why it could not be started.
    error: Option<String>,
}

impl Ran {
    /// What tests said that did nothing, each once.
    fn skipped(&self) -> Vec<String> {
        let mut all: Vec<String> = (self.lines.iter())
            .filter_map(|line| Some(line[line.find("SKIPPED: ")?..].to_owned()))
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl From<Ran> for Outcome {
    fn from(ran: Ran) -> Self {
        if ran.is_good {
            // nextest counts in its last lines.
            let count = ran.lines.iter().rfind(|line| line.contains("tests run:"));
            let note =
                count.and_then(|line| line.find("] ").map(|at| line[at + 2..].trim().to_owned()));
            return Self::Passed(note.unwrap_or_default());
        }
        let why = ran.error.unwrap_or_else(|| "see above".into());
        Self::Failed(why)
    }
}

/// Runs `next` only if `first` was good.
fn both(first: Ran, next: impl FnOnce() -> Ran) -> Outcome {
    if first.is_good {
        next().into()
    } else {
        first.into()
    }
}

impl Context {
    /// Runs a program in the workspace's folder, and prints what it says while it does.
    fn stream(&self, mut command: Command) -> Ran {
        command.current_dir(&self.root).stdin(Stdio::null());
        match stream(command) {
            Ok(ran) => ran,
            Err(error) => Ran {
                is_good: false,
                lines: Vec::new(),
                error: Some(error.to_string()),
            },
        }
    }
}

fn stream(mut command: Command) -> io::Result<Ran> {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let lines = Mutex::new(Vec::new());
    let pass_on = |source: Option<Box<dyn Read + Send>>| {
        for line in source
            .into_iter()
            .flat_map(|s| BufReader::new(s).split(b'\n'))
        {
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).into_owned();
            println!("{line}");
            if let Ok(mut lines) = lines.lock() {
                lines.push(line);
            }
        }
    };
    let out = child
        .stdout
        .take()
        .map(|s| Box::new(s) as Box<dyn Read + Send>);
    let err = child
        .stderr
        .take()
        .map(|s| Box::new(s) as Box<dyn Read + Send>);
    std::thread::scope(|scope| {
        scope.spawn(|| pass_on(err));
        pass_on(out);
    });
    let is_good = child.wait()?.success();
    Ok(Ran {
        is_good,
        lines: lines.into_inner().unwrap_or_default(),
        error: None,
    })
}

/// Whether `program` can be started with `args` and succeeds.
fn runs(program: impl AsRef<OsStr>, args: &[&str]) -> bool {
    let done = Command::new(program).args(args).output();
    done.is_ok_and(|done| done.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(only: &[&str], quick: bool) -> Args {
        Args {
            only: only.iter().map(|name| (*name).to_owned()).collect(),
            quick,
            list: false,
        }
    }

    #[test]
    fn steps_are_chosen_by_name_or_by_speed() {
        let names = |args: &Args| -> Vec<&str> {
            let chosen = choose(args).unwrap();
            chosen.iter().map(|step| step.name).collect()
        };
        assert_eq!(names(&args(&["doc", "fmt"], false)), ["fmt", "doc"]);
        assert!(names(&args(&[], false)).contains(&"corpus-hppa32"));
        assert!(!names(&args(&[], true)).contains(&"corpus-hppa32"));
        assert!(choose(&args(&["fmtt"], false)).is_err());
    }

    #[test]
    fn the_table_ends_with_a_count_of_its_rows() {
        let done = |name, outcome| Done {
            name,
            outcome,
            time: Duration::from_millis(1250),
        };
        let text = summary(&[
            done("fmt", Outcome::Passed(String::new())),
            done("test", Outcome::Failed("see above".into())),
            done("corpus", Outcome::Skipped("no corpus".into())),
            done("doc", Outcome::Passed(String::new())),
        ]);
        assert!(
            text.ends_with("\n2 passed, 1 failed, 1 skipped\n"),
            "{text}"
        );
        assert!(
            text.contains("\ntest            FAILED        1.2  see above\n"),
            "{text}"
        );
    }

    #[test]
    fn what_a_program_says_is_kept_and_its_failure_seen() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo SKIPPED: as is missing >&2; exit 3"]);
        let ran = stream(command).unwrap();
        assert!(!ran.is_good);
        assert!(ran.lines.contains(&"one".to_owned()));
        assert_eq!(ran.skipped(), ["SKIPPED: as is missing"]);
    }
}
