//! An archive: searched for what one object needs, then taken whole.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    if klink_fuzz::leaves_folder(data) {
        return Corpus::Reject;
    }
    // Members of thin archives are looked for here.
    klink_fuzz::put(
        "more.o",
        include_bytes!("../../crates/link/tests/data/more.o"),
    );
    let needing = klink_link::Input::file(klink_fuzz::put(
        "x86_64.o",
        include_bytes!("../../crates/link/tests/data/x86_64.o"),
    ));
    let mut archive = klink_link::Input::file(klink_fuzz::put("lib.a", data));
    klink_fuzz::link(&klink_fuzz::options(vec![needing.clone(), archive.clone()]));
    archive.whole_archive = true;
    klink_fuzz::link(&klink_fuzz::options(vec![needing, archive]));
    Corpus::Keep
});
