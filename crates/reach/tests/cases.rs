//! Small cases, each about one rule; and that `check` sees what is wrong.

mod support;

use klink_reach::*;
use support::{Owned, PCREL17F, STUBS};

const KIB: u64 = 1 << 10;

fn owned(sections: &[Section], branches: &[(u32, u64, Target)]) -> Owned {
    let branch = |&(section, offset, target)| {
        let (section, form) = (SectionId::new(section), FormId::new(0));
        Branch {
            section,
            offset,
            target,
            form,
        }
    };
    Owned {
        sections: sections.to_vec(),
        branches: branches.iter().map(branch).collect(),
        forms: vec![PCREL17F],
        stubs: STUBS,
        reorder: Reorder::Keep,
        ends: Ends::default(),
    }
}

fn into(section: u32, offset: i64) -> Target {
    Target::Section {
        section: SectionId::new(section),
        offset,
    }
}

fn outside(number: u32) -> Target {
    Target::External(ExternalId::new(number))
}

fn solved(owned: &Owned) -> Answer {
    let answer = solve(&owned.problem()).expect("there is an answer");
    assert_eq!(check(&owned.problem(), &answer), Ok(()));
    answer
}

#[test]
fn nothing_is_a_problem_too() {
    let answer = solved(&owned(&[], &[]));
    assert_eq!((answer.size, answer.stub_count()), (0, 0));
}

#[test]
fn a_call_at_the_edge_of_reach_needs_no_stub_and_one_word_further_does() {
    let sections = [Section::new(300 * KIB, 4); 1];
    let far = PCREL17F.max;
    let edge = owned(&sections, &[(0, 0, into(0, far))]);
    assert_eq!(solved(&edge).stub_count(), 0);
    let beyond = owned(&sections, &[(0, 0, into(0, far + 4))]);
    assert_eq!(solved(&beyond).stub_count(), 1);
}

#[test]
fn a_call_in_the_middle_of_a_section_twice_the_reach_is_refused_with_all_facts() {
    let sections = [Section::new(600 * KIB, 4)];
    let calls = [
        (0, 300 * KIB, outside(0)),
        (0, 8, outside(0)),
        (0, 300 * KIB, into(0, 0)),
    ];
    let Err(error) = solve(&owned(&sections, &calls).problem()) else {
        panic!("an answer")
    };
    let ReachError::OutOfReach(missing) = &error else {
        panic!("{error}")
    };
    let branches: Vec<BranchId> = missing.iter().map(|unreached| unreached.branch).collect();
    assert_eq!(branches, [0, 2].map(BranchId::new));
    let at = -(300 * KIB as i64);
    assert_eq!(missing[0].distance, None);
    assert_eq!(missing[1].distance, Some(at));
    assert!(
        missing[0]
            .nearest_island
            .is_some_and(|distance| distance.abs() >= -at)
    );
    let text = error.to_string();
    assert!(
        text.starts_with("2 branches out of reach; first: branch 0 goes to"),
        "{text}"
    );
}

#[test]
fn a_form_without_stubs_is_refused_if_it_does_not_reach() {
    let mut problem = owned(&[Section::new(300 * KIB, 4)], &[(0, 0, into(0, 290 << 10))]);
    problem.forms[0].stub = false;
    let Err(ReachError::OutOfReach(missing)) = solve(&problem.problem()) else {
        panic!()
    };
    assert_eq!(
        (missing[0].distance, missing[0].nearest_island),
        (Some(290 << 10), None)
    );
}

#[test]
fn a_caller_moves_to_what_it_calls_unless_it_must_not() {
    let mut sections = vec![Section::new(4 * KIB, 4); 200];
    let mut problem = owned(&sections, &[(0, 0, into(199, 0))]);
    assert_eq!(solved(&problem).stub_count(), 1);
    problem.reorder = Reorder::Quick;
    assert_eq!(solved(&problem).stub_count(), 0);
    sections[100] = sections[100].unmovable();
    problem.sections = sections;
    let answer = solved(&problem);
    // It may still move as far as the one that must not, but not past it.
    assert_eq!(answer.order[100], SectionId::new(100));
}

#[test]
fn no_island_stands_between_glued_sections_or_at_a_closed_end() {
    let half = Section::new(100 * KIB, 4);
    let mut problem = owned(
        &[half, half.glued(), half],
        &[(0, 0, outside(0)), (2, 0, outside(0))],
    );
    problem.ends = Ends {
        front: false,
        behind: false,
    };
    let answer = solved(&problem);
    assert_eq!(answer.islands.len(), 1);
    assert_eq!(answer.islands[0].before, Some(SectionId::new(2)));
}

#[test]
fn malformed_problems_are_refused() {
    let good = owned(&[Section::new(16, 4)], &[(0, 0, outside(0))]);
    let refused = |change: fn(&mut Owned)| {
        let mut bad = good.clone();
        change(&mut bad);
        solve(&bad.problem()).expect_err("malformed")
    };
    let branch = BranchId::new(0);
    let section = SectionId::new(0);
    assert_eq!(
        refused(|bad| bad.sections[0].align = 3),
        ReachError::SectionAlign { section, align: 3 }
    );
    assert_eq!(
        refused(|bad| bad.stubs.align = 0),
        ReachError::StubAlign { align: 0 }
    );
    assert_eq!(refused(|bad| bad.stubs.internal = 0), ReachError::EmptyStub);
    assert_eq!(
        refused(|bad| bad.branches[0].section = SectionId::new(1)),
        ReachError::NoSection {
            branch,
            section: SectionId::new(1)
        }
    );
    assert_eq!(
        refused(|bad| bad.branches[0].target = into(7, 0)),
        ReachError::NoSection {
            branch,
            section: SectionId::new(7)
        }
    );
    assert_eq!(
        refused(|bad| bad.branches[0].form = FormId::new(1)),
        ReachError::NoForm {
            branch,
            form: FormId::new(1)
        }
    );
    assert_eq!(
        refused(|bad| bad.branches[0].offset = 17),
        ReachError::OutsideSection {
            branch,
            offset: 17,
            size: 16
        }
    );
    assert_eq!(
        refused(|bad| bad.sections[0].size = u64::MAX),
        ReachError::TooLarge
    );
    assert_eq!(
        refused(|bad| bad.sections[0].align = 1 << 63),
        ReachError::TooLarge
    );
    assert_eq!(
        refused(|bad| bad.forms[0].min = i64::MIN),
        ReachError::TooLarge
    );
    assert_eq!(
        refused(|bad| bad.branches[0].target = Target::Fixed(i64::MAX)),
        ReachError::TooLarge
    );
    assert_eq!(
        refused(|bad| bad.stubs.external = u64::MAX - 1),
        ReachError::TooLarge
    );
}

#[test]
fn check_sees_what_is_wrong() {
    let sections = [Section::new(200 * KIB, 4).unmovable(); 3];
    let calls = [
        (0, 0, outside(0)),
        (2, 199 * KIB, outside(0)),
        (0, 0, into(2, 100 << 10)),
    ];
    let problem = owned(&sections, &calls);
    let answer = solved(&problem);
    let wrong = |change: &dyn Fn(&mut Answer)| {
        let mut bad = answer.clone();
        change(&mut bad);
        check(&problem.problem(), &bad).expect_err("a violation")
    };
    let first = answer.islands[0].before.expect("it is between sections");
    assert!(matches!(
        wrong(&|bad| bad.order.swap(0, 1)),
        Violation::Moved { .. }
    ));
    assert!(matches!(
        wrong(&|bad| bad.order[0] = bad.order[1]),
        Violation::Shape(_)
    ));
    assert!(matches!(
        wrong(&|bad| bad.offsets[first.index()] -= 4),
        Violation::Overlap { .. }
    ));
    assert!(matches!(
        wrong(&|bad| bad.offsets[2] += 2),
        Violation::Align { .. }
    ));
    assert!(matches!(
        wrong(&|bad| bad.size -= 1),
        Violation::Overlap { .. }
    ));
    assert!(matches!(
        wrong(&|bad| bad.islands[0].before = None),
        Violation::Overlap { .. }
    ));
    assert!(matches!(
        wrong(&|bad| bad.islands[0].stubs[0].offset += 2),
        Violation::Stub { .. } | Violation::Overlap { .. }
    ));
    assert!(matches!(
        wrong(&|bad| bad.islands[0].stubs[0].target = outside(9)),
        Violation::Branch { .. }
    ));
    assert!(matches!(
        wrong(&|bad| bad.via[0] = None),
        Violation::Branch { .. }
    ));
    assert!(matches!(
        wrong(&|bad| bad.via[2] = None),
        Violation::Branch { .. }
    ));
    assert!(matches!(
        wrong(&|bad| bad.via.truncate(2)),
        Violation::Shape(_)
    ));
}
