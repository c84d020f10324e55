//! Patterns of input statements as GNU ld writes them (ld/ldlang.c, `print_wild_statement`), and
//! which of them took a section.

use klink_script::FilePattern;

use crate::assign::matches_pattern;
use crate::id::SectionId;
use crate::resolve::Resolved;
use crate::rules::{InputRule, Part, SectionRule, Sort};

/// `file(sections…)`, without KEEP.
pub(super) fn pattern(inputs: &InputRule) -> String {
    let file = inputs.file.text();
    let file = if inputs.sort_files {
        format!("SORT_BY_NAME({file})")
    } else {
        file
    };
    let sections: Vec<String> = inputs.sections.iter().map(section_pattern).collect();
    let exclude = excluded(&inputs.exclude);
    format!("{exclude}{file}({})", sections.join(" "))
}

fn excluded(files: &[FilePattern]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let names: Vec<String> = files.iter().map(FilePattern::text).collect();
    format!("EXCLUDE_FILE({}) ", names.join(" "))
}

fn section_pattern(section: &SectionRule) -> String {
    let mut text = String::new();
    for sort in section.sort {
        text += match sort {
            Sort::Name => "SORT_BY_NAME(",
            Sort::Alignment => "SORT_BY_ALIGNMENT(",
            Sort::InitPriority => "SORT_BY_INIT_PRIORITY(",
        };
    }
    text += &excluded(&section.exclude);
    text += section.name.as_str();
    text + &")".repeat(section.sort.len())
}

/// The part of an output section's statement that took an input section: the first that matches;
/// `None` for an orphan.
pub(super) fn part_of(resolved: &Resolved<'_>, parts: &[Part], id: SectionId) -> Option<usize> {
    let input = resolved.section(id);
    parts.iter().position(|part| {
        let Part::Inputs(inputs) = part else {
            return false;
        };
        inputs.takes_flags(input.flags)
            && inputs.sections.iter().any(|section| {
                section.name.matches(input.name) && matches_pattern(resolved, inputs, section, id)
            })
    })
}
