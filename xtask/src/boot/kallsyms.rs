//! `cargo xtask kallsyms ARCH`: does a booted kernel know its own symbols?
//!
//! The kernel is booted in QEMU and prints /proc/kallsyms, which must be what `scripts/kallsyms`
//! keeps of `System.map`, less the distance that the kernel was moved by at boot (KASLR). Then it is
//! made to crash: the functions in its stack trace must be those of the way there, and each line's
//! function and size what `System.map` says of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use klink_tables::WordSize;
use klink_tables::kallsyms::{Filter, Format, MappedSymbol, Version};

use super::{initramfs, no_trial, qemu};
use crate::Failure;
use crate::kernel::{Arch, Recipe};

/// `cargo xtask kallsyms`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The kernel's architecture.
    arch: Arch,
    /// The kernel: vmlinux, or an image that QEMU boots.
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// Its System.map.
    #[arg(long, value_name = "FILE")]
    map: PathBuf,
    /// Words for the kernel's command line instead of the architecture's own, which on x86-64 are
    /// "nokaslr".
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    append: Option<String>,
    /// Give the guest up when its console is silent for this many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
    /// Show the console.
    #[arg(long, short)]
    verbose: bool,
}

/// What init is told: the kernel keeps silent and shows its symbols to all, they are listed, and then
/// it is made to crash.
const COMMANDS: &str = "\
write /proc/sys/kernel/printk 1
write /proc/sys/kernel/kptr_restrict 0
dump /proc/kallsyms
write /proc/sys/kernel/printk 8
write /proc/sys/kernel/sysrq 1
write /proc/sysrq-trigger c
";

/// What `dump` puts in front of each line.
const DUMPED: &str = "| ";

/// Functions on the way to the crash, the innermost first (Linux 6.1, `drivers/tty/sysrq.c`,
/// `fs/proc/inode.c`, `fs/read_write.c`).
const WAY: [&str; 3] = ["sysrq_handle_crash", "write_sysrq_trigger", "vfs_write"];

/// How many differences are shown.
const SHOWN: usize = 10;

/// A symbol without its address.
type Named = (u8, String);

/// Boots and compares.
///
/// # Errors
/// The kernel's table is wrong, or it did not boot.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let recipe = args.arch.recipe();
    let map = std::fs::read(&args.map).map_err(|error| Failure::io("read", &args.map, &error))?;
    let map = parse_list(&String::from_utf8_lossy(&map));
    let console = boot(args, recipe)?;
    let listed: Vec<&str> = console
        .iter()
        .filter_map(|line| line.strip_prefix(DUMPED))
        // Modules have theirs in brackets behind.
        .filter(|line| !line.ends_with(']'))
        .collect();
    let seen = parse_list(&listed.join("\n"));
    let moved = distance(&map, &seen)?;
    let absolute_percpu = seen
        .iter()
        .any(|(_, (kind, name))| *kind == b'A' && name == "__per_cpu_start");
    let wanted = kept(&map, absolute_percpu);
    let mut wrong = differences(&wanted, &seen, moved);
    let trace = trace(&console);
    wrong.extend(trace_problems(&trace, &wanted));
    println!(
        "{}: {} symbols in /proc/kallsyms, {} kept of System.map, moved by {moved:#x}, \
         {} functions in the stack trace, {} problems",
        recipe.name,
        seen.len(),
        wanted.len(),
        trace.len(),
        wrong.len()
    );
    if wrong.is_empty() {
        return Ok(());
    }
    let shown = wrong.iter().take(SHOWN).map(String::as_str);
    Err(Failure::new(shown.collect::<Vec<_>>().join("\n")))
}

fn boot(args: &Args, recipe: &'static Recipe) -> Result<Vec<String>, Failure> {
    let scratch = tempfile::tempdir()
        .map_err(|error| Failure::new(format!("no temporary folder: {error}")))?;
    let mut archive = initramfs::Archive::default();
    archive.add("init", &initramfs::compile_init(recipe, scratch.path())?)?;
    archive.add("commands", COMMANDS.as_bytes())?;
    let initrd = scratch.path().join("initrd");
    std::fs::write(&initrd, archive.finish()?)
        .map_err(|error| Failure::io("write", &initrd, &error))?;
    let patience = Duration::from_secs(args.patience);
    let append = args.append.as_deref();
    let boot = qemu::boot(
        recipe,
        &args.kernel,
        &initrd,
        append,
        patience,
        args.verbose,
    )?;
    match boot.console.iter().any(|line| line.starts_with(DUMPED)) {
        true => Ok(boot.console),
        false => Err(no_trial(&boot)),
    }
}

/// The lines of `System.map` or /proc/kallsyms: address, letter, name.
fn parse_list(text: &str) -> Vec<(u64, Named)> {
    let parse = |line: &str| {
        let mut words = line.split_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let kind = *words.next()?.as_bytes().first()?;
        Some((address, (kind, words.next()?.to_owned())))
    };
    text.lines().filter_map(parse).collect()
}

/// How far the kernel was moved when it booted.
fn distance(map: &[(u64, Named)], seen: &[(u64, Named)]) -> Result<u64, Failure> {
    let text = |list: &[(u64, Named)]| {
        let mut all = list.iter();
        all.find(|(_, (_, name))| name == "_text")
            .map(|&(address, _)| address)
    };
    match (text(seen), text(map)) {
        (Some(now), Some(then)) => Ok(now.wrapping_sub(then)),
        _ => Err(Failure::new(
            "there is no _text in System.map or in /proc/kallsyms",
        )),
    }
}

/// What the kernel's generator keeps of `System.map`, with the letters that it writes.
fn kept(map: &[(u64, Named)], absolute_percpu: bool) -> Vec<(u64, Named)> {
    // Which symbols are kept does not depend on how numbers are written.
    let format = Format::new(
        Version::V6_2,
        WordSize::Eight,
        klink_arch::Endian::Little,
        true,
        absolute_percpu,
        true,
    );
    let symbols = || {
        map.iter().map(|(address, (kind, name))| MappedSymbol {
            kind: *kind,
            name: name.as_bytes(),
            address: *address,
        })
    };
    let filter = Filter::new(&format, symbols());
    let kept = symbols().filter(|symbol| filter.keeps(symbol));
    kept.map(|symbol| {
        let is_percpu = absolute_percpu && filter.is_percpu(symbol.address);
        let kind = if is_percpu { b'A' } else { symbol.kind };
        let name = String::from_utf8_lossy(symbol.name).into_owned();
        (symbol.address, (kind, name))
    })
    .collect()
}

/// What the booted kernel says otherwise. Absolute symbols do not move with it.
fn differences(wanted: &[(u64, Named)], seen: &[(u64, Named)], moved: u64) -> Vec<String> {
    let mut counts: BTreeMap<(u64, &Named), (usize, usize)> = BTreeMap::new();
    for (address, named) in wanted {
        let moved = if named.0 == b'A' { 0 } else { moved };
        let place = (address.wrapping_add(moved), named);
        counts.entry(place).or_default().0 += 1;
    }
    for (address, named) in seen {
        counts.entry((*address, named)).or_default().1 += 1;
    }
    let differ = counts
        .into_iter()
        .filter(|(_, (wanted, seen))| wanted != seen);
    differ
        .map(|((address, (kind, name)), (wanted, seen))| {
            let kind = char::from(*kind);
            format!("{address:#x} {kind} {name}: {wanted} in System.map, {seen} in the kernel")
        })
        .collect()
}

/// A function of a stack trace: its name and its size.
type Frame = (String, u64);

/// The functions of the last stack trace, the innermost first: `name+0xoffset/0xsize`.
fn trace(console: &[String]) -> Vec<Frame> {
    let mut frames = Vec::new();
    for line in console.iter().filter(|line| !line.starts_with(DUMPED)) {
        for word in line.split_whitespace() {
            let word = word.rsplit([':', ']']).next().unwrap_or(word);
            let Some((name, rest)) = word.split_once("+0x") else {
                continue;
            };
            let size = rest.split_once("/0x").map(|(_, size)| size);
            let size = size.and_then(|size| u64::from_str_radix(size, 16).ok());
            if let Some(size) = size {
                frames.push((name.to_owned(), size));
            }
        }
    }
    frames
}

/// What the trace says of functions that is not so.
fn trace_problems(trace: &[Frame], wanted: &[(u64, Named)]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut way = WAY.iter();
    let mut next = way.next();
    for (name, size) in trace {
        if next.is_some_and(|next| next == name) {
            next = way.next();
        }
        let starts = wanted.iter().filter(|(_, (_, other))| other == name);
        let mut sizes = starts.map(|&(start, _)| {
            let after = wanted.iter().map(|&(address, _)| address);
            let end = after.filter(|&address| address > start).min();
            end.unwrap_or(start) - start
        });
        if !sizes.any(|known| known == *size) {
            problems.push(format!("stack trace: {name} has not {size:#x} bytes"));
        }
    }
    if let Some(missing) = next {
        let mut text = format!("stack trace: {missing} is not in it, or not where it should be:");
        for (name, _) in trace {
            let _ = write!(text, " {name}");
        }
        problems.push(text);
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{differences, kept, parse_list, trace, trace_problems};

    const MAP: &str = "0000000000001000 T _text\n0000000000001010 t sysrq_handle_crash\n\
                       0000000000001030 t write_sysrq_trigger\n0000000000001080 T vfs_write\n\
                       00000000000010f0 D end\n";

    #[test]
    fn a_symbol_at_another_place_is_a_difference() {
        let map = kept(&parse_list(MAP), false);
        let moved = MAP.replace("00000000000010", "00000000000410");
        assert_eq!(differences(&map, &parse_list(&moved), 0x40000), [""; 0]);
        let wrong = moved.replace("410f0", "410f8");
        assert_eq!(differences(&map, &parse_list(&wrong), 0x40000).len(), 2);
    }

    #[test]
    fn a_trace_names_the_way_and_sizes() {
        let map = parse_list(MAP);
        let lines = [
            "[ 1.0] RIP: 0010:sysrq_handle_crash+0x12/0x20",
            "[ 1.0]  write_sysrq_trigger+0x4/0x50",
            " [<1080>] vfs_write+0x14/0x70",
        ];
        let lines: Vec<String> = lines.map(str::to_owned).to_vec();
        assert_eq!(trace_problems(&trace(&lines), &map), [""; 0]);
        let wrong = [lines[0].clone(), lines[2].replace("0x70", "0x60")];
        assert_eq!(trace_problems(&trace(&wrong), &map).len(), 2);
    }
}
