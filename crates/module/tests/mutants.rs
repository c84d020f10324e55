//! Damaged modules: no panic, no long work, no allocation out of proportion.
//!
//! Small modules always; with `KLINK_MODULES`, a list of folders separated by colons, also
//! `KLINK_MUTANTS` (100,000) mutants of 50 modules from there.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::host::{Simulated, SimulatedHost, Space};
use common::{ALL, policies};
use klink_module::{Error, Export, ModuleFile, Modules, Symbols};

/// The longest that a mutant may take.
const LIMIT: Duration = Duration::from_secs(1);
/// Bytes that the host grants for a block.
const GRANTED: u64 = 64 << 20;
/// Bytes of an allocation that are never too many.
const ALWAYS: usize = 16 << 10;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
    static COUNTING: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, which remembers the largest allocation of each thread.
struct Watching;

fn watch(size: usize) {
    if COUNTING.with(Cell::get) {
        LARGEST.with(|largest| largest.set(largest.get().max(size)));
    }
}

// SAFETY: every call goes to the system's allocator as it came.
#[allow(unsafe_code, reason = "allocators cannot be written without")]
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        watch(layout.size());
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        watch(size);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// A kernel that exports everything.
struct Everything(u64);

impl Symbols for Everything {
    fn export(&self, name: &[u8]) -> Option<Export<'_>> {
        Some(Export::at(self.0 + 16 * (name.len() as u64 % 64)))
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same mutants in every run.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Damages a module in one of some ways.
fn mutate(original: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = original.to_vec();
    let len = bytes.len();
    match chance.below(8) {
        0..=2 => {
            for _ in 0..1 + chance.below(2) {
                let at = chance.below(len);
                bytes[at] ^= 1 << chance.below(8);
            }
        }
        3 => bytes.truncate(chance.below(len)),
        // the headers of sections are mostly at the end, the file's own in front
        4..=5 => {
            let tail = len / 4;
            let at = match chance.below(4) {
                0 => chance.below(64.min(len)),
                _ => len - 1 - chance.below(tail),
            };
            let absurd = [
                0_u64,
                1,
                0x7f,
                u64::MAX,
                1 << 31,
                1 << 63,
                0xffff_fff0,
                0x1000,
            ];
            let value = absurd[chance.below(absurd.len())].to_le_bytes();
            let size = [1, 2, 4, 8][chance.below(4)];
            for (byte, new) in bytes
                .iter_mut()
                .skip(at & !(size - 1))
                .take(size)
                .zip(value)
            {
                *byte = new;
            }
        }
        6 => {
            let (from, to) = (chance.below(len), chance.below(len));
            let size = chance.below(64).min(len - from.max(to));
            bytes.copy_within(from..from + size, to);
        }
        _ => {
            let at = chance.below(len);
            let size = chance.below(256).min(len - at);
            bytes[at..at + size].fill(chance.next() as u8);
        }
    }
    bytes
}

/// Takes a module as far as it goes.
fn live_a_life(bytes: &[u8], which: usize, space: Space, kernel: u64) -> Result<(), Error> {
    let file = ModuleFile::parse(bytes)?;
    let all = policies(&file);
    let plan = file.plan(&all[which % all.len()])?;
    let mut space = space;
    let placement = plan.allocate(|block| {
        if block.size > GRANTED || block.align > GRANTED {
            return Err(Error::TooLarge);
        }
        COUNTING.with(|counting| counting.set(false));
        let memory = Simulated {
            address: space.place(block),
            bytes: vec![0; block.size as usize],
        };
        COUNTING.with(|counting| counting.set(true));
        Ok(memory)
    })?;
    let linked = plan.link(placement, &Everything(kernel))?;
    let (mut host, mut modules) = (SimulatedHost::new(space), Modules::new());
    let linked = linked.with_arguments(b"number=1 list=1,2 label=x switch text=y");
    let live = linked.commit(&mut host, &mut modules);
    let Ok(live) = live else {
        return Ok(());
    };
    let live = live.discard_init(&mut host).expect("a host that does all");
    // a module without exit stays
    let _ = live.unload(&mut host, &mut modules);
    Ok(())
}

/// Tries a mutant; gives whether it was loaded.
fn try_one(name: &str, bytes: &[u8], which: usize, space: Space, kernel: u64) -> bool {
    LARGEST.with(|largest| largest.set(0));
    let run = || {
        let start = Instant::now();
        COUNTING.with(|counting| counting.set(true));
        let result = live_a_life(bytes, which, space, kernel);
        COUNTING.with(|counting| counting.set(false));
        (start.elapsed(), result)
    };
    let (mut took, result) = run();
    // a busy machine can take a second away from anyone, but hardly five times
    for _ in 0..4 {
        if took >= LIMIT {
            took = run().0;
        }
    }
    let largest = LARGEST.with(Cell::get);
    assert!(took < LIMIT, "{name}: took {took:?}");
    let allowed = ALWAYS.max(4 * bytes.len());
    assert!(
        largest <= allowed,
        "{name}: {largest} bytes at once for a file of {}",
        bytes.len()
    );
    result.is_ok()
}

#[test]
fn damaged_small_modules_are_refused_or_loaded() {
    let mut chance = Chance(1);
    let (mut loaded, mut refused) = (0, 0);
    for small in ALL {
        for nth in 0..2000 {
            let bytes = mutate(small.bytes, &mut chance);
            let name = format!("{} mutant {nth}", small.name);
            match try_one(&name, &bytes, nth, small.space(), small.kernel) {
                true => loaded += 1,
                false => refused += 1,
            }
        }
    }
    // neither everything nor nothing
    assert!(
        loaded > 1000 && refused > 1000,
        "{loaded} loaded, {refused} refused"
    );
}

#[test]
fn every_cut_of_a_small_module_is_refused() {
    for small in ALL {
        for len in 0..small.bytes.len() {
            let cut = &small.bytes[..len];
            try_one(small.name, cut, len, small.space(), small.kernel);
        }
    }
}

#[test]
fn damaged_real_modules_are_refused_or_loaded() {
    let Some(folders) = std::env::var_os("KLINK_MODULES") else {
        eprintln!("SKIPPED: KLINK_MODULES is not set: folders with modules, separated by colons");
        return;
    };
    let mutants = std::env::var("KLINK_MUTANTS").ok();
    let mutants: usize = mutants.map_or(100_000, |count| count.parse().expect("a number"));
    let mut chance = Chance(2);
    let mut chosen = Vec::new();
    let folders: Vec<PathBuf> = std::env::split_paths(&folders).collect();
    for folder in &folders {
        let mut paths = Vec::new();
        find(folder, &mut paths);
        paths.sort();
        for _ in 0..50_usize.div_ceil(folders.len()) {
            chosen.push(paths.swap_remove(chance.below(paths.len())));
        }
    }
    let (mut loaded, mut refused) = (0, 0);
    let each = mutants.div_ceil(chosen.len());
    for path in &chosen {
        let original = std::fs::read(path).expect("a module");
        let arch = ModuleFile::parse(&original)
            .expect("a module that is right")
            .arch()
            .name;
        let small = ALL
            .iter()
            .find(|small| small.name == arch)
            .expect("a known architecture");
        for nth in 0..each {
            let bytes = mutate(&original, &mut chance);
            let name = format!("{} mutant {nth}", path.display());
            match try_one(&name, &bytes, nth, small.space(), small.kernel) {
                true => loaded += 1,
                false => refused += 1,
            }
        }
    }
    eprintln!(
        "{} modules, {loaded} mutants loaded, {refused} refused",
        chosen.len()
    );
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            paths.push(path);
        }
    }
}
