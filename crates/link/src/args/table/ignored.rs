//! Options that change nothing here: they are about shared objects as inputs, about warnings that
//! klink has not, about how GNU ld does its work, or ask for what klink does anyway.

use super::Takes::{MaybeValue, Nothing, Value};
use super::{Row, ignored};

pub(super) const ROWS: &[Row] = &[
    // Shared objects as inputs.
    ignored("-Bstatic -dn -non_shared -static", Nothing),
    ignored("-Bdynamic -dy -call_shared", Nothing),
    ignored("--as-needed --no-as-needed", Nothing),
    // Without one, objects of link-time optimization that hold code are linked as others are.
    ignored("--plugin --plugin-opt", Value),
    ignored("--add-needed --no-add-needed", Nothing),
    ignored(
        "--copy-dt-needed-entries --no-copy-dt-needed-entries",
        Nothing,
    ),
    ignored(
        "--allow-shlib-undefined --no-allow-shlib-undefined",
        Nothing,
    ),
    ignored("-rpath-link", Value),
    ignored("-Y", Value),
    ignored("-a", Value),
    // Warnings.
    ignored("--warn-common --warn-constructors --warn-once", Nothing),
    ignored("--warn-multiple-gp --warn-section-align", Nothing),
    ignored("--warn-alternate-em --no-warn-mismatch", Nothing),
    ignored("--no-warn-search-mismatch", Nothing),
    ignored("--no-enum-size-warning --no-wchar-size-warning", Nothing),
    ignored(
        "--accept-unknown-input-arch --no-accept-unknown-input-arch",
        Nothing,
    ),
    ignored("--demangle --color-diagnostics", MaybeValue),
    ignored("--no-demangle", Nothing),
    // How GNU ld does its work.
    ignored("-O", Value),
    ignored("-A --architecture", Value),
    ignored("-G --gpsize", Value),
    ignored("-g --no-keep-memory --reduce-memory-overheads", Nothing),
    ignored("--hash-size --max-cache-size", Value),
    ignored("-p --no-pipeline-knowledge --force-exe-suffix", Nothing),
    ignored("--traditional-format", Nothing),
    ignored("-assert", Value),
    ignored("--ctf-variables --no-ctf-variables", Nothing),
    ignored("--ctf-share-types", Value),
    // What klink makes no tables for, or does anyway.
    ignored("--no-fix-cortex-a8 --no-fix-arm1176", Nothing),
    ignored(
        "--no-plt-align --no-plt-static-chain --no-plt-thread-safe",
        Nothing,
    ),
    ignored("--no-plt-localentry --no-power10-stubs", Nothing),
    ignored(
        "--no-save-restore-funcs --no-tls-get-addr-optimize",
        Nothing,
    ),
    ignored(
        "--no-tls-optimize --no-opd-optimize --no-toc-optimize",
        Nothing,
    ),
    ignored("--no-toc-sort --no-multi-toc --no-inline-optimize", Nothing),
    ignored("--no-ppc476-workaround --no-pic-fixup", Nothing),
    ignored(
        "--no-insn32 --no-ignore-branch-isa --no-compact-branches",
        Nothing,
    ),
];
