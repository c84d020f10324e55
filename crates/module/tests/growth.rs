//! Planning and linking a module takes time in proportion to its relocations.

mod common;

use std::fs;
use std::time::{Duration, Instant};

use common::host::{Simulated, Space};
use klink_module::{Error, Export, ModuleFile, Policy, Stubs, SymbolTable};

/// Relocations of the smaller module; the larger one has ten times as many.
const CALLS: u32 = 20_000;
/// Calls in a function.
const IN_FUNCTION: u32 = 40;
/// What ten times the work may take at most, in times. More than ten, since what fits the processor's
/// caches in the smaller module does not in the larger one; what is quadratic takes a hundred.
const LIMIT: f64 = 40.0;

/// A PA-RISC module of functions that call each other and the kernel: `b,l target,%r2; nop`.
fn module(calls: u32) -> Vec<u8> {
    let functions = calls / IN_FUNCTION;
    let mut file = Vec::new();
    let mut headers: Vec<[u32; 10]> = vec![[0; 10]];
    let mut names = vec![0_u8];
    let mut name = |text: &str| {
        let at = names.len() as u32;
        names.extend(text.bytes().chain([0]));
        at
    };
    let (text, rela) = (name(".text.f"), name(".rela.text.f"));
    let tables = [".symtab", ".strtab", ".shstrtab"].map(&mut name);
    file.resize(52, 0);
    let words = |file: &mut Vec<u8>, words: &[u32]| {
        file.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    };
    let symtab = 2 * functions + 1;
    for function in 0..functions {
        let start = file.len() as u32;
        for _ in 0..IN_FUNCTION {
            words(&mut file, &[0xe840_0000, 0x0800_0240]);
        }
        let size = file.len() as u32 - start;
        let section = headers.len() as u32;
        // SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR
        headers.push([text, 1, 6, 0, start, size, 0, 0, 4, 0]);
        let start = file.len() as u32;
        for call in 0..IN_FUNCTION {
            // every other call goes to the kernel, the others all over the module
            let symbol = match call % 2 {
                0 => 1 + functions + (function * 7 + call) % 100,
                _ => 1 + (function * 31 + call * 97) % functions,
            };
            words(&mut file, &[call * 8, symbol << 8 | 12, 0]);
        }
        let size = file.len() as u32 - start;
        headers.push([rela, 4, 0, 0, start, size, symtab, section, 4, 12]);
    }
    let start = file.len() as u32;
    words(&mut file, &[0; 4]);
    let mut strings = vec![0_u8];
    for symbol in 0..functions + 100 {
        let at = strings.len() as u32;
        strings.extend(format!("s{symbol}").bytes().chain([0]));
        // STB_GLOBAL, STT_FUNC
        let section = if symbol < functions {
            1 + 2 * symbol
        } else {
            0
        };
        words(&mut file, &[at, 0, 0, 0x1200_0000 | section]);
    }
    let size = file.len() as u32 - start;
    headers.push([tables[0], 2, 0, 0, start, size, symtab + 1, 1, 4, 16]);
    for (table, bytes) in [(tables[1], &strings), (tables[2], &names)] {
        let start = file.len() as u32;
        file.extend(bytes);
        headers.push([table, 3, 0, 0, start, bytes.len() as u32, 0, 0, 1, 0]);
    }
    file.resize(file.len().next_multiple_of(4), 0);
    let start = file.len() as u32;
    for header in &headers {
        words(&mut file, header);
    }
    let count = headers.len() as u32;
    let mut head = b"\x7fELF\x01\x02\x01\x03\0\0\0\0\0\0\0\0\0\x01\0\x0f".to_vec();
    words(&mut head, &[1, 0, 0, start, 0x210]);
    words(&mut head, &[52 << 16, 40, count << 16 | (count - 1)]);
    file[..52].copy_from_slice(&head[..52]);
    file
}

/// What this thread has had of the processor; the clock, where the system does not tell.
fn time(start: Instant) -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = told.split(' ').next().and_then(|word| word.parse().ok());
    first.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

fn plan_and_link(bytes: &[u8], stubs: Stubs) -> Duration {
    let mut kernel = SymbolTable::new();
    for symbol in 0..10 * CALLS / IN_FUNCTION + 100 {
        kernel.insert(format!("s{symbol}").as_bytes(), Export::at(0x1010_0000));
    }
    kernel.insert_internal(b"$global$", 0x1080_0000);
    let begin = Instant::now();
    let start = time(begin);
    let file = ModuleFile::parse(bytes).unwrap();
    let policy = Policy {
        stubs,
        ..Policy::shared_islands(file.arch())
    };
    let plan = file.plan(&policy).unwrap();
    let mut space = Space {
        next: 0x0400_0000,
        per_cpu: 0,
    };
    let placement = plan.allocate(|block| {
        Ok::<_, Error>(Simulated {
            address: space.place(block),
            bytes: vec![0; block.size as usize],
        })
    });
    let linked = plan.link(placement.unwrap(), &kernel).unwrap();
    assert!(linked.stub_count() > 0);
    time(begin) - start
}

#[test]
fn ten_times_the_calls_take_ten_times_as_long() {
    let (small, large) = (module(CALLS), module(10 * CALLS));
    for stubs in [Stubs::AsLinux, Stubs::BeforeSections, Stubs::Shared] {
        let best = |bytes: &[u8]| (0..2).map(|_| plan_and_link(bytes, stubs)).min().unwrap();
        let (short, long) = (best(&small), best(&large));
        let times = long.as_secs_f64() / short.as_secs_f64();
        eprintln!("{stubs:?}: {short:?}, {long:?}: {times:.1} times");
        assert!(times < LIMIT, "{stubs:?}: {short:?}, then {long:?}");
    }
}
