//! `__param`: the parameters of a module.
//!
//! Source: Linux 6.1.192, `include/linux/moduleparam.h`, `struct kernel_param`, `struct kparam_string`,
//! `struct kparam_array`; the same in 6.15.

use crate::number::{ByteOrder, array};
use crate::table::{Encoding, Entry, EntryForm, Field, FormRow};
use crate::{Numbers, WordSize};

/// `struct kernel_param` of 32-bit kernels.
pub static FORM_32: EntryForm = EntryForm::new(
    20,
    &[
        Field::new("name", 0, Encoding::Word),
        Field::new("mod", 4, Encoding::Word),
        Field::new("ops", 8, Encoding::Word),
        Field::new("arg", 16, Encoding::Word),
    ],
);

/// `struct kernel_param` of 64-bit kernels.
pub static FORM_64: EntryForm = EntryForm::new(
    40,
    &[
        Field::new("name", 0, Encoding::Word),
        Field::new("mod", 8, Encoding::Word),
        Field::new("ops", 16, Encoding::Word),
        Field::new("arg", 32, Encoding::Word),
    ],
);

pub(crate) static ROWS: &[FormRow] = &[
    FormRow::new(&[], &FORM_32).with_word(WordSize::Four),
    FormRow::new(&[], &FORM_64).with_word(WordSize::Eight),
];

/// The form in kernels with this word.
#[must_use]
pub const fn form(word: WordSize) -> &'static EntryForm {
    match word {
        WordSize::Four => &FORM_32,
        WordSize::Eight => &FORM_64,
    }
}

/// A parameter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Param {
    /// Address of its name, a string.
    pub name: u64,
    /// Address of its `struct module`; `None`: the kernel's own.
    pub module: Option<u64>,
    /// Address of its `struct kernel_param_ops`, which tells its type: `param_ops_int` and so on.
    pub ops: u64,
    /// Rights of its file in sysfs, as of any file; 0: it has none.
    pub permissions: u16,
    /// When a kernel's own is set: -1 before all others. A module's is always -1.
    pub level: i8,
    /// What is special about it.
    pub flags: u8,
    /// Address of the variable, or of a [`ParamString`] or [`ParamArray`]; `None`: there is no variable.
    pub argument: Option<u64>,
}

/// Whether setting it taints the kernel (`KERNEL_PARAM_FL_UNSAFE`), in [`Param::flags`].
pub const UNSAFE: u8 = 1;
/// Whether it says where hardware is, which a locked-down kernel refuses (`KERNEL_PARAM_FL_HWPARAM`), in
/// [`Param::flags`].
pub const HARDWARE: u8 = 2;

impl Param {
    /// Reads an entry of `__param`; `None` if that is none: it has neither name nor ops.
    #[must_use]
    pub fn read(numbers: Numbers, entry: Entry<'_>) -> Option<Self> {
        let bytes = entry.bytes();
        let at = 3 * numbers.word.bytes();
        let [level, flags] = array(bytes, at + 2)?;
        Some(Self {
            name: entry.target(0)?,
            module: entry.target(1),
            ops: entry.target(2)?,
            permissions: numbers.endian.u16(bytes, at)?,
            level: level.cast_signed(),
            flags,
            argument: entry.target(3),
        })
    }
}

/// A string that is copied into a buffer: `struct kparam_string`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ParamString {
    /// Bytes of the buffer, the zero byte at the end included.
    pub size: u32,
    /// Address of the buffer.
    pub buffer: u64,
}

impl ParamString {
    /// Reads it from the begin of `bytes`; `None` if they are too few.
    #[must_use]
    pub fn read(numbers: Numbers, bytes: &[u8]) -> Option<Self> {
        let Numbers { word, endian } = numbers;
        Some(Self {
            size: endian.u32(bytes, 0)?,
            buffer: endian.word(word, bytes, word.bytes())?,
        })
    }
}

/// An array of values, separated by commas: `struct kparam_array`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ParamArray {
    /// How many elements there is room for.
    pub room: u32,
    /// Bytes of an element.
    pub element_size: u32,
    /// Address of the number of elements that were set, an `unsigned int`; 0: nobody wants to know.
    pub count: u64,
    /// Address of the `struct kernel_param_ops` of the elements.
    pub ops: u64,
    /// Address of the elements.
    pub elements: u64,
}

impl ParamArray {
    /// Reads it from the begin of `bytes`; `None` if they are too few.
    #[must_use]
    pub fn read(numbers: Numbers, bytes: &[u8]) -> Option<Self> {
        let Numbers { word, endian } = numbers;
        let address = |index| endian.word(word, bytes, 8 + index * word.bytes());
        Some(Self {
            room: endian.u32(bytes, 0)?,
            element_size: endian.u32(bytes, 4)?,
            count: address(0)?,
            ops: address(1)?,
            elements: address(2)?,
        })
    }
}
