//! Several copies of a kernel's objects in one link, each with symbols of its own: how a linker's
//! time grows with its input.
//!
//! A copy is an object with a new string table at its end, in which every global name that some
//! object of the kernel defines has a prefix. Names that the script or the linker defines stay, so
//! that all copies share them. Sections stay as they are: the script puts all copies together.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use object::read::archive::ArchiveFile;

use super::rival::{Rival, lld};
use super::{Args, Workload, find_tree, images, progress};
use crate::Failure;
use crate::compare::elf::{Elf, Home};
use crate::corpus::command::Link;
use crate::kernel::Arch;

/// How many copies are linked.
const COPIES: [usize; 4] = [1, 2, 4, 8];

/// x86-64's last link with so many copies of its objects, made under `out`.
///
/// # Errors
/// When no build is at hand, or an object cannot be read or written.
pub(super) fn workloads(args: &Args, out: &Path) -> Result<Vec<Workload>, Failure> {
    let tree = find_tree(Arch::X86_64, args.tree_x86_64.as_deref())?;
    let link = images::vmlinux(&tree)?;
    let (position, objects) = objects(&link, &tree)?;
    let mut contents = Vec::new();
    for path in &objects {
        contents.push(std::fs::read(path).map_err(|error| Failure::io("read", path, &error))?);
    }
    let defined = defined(&objects, &contents)?;
    let mut lists = Vec::new();
    for number in 1..COPIES[COPIES.len() - 1] {
        progress(&format!("copy {number} of {} objects", objects.len()));
        lists.push(write_copy(number, &contents, &defined, out)?);
    }
    progress("");
    let workload = |copies: usize| {
        let mut link = link.clone();
        let more = lists.iter().take(copies - 1);
        let more = more.map(|list| format!("@{}", list.display()));
        link.args.splice(position..position, more);
        Workload {
            name: format!("x86_64, vmlinux, copies: {copies}"),
            tree: tree.clone(),
            links: vec![link],
            rivals: rivals(),
            copies,
        }
    };
    Ok(COPIES.into_iter().map(workload).collect())
}

/// Not GNU ld: eight copies take it minutes, and its growth is no bar.
fn rivals() -> &'static [Rival] {
    match lld() {
        Some(_) => &[Rival::Klink, Rival::Lld],
        None => &[Rival::Klink],
    }
}

/// The objects between `--whole-archive` and `--no-whole-archive`, and where in the arguments
/// more may be put.
fn objects(link: &Link, tree: &Path) -> Result<(usize, Vec<PathBuf>), Failure> {
    let find = |what: &str| link.args.iter().position(|arg| arg == what);
    let range = find("--whole-archive").zip(find("--no-whole-archive"));
    let (start, end) = range.ok_or_else(|| Failure::new("the link has no --whole-archive"))?;
    let mut objects = Vec::new();
    for arg in link.args.get(start + 1..end).unwrap_or_default() {
        let path = tree.join(arg);
        let data = std::fs::read(&path).map_err(|error| Failure::io("read", &path, &error))?;
        if !data.starts_with(b"!<") {
            objects.push(path);
            continue;
        }
        let bad = |error| Failure::new(format!("{}: {error}", path.display()));
        let archive = ArchiveFile::parse(&*data).map_err(bad)?;
        if !archive.is_thin() {
            return Err(Failure::new(format!(
                "{} is no thin archive",
                path.display()
            )));
        }
        let folder = path.parent().unwrap_or(tree);
        for member in archive.members() {
            let member = member.map_err(bad)?;
            objects.push(folder.join(String::from_utf8_lossy(member.name()).as_ref()));
        }
    }
    Ok((end, objects))
}

/// All global names that the objects define.
fn defined(objects: &[PathBuf], contents: &[Vec<u8>]) -> Result<HashSet<String>, Failure> {
    let mut defined = HashSet::new();
    for (path, bytes) in objects.iter().zip(contents) {
        let elf = Elf::parse(bytes)
            .map_err(|error| Failure::new(format!("{}: {error}", path.display())))?;
        let global = elf
            .symbols
            .into_iter()
            .filter(|symbol| !symbol.is_local() && !matches!(symbol.home, Home::Undefined));
        defined.extend(global.map(|symbol| symbol.name));
    }
    Ok(defined)
}

/// Writes one copy of all objects, and gives the file that lists them.
fn write_copy(
    number: usize,
    contents: &[Vec<u8>],
    defined: &HashSet<String>,
    out: &Path,
) -> Result<PathBuf, Failure> {
    let folder = out.join(format!("copy-{number}"));
    std::fs::create_dir_all(&folder).map_err(|error| Failure::io("create", &folder, &error))?;
    let mut list = String::new();
    for (index, bytes) in contents.iter().enumerate() {
        let path = folder.join(format!("{index}.o"));
        let renamed = renamed(bytes, &format!("copy{number}_"), defined);
        let renamed = renamed.ok_or_else(|| Failure::new("an object has no symbol table"))?;
        std::fs::write(&path, renamed).map_err(|error| Failure::io("write", &path, &error))?;
        list += &format!("{}\n", path.display());
    }
    let path = folder.join("objects");
    std::fs::write(&path, list).map_err(|error| Failure::io("write", &path, &error))?;
    Ok(path)
}

/// An ELF64 little-endian object with a prefix to all global names of `defined`; the same where
/// it has none.
fn renamed(bytes: &[u8], prefix: &str, defined: &HashSet<String>) -> Option<Vec<u8>> {
    /// `e_shoff`, `sh_offset` and `sh_size` in ELF64, and the sizes of entries.
    const E_SHOFF: usize = 0x28;
    const SH_OFFSET: usize = 0x18;
    const SH_SIZE: usize = 0x20;
    const SECTION: usize = 64;
    const SYMBOL: usize = 24;
    let elf = Elf::parse(bytes).ok()?;
    let mut out = bytes.to_vec();
    let Some(symtab) = elf.symtab.and_then(|id| elf.section(id)) else {
        return Some(out);
    };
    let strings = elf.section(crate::compare::elf::SectionId(symtab.link))?;
    let mut table = strings.data.to_vec();
    for (index, symbol) in elf.symbols.iter().enumerate() {
        if symbol.is_local() || !defined.contains(&symbol.name) {
            continue;
        }
        let at = usize::try_from(symtab.offset).ok()? + index * SYMBOL;
        let name = u32::try_from(table.len()).ok()?;
        out.get_mut(at..at + 4)?
            .copy_from_slice(&name.to_le_bytes());
        table.extend_from_slice(prefix.as_bytes());
        table.extend_from_slice(symbol.name.as_bytes());
        table.push(0);
    }
    let headers = bytes.get(E_SHOFF..E_SHOFF + 8)?.try_into().ok()?;
    let header =
        usize::try_from(u64::from_le_bytes(headers)).ok()? + strings.id.0 as usize * SECTION;
    let (offset, size) = (out.len() as u64, table.len() as u64);
    for (at, value) in [(SH_OFFSET, offset), (SH_SIZE, size)] {
        let field = out.get_mut(header + at..header + at + 8)?;
        field.copy_from_slice(&value.to_le_bytes());
    }
    out.extend(table);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::testing::{SectionSpec, Spec, symbol};

    #[test]
    fn only_global_names_that_are_defined_somewhere_are_renamed() {
        let bytes = Spec {
            is_64: true,
            big_endian: false,
            rela: true,
            machine: 62,
            flags: 0,
            sections: vec![SectionSpec::words(".text", 6, &[0; 4])],
            symbols: vec![
                symbol("own", 0, 2, 1, 0),
                symbol("own", 1, 2, 1, 4),
                symbol("other", 1, 0, 0, 0),
                symbol("__start_of_script", 1, 0, 0, 0),
            ],
            segment: None,
            wrong_boundary: 0,
        }
        .write();
        let defined = ["own", "other"].map(str::to_owned).into();
        let copy = renamed(&bytes, "copy1_", &defined).expect("an object");
        assert_eq!(crate::compare::check::check(&copy), Vec::<String>::new());
        let elf = Elf::parse(&copy).expect("readable");
        let names: Vec<_> = elf.symbols.iter().skip(1).map(|s| &*s.name).collect();
        assert_eq!(
            names,
            ["own", "copy1_own", "copy1_other", "__start_of_script"]
        );
    }
}
