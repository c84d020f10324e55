//! Planning and linking a module takes time in proportion to its relocations.

mod common;

use std::time::Duration;

use common::calls::{module, plan_and_link};
use klink_module::Stubs;

/// Functions of the smaller module; the larger one has ten times as many.
const FUNCTIONS: u32 = 500;
/// Calls in a function.
const IN_FUNCTION: u32 = 40;
/// How many small modules' time a large one may take. More than ten, since what fits the processor's
/// caches in the smaller module does not in the larger one; what is quadratic takes a hundred.
const LIMIT: f64 = 40.0;

#[test]
fn ten_times_the_calls_take_ten_times_as_long() {
    let small = module(FUNCTIONS, IN_FUNCTION);
    let large = module(10 * FUNCTIONS, IN_FUNCTION);
    for stubs in [Stubs::AsLinux, Stubs::BeforeSections, Stubs::Shared] {
        // as much work on both sides, since clocks are coarse
        let ten_small = || -> Duration {
            let each = (0..10).map(|_| plan_and_link(&small, FUNCTIONS, stubs)[1]);
            each.sum()
        };
        let short = (0..2).map(|_| ten_small()).min().unwrap();
        let large = || plan_and_link(&large, 10 * FUNCTIONS, stubs)[1];
        let long = (0..2).map(|_| large()).min().unwrap();
        let times = 10.0 * long.as_secs_f64() / short.as_secs_f64().max(1e-3);
        eprintln!(
            "{stubs:?}: ten of one size {short:?}, one ten times as large {long:?}: {times:.1} times"
        );
        assert!(times < LIMIT, "{stubs:?}: {short:?} for ten, then {long:?}");
    }
}
