//! Numbers as the output has them.

use klink_arch::{Arch, Class, Endian};

/// Width of addresses and byte order of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    /// Width of addresses.
    pub(crate) class: Class,
    /// Byte order.
    pub(crate) endian: Endian,
}

impl Form {
    /// The form of an architecture's outputs.
    pub(crate) fn of(arch: &Arch) -> Self {
        Self {
            class: arch.class,
            endian: arch.endian,
        }
    }

    /// Bytes of an address: 4 or 8.
    pub(crate) fn address_size(self) -> usize {
        usize::from(self.class.address_bits() / 8)
    }

    /// Writes the low bytes of `value` over all of `field`, at most 8 bytes.
    pub(crate) fn put(self, field: &mut [u8], value: u64) {
        let width = field.len().min(8);
        match self.endian {
            Endian::Little => field[..width].copy_from_slice(&value.to_le_bytes()[..width]),
            Endian::Big => field[..width].copy_from_slice(&value.to_be_bytes()[8 - width..]),
        }
    }

    /// The unsigned number that is all of `field`, at most 8 bytes.
    pub(crate) fn get(self, field: &[u8]) -> u64 {
        let fold = |value: u64, &byte: &u8| value << 8 | u64::from(byte);
        match self.endian {
            Endian::Little => field.iter().rev().fold(0, fold),
            Endian::Big => field.iter().fold(0, fold),
        }
    }
}

/// Bytes that grow by numbers.
#[derive(Debug)]
pub(crate) struct Encoder {
    form: Form,
    bytes: Vec<u8>,
}

impl Encoder {
    /// An empty table that is to have `size` bytes.
    pub(crate) fn new(form: Form, size: usize) -> Self {
        Self {
            form,
            bytes: Vec::with_capacity(size),
        }
    }

    /// Adds one byte.
    pub(crate) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Adds 2 bytes.
    pub(crate) fn half(&mut self, value: u16) {
        self.number(u64::from(value), 2);
    }

    /// Adds 4 bytes.
    pub(crate) fn word(&mut self, value: u32) {
        self.number(u64::from(value), 4);
    }

    /// Adds an address or another number as wide as one, cut to that width.
    pub(crate) fn address(&mut self, value: u64) {
        self.number(value, self.form.address_size());
    }

    /// What was added.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn number(&mut self, value: u64, width: usize) {
        let at = self.bytes.len();
        self.bytes.resize(at + width, 0);
        self.form.put(&mut self.bytes[at..], value);
    }
}
