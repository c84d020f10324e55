//! From syntax trees to rules. What this linker does not execute yet is an error here, with its
//! place in the script, and not when the script is parsed.

use klink_script::{
    AssignKind, Assignment, Command, Construct, Diagnostic, Expr, FileSort, InputSpec,
    OutputSection, SectionItem, SectionSort, Span, Spanned, Statement, eval,
};

use super::{Action, Item, Program, ScriptStatement, Sources, needs, script_error};
use crate::error::Result;
use crate::id::GlobalId;
use crate::input::Storage;
use crate::resolve::{Definition, Resolved};
use crate::rules::{Constraint, InputRule, OutputRule, OutputSpec, Part, Rules, SectionRule, Sort};

/// Compiles scripts: for relocatable output, or for an image with addresses.
///
/// # Errors
/// Constructs that are not executed yet.
pub(crate) fn compile<'a>(
    sources: &Sources,
    storage: &'a Storage,
    resolved: &mut Resolved<'a>,
    relocatable: bool,
) -> Result<Program<'a>> {
    if !relocatable {
        needs::mention_symbols(sources, storage, resolved);
    }
    let mut compiler = Compiler::new(sources, storage, resolved, relocatable);
    let mut items = Vec::new();
    for (source, place, command) in sources.commands_as_read() {
        compiler.source = source;
        compiler.command(command)?;
        let added = compiler.program.items.drain(..);
        items.extend(added.map(|item| (place, item)));
    }
    items.sort_by_key(|&(place, _)| place);
    compiler.program.items = items.into_iter().map(|(_, item)| item).collect();
    Ok(compiler.program)
}

/// What the scripts use and a link would refuse or pass over, once for each name, in the order of
/// first use. The loader has split SECTIONS, so that of each output section the first is named.
///
/// # Errors
/// What is wrong with the scripts besides.
pub(crate) fn unexecuted<'a>(
    sources: &Sources,
    storage: &'a Storage,
    resolved: &mut Resolved<'a>,
    relocatable: bool,
) -> Result<Vec<Construct>> {
    let mut compiler = Compiler::new(sources, storage, resolved, relocatable);
    for (number, script) in sources.scripts() {
        compiler.source = number;
        for command in &script.commands {
            if let Some(name) = passed_over(&command.value, relocatable) {
                compiler.refused.push(Construct {
                    name,
                    span: command.span,
                });
            }
            let refused = compiler.refused.len();
            match compiler.command(command) {
                Err(error) if compiler.refused.len() == refused => return Err(error),
                _ => {}
            }
        }
    }
    let mut once: Vec<Construct> = Vec::new();
    for construct in compiler.refused {
        if once.iter().all(|known| known.name != construct.name) {
            once.push(construct);
        }
    }
    Ok(once)
}

/// The name of a command that asks for something and that a link takes without doing it.
fn passed_over(command: &Command, relocatable: bool) -> Option<&'static str> {
    match command {
        Command::NoCrossRefs(_) => Some("NOCROSSREFS"),
        Command::NoCrossRefsTo(_) => Some("NOCROSSREFS_TO"),
        // Relocatable output keeps common symbols without it.
        Command::InhibitCommonAllocation if !relocatable => Some("INHIBIT_COMMON_ALLOCATION"),
        _ => None,
    }
}

/// What expressions about sections of relocatable output see: each begins at address 0.
struct AtZero;

impl eval::Scope for AtZero {
    fn dot(&self) -> Option<u64> {
        Some(0)
    }
}

struct Compiler<'a, 's> {
    sources: &'s Sources,
    storage: &'a Storage,
    resolved: &'s mut Resolved<'a>,
    relocatable: bool,
    /// The script that is compiled now.
    source: usize,
    program: Program<'a>,
    /// What was refused because it is not executed yet; one is enough to end a link.
    refused: Vec<Construct>,
}

impl<'a, 's> Compiler<'a, 's> {
    fn new(
        sources: &'s Sources,
        storage: &'a Storage,
        resolved: &'s mut Resolved<'a>,
        relocatable: bool,
    ) -> Self {
        Compiler {
            sources,
            storage,
            resolved,
            relocatable,
            source: 0,
            program: Program {
                rules: Rules::default(),
                statements: Vec::new(),
                items: Vec::new(),
                outside: Vec::new(),
            },
            refused: Vec::new(),
        }
    }

    fn error<T>(&self, diagnostic: Diagnostic) -> Result<T> {
        Err(script_error(self.sources, self.source, diagnostic))
    }

    fn not_yet<T>(&mut self, what: &'static str, span: Span) -> Result<T> {
        self.refused.push(Construct { name: what, span });
        let diagnostic = Diagnostic::new(format!("{what} is not executed yet"), span);
        self.error(if self.relocatable {
            diagnostic
                .label("in a script for relocatable output (-r)")
                .help("take it out of the script that is used with -r")
        } else {
            diagnostic
        })
    }

    fn command(&mut self, command: &Spanned<Command>) -> Result<()> {
        let what = match &command.value {
            Command::Sections(items) => return items.iter().try_for_each(|item| self.item(item)),
            Command::Assign(assignment) => {
                return self.top_level_assignment(assignment, command.span);
            }
            // Handled before inputs are read, or without meaning for relocatable output.
            Command::OutputFormat { .. }
            | Command::OutputArch(_)
            | Command::Entry(_)
            | Command::Extern(_)
            | Command::Include(_)
            | Command::ForceGroupAllocation
            | Command::InhibitCommonAllocation
            | Command::Target(_)
            | Command::NoCrossRefs(_)
            | Command::NoCrossRefsTo(_)
            | Command::LdFeature(_)
            | Command::Float
            | Command::NoFloat => return Ok(()),
            // Read from the sources where they count.
            Command::Memory(_)
            | Command::Phdrs(_)
            | Command::Version(_)
            | Command::RegionAlias { .. }
            | Command::ForceCommonAllocation
                if !self.relocatable =>
            {
                return Ok(());
            }
            Command::Assert(assertion) if !self.relocatable => {
                self.add_item(command.span, Action::Assert(assertion.clone()));
                return Ok(());
            }
            Command::Memory(_) => "MEMORY",
            Command::Phdrs(_) => "PHDRS",
            Command::Assert(_) => "ASSERT",
            Command::Version(_) => "VERSION",
            Command::Input(_) => "INPUT",
            Command::Group(_) => "GROUP",
            Command::Startup(_) => "STARTUP",
            Command::SearchDir(_) => "SEARCH_DIR",
            Command::Output(_) => "OUTPUT",
            Command::RegionAlias { .. } => "REGION_ALIAS",
            Command::ForceCommonAllocation => "FORCE_COMMON_ALLOCATION",
            Command::Insert { .. } => "INSERT",
            Command::Map(_) => "MAP",
            Command::Hll(_) => "HLL",
            Command::Syslib(_) => "SYSLIB",
        };
        self.not_yet(what, command.span)
    }

    fn item(&mut self, item: &Spanned<SectionItem>) -> Result<()> {
        let what = match &item.value {
            SectionItem::Output(output) => return self.output(output),
            SectionItem::Assign(assignment) => {
                return self.top_level_assignment(assignment, item.span);
            }
            SectionItem::Entry(_) => return Ok(()),
            SectionItem::Assert(assertion) if !self.relocatable => {
                self.add_item(item.span, Action::Assert(assertion.clone()));
                return Ok(());
            }
            SectionItem::Overlay(_) => "OVERLAY",
            SectionItem::Group(_) => "GROUP in SECTIONS",
            SectionItem::Assert(_) => "ASSERT",
            SectionItem::Include(_) => "INCLUDE in SECTIONS",
        };
        self.not_yet(what, item.span)
    }

    /// Outside of sections, the location counter of relocatable output is always 0: every section
    /// begins there. An assignment to it is without effect, and those to symbols wait for the layout.
    fn top_level_assignment(&mut self, assignment: &Assignment, span: Span) -> Result<()> {
        if self.relocatable && assignment.target.value == "." {
            return Ok(());
        }
        let action = Action::Assign {
            assignment: assignment.clone(),
            global: self.assigned(assignment),
        };
        match self.relocatable {
            true => {
                let number = self.add_statement(span, action);
                self.program.outside.push(number);
            }
            false => self.add_item(span, action),
        }
        Ok(())
    }

    fn add_statement(&mut self, span: Span, action: Action) -> u32 {
        let number = self.program.statements.len() as u32;
        self.program.statements.push(ScriptStatement {
            source: self.source,
            span,
            action,
        });
        number
    }

    fn add_item(&mut self, span: Span, action: Action) {
        let number = self.add_statement(span, action);
        self.program.items.push(Item::Statement(number));
    }

    /// Refuses what has no meaning yet for relocatable output.
    fn check_relocatable(&mut self, output: &OutputSection) -> Result<()> {
        let unsupported = [
            (output.load_address.as_ref().map(|expr| expr.span), "AT"),
            (output.subalign.as_ref().map(|expr| expr.span), "SUBALIGN"),
            (
                output.section_type.as_ref().map(|kind| kind.span),
                "a section type",
            ),
        ];
        if let Some((span, what)) = unsupported
            .into_iter()
            .find_map(|(span, what)| Some((span?, what)))
        {
            return self.not_yet(what, span);
        }
        let is_zero = |address: &Expr| {
            let value = eval::evaluate_address(address, &AtZero);
            value.is_ok_and(|address| address == 0)
        };
        if let Some(address) = &output.address
            && !is_zero(address)
        {
            return self.not_yet("an address other than 0", address.span);
        }
        Ok(())
    }

    /// Refuses attributes that contradict each other (ld/ldlang.c,
    /// `lang_enter_output_section_statement` and `lang_get_regions`).
    fn check_attributes(&self, output: &OutputSection) -> Result<()> {
        if let Some(align) = output.align.as_ref().filter(|_| output.align_with_input) {
            let what = "align with input and explicit align specified";
            return self.error(Diagnostic::new(what, align.span));
        }
        if output.load_address.is_some()
            && let Some(region) = &output.placement.load_region
        {
            let what = "section has both a load address and a load region";
            return self.error(Diagnostic::new(what, region.span));
        }
        Ok(())
    }

    fn output(&mut self, output: &OutputSection) -> Result<()> {
        if self.relocatable {
            self.check_relocatable(output)?;
        }
        let constraint = match output
            .constraint
            .as_ref()
            .map(|constraint| (constraint.value, constraint.span))
        {
            None => None,
            Some((klink_script::Constraint::OnlyIfReadOnly, _)) => Some(Constraint::OnlyIfReadOnly),
            Some((klink_script::Constraint::OnlyIfReadWrite, _)) => {
                Some(Constraint::OnlyIfWritable)
            }
            Some((klink_script::Constraint::Special, span)) => {
                return self.not_yet("SPECIAL", span);
            }
        };
        self.check_attributes(output)?;
        // In an image the layout evaluates it.
        let align = output
            .align
            .as_ref()
            .filter(|_| self.relocatable)
            .map(|align| self.alignment(align))
            .transpose()?;
        let mut parts = Vec::new();
        let source = self.source;
        for (number, statement) in self.sources.statements(source, &output.statements) {
            self.source = number;
            self.statement(statement, output.is_discard(), &mut parts)?;
        }
        self.source = source;
        let spec = OutputSpec {
            source: self.source,
            address: output.address.clone(),
            section_type: output.section_type.as_ref().map(|kind| kind.value.clone()),
            load_address: output.load_address.clone(),
            align: output.align.clone(),
            align_with_input: output.align_with_input,
            subalign: output.subalign.clone(),
            placement: output.placement.clone(),
            overlay: output.overlay.clone(),
        };
        let number = self.program.rules.outputs.len() as u32;
        self.program.items.push(Item::Section(number));
        self.program.rules.outputs.push(OutputRule {
            spec,
            name: self
                .storage
                .names
                .alloc(output.name.value.clone().into_bytes()),
            discard: output.is_discard(),
            align,
            constraint,
            parts,
        });
        Ok(())
    }

    /// The symbol that an assignment defines, if it defines one.
    fn assigned(&mut self, assignment: &Assignment) -> Option<GlobalId> {
        let name = assignment.target.value.as_bytes();
        if name == b"." {
            return None;
        }
        let hidden = matches!(
            assignment.kind,
            AssignKind::Hidden | AssignKind::ProvideHidden
        );
        if needs::is_provide(assignment) {
            let mentioned = self.resolved.global(name)?;
            if !matches!(
                self.resolved.globals[mentioned].definition,
                Definition::Undefined { .. }
            ) {
                // It becomes hidden for all that (bfd/elflink.c, `bfd_elf_record_link_assignment`).
                if hidden {
                    self.resolved.hidden_by_script.push(mentioned);
                }
                return None;
            }
        }
        Some(
            self.resolved
                .define_by_script(self.storage.names.alloc(name.to_vec()), hidden),
        )
    }

    fn alignment(&mut self, expr: &klink_script::Expr) -> Result<u64> {
        match eval::evaluate_address(expr, &eval::Constants) {
            Ok(value) if value.is_power_of_two() => Ok(value),
            Ok(_) => self.error(Diagnostic::new(
                "an alignment must be a power of two",
                expr.span,
            )),
            Err(_) => self.not_yet("an alignment that is no number", expr.span),
        }
    }

    fn statement(
        &mut self,
        statement: &Spanned<Statement>,
        discard: bool,
        parts: &mut Vec<Part>,
    ) -> Result<()> {
        let action = match &statement.value {
            Statement::Input(input) => {
                parts.push(Part::Inputs(self.input(input)?));
                return Ok(());
            }
            // A final link makes tables of constructors here; relocatable output keeps the sections.
            Statement::Constructors { .. } | Statement::CreateObjectSymbols => return Ok(()),
            Statement::Assign(assignment) => Action::Assign {
                assignment: assignment.clone(),
                global: self.assigned(assignment),
            },
            Statement::Data { size, value } => Action::Data {
                size: *size,
                value: value.clone(),
            },
            Statement::Assert(assertion) if !self.relocatable => Action::Assert(assertion.clone()),
            Statement::Fill(fill) if !self.relocatable => Action::Fill(fill.clone()),
            Statement::Assert(_) => return self.not_yet("ASSERT", statement.span),
            Statement::Fill(_) => return self.not_yet("FILL", statement.span),
            Statement::Include(_) => {
                return self.not_yet("INCLUDE in an output section", statement.span);
            }
        };
        if discard {
            return self.error(Diagnostic::new(
                "/DISCARD/ can only take input sections",
                statement.span,
            ));
        }
        let emits_data = matches!(action, Action::Data { .. });
        let number = self.add_statement(statement.span, action);
        parts.push(Part::Statement { number, emits_data });
        Ok(())
    }

    fn input(&self, input: &InputSpec) -> Result<InputRule> {
        let mut rule = InputRule {
            keep: input.keep,
            file: input.file.pattern.value.clone(),
            exclude: input
                .file
                .exclude
                .iter()
                .map(|file| file.value.clone())
                .collect(),
            sort_files: input.file.sort == Some(FileSort::Name),
            with_flags: 0,
            without_flags: 0,
            sections: Vec::new(),
        };
        for flag in &input.flags {
            let Some(bits) = section_flag(&flag.name.value) else {
                return self.error(
                    Diagnostic::new(
                        format!("unknown section flag `{}`", flag.name.value),
                        flag.name.span,
                    )
                    .help("flags are called as in the ELF gABI, such as SHF_ALLOC"),
                );
            };
            *(if flag.without {
                &mut rule.without_flags
            } else {
                &mut rule.with_flags
            }) |= bits;
        }
        rule.sections = match &input.sections {
            // A file without sections takes all that is left of it.
            None => vec![SectionRule {
                name: klink_script::Pattern::new("*"),
                exclude: Vec::new(),
                sort: &[],
                keeps_order: false,
            }],
            Some(sections) => sections
                .iter()
                .map(|section| SectionRule {
                    name: section.pattern.value.clone(),
                    exclude: section
                        .exclude
                        .iter()
                        .map(|file| file.value.clone())
                        .collect(),
                    sort: sort_keys(section.sort),
                    keeps_order: section.sort == SectionSort::None,
                })
                .collect(),
        };
        Ok(rule)
    }
}

fn sort_keys(sort: SectionSort) -> &'static [Sort] {
    match sort {
        SectionSort::Unspecified | SectionSort::None => &[],
        SectionSort::Name => &[Sort::Name],
        SectionSort::Alignment => &[Sort::Alignment],
        SectionSort::NameThenAlignment => &[Sort::Name, Sort::Alignment],
        SectionSort::AlignmentThenName => &[Sort::Alignment, Sort::Name],
        SectionSort::InitPriority => &[Sort::InitPriority],
    }
}

/// `sh_flags` by their names (ELF gABI chapter 4).
fn section_flag(name: &str) -> Option<u64> {
    use object::elf;
    Some(match name {
        "SHF_WRITE" => elf::SHF_WRITE.0,
        "SHF_ALLOC" => elf::SHF_ALLOC.0,
        "SHF_EXECINSTR" => elf::SHF_EXECINSTR.0,
        "SHF_MERGE" => elf::SHF_MERGE.0,
        "SHF_STRINGS" => elf::SHF_STRINGS.0,
        "SHF_INFO_LINK" => elf::SHF_INFO_LINK.0,
        "SHF_LINK_ORDER" => elf::SHF_LINK_ORDER.0,
        "SHF_OS_NONCONFORMING" => elf::SHF_OS_NONCONFORMING.0,
        "SHF_GROUP" => elf::SHF_GROUP.0,
        "SHF_TLS" => elf::SHF_TLS.0,
        _ => return None,
    })
}
