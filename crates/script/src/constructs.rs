//! Which constructs a script uses, for those who do not execute all of them.

use crate::ast::*;
use crate::expr::{Expr, ExprKind};
use crate::source::{Span, Spanned};

/// A construct of the language and the first place that uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Construct {
    /// Its name: the keyword, or a few words where there is none.
    pub name: &'static str,
    /// Where it is first used.
    pub span: Span,
}

impl Script {
    /// Every construct that the script uses, once each, in the order of first
    /// use. Functions of expressions are constructs too.
    ///
    /// ```
    /// use klink_script::{Source, parse};
    /// let source = Source::new("-", "SECTIONS { .text : { KEEP(*(.text)) } }");
    /// let names: Vec<_> = parse(&source).unwrap().constructs().iter().map(|c| c.name).collect();
    /// assert_eq!(names, ["SECTIONS", "output section", "input section", "KEEP"]);
    /// ```
    pub fn constructs(&self) -> Vec<Construct> {
        let mut walk = Walk { found: Vec::new() };
        for command in &self.commands {
            walk.command(command);
        }
        walk.found
    }
}

struct Walk {
    found: Vec<Construct>,
}

impl Walk {
    fn add(&mut self, name: &'static str, span: Span) {
        if !self.found.iter().any(|construct| construct.name == name) {
            self.found.push(Construct { name, span });
        }
    }

    fn command(&mut self, command: &Spanned<Command>) {
        let span = command.span;
        let name = match &command.value {
            Command::Sections(items) => {
                self.add("SECTIONS", span);
                return self.items(items);
            }
            Command::Assign(assignment) => return self.assignment(assignment, span),
            Command::Assert(assertion) => return self.assertion(assertion, span),
            Command::Memory(items) => return self.memory(items, span),
            Command::Phdrs(phdrs) => return self.phdrs(phdrs, span),
            Command::Input(items) => return self.inputs("INPUT", items, span),
            Command::Group(items) => return self.inputs("GROUP", items, span),
            Command::Entry(_) => "ENTRY",
            Command::Extern(_) => "EXTERN",
            Command::Version(_) => "VERSION",
            Command::Include(_) => "INCLUDE",
            Command::Startup(_) => "STARTUP",
            Command::SearchDir(_) => "SEARCH_DIR",
            Command::Output(_) => "OUTPUT",
            Command::OutputFormat { .. } => "OUTPUT_FORMAT",
            Command::OutputArch(_) => "OUTPUT_ARCH",
            Command::Target(_) => "TARGET",
            Command::RegionAlias { .. } => "REGION_ALIAS",
            Command::NoCrossRefs(_) => "NOCROSSREFS",
            Command::NoCrossRefsTo(_) => "NOCROSSREFS_TO",
            Command::ForceCommonAllocation => "FORCE_COMMON_ALLOCATION",
            Command::InhibitCommonAllocation => "INHIBIT_COMMON_ALLOCATION",
            Command::ForceGroupAllocation => "FORCE_GROUP_ALLOCATION",
            Command::Insert { .. } => "INSERT",
            Command::LdFeature(_) => "LD_FEATURE",
            Command::Map(_) => "MAP",
            Command::Hll(_) => "HLL",
            Command::Syslib(_) => "SYSLIB",
            Command::Float => "FLOAT",
            Command::NoFloat => "NOFLOAT",
        };
        self.add(name, span);
    }

    fn inputs(&mut self, name: &'static str, items: &[InputItem], span: Span) {
        self.add(name, span);
        for item in items {
            if let InputItem::AsNeeded(items) = item {
                self.inputs("AS_NEEDED", items, span);
            }
        }
    }

    fn memory(&mut self, items: &[Spanned<MemoryItem>], span: Span) {
        self.add("MEMORY", span);
        for item in items {
            match &item.value {
                MemoryItem::Include(name) => self.add("INCLUDE", name.span),
                MemoryItem::Region(region) => {
                    self.expr(&region.origin);
                    self.expr(&region.length);
                }
            }
        }
    }

    fn phdrs(&mut self, phdrs: &[Spanned<Phdr>], span: Span) {
        self.add("PHDRS", span);
        for phdr in phdrs {
            let phdr = &phdr.value;
            if let SegmentType::Value(value) = &phdr.segment_type {
                self.expr(value);
            }
            let exprs = [&phdr.load_address, &phdr.flags];
            exprs.into_iter().flatten().for_each(|expr| self.expr(expr));
        }
    }

    fn items(&mut self, items: &[Spanned<SectionItem>]) {
        for item in items {
            let span = item.span;
            match &item.value {
                SectionItem::Output(section) => self.output_section(section, span),
                SectionItem::Overlay(overlay) => self.overlay(overlay, span),
                SectionItem::Group(group) => {
                    self.add("GROUP of sections", span);
                    self.optional(&group.address);
                    self.section_type(group.section_type.as_ref());
                    self.items(&group.items);
                }
                SectionItem::Assign(assignment) => self.assignment(assignment, span),
                SectionItem::Assert(assertion) => self.assertion(assertion, span),
                SectionItem::Entry(_) => self.add("ENTRY", span),
                SectionItem::Include(_) => self.add("INCLUDE", span),
            }
        }
    }

    fn output_section(&mut self, section: &OutputSection, span: Span) {
        let discard = section.is_discard();
        let name = if discard {
            "/DISCARD/"
        } else {
            "output section"
        };
        self.add(name, span);
        if let Some(address) = &section.address {
            self.add("section address", address.span);
            self.expr(address);
        }
        self.section_type(section.section_type.as_ref());
        for (name, expr) in [
            ("AT", &section.load_address),
            ("section ALIGN", &section.align),
            ("SUBALIGN", &section.subalign),
        ] {
            if let Some(expr) = expr {
                self.add(name, expr.span);
                self.expr(expr);
            }
        }
        if section.align_with_input {
            self.add("ALIGN_WITH_INPUT", section.name.span);
        }
        if let Some(constraint) = &section.constraint {
            let name = match constraint.value {
                Constraint::OnlyIfReadOnly => "ONLY_IF_RO",
                Constraint::OnlyIfReadWrite => "ONLY_IF_RW",
                Constraint::Special => "SPECIAL",
            };
            self.add(name, constraint.span);
        }
        self.statements(&section.statements);
        self.placement(&section.placement);
    }

    fn overlay(&mut self, overlay: &Overlay, span: Span) {
        self.add("OVERLAY", span);
        self.optional(&overlay.address);
        self.optional(&overlay.load_address);
        self.optional(&overlay.subalign);
        for section in &overlay.sections {
            self.statements(&section.value.statements);
            self.optional(&section.value.fill);
        }
        self.placement(&overlay.placement);
    }

    fn section_type(&mut self, section_type: Option<&Spanned<SectionType>>) {
        let Some(Spanned { value, span }) = section_type else {
            return;
        };
        let name = match value {
            SectionType::NoLoad => "NOLOAD",
            SectionType::Dsect => "DSECT",
            SectionType::Copy => "COPY",
            SectionType::Info => "INFO",
            SectionType::Overlay => "(OVERLAY)",
            SectionType::ReadOnly => "READONLY",
            SectionType::Typed { .. } => "TYPE",
        };
        self.add(name, *span);
    }

    fn placement(&mut self, placement: &Placement) {
        if let Some(region) = &placement.region {
            self.add(">region", region.span);
        }
        if let Some(region) = &placement.load_region {
            self.add("AT>region", region.span);
        }
        if let Some(phdr) = placement.phdrs.first() {
            self.add(":phdr", phdr.span);
        }
        if let Some(fill) = &placement.fill {
            self.add("=fill", fill.span);
            self.expr(fill);
        }
    }

    fn statements(&mut self, statements: &[Spanned<Statement>]) {
        for statement in statements {
            let span = statement.span;
            match &statement.value {
                Statement::Input(input) => self.input(input, span),
                Statement::Assign(assignment) => self.assignment(assignment, span),
                Statement::Assert(assertion) => self.assertion(assertion, span),
                Statement::Data { size, value } => {
                    let name = match size {
                        DataSize::Byte => "BYTE",
                        DataSize::Short => "SHORT",
                        DataSize::Long => "LONG",
                        DataSize::Quad => "QUAD",
                        DataSize::Squad => "SQUAD",
                    };
                    self.add(name, span);
                    self.expr(value);
                }
                Statement::Fill(value) => {
                    self.add("FILL", span);
                    self.expr(value);
                }
                Statement::Constructors { .. } => self.add("CONSTRUCTORS", span),
                Statement::CreateObjectSymbols => self.add("CREATE_OBJECT_SYMBOLS", span),
                Statement::Include(_) => self.add("INCLUDE", span),
            }
        }
    }

    fn input(&mut self, input: &InputSpec, span: Span) {
        self.add("input section", span);
        if input.keep {
            self.add("KEEP", span);
        }
        if let Some(flag) = input.flags.first() {
            self.add("INPUT_SECTION_FLAGS", flag.name.span);
        }
        if !input.file.pattern.value.is_any() {
            self.add("file pattern", input.file.pattern.span);
        }
        if let Some(file) = input.file.exclude.first() {
            self.add("EXCLUDE_FILE", file.span);
        }
        if input.file.sort.is_some() {
            self.add("SORT of files", input.file.pattern.span);
        }
        for section in input.sections.iter().flatten() {
            let span = section.pattern.span;
            if let Some(file) = section.exclude.first() {
                self.add("EXCLUDE_FILE", file.span);
            }
            if section.pattern.value.as_str() == "COMMON" {
                self.add("COMMON", span);
            }
            match section.sort {
                SectionSort::Unspecified => {}
                SectionSort::None => self.add("SORT_NONE", span),
                SectionSort::Name => self.add("SORT_BY_NAME", span),
                SectionSort::InitPriority => self.add("SORT_BY_INIT_PRIORITY", span),
                SectionSort::Alignment
                | SectionSort::NameThenAlignment
                | SectionSort::AlignmentThenName => self.add("SORT_BY_ALIGNMENT", span),
            }
        }
    }

    fn assignment(&mut self, assignment: &Assignment, span: Span) {
        let name = match assignment.kind {
            AssignKind::Plain if assignment.target.value == "." => "assignment to .",
            AssignKind::Plain => "assignment",
            AssignKind::Hidden => "HIDDEN",
            AssignKind::Provide => "PROVIDE",
            AssignKind::ProvideHidden => "PROVIDE_HIDDEN",
        };
        self.add(name, span);
        self.expr(&assignment.value);
    }

    fn assertion(&mut self, assertion: &Assertion, span: Span) {
        self.add("ASSERT", span);
        self.expr(&assertion.condition);
    }

    fn optional(&mut self, expr: &Option<Expr>) {
        if let Some(expr) = expr {
            self.expr(expr);
        }
    }

    fn expr(&mut self, expr: &Expr) {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Int(_) | ExprKind::Dot | ExprKind::Symbol(_) => {}
            ExprKind::Unary(_, operand) => self.expr(operand),
            ExprKind::Binary(_, left, right) => {
                self.expr(left);
                self.expr(right);
            }
            ExprKind::Conditional(parts) => {
                self.expr(&parts.condition);
                self.expr(&parts.then);
                self.expr(&parts.otherwise);
            }
            ExprKind::Call(function, argument) => {
                self.add(function.text(), span);
                self.expr(argument);
            }
            ExprKind::Call2(function, first, second) => {
                self.add(function.text(), span);
                self.expr(first);
                self.expr(second);
            }
            ExprKind::NameCall(function, _) => self.add(function.text(), span),
            ExprKind::SegmentStart(_, default) => {
                self.add("SEGMENT_START", span);
                self.expr(default);
            }
            ExprKind::SizeofHeaders => self.add("SIZEOF_HEADERS", span),
            ExprKind::Assert(condition, _) => {
                self.add("ASSERT", span);
                self.expr(condition);
            }
        }
    }
}
