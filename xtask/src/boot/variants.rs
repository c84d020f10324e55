//! The same module linked in different ways: by GNU ld as the tree has it, by
//! klink, and by GNU ld with a generated script that merges code into chunks.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use object::{Object, ObjectSection, SectionFlags};

use super::modules::Module;
use crate::Failure;
use crate::kernel::{Recipe, run_command, workspace};

/// Who linked a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Variant {
    /// GNU ld, as the kernel build has it.
    Ld,
    /// GNU ld with a script that merges `.text.*` into chunks that reach.
    Chunks,
    /// klink.
    Klink,
}

impl Variant {
    /// The name in tables and in the guest's paths.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Ld => "ld",
            Self::Chunks => "chunks",
            Self::Klink => "klink",
        }
    }

    /// The variant of this [`label`](Self::label).
    pub(super) fn from_label(label: &str) -> Option<Self> {
        [Self::Ld, Self::Chunks, Self::Klink]
            .into_iter()
            .find(|variant| variant.label() == label)
    }
}

/// Where each variant's modules come from.
#[derive(Debug)]
pub(super) struct Linkers<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) tree: &'a Path,
    /// A folder of modules that klink has linked already.
    pub(super) klink_dir: Option<&'a Path>,
    /// klink's linker, to link them with else.
    pub(super) klink: Option<PathBuf>,
    /// Options for it besides `-r` and those of the recorded command.
    pub(super) klink_options: Vec<String>,
    /// Where what is linked here goes.
    pub(super) scratch: &'a Path,
}

impl Linkers<'_> {
    /// The file of `module` as `variant` links it; linked now if it has to be.
    ///
    /// # Errors
    /// The linker's failure, with its command; a `--klink-dir` without the
    /// module.
    pub(super) fn module(&self, module: &Module, variant: Variant) -> Result<PathBuf, Failure> {
        match variant {
            Variant::Ld => Ok(self.tree.join(&module.path)),
            Variant::Chunks => self.link_chunks(module),
            Variant::Klink => match (self.klink_dir, &self.klink) {
                (Some(folder), _) => find_in(folder, module),
                (None, Some(linker)) => self.link_klink(module, linker),
                (None, None) => Err(Failure::new("no klink to link with")),
            },
        }
    }

    /// Links with the command that the tree records for this module, but with
    /// klink in ld's place, and `--module`.
    fn link_klink(&self, module: &Module, linker: &Path) -> Result<PathBuf, Failure> {
        let out = self.output(module, Variant::Klink)?;
        let recorded = recorded_command(self.tree, &module.path)?;
        let mut command = Command::new(linker);
        command.current_dir(self.tree).args(&self.klink_options);
        let mut words = recorded.split_whitespace().skip(1);
        while let Some(word) = words.next() {
            command.arg(word);
            if word == "-o" {
                words.next();
                command.arg(&out);
            }
        }
        run_command(&mut command)?;
        Ok(out)
    }

    fn link_chunks(&self, module: &Module) -> Result<PathBuf, Failure> {
        let out = self.output(module, Variant::Chunks)?;
        let objects = [
            module.path.with_extension("o"),
            module.path.with_extension("mod.o"),
        ];
        let module_lds = self.tree.join("scripts/module.lds");
        let base = std::fs::read_to_string(&module_lds)
            .map_err(|error| Failure::io("read", &module_lds, &error))?;
        let mut text = Vec::new();
        for object in &objects {
            text.extend(text_sections(&self.tree.join(object))?);
        }
        let script = out.with_extension("lds");
        std::fs::write(&script, chunk_script(&base, &text, self.recipe.chunk))
            .map_err(|error| Failure::io("write", &script, &error))?;
        run_command(
            Command::new(self.recipe.program("ld"))
                .current_dir(self.tree)
                .args(["-r", "-z", "noexecstack", "--no-warn-rwx-segments"])
                .args(["--build-id=sha1", "-T"])
                .arg(&script)
                .arg("-o")
                .arg(&out)
                .args(&objects),
        )?;
        Ok(out)
    }

    fn output(&self, module: &Module, variant: Variant) -> Result<PathBuf, Failure> {
        let folder = self.scratch.join(variant.label());
        std::fs::create_dir_all(&folder).map_err(|error| Failure::io("create", &folder, &error))?;
        Ok(folder.join(format!("{}.ko", module.name)))
    }
}

/// Builds the workspace's linker and returns its path.
pub(super) fn build_klink() -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    run_command(Command::new(cargo).current_dir(workspace()).args([
        "build",
        "--quiet",
        "--release",
        "-p",
        "klink",
        "--bin",
        "ld-klink",
    ]))?;
    // This program lies in the profile's folder of the same target folder.
    let here = std::env::current_exe()
        .map_err(|error| Failure::new(format!("where is this program? {error}")))?;
    let target = here.ancestors().nth(2).unwrap_or(Path::new("target"));
    Ok(target.join("release/ld-klink"))
}

/// The module's file in a folder that has it under its path in the tree, or
/// under its name alone.
fn find_in(folder: &Path, module: &Module) -> Result<PathBuf, Failure> {
    let name = module.path.file_name().unwrap_or_default();
    [folder.join(&module.path), folder.join(name)]
        .into_iter()
        .find(|file| file.is_file())
        .ok_or_else(|| {
            Failure::new(format!(
                "{} has neither {} nor {}",
                folder.display(),
                module.path.display(),
                Path::new(name).display()
            ))
        })
}

/// The command that linked `module`, out of the tree's `link-commands.txt`.
fn recorded_command(tree: &Path, module: &Path) -> Result<String, Failure> {
    let path = tree.join("link-commands.txt");
    let commands =
        std::fs::read_to_string(&path).map_err(|error| Failure::io("read", &path, &error))?;
    let output = format!(" -o {} ", module.display());
    commands
        .lines()
        .find(|line| line.contains(&output))
        .map(|line| line.split(';').next().unwrap_or(line).to_owned())
        .ok_or_else(|| {
            Failure::new(format!(
                "{} has no command that makes {}",
                path.display(),
                module.display()
            ))
        })
}

/// Names and sizes, in bytes, of an object's `.text*` sections, in order.
fn text_sections(path: &Path) -> Result<Vec<(String, u64)>, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::io("read", path, &error))?;
    let failed = |error: object::Error| Failure::new(format!("{}: {error}", path.display()));
    let object = object::File::parse(&*bytes).map_err(failed)?;
    let mut list = Vec::new();
    for section in object.sections() {
        let name = section.name().map_err(failed)?;
        let executable = matches!(section.flags(), SectionFlags::Elf { sh_flags, .. }
            if sh_flags.0 & object::elf::SHF_EXECINSTR.0 != 0);
        if executable && (name == ".text" || name.starts_with(".text.")) {
            list.push((name.to_owned(), section.size()));
        }
    }
    Ok(list)
}

/// `module.lds` with output sections that take `text` in order, each at most
/// `limit` bytes (a larger input section gets one of its own), and the init
/// and exit code as one section each.
fn chunk_script(module_lds: &str, text: &[(String, u64)], limit: u64) -> String {
    let mut chunks: Vec<Vec<&str>> = vec![Vec::new()];
    let mut size = 0;
    for (name, bytes) in text {
        // An input section may begin with up to 15 bytes of padding.
        let bytes = bytes.saturating_add(16);
        if size + bytes > limit && size > 0 {
            chunks.push(Vec::new());
            size = 0;
        }
        size += bytes;
        if let Some(chunk) = chunks.last_mut()
            && !chunk.contains(&name.as_str())
        {
            chunk.push(name);
        }
    }
    let mut script = module_lds.trim_end().to_owned();
    if script.ends_with('}') {
        script.pop();
    } else {
        script.push_str("\nSECTIONS {");
    }
    for (number, chunk) in chunks.iter().enumerate() {
        let suffix = if number == 0 {
            String::new()
        } else {
            format!(".{number}")
        };
        // Writing to a String cannot fail.
        let _ = writeln!(script, "\n .text{suffix} 0 : {{");
        for name in chunk {
            let _ = writeln!(script, "  *({name})");
        }
        script.push_str(" }");
    }
    script.push_str("\n .init.text 0 : { *(.init.text .init.text.*) }");
    script.push_str("\n .exit.text 0 : { *(.exit.text .exit.text.*) }\n}\n");
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_stay_under_the_limit_and_in_order() {
        let text = [("a", 50), ("b", 50), ("c", 50), ("d", 500), ("e", 1)]
            .map(|(name, size)| (format!(".text.{name}"), size));
        let script = chunk_script("SECTIONS {\n x : { *(x) }\n}\n", &text, 140);
        let found: Vec<&str> = script
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with(".text") || line.starts_with("*(.text"))
            .collect();
        assert_eq!(
            found,
            [
                ".text 0 : {",
                "*(.text.a)",
                "*(.text.b)",
                ".text.1 0 : {",
                "*(.text.c)",
                ".text.2 0 : {",
                "*(.text.d)",
                ".text.3 0 : {",
                "*(.text.e)"
            ]
        );
        assert_eq!(script.matches('{').count(), script.matches('}').count());
    }

    #[test]
    fn a_recorded_command_is_found_by_its_output() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(
            folder.path().join("link-commands.txt"),
            "ld -r -o a/b.o @a/b.mod\nld -r -T x -o a/b.ko a/b.o a/b.mod.o;  true\n",
        )
        .expect("writable");
        let command = recorded_command(folder.path(), Path::new("a/b.ko")).expect("there is one");
        assert_eq!(command, "ld -r -T x -o a/b.ko a/b.o a/b.mod.o");
        assert!(recorded_command(folder.path(), Path::new("b.ko")).is_err());
    }
}
