//! Statements between the braces of an output section.

use super::commands::assign_op;
use super::{Parser, Result};
use crate::ast::{
    DataSize, FilePattern, FileSort, FileSpec, InputSpec, SectionFlag, SectionSort, SectionSpec,
    Statement,
};
use crate::diagnostic::{ErrorKind, ScriptError, nearest};
use crate::keyword::Keyword;
use crate::lexer::{Mode, Punct, TokenKind};
use crate::pattern::Pattern;
use crate::source::{Name, Span, Spanned};

const MODE: Mode = Mode::Wild;

/// A pattern with what surrounds it.
struct Sorted {
    name: Name,
    exclude: Vec<Spanned<FilePattern>>,
    sort: SectionSort,
}

impl Parser<'_> {
    /// The statements after the brace that `open` is, and the closing brace.
    pub(super) fn statement_block(&mut self, open: Span) -> Result<Vec<Spanned<Statement>>> {
        let statements = self.statements()?;
        self.close_block(MODE, open, "a statement")?;
        Ok(statements)
    }

    /// The statements up to the closing brace or the end.
    pub(super) fn statements(&mut self) -> Result<Vec<Spanned<Statement>>> {
        let mut statements = Vec::new();
        loop {
            if self.eat(MODE, Punct::Semicolon)? {
                continue;
            }
            match self.peek(MODE)?.kind {
                TokenKind::Punct(Punct::BraceClose) | TokenKind::End => return Ok(statements),
                _ => statements.push(self.spanned(Parser::statement)?),
            }
        }
    }

    fn statement(&mut self) -> Result<Statement> {
        let keyword = match self.peek(MODE)?.kind {
            TokenKind::Keyword(keyword) => keyword,
            TokenKind::Name { .. } => return self.assignment_or_input(),
            _ => return self.input_statement(),
        };
        let size = match keyword {
            Keyword::Byte => DataSize::Byte,
            Keyword::Short => DataSize::Short,
            Keyword::Long => DataSize::Long,
            Keyword::Quad => DataSize::Quad,
            Keyword::Squad => DataSize::Squad,
            _ => return self.keyword_statement(keyword),
        };
        self.next(MODE)?;
        let value = self.paren_expr("before the value")?;
        Ok(Statement::Data { size, value })
    }

    fn keyword_statement(&mut self, keyword: Keyword) -> Result<Statement> {
        match keyword {
            Keyword::Provide | Keyword::ProvideHidden | Keyword::Hidden => {
                let assignment = self.assignment(MODE)?;
                self.separator(MODE, "after an assignment")?;
                return Ok(Statement::Assign(assignment));
            }
            Keyword::Fill
            | Keyword::Assert
            | Keyword::Include
            | Keyword::Constructors
            | Keyword::CreateObjectSymbols => self.next(MODE)?,
            Keyword::SortByName => return self.sorted_constructors_or_input(),
            _ => return self.input_statement(),
        };
        Ok(match keyword {
            Keyword::Fill => Statement::Fill(self.paren_expr("after `FILL`")?),
            Keyword::Assert => {
                let assertion = self.assertion()?;
                self.separator(Mode::Expression, "after `ASSERT(…)` in an output section")?;
                Statement::Assert(assertion)
            }
            Keyword::Include => Statement::Include(self.name(MODE, "the file to include")?),
            Keyword::Constructors => Statement::Constructors { sorted: false },
            _ => Statement::CreateObjectSymbols,
        })
    }

    fn sorted_constructors_or_input(&mut self) -> Result<Statement> {
        let saved = (self.at, self.ahead, self.last);
        self.next(MODE)?;
        self.open(MODE, "after `SORT`")?;
        if !self.eat_keyword(MODE, Keyword::Constructors)? {
            (self.at, self.ahead, self.last) = saved;
            return self.input_statement();
        }
        self.close(MODE, "after `CONSTRUCTORS`")?;
        Ok(Statement::Constructors { sorted: true })
    }

    fn assignment_or_input(&mut self) -> Result<Statement> {
        let saved = (self.at, self.ahead, self.last);
        let name = self.name(MODE, "a symbol")?;
        if let TokenKind::Punct(punct) = self.peek(MODE)?.kind
            && assign_op(punct).is_some()
        {
            let assignment = self.assignment_to(name, MODE)?;
            self.separator(Mode::Expression, "after an assignment")?;
            return Ok(Statement::Assign(assignment));
        }
        let is_call = self.at(MODE, Punct::ParenOpen)?;
        (self.at, self.ahead, self.last) = saved;
        if let Some((target, _)) = name.value.split_once('=')
            && !is_call
            && !self.text_of(name.span).starts_with('"')
        {
            return Err(glued_assignment(&name, target));
        }
        self.input_statement()
    }

    /// `KEEP(…)`, or the same without `KEEP`.
    fn input_statement(&mut self) -> Result<Statement> {
        let keep = self.eat_keyword(MODE, Keyword::Keep)?;
        if keep {
            self.open(MODE, "after `KEEP`")?;
        }
        let flags = match self.eat_keyword(MODE, Keyword::InputSectionFlags)? {
            true => self.section_flags()?,
            false => Vec::new(),
        };
        let (file, sections) = self.files_and_sections()?;
        if keep {
            self.close(MODE, "after the sections to keep")?;
        }
        Ok(Statement::Input(Box::new(InputSpec {
            keep,
            flags,
            file,
            sections,
        })))
    }

    /// `(flag & !flag …)`.
    fn section_flags(&mut self) -> Result<Vec<SectionFlag>> {
        self.open(MODE, "after `INPUT_SECTION_FLAGS`")?;
        let mut flags = Vec::new();
        loop {
            let mut name = self.name(MODE, "a section flag")?;
            let stripped = name.value.strip_prefix('!').map(str::to_owned);
            let without = stripped.is_some();
            if let Some(stripped) = stripped {
                name.value = stripped;
            }
            flags.push(SectionFlag { name, without });
            if !self.eat(MODE, Punct::And)? {
                break;
            }
        }
        self.close(MODE, "or `&` after a section flag")?;
        Ok(flags)
    }

    /// `file(section …)`, `file` or `[section …]`.
    fn files_and_sections(&mut self) -> Result<(FileSpec, Option<Vec<SectionSpec>>)> {
        if self.at(MODE, Punct::BracketOpen)? {
            let open = self.next(MODE)?;
            let file = FileSpec {
                pattern: Spanned::new(FilePattern::new("*"), open.span),
                exclude: Vec::new(),
                sort: None,
            };
            return Ok((file, Some(self.section_specs(Punct::BracketClose)?)));
        }
        let sorted = self.sorted("a file pattern, or a statement")?;
        let sort = match sorted.sort {
            SectionSort::Unspecified => None,
            SectionSort::Name => Some(FileSort::Name),
            SectionSort::None => Some(FileSort::None),
            _ => {
                let kind = ErrorKind::Misplaced {
                    message: "files cannot be sorted so".to_owned(),
                };
                return Err(ScriptError::new(kind, sorted.name.span)
                    .help("files can be sorted with SORT_BY_NAME and SORT_NONE"));
            }
        };
        let is_plain = sort.is_none() && sorted.exclude.is_empty();
        let file = FileSpec {
            pattern: file_pattern(&sorted.name),
            exclude: sorted.exclude,
            sort,
        };
        if self.at(MODE, Punct::ParenOpen)? {
            let is_quoted = self.text_of(sorted.name.span).starts_with('"');
            if let Some(error) = misspelt(&sorted.name).filter(|_| !is_quoted) {
                return Err(error);
            }
            self.next(MODE)?;
            return Ok((file, Some(self.section_specs(Punct::ParenClose)?)));
        }
        if is_plain {
            return Ok((file, None));
        }
        Err(self.expected(MODE, "`(` and the sections of these files"))
    }

    /// Section patterns up to a closing bracket; at least one.
    fn section_specs(&mut self, end: Punct) -> Result<Vec<SectionSpec>> {
        let mut specs = Vec::new();
        loop {
            let sorted = self.sorted("a section pattern")?;
            let pattern = Spanned::new(Pattern::new(&sorted.name.value), sorted.name.span);
            specs.push(SectionSpec {
                pattern,
                exclude: sorted.exclude,
                sort: sorted.sort,
            });
            if self.eat(MODE, end)? {
                return Ok(specs);
            }
        }
    }

    /// A pattern, perhaps with one or two orders and `EXCLUDE_FILE` around it.
    fn sorted(&mut self, what: &str) -> Result<Sorted> {
        let Some(outer) = self.eat_sort()? else {
            let (name, exclude) = self.maybe_exclude(what)?;
            return Ok(Sorted {
                name,
                exclude,
                sort: SectionSort::Unspecified,
            });
        };
        self.open(MODE, "after the order")?;
        let inner_token = self.peek(MODE)?;
        let inner = self.eat_sort()?;
        let sort = match (outer, inner) {
            (outer, None) => outer,
            (SectionSort::Name, Some(SectionSort::Name)) => SectionSort::Name,
            (SectionSort::Alignment, Some(SectionSort::Alignment)) => SectionSort::Alignment,
            (SectionSort::Name, Some(SectionSort::Alignment)) => SectionSort::NameThenAlignment,
            (SectionSort::Alignment, Some(SectionSort::Name)) => SectionSort::AlignmentThenName,
            _ => {
                let kind = ErrorKind::Misplaced {
                    message: "these two orders cannot be nested".to_owned(),
                };
                return Err(ScriptError::new(kind, inner_token.span)
                    .help("only SORT_BY_NAME and SORT_BY_ALIGNMENT may stand inside each other"));
            }
        };
        if inner.is_some() {
            self.open(MODE, "after the inner order")?;
        }
        let (name, exclude) = self.maybe_exclude("a pattern")?;
        if inner.is_some() {
            self.close(MODE, "after the pattern")?;
        }
        self.close(MODE, "after the pattern")?;
        Ok(Sorted {
            name,
            exclude,
            sort,
        })
    }

    fn eat_sort(&mut self) -> Result<Option<SectionSort>> {
        let sort = match self.peek(MODE)?.kind {
            TokenKind::Keyword(Keyword::SortByName) => SectionSort::Name,
            TokenKind::Keyword(Keyword::SortByAlignment) => SectionSort::Alignment,
            TokenKind::Keyword(Keyword::SortByInitPriority) => SectionSort::InitPriority,
            TokenKind::Keyword(Keyword::SortNone) => SectionSort::None,
            _ => return Ok(None),
        };
        self.next(MODE)?;
        Ok(Some(sort))
    }

    fn maybe_exclude(&mut self, what: &str) -> Result<(Name, Vec<Spanned<FilePattern>>)> {
        let mut exclude = Vec::new();
        if self.eat_keyword(MODE, Keyword::ExcludeFile)? {
            self.open(MODE, "after `EXCLUDE_FILE`")?;
            loop {
                let name = self.name(MODE, "a file pattern to exclude")?;
                exclude.push(file_pattern(&name));
                if self.eat(MODE, Punct::ParenClose)? {
                    break;
                }
            }
        }
        Ok((self.name(MODE, what)?, exclude))
    }
}

fn file_pattern(name: &Name) -> Spanned<FilePattern> {
    Spanned::new(FilePattern::new(&name.value), name.span)
}

/// `KEP(*(.text))` reads like the sections of a file called `KEP`.
fn misspelt(name: &Name) -> Option<ScriptError> {
    let looks_reserved = name.value.len() > 2
        && name
            .value
            .chars()
            .all(|letter| letter.is_ascii_uppercase() || letter == '_');
    if !looks_reserved {
        return None;
    }
    let word = nearest(&name.value, Keyword::names(MODE))?;
    let kind = ErrorKind::UnknownCommand {
        name: name.value.clone(),
    };
    let help = format!(
        "did you mean `{word}`? A file of that name is quoted: \"{}\"",
        name.value
    );
    Some(ScriptError::new(kind, name.span).help(help))
}

fn glued_assignment(name: &Name, target: &str) -> ScriptError {
    let kind = ErrorKind::Misplaced {
        message: format!(
            "`{}` is one name here, as in GNU ld, and no assignment",
            name.value
        ),
    };
    ScriptError::new(kind, name.span).help(format!("put blanks around `=`: `{target} = …;`"))
}
