//! What the guest's init is told to do: one *trial* after another.
//!
//! A trial loads one module under test (after what it needs, linked in the same
//! way), tries what the module is for, and unloads everything again. Two tags
//! enclose it in the console's output.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::modules::{ModuleId, Modules};
use super::variants::Variant;
use crate::Failure;

/// Where the XFS image's description is in the guest.
pub(super) const XFS_DESCRIPTION: &str = "xfs.sparse";

/// Which trial: this is in its tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    /// The kernel's name of the module under test.
    pub(super) module: String,
    pub(super) variant: Variant,
    /// Counts from 0.
    pub(super) cycle: u32,
    /// Whether this only times the module that other boots' times are compared
    /// by.
    pub(super) reference: bool,
}

impl Label {
    /// The label as words of a command.
    fn words(&self) -> String {
        let role = if self.reference { "reference" } else { "test" };
        format!(
            "{} {} {} {role}",
            self.module,
            self.variant.label(),
            self.cycle
        )
    }

    /// The label that these words say.
    pub(super) fn parse(words: &str) -> Option<Self> {
        let mut words = words.split(' ');
        Some(Self {
            module: words.next()?.to_owned(),
            variant: Variant::from_label(words.next()?)?,
            cycle: words.next()?.parse().ok()?,
            reference: words.next()? == "reference",
        })
    }
}

/// The guest's path of a module's file.
pub(super) fn guest_path(name: &str, variant: Variant) -> String {
    format!("/m/{}/{name}.ko", variant.label())
}

/// The command file of one boot, being written.
#[derive(Debug)]
pub(super) struct CommandFile<'a> {
    modules: &'a Modules,
    text: String,
    /// Modules that stay loaded until the boot ends: those without an exit
    /// function and what they need.
    stuck: BTreeSet<ModuleId>,
    /// Files that the initramfs must hold.
    files: BTreeSet<(ModuleId, Variant)>,
}

impl<'a> CommandFile<'a> {
    /// An empty one.
    pub(super) fn new(modules: &'a Modules) -> Self {
        Self {
            modules,
            text: String::new(),
            stuck: BTreeSet::new(),
            files: BTreeSet::new(),
        }
    }

    /// Adds a trial of `target`.
    ///
    /// # Errors
    /// Modules that need each other.
    pub(super) fn trial(
        &mut self,
        target: ModuleId,
        variant: Variant,
        cycle: u32,
        reference: bool,
    ) -> Result<(), Failure> {
        let order = self.modules.load_order(target)?;
        let label = Label {
            module: self.modules.get(target).name.clone(),
            variant,
            cycle,
            reference,
        };
        self.line(&format!("tag begin {}", label.words()));
        for id in &order {
            if !self.stuck.contains(id) {
                self.files.insert((*id, variant));
                let path = guest_path(&self.modules.get(*id).name, variant);
                self.line(&format!("load {path}"));
            }
        }
        if cycle == 0 && !reference {
            for line in use_of(&label.module) {
                self.line(line);
            }
        }
        self.unload(&order)?;
        self.line("tag end");
        Ok(())
    }

    fn unload(&mut self, order: &[ModuleId]) -> Result<(), Failure> {
        for id in order.iter().rev() {
            if self.stuck.contains(id) {
                continue;
            }
            if self.modules.get(*id).has_exit {
                let name = self.modules.get(*id).name.clone();
                self.line(&format!("unload {name}"));
            } else {
                self.stuck.extend(self.modules.load_order(*id)?);
            }
        }
        Ok(())
    }

    fn line(&mut self, line: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{line}");
    }

    /// The file's text, and the modules' files that it names.
    pub(super) fn finish(self) -> (String, BTreeSet<(ModuleId, Variant)>) {
        (self.text, self.files)
    }
}

/// Commands that use what a module brings; each must succeed.
fn use_of(module: &str) -> &'static [&'static str] {
    match module {
        "xfs" => &[
            "image /xfs.sparse /tmp/xfs.img",
            "attach /tmp/xfs.img /dev/loop0",
            "mount xfs /dev/loop0 /mnt",
            "fill /mnt",
            "check /mnt",
            "umount /mnt",
            "mount xfs /dev/loop0 /mnt",
            "check /mnt",
            "umount /mnt",
            "detach",
        ],
        "ipv6" => &["ifup lo", "cat /proc/net/if_inet6", "udp6 ::1"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_survive_the_console() {
        let label = Label {
            module: "xfs".to_owned(),
            variant: Variant::Chunks,
            cycle: 2,
            reference: true,
        };
        assert_eq!(Label::parse(&label.words()), Some(label));
        assert_eq!(Label::parse("xfs nobody 0 test"), None);
    }

    fn of_two(exit: bool) -> Modules {
        Modules::for_tests(&[
            ("sit", "depends=ipv6\0", true),
            ("ipv6", "depends=\0", exit),
        ])
    }

    fn lines(modules: &Modules, variants: &[Variant]) -> Vec<String> {
        let mut file = CommandFile::new(modules);
        let sit = modules.find("sit").expect("the module is there");
        for variant in variants {
            file.trial(sit, *variant, 1, false).expect("no cycle");
        }
        let (text, _) = file.finish();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_trial_loads_what_is_needed_and_unloads_all_in_reverse() {
        assert_eq!(
            lines(&of_two(true), &[Variant::Klink]),
            [
                "tag begin sit klink 1 test",
                "load /m/klink/ipv6.ko",
                "load /m/klink/sit.ko",
                "unload sit",
                "unload ipv6",
                "tag end"
            ]
        );
    }

    #[test]
    fn what_cannot_be_unloaded_is_loaded_once_in_a_boot() {
        let lines = lines(&of_two(false), &[Variant::Ld, Variant::Ld]);
        let loads = |name: &str| lines.iter().filter(|line| line.ends_with(name)).count();
        assert_eq!((loads("/ipv6.ko"), loads("/sit.ko")), (1, 2));
        assert_eq!((loads("unload ipv6"), loads("unload sit")), (0, 2));
    }

    #[test]
    fn the_first_cycle_uses_the_module_and_every_file_is_listed() {
        let modules = of_two(true);
        let mut file = CommandFile::new(&modules);
        let ipv6 = modules.find("ipv6").expect("the module is there");
        file.trial(ipv6, Variant::Ld, 0, false).expect("no cycle");
        file.trial(ipv6, Variant::Klink, 1, false)
            .expect("no cycle");
        let (text, files) = file.finish();
        assert_eq!(text.matches("udp6 ::1").count(), 1);
        assert_eq!(
            Vec::from_iter(files),
            [(ipv6, Variant::Ld), (ipv6, Variant::Klink)]
        );
    }
}
