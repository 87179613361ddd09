//! SSTables of generated rows, written by the grammar that `docs/format-cassandra.md` describes.

use std::io::Write;

use anyhow::Result;
use bytes::Bytes;
use tidemark_cassandra_format::{
    sstable::{Compressor, Version},
    token::murmur3,
};

/// Rows of a partition.
const ROWS: i32 = 200;
/// Cassandra's default.
const CHUNK_BYTES: usize = 16 << 10;
const WORDS: [&str; 8] = ["order", "delivered", "to", "customer", "without", "further", "notice", "amount"];

/// The stored form of an SSTable.
pub(crate) struct Stored {
    pub(crate) data: Bytes,
    pub(crate) compression_info: Option<Bytes>,
    pub(crate) crc: Option<Bytes>,
    pub(crate) digest: Bytes,
    pub(crate) rows: u64,
}

/// Uncompressed content.
pub(crate) struct Content {
    bytes: Vec<u8>,
    rows: u64,
}

impl Content {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// At least `least` bytes of partitions whose keys lie between the ends, which are there too.
pub(crate) fn content(version: Version, ends: &(Bytes, Bytes), least: usize) -> Content {
    let inner = murmur3(&ends.0) + 1..murmur3(&ends.1);
    let partitions = least / (ROWS as usize * 190) + 2;
    let keys = (1000_i32..).map(i32::to_be_bytes).filter(|key| inner.contains(&murmur3(key))).take(partitions);
    let mut keys: Vec<Bytes> = keys.map(|key| Bytes::copy_from_slice(&key)).collect();
    keys.extend([ends.0.clone(), ends.1.clone()]);
    keys.sort_by_cached_key(|key| murmur3(key));
    let mut content = Content { bytes: Vec::with_capacity(least + least / 8), rows: 0 };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for key in &keys {
        put_head(&mut content.bytes, version, key);
        let mut previous = 0;
        for clustering in 0..ROWS {
            previous = put_row(&mut content.bytes, clustering, previous, &mut random);
            content.rows += 1;
        }
        content.bytes.push(0x01);
    }
    content
}

fn put_head(out: &mut Vec<u8>, version: Version, key: &[u8]) {
    out.extend((key.len() as u16).to_be_bytes());
    out.extend(key);
    if version == Version::Nb {
        out.extend(i32::MAX.to_be_bytes());
        out.extend(i64::MIN.to_be_bytes());
    } else {
        out.push(0x80);
    }
}

/// A row with a marker, all columns, and cells of the marker's time; returns its size.
fn put_row(out: &mut Vec<u8>, clustering: i32, previous: usize, random: &mut u64) -> usize {
    let start = out.len();
    out.extend([0x24, 0]);
    out.extend(clustering.to_be_bytes());
    let mut body = Vec::with_capacity(200);
    put_uvint(&mut body, previous as u64);
    put_uvint(&mut body, 1_000_000 + u64::from(clustering as u32));
    let words: Vec<&str> = (0..18).map(|_| WORDS[(next(random) >> 61) as usize]).collect();
    let noise: Vec<u8> = (0..3).flat_map(|_| next(random).to_be_bytes()).collect();
    for value in [&noise[..], words.join(" ").as_bytes()] {
        body.push(0x08);
        put_uvint(&mut body, value.len() as u64);
        body.extend(value);
    }
    put_uvint(out, body.len() as u64);
    out.extend(body);
    out.len() - start
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    random.wrapping_mul(0x2545_f491_4f6c_dd1d)
}

/// An integer below 2⁵⁶.
fn put_uvint(out: &mut Vec<u8>, value: u64) {
    let extra = (63 - (value | 1).leading_zeros() as usize) / 7;
    let bytes = value.to_be_bytes();
    out.push(bytes[7 - extra] | !(0xff_u8 >> extra));
    out.extend(&bytes[8 - extra..]);
}

/// Cuts the content into chunks, as Cassandra does.
pub(crate) fn stored(compressor: Option<Compressor>, content: &Content) -> Result<Stored> {
    let rows = content.rows;
    let Some(compressor) = compressor else {
        let mut crc = (64_i32 << 10).to_be_bytes().to_vec();
        content.bytes.chunks(64 << 10).for_each(|chunk| crc.extend(crc32fast::hash(chunk).to_be_bytes()));
        let data = Bytes::copy_from_slice(&content.bytes);
        let digest = digest(&data);
        return Ok(Stored { data, compression_info: None, crc: Some(crc.into()), digest, rows });
    };
    let (mut data, mut offsets) = (Vec::new(), Vec::new());
    for chunk in content.bytes.chunks(CHUNK_BYTES) {
        offsets.push(data.len() as u64);
        let compressed = compress(compressor, chunk)?;
        data.extend(&compressed);
        data.extend(crc32fast::hash(&compressed).to_be_bytes());
    }
    let info = compression_info(compressor, content.bytes.len(), &offsets);
    let digest = digest(&data);
    Ok(Stored { data: data.into(), compression_info: Some(info), crc: None, digest, rows })
}

fn digest(data: &[u8]) -> Bytes {
    crc32fast::hash(data).to_string().into()
}

fn compression_info(compressor: Compressor, data_bytes: usize, offsets: &[u64]) -> Bytes {
    let class = compressor.class();
    let mut info = (class.len() as u16).to_be_bytes().to_vec();
    info.extend(class.as_bytes());
    info.extend(0_i32.to_be_bytes());
    info.extend((CHUNK_BYTES as i32).to_be_bytes());
    info.extend(i32::MAX.to_be_bytes());
    info.extend((data_bytes as i64).to_be_bytes());
    info.extend((offsets.len() as i32).to_be_bytes());
    offsets.iter().for_each(|offset| info.extend(offset.to_be_bytes()));
    info.into()
}

fn compress(compressor: Compressor, chunk: &[u8]) -> Result<Vec<u8>> {
    Ok(match compressor {
        Compressor::Lz4 => [&(chunk.len() as u32).to_le_bytes()[..], &lz4_flex::block::compress(chunk)].concat(),
        Compressor::Snappy => snap::raw::Encoder::new().compress_vec(chunk)?,
        Compressor::Deflate => {
            let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
            encoder.write_all(chunk)?;
            encoder.finish()?
        }
        Compressor::Zstd => zstd::bulk::compress(chunk, 3)?,
        Compressor::Noop => chunk.to_vec(),
    })
}
