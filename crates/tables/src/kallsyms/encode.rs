//! The bytes of a table, once addresses are known.

use alloc::vec;
use alloc::vec::Vec;

use super::order::by_address;
use super::plan::{Plan, PlanError, Symbol, written_bytes};
use super::{AddressForm, Format, Part, WordSize};
use crate::number::ByteOrder;

/// A finished table.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Encoded {
    /// The bytes, as [`Plan::layout`] lays them out.
    pub bytes: Vec<u8>,
    /// Offsets of the words in `bytes` that hold addresses: where the kernel is moved when it
    /// boots, each is a relocation. [`AddressForm::PlaceRelative`] has none: what it holds does
    /// not change when all moves together.
    pub address_words: Vec<usize>,
}

/// What a table is written from.
pub(super) struct Writer<'p> {
    plan: &'p Plan,
    format: Format,
    symbols: &'p [Symbol<'p>],
    /// The symbols in the order of the table, each with its address.
    order: Vec<(u64, u32)>,
    /// The lowest address that moves with the kernel.
    base: u64,
    /// Where the table's first byte is.
    place: u64,
}

impl<'p> Writer<'p> {
    pub(super) fn new(
        plan: &'p Plan,
        symbols: &'p [Symbol<'p>],
        addresses: &[u64],
        place: u64,
    ) -> Self {
        let format = *plan.format();
        let order = by_address(symbols, addresses);
        // `record_relative_base`
        let is_moving = |&&(_, index): &&(u64, u32)| !is_percpu(symbols, index);
        let lowest = order.iter().find(is_moving);
        let base = lowest.map_or(0, |&(address, _)| address);
        Self {
            plan,
            format,
            symbols,
            order,
            base,
            place,
        }
    }

    /// # Errors
    /// [`PlanError::Range`].
    pub(super) fn write(&self) -> Result<Encoded, PlanError> {
        let mut encoded = Encoded {
            bytes: Vec::with_capacity(self.plan.layout().size),
            address_words: Vec::new(),
        };
        for &(part, offset, _) in &self.plan.layout().parts {
            encoded.bytes.resize(offset, 0);
            match part {
                Part::Addresses => self.write_addresses(&mut encoded)?,
                Part::RelativeBase => {
                    encoded.address_words.push(offset);
                    self.write_word(&mut encoded.bytes, self.base);
                }
                Part::NumSyms => {
                    let count = self.format.endian.of_u32(self.order.len() as u32);
                    encoded.bytes.extend(count);
                }
                Part::Names => self.write_names(&mut encoded.bytes),
                Part::Markers => self.write_markers(&mut encoded.bytes),
                Part::SeqsOfNames => self.write_seqs(&mut encoded.bytes),
                Part::TokenTable => encoded.bytes.extend(&self.plan.tokens.table),
                Part::TokenIndex => {
                    for &start in &self.plan.tokens.index {
                        encoded
                            .bytes
                            .extend(self.format.endian.of_u16(start as u16));
                    }
                }
            }
        }
        Ok(encoded)
    }

    fn write_word(&self, bytes: &mut Vec<u8>, value: u64) {
        match self.format.word {
            WordSize::Four => bytes.extend(self.format.endian.of_u32(value as u32)),
            WordSize::Eight => bytes.extend(self.format.endian.of_u64(value)),
        }
    }

    fn write_addresses(&self, encoded: &mut Encoded) -> Result<(), PlanError> {
        for &(address, index) in &self.order {
            let here = encoded.bytes.len();
            let percpu = is_percpu(self.symbols, index);
            if self.format.addresses == AddressForm::Absolute {
                if !percpu {
                    encoded.address_words.push(here);
                }
                self.write_word(&mut encoded.bytes, address);
                continue;
            }
            let from = match self.format.addresses {
                AddressForm::PlaceRelative => self.place.wrapping_add(here as u64),
                _ => self.base,
            };
            let entry = self.entry(address, from, percpu);
            let entry = entry.ok_or(PlanError::Range {
                index: index as usize,
                address,
                base: from,
            })?;
            encoded.bytes.extend(self.format.endian.of_u32(entry));
        }
        Ok(())
    }

    /// The entry of an address in 32 bits, if they can hold it.
    fn entry(&self, address: u64, from: u64, percpu: bool) -> Option<u32> {
        match self.format.addresses {
            AddressForm::Absolute | AddressForm::Direct => u32::try_from(address).ok(),
            AddressForm::BaseRelativePercpu if percpu => {
                i32::try_from(address).ok().map(i32::cast_unsigned)
            }
            AddressForm::BaseRelativePercpu => {
                let back = from.wrapping_sub(address).wrapping_sub(1).cast_signed();
                let back = i32::try_from(back).ok().filter(|&back| back < 0);
                back.map(i32::cast_unsigned)
            }
            AddressForm::BaseRelative => u32::try_from(address.wrapping_sub(from)).ok(),
            AddressForm::PlaceRelative => {
                let distance = address.wrapping_sub(from).cast_signed();
                match self.format.word {
                    WordSize::Four => Some(distance as u32),
                    WordSize::Eight => i32::try_from(distance).ok().map(i32::cast_unsigned),
                }
            }
        }
    }

    fn write_names(&self, bytes: &mut Vec<u8>) {
        for &(_, index) in &self.order {
            let codes = self.plan.codes.get(index as usize);
            if codes.len() < 0x80 {
                bytes.push(codes.len() as u8);
            } else {
                bytes.extend([codes.len() as u8 | 0x80, (codes.len() >> 7) as u8]);
            }
            bytes.extend(codes);
        }
    }

    fn write_markers(&self, bytes: &mut Vec<u8>) {
        let mut offset = 0_u32;
        for symbols in self.order.chunks(256) {
            bytes.extend(self.format.endian.of_u32(offset));
            let sizes = symbols
                .iter()
                .map(|&(_, index)| written_bytes(self.plan.codes.get(index as usize)));
            offset += sizes.sum::<usize>() as u32;
        }
    }

    fn write_seqs(&self, bytes: &mut Vec<u8>) {
        let mut seq_of = vec![0_u32; self.order.len()];
        for (seq, &(_, index)) in (0_u32..).zip(&self.order) {
            if let Some(of) = seq_of.get_mut(index as usize) {
                *of = seq;
            }
        }
        let of = |index: u32| seq_of.get(index as usize).copied().unwrap_or_default();
        let mut seqs = Vec::new();
        for same_name in self.plan.by_name.chunk_by(|_, &(_, is_first)| !is_first) {
            seqs.clear();
            seqs.extend(same_name.iter().map(|&(index, _)| of(index)));
            seqs.sort_unstable();
            for seq in &seqs {
                let [_, high, middle, low] = seq.to_be_bytes();
                bytes.extend([high, middle, low]);
            }
        }
    }
}

fn is_percpu(symbols: &[Symbol<'_>], index: u32) -> bool {
    symbols
        .get(index as usize)
        .is_some_and(|symbol| symbol.percpu)
}
