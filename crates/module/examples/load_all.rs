//! Links every module below a folder against each other and a kernel's System.map, into memory that
//! is thrown away, and prints counts, sizes and times. With
//! `--prove` first, every branch is followed, init is discarded, and every table entry looked at.
//!
//! `load_all [--policy linux|erratum|islands|shared|packed] [--kernel ADDRESS] [--invent ADDRESS] FOLDER
//! SYSTEM_MAP [SYMBOL=ADDRESS…]`. With `--kernel`, the addresses in SYSTEM_MAP count from there.
//!
//! With `--invent`, symbols that nothing exports get addresses in the 16 MiB from ADDRESS on, for
//! kernels whose list of symbols leaves data out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use klink_module::{Error, Export, ModuleFile, Modules, Policy, Stubs, SymbolTable, Symbols};
use klink_tables::Numbers;

#[path = "../tests/common/host.rs"]
#[allow(dead_code, reason = "shared with tests")]
mod host;
#[path = "../tests/common/prove.rs"]
mod prove;

use host::{Simulated, SimulatedHost, Space};

/// What this thread has had of the processor, as far as the system tells.
fn processor_time() -> Duration {
    let told = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let first = told.split(' ').next().and_then(|word| word.parse().ok());
    Duration::from_nanos(first.unwrap_or(0))
}

struct Loaded {
    path: PathBuf,
    bytes: Vec<u8>,
    addresses: Vec<u64>,
}

fn main() {
    let mut args: Vec<String> = env::args().skip(1).collect();
    let proving = args.first().is_some_and(|arg| arg == "--prove");
    args.drain(..usize::from(proving));
    let mut policy_name = "linux".to_owned();
    if args.first().is_some_and(|arg| arg == "--policy") {
        policy_name = args[1].clone();
        args.drain(..2);
    }
    let mut address_of = |option: &str| {
        let given = args.first().is_some_and(|arg| arg == option);
        given.then(|| {
            let address = u64::from_str_radix(&args[1], 16).expect("an address");
            args.drain(..2);
            address
        })
    };
    let base = address_of("--kernel").unwrap_or(0);
    let invent = address_of("--invent");
    let (folder, map) = (&args[0], &args[1]);
    let mut symbols = SymbolTable::new();
    for line in fs::read_to_string(map).expect("a System.map").lines() {
        let mut words = line.split(' ');
        if let (Some(address), Some(_), Some(name)) = (words.next(), words.next(), words.next()) {
            let address = u64::from_str_radix(address, 16).expect("an address");
            symbols.insert(name.as_bytes(), Export::at(base + address));
        }
    }
    for extra in &args[2..] {
        let (name, address) = extra.split_once('=').expect("SYMBOL=ADDRESS");
        let address = u64::from_str_radix(address, 16).expect("an address");
        symbols.insert(name.as_bytes(), Export::at(address));
    }
    let mut paths = Vec::new();
    find(Path::new(folder), &mut paths);
    paths.sort();
    let mut space: Option<Space> = None;
    let mut modules = Vec::new();
    let mut failed: BTreeMap<String, String> = BTreeMap::new();
    for path in paths {
        let bytes = fs::read(&path).expect("a file");
        let addresses = {
            let file = match ModuleFile::parse(&bytes) {
                Ok(file) => file,
                Err(error) => {
                    failed.insert(path.display().to_string(), error.to_string());
                    continue;
                }
            };
            let policy = policy(&policy_name, &file);
            let plan = match file.plan(&policy) {
                Ok(plan) => plan,
                Err(error) => {
                    failed.insert(path.display().to_string(), error.to_string());
                    continue;
                }
            };
            let space = space.get_or_insert_with(|| space_of(&file));
            let addresses: Vec<u64> = plan.blocks().iter().map(|b| space.place(b)).collect();
            for export in file.exports() {
                let address = plan.symbol_address(&addresses, export.symbol);
                let export_as = Export {
                    gpl_only: export.gpl_only,
                    namespace: export.namespace,
                    crc: export.crc,
                    ..Export::at(address.unwrap_or(0))
                };
                symbols.insert(export.name, export_as);
            }
            addresses
        };
        modules.push(Loaded {
            path,
            bytes,
            addresses,
        });
    }
    let symbols = Inventing { symbols, invent };
    if proving {
        prove_all(&modules, &policy_name, &symbols);
    }
    let mut times = Vec::new();
    let (mut total, mut init, mut stubs, mut stub_bytes) = (0, 0, 0, 0);
    let processor_before = processor_time();
    for module in &modules {
        let start = Instant::now();
        match load(module, &policy_name, &symbols) {
            Ok(sizes) => {
                total += sizes.total;
                init += sizes.init;
                stubs += sizes.stubs;
                stub_bytes += sizes.stub_bytes;
            }
            Err(error) => {
                failed.insert(module.path.display().to_string(), error.to_string());
            }
        }
        times.push((start.elapsed(), module));
    }
    let processor = processor_time().saturating_sub(processor_before);
    let all: Duration = times.iter().map(|(time, _)| *time).sum();
    times.sort_by_key(|(time, _)| std::cmp::Reverse(*time));
    for (path, error) in &failed {
        println!("{path}: {error}");
    }
    for (time, module) in times.iter().take(3) {
        println!("{time:?} {}", module.path.display());
    }
    println!(
        "{} modules, {} failed, {total} bytes ({init} of init), {stubs} stubs in {stub_bytes} bytes, \
         {all:?} ({processor:?} of processor)",
        modules.len(),
        failed.len(),
    );
}

/// Exported symbols, and addresses for all others if there is a place for them.
struct Inventing {
    symbols: SymbolTable,
    invent: Option<u64>,
}

impl Symbols for Inventing {
    fn export(&self, name: &[u8]) -> Option<Export<'_>> {
        let known = self.symbols.export(name);
        known.or_else(|| {
            let hash =
                |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
            let offset = name.iter().fold(0xcbf2_9ce4, hash) >> 8 & 0xff_ffc0;
            Some(Export::at(self.invent? + offset))
        })
    }
}

struct Sizes {
    total: u64,
    init: u64,
    stubs: u64,
    stub_bytes: u64,
}

fn load(module: &Loaded, policy_name: &str, symbols: &impl Symbols) -> Result<Sizes, Error> {
    let file = ModuleFile::parse(&module.bytes)?;
    let plan = file.plan(&policy(policy_name, &file))?;
    let mut addresses = module.addresses.iter();
    let placement = plan.allocate(|block| {
        Ok::<_, Error>(Simulated {
            address: *addresses.next().expect("as many blocks"),
            bytes: vec![0; block.size as usize],
        })
    })?;
    let linked = plan.link(placement, symbols)?;
    Ok(Sizes {
        total: plan.total_size(),
        init: plan.init_sizes().0,
        stubs: linked.stub_count(),
        stub_bytes: plan.stub_bytes(),
    })
}

/// Follows every branch, discards init, and looks at every table entry.
fn prove_all(modules: &[Loaded], policy_name: &str, symbols: &impl Symbols) {
    let (mut direct, mut through, mut dropped, mut freed) = (0, 0, 0, 0);
    for module in modules {
        let file = ModuleFile::parse(&module.bytes).expect("parsed before");
        let plan = file
            .plan(&policy(policy_name, &file))
            .expect("planned before");
        let mut addresses = module.addresses.iter();
        let placement = plan.allocate(|block| {
            Ok::<_, Error>(Simulated {
                address: *addresses.next().expect("as many blocks"),
                bytes: vec![0; block.size as usize],
            })
        });
        let path = module.path.display();
        let mut linked = match plan.link(placement.expect("placed before"), symbols) {
            Ok(linked) => linked,
            Err(error) => {
                println!("{path}: {error}");
                continue;
            }
        };
        let pointer = file.arch().load.global_pointer.symbol();
        let pointer = pointer.and_then(|symbol| symbols.kernel_symbol(symbol.as_bytes()));
        match prove::prove(&file, &mut linked, pointer) {
            Ok(proof) => {
                direct += proof.direct;
                through += proof.through_stubs;
            }
            Err(error) => println!("{path}: {error}"),
        }
        let mut host = SimulatedHost::new(Space {
            next: 0,
            per_cpu: 0,
        });
        let live = linked.commit(&mut host, &mut Modules::new());
        let live = match live {
            Ok(live) => live,
            Err(error) => {
                println!("{path}: {error}");
                continue;
            }
        };
        let gone = host::init_ranges(&live);
        let mut live = live.discard_init(&mut host).expect("a host that does all");
        let numbers = Numbers {
            word: file.arch().class.into(),
            endian: file.arch().endian,
        };
        for entry in host::dangling(&mut live, numbers, &gone) {
            println!("{path}: {entry}");
        }
        dropped += live.dropped_entries();
        freed += live.freed();
    }
    println!(
        "{direct} branches go to their targets, {through} through stubs; \
         {dropped} table entries dropped with {freed} bytes of init"
    );
}

fn policy(name: &str, file: &ModuleFile<'_>) -> Policy {
    match name {
        "linux" => Policy::linux(file.arch()),
        "erratum" => Policy {
            erratum: true,
            ..Policy::linux(file.arch())
        },
        "islands" => Policy {
            stubs: Stubs::BeforeSections,
            ..Policy::shared_islands(file.arch())
        },
        "shared" => Policy::shared_islands(file.arch()),
        "packed" => Policy::packed(file.arch()),
        other => panic!("no policy {other}"),
    }
}

/// Where each architecture's kernel has its modules.
fn space_of(file: &ModuleFile<'_>) -> Space {
    let next = match file.arch().name {
        "x86_64" => 0xffff_ffff_c000_0000,
        "i386" => 0xd000_0000,
        "hppa" => 0x0400_0000,
        "aarch64" => 0xffff_8000_0000_0000,
        "ppc64le" => 0xc008_0000_0000_0000,
        _ => 0xffff_8000_0000_0000,
    };
    // arm64 reaches per-cpu data as it does the kernel's own
    let per_cpu = match file.arch().name {
        "aarch64" => 0xffff_8000_0b00_0000,
        _ => 0x3_0000,
    };
    Space { next, per_cpu }
}

fn find(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            find(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            paths.push(path);
        }
    }
}
