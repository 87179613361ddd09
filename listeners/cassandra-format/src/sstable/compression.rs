//! CompressionInfo.db: how Data.db is compressed and where its chunks are. The same in all versions that are read.

use bytes::Bytes;

use super::Error;
use super::compressor::Compressor;
use super::cursor::{Cursor, Decoded, Fault};

/// A chunk is decompressed as a whole, behind what is left of the one before, and a few bytes of a file can claim any length
/// of it: this bounds memory. Cassandra's default is 16 KiB.
const MAX_CHUNK_BYTES: i32 = 16 << 20;

/// The map of a compressed Data.db.
#[derive(Debug)]
pub(super) struct CompressionInfo {
    pub(super) compressor: Compressor,
    /// Uncompressed length of each chunk but the last.
    pub(super) chunk_bytes: usize,
    /// Chunks at least this long are stored as they are.
    pub(super) max_compressed_bytes: usize,
    /// Uncompressed length of the whole.
    pub(super) data_bytes: u64,
    /// Length of the compressed Data.db.
    file_bytes: u64,
    /// The offsets as they stand in the file: there may be millions.
    offsets: Bytes,
}

impl CompressionInfo {
    /// Parses the file and compares it with the length of Data.db.
    pub(super) fn parse(file: &str, bytes: &Bytes, file_bytes: u64) -> Result<Self, Error> {
        let class = Cursor::new(bytes, 0).short_bytes().map_err(|fault| Error::damage(file, fault))?;
        let compressor = Compressor::of_class(&class).ok_or_else(|| unsupported(file, &class))?;
        let info = parse(bytes, compressor, file_bytes).map_err(|fault| Error::damage(file, fault))?;
        info.check_offsets(bytes.len()).map_err(|fault| Error::damage(file, fault))?;
        Ok(info)
    }

    pub(super) fn chunks(&self) -> usize {
        self.offsets.len() / 8
    }

    fn offset(&self, chunk: usize) -> u64 {
        self.offsets
            .get(chunk * 8..)
            .and_then(|rest| rest.first_chunk::<8>())
            .map_or(self.file_bytes, |bytes| u64::from_be_bytes(*bytes))
    }

    /// Stored length of a chunk, without its checksum.
    pub(super) fn stored_bytes(&self, chunk: usize) -> u64 {
        self.offset(chunk + 1) - self.offset(chunk) - 4
    }

    /// Uncompressed length of a chunk; 0 for the empty one that some files end with.
    pub(super) fn raw_bytes(&self, chunk: usize) -> usize {
        let before = chunk as u64 * self.chunk_bytes as u64;
        self.data_bytes.saturating_sub(before).min(self.chunk_bytes as u64) as usize
    }

    /// The number of chunks fits the data, and their offsets ascend from 0 with room for a checksum each. Only a chunk
    /// without content may have no bytes.
    fn check_offsets(&self, info_bytes: usize) -> Decoded<()> {
        let table = info_bytes - self.offsets.len();
        let whole = self.data_bytes.div_ceil(self.chunk_bytes as u64);
        if self.chunks() as u64 != whole && self.chunks() as u64 != whole + 1 {
            return Err(Fault::Corrupt(table - 4, "the number of chunks does not fit the length of the data"));
        }
        for chunk in 0..self.chunks() {
            let start = self.offset(chunk);
            let least_bytes = 4 + u64::from(self.raw_bytes(chunk) > 0);
            let ascends = start.checked_add(least_bytes).is_some_and(|least| self.offset(chunk + 1) >= least);
            if !ascends || (chunk == 0 && start != 0) {
                return Err(Fault::Corrupt(table + chunk * 8, "offsets of chunks do not fit"));
            }
        }
        Ok(())
    }
}

/// Encrypted and other SSTables of products beside Cassandra have compressors of their own, and so may anybody.
fn unsupported(file: &str, class: &[u8]) -> Error {
    let known = Compressor::ALL.map(Compressor::class).join(", ");
    Error::unsupported(file, format!("compressor {}; supported are {known}", String::from_utf8_lossy(class)))
}

fn parse(bytes: &Bytes, compressor: Compressor, file_bytes: u64) -> Decoded<CompressionInfo> {
    let c = &mut Cursor::new(bytes, 0);
    c.short_bytes()?; // the compressor's class
    let options = c.i32()?;
    if !(0..=64).contains(&options) {
        return c.corrupt("the number of compression options");
    }
    for _ in 0..options {
        c.short_bytes()?;
        c.short_bytes()?;
    }
    let chunk = c.i32()?;
    if !(1..=MAX_CHUNK_BYTES).contains(&chunk) || chunk.count_ones() != 1 {
        return c.corrupt("the length of chunks is not a power of two up to 16 MiB");
    }
    let Ok(max_compressed_bytes) = usize::try_from(c.i32()?) else { return c.corrupt("a negative length") };
    let Ok(data_bytes) = u64::try_from(c.i64()?) else { return c.corrupt("a negative length of the data") };
    let Ok(chunks) = usize::try_from(c.i32()?) else { return c.corrupt("a negative number of chunks") };
    let offsets = c.take(chunks.saturating_mul(8))?;
    if !c.is_at_end() {
        return c.corrupt("bytes after the last offset");
    }
    let chunk_bytes = chunk as usize;
    Ok(CompressionInfo { compressor, chunk_bytes, max_compressed_bytes, data_bytes, file_bytes, offsets })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(compressor: &str, chunk: i32, data: i64, offsets: &[i64]) -> Bytes {
        let mut bytes = (compressor.len() as u16).to_be_bytes().to_vec();
        bytes.extend(compressor.as_bytes());
        bytes.extend(0_i32.to_be_bytes());
        bytes.extend(chunk.to_be_bytes());
        bytes.extend(i32::MAX.to_be_bytes());
        bytes.extend(data.to_be_bytes());
        bytes.extend((offsets.len() as i32).to_be_bytes());
        offsets.iter().for_each(|offset| bytes.extend(offset.to_be_bytes()));
        bytes.into()
    }

    #[test]
    fn chunks_are_found() {
        let info = CompressionInfo::parse("f", &info("LZ4Compressor", 4096, 5000, &[0, 100]), 150).unwrap();
        assert_eq!((info.stored_bytes(0), info.stored_bytes(1)), (96, 46));
        assert_eq!((info.raw_bytes(0), info.raw_bytes(1)), (4096, 904));
    }

    #[test]
    fn an_empty_last_chunk_is_known() {
        for file_bytes in [104, 109] {
            let info = CompressionInfo::parse("f", &info("LZ4Compressor", 4096, 4096, &[0, 100]), file_bytes).unwrap();
            assert_eq!((info.raw_bytes(1), info.stored_bytes(1)), (0, file_bytes - 104));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (bytes, file_bytes) in [
            (info("LZ4Compressor", 4096, 5000, &[0]), 150),
            (info("LZ4Compressor", 4096, 5000, &[0, 100, 120, 140]), 150),
            (info("LZ4Compressor", 4096, 5000, &[1, 100]), 150),
            (info("LZ4Compressor", 4096, 5000, &[0, 4]), 150),
            (info("LZ4Compressor", 4096, 5000, &[0, 146]), 150),
            (info("DeflateCompressor", 4096, 4096, &[0, 147]), 150),
            (info("LZ4Compressor", 4096, 5000, &[0, -1]), 150),
            (info("LZ4Compressor", 4095, 5000, &[0, 100]), 150),
            (info("LZ4Compressor", 0, 5000, &[0, 100]), 150),
            (info("LZ4Compressor", 32 << 20, 5000, &[0]), 150),
            (info("LZ4Compressor", i32::MIN, 5000, &[0, 100]), 150),
            (info("LZ4Compressor", 4096, -1, &[0, 100]), 150),
        ] {
            assert!(CompressionInfo::parse("f", &bytes, file_bytes).unwrap_err().is_corruption());
        }
    }

    #[test]
    fn options_are_as_many_as_they_say_and_few() {
        let with_options = |said: i32, options: usize| {
            let plain = info("LZ4Compressor", 4096, 5000, &[0, 100]);
            let (class, rest) = plain.split_at(15);
            [class, &said.to_be_bytes(), &vec![0; 4 * options], &rest[4..]].concat().into()
        };
        let parsed = |said, options| CompressionInfo::parse("f", &with_options(said, options), 150);
        assert!(parsed(0, 0).is_ok() && parsed(64, 64).is_ok());
        for (said, options) in [(65, 65), (-1, 0), (1, 0), (0, 1)] {
            assert!(parsed(said, options).unwrap_err().is_corruption(), "{said} {options}");
        }
    }

    #[test]
    fn compressors_of_others_are_refused_by_name() {
        for class in ["com.example.EncryptingLZ4Compressor", "EncryptingLZ4Compressor", "ZstdDictionaryCompressor", ""]
        {
            let error = CompressionInfo::parse("f", &info(class, 4096, 5000, &[0, 100]), 150).unwrap_err();
            let names = error.to_string().contains(&format!("compressor {class};"));
            assert!(names && !error.is_corruption(), "{error}");
        }
    }
}
