//! Properties of fields, selectors and the functions that apply relocations.

use klink_arch::{
    ARCHES, Arch, Class, Endian, Overflow, RelocError, Relocation, Selector, Value, Values,
};
use proptest::prelude::*;

fn any_row() -> impl Strategy<Value = (&'static Arch, &'static Relocation)> {
    (0..ARCHES.len())
        .prop_flat_map(|arch| (Just(ARCHES[arch]), 0..ARCHES[arch].relocations.len()))
        .prop_map(|(arch, row)| (arch, &arch.relocations[row]))
}

fn any_values() -> impl Strategy<Value = Values> {
    (
        any::<[u64; 9]>(),
        any::<i64>(),
        // small numbers as well, or nothing would ever be in reach
        0_u32..64,
    )
        .prop_map(|(v, addend, shift)| Values {
            symbol: v[0] >> shift,
            addend: addend >> shift,
            place: v[1] >> shift,
            gp: v[2] >> shift,
            got: v[3] >> shift,
            slot: v[4] >> shift,
            segment_base: v[5] >> shift,
            section_base: v[6] >> shift,
            size: v[0] >> shift,
            thread_pointer: v[7] >> shift,
            thread_block: v[8] >> shift,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn decode_undoes_encode((_, row) in any_row(), instruction: u64, value: i64) {
        let field = row.field;
        let word = field.encode(instruction, value);
        prop_assert_eq!(word & !field.mask(), instruction & !field.mask(), "bits beside the field");
        // the value's own bits: those above are dropped, those below have no place
        let unused = 64_u32.saturating_sub(u32::from(field.bits) + u32::from(field.shift));
        let kept = if field.bits == 0 { 0 } else { value << unused >> unused };
        prop_assert_eq!(field.decode(word), kept >> field.shift << field.shift);
    }

    #[test]
    fn encode_undoes_decode((_, row) in any_row(), instruction: u64, value: i64) {
        let field = row.field;
        // Where a sign stands beside bit 63 of the value (R_AARCH64_MOVW_PREL_G3), only words that
        // hold a value agree with themselves.
        let has_two_signs = u32::from(field.bits) + u32::from(field.shift) > 64;
        let word = if has_two_signs { field.encode(instruction, value) } else { instruction };
        prop_assert_eq!(field.encode(word, field.decode(word)), word);
    }

    #[test]
    fn what_applies_can_be_read_back(
        (arch, row) in any_row(),
        values in any_values(),
        before: [u8; 12],
    ) {
        let mut bytes = before;
        match row.apply(arch.endian, &mut bytes, &values) {
            Ok(()) => {
                prop_assert_eq!(&bytes[row.len()..], &before[row.len()..]);
                let word = row.field.read(arch.endian, &bytes).unwrap();
                let value = row.compute(&values) >> row.field.shift << row.field.shift;
                let back = row.field.decode(word);
                let bits = u32::from(row.field.bits) + u32::from(row.field.shift);
                let modulus = if bits >= 64 { 0 } else { 1_i64 << bits };
                if modulus == 0 || row.overflow == Overflow::Signed {
                    prop_assert_eq!(back, if row.is_empty() { 0 } else { value });
                } else {
                    prop_assert_eq!((back - value).rem_euclid(modulus), 0);
                }
                if row.branch.is_some() {
                    let disp = row.decode_branch(arch.endian, &bytes).unwrap();
                    prop_assert!(row.branch.unwrap().reaches(disp), "{}", disp);
                }
            }
            Err(error) => {
                prop_assert_eq!(bytes, before, "changed in spite of {}", error);
                let foreign = row.value == Value::Foreign;
                prop_assert_eq!(matches!(error, RelocError::Unsupported { .. }), foreign);
            }
        }
    }

    #[test]
    fn too_few_bytes_are_an_error((arch, row) in any_row(), values in any_values(), len in 0..8_usize) {
        let needed = row.len();
        if needed == 0 || row.value == Value::Foreign {
            return Ok(());
        }
        let len = len % needed;
        let error = Err(RelocError::OutOfBounds { needed, available: len });
        prop_assert_eq!(row.apply(arch.endian, &mut vec![0; len], &values), error);
        prop_assert_eq!(row.decode_branch(arch.endian, &vec![0; len]), None);
        prop_assert!(!row.may_use_stub(arch.endian, &vec![0; len]));
    }

    #[test]
    fn left_and_right_parts_add_up(symbol: u64, addend: i64) {
        for class in [Class::Elf32, Class::Elf64] {
            let mask = u64::MAX >> (64 - class.address_bits());
            let whole = symbol.wrapping_add(addend.cast_unsigned()) & mask;
            for (left, right) in [
                (Selector::Left, Selector::Right),
                (Selector::LeftRounded, Selector::RightRounded),
            ] {
                let left = left.select(class, symbol.cast_signed(), addend);
                let right = right.select(class, symbol.cast_signed(), addend);
                let sum = (left << 11).wrapping_add(right).cast_unsigned() & mask;
                prop_assert_eq!(sum, whole, "{:?}", class);
                prop_assert!((-4096..=6142).contains(&right), "{} needs more than 14 bits", right);
            }
        }
    }

    #[test]
    fn neighbours_share_a_left_part(symbol: u64, addend in -4096_i64..4096) {
        let left = |a| Selector::LeftRounded.select(Class::Elf32, symbol.cast_signed(), a);
        prop_assert_eq!(left(addend), left(0));
    }

    #[test]
    fn implicit_addends_come_back((arch, row) in any_row(), addend in any::<i64>(), shift in 0..64) {
        let addend = addend >> shift;
        let mut bytes = [0x5a; 8];
        match row.set_implicit_addend(arch.endian, &mut bytes, addend) {
            Ok(()) => {
                let back = row.implicit_addend(arch.endian, &bytes).unwrap();
                let bits = row.field.bits.min(arch.class.address_bits());
                let kept = u64::MAX.checked_shr(64 - u32::from(bits)).unwrap_or(0);
                let differ = (back ^ addend) >> row.field.shift;
                prop_assert_eq!(differ.cast_unsigned() & kept, 0);
            }
            Err(RelocError::NoImplicitAddend { .. }) => {
                prop_assert!(row.selector != Selector::Full || row.is_empty());
                prop_assert_eq!(bytes, [0x5a; 8]);
            }
            Err(error) => {
                let refused = matches!(
                    error,
                    RelocError::OutOfRange { .. } | RelocError::Misaligned { .. }
                );
                prop_assert!(refused, "{}", error);
                prop_assert_eq!(bytes, [0x5a; 8]);
            }
        }
    }
}

#[test]
fn fields_are_read_in_the_byte_order_of_the_file() {
    let field = klink_arch::Field::DATA32;
    assert_eq!(field.read(Endian::Big, &[1, 2, 3, 4, 5]), Ok(0x0102_0304));
    assert_eq!(
        field.read(Endian::Little, &[1, 2, 3, 4, 5]),
        Ok(0x0403_0201)
    );
}

#[test]
fn short_forms_give_what_their_rows_give() {
    let mut met = 0;
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    for arch in ARCHES {
        for row in arch.relocations {
            let Some(direct) = arch.direct(row.number) else {
                continue;
            };
            met += 1;
            let row = row.as_loader_reads();
            let test = |values: Values| {
                let mut bytes = [0; 8];
                let applied = row.apply(arch.endian, &mut bytes[..direct.bytes()], &values);
                let short = direct.value(values.symbol, values.addend, values.place);
                prop_assert_eq!(applied.is_ok(), short.is_some(), "{:?}", row.name);
                if let Some(value) = short {
                    let stored = row.field.read(arch.endian, &bytes[..direct.bytes()]);
                    let kept = value << (64 - 8 * direct.bytes()) >> (64 - 8 * direct.bytes());
                    prop_assert_eq!(stored, Ok(kept), "{}", row.name);
                }
                Ok(())
            };
            proptest!(config.clone(), |(values in any_values())| test(values)?);
        }
    }
    assert!(met > 20, "{met} rows have a short form");
}

#[test]
fn no_stub_or_slot_belongs_to_a_relocation_with_a_short_form() {
    for arch in ARCHES {
        let stubs = arch.load.stubs.iter().flat_map(|stubs| stubs.counted);
        let slots = arch.load.slots.iter();
        let slots = slots.flat_map(|slots| slots.slot_types.iter().chain(slots.descriptor_types));
        for &number in stubs.chain(slots) {
            assert_eq!(arch.direct(number), None, "{} {number}", arch.name);
        }
    }
}
