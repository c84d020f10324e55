//! Modules of calls and nothing else, as large as is asked for, and the time that they take.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use klink_module::{Export, ModuleFile, Policy, Stubs, SymbolTable};

use super::host::{Space, placed};

/// Functions of the kernel that are called.
const EXTERNALS: u32 = 100;
/// How many functions away a function's calls go, as in a module that is put together from parts. If
/// each called all others, the stubs that are needed would be as many as islands times functions.
const NEIGHBOURS: u32 = 400;

/// A PA-RISC module of functions that call each other and the kernel: `b,l target,%r2; nop`.
pub(crate) fn module(functions: u32, in_function: u32) -> Vec<u8> {
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
        for _ in 0..in_function {
            words(&mut file, &[0xe840_0000, 0x0800_0240]);
        }
        let size = file.len() as u32 - start;
        let section = headers.len() as u32;
        // SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR
        headers.push([text, 1, 6, 0, start, size, 0, 0, 4, 0]);
        let start = file.len() as u32;
        for call in 0..in_function {
            // every other call goes to the kernel, the others to functions near and not so near
            let symbol = match call % 2 {
                0 => 1 + functions + (function * 7 + call) % EXTERNALS,
                _ => 1 + (function + call * 97 % NEIGHBOURS) % functions,
            };
            words(&mut file, &[call * 8, symbol << 8 | 12, 0]);
        }
        let size = file.len() as u32 - start;
        headers.push([rela, 4, 0, 0, start, size, symtab, section, 4, 12]);
    }
    let start = file.len() as u32;
    words(&mut file, &[0; 4]);
    let mut strings = vec![0_u8];
    for symbol in 0..functions + EXTERNALS {
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
    // the system counts when a thread stops
    thread::sleep(Duration::from_nanos(1));
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = told.split(' ').next().and_then(|word| word.parse().ok());
    first.map_or_else(|| start.elapsed(), Duration::from_nanos)
}

/// The time of planning alone, and of planning and linking.
pub(crate) fn plan_and_link(bytes: &[u8], functions: u32, stubs: Stubs) -> [Duration; 2] {
    let mut kernel = SymbolTable::new();
    for symbol in functions..functions + EXTERNALS {
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
    let planned = time(begin) - start;
    let space = Space {
        next: 0x0400_0000,
        per_cpu: 0,
    };
    let linked = plan.link(placed(&plan, space), &kernel).unwrap();
    assert!(linked.stub_count() > 0);
    [planned, time(begin) - start]
}
