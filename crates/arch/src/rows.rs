//! What rows of relocations have in common, for one class of address each.

use crate::{Branch, Class, Field, Overflow, Relocation, Selector, Slot, StubUse, Value};

/// Makes a module of row constructors whose addresses have the width of one class.
macro_rules! rows {
    ($(#[$doc:meta])* $name:ident, $class:expr) => {
        $(#[$doc])*
        pub(crate) mod $name {
            use super::*;

            /// A relocation of a whole value.
            pub(crate) const fn row(
                number: u32,
                name: &'static str,
                value: Value,
                field: Field,
                overflow: Overflow,
            ) -> Relocation {
                Relocation {
                    number,
                    name,
                    class: $class,
                    value,
                    loader_value: None,
                    slot: Slot::Address,
                    selector: Selector::Full,
                    field,
                    overflow,
                    exact: false,
                    branch: None,
                    far_from_gp: None,
                    static_link: None,
                }
            }

            /// A relocation that changes nothing.
            pub(crate) const fn marker(number: u32, name: &'static str) -> Relocation {
                row(number, name, Value::Marker, Field::NONE, Overflow::Ignore)
            }

            /// A relocation of which only the field is known.
            pub(crate) const fn foreign(
                number: u32,
                name: &'static str,
                field: Field,
            ) -> Relocation {
                row(number, name, Value::Foreign, field, Overflow::Ignore)
            }
        }
    };
}

rows! {
    /// Rows with addresses of 32 bits.
    elf32, Class::Elf32
}
rows! {
    /// Rows with addresses of 64 bits.
    elf64, Class::Elf64
}

/// A row that refuses a value which is no multiple of the field's unit.
pub(crate) const fn exact(mut row: Relocation) -> Relocation {
    row.exact = true;
    row
}

/// The branch of a row whose displacement counts from the relocated instruction: it reaches as far as
/// its field can tell.
pub(crate) const fn branch(mut row: Relocation, stub: StubUse) -> Relocation {
    let half = 1 << (row.field.shift + row.field.bits - 1);
    row.branch = Some(Branch {
        min: -half,
        max: half - (1 << row.field.shift),
        target_bias: 0,
        stub,
    });
    row
}
