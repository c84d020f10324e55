//! Kernel images: texts of many reaches, with room between sections that nothing may move across.

mod support;

use klink_reach::*;
use proptest::prelude::*;
use support::Owned;

/// A program whose functions stand in any order, with room behind every `run` functions, where no
/// island may stand and which no function passes. What it calls outside is at a fixed place that
/// is out of reach.
fn image(branches: u32, text: u64, reach: i64, run: usize) -> Owned {
    let program = support::program(branches, text, reach);
    let count = program.sections.len();
    let mut sections = Vec::new();
    let mut number = Vec::with_capacity(count);
    for (index, section) in program.sections.iter().enumerate() {
        let mut section = *section;
        if index % run == run - 1 {
            sections.push(Section::new(1000, 8).unmovable());
            section = section.glued();
        }
        number.push(SectionId::new(sections.len() as u32));
        sections.push(section);
    }
    // 7919 is a prime: no two functions go to the same place.
    let elsewhere = |section: SectionId| number[section.index() * 7919 % count];
    let branches = program.branches.iter().map(|branch| {
        let section = elsewhere(branch.section);
        let size = sections[section.index()].size;
        let target = match branch.target {
            Target::Section { section, offset } => Target::Section {
                section: elsewhere(section),
                offset,
            },
            Target::External(id) => Target::Fixed(-2 * reach - 64 * id.index() as i64),
            fixed => fixed,
        };
        Branch {
            section,
            offset: branch.offset.min(size),
            target,
            ..*branch
        }
    });
    Owned {
        branches: branches.collect(),
        ends: Ends {
            front: false,
            behind: true,
        },
        sections,
        ..program
    }
}

fn stubs(owned: &Owned) -> usize {
    let problem = owned.problem();
    let answer = solve(&problem).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(check(&problem, &answer), Ok(()));
    answer.stub_count()
}

#[test]
fn an_image_of_many_reaches_needs_fewer_stubs_in_another_order() {
    let image = image(20_000, 7 << 20, 256 << 10, 700);
    let keep = stubs(&image.clone().reordered(Reorder::Keep));
    let quick = stubs(&image.reordered(Reorder::Quick));
    assert!(quick * 100 < keep * 70, "{quick} of {keep}");
}

/// Parts of 80 functions of 3 KiB that call only each other, their functions scattered over the text.
fn scattered(parts: u32) -> Owned {
    const FUNCTIONS: u32 = 80;
    let count = parts * FUNCTIONS;
    let mut branches = Vec::new();
    for function in 0..count {
        // Those of a part are `parts` apart.
        let (part, own) = (function % parts, function / parts);
        for call in 1..=8 {
            let other = (own + call * call * 7) % FUNCTIONS * parts + part;
            let (section, offset) = (SectionId::new(other), 0);
            branches.push(Branch {
                section: SectionId::new(function),
                offset: 64 * u64::from(call),
                target: Target::Section { section, offset },
                form: FormId::new(0),
            });
        }
    }
    Owned {
        sections: vec![Section::new(3 << 10, 4); count as usize],
        branches,
        ..support::program(10, 1 << 10, 256 << 10)
    }
}

#[test]
fn what_belongs_together_comes_together() {
    let image = scattered(28);
    let keep = stubs(&image.clone().reordered(Reorder::Keep));
    let quick = stubs(&image.reordered(Reorder::Quick));
    assert!(keep > 5000, "{keep}");
    // No part is longer than the reach, so none needs a stub; where one ends up in two places,
    // hardly a function of it does not.
    assert!(quick < 200, "{quick} of {keep}");
}

#[test]
fn an_order_that_is_good_already_is_the_one_to_start_from() {
    // Half of the calls go to functions nearby.
    let program = support::program(12_000, 7 << 20, 256 << 10);
    let keep = stubs(&program.clone().reordered(Reorder::Keep));
    let quick = stubs(&program.reordered(Reorder::Quick));
    assert!(quick * 100 < keep * 80, "{quick} of {keep}");
}

#[test]
fn the_same_image_has_the_same_answer() {
    let image = image(4_000, 5 << 20, 256 << 10, 100).reordered(Reorder::Quick);
    assert_eq!(solve(&image.problem()), solve(&image.problem()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    // With fewer branches there are fewer functions, so large that their middle reaches nothing.
    #[test]
    fn images_are_answered_soundly(
        branches in 600u32..3000,
        reaches in 8u64..24,
        run in 3usize..200,
    ) {
        let image = image(branches, reaches << 18, 256 << 10, run);
        let keep = stubs(&image.clone().reordered(Reorder::Keep));
        let quick = stubs(&image.reordered(Reorder::Quick));
        prop_assert!(quick <= keep);
    }
}
