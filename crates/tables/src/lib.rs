//! Kernel tables: what a kernel finds in a module by section name.
#![no_std]
#![forbid(unsafe_code)]

pub mod modinfo;
