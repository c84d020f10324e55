//! The values of parameters, as `/sys/module/NAME/parameters` shows them, without the line end.
//!
//! Source: Linux 6.1 `kernel/params.c` (STANDARD_PARAM_DEF, param_get_charp, param_get_bool,
//! param_get_invbool, param_ops_bint, param_array_get, param_get_string).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use klink_tables::Endian;
use klink_tables::param::{Param, ParamArray, ParamString};

use crate::host::Host;
use crate::params::{Image, Kind, kind_of};
use crate::placement::Memory;

/// Bytes of an array's value that are enough: a page, which is all that a file of sysfs shows (Linux 6.1
/// `fs/sysfs/file.c`, sysfs_kf_seq_show). A module may claim four billion elements in no room at all.
const MAX_SHOWN: usize = 4096;

/// A parameter of a loaded module.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Rights of its file in sysfs; 0: it has none there.
    pub permissions: u16,
    /// Its value; `None` where only functions of the module or of the kernel know how to show it.
    pub value: Option<String>,
}

/// Reads the values of parameters.
pub(crate) struct Shower<'i, M, H> {
    pub(crate) image: Image<'i, M>,
    pub(crate) host: &'i H,
    /// The address of each of the kernel's sets of functions, and what they do.
    pub(crate) kinds: &'i [(u64, Kind)],
}

impl<M: Memory, H: Host<Memory = M>> Shower<'_, M, H> {
    /// All parameters of the `__param` at this address, of this size.
    pub(crate) fn all(&mut self, table: Option<(u64, u64)>) -> Vec<Parameter> {
        let params = self.image.params(table).into_iter();
        let shown = params.map(|(name, param)| Parameter {
            name: String::from_utf8_lossy(&name).into_owned(),
            permissions: param.permissions,
            value: self.value(&param),
        });
        shown.collect()
    }

    fn value(&mut self, param: &Param) -> Option<String> {
        let kind = kind_of(self.kinds, param.ops)?;
        let (argument, numbers) = (param.argument?, self.image.numbers);
        match kind {
            Kind::Buffer => {
                let buffer = ParamString::read(numbers, self.image.at(argument))?;
                let text = self.image.string(buffer.buffer)?;
                Some(String::from_utf8_lossy(&text).into_owned())
            }
            Kind::Array => {
                let array = ParamArray::read(numbers, self.image.at(argument))?;
                self.elements(&array)
            }
            kind => self.one(kind, argument),
        }
    }

    fn elements(&mut self, array: &ParamArray) -> Option<String> {
        let kind = kind_of(self.kinds, array.ops)?;
        let count = match array.count {
            0 => array.room,
            count => self.number(count, 4)? as u32,
        };
        let mut values = String::new();
        for nth in 0..count.min(array.room) {
            if nth > 0 {
                values.push(',');
            }
            let offset = u64::from(nth) * u64::from(array.element_size);
            values += &self.one(kind, array.elements.wrapping_add(offset))?;
            if values.len() >= MAX_SHOWN {
                break;
            }
        }
        Some(values)
    }

    fn one(&mut self, kind: Kind, address: u64) -> Option<String> {
        Some(match kind {
            Kind::Number { bytes, signed } => {
                let number = self.number(address, bytes)?;
                let unused = 64 - 8 * u32::from(bytes);
                match signed {
                    true => ((number << unused).cast_signed() >> unused).to_string(),
                    false => number.to_string(),
                }
            }
            // C writes no 0x in front of zero
            Kind::Hexadecimal => match self.number(address, 4)? {
                0 => "00000000".into(),
                number => format!("{number:#08x}"),
            },
            Kind::Bool { inverted, .. } => {
                let yes = (self.number(address, 1)? != 0) != inverted;
                if yes { "Y".into() } else { "N".into() }
            }
            Kind::BoolInt => (self.number(address, 4)? as i32).to_string(),
            Kind::CharPointer => {
                let word = self.image.numbers.word.bytes() as u8;
                match self.number(address, word)? {
                    0 => "(null)".into(),
                    text => self.text(text)?,
                }
            }
            Kind::Buffer | Kind::Array => return None,
        })
    }

    /// A string of the module, or one that the host keeps.
    fn text(&mut self, address: u64) -> Option<String> {
        let own = self.image.string(address);
        let text = own.or_else(|| self.host.kept_string(address).map(<[u8]>::to_vec))?;
        Some(String::from_utf8_lossy(&text).into_owned())
    }

    fn number(&mut self, address: u64, bytes: u8) -> Option<u64> {
        let big = self.image.numbers.endian == Endian::Big;
        let digits = self.image.at(address).get(..usize::from(bytes))?;
        let join = |number, &digit: &u8| number << 8 | u64::from(digit);
        Some(match big {
            true => digits.iter().fold(0, join),
            false => digits.iter().rev().fold(0, join),
        })
    }
}
