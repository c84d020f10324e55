//! Every table that klink knows in a module: what it is called, what its entries look like, who reads it,
//! and what happens to it when init is done.
//!
//! After a module's init has returned, its init regions are freed. From then on no entry of any table may
//! point into them: Linux leaves most such entries where they are and relies on nobody looking; klink drops them
//! ([`AfterInit`]). What is called "dropped" below is so by [`TableMut::trim`] and [`TableMut::split`].
//!
//! | section | entry | read by (Linux 6.1) | when init is gone |
//! |---|---|---|---|
//! | `__ex_table` | [`crate::exception`] | `lib/extable.c` | dropped; sorted |
//! | `__dbe_table` | two addresses (mips) | `arch/mips/kernel/module.c` | dropped |
//! | `.orc_unwind_ip` | distance (x86-64, loongarch) | `arch/x86/kernel/unwind_orc.c` | dropped with `.orc_unwind`; sorted |
//! | `.orc_unwind` | [`crate::orc::OrcForm`]; no addresses | the same | goes with `.orc_unwind_ip` |
//! | `.PARISC.unwind*` | first and last address, 32 bits each; 8 bytes (parisc) | `arch/parisc/kernel/unwind.c` | dropped; sorted |
//! | `.ARM.exidx*` | distance of 31 bits; the same, or instructions (arm) | `arch/arm/kernel/unwind.c` | dropped; sorted |
//! | `.eh_frame` | [`crate::eh_frame`] (arc, sh) | `arch/arc/kernel/unwind.c` | emptied in place |
//! | `__bug_table` | address, file, line, flags; 8 to 24 bytes | `lib/bug.c` | dropped |
//! | `__jump_table` | code, target, key; 12 to 24 bytes | `kernel/jump_label.c` | split before use |
//! | `.static_call_sites` | two distances (x86) | `kernel/static_call_inline.c` | split before use |
//! | `.altinstructions` | two distances and what to do; 11 to 14 bytes | `arch/*/kernel/alternative.c` | dropped |
//! | `.alternative` | two addresses or distances; 16, 20 or 36 bytes (riscv) | `arch/riscv/kernel/alternative.c` | dropped |
//! | `.parainstructions` | address, type, length; 8 or 16 bytes (x86) | `arch/x86/kernel/alternative.c` | dropped |
//! | `.smp_locks` | distance (x86) | the same | dropped |
//! | `.retpoline_sites` | distance (x86) | the same | dropped |
//! | `.return_sites` | distance (x86) | the same | dropped |
//! | `.call_sites` | distance (x86, since 6.2) | `arch/x86/kernel/callthunks.c` | dropped |
//! | `.cfi_sites` | distance (x86, since 6.2) | `arch/x86/kernel/alternative.c` | dropped |
//! | `.ibt_endbr_seal` | distance (x86) | the same | dropped |
//! | `.kcfi_traps` | distance (x86) | `kernel/cfi.c` | dropped |
//! | `.s390_indirect*` | distance (s390) | `arch/s390/kernel/nospec-branch.c` | dropped |
//! | `.s390_return*` | distance (s390) | the same | dropped |
//! | `__ftr_fixup` | mask, value, four distances from the entry (powerpc) | `arch/powerpc/lib/feature-fixups.c` | dropped |
//! | `__mmu_ftr_fixup` | the same | the same | dropped |
//! | `__fw_ftr_fixup` | the same | the same | dropped |
//! | `__lwsync_fixup` | distance in a word (powerpc) | the same | dropped |
//! | `__spec_barrier_fixup` | distance in a word (powerpc) | the same | dropped |
//! | `__barrier_nospec_fixup` | the same; what the macro calls it | nobody: the loader looks for the other name | dropped |
//! | `.pv_table` | distance (arm) | `arch/arm/kernel/phys2virt.S` | dropped |
//! | `.alt.smp.init` | distance and an instruction (arm) | `arch/arm/kernel/head.S`, `fixup_smp` | dropped |
//! | `.sun4v_1insn_patch` | address of 32 bits, an instruction (sparc64) | `arch/sparc/kernel/module.c` | dropped |
//! | `.sun4v_2insn_patch` | address of 32 bits, two instructions (sparc64) | the same | dropped |
//! | `__mcount_loc` | address | `kernel/trace/ftrace.c`, `ftrace_process_locs` | dropped |
//! | `__patchable_function_entries` | address (arm64, parisc, riscv) | the same | dropped |
//! | `_ftrace_events` | address | `kernel/trace/trace_events.c` | dropped |
//! | `_ftrace_eval_map` | address, of what is in init data | `kernel/trace/trace.c`, which copies | dropped, all |
//! | `__trace_printk_fmt` | address | `kernel/trace/trace_printk.c` | dropped |
//! | `__tracepoints_ptrs` | distance (arm64, x86) or address | `kernel/tracepoint.c` | dropped |
//! | `__bpf_raw_tp_map` | two addresses, two numbers; 32 bytes | `kernel/trace/bpf_trace.c` | dropped |
//! | `_error_injection_whitelist` | address, kind; two words | `lib/error-inject.c` | dropped |
//! | `_kprobe_blacklist` | address | `kernel/kprobes.c` | dropped |
//! | `___srcu_struct_ptrs` | address | `kernel/rcu/srcutree.c` | dropped |
//! | `.kunit_test_suites` | address | `lib/kunit/test.c` | dropped |
//! | `.kunit_init_test_suites` | address (since 6.9) | the same | dropped |
//! | `.printk_index` | address | `kernel/printk/index.c` | dropped |
//! | `__dyndbg` | four addresses of strings; 24 to 56 bytes | `lib/dynamic_debug.c` | dropped |
//! | `__dyndbg_classes` | three addresses; 32 or 56 bytes | the same, which links the entries into a list | split before use |
//! | `.ctors`, `.init_array` | address of a function | `kernel/module/main.c`, `do_mod_ctors` | dropped |
//! | `__ksymtab` | [`crate::ksymtab`] | `kernel/module/main.c` | dropped with `__kcrctab` and `__kflagstab`; sorted by name |
//! | `__ksymtab_gpl` | the same; none since 7.0 | the same | dropped with `__kcrctab_gpl`; sorted by name |
//! | `__kcrctab` | CRC of 32 bits | `kernel/module/version.c` | goes with `__ksymtab` |
//! | `__kcrctab_gpl` | the same | the same | goes with `__ksymtab_gpl` |
//! | `__kflagstab` | flags, a byte (since 7.0) | `kernel/module/main.c` | goes with `__ksymtab` |
//! | `__param` | [`crate::param`] | `kernel/params.c` | dropped |
//! | `.modinfo` | strings, [`crate::modinfo`] | `kernel/module/main.c` | nothing: it points at nothing |
//! | `__versions` | [`crate::versions`] | `kernel/module/version.c` | nothing |
//! | `__version_ext_crcs`, `__version_ext_names` | [`crate::versions`] (since 6.14) | the same | nothing |
//!
//! In Linux, entries that others point at may not move once the table is in use: a `static_key` and a
//! `static_call_key` keep the address of the first entry about them. [`AfterInit::Split`] marks these tables.
//!
//! Where kernels of different versions or configurations have different forms, the form is the first that the
//! table's bytes allow: see [`Known::form`].

mod forms;
mod rows;

use crate::Numbers;
use crate::table::{EntryForm, FormRow};
pub(crate) use forms::PREL32;
pub use rows::ALL;

#[cfg(doc)]
use crate::table::TableMut;

/// A table that klink knows.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// What the section is called.
    pub section: SectionName,
    /// What it is, in a few words.
    pub what: &'static str,
    /// What becomes of the entries that point into init regions, once these are freed.
    pub after_init: AfterInit,
    /// Whether the kernel wants it sorted by the first field when it uses it, and sorts it when it
    /// loads a module.
    pub sorted: bool,
    rows: &'static [FormRow],
}

/// What a section is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SectionName {
    /// So.
    Is(&'static str),
    /// So, and anything may follow: the compiler makes one for each section of code.
    StartsWith(&'static str),
}

impl SectionName {
    fn fits(self, name: &[u8]) -> bool {
        match self {
            Self::Is(known) => name == known.as_bytes(),
            Self::StartsWith(known) => name.starts_with(known.as_bytes()),
        }
    }
}

/// What becomes of the entries that point into regions which are freed after init.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AfterInit {
    /// They are dropped. Nothing points at entries of this table, so the others may move up.
    Drop,
    /// They are dropped, and so are the entries with their numbers in the sections of these names, as far
    /// as the module has them; each has just as many. See [`crate::table::select`].
    DropWith(&'static [&'static str]),
    /// The kernel keeps pointers at entries. They must be put behind the others before it sees the
    /// table, and registered on their own; then dropping them is to forget the second part.
    Split,
    /// Its entries have no addresses and go with those of the section of this name.
    GoWith(&'static str),
    /// The table is no array; see its module for what to do.
    Own,
    /// Nothing: it points nowhere.
    Nothing,
}

impl Known {
    pub(crate) const fn new(
        section: SectionName,
        what: &'static str,
        after_init: AfterInit,
    ) -> Self {
        Self {
            section,
            what,
            after_init,
            sorted: false,
            rows: &[],
        }
    }

    const fn entries(self, rows: &'static [FormRow]) -> Self {
        Self { rows, ..self }
    }

    const fn sorted(self) -> Self {
        Self {
            sorted: true,
            ..self
        }
    }

    /// What the entries look like that hold addresses, on machine `e_machine` and in the relocated
    /// `table`. `None`: they hold none, or no kernel for this machine has the table.
    ///
    /// Most forms follow from the machine and its word. Some changed between versions of Linux, or
    /// depend on its configuration; then the bytes decide, as far as they tell (see
    /// [`crate::exception::form`]). An embedder that knows better names the form itself.
    #[must_use]
    pub fn form(
        &self,
        e_machine: u16,
        numbers: Numbers,
        table: &[u8],
    ) -> Option<&'static EntryForm> {
        FormRow::choose(self.rows, e_machine, numbers, table)
    }
}

/// The table that a section of this name is.
///
/// ```
/// use klink_tables::catalog::{AfterInit, find};
/// let bugs = find(b"__bug_table").unwrap();
/// assert_eq!(bugs.after_init, AfterInit::Drop);
/// assert!(find(b".PARISC.unwind.init").is_some());
/// assert!(find(b".text").is_none());
/// ```
#[must_use]
pub fn find(section: &[u8]) -> Option<&'static Known> {
    // Most sections of a big module are code, one for each function.
    if section.starts_with(b".text") {
        return None;
    }
    let of_length = BY_LENGTH.get(section.len()).unwrap_or(&BY_LENGTH[0]);
    let numbers = of_length.iter().chain(&BY_LENGTH[0]);
    let mut known = numbers.filter_map(|&number| ALL.get(usize::from(number)));
    known.find(|known| known.section.fits(section))
}

/// More than bytes of a section's name, and the tables whose names have as many.
const LENGTHS: usize = 32;
const OF_LENGTH: usize = 10;

/// For each length the numbers in [`ALL`] of the tables whose names are so long, and of those of whose names
/// only the start is known in place of length 0. What is left is no number.
static BY_LENGTH: [[u8; OF_LENGTH]; LENGTHS] = {
    let mut table = [[u8::MAX; OF_LENGTH]; LENGTHS];
    let mut number = 0;
    while number < ALL.len() {
        let length = match ALL[number].section {
            SectionName::Is(name) => name.len(),
            SectionName::StartsWith(_) => 0,
        };
        let mut nth = 0;
        while table[length][nth] != u8::MAX {
            nth += 1;
        }
        table[length][nth] = number as u8;
        number += 1;
    }
    table
};
