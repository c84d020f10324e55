//! Kernels that were really built. `KLINK_CORPUS` names a folder of `linux-6.1-ARCH.tar.zst`; without
//! it there is nothing to do.

use std::path::PathBuf;
use std::process::Command;

use klink_tables::sort::image;
use klink_tables::sort::mcount::WeakCalls;

/// The x86-64 kernel was sorted by `sorttable` after GNU ld had linked it.
#[test]
fn a_sorted_kernel_stays_as_it_is() {
    let Some(corpus) = std::env::var_os("KLINK_CORPUS").map(PathBuf::from) else {
        eprintln!("skipped: KLINK_CORPUS is not set");
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut tar = Command::new("tar");
    tar.args(["--zstd", "--wildcards", "-xf"])
        .arg(corpus.join("linux-6.1-x86_64.tar.zst"))
        .arg("-C")
        .arg(folder.path())
        .args(["--strip-components=1", "*/vmlinux"]);
    let status = tar.status();
    assert!(status.expect("tar runs").success());
    let before = std::fs::read(folder.path().join("vmlinux")).expect("a kernel");
    let mut file = before.clone();
    let sorted = image(&mut file, WeakCalls::Keep).expect("a kernel");
    assert!(
        sorted.exceptions > 1000 && sorted.orc > 100_000,
        "{sorted:?}"
    );
    assert!(file == before, "it was sorted before");
}
