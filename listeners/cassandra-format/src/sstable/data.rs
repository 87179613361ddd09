//! The bytes of Data.db in order, decompressed, every checksum verified.
//!
//! Each chunk's CRC32 is compared before its bytes are handed out, the digest of the whole file when the last one was.

use bytes::Bytes;

use super::Error;
use super::compression::CompressionInfo;
use super::compressor::{Decompressor, max_stored_bytes};
use crate::io::ReadAt;

/// Data.db read once from its start, in windows.
struct Raw {
    file: String,
    data: Box<dyn ReadAt>,
    window: Bytes,
    /// Offset behind the window.
    next: u64,
    window_bytes: usize,
    digest: crc32fast::Hasher,
}

impl Raw {
    /// The next `len` bytes.
    fn take(&mut self, len: usize) -> Result<Bytes, Error> {
        if self.window.len() < len {
            self.fill(len)?;
        }
        Ok(self.window.split_to(len))
    }

    fn fill(&mut self, len: usize) -> Result<(), Error> {
        let left = self.data.size() - self.next;
        let missing = len - self.window.len();
        if missing as u64 > left {
            return Err(Error::corrupt(&self.file, self.data.size(), "the file ends too early"));
        }
        let read = self.read(left.min(missing.max(self.window_bytes) as u64) as usize)?;
        self.window = if self.window.is_empty() { read } else { [&self.window[..], &read].concat().into() };
        Ok(())
    }

    fn read(&mut self, len: usize) -> Result<Bytes, Error> {
        let offset = self.next;
        let error = |source| Error::Read { file: self.file.clone(), offset, source };
        let bytes = self.data.read_at(offset, len).map_err(error)?;
        if bytes.len() != len {
            return Err(error(std::io::ErrorKind::UnexpectedEof.into()));
        }
        self.next += len as u64;
        self.digest.update(&bytes);
        Ok(bytes)
    }

    fn position(&self) -> u64 {
        self.next - self.window.len() as u64
    }
}

/// How Data.db is cut into chunks.
pub(super) enum Chunking {
    /// Compressed, with checksums between the chunks.
    Compressed {
        /// Where the chunks are.
        info: CompressionInfo,
        /// What decompresses them.
        decompressor: Decompressor,
    },
    /// Plain; CRC.db has the chunks' length and checksums.
    Plain {
        /// Length of each chunk but the last.
        chunk_bytes: usize,
        /// The checksums as they stand in CRC.db.
        checksums: Bytes,
    },
}

impl Chunking {
    fn chunks(&self) -> usize {
        match self {
            Self::Compressed { info, .. } => info.chunks(),
            Self::Plain { checksums, .. } => checksums.len() / 4,
        }
    }
}

/// The uncompressed content of Data.db, chunk by chunk.
pub(super) struct DataReader {
    raw: Raw,
    chunking: Chunking,
    next_chunk: usize,
    expected_digest: Option<u32>,
}

impl DataReader {
    pub(super) fn new(
        file: String,
        data: Box<dyn ReadAt>,
        chunking: Chunking,
        expected_digest: Option<u32>,
        window_bytes: usize,
    ) -> Self {
        let digest = crc32fast::Hasher::new();
        let raw = Raw { file, data, window: Bytes::new(), next: 0, window_bytes, digest };
        Self { raw, chunking, next_chunk: 0, expected_digest }
    }

    pub(super) fn file(&self) -> &str {
        &self.raw.file
    }

    /// Length of the uncompressed content.
    pub(super) fn data_bytes(&self) -> u64 {
        match &self.chunking {
            Chunking::Compressed { info, .. } => info.data_bytes,
            Chunking::Plain { .. } => self.raw.data.size(),
        }
    }

    /// Appends the next chunk to `out`; false where there are no more.
    pub(super) fn append_chunk(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        if self.next_chunk == self.chunking.chunks() {
            return Ok(false);
        }
        match &mut self.chunking {
            Chunking::Compressed { info, decompressor } => {
                let chunk = Chunk::of(info, self.next_chunk);
                append_compressed(&mut self.raw, &chunk, decompressor, out)?;
            }
            Chunking::Plain { chunk_bytes, checksums } => {
                let expected = checksums.slice(self.next_chunk * 4..self.next_chunk * 4 + 4);
                append_plain(&mut self.raw, *chunk_bytes, &expected, out)?;
            }
        }
        self.next_chunk += 1;
        Ok(true)
    }

    /// Verifies that all of the file was read and that it is what its digest says.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        let mut rest = Vec::new();
        while self.append_chunk(&mut rest)? {}
        let position = self.raw.position();
        if !rest.is_empty() || position != self.raw.data.size() {
            return Err(Error::corrupt(&self.raw.file, position, "bytes after the last partition"));
        }
        let digest = self.raw.digest.clone().finalize();
        match self.expected_digest {
            Some(expected) if expected != digest => Err(Error::corrupt(&self.raw.file, 0, "digest of the whole file")),
            _ => Ok(()),
        }
    }
}

/// One chunk of a compressed file.
struct Chunk {
    /// Length in the file, without the checksum.
    stored: u64,
    /// Length of the content.
    raw: usize,
    /// True where it is stored as it is.
    is_plain: bool,
    /// Bound of the stored length, before it is allocated: the compressor's worst case, or a plain chunk with its padding.
    most_stored: usize,
}

impl Chunk {
    fn of(info: &CompressionInfo, index: usize) -> Self {
        let (stored, raw) = (info.stored_bytes(index), info.raw_bytes(index));
        let plain = if info.max_compressed_bytes <= info.chunk_bytes { info.chunk_bytes } else { 0 };
        let is_plain = stored >= info.max_compressed_bytes as u64;
        Self { stored, raw, is_plain, most_stored: max_stored_bytes(raw).max(plain) }
    }
}

fn append_compressed(
    data: &mut Raw,
    chunk: &Chunk,
    decompressor: &mut Decompressor,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let offset = data.position();
    let corrupt = |data: &Raw, reason: &str| Error::corrupt(&data.file, offset, reason);
    let length = usize::try_from(chunk.stored).ok().filter(|length| *length <= chunk.most_stored);
    let length = length.ok_or_else(|| corrupt(data, "a chunk is longer than its content can be"))?;
    let bytes = data.take(length + 4)?;
    let (stored, checksum) = bytes.split_at(length);
    if crc32fast::hash(stored).to_be_bytes() != checksum {
        return Err(corrupt(data, "checksum of a chunk"));
    }
    let unpacked =
        if chunk.is_plain { unpad(stored, chunk.raw, out) } else { unpack(stored, chunk.raw, decompressor, out) };
    unpacked.ok_or_else(|| corrupt(data, "a chunk does not decompress to its length"))
}

fn append_plain(data: &mut Raw, chunk_bytes: usize, expected: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
    let offset = data.position();
    let length = (data.data.size() - offset).min(chunk_bytes as u64) as usize;
    let chunk = data.take(length)?;
    if crc32fast::hash(&chunk).to_be_bytes() != expected {
        return Err(Error::corrupt(&data.file, offset, "checksum of a chunk"));
    }
    out.extend_from_slice(&chunk);
    Ok(())
}

/// A plain chunk: the content, followed by zeros up to the length from which on chunks are plain.
fn unpad(stored: &[u8], raw: usize, out: &mut Vec<u8>) -> Option<()> {
    let (content, padding) = stored.split_at_checked(raw)?;
    out.extend_from_slice(content);
    padding.iter().all(|byte| *byte == 0).then_some(())
}

fn unpack(stored: &[u8], raw: usize, decompressor: &mut Decompressor, out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    out.resize(start + raw, 0);
    decompressor.decompress(stored, &mut out[start..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sstable::compressor::Compressor;

    /// The first chunk of a file of one, whose content is ten bytes, but which is stored in so many.
    fn one_chunk(stored: usize) -> Result<bool, Error> {
        let mut info = [0, 13].to_vec();
        info.extend(b"LZ4Compressor");
        [0, 4096, i32::MAX].iter().for_each(|number| info.extend(number.to_be_bytes()));
        info.extend(10_i64.to_be_bytes());
        info.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]);
        let data = Bytes::from(vec![0; stored + 4]);
        let info = CompressionInfo::parse("i", &info.into(), data.len() as u64)?;
        let decompressor = Decompressor::new(Compressor::Lz4).unwrap();
        let chunking = Chunking::Compressed { info, decompressor };
        DataReader::new("d".to_owned(), Box::new(data), chunking, None, 0).append_chunk(&mut Vec::new())
    }

    #[test]
    fn a_chunk_is_stored_in_no_more_than_its_content_can_take() {
        let words = |stored| one_chunk(stored).unwrap_err().to_string();
        assert!(words(max_stored_bytes(10)).contains("checksum of a chunk"), "{}", words(139));
        assert!(words(max_stored_bytes(10) + 1).contains("longer than its content can be"), "{}", words(140));
    }

    #[test]
    fn plain_chunks_are_filled_up_with_zeros_only() {
        let unpadded = |stored: &[u8], raw| {
            let mut out = Vec::new();
            unpad(stored, raw, &mut out).map(|()| out)
        };
        assert_eq!(unpadded(&[1, 2, 0, 0], 2), Some(vec![1, 2]));
        assert_eq!(unpadded(&[1, 2], 2), Some(vec![1, 2]));
        assert_eq!(unpadded(&[1, 2, 0, 1], 2), None);
        assert_eq!(unpadded(&[1], 2), None);
    }
}
