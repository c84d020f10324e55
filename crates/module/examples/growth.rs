//! Plans and links modules of calls and nothing else, one ten times as large as the other, and prints how
//! many times as long that takes: `growth [CALLS [CALLS_IN_A_FUNCTION]]`.

use std::env;
use std::time::Duration;

use klink_module::Stubs;

#[path = "../tests/common/calls.rs"]
mod calls;
#[path = "../tests/common/host.rs"]
#[allow(dead_code, reason = "shared with tests")]
mod host;

use calls::{module, plan_and_link};

/// Each is done so often, and the least time counts.
const ROUNDS: usize = 5;

fn main() {
    let mut numbers = env::args()
        .skip(1)
        .map(|number| number.parse().expect("a number"));
    let calls: u32 = numbers.next().unwrap_or(300_000);
    let in_function: u32 = numbers.next().unwrap_or(400);
    let functions = calls / in_function;
    let (small, large) = (
        module(functions, in_function),
        module(10 * functions, in_function),
    );
    for stubs in [Stubs::AsLinux, Stubs::BeforeSections, Stubs::Shared] {
        let least = |bytes: &[u8], functions| -> [Duration; 2] {
            let times: Vec<_> = (0..ROUNDS)
                .map(|_| plan_and_link(bytes, functions, stubs))
                .collect();
            [0, 1].map(|step| {
                times
                    .iter()
                    .map(|time| time[step])
                    .min()
                    .unwrap_or_default()
            })
        };
        let (short, long) = (least(&small, functions), least(&large, 10 * functions));
        for (step, name) in ["plan", "plan and link"].into_iter().enumerate() {
            let (short, long) = (short[step], long[step]);
            let times = long.as_secs_f64() / short.as_secs_f64();
            println!(
                "{stubs:?}, {name}: {calls} calls {short:?}, ten times as many {long:?}: {times:.1} times"
            );
        }
    }
}
