//! Damaged files are refused, or what was damaged does not matter: no other rows are ever read.

use bytes::Bytes;
use proptest::prelude::*;
use tidemark_cassandra_format::model::PartitionReader;
use tidemark_cassandra_format::sstable::{Compressor, ReadOptions, Version, components};

use crate::common::{Content, Fixture};

/// A small SSTable of every format and compressor.
fn small() -> Vec<Fixture> {
    let fixtures: Vec<Fixture> = Fixture::all().into_iter().filter(|fixture| fixture.path.contains("small")).collect();
    assert_eq!(fixtures.len(), 16, "three formats, four compressors and none; and one that copies");
    fixtures
}

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
    for fixture in small() {
        let whole = fixture.read().unwrap();
        for (component, bytes) in &fixture.components {
            // Statistics do not depend on the compressor: one of each format is enough for their many bits.
            if *component == "Statistics.db" && fixture.compressor() != Some(Compressor::Snappy) {
                continue;
            }
            for bit in 0..bytes.len() * 8 {
                let damaged = fixture.with(component, Some(flipped(bytes, bit / 8, 1 << (bit % 8))));
                assert!(is_harmless(&damaged, &whole), "{} {component} bit {bit}", fixture.path);
            }
        }
    }
}

#[test]
fn any_flipped_byte_of_data_statistics_and_checksums_is_an_error() {
    for fixture in small() {
        for component in ["Data.db", "Statistics.db", "CRC.db", "Digest.crc32"] {
            let Some(bytes) = fixture.component(component) else { continue };
            // A plain file of one chunk reads the same whatever the length of chunks is, as long as it is larger.
            let first = if component == "CRC.db" { 4 } else { 0 };
            for index in first..bytes.len() {
                let damaged = fixture.with(component, Some(flipped(&bytes, index, 0xff)));
                assert!(is_noticed(&damaged), "{} {component} byte {index}", fixture.path);
            }
        }
    }
}

#[test]
fn any_truncation_or_extension_is_an_error() {
    for fixture in small() {
        for (component, bytes) in fixture.components.iter().filter(|(component, _)| *component != "TOC.txt") {
            for length in 0..bytes.len() {
                let damaged = fixture.with(component, Some(bytes.slice(..length)));
                assert!(is_noticed(&damaged), "{} {component} cut to {length}", fixture.path);
            }
            let longer = fixture.with(component, Some([bytes, &[0x30][..]].concat().into()));
            assert!(is_noticed(&longer), "{} {component} with a byte more", fixture.path);
        }
    }
}

/// Content that no checksum covers: only the grammar, the sizes and the order are left to notice.
#[test]
fn bytes_that_no_checksum_covers_never_panic() {
    let tables = ["small_plain", "types_plain", "orders_flipped", "oa/small_plain", "da/small_plain", "da/types_plain"];
    for path in tables {
        let fixture = Fixture::load(path);
        let (data, statistics) = (fixture.component("Data.db").unwrap(), fixture.component("Statistics.db").unwrap());
        for index in (0..data.len()).step_by(if path.ends_with("small_plain") { 1 } else { 7 }) {
            for mask in [0x01, 0x80, 0xff] {
                // Values may be others; that is what checksums are for.
                drain(fixture.version(), &statistics, flipped(&data, index, mask), &fixture);
            }
        }
    }
}

/// In `oa` and `da` the first byte of a partition's deletion is 0x80, or the highest byte of a positive time.
#[test]
fn other_flags_of_a_partition_s_deletion_are_an_error() {
    for path in ["oa/small_plain", "da/small_plain"] {
        let fixture = Fixture::load(path);
        let (data, statistics) = (fixture.component("Data.db").unwrap(), fixture.component("Statistics.db").unwrap());
        let flags = 2 + usize::from(u16::from_be_bytes([data[0], data[1]]));
        assert_eq!(data[flags], 0x80, "{path}");
        for mask in [0x01, 0x7f] {
            let (data, schema) = (flipped(&data, flags, mask), fixture.schema.clone());
            let mut reader =
                components::data(fixture.version(), &statistics, data, schema, ReadOptions::default()).unwrap();
            let error = reader.next_partition().unwrap_err();
            assert!(error.is_corruption() && error.to_string().contains("flags of a partition"), "{path}: {error}");
        }
    }
}

#[test]
fn a_composite_key_that_is_not_whole_is_an_error() {
    let fixture = Fixture::load("nb/types_plain");
    let (data, statistics) = (fixture.component("Data.db").unwrap(), fixture.component("Statistics.db").unwrap());
    // Behind the key's length stands that of its first component.
    for mask in [0x01, 0x40] {
        let (data, schema) = (flipped(&data, 3, mask), fixture.schema.clone());
        let reader = components::data(fixture.version(), &statistics, data, schema, ReadOptions::default());
        let error = reader.unwrap().next_partition().unwrap_err();
        assert!(error.is_corruption() && error.to_string().contains("composite partition key"), "{error}");
    }
}

#[test]
fn components_that_contradict_one_another_are_an_error() {
    let (plain, compressed) = (Fixture::load("oa/small_plain"), Fixture::load("oa/small_lz4"));
    let both = plain.with("CompressionInfo.db", compressed.component("CompressionInfo.db")).with("TOC.txt", None);
    let listless = plain.with("TOC.txt", Some(Bytes::from_static(b"Data.db\nCRC.db\n")));
    let endless = plain
        .with("CRC.db", Some([&i32::MAX.to_be_bytes()[..], &plain.component("CRC.db").unwrap()[4..]].concat().into()));
    for (damaged, words) in [
        (both, "CRC.db is damaged at 0: CompressionInfo.db is there, too"),
        (listless, "TOC.txt is damaged at 0: it lists no data"),
        (endless, "CRC.db is damaged at 4: the length of chunks"),
    ] {
        let error = damaged.read().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn digests_are_decimal_digits() {
    let digest = |text: &'static str| components::digest("f", &Bytes::from_static(text.as_bytes()));
    assert_eq!((digest("4294967295").ok(), digest("07\n").ok()), (Some(u32::MAX), Some(7)));
    for text in ["", "\n", "+7", "-7", " 7", "7 7", "0x7", "4294967296"] {
        assert!(digest(text).unwrap_err().is_corruption(), "{text:?}");
    }
}

/// Cassandra counts the statistics of 5.0 longer than it writes them; zeros fill the rest.
#[test]
fn only_zeros_may_fill_the_statistics() {
    for path in ["oa/small_plain", "da/small_plain"] {
        let fixture = Fixture::load(path);
        let mut bytes = fixture.component("Statistics.db").unwrap().to_vec();
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        // The third entry of the table of contents is the statistics', the fourth the header's.
        assert_eq!((number(24), number(32)), (2, 3), "{path}");
        let (start, end) = (number(28) as usize, number(36) as usize - 4);
        assert!(bytes[end - 4..end] == [0; 4], "{path}: no time of a deletion, no padding");
        bytes[end - 1] = 1;
        let checksum = crc32fast::hash(&bytes[start..end]).to_be_bytes();
        bytes[end..end + 4].copy_from_slice(&checksum);
        let error = components::statistics("Statistics.db", &bytes.into(), fixture.version()).unwrap_err();
        assert!(error.to_string().contains("bytes after the statistics"), "{path}: {error}");
    }
}

fn drain(version: Version, statistics: &Bytes, data: Bytes, fixture: &Fixture) {
    let reader = components::data(version, statistics, data, fixture.schema.clone(), ReadOptions::default());
    let Ok(mut reader) = reader else { return };
    while let Ok(Some(_)) = reader.next_partition() {
        while let Ok(Some(_)) = reader.next_unfiltered() {}
    }
}

/// Chunks of which the checksum fits although the bytes are wrong: decompressors return content or nothing.
#[test]
fn chunks_of_wrong_bytes_never_panic() {
    for fixture in small() {
        let Some(compressor) = fixture.compressor() else { continue };
        let (data, info) = (fixture.component("Data.db").unwrap(), fixture.component("CompressionInfo.db").unwrap());
        let info = components::compression_info("CompressionInfo.db", &info, data.len() as u64).unwrap();
        let (stored, content) = (data.slice(..data.len() - 4), info.data_bytes as usize);
        assert!(components::chunk(compressor, &stored, content).is_some(), "{}", fixture.path);
        for index in 0..stored.len() {
            for mask in 1..=0xff {
                let found = components::chunk(compressor, &flipped(&stored, index, mask), content);
                assert!(found.is_none_or(|found| found.len() == content));
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
        fixture in prop::sample::select(Fixture::all()),
        component: prop::sample::Index,
        at: prop::sample::Index,
        kind in 0_u8..8,
        mask in 1_u8..,
    ) {
        let (component, bytes) = &fixture.components[component.index(fixture.components.len())];
        let damaged = fixture.with(component, Some(damage(bytes, at, kind, mask)));
        prop_assert!(is_harmless(&damaged, &fixture.read().unwrap()), "{} {}", fixture.path, component);
    }
}
