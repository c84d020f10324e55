//! Kernel tables: read, write, sort, split, search.
#![no_std]
#![forbid(unsafe_code)]
