//! A module's life on a host of plain memory.

use klink_module::{
    Block, Blocks, Error, Export, Host, Memory, ModuleFile, Modules, Names, Policy, Stubs, Symbols,
};

/// Bytes that the host grants for a block.
const GRANTED: u64 = 16 << 20;

struct Simulated {
    address: u64,
    bytes: Vec<u8>,
}

impl Memory for Simulated {
    fn address(&self) -> u64 {
        self.address
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Places blocks one behind the other.
struct Simulation {
    next: u64,
}

impl Host for Simulation {
    type Memory = Simulated;
    type Error = Error;

    fn allocate(&mut self, block: &Block) -> Result<Simulated, Error> {
        if block.size > GRANTED || block.align > GRANTED {
            return Err(Error::TooLarge);
        }
        let address = self.next.next_multiple_of(block.align);
        self.next = address + block.size;
        Ok(Simulated {
            address,
            bytes: vec![0; block.size as usize],
        })
    }

    fn protect(&mut self, _: &mut Simulated, _: &Block, _: bool) -> Result<(), Error> {
        Ok(())
    }

    fn call_init(&mut self, _: u64) -> i32 {
        0
    }

    fn call_exit(&mut self, _: u64) {}

    fn keep_string(&mut self, text: &[u8]) -> Option<u64> {
        Some(text.len() as u64)
    }
}

/// A kernel that exports everything.
struct Everything(u64);

impl Symbols for Everything {
    fn export(&self, name: &[u8]) -> Option<Export<'_>> {
        Some(Export::at(self.0 + 16 * (name.len() as u64 % 64)))
    }
}

/// Loads a module, discards its init and unloads it.
pub fn live(bytes: &[u8], choice: u8) {
    let _ = try_to_live(bytes, choice);
}

fn try_to_live(bytes: &[u8], choice: u8) -> Result<(), Error> {
    let file = ModuleFile::parse(bytes)?;
    let arch = file.arch();
    let policy = Policy {
        stubs: match choice & 3 {
            0 => Stubs::AsLinux,
            1 => Stubs::BeforeSections,
            _ => Stubs::Shared,
        },
        blocks: match choice >> 2 & 3 {
            0 => Blocks::One,
            1 => Blocks::EachRegion,
            _ => Blocks::CoreAndInit,
        },
        names: match choice >> 4 & 3 {
            0 => Names::None,
            1 => Names::Functions,
            _ => Names::All,
        },
        always_split_init: choice >> 6 & 1 != 0,
        erratum: choice >> 7 != 0,
        ..Policy::linux(arch)
    };
    let (modules_at, kernel) = match arch.class {
        klink_arch::Class::Elf32 => (0x1000_0000, 0x2000_0000),
        klink_arch::Class::Elf64 => (0xffff_ffff_8000_0000, 0xffff_ffff_a000_0000),
    };
    let mut host = Simulation { next: modules_at };
    let plan = file.plan(&policy)?;
    let placement = plan.allocate(|block| host.allocate(block))?;
    let linked = plan.link(placement, &Everything(kernel))?;
    let linked = linked.with_arguments(b"number=1 list=1,2 label=x switch text=y");
    let mut modules = Modules::new();
    let Ok(live) = linked.commit(&mut host, &mut modules) else {
        return Ok(());
    };
    let Ok(live) = live.discard_init(&mut host) else {
        return Ok(());
    };
    let _ = live.unload(&mut host, &mut modules);
    Ok(())
}
