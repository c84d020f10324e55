//! Files that patterns of scripts name: they are inputs, though the command line may not have them.

use klink_script::{Command, FilePattern, SectionItem, Span, Statement};

use super::{Pieces, Sources};

/// The files that patterns name without wildcards, with where they do (ld/ldlang.c, `lookup_name` as
/// `open_input_bfds` calls it).
pub(super) fn named_files(pieces: &Pieces, sources: &Sources) -> Vec<(usize, Span, String)> {
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
                    let name = pattern.as_str().to_owned();
                    found.push((source, input.file.pattern.span, name));
                }
            }
        }
    }
    found
}
