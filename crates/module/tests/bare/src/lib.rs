//! The loader in a crate that brings a panic handler of its own.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::vec::Vec;

use klink_module::{Memory, ModuleFile, Policy, SymbolTable};

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

struct Page(Vec<u8>);

impl Memory for Page {
    fn address(&self) -> u64 {
        0
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Links a module.
///
/// # Errors
/// What is wrong with it.
pub fn link(bytes: &[u8]) -> Result<u64, klink_module::Error> {
    let file = ModuleFile::parse(bytes)?;
    let plan = file.plan(&Policy::linux(file.arch()))?;
    let memory = |block: &klink_module::Block| {
        Ok::<_, klink_module::Error>(Page(alloc::vec![0; block.size as usize]))
    };
    let linked = plan.link(plan.allocate(memory)?, &SymbolTable::new())?;
    Ok(linked.stub_count())
}
