//! Instructions that a link executes in user mode, counted by valgrind.
//!
//! They repeat to a few in a million however busy the machine is, so that a
//! small change shows. They say nothing of the kernel's part (starting the
//! process, faults, writing the file) and nothing of caches.

use std::process::Command;

use super::Workload;
use super::rival::{Bench, Rival};
use crate::Failure;

/// Counts the instructions of all links of a workload.
///
/// # Errors
/// When valgrind cannot be run, or a link fails under it.
pub(super) fn count(bench: &Bench, rival: Rival, workload: &Workload) -> Result<u64, Failure> {
    let mut sum = 0;
    for (number, link) in workload.links.iter().enumerate() {
        super::progress(&format!(
            "{}: instructions of {}, link {} of {}",
            workload.name,
            rival.name(),
            number + 1,
            workload.links.len()
        ));
        sum += count_one(&bench.command(rival, workload, link)?)?;
    }
    super::progress("");
    Ok(sum)
}

fn count_one(link: &Command) -> Result<u64, Failure> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.arg(link.get_program()).args(link.get_args());
    if let Some(folder) = link.get_current_dir() {
        valgrind.current_dir(folder);
    }
    let done = valgrind.output();
    let done = done.map_err(|error| Failure::new(format!("cannot run {valgrind:?}: {error}")))?;
    let said = String::from_utf8_lossy(&done.stderr);
    match collected(&said) {
        Some(count) if done.status.success() => Ok(count),
        _ => Err(Failure::new(format!("{valgrind:?} failed: {said}"))),
    }
}

/// The sum in callgrind's closing words, `==PID== Collected : 123`.
fn collected(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(':').next()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callgrinds_sum_is_read() {
        let said = "==7== Callgrind, a call-graph generating cache profiler\n\
            ==7== Events    : Ir\n==7== Collected : 149834\n==7== \n\
            ==7== I   refs:      149,834\n";
        assert_eq!(collected(said), Some(149_834));
        assert_eq!(collected("==7== no sum"), None);
    }
}
