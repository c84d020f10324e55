//! A linker script: parsed, printed, parsed again, and followed in links of a PA-RISC object.
#![no_main]

use klink_script::Source;
use libfuzzer_sys::{Corpus, fuzz_target};

fuzz_target!(|data: &[u8]| -> Corpus {
    if klink_fuzz::leaves_folder(data) {
        return Corpus::Reject;
    }
    let source = Source::new("fuzz.lds", String::from_utf8_lossy(data).into_owned());
    match klink_script::parse(&source) {
        Ok(script) => {
            let printed = Source::new("printed.lds", script.to_string());
            if let Err(error) = klink_script::parse(&printed) {
                panic!(
                    "what was printed does not parse: {}",
                    error.render(&printed, false)
                );
            }
        }
        Err(error) => assert!(!error.render(&source, false).is_empty()),
    }
    let object = klink_fuzz::put(
        "hppa.o",
        include_bytes!("../../crates/link/tests/data/hppa.o"),
    );
    let mut options = klink_fuzz::options(vec![klink_link::Input::file(object)]);
    options.scripts = vec![klink_fuzz::put("fuzz.lds", data).into()];
    klink_fuzz::link(&options);
    options.module = Some(Default::default());
    options.dissolve_groups = true;
    klink_fuzz::link(&options);
    Corpus::Keep
});
