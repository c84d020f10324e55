//! Corners of merging, one by one, and a property: the result is that of the simple [`Reference`].
//! What GNU ld says about the same is in [`oracle`](super::oracle).

use proptest::prelude::*;

use super::reference::{Reference, group};
use super::{MergeInput, MergeKind, Merged, can_merge, merge};

const BYTES: MergeKind = strings(1, 1);

const fn strings(entry_size: u64, align: u64) -> MergeKind {
    MergeKind {
        entry_size,
        align,
        strings: true,
    }
}

const fn constants(entry_size: u64, align: u64) -> MergeKind {
    MergeKind {
        entry_size,
        align,
        strings: false,
    }
}

fn merge_all<'a>(kind: MergeKind, inputs: &[&'a [u8]]) -> Merged<'a> {
    let inputs: Vec<MergeInput> = inputs.iter().map(|data| MergeInput { data }).collect();
    merge(kind, &inputs)
}

fn written(merged: &Merged, input: usize) -> Vec<u8> {
    let size = usize::try_from(merged.size(input)).unwrap();
    let mut bytes = vec![0xee; size];
    merged.write(input, &mut bytes);
    bytes
}

/// The bytes of all inputs' parts.
fn parts(kind: MergeKind, inputs: &[&[u8]]) -> Vec<Vec<u8>> {
    let merged = merge_all(kind, inputs);
    (0..inputs.len())
        .map(|input| written(&merged, input))
        .collect()
}

#[test]
fn keeps_the_first_of_equal_strings() {
    let merged = merge_all(BYTES, &[b"one\0two\0", b"two\0three\0", b"one\0"]);
    assert_eq!(written(&merged, 0), b"one\0two\0");
    assert_eq!(written(&merged, 1), b"three\0");
    assert_eq!(written(&merged, 2), b"");
    assert_eq!(merged.place(1, 0), (0, 4));
    assert_eq!(merged.place(1, 2), (0, 6));
    assert_eq!(merged.place(1, 5), (1, 1));
    assert_eq!(merged.place(2, 3), (0, 3));
}

#[test]
fn puts_a_string_into_one_that_ends_in_it() {
    let merged = merge_all(BYTES, &[b"bar\0", b"foobar\0xbar\0"]);
    assert_eq!(written(&merged, 0), b"");
    assert_eq!(written(&merged, 1), b"foobar\0xbar\0");
    // "foobar" comes before "xbar" in the order of tails.
    assert_eq!(merged.place(0, 0), (1, 3));
}

#[test]
fn the_end_and_what_is_beyond_it_is_the_end_of_the_own_part() {
    let merged = merge_all(BYTES, &[b"one\0two\0", b"two\0three\0", b"one\0"]);
    for beyond in [0, 1, 1 << 32, u64::MAX - 100] {
        assert_eq!(merged.place(1, 10 + beyond), (1, 6));
        assert_eq!(merged.place(2, 4 + beyond), (2, 0));
    }
}

#[test]
fn a_later_copy_with_more_alignment_takes_the_place() {
    // "b" is at an offset of alignment 1 first, then at one of 4.
    let merged = merge_all(strings(1, 4), &[b"aa\0b\0", b"b\0"]);
    assert_eq!(written(&merged, 0), b"aa\0");
    assert_eq!(written(&merged, 1), b"b\0");
    assert_eq!(merged.place(0, 3), (1, 0));
}

#[test]
fn a_string_stays_out_of_one_that_would_not_align_it() {
    assert_eq!(
        parts(strings(1, 4), &[b"xyzbar\0", b"bar\0"]),
        [b"xyzbar\0".to_vec(), b"bar\0".to_vec()]
    );
    assert_eq!(
        parts(strings(1, 4), &[b"wxyzbar\0", b"bar\0"]),
        [b"wxyzbar\0".to_vec(), b"".to_vec()]
    );
}

#[test]
fn padding_counts_as_one_empty_string_where_it_is_aligned() {
    let merged = merge_all(strings(1, 4), &[b"a\0\0\0\0\0\0\0bc\0"]);
    // The empty string, of alignment 4, fits into no other; it stands where its place came.
    assert_eq!(written(&merged, 0), b"a\0\0\0\0\0\0\0bc\0");
    // Padding is the empty string, aligned or not.
    assert_eq!(merged.place(0, 2), (0, 4));
    assert_eq!(merged.place(0, 7), (0, 4));
}

#[test]
fn padding_without_an_empty_string_is_the_end_of_the_first_string() {
    let merged = merge_all(strings(1, 4), &[b"dupl\0", b"dupl\0\0\0abc\0"]);
    assert_eq!(written(&merged, 1), b"abc\0");
    assert_eq!(merged.place(1, 6), (0, 4));
}

#[test]
fn the_last_string_may_lack_its_terminator() {
    let merged = merge_all(BYTES, &[b"one\0tw", b"two\0"]);
    assert_eq!(written(&merged, 0), b"one\0tw\0");
    assert_eq!(written(&merged, 1), b"two\0");
    let merged = merge_all(strings(2, 2), &[b"ab", b"xyab\0\0"]);
    assert_eq!(merged.size(0), 0);
    assert_eq!(merged.place(0, 1), (1, 3));
}

#[test]
fn wide_characters_end_with_a_zero_of_their_width() {
    let merged = merge_all(strings(2, 2), &[b"a\0\0b\0\0c\0\0\0", b"c\0\0\0"]);
    assert_eq!(written(&merged, 0), b"a\0\0b\0\0c\0\0\0");
    assert_eq!(written(&merged, 1), b"");
    assert_eq!(merged.place(0, 5), (0, 5));
    assert_eq!(merged.place(1, 1), (0, 7));
}

#[test]
fn the_last_part_is_padded_if_all_inputs_were() {
    assert_eq!(
        parts(strings(1, 4), &[b"a\0\0\0", b"bcdef\0\0\0"]),
        // Also the empty string of the second's padding is aligned too little to count.
        [b"a\0".to_vec(), b"bcdef\0\0\0".to_vec()]
    );
    assert_eq!(
        parts(strings(1, 4), &[b"a\0\0", b"bcdef\0\0\0"]),
        [b"a\0".to_vec(), b"bcdef\0".to_vec()]
    );
    // The last with anything new is the third, which keeps none of it.
    assert_eq!(
        parts(strings(1, 4), &[b"abcdefg\0", b"xx\0\0", b"efg\0"]),
        [b"abcdefg\0".to_vec(), b"xx\0".to_vec(), b"".to_vec()]
    );
}

#[test]
fn constants_are_kept_once() {
    let merged = merge_all(constants(4, 4), &[b"aaaabbbbaaaa", b"ccccbbbb", b"aaaa"]);
    assert_eq!(written(&merged, 0), b"aaaabbbb");
    assert_eq!(written(&merged, 1), b"cccc");
    assert_eq!(written(&merged, 2), b"");
    assert_eq!(merged.place(0, 9), (0, 1));
    assert_eq!(merged.place(1, 6), (0, 6));
    assert_eq!(merged.place(1, 8), (1, 4));
}

#[test]
fn says_what_cannot_be_merged() {
    for (data, kind, expected) in [
        (&b""[..], BYTES, false),
        (b"abc", strings(2, 1), false),
        (b"abc", strings(0, 1), false),
        (b"abc", strings(3, 2), false),
        (b"abc\0", strings(1, 4), true),
        (b"abcabc", strings(3, 4), false),
        (b"abcdef", strings(6, 2), true),
        (b"abcdef", constants(6, 4), false),
        (b"abcd", constants(2, 4), false),
        (b"abcd", constants(4, 0), true),
        (b"abcd", constants(4, 3), false),
        (b"abcd", strings(1, 1 << 31), true),
        (b"abcd", strings(1, 1 << 32), false),
        (b"abcd", strings(1, u64::MAX), false),
        (b"abcd", strings(u64::MAX, 1), false),
    ] {
        assert_eq!(can_merge(data, &kind), expected, "{data:?} {kind:?}");
        let merged = merge_all(kind, &[data]);
        assert_eq!(merged.size(0) as usize, written(&merged, 0).len());
        if !expected {
            assert_eq!(written(&merged, 0), data);
            assert_eq!(merged.place(0, 2), (0, 2));
        }
    }
}

#[test]
fn what_cannot_be_merged_stays_among_what_can() {
    let merged = merge_all(constants(4, 4), &[b"aaaa", b"aaaab", b"bbbbaaaa"]);
    assert_eq!(written(&merged, 1), b"aaaab");
    assert_eq!(written(&merged, 2), b"bbbb");
    assert_eq!(merged.place(1, 4), (1, 4));
}

#[test]
fn many_pieces_are_found_by_several_threads_alike() {
    // Enough for several shares of hashes.
    let inputs: Vec<Vec<u8>> = (0..40_u32)
        .map(|input| {
            let text = |n: u32| format!("{}\0", (n * (input + 7)) % 5_000);
            (0..3_000).map(text).collect::<String>().into_bytes()
        })
        .collect();
    let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let outcome = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| {
            let merged = merge_all(BYTES, &inputs);
            let places = (0..inputs.len())
                .flat_map(|input| (0..inputs[input].len() as u64).map(move |at| (input, at)));
            let places: Vec<(usize, u64)> = places.map(|(i, at)| merged.place(i, at)).collect();
            (parts(BYTES, &inputs), places)
        })
    };
    let one = outcome(1);
    assert!(one.0.iter().map(Vec::len).sum::<usize>() < 30_000);
    assert!(one == outcome(2));
    assert!(one == outcome(13));
}

#[test]
fn long_common_tails_take_no_long_time() {
    // Each ends in all that are shorter: 2,000 strings, 4 MB.
    let nested: Vec<u8> = (1..2_000)
        .flat_map(|length| [vec![b'a'; length], vec![0]].concat())
        .collect();
    // Zeros only.
    let zeros = vec![0; 1 << 22];
    // One unterminated string.
    let long = vec![b'a'; 1 << 22];
    assert_eq!(merge_all(BYTES, &[&nested]).size(0), 2_000);
    assert_eq!(merge_all(BYTES, &[&zeros]).size(0), 1);
    assert_eq!(merge_all(BYTES, &[&long, &nested]).size(1), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn is_as_the_reference((kind, inputs) in group()) {
        let reference = Reference::merge(kind, &inputs);
        let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let merged = merge_all(kind, &slices);
        for (input, data) in inputs.iter().enumerate() {
            prop_assert_eq!(merged.size(input), reference.size(input));
            prop_assert_eq!(written(&merged, input), reference.bytes(input));
            for offset in 0..data.len() as u64 + 3 {
                let place = merged.place(input, offset);
                prop_assert_eq!(place, reference.place(input, offset), "{} {}", input, offset);
            }
        }
    }
}
