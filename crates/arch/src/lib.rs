//! Processor supplements (psABIs) as data: relocations, instruction fields, branch reach, stubs.
#![no_std]
#![forbid(unsafe_code)]
