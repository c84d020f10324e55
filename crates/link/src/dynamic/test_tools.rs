//! Assembling and linking with GNU as and ld, and reading what they made.

use std::path::Path;
use std::process::Command;

use klink_arch::Arch;
use object::{Object, ObjectSection, ObjectSymbol};

use super::encode::Form;

/// An architecture, with the programs for it.
pub(crate) struct Tools {
    pub(crate) arch: &'static Arch,
    assembler: &'static [&'static str],
    linker: &'static [&'static str],
}

static ALL: [Tools; 3] = [
    Tools {
        arch: &klink_arch::x86_64::X86_64,
        assembler: &["as", "--64"],
        linker: &["ld", "-melf_x86_64"],
    },
    Tools {
        arch: &klink_arch::i386::I386,
        assembler: &["as", "--32"],
        linker: &["ld", "-melf_i386"],
    },
    Tools {
        arch: &klink_arch::hppa::HPPA32,
        assembler: &["hppa-linux-gnu-as"],
        linker: &["hppa-linux-gnu-ld"],
    },
];

impl Tools {
    /// The tools that are installed; says loudly which are not, or fails.
    pub(crate) fn installed() -> impl Iterator<Item = &'static Self> {
        ALL.iter().filter(|tools| {
            let missing = [tools.assembler[0], tools.linker[0]]
                .into_iter()
                .find(|program| Command::new(program).arg("--version").output().is_err());
            if let Some(program) = missing {
                assert!(
                    std::env::var("KLINK_REQUIRE_TOOLS").as_deref() != Ok("1"),
                    "{program} is not installed"
                );
                eprintln!("SKIPPED: {program} is not installed");
            }
            missing.is_none()
        })
    }

    pub(crate) fn form(&self) -> Form {
        Form::of(self.arch)
    }

    /// Assembles `source` and gives the object's bytes.
    pub(crate) fn assemble(&self, folder: &Path, name: &str, source: &str) -> Vec<u8> {
        let text = folder.join(format!("{name}.s"));
        std::fs::write(&text, source).unwrap();
        let object = format!("{name}.o");
        must_run(
            folder,
            self.assembler,
            &[&format!("{name}.s"), "-o", &object],
        );
        std::fs::read(folder.join(object)).unwrap()
    }

    /// Links and gives the output's bytes.
    pub(crate) fn link(&self, folder: &Path, arguments: &[&str]) -> Vec<u8> {
        must_run(folder, self.linker, &[&["-o", "out"], arguments].concat());
        std::fs::read(folder.join("out")).unwrap()
    }
}

fn must_run(folder: &Path, program: &[&str], arguments: &[&str]) {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).args(arguments);
    let output = command.current_dir(folder).env("LC_ALL", "C").output();
    let output = output.unwrap();
    assert!(
        output.status.success(),
        "{program:?} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Contents of a section, if the file has it.
pub(crate) fn contents(file: &object::File<'_>, name: &str) -> Option<Vec<u8>> {
    let section = file.section_by_name(name)?;
    Some(section.data().unwrap().to_vec())
}

/// Address of a section, if the file has it.
pub(crate) fn address(file: &object::File<'_>, name: &str) -> Option<u64> {
    Some(file.section_by_name(name)?.address())
}

/// The value of the symbol of that name in `.symtab`.
pub(crate) fn value(file: &object::File<'_>, name: &str) -> u64 {
    let mut symbols = file.symbols();
    let symbol = symbols.find(|symbol| symbol.name_bytes() == Ok(name.as_bytes()));
    symbol
        .unwrap_or_else(|| panic!("no symbol {name}"))
        .address()
}
