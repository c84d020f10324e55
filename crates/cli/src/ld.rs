//! `ld.klink`: a drop-in for `ld` in a kernel build.
#![forbid(unsafe_code)]

fn main() {}
