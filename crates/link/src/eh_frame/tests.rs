//! Records that are damaged, unknown or at their limits.

use klink_arch::{Class, Endian};
use proptest::prelude::*;

use super::header::HeaderError;
use super::{
    EditedFrames, FramePlace, FrameRelocation, FrameSection, FrameTargets, Frames, Personality,
    SearchEntry, header,
};
use crate::dynamic::encode::Form;

const FORM: Form = Form {
    class: Class::Elf64,
    endian: Endian::Little,
};

/// Everything is kept, every personality the same.
struct All;

impl FrameTargets for All {
    fn is_kept(&self, _: usize, _: usize) -> bool {
        true
    }

    fn personality(&self, _: usize, _: usize) -> Personality {
        Personality {
            symbol: 1,
            is_bound: true,
        }
    }
}

/// A record: its length, and what follows.
fn record(rest: &[u8]) -> Vec<u8> {
    [&(rest.len() as u32).to_le_bytes(), rest].concat()
}

/// A CIE with an augmentation and what follows the return register.
fn cie(augmentation: &str, rest: &[u8]) -> Vec<u8> {
    let head = [0, 0, 0, 0, 1];
    let fixed = [0, 1, 0x78, 16];
    record(&[&head, augmentation.as_bytes(), &fixed, rest].concat())
}

/// An FDE `distance` bytes behind its CIE, with 4-byte pointers.
fn fde(distance: u32, rest: &[u8]) -> Vec<u8> {
    record(
        &[
            &(distance + 4).to_le_bytes()[..],
            &[0, 0, 0, 0, 8, 0, 0, 0],
            rest,
        ]
        .concat(),
    )
}

/// A CIE and an FDE as assemblers write them; the FDE's address is at 32.
fn ordinary() -> Vec<u8> {
    let cie = cie("zR", &[1, 0x1b, 0x0c, 7, 8, 0x90, 1, 0, 0]);
    let fde = fde(24, &[0, 0x44, 0x0e, 16, 0, 0, 0, 0]);
    [cie, fde].concat()
}

fn at(offset: u64) -> FrameRelocation {
    FrameRelocation {
        offset,
        is_none: false,
    }
}

fn parse(bytes: &[u8], relocations: &[u64]) -> Result<Frames, &'static str> {
    let relocations: Vec<_> = relocations.iter().copied().map(at).collect();
    Frames::parse(FORM, bytes, &relocations).map_err(|error| error.what)
}

#[test]
fn ordinary_records_are_read() {
    let frames = parse(&ordinary(), &[32]).unwrap();
    let fdes: Vec<_> = frames.fdes().collect();
    assert_eq!(fdes.len(), 1);
    assert_eq!(fdes[0].function, 0);
    assert_eq!(fdes[0].all, 0..1);
    assert!(fdes[0].cie.is_empty());
    assert!(parse(&[], &[]).is_ok());
}

#[test]
fn what_cannot_be_moved_is_refused() {
    let cases: [(Vec<u8>, &[u64], &str); 13] = [
        (vec![1, 2, 3], &[], "the end of the data"),
        (
            vec![8, 0, 0, 0, 0, 0, 0, 0],
            &[],
            "a length beyond the section",
        ),
        (vec![0xff; 16], &[], "a length beyond the section"),
        (record(&[0, 0]), &[], "the end of the data"),
        (record(&[0, 0, 0, 0, 2, 0]), &[], "an unknown version"),
        (
            record(&[0, 0, 0, 0, 1, b'z', b'z']),
            &[],
            "the end of the data",
        ),
        (cie("zQ", &[0]), &[], "an unknown augmentation"),
        (
            cie("zR", &[1, 0x1f]),
            &[],
            "an unknown encoding of pointers",
        ),
        (
            cie("zP", &[9, 0, 0, 0, 0, 0]),
            &[],
            "a personality without a relocation",
        ),
        (cie("", &[0x3f]), &[], "an unknown call frame instruction"),
        (
            cie("", &[0x0c, 0x80, 0x80]),
            &[],
            "an unknown call frame instruction",
        ),
        (cie("", &[0; 3]), &[8], "a relocation where none belongs"),
        (
            fde(24, &[0; 4]),
            &[8],
            "an FDE without a CIE in front of it",
        ),
    ];
    for (bytes, relocations, what) in cases {
        assert_eq!(parse(&bytes, relocations).err(), Some(what), "{bytes:02x?}");
    }
    assert_eq!(
        parse(&ordinary(), &[]).err(),
        Some("an address of a function without a relocation")
    );
    let behind = [vec![0; 4], ordinary()].concat();
    assert_eq!(
        parse(&behind, &[36]).err(),
        Some("data behind the terminator")
    );
}

#[test]
fn a_section_that_cannot_be_read_stays_and_there_is_no_table() {
    let bytes = ordinary();
    let frames = parse(&bytes, &[32]).unwrap();
    let sections = [
        FrameSection {
            frames: None,
            size: 7,
        },
        FrameSection {
            frames: Some(&frames),
            size: bytes.len() as u64,
        },
    ];
    let edited = EditedFrames::new(&sections, &All, false, 8);
    assert!(!edited.is_searchable());
    assert_eq!(edited.header_size(), 8);
    assert_eq!(edited.size(0), 8);
    assert_eq!(edited.place(0, 5), FramePlace::Moved(5));
    assert_eq!(edited.bytes(0, &[1; 7], &[0, 8]), [1, 1, 1, 1, 1, 1, 1, 0]);
    let bytes = header(FORM, 0x100, 0x200, None).unwrap();
    assert_eq!(bytes, [1, 0x1b, 0xff, 0xff, 0xfc, 0, 0, 0]);
}

#[test]
fn places_and_symbols_follow_their_records() {
    let bytes = ordinary();
    let frames = parse(&bytes, &[32]).unwrap();
    let section = FrameSection {
        frames: Some(&frames),
        size: bytes.len() as u64,
    };
    let edited = EditedFrames::new(&[section, section], &All, false, 8);
    // The second section's CIE is the first's.
    assert_eq!(edited.size(0), 48);
    assert_eq!(edited.size(1), 20);
    assert_eq!(edited.place(1, 4), FramePlace::Dropped);
    assert_eq!(edited.place(1, 32), FramePlace::Moved(8));
    let starts = [0, 48];
    assert_eq!(edited.symbol_offset(1, 0, &starts), -48);
    assert_eq!(edited.symbol_offset(1, 24, &starts), 0);
    assert_eq!(edited.symbol_offset(1, 48, &starts), 20);
    let second = edited.bytes(1, &bytes, &starts);
    assert_eq!(second[4..8], 52_u32.to_le_bytes());
}

#[test]
fn absolute_addresses_are_made_relative_where_that_is_possible() {
    let with = |cie: Vec<u8>, relocations: &[u64]| {
        let at = cie.len() as u64;
        let pointers = [&[0; 8][..], &[8, 0, 0, 0, 0, 0, 0, 0], &[0; 4]].concat();
        let fde = record(&[&(at as u32 + 4).to_le_bytes()[..], &pointers].concat());
        let bytes = [cie, fde].concat();
        let relocations = [relocations, &[at + 8]].concat();
        let frames = parse(&bytes, &relocations).unwrap();
        let section = FrameSection {
            frames: Some(&frames),
            size: bytes.len() as u64,
        };
        let edited = EditedFrames::new(&[section], &All, true, 8);
        (edited.place(0, at + 8), edited.is_searchable())
    };
    // "zR" and two bytes for it are added to the 13 that are not padding, and the FDE is aligned.
    let plain = cie("", &[0; 3]);
    assert_eq!(plain.len(), 16);
    assert_eq!(with(plain, &[]), (FramePlace::MadeRelative(32), true));
    // No encoding is added in front of an aligned personality.
    let aligned = cie("zP", &[&[10, 0x50][..], &[0; 15]].concat());
    let (place, is_searchable) = with(aligned, &[24]);
    assert!(matches!(place, FramePlace::Moved(_)));
    assert!(!is_searchable);
}

#[test]
fn the_search_table_is_sorted_and_checked() {
    let entry = |function, size| SearchEntry {
        function,
        size,
        fde: 0x1000,
    };
    let table = header(
        FORM,
        0x800,
        0x900,
        Some(vec![entry(0x50, 8), entry(0x40, 16)]),
    )
    .unwrap();
    assert_eq!(table.len(), 28);
    assert_eq!(table[12..16], (0x40_i32 - 0x800).to_le_bytes());
    assert_eq!(table[20..24], (0x50_i32 - 0x800).to_le_bytes());
    let overlap = header(
        FORM,
        0x800,
        0x900,
        Some(vec![entry(0x50, 8), entry(0x40, 17)]),
    );
    assert_eq!(overlap, Err(HeaderError::Overlap(0x50)));
    let far = header(FORM, 0x800, 0x900, Some(vec![entry(1 << 40, 8)]));
    assert_eq!(far, Err(HeaderError::Overflow(1 << 40)));
}

proptest! {
    /// Whatever is read can be edited and written, and nothing panics on the way.
    #[test]
    fn damage_is_an_error_and_no_panic(
        changes in prop::collection::vec((0_usize..96, any::<u8>()), 0..6),
        cut in 0_usize..=96,
        relocations in prop::collection::vec(0_u64..100, 0..4),
        position_independent: bool,
    ) {
        let mut bytes = [ordinary(), ordinary()].concat();
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(cut);
        let mut relocations = relocations;
        relocations.extend([32, 80]);
        relocations.sort_unstable();
        if let Ok(frames) = parse(&bytes, &relocations) {
            let section = FrameSection {
                frames: Some(&frames),
                size: bytes.len() as u64,
            };
            let edited = EditedFrames::new(&[section, section], &All, position_independent, 8);
            let starts = [0, edited.size(0)];
            for section in 0..2 {
                let mut written = edited.bytes(section, &bytes, &starts);
                prop_assert_eq!(written.len() as u64, edited.size(section));
                edited.finish(section, &mut written, u64::MAX - 16);
                for offset in 0..bytes.len() as u64 + 8 {
                    let _ = edited.symbol_offset(section, offset, &starts);
                    let _ = edited.place(section, offset);
                }
            }
        }
    }
}
