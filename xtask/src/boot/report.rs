//! The answer: for each module and variant, whether it loaded, how fast, and
//! what differed from GNU ld's.

use std::collections::BTreeMap;

use super::console::{Done, Trial};
use super::variants::Variant;

/// One module in one variant, over all its trials.
#[derive(Debug, serde::Serialize)]
pub(super) struct Row {
    pub(super) module: String,
    pub(super) variant: Variant,
    /// "loads", or what went wrong.
    pub(super) result: String,
    /// Guest time of each load that succeeded, in nanoseconds.
    pub(super) load_ns: Vec<u64>,
    /// Median of those.
    pub(super) median_ns: Option<u64>,
    /// How many times faster than GNU ld's variant; where the two were in
    /// different boots, each relative to its boot's reference module.
    pub(super) times_faster: Option<f64>,
    /// The same of each variant's fastest load: a busy host only ever makes a
    /// load slower.
    pub(super) times_faster_best: Option<f64>,
    /// Whether it does as GNU ld's does.
    pub(super) agrees: bool,
    /// What differs from GNU ld's: results of commands, lines of the console.
    pub(super) differences: Vec<String>,
}

/// A trial and the boot it was in.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) boot: usize,
    pub(super) trial: Trial,
}

/// Sums up all trials: a row for each module and variant, modules in the order
/// of their first trial.
pub(super) fn sum_up(seen: &[Seen], compare_console: bool) -> Vec<Row> {
    let references = references(seen);
    let mut modules: Vec<&str> = Vec::new();
    for seen in seen.iter().filter(|seen| !seen.trial.label.reference) {
        let module = seen.trial.label.module.as_str();
        if !modules.contains(&module) {
            modules.push(module);
        }
    }
    let mut rows = Vec::new();
    for module in modules {
        let of = |variant: Variant| -> Vec<&Seen> {
            let label = |seen: &&Seen| {
                let label = &seen.trial.label;
                !label.reference && label.module == module && label.variant == variant
            };
            seen.iter().filter(label).collect()
        };
        let ld = of(Variant::Ld);
        for variant in [Variant::Ld, Variant::Chunks, Variant::Klink] {
            let trials = of(variant);
            if !trials.is_empty() {
                rows.push(row(
                    module,
                    variant,
                    &trials,
                    &ld,
                    &references,
                    compare_console,
                ));
            }
        }
    }
    rows
}

fn row(
    module: &str,
    variant: Variant,
    trials: &[&Seen],
    ld: &[&Seen],
    references: &References,
    compare_console: bool,
) -> Row {
    let load_ns: Vec<u64> = loads(trials).map(|(_, done)| done.ns).collect();
    let median_ns = pick(load_ns.clone(), Pick::Median);
    let mut differences = Vec::new();
    for one in trials {
        let label = &one.trial.label;
        let theirs = ld.iter().find(|ld| ld.trial.label.cycle == label.cycle);
        if let Some(theirs) = theirs.filter(|_| variant != Variant::Ld) {
            compare(&theirs.trial, &one.trial, compare_console, &mut differences);
        }
    }
    differences.dedup();
    let faster = |which: Pick| {
        let ours = scaled(trials, references, which).filter(|ours| *ours > 0.0)?;
        let theirs = scaled(ld, references, which)?;
        (variant != Variant::Ld).then_some(theirs / ours)
    };
    Row {
        module: module.to_owned(),
        variant,
        result: result(trials),
        load_ns,
        median_ns,
        times_faster: faster(Pick::Median),
        times_faster_best: faster(Pick::Best),
        agrees: differences.is_empty(),
        differences,
    }
}

fn loads<'a>(trials: &'a [&Seen]) -> impl Iterator<Item = (usize, &'a Done)> {
    trials
        .iter()
        .filter_map(|seen| Some((seen.boot, seen.trial.load()?)))
        .filter(|(_, done)| done.rc == 0)
}

/// Which of several times stands for them.
#[derive(Debug, Clone, Copy)]
enum Pick {
    /// The median; of an even number the upper of the middle two.
    Median,
    /// The shortest.
    Best,
}

fn pick(mut times: Vec<u64>, which: Pick) -> Option<u64> {
    times.sort_unstable();
    match which {
        Pick::Median => times.get(times.len() / 2).copied(),
        Pick::Best => times.first().copied(),
    }
}

/// Times of each boot's loads of the reference module, in nanoseconds.
type References = BTreeMap<usize, Vec<u64>>;

/// The picked load time relative to its boot's reference (in nanoseconds where
/// a boot has none: then all variants were in one boot).
fn scaled(trials: &[&Seen], references: &References, which: Pick) -> Option<f64> {
    let mut list: Vec<f64> = loads(trials)
        .map(|(boot, done)| {
            let scale = references
                .get(&boot)
                .and_then(|times| pick(times.clone(), which));
            #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
            let ratio = done.ns as f64 / scale.unwrap_or(1).max(1) as f64;
            ratio
        })
        .collect();
    list.sort_by(f64::total_cmp);
    match which {
        Pick::Median => list.get(list.len() / 2).copied(),
        Pick::Best => list.first().copied(),
    }
}

fn references(seen: &[Seen]) -> References {
    let mut times = References::new();
    for seen in seen.iter().filter(|seen| seen.trial.label.reference) {
        if let Some(done) = seen.trial.load().filter(|done| done.rc == 0) {
            times.entry(seen.boot).or_default().push(done.ns);
        }
    }
    times
}

/// One word on all trials of a variant: the first thing that went wrong.
fn result(trials: &[&Seen]) -> String {
    for seen in trials {
        if let Some(command) = &seen.trial.died_in {
            return format!("guest died in `{command}`");
        }
        match seen.trial.load() {
            None => return "not reached".to_owned(),
            Some(done) if done.rc != 0 => return format!("refused: {}", errno(done.rc)),
            Some(_) => {}
        }
        if let Some(done) = seen.trial.done.iter().find(|done| done.rc != 0) {
            return format!("loads; `{}`: {}", done.command, errno(done.rc));
        }
    }
    let used = trials
        .iter()
        .any(|seen| seen.trial.done.iter().any(|done| is_use(&done.command)));
    if used { "loads, works" } else { "loads" }.to_owned()
}

fn is_use(command: &str) -> bool {
    !command.starts_with("load ") && !command.starts_with("unload ")
}

/// The usual name of an error that loading modules gives.
fn errno(rc: i32) -> String {
    let name = match -rc {
        1 => "EPERM",
        2 => "ENOENT",
        5 => "EIO",
        6 => "ENXIO",
        8 => "ENOEXEC",
        11 => "EAGAIN",
        12 => "ENOMEM",
        14 => "EFAULT",
        16 => "EBUSY",
        17 => "EEXIST",
        19 => "ENODEV",
        22 => "EINVAL",
        97 => "EAFNOSUPPORT",
        99 => "EADDRNOTAVAIL",
        110 => "ETIMEDOUT",
        _ => return format!("errno {}", -rc),
    };
    name.to_owned()
}

/// Lists how `ours` differs from GNU ld's trial of the same module and cycle.
fn compare(ld: &Trial, ours: &Trial, console: bool, differences: &mut Vec<String>) {
    if let Some(command) = &ours.died_in
        && ld.died_in.is_none()
    {
        differences.push(format!("the guest died in `{command}`"));
        return;
    }
    let name = |done: &Done, trial: &Trial| {
        done.command
            .replace(&format!("/m/{}/", trial.label.variant.label()), "")
    };
    for (theirs, done) in ld.done.iter().zip(&ours.done) {
        let (their_name, our_name) = (name(theirs, ld), name(done, ours));
        if their_name != our_name {
            differences.push(format!("`{our_name}` instead of `{their_name}`"));
            return;
        }
        if theirs.rc != done.rc {
            differences.push(format!(
                "`{our_name}`: {} instead of {}",
                rc_text(done.rc),
                rc_text(theirs.rc)
            ));
        }
    }
    if ld.done.len() != ours.done.len() {
        differences.push(format!("{} of {} commands", ours.done.len(), ld.done.len()));
    }
    if console {
        let (less, more) = line_differences(&ld.console, &ours.console);
        differences.extend(less.iter().map(|line| format!("not said: {line}")));
        differences.extend(more.iter().map(|line| format!("said besides: {line}")));
    }
}

fn rc_text(rc: i32) -> String {
    if rc == 0 {
        "success".to_owned()
    } else {
        errno(rc)
    }
}

/// Lines of `a` alone and of `b` alone, by a longest common subsequence.
fn line_differences<'a>(a: &'a [String], b: &'a [String]) -> (Vec<&'a str>, Vec<&'a str>) {
    // common[i][j]: the longest common subsequence of a[i..] and b[j..]
    let mut common = vec![vec![0u32; b.len() + 1]; a.len() + 1];
    for i in (0..a.len()).rev() {
        for j in (0..b.len()).rev() {
            common[i][j] = if a[i] == b[j] {
                common[i + 1][j + 1] + 1
            } else {
                common[i + 1][j].max(common[i][j + 1])
            };
        }
    }
    let (mut i, mut j) = (0, 0);
    let (mut only_a, mut only_b) = (Vec::new(), Vec::new());
    while i < a.len() || j < b.len() {
        if i < a.len() && j < b.len() && a[i] == b[j] {
            i += 1;
            j += 1;
        } else if j == b.len() || (i < a.len() && common[i + 1][j] >= common[i][j + 1]) {
            only_a.push(a[i].as_str());
            i += 1;
        } else {
            only_b.push(b[j].as_str());
            j += 1;
        }
    }
    (only_a, only_b)
}

/// The rows as a table for people, differences below.
pub(super) fn table(rows: &[Row]) -> String {
    let head = [
        "module",
        "linked by",
        "load",
        "median ms",
        "faster",
        "best",
        "all ms",
    ];
    let times = |times: Option<f64>| {
        times
            .map(|times| format!("{times:.2}×"))
            .unwrap_or_default()
    };
    let mut cells = vec![head.map(str::to_owned)];
    for row in rows {
        let all: Vec<String> = row.load_ns.iter().map(|ns| milliseconds(*ns)).collect();
        cells.push([
            row.module.clone(),
            row.variant.label().to_owned(),
            row.result.clone(),
            row.median_ns.map(milliseconds).unwrap_or_default(),
            times(row.times_faster),
            times(row.times_faster_best),
            all.join(" "),
        ]);
    }
    let mut widths = [0; 7];
    for line in &cells {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in &cells {
        let mut text = String::new();
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            // Numbers stand right, words left.
            if (3..=5).contains(&column) {
                text += &format!("{cell:>width$}  ");
            } else {
                text += &format!("{cell:width$}  ");
            }
        }
        out += text.trim_end();
        out.push('\n');
    }
    for row in rows.iter().filter(|row| !row.agrees) {
        out += &format!(
            "\n{} by {} is not as by ld:\n",
            row.module,
            row.variant.label()
        );
        for difference in &row.differences {
            out += &format!("  {difference}\n");
        }
    }
    out
}

fn milliseconds(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000, ns / 1000 % 1000)
}

#[cfg(test)]
mod tests {
    use super::super::commands::Label;
    use super::*;

    fn seen(boot: usize, variant: Variant, rc: i32, ns: u64, reference: bool) -> Seen {
        let label = Label {
            module: if reference { "xfs" } else { "ipv6" }.to_owned(),
            variant,
            cycle: 0,
            reference,
        };
        let path = super::super::commands::guest_path(&label.module, variant);
        Seen {
            boot,
            trial: Trial {
                label,
                done: vec![Done {
                    command: format!("load {path}"),
                    rc,
                    ns,
                }],
                console: vec![format!("said {rc}")],
                died_in: None,
            },
        }
    }

    #[test]
    fn boots_are_compared_relative_to_their_reference() {
        let rows = sum_up(
            &[
                seen(0, Variant::Ld, 0, 100, true),
                seen(0, Variant::Ld, 0, 800, false),
                // This boot is twice as slow as the other.
                seen(1, Variant::Ld, 0, 200, true),
                seen(1, Variant::Klink, 0, 400, false),
            ],
            true,
        );
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1].times_faster, Some(4.0));
        assert_eq!(rows[1].times_faster_best, Some(4.0));
        assert!(rows[1].agrees);
    }

    #[test]
    fn the_median_and_the_best_of_several_loads() {
        assert_eq!(pick(vec![9, 1, 5], Pick::Median), Some(5));
        assert_eq!(pick(vec![9, 1, 5], Pick::Best), Some(1));
        assert_eq!(pick(vec![], Pick::Median), None);
    }

    #[test]
    fn a_refused_module_is_a_difference() {
        let trials = [
            seen(0, Variant::Ld, 0, 800, false),
            seen(0, Variant::Klink, -8, 1, false),
        ];
        let rows = sum_up(&trials, true);
        assert_eq!(rows[1].result, "refused: ENOEXEC");
        assert_eq!(
            rows[1].differences,
            [
                "`load ipv6.ko`: ENOEXEC instead of success",
                "not said: said 0",
                "said besides: said -8"
            ]
        );
        assert_eq!(sum_up(&trials, false)[1].differences.len(), 1);
        assert!(table(&rows).contains("ipv6 by klink is not as by ld"));
    }

    #[test]
    fn a_guest_that_died_under_klink_alone_is_a_difference() {
        let mut dead = seen(0, Variant::Klink, 0, 1, false);
        dead.trial.done.clear();
        dead.trial.died_in = Some("load /m/klink/ipv6.ko".to_owned());
        let rows = sum_up(&[seen(0, Variant::Ld, 0, 8, false), dead], false);
        assert!(!rows[1].agrees);
        assert!(rows[1].result.contains("guest died"));
    }

    #[test]
    fn line_differences_keep_the_order_of_the_rest() {
        let lines = |text: &str| text.chars().map(String::from).collect::<Vec<_>>();
        let (a, b) = (lines("abcd"), lines("acxd"));
        assert_eq!(line_differences(&a, &b), (vec!["b"], vec!["x"]));
    }
}
