//! Stubs needed for real modules, and time for made-up large programs.

#[path = "../tests/support/mod.rs"]
mod support;

use klink_reach::*;
use std::time::Instant;

fn main() {
    for (name, owned) in [("xfs", support::xfs()), ("ipv6", support::ipv6())] {
        for reorder in [Reorder::Keep, Reorder::Quick, Reorder::Thorough] {
            let owned = owned.clone().reordered(reorder);
            let problem = owned.problem();
            let start = Instant::now();
            let answer = solve(&problem).unwrap();
            let time = start.elapsed();
            check(&problem, &answer).unwrap();
            println!(
                "{name} {reorder:?} stubs {} least {} islands {} size {} {time:?}",
                answer.stub_count(),
                owned.least_stubs(),
                answer.islands.len(),
                answer.size
            );
        }
    }
    for branches in [0; 0] {
        for (text, reach) in [(60 << 20, 8 << 20), (8 << 20, 256 << 10)] {
            let owned = support::program(branches, text, reach);
            for reorder in [Reorder::Keep] {
                let owned = owned.clone().reordered(reorder);
                let problem = owned.problem();
                let start = Instant::now();
                let answer = solve(&problem).unwrap();
                let time = start.elapsed();
                check(&problem, &answer).unwrap();
                println!(
                    "{branches} {reach} {reorder:?} stubs {} least {} islands {} size {} {time:?}",
                    answer.stub_count(),
                    owned.least_stubs(),
                    answer.islands.len(),
                    answer.size
                );
            }
        }
    }
}
