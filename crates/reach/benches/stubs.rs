//! Stubs that real modules need with each strategy, and time for large
//! made-up programs: `cargo bench -p klink-reach`.
//!
//! Times are the best of three in one run; compare them with each other only.

#[path = "../tests/support/mod.rs"]
mod support;

use klink_reach::*;
use std::time::{Duration, Instant};
use support::others::{self, Outcome};
use support::{Owned, STUBS};

fn main() {
    for (name, owned) in [("xfs", support::xfs()), ("ipv6", support::ipv6())] {
        let text: u64 = owned.sections.iter().map(|section| section.size).sum();
        let (sections, branches) = (owned.sections.len(), owned.branches.len());
        println!("{name}: {text} bytes in {sections} sections, {branches} branches");
        println!(
            "at least {} stubs (external targets)\n",
            owned.least_stubs()
        );
        println!("| strategy | stubs | bytes | islands | unreached | ms |");
        println!("|---|--:|--:|--:|--:|--:|");
        row("one array in front (Linux before 2008)", || {
            others::front_array(&owned)
        });
        row("one in front of each section (Linux since)", || {
            others::front_of_each(&owned)
        });
        row("one per group (GNU ld)", || {
            others::groups(&owned, others::LD_GROUP)
        });
        row("spaced (lld)", || others::spaced(&owned));
        for reorder in [Reorder::Keep, Reorder::Quick, Reorder::Thorough] {
            let owned = owned.clone().reordered(reorder);
            row(&format!("klink, {reorder:?}"), || solved(&owned));
        }
        println!();
    }
    println!("| made-up program | reorder | stubs | at least | islands | ms |");
    println!("|---|---|--:|--:|--:|--:|");
    for (text, reach) in [(60 << 20, 8 << 20), (8 << 20, 256 << 10)] {
        for branches in [250_000, 500_000, 1_000_000] {
            let owned = support::program(branches, text, reach);
            for reorder in [Reorder::Keep, Reorder::Quick] {
                let owned = owned.clone().reordered(reorder);
                let (outcome, time) = timed(|| solved(&owned));
                println!(
                    "| {branches} branches, {} sections, {} MiB, ±{} KiB | {reorder:?} | {} | {} | {} | {:.0} |",
                    owned.sections.len(),
                    text >> 20,
                    reach >> 10,
                    outcome.stubs,
                    owned.least_stubs(),
                    outcome.islands,
                    time.as_secs_f64() * 1e3,
                );
            }
        }
    }
}

fn solved(owned: &Owned) -> Outcome {
    match solve(&owned.problem()) {
        Ok(answer) => {
            assert_eq!(check(&owned.problem(), &answer), Ok(()));
            let stubs = answer.stub_count();
            let bytes = stubs as u64 * STUBS.external;
            Outcome {
                stubs,
                bytes,
                islands: answer.islands.len(),
                unreached: 0,
            }
        }
        Err(ReachError::OutOfReach(missing)) => Outcome {
            stubs: 0,
            bytes: 0,
            islands: 0,
            unreached: missing.len(),
        },
        Err(error) => panic!("{error}"),
    }
}

fn row(name: &str, strategy: impl Fn() -> Outcome) {
    let (outcome, time) = timed(strategy);
    let Outcome {
        stubs,
        bytes,
        islands,
        unreached,
    } = outcome;
    let ms = time.as_secs_f64() * 1e3;
    println!("| {name} | {stubs} | {bytes} | {islands} | {unreached} | {ms:.1} |");
}

fn timed<T>(run: impl Fn() -> T) -> (T, Duration) {
    let once = || {
        let start = Instant::now();
        let result = run();
        (start.elapsed(), result)
    };
    let mut best = once();
    for _ in 0..2 {
        let next = once();
        if next.0 < best.0 {
            best = next;
        }
    }
    (best.1, best.0)
}
