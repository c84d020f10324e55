//! The command that links vmlinux.

use std::process::Command;

use super::SYSTEM_MAP;
use super::tree::Tree;

/// A link of vmlinux.
pub(super) struct Link<'a> {
    pub(super) output: &'a str,
    /// Objects behind all others.
    pub(super) objects: &'a [String],
    /// Whether it is the kernel itself, with its tables.
    pub(super) is_final: bool,
}

impl Tree {
    /// The command of a link.
    pub(super) fn link(&self, link: &Link<'_>) -> Command {
        let mut linker = words(&self.linker);
        let mut command = Command::new(linker.next().unwrap_or_default());
        command.args(linker);
        command.args(words(&self.flags));
        command.args(words(&self.vmlinux_flags));
        command.arg(format!("--script={}", self.script));
        if self.config.is_enabled("CONFIG_VMLINUX_MAP") {
            command.arg(format!("-Map={}.map", link.output));
        }
        let (major, minor) = self.release;
        command.arg(format!("--kernel-version={major}.{minor}"));
        command.args(self.symbol_table_options());
        if link.is_final {
            command.args(self.final_options());
        }
        command.args(["-o", link.output, "--whole-archive"]);
        // vmlinux.o is linked already where that is slow, or changes the code.
        let is_whole = ["CONFIG_LTO_CLANG", "CONFIG_X86_KERNEL_IBT"]
            .iter()
            .any(|option| self.config.is_enabled(option));
        command.arg(if is_whole { "vmlinux.o" } else { "vmlinux.a" });
        if self.config.is_enabled("CONFIG_MODULES") {
            command.arg(".vmlinux.export.o");
        }
        command.args(["init/version-timestamp.o", "--no-whole-archive"]);
        command.arg("--start-group");
        if !is_whole {
            command.args(words(&self.libraries));
        }
        command.arg("--end-group").args(link.objects);
        command
    }

    /// Options for the table of symbols, which the kernel's code refers to in every link.
    fn symbol_table_options(&self) -> Vec<String> {
        if !self.config.is_enabled("CONFIG_KALLSYMS") {
            return Vec::new();
        }
        let forms = [
            ("CONFIG_KALLSYMS_ALL", "all-symbols"),
            ("CONFIG_KALLSYMS_ABSOLUTE_PERCPU", "absolute-percpu"),
            ("CONFIG_KALLSYMS_BASE_RELATIVE", "base-relative"),
            ("CONFIG_LTO_CLANG", "lto-clang"),
        ];
        let enabled = forms
            .iter()
            .filter(|(option, _)| self.config.is_enabled(option));
        let forms: Vec<&str> = enabled.map(|&(_, form)| form).collect();
        vec![format!("--kallsyms={}", forms.join(","))]
    }

    /// Options for what else would be made after the last link.
    fn final_options(&self) -> Vec<String> {
        let mut options = vec![format!("--system-map={SYSTEM_MAP}")];
        if self.config.is_enabled("CONFIG_BUILDTIME_TABLE_SORT") {
            // 6.12's stable releases do it too, unlike the first ones.
            let how = match self.zeroes_weak_calls {
                true => "zero-weak-calls",
                false => "keep-weak-calls",
            };
            options.push(format!("--sort-tables={how}"));
        }
        options
    }
}

/// The words of a variable of make, as a shell parts them that finds no quotes.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}
