//! Kernel tables: what a kernel finds in a module by section name, and what it finds in itself.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod kallsyms;
pub mod modinfo;
