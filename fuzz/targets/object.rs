//! One object: read, linked with `-r`, and the output read again.
#![no_main]

use klink_fuzz::mutate::{self, Random};
use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| {
    let path = klink_fuzz::put("one.o", data);
    klink_fuzz::link(&klink_fuzz::options(vec![klink_link::Input::file(path)]));
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed.into());
    if random.below(4) == 0 || !mutate::elf(&mut data[..size], &mut random) {
        return fuzzer_mutate(data, size, max_size);
    }
    size
});
