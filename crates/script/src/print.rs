//! Scripts as text again: canonical layout, parentheses only where they are needed, so that no
//! expression is nested deeper than the one that was read.
//! What is printed parses to the same tree, places aside.

use std::fmt::{self, Display, Formatter, Write};

use crate::ast::*;
use crate::expr::{CONDITIONAL, Expr, ExprKind, UNARY, UnaryOp};
use crate::lexer::{Mode, TokenKind, token};
use crate::source::{Name, Spanned};
use crate::version::{Language, VersionPattern, VersionScript};

impl Display for Script {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        for command in &self.commands {
            print_command(out, &command.value)?;
            writeln!(out)?;
        }
        Ok(())
    }
}

impl Display for Expr {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Int(number) => match &number.bytes {
                Some(bytes) => {
                    write!(out, "0x")?;
                    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
                }
                None => write!(out, "{}", number.value),
            },
            ExprKind::Dot => out.write_char('.'),
            ExprKind::Symbol(name) => out.write_str(&quote(name, Mode::Expression)),
            ExprKind::Unary(op, operand) => {
                let op = match op {
                    UnaryOp::Neg => '-',
                    UnaryOp::Not => '!',
                    UnaryOp::BitNot => '~',
                };
                write!(out, "{op}{}", Operand(operand, UNARY))
            }
            ExprKind::Binary(op, left, right) => {
                let left = Operand(left, op.power());
                let right = Operand(right, op.power() + 1);
                write!(out, "{left} {} {right}", op.text())
            }
            ExprKind::Conditional(parts) => {
                let condition = Operand(&parts.condition, CONDITIONAL + 1);
                write!(out, "{condition} ? {} : {}", parts.then, parts.otherwise)
            }
            ExprKind::Call(function, argument) => write!(out, "{}({argument})", function.text()),
            ExprKind::Call2(function, first, second) => {
                write!(out, "{}({first}, {second})", function.text())
            }
            ExprKind::NameCall(function, name) => {
                let mode = match function.reads_script_name() {
                    true => Mode::Script,
                    false => Mode::Expression,
                };
                write!(out, "{}({})", function.text(), quote(&name.value, mode))
            }
            ExprKind::SegmentStart(segment, default) => {
                // Without quotes the comma would be part of the name.
                write!(out, "SEGMENT_START(\"{}\", {default})", segment.value)
            }
            ExprKind::SizeofHeaders => out.write_str("SIZEOF_HEADERS"),
            ExprKind::Assert(condition, message) => {
                write!(out, "ASSERT({condition}, \"{}\")", message.value)
            }
        }
    }
}

/// An operand, in parentheses unless it binds at least so tightly.
struct Operand<'a>(&'a Expr, u8);

impl Display for Operand<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Self(expr, minimum) = *self;
        let power = match &expr.kind {
            ExprKind::Binary(op, ..) => op.power(),
            ExprKind::Conditional(_) => CONDITIONAL,
            _ => UNARY,
        };
        match power >= minimum {
            true => write!(out, "{expr}"),
            false => write!(out, "({expr})"),
        }
    }
}

/// A name as a token of `mode`: in quotes where it would be read as anything
/// but this name, or where an operator in it would mislead a reader.
fn quote(text: &str, mode: Mode) -> String {
    let plain = matches!(
        token(text, 0, mode),
        Ok(token) if token.span.start == 0
            && token.span.end as usize == text.len()
            && matches!(token.kind, TokenKind::Name { quoted: false, .. })
    );
    match plain && !text.contains(['=', ',']) && text != "=" {
        true => text.to_owned(),
        false => format!("\"{text}\""),
    }
}

fn script_name(name: &Name) -> String {
    quote(&name.value, Mode::Script)
}

fn names(names: &[Name], mode: Mode) -> String {
    let names: Vec<String> = names.iter().map(|name| quote(&name.value, mode)).collect();
    names.join(" ")
}

fn print_command(out: &mut Formatter<'_>, command: &Command) -> fmt::Result {
    let call = |out: &mut Formatter<'_>, word: &str, name: &Name| {
        write!(out, "{word}({})", script_name(name))
    };
    let list = |out: &mut Formatter<'_>, word: &str, list: &[Name]| {
        write!(out, "{word}({})", names(list, Mode::Script))
    };
    match command {
        Command::Sections(items) => print_block(out, "SECTIONS", items, 0),
        Command::Memory(items) => print_memory(out, items),
        Command::Phdrs(phdrs) => print_phdrs(out, phdrs),
        Command::Assign(assignment) => write!(out, "{};", Assign(assignment, Mode::Script)),
        Command::Assert(assertion) => print_assertion(out, assertion),
        Command::Version(script) => print_version(out, script),
        Command::Entry(name) => call(out, "ENTRY", name),
        Command::Extern(list) => write!(out, "EXTERN({})", names(list, Mode::Expression)),
        Command::Include(name) => write!(out, "INCLUDE {}", script_name(name)),
        Command::Input(items) => print_inputs(out, "INPUT", items),
        Command::Group(items) => print_inputs(out, "GROUP", items),
        Command::Startup(name) => call(out, "STARTUP", name),
        Command::SearchDir(name) => call(out, "SEARCH_DIR", name),
        Command::Output(name) => call(out, "OUTPUT", name),
        Command::OutputFormat { default, by_order } => {
            write!(out, "OUTPUT_FORMAT(\"{}\"", default.value)?;
            if let Some((big, little)) = by_order {
                write!(out, ", \"{}\", \"{}\"", big.value, little.value)?;
            }
            out.write_char(')')
        }
        Command::OutputArch(name) => call(out, "OUTPUT_ARCH", name),
        Command::Target(name) => call(out, "TARGET", name),
        Command::RegionAlias { alias, region } => {
            write!(
                out,
                "REGION_ALIAS(\"{}\", \"{}\")",
                alias.value, region.value
            )
        }
        Command::NoCrossRefs(names) => list(out, "NOCROSSREFS", names),
        Command::NoCrossRefsTo(names) => list(out, "NOCROSSREFS_TO", names),
        Command::ForceCommonAllocation => out.write_str("FORCE_COMMON_ALLOCATION"),
        Command::InhibitCommonAllocation => out.write_str("INHIBIT_COMMON_ALLOCATION"),
        Command::ForceGroupAllocation => out.write_str("FORCE_GROUP_ALLOCATION"),
        Command::Insert { place, section } => {
            let place = match place {
                InsertPlace::After => "AFTER",
                InsertPlace::Before => "BEFORE",
            };
            write!(out, "INSERT {place} {}", script_name(section))
        }
        Command::LdFeature(name) => call(out, "LD_FEATURE", name),
        Command::Map(name) => call(out, "MAP", name),
        Command::Hll(names) => list(out, "HLL", names),
        Command::Syslib(names) => list(out, "SYSLIB", names),
        Command::Float => out.write_str("FLOAT"),
        Command::NoFloat => out.write_str("NOFLOAT"),
    }
}

fn print_inputs(out: &mut Formatter<'_>, word: &str, items: &[InputItem]) -> fmt::Result {
    write!(out, "{word}(")?;
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.write_char(' ')?;
        }
        match item {
            InputItem::File(name) => {
                // `=path` needs no quotes: the sysroot is asked for so.
                let plain = name.value.strip_prefix('=');
                let quoted = quote(plain.unwrap_or(&name.value), Mode::InputList);
                match (plain, quoted.starts_with('"')) {
                    (Some(_), false) => write!(out, "={quoted}")?,
                    (Some(_), true) => write!(out, "\"{}\"", name.value)?,
                    (None, _) => out.write_str(&quoted)?,
                }
            }
            InputItem::Library(name) => write!(out, "-l{}", name.value)?,
            InputItem::AsNeeded(items) => print_inputs(out, "AS_NEEDED", items)?,
        }
    }
    out.write_char(')')
}

fn print_memory(out: &mut Formatter<'_>, items: &[Spanned<MemoryItem>]) -> fmt::Result {
    writeln!(out, "MEMORY {{")?;
    for item in items {
        match &item.value {
            MemoryItem::Include(name) => writeln!(out, "  INCLUDE {}", script_name(name))?,
            MemoryItem::Region(region) => {
                write!(out, "  {} ", script_name(&region.name))?;
                if !region.attributes.is_empty() {
                    write!(out, "({}) ", attributes(&region.attributes))?;
                }
                let (origin, length) = (&region.origin, &region.length);
                writeln!(out, ": ORIGIN = {origin}, LENGTH = {length}")?;
            }
        }
    }
    out.write_char('}')
}

/// One `!` turns the sense of all letters after it up to the next name.
fn attributes(attributes: &[RegionAttribute]) -> String {
    let letters: Vec<String> = attributes
        .iter()
        .map(|attribute| {
            let letter = match attribute.flag {
                RegionFlag::Alloc => 'a',
                RegionFlag::ReadOnly => 'r',
                RegionFlag::ReadWrite => 'w',
                RegionFlag::Executable => 'x',
                RegionFlag::Initialized => 'i',
            };
            let sense = if attribute.without { "!" } else { "" };
            format!("{sense}{letter}")
        })
        .collect();
    letters.join(" ")
}

fn print_phdrs(out: &mut Formatter<'_>, phdrs: &[Spanned<Phdr>]) -> fmt::Result {
    writeln!(out, "PHDRS {{")?;
    for Spanned { value: phdr, .. } in phdrs {
        write!(out, "  {} ", script_name(&phdr.name))?;
        match &phdr.segment_type {
            SegmentType::Named { number, .. } => {
                match SEGMENT_TYPES.iter().find(|(_, known)| known == number) {
                    Some((name, _)) => out.write_str(name)?,
                    None => write!(out, "{number}")?,
                }
            }
            SegmentType::Value(value) => write!(out, "{value}")?,
        }
        if phdr.file_header {
            write!(out, " FILEHDR")?;
        }
        if phdr.program_headers {
            write!(out, " PHDRS")?;
        }
        if let Some(address) = &phdr.load_address {
            write!(out, " AT({address})")?;
        }
        if let Some(flags) = &phdr.flags {
            write!(out, " FLAGS({flags})")?;
        }
        writeln!(out, ";")?;
    }
    out.write_char('}')
}

/// An assignment whose symbol is a token of the mode.
struct Assign<'a>(&'a Assignment, Mode);

impl Display for Assign<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let Assign(assignment, mode) = *self;
        let target = quote(&assignment.target.value, mode);
        let value = &assignment.value;
        let word = match assignment.kind {
            AssignKind::Plain => {
                let op = match assignment.op {
                    AssignOp::Set => "=",
                    AssignOp::Add => "+=",
                    AssignOp::Sub => "-=",
                    AssignOp::Mul => "*=",
                    AssignOp::Div => "/=",
                    AssignOp::Shl => "<<=",
                    AssignOp::Shr => ">>=",
                    AssignOp::And => "&=",
                    AssignOp::Or => "|=",
                    AssignOp::Xor => "^=",
                };
                return write!(out, "{target} {op} {value}");
            }
            AssignKind::Hidden => "HIDDEN",
            AssignKind::Provide => "PROVIDE",
            AssignKind::ProvideHidden => "PROVIDE_HIDDEN",
        };
        write!(out, "{word}({target} = {value})")
    }
}

fn print_assertion(out: &mut Formatter<'_>, assertion: &Assertion) -> fmt::Result {
    let Assertion { condition, message } = assertion;
    write!(out, "ASSERT({condition}, \"{}\")", message.value)
}

fn print_block(
    out: &mut Formatter<'_>,
    head: &str,
    items: &[Spanned<SectionItem>],
    depth: usize,
) -> fmt::Result {
    writeln!(out, "{head} {{")?;
    for item in items {
        write!(out, "{:1$}", "", depth * 2 + 2)?;
        print_section_item(out, &item.value, depth + 1)?;
        writeln!(out)?;
    }
    write!(out, "{:1$}}}", "", depth * 2)
}

fn print_section_item(out: &mut Formatter<'_>, item: &SectionItem, depth: usize) -> fmt::Result {
    match item {
        SectionItem::Output(section) => print_output_section(out, section, depth),
        SectionItem::Overlay(overlay) => print_overlay(out, overlay, depth),
        SectionItem::Group(group) => {
            let mut head = "GROUP".to_owned();
            push_address(
                &mut head,
                group.address.as_ref(),
                group.section_type.as_ref(),
            )?;
            print_block(out, &head, &group.items, depth)
        }
        SectionItem::Assign(assignment) => write!(out, "{};", Assign(assignment, Mode::Script)),
        SectionItem::Assert(assertion) => print_assertion(out, assertion),
        SectionItem::Entry(name) => write!(out, "ENTRY({})", script_name(name)),
        SectionItem::Include(name) => write!(out, "INCLUDE {}", script_name(name)),
    }
}

/// ` address (type) :`.
fn push_address(
    head: &mut String,
    address: Option<&Expr>,
    section_type: Option<&Spanned<SectionType>>,
) -> fmt::Result {
    if let Some(address) = address {
        write!(head, " {address}")?;
    }
    match section_type.map(|spanned| &spanned.value) {
        None => {}
        Some(SectionType::NoLoad) => write!(head, " (NOLOAD)")?,
        Some(SectionType::Dsect) => write!(head, " (DSECT)")?,
        Some(SectionType::Copy) => write!(head, " (COPY)")?,
        Some(SectionType::Info) => write!(head, " (INFO)")?,
        Some(SectionType::Overlay) => write!(head, " (OVERLAY)")?,
        Some(SectionType::ReadOnly) => write!(head, " (READONLY)")?,
        Some(SectionType::Typed { sh_type, read_only }) => match read_only {
            true => write!(head, " (READONLY (TYPE = {sh_type}))")?,
            false => write!(head, " (TYPE = {sh_type})")?,
        },
    }
    write!(head, " :")
}

fn print_output_section(
    out: &mut Formatter<'_>,
    section: &OutputSection,
    depth: usize,
) -> fmt::Result {
    let mut head = script_name(&section.name);
    let section_type = section.section_type.as_ref();
    push_address(&mut head, section.address.as_ref(), section_type)?;
    if let Some(address) = &section.load_address {
        write!(head, " AT({address})")?;
    }
    if let Some(align) = &section.align {
        write!(head, " ALIGN({align})")?;
    }
    if section.align_with_input {
        write!(head, " ALIGN_WITH_INPUT")?;
    }
    if let Some(align) = &section.subalign {
        write!(head, " SUBALIGN({align})")?;
    }
    if let Some(constraint) = &section.constraint {
        head.push_str(match constraint.value {
            Constraint::OnlyIfReadOnly => " ONLY_IF_RO",
            Constraint::OnlyIfReadWrite => " ONLY_IF_RW",
            Constraint::Special => " SPECIAL",
        });
    }
    print_statements(out, &head, &section.statements, depth)?;
    print_placement(out, &section.placement)
}

fn print_placement(out: &mut Formatter<'_>, placement: &Placement) -> fmt::Result {
    if let Some(region) = &placement.region {
        write!(out, " >{}", script_name(region))?;
    }
    if let Some(region) = &placement.load_region {
        write!(out, " AT>{}", script_name(region))?;
    }
    print_phdrs_and_fill(out, &placement.phdrs, placement.fill.as_ref())
}

fn print_phdrs_and_fill(
    out: &mut Formatter<'_>,
    phdrs: &[Name],
    fill: Option<&Expr>,
) -> fmt::Result {
    for phdr in phdrs {
        write!(out, " :{}", script_name(phdr))?;
    }
    match fill {
        // The comma keeps the next section's name out of the expression.
        Some(fill) => write!(out, " ={fill},"),
        None => Ok(()),
    }
}

fn print_overlay(out: &mut Formatter<'_>, overlay: &Overlay, depth: usize) -> fmt::Result {
    write!(out, "OVERLAY ")?;
    if let Some(address) = &overlay.address {
        write!(out, "{address} ")?;
    }
    out.write_char(':')?;
    if overlay.no_cross_refs {
        write!(out, " NOCROSSREFS")?;
    }
    if let Some(address) = &overlay.load_address {
        write!(out, " AT({address})")?;
    }
    if let Some(align) = &overlay.subalign {
        write!(out, " SUBALIGN({align})")?;
    }
    writeln!(out, " {{")?;
    for Spanned { value: section, .. } in &overlay.sections {
        write!(out, "{:1$}", "", depth * 2 + 2)?;
        let head = script_name(&section.name);
        print_statements(out, &head, &section.statements, depth + 1)?;
        print_phdrs_and_fill(out, &section.phdrs, section.fill.as_ref())?;
        writeln!(out)?;
    }
    write!(out, "{:1$}}}", "", depth * 2)?;
    print_placement(out, &overlay.placement)
}

fn print_statements(
    out: &mut Formatter<'_>,
    head: &str,
    statements: &[Spanned<Statement>],
    depth: usize,
) -> fmt::Result {
    writeln!(out, "{head} {{")?;
    for statement in statements {
        write!(out, "{:1$}", "", depth * 2 + 2)?;
        print_statement(out, &statement.value)?;
        writeln!(out)?;
    }
    write!(out, "{:1$}}}", "", depth * 2)
}

fn print_statement(out: &mut Formatter<'_>, statement: &Statement) -> fmt::Result {
    match statement {
        Statement::Input(input) => print_input(out, input),
        Statement::Assign(assignment) => write!(out, "{};", Assign(assignment, Mode::Wild)),
        Statement::Assert(assertion) => {
            print_assertion(out, assertion)?;
            out.write_char(';')
        }
        Statement::Data { size, value } => {
            let word = match size {
                DataSize::Byte => "BYTE",
                DataSize::Short => "SHORT",
                DataSize::Long => "LONG",
                DataSize::Quad => "QUAD",
                DataSize::Squad => "SQUAD",
            };
            write!(out, "{word}({value})")
        }
        Statement::Fill(value) => write!(out, "FILL({value})"),
        Statement::Constructors { sorted: false } => out.write_str("CONSTRUCTORS"),
        Statement::Constructors { sorted: true } => out.write_str("SORT_BY_NAME(CONSTRUCTORS)"),
        Statement::CreateObjectSymbols => out.write_str("CREATE_OBJECT_SYMBOLS"),
        Statement::Include(name) => write!(out, "INCLUDE {}", quote(&name.value, Mode::Wild)),
    }
}

fn print_input(out: &mut Formatter<'_>, input: &InputSpec) -> fmt::Result {
    if input.keep {
        write!(out, "KEEP(")?;
    }
    if !input.flags.is_empty() {
        let flags = input.flags.iter().map(|flag| {
            let sense = if flag.without { "!" } else { "" };
            quote(&format!("{sense}{}", flag.name.value), Mode::Wild)
        });
        let flags: Vec<String> = flags.collect();
        write!(out, "INPUT_SECTION_FLAGS({}) ", flags.join(" & "))?;
    }
    let pattern = pattern_text(&input.file.pattern.value.text(), &input.file.exclude);
    match input.file.sort {
        None => write!(out, "{pattern}")?,
        Some(FileSort::Name) => write!(out, "SORT_BY_NAME({pattern})")?,
        Some(FileSort::None) => write!(out, "SORT_NONE({pattern})")?,
    }
    if let Some(sections) = &input.sections {
        let sections: Vec<String> = sections.iter().map(section_text).collect();
        write!(out, "({})", sections.join(" "))?;
    }
    if input.keep {
        out.write_char(')')?;
    }
    Ok(())
}

fn section_text(section: &SectionSpec) -> String {
    let pattern = pattern_text(section.pattern.value.as_str(), &section.exclude);
    match section.sort {
        SectionSort::Unspecified => pattern,
        SectionSort::None => format!("SORT_NONE({pattern})"),
        SectionSort::Name => format!("SORT_BY_NAME({pattern})"),
        SectionSort::Alignment => format!("SORT_BY_ALIGNMENT({pattern})"),
        SectionSort::NameThenAlignment => format!("SORT_BY_NAME(SORT_BY_ALIGNMENT({pattern}))"),
        SectionSort::AlignmentThenName => format!("SORT_BY_ALIGNMENT(SORT_BY_NAME({pattern}))"),
        SectionSort::InitPriority => format!("SORT_BY_INIT_PRIORITY({pattern})"),
    }
}

fn pattern_text(pattern: &str, exclude: &[Spanned<FilePattern>]) -> String {
    let pattern = quote(pattern, Mode::Wild);
    if exclude.is_empty() {
        return pattern;
    }
    let files = exclude
        .iter()
        .map(|file| quote(&file.value.text(), Mode::Wild));
    let files: Vec<String> = files.collect();
    format!("EXCLUDE_FILE({}) {pattern}", files.join(" "))
}

fn print_version(out: &mut Formatter<'_>, script: &VersionScript) -> fmt::Result {
    writeln!(out, "VERSION {{")?;
    for Spanned { value: node, .. } in &script.nodes {
        if let Some(tag) = &node.tag {
            write!(out, "{} ", tag.value)?;
        }
        writeln!(out, "{{")?;
        for (label, patterns) in [("global", &node.global), ("local", &node.local)] {
            if !patterns.is_empty() {
                writeln!(out, "  {label}:")?;
            }
            for pattern in patterns {
                writeln!(out, "    {};", version_pattern(pattern))?;
            }
        }
        let depends = names(&node.dependencies, Mode::VersionTags);
        writeln!(out, "}} {depends};")?;
    }
    out.write_char('}')
}

fn version_pattern(pattern: &VersionPattern) -> String {
    let text = pattern.pattern.value.as_str();
    // Quotes make a version pattern literal; one without wildcards is anyway.
    let quoted = match pattern.pattern.value.is_literal() {
        true => format!("\"{text}\""),
        false => text.to_owned(),
    };
    let language = match &pattern.language {
        Language::C => return quoted,
        Language::Cxx => "C++",
        Language::Java => "Java",
        Language::Other(name) => &name.value,
    };
    format!("extern \"{language}\" {{ {quoted} }}")
}
