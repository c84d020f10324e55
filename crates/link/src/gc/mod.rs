//! Garbage collection (`--gc-sections`): sections that nothing needs are not in the output.
//!
//! Which sections stay is GNU ld's answer (bfd/elflink.c, `bfd_elf_gc_sections`): from the roots, all
//! that kept sections refer to; then what follows them, [`follow`]; the rest goes.

mod follow;
mod frames;
mod mark;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use klink_arch::Arch;
use klink_script::{AssignOp, ExprKind};
use object::elf;

use self::frames::FrameTables;
use self::mark::{Follow, Marker};
use crate::assign::matches_pattern;
use crate::dynamic::versions::{VersionError, Versions};
use crate::error::{LinkError, Result};
use crate::id::{GlobalId, SectionId};
use crate::image::entry_symbol;
use crate::input::SectionKind;
use crate::options::{Options, OutputKind};
use crate::output::Traits;
use crate::pattern_index::{Match, PatternIndex};
use crate::report::Clock;
use crate::resolve::{Definition, Resolved};
use crate::rules::Rules;
use crate::script::{Action, Program, Sources};

/// What is collected from.
pub(crate) struct GcInput<'a, 'l> {
    pub resolved: &'l Resolved<'a>,
    pub program: &'l Program<'a>,
    pub sources: &'l Sources,
    pub options: &'l Options,
    pub arch: &'static Arch,
}

/// What is not in the output.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    /// The sections, object by object. Some were dropped before, as second copies of groups.
    pub sections: Vec<SectionId>,
    /// Symbols that nothing defines, and that these sections alone mention.
    pub symbols: Vec<GlobalId>,
}

/// Drops what is not needed, if that was asked for.
///
/// # Errors
/// As [`collect`].
pub(crate) fn collect_garbage(
    resolved: &mut Resolved<'_>,
    program: &Program<'_>,
    sources: &Sources,
    options: &Options,
    arch: &'static Arch,
    clock: &mut Clock,
) -> Result<()> {
    if !options.gc_sections {
        return Ok(());
    }
    let input = GcInput {
        resolved,
        program,
        sources,
        options,
        arch,
    };
    let garbage = collect(&input)?;
    if options.print_gc_sections {
        let lines = describe(resolved, &garbage);
        clock.report().notes.extend(lines);
    }
    resolved.drop_garbage(&garbage);
    clock.lap("collect garbage");
    Ok(())
}

/// The symbols that others may refer to by name once the output is loaded (bfd/elflink.c,
/// `bfd_elf_gc_mark_dynamic_ref_symbol`).
///
/// # Errors
/// Version scripts that cannot be followed.
fn exported(input: &GcInput<'_, '_>) -> Result<Vec<GlobalId>> {
    const HIDING: [u8; 2] = [elf::STV_INTERNAL.0, elf::STV_HIDDEN.0];
    let (options, resolved) = (input.options, input.resolved);
    let exports = match options.output_kind {
        OutputKind::Shared => true,
        OutputKind::Pie => options.export_dynamic || options.gc_keep_exported,
        OutputKind::Executable | OutputKind::Relocatable => options.gc_keep_exported,
    };
    if !exports {
        return Ok(Vec::new());
    }
    let scripts = input.sources.version_scripts().map(|(_, script)| script);
    let wrong = |error: VersionError| LinkError::Script(error.to_string());
    let mut versions = Versions::new(scripts).map_err(wrong)?;
    let mut found = Vec::new();
    for (id, global) in resolved.globals.iter_ids() {
        let is_local = HIDING.contains(&(global.other & 3))
            || !versions.is_empty() && versions.assign(global.name).map_err(wrong)?.local;
        if !is_local {
            found.push(id);
        }
    }
    Ok(found)
}

/// Finds out what is not needed.
///
/// # Errors
/// With `-r`, where no symbol says what is.
pub(crate) fn collect(input: &GcInput<'_, '_>) -> Result<Garbage> {
    let resolved = input.resolved;
    let sections: Vec<SectionId> = resolved
        .section_ids()
        .filter(|&id| resolved.section(id).kind != SectionKind::Meta)
        .collect();
    let frames = FrameTables::read(resolved, &sections, input.arch);
    let mut marker = Marker::new(
        resolved,
        frames,
        aliases(input.program, resolved),
        bounded_sections(resolved, &sections),
        input.options.start_stop_gc,
    );
    mark_roots(input, &sections, &mut marker)?;
    follow::mark_followers(resolved, &sections, &mut marker);
    Ok(Garbage {
        symbols: unmentioned(resolved, &marker),
        sections: sections
            .into_iter()
            .filter(|&id| !marker.is_kept(id))
            .collect(),
    })
}

/// What `--print-gc-sections` says (bfd/elflink.c, `elf_gc_sweep`; bfd/bfd.c, `_bfd_doprnt` for how
/// members of groups are written).
pub(crate) fn describe(resolved: &Resolved<'_>, garbage: &Garbage) -> Vec<String> {
    let mut lines = Vec::new();
    for &id in &garbage.sections {
        let section = resolved.section(id);
        if section.size == 0 || Traits::of(section).contains(Traits::EXCLUDE) {
            continue;
        }
        let (object, _) = resolved.section_place(id);
        let file = &resolved.objects[object];
        let name = String::from_utf8_lossy(section.name);
        let group = section.group.and_then(|group| {
            let signature = file.groups.get(group as usize)?.signature;
            Some(format!("[{}]", String::from_utf8_lossy(signature)))
        });
        lines.push(format!(
            "removing unused section '{name}{}' in file '{}'",
            group.unwrap_or_default(),
            file.shown_name()
        ));
    }
    lines
}

/// Marks what is needed for its own sake.
fn mark_roots(
    input: &GcInput<'_, '_>,
    sections: &[SectionId],
    marker: &mut Marker<'_, '_>,
) -> Result<()> {
    let resolved = input.resolved;
    let mut has_root_symbol = false;
    for name in root_symbols(input) {
        let global = resolved.global(name.as_bytes());
        if let Some(section) = global.and_then(|global| marker.section_of_global(global)) {
            has_root_symbol = true;
            marker.mark(section, Follow::All);
        }
    }
    for name in needed_symbols(input) {
        if let Some(global) = resolved.global(name.as_bytes()) {
            marker.mention(global);
        }
    }
    let relocatable = input.options.relocatable();
    if relocatable && !has_root_symbol && !input.options.gc_keep_exported {
        return Err(LinkError::NoGcRoot);
    }
    for global in exported(input)? {
        if let Some(section) = marker.section_of_global(global) {
            marker.mark(section, Follow::All);
        }
    }
    let mut kept = KeepPatterns::new(&input.program.rules);
    for &id in sections {
        let section = resolved.section(id);
        if !Traits::of(section).contains(Traits::EXCLUDE)
            && (is_root(resolved, id, relocatable) || kept.matches(resolved, id))
        {
            marker.mark(id, Follow::All);
        }
    }
    Ok(())
}

/// Whether a section is kept for what it is: a note, an array of functions that the last link will
/// call, or one that its source asked to retain.
fn is_root(resolved: &Resolved<'_>, id: SectionId, relocatable: bool) -> bool {
    // Which systems know SHF_GNU_RETAIN (bfd/elf.c, `_bfd_elf_make_section_from_shdr`).
    const RETAINING: [u8; 2] = [elf::ELFOSABI_GNU.0, elf::ELFOSABI_FREEBSD.0];
    let section = resolved.section(id);
    let (object, _) = resolved.section_place(id);
    let is_array = [
        elf::SHT_PREINIT_ARRAY.0,
        elf::SHT_INIT_ARRAY.0,
        elf::SHT_FINI_ARRAY.0,
    ]
    .contains(&section.section_type);
    let is_note = section.section_type == elf::SHT_NOTE.0;
    let is_retained = section.flags & elf::SHF_GNU_RETAIN.0 != 0
        && RETAINING.contains(&resolved.objects[object].os_abi);
    relocatable && is_array
        || is_note && section.group.is_none() && resolved.linked_to(id).is_none()
        || is_retained
}

/// The symbols whose sections are roots (ld/ldlang.c, `lang_process`).
fn root_symbols<'l>(input: &GcInput<'_, 'l>) -> impl Iterator<Item = &'l str> {
    let options = input.options;
    let entry = entry_symbol(options, input.sources);
    let own = [
        entry.unwrap_or("start"),
        options.init.as_deref().unwrap_or("_init"),
        options.fini.as_deref().unwrap_or("_fini"),
    ];
    own.into_iter().chain(needed_symbols(input))
}

/// The symbols that the command line and scripts need by name.
fn needed_symbols<'l>(input: &GcInput<'_, 'l>) -> impl Iterator<Item = &'l str> {
    let given = input.options.undefined.iter();
    given
        .chain(&input.options.require_defined)
        .map(String::as_str)
        .chain(input.sources.externs())
}

/// The symbols of scripts that are other symbols, with these: an assignment of a sum is a number
/// and keeps nothing (ld/ldexp.c, `fold_binary`, before addresses are known).
fn aliases(
    program: &Program<'_>,
    resolved: &Resolved<'_>,
) -> HashMap<GlobalId, GlobalId, RandomState> {
    let mut aliases = HashMap::default();
    for statement in &program.statements {
        let Action::Assign {
            assignment,
            global: Some(global),
        } = &statement.action
        else {
            continue;
        };
        let target = match &assignment.value.kind {
            ExprKind::Symbol(name) if assignment.op == AssignOp::Set => {
                resolved.global(name.as_bytes())
            }
            _ => None,
        };
        match target {
            Some(target) => aliases.insert(*global, target),
            None => aliases.remove(global),
        };
    }
    aliases
}

/// The sections between `__start_NAME` and `__stop_NAME`, by NAME, where a symbol of these is
/// mentioned and no object or script defines it (ld/ldlang.c, `lang_init_start_stop`).
fn bounded_sections<'a>(
    resolved: &Resolved<'a>,
    sections: &[SectionId],
) -> HashMap<&'a [u8], Vec<SectionId>, RandomState> {
    let mut bounded: HashMap<&[u8], Vec<SectionId>, RandomState> = HashMap::default();
    for global in resolved.globals.iter() {
        if let Definition::Undefined { .. } = global.definition
            && let Some(name) = bounded_name(global.name)
        {
            bounded.entry(name).or_default();
        }
    }
    if bounded.is_empty() {
        return bounded;
    }
    for &id in sections {
        if let Some(sections) = bounded.get_mut(resolved.section(id).name) {
            sections.push(id);
        }
    }
    bounded
}

/// NAME of `__start_NAME` and `__stop_NAME`.
fn bounded_name(symbol: &[u8]) -> Option<&[u8]> {
    let name = symbol
        .strip_prefix(b"__start_")
        .or_else(|| symbol.strip_prefix(b"__stop_"))?;
    let is_identifier = name
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        && name.first().is_some_and(|byte| !byte.is_ascii_digit());
    is_identifier.then_some(name)
}

/// Symbols that nothing defines and no section mentions that is kept (bfd/elflink.c,
/// `elf_gc_sweep_symbol`).
fn unmentioned(resolved: &Resolved<'_>, marker: &Marker<'_, '_>) -> Vec<GlobalId> {
    let undefined = resolved.globals.iter_ids().filter(|(_, global)| {
        let definition = global.definition;
        matches!(definition, Definition::Undefined { .. })
    });
    undefined
        .map(|(id, _)| id)
        .filter(|&id| !marker.is_mentioned(id))
        .collect()
}

/// The patterns inside KEEP.
pub(crate) struct KeepPatterns<'a, 'l> {
    rules: &'l Rules<'a>,
    index: PatternIndex<'l>,
    /// For each section name, those that match it.
    by_name: HashMap<&'a [u8], Vec<Match>, RandomState>,
}

impl<'a, 'l> KeepPatterns<'a, 'l> {
    pub(crate) fn new(rules: &'l Rules<'a>) -> Self {
        Self {
            rules,
            index: PatternIndex::new(rules),
            by_name: HashMap::default(),
        }
    }

    /// Whether a section matches any of them, wherever it is placed (ld/ldlang.c,
    /// `gc_section_callback`): INPUT_SECTION_FLAGS, ONLY_IF_RO and patterns before it do not count.
    pub(crate) fn matches(&mut self, resolved: &Resolved<'a>, id: SectionId) -> bool {
        let (rules, index) = (self.rules, &self.index);
        let name = resolved.section(id).name;
        let found = self.by_name.entry(name).or_insert_with(|| {
            let mut found = index.matches(name);
            found.retain(|&found| rules.find(found).is_some_and(|(inputs, _)| inputs.keep));
            found
        });
        let mut found = found.iter().filter_map(|&found| rules.find(found));
        found.any(|(inputs, pattern)| matches_pattern(resolved, inputs, pattern, id))
    }
}
