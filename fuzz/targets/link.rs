//! A whole link: up to three objects or archives, a script and flags.
#![no_main]

use klink_fuzz::case::Case;
use klink_fuzz::mutate::Random;
use klink_link::{
    BuildId, DiscardLocals, InputFormat, ModuleOptions, OrphanHandling, Strip, Unique,
};
use libfuzzer_sys::{Corpus, fuzz_mutator, fuzz_target, fuzzer_mutate};

fuzz_target!(|data: &[u8]| -> Corpus {
    let case = Case::decode(data);
    if klink_fuzz::is_refused(&case) {
        return Corpus::Reject;
    }
    let flag = |bit: u32| case.flags >> bit & 1 == 1;
    let mut inputs = Vec::new();
    for (number, file) in case.files.iter().enumerate() {
        let mut input = klink_link::Input::file(klink_fuzz::put(&format!("{number}.o"), file));
        input.whole_archive = flag(0);
        if flag(1) && number > 0 {
            input.format = InputFormat::Binary;
        }
        input.group = flag(2).then_some(1);
        inputs.push(input);
    }
    let mut options = klink_fuzz::options(inputs);
    if !case.script.is_empty() {
        options.scripts = vec![klink_fuzz::put("case.lds", case.script).into()];
    }
    options.module = flag(3).then(|| ModuleOptions {
        stub_symbols: flag(4),
        keep_order: flag(5),
        ..ModuleOptions::default()
    });
    options.dissolve_groups = flag(6);
    options.strip =
        [Strip::None, Strip::Debug, Strip::All, Strip::None][usize::from(case.flags >> 7 & 3)];
    options.discard = match case.flags >> 9 & 3 {
        1 => DiscardLocals::CompilerMade,
        2 => DiscardLocals::All,
        _ => DiscardLocals::None,
    };
    options.build_id = if flag(11) {
        BuildId::Sha1
    } else {
        BuildId::None
    };
    options.unique = if flag(12) {
        Unique::AllOrphans
    } else {
        Unique::No
    };
    options.orphans = if flag(13) {
        OrphanHandling::Discard
    } else {
        OrphanHandling::Place
    };
    options.executable_stack = flag(14).then_some(false);
    options.allow_multiple_definition = flag(15);
    options.undefined = vec!["outside".to_owned()];
    klink_fuzz::link(&options);
    Corpus::Keep
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed.into());
    if random.below(4) == 0 || !klink_fuzz::mutate_object(&mut data[..size], &mut random) {
        return fuzzer_mutate(data, size, max_size);
    }
    size
});
