//! OVERLAY in plain terms: output sections that run at one address and are loaded one behind the
//! other, the symbols for whoever loads them, and the location counter behind the largest
//! (ld/ldlang.c, `lang_enter_overlay_section`, `lang_leave_overlay`).

use klink_script::{
    AssignKind, AssignOp, Assignment, BinaryOp, Command, Expr, ExprKind, Function2, Name,
    NameFunction, OutputSection, Overlay, OverlayPart, OverlaySection, Placement, SectionItem,
    Span, Spanned,
};

/// The items of SECTIONS that stand for an overlay.
pub(super) fn items(overlay: &Overlay) -> Vec<Spanned<SectionItem>> {
    let Some(first) = overlay.sections.first() else {
        return Vec::new();
    };
    let mut items = Vec::new();
    let mut before = None;
    let mut largest: Option<Expr> = None;
    for section in &overlay.sections {
        let (span, name) = (section.span, &section.value.name);
        let output = OutputSection {
            address: match before {
                None => overlay.address.clone(),
                Some(_) => Some(of(NameFunction::Addr, &first.value.name)),
            },
            load_address: match before {
                None => overlay.load_address.clone(),
                Some(_) => None,
            },
            overlay: Some(OverlayPart {
                is_first: before.is_none(),
                end: None,
            }),
            ..output_section(overlay, &section.value)
        };
        items.push(Spanned::new(SectionItem::Output(Box::new(output)), span));
        for (prefix, value) in [
            ("__load_start_", of(NameFunction::LoadAddr, name)),
            ("__load_stop_", load_end(name)),
        ] {
            let is_kept = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '_';
            let clean: String = name.value.chars().filter(is_kept).collect();
            let target = Spanned::new(format!("{prefix}{clean}"), name.span);
            items.push(assignment(AssignKind::Provide, target, value, span));
        }
        let size = of(NameFunction::Sizeof, name);
        largest = Some(match largest {
            None => size,
            Some(other) => Expr {
                span: name.span,
                kind: ExprKind::Call2(Function2::Max, Box::new(other), Box::new(size)),
            },
        });
        before = Some(());
    }
    let mut outputs = items.iter_mut().rev();
    let last = outputs.find_map(|item| match &mut item.value {
        SectionItem::Output(output) => Some(output),
        _ => None,
    });
    if let (Some(last), Some(largest)) = (last.and_then(|last| last.overlay.as_mut()), largest) {
        last.end = Some(sum(of(NameFunction::Addr, &first.value.name), largest));
    }
    items
}

/// The command that keeps the sections from referring to each other, if the overlay asks for it.
pub(super) fn no_cross_refs(overlay: &Overlay) -> Option<Command> {
    let names = overlay
        .sections
        .iter()
        .map(|section| section.value.name.clone());
    overlay
        .no_cross_refs
        .then(|| Command::NoCrossRefs(names.collect()))
}

fn output_section(overlay: &Overlay, section: &OverlaySection) -> OutputSection {
    let own_phdrs = !section.phdrs.is_empty();
    OutputSection {
        name: section.name.clone(),
        address: None,
        section_type: None,
        load_address: None,
        align: None,
        align_with_input: false,
        subalign: overlay.subalign.clone(),
        constraint: None,
        statements: section.statements.clone(),
        placement: Placement {
            phdrs: match own_phdrs {
                true => section.phdrs.clone(),
                false => overlay.placement.phdrs.clone(),
            },
            fill: section
                .fill
                .clone()
                .or_else(|| overlay.placement.fill.clone()),
            ..overlay.placement.clone()
        },
        overlay: None,
    }
}

/// The address behind a section where it is loaded.
fn load_end(name: &Name) -> Expr {
    sum(
        of(NameFunction::LoadAddr, name),
        of(NameFunction::Sizeof, name),
    )
}

fn of(function: NameFunction, name: &Name) -> Expr {
    Expr {
        kind: ExprKind::NameCall(function, name.clone()),
        span: name.span,
    }
}

fn sum(left: Expr, right: Expr) -> Expr {
    Expr {
        span: left.span,
        kind: ExprKind::Binary(BinaryOp::Add, Box::new(left), Box::new(right)),
    }
}

fn assignment(kind: AssignKind, target: Name, value: Expr, span: Span) -> Spanned<SectionItem> {
    let assignment = Assignment {
        target,
        op: AssignOp::Set,
        value,
        kind,
    };
    Spanned::new(SectionItem::Assign(assignment), span)
}
