//! Which symbols are bound in the output, so that nothing at run time can put another definition in
//! their place.
//!
//! Source: bfd/elflink.c (_bfd_elf_symbol_refs_local_p, _bfd_elf_link_assign_sym_version,
//! bfd_elf_link_record_dynamic_symbol); bfd/elfxx-x86.h (UNDEFINED_WEAK_RESOLVED_TO_ZERO).

use object::elf;

use super::made_sections::is_dynamic;
use super::values::HEADER_START;
use crate::dynamic::relocations::Target;
use crate::dynamic::versions::{VersionError, Versions};
use crate::id::{GlobalId, IdVec, ObjectId};
use crate::input::SymbolPlace;
use crate::options::{DynamicLinker, Options, OutputKind, Symbolic};
use crate::output::Outputs;
use crate::resolve::{Definition, Global, Resolved};

/// How the globals of a link are bound.
pub(super) struct Bindings {
    kind: OutputKind,
    symbolic: Symbolic,
    export_dynamic: bool,
    /// Whether undefined weak symbols are 0 for good.
    has_zeros: bool,
    /// Whether a version script makes the global local, or it is the linker's own.
    forced_local: IdVec<GlobalId, bool>,
    /// Whether it is undefined and yet the beginning or end of a section (`__start_NAME`).
    is_section_bound: IdVec<GlobalId, bool>,
    /// Each global's entry of `.gnu.version`.
    pub entries: IdVec<GlobalId, u16>,
    has_indirect: bool,
    /// Weak symbols that nothing defines and that a loader is asked for.
    asked_of_loader: Vec<GlobalId>,
}

impl Bindings {
    /// Asks the version scripts about every symbol.
    ///
    /// # Errors
    /// Symbols whose version no script has, and with `--no-undefined-version` those that nothing defines.
    pub(super) fn new(
        resolved: &Resolved<'_>,
        options: &Options,
        linkage: &[GlobalId],
        outputs: &Outputs<'_>,
        versions: &mut Versions,
    ) -> Result<Self, VersionError> {
        let count = resolved.globals.len();
        let mut bindings = Self {
            kind: options.output_kind,
            symbolic: options.symbolic,
            export_dynamic: options.export_dynamic,
            has_zeros: !is_dynamic(options)
                || options.dynamic_undefined_weak == Some(false)
                || options.output_kind == OutputKind::Pie
                    && options.dynamic_linker == DynamicLinker::None,
            forced_local: IdVec::filled(false, count),
            is_section_bound: IdVec::default(),
            entries: IdVec::filled(1, count),
            asked_of_loader: Vec::new(),
            has_indirect: resolved.objects.iter().any(|it| it.rarities.indirect),
        };
        for global in resolved.globals.iter() {
            let name = global.name;
            let section = (name.strip_prefix(b"__start_")).or(name.strip_prefix(b"__stop_"));
            let is_section = || section.is_some_and(|it| outputs.by_name(it).is_some());
            let is_bound = !is_defined(global) && (name == HEADER_START || is_section());
            bindings.is_section_bound.push(is_bound);
        }
        for &id in linkage.iter().chain(&resolved.hidden_by_script) {
            bindings.forced_local[id] = true;
        }
        if !is_dynamic(options) || versions.is_empty() {
            return Ok(bindings);
        }
        let is_name_defined = |name: &[u8]| {
            let global = resolved.global(name);
            global.is_some_and(|id| is_defined(&resolved.globals[id]))
        };
        versions.note_versioned(is_name_defined);
        if options.no_undefined_version {
            versions.require_defined(is_name_defined)?;
        }
        for (id, global) in resolved.globals.iter_ids() {
            if is_defined(global) {
                let assigned = versions.assign(global.name)?;
                bindings.forced_local[id] |= assigned.local;
                bindings.entries[id] = assigned.entry;
            }
        }
        Ok(bindings)
    }

    /// Notes which symbols a loader is asked for: a program that may be loaded anywhere lists those that
    /// nothing defines (bfd/elfxx-x86.c, `elf_x86_allocate_dynrelocs`).
    pub(super) fn note_asked(&mut self, resolved: &Resolved<'_>, mut asked: Vec<GlobalId>) {
        asked.retain(|&id| {
            let definition = resolved.globals[id].definition;
            self.kind == OutputKind::Pie && definition == Definition::Undefined { weak: true }
        });
        asked.sort_unstable();
        self.asked_of_loader = asked;
    }

    /// Makes the hidden ones of `called`, which relocations ask a PLT entry for, local in a
    /// position-independent output (bfd/elflink.c, `_bfd_elf_fix_symbol_flags`).
    pub(super) fn hide_called(&mut self, resolved: &Resolved<'_>, called: &[GlobalId]) {
        for &id in called {
            let global = &resolved.globals[id];
            if matches!(self.kind, OutputKind::Pie | OutputKind::Shared) {
                self.forced_local[id] |= is_defined(global) && is_hidden(global.other);
            }
        }
    }

    /// Whether a global that the output defines is local in it.
    pub(super) fn is_local(&self, id: GlobalId, other: u8) -> bool {
        // GNU ld makes it so when it is about to list the symbol for others.
        let exports =
            self.kind == OutputKind::Shared || self.kind == OutputKind::Pie && self.export_dynamic;
        self.forced_local[id] || exports && is_hidden(other)
    }

    /// Whether a global has an entry of `.dynsym`.
    pub(super) fn is_dynamic(&self, id: GlobalId, global: &Global<'_>) -> bool {
        let exports =
            self.kind == OutputKind::Shared || self.kind == OutputKind::Pie && self.export_dynamic;
        let is_local = is_defined(global) && self.is_local(id, global.other);
        if self.has_zeros && self.is_zero(global) {
            return false;
        }
        // A symbol that the script assigns is for others, even if nothing but the script mentions it
        // (bfd/elflink.c, `bfd_elf_record_link_assignment`).
        let is_mentioned = !global.script_only || global.definition == Definition::Script;
        let is_asked = self.asked_of_loader.binary_search(&id).is_ok();
        exports && !is_local && is_mentioned || is_asked
    }

    /// Whether references to a global go to the output's own definition.
    pub(super) fn is_bound(&self, id: GlobalId, global: &Global<'_>) -> bool {
        if !is_defined(global) {
            return self.is_section_bound[id]
                || (self.kind != OutputKind::Shared || self.has_zeros) && self.is_zero(global)
                || is_hidden(global.other);
        }
        let is_function = global.symbol_type == elf::STT_FUNC.0;
        self.kind != OutputKind::Shared
            || self.is_local(id, global.other)
            || global.other & 3 == elf::STV_PROTECTED.0
            || match self.symbolic {
                Symbolic::All => true,
                Symbolic::Functions => is_function,
                Symbolic::None => false,
            }
    }

    /// Whether nothing defines a global and yet it is the beginning or end of a section.
    pub(super) fn is_section_bound(&self, id: GlobalId) -> bool {
        self.is_section_bound[id]
    }

    /// Whether there are functions that a resolver chooses (`STT_GNU_IFUNC`).
    #[inline]
    pub(super) fn has_indirect(&self) -> bool {
        self.has_indirect
    }

    fn is_zero(&self, global: &Global<'_>) -> bool {
        matches!(global.definition, Definition::Undefined { weak: true })
            && (self.has_zeros || global.other & 3 != 0)
    }

    /// What a relocation needs to know of symbol `index` of `object`.
    pub(super) fn target(&self, resolved: &Resolved<'_>, object: ObjectId, index: u32) -> Target {
        match resolved.global_of(object, index) {
            Some(id) => self.target_of_global(resolved, id),
            None => Target {
                is_bound: true,
                is_absolute: index == 0 || is_absolute(resolved, object, index),
                is_zero: false,
            },
        }
    }

    /// What a relocation needs to know of a global.
    pub(super) fn target_of_global(&self, resolved: &Resolved<'_>, id: GlobalId) -> Target {
        let global = &resolved.globals[id];
        Target {
            is_bound: self.is_bound(id, global),
            is_absolute: match global.definition {
                Definition::Object { object, symbol, .. } => is_absolute(resolved, object, symbol),
                _ => false,
            },
            is_zero: self.is_zero(global) && !self.is_section_bound[id],
        }
    }
}

fn is_absolute(resolved: &Resolved<'_>, object: ObjectId, index: u32) -> bool {
    let symbol = resolved.objects[object].symbols.get(index as usize);
    symbol.is_some_and(|symbol| symbol.place == SymbolPlace::Absolute)
}

/// Whether the output defines a global.
pub(super) fn is_defined(global: &Global<'_>) -> bool {
    !matches!(global.definition, Definition::Undefined { .. })
}

fn is_hidden(other: u8) -> bool {
    let visibility = other & 3;
    visibility == elf::STV_HIDDEN.0 || visibility == elf::STV_INTERNAL.0
}
