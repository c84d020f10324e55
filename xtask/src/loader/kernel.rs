//! The kernel that is asked: its image, modules and configuration, unpacked from a Debian package or in
//! a tree of `cargo xtask kernel`.

use std::path::{Path, PathBuf};
use std::process::Command;

use klink_module::{Names, Policy, Rounding};

use super::target::{Recipe, Source};
use crate::Failure;
use crate::kernel::{self, run_command, workspace};

/// A kernel on this machine.
#[derive(Debug)]
pub(super) struct Kernel {
    /// What QEMU boots.
    pub(super) image: PathBuf,
    /// The folder with `modules.order`.
    pub(super) modules: PathBuf,
    /// The program that the guest's init is, where it is busybox.
    pub(super) busybox: Option<PathBuf>,
    /// The kernel's configuration.
    config: PathBuf,
}

impl Kernel {
    /// Finds the kernel of `recipe`, and fetches it first if it is not there. `root`: where a package
    /// was unpacked already.
    ///
    /// # Errors
    /// What keeps it from being fetched.
    pub(super) fn find(recipe: &Recipe, root: Option<&Path>) -> Result<Self, Failure> {
        match &recipe.source {
            Source::Tree(arch) => {
                let tree = kernel::tree(*arch, root)?;
                Ok(Self {
                    image: tree.join("vmlinux"),
                    config: tree.join(".config"),
                    modules: tree,
                    busybox: None,
                })
            }
            Source::Debian {
                arch,
                flavour,
                image,
            } => {
                let root = match root {
                    Some(root) => root.to_path_buf(),
                    None => fetch(arch, flavour)?,
                };
                Self::unpacked(&root, flavour, image)
            }
        }
    }

    /// The kernel in a folder that a package was unpacked to.
    fn unpacked(root: &Path, flavour: &str, image: &str) -> Result<Self, Failure> {
        let all = root.join("lib/modules");
        let entries = std::fs::read_dir(&all).map_err(|error| Failure::io("read", &all, &error))?;
        let version = entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .find(|name| name.ends_with(flavour));
        let version = version
            .ok_or_else(|| Failure::new(format!("{} has no kernel {flavour}", all.display())))?;
        Ok(Self {
            image: root.join(format!("boot/{image}-{version}")),
            config: root.join(format!("boot/config-{version}")),
            modules: all.join(&version),
            busybox: Some(root.join("bin/busybox")),
        })
    }

    /// How this kernel lays out modules.
    ///
    /// # Errors
    /// A configuration that cannot be read.
    pub(super) fn policy(&self, recipe: &Recipe) -> Result<Policy, Failure> {
        let config = std::fs::read_to_string(&self.config)
            .map_err(|error| Failure::io("read", &self.config, &error))?;
        Ok(policy(&config, recipe))
    }
}

fn policy(config: &str, recipe: &Recipe) -> Policy {
    let set = |option: &str| config.lines().any(|line| line == format!("{option}=y"));
    let policy = Policy::linux(recipe.arch);
    Policy {
        page_size: match set("CONFIG_PAGE_SIZE_64KB") || set("CONFIG_PPC_64K_PAGES") {
            true => 0x1_0000,
            false => policy.page_size,
        },
        rounding: match set("CONFIG_STRICT_MODULE_RWX") {
            true => Rounding::Pages,
            false => Rounding::None,
        },
        names: match set("CONFIG_KALLSYMS_ALL") {
            true => Names::All,
            false if set("CONFIG_KALLSYMS") => Names::Functions,
            false => Names::None,
        },
        unload: set("CONFIG_MODULE_UNLOAD"),
        erratum: recipe.erratum && set("CONFIG_ARM64_ERRATUM_843419"),
        ..policy
    }
}

/// Where everything about a target goes.
pub(super) fn folder(name: &str) -> PathBuf {
    workspace().join("target/oracle").join(name)
}

/// Fetches the newest kernel of Debian's stable release with this flavour, and busybox, and unpacks
/// them; the folder. Nothing is installed, and the system's own lists of packages are not touched.
fn fetch(arch: &str, flavour: &str) -> Result<PathBuf, Failure> {
    let folder = folder(arch);
    let root = folder.join("root");
    if root.join("lib/modules").is_dir() && root.join("bin/busybox").is_file() {
        return Ok(root);
    }
    let apt = Apt::new(&folder.join("apt"), arch)?;
    // some of the optional index files may be missing: what counts is found or not below
    if let Err(error) = apt.get(&["update", "-q"], &folder) {
        eprintln!("xtask: {error}");
    }
    let package = apt.newest(flavour)?;
    eprintln!("xtask: fetching {package} for {arch}");
    let packages = folder.join("packages");
    create(&packages)?;
    apt.get(&["download", &package, "busybox-static"], &packages)?;
    let entries = std::fs::read_dir(&packages);
    let entries = entries.map_err(|error| Failure::io("read", &packages, &error))?;
    for entry in entries.flatten() {
        run_command(Command::new("dpkg").arg("-x").arg(entry.path()).arg(&root))?;
    }
    Ok(root)
}

fn create(folder: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(folder).map_err(|error| Failure::io("create", folder, &error))
}

/// apt with a state of its own, for another architecture.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(state: &Path, arch: &str) -> Result<Self, Failure> {
        for folder in ["lists/partial", "cache/archives/partial"] {
            create(&state.join(folder))?;
        }
        let status = state.join("status");
        std::fs::write(&status, "").map_err(|error| Failure::io("write", &status, &error))?;
        let state = state.display();
        let options = [
            format!("APT::Architecture={arch}"),
            format!("APT::Architectures::={arch}"),
            format!("Dir::State={state}"),
            format!("Dir::State::Lists={state}/lists"),
            format!("Dir::State::status={state}/status"),
            format!("Dir::Cache={state}/cache"),
            "APT::Sandbox::User=root".to_owned(),
        ];
        Ok(Self {
            options: options
                .into_iter()
                .flat_map(|option| ["-o".to_owned(), option])
                .collect(),
        })
    }

    fn get(&self, arguments: &[&str], folder: &Path) -> Result<(), Failure> {
        let mut command = Command::new("apt-get");
        command.args(&self.options).args(arguments);
        run_command(command.current_dir(folder))
    }

    /// The newest package `linux-image-6.1.…` of this flavour.
    fn newest(&self, flavour: &str) -> Result<String, Failure> {
        let output = Command::new("apt-cache")
            .args(&self.options)
            .args(["pkgnames", "linux-image-6.1."])
            .output()
            .map_err(|error| Failure::new(format!("cannot run apt-cache: {error}")))?;
        newest(&String::from_utf8_lossy(&output.stdout), flavour)
            .ok_or_else(|| Failure::new(format!("Debian has no linux-image-6.1.*{flavour}")))
    }
}

/// The package of this flavour with the highest numbers: `linux-image-6.1.0-56-amd64`.
fn newest(names: &str, flavour: &str) -> Option<String> {
    let numbers = |name: &str| -> Option<Vec<u32>> {
        let version = name.strip_prefix("linux-image-")?.strip_suffix(flavour)?;
        version
            .split(['.', '-'])
            .map(|part| part.parse().ok())
            .collect()
    };
    names
        .lines()
        .filter(|name| numbers(name).is_some())
        .max_by_key(|name| numbers(name))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::target::Target;
    use super::*;

    #[test]
    fn the_newest_package_of_a_flavour_is_found() {
        let names = "linux-image-6.1.0-9-amd64\nlinux-image-6.1.0-56-amd64\n\
                     linux-image-6.1.0-57-cloud-amd64\nlinux-image-6.1.0-58-amd64-dbg\n";
        let found = newest(names, "-amd64");
        assert_eq!(found.as_deref(), Some("linux-image-6.1.0-56-amd64"));
        assert_eq!(newest(names, "-arm64"), None);
    }

    #[test]
    fn the_configuration_says_how_modules_are_laid_out() {
        let config = "CONFIG_PAGE_SIZE_64KB=y\nCONFIG_KALLSYMS=y\n# CONFIG_KALLSYMS_ALL is not set\n\
                      CONFIG_STRICT_MODULE_RWX=y\nCONFIG_MODULE_UNLOAD=y\n";
        let found = policy(config, Target::Ppc64el.recipe());
        assert_eq!(found.page_size, 0x1_0000);
        assert_eq!(found.names, Names::Functions);
        assert_eq!(found.rounding, Rounding::Pages);
        assert!(found.unload);
        let found = policy("", Target::Hppa32.recipe());
        assert_eq!(found.page_size, 0x1000);
        assert_eq!((found.names, found.rounding), (Names::None, Rounding::None));
        assert!(!found.unload);
    }
}
