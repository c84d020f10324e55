//! Linux's own `sorttable`, built from Debian's `linux-source-6.1`, on the same files: the bytes must
//! be the same. Where there is no such source or no compiler, there is nothing to compare.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use klink_tables::sort::image;
use klink_tables::sort::mcount::WeakCalls;
use klink_tables::{Endian, WordSize};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::kernel::{Kernel, SHT_RELA, Section};
use crate::skip;

const SOURCE: &str = "/usr/src/linux-source-6.1.tar.xz";
const TREE: &str = "linux-source-6.1";
/// All that the program includes.
const MEMBERS: [&str; 11] = [
    "scripts/sorttable.c",
    "scripts/sorttable.h",
    "tools/arch/x86/include/asm/orc_types.h",
    "tools/include/asm-generic/bitsperlong.h",
    "tools/include/linux/compiler-gcc.h",
    "tools/include/linux/compiler.h",
    "tools/include/linux/compiler_types.h",
    "tools/include/linux/types.h",
    "tools/include/tools/be_byteshift.h",
    "tools/include/tools/le_byteshift.h",
    "tools/include/uapi/asm-generic/bitsperlong.h",
];

/// What the program is compiled to sort besides exception tables, as a kernel's configuration says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Also {
    pub(crate) orc: bool,
    pub(crate) calls: bool,
}

/// The program, or nothing and a message if it cannot be built.
pub(crate) fn sorttable(also: Also) -> Option<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match BUILT.get_or_init(build) {
        Ok(folder) => Some(folder.join(program(also))),
        Err(why) => {
            skip(&format!(
                "{why}; `cargo xtask tools` installs linux-source-6.1 and gcc"
            ));
            None
        }
    }
}

fn program(also: Also) -> String {
    format!("sorttable-{}-{}", also.orc, also.calls)
}

fn build() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sorttable-6.1");
    let done = folder.join("done");
    if done.exists() {
        return Ok(folder);
    }
    if !Path::new(SOURCE).exists() {
        return Err(format!("there is no {SOURCE}"));
    }
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let mut tar = Command::new("tar");
    tar.arg("-C")
        .arg(&folder)
        .args(["--occurrence=1", "-xf", SOURCE])
        .args(MEMBERS.map(|member| format!("{TREE}/{member}")));
    run(&mut tar)?;
    let tree = folder.join(TREE);
    for (orc, calls) in [(false, false), (true, false), (false, true), (true, true)] {
        let unfinished = folder.join(format!("program.{}", std::process::id()));
        let mut gcc = Command::new("gcc");
        gcc.args(["-O2", "-w", "-o"]).arg(&unfinished);
        for include in ["tools/include", "tools/arch/x86/include"] {
            gcc.arg("-I").arg(tree.join(include));
        }
        gcc.args(orc.then_some("-DUNWINDER_ORC_ENABLED"));
        gcc.args(calls.then_some("-DMCOUNT_SORT_ENABLED"));
        run(gcc.arg(tree.join(MEMBERS[0])).arg("-lpthread"))?;
        let finished = folder.join(program(Also { orc, calls }));
        std::fs::rename(&unfinished, finished).map_err(|error| error.to_string())?;
    }
    std::fs::write(done, "").map_err(|error| error.to_string())?;
    Ok(folder)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output();
    let output = output.map_err(|error| format!("{command:?}: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!(
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        )),
    }
}

/// What the program makes of `file`. `calls` are the symbols that it wants to find in System.map.
pub(crate) fn theirs(program: &Path, file: &[u8], calls: Option<(u64, u64)>) -> Vec<u8> {
    let folder = tempfile::tempdir().expect("a folder");
    let kernel = folder.path().join("vmlinux");
    std::fs::write(&kernel, file).expect("to write");
    if let Some((start, stop)) = calls {
        let map = format!("{start:x} T __start_mcount_loc\n{stop:x} T __stop_mcount_loc\n");
        std::fs::write(folder.path().join("System.map"), map).expect("to write");
    }
    let mut command = Command::new(program);
    run(command.arg("vmlinux").current_dir(folder.path())).expect("sorttable succeeds");
    std::fs::read(kernel).expect("to read")
}

/// Machines that both know, with their word and byte order. parisc is not among them: its kernels since 6.8
/// have a form that `sorttable` does not know, and are not sorted by it. Nor is loongarch, of which 6.1
/// sorts what it had then.
const MACHINES: [(u16, WordSize, Endian); 13] = [
    (3, WordSize::Four, Endian::Little),
    (62, WordSize::Eight, Endian::Little),
    (183, WordSize::Eight, Endian::Little),
    (243, WordSize::Four, Endian::Little),
    (22, WordSize::Eight, Endian::Big),
    (20, WordSize::Four, Endian::Big),
    (21, WordSize::Eight, Endian::Little),
    (21, WordSize::Eight, Endian::Big),
    (40, WordSize::Four, Endian::Little),
    (8, WordSize::Four, Endian::Big),
    (8, WordSize::Eight, Endian::Little),
    (93, WordSize::Four, Endian::Little),
    (94, WordSize::Four, Endian::Big),
];

/// A kernel with tables of any content, as far as kernels have it. Few addresses, so that some are
/// the same.
fn any_kernel() -> impl Strategy<Value = (Kernel, Also)> {
    let words = prop::collection::vec((0_u32..40, any::<u16>()), 0..120);
    let orc = prop::collection::vec((0_u32..30, 0_u8..3), 0..80);
    let calls = prop::collection::vec(0_u64..1000, 1..50);
    let machine = prop::sample::select(MACHINES.to_vec());
    (machine, words, orc, calls, any::<bool>(), any::<bool>()).prop_map(
        |((machine, word, endian), words, orc, calls, with_calls, with_relocations)| {
            let mut kernel = Kernel::new(machine, word, endian);
            let pairs = words.iter();
            // Distances are to code below and above the table.
            let bytes = pairs.flat_map(|&(near, other)| {
                let distance = (near.wrapping_sub(20) << 12).wrapping_add(u32::from(other & 3));
                kernel.four(distance)
            });
            let bytes: Vec<u8> = bytes.collect();
            let table = kernel.section("__ex_table", bytes);
            if with_relocations {
                let records = Section {
                    name: ".rela__ex_table",
                    kind: SHT_RELA,
                    flags: 0,
                    info: table.into(),
                    bytes: vec![0x55; 48],
                };
                kernel.sections.push(records);
            }
            kernel.flag();
            let with_orc = machine == 62;
            if with_orc {
                add_orc(&mut kernel, &orc);
            }
            if with_calls {
                let values = calls.iter().flat_map(|&call| kernel.word(call << 20));
                let mut bytes = vec![0x11; 24];
                bytes.extend(values);
                let size = bytes.len() as u64;
                bytes.extend([0x22; 8]);
                let section = kernel.section(".init.data", bytes);
                let start = Kernel::address(section);
                kernel.symbol("__start_mcount_loc", start + 24, 0, 0, section);
                kernel.symbol("__stop_mcount_loc", start + size, 0, 0, section);
            }
            let also = Also {
                orc: with_orc,
                calls: with_calls,
            };
            (kernel, also)
        },
    )
}

/// Entries of ORC as objtool makes them: one that says nothing, the end of the stack, and others.
fn add_orc(kernel: &mut Kernel, entries: &[(u32, u8)]) {
    let mut ips = Vec::new();
    let mut bytes = Vec::new();
    for (index, &(near, kind)) in entries.iter().enumerate() {
        let distance = (near << 8).wrapping_sub(4 * index as u32);
        ips.extend(kernel.four(distance));
        let number = index as u8;
        bytes.extend(match kind {
            0 => [0, 0, 0, 0, 0, 0],
            1 => [0, 0, 0, 0, 0, 4],
            _ => [number, 0, number, 1, 0x15, 1],
        });
    }
    kernel.section(".orc_unwind_ip", ips);
    kernel.section(".orc_unwind", bytes);
}

/// The symbols that sorttable looks for in System.map.
fn calls(kernel: &Kernel) -> Option<(u64, u64)> {
    let value = |name| {
        Some(
            kernel
                .symbols
                .iter()
                .find(|symbol| symbol.name == name)?
                .value,
        )
    };
    Some((value("__start_mcount_loc")?, value("__stop_mcount_loc")?))
}

#[test]
fn bytes_are_those_of_linux() {
    if sorttable(Also::default()).is_none() {
        return;
    }
    let config = Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    };
    let mut runner = TestRunner::new(config);
    let outcome = runner.run(&any_kernel(), |(kernel, also)| {
        let program = sorttable(also).expect("it was there");
        let file = kernel.file();
        let expected = theirs(&program, &file, calls(&kernel));
        let mut ours = file;
        image(&mut ours, WeakCalls::Keep)
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(ours, expected);
        Ok(())
    });
    outcome.expect("the same bytes");
}
