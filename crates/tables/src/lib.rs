//! Kernel tables: what a kernel finds in a module by section name, and what it finds in itself.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod elf;
pub mod exception;
pub mod kallsyms;
pub mod modinfo;
mod number;
pub mod orc;
pub mod sort;
pub mod table;

pub use number::{Endian, Numbers, WordSize};
