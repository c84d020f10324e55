//! `.modinfo`, as modpost writes it and as no one should.

use klink_tables::modinfo::{Entry, depends, entries, value};
use proptest::prelude::*;

#[test]
fn keys_repeat_and_the_first_value_counts() {
    let section = b"alias=fs-xfs\0alias=xfs\0license=GPL\0";
    assert_eq!(value(section, b"alias"), Some(&b"fs-xfs"[..]));
    let aliases = entries(section).filter(|entry| entry.key == b"alias");
    assert_eq!(aliases.count(), 2);
}

#[test]
fn a_key_is_the_whole_key() {
    let section = b"vermagic=6.1.0 SMP\0ver=1\0";
    assert_eq!(value(section, b"ver"), Some(&b"1"[..]));
    assert_eq!(value(section, b"magic"), None);
}

#[test]
fn the_last_string_needs_no_end() {
    assert_eq!(value(b"license=GPL\0name=xfs", b"name"), Some(&b"xfs"[..]));
    assert_eq!(value(b"name=", b"name"), Some(&b""[..]));
}

#[test]
fn strings_that_are_no_entries_are_passed_over() {
    let section = b"\0\0junk\0=empty key\0name=xfs\0";
    let keys: Vec<&[u8]> = entries(section).map(|entry| entry.key).collect();
    assert_eq!(keys, [&b""[..], b"name"]);
}

#[test]
fn no_dependency_is_no_name() {
    assert_eq!(depends(b"depends=\0").count(), 0);
    assert_eq!(depends(b"license=GPL\0").count(), 0);
    let names: Vec<_> = depends(b"depends=a,,b\0").collect();
    assert_eq!(names, [b"a", b"b"]);
}

proptest! {
    /// Whatever was written is read back, padding between the strings or not.
    #[test]
    fn what_was_written_is_read(
        pairs in prop::collection::vec(("[a-z.:_]{1,12}", "[ -~]{0,20}", 0usize..3), 0..20),
    ) {
        let mut section = Vec::new();
        for (key, value, padding) in &pairs {
            section.extend_from_slice(format!("{key}={value}").as_bytes());
            section.resize(section.len() + 1 + padding, 0);
        }
        let found: Vec<Entry<'_>> = entries(&section).collect();
        let written: Vec<Entry<'_>> = pairs
            .iter()
            .map(|(key, value, _)| Entry { key: key.as_bytes(), value: value.as_bytes() })
            .collect();
        prop_assert_eq!(found, written);
    }

    /// Any bytes give entries that lie in the section and end.
    #[test]
    fn any_bytes_end(section in prop::collection::vec(prop::sample::select(b"a=\0,".to_vec()), 0..64)) {
        let length: usize = entries(&section).map(|entry| entry.key.len() + entry.value.len() + 1).sum();
        prop_assert!(length <= section.len());
    }
}
