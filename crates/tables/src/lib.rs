//! Kernel tables: what a kernel finds in a module by section name, and what it finds in itself.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod catalog;
pub mod eh_frame;
mod elf;
pub mod exception;
pub mod kallsyms;
pub mod ksymtab;
mod machine;
pub mod modinfo;
mod number;
pub mod orc;
pub mod param;
pub mod sort;
pub mod table;
pub mod versions;

pub use number::{Endian, Numbers, WordSize};
