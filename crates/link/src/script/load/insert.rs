//! INSERT: what stands in front of it moves next to an output section of another script.

use klink_script::{Command, InsertPlace, SectionItem};

use super::{Piece, Pieces};

/// Does what every INSERT of `pieces` says, in order. Each piece is one command, and each SECTIONS
/// has one item.
///
/// # Errors
/// The piece of an INSERT whose output section is not there.
pub(super) fn insert(pieces: &mut Pieces) -> Result<(), Box<Piece>> {
    // What INSERT moved does not move again with the next (ld/ldlang.c, `process_insert_statements`,
    // which begins again behind the moved statements).
    let mut start = 0;
    while let Some(at) = (start..pieces.len()).find(|&at| is_insert(&pieces[at])) {
        let Command::Insert { place, section } = &pieces[at].command.value else {
            return Ok(());
        };
        let (place, wanted) = (*place, section.value.clone());
        let insert = pieces.remove(at);
        let moved: Pieces = pieces.drain(start..at).collect();
        let Some(found) = pieces.iter().position(|piece| is_output(piece, &wanted)) else {
            return Err(Box::new(insert));
        };
        let after = match place {
            InsertPlace::After => Some(found),
            InsertPlace::Before => (0..found).rev().find(|&piece| outputs(&pieces[piece]) > 0),
        };
        let to = position_after(pieces, after);
        if to <= start {
            start += moved.len();
        }
        pieces.splice(to..to, moved);
    }
    Ok(())
}

/// Where what is inserted behind an output section goes (`None`: at the front): in front of the next
/// output section, or of the first assignment to the location counter on the way there. At the front
/// one such assignment stays before it: it sets the first address (ld/ldlang.c, `insert_os_after`).
fn position_after(pieces: &Pieces, after: Option<usize>) -> usize {
    let mut ignore_first = after.is_none();
    let mut assignment = None;
    for (at, piece) in pieces.iter().enumerate().skip(after.map_or(0, |at| at + 1)) {
        if outputs(piece) > 0 {
            return assignment.unwrap_or(at);
        }
        if sets_dot(piece) {
            if !ignore_first {
                assignment.get_or_insert(at);
            }
            ignore_first = false;
        }
    }
    pieces.len()
}

fn is_insert(piece: &Piece) -> bool {
    matches!(piece.command.value, Command::Insert { .. })
}

fn items(piece: &Piece) -> impl Iterator<Item = &SectionItem> {
    let items = match &piece.command.value {
        Command::Sections(items) => items.as_slice(),
        _ => &[],
    };
    items.iter().map(|item| &item.value)
}

fn names(item: &SectionItem) -> Vec<&str> {
    match item {
        SectionItem::Output(output) => vec![output.name.value.as_str()],
        SectionItem::Overlay(overlay) => {
            let sections = overlay.sections.iter();
            sections
                .map(|section| section.value.name.value.as_str())
                .collect()
        }
        SectionItem::Group(group) => {
            let items = group.items.iter();
            items.flat_map(|item| names(&item.value)).collect()
        }
        _ => Vec::new(),
    }
}

/// How many output sections a piece names.
fn outputs(piece: &Piece) -> usize {
    items(piece).map(|item| names(item).len()).sum()
}

fn is_output(piece: &Piece, wanted: &str) -> bool {
    items(piece).any(|item| names(item).contains(&wanted))
}

fn sets_dot(piece: &Piece) -> bool {
    let dot = |assignment: &klink_script::Assignment| assignment.target.value == ".";
    match &piece.command.value {
        Command::Assign(assignment) => dot(assignment),
        _ => items(piece)
            .any(|item| matches!(item, SectionItem::Assign(assignment) if dot(assignment))),
    }
}
