//! Where a program starts, and which symbols the link was told that it needs.

use klink_arch::Arch;

use super::layout::ImageLayout;
use super::values::{SymbolValue, Values};
use crate::id::GlobalId;
use crate::options::{Options, OutputKind};
use crate::resolve::Resolved;
use crate::script::Sources;

/// The entry of a program whose scripts and command line name none.
const DEFAULT_ENTRY: &str = "start";

/// The section that a program starts with if the entry is not found.
const ENTRY_SECTION: &[u8] = b".text";

/// The entry that `-e` names, or else ENTRY.
fn name<'s>(options: &'s Options, sources: &'s Sources) -> Option<&'s str> {
    let of_script = || sources.entry().map(|name| name.value.as_str());
    options.entry.as_deref().or_else(of_script)
}

/// The address that a program starts at, and a warning if it is not the one that was asked for
/// (ld/ldlang.c, `lang_end`): of the entry symbol, the number that stands for it, else of the code,
/// even if that section came out empty.
pub(super) fn address(
    options: &Options,
    sources: &Sources,
    resolved: &Resolved<'_>,
    layout: &ImageLayout<'_>,
    values: &Values<'_, '_>,
    arch: &Arch,
) -> (u64, Option<String>) {
    let asked = name(options, sources);
    let entry = asked.unwrap_or(DEFAULT_ENTRY);
    let symbol = resolved.global(entry.as_bytes());
    if let Some(SymbolValue::Address { address, .. } | SymbolValue::Absolute(address)) =
        symbol.map(|symbol| values.global(symbol))
    {
        return (address, None);
    }
    if let Some(number) = number(entry) {
        return (number, None);
    }
    let is_program = options.output_kind != OutputKind::Shared;
    let mut sections = layout.outputs.sections.iter();
    let code = sections.find(|section| is_program && section.name == ENTRY_SECTION);
    let digits = usize::from(arch.class.address_bits()) / 4;
    let instead = match code {
        Some(code) => format!("defaulting to {:0digits$x}", code.address),
        None => "not setting start address".to_owned(),
    };
    let is_told = match is_program {
        true => asked.is_some(),
        false => options.entry.is_some(),
    };
    let warning = format!("cannot find entry symbol {entry}; {instead}");
    (
        code.map_or(0, |code| code.address),
        is_told.then_some(warning),
    )
}

/// A number as in C (bfd/bfd.c, `bfd_scan_vma`).
fn number(text: &str) -> Option<u64> {
    let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    match (hex, text.strip_prefix('0')) {
        (Some(digits), _) => u64::from_str_radix(digits, 16).ok(),
        (None, Some(digits)) if !digits.is_empty() => u64::from_str_radix(digits, 8).ok(),
        (None, _) => text.parse().ok(),
    }
}

/// The symbol that is the entry, for archives to be searched for it; that of a shared object only if
/// the command line names it (ld/ldemul.c, `after_open_default`).
pub(crate) fn symbol<'s>(options: &'s Options, sources: &'s Sources) -> Option<&'s str> {
    let is_program = matches!(
        options.output_kind,
        OutputKind::Executable | OutputKind::Pie
    );
    let counts = is_program || options.entry.is_some();
    let name = name(options, sources).filter(|_| counts);
    name.filter(|name| number(name).is_none())
}

/// The symbols that the command line and scripts say are needed: they stay in the symbol table even
/// if nothing defines them (ld/ldlang.c, `lang_mark_undefineds`).
pub(super) fn needed(
    options: &Options,
    sources: &Sources,
    resolved: &Resolved<'_>,
) -> Vec<GlobalId> {
    let asked = options.undefined.iter().map(String::as_str);
    let names = asked
        .chain(sources.externs())
        .chain(symbol(options, sources));
    names
        .filter_map(|name| resolved.global(name.as_bytes()))
        .collect()
}
