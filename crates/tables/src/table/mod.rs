//! Arrays of entries that point at code and data.
//!
//! Most tables of a kernel are one: every entry has the same size, and in it are fields that hold
//! addresses, in one of a few [`Encoding`]s. An [`EntryForm`] says which. Given it, reading,
//! sorting, searching and dropping entries are the same for all of them; fields that count from
//! their own place are corrected when their entry moves.
//!
//! ```
//! use klink_tables::table::{Table, TableMut};
//! use klink_tables::{Endian, Numbers, WordSize, exception};
//!
//! // Two entries, each of two addresses: of an instruction and of what to run if it faults.
//! let mut bytes: Vec<u8> = [0x2000_u32, 0x2800, 0x1000, 0x1800]
//!     .iter().flat_map(|word| word.to_le_bytes()).collect();
//! let numbers = Numbers { word: WordSize::Four, endian: Endian::Little };
//! let form = &exception::ABSOLUTE_32;
//! TableMut::new(form, numbers, &mut bytes, 0xc000_0000).sort();
//!
//! let table = Table::new(form, numbers, &bytes, 0xc000_0000);
//! let entry = table.find(0x2000).unwrap();
//! assert_eq!(entry.index(), 1);
//! assert_eq!(entry.target(1), Some(0x2800));
//! ```

mod edit;
mod form;
mod view;

pub use edit::{TableMut, remove, select};
pub(crate) use form::FormRow;
pub use form::{Encoding, EntryForm, Field};
pub use view::{Entries, Entry, Table};
