//! What the fuzz targets share: a folder in memory for their inputs, the check that every output is
//! an object that can be linked again, and a mutator that knows where an object's numbers stand.
#![forbid(unsafe_code)]

pub mod case;
pub mod life;
pub mod mutate;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use klink_link::{Input, LinkError, Options, OutputKind};

/// The symbols that say where the parts of a kernel's table are, as the target `kallsyms` takes their
/// offsets.
pub const KALLSYMS_PARTS: [&str; 9] = [
    "kallsyms_addresses",
    "kallsyms_offsets",
    "kallsyms_relative_base",
    "kallsyms_num_syms",
    "kallsyms_names",
    "kallsyms_markers",
    "kallsyms_seqs_of_names",
    "kallsyms_token_table",
    "kallsyms_token_index",
];

/// A folder of this process, in memory where the system has such a place.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() {
            memory.to_path_buf()
        } else {
            std::env::temp_dir()
        };
        let folder = parent.join(format!("klink-fuzz-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder for inputs");
        folder
    })
}

/// Writes an input, and gives its path.
pub fn put(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    fs::write(&path, bytes).expect("room for an input");
    path
}

/// Options of `ld.klink -r` on one thread, with a script shorter than the built-in one: parsing that
/// would take most of the time. The `script` target starts from the built-in one.
pub fn options(inputs: Vec<Input>) -> Options {
    static SCRIPT: OnceLock<PathBuf> = OnceLock::new();
    let script = SCRIPT.get_or_init(|| {
        let script = b"SECTIONS { .text 0 : { *(.text) } .data 0 : { *(.data) } }";
        put("short.lds", script)
    });
    Options {
        inputs,
        scripts: vec![script.clone().into()],
        output_kind: OutputKind::Relocatable,
        threads: 1,
        ..Options::default()
    }
}

/// Whether bytes name files outside of this process's folder, as thin archives and scripts can.
/// What stands in the system's special files is no input of a fuzzer.
pub fn leaves_folder(bytes: &[u8]) -> bool {
    let has = |words: &[u8]| bytes.windows(words.len()).any(|window| window == words);
    has(b"/dev") || has(b"/proc") || has(b"/sys")
}

/// Whether a case may name other files: thin archives do too, which the `archive` target has.
pub fn is_refused(case: &case::Case<'_>) -> bool {
    leaves_folder(case.script) || case.files.iter().any(|file| file.starts_with(b"!<thin>"))
}

/// Links. An error must have words; an output must be an object that the linker itself can read.
pub fn link(options: &Options) {
    match klink_link::link_in_memory(options) {
        Ok((_, output)) => {
            let again = self::options(vec![Input::file(put("again.o", &output))]);
            if let Err(
                error @ (LinkError::Malformed { .. }
                | LinkError::UnknownFormat { .. }
                | LinkError::WrongArchitecture { .. }),
            ) = klink_link::link_in_memory(&again)
            {
                panic!("the output cannot be read again: {error}");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Changes one number of one of the objects in `bytes`, found by their magic numbers. Gives `false` if
/// there is none.
pub fn mutate_object(bytes: &mut [u8], random: &mut mutate::Random) -> bool {
    let starts: Vec<usize> = (0..bytes.len().saturating_sub(4))
        .filter(|&at| &bytes[at..at + 4] == b"\x7fELF")
        .collect();
    match starts.len() {
        0 => false,
        count => mutate::elf(&mut bytes[starts[random.below(count)]..], random),
    }
}
