//! Components that are parsed by themselves.

use bytes::Bytes;
use tidemark_cassandra_format::sstable::{Compressor, Error, Version, components};

use crate::content::expect_equal;
use crate::input::Input;
use crate::seal;

pub(crate) mod seeds;

/// Set in the first byte where checksums are left as they are.
const UNSEALED: u8 = 0x80;

/// A byte for version and checksums, then Statistics.db.
pub(crate) fn statistics(bytes: &[u8]) {
    let mut input = Input(bytes);
    let control = input.byte();
    let version = Version::ALL[usize::from(control & !UNSEALED) % Version::ALL.len()];
    let sealed = control & UNSEALED == 0;
    let file: Bytes = if sealed { seal::statistics(input.0).into() } else { Bytes::copy_from_slice(input.0) };
    let parsed = || {
        components::statistics("nb-1-big-Statistics.db", &file, version).map_err(|error| named(&error, "Statistics.db"))
    };
    expect_equal(parsed(), parsed());
    if let Ok(stats) = parsed() {
        let keys = stats.extent.map_or(0, |extent| extent.first_key.len() + extent.last_key.len());
        assert!(stats.commit_log_intervals.len() * 24 + keys <= file.len(), "what is said is in the file");
    }
}

/// Four bytes for the length of Data.db, then CompressionInfo.db.
pub(crate) fn info(bytes: &[u8]) {
    let mut input = Input(bytes);
    let file_bytes = input.number(4) as u64;
    let file = Bytes::copy_from_slice(input.0);
    let parsed = || {
        let parsed = components::compression_info("nb-1-big-CompressionInfo.db", &file, file_bytes);
        parsed.map_err(|error| named(&error, "CompressionInfo.db"))
    };
    expect_equal(parsed(), parsed());
    if let Ok(said) = parsed() {
        assert!(said.chunk_bytes.is_power_of_two() && said.chunks * 8 <= file.len(), "{said:?}");
        assert!(said.data_bytes <= said.chunks as u64 * said.chunk_bytes as u64, "{said:?}");
        assert!(said.chunks as u64 * 4 <= file_bytes, "each chunk has a checksum");
    }
}

/// A byte for the compressor, three for the length of the content, then what is stored.
pub(crate) fn chunk(bytes: &[u8]) {
    let mut input = Input(bytes);
    let compressor = input.pick(&Compressor::ALL);
    let content_bytes = input.number(3) % ((1 << 20) + 1);
    let unpack = || components::chunk(compressor, input.0, content_bytes);
    let unpacked = unpack();
    assert_eq!(unpacked, unpack());
    assert!(unpacked.is_none_or(|content| content.len() == content_bytes));
}

/// Four bytes for the length of Data.db, then CRC.db.
pub(crate) fn crc(bytes: &[u8]) {
    let mut input = Input(bytes);
    let file_bytes = input.number(4) as u64;
    let file = Bytes::copy_from_slice(input.0);
    let parsed = || components::crc("nb-1-big-CRC.db", &file, file_bytes).map_err(|error| named(&error, "CRC.db"));
    expect_equal(parsed(), parsed());
    if let Ok(sums) = parsed() {
        assert_eq!(4 + 4 * sums.len(), file.len());
        assert!(sums.iter().zip(file[4..].chunks(4)).all(|(sum, stored)| sum.to_be_bytes() == stored));
    }
}

/// Digest.crc32.
pub(crate) fn digest(bytes: &[u8]) {
    let file = Bytes::copy_from_slice(bytes);
    let parsed = || components::digest("nb-1-big-Digest.crc32", &file).map_err(|error| named(&error, "Digest.crc32"));
    expect_equal(parsed(), parsed());
    if let Ok(digest) = parsed() {
        let digits = String::from_utf8(bytes.to_vec()).expect("digits");
        let digits = digits.trim_end().trim_start_matches('0').to_owned();
        assert_eq!(digits, if digest == 0 { String::new() } else { digest.to_string() });
    }
}

/// The error in words, which name the component.
pub(crate) fn named(error: &Error, component: &str) -> String {
    let words = error.to_string();
    assert!(words.contains(component), "{words} does not name {component}");
    words
}
