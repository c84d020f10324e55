//! `klink`: the tools around the linker and the loader.
#![forbid(unsafe_code)]

fn main() {}
