//! kallsyms: the table of its own symbols that a kernel contains.
//!
//! It is an array of addresses, in ascending order, and in the same order the names, each with its
//! type letter (as `nm` prints it) in front. Names are compressed: up to 256 codes of one byte, of
//! which each stands for a token of one or more characters. The parts, each a symbol of the kernel:
//!
//! | part | what it holds |
//! |---|---|
//! | `kallsyms_num_syms` | how many symbols, 32 bits |
//! | `kallsyms_addresses` or `kallsyms_offsets` | the addresses, see [`AddressForm`] |
//! | `kallsyms_relative_base` | an address, a word; see [`AddressForm`] |
//! | `kallsyms_names` | for each symbol the number of its codes, and the codes. The number is one byte, or two for 128 codes and more: the low seven bits with the top bit set, then the rest |
//! | `kallsyms_markers` | the offset in `kallsyms_names` of every 256th symbol, 32 bits each |
//! | `kallsyms_token_table` | 256 strings that end in a zero byte: the token of each code |
//! | `kallsyms_token_index` | where in `kallsyms_token_table` each begins, 16 bits each |
//! | `kallsyms_seqs_of_names` | the numbers of the symbols in the order of their names, 24 bits each, the highest byte first in either byte order |
//!
//! Which parts there are, in which order and how they are aligned depends on the [`Version`].
//!
//! # To write one
//! [`Filter`] says which symbols belong into it. [`Plan::new`] needs their names and letters only
//! and tells the size of every part; [`Plan::encode`] is given the addresses later. A linker needs
//! it in these two steps, since the size of the table moves the symbols.
//!
//! # To read one
//! [`Image::find`] finds it in the bytes of a kernel, also of one without symbols, or
//! [`Image::from_symbols`] by the symbols of its parts. [`Table`] looks up addresses and names in
//! the bytes where they are, without allocating.
//!
//! # Sources
//! Linux 6.1.192, `scripts/kallsyms.c` and `kernel/kallsyms.c`, for [`Version::V6_1`] and
//! [`Version::V6_2`]: the bytes are compared with that generator's, and the tables of two kernels
//! that it made are read. Later forms are written after the commits that [`Version`] names and are
//! checked by reading back only: no such kernel or generator was at hand.

mod encode;
mod filter;
mod find;
mod format;
mod letter;
mod order;
mod plan;
mod rounds;
mod table;
mod text;
mod tokens;

pub use crate::number::{Endian, WordSize};
pub use encode::Encoded;
pub use filter::{Filter, MappedSymbol, in_system_map};
pub use find::{Image, NotFound};
pub use format::{AddressForm, BANNER, Format, Part, Version, release, release_in_banner};
pub use letter::{SectionClass, SymbolClass, SymbolPlace, letter};
pub use plan::{Layout, Plan, PlanError, Symbol};
pub use table::{Damage, Entry, Found, Name, Parts, Table};

/// Bytes of the longest name that a kernel keeps, and one for its end: `KSYM_NAME_LEN` since
/// Linux 6.1 (`include/linux/kallsyms.h`); 128 before.
pub const NAME_LIMIT: usize = 512;
