//! The components one by one: which must be there beside Data.db, and what each says.
//!
//! [`SsTableReader::open`] reads them together. The functions here take the bytes of one of them and are what a tool or a
//! fuzzer drives; each takes any bytes at all, and returns what they say or an error that names `file` and the offset.

use std::sync::Arc;

use bytes::Bytes;

use super::compression::CompressionInfo;
use super::compressor::{Compressor, Decompressor};
use super::cursor::{Cursor, Decoded};
use super::data::{Chunking, DataReader};
use super::statistics::Statistics;
use super::stats::Stats;
use super::{Descriptor, Error, ReadOptions, SsTableFiles, SsTableReader, Version};
use crate::schema::TableSchema;

/// A chunk of a plain file is read as a whole; Cassandra's are 64 KiB.
const MAX_PLAIN_CHUNK_BYTES: i32 = 64 << 20;

/// What CompressionInfo.db says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compression {
    /// How chunks are compressed.
    pub compressor: Compressor,
    /// Length of the content of each chunk but the last, bytes.
    pub chunk_bytes: usize,
    /// Length of the whole content, bytes.
    pub data_bytes: u64,
    /// Number of chunks.
    pub chunks: usize,
}

/// Parses Statistics.db and verifies its checksums.
///
/// # Errors
/// [`Error::Corrupt`] for damage, [`Error::Unsupported`] for other partitioners and malformed types.
pub fn statistics(file: &str, bytes: &Bytes, version: Version) -> Result<Stats, Error> {
    Statistics::parse(file, bytes, version).map(|statistics| statistics.stats)
}

/// Parses CompressionInfo.db beside a Data.db of `file_bytes` bytes.
///
/// # Errors
/// [`Error::Corrupt`] for damage and offsets that do not fit, [`Error::Unsupported`] for other compressors.
pub fn compression_info(file: &str, bytes: &Bytes, file_bytes: u64) -> Result<Compression, Error> {
    let info = CompressionInfo::parse(file, bytes, file_bytes)?;
    let (compressor, chunk_bytes, data_bytes) = (info.compressor, info.chunk_bytes, info.data_bytes);
    Ok(Compression { compressor, chunk_bytes, data_bytes, chunks: info.chunks() })
}

/// The content of one compressed chunk, `content_bytes` long; `None` where it is anything else.
pub fn chunk(compressor: Compressor, stored: &[u8], content_bytes: usize) -> Option<Vec<u8>> {
    let mut content = vec![0; content_bytes];
    Decompressor::new(compressor).ok()?.decompress(stored, &mut content)?;
    Some(content)
}

/// Parses CRC.db beside a Data.db of `file_bytes` bytes; returns the checksums of its chunks.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn crc(file: &str, bytes: &Bytes, file_bytes: u64) -> Result<Vec<u32>, Error> {
    let (_, checksums) = crc_chunks(file, bytes, file_bytes)?;
    Ok(checksums.as_chunks::<4>().0.iter().map(|checksum| u32::from_be_bytes(*checksum)).collect())
}

/// Parses Digest.crc32: the CRC32 of Data.db as stored, in decimal digits.
///
/// # Errors
/// [`Error::Corrupt`].
pub fn digest(file: &str, bytes: &Bytes) -> Result<u32, Error> {
    let text = std::str::from_utf8(bytes).ok().map(str::trim_end);
    let digits = text.filter(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()));
    let parsed = digits.and_then(|digits| digits.parse().ok());
    parsed.ok_or_else(|| Error::corrupt(file, 0, "not a decimal CRC32"))
}

/// A reader of the uncompressed content of a Data.db, which no checksum covers: damage is noticed only where the grammar,
/// sizes or the order break. Not for backups.
///
/// # Errors
/// As [`SsTableReader::open`], for the statistics and the schema.
pub fn data(
    version: Version,
    statistics: &Bytes,
    data: Bytes,
    schema: Arc<TableSchema>,
    options: ReadOptions,
) -> Result<SsTableReader, Error> {
    let file = "Statistics.db";
    let statistics = Statistics::parse(file, statistics, version)?;
    let checksums = Bytes::copy_from_slice(&crc32fast::hash(&data).to_be_bytes());
    let chunking = Chunking::Plain { chunk_bytes: data.len().max(1), checksums };
    let data = DataReader::new("Data.db".to_owned(), Box::new(data), chunking, None, options.window_bytes);
    SsTableReader::new(version, file, statistics, data, schema, options)
}

/// The descriptor of any file's name, or of the names' common part.
pub(super) fn describe(name: &str) -> Result<Descriptor, Error> {
    let has_component = name.matches('-').count() > 2;
    let name = if has_component { name.to_owned() } else { format!("{name}-Data.db") };
    Descriptor::parse(&name).map(|(descriptor, _)| descriptor)
}

/// Refuses a set of files that lacks a component which the table of contents lists and which is used here.
pub(super) fn check_listed(descriptor: &Descriptor, files: &SsTableFiles) -> Result<(), Error> {
    let Some(toc) = &files.toc else { return Ok(()) };
    let toc_file = descriptor.file_name("TOC.txt");
    let text = std::str::from_utf8(toc).map_err(|_| Error::corrupt(&toc_file, 0, "not text"))?;
    let lists = |component: &str| text.lines().any(|line| line.trim_end() == component);
    for (component, is_given) in [
        ("CompressionInfo.db", files.compression_info.is_some()),
        ("CRC.db", files.crc.is_some()),
        ("Digest.crc32", files.digest.is_some()),
    ] {
        if lists(component) && !is_given {
            return Err(Error::corrupt(&descriptor.file_name(component), 0, "the file is missing"));
        }
    }
    if lists("Data.db") && lists("Statistics.db") {
        return Ok(());
    }
    Err(Error::corrupt(&toc_file, 0, "it lists no data"))
}

/// How Data.db is cut into chunks. One of the two components with checksums must be there, and not both.
pub(super) fn chunking(descriptor: &Descriptor, files: &SsTableFiles) -> Result<Chunking, Error> {
    let file_bytes = files.data.size();
    match (&files.compression_info, &files.crc) {
        (Some(info), None) => {
            let file = descriptor.file_name("CompressionInfo.db");
            let info = CompressionInfo::parse(&file, info, file_bytes)?;
            let decompressor = Decompressor::new(info.compressor);
            let decompressor = decompressor.map_err(|source| Error::Read { file, offset: 0, source })?;
            Ok(Chunking::Compressed { info, decompressor })
        }
        (None, Some(crc)) => {
            let file = descriptor.file_name("CRC.db");
            let (chunk_bytes, checksums) = crc_chunks(&file, crc, file_bytes)?;
            Ok(Chunking::Plain { chunk_bytes, checksums })
        }
        (None, None) => {
            let reason = "neither CompressionInfo.db nor CRC.db is there: the data cannot be verified";
            Err(Error::corrupt(&descriptor.file_name("Data.db"), 0, reason))
        }
        (Some(_), Some(_)) => {
            Err(Error::corrupt(&descriptor.file_name("CRC.db"), 0, "CompressionInfo.db is there, too"))
        }
    }
}

/// Length of the chunks of a plain file, and their checksums as they stand there.
fn crc_chunks(file: &str, crc: &Bytes, file_bytes: u64) -> Result<(usize, Bytes), Error> {
    parse_crc(crc, file_bytes).map_err(|fault| Error::damage(file, fault))
}

/// CRC.db: i32 length of chunks, then the CRC32 of each; a file may end with that of an empty chunk.
fn parse_crc(crc: &Bytes, file_bytes: u64) -> Decoded<(usize, Bytes)> {
    let c = &mut Cursor::new(crc, 0);
    let chunk_bytes = c.i32()?;
    if !(1..=MAX_PLAIN_CHUNK_BYTES).contains(&chunk_bytes) {
        return c.corrupt("the length of chunks");
    }
    let chunks = file_bytes.div_ceil(chunk_bytes as u64);
    let stored = crc.len() - 4;
    if !stored.is_multiple_of(4) || (stored as u64 / 4 != chunks && stored as u64 / 4 != chunks + 1) {
        return c.corrupt("the number of checksums does not fit the length of the data");
    }
    Ok((chunk_bytes as usize, c.take(stored)?))
}

/// What the digest says, where there is one.
pub(super) fn expected_digest(descriptor: &Descriptor, bytes: Option<&Bytes>) -> Result<Option<u32>, Error> {
    bytes.map(|bytes| digest(&descriptor.file_name("Digest.crc32"), bytes)).transpose()
}
