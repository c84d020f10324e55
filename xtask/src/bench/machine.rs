//! What the figures were measured on, in one line.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use super::rival::lld;
use crate::Failure;

/// Processor, load, tools: without names of folders or of the machine.
///
/// # Errors
/// When a linker does not say its version.
pub(super) fn describe(klink: &Path, runs: u32, with_lld: bool) -> Result<String, Failure> {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let lld = lld().filter(|_| with_lld);
    let linkers = [
        Some(OsStr::new("hppa-linux-gnu-ld")),
        Some(OsStr::new("ld")),
        lld.map(OsStr::new),
        Some(klink.as_os_str()),
    ];
    let mut parts = vec![format!(
        "{processors} × {}",
        processor(&read("/proc/cpuinfo")).unwrap_or("a processor of unknown make")
    )];
    if let Some(release) = read("/proc/sys/kernel/osrelease").lines().next() {
        parts.push(format!("Linux {release}"));
    }
    if let Some(load) = load(&read("/proc/loadavg")) {
        parts.push(format!("load average {load} at the start"));
    }
    let versions: Result<Vec<_>, _> = linkers.into_iter().flatten().map(version).collect();
    let mut versions = versions?;
    // The two GNU ld's are mostly of one release.
    versions.dedup();
    parts.extend(versions);
    parts.push(format!("runs of each, the linkers in turn: {runs}"));
    Ok(parts.join("; "))
}

/// The first processor's name in `/proc/cpuinfo`.
fn processor(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo
        .lines()
        .find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, name)| name.trim())
}

/// The load of the last minute in `/proc/loadavg`.
fn load(loadavg: &str) -> Option<&str> {
    loadavg.split_whitespace().next()
}

/// The largest resident set that this process has had, in bytes.
pub(super) fn own_peak() -> Option<u64> {
    peak(&std::fs::read_to_string("/proc/self/status").ok()?)
}

/// The same in `/proc/PID/status`, which gives it in KiB.
fn peak(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let number: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    number.checked_mul(1024)
}

/// The first line that a linker says of itself.
fn version(linker: &OsStr) -> Result<String, Failure> {
    let asked = Command::new(linker).arg("--version").output();
    let answer = asked.map_err(|error| Failure::io("run", Path::new(linker), &error))?;
    let text = String::from_utf8_lossy(&answer.stdout);
    let line = text.lines().next().filter(|_| answer.status.success());
    line.map(str::to_owned).ok_or_else(|| {
        let linker = Path::new(linker).display();
        Failure::new(format!("{linker} --version says nothing"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_linux_says_of_the_machine_is_read() {
        let cpuinfo = "processor\t: 0\nmodel name\t: Some CPU @ 2.0GHz\n\nmodel name\t: Other\n";
        assert_eq!(processor(cpuinfo), Some("Some CPU @ 2.0GHz"));
        assert_eq!(processor("cpu : POWER9"), None);
        let status = "Name:\txtask\nVmHWM:\t    5776 kB\nVmRSS:\t 100 kB\n";
        assert_eq!(peak(status), Some(5776 * 1024));
        assert!(own_peak().is_some_and(|peak| peak > 100_000));
        assert_eq!(load("0.52 0.58 0.59 1/123 4567\n"), Some("0.52"));
    }
}
