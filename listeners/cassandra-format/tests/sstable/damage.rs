//! Damaged files are refused, or what was damaged does not matter: no other rows are ever read.

use bytes::Bytes;
use proptest::prelude::*;

use crate::common::{Content, Fixture, TABLES};

/// Reads a damaged fixture: an error, or the content of the whole one.
fn is_harmless(damaged: &Fixture, whole: &Content) -> bool {
    damaged.read().map_or(true, |content| content == *whole)
}

/// As [`is_harmless`], and true where the damage was noticed.
fn is_noticed(damaged: &Fixture) -> bool {
    damaged.read().is_err()
}

fn flipped(bytes: &Bytes, index: usize, mask: u8) -> Bytes {
    let mut flipped = bytes.to_vec();
    flipped[index] ^= mask;
    flipped.into()
}

#[test]
fn any_single_flipped_bit_is_an_error_or_changes_nothing() {
    for table in ["small", "small_plain"] {
        let fixture = Fixture::load(table);
        let whole = fixture.read().unwrap();
        for (component, bytes) in &fixture.components {
            for bit in 0..bytes.len() * 8 {
                let damaged = fixture.with(component, Some(flipped(bytes, bit / 8, 1 << (bit % 8))));
                assert!(is_harmless(&damaged, &whole), "{table} {component} bit {bit}");
            }
        }
    }
}

#[test]
fn any_flipped_byte_of_data_statistics_and_checksums_is_an_error() {
    for table in ["small", "small_plain"] {
        let fixture = Fixture::load(table);
        for component in ["Data.db", "Statistics.db", "CRC.db", "Digest.crc32"] {
            let Some(bytes) = fixture.component(component) else { continue };
            // A plain file of one chunk reads the same whatever the length of chunks is, as long as it is larger.
            let first = if component == "CRC.db" { 4 } else { 0 };
            for index in first..bytes.len() {
                let damaged = fixture.with(component, Some(flipped(&bytes, index, 0xff)));
                assert!(is_noticed(&damaged), "{table} {component} byte {index}");
            }
        }
    }
}

#[test]
fn any_truncation_or_extension_is_an_error() {
    for table in ["small", "small_plain"] {
        let fixture = Fixture::load(table);
        for (component, bytes) in fixture.components.iter().filter(|(component, _)| *component != "TOC.txt") {
            for length in 0..bytes.len() {
                let damaged = fixture.with(component, Some(bytes.slice(..length)));
                assert!(is_noticed(&damaged), "{table} {component} cut to {length}");
            }
            let longer = fixture.with(component, Some([bytes, &[0x30][..]].concat().into()));
            assert!(is_noticed(&longer), "{table} {component} with a byte more");
        }
    }
}

/// A plain file without its digest, its checksum made to fit: only the grammar and the order are left to notice.
#[test]
fn bytes_that_no_checksum_covers_never_panic() {
    for table in ["small_plain", "types_plain", "orders_flipped"] {
        let fixture = Fixture::load(table).with("Digest.crc32", None).with("TOC.txt", None);
        let data = fixture.component("Data.db").unwrap();
        let chunk = &fixture.component("CRC.db").unwrap()[..4];
        for index in (0..data.len()).step_by(if table == "small_plain" { 1 } else { 7 }) {
            for mask in [0x01, 0x80, 0xff] {
                let data = flipped(&data, index, mask);
                let crc = [chunk, &crc32fast::hash(&data).to_be_bytes()].concat();
                let damaged = fixture.with("Data.db", Some(data)).with("CRC.db", Some(crc.into()));
                // Values may be others; that is what checksums are for.
                drop(damaged.read());
            }
        }
    }
}

fn damage(bytes: &Bytes, at: prop::sample::Index, kind: u8, mask: u8) -> Bytes {
    let index = at.index(bytes.len());
    match kind {
        0 => bytes.slice(..index),
        1 => [&bytes[..index], &[mask], &bytes[index..]].concat().into(),
        2 => [&bytes[..index], &bytes[index + 1..]].concat().into(),
        _ => flipped(bytes, index, mask),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn damage_anywhere_is_an_error_or_changes_nothing(
        table in prop::sample::select(&TABLES[..]),
        component: prop::sample::Index,
        at: prop::sample::Index,
        kind in 0_u8..8,
        mask in 1_u8..,
    ) {
        let fixture = Fixture::load(table);
        let (component, bytes) = &fixture.components[component.index(fixture.components.len())];
        let damaged = fixture.with(component, Some(damage(bytes, at, kind, mask)));
        prop_assert!(is_harmless(&damaged, &fixture.read().unwrap()), "{} {}", table, component);
    }
}
