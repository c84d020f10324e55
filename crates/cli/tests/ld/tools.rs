//! The assemblers and linkers that klink is compared with.

use std::path::Path;
use std::process::{Command, Output};

/// An architecture, with the programs for it.
pub(crate) struct Tools {
    pub(crate) name: &'static str,
    assembler: &'static [&'static str],
    linker: &'static [&'static str],
    archiver: &'static str,
    /// klink's own description of the architecture, for the names of relocations.
    pub(crate) arch: &'static klink_arch::Arch,
}

/// What cases may name after `arch:`.
pub(crate) static ALL: [Tools; 4] = [
    Tools {
        name: "hppa",
        assembler: &["hppa-linux-gnu-as"],
        linker: &["hppa-linux-gnu-ld"],
        archiver: "hppa-linux-gnu-ar",
        arch: &klink_arch::hppa::HPPA32,
    },
    Tools {
        name: "hppa64",
        assembler: &["hppa64-linux-gnu-as"],
        linker: &["hppa64-linux-gnu-ld"],
        archiver: "hppa64-linux-gnu-ar",
        arch: &klink_arch::hppa::HPPA64,
    },
    Tools {
        name: "x86_64",
        assembler: &["as", "--64"],
        linker: &["ld", "-melf_x86_64"],
        archiver: "ar",
        arch: &klink_arch::x86_64::X86_64,
    },
    Tools {
        name: "i386",
        assembler: &["as", "--32"],
        linker: &["ld", "-melf_i386"],
        archiver: "ar",
        arch: &klink_arch::i386::I386,
    },
];

impl Tools {
    /// The tools of that name, or `None` (said loudly) where they are not installed.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        let tools = ALL.iter().find(|tools| tools.name == name);
        let tools = tools.unwrap_or_else(|| panic!("no architecture {name}"));
        let programs = [tools.assembler[0], tools.linker[0], tools.archiver];
        programs
            .iter()
            .all(|program| is_installed(program))
            .then_some(tools)
    }

    /// Assembles `source` to `object`, both in `folder`.
    pub(crate) fn assemble(&self, folder: &Path, source: &str, object: &str) {
        must_run(folder, self.assembler, &[source, "-o", object]);
    }

    /// Makes an archive: `kind` is `rcs`, or `rcsT` for a thin one.
    pub(crate) fn archive(&self, folder: &Path, kind: &str, files: &[&str]) {
        let arguments: Vec<&str> = [kind].iter().chain(files).copied().collect();
        must_run(folder, &[self.archiver], &arguments);
    }

    /// Runs GNU ld.
    pub(crate) fn link(&self, folder: &Path, arguments: &[&str]) -> Output {
        run(folder, self.linker, arguments)
    }
}

/// Runs `ld.klink`.
pub(crate) fn klink(folder: &Path, arguments: &[&str]) -> Output {
    run(folder, &[env!("CARGO_BIN_EXE_ld-klink")], arguments)
}

/// Whether a program can be run; if not, says loudly that tests do nothing, or fails.
pub(crate) fn is_installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        skip(&format!("{program} is not installed"));
    }
    found
}

/// Says loudly that a test does nothing, or fails it.
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var("KLINK_REQUIRE_TOOLS").as_deref() != Ok("1"),
        "{why}"
    );
    eprintln!("SKIPPED: {why}");
}

fn run(folder: &Path, program: &[&str], arguments: &[&str]) -> Output {
    let mut command = Command::new(program[0]);
    command
        .args(&program[1..])
        .args(arguments)
        .current_dir(folder);
    let output = command.env("LC_ALL", "C").output();
    output.unwrap_or_else(|error| panic!("{}: {error}", program[0]))
}

/// Runs a program that has to succeed.
pub(crate) fn must_run(folder: &Path, program: &[&str], arguments: &[&str]) -> Output {
    let output = run(folder, program, arguments);
    assert!(
        output.status.success(),
        "{} {}: {}",
        program.join(" "),
        arguments.join(" "),
        errors(&output)
    );
    output
}

/// What a program wrote to standard error.
pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
