//! Components of real files, with what targets read before them.

use tidemark_cassandra_format::sstable::{Compressor, Version};

use crate::fixture::Fixture;
use crate::tables;

/// Of each fixture that has the component: the length of its data, as four bytes, and the component.
fn beside_data(component: &str) -> Vec<Vec<u8>> {
    let seed = |fixture: &Fixture| {
        let data_bytes = u32::try_from(fixture.component("Data.db")?.len()).ok()?;
        Some([&data_bytes.to_le_bytes()[..], &fixture.component(component)?].concat())
    };
    Fixture::all().iter().filter_map(seed).collect()
}

pub(crate) fn statistics() -> Vec<Vec<u8>> {
    let seed = |fixture: &Fixture| {
        let version = Version::ALL.iter().position(|version| *version == fixture.version())?;
        Some([&[version as u8][..], &fixture.component("Statistics.db")?].concat())
    };
    Fixture::all().iter().filter_map(seed).collect()
}

pub(crate) fn info() -> Vec<Vec<u8>> {
    beside_data("CompressionInfo.db")
}

pub(crate) fn crc() -> Vec<Vec<u8>> {
    beside_data("CRC.db")
}

pub(crate) fn digest() -> Vec<Vec<u8>> {
    Fixture::all().iter().filter_map(|fixture| Some(fixture.component("Digest.crc32")?.to_vec())).collect()
}

pub(crate) fn chunk() -> Vec<Vec<u8>> {
    let seeds = |fixture: &Fixture| {
        let compressor = Compressor::ALL.iter().position(|one| Some(*one) == fixture.compressor()).unwrap_or_default();
        let seed = |(stored, content): (bytes::Bytes, usize)| {
            [&[compressor as u8][..], &(content as u32).to_le_bytes()[..3], &stored].concat()
        };
        tables::chunks(fixture).into_iter().map(seed).collect::<Vec<_>>()
    };
    Fixture::all().iter().flat_map(seeds).collect()
}
