//! Options about code, most of which one architecture has (ld/emultempl/*.em).

use super::Kind::{Flag, Text};
use super::Takes::{MaybeValue, Nothing, Value};
use super::{Refusal, Row, later_in_final, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "--relax",
        "replace instructions by shorter ones where addresses allow",
        Flag(|parser| parser.options.relax = Some(true)),
    ),
    row(
        "--no-relax",
        "do not",
        Flag(|parser| parser.options.relax = Some(false)),
    ),
    row(
        "--stub-group-size",
        "put stubs behind each N bytes of code; negative: only in front of them",
        Text("N", |parser, value| {
            let digits = value.strip_prefix('-');
            let size = super::number(digits.unwrap_or(value))
                .and_then(|size| i64::try_from(size).ok())
                .ok_or(Refusal::Value("a number of bytes"))?;
            let size = if digits.is_some() { -size } else { size };
            parser.options.stub_group_size = Some(size);
            Ok(())
        }),
    ),
    row(
        "--emit-stub-syms",
        "give stubs symbols",
        Flag(|parser| parser.options.stub_symbols = Some(true)),
    ),
    row(
        "--no-emit-stub-syms",
        "give them none",
        Flag(|parser| parser.options.stub_symbols = Some(false)),
    ),
    row(
        "--apply-dynamic-relocs",
        "arm64: write addends of dynamic relocations to their places too",
        Flag(|parser| parser.options.apply_dynamic_relocs = Some(true)),
    ),
    row(
        "--no-apply-dynamic-relocs",
        "arm64: do not",
        Flag(|parser| parser.options.apply_dynamic_relocs = Some(false)),
    ),
    // hppa
    later_in_final("--multi-subspace", Nothing),
    // arm64 and arm
    later_in_final("--fix-cortex-a53-835769", MaybeValue),
    later_in_final("--fix-cortex-a53-843419", MaybeValue),
    later_in_final("--fix-cortex-a8", Nothing),
    later_in_final("--pic-veneer", Nothing),
    later_in_final("--be8", Nothing),
    later_in_final("--long-plt", Nothing),
    later_in_final("--thumb-entry", Value),
    later_in_final("--target1-rel", Nothing),
    later_in_final("--target1-abs", Nothing),
    later_in_final("--target2", Value),
    later_in_final("--fix-v4bx", Nothing),
    later_in_final("--fix-v4bx-interworking", Nothing),
    later_in_final("--use-blx", Nothing),
    later_in_final("--vfp11-denorm-fix", Value),
    later_in_final("--fix-stm32l4xx-629360", MaybeValue),
    later_in_final("--fix-arm1176", Nothing),
    later_in_final("--no-merge-exidx-entries", Nothing),
    later_in_final("--cmse-implib", Nothing),
    later_in_final("--in-implib", Value),
    // powerpc
    later_in_final("--plt-align", MaybeValue),
    later_in_final("--plt-static-chain", Nothing),
    later_in_final("--plt-thread-safe", Nothing),
    later_in_final("--plt-localentry", Nothing),
    later_in_final("--power10-stubs", MaybeValue),
    later_in_final("--save-restore-funcs", Nothing),
    later_in_final("--dotsyms", Nothing),
    later_in_final("--no-dotsyms", Nothing),
    later_in_final("--tls-get-addr-optimize", Nothing),
    later_in_final("--non-overlapping-opd", Nothing),
    later_in_final("--secure-plt", Nothing),
    later_in_final("--bss-plt", Nothing),
    later_in_final("--sdata-got", Nothing),
    later_in_final("--ppc476-workaround", MaybeValue),
    later_in_final("--pic-fixup", MaybeValue),
    later_in_final("--vle-reloc-fixup", Nothing),
    // mips
    later_in_final("--insn32", Nothing),
    later_in_final("--ignore-branch-isa", Nothing),
    later_in_final("--compact-branches", Nothing),
    // s390
    later_in_final("--s390-pgste", Nothing),
];
