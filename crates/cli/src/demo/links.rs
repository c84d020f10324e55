//! The example's objects, unpacked, and the ways to link them.

use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, process};

use klink_link as link;
use object::read::archive::ArchiveFile;

use super::elf::Object;

/// The objects: an archive, compressed. See `examples/parisc-module/README.md`.
const OBJECTS: &[u8] = include_bytes!("../../../../examples/parisc-module/objects.a.xz");

/// A module's linker script, as a kernel has one.
const SCRIPT: &str = include_str!("../../../../examples/parisc-module/module.lds");

/// The same, with all code merged into one section: what `ld -r` did in 2008.
const MERGED: &str = include_str!("../../../../examples/parisc-module/merged.lds");

/// What is asked of the linker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `-r` with the kernel's script: one section for every function.
    Plain,
    /// `-r` with a script that merges all code.
    Merged,
    /// `-r --module` with the kernel's script.
    Module,
}

impl Kind {
    /// The head of its column.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Plain => "-r",
            Self::Merged => "-r, code merged",
            Self::Module => "-r --module",
        }
    }

    /// Whether a kernel must be able to load the result.
    pub(super) fn must_reach(self) -> bool {
        self != Self::Merged
    }

    fn file_name(self) -> &'static str {
        match self {
            Self::Plain => "atlas-plain.ko",
            Self::Merged => "atlas-merged.ko",
            Self::Module => "atlas.ko",
        }
    }
}

/// What links.
#[derive(Debug)]
pub(super) enum Linker {
    /// klink, in this process.
    Klink,
    /// Another linker, which has no module link.
    Program(PathBuf),
}

impl Linker {
    pub(super) fn kinds(&self) -> &'static [Kind] {
        match self {
            Self::Klink => &[Kind::Plain, Kind::Merged, Kind::Module],
            Self::Program(_) => &[Kind::Plain, Kind::Merged],
        }
    }
}

/// The unpacked objects: in memory for the proof, and as files for the linker.
#[derive(Debug)]
pub(super) struct Example {
    pub(super) inputs: Vec<Object>,
    paths: Vec<PathBuf>,
    folder: PathBuf,
    is_kept: bool,
}

impl Drop for Example {
    fn drop(&mut self) {
        if !self.is_kept {
            // What stays behind in the folder for temporary files does no harm.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

impl Example {
    /// Unpacks the objects into `keep`, or into a folder that goes when this value does.
    ///
    /// # Errors
    /// When a file cannot be written; the message names it.
    pub(super) fn unpack(keep: Option<&Path>) -> Result<Self, String> {
        let folder = match keep {
            Some(folder) => create_folder(folder)?,
            None => fresh_folder()?,
        };
        let mut example = Self {
            inputs: Vec::new(),
            paths: Vec::new(),
            folder,
            is_kept: keep.is_some(),
        };
        write(&example.folder.join("module.lds"), SCRIPT.as_bytes())?;
        write(&example.folder.join("merged.lds"), MERGED.as_bytes())?;
        for (name, data) in members()? {
            let path = example.folder.join(&name);
            write(&path, &data)?;
            example.inputs.push(Object::parse(&name, &data)?);
            example.paths.push(path);
        }
        Ok(example)
    }

    /// Links the objects and reads what came out.
    ///
    /// # Errors
    /// The linker's own message.
    pub(super) fn link(&self, linker: &Linker, kind: Kind) -> Result<Object, String> {
        let output = self.folder.join(kind.file_name());
        let script = self.folder.join(match kind {
            Kind::Merged => "merged.lds",
            Kind::Plain | Kind::Module => "module.lds",
        });
        match linker {
            Linker::Klink => {
                let options = self.options(kind, script, output.clone());
                link::link(&options).map_err(|error| error.to_string())?;
            }
            Linker::Program(program) => self.run(program, &script, &output)?,
        }
        let data = fs::read(&output).map_err(|e| format!("{}: {e}", output.display()))?;
        Object::parse(kind.file_name(), &data)
    }

    fn options(&self, kind: Kind, script: PathBuf, output: PathBuf) -> link::Options {
        let inputs = self.paths.iter().map(link::Input::file);
        link::Options {
            inputs: inputs.collect(),
            output: Some(output),
            output_kind: link::OutputKind::Relocatable,
            scripts: vec![script.into()],
            module: (kind == Kind::Module).then(link::ModuleOptions::default),
            ..link::Options::default()
        }
    }

    fn run(&self, program: &Path, script: &Path, output: &Path) -> Result<(), String> {
        let done = Command::new(program)
            .args(["-r", "-z", "noexecstack", "-T"])
            .arg(script)
            .arg("-o")
            .arg(output)
            .args(&self.paths)
            .output()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        if done.status.success() {
            Ok(())
        } else {
            let said = String::from_utf8_lossy(&done.stderr);
            Err(format!("{}: {}", program.display(), said.trim_end()))
        }
    }
}

/// The archive's members, in order.
fn members() -> Result<Vec<(String, Vec<u8>)>, String> {
    let mut archive = Vec::new();
    lzma_rust2::XzReader::new(OBJECTS, false)
        .read_to_end(&mut archive)
        .map_err(|error| format!("objects.a.xz: {error}"))?;
    let bad = |error| format!("objects.a: {error}");
    let file = ArchiveFile::parse(archive.as_slice()).map_err(bad)?;
    file.members()
        .map(|member| {
            let member = member.map_err(bad)?;
            let name = String::from_utf8_lossy(member.name()).into_owned();
            let data = member.data(archive.as_slice()).map_err(bad)?;
            Ok((name, data.to_vec()))
        })
        .collect()
}

fn create_folder(folder: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(folder.to_owned())
}

/// Makes a folder for temporary files that nobody else has.
fn fresh_folder() -> Result<PathBuf, String> {
    let mut number = 0;
    loop {
        let name = format!("klink-demo-{}-{number}", process::id());
        let folder = env::temp_dir().join(name);
        match fs::create_dir(&folder) {
            Ok(()) => return Ok(folder),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
            Err(error) => return Err(format!("{}: {error}", folder.display())),
        }
    }
}

fn write(path: &Path, data: &[u8]) -> Result<(), String> {
    fs::write(path, data).map_err(|error| format!("{}: {error}", path.display()))
}
