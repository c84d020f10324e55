//! The static linker: inputs, symbols, layout, output.
#![forbid(unsafe_code)]
