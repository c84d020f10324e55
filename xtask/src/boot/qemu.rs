//! One boot: QEMU in TCG with a kernel, an initramfs and a serial console.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use crate::kernel::Recipe;
use crate::{Failure, tools};

/// What init prints when it has run all its commands.
const DONE: &str = "klink: done";

/// How long QEMU may take to end after that.
const GRACE: Duration = Duration::from_secs(20);

/// How a boot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Init ran all its commands.
    Done,
    /// QEMU ended before: the kernel panicked, or QEMU could not start.
    Died,
    /// The console said nothing for as long as was allowed.
    Silent,
}

/// A boot's console and end.
#[derive(Debug)]
pub(super) struct Boot {
    /// The console's lines, without line ends.
    pub(super) console: Vec<String>,
    pub(super) end: End,
    /// What QEMU itself said.
    pub(super) qemu_error: String,
}

/// Boots `kernel` with `initrd` until init is done, QEMU ends, or the console
/// is silent for `patience`. `append` replaces the architecture's own words on
/// the kernel's command line. With `echo` the console is shown as it comes.
///
/// # Errors
/// QEMU is missing, cannot be installed, or cannot be run.
pub(super) fn boot(
    recipe: &Recipe,
    kernel: &Path,
    initrd: &Path,
    append: Option<&str>,
    patience: Duration,
    echo: bool,
) -> Result<Boot, Failure> {
    tools::ensure(&[recipe.qemu_package])?;
    let mut command = Command::new(recipe.qemu);
    command.args(recipe.machine);
    command
        .arg("-kernel")
        .arg(kernel)
        .arg("-initrd")
        .arg(initrd);
    // A panic, or an oops, ends the boot at once: nothing after it is worth
    // waiting for, and what it was in is known from the console.
    command.arg("-append").arg(format!(
        "console=ttyS0 rdinit=/init loglevel=8 printk.devkmsg=on panic=-1 oops=panic {}",
        append.unwrap_or(recipe.append)
    ));
    command.args(["-display", "none", "-monitor", "none", "-serial", "stdio"]);
    command.args(["-no-reboot", "-nic", "none"]);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::new(format!("cannot run {command:?}: {error}")))?;
    let lines = read_lines(child.stdout.take());
    let errors = read_lines(child.stderr.take());
    let (console, end) = watch(&lines, patience, echo);
    finish(&mut child, end);
    let qemu_error = errors.iter().collect::<Vec<_>>().join("\n");
    Ok(Boot {
        console,
        end,
        qemu_error,
    })
}

/// Reads lines in a thread of their own, so that waiting for one can time out.
pub(crate) fn read_lines(from: Option<impl std::io::Read + Send + 'static>) -> Receiver<String> {
    let (send, receive) = channel();
    if let Some(from) = from {
        std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).replace('\r', "");
                if send.send(line).is_err() {
                    return;
                }
            }
        });
    }
    receive
}

fn watch(lines: &Receiver<String>, patience: Duration, echo: bool) -> (Vec<String>, End) {
    let mut console = Vec::new();
    loop {
        match lines.recv_timeout(patience) {
            Ok(line) => {
                if echo {
                    eprintln!("{line}");
                }
                let done = line.ends_with(DONE);
                console.push(line);
                if done {
                    return (console, End::Done);
                }
            }
            Err(RecvTimeoutError::Timeout) => return (console, End::Silent),
            Err(RecvTimeoutError::Disconnected) => return (console, End::Died),
        }
    }
}

/// Lets a guest that is done reboot (which ends QEMU), and ends any other.
fn finish(child: &mut Child, end: End) {
    let deadline = Instant::now() + GRACE;
    while end == End::Done && Instant::now() < deadline {
        if matches!(child.try_wait(), Ok(Some(_))) {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // An error here means that it has ended meanwhile.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boot_is_done_when_init_says_so() {
        let (send, receive) = channel();
        for line in ["[ 1.0] klink: run x", "[ 2.0] klink: done", "more"] {
            send.send(line.to_owned()).expect("the receiver is alive");
        }
        let (console, end) = watch(&receive, Duration::from_secs(1), false);
        assert_eq!((console.len(), end), (2, End::Done));
    }

    #[test]
    fn an_early_end_and_silence_are_told_apart() {
        let (send, receive) = channel::<String>();
        let (_, end) = watch(&receive, Duration::from_millis(1), false);
        assert_eq!(end, End::Silent);
        drop(send);
        let (_, end) = watch(&receive, Duration::from_secs(1), false);
        assert_eq!(end, End::Died);
    }
}
