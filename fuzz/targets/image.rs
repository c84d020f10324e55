//! A whole link of an image: up to three objects or archives, a script (empty: the built-in one) and flags.
#![no_main]

use klink_fuzz::case::Case;
use klink_fuzz::mutate::Random;
use klink_link::{
    BuildId, CompressDebug, Destination, DiscardLocals, HashStyle, Magic, OrphanHandling,
    OutputKind, Strip,
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
        inputs.push(input);
    }
    let mut options = klink_fuzz::options(inputs);
    options.scripts = match case.script {
        [] => Vec::new(),
        script => vec![klink_fuzz::put("case.lds", script).into()],
    };
    options.output_kind = match case.flags >> 1 & 3 {
        1 => OutputKind::Pie,
        2 => OutputKind::Shared,
        _ => OutputKind::Executable,
    };
    options.emit_relocations = flag(3);
    options.gc_sections = flag(4);
    options.print_gc_sections = flag(4);
    options.eh_frame_hdr = flag(5);
    options.no_inhibit_exec = flag(6);
    options.image_reorder = flag(7);
    options.relax = flag(8).then_some(false);
    if flag(9) {
        options.hash_style = HashStyle::Both;
        options.export_dynamic = true;
        options.strip = Strip::Debug;
    }
    if flag(10) {
        options.magic = Magic::Omagic;
        options.discard = DiscardLocals::All;
    }
    if flag(11) {
        options.build_id = BuildId::Sha1;
        options.compress_debug = CompressDebug::Zlib;
    }
    options.orphans = match flag(12) {
        true => OrphanHandling::Discard,
        false => OrphanHandling::Place,
    };
    if flag(13) {
        options.print_map = Some(Destination::StandardOutput);
        options.map_json = Some(Destination::StandardOutput);
        options.stub_symbols = Some(true);
    }
    options.sort_tables = flag(14);
    options.allow_multiple_definition = flag(15);
    if let Err(error) = klink_link::link_in_memory(&options) {
        assert!(!error.to_string().is_empty());
    }
    Corpus::Keep
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(seed.into());
    if random.below(4) == 0 || !klink_fuzz::mutate_object(&mut data[..size], &mut random) {
        return fuzzer_mutate(data, size, max_size);
    }
    size
});
