//! The scripts of a link as one: where they include each other, what they say is in order.

use hashbrown::HashMap;
use klink_script::{
    Command, MemoryItem, MemoryRegion, Name, Phdr, Script, SectionItem, Source, Span, Spanned,
    Statement, VersionScript,
};

use crate::options::ByteOrder;

/// Something in a script, and where it stands.
#[derive(Debug)]
#[allow(
    dead_code,
    reason = "links with addresses read it, which are being built"
)]
pub(crate) struct Located<'s, T> {
    /// Number of the source.
    pub source: usize,
    /// Place in the source.
    pub span: Span,
    /// What stands there.
    pub value: &'s T,
}

impl<'s, T> Located<'s, T> {
    fn of(source: usize, item: &'s Spanned<T>) -> Self {
        Located {
            source,
            span: item.span,
            value: &item.value,
        }
    }
}

/// All that was read in the script language.
#[derive(Default)]
pub(crate) struct Sources {
    /// The texts.
    pub(super) sources: Vec<Source>,
    /// Commands in the order in which they count, after INCLUDE and INSERT. A source that includes
    /// another comes in several parts: what SECTIONS and MEMORY hold may be split between them.
    pub(super) scripts: Vec<(usize, Script)>,
    /// For each command of `scripts`, how many were read before it: INSERT moves where things stand,
    /// but patterns take sections in the order in which they were read.
    pub(super) parse_order: Vec<usize>,
    /// How many inputs of the command line stand in front of each source; of implicit and built-in
    /// scripts, it is not told.
    pub(super) positions: HashMap<usize, usize>,
    /// What INCLUDE inside an output section stands for: source and statements, by the source and
    /// the place of the INCLUDE.
    pub(super) included: HashMap<(usize, Span), Included>,
    /// The file of OUTPUT.
    pub(super) output: Option<Name>,
    /// `--version-script`.
    pub(super) version_scripts: Vec<(usize, VersionScript)>,
    /// `--dynamic-list`.
    pub(super) dynamic_lists: Vec<(usize, VersionScript)>,
}

/// A file that is included in an output section.
pub(super) struct Included {
    pub source: usize,
    pub statements: Vec<Spanned<Statement>>,
}

#[allow(
    dead_code,
    reason = "links with addresses read the rest, which are being built"
)]
impl Sources {
    /// The scripts, each with the number of its source, in the order in which they count. INCLUDE of
    /// commands, section items and memory regions is done; for that in output sections, see
    /// [`Sources::statements`].
    pub(crate) fn scripts(&self) -> impl Iterator<Item = (usize, &Script)> {
        self.scripts
            .iter()
            .map(|(source, script)| (*source, script))
    }

    /// How many inputs of the command line stand in front of a script that an option names.
    pub(crate) fn position(&self, number: usize) -> Option<usize> {
        self.positions.get(&number).copied()
    }

    /// Every command in the order in which they were read, each with its source and its place in the
    /// order in which they count.
    pub(crate) fn commands_as_read(&self) -> Vec<(usize, usize, &Spanned<Command>)> {
        let mut commands: Vec<(usize, usize, &Spanned<Command>)> = Vec::new();
        for (source, script) in self.scripts() {
            for command in &script.commands {
                commands.push((source, commands.len(), command));
            }
        }
        commands.sort_by_key(|&(_, place, _)| self.parse_order.get(place).copied());
        commands
    }

    /// The text of a script.
    pub(crate) fn source(&self, number: usize) -> &Source {
        &self.sources[number]
    }

    /// The paths of all scripts that were read, for a dependency file.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        let files = self.sources.iter().map(|source| source.name.as_str());
        files.filter(|name| ![super::BUILT_IN, super::DEFSYM].contains(name))
    }

    /// The statements of an output section of `source`, with those of included files in the place of
    /// INCLUDE, each with the number of its source.
    pub(crate) fn statements<'s>(
        &'s self,
        source: usize,
        statements: &'s [Spanned<Statement>],
    ) -> Vec<(usize, &'s Spanned<Statement>)> {
        let mut found = Vec::with_capacity(statements.len());
        self.add_statements(source, statements, &mut found);
        found
    }

    // Scripts include each other to a limited depth, so this ends.
    fn add_statements<'s>(
        &'s self,
        source: usize,
        statements: &'s [Spanned<Statement>],
        found: &mut Vec<(usize, &'s Spanned<Statement>)>,
    ) {
        for statement in statements {
            match self.included.get(&(source, statement.span)) {
                Some(included) if matches!(statement.value, Statement::Include(_)) => {
                    self.add_statements(included.source, &included.statements, found);
                }
                _ => found.push((source, statement)),
            }
        }
    }

    /// Every command, in the order in which they count.
    pub(crate) fn commands(&self) -> impl Iterator<Item = Located<'_, Command>> {
        self.scripts().flat_map(|(source, script)| {
            let commands = script.commands.iter();
            commands.map(move |command| Located::of(source, command))
        })
    }

    /// The name that the last command which `select` takes gives.
    fn last<'s>(&'s self, select: impl Fn(&'s Command) -> Option<&'s Name>) -> Option<&'s Name> {
        self.commands().filter_map(|item| select(item.value)).last()
    }

    /// Whether a command stands in a script.
    fn has(&self, wanted: impl Fn(&Command) -> bool) -> bool {
        self.commands().any(|command| wanted(command.value))
    }

    /// The format that OUTPUT_FORMAT names, for the byte order that the command line asks for.
    pub(crate) fn output_format(&self, order: Option<ByteOrder>) -> Option<&str> {
        let name = self.last(|command| match command {
            Command::OutputFormat { default, by_order } => Some(match (order, by_order) {
                (Some(ByteOrder::Big), Some((big, _))) => big,
                (Some(ByteOrder::Little), Some((_, little))) => little,
                _ => default,
            }),
            _ => None,
        });
        name.map(|name| name.value.as_str())
    }

    /// The file that OUTPUT names; `-o` comes first (ld/ldlang.c, `lang_add_output`).
    pub(crate) fn output(&self) -> Option<&Name> {
        self.output.as_ref()
    }

    /// The name that the last OUTPUT_ARCH gives.
    pub(crate) fn output_arch(&self) -> Option<&str> {
        let name = self.last(|command| match command {
            Command::OutputArch(name) => Some(name),
            _ => None,
        });
        name.map(|name| name.value.as_str())
    }

    /// The symbol that ENTRY names, on its own or in SECTIONS; `-e` comes first (ld/ldlang.c,
    /// `lang_add_entry`).
    pub(crate) fn entry(&self) -> Option<&Name> {
        fn entry(command: &Command) -> Option<&Name> {
            match command {
                Command::Entry(name) => Some(name),
                Command::Sections(items) => {
                    let mut entries = items.iter().rev().filter_map(|item| match &item.value {
                        SectionItem::Entry(name) => Some(name),
                        _ => None,
                    });
                    entries.next()
                }
                _ => None,
            }
        }
        let entries = || {
            let commands = self.commands();
            commands.filter_map(|command| Some((command.source, entry(command.value)?)))
        };
        // Inputs that turn out to be scripts are read behind the built-in one.
        let is_given = |(source, _): &(usize, _)| self.sources[*source].name != super::BUILT_IN;
        let last = entries().filter(is_given).last();
        last.or_else(|| entries().last()).map(|(_, name)| name)
    }

    /// The symbols that EXTERN names.
    pub(crate) fn externs(&self) -> impl Iterator<Item = &str> {
        self.commands()
            .filter_map(|command| match command.value {
                Command::Extern(names) => Some(names),
                _ => None,
            })
            .flatten()
            .map(|name| name.value.as_str())
    }

    /// The regions of MEMORY.
    pub(crate) fn memory(&self) -> impl Iterator<Item = Located<'_, MemoryRegion>> {
        self.commands()
            .filter_map(|command| match command.value {
                Command::Memory(items) => {
                    Some(items.iter().map(move |item| (command.source, item)))
                }
                _ => None,
            })
            .flatten()
            .filter_map(|(source, item)| match &item.value {
                MemoryItem::Region(region) => Some(Located {
                    source,
                    span: item.span,
                    value: region,
                }),
                MemoryItem::Include(_) => None,
            })
    }

    /// REGION_ALIAS: source, alias, and the region that it stands for.
    pub(crate) fn region_aliases(&self) -> impl Iterator<Item = (usize, &Name, &Name)> {
        self.commands().filter_map(|command| match command.value {
            Command::RegionAlias { alias, region } => Some((command.source, alias, region)),
            _ => None,
        })
    }

    /// The program headers of PHDRS; `None` without PHDRS: the linker makes them.
    pub(crate) fn phdrs(&self) -> Option<Vec<Located<'_, Phdr>>> {
        let mut found = None;
        for command in self.commands() {
            if let Command::Phdrs(phdrs) = command.value {
                let located = phdrs.iter().map(|phdr| Located::of(command.source, phdr));
                found.get_or_insert_with(Vec::new).extend(located);
            }
        }
        found
    }

    /// VERSION of scripts, and `--version-script`.
    pub(crate) fn version_scripts(&self) -> impl Iterator<Item = (usize, &VersionScript)> {
        let files = self.version_scripts.iter();
        let commands = self.commands().filter_map(|command| match command.value {
            Command::Version(script) => Some((command.source, script)),
            _ => None,
        });
        files
            .map(|(source, script)| (*source, script))
            .chain(commands)
    }

    /// `--dynamic-list`.
    pub(crate) fn dynamic_lists(&self) -> impl Iterator<Item = (usize, &VersionScript)> {
        let lists = self.dynamic_lists.iter();
        lists.map(|(source, script)| (*source, script))
    }

    /// NOCROSSREFS: output sections that may not refer to each other.
    pub(crate) fn no_cross_refs(&self) -> impl Iterator<Item = Located<'_, Vec<Name>>> {
        self.commands().filter_map(|command| match command.value {
            Command::NoCrossRefs(names) => Some(Located {
                source: command.source,
                span: command.span,
                value: names,
            }),
            _ => None,
        })
    }

    /// NOCROSSREFS_TO: output sections of which the first may not be referred to by the others.
    pub(crate) fn no_cross_refs_to(&self) -> impl Iterator<Item = Located<'_, Vec<Name>>> {
        self.commands().filter_map(|command| match command.value {
            Command::NoCrossRefsTo(names) => Some(Located {
                source: command.source,
                span: command.span,
                value: names,
            }),
            _ => None,
        })
    }

    /// Whether FORCE_GROUP_ALLOCATION stands in a script.
    pub(crate) fn dissolves_groups(&self) -> bool {
        self.has(|command| matches!(command, Command::ForceGroupAllocation))
    }

    /// Whether FORCE_COMMON_ALLOCATION stands in a script.
    pub(crate) fn forces_common(&self) -> bool {
        self.has(|command| matches!(command, Command::ForceCommonAllocation))
    }

    /// Whether INHIBIT_COMMON_ALLOCATION stands in a script.
    pub(crate) fn inhibits_common(&self) -> bool {
        self.has(|command| matches!(command, Command::InhibitCommonAllocation))
    }

    /// Whether LD_FEATURE("SANE_EXPR") stands in a script: numbers are absolute in output sections
    /// too (ld/ldlang.c, `lang_ld_feature`).
    pub(crate) fn sane_expressions(&self) -> bool {
        self.has(|command| matches!(command, Command::LdFeature(name) if name.value == "SANE_EXPR"))
    }
}
