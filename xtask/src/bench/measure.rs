//! What a process needs: time on the wall, time of the processor, memory.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;
use wait4::Wait4 as _;

use crate::Failure;

/// What one process needed, or several one after another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// From before it was started until it had ended.
    wall: Duration,
    /// In user and system mode, all its threads.
    cpu: Duration,
    /// Its largest resident set, mapped files included, in bytes.
    peak: u64,
}

impl Sample {
    /// From before it was started until it had ended.
    pub(super) fn wall(&self) -> Duration {
        self.wall
    }

    /// Adds a process that ran after these.
    pub(super) fn add(&mut self, next: &Self) {
        self.wall += next.wall;
        self.cpu += next.cpu;
        self.peak = self.peak.max(next.peak);
    }
}

/// Runs `command` to its end.
///
/// # Errors
/// When it cannot be started, or fails; what it said then.
pub(super) fn run(command: &mut Command) -> Result<Sample, Failure> {
    command.stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let start = Instant::now();
    let done = command.spawn().and_then(|child| child.wait4());
    let wall = start.elapsed();
    let done = done.map_err(|error| Failure::new(format!("cannot run {command:?}: {error}")))?;
    if !done.status.success() {
        return Err(explain(command));
    }
    Ok(Sample {
        wall,
        cpu: done.rusage.utime + done.rusage.stime,
        peak: done.rusage.maxrss,
    })
}

/// Runs a command that failed again, to hear what it says.
fn explain(command: &mut Command) -> Failure {
    command.stderr(Stdio::piped());
    let said = match command.output() {
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    Failure::new(format!("{command:?} failed: {said}"))
}

/// The middle and the best of several times, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Spread {
    /// With an even number of times the mean of the two in the middle.
    pub(super) median_ns: u64,
    /// The least: a busy machine only ever makes a run slower.
    pub(super) least_ns: u64,
}

impl Spread {
    /// `None` if there are no times.
    fn of(times: impl Iterator<Item = Duration>) -> Option<Self> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut times: Vec<u64> = times.map(nanos).collect();
        times.sort_unstable();
        let (low, high) = (
            times.get((times.len().max(1) - 1) / 2)?,
            times[times.len() / 2],
        );
        Some(Self {
            median_ns: low.midpoint(high),
            least_ns: times[0],
        })
    }
}

/// What several samples come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Figures {
    pub(super) wall: Spread,
    pub(super) cpu: Spread,
    /// The largest resident set of all runs, in bytes.
    pub(super) peak_bytes: u64,
}

impl Figures {
    /// `None` if there are no samples.
    pub(super) fn of(samples: &[Sample]) -> Option<Self> {
        Some(Self {
            wall: Spread::of(samples.iter().map(|sample| sample.wall))?,
            cpu: Spread::of(samples.iter().map(|sample| sample.cpu))?,
            peak_bytes: samples.iter().map(|sample| sample.peak).max()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(millis: &[u64]) -> Option<(u64, u64)> {
        let times = millis.iter().map(|&millis| Duration::from_millis(millis));
        let spread = Spread::of(times)?;
        Some((spread.median_ns / 1000, spread.least_ns / 1000))
    }

    #[test]
    fn the_median_is_the_middle_whatever_the_order() {
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[7]), Some((7000, 7000)));
        assert_eq!(spread(&[9, 1, 5]), Some((5000, 1000)));
        assert_eq!(spread(&[100, 4, 1, 5]), Some((4500, 1000)));
    }

    #[test]
    fn processes_after_one_another_share_no_memory() {
        let sample = |millis, peak| Sample {
            wall: Duration::from_millis(millis),
            cpu: Duration::from_millis(millis / 2),
            peak,
        };
        let mut sum = Sample::default();
        sum.add(&sample(10, 3000));
        sum.add(&sample(20, 1000));
        assert_eq!(sum, sample(30, 3000));
    }

    #[test]
    fn a_process_is_measured_and_a_failure_told() {
        let mut shell = Command::new("sh");
        let done = run(shell.args(["-c", "sleep 0.02"])).expect("sh and sleep run");
        assert!(done.wall >= Duration::from_millis(20));
        assert!(done.cpu < done.wall);
        assert!(done.peak > 0);
        let mut shell = Command::new("sh");
        let error = run(shell.args(["-c", "echo went astray >&2; exit 3"]));
        let error = error.expect_err("status 3").to_string();
        assert!(error.contains("went astray"), "{error}");
    }
}
