//! Reads a boot's console: the trials' results, and what the kernel said in each.

use super::commands::{Label, guest_path};

/// Lines that say which variant of a routine was fastest: two boots of one
/// kernel differ in them (crypto/xor.c, lib/raid6/algos.c).
const CHOSEN_BY_TIME: &[&str] = &[
    "raid6: using algorithm",
    "raid6: using recovery algorithm",
    "raid6: .... xor()",
    "raid6: skipped pq benchmark",
    "xor: using function",
];

/// Lines of parts of the kernel that speak whenever they like.
const UNASKED: &[&str] = &[
    "clocksource:",
    "hrtimer: interrupt took",
    "random:",
    "sched_clock:",
    "tsc:",
    "workqueue:",
];

/// Units after which the number before them is a time or a speed.
const TIME_UNITS: &[&str] = &[
    "MB/s", "MB/sec", "cycles", "jiffies", "ms", "msec", "msecs", "ns", "nsec", "nsecs", "s",
    "sec", "seconds", "secs", "us", "usec", "usecs",
];

/// The result of one of init's commands.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(super) struct Done {
    pub(super) command: String,
    /// 0, or minus the errno.
    pub(super) rc: i32,
    /// Guest time in nanoseconds.
    pub(super) ns: u64,
}

/// What one trial did.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) label: Label,
    pub(super) done: Vec<Done>,
    /// The kernel's lines, and init's output, [normalised](normalise).
    pub(super) console: Vec<String>,
    /// The command that the guest was in when it stopped, if it did.
    pub(super) died_in: Option<String>,
}

impl Trial {
    /// The load of the module under test; `None` if the guest died before.
    pub(super) fn load(&self) -> Option<&Done> {
        let command = format!(
            "load {}",
            guest_path(&self.label.module, self.label.variant)
        );
        self.done.iter().find(|done| done.command == command)
    }
}

/// Parts a console into its trials. `finished` says whether init came to its
/// end; if not, the last trial is where the guest died.
pub(super) fn read_trials(console: &[String], finished: bool) -> Vec<Trial> {
    let mut trials: Vec<Trial> = Vec::new();
    let mut open = false;
    let mut running = None;
    for line in console {
        let line = without_time(line);
        let Some(said) = line.strip_prefix("klink: ") else {
            if open
                && let Some(trial) = trials.last_mut()
                && let Some(line) = normalise(line)
            {
                trial.console.push(line);
            }
            continue;
        };
        if let Some(command) = said.strip_prefix("run ") {
            running = Some(command.to_owned());
        } else if let Some(done) = read_done(said) {
            running = None;
            if let Some(words) = done.command.strip_prefix("tag begin ") {
                open = true;
                trials.extend(Label::parse(words).map(|label| Trial {
                    label,
                    done: Vec::new(),
                    console: Vec::new(),
                    died_in: None,
                }));
            } else if done.command == "tag end" {
                open = false;
            } else if let Some(trial) = trials.last_mut() {
                trial.done.push(done);
            }
        } else if open
            && said.starts_with("| ")
            && let Some(trial) = trials.last_mut()
        {
            trial.console.push(said.to_owned());
        }
    }
    if !finished
        && open
        && let Some(trial) = trials.last_mut()
    {
        trial.died_in = Some(running.unwrap_or_else(|| "an unknown command".to_owned()));
    }
    trials
}

/// `COMMAND rc=N ns=N`.
fn read_done(said: &str) -> Option<Done> {
    let (rest, ns) = said.rsplit_once(" ns=")?;
    let (command, rc) = rest.rsplit_once(" rc=")?;
    Some(Done {
        command: command.to_owned(),
        rc: rc.parse().ok()?,
        ns: ns.trim().parse().ok()?,
    })
}

/// A console line without printk's `[   12.345678] `.
fn without_time(line: &str) -> &str {
    let Some(rest) = line.strip_prefix('[') else {
        return line;
    };
    match rest.split_once("] ") {
        Some((time, rest))
            if time
                .chars()
                .all(|c| c == ' ' || c == '.' || c.is_ascii_digit()) =>
        {
            rest
        }
        _ => line,
    }
}

/// A kernel's line with times, speeds, addresses and columns made the same; `None` for
/// a line that has nothing to do with what the guest was told to do.
pub(super) fn normalise(line: &str) -> Option<String> {
    let line = line.trim_end();
    if line.is_empty() || UNASKED.iter().any(|prefix| line.starts_with(prefix)) {
        return None;
    }
    if let Some(prefix) = CHOSEN_BY_TIME
        .iter()
        .find(|prefix| line.starts_with(*prefix))
    {
        return Some((*prefix).to_owned());
    }
    // The kernel pads numbers to columns.
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut out = String::new();
    let mut rest = line.as_str();
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (word, after) = rest.split_at(end);
        rest = after;
        if is_address(word) {
            out.push_str("ADDR");
        } else if let Some((number, after)) = timed_number(word, after) {
            out.push_str(number);
            rest = after;
        } else {
            out.push_str(word);
        }
    }
    Some(out)
}

/// Hex digits enough for an address, with `0x` or without.
fn is_address(word: &str) -> bool {
    let digits = word.strip_prefix("0x").unwrap_or(word);
    let enough = if digits.len() < word.len() { 6 } else { 8 };
    digits.len() >= enough && digits.chars().all(|c| c.is_ascii_hexdigit())
}

/// If `word` begins a number (with a fraction, perhaps) that has a unit of time
/// or speed: what to write for it, and what comes after.
fn timed_number<'a>(word: &str, after: &'a str) -> Option<(&'static str, &'a str)> {
    let digits = word.len() - word.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return None;
    }
    // "12ms": the unit is in the word itself.
    if digits < word.len() {
        return TIME_UNITS
            .contains(&&word[digits..])
            .then_some(("T", after));
    }
    let mut rest = after;
    if let Some(fraction) = after.strip_prefix('.') {
        let digits = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
        if digits.len() < fraction.len() {
            rest = digits;
        }
    }
    let spaced = rest.trim_start_matches(' ');
    let unit = spaced
        .find(|c: char| !(c.is_ascii_alphabetic() || c == '/'))
        .map_or(spaced, |end| &spaced[..end]);
    let after = &spaced[unit.len()..];
    TIME_UNITS.contains(&unit).then_some(("T", after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(line: &str) -> String {
        normalise(line).expect("a line to compare")
    }

    #[test]
    fn times_and_addresses_are_made_the_same_and_other_numbers_kept() {
        assert_eq!(same("test took 12 ms, 3 failed"), "test took T, 3 failed");
        assert_eq!(same("done in 0.125 seconds."), "done in T.");
        assert_eq!(same("a 15us b"), "a T b");
        assert_eq!(
            same("raid6: int32x8  gen()  1234 MB/s"),
            "raid6: int32x8 gen() T"
        );
        assert_eq!(same("at 0xf1234567 and c0ffee00"), "at ADDR and ADDR");
        assert_eq!(same("ok 2 list_test_3"), "ok 2 list_test_3");
        assert_eq!(same("0x10 flags, 4096 bytes"), "0x10 flags, 4096 bytes");
        assert_eq!(same("naïve – 7 s"), "naïve – T");
    }

    #[test]
    fn lines_that_differ_from_boot_to_boot_are_left_out() {
        assert_eq!(normalise("random: crng init done"), None);
        assert_eq!(
            normalise("xor: using function: 8regs (5 MB/sec)"),
            normalise("xor: using function: 32regs (6 MB/sec)")
        );
    }

    fn console(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    const TRIAL: &str = "\
[    1.0] Run /init as init process
[    1.0] klink: ready
[    1.1] klink: run tag begin xfs ld 0 test
[    1.1] klink: tag begin xfs ld 0 test rc=0 ns=5
[    1.2] klink: run load /m/ld/xfs.ko
[    1.3] SGI XFS with security attributes
[    1.4] klink: load /m/ld/xfs.ko rc=0 ns=1600000000
[    1.4] klink: run unload xfs";

    #[test]
    fn a_trial_has_its_commands_results_and_the_kernels_lines() {
        let text = format!(
            "{TRIAL}\n[ 1.5] klink: unload xfs rc=-11 ns=7\n[ 1.5] klink: | a line\n\
             [ 1.6] klink: tag end rc=0 ns=0\n[ 1.6] later\n[ 1.6] klink: done"
        );
        let trials = read_trials(&console(&text), true);
        assert_eq!(trials.len(), 1);
        let trial = &trials[0];
        assert_eq!(
            trial.load().map(|done| (done.rc, done.ns)),
            Some((0, 1_600_000_000))
        );
        assert_eq!(trial.done[1].rc, -11);
        assert_eq!(
            trial.console,
            ["SGI XFS with security attributes", "| a line"]
        );
        assert_eq!(trial.died_in, None);
    }

    #[test]
    fn a_guest_that_died_says_in_what() {
        let trials = read_trials(&console(TRIAL), false);
        assert_eq!(trials[0].died_in.as_deref(), Some("unload xfs"));
    }
}
