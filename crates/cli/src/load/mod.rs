//! `klink load`: loads modules as modprobe and a kernel do, into simulated memory.
//!
//! `tree` knows which modules there are and who needs whom, `kernel` what the kernel exports, `session`
//! is the kernel that they are loaded into; `check` and `branches` look at what came out. This file reads
//! the command line and prints.

pub(crate) mod branches;
mod check;
mod dump;
mod errno;
pub(crate) mod error;
pub(crate) mod kernel;
pub(crate) mod layout;
pub(crate) mod memory;
pub(crate) mod name;
mod parameters;
mod pattern;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod session;
pub(crate) mod text;
mod totals;
pub(crate) mod tree;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use error::{Error, Failure};
use kernel::Kernel;
use layout::Layout;
use plan::{Plan, Request};
use report::Report;
use session::{Extras, Session};
use text::Printer;
use totals::Totals;
use tree::Role;

/// Load modules into simulated memory, as modprobe and the kernel do, and show what comes out
///
/// A NAME (or alias) is looked for in a folder of modules, with all that it needs; a FILE brings what
/// it needs from the folder that it is part of. Nothing is executed, and the kernel that runs is not
/// asked: the modules may be of any architecture that klink knows.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Options {
    /// Modules by name, alias or file, each with its parameters behind it
    #[arg(value_name = "NAME|FILE|PARAM=VALUE", required_unless_present = "all")]
    modules: Vec<String>,

    /// Load every module of the folder, and sum up
    #[arg(long, conflicts_with_all = ["modules", "dump"])]
    all: bool,

    #[command(flatten)]
    kernel: KernelOptions,

    /// Only show what would be loaded, and with which parameters
    #[arg(long, short = 'n')]
    dry_run: bool,

    /// Write the regions of each module, as its init would find them, to DIR/MODULE/REGION-ADDRESS.bin
    #[arg(long, value_name = "DIR")]
    dump: Option<PathBuf>,

    /// Walk all tables of all modules when init is gone: does an entry point into freed memory?
    #[arg(long)]
    check: bool,

    /// Decode every branch and follow it to its target
    #[arg(long)]
    prove: bool,

    /// Show sections too
    #[arg(long)]
    sections: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What modules are loaded into, and how.
#[derive(Args)]
pub(crate) struct KernelOptions {
    /// The folder of modules, or a version below /lib/modules [default: that around the first FILE, else
    /// that of the kernel that runs]
    #[arg(long, short = 'd', value_name = "DIR")]
    pub(crate) modules_dir: Option<PathBuf>,

    /// What the kernel exports: System.map, /proc/kallsyms, vmlinux, a bootable kernel, Module.symvers;
    /// may be given several times [default: what lies beside the modules]
    #[arg(long, short = 's', value_name = "FILE")]
    pub(crate) symbols: Vec<PathBuf>,

    /// Give symbols that the lists lack made-up addresses, as the folder's modules need them: for
    /// kernels without CONFIG_KALLSYMS_ALL, whose lists have functions only
    #[arg(long)]
    pub(crate) invent: bool,

    /// Refuse modules of other architectures [default: that of the first module]
    #[arg(long)]
    pub(crate) arch: Option<String>,

    /// How modules are laid out
    #[arg(long, value_enum, default_value_t)]
    pub(crate) layout: Layout,

    /// Where the first module goes, in hexadecimal [default: where the kernel has its modules]
    #[arg(long, value_name = "ADDRESS", value_parser = hexadecimal)]
    pub(crate) base: Option<u64>,
}

impl KernelOptions {
    /// A request for these modules.
    pub(crate) fn request<'o>(&'o self, modules: &'o [String]) -> Request<'o> {
        Request {
            modules,
            all: false,
            names_only: false,
            folder: self.modules_dir.as_deref(),
            symbols: &self.symbols,
            arch: self.arch.as_deref(),
            invent: self.invent,
        }
    }

    /// The kernel that `plan` is for, without modules.
    pub(crate) fn session<'k>(&self, plan: &'k Plan, extras: Extras<'k>) -> Session<'k> {
        Session::new(&plan.kernel, plan.arch, self.layout, self.base, extras)
    }
}

const AFTER_HELP: &str = "\
How to read it:
  A region is a part of a module whose pages have the same rights. \"used\" are the bytes of its
  sections; the rest is alignment, stubs and rounding to pages. Headroom is how much further the
  furthest branch of a form could go. Times are those of the loader alone, without reading the file.

Symbols:
  A list with __ksymtab_ symbols (System.map, vmlinux) says what is exported, Module.symvers says it
  with CRCs and namespaces; else every symbol counts as exported. Where nothing tells the kernel's
  symbols, the kernel is taken to export what the folder's modules need and none of them exports, at
  made-up addresses.

JSON:
  kernel (symbols, invented, sources); modules (for each: name, file, role (wanted, needed, soft),
  architecture, taints, file_bytes, memory_bytes, regions (kind, address, size, used, section_count,
  sections), stubs (made, reserved_bytes), symbols_used, uses, init (freed, text, data,
  dropped_entries), branches (null, or forms, arrived, lost, descriptions), parameters (name, value
  (null: only functions know it), permissions (octal; 0000: not in sysfs)), unknown_parameters,
  microseconds); failures (name, file, errno, error, message, details, help); totals; check (null, or
  entries, stale, tables). With --dry-run: modules (name, file, role, parameters). Names stay; new ones
  may be added.

Exit codes:
  0  everything was loaded, and --check and --prove found nothing
  1  a module could not be loaded (modprobe exits so too), or --check or --prove found something
  2  the command line is wrong

Examples:
  klink load xfs
  klink load ./drivers/foo/foo.ko debug=1 --symbols System.map
  klink load --all --modules-dir /lib/modules/6.1.0-56-amd64 --check --prove
  klink load --dry-run pci:v00008086d00001237sv*";

/// Does what `options` say; exit code 1 if something is wrong.
pub(crate) fn run(options: &Options) -> ExitCode {
    match try_run(options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Error::Write { source, .. }) if source.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("klink load: FATAL: {error}");
            ExitCode::FAILURE
        }
    }
}

fn hexadecimal(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    u64::from_str_radix(digits, 16).map_err(|error| error.to_string())
}

fn try_run(options: &Options) -> Result<bool, Error> {
    let request = Request {
        all: options.all,
        names_only: options.dry_run,
        ..options.kernel.request(&options.modules)
    };
    let plan = Plan::make(&request)?;
    if options.dry_run {
        return print(&dry_run(options, &plan)).map(|()| true);
    }
    let extras = Extras {
        details: !options.all,
        prove: options.prove,
        jumps: false,
        dump: options.dump.as_deref(),
    };
    let mut session = options.kernel.session(&plan, extras);
    let outcome = load(options, &plan, &mut session);
    let walk = options.check.then(|| session.walk_tables());
    let text = match options.json {
        true => as_json(&plan.kernel, &outcome, walk.as_ref()),
        false => as_text(options, &plan.kernel, &outcome, walk.as_ref()),
    };
    print(&text)?;
    for failure in &outcome.failures {
        eprintln!(
            "klink load: ERROR: {}",
            text::failure(failure, &plan.kernel)
        );
    }
    let stale = walk.is_some_and(|walk| walk.stale > 0);
    Ok(outcome.failures.is_empty() && outcome.totals.branches_lost == 0 && !stale)
}

/// What came of a run.
#[derive(Default)]
struct Outcome {
    reports: Vec<Report>,
    failures: Vec<Failure>,
    totals: Totals,
}

/// Loads all that is planned. Without `--all` the first failure ends it, as in modprobe; what would only
/// have been good to have may fail.
fn load(options: &Options, plan: &Plan, session: &mut Session<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let bar = progress(plan.steps.len());
    for step in &plan.steps {
        let Some(entry) = plan.tree.entry(step.id) else {
            continue;
        };
        bar.set_message(entry.name.to_string());
        match session.load(entry, step.role, plan.parameters(step.id)) {
            Ok(report) => {
                outcome.totals.add(&report);
                if !options.all || options.json {
                    outcome.reports.push(report);
                }
            }
            Err(failure) => {
                outcome.totals.add_failure(&failure);
                outcome.failures.push(failure);
                if !options.all && step.role != Role::Soft {
                    break;
                }
            }
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    outcome
}

/// A bar, if there is much to do and a terminal shows it.
fn progress(steps: usize) -> ProgressBar {
    /// With fewer modules, all is done before a bar could be read.
    const MANY: usize = 100;
    if steps < MANY || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} modules {msg}");
    ProgressBar::new(steps as u64)
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn dry_run(options: &Options, plan: &Plan) -> String {
    let steps = plan.steps.iter();
    let steps = steps.filter_map(|step| Some((step, plan.tree.entry(step.id)?)));
    if options.json {
        let modules: Vec<Value> = steps
            .map(|(step, entry)| {
                let parameters = plan.parameters(step.id).iter().map(ToString::to_string);
                json!({
                    "name": entry.name.as_str(),
                    "file": entry.path.display().to_string(),
                    "role": step.role.name(),
                    "parameters": parameters.collect::<Vec<_>>(),
                })
            })
            .collect();
        return format!(
            "{}\n",
            json!({ "modules": modules, "builtin": plan.builtin })
        );
    }
    let mut text = String::new();
    for name in &plan.builtin {
        text += &format!("builtin {name}\n");
    }
    for (step, entry) in steps {
        text += &format!("insmod {}", entry.path.display());
        for parameter in plan.parameters(step.id) {
            text += &format!(" {parameter}");
        }
        text.push('\n');
    }
    text
}

fn as_text(
    options: &Options,
    kernel: &Kernel,
    outcome: &Outcome,
    walk: Option<&check::Walk>,
) -> String {
    let mut printer = Printer::new(io::stdout().is_terminal());
    printer.kernel(kernel);
    for report in &outcome.reports {
        match report.role == Role::Wanted.name() {
            true => printer.module(report, options.sections),
            false => printer.brief(report),
        }
    }
    if options.all || outcome.reports.len() > 1 {
        printer.totals(&outcome.totals);
    }
    if let Some(walk) = walk {
        printer.walk(walk);
    }
    printer.into_text()
}

fn as_json(kernel: &Kernel, outcome: &Outcome, walk: Option<&check::Walk>) -> String {
    let failures = outcome.failures.iter().map(|failure| {
        let errno = failure.reason.errno();
        json!({
            "name": failure.name.as_str(),
            "file": failure.path.display().to_string(),
            "errno": errno,
            "error": errno::name(errno),
            "message": errno::words(errno),
            "details": failure.reason.details(),
            "help": failure.reason.help(kernel),
        })
    });
    let answer = json!({
        "kernel": {
            "symbols": kernel.len(),
            "invented": kernel.invented,
            "sources": kernel.sources.iter().map(|path| path.display().to_string())
                .collect::<Vec<_>>(),
        },
        "modules": outcome.reports,
        "failures": failures.collect::<Vec<_>>(),
        "totals": outcome.totals,
        "check": walk,
    });
    format!("{answer}\n")
}

fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    written.map_err(|source| Error::Write {
        what: "standard output".into(),
        source,
    })
}
