//! `cargo xtask oracle KERNEL`: is what klink makes of a module what Linux makes of it?
//!
//! A kernel boots in QEMU and loads modules. Where its loader has relocated one and patched nothing yet,
//! at `module_finalize`, the guest stops, and its memory is read through QEMU's stub for GDB: every
//! section, where the kernel put it. The dumps go to a folder (target/oracle/KERNEL/dumps), and
//! klink-module is compared with them, byte by byte: no boot is needed to compare again.

mod check;
mod dump;
mod gdb;
mod guest;
mod kernel;
mod target;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Failure;
use crate::boot::modules::{ModuleId, Modules};
use check::Verdict;
use dump::Dump;
use guest::{Guest, Load};
use kernel::Kernel;
use target::{Recipe, Target};

/// `cargo xtask oracle`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kernel whose loader is asked.
    kernel: Target,
    /// Modules to load, besides those that they need [default: a choice of large and odd ones, and
    /// others from all over the tree].
    modules: Vec<String>,
    /// About how many modules to load when none is named [default: as the kernel's row says].
    #[arg(long)]
    count: Option<usize>,
    /// Where the kernel's package is unpacked, or a tree of `cargo xtask kernel` [default: fetched, or
    /// made].
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// Where the dumps are [default: target/oracle/KERNEL/dumps].
    #[arg(long, value_name = "DIR")]
    dumps: Option<PathBuf>,
    /// Boot nothing: compare the dumps that there are.
    #[arg(long)]
    no_boot: bool,
    /// Have the guest list all its symbols too (a file `kallsyms` beside the dumps).
    #[arg(long)]
    symbols: bool,
    /// Give a guest up when its console is silent for this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
    /// Show the console, and every difference.
    #[arg(long, short)]
    verbose: bool,
}

/// Boots, and compares.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let recipe = args.kernel.recipe();
    let kernel = Kernel::find(recipe, args.root.as_deref())?;
    let default = || kernel::folder(recipe.name).join("dumps");
    let dumps = args.dumps.clone().unwrap_or_else(default);
    if !args.no_boot {
        ask(args, recipe, &kernel, &dumps)?;
    }
    let rows = compare(recipe, &kernel, &dumps)?;
    print(&rows, args.verbose)
}

/// Has the guest load modules, in as many boots as it takes: a module that ends a boot is left out of
/// the next, which goes on with those that were not dumped.
fn ask(args: &Args, recipe: &'static Recipe, kernel: &Kernel, dumps: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dumps).map_err(|error| Failure::io("create", dumps, &error))?;
    let modules = Modules::read(&kernel.modules)?;
    let mut wanted = choose(args, recipe, &modules)?;
    let mut left_out = BTreeSet::new();
    while !wanted.is_empty() {
        let mut choice = Choice::new(&modules, recipe);
        for id in &wanted {
            choice.add(*id, &left_out)?;
        }
        let loads = choice.loads();
        eprintln!("xtask: {} modules to load in {}", loads.len(), recipe.name);
        let guest = Guest {
            recipe,
            kernel,
            loads: &loads,
            out: dumps,
            patience: Duration::from_secs(args.patience),
            verbose: args.verbose,
            symbols: args.symbols,
        };
        let outcome = guest.run()?;
        eprintln!("xtask: {} modules dumped", outcome.dumped.len());
        let Some(trouble) = outcome.trouble else {
            return Ok(());
        };
        let last = outcome.last.ok_or_else(|| Failure::new(trouble.clone()))?;
        eprintln!("xtask: without {last} from here on: {trouble}");
        left_out.insert(modules.find(&last)?);
        wanted.retain(|id| !outcome.dumped.contains(&modules.get(*id).name));
    }
    Ok(())
}

/// The modules to load, and what they need.
fn choose(args: &Args, recipe: &Recipe, modules: &Modules) -> Result<Vec<ModuleId>, Failure> {
    let nothing = BTreeSet::new();
    let mut chosen = Choice::new(modules, recipe);
    for name in &args.modules {
        chosen.add(modules.find(name)?, &nothing)?;
    }
    if args.modules.is_empty() {
        // not every kernel has all of the usual ones
        let usual = recipe.modules.iter();
        for id in usual.filter_map(|name| modules.find(name).ok()) {
            chosen.add(id, &nothing)?;
        }
        let count = args.count.unwrap_or(recipe.count);
        let all: Vec<ModuleId> = modules.ids().collect();
        let missing = count.saturating_sub(chosen.seen.len()).max(1);
        let step = (all.len() / missing).max(1);
        for id in all.into_iter().step_by(step) {
            if chosen.seen.len() >= count {
                break;
            }
            chosen.add(id, &nothing)?;
        }
    }
    Ok(chosen.ids().collect())
}

/// Modules in the order in which they are loaded.
struct Choice<'a> {
    modules: &'a Modules,
    recipe: &'a Recipe,
    order: Vec<ModuleId>,
    /// Those that keep the guest from going on, and those that need them: they come last.
    hanging: Vec<ModuleId>,
    seen: BTreeSet<ModuleId>,
}

impl<'a> Choice<'a> {
    fn new(modules: &'a Modules, recipe: &'a Recipe) -> Self {
        Self {
            modules,
            recipe,
            order: Vec::new(),
            hanging: Vec::new(),
            seen: BTreeSet::new(),
        }
    }

    /// Adds a module and what it needs, unless one of them is left out.
    fn add(&mut self, id: ModuleId, left_out: &BTreeSet<ModuleId>) -> Result<(), Failure> {
        let order = self.modules.load_order(id)?;
        if order.iter().any(|id| left_out.contains(id)) {
            return Ok(());
        }
        let mut hangs = false;
        for id in order {
            let name = &self.modules.get(id).name;
            hangs |= self.recipe.hang.iter().any(|(hangs, _)| hangs == name);
            if self.seen.insert(id) {
                match hangs {
                    true => self.hanging.push(id),
                    false => self.order.push(id),
                }
            }
        }
        Ok(())
    }

    /// The modules in their order.
    fn ids(&self) -> impl Iterator<Item = ModuleId> {
        self.order.iter().chain(&self.hanging).copied()
    }

    fn loads(&self) -> Vec<Load> {
        let load = |id| {
            let module = self.modules.get(id);
            Load {
                name: module.name.clone(),
                path: module.path.clone(),
            }
        };
        self.ids().map(load).collect()
    }
}

/// A module and how it compares.
type Row = (String, Verdict);

fn compare(recipe: &Recipe, kernel: &Kernel, dumps: &Path) -> Result<Vec<Row>, Failure> {
    let policy = kernel.policy(recipe)?;
    let mut symbols = Vec::new();
    if let Some(name) = recipe.arch.load.global_pointer.symbol() {
        let image = std::fs::read(&kernel.image)
            .map_err(|error| Failure::io("read", &kernel.image, &error))?;
        symbols.push((name, guest::symbol(&image, name)?));
    }
    let entries = std::fs::read_dir(dumps).map_err(|error| Failure::io("read", dumps, &error))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| {
        path.extension()
            .is_some_and(|extension| extension == "json")
    });
    paths.sort();
    let mut rows = Vec::new();
    for path in paths {
        let dump = Dump::read(&path)?;
        let file = kernel.modules.join(&dump.file);
        let bytes = std::fs::read(&file).map_err(|error| Failure::io("read", &file, &error))?;
        let verdict = check::check(&dump, &bytes, &policy, &symbols)?;
        rows.push((dump.module, verdict));
    }
    Ok(rows)
}

fn print(rows: &[Row], verbose: bool) -> Result<(), Failure> {
    let mut bad = 0;
    for (module, verdict) in rows {
        if verdict.differences.is_empty() {
            continue;
        }
        bad += 1;
        let shown = if verbose { usize::MAX } else { 3 };
        for difference in verdict.differences.iter().take(shown) {
            println!("{module}: {difference}");
        }
        if let Some(more) = verdict
            .differences
            .len()
            .checked_sub(shown)
            .filter(|n| *n > 0)
        {
            println!("{module}: … {more} more");
        }
    }
    let sum = |what: fn(&Verdict) -> u64| -> u64 { rows.iter().map(|row| what(&row.1)).sum() };
    println!(
        "{} modules, {} sections, {} bytes compared, {} stubs: {} equal, {bad} not",
        rows.len(),
        sum(|verdict| verdict.sections as u64),
        sum(|verdict| verdict.bytes),
        sum(|verdict| verdict.stubs),
        rows.len() - bad
    );
    let left_over = sum(|verdict| verdict.left_over);
    if left_over > 0 {
        println!(
            "{left_over} slots for stubs hold a copy that no branch goes to; klink's are empty"
        );
    }
    match (rows.len(), bad) {
        (0, _) => Err(Failure::new("no module was dumped")),
        (_, 0) => Ok(()),
        _ => Err(Failure::new(format!(
            "{bad} modules are not as Linux has them"
        ))),
    }
}
