//! GNU ld linker scripts: lexer, parser, expressions.
#![forbid(unsafe_code)]
