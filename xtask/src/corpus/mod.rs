//! `cargo xtask corpus ARCH`: links a whole kernel build's links again, with GNU
//! ld and with klink, and compares each pair.
//!
//! Every link gets the tree's own inputs (GNU ld's intermediate results, where a
//! later link uses them), so that one wrong result is reported once and not by
//! all links after it; only where the output goes is changed. A link whose inputs
//! are not in the tree is skipped, and that is told. With `--module` the `.ko`
//! links are klink's module link, and each result is proved instead; with
//! `--prove` images are held against their inputs, and so is GNU ld's own: for
//! linkers that choose other stubs, and so other addresses.

pub(crate) mod command;
pub(crate) mod inputs;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Failure;
use crate::compare::prove::{image, prove};
use crate::compare::{Kind, Options, compare};
use crate::kernel::{self, Arch};
use command::Link;

/// `cargo xtask corpus`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The architecture of the build.
    arch: Arch,
    /// klink's linker [default: target/release/ld-klink].
    #[arg(long, value_name = "PATH")]
    ld: Option<PathBuf>,
    /// An unpacked build [default: $KLINK_CORPUS/linux-6.1-ARCH.tar.zst,
    /// unpacked under target/kernels].
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// Where results go [default: target/corpus/ARCH].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Only links whose output matches.
    #[arg(long, value_name = "GLOB", default_value = "*")]
    only: String,
    /// So many links at once; with 1, the times are good for ratios.
    #[arg(long, short, value_name = "N", default_value_t = 1)]
    jobs: usize,
    /// All links, not only the relocatable ones.
    #[arg(long, conflicts_with = "module")]
    all_links: bool,
    /// The links that are not relocatable: kernels, vDSOs, boot code.
    #[arg(long, conflicts_with_all = ["module", "all_links"])]
    images: bool,
    /// Hold each linker's image against the link's inputs instead of comparing
    /// the two: PA-RISC's stubs, and so its addresses, may differ.
    #[arg(long, requires = "images")]
    prove: bool,
    /// Make the `.ko` files with klink's module link and prove each.
    #[arg(long)]
    module: bool,
    /// Kinds of differences to leave out.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    ignore: Vec<Kind>,
    /// Run GNU ld again even where its result is at hand, so that both
    /// linkers' times are of this run.
    #[arg(long)]
    fresh: bool,
    /// Differences to show for each link.
    #[arg(long, value_name = "N", default_value_t = 5)]
    limit: usize,
}

/// What both linkers made of one link.
struct Outcome {
    gnu: Duration,
    /// Whether GNU ld's result and time are of an earlier run.
    cached: bool,
    klink: Duration,
    /// What was proved, if something was.
    summary: Option<String>,
    /// Why nothing was linked.
    skipped: Option<String>,
    /// What differs; `None` if nothing.
    difference: Option<String>,
}

/// Where everything is.
struct Setting<'a> {
    args: &'a Args,
    tree: PathBuf,
    out: PathBuf,
    ld: PathBuf,
    /// The first line of GNU ld's `--version`: part of the cache's key.
    gnu_version: String,
}

/// Links everything twice and compares.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let tree = tree(args)?;
    let list = tree.join("link-commands.txt");
    let text = std::fs::read_to_string(&list).map_err(|e| Failure::io("read", &list, &e))?;
    let links = command::parse(&text);
    let links = links.map_err(|why| Failure::new(format!("{}: {why}", list.display())))?;
    let wanted = |link: &Link| match (args.module, args.all_links, args.images) {
        (true, ..) => link.is_module(),
        (_, true, _) => true,
        (.., true) => !link.is_relocatable(),
        _ => link.is_relocatable(),
    };
    let links: Vec<Link> = links
        .into_iter()
        .filter(|link| wanted(link) && command::matches(&args.only, &link.output))
        .collect();
    let Some(first) = links.first() else {
        let only = &args.only;
        return Err(Failure::new(format!("no link's output matches {only}")));
    };
    let setting = Setting {
        args,
        gnu_version: gnu_version(&first.program)?,
        out: out_folder(args)?,
        ld: ld(args)?,
        tree,
    };
    let outcomes = link_all(&setting, &links);
    summarise(&setting, &outcomes)
}

/// The unpacked build, or how to get one.
fn tree(args: &Args) -> Result<PathBuf, Failure> {
    let name = args.arch.recipe().name;
    let made = kernel::workspace().join("target/kernels").join(name);
    let at_hand = args.tree.is_some() || made.is_dir();
    if !at_hand && std::env::var_os("KLINK_CORPUS").is_none() {
        return Err(Failure::new(format!(
            "no kernel build to link again: set KLINK_CORPUS to the folder that holds \
             linux-6.1-{name}.tar.zst, or pass --tree with an unpacked build, \
             or make one with `cargo xtask kernel {name}`"
        )));
    }
    let tree = kernel::tree(args.arch, args.tree.as_deref())?;
    tree.canonicalize()
        .map_err(|e| Failure::io("find", &tree, &e))
}

/// The linker to test.
fn ld(args: &Args) -> Result<PathBuf, Failure> {
    let default = || kernel::workspace().join("target/release/ld-klink");
    let path = args.ld.clone().unwrap_or_else(default);
    path.canonicalize().map_err(|_| {
        let path = path.display();
        Failure::new(format!(
            "there is no {path}: build it with `cargo build --release`, or pass --ld"
        ))
    })
}

fn out_folder(args: &Args) -> Result<PathBuf, Failure> {
    let default = || {
        kernel::workspace()
            .join("target/corpus")
            .join(args.arch.recipe().name)
    };
    let out = args.out.clone().unwrap_or_else(default);
    for folder in ["gnu", "klink", "module"] {
        let path = out.join(folder);
        std::fs::create_dir_all(&path).map_err(|e| Failure::io("create", &path, &e))?;
    }
    out.canonicalize()
        .map_err(|e| Failure::io("find", &out, &e))
}

fn gnu_version(program: &str) -> Result<String, Failure> {
    let output = Command::new(program).arg("--version").output();
    let output = output.map_err(|error| {
        Failure::new(format!(
            "cannot run {program}: {error}; `cargo xtask tools` installs what is missing"
        ))
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// Runs all links, several at once, and tells of each as it is done.
fn link_all(setting: &Setting<'_>, links: &[Link]) -> Vec<Result<Outcome, Failure>> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..setting.args.jobs.clamp(1, links.len()) {
            scope.spawn(|| {
                while let Some(link) = links.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = link_one(setting, link);
                    tell(link, &outcome);
                    // A thread that panicked has pushed nothing half-way.
                    let mut all = outcomes.lock().unwrap_or_else(|e| e.into_inner());
                    all.push(outcome);
                }
            });
        }
    });
    outcomes.into_inner().unwrap_or_else(|e| e.into_inner())
}

fn link_one(setting: &Setting<'_>, link: &Link) -> Result<Outcome, Failure> {
    let missing = inputs::missing(link, &setting.tree);
    if let Some(first) = missing.first() {
        let more = match missing.len() {
            1 => String::new(),
            count => format!(" and {} more", count - 1),
        };
        return Ok(Outcome {
            gnu: Duration::ZERO,
            cached: false,
            klink: Duration::ZERO,
            summary: None,
            skipped: Some(format!("the tree has no {first}{more}")),
            difference: None,
        });
    }
    let name = format!("{:03}-{}", link.line, link.output.replace('/', "-"));
    let gnu_path = setting.out.join("gnu").join(&name);
    let (gnu, cached) = link_with_gnu(setting, link, &gnu_path)?;
    let folder = if setting.args.module {
        "module"
    } else {
        "klink"
    };
    let klink_path = setting.out.join(folder).join(&name);
    let mut klink = Command::new(&setting.ld);
    if setting.args.module {
        klink.arg("--module");
    }
    let (klink_time, failed) = link_with(setting, link, klink, &klink_path)?;
    let mut outcome = Outcome {
        gnu,
        cached,
        klink: klink_time,
        summary: None,
        skipped: None,
        difference: failed,
    };
    if outcome.difference.is_some() {
        return Ok(outcome);
    }
    if setting.args.prove {
        prove_images(setting, link, &gnu_path, &klink_path, &mut outcome)?;
        return Ok(outcome);
    }
    let (a, b) = (read(&gnu_path)?, read(&klink_path)?);
    if setting.args.module {
        let proof = prove(&a, &b).map_err(|error| Failure::new(error.to_string()))?;
        outcome.summary = Some(proof.summary());
        if !proof.problems.is_empty() {
            let shown: Vec<_> = proof.problems.iter().take(setting.args.limit).collect();
            outcome.difference = Some(
                shown
                    .into_iter()
                    .fold(String::new(), |text, problem| text + problem + "\n"),
            );
        }
    } else {
        let options = Options {
            ignore: setting.args.ignore.iter().copied().collect(),
        };
        let report = compare(&a, &b, &options);
        let report = report.map_err(|error| Failure::new(format!("{}: {error}", link.output)))?;
        if !report.is_equal() {
            outcome.difference = Some(report.render(setting.args.limit)?);
        }
    }
    Ok(outcome)
}

/// Holds both linkers' images against the inputs.
fn prove_images(
    setting: &Setting<'_>,
    link: &Link,
    gnu: &Path,
    klink: &Path,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let map = map_path(gnu);
    let map = std::fs::read_to_string(&map).map_err(|e| Failure::io("read", &map, &e))?;
    let inputs = inputs::load(&setting.tree, &image::files_of(&map))?;
    let mut summary = String::new();
    let mut problems = String::new();
    for (name, path) in [("GNU ld", gnu), ("klink", klink)] {
        let proof = image::prove_image(&map, &inputs, &read(path)?);
        let proof = proof.map_err(|error| Failure::new(format!("{}: {error}", link.output)))?;
        writeln!(summary, "{name}: {}", proof.summary())?;
        for problem in proof.problems.iter().take(setting.args.limit) {
            writeln!(problems, "{name}: {problem}")?;
        }
    }
    outcome.summary = Some(summary);
    outcome.difference = (!problems.is_empty()).then_some(problems);
    Ok(())
}

/// Where GNU ld's map of a link goes.
fn map_path(output: &Path) -> PathBuf {
    let mut path = output.as_os_str().to_owned();
    path.push(".map");
    path.into()
}

/// GNU ld's result, from an earlier run if that was the same command: how long
/// it took, and whether that was earlier.
fn link_with_gnu(
    setting: &Setting<'_>,
    link: &Link,
    output: &Path,
) -> Result<(Duration, bool), Failure> {
    let tree = setting.tree.display();
    let key = format!(
        "{tree}\n{}\n{} {:?}",
        setting.gnu_version, link.program, link.args
    );
    let mut key_path = output.as_os_str().to_owned();
    key_path.push(".key");
    let key_path = PathBuf::from(key_path);
    let cached = std::fs::read_to_string(&key_path).ok().and_then(|text| {
        let (micros, of) = text.split_once('\n')?;
        let mapped = !setting.args.prove || map_path(output).is_file();
        let same = of == key && output.is_file() && mapped;
        same.then(|| micros.parse().ok().map(Duration::from_micros))?
    });
    if let Some(time) = cached.filter(|_| !setting.args.fresh) {
        return Ok((time, true));
    }
    let mut linker = Command::new(&link.program);
    if setting.args.prove {
        linker.arg("-Map").arg(map_path(output));
    }
    let (time, failed) = link_with(setting, link, linker, output)?;
    if let Some(failed) = failed {
        return Err(Failure::new(format!("GNU ld on {}: {failed}", link.output)));
    }
    let text = format!("{}\n{key}", time.as_micros());
    std::fs::write(&key_path, text).map_err(|e| Failure::io("write", &key_path, &e))?;
    Ok((time, false))
}

/// Runs a linker with a link's arguments; says how long it took, and if it
/// failed, what it said.
fn link_with(
    setting: &Setting<'_>,
    link: &Link,
    mut linker: Command,
    output: &Path,
) -> Result<(Duration, Option<String>), Failure> {
    linker.args(&link.args).arg("-o").arg(output);
    linker.current_dir(&setting.tree);
    // A result of an earlier run must not pass for this one's.
    match std::fs::remove_file(output) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Failure::io("remove", output, &error));
        }
        _ => {}
    }
    let start = Instant::now();
    let done = linker.output();
    let time = start.elapsed();
    let done = done.map_err(|error| Failure::new(format!("cannot run {linker:?}: {error}")))?;
    if done.status.success() && output.is_file() {
        return Ok((time, None));
    }
    let mut text = format!("the linker ended with {}", done.status);
    let said = String::from_utf8_lossy(&done.stderr);
    for line in said.lines().take(setting.args.limit) {
        let _infallible = write!(text, "\n{line}");
    }
    Ok((time, Some(text)))
}

fn tell(link: &Link, outcome: &Result<Outcome, Failure>) {
    match outcome {
        Err(error) => println!("FAIL   {}: {error}", link.output),
        Ok(Outcome {
            skipped: Some(why), ..
        }) => println!("SKIP   {}: {why}", link.output),
        Ok(outcome) => {
            let verdict = match outcome.difference {
                None => "ok    ",
                Some(_) => "DIFFER",
            };
            let millis = |time: Duration| time.as_secs_f64() * 1e3;
            println!(
                "{verdict} {} (ld {:.1} ms, klink {:.1} ms)",
                link.output,
                millis(outcome.gnu),
                millis(outcome.klink)
            );
            let details = [&outcome.summary, &outcome.difference];
            for line in details.into_iter().flatten().flat_map(|text| text.lines()) {
                println!("       {line}");
            }
        }
    }
}

fn summarise(setting: &Setting<'_>, outcomes: &[Result<Outcome, Failure>]) -> Result<(), Failure> {
    let skipped = outcomes.iter().flatten();
    let skipped = skipped.filter(|outcome| outcome.skipped.is_some()).count();
    let done = || {
        let linked = outcomes.iter().flatten();
        linked.filter(|outcome| outcome.skipped.is_none())
    };
    let good = done()
        .filter(|outcome| outcome.difference.is_none())
        .count();
    let seconds = |times: Duration| times.as_secs_f64();
    println!(
        "{} links, {good} {}; ld {:.3} s, klink {:.3} s in sum",
        outcomes.len(),
        if setting.args.module || setting.args.prove {
            "proved"
        } else {
            "equal"
        },
        seconds(done().map(|outcome| outcome.gnu).sum()),
        seconds(done().map(|outcome| outcome.klink).sum()),
    );
    let cached = done().filter(|outcome| outcome.cached).count();
    if cached > 0 {
        println!("ld's time on {cached} of them is of an earlier run; --fresh for a ratio");
    }
    if skipped > 0 {
        println!("{skipped} SKIPPED for want of inputs");
    }
    match outcomes.len() - good - skipped {
        0 => Ok(()),
        bad => Err(Failure::new(format!("{bad} links are not as they must be"))),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::io("read", path, &error))
}
