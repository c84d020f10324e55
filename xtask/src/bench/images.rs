//! The last link of a kernel: `vmlinux`.

use std::path::Path;

use super::rival::{Rival, lld};
use super::{Args, Workload, all_links, find_tree};
use crate::Failure;
use crate::corpus::command::Link;
use crate::kernel::Arch;

/// The kernels' last links: x86-64's by all linkers, PA-RISC's without lld, which does not know
/// the architecture.
///
/// # Errors
/// When no build is at hand, or a build has no such link.
pub(super) fn workloads(args: &Args) -> Result<Vec<Workload>, Failure> {
    let kernels = [
        (Arch::X86_64, args.tree_x86_64.as_deref(), x86_64_rivals()),
        (
            Arch::Hppa32,
            args.tree.as_deref(),
            &[Rival::Ld, Rival::Klink][..],
        ),
    ];
    let mut workloads = Vec::new();
    for (arch, given, rivals) in kernels {
        let name = arch.recipe().name;
        match find_tree(arch, given) {
            Ok(tree) => workloads.push(Workload {
                name: format!("{name}, vmlinux"),
                links: vec![vmlinux(&tree)?],
                tree,
                rivals,
                copies: 1,
            }),
            Err(error) if given.is_none() => eprintln!("xtask: {name} is left out: {error}"),
            Err(error) => return Err(error),
        }
    }
    match workloads.is_empty() {
        true => Err(Failure::new("no kernel to link")),
        false => Ok(workloads),
    }
}

/// GNU ld, lld if it is here, klink.
fn x86_64_rivals() -> &'static [Rival] {
    match lld() {
        Some(_) => &[Rival::Ld, Rival::Lld, Rival::Klink],
        None => {
            eprintln!("xtask: LEFT OUT: lld is not here; `cargo xtask tools lld` installs it");
            &[Rival::Ld, Rival::Klink]
        }
    }
}

/// The link that made a build's `vmlinux`.
pub(super) fn vmlinux(tree: &Path) -> Result<Link, Failure> {
    let links = all_links(tree)?.into_iter();
    let mut links = links.filter(|link| link.output == "vmlinux" && !link.is_relocatable());
    let last = links.next_back();
    last.ok_or_else(|| Failure::new(format!("{} has no link of vmlinux", tree.display())))
}
