//! `.modinfo`: what a module says of itself, as strings `KEY=VALUE` that end in a zero byte each
//! (Linux, `include/linux/moduleparam.h`, `__MODULE_INFO`). Strings may be padded with further zero
//! bytes. The last one need not end in one: the kernel reads no further than the section.

use core::ffi::CStr;
use core::iter::FusedIterator;

/// An entry of `.modinfo`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What stands in front of the first `=`.
    pub key: &'a [u8],
    /// What stands behind it.
    pub value: &'a [u8],
}

/// The entries of a `.modinfo` section, in order. A string without `=` is none and is passed over,
/// as the kernel does when it looks for a key.
///
/// ```
/// use klink_tables::modinfo::{Entry, entries};
///
/// let section = b"license=GPL\0\0author=A=B\0no entry\0";
/// let mut found = entries(section);
/// assert_eq!(found.next(), Some(Entry { key: b"license", value: b"GPL" }));
/// assert_eq!(found.next(), Some(Entry { key: b"author", value: b"A=B" }));
/// assert_eq!(found.next(), None);
/// ```
#[must_use]
pub fn entries(section: &[u8]) -> Entries<'_> {
    Entries { rest: section }
}

/// The value of the first entry with this key (`get_modinfo`, Linux `kernel/module/main.c`).
///
/// ```
/// let section = b"name=xfs\0depends=libcrc32c\0";
/// assert_eq!(klink_tables::modinfo::value(section, b"depends"), Some(&b"libcrc32c"[..]));
/// assert_eq!(klink_tables::modinfo::value(section, b"depend"), None);
/// ```
#[must_use]
pub fn value<'a>(section: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut rest = section;
    while !rest.is_empty() {
        let (string, behind) = first_string(rest);
        if let Some([b'=', value @ ..]) = string.strip_prefix(key) {
            return Some(value);
        }
        rest = behind;
    }
    None
}

/// The modules that must be loaded before this one: the names in `depends=`, in order, which modpost
/// separates by commas.
///
/// ```
/// let section = b"depends=xor,raid6_pq\0";
/// let names: Vec<_> = klink_tables::modinfo::depends(section).collect();
/// assert_eq!(names, [&b"xor"[..], b"raid6_pq"]);
/// ```
pub fn depends(section: &[u8]) -> impl Iterator<Item = &[u8]> {
    let names = value(section, b"depends").unwrap_or_default();
    names
        .split(|&byte| byte == b',')
        .filter(|name| !name.is_empty())
}

/// Iterator of [`entries`].
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        while !self.rest.is_empty() {
            let (string, rest) = first_string(self.rest);
            self.rest = rest;
            if let Some(equals) = string.iter().position(|&byte| byte == b'=') {
                return Some(Entry {
                    key: &string[..equals],
                    value: &string[equals + 1..],
                });
            }
        }
        None
    }
}

impl FusedIterator for Entries<'_> {}

/// The bytes up to the first zero byte, and those behind it.
fn first_string(bytes: &[u8]) -> (&[u8], &[u8]) {
    match CStr::from_bytes_until_nul(bytes) {
        Ok(string) => {
            let string = string.to_bytes();
            (string, bytes.get(string.len() + 1..).unwrap_or_default())
        }
        Err(_) => (bytes, &[]),
    }
}
