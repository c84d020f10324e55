//! `klink kbuild`: the last step of a kernel build, in the place of `scripts/link-vmlinux.sh`.
//!
//! That script links vmlinux three or four times, because the table of symbols in it must be made
//! from a linked vmlinux. Here the linker makes the table, sorts what `scripts/sorttable` sorts and
//! writes `System.map`, in one link. Type information (BTF) is still made by pahole from a vmlinux,
//! which is one link more.
//!
//! What kbuild says by its environment and by `include/config/auto.conf` is read by `tree`; the link
//! is `command`; this file carries the steps out.
//!
//! Source: `scripts/link-vmlinux.sh` of Linux 6.1.192 and 6.12.117.

mod command;
mod tree;

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::process::{Command, ExitCode};

use clap::Args;
use object::elf;

use command::{Link, words};
use tree::Tree;

/// Link vmlinux in a kernel build, in place of scripts/link-vmlinux.sh
///
/// Makes vmlinux and System.map by one call of ld.klink (with type information, BTF, one more before):
/// the table of symbols (kallsyms) is made in
/// the link and its tables are sorted there. Arguments and environment are those that the kernel's
/// Makefile.vmlinux gives to the script, of Linux 6.1 or later.
#[derive(Args)]
#[command(after_long_help = AFTER_HELP)]
pub(crate) struct Options {
    /// The linker, $(LD): ld.klink
    #[arg(value_name = "LD")]
    linker: String,

    /// $(KBUILD_LDFLAGS)
    #[arg(value_name = "LDFLAGS", allow_hyphen_values = true)]
    flags: String,

    /// $(LDFLAGS_vmlinux)
    #[arg(value_name = "LDFLAGS_VMLINUX", allow_hyphen_values = true)]
    vmlinux_flags: String,

    /// The file to make
    #[arg(value_name = "OUTPUT", default_value = "vmlinux")]
    output: String,
}

const AFTER_HELP: &str = "\
How to use it, without a change to the kernel's source:
  make LD=ld.klink cmd_link_vmlinux='klink kbuild \"$(LD)\" \"$(KBUILD_LDFLAGS)\" \"$(LDFLAGS_vmlinux)\" \
      $(if $(ARCH_POSTLINK), && $(MAKE) -f $(ARCH_POSTLINK) $@)'

It needs from kbuild's environment: srctree, objtree, SRCARCH, KBUILD_LDS, KBUILD_VMLINUX_LIBS, MAKE;
with CONFIG_DEBUG_INFO_BTF also PAHOLE, PAHOLE_FLAGS, OBJCOPY and RESOLVE_BTFIDS.

Exit codes:
  0  vmlinux and System.map are there
  1  a step failed; neither is there
  2  the command line is wrong";

/// What klink takes the place of.
const SCRIPT: &str = "scripts/link-vmlinux.sh";

/// The list of symbols beside the kernel.
const SYSTEM_MAP: &str = "System.map";

/// Where kbuild's fixdep looks up what vmlinux depends on.
const DEPENDENCIES: &str = ".vmlinux.d";

/// Why vmlinux was not made.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// It does not run in a kernel build.
    #[error(
        "{0} is not set; kbuild runs this in a kernel's build folder (see klink kbuild --help)"
    )]
    Environment(&'static str),
    /// A file of the tree cannot be read or written.
    #[error("cannot {action} {file}: {source}")]
    File {
        action: &'static str,
        file: String,
        source: io::Error,
    },
    /// `CONFIG_UML`: the compiler links.
    #[error("user-mode Linux is linked by the compiler: use scripts/link-vmlinux.sh")]
    UserMode,
    /// A program cannot be run.
    #[error("cannot run {program}: {source}")]
    Run { program: String, source: io::Error },
    /// A program failed; it has said why.
    #[error("{program} failed ({status})")]
    Failed {
        program: String,
        status: std::process::ExitStatus,
    },
    /// The linker cannot make the table.
    #[error("LD={0} is not ld.klink, which alone makes the table of symbols in the link")]
    OtherLinker(String),
}

/// Runs the steps.
pub(crate) fn run(options: &Options) -> ExitCode {
    match make(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // What is there is not what was asked for.
            for file in [&options.output, SYSTEM_MAP] {
                let _ = fs::remove_file(file);
            }
            eprintln!("klink kbuild: {error}");
            ExitCode::from(1)
        }
    }
}

fn make(options: &Options) -> Result<(), Error> {
    let tree = Tree::read(&options.linker, &options.flags, &options.vmlinux_flags)?;
    check_linker(&options.linker)?;
    let mut make = Command::new(&tree.make);
    make.arg("-f")
        .arg(tree.source("scripts/Makefile.build"))
        .args(["obj=init", "init/version-timestamp.o"]);
    tree.run(make)?;

    let has_types = tree.config.is_enabled("CONFIG_DEBUG_INFO_BTF");
    let types = match has_types {
        true => Some(make_types(&tree)?),
        false => None,
    };
    tree.tell("LD", &options.output);
    tree.run(tree.link(&Link {
        output: &options.output,
        objects: types.as_slice(),
        is_final: true,
    }))?;
    if has_types && (tree.release >= (6, 12) || tree.config.is_enabled("CONFIG_BPF")) {
        tree.tell("BTFIDS", &options.output);
        let mut resolve = Command::new(tree.program("RESOLVE_BTFIDS")?);
        resolve.arg(&options.output);
        tree.run(resolve)?;
    }
    let script = tree.source(SCRIPT);
    let text = format!("{}: {}\n", options.output, script.display());
    fs::write(DEPENDENCIES, text).map_err(|source| file_error("write", DEPENDENCIES, source))
}

/// Makes an object with type information, from a vmlinux that lacks only that. Gives its name.
fn make_types(tree: &Tree) -> Result<String, Error> {
    const LINKED: &str = ".tmp_vmlinux.btf";
    const OBJECT: &str = ".btf.vmlinux.bin.o";
    tree.tell("LD", LINKED);
    tree.run(tree.link(&Link {
        output: LINKED,
        objects: &[],
        is_final: false,
    }))?;
    tree.tell("BTF", OBJECT);
    let mut pahole = Command::new(tree.program("PAHOLE")?);
    pahole.env("LLVM_OBJCOPY", tree.program("OBJCOPY")?);
    pahole.arg("-J").args(words(&tree.variable("PAHOLE_FLAGS")));
    pahole.arg(LINKED);
    tree.run(pahole)?;
    let mut extract = Command::new(tree.program("OBJCOPY")?);
    extract.args(["--only-section=.BTF", "--set-section-flags"]);
    extract.args([".BTF=alloc,readonly", "--strip-all", LINKED, OBJECT]);
    // It warns that segments lose their sections, which is what was asked for.
    tree.run_quietly(extract)?;
    make_relocatable(OBJECT).map_err(|source| file_error("rewrite", OBJECT, source))?;
    Ok(OBJECT.to_owned())
}

/// Says in the header of an ELF file that it is an object, since linkers take no executables.
fn make_relocatable(path: impl AsRef<Path>) -> io::Result<()> {
    // Behind `e_ident` (ELF gABI, "ELF Header").
    const TYPE_OFFSET: u64 = 16;
    const DATA_INDEX: usize = 5;
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut ident = [0; TYPE_OFFSET as usize];
    file.read_exact(&mut ident)?;
    let kind = elf::ET_REL.0;
    let bytes = match elf::DataEncoding(ident[DATA_INDEX]) {
        elf::ELFDATA2MSB => kind.to_be_bytes(),
        _ => kind.to_le_bytes(),
    };
    file.seek(SeekFrom::Start(TYPE_OFFSET))?;
    file.write_all(&bytes)
}

/// Makes sure that the linker can make the table.
fn check_linker(linker: &str) -> Result<(), Error> {
    let mut parts = words(linker);
    let program = parts.next().unwrap_or_default();
    let mut ask = Command::new(program);
    ask.args(parts).arg("--version");
    let output = ask.output().map_err(|source| Error::Run {
        program: program.to_owned(),
        source,
    })?;
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default();
    match first.contains("klink") {
        true => Ok(()),
        false => Err(Error::OtherLinker(linker.to_owned())),
    }
}

fn file_error(action: &'static str, file: &str, source: io::Error) -> Error {
    Error::File {
        action,
        file: file.to_owned(),
        source,
    }
}
