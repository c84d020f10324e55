//! Parameters: `name=value` on the command line of a module, put into its variables before init runs.
//!
//! Source: Linux 6.1 `kernel/params.c` (parse_args, parse_one, param_set_*, param_array,
//! param_set_copystring), `lib/cmdline.c` (next_arg), `lib/kstrtox.c`, `kernel/module/main.c`
//! (unknown_module_param_cb).

use alloc::string::String;
use alloc::vec::Vec;

use klink_tables::param::{self, Param, ParamArray, ParamString};
use klink_tables::table::Table;
use klink_tables::{Endian, Numbers, WordSize};

use crate::error::{EINVAL, ENOMEM, ENOSPC, ERANGE, EROFS, Error};
use crate::host::Host;
use crate::placement::Memory;

/// `param_set_charp` takes no longer strings.
const MAX_STRING: usize = 1024;
/// How deep arrays may nest: not at all, an array's elements are no arrays.
const ARRAY: &[u8] = b"param_array_ops";

/// How the text of a parameter becomes a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// A number of so many bytes, with a sign or without.
    Number { bytes: u8, signed: bool },
    /// A number of 4 bytes without a sign that is shown in hexadecimal.
    Hexadecimal,
    /// The address of a copy of the text.
    CharPointer,
    /// Yes or no, in a byte.
    Bool { inverted: bool, only_on: bool },
    /// Yes or no, in an `int`.
    BoolInt,
    /// The text itself, in a buffer ([`ParamString`]).
    Buffer,
    /// Several values, separated by commas ([`ParamArray`]).
    Array,
}

impl Kind {
    /// The kind that the kernel's symbol for its functions stands for.
    pub(crate) fn of_symbol(name: &[u8], word: WordSize) -> Option<Self> {
        if name == ARRAY {
            return Some(Self::Array);
        }
        let number = |bytes, signed| Some(Self::Number { bytes, signed });
        let word = word.bytes() as u8;
        match name.strip_prefix(b"param_ops_")? {
            b"byte" => number(1, false),
            b"short" => number(2, true),
            b"ushort" => number(2, false),
            b"int" => number(4, true),
            b"uint" => number(4, false),
            b"hexint" => Some(Self::Hexadecimal),
            b"long" => number(word, true),
            b"ulong" => number(word, false),
            b"ullong" => number(8, false),
            b"charp" => Some(Self::CharPointer),
            b"bool" => Some(Self::Bool {
                inverted: false,
                only_on: false,
            }),
            b"bool_enable_only" => Some(Self::Bool {
                inverted: false,
                only_on: true,
            }),
            b"invbool" => Some(Self::Bool {
                inverted: true,
                only_on: false,
            }),
            b"bint" => Some(Self::BoolInt),
            b"string" => Some(Self::Buffer),
            _ => None,
        }
    }

    /// Whether the name alone, without `=`, means yes (`KERNEL_PARAM_OPS_FL_NOARG`).
    const fn needs_no_value(self) -> bool {
        matches!(
            self,
            Self::Bool {
                inverted: false,
                ..
            } | Self::BoolInt
        )
    }
}

/// What a command line says: `name=value`, or a name alone.
pub(crate) struct Arguments<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Arguments<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.0.trim_ascii_start();
        if text.is_empty() {
            return None;
        }
        let (mut in_quotes, mut equals) = (false, None);
        let mut end = text.len();
        for (nth, &byte) in text.iter().enumerate() {
            match byte {
                b'"' => in_quotes = !in_quotes,
                b'=' if equals.is_none() && nth > 0 => equals = Some(nth),
                _ if byte.is_ascii_whitespace() && !in_quotes => {
                    end = nth;
                    break;
                }
                _ => {}
            }
        }
        let (argument, rest) = text.split_at(end);
        self.0 = rest;
        let quoted = argument.strip_prefix(b"\"");
        let name = |name: &'a [u8]| name.strip_prefix(b"\"").unwrap_or(name);
        let argument = match quoted {
            Some(inner) => inner.strip_suffix(b"\"").unwrap_or(inner),
            None => argument,
        };
        let shift = usize::from(quoted.is_some());
        Some(match equals.map(|at| at - shift) {
            Some(at) => {
                let value = argument.get(at + 1..).unwrap_or_default();
                let value = match value.strip_prefix(b"\"") {
                    Some(inner) => inner.strip_suffix(b"\"").unwrap_or(inner),
                    None => value,
                };
                (name(argument.get(..at).unwrap_or_default()), Some(value))
            }
            None => (name(argument), None),
        })
    }
}

/// The memory of a module, by run address.
pub(crate) struct Image<'i, M> {
    pub(crate) blocks: &'i mut [Option<M>],
    pub(crate) numbers: Numbers,
}

impl<M: Memory> Image<'_, M> {
    /// The bytes from an address to the end of its block; none if it is outside.
    pub(crate) fn at(&mut self, address: u64) -> &mut [u8] {
        let blocks = self.blocks.iter_mut().flatten();
        let mut found = blocks.filter_map(|block| {
            let offset = address.checked_sub(block.address())?;
            block.bytes().get_mut(usize::try_from(offset).ok()?..)
        });
        found.find(|bytes| !bytes.is_empty()).unwrap_or_default()
    }

    /// The module's parameters and their names. `table` is where `__param` is, and its size.
    pub(crate) fn params(&mut self, table: Option<(u64, u64)>) -> Vec<(Vec<u8>, Param)> {
        let numbers = self.numbers;
        let Some((address, size)) = table else {
            return Vec::new();
        };
        let bytes = self.at(address);
        let size = usize::try_from(size).unwrap_or(usize::MAX).min(bytes.len());
        let bytes = bytes.get(..size).unwrap_or_default();
        let table = Table::new(param::form(numbers.word), numbers, bytes, address);
        let entries = table.entries().filter_map(|e| Param::read(numbers, e));
        let all: Vec<Param> = entries.collect();
        let named = all.into_iter().filter_map(|param| {
            let name = self.string(param.name)?;
            Some((name, param))
        });
        named.collect()
    }

    pub(crate) fn string(&mut self, address: u64) -> Option<Vec<u8>> {
        crate::elf::c_string(self.at(address), 0).map(<[u8]>::to_vec)
    }

    /// Writes the low bytes of a number.
    fn put(&mut self, address: u64, bytes: u8, value: u64) -> Result<(), i32> {
        let (big, size) = (self.numbers.endian == Endian::Big, usize::from(bytes));
        let out = self.at(address).get_mut(..size).ok_or(-EINVAL)?;
        let little = value.to_le_bytes();
        let number = little.get(..size).ok_or(-EINVAL)?;
        out.copy_from_slice(number);
        if big {
            out.reverse();
        }
        Ok(())
    }
}

/// Sets parameters, one after the other.
pub(crate) struct Setter<'i, M, H> {
    pub(crate) image: Image<'i, M>,
    pub(crate) host: &'i mut H,
    /// The address of each of the kernel's sets of functions, and what they do.
    pub(crate) kinds: &'i [(u64, Kind)],
    /// Where `__param` is, and its size.
    pub(crate) table: Option<(u64, u64)>,
}

impl<M: Memory, H: Host<Memory = M>> Setter<'_, M, H> {
    /// Sets what a command line says, up to `--`. Gives the names that the module does not have, which
    /// are ignored.
    ///
    /// # Errors
    /// [`Error::Parameter`] about the last one that could not be set; the others are.
    pub(crate) fn set_all(&mut self, arguments: &[u8]) -> Result<Vec<String>, Error> {
        if arguments.is_empty() {
            return Ok(Vec::new());
        }
        let params = self.image.params(self.table);
        let (mut unknown, mut failed) = (Vec::new(), None);
        for (name, value) in Arguments(arguments) {
            if name == b"--" && value.is_none() {
                break;
            }
            let found = params.iter().find(|(known, _)| same_name(known, name));
            let Some((_, param)) = found else {
                // the kernel's own, for every module
                if name != b"async_probe" && name != b"dyndbg" {
                    unknown.push(String::from_utf8_lossy(name).into_owned());
                }
                continue;
            };
            if let Err(result) = self.set_one(param, value) {
                failed = Some(Error::Parameter {
                    name: String::from_utf8_lossy(name).into_owned(),
                    value: String::from_utf8_lossy(value.unwrap_or_default()).into_owned(),
                    result,
                });
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(unknown),
        }
    }

    fn kind(&self, ops: u64) -> Option<Kind> {
        kind_of(self.kinds, ops)
    }

    fn set_one(&mut self, param: &Param, value: Option<&[u8]>) -> Result<(), i32> {
        let Some(kind) = self.kind(param.ops) else {
            return self.host.set_parameter(param, value);
        };
        if value.is_none() && !kind.needs_no_value() {
            return Err(-EINVAL);
        }
        let argument = param.argument.ok_or(-EINVAL)?;
        let numbers = self.image.numbers;
        let value = value.unwrap_or(b"1");
        match kind {
            Kind::Buffer => {
                let buffer = ParamString::read(numbers, self.image.at(argument));
                self.fill(buffer.ok_or(-EINVAL)?, value)
            }
            Kind::Array => {
                let array = ParamArray::read(numbers, self.image.at(argument));
                self.set_array(array.ok_or(-EINVAL)?, value)
            }
            kind => self.set_value(kind, argument, value),
        }
    }

    fn fill(&mut self, buffer: ParamString, value: &[u8]) -> Result<(), i32> {
        if value.len() >= buffer.size as usize {
            return Err(-ENOSPC);
        }
        let out = self.image.at(buffer.buffer).get_mut(..=value.len());
        let (end, text) = out.and_then(<[u8]>::split_last_mut).ok_or(-EINVAL)?;
        text.copy_from_slice(value);
        *end = 0;
        Ok(())
    }

    fn set_array(&mut self, array: ParamArray, value: &[u8]) -> Result<(), i32> {
        let kind = self.kind(array.ops).ok_or(-EINVAL)?;
        let mut count = 0_u32;
        let mut result = Ok(());
        for element in value.split(|&byte| byte == b',') {
            if count == array.room {
                result = Err(-EINVAL);
                break;
            }
            let offset = u64::from(count) * u64::from(array.element_size);
            result = self.set_value(kind, array.elements.wrapping_add(offset), element);
            if result.is_err() {
                break;
            }
            count += 1;
        }
        if array.count != 0 {
            self.image.put(array.count, 4, count.into())?;
        }
        result
    }

    fn set_value(&mut self, kind: Kind, address: u64, value: &[u8]) -> Result<(), i32> {
        match kind {
            Kind::Number { bytes, signed } => {
                let number = parse_number(value, bytes, signed)?;
                self.image.put(address, bytes, number)
            }
            Kind::Hexadecimal => {
                let number = parse_number(value, 4, false)?;
                self.image.put(address, 4, number)
            }
            Kind::Bool { inverted, only_on } => {
                let on = parse_bool(value)?;
                let was_on = self
                    .image
                    .at(address)
                    .first()
                    .is_some_and(|&byte| byte != 0);
                if only_on && !on {
                    return if was_on { Err(-EROFS) } else { Ok(()) };
                }
                self.image.put(address, 1, u64::from(on != inverted))
            }
            Kind::BoolInt => {
                let on = parse_bool(value)?;
                self.image.put(address, 4, on.into())
            }
            Kind::CharPointer => {
                if value.len() > MAX_STRING {
                    return Err(-ENOSPC);
                }
                let copy = self.host.keep_string(value).ok_or(-ENOMEM)?;
                let word = self.image.numbers.word.bytes() as u8;
                self.image.put(address, word, copy)
            }
            // an array of these would need a description for each
            Kind::Buffer | Kind::Array => Err(-EINVAL),
        }
    }
}

/// What the kernel's functions at `ops` do.
pub(crate) fn kind_of(kinds: &[(u64, Kind)], ops: u64) -> Option<Kind> {
    let found = kinds.iter().find(|(address, _)| *address == ops);
    found.map(|(_, kind)| *kind)
}

/// Whether two names are the same, a dash counting as an underscore.
fn same_name(a: &[u8], b: &[u8]) -> bool {
    let plain = |&byte: &u8| if byte == b'-' { b'_' } else { byte };
    a.iter().map(plain).eq(b.iter().map(plain))
}

/// Reads a number as the kernel does: decimal, `0x…` or octal with a `0`; one line end may follow.
fn parse_number(text: &[u8], bytes: u8, signed: bool) -> Result<u64, i32> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) if signed => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let digits = digits.strip_suffix(b"\n").unwrap_or(digits);
    let (base, digits) = match digits {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => (16, digits.get(2..)),
        [b'0', ..] => (8, Some(digits)),
        _ => (10, Some(digits)),
    };
    let digits = digits.filter(|digits| !digits.is_empty()).ok_or(-EINVAL)?;
    let mut value = 0_u64;
    for &digit in digits {
        let digit = char::from(digit).to_digit(base).ok_or(-EINVAL)?;
        let next = value.checked_mul(base.into());
        value = next
            .and_then(|next| next.checked_add(digit.into()))
            .ok_or(-ERANGE)?;
    }
    let bits = 8 * u32::from(bytes);
    let limit = match (signed, negative) {
        (false, _) => u64::MAX >> (64 - bits),
        (true, false) => (u64::MAX >> (64 - bits)) >> 1,
        (true, true) => 1 << (bits - 1),
    };
    match value <= limit {
        true if negative => Ok(value.wrapping_neg()),
        true => Ok(value),
        false => Err(-ERANGE),
    }
}

/// Reads yes or no as the kernel does, by the first letters.
fn parse_bool(text: &[u8]) -> Result<bool, i32> {
    match text {
        [b'y' | b'Y' | b't' | b'T' | b'1', ..] | [b'o' | b'O', b'n' | b'N', ..] => Ok(true),
        [b'n' | b'N' | b'f' | b'F' | b'0', ..] | [b'o' | b'O', b'f' | b'F', ..] => Ok(false),
        _ => Err(-EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::{Arguments, parse_bool, parse_number};
    use crate::error::{EINVAL, ERANGE};

    #[test]
    fn command_lines_are_split_as_the_kernel_splits_them() {
        let line = br#"  a=1 flag "quoted=x y" text="two words" empty= b="q -- =odd"#;
        let found: alloc::vec::Vec<_> = Arguments(line).collect();
        let expected: [(&[u8], Option<&[u8]>); 6] = [
            (b"a", Some(b"1")),
            (b"flag", None),
            (b"quoted", Some(b"x y")),
            (b"text", Some(b"two words")),
            (b"empty", Some(b"")),
            (b"b", Some(b"q -- =odd")),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn numbers_have_the_kernels_forms_and_limits() {
        assert_eq!(parse_number(b"-5", 4, true), Ok((-5_i64) as u64));
        assert_eq!(parse_number(b"+5\n", 4, true), Ok(5));
        assert_eq!(parse_number(b"0x1F", 1, false), Ok(31));
        assert_eq!(parse_number(b"017", 1, false), Ok(15));
        assert_eq!(parse_number(b"0", 1, false), Ok(0));
        assert_eq!(parse_number(b"256", 1, false), Err(-ERANGE));
        assert_eq!(parse_number(b"-32768", 2, true), Ok((-32768_i64) as u64));
        assert_eq!(parse_number(b"32768", 2, true), Err(-ERANGE));
        assert_eq!(
            parse_number(b"18446744073709551615", 8, false),
            Ok(u64::MAX)
        );
        assert_eq!(
            parse_number(b"18446744073709551616", 8, false),
            Err(-ERANGE)
        );
        for wrong in [&b""[..], b"-", b"0x", b"09", b"1 ", b"5x", b"\n"] {
            assert_eq!(parse_number(wrong, 4, true), Err(-EINVAL), "{wrong:?}");
        }
        assert_eq!(parse_number(b"-1", 4, false), Err(-EINVAL));
    }

    #[test]
    fn yes_and_no_have_several_names() {
        assert_eq!(parse_bool(b"on"), Ok(true));
        assert_eq!(parse_bool(b"Off"), Ok(false));
        assert_eq!(parse_bool(b"Yes"), Ok(true));
        assert_eq!(parse_bool(b"o"), Err(-EINVAL));
        assert_eq!(parse_bool(b""), Err(-EINVAL));
    }
}
