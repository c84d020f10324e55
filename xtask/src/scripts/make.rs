//! Has kernel builds preprocess their linker scripts, and nothing more than that needs.
//!
//! A kernel's own rules know each script's flags, but its top Makefile offers no goal for most of
//! them. A Makefile of ours includes it as it includes itself in a build folder, and adds goals that
//! do what it does for folders.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::find::Script;
use super::machines::{Machine, STAND_INS};
use crate::Failure;
use crate::kernel::run_command;

/// The name of our Makefile in a build folder.
const MAKEFILE: &str = "klink.mk";

/// What make says goes here, in the build folder.
pub(super) const LOG: &str = "klink.log";

/// Configures the kernel of `machine` in `out`, and preprocesses `scripts` there. A script that
/// cannot be made is missing afterwards; make says why in [`LOG`].
///
/// # Errors
/// A kernel that cannot be configured.
pub(super) fn preprocess(
    source: &Path,
    machine: &Machine,
    scripts: &[Script],
    out: &Path,
) -> Result<(), Failure> {
    std::fs::create_dir_all(out).map_err(|error| Failure::io("create", out, &error))?;
    let log = out.join(LOG);
    let file = std::fs::File::create(&log).map_err(|error| Failure::io("create", &log, &error))?;
    let copy = || {
        file.try_clone()
            .map_err(|error| Failure::io("write", &log, &error))
    };
    let make = || -> Result<Command, Failure> {
        let mut make = Command::new("make");
        make.arg(format!("ARCH={}", machine.linux_arch))
            .arg(format!("CROSS_COMPILE={}", machine.cross))
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(copy()?)
            .stderr(copy()?);
        Ok(make)
    };

    let mut configure = make()?;
    configure.arg("-C").arg(source);
    configure.arg(format!("O={}", out.display()));
    run_command(configure.arg(machine.defconfig))?;

    for header in STAND_INS {
        write(&out.join(header.path), header.text)?;
    }
    write(&out.join(MAKEFILE), &makefile(source, scripts))?;
    // What could not be made shows as a missing file; a header that a compiler refuses need not be
    // one that scripts include.
    for goal in ["prepare0", "klink-scripts"] {
        let mut build = make()?;
        build.current_dir(out).args(["-k", "-f", MAKEFILE, goal]);
        build
            .status()
            .map_err(|error| Failure::new(format!("cannot run {build:?}: {error}")))?;
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Failure::io("create", folder, &error))?;
    }
    std::fs::write(path, text).map_err(|error| Failure::io("write", path, &error))
}

/// Our Makefile: what the kernel's passes on to itself when it is called for a build folder (its
/// part up to `sub_make_done`), the kernel's, and a goal for each script.
fn makefile(source: &Path, scripts: &[Script]) -> String {
    let mut text = format!(
        "export abs_srctree := {}\n\
         export abs_objtree := $(CURDIR)\n\
         export sub_make_done := 1\n\
         export KBUILD_VERBOSE := 0\n\
         export quiet := quiet_\n\
         export Q := @\n\
         MAKEFLAGS += -rR --no-print-directory --include-dir=$(abs_srctree)\n\
         include $(abs_srctree)/Makefile\n\
         .PHONY: klink-scripts\n",
        source.display()
    );
    // Make does not pass on what it is told not to make.
    let given: String = STAND_INS
        .iter()
        .map(|header| format!("-o {} ", header.path))
        .collect();
    let made = scripts
        .iter()
        .filter_map(|script| Some((script.made_in.as_ref()?, &script.path)));
    for (number, (folder, script)) in made.enumerate() {
        let _ = write!(
            text,
            ".PHONY: klink-{number}\n\
             klink-scripts: klink-{number}\n\
             klink-{number}:\n\
             \t$(Q)$(MAKE) {given}$(build)={folder} {script}\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_preprocessed_scripts_are_goals() {
        let script = |path: &str, made_in: Option<&str>| Script {
            path: path.to_owned(),
            made_in: made_in.map(str::to_owned),
        };
        let scripts = [
            script("arch/toy/boot/setup.ld", None),
            script("arch/toy/kernel/vdso/v.lds", Some("arch/toy/kernel")),
        ];
        let text = makefile(Path::new("/source"), &scripts);
        assert!(text.contains("$(build)=arch/toy/kernel arch/toy/kernel/vdso/v.lds\n"));
        assert!(!text.contains("setup.ld"));
    }
}
