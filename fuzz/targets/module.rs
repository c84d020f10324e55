//! A module: its whole life, from parsing to unloading, by a policy that its last byte chooses.
#![no_main]

use klink_fuzz::life;
use klink_fuzz::mutate::{self, Random};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    if let Some((&choice, module)) = data.split_last() {
        life::live(module, choice);
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed.into());
    if random.below(4) == 0 || !mutate::elf(&mut data[..size], &mut random) {
        return fuzzer_mutate(data, size, max_size);
    }
    size
});
