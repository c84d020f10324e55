//! Files that patterns of scripts name: they are inputs, though the command line may not have them, and
//! are read when the link comes to the pattern.

use klink_script::{Command, FilePattern, SectionItem, Span, Statement};

use super::{LoadedInput, Pieces, Sources};

/// A file that a pattern names without wildcards.
pub(super) struct NamedFile {
    pub name: String,
    /// Where the pattern stands.
    pub source: usize,
    pub span: Span,
    /// How many inputs stand in front of its script; `None`: all.
    position: Option<usize>,
}

/// The files that patterns name without wildcards, in their order (ld/ldlang.c, `lookup_name` as
/// `open_input_bfds` calls it).
pub(super) fn named_files(pieces: &Pieces, sources: &Sources) -> Vec<NamedFile> {
    let mut found = Vec::new();
    for piece in pieces {
        let Command::Sections(items) = &piece.command.value else {
            continue;
        };
        for item in items {
            let SectionItem::Output(output) = &item.value else {
                continue;
            };
            for (source, statement) in sources.statements(piece.source, &output.statements) {
                let Statement::Input(input) = &statement.value else {
                    continue;
                };
                if let FilePattern::File(pattern) = &input.file.pattern.value
                    && pattern.is_literal()
                {
                    found.push(NamedFile {
                        name: pattern.as_str().to_owned(),
                        source,
                        span: input.file.pattern.span,
                        position: sources.position(piece.source),
                    });
                }
            }
        }
    }
    found
}

/// Puts the files that patterns name where GNU ld reads them: in front of the inputs that stand behind the
/// script. The first `fixed` inputs stay in front. Members of groups stay where they are.
pub(super) fn put_first(inputs: &mut Vec<LoadedInput<'_>>, fixed: usize, named: &[NamedFile]) {
    let mut given = inputs.split_off(fixed.min(inputs.len()));
    let mut early = Vec::new();
    for file in named {
        let Some(position) = file.position else {
            continue;
        };
        let is_it = |input: &LoadedInput<'_>| {
            input.name == file.name && input.number >= position && input.group.is_none()
        };
        if let Some(at) = given.iter().position(is_it) {
            early.push((position, given.remove(at)));
        }
    }
    let mut early = early.into_iter().peekable();
    for input in given {
        while let Some((_, file)) = early.next_if(|&(position, _)| position <= input.number) {
            inputs.push(file);
        }
        inputs.push(input);
    }
    inputs.extend(early.map(|(_, file)| file));
}
