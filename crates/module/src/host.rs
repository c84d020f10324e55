//! What a kernel, or a program that plays one, does for a module.

use klink_tables::param::Param;

use crate::error::{ENOSYS, Error};
use crate::placement::Memory;
use crate::region::Block;
use crate::tables::LiveTable;

/// Whoever modules are loaded for: gives memory, protects it, knows tables and calls functions.
///
/// A kernel implements it over its page tables, a tool over plain memory. klink calls the methods in
/// the order in which Linux does the same (`kernel/module/main.c`, load_module, do_init_module,
/// free_module), and when a step fails undoes those before it in the opposite order.
pub trait Host {
    /// Memory of a block. It is given back when it is dropped.
    type Memory: Memory;
    /// Why something could not be done.
    type Error;

    /// Gives zeroed memory for a block, writable for klink until the module is gone.
    ///
    /// # Errors
    /// If there is none, or the block asks for more than the host grants.
    fn allocate(&mut self, block: &Block) -> Result<Self::Memory, Self::Error>;

    /// Gives the regions of a block the rights that they have
    /// ([`RegionKind::rights`](crate::RegionKind::rights)), before init or after it; makes the
    /// processors see new code. klink itself still writes through [`Memory::bytes`] when it trims
    /// tables.
    ///
    /// # Errors
    /// If that is not possible.
    fn protect(
        &mut self,
        memory: &mut Self::Memory,
        block: &Block,
        init_has_returned: bool,
    ) -> Result<(), Self::Error>;

    /// Makes the kernel know the module's tables, before any of its code runs.
    ///
    /// # Errors
    /// If that is not possible.
    fn register(&mut self, tables: &[LiveTable]) -> Result<(), Self::Error> {
        let _ = tables;
        Ok(())
    }

    /// Tells that entries that pointed into init are gone: tables have become shorter.
    fn trimmed(&mut self, tables: &[LiveTable]) {
        let _ = tables;
    }

    /// Makes the kernel forget the module's tables.
    fn unregister(&mut self, tables: &[LiveTable]) {
        let _ = tables;
    }

    /// Waits until nobody can still be looking at what is about to be freed (Linux,
    /// `synchronize_rcu`).
    fn quiesce(&mut self) {}

    /// Sets a parameter that has functions of its own (`module_param_cb`), or of the kernel that klink
    /// does not know. `value` is `None` where there was no `=`.
    ///
    /// # Errors
    /// A negative error number. Without this method, `-ENOSYS`.
    fn set_parameter(&mut self, param: &Param, value: Option<&[u8]>) -> Result<(), i32> {
        let _ = (param, value);
        Err(-ENOSYS)
    }

    /// Keeps a copy of a string, with a zero byte behind it, for a parameter that is a `char *`, until
    /// the module is gone; gives its address. `None`: there is no memory for it.
    fn keep_string(&mut self, text: &[u8]) -> Option<u64> {
        let _ = text;
        None
    }

    /// The string that it [keeps](Self::keep_string) at this address, to show the parameter's value.
    fn kept_string(&self, address: u64) -> Option<&[u8]> {
        let _ = address;
        None
    }

    /// Calls the module's init function: 0, or a negative error number.
    fn call_init(&mut self, address: u64) -> i32;

    /// Calls the module's exit function.
    fn call_exit(&mut self, address: u64);
}

/// Why a module was not loaded: something about it, or about the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum LoadError<E> {
    /// The module is not right.
    Module(Error),
    /// The host could not do its part.
    Host(E),
}

impl<E> From<Error> for LoadError<E> {
    fn from(error: Error) -> Self {
        Self::Module(error)
    }
}

impl<E: core::fmt::Display> core::fmt::Display for LoadError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Module(error) => error.fmt(f),
            Self::Host(error) => error.fmt(f),
        }
    }
}

impl<E: core::fmt::Debug + core::fmt::Display> core::error::Error for LoadError<E> {}
