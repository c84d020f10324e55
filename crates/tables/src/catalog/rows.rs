//! The list.

use super::AfterInit::{Drop, DropWith, GoWith, Nothing, Own, Split};
use super::SectionName::{Is, StartsWith};
use super::{Known, forms};
use crate::{exception, ksymtab, orc, param};

/// Every table that klink knows.
pub static ALL: &[Known] = &[
    Known::new(Is("__ex_table"), "instructions that may fault", Drop)
        .entries(exception::ROWS)
        .sorted(),
    Known::new(
        Is("__dbe_table"),
        "data accesses that may fault on the bus",
        Drop,
    )
    .entries(forms::DBE),
    Known::new(
        Is(".orc_unwind_ip"),
        "addresses of unwind data",
        DropWith(&[".orc_unwind"]),
    )
    .entries(orc::ROWS)
    .sorted(),
    Known::new(Is(".orc_unwind"), "unwind data", GoWith(".orc_unwind_ip")),
    Known::new(
        StartsWith(".PARISC.unwind"),
        "unwind data of functions",
        Drop,
    )
    .entries(forms::PARISC_UNWIND)
    .sorted(),
    Known::new(StartsWith(".ARM.exidx"), "unwind data of functions", Drop)
        .entries(forms::ARM_EXIDX)
        .sorted(),
    Known::new(Is(".eh_frame"), "unwind data of functions", Own),
    Known::new(Is("__bug_table"), "places of BUG() and WARN()", Drop).entries(forms::BUGS),
    Known::new(
        Is("__jump_table"),
        "branches that are switched by keys",
        Split,
    )
    .entries(forms::JUMPS),
    Known::new(Is(".static_call_sites"), "calls that are patched", Split)
        .entries(forms::STATIC_CALLS),
    Known::new(Is(".altinstructions"), "code for some processors", Drop)
        .entries(forms::ALTERNATIVES),
    Known::new(Is(".alternative"), "code for some processors", Drop)
        .entries(forms::RISCV_ALTERNATIVES),
    Known::new(Is(".parainstructions"), "calls of a hypervisor", Drop).entries(forms::PARAVIRT),
    Known::new(Is(".smp_locks"), "lock prefixes", Drop).entries(forms::SITES),
    Known::new(Is(".retpoline_sites"), "indirect branches", Drop).entries(forms::SITES),
    Known::new(Is(".return_sites"), "returns", Drop).entries(forms::SITES),
    Known::new(Is(".call_sites"), "calls whose depth is counted", Drop).entries(forms::SITES),
    Known::new(Is(".cfi_sites"), "functions with a hash in front", Drop).entries(forms::SITES),
    Known::new(
        Is(".ibt_endbr_seal"),
        "landing pads that are not needed",
        Drop,
    )
    .entries(forms::SITES),
    Known::new(Is(".kcfi_traps"), "traps of control-flow checks", Drop).entries(forms::SITES),
    Known::new(StartsWith(".s390_indirect"), "indirect branches", Drop).entries(forms::SITES),
    Known::new(StartsWith(".s390_return"), "returns", Drop).entries(forms::SITES),
    Known::new(Is("__ftr_fixup"), "code for features of processors", Drop).entries(forms::FEATURES),
    Known::new(Is("__mmu_ftr_fixup"), "code for features of MMUs", Drop).entries(forms::FEATURES),
    Known::new(Is("__fw_ftr_fixup"), "code for features of firmware", Drop)
        .entries(forms::FEATURES),
    Known::new(Is("__lwsync_fixup"), "barriers", Drop).entries(forms::FAR_SITES),
    Known::new(Is("__spec_barrier_fixup"), "barriers of speculation", Drop)
        .entries(forms::FAR_SITES),
    Known::new(
        Is("__barrier_nospec_fixup"),
        "barriers of speculation",
        Drop,
    )
    .entries(forms::FAR_SITES),
    Known::new(Is(".pv_table"), "places of physical offsets", Drop).entries(forms::SITES),
    Known::new(Is(".alt.smp.init"), "code for one processor", Drop)
        .entries(forms::ARM_ALTERNATIVES),
    Known::new(Is(".sun4v_1insn_patch"), "code for sun4v", Drop).entries(forms::SPARC_ONE),
    Known::new(Is(".sun4v_2insn_patch"), "code for sun4v", Drop).entries(forms::SPARC_TWO),
    Known::new(Is("__mcount_loc"), "calls of the function tracer", Drop).entries(forms::POINTERS),
    Known::new(
        Is("__patchable_function_entries"),
        "room for calls of the function tracer",
        Drop,
    )
    .entries(forms::POINTERS),
    Known::new(Is("_ftrace_events"), "trace events", Drop).entries(forms::POINTERS),
    Known::new(
        Is("_ftrace_eval_map"),
        "names of numbers in trace events",
        Drop,
    )
    .entries(forms::POINTERS),
    Known::new(Is("__trace_printk_fmt"), "format strings", Drop).entries(forms::POINTERS),
    Known::new(Is("__tracepoints_ptrs"), "tracepoints", Drop).entries(forms::TRACEPOINTS),
    Known::new(Is("__bpf_raw_tp_map"), "tracepoints for BPF", Drop).entries(forms::RAW_TRACEPOINTS),
    Known::new(
        Is("_error_injection_whitelist"),
        "functions that may be made to fail",
        Drop,
    )
    .entries(forms::ERROR_INJECTIONS),
    Known::new(Is("_kprobe_blacklist"), "functions without probes", Drop).entries(forms::POINTERS),
    Known::new(Is("___srcu_struct_ptrs"), "SRCU domains", Drop).entries(forms::POINTERS),
    Known::new(Is(".kunit_test_suites"), "test suites", Drop).entries(forms::POINTERS),
    Known::new(Is(".kunit_init_test_suites"), "test suites of init", Drop).entries(forms::POINTERS),
    Known::new(Is(".printk_index"), "formats of messages", Drop).entries(forms::POINTERS),
    Known::new(Is("__dyndbg"), "messages that can be switched on", Drop)
        .entries(forms::DEBUG_PRINTS),
    Known::new(Is("__dyndbg_classes"), "kinds of such messages", Split)
        .entries(forms::DEBUG_CLASSES),
    Known::new(Is(".ctors"), "constructors", Drop).entries(forms::POINTERS),
    Known::new(Is(".init_array"), "constructors", Drop).entries(forms::POINTERS),
    Known::new(
        Is("__ksymtab"),
        "exported symbols",
        DropWith(&["__kcrctab", "__kflagstab"]),
    )
    .entries(ksymtab::ROWS),
    Known::new(
        Is("__ksymtab_gpl"),
        "symbols exported to GPL-compatible modules",
        DropWith(&["__kcrctab_gpl"]),
    )
    .entries(ksymtab::ROWS),
    Known::new(
        Is("__kcrctab"),
        "CRCs of exported symbols",
        GoWith("__ksymtab"),
    ),
    Known::new(
        Is("__kcrctab_gpl"),
        "CRCs of symbols exported to GPL-compatible modules",
        GoWith("__ksymtab_gpl"),
    ),
    Known::new(
        Is("__kflagstab"),
        "flags of exported symbols",
        GoWith("__ksymtab"),
    ),
    Known::new(Is("__param"), "parameters", Drop).entries(param::ROWS),
    Known::new(Is(".modinfo"), "strings about the module", Nothing),
    Known::new(Is("__versions"), "CRCs of used symbols", Nothing),
    Known::new(Is("__version_ext_crcs"), "CRCs of used symbols", Nothing),
    Known::new(Is("__version_ext_names"), "names of used symbols", Nothing),
];
