//! Section order and islands: does every branch reach its target, and if not, where does the stub go?.
#![no_std]
#![forbid(unsafe_code)]
