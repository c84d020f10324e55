//! `cargo xtask boot ARCH MODULE…`: do klink's modules load, work, and load
//! faster, in an unmodified kernel?
//!
//! Each module is loaded in QEMU as GNU ld linked it and as klink did, in turns
//! within one boot, with what it needs linked by the same linker. A module
//! without an exit function cannot be unloaded for the next turn: it gets a boot
//! for each variant, and its times are compared relative to a reference module
//! that both boots time. `--all` and `--compare-console` give every module a
//! boot for each variant, so that both say what they say only once.

mod commands;
mod console;
pub(crate) mod initramfs;
pub(crate) mod kallsyms;
pub(crate) mod modules;
pub(crate) mod qemu;
mod report;
mod variants;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Failure;
use crate::kernel::{self, Arch, Recipe};
use commands::CommandFile;
use modules::{ModuleId, Modules};
use qemu::End;
use report::{Row, Seen};
use variants::{Linkers, Variant};

/// `cargo xtask boot`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kernel to boot.
    arch: Arch,
    /// Modules to load: names, or paths as in modules.order.
    #[arg(required_unless_present = "all")]
    modules: Vec<String>,
    /// Every module of the tree, one boot for each variant; compares results
    /// and console output.
    #[arg(long, conflicts_with = "modules")]
    all: bool,
    /// The kernel tree [default: target/kernels/ARCH, made if it is missing].
    #[arg(long, value_name = "DIR")]
    tree: Option<PathBuf>,
    /// The kernel image [default: vmlinux of the tree].
    #[arg(long, value_name = "FILE")]
    kernel: Option<PathBuf>,
    /// Words for the kernel's command line instead of the architecture's own,
    /// which on x86-64 are "nokaslr".
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Option<String>,
    /// Modules that klink linked, by their path in the tree or by name
    /// [default: link them now].
    #[arg(long, value_name = "DIR")]
    klink_dir: Option<PathBuf>,
    /// The linker to link them with [default: this workspace's, built now].
    #[arg(long, value_name = "PATH", conflicts_with = "klink_dir")]
    klink: Option<PathBuf>,
    /// Options for it, parted by spaces.
    #[arg(
        long,
        value_name = "OPTIONS",
        default_value = "--module",
        allow_hyphen_values = true
    )]
    klink_options: String,
    /// Boot only what GNU ld linked.
    #[arg(long, conflicts_with_all = ["klink", "klink_dir"])]
    no_klink: bool,
    /// Load a third variant: GNU ld with a script that merges code into chunks.
    #[arg(long)]
    chunk_script: bool,
    /// Load and unload each variant that often in a boot.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Boots for each variant of a module that cannot be unloaded.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    boots: u32,
    /// Compare what the kernel says too; one boot for each variant.
    #[arg(long)]
    compare_console: bool,
    /// The module that boots are compared by.
    #[arg(long, value_name = "MODULE", default_value = "xfs")]
    reference: String,
    /// Leave out this module (with --all); may be repeated.
    #[arg(long, value_name = "MODULE")]
    skip: Vec<String>,
    /// Give a guest up when its console is silent for this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
    /// Show the console.
    #[arg(long, short)]
    verbose: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
}

/// Everything that stays the same over a run's boots.
struct Run<'a> {
    args: &'a Args,
    recipe: &'static Recipe,
    modules: &'a Modules,
    linkers: Linkers<'a>,
    kernel: PathBuf,
    init: Vec<u8>,
    scratch: &'a Path,
    seen: Vec<Seen>,
    boots: usize,
}

/// Boots, prints what was seen, and fails if klink's modules do not do as GNU
/// ld's.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let recipe = args.arch.recipe();
    let tree = kernel::tree(args.arch, args.tree.as_deref())?;
    let modules = Modules::read(&tree)?;
    let scratch = tempfile::tempdir()
        .map_err(|error| Failure::new(format!("no temporary folder: {error}")))?;
    let mut run = Run {
        args,
        recipe,
        modules: &modules,
        linkers: linkers(args, recipe, &tree, scratch.path())?,
        kernel: args.kernel.clone().unwrap_or_else(|| tree.join("vmlinux")),
        init: initramfs::compile_init(recipe, scratch.path())?,
        scratch: scratch.path(),
        seen: Vec::new(),
        boots: 0,
    };
    run.boot_all()?;
    let rows = report::sum_up(&run.seen, args.compare_console || args.all);
    print(&rows, args.json)?;
    let bad = rows.iter().filter(|row| !row.agrees).count();
    if bad == 0 {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{bad} of {} do not do as GNU ld's",
        rows.iter().filter(|row| row.variant != Variant::Ld).count()
    )))
}

fn linkers<'a>(
    args: &'a Args,
    recipe: &'static Recipe,
    tree: &'a Path,
    scratch: &'a Path,
) -> Result<Linkers<'a>, Failure> {
    let klink = match &args.klink {
        Some(path) => Some(kernel::program_path(path)),
        None if args.no_klink || args.klink_dir.is_some() => None,
        None => Some(variants::build_klink()?),
    };
    Ok(Linkers {
        recipe,
        tree,
        klink_dir: args.klink_dir.as_deref(),
        klink,
        klink_options: args
            .klink_options
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        scratch,
    })
}

fn print(rows: &[Row], json: bool) -> Result<(), Failure> {
    if json {
        let text =
            serde_json::to_string_pretty(rows).map_err(|error| Failure::new(error.to_string()))?;
        println!("{text}");
    } else {
        print!("{}", report::table(rows));
    }
    Ok(())
}

impl Run<'_> {
    fn boot_all(&mut self) -> Result<(), Failure> {
        let mut targets = self.targets()?;
        let mut apart = Vec::new();
        if self.args.all || self.args.compare_console {
            apart = std::mem::take(&mut targets);
        }
        for target in std::mem::take(&mut targets) {
            if self.modules.can_unload(target)? {
                targets.push(target);
            } else {
                apart.push(target);
            }
        }
        self.no_exit_first(&mut apart)?;
        let variants = self.variants();
        self.boot_until_done(&targets, &variants, self.args.repeat, false)?;
        for _ in 0..self.args.boots {
            for variant in &variants {
                self.boot_until_done(&apart, &[*variant], 1, true)?;
            }
        }
        Ok(())
    }

    fn targets(&self) -> Result<Vec<ModuleId>, Failure> {
        if !self.args.all {
            let names = self.args.modules.iter();
            return names.map(|name| self.modules.find(name)).collect();
        }
        let mut skip: Vec<ModuleId> = self
            .args
            .skip
            .iter()
            .map(|name| self.modules.find(name))
            .collect::<Result<_, _>>()?;
        for (name, reason) in self.recipe.hang {
            if let Ok(id) = self.modules.find(name) {
                eprintln!("xtask: leaving out {name}: {reason}");
                skip.push(id);
            }
        }
        Ok(self.modules.ids().filter(|id| !skip.contains(id)).collect())
    }

    /// Puts modules that stay loaded in front, and what they need before them:
    /// after another module has brought them in, their own load could not be
    /// timed any more.
    fn no_exit_first(&self, targets: &mut [ModuleId]) -> Result<(), Failure> {
        let mut rank = BTreeMap::new();
        for id in targets.iter() {
            let needed = if self.modules.get(*id).has_exit {
                usize::MAX
            } else {
                self.modules.load_order(*id)?.len()
            };
            rank.insert(*id, needed);
        }
        targets.sort_by_key(|id| rank.get(id).copied());
        Ok(())
    }

    fn variants(&self) -> Vec<Variant> {
        let mut variants = vec![Variant::Ld];
        if self.args.chunk_script {
            variants.push(Variant::Chunks);
        }
        if !self.args.no_klink {
            variants.push(Variant::Klink);
        }
        variants
    }

    /// Boots with trials of all `targets`; where a guest dies in one, boots
    /// again for those after it.
    fn boot_until_done(
        &mut self,
        targets: &[ModuleId],
        variants: &[Variant],
        cycles: u32,
        reference: bool,
    ) -> Result<(), Failure> {
        let mut rest = targets;
        while !rest.is_empty() {
            let dead = self.boot_once(rest, variants, cycles, reference)?;
            let Some(dead) = dead else { break };
            let at = rest
                .iter()
                .position(|id| self.modules.get(*id).name == dead);
            rest = at.map_or(&[], |at| &rest[at + 1..]);
        }
        Ok(())
    }

    /// One boot. The name of the module that the guest died in, if it did.
    fn boot_once(
        &mut self,
        targets: &[ModuleId],
        variants: &[Variant],
        cycles: u32,
        reference: bool,
    ) -> Result<Option<String>, Failure> {
        let modules = self.modules;
        let mut commands = CommandFile::new(modules);
        let reference = modules
            .find(&self.args.reference)
            .ok()
            .filter(|_| reference);
        self.time_reference(&mut commands, reference, 0)?;
        for target in targets {
            for cycle in 0..cycles {
                for variant in variants {
                    commands.trial(*target, *variant, cycle, false)?;
                }
            }
        }
        // Before and after, since a busy host changes its pace meanwhile.
        self.time_reference(&mut commands, reference, self.args.repeat)?;
        let initrd = self.initramfs(commands)?;
        let labels: Vec<&str> = variants.iter().map(|variant| variant.label()).collect();
        eprintln!(
            "xtask: boot {}: {} with {} modules, linked by {}",
            self.boots + 1,
            self.recipe.name,
            targets.len(),
            labels.join(", ")
        );
        let boot = qemu::boot(
            self.recipe,
            &self.kernel,
            &initrd,
            self.args.append.as_deref(),
            Duration::from_secs(self.args.patience),
            self.args.verbose,
        )?;
        let trials = console::read_trials(&boot.console, boot.end == End::Done);
        if trials.is_empty() {
            return Err(no_trial(&boot));
        }
        let last = trials.last();
        let dead = last
            .filter(|trial| trial.died_in.is_some() || boot.end != End::Done)
            .map(|trial| trial.label.module.clone());
        let number = self.boots;
        self.seen.extend(trials.into_iter().map(|trial| Seen {
            boot: number,
            trial,
        }));
        self.boots += 1;
        Ok(dead)
    }

    fn time_reference(
        &self,
        commands: &mut CommandFile<'_>,
        reference: Option<ModuleId>,
        first: u32,
    ) -> Result<(), Failure> {
        if let Some(id) = reference {
            for cycle in first..first.saturating_add(self.args.repeat) {
                commands.trial(id, Variant::Ld, cycle, true)?;
            }
        }
        Ok(())
    }

    fn initramfs(&self, commands: CommandFile<'_>) -> Result<PathBuf, Failure> {
        let (text, files) = commands.finish();
        let mut archive = initramfs::Archive::default();
        archive.add("init", &self.init)?;
        archive.add("commands", text.as_bytes())?;
        if text.contains(commands::XFS_DESCRIPTION) {
            archive.add(
                commands::XFS_DESCRIPTION,
                &initramfs::xfs_image(self.scratch)?,
            )?;
        }
        for (id, variant) in files {
            let module = self.modules.get(id);
            let file = self.linkers.module(module, variant)?;
            let bytes = std::fs::read(&file).map_err(|error| Failure::io("read", &file, &error))?;
            archive.add(
                commands::guest_path(&module.name, variant).trim_start_matches('/'),
                &bytes,
            )?;
        }
        let path = self.scratch.join("initrd");
        std::fs::write(&path, archive.finish()?)
            .map_err(|error| Failure::io("write", &path, &error))?;
        Ok(path)
    }
}

/// The guest did not come to its first trial: the kernel or QEMU is at fault.
fn no_trial(boot: &qemu::Boot) -> Failure {
    let tail = boot.console.len().saturating_sub(20);
    Failure::new(format!(
        "the guest did not reach its init ({}); QEMU says: {}\nthe console's end:\n{}",
        match boot.end {
            End::Done => "it ran no trial",
            End::Died => "it ended early",
            End::Silent => "its console went silent",
        },
        if boot.qemu_error.is_empty() {
            "nothing"
        } else {
            &boot.qemu_error
        },
        boot.console[tail..].join("\n")
    ))
}
