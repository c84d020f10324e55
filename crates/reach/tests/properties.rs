//! What holds for every problem, on random ones: answers are sound, and for
//! small problems no one finds one that we do not, or a better one.

mod support;

use klink_reach::*;
use proptest::prelude::*;
use support::{Owned, oracle, others};

/// Sections of 0 to 40 bytes, some unmovable, some glued.
fn sections(most: usize) -> impl Strategy<Value = Vec<Section>> {
    let size = prop_oneof![Just(0u64), 1u64..40];
    let section = (size, 0u32..4, any::<bool>(), prop::bool::weighted(0.2)).prop_map(
        |(size, align, movable, glued)| Section {
            size,
            align: 1 << align,
            movable,
            glued,
        },
    );
    prop::collection::vec(section, 1..=most)
}

fn forms() -> impl Strategy<Value = Vec<Form>> {
    let form = (-60i64..=0, 0i64..=60, prop::bool::weighted(0.8));
    prop::collection::vec(
        form.prop_map(|(min, max, stub)| Form { min, max, stub }),
        1..=3,
    )
}

fn branch(sections: Vec<Section>, forms: usize) -> impl Strategy<Value = Branch> {
    let count = sections.len() as u32;
    let target = prop_oneof![
        3 => (0..count, -4i64..44)
            .prop_map(|(n, offset)| Target::Section { section: SectionId::new(n), offset }),
        2 => (0u32..4).prop_map(|n| Target::External(ExternalId::new(n))),
        1 => (-80i64..200).prop_map(Target::Fixed),
    ];
    (
        0..count,
        any::<prop::sample::Index>(),
        target,
        0..forms as u32,
    )
        .prop_map(move |(section, at, target, form)| {
            let size = sections[section as usize].size as usize;
            let (section, form) = (SectionId::new(section), FormId::new(form));
            Branch {
                section,
                offset: at.index(size + 1) as u64,
                target,
                form,
            }
        })
}

fn problem(most_sections: usize, most_branches: usize) -> impl Strategy<Value = Owned> {
    (sections(most_sections), forms())
        .prop_flat_map(move |(sections, forms)| {
            let branches = branch(sections.clone(), forms.len());
            let branches = prop::collection::vec(branches, 0..=most_branches);
            (Just(sections), Just(forms), branches)
        })
        .prop_flat_map(|(sections, forms, branches)| {
            let stubs = (1u64..9, 1u64..9, 0u32..3);
            let stubs = stubs.prop_map(|(external, internal, align)| StubSizes {
                external,
                internal,
                align: 1 << align,
            });
            let reorder = prop::sample::select(vec![Reorder::Keep, Reorder::Quick]);
            let ends = any::<(bool, bool)>().prop_map(|(front, behind)| Ends { front, behind });
            (Just((sections, forms, branches)), stubs, reorder, ends)
        })
        .prop_map(
            |((sections, forms, branches), stubs, reorder, ends)| Owned {
                sections,
                branches,
                forms,
                stubs,
                reorder,
                ends,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_are_sound_and_refusals_name_branches_that_miss(owned in problem(40, 120)) {
        match solve(&owned.problem()) {
            Ok(answer) => prop_assert_eq!(check(&owned.problem(), &answer), Ok(())),
            Err(ReachError::OutOfReach(missing)) => {
                prop_assert!(!missing.is_empty());
                prop_assert!(missing.windows(2).all(|pair| pair[0].branch < pair[1].branch));
                for unreached in missing {
                    let direct = unreached.distance.is_some_and(|d| unreached.form.reaches(d));
                    prop_assert!(!direct, "{:?} reaches", unreached);
                }
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn reordering_never_costs_stubs(owned in problem(30, 60)) {
        let keep = solve(&owned.clone().reordered(Reorder::Keep).problem());
        if let Ok(keep) = keep {
            let quick = solve(&owned.reordered(Reorder::Quick).problem());
            prop_assert!(quick.is_ok_and(|quick| quick.stub_count() <= keep.stub_count()));
        }
    }

    // A stub more or less may depend on how far the other stubs push a
    // branch away. That is luck, so others get less reach here, by as much as all stubs
    // can push.
    #[test]
    fn others_that_succeed_need_no_fewer_stubs(small in problem(30, 60), scale in 40i64..200) {
        let mut owned = Owned { ends: Ends::default(), ..small };
        owned.branches.retain(|branch| !matches!(branch.target, Target::Fixed(_)));
        for section in &mut owned.sections {
            section.size *= scale as u64;
            section.glued = false;
        }
        for branch in &mut owned.branches {
            // Into its section, or pushing the two apart might bring it nearer.
            if let Target::Section { section, offset } = &mut branch.target {
                *offset = (*offset).clamp(0, owned.sections[section.index()].size as i64);
            }
        }
        let pushed = 16 * (owned.branches.len() + owned.sections.len()) as i64;
        let mut shorter = owned.clone();
        for (form, shorter) in owned.forms.iter_mut().zip(&mut shorter.forms) {
            (form.min, form.max) = (2 * scale * form.min, 2 * scale * form.max);
            (shorter.min, shorter.max) =
                ((form.min + pushed).min(0), (form.max - pushed).max(0));
        }
        let theirs = [
            others::front_array(&shorter),
            others::front_of_each(&shorter),
            others::groups(&shorter, 40 * scale),
            others::spaced(&shorter),
        ];
        let best = theirs.iter().filter(|o| o.unreached == 0).map(|o| o.stubs).min();
        if let Some(best) = best {
            let ours = solve(&owned.problem());
            prop_assert!(ours.is_ok(), "{:?}", ours);
            prop_assert!(ours.unwrap().stub_count() <= best, "{:?}", theirs);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn small_problems_are_solved_if_they_can_be_and_with_the_fewest_stubs(owned in problem(3, 4)) {
        let best = oracle::fewest_stubs(&owned);
        match solve(&owned.problem()) {
            // We may have fewer: an island may be larger than its stubs.
            Ok(answer) => prop_assert!(best.is_none_or(|best| answer.stub_count() <= best)),
            Err(error) => prop_assert_eq!(None, best, "{}", error),
        }
    }
}
