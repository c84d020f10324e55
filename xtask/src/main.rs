//! `cargo xtask`: chores around klink.
#![forbid(unsafe_code)]

fn main() {}
